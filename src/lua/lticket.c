/* SPDX-License-Identifier: MIT */
/* lticket: see lticket.h. */
#include "lua/lticket.h"

#include "lua/lcodec.h"

#include <string.h>

#define GUARD "ringlet.value"

/* Scalars and texts: false for what only the codec makes, of which nothing is pushed. */
static bool push_plain(lua_State *L, const struct rl_value *v, const char *text)
{
	switch ((enum rl_value_kind)v->kind) {
	case RL_VALUE_NONE:
		lua_pushnil(L);
		return true;
	case RL_VALUE_FALSE:
	case RL_VALUE_TRUE:
		lua_pushboolean(L, v->kind == RL_VALUE_TRUE);
		return true;
	case RL_VALUE_INTEGER:
		lua_pushinteger(L, (lua_Integer)v->integer);
		return true;
	case RL_VALUE_NUMBER:
		lua_pushnumber(L, v->number);
		return true;
	case RL_VALUE_TEXT:
		lua_pushlstring(L, v->len > RL_VALUE_TEXT_MAX ? text : v->text, v->len);
		return true;
	case RL_VALUE_SHARED:
	case RL_VALUE_PARCEL:
		break;
	}
	return false;
}

static int guard_gc(lua_State *L)
{
	rl_value_drop(lua_touserdata(L, 1));
	return 0;
}

void rl_lua_take_value(lua_State *L, struct rl_lua *h, struct rl_value *v, const char *text)
{
	if (push_plain(L, v, text))
		return;
	struct rl_value *guard = rl_lua_new(L, sizeof *guard, GUARD);
	*guard = *v;
	rl_lua_decode(L, h, guard);
	rl_value_drop(guard);
	lua_remove(L, -2);
}

int rl_lua_push_arrived(lua_State *L, struct rl_lua *h, struct rl_waiter *w)
{
	int n = 1;
	lua_checkstack(L, 4);
	if (w->index > 0) {
		lua_pushinteger(L, w->index);
		n++;
	}
	if (w->code < 0) {
		lua_pushnil(L);
		lua_pushinteger(L, w->code);
		n++;
	} else if (w->value.kind == RL_VALUE_NONE) {
		lua_pushboolean(L, 1);
	} else if (!push_plain(L, &w->value, w->text)) {
		rl_waiter_keep(&h->shard, w);
		lua_pushlightuserdata(L, w);
		return n;
	}
	rl_waiter_free(&h->shard, w);
	return n;
}

void rl_lua_arrived(void *vm, struct rl_task *t, struct rl_waiter *w)
{
	t->results = (uint16_t)rl_lua_push_arrived(t->co, vm, w);
}

/* taken(v) -> v, or the value that it stands for */
static int lticket_taken(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (!lua_islightuserdata(L, 1)) {
		lua_settop(L, 1);
		return 1;
	}
	struct rl_waiter *w = lua_touserdata(L, 1);
	struct rl_value v = w->value;
	memset(&w->value, 0, sizeof w->value);
	rl_waiter_free(&h->shard, w);
	rl_lua_take_value(L, h, &v, NULL);
	return 1;
}

static const luaL_Reg functions[] = {
	{"taken", lticket_taken},
	{NULL, NULL},
};

void rl_lua_open_ticket(lua_State *L, struct rl_lua *h)
{
	static const luaL_Reg guard[] = {{"__gc", guard_gc}, {NULL, NULL}};
	rl_lua_register(L, h, functions);
	rl_lua_class(L, h, GUARD, guard);
	lua_pop(L, 1);
}
