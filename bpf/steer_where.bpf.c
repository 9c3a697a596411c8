/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * steer_where: where a connection from an address would go, at some time; nothing is placed. Run by
 * hand (BPF_PROG_TEST_RUN), with the maps of a steering; the question is the packet.
 */
#include "steer.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct question {
	__u8 address[16];
	__u64 now_ns;   /* 0: now */
	__u64 excluded;
};

/* The shard, and from bit 8 on the one it would be if none were stalled or full; 64: none. */
SEC("socket")
int where(struct __sk_buff *skb)
{
	struct question q;
	if (bpf_skb_load_bytes(skb, 0, &q, sizeof q) < 0)
		return -1;
	struct choice c = {.now_ns = q.now_ns ? q.now_ns : bpf_ktime_get_ns(),
		.excluded = q.excluded};
	struct prefix from = {.len = 128};
	__builtin_memcpy(from.address, q.address, sizeof from.address);
	prepare(&c, &from);
	choose(&c);
	return c.best | c.wish << 8;
}
