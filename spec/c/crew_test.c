/* SPDX-License-Identifier: MIT */
/* crew_test: who handles which stream. Workers are task records that the test moves by hand. */
#include "world.h"

#include "rt/classify.h"
#include "rt/crew.h"

static void send_text(struct rl_stream *s, const char *text)
{
	CHECK_EQ(rl_out_begin(s, false), 0);
	rl_out_end(s, rl_out_write(s, text, strlen(text)));
}

/* Make `t` the running task. */
static void run_task(struct world *w, struct rl_task *t)
{
	rl_list_remove(&t->clause.link);
	rl_runq_init(&w->shard.runq);
	t->state = RL_TASK_RUNNING;
	w->shard.current = t;
}

static void park_task(struct world *w, struct rl_task *t, struct rl_waitq *q)
{
	rl_wait_add(t, q, 0, 0);
	rl_wait_park(&w->shard, t, RL_REASON_SERVER, -1);
	w->shard.current = NULL;
}

/* Nothing runs: only the kernel moves, and what is dirty. */
static void settle(struct world *w)
{
	for (int i = 0; i < 20; i++) {
		rl_os_poll(w->shard.os, rl_shard_now(&w->shard) + 1000000);
		struct rl_list *l = rl_list_pop(&w->shard.dirty);
		struct rl_dirty *d = l ? rl_container(l, struct rl_dirty, link) : NULL;
		if (d)
			d->flush(d);
	}
}

static struct rl_task *new_task(struct world *w)
{
	struct rl_task *t = rl_task_new(&w->shard, 0);
	rl_list_remove(&t->clause.link);
	rl_runq_init(&w->shard.runq);
	return t;
}

TEST(news_wakes_a_worker_and_a_stuck_one_is_replaced)
{
	struct world w;
	struct rl_stream *a, *b, *c, *d;
	struct rl_crew *crew;
	struct rl_waitq elsewhere;
	rl_waitq_init(&elsewhere);
	CHECK(world_open(&w, "sim", 1, NULL) && world_pair(&w, &a, &b) && world_pair(&w, &c, &d));
	CHECK_EQ(rl_crew_open(w.net, &crew), 0);
	struct rl_task *one = new_task(&w), *two = new_task(&w);
	CHECK(rl_crew_lacks_worker(crew));
	run_task(&w, one);
	CHECK(rl_crew_next(crew) == NULL && rl_crew_idle(crew));
	park_task(&w, one, &crew->workers);
	run_task(&w, two);
	park_task(&w, two, &crew->workers);
	CHECK_EQ(rl_crew_add(crew, b), 0);
	CHECK_EQ(rl_crew_add(crew, d), 0);
	rl_crew_rest(b);
	rl_crew_rest(d);
	send_text(a, "first");
	settle(&w);
	CHECK_EQ(one->state, RL_TASK_READY);
	CHECK_EQ(two->state, RL_TASK_PARKED);
	run_task(&w, one);
	CHECK(rl_crew_next(crew) == b);
	CHECK(b->flags & RL_STREAM_BUSY);
	CHECK(rl_crew_next(crew) == NULL);
	send_text(a, "more");
	settle(&w);
	CHECK(rl_list_empty(&crew->news[RL_NORMAL]));
	park_task(&w, one, &elsewhere);
	send_text(c, "second");
	settle(&w);
	CHECK_EQ(two->state, RL_TASK_READY);
	run_task(&w, two);
	CHECK(rl_crew_next(crew) == d);
	rl_stream_consume(d, d->in.len);
	rl_crew_rest(d);
	CHECK(rl_crew_next(crew) == NULL);
	rl_stream_consume(b, 5);
	rl_crew_rest(b);
	CHECK(rl_crew_next(crew) == b);
	rl_stream_close(b);
	rl_crew_rest(b);
	CHECK(rl_crew_next(crew) == b);
	rl_crew_remove(b);
	rl_crew_stop(crew);
	CHECK(!rl_crew_idle(crew));
	rl_crew_disown(crew);
	world_drop(&a);
	world_drop(&b);
	world_drop(&c);
	world_drop(&d);
	rl_wait_end(&w.shard, one, 0);
	run_task(&w, one);
	w.shard.current = NULL;
	world_settle(&w);
	world_close(&w);
}

