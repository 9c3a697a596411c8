/* SPDX-License-Identifier: MIT */
/*
 * op: one operation handed to the kernel seam.
 *
 * Invariants: the memory of an op, and everything it points to, belongs to the seam from a
 * successful submit until its last completion (the one without RL_DONE_MORE) has been delivered;
 * only then may it be reused or freed. A cancelled op still gets its last completion. So a late
 * completion can never reach another operation, and no generation is needed. `done` runs inside
 * rl_os_poll on the shard's thread; it may submit, cancel and ready tasks, never resume one.
 */
#ifndef RL_OS_OP_H
#define RL_OS_OP_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum rl_op_kind {
	RL_OP_NOP,
	RL_OP_ACCEPT,   /* multishot; res = new descriptor (non-blocking, close-on-exec) */
	RL_OP_RECV,     /* multishot into provided buffers; res = bytes, 0 = end of stream */
	RL_OP_SEND,     /* data, len; res = bytes sent, may be short */
	RL_OP_CONNECT,  /* addr, addr_len */
	RL_OP_SHUTDOWN, /* how */
	RL_OP_CLOSE,    /* closes fd; fd is gone whatever res says */
	RL_OP_POLL,     /* one shot; events in, revents out as res */
	RL_OP_KINDS
};

/* Flags of a completion. */
#define RL_DONE_MORE (1u << 0) /* further completions of this op follow */
#define RL_DONE_BUF  (1u << 1) /* a provided buffer was filled: RL_DONE_BID(flags) */
#define RL_DONE_BID(flags) ((flags) >> 16)

struct rl_op {
	void (*done)(struct rl_op *op, int res, uint32_t flags);
	int32_t fd;
	uint8_t kind;
	bool in_flight;      /* written by the seam only */
	uint16_t internal;   /* 1: does not count as something that can wake a task (deadlock rule) */
	union {
		struct {
			const void *data;
			uint32_t len;
			bool more;       /* SEND: something follows at once */
		};
		struct {
			const struct sockaddr *addr;
			socklen_t addr_len;
		};
		struct {             /* RECV, CLOSE: not read by the seam, the owner's to use */
			uint64_t received, sent;
		} count;
		int how;
		uint32_t events;
	};
	struct rl_list link; /* the seam's, while in flight */
};

#endif
