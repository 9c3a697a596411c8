/* SPDX-License-Identifier: MIT */
/*
 * lread: reading from connections, as the wrappers in lua/ringlet/net_conn.lua call it. A function
 * that parked returns data, if that was plain, or true, and is then called again, with `again` =
 * true where that matters.
 */
#include "lua/lbuffer.h"
#include "lua/lnet.h"

#include "base/err.h"

#include <stdlib.h>

#define JOIN_BELOW 4096       /* shorter pieces are joined with those behind them */
#define UNTIL_MAX 65536u      /* default of `max` */
#define ALL_MAX (16u << 20)   /* the same, of read_all */

/* Checks. */

/* The stream of the connection at 1, which is to be read; NULL when it is over. */
static struct rl_stream *check_reader(lua_State *L)
{
	struct rl_stream *s = rl_lnet_conn(L, 1);
	if (!s)
		return NULL;
	if ((s->flags & (RL_STREAM_SERVED | RL_STREAM_BUSY)) == RL_STREAM_SERVED)
		rl_lnet_raise(L, "this connection is read by on_data");
	if (!rl_list_empty(&s->readers.waiters))
		rl_lnet_raise(L, "another task is reading this connection");
	return s;
}

/* When an operation that begins now ends: its own timeout, or the connection's. */
static int64_t due_of(lua_State *L, int arg, const struct rl_stream *s, int64_t usual_ns)
{
	if (!lua_isnoneornil(L, arg))
		return rl_lnet_deadline(L, arg);
	return s->more && usual_ns >= 0 ? rl_shard_now(s->net->shard) + usual_ns : -1;
}

static int64_t read_default(const struct rl_stream *s)
{
	return s->more ? s->more->read_ns : -1;
}

/* Reading. */

static char *scratch(struct rl_lnet *n, size_t size)
{
	if (size <= n->scratch_size)
		return n->scratch;
	char *grown = realloc(n->scratch, size);
	if (!grown)
		return NULL;
	n->scratch = grown;
	n->scratch_size = size;
	return grown;
}

/* Push the first `len` bytes received, which are there, as a string. */
static void push_bytes(lua_State *L, const struct rl_stream *s, uint32_t len)
{
	const struct rl_piece *head = rl_bytes_head(&s->in);
	if (len == 0) {
		lua_pushliteral(L, "");
		return;
	}
	if (len <= head->len) {
		lua_pushlstring(L, rl_piece_at(head), len);
		return;
	}
	struct rl_lnet *n = rl_lnet_of(L);
	char *joined = scratch(n, len);
	if (!joined)
		luaL_error(L, "not enough memory");
	rl_bytes_copy(&s->in, 0, joined, len);
	lua_pushlstring(L, joined, len);
	if (n->scratch_size > RL_READ_HIGH) {
		free(n->scratch);
		n->scratch = NULL;
		n->scratch_size = 0;
	}
}

static int give_bytes(lua_State *L, struct rl_stream *s, uint32_t len, uint32_t skip)
{
	push_bytes(L, s, len);
	rl_stream_consume(s, skip);
	return 1;
}

/* Park until `need` bytes are there, or the stream ends. `most`: what may come to be needed;
 * `gives`: what it is to be given, or 0. */
static int park_reader(lua_State *L, struct rl_lua *h, struct rl_stream *s, uint32_t need,
	uint32_t most, int64_t due, unsigned gives)
{
	struct rl_task *t = rl_lua_check_park(L, h);
	int err = rl_stream_expect(s, need, most);
	if (err == 0)
		err = rl_stream_has(s, need);
	if (err != 0 && err != -EAGAIN)
		return rl_lua_fail(L, err);
	if (due == 0)
		return rl_lua_fail(L, -ETIMEDOUT);
	rl_wait_add(t, &s->readers, 0, 0);
	rl_wait_park(&h->shard, t, RL_REASON_READ | gives, due);
	return lua_yield(L, lua_gettop(L));
}

