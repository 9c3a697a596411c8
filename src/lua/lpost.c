/* SPDX-License-Identifier: MIT */
/*
 * lpost: messages between the Lua states of a run: values that travel, and on the other side one
 * function that is called with them, in the loop. lua/ringlet/post.lua knows who they are for.
 */
#include "lua/lcodec.h"
#include "lua/lrun.h"
#include "rt/fleet.h"

#include <stdlib.h>

/* A message in Lua: a handler's name and its arguments. */
struct lpost {
	struct rl_msg msg;
	uint32_t from;
	struct rl_parcel *parcel;
};

static void lpost_free(struct rl_msg *m)
{
	struct lpost *post = rl_container(m, struct lpost, msg);
	rl_parcel_put(post->parcel);
	free(post);
}

static void lpost_deliver(struct rl_shard *s, struct rl_msg *m)
{
	struct lpost *post = rl_container(m, struct lpost, msg);
	struct rl_lua *h = s->vm.self;
	lua_State *L = h->main;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->posted_ref);
	lua_pushinteger(L, (lua_Integer)post->from + 1);
	lua_pushlightuserdata(L, post->parcel);
	rl_lua_run_tell(h, 2);
	lpost_free(m);
}

/* post(shard, name, ...): call what `name` is there for on another shard, or on this one, in its
 * loop; never parks. Raises what cannot travel. */
static int lpost_send(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_shard *s = &h->shard;
	lua_Integer to = luaL_checkinteger(L, 1);
	if (!s->fleet || to < 1 || (size_t)to > s->fleet->size)
		rl_lua_misuse(L, h, "no such shard");
	struct rl_parcel *parcel = rl_lua_pack(L, h, 2, lua_gettop(L) - 1, "message");
	struct lpost *post = malloc(sizeof *post);
	if (!post) {
		rl_parcel_put(parcel);
		return luaL_error(L, "not enough memory");
	}
	*post = (struct lpost){.msg = {.deliver = lpost_deliver, .drop = lpost_free}, .from = s->index,
		.parcel = parcel};
	rl_fleet_send(s, (unsigned)to - 1, &post->msg);
	return 0;
}

/* opened(parcel) -> its values; of a message that is being delivered */
static int lpost_open(lua_State *L)
{
	return rl_lua_unpack(L, rl_lua_of(L), lua_touserdata(L, 1));
}

/* posted(fn): what is called with (shard, parcel) for each message */
static int lpost_hook(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_settop(L, 1);
	luaL_unref(L, LUA_REGISTRYINDEX, h->posted_ref);
	h->posted_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static const luaL_Reg functions[] = {
	{"post", lpost_send},
	{"opened", lpost_open},
	{"posted", lpost_hook},
	{NULL, NULL},
};

void rl_lua_open_post(lua_State *L, struct rl_lua *h)
{
	h->posted_ref = LUA_NOREF;
	rl_lua_register(L, h, functions);
}
