/* SPDX-License-Identifier: MIT */
/*
 * lws: WebSockets, as the wrappers in lua/ringlet/websocket_socket.lua call them. One is a userdata
 * that begins with a wait queue, on which `recv` and select wait: side one for a message, side two
 * for the end. What is true of a message costs one call.
 *
 * As in lconn.c, a function that parked returns true and is called again with `again`; 1 is "done".
 */
#include "lua/lnet.h"
#include "lua/lwait.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/sha1.h"
#include "rt/message.h"
#include "rt/out.h"
#include "rt/websocket.h"

#include <string.h>

#define WS "ringlet.websocket.core"
#define KEY_BYTES 16
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */

enum { READERS, CLOSERS };

struct lws {
	struct lwaitq q;
	struct rl_websocket w;
	int64_t due_ns;          /* of the wait under way */
};

/* Only wrappers of ours call these, with what ws_new gave; who passes anything else raises. */
static struct lws *check_ws(lua_State *L)
{
	struct lws *x = lua_touserdata(L, 1);
	if (!x || rl_rawlen(L, 1) != sizeof *x)
		rl_lnet_raise(L, "websocket expected");
	return x;
}

static uint64_t size_at(lua_State *L, int arg)
{
	return (uint64_t)lua_tonumber(L, arg);
}

/* conn, whether this side is the client, bytes of a message, bytes of a frame, whether messages may
 * be packed -> websocket */
static int lws_new(lua_State *L)
{
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_stream *s = rl_lnet_conn(L, 1);
	struct rl_net *net = rl_lnet_net(L, n);
	struct rl_websocket_config config = {
		.client = lua_toboolean(L, 2), .message_max = size_at(L, 3), .frame_max = size_at(L, 4),
		.packed = lua_toboolean(L, 5),
	};
	for (int i = 0; i < 2; i++)
		config.seed[i] = net->os->ops->random(net->os);
	struct lws *x = lua_newuserdata(L, sizeof *x);
	memset(x, 0, sizeof *x);
	rl_lwait_init(&x->q);
	rl_websocket_init(&x->w, &config, &x->q.side[READERS], &x->q.side[CLOSERS]);
	luaL_getmetatable(L, WS);
	lua_setmetatable(L, -2);
	int err = s ? rl_websocket_attach(&x->w, s) : -RL_ECLOSED;
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

static int lws_gc(lua_State *L)
{
	struct lws *x = lua_touserdata(L, 1);
	rl_websocket_term(&x->w);
	return 0;
}

/* Receiving. */

/* data, whether it is text, true if it is packed */
static int give_message(lua_State *L, struct rl_websocket *w)
{
	size_t len;
	const char *data = rl_websocket_message(w, &len);
	lua_pushlstring(L, data, len);
	lua_pushboolean(L, rl_websocket_is_text(w));
	lua_pushboolean(L, rl_websocket_is_packed(w));
	rl_websocket_took(w);
	return 3;
}

/* websocket, [timeout], [again] -> data, whether it is text, whether packed, at once or after a
 * wait | true after a wait | nil, code */
static int lws_recv(lua_State *L)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct lws *x = check_ws(L);
	if (!rl_list_empty(&x->q.side[READERS].waiters))
		return rl_lnet_raise(L, "another task is receiving from this websocket");
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	if (x->w.ready)
		return give_message(L, &x->w);
	if (x->w.verdict != 0)
		return rl_lua_fail(L, x->w.verdict);
	if (!lua_toboolean(L, 3))
		x->due_ns = rl_lnet_deadline(L, 2);
	return rl_lua_park(L, h, &x->q.side[READERS], RL_REASON_READ | RL_GIVES_MESSAGE, x->due_ns);
}

/* The message that it was woken for, unless somebody else took it, or means to. */
int rl_lws_give(struct rl_lua *h, struct rl_task *t)
{
	lua_State *L = h->main, *co = t->co;
	struct lws *x = lua_touserdata(co, 1);
	if (!x || !x->w.ready || !rl_list_empty(&x->q.side[READERS].waiters))
		return 0;
	int n = give_message(L, &x->w);
	lua_xmove(L, co, n);
	return n;
}