int rl_lread_park(lua_State *L, struct rl_stream *s, uint32_t need, uint32_t most, int timeout)
{
	bool again = lua_toboolean(L, timeout + 1);
	int64_t due = -1;
	if (again) {
		due = s->more ? s->more->reader_ns : -1;
	} else {
		due = due_of(L, timeout, s, read_default(s));
		if (due > 0 && rl_stream_extend(s) < 0)
			return rl_lua_fail(L, -ENOMEM);
		if (s->more)
			s->more->reader_ns = due;
	}
	return park_reader(L, rl_lnet_of(L)->shard, s, need, most, due, 0);
}

/* What every read begins with. False: the function returns *results. */
static bool begin_read(lua_State *L, struct rl_lua *h, struct rl_stream *s, int *results)
{
	if (s && !rl_lua_is_cancelled(h)) {
		rl_stream_unlend(s);
		return true;
	}
	*results = s ? rl_lua_cancelled(L, h) : rl_lua_fail(L, -RL_ECLOSED);
	return false;
}

/* How much one read takes: the first piece, or with it those behind it. */
static uint32_t read_len(const struct rl_stream *s)
{
	uint32_t len = rl_bytes_head(&s->in)->len;
	if (len >= JOIN_BELOW || s->in.len == len)
		return len;
	return s->in.len < RL_READ_HIGH ? s->in.len : RL_READ_HIGH;
}

/* Push a loan of the first piece: 1 value, or a code. */
static int give_slice(lua_State *L, struct rl_lua *h, struct rl_stream *s)
{
	struct rl_piece piece;
	int err = rl_stream_lend(s, &piece);
	if (err < 0)
		return err;
	rl_lbuffer_push(L, h, &piece);
	return 1;
}

/* A reader that was woken gets what came without asking for it. Whatever is not plain - an end, an
 * error, another reader, bytes in several pieces - it has to ask for. The arguments of read and
 * read_buffer are what it yielded, and leave room for a value above them. It is made on the state
 * of the loop, since a coroutine that is parked must not run finalizers. */
static int give_news(struct rl_lua *h, struct rl_task *t)
{
	lua_State *L = h->main, *co = t->co;
	if ((t->reason & RL_GIVES_MESSAGE) == RL_GIVES_MESSAGE)
		return rl_lws_give(h, t);
	const struct rl_conn *c = lua_touserdata(co, 1);
	struct rl_stream *s = c ? rl_conn_stream(c) : NULL;
	if (!s || rl_stream_status(s) != 0 || !rl_list_empty(&s->readers.waiters))
		return 0;
	if (t->reason & RL_GIVES_STRING) {
		uint32_t len = read_len(s);
		if (len > rl_bytes_head(&s->in)->len)
			return 0;
		give_bytes(L, s, len, len);
	} else if (give_slice(L, h, s) < 0) {
		return 0;
	}
	lua_xmove(L, co, 1);
	return 1;
}

/* What read and read_buffer begin with. True: bytes are there; else *results is returned. */
static bool await_bytes(lua_State *L, struct rl_lua *h, struct rl_stream *s, unsigned gives,
	int *results)
{
	if (!begin_read(L, h, s, results))
		return false;
	int status = rl_stream_status(s);
	if (status == -EAGAIN)
		*results = park_reader(L, h, s, 1, 1, due_of(L, 2, s, read_default(s)), gives);
	else if (status < 0)
		*results = rl_lua_fail(L, status);
	return status == 0;
}

/* conn, [timeout]; the same again after a park that gave the word */
static int lread_some(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L);
	if (!await_bytes(L, n->shard, s, RL_GIVES_STRING, &results))
		return results;
	uint32_t len = read_len(s);
	return give_bytes(L, s, len, len);
}

/* the same */
static int lread_buffer(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L);
	if (!await_bytes(L, n->shard, s, RL_GIVES_SLICE, &results))
		return results;
	results = give_slice(L, n->shard, s);
	return results < 0 ? rl_lua_fail(L, results) : results;
}

