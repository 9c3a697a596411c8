/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * steer: places a new connection on a shard, when its SYN has come, and once more when the listener
 * it waits at is closed before it was accepted. Attached once to the group of listeners that share
 * an address; each shard puts its own into `socks`, the kernel takes it out when it is closed.
 *
 * A shard that is chosen and has no socket any more is left out and the others are looked at again.
 * When nothing comes of that, the kernel chooses by its hash.
 */
#include "steer.h"

#define ATTEMPTS 4
#define ETH_P_IP 0x0800
#define IP_SOURCE 12
#define IP6_SOURCE 8
#define TCP_FLAGS 13
#define TCP_SYN 0x02

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, SHARDS);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

static __always_inline void set_ip4(struct prefix *p, __u32 address)
{
	*(__u32 *)(p->address + 8) = bpf_htonl(0xffff);
	*(__u32 *)(p->address + 12) = address;
}

/* The peer of a connection that moves: there is no packet. */
static __always_inline void read_socket(struct bpf_sock *sk, struct prefix *p)
{
	if (sk->family == 2) {
		set_ip4(p, sk->dst_ip4);
		return;
	}
	*(__u32 *)p->address = sk->dst_ip6[0];
	*(__u32 *)(p->address + 4) = sk->dst_ip6[1];
	*(__u32 *)(p->address + 8) = sk->dst_ip6[2];
	*(__u32 *)(p->address + 12) = sk->dst_ip6[3];
}

static __always_inline void read_packet(struct sk_reuseport_md *md, struct prefix *p)
{
	if (md->eth_protocol == bpf_htons(ETH_P_IP)) {
		__u32 address = 0;
		bpf_skb_load_bytes_relative(md, IP_SOURCE, &address, 4, BPF_HDR_START_NET);
		set_ip4(p, address);
	} else {
		bpf_skb_load_bytes_relative(md, IP6_SOURCE, p->address, 16, BPF_HDR_START_NET);
	}
}

/* Is it the first of a connection? What comes without, with a cookie, was counted already. */
static __always_inline int is_syn(struct sk_reuseport_md *md)
{
	__u8 flags = 0;
	bpf_skb_load_bytes(md, TCP_FLAGS, &flags, 1);
	return flags & TCP_SYN;
}

static __always_inline void count(const struct choice *c, __u32 i, int is_handed, int is_moved)
{
	__u32 zero = 0;
	struct turns *t = bpf_map_lookup_elem(&turns, &zero);
	struct term *term = bpf_map_lookup_elem(&terms, &i);
	struct mark *m = bpf_map_lookup_elem(&marks, &i);
	if (!t || !m || !term)
		return;
	__sync_fetch_and_add(&m->placed, 1);
	if (is_handed)
		__sync_fetch_and_add(&m->handed, 1);
	if (is_moved)
		__sync_fetch_and_add(&m->migrated, 1);
	if (c->policy == RR) {
		__u64 pass = is_after(m->pass, c->pass) ? m->pass : c->pass;
		t->pass = pass;
		m->pass = pass + (term->cost ? term->cost : 1);
	}
	t->next = i + 1;
	__u32 wish = c->wish;
	m = bpf_map_lookup_elem(&marks, &wish);
	if (m && wish != i)
		__sync_fetch_and_add(&m->avoided, 1);
}

static __always_inline void count_fallback(void)
{
	__u32 zero = 0;
	struct turns *t = bpf_map_lookup_elem(&turns, &zero);
	if (t)
		__sync_fetch_and_add(&t->fallbacks, 1);
}

SEC("sk_reuseport/migrate")
int steer(struct sk_reuseport_md *md)
{
	struct choice c = {.now_ns = bpf_ktime_get_ns()};
	struct prefix from = {.len = 128};
	struct bpf_sock *moved = md->migrating_sk;
	int is_handed = 1;
	if (moved) {
		read_socket(moved, &from);
	} else {
		read_packet(md, &from);
		is_handed = is_syn(md);
	}
	prepare(&c, &from);
	for (int n = 0; n < ATTEMPTS; n++) {
		int i = choose(&c);
		if (i < 0)
			break;
		__u32 key = i;
		if (bpf_sk_select_reuseport(md, &socks, &key, 0) == 0) {
			count(&c, key, is_handed, moved != 0);
			return SK_PASS;
		}
		c.excluded |= 1ULL << (key & 63);
	}
	count_fallback();
	return SK_PASS;
}
