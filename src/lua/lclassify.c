/* SPDX-License-Identifier: MIT */
/*
 * lclassify: the classifiers of servers, and the priorities of connections. A classifier's userdata
 * is its memory; the server holds it.
 */
#include "lua/lnet.h"

#include "base/err.h"
#include "rt/classify.h"

#include <stdlib.h>
#include <string.h>

#define CLASSIFIER "ringlet.classifier"

struct lclassifier {
	struct rl_classifier classifier;
	struct rl_lua *shard;
	int fn_ref;     /* function(bytes, slot of the connection, slot of its task) -> number | nil */
	int failed_ref; /* function(error) */
};

/* Ctrl-C's hook raises in whatever runs next. */
static bool is_interrupt(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	return text && strstr(text, "interrupted!");
}

static void tell_failed(struct lclassifier *x, lua_State *L)
{
	struct rl_lua *h = x->shard;
	if (is_interrupt(L)) {
		h->interrupted = true;
		h->brk = 1;
		return;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, x->failed_ref);
	lua_insert(L, -2);
	if (lua_pcall(L, 1, 0, 0) != 0)
		return;
	lua_pushnil(L);
}

/* In the loop: the class that the user's function tells. */
static int ask(void *arg, struct rl_stream *s, const char *bytes, uint32_t len)
{
	struct lclassifier *x = arg;
	lua_State *L = x->shard->main;
	int top = lua_gettop(L), class = RL_ROUTE_NONE;
	luaL_checkstack(L, 6, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, x->fn_ref);
	lua_pushlstring(L, bytes, len);
	lua_pushinteger(L, (lua_Integer)s->slot + 1);
	lua_pushinteger(L, s->more->handler_id ? (lua_Integer)s->more->handler_slot + 1 : 0);
	if (lua_pcall(L, 3, 1, 0) != 0)
		tell_failed(x, L);
	else if (lua_isnumber(L, -1))
		class = (int)lua_tointeger(L, -1);
	lua_settop(L, top);
	return class >= 0 && class < RL_PRIORITIES ? class : RL_ROUTE_NONE;
}

/* {path, is_prefix, priority} on top -> the route */
static void read_route(lua_State *L, struct rl_route *r)
{
	size_t len;
	lua_rawgeti(L, -1, 1);
	lua_rawgeti(L, -2, 2);
	lua_rawgeti(L, -3, 3);
	const char *path = luaL_checklstring(L, -3, &len);
	if (len > RL_ROUTE_MAX)
		luaL_error(L, "a path of at most %d bytes expected", RL_ROUTE_MAX);
	memcpy(r->path, path, len);
	r->len = (uint8_t)len;
	r->is_prefix = lua_toboolean(L, -2);
	r->priority = (uint8_t)lua_tointeger(L, -1);
	lua_pop(L, 4);
}

static void read_routes(lua_State *L, int arg, struct rl_classifier *c)
{
	unsigned n = (unsigned)rl_rawlen(L, arg);
	c->routes = calloc(n ? n : 1, sizeof *c->routes);
	if (!c->routes)
		luaL_error(L, "not enough memory");
	for (; c->routes_len < n; c->routes_len++) {
		lua_rawgeti(L, arg, (int)c->routes_len + 1);
		read_route(L, &c->routes[c->routes_len]);
	}
	rl_classify_sort(c);
}

/* owner, base priority, routes, function or nil, budget or nil, function(error) -> classifier: in
 * use for the connections of that owner until it is closed or collected, or the run is over */
static int lclassify_new(lua_State *L)
{
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_net *net = rl_lnet_net(L, n);
	lua_settop(L, 6);
	luaL_checktype(L, 3, LUA_TTABLE);
	struct lclassifier *x = lua_newuserdata(L, sizeof *x);
	memset(x, 0, sizeof *x);
	x->shard = n->shard;
	x->fn_ref = x->failed_ref = LUA_NOREF;
	rl_list_init(&x->classifier.link);
	luaL_getmetatable(L, CLASSIFIER);
	lua_setmetatable(L, -2);
	struct rl_classifier *c = &x->classifier;
	c->owner = (uint32_t)lua_tointeger(L, 1);
	c->base = (uint8_t)lua_tointeger(L, 2);
	c->budget = luaL_optnumber(L, 5, -1);
	read_routes(L, 3, c);
	if (!lua_isnil(L, 4)) {
		lua_pushvalue(L, 4);
		x->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
		c->fn = ask;
		c->arg = x;
	}
	lua_pushvalue(L, 6);
	x->failed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	rl_classifier_add(net, c);
	return 1;
}

/* classifier: out of use; idempotent, and what collects it */
static int lclassify_close(lua_State *L)
{
	struct lclassifier *x = luaL_checkudata(L, 1, CLASSIFIER);
	rl_classifier_remove(&x->classifier, &x->shard->shard);
	free(x->classifier.routes);
	x->classifier.routes = NULL;
	x->classifier.routes_len = 0;
	luaL_unref(L, LUA_REGISTRYINDEX, x->fn_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, x->failed_ref);
	x->fn_ref = x->failed_ref = LUA_NOREF;
	return 0;
}

/* classifier -> critical, normal, background messages so far; those over the budget */
static int lclassify_counts(lua_State *L)
{
	const struct lclassifier *x = luaL_checkudata(L, 1, CLASSIFIER);
	for (unsigned p = 0; p < RL_PRIORITIES; p++)
		lua_pushinteger(L, (lua_Integer)x->classifier.classified[p]);
	lua_pushinteger(L, (lua_Integer)x->classifier.over);
	return RL_PRIORITIES + 1;
}

/* classifier, bytes -> priority | -1: no route | -2: more bytes are needed */
static int lclassify_bytes(lua_State *L)
{
	const struct lclassifier *x = luaL_checkudata(L, 1, CLASSIFIER);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushinteger(L, rl_classify_bytes(&x->classifier, bytes, (uint32_t)len));
	return 1;
}

/* conn, [slot of the task that has it]: it is classified from now on -> true | nil, code */
static int lclassify_begin(lua_State *L)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_stream *s = rl_lnet_conn(L, 1);
	lua_Integer slot = lua_tointeger(L, 2);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	int err = rl_classify_begin(s, slot > 0 ? rl_task_at(&h->shard, (uint32_t)slot - 1) : NULL);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* conn, [number] -> its priority, after it was set | nil, code */
static int lclassify_priority(lua_State *L)
{
	struct rl_stream *s = rl_lnet_conn(L, 1);
	if (!s || s->flags & RL_STREAM_CLOSED)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (!lua_isnoneornil(L, 2)) {
		lua_Integer priority = luaL_checkinteger(L, 2);
		luaL_argcheck(L, priority >= 0 && priority < RL_PRIORITIES, 2, "no priority");
		rl_classify_fix(s, (unsigned)priority);
	}
	lua_pushinteger(L, s->priority);
	return 1;
}

static const luaL_Reg functions[] = {
	{"net_classifier", lclassify_new},
	{"net_classifier_close", lclassify_close},
	{"net_classifier_counts", lclassify_counts},
	{"net_classifier_bytes", lclassify_bytes},
	{"net_classify", lclassify_begin},
	{"net_priority", lclassify_priority},
	{NULL, NULL},
};

void rl_lnet_open_classify(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	luaL_newmetatable(L, CLASSIFIER);
	lua_pushcfunction(L, lclassify_close);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}
