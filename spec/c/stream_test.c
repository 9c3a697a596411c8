/* SPDX-License-Identifier: MIT */
/* stream_test: receiving, limits and the end of connections, on sim and on uring. */
#include "world.h"
#include "scarce.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *const backends[] = {"sim", "uring"};

static int write_text(struct rl_stream *s, const char *text, size_t len)
{
	int err = rl_out_begin(s, false);
	if (err != 0)
		return err;
	err = rl_out_write(s, text, len);
	rl_out_end(s, err);
	return err;
}

/* Run `fn` on a connected pair of each backend, then check that nothing is left. */
static void on_each(void (*fn)(struct world *w, struct rl_stream **a, struct rl_stream **b))
{
	for (unsigned i = 0; i < 2; i++) {
		struct world w;
		struct rl_stream *a, *b;
		if (!world_open(&w, backends[i], 1, NULL))
			continue;
		CHECK(world_pair(&w, &a, &b));
		fn(&w, &a, &b);
		world_drop(&a);
		world_drop(&b);
		world_settle(&w);
		CHECK_EQ(w.net->streams->live, 0);
		world_close(&w);
	}
}

static void hello(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	char got[8] = "";
	CHECK_EQ(write_text(*a, "hel", 3), 0);
	CHECK_EQ(write_text(*a, "lo", 2), 0);
	CHECK_EQ(rl_stream_status(*b), -EAGAIN);
	rl_stream_expect(*b, 5, 5);
	WORLD_UNTIL(w, rl_stream_has(*b, 5) == 0);
	rl_bytes_copy(&(*b)->in, 0, got, 5);
	CHECK_EQ(memcmp(got, "hello", 5), 0);
	rl_stream_consume(*b, 5);
	CHECK_EQ((*a)->writes, 1);
	CHECK_EQ((*a)->op.count.sent, 5);
	CHECK_EQ((*b)->op.count.received, 5);
	CHECK((*a)->out == NULL);
	CHECK_EQ(w->net->chunks.lent, 0);
}

TEST(bytes_arrive_and_writes_of_one_turn_are_one_send)
{
	on_each(hello);
}

static void eof(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	write_text(*a, "bye", 3);
	rl_stream_close(*a);
	rl_stream_close(*a);
	CHECK_EQ(rl_stream_status(*a), -RL_ECLOSED);
	CHECK_EQ(write_text(*a, "x", 1), -RL_ECLOSED);
	CHECK_EQ(w->shard.holds, 1);
	rl_stream_expect(*b, 4, 4);
	WORLD_UNTIL(w, rl_stream_has(*b, 4) == -RL_EOF);
	CHECK_EQ(rl_stream_status(*b), 0);
	rl_stream_consume(*b, 3);
	CHECK_EQ(rl_stream_status(*b), -RL_EOF);
}

TEST(close_sends_what_is_queued)
{
	on_each(eof);
}

static void half(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	write_text(*a, "ask", 3);
	CHECK_EQ(rl_out_shutdown(*a), 0);
	CHECK_EQ(write_text(*a, "more", 4), -EPIPE);
	rl_stream_expect(*b, 4, 4);
	WORLD_UNTIL(w, rl_stream_has(*b, 4) == -RL_EOF);
	write_text(*b, "answer", 6);
	rl_stream_expect(*a, 6, 6);
	WORLD_UNTIL(w, rl_stream_has(*a, 6) == 0);
}

TEST(shutdown_closes_one_direction)
{
	on_each(half);
}

static void reset(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	rl_stream_expect(*b, 1, 1);
	world_step(w, 1);
	rl_stream_abort(*a);
	WORLD_UNTIL(w, rl_stream_status(*b) != -EAGAIN);
	CHECK_EQ(rl_stream_status(*b), -ECONNRESET);
}

TEST(abort_resets)
{
	on_each(reset);
}

/* Nobody reads: the receiver stops at its mark, the sender at the socket buffers. */
static void slow(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	static char text[1 << 16];
	uint64_t sent = 0, seen = 0;
	memset(text, 'x', sizeof text);
	rl_stream_expect(*b, 1, 1);
	for (int i = 0; i < 400; i++) {
		int err = write_text(*a, text, sizeof text);
		CHECK(err == 0 || err == 1);
		sent += err == 0 ? sizeof text : 0;
		world_step(w, 1);
	}
	CHECK_EQ(write_text(*a, text, 1), 1);
	CHECK((*b)->flags & RL_STREAM_PAUSED);
	CHECK(!(*b)->op.in_flight);
	CHECK((*b)->in.len < 3 * RL_READ_HIGH + w->shard.os->buf_size * 64);
	while (seen < sent) {
		uint32_t n = (*b)->in.len;
		seen += n;
		rl_stream_consume(*b, n);
		rl_stream_expect(*b, 1, 1);
		WORLD_UNTIL(w, rl_stream_status(*b) == 0 || seen == sent);
		if (check_bad)
			return;
	}
	CHECK_EQ((*b)->op.count.received, sent);
}

