/* SPDX-License-Identifier: MIT */
/*
 * urgency: see urgency.h.
 *
 * A word that rose is stale when something critical was received after `at_ns`: what raised it was
 * handled before it was seen, which is the rule for a shard that was idle.
 */
#include "rt/urgency.h"

#include "rt/shard.h"

#include <limits.h>

#ifndef RL_URGENT_POLL_NS
#define RL_URGENT_POLL_NS 50000
#endif
#define RL_URGENT_HINTED_POLL_NS 250000 /* with a word */
#define RL_URGENT_FLUSHES  8 /* a send takes up to 10 us */
#define RL_URGENT_RECENT_NS 20000000 /* after something critical more of it may come */
#define RL_URGENT_AWAIT_NS 500000
#define RL_URGENT_FLUSH_NS 2000000 /* from then on what is not critical waits no more to be sent */
#define RL_URGENT_AWAIT_SHARE 20        /* one part in so many of the time may be spent so */

static bool is_raised(const struct rl_urgency *u)
{
	return u->urgent && u->urgent->word != u->seen;
}

void rl_urgency_add(struct rl_shard *s, int n)
{
	s->urgency.sources += (unsigned)n;
	atomic_store_explicit(&s->urgent, s->urgency.sources > 0, memory_order_relaxed);
}

void rl_urgency_watch(struct rl_shard *s, const struct rl_urgent *urgent)
{
	struct rl_urgency *u = &s->urgency;
	if ((urgent != NULL) != (u->urgent != NULL))
		rl_urgency_add(s, urgent ? 1 : -1);
	u->urgent = urgent;
	u->seen = urgent ? urgent->word : 0;
	u->until_ns = 0;
}

void rl_urgency_arrived(struct rl_shard *s)
{
	s->urgency.arrived_ns = rl_shard_came(s);
}

/* The word has risen: is what raised it still to come? */
static bool take_hint(struct rl_shard *s)
{
	struct rl_urgency *u = &s->urgency;
	int64_t at_ns = (int64_t)u->urgent->at_ns;
	u->seen = u->urgent->word;
	u->hints++;
	if (at_ns > 0 && u->arrived_ns >= at_ns)
		return false;
	int64_t most_ns = u->allowance_ns < RL_URGENT_AWAIT_NS ? u->allowance_ns : RL_URGENT_AWAIT_NS;
	u->until_ns = rl_shard_now(s) + (most_ns > 0 ? most_ns : 0);
	return true;
}

static bool is_due(struct rl_shard *s, unsigned priority)
{
	struct rl_urgency *u = &s->urgency;
	if (is_raised(u) && take_hint(s))
		return true;
	if (s->runq.len[RL_CRITICAL] > 0)
		return false;
	if (priority == RL_CRITICAL && (!rl_list_empty(&s->dirty) || rl_os_ready(s->os)))
		return true;
	int64_t every_ns = u->urgent ? RL_URGENT_HINTED_POLL_NS : RL_URGENT_POLL_NS;
	int64_t now_ns = rl_shard_now(s);
	if (now_ns - u->polled_ns < every_ns)
		return false;
	return (s->due_ns >= 0 && now_ns >= s->due_ns) || rl_os_ready(s->os);
}

bool rl_urgency_ends_turn(struct rl_shard *s, unsigned priority)
{
	struct rl_urgency *u = &s->urgency;
	u->critical = u->critical || priority == RL_CRITICAL;
	u->ending = u->ending || is_due(s, priority);
	return u->ending;
}

unsigned rl_urgency_flushes(struct rl_shard *s)
{
	struct rl_urgency *u = &s->urgency;
	bool recent = u->arrived_ns > 0 && s->now_ns - u->arrived_ns < RL_URGENT_RECENT_NS;
	bool young = recent && s->now_ns - u->flushed_ns < RL_URGENT_FLUSH_NS;
	bool defers = young && u->ending && !u->critical;
	if (!defers)
		u->flushed_ns = s->now_ns;
	u->ending = u->critical = false;
	if (!recent)
		return UINT_MAX;
	return defers ? 0 : RL_URGENT_FLUSHES;
}

bool rl_urgency_gives_way(struct rl_shard *s, unsigned priority, unsigned next)
{
	return rl_runq_has_above(&s->runq, next) || rl_urgency_ends_turn(s, priority);
}

void rl_urgency_await(struct rl_shard *s)
{
	struct rl_urgency *u = &s->urgency;
	int64_t from_ns = s->now_ns;
	bool waits = !s->os->closed_world; /* where time stands still meanwhile */
	while (waits && !rl_os_ready(s->os) && s->now_ns < u->until_ns)
		rl_shard_now(s);
	u->allowance_ns -= s->now_ns - from_ns;
	if (!rl_os_ready(s->os)) {
		u->spurious++;
		u->until_ns = 0;
	}
}

void rl_urgency_polled(struct rl_shard *s)
{
	struct rl_urgency *u = &s->urgency;
	int64_t before_ns = u->polled_ns;
	u->allowance_ns += (s->now_ns - before_ns) / RL_URGENT_AWAIT_SHARE;
	if (u->allowance_ns > RL_URGENT_AWAIT_NS)
		u->allowance_ns = RL_URGENT_AWAIT_NS;
	u->polled_ns = s->now_ns;
	if (s->now_ns >= u->until_ns || u->arrived_ns >= before_ns) /* what was waited for has come */
		u->until_ns = 0;
}

bool rl_urgency_interrupts(const struct rl_shard *s)
{
	const struct rl_task *t = s->current;
	if (s->urgency.sources == 0 || !t || t->priority == RL_CRITICAL)
		return false;
	return rl_runq_has_above(&s->runq, t->priority) || is_raised(&s->urgency)
		|| rl_os_ready(s->os);
}
