/* SPDX-License-Identifier: MIT */
/* outfile_test: a file behind what a stream has queued: its bytes, its order, and its end. */
#define _GNU_SOURCE
#include "world.h"
#include "scarce.h"

#include "base/rand.h"
#include "rt/outfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE 200000

static char name[] = "/tmp/rl-outfile-XXXXXX";
static char data[SIZE];

/* A world with both ends of a connection and the open file. */
struct scene {
	struct world w;
	struct rl_stream *a, *b;
	struct rl_content *c;
};

static bool scene_open(struct scene *sc, const char *backend, uint64_t seed, const char *faults)
{
	if (!world_open(&sc->w, backend, seed, faults))
		return false;
	if (!world_pair(&sc->w, &sc->a, &sc->b)) {
		world_close(&sc->w);
		return false;
	}
	CHECK_EQ(rl_content_open(sc->w.net, NULL, name, false, &sc->c), 0);
	WORLD_UNTIL(&sc->w, sc->c->done);
	return true;
}

static void scene_close(struct scene *sc)
{
	world_drop(&sc->a);
	world_drop(&sc->b);
	if (sc->c)
		rl_content_disown(sc->c);
	world_settle(&sc->w);
	world_close(&sc->w);
}

/* A head, then the range. */
static int send_range(struct scene *sc, int64_t off, int64_t len)
{
	CHECK_EQ(rl_out_begin(sc->a, false), 0);
	CHECK_EQ(rl_out_write(sc->a, "head", 4), 0);
	int status = rl_outfile_write(sc->a, sc->c, off, len);
	rl_out_end(sc->a, status < 0 ? status : 0);
	return status;
}

/* Read `len` bytes: are they these? */
static bool receive(struct scene *sc, const char *text, uint32_t len)
{
	uint32_t got = 0;
	bool same = true;
	for (int i = 0; i < 200000 && got < len && same; i++) {
		rl_stream_expect(sc->b, 1, 1);
		while (rl_stream_status(sc->b) == 0 && same && got < len) {
			const struct rl_piece *p = rl_bytes_head(&sc->b->in);
			uint32_t n = p->len < len - got ? p->len : len - got;
			same = memcmp(rl_piece_at(p), text + got, n) == 0;
			got += n;
			rl_stream_consume(sc->b, n);
		}
		if (got < len)
			world_step(&sc->w, 1);
	}
	return same && got == len;
}

TEST(a_range_follows_what_is_queued)
{
	static const char *const faults[] = {NULL, "cold_file=0.5", "short_write=0.5,delay=0.2"};
	for (int i = 0; i < 4; i++) {
		struct scene sc;
		if (!scene_open(&sc, i < 3 ? "sim" : "uring", 7, i < 3 ? faults[i] : NULL))
			continue;
		CHECK_EQ(send_range(&sc, 10, SIZE - 10), 1);
		CHECK_EQ(rl_outfile_sent(sc.c), 1);
		CHECK(receive(&sc, "head", 4));
		CHECK(receive(&sc, data + 10, SIZE - 10));
		WORLD_UNTIL(&sc.w, rl_outfile_sent(sc.c) == 0);
		CHECK(send_range(&sc, SIZE - 1000, 500) >= 0);
		CHECK(receive(&sc, "head", 4));
		CHECK(receive(&sc, data + SIZE - 1000, 500));
		WORLD_UNTIL(&sc.w, !sc.a->out);
		scene_close(&sc);
	}
}

TEST(a_small_one_goes_with_what_is_queued)
{
	struct scene sc;
	CHECK(scene_open(&sc, "sim", 1, NULL));
	CHECK_EQ(send_range(&sc, 3, 200), 0);
	CHECK(receive(&sc, "head", 4));
	CHECK(receive(&sc, data + 3, 200));
	CHECK_EQ(sc.a->writes, 1);
	CHECK_EQ(send_range(&sc, 0, 0), 0);
	CHECK_EQ(rl_out_begin(sc.a, false), 0);
	CHECK_EQ(rl_outfile_write(sc.a, sc.c, 0, 1), 0);
	rl_out_end(sc.a, 0);
	CHECK(receive(&sc, "head", 4));
	CHECK(receive(&sc, data, 1));
	scene_close(&sc);
}

