/* SPDX-License-Identifier: MIT */
/* content_test: files that are opened and brought into memory without waiting, and who has them. */
#define _GNU_SOURCE
#include "world.h"
#include "scarce.h"

#include "rt/content.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const backends[] = {"sim", "uring"};
static const char *const faults[] = {NULL, "cold_file=1"};

static char name[] = "/tmp/rl-content-XXXXXX";

TEST(a_file_is_opened_at_once_or_on_a_helper_thread)
{
	for (int i = 0; i < 4; i++) {
		struct world w;
		struct rl_content *c, *root, *below, *bad = NULL;
		if (!world_open(&w, backends[i / 2], 1, faults[i % 2]))
			continue;
		CHECK_EQ(rl_content_open(w.net, NULL, name, false, &c), 0);
		WORLD_UNTIL(&w, c->done);
		CHECK_EQ(c->err, 0);
		CHECK_EQ(c->info.size, 10000);
		CHECK_EQ(rl_content_open(w.net, NULL, "/tmp", false, &root), 0);
		WORLD_UNTIL(&w, root->done);
		CHECK_EQ(root->info.kind, RL_FILE_DIRECTORY);
		CHECK_EQ(rl_content_open(w.net, root, name + 5, false, &below), 0);
		WORLD_UNTIL(&w, below->done);
		CHECK_EQ(below->info.ino, c->info.ino);
		CHECK_EQ(w.handles, 3);
		int err = rl_content_open(w.net, root, "../etc/passwd", false, &bad);
		if (err == 0)
			WORLD_UNTIL(&w, bad->done);
		CHECK_EQ(err == 0 ? bad->err : err, -EXDEV);
		if (err == 0)
			rl_content_disown(bad);
		rl_content_disown(root);
		rl_content_disown(below);
		rl_content_disown(c);
		CHECK_EQ(w.handles, 0);
		world_settle(&w);
		world_close(&w);
	}
}

TEST(one_that_nobody_wants_any_more_is_closed_when_it_is_open)
{
	struct world w;
	struct rl_content *root, *c;
	CHECK(world_open(&w, "sim", 1, "cold_file=1"));
	CHECK_EQ(rl_content_open(w.net, NULL, "/tmp", true, &root), 0);
	WORLD_UNTIL(&w, root->done);
	CHECK(root->fd >= 0);
	CHECK_EQ(w.handles, 0);
	CHECK_EQ(rl_content_open(w.net, root, name + 5, false, &c), 0);
	CHECK(!c->done);
	rl_content_disown(root);
	rl_content_disown(c);
	world_settle(&w);
	world_close(&w);
}

TEST(the_end_of_a_run_closes_what_is_open)
{
	struct world w;
	struct rl_content *c, *late;
	CHECK(world_open(&w, "sim", 1, "cold_file=1"));
	CHECK_EQ(rl_content_open(w.net, NULL, name, false, &c), 0);
	WORLD_UNTIL(&w, c->done);
	CHECK_EQ(rl_content_open(w.net, NULL, name, false, &late), 0);
	world_close(&w);
	CHECK(!c && !late);
}

TEST(a_descriptor_stays_its_owners)
{
	struct world w;
	struct rl_content *c;
	CHECK(world_open(&w, "sim", 1, NULL));
	int fd = open(name, O_RDONLY);
	CHECK_EQ(rl_content_adopt(w.net, fd, &c), 0);
	CHECK(c->done && c->fd != fd);
	CHECK_EQ(c->info.size, 10000);
	rl_content_disown(c);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	CHECK_EQ(rl_content_adopt(w.net, fd, &c), -EBADF);
	world_settle(&w);
	world_close(&w);
}

TEST(what_was_seen_in_memory_is_not_looked_at_again)
{
	struct world w;
	struct rl_content *c;
	struct rl_fault_count counts[32];
	uint64_t asked = 0;
	CHECK(world_open(&w, "sim", 1, NULL));
	CHECK_EQ(rl_content_open(w.net, NULL, name, false, &c), 0);
	for (int i = 0; i < 2; i++) {
		CHECK(rl_content_is_warm(c, 0, 4000));
		unsigned n = rl_os_fault_counts(w.shard.os, counts, 32);
		for (unsigned k = 0; k < n; k++)
			if (strcmp(counts[k].name, "cold_file") == 0 && i == 0)
				asked = counts[k].asked;
			else if (strcmp(counts[k].name, "cold_file") == 0)
				CHECK_EQ(counts[k].asked, asked);
	}
	CHECK_EQ(asked, 1 + 8); /* the open, a byte in each 512 */
	rl_content_disown(c);
	world_settle(&w);
	world_close(&w);
}

/* Whatever fails, nothing stays open. */
static void play_content(void)
{
	struct world w;
	struct rl_content *c = NULL, *root = NULL, *below = NULL;
	int fd = open(name, O_RDONLY);
	CHECK(world_open(&w, "sim", 1, scarce.before % 2 ? "cold_file=1" : NULL));
	int err = SCARCE(rl_content_open(w.net, NULL, "/tmp", false, &root));
	CHECK(err == 0 || (err == -ENOMEM && scarce.failed > 0));
	for (int i = 0; i < 20 && root && !root->done; i++)
		SCARCE((world_step(&w, 2), 0));
	if (root && root->done) {
		err = SCARCE(rl_content_open(w.net, root, name + 5, false, &below));
		CHECK(err == 0 || (err == -ENOMEM && scarce.failed > 0));
		if (scarce.before % 3)
			WORLD_UNTIL(&w, !below || below->done);
	}
	err = SCARCE(rl_content_adopt(w.net, fd, &c));
	CHECK(err == 0 || (err == -ENOMEM && scarce.failed > 0));
	struct rl_content *all[] = {root, below, c};
	for (int i = 0; i < 3; i++)
		if (all[i])
			rl_content_disown(all[i]);
	world_settle(&w);
	CHECK_EQ(w.handles, 0);
	world_close(&w);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_content, 3);
}

int main(void)
{
	static char data[10000];
	int fd = mkstemp(name);
	if (fd < 0 || write(fd, data, sizeof data) != sizeof data)
		return 1;
	close(fd);
	RUN(a_file_is_opened_at_once_or_on_a_helper_thread);
	RUN(one_that_nobody_wants_any_more_is_closed_when_it_is_open);
	RUN(the_end_of_a_run_closes_what_is_open);
	RUN(a_descriptor_stays_its_owners);
	RUN(what_was_seen_in_memory_is_not_looked_at_again);
	RUN(memory_runs_out_at_every_allocation);
	unlink(name);
	return FINISH();
}
