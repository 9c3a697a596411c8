/* SPDX-License-Identifier: MIT */
/*
 * out: writes are queued, one send is in flight; a file follows when the queue is empty.
 *
 * Invariants: the send in flight covers bytes of the first piece, which stays at the head until the
 * completion; a free out has empty lists and an empty queue; `turn` is set exactly between the
 * waking of a writer and its begin, so nobody overtakes it.
 */
#include "rt/out.h"

#include "base/check.h"
#include "base/err.h"
#include "rt/message.h"
#include "rt/outfile.h"

#include <stdlib.h>
#include <string.h>

#ifdef RL_TINY
#define OUTS_MAX 2
#else
#define OUTS_MAX 1024
#endif
#define SHARED_MAX (1u << 30) /* bytes in a chunk */
#define COPY_MAX 1024 /* so little is copied together, which costs less than a send of its own */

static void out_flush(struct rl_dirty *d);
static void out_limit(struct rl_alarm *a);

static struct rl_out *out_new(struct rl_net *net)
{
	struct rl_out *o = net->outs;
	if (o) {
		net->outs = o->next;
		net->outs_len--;
		return o;
	}
	o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	rl_list_init(&o->op.link);
	rl_list_init(&o->dirty.link);
	o->dirty.flush = out_flush;
	rl_waitq_init(&o->writers);
	rl_waitq_init(&o->flushers);
	rl_alarm_init(&o->limit, out_limit);
	return o;
}

static struct rl_out *out_get(struct rl_stream *s)
{
	if (s->out)
		return s->out;
	s->out = out_new(s->net);
	if (s->out)
		s->out->stream = s;
	return s->out;
}

static void out_free(struct rl_net *net, struct rl_out *o)
{
	rl_list_remove(&o->dirty.link);
	if (rl_alarm_is_set(&o->limit))
		rl_alarm_stop(net->shard, &o->limit);
	o->turn = false;
	if (net->outs_len == OUTS_MAX) {
		free(o);
		return;
	}
	o->next = net->outs;
	net->outs = o;
	net->outs_len++;
}

void rl_out_trim(struct rl_stream *s)
{
	struct rl_out *o = s->out;
	if (!o || o->op.in_flight || o->queue.len > 0 || o->file || o->turn)
		return;
	if (!rl_list_empty(&o->writers.waiters) || !rl_list_empty(&o->flushers.waiters))
		return;
	if ((s->flags & (RL_STREAM_SHUT | RL_STREAM_SHUT_SENT | RL_STREAM_CLOSED)) == RL_STREAM_SHUT)
		return;
	s->out = NULL;
	out_free(s->net, o);
}

static uint32_t write_high(const struct rl_stream *s)
{
	return s->more ? s->more->write_high : RL_WRITE_HIGH;
}

static bool is_below(const struct rl_out *o, uint32_t len)
{
	return !o->file && o->queue.len < len;
}

/* Give the first writer its turn, unless somebody has it. */
static void wake_writer(struct rl_stream *s)
{
	struct rl_out *o = s->out;
	if (o->turn || s->net->stopping || rl_list_empty(&o->writers.waiters))
		return;
	o->turn = rl_waitq_wake(s->net->shard, &o->writers, 0, false) > 0;
}

static void wake_all(struct rl_stream *s, struct rl_waitq *q)
{
	if (!s->net->stopping && !rl_list_empty(&q->waiters))
		rl_waitq_wake(s->net->shard, q, 0, true);
}

void rl_out_fail(struct rl_stream *s, int err)
{
	if (!s->out_err)
		s->out_err = (int16_t)err;
	if (!s->out)
		return;
	if (s->out->op.in_flight)
		rl_os_cancel(s->net->os, &s->out->op);
	else
		rl_out_lose(s);
	wake_all(s, &s->out->writers);
	wake_all(s, &s->out->flushers);
	s->out->turn = false;
}

void rl_out_lose(struct rl_stream *s)
{
	RL_ASSERT(!s->out->op.in_flight);
	rl_bytes_clear(&s->net->chunks, &s->out->queue);
	rl_outfile_lose(s, s->out_err ? s->out_err : -RL_ECLOSED);
}

static void send_done(struct rl_op *op, int res, uint32_t flags);

