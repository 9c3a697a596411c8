/* SPDX-License-Identifier: MIT */
/*
 * websocket: see websocket.h.
 *
 * Invariants: `ready` only while OPEN, with `op` what it is; a frame that lies whole in the
 * stream's first piece is unmasked there and stays until it is taken, any other is moved into
 * `text` as it comes. `need` bytes are asked of the stream whenever it is OPEN or CLOSING and
 * nothing is ready. Between states there is no way back; ENDING has a verdict and ends by itself,
 * in time.
 */
#include "rt/websocket.h"

#include "base/err.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "rt/out.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LEAST 1024u     /* first allocation for a message */
#define CONTROL_ROOM 16384u  /* bytes that control frames may queue above the high-water mark */
#define FEW 512              /* bytes of a frame that is put together before it is queued */
#define PIECE 4096           /* bytes that are masked at a time */

/* Life. */

void rl_websocket_init(struct rl_websocket *w, const struct rl_websocket_config *config,
	struct rl_waitq *readers, struct rl_waitq *closers)
{
	memset(w, 0, sizeof *w);
	w->config = *config;
	w->readers = readers;
	w->closers = closers;
	w->state = RL_WEBSOCKET_OVER;
	w->verdict = -RL_ECLOSED;
	w->ping_ns = w->pong_ns = -1;
}

static void forget_text(struct rl_websocket *w)
{
	free(w->text);
	w->text = NULL;
	w->len = w->size = 0;
}

/* Whoever waits for a message need not any more. */
static void forget_message(struct rl_websocket *w)
{
	forget_text(w);
	if (w->whole > 0 && w->stream)
		rl_stream_consume(w->stream, w->whole);
	w->whole = 0;
	w->ready = false;
	w->op = 0;
}

static void wake(struct rl_websocket *w, struct rl_waitq *q)
{
	const struct rl_net *net = w->stream ? w->stream->net : NULL;
	if (net && !net->stopping && !rl_list_empty(&q->waiters))
		rl_waitq_wake(net->shard, q, 0, true);
}

static void set_state(struct rl_websocket *w, unsigned state)
{
	w->state = (uint8_t)state;
	wake(w, w->closers);
}

int rl_websocket_attach(struct rl_websocket *w, struct rl_stream *s)
{
	int err = rl_stream_extend(s);
	if (err < 0)
		return err;
	w->stream = s;
	w->verdict = 0;
	w->state = RL_WEBSOCKET_OPEN;
	s->more->websocket = w;
	s->flags |= RL_STREAM_FRAMED;
	rl_websocket_tell(w);
	return 0;
}

/* The stream is nobody's, or its owner's, again. */
static void let_go(struct rl_websocket *w)
{
	struct rl_stream *s = w->stream;
	w->stream = NULL;
	if (s && s->more && s->more->websocket == w) {
		s->more->websocket = NULL;
		s->flags &= ~RL_STREAM_FRAMED;
	}
}

static void judge(struct rl_websocket *w, int verdict, unsigned code)
{
	if (w->verdict == 0)
		w->verdict = (int16_t)verdict;
	if (w->close_code == 0)
		w->close_code = (uint16_t)code;
}

void rl_websocket_detach(struct rl_websocket *w)
{
	w->whole = 0;
	forget_message(w);
	judge(w, -RL_ECLOSED, RL_WEBSOCKET_ABNORMAL);
	wake(w, w->readers);
	set_state(w, RL_WEBSOCKET_OVER);
	let_go(w);
}

void rl_websocket_drop(struct rl_websocket *w)
{
	while (rl_list_pop(&w->readers->waiters) || rl_list_pop(&w->closers->waiters))
		continue;
	rl_websocket_detach(w);
}

void rl_websocket_term(struct rl_websocket *w)
{
	if (w->stream)
		rl_websocket_detach(w);
	forget_text(w);
}

/* Writing. */

/* Keys must not be foreseen by whoever chooses what is sent (RFC 6455 10.3). */
static uint32_t next_key(struct rl_websocket *w)
{
	uint64_t n = htole64(w->masks++);
	return (uint32_t)rl_siphash(&n, sizeof n, w->config.seed);
}

