/* SPDX-License-Identifier: MIT */
/*
 * lring: the reading end of a ring buffer (BPF_MAP_TYPE_RINGBUF): its pages mapped, records taken
 * one by one. A record is decoded where it lies; only then the consumer's position moves past it,
 * so what cannot be decoded for want of memory is not lost, and the kernel, which wakes a reader
 * only if it had caught up, always learns how far it is.
 *
 * There is one reader of a ring buffer: two would take each other's records.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ring {
	struct rl_bpf_object *of; /* whose types it has; NULL: bytes */
	uint64_t *consumer;       /* NULL: closed */
	const char *producer;     /* its page, and behind it the data, twice */
	size_t page, size;        /* size is a power of two */
};

static const char *data_of(const struct ring *r)
{
	return r->producer + r->page;
}

static int lring_close(lua_State *L)
{
	struct ring *r = luaL_checkudata(L, 1, RL_BPF_RING);
	uint64_t *consumer = r->consumer;
	r->consumer = NULL;
	if (!consumer)
		return 0;
	munmap(consumer, r->page);
	if (r->producer)
		munmap((void *)r->producer, r->page + 2 * r->size);
	rl_bpf_put(r->of);
	r->of = NULL;
	return 0;
}

/* map -> ring | nil, code */
static int lring_open(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	struct ring *r = rl_bpf_new(L, RL_BPF_RING, sizeof *r);
	if (m->type != BPF_MAP_TYPE_RINGBUF)
		return rl_bpf_fail(L, -EINVAL);
	r->page = (size_t)sysconf(_SC_PAGESIZE);
	r->size = m->max_entries;
	uint64_t *consumer = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (consumer == MAP_FAILED)
		return rl_bpf_fail(L, -errno);
	r->consumer = consumer;
	void *producer = mmap(NULL, r->page + 2 * r->size, PROT_READ, MAP_SHARED, m->fd,
		(off_t)r->page);
	if (producer == MAP_FAILED)
		return rl_bpf_fail(L, -errno);
	r->producer = producer;
	r->of = m->of ? rl_bpf_get(m->of) : NULL;
	return 1;
}

static struct ring *check_ring(lua_State *L)
{
	struct ring *r = luaL_checkudata(L, 1, RL_BPF_RING);
	if (!r->consumer)
		luaL_error(L, "the ring buffer is closed");
	return r;
}

/* The header of the next record, past those that programs have thrown away; NULL: none is ready. A
 * record that is still being written holds up those behind it. */
static const char *next_record(struct ring *r, uint32_t *len, uint64_t *end)
{
	uint64_t at = *r->consumer;
	while (at < __atomic_load_n((const uint64_t *)r->producer, __ATOMIC_ACQUIRE)) {
		const char *header = data_of(r) + (at & (r->size - 1));
		uint32_t word = __atomic_load_n((const uint32_t *)header, __ATOMIC_ACQUIRE);
		if (word & BPF_RINGBUF_BUSY_BIT)
			return NULL;
		*len = word & ~BPF_RINGBUF_DISCARD_BIT;
		*end = at + ((*len + BPF_RINGBUF_HDR_SZ + 7) & ~7u);
		if (!(word & BPF_RINGBUF_DISCARD_BIT))
			return header + BPF_RINGBUF_HDR_SZ;
		at = *end;
		__atomic_store_n(r->consumer, at, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* ring, [number of a type] -> record | nil: none is there */
static int lring_take(lua_State *L)
{
	struct ring *r = check_ring(L);
	uint32_t type = (uint32_t)luaL_optnumber(L, 2, RL_BPF_RAW), len;
	const struct btf *btf = r->of && r->of->o ? bpf_object__btf(r->of->o) : NULL;
	uint64_t end;
	const char *record = next_record(r, &len, &end);
	if (!record)
		return 0;
	rl_bpf_decode(L, btf, btf ? type : RL_BPF_RAW, record, len);
	__atomic_store_n(r->consumer, end, __ATOMIC_RELEASE);
	return 1;
}

/* ring -> boolean: is a record there? */
static int lring_ready(lua_State *L)
{
	uint32_t len;
	uint64_t end;
	lua_pushboolean(L, next_record(check_ring(L), &len, &end) != NULL);
	return 1;
}

/* ring -> bytes that wait to be read, with headers; bytes there is room for */
static int lring_fill(lua_State *L)
{
	const struct ring *r = check_ring(L);
	uint64_t to = __atomic_load_n((const uint64_t *)r->producer, __ATOMIC_ACQUIRE);
	lua_pushinteger(L, (lua_Integer)(to - *r->consumer));
	lua_pushinteger(L, (lua_Integer)r->size);
	return 2;
}

static const luaL_Reg functions[] = {
	{"ring_open", lring_open},
	{"ring_take", lring_take},
	{"ring_ready", lring_ready},
	{"ring_fill", lring_fill},
	{"ring_close", lring_close},
	{NULL, NULL},
};

void rl_bpf_open_ring(lua_State *L)
{
	rl_bpf_class(L, RL_BPF_RING, lring_close);
	rl_bpf_register(L, functions);
}
