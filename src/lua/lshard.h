/* SPDX-License-Identifier: MIT */
/*
 * lshard: what the binding files share: the shard behind a lua_State, argument checks, and the one
 * way in which a C function parks.
 *
 * Every C function of the library is a closure whose first upvalue is the `struct rl_lua` (a light
 * userdata). A function that parks checks everything first, then ends in `return rl_lua_park(...)`
 * with no C after it. It yields all its arguments, so they stay on the coroutine's stack, which is
 * what anchors the object waited for; when the task is resumed the call returns what ended the
 * wait: the values a waker handed over, `true` (woken without values), or `nil, code` (a negative
 * number: timed out, cancelled, an I/O error). A thin Lua wrapper turns that into values or a
 * raise, so the same code serves both VMs (LuaJIT runs no C after a resume).
 */
#ifndef RL_LUA_LSHARD_H
#define RL_LUA_LSHARD_H

#include "lua/compat.h"
#include "rt/shard.h"
#include "rt/wait.h"

/* How often a task may swallow its cancellation before it is dropped. */
#ifndef RL_CANCELS_MAX
#define RL_CANCELS_MAX 100
#endif

#define RL_FIRED_MAX 32 /* timers told at a time */

struct lwaitq;
struct rl_port;
struct rl_profile;
struct rl_watch;
struct rl_signals;
struct rl_terminal;
struct rl_codec;

/* Kinds of shared objects whose metatables are known by their address. */
enum rl_lsobject {
	RL_LSOBJECT_DICT,
	RL_LSOBJECT_ATOMIC,
	RL_LSOBJECT_BUFFER,
	RL_LSOBJECT_SEMAPHORE,
	RL_LSOBJECT_BARRIER,
	RL_LSOBJECT_ONCE,
	RL_LSOBJECT_RECORDER,
	RL_LSOBJECTS,
};

/* What hooks can hear of; bits. */
enum rl_lua_event { RL_LUA_PARK = 1, RL_LUA_UNPARK = 2, RL_LUA_GC = 4 };

struct rl_lua {
	struct rl_shard shard;
	lua_State *main;         /* the state `run` was called in, while it loops */
	lua_State *running;      /* the coroutine that may park: the task's, or a nested one of it */
	int threads_ref;         /* registry: coroutine (or what to start) by slot */
	int handles_ref;         /* registry: task handle by slot, weak */
	int credit_ref;          /* registry: {credit}, see lua/ringlet/turn.lua */
	int timers_ref;          /* registry: what a timer is for, by slot: see ltimer.c */
	struct rl_slab *timers;
	struct rl_list early;    /* timers set before the run */
	unsigned fired_len;      /* timers of this turn that were not told yet */
	uint32_t fired[RL_FIRED_MAX];
	int loan_ref;            /* registry: the class of slices that are lent */
	int ended_ref;           /* registry: function(slot, id, ok, err, co, dropped) */
	int note_ref;            /* registry: function(handle) of each new one, or LUA_NOREF */
	int note_failed_ref;     /* registry: function(err), when that raised */
	int overran_ref;         /* registry: function(slot) */
	int event_ref;           /* registry: function(event, id, what), see lrun_events */
	unsigned events;         /* which it wants to hear of: enum rl_lua_event */
	bool credit_on;
	bool looping;
	int pins;                /* > 0: below the running code is C that cannot be yielded across */
	struct lwaitq *backup;   /* who rests there is roused when the running task gives up its turn */
	unsigned handles;        /* open I/O objects, for the leak check */
	uint32_t credit_seq;     /* the run that exhausted its credit last, and when it first did */
	int64_t credit_ns;
	int64_t slice_ns;
	double gc_full;          /* KiB after the last full cycle in idle time */
	bool interrupted;        /* Ctrl-C's error was raised in a callback of ours */
	bool gc_cycle;
	unsigned gc_steps;       /* how many steps this cycle may still take */
	/* Before a task runs that was woken from a read: put the bytes on its stack. Returns how many
	 * values, 0: it has to look itself. */
	int (*give)(struct rl_lua *h, struct rl_task *t);
	int run_job_ref, told_ref, cancel_job_ref, running_ref; /* registry: see ljob.c */
	int futures_ref, futures_len, futures_free; /* registry: futures by number, or the next free */
	int posted_ref;          /* registry: function(shard, parcel) of each message */
	int stalled_ref, noted_ref, starved_ref; /* registry: see lhealth.c */
	int offloaded_ref;       /* registry: see loffload.c */
	struct rl_port *port;    /* where its calls on helper threads come home to; NULL: none yet */
	struct rl_lua_fleet *team; /* the threads of the run; NULL outside of one */
	unsigned seat;           /* which of them this is */
	const void *schan_class; /* the metatable of shared channels */
	struct rl_watch *watch;  /* NULL: no preemption */
	struct rl_signals *signals, *quit, *resized;
	struct rl_terminal *terminal; /* NULL: its mode is not ours */
	const void *object_classes[RL_LSOBJECTS];
	struct rl_codec *codec;  /* NULL: the state is closing */
	volatile sig_atomic_t brk;
	struct rl_profile *profile; /* NULL: none is being taken here */
	/* Set in signal context: a stack is wanted of the running task (see lprofile.h), and: it is to
	 * give up its turn. */
	volatile sig_atomic_t sampled, preempting;
	volatile bool collecting; /* in idle time */
	bool sigprof;            /* this shard has taken SIGPROF for all */
	char library[256];       /* see lrun_library */
};

