/* SPDX-License-Identifier: MIT */
/* http_error: every code has a name, a sentence and a status. */
#include "base/http_error.h"

#include "check.h"

TEST(every_code_is_described)
{
	for (int e = 1; e < RL_HTTP_ERROR_COUNT; e++) {
		const char *text = rl_http_error_text(e);
		CHECK(strspn(rl_http_error_name(e), "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") ==
			strlen(rl_http_error_name(e)));
		CHECK(strlen(text) > 10 && text[strlen(text) - 1] != '.');
		CHECK(rl_http_error_status(e) >= 400 && rl_http_error_status(e) <= 505);
		CHECK(rl_http_error_name(-e) == rl_http_error_name(e));
	}
}

TEST(some_of_them)
{
	CHECK(strcmp(rl_http_error_name(-RL_HTTP_LONG_TARGET), "LONG_TARGET") == 0);
	CHECK_EQ(rl_http_error_status(-RL_HTTP_LONG_TARGET), 414);
	CHECK_EQ(rl_http_error_status(RL_HTTP_LONG_LINE), 431);
	CHECK_EQ(rl_http_error_status(RL_HTTP_OTHER_CODING), 501);
	CHECK_EQ(rl_http_error_status(RL_HTTP_OTHER_VERSION), 505);
	CHECK_EQ(rl_http_error_status(RL_HTTP_LARGE_BODY), 413);
}

TEST(no_code)
{
	CHECK(strcmp(rl_http_error_name(RL_HTTP_ERROR_COUNT), "UNKNOWN") == 0);
	CHECK(strcmp(rl_http_error_name(-2147483647 - 1), "UNKNOWN") == 0);
	CHECK(strcmp(rl_http_error_name(0), "OK") == 0);
}

int main(void)
{
	RUN(every_code_is_described);
	RUN(some_of_them);
	RUN(no_code);
	return FINISH();
}
