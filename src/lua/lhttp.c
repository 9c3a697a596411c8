/* SPDX-License-Identifier: MIT */
/*
 * lhttp: the messages of HTTP servers, as the wrappers in lua/ringlet/http_*.lua call them. A
 * message is known by a number: its slot and its generation, so that whoever keeps one too long
 * finds nothing. What is true of a whole request costs one call, what few ask for is asked for.
 *
 * As in lconn.c, a function that parked returns true and is called again, or the one that its
 * comment names; 1 is "done".
 */
#include "lua/lhttp.h"

#include "base/err.h"
#include "base/http_error.h"
#include "rt/outfile.h"
#include "rt/reply.h"
#include "rt/serve.h"
#include "rt/websocket.h"

#include <string.h>

#define SLOTS (1 << 22)
#define SECONDS_MAX 9e9 /* more is any time */
#define SERVE "ringlet.http_serve"

/* Servers. */

static struct rl_serve *check_serve(lua_State *L, int arg)
{
	return (struct rl_serve *)(void *)rl_lnet_handle(L, rl_lnet_of(L)->serve_class, arg, "server");
}

static void limit(lua_State *L, int list, const char *name, uint32_t *to)
{
	lua_getfield(L, list, name);
	if (!lua_isnil(L, -1))
		*to = (uint32_t)lua_tonumber(L, -1);
	lua_pop(L, 1);
}

void rl_lhttp_limits(lua_State *L, int list, struct rl_http_limits *limits)
{
	limit(L, list, "target", &limits->target_max);
	limit(L, list, "line", &limits->line_max);
	limit(L, list, "fields", &limits->fields_max);
	limit(L, list, "head", &limits->head_max);
	lua_getfield(L, list, "body");
	if (!lua_isnil(L, -1))
		limits->body_max = (uint64_t)lua_tonumber(L, -1);
	lua_pop(L, 1);
}

static int64_t nanoseconds(lua_State *L, int arg)
{
	lua_Number t = lua_tonumber(L, arg);
	return lua_isnil(L, arg) || t > SECONDS_MAX ? -1 : (int64_t)(t * 1e9);
}

/* {target =, line =, fields =, head =, body =: limits}, seconds for a head, requests of a
 * connection -> server */
static int lhttp_serve(lua_State *L)
{
	struct rl_serve *v = lua_newuserdata(L, sizeof *v);
	memset(v, 0, sizeof *v);
	v->limits = (struct rl_http_limits)RL_HTTP_LIMITS_DEFAULT;
	rl_lhttp_limits(L, 1, &v->limits);
	v->head_ns = nanoseconds(L, 2);
	v->requests_max = (uint32_t)lua_tonumber(L, 3);
	luaL_getmetatable(L, SERVE);
	lua_setmetatable(L, -2);
	return 1;
}

/* server, number of its connections' owner, whether WebSockets end as well: the others do so with
 * the answer under way */
static int lhttp_stop(lua_State *L)
{
	struct rl_net *net = rl_lnet_of(L)->shard->shard.net;
	check_serve(L, 1)->stopping = true;
	if (!net)
		return 0;
	rl_messages_stop(net, (uint32_t)lua_tointeger(L, 2));
	if (lua_toboolean(L, 3))
		rl_websocket_close_owned(net, (uint32_t)lua_tointeger(L, 2), 1001);
	return 0;
}

/* server -> requests, refused ones */
static int lhttp_counts(lua_State *L)
{
	const struct rl_serve *v = check_serve(L, 1);
	lua_pushnumber(L, (lua_Number)v->requests);
	lua_pushnumber(L, (lua_Number)v->refused);
	return 2;
}

/* Messages. */

static void push_number(lua_State *L, const struct rl_message *m)
{
	lua_pushnumber(L, (lua_Number)m->gen * SLOTS + m->slot);
}

