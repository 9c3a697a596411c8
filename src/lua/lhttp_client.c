/* SPDX-License-Identifier: MIT */
/*
 * lhttp_client: requests sent and responses received on the connections of HTTP clients, as the
 * wrappers in lua/ringlet/http_client_*.lua call them.
 *
 * A connection has one message at most, that of the response under way. It is found by its
 * connection, belongs to it, and ends with its body or with the connection. What is wanted of a
 * head later on is copied out of it as one string.
 *
 * As in lconn.c, a function that parked returns true and is called again. `due` is an absolute time
 * of net_until, `timeout` are seconds from now on; whichever comes first ends a wait.
 */
#include "lua/lhttp.h"

#include "base/err.h"
#include "base/http_error.h"
#include "base/http_text.h"
#include "rt/out.h"

#include <math.h>
#include <string.h>

#define LIMITS "ringlet.http_limits"
#define ASK_MAX 65536u /* so much of a request is queued at a time */

/* {line =, fields =, head =} -> limits of responses */
static int lclient_limits(lua_State *L)
{
	struct rl_http_limits *limits = lua_newuserdata(L, sizeof *limits);
	*limits = (struct rl_http_limits)RL_HTTP_LIMITS_DEFAULT;
	rl_lhttp_limits(L, 1, limits);
	luaL_getmetatable(L, LIMITS);
	lua_setmetatable(L, -2);
	return 1;
}

/* When a wait that begins now ends: `due` at `arg` + 1, or `timeout` at `arg`. */
static int64_t due_at(lua_State *L, struct rl_lua *h, int arg)
{
	int64_t due = rl_lnet_due(L, arg + 1);
	int64_t own = rl_lua_deadline(L, h, arg);
	return due < 0 || (own >= 0 && own < due) ? own : due;
}

static struct rl_message *message_of(const struct rl_stream *s)
{
	return s && s->more && !(s->flags & RL_STREAM_SERVED) ? s->more->message : NULL;
}

/* conn -> whether another request can be sent on it: nothing came, and it has not ended */
static int lclient_is_idle(lua_State *L)
{
	const struct rl_stream *s = rl_lnet_conn(L, 1);
	lua_pushboolean(L, s && rl_stream_status(s) == -EAGAIN && s->out_err == 0 && !message_of(s));
	return 1;
}

/* conn -> whether something of an answer is here, or the connection has ended */
static int lclient_has_news(lua_State *L)
{
	struct rl_stream *s = rl_lnet_conn(L, 1);
	if (s && rl_stream_status(s) == -EAGAIN)
		rl_stream_expect(s, 1, 1);
	lua_pushboolean(L, !s || rl_stream_status(s) != -EAGAIN);
	return 1;
}

/* conn, data, from, timeout, due, turn: queue a part of data that begins at byte `from` -> where
 * the next part begins | true after a wait: again, with turn = true | nil, code */
static int lclient_ask(lua_State *L)
{
	size_t len;
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_stream *s = rl_lnet_conn(L, 1);
	const char *data = luaL_checklstring(L, 2, &len);
	size_t from = (size_t)lua_tonumber(L, 3);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	int status = rl_out_begin(s, lua_toboolean(L, 6));
	if (status < 0)
		return rl_lua_fail(L, status);
	if (status > 0)
		return rl_lua_park(L, h, &s->out->writers, RL_REASON_WRITE, due_at(L, h, 4));
	size_t n = len - from < ASK_MAX ? len - from : ASK_MAX;
	s->flags &= ~RL_STREAM_RESTS;
	status = rl_out_write(s, data + from, n);
	rl_out_end(s, status);
	if (status < 0)
		return rl_lua_fail(L, status);
	lua_pushnumber(L, (lua_Number)(from + n));
	return 1;
}

/* The message goes; whatever comes of the connection, it has none any more. */
static int fail_with(lua_State *L, struct rl_message *m, int code)
{
	const char *text = code == -EPROTO ? rl_http_error_text(m->error) : NULL;
	if (code == -EPROTO && m->error == RL_HTTP_LARGE_BODY)
		code = -EMSGSIZE;
	if (code == -RL_EOF && (m->len > 0 || m->interim > 0)) {
		text = rl_http_error_text(RL_HTTP_CUT_SHORT);
		code = -EPROTO;
	}
	bool began = text || m->has_head || m->len > 0 || m->interim > 0;
	rl_message_free(m);
	rl_lua_fail(L, code);
	lua_pushstring(L, text);
	lua_pushboolean(L, began);
	return 4;
}

/* Push whether that was all, and then whether the connection can be used again, and the trailers.
 * Until it is, nothing may come on it. */
static int push_end(lua_State *L, struct rl_message *m)
{
	struct rl_stream *s = m->stream;
	bool is_read = rl_message_is_read(m);
	lua_pushboolean(L, is_read);
	if (!is_read)
		return 1;
	bool rests = m->keep && !m->tunnels && s && rl_stream_status(s) == -EAGAIN;
	lua_pushboolean(L, rests);
	if (rests)
		s->flags |= RL_STREAM_RESTS;
	if (m->trail)
		rl_lhttp_push_fields(L, &m->body.trailers, m->trail);
	else
		lua_pushnil(L);
	rl_message_free(m);
	return 3;
}

static int push_piece(lua_State *L, struct rl_message *m, const struct rl_http_piece *piece)
{
	lua_pushlstring(L, piece->data, piece->len);
	rl_message_took(m);
	return 1 + push_end(L, m);
}

/* What was received of the body is given along with the head: of most responses that is all. What
 * is wrong with it is told to who asks for it. */
