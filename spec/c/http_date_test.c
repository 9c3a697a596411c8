/* SPDX-License-Identifier: MIT */
/* http_date: the dates of the RFC, the C library's calendar, what is no date. */
#define _GNU_SOURCE /* timegm */
#include "base/http_date.h"

#include "check.h"

#include "base/rand.h"

#include <time.h>

#define NOW 1700000000 /* 2023 */

static int64_t parse(const char *text)
{
	int64_t seconds = -7;
	int got = rl_http_date_parse(text, strlen(text), NOW, &seconds);
	CHECK(got == 0 || (got == -1 && seconds == -7));
	return got == 0 ? seconds : -1;
}

TEST(the_three_forms)
{
	CHECK_EQ(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
	CHECK_EQ(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
	CHECK_EQ(parse("Sun Nov  6 08:49:37 1994"), 784111777);
	CHECK_EQ(parse("Wed Nov 16 08:49:37 1994"), 784975777);
	CHECK_EQ(parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
	CHECK_EQ(parse("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228800);
}

TEST(years_of_two_digits)
{
	CHECK_EQ(parse("Saturday, 01-Jan-00 00:00:00 GMT"), 946684800);
	CHECK_EQ(parse("Monday, 01-Jan-73 00:00:00 GMT"), 3250454400);  /* 2073: 50 years on */
	CHECK_EQ(parse("Tuesday, 01-Jan-74 00:00:00 GMT"), 126230400);  /* 1974 */
	CHECK_EQ(parse("Wednesday, 01-Jan-23 00:00:00 GMT"), 1672531200);
}

TEST(what_is_no_date)
{
	static const char *const bad[] = {
		"", "Sun", "0", "784111777", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 gmt", "Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT", "Sun,  6 Nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 29 Feb 1995 08:49:37 GMT", "Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 199x 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT", "Sunnay, 06-Nov-94 08:49:37 GMT",
		"Saturday, 06-Nob-94 08:49:37 GMT", "Sun Nov 06 08:49:37 1994 ", "Sun Nov  0 08:49:37 1994",
		"Sun Nov 6  08:49:37 1994", "SunNov  6 08:49:37 19945",
	};
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		if (parse(bad[i]) != -1) {
			printf("    taken: %s\n", bad[i]);
			check_bad++;
		}
	CHECK_EQ(parse("Tue, 29 Feb 2000 08:49:37 GMT"), 951814177);
}

static void check_second(int64_t seconds)
{
	char got[RL_HTTP_DATE_LEN + 1] = "", want[64];
	time_t t = seconds;
	struct tm tm;
	int64_t back = 0;
	rl_http_date_format(got, seconds);
	gmtime_r(&t, &tm);
	strftime(want, sizeof want, "%a, %d %b ", &tm);
	snprintf(want + strlen(want), 30, "%04d", tm.tm_year + 1900);
	strftime(want + strlen(want), 30, " %H:%M:%S GMT", &tm);
	CHECK(strcmp(got, want) == 0);
	CHECK_EQ(rl_http_date_parse(got, RL_HTTP_DATE_LEN, NOW, &back), 0);
	CHECK_EQ(back, seconds);
	CHECK_EQ(timegm(&tm), seconds);
}

TEST(the_calendar_of_the_c_library)
{
	struct rl_rand r;
	rl_rand_seed(&r, 2);
	for (int64_t day = -800; day < 24000 && !check_bad; day++)
		check_second(day * 86400 + (int64_t)rl_rand_below(&r, 86400));
	for (int i = 0; i < 20000 && !check_bad; i++)
		check_second(RL_HTTP_DATE_MIN +
			(int64_t)rl_rand_below(&r, RL_HTTP_DATE_MAX - RL_HTTP_DATE_MIN + 1));
	check_second(RL_HTTP_DATE_MIN);
	check_second(RL_HTTP_DATE_MAX);
}

TEST(seconds_that_cannot_be_written)
{
	char out[RL_HTTP_DATE_LEN];
	rl_http_date_format(out, INT64_MAX);
	CHECK(memcmp(out, "Fri, 31 Dec 9999 23:59:59 GMT", sizeof out) == 0);
	rl_http_date_format(out, INT64_MIN);
	CHECK(memcmp(out, "Sat, 01 Jan 0000 00:00:00 GMT", sizeof out) == 0);
}

TEST(nothing_is_read_behind_the_end)
{
	struct rl_rand r;
	rl_rand_seed(&r, 3);
	static const char *const good[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
		"Wednesday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	};
	for (int i = 0; i < 100000; i++) {
		const char *from = good[rl_rand_below(&r, 4)];
		size_t len = rl_rand_below(&r, strlen(from) + 1);
		char text[40];
		int64_t seconds;
		memcpy(text + sizeof text - len, from, len);
		if (len > 0)
			text[sizeof text - len + rl_rand_below(&r, len)] = (char)rl_rand_next(&r);
		rl_http_date_parse(text + sizeof text - len, len, NOW, &seconds);
	}
}

int main(void)
{
	RUN(the_three_forms);
	RUN(years_of_two_digits);
	RUN(what_is_no_date);
	RUN(the_calendar_of_the_c_library);
	RUN(seconds_that_cannot_be_written);
	RUN(nothing_is_read_behind_the_end);
	return FINISH();
}
