/* SPDX-License-Identifier: MIT */
/*
 * recorder: see recorder.h. A file has its blocks before it is mapped: a disk that is full is an
 * error here, and not a SIGBUS at the first record that has no place.
 */
#include "rt/recorder.h"

#include "base/err.h"
#include "base/ticks.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define TICKS_SHIFT 3 /* of a processor's clock: 48 bits of what is left last for days */
#define NAMES_AT 128u

_Static_assert(sizeof(struct rl_recorder_header) == 104, "the layout that files have");
_Static_assert(sizeof(struct rl_recorder_section) == 64, "likewise");
_Static_assert(sizeof(struct rl_recorder_section) <= NAMES_AT, "it has room");

static void recorder_free(struct rl_shared *o)
{
	struct rl_recorder *r = (struct rl_recorder *)o;
	munmap(r->header, r->size);
	free(r);
}

const struct rl_shared_class rl_recorder_class = {"ringlet.recorder", recorder_free};

static uint64_t page_up(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static uint32_t records_of(uint64_t bytes)
{
	uint32_t n = RL_RECORDER_MIN;
	while (n < RL_RECORDER_MAX && 2 * n * (uint64_t)(2 * sizeof(uint64_t)) <= bytes)
		n *= 2;
	return n;
}

static struct rl_recorder_header header_of(const struct rl_recorder_config *config)
{
	bool fast = !config->is_virtual && rl_ticks_are_steady();
	struct rl_recorder_header h = {
		.version = RL_RECORDER_VERSION, .header_size = RL_RECORDER_HEADER,
		.record_size = 2 * sizeof(uint64_t), .sections = config->sections,
		.records = records_of(config->bytes), .texts_size = RL_RECORDER_TEXTS,
		.names = RL_RECORDER_NAMES, .names_at = NAMES_AT,
		.pid = (uint32_t)getpid(), .shift = fast ? TICKS_SHIFT : 0,
		.flags = config->is_virtual ? RL_RECORDER_VIRTUAL : 0,
		.ticks = fast ? rl_ticks() : (uint64_t)config->mono_ns,
		.mono_ns = (uint64_t)config->mono_ns, .wall_ns = (uint64_t)config->wall_ns,
		.window_ns = config->window_ns,
	};
	memcpy(h.magic, RL_RECORDER_MAGIC, sizeof h.magic);
	h.texts_at = h.names_at + h.names * (uint32_t)sizeof(uint64_t);
	h.records_at = (uint32_t)page_up(h.texts_at + h.texts_size);
	h.section_size = page_up(h.records_at + (uint64_t)h.records * h.record_size);
	return h;
}

/* A file of that size, whose blocks are there; its descriptor. What was there is kept. */
static int file_open(const char *path, uint64_t size)
{
	char old[PATH_MAX];
	int n = snprintf(old, sizeof old, "%s.old", path);
	if (n < 0 || (size_t)n >= sizeof old)
		return -ENAMETOOLONG;
	if (rename(path, old) < 0 && errno != ENOENT)
		return -errno;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int err = -posix_fallocate(fd, 0, (off_t)size);
	if (err < 0) {
		unlink(path);
		close(fd);
		return err;
	}
	return fd;
}

static int map(struct rl_recorder *r, const char *path)
{
	int fd = path ? file_open(path, r->size) : -1;
	if (path && fd < 0)
		return fd;
	int flags = path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *p = mmap(NULL, r->size, PROT_READ | PROT_WRITE, flags, fd, 0);
	int err = p == MAP_FAILED ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (err == 0)
		r->header = p;
	return err;
}

int rl_recorder_open(struct rl_recorder **out, const struct rl_recorder_config *config)
{
	struct rl_recorder_header header = header_of(config);
	struct rl_recorder *r = calloc(1, sizeof *r);
	*out = NULL;
	if (!r)
		return -ENOMEM;
	rl_shared_init(&r->shared, &rl_recorder_class);
	r->size = RL_RECORDER_HEADER + header.section_size * header.sections;
	int err = map(r, config->path);
	if (err < 0) {
		free(r);
		return err;
	}
	*r->header = header;
	*out = r;
	return 0;
}

static char *part(const struct rl_recorder *r, unsigned i, uint64_t offset)
{
	return (char *)r->header + RL_RECORDER_HEADER + i * r->header->section_size + offset;
}

struct rl_recorder_section *rl_recorder_section(const struct rl_recorder *r, unsigned i)
{
	return (struct rl_recorder_section *)part(r, i, 0);
}

char *rl_recorder_texts(const struct rl_recorder *r, unsigned i)
{
	return part(r, i, r->header->texts_at);
}

RL_ATOMIC(uint64_t) *rl_recorder_names(const struct rl_recorder *r, unsigned i)
{
	return (RL_ATOMIC(uint64_t) *)part(r, i, r->header->names_at);
}

struct rl_tracelog rl_recorder_log(const struct rl_recorder *r, unsigned i)
{
	struct rl_recorder_section *section = rl_recorder_section(r, i);
	return (struct rl_tracelog){
		.head = &section->head,
		.words = (RL_ATOMIC(uint64_t) *)part(r, i, r->header->records_at),
		.mask = r->header->records - 1,
		.next = RL_LOAD(&section->head, acquire), /* of who wrote before, if anybody did */
	};
}
