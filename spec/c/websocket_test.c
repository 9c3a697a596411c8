/* SPDX-License-Identifier: MIT */
/* websocket: messages over a stream, on sim and on uring: fragments, cuts anywhere, the answers to
 * control frames, what a peer must not do, and the end. */
#include "rt/websocket.h"

#include "base/rand.h"

#include "world.h"
#include "scarce.h"

#include <stdlib.h>

static const char *const backends[] = {"sim", "uring"};

/* A server's end over stream `b`, whose peer is the bare stream `a`. */
struct peers {
	struct world w;
	struct rl_stream *a, *b;
	struct rl_waitq readers, closers;
	struct rl_websocket ws;
};

static bool open_peers(struct peers *p, const char *backend, const struct rl_websocket_config *c)
{
	if (!world_open(&p->w, backend, 1, NULL))
		return false;
	CHECK(world_pair(&p->w, &p->a, &p->b));
	rl_waitq_init(&p->readers);
	rl_waitq_init(&p->closers);
	rl_websocket_init(&p->ws, c, &p->readers, &p->closers);
	CHECK_EQ(rl_websocket_attach(&p->ws, p->b), 0);
	rl_stream_expect(p->a, 1, 1);
	return true;
}

static void close_peers(struct peers *p)
{
	rl_websocket_term(&p->ws);
	world_drop(&p->a);
	world_drop(&p->b);
	world_settle(&p->w);
	world_close(&p->w);
}

static const struct rl_websocket_config usual = {.message_max = 4000, .frame_max = 3000};

static void on_each(void (*fn)(struct peers *p))
{
	for (unsigned i = 0; i < 2; i++) {
		struct peers p;
		if (!open_peers(&p, backends[i], &usual))
			continue;
		fn(&p);
		close_peers(&p);
	}
}

static void put(struct peers *p, const void *data, size_t len)
{
	int err = rl_out_begin(p->a, false);
	CHECK(err >= 0);
	if (err < 0)
		return;
	rl_out_write(p->a, data, len);
	rl_out_end(p->a, 0);
}

/* A masked frame into `out`; its length. */
static size_t frame(char *out, unsigned op, bool fin, const char *data, size_t len)
{
	struct rl_wsframe f = {.len = len, .key = 0xa1b2c3d4, .op = (uint8_t)op, .fin = fin};
	size_t n = rl_wsframe_write(&f, true, out);
	memcpy(out + n, data, len);
	rl_wsframe_mask(out + n, len, f.key, 0);
	return n + len;
}

static void put_frame(struct peers *p, unsigned op, bool fin, const char *data, size_t len)
{
	static char text[8192];
	put(p, text, frame(text, op, fin, data, len));
}

static void expect_message(struct peers *p, const char *data, size_t len, bool text)
{
	size_t got = 0;
	WORLD_UNTIL(&p->w, rl_websocket_has_news(&p->ws));
	const char *message = rl_websocket_message(&p->ws, &got);
	CHECK(message != NULL);
	if (!message)
		return;
	CHECK_EQ(got, len);
	CHECK_EQ(rl_websocket_is_text(&p->ws), text);
	CHECK(memcmp(message, data, len < got ? len : got) == 0);
	rl_websocket_took(&p->ws);
}

/* What the peer gets next is exactly this. */
static void expect_bytes(struct peers *p, const char *want, uint32_t len)
{
	char got[512] = "";
	rl_stream_expect(p->a, len, len);
	WORLD_UNTIL(&p->w, rl_stream_has(p->a, len) != -EAGAIN);
	CHECK_EQ(rl_stream_has(p->a, len), 0);
	if (rl_stream_has(p->a, len) != 0)
		return;
	rl_bytes_copy(&p->a->in, 0, got, len);
	CHECK(memcmp(got, want, len) == 0);
	rl_stream_consume(p->a, len);
}

