/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * steer: which shard a new connection goes to. What the program on the listeners (steer.bpf.c) and
 * the one that only answers (steer_where.bpf.c) have in common.
 *
 * Every shard that may take connections has a seat. A seat has a tier, in which those that should
 * have none of it come last - a shard that is stalled or full, then those of other tenants - and
 * a score in its tier, which the policy makes. The lowest wins; nothing is random.
 *
 * Who writes what: a beacon and a seat the shard itself, terms whoever owns the steering, marks and
 * turns these programs. None shares a cache line with another, and all are read with plain loads.
 *
 * What is on its way to a shard, and not in its `live` yet: `handed` counts what was sent there,
 * `taken` what the shard has got of it. A handshake that never ends would be counted for ever, so
 * `floor` says what is older than one to two seconds; that no more counts.
 */
#ifndef RL_BPF_STEER_H
#define RL_BPF_STEER_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SHARDS 64
#define LAPSE_NS 1000000000ULL /* between two looks at what is lost */
#define LOAD_MAX (1 << 20)
#define WAIT_MAX 255           /* tasks that count where loads are equal */
#define TIER_SHIFT 62
#define ALL (~0ULL)

enum policy { HASH, RR, LEAST, TENANT };

/* src/rt/beacon.h */
struct beacon {
	__u64 beat_ns;
	__u64 run_since_ns;
	__u64 task;
	__u32 runnable;
	__u32 idle;
	__u32 live;
	__u32 tid;
	__u64 pad[3];
};

struct seat {
	__u64 taken;
	__u32 live; /* connections */
	__u32 max;
	__u64 pad[6];
};

struct term {
	__u32 cost; /* 2^16 / weight; 0: only if nobody else */
	__u32 open;
};

struct mark {
	__u64 placed;
	__u64 migrated;
	__u64 avoided;
	__u64 handed;
	__u64 floor;
	__u64 next_floor;
	__u64 since_ns; /* next_floor was `handed` then */
	__u64 pass;     /* RR: turns it has had, by their cost */
};

struct turns {
	__u64 next;     /* shard from which equals are looked at */
	__u64 pass;     /* RR: of the last shard that had one */
	__u64 fallbacks;
	__u64 pad[5];
	__u64 size;     /* shards that are looked at; whoever owns the steering */
	__u64 pad2[7];
};

/* IPv4 addresses are ::ffff:a.b.c.d. */
struct prefix {
	__u32 len;
	__u8 address[16];
};

/* A bit for each. */
struct group {
	__u32 low;
	__u32 high;
};

_Static_assert(sizeof(struct beacon) == 64 && sizeof(struct seat) == 64
	&& sizeof(struct mark) == 64 && sizeof(struct turns) == 128, "whole cache lines");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARDS);
	__type(key, __u32);
	__type(value, struct beacon);
} beacons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARDS);
	__type(key, __u32);
	__type(value, struct seat);
} seats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARDS);
	__type(key, __u32);
	__type(value, struct term);
} terms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARDS);
	__type(key, __u32);
	__type(value, struct mark);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct turns);
} turns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct prefix);
	__type(value, struct group);
} tenants SEC(".maps");

const volatile __u32 policy = LEAST;
const volatile __u32 within = LEAST;    /* TENANT: among the shards of one */
const volatile __u32 others = LEAST;    /* TENANT: for an address that is no tenant's */
const volatile __u32 prefix4 = 32;      /* bits of an address that are the key */
const volatile __u32 prefix6 = 64;
const volatile __u64 stall_ns = 0;      /* 0: none is ever stalled */
const volatile __u64 seed = 0;

/* One decision. `best` is what comes of it; `wish`, had no shard been stalled or full. */
struct choice {
	__u64 now_ns;
	__u64 mask;       /* shards of the tenant */
	__u64 excluded;   /* shards that turned out to have no socket */
	__u64 key;
	__u64 best_score;
	__u64 wish_score;
	__u64 pass;
	__u32 turn;
	__u32 policy;
	__u32 best;
	__u32 wish;
	__u32 size;
	__u32 pad;
};

/* The finalizer of MurmurHash3. */
static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ (x >> 33);
}

/* `by` when that many bits at the top are zero, else 0; without a branch, which the verifier would
 * follow both ways. */
static __always_inline __u32 gap(__u32 u, __u32 by)
{
	return (__u32)(((__u64)(u >> (32 - by)) - 1) >> 63) * by;
}

/* -log2(u / 2^32) with 24 bits behind the point, less than 0.01 wrong and never falling: the bits
 * behind the first are a logarithm's fraction but for a parabola. */
static __always_inline __u64 minus_log2(__u32 u)
{
	__u32 zeros = gap(u, 16);
	zeros += gap(u << zeros, 8);
	zeros += gap(u << zeros, 4);
	zeros += gap(u << zeros, 2);
	zeros += gap(u << zeros, 1);
	u <<= zeros;
	__u64 f = (u & 0x7fffffff) >> 7;
	f += (((f * ((1 << 24) - f)) >> 24) * 11) >> 5;
	return ((__u64)(zeros + 1) << 24) - f;
}

/* The network's part of an address, mixed. */
static __always_inline __u64 key_of(const struct prefix *from)
{
	const __u32 *word = (const __u32 *)from->address;
	__u64 hi = (__u64)bpf_ntohl(word[0]) << 32 | bpf_ntohl(word[1]);
	__u64 lo = (__u64)bpf_ntohl(word[2]) << 32 | bpf_ntohl(word[3]);
	__u32 bits = !hi && lo >> 32 == 0xffff ? 96 + prefix4 : prefix6;
	if (bits <= 64) {
		lo = 0;
		hi &= bits ? ALL << ((64 - bits) & 63) : 0;
	} else {
		lo &= ALL << ((128 - bits) & 63);
	}
	return mix(hi ^ mix(lo ^ mix(seed)));
}

