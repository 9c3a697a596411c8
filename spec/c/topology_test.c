/* SPDX-License-Identifier: MIT */
/*
 * topology: /proc and /sys come from a tree of files made here, the kernel's answers from a table,
 * so that machines are tested that are not at hand; then a thread of ours is placed for real.
 */
#define _GNU_SOURCE
#include "check.h"

#include "base/err.h"
#include "os/topology.h"

#include <ftw.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a tree of files ------------------------------------------------------------------------- */

static char root[64];

static void plant(void)
{
	strcpy(root, "/tmp/topology_test.XXXXXX");
	CHECK(mkdtemp(root) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static void fell(void)
{
	CHECK_EQ(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A file of the tree, with the directories it is in. */
static void put(const char *path, const char *text)
{
	char full[512];
	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	FILE *f = fopen(full, "w");
	CHECK(f != NULL);
	if (!f)
		return;
	fputs(text, f);
	fclose(f);
}

/* ---- a kernel -------------------------------------------------------------------------------- */

static struct {
	unsigned room;        /* CPUs it has masks for */
	const char *allowed;
	int asked, affinity_err, mempolicy_err;
	char pinned[256];
	char name[64];
	int mode, mempolicies; /* the policy, and how often it was set */
	unsigned long nodes;
} kernel;

static int kernel_get_affinity(size_t size, cpu_set_t *set)
{
	struct rl_cpus c = { 0 };
	kernel.asked++;
	if (kernel.affinity_err < 0)
		return kernel.affinity_err;
	if (8 * size < kernel.room)
		return -EINVAL;
	CHECK_EQ(rl_cpus_parse(&c, kernel.allowed), 0);
	for (unsigned i = 0; i < c.len; i++)
		CPU_SET_S(c.at[i], size, set);
	rl_cpus_term(&c);
	return 0;
}

static int kernel_set_affinity(size_t size, const cpu_set_t *set)
{
	char *to = kernel.pinned;
	*to = '\0';
	for (unsigned cpu = 0; cpu < 8 * size; cpu++)
		if (CPU_ISSET_S(cpu, size, set))
			to += sprintf(to, "%s%u", to == kernel.pinned ? "" : ",", cpu);
	return 0;
}

static int kernel_get_name(char *name, size_t size)
{
	snprintf(name, size, "%s", kernel.name);
	return 0;
}

static int kernel_set_name(const char *name)
{
	snprintf(kernel.name, sizeof(kernel.name), "%s", name);
	return 0;
}

static int kernel_get_mempolicy(int *mode, struct rl_node_mask *nodes)
{
	*mode = kernel.mode;
	nodes->words[0] = kernel.nodes;
	return kernel.mempolicy_err;
}

static int kernel_set_mempolicy(int mode, const struct rl_node_mask *nodes)
{
	if (kernel.mempolicy_err < 0)
		return kernel.mempolicy_err;
	kernel.mode = mode;
	kernel.nodes = nodes->words[0];
	kernel.mempolicies++;
	return 0;
}

static const struct rl_topology_sys sys = {
	.get_affinity = kernel_get_affinity,
	.set_affinity = kernel_set_affinity,
	.get_name = kernel_get_name,
	.set_name = kernel_set_name,
	.get_mempolicy = kernel_get_mempolicy,
	.set_mempolicy = kernel_set_mempolicy,
};

static void boot(const char *allowed)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.allowed = allowed;
	strcpy(kernel.name, "before");
}

/* The topology of the tree and the kernel; the tree goes. */
static struct rl_topology *read_all(void)
{
	struct rl_topology *t;
	CHECK_EQ(rl_topology_read(&t, root, &sys), 0);
	fell();
	return t;
}

static struct rl_topology *two_nodes(void)
{
	boot("0-3");
	plant();
	put("/sys/devices/system/node/node0/cpulist", "0-1\n");
	put("/sys/devices/system/node/node1/cpulist", "2-3\n");
	return read_all();
}

static bool is_list(const struct rl_cpus *c, const char *list)
{
	struct rl_cpus want = { 0 };
	CHECK_EQ(rl_cpus_parse(&want, list), 0);
	bool same = c->len == want.len
		&& (c->len == 0 || memcmp(c->at, want.at, c->len * sizeof(*c->at)) == 0);
	rl_cpus_term(&want);
	return same;
}

/* ---- what there is --------------------------------------------------------------------------- */

TEST(without_files_there_are_the_allowed_cpus_one_node_and_no_quota)
{
	boot("1,4-6");
	plant();
	struct rl_topology *t = read_all();
	CHECK(is_list(&t->cpus, "1,4-6"));
	CHECK(t->quota == 0);
	CHECK_EQ(t->nodes_len, 1);
	CHECK(t->nodes[0].id == 0 && is_list(&t->nodes[0].cpus, "1,4-6"));
	CHECK_EQ(kernel.asked, 1);
	rl_topology_free(t);
	rl_topology_free(NULL);
}

TEST(the_question_for_cpus_grows_until_the_kernel_answers)
{
	boot("0,8191");
	kernel.room = 8192;
	plant();
	struct rl_topology *t = read_all();
	CHECK(is_list(&t->cpus, "0,8191"));
	CHECK_EQ(kernel.asked, 4);
	rl_topology_free(t);
}

TEST(a_kernel_that_does_not_tell_the_cpus_is_an_error)
{
	struct rl_topology *t;
	boot("0");
	kernel.affinity_err = -EPERM;
	CHECK_EQ(rl_topology_read(&t, "", &sys), -EPERM);
	CHECK(t == NULL);
	boot("0");
	kernel.room = 10 * RL_CPUS_MAX;
	CHECK_EQ(rl_topology_read(&t, "", &sys), -EINVAL);
	CHECK(t == NULL);
}

TEST(nodes_come_by_number_and_may_have_no_cpus)
{
	boot("0-3");
	plant();
	put("/sys/devices/system/node/node10/cpulist", "8-11\n");
	put("/sys/devices/system/node/node0/cpulist", "0-3,16-19\n");
	put("/sys/devices/system/node/node2/cpulist", "\n");
	put("/sys/devices/system/node/node3/cpulist", "rubbish\n");
	put("/sys/devices/system/node/node4/meminfo", "\n");
	put("/sys/devices/system/node/node5000/cpulist", "7\n");
	put("/sys/devices/system/node/nodes/cpulist", "7\n");
	put("/sys/devices/system/node/node1x/cpulist", "7\n");
	put("/sys/devices/system/node/online", "0-10\n");
	struct rl_topology *t = read_all();
	CHECK_EQ(t->nodes_len, 5);
	CHECK(t->nodes[0].id == 0 && is_list(&t->nodes[0].cpus, "0-3,16-19"));
	CHECK(t->nodes[1].id == 2 && is_list(&t->nodes[1].cpus, ""));
	CHECK(t->nodes[2].id == 3 && is_list(&t->nodes[2].cpus, ""));
	CHECK(t->nodes[3].id == 4 && is_list(&t->nodes[3].cpus, ""));
	CHECK(t->nodes[4].id == 10 && is_list(&t->nodes[4].cpus, "8-11"));
	rl_topology_free(t);
}

/* ---- quota ----------------------------------------------------------------------------------- */

#define V2_MOUNT "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"

/* The quota in the tree, which goes. */
static void check_quota(double want)
{
	boot("0");
	struct rl_topology *t = read_all();
	if (t->quota != want)
		printf("    the quota is %g, not %g\n", t->quota, want);
	CHECK(t->quota == want);
	rl_topology_free(t);
}

static void plant_cgroup(const char *cgroup, const char *mounts)
{
	plant();
	put("/proc/self/cgroup", cgroup);
	put("/proc/self/mountinfo", mounts);
}

TEST(version_2_gives_the_smallest_on_the_way_up)
{
	plant_cgroup("0::/a/b/c\n", V2_MOUNT);
	put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/a/cpu.max", "25000 10000\n");
	put("/sys/fs/cgroup/cpu.max", "900000 100000\n");
	put("/sys/fs/cgroup/other/cpu.max", "1000 100000\n");
	put("/sys/fs/cpu.max", "1000 100000\n");
	check_quota(2.5);
}

TEST(version_2_may_have_no_limit)
{
	plant_cgroup("0::/a\n", V2_MOUNT);
	put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
	check_quota(0);
	plant_cgroup("0::/a\n", V2_MOUNT);
	put("/sys/fs/cgroup/a/cpu.max", "100000\n");
	check_quota(0);
	plant_cgroup("0::/a\n", V2_MOUNT);
	put("/sys/fs/cgroup/a/cpu.max", "100000 0\n");
	check_quota(0);
	plant_cgroup("0::/a\n", V2_MOUNT);
	put("/sys/fs/cgroup/a/cpu.max", "");
	check_quota(0);
}

TEST(version_1_gives_the_smallest_on_the_way_up)
{
	plant_cgroup("5:cpuset:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/y\n0::/\n",
		"32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" V1_MOUNT);
	put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us", "1000\n");
	put("/sys/fs/cgroup/cpuset/x/cpu.cfs_period_us", "100000\n");
	check_quota(1.5);
}

TEST(both_versions_count_on_a_machine_with_both)
{
	plant_cgroup("2:cpu:/a\n0::/b\n",
		V1_MOUNT "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n");
	check_quota(2);
}

/* A container with the host's cgroup names: its mount begins at its own cgroup. */
TEST(a_mount_may_show_a_part_of_the_hierarchy)
{
	plant_cgroup("4:cpu,cpuacct:/docker/1f\n",
		"33 31 0:30 /docker/1f /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	check_quota(0.5);
	plant_cgroup("0::/docker/1f/job\n",
		"30 20 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
	put("/sys/fs/cgroup/job/cpu.max", "75000 100000\n");
	put("/sys/fs/cgroup/cpu.max", "max 100000\n");
	check_quota(0.75);
}

/* The paths do not fit together: what the mount point itself says is at least true. */
TEST(a_cgroup_outside_of_the_mount_takes_the_mount_point)
{
	static const char *const outside[] = { "0::/../../x\n", "0::/else\n", "0::/docker/1fg\n" };
	for (int i = 0; i < 3; i++) {
		plant_cgroup(outside[i], i == 0 ? V2_MOUNT
			: "30 20 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
		put("/sys/fs/cgroup/cpu.max", "75000 100000\n");
		put("/sys/x/cpu.max", "1000 100000\n");
		put("/x/cpu.max", "1000 100000\n");
		put("/sys/fs/cgroup/else/cpu.max", "1000 100000\n");
		check_quota(0.75);
	}
}

TEST(mount_points_may_have_blanks)
{
	plant_cgroup("0::/a\n", "30 20 0:26 / /my\\040cg\\134x rw - cgroup2 cgroup2 rw\n");
	put("/my cg\\x/a/cpu.max", "100000 100000\n");
	check_quota(1);
}

TEST(without_mountinfo_the_usual_places_are_looked_at)
{
	plant();
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
	check_quota(3);
	plant();
	put("/proc/self/cgroup", "3:cpu:/\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "350000\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	check_quota(3.5);
}

TEST(rubbish_is_no_quota)
{
	static const char *const rubbish[][2] = {
		{ "", "" },
		{ "\n:\n::\n0:\nx\n", V2_MOUNT },
		{ "0::a\n", "a b\n - \n - cgroup2\n" V2_MOUNT },
		{ "0::/a\n", "1 2 3 / /sys/fs/cgroup rw\n1 2 3 / - cgroup2\n" },
		{ "1:cpux,xcpu,cpuset:/a\n", V1_MOUNT },
	};
	char path[2 * PATH_MAX];
	for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		plant_cgroup(rubbish[i][0], rubbish[i][1]);
		put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "1000\n");
		put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
		check_quota(0);
	}
	memset(path, 'a', sizeof(path));
	memcpy(path, "0::/", 4);
	path[sizeof(path) - 1] = '\0';
	plant_cgroup(path, V2_MOUNT);
	check_quota(0);
}

/* ---- placing, on a machine that is not there ------------------------------------------------- */

TEST(a_thread_is_pinned_to_a_set)
{
	struct rl_topology *t = two_nodes();
	struct rl_cpus c = { 0 };
	CHECK_EQ(rl_topology_pin(t, &c), -EINVAL);
	CHECK_EQ(rl_cpus_parse(&c, "1-2,5000"), 0);
	CHECK_EQ(rl_topology_pin(t, &c), 0);
	CHECK(strcmp(kernel.pinned, "1,2,5000") == 0);
	rl_cpus_term(&c);
	rl_topology_free(t);
}

TEST(a_name_is_cut_between_characters)
{
	static const char *const names[][2] = {
		{ "ringlet-1", "ringlet-1" },
		{ "fifteen-bytes-x", "fifteen-bytes-x" },
		{ "fifteen-bytes-xy", "fifteen-bytes-x" },
		{ "fourteen-bytes\xc3\xa9", "fourteen-bytes" },
		{ "thirteen-byte\xc3\xa9\xc3\xa9", "thirteen-byte\xc3\xa9" },
		{ "twelve-bytes\xf0\x9f\x92\x8d", "twelve-bytes" },
		{ "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "" },
		{ "", "" },
	};
	struct rl_topology *t = two_nodes();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CHECK_EQ(rl_topology_name(t, names[i][0]), 0);
		CHECK(strcmp(kernel.name, names[i][1]) == 0);
	}
	rl_topology_free(t);
}

TEST(with_two_nodes_memory_prefers_the_one_asked_for)
{
	struct rl_topology *t = two_nodes();
	CHECK_EQ(rl_topology_bind(t, 1), 0);
	CHECK(kernel.mode == MPOL_PREFERRED && kernel.nodes == 2 && kernel.mempolicies == 1);
	CHECK_EQ(rl_topology_bind(t, 0), 0);
	CHECK(kernel.mode == MPOL_PREFERRED && kernel.nodes == 1 && kernel.mempolicies == 2);
	CHECK_EQ(rl_topology_bind(t, RL_TOPOLOGY_LOCAL), 0);
	CHECK(kernel.mode == MPOL_LOCAL && kernel.nodes == 0 && kernel.mempolicies == 3);
	CHECK_EQ(rl_topology_bind(t, 2), -EINVAL);
	CHECK_EQ(rl_topology_bind(t, -2), -EINVAL);
	CHECK_EQ(kernel.mempolicies, 3);
	kernel.mempolicy_err = -EPERM;
	CHECK_EQ(rl_topology_bind(t, 1), -EPERM);
	rl_topology_free(t);
}

TEST(with_one_node_the_kernel_is_not_asked_about_memory)
{
	struct rl_topology_place p;
	boot("0-3");
	plant();
	struct rl_topology *t = read_all();
	CHECK_EQ(rl_topology_save(t, &p), 0);
	CHECK_EQ(p.mode, -1);
	kernel.mempolicy_err = -EPERM;
	CHECK_EQ(rl_topology_bind(t, 0), 0);
	CHECK_EQ(rl_topology_bind(t, RL_TOPOLOGY_LOCAL), 0);
	CHECK_EQ(rl_topology_restore(t, &p), 0);
	CHECK_EQ(kernel.mempolicies, 0);
	rl_topology_forget(&p);
	rl_topology_free(t);
}

TEST(a_thread_goes_back_to_where_it_was)
{
	struct rl_topology *t = two_nodes();
	struct rl_topology_place p;
	struct rl_cpus c = { 0 };
	kernel.mode = MPOL_INTERLEAVE;
	kernel.nodes = 3;
	CHECK_EQ(rl_topology_save(t, &p), 0);
	CHECK_EQ(rl_cpus_add(&c, 2), 0);
	CHECK_EQ(rl_topology_pin(t, &c), 0);
	CHECK_EQ(rl_topology_name(t, "other"), 0);
	CHECK_EQ(rl_topology_bind(t, 1), 0);
	CHECK(strcmp(kernel.pinned, "2") == 0 && kernel.mode == MPOL_PREFERRED);
	CHECK_EQ(rl_topology_restore(t, &p), 0);
	CHECK(strcmp(kernel.pinned, "0,1,2,3") == 0);
	CHECK(strcmp(kernel.name, "before") == 0);
	CHECK(kernel.mode == MPOL_INTERLEAVE && kernel.nodes == 3);
	rl_topology_forget(&p);
	rl_topology_forget(&p);
	rl_cpus_term(&c);
	rl_topology_free(t);
}

/* Containers forbid get_mempolicy and set_mempolicy alike. */
TEST(a_memory_policy_that_cannot_be_read_is_not_put_back)
{
	struct rl_topology *t = two_nodes();
	struct rl_topology_place p;
	kernel.mempolicy_err = -EPERM;
	CHECK_EQ(rl_topology_save(t, &p), 0);
	CHECK_EQ(p.mode, -1);
	CHECK_EQ(rl_topology_restore(t, &p), 0);
	rl_topology_forget(&p);
	rl_topology_free(t);
}

/* ---- placing a thread of this process -------------------------------------------------------- */

/* The value of a line of /proc/self/task/<this thread>/<file> that begins with `key`. */
static const char *own_line(const char *file, const char *key)
{
	static _Thread_local char line[4096];
	char path[128];
	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", gettid(), file);
	FILE *f = fopen(path, "r");
	bool found = false;
	while (f && !found && fgets(line, sizeof(line), f))
		found = strncmp(line, key, strlen(key)) == 0;
	if (f)
		fclose(f);
	line[found ? strcspn(line, "\n") : 0] = '\0';
	return line + (found ? strlen(key) : 0);
}

static bool runs_on(const struct rl_cpus *c)
{
	return is_list(c, own_line("status", "Cpus_allowed_list:"));
}

static void in_thread(void *(*fn)(void *), void *arg)
{
	pthread_t id;
	CHECK_EQ(pthread_create(&id, NULL, fn, arg), 0);
	CHECK_EQ(pthread_join(id, NULL), 0);
}

static void *place_and_go_back(void *arg)
{
	const struct rl_topology *t = arg;
	struct rl_topology_place p;
	struct rl_cpus last = { 0 }, none = { 1, 1, (unsigned[]){ RL_CPUS_MAX - 1 } };
	char before[64];
	snprintf(before, sizeof(before), "%s", own_line("comm", ""));
	CHECK_EQ(rl_cpus_add(&last, t->cpus.at[t->cpus.len - 1]), 0);
	CHECK_EQ(rl_topology_save(t, &p), 0);
	CHECK_EQ(rl_topology_pin(t, &last), 0);
	CHECK_EQ(rl_topology_name(t, "ringlet-test-shard"), 0);
	CHECK(runs_on(&last));
	CHECK(strcmp(own_line("comm", ""), "ringlet-test-sh") == 0);
	CHECK_EQ(rl_topology_restore(t, &p), 0);
	CHECK(runs_on(&t->cpus));
	CHECK(strcmp(own_line("comm", ""), before) == 0);
	CHECK_EQ(rl_topology_pin(t, &none), -EINVAL);
	rl_topology_forget(&p);
	rl_cpus_term(&last);
	return NULL;
}

TEST(a_thread_is_placed_by_this_kernel_and_goes_back)
{
	struct rl_topology *t;
	CHECK_EQ(rl_topology_read(&t, "", NULL), 0);
	CHECK(t->cpus.len > 0 && t->nodes_len > 0 && runs_on(&t->cpus));
	in_thread(place_and_go_back, t);
	CHECK(runs_on(&t->cpus));
	rl_topology_free(t);
}

/* A tree that claims to have a second node lets the calls reach this kernel. */
static void *bind_and_go_back(void *arg)
{
	const struct rl_topology *t = arg;
	struct rl_topology_place p, now;
	CHECK_EQ(rl_topology_save(t, &p), 0);
	int err = rl_topology_bind(t, 0);
	if (p.mode < 0 || err == -EPERM || err == -ENOSYS) {
		check_skip_why = "this kernel, or a container, has no memory policies";
	} else {
		CHECK_EQ(err, 0);
		CHECK_EQ(rl_topology_save(t, &now), 0);
		CHECK(now.mode == MPOL_PREFERRED && now.nodes.words[0] == 1);
		rl_topology_forget(&now);
		CHECK_EQ(rl_topology_bind(t, RL_TOPOLOGY_LOCAL), 0);
		CHECK_EQ(rl_topology_bind(t, RL_TOPOLOGY_NODES_MAX - 1), -EINVAL);
		CHECK_EQ(rl_topology_restore(t, &p), 0);
		CHECK_EQ(rl_topology_save(t, &now), 0);
		CHECK(now.mode == p.mode && memcmp(&now.nodes, &p.nodes, sizeof(now.nodes)) == 0);
		rl_topology_forget(&now);
	}
	rl_topology_forget(&p);
	return NULL;
}

TEST(this_kernel_takes_the_memory_policies)
{
	struct rl_topology *t;
	plant();
	put("/sys/devices/system/node/node0/cpulist", "0\n");
	put("/sys/devices/system/node/node1023/cpulist", "\n");
	CHECK_EQ(rl_topology_read(&t, root, NULL), 0);
	fell();
	in_thread(bind_and_go_back, t);
	rl_topology_free(t);
}

int main(void)
{
	RUN(without_files_there_are_the_allowed_cpus_one_node_and_no_quota);
	RUN(the_question_for_cpus_grows_until_the_kernel_answers);
	RUN(a_kernel_that_does_not_tell_the_cpus_is_an_error);
	RUN(nodes_come_by_number_and_may_have_no_cpus);
	RUN(version_2_gives_the_smallest_on_the_way_up);
	RUN(version_2_may_have_no_limit);
	RUN(version_1_gives_the_smallest_on_the_way_up);
	RUN(both_versions_count_on_a_machine_with_both);
	RUN(a_mount_may_show_a_part_of_the_hierarchy);
	RUN(a_cgroup_outside_of_the_mount_takes_the_mount_point);
	RUN(mount_points_may_have_blanks);
	RUN(without_mountinfo_the_usual_places_are_looked_at);
	RUN(rubbish_is_no_quota);
	RUN(a_thread_is_pinned_to_a_set);
	RUN(a_name_is_cut_between_characters);
	RUN(with_two_nodes_memory_prefers_the_one_asked_for);
	RUN(with_one_node_the_kernel_is_not_asked_about_memory);
	RUN(a_thread_goes_back_to_where_it_was);
	RUN(a_memory_policy_that_cannot_be_read_is_not_put_back);
	RUN(a_thread_is_placed_by_this_kernel_and_goes_back);
	RUN(this_kernel_takes_the_memory_policies);
	return FINISH();
}
