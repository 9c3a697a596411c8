/* SPDX-License-Identifier: MIT */
/*
 * How shards sleep, are woken and find the end, in every order of a message or a job and of each
 * shard's way to sleep (see interleave.h): nobody sleeps beside what was left for it, and the first
 * says that all is over, or stuck, after everything has been done.
 */
#include "interleave.h"

#include "base/spsc.c"
#include "rt/fleet.c"

enum { SHARDS = 3, ROUNDS = 3, TOLD, LATE, ASLEEP_FOR_EVER };

static struct rl_fleet *fleet;
static struct rl_shard shards[SHARDS];
static struct rl_os oses[SHARDS];
static uint64_t rung[SHARDS], jobs, handled;

/* Jobs as fleet.c knows them: a count. */
bool rl_job_is_any(const struct rl_shard *s)
{
	(void)s;
	return RL_LOAD(&jobs, relaxed) > 0;
}

void rl_job_drop_all(struct rl_fleet *f)
{
	(void)f;
}

static void take_job(void)
{
	uint64_t one = 1;
	if (RL_CAS(&jobs, &one, 0, acq_rel))
		RL_ADD(&handled, 1, relaxed);
}

static void bell(struct rl_os *os, struct rl_os *to)
{
	(void)os;
	RL_ADD(&rung[to - oses], 1, relaxed);
}

static void deliver(struct rl_shard *s, struct rl_msg *m)
{
	(void)s;
	(void)m;
	RL_ADD(&handled, 1, relaxed);
}

static struct rl_msg message = {.deliver = deliver};

static const struct rl_os_ops ops = {.bell = bell};

static void free_fleet(void)
{
	for (unsigned i = 0; fleet && i < fleet->size; i++)
		for (unsigned k = 0; k < fleet->size; k++)
			rl_spsc_free(fleet->seats[i].from[k]);
	free(fleet);
	fleet = NULL;
}

/* All awake. In real memory: this is no part of the search. */
static void init(unsigned size)
{
	free_fleet();
	memset(shards, 0, sizeof shards);
	fleet = rl_fleet_new(size);
	fleet->active = size;
	jobs = handled = 0;
	for (unsigned i = 0; i < size; i++) {
		oses[i].ops = &ops;
		shards[i].os = &oses[i];
		shards[i].fleet = fleet;
		shards[i].index = i;
		fleet->seats[i].shard = &shards[i];
		fleet->seats[i].state = RL_SEAT_AWAKE;
		for (unsigned k = 0; k < size; k++)
			fleet->seats[i].from[k] = rl_spsc_new(1);
		rung[i] = 0;
	}
}

static void init_two(void)
{
	init(2);
}

static void init_three(void)
{
	init(3);
}

static void init_asleep(unsigned index)
{
	fleet->active--;
	fleet->sleepers++;
	fleet->seats[index].state = RL_SEAT_QUIET;
}

static void init_first_asleep(void)
{
	init(3);
	init_asleep(0);
}

/* The last as well, but a timer of its daemon will wake it. A task of the second waits for that. */
static void init_two_asleep(void)
{
	init(3);
	init_asleep(0);
	init_asleep(2);
	fleet->seats[2].open = true;
	fleet->seats[1].pending = shards[1].holds = 1;
}

/* Sleep; of who has something to do, do it. The first notes how it ends, and whether too early. */
static void go_to_sleep(unsigned index, uint64_t all)
{
	struct rl_shard *s = &shards[index];
	for (int i = 0; i < ROUNDS; i++) {
		enum rl_fleet_sleep how = rl_fleet_sleep(s, true, false);
		if (how == RL_FLEET_OVER || how == RL_FLEET_STUCK)
			il_note(RL_LOAD(&handled, relaxed) == all ? TOLD : LATE);
		if (how != RL_FLEET_BUSY)
			return;
		rl_fleet_turn(s);
		take_job();
	}
}

/* When all have come to rest: those that were woken go on, and then all is done and told. */
static void go_on(uint64_t all)
{
	for (int i = 0; i < ROUNDS; i++)
		for (unsigned k = fleet->size; k-- > 0;)
			if (RL_LOAD(&rung[k], relaxed) > 0 && RL_LOAD(&fleet->seats[k].state, relaxed)
					== RL_SEAT_AWAKE) {
				RL_STORE(&rung[k], 0, relaxed);
				rl_fleet_turn(&shards[k]);
				take_job();
				go_to_sleep(k, all);
			}
	if (RL_LOAD(&handled, relaxed) != all)
		il_note(ASLEEP_FOR_EVER);
}

static void after_none(void)
{
	go_on(0);
}

static void after_one(void)
{
	go_on(1);
}

/* What is left has woken somebody; the end is told, and not before all is handled. */
static bool noted(const struct il_outcome *o, uint64_t note)
{
	bool found = false;
	for (unsigned i = 0; i < IL_THREADS; i++)
		for (unsigned k = 0; k < o[i].count; k++)
			found = found || o[i].note[k] == note;
	return found;
}

static const char *lost(const struct il_outcome *o)
{
	return noted(o, ASLEEP_FOR_EVER) ? "left lying beside a sleeper" : NULL;
}

static const char *wrong(const struct il_outcome *o)
{
	if (noted(o, LATE))
		return "told too early";
	return noted(o, TOLD) ? lost(o) : "nobody finds the end";
}

static void sleep_0(void)
{
	go_to_sleep(0, 0);
}

static void sleep_0_after_one(void)
{
	go_to_sleep(0, 1);
}

static void sleep_1(void)
{
	go_to_sleep(1, 0);
}

static void sleep_2(void)
{
	go_to_sleep(2, 0);
}

static void send_to_first(void)
{
	rl_fleet_send(&shards[1], 0, &message);
	go_to_sleep(1, 0);
}

/* The first, in the thread of another that has gone to sleep: fewer orders, and all that count. */
static void then_first(void)
{
	if (RL_LOAD(&fleet->seats[0].state, acquire) == RL_SEAT_AWAKE)
		go_to_sleep(0, 1);
}

static void send_to_third(void)
{
	rl_fleet_send(&shards[1], 2, &message);
	go_to_sleep(1, 1);
	then_first();
}

static void sleep_1_then_first(void)
{
	go_to_sleep(1, 1);
	then_first();
}

static void wake_up_and_send(void)
{
	rl_fleet_awake(&shards[2]);
	rl_fleet_send(&shards[2], 1, &message);
	go_to_sleep(2, 1);
}

/* Busy with something else, it does not take it itself. */
static void submit(void)
{
	RL_STORE(&jobs, 1, relaxed);
	rl_fleet_wake_one(&shards[1]);
}

static const struct il_program programs[] = {
	{ "sleep | sleep", init_two, { sleep_0, sleep_1 }, after_none, wrong },
	{ "sleep | send to the first", init_two,
		{ sleep_0_after_one, send_to_first }, after_one, wrong },
	{ "sleep | sleep | sleep", init_three, { sleep_0, sleep_1, sleep_2 }, after_none, wrong },
	{ "send to the third | sleep", init_first_asleep,
		{ send_to_third, sleep_2 }, after_one, wrong },
	{ "sleep | wake up, send to the second", init_two_asleep,
		{ sleep_1_then_first, wake_up_and_send }, after_one, wrong },
	{ "sleep | submit", init_two, { sleep_0, submit }, after_one, lost },
};

enum { PROGRAMS = sizeof programs / sizeof *programs };

TEST(right_in_every_order)
{
	il_check(programs, PROGRAMS);
}

int main(void)
{
	RUN(right_in_every_order);
	free_fleet();
	il_end();
	return FINISH();
}
