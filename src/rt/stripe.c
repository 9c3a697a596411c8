/* SPDX-License-Identifier: MIT */
/*
 * stripe: see stripe.h.
 *
 * Invariants: an entry is in one chain and on its stripe's list, longest unused first. The dict's
 * `len` counts entries, and room taken for one that is about to come; it is never above the
 * capacity: a key that comes first takes free room, or that of what it evicts. Nothing is freed
 * under a lock: what goes is put among the dead and buried after the unlock. No two stripes are
 * locked at a time.
 */
#include "rt/stripe.h"

#include "base/check.h"
#include "base/err.h"
#include "base/siphash.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 8

static void list_free(struct rl_svalues *list)
{
	if (list)
		rl_svalues_term(list);
	free(list);
}

static void entry_free(struct rl_entry *e)
{
	rl_value_drop(&e->value);
	list_free(e->list);
	free(e);
}

static void bury(struct rl_entry *dead)
{
	while (dead) {
		struct rl_entry *next = dead->next;
		entry_free(dead);
		dead = next;
	}
}

bool rl_stripe_init(struct rl_stripe *st)
{
	st->slots = calloc(SLOTS_MIN, sizeof(struct rl_entry *));
	st->slots_len = SLOTS_MIN;
	rl_list_init(&st->used);
	st->due_ns = RL_NEVER;
	pthread_mutex_init(&st->lock, NULL);
	return st->slots != NULL;
}

void rl_stripe_term(struct rl_stripe *st)
{
	pthread_mutex_destroy(&st->lock);
	free(st->slots);
}

struct rl_dictop rl_stripe_begin(struct rl_sdict *d, const struct rl_sdict_at *at)
{
	uint64_t hash = rl_siphash(at->key, at->len, d->seed);
	struct rl_stripe *st = &d->stripes[(hash >> 32) % d->stripes_len];
	pthread_mutex_lock(&st->lock);
	return (struct rl_dictop){.d = d, .stripe = st, .at = at, .hash = (uint32_t)hash};
}

int rl_stripe_end(struct rl_dictop *op, int result)
{
	pthread_mutex_unlock(&op->stripe->lock);
	bury(op->dead);
	rl_value_drop(&op->gone);
	list_free(op->gone_list);
	return result;
}

/* Where the chain points to the entry. */
static struct rl_entry **place_of(const struct rl_stripe *st, const struct rl_entry *e)
{
	struct rl_entry **p = &st->slots[e->hash & (st->slots_len - 1)];
	while (*p != e)
		p = &(*p)->next;
	return p;
}

/* Take an entry out of its stripe; its room stays taken. */
static void detach(struct rl_stripe *st, struct rl_entry *e, struct rl_entry **dead)
{
	*place_of(st, e) = e->next;
	rl_list_remove(&e->link);
	st->len--;
	e->next = *dead;
	*dead = e;
}

static void give_room(struct rl_sdict *d, size_t n)
{
	size_t before = atomic_fetch_sub_explicit(&d->len, n, memory_order_relaxed);
	RL_ASSERT(before >= n);
}

void rl_stripe_remove(struct rl_dictop *op, struct rl_entry *e)
{
	detach(op->stripe, e, &op->dead);
	give_room(op->d, 1);
}

/* Remove what has expired; returns how many that were. */
static size_t collect(struct rl_sdict *d, struct rl_stripe *st, int64_t now_ns,
	struct rl_entry **dead)
{
	size_t n = 0;
	if (st->due_ns > now_ns)
		return 0;
	st->due_ns = RL_NEVER;
	for (struct rl_list *l = st->used.next, *next; l != &st->used; l = next) {
		struct rl_entry *e = rl_entry_of(l);
		next = l->next;
		if (e->expires_ns <= now_ns) {
			detach(st, e, dead);
			n++;
		} else if (e->expires_ns < st->due_ns) {
			st->due_ns = e->expires_ns;
		}
	}
	st->stats.expired += n;
	give_room(d, n);
	return n;
}

/* The entry of the key, used just now; NULL when there is none, or none any more. */
struct rl_entry *rl_stripe_find(struct rl_dictop *op)
{
	struct rl_stripe *st = op->stripe;
	struct rl_entry *e = st->slots[op->hash & (st->slots_len - 1)];
	while (e && (e->hash != op->hash || e->key_len != op->at->len
			|| memcmp(e->key, op->at->key, op->at->len) != 0))
		e = e->next;
	if (!e)
		return NULL;
	if (e->expires_ns <= op->at->now_ns) {
		rl_stripe_remove(op, e);
		st->stats.expired++;
		return NULL;
	}
	if (op->d->evict && st->used.prev != &e->link) {
		rl_list_remove(&e->link);
		rl_list_push(&st->used, &e->link);
	}
	return e;
}

/* Free the room of an entry of a locked stripe, and take it: what was not used for longest goes. */
static bool evict(struct rl_sdict *d, struct rl_stripe *st, int64_t now_ns, struct rl_entry **dead)
{
	struct rl_list *l = d->evict ? rl_list_first(&st->used) : NULL;
	if (!l)
		return false;
	struct rl_entry *e = rl_entry_of(l);
	if (e->expires_ns <= now_ns)
		st->stats.expired++;
	else
		st->stats.evictions++;
	detach(st, e, dead);
	return true;
}

