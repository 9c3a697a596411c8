/* SPDX-License-Identifier: MIT */
/*
 * topology: see topology.h.
 *
 * The quota is that of the tightest cgroup from the process's own up to the root of what is
 * mounted, in version 2 (cpu.max) and version 1 (cpu.cfs_quota_us) alike: machines have either or
 * both. /proc/self/cgroup names the cgroup, /proc/self/mountinfo where its hierarchy is mounted and
 * which part of it; a container that sees its own part alone has both paths begin alike, or the
 * cgroup is "/". Where that does not add up, the mount point itself is asked.
 *
 * Invariants: nothing is kept open; a text from a file is never trusted to be what it should.
 */
#define _GNU_SOURCE
#include "os/topology.h"

#include "base/err.h"

#include <dirent.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NODES_PATH "/sys/devices/system/node"
#define CGROUP_PATH "/proc/self/cgroup"
#define MOUNTS_PATH "/proc/self/mountinfo"

#define CPUS_AT_FIRST 1024 /* how many CPUs the first question to the kernel has room for */
#define WORD_BITS (8 * sizeof(unsigned long))

/* ---- the kernel ------------------------------------------------------------------------------ */

static int sys_get_affinity(size_t size, cpu_set_t *cpus)
{
	return sched_getaffinity(0, size, cpus) < 0 ? -errno : 0;
}

static int sys_set_affinity(size_t size, const cpu_set_t *cpus)
{
	return -pthread_setaffinity_np(pthread_self(), size, cpus);
}

static int sys_get_name(char *name, size_t size)
{
	return -pthread_getname_np(pthread_self(), name, size);
}

static int sys_set_name(const char *name)
{
	return -pthread_setname_np(pthread_self(), name);
}

/* The kernel reads one bit less than it is told. */
static int sys_get_mempolicy(int *mode, struct rl_node_mask *nodes)
{
	long r = syscall(SYS_get_mempolicy, mode, nodes->words, RL_TOPOLOGY_NODES_MAX + 1, NULL, 0);
	return r < 0 ? -errno : 0;
}

static int sys_set_mempolicy(int mode, const struct rl_node_mask *nodes)
{
	long r = syscall(SYS_set_mempolicy, mode, nodes->words, RL_TOPOLOGY_NODES_MAX + 1);
	return r < 0 ? -errno : 0;
}

static const struct rl_topology_sys the_kernel = {
	.get_affinity = sys_get_affinity,
	.set_affinity = sys_set_affinity,
	.get_name = sys_get_name,
	.set_name = sys_set_name,
	.get_mempolicy = sys_get_mempolicy,
	.set_mempolicy = sys_set_mempolicy,
};

/* ---- CPUs ------------------------------------------------------------------------------------ */

static int cpus_of_set(struct rl_cpus *out, size_t size, const cpu_set_t *set)
{
	int err = 0;
	for (unsigned cpu = 0; cpu < 8 * size && err == 0; cpu++)
		if (CPU_ISSET_S(cpu, size, set))
			err = rl_cpus_add(out, cpu);
	return err;
}

/* Ask with room for so many CPUs: -EINVAL when the kernel has more. */
static int ask_affinity(const struct rl_topology_sys *sys, struct rl_cpus *out, unsigned room)
{
	size_t size = CPU_ALLOC_SIZE(room);
	cpu_set_t *set = CPU_ALLOC(room);
	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	int err = sys->get_affinity(size, set);
	if (err == 0)
		err = cpus_of_set(out, size, set);
	CPU_FREE(set);
	return err;
}

