/* SPDX-License-Identifier: MIT */
/*
 * ltask: tasks from Lua: making, finding, cancelling and listing them. Slots are counted from 1
 * here, so that they index the array part of the shard's tables.
 */
#include "lua/lrun.h"

#include "base/err.h"
#include "lua/ltrace.h"

/* The live task with this slot and id, or NULL. */
static struct rl_task *ltask_at(lua_State *L, struct rl_lua *h)
{
	lua_Integer slot = lua_tointeger(L, 1);
	struct rl_task *t = slot > 0 ? rl_task_at(&h->shard, (uint32_t)(slot - 1)) : NULL;
	return t;
}

/* Put the function and the n arguments on top into one table, {n, fn, ...}. */
static void pack(lua_State *L, int n)
{
	lua_createtable(L, n + 2, 0);
	lua_insert(L, -n - 2);
	for (int i = n; i >= 0; i--)
		lua_rawseti(L, -2 - i, i + 2);
	lua_pushinteger(L, n);
	lua_rawseti(L, -2, 1);
}

/* body(threads, slot) -> the function of a task that never ran */
static int ltask_body(lua_State *L)
{
	struct rl_task *t = rl_task_at(&rl_lua_of(L)->shard, (uint32_t)lua_tointeger(L, 2) - 1);
	if (!t || t->state != RL_TASK_NEW)
		return 0;
	if (t->co) {
		lua_pushvalue(t->co, 1);
		lua_xmove(t->co, L, 1);
		return 1;
	}
	lua_rawgeti(L, 1, (int)t->slot + 1);
	if (lua_istable(L, -1))
		lua_rawgeti(L, -1, 2);
	return 1;
}

struct rl_task *rl_lua_spawn(lua_State *L, struct rl_lua *h, unsigned flags, int n, int threads)
{
	if (h->shard.trace)
		rl_lua_trace_site(L, h, n);
	struct rl_task *t = rl_task_new(&h->shard, flags);
	if (!t)
		return NULL;
	if (!t->co) {
		if (n > 0)
			pack(L, n);
		lua_rawseti(L, threads, (int)t->slot + 1);
		return t;
	}
	if (n > 8 && !lua_checkstack(t->co, n + 1)) {
		rl_wait_abandon(&h->shard, t);
		rl_task_free(&h->shard, t);
		return NULL;
	}
	lua_xmove(L, t->co, n + 1);
	return t;
}

static struct rl_task *spawn(lua_State *L, struct rl_lua *h, unsigned flags, int n, int threads)
{
	if (!h->shard.os)
		rl_lua_misuse(L, h, "not inside a task: tasks are made while rl.run is active");
	struct rl_task *t = rl_lua_spawn(L, h, flags, n, threads);
	if (!t)
		rl_lua_misuse(L, h, "too many tasks, or arguments");
	return t;
}

/* spawn(threads, flags, fn, ...) -> slot, id: a task without a handle */
static int ltask_spawn(lua_State *L)
{
	int n = lua_gettop(L) - 3;
	struct rl_task *t = spawn(L, rl_lua_of(L), (unsigned)lua_tointeger(L, 2), n, 1);
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	lua_pushinteger(L, (lua_Integer)t->id);
	return 2;
}

#if LUA_VERSION_NUM >= 504

/* The upvalues of a starter, behind the shard. */
enum { UP_FLAGS = 2, UP_THREADS, UP_HANDLES, UP_CLASS };

/* The error of what is told of new handles is on top. */
static void note_failed(lua_State *L, struct rl_lua *h)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->note_failed_ref);
	lua_insert(L, -2);
	lua_call(L, 1, 0);
}

/* starter(fn, ...) -> handle: rl.go and its kin in one call of C, a fifth faster than in Lua. With
 * LuaJIT, which compiles the Lua, it is the other way round. */
static int ltask_start(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (!lua_isfunction(L, 1))
		return luaL_error(L, "function expected, got %s", luaL_typename(L, 1));
	unsigned flags = (unsigned)lua_tointeger(L, lua_upvalueindex(UP_FLAGS));
	struct rl_task *t = spawn(L, h, flags, lua_gettop(L) - 1, lua_upvalueindex(UP_THREADS));
	lua_createtable(L, 4, 0);
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	lua_rawseti(L, -2, 1);
	lua_pushinteger(L, (lua_Integer)t->id);
	lua_rawseti(L, -2, 2);
	lua_pushinteger(L, 0);
	lua_rawseti(L, -2, 3);
	lua_pushvalue(L, lua_upvalueindex(UP_CLASS));
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_rawseti(L, lua_upvalueindex(UP_HANDLES), (int)t->slot + 1);
	if (h->note_ref != LUA_NOREF) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, h->note_ref);
		lua_pushvalue(L, -2);
		if (lua_pcall(L, 1, 0, 0) != 0)
			note_failed(L, h);
	}
	return 1;
}

/* starter(flags, class) -> function: see above */
static int ltask_starter(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_settop(L, 2);
	lua_pushlightuserdata(L, h);
	lua_pushvalue(L, 1);
	rl_lua_push_threads(L, h);
	rl_lua_push_handles(L, h);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, ltask_start, 5);
	return 1;
}

