/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * wakeup_dev: the classifier for what arrives at a device: as a tc program (clsact or tcx), which
 * knows whose socket a packet is for, and as an XDP program, which is there before there is a
 * socket buffer and can hand a packet to another CPU. Neither drops or changes anything.
 *
 * tc also signals the thread of a shard (`signal_ns` of the settings) that runs one task for long:
 * for programs that read no word. `bpf_send_signal` would hit whatever thread this softirq has
 * interrupted; bpf_send_signal_task takes the task, Linux 6.13.
 */
#include "wakeup_packet.h"

#define NEXT       -1      /* TC_ACT_UNSPEC, TCX_NEXT: leave it to the others */
#define SIGNAL     23      /* SIGURG: its default is to be ignored */
#define SIGNAL_GAP 200000  /* ns between two of a shard */

/* The shard of packets that are nobody's else, from 1; 0: none. */
const volatile __u32 default_shard = 0;
const volatile __u32 signals = 0;
/* Of the header of the device's link layer: 0 where there is none. */
const volatile __u32 link_len = 14;

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} cpus SEC(".maps");

struct task_struct {
	int pid, tgid;
} __attribute__((preserve_access_index));

enum pid_type {
	PIDTYPE_PID, /* one thread */
};

extern struct task_struct *bpf_task_from_pid(int pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *p) __ksym __weak;
extern int bpf_send_signal_task(struct task_struct *p, int sig, enum pid_type type,
	__u64 value) __ksym __weak;

/* Does the shard run one task for long, and was it not signalled just now? */
static __always_inline bool is_due(__u32 shard, struct rl_wake_word *word, __u64 after_ns)
{
	struct rl_wake_beacon *beacon = bpf_map_lookup_elem(&beacons, &shard);
	if (!beacon || *(volatile __u32 *)&beacon->idle)
		return false;
	__u64 since = *(volatile __u64 *)&beacon->run_since_ns, now = bpf_ktime_get_ns();
	if (!since || now < since + after_ns || now < word->signalled_ns + SIGNAL_GAP)
		return false;
	word->signalled_ns = now;
	return true;
}

static __always_inline void kick(__u32 shard, struct rl_wake_word *word,
	const struct rl_wake_settings *set, struct rl_wake_counts *n)
{
	struct rl_wake_thread *thread = bpf_map_lookup_elem(&threads, &shard);
	if (!thread || !thread->tid || !set->signal_ns || !is_due(shard, word, set->signal_ns))
		return;
	struct task_struct *task = bpf_task_from_pid(thread->tid);
	if (!task)
		return;
	/* its number may be another's by now */
	if (task->tgid == (int)thread->tgid
		&& !bpf_send_signal_task(task, SIGNAL, PIDTYPE_PID, shard + 1))
		RL_WAKE_COUNT(n, signals);
	bpf_task_release(task);
}

/* To whom the socket of a packet belongs, with a reference to be released; NULL: to nobody. */
static __always_inline struct bpf_sock *find_socket(struct __sk_buff *skb,
	const struct rl_wake_flow *f, bool is_v6)
{
	struct bpf_sock_tuple t = {};
	__u32 len;
	if (is_v6) {
		__builtin_memcpy(t.ipv6.saddr, f->from, sizeof f->from);
		__builtin_memcpy(t.ipv6.daddr, f->to, sizeof f->to);
		t.ipv6.sport = f->from_port;
		t.ipv6.dport = f->to_port;
		len = sizeof t.ipv6;
	} else {
		t.ipv4.saddr = f->from[0];
		t.ipv4.daddr = f->to[0];
		t.ipv4.sport = f->from_port;
		t.ipv4.dport = f->to_port;
		len = sizeof t.ipv4;
	}
	if (f->protocol == 6)
		return bpf_skc_lookup_tcp(skb, &t, len, BPF_F_CURRENT_NETNS, 0);
	return bpf_sk_lookup_udp(skb, &t, len, BPF_F_CURRENT_NETNS, 0);
}

/* What was found of the socket, copied, so that it can be released. The mark is made here. */
static __always_inline void read_owner(struct __sk_buff *skb, const struct rl_wake_packet *p,
	__u32 class, struct rl_wake_owner *out)
{
	struct bpf_sock *sk = find_socket(skb, &p->flow, p->is_v6);
	if (!sk)
		return;
	struct rl_wake_owner *owner = bpf_sk_storage_get(&owners, sk, NULL, 0);
	if (owner) {
		*out = *owner;
		if (!owner->filtered)
			owner->class = class;
	}
	bpf_sk_release(sk);
}

