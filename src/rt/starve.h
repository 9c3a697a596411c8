/* SPDX-License-Identifier: MIT */
/*
 * starve: is a thread starved: ready to run, and for `limit_ns` or more not let onto a CPU, because
 * others are on it, or the quota of its cgroup is used up? Blocking in a system call is not that.
 *
 * Something looks at it now and then, from another thread; for an ordinary one a look is due every
 * half limit and costs a few microseconds. A wait that began and ended between two looks is found
 * afterwards, by what the kernel counted. A thread that sleeps and wakes is looked at alike.
 */
#ifndef RL_RT_STARVE_H
#define RL_RT_STARVE_H

#include "os/cpuwait.h"

#include <stdbool.h>

/* What is asked of the thread; NULL but for tests: os/cpuwait. */
struct rl_starve_sys {
	int64_t (*ran_ns)(const struct rl_cpuwait *c);
	void (*read)(const struct rl_cpuwait *c, struct rl_cpuwait_counts *out);
	char (*state)(const struct rl_cpuwait *c);
};

struct rl_starve {
	struct rl_cpuwait thread;
	const struct rl_starve_sys *sys;  /* NULL: nobody looks */
	int64_t limit_ns;
	int64_t due_ns;                   /* of the next look */
	int64_t looked_ns;                /* when the last was, and what it found: */
	int64_t ran_ns;
	struct rl_cpuwait_counts counts;
	int64_t waiting_ns;               /* since when it is known to wait; 0: it is not */
	bool begun;                       /* RL_STARVE_BEGUN was said, and not yet what ends it */
	int64_t found_ns;                 /* a wait that is over and is still to be told */
	int64_t lasted_ns;                /* the one that was told last */
	int64_t mark_ns;                  /* see rl_starve_mark */
};

enum rl_starve_news {
	RL_STARVE_NONE,
	RL_STARVE_BEGUN, /* it has waited for the limit since `waiting_ns`, and still does */
	RL_STARVE_OVER,  /* it has waited for `lasted_ns`; perhaps without RL_STARVE_BEGUN before */
};

/* Of the calling thread. Limit 0, or a machine that does not tell: it never starves. */
void rl_starve_open(struct rl_starve *s, int64_t limit_ns, int64_t now_ns);
/* The same over a fake thread. */
void rl_starve_open_fake(struct rl_starve *s, const struct rl_starve_sys *sys, int64_t limit_ns,
	int64_t now_ns);
void rl_starve_close(struct rl_starve *s);

/* A look, if one is due. */
enum rl_starve_news rl_starve_look(struct rl_starve *s, int64_t now_ns);

/* On its own thread, which runs, after nobody has looked for long. */
void rl_starve_ran(struct rl_starve *s, int64_t now_ns);

/* It is known to wait for a CPU now: do not stop looking. */
static inline bool rl_starve_waits(const struct rl_starve *s)
{
	return s->waiting_ns != 0;
}

/* Something begins; how long has the thread waited since, this moment included? Late by what it
 * waited since the last look before. */
static inline void rl_starve_mark(struct rl_starve *s)
{
	s->mark_ns = s->counts.waited_ns;
}
int64_t rl_starve_waited(struct rl_starve *s, int64_t now_ns);

#endif
