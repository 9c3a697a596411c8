/* SPDX-License-Identifier: MIT */
/*
 * stream: receiving, and the end of a connection.
 *
 * Invariants: `op` is a receive until GONE is set and the close from then on; a closed stream has
 * no queued input, no view and no alarm; DEAD means no operation is in flight, and only then can
 * the record be freed. rl_stream_settle is the one place that decides what comes next.
 */
#include "rt/stream.h"

#include "base/check.h"
#include "base/err.h"
#include "base/slab.h"
#include "rt/message.h"
#include "rt/outfile.h"
#include "rt/classify.h"
#include "rt/crew.h"
#include "rt/serve.h"
#include "rt/websocket.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct rl_stream) <= 160, "an idle stream is small");

/* Life. */

struct rl_stream *rl_stream_new(struct rl_net *net, int fd)
{
	uint32_t slot;
	struct rl_stream *s = rl_slab_get(net->streams, &slot);
	if (!s) {
		net->os->ops->close_now(net->os, fd);
		return NULL;
	}
	memset(s, 0, sizeof *s);
	rl_list_init(&s->op.link);
	rl_waitq_init(&s->readers);
	s->net = net;
	s->slot = slot;
	s->op.fd = fd;
	s->priority = RL_NORMAL;
	++*net->handles;
	return s;
}

static void stream_free(struct rl_stream *s)
{
	struct rl_net *net = s->net;
	rl_crew_remove(s);
	if (s->more && s->more->message)
		rl_message_detach(s->more->message);
	if (s->flags & RL_STREAM_FRAMED)
		rl_websocket_detach(s->more->websocket);
	free(s->more);
	s->more = NULL;
	s->net = NULL;
	rl_slab_put(net->streams, s, s->slot);
}

void rl_stream_own(struct rl_stream *s, struct rl_stream **handle)
{
	s->handle = handle;
	if (handle)
		return;
	if (s->flags & RL_STREAM_DEAD)
		stream_free(s);
	else
		rl_stream_close(s);
}

static void stream_alarm(struct rl_alarm *a);

int rl_stream_extend(struct rl_stream *s)
{
	if (s->more)
		return 0;
	struct rl_stream_more *m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	rl_alarm_init(&m->alarm, stream_alarm);
	m->stream = s;
	m->read_high = RL_READ_HIGH;
	m->write_high = RL_WRITE_HIGH;
	m->read_ns = m->write_ns = m->idle_ns = m->total_ns = m->reader_ns = -1;
	s->more = m;
	rl_stream_touch(s);
	return 0;
}

/* Telling. */

int rl_stream_has(const struct rl_stream *s, uint32_t need)
{
	if (s->flags & RL_STREAM_CLOSED)
		return -RL_ECLOSED;
	if (s->in.len >= need && s->in.len > 0)
		return 0;
	if (s->in_err)
		return s->in_err;
	return s->flags & RL_STREAM_EOF ? -RL_EOF : -EAGAIN;
}

int rl_stream_status(const struct rl_stream *s)
{
	return rl_stream_has(s, 1);
}

void rl_stream_tell(struct rl_stream *s)
{
	if (s->net->stopping)
		return;
	if (s->flags & RL_STREAM_FRAMED) {
		if (rl_stream_has(s, RL_BYTES_MAX) != -EAGAIN) /* somebody may look whether it goes on */
			rl_waitq_wake(s->net->shard, &s->readers, 0, true);
		rl_websocket_tell(s->more->websocket);
		return;
	}
	if ((s->flags & (RL_STREAM_SERVED | RL_STREAM_BUSY)) == RL_STREAM_SERVED) {
		if (rl_stream_status(s) != -EAGAIN)
			rl_crew_tell(s);
		return;
	}
	if ((s->flags & RL_STREAM_RESTS) && rl_stream_status(s) != -EAGAIN) {
		s->flags &= ~RL_STREAM_RESTS;
		rl_stream_close(s);
		return;
	}
	struct rl_clause *reader = rl_waitq_first(&s->readers);
	if (reader && rl_stream_has(s, s->in.need) != -EAGAIN)
		rl_wait_fire(s->net->shard, reader, 0, 0);
}

/* Receiving. */

static uint32_t read_high(const struct rl_stream *s)
{
	if (!s->more)
		return RL_READ_HIGH;
	return s->more->want > s->more->read_high ? s->more->want : s->more->read_high;
}

static void recv_done(struct rl_op *op, int res, uint32_t flags);

static void recv_start(struct rl_stream *s)
{
	unsigned no = RL_STREAM_EOF | RL_STREAM_CLOSED | RL_STREAM_PAUSED | RL_STREAM_STARVED;
	if (s->op.in_flight || (s->flags & no) || s->in_err)
		return;
	s->op.kind = RL_OP_RECV;
	s->op.done = recv_done;
	int err = rl_os_submit(s->net->os, &s->op);
	if (err < 0)
		s->in_err = (int16_t)err;
}

