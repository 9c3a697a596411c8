/* SPDX-License-Identifier: MIT */
/*
 * Tickets: exactly one party ends a wait, wherever it is; what it brings comes home or is dropped;
 * and no list keeps a waiter whose wait is over.
 */
#include "fleet_probe.h"

#include <sched.h>

#define ROUNDS 25000 /* of each of the tasks that wait, or more: until each way to end was met */
#define WAITERS 4
#define PATIENCE_NS 20000000000

struct box {
	struct rl_shared shared;
	pthread_mutex_t lock;
	struct rl_list waiters;
	int freed;
};

static void box_free(struct rl_shared *o)
{
	rl_container(o, struct box, shared)->freed++;
}

static const struct rl_shared_class box_class = {"box", box_free};

static struct box boxes[2], cargo;
static struct rl_waitq local;

static void box_init(struct box *b)
{
	memset(b, 0, sizeof *b);
	rl_shared_init(&b->shared, &box_class);
	pthread_mutex_init(&b->lock, NULL);
	rl_list_init(&b->waiters);
}

static void world_init(void)
{
	box_init(&boxes[0]);
	box_init(&boxes[1]);
	box_init(&cargo);
	rl_waitq_init(&local);
}

static void box_leave(struct rl_waiter *w)
{
	struct box *b = rl_container(w->object, struct box, shared);
	pthread_mutex_lock(&b->lock);
	rl_list_remove(&w->link);
	pthread_mutex_unlock(&b->lock);
}

static void box_link(struct box *b, struct rl_waiter *w)
{
	pthread_mutex_lock(&b->lock);
	rl_list_push(&b->waiters, &w->link);
	pthread_mutex_unlock(&b->lock);
}

/* Take the first waiter that can be had, with something for it. */
static struct rl_waiter *box_take(struct box *b)
{
	struct rl_waiter *w = NULL;
	pthread_mutex_lock(&b->lock);
	struct rl_list *l = rl_list_pop(&b->waiters);
	if (l && rl_waiter_claim(rl_container(l, struct rl_waiter, link))) {
		w = rl_container(l, struct rl_waiter, link);
		w->value.kind = RL_VALUE_SHARED;
		w->value.shared = rl_shared_get(&cargo.shared);
	}
	pthread_mutex_unlock(&b->lock);
	return w;
}

static bool is_waiting(struct box *b, const struct rl_task *t)
{
	bool found = false;
	pthread_mutex_lock(&b->lock);
	for (struct rl_list *l = b->waiters.next; l != &b->waiters; l = l->next)
		found |= rl_container(l, struct rl_waiter, link)->ticket->due.task == t;
	pthread_mutex_unlock(&b->lock);
	return found;
}

/* Wait for both boxes, as cases 1 and 2, and for the local queue, as case 3. */
static void wait_for_all(struct member *m, struct rl_task *t, int64_t deadline_ns)
{
	struct rl_ticket *k = rl_ticket_open(&m->shard, t);
	for (unsigned i = 0; i < 2; i++) {
		struct rl_waiter *w = rl_waiter_add(&m->shard, k, &boxes[i].shared, i + 1, box_leave);
		box_link(&boxes[i], w);
	}
	rl_wait_add(t, &local, 3, 0);
	rl_wait_park_shared(&m->shard, k, RL_REASON_SELECT, deadline_ns);
}

static enum rl_ran wait_once(struct member *m, struct rl_task *t)
{
	if (t->raises++ > 0)
		return RL_RAN_ENDED;
	wait_for_all(m, t, rl_shard_now(&m->shard) + 3600000000000LL);
	return RL_RAN_PARKED;
}

static int arrivals;

static void count_arrival(struct member *m, struct rl_task *t, struct rl_waiter *w)
{
	(void)m;
	CHECK_EQ(t->fired, w->index);
	CHECK(w->value.shared == &cargo.shared);
	arrivals++;
}