TEST(who_writes_meanwhile_waits)
{
	struct scene sc;
	CHECK(scene_open(&sc, "sim", 1, NULL));
	CHECK_EQ(send_range(&sc, 0, SIZE), 1);
	CHECK_EQ(rl_out_begin(sc.a, false), 1);
	CHECK_EQ(rl_out_flushed(sc.a, 4), 1);
	WORLD_UNTIL(&sc.w, sc.c->off > 0);
	CHECK(sc.c->off < SIZE); /* the other side does not read */
	CHECK_EQ(rl_out_flushed(sc.a, 4), 1);
	CHECK(receive(&sc, "head", 4));
	CHECK(receive(&sc, data, SIZE));
	WORLD_UNTIL(&sc.w, rl_outfile_sent(sc.c) == 0);
	CHECK_EQ(rl_out_begin(sc.a, false), 0);
	rl_out_end(sc.a, 0);
	scene_close(&sc);
}

TEST(a_content_is_sent_by_one_stream)
{
	struct scene sc;
	struct rl_stream *a, *b;
	CHECK(scene_open(&sc, "sim", 1, NULL) && world_pair(&sc.w, &a, &b));
	CHECK_EQ(send_range(&sc, 0, SIZE), 1);
	CHECK_EQ(rl_out_begin(a, false), 0);
	CHECK_EQ(rl_outfile_write(a, sc.c, 0, SIZE), -EBUSY);
	rl_out_end(a, 0);
	rl_stream_abort(sc.a);
	WORLD_UNTIL(&sc.w, rl_outfile_sent(sc.c) < 0);
	CHECK_EQ(rl_outfile_sent(sc.c), -RL_ECLOSED);
	world_drop(&a);
	world_drop(&b);
	scene_close(&sc);
}

TEST(a_file_that_has_become_shorter_ends_the_stream)
{
	for (int i = 0; i < 2; i++) {
		struct scene sc;
		if (!scene_open(&sc, i ? "uring" : "sim", 1, NULL))
			continue;
		CHECK_EQ(truncate(name, 100), 0);
		CHECK_EQ(send_range(&sc, 0, SIZE), 1);
		WORLD_UNTIL(&sc.w, rl_outfile_sent(sc.c) != 1);
		CHECK_EQ(rl_outfile_sent(sc.c), -ENODATA);
		CHECK_EQ(rl_out_begin(sc.a, false), -ENODATA);
		scene_close(&sc);
		int fd = open(name, O_WRONLY | O_TRUNC);
		CHECK_EQ(write(fd, data, SIZE), SIZE);
		close(fd);
	}
}

TEST(nor_does_it_go_on_when_that_is_seen_later)
{
	struct scene sc;
	CHECK(scene_open(&sc, "sim", 1, NULL));
	CHECK_EQ(send_range(&sc, 0, SIZE), 1);
	CHECK_EQ(truncate(name, 100), 0);
	CHECK(receive(&sc, "head", 4));
	CHECK(receive(&sc, data, (uint32_t)sc.c->off));
	WORLD_UNTIL(&sc.w, rl_outfile_sent(sc.c) != 1);
	CHECK_EQ(rl_outfile_sent(sc.c), -ENODATA);
	scene_close(&sc);
	int fd = open(name, O_WRONLY | O_TRUNC);
	CHECK_EQ(write(fd, data, SIZE), SIZE);
	close(fd);
}

/* A file that the socket has room for is sent within the call. */
TEST(what_there_is_room_for_is_sent_at_once)
{
	for (int i = 0; i < 2; i++) {
		struct scene sc;
		if (!scene_open(&sc, i ? "uring" : "sim", 1, NULL))
			continue;
		CHECK_EQ(send_range(&sc, 5, 3000), 0);
		CHECK(!sc.a->out);
		CHECK(receive(&sc, "head", 4));
		CHECK(receive(&sc, data + 5, 3000));
		scene_close(&sc);
	}
}

