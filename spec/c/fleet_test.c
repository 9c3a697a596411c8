/* SPDX-License-Identifier: MIT */
/*
 * Messages between shards, sleeping and waking, and the end: two shards stepped by hand where the
 * order matters, then threads that must find every end once, and no end that is none.
 */
#include "party_probe.h"

static struct party p;

static void begin(unsigned size)
{
	memset(&p, 0, sizeof p);
	notes_alive = 0;
	party_open(&p, size);
}

static void end(void)
{
	party_close(&p);
	CHECK_EQ(notes_alive, 0);
}

static void check_log(unsigned index, unsigned first, unsigned n)
{
	CHECK_EQ(p.member[index].log_len, n);
	for (unsigned i = 0; i < n && i < PARTY_LOG; i++)
		CHECK_EQ(p.member[index].log[i], first + i);
}

static uint64_t rings_of(unsigned index)
{
	return atomic_load(&p.fleet->seats[index].rings);
}

/* How many seats may go on by themselves. */
static unsigned active(void)
{
	return (uint32_t)atomic_load(&p.fleet->active);
}

TEST(messages_arrive_in_the_order_sent)
{
	begin(2);
	for (unsigned i = 0; i < 3; i++)
		note_send(&p, 0, 1, 10 + i);
	note_send(&p, 1, 0, 20);
	CHECK_EQ(party_turn(&p, 1), 3);
	CHECK_EQ(party_turn(&p, 0), 1);
	CHECK_EQ(party_turn(&p, 0), 0);
	check_log(1, 10, 3);
	check_log(0, 20, 1);
	CHECK_EQ(atomic_load(&p.fleet->seats[0].sent), 3);
	end();
}

TEST(what_finds_no_room_waits_in_order_with_the_sender)
{
	begin(2);
	for (unsigned i = 0; i < RL_RING_SIZE + 3; i++)
		note_send(&p, 0, 1, i);
	CHECK_EQ(party_sleep(&p, 0, false, true), RL_FLEET_CROWDED);
	CHECK_EQ(party_state(&p, 0), RL_SEAT_AWAKE);
	CHECK_EQ(party_turn(&p, 0), 0); /* no room yet */
	CHECK_EQ(party_turn(&p, 1), RL_RING_SIZE);
	note_send(&p, 0, 1, RL_RING_SIZE + 3); /* there is room, but not for this one */
	CHECK_EQ(party_turn(&p, 1), 0);
	CHECK(rl_fleet_has_mail(&p.member[0].shard));
	party_turn(&p, 0);
	CHECK(!rl_fleet_has_mail(&p.member[0].shard));
	CHECK_EQ(party_turn(&p, 1), 4);
	check_log(1, 0, RL_RING_SIZE + 4);
	end();
}

TEST(a_crowded_sender_wakes_who_has_room)
{
	begin(2);
	for (unsigned i = 0; i < RL_RING_SIZE + 1; i++)
		note_send(&p, 0, 1, i);
	party_turn(&p, 1);
	CHECK_EQ(party_sleep(&p, 1, false, true), RL_FLEET_SLEEP);
	party_turn(&p, 0);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_AWAKE);
	CHECK_EQ(rings_of(0), 1);
	CHECK_EQ(party_turn(&p, 1), 1);
	end();
}

/* Its answer goes the same way, and that is another turn's. */
static void answer(struct rl_shard *s, struct rl_msg *m)
{
	m->deliver = note_deliver;
	rl_fleet_send(s, s->index, m);
}

TEST(what_is_sent_during_a_turn_is_for_the_next)
{
	begin(2);
	struct note *n = malloc(sizeof *n);
	*n = (struct note){.msg = {.deliver = answer, .drop = note_drop}, .number = 1};
	notes_alive++;
	rl_fleet_send(&p.member[0].shard, 0, &n->msg);
	CHECK_EQ(party_turn(&p, 0), 1);
	CHECK_EQ(p.member[0].log_len, 0);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_BUSY);
	CHECK_EQ(party_turn(&p, 0), 1);
	check_log(0, 1, 1);
	end();
}

