/* SPDX-License-Identifier: MIT */
/*
 * lcontent: open files, as lua/ringlet/http_file.lua has them; what sends them is in lhttp.c. A
 * function that parked returns true, and the one that its comment names is called next.
 */
#include "lua/lnet.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/http_date.h"
#include "rt/content.h"

#include <string.h>

#define CONTENT "ringlet.content"
#define TAG_LEN 16

struct rl_content **rl_lnet_content(lua_State *L, int arg)
{
	return (struct rl_content **)rl_lnet_handle(L, rl_lnet_of(L)->content_class, arg, "file");
}

static struct rl_content **new_content(lua_State *L)
{
	struct rl_content **handle = lua_newuserdata(L, sizeof *handle);
	*handle = NULL;
	luaL_getmetatable(L, CONTENT);
	lua_setmetatable(L, -2);
	return handle;
}

/* What is another as soon as the file is, or was changed (RFC 9110 8.8.3); it tells nothing
 * else. */
static void push_tag(lua_State *L, const struct rl_file_info *info)
{
	static const char digits[] = "0123456789abcdef";
	const uint64_t facts[] = {
		info->dev, info->ino, (uint64_t)info->size,
		(uint64_t)info->mtime_s * 1000000000u + info->mtime_ns,
	};
	uint64_t hash = rl_hash_bytes(facts, sizeof facts, 0);
	char tag[TAG_LEN];
	for (int i = 0; i < TAG_LEN; i++)
		tag[i] = digits[hash >> 4 * i & 15];
	lua_pushlstring(L, tag, TAG_LEN);
}

/* -> what it is (0 a file, 1 a directory, 2 something else), size, seconds of its change, a tag,
 * the change as a date */
static int give_info(lua_State *L, const struct rl_content *c)
{
	const struct rl_file_info *info = &c->info;
	char date[RL_HTTP_DATE_LEN];
	lua_pushinteger(L, info->kind);
	lua_pushnumber(L, (lua_Number)info->size);
	lua_pushnumber(L, (lua_Number)info->mtime_s);
	push_tag(L, info);
	rl_http_date_format(date, info->mtime_s);
	lua_pushlstring(L, date, sizeof date);
	return 5;
}

static int give(lua_State *L, struct rl_content *c)
{
	return c->done ? 1 + give_info(L, c) : 1;
}

/* directory or nil, path, whether it is kept open -> file, and, if that is known, as file_wait |
 * nil, code */
static int lcontent_open(lua_State *L)
{
	size_t len;
	struct rl_content *root = lua_isnil(L, 1) ? NULL : *rl_lnet_content(L, 1);
	const char *path = luaL_checklstring(L, 2, &len);
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	if (strlen(path) != len)
		return rl_lua_fail(L, -EINVAL);
	if (!root && !lua_isnil(L, 1))
		return rl_lua_fail(L, -RL_ECLOSED);
	rl_lua_check_park(L, rl_lua_of(L));
	struct rl_content **handle = new_content(L);
	int err = rl_content_open(net, root, path, lua_toboolean(L, 3), handle);
	return err < 0 ? rl_lua_fail(L, err) : give(L, *handle);
}

/* descriptor -> file, and as file_wait | nil, code */
static int lcontent_adopt(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	struct rl_content **handle = new_content(L);
	int err = rl_content_adopt(net, fd, handle);
	return err < 0 ? rl_lua_fail(L, err) : give(L, *handle);
}

/* file -> what give_info says | true after a wait | nil, code */
static int lcontent_wait(lua_State *L)
{
	struct rl_content *c = *rl_lnet_content(L, 1);
	if (!c)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (!c->done)
		return rl_lua_park(L, rl_lua_of(L), &c->waiters, RL_REASON_OPEN, -1);
	return c->err < 0 ? rl_lua_fail(L, c->err) : give_info(L, c);
}

static int lcontent_close(lua_State *L)
{
	struct rl_content **handle = rl_lnet_content(L, 1);
	struct rl_content *c = *handle;
	*handle = NULL;
	if (c)
		rl_content_disown(c);
	return 0;
}

/* file -> is it closed, or of a run that is over? */
static int lcontent_is_closed(lua_State *L)
{
	struct rl_content *c = *rl_lnet_content(L, 1);
	lua_pushboolean(L, !c || (c->done && c->fd < 0));
	return 1;
}

/* text -> seconds, of a date of HTTP; nil if it is none */
static int lcontent_date(lua_State *L)
{
	size_t len;
	int64_t seconds;
	const char *text = luaL_checklstring(L, 1, &len);
	struct rl_os *os = rl_lnet_net(L, rl_lnet_of(L))->os;
	if (rl_http_date_parse(text, len, os->ops->time(os) / 1000000000, &seconds) < 0)
		return 0;
	lua_pushnumber(L, (lua_Number)seconds);
	return 1;
}

static const luaL_Reg functions[] = {
	{"file_open", lcontent_open},
	{"file_adopt", lcontent_adopt},
	{"file_wait", lcontent_wait},
	{"file_close", lcontent_close},
	{"file_is_closed", lcontent_is_closed},
	{"http_date", lcontent_date},
	{NULL, NULL},
};

static const luaL_Reg methods[] = {{"__gc", lcontent_close}, {NULL, NULL}};

void rl_lnet_open_content(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	luaL_newmetatable(L, CONTENT);
	rl_lnet_register(L, n, methods);
	n->content_class = lua_topointer(L, -1);
	lua_pop(L, 1);
}