static int read_affinity(const struct rl_topology_sys *sys, struct rl_cpus *out)
{
	int err = -EINVAL;
	for (unsigned room = CPUS_AT_FIRST; err == -EINVAL && room <= RL_CPUS_MAX; room *= 2)
		err = ask_affinity(sys, out, room);
	return err;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Call fn(line, arg) for each line of a file, without its newline, until it does not return 0.
 * Returns what it returned last; a file that cannot be read has no lines. */
static int each_line(const char *root, const char *path, int (*fn)(char *, void *), void *arg)
{
	char full[PATH_MAX], *line = NULL;
	size_t room = 0;
	int result = 0;
	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return 0;
	FILE *f = fopen(full, "re");
	if (!f)
		return 0;
	while (result == 0 && getline(&line, &room, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		result = fn(line, arg);
	}
	free(line);
	fclose(f);
	return result;
}

/* ---- quota ----------------------------------------------------------------------------------- */

struct cgroup {
	const char *root;
	const char *path; /* in its hierarchy; "" for the top of it */
	bool v2;
	bool mounted;     /* its hierarchy was found among the mounts */
	double quota;     /* the smallest of all so far; 0: none */
};

struct limit {
	long long quota, period; /* microseconds; <= 0: none */
};

static int take_limit(char *line, void *arg)
{
	struct limit *l = arg;
	if (sscanf(line, "%lld %lld", &l->quota, &l->period) < 2)
		l->quota = 0; /* "max 100000" */
	return 1;
}

static int take_number(char *line, void *arg)
{
	long long *n = arg;
	if (sscanf(line, "%lld", n) < 1)
		*n = 0;
	return 1;
}

static long long number_in(const char *dir, const char *name)
{
	long long n = 0;
	each_line(dir, name, take_number, &n);
	return n;
}

/* The smallest so far and what the cgroup with this directory allows. */
static void add_limit(struct cgroup *g, const char *dir)
{
	struct limit l = { 0 };
	if (g->v2) {
		each_line(dir, "/cpu.max", take_limit, &l);
	} else {
		l.quota = number_in(dir, "/cpu.cfs_quota_us");
		l.period = number_in(dir, "/cpu.cfs_period_us");
	}
	if (l.quota <= 0 || l.period <= 0)
		return;
	double cpus = (double)l.quota / (double)l.period;
	if (g->quota == 0 || cpus < g->quota)
		g->quota = cpus;
}

/* From the cgroup at `path` below the mount point up to the mount point. */
static void add_limits(struct cgroup *g, const char *point, const char *path)
{
	char dir[PATH_MAX];
	int n = snprintf(dir, sizeof(dir), "%s%s%s", g->root, point, path);
	if (n >= (int)sizeof(dir))
		return;
	size_t top = (size_t)n - strlen(path);
	add_limit(g, dir);
	while (strlen(dir) > top) {
		*strrchr(dir, '/') = '\0';
		add_limit(g, dir);
	}
}

/* The cgroup's path below a mount that shows the hierarchy from `part` on. */
static const char *path_below(const struct cgroup *g, const char *part)
{
	size_t n = strcmp(part, "/") == 0 ? 0 : strlen(part);
	if (strncmp(g->path, part, n) != 0)
		return "";
	const char *rest = g->path + n;
	/* "/..": the process was moved out of what its namespace shows. */
	return *rest == '/' && !strstr(rest, "/..") ? rest : "";
}

/* Is `word` in a list with commas? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	while (strncmp(list, word, n) != 0 || (list[n] != ',' && list[n] != '\0')) {
		list = strchr(list, ',');
		if (!list)
			return false;
		list++;
	}
	return true;
}

/* Undo what mountinfo does to blanks and backslashes: \040. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from; to++) {
		if (*from == '\\' && strspn(from + 1, "01234567") >= 3) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /part /point rw,noatime master:1 - cgroup source rw,cpu,cpuacct" */
static int take_mount(char *line, void *arg)
{
	struct cgroup *g = arg;
	char part[PATH_MAX], point[PATH_MAX], type[16], options[1024] = "";
	const char *rest = strstr(line, " - ");
	if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", part, point) < 2)
		return 0;
	if (sscanf(rest, " - %15s %*s %1023s", type, options) < 1)
		return 0;
	if (strcmp(type, g->v2 ? "cgroup2" : "cgroup") != 0 || (!g->v2 && !has_word(options, "cpu")))
		return 0;
	g->mounted = true;
	unescape(part);
	unescape(point);
	add_limits(g, point, path_below(g, part));
	return 0;
}

/* "0::/path" is version 2, "4:cpu,cpuacct:/path" version 1. */
static int take_cgroup(char *line, void *arg)
{
	struct cgroup *g = arg;
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!path)
		return 0;
	*path++ = '\0';
	controllers++;
	g->v2 = *controllers == '\0';
	if (!g->v2 && !has_word(controllers, "cpu"))
		return 0;
	g->path = strcmp(path, "/") == 0 ? "" : path;
	g->mounted = false;
	each_line(g->root, MOUNTS_PATH, take_mount, g);
	if (!g->mounted)
		add_limits(g, g->v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", path_below(g, "/"));
	return 0;
}

static double read_quota(const char *root)
{
	struct cgroup g = { .root = root };
	each_line(root, CGROUP_PATH, take_cgroup, &g);
	return g.quota;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static int take_cpus(char *line, void *arg)
{
	struct rl_cpus *cpus = arg;
	int err = rl_cpus_parse(cpus, line);
	if (err == -ENOMEM)
		return err;
	if (err < 0)
		rl_cpus_term(cpus);
	return 1;
}

static int add_node(struct rl_topology *t, const char *root, unsigned id)
{
	char path[128];
	struct rl_topology_node *nodes = realloc(t->nodes, (t->nodes_len + 1) * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	t->nodes = nodes;
	struct rl_topology_node *node = &nodes[t->nodes_len++];
	*node = (struct rl_topology_node){ .id = id };
	snprintf(path, sizeof(path), NODES_PATH "/node%u/cpulist", id);
	int err = each_line(root, path, take_cpus, &node->cpus);
	return err < 0 ? err : 0;
}

/* The number in "node12", or -EINVAL. */
static int node_number(const char *name)
{
	int id, end = 0;
	if (sscanf(name, "node%d%n", &id, &end) < 1 || name[end] != '\0')
		return -EINVAL;
	return id >= 0 && id < RL_TOPOLOGY_NODES_MAX ? id : -EINVAL;
}

static int by_id(const void *a, const void *b)
{
	const struct rl_topology_node *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

/* The one node of a machine that tells of none. */
static int make_node(struct rl_topology *t)
{
	t->nodes = calloc(1, sizeof(*t->nodes));
	if (!t->nodes)
		return -ENOMEM;
	t->nodes_len = 1;
	int err = 0;
	for (unsigned i = 0; i < t->cpus.len && err == 0; i++)
		err = rl_cpus_add(&t->nodes[0].cpus, t->cpus.at[i]);
	return err;
}

static int read_nodes(struct rl_topology *t, const char *root)
{
	char path[PATH_MAX];
	int err = 0;
	if (snprintf(path, sizeof(path), "%s%s", root, NODES_PATH) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	DIR *dir = opendir(path);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e && err == 0; e = readdir(dir)) {
		int id = node_number(e->d_name);
		if (id >= 0)
			err = add_node(t, root, (unsigned)id);
	}
	if (dir)
		closedir(dir);
	if (err < 0)
		return err;
	if (t->nodes_len == 0)
		return make_node(t);
	qsort(t->nodes, t->nodes_len, sizeof(*t->nodes), by_id);
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

int rl_topology_read(struct rl_topology **out, const char *root, const struct rl_topology_sys *sys)
{
	*out = NULL;
	struct rl_topology *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->sys = sys ? sys : &the_kernel;
	int err = read_affinity(t->sys, &t->cpus);
	if (err == 0)
		err = read_nodes(t, root);
	if (err < 0) {
		rl_topology_free(t);
		return err;
	}
	t->quota = read_quota(root);
	*out = t;
	return 0;
}

void rl_topology_free(struct rl_topology *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->nodes_len; i++)
		rl_cpus_term(&t->nodes[i].cpus);
	free(t->nodes);
	rl_cpus_term(&t->cpus);
	free(t);
}

/* ---- the calling thread ---------------------------------------------------------------------- */

int rl_topology_pin(const struct rl_topology *t, const struct rl_cpus *cpus)
{
	if (cpus->len == 0)
		return -EINVAL;
	unsigned room = cpus->at[cpus->len - 1] + 1;
	size_t size = CPU_ALLOC_SIZE(room);
	cpu_set_t *set = CPU_ALLOC(room);
	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	for (unsigned i = 0; i < cpus->len; i++)
		CPU_SET_S(cpus->at[i], size, set);
	int err = t->sys->set_affinity(size, set);
	CPU_FREE(set);
	return err;
}

int rl_topology_name(const struct rl_topology *t, const char *name)
{
	char cut[RL_TOPOLOGY_NAME_MAX + 1];
	size_t n = strlen(name);
	if (n > RL_TOPOLOGY_NAME_MAX) {
		n = RL_TOPOLOGY_NAME_MAX;
		while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) /* inside of a UTF-8 character */
			n--;
	}
	memcpy(cut, name, n);
	cut[n] = '\0';
	return t->sys->set_name(cut);
}

static bool has_node(const struct rl_topology *t, int id)
{
	for (unsigned i = 0; i < t->nodes_len; i++)
		if ((int)t->nodes[i].id == id)
			return true;
	return false;
}

int rl_topology_bind(const struct rl_topology *t, int node)
{
	struct rl_node_mask mask = { 0 };
	if (t->nodes_len == 1)
		return 0;
	if (node == RL_TOPOLOGY_LOCAL)
		return t->sys->set_mempolicy(MPOL_LOCAL, &mask);
	if (!has_node(t, node))
		return -EINVAL;
	mask.words[(unsigned)node / WORD_BITS] |= 1ul << ((unsigned)node % WORD_BITS);
	return t->sys->set_mempolicy(MPOL_PREFERRED, &mask);
}

int rl_topology_save(const struct rl_topology *t, struct rl_topology_place *p)
{
	*p = (struct rl_topology_place){ .mode = -1 };
	int err = read_affinity(t->sys, &p->cpus);
	if (err == 0)
		err = t->sys->get_name(p->name, sizeof(p->name));
	if (err < 0)
		rl_topology_forget(p);
	else if (t->nodes_len > 1 && t->sys->get_mempolicy(&p->mode, &p->nodes) < 0)
		p->mode = -1;
	return err;
}

int rl_topology_restore(const struct rl_topology *t, const struct rl_topology_place *p)
{
	int pinned = rl_topology_pin(t, &p->cpus);
	int named = rl_topology_name(t, p->name);
	int bound = p->mode < 0 ? 0 : t->sys->set_mempolicy(p->mode, &p->nodes);
	return pinned < 0 ? pinned : named < 0 ? named : bound;
}

void rl_topology_forget(struct rl_topology_place *p)
{
	rl_cpus_term(&p->cpus);
}
