/* SPDX-License-Identifier: MIT */
/* crew_test: who handles which stream. Workers are task records that the test moves by hand. */
#include "world.h"

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
	w->shard.runq_len = 0;
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
	w->shard.runq_len = 0;
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
	CHECK(rl_list_empty(&crew->news));
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

int main(void)
{
	RUN(news_wakes_a_worker_and_a_stuck_one_is_replaced);
	return FINISH();
}
