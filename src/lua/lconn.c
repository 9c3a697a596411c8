/* SPDX-License-Identifier: MIT */
/*
 * lconn: the methods of connections, as their wrappers in lua/ringlet/net.lua call them. A function
 * that parked returns true and is called again, with `again` = true where that matters; it returns
 * data, or 1 for "done", when it has succeeded.
 */
#include "lua/lbuffer.h"
#include "lua/lnet.h"

#include "base/err.h"
#include "rt/addr.h"
#include "rt/out.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define CONN "ringlet.conn"
#define JOIN_BELOW 4096       /* shorter pieces are joined with those behind them */
#define EXACTLY_MAX (1u << 30)
#define UNTIL_MAX 65536u      /* default of `max` */
#define ALL_MAX (16u << 20)   /* the same, of read_all */
#define SECONDS_MAX 1e9

/* What a parked reader is given when bytes came: the word to look again, or the bytes. */
enum give { GIVE_WORD, GIVE_STRING, GIVE_SLICE };

/* Checks. */

/* The stream of the connection at 1, or NULL when it is over (closed, or its run ended). */
static struct rl_stream *check_conn(lua_State *L)
{
	return rl_lnet_conn(L, rl_lnet_of(L), 1);
}

/* The same for a function that takes input. */
static struct rl_stream *check_reader(lua_State *L, struct rl_lnet *n)
{
	struct rl_stream *s = rl_lnet_conn(L, n, 1);
	if (!s)
		return NULL;
	if ((s->flags & (RL_STREAM_SERVED | RL_STREAM_BUSY)) == RL_STREAM_SERVED)
		rl_lnet_raise(L, "this connection is read by on_data");
	if (!rl_list_empty(&s->readers.waiters))
		rl_lnet_raise(L, "another task is reading this connection");
	return s;
}

static uint32_t check_count(lua_State *L, int arg, uint32_t missing, const char *what)
{
	if (lua_isnoneornil(L, arg) && missing > 0)
		return missing;
	lua_Number n = lua_tonumber(L, arg);
	if (lua_type(L, arg) != LUA_TNUMBER || !(n >= 0 && n <= EXACTLY_MAX) || n != (uint32_t)n)
		rl_lnet_raise(L, what);
	return (uint32_t)n;
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
 * `gives`: enum give. */
static int park_reader(lua_State *L, struct rl_lua *h, struct rl_stream *s, uint32_t need,
	uint32_t most, int64_t due, enum give gives)
{
	struct rl_task *t = rl_lua_check_park(L, h);
	int err = rl_stream_expect(s, need, most);
	if (err == 0)
		err = rl_stream_has(s, need);
	if (err != 0 && err != -EAGAIN)
		return rl_lua_fail(L, err);
	if (due == 0)
		return rl_lua_fail(L, -ETIMEDOUT);
	t->gives = (uint8_t)gives;
	rl_wait_add(t, &s->readers, 0, 0);
	rl_wait_park(&h->shard, t, RL_REASON_READ, due);
	return lua_yield(L, lua_gettop(L));
}

/* As above for a read that may park several times: its deadline is kept with the stream. */
static int park_again(lua_State *L, struct rl_stream *s, uint32_t need, uint32_t most, int timeout)
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
	return park_reader(L, rl_lnet_of(L)->shard, s, need, most, due, GIVE_WORD);
}

static bool is_cancelled(const struct rl_lua *h)
{
	return h->shard.current && (h->shard.current->flags & RL_TASK_CANCEL);
}

