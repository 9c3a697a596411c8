/* SPDX-License-Identifier: MIT */
/* http_text: numbers as printf writes them, and what may be written. */
#include "base/http_text.h"

#include "check.h"

static const uint64_t numbers[] = {
	0, 1, 9, 10, 15, 16, 99, 100, 255, 256, 4095, 4096, 65535, 1u << 20, UINT32_MAX, 1ull << 32,
	INT64_MAX, UINT64_MAX - 1, UINT64_MAX,
};

TEST(numbers_as_printf_writes_them)
{
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		char want[40], got[40];
		int len = snprintf(want, sizeof want, "%llu", (unsigned long long)numbers[i]);
		CHECK_EQ(rl_http_text_decimal(got, numbers[i]), len);
		CHECK(len <= RL_HTTP_DECIMAL_MAX && memcmp(got, want, (size_t)len) == 0);
		len = snprintf(want, sizeof want, "%llx\r\n", (unsigned long long)numbers[i]);
		CHECK_EQ(rl_http_text_chunk(got, numbers[i]), len);
		CHECK(len <= RL_HTTP_CHUNK_MAX && memcmp(got, want, (size_t)len) == 0);
	}
}

TEST(tokens)
{
	CHECK(rl_http_text_is_token("X-Name", 6));
	CHECK(!rl_http_text_is_token("", 0));
	CHECK(!rl_http_text_is_token("X:", 2));
	CHECK(!rl_http_text_is_token("X Y", 3));
	CHECK(!rl_http_text_is_token("X\0", 2));
}

TEST(values)
{
	CHECK(rl_http_text_is_value("", 0));
	CHECK(rl_http_text_is_value("a b\tc \xff", 7));
	CHECK(!rl_http_text_is_value("a\r\nb: c", 7));
	CHECK(!rl_http_text_is_value("a\rb", 3));
	CHECK(!rl_http_text_is_value("a\nb", 3));
	CHECK(!rl_http_text_is_value("a\0b", 3));
	CHECK(!rl_http_text_is_value("a\x1f", 2));
	CHECK(!rl_http_text_is_value("a\x7f", 2));
	CHECK(!rl_http_text_is_value(" a", 2));
	CHECK(!rl_http_text_is_value("a\t", 2));
	CHECK(!rl_http_text_is_value(" ", 1));
}

TEST(targets)
{
	CHECK(rl_http_text_is_target("/a?b=c?d", 8));
	CHECK(rl_http_text_is_target("*", 1));
	CHECK(!rl_http_text_is_target("", 0));
	CHECK(!rl_http_text_is_target("/a b", 4));
	CHECK(!rl_http_text_is_target("/a\r\n", 4));
	CHECK(!rl_http_text_is_target("/#a", 3));
	CHECK(!rl_http_text_is_target("/\xc3\xa4", 3));
}

int main(void)
{
	RUN(numbers_as_printf_writes_them);
	RUN(tokens);
	RUN(values);
	RUN(targets);
	return FINISH();
}
