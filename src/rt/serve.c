/* SPDX-License-Identifier: MIT */
/*
 * serve: see serve.h.
 *
 * A sender that is refused may still be sending. If its connection were closed at once, what it
 * sends would be answered by a reset, and the answer could be lost with it (RFC 9112 9.6). So the
 * connection is shut down for writing and lingers: what comes is thrown away, until it ends or its
 * time is up. That begins when all is sent: a receiver may be slow as long as he receives.
 */
#include "rt/serve.h"

#include "base/err.h"
#include "base/http_error.h"
#include "rt/out.h"
#include "rt/reply.h"
#include "rt/websocket.h"

static void throw_away(struct rl_stream *s)
{
	if (s->in.len > 0)
		rl_stream_consume(s, s->in.len);
}

/* The time of its head is over. */
static void untime(struct rl_message *m)
{
	struct rl_stream *s = m->stream;
	if (!m->timed)
		return;
	m->timed = false;
	rl_stream_limit(s, s->more->idle_ns, m->total_ns);
}

/* No more requests of this connection: it ends when the sender does. */
static void linger(struct rl_message *m)
{
	struct rl_stream *s = m->stream;
	rl_message_rename(m);
	untime(m);
	m->lingers = true;
	m->busy = false;
	if (rl_out_shutdown(s) < 0)
		rl_stream_close(s);
	else
		throw_away(s);
}

/* An answer of the server's own, without a body. */
static int answer(struct rl_message *m, struct rl_reply_head *head)
{
	int err = rl_out_begin(m->stream, false);
	if (err < 0)
		return err;
	if (err > 0) /* he receives nothing: no answers without end */
		head->close = true;
	err = rl_reply_begin(m, head);
	if (err == 0)
		err = rl_reply_end(m);
	rl_out_end(m->stream, err);
	return err;
}

/* No handler sees it. */
static void refuse(struct rl_serve *v, struct rl_message *m, int status)
{
	struct rl_reply_head head = {.status = (unsigned)status, .length = 0, .close = true};
	v->refused++;
	m->head.minor = 1;
	if (answer(m, &head) < 0)
		rl_stream_close(m->stream);
	else
		linger(m);
}

/* A request was read: it is the worker's now. */
static void hand_out(struct rl_serve *v, struct rl_message *m)
{
	struct rl_stream *s = m->stream;
	v->requests++;
	s->more->requests++;
	m->busy = true;
	if (v->stopping || (v->requests_max > 0 && s->more->requests >= v->requests_max))
		m->keep = false;
	untime(m);
}

/* Its head did not come in time. The alarm may be off: it must not wait for ever to be told. */
static void refuse_late(struct rl_serve *v, struct rl_message *m)
{
	struct rl_stream *s = m->stream;
	refuse(v, m, 408);
	rl_stream_limit(s, s->more->idle_ns, s->more->total_ns);
}

/* The head is not complete: its time begins with its first byte. */
static void time_head(const struct rl_serve *v, struct rl_message *m)
{
	struct rl_stream *s = m->stream;
	if (v->head_ns < 0 || m->timed)
		return;
	m->timed = true;
	m->total_ns = s->more->total_ns;
	rl_stream_limit_by(s, s->net->shard->now_ns + v->head_ns);
}

/* Read on. 1: a request; 0: the stream rests, or has ended. */
static int read_request(struct rl_serve *v, struct rl_message *m)
{
	int done = rl_message_request(m);
	if (done == 1 && m->head.expect_other) {
		refuse(v, m, 417); /* what nobody here can do (RFC 9110 10.1.1) */
	} else if (done == 1) {
		hand_out(v, m);
		return 1;
	} else if (done == -EPROTO) {
		refuse(v, m, rl_http_error_status(m->error));
	} else if (done == -ENOMEM) {
		rl_stream_close(m->stream);
	} else if (done == 0) {
		time_head(v, m);
	}
	return 0;
}

/* The message of a stream with bytes; NULL: it was closed for want of memory. */
static struct rl_message *message_of(struct rl_serve *v, struct rl_stream *s)
{
	if (s->more->message)
		return s->more->message;
	struct rl_message *m = rl_message_new(s, &v->limits);
	if (m)
		s->more->message = m;
	else
		rl_stream_close(s);
	return m;
}