static void messages(struct peers *p)
{
	static char big[3000];
	memset(big, 'b', sizeof big);
	put_frame(p, RL_WS_TEXT, true, "hello", 5);
	put_frame(p, RL_WS_BINARY, true, "\xff\0\x80", 3);
	put_frame(p, RL_WS_TEXT, true, "", 0);
	put_frame(p, RL_WS_BINARY, true, big, sizeof big);
	expect_message(p, "hello", 5, true);
	expect_message(p, "\xff\0\x80", 3, false);
	expect_message(p, "", 0, true);
	expect_message(p, big, sizeof big, false);
	CHECK(!rl_websocket_has_news(&p->ws));
	CHECK_EQ(p->ws.counts.messages_in, 4);
	CHECK(p->ws.text == NULL);
}

TEST(messages_come_one_by_one)
{
	on_each(messages);
}

static void fragments(struct peers *p)
{
	put_frame(p, RL_WS_TEXT, false, "h\xc3", 2);
	put_frame(p, RL_WS_PING, true, "one", 3);
	put_frame(p, RL_WS_MORE, false, "\xa4", 1);
	put_frame(p, RL_WS_PONG, true, "", 0);
	put_frame(p, RL_WS_MORE, false, "", 0);
	put_frame(p, RL_WS_MORE, true, "l", 1);
	expect_message(p, "h\xc3\xa4l", 4, true);
	expect_bytes(p, "\x8a\x03one", 5);
	CHECK_EQ(p->ws.counts.pings_in, 1);
	CHECK_EQ(p->ws.counts.pongs_in, 1);
}

TEST(fragments_make_a_message_around_control_frames)
{
	on_each(fragments);
}

/* A fragmented text with a ping in it, then a binary message and a close. */
static size_t conversation(char *out)
{
	size_t n = frame(out, RL_WS_TEXT, false, "gr\xc3\xbc\xc3", 5);
	n += frame(out + n, RL_WS_PING, true, "beat", 4);
	n += frame(out + n, RL_WS_MORE, true, "\x9f"" Gott", 6);
	n += frame(out + n, RL_WS_BINARY, true, "0123456789", 10);
	n += frame(out + n, RL_WS_CLOSE, true, "\x0f\xa0""bye", 5);
	return n;
}

static void expect_conversation(struct peers *p)
{
	expect_message(p, "gr\xc3\xbc\xc3\x9f Gott", 11, true);
	expect_message(p, "0123456789", 10, false);
	WORLD_UNTIL(&p->w, p->ws.verdict != 0);
	CHECK_EQ(p->ws.verdict, -RL_ECLOSED);
	CHECK_EQ(p->ws.close_code, 4000);
	CHECK_EQ(p->ws.reason_len, 3);
	expect_bytes(p, "\x8a\x04""beat\x88\x02\x0f\xa0", 10);
}

TEST(a_conversation_cut_in_two_anywhere)
{
	char text[256];
	size_t len = conversation(text);
	for (size_t cut = 0; cut <= len; cut++) {
		struct peers p;
		if (!open_peers(&p, "sim", &usual))
			return;
		put(&p, text, cut);
		world_step(&p.w, 5);
		world_step(&p.w, 5);
		put(&p, text + cut, len - cut);
		expect_conversation(&p);
		close_peers(&p);
	}
}

TEST(a_conversation_byte_by_byte)
{
	char text[256];
	size_t len = conversation(text);
	struct peers p;
	if (!open_peers(&p, "sim", &usual))
		return;
	for (size_t i = 0; i < len; i++) {
		put(&p, text + i, 1);
		for (int k = 0; k < 3; k++)
			world_step(&p.w, 2);
	}
	expect_conversation(&p);
	close_peers(&p);
}

struct wrong {
	const char *bytes;
	size_t len;
	unsigned error;
};

#define WRONG(text, error) { text, sizeof(text) - 1, error }