/* The message with the number at `arg`, or NULL when it is over. */
static struct rl_message *find(lua_State *L, const struct rl_lua *h, int arg)
{
	const struct rl_net *net = h->shard.net;
	uint64_t number = (uint64_t)(int64_t)lua_tonumber(L, arg);
	return net ? rl_message_at(net, (uint32_t)(number % SLOTS), (uint32_t)(number / SLOTS)) : NULL;
}

static struct rl_message *message_at(lua_State *L, int arg)
{
	return find(L, rl_lua_of(L), arg);
}

static bool is_answerable(const struct rl_message *m)
{
	return m && m->busy && m->stream;
}

/* The same, with a stream that can be written to. */
static struct rl_message *answerable(lua_State *L)
{
	struct rl_message *m = message_at(L, 1);
	return is_answerable(m) ? m : NULL;
}

static int give_request(lua_State *L, const struct rl_crew *c, const struct rl_message *m)
{
	push_number(L, m);
	lua_rawgeti(L, 2, (int)m->stream->slot + 1);
	lua_pushboolean(L, rl_crew_lacks_worker(c));
	return 3;
}

static int give_end(lua_State *L, const struct rl_stream *s)
{
	lua_pushinteger(L, 0);
	lua_rawgeti(L, 2, (int)s->slot + 1);
	lua_pushinteger(L, rl_stream_status(s));
	return 3;
}

/* crew, conns, server, number of the request that was handled (nil: none), whether its handler
 * returned -> number, conn, whether another worker should be started | 0, conn, code: its end |
 * true after a wait | false: this worker should end. Every request costs a call, and only workers
 * make it, with what they got from here: the classes are not checked. */
static int lhttp_next(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_crew *c = *(struct rl_crew **)lua_touserdata(L, 1);
	struct rl_serve *v = lua_touserdata(L, 3);
	struct rl_message *m = lua_toboolean(L, 4) ? find(L, h, 4) : NULL;
	struct rl_stream *s;
	if (m && rl_serve_done(v, m, lua_toboolean(L, 5)))
		return give_request(L, c, m);
	if (c && rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	switch (c ? rl_serve_next(v, c, &m, &s) : RL_SERVE_NOTHING) {
	case RL_SERVE_REQUEST:
		return give_request(L, c, m);
	case RL_SERVE_ENDED:
		return give_end(L, s);
	}
	if (c && rl_crew_gave_way(c))
		return rl_lua_park(L, h, &h->shard.resting, RL_REASON_SERVER, -1);
	if (c && rl_crew_idle(c))
		return rl_lua_park(L, h, &c->workers, RL_REASON_SERVER, -1);
	lua_pushboolean(L, 0);
	return 1;
}

/* Requests. */

static void push_span(lua_State *L, const struct rl_message *m, struct rl_http_span span)
{
	lua_pushlstring(L, m->bytes + span.off, span.len);
}

/* The path of a request; that of an absolute target may be empty (RFC 9112 3.2.4). */
static void push_path(lua_State *L, const struct rl_message *m)
{
	const struct rl_http_target *t = &m->head.target;
	if (t->path.len > 0 || t->form == RL_TARGET_AUTHORITY)
		push_span(L, m, t->path);
	else if (m->head.method_id == RL_METHOD_OPTIONS && t->query.off == 0)
		lua_pushliteral(L, "*");
	else
		lua_pushliteral(L, "/");
}

/* number -> method, target, path, query (nil: none), host (nil: none), minor version; nothing when
 * it is over */
static int lhttp_line(lua_State *L)
{
	const struct rl_message *m = message_at(L, 1);
	if (!m || !m->has_head)
		return 0;
	push_span(L, m, m->head.method);
	push_span(L, m, m->head.target.all);
	push_path(L, m);
	if (m->head.target.query.off > 0)
		push_span(L, m, m->head.target.query);
	else
		lua_pushnil(L);
	if (m->head.host.len > 0)
		push_span(L, m, m->head.host);
	else
		lua_pushnil(L);
	lua_pushinteger(L, m->head.minor);
	return 6;
}

/* number, name -> its value, or nil; several are joined by commas (RFC 9110 5.3) */
static int lhttp_field(lua_State *L)
{
	size_t len;
	const struct rl_message *m = message_at(L, 1);
	const char *name = luaL_checklstring(L, 2, &len);
	if (!m || !m->has_head)
		return 0;
	const struct rl_http_fields *fields = &m->head.fields;
	const struct rl_http_field *f = rl_http_field_find_name(fields, m->bytes, name, len, 0);
	if (!f)
		return 0;
	int n = 0;
	luaL_checkstack(L, 4, NULL);
	for (; f; n++) {
		uint32_t next = rl_http_field_index(fields, f) + 1;
		if (n > 0)
			lua_pushliteral(L, ", ");
		push_span(L, m, f->value);
		if (n > 0)
			lua_concat(L, 3);
		f = rl_http_field_find_name(fields, m->bytes, name, len, next);
	}
	return 1;
}

#define CONDITIONAL(name) rl_http_name_bit(RL_FIELD_##name)

/* number -> does it have one of the fields that RFC 9110 13 and 14 are about? */
static int lhttp_is_conditional(lua_State *L)
{
	const struct rl_message *m = message_at(L, 1);
	const uint64_t fields = CONDITIONAL(IF_MATCH) | CONDITIONAL(IF_NONE_MATCH)
		| CONDITIONAL(IF_MODIFIED_SINCE) | CONDITIONAL(IF_UNMODIFIED_SINCE)
		| CONDITIONAL(IF_RANGE) | CONDITIONAL(RANGE);
	lua_pushboolean(L, m && m->has_head && m->head.fields.known & fields);
	return 1;
}

int rl_lhttp_push_fields(lua_State *L, const struct rl_http_fields *fields, const char *bytes)
{
	lua_createtable(L, (int)fields->count * 2, 0);
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct rl_http_field *f = &fields->list[i];
		lua_pushlstring(L, bytes + f->name, f->name_len);
		lua_rawseti(L, -2, (int)i * 2 + 1);
		lua_pushlstring(L, bytes + f->value.off, f->value.len);
		lua_rawseti(L, -2, (int)i * 2 + 2);
	}
	return 1;
}

