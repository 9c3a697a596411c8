/* SPDX-License-Identifier: MIT */
/*
 * uring: the seam over io_uring. An op becomes one submission entry whose user_data is the op; its
 * completions are copied out in batches before any `done` runs, so a `done` may submit and cancel.
 *
 * Invariants:
 * - `kernel_ops` counts the ops the kernel may still complete; the memory it can write to (the
 *   provided buffers, what ops point to) outlives that count.
 * - op->link is on `backlog` (the kernel has not seen the op: the queue was full and it would take
 *   no entries), on `refused` (it never will: cancelled in the backlog), on `cancels` (the kernel
 *   has it, a cancel waits for an entry), or on nothing. All three are empty in normal life.
 * - Entries keep their order, so the cancel of an op whose entry is still queued finds it, and one
 *   that comes too late runs before the op's memory can be submitted again.
 * - The wake op always watches the eventfd that rl_os_wake and the helper threads write. It is a
 *   multishot poll, told of each write, so nobody needs to read the eventfd.
 *
 * After fork the child finds its `alive` page wiped and refuses; the queues are not mapped there.
 */
#include "os/bufring.h"
#include "os/file.h"
#include "os/os.h"
#include "os/ring.h"
#include "os/sock.h"
#include "os/sqe.h"
#include "os/thread.h"

#include "base/check.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#ifdef RL_TINY
#define RL_URING_ENTRIES 4
#define RL_URING_CQ_FACTOR 2
#define RL_URING_BUFS 8
#define RL_URING_BUF_SIZE 512
#define RL_URING_BATCH 2
#endif
#ifndef RL_URING_ENTRIES
#define RL_URING_ENTRIES 256
#endif
#ifndef RL_URING_CQ_FACTOR /* completions per submission entry: a multishot op makes many */
#define RL_URING_CQ_FACTOR 16
#endif
#ifndef RL_URING_BUFS
#define RL_URING_BUFS 512
#endif
#ifndef RL_URING_BUF_SIZE
#define RL_URING_BUF_SIZE 8192
#endif
#ifndef RL_URING_BATCH
#define RL_URING_BATCH 128
#endif
#ifndef RL_URING_CLOSE_NS
#define RL_URING_CLOSE_NS 2000000000
#endif

enum { URING_BUF_GROUP = 0 };

struct rl_uring {
	struct rl_os os;
	struct rl_ring ring;
	struct rl_bufring bufs;
	struct rl_threads *threads;   /* NULL until the first offload */
	struct rl_list backlog, cancels, refused;
	unsigned kernel_ops;
	bool polling;
	const uint32_t *alive;        /* one page, 0 in a child */
	int wake_fd;
	atomic_bool woken;            /* set by any waker, cleared by the owner before it looks */
	_Atomic(struct rl_list *) arrived; /* works that came home, newest first; linked by `next` */
	atomic_bool sleeping;         /* the owner is in the kernel, or about to be: wake it */
	struct rl_op wake_op;
	uint64_t random_state;
	struct rl_cqe batch[RL_URING_BATCH];
};

static struct rl_uring *uring_of(struct rl_os *os)
{
	return rl_container(os, struct rl_uring, os);
}

static bool uring_is_child(const struct rl_uring *u)
{
	return *u->alive == 0;
}

/* Submitting. */

/* A submission entry; NULL when the queue is full and the kernel takes nothing now. */
static struct io_uring_sqe *uring_sqe(struct rl_uring *u)
{
	struct io_uring_sqe *sqe = rl_ring_sqe(&u->ring);
	if (sqe)
		return sqe;
	u->os.stats.enters++;
	rl_ring_flush(&u->ring);
	return rl_ring_sqe(&u->ring);
}

/* Give the op to the kernel; false when there is no room for it. */
static bool uring_push(struct rl_uring *u, struct rl_op *op)
{
	struct io_uring_sqe *sqe = uring_sqe(u);
	if (!sqe)
		return false;
	rl_sqe_prep(sqe, op, URING_BUF_GROUP);
	u->kernel_ops++;
	return true;
}

