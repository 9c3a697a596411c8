/* SPDX-License-Identifier: MIT */
/*
 * cpus: a set of CPUs by the kernel's numbers, ascending, each once. A zeroed one is empty.
 */
#ifndef RL_BASE_CPUS_H
#define RL_BASE_CPUS_H

/* Numbers are below this; Linux can be built for 8,192. */
#ifndef RL_CPUS_MAX
#define RL_CPUS_MAX 65536
#endif

struct rl_cpus {
	unsigned len, room;
	unsigned *at;
};

/* 0, also when it is there already; -ERANGE from RL_CPUS_MAX on; -ENOMEM. */
int rl_cpus_add(struct rl_cpus *c, unsigned cpu);

/* Add what `text` lists, "0-3,8,10-11", blanks around the numbers allowed; nothing for an empty
 * one. -EINVAL: it is no such list; -ERANGE; -ENOMEM: then some of it may have been added. */
int rl_cpus_parse(struct rl_cpus *c, const char *text);

/* Free its memory; it is empty again. */
void rl_cpus_term(struct rl_cpus *c);

#endif