static const struct wrong wrongs[] = {
	WRONG("\xc1\x80\0\0\0\0", RL_WS_RESERVED_BIT),
	WRONG("\xa1\x80\0\0\0\0", RL_WS_RESERVED_BIT),
	WRONG("\x91\x80\0\0\0\0", RL_WS_RESERVED_BIT),
	WRONG("\x83\x80\0\0\0\0", RL_WS_OPCODE),
	WRONG("\x8b\x80\0\0\0\0", RL_WS_OPCODE),
	WRONG("\x81\x01x", RL_WS_UNMASKED),
	WRONG("\x89\xfe\0\x7e\0\0\0\0", RL_WS_CONTROL_LENGTH),
	WRONG("\x09\x80\0\0\0\0", RL_WS_CONTROL_FRAGMENT),
	WRONG("\x82\xfe\0\x7d\0\0\0\0", RL_WS_LENGTH),
	WRONG("\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", RL_WS_LENGTH),
	WRONG("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", RL_WS_LENGTH_SIGN),
	WRONG("\x80\x81\0\0\0\0x", RL_WS_NOTHING_TO_CONTINUE),
	WRONG("\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y", RL_WS_MESSAGE_IN_MESSAGE),
	WRONG("\x88\x81\0\0\0\0x", RL_WS_CLOSE_LENGTH),
	WRONG("\x88\x82\0\0\0\0\x03\xe7", RL_WS_CLOSE_CODE),
	WRONG("\x88\x82\0\0\0\0\x03\xed", RL_WS_CLOSE_CODE),
	WRONG("\x88\x83\0\0\0\0\x03\xe8\xff", RL_WS_NOT_UTF8),
	WRONG("\x81\x81\0\0\0\0\xff", RL_WS_NOT_UTF8),
	WRONG("\x81\x81\0\0\0\0\xc3", RL_WS_NOT_UTF8),
	WRONG("\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0x", RL_WS_NOT_UTF8),
	WRONG("\x01\x81\0\0\0\0\xc3\x80\x80\0\0\0\0", RL_WS_NOT_UTF8),
	WRONG("\x81\x85\0\0\0\0\xff", RL_WS_NOT_UTF8), /* although more is to come */
	WRONG("\x82\xfe\x0b\xb9\0\0\0\0", RL_WS_FRAME_SIZE),
	WRONG("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", RL_WS_FRAME_SIZE),
};

/* The close frame that answers, then the end of the stream. */
static void expect_refusal(struct peers *p, unsigned error)
{
	unsigned code = rl_wsframe_error_close((int)error);
	char want[4] = {(char)0x88, 2, (char)(code >> 8), (char)code};
	int64_t from = p->w.shard.now_ns;
	expect_bytes(p, want, sizeof want);
	CHECK_EQ(p->ws.verdict, -EPROTO);
	CHECK_EQ(p->ws.error, error);
	CHECK_EQ(p->ws.close_code, code);
	CHECK(!p->ws.ready && !p->ws.text);
	rl_stream_expect(p->a, 1, 1);
	WORLD_UNTIL(&p->w, rl_stream_status(p->a) == -RL_EOF);
	if (p->w.shard.os->closed_world) /* where time passes only while it is waited for */
		CHECK(p->w.shard.now_ns - from < RL_WEBSOCKET_END_NS / 2);
}

TEST(what_a_client_must_not_do)
{
	for (unsigned i = 0; i < 2 * sizeof wrongs / sizeof *wrongs; i++) {
		struct peers p;
		const struct wrong *x = &wrongs[i / 2];
		if (!open_peers(&p, backends[i % 2], &usual))
			continue;
		put(&p, x->bytes, x->len);
		expect_refusal(&p, x->error);
		if (check_bad)
			printf("    number %u\n", i / 2);
		close_peers(&p);
	}
}

static void limits(struct peers *p)
{
	static char text[4000];
	memset(text, 'x', sizeof text);
	put_frame(p, RL_WS_BINARY, false, text, 3000);
	put_frame(p, RL_WS_MORE, true, text, 1000);
	expect_message(p, text, 4000, false);
	put_frame(p, RL_WS_BINARY, false, text, 3000);
	put_frame(p, RL_WS_MORE, true, text, 1001);
	expect_refusal(p, RL_WS_MESSAGE_SIZE);
}

TEST(limits_at_their_bounds)
{
	on_each(limits);
}

