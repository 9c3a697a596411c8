/* SPDX-License-Identifier: MIT */
/* lvalue: Lua values as struct rl_value and back. What is not small goes through lpack, lunpack. */
#include "lua/lparcel.h"

#include <string.h>

/* What needs no parcel. */
static bool encode_small(lua_State *L, int index, struct rl_value *out)
{
	size_t len;
	switch (lua_type(L, index)) {
	case LUA_TNIL:
		return true;
	case LUA_TBOOLEAN:
		out->kind = lua_toboolean(L, index) ? RL_VALUE_TRUE : RL_VALUE_FALSE;
		return true;
	case LUA_TNUMBER:
		out->kind = lua_isinteger(L, index) ? RL_VALUE_INTEGER : RL_VALUE_NUMBER;
		if (out->kind == RL_VALUE_INTEGER)
			out->integer = lua_tointeger(L, index);
		else
			out->number = lua_tonumber(L, index);
		return true;
	case LUA_TSTRING: {
		const char *s = lua_tolstring(L, index, &len);
		if (len > RL_VALUE_TEXT_MAX)
			return false;
		memcpy(out->text, s, len);
		out->len = (uint8_t)len;
		out->kind = RL_VALUE_TEXT;
		return true;
	}
	default:
		return false;
	}
}

void rl_lua_encode(lua_State *L, struct rl_lua *h, int index, const char *root,
	struct rl_value *out)
{
	memset(out, 0, sizeof *out);
	if (encode_small(L, index, out))
		return;
	luaL_checkstack(L, 8, NULL);
	struct rl_shared *o = rl_lua_to_shared(L, index);
	if (o) {
		out->shared = rl_shared_get(o);
		out->kind = RL_VALUE_SHARED;
		return;
	}
	out->parcel = rl_pack_one(L, h, index, root);
	out->kind = RL_VALUE_PARCEL;
}

void rl_lua_decode(lua_State *L, struct rl_lua *h, const struct rl_value *v)
{
	switch ((enum rl_value_kind)v->kind) {
	case RL_VALUE_NONE:
		lua_pushnil(L);
		break;
	case RL_VALUE_FALSE:
	case RL_VALUE_TRUE:
		lua_pushboolean(L, v->kind == RL_VALUE_TRUE);
		break;
	case RL_VALUE_INTEGER:
		lua_pushinteger(L, (lua_Integer)v->integer);
		break;
	case RL_VALUE_NUMBER:
		lua_pushnumber(L, v->number);
		break;
	case RL_VALUE_TEXT:
		lua_pushlstring(L, v->text, v->len);
		break;
	case RL_VALUE_SHARED:
		rl_lua_push_shared(L, h, v->shared);
		break;
	case RL_VALUE_PARCEL:
		rl_lua_unpack(L, h, v->parcel);
		break;
	}
}