/* note(fn|nil, failed): what is told of each handle that a starter makes, and of its own errors */
static int ltask_note(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_settop(L, 2);
	luaL_unref(L, LUA_REGISTRYINDEX, h->note_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, h->note_failed_ref);
	h->note_failed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	h->note_ref = lua_isnil(L, 1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

#endif

/* tables() -> threads, handles */
static int ltask_tables(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_lua_push_threads(L, h);
	rl_lua_push_handles(L, h);
	return 2;
}

/* current() -> slot, id of the running task, or nothing */
static int ltask_current(lua_State *L)
{
	struct rl_task *t = rl_lua_of(L)->shard.current;
	if (!t)
		return 0;
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	lua_pushinteger(L, (lua_Integer)t->id);
	return 2;
}

/* handled(slot): the task's results are to be put into its handle */
static int ltask_handled(lua_State *L)
{
	struct rl_task *t = ltask_at(L, rl_lua_of(L));
	if (t)
		t->flags |= RL_TASK_HANDLED;
	return 0;
}

/* watch_end(slot): `ended` is to be called for this task */
static int ltask_watch_end(lua_State *L)
{
	struct rl_task *t = ltask_at(L, rl_lua_of(L));
	if (t)
		t->flags |= RL_TASK_WATCHED;
	return 0;
}

/* cancel(slot, on): set or clear that park points raise; a parked task is woken to hear of it */
static int ltask_cancel(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_task *t = ltask_at(L, h);
	if (!t)
		return 0;
	if (!lua_toboolean(L, 2)) {
		t->flags &= (uint8_t)~RL_TASK_CANCEL;
		t->raises = 0;
		return 0;
	}
	if (t->flags & RL_TASK_CANCEL)
		return 0;
	t->flags |= RL_TASK_CANCEL;
	if (rl_task_is_parked(t))
		rl_wait_end(&h->shard, t, -RL_ECANCEL);
	if (t == h->shard.current && h->credit_on) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, h->credit_ref);
		lua_pushinteger(L, 0);
		lua_rawseti(L, -2, 1);
		h->credit_on = false;
	}
	return 0;
}

static const char *ltask_state(const struct rl_task *t)
{
	static const char *const names[] = {"new", "runnable", "running", "parked", "parked"};
	return names[t->state];
}

/* info(slot) -> id, state, reason, seconds since, flags */
static int ltask_info(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_task *t = ltask_at(L, h);
	if (!t)
		return 0;
	lua_pushinteger(L, (lua_Integer)t->id);
	lua_pushstring(L, ltask_state(t));
	lua_pushstring(L, rl_task_is_parked(t) ? rl_reason_name(t->reason) : "");
	lua_pushnumber(L, rl_task_seconds(rl_task_ticks(h->shard.now_ns) - rl_task_since(t)));
	lua_pushinteger(L, t->flags);
	return 5;
}

/* slots() -> array of the slots of all live tasks */
static int ltask_slots(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int n = 0;
	lua_createtable(L, (int)h->shard.live, 0);
	for (uint32_t i = 0; (unsigned)n < h->shard.live; i++) {
		if (!rl_task_at(&h->shard, i))
			continue;
		lua_pushinteger(L, (lua_Integer)i + 1);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* yield() -> nothing | nil, code: to the end of the run queue. Parks. */
static int ltask_yield(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	t->result = 0;
	t->results = 0;
	t->fired = 0;
	t->reason = RL_REASON_YIELD;
	rl_ready_last(&h->shard, t);
	return lua_yield(L, 0);
}

/* sleep(seconds) -> nil, code (timed out is success here). Parks. */
static int ltask_sleep(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	luaL_checknumber(L, 1);
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	int64_t deadline = rl_lua_deadline(L, h, 1);
	if (deadline == 0)
		return ltask_yield(L);
	rl_wait_park(&h->shard, t, RL_REASON_SLEEP, deadline);
	return lua_yield(L, 0);
}

/* check(): raise unless the caller can park */
static int ltask_check(lua_State *L)
{
	rl_lua_check_park(L, rl_lua_of(L));
	return 0;
}

/* can_park() -> whether the caller runs inside a task */
static int ltask_inside(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_pushboolean(L, h->shard.current != NULL);
	return 1;
}

/* undaemon(): from now on run waits for the daemons too */
static int ltask_undaemon(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	for (uint32_t i = 0, n = 0; n < s->live; i++) {
		struct rl_task *t = rl_task_at(s, i);
		n += t != NULL;
		if (t)
			t->flags &= (uint8_t)~RL_TASK_DAEMON;
	}
	s->daemons = 0;
	return 0;
}

static const luaL_Reg functions[] = {
	{"undaemon", ltask_undaemon},
	{"spawn", ltask_spawn},
#if LUA_VERSION_NUM >= 504
	{"starter", ltask_starter},
	{"note", ltask_note},
#endif
	{"tables", ltask_tables},
	{"current", ltask_current},
	{"body", ltask_body},
	{"handled", ltask_handled},
	{"watch_end", ltask_watch_end},
	{"cancel", ltask_cancel},
	{"info", ltask_info},
	{"slots", ltask_slots},
	{"yield", ltask_yield},
	{"sleep", ltask_sleep},
	{"check", ltask_check},
	{"inside", ltask_inside},
	{NULL, NULL},
};

void rl_lua_open_task(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	lua_pushinteger(L, RL_TASK_DAEMON);
	lua_setfield(L, -2, "DAEMON");
	lua_pushinteger(L, RL_TASK_HANDLED);
	lua_setfield(L, -2, "HANDLED");
	lua_pushinteger(L, RL_TASK_OVERRAN);
	lua_setfield(L, -2, "OVERRAN");
	lua_createtable(L, 0, RL_REASONS);
	for (int i = 0; i < RL_REASONS; i++) {
		lua_pushinteger(L, i);
		lua_setfield(L, -2, rl_reason_name((unsigned)i));
	}
	lua_setfield(L, -2, "reasons");
	lua_pushinteger(L, -RL_ECANCEL);
	lua_setfield(L, -2, "ECANCEL");
	lua_pushinteger(L, -RL_ECLOSED);
	lua_setfield(L, -2, "ECLOSED");
	lua_pushinteger(L, -ETIMEDOUT);
	lua_setfield(L, -2, "ETIMEDOUT");
}
