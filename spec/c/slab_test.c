/* SPDX-License-Identifier: MIT */
/* slab: stable addresses, dense indices, last put first got, the limit, no memory. */
#include "base/slab.h"

#include "base/rand.h"
#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

struct record {
	uint32_t first; /* overwritten while the record is free */
	uint32_t index;
	char body[40];
};

TEST(indices_are_dense_and_addresses_distinct)
{
	struct rl_slab *s = rl_slab_new(sizeof(struct record), 4, 1000);
	char *last = NULL;
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t index = RL_SLAB_NONE;
		char *record = rl_slab_get(s, &index);
		CHECK_EQ(index, i);
		CHECK(record && rl_slab_at(s, i) == record);
		CHECK(i % 4 == 0 || record == last + sizeof(struct record));
		memset(record, (int)i, sizeof(struct record));
		last = record;
	}
	CHECK_EQ(rl_slab_live(s), 100);
	for (uint32_t i = 0; i < 100; i++) {
		const char *record = rl_slab_at(s, i);
		CHECK(record[0] == (char)i && record[sizeof(struct record) - 1] == (char)i);
	}
	rl_slab_free(s);
}

TEST(the_last_put_of_a_chunk_is_got_first_and_chunk_by_chunk)
{
	struct rl_slab *s = rl_slab_new(sizeof(struct record), 4, 1000);
	void *record[6];
	uint32_t index;
	for (int i = 0; i < 6; i++)
		record[i] = rl_slab_get(s, &index);
	rl_slab_put(s, record[1], 1);
	rl_slab_put(s, record[5], 5);
	rl_slab_put(s, record[0], 0);
	CHECK_EQ(rl_slab_live(s), 3);
	const uint32_t want[] = { 5, 0, 1, 6 };
	for (int i = 0; i < 4; i++) {
		void *again = rl_slab_get(s, &index);
		CHECK_EQ(index, want[i]);
		CHECK(index == 6 || again == record[index]);
	}
	CHECK_EQ(rl_slab_live(s), 7);
	rl_slab_free(s);
}

TEST(a_put_record_keeps_all_but_its_first_word)
{
	struct rl_slab *s = rl_slab_new(sizeof(struct record), 4, 1000);
	uint32_t index;
	struct record *r = rl_slab_get(s, &index);
	r->index = 77;
	memset(r->body, 'x', sizeof r->body);
	rl_slab_put(s, r, index);
	CHECK(rl_slab_at(s, index) == r);
	CHECK_EQ(r->index, 77);
	CHECK(r->body[0] == 'x' && r->body[sizeof r->body - 1] == 'x');
	rl_slab_free(s);
}

TEST(an_index_never_handed_out_has_no_record)
{
	struct rl_slab *s = rl_slab_new(8, 4, 1000);
	uint32_t index;
	CHECK(rl_slab_at(s, 0) == NULL);
	rl_slab_get(s, &index);
	CHECK(rl_slab_at(s, 0) != NULL);
	CHECK(rl_slab_at(s, 1) == NULL); /* in the chunk, not handed out */
	CHECK(rl_slab_at(s, 4) == NULL);
	CHECK(rl_slab_at(s, RL_SLAB_NONE) == NULL);
	rl_slab_free(s);
}

TEST(the_limit_is_hard)
{
	struct rl_slab *s = rl_slab_new(sizeof(struct record), 4, 6);
	uint32_t index;
	for (int i = 0; i < 6; i++)
		CHECK(rl_slab_get(s, &index) != NULL);
	CHECK(rl_slab_get(s, &index) == NULL);
	CHECK_EQ(rl_slab_live(s), 6);
	rl_slab_put(s, rl_slab_at(s, 3), 3);
	CHECK(rl_slab_get(s, &index) != NULL);
	CHECK_EQ(index, 3);
	CHECK(rl_slab_get(s, &index) == NULL);
	rl_slab_free(s);
}

TEST(records_are_aligned_and_rounded_up)
{
	struct rl_slab *s = rl_slab_new(1, 3, 1000), *line = rl_slab_new(64, 3, 1000);
	uint32_t index;
	for (int i = 0; i < 10; i++) {
		CHECK_EQ((uintptr_t)rl_slab_get(s, &index) % 8, 0);
		CHECK_EQ((uintptr_t)rl_slab_get(line, &index) % 64, 0);
	}
	rl_slab_free(s);
	rl_slab_free(line);
}

TEST(sizes_beyond_memory_are_refused)
{
	CHECK(rl_slab_new(SIZE_MAX, 1, 10) == NULL);
	CHECK(rl_slab_new(SIZE_MAX - 64, 1, 10) == NULL);
	CHECK(rl_slab_new(SIZE_MAX / 256, 1024, 10) == NULL);
	rl_slab_free(NULL);
}

TEST(out_of_memory_leaves_the_slab_usable)
{
	if (SANITIZED)
		SKIP("a sanitizer's shadow memory cannot live under RLIMIT_AS");
	struct rl_slab *s = rl_slab_new(1 << 20, 64, 1000);
	struct rlimit before, low = { 0, 0 };
	uint32_t index;
	for (int i = 0; i < 64; i++)
		CHECK(rl_slab_get(s, &index) != NULL);
	getrlimit(RLIMIT_AS, &before);
	low.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_AS, &low);
	void *record = rl_slab_get(s, &index);
	setrlimit(RLIMIT_AS, &before);
	CHECK(record == NULL);
	CHECK_EQ(rl_slab_live(s), 64);
	CHECK(rl_slab_get(s, &index) != NULL);
	CHECK_EQ(index, 64);
	rl_slab_free(s);
}

/* Each live record is marked with its index; no other may overwrite it. */
TEST(random_walk)
{
	enum { RECORDS = 500 };
	static bool live[RECORDS];
	struct rl_slab *s = rl_slab_new(sizeof(struct record), 16, RECORDS);
	struct rl_rand r;
	uint32_t n = 0;
	rl_rand_seed(&r, 11);
	for (int step = 0; step < 100000; step++) {
		uint32_t i = (uint32_t)rl_rand_below(&r, RECORDS);
		struct record *record = rl_slab_at(s, i);
		if (live[i]) {
			CHECK(record->first == i && record->index == i);
			rl_slab_put(s, record, i);
			live[i] = false;
			n--;
		} else {
			record = rl_slab_get(s, &i);
			CHECK(!live[i] && rl_slab_at(s, i) == record);
			record->first = record->index = i;
			live[i] = true;
			n++;
		}
		CHECK_EQ(rl_slab_live(s), n);
	}
	rl_slab_free(s);
}

int main(void)
{
	RUN(indices_are_dense_and_addresses_distinct);
	RUN(the_last_put_of_a_chunk_is_got_first_and_chunk_by_chunk);
	RUN(a_put_record_keeps_all_but_its_first_word);
	RUN(an_index_never_handed_out_has_no_record);
	RUN(the_limit_is_hard);
	RUN(records_are_aligned_and_rounded_up);
	RUN(sizes_beyond_memory_are_refused);
	RUN(out_of_memory_leaves_the_slab_usable);
	RUN(random_walk);
	return FINISH();
}