/* A packet of a class, for a shard. */
static __always_inline void notify(__u32 shard, bool is_filtered, const struct rl_wake_route *route,
	const struct rl_wake_settings *set, struct rl_wake_counts *n)
{
	struct rl_wake_word *word = bpf_map_lookup_elem(&words, &shard);
	if (!word)
		return;
	__u32 class = is_filtered ? route ? route->class : RL_WAKE_NONE
		: rl_wake_class(route, word, set, n);
	if (signals && class == RL_WAKE_CRITICAL)
		kick(shard, word, set, n);
}

/* The counters of a shard, those of the first when it has none. */
static __always_inline struct rl_wake_counts *counts_of(__u32 shard)
{
	__u32 i = shard < RL_WAKE_SHARDS ? shard : 0;
	return bpf_map_lookup_elem(&counts, &i);
}

SEC("tc")
int wakeup_tc(struct __sk_buff *skb)
{
	struct rl_wake_packet p = {};
	struct rl_wake_owner owner = {};
	__u32 zero = 0;
	bool is_head;
	if (!rl_packet_read(skb, RL_FROM_SKB, link_len, (__be16)skb->protocol, &p))
		return NEXT;
	struct rl_wake_settings *set = bpf_map_lookup_elem(&settings, &zero);
	if (!set)
		return NEXT;
	struct rl_wake_route *route = rl_wake_route(skb, RL_FROM_SKB, &p.payload, &is_head);
	if (!is_head && !route)
		return NEXT;
	read_owner(skb, &p, route ? route->class : RL_WAKE_NORMAL, &owner);
	__u32 own = (owner.shard ? owner.shard : default_shard) - 1;
	__u32 target = rl_wake_shard(route, owner.cookie, own);
	struct rl_wake_counts *n = counts_of(target);
	if (!n)
		return NEXT;
	if (!owner.filtered) {
		RL_WAKE_COUNT(n, segments);
		n->heads += is_head;
	}
	if (target >= RL_WAKE_SHARDS)
		RL_WAKE_COUNT(n, unowned);
	notify(target, owner.filtered, route, set, n);
	return NEXT;
}

/* The mask of the CPUs for a flow; 0: any. */
static __always_inline __u64 place_of(const struct rl_wake_flow *flow, __u64 *key)
{
	__u64 *found = bpf_map_lookup_elem(&flows, flow);
	if (!found)
		return 0;
	*key = *found;
	__u64 *mask = bpf_map_lookup_elem(&placement, key);
	return mask ? *mask : 0;
}

SEC("xdp")
int wakeup_xdp(struct xdp_md *ctx)
{
	struct rl_wake_packet p = {};
	__u8 header[14];
	__u32 zero = 0;
	__u64 key = 0, mask;
	bool is_head;
	if (bpf_xdp_load_bytes(ctx, 0, header, sizeof header))
		return XDP_PASS;
	__be16 protocol = header[13] << 8 | header[12];
	bool has_payload = rl_packet_read(ctx, RL_FROM_FRAME, sizeof header, protocol, &p);
	struct rl_wake_settings *set = bpf_map_lookup_elem(&settings, &zero);
	if (!set || !p.flow.protocol)
		return XDP_PASS;
	mask = place_of(&p.flow, &key);
	struct rl_wake_route *route = NULL;
	if (has_payload)
		route = rl_wake_route(ctx, RL_FROM_FRAME, &p.payload, &is_head);
	__u32 target = rl_wake_shard(route, key, default_shard - 1);
	struct rl_wake_counts *n = counts_of(target);
	if (!n)
		return XDP_PASS;
	if (route) {
		RL_WAKE_COUNT(n, segments);
		n->heads += is_head;
		if (target >= RL_WAKE_SHARDS)
			RL_WAKE_COUNT(n, unowned);
		notify(target, false, route, set, n);
	}
	if (!mask)
		return XDP_PASS;
	int verdict = bpf_redirect_map(&cpus, rl_wake_lowest(mask), XDP_PASS);
	n->redirected += verdict == XDP_REDIRECT;
	return verdict;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