/* Content in pieces, masked on the way. */
static int write_masked(struct rl_websocket *w, uint32_t key, const char *data, size_t len)
{
	char piece[PIECE];
	int err = 0;
	for (size_t at = 0; at < len && err == 0; at += sizeof piece) {
		size_t n = len - at < sizeof piece ? len - at : sizeof piece;
		memcpy(piece, data + at, n);
		rl_wsframe_mask(piece, n, key, 0);
		err = rl_out_write(w->stream, piece, n);
	}
	return err;
}

static int write_frame(struct rl_websocket *w, struct rl_wsframe f, const char *data)
{
	char few[FEW];
	size_t len = (size_t)f.len;
	bool masked = w->config.client;
	if (masked)
		f.key = next_key(w);
	size_t head = rl_wsframe_write(&f, masked, few);
	if (head + len <= sizeof few) {
		memcpy(few + head, data, len);
		if (masked)
			rl_wsframe_mask(few + head, len, f.key, 0);
		return rl_out_write(w->stream, few, head + len);
	}
	int err = rl_out_write(w->stream, few, head);
	if (err < 0)
		return err;
	return masked ? write_masked(w, f.key, data, len) : rl_out_write(w->stream, data, len);
}

int rl_websocket_write(struct rl_websocket *w, unsigned op, bool packed, const char *data,
	size_t len)
{
	struct rl_wsframe f = {.len = len, .op = (uint8_t)op, .fin = true, .packed = packed};
	int err = write_frame(w, f, data);
	if (err == 0) {
		w->counts.messages_out++;
		w->counts.bytes_out += len;
	}
	return err;
}

/* Frames are queued whole, so one may go between any two. */
int rl_websocket_control(struct rl_websocket *w, unsigned op, const char *data, size_t len)
{
	struct rl_wsframe f = {.len = len, .op = (uint8_t)op, .fin = true};
	struct rl_stream *s = w->stream;
	if (!s || w->state != RL_WEBSOCKET_OPEN)
		return w->verdict ? w->verdict : -RL_ECLOSED;
	int err = rl_out_begin(s, false);
	if (err < 0)
		return err;
	err = s->out->queue.len >= s->more->write_high + CONTROL_ROOM ? -ENOBUFS : 0;
	if (err == 0)
		err = write_frame(w, f, data);
	rl_out_end(s, err == -ENOBUFS ? 0 : err);
	return err;
}

/* The end. */

static void send_close(struct rl_websocket *w, unsigned code, const char *reason, size_t len)
{
	char payload[RL_WSFRAME_CONTROL_MAX];
	uint16_t first = htobe16((uint16_t)code);
	size_t n = 0;
	if (code != RL_WEBSOCKET_NO_CODE) {
		memcpy(payload, &first, sizeof first);
		if (len > 0)
			memcpy(payload + sizeof first, reason, len);
		n = sizeof first + len;
	}
	if (rl_out_begin(w->stream, false) < 0)
		return;
	struct rl_wsframe f = {.len = n, .op = RL_WS_CLOSE, .fin = true};
	int err = write_frame(w, f, payload);
	rl_out_end(w->stream, err);
}

/* Nothing is read any more. A server ends the connection behind what it has queued; a client leaves
 * that to the server (RFC 6455 7.1.1), unless that did wrong. */
static void begin_end(struct rl_websocket *w, int verdict, unsigned code)
{
	struct rl_stream *s = w->stream;
	forget_message(w);
	judge(w, verdict, code);
	set_state(w, RL_WEBSOCKET_ENDING);
	if (!w->config.client || w->error != RL_WS_OK)
		rl_out_shutdown(s);
	rl_stream_limit(s, -1, s->net->shard->now_ns + RL_WEBSOCKET_END_NS);
}

/* It ends without a handshake. */
static void lose(struct rl_websocket *w, int status)
{
	if (w->state == RL_WEBSOCKET_CLOSING)
		status = -RL_ECLOSED;
	forget_message(w);
	judge(w, status, RL_WEBSOCKET_ABNORMAL);
	set_state(w, RL_WEBSOCKET_ENDING);
}