/* user_data 0: the completion of the cancel itself means nothing to us. */
static bool uring_push_cancel(struct rl_uring *u, struct rl_op *op, unsigned flags)
{
	struct io_uring_sqe *sqe = uring_sqe(u);
	if (!sqe)
		return false;
	io_uring_prep_cancel64(sqe, (uintptr_t)op, (int)flags);
	return true;
}

/* Move what had no room to the queue, in order. True when nothing is left behind. */
static bool uring_catch_up(struct rl_uring *u)
{
	for (struct rl_list *n = rl_list_first(&u->cancels); n; n = rl_list_first(&u->cancels)) {
		if (!uring_push_cancel(u, rl_container(n, struct rl_op, link), 0))
			return false;
		rl_list_remove(n);
	}
	for (struct rl_list *n = rl_list_first(&u->backlog); n; n = rl_list_first(&u->backlog)) {
		if (!uring_push(u, rl_container(n, struct rl_op, link)))
			return false;
		rl_list_remove(n);
	}
	return true;
}

static void uring_queue(struct rl_uring *u, struct rl_op *op)
{
	rl_list_init(&op->link);
	op->in_flight = true;
	if (!uring_catch_up(u) || !uring_push(u, op))
		rl_list_push(&u->backlog, &op->link);
}

static int uring_submit(struct rl_os *os, struct rl_op *op)
{
	struct rl_uring *u = uring_of(os);
	if (uring_is_child(u))
		return -EPERM;
	if (op->kind >= RL_OP_KINDS)
		return -EINVAL;
	RL_ASSERT(!op->in_flight);
	os->stats.submitted++;
	os->stats.by_kind[op->kind]++;
	os->in_flight += !op->internal;
	uring_queue(u, op);
	return 0;
}

static bool uring_is_on(const struct rl_list *head, const struct rl_list *link)
{
	for (const struct rl_list *n = head->next; n != head; n = n->next)
		if (n == link)
			return true;
	return false;
}

static void uring_cancel(struct rl_os *os, struct rl_op *op)
{
	struct rl_uring *u = uring_of(os);
	if (uring_is_child(u) || !op->in_flight)
		return;
	if (uring_is_on(&u->backlog, &op->link)) {
		rl_list_remove(&op->link);
		rl_list_push(&u->refused, &op->link);
	} else if (rl_list_empty(&op->link) && !uring_push_cancel(u, op, 0)) {
		rl_list_push(&u->cancels, &op->link);
	}
}

/* Waking. */

/* user_data of a bell, on our side: whom it is for. An op is aligned. */
#define URING_BELL 1u

static void uring_wake(struct rl_os *os)
{
	struct rl_uring *u = uring_of(os);
	uint64_t one = 1;
	if (uring_is_child(u) || atomic_exchange_explicit(&u->woken, true, memory_order_acq_rel))
		return;
	ssize_t n = write(u->wake_fd, &one, sizeof(one));
	RL_ASSERT(n == (ssize_t)sizeof(one));
}

/* Work comes home: published first, then a look whether the owner sleeps. The owner says that it
 * does, then looks for arrivals: of these two pairs one sees the other's store. */
static void uring_arrive(struct rl_os *os, struct rl_work *w)
{
	struct rl_uring *u = uring_of(os);
	struct rl_list *first = atomic_load_explicit(&u->arrived, memory_order_relaxed);
	do
		w->link.next = first;
	while (!atomic_compare_exchange_weak_explicit(&u->arrived, &first, &w->link,
		memory_order_seq_cst, memory_order_relaxed));
	if (atomic_load_explicit(&u->sleeping, memory_order_seq_cst))
		uring_wake(os);
}

static bool uring_has_arrivals(const struct rl_uring *u)
{
	return atomic_load_explicit(&u->arrived, memory_order_relaxed) != NULL;
}