/* Whoever goes first, and whenever: nothing stays. */
TEST(an_end_at_any_moment_leaves_nothing)
{
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct scene sc;
		struct rl_rand rand;
		rl_rand_seed(&rand, seed);
		const char *backend = seed % 10 == 0 ? "uring" : "sim";
		if (!scene_open(&sc, backend, seed, "cold_file=0.4,short_write=0.2,delay=0.1"))
			continue;
		send_range(&sc, 0, SIZE);
		for (uint64_t n = rl_rand_below(&rand, 30); n > 0; n--) {
			rl_stream_expect(sc.b, 1, 1);
			world_step(&sc.w, 1);
			if (rl_stream_status(sc.b) == 0)
				rl_stream_consume(sc.b, sc.b->in.len);
		}
		switch (rl_rand_below(&rand, 5)) {
		case 0:
			rl_stream_abort(sc.b);
			break;
		case 1:
			rl_stream_abort(sc.a);
			break;
		case 2:
			rl_content_disown(sc.c);
			sc.c = NULL;
			rl_stream_fail(sc.a, -ETIMEDOUT);
			break;
		case 3:
			rl_stream_close(sc.a);
			break;
		case 4:
			world_close(&sc.w);
			continue;
		}
		scene_close(&sc);
	}
}

/* The receiver gets a head and a range, twice, or a beginning of that. */
static void play_file(void)
{
	static char want[2 * 8000], got[2 * 8000];
	struct scene sc;
	int64_t lens[] = {200, 7000};
	uint32_t len = 0;
	if (!scene_open(&sc, "sim", 1, scarce.before % 2 ? "cold_file=0.5" : NULL))
		return;
	for (int i = 0; i < 2; i++) {
		memcpy(want + len, "head", 4);
		memcpy(want + len + 4, data + 3, (size_t)lens[i]);
		len += 4 + (uint32_t)lens[i];
		int status = SCARCE(rl_out_begin(sc.a, false));
		CHECK(status == 0 || scarce.failed > 0);
		if (status == 0)
			status = SCARCE(rl_out_write(sc.a, "head", 4));
		if (status == 0)
			status = SCARCE(rl_outfile_write(sc.a, sc.c, 3, lens[i]));
		if (sc.a->out)
			rl_out_end(sc.a, status < 0 ? status : 0);
		else
			break;
		SCARCE(rl_stream_expect(sc.b, len, len));
		for (int k = 0; k < 60; k++)
			SCARCE((world_step(&sc.w, 2), 0));
	}
	CHECK(sc.b->in.len <= len && (sc.b->in.len == len || scarce.failed > 0));
	rl_bytes_copy(&sc.b->in, 0, got, sc.b->in.len);
	CHECK(memcmp(got, want, sc.b->in.len) == 0);
	CHECK(rl_outfile_sent(sc.c) != 1);
	scene_close(&sc);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_file, 4);
}

int main(void)
{
	struct rl_rand rand;
	rl_rand_seed(&rand, 1);
	for (int i = 0; i < SIZE; i++)
		data[i] = (char)rl_rand_next(&rand);
	int fd = mkstemp(name);
	if (fd < 0 || write(fd, data, SIZE) != SIZE)
		return 1;
	close(fd);
	RUN(a_range_follows_what_is_queued);
	RUN(a_small_one_goes_with_what_is_queued);
	RUN(who_writes_meanwhile_waits);
	RUN(a_content_is_sent_by_one_stream);
	RUN(a_file_that_has_become_shorter_ends_the_stream);
	RUN(nor_does_it_go_on_when_that_is_seen_later);
	RUN(what_there_is_room_for_is_sent_at_once);
	RUN(an_end_at_any_moment_leaves_nothing);
	RUN(memory_runs_out_at_every_allocation);
	unlink(name);
	return FINISH();
}
