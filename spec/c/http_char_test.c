/* SPDX-License-Identifier: MIT */
/* http_char: the classes against the RFCs' own lists, and the fast loops against the slow. */
#include "base/http_char.h"

#include "check.h"

#include "base/rand.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void check_class(unsigned class, const char *members)
{
	for (int c = 1; c < 256; c++)
		CHECK(rl_http_is((unsigned char)c, class) == (strchr(members, c) != NULL));
	CHECK(!rl_http_is(0, class));
}

TEST(classes_are_those_of_the_grammar)
{
	check_class(RL_HTTP_TOKEN, ALNUM "!#$%&'*+-.^_`|~");       /* RFC 9110 5.6.2 */
	check_class(RL_HTTP_REG_NAME, ALNUM "-._~!$&'()*+,;=");    /* RFC 3986 3.2.2, but % */
	check_class(RL_HTTP_PATH, ALNUM "-._~!$&'()*+,;=:@/%" "[]\\^`{|}");
	check_class(RL_HTTP_DIGIT, "0123456789");
	check_class(RL_HTTP_HEX, "0123456789abcdefABCDEF");
	for (int c = 0; c < 256; c++)
		CHECK(rl_http_is((unsigned char)c, RL_HTTP_TEXT) == (c == '\t' || (c >= ' ' && c != 0x7f)));
}

TEST(the_fast_loop_stops_where_the_slow_one_does)
{
	struct rl_rand r;
	rl_rand_seed(&r, 1);
	for (int round = 0; round < 200000; round++) {
		unsigned char text[40];
		size_t from = rl_rand_below(&r, 9), len = from + rl_rand_below(&r, 32);
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = rl_rand_below(&r, 12) ? (unsigned char)(' ' + rl_rand_below(&r, 224)) :
				(unsigned char)rl_rand_next(&r);
		if (rl_rand_below(&r, 2))
			text[rl_rand_below(&r, sizeof text)] = '\t';
		CHECK(rl_http_skip_text(text + from, text + len) ==
			rl_http_skip(text + from, text + len, RL_HTTP_TEXT));
	}
}

TEST(every_byte_at_every_place_of_a_word)
{
	for (int c = 0; c < 256; c++) {
		for (int at = 0; at < 16; at++) {
			unsigned char text[16];
			memset(text, 'a', sizeof text);
			text[at] = (unsigned char)c;
			bool is_text = rl_http_is((unsigned char)c, RL_HTTP_TEXT);
			CHECK(rl_http_skip_text(text, text + 16) == text + (is_text ? 16 : at));
		}
	}
}

TEST(texts_are_compared_without_case)
{
	static const char lower[] = "content-length-1234567890";
	for (size_t len = 1; len < sizeof lower; len++) {
		unsigned char text[sizeof lower];
		for (size_t i = 0; i < len; i++)
			text[i] = (unsigned char)(lower[i] >= 'a' && i % 2 ? lower[i] - 32 : lower[i]);
		CHECK(rl_http_same(text, lower, len));
		CHECK(rl_http_same_text(text, (const unsigned char *)lower, len));
		for (size_t i = 0; i < len; i++) {
			unsigned char was = text[i];
			text[i] = 'x';
			CHECK(!rl_http_same(text, lower, len));
			CHECK(!rl_http_same_text(text, (const unsigned char *)lower, len));
			text[i] = was;
		}
	}
	CHECK(!rl_http_same_text((const unsigned char *)"[", (const unsigned char *)"{", 1));
	CHECK(!rl_http_same_text((const unsigned char *)"@", (const unsigned char *)"`", 1));
}

TEST(numbers)
{
	uint64_t n = 7;
	CHECK_EQ(rl_http_number((const unsigned char *)"", 0, 9, &n), -1);
	CHECK_EQ(rl_http_number((const unsigned char *)"x", 1, 9, &n), -1);
	CHECK_EQ(rl_http_number((const unsigned char *)"1x", 2, 99, &n), -1);
	CHECK_EQ(rl_http_number((const unsigned char *)"/", 1, 99, &n), -1);
	CHECK_EQ(rl_http_number((const unsigned char *)":", 1, 99, &n), -1);
	CHECK_EQ(n, 7);
	CHECK_EQ(rl_http_number((const unsigned char *)"0042", 4, 42, &n), 0);
	CHECK_EQ(n, 42);
	CHECK_EQ(rl_http_number((const unsigned char *)"43", 2, 42, &n), -1);
	CHECK_EQ(rl_http_number((const unsigned char *)"18446744073709551615", 20, UINT64_MAX, &n), 0);
	CHECK(n == UINT64_MAX);
	CHECK_EQ(rl_http_number((const unsigned char *)"18446744073709551616", 20, UINT64_MAX, &n), -1);
}

TEST(white_space_is_trimmed)
{
	const unsigned char text[] = " \t a b\t ";
	const unsigned char *from = text, *to = text + sizeof text - 1;
	rl_http_trim(&from, &to);
	CHECK_EQ(to - from, 3);
	CHECK_EQ(from - text, 3);
	from = text;
	to = text + 3;
	rl_http_trim(&from, &to);
	CHECK(from == to);
}

int main(void)
{
	RUN(classes_are_those_of_the_grammar);
	RUN(the_fast_loop_stops_where_the_slow_one_does);
	RUN(every_byte_at_every_place_of_a_word);
	RUN(texts_are_compared_without_case);
	RUN(numbers);
	RUN(white_space_is_trimmed);
	return FINISH();
}
