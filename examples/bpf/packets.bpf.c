/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* packets: a socket filter that counts what each client of a listener sends, by the client's port,
 * and tells of the first bytes of each. examples/bpf_packets.lua loads it. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TEXT 16

struct traffic {
	__u64 packets, bytes;
};

struct first {
	__u16 port;
	char text[TEXT];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u16);
	__type(value, struct traffic);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} news SEC(".maps");

/* Data of clients that is longer is not counted. */
const volatile __u32 limit = 65535;
__u64 too_long = 0;

/* So that its type is in BTF. */
const struct first *first_type __attribute__((unused));

static void tell(struct __sk_buff *skb, __u16 port, __u32 at, __u32 len)
{
	struct first *e = bpf_ringbuf_reserve(&news, sizeof *e, 0);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof *e);
	e->port = port;
	for (__u32 i = 0; i < TEXT - 1 && i < len; i++)
		bpf_skb_load_bytes(skb, at + i, &e->text[i], 1);
	bpf_ringbuf_submit(e, 0);
}

/* What a filter on a socket sees begins at the TCP header. -1: keep the whole packet. */
SEC("socket")
int count(struct __sk_buff *skb)
{
	__u16 port;
	__u8 words;
	if (bpf_skb_load_bytes(skb, 0, &port, 2) || bpf_skb_load_bytes(skb, 12, &words, 1))
		return -1;
	__u32 at = (words >> 4) * 4;
	if (skb->len <= at)
		return -1;
	if (skb->len - at > limit) {
		__sync_fetch_and_add(&too_long, 1);
		return -1;
	}
	port = bpf_ntohs(port);
	struct traffic *t = bpf_map_lookup_elem(&clients, &port);
	if (t) {
		__sync_fetch_and_add(&t->packets, 1);
		__sync_fetch_and_add(&t->bytes, skb->len - at);
		return -1;
	}
	struct traffic one = {1, skb->len - at};
	bpf_map_update_elem(&clients, &port, &one, BPF_ANY);
	tell(skb, port, at, skb->len - at);
	return -1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
