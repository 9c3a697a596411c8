/* SPDX-License-Identifier: MIT */
/*
 * message: see message.h.
 *
 * A head that lies in one piece, as most do, is parsed where it is and then copied. Any other is
 * gathered first: so a connection whose head is not complete pins no buffer of the seam, and its
 * stream has nothing queued.
 */
#include "rt/message.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#ifdef RL_TINY
#define MESSAGES_PER_CHUNK 2
#else
#define MESSAGES_PER_CHUNK 16
#endif
#define MESSAGES_MAX (1u << 22)
#define GEN_MAX 0x7fffffffu /* with a slot, a number that a double holds; 0 is none */

static struct rl_http_field *list_of(struct rl_message *m)
{
	return m->many ? m->many : m->fields;
}

static void forget_bytes(struct rl_message *m)
{
	if (m->bytes != m->few)
		free(m->bytes);
	m->bytes = m->few;
	m->size = RL_MESSAGE_FEW;
	m->len = 0;
}

static void forget_trailers(struct rl_message *m)
{
	free(m->trailers);
	free(m->trail);
	m->trailers = NULL;
	m->trail = NULL;
}

void rl_message_rename(struct rl_message *m)
{
	m->net->message_gen = m->net->message_gen % GEN_MAX + 1;
	m->gen = m->net->message_gen;
}

void rl_message_next(struct rl_message *m)
{
	rl_message_rename(m);
	forget_trailers(m);
	forget_bytes(m);
	m->state = RL_REPLY_NONE;
	m->has_head = m->busy = m->continue_due = m->no_body = m->timed = m->late = false;
	m->shown = 0;
	m->error = 0;
	m->left = 0;
	rl_http_begin(&m->head, list_of(m));
}

struct rl_message *rl_message_new(struct rl_stream *s, const struct rl_http_limits *limits)
{
	struct rl_net *net = s->net;
	uint32_t slot;
	if (!net->messages)
		net->messages = rl_slab_new(sizeof(struct rl_message), MESSAGES_PER_CHUNK, MESSAGES_MAX);
	struct rl_message *m = net->messages ? rl_slab_get(net->messages, &slot) : NULL;
	if (!m)
		return NULL;
	m->live = false; /* a record that was never used has any bytes */
	m->many = NULL;
	if (limits->fields_max > RL_MESSAGE_FIELDS) {
		m->many = malloc(limits->fields_max * sizeof *m->many);
		if (!m->many) {
			rl_slab_put(net->messages, m, slot);
			return NULL;
		}
	}
	m->slot = slot;
	m->live = true;
	m->lingers = m->keep = m->may_go_on = m->tunnels = false;
	m->interim = 0;
	m->net = net;
	m->stream = s;
	m->limits = *limits;
	m->trailers = NULL;
	m->trail = NULL;
	m->bytes = m->few;
	rl_message_next(m);
	return m;
}

void rl_message_free(struct rl_message *m)
{
	if (m->stream && m->stream->more && m->stream->more->message == m)
		m->stream->more->message = NULL;
	forget_trailers(m);
	free(m->many);
	forget_bytes(m);
	m->live = false;
	rl_slab_put(m->net->messages, m, m->slot);
}

struct rl_message *rl_message_at(const struct rl_net *net, uint32_t slot, uint32_t gen)
{
	struct rl_message *m = net->messages ? rl_slab_at(net->messages, slot) : NULL;
	return m && m->live && m->gen == gen ? m : NULL;
}

void rl_message_detach(struct rl_message *m)
{
	m->stream = NULL;
	if (!m->busy)
		rl_message_free(m);
}

void rl_message_sent(struct rl_message *m)
{
	if (m->lingers)
		rl_stream_limit_by(m->stream, m->net->shard->now_ns + RL_MESSAGE_LINGER_NS);
}

void rl_messages_stop(struct rl_net *net, uint32_t owner)
{
	for (uint32_t i = 0; net->messages && i < net->messages->used; i++) {
		struct rl_message *m = rl_slab_at(net->messages, i);
		if (m->live && m->stream && m->stream->owner == owner && m->state == RL_REPLY_NONE)
			m->keep = false;
	}
}

void rl_messages_free(struct rl_net *net)
{
	for (uint32_t i = 0; net->messages && i < net->messages->used; i++) {
		struct rl_message *m = rl_slab_at(net->messages, i);
		if (!m->live)
			continue;
		forget_trailers(m);
		free(m->many);
		forget_bytes(m);
	}
	rl_slab_free(net->messages);
	net->messages = NULL;
}

/* Heads. */

static int refuse(struct rl_message *m, int64_t err)
{
	m->error = (int)-err;
	m->keep = false; /* nobody knows where the next one would begin */
	return -EPROTO;
}

static int gather(struct rl_message *m, const char *data, uint32_t len)
{
	if (len > m->size - m->len) {
		uint32_t size = m->size;
		while (len > size - m->len)
			size *= 2;
		char *grown = malloc(size);
		if (!grown)
			return -ENOMEM;
		memcpy(grown, m->bytes, m->len);
		if (m->bytes != m->few)
			free(m->bytes);
		m->bytes = grown;
		m->size = size;
	}
	memcpy(m->bytes + m->len, data, len);
	m->len += len;
	return 0;
}

static int parse(struct rl_message *m, const char *bytes, uint32_t len, bool is_request)
{
	return is_request ? rl_http_request(&m->head, &m->limits, bytes, len)
		: rl_http_response(&m->head, &m->limits, bytes, len);
}

