/* SPDX-License-Identifier: MIT */
/* lsobject: see lsobject.h. */
#include "lua/lsobject.h"

#include "base/err.h"

void rl_lsobject_class(lua_State *L, struct rl_lua *h, enum rl_lsobject kind,
	const struct rl_shared_class *class, const luaL_Reg *methods)
{
	rl_lua_shared_class(L, h, class, methods);
	h->object_classes[kind] = lua_topointer(L, -1);
}

/* A metatable of ours is known by its address: the registry keeps it. */
void *rl_lsobject_check(lua_State *L, struct rl_lua *h, enum rl_lsobject kind, const char *what)
{
	void *const *u = lua_touserdata(L, 1), *o = NULL;
	if (u && lua_getmetatable(L, 1)) {
		if (lua_topointer(L, -1) == h->object_classes[kind])
			o = *u;
		lua_pop(L, 1);
	}
	if (o)
		return o;
	lua_pushfstring(L, "%s expected, got %s", what, luaL_typename(L, 1));
	rl_lua_misuse(L, h, lua_tostring(L, -1));
}

void rl_lsobject_push(lua_State *L, struct rl_lua *h, struct rl_shared *o)
{
	if (!o)
		luaL_error(L, "not enough memory");
	rl_lua_push_shared(L, h, o);
	rl_shared_put(o);
}

#if LUA_VERSION_NUM >= 504

static bool to_integer(lua_State *L, int arg, int64_t *n)
{
	int exact;
	*n = lua_tointegerx(L, arg, &exact);
	return exact;
}

#else

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

/* Beyond, neighbours of a whole number are the same double. */
static bool to_integer(lua_State *L, int arg, int64_t *n)
{
	double d = lua_tonumber(L, arg);
	if (!(d >= -EXACT_MAX && d <= EXACT_MAX))
		return false;
	*n = (int64_t)d;
	return (double)*n == d;
}

#endif

int64_t rl_lsobject_need_integer(lua_State *L, struct rl_lua *h, int arg, const char *what)
{
	int64_t n;
	if (lua_type(L, arg) == LUA_TNUMBER && to_integer(L, arg, &n))
		return n;
	lua_pushfstring(L, "%s must be a whole number that is exact", what);
	rl_lua_misuse(L, h, lua_tostring(L, -1));
}

int64_t rl_lsobject_integer(lua_State *L, struct rl_lua *h, int arg, int64_t def, const char *what)
{
	return lua_isnoneornil(L, arg) ? def : rl_lsobject_need_integer(L, h, arg, what);
}

int rl_lsobject_fail(lua_State *L, int code, const char *text)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", rl_err_name(code), text);
	lua_pushstring(L, rl_err_name(code));
	return 3;
}