/* Ask the receive to end; what it delivers until then is kept. */
static void recv_stop(struct rl_stream *s)
{
	if (!s->op.in_flight || (s->flags & (RL_STREAM_CANCELLED | RL_STREAM_GONE)))
		return;
	s->flags |= RL_STREAM_CANCELLED;
	rl_os_cancel(s->net->os, &s->op);
}

/* No buffer was free: on a list until one is. If there is one by now, it is tried again next turn.
 * */
static void recv_starve(struct rl_stream *s)
{
	struct rl_net *net = s->net;
	s->flags |= RL_STREAM_STARVED;
	rl_list_push(&net->starved, &s->op.link);
	if (net->os->buf_free > 0)
		rl_shard_mark(net->shard, &net->rearm);
}

void rl_stream_feed(struct rl_stream *s)
{
	s->flags &= ~RL_STREAM_STARVED;
	recv_start(s);
	if (s->in_err)
		rl_stream_tell(s);
}

/* Copying gives the buffer back at once: when few are left, and small amounts behind others. */
static bool recv_copies(const struct rl_stream *s, uint32_t n)
{
	const struct rl_os *os = s->net->os;
	unsigned most = os->buf_count - os->buf_count / 4;
	return s->net->chunks.lent > most || (s->in.len > 0 && n < os->buf_size / 2);
}

static int recv_queue(struct rl_stream *s, struct rl_chunk *c, uint32_t n)
{
	if (!recv_copies(s, n)) {
		rl_chunk_get(c);
		int err = rl_bytes_push(&s->net->chunks, &s->in, c, 0, n);
		if (err < 0)
			rl_chunk_put(c);
		return err;
	}
	return rl_bytes_append(&s->net->chunks, &s->in, c->data, n);
}

static void stream_heard(struct rl_stream *s)
{
	if (s->is_watched)
		rl_container(s->more, struct rl_stream_watched, more)->heard_ns = s->more->active_ns;
}

static void recv_take(struct rl_stream *s, unsigned bid, int res)
{
	struct rl_chunk *c = rl_chunk_provided(&s->net->chunks, bid);
	int err = 0;
	/* What comes before the receive ends must not follow on what was lost for want of memory. */
	if (res > 0 && !(s->flags & RL_STREAM_CLOSED) && s->in_err != -ENOMEM) {
		s->op.count.received += (uint32_t)res;
		s->net->shard->counts.received += (uint32_t)res;
		s->reads++;
		rl_stream_touch(s);
		stream_heard(s);
		err = recv_queue(s, c, (uint32_t)res);
	}
	rl_chunk_put(c);
	if (err < 0 && !s->in_err)
		s->in_err = (int16_t)err;
	if (s->in.len >= read_high(s))
		s->flags |= RL_STREAM_PAUSED;
	if (s->in_err || (s->flags & RL_STREAM_PAUSED))
		recv_stop(s);
}

static void recv_ended(struct rl_stream *s, int res)
{
	switch (res) {
	case -ECANCELED:
	case -EINTR:
	case -EAGAIN:
		break;
	case -ENOBUFS:
		recv_starve(s);
		break;
	case 0:
		s->flags |= RL_STREAM_EOF;
		break;
	default:
		if (!s->in_err)
			s->in_err = (int16_t)res;
	}
}

static void recv_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_stream *s = rl_container(op, struct rl_stream, op);
	bool closed = (s->flags & RL_STREAM_CLOSED) != 0;
	uint32_t had = s->in.len;
	if (flags & RL_DONE_BUF)
		recv_take(s, RL_DONE_BID(flags), res);
	if (res <= 0 && !closed)
		recv_ended(s, res);
	if (!(flags & RL_DONE_MORE)) {
		s->flags &= ~RL_STREAM_CANCELLED;
		recv_start(s);
	}
	if (closed) {
		rl_stream_settle(s);
		return;
	}
	if (s->is_classified)
		rl_classify_received(s, had);
	rl_stream_tell(s);
}

/* Below half of the high-water mark, or below what is needed, receiving goes on. */
static void recv_resume(struct rl_stream *s, uint32_t below)
{
	if (!(s->flags & RL_STREAM_PAUSED) || s->in.len >= below)
		return;
	s->flags &= ~RL_STREAM_PAUSED;
	recv_start(s);
}

int rl_stream_expect(struct rl_stream *s, uint32_t need, uint32_t most)
{
	if (most > read_high(s)) {
		int err = rl_stream_extend(s);
		if (err < 0)
			return err;
		s->more->want = most;
	}
	s->in.need = need;
	rl_stream_touch(s);
	recv_resume(s, most);
	recv_start(s);
	return 0;
}

