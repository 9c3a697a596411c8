/* SPDX-License-Identifier: MIT */
/*
 * Jobs: who begins one and when, by hand on the sim backend; then threads that submit, revoke and
 * steal: each job is begun and ended once, or revoked and never begun.
 */
#include "party_probe.h"

enum { MANY = 200 };

static struct party p;
static struct rl_job *jobs[MANY];
static unsigned jobs_len, ended;

/* Logs the number and ends it. */
static void begin_and_end(void *self, struct rl_job *job)
{
	struct member *m = self;
	if (m->log_len < PARTY_LOG)
		m->log[m->log_len] = (unsigned)(uintptr_t)job->self;
	m->log_len++;
	job->ok = true;
	rl_job_end(&m->shard, job);
}

static void count_ended(void *self, struct rl_job *job)
{
	struct member *m = self;
	CHECK_EQ(job->origin, m->shard.index);
	CHECK(job->ok);
	ended++;
}

static void begin(unsigned size)
{
	memset(&p, 0, sizeof p);
	p.vm = (struct rl_vm){.job_begin = begin_and_end, .job_ended = count_ended};
	jobs_len = ended = 0;
	party_open(&p, size);
}

/* Everything goes; that nothing is lost is for the address sanitizer to say. */
static void end(void)
{
	party_close(&p);
	for (unsigned i = 0; i < jobs_len; i++)
		rl_job_put(jobs[i]);
}

static struct rl_shard *shard(unsigned index)
{
	return &p.member[index].shard;
}

/* The next job, which has a number from 1, and a parcel. */
static struct rl_job *new_job(unsigned index)
{
	struct rl_job *job = rl_job_new(shard(index), rl_parcel_new(10, 0));
	jobs[jobs_len++] = job;
	job->self = (void *)(uintptr_t)jobs_len;
	return job;
}

static void submit(unsigned index, unsigned n)
{
	for (; n > 0; n--)
		rl_job_submit(shard(index), new_job(index));
}

static void check_begun(unsigned index, unsigned n, const unsigned *numbers)
{
	CHECK_EQ(p.member[index].log_len, n);
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(p.member[index].log[i], numbers[i]);
}

#define CHECK_BEGUN(index, ...) \
	check_begun(index, sizeof (unsigned[]){__VA_ARGS__} / sizeof(unsigned), \
		(unsigned[]){__VA_ARGS__})

TEST(the_newest_of_the_own_deque_begins)
{
	begin(1);
	submit(0, 3);
	CHECK(rl_job_take_near(shard(0)));
	CHECK(rl_job_take(shard(0)));
	CHECK(rl_job_take(shard(0)));
	CHECK(!rl_job_take(shard(0)));
	CHECK_BEGUN(0, 3, 2, 1);
	CHECK_EQ(ended, 0);
	CHECK_EQ(party_turn(&p, 0), 3);
	CHECK_EQ(ended, 3);
	CHECK_EQ(atomic_load(&p.fleet->seats[0].started), 3);
	end();
}

TEST(what_finds_the_deque_full_is_injected_in_order)
{
	begin(2);
	submit(0, RL_DEQUE_SIZE + 3);
	CHECK_EQ(atomic_load(&p.fleet->injected_len), 3);
	while (rl_job_take_near(shard(0)))
		continue;
	CHECK_BEGUN(0, 4, 3, 2, 1, 5, 6, 7);
	CHECK_EQ(atomic_load(&p.fleet->injected_len), 0);
	end();
}

/* How many are begun until that one has, when one comes for each that goes. */
static unsigned takes_until(unsigned number)
{
	struct member *m = &p.member[0];
	for (unsigned n = 1; n < 100; n++) {
		m->log_len = 0;
		rl_job_take_near(&m->shard);
		if (m->log[0] == number)
			return n;
		submit(0, 1);
	}
	return 0;
}

