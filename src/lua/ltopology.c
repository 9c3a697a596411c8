/* SPDX-License-Identifier: MIT */
/*
 * ltopology: what the machine gives this process, as tables, and placing the thread that calls.
 * lua/ringlet/placement.lua has the policy.
 *
 * Invariant: what the system or malloc gave is in a userdata before a Lua error can be raised, and
 * is freed by its __gc if not sooner.
 */
#include "lua/ltopology.h"

#include "base/err.h"

#define HOLDER "ringlet.core.place"

struct ltopology {
	struct rl_topology *t;
	struct rl_cpus cpus;
	struct rl_topology_place saved;
};

static void holder_term(struct ltopology *p)
{
	rl_topology_free(p->t);
	p->t = NULL;
	rl_cpus_term(&p->cpus);
	rl_topology_forget(&p->saved);
}

static int ltopology_gc(lua_State *L)
{
	holder_term(lua_touserdata(L, 1));
	return 0;
}

static struct ltopology *new_holder(lua_State *L)
{
	return rl_lua_new(L, sizeof(struct ltopology), HOLDER);
}

static void push_cpus(lua_State *L, const struct rl_cpus *c)
{
	lua_createtable(L, (int)c->len, 0);
	for (unsigned i = 0; i < c->len; i++) {
		lua_pushinteger(L, (lua_Integer)c->at[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

int rl_lua_cpus_of_list(lua_State *L, int index, struct rl_cpus *out)
{
	int err = 0;
	for (int i = 1; i <= (int)rl_rawlen(L, index) && err == 0; i++) {
		lua_rawgeti(L, index, i);
		lua_Number n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
		lua_pop(L, 1);
		if (n >= RL_CPUS_MAX)
			err = -ERANGE;
		else if (n >= 0 && n == (lua_Number)(unsigned)n)
			err = rl_cpus_add(out, (unsigned)n);
		else
			err = -EINVAL;
	}
	return err;
}

/* cpu_list("0-3,8") -> {0, 1, 2, 3, 8} | nil, code */
static int ltopology_cpu_list(lua_State *L)
{
	const char *text = luaL_checkstring(L, 1);
	struct ltopology *p = new_holder(L);
	int err = rl_cpus_parse(&p->cpus, text);
	if (err < 0)
		return rl_lua_fail(L, err);
	push_cpus(L, &p->cpus);
	holder_term(p);
	return 1;
}

/* topology([root]) -> {cpus = {0, ...}, quota = number | nil, nodes = {{0, ..., id = 0}, ...}}
 * | nil, code. root: where a test has its own /proc and /sys. */
static int ltopology_topology(lua_State *L)
{
	const char *root = luaL_optstring(L, 1, "");
	struct ltopology *p = new_holder(L);
	int err = rl_topology_read(&p->t, root, NULL);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_createtable(L, 0, 3);
	push_cpus(L, &p->t->cpus);
	lua_setfield(L, -2, "cpus");
	if (p->t->quota > 0) {
		lua_pushnumber(L, p->t->quota);
		lua_setfield(L, -2, "quota");
	}
	lua_createtable(L, (int)p->t->nodes_len, 0);
	for (unsigned i = 0; i < p->t->nodes_len; i++) {
		push_cpus(L, &p->t->nodes[i].cpus);
		lua_pushinteger(L, (lua_Integer)p->t->nodes[i].id);
		lua_setfield(L, -2, "id");
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -2, "nodes");
	holder_term(p);
	return 1;
}

static int fail_at(lua_State *L, struct ltopology *p, int code, const char *what)
{
	holder_term(p);
	lua_pushnil(L);
	lua_pushinteger(L, code);
	lua_pushstring(L, what);
	return 3;
}

/* place(cpus | nil, node | nil, name | nil) -> true | nil, code, what: the calling thread, for what
 * is given (false is nil; node -1: wherever it runs). `what` says where it failed: "topology",
 * "name", "cpus", "node". That is the order, and what was done stays: containers may forbid the
 * last. */
static int ltopology_place(lua_State *L)
{
	lua_settop(L, 3);
	bool pins = lua_toboolean(L, 1), binds = lua_toboolean(L, 2);
	if (pins)
		luaL_checktype(L, 1, LUA_TTABLE);
	int node = binds ? (int)luaL_checkinteger(L, 2) : 0;
	const char *name = lua_toboolean(L, 3) ? luaL_checkstring(L, 3) : NULL;
	struct ltopology *p = new_holder(L);
	int err = rl_topology_read(&p->t, "", NULL);
	if (err < 0)
		return fail_at(L, p, err, "topology");
	if (name)
		err = rl_topology_name(p->t, name);
	if (err < 0)
		return fail_at(L, p, err, "name");
	if (pins)
		err = rl_lua_cpus_of_list(L, 1, &p->cpus);
	if (err == 0 && pins)
		err = rl_topology_pin(p->t, &p->cpus);
	if (err < 0)
		return fail_at(L, p, err, "cpus");
	if (binds)
		err = rl_topology_bind(p->t, node);
	if (err < 0)
		return fail_at(L, p, err, "node");
	holder_term(p);
	lua_pushboolean(L, 1);
	return 1;
}

/* place_save() -> how the calling thread is placed | nil, code */
static int ltopology_place_save(lua_State *L)
{
	struct ltopology *p = new_holder(L);
	int err = rl_topology_read(&p->t, "", NULL);
	if (err == 0)
		err = rl_topology_save(p->t, &p->saved);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* place_restore(saved) -> true | nil, code: for the thread that saved; as often as one likes */
static int ltopology_place_restore(lua_State *L)
{
	struct ltopology *p = luaL_checkudata(L, 1, HOLDER);
	int err = p->t ? rl_topology_restore(p->t, &p->saved) : -EINVAL;
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg metamethods[] = {
	{"__gc", ltopology_gc},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"cpu_list", ltopology_cpu_list},
	{"topology", ltopology_topology},
	{"place", ltopology_place},
	{"place_save", ltopology_place_save},
	{"place_restore", ltopology_place_restore},
	{NULL, NULL},
};

void rl_lua_open_topology(lua_State *L, struct rl_lua *h)
{
	rl_lua_class(L, h, HOLDER, metamethods);
	lua_pop(L, 1);
	rl_lua_register(L, h, functions);
}