/* The peer did wrong. After our close frame that does not matter any more. */
static int refuse(struct rl_websocket *w, int error)
{
	unsigned code = rl_wsframe_error_close(error);
	if (w->state == RL_WEBSOCKET_OPEN) {
		w->error = (uint8_t)error;
		send_close(w, code, NULL, 0);
	}
	begin_end(w, -EPROTO, w->state == RL_WEBSOCKET_OPEN ? code : RL_WEBSOCKET_ABNORMAL);
	return 1;
}

void rl_websocket_refuse(struct rl_websocket *w, int error)
{
	if (w->state != RL_WEBSOCKET_OPEN)
		return;
	refuse(w, error);
	rl_websocket_tell(w);
}

/* Control frames. */

static int take_close(struct rl_websocket *w, const char *payload, size_t len)
{
	uint16_t code;
	if (len == 1)
		return refuse(w, RL_WS_CLOSE_LENGTH);
	if (len == 0) {
		w->close_code = RL_WEBSOCKET_NO_CODE;
	} else {
		memcpy(&code, payload, sizeof code);
		code = be16toh(code);
		if (!rl_wsframe_is_close_code(code))
			return refuse(w, RL_WS_CLOSE_CODE);
		if (!rl_utf8_is_valid(payload + sizeof code, len - sizeof code))
			return refuse(w, RL_WS_NOT_UTF8);
		w->close_code = code;
		w->reason_len = (uint8_t)(len - sizeof code);
		memcpy(w->reason, payload + sizeof code, w->reason_len);
	}
	if (w->state == RL_WEBSOCKET_OPEN)
		send_close(w, w->close_code, NULL, 0);
	begin_end(w, -RL_ECLOSED, w->close_code);
	return 1;
}

static void take_ping(struct rl_websocket *w, const char *payload, size_t len)
{
	w->counts.pings_in++;
	w->ping_ns = w->stream->net->shard->now_ns;
	w->control_len = (uint8_t)len;
	memcpy(w->control, payload, len);
	if (w->state == RL_WEBSOCKET_OPEN)
		rl_websocket_control(w, RL_WS_PONG, payload, len);
}

/* 1: it was handled; 0: not all of it is here. */
static int take_control(struct rl_websocket *w)
{
	struct rl_stream *s = w->stream;
	uint32_t len = (uint32_t)w->frame.len;
	char payload[RL_WSFRAME_CONTROL_MAX];
	if (s->in.len < len) {
		w->need = len;
		return 0;
	}
	if (len > 0) {
		rl_bytes_copy(&s->in, 0, payload, len);
		rl_stream_consume(s, len);
	}
	rl_wsframe_mask(payload, len, w->frame.key, 0);
	w->in_frame = false;
	if (w->frame.op == RL_WS_CLOSE)
		return take_close(w, payload, len);
	if (w->frame.op == RL_WS_PING) {
		take_ping(w, payload, len);
	} else {
		w->counts.pongs_in++;
		w->pong_ns = s->net->shard->now_ns;
	}
	return 1;
}

/* Messages. */

static bool make_room(struct rl_websocket *w, uint64_t n)
{
	uint64_t size = w->size > 0 ? w->size : TEXT_LEAST;
	if (n <= w->size - w->len)
		return true;
	while (size - w->len < n)
		size *= 2;
	char *grown = realloc(w->text, size);
	if (!grown)
		return false;
	w->text = grown;
	w->size = size;
	return true;
}

static void set_ready(struct rl_websocket *w, uint64_t len)
{
	w->ready = true;
	w->in_frame = false;
	w->counts.messages_in++;
	w->counts.bytes_in += len;
}

/* Text that is packed is looked at by who unpacks it. */
static bool is_plain_text(const struct rl_websocket *w)
{
	return rl_websocket_is_text(w) && !w->packed;
}

/* The end of a frame of data. */
static int end_frame(struct rl_websocket *w)
{
	w->in_frame = false;
	if (w->state == RL_WEBSOCKET_CLOSING || !w->frame.fin)
		return 1;
	if (is_plain_text(w) && !rl_utf8_is_done(&w->utf8))
		return refuse(w, RL_WS_NOT_UTF8);
	set_ready(w, w->len);
	return 1;
}

