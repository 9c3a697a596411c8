/* SPDX-License-Identifier: MIT */
/*
 * outfile: see outfile.h; docs/design/static-files.md has the reasons.
 *
 * Invariants: `out->file` is set exactly while `file->stream` is, and holds a reference. Then one
 * of three things is under way: the operation of the out (a send of what is queued before, or a
 * poll for room), the helper, or the stream is marked dirty.
 */
#include "rt/outfile.h"

#include "base/check.h"
#include "base/err.h"

#include <poll.h>

#ifdef RL_TINY
#define SLICE 2048
#define TURN 4096
#define SMALL 256
#endif
#ifndef SLICE
#define SLICE (256 << 10) /* of one call, and looked at or brought into memory at once */
#define TURN (1 << 20)    /* of one stream before others have a turn */
#define SMALL (16 << 10)  /* so little is read and goes with what was queued before */
#endif

/* Nothing of the file is left to send, or nothing more will be. */
static void finish(struct rl_stream *s, int result)
{
	struct rl_content *c = s->out->file;
	s->out->file = NULL;
	c->stream = NULL;
	c->sent = result;
	if (!s->net->stopping)
		rl_waitq_wake(s->net->shard, &c->waiters, 0, true);
	rl_content_put(c);
}

void rl_outfile_lose(struct rl_stream *s, int err)
{
	if (s->out->file)
		finish(s, err);
}

static void room_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_stream *s = rl_container(op, struct rl_out, op)->stream;
	(void)flags;
	if (res < 0 && res != -EINTR && res != -EAGAIN && res != -ECANCELED)
		rl_out_fail(s, res);
	rl_out_resume(s);
}

static int wait_for_room(struct rl_stream *s)
{
	struct rl_op *op = &s->out->op;
	op->kind = RL_OP_POLL;
	op->done = room_done;
	op->fd = s->op.fd;
	op->events = POLLOUT;
	return rl_os_submit(s->net->os, op);
}

static uint32_t slice_of(const struct rl_content *c)
{
	return c->end - c->off < SLICE ? (uint32_t)(c->end - c->off) : SLICE;
}

/* Is the slice in memory? If not, a helper brings it there; without one it is waited for here. */
static bool is_at_hand(struct rl_content *c)
{
	uint32_t n = slice_of(c);
	return rl_content_is_warm(c, c->off, n) || rl_content_warm(c, c->off, n) < 0;
}

/* Send a slice. 1: go on; 0: something is under way; or an error. */
static int send_slice(struct rl_stream *s, struct rl_content *c)
{
	struct rl_os *os = s->net->os;
	if (c->busy || !is_at_hand(c))
		return 0;
	uint32_t n = slice_of(c);
	int res = os->ops->file_send(os, s->op.fd, c->fd, c->off, n);
	if (res == 0)
		return -ENODATA;
	if (res < 0 && res != -EAGAIN)
		return res;
	if (res > 0) {
		c->off += res;
		s->op.count.sent += (uint32_t)res;
		s->net->shard->counts.sent += (uint32_t)res;
		rl_stream_touch(s);
	}
	return res == (int)n ? 1 : wait_for_room(s);
}

/* 1: it is under way; 0: all was sent; or an error. */
static int send_on(struct rl_stream *s)
{
	struct rl_content *c = s->out->file;
	int64_t stop = c->off + TURN;
	int status = 1;
	while (status == 1 && c->off < c->end && c->off < stop)
		status = send_slice(s, c);
	if (status < 0)
		return status;
	if (c->off == c->end && !s->out->op.in_flight)
		return 0;
	if (status == 1)
		rl_shard_mark(s->net->shard, &s->out->dirty);
	return 1;
}

void rl_outfile_send(struct rl_stream *s)
{
	int status = send_on(s);
	if (status < 0)
		rl_out_fail(s, status);
	else if (status == 0)
		finish(s, 0);
}

void rl_outfile_warmed(struct rl_content *c)
{
	if (c->stream)
		rl_out_resume(c->stream);
}

/* Small files: the bytes go behind those that are queued, in one piece with them if these are few
 * and not being sent. 1: they are not in memory. */
static int copy(struct rl_stream *s, struct rl_content *c, int64_t off, uint32_t len)
{
	struct rl_bytes *q = &s->out->queue;
	struct rl_os *os = s->net->os;
	uint32_t had = q->len <= SMALL && !s->out->op.in_flight ? q->len : 0;
	struct rl_chunk *chunk = rl_chunk_new(&s->net->chunks, had + len);
	if (!chunk)
		return -ENOMEM;
	int n = os->ops->file_read(os, c->fd, chunk->data + had, len, off);
	int err = n == (int)len ? 0 : 1;
	if (err == 0) {
		rl_bytes_copy(q, 0, chunk->data, had);
		rl_bytes_skip(&s->net->chunks, q, had);
		err = rl_bytes_push(&s->net->chunks, q, chunk, 0, had + len);
	}
	if (err != 0)
		rl_chunk_put(chunk);
	return err;
}

/* What is queued, which is little: 0 when it was sent; 1: not all of it; or an error. */
static int send_queue(struct rl_stream *s)
{
	struct rl_bytes *q = &s->out->queue;
	struct rl_os *os = s->net->os;
	while (q->len > 0) {
		const struct rl_piece *head = rl_bytes_head(q);
		int n = os->ops->send_now(os, s->op.fd, rl_piece_at(head), head->len, true);
		if (n < 0)
			return n == -EAGAIN || n == -EINTR ? 1 : n;
		s->op.count.sent += (uint32_t)n;
		s->net->shard->counts.sent += (uint32_t)n;
		s->writes++;
		rl_bytes_skip(&s->net->chunks, q, (uint32_t)n);
	}
	return 0;
}

/* Send now what can be, in the hope that it is all. The same as for rl_outfile_write. */
static int start(struct rl_stream *s)
{
	struct rl_out *o = s->out;
	int status = 1;
	if (!o->op.in_flight && o->queue.len <= SMALL)
		status = send_queue(s);
	if (status == 0)
		status = send_on(s);
	else if (status == 1)
		rl_shard_mark(s->net->shard, &o->dirty);
	if (status != 1)
		finish(s, status);
	return status;
}

int rl_outfile_write(struct rl_stream *s, struct rl_content *c, int64_t off, int64_t len)
{
	RL_DEBUG_ASSERT(s->out && !s->out->file && c->done);
	if (c->fd < 0)
		return -RL_ECLOSED;
	if (c->stream || c->busy)
		return -EBUSY;
	if (len == 0)
		return 0;
	int status = len <= SMALL ? copy(s, c, off, (uint32_t)len) : 1;
	if (status != 1)
		return status;
	c->stream = s;
	c->off = off;
	c->end = off + len;
	c->warm = 0;
	c->sent = 1;
	s->out->file = c;
	rl_content_get(c);
	rl_stream_touch(s);
	return start(s);
}