static void close_by_us(struct peers *p)
{
	put_frame(p, RL_WS_TEXT, false, "half", 4);
	WORLD_UNTIL(&p->w, p->ws.len == 4);
	rl_websocket_close(&p->ws, 3999, "enough", 6);
	rl_websocket_close(&p->ws, 1000, "again", 5);
	CHECK_EQ(p->ws.state, RL_WEBSOCKET_CLOSING);
	CHECK_EQ(p->ws.verdict, -RL_ECLOSED);
	CHECK_EQ(rl_websocket_control(&p->ws, RL_WS_PING, "", 0), -RL_ECLOSED);
	expect_bytes(p, "\x88\x08\x0f\x9f""enough", 10);
	put_frame(p, RL_WS_MORE, true, "dropped", 7);
	put_frame(p, RL_WS_PING, true, "not answered", 12);
	put_frame(p, RL_WS_CLOSE, true, "", 0);
	WORLD_UNTIL(&p->w, rl_websocket_has_ended(&p->ws));
	CHECK_EQ(p->ws.close_code, RL_WEBSOCKET_NO_CODE);
	rl_stream_expect(p->a, 1, 1);
	WORLD_UNTIL(&p->w, rl_stream_status(p->a) == -RL_EOF);
	world_drop(&p->a);
	WORLD_UNTIL(&p->w, p->ws.state == RL_WEBSOCKET_OVER);
	CHECK(p->b->flags & RL_STREAM_CLOSED);
}

TEST(closing_drops_what_comes_and_waits_for_the_peer)
{
	on_each(close_by_us);
}

static void lost(struct peers *p)
{
	put_frame(p, RL_WS_TEXT, true, "last", 4);
	put(p, "\x81\x85", 2);
	rl_out_shutdown(p->a);
	expect_message(p, "last", 4, true);
	WORLD_UNTIL(&p->w, p->ws.verdict != 0);
	CHECK_EQ(p->ws.verdict, -RL_EOF);
	CHECK_EQ(p->ws.close_code, RL_WEBSOCKET_ABNORMAL);
	WORLD_UNTIL(&p->w, p->ws.state == RL_WEBSOCKET_OVER);
}

TEST(a_peer_that_vanishes_in_a_frame)
{
	on_each(lost);
}

static void aborted_unread(struct peers *p)
{
	size_t len;
	put_frame(p, RL_WS_TEXT, true, "unread", 6);
	WORLD_UNTIL(&p->w, p->ws.ready);
	rl_stream_abort(p->b);
	CHECK_EQ(p->ws.verdict, -RL_ECLOSED);
	CHECK(rl_websocket_message(&p->ws, &len) == NULL);
}

TEST(a_message_that_nobody_took_goes_with_the_stream)
{
	on_each(aborted_unread);
}

/* Who pings and does not read gets no more pongs than there is room for. */
static void flood(struct peers *p)
{
	uint32_t most = 0;
	if (strcmp(p->w.shard.os->ops->name, "sim") != 0)
		return;
	char payload[RL_WSFRAME_CONTROL_MAX] = "";
	rl_stream_extend(p->a);
	p->a->more->read_high = 1;
	for (int i = 0; i < 20000; i++) {
		if (!p->a->out || p->a->out->queue.len < 4096)
			put_frame(p, RL_WS_PING, true, payload, sizeof payload);
		world_step(&p->w, 1);
		if (p->b->out && p->b->out->queue.len > most)
			most = p->b->out->queue.len;
	}
	CHECK(p->ws.counts.pings_in > 10000);
	CHECK(most <= RL_WRITE_HIGH + 16384 + 256);
}

TEST(a_flood_of_pings_is_bounded)
{
	on_each(flood);
}

static void left(struct peers *p)
{
	rl_websocket_leave(&p->ws, 1011);
	CHECK(p->ws.stream == NULL && !(p->b->flags & RL_STREAM_FRAMED));
	expect_bytes(p, "\x88\x02\x03\xf3", 4);
	rl_websocket_term(&p->ws);
	rl_websocket_term(&p->ws);
	put_frame(p, RL_WS_TEXT, true, "nobody", 6);
	rl_stream_expect(p->b, 1, 1);
	WORLD_UNTIL(&p->w, rl_stream_status(p->b) == 0);
}

