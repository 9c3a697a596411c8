/* SPDX-License-Identifier: MIT */
/* Simulated shards: who has a turn and in which order, one clock for all, the end of it all. */
#include "party_probe.h"

#include "rt/conduct.h"

#define MS 1000000

static struct party p;
static unsigned turns_len, turns[PARTY_LOG];

static struct rl_shard *shard(unsigned index)
{
	return &p.member[index].shard;
}

/* As the coroutine of a shard does: into the loop until it is another's turn. */
static void step(void *arg, unsigned index)
{
	struct member *m = &p.member[index];
	CHECK(arg == &p);
	if (turns_len < PARTY_LOG)
		turns[turns_len++] = index;
	int why = rl_shard_loop(&m->shard, &m->brk);
	CHECK_EQ(why, m->shard.closing ? RL_LOOP_DONE : RL_LOOP_PAUSED);
}

static void begin_with(unsigned size, enum rl_ran (*run)(void *self, struct rl_task *t))
{
	memset(&p, 0, sizeof p);
	p.vm.run = run;
	notes_alive = turns_len = 0;
	party_open(&p, size);
	p.fleet->step = step;
	p.fleet->step_arg = &p;
}

static void begin(unsigned size)
{
	begin_with(size, NULL);
}

static void end(void)
{
	party_close(&p);
	CHECK_EQ(notes_alive, 0);
}

/* Until nobody has anything to do at this moment. */
static void settle(void)
{
	for (int i = 0; i < 100 && rl_conduct_round(shard(0)) > 0; i++)
		continue;
	turns_len = 0;
}

static unsigned fired;

static void on_alarm(struct rl_alarm *a)
{
	(void)a;
	fired++;
}

TEST(who_is_awake_has_a_turn_and_who_sleeps_has_none)
{
	begin(3);
	CHECK_EQ(rl_conduct_round(shard(0)), 2);
	CHECK_EQ(turns_len, 2);
	CHECK_EQ(rl_conduct_round(shard(0)), 0);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_QUIET);
	note_send(&p, 0, 2, 5);
	turns_len = 0;
	CHECK_EQ(rl_conduct_round(shard(0)), 1);
	CHECK_EQ(turns[0], 2);
	CHECK_EQ(p.member[2].log[0], 5);
	CHECK_EQ(rl_conduct_round(shard(0)), 0);
	end();
}

TEST(who_has_left_has_no_turn)
{
	begin(3);
	settle();
	rl_fleet_leave(shard(1));
	CHECK_EQ(rl_conduct_round(shard(0)), 0);
	CHECK(!rl_conduct_advance(shard(0)));
	note_send(&p, 0, 1, 0);
	CHECK_EQ(rl_conduct_round(shard(0)), 0);
	end();
}

/* Advance until so many alarms have fired; to the ms, as wheels are coarse. The same everywhere. */
static int64_t advance_to(unsigned n)
{
	for (int i = 0; i < 10 && fired < n; i++) {
		rl_conduct_advance(shard(0));
		rl_shard_turn(shard(0));
		rl_conduct_round(shard(0));
	}
	CHECK_EQ(fired, n);
	int64_t now = rl_os_now(shard(0)->os);
	CHECK_EQ(rl_os_now(shard(1)->os), now);
	CHECK_EQ(rl_os_now(shard(2)->os), now);
	return now - now % MS;
}

TEST(all_clocks_go_to_what_is_due_next_anywhere)
{
	struct rl_alarm a, b, c;
	begin(3);
	int64_t start = rl_shard_now(shard(0));
	fired = 0;
	rl_alarm_init(&a, on_alarm);
	rl_alarm_init(&b, on_alarm);
	rl_alarm_init(&c, on_alarm);
	rl_alarm_set(shard(0), &a, start + 10 * MS);
	rl_alarm_set(shard(1), &b, start + 5 * MS);
	rl_alarm_set(shard(2), &c, start + 3 * MS);
	settle();
	CHECK_EQ(party_state(&p, 1), RL_SEAT_QUIET); /* no task of it lives */
	CHECK_EQ(rl_conduct_next(shard(1)), start + 5 * MS);
	CHECK(rl_conduct_advance(shard(0)));
	CHECK_EQ(advance_to(1), start + 3 * MS);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_QUIET); /* it had no turn */
	CHECK_EQ(advance_to(2), start + 5 * MS);
	CHECK_EQ(advance_to(3), start + 10 * MS);
	CHECK_EQ(rl_conduct_next(shard(0)), -1);
	CHECK(!rl_conduct_advance(shard(0)));
	end();
}

/* The order of the turns of 4 shards that are all awake, as a number. */
static unsigned order_of(uint64_t seed)
{
	begin(5);
	p.fleet->seed = seed;
	CHECK_EQ(rl_conduct_round(shard(0)), 4);
	unsigned order = 0;
	for (unsigned i = 0; i < turns_len; i++)
		order = order * 10 + turns[i];
	end();
	return order;
}

TEST(the_order_of_turns_is_the_seeds)
{
	unsigned others = 0;
	for (uint64_t seed = 1; seed < 20; seed++) {
		CHECK_EQ(order_of(seed), order_of(seed));
		others += order_of(seed) != order_of(seed + 1);
	}
	CHECK(others > 10);
}

