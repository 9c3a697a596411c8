/* SPDX-License-Identifier: MIT */
/* measure: what is published is of one moment, also beside readers; sets of labels and their
 * numbers; lifetimes and latencies of tasks. */
#include "rt/measure.h"

#include "shard_probe.h"

#include <pthread.h>
#include <stdlib.h>

#define ROUNDS 20000

static uint64_t read_one(struct rl_measure *m, enum rl_measured what)
{
	uint64_t now[RL_MEASURES];
	rl_measure_read(m, now);
	return now[what];
}

TEST(every_number_has_a_name_of_its_own)
{
	for (int i = 0; i < RL_MEASURES; i++) {
		CHECK(rl_measure_name(i) != NULL);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(rl_measure_name(i), rl_measure_name(k)) != 0);
	}
}

static enum rl_ran end_at_once(struct probe *p, struct rl_task *t)
{
	(void)p;
	(void)t;
	return RL_RAN_ENDED;
}

TEST(tasks_are_counted_by_what_they_do)
{
	struct probe p;
	probe_open(&p, end_at_once);
	struct rl_measure *m = p.shard.measure;
	for (int i = 0; i < 5; i++)
		rl_task_new(&p.shard, i == 0 ? RL_TASK_DAEMON : 0);
	rl_measure_publish(&p.shard);
	CHECK_EQ(read_one(m, RL_M_CREATED), 5);
	CHECK_EQ(read_one(m, RL_M_RUNNABLE), 5);
	CHECK_EQ(read_one(m, RL_M_DAEMONS), 1);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(read_one(m, RL_M_FINISHED), 0); /* not published since */
	rl_measure_publish(&p.shard);
	CHECK_EQ(read_one(m, RL_M_FINISHED), 5);
	CHECK_EQ(read_one(m, RL_M_RUNNABLE), 0);
	CHECK_EQ(rl_histogram_count(&m->lifetimes), 5);
	probe_close(&p);
}

static uint64_t latencies_in_run;

static enum rl_ran yield_often(struct probe *p, struct rl_task *t)
{
	latencies_in_run = rl_histogram_count(&p->shard.measure->latencies);
	if (++t->raises > 3 * RL_SAMPLE_EVERY)
		return RL_RAN_ENDED;
	t->state = RL_TASK_RUNNING;
	rl_ready(&p->shard, t);
	return RL_RAN_PARKED;
}

TEST(one_task_in_so_many_is_measured_until_it_runs)
{
	struct probe p;
	probe_open(&p, yield_often);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(latencies_in_run, 3);
	probe_close(&p);
}

/* A shard's thread that counts: two begin and two end each round, and it publishes. */
static _Atomic bool is_over;

static void *count_tasks(void *arg)
{
	struct probe *p = arg;
	for (int i = 0; i < ROUNDS; i++) {
		p->shard.counts.created += 2;
		p->shard.counts.finished += 2;
		p->shard.counts.parks += 4;
		rl_measure_publish(&p->shard);
	}
	atomic_store(&is_over, true);
	return NULL;
}

TEST(a_reader_beside_the_shard_sees_one_moment)
{
	struct probe p;
	pthread_t writer;
	uint64_t now[RL_MEASURES], last = 0;
	probe_open(&p, end_at_once);
	atomic_store(&is_over, false);
	p.shard.counts.created = 7;
	rl_measure_publish(&p.shard);
	pthread_create(&writer, NULL, count_tasks, &p);
	do {
		rl_measure_read(p.shard.measure, now);
		CHECK_EQ(now[RL_M_CREATED] - now[RL_M_FINISHED], 7);
		CHECK_EQ(now[RL_M_PARKS], 2 * now[RL_M_FINISHED]);
		CHECK(now[RL_M_CREATED] >= last);
		last = now[RL_M_CREATED];
	} while (!atomic_load(&is_over));
	pthread_join(writer, NULL);
	p.shard.counts = (struct rl_counts){0};
	probe_close(&p);
}

struct seen {
	unsigned sets;
	uint64_t live, begun, lost;
	char names[RL_LABELS_MAX][16];
};

static void note(void *to, unsigned number, const char *name, uint64_t live, uint64_t begun)
{
	struct seen *seen = to;
	CHECK(number < RL_LABELS_MAX);
	seen->live += live;
	seen->begun += begun;
	if (*name == '\0')
		seen->lost = begun;
	else
		snprintf(seen->names[seen->sets++], sizeof *seen->names, "%s", name);
}

static struct seen labels_of(struct rl_measure *m)
{
	struct seen seen = {0};
	rl_measure_labels(m, &seen, note);
	return seen;
}

static bool has(const struct seen *seen, const char *name)
{
	for (unsigned i = 0; i < seen->sets; i++)
		if (strcmp(seen->names[i], name) == 0)
			return true;
	return false;
}

