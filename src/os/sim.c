/* SPDX-License-Identifier: MIT */
/*
 * sim: the deterministic os. A virtual clock, a queue of events ordered by due time and seeded
 * keys, provided buffers, helper work, and the life of an op; what an op does is in sim_op.c. One
 * seed and one sequence of calls are one run, bit for bit.
 *
 * Invariants: time moves only in poll, towards its deadline, and never past an event. An op acts
 * when its event fires and reports at once, so nothing happens between effect and completion. One
 * round delivers what was due when it began; what that causes waits for the next round.
 */
#include "os/sim.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#ifdef RL_TINY
#define RL_SIM_BUFS     8
#define RL_SIM_BUF_SIZE 512
#endif
#ifndef RL_SIM_BUFS
#define RL_SIM_BUFS     64
#endif
#ifndef RL_SIM_BUF_SIZE
#define RL_SIM_BUF_SIZE 4096
#endif

#define START_NS        1000000000LL          /* not 0, which means "do not wait" */
#define EPOCH_NS        1577836800000000000LL /* 2020-01-01T00:00:00Z, at START_NS */
#define DELAY_MAX_NS    200000u
#define FAULT_MIN_NS    1000000u
#define FAULT_MAX_NS    50000000u
#define BUF_COUNT_MAX   32768u                /* of a kernel's buffer ring; ids are 16 bits */
#define POISON          0xdb                  /* fills a buffer that was put back */

struct sim_work {
	struct rl_sim_event event;
	struct rl_work *work;
	struct rl_list link; /* on sim->works */
};

static struct rl_sim *sim_of(struct rl_os *os)
{
	return rl_container(os, struct rl_sim, os);
}

/* The queue: a binary heap of events. */

static bool event_before(const struct rl_sim_event *a, const struct rl_sim_event *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	if (a->key != b->key)
		return a->key < b->key;
	return a->seq < b->seq;
}

static void heap_put(struct rl_sim *sim, unsigned i, struct rl_sim_event *e)
{
	sim->heap[i] = e;
	e->at = i + 1;
}

/* Find the place of `e` from position `i` towards the root. */
static void heap_up(struct rl_sim *sim, unsigned i, struct rl_sim_event *e)
{
	while (i > 0 && event_before(e, sim->heap[(i - 1) / 2])) {
		heap_put(sim, i, sim->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(sim, i, e);
}

/* Find the place of `e` from position `i` towards the leaves. */
static void heap_down(struct rl_sim *sim, unsigned i, struct rl_sim_event *e)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child + 1 < sim->heap_len && event_before(sim->heap[child + 1], sim->heap[child]))
			child++;
		if (child >= sim->heap_len || event_before(e, sim->heap[child]))
			break;
		heap_put(sim, i, sim->heap[child]);
		i = child;
	}
	heap_put(sim, i, e);
}

static void heap_remove(struct rl_sim *sim, struct rl_sim_event *e)
{
	unsigned i = e->at - 1;
	struct rl_sim_event *last = sim->heap[--sim->heap_len];

	e->at = 0;
	if (last == e)
		return;
	if (i > 0 && event_before(last, sim->heap[(i - 1) / 2]))
		heap_up(sim, i, last);
	else
		heap_down(sim, i, last);
}

int rl_sim_event_init(struct rl_sim *sim, struct rl_sim_event *e,
	int (*fire)(struct rl_sim *sim, struct rl_sim_event *e))
{
	if (sim->events == sim->heap_cap) {
		unsigned cap = sim->heap_cap ? 2 * sim->heap_cap : 64;
		struct rl_sim_event **heap = realloc(sim->heap, cap * sizeof *heap);

		if (!heap)
			return -ENOMEM;
		sim->heap = heap;
		sim->heap_cap = cap;
	}
	sim->events++;
	memset(e, 0, sizeof *e);
	rl_list_init(&e->link);
	e->fire = fire;
	return 0;
}