/* The next `n` bytes of the payload, which are all in the first piece. */
static int take_piece(struct rl_websocket *w, const char *data, uint32_t n)
{
	if (w->state == RL_WEBSOCKET_CLOSING)
		return 1;
	if (!make_room(w, n)) {
		lose(w, -ENOMEM);
		return -1;
	}
	char *at = w->text + w->len;
	memcpy(at, data, n);
	rl_wsframe_mask(at, n, w->frame.key, w->frame.len - w->left);
	w->len += n;
	if (is_plain_text(w) && !rl_utf8_feed(&w->utf8, at, n)) {
		refuse(w, RL_WS_NOT_UTF8);
		return -1;
	}
	return 1;
}

/* 1: something was done; 0: more bytes are needed. */
static int take_data(struct rl_websocket *w)
{
	struct rl_stream *s = w->stream;
	while (w->left > 0 && s->in.len > 0) {
		const struct rl_piece *piece = rl_bytes_head(&s->in);
		uint32_t n = piece->len < w->left ? piece->len : (uint32_t)w->left;
		if (take_piece(w, rl_piece_at(piece), n) < 0)
			return 1;
		w->left -= n;
		rl_stream_consume(s, n);
	}
	w->need = 1;
	return w->left > 0 ? 0 : end_frame(w);
}

/* A message in one frame that lies in one piece stays there. The bytes are this stream's alone. */
static bool take_whole(struct rl_websocket *w, const struct rl_piece *piece, uint32_t head)
{
	const struct rl_wsframe *f = &w->frame;
	if (!f->fin || w->len > 0 || f->op == RL_WS_MORE || f->len > piece->len - head)
		return false;
	char *data = piece->chunk->data + piece->off + head;
	rl_wsframe_mask(data, (size_t)f->len, f->key, 0);
	w->op = f->op;
	w->packed = f->packed;
	w->whole = head + (uint32_t)f->len;
	w->whole_head = head;
	if (is_plain_text(w) && !rl_utf8_is_valid(data, (size_t)f->len))
		refuse(w, RL_WS_NOT_UTF8);
	else
		set_ready(w, f->len);
	return true;
}

/* What packing makes longer, it makes so little longer. (zlib's deflateBound) */
static uint64_t message_max(const struct rl_websocket *w, bool packed)
{
	uint64_t max = w->config.message_max;
	return packed ? max + (max >> 3) + (max >> 6) + 64 : max;
}

/* What is wrong with the frame where it comes, RL_WS_OK: nothing. */
static int frame_error(const struct rl_websocket *w)
{
	const struct rl_wsframe *f = &w->frame;
	if (rl_wsframe_is_control(f) || w->state == RL_WEBSOCKET_CLOSING)
		return RL_WS_OK;
	if (f->op == RL_WS_MORE && !w->op)
		return RL_WS_NOTHING_TO_CONTINUE;
	if (f->op != RL_WS_MORE && w->op)
		return RL_WS_MESSAGE_IN_MESSAGE;
	if (f->len > w->config.frame_max)
		return RL_WS_FRAME_SIZE;
	bool packed = f->op == RL_WS_MORE ? w->packed : f->packed;
	return f->len > message_max(w, packed) - w->len ? RL_WS_MESSAGE_SIZE : RL_WS_OK;
}

/* The head of the next frame, and with it a frame that is here in one piece. 1: something was done;
 * 0: more bytes are needed. */
static int take_head(struct rl_websocket *w)
{
	struct rl_stream *s = w->stream;
	char few[RL_WSFRAME_HEAD_MAX];
	uint32_t n = s->in.len < sizeof few ? s->in.len : (uint32_t)sizeof few;
	const struct rl_piece *piece = rl_bytes_head(&s->in);
	const char *bytes = n > 0 ? rl_piece_at(piece) : NULL;
	if (n > 0 && piece->len < n) {
		rl_bytes_copy(&s->in, 0, few, n);
		bytes = few;
	}
	int head = rl_wsframe_read(&w->frame, bytes, n, !w->config.client, w->config.packed);
	if (head < 0)
		return refuse(w, -head);
	if (head == 0) {
		w->need = n + 1;
		return 0;
	}
	int error = frame_error(w);
	if (error != RL_WS_OK)
		return refuse(w, error);
	bool is_data = !rl_wsframe_is_control(&w->frame);
	if (is_data && w->state == RL_WEBSOCKET_OPEN && bytes != few && !w->op
		&& take_whole(w, piece, (uint32_t)head))
		return 1;
	rl_stream_consume(s, (uint32_t)head);
	w->in_frame = true;
	w->left = w->frame.len;
	if (is_data && w->frame.op != RL_WS_MORE) {
		w->op = w->frame.op;
		w->packed = w->frame.packed;
		w->utf8 = (struct rl_utf8){0};
	}
	return 1;
}

