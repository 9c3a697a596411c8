/* SPDX-License-Identifier: MIT */
/*
 * lshared: objects that shards share, as userdata: one for each object and state, which holds a
 * reference; and the codec seen from Lua, with parcels as such objects.
 *
 * Invariants: the metatables of these userdata have a mark that nobody else can make. A userdata
 * holds NULL before it has its reference and after it gave it up.
 */
#include "lua/lparcel.h"

#include "lua/lstate.h"

#include <stdlib.h>
#include <string.h>

#define ERROR_MAX 2000

static const char mark; /* its address is the key of the mark */

void rl_lua_push_shared(lua_State *L, struct rl_lua *h, struct rl_shared *o)
{
	if (!h->codec)
		luaL_error(L, "this Lua state is closing");
	luaL_checkstack(L, 6, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->shared_ref);
	lua_pushlightuserdata(L, o);
	lua_rawget(L, -2);
	struct rl_shared **u = lua_touserdata(L, -1);
	if (u && *u == o) { /* NULL: its finalizer was called by hand, and `o` is another object */
		lua_remove(L, -2);
		return;
	}
	lua_pop(L, 1);
	u = lua_newuserdata(L, sizeof *u);
	*u = NULL;
	lua_getfield(L, LUA_REGISTRYINDEX, o->class->name);
	if (!lua_istable(L, -1))
		luaL_error(L, "cannot arrive: objects of %s are not known here", o->class->name);
	lua_setmetatable(L, -2);
	*u = rl_shared_get(o);
	lua_pushlightuserdata(L, o);
	lua_pushvalue(L, -2);
	lua_rawset(L, -4);
	lua_remove(L, -2);
}

struct rl_shared *rl_lua_to_shared(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
		return NULL;
	lua_pushlightuserdata(L, (void *)&mark);
	lua_rawget(L, -2);
	bool is_ours = lua_toboolean(L, -1);
	lua_pop(L, 2);
	return is_ours ? *(struct rl_shared **)lua_touserdata(L, index) : NULL;
}

static int lshared_gc(lua_State *L)
{
	struct rl_shared *o = rl_lua_to_shared(L, 1);
	if (o) {
		*(struct rl_shared **)lua_touserdata(L, 1) = NULL;
		rl_shared_put(o);
	}
	return 0;
}

void rl_lua_shared_class(lua_State *L, struct rl_lua *h, const struct rl_shared_class *class,
	const luaL_Reg *methods)
{
	static const luaL_Reg finalizer[] = {{"__gc", lshared_gc}, {NULL, NULL}};
	rl_lua_class(L, h, class->name, methods);
	rl_lua_register(L, h, finalizer);
	lua_pushlightuserdata(L, (void *)&mark);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
}

/* ---- parcels -------------------------------------------------------------------------------- */

struct box {
	struct rl_shared shared;
	struct rl_parcel *parcel;
};

static void box_free(struct rl_shared *o)
{
	struct box *b = (struct box *)o;
	rl_parcel_put(b->parcel);
	free(b);
}

static const struct rl_shared_class box_class = {"ringlet.parcel", box_free};

/* Push a parcel, whose reference is taken over also when this raises. */
static void push_box(lua_State *L, struct rl_lua *h, struct rl_parcel *p)
{
	struct box *b = malloc(sizeof *b);
	if (!b) {
		rl_parcel_put(p);
		luaL_error(L, "not enough memory");
	}
	rl_shared_init(&b->shared, &box_class);
	b->parcel = p;
	rl_lua_push_shared(L, h, &b->shared);
	rl_shared_put(&b->shared);
}

struct rl_parcel *rl_lua_check_parcel(lua_State *L, int arg)
{
	struct rl_shared *o = rl_lua_to_shared(L, arg);
	if (!o || o->class != &box_class)
		luaL_argerror(L, arg, "parcel expected");
	return ((struct box *)o)->parcel;
}

/* parcel(...) -> a parcel with these values; it may itself travel */
static int lshared_parcel(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	push_box(L, h, rl_lua_pack(L, h, 1, lua_gettop(L), "value"));
	return 1;
}