/* Off the heap, or off a round's list. */
static void event_unschedule(struct rl_sim *sim, struct rl_sim_event *e)
{
	if (e->at)
		heap_remove(sim, e);
	rl_list_remove(&e->link);
}

void rl_sim_event_term(struct rl_sim *sim, struct rl_sim_event *e)
{
	if (!e->fire)
		return;
	event_unschedule(sim, e);
	e->fire = NULL;
	sim->events--;
}

/* None for one in two, else up to DELAY_MAX_NS; the delay fault adds its own. */
static int64_t draw_delay(struct rl_sim *sim)
{
	int64_t delay = 0;

	if (rl_rand_next(&sim->order) & 1)
		delay = (int64_t)rl_rand_below(&sim->order, DELAY_MAX_NS + 1);
	if (rl_sim_fault_fires(sim, RL_SIM_DELAY))
		delay += FAULT_MIN_NS
			+ (int64_t)rl_rand_below(&sim->faults.rand, FAULT_MAX_NS - FAULT_MIN_NS + 1);
	return delay;
}

void rl_sim_event_schedule(struct rl_sim *sim, struct rl_sim_event *e)
{
	if (e->at || !rl_list_empty(&e->link))
		return;
	e->due_ns = sim->now_ns + draw_delay(sim);
	e->key = rl_rand_next(&sim->order);
	e->seq = sim->seq++;
	heap_up(sim, sim->heap_len++, e);
}

/* Provided buffers. */

unsigned rl_sim_buf_take(struct rl_sim *sim)
{
	unsigned bid = sim->free_bids[sim->free_head];

	RL_ASSERT(sim->os.buf_free > 0);
	sim->free_head = (sim->free_head + 1) & (sim->os.buf_count - 1);
	sim->os.buf_free--;
	sim->lent[bid] = true;
	return bid;
}

static char *sim_buf(struct rl_os *os, unsigned bid)
{
	RL_ASSERT(bid < os->buf_count);
	return sim_of(os)->bufs + (size_t)bid * os->buf_size;
}

static void sim_buf_put(struct rl_os *os, unsigned bid)
{
	struct rl_sim *sim = sim_of(os);

	RL_ASSERT(bid < os->buf_count);
	RL_ASSERT(sim->lent[bid]);
	sim->lent[bid] = false;
	memset(sim_buf(os, bid), POISON, os->buf_size);
	sim->free_bids[(sim->free_head + os->buf_free) & (os->buf_count - 1)] = (uint16_t)bid;
	os->buf_free++;
}

static int bufs_init(struct rl_sim *sim, const struct rl_os_config *config)
{
	unsigned count = config->buf_count ? config->buf_count : RL_SIM_BUFS;
	unsigned size = config->buf_size ? config->buf_size : RL_SIM_BUF_SIZE;

	if (count > BUF_COUNT_MAX || (count & (count - 1)))
		return -EINVAL;
	sim->bufs = calloc(count, size);
	sim->free_bids = calloc(count, sizeof *sim->free_bids);
	sim->lent = calloc(count, sizeof *sim->lent);
	if (!sim->bufs || !sim->free_bids || !sim->lent)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		sim->free_bids[i] = (uint16_t)i;
	sim->os.buf_count = sim->os.buf_free = count;
	sim->os.buf_size = size;
	return 0;
}

/* The life of an op. */

/* Forget the request; its op belongs to the caller again. */
static void req_free(struct rl_sim *sim, struct rl_sim_req *req)
{
	rl_list_remove(&req->op->link);
	req->op->in_flight = false;
	rl_list_remove(&req->all);
	rl_sim_event_term(sim, &req->event);
	rl_sim_op_detach(sim, req);
	if (!req->internal)
		sim->os.in_flight--;
	free(req);
}

/* One completion. The last one frees the request first, so that `done` may submit the op again. */
static void req_complete(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result r)
{
	struct rl_op *op = req->op;

	if (!(r.flags & RL_DONE_MORE)) {
		sim->os.stats.completed++;
		req_free(sim, req);
	}
	rl_os_done(&sim->os, op, r.res, r.flags);
}

