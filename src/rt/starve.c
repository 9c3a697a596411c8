/* SPDX-License-Identifier: MIT */
/*
 * starve: see starve.h.
 *
 * Sound: a thread that was seen runnable, and whose CPU time is the same at a later look, has been
 * waiting all the while; had it slept and been woken in between, it would have run.
 *
 * Of a wait that no look saw, the kernel gives the sum over all waits since the last look, and how
 * many there were. The longest of them lasted at least their mean, and at least what of the sum
 * does not fit between the looks: that part was the first, which had begun before.
 */
#include "rt/starve.h"

#include <stddef.h>

static const struct rl_starve_sys the_thread = {
	.ran_ns = rl_cpuwait_ran_ns,
	.read = rl_cpuwait_read,
	.state = rl_cpuwait_state,
};

void rl_starve_open_fake(struct rl_starve *s, const struct rl_starve_sys *sys, int64_t limit_ns,
	int64_t now_ns)
{
	*s = (struct rl_starve){
		.thread = s->thread, .sys = sys, .limit_ns = limit_ns, .looked_ns = now_ns,
		.due_ns = now_ns + limit_ns / 2,
	};
	s->ran_ns = sys->ran_ns(&s->thread);
	sys->read(&s->thread, &s->counts);
	rl_starve_mark(s);
}

void rl_starve_open(struct rl_starve *s, int64_t limit_ns, int64_t now_ns)
{
	*s = (struct rl_starve){0};
	if (limit_ns > 0 && rl_cpuwait_open(&s->thread) == 0)
		rl_starve_open_fake(s, &the_thread, limit_ns, now_ns);
}

void rl_starve_close(struct rl_starve *s)
{
	rl_cpuwait_close(&s->thread);
	s->sys = NULL;
	s->waiting_ns = 0;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* What the longest wait lasted at least, of those that have ended since the last look. */
static int64_t longest(const struct rl_starve *s, const struct rl_cpuwait_counts *now,
	int64_t now_ns)
{
	int64_t waited_ns = now->waited_ns - s->counts.waited_ns;
	uint64_t turns = now->turns - s->counts.turns;
	int64_t seen_ns = s->waiting_ns ? s->looked_ns - s->waiting_ns : 0;
	if (turns == 0 || waited_ns <= 0)
		return seen_ns;
	int64_t before_ns = waited_ns - (now_ns - s->looked_ns);
	return later(seen_ns, later(before_ns, waited_ns / (int64_t)turns));
}

/* It has run since the last look. */
static void has_run(struct rl_starve *s, int64_t ran_ns, int64_t now_ns)
{
	struct rl_cpuwait_counts now;
	s->sys->read(&s->thread, &now);
	int64_t ns = longest(s, &now, now_ns);
	if (s->begun || ns >= s->limit_ns)
		s->found_ns = later(s->found_ns, ns);
	s->ran_ns = ran_ns;
	s->counts = now;
	s->looked_ns = now_ns;
	s->waiting_ns = 0;
	s->due_ns = now_ns + s->limit_ns / 2;
}

void rl_starve_ran(struct rl_starve *s, int64_t now_ns)
{
	if (s->sys)
		has_run(s, s->sys->ran_ns(&s->thread), now_ns);
}

/* Its CPU time has not moved since the last look. */
static enum rl_starve_news stands_still(struct rl_starve *s, int64_t now_ns)
{
	s->looked_ns = now_ns;
	if (s->waiting_ns == 0 && s->sys->state(&s->thread) == 'R')
		s->waiting_ns = now_ns;
	if (s->waiting_ns == 0) {
		s->due_ns = now_ns + s->limit_ns / 2;
		return RL_STARVE_NONE;
	}
	s->due_ns = now_ns;
	if (s->begun || now_ns - s->waiting_ns < s->limit_ns)
		return RL_STARVE_NONE;
	s->begun = true;
	return RL_STARVE_BEGUN;
}

enum rl_starve_news rl_starve_look(struct rl_starve *s, int64_t now_ns)
{
	if (!s->sys || (now_ns < s->due_ns && s->found_ns == 0))
		return RL_STARVE_NONE;
	int64_t ran_ns = s->sys->ran_ns(&s->thread);
	if (ran_ns != s->ran_ns)
		has_run(s, ran_ns, now_ns);
	else if (s->found_ns == 0)
		return stands_still(s, now_ns);
	if (s->found_ns == 0)
		return RL_STARVE_NONE;
	s->lasted_ns = s->found_ns;
	s->found_ns = 0;
	s->begun = false;
	return RL_STARVE_OVER;
}

int64_t rl_starve_waited(struct rl_starve *s, int64_t now_ns)
{
	struct rl_cpuwait_counts now;
	if (!s->sys)
		return 0;
	s->sys->read(&s->thread, &now);
	int64_t ns = now.waited_ns - s->mark_ns;
	if (s->waiting_ns && now.turns == s->counts.turns)
		ns += now_ns - s->waiting_ns;
	return ns > 0 ? ns : 0;
}
