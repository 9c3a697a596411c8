/* SPDX-License-Identifier: MIT */
/* sbuffer: bytes live as long as somebody looks at them, on whatever thread. */
#include "check.h"

#include "rt/sbuffer.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 20000

static struct rl_sbuffer *buffer(const char *text)
{
	struct rl_sbuffer *b = rl_sbuffer_new(strlen(text));
	memcpy(b->bytes, text, b->len);
	return b;
}

static uint32_t refs(struct rl_sbuffer *b)
{
	return atomic_load_explicit(&b->shared.refs, memory_order_relaxed);
}

TEST(view_counts_the_whole)
{
	struct rl_sbuffer *b = buffer("hello world");
	struct rl_sbuffer *view = rl_sbuffer_slice(b, 6, 5);
	CHECK(view->len == 5 && view->data == b->bytes + 6);
	struct rl_sbuffer *inner = rl_sbuffer_slice(view, 1, 3);
	CHECK(inner->whole == b && refs(b) == 3);
	rl_shared_put(&view->shared);
	rl_shared_put(&b->shared);
	CHECK(memcmp(inner->data, "orl", 3) == 0 && refs(b) == 1);
	rl_shared_put(&inner->shared);
}

TEST(equal_bytes_are_equal)
{
	struct rl_sbuffer *a = buffer("abab"), *b = buffer("ab");
	struct rl_sbuffer *view = rl_sbuffer_slice(a, 2, 2), *none = rl_sbuffer_slice(a, 4, 0);
	CHECK(rl_sbuffer_equal(view, b));
	CHECK(!rl_sbuffer_equal(a, b) && !rl_sbuffer_equal(none, b));
	CHECK(none->len == 0);
	rl_shared_put(&none->shared);
	rl_shared_put(&view->shared);
	rl_shared_put(&a->shared);
	rl_shared_put(&b->shared);
}

TEST(no_memory_is_null)
{
	CHECK(rl_sbuffer_new(SIZE_MAX) == NULL);
}

static void *take_views(void *arg)
{
	struct rl_sbuffer *b = arg;
	long bad = 0;
	for (int i = 0; i < ROUNDS; i++) {
		struct rl_sbuffer *view = rl_sbuffer_slice(b, (size_t)i % 8, 3);
		bad += view->data[0] != 'a' + i % 8;
		rl_shared_put(&view->shared);
	}
	rl_shared_put(&b->shared);
	return (void *)bad;
}

TEST(threads_share_it)
{
	struct rl_sbuffer *b = buffer("abcdefghijk");
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		rl_shared_get(&b->shared);
		CHECK_EQ(pthread_create(&threads[i], NULL, take_views, b), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *bad;
		pthread_join(threads[i], &bad);
		CHECK(!bad);
	}
	CHECK(refs(b) == 1);
	rl_shared_put(&b->shared);
}

int main(void)
{
	RUN(view_counts_the_whole);
	RUN(equal_bytes_are_equal);
	RUN(no_memory_is_null);
	RUN(threads_share_it);
	return FINISH();
}