/* number -> {name, value, name, value, ...} as they came */
static int lhttp_fields(lua_State *L)
{
	const struct rl_message *m = message_at(L, 1);
	return m && m->has_head ? rl_lhttp_push_fields(L, &m->head.fields, m->bytes) : 0;
}

/* number -> the same of the trailers of a body in chunks, once it was read */
static int lhttp_trailers(lua_State *L)
{
	const struct rl_message *m = message_at(L, 1);
	if (!m || !m->has_head || !m->trail)
		return 0;
	return rl_lhttp_push_fields(L, &m->body.trailers, m->trail);
}

static int fail_message(lua_State *L, const struct rl_message *m, int code)
{
	rl_lua_fail(L, code);
	if (code != -EPROTO)
		return 2;
	lua_pushstring(L, rl_http_error_text(m->error));
	return 3;
}

static int send_continue(struct rl_message *m)
{
	if (!m->continue_due)
		return 0;
	int err = rl_out_begin(m->stream, false);
	if (err != 0)
		return err;
	err = rl_reply_continue(m);
	rl_out_end(m->stream, err);
	return err;
}

/* number, [timeout], [again] -> a piece of the body | false at its end | true after a wait | nil,
 * code, what is wrong with it */
static int lhttp_body(lua_State *L)
{
	struct rl_http_piece piece;
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_message *m = message_at(L, 1);
	if (!m || !m->has_head || !m->busy)
		return rl_lua_fail(L, -RL_ECLOSED);
	int status = rl_message_body(m, &piece);
	if (status == 1) {
		lua_pushlstring(L, piece.data, piece.len);
		rl_message_took(m);
		return 1;
	}
	if (status == 0) {
		lua_pushboolean(L, 0);
		return 1;
	}
	if (status != -EAGAIN)
		return fail_message(L, m, status);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	if (!rl_list_empty(&m->stream->readers.waiters))
		rl_lnet_raise(L, "another task is reading this body");
	status = send_continue(m);
	if (status < 0)
		return rl_lua_fail(L, status);
	uint32_t need = m->stream->in.len + 1;
	return rl_lread_park(L, m->stream, need, need, 2);
}

