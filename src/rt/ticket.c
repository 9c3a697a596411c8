/* SPDX-License-Identifier: MIT */
/*
 * ticket: see ticket.h.
 *
 * The life of a waiter: added (its ticket's alone) -> linked (the object's list has it too) -> left
 * (by its own shard) and freed; or -> claimed (by whoever took it off the list) -> fired (a
 * message) -> home. Between claim and home it is its claimer's, then the message's, also when the
 * task was abandoned meanwhile: then the stamp tells at home that nobody waits for it any more.
 *
 * Invariants: a ticket is put back only after its waiters have left their lists, each under its
 * object's lock, so no thread that finds a waiter on a list meets a ticket of another wait. Stamps
 * are never used twice by a shard. `draft` is the ticket that was opened last, until its task has
 * parked.
 */
#include "rt/ticket.h"

#include "base/check.h"
#include "base/slab.h"
#include "rt/wait.h"

#include <stdlib.h>
#include <string.h>

#define TICKETS_PER_CHUNK 64
#define TICKETS_MAX (1u << 24)
#define SPARE_MAX 64

struct rl_tickets {
	struct rl_slab *slab;
	struct rl_ticket *draft;
	uint64_t stamp;
	struct rl_list spare;        /* waiters to be used again, by their `sibling` */
	unsigned spare_len;
	struct rl_list home;         /* waiters kept until somebody takes what they brought */
};

static struct rl_tickets *tickets_of(struct rl_shard *s)
{
	if (s->tickets)
		return s->tickets;
	struct rl_tickets *all = calloc(1, sizeof *all);
	if (!all)
		return NULL;
	all->slab = rl_slab_new(sizeof(struct rl_ticket), TICKETS_PER_CHUNK, TICKETS_MAX);
	if (!all->slab) {
		free(all);
		return NULL;
	}
	rl_list_init(&all->spare);
	rl_list_init(&all->home);
	s->tickets = all;
	return all;
}

/* The ticket's word while its wait is open. Only its own shard changes the stamp, and only who
 * claims the last bit; neither orders anything: what a waiter says is published by the lock of the
 * object whose list it is on, and comes home in a message. */
static uint64_t word_of(const struct rl_ticket *k)
{
	return atomic_load_explicit(&k->word, memory_order_relaxed);
}

static bool claim(struct rl_ticket *k, uint64_t open)
{
	return atomic_compare_exchange_strong_explicit(&k->word, &open, open | 1,
		memory_order_relaxed, memory_order_relaxed);
}

struct rl_ticket *rl_ticket_open(struct rl_shard *s, struct rl_task *t)
{
	struct rl_tickets *all = tickets_of(s);
	if (!all)
		return NULL;
	if (all->draft)
		rl_ticket_close(s, all->draft);
	uint32_t slot;
	struct rl_ticket *k = rl_slab_get(all->slab, &slot);
	if (!k)
		return NULL;
	rl_timer_init(&k->due.timer);
	k->due.task = t;
	k->due.slot = slot;
	rl_list_init(&k->waiters);
	atomic_store_explicit(&k->word, ++all->stamp << 1, memory_order_relaxed);
	all->draft = k;
	return k;
}

void rl_ticket_parked(struct rl_shard *s, struct rl_ticket *k)
{
	RL_DEBUG_ASSERT(s->tickets->draft == k);
	(void)k;
	s->tickets->draft = NULL;
}

bool rl_ticket_claim(struct rl_ticket *k)
{
	uint64_t word = word_of(k);
	return !(word & 1) && claim(k, word);
}

void rl_ticket_close(struct rl_shard *s, struct rl_ticket *k)
{
	struct rl_tickets *all = s->tickets;
	rl_ticket_claim(k);
	for (struct rl_list *l = rl_list_pop(&k->waiters); l; l = rl_list_pop(&k->waiters)) {
		struct rl_waiter *w = rl_container(l, struct rl_waiter, sibling);
		w->leave(w);
		if (!w->won)
			rl_waiter_free(s, w);
	}
	atomic_store_explicit(&k->word, 0, memory_order_relaxed);
	if (all->draft == k)
		all->draft = NULL;
	rl_slab_put(all->slab, k, k->due.slot);
}

/* On the waiter's shard. */
static void deliver(struct rl_shard *s, struct rl_msg *m)
{
	struct rl_waiter *w = rl_container(m, struct rl_waiter, msg);
	struct rl_ticket *k = w->ticket;
	RL_DEBUG_ASSERT(w->won && s == w->home);
	if (word_of(k) != (w->stamp << 1 | 1)) {
		rl_waiter_free(s, w);
		return;
	}
	struct rl_task *t = k->due.task;
	rl_list_remove(&w->sibling);
	rl_wait_arrive(s, t, w->index, w->code);
	if (s->vm.arrived)
		s->vm.arrived(s->vm.self, t, w);
	else
		rl_waiter_free(s, w);
}