/* Completing. */

static void uring_finish(struct rl_uring *u, struct rl_op *op)
{
	RL_ASSERT(op->in_flight);
	op->in_flight = false;
	rl_list_remove(&op->link);
	if (op == &u->wake_op)
		return;
	u->os.stats.completed++;
	u->os.in_flight -= !op->internal;
}

static void uring_arm_wake(struct rl_uring *u)
{
	u->wake_op = (struct rl_op){ .kind = RL_SQE_WATCH, .fd = u->wake_fd, .internal = 1 };
	uring_queue(u, &u->wake_op);
}

/* Call back for the work that helper threads have completed; returns how many. */
static int uring_reap_works(struct rl_uring *u)
{
	struct rl_list works;
	int n = 0;
	if (!u->threads)
		return 0;
	rl_list_init(&works);
	rl_thread_reap(u->threads, &works);
	for (struct rl_list *l = rl_list_pop(&works); l; l = rl_list_pop(&works)) {
		struct rl_work *w = rl_container(l, struct rl_work, link);
		u->os.works--;
		n++;
		w->done(w);
	}
	return n;
}

/* Someone wrote the eventfd. The flag is cleared by a read-modify-write, before anything is looked
 * at: a waker that finds it set has published what it wants seen, and pairs with this exchange. */
static int uring_woken(struct rl_uring *u)
{
	atomic_exchange_explicit(&u->woken, false, memory_order_acq_rel);
	if (!u->wake_op.in_flight)
		uring_arm_wake(u);
	return uring_reap_works(u);
}

/* The same for work that others have sent home, in the order in which it came. */
static int uring_reap_arrived(struct rl_uring *u)
{
	struct rl_list *oldest = NULL;
	int n = 0;
	if (!uring_has_arrivals(u))
		return 0;
	/* Pairs with the exchange in uring_arrive: what the work has brought is seen. */
	struct rl_list *l = atomic_exchange_explicit(&u->arrived, NULL, memory_order_acquire);
	while (l) {
		struct rl_list *next = l->next;
		l->next = oldest;
		oldest = l;
		l = next;
	}
	for (l = oldest; l; n++) {
		struct rl_work *w = rl_container(l, struct rl_work, link);
		l = l->next;
		w->done(w);
	}
	return n;
}

static uint32_t uring_done_flags(uint32_t cqe_flags)
{
	uint32_t flags = cqe_flags & IORING_CQE_F_MORE ? RL_DONE_MORE : 0;
	if (cqe_flags & IORING_CQE_F_BUFFER)
		flags |= RL_DONE_BUF | (cqe_flags >> IORING_CQE_BUFFER_SHIFT) << 16;
	return flags;
}

/* Act on one completion; returns the number of callbacks. */
static int uring_deliver(struct rl_uring *u, const struct rl_cqe *cqe)
{
	struct rl_op *op = (struct rl_op *)(uintptr_t)cqe->data;
	uint32_t flags = uring_done_flags(cqe->flags);
	if (!op)
		return 0;
	if (cqe->data & URING_BELL) {
		uring_wake((struct rl_os *)(uintptr_t)(cqe->data & ~(uint64_t)URING_BELL));
		return 0;
	}
	RL_ASSERT(op->in_flight);
	if (flags & RL_DONE_BUF) {
		rl_bufring_lend(&u->bufs, RL_DONE_BID(flags));
		u->os.buf_free--;
	}
	if (!(flags & RL_DONE_MORE)) {
		u->kernel_ops--;
		uring_finish(u, op);
	}
	if (op == &u->wake_op)
		return uring_woken(u);
	rl_os_done(&u->os, op, cqe->res, flags);
	return 1;
}

