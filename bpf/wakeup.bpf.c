/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * wakeup: a socket filter for listeners: it tells the scheduler of a shard that a critical request
 * has arrived while a task of that shard computes. Accepted sockets inherit it. It runs in the
 * softirq that delivers a segment, before TCP queues the data, and keeps every segment whole,
 * whatever it finds.
 *
 * There is an instance for each shard, which differ in `shard` only.
 */
#include "wakeup_classify.h"

#define LISTEN 10 /* TCP_LISTEN */
#define KEEP   -1 /* all of it */

const volatile __u32 shard = 0;

/* The payload of the segment; false: there is none. */
static __always_inline bool find_payload(struct __sk_buff *skb, struct rl_wake_payload *p)
{
	__u8 header[14];
	if (bpf_skb_load_bytes(skb, 0, header, sizeof header))
		return false;
	p->port = (__u32)header[2] << 8 | header[3];
	p->off = (header[12] >> 4) * 4;
	if (p->off < 20 || skb->len <= p->off)
		return false;
	p->len = skb->len - p->off;
	return true;
}

/* Requests that come with the end of the handshake are still the listener's. */
static __always_inline bool is_early(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	return sk && sk->state == LISTEN;
}

static __always_inline void mark(struct __sk_buff *skb, __u32 class, __u32 target,
	struct rl_wake_counts *n)
{
	if (is_early(skb)) {
		RL_WAKE_COUNT(n, early);
		return;
	}
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct rl_wake_mark *old = bpf_map_lookup_elem(&marks, &cookie);
	if (old) {
		if (old->class == class && old->shard == target)
			return;
		old->class = class;
		old->shard = target;
	} else if (class == RL_WAKE_NORMAL) {
		return;
	} else {
		struct rl_wake_mark new = {.class = class, .shard = target};
		bpf_map_update_elem(&marks, &cookie, &new, BPF_ANY);
	}
	RL_WAKE_COUNT(n, marks);
}

SEC("socket")
int wakeup(struct __sk_buff *skb)
{
	struct rl_wake_payload p;
	__u32 zero = 0, own = shard;
	bool is_head;
	if (!find_payload(skb, &p))
		return KEEP;
	struct rl_wake_settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct rl_wake_counts *n = bpf_map_lookup_elem(&counts, &own);
	if (!set || !n)
		return KEEP;
	RL_WAKE_COUNT(n, segments);
	struct rl_wake_route *route = rl_wake_route(skb, RL_FROM_SKB, &p, &is_head);
	n->heads += is_head;
	if (!is_head && !route)
		return KEEP;
	__u32 target = rl_wake_shard(route, 0, own);
	struct rl_wake_word *word = bpf_map_lookup_elem(&words, &target);
	if (!word)
		return KEEP;
	mark(skb, rl_wake_class(route, word, set, n), target, n);
	return KEEP;
}

/* Run by hand on the thread of a shard, which it notes. */
SEC("syscall")
int wakeup_thread(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct rl_wake_thread thread = {.tid = (__u32)id, .tgid = id >> 32};
	__u32 own = shard;
	return bpf_map_update_elem(&threads, &own, &thread, BPF_ANY);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