/* The shard of the running function. */
static inline struct rl_lua *rl_lua_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

/* The shard of a state in which the library is loaded. */
struct rl_lua *rl_lua_of_state(lua_State *L);

/* Seconds (float, nil = never) at `arg` as an absolute deadline: -1 never, 0 do not wait.
 * Raises on anything else, NaN and negative numbers included. */
int64_t rl_lua_deadline(lua_State *L, struct rl_lua *h, int arg);

/* Raises "not inside a task" or "cannot park here ..." unless the running code can park. Returns
 * the running task. Call it before anything is linked or submitted. */
struct rl_task *rl_lua_check_park(lua_State *L, struct rl_lua *h);

/* As above, and true when the task is cancelled: the caller then returns `rl_lua_cancelled(L,
 * h)`. */
bool rl_lua_is_cancelled(struct rl_lua *h);
int rl_lua_cancelled(lua_State *L, struct rl_lua *h);

/* Park the running task on `q` (which must be anchored by an argument of the calling function) and
 * yield. Does the checks itself; deadline 0 returns nil, -ETIMEDOUT at once. */
int rl_lua_park(lua_State *L, struct rl_lua *h, struct rl_waitq *q, unsigned reason,
	int64_t deadline_ns);

/* The same with the value at stack index `offer` offered to whoever fires the clause. */
int rl_lua_park_offer(lua_State *L, struct rl_lua *h, struct rl_waitq *q, unsigned reason,
	int64_t deadline_ns, unsigned offer);

/* Return nil, code. */
int rl_lua_fail(lua_State *L, int code);

/* Is a function (its "S" in `ar`) one of our Lua files? */
bool rl_lua_is_ours(const struct rl_lua *h, const lua_Debug *ar);

/* Raise at the level of whoever called the library. */
__attribute__((noreturn)) void rl_lua_misuse(lua_State *L, struct rl_lua *h, const char *message);

/* Raise unless run is active (the seam is open). */
void rl_lua_check_run(lua_State *L, struct rl_lua *h);

/* Register `regs` (NULL-terminated) in the table on top, each with the shard as its upvalue. */
void rl_lua_register(lua_State *L, struct rl_lua *h, const luaL_Reg *regs);

/* A userdata of `size` bytes, zeroed, with the metatable `name`; and the checked way back. */
void *rl_lua_new(lua_State *L, size_t size, const char *name);
/* A metatable `name` in the registry with __index = itself, left on top. */
void rl_lua_class(lua_State *L, struct rl_lua *h, const char *name, const luaL_Reg *methods);

/* Each binding file's opener: adds its functions to the core table on top of the stack. */
void rl_lua_open_hook(lua_State *L, struct rl_lua *h);
void rl_lua_open_run(lua_State *L, struct rl_lua *h);
void rl_lua_open_task(lua_State *L, struct rl_lua *h);
void rl_lua_open_priority(lua_State *L, struct rl_lua *h);
void rl_lua_open_dump(lua_State *L, struct rl_lua *h);
void rl_lua_open_wait(lua_State *L, struct rl_lua *h);
void rl_lua_open_ticket(lua_State *L, struct rl_lua *h);
void rl_lua_open_schan(lua_State *L, struct rl_lua *h);
void rl_lua_open_timer(lua_State *L, struct rl_lua *h);
void rl_lua_open_signal(lua_State *L, struct rl_lua *h);
void rl_lua_open_terminal(lua_State *L, struct rl_lua *h);
void rl_lua_open_probe(lua_State *L, struct rl_lua *h);
void rl_lua_open_net(lua_State *L, struct rl_lua *h);
void rl_lua_open_fleet(lua_State *L, struct rl_lua *h);
void rl_lua_open_post(lua_State *L, struct rl_lua *h);
void rl_lua_open_health(lua_State *L, struct rl_lua *h);
void rl_lua_open_job(lua_State *L, struct rl_lua *h);
void rl_lua_open_buffer(lua_State *L, struct rl_lua *h);
void rl_lua_open_offload(lua_State *L, struct rl_lua *h);
void rl_lua_open_measure(lua_State *L, struct rl_lua *h);
void rl_lua_open_topology(lua_State *L, struct rl_lua *h);
void rl_lua_open_sched(lua_State *L, struct rl_lua *h);
void rl_lua_open_router(lua_State *L, struct rl_lua *h);
void rl_lua_open_reach(lua_State *L, struct rl_lua *h);
void rl_lua_open_profile(lua_State *L, struct rl_lua *h);
void rl_lua_open_trace(lua_State *L, struct rl_lua *h);

#endif
