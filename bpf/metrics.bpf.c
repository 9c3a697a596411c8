// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * metrics: what the kernel does for the shards of one process: how long their threads wait for a
 * CPU, and what becomes of their connections.
 *
 * Run queue: a thread is runnable from sched_wakeup, or from a switch that takes its CPU away, to
 * the switch that gives it one. Only the CPU that switches to a thread adds to its histogram, and
 * never two at once: plain additions are exact.
 *
 * Connections: who runs when a connection is established or fails is nobody in particular, so the
 * owner is noted at the socket when that is known: by the shard before it hands the connect to the
 * kernel, or at the state SYN_SENT, which is reached in the thread that connects. A connection to a
 * listener inherits its note. Softirqs of several CPUs count at once: those additions are atomic.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include <stdbool.h>

#include "metrics_types.h"

#define IPPROTO_TCP 6
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TASK_RUNNING 0

char _license[] SEC("license") = "Dual MIT/GPL";

struct metrics metrics;

/* The thread of a shard, as its process numbers it, and the shard's number from 1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHARDS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} shards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARDS_MAX + 1);
	__type(key, __u32);
	__type(value, struct delays);
} delays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct note);
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct label_key);
	__type(value, struct counts);
} labels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct task_key);
	__type(value, struct counts);
} tasks SEC(".maps");

/* Other processes that are watched. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct counts);
} pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} cgroups SEC(".maps");

/* Run by whoever loads this: which process is meant, in the numbers of the kernel. */
SEC("raw_tp")
int enrol(void *ctx)
{
	metrics.process = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/* ---- threads --------------------------------------------------------------------------------- */

/* The number that a thread's own namespace has for it. */
static __always_inline __u32 number_inside(struct task_struct *p)
{
	struct pid *pid = p->thread_pid;
	__u32 nr = 0;
	const void *at = (const void *)pid + bpf_core_field_offset(pid->numbers)
		+ pid->level * bpf_core_type_size(struct upid);
	bpf_probe_read_kernel(&nr, sizeof nr, at);
	return nr;
}

/* A slot that another thread has is taken only from one that is no shard's. */
static __noinline void claim(struct task_struct *p, struct slot *s)
{
	__u32 nr = number_inside(p);
	__u32 *shard = bpf_map_lookup_elem(&shards, &nr);
	if (s->tid != p->pid && s->shard && !shard)
		return;
	if (s->tid != p->pid)
		s->runnable_ns = 0;
	s->tid = p->pid;
	s->generation = metrics.generation;
	s->shard = shard ? *shard : 0;
}

/* The slot of a shard's thread; NULL: it is none. Only for threads of this process. */
static __always_inline struct slot *slot_of(struct task_struct *p)
{
	struct slot *s = &metrics.slots[p->pid & (SLOTS - 1)];
	if (s->tid != p->pid || s->generation != metrics.generation)
		claim(p, s);
	return s->tid == p->pid && s->shard ? s : NULL;
}

/* ---- run queue ------------------------------------------------------------------------------- */

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 n = 0;
	if (v >> 32) { n += 32; v >>= 32; }
	if (v >> 16) { n += 16; v >>= 16; }
	if (v >> 8) { n += 8; v >>= 8; }
	if (v >> 4) { n += 4; v >>= 4; }
	if (v >> 2) { n += 2; v >>= 2; }
	return n + (v >> 1);
}

/* In units of 2^-40 s, so that 1 ns, more than 2^-30 s, has ten digits before the point. The factor
 * is 2^60 / 10^9; what is long is shifted first. */
static __always_inline __u64 scaled(__u64 ns)
{
	return ns >> 33 ? (ns >> 10) * 1152921505 >> 10 : ns * 1152921505 >> 20;
}

static __always_inline void add_delay(__u32 shard, __u64 ns)
{
	struct delays *d = bpf_map_lookup_elem(&delays, &shard);
	if (!d)
		return;
	d->sum_ns += ns;
	if (ns == 0) {
		d->under++;
		return;
	}
	__u64 u = scaled(ns);
	__u32 octave = log2_of(u);
	__u32 at = (octave - 10) * SUB + ((u >> (octave - 5)) & (SUB - 1));
	if (ns >> 40 || at >= OCTAVES * SUB)
		d->over++;
	else
		d->buckets[at]++;
}

static __always_inline void woken(struct task_struct *p)
{
	if (p->tgid != metrics.process)
		return;
	struct slot *s = slot_of(p);
	if (s && s->runnable_ns == 0)
		s->runnable_ns = bpf_ktime_get_ns();
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *p)
{
	woken(p);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *p)
{
	woken(p);
	return 0;
}