TEST(the_oldest_of_the_own_deque_does_not_starve)
{
	begin(1);
	submit(0, 2);
	unsigned n = takes_until(1);
	CHECK(n > 20 && n <= 61);
	end();
}

TEST(an_injected_one_does_not_starve)
{
	begin(1);
	submit(0, RL_DEQUE_SIZE + 1);
	unsigned n = takes_until(RL_DEQUE_SIZE + 1);
	CHECK(n > 20 && n <= 61);
	end();
}

TEST(a_revoked_one_never_begins)
{
	begin(2);
	submit(0, RL_DEQUE_SIZE + 2);
	for (unsigned i = 1; i < RL_DEQUE_SIZE + 2; i++)
		CHECK(rl_job_revoke(jobs[i]));
	CHECK(!rl_job_revoke(jobs[1]));
	CHECK(rl_job_take_near(shard(0))); /* past those in front of it */
	CHECK_BEGUN(0, 1);
	CHECK(!rl_job_revoke(jobs[0]));
	CHECK_EQ(atomic_load(&jobs[0]->runner), 0);
	CHECK(!rl_job_take(shard(0)));
	CHECK(!rl_job_is_any(shard(0)));
	CHECK_EQ(atomic_load(&p.fleet->seats[0].started), 1);
	CHECK_EQ(party_turn(&p, 0), 1);
	CHECK_EQ(ended, 1);
	end();
}

TEST(a_thief_takes_the_oldest_and_some_more)
{
	begin(2);
	submit(0, 4);
	CHECK(!rl_job_take_near(shard(1)));
	CHECK(rl_job_take(shard(1)));
	CHECK_BEGUN(1, 1);
	CHECK_EQ(atomic_load(&jobs[0]->runner), 1);
	CHECK_EQ(rl_deque_len(&p.fleet->seats[1].jobs), 1);
	CHECK_EQ(atomic_load(&p.fleet->seats[1].steals), 1);
	while (rl_job_take(shard(1)))
		continue;
	CHECK_BEGUN(1, 1, 2, 3, 4);
	CHECK_EQ(party_turn(&p, 0), 4);
	CHECK_EQ(ended, 4);
	end();
}

TEST(without_stealing_all_stay_at_home)
{
	begin(2);
	p.fleet->stealing = false;
	submit(0, RL_DEQUE_SIZE + 2);
	CHECK(!rl_job_is_any(shard(1)));
	CHECK(!rl_job_take(shard(1)));
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_BUSY);
	submit(0, 1);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_QUIET);
	while (rl_job_take(shard(0)))
		CHECK(rl_job_is_any(shard(0)) == (p.member[0].log_len < RL_DEQUE_SIZE + 3));
	CHECK_BEGUN(0, 4, 3, 2, 1, 5, 6, 7);
	end();
}

TEST(a_submission_wakes_one)
{
	begin(3);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 2, false, true), RL_FLEET_SLEEP);
	submit(0, 1);
	CHECK_EQ(party_state(&p, 1), RL_SEAT_AWAKE);
	CHECK_EQ(party_state(&p, 2), RL_SEAT_ASLEEP);
	CHECK_EQ((uint32_t)atomic_load(&p.fleet->active), 3);
	submit(0, 1);
	CHECK_EQ(party_state(&p, 2), RL_SEAT_AWAKE);
	submit(0, 1);
	CHECK_EQ(atomic_load(&p.fleet->seats[0].rings), 2);
	end();
}

TEST(nobody_sleeps_while_there_is_one)
{
	begin(2);
	submit(0, 1);
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_BUSY);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_BUSY);
	CHECK(rl_job_take(shard(1)));
	CHECK_EQ(party_sleep(&p, 1, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_BUSY); /* its end */
	party_turn(&p, 0);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	end();
}