/* conn, n, [timeout], [again] */
static int lread_exactly(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L);
	uint32_t len = rl_lnet_count(L, 2, 0, "a number of bytes expected");
	if (!begin_read(L, n->shard, s, &results))
		return results;
	int status = len == 0 ? 0 : rl_stream_has(s, len);
	if (len == 0 && (s->flags & RL_STREAM_CLOSED))
		status = -RL_ECLOSED;
	if (status == -EAGAIN)
		return rl_lread_park(L, s, len, len, 3);
	if (status < 0)
		return rl_lua_fail(L, status);
	return give_bytes(L, s, len, len);
}

/* Look for `delim` in what was received; -1: not there. A reader that parked has seen all but what
 * it waited for. */
static int64_t find_delim(struct rl_stream *s, const char *delim, size_t len, bool again)
{
	uint32_t from = again && s->in.need > len ? s->in.need - (uint32_t)len : 0;
	return rl_bytes_find(&s->in, from, delim, len);
}

/* No delimiter yet: too long already, or to be waited for. */
static int await_delim(lua_State *L, struct rl_stream *s, uint64_t longest, int timeout)
{
	if (s->in.len >= longest)
		return rl_lua_fail(L, -EMSGSIZE);
	int status = rl_stream_has(s, s->in.len + 1);
	if (status != -EAGAIN)
		return rl_lua_fail(L, status);
	return rl_lread_park(L, s, s->in.len + 1, (uint32_t)longest, timeout);
}

/* conn, delim, [max], [timeout], [again] */
static int lread_until(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L);
	size_t len = 0;
	const char *delim = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : NULL;
	if (len == 0)
		return rl_lnet_raise(L, "a delimiter (a string that is not empty) expected");
	uint32_t max = rl_lnet_count(L, 3, UNTIL_MAX, "max: a number of bytes expected");
	if (!begin_read(L, n->shard, s, &results))
		return results;
	int64_t at = find_delim(s, delim, len, lua_toboolean(L, 5));
	if (at < 0)
		return await_delim(L, s, (uint64_t)max + len, 4);
	if (at > max)
		return rl_lua_fail(L, -EMSGSIZE);
	return give_bytes(L, s, (uint32_t)at, (uint32_t)at + (uint32_t)len);
}

/* conn, [max], [timeout], [again] */
static int lread_line(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L);
	uint32_t max = rl_lnet_count(L, 2, UNTIL_MAX, "max: a number of bytes expected");
	char before = 0;
	if (!begin_read(L, n->shard, s, &results))
		return results;
	int64_t at = find_delim(s, "\n", 1, lua_toboolean(L, 4));
	if (at < 0)
		return await_delim(L, s, (uint64_t)max + 2, 3);
	if (at > 0)
		rl_bytes_copy(&s->in, (uint32_t)at - 1, &before, 1);
	uint32_t len = (uint32_t)at - (before == '\r');
	if (len > max)
		return rl_lua_fail(L, -EMSGSIZE);
	return give_bytes(L, s, len, (uint32_t)at + 1);
}

/* conn, [max], [timeout], [again] */
static int lread_all(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L);
	uint32_t max = rl_lnet_count(L, 2, ALL_MAX, "max: a number of bytes expected");
	if (!begin_read(L, n->shard, s, &results))
		return results;
	if (s->in.len > max)
		return rl_lua_fail(L, -EMSGSIZE);
	int status = rl_stream_has(s, max + 1);
	if (status == -EAGAIN)
		return rl_lread_park(L, s, max + 1, max + 1, 3);
	if (status != -RL_EOF)
		return rl_lua_fail(L, status);
	return give_bytes(L, s, s->in.len, s->in.len);
}

static const luaL_Reg functions[] = {
	{"conn_read", lread_some},
	{"conn_read_buffer", lread_buffer},
	{"conn_read_exactly", lread_exactly},
	{"conn_read_until", lread_until},
	{"conn_read_line", lread_line},
	{"conn_read_all", lread_all},
	{NULL, NULL},
};

void rl_lnet_open_read(lua_State *L, struct rl_lnet *n)
{
	n->shard->give = give_news;
	rl_lnet_register(L, n, functions);
}
