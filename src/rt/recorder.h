/* SPDX-License-Identifier: MIT */
/*
 * recorder: the memory of a recording: a header, and for each shard a section with its ring of
 * records, its texts and the names of its tasks. It is anonymous, or a file, which then is all
 * there whatever becomes of the process; both have the layout that docs/design/flight-recorder.md
 * tells. All numbers are little-endian on the machines there are.
 *
 * It is a shared object: each shard that writes holds a reference. A section is written by its
 * shard alone, and read by any thread.
 */
#ifndef RL_RT_RECORDER_H
#define RL_RT_RECORDER_H

#include "base/tracelog.h"
#include "rt/value.h"

#include <stdbool.h>
#include <stdint.h>

#define RL_RECORDER_MAGIC "ringlet\1"
#define RL_RECORDER_VERSION 1
#define RL_RECORDER_HEADER 4096
#define RL_RECORDER_NAMES 1024   /* tasks that have a name, by the low bits of their ids */
#define RL_RECORDER_TEXTS 65536  /* bytes of texts; a text is a length byte and the bytes */
#define RL_RECORDER_MIN 64       /* records of a section */
#define RL_RECORDER_MAX (1u << 26)

enum { RL_RECORDER_VIRTUAL = 1 }; /* the ticks are the nanoseconds of the sim backend */

/* At the beginning of the memory. */
struct rl_recorder_header {
	char magic[8];
	uint32_t version, header_size, record_size, sections;
	uint64_t section_size;
	uint32_t records, texts_size, names, names_at, texts_at, records_at; /* of each section */
	uint32_t pid, shift, flags, reserved;
	uint64_t ticks, mono_ns, wall_ns, window_ns; /* one moment by three clocks; what to dump */
};

/* One moment by the two clocks that a shard has. */
struct rl_recorder_pair {
	RL_ATOMIC(uint64_t) ticks, mono_ns;
};

/* At the beginning of a section. */
struct rl_recorder_section {
	RL_ATOMIC(uint64_t) head;              /* records written */
	RL_ATOMIC(uint64_t) pairs;             /* pairs written; the last is at (pairs - 1) & 1 */
	struct rl_recorder_pair pair[2];
	RL_ATOMIC(uint64_t) texts_used;        /* bytes */
	RL_ATOMIC(uint64_t) last_id;           /* of a task, when the last pair was written */
};

struct rl_recorder {
	struct rl_shared shared;
	struct rl_recorder_header *header;
	uint64_t size;
};

extern const struct rl_shared_class rl_recorder_class;

struct rl_recorder_config {
	unsigned sections;
	uint64_t bytes;        /* of records of each section: rounded down to a power of two */
	uint64_t window_ns;
	const char *path;      /* NULL: anonymous memory. What is there is renamed to path.old */
	bool is_virtual;
	int64_t mono_ns, wall_ns;
};

/* A recorder with one reference; 0, or a code: why the file cannot be had. */
int rl_recorder_open(struct rl_recorder **out, const struct rl_recorder_config *config);

/* The parts of section `i`. */
struct rl_recorder_section *rl_recorder_section(const struct rl_recorder *r, unsigned i);
char *rl_recorder_texts(const struct rl_recorder *r, unsigned i);
RL_ATOMIC(uint64_t) *rl_recorder_names(const struct rl_recorder *r, unsigned i);
/* Its ring, as whoever writes or copies it wants it. */
struct rl_tracelog rl_recorder_log(const struct rl_recorder *r, unsigned i);

#endif