TEST(a_slow_reader_bounds_both_sides)
{
	on_each(slow);
}

static void blocked_close(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	static char text[1 << 16];
	for (int i = 0; i < 400; i++) {
		write_text(*a, text, sizeof text);
		world_step(w, 1);
	}
	(void)b;
	int64_t from = rl_shard_now(&w->shard);
	if (strcmp(w->shard.os->ops->name, "sim") != 0)
		return;
	world_drop(a);
	CHECK_EQ(w->handles, 2);
	WORLD_UNTIL(w, w->handles == 1);
	int64_t took = rl_shard_now(&w->shard) - from;
	CHECK(took >= RL_STREAM_CLOSE_NS && took < RL_STREAM_CLOSE_NS + 100000000);
}

TEST(close_gives_up_after_five_seconds)
{
	on_each(blocked_close);
}

static void idle(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	int64_t from = rl_shard_now(&w->shard);
	(void)b;
	CHECK_EQ(rl_stream_extend(*a), 0);
	rl_stream_limit(*a, 30000000, -1);
	rl_stream_limit(*a, -1, from + 50000000);
	WORLD_UNTIL(w, rl_stream_status(*a) != -EAGAIN);
	CHECK_EQ(rl_stream_status(*a), -ETIMEDOUT);
	CHECK_EQ(write_text(*a, "x", 1), -ETIMEDOUT);
	CHECK(rl_shard_now(&w->shard) - from >= 50000000);
}

TEST(a_total_limit_fails_the_stream)
{
	on_each(idle);
}

/* Its limit moves with what is kept of it: half a second, or where time passes by itself, what the
 * rest cannot take. */
static void watch(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	int64_t from = rl_shard_now(&w->shard);
	int64_t limit_ns = w->shard.os->closed_world ? 500000000 : 5000000000;
	CHECK_EQ(rl_stream_extend(*a), 0);
	rl_stream_limit(*a, -1, from + limit_ns);
	CHECK_EQ(rl_stream_idle_ns(*a), -1);
	CHECK_EQ(rl_stream_watch(*a), 0);
	CHECK_EQ(rl_stream_watch(*a), 0);
	CHECK_EQ(rl_stream_idle_ns(*a), -1); /* nobody waits for its peer */
	(*a)->kind = RL_STREAM_LONG;
	rl_stream_expect(*a, 9, 9);
	WORLD_UNTIL(w, rl_stream_idle_ns(*a) >= 10000000);
	write_text(*a, "x", 1);
	WORLD_UNTIL(w, !rl_out_is_busy(*a));
	CHECK(rl_stream_idle_ns(*a) >= 10000000);
	int64_t sent_ns = rl_shard_now(&w->shard);
	write_text(*b, "y", 1);
	WORLD_UNTIL(w, (*a)->in.len == 1);
	CHECK_EQ(rl_stream_idle_ns(*a), -1);
	rl_stream_consume(*a, 1);
	CHECK(rl_stream_idle_ns(*a) >= 0);
	CHECK(rl_stream_idle_ns(*a) <= w->shard.now_ns - sent_ns);
	WORLD_UNTIL(w, rl_stream_status(*a) == -ETIMEDOUT);
	CHECK(rl_shard_now(&w->shard) - from >= limit_ns);
	CHECK_EQ(rl_stream_idle_ns(*a), -1);
}

TEST(a_watched_stream_tells_for_how_long_nothing_came)
{
	on_each(watch);
}

/* Another thread's, on the bare descriptor. */
struct late_write {
	int fd;
	_Atomic int64_t begun_ns;
};

static int64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void *write_late(void *arg)
{
	struct late_write *late = arg;
	usleep(100000); /* the shard most likely waits now; else the test proves less */
	late->begun_ns = clock_ns();
	CHECK_EQ(write(late->fd, "x", 1), 1);
	return NULL;
}

