/* SPDX-License-Identifier: MIT */
/*
 * lzlib: zlib's streams, as lua/ringlet/zlib.lua calls them: a library of its own, which only the
 * rock ringlet-zlib has. It needs nothing of the core.
 *
 * Invariants: a stream's memory is zlib's, allocated by malloc, from `open` until it is closed or
 * collected; so is what comes out, until it was given. What inflating gives never takes more memory
 * than the caller allows.
 */
#include "lua/compat.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define STREAM "ringlet.zlib.core"
#define LEAST 1024u /* first allocation for what comes out */
#define MOST 1e15   /* bytes; no number of Lua above it is a size */

struct out {
	char *bytes;
	size_t len, size, max;
};

struct lzlib {
	z_stream z;
	struct out out; /* what the call under way gives */
	int bits;       /* as inflateInit2 takes them */
	bool open, inflates;
	bool ended;     /* the end of the stream was read or written */
};

static struct lzlib *check_stream(lua_State *L, bool inflates)
{
	struct lzlib *x = luaL_checkudata(L, 1, STREAM);
	if (!x->open || x->inflates != inflates)
		luaL_error(L, "the stream is closed");
	return x;
}

/* Closed, with its metatable. */
static struct lzlib *new_stream(lua_State *L)
{
	struct lzlib *x = lua_newuserdata(L, sizeof *x);
	memset(x, 0, sizeof *x);
	luaL_getmetatable(L, STREAM);
	lua_setmetatable(L, -2);
	return x;
}