TEST(a_sleeper_is_rung_for_once)
{
	begin(2);
	struct rl_os *os = p.member[1].shard.os;
	note_send(&p, 0, 1, 0);
	CHECK_EQ(rings_of(0), 0);
	party_turn(&p, 1);
	CHECK_EQ(party_sleep(&p, 1, false, true), RL_FLEET_SLEEP);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_ASLEEP);
	CHECK_EQ(atomic_load(&p.fleet->sleepers), 1);
	CHECK(!rl_os_ready(os));
	for (unsigned i = 1; i < 4; i++)
		note_send(&p, 0, 1, i);
	CHECK_EQ(rings_of(0), 1);
	CHECK(rl_os_ready(os));
	CHECK_EQ(party_state(&p, 1), RL_SEAT_AWAKE);
	CHECK_EQ(atomic_load(&p.fleet->sleepers), 0);
	rl_fleet_awake(&p.member[1].shard);
	CHECK_EQ(active(), 2);
	CHECK_EQ(party_turn(&p, 1), 3);
	end();
}

TEST(who_has_mail_does_not_sleep)
{
	begin(2);
	for (int quiet = 0; quiet < 2; quiet++) {
		note_send(&p, 0, 1, 0);
		CHECK_EQ(party_sleep(&p, 1, quiet, !quiet), RL_FLEET_BUSY);
		CHECK_EQ(party_state(&p, 1), RL_SEAT_AWAKE);
		CHECK_EQ(active(), 2);
		CHECK_EQ(atomic_load(&p.fleet->sleepers), 0);
		party_turn(&p, 1);
	}
	end();
}

static void hear(void *vm)
{
	(void)vm;
}

/* The wake-up that came with the word may have been taken off the ring by a poll in that turn. */
TEST(who_was_nudged_since_its_turn_began_does_not_sleep)
{
	begin(2);
	struct rl_shard *s = &p.member[1].shard;
	s->vm.nudged = hear;
	atomic_store(&s->nudged, true);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_BUSY);
	CHECK_EQ(party_sleep(&p, 1, false, true), RL_FLEET_BUSY);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_AWAKE);
	atomic_store(&s->nudged, false);
	CHECK_EQ(party_sleep(&p, 1, false, true), RL_FLEET_SLEEP);
	rl_fleet_awake(s);
	end();
}

TEST(over_when_the_others_are_quiet)
{
	begin(3);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 2, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(active(), 1);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	CHECK_EQ(party_state(&p, 0), RL_SEAT_AWAKE);
	CHECK_EQ(active(), 1);
	CHECK_EQ(rings_of(0) + rings_of(1) + rings_of(2), 0);
	end();
}

TEST(the_last_to_become_quiet_wakes_the_first)
{
	begin(3);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_state(&p, 0), RL_SEAT_QUIET);
	CHECK_EQ(party_sleep(&p, 2, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_state(&p, 0), RL_SEAT_AWAKE);
	CHECK(rl_os_ready(p.member[0].shard.os));
	CHECK_EQ(rings_of(1), 0);
	CHECK_EQ(rings_of(2), 1);
	CHECK_EQ(active(), 1);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	end();
}

TEST(not_over_while_one_sleeps_that_is_not_quiet)
{
	begin(2);
	CHECK_EQ(party_sleep(&p, 1, false, true), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_SLEEP);
	rl_fleet_awake(&p.member[1].shard);
	CHECK_EQ(active(), 1);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	end();
}

TEST(a_message_to_a_quiet_shard_counts_it_before_the_sender_is_quiet)
{
	begin(2);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	note_send(&p, 0, 1, 1);
	CHECK_EQ(active(), 2);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_SLEEP);
	rl_fleet_awake(&p.member[1].shard);
	CHECK_EQ(active(), 1);
	party_turn(&p, 1);
	note_send(&p, 1, 0, 2);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_BUSY);
	party_turn(&p, 0);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	end();
}

TEST(stuck_when_tasks_live_and_nothing_is_open)
{
	begin(2);
	struct rl_task *t = rl_task_new(&p.member[1].shard, 0);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_STUCK);
	CHECK_EQ(rl_fleet_pending(p.fleet), 1);
	CHECK_EQ(rl_fleet_live(p.fleet), 1);
	rl_fleet_awake(&p.member[1].shard);
	rl_wait_abandon(&p.member[1].shard, t);
	rl_task_free(&p.member[1].shard, t);
	end();
}