/* Deliver what was complete when called; what callbacks cause is for the next poll. */
static int uring_reap(struct rl_uring *u)
{
	unsigned left = rl_ring_completed(&u->ring);
	int delivered = 0;
	while (left > 0) {
		unsigned max = left < RL_URING_BATCH ? left : RL_URING_BATCH;
		unsigned n = rl_ring_collect(&u->ring, u->batch, max);
		for (unsigned i = 0; i < n; i++)
			delivered += uring_deliver(u, &u->batch[i]);
		left -= n;
	}
	return delivered;
}

/* Deliver the ops that were cancelled before the kernel saw them. */
static int uring_reap_refused(struct rl_uring *u)
{
	struct rl_list refused;
	int n = 0;
	rl_list_init(&refused);
	rl_list_take(&refused, &u->refused);
	for (struct rl_list *l = rl_list_pop(&refused); l; l = rl_list_pop(&refused)) {
		struct rl_op *op = rl_container(l, struct rl_op, link);
		uring_finish(u, op);
		n++;
		rl_os_done(&u->os, op, -ECANCELED, 0);
	}
	return n;
}

/* Polling. */

static bool uring_ready(struct rl_os *os)
{
	struct rl_uring *u = uring_of(os);
	if (uring_is_child(u))
		return false;
	return rl_ring_completed(&u->ring) > 0 || rl_ring_is_flagged(&u->ring) || uring_has_arrivals(u)
		|| rl_ring_queued(&u->ring) > 0 || !rl_list_empty(&u->backlog)
		|| !rl_list_empty(&u->cancels) || !rl_list_empty(&u->refused);
}

/* How long to wait: 0 when there is something to deliver, or something the kernel will not take. */
static int64_t uring_timeout(struct rl_uring *u, int64_t deadline_ns)
{
	bool kept = !uring_catch_up(u) || !rl_list_empty(&u->refused);
	if (deadline_ns == 0 || kept || rl_ring_completed(&u->ring) > 0)
		return 0;
	if (deadline_ns < 0)
		return -1;
	int64_t left = deadline_ns - rl_sock_now(&u->os);
	return left > 0 ? left : 0;
}

/* Enter once. 0, or -EINTR when a signal ended the wait: the kernel says so only if it took no
 * entry in the same call, else it shows as an early return with nothing complete. */
static int uring_enter(struct rl_uring *u, int64_t timeout_ns, int64_t deadline_ns)
{
	u->os.stats.enters++;
	if (rl_ring_flags(&u->ring) & IORING_SQ_CQ_OVERFLOW)
		u->os.stats.overflows++;
	unsigned queued = rl_ring_queued(&u->ring);
	int ret = rl_ring_enter(&u->ring, timeout_ns != 0, timeout_ns);
	if (ret == -ETIME || ret == -EBUSY || ret == -EAGAIN)
		return 0;
	if (ret <= 0 || timeout_ns == 0 || (unsigned)ret < queued || rl_ring_completed(&u->ring) > 0)
		return ret < 0 ? ret : 0;
	return deadline_ns < 0 || rl_sock_now(&u->os) < deadline_ns ? -EINTR : 0;
}

static int uring_poll(struct rl_os *os, int64_t deadline_ns)
{
	struct rl_uring *u = uring_of(os);
	int err = 0;
	if (uring_is_child(u))
		return -EPERM;
	RL_ASSERT(!u->polling);
	u->polling = true;
	int64_t timeout_ns = uring_timeout(u, deadline_ns);
	if (timeout_ns != 0) {
		atomic_store_explicit(&u->sleeping, true, memory_order_seq_cst);
		if (atomic_load_explicit(&u->arrived, memory_order_seq_cst))
			timeout_ns = 0;
	}
	if (timeout_ns != 0 || rl_ring_queued(&u->ring) > 0 || rl_ring_is_flagged(&u->ring))
		err = uring_enter(u, timeout_ns, deadline_ns);
	atomic_store_explicit(&u->sleeping, false, memory_order_relaxed);
	int n = uring_reap(u) + uring_reap_refused(u) + uring_reap_arrived(u);
	u->polling = false;
	return n > 0 ? n : err;
}