/* number -> true after a wait | 1: the client has gone | false: the request is over */
static int lhttp_gone(lua_State *L)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_message *m = message_at(L, 1);
	if (!m || !m->busy || !m->stream) {
		lua_pushboolean(L, 0);
		return 1;
	}
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	struct rl_stream *s = m->stream;
	if (rl_stream_has(s, RL_BYTES_MAX) == -EAGAIN)
		rl_stream_expect(s, RL_BYTES_MAX, 1);
	if (rl_stream_has(s, RL_BYTES_MAX) == -EAGAIN)
		return rl_lua_park(L, h, &s->readers, RL_REASON_READ, -1);
	lua_pushinteger(L, 1);
	return 1;
}

/* number -> whether there is a body that was not read yet, its length or nil */
static int lhttp_body_left(lua_State *L)
{
	const struct rl_message *m = message_at(L, 1);
	if (!m || !m->has_head)
		return 0;
	lua_pushboolean(L, !rl_message_is_read(m));
	if (m->head.content_length < 0)
		return 1;
	lua_pushnumber(L, (lua_Number)m->head.content_length);
	return 2;
}

/* Answers. */

enum { HAS_DATE = 1, CLOSE = 2, TURN = 4 };
enum { STATUS_MIN = 200, STATUS_MAX = 599 };

/* What is common to all that writes: 0: go on, *m may be written to; else results, or the park. */
static int begin(lua_State *L, struct rl_message **to, unsigned flags)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_message *m = find(L, h, 1);
	if (!is_answerable(m))
		return rl_lua_fail(L, -RL_ECLOSED);
	if (!(flags & TURN) && rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h); /* who has the turn must take it */
	struct rl_stream *s = m->stream;
	*to = m;
	int status = rl_out_begin(s, flags & TURN);
	if (status < 0)
		return rl_lua_fail(L, status);
	if (status == 0)
		return 0;
	int64_t wait_ns = s->more ? s->more->write_ns : -1;
	int64_t due = wait_ns < 0 ? -1 : rl_shard_now(&h->shard) + wait_ns;
	return rl_lua_park(L, h, &s->out->writers, RL_REASON_WRITE, due);
}

static int end(lua_State *L, struct rl_message *m, int err)
{
	rl_out_end(m->stream, err == -EMSGSIZE || err == -EALREADY ? 0 : err);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushinteger(L, 1);
	return 1;
}

static struct rl_reply_head head_at(lua_State *L, int64_t length, unsigned flags)
{
	struct rl_reply_head head = {
		.status = (unsigned)lua_tointeger(L, 2),
		.length = length,
		.has_date = flags & HAS_DATE,
		.close = flags & CLOSE,
	};
	head.fields = lua_tolstring(L, 3, &head.fields_len);
	return head;
}

/* number, status, body or nil, [fields, flags]: a whole answer; again, with TURN, after a wait. As
 * the one call that every request makes it looks at its arguments itself: nil, -EINVAL. */
static int lhttp_send(lua_State *L)
{
	struct rl_message *m;
	struct rl_reply_head head = {0};
	size_t len = 0;
	unsigned flags = 0;
	lua_Number status = lua_tonumber(L, 2);
	int type = lua_type(L, 3);
	if (!(status >= STATUS_MIN && status <= STATUS_MAX) || status != (unsigned)status
		|| lua_type(L, 2) != LUA_TNUMBER || (type != LUA_TSTRING && type > LUA_TNIL))
		return rl_lua_fail(L, -EINVAL);
	if (lua_gettop(L) > 3) {
		head.fields = lua_tolstring(L, 4, &head.fields_len);
		flags = (unsigned)lua_tointeger(L, 5);
		head.has_date = flags & HAS_DATE;
		head.close = flags & CLOSE;
	}
	int results = begin(L, &m, flags);
	if (results != 0)
		return results;
	if (m->state != RL_REPLY_NONE)
		return end(L, m, -EALREADY);
	const char *body = lua_tolstring(L, 3, &len);
	head.status = (unsigned)status;
	head.length = (int64_t)len;
	return end(L, m, rl_reply_send(m, &head, body));
}

