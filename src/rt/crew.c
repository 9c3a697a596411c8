/* SPDX-License-Identifier: MIT */
/*
 * crew: see crew.h.
 *
 * Invariants: a stream is on `news` exactly while RL_STREAM_NEWS is set, and then nobody reads it,
 * so one link serves both; NEWS and BUSY exclude each other. While there is news, `handover` is
 * marked: at the end of each turn it looks whether the drainer got stuck in a handler. Only if it
 * did and no worker is idle is it not: a worker asks for news before it parks.
 */
#include "rt/crew.h"

#include "base/check.h"
#include "base/err.h"

#include <stdlib.h>

/* The drainer, unless it ended or waits for something. */
static bool drainer_runs(const struct rl_crew *c)
{
	const struct rl_task *t = c->drainer ? rl_task_at(c->net->shard, c->drainer_slot) : NULL;
	return t && t->id == c->drainer && !rl_task_is_parked(t);
}

static void wake_worker(struct rl_crew *c)
{
	struct rl_clause *clause = rl_waitq_first(&c->workers);
	if (!clause)
		return;
	c->drainer = clause->task->id;
	c->drainer_slot = clause->task->slot;
	rl_wait_end(c->net->shard, clause->task, 0);
}

static void handover(struct rl_dirty *d)
{
	struct rl_crew *c = rl_container(d, struct rl_crew, handover);
	if (rl_list_empty(&c->news) || c->stopped)
		return;
	if (drainer_runs(c))
		rl_shard_mark(c->net->shard, d);
	else
		wake_worker(c);
}

void rl_crew_tell(struct rl_stream *s)
{
	struct rl_crew *c = s->more->crew;
	if (s->flags & (RL_STREAM_NEWS | RL_STREAM_BUSY))
		return;
	RL_ASSERT(rl_list_empty(&s->news));
	s->flags |= RL_STREAM_NEWS;
	rl_list_push(&c->news, &s->news);
	if (c->stopped || c->net->stopping)
		return;
	rl_shard_mark(c->net->shard, &c->handover);
	if (!drainer_runs(c))
		wake_worker(c);
}

int rl_crew_add(struct rl_crew *c, struct rl_stream *s)
{
	int err = rl_stream_extend(s);
	if (err < 0)
		return err;
	RL_ASSERT(rl_list_empty(&s->readers.waiters));
	s->more->crew = c;
	s->flags |= RL_STREAM_SERVED | RL_STREAM_BUSY;
	c->streams++;
	return 0;
}

struct rl_stream *rl_crew_next(struct rl_crew *c)
{
	const struct rl_task *t = c->net->shard->current;
	struct rl_list *l = rl_list_pop(&c->news);
	if (!l)
		return NULL;
	c->drainer = t->id;
	c->drainer_slot = t->slot;
	if (!rl_list_empty(&c->news))
		rl_shard_mark(c->net->shard, &c->handover);
	struct rl_stream *s = rl_container(l, struct rl_stream, news);
	s->flags &= ~RL_STREAM_NEWS;
	s->flags |= RL_STREAM_BUSY;
	return s;
}

bool rl_crew_idle(struct rl_crew *c)
{
	unsigned n = 0;
	for (const struct rl_list *l = c->workers.waiters.next; l != &c->workers.waiters; l = l->next)
		n++;
	return !c->stopped && n < RL_CREW_IDLE_MAX;
}

bool rl_crew_lacks_worker(const struct rl_crew *c)
{
	return !c->stopped && rl_list_empty(&c->workers.waiters);
}

void rl_crew_stop(struct rl_crew *c)
{
	c->stopped = true;
	rl_list_remove(&c->handover.link);
	if (!c->net->stopping)
		rl_waitq_wake(c->net->shard, &c->workers, 0, true);
}

void rl_crew_rest(struct rl_stream *s)
{
	if (!(s->flags & RL_STREAM_SERVED) || !(s->flags & RL_STREAM_BUSY))
		return;
	s->flags &= ~RL_STREAM_BUSY;
	if (rl_stream_status(s) == -EAGAIN)
		rl_stream_expect(s, 1, 1);
	if (rl_stream_status(s) != -EAGAIN)
		rl_crew_tell(s);
}

static void crew_free(struct rl_crew *c)
{
	rl_list_remove(&c->item.link);
	rl_list_remove(&c->handover.link);
	free(c);
}

void rl_crew_remove(struct rl_stream *s)
{
	if (!(s->flags & RL_STREAM_SERVED))
		return;
	struct rl_crew *c = s->more->crew;
	if (s->flags & RL_STREAM_NEWS)
		rl_list_remove(&s->news);
	s->flags &= ~(RL_STREAM_NEWS | RL_STREAM_SERVED | RL_STREAM_BUSY);
	s->more->crew = NULL;
	if (--c->streams == 0 && !c->handle)
		crew_free(c);
}

void rl_crew_disown(struct rl_crew *c)
{
	c->handle = NULL;
	rl_crew_stop(c);
	if (c->streams == 0)
		crew_free(c);
}

static void item_stop(struct rl_net_item *item)
{
	rl_crew_stop(rl_container(item, struct rl_crew, item));
}

static void item_drop(struct rl_net_item *item, bool keep)
{
	struct rl_crew *c = rl_container(item, struct rl_crew, item);
	while (rl_list_pop(&c->workers.waiters))
		continue;
	if (c->handle)
		*c->handle = NULL;
	if (!keep)
		crew_free(c);
}

int rl_crew_open(struct rl_net *net, struct rl_crew **handle)
{
	struct rl_crew *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->net = net;
	c->handle = handle;
	c->item.stop = item_stop;
	c->item.drop = item_drop;
	rl_list_init(&c->item.link);
	rl_list_init(&c->news);
	rl_waitq_init(&c->workers);
	rl_list_init(&c->handover.link);
	c->handover.flush = handover;
	rl_net_add(net, &c->item);
	*handle = c;
	return 0;
}
