/* SPDX-License-Identifier: MIT */
/*
 * os: the kernel seam. The runtime reaches the kernel through this table and nothing else, so that
 * `uring` (the real one) and `sim` (deterministic: virtual time, seeded order, in-memory sockets,
 * injected faults) are interchangeable. `epoll` will be a third.
 *
 * Contract. One os belongs to the thread that opened it; only `wake` and `arrive` may be called
 * from another. Nothing blocks but `poll` with a deadline. Functions return 0, a count, or a
 * negative code.
 */
#ifndef RL_OS_OS_H
#define RL_OS_OS_H

#include "os/op.h"

#include <stdbool.h>
#include <stdint.h>

struct rl_os;

/* Code for a helper thread: `fn` runs there, `done` later inside rl_os_poll on the shard's
 * thread. */
struct rl_work {
	void (*fn)(struct rl_work *w);
	void (*done)(struct rl_work *w);
	struct rl_list link;
};

struct rl_os_config {
	unsigned entries;   /* submission queue size, 0 = default (256; power of two) */
	unsigned buf_count; /* provided buffers, power of two, 0 = default */
	unsigned buf_size;  /* bytes each, 0 = default */
	uint64_t seed;      /* sim: the run; uring: ignored */
	const char *faults; /* sim: "short_write=0.1,enobufs=0.01,..."; NULL = none */
};

struct rl_os_stats {
	uint64_t submitted, completed;   /* operations */
	uint64_t enters;                 /* kernel entries (uring) or poll rounds (sim) */
	uint64_t overflows;              /* completion-queue overflows survived */
	uint64_t by_kind[RL_OP_KINDS];   /* operations submitted */
};

struct rl_os_ops {
	const char *name; /* "uring", "sim" */
	int (*open)(struct rl_os **out, const struct rl_os_config *config);
	/* Cancels everything, reaps to zero in flight in bounded time, frees. Returns 0, or -EBUSY
	 * when memory the kernel may still write to was kept on purpose. `done` is not called. */
	int (*close)(struct rl_os *os);
	int (*submit)(struct rl_os *os, struct rl_op *op);
	/* Ask for an in-flight op to end; its last completion arrives as ever (usually -ECANCELED). */
	void (*cancel)(struct rl_os *os, struct rl_op *op);
	/* Enter the kernel once: submit what is queued, deliver what is complete. Waits until
	 * something completes, a wake, a signal, or `deadline_ns` (-1 never, 0 do not wait).
	 * Returns completions delivered, or -EINTR when a signal ended the wait early. */
	int (*poll)(struct rl_os *os, int64_t deadline_ns);
	/* Cheap (two words, no kernel entry): would poll(os, 0) have work to do? */
	bool (*ready)(struct rl_os *os);
	void (*wake)(struct rl_os *os);     /* any thread: make the current or next poll return */
	/* Likewise, by the thread of another seam of the same backend, with what that has for it. */
	void (*bell)(struct rl_os *os, struct rl_os *to);
	int (*offload)(struct rl_os *os, struct rl_work *w);
	/* Any thread: work that another thread than the os's own has done comes home; `done` is called
	 * as after offload. The owner counts it in `works` until then. NULL in a closed world. */
	void (*arrive)(struct rl_os *os, struct rl_work *w);

	/* Of a closed world alone, NULL elsewhere: when something is due here (-1 never), and set the
	 * clock, forwards and to no later than that. */
	int64_t (*next)(struct rl_os *os);
	void (*skip)(struct rl_os *os, int64_t to_ns);

	int64_t (*now)(struct rl_os *os);   /* monotonic ns */
	int64_t (*time)(struct rl_os *os);  /* wall clock ns since the epoch */
	uint64_t (*random)(struct rl_os *os);

	/* Provided buffers: filled by RL_OP_RECV, owned by the receiver until put back. */
	char *(*buf)(struct rl_os *os, unsigned bid);
	void (*buf_put)(struct rl_os *os, unsigned bid);

	/* Sockets: these never block, so they are calls and not operations. */
	int (*socket)(struct rl_os *os, int family, int type);
	int (*bind)(struct rl_os *os, int fd, const struct sockaddr *addr, socklen_t len);
	int (*listen)(struct rl_os *os, int fd, int backlog);
	int (*setsockopt)(struct rl_os *os, int fd, int level, int name, const void *v, socklen_t n);
	int (*getsockopt)(struct rl_os *os, int fd, int level, int name, void *v, socklen_t *n);
	int (*getsockname)(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);
	int (*getpeername)(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);
	/* Bytes sent, or a code; -EAGAIN: the socket is full. `more`: something follows at once. */
	int (*send_now)(struct rl_os *os, int fd, const char *data, uint32_t len, bool more);
	/* Files, likewise: as the functions of file.h that these are named after. `sim` has the real
	 * ones, and may say -EAGAIN of any (the fault point `cold_file`). */
	int (*file_open)(struct rl_os *os, int root, const char *path);
	int (*file_read)(struct rl_os *os, int fd, char *data, uint32_t len, int64_t off);
	int (*file_send)(struct rl_os *os, int socket, int fd, int64_t off, uint32_t len);
	/* Synchronous close, for error paths and teardown. */
	void (*close_now)(struct rl_os *os, int fd);
};

/* Every implementation embeds this first. */
struct rl_os {
	const struct rl_os_ops *ops;
	struct rl_os_stats stats;
	unsigned in_flight;     /* ops submitted and not finished, internal ones excluded */
	unsigned works;         /* offloaded work not yet done */
	unsigned buf_size, buf_count;
	unsigned buf_free;      /* provided buffers the kernel has left (approximate for uring) */
	bool closed_world;      /* sim: nobody outside can complete an operation of ours */
	void *user;             /* the shard */
	/* The owner hears of each op, before it is submitted and before its `done`. NULL: no. */
	void (*told)(struct rl_os *os, const struct rl_op *op, bool done, int res);
};

extern const struct rl_os_ops rl_uring_ops;
extern const struct rl_os_ops rl_sim_ops;

/* Open the named backend ("uring", "sim"), or the best available one for NULL or "auto".
 * On failure *why, if given, points to a static sentence: what failed, how to find out, what to
 * do. */
int rl_os_open(struct rl_os **out, const char *name, const struct rl_os_config *config,
	const char **why);

static inline int rl_os_submit(struct rl_os *os, struct rl_op *op)
{
	if (__builtin_expect(os->told != NULL, 0))
		os->told(os, op, false, 0);
	return os->ops->submit(os, op);
}

/* By backends: deliver a completion. */
static inline void rl_os_done(struct rl_os *os, struct rl_op *op, int res, uint32_t flags)
{
	if (__builtin_expect(os->told != NULL, 0))
		os->told(os, op, true, res);
	op->done(op, res, flags);
}

static inline void rl_os_cancel(struct rl_os *os, struct rl_op *op)
{
	os->ops->cancel(os, op);
}

static inline int rl_os_poll(struct rl_os *os, int64_t deadline_ns)
{
	return os->ops->poll(os, deadline_ns);
}

static inline bool rl_os_ready(struct rl_os *os)
{
	return os->ops->ready(os);
}

static inline int64_t rl_os_now(struct rl_os *os)
{
	return os->ops->now(os);
}

/* How many times each named fault point of the sim backend was asked and fired; returns the number
 * of points, fills at most `max`. 0 on other backends. */
struct rl_fault_count {
	const char *name;
	uint64_t asked, fired;
};
unsigned rl_os_fault_counts(const struct rl_os *os, struct rl_fault_count *out, unsigned max);

#endif
