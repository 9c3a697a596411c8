/* SPDX-License-Identifier: MIT */
/*
 * value: what crosses from one shard to another: a copy, or an object that shards share.
 *
 * A value is 24 bytes. Small ones lie in it; the rest is a parcel, the serialised form of a graph
 * of Lua values, which the binding makes and reads. A parcel is never changed once it is made, so
 * it is counted and not copied: a job prepared once is submitted many times.
 *
 * Invariants: who has a value owns one reference to what it points to, until it is dropped or given
 * on. A parcel owns one reference to each shared object that its bytes mention.
 */
#ifndef RL_RT_VALUE_H
#define RL_RT_VALUE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* An object that several shards hold, with operations that any thread may call. Embedded first. */
struct rl_shared {
	const struct rl_shared_class *class;
	_Atomic uint32_t refs;
};

struct rl_shared_class {
	const char *name;                     /* "ringlet.shared.chan": also its Lua metatable's */
	void (*free)(struct rl_shared *o);    /* the last reference is gone; on any thread */
};

void rl_shared_init(struct rl_shared *o, const struct rl_shared_class *class); /* with one ref */
struct rl_shared *rl_shared_get(struct rl_shared *o);
void rl_shared_put(struct rl_shared *o); /* NULL is fine */

struct rl_parcel {
	_Atomic uint32_t refs;
	uint32_t len;                /* bytes of data */
	uint32_t values;             /* how many values they are */
	uint32_t objects_len;
	struct rl_shared **objects;  /* what the bytes mention, by index; after the data */
	char data[];
};

/* A parcel with one reference and room for its data; its values and objects are filled in by the
 * caller. NULL when there is no memory. */
struct rl_parcel *rl_parcel_new(size_t len, size_t objects_len);
struct rl_parcel *rl_parcel_get(struct rl_parcel *p);
void rl_parcel_put(struct rl_parcel *p); /* NULL is fine */

enum rl_value_kind {
	RL_VALUE_NONE, /* nil, and what a zeroed value is */
	RL_VALUE_FALSE,
	RL_VALUE_TRUE,
	RL_VALUE_INTEGER,
	RL_VALUE_NUMBER,
	RL_VALUE_TEXT,   /* a string of at most RL_VALUE_TEXT_MAX bytes */
	RL_VALUE_SHARED,
	RL_VALUE_PARCEL,
};

#define RL_VALUE_TEXT_MAX 22

struct rl_value {
	union {
		struct {
			char text[RL_VALUE_TEXT_MAX];
			uint8_t len;
			uint8_t kind;
		};
		int64_t integer;
		double number;
		struct rl_shared *shared;
		struct rl_parcel *parcel;
	};
};

_Static_assert(sizeof(struct rl_value) == 24, "a value fits a slot of a queue");

/* Give up what the value points to; it is nil then. */
void rl_value_drop(struct rl_value *v);

#endif
