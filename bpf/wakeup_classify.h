/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * wakeup_classify: the class of a payload by its first bytes, and what comes of it.
 *
 * A request begins with a method of up to 8 capitals, a space and a path. All that is ever read are
 * the first 8 bytes, and from the space on up to RL_WAKE_PATH more, copied by the kernel, which
 * refuses what is not there. There is no loop.
 */
#ifndef RL_BPF_WAKEUP_CLASSIFY_H
#define RL_BPF_WAKEUP_CLASSIFY_H

#include "wakeup.h"

#define RL_WAKE_HEAD 9 /* bytes without which nothing is looked at: "GET /pay " */

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* What bytes are read from. */
enum rl_wake_from {
	RL_FROM_SKB, /* which begins at the TCP header in a socket filter, at the link layer's in tc */
	RL_FROM_FRAME,
};

struct rl_wake_payload {
	__u32 off, len;
	__u32 port; /* to which it is sent */
};

/* `from` is known when this is compiled. Of an skb this also finds what lies in its fragments, as
 * the payload of TCP mostly does. */
static __always_inline long rl_wake_load(void *ctx, int from, __u32 off, void *to, __u32 len)
{
	if (from == RL_FROM_FRAME)
		return bpf_xdp_load_bytes(ctx, off, to, len);
	return bpf_skb_load_bytes(ctx, off, to, len);
}

/* With how many capitals these 8 bytes begin, of which the first is lowest. */
static __always_inline __u32 rl_wake_method(__u64 bytes)
{
	__u64 capital = (bytes + ONES * (0x80 - 'A')) & ~(bytes + ONES * (0x80 - 'Z' - 1)) & ~bytes;
	__u64 other = ~capital & HIGHS; /* the lowest bit is right: what comes over is from behind it */
	__u64 before = other ? ((other & -other) >> 7) - 1 : ~0ull;
	return ((before & ONES) * ONES) >> 56;
}

/* Find the route of a request; false: it begins with none. */
static __always_inline bool rl_wake_find(void *ctx, int from, const struct rl_wake_payload *p,
	struct rl_wake_route **route)
{
	struct rl_wake_key key = {};
	__u8 *space = key.path - 1;
	__u64 bytes;
	if (p->len < RL_WAKE_HEAD || rl_wake_load(ctx, from, p->off, &bytes, sizeof bytes))
		return false;
	__u32 method = rl_wake_method(bytes);
	if (!method)
		return false;
	__u64 len = p->len - method;
	if (len > RL_WAKE_PATH + 1)
		len = RL_WAKE_PATH + 1;
	asm volatile("" : "+r"(len)); /* the bounds below are of this very register */
	if (len < 2 || len > RL_WAKE_PATH + 1
		|| rl_wake_load(ctx, from, p->off + method, space, len))
		return false;
	if (*space != ' ' || key.path[0] != '/')
		return false;
	key.bits = (len - 1) * 8;
	*route = bpf_map_lookup_elem(&routes, &key);
	return true;
}

/* The route of a payload, that of its path before that of its port; NULL: none. */
static __always_inline struct rl_wake_route *rl_wake_route(void *ctx, int from,
	const struct rl_wake_payload *p, bool *is_head)
{
	struct rl_wake_route *route = NULL;
	*is_head = rl_wake_find(ctx, from, p, &route);
	if (!route) {
		__u32 port = p->port;
		route = bpf_map_lookup_elem(&ports, &port);
	}
	return route;
}

/* May another critical segment be let through? The budget is a GCRA. Two CPUs that find it full
 * may take one token for two; those that find it in use are both counted. */
static __always_inline bool rl_wake_take(struct rl_wake_word *word,
	const struct rl_wake_settings *set, __u64 now_ns)
{
	__u64 due_ns = *(volatile __u64 *)&word->due_ns;
	if (due_ns <= now_ns) {
		*(volatile __u64 *)&word->due_ns = now_ns + set->token_ns;
		return true;
	}
	if (due_ns - now_ns > set->burst_ns)
		return false;
	__sync_fetch_and_add(&word->due_ns, set->token_ns);
	return true;
}

static __always_inline void rl_wake_raise(struct rl_wake_word *word, __u64 now_ns,
	struct rl_wake_counts *n)
{
	*(volatile __u64 *)&word->at_ns = now_ns;
	__sync_fetch_and_add(&word->urgent, 1);
	RL_WAKE_COUNT(n, raised);
}

/* The class that a payload gets, counted; the word is raised for a critical one. */
static __always_inline __u32 rl_wake_class(const struct rl_wake_route *route,
	struct rl_wake_word *word, const struct rl_wake_settings *set, struct rl_wake_counts *n)
{
	__u32 class = route ? route->class : RL_WAKE_NORMAL;
	if (class == RL_WAKE_BACKGROUND) {
		RL_WAKE_COUNT(n, background);
	} else if (class != RL_WAKE_CRITICAL) {
		RL_WAKE_COUNT(n, normal);
	} else {
		__u64 now_ns = bpf_ktime_get_ns();
		if (!rl_wake_take(word, set, now_ns)) {
			RL_WAKE_COUNT(n, over_budget);
			return RL_WAKE_NORMAL;
		}
		RL_WAKE_COUNT(n, critical);
		if (set->raise)
			rl_wake_raise(word, now_ns, n);
	}
	return class;
}

/* The number of the lowest bit; 64: there is none. */
static __always_inline __u32 rl_wake_lowest(__u64 mask)
{
	__u32 n = 0;
	if (!mask)
		return 64;
	mask &= -mask;
	n += mask & 0xFFFFFFFF00000000ull ? 32 : 0;
	n += mask & 0xFFFF0000FFFF0000ull ? 16 : 0;
	n += mask & 0xFF00FF00FF00FF00ull ? 8 : 0;
	n += mask & 0xF0F0F0F0F0F0F0F0ull ? 4 : 0;
	n += mask & 0xCCCCCCCCCCCCCCCCull ? 2 : 0;
	n += mask & 0xAAAAAAAAAAAAAAAAull ? 1 : 0;
	return n;
}

/* Which shard shall hear of it: of those that its place allows `own`, or else the first; then the
 * one that the route says; then `own`. `key`: in `placement`, 0: none. */
static __always_inline __u32 rl_wake_shard(const struct rl_wake_route *route, __u64 key, __u32 own)
{
	if (route && route->place)
		key = route->place;
	__u64 *mask = key ? bpf_map_lookup_elem(&placement, &key) : NULL;
	if (mask && *mask)
		return own < 64 && (*mask >> (own & 63) & 1) ? own : rl_wake_lowest(*mask);
	return route && route->shard ? route->shard - 1 : own;
}

#endif
