/* SPDX-License-Identifier: MIT */
/*
 * lconn: writing to connections, their end and their settings, as the wrappers in
 * lua/ringlet/net_conn.lua call them; reading is in lread.c. A function that parked returns true
 * and is called again, or what the comment names; it returns 1 for "done".
 */
#include "lua/lbuffer.h"
#include "lua/lnet.h"
#include "lua/lsobject.h"

#include "base/err.h"
#include "rt/addr.h"
#include "rt/out.h"

#include <netinet/tcp.h>
#include <string.h>

#define CONN "ringlet.conn"
#define SECONDS_MAX 1e9

/* The stream of the connection at 1, or NULL when it is over (closed, or its run ended). */
static struct rl_stream *check_conn(lua_State *L)
{
	return rl_lnet_conn(L, 1);
}

/* Writing. */

static bool is_text(lua_State *L, int i)
{
	int type = lua_type(L, i);
	return type == LUA_TSTRING || type == LUA_TNUMBER;
}

/* Why a value cannot be written, or NULL. */
static const char *value_fault(lua_State *L, int i)
{
	if (is_text(L, i))
		return NULL;
	const struct rl_slice *slice = rl_lbuffer_test(L, i);
	if (!slice && rl_lsbuffer_test(L, i))
		return NULL;
	if (!slice)
		return "strings, numbers, slices, buffers, or lists of them expected";
	return rl_lbuffer_is_valid(rl_lua_of(L), slice) ? NULL : "slice is no longer valid";
}

static const char *list_fault(lua_State *L, int i)
{
	const char *fault = NULL;
	int n = (int)rl_rawlen(L, i);
	for (int k = 1; k <= n && !fault; k++) {
		lua_rawgeti(L, i, k);
		fault = value_fault(L, lua_gettop(L));
		lua_pop(L, 1);
	}
	return fault;
}

static const char *values_fault(lua_State *L, int from, int to)
{
	const char *fault = NULL;
	if (from == to && lua_type(L, from) == LUA_TSTRING)
		return NULL;
	for (int i = from; i <= to && !fault; i++)
		fault = lua_type(L, i) == LUA_TTABLE ? list_fault(L, i) : value_fault(L, i);
	return fault;
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
	struct rl_sbuffer *b = slice ? NULL : rl_lsbuffer_test(L, i);
	if (b)
		return rl_out_write_shared(s, &b->shared, b->data, b->len);
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
	struct rl_stream *s = rl_lnet_conn(L, 1);
	int top = lua_gettop(L), plain = 1;
	if (top == 2 && s && !rl_lua_is_cancelled(h))
		plain = write_one(L, h, s);
	if (plain < 0)
		return rl_lua_fail(L, plain);
	if (plain == 0) {
		lua_pushinteger(L, 1);
		return 1;
	}
	const char *fault = values_fault(L, 2, top);
	if (fault)
		rl_lnet_raise(L, fault);
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
	const char *fault = values_fault(L, 2, top);
	if (fault) {
		rl_out_end(s, 0); /* the next writer's turn; `out` may be gone from here on */
		rl_lnet_raise(L, fault);
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
	struct rl_conn *c = lua_touserdata(L, 1);
	struct rl_stream *s = rl_conn_stream(c);
	c->marked = NULL;
	if (s)
		rl_stream_own(s, NULL);
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
	struct rl_stream *s = check_conn(L);
	const void *handle = lua_touserdata(L, 1);
	if (!s || (s->flags & RL_STREAM_CLOSED)) {
		lua_pushfstring(L, "%s: %p (closed)", CONN, handle);
		return 1;
	}
	name_text(s, s->net->os->ops->getpeername, text);
	lua_pushfstring(L, "%s: %p (fd %d, %s)", CONN, handle, s->op.fd, text);
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
	set_number(L, "bytes_in", (lua_Number)s->op.count.received);
	set_number(L, "bytes_out", (lua_Number)s->op.count.sent);
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

/* name, boolean or integer from 2 on: set that of the descriptor; without a net (NULL) it fails */
static int set_option(lua_State *L, const struct rl_net *net, int fd)
{
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	int value = lua_type(L, 3) == LUA_TNUMBER ? (int)lua_tointeger(L, 3) : lua_toboolean(L, 3);
	if (lua_type(L, 3) != LUA_TNUMBER && lua_type(L, 3) != LUA_TBOOLEAN)
		return rl_lnet_raise(L, "a boolean or an integer expected");
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (strcmp(options[i].name, name) != 0)
			continue;
		if (!net)
			return rl_lua_fail(L, -RL_ECLOSED);
		return done(L, net->os->ops->setsockopt(net->os, fd, options[i].level,
			options[i].option, &value, sizeof value));
	}
	return rl_lnet_raise(L, "unknown socket option");
}

/* conn, name, boolean or integer */
static int lconn_setopt(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	bool open = s && !(s->flags & RL_STREAM_CLOSED);
	return set_option(L, open ? s->net : NULL, open ? s->op.fd : -1);
}

/* listener, name, boolean or integer: connections inherit it */
static int lconn_listener_setopt(lua_State *L)
{
	struct rl_listener *l = *rl_lnet_handle(L, rl_lnet_of(L)->listener_class, 1, "listener");
	bool open = l && !l->gone && !l->closed;
	return set_option(L, open ? l->net : NULL, open ? l->op.fd : -1);
}

/* For those who have to choose among connections. */

/* conn, bits of an IPv6 address that tell whose it is -> bytes | nil, code */
static int lconn_network(lua_State *L)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct rl_addr addr;
	unsigned char bytes[RL_ADDR_BYTES_MAX];
	struct rl_stream *s = check_conn(L);
	if (!s || (s->flags & RL_STREAM_CLOSED))
		return rl_lua_fail(L, -RL_ECLOSED);
	struct rl_os *os = s->net->os;
	int err = os->ops->getpeername(os, s->op.fd, (struct sockaddr *)&ss, &len);
	if (err == 0)
		err = rl_addr_load(&addr, (struct sockaddr *)&ss, len);
	if (err < 0)
		return rl_lua_fail(L, err);
	size_t n = rl_addr_network(&addr, (unsigned)luaL_checkinteger(L, 2), bytes);
	lua_pushlstring(L, (const char *)bytes, n);
	return 1;
}