/* -EAGAIN: so many bytes will come, or something else; or what the stream has. */
static int await_bytes(struct rl_stream *s, uint32_t need)
{
	int status = rl_stream_has(s, need);
	if (status != -EAGAIN)
		return status;
	int err = rl_stream_expect(s, need, need);
	return err < 0 ? err : rl_stream_has(s, need);
}

/* Handle what is here, up to the end of a message. */
static void go_on(struct rl_websocket *w)
{
	int done = 1;
	while (done == 1 && w->state < RL_WEBSOCKET_ENDING && !w->ready) {
		if (!w->in_frame)
			done = take_head(w);
		else
			done = rl_wsframe_is_control(&w->frame) ? take_control(w) : take_data(w);
	}
	if (done == 1)
		return;
	int status = await_bytes(w->stream, w->need);
	if (status < 0 && status != -EAGAIN)
		lose(w, status);
}

/* What still comes is thrown away, until the connection has ended; then it is closed. */
static void await_end(struct rl_websocket *w)
{
	struct rl_stream *s = w->stream;
	if (s->in.len > 0)
		rl_stream_consume(s, s->in.len);
	int status = await_bytes(s, 1);
	if (status == -EAGAIN || status == 0)
		return;
	set_state(w, RL_WEBSOCKET_OVER);
	rl_stream_close(s);
}

void rl_websocket_tell(struct rl_websocket *w)
{
	if (w->stream->flags & RL_STREAM_CLOSED && w->state < RL_WEBSOCKET_ENDING) {
		w->whole = 0; /* what was received is gone */
		lose(w, -RL_ECLOSED);
	}
	if (w->state < RL_WEBSOCKET_ENDING && !w->ready)
		go_on(w);
	if (w->state == RL_WEBSOCKET_ENDING)
		await_end(w);
	if (rl_websocket_has_news(w))
		wake(w, w->readers);
}

const char *rl_websocket_message(struct rl_websocket *w, size_t *len)
{
	if (!w->ready)
		return NULL;
	if (w->whole == 0) {
		*len = (size_t)w->len;
		return w->text ? w->text : "";
	}
	*len = w->whole - w->whole_head;
	return rl_piece_at(rl_bytes_head(&w->stream->in)) + w->whole_head;
}

void rl_websocket_took(struct rl_websocket *w)
{
	forget_message(w);
	if (w->stream)
		rl_websocket_tell(w);
}

/* Closing. */

void rl_websocket_close(struct rl_websocket *w, unsigned code, const char *reason, size_t len)
{
	if (w->state != RL_WEBSOCKET_OPEN)
		return;
	send_close(w, code, reason, len);
	forget_message(w);
	judge(w, -RL_ECLOSED, 0);
	set_state(w, RL_WEBSOCKET_CLOSING);
	wake(w, w->readers);
	rl_websocket_tell(w);
}

void rl_websocket_leave(struct rl_websocket *w, unsigned code)
{
	if (w->state == RL_WEBSOCKET_OPEN)
		send_close(w, code, NULL, 0);
	rl_websocket_detach(w);
}

void rl_websocket_fail(struct rl_websocket *w, int code)
{
	if (w->state != RL_WEBSOCKET_OPEN)
		return;
	lose(w, code);
	rl_stream_fail(w->stream, code);
}

bool rl_websocket_has_ended(const struct rl_websocket *w)
{
	return w->state == RL_WEBSOCKET_OVER
		|| (w->state == RL_WEBSOCKET_ENDING && !w->config.client);
}

void rl_websocket_close_owned(struct rl_net *net, uint32_t owner, unsigned code)
{
	for (uint32_t i = 0; i < net->streams->used; i++) {
		struct rl_stream *s = rl_slab_at(net->streams, i);
		if (s && rl_stream_is_live(s) && s->owner == owner && s->flags & RL_STREAM_FRAMED)
			rl_websocket_close(s->more->websocket, code, NULL, 0);
	}
}
