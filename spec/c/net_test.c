/* SPDX-License-Identifier: MIT */
/* net_test: what is shared: starved streams are fed, a run's end closes what is open. */
#include "world.h"

#include <stdlib.h>

static void send_text(struct rl_stream *s, const char *text)
{
	CHECK_EQ(rl_out_begin(s, false), 0);
	rl_out_end(s, rl_out_write(s, text, strlen(text)));
}

TEST(a_net_is_made_once_for_a_run_and_numbered)
{
	struct world w;
	CHECK(world_open(&w, "sim", 1, NULL));
	CHECK(rl_net_get(&w.shard, &w.handles) == w.net);
	CHECK_EQ(w.net->serial, 1);
	rl_net_shutdown(&w.shard);
	rl_net_free(&w.shard, 0);
	CHECK(w.shard.net == NULL);
	rl_net_shutdown(&w.shard);
	rl_net_free(&w.shard, 0);
	w.net = rl_net_get(&w.shard, &w.handles);
	CHECK_EQ(w.net->serial, 2);
	world_close(&w);
}

/* All buffers are lent; two streams starve; each buffer that comes back feeds one. */
static void starve(const char *backend)
{
	struct world w;
	struct rl_stream *a[2], *b[2];
	struct rl_chunk *held[1024];
	unsigned n = 0;
	if (!world_open(&w, backend, 1, NULL))
		return;
	CHECK(world_pair(&w, &a[0], &b[0]) && world_pair(&w, &a[1], &b[1]));
	rl_stream_expect(b[0], 1, 1);
	while (w.shard.os->buf_free > 0 && !check_bad) {
		struct rl_piece p;
		send_text(a[0], "x");
		WORLD_UNTIL(&w, rl_stream_status(b[0]) == 0);
		if (rl_bytes_head(&b[0]->in)->chunk->kind != RL_CHUNK_PROVIDED) {
			unsigned bid = w.shard.os->buf_count - w.shard.os->buf_free;
			CHECK(bid >= w.shard.os->buf_count * 3 / 4);
			rl_stream_consume(b[0], 1);
			break;
		}
		p = rl_bytes_take(&w.net->chunks, &b[0]->in);
		held[n++] = p.chunk;
		rl_stream_consume(b[0], 0);
	}
	CHECK(n >= w.shard.os->buf_count / 2);
	send_text(a[1], "y");
	rl_stream_expect(b[1], 1, 1);
	WORLD_UNTIL(&w, rl_stream_status(b[1]) == 0);
	while (n > 0)
		rl_chunk_put(held[--n]);
	for (int i = 0; i < 2; i++) {
		world_drop(&a[i]);
		world_drop(&b[i]);
	}
	world_settle(&w);
	world_close(&w);
}

TEST(whoever_keeps_buffers_does_not_starve_others)
{
	starve("sim");
	starve("uring");
}

TEST(a_closed_stream_sends_what_it_has_before_the_run_ends)
{
	struct world w;
	struct rl_stream *a, *b;
	CHECK(world_open(&w, "sim", 1, NULL) && world_pair(&w, &a, &b));
	send_text(a, "last words");
	rl_stream_close(a);
	CHECK_EQ(w.net->draining, 1);
	CHECK_EQ(w.shard.holds, 1);
	rl_net_shutdown(&w.shard);
	CHECK_EQ(a->op.count.sent, 10);
	CHECK_EQ(w.net->draining, 0);
	CHECK_EQ(w.shard.holds, 0);
	world_close(&w);
	CHECK(a == NULL && b == NULL);
}

int main(void)
{
	RUN(a_net_is_made_once_for_a_run_and_numbered);
	RUN(whoever_keeps_buffers_does_not_starve_others);
	RUN(a_closed_stream_sends_what_it_has_before_the_run_ends);
	return FINISH();
}