TEST(leaving_gives_the_stream_back)
{
	on_each(left);
}

/* Text that is packed is not looked at; who unpacks it says what is wrong. */
TEST(packed_messages_are_the_callers)
{
	struct rl_websocket_config c = {.packed = true, .message_max = 4000, .frame_max = 3000};
	struct peers p;
	size_t len = 0;
	if (!open_peers(&p, "sim", &c))
		return;
	put(&p, "\xc1\x81\0\0\0\0\xff\x41\x81\0\0\0\0\xfe\x80\x81\0\0\0\0\xfd\x81\x81\0\0\0\0x", 28);
	WORLD_UNTIL(&p.w, p.ws.ready);
	CHECK(rl_websocket_is_packed(&p.ws) && rl_websocket_is_text(&p.ws));
	CHECK(memcmp(rl_websocket_message(&p.ws, &len), "\xff", 1) == 0 && len == 1);
	rl_websocket_took(&p.ws);
	WORLD_UNTIL(&p.w, p.ws.ready);
	CHECK(rl_websocket_is_packed(&p.ws));
	CHECK(memcmp(rl_websocket_message(&p.ws, &len), "\xfe\xfd", 2) == 0 && len == 2);
	rl_websocket_took(&p.ws);
	WORLD_UNTIL(&p.w, p.ws.ready);
	CHECK(!rl_websocket_is_packed(&p.ws));
	rl_websocket_refuse(&p.ws, RL_WS_NOT_PACKED);
	expect_refusal(&p, RL_WS_NOT_PACKED);
	rl_websocket_refuse(&p.ws, RL_WS_MESSAGE_SIZE);
	CHECK_EQ(p.ws.error, RL_WS_NOT_PACKED);
	close_peers(&p);
}

/* A client's frames are masked, each with another key; a server may not mask. */
TEST(the_client_masks)
{
	struct rl_websocket_config c = {true, false, 1000, 1000, {1, 2}};
	struct peers p;
	struct rl_wsframe f[2];
	char got[2][600];
	if (!open_peers(&p, "sim", &c))
		return;
	for (int i = 0; i < 2; i++) {
		char text[590];
		memset(text, 'm', sizeof text);
		CHECK_EQ(rl_out_begin(p.b, false), 0);
		CHECK_EQ(rl_websocket_write(&p.ws, RL_WS_TEXT, false, text, sizeof text), 0);
		rl_out_end(p.b, 0);
		rl_stream_expect(p.a, 598, 598);
		WORLD_UNTIL(&p.w, rl_stream_has(p.a, 598) == 0);
		rl_bytes_copy(&p.a->in, 0, got[i], 598);
		rl_stream_consume(p.a, 598);
		CHECK_EQ(rl_wsframe_read(&f[i], got[i], 598, true, false), 8);
		rl_wsframe_mask(got[i] + 8, 590, f[i].key, 0);
		CHECK(memcmp(got[i] + 8, text, 590) == 0);
	}
	CHECK(f[0].key != f[1].key);
	put(&p, "\x81\x80\0\0\0\0", 6);
	WORLD_UNTIL(&p.w, p.ws.verdict != 0);
	CHECK_EQ(p.ws.error, RL_WS_MASKED);
	close_peers(&p);
}

/* Random bytes and random frames: it always ends in a verdict or waits, and frees all. */
TEST(random_frames)
{
	struct rl_rand r;
	rl_rand_seed(&r, 4);
	for (int round = 0; round < 300; round++) {
		struct peers p;
		char text[400];
		if (!open_peers(&p, "sim", &usual))
			return;
		for (int i = 0; i < 12 && p.ws.state < RL_WEBSOCKET_ENDING; i++) {
			static const uint8_t ops[] = {0, 0, 1, 2, 9, 10, 8, 3};
			size_t len = rl_rand_below(&r, 120), n;
			memset(text, 'r', sizeof text);
			n = frame(text, ops[rl_rand_below(&r, i < 3 ? 4 : 8)], rl_rand_below(&r, 2), text + 200,
				len);
			if (rl_rand_below(&r, 8) == 0)
				text[rl_rand_below(&r, n)] ^= (char)(1 << rl_rand_below(&r, 8));
			if (!(p.a->flags & RL_STREAM_EOF) && !p.a->out_err)
				put(&p, text, n);
			world_step(&p.w, 3);
			if (p.ws.ready && rl_rand_below(&r, 2))
				rl_websocket_took(&p.ws);
		}
		close_peers(&p);
	}
}