/* bits, level, memory -> stream, or nothing: there is no memory */
static int lzlib_deflater(lua_State *L)
{
	int bits = (int)luaL_checkinteger(L, 1), level = (int)luaL_checkinteger(L, 2);
	int memory = (int)luaL_checkinteger(L, 3);
	struct lzlib *x = new_stream(L);
	x->bits = bits;
	if (deflateInit2(&x->z, level, Z_DEFLATED, bits, memory, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	x->open = true;
	return 1;
}

/* bits -> stream, or nothing: there is no memory */
static int lzlib_inflater(lua_State *L)
{
	int bits = (int)luaL_checkinteger(L, 1);
	struct lzlib *x = new_stream(L);
	x->bits = bits;
	x->inflates = true;
	if (inflateInit2(&x->z, bits) != Z_OK)
		return 0;
	x->open = true;
	return 1;
}

static void forget(struct lzlib *x, size_t max)
{
	free(x->out.bytes);
	x->out = (struct out){.max = max};
}

static void close_stream(struct lzlib *x)
{
	forget(x, 0);
	if (x->open && x->inflates)
		inflateEnd(&x->z);
	else if (x->open)
		deflateEnd(&x->z);
	x->open = false;
}

/* stream: idempotent */
static int lzlib_close(lua_State *L)
{
	close_stream(luaL_checkudata(L, 1, STREAM));
	return 0;
}

/* stream: begin again */
static int lzlib_reset(lua_State *L)
{
	struct lzlib *x = luaL_checkudata(L, 1, STREAM);
	if (!x->open)
		return luaL_error(L, "the stream is closed");
	if (x->inflates)
		inflateReset2(&x->z, x->bits);
	else
		deflateReset(&x->z);
	x->ended = false;
	return 0;
}

/* stream -> was the end of it read or written? */
static int lzlib_ended(lua_State *L)
{
	const struct lzlib *x = luaL_checkudata(L, 1, STREAM);
	lua_pushboolean(L, x->ended);
	return 1;
}

/* Room for more, up to the most that may be. */
static bool grow(struct out *o)
{
	size_t size = o->size > 0 ? o->size * 2 : LEAST;
	if (size > o->max)
		size = o->max;
	char *grown = realloc(o->bytes, size > 0 ? size : 1);
	if (!grown)
		return false;
	o->bytes = grown;
	o->size = size;
	return true;
}

static int give(lua_State *L, struct lzlib *x)
{
	lua_pushlstring(L, x->out.bytes ? x->out.bytes : "", x->out.len);
	forget(x, 0);
	return 1;
}

static int give_up(lua_State *L, struct lzlib *x, const char *what, const char *why)
{
	forget(x, 0);
	lua_pushnil(L);
	lua_pushstring(L, what);
	lua_pushstring(L, why);
	return 3;
}

static void set_in(lua_State *L, z_stream *z, int arg)
{
	size_t len;
	const char *data = luaL_checklstring(L, arg, &len);
	if (len > UINT32_MAX)
		luaL_error(L, "at most 4 GiB at a time");
	z->next_in = (Bytef *)data;
	z->avail_in = (uInt)len;
}

static void set_out(z_stream *z, const struct out *o)
{
	size_t room = o->size - o->len;
	z->next_out = (Bytef *)o->bytes + o->len;
	z->avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
}

/* stream, data, how ("none", "sync", "finish") -> string | nil, "memory" */
static int lzlib_deflate(lua_State *L)
{
	static const char *const names[] = {"none", "sync", "finish", NULL};
	static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
	struct lzlib *x = check_stream(L, false);
	z_stream *z = &x->z;
	int flush = flushes[luaL_checkoption(L, 3, NULL, names)], status;
	set_in(L, z, 2);
	forget(x, SIZE_MAX);
	do {
		if (!grow(&x->out))
			return give_up(L, x, "memory", NULL);
		set_out(z, &x->out);
		status = deflate(z, flush);
		x->out.len = (size_t)((char *)z->next_out - x->out.bytes);
	} while (z->avail_out == 0 && status == Z_OK);
	x->ended = status == Z_STREAM_END;
	return give(L, x);
}

/* One stream of a message ends, and another may begin, with the same window (RFC 7692 7.2.3.5). */
static int go_on(struct lzlib *x)
{
	Bytef window[1 << MAX_WBITS];
	uInt len = 0;
	if (inflateGetDictionary(&x->z, window, &len) != Z_OK || inflateReset(&x->z) != Z_OK)
		return Z_STREAM_ERROR;
	return len > 0 ? inflateSetDictionary(&x->z, window, len) : Z_OK;
}

/* Is anything left that there is no room for? */
static int inflate_beyond(struct lzlib *x)
{
	Bytef one;
	x->z.next_out = &one;
	x->z.avail_out = 1;
	return inflate(&x->z, Z_SYNC_FLUSH);
}

/* Inflate what next_in has. Gives zlib's status; Z_BUF_ERROR: it is more than may be. */
static int inflate_all(struct lzlib *x, bool message)
{
	struct out *o = &x->out;
	z_stream *z = &x->z;
	int status = Z_OK;
	for (;;) {
		bool full = o->len == o->max;
		if (!full && o->len == o->size && !grow(o))
			return Z_MEM_ERROR;
		set_out(z, o);
		status = full ? inflate_beyond(x) : inflate(z, Z_SYNC_FLUSH);
		if (full && z->avail_out == 0)
			return Z_BUF_ERROR;
		if (!full)
			o->len = (size_t)((char *)z->next_out - o->bytes);
		if (status == Z_STREAM_END && message)
			status = go_on(x);
		else if (status == Z_STREAM_END)
			return status;
		if (status != Z_OK && status != Z_BUF_ERROR)
			return status;
		if (z->avail_in == 0 && z->avail_out > 0)
			return Z_OK;
	}
}

static int not_inflated(lua_State *L, struct lzlib *x, int status)
{
	if (status == Z_BUF_ERROR)
		return give_up(L, x, "size", NULL);
	if (status == Z_MEM_ERROR)
		return give_up(L, x, "memory", NULL);
	return give_up(L, x, "data", status == Z_NEED_DICT ? "it needs a dictionary" : x->z.msg);
}

/* stream, data, most bytes, [tail]: with a tail, which is read behind the data, it is a message of
 * several streams -> string, bytes behind the end | nil, "data", "size" or "memory", why */
static int lzlib_inflate(lua_State *L)
{
	struct lzlib *x = check_stream(L, true);
	lua_Number max = luaL_checknumber(L, 3);
	bool message = !lua_isnoneornil(L, 4);
	set_in(L, &x->z, 2);
	forget(x, max < MOST ? (size_t)max : (size_t)MOST);
	int status = inflate_all(x, message);
	if (status == Z_OK && message) {
		set_in(L, &x->z, 4);
		status = inflate_all(x, true);
	}
	if (status != Z_OK && status != Z_STREAM_END)
		return not_inflated(L, x, status);
	lua_Integer left = (lua_Integer)x->z.avail_in;
	x->ended = status == Z_STREAM_END;
	give(L, x);
	lua_pushinteger(L, left);
	return 2;
}

static const luaL_Reg functions[] = {
	{"deflater", lzlib_deflater},
	{"inflater", lzlib_inflater},
	{"deflate", lzlib_deflate},
	{"inflate", lzlib_inflate},
	{"reset", lzlib_reset},
	{"ended", lzlib_ended},
	{"close", lzlib_close},
	{NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_ringlet_zlib_core(lua_State *L);

int luaopen_ringlet_zlib_core(lua_State *L)
{
	luaL_newmetatable(L, STREAM);
	lua_pushcfunction(L, lzlib_close);
	lua_setfield(L, -2, "__gc");
	lua_newtable(L);
	for (const luaL_Reg *r = functions; r->name; r++) {
		lua_pushcfunction(L, r->func);
		lua_setfield(L, -2, r->name);
	}
	lua_pushliteral(L, ZLIB_VERSION);
	lua_setfield(L, -2, "version");
	return 1;
}
