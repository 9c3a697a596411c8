/* SPDX-License-Identifier: MIT */
/* runq: who is next, against lists that are moved by hand. */
#include "shard_probe.h"

#include "base/rand.h"
#include "rt/runq.c"

#define TASKS 1500

static struct rl_task tasks[TASKS];

static struct rl_task *task(unsigned id, unsigned priority)
{
	struct rl_task *t = &tasks[id];
	memset(t, 0, sizeof *t);
	t->id = id;
	t->priority = priority & 3;
	rl_list_init(&t->clause.link);
	return t;
}

/* Ids in order. */
struct line {
	unsigned ids[TASKS], len;
};

static void put(struct line *l, unsigned at, unsigned id)
{
	memmove(l->ids + at + 1, l->ids + at, (l->len++ - at) * sizeof *l->ids);
	l->ids[at] = id;
}

static unsigned cut(struct line *l, unsigned at)
{
	unsigned id = l->ids[at];
	memmove(l->ids + at, l->ids + at + 1, (--l->len - at) * sizeof *l->ids);
	return id;
}

static bool drop(struct line *l, unsigned id)
{
	for (unsigned i = 0; i < l->len; i++)
		if (l->ids[i] == id)
			return cut(l, i) == id;
	return false;
}

/* What runq.h says, in lists: the backlog has the running task's own in front, once closed. */
struct model {
	struct line queue[RL_PRIORITIES], backlog, fresh;
	unsigned since_backlog, groups, in_a_row[RL_PRIORITIES];
};

static unsigned model_waiting(const struct model *m)
{
	return m->queue[0].len + m->queue[1].len + m->queue[2].len + m->backlog.len + m->fresh.len;
}

static void model_close(struct model *m)
{
	if (m->fresh.len == 0)
		return;
	while (m->fresh.len > 0)
		put(&m->backlog, 0, cut(&m->fresh, m->fresh.len - 1));
	if (++m->groups % RL_FAIR_GROUPS == 0) {
		struct line *normal = &m->queue[RL_NORMAL];
		put(normal, normal->len, cut(&m->backlog, m->backlog.len - 1));
	}
}

static void model_serve(struct model *m, unsigned n)
{
	struct line *normal = &m->queue[RL_NORMAL];
	m->since_backlog = 0;
	for (; n > 0 && m->backlog.len + m->fresh.len > 0; n--) {
		while (m->backlog.len == 0 && m->fresh.len > 0)
			put(&m->backlog, 0, cut(&m->fresh, m->fresh.len - 1));
		put(normal, normal->len, cut(&m->backlog, 0));
	}
}

static unsigned model_take(struct model *m)
{
	struct line *q = m->queue;
	unsigned p = RL_NORMAL;
	if (m->backlog.len + m->fresh.len > 0) {
		if (q[RL_NORMAL].len == 0)
			model_serve(m, RL_QUEUE_SHORT / 4);
		else if (++m->since_backlog >= RL_FAIR)
			model_serve(m, 1);
	}
	if (q[RL_CRITICAL].len + q[RL_BACKGROUND].len > 0) {
		bool lower[] = {q[1].len + q[2].len > 0, q[2].len > 0, false};
		for (p = 0; p < RL_BACKGROUND; p++) {
			if (q[p].len > 0 && !lower[p])
				break;
			if (q[p].len > 0 && m->in_a_row[p] < RL_FAVOURED) {
				m->in_a_row[p]++;
				return cut(&q[p], 0);
			}
			m->in_a_row[p] = 0;
		}
		m->in_a_row[p] = 0;
	}
	return cut(&q[p], 0);
}

static bool model_remove(struct model *m, unsigned id)
{
	return drop(&m->queue[0], id) || drop(&m->queue[1], id) || drop(&m->queue[2], id)
		|| drop(&m->backlog, id) || drop(&m->fresh, id);
}

