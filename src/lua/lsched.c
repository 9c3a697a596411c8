/* SPDX-License-Identifier: MIT */
/*
 * lsched: the scheduling class of a shard's thread. lua/ringlet/scheduling.lua has the policy.
 */
#include "lua/lsched.h"

#include "base/err.h"
#include "lua/lfleet.h"

#define SAVED "ringlet.core.sched"

/* As sched_setattr(2) numbers them. */
static const char *const names[] = {
	"other", "fifo", "rr", "batch", "4", "idle", "deadline", "ext", NULL,
};

struct rl_sched rl_lua_check_sched(lua_State *L, int arg)
{
	struct rl_sched s = {.nice = RL_SCHED_KEEP};
	s.policy = (uint32_t)luaL_checkoption(L, arg, NULL, names);
	if (lua_toboolean(L, arg + 1))
		s.priority = (uint32_t)luaL_checkinteger(L, arg + 1);
	if (lua_toboolean(L, arg + 2))
		s.nice = (int32_t)luaL_checkinteger(L, arg + 2);
	if (lua_toboolean(L, arg + 3))
		s.slice_ns = (int64_t)(luaL_checknumber(L, arg + 3) * 1e9);
	return s;
}

static int succeed(lua_State *L, int err)
{
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* sched_try(policy, priority, nice, slice) -> true, back | nil, code: may a thread like this one be
 * in that class; may it leave it again? */
static int lsched_try(lua_State *L)
{
	struct rl_sched s = rl_lua_check_sched(L, 1);
	bool back = false;
	int err = rl_sched_try(&s, &back);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	lua_pushboolean(L, back);
	return 2;
}

/* sched_set(policy, priority, nice, slice) -> true | nil, code: this thread */
static int lsched_set(lua_State *L)
{
	struct rl_sched s = rl_lua_check_sched(L, 1);
	return succeed(L, rl_sched_set(&s));
}

/* sched_save() -> the class this thread is in | nil, code */
static int lsched_save(lua_State *L)
{
	struct rl_sched_saved *saved = rl_lua_new(L, sizeof(*saved), SAVED);
	int err = rl_sched_save(saved);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* sched_restore(saved) -> true | nil, code: for the thread that saved */
static int lsched_restore(lua_State *L)
{
	return succeed(L, rl_sched_restore(luaL_checkudata(L, 1, SAVED)));
}

/* sched_of(shard) -> policy, priority, nice, slice, thread | nil, code */
static int lsched_of(lua_State *L)
{
	pid_t tid = rl_lua_fleet_tid(rl_lua_of(L), luaL_checkinteger(L, 1));
	struct rl_sched s;
	int err = tid > 0 ? rl_sched_get(tid, &s) : -ESRCH;
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushstring(L, s.policy < sizeof(names) / sizeof(*names) ? names[s.policy] : "unknown");
	lua_pushinteger(L, (lua_Integer)s.priority);
	lua_pushinteger(L, s.nice);
	lua_pushnumber(L, (lua_Number)s.slice_ns / 1e9);
	lua_pushinteger(L, tid);
	return 5;
}

static const luaL_Reg metamethods[] = {
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"sched_try", lsched_try},
	{"sched_set", lsched_set},
	{"sched_save", lsched_save},
	{"sched_restore", lsched_restore},
	{"sched_of", lsched_of},
	{NULL, NULL},
};

void rl_lua_open_sched(lua_State *L, struct rl_lua *h)
{
	rl_lua_class(L, h, SAVED, metamethods);
	lua_pop(L, 1);
	rl_lua_register(L, h, functions);
}