/* Two shards turned by hand; a task of the first waits. */
static struct rl_task *parked(struct members *all)
{
	world_init();
	arrivals = 0;
	members_open(all, 2, wait_once);
	all->at[0].arrived = count_arrival;
	struct rl_task *t = rl_task_new(&all->at[0].shard, 0);
	rl_shard_turn(&all->at[0].shard);
	CHECK_EQ(t->state, RL_TASK_PARKED_SHARED);
	CHECK(is_waiting(&boxes[0], t) && is_waiting(&boxes[1], t));
	return t;
}

static void check_over(struct members *all, int want_arrivals)
{
	struct rl_shard *s = &all->at[0].shard;
	rl_shard_turn(s);
	CHECK_EQ(s->live, 0);
	CHECK_EQ(arrivals, want_arrivals);
	CHECK(rl_list_empty(&boxes[0].waiters) && rl_list_empty(&boxes[1].waiters));
	CHECK(rl_list_empty(&local.waiters));
	CHECK_EQ(rl_wheel_len(s->deadlines), 0);
	members_close(all);
	/* What was carried, and what was waited for, have only the references of this test. */
	CHECK_EQ(atomic_load(&cargo.shared.refs), 1);
	CHECK_EQ(atomic_load(&boxes[0].shared.refs), 1);
	CHECK_EQ(atomic_load(&boxes[1].shared.refs), 1);
}

TEST(another_shard_ends_a_wait_and_the_siblings_leave)
{
	struct members all;
	struct rl_task *t = parked(&all);
	rl_waiter_fire(&all.at[1].shard, box_take(&boxes[1]));
	CHECK_EQ(t->state, RL_TASK_PARKED_SHARED);
	rl_fleet_turn(&all.at[0].shard);
	CHECK_EQ(t->state, RL_TASK_READY);
	CHECK_EQ(t->fired, 2);
	check_over(&all, 1);
}

TEST(the_own_shard_fires_at_once)
{
	struct members all;
	struct rl_task *t = parked(&all);
	rl_waiter_fire(&all.at[0].shard, box_take(&boxes[0]));
	CHECK_EQ(t->state, RL_TASK_READY);
	check_over(&all, 1);
}

TEST(a_deadline_and_a_cancel_that_come_too_late_are_ignored)
{
	struct members all;
	struct rl_task *t = parked(&all);
	struct rl_waiter *w = box_take(&boxes[0]);
	rl_wait_end(&all.at[0].shard, t, -ETIMEDOUT);
	rl_wait_end(&all.at[0].shard, t, -RL_ECANCEL);
	CHECK_EQ(t->state, RL_TASK_PARKED_SHARED);
	rl_waiter_fire(&all.at[1].shard, w);
	rl_fleet_turn(&all.at[0].shard);
	CHECK_EQ(t->fired, 1);
	CHECK_EQ(t->result, 0);
	check_over(&all, 1);
}

TEST(a_deadline_that_comes_first_keeps_others_out)
{
	struct members all;
	struct rl_task *t = parked(&all);
	struct rl_shard *s = &all.at[0].shard;
	s->now_ns += 7200000000000LL;
	rl_wheel_cancel(s->deadlines, &t->deadline->timer);
	rl_wait_end(s, t, -ETIMEDOUT);
	CHECK_EQ(t->result, -ETIMEDOUT);
	CHECK(box_take(&boxes[0]) == NULL);
	CHECK(box_take(&boxes[1]) == NULL);
	check_over(&all, 0);
}

TEST(a_local_clause_claims_before_it_fires)
{
	struct members all;
	struct rl_task *t = parked(&all);
	struct rl_clause *c = rl_waitq_first(&local);
	CHECK(c && c->task == t);
	CHECK(box_take(&boxes[0]) == NULL);
	rl_wait_fire(&all.at[0].shard, c, 0, 0);
	CHECK_EQ(t->fired, 3);
	check_over(&all, 0);
}

