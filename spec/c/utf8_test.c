/* SPDX-License-Identifier: MIT */
/* utf8: every character, what is none, cuts anywhere, and random bytes against a plain decoder. */
#include "base/utf8.h"

#include "check.h"

#include "base/rand.h"

#include <stdlib.h>

static size_t encode(uint32_t c, unsigned char *out)
{
	if (c < 0x80) {
		out[0] = (unsigned char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (unsigned char)(0x80 | (c & 0x3f));
	out[0] = (unsigned char)(c | (0xf00u >> n & 0xff));
	return n;
}

/* The rule as RFC 3629 puts it: decode, then encode, must give the same bytes. */
static bool is_plainly_valid(const unsigned char *p, size_t len)
{
	unsigned char again[4];
	for (size_t at = 0; at < len;) {
		unsigned char c = p[at];
		size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
		if (n == 0 || c > 0xf7 || n > len - at)
			return false;
		uint32_t code = n == 1 ? c : c & (0xffu >> (n + 1));
		for (size_t i = 1; i < n; i++)
			code = code << 6 | (p[at + i] & 0x3f);
		if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
			return false;
		if (encode(code, again) != n || memcmp(again, p + at, n) != 0)
			return false;
		at += n;
	}
	return true;
}

TEST(every_character)
{
	unsigned char text[4];
	for (uint32_t c = 0; c < 0x120000; c++) {
		size_t n = encode(c, text);
		bool is = c <= 0x10ffff && (c < 0xd800 || c >= 0xe000);
		if (rl_utf8_is_valid((char *)text, n) != is)
			CHECK_EQ(c, -1);
	}
}

TEST(what_is_none)
{
	static const char *const bad[] = {
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff",
		"\xe2\x82", "\xf0\x9f\x98", "0123456789abcdef\x80", "0123456789abcdef0123456\xff",
	};
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!rl_utf8_is_valid(bad[i], strlen(bad[i])));
}

/* A byte that cannot begin or go on with a character is told of when it comes. */
TEST(errors_are_found_at_once)
{
	struct rl_utf8 u = {0};
	CHECK(rl_utf8_feed(&u, "\xf4", 1));
	CHECK(!rl_utf8_is_done(&u));
	CHECK(!rl_utf8_feed(&u, "\x90", 1));
	u = (struct rl_utf8){0};
	CHECK(rl_utf8_feed(&u, "\xed\x9f", 2));
	CHECK(rl_utf8_feed(&u, "\xbf", 1));
	CHECK(rl_utf8_is_done(&u));
}

static bool fed_in_two(const char *text, size_t len, size_t cut)
{
	struct rl_utf8 u = {0};
	return rl_utf8_feed(&u, text, cut) && rl_utf8_feed(&u, text + cut, len - cut)
		&& rl_utf8_is_done(&u);
}

/* Mostly characters, now and then a byte that spoils them; cut at every place. */
TEST(random_texts_cut_anywhere)
{
	struct rl_rand r;
	unsigned valid = 0;
	rl_rand_seed(&r, 2);
	for (int round = 0; round < 20000; round++) {
		unsigned char buffer[64];
		size_t len = 0;
		while (len < 40 && rl_rand_below(&r, 12) > 0) {
			uint32_t bits = (uint32_t)rl_rand_below(&r, 22);
			len += encode((uint32_t)rl_rand_below(&r, 1u << bits), buffer + len);
		}
		if (len > 0 && rl_rand_below(&r, 3) == 0)
			buffer[rl_rand_below(&r, len)] = (unsigned char)rl_rand_next(&r);
		char *text = malloc(len + 1); /* so that a sanitizer sees its end */
		memcpy(text, buffer, len);
		bool is = is_plainly_valid(buffer, len);
		valid += is;
		CHECK_EQ(rl_utf8_is_valid(text, len), is);
		for (size_t cut = 0; cut <= len; cut++)
			CHECK_EQ(fed_in_two(text, len, cut), is);
		free(text);
	}
	CHECK(valid > 2000 && valid < 18000);
}

int main(void)
{
	RUN(every_character);
	RUN(what_is_none);
	RUN(errors_are_found_at_once);
	RUN(random_texts_cut_anywhere);
	return FINISH();
}
