/* SPDX-License-Identifier: MIT */
/* out_test: what becomes of writes: how many sends, in which order, and who waits. */
#include "world.h"

static int put(struct rl_stream *s, const char *text, size_t len)
{
	int err = rl_out_begin(s, false);
	if (err != 0)
		return err;
	err = rl_out_write(s, text, len);
	rl_out_end(s, err);
	return err;
}

static int put_chunk(struct rl_stream *s, size_t len, char c)
{
	struct rl_chunk *chunk = rl_chunk_new(&s->net->chunks, (uint32_t)len);
	int err = rl_out_begin(s, false);
	memset(chunk->data, c, len);
	if (err == 0)
		err = rl_out_write_chunk(s, chunk, 0, (uint32_t)len);
	rl_out_end(s, err);
	rl_chunk_put(chunk);
	return err;
}

TEST(small_writes_of_a_turn_are_one_send)
{
	struct world w;
	struct rl_stream *a, *b;
	CHECK(world_open(&w, "sim", 1, NULL) && world_pair(&w, &a, &b));
	put_chunk(a, 100, 'x');
	put(a, "yy", 2);
	put_chunk(a, 100, 'z');
	rl_stream_expect(b, 202, 202);
	WORLD_UNTIL(&w, rl_stream_has(b, 202) == 0);
	CHECK_EQ(a->writes, 1);
	CHECK_EQ(rl_bytes_find(&b->in, 0, "xyyz", 4), 99);
	rl_stream_consume(b, 202);
	CHECK_EQ(rl_stream_extend(a), 0);
	a->more->write_high = 100000;
	put_chunk(a, 3000, 'x');
	put_chunk(a, 3000, 'y');
	rl_stream_expect(b, 6000, 6000);
	WORLD_UNTIL(&w, rl_stream_has(b, 6000) == 0);
	CHECK_EQ(a->writes, 3);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

TEST(a_flush_waits_for_what_was_written_before)
{
	struct world w;
	struct rl_stream *a, *b;
	CHECK(world_open(&w, "sim", 1, NULL) && world_pair(&w, &a, &b));
	CHECK_EQ(rl_out_flushed(a, rl_out_accepted(a)), 0);
	put(a, "one", 3);
	uint64_t target = rl_out_accepted(a);
	CHECK_EQ(target, 3);
	CHECK_EQ(rl_out_flushed(a, target), 1);
	WORLD_UNTIL(&w, rl_out_flushed(a, target) == 0);
	rl_stream_abort(a);
	CHECK_EQ(rl_out_flushed(a, target), -RL_ECLOSED);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

TEST(an_empty_write_keeps_nothing)
{
	struct world w;
	struct rl_stream *a, *b;
	CHECK(world_open(&w, "sim", 1, NULL) && world_pair(&w, &a, &b));
	CHECK_EQ(put(a, "", 0), 0);
	CHECK(a->out == NULL);
	CHECK_EQ(rl_out_shutdown(a), 0);
	CHECK_EQ(rl_out_shutdown(a), 0);
	rl_stream_expect(b, 1, 1);
	WORLD_UNTIL(&w, rl_stream_status(b) == -RL_EOF && a->out == NULL);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

int main(void)
{
	RUN(small_writes_of_a_turn_are_one_send);
	RUN(a_flush_waits_for_what_was_written_before);
	RUN(an_empty_write_keeps_nothing);
	return FINISH();
}