/* Parse on with the first piece of the stream. 1: the head is complete; 0: more is needed. */
static int take_piece(struct rl_message *m, struct rl_stream *s, bool is_request)
{
	const struct rl_piece *piece = rl_bytes_head(&s->in);
	uint32_t had = m->len, n = piece->len;
	int len = 0, err = 0;
	if (had == 0)
		len = parse(m, rl_piece_at(piece), n, is_request);
	if (len < 0)
		return refuse(m, len);
	err = gather(m, rl_piece_at(piece), len > 0 ? (uint32_t)len : n);
	if (err < 0)
		return err;
	if (had > 0)
		len = parse(m, m->bytes, m->len, is_request);
	if (len < 0)
		return refuse(m, len);
	if (len > 0) {
		n = (uint32_t)len - had;
		m->len = (uint32_t)len;
	}
	rl_stream_consume(s, n);
	return len > 0;
}

static int take_head(struct rl_message *m, bool is_request)
{
	struct rl_stream *s = m->stream;
	int status = s ? rl_stream_status(s) : -RL_ECLOSED;
	while (status == 0) {
		int done = take_piece(m, s, is_request);
		if (done != 0)
			return done;
		status = rl_stream_status(s);
	}
	return status == -EAGAIN ? 0 : status;
}

/* Memory for the trailers that a chunked body may have. */
static int expect_trailers(struct rl_message *m)
{
	if (!m->head.chunked || m->trailers)
		return 0;
	m->trailers = malloc(m->limits.fields_max * sizeof *m->trailers);
	return m->trailers ? 0 : -ENOMEM;
}

int rl_message_request(struct rl_message *m)
{
	int done = take_head(m, true);
	if (done <= 0)
		return done;
	int err = expect_trailers(m);
	if (err < 0)
		return err;
	err = rl_http_body_of_request(&m->body, &m->head, &m->limits, m->trailers);
	m->has_head = true;
	m->continue_due = m->head.expect_continue && !rl_message_is_read(m);
	m->keep = m->head.keep_alive && m->head.method_id != RL_METHOD_CONNECT;
	m->no_body = m->head.method_id == RL_METHOD_HEAD;
	return err < 0 ? refuse(m, err) : 1;
}

int rl_message_response(struct rl_message *m, unsigned method)
{
	int done = take_head(m, false);
	while (done > 0 && m->head.status < 200 && m->head.status != 101) {
		if (m->interim == RL_MESSAGE_INTERIM)
			return refuse(m, -RL_HTTP_LONG_HEAD);
		m->interim++;
		m->may_go_on = m->may_go_on || m->head.status == 100;
		rl_message_next(m);
		done = take_head(m, false);
	}
	if (done <= 0)
		return done;
	int err = expect_trailers(m);
	if (err < 0)
		return err;
	m->has_head = true;
	err = rl_http_body_of_response(&m->body, &m->head, method, &m->limits, m->trailers);
	m->keep = m->head.keep_alive && m->body.framing != RL_BODY_UNTIL_CLOSE;
	return err < 0 ? refuse(m, err) : 1;
}

/* Bodies. */

void rl_message_took(struct rl_message *m)
{
	if (m->shown > 0 && m->stream)
		rl_stream_consume(m->stream, m->shown);
	m->shown = 0;
}

/* The connection has ended: is that the end of the body? */
static int end_body(struct rl_message *m, int status)
{
	if (status != -RL_EOF)
		return status;
	int err = rl_http_body_end(&m->body);
	return err < 0 ? refuse(m, err) : 0;
}

/* No piece could be made of the first one: of all together? */
static int join(struct rl_message *m, struct rl_stream *s)
{
	if (s->in.len == rl_bytes_head(&s->in)->len) {
		int status = rl_stream_has(s, s->in.len + 1);
		return status == -EAGAIN ? status : end_body(m, status);
	}
	return rl_bytes_join(&m->net->chunks, &s->in, 0);
}

/* Trailers are offsets into the bytes that ended the body, `n` of which are done with. */
static int keep_trailers(struct rl_message *m, const char *bytes, uint32_t n)
{
	if (!rl_message_is_read(m) || m->body.trailers.count == 0)
		return 0;
	m->trail = malloc(n);
	if (!m->trail)
		return -ENOMEM;
	memcpy(m->trail, bytes, n);
	return 0;
}

int rl_message_body(struct rl_message *m, struct rl_http_piece *piece)
{
	rl_message_took(m);
	while (!rl_message_is_read(m)) {
		struct rl_stream *s = m->stream;
		int status = s ? rl_stream_status(s) : -RL_ECLOSED;
		if (status < 0)
			return status == -EAGAIN ? status : end_body(m, status);
		const struct rl_piece *head = rl_bytes_head(&s->in);
		piece->len = 0;
		int64_t n = rl_http_body_next(&m->body, rl_piece_at(head), head->len, piece);
		if (n < 0)
			return refuse(m, n);
		if (piece->len > 0) {
			m->shown = (uint32_t)n;
			m->continue_due = false; /* RFC 9110 10.1.1: he sends it anyway */
			return 1;
		}
		int err = n > 0 ? keep_trailers(m, rl_piece_at(head), (uint32_t)n) : join(m, s);
		if (err < 0)
			return err;
		rl_stream_consume(s, (uint32_t)n);
	}
	return 0;
}