TEST(a_local_waker_passes_over_who_is_claimed_elsewhere)
{
	struct members all;
	struct rl_task *t = parked(&all), *next = rl_task_new(&all.at[0].shard, 0);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(next->state, RL_TASK_PARKED_SHARED);
	struct rl_waiter *w = box_take(&boxes[0]);
	CHECK_EQ(rl_waitq_wake(&all.at[0].shard, &local, 0, true), 1);
	CHECK_EQ(next->state, RL_TASK_READY);
	CHECK_EQ(t->state, RL_TASK_PARKED_SHARED);
	rl_waiter_fire(&all.at[1].shard, w);
	check_over(&all, 1);
}

TEST(what_comes_home_to_an_abandoned_task_is_dropped)
{
	struct members all;
	struct rl_task *t = parked(&all);
	struct rl_shard *s = &all.at[0].shard;
	rl_waiter_fire(&all.at[1].shard, box_take(&boxes[0]));
	rl_wait_abandon(s, t);
	rl_task_free(s, t);
	/* The next wait uses the same ticket: what is on its way is not for it. */
	struct rl_task *next = rl_task_new(s, 0);
	rl_shard_turn(s);
	CHECK_EQ(next->state, RL_TASK_PARKED_SHARED);
	CHECK_EQ(arrivals, 0);
	rl_wait_end(s, next, -RL_ECANCEL);
	check_over(&all, 0);
}

TEST(a_ticket_that_was_opened_in_vain_is_closed_by_the_next)
{
	struct members all;
	struct rl_task *t = parked(&all), *next = rl_task_new(&all.at[0].shard, 0);
	struct rl_ticket *k = rl_ticket_open(&all.at[0].shard, next);
	struct rl_waiter *w = rl_waiter_add(&all.at[0].shard, k, &boxes[0].shared, 1, box_leave);
	w->value.kind = RL_VALUE_SHARED;
	w->value.shared = rl_shared_get(&cargo.shared);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(atomic_load(&cargo.shared.refs), 1);
	rl_wait_end(&all.at[0].shard, next, -RL_ECANCEL);
	rl_wait_end(&all.at[0].shard, t, -RL_ECANCEL);
	check_over(&all, 0);
}

TEST(a_shard_that_closes_leaves_no_waiter_behind)
{
	struct members all;
	parked(&all);
	rl_waiter_fire(&all.at[1].shard, box_take(&boxes[0]));
	members_close(&all);
	CHECK(rl_list_empty(&boxes[1].waiters));
	CHECK_EQ(atomic_load(&cargo.shared.refs), 1);
	CHECK_EQ(atomic_load(&boxes[0].shared.refs), 1);
	CHECK_EQ(atomic_load(&boxes[1].shared.refs), 1);
}

/* The race: tasks of the first shard wait, again and again; those of the second take waiters out of
 * the boxes; a deadline in the past, a waker of the local queue and one that cancels race them. */
static struct rl_task *racers[WAITERS];
static unsigned rounds[WAITERS], ended_by[5], claimed;
static atomic_uint racing;
static int64_t race_limit_ns;

enum { BY_BOX, BY_OTHER_BOX, BY_LOCAL, BY_DEADLINE, BY_CANCEL };

static void count_end(struct rl_task *t)
{
	CHECK(!is_waiting(&boxes[0], t) && !is_waiting(&boxes[1], t));
	if (t->fired > 0)
		ended_by[t->fired - 1]++;
	else
		ended_by[t->result == -ETIMEDOUT ? BY_DEADLINE : BY_CANCEL]++;
}

/* The other shard's thread may have been put aside for all that time. */
static bool has_met_all(struct member *m)
{
	bool all = true;
	for (unsigned i = 0; i < 5; i++)
		all = all && ended_by[i] > 0;
	if (!all)
		sched_yield();
	return all || member_now(&m->os) > race_limit_ns;
}