/* A completion in the other's queue, which means nothing but that it is there; of ours we hear only
 * if it failed. */
static void uring_bell(struct rl_os *os, struct rl_os *to)
{
	struct rl_uring *u = uring_of(os);
	struct io_uring_sqe *sqe = uring_is_child(u) ? NULL : uring_sqe(u);
	if (!sqe) {
		uring_wake(to);
		return;
	}
	io_uring_prep_msg_ring(sqe, uring_of(to)->ring.uring.ring_fd, 0, 0, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = (uintptr_t)to | URING_BELL;
	os->stats.enters++;
	rl_ring_flush(&u->ring);
}

static void uring_notify(void *os)
{
	uring_wake(os);
}

static int uring_offload(struct rl_os *os, struct rl_work *w)
{
	struct rl_uring *u = uring_of(os);
	if (uring_is_child(u))
		return -EPERM;
	if (!u->threads)
		u->threads = rl_thread_open(uring_notify, os);
	if (!u->threads)
		return -ENOMEM;
	int err = rl_thread_post(u->threads, w);
	if (err == 0)
		os->works++;
	return err;
}

/* splitmix64 (Steele, Lea, Flood, 2014), seeded by the kernel. */
static uint64_t uring_random(struct rl_os *os)
{
	uint64_t z = uring_of(os)->random_state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static char *uring_buf(struct rl_os *os, unsigned bid)
{
	return rl_bufring_at(&uring_of(os)->bufs, bid);
}

static void uring_buf_put(struct rl_os *os, unsigned bid)
{
	struct rl_uring *u = uring_of(os);
	if (uring_is_child(u))
		return;
	rl_bufring_put(&u->bufs, bid);
	os->buf_free++;
}

/* Opening and closing. */

static int uring_open_alive(struct rl_uring *u)
{
	uint32_t *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (page == MAP_FAILED)
		return -ENOMEM;
	madvise(page, sizeof(*page), MADV_WIPEONFORK);
	*page = 1;
	u->alive = page;
	return 0;
}

static void uring_close_alive(struct rl_uring *u)
{
	if (u->alive)
		munmap((void *)u->alive, sizeof(*u->alive));
}

static void uring_init(struct rl_uring *u, const struct rl_os_config *config)
{
	u->os.ops = &rl_uring_ops;
	u->os.buf_count = config->buf_count ? config->buf_count : RL_URING_BUFS;
	u->os.buf_size = config->buf_size ? config->buf_size : RL_URING_BUF_SIZE;
	u->os.buf_free = u->os.buf_count;
	rl_list_init(&u->backlog);
	rl_list_init(&u->cancels);
	rl_list_init(&u->refused);
	if (getrandom(&u->random_state, sizeof(u->random_state), GRND_NONBLOCK) < 0)
		u->random_state = (uint64_t)rl_sock_now(&u->os);
}

static int uring_open(struct rl_os **out, const struct rl_os_config *config)
{
	static const struct rl_os_config defaults;
	struct rl_uring *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	if (!config)
		config = &defaults;
	uring_init(u, config);
	unsigned entries = config->entries ? config->entries : RL_URING_ENTRIES;
	int err = uring_open_alive(u);
	if (err < 0)
		goto free_uring;
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	err = u->wake_fd < 0 ? -errno : 0;
	if (err < 0)
		goto close_alive;
	err = rl_ring_open(&u->ring, entries, entries * RL_URING_CQ_FACTOR);
	if (err < 0)
		goto close_wake;
	err = rl_bufring_open(&u->bufs, &u->ring.uring, URING_BUF_GROUP, u->os.buf_count,
		u->os.buf_size);
	if (err < 0)
		goto close_ring;
	uring_arm_wake(u);
	*out = &u->os;
	return 0;
close_ring:
	rl_ring_close(&u->ring);
close_wake:
	close(u->wake_fd);
close_alive:
	uring_close_alive(u);
free_uring:
	free(u);
	return err;
}

/* The parent's ring goes on; a child only gives back its copies. */
static int uring_close_child(struct rl_uring *u)
{
	close(u->ring.uring.ring_fd);
	close(u->wake_fd);
	rl_bufring_abandon(&u->bufs);
	uring_close_alive(u);
	free(u);
	return 0;
}

/* Like uring_deliver, for nobody: a connection nobody will see is closed. */
static void uring_discard(struct rl_uring *u, const struct rl_cqe *cqe)
{
	struct rl_op *op = (struct rl_op *)(uintptr_t)cqe->data;
	if (!op || (cqe->data & URING_BELL))
		return;
	if (op->kind == RL_OP_ACCEPT && cqe->res >= 0)
		close(cqe->res);
	if (cqe->flags & IORING_CQE_F_MORE)
		return;
	u->kernel_ops--;
	uring_finish(u, op);
}

static void uring_discard_all(struct rl_uring *u)
{
	for (;;) {
		unsigned n = rl_ring_collect(&u->ring, u->batch, RL_URING_BATCH);
		for (unsigned i = 0; i < n; i++)
			uring_discard(u, &u->batch[i]);
		if (n == 0)
			break;
	}
}

/* Submit what was queued (a CLOSE must close), cancel everything, reap. -EBUSY at the deadline. */
static int uring_drain(struct rl_uring *u, int64_t deadline_ns)
{
	const int64_t round_ns = 20000000; /* cancel again what could not be cancelled then */
	while (u->kernel_ops > 0 || !rl_list_empty(&u->backlog)) {
		int64_t left = deadline_ns - rl_sock_now(&u->os);
		if (left <= 0)
			return -EBUSY;
		bool told = uring_catch_up(u)
			&& uring_push_cancel(u, NULL, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
		u->os.stats.enters++;
		/* Two completions: the cancel's own, and at least one more. */
		int ret = rl_ring_enter(&u->ring, 2, left < round_ns ? left : round_ns);
		uring_discard_all(u);
		if (!told || (ret < 0 && ret != -ETIME && ret != -EINTR))
			usleep(1000);
	}
	return 0;
}

static int uring_close(struct rl_os *os)
{
	struct rl_uring *u = uring_of(os);
	if (uring_is_child(u))
		return uring_close_child(u);
	RL_ASSERT(!u->polling);
	int64_t deadline_ns = rl_sock_now(os) + RL_URING_CLOSE_NS;
	int err = uring_drain(u, deadline_ns);
	int err_works = rl_thread_close(u->threads, deadline_ns);
	u->threads = NULL;
	if (err < 0)
		return err;
	for (struct rl_list *l = rl_list_pop(&u->refused); l; l = rl_list_pop(&u->refused))
		uring_finish(u, rl_container(l, struct rl_op, link));
	rl_bufring_close(&u->bufs, &u->ring.uring);
	rl_ring_close(&u->ring);
	close(u->wake_fd);
	uring_close_alive(u);
	free(u);
	return err_works;
}

const struct rl_os_ops rl_uring_ops = {
	.name = "uring",
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.cancel = uring_cancel,
	.poll = uring_poll,
	.ready = uring_ready,
	.wake = uring_wake,
	.bell = uring_bell,
	.offload = uring_offload,
	.arrive = uring_arrive,
	.now = rl_sock_now,
	.time = rl_sock_time,
	.random = uring_random,
	.buf = uring_buf,
	.buf_put = uring_buf_put,
	.socket = rl_sock_socket,
	.bind = rl_sock_bind,
	.listen = rl_sock_listen,
	.setsockopt = rl_sock_setsockopt,
	.getsockopt = rl_sock_getsockopt,
	.getsockname = rl_sock_getsockname,
	.getpeername = rl_sock_getpeername,
	.send_now = rl_sock_send_now,
	.file_open = rl_file_open_now,
	.file_read = rl_file_read_now,
	.file_send = rl_file_send,
	.close_now = rl_sock_close_now,
};