/* On any thread: its shard is gone. */
static void drop(struct rl_msg *m)
{
	struct rl_waiter *w = rl_container(m, struct rl_waiter, msg);
	rl_value_drop(&w->value);
	rl_shared_put(w->object);
	free(w);
}

static struct rl_waiter *take_spare(struct rl_tickets *all)
{
	struct rl_list *l = rl_list_pop(&all->spare);
	if (!l)
		return malloc(sizeof(struct rl_waiter));
	all->spare_len--;
	return rl_container(l, struct rl_waiter, sibling);
}

struct rl_waiter *rl_waiter_add(struct rl_shard *s, struct rl_ticket *k, struct rl_shared *object,
	unsigned index, void (*leave)(struct rl_waiter *w))
{
	struct rl_waiter *w = take_spare(s->tickets);
	if (!w)
		return NULL;
	memset(w, 0, offsetof(struct rl_waiter, text));
	rl_list_init(&w->msg.link);
	w->msg.deliver = deliver;
	w->msg.drop = drop;
	rl_list_init(&w->link);
	w->home = s;
	w->ticket = k;
	w->stamp = word_of(k) >> 1;
	w->object = rl_shared_get(object);
	w->leave = leave;
	w->index = (uint16_t)index;
	w->code = 0;
	w->won = false;
	rl_list_push(&k->waiters, &w->sibling);
	return w;
}

bool rl_waiter_claim(struct rl_waiter *w)
{
	w->won = claim(w->ticket, w->stamp << 1);
	return w->won;
}

void rl_waiter_post(struct rl_shard *from, struct rl_waiter *w)
{
	RL_ASSERT(from->fleet);
	rl_fleet_send(from, w->home->index, &w->msg);
}

void rl_waiter_fire(struct rl_shard *from, struct rl_waiter *w)
{
	RL_DEBUG_ASSERT(rl_list_empty(&w->link));
	if (from == w->home)
		deliver(from, &w->msg);
	else
		rl_waiter_post(from, w);
}

void rl_waiter_fire_all(struct rl_shard *from, struct rl_list *claimed)
{
	for (struct rl_list *l = rl_list_pop(claimed); l; l = rl_list_pop(claimed))
		rl_waiter_fire(from, rl_container(l, struct rl_waiter, link));
}

void rl_waiter_post_all(struct rl_shard *from, struct rl_list *claimed)
{
	for (struct rl_list *l = rl_list_pop(claimed); l; l = rl_list_pop(claimed))
		rl_waiter_post(from, rl_container(l, struct rl_waiter, link));
}

void rl_waiter_keep(struct rl_shard *s, struct rl_waiter *w)
{
	RL_DEBUG_ASSERT(rl_list_empty(&w->sibling));
	rl_list_push(&s->tickets->home, &w->sibling);
}

void rl_waiter_free(struct rl_shard *s, struct rl_waiter *w)
{
	struct rl_tickets *all = s->tickets;
	rl_list_remove(&w->sibling);
	rl_value_drop(&w->value);
	rl_shared_put(w->object);
	if (!all || all->spare_len >= SPARE_MAX) {
		free(w);
		return;
	}
	rl_list_push(&all->spare, &w->sibling);
	all->spare_len++;
}

/* Tasks that still wait are never resumed: the state they belong to is being closed. */
static void close_all(struct rl_shard *s, struct rl_tickets *all)
{
	for (uint32_t i = 0; i < all->slab->used; i++) {
		struct rl_ticket *k = rl_slab_at(all->slab, i);
		if (word_of(k) == 0)
			continue;
		if (k != all->draft)
			k->due.task->deadline = NULL;
		rl_list_remove(&k->due.timer.link);
		rl_ticket_close(s, k);
	}
}

void rl_tickets_free(struct rl_shard *s)
{
	struct rl_tickets *all = s->tickets;
	if (!all)
		return;
	close_all(s, all);
	for (struct rl_list *l = rl_list_first(&all->home); l; l = rl_list_first(&all->home))
		rl_waiter_free(s, rl_container(l, struct rl_waiter, sibling));
	for (struct rl_list *l = rl_list_pop(&all->spare); l; l = rl_list_pop(&all->spare))
		free(rl_container(l, struct rl_waiter, sibling));
	rl_slab_free(all->slab);
	free(all);
	s->tickets = NULL;
}
