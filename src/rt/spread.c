/* SPDX-License-Identifier: MIT */
/*
 * spread: see spread.h.
 *
 * The giver that finds no room sets `crowded`, then looks at every load once more; a shard takes
 * from its load, then looks at `crowded`. Both are sequentially consistent: one of the two sees the
 * other's word, so nobody waits beside room. Only who clears `crowded` tells the giver.
 */
#include "rt/spread.h"

#include "base/check.h"
#include "base/err.h"
#include "os/sock.h"
#include "rt/listener.h"

#include <stdlib.h>
#include <string.h>

struct handover {
	struct rl_msg msg;
	struct rl_spread *spread;
	int fd;
};

static void spread_free(struct rl_shared *o)
{
	free(o);
}

const struct rl_shared_class rl_spread_class = {"ringlet.spread", spread_free};

struct rl_spread *rl_spread_new(unsigned size, unsigned limit, bool fewest)
{
	size_t bytes = sizeof(struct rl_spread) + size * sizeof(struct rl_spread_seat);
	struct rl_spread *sp = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	if (!sp)
		return NULL;
	memset(sp, 0, bytes);
	rl_shared_init(&sp->shared, &rl_spread_class);
	sp->size = size;
	sp->limit = limit;
	sp->fewest = fewest;
	return sp;
}

/* The giver runs, also when the watchdog has not seen yet that its stall is over. */
static bool is_stalled(const struct rl_shard *s, unsigned index)
{
	const struct rl_seat *seat = &s->fleet->seats[index];
	if (seat->shard == s)
		return false;
	if (atomic_load_explicit(&seat->state, memory_order_relaxed) == RL_SEAT_GONE)
		return true;
	return atomic_load_explicit(&seat->shard->stalled_ns, memory_order_relaxed) != 0;
}

/* The best seat behind the last one; -1: none has room. */
static int choose(struct rl_spread *sp, const struct rl_shard *s, bool stalled_too)
{
	uint32_t least = sp->limit;
	int best = -1;
	for (unsigned i = 1; i <= sp->size; i++) {
		unsigned index = (sp->last + i) % sp->size;
		/* Pairs with the subtraction in rl_spread_ended. */
		uint32_t load = atomic_load_explicit(&sp->seats[index].load, memory_order_seq_cst);
		if (!sp->seats[index].open || load >= least || (!stalled_too && is_stalled(s, index)))
			continue;
		best = (int)index;
		least = load;
		if (!sp->fewest)
			break;
	}
	return best;
}

static int choose_any(struct rl_spread *sp, const struct rl_shard *s)
{
	int index = choose(sp, s, false);
	return index >= 0 ? index : choose(sp, s, true);
}

int rl_spread_pick(struct rl_spread *sp, const struct rl_shard *s)
{
	int index = choose_any(sp, s);
	if (index >= 0)
		return index;
	/* Pairs with the exchange in rl_spread_ended. */
	atomic_store_explicit(&sp->crowded, true, memory_order_seq_cst);
	index = choose_any(sp, s);
	if (index >= 0)
		atomic_store_explicit(&sp->crowded, false, memory_order_relaxed);
	return index;
}

static void handover_drop(struct rl_msg *m)
{
	struct handover *h = rl_container(m, struct handover, msg);
	rl_sock_close_now(NULL, h->fd);
	rl_shared_put(&h->spread->shared);
	free(h);
}

/* Into the inlet of this shard, or nowhere. */
static void arrive(struct rl_spread *sp, unsigned index, int fd)
{
	struct rl_spread_seat *seat = &sp->seats[index];
	if (seat->inlet) {
		rl_listener_feed(seat->inlet, fd);
		return;
	}
	rl_sock_close_now(NULL, fd);
	rl_spread_ended(sp, index);
}

static void handover_deliver(struct rl_shard *s, struct rl_msg *m)
{
	struct handover *h = rl_container(m, struct handover, msg);
	arrive(h->spread, s->index, h->fd);
	rl_shared_put(&h->spread->shared);
	free(h);
}

int rl_spread_give(struct rl_spread *sp, struct rl_shard *s, unsigned to, int fd)
{
	RL_ASSERT(to < sp->size && fd >= 0);
	sp->last = to;
	atomic_fetch_add_explicit(&sp->seats[to].load, 1, memory_order_relaxed);
	if (to == s->index) {
		arrive(sp, to, fd);
		return 0;
	}
	struct handover *h = malloc(sizeof *h);
	if (!h) {
		rl_sock_close_now(NULL, fd);
		atomic_fetch_sub_explicit(&sp->seats[to].load, 1, memory_order_relaxed);
		return -ENOMEM;
	}
	rl_shared_get(&sp->shared);
	*h = (struct handover){.msg = {.deliver = handover_deliver, .drop = handover_drop},
		.spread = sp, .fd = fd};
	rl_fleet_send(s, to, &h->msg);
	return 0;
}

bool rl_spread_ended(struct rl_spread *sp, unsigned index)
{
	uint32_t was = atomic_fetch_sub_explicit(&sp->seats[index].load, 1, memory_order_seq_cst);
	RL_ASSERT(was > 0);
	return atomic_load_explicit(&sp->crowded, memory_order_seq_cst)
		&& atomic_exchange_explicit(&sp->crowded, false, memory_order_seq_cst);
}

void rl_spread_note(struct rl_spread_seat *seat, const struct rl_listener *l,
	const struct rl_spread_counts *counts)
{
	atomic_store_explicit(&seat->accepted, l->accepted - l->len, memory_order_relaxed);
	atomic_store_explicit(&seat->waiting, l->len, memory_order_relaxed);
	atomic_store_explicit(&seat->shortages, l->shortages, memory_order_relaxed);
	atomic_store_explicit(&seat->live, counts->live, memory_order_relaxed);
	atomic_store_explicit(&seat->errors, counts->errors, memory_order_relaxed);
	atomic_store_explicit(&seat->refused, counts->refused, memory_order_relaxed);
	atomic_store_explicit(&seat->evicted, counts->evicted, memory_order_relaxed);
	atomic_store_explicit(&seat->late, counts->late, memory_order_relaxed);
}
