/* SPDX-License-Identifier: MIT */
/*
 * topology: the CPUs, the CPU time and the memory nodes that this process may use, and where the
 * calling thread runs and allocates.
 *
 * A machine with one node was all there was to try this on. What is asked of the kernel on a
 * machine with more is tested through rl_topology_sys and a tree of files made for the test.
 */
#ifndef RL_OS_TOPOLOGY_H
#define RL_OS_TOPOLOGY_H

#include "base/cpus.h"

#include <sched.h>
#include <stddef.h>

#define RL_TOPOLOGY_NODES_MAX 1024 /* what Linux can be built for */
#define RL_TOPOLOGY_NAME_MAX 15    /* bytes of a thread's name */
#define RL_TOPOLOGY_LOCAL (-1)     /* a node: the one the thread runs on at the time */

struct rl_node_mask {
	unsigned long words[RL_TOPOLOGY_NODES_MAX / (8 * sizeof(unsigned long))];
};

/* The kernel as this file sees it: for the calling thread, 0 or -errno. `size` counts bytes, `mode`
 * is one of linux/mempolicy.h with its flags. */
struct rl_topology_sys {
	int (*get_affinity)(size_t size, cpu_set_t *cpus);
	int (*set_affinity)(size_t size, const cpu_set_t *cpus);
	int (*get_name)(char *name, size_t size);
	int (*set_name)(const char *name);
	int (*get_mempolicy)(int *mode, struct rl_node_mask *nodes);
	int (*set_mempolicy)(int mode, const struct rl_node_mask *nodes);
};

struct rl_topology_node {
	unsigned id;
	struct rl_cpus cpus; /* all of it, allowed or not; empty when it is memory alone */
};

/* Read once, then shared by threads as it does not change. */
struct rl_topology {
	const struct rl_topology_sys *sys;
	struct rl_cpus cpus; /* those the calling thread of rl_topology_read may run on */
	double quota;        /* CPUs' worth of time that the cgroups allow; 0: no limit */
	unsigned nodes_len;  /* at least 1 */
	struct rl_topology_node *nodes; /* by ascending id */
};

/* How a thread is placed. A zeroed one can be forgotten. */
struct rl_topology_place {
	struct rl_cpus cpus;
	char name[RL_TOPOLOGY_NAME_MAX + 1];
	int mode; /* memory policy; -1: there is one node, or the kernel does not tell */
	struct rl_node_mask nodes;
};

/* What there is. /proc and /sys are read below `root`, "" but for tests, and the kernel is asked
 * through `sys`, NULL but for tests. Files that cannot be read are no error: no quota, one node
 * with all allowed CPUs. 0, -ENOMEM, or what the kernel says to sched_getaffinity. */
int rl_topology_read(struct rl_topology **out, const char *root,
	const struct rl_topology_sys *sys);

/* NULL is fine. */
void rl_topology_free(struct rl_topology *t);

/* The calling thread runs on `cpus` alone. -EINVAL: it may run on none of them. */
int rl_topology_pin(const struct rl_topology *t, const struct rl_cpus *cpus);

/* The calling thread is called `name`, cut to RL_TOPOLOGY_NAME_MAX bytes between characters. */
int rl_topology_name(const struct rl_topology *t, const char *name);

/* Memory the calling thread touches first comes from the node with this id while it has some, or
 * from RL_TOPOLOGY_LOCAL. With one node nothing is done. -EINVAL: no such node; -EPERM and -ENOSYS
 * in containers that forbid set_mempolicy. */
int rl_topology_bind(const struct rl_topology *t, int node);

/* Note how the calling thread is placed, and go back to it. Going back tries everything and returns
 * the first error. */
int rl_topology_save(const struct rl_topology *t, struct rl_topology_place *p);
int rl_topology_restore(const struct rl_topology *t, const struct rl_topology_place *p);
void rl_topology_forget(struct rl_topology_place *p);

#endif