TEST(neither_over_nor_stuck_while_a_daemon_may_go_on)
{
	begin(2);
	p.member[0].shard.holds = 1;
	CHECK_EQ(party_sleep(&p, 1, true, true), RL_FLEET_SLEEP);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_SLEEP);
		CHECK_EQ(active(), 0);
		rl_fleet_awake(&p.member[1].shard); /* by its own timer */
		CHECK_EQ(active(), 1);
		CHECK_EQ(party_sleep(&p, 1, true, i < 2), RL_FLEET_SLEEP);
		CHECK_EQ(party_state(&p, 0), RL_SEAT_AWAKE);
	}
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_STUCK);
	p.member[0].shard.holds = 0;
	end();
}

TEST(daemons_do_not_put_off_the_end)
{
	begin(2);
	CHECK_EQ(party_sleep(&p, 1, true, true), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, true), RL_FLEET_OVER);
	end();
}

TEST(a_fleet_of_one)
{
	begin(1);
	note_send(&p, 0, 0, 5);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_BUSY);
	party_turn(&p, 0);
	check_log(0, 5, 1);
	CHECK_EQ(party_sleep(&p, 0, false, true), RL_FLEET_SLEEP);
	rl_fleet_awake(&p.member[0].shard);
	CHECK_EQ(party_sleep(&p, 0, true, true), RL_FLEET_OVER);
	p.member[0].shard.holds = 1;
	CHECK_EQ(party_sleep(&p, 0, true, true), RL_FLEET_SLEEP);
	rl_fleet_awake(&p.member[0].shard);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_STUCK);
	p.member[0].shard.holds = 0;
	CHECK_EQ(active(), 1);
	end();
}

static void leave(unsigned index)
{
	rl_fleet_leave(&p.member[index].shard);
}

TEST(messages_to_a_shard_that_has_left_are_dropped)
{
	begin(3);
	for (unsigned i = 0; i < RL_RING_SIZE + 2; i++)
		note_send(&p, 0, 1, i);
	CHECK_EQ(notes_alive, RL_RING_SIZE + 2);
	leave(1);
	party_turn(&p, 0);
	CHECK_EQ(notes_alive, RL_RING_SIZE); /* those in the ring go with the fleet */
	note_send(&p, 0, 1, 9);
	CHECK_EQ(notes_alive, RL_RING_SIZE);
	CHECK_EQ(party_sleep(&p, 2, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	end();
}

TEST(what_a_shard_has_sent_that_found_no_room_goes_with_it)
{
	begin(2);
	for (unsigned i = 0; i < RL_RING_SIZE + 2; i++)
		note_send(&p, 1, 0, i);
	leave(1);
	CHECK_EQ(notes_alive, RL_RING_SIZE);
	CHECK_EQ(party_turn(&p, 0), RL_RING_SIZE);
	end();
}

TEST(messages_wait_for_who_comes)
{
	memset(&p, 0, sizeof p);
	p.size = 2;
	p.fleet = rl_fleet_new(2);
	party_shard_open(&p, 0, "sim");
	note_send(&p, 0, 1, 3);
	party_shard_open(&p, 1, "sim");
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_BUSY);
	CHECK_EQ(party_turn(&p, 1), 1);
	check_log(1, 3, 1);
	end();
}

TEST(who_has_left_is_not_waited_for)
{
	begin(2);
	struct rl_shard *s = &p.member[1].shard;
	s->holds = 1;
	CHECK_EQ(party_sleep(&p, 1, false, true), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_SLEEP);
	leave(1);
	CHECK_EQ(party_state(&p, 0), RL_SEAT_AWAKE); /* it was the last to be active */
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	end();
}

/* Threads. */

/* A message that goes from shard to shard, `left` times, and then to the first. */
struct hop {
	struct rl_msg msg;
	unsigned left;
};

/* The first shard's alone. */
static unsigned chains, rounds;
static struct rl_task *waiting;

static void come_home(struct rl_shard *s, struct rl_msg *m)
{
	free(m);
	if (--chains == 0 && waiting)
		rl_wait_end(s, waiting, 0);
}

static void deliver_hop(struct rl_shard *s, struct rl_msg *m);

static void hop_on(struct member *m, struct hop *h)
{
	h->msg.deliver = h->left == 0 ? come_home : deliver_hop;
	unsigned to = h->left == 0 ? 0 : (unsigned)rl_rand_below(&m->rand, m->party->size);
	h->left--;
	rl_fleet_send(&m->shard, to, &h->msg);
}

/* Most go on at once, some in a task, some after a moment. */
static void deliver_hop(struct rl_shard *s, struct rl_msg *m)
{
	struct member *me = s->vm.self;
	struct hop *h = rl_container(m, struct hop, msg);
	if (rl_rand_below(&me->rand, 4) == 0)
		party_task(me, h);
	else
		hop_on(me, h);
}

static enum rl_ran run_hop(void *self, struct rl_task *t)
{
	struct member *m = self;
	struct hop *h = m->work[t->slot];
	t->state = RL_TASK_RUNNING;
	if (!h && chains > 0) { /* the round's own task */
		waiting = t;
		rl_wait_park(&m->shard, t, RL_REASON_WAIT, -1);
		return RL_RAN_PARKED;
	}
	if (h && t->raises++ == 0 && rl_rand_below(&m->rand, 4) == 0) {
		int64_t until = rl_shard_now(&m->shard) + (int64_t)rl_rand_below(&m->rand, 100000);
		rl_wait_park(&m->shard, t, RL_REASON_SLEEP, until);
		return RL_RAN_PARKED;
	}
	if (h)
		hop_on(m, h);
	else
		waiting = NULL;
	return RL_RAN_ENDED;
}

/* Rounds of chains of messages. In every other one a task waits for their end; else nothing lives
 * but the messages. An early end shows as a chain that has not come home. */
static void hop_rounds(struct member *m)
{
	unsigned early = 0, stuck = 0;
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = 1 + (unsigned)rl_rand_below(&m->rand, 6);
		chains = n;
		if (i & 1)
			party_task(m, NULL);
		for (; n > 0; n--) {
			struct hop *h = malloc(sizeof *h);
			*h = (struct hop){.msg = {.drop = party_drop},
				.left = (unsigned)rl_rand_below(&m->rand, 32)};
			hop_on(m, h);
		}
		do {
			int why = rl_shard_loop(&m->shard, &m->brk);
			stuck += why == RL_LOOP_DEADLOCK;
			early += why == RL_LOOP_DONE && chains > 0;
			RL_ASSERT(why == RL_LOOP_DONE || why == RL_LOOP_DEADLOCK);
		} while (chains > 0 || m->shard.live > 0);
	}
	CHECK_EQ(stuck, 0);
	CHECK_EQ(early, 0);
}

