/* SPDX-License-Identifier: MIT */
/*
 * bufring: see bufring.h. The ring of descriptors is not inherited by a child (the kernel has it
 * pinned); the buffers are, so that bytes received before a fork stay readable after it.
 */
#include "os/bufring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BUFRING_COUNT_MAX = 32768 };

static size_t bufring_ring_len(const struct rl_bufring *b)
{
	return b->count * sizeof(struct io_uring_buf);
}

static void *bufring_map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int bufring_map_all(struct rl_bufring *b)
{
	b->ring = bufring_map(bufring_ring_len(b));
	b->mem = bufring_map((size_t)b->count * b->size);
	b->lent = calloc(b->count, sizeof(*b->lent));
	return b->ring && b->mem && b->lent ? 0 : -ENOMEM;
}

static void bufring_fill(struct rl_bufring *b)
{
	io_uring_buf_ring_init(b->ring);
	for (unsigned bid = 0; bid < b->count; bid++)
		io_uring_buf_ring_add(b->ring, rl_bufring_at(b, bid), b->size, (unsigned short)bid,
			(int)b->count - 1, (int)bid);
	io_uring_buf_ring_advance(b->ring, (int)b->count);
}

int rl_bufring_open(struct rl_bufring *b, struct io_uring *uring, int group, unsigned count,
	unsigned size)
{
	memset(b, 0, sizeof(*b));
	if (count == 0 || count > BUFRING_COUNT_MAX || (count & (count - 1)) != 0 || size == 0)
		return -EINVAL;
	b->count = count;
	b->size = size;
	b->group = group;
	int err = bufring_map_all(b);
	if (err < 0)
		goto unmap;
	struct io_uring_buf_reg reg = {
		.ring_addr = (uintptr_t)b->ring,
		.ring_entries = count,
		.bgid = (unsigned short)group,
	};
	err = io_uring_register_buf_ring(uring, &reg, 0);
	if (err < 0)
		goto unmap;
	madvise(b->ring, bufring_ring_len(b), MADV_DONTFORK);
	bufring_fill(b);
	return 0;
unmap:
	rl_bufring_close(b, NULL);
	return err;
}

void rl_bufring_close(struct rl_bufring *b, struct io_uring *uring)
{
	if (uring && b->ring)
		io_uring_unregister_buf_ring(uring, b->group);
	if (b->ring)
		munmap(b->ring, bufring_ring_len(b));
	if (b->mem)
		munmap(b->mem, (size_t)b->count * b->size);
	free(b->lent);
	memset(b, 0, sizeof(*b));
}

void rl_bufring_abandon(struct rl_bufring *b)
{
	b->ring = NULL;
	rl_bufring_close(b, NULL);
}