/* ---- priorities ------------------------------------------------------------------------------ */

enum { PAIRS = 40 };

/* Streams whose other ends send, and two workers that wait. */
struct site {
	struct world w;
	struct rl_crew *crew;
	struct rl_stream *far[PAIRS], *near[PAIRS];
	struct rl_task *one, *two;
	unsigned len;
};

static void open_site(struct site *x, unsigned pairs)
{
	memset(x, 0, sizeof *x);
	CHECK(world_open(&x->w, "sim", 1, NULL));
	CHECK_EQ(rl_crew_open(x->w.net, &x->crew), 0);
	for (; x->len < pairs; x->len++) {
		CHECK(world_pair(&x->w, &x->far[x->len], &x->near[x->len]));
		CHECK_EQ(rl_crew_add(x->crew, x->near[x->len]), 0);
		rl_crew_rest(x->near[x->len]);
	}
	x->one = new_task(&x->w);
	x->two = new_task(&x->w);
	run_task(&x->w, x->one);
	park_task(&x->w, x->one, &x->crew->workers);
	run_task(&x->w, x->two);
	park_task(&x->w, x->two, &x->crew->workers);
}

/* What there is of it becomes news, of that priority. */
static void news(struct site *x, unsigned i, unsigned priority)
{
	rl_classify_fix(x->near[i], priority);
	CHECK_EQ(rl_bytes_append(&x->w.net->chunks, &x->near[i]->in, "news", 4), 0);
	rl_stream_tell(x->near[i]);
}

/* It is no idle worker any more. */
static void go_elsewhere(struct site *x, struct rl_task *t)
{
	rl_wait_end(&x->w.shard, t, 0);
	rl_runq_remove(&x->w.shard.runq, t);
	t->state = RL_TASK_RUNNING;
}

static void handled(struct rl_stream *s)
{
	rl_stream_consume(s, s->in.len);
	rl_crew_rest(s);
}

static void flush(struct site *x)
{
	struct rl_list *l = rl_list_pop(&x->w.shard.dirty);
	while (l) {
		rl_container(l, struct rl_dirty, link)->flush(rl_container(l, struct rl_dirty, link));
		l = rl_list_empty(&x->crew->handover.link) ? rl_list_pop(&x->w.shard.dirty) : NULL;
	}
}

/* The running worker gives way, and goes on when the turn is over, with what is of that priority;
 * nobody takes its place. */
static void rests(struct site *x, unsigned priority)
{
	struct rl_shard *s = &x->w.shard;
	struct rl_task *t = s->current;
	CHECK(rl_crew_next(x->crew) == NULL && rl_crew_gave_way(x->crew));
	CHECK_EQ(t->priority, priority);
	for (unsigned p = 0; p < RL_PRIORITIES; p++)
		while (rl_list_pop(&s->runq.tasks[p]))
			s->runq.len[p]--;
	park_task(&x->w, t, &s->resting);
	flush(x);
	CHECK(rl_crew_lacks_worker(x->crew) || x->two->state == RL_TASK_PARKED);
	CHECK_EQ(rl_waitq_wake(s, &s->resting, 0, true), 1);
	run_task(&x->w, t);
}