static void hop_among(unsigned size)
{
	const char *why = party_cannot();
	if (why)
		SKIP(why);
	memset(&p, 0, sizeof p);
	p.vm = (struct rl_vm){.run = run_hop};
	waiting = NULL;
	rounds = torture_count(1000);
	party_run(&p, size, hop_rounds);
}

TEST(every_end_is_found_once_by_two)
{
	hop_among(2);
}

TEST(every_end_is_found_once_by_four)
{
	hop_among(4);
}

TEST(every_end_is_found_once_by_eight)
{
	hop_among(8);
}

int main(void)
{
	RUN(messages_arrive_in_the_order_sent);
	RUN(what_finds_no_room_waits_in_order_with_the_sender);
	RUN(a_crowded_sender_wakes_who_has_room);
	RUN(what_is_sent_during_a_turn_is_for_the_next);
	RUN(a_sleeper_is_rung_for_once);
	RUN(who_has_mail_does_not_sleep);
	RUN(who_was_nudged_since_its_turn_began_does_not_sleep);
	RUN(over_when_the_others_are_quiet);
	RUN(the_last_to_become_quiet_wakes_the_first);
	RUN(not_over_while_one_sleeps_that_is_not_quiet);
	RUN(a_message_to_a_quiet_shard_counts_it_before_the_sender_is_quiet);
	RUN(stuck_when_tasks_live_and_nothing_is_open);
	RUN(neither_over_nor_stuck_while_a_daemon_may_go_on);
	RUN(daemons_do_not_put_off_the_end);
	RUN(a_fleet_of_one);
	RUN(messages_to_a_shard_that_has_left_are_dropped);
	RUN(what_a_shard_has_sent_that_found_no_room_goes_with_it);
	RUN(messages_wait_for_who_comes);
	RUN(who_has_left_is_not_waited_for);
	RUN(every_end_is_found_once_by_two);
	RUN(every_end_is_found_once_by_four);
	RUN(every_end_is_found_once_by_eight);
	return FINISH();
}