static void shutdown_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_out *o = rl_container(op, struct rl_out, op);
	struct rl_stream *s = o->stream;
	(void)res;
	(void)flags;
	wake_all(s, &o->flushers);
	rl_out_trim(s);
	if (s->more && s->more->message)
		rl_message_sent(s->more->message);
	rl_stream_settle(s);
}

static int submit_send(struct rl_stream *s)
{
	const struct rl_piece *head = rl_bytes_head(&s->out->queue);
	struct rl_op *op = &s->out->op;
	op->kind = RL_OP_SEND;
	op->done = send_done;
	op->fd = s->op.fd;
	op->data = rl_piece_at(head);
	op->len = head->len;
	op->more = s->out->file != NULL;
	return rl_os_submit(s->net->os, op);
}

static int submit_shutdown(struct rl_stream *s)
{
	struct rl_op *op = &s->out->op;
	s->flags |= RL_STREAM_SHUT_SENT;
	op->kind = RL_OP_SHUTDOWN;
	op->done = shutdown_done;
	op->fd = s->op.fd;
	op->how = SHUT_WR;
	return rl_os_submit(s->net->os, op);
}

void rl_out_send(struct rl_stream *s)
{
	struct rl_out *o = s->out;
	int err = 0;
	if (!o || o->op.in_flight)
		return;
	if (o->queue.len > 0)
		err = submit_send(s);
	else if (o->file)
		rl_outfile_send(s);
	else if ((s->flags & RL_STREAM_SHUT)
		&& !(s->flags & (RL_STREAM_SHUT_SENT | RL_STREAM_CLOSED)))
		err = submit_shutdown(s);
	if (err < 0)
		rl_out_fail(s, err);
	if (!o->op.in_flight)
		rl_out_trim(s);
}

static void out_flush(struct rl_dirty *d)
{
	struct rl_stream *s = rl_container(d, struct rl_out, dirty)->stream;
	if (s->out->file)
		rl_out_resume(s);
	else
		rl_out_send(s);
}

static void send_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_out *o = rl_container(op, struct rl_out, op);
	struct rl_stream *s = o->stream;
	(void)flags;
	if (res >= 0) {
		s->op.count.sent += (uint32_t)res;
		s->net->shard->counts.sent += (uint32_t)res;
		s->writes++;
		rl_bytes_skip(&s->net->chunks, &o->queue, (uint32_t)res);
		rl_stream_touch(s);
	} else if (res != -EINTR && res != -EAGAIN && res != -ECANCELED) {
		rl_out_fail(s, res);
	}
	rl_out_resume(s);
}

void rl_out_resume(struct rl_stream *s)
{
	struct rl_out *o = s->out;
	if (s->out_err && !o->op.in_flight)
		rl_out_lose(s);
	wake_all(s, &o->flushers);
	if (!(s->flags & RL_STREAM_DROP))
		rl_out_send(s);
	o = s->out;
	if (o && is_below(o, write_high(s) / 2))
		wake_writer(s);
	rl_stream_settle(s);
}

int rl_out_begin(struct rl_stream *s, bool turn)
{
	struct rl_out *o = s->out;
	if (s->flags & RL_STREAM_CLOSED)
		return -RL_ECLOSED;
	if (o && turn)
		o->turn = false;
	if (s->out_err)
		return s->out_err;
	if (s->flags & RL_STREAM_SHUT)
		return -EPIPE;
	if (!out_get(s))
		return -ENOMEM;
	if (!o || turn)
		return 0;
	return o->turn || !rl_list_empty(&o->writers.waiters) || !is_below(o, write_high(s));
}

int rl_out_write(struct rl_stream *s, const char *data, size_t len)
{
	struct rl_out *o = s->out;
	uint32_t queued = o->queue.len;
	if (queued > 0 && queued <= COPY_MAX && !o->op.in_flight && rl_bytes_room(&o->queue) == 0) {
		int err = rl_bytes_join(&s->net->chunks, &o->queue, len < COPY_MAX ? (uint32_t)len : 0);
		if (err < 0)
			return err;
	}
	return rl_bytes_append(&s->net->chunks, &o->queue, data, len);
}

