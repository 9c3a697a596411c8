/* SPDX-License-Identifier: MIT */
/* err: every errno of the C library has its name here, and the library's own codes have theirs. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/err.h"

#include "check.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>

static bool named(int code, const char *name)
{
	return strcmp(rl_err_name(code), name) == 0;
}

static bool says(int code, const char *text)
{
	return strcmp(rl_err_text(code), text) == 0;
}

TEST(names_by_either_sign)
{
	CHECK(named(ETIMEDOUT, "ETIMEDOUT"));
	CHECK(named(-ETIMEDOUT, "ETIMEDOUT"));
	CHECK(named(-ECONNREFUSED, "ECONNREFUSED"));
	CHECK(says(-ECONNREFUSED, "connection refused"));
	CHECK(says(ETIMEDOUT, "timed out"));
	CHECK(named(EWOULDBLOCK, "EAGAIN"));
}

TEST(own_codes)
{
	CHECK(named(-RL_ECLOSED, "ECLOSED"));
	CHECK(named(-RL_EOF, "EOF"));
	CHECK(named(RL_ECANCEL, "ECANCELLED"));
	CHECK(says(-RL_EOF, "end of stream"));
	CHECK(named(-RL_ELOST, "ELOST"));
	CHECK(says(RL_ELOST, "lost"));
}

TEST(unknown_codes_are_safe)
{
	const int codes[] = { 0, 41, 58, 134, 500, RL_ECLOSED - 1, RL_ELOST + 1, INT_MAX, INT_MIN,
		INT_MIN + 1 };
	for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
		CHECK(named(codes[i], "EUNKNOWN"));
		CHECK(says(codes[i], "unknown error"));
	}
}

TEST(every_errno_of_the_c_library)
{
#ifndef __GLIBC__
	SKIP("strerrorname_np is glibc's");
#else
	int known = 0;
	for (int code = 1; code < RL_ECLOSED; code++) {
		const char *name = strerrorname_np(code);
		CHECK(named(-code, name ? name : "EUNKNOWN"));
		known += name != NULL;
	}
	CHECK(known >= 131);
#endif
}

/* Lower case but for acronyms, no full stop. */
TEST(texts_have_one_style)
{
	for (int code = 0; code <= RL_ECANCEL; code++) {
		const unsigned char *text = (const unsigned char *)rl_err_text(code);
		size_t len = strlen(rl_err_text(code));
		CHECK(len > 3 && text[len - 1] != '.');
		CHECK(!isupper(text[0]) || isupper(text[1]) || text[1] == '/');
	}
}

int main(void)
{
	RUN(names_by_either_sign);
	RUN(own_codes);
	RUN(unknown_codes_are_safe);
	RUN(every_errno_of_the_c_library);
	RUN(texts_have_one_style);
	return FINISH();
}