void rl_stream_consume(struct rl_stream *s, uint32_t n)
{
	rl_bytes_skip(&s->net->chunks, &s->in, n);
	s->in.need = 0;
	if (s->more)
		s->more->want = 0;
	recv_resume(s, read_high(s) / 2);
}

int rl_stream_lend(struct rl_stream *s, struct rl_piece *out)
{
	int err = rl_stream_extend(s);
	if (err < 0)
		return err;
	rl_stream_unlend(s);
	*out = rl_bytes_take(&s->net->chunks, &s->in);
	s->more->view = out->chunk;
	out->chunk->reader = s;
	rl_stream_consume(s, 0);
	return 0;
}

void rl_stream_unlend(struct rl_stream *s)
{
	struct rl_chunk *c = s->more ? s->more->view : NULL;
	if (!c)
		return;
	s->more->view = NULL;
	c->reader = NULL;
	c->gen++;
	rl_chunk_put(c);
}

/* Limits. */

/* Is somebody at work on a request? What he waits for has a time of its own. */
static bool is_handled(const struct rl_stream *s)
{
	const struct rl_message *m = s->more->message;
	return m && m->busy && !(s->flags & RL_STREAM_FRAMED);
}

/* Is it the peer that this stream waits for? Who needs more than there can be waits for its end. */
static bool stream_waits(const struct rl_stream *s)
{
	if (is_handled(s))
		return false;
	if (s->flags & RL_STREAM_SERVED && !(s->flags & (RL_STREAM_BUSY | RL_STREAM_NEWS)))
		return true;
	if (rl_out_is_busy(s))
		return true;
	return !(s->flags & RL_STREAM_NEWS) && s->in.need != RL_BYTES_MAX
		&& !rl_list_empty(&s->readers.waiters);
}

/* When the alarm has to look next; -1 never. */
static int64_t stream_due(const struct rl_stream *s)
{
	const struct rl_stream_more *m = s->more;
	int64_t from = stream_waits(s) ? m->active_ns : s->net->shard->now_ns;
	int64_t idle = m->idle_ns < 0 ? -1 : from + m->idle_ns;
	if (idle < 0 || m->total_ns < 0)
		return idle < 0 ? m->total_ns : idle;
	return idle < m->total_ns ? idle : m->total_ns;
}

static void stream_alarm(struct rl_alarm *a)
{
	struct rl_stream *s = rl_container(a, struct rl_stream_more, alarm)->stream;
	int64_t due = stream_due(s);
	if (due >= 0 && due > s->net->shard->now_ns)
		rl_alarm_set(s->net->shard, a, due);
	else if (due >= 0 && !rl_serve_tell_late(s))
		rl_stream_fail(s, -ETIMEDOUT);
}

void rl_stream_limit(struct rl_stream *s, int64_t idle_ns, int64_t total_ns)
{
	struct rl_stream_more *m = s->more;
	m->idle_ns = idle_ns;
	m->total_ns = total_ns;
	rl_stream_touch(s);
	rl_alarm_stop(s->net->shard, &m->alarm);
	int64_t due = stream_due(s);
	if (due >= 0 && !(s->flags & RL_STREAM_CLOSED))
		rl_alarm_set(s->net->shard, &m->alarm, due);
}

void rl_stream_limit_by(struct rl_stream *s, int64_t due_ns)
{
	int64_t total_ns = s->more->total_ns;
	if (total_ns < 0 || total_ns > due_ns)
		rl_stream_limit(s, s->more->idle_ns, due_ns);
}

/* `more` moves, and its alarm with it. */
int rl_stream_watch(struct rl_stream *s)
{
	int err = rl_stream_extend(s);
	if (err < 0 || s->is_watched)
		return err;
	struct rl_stream_watched *w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	bool is_set = rl_alarm_is_set(&s->more->alarm);
	int64_t due_ns = s->more->alarm.timer.deadline_ns;
	rl_alarm_stop(s->net->shard, &s->more->alarm);
	w->more = *s->more;
	free(s->more);
	s->more = &w->more;
	s->is_watched = true;
	stream_heard(s);
	rl_alarm_init(&w->more.alarm, stream_alarm);
	if (is_set)
		rl_alarm_set(s->net->shard, &w->more.alarm, due_ns);
	return 0;
}

/* Is it between two exchanges? */
static bool stream_rests(const struct rl_stream *s)
{
	if (rl_out_is_busy(s))
		return false;
	if (s->flags & RL_STREAM_SERVED)
		return !(s->flags & (RL_STREAM_BUSY | RL_STREAM_NEWS)) && !s->more->message;
	return !rl_list_empty(&s->readers.waiters);
}

