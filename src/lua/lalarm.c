/* SPDX-License-Identifier: MIT */
/*
 * lalarm: a timer that calls a Lua function in the run loop; what tickers, deadlines of scopes and
 * the like are made of. The function must not park. An alarm that is set is anchored until it
 * fired.
 */
#include "lua/lshard.h"

#define ALARM_CLASS "ringlet.alarm"

struct lalarm {
	struct rl_alarm alarm;
	struct rl_lua *shard;
	int self_ref; /* registry: the userdata while it is set; its function is in its companion */
};

static struct lalarm *check_alarm(lua_State *L)
{
	return luaL_checkudata(L, 1, ALARM_CLASS);
}

static void alarm_unset(lua_State *L, struct lalarm *a)
{
	rl_alarm_stop(&a->shard->shard, &a->alarm);
	luaL_unref(L, LUA_REGISTRYINDEX, a->self_ref);
	a->self_ref = LUA_NOREF;
}

static void alarm_fire(struct rl_alarm *alarm)
{
	struct lalarm *a = rl_container(alarm, struct lalarm, alarm);
	lua_State *L = a->shard->main;
	int ref = a->self_ref;
	a->self_ref = LUA_NOREF;
	lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
	luaL_unref(L, LUA_REGISTRYINDEX, ref);
	rl_push_companion(L, lua_gettop(L));
	lua_rawgeti(L, -1, 1);
	if (lua_pcall(L, 0, 0, 0) != 0)
		lua_pop(L, 1);
	lua_pop(L, 2);
}

/* alarm(fn) -> alarm */
static int lalarm_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	struct lalarm *a = rl_lua_new(L, sizeof *a, ALARM_CLASS);
	rl_alarm_init(&a->alarm, alarm_fire);
	a->shard = rl_lua_of(L);
	a->self_ref = LUA_NOREF;
	lua_createtable(L, 1, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	rl_set_companion(L, 2);
	return 1;
}

/* alarm_set(a, seconds): fires once, that long from now; moves it if it is set */
static int lalarm_set(lua_State *L)
{
	struct lalarm *a = check_alarm(L);
	int64_t deadline = rl_lua_deadline(L, a->shard, 2);
	rl_lua_check_run(L, a->shard);
	alarm_unset(L, a);
	if (deadline < 0)
		return 0;
	rl_alarm_set(&a->shard->shard, &a->alarm, deadline > 0 ? deadline : a->shard->shard.now_ns);
	lua_pushvalue(L, 1);
	a->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* alarm_stop(a) -> whether it was set */
static int lalarm_stop(lua_State *L)
{
	struct lalarm *a = check_alarm(L);
	lua_pushboolean(L, rl_alarm_is_set(&a->alarm));
	alarm_unset(L, a);
	return 1;
}

static int lalarm_gc(lua_State *L)
{
	struct lalarm *a = check_alarm(L);
	rl_alarm_stop(&a->shard->shard, &a->alarm);
	return 0;
}

static const luaL_Reg functions[] = {
	{"alarm", lalarm_new},
	{"alarm_set", lalarm_set},
	{"alarm_stop", lalarm_stop},
	{NULL, NULL},
};

static const luaL_Reg methods[] = {
	{"__gc", lalarm_gc},
	{NULL, NULL},
};

void rl_lua_open_alarm(lua_State *L, struct rl_lua *h)
{
	rl_lua_class(L, h, ALARM_CLASS, methods);
	lua_pop(L, 1);
	rl_lua_register(L, h, functions);
}