TEST(tasks_are_counted_by_their_set_of_labels)
{
	struct rl_measure *m = rl_measure_new();
	struct rl_task a = {0}, b = {0};
	CHECK_EQ(labels_of(m).sets, 0);
	unsigned one = rl_measure_label(m, "one"), two = rl_measure_label(m, "two");
	CHECK(one > 0 && two > 0 && one != two);
	rl_measure_relabel(m, &a, one);
	rl_measure_relabel(m, &b, one);
	rl_measure_relabel(m, &b, two);
	struct seen seen = labels_of(m);
	CHECK_EQ(seen.sets, 2);
	CHECK_EQ(seen.live, 2);
	CHECK_EQ(seen.begun, 3);
	rl_measure_relabel(m, &a, 0);
	CHECK_EQ(labels_of(m).live, 1);
	rl_measure_put(m);
}

TEST(a_set_that_nobody_has_loses_its_number_to_a_new_one)
{
	struct rl_measure *m = rl_measure_new();
	struct rl_task kept = {0}, t = {0};
	char name[16];
	rl_measure_relabel(m, &kept, rl_measure_label(m, "kept"));
	for (int i = 0; i < 10 * RL_LABELS_MAX; i++) {
		snprintf(name, sizeof name, "%d", i);
		unsigned label = rl_measure_label(m, name);
		CHECK(label > 0);
		rl_measure_relabel(m, &t, label);
	}
	struct seen seen = labels_of(m);
	CHECK_EQ(seen.sets, RL_LABELS_MAX - 1);
	CHECK(has(&seen, "kept") && has(&seen, name) && !has(&seen, "0"));
	CHECK_EQ(seen.live, 2);
	CHECK_EQ(seen.begun, 10 * RL_LABELS_MAX + 1); /* nothing is lost */
	CHECK_EQ(seen.lost, 9 * RL_LABELS_MAX + 2);
	rl_measure_put(m);
}

TEST(when_tasks_have_all_sets_there_is_none)
{
	struct rl_measure *m = rl_measure_new();
	struct rl_task tasks[RL_LABELS_MAX] = {0};
	for (unsigned i = 1; i < RL_LABELS_MAX; i++)
		rl_measure_relabel(m, &tasks[i], rl_measure_label(m, "x"));
	CHECK_EQ(rl_measure_label(m, "y"), 0);
	rl_measure_relabel(m, &tasks[3], 0);
	CHECK_EQ(rl_measure_label(m, "y"), 3);
	rl_measure_put(m);
}

static void *label_often(void *arg)
{
	struct rl_measure *m = arg;
	struct rl_task t = {0};
	char name[16];
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof name, "%015d", i);
		rl_measure_relabel(m, &t, rl_measure_label(m, name));
	}
	atomic_store(&is_over, true);
	return NULL;
}

TEST(a_reader_beside_the_shard_sees_whole_names)
{
	struct rl_measure *m = rl_measure_new();
	pthread_t writer;
	atomic_store(&is_over, false);
	pthread_create(&writer, NULL, label_often, m);
	do {
		struct seen seen = labels_of(m);
		CHECK(seen.sets < RL_LABELS_MAX);
		for (unsigned i = 0; i < seen.sets; i++)
			CHECK_EQ(strspn(seen.names[i], "0123456789"), 15);
	} while (!atomic_load(&is_over));
	pthread_join(writer, NULL);
	CHECK_EQ(labels_of(m).begun, ROUNDS);
	rl_measure_put(m);
}

TEST(listening_sockets_are_told_of_while_there_is_room)
{
	struct rl_measure *m = rl_measure_new();
	int fds[RL_LISTENING_MAX];
	CHECK_EQ(rl_measure_listening(m, fds), 0);
	for (int fd = 0; fd <= RL_LISTENING_MAX; fd++)
		rl_measure_listens(m, fd, true);
	CHECK_EQ(rl_measure_listening(m, fds), RL_LISTENING_MAX);
	rl_measure_listens(m, 7, false);
	rl_measure_listens(m, 7, false);
	rl_measure_listens(m, RL_LISTENING_MAX, false);
	CHECK_EQ(rl_measure_listening(m, fds), RL_LISTENING_MAX - 1);
	rl_measure_listens(m, 1000, true);
	CHECK_EQ(rl_measure_listening(m, fds), RL_LISTENING_MAX);
	CHECK_EQ(fds[0], 0);
	CHECK_EQ(fds[7], 1000);
	rl_measure_put(m);
}

TEST(it_lasts_as_long_as_somebody_has_it)
{
	struct rl_measure *m = rl_measure_new();
	CHECK(rl_measure_get(m) == m);
	rl_measure_put(m);
	CHECK_EQ(read_one(m, RL_M_CREATED), 0);
	rl_measure_put(m);
	rl_measure_put(NULL);
	CHECK(rl_measure_get(NULL) == NULL);
}

int main(void)
{
	RUN(every_number_has_a_name_of_its_own);
	RUN(tasks_are_counted_by_what_they_do);
	RUN(one_task_in_so_many_is_measured_until_it_runs);
	RUN(a_reader_beside_the_shard_sees_one_moment);
	RUN(tasks_are_counted_by_their_set_of_labels);
	RUN(a_set_that_nobody_has_loses_its_number_to_a_new_one);
	RUN(when_tasks_have_all_sets_there_is_none);
	RUN(a_reader_beside_the_shard_sees_whole_names);
	RUN(listening_sockets_are_told_of_while_there_is_room);
	RUN(it_lasts_as_long_as_somebody_has_it);
	return FINISH();
}