TEST(what_comes_during_a_wait_did_not_come_before_it)
{
	struct world w;
	struct rl_stream *a, *b;
	pthread_t thread;
	if (!world_open(&w, "uring", 1, NULL))
		SKIP("no io_uring");
	CHECK(world_pair(&w, &a, &b));
	CHECK_EQ(rl_stream_watch(a), 0);
	a->kind = RL_STREAM_LONG;
	rl_stream_expect(a, 9, 9);
	world_step(&w, 1);
	struct late_write late = {.fd = b->op.fd};
	CHECK_EQ(pthread_create(&thread, NULL, write_late, &late), 0);
	for (int i = 0; i < 20 && a->in.len == 0; i++)
		world_step(&w, 1000);
	pthread_join(thread, NULL);
	CHECK_EQ(a->in.len, 1);
	rl_stream_consume(a, 1);
	CHECK(rl_stream_idle_ns(a) >= 0 && rl_stream_idle_ns(a) <= clock_ns() - late.begun_ns);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

static void lend(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	struct rl_piece p;
	write_text(*a, "loan", 4);
	rl_stream_expect(*b, 4, 4);
	WORLD_UNTIL(w, rl_stream_has(*b, 4) == 0);
	CHECK_EQ(rl_stream_lend(*b, &p), 0);
	CHECK_EQ(p.len, 4);
	CHECK_EQ(w->net->chunks.lent, 1);
	CHECK_EQ(rl_out_begin(*b, false), 0);
	CHECK_EQ(rl_out_write_chunk(*b, p.chunk, p.off, p.len), 0);
	rl_out_end(*b, 0);
	uint32_t gen = p.chunk->gen;
	rl_stream_unlend(*b);
	CHECK_EQ(p.chunk->gen, gen + 1);
	CHECK_EQ(w->net->chunks.lent, 1);
	rl_stream_expect(*a, 4, 4);
	WORLD_UNTIL(w, rl_stream_has(*a, 4) == 0);
	CHECK_EQ(memcmp(rl_piece_at(rl_bytes_head(&(*a)->in)), "loan", 4), 0);
	rl_stream_consume(*a, 4);
	WORLD_UNTIL(w, w->net->chunks.lent == 0);
}

TEST(a_loan_is_sent_without_a_copy_and_given_back)
{
	on_each(lend);
}

/* An echo between two ends under faults: what arrives is a prefix of what was sent, and all of it
 * unless the connection broke. */
struct echo {
	uint32_t sent, back, total;
	uint64_t rand;
	bool broken;
};

static uint32_t pick(struct echo *e, uint32_t below)
{
	e->rand = e->rand * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(e->rand >> 33) % below;
}

static char byte_at(uint32_t i)
{
	return (char)((i * 2654435761u) >> 24);
}

static void echo_send(struct echo *e, struct rl_stream *a)
{
	char text[700];
	uint32_t n = 1 + pick(e, sizeof text);
	if (n > e->total - e->sent)
		n = e->total - e->sent;
	for (uint32_t i = 0; i < n; i++)
		text[i] = byte_at(e->sent + i);
	int err = n ? write_text(a, text, n) : 0;
	if (err == 0)
		e->sent += n;
	else if (err < 0)
		e->broken = true;
}

static void echo_back(struct echo *e, struct rl_stream *b)
{
	struct rl_piece p;
	int status = rl_stream_status(b);
	if (status == -EAGAIN)
		rl_stream_expect(b, 1, 1);
	if (status != 0 || rl_out_begin(b, false) != 0)
		return;
	if (pick(e, 2) == 0) {
		CHECK_EQ(rl_stream_lend(b, &p), 0);
		rl_out_end(b, rl_out_write_chunk(b, p.chunk, p.off, p.len));
		return;
	}
	const struct rl_piece *head = rl_bytes_head(&b->in);
	uint32_t n = 1 + pick(e, head->len);
	rl_out_end(b, rl_out_write(b, rl_piece_at(head), n));
	rl_stream_consume(b, n);
}

static void echo_check(struct echo *e, struct rl_stream *a)
{
	int status = rl_stream_status(a);
	if (status == -EAGAIN)
		rl_stream_expect(a, 1, 1);
	else if (status < 0)
		e->broken = true;
	for (; status == 0 && a->in.len > 0; e->back++) {
		if (*rl_piece_at(rl_bytes_head(&a->in)) != byte_at(e->back))
			CHECK(!"an echoed byte differs");
		rl_stream_consume(a, 1);
	}
}

static bool echo_run(uint64_t seed, const char *faults)
{
	struct world w;
	struct rl_stream *a, *b;
	struct echo e = {.total = 20000, .rand = seed};
	if (!world_open(&w, "sim", seed, faults))
		return false;
	if (world_pair(&w, &a, &b)) {
		for (int i = 0; i < 20000 && e.back < e.total && !e.broken; i++) {
			echo_send(&e, a);
			echo_back(&e, b);
			echo_check(&e, a);
			world_step(&w, 1);
			e.broken |= rl_stream_status(b) != 0 && rl_stream_status(b) != -EAGAIN;
			e.broken |= b->out_err != 0;
		}
		CHECK(e.broken || e.back == e.total);
		world_drop(&a);
		world_drop(&b);
	}
	world_settle(&w);
	CHECK_EQ(w.net->streams->live, 0);
	world_close(&w);
	if (check_bad)
		printf("    sim seed %llu, faults %s\n", (unsigned long long)seed, faults);
	return !e.broken;
}

TEST(no_byte_is_lost_or_mixed_up_under_passing_faults)
{
	static const char *const faults = "short_read=0.3,short_write=0.3,enobufs=0.1,delay=0.05,"
		"cq_overflow=0.1,multishot_end=0.2,cancel_race=0.5,eintr=0.05";
	for (uint64_t seed = 1; seed <= 200 && !check_bad; seed++)
		CHECK(echo_run(seed, faults));
}

TEST(a_broken_connection_leaves_nothing_behind)
{
	int whole = 0;
	for (uint64_t seed = 1; seed <= 300 && !check_bad; seed++)
		whole += echo_run(seed, "all=0.02");
	CHECK(whole < 300);
}

/* The run ends at any moment. */
TEST(the_end_of_the_run_frees_everything)
{
	for (uint64_t seed = 1; seed <= 200 && !check_bad; seed++) {
		struct world w;
		struct rl_stream *a, *b;
		struct echo e = {.total = 20000, .rand = seed};
		if (!world_open(&w, "sim", seed, "delay=0.2,cancel_race=0.5") || !world_pair(&w, &a, &b))
			continue;
		for (uint64_t i = 0; i < seed % 40; i++) {
			echo_send(&e, a);
			echo_back(&e, b);
			echo_check(&e, a);
			world_step(&w, 1);
		}
		if (seed % 3 == 0)
			world_drop(&a);
		world_close(&w);
		CHECK(seed % 3 == 0 || a == NULL);
		CHECK(b == NULL);
	}
}

/* At the high-water mark the next writer waits, one byte below it does not. */
TEST(writers_wait_from_the_high_water_mark_on)
{
	static char text[1000];
	struct world w;
	struct rl_stream *a = NULL, *b = NULL;
	if (!world_open(&w, "sim", 1, NULL) || !world_pair(&w, &a, &b))
		return;
	CHECK_EQ(rl_stream_extend(a), 0);
	a->more->write_high = sizeof text;
	CHECK_EQ(rl_out_begin(a, false), 0);
	rl_out_end(a, rl_out_write(a, text, sizeof text - 1));
	CHECK_EQ(rl_out_begin(a, false), 0);
	rl_out_end(a, rl_out_write(a, text, 1));
	CHECK_EQ(rl_out_begin(a, false), 1);
	rl_out_end(a, 0);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

/* What is received is what was sent, up to where memory ran out. */
static void play_stream(void)
{
	static char sent[4000], got[4000];
	struct world w;
	struct rl_stream *a = NULL, *b = NULL;
	if (!world_open(&w, "sim", 1, NULL) || !world_pair(&w, &a, &b))
		return;
	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i % 251);
	CHECK_EQ(SCARCE(rl_stream_extend(b)), scarce.failed ? -ENOMEM : 0);
	int err = SCARCE(rl_out_begin(a, false));
	for (size_t i = 0; i < sizeof sent && err >= 0; i += 500)
		err = SCARCE(rl_out_write(a, sent + i, 500));
	if (a->out)
		rl_out_end(a, err < 0 ? err : 0);
	CHECK(err >= 0 || scarce.failed > 0);
	SCARCE(rl_stream_expect(b, sizeof sent, sizeof sent));
	for (int i = 0; i < 40; i++)
		SCARCE((world_step(&w, 2), 0));
	uint32_t len = b->in.len;
	CHECK(len == sizeof sent || scarce.failed > 0);
	rl_bytes_copy(&b->in, 0, got, len);
	CHECK(memcmp(got, sent, len) == 0);
	rl_stream_consume(b, len);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_stream, 5);
}

int main(void)
{
	RUN(bytes_arrive_and_writes_of_one_turn_are_one_send);
	RUN(close_sends_what_is_queued);
	RUN(shutdown_closes_one_direction);
	RUN(abort_resets);
	RUN(a_slow_reader_bounds_both_sides);
	RUN(close_gives_up_after_five_seconds);
	RUN(a_total_limit_fails_the_stream);
	RUN(a_watched_stream_tells_for_how_long_nothing_came);
	RUN(what_comes_during_a_wait_did_not_come_before_it);
	RUN(a_loan_is_sent_without_a_copy_and_given_back);
	RUN(no_byte_is_lost_or_mixed_up_under_passing_faults);
	RUN(a_broken_connection_leaves_nothing_behind);
	RUN(the_end_of_the_run_frees_everything);
	RUN(writers_wait_from_the_high_water_mark_on);
	RUN(memory_runs_out_at_every_allocation);
	return FINISH();
}