static void close_site(struct site *x)
{
	rl_crew_stop(x->crew);
	struct rl_task *all[] = {x->one, x->two};
	for (unsigned i = 0; i < 2; i++) {
		if (rl_task_is_parked(all[i]))
			rl_wait_end(&x->w.shard, all[i], 0);
		rl_task_set_priority(&x->w.shard, all[i], RL_NORMAL);
		rl_list_remove(&all[i]->clause.link);
	}
	rl_runq_init(&x->w.shard.runq);
	x->w.shard.current = NULL;
	rl_crew_disown(x->crew);
	for (unsigned i = 0; i < x->len; i++) {
		world_drop(&x->far[i]);
		world_drop(&x->near[i]);
	}
	world_settle(&x->w);
	world_close(&x->w);
}

TEST(a_worker_has_the_priority_of_what_it_handles)
{
	struct site x;
	open_site(&x, 2);
	news(&x, 0, RL_BACKGROUND);
	CHECK_EQ(x.one->state, RL_TASK_READY);
	CHECK_EQ(x.one->priority, RL_BACKGROUND);
	news(&x, 1, RL_CRITICAL); /* before it got to work: it is raised, and nobody else woken */
	CHECK_EQ(x.one->priority, RL_CRITICAL);
	CHECK_EQ(x.two->state, RL_TASK_PARKED);
	run_task(&x.w, x.one);
	CHECK(rl_crew_next(x.crew) == x.near[1]);
	handled(x.near[1]);
	rests(&x, RL_BACKGROUND); /* what it has sent goes first */
	CHECK(rl_crew_next(x.crew) == x.near[0]);
	CHECK_EQ(x.one->priority, RL_BACKGROUND);
	handled(x.near[0]);
	CHECK(rl_crew_next(x.crew) == NULL && !rl_crew_gave_way(x.crew));
	close_site(&x);
}

TEST(another_worker_goes_before_one_that_was_interrupted)
{
	struct site x;
	open_site(&x, 3);
	news(&x, 0, RL_NORMAL);
	run_task(&x.w, x.one);
	CHECK(rl_crew_next(x.crew) == x.near[0]);
	x.w.shard.current = NULL; /* interrupted in its handler */
	x.w.shard.interrupted = x.one;
	news(&x, 1, RL_NORMAL);   /* which can wait for it */
	news(&x, 2, RL_BACKGROUND);
	CHECK_EQ(x.two->state, RL_TASK_PARKED);
	rl_classify_fix(x.near[1], RL_CRITICAL);
	CHECK_EQ(x.two->state, RL_TASK_READY);
	CHECK_EQ(x.two->priority, RL_CRITICAL);
	CHECK_EQ(x.one->priority, RL_NORMAL);
	x.w.shard.interrupted = NULL;
	run_task(&x.w, x.two);
	CHECK(rl_crew_next(x.crew) == x.near[1]);
	handled(x.near[1]);
	x.w.shard.current = x.one;
	handled(x.near[0]);
	CHECK(rl_crew_next(x.crew) == x.near[2]);
	CHECK_EQ(x.one->priority, RL_BACKGROUND);
	close_site(&x);
}

/* Nobody is idle: whoever is free first takes it, as it goes before the rest. */
TEST(without_an_idle_worker_it_is_next)
{
	struct site x;
	open_site(&x, 3);
	news(&x, 0, RL_NORMAL);
	run_task(&x.w, x.one);
	CHECK(rl_crew_next(x.crew) == x.near[0]);
	go_elsewhere(&x, x.two);
	x.w.shard.current = NULL;
	news(&x, 1, RL_NORMAL);
	news(&x, 2, RL_CRITICAL);
	x.w.shard.current = x.one;
	handled(x.near[0]);
	CHECK(rl_crew_next(x.crew) == x.near[2]);
	CHECK_EQ(x.one->priority, RL_CRITICAL);
	close_site(&x);
}

