/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * metrics_types: what metrics.bpf.c reads of the kernel's types (where the fields lie is filled in
 * when it is loaded), and what it shares with lua/ringlet/bpf_metrics.lua. Sizes and offsets of the
 * latter are written down there once more.
 */
#ifndef RL_BPF_METRICS_TYPES_H
#define RL_BPF_METRICS_TYPES_H

#define SHARDS_MAX 64
#define SLOTS 4096
#define OCTAVES 40
#define SUB 32

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct {
	unsigned int __state;
	__u32 pid;
	__u32 tgid;
	struct pid *thread_pid;
};

struct sock {
	__u16 sk_protocol;
};

struct sk_buff;

#pragma clang attribute pop

/* What happened to the connections of one owner. */
struct counts {
	__u64 begun, established, failed, accepted, retransmits;
};

/* A thread of this process, by the low bits of its number. */
struct slot {
	__u32 tid;         /* the kernel's number, not that of a namespace */
	__u32 generation;  /* of the list of shards when `shard` was looked up */
	__u32 shard;       /* 0: it is none */
	__u32 reserved;
	__u64 runnable_ns; /* since when it waits for a CPU; 0: it runs or sleeps */
};

/* All that programs and user space both write. Index 0 is what belongs to no shard. */
struct metrics {
	__u32 process;     /* the kernel's number of this process */
	__u32 generation;  /* counts changes of `shards` */
	__u32 with_pids;   /* whether `pids` has any */
	__u32 with_cgroup; /* whether `cgroups` has one */
	struct counts counts[SHARDS_MAX + 1], of_cgroup;
	struct slot slots[SLOTS];
};

/* Delays of a shard's thread. `buckets` are those of src/base/histogram.h, the first 40 octaves:
 * from 2^-30 s to 2^10 s, each in 32 parts. */
struct delays {
	__u64 under, over, sum_ns, buckets[OCTAVES * SUB];
};

enum role { NOTED, CONNECTING, CONNECTED, LISTENING, ACCEPTED };

/* Whose a socket is. */
struct note {
	__u64 task;  /* 0: unknown */
	__u32 shard; /* 0: none */
	__u32 label; /* the number that the shard has for the task's labels */
	__u32 role;
	__u32 pid;   /* of another process that is watched; 0: this one */
};

struct label_key {
	__u32 shard, label;
};

struct task_key {
	__u64 shard, task;
};

#endif
