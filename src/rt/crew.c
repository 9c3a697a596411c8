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
#include "rt/classify.h"

#include <stdlib.h>

/* The drainer, unless it ended or waits for something. One that gave way goes on next turn. */
static struct rl_task *drainer_of(const struct rl_crew *c)
{
	struct rl_task *t = c->drainer ? rl_task_at(c->net->shard, c->drainer_slot) : NULL;
	return t && t->id == c->drainer && (!rl_task_is_parked(t) || c->gave_way) ? t : NULL;
}

static void set_drainer(struct rl_crew *c, const struct rl_task *t, bool at_work)
{
	c->drainer = t->id;
	c->drainer_slot = t->slot;
	c->at_work = at_work;
}

/* The highest priority that there is news of; RL_PRIORITIES: there is none. */
static unsigned first_news(const struct rl_crew *c, unsigned from)
{
	while (from < RL_PRIORITIES && rl_list_empty(&c->news[from]))
		from++;
	return from;
}

static bool has_news(const struct rl_crew *c)
{
	return first_news(c, 0) < RL_PRIORITIES;
}

static void wake_worker(struct rl_crew *c)
{
	struct rl_clause *clause = rl_waitq_first(&c->workers);
	if (!clause)
		return;
	set_drainer(c, clause->task, false);
	c->gave_way = false;
	rl_task_set_priority(c->net->shard, clause->task, first_news(c, 0));
	rl_wait_end(c->net->shard, clause->task, 0);
}

/* There is news of this priority: somebody must get to it in time. */
static void rouse(struct rl_crew *c, unsigned priority)
{
	struct rl_task *t = drainer_of(c);
	if (t && t->priority <= priority)
		return;
	if (t && !c->at_work)
		rl_task_set_priority(c->net->shard, t, priority);
	else if (!t || t != c->net->shard->current)
		wake_worker(c);
}

static void handover(struct rl_dirty *d)
{
	struct rl_crew *c = rl_container(d, struct rl_crew, handover);
	if (!has_news(c) || c->stopped)
		return;
	if (drainer_of(c))
		rl_shard_mark(c->net->shard, d);
	else
		wake_worker(c);
}

void rl_crew_tell(struct rl_stream *s)
{
	struct rl_crew *c = s->more->crew;
	if (s->flags & (RL_STREAM_NEWS | RL_STREAM_BUSY))
		return;
	rl_classify(s);
	c = s->more->crew;
	if (!c || s->flags & RL_STREAM_NEWS) /* a function that was asked has closed it */
		return;
	RL_ASSERT(rl_list_empty(&s->news));
	s->flags |= RL_STREAM_NEWS;
	rl_list_push(&c->news[s->priority], &s->news);
	if (c->stopped || c->net->stopping)
		return;
	rl_shard_mark(c->net->shard, &c->handover);
	rouse(c, s->priority);
}

void rl_crew_set_priority(struct rl_stream *s, unsigned priority)
{
	if (s->priority == priority)
		return;
	s->priority = priority;
	if (!(s->flags & RL_STREAM_NEWS))
		return;
	struct rl_crew *c = s->more->crew;
	rl_list_remove(&s->news);
	rl_list_push(&c->news[priority], &s->news);
	if (!c->stopped && !c->net->stopping)
		rouse(c, priority);
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

/* The next news, in the order of what is runnable. */
static struct rl_stream *take_news(struct rl_crew *c)
{
	unsigned waits = 0;
	for (unsigned p = 0; p < RL_PRIORITIES; p++)
		waits |= (unsigned)!rl_list_empty(&c->news[p]) << p;
	if (waits == 0)
		return NULL;
	unsigned p = rl_runq_favour(c->favoured, waits);
	return rl_container(rl_list_pop(&c->news[p]), struct rl_stream, news);
}

/* Is the worker to end its run before it goes on, because somebody goes before that? One that was
 * woken has waited for its turn: it does something with it first. */
static bool gives_way(struct rl_crew *c, const struct rl_task *t)
{
	struct rl_shard *shard = c->net->shard;
	if (shard->urgency.sources == 0 || !rl_list_empty(&c->news[RL_CRITICAL]))
		return false;
	if (c->drainer == t->id && !c->at_work)
		return false;
	return rl_urgency_gives_way(shard, t->priority, first_news(c, 0));
}

/* Is another worker about to take what there is? With a classifier new workers are run at once: two
 * that took turns would look at the kernel each time. */
static bool is_drained(const struct rl_crew *c, const struct rl_task *t)
{
	if (c->net->shard->urgency.sources == 0 || c->at_work || c->drainer == t->id)
		return false;
	const struct rl_task *other = drainer_of(c);
	return other && other->priority <= first_news(c, 0);
}

struct rl_stream *rl_crew_next(struct rl_crew *c)
{
	struct rl_task *t = c->net->shard->current;
	if (has_news(c))
		rl_shard_mark(c->net->shard, &c->handover);
	if (is_drained(c, t))
		return NULL;
	c->gave_way = has_news(c) && gives_way(c, t);
	struct rl_stream *s = c->gave_way ? NULL : take_news(c);
	if (c->gave_way) { /* to those before what it would do next */
		set_drainer(c, t, false);
		rl_task_set_priority(c->net->shard, t, first_news(c, 0));
		return NULL;
	}
	if (!s) {
		if (c->drainer == t->id)
			c->drainer = 0;
		return NULL;
	}
	set_drainer(c, t, true);
	rl_task_set_priority(c->net->shard, t, s->priority);
	s->flags &= ~RL_STREAM_NEWS;
	s->flags |= RL_STREAM_BUSY;
	return s;
}

bool rl_crew_gave_way(struct rl_crew *c)
{
	return c->gave_way && c->drainer == c->net->shard->current->id && !c->stopped;
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
	for (unsigned p = 0; p < RL_PRIORITIES; p++)
		rl_list_init(&c->news[p]);
	rl_waitq_init(&c->workers);
	rl_list_init(&c->handover.link);
	c->handover.flush = handover;
	rl_net_add(net, &c->item);
	*handle = c;
	return 0;
}
