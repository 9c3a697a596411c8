/* SPDX-License-Identifier: MIT */
/*
 * ring: see ring.h. DEFER_TASKRUN means that the kernel's half of an operation runs only inside
 * rl_ring_enter, on this thread: nothing interrupts Lua, and completions appear in batches.
 *
 * NO_SQARRAY is never asked for: liburing 2.3 would write the absent array over the queue's head. A
 * later liburing may choose it by itself, then it leaves `array` NULL.
 */
#include "os/ring.h"

#include <errno.h>

enum {
	RING_SETUP = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG
		| IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL,
	RING_FEATURES = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL,
};

/* Entry i of the index array names entry i of the queue, once and for all. */
static void ring_link_array(struct rl_ring *r)
{
	if (!r->uring.sq.array)
		return;
	for (unsigned i = 0; i < r->sq_entries; i++)
		r->uring.sq.array[i] = i;
}

int rl_ring_open(struct rl_ring *r, unsigned sq_entries, unsigned cq_entries)
{
	struct io_uring_params p = { .flags = RING_SETUP, .cq_entries = cq_entries };
	memset(r, 0, sizeof(*r));
	int err = io_uring_queue_init_params(sq_entries, &r->uring, &p);
	if (err < 0)
		return err;
	if ((p.features & RING_FEATURES) != RING_FEATURES) {
		io_uring_queue_exit(&r->uring);
		return -EINVAL;
	}
	r->sq_entries = p.sq_entries;
	r->sq_mask = p.sq_entries - 1;
	r->cq_mask = p.cq_entries - 1;
	ring_link_array(r);
	io_uring_ring_dontfork(&r->uring);
	if (io_uring_register_ring_fd(&r->uring) == 1)
		r->enter_flags |= IORING_ENTER_REGISTERED_RING;
	if (p.features & IORING_FEAT_NO_IOWAIT)
		r->enter_flags |= IORING_ENTER_NO_IOWAIT;
	r->enter_fd = r->uring.enter_ring_fd;
	return 0;
}

void rl_ring_close(struct rl_ring *r)
{
	io_uring_queue_exit(&r->uring);
}

/* Make the written entries visible to the kernel; returns how many it has not taken. */
static unsigned ring_publish(struct rl_ring *r)
{
	__atomic_store_n(r->uring.sq.ktail, r->sq_tail, __ATOMIC_RELEASE);
	return rl_ring_queued(r);
}

int rl_ring_enter(struct rl_ring *r, unsigned wait_count, int64_t timeout_ns)
{
	struct __kernel_timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct io_uring_getevents_arg arg = { .ts = timeout_ns < 0 ? 0 : (uintptr_t)&ts };
	unsigned flags = r->enter_flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
	unsigned queued = ring_publish(r);
	return io_uring_enter2(r->enter_fd, queued, wait_count, flags, (sigset_t *)&arg, sizeof(arg));
}

int rl_ring_flush(struct rl_ring *r)
{
	unsigned queued = ring_publish(r);
	return io_uring_enter2(r->enter_fd, queued, 0, r->enter_flags & IORING_ENTER_REGISTERED_RING,
		NULL, 0);
}

unsigned rl_ring_collect(struct rl_ring *r, struct rl_cqe *out, unsigned max)
{
	unsigned head = *r->uring.cq.khead;
	unsigned n = rl_ring_completed(r);
	if (n > max)
		n = max;
	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = &r->uring.cq.cqes[(head + i) & r->cq_mask];
		out[i] = (struct rl_cqe){ cqe->user_data, cqe->res, cqe->flags };
	}
	__atomic_store_n(r->uring.cq.khead, head + n, __ATOMIC_RELEASE);
	return n;
}