static int req_fire(struct rl_sim *sim, struct rl_sim_event *e)
{
	struct rl_sim_req *req = rl_container(e, struct rl_sim_req, event);
	struct rl_sim_result r = {req->moved ? (int)req->moved : -ECANCELED, 0};
	bool completes = true;

	if (!req->cancelled || (req->cancel_late && rl_sim_op_can_step(req)))
		completes = rl_sim_op_step(sim, req, &r);
	req->cancel_late = false;
	if (completes)
		req_complete(sim, req, r);
	if (completes && !(r.flags & RL_DONE_MORE))
		return 1;
	if (req->cancelled || rl_sim_op_can_step(req))
		rl_sim_event_schedule(sim, &req->event);
	return completes;
}

static int sim_submit(struct rl_os *os, struct rl_op *op)
{
	struct rl_sim *sim = sim_of(os);
	struct rl_sim_req *req;

	RL_ASSERT(!op->in_flight);
	if (op->kind >= RL_OP_KINDS)
		return -EINVAL;
	req = calloc(1, sizeof *req);
	if (!req)
		return -ENOMEM;
	if (rl_sim_event_init(sim, &req->event, req_fire) < 0) {
		free(req);
		return -ENOMEM;
	}
	req->op = op;
	req->internal = op->internal;
	rl_list_init(&req->anchor);
	rl_list_push(&req->anchor, &op->link);
	rl_list_push(&sim->reqs, &req->all);
	op->in_flight = true;
	os->in_flight += !req->internal;
	os->stats.submitted++;
	os->stats.by_kind[op->kind]++;
	rl_sim_op_attach(sim, req);
	if (rl_sim_op_can_step(req))
		rl_sim_event_schedule(sim, &req->event);
	return 0;
}

/* Either the cancel wins, or one completion that is possible when the event fires comes first. A
 * CLOSE always runs: its descriptor is gone whatever the result says. */
static void sim_cancel(struct rl_os *os, struct rl_op *op)
{
	struct rl_sim *sim = sim_of(os);
	struct rl_sim_req *req;

	if (!op->in_flight)
		return;
	req = rl_container(op->link.next, struct rl_sim_req, anchor);
	if (req->cancelled || op->kind == RL_OP_CLOSE)
		return;
	req->cancelled = true;
	req->cancel_late = rl_rand_next(&sim->order) & 1;
	if (rl_sim_fault_fires(sim, RL_SIM_CANCEL_RACE))
		req->cancel_late = true;
	if (!req->cancel_late)
		event_unschedule(sim, &req->event);
	rl_sim_event_schedule(sim, &req->event);
}

/* Helper work. */

static void work_free(struct rl_sim *sim, struct sim_work *sw)
{
	rl_list_remove(&sw->link);
	rl_sim_event_term(sim, &sw->event);
	sim->os.works--;
	free(sw);
}

static int work_fire(struct rl_sim *sim, struct rl_sim_event *e)
{
	struct sim_work *sw = rl_container(e, struct sim_work, event);
	struct rl_work *w = sw->work;

	w->fn(w);
	work_free(sim, sw);
	w->done(w);
	return 1;
}

static int sim_offload(struct rl_os *os, struct rl_work *w)
{
	struct rl_sim *sim = sim_of(os);
	struct sim_work *sw = calloc(1, sizeof *sw);

	if (!sw)
		return -ENOMEM;
	if (rl_sim_event_init(sim, &sw->event, work_fire) < 0) {
		free(sw);
		return -ENOMEM;
	}
	sw->work = w;
	rl_list_push(&sim->works, &sw->link);
	os->works++;
	rl_sim_event_schedule(sim, &sw->event);
	return 0;
}

/* Poll. */