static enum rl_ran race_waiter(struct member *m, struct rl_task *t, unsigned no)
{
	if (rounds[no] > 0)
		count_end(t);
	if (rounds[no] >= ROUNDS && has_met_all(m)) {
		racers[no] = NULL;
		atomic_fetch_sub(&racing, 1);
		return RL_RAN_ENDED;
	}
	rounds[no]++;
	bool short_time = member_random(&m->os) % 4 == 0;
	wait_for_all(m, t, short_time ? m->shard.now_ns : -1);
	return RL_RAN_PARKED;
}

/* To the end of the queue. */
static enum rl_ran again(struct member *m, struct rl_task *t)
{
	rl_ready_last(&m->shard, t);
	return RL_RAN_PARKED;
}

static enum rl_ran race_local(struct member *m, struct rl_task *t)
{
	unsigned what = (unsigned)member_random(&m->os) % 16;
	struct rl_task *victim = what < WAITERS ? racers[what] : NULL;
	if (atomic_load(&racing) == 0)
		return RL_RAN_ENDED;
	if (victim && victim->state == RL_TASK_PARKED_SHARED)
		rl_wait_end(&m->shard, victim, -RL_ECANCEL);
	if (what > 12)
		rl_waitq_wake(&m->shard, &local, 0, what == 13);
	return again(m, t);
}

static enum rl_ran race_remote(struct member *m, struct rl_task *t)
{
	if (atomic_load(&racing) == 0)
		return RL_RAN_ENDED;
	struct rl_waiter *w = box_take(&boxes[member_random(&m->os) % 2]);
	if (w) {
		claimed++;
		rl_waiter_fire(&m->shard, w);
	}
	return again(m, t);
}

static enum rl_ran race(struct member *m, struct rl_task *t)
{
	if (m->index == 1)
		return race_remote(m, t);
	return t->id <= WAITERS ? race_waiter(m, t, (unsigned)t->id - 1) : race_local(m, t);
}

TEST(one_of_all_that_race_ends_a_wait)
{
	struct members all;
	world_init();
	memset(rounds, 0, sizeof rounds);
	memset(ended_by, 0, sizeof ended_by);
	claimed = 0;
	arrivals = 0;
	race_limit_ns = member_now(NULL) + PATIENCE_NS;
	atomic_store(&racing, WAITERS);
	members_open(&all, 2, race);
	all.at[0].arrived = count_arrival;
	for (unsigned i = 0; i < WAITERS; i++)
		racers[i] = rl_task_new(&all.at[0].shard, 0);
	rl_task_new(&all.at[0].shard, 0);
	rl_task_new(&all.at[1].shard, 0);
	members_run(&all);
	CHECK_EQ(ended_by[0] + ended_by[1] + ended_by[2] + ended_by[3] + ended_by[4],
		rounds[0] + rounds[1] + rounds[2] + rounds[3]);
	CHECK_EQ(ended_by[BY_BOX] + ended_by[BY_OTHER_BOX], claimed);
	CHECK_EQ(arrivals, claimed);
	for (unsigned i = 0; i < 5; i++)
		CHECK(ended_by[i] > 0);
	check_over(&all, (int)claimed);
}

int main(void)
{
	RUN(another_shard_ends_a_wait_and_the_siblings_leave);
	RUN(the_own_shard_fires_at_once);
	RUN(a_deadline_and_a_cancel_that_come_too_late_are_ignored);
	RUN(a_deadline_that_comes_first_keeps_others_out);
	RUN(a_local_clause_claims_before_it_fires);
	RUN(a_local_waker_passes_over_who_is_claimed_elsewhere);
	RUN(what_comes_home_to_an_abandoned_task_is_dropped);
	RUN(a_ticket_that_was_opened_in_vain_is_closed_by_the_next);
	RUN(a_shard_that_closes_leaves_no_waiter_behind);
	RUN(one_of_all_that_race_ends_a_wait);
	return FINISH();
}