/* One step on both; false when they differ. */
static bool step(struct rl_runq *q, struct model *m, struct rl_rand *rand, struct line *out)
{
	unsigned what = (unsigned)rl_rand_below(rand, 16), waiting = model_waiting(m);
	if (what < 8 && out->len > 0) {
		unsigned id = cut(out, (unsigned)rl_rand_below(rand, out->len));
		unsigned p = what < 5 ? RL_NORMAL : (unsigned)rl_rand_below(rand, RL_PRIORITIES);
		struct rl_task *t = task(id, p);
		struct line *own = &m->queue[p];
		bool beyond = p == RL_NORMAL && own->len >= RL_QUEUE_SHORT;
		bool behind = p == RL_NORMAL && m->backlog.len + m->fresh.len > 0;
		switch (what % 4) {
		case 0:
			rl_runq_push(q, t);
			put(own, own->len, id);
			break;
		case 1:
			rl_runq_push_front(q, t);
			put(own, 0, id);
			break;
		case 2:
			own = behind ? &m->backlog : own;
			rl_runq_push_last(q, t);
			put(own, own->len, id);
			break;
		default:
			own = beyond ? &m->fresh : own;
			rl_runq_push_new(q, t);
			put(own, own->len, id);
		}
	} else if (what < 10 && out->len < TASKS) { /* any one that waits leaves */
		unsigned id = (unsigned)rl_rand_below(rand, TASKS);
		if (model_remove(m, id)) {
			rl_runq_remove(q, &tasks[id]);
			put(out, out->len, id);
		}
	} else if (what < 11) {
		rl_runq_close_group(q);
		model_close(m);
	} else if (waiting > 0) {
		unsigned id = model_take(m);
		struct rl_task *t = rl_runq_take(q);
		put(out, out->len, id);
		if (t->id != id || t->backlogged)
			return false;
	}
	return rl_runq_len(q) == model_waiting(m) && q->backlog_len == m->backlog.len + m->fresh.len;
}

TEST(agrees_with_lists)
{
	enum { STEPS = 100000, SEEDS = 4 };
	static struct model m;
	static struct line out;
	unsigned most = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct rl_runq q;
		struct rl_rand rand;
		rl_rand_seed(&rand, seed);
		rl_runq_init(&q);
		memset(&m, 0, sizeof m);
		for (out.len = 0; out.len < TASKS;)
			put(&out, out.len, out.len);
		/* With a low tide now and then, so that queues run dry. */
		for (unsigned i = 0; i < STEPS && !check_bad; i++) {
			if (i % 5000 == 0)
				while (rl_runq_len(&q) > 0)
					put(&out, out.len, (model_take(&m), (unsigned)rl_runq_take(&q)->id));
			if (!step(&q, &m, &rand, &out)) {
				printf("    seed %llu, step %u\n", (unsigned long long)seed, i);
				CHECK(!"what the lists have");
			}
			most = q.backlog_len > most ? q.backlog_len : most;
		}
	}
	CHECK(most > 100);
}

TEST(the_higher_priority_goes_first)
{
	static const unsigned order[] = {2, 5, 1, 4, 0, 3};
	struct rl_runq q;
	rl_runq_init(&q);
	for (unsigned i = 0; i < 6; i++)
		rl_runq_push(&q, task(i, (2 * i + 2) % 3)); /* 2 1 0 2 1 0 */
	CHECK(rl_runq_has_above(&q, RL_BACKGROUND) && rl_runq_has_above(&q, RL_NORMAL));
	CHECK(!rl_runq_has_above(&q, RL_CRITICAL));
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ(rl_runq_take(&q)->id, order[i]);
	CHECK_EQ(rl_runq_len(&q), 0);
}

TEST(a_lower_priority_waits_for_so_many_runs_and_no_more)
{
	struct rl_runq q;
	rl_runq_init(&q);
	for (unsigned round = 0; round < 3; round++) {
		rl_runq_push(&q, task(500, RL_NORMAL));
		for (unsigned i = 0; i <= RL_FAVOURED; i++)
			rl_runq_push(&q, task(i, RL_CRITICAL));
		for (unsigned i = 0; i < RL_FAVOURED; i++)
			CHECK_EQ(rl_runq_take(&q)->id, i);
		CHECK_EQ(rl_runq_take(&q)->id, 500);
		CHECK_EQ(rl_runq_take(&q)->id, RL_FAVOURED);
	}
}

/* Runs among `critical` and `normal` ones that never end until the one in the background is run. */
static unsigned runs_until_background(unsigned critical, unsigned normal)
{
	struct rl_runq q;
	unsigned runs = 0;
	rl_runq_init(&q);
	rl_runq_push(&q, task(0, RL_BACKGROUND));
	for (unsigned i = 0; i < critical + normal; i++)
		rl_runq_push(&q, task(i + 1, i < critical ? RL_CRITICAL : RL_NORMAL));
	for (struct rl_task *t = rl_runq_take(&q); t->id != 0 && runs < 10000; t = rl_runq_take(&q)) {
		rl_runq_push(&q, t);
		runs++;
	}
	return runs;
}