/* number, status, fields, flags, length of the body or nil: the head of an answer; likewise */
static int lhttp_begin(lua_State *L)
{
	struct rl_message *m;
	unsigned flags = (unsigned)lua_tointeger(L, 4);
	int results = begin(L, &m, flags);
	if (results != 0)
		return results;
	if (m->state != RL_REPLY_NONE)
		return end(L, m, -EALREADY);
	int64_t length = lua_isnil(L, 5) ? -1 : (int64_t)lua_tonumber(L, 5);
	struct rl_reply_head head = head_at(L, length, flags);
	return end(L, m, rl_reply_begin(m, &head));
}

/* number, data, flags: a piece of the body; likewise */
static int lhttp_write(lua_State *L)
{
	struct rl_message *m;
	size_t len;
	int results = begin(L, &m, (unsigned)lua_tointeger(L, 3));
	if (results != 0)
		return results;
	if (m->state == RL_REPLY_NONE || m->state == RL_REPLY_DONE)
		return end(L, m, -EALREADY);
	const char *data = lua_tolstring(L, 2, &len);
	return end(L, m, rl_reply_write(m, data, len));
}

/* number, file, offset, length, flags: a piece of the body that is a range of a file; likewise.
 * When it gives false, the file is under way: http_sent. */
static int lhttp_file(lua_State *L)
{
	struct rl_message *m;
	struct rl_content *c = *rl_lnet_content(L, 2);
	int64_t off = (int64_t)lua_tonumber(L, 3), len = (int64_t)lua_tonumber(L, 4);
	int results = c ? begin(L, &m, (unsigned)lua_tointeger(L, 5)) : rl_lua_fail(L, -RL_ECLOSED);
	if (results != 0)
		return results;
	int status = rl_reply_file(m, c, off, len);
	bool harmless = status == -EMSGSIZE || status == -EBUSY || status == -RL_ECLOSED;
	rl_out_end(m->stream, harmless ? 0 : status);
	if (status < 0)
		return rl_lua_fail(L, status);
	if (status == 1)
		lua_pushboolean(L, 0);
	else
		lua_pushinteger(L, 1);
	return 1;
}

/* number, file, length -> 1: it was sent; true after a wait; nil, code; nil, -ETIMEDOUT: to be
 * called again; false, -ETIMEDOUT: no bytes have moved for the write timeout, all that matters */
static int lhttp_sent(lua_State *L)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_content *c = *rl_lnet_content(L, 2);
	struct rl_message *m = answerable(L);
	int status = c ? rl_outfile_sent(c) : -RL_ECLOSED;
	if (status == 0 && m)
		rl_reply_sent(m, (int64_t)lua_tonumber(L, 3));
	if (status <= 0) {
		lua_pushinteger(L, 1);
		return status < 0 ? rl_lua_fail(L, status) : 1;
	}
	if (!m)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	const struct rl_stream_more *more = m->stream->more;
	int64_t due = -1;
	if (more && more->write_ns >= 0) {
		due = more->active_ns + more->write_ns;
		if (due <= rl_shard_now(&h->shard)) {
			lua_pushboolean(L, 0);
			lua_pushinteger(L, -ETIMEDOUT);
			return 2;
		}
	}
	return rl_lua_park(L, h, &c->waiters, RL_REASON_WRITE, due);
}