static bool event_is_due(const struct rl_sim *sim)
{
	return sim->heap_len > 0 && sim->heap[0]->due_ns <= sim->now_ns;
}

/* Move what is due to `batch`; returns how many. */
static unsigned collect(struct rl_sim *sim, struct rl_list *batch)
{
	unsigned n = 0;

	for (; event_is_due(sim); n++) {
		struct rl_sim_event *e = sim->heap[0];

		heap_remove(sim, e);
		rl_list_push(batch, &e->link);
	}
	return n;
}

/* The completion queue is full: a tail of the fresh events, at least one, waits a poll. */
static void hold_back(struct rl_sim *sim, struct rl_list *fresh, unsigned n)
{
	unsigned keep = (unsigned)rl_rand_below(&sim->faults.rand, n);
	struct rl_list tail;

	rl_list_init(&tail);
	rl_list_take(&tail, fresh);
	while (keep--)
		rl_list_push(fresh, rl_list_pop(&tail));
	rl_list_take(&sim->held, &tail);
	sim->os.stats.overflows++;
}

static int fire_all(struct rl_sim *sim, struct rl_list *batch)
{
	int delivered = 0;

	for (struct rl_list *l = rl_list_pop(batch); l; l = rl_list_pop(batch)) {
		struct rl_sim_event *e = rl_container(l, struct rl_sim_event, link);

		delivered += e->fire(sim, e);
	}
	return delivered;
}

/* Deliver what was held back, then what is due; events that firing makes due wait. */
static int run_round(struct rl_sim *sim)
{
	struct rl_list held, fresh;
	unsigned n;
	int delivered;

	rl_list_init(&held);
	rl_list_init(&fresh);
	rl_list_take(&held, &sim->held);
	n = collect(sim, &fresh);
	if (n && rl_sim_fault_fires(sim, RL_SIM_CQ_OVERFLOW))
		hold_back(sim, &fresh, n);
	delivered = fire_all(sim, &held);
	return delivered + fire_all(sim, &fresh);
}

/* Jump to the next event or the deadline, whichever is earlier. 1: an event is due; 0: the wait is
 * over, or could never end; -EINTR. */
static int advance(struct rl_sim *sim, int64_t deadline_ns)
{
	int64_t next = sim->heap_len ? sim->heap[0]->due_ns : -1;
	bool waits = deadline_ns == -1 || deadline_ns > sim->now_ns;
	bool to_event = next != -1 && (deadline_ns == -1 || next <= deadline_ns);

	if (!waits || (!to_event && deadline_ns == -1))
		return 0;
	if (to_event && next <= sim->now_ns)
		return 1;
	if (!sim->interrupted && rl_sim_fault_fires(sim, RL_SIM_EINTR)) {
		sim->interrupted = true;
		return -EINTR;
	}
	sim->interrupted = false;
	sim->now_ns = to_event ? next : deadline_ns;
	return to_event;
}

static int poll_until(struct rl_sim *sim, int64_t deadline_ns)
{
	for (;;) {
		bool woken = atomic_exchange_explicit(&sim->woken, false, memory_order_acquire);
		int n = run_round(sim);
		int rc;

		if (n > 0 || woken || !rl_list_empty(&sim->held))
			return n;
		rc = advance(sim, deadline_ns);
		if (rc != 1)
			return rc;
	}
}

static int sim_poll(struct rl_os *os, int64_t deadline_ns)
{
	struct rl_sim *sim = sim_of(os);
	int rc;

	RL_ASSERT(!sim->polling);
	sim->polling = true;
	os->stats.enters++;
	rc = poll_until(sim, deadline_ns);
	sim->polling = false;
	return rc;
}

static bool sim_ready(struct rl_os *os)
{
	struct rl_sim *sim = sim_of(os);

	return event_is_due(sim) || !rl_list_empty(&sim->held)
		|| atomic_load_explicit(&sim->woken, memory_order_relaxed);
}