/* websocket, peek: for select, without waiting -> data, whether it is text, whether packed | true:
 * there is news | false: there is none | nil, code */
static int lws_take(lua_State *L)
{
	struct lws *x = check_ws(L);
	bool news = rl_websocket_has_news(&x->w);
	if (!news || lua_toboolean(L, 2)) {
		lua_pushboolean(L, news);
		return 1;
	}
	return x->w.ready ? give_message(L, &x->w) : rl_lua_fail(L, x->w.verdict);
}

/* Sending. */

#define NOT_TEXT "text must be UTF-8: send other bytes as \"binary\""

/* Begin to send: 0, else the results of the binding are *results. */
static int begin(lua_State *L, struct rl_websocket *w, bool turn, int *results)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	if (rl_lua_is_cancelled(h)) {
		rl_lua_check_park(L, h);
		*results = rl_lua_cancelled(L, h);
		return 1;
	}
	struct rl_stream *s = w->stream;
	bool open = w->state == RL_WEBSOCKET_OPEN && s;
	int status = open ? rl_out_begin(s, turn) : w->verdict;
	if (status < 0) {
		*results = rl_lua_fail(L, status);
	} else if (status > 0) {
		int64_t wait_ns = s->more->write_ns;
		int64_t due = wait_ns < 0 ? -1 : rl_shard_now(&h->shard) + wait_ns;
		*results = rl_lua_park(L, h, &s->out->writers, RL_REASON_WRITE, due);
	}
	return status;
}

/* websocket, data, whether it is text, turn, whether it is packed -> 1 | true after a wait | nil,
 * code */
static int lws_send(lua_State *L)
{
	size_t len;
	int results;
	struct rl_websocket *w = &check_ws(L)->w;
	const char *data = lua_tolstring(L, 2, &len);
	bool text = lua_toboolean(L, 3), turn = lua_toboolean(L, 4), packed = lua_toboolean(L, 5);
	if (text && !turn && !rl_utf8_is_valid(data, len))
		return rl_lnet_raise(L, NOT_TEXT);
	if (begin(L, w, turn, &results) != 0)
		return results;
	int err = rl_websocket_write(w, text ? RL_WS_TEXT : RL_WS_BINARY, packed, data, len);
	rl_out_end(w->stream, err);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushinteger(L, 1);
	return 1;
}

/* websocket, data, whether it is text, turn: wait for the turn to send, so that messages are packed
 * in the order in which they go out -> 1: ws_send(.., true) has to follow at once | true after a
 * wait | nil, code */
static int lws_turn(lua_State *L)
{
	size_t len;
	int results;
	struct rl_websocket *w = &check_ws(L)->w;
	const char *data = lua_tolstring(L, 2, &len);
	bool turn = lua_toboolean(L, 4);
	if (lua_toboolean(L, 3) && !turn && !rl_utf8_is_valid(data, len))
		return rl_lnet_raise(L, NOT_TEXT);
	if (begin(L, w, turn, &results) != 0)
		return results;
	lua_pushinteger(L, 1);
	return 1;
}

/* data -> is it UTF-8? */
static int lws_is_text(lua_State *L)
{
	size_t len;
	const char *data = lua_tolstring(L, 1, &len);
	lua_pushboolean(L, data && rl_utf8_is_valid(data, len));
	return 1;
}

