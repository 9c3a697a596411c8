/* SPDX-License-Identifier: MIT */
/*
 * call: see call.h.
 *
 * Invariants: a call has a reference of whoever has a handle of it, one until it is home, and one
 * for each message on its way. What a shard has out is on its port's list, and counted as outside
 * work: no deadlock is seen while a call is on its way. Helpers look at no call that they have sent
 * home.
 *
 * A port outlives its shard. A helper sends a call home under the port's lock, and the port closes
 * under it: so no helper touches a seam that is gone. That a call was admitted is sent under the
 * pool's lock, so it is home no later than the call itself.
 *
 * Simulated, all shards are on one thread. What concerns another shard's call goes there as a
 * message, which also keeps it from looking stuck.
 *
 * Lock order: the pool's, a port's.
 */
#include "rt/call.h"

#include "base/err.h"
#include "rt/offload_pool.h"

#include <stdlib.h>

struct rl_port {
	_Atomic uint32_t refs;
	struct rl_shard *shard;
	struct rl_list calls;     /* the shard's own: not home yet */
	pthread_mutex_t lock;
	bool open;                /* the seam of the shard is there */
};

/* ---- references ------------------------------------------------------------------------------ */

static void port_put(struct rl_port *port)
{
	if (atomic_fetch_sub_explicit(&port->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&port->lock);
	free(port);
}

struct rl_call *rl_call_get(struct rl_call *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void rl_call_put(struct rl_call *c)
{
	/* The acquire of the last pairs with the releases of the others. */
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	rl_parcel_put(c->args);
	rl_value_drop(&c->result);
	free(c->why);
	port_put(c->port);
	free(c);
}

/* ---- coming home ----------------------------------------------------------------------------- */

/* On the shard's thread: the call is nobody's but its owner's any more. Returns its pool, whose
 * reference is the caller's to put. */
static struct rl_offload *call_settle(struct rl_call *c)
{
	struct rl_offload *p = c->pool;
	if (c->counts)
		c->port->shard->os->works--;
	c->counts = false;
	c->pool = NULL;
	rl_list_remove(&c->own);
	return p;
}

static void call_home(struct rl_call *c)
{
	struct rl_offload *p = c->pool ? call_settle(c) : NULL;
	if (p) {
		c->is_admitted = c->is_home = true;
		c->home(c);
		rl_shared_put(&p->shared);
	}
	rl_call_put(c);
}

static void call_admitted(struct rl_call *c)
{
	if (c->pool && !c->is_admitted) {
		c->is_admitted = true;
		if (c->admitted)
			c->admitted(c);
	}
	rl_call_put(c);
}

static void work_home(struct rl_work *w)
{
	struct rl_call *c = rl_container(w, struct rl_call, work);
	c->work_sent = false;
	call_home(c);
}

static void room_home(struct rl_work *w)
{
	struct rl_call *c = rl_container(w, struct rl_call, room);
	c->room_sent = false;
	call_admitted(c);
}

void rl_call_send(struct rl_call *c, struct rl_work *w, bool *sent)
{
	struct rl_port *port = c->port;
	pthread_mutex_lock(&port->lock);
	bool open = port->open;
	if (open) {
		*sent = true;
		port->shard->os->ops->arrive(port->shard->os, w);
	}
	pthread_mutex_unlock(&port->lock);
	if (!open)
		rl_call_put(c);
}

void rl_call_tell(struct rl_shard *s, struct rl_list *told)
{
	for (struct rl_list *l = rl_list_pop(told); l; l = rl_list_pop(told))
		rl_call_bring(s, rl_container(l, struct rl_call, told));
}

/* ---- simulated: calls that run inline -------------------------------------------------------- */

static void inline_run(struct rl_work *w)
{
	struct rl_call *c = rl_container(w, struct rl_call, work);
	struct rl_offload *p = c->pool;
	p->vm->run(p->arg, &p->inlined, c);
}

void rl_call_next(struct rl_offload *p, struct rl_shard *s)
{
	while (!p->closing && p->running < p->threads_max) {
		struct rl_call *c = rl_offload_pop(p);
		if (!c)
			break;
		p->peak = p->running > p->peak ? p->running : p->peak;
		rl_call_bring(s, rl_call_get(c));
	}
}

static void inline_done(struct rl_work *w)
{
	struct rl_call *c = rl_container(w, struct rl_call, work);
	struct rl_offload *p = c->pool;
	struct rl_shard *s = c->port->shard;
	struct rl_list told;
	rl_list_init(&told);
	rl_offload_ended(p, c);
	rl_offload_admit(p, &told);
	rl_call_next(p, s);
	rl_call_tell(s, &told);
	call_home(c);
}

/* Its turn has come. The seam counts its own. */
static void inline_start(struct rl_call *c)
{
	struct rl_os *os = c->port->shard->os;
	c->work.fn = inline_run;
	c->work.done = inline_done;
	if (os->ops->offload(os, &c->work) == 0)
		return;
	inline_run(&c->work);
	inline_done(&c->work);
}

/* On its own shard: act on what has become of it. */
static void inline_act(struct rl_call *c)
{
	call_admitted(rl_call_get(c));
	if (c->state == CALL_RUNNING && !c->work.fn)
		inline_start(c);
	else if (c->state == CALL_ENDED && c->err < 0 && c->pool)
		call_home(c);
	rl_call_put(c);
}

static void msg_deliver(struct rl_shard *s, struct rl_msg *m)
{
	(void)s;
	struct rl_call *c = rl_container(m, struct rl_call, msg);
	c->is_sent = false;
	inline_act(c);
}

static void msg_drop(struct rl_msg *m)
{
	rl_call_put(rl_container(m, struct rl_call, msg));
}

void rl_call_bring(struct rl_shard *s, struct rl_call *c)
{
	struct rl_shard *to = c->port->shard;
	if (!c->port->open || c->is_sent) {
		rl_call_put(c);
	} else if (!s || !s->fleet || !to->fleet || to == s) {
		inline_act(c);
	} else {
		c->is_sent = true;
		c->msg = (struct rl_msg){.deliver = msg_deliver, .drop = msg_drop};
		rl_fleet_send(s, to->index, &c->msg);
	}
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct rl_port *rl_port_new(struct rl_shard *s)
{
	struct rl_port *port = calloc(1, sizeof *port);
	if (!port)
		return NULL;
	atomic_init(&port->refs, 1);
	port->shard = s;
	port->open = true;
	rl_list_init(&port->calls);
	pthread_mutex_init(&port->lock, NULL);
	return port;
}

struct rl_call *rl_call_new(struct rl_port *port, struct rl_parcel *args)
{
	struct rl_call *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	atomic_fetch_add_explicit(&port->refs, 1, memory_order_relaxed);
	c->port = port;
	c->args = args;
	c->room.done = room_home;
	c->work.done = work_home;
	rl_list_init(&c->link);
	rl_list_init(&c->own);
	rl_list_init(&c->told);
	rl_waitq_init(&c->room_waiters);
	rl_waitq_init(&c->waiters);
	return c;
}

int rl_call_submit(struct rl_call *c, struct rl_offload *p, bool lines)
{
	struct rl_shard *s = c->port->shard;
	c->simulated = s->os->closed_world;
	/* Before a helper can have it. */
	c->is_admitted = true;
	rl_call_get(c);
	pthread_mutex_lock(&p->lock);
	int err = rl_offload_enqueue(p, c, lines);
	if (err >= 0) {
		c->pool = p;
		c->is_admitted = err == 0;
	}
	pthread_mutex_unlock(&p->lock);
	if (err < 0) {
		rl_call_put(c);
		return err;
	}
	rl_shared_get(&p->shared);
	rl_list_push(&c->port->calls, &c->own);
	c->counts = true;
	s->os->works++;
	if (c->simulated)
		rl_call_next(p, s);
	return err;
}

/* Take it out if it waits. */
static bool withdraw(struct rl_call *c, struct rl_offload *p)
{
	struct rl_list told;
	rl_list_init(&told);
	pthread_mutex_lock(&p->lock);
	bool waits = c->state == CALL_LINED || c->state == CALL_QUEUED;
	if (waits) {
		rl_offload_unqueue(p, c, CALL_WITHDRAWN);
		rl_offload_admit(p, &told);
	}
	pthread_mutex_unlock(&p->lock);
	rl_call_tell(c->port->shard, &told);
	return waits;
}

bool rl_call_cancel(struct rl_call *c, bool signal)
{
	struct rl_offload *p = c->pool;
	if (!p)
		return false;
	/* Pairs with the loads of whoever runs it; nothing hangs on when they see it. */
	atomic_store_explicit(&c->cancelled, true, memory_order_relaxed);
	if (withdraw(c, p)) {
		rl_shared_put(&call_settle(c)->shared);
		rl_call_put(c);
		return true;
	}
	if (signal)
		rl_offload_interrupt(p, c);
	return false;
}

/* The port is closed. Nobody reaps what was sent, and a simulated call goes with its shard; another
 * that runs is its helper's to put. */
static void forget(struct rl_call *c)
{
	struct rl_offload *p = c->pool;
	bool waited = withdraw(c, p);
	atomic_store_explicit(&c->cancelled, true, memory_order_relaxed);
	if (c->simulated && c->state == CALL_RUNNING)
		rl_offload_ended(p, c);
	call_settle(c);
	if (c->room_sent)
		rl_call_put(c);
	if (waited || c->simulated || c->work_sent)
		rl_call_put(c);
	rl_shared_put(&p->shared);
}

void rl_port_close(struct rl_port *port)
{
	if (!port || !rl_shard_is_home(port->shard))
		return;
	pthread_mutex_lock(&port->lock);
	port->open = false;
	pthread_mutex_unlock(&port->lock);
	for (struct rl_list *l = rl_list_first(&port->calls); l; l = rl_list_first(&port->calls))
		forget(rl_container(l, struct rl_call, own));
	port_put(port);
}

