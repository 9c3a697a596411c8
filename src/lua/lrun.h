/* SPDX-License-Identifier: MIT */
/* lrun: the run loop seen from Lua. Private to src/lua. */
#ifndef RL_LUA_LRUN_H
#define RL_LUA_LRUN_H

#include "lua/lshard.h"

/* Bring the shard up when the module is loaded; 0 or -ENOMEM. */
int rl_lua_run_init(lua_State *L, struct rl_lua *h);
/* The state goes away: give up what a run that never ended holds. */
void rl_lua_run_gone(struct rl_lua *h);

/* The tables of the shard, in the registry: coroutines and handles by slot. */
void rl_lua_push_threads(lua_State *L, struct rl_lua *h);
void rl_lua_push_handles(lua_State *L, struct rl_lua *h);

/* Where the frame of the run loop holds them, and the table of timers, while it loops. */
enum { RL_LUA_THREADS = 1, RL_LUA_HANDLES = 2, RL_LUA_TIMERS = 3 };

/* A task at the end of the run queue, for the function and the n arguments on top, which it takes;
 * `threads` is where the table of that name is. NULL when there is no room for it, or for them. */
struct rl_task *rl_lua_spawn(lua_State *L, struct rl_lua *h, unsigned flags, int n, int threads);

/* In the loop: call the function below the n arguments on top, for nothing. An error is told,
 * unless it is Ctrl-C's, which breaks the loop. */
void rl_lua_run_tell(struct rl_lua *h, int n);

/* Arm the hook of tasks on the running coroutine, unless the user has one there: it takes a sample,
 * or makes the task give up its turn. In signal context, or in ordinary one. */
void rl_lua_run_arm(struct rl_lua *h, bool sample);
/* A run is over before it was made to give up its turn: the next is not to. */
void rl_lua_run_disarm(struct rl_lua *h, lua_State *co);
/* For struct rl_vm: the latter, in signal context. */
void rl_lua_preempt(void *self);
/* Is it that hook? */
bool rl_lua_is_hook(lua_Hook hook);
void rl_lua_hook_init(lua_State *L, struct rl_lua *h);

/* A job begins here, one of ours has ended: for struct rl_vm. */
struct rl_job;
void rl_lua_job_begin(void *self, struct rl_job *job);
void rl_lua_job_ended(void *self, struct rl_job *job);

/* A run ends, or the state goes away: calls on helper threads do not come home any more. */
void rl_lua_offload_close(struct rl_lua *h);

/* A run begins: timers set before count from now. A run ends: no timer is set any more. */
void rl_lua_timers_open(struct rl_lua *h);
void rl_lua_timers_close(lua_State *L, struct rl_lua *h);
void rl_lua_timers_free(struct rl_lua *h);
/* Tell what has fired. */
void rl_lua_timers_fired(struct rl_lua *h);

#endif
