/* SPDX-License-Identifier: MIT */
/* lsatomic: shared integers from Lua. */
#include "lua/lsobject.h"

#include "base/err.h"
#include "rt/satomic.h"

static struct rl_satomic *check_atomic(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_ATOMIC, "atomic");
}

static int lsatomic_load(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)rl_satomic_load(check_atomic(L, rl_lua_of(L))));
	return 1;
}

/* add(a, [n]) -> the new value; so sub */
static int lsatomic_add(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_satomic *a = check_atomic(L, h);
	int64_t n = rl_lsobject_integer(L, h, 2, 1, "what to add");
	lua_pushinteger(L, (lua_Integer)rl_satomic_add(&h->shard, a, n));
	return 1;
}

static int lsatomic_sub(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_satomic *a = check_atomic(L, h);
	int64_t n = rl_lsobject_integer(L, h, 2, 1, "what to take away");
	n = (int64_t)(0 - (uint64_t)n);
	lua_pushinteger(L, (lua_Integer)rl_satomic_add(&h->shard, a, n));
	return 1;
}

/* exchange(a, n) -> the old value */
static int lsatomic_exchange(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_satomic *a = check_atomic(L, h);
	int64_t n = rl_lsobject_need_integer(L, h, 2, "the new value");
	lua_pushinteger(L, (lua_Integer)rl_satomic_exchange(&h->shard, a, n));
	return 1;
}

static int lsatomic_store(lua_State *L)
{
	lsatomic_exchange(L);
	return 0;
}

/* cas(a, expected, n) -> true | false, what is there */
static int lsatomic_cas(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_satomic *a = check_atomic(L, h);
	int64_t expected = rl_lsobject_need_integer(L, h, 2, "the expected value");
	int64_t n = rl_lsobject_need_integer(L, h, 3, "the new value");
	bool done = rl_satomic_cas(&h->shard, a, &expected, n);
	lua_pushboolean(L, done);
	lua_pushinteger(L, (lua_Integer)expected);
	return done ? (lua_pop(L, 1), 1) : 2;
}

/* shared_atomic_wait(a, expected, [seconds]) -> true | nil, code. Parks. */
static int lsatomic_wait(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_satomic *a = check_atomic(L, h);
	int64_t expected = rl_lsobject_need_integer(L, h, 2, "the value to wait at");
	int64_t deadline_ns = rl_lua_deadline(L, h, 3);
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	int status = rl_satomic_wait(&h->shard, t, a, expected, deadline_ns);
	if (status == 0)
		return lua_yield(L, lua_gettop(L));
	if (status < 0)
		return rl_lua_fail(L, status);
	lua_pushboolean(L, 1);
	return 1;
}

static int lsatomic_tostring(lua_State *L)
{
	struct rl_satomic *a = check_atomic(L, rl_lua_of(L));
	lua_pushliteral(L, "ringlet.shared.atomic: ");
	lua_pushinteger(L, (lua_Integer)rl_satomic_load(a));
	lua_concat(L, 2);
	return 1;
}

/* shared_atomic([value]) -> atomic */
static int lsatomic_new(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int64_t n = rl_lsobject_integer(L, h, 1, 0, "the value");
	rl_lsobject_push(L, h, (struct rl_shared *)rl_satomic_new(n));
	return 1;
}

static const luaL_Reg methods[] = {
	{"load", lsatomic_load},
	{"store", lsatomic_store},
	{"add", lsatomic_add},
	{"sub", lsatomic_sub},
	{"exchange", lsatomic_exchange},
	{"cas", lsatomic_cas},
	{"__tostring", lsatomic_tostring},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"shared_atomic", lsatomic_new},
	{"shared_atomic_wait", lsatomic_wait},
	{NULL, NULL},
};

void rl_lua_open_satomic(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lsobject_class(L, h, RL_LSOBJECT_ATOMIC, &rl_satomic_class, methods);
	lua_setfield(L, -2, "shared_atomic_class");
}
