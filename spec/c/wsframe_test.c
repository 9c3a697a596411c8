/* SPDX-License-Identifier: MIT */
/* wsframe: the examples of RFC 6455, section 5.7; every first two bytes; lengths at their bounds;
 * heads cut anywhere; masks at every length and offset. */
#include "base/wsframe.h"

#include "check.h"

#include "base/rand.h"

#include <stdlib.h>

/* Read from memory that ends where the bytes do. */
static int read_packed(struct rl_wsframe *f, const void *bytes, size_t len, bool masked,
	bool packed)
{
	void *copy = malloc(len > 0 ? len : 1);
	memcpy(copy, bytes, len);
	int got = rl_wsframe_read(f, copy, len, masked, packed);
	free(copy);
	return got;
}

static int read_exactly(struct rl_wsframe *f, const void *bytes, size_t len, bool masked)
{
	return read_packed(f, bytes, len, masked, false);
}

TEST(examples_of_the_rfc)
{
	struct rl_wsframe f;
	char hello[] = "\x7f\x9f\x4d\x51\x58";
	CHECK_EQ(read_exactly(&f, "\x81\x05Hello", 7, false), 2);
	CHECK(f.fin && f.op == RL_WS_TEXT && f.len == 5 && f.key == 0);
	CHECK_EQ(read_exactly(&f, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, true), 6);
	CHECK(f.fin && f.op == RL_WS_TEXT && f.len == 5);
	rl_wsframe_mask(hello, 5, f.key, 0);
	CHECK(memcmp(hello, "Hello", 5) == 0);
	CHECK_EQ(read_exactly(&f, "\x01\x03Hel", 5, false), 2);
	CHECK(!f.fin && f.op == RL_WS_TEXT && f.len == 3);
	CHECK_EQ(read_exactly(&f, "\x80\x02lo", 4, false), 2);
	CHECK(f.fin && f.op == RL_WS_MORE && f.len == 2);
	CHECK_EQ(read_exactly(&f, "\x89\x05Hello", 7, false), 2);
	CHECK(f.op == RL_WS_PING && f.len == 5);
	CHECK_EQ(read_exactly(&f, "\x82\x7e\x01\x00", 4, false), 4);
	CHECK(f.op == RL_WS_BINARY && f.len == 256);
	CHECK_EQ(read_exactly(&f, "\x82\x7f\0\0\0\0\0\x01\0\0", 10, false), 10);
	CHECK_EQ(f.len, 65536);
}

/* What must become of a frame that begins with these two bytes and has zeros behind them. */
static int expected(unsigned first, unsigned second, bool masked)
{
	unsigned op = first & 15, len = second & 127;
	bool control = op >= 8;
	if (first & 0x70)
		return -RL_WS_RESERVED_BIT;
	if ((op > 2 && op < 8) || op > 10)
		return -RL_WS_OPCODE;
	if (control && !(first & 0x80))
		return -RL_WS_CONTROL_FRAGMENT;
	if (masked != (second >= 128))
		return masked ? -RL_WS_UNMASKED : -RL_WS_MASKED;
	if (control && len > 125)
		return -RL_WS_CONTROL_LENGTH;
	if (len > 125)
		return -RL_WS_LENGTH;
	return masked ? 6 : 2;
}

TEST(every_first_two_bytes)
{
	struct rl_wsframe f;
	for (unsigned i = 0; i < 65536 * 2; i++) {
		unsigned char head[RL_WSFRAME_HEAD_MAX] = { i >> 8 & 255, i & 255 };
		int want = expected(head[0], head[1], i >> 16);
		if (read_exactly(&f, head, sizeof head, i >> 16) != want)
			CHECK_EQ(i, -1);
	}
}

TEST(lengths_at_their_bounds)
{
	static const struct {
		uint64_t len;
		size_t head;
	} want[] = {
		{ 0, 2 }, { 1, 2 }, { 124, 2 }, { 125, 2 }, { 126, 4 }, { 127, 4 }, { 65535, 4 },
		{ 65536, 10 }, { UINT32_MAX, 10 }, { INT64_MAX, 10 },
	};
	for (unsigned i = 0; i < 2 * sizeof want / sizeof *want; i++) {
		bool masked = i % 2;
		unsigned char head[RL_WSFRAME_HEAD_MAX];
		struct rl_wsframe g, f = {.len = want[i / 2].len, .key = masked ? 0x12345678 : 0,
			.op = RL_WS_BINARY, .fin = true};
		size_t n = rl_wsframe_write(&f, masked, head);
		CHECK_EQ(n, want[i / 2].head + (masked ? 4 : 0));
		for (size_t cut = 0; cut < n; cut++)
			CHECK_EQ(read_exactly(&g, head, cut, masked), 0);
		CHECK_EQ(read_exactly(&g, head, n, masked), n);
		CHECK(g.len == f.len && g.key == f.key && g.op == f.op && g.fin == f.fin);
	}
}

