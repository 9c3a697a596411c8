/* SPDX-License-Identifier: MIT */
/*
 * fleet: see fleet.h.
 *
 * The barrier protocol. Whoever leaves something for another shard (a message in its ring, a job
 * in a deque or the injection queue) first publishes it, then has a full barrier (the
 * read-modify-write of `inbox`; a fence after a job), then looks whether that shard, or any,
 * sleeps. Whoever goes to sleep first publishes that (`sleepers`, then its state), then has a full
 * barrier (a fence), then looks once more at everything that could have been left. One of the two
 * sees the other's word, so nothing is left lying beside a sleeper. Whoever finds one asleep makes
 * it AWAKE by a compare-and-swap; only who succeeds rings, so a sleeper is rung for once, however
 * many messages it gets before it is up, and a submission wakes at most one.
 *
 * The end. `active` counts the seats that may go on by themselves, and never too few of them: a
 * seat stops counting only after it has become QUIET *and then* has found nothing left for it;
 * whoever makes a quiet seat AWAKE, itself included, counts it *before* that can be seen. So a
 * message on its way always has a counted shard at one end. Hence 0 means that nobody runs,
 * nothing is on its way, and no timer or operation is waited for: the run is over, or stuck. It
 * may be counted too often for a moment, by one who then finds it awake: so it is whoever takes
 * the last count away that acts on it. The first seat decides there and then; another wakes the
 * first seat, and is counted meanwhile, so that its own last count is taken away where it looks.
 * What the first reads of the others is of one moment only if nobody was counted meanwhile, which
 * the upper half of `active` tells.
 *
 * Rejected: counting messages sent and received (two counters a message and a four-counter scan,
 * for what a state change that happens anyway tells); one queue of messages for each receiver with
 * a compare-and-swap for each (senders contend for it; with a ring a pair they meet nowhere);
 * ringing for every message (a system call each); a sleeper that is handed its work by its waker
 * (the waker then pays for the search, and the work is late if the sleeper is slow to get up);
 * spinning before sleep without a bound.
 *
 * Invariants: `outbox_mask` has the bits of the lists that are not empty; while one is not, later
 * messages to that shard go behind it. A state is changed from AWAKE by its own shard alone.
 */
#include "rt/fleet.h"

#include "base/check.h"
#include "base/err.h"
#include "rt/job.h"
#include "rt/measure.h"

#include <stdlib.h>
#include <string.h>

#define RL_BATCH 64 /* messages taken at a time */
#define COUNT (((uint64_t)1 << 32) + 1) /* one more, in both halves of `active` */
#define RL_SPIN_NS 10000 /* at most, before a sleep */
#define RL_SPIN_LOOKS 32 /* between two looks at the clock */
#define RL_SPIN_WORTH_NS 50000 /* sleeps that last longer are not worth it */
#define RL_SLEEP_LONG_NS 1000000 /* as long as any for the mean */

static void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static uint64_t bit(unsigned index)
{
	return (uint64_t)1 << index;
}

static unsigned lowest(uint64_t mask)
{
	return (unsigned)__builtin_ctzll(mask);
}

struct rl_fleet *rl_fleet_new(unsigned size)
{
	RL_ASSERT(size > 0 && size <= RL_SHARDS_MAX);
	size_t bytes = sizeof(struct rl_fleet) + size * sizeof(struct rl_seat);
	struct rl_fleet *f = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	if (!f)
		return NULL;
	memset(f, 0, bytes);
	f->size = size;
	f->stealing = true;
	atomic_init(&f->notes_fd, -1);
	pthread_mutex_init(&f->lock, NULL);
	rl_list_init(&f->injected);
	for (unsigned i = 0; i < size; i++) {
		struct rl_seat *seat = &f->seats[i];
		atomic_init(&seat->state, RL_SEAT_EMPTY);
		rl_deque_init(&seat->jobs);
		rl_list_init(&seat->spilt);
		for (unsigned k = 0; k < size; k++)
			rl_list_init(&seat->outbox[k]);
	}
	return f;
}

static void drop_list(struct rl_list *head)
{
	for (struct rl_list *l = rl_list_pop(head); l; l = rl_list_pop(head)) {
		struct rl_msg *m = rl_container(l, struct rl_msg, link);
		m->drop(m);
	}
}

static void drop_seat(struct rl_fleet *f, struct rl_seat *seat)
{
	for (unsigned i = 0; i < f->size; i++) {
		struct rl_spsc *ring = atomic_load_explicit(&seat->from[i], memory_order_acquire);
		void *m;
		while (ring && rl_spsc_pop(ring, &m))
			((struct rl_msg *)m)->drop(m);
		rl_spsc_free(ring);
		drop_list(&seat->outbox[i]);
	}
	rl_measure_put(seat->measure);
}

