/* SPDX-License-Identifier: MIT */
/*
 * schan: see schan.h. A queue without a lock for values, and under a lock who waits.
 *
 * The fast path. While nobody waits to send, a send is a push; while nobody waits to receive, a
 * recv is a pop. Each then looks at the flag of the other side, and if somebody waits there, it
 * takes the lock and *settles*: gives values to receivers and room to senders until one or the
 * other runs out. Whoever is going to wait raises the flag under the lock, has a full barrier, and
 * tries once more. Push and pop end with a full barrier too, so one of the two sees what the other
 * has done. While a flag is up, everybody who comes goes through the lock, and nobody overtakes.
 *
 * A waiter can be lost to another party until it is claimed, a value until it is popped, and
 * neither can be given back. So a value is popped into `front` before a receiver is claimed for it,
 * and stays there for the next if all receivers have gone; a sender's value goes to `back` once the
 * sender is claimed, and stays there if the room has gone. While they are occupied, the flag of
 * that side stays up. The channel may so hold two values more than its capacity, for a moment.
 *
 * Without a buffer both flags are always up, and values go from waiter to waiter. Who waits for
 * several channels locks them all, in the order of their addresses, tries each, and links itself
 * into each, as one step. So two that wait never match: the second would have found the first. And
 * a claim of the other party alone completes a meeting, since who tries is on no list yet.
 *
 * Closing ends the pushes (see mpmc.h), so that the values received before the end are exactly
 * those whose send succeeded. Both flags are up from then on; receivers that are already waiting
 * for a push that is half done get its value when it settles.
 *
 * Invariants, when the lock is free: `rwait` is up exactly if a receiver is linked, `front` is
 * occupied, the channel is closed, or it has no buffer; `swait` likewise with senders and `back`.
 * Waiters hold references, so a channel that is freed has none.
 */
#include "rt/schan.h"

#include "base/check.h"
#include "base/err.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The most values for which a buffer of long texts is made beside the queue. */
#define CELLS_MAX 4096

/* A value and where the bytes of a long text are. */
struct place {
	struct rl_value *value;
	char *text;
};

struct rl_schan {
	struct rl_shared shared;
	uint32_t capacity;
	enum rl_schan_overflow overflow;
	_Atomic bool rwait, swait;        /* written under the lock, read by all */
	_Atomic bool closed;              /* likewise */
	char *_Atomic cells;              /* RL_SCHAN_TEXT_MAX bytes for each slot of the queue */
	_Alignas(RL_CACHE_LINE) pthread_mutex_t lock; /* of the rest, but for the queue */
	struct rl_list receivers, senders;
	bool has_front, has_back;
	struct rl_schan_item front, back;
	char *message, *code;             /* written before `closed` */
	uint64_t dropped;
	struct rl_mpmc queue;
};

static void schan_free(struct rl_shared *o);

const struct rl_shared_class rl_schan_class = {"ringlet.shared.chan", schan_free};

static struct place at_item(struct rl_schan_item *item)
{
	return (struct place){&item->value, item->text};
}

static struct place at_waiter(struct rl_waiter *w)
{
	return (struct place){&w->value, w->text};
}

