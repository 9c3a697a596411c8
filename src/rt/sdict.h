/* SPDX-License-Identifier: MIT */
/*
 * sdict: a table that shards share, of strings and values, or lists of values. Any thread may call
 * its operations; each is atomic for its key.
 *
 * Time is a parameter: absolute monotonic ns, and -1 for never. What has expired is invisible at
 * once; its memory is given back when somebody comes across it.
 */
#ifndef RL_RT_SDICT_H
#define RL_RT_SDICT_H

#include "rt/value.h"

#include <stdbool.h>

#define RL_SDICT_KEY_MAX 65536
/* With a capacity of so many keys or fewer there is one lock, and what is evicted is the least
 * recently used of all. */
#ifndef RL_SDICT_EXACT
#ifdef RL_TINY
#define RL_SDICT_EXACT 16
#else
#define RL_SDICT_EXACT 1024
#endif
#endif

struct rl_sdict;

extern const struct rl_shared_class rl_sdict_class;

struct rl_sdict_options {
	size_t capacity;  /* keys; 0: no limit */
	bool evict;       /* when it is full the least recently used goes; else -ENOSPC */
	uint64_t seed[2]; /* of the hash: nobody may guess it */
};

/* A dict with one reference; NULL when there is no memory. Its first member is its rl_shared. */
struct rl_sdict *rl_sdict_new(const struct rl_sdict_options *options);

/* Where an operation happens, and when. */
struct rl_sdict_at {
	const char *key;
	size_t len;       /* at most RL_SDICT_KEY_MAX */
	int64_t now_ns;
};

/* Has it ever had a value that expires? If not, `now_ns` is not looked at. */
bool rl_sdict_is_timed(const struct rl_sdict *d);

/* A copy of the value, with a reference of its own. -ENOENT; -EINVAL: it is a list. */
int rl_sdict_get(struct rl_sdict *d, const struct rl_sdict_at *at, struct rl_value *out);

enum rl_sdict_put {
	RL_SDICT_SET,
	RL_SDICT_ADD,     /* -EEXIST when there is one */
	RL_SDICT_REPLACE, /* -ENOENT when there is none */
};
/* Takes the value when it returns 0. -ENOSPC, -ENOMEM. */
int rl_sdict_put(struct rl_sdict *d, const struct rl_sdict_at *at, enum rl_sdict_put how,
	struct rl_value *v, int64_t expires_ns);

/* Put `v` (nil: delete) if what is there equals `old` (nil: nothing is there). -EAGAIN: it does
 * not, and `actual` is a copy of what is there. -EINVAL: it is a list. Otherwise as put. */
int rl_sdict_cas(struct rl_sdict *d, const struct rl_sdict_at *at, const struct rl_value *old,
	struct rl_value *v, int64_t expires_ns, struct rl_value *actual);

/* Add a number to the number there. Without one: begin with `init`, which then expires, or, if
 * that is nil, -ENOENT. -EINVAL: no number is there. */
int rl_sdict_incr(struct rl_sdict *d, const struct rl_sdict_at *at, const struct rl_value *by,
	const struct rl_value *init, int64_t expires_ns, struct rl_value *out);

int rl_sdict_delete(struct rl_sdict *d, const struct rl_sdict_at *at); /* -ENOENT */

/* When it expires, -1: never; and change that. -ENOENT. */
int rl_sdict_expiry(struct rl_sdict *d, const struct rl_sdict_at *at, int64_t *expires_ns);
int rl_sdict_expire(struct rl_sdict *d, const struct rl_sdict_at *at, int64_t expires_ns);

/* Lists: at either end. A list begins with its first value and ends with its last. They return the
 * length behind the operation; push takes the value unless it fails. -EINVAL: it is no list. */
int rl_sdict_push(struct rl_sdict *d, const struct rl_sdict_at *at, struct rl_value *v, bool front);
int rl_sdict_pop(struct rl_sdict *d, const struct rl_sdict_at *at, struct rl_value *out,
	bool front);
int rl_sdict_len(struct rl_sdict *d, const struct rl_sdict_at *at); /* 0 for none */

/* Keys one behind the other, each a native uint32_t length and as many bytes. */
struct rl_sdict_keys {
	char *bytes;
	size_t len, room, count;
};
/* Up to `max` keys that are there now; the caller frees `bytes`. 0 or -ENOMEM. */
int rl_sdict_keys(struct rl_sdict *d, int64_t now_ns, size_t max, struct rl_sdict_keys *out);

size_t rl_sdict_clear(struct rl_sdict *d);                 /* returns how many went */
size_t rl_sdict_purge(struct rl_sdict *d, int64_t now_ns); /* likewise, of those that expired */
size_t rl_sdict_size(const struct rl_sdict *d);            /* what expired may be among them */
size_t rl_sdict_capacity(const struct rl_sdict *d);

struct rl_sdict_stats {
	uint64_t hits, misses, evictions, expired;
};
void rl_sdict_stats(struct rl_sdict *d, struct rl_sdict_stats *out);

#endif