/* Whole runs. */

static uint64_t history; /* a hash of what happened when and where */
static unsigned hops_left;

static void hop_deliver(struct rl_shard *s, struct rl_msg *m)
{
	party_task(s->vm.self, m);
}

/* Sleeps, then sends its message to another shard. */
static enum rl_ran hop_run(void *self, struct rl_task *t)
{
	struct member *m = self;
	struct rl_msg *msg = m->work[t->slot];
	int64_t now = rl_shard_now(&m->shard);
	t->state = RL_TASK_RUNNING;
	history = (history ^ (uint64_t)now ^ m->shard.index) * 0x100000001b3;
	if (t->raises++ == 0) {
		int64_t until = now + (int64_t)rl_rand_below(&m->rand, 3) * MS;
		rl_wait_park(&m->shard, t, RL_REASON_SLEEP, until);
		return RL_RAN_PARKED;
	}
	if (hops_left > 0) {
		hops_left--;
		rl_fleet_send(&m->shard, (unsigned)rl_rand_below(&m->rand, p.size), msg);
	} else {
		note_drop(msg);
	}
	return RL_RAN_ENDED;
}

static uint64_t history_of(uint64_t seed)
{
	begin_with(4, hop_run);
	p.fleet->seed = seed;
	history = 0;
	hops_left = 1000;
	for (unsigned i = 0; i < 10; i++) {
		struct note *n = malloc(sizeof *n);
		*n = (struct note){.msg = {.deliver = hop_deliver, .drop = note_drop}};
		notes_alive++;
		party_task(&p.member[0], &n->msg);
	}
	int64_t start = rl_shard_now(shard(0));
	CHECK_EQ(rl_shard_loop(shard(0), &p.member[0].brk), RL_LOOP_DONE);
	CHECK_EQ(hops_left, 0);
	for (unsigned i = 1; i < 4; i++)
		CHECK(rl_os_now(shard(i)->os) == rl_os_now(shard(0)->os));
	CHECK(rl_os_now(shard(0)->os) > start + 50 * MS);
	end();
	return history;
}

TEST(a_run_is_over_when_all_is_and_is_the_seeds)
{
	CHECK(history_of(1) == history_of(1));
	CHECK(history_of(1) != history_of(2));
}

static enum rl_ran send_many(void *self, struct rl_task *t)
{
	(void)self;
	(void)t;
	for (unsigned i = 0; i < 5 * RL_RING_SIZE; i++)
		note_send(&p, 0, 1, i);
	return RL_RAN_ENDED;
}

TEST(what_finds_no_room_comes_after_the_others_turn)
{
	begin_with(2, send_many);
	party_task(&p.member[0], NULL);
	CHECK_EQ(rl_shard_loop(shard(0), &p.member[0].brk), RL_LOOP_DONE);
	CHECK_EQ(p.member[1].log_len, 5 * RL_RING_SIZE);
	for (unsigned i = 0; i < 5 * RL_RING_SIZE; i++)
		CHECK_EQ(p.member[1].log[i], i);
	end();
}

static enum rl_ran park_once(void *self, struct rl_task *t)
{
	struct member *m = self;
	t->state = RL_TASK_RUNNING;
	if (t->raises++ > 0)
		return RL_RAN_ENDED;
	rl_wait_park(&m->shard, t, RL_REASON_WAIT, -1);
	return RL_RAN_PARKED;
}

static void wake_task(struct rl_shard *s, struct rl_msg *m)
{
	rl_wait_end(s, rl_task_at(s, 0), 0);
	free(m);
}

TEST(a_deadlock_in_another_shard_is_the_firsts_to_tell)
{
	begin_with(3, park_once);
	party_task(&p.member[2], NULL);
	CHECK_EQ(rl_shard_loop(shard(0), &p.member[0].brk), RL_LOOP_DEADLOCK);
	CHECK_EQ(rl_fleet_pending(p.fleet), 1);
	struct rl_msg *m = malloc(sizeof *m);
	*m = (struct rl_msg){.deliver = wake_task, .drop = party_drop};
	rl_fleet_send(shard(0), 2, m);
	CHECK_EQ(rl_shard_loop(shard(0), &p.member[0].brk), RL_LOOP_DONE);
	end();
}

TEST(who_is_told_to_leave_leaves)
{
	begin(2);
	settle();
	party_end_others(&p.member[0]);
	CHECK_EQ(rl_conduct_round(shard(0)), 1);
	CHECK(shard(1)->closing);
	end();
}

int main(void)
{
	RUN(who_is_awake_has_a_turn_and_who_sleeps_has_none);
	RUN(who_has_left_has_no_turn);
	RUN(all_clocks_go_to_what_is_due_next_anywhere);
	RUN(the_order_of_turns_is_the_seeds);
	RUN(a_run_is_over_when_all_is_and_is_the_seeds);
	RUN(what_finds_no_room_comes_after_the_others_turn);
	RUN(a_deadlock_in_another_shard_is_the_firsts_to_tell);
	RUN(who_is_told_to_leave_leaves);
	return FINISH();
}