/* parcel_job(fn, ...) -> the same of a job; errors say so */
static int lshared_parcel_job(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	push_box(L, h, rl_lua_pack_job(L, h, 1, lua_gettop(L)));
	return 1;
}

/* unparcel(parcel) -> copies of the values */
static int lshared_unparcel(lua_State *L)
{
	return rl_lua_unpack(L, rl_lua_of(L), rl_lua_check_parcel(L, 1));
}

/* copy(value) -> what another shard gets of it, as one value: without a parcel if it is small */
static int lshared_copy(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_value v;
	luaL_checkany(L, 1);
	rl_lua_encode(L, h, 1, "value", &v);
	if (v.kind == RL_VALUE_PARCEL) {
		push_box(L, h, v.parcel); /* what arrives may raise */
		return rl_lua_unpack(L, h, v.parcel);
	}
	rl_lua_decode(L, h, &v);
	rl_value_drop(&v);
	return 1;
}

/* parcel_refs(parcel) -> how many userdata and parcels hold it; for leak checks */
static int lshared_parcel_refs(lua_State *L)
{
	rl_lua_check_parcel(L, 1);
	struct rl_shared *o = rl_lua_to_shared(L, 1);
	lua_pushinteger(L, (lua_Integer)atomic_load_explicit(&o->refs, memory_order_relaxed));
	return 1;
}

/* ---- another state -------------------------------------------------------------------------- */

struct visit {
	const struct rl_parcel *in;
	struct rl_parcel *out;
};

/* In the other state. */
static int visit_run(lua_State *L)
{
	struct visit *v = lua_touserdata(L, 1);
	struct rl_lua *h = rl_lua_of_state(L);
	lua_settop(L, 0);
	int n = rl_lua_unpack(L, h, v->in);
	lua_call(L, n - 1, LUA_MULTRET);
	v->out = rl_lua_pack(L, h, 1, lua_gettop(L), "result");
	return 0;
}

/* visit(parcel, [preload]) -> parcel: call the first value with the others, in a fresh Lua state on
 * this thread, which ends then. Raises the text of what it raised. */
static int lshared_visit(lua_State *L)
{
	char err[ERROR_MAX];
	struct rl_lua *h = rl_lua_of(L);
	struct visit v = {rl_lua_check_parcel(L, 1), NULL};
	if (v.in->values == 0)
		luaL_argerror(L, 1, "the parcel is empty");
	struct rl_lua_boot *boot = rl_lua_boot_capture(L, lua_istable(L, 2) ? 2 : 0);
	lua_State *other = rl_lua_state_new(boot, err, sizeof err);
	rl_lua_boot_put(boot);
	if (!other)
		return luaL_error(L, "%s", err);
	if (rl_cpcall(other, visit_run, &v) != LUA_OK) {
		const char *text = lua_tostring(other, -1);
		strncpy(err, text ? text : "an error that is no text", sizeof err - 1);
		err[sizeof err - 1] = '\0';
	}
	lua_close(other);
	if (!v.out)
		return luaL_error(L, "%s", err);
	push_box(L, h, v.out);
	return 1;
}

static const luaL_Reg functions[] = {
	{"parcel", lshared_parcel},
	{"parcel_job", lshared_parcel_job},
	{"unparcel", lshared_unparcel},
	{"copy", lshared_copy},
	{"parcel_refs", lshared_parcel_refs},
	{"visit", lshared_visit},
	{NULL, NULL},
};

void rl_lshared_open(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lua_shared_class(L, h, &box_class, NULL);
	lua_pop(L, 1);
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	h->codec->shared_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

void rl_lua_open_codec(lua_State *L, struct rl_lua *h)
{
	h->codec = calloc(1, sizeof *h->codec);
	if (!h->codec)
		luaL_error(L, "not enough memory");
	rl_lshared_open(L, h);
	rl_code_open(L, h);
	rl_name_open(L, h);
}

void rl_lua_codec_gone(struct rl_lua *h)
{
	if (!h->codec)
		return;
	rl_code_term(h);
	rl_pack_term(h->codec);
	free(h->codec);
	h->codec = NULL;
}