/* conn -> the index that lists of its shard's connections have it at; nil when its run is over */
static int lconn_index(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	if (!s)
		return 0;
	lua_pushinteger(L, (lua_Integer)s->slot + 1);
	return 1;
}

/* conn, [kind]: RL_STREAM_SHORT, ... -> kind | nil, code */
static int lconn_kind(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	int err = !s || (s->flags & RL_STREAM_CLOSED) ? -RL_ECLOSED : 0;
	if (err == 0 && !lua_isnoneornil(L, 2)) {
		lua_Integer kind = luaL_checkinteger(L, 2);
		luaL_argcheck(L, kind >= 0 && kind < RL_STREAM_KINDS, 2, "no kind");
		err = rl_stream_watch(s);
		if (err == 0)
			s->kind = (uint8_t)kind;
	}
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushinteger(L, s->kind);
	return 1;
}

/* conn -> kind, seconds that it is idle (nil: it is not) | nil when it was closed */
static int lconn_idle(lua_State *L)
{
	struct rl_stream *s = check_conn(L);
	if (!s || (s->flags & RL_STREAM_CLOSED))
		return 0;
	int64_t idle_ns = rl_stream_idle_ns(s);
	lua_pushinteger(L, s->kind);
	if (idle_ns < 0)
		return 1;
	lua_pushnumber(L, (lua_Number)idle_ns / 1e9);
	return 2;
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
	uint32_t read_high = rl_lnet_count(L, 2, RL_READ_HIGH, "read_high_water: bytes expected");
	uint32_t write_high = rl_lnet_count(L, 3, RL_WRITE_HIGH, "write_high_water: bytes expected");
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
	{"conn_network", lconn_network},
	{"conn_index", lconn_index},
	{"conn_kind", lconn_kind},
	{"conn_idle", lconn_idle},
	{"net_listener_setopt", lconn_listener_setopt},
	{NULL, NULL},
};

void rl_lnet_open_conn(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_open_read(L, n);
	rl_lnet_register(L, n, functions);
	luaL_newmetatable(L, CONN);
	rl_lnet_register(L, n, methods);
	lua_setfield(L, -2, "conn_class");
}
