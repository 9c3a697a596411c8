/* SPDX-License-Identifier: MIT */
/* bytes_test: queues of bytes against a plain array. */
#include "world.h"

#include "rt/bytes.h"

#include <stdlib.h>

#define SIZE 20000

static uint64_t rand_state;

static uint32_t pick(uint32_t below)
{
	rand_state = rand_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rand_state >> 33) % below;
}

/* What the queue should hold. */
static char model[SIZE * 4];
static uint32_t model_len;

static void add(struct world *w, struct rl_bytes *b)
{
	char text[SIZE];
	struct rl_chunks *pool = &w->net->chunks;
	uint32_t n = 1 + (pick(8) == 0 ? pick(SIZE - 1) : pick(60));
	if (n > sizeof model - model_len)
		return;
	for (uint32_t i = 0; i < n; i++)
		text[i] = (char)('a' + pick(3));
	memcpy(model + model_len, text, n);
	model_len += n;
	if (pick(3) > 0) {
		CHECK_EQ(rl_bytes_append(pool, b, text, n), 0);
		return;
	}
	struct rl_chunk *c = pick(2) ? rl_chunk_new(pool, n + 5) : rl_chunk_new_owned(n + 5);
	memcpy(c->data + 5, text, n);
	CHECK_EQ(rl_bytes_push(pool, b, c, 5, n), 0);
}

static void drop(struct world *w, struct rl_bytes *b)
{
	uint32_t n = pick(model_len + 1);
	if (pick(4) == 0 && b->len > 0) {
		struct rl_piece p = rl_bytes_take(&w->net->chunks, b);
		n = p.len;
		CHECK_EQ(memcmp(rl_piece_at(&p), model, n), 0);
		rl_chunk_put(p.chunk);
	} else {
		rl_bytes_skip(&w->net->chunks, b, n);
	}
	memmove(model, model + n, model_len - n);
	model_len -= n;
}

static int64_t find_plain(uint32_t from, const char *what, uint32_t len)
{
	for (uint32_t i = from; i + len <= model_len; i++)
		if (memcmp(model + i, what, len) == 0)
			return i;
	return -1;
}

static void look(const struct rl_bytes *b)
{
	char got[SIZE * 4];
	CHECK_EQ(b->len, model_len);
	uint32_t off = pick(model_len + 1), n = pick(model_len - off + 1);
	rl_bytes_copy(b, off, got, n);
	CHECK_EQ(memcmp(got, model + off, n), 0);
	char what[7];
	uint32_t len = 1 + pick(sizeof what);
	for (uint32_t i = 0; i < len; i++)
		what[i] = (char)('a' + pick(3));
	CHECK_EQ(rl_bytes_find(b, off, what, len), find_plain(off, what, len));
}

TEST(a_queue_behaves_as_an_array)
{
	struct world w;
	struct rl_bytes b = {NULL, 0, 0};
	CHECK(world_open(&w, "sim", 1, NULL));
	for (rand_state = 1; rand_state < 3; rand_state++) {
		for (int i = 0; i < 20000 && !check_bad; i++) {
			unsigned what = pick(10);
			if (what < 5)
				add(&w, &b);
			else if (what < 7)
				drop(&w, &b);
			else if (what == 7 && b.len > 0)
				CHECK_EQ(rl_bytes_join(&w.net->chunks, &b, pick(100)), 0);
			else
				look(&b);
		}
	}
	rl_bytes_clear(&w.net->chunks, &b);
	CHECK(b.tail == NULL);
	model_len = 0;
	world_close(&w);
}

TEST(nobody_appends_to_a_chunk_that_others_refer_to)
{
	struct world w;
	struct rl_bytes a = {NULL, 0, 0}, b = {NULL, 0, 0};
	CHECK(world_open(&w, "sim", 1, NULL));
	struct rl_chunks *pool = &w.net->chunks;
	rl_bytes_append(pool, &a, "one", 3);
	CHECK(rl_bytes_room(&a) > 0);
	struct rl_chunk *c = rl_bytes_head(&a)->chunk;
	rl_chunk_get(c);
	rl_bytes_push(pool, &b, c, 0, 3);
	CHECK_EQ(rl_bytes_room(&a), 0);
	CHECK_EQ(rl_bytes_room(&b), 0);
	rl_bytes_append(pool, &a, "two", 3);
	CHECK(a.tail->chunk != c);
	rl_bytes_clear(pool, &a);
	rl_bytes_clear(pool, &b);
	world_close(&w);
}

int main(void)
{
	RUN(a_queue_behaves_as_an_array);
	RUN(nobody_appends_to_a_chunk_that_others_refer_to);
	return FINISH();
}