static bool take_free_room(struct rl_sdict *d)
{
	size_t had = atomic_load_explicit(&d->len, memory_order_relaxed);
	while (d->capacity == 0 || had < d->capacity)
		if (atomic_compare_exchange_weak_explicit(&d->len, &had, had + 1,
				memory_order_relaxed, memory_order_relaxed))
			return true;
	return false;
}

/* Room for one more: free, of what has expired, or of what is evicted. */
static bool take_room(struct rl_sdict *d, struct rl_stripe *st, int64_t now_ns,
	struct rl_entry **dead)
{
	if (take_free_room(d))
		return true;
	if (!d->evict && collect(d, st, now_ns, dead) > 0 && take_free_room(d))
		return true;
	return evict(d, st, now_ns, dead);
}

/* The stripe of the key has nothing to give: look at the others. */
static bool take_room_elsewhere(struct rl_sdict *d, const struct rl_stripe *own, int64_t now_ns)
{
	struct rl_entry *dead = NULL;
	bool got = false;
	for (uint32_t i = 1; i < d->stripes_len && !got; i++) {
		struct rl_stripe *st = &d->stripes[((uint32_t)(own - d->stripes) + i) % d->stripes_len];
		pthread_mutex_lock(&st->lock);
		got = take_room(d, st, now_ns, &dead);
		pthread_mutex_unlock(&st->lock);
	}
	bury(dead);
	return got;
}

/* More chains, if there is memory for them. */
static void grow(struct rl_stripe *st)
{
	uint32_t n = 2 * st->slots_len;
	struct rl_entry **slots = calloc(n, sizeof(struct rl_entry *));
	if (!slots)
		return;
	for (struct rl_list *l = st->used.next; l != &st->used; l = l->next) {
		struct rl_entry *e = rl_entry_of(l);
		e->next = slots[e->hash & (n - 1)];
		slots[e->hash & (n - 1)] = e;
	}
	free(st->slots);
	st->slots = slots;
	st->slots_len = n;
}

static struct rl_entry *entry_new(const struct rl_dictop *op)
{
	struct rl_entry *e = malloc(sizeof *e + op->at->len);
	if (!e)
		return NULL;
	memset(e, 0, sizeof *e);
	rl_list_init(&e->link);
	e->expires_ns = RL_NEVER;
	e->hash = op->hash;
	e->key_len = (uint32_t)op->at->len;
	memcpy(e->key, op->at->key, op->at->len);
	return e;
}

static void link_entry(struct rl_stripe *st, struct rl_entry *e)
{
	if (st->len == st->slots_len)
		grow(st);
	struct rl_entry **chain = &st->slots[e->hash & (st->slots_len - 1)];
	e->next = *chain;
	*chain = e;
	rl_list_push(&st->used, &e->link);
	st->len++;
}

/* A new entry for the key, which has none. Who looks for room elsewhere lets go of the lock: then
 * -EAGAIN says that there is room, and that the key may be there by now. */
static int add_entry(struct rl_dictop *op, bool *has_room, struct rl_entry **out)
{
	struct rl_sdict *d = op->d;
	if (!*has_room && !take_room(d, op->stripe, op->at->now_ns, &op->dead)) {
		pthread_mutex_unlock(&op->stripe->lock);
		*has_room = take_room_elsewhere(d, op->stripe, op->at->now_ns);
		pthread_mutex_lock(&op->stripe->lock);
		return *has_room ? -EAGAIN : -ENOSPC;
	}
	*has_room = false;
	struct rl_entry *e = entry_new(op);
	if (!e) {
		give_room(d, 1);
		return -ENOMEM;
	}
	link_entry(op->stripe, e);
	*out = e;
	return 0;
}

int rl_stripe_find_or_add(struct rl_dictop *op, struct rl_entry **out)
{
	bool has_room = false;
	int err;
	do {
		*out = rl_stripe_find(op);
		if (*out) {
			if (has_room)
				give_room(op->d, 1);
			return 1;
		}
		err = add_entry(op, &has_room, out);
	} while (err == -EAGAIN);
	return err;
}

void rl_stripe_expire(struct rl_dictop *op, struct rl_entry *e, int64_t expires_ns)
{
	e->expires_ns = expires_ns < 0 ? RL_NEVER : expires_ns;
	if (expires_ns < 0)
		return;
	if (e->expires_ns < op->stripe->due_ns)
		op->stripe->due_ns = e->expires_ns;
	/* Read by rl_sdict_is_timed, which may be a moment late: that of a get which came earlier. */
	atomic_store_explicit(&op->d->timed, true, memory_order_relaxed);
}

size_t rl_stripe_purge(struct rl_sdict *d, struct rl_stripe *st, int64_t now_ns)
{
	struct rl_entry *dead = NULL;
	pthread_mutex_lock(&st->lock);
	size_t n = collect(d, st, now_ns, &dead);
	pthread_mutex_unlock(&st->lock);
	bury(dead);
	return n;
}

size_t rl_stripe_clear(struct rl_sdict *d, struct rl_stripe *st)
{
	struct rl_entry *dead = NULL;
	size_t n = 0;
	pthread_mutex_lock(&st->lock);
	for (struct rl_list *l = rl_list_first(&st->used); l; l = rl_list_first(&st->used), n++)
		detach(st, rl_entry_of(l), &dead);
	st->due_ns = RL_NEVER;
	give_room(d, n);
	pthread_mutex_unlock(&st->lock);
	bury(dead);
	return n;
}