int rl_out_write_chunk(struct rl_stream *s, struct rl_chunk *c, uint32_t off, uint32_t len)
{
	struct rl_bytes *q = &s->out->queue;
	if (len == 0)
		return 0;
	if (q->len > 0 && len <= COPY_MAX)
		return rl_out_write(s, c->data + off, len);
	int err = rl_bytes_push(&s->net->chunks, q, c, off, len);
	if (err == 0)
		rl_chunk_get(c);
	return err;
}

int rl_out_write_shared(struct rl_stream *s, struct rl_shared *owner, const char *data, size_t len)
{
	int err = 0;
	if (len <= COPY_MAX)
		return rl_out_write(s, data, len);
	while (len > 0 && err == 0) {
		uint32_t n = len < SHARED_MAX ? (uint32_t)len : SHARED_MAX;
		struct rl_chunk *c = rl_chunk_new_shared(owner, data, n);
		if (!c)
			return -ENOMEM;
		err = rl_out_write_chunk(s, c, 0, n);
		rl_chunk_put(c);
		data += n;
		len -= n;
	}
	return err;
}

void rl_out_end(struct rl_stream *s, int err)
{
	struct rl_out *o = s->out;
	if (err < 0)
		rl_out_fail(s, err);
	else if (o->queue.len > 0)
		rl_shard_mark(s->net->shard, &o->dirty);
	if (!rl_list_empty(&o->writers.waiters) && !s->out_err && is_below(o, write_high(s)))
		wake_writer(s);
	if (o->queue.len == 0)
		rl_out_trim(s);
}

void rl_out_dismiss(struct rl_stream *s)
{
	if (!s->out)
		return;
	wake_all(s, &s->out->writers);
	s->out->turn = false;
	rl_out_trim(s);
}

uint64_t rl_out_accepted(const struct rl_stream *s)
{
	return s->op.count.sent + (s->out ? s->out->queue.len : 0);
}

int rl_out_flushed(const struct rl_stream *s, uint64_t target)
{
	if (s->flags & RL_STREAM_CLOSED)
		return -RL_ECLOSED;
	if (s->out_err)
		return s->out_err;
	return s->op.count.sent < target || (s->out && s->out->file);
}

int rl_out_shutdown(struct rl_stream *s)
{
	if (s->flags & RL_STREAM_CLOSED)
		return -RL_ECLOSED;
	if (s->out_err)
		return s->out_err;
	if (s->flags & RL_STREAM_SHUT)
		return 0;
	if (!out_get(s))
		return -ENOMEM;
	s->flags |= RL_STREAM_SHUT;
	rl_shard_mark(s->net->shard, &s->out->dirty);
	return 0;
}

bool rl_out_is_busy(const struct rl_stream *s)
{
	return s->out && (s->out->op.in_flight || s->out->queue.len > 0 || s->out->file);
}

static void out_limit(struct rl_alarm *a)
{
	struct rl_stream *s = rl_container(a, struct rl_out, limit)->stream;
	s->flags |= RL_STREAM_DROP;
	if (s->out->op.in_flight)
		rl_os_cancel(s->net->os, &s->out->op);
	rl_stream_settle(s);
}

void rl_out_close(struct rl_stream *s, int64_t limit_ns)
{
	struct rl_out *o = s->out;
	if (!o)
		return;
	wake_all(s, &o->writers);
	wake_all(s, &o->flushers);
	o->turn = false;
	if (s->flags & RL_STREAM_DROP) {
		if (o->op.in_flight)
			rl_os_cancel(s->net->os, &o->op);
		return;
	}
	rl_alarm_set(s->net->shard, &o->limit, limit_ns);
	rl_out_send(s);
}

/* Tasks may still be linked here when a run was torn down. */
static void forget(struct rl_waitq *q)
{
	while (rl_list_pop(&q->waiters))
		continue;
}

void rl_out_drop(struct rl_stream *s, bool keep)
{
	struct rl_out *o = s->out;
	if (!o)
		return;
	forget(&o->writers);
	forget(&o->flushers);
	rl_list_remove(&o->dirty.link);
	o->file = NULL; /* it is freed as every content is */
	s->out = NULL;
	if (!keep)
		free(o);
}

void rl_out_term(struct rl_net *net)
{
	while (net->outs) {
		struct rl_out *o = net->outs;
		net->outs = o->next;
		free(o);
	}
}
