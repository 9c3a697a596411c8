/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* sample: a map of every kind that specs look at, and a program of every kind that they attach. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define MMAPABLE 1024 /* BPF_F_MMAPABLE */
#define NO_PREALLOC 1

enum colour { RED, GREEN = 7, BLUE = -3 };

struct point {
	__s32 x, y;
};

struct everything {
	__u8 u8;
	__s8 s8;
	__u16 u16;
	__s16 s16;
	__u32 u32;
	__s32 s32;
	__u64 u64;
	__s64 s64;
	bool yes;
	enum colour colour;
	char name[12];
	__u8 mac[6];
	__u16 ports[3];
	struct point at, corners[2];
	struct {
		__u32 inner;
	};
	union {
		__u32 word;
		__u8 bytes[4];
	} either;
	__u32 low : 3, high : 5;
	__s32 small : 4;
};

struct prefix {
	__u32 len;
	__u8 data[8];
};

struct event {
	__u32 seq;
	__u32 len;
	char text[16];
};

#define MAP(kind, entries) \
	__uint(type, BPF_MAP_TYPE_##kind); \
	__uint(max_entries, entries)

struct {
	MAP(HASH, 1000);
	__type(key, __u32);
	__type(value, struct everything);
} things SEC(".maps");

struct {
	MAP(HASH, 100);
	__type(key, struct point);
	__type(value, __u64);
} points SEC(".maps");

struct {
	MAP(HASH, 100);
	__uint(key_size, 4);
	__uint(value_size, 6);
} plain SEC(".maps");

struct {
	MAP(LRU_HASH, 64);
	__type(key, __u64);
	__type(value, __s64);
} recent SEC(".maps");

struct {
	MAP(ARRAY, 8);
	__uint(map_flags, MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} words SEC(".maps");

struct {
	MAP(PERCPU_ARRAY, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	MAP(PERCPU_HASH, 16);
	__type(key, __u32);
	__type(value, struct point);
} spread SEC(".maps");

struct {
	MAP(LPM_TRIE, 64);
	__uint(map_flags, NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	MAP(QUEUE, 4);
	__type(value, struct point);
} line SEC(".maps");

struct {
	MAP(STACK, 4);
	__type(value, __u32);
} pile SEC(".maps");

struct {
	MAP(BLOOM_FILTER, 100);
	__type(value, __u32);
} seen SEC(".maps");

struct {
	MAP(REUSEPORT_SOCKARRAY, 4);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

struct {
	MAP(RINGBUF, 4096);
} events SEC(".maps");

const volatile __u32 limit = 5;
const volatile char greeting[16] = "hello";
volatile __u64 seen_packets = 0;
volatile struct point origin = {3, -4};
volatile bool enabled = true;

/* So that its type is in BTF. */
const struct event *event_type __attribute__((unused));

static long emit(__u32 seq, __u32 len)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
	if (!e)
		return -1;
	__builtin_memset(e, 0, sizeof *e);
	e->seq = seq;
	e->len = len;
	__builtin_memcpy(e->text, "packet", 7);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Counts, tells of each packet but the last of `limit`, and lets all of them pass. */
SEC("socket")
int watch(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&counts, &zero);
	if (n)
		*n += 1;
	__u64 seq = __sync_fetch_and_add(&seen_packets, 1);
	if (enabled)
		emit((__u32)seq, skb->len);
	return -1;
}

/* Lets nothing pass that is longer than `limit`. */
SEC("socket")
int drop_long(struct __sk_buff *skb)
{
	return skb->len > limit ? 0 : -1;
}

SEC("tc")
int count_tc(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return 0;
}

SEC("xdp")
int count_xdp(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return XDP_PASS;
}

SEC("cgroup_skb/ingress")
int count_cgroup(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return 1;
}

SEC("sk_reuseport")
int pick(struct sk_reuseport_md *md)
{
	__u32 key = 1;
	__sync_fetch_and_add(&seen_packets, 1);
	bpf_sk_select_reuseport(md, &socks, &key, 0);
	return SK_PASS;
}

SEC("raw_tp/sys_enter")
int count_raw(void *ctx)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return 0;
}

SEC("tp_btf/sched_switch")
int count_switch(void *ctx)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return 0;
}

SEC("uprobe")
int count_uprobe(void *ctx)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return 0;
}

SEC("tp/syscalls/sys_enter_getppid")
int count_tp(void *ctx)
{
	__sync_fetch_and_add(&seen_packets, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