/* What is woken before it has gone to sleep is marked as runnable although it runs: whatever was
 * said of `prev` is said anew here. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 process = metrics.process;
	if (prev->tgid == process) {
		struct slot *s = slot_of(prev);
		if (s)
			s->runnable_ns = preempt || prev->__state == TASK_RUNNING ? bpf_ktime_get_ns() : 0;
	}
	if (next->tgid == process) {
		struct slot *s = slot_of(next);
		if (s && s->runnable_ns) {
			add_delay(s->shard, bpf_ktime_get_ns() - s->runnable_ns);
			s->runnable_ns = 0;
		}
	}
	return 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

enum event { BEGUN, ESTABLISHED, FAILED, ACCEPTED_ONE, RETRANSMITTED };

static __always_inline void count(struct counts *c, enum event what)
{
	__u64 *at = what == BEGUN ? &c->begun : what == ESTABLISHED ? &c->established
		: what == FAILED ? &c->failed : what == ACCEPTED_ONE ? &c->accepted : &c->retransmits;
	__sync_fetch_and_add(at, 1);
}

static __always_inline void count_label(struct note *n, enum event what)
{
	struct label_key key = {n->shard, n->label};
	struct counts zero = {}, *c = bpf_map_lookup_elem(&labels, &key);
	if (!c) {
		bpf_map_update_elem(&labels, &key, &zero, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&labels, &key);
	}
	if (c)
		count(c, what);
}

static __always_inline void count_task(struct note *n, enum event what)
{
	struct task_key key = {n->shard, n->task};
	struct counts zero = {}, *c = bpf_map_lookup_elem(&tasks, &key);
	if (!c) {
		bpf_map_update_elem(&tasks, &key, &zero, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&tasks, &key);
	}
	if (c)
		count(c, what);
}

#define OF_CGROUP 0xffffffff

static __noinline void count_note(struct note *n, enum event what)
{
	if (n->pid == OF_CGROUP) {
		count(&metrics.of_cgroup, what);
	} else if (n->pid) {
		__u32 pid = n->pid;
		struct counts *c = bpf_map_lookup_elem(&pids, &pid);
		if (c)
			count(c, what);
	} else if (n->shard <= SHARDS_MAX) {
		count(&metrics.counts[n->shard], what);
		if (n->task)
			count_task(n, what);
		if (n->label)
			count_label(n, what);
	}
}

/* Whose socket it is if the running thread makes it what it is now. */
static __always_inline bool mine(struct note *n)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	if (pid == metrics.process) {
		struct slot *s = slot_of(bpf_get_current_task_btf());
		n->shard = s ? s->shard : 0;
		return true;
	}
	if (metrics.with_pids && bpf_map_lookup_elem(&pids, &pid)) {
		n->pid = pid;
		return true;
	}
	if (metrics.with_cgroup && bpf_current_task_under_cgroup(&cgroups, 0) == 1) {
		n->pid = OF_CGROUP;
		return true;
	}
	return false;
}

/* The note of a socket that the running thread connects, or listens with. */
static __always_inline struct note *noted(struct sock *sk)
{
	struct note *had = bpf_sk_storage_get(&notes, sk, 0, 0);
	if (had)
		return had;
	struct note fresh = {};
	if (!mine(&fresh))
		return NULL;
	return bpf_sk_storage_get(&notes, sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void ended(struct note *n, int state)
{
	if (state == TCP_ESTABLISHED && n->role == CONNECTING) {
		n->role = CONNECTED;
		count_note(n, ESTABLISHED);
	} else if (state == TCP_ESTABLISHED && n->role == LISTENING) {
		n->role = ACCEPTED;
		count_note(n, ACCEPTED_ONE);
	} else if (state == TCP_CLOSE && n->role == CONNECTING) {
		n->role = NOTED;
		count_note(n, FAILED);
	}
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int before, int state)
{
	struct note *n;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (state == TCP_SYN_SENT) {
		n = noted(sk);
		if (n) {
			n->role = CONNECTING;
			count_note(n, BEGUN);
		}
	} else if (state == TCP_LISTEN) {
		n = noted(sk);
		if (n)
			n->role = LISTENING;
	} else if (state == TCP_ESTABLISHED || state == TCP_CLOSE) {
		n = bpf_sk_storage_get(&notes, sk, 0, 0);
		if (n)
			ended(n, state);
	}
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, struct sock *sk, struct sk_buff *skb)
{
	struct note *n = bpf_sk_storage_get(&notes, sk, 0, 0);
	if (n)
		count_note(n, RETRANSMITTED);
	return 0;
}