TEST(one_for_a_shard_begins_there)
{
	begin(3);
	rl_job_submit_to(shard(0), new_job(0), 2);
	rl_job_submit_to(shard(0), new_job(0), 2);
	rl_job_submit_to(shard(0), new_job(0), 0);
	CHECK(rl_job_revoke(jobs[1]));
	CHECK(!rl_job_is_any(shard(2)));
	CHECK(!rl_job_take(shard(1)));
	CHECK_EQ(party_turn(&p, 2), 2);
	CHECK_BEGUN(2, 1);
	CHECK_EQ(party_turn(&p, 0), 2);
	CHECK_BEGUN(0, 3);
	CHECK_EQ(party_turn(&p, 0), 1);
	CHECK_EQ(ended, 2);
	end();
}

TEST(what_has_not_begun_goes_with_the_fleet)
{
	begin(2);
	submit(0, RL_DEQUE_SIZE + 2);
	rl_job_submit_to(shard(0), new_job(0), 1);
	submit(1, 2);
	p.fleet->stealing = false;
	submit(0, 2);
	CHECK(rl_job_revoke(jobs[0]));
	end();
}

TEST(one_whose_origin_has_left_ends_for_nobody)
{
	begin(3);
	submit(1, 2);
	rl_job_submit_to(shard(1), new_job(1), 0);
	rl_fleet_leave(shard(1));
	CHECK(rl_job_take(shard(2)));
	CHECK(rl_job_take(shard(2)));
	CHECK_EQ(party_turn(&p, 0), 1);
	CHECK_BEGUN(0, 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(atomic_load(&jobs[i]->refs), 1);
	CHECK_EQ(party_sleep(&p, 2, true, false), RL_FLEET_SLEEP);
	CHECK_EQ(party_sleep(&p, 0, true, false), RL_FLEET_OVER);
	CHECK_EQ(ended, 0);
	end();
}

/* Threads. */

enum { BATCH = 16, ONE_IN = 8, SPILL_ONE_IN = 1024 };

/* What a job is for. All but `got` is its origin's. */
struct load {
	struct torture_item item; /* `got`: how often it was begun */
	unsigned ended;
	bool revoked;
};

static struct load *loads;
static uint32_t share;

/* Most end at once, some in a task. */
static void load_begin(void *self, struct rl_job *job)
{
	struct member *m = self;
	struct load *l = job->self;
	atomic_fetch_add_explicit(&l->item.got, 1, memory_order_relaxed);
	job->ok = true;
	if (rl_rand_below(&m->rand, ONE_IN) == 0)
		sched_yield(); /* to a thief */
	if (rl_rand_below(&m->rand, 4) == 0 && m->shard.live < PARTY_WORK / 2)
		party_task(m, job);
	else
		rl_job_end(&m->shard, job);
}

static void load_ended(void *self, struct rl_job *job)
{
	(void)self;
	((struct load *)job->self)->ended++;
	rl_job_put(job); /* the origin's; whoever calls this has another */
}

static void load_submit(struct member *m, struct load *l)
{
	struct rl_job *job = rl_job_new(&m->shard, rl_parcel_new(8, 0));
	job->self = l;
	uint64_t dice = rl_rand_below(&m->rand, ONE_IN * 4);
	bool wanted = dice % ONE_IN != 0;
	if (!wanted)
		atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
	if (dice % 4 == 1)
		rl_job_submit_to(&m->shard, job, (unsigned)rl_rand_below(&m->rand, p.size));
	else
		rl_job_submit(&m->shard, job);
	if (wanted)
		return;
	l->revoked = rl_job_revoke(job);
	if (l->revoked)
		rl_job_put(job);
	rl_job_put(job);
}

/* The task of a job; or, without one, the one that submits this shard's share. */
static enum rl_ran load_run(void *self, struct rl_task *t)
{
	struct member *m = self;
	t->state = RL_TASK_RUNNING;
	if (m->work[t->slot]) {
		rl_job_end(&m->shard, m->work[t->slot]);
		return RL_RAN_ENDED;
	}
	/* What a deque has room for, and now and then more. */
	bool spill = rl_rand_below(&m->rand, SPILL_ONE_IN) == 0;
	struct rl_deque *own = &rl_fleet_seat(&m->shard)->jobs;
	for (int i = 0; i < BATCH && m->log_len < share; i++)
		if (spill || rl_deque_len(own) < RL_DEQUE_SIZE)
			load_submit(m, &loads[m->shard.index / 2 * share + m->log_len++]);
	if (m->log_len == share)
		return RL_RAN_ENDED;
	t->state = RL_TASK_READY;
	rl_ready_last(&m->shard, t);
	return RL_RAN_PARKED;
}

static void load_go(struct rl_shard *s, struct rl_msg *m)
{
	struct member *me = s->vm.self;
	me->log_len = 0;
	party_task(me, NULL);
	free(m);
}

static void load_all(struct member *m)
{
	for (unsigned i = 0; i < p.size; i += 2) { /* the others have only what they steal */
		struct rl_msg *go = malloc(sizeof *go);
		*go = (struct rl_msg){.deliver = load_go, .drop = party_drop};
		rl_fleet_send(&m->shard, i, go);
	}
	CHECK_EQ(rl_shard_loop(&m->shard, &m->brk), RL_LOOP_DONE);
	uint32_t bad = 0, revoked = 0;
	for (uint32_t i = 0; i < share * (p.size / 2); i++) {
		unsigned once = loads[i].revoked ? 0 : 1;
		revoked += loads[i].revoked;
		bad += atomic_load(&loads[i].item.got) != once || loads[i].ended != once;
	}
	CHECK_EQ(bad, 0);
	CHECK(revoked > 0);
	uint64_t started = 0, steals = 0;
	for (unsigned i = 0; i < p.size; i++) {
		started += atomic_load(&p.fleet->seats[i].started);
		steals += atomic_load(&p.fleet->seats[i].steals);
	}
	CHECK_EQ(started, share * (p.size / 2) - revoked);
	if (!p.fleet->stealing)
		CHECK_EQ(steals, 0);
	else if (p.size == PARTY_MAX)
		CHECK(steals > 0);
}

static void load_among(unsigned size, uint32_t usual, bool stays)
{
	const char *why = party_cannot();
	if (why)
		SKIP(why);
	memset(&p, 0, sizeof p);
	p.vm = (struct rl_vm){.run = load_run, .job_begin = load_begin, .job_ended = load_ended};
	share = torture_count(usual) / (size / 2);
	loads = calloc(share * (size / 2), sizeof *loads);
	p.stays = stays;
	party_run(&p, size, load_all);
	free(loads);
}

TEST(each_is_begun_and_ended_once_by_eight)
{
	load_among(8, 100000, false);
}

TEST(each_is_begun_and_ended_once_by_two)
{
	load_among(2, 20000, false);
}

TEST(each_is_begun_and_ended_once_without_stealing)
{
	load_among(4, 20000, true);
}

int main(void)
{
	RUN(the_newest_of_the_own_deque_begins);
	RUN(what_finds_the_deque_full_is_injected_in_order);
	RUN(the_oldest_of_the_own_deque_does_not_starve);
	RUN(an_injected_one_does_not_starve);
	RUN(a_revoked_one_never_begins);
	RUN(a_thief_takes_the_oldest_and_some_more);
	RUN(without_stealing_all_stay_at_home);
	RUN(a_submission_wakes_one);
	RUN(nobody_sleeps_while_there_is_one);
	RUN(one_for_a_shard_begins_there);
	RUN(what_has_not_begun_goes_with_the_fleet);
	RUN(one_whose_origin_has_left_ends_for_nobody);
	RUN(each_is_begun_and_ended_once_by_eight);
	RUN(each_is_begun_and_ended_once_by_two);
	RUN(each_is_begun_and_ended_once_without_stealing);
	return FINISH();
}