static __always_inline int is_after(__u64 a, __u64 b)
{
	return (__s64)(a - b) > 0;
}

static __always_inline int is_stalled(const volatile struct beacon *b, __u64 now_ns)
{
	if (!stall_ns || b->idle || !b->beat_ns)
		return 0;
	if (is_after(now_ns, b->beat_ns + stall_ns))
		return 1;
	__u64 since = b->run_since_ns;
	return since && is_after(now_ns, since + stall_ns);
}

/* Forget what was handed over more than LAPSE_NS ago and has not arrived. */
static __always_inline void forget(volatile struct mark *m, __u64 now_ns)
{
	if (!is_after(now_ns, m->since_ns + LAPSE_NS))
		return;
	__u64 handed = m->handed;
	m->floor = is_after(now_ns, m->since_ns + 2 * LAPSE_NS) ? handed : m->next_floor;
	m->next_floor = handed;
	m->since_ns = now_ns;
}

static __always_inline __u64 load_of(const volatile struct seat *s, const volatile struct mark *m)
{
	__u64 arrived = s->taken, floor = m->floor, load = s->live;
	if (is_after(floor, arrived))
		arrived = floor;
	if (is_after(m->handed, arrived))
		load += m->handed - arrived;
	return load < LOAD_MAX ? load : LOAD_MAX;
}

/* Between equals: who sleeps, then who has the fewest tasks to run. */
static __always_inline __u64 wait_of(const volatile struct beacon *b)
{
	if (b->idle || !b->beat_ns)
		return 0;
	__u32 n = b->runnable;
	return n < WAIT_MAX ? n + 1 : WAIT_MAX;
}

/* Weighted rendezvous hashing: a shard that comes or goes moves no key but its own. */
static __always_inline __u64 score_hash(const struct choice *c, __u32 i, __u32 cost)
{
	return minus_log2((mix(c->key ^ ((i + 1) * 0x9e3779b97f4a7c15ULL)) >> 32) | 1) * cost;
}

/* Stride scheduling; who was passed over does not catch up. */
static __always_inline __u64 score_rr(const struct choice *c, const volatile struct mark *m)
{
	__u64 pass = m->pass;
	return is_after(pass, c->pass) ? (pass - c->pass) & 0xffffffffffULL : 0;
}

static __always_inline __u64 score_of(const struct choice *c, __u32 i, __u32 cost,
	const volatile struct beacon *b, const volatile struct seat *s, const volatile struct mark *m)
{
	__u64 order = (i - c->turn) & (SHARDS - 1);
	if (!cost)
		cost = 1;
	if (c->policy == HASH)
		return score_hash(c, i, cost);
	if (c->policy == RR)
		return score_rr(c, m) << 6 | order;
	return (load_of(s, m) + 1) * cost << 14 | wait_of(b) << 6 | order;
}

static long consider(__u32 i, struct choice *c)
{
	struct beacon *b = bpf_map_lookup_elem(&beacons, &i);
	struct seat *s = bpf_map_lookup_elem(&seats, &i);
	struct term *t = bpf_map_lookup_elem(&terms, &i);
	struct mark *m = bpf_map_lookup_elem(&marks, &i);
	if (!b || !s || !t || !m)
		return 1;
	__u32 cost = ((volatile struct term *)t)->cost;
	if (!((volatile struct term *)t)->open || c->excluded >> (i & 63) & 1)
		return 0;
	forget(m, c->now_ns);
	__u64 score = score_of(c, i, cost, b, s, m);
	if (!cost || !(c->mask >> (i & 63) & 1))
		score |= 2ULL << TIER_SHIFT;
	if (score < c->wish_score) {
		c->wish_score = score;
		c->wish = i;
	}
	__u32 max = ((volatile struct seat *)s)->max;
	if (is_stalled(b, c->now_ns) || (max && ((volatile struct seat *)s)->live >= max))
		score |= 1ULL << TIER_SHIFT;
	if (score < c->best_score) {
		c->best_score = score;
		c->best = i;
	}
	return 0;
}

/* What does not depend on the shards. */
static __always_inline void prepare(struct choice *c, const struct prefix *from)
{
	__u32 zero = 0;
	struct turns *t = bpf_map_lookup_elem(&turns, &zero);
	if (t) {
		c->turn = ((volatile struct turns *)t)->next;
		c->pass = ((volatile struct turns *)t)->pass;
		c->size = ((volatile struct turns *)t)->size;
	}
	c->policy = policy;
	c->mask = ALL;
	if (policy == TENANT) {
		struct group *g = bpf_map_lookup_elem(&tenants, from);
		c->policy = g ? within : others;
		if (g)
			c->mask = (__u64)g->high << 32 | g->low;
	}
	if (c->policy == HASH)
		c->key = key_of(from);
}

/* The shard, or -1. Not static, so that it is verified once. */
__attribute__((noinline)) int choose(struct choice *given)
{
	if (!given)
		return -1;
	struct choice c = *given;
	c.best = c.wish = SHARDS;
	c.best_score = c.wish_score = ALL;
	bpf_loop(c.size, consider, &c, 0);
	given->best = c.best;
	given->wish = c.wish;
	return c.best < SHARDS ? (int)c.best : -1;
}

#endif