TEST(news_of_no_priority_starves)
{
	enum { BULK = PAIRS - 2 };
	struct site x;
	unsigned normal = 0, taken = 0;
	open_site(&x, PAIRS);
	for (unsigned i = 0; i < BULK; i++)
		news(&x, i, i < BULK / 2 ? RL_CRITICAL : RL_NORMAL);
	news(&x, BULK, RL_BACKGROUND);
	run_task(&x.w, x.one);
	for (;; taken++) {
		struct rl_stream *s = rl_crew_next(x.crew);
		CHECK(s != NULL);
		if (!s || s == x.near[BULK] || taken > 1000)
			break;
		if (s->priority == RL_NORMAL && ++normal == 1)
			CHECK_EQ(taken, RL_FAVOURED);
		s->flags &= ~RL_STREAM_BUSY; /* there is more of it at once */
		rl_stream_tell(s);
	}
	CHECK_EQ(taken, RL_FAVOURED * (RL_FAVOURED + 1) + RL_FAVOURED);
	CHECK_EQ(normal, RL_FAVOURED);
	close_site(&x);
}

/* Whoever goes before a worker's next news is let go - but not before it did something. */
TEST(a_worker_gives_way_after_what_it_was_woken_for)
{
	struct site x;
	open_site(&x, 3);
	struct rl_task *critical = new_task(&x.w);
	go_elsewhere(&x, x.two);
	news(&x, 0, RL_NORMAL);
	news(&x, 1, RL_NORMAL);
	news(&x, 2, RL_NORMAL);
	CHECK_EQ(x.one->state, RL_TASK_READY);
	run_task(&x.w, x.one);
	for (unsigned i = 0; i < 2; i++) {
		critical->state = RL_TASK_READY;
		rl_runq_push(&x.w.shard.runq, critical);
		if (i == 0)
			rl_task_set_priority(&x.w.shard, critical, RL_CRITICAL);
		CHECK(rl_crew_next(x.crew) == x.near[i]);
		handled(x.near[i]);
		rests(&x, RL_NORMAL);
	}
	CHECK(rl_crew_next(x.crew) == x.near[2]);
	handled(x.near[2]);
	critical->state = RL_TASK_RUNNING;
	rl_task_set_priority(&x.w.shard, critical, RL_NORMAL);
	close_site(&x);
}

TEST(a_fresh_worker_leaves_it_to_the_one_that_rests)
{
	struct site x;
	open_site(&x, 2);
	struct rl_task *critical = new_task(&x.w);
	go_elsewhere(&x, x.two);
	news(&x, 0, RL_NORMAL);
	news(&x, 1, RL_NORMAL);
	run_task(&x.w, x.one);
	CHECK(rl_crew_next(x.crew) == x.near[0]);
	handled(x.near[0]);
	rl_runq_push(&x.w.shard.runq, critical);
	rl_task_set_priority(&x.w.shard, critical, RL_CRITICAL);
	CHECK(rl_crew_next(x.crew) == NULL && rl_crew_gave_way(x.crew));
	rl_runq_remove(&x.w.shard.runq, critical);
	park_task(&x.w, x.one, &x.w.shard.resting);
	run_task(&x.w, x.two);
	CHECK(rl_crew_next(x.crew) == NULL && !rl_crew_gave_way(x.crew));
	rl_classify_fix(x.near[1], RL_CRITICAL); /* which goes before what the other is for */
	rl_task_set_priority(&x.w.shard, x.one, RL_NORMAL);
	CHECK(rl_crew_next(x.crew) == x.near[1]);
	handled(x.near[1]);
	critical->state = RL_TASK_RUNNING;
	rl_task_set_priority(&x.w.shard, critical, RL_NORMAL);
	close_site(&x);
}

int main(void)
{
	RUN(news_wakes_a_worker_and_a_stuck_one_is_replaced);
	RUN(a_worker_has_the_priority_of_what_it_handles);
	RUN(another_worker_goes_before_one_that_was_interrupted);
	RUN(without_an_idle_worker_it_is_next);
	RUN(news_of_no_priority_starves);
	RUN(a_worker_gives_way_after_what_it_was_woken_for);
	RUN(a_fresh_worker_leaves_it_to_the_one_that_rests);
	return FINISH();
}