TEST(the_background_does_not_starve_behind_two)
{
	CHECK_EQ(runs_until_background(3, 0), RL_FAVOURED);
	CHECK_EQ(runs_until_background(0, 3), RL_FAVOURED);
	/* Each time the critical ones let somebody else go, all but one time in 17 a normal one. */
	CHECK_EQ(runs_until_background(3, 3), RL_FAVOURED * (RL_FAVOURED + 1) + RL_FAVOURED);
}

TEST(what_waited_alone_is_not_held_against_it)
{
	struct rl_runq q;
	rl_runq_init(&q);
	for (unsigned i = 0; i < 3 * RL_FAVOURED; i++) { /* nobody is let wait by these */
		rl_runq_push(&q, task(1, RL_CRITICAL));
		CHECK_EQ(rl_runq_take(&q)->id, 1);
	}
	rl_runq_push(&q, task(500, RL_NORMAL));
	for (unsigned i = 0; i < RL_FAVOURED; i++)
		rl_runq_push(&q, task(i, RL_CRITICAL));
	for (unsigned i = 0; i < RL_FAVOURED; i++)
		CHECK_EQ(rl_runq_take(&q)->id, i);
	CHECK_EQ(rl_runq_take(&q)->id, 500);
}

TEST(the_backlog_is_of_normal_priority)
{
	struct rl_runq q;
	rl_runq_init(&q);
	for (unsigned i = 0; i < RL_QUEUE_SHORT; i++)
		rl_runq_push_new(&q, task(i, RL_NORMAL));
	rl_runq_push_new(&q, task(500, RL_NORMAL));
	CHECK(tasks[500].backlogged && q.backlog_len == 1);
	rl_runq_push_new(&q, task(501, RL_CRITICAL));
	rl_runq_push_last(&q, task(502, RL_BACKGROUND));
	rl_runq_push_last(&q, task(503, RL_NORMAL));
	CHECK(!tasks[501].backlogged && !tasks[502].backlogged && tasks[503].backlogged);
	CHECK_EQ(rl_runq_take(&q)->id, 501);
	for (unsigned i = 0; i < RL_QUEUE_SHORT; i++)
		rl_runq_remove(&q, &tasks[i]);
	CHECK(rl_runq_has_above(&q, RL_BACKGROUND)); /* that of the backlog counts */
	rl_runq_remove(&q, &tasks[500]);
	CHECK(!tasks[500].backlogged);
	CHECK_EQ(rl_runq_take(&q)->id, 503);
	CHECK_EQ(rl_runq_take(&q)->id, 502);
	CHECK_EQ(rl_runq_len(&q), 0);
}

/* ---- tasks of a shard ------------------------------------------------------------------------ */

static enum rl_ran end_at_once(struct probe *p, struct rl_task *t)
{
	(void)p;
	(void)t;
	return RL_RAN_ENDED;
}

TEST(a_task_moves_where_it_waits)
{
	static const unsigned order[] = {3, 2, 4, 5, 1};
	struct probe p;
	struct rl_task *t[6];
	probe_open(&p, end_at_once);
	for (unsigned i = 1; i <= 5; i++)
		t[i] = rl_task_new(&p.shard, 0);
	CHECK_EQ(p.shard.urgency.sources, 0);
	rl_task_set_priority(&p.shard, t[1], RL_BACKGROUND);
	rl_task_set_priority(&p.shard, t[3], RL_CRITICAL);
	rl_task_set_priority(&p.shard, t[4], RL_CRITICAL);
	rl_task_set_priority(&p.shard, t[4], RL_CRITICAL);
	CHECK_EQ(p.shard.urgency.sources, 3);
	rl_task_set_priority(&p.shard, t[4], RL_NORMAL); /* behind those of its own */
	rl_task_set_priority(&p.shard, t[5], RL_BACKGROUND);
	rl_task_set_priority(&p.shard, t[5], RL_NORMAL);
	CHECK_EQ(p.shard.urgency.sources, 2);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(p.log[i], order[i]);
	CHECK_EQ(p.shard.urgency.sources, 0);
	probe_close(&p);
}

TEST(a_task_of_the_backlog_moves_and_can_be_abandoned)
{
	struct probe p;
	struct rl_task *last = NULL, *gone = NULL;
	probe_open(&p, end_at_once);
	for (unsigned i = 0; i < RL_QUEUE_SHORT + 3; i++) {
		gone = last;
		last = rl_task_new(&p.shard, 0);
	}
	CHECK_EQ(p.shard.runq.backlog_len, 3);
	rl_task_set_priority(&p.shard, last, RL_CRITICAL);
	CHECK_EQ(p.shard.runq.backlog_len, 2);
	rl_wait_abandon(&p.shard, gone);
	rl_task_free(&p.shard, gone);
	CHECK_EQ(p.shard.runq.backlog_len, 1);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log[0], RL_QUEUE_SHORT + 3);
	CHECK_EQ(p.log[1], 1);
	probe_close(&p);
}

