/* SPDX-License-Identifier: MIT */
/* chunk_test: references, generations, and where memory goes. */
#include "world.h"

#include "rt/chunk.h"
#include "rt/value.h"

TEST(memory_of_the_usual_size_is_kept)
{
	struct world w;
	CHECK(world_open(&w, "sim", 1, NULL));
	struct rl_chunks *pool = &w.net->chunks;
	struct rl_chunk *a = rl_chunk_new(pool, 10), *b = rl_chunk_new(pool, 100000);
	CHECK_EQ(a->size, RL_CHUNK_SIZE);
	CHECK(b->size >= 100000);
	rl_chunk_get(a);
	rl_chunk_put(a);
	CHECK_EQ(pool->spare_len, 0);
	rl_chunk_put(a);
	rl_chunk_put(b);
	CHECK_EQ(pool->spare_len, 1);
	CHECK(rl_chunk_new(pool, RL_CHUNK_SIZE) == a);
	world_close(&w);
}

TEST(a_generation_survives_reuse)
{
	struct world w;
	CHECK(world_open(&w, "sim", 1, NULL));
	struct rl_chunks *pool = &w.net->chunks;
	struct rl_chunk *a = rl_chunk_new(pool, 100000);
	uint32_t gen = ++a->gen;
	rl_chunk_put(a);
	struct rl_chunk *b = rl_chunk_new(pool, 200000);
	CHECK(a == b);
	CHECK_EQ(b->gen, gen);
	rl_chunk_put(b);
	world_close(&w);
}

TEST(an_owned_chunk_needs_no_pool)
{
	struct rl_chunk *c = rl_chunk_new_owned(5);
	memcpy(c->data, "owned", 5);
	rl_chunk_get(c);
	rl_chunk_put(c);
	CHECK_EQ(c->refs, 1);
	rl_chunk_put(c);
	c = rl_chunk_new_owned(0);
	rl_chunk_put(c);
}

static int freed;

static void count_free(struct rl_shared *o)
{
	(void)o;
	freed++;
}

TEST(a_shared_one_keeps_its_owner)
{
	static const struct rl_shared_class class = {"test", count_free};
	struct rl_shared owner;
	freed = 0;
	rl_shared_init(&owner, &class);
	struct rl_chunk *c = rl_chunk_new_shared(&owner, "bytes", 5);
	CHECK(c->size == 5 && memcmp(c->data, "bytes", 5) == 0);
	rl_shared_put(&owner);
	rl_chunk_get(c);
	rl_chunk_put(c);
	CHECK_EQ(freed, 0);
	rl_chunk_put(c);
	CHECK_EQ(freed, 1);
}

int main(void)
{
	RUN(memory_of_the_usual_size_is_kept);
	RUN(a_generation_survives_reuse);
	RUN(an_owned_chunk_needs_no_pool);
	RUN(a_shared_one_keeps_its_owner);
	return FINISH();
}