void rl_fleet_free(struct rl_fleet *f)
{
	if (!f)
		return;
	rl_job_drop_all(f);
	for (unsigned i = 0; i < f->size; i++)
		drop_seat(f, &f->seats[i]);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void rl_fleet_join(struct rl_fleet *f, unsigned index, struct rl_shard *s)
{
	struct rl_seat *seat = &f->seats[index];
	RL_ASSERT(index < f->size && !s->fleet);
	s->fleet = f;
	s->index = index;
	seat->shard = s;
	seat->measure = rl_measure_get(s->measure);
	seat->clock_ns = s->now_ns;
	seat->job_ns = 1000000000; /* until it is known better */
	rl_rand_seed(&seat->rand, s->os->ops->random(s->os));
	if (index == 0)
		f->seed = s->os->ops->random(s->os);
	RL_ADD(&f->active, COUNT, relaxed);
	/* Pairs with the acquire of who sends: it then finds the shard and its seam. */
	RL_STORE(&seat->state, RL_SEAT_AWAKE, release);
}

/* Make a seat AWAKE that is not, counted before that can be seen. True for who did it. Whoever
 * calls this for another's seat is counted itself: what it takes back is not the last count. */
static bool rouse(struct rl_fleet *f, struct rl_seat *seat)
{
	uint64_t state = RL_LOAD(&seat->state, seq_cst);
	if (state != RL_SEAT_ASLEEP && state != RL_SEAT_QUIET)
		return false;
	bool quiet = state == RL_SEAT_QUIET;
	if (quiet)
		RL_ADD(&f->active, COUNT, seq_cst);
	bool done = RL_CAS(&seat->state, &state, RL_SEAT_AWAKE, seq_cst);
	if (done)
		RL_SUB(&f->sleepers, 1, relaxed);
	else if (quiet)
		RL_SUB(&f->active, 1, seq_cst);
	return done;
}

/* Wake the shard of a seat if it sleeps. True for who did it. */
static bool wake(struct rl_shard *s, unsigned to)
{
	struct rl_seat *seat = &s->fleet->seats[to];
	if (!rouse(s->fleet, seat))
		return false;
	rl_fleet_count(&rl_fleet_seat(s)->rings);
	s->os->ops->bell(s->os, seat->shard->os);
	return true;
}

/* Take a count away; returns what is left. */
static uint64_t uncount(struct rl_fleet *f)
{
	/* Pairs with itself: the last sees what all have published. */
	return RL_SUB(&f->active, 1, seq_cst) - 1;
}

static bool is_nobody(uint64_t active)
{
	return (uint32_t)active == 0;
}

/* This seat, not the first, took the last count away: the first has to look. If it did so while it
 * was awake in between, and saw us counted, it has to look again. */
static void tell_first(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	do {
		RL_ADD(&f->active, COUNT, seq_cst);
		wake(s, 0);
	} while (is_nobody(uncount(f)) && rl_fleet_is_taken(&f->seats[0]));
}

void rl_fleet_leave(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	if (!f)
		return;
	struct rl_seat *seat = rl_fleet_seat(s);
	for (unsigned i = 0; i < f->size; i++)
		drop_list(&seat->outbox[i]);
	seat->outbox_mask = 0;
	rouse(f, seat);
	atomic_store_explicit(&seat->pending, 0, memory_order_relaxed);
	atomic_store_explicit(&seat->live, 0, memory_order_relaxed);
	RL_STORE(&seat->open, false, relaxed);
	RL_STORE(&seat->state, RL_SEAT_GONE, release);
	if (is_nobody(uncount(f)) && s->index > 0)
		tell_first(s);
	s->fleet = NULL;
}

/* The ring from one shard to another; NULL when there is no memory for it. */
static struct rl_spsc *ring_to(struct rl_seat *seat, unsigned from)
{
	struct rl_spsc *ring = atomic_load_explicit(&seat->from[from], memory_order_relaxed);
	if (!ring) {
		ring = rl_spsc_new(RL_RING_SIZE);
		/* Pairs with the acquire in take_from, and with the `inbox` that tells of it. */
		atomic_store_explicit(&seat->from[from], ring, memory_order_release);
	}
	return ring;
}

static bool push(struct rl_shard *s, unsigned to, struct rl_msg *m)
{
	struct rl_seat *seat = &s->fleet->seats[to];
	struct rl_spsc *ring = ring_to(seat, s->index);
	if (!ring || !rl_spsc_push(ring, m))
		return false;
	RL_OR(&seat->inbox, bit(s->index), seq_cst);
	return true;
}

/* A ring that nobody empties would keep its sender awake for ever. */
static bool has_left(const struct rl_shard *s, unsigned to)
{
	const struct rl_seat *seat = &s->fleet->seats[to];
	return RL_LOAD(&seat->state, relaxed) == RL_SEAT_GONE;
}

void rl_fleet_send(struct rl_shard *s, unsigned to, struct rl_msg *m)
{
	struct rl_seat *own = rl_fleet_seat(s);
	rl_fleet_count(&own->sent);
	if (has_left(s, to)) {
		m->drop(m);
		return;
	}
	if ((own->outbox_mask & bit(to)) || !push(s, to, m)) {
		rl_list_init(&m->link);
		rl_list_push(&own->outbox[to], &m->link);
		own->outbox_mask |= bit(to);
	}
	wake(s, to);
}

void rl_fleet_wake_one(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	/* After what was left for others, before looking who sleeps. */
	RL_FENCE(seq_cst); /* pairs with the one in rl_fleet_sleep */
	if (RL_LOAD(&f->sleepers, relaxed) == 0)
		return;
	for (unsigned i = 1; i < f->size; i++)
		if (wake(s, (s->index + i) % f->size))
			return;
}

/* From a thread that has no seam of its own. */
static bool wake_plainly(struct rl_fleet *f, unsigned to)
{
	if (!rouse(f, &f->seats[to]))
		return false;
	struct rl_os *os = f->seats[to].shard->os;
	os->ops->wake(os);
	return true;
}

void rl_fleet_relieve(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	if (!f || !f->stealing || rl_deque_len(&rl_fleet_seat(s)->jobs) == 0
		|| RL_LOAD(&f->sleepers, relaxed) == 0)
		return;
	/* The shard may become quiet meanwhile, and this thread is none that is counted. */
	RL_ADD(&f->active, COUNT, seq_cst);
	for (unsigned i = 1; i < f->size; i++)
		if (wake_plainly(f, (s->index + i) % f->size))
			break;
	while (is_nobody(uncount(f)) && rl_fleet_is_taken(&f->seats[0])) {
		RL_ADD(&f->active, COUNT, seq_cst);
		wake_plainly(f, 0);
	}
}

/* Send what found no room before, as far as there is room now. */
static void retry_outbox(struct rl_shard *s, struct rl_seat *own)
{
	for (uint64_t mask = own->outbox_mask; mask; mask &= mask - 1) {
		unsigned to = lowest(mask);
		struct rl_list *box = &own->outbox[to];
		if (has_left(s, to))
			drop_list(box);
		struct rl_list *l = rl_list_first(box);
		for (; l; l = rl_list_first(box)) {
			rl_list_remove(l);
			if (!push(s, to, rl_container(l, struct rl_msg, link))) {
				rl_list_push_front(box, l);
				break;
			}
		}
		if (!l)
			own->outbox_mask &= ~bit(to);
		wake(s, to);
	}
}

static unsigned take_from(struct rl_shard *s, struct rl_seat *own, unsigned from)
{
	struct rl_spsc *ring = atomic_load_explicit(&own->from[from], memory_order_acquire);
	void *batch[RL_BATCH];
	unsigned n = 0;
	/* What is sent while we deliver is for the next turn: its sender has set our bit again. */
	for (unsigned left = ring ? rl_spsc_len(ring) : 0; left > n;) {
		unsigned max = left - n < RL_BATCH ? left - n : RL_BATCH;
		unsigned got = rl_spsc_pop_many(ring, batch, max);
		for (unsigned i = 0; i < got; i++) {
			struct rl_msg *m = batch[i];
			m->deliver(s, m);
		}
		n += got;
	}
	return n;
}

unsigned rl_fleet_turn(struct rl_shard *s)
{
	struct rl_seat *own = rl_fleet_seat(s);
	unsigned n = 0;
	if (own->outbox_mask)
		retry_outbox(s, own);
	if (!RL_LOAD(&own->inbox, relaxed))
		return 0;
	uint64_t mask = RL_SWAP(&own->inbox, 0, seq_cst);
	for (; mask; mask &= mask - 1)
		n += take_from(s, own, lowest(mask));
	return n;
}

/* What others may ask about this shard while it sleeps. */
static void publish(struct rl_shard *s, struct rl_seat *own, bool open)
{
	/* Release: who reads them and then `active` sees that this shard has been counted. */
	atomic_store_explicit(&own->pending, s->live - s->daemons + s->holds, memory_order_release);
	atomic_store_explicit(&own->live, s->live, memory_order_relaxed);
	RL_STORE(&own->open, open, release);
}

static bool any_open(const struct rl_fleet *f)
{
	for (unsigned i = 0; i < f->size; i++)
		if (RL_LOAD(&f->seats[i].open, acquire))
			return true;
	return false;
}

/* All are quiet. */
static enum rl_fleet_sleep verdict(const struct rl_fleet *f)
{
	if (rl_fleet_pending(f) == 0)
		return RL_FLEET_OVER;
	return any_open(f) ? RL_FLEET_SLEEP : RL_FLEET_STUCK;
}

/* What has come since the last turn began: a poll in it may have consumed the wake-up for it. */
static bool has_more(const struct rl_shard *s)
{
	return rl_fleet_has_mail(s) || rl_job_is_any(s) || rl_shard_is_nudged(s);
}

/* With nobody to be woken by. */
static enum rl_fleet_sleep sleep_alone(struct rl_shard *s, bool quiet)
{
	if (has_more(s))
		return RL_FLEET_BUSY;
	return quiet ? verdict(s->fleet) : RL_FLEET_SLEEP;
}

/* This seat was the last to become quiet; `active` was what it left. */
static enum rl_fleet_sleep settle(struct rl_shard *s, uint64_t active)
{
	if (s->index > 0) {
		tell_first(s);
		return RL_FLEET_SLEEP;
	}
	enum rl_fleet_sleep end = verdict(s->fleet);
	if (RL_LOAD(&s->fleet->active, acquire) != active)
		end = RL_FLEET_BUSY; /* one was woken by its timer while we looked */
	if (end != RL_FLEET_SLEEP)
		rl_fleet_awake(s);
	return end;
}

enum rl_fleet_sleep rl_fleet_sleep(struct rl_shard *s, bool quiet, bool open)
{
	struct rl_fleet *f = s->fleet;
	struct rl_seat *own = rl_fleet_seat(s);
	if (own->outbox_mask)
		return RL_FLEET_CROWDED;
	publish(s, own, open);
	if (f->size == 1)
		return sleep_alone(s, quiet);
	RL_ADD(&f->sleepers, 1, relaxed);
	/* Release: as that of rl_fleet_join, for who reads this one. */
	RL_STORE(&own->state, quiet ? RL_SEAT_QUIET : RL_SEAT_ASLEEP, release);
	RL_FENCE(seq_cst); /* pairs with push's swap of `inbox`, and the fence in wake_one */
	if (has_more(s)) {
		/* Counted by who made it awake, so the old count is not the last. */
		rouse(f, own);
		if (quiet)
			uncount(f);
		return RL_FLEET_BUSY;
	}
	uint64_t active = quiet ? uncount(f) : COUNT;
	return is_nobody(active) ? settle(s, active) : RL_FLEET_SLEEP;
}

static void note_sleep(struct rl_seat *own, int64_t ns)
{
	own->asleep_ns += ((ns < RL_SLEEP_LONG_NS ? ns : RL_SLEEP_LONG_NS) - own->asleep_ns) / 4;
}

void rl_fleet_slept(struct rl_shard *s, int64_t from_ns)
{
	bool mail = rl_fleet_has_mail(s);
	note_sleep(rl_fleet_seat(s), mail ? s->now_ns - from_ns : RL_SLEEP_LONG_NS);
}

/* A sleep that no message ended counts as a long one: for the kernel's completions there is nothing
 * to gain. Being woken costs the other shard a system call and this one its time to get up: after
 * short sleeps the next one is likely to be short, too. For messages alone: jobs to steal are worth
 * a wake when there are enough of them, and who submits them sees to that. */
static bool is_worth_spinning(const struct rl_shard *s)
{
	const struct rl_fleet *f = s->fleet;
	unsigned sleepers = RL_LOAD(&f->sleepers, relaxed);
	return f->size > 1 && f->size - sleepers <= f->cpus
		&& rl_fleet_seat(s)->asleep_ns < RL_SPIN_WORTH_NS;
}

bool rl_fleet_spin(struct rl_shard *s)
{
	if (!is_worth_spinning(s))
		return false;
	int64_t from_ns = rl_os_now(s->os), now_ns = from_ns;
	while (now_ns - from_ns < RL_SPIN_NS && (s->due_ns < 0 || now_ns < s->due_ns)) {
		for (int i = 0; i < RL_SPIN_LOOKS; i++) {
			if (rl_fleet_has_mail(s) || rl_os_ready(s->os)) {
				note_sleep(rl_fleet_seat(s), now_ns - from_ns);
				return true;
			}
			spin_pause();
		}
		now_ns = rl_os_now(s->os);
	}
	return false;
}

void rl_fleet_awake(struct rl_shard *s)
{
	rouse(s->fleet, rl_fleet_seat(s));
}

unsigned rl_fleet_pending(const struct rl_fleet *f)
{
	unsigned n = 0;
	for (unsigned i = 0; i < f->size; i++)
		n += atomic_load_explicit(&f->seats[i].pending, memory_order_acquire);
	return n;
}

unsigned rl_fleet_live(const struct rl_fleet *f)
{
	unsigned n = 0;
	for (unsigned i = 0; i < f->size; i++)
		n += atomic_load_explicit(&f->seats[i].live, memory_order_relaxed);
	return n;
}