int64_t rl_stream_idle_ns(const struct rl_stream *s)
{
	int64_t now_ns = s->net->shard->now_ns;
	if (!s->is_watched || (s->flags & RL_STREAM_CLOSED) || s->in_err || s->in.len > 0)
		return -1;
	if (s->kind != RL_STREAM_SHORT)
		return now_ns - rl_container(s->more, struct rl_stream_watched, more)->heard_ns;
	return stream_rests(s) ? now_ns - s->more->active_ns : -1;
}

void rl_stream_fail(struct rl_stream *s, int code)
{
	if (s->flags & RL_STREAM_CLOSED)
		return;
	if (!s->in_err)
		s->in_err = (int16_t)code;
	recv_stop(s);
	rl_out_fail(s, code);
	rl_stream_tell(s);
}

/* The end. */

static void stream_hold(struct rl_stream *s)
{
	s->flags |= RL_STREAM_HOLDS;
	s->net->shard->holds++;
	s->net->draining++;
}

static void stream_unhold(struct rl_stream *s)
{
	if (!(s->flags & RL_STREAM_HOLDS))
		return;
	s->flags &= ~RL_STREAM_HOLDS;
	s->net->shard->holds--;
	s->net->draining--;
}

static void close_done(struct rl_op *op, int res, uint32_t flags)
{
	(void)res;
	(void)flags;
	rl_stream_settle(rl_container(op, struct rl_stream, op));
}

static void close_start(struct rl_stream *s)
{
	struct rl_os *os = s->net->os;
	s->flags |= RL_STREAM_GONE;
	--*s->net->handles;
	s->op.kind = RL_OP_CLOSE;
	s->op.done = close_done;
	if (rl_os_submit(os, &s->op) < 0)
		os->ops->close_now(os, s->op.fd);
}

void rl_stream_settle(struct rl_stream *s)
{
	if (!(s->flags & RL_STREAM_CLOSED) || (s->flags & RL_STREAM_DEAD))
		return;
	if (rl_out_is_busy(s)) {
		if (s->out->op.in_flight || !(s->flags & RL_STREAM_DROP))
			return;
		rl_out_lose(s);
	}
	rl_out_trim(s);
	stream_unhold(s);
	if (s->out || s->op.in_flight)
		return;
	if (!(s->flags & RL_STREAM_GONE))
		close_start(s);
	if (s->op.in_flight)
		return;
	s->flags |= RL_STREAM_DEAD;
	if (!s->handle)
		stream_free(s);
}

/* Nothing received any more. */
static void stream_detach(struct rl_stream *s)
{
	if (s->flags & RL_STREAM_STARVED)
		rl_list_remove(&s->op.link);
	s->flags &= ~(RL_STREAM_STARVED | RL_STREAM_PAUSED);
	rl_stream_unlend(s);
	rl_bytes_clear(&s->net->chunks, &s->in);
	if (s->more)
		rl_alarm_stop(s->net->shard, &s->more->alarm);
	recv_stop(s);
}

void rl_stream_close(struct rl_stream *s)
{
	if (s->flags & RL_STREAM_CLOSED)
		return;
	stream_detach(s);
	s->flags |= RL_STREAM_CLOSED;
	rl_stream_tell(s);
	if (rl_out_is_busy(s) && !(s->flags & RL_STREAM_DROP))
		stream_hold(s);
	rl_out_close(s, s->net->shard->now_ns + RL_STREAM_CLOSE_NS);
	rl_stream_settle(s);
}

void rl_stream_abort(struct rl_stream *s)
{
	const struct linger at_once = {1, 0};
	struct rl_os *os = s->net->os;
	if (s->flags & RL_STREAM_GONE)
		return;
	os->ops->setsockopt(os, s->op.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	s->flags |= RL_STREAM_DROP;
	if (!(s->flags & RL_STREAM_CLOSED)) {
		rl_stream_close(s);
		return;
	}
	if (s->out && s->out->op.in_flight)
		rl_os_cancel(os, &s->out->op);
	rl_stream_settle(s);
}

/* End of the run. */

void rl_stream_stop(struct rl_stream *s)
{
	struct rl_os *os = s->net->os;
	stream_unhold(s);
	if (s->out) {
		rl_alarm_stop(s->net->shard, &s->out->limit);
		rl_outfile_lose(s, -RL_ECLOSED);
	}
	if (s->flags & RL_STREAM_GONE)
		return;
	s->flags |= RL_STREAM_GONE;
	--*s->net->handles;
	os->ops->close_now(os, s->op.fd);
}

void rl_stream_drop(struct rl_stream *s, bool keep)
{
	while (!(s->flags & RL_STREAM_NEWS) && rl_list_pop(&s->readers.waiters))
		continue;
	if (s->handle)
		*s->handle = NULL;
	if (s->flags & RL_STREAM_FRAMED)
		rl_websocket_drop(s->more->websocket);
	rl_out_drop(s, keep);
	if (!keep)
		free(s->more);
}
