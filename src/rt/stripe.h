/* SPDX-License-Identifier: MIT */
/*
 * stripe: a part of a shared dict: a table with a lock of its own. For sdict.c alone.
 *
 * An operation begins with the key's stripe locked, and ends with the unlock and with giving back
 * what it removed. What finds or adds an entry leaves it as the one used last.
 */
#ifndef RL_RT_STRIPE_H
#define RL_RT_STRIPE_H

#include "base/list.h"
#include "rt/sdict.h"
#include "rt/svalues.h"

#include <pthread.h>

#define RL_STRIPES 32
#define RL_NEVER INT64_MAX

struct rl_entry {
	struct rl_entry *next;     /* of its chain, or of the dead */
	struct rl_list link;       /* of its stripe's `used` */
	int64_t expires_ns;
	uint32_t hash, key_len;
	struct rl_value value;     /* nil when it is a list */
	struct rl_svalues *list;   /* which is never empty */
	char key[];
};

struct rl_stripe {
	_Alignas(64) pthread_mutex_t lock;
	struct rl_entry **slots;   /* chains; a power of two of them */
	uint32_t slots_len, len;
	struct rl_list used;       /* longest unused first, where that matters */
	int64_t due_ns;            /* nothing expires earlier */
	struct rl_sdict_stats stats;
};

struct rl_sdict {
	struct rl_shared shared;
	uint32_t stripes_len;
	bool evict;
	size_t capacity;
	uint64_t seed[2];
	_Atomic bool timed;        /* set once, with the first expiry */
	_Alignas(64) _Atomic size_t len;
	struct rl_stripe stripes[];
};

/* An operation under way. */
struct rl_dictop {
	struct rl_sdict *d;
	struct rl_stripe *stripe;
	const struct rl_sdict_at *at;
	uint32_t hash;
	struct rl_entry *dead;        /* removed */
	struct rl_value gone;         /* likewise, of an entry that stays */
	struct rl_svalues *gone_list;
};

bool rl_stripe_init(struct rl_stripe *st); /* false: no memory */
void rl_stripe_term(struct rl_stripe *st); /* which is empty */

struct rl_dictop rl_stripe_begin(struct rl_sdict *d, const struct rl_sdict_at *at);
int rl_stripe_end(struct rl_dictop *op, int result); /* returns `result` */

/* The entry of the key, NULL when there is none. */
struct rl_entry *rl_stripe_find(struct rl_dictop *op);
/* It, or a new one: 1 when it was there; 0 when it is new, without value or list, which the caller
 * has to give it; -ENOSPC or -ENOMEM. */
int rl_stripe_find_or_add(struct rl_dictop *op, struct rl_entry **out);
void rl_stripe_remove(struct rl_dictop *op, struct rl_entry *e);
void rl_stripe_expire(struct rl_dictop *op, struct rl_entry *e, int64_t expires_ns);

/* Remove from a stripe what has expired, or all; returns how many. Locks it. */
size_t rl_stripe_purge(struct rl_sdict *d, struct rl_stripe *st, int64_t now_ns);
size_t rl_stripe_clear(struct rl_sdict *d, struct rl_stripe *st);

static inline struct rl_entry *rl_entry_of(struct rl_list *l)
{
	return rl_container(l, struct rl_entry, link);
}

#endif