/* The first reserved bit is for the first frame of a message, where it was agreed on. */
TEST(messages_may_be_packed)
{
	struct rl_wsframe f;
	unsigned char head[RL_WSFRAME_HEAD_MAX];
	CHECK_EQ(read_packed(&f, "\xc1\0", 2, false, true), 2);
	CHECK(f.packed && f.op == RL_WS_TEXT);
	CHECK_EQ(rl_wsframe_write(&f, false, head), 2);
	CHECK_EQ(head[0], 0xc1);
	CHECK_EQ(read_packed(&f, "\x82\0", 2, false, true), 2);
	CHECK(!f.packed);
	CHECK_EQ(read_packed(&f, "\x42\0", 2, false, true), 2);
	CHECK(f.packed && !f.fin);
	CHECK_EQ(read_packed(&f, "\xc1\0", 2, false, false), -RL_WS_RESERVED_BIT);
	CHECK_EQ(read_packed(&f, "\xc0\0", 2, false, true), -RL_WS_RESERVED_BIT);
	CHECK_EQ(read_packed(&f, "\xc9\0", 2, false, true), -RL_WS_RESERVED_BIT);
	CHECK_EQ(read_packed(&f, "\xe1\0", 2, false, true), -RL_WS_RESERVED_BIT);
}

TEST(lengths_that_are_too_long)
{
	struct rl_wsframe f;
	CHECK_EQ(read_exactly(&f, "\x82\x7e\0\x7d", 4, false), -RL_WS_LENGTH);
	CHECK_EQ(read_exactly(&f, "\x82\x7e\0\x7e", 4, false), 4);
	CHECK_EQ(read_exactly(&f, "\x82\x7f\0\0\0\0\0\0\xff\xff", 10, false), -RL_WS_LENGTH);
	CHECK_EQ(read_exactly(&f, "\x82\x7f\x80\0\0\0\0\0\0\0", 10, false), -RL_WS_LENGTH_SIGN);
	CHECK_EQ(read_exactly(&f, "\x82\x7f\x80", 3, false), -RL_WS_LENGTH_SIGN);
	CHECK_EQ(read_exactly(&f, "\xc2", 1, false), -RL_WS_RESERVED_BIT);
	CHECK_EQ(read_exactly(&f, "\x83", 1, false), -RL_WS_OPCODE);
	CHECK_EQ(read_exactly(&f, "\x09", 1, false), -RL_WS_CONTROL_FRAGMENT);
}

TEST(masks_at_every_length_and_offset)
{
	static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
	uint32_t word;
	memcpy(&word, key, sizeof word);
	for (size_t len = 0; len < 100; len++) {
		for (uint64_t at = 0; at < 9; at++) {
			unsigned char *data = malloc(len > 0 ? len : 1);
			for (size_t i = 0; i < len; i++)
				data[i] = (unsigned char)(i * 7);
			rl_wsframe_mask(data, len, word, at);
			for (size_t i = 0; i < len; i++)
				CHECK_EQ(data[i], (unsigned char)(i * 7) ^ key[(i + at) % 4]);
			free(data);
		}
	}
}

/* Random heads, sound ones and others, at every cut: the answer does not depend on how they come,
 * and an error stays one. */
TEST(random_heads_cut_anywhere)
{
	struct rl_rand r;
	rl_rand_seed(&r, 3);
	for (int round = 0; round < 100000; round++) {
		unsigned char head[RL_WSFRAME_HEAD_MAX];
		struct rl_wsframe f, g;
		bool masked = round % 2;
		for (unsigned i = 0; i < sizeof head; i++)
			head[i] = (unsigned char)rl_rand_next(&r);
		head[0] &= rl_rand_below(&r, 4) > 0 ? 0x8f : 0xff;
		int all = read_exactly(&f, head, sizeof head, masked), got = 0;
		for (size_t cut = 0; cut <= sizeof head && got == 0; cut++) {
			got = read_exactly(&g, head, cut, masked);
			CHECK(got <= (int)cut);
		}
		CHECK(all != 0 && (got > 0) == (all > 0));
		if (all > 0)
			CHECK(got == all && f.len == g.len && f.key == g.key && !(f.len >> 63));
	}
}

TEST(close_codes)
{
	for (unsigned code = 0; code < 70000; code++) {
		bool is = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
			|| (code >= 3000 && code <= 4999);
		if (rl_wsframe_is_close_code(code) != is)
			CHECK_EQ(code, -1);
	}
}

TEST(every_error_has_a_code_and_words)
{
	for (int error = 1; error < RL_WS_ERRORS; error++) {
		unsigned code = rl_wsframe_error_close(error);
		CHECK(code == 1002 || code == 1007 || code == 1009);
		CHECK(*rl_wsframe_error_text(error));
	}
	CHECK_EQ(rl_wsframe_error_close(RL_WS_OK), 1000);
	CHECK(!*rl_wsframe_error_text(RL_WS_ERRORS));
}

int main(void)
{
	RUN(examples_of_the_rfc);
	RUN(every_first_two_bytes);
	RUN(lengths_at_their_bounds);
	RUN(messages_may_be_packed);
	RUN(lengths_that_are_too_long);
	RUN(masks_at_every_length_and_offset);
	RUN(random_heads_cut_anywhere);
	RUN(close_codes);
	RUN(every_error_has_a_code_and_words);
	return FINISH();
}