static int give_head(lua_State *L, struct rl_message *m)
{
	struct rl_http_piece piece;
	lua_pushinteger(L, m->head.status);
	lua_pushlstring(L, m->bytes + m->head.reason.off, m->head.reason.len);
	lua_pushlstring(L, m->bytes, m->len);
	if (m->body.framing == RL_BODY_LENGTH)
		lua_pushnumber(L, (lua_Number)m->head.content_length);
	else
		lua_pushnil(L);
	if (rl_message_body(m, &piece) == 1)
		return 4 + push_piece(L, m, &piece);
	lua_pushnil(L);
	return 5 + push_end(L, m);
}

/* Wait for more than the stream has. It may have ended behind bytes that are of no use alone. */
static int park(lua_State *L, struct rl_lua *h, struct rl_message *m, int64_t due)
{
	struct rl_stream *s = m->stream;
	if (!rl_list_empty(&s->readers.waiters))
		rl_lnet_raise(L, "another task is reading this response");
	uint32_t need = s->in.len + 1;
	int status = rl_stream_expect(s, need, need);
	if (status == 0)
		status = rl_stream_has(s, need);
	if (status == -EAGAIN)
		return rl_lua_park(L, h, &s->readers, RL_REASON_READ, due);
	if (status == -RL_EOF) {
		m->error = RL_HTTP_CUT_SHORT;
		status = -EPROTO;
	}
	return fail_with(L, m, status);
}

static unsigned method_at(lua_State *L, int arg)
{
	const char *name = lua_tostring(L, arg);
	if (strcmp(name, "HEAD") == 0)
		return RL_METHOD_HEAD;
	return strcmp(name, "CONNECT") == 0 ? RL_METHOD_CONNECT : RL_METHOD_GET;
}

/* The message of the response that comes next: NULL without memory. */
static struct rl_message *begin(lua_State *L, struct rl_stream *s)
{
	struct rl_http_limits limits = *(struct rl_http_limits *)luaL_checkudata(L, 4, LIMITS);
	lua_Number body_max = lua_tonumber(L, 5);
	if (rl_stream_extend(s) < 0)
		return NULL;
	if (body_max < 9e15)
		limits.body_max = (uint64_t)body_max;
	struct rl_message *m = rl_message_new(s, &limits);
	s->more->message = m;
	if (m)
		m->tunnels = method_at(L, 6) == RL_METHOD_CONNECT;
	return m;
}

/* conn, timeout, due, limits, most bytes of the body, method, whether to look for 100 (Continue)
 * -> status, reason, head, length of the body or nil, a piece of it or nil, then as of piece
 * | true after a wait | false: the server waits for the body | nil, code, what is wrong or nil,
 * whether something came */
static int lclient_answer(lua_State *L)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_stream *s = rl_lnet_conn(L, 1);
	if (!s)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	struct rl_message *m = message_of(s);
	if (!m)
		m = begin(L, s);
	if (!m)
		return rl_lua_fail(L, -ENOMEM);
	int done = rl_message_response(m, method_at(L, 6));
	if (done > 0)
		return give_head(L, m);
	if (done < 0)
		return fail_with(L, m, done);
	if (m->may_go_on && lua_toboolean(L, 7)) {
		lua_pushboolean(L, 0);
		return 1;
	}
	return park(L, h, m, due_at(L, h, 2));
}

/* conn, timeout, due -> a piece of the body, or false: there is none; whether it was the last one,
 * and then whether the connection can be used again, and {name, value, ...} of trailers or nil
 * | true after a wait | nil, code, what is wrong or nil */
static int lclient_piece(lua_State *L)
{
	struct rl_http_piece piece;
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_stream *s = rl_lnet_conn(L, 1);
	struct rl_message *m = message_of(s);
	if (!m || !m->has_head)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	int status = rl_message_body(m, &piece);
	if (status == 1)
		return push_piece(L, m, &piece);
	if (status == 0) {
		lua_pushboolean(L, 0);
		return 1 + push_end(L, m);
	}
	if (status != -EAGAIN)
		return fail_with(L, m, status);
	return park(L, h, m, due_at(L, h, 2));
}

/* conn: it ends; a request that was not sent to its end must not be taken for a whole one */
static int lclient_drop(lua_State *L)
{
	struct rl_stream *s = rl_lnet_conn(L, 1);
	if (!s)
		return 0;
	if (message_of(s))
		rl_message_free(message_of(s));
	if (rl_out_is_busy(s))
		rl_stream_abort(s);
	else
		rl_stream_close(s);
	return 0;
}

/* What may be written. */

static int lclient_is_token(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_pushboolean(L, rl_http_text_is_token(text, len));
	return 1;
}

static int lclient_is_value(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_pushboolean(L, rl_http_text_is_value(text, len));
	return 1;
}

static int lclient_is_target(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_pushboolean(L, rl_http_text_is_target(text, len));
	return 1;
}

static const luaL_Reg functions[] = {
	{"http_limits", lclient_limits},
	{"http_is_idle", lclient_is_idle},
	{"http_has_news", lclient_has_news},
	{"http_ask", lclient_ask},
	{"http_answer", lclient_answer},
	{"http_piece", lclient_piece},
	{"http_drop", lclient_drop},
	{"http_is_token", lclient_is_token},
	{"http_is_value", lclient_is_value},
	{"http_is_target", lclient_is_target},
	{NULL, NULL},
};

void rl_lhttp_open_client(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	lua_pushinteger(L, -RL_EOF);
	lua_setfield(L, -2, "EOF");
	lua_pushinteger(L, -ECONNRESET);
	lua_setfield(L, -2, "ECONNRESET");
	lua_pushinteger(L, -EPIPE);
	lua_setfield(L, -2, "EPIPE");
	luaL_newmetatable(L, LIMITS);
	lua_pop(L, 1);
}