/* number, flags: the end of the body; likewise */
static int lhttp_finish(lua_State *L)
{
	struct rl_message *m;
	int results = begin(L, &m, (unsigned)lua_tointeger(L, 2));
	if (results != 0)
		return results;
	if (m->state == RL_REPLY_NONE || m->state == RL_REPLY_DONE)
		return end(L, m, -EALREADY);
	return end(L, m, rl_reply_end(m));
}

/* number, fields -> 1: 101 was sent, and what comes from now on is no HTTP | nil, code. Does not
 * park. */
static int lhttp_upgrade(lua_State *L)
{
	struct rl_message *m = answerable(L);
	struct rl_reply_head head = {.status = 101, .length = 0};
	if (!m)
		return rl_lua_fail(L, -RL_ECLOSED);
	int err = rl_out_begin(m->stream, false);
	if (err < 0)
		return rl_lua_fail(L, err);
	if (m->state != RL_REPLY_NONE || !rl_message_is_read(m))
		return end(L, m, -EALREADY);
	head.fields = lua_tolstring(L, 2, &head.fields_len);
	err = rl_reply_begin(m, &head);
	if (err == 0)
		err = rl_reply_end(m);
	m->keep = false;
	return end(L, m, err);
}

/* number: its sender has let somebody wait too long for its body */
static int lhttp_late(lua_State *L)
{
	struct rl_message *m = message_at(L, 1);
	if (m && m->busy)
		m->late = true;
	return 0;
}

/* number, fields, whether it is the connection's last -> the status with which it was answered for
 * its handler; nothing when that had begun to, or nobody is there any more. Does not park. */
static int lhttp_unanswered(lua_State *L)
{
	size_t len;
	const char *fields = luaL_checklstring(L, 2, &len);
	struct rl_message *m = answerable(L);
	if (!m || m->state != RL_REPLY_NONE)
		return 0;
	if (lua_toboolean(L, 3))
		m->keep = false;
	int status = rl_serve_answer(m, fields, len);
	if (status < 0)
		return 0;
	lua_pushinteger(L, status);
	return 1;
}

/* number -> "none", "open" or "done": how far the answer has come; nothing when it is over */
static int lhttp_state(lua_State *L)
{
	const struct rl_message *m = answerable(L);
	if (!m)
		return 0;
	lua_pushstring(L, m->state == RL_REPLY_NONE ? "none"
		: m->state == RL_REPLY_DONE ? "done" : "open");
	return 1;
}

static const luaL_Reg functions[] = {
	{"http_serve", lhttp_serve},
	{"http_stop", lhttp_stop},
	{"http_counts", lhttp_counts},
	{"http_next", lhttp_next},
	{"http_line", lhttp_line},
	{"http_field", lhttp_field},
	{"http_fields", lhttp_fields},
	{"http_is_conditional", lhttp_is_conditional},
	{"http_trailers", lhttp_trailers},
	{"http_body", lhttp_body},
	{"http_body_left", lhttp_body_left},
	{"http_gone", lhttp_gone},
	{"http_send", lhttp_send},
	{"http_begin", lhttp_begin},
	{"http_write", lhttp_write},
	{"http_file", lhttp_file},
	{"http_sent", lhttp_sent},
	{"http_finish", lhttp_finish},
	{"http_state", lhttp_state},
	{"http_late", lhttp_late},
	{"http_unanswered", lhttp_unanswered},
	{"http_upgrade", lhttp_upgrade},
	{NULL, NULL},
};

void rl_lnet_open_http(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	rl_lhttp_open_client(L, n);
	lua_pushinteger(L, -EALREADY);
	lua_setfield(L, -2, "EALREADY");
	lua_pushinteger(L, -EMSGSIZE);
	lua_setfield(L, -2, "EMSGSIZE");
	lua_pushinteger(L, -EINVAL);
	lua_setfield(L, -2, "EINVAL");
	luaL_newmetatable(L, SERVE);
	n->serve_class = lua_topointer(L, -1);
	lua_pop(L, 1);
}