/* websocket, payload -> true | nil, code. Does not park. */
static int lws_ping(lua_State *L)
{
	size_t len;
	struct rl_websocket *w = &check_ws(L)->w;
	const char *data = lua_tolstring(L, 2, &len);
	int err = rl_websocket_control(w, RL_WS_PING, data, len);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* The end. */

/* websocket, code, reason -> 1: the handshake of the end has begun */
static int lws_close(lua_State *L)
{
	size_t len;
	struct rl_websocket *w = &check_ws(L)->w;
	lua_Number code = lua_tonumber(L, 2);
	const char *reason = lua_tolstring(L, 3, &len);
	if (!(code >= 0 && code <= 65535) || !rl_wsframe_is_close_code((unsigned)code))
		return rl_lnet_raise(L, "no code for a close: 1000 to 1014 or 3000 to 4999");
	if (len > RL_WEBSOCKET_REASON_MAX || !rl_utf8_is_valid(reason, len))
		return rl_lnet_raise(L, "the reason must be UTF-8, of 123 bytes at most");
	rl_websocket_close(w, (unsigned)code, reason, len);
	lua_pushinteger(L, 1);
	return 1;
}

/* websocket, [due] -> 1: it has ended, or this task is cancelled | true after a wait | nil, code */
static int lws_ended(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lws *x = check_ws(L);
	if (!rl_websocket_has_ended(&x->w) && !rl_lua_is_cancelled(h))
		return rl_lua_park(L, h, &x->q.side[CLOSERS], RL_REASON_CLOSE,
			rl_lnet_due(L, 2));
	lua_pushinteger(L, 1);
	return 1;
}

/* websocket, code: nothing came back from the peer */
static int lws_fail(lua_State *L)
{
	rl_websocket_fail(&check_ws(L)->w, (int)lua_tointeger(L, 2));
	return 0;
}

/* websocket, what is wrong with a message that was packed: "packing", "length" or "text" -> nil,
 * code */
static int lws_refuse(lua_State *L)
{
	static const char *const names[] = {"packing", "length", "text", NULL};
	static const int errors[] = {RL_WS_NOT_PACKED, RL_WS_MESSAGE_SIZE, RL_WS_NOT_UTF8};
	struct rl_websocket *w = &check_ws(L)->w;
	rl_websocket_refuse(w, errors[luaL_checkoption(L, 2, NULL, names)]);
	return rl_lua_fail(L, w->verdict);
}

/* websocket -> code (nil: it is open), reason, what the peer did wrong or nil */
static int lws_verdict(lua_State *L)
{
	const struct rl_websocket *w = &check_ws(L)->w;
	if (w->close_code == 0)
		return 0;
	lua_pushinteger(L, w->close_code);
	lua_pushlstring(L, w->reason, w->reason_len);
	if (w->error == RL_WS_OK)
		return 2;
	lua_pushstring(L, rl_wsframe_error_text(w->error));
	return 3;
}

/* Looking. */

/* websocket -> is it open, is a message unread, seconds of the clock when the last pong came (nil:
 * none did) */
static int lws_pulse(lua_State *L)
{
	const struct rl_websocket *w = &check_ws(L)->w;
	lua_pushboolean(L, w->state == RL_WEBSOCKET_OPEN);
	lua_pushboolean(L, w->ready);
	if (w->pong_ns < 0)
		return 2;
	lua_pushnumber(L, (lua_Number)w->pong_ns * 1e-9);
	return 3;
}

static void set_number(lua_State *L, const char *name, uint64_t value)
{
	lua_pushinteger(L, (lua_Integer)value);
	lua_setfield(L, -2, name);
}

/* websocket -> counters, payload of the last ping */
static int lws_stats(lua_State *L)
{
	const struct rl_websocket *w = &check_ws(L)->w;
	const struct rl_out *out = w->stream ? w->stream->out : NULL;
	lua_createtable(L, 0, 12);
	set_number(L, "messages_in", w->counts.messages_in);
	set_number(L, "messages_out", w->counts.messages_out);
	set_number(L, "bytes_in", w->counts.bytes_in);
	set_number(L, "bytes_out", w->counts.bytes_out);
	set_number(L, "pings_in", w->counts.pings_in);
	set_number(L, "pongs_in", w->counts.pongs_in);
	set_number(L, "queued_in", w->len + (w->stream ? w->stream->in.len : 0));
	set_number(L, "queued_out", out ? out->queue.len : 0);
	lua_pushlstring(L, w->control, w->control_len);
	return 2;
}

/* websocket -> "open", "closing" or "closed" */
static int lws_state(lua_State *L)
{
	static const char *const names[] = {"open", "closing", "closing", "closed"};
	lua_pushstring(L, names[check_ws(L)->w.state]);
	return 1;
}

/* Handshakes. */

/* key -> what proves that it was read, or nil when it is no key */
static int lws_accept_key(lua_State *L)
{
	char key[RL_BASE64_LEN(KEY_BYTES) + sizeof GUID], bytes[RL_BASE64_LEN(KEY_BYTES)];
	char proof[RL_BASE64_LEN(RL_SHA1_LEN)];
	uint8_t digest[RL_SHA1_LEN];
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	if (len != RL_BASE64_LEN(KEY_BYTES) || rl_base64_decode(text, len, bytes) != KEY_BYTES)
		return 0;
	memcpy(key, text, len);
	memcpy(key + len, GUID, sizeof GUID - 1);
	rl_sha1_digest(key, len + sizeof GUID - 1, digest);
	lua_pushlstring(L, proof, rl_base64_encode(digest, sizeof digest, proof));
	return 1;
}

/* -> a fresh key */
static int lws_new_key(lua_State *L)
{
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	uint64_t bytes[KEY_BYTES / 8];
	char text[RL_BASE64_LEN(KEY_BYTES)];
	for (unsigned i = 0; i < KEY_BYTES / 8; i++)
		bytes[i] = net->os->ops->random(net->os);
	lua_pushlstring(L, text, rl_base64_encode(bytes, sizeof bytes, text));
	return 1;
}

/* {name, value, ...} of a head */
static void push_fields(lua_State *L, const struct rl_message *m)
{
	const struct rl_http_fields *fields = &m->head.fields;
	lua_createtable(L, (int)fields->count * 2, 0);
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct rl_http_field *f = &fields->list[i];
		lua_pushlstring(L, m->bytes + f->name, f->name_len);
		lua_rawseti(L, -2, (int)i * 2 + 1);
		lua_pushlstring(L, m->bytes + f->value.off, f->value.len);
		lua_rawseti(L, -2, (int)i * 2 + 2);
	}
}