int rl_serve_next(struct rl_serve *v, struct rl_crew *c, struct rl_message **m,
	struct rl_stream **stream)
{
	for (struct rl_stream *s = rl_crew_next(c); s; s = rl_crew_next(c)) {
		*stream = s;
		if (s->more->message && s->more->message->lingers)
			throw_away(s);
		int status = rl_stream_status(s);
		if (status < 0 && status != -EAGAIN)
			return RL_SERVE_ENDED;
		if (status == 0) {
			*m = message_of(v, s);
			if (*m && read_request(v, *m) == 1)
				return RL_SERVE_REQUEST;
		}
		if (s->more->message && s->more->message->late && !s->more->message->lingers)
			refuse_late(v, s->more->message);
		rl_crew_rest(s);
	}
	return RL_SERVE_NOTHING;
}

/* Has he taken nothing for so long that a writer may have given up, who waits since just before? */
static bool is_stuck(const struct rl_stream *s)
{
	const struct rl_stream_more *more = s->more;
	return rl_out_is_busy(s) && more->write_ns >= 0
		&& s->net->shard->now_ns - more->active_ns >= more->write_ns / 2;
}

int rl_serve_answer(struct rl_message *m, const char *fields, size_t len)
{
	struct rl_reply_head head = {.status = 500, .length = 0, .fields = fields, .fields_len = len};
	if (m->error)
		head.status = (unsigned)rl_http_error_status(m->error);
	else if (m->late && !rl_message_is_read(m))
		head.status = 408;
	head.close = head.status != 500 || is_stuck(m->stream);
	int err = answer(m, &head);
	return err < 0 ? err : (int)head.status;
}

/* What the handler left of the answer. Below 0: the connection cannot go on. */
static int end_answer(struct rl_message *m, bool ok)
{
	if (m->state == RL_REPLY_DONE)
		return 0;
	if (m->state == RL_REPLY_NONE)
		return rl_serve_answer(m, NULL, 0);
	if (!ok)
		return -EPROTO;
	int err = rl_out_begin(m->stream, false);
	if (err < 0)
		return err;
	err = rl_reply_end(m);
	rl_out_end(m->stream, err == -EMSGSIZE ? 0 : err);
	return err;
}

/* Throw away what is left of the request's body, if it is here and not too much. */
static bool end_request(struct rl_message *m)
{
	struct rl_http_piece piece;
	uint32_t n = 0;
	int status = rl_message_body(m, &piece);
	while (status == 1 && n <= RL_SERVE_DRAIN) {
		n += (uint32_t)piece.len;
		status = rl_message_body(m, &piece);
	}
	return status == 0 && n <= RL_SERVE_DRAIN;
}

bool rl_serve_tell_late(struct rl_stream *s)
{
	struct rl_message *m = s->more->message;
	if (!m || m->has_head || m->lingers || m->late || m->len <= m->head.method.off)
		return false;
	int64_t total_ns = m->timed ? m->total_ns : s->more->total_ns;
	if (total_ns >= 0 && total_ns <= s->net->shard->now_ns)
		return false;
	m->late = true;
	rl_crew_tell(s);
	return true;
}

/* Are others to have a turn before this connection's next request? One that is classified is news,
 * of a class that may be another. */
static bool gives_way(const struct rl_stream *s)
{
	struct rl_shard *shard = s->net->shard;
	if (s->more->requests % RL_SERVE_BATCH == 0 || s->is_classified)
		return true;
	return shard->urgency.sources > 0 && rl_urgency_gives_way(shard, s->priority, s->priority);
}

bool rl_serve_done(struct rl_serve *v, struct rl_message *m, bool ok)
{
	struct rl_stream *s = m->stream;
	if (!s) {
		rl_message_free(m);
		return false;
	}
	rl_stream_unlend(s);
	if (s->flags & RL_STREAM_FRAMED)
		rl_websocket_leave(s->more->websocket, ok ? 1000 : v->stopping ? 1001 : 1011);
	rl_waitq_wake(s->net->shard, &s->readers, 0, true); /* who looks whether the client is gone */
	rl_out_dismiss(s); /* others than the handler do not write for it any more */
	if (end_answer(m, ok) < 0) {
		rl_stream_abort(s);
		rl_message_rename(m);
		m->busy = false;
	} else if (!m->keep || !end_request(m) || (v->stopping && s->in.len == 0)) {
		linger(m);
	} else if (s->in.len == 0) {
		rl_message_free(m);
	} else {
		rl_message_next(m);
		if (!gives_way(s) && read_request(v, m) == 1)
			return true;
		if (s->more->message && s->more->message->len == 0 && !s->more->message->lingers)
			rl_message_free(s->more->message);
	}
	rl_crew_rest(s);
	return false;
}
