/* SPDX-License-Identifier: MIT */
/*
 * lpriority: who goes first, from Lua: priorities of tasks, and the memory through which programs
 * in the kernel see a shard's state and tell it that something critical has come.
 */
#include "lua/lshard.h"

#include "rt/beacon.h"
#include "rt/urgency.h"

/* priority(slot, [number]) -> the priority of a live task, after it was set; nothing: it is over */
static int lpriority_task(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_Integer slot = lua_tointeger(L, 1);
	struct rl_task *t = slot > 0 ? rl_task_at(&h->shard, (uint32_t)(slot - 1)) : NULL;
	if (!t)
		return 0;
	if (!lua_isnoneornil(L, 2)) {
		lua_Integer priority = luaL_checkinteger(L, 2);
		luaL_argcheck(L, priority >= 0 && priority < RL_PRIORITIES, 2, "no priority");
		rl_task_set_priority(&h->shard, t, (unsigned)priority);
	}
	lua_pushinteger(L, t->priority);
	return 1;
}

/* Memory that was mapped for this; nil: none. */
static void *check_memory(lua_State *L, struct rl_lua *h)
{
	if (lua_isnoneornil(L, 1))
		return NULL;
	luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
	if (!h->shard.os)
		luaL_error(L, "not inside a task: there is no shard outside of rl.run");
	return lua_touserdata(L, 1);
}

/* urgent(struct rl_urgent * | nil): that this shard looks at from now on, until the end of the run.
 * It must stay mapped that long, or until nil is given. */
static int lpriority_urgent(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_urgency_watch(&h->shard, check_memory(L, h));
	return 0;
}

/* urgent_counts() -> how often the word rose; how often nothing came of it */
static int lpriority_urgent_counts(lua_State *L)
{
	const struct rl_urgency *u = &rl_lua_of(L)->shard.urgency;
	lua_pushinteger(L, (lua_Integer)u->hints);
	lua_pushinteger(L, (lua_Integer)u->spurious);
	return 2;
}

/* beacon(struct rl_beacon * | nil): where this shard shows its state, likewise */
static int lpriority_beacon(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_beacon_use(&h->shard, check_memory(L, h));
	return 0;
}

static const luaL_Reg functions[] = {
	{"priority", lpriority_task},
	{"urgent", lpriority_urgent},
	{"urgent_counts", lpriority_urgent_counts},
	{"beacon", lpriority_beacon},
	{NULL, NULL},
};

void rl_lua_open_priority(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