/* Pairs with the exchange in poll_until: what the waker wrote before is seen after. */
static void sim_wake(struct rl_os *os)
{
	atomic_store_explicit(&sim_of(os)->woken, true, memory_order_release);
}

static void sim_bell(struct rl_os *os, struct rl_os *to)
{
	(void)os;
	sim_wake(to);
}

static int64_t sim_next(struct rl_os *os)
{
	struct rl_sim *sim = sim_of(os);

	if (sim_ready(os))
		return sim->now_ns;
	return sim->heap_len ? sim->heap[0]->due_ns : -1;
}

static void sim_skip(struct rl_os *os, int64_t to_ns)
{
	struct rl_sim *sim = sim_of(os);

	if (to_ns > sim->now_ns)
		sim->now_ns = to_ns;
}

static int64_t sim_now(struct rl_os *os)
{
	return sim_of(os)->now_ns;
}

static int64_t sim_time(struct rl_os *os)
{
	return EPOCH_NS + (sim_of(os)->now_ns - START_NS);
}

static uint64_t sim_random(struct rl_os *os)
{
	return rl_rand_next(&sim_of(os)->user);
}

/* Open and close. */

/* Frees a half-built sim as well as a whole one. */
static void sim_free(struct rl_sim *sim)
{
	while (!rl_list_empty(&sim->works))
		work_free(sim, rl_container(sim->works.next, struct sim_work, link));
	while (!rl_list_empty(&sim->reqs))
		req_free(sim, rl_container(sim->reqs.next, struct rl_sim_req, all));
	rl_sim_net_close(sim);
	free(sim->heap);
	free(sim->bufs);
	free(sim->free_bids);
	free(sim->lent);
	free(sim);
}

static int sim_open(struct rl_os **out, const struct rl_os_config *config)
{
	static const struct rl_os_config defaults;
	struct rl_sim *sim = calloc(1, sizeof *sim);
	int rc;

	if (!sim)
		return -ENOMEM;
	config = config ? config : &defaults;
	sim->os.ops = &rl_sim_ops;
	sim->os.closed_world = true;
	sim->now_ns = START_NS;
	rl_list_init(&sim->held);
	rl_list_init(&sim->reqs);
	rl_list_init(&sim->works);
	rl_rand_seed(&sim->order, config->seed);
	rl_rand_seed(&sim->user, rl_rand_next(&sim->order));
	rc = rl_sim_fault_init(&sim->faults, config->faults, rl_rand_next(&sim->order));
	if (rc == 0)
		rc = bufs_init(sim, config);
	if (rc == 0)
		rc = rl_sim_net_open(sim);
	if (rc < 0) {
		sim_free(sim);
		return rc;
	}
	*out = &sim->os;
	return 0;
}

/* Nothing can write to an op's memory behind our back, so this never waits and never fails. */
static int sim_close(struct rl_os *os)
{
	RL_ASSERT(!sim_of(os)->polling);
	sim_free(sim_of(os));
	return 0;
}

const struct rl_os_ops rl_sim_ops = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.submit = sim_submit,
	.cancel = sim_cancel,
	.poll = sim_poll,
	.ready = sim_ready,
	.wake = sim_wake,
	.bell = sim_bell,
	.next = sim_next,
	.skip = sim_skip,
	.offload = sim_offload,
	.now = sim_now,
	.time = sim_time,
	.random = sim_random,
	.buf = sim_buf,
	.buf_put = sim_buf_put,
	.socket = rl_sim_net_socket,
	.bind = rl_sim_net_bind,
	.listen = rl_sim_net_listen,
	.setsockopt = rl_sim_net_setsockopt,
	.getsockopt = rl_sim_net_getsockopt,
	.getsockname = rl_sim_net_getsockname,
	.getpeername = rl_sim_net_getpeername,
	.send_now = rl_sim_send_now,
	.file_open = rl_sim_file_open,
	.file_read = rl_sim_file_read,
	.file_send = rl_sim_file_send,
	.close_now = rl_sim_net_close_now,
};