/* The owner changes: `from` is a copy that nobody drops. */
static void move(struct place to, struct place from)
{
	*to.value = *from.value;
	if (from.value->kind == RL_VALUE_TEXT && from.value->len > RL_VALUE_TEXT_MAX)
		memcpy(to.text, from.text, from.value->len);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static struct place at_slot(struct rl_schan *c, struct rl_mpmc_item *item, uint64_t at)
{
	/* Pairs with the release in make_cells; a slot with a long text has been written after it. */
	char *cells = atomic_load_explicit(&c->cells, memory_order_acquire);
	size_t slot = rl_mpmc_slot(&c->queue, at);
	return (struct place){(struct rl_value *)(void *)item,
		cells ? cells + slot * RL_SCHAN_TEXT_MAX : NULL};
}

static bool push(struct rl_schan *c, struct place from)
{
	uint64_t at;
	struct rl_mpmc_item *item = rl_mpmc_push_begin(&c->queue, &at);
	if (!item)
		return false;
	move(at_slot(c, item, at), from);
	rl_mpmc_push_end(&c->queue, at);
	return true;
}

static bool pop(struct rl_schan *c, struct place to)
{
	uint64_t at;
	struct rl_mpmc_item *item = rl_mpmc_pop_begin(&c->queue, &at);
	if (!item)
		return false;
	move(to, at_slot(c, item, at));
	rl_mpmc_pop_end(&c->queue, at);
	return true;
}

static bool is_closed(const struct rl_schan *c)
{
	/* Pairs with the release in rl_schan_close: message and code. */
	return atomic_load_explicit(&c->closed, memory_order_acquire);
}

/* The oldest value. */
static bool take(struct rl_schan *c, struct place to)
{
	if (c->has_front) {
		move(to, at_item(&c->front));
		c->has_front = false;
		return true;
	}
	if (c->capacity > 0 && pop(c, to))
		return true;
	if (!c->has_back || !is_closed(c) || !rl_mpmc_is_drained(&c->queue))
		return false;
	move(to, at_item(&c->back));
	c->has_back = false;
	return true;
}

/* Will nothing more come out of it? */
static bool is_at_end(struct rl_schan *c)
{
	return is_closed(c) && !c->has_front && !c->has_back
		&& (c->capacity == 0 || rl_mpmc_is_drained(&c->queue));
}

/* ---- who waits: under the lock --------------------------------------------------------------- */

/* The first that can still be had, claimed, on no list; NULL when there is none. */
static struct rl_waiter *claim_first(struct rl_list *list)
{
	for (struct rl_list *l = rl_list_pop(list); l; l = rl_list_pop(list)) {
		struct rl_waiter *w = rl_container(l, struct rl_waiter, link);
		if (rl_waiter_claim(w))
			return w;
	}
	return NULL;
}

static void fail_all(struct rl_list *list, struct rl_list *claimed)
{
	for (struct rl_waiter *w = claim_first(list); w; w = claim_first(list)) {
		w->code = -RL_ECLOSED;
		rl_list_push(claimed, &w->link);
	}
}

/* The value of a claimed sender; it hears that it was sent. */
static void take_from(struct rl_waiter *w, struct place to, struct rl_list *claimed)
{
	move(to, at_waiter(w));
	memset(&w->value, 0, sizeof w->value);
	rl_list_push(claimed, &w->link);
}

static bool serve_receivers(struct rl_schan *c, struct rl_list *claimed)
{
	bool served = false;
	while (!rl_list_empty(&c->receivers)) {
		if (!c->has_front)
			c->has_front = take(c, at_item(&c->front));
		struct rl_waiter *w = c->has_front ? claim_first(&c->receivers) : NULL;
		if (!w)
			break;
		move(at_waiter(w), at_item(&c->front));
		c->has_front = false;
		rl_list_push(claimed, &w->link);
		served = true;
	}
	return served;
}

static bool has_room(struct rl_schan *c)
{
	return rl_mpmc_len(&c->queue) < c->capacity;
}

static bool serve_senders(struct rl_schan *c, struct rl_list *claimed)
{
	bool served = false;
	for (;;) {
		if (c->has_back) {
			if (!push(c, at_item(&c->back)))
				break;
			c->has_back = false;
			served = true;
		}
		struct rl_waiter *w = has_room(c) ? claim_first(&c->senders) : NULL;
		if (!w)
			break;
		take_from(w, at_item(&c->back), claimed);
		c->has_back = true;
	}
	return served;
}

/* Until no receiver has a value to get and no sender room. */
static void settle(struct rl_schan *c, struct rl_list *claimed)
{
	bool more = c->capacity > 0;
	while (more) {
		more = serve_receivers(c, claimed);
		more = serve_senders(c, claimed) || more;
	}
	if (is_at_end(c))
		fail_all(&c->receivers, claimed);
}

static void set_flag(_Atomic bool *flag, bool on)
{
	/* Seq_cst with the barrier after: pairs with the one that ends a push, a pop. */
	if (atomic_load_explicit(flag, memory_order_relaxed) != on)
		atomic_store_explicit(flag, on, memory_order_seq_cst);
}

static void set_flags(struct rl_schan *c)
{
	bool always = c->capacity == 0 || is_closed(c);
	set_flag(&c->rwait, always || c->has_front || !rl_list_empty(&c->receivers));
	set_flag(&c->swait, always || c->has_back || !rl_list_empty(&c->senders));
}

/* Drop the oldest until there is room; others may be half done with a push or a pop. */
static void push_out(struct rl_schan *c, struct place from)
{
	struct rl_schan_item oldest;
	while (!push(c, from)) {
		if (take(c, at_item(&oldest))) {
			rl_value_drop(&oldest.value);
			c->dropped++;
		} else {
			sched_yield();
		}
	}
}

static int send_overflow(struct rl_schan *c, struct place from)
{
	if (c->overflow == RL_SCHAN_BLOCK)
		return -EAGAIN;
	if (c->overflow == RL_SCHAN_DROP_OLDEST && c->capacity > 0) {
		push_out(c, from);
		return 0;
	}
	rl_value_drop(from.value);
	c->dropped++;
	return 0;
}

static int send_locked(struct rl_schan *c, struct place from, struct rl_list *claimed)
{
	if (is_closed(c))
		return -RL_ECLOSED;
	if (c->capacity == 0) {
		struct rl_waiter *w = claim_first(&c->receivers);
		if (!w)
			return send_overflow(c, from);
		move(at_waiter(w), from);
		rl_list_push(claimed, &w->link);
		return 0;
	}
	int err = 0;
	settle(c, claimed);
	if (!rl_list_empty(&c->senders) || c->has_back || !push(c, from))
		err = send_overflow(c, from);
	settle(c, claimed);
	return err;
}

static int recv_locked(struct rl_schan *c, struct place to, struct rl_list *claimed)
{
	if (c->capacity == 0) {
		struct rl_waiter *w = claim_first(&c->senders);
		if (!w)
			return is_closed(c) ? -RL_ECLOSED : -EAGAIN;
		take_from(w, to, claimed);
		return 0;
	}
	settle(c, claimed);
	if (rl_list_empty(&c->receivers) && take(c, to)) {
		settle(c, claimed);
		return 0;
	}
	return is_at_end(c) ? -RL_ECLOSED : -EAGAIN;
}

/* Unlock, then fire. */
static void leave_lock(struct rl_shard *s, struct rl_schan *c, struct rl_list *claimed)
{
	set_flags(c);
	pthread_mutex_unlock(&c->lock);
	rl_waiter_fire_all(s, claimed);
}

void rl_schan_settle(struct rl_shard *s, struct rl_schan *c)
{
	struct rl_list claimed;
	rl_list_init(&claimed);
	pthread_mutex_lock(&c->lock);
	settle(c, &claimed);
	leave_lock(s, c, &claimed);
}

/* ---- without waiting ------------------------------------------------------------------------- */

static bool is_up(const _Atomic bool *flag)
{
	/* Before a push or pop it only keeps the order; after, the barrier that ended it orders. */
	return atomic_load_explicit(flag, memory_order_relaxed);
}

enum rl_schan_fast rl_schan_push(struct rl_schan *c, struct rl_schan_item *item)
{
	if (is_up(&c->swait) || !push(c, at_item(item)))
		return RL_SCHAN_NOT_DONE;
	return is_up(&c->rwait) ? RL_SCHAN_SETTLE : RL_SCHAN_DONE;
}

enum rl_schan_fast rl_schan_pop(struct rl_schan *c, struct rl_schan_item *item)
{
	if (is_up(&c->rwait) || !pop(c, at_item(item)))
		return RL_SCHAN_NOT_DONE;
	return is_up(&c->swait) ? RL_SCHAN_SETTLE : RL_SCHAN_DONE;
}

int rl_schan_send(struct rl_shard *s, struct rl_schan *c, struct rl_schan_item *item)
{
	enum rl_schan_fast fast = rl_schan_push(c, item);
	if (fast == RL_SCHAN_SETTLE)
		rl_schan_settle(s, c);
	if (fast != RL_SCHAN_NOT_DONE)
		return 0;
	struct rl_list claimed;
	rl_list_init(&claimed);
	pthread_mutex_lock(&c->lock);
	int err = send_locked(c, at_item(item), &claimed);
	leave_lock(s, c, &claimed);
	return err;
}

int rl_schan_recv(struct rl_shard *s, struct rl_schan *c, struct rl_schan_item *item)
{
	enum rl_schan_fast fast = rl_schan_pop(c, item);
	if (fast == RL_SCHAN_SETTLE)
		rl_schan_settle(s, c);
	if (fast != RL_SCHAN_NOT_DONE)
		return 0;
	struct rl_list claimed;
	rl_list_init(&claimed);
	pthread_mutex_lock(&c->lock);
	int err = recv_locked(c, at_item(item), &claimed);
	leave_lock(s, c, &claimed);
	return err;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static struct rl_schan *chan_of(const struct rl_waiter *w)
{
	return rl_container(w->object, struct rl_schan, shared);
}

static void leave(struct rl_waiter *w)
{
	struct rl_schan *c = chan_of(w);
	pthread_mutex_lock(&c->lock);
	if (!rl_list_empty(&w->link)) {
		rl_list_remove(&w->link);
		set_flags(c);
	}
	pthread_mutex_unlock(&c->lock);
}

static struct rl_waiter *waiter_at(struct rl_list *sibling)
{
	return rl_container(sibling, struct rl_waiter, sibling);
}

/* The ticket's waiters are kept in the order in which their channels are locked. */
struct rl_waiter *rl_schan_add_recv(struct rl_shard *s, struct rl_ticket *k, struct rl_schan *c,
	unsigned index)
{
	struct rl_waiter *w = rl_waiter_add(s, k, &c->shared, index, leave);
	if (!w)
		return NULL;
	rl_list_remove(&w->sibling);
	struct rl_list *after = k->waiters.prev;
	while (after != &k->waiters && (uintptr_t)waiter_at(after)->object > (uintptr_t)w->object)
		after = after->prev;
	rl_list_push_front(after, &w->sibling);
	return w;
}

struct rl_waiter *rl_schan_add_send(struct rl_shard *s, struct rl_ticket *k, struct rl_schan *c,
	unsigned index, const struct rl_schan_item *item)
{
	struct rl_waiter *w = rl_schan_add_recv(s, k, c, index);
	if (w)
		move(at_waiter(w), at_item((struct rl_schan_item *)item));
	return w;
}

static bool is_sender(const struct rl_waiter *w)
{
	return w->value.kind != RL_VALUE_NONE;
}

/* Is this the first of those that wait for its channel? */
static bool is_first(const struct rl_ticket *k, const struct rl_waiter *w)
{
	return w->sibling.prev == &k->waiters || waiter_at(w->sibling.prev)->object != w->object;
}

static void lock_all(struct rl_ticket *k)
{
	for (struct rl_list *l = k->waiters.next; l != &k->waiters; l = l->next) {
		struct rl_waiter *w = waiter_at(l);
		struct rl_schan *c = chan_of(w);
		if (is_first(k, w))
			pthread_mutex_lock(&c->lock);
		set_flag(is_sender(w) ? &c->swait : &c->rwait, true);
	}
	/* Pairs with the barrier that ends a push, a pop: what we miss now settles with us. */
	RL_FENCE(seq_cst);
}

static void unlock_all(struct rl_ticket *k)
{
	for (struct rl_list *l = k->waiters.prev; l != &k->waiters; l = l->prev) {
		struct rl_waiter *w = waiter_at(l);
		if (!is_first(k, w))
			continue;
		set_flags(chan_of(w));
		pthread_mutex_unlock(&chan_of(w)->lock);
	}
}

/* Carry it out if that can be done now. */
static bool try_waiter(struct rl_waiter *w, struct rl_list *claimed)
{
	bool sends = is_sender(w);
	struct rl_schan *c = chan_of(w);
	int err = sends ? send_locked(c, at_waiter(w), claimed) : recv_locked(c, at_waiter(w), claimed);
	if (err == 0 && sends)
		memset(&w->value, 0, sizeof w->value);
	if (err != 0 && err != -EAGAIN)
		w->code = (int16_t)err;
	return err != -EAGAIN;
}

static struct rl_waiter *try_all(struct rl_ticket *k, struct rl_list *claimed)
{
	for (struct rl_list *l = k->waiters.next; l != &k->waiters; l = l->next)
		if (try_waiter(waiter_at(l), claimed))
			return waiter_at(l);
	return NULL;
}

static void link_all(struct rl_ticket *k)
{
	for (struct rl_list *l = k->waiters.next; l != &k->waiters; l = l->next) {
		struct rl_waiter *w = waiter_at(l);
		struct rl_schan *c = chan_of(w);
		rl_list_push(is_sender(w) ? &c->senders : &c->receivers, &w->link);
	}
}

struct rl_waiter *rl_schan_wait(struct rl_shard *s, struct rl_ticket *k)
{
	struct rl_list claimed;
	rl_list_init(&claimed);
	lock_all(k);
	struct rl_waiter *ready = try_all(k, &claimed);
	if (!ready)
		link_all(k);
	unlock_all(k);
	rl_waiter_post_all(s, &claimed);
	if (ready) {
		rl_list_remove(&ready->sibling);
		rl_ticket_close(s, k);
	}
	return ready;
}

/* ---- the rest -------------------------------------------------------------------------------- */

struct rl_schan *rl_schan_new(uint32_t capacity, enum rl_schan_overflow overflow)
{
	RL_ASSERT(capacity <= RL_SCHAN_CAPACITY_MAX);
	struct rl_schan *c = aligned_alloc(RL_CACHE_LINE, sizeof *c);
	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	if (capacity > 0 && rl_mpmc_init(&c->queue, capacity) < 0) {
		free(c);
		return NULL;
	}
	rl_shared_init(&c->shared, &rl_schan_class);
	c->capacity = capacity;
	c->overflow = overflow;
	pthread_mutex_init(&c->lock, NULL);
	rl_list_init(&c->receivers);
	rl_list_init(&c->senders);
	set_flags(c);
	return c;
}

static void schan_free(struct rl_shared *o)
{
	struct rl_schan *c = rl_container(o, struct rl_schan, shared);
	struct rl_schan_item item;
	RL_ASSERT(rl_list_empty(&c->receivers) && rl_list_empty(&c->senders));
	if (c->has_back)
		rl_value_drop(&c->back.value);
	while (take(c, at_item(&item)))
		rl_value_drop(&item.value);
	rl_mpmc_term(&c->queue);
	pthread_mutex_destroy(&c->lock);
	free(atomic_load_explicit(&c->cells, memory_order_relaxed));
	free(c->message);
	free(c->code);
	free(c);
}

struct rl_shared *rl_schan_shared(struct rl_schan *c)
{
	return &c->shared;
}

/* Memory that is not used costs addresses alone, so it is made at once for all slots. */
static bool make_cells(struct rl_schan *c)
{
	pthread_mutex_lock(&c->lock);
	char *cells = atomic_load_explicit(&c->cells, memory_order_relaxed);
	if (!cells) {
		cells = malloc(rl_mpmc_slots(&c->queue) * RL_SCHAN_TEXT_MAX);
		atomic_store_explicit(&c->cells, cells, memory_order_release); /* pairs with at_slot's */
	}
	pthread_mutex_unlock(&c->lock);
	return cells != NULL;
}

unsigned rl_schan_text_max(struct rl_schan *c)
{
	if (c->capacity > CELLS_MAX)
		return RL_VALUE_TEXT_MAX;
	bool can = c->capacity == 0 || atomic_load_explicit(&c->cells, memory_order_relaxed)
		|| make_cells(c);
	return can ? RL_SCHAN_TEXT_MAX : RL_VALUE_TEXT_MAX;
}

static char *copy_of(const char *text)
{
	return text ? strdup(text) : NULL;
}

int rl_schan_close(struct rl_shard *s, struct rl_schan *c, const char *message, const char *code)
{
	struct rl_list claimed;
	rl_list_init(&claimed);
	pthread_mutex_lock(&c->lock);
	int err = is_closed(c) ? -RL_ECLOSED : 0;
	if (err == 0) {
		c->message = copy_of(message);
		c->code = copy_of(code);
		if (c->capacity > 0)
			rl_mpmc_close(&c->queue);
		atomic_store_explicit(&c->closed, true, memory_order_release); /* pairs with is_closed */
		set_flags(c);
		RL_FENCE(seq_cst); /* as in lock_all: a push that is half done will settle */
		fail_all(&c->senders, &claimed);
		settle(c, &claimed);
	}
	leave_lock(s, c, &claimed);
	return err;
}

bool rl_schan_is_closed(struct rl_schan *c)
{
	return is_closed(c);
}

void rl_schan_end(struct rl_schan *c, const char **message, const char **code)
{
	bool closed = is_closed(c);
	*message = closed ? c->message : NULL;
	*code = closed ? c->code : NULL;
}

uint32_t rl_schan_capacity(const struct rl_schan *c)
{
	return c->capacity;
}

unsigned rl_schan_len(struct rl_schan *c)
{
	if (c->capacity == 0)
		return 0;
	unsigned n = rl_mpmc_len(&c->queue);
	if (is_up(&c->rwait) || is_up(&c->swait)) {
		pthread_mutex_lock(&c->lock);
		n = rl_mpmc_len(&c->queue) + c->has_front + c->has_back;
		pthread_mutex_unlock(&c->lock);
	}
	return n < c->capacity ? n : c->capacity;
}

uint64_t rl_schan_dropped(struct rl_schan *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t n = c->dropped;
	pthread_mutex_unlock(&c->lock);
	return n;
}