/* What every read begins with. False: the function returns *results. */
static bool begin_read(lua_State *L, struct rl_lua *h, struct rl_stream *s, int *results)
{
	if (s && !is_cancelled(h)) {
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
	struct rl_stream **handle = lua_touserdata(co, 1);
	struct rl_stream *s = handle ? *handle : NULL;
	if (!s || rl_stream_status(s) != 0 || !rl_list_empty(&s->readers.waiters))
		return 0;
	if (t->gives == GIVE_STRING) {
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
static bool await_bytes(lua_State *L, struct rl_lua *h, struct rl_stream *s, enum give gives,
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
static int lconn_read(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L, n);
	if (!await_bytes(L, n->shard, s, GIVE_STRING, &results))
		return results;
	uint32_t len = read_len(s);
	return give_bytes(L, s, len, len);
}

/* the same */
static int lconn_read_buffer(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L, n);
	if (!await_bytes(L, n->shard, s, GIVE_SLICE, &results))
		return results;
	results = give_slice(L, n->shard, s);
	return results < 0 ? rl_lua_fail(L, results) : results;
}

/* conn, n, [timeout], [again] */
static int lconn_read_exactly(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L, n);
	uint32_t len = check_count(L, 2, 0, "a number of bytes expected");
	if (!begin_read(L, n->shard, s, &results))
		return results;
	int status = len == 0 ? 0 : rl_stream_has(s, len);
	if (len == 0 && (s->flags & RL_STREAM_CLOSED))
		status = -RL_ECLOSED;
	if (status == -EAGAIN)
		return park_again(L, s, len, len, 3);
	if (status < 0)
		return rl_lua_fail(L, status);
	return give_bytes(L, s, len, len);
}

/* Look for `delim` in what was received; -1: not there. A reader that parked has seen all but what
 * it waited for. */
static int64_t find_delim(struct rl_stream *s, const char *delim, size_t len, bool again)
{
	uint32_t from = again && s->need > len ? s->need - (uint32_t)len : 0;
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
	return park_again(L, s, s->in.len + 1, (uint32_t)longest, timeout);
}

/* conn, delim, [max], [timeout], [again] */
static int lconn_read_until(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L, n);
	size_t len = 0;
	const char *delim = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : NULL;
	if (len == 0)
		return rl_lnet_raise(L, "a delimiter (a string that is not empty) expected");
	uint32_t max = check_count(L, 3, UNTIL_MAX, "max: a number of bytes expected");
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
static int lconn_read_line(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L, n);
	uint32_t max = check_count(L, 2, UNTIL_MAX, "max: a number of bytes expected");
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
static int lconn_read_all(lua_State *L)
{
	int results;
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = check_reader(L, n);
	uint32_t max = check_count(L, 2, ALL_MAX, "max: a number of bytes expected");
	if (!begin_read(L, n->shard, s, &results))
		return results;
	if (s->in.len > max)
		return rl_lua_fail(L, -EMSGSIZE);
	int status = rl_stream_has(s, max + 1);
	if (status == -EAGAIN)
		return park_again(L, s, max + 1, max + 1, 3);
	if (status != -RL_EOF)
		return rl_lua_fail(L, status);
	return give_bytes(L, s, s->in.len, s->in.len);
}

/* Writing. */

static bool is_text(lua_State *L, int i)
{
	int type = lua_type(L, i);
	return type == LUA_TSTRING || type == LUA_TNUMBER;
}

/* Raises unless the value at `i` can be written. */
static void check_value(lua_State *L, int i)
{
	if (is_text(L, i))
		return;
	const struct rl_slice *slice = rl_lbuffer_test(L, i);
	if (!slice)
		rl_lnet_raise(L, "strings, numbers, slices, or lists of them expected");
	else if (!rl_lbuffer_is_valid(rl_lua_of(L), slice))
		rl_lnet_raise(L, "slice is no longer valid");
}

static void check_values(lua_State *L, int from, int to)
{
	if (from == to && lua_type(L, from) == LUA_TSTRING)
		return;
	for (int i = from; i <= to; i++) {
		if (lua_type(L, i) != LUA_TTABLE) {
			check_value(L, i);
			continue;
		}
		int n = (int)rl_rawlen(L, i);
		for (int k = 1; k <= n; k++) {
			lua_rawgeti(L, i, k);
			check_value(L, lua_gettop(L));
			lua_pop(L, 1);
		}
	}
}

/* Queue a value that was checked. A number in a list is converted in its copy on the stack. */
static int write_value(lua_State *L, struct rl_stream *s, int i)
{
	if (is_text(L, i)) {
		size_t len;
		const char *text = lua_tolstring(L, i, &len);
		return rl_out_write(s, text, len);
	}
	const struct rl_slice *slice = rl_lbuffer_test(L, i);
	return rl_out_write_chunk(s, slice->chunk, slice->off, slice->len);
}

static int write_list(lua_State *L, struct rl_stream *s, int i)
{
	int n = (int)rl_rawlen(L, i), err = 0;
	for (int k = 1; k <= n && err == 0; k++) {
		lua_rawgeti(L, i, k);
		err = write_value(L, s, lua_gettop(L));
		lua_pop(L, 1);
	}
	return err;
}

static int write_values(lua_State *L, struct rl_stream *s, int from, int to)
{
	int err = 0;
	for (int i = from; i <= to && err == 0; i++)
		err = lua_type(L, i) == LUA_TTABLE ? write_list(L, s, i) : write_value(L, s, i);
	return err;
}

static int write_now(lua_State *L, struct rl_stream *s, int top)
{
	int err = write_values(L, s, 2, top);
	rl_out_end(s, err);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushinteger(L, 1);
	return 1;
}

/* One string or slice to a connection that can take it: 0, an error, or 1: not so plain. */
static int write_one(lua_State *L, struct rl_lua *h, struct rl_stream *s)
{
	const struct rl_slice *slice = NULL;
	bool is_string = lua_type(L, 2) == LUA_TSTRING;
	if (!is_string)
		slice = rl_lbuffer_test(L, 2);
	if (!is_string && (!slice || !rl_lbuffer_is_valid(h, slice)))
		return 1;
	int status = rl_out_begin(s, false);
	if (status != 0)
		return 1;
	if (is_string) {
		size_t len;
		const char *text = lua_tolstring(L, 2, &len);
		status = rl_out_write(s, text, len);
	} else {
		status = rl_out_write_chunk(s, slice->chunk, slice->off, slice->len);
	}
	rl_out_end(s, status);
	return status;
}

/* conn, ...: 1, or true after the wait for its turn, which write_turn takes. */
static int lconn_write(lua_State *L)
{
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_lua *h = n->shard;
	struct rl_stream *s = rl_lnet_conn(L, n, 1);
	int top = lua_gettop(L), plain = 1;
	if (top == 2 && s && !is_cancelled(h))
		plain = write_one(L, h, s);
	if (plain < 0)
		return rl_lua_fail(L, plain);
	if (plain == 0) {
		lua_pushinteger(L, 1);
		return 1;
	}
	check_values(L, 2, top);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	int status = rl_out_begin(s, false);
	if (status < 0)
		return rl_lua_fail(L, status);
	if (status == 0)
		return write_now(L, s, top);
	int64_t wait_ns = s->more ? s->more->write_ns : -1;
	int64_t due = wait_ns < 0 ? -1 : rl_shard_now(&h->shard) + wait_ns;
	return rl_lua_park(L, h, &s->out->writers, RL_REASON_WRITE, due);
}

/* A list may have changed, or a slice ended, while the writer waited for its turn. */
static int lconn_write_turn(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	int top = lua_gettop(L);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	int status = rl_out_begin(s, true);
	if (status < 0)
		return rl_lua_fail(L, status);
	for (int i = 2; i <= top; i++) {
		const struct rl_slice *slice = rl_lbuffer_test(L, i);
		if (lua_type(L, i) == LUA_TTABLE || (slice && !rl_lbuffer_is_valid(rl_lua_of(L), slice))) {
			rl_out_end(s, 0);
			check_values(L, 2, top);
			break;
		}
	}
	return write_now(L, s, top);
}

/* conn -> what flush waits for */
static int lconn_accepted(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	lua_pushnumber(L, s ? (lua_Number)rl_out_accepted(s) : 0);
	return 1;
}

/* conn, target, [due]: 1, or true after a wait. */
static int lconn_flush(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_stream *s = check_conn(L);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	int status = rl_out_flushed(s, (uint64_t)lua_tonumber(L, 2));
	if (status < 0)
		return rl_lua_fail(L, status);
	if (status > 0)
		return rl_lua_park(L, h, &s->out->flushers, RL_REASON_WRITE, rl_lnet_due(L, 3));
	lua_pushinteger(L, 1);
	return 1;
}

/* true, or nil, code */
static int done(lua_State *L, int err)
{
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

static int lconn_shutdown(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	return done(L, s ? rl_out_shutdown(s) : -RL_ECLOSED);
}

/* The end. */

static int lconn_close(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	if (s)
		rl_stream_close(s);
	return done(L, 0);
}

static int lconn_abort(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	if (s)
		rl_stream_abort(s);
	return done(L, 0);
}

static int lconn_gc(lua_State *L)
{
	struct rl_stream **handle = lua_touserdata(L, 1);
	if (*handle)
		rl_stream_own(*handle, NULL);
	*handle = NULL;
	return 0;
}

/* Asking and setting. */

typedef int (*name_fn)(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);

/* The address that `get` finds, as text in `out`; its length, or a code. */
static int name_text(const struct rl_stream *s, name_fn get, char *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct rl_addr addr;
	if (!s || (s->flags & RL_STREAM_CLOSED))
		return -RL_ECLOSED;
	int err = get(s->net->os, s->op.fd, (struct sockaddr *)&ss, &len);
	if (err == 0)
		err = rl_addr_load(&addr, (struct sockaddr *)&ss, len);
	return err < 0 ? err : rl_addr_format(&addr, out);
}

static int push_name(lua_State *L, const struct rl_stream *s, name_fn get)
{
	char text[RL_ADDR_TEXT_MAX];
	int len = name_text(s, get, text);
	if (len < 0)
		return rl_lua_fail(L, len);
	lua_pushlstring(L, text, (size_t)len);
	return 1;
}

static int lconn_peername(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	return push_name(L, s, s ? s->net->os->ops->getpeername : NULL);
}

static int lconn_sockname(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	return push_name(L, s, s ? s->net->os->ops->getsockname : NULL);
}

static int lconn_tostring(lua_State *L)
{
	char text[RL_ADDR_TEXT_MAX] = "?";
	struct rl_stream **handle = lua_touserdata(L, 1), *s = check_conn(L);
	if (!s || (s->flags & RL_STREAM_CLOSED)) {
		lua_pushfstring(L, "%s: %p (closed)", CONN, (void *)handle);
		return 1;
	}
	name_text(s, s->net->os->ops->getpeername, text);
	lua_pushfstring(L, "%s: %p (fd %d, %s)", CONN, (void *)handle, s->op.fd, text);
	return 1;
}

static void set_number(lua_State *L, const char *name, lua_Number value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, name);
}

static int lconn_stats(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	lua_createtable(L, 0, 6);
	set_number(L, "bytes_in", (lua_Number)s->bytes_in);
	set_number(L, "bytes_out", (lua_Number)s->bytes_out);
	set_number(L, "reads", s->reads);
	set_number(L, "writes", s->writes);
	set_number(L, "queued_in", s->in.len);
	set_number(L, "queued_out", s->out ? s->out->queue.len : 0);
	return 1;
}

static const struct {
	const char *name;
	int level, option;
} options[] = {
	{"nodelay", IPPROTO_TCP, TCP_NODELAY},
	{"keepalive", SOL_SOCKET, SO_KEEPALIVE},
	{"keepidle", IPPROTO_TCP, TCP_KEEPIDLE},
	{"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL},
	{"keepcnt", IPPROTO_TCP, TCP_KEEPCNT},
	{"user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT},
	{"sndbuf", SOL_SOCKET, SO_SNDBUF},
	{"rcvbuf", SOL_SOCKET, SO_RCVBUF},
};

/* conn, name, boolean or integer */
static int lconn_setopt(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	int value = lua_type(L, 3) == LUA_TNUMBER ? (int)lua_tointeger(L, 3) : lua_toboolean(L, 3);
	if (lua_type(L, 3) != LUA_TNUMBER && lua_type(L, 3) != LUA_TBOOLEAN)
		return rl_lnet_raise(L, "a boolean or an integer expected");
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (strcmp(options[i].name, name) != 0)
			continue;
		if (!s || (s->flags & RL_STREAM_CLOSED))
			return rl_lua_fail(L, -RL_ECLOSED);
		return done(L, s->net->os->ops->setsockopt(s->net->os, s->op.fd, options[i].level,
			options[i].option, &value, sizeof value));
	}
	return rl_lnet_raise(L, "unknown socket option");
}

/* Seconds at `arg` as ns; nil is -1, never. */
static int64_t check_seconds(lua_State *L, int arg)
{
	if (lua_isnoneornil(L, arg))
		return -1;
	lua_Number t = lua_tonumber(L, arg);
	if (lua_type(L, arg) != LUA_TNUMBER || !(t > 0))
		rl_lnet_raise(L, "a timeout must be a positive number of seconds");
	return t >= SECONDS_MAX ? -1 : (int64_t)(t * 1e9);
}

/* conn, [read], [write], [idle], [total]: seconds, nil for none; total = false: as it is */
static int lconn_limits(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_stream *s = check_conn(L);
	int64_t read_ns = check_seconds(L, 2), write_ns = check_seconds(L, 3);
	int64_t idle_ns = check_seconds(L, 4);
	bool keep_total = lua_isboolean(L, 5);
	int64_t total_ns = keep_total ? -1 : check_seconds(L, 5);
	if (!s || (s->flags & RL_STREAM_CLOSED))
		return rl_lua_fail(L, -RL_ECLOSED);
	if (read_ns < 0 && write_ns < 0 && idle_ns < 0 && total_ns < 0 && !s->more)
		return done(L, 0);
	int err = rl_stream_extend(s);
	if (err < 0)
		return rl_lua_fail(L, err);
	s->more->read_ns = read_ns;
	s->more->write_ns = write_ns;
	if (keep_total)
		total_ns = s->more->total_ns;
	else if (total_ns >= 0)
		total_ns += rl_shard_now(&h->shard);
	rl_stream_limit(s, idle_ns, total_ns);
	return done(L, 0);
}

/* conn, [read_high], [write_high]: bytes, nil for as it is */
static int lconn_marks(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	uint32_t read_high = check_count(L, 2, RL_READ_HIGH, "read_high_water: bytes expected");
	uint32_t write_high = check_count(L, 3, RL_WRITE_HIGH, "write_high_water: bytes expected");
	int err = s ? rl_stream_extend(s) : -RL_ECLOSED;
	if (err < 0)
		return rl_lua_fail(L, err);
	s->more->read_high = read_high > 0 ? read_high : 1;
	s->more->write_high = write_high > 0 ? write_high : 1;
	return done(L, 0);
}

/* Called by users directly; their names are documented in net.lua. */
static const luaL_Reg methods[] = {
	{"__tostring", lconn_tostring},
	{"__gc", lconn_gc},
	{"__close", lconn_close},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"conn_read", lconn_read},
	{"conn_read_buffer", lconn_read_buffer},
	{"conn_read_exactly", lconn_read_exactly},
	{"conn_read_until", lconn_read_until},
	{"conn_read_line", lconn_read_line},
	{"conn_read_all", lconn_read_all},
	{"conn_write", lconn_write},
	{"conn_write_turn", lconn_write_turn},
	{"conn_accepted", lconn_accepted},
	{"conn_flush", lconn_flush},
	{"conn_shutdown", lconn_shutdown},
	{"conn_close", lconn_close},
	{"conn_abort", lconn_abort},
	{"conn_peername", lconn_peername},
	{"conn_sockname", lconn_sockname},
	{"conn_setopt", lconn_setopt},
	{"conn_limits", lconn_limits},
	{"conn_marks", lconn_marks},
	{"conn_stats", lconn_stats},
	{NULL, NULL},
};

void rl_lnet_open_conn(lua_State *L, struct rl_lnet *n)
{
	n->shard->give = give_news;
	rl_lnet_register(L, n, functions);
	luaL_newmetatable(L, CONN);
	rl_lnet_register(L, n, methods);
	lua_setfield(L, -2, "conn_class");
}