/* The message that is ready, if one is, is this. False: none comes any more. */
static bool take_scarce(struct peers *p, const char *data, size_t len)
{
	size_t got = 0;
	for (int i = 0; i < 40 && !rl_websocket_has_news(&p->ws); i++)
		SCARCE((world_step(&p->w, 2), 0));
	const char *message = rl_websocket_message(&p->ws, &got);
	if (!message)
		return false;
	CHECK(got == len && memcmp(message, data, len) == 0);
	SCARCE((rl_websocket_took(&p->ws), 0));
	return true;
}

static void send_scarce(struct peers *p, const char *data, size_t len)
{
	int err = SCARCE(rl_out_begin(p->b, false));
	if (err < 0)
		return;
	err = SCARCE(rl_websocket_write(&p->ws, RL_WS_BINARY, false, data, len));
	rl_out_end(p->b, err);
}

/* Messages in one and in several pieces, a ping, one the other way, and the end. */
static void play_messages(void)
{
	static char big[3000];
	struct peers p;
	memset(&p, 0, sizeof p);
	memset(big, 'b', sizeof big);
	CHECK(world_open(&p.w, "sim", 1, NULL) && world_pair(&p.w, &p.a, &p.b));
	rl_waitq_init(&p.readers);
	rl_waitq_init(&p.closers);
	rl_websocket_init(&p.ws, &usual, &p.readers, &p.closers);
	rl_stream_extend(p.a);
	p.a->more->write_high = 1 << 20;
	rl_stream_expect(p.a, 1, 1);
	int err = SCARCE(rl_websocket_attach(&p.ws, p.b));
	CHECK(err == 0 || (err == -ENOMEM && scarce.failed > 0));
	if (err == 0) {
		put_frame(&p, RL_WS_TEXT, true, "hello", 5);
		put_frame(&p, RL_WS_BINARY, false, big, 1500);
		put_frame(&p, RL_WS_PING, true, "one", 3);
		put_frame(&p, RL_WS_MORE, true, big + 1500, 1500);
		bool all = take_scarce(&p, "hello", 5) && take_scarce(&p, big, sizeof big);
		CHECK(all || scarce.failed > 0);
		CHECK(all || p.ws.verdict == -ENOMEM || p.a->out_err == -ENOMEM);
		send_scarce(&p, big, sizeof big);
		SCARCE((rl_websocket_close(&p.ws, 1000, "bye", 3), 0));
		for (int i = 0; i < 20; i++)
			SCARCE((world_step(&p.w, 2), 0));
		CHECK(p.ws.verdict != 0);
	}
	close_peers(&p);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_messages, 5);
}

int main(void)
{
	RUN(messages_come_one_by_one);
	RUN(fragments_make_a_message_around_control_frames);
	RUN(a_conversation_cut_in_two_anywhere);
	RUN(a_conversation_byte_by_byte);
	RUN(what_a_client_must_not_do);
	RUN(limits_at_their_bounds);
	RUN(closing_drops_what_comes_and_waits_for_the_peer);
	RUN(a_peer_that_vanishes_in_a_frame);
	RUN(a_message_that_nobody_took_goes_with_the_stream);
	RUN(a_flood_of_pings_is_bounded);
	RUN(leaving_gives_the_stream_back);
	RUN(packed_messages_are_the_callers);
	RUN(the_client_masks);
	RUN(random_frames);
	RUN(memory_runs_out_at_every_allocation);
	return FINISH();
}
