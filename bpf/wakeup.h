/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * wakeup: what the programs that classify segments share with each other and with
 * lua/ringlet/bpf_wakeup*.lua: classes, and the maps. All programs of a process share all maps.
 *
 * Invariant: what a program writes and what the shards write lie in different maps, an entry of
 * either on cache lines of its own.
 *
 * Shards are numbered from 0 here, as the bits of a mask and the entries of an array.
 */
#ifndef RL_BPF_WAKEUP_H
#define RL_BPF_WAKEUP_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define RL_WAKE_SHARDS 64
#define RL_WAKE_PATH   64 /* bytes of a path that are looked at */
#define RL_WAKE_TASK   (1ull << 52) /* above all cookies; Lua's numbers are exact up to it */

enum rl_wake_class {
	RL_WAKE_NONE,
	RL_WAKE_CRITICAL,
	RL_WAKE_NORMAL,
	RL_WAKE_BACKGROUND,
	RL_WAKE_CLASSES,
};

/* What a route or a port leads to. */
struct rl_wake_route {
	__u32 class;
	__u32 shard; /* its number from 1 when it is not the one the socket belongs to */
	__u64 place; /* the key in `placement` that says which; 0: none */
};

/* The beginning of a path; that of an exact route has the space or the "?" behind it. */
struct rl_wake_key {
	__u32 bits;
	__u8 path[RL_WAKE_PATH];
};

/* What the programs write for a shard: one cache line. */
struct rl_wake_word {
	__u64 urgent;       /* struct rl_urgent of src/rt/urgency.h: how many critical segments came, */
	__u64 at_ns;        /* and when the last did */
	__u64 due_ns;       /* the account of its budget: when the next token is due */
	__u64 signalled_ns; /* when its thread was signalled last */
	__u64 reserved[4];
};

/* What a shard writes for the programs: src/rt/beacon.h. */
struct rl_wake_beacon {
	__u64 beat_ns, run_since_ns, task;
	__u32 runnable, idle, live, tid;
	__u64 conns, reserved[2];
};

/* The thread of a shard, as the kernel numbers it outside all namespaces. */
struct rl_wake_thread {
	__u32 tid, tgid;
};

struct rl_wake_settings {
	__u64 token_ns;  /* between two critical segments of a shard; 0: any number */
	__u64 burst_ns;  /* how far the account may be ahead */
	__u64 signal_ns; /* a run that lasts as long is signalled; 0: none is */
	__u32 raise;     /* are the words raised? */
	__u32 nonce;     /* no two of a process have the same */
};

struct rl_wake_mark {
	__u32 class;
	__u32 shard;
};

/* What a socket belongs to. A listener's is copied to the connections it accepts. */
struct rl_wake_owner {
	__u32 shard;    /* from 1; 0: none */
	__u32 filtered; /* the socket filter marks it, and raises the word */
	__u64 cookie;   /* its own; 0: not known here */
	__u32 class;    /* the mark, where there is no socket filter */
	__u32 reserved;
};

/* The two ends of a flow: the key of `flows`. IPv4 addresses are in the first word. */
struct rl_wake_flow {
	__u32 from[4], to[4];
	__u16 from_port, to_port; /* in network order */
	__u32 protocol;
};

/* Of a CPU and a shard. */
struct rl_wake_counts {
	__u64 segments;     /* with a payload */
	__u64 heads;        /* that begin like a request */
	__u64 critical;
	__u64 normal;       /* heads that no route or port makes anything else */
	__u64 background;
	__u64 over_budget;  /* critical ones that were treated as normal */
	__u64 raised;
	__u64 marks;        /* connections that were marked, or marked anew */
	__u64 early;        /* that came with a handshake: raised, not marked */
	__u64 signals;
	__u64 unowned;      /* of devices: nobody's */
	__u64 redirected;
};

/* Count in struct rl_wake_counts. Kept apart from its like in another branch: a compiler that
 * makes one addition of both, at an offset that varies, makes a program that CAP_BPF alone may not
 * load. */
#define RL_WAKE_COUNT(n, field) do { \
	(n)->field++; \
	asm volatile("/* " #field " */" ::: "memory"); \
} while (0)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_WAKE_SHARDS);
	__type(key, __u32);
	__type(value, struct rl_wake_word);
} words SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rl_wake_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RL_WAKE_SHARDS);
	__type(key, __u32);
	__type(value, struct rl_wake_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct rl_wake_key);
	__type(value, struct rl_wake_route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct rl_wake_route);
} ports SEC(".maps");

/* By the cookies of sockets. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct rl_wake_mark);
} marks SEC(".maps");

/* A connection, by its cookie, or a task, by RL_WAKE_TASK and its number: a mask of the shards, or
 * of the CPUs, that shall hear of it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} placement SEC(".maps");

/* The keys in `placement` of flows, for XDP, which knows no sockets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct rl_wake_flow);
	__type(value, __u64);
} flows SEC(".maps");

/* By sockets, and by their descriptors. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct rl_wake_owner);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_WAKE_SHARDS);
	__type(key, __u32);
	__type(value, struct rl_wake_beacon);
} beacons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RL_WAKE_SHARDS);
	__type(key, __u32);
	__type(value, struct rl_wake_thread);
} threads SEC(".maps");

#endif