static struct rl_message *response_of(struct rl_stream *s)
{
	static const struct rl_http_limits limits = RL_HTTP_LIMITS_DEFAULT;
	if (rl_stream_extend(s) == 0 && !s->more->message)
		s->more->message = rl_message_new(s, &limits);
	return s->more ? s->more->message : NULL;
}

/* conn, [timeout], [again]: the head of a server's answer -> status, fields | true after a wait |
 * nil, code, what is wrong with it */
static int lws_response(lua_State *L)
{
	struct rl_lua *h = rl_lnet_of(L)->shard;
	struct rl_stream *s = rl_lnet_conn(L, 1);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	struct rl_message *m = s ? response_of(s) : NULL;
	if (!m)
		return rl_lua_fail(L, s ? -ENOMEM : -RL_ECLOSED);
	int done = rl_message_response(m, RL_METHOD_GET);
	if (done == 0)
		return rl_lread_park(L, s, s->in.len + 1, s->in.len + 1, 2);
	int results = 2;
	if (done > 0) {
		lua_pushinteger(L, m->head.status);
		push_fields(L, m);
	} else {
		rl_lua_fail(L, done);
	}
	if (done == -EPROTO) {
		lua_pushstring(L, rl_http_error_text(m->error));
		results = 3;
	}
	rl_message_free(m);
	return results;
}

static const luaL_Reg functions[] = {
	{"ws_new", lws_new},
	{"ws_recv", lws_recv},
	{"ws_take", lws_take},
	{"ws_send", lws_send},
	{"ws_turn", lws_turn},
	{"ws_is_text", lws_is_text},
	{"ws_ping", lws_ping},
	{"ws_close", lws_close},
	{"ws_ended", lws_ended},
	{"ws_fail", lws_fail},
	{"ws_refuse", lws_refuse},
	{"ws_verdict", lws_verdict},
	{"ws_pulse", lws_pulse},
	{"ws_stats", lws_stats},
	{"ws_state", lws_state},
	{"ws_accept_key", lws_accept_key},
	{"ws_new_key", lws_new_key},
	{"ws_response", lws_response},
	{NULL, NULL},
};

static const luaL_Reg methods[] = {{"__gc", lws_gc}, {NULL, NULL}};

void rl_lnet_open_ws(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	luaL_newmetatable(L, WS);
	rl_lnet_register(L, n, methods);
	lua_pop(L, 1);
}
