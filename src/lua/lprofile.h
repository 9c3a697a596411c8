/* SPDX-License-Identifier: MIT */
/*
 * lprofile: what a shard spends its CPU time on, what its tasks wait for, and what allocates, by
 * Lua stack. Private to src/lua.
 *
 * A *tick* says that something is to be counted where the shard is now. It may come in signal
 * context or inside of the allocator, where no stack can be looked at, so it only makes sure that
 * the stack is taken soon: by a hook (Lua 5.4), by LuaJIT's own profiler, which compiled code
 * listens to, or when the task gives up its turn, whichever is first.
 */
#ifndef RL_LUA_LPROFILE_H
#define RL_LUA_LPROFILE_H

#include "base/rand.h"
#include "base/samples.h"
#include "lua/lshard.h"

#include <signal.h>
#include <time.h>

#define RL_PROFILE_DEPTH 256 /* frames of a stack; what is further out is cut off */

enum rl_profile_kind { RL_PROFILE_CPU, RL_PROFILE_OFFCPU, RL_PROFILE_ALLOC };

/* What a shard does while no task runs. */
enum rl_profile_idle { RL_PROFILE_LOOP, RL_PROFILE_COLLECTOR, RL_PROFILE_IDLES };

struct rl_profile {
	struct rl_lua *h;
	struct rl_samples *samples;
	enum rl_profile_kind kind;
	lua_State *aux;          /* where labels are asked for */
	int aux_ref, label_ref;
	uint32_t skip;           /* the slot of a task that is not looked at */
	bool busy;               /* a stack is being taken: nothing is counted */
	/* Ticks whose stack was not taken yet, and those while no task ran; by the signal handler. */
	volatile unsigned ticks, idle_ticks[RL_PROFILE_IDLES];
	double period_ns;        /* what a tick stands for */
	double next_ns;          /* of the thread's CPU time: when the timer goes off */
	timer_t timer;
	volatile bool timer_on;
	sigset_t mask_before;
	void (*trigger)(int sig); /* LuaJIT's own handler; NULL: its profiler is not ours */
	/* Of allocations: the allocator that was there, and what was not counted for a stack yet. */
	lua_Alloc alloc;
	void *alloc_ud;
	bool alloc_on;
	double rate, left;
	struct rl_rand rand;
	double objects, bytes, idle_objects, idle_bytes;
	bool wrapped;            /* somebody else's allocator calls ours: this stays for good */
};

/* A tick of the thread's shard. In signal context, or in the allocator. */
void rl_profile_tick(struct rl_profile *p, unsigned n);

/* By the hook of tasks, when h->sampled is set: take the stack. */
void rl_profile_hooked(struct rl_lua *h, lua_State *L, const lua_Debug *ar);
/* After the run of a task in which h->sampled was set: take the stack it gave up its turn with. */
void rl_profile_ran(struct rl_lua *h, struct rl_task *t);
/* Take the stack of L, from `level` on, below a frame of this name if it is not NULL. */
void rl_profile_take(struct rl_profile *p, lua_State *L, int level, const char *leaf);

/* The timer of this thread's CPU time, and the allocator. 0 or -errno. */
int rl_profile_cpu_on(lua_State *L, struct rl_profile *p, const char *detail);
void rl_profile_cpu_off(lua_State *L, struct rl_profile *p);
int rl_profile_alloc_on(lua_State *L, struct rl_profile *p, const char *detail);
void rl_profile_alloc_off(lua_State *L, struct rl_profile *p);
/* Where LuaJIT's compiled code has to listen; nothing elsewhere. `detail` is "line", "function" or
 * "none". 0, -EBUSY when its profiler or SIGPROF is in use, -ENOSYS. */
int rl_profile_listen(lua_State *L, struct rl_profile *p, const char *detail);
void rl_profile_unlisten(lua_State *L, struct rl_profile *p);

/* The functions of lprofile_cpu.c, into the core table on top. */
void rl_profile_open_cpu(lua_State *L, struct rl_lua *h);

/* End what goes on, without its result. Idempotent. */
void rl_profile_gone(lua_State *L, struct rl_lua *h);
/* All shards have left the run, so no timer is on any more: SIGPROF is given back. */
void rl_profile_left(struct rl_lua *h);

#endif