/* The first parks, its priority changes meanwhile, and a child of it has that. */
static struct rl_task *parked;

static enum rl_ran park_first(struct probe *p, struct rl_task *t)
{
	if (t->id > 1)
		return RL_RAN_ENDED;
	if (t->raises++ == 0) {
		parked = t;
		rl_wait_park(&p->shard, t, RL_REASON_SLEEP, p->shard.now_ns + 5000000);
		return RL_RAN_PARKED;
	}
	CHECK_EQ(rl_task_new(&p->shard, 0)->priority, RL_CRITICAL);
	rl_task_set_priority(&p->shard, t, RL_BACKGROUND);
	CHECK_EQ(rl_task_new(&p->shard, 0)->priority, RL_BACKGROUND);
	rl_task_new(&p->shard, 0);
	return RL_RAN_ENDED;
}

TEST(a_parked_or_running_one_has_it_from_then_on)
{
	struct probe p;
	probe_open(&p, park_first);
	rl_task_new(&p.shard, 0);
	rl_shard_turn(&p.shard);
	CHECK_EQ(parked->state, RL_TASK_PARKED);
	rl_task_set_priority(&p.shard, parked, RL_CRITICAL);
	CHECK_EQ(rl_shard_runnable(&p.shard), 0);
	CHECK(atomic_load(&p.shard.urgent));
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.shard.counts.finished, 4);
	CHECK(!atomic_load(&p.shard.urgent));
	probe_close(&p);
}

/* Task 1 is interrupted for ever, to let others go or for its slice; task 2 counts. */
static bool urged;
static unsigned seconds, raised;

static enum rl_ran interrupted(struct probe *p, struct rl_task *t)
{
	if (t->id > 1) {
		seconds++;
		return RL_RAN_ENDED;
	}
	if (raised > 0 && t->raises == raised)
		rl_task_set_priority(&p->shard, rl_task_at(&p->shard, 1), RL_CRITICAL); /* the second */
	p->shard.urged = urged;
	return ++t->raises > 50 || seconds > 0 ? RL_RAN_ENDED : RL_RAN_YIELDED;
}

static unsigned runs_before_the_second(bool is_urged, unsigned raise)
{
	struct probe p;
	unsigned n = 0;
	urged = is_urged;
	seconds = 0;
	raised = raise;
	probe_open(&p, interrupted);
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	while (n < p.log_len && p.log[n] == 1)
		n++;
	probe_close(&p);
	return n;
}

TEST(who_lets_others_go_first_stays_at_the_front_for_a_slice)
{
	CHECK_EQ(runs_before_the_second(false, 0), 1);
	CHECK_EQ(runs_before_the_second(true, 0), 10);
	CHECK_EQ(runs_before_the_second(true, 3), 4);
}

/* Tasks that are interrupted nine times each: what one had does not count for the next. */
static enum rl_ran nine_times(struct probe *p, struct rl_task *t)
{
	p->shard.urged = 1;
	return ++t->raises > 9 ? RL_RAN_ENDED : RL_RAN_YIELDED;
}

TEST(each_task_has_a_slice_of_its_own)
{
	struct probe p;
	probe_open(&p, nine_times);
	for (unsigned i = 0; i < 5; i++)
		rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	for (unsigned i = 0; i < 50; i++)
		CHECK_EQ(p.log[i], i / 10 + 1);
	probe_close(&p);
}

int main(void)
{
	RUN(agrees_with_lists);
	RUN(the_higher_priority_goes_first);
	RUN(a_lower_priority_waits_for_so_many_runs_and_no_more);
	RUN(the_background_does_not_starve_behind_two);
	RUN(what_waited_alone_is_not_held_against_it);
	RUN(the_backlog_is_of_normal_priority);
	RUN(a_task_moves_where_it_waits);
	RUN(a_task_of_the_backlog_moves_and_can_be_abandoned);
	RUN(a_parked_or_running_one_has_it_from_then_on);
	RUN(who_lets_others_go_first_stays_at_the_front_for_a_slice);
	RUN(each_task_has_a_slice_of_its_own);
	return FINISH();
}
