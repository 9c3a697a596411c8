/* SPDX-License-Identifier: MIT */
/* recorder: the layout, in memory and in a file, which outlives a process; what cannot be had. */
#include "rt/recorder.h"

#include "base/err.h"
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[] = "/tmp/rl_recorder_XXXXXX", old[sizeof path + 4];

static void new_path(void)
{
	strcpy(path, "/tmp/rl_recorder_XXXXXX");
	close(mkstemp(path));
	unlink(path);
	snprintf(old, sizeof old, "%s.old", path);
}

static struct rl_recorder_config config(const char *file)
{
	return (struct rl_recorder_config){
		.sections = 2, .bytes = 4096, .window_ns = 5, .path = file, .is_virtual = true,
		.mono_ns = 1000, .wall_ns = 2000,
	};
}

TEST(the_header_says_what_there_is)
{
	struct rl_recorder *r;
	struct rl_recorder_config c = config(NULL);
	CHECK_EQ(rl_recorder_open(&r, &c), 0);
	const struct rl_recorder_header *h = r->header;
	CHECK(memcmp(h->magic, RL_RECORDER_MAGIC, sizeof h->magic) == 0);
	CHECK_EQ(h->version, RL_RECORDER_VERSION);
	CHECK_EQ(h->sections, 2);
	CHECK_EQ(h->records, 256);
	CHECK_EQ(h->flags, RL_RECORDER_VIRTUAL);
	CHECK_EQ(h->shift, 0);
	CHECK_EQ(h->ticks, 1000);
	CHECK_EQ(h->mono_ns, 1000);
	CHECK_EQ(h->wall_ns, 2000);
	CHECK(h->texts_at >= h->names_at + 8 * h->names);
	CHECK(h->records_at >= h->texts_at + h->texts_size);
	CHECK(h->section_size >= h->records_at + 16 * h->records);
	CHECK_EQ(r->size, RL_RECORDER_HEADER + 2 * h->section_size);
	rl_shared_put(&r->shared);
}

TEST(sections_are_apart)
{
	struct rl_recorder *r;
	struct rl_recorder_config c = config(NULL);
	CHECK_EQ(rl_recorder_open(&r, &c), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct rl_tracelog log = rl_recorder_log(r, i);
		for (uint64_t k = 0; k < 300; k++)
			rl_tracelog_put(&log, 10 + i, k);
		CHECK_EQ(RL_LOAD(&rl_recorder_section(r, i)->head, relaxed), 300);
		memset(rl_recorder_texts(r, i), 'a' + (int)i, RL_RECORDER_TEXTS);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct rl_tracelog log = rl_recorder_log(r, i);
		uint64_t out[2];
		rl_tracelog_copy(&log, 299, 1, out);
		CHECK_EQ(out[0], 10 + i);
		CHECK_EQ(rl_recorder_texts(r, i)[0], 'a' + (int)i);
		CHECK_EQ(rl_recorder_names(r, i)[0], 0);
	}
	rl_shared_put(&r->shared);
}

TEST(sizes_are_powers_of_two_within_bounds)
{
	static const struct { uint64_t bytes; uint32_t records; } cases[] = {
		{0, 64}, {1024, 64}, {2047, 64}, {2048, 128}, {1u << 20, 65536}, {(1u << 20) + 1, 65536},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rl_recorder *r;
		struct rl_recorder_config c = config(NULL);
		c.bytes = cases[i].bytes;
		CHECK_EQ(rl_recorder_open(&r, &c), 0);
		CHECK_EQ(r->header->records, cases[i].records);
		rl_shared_put(&r->shared);
	}
}

/* A process that is killed while it has the file open. */
TEST(a_file_outlives_its_process)
{
	struct rl_recorder_config c = config(path);
	new_path();
	pid_t child = fork();
	if (child == 0) {
		struct rl_recorder *r;
		rl_recorder_open(&r, &c);
		struct rl_tracelog log = rl_recorder_log(r, 1);
		rl_tracelog_put(&log, 42, 43);
		kill(getpid(), SIGKILL);
	}
	int status;
	waitpid(child, &status, 0);
	CHECK(WIFSIGNALED(status));
	int fd = open(path, O_RDONLY);
	struct rl_recorder_header h;
	CHECK_EQ(read(fd, &h, sizeof h), sizeof h);
	CHECK_EQ(h.pid, child);
	uint64_t words[2];
	off_t at = (off_t)(RL_RECORDER_HEADER + h.section_size + h.records_at);
	CHECK_EQ(pread(fd, words, sizeof words, at), sizeof words);
	CHECK_EQ(words[0], 42);
	CHECK_EQ(words[1], 43);
	struct stat st;
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	close(fd);
	unlink(path);
}

TEST(what_was_there_is_kept)
{
	struct rl_recorder *r;
	struct rl_recorder_config c = config(path);
	new_path();
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK_EQ(write(fd, "before", 6), 6);
	close(fd);
	CHECK_EQ(rl_recorder_open(&r, &c), 0);
	rl_shared_put(&r->shared);
	char text[7] = "";
	fd = open(old, O_RDONLY);
	CHECK_EQ(read(fd, text, 6), 6);
	CHECK(strcmp(text, "before") == 0);
	close(fd);
	unlink(path);
	unlink(old);
}

TEST(a_file_that_cannot_be_had_is_a_code)
{
	struct rl_recorder *r;
	struct rl_recorder_config c = config("/nonexistent/file");
	CHECK_EQ(rl_recorder_open(&r, &c), -ENOENT);
	CHECK(r == NULL);
	c.path = "/";
	CHECK(rl_recorder_open(&r, &c) < 0);
}

int main(void)
{
	RUN(the_header_says_what_there_is);
	RUN(sections_are_apart);
	RUN(sizes_are_powers_of_two_within_bounds);
	RUN(a_file_outlives_its_process);
	RUN(what_was_there_is_kept);
	RUN(a_file_that_cannot_be_had_is_a_code);
	return FINISH();
}
