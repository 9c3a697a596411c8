/* SPDX-License-Identifier: MIT */
/*
 * http_date: the calendar is counted in years that begin in March, so that the leap day is the last
 * of its year, and in eras of 400 years, which all have the same number of days.
 */
#include "base/http_date.h"

#include <stdbool.h>
#include <string.h>

#define DAY 86400
#define ERA_DAYS 146097
#define ERA_BEGIN 719468 /* days from 0000-03-01 to 1970-01-01 */

struct date {
	int64_t year;
	int month, day, hour, minute, second; /* the month from 1 on */
};

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekdays[] = "SunMonTueWedThuFriSat";

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t days_of(const struct date *d)
{
	int64_t year = d->year - (d->month <= 2);
	int64_t era = floor_div(year, 400), of_era = year - era * 400;
	int64_t of_year = (153 * (d->month + (d->month > 2 ? -3 : 9)) + 2) / 5 + d->day - 1;
	return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - ERA_BEGIN;
}

static struct date date_of(int64_t days)
{
	int64_t shifted = days + ERA_BEGIN, era = floor_div(shifted, ERA_DAYS);
	int64_t n = shifted - era * ERA_DAYS;
	int64_t year = (n - n / 1460 + n / 36524 - n / (ERA_DAYS - 1)) / 365;
	int64_t of_year = n - (365 * year + year / 4 - year / 100);
	int month = (int)(5 * of_year + 2) / 153;
	struct date d = { .day = (int)of_year - (153 * month + 2) / 5 + 1 };
	d.month = month < 10 ? month + 3 : month - 9;
	d.year = year + era * 400 + (d.month <= 2);
	return d;
}

static void put_digits(char *out, int count, int64_t n)
{
	for (int i = count - 1; i >= 0; i--, n /= 10)
		out[i] = (char)('0' + n % 10);
}

void rl_http_date_format(char out[RL_HTTP_DATE_LEN], int64_t seconds)
{
	if (seconds < RL_HTTP_DATE_MIN)
		seconds = RL_HTTP_DATE_MIN;
	if (seconds > RL_HTTP_DATE_MAX)
		seconds = RL_HTTP_DATE_MAX;
	int64_t days = floor_div(seconds, DAY), second = seconds - days * DAY;
	int weekday = (int)(days + 4 - 7 * floor_div(days + 4, 7)); /* 1970 began on a Thursday */
	struct date d = date_of(days);
	memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", RL_HTTP_DATE_LEN);
	memcpy(out, weekdays + 3 * weekday, 3);
	put_digits(out + 5, 2, d.day);
	memcpy(out + 8, months + 3 * (d.month - 1), 3);
	put_digits(out + 12, 4, d.year);
	put_digits(out + 17, 2, second / 3600);
	put_digits(out + 20, 2, second / 60 % 60);
	put_digits(out + 23, 2, second % 60);
}

/* Does a text have this form: 0 is a digit, _ a digit or a space, a anything, all else itself? */
static bool fits(const char *p, const char *form)
{
	for (; *form; form++, p++) {
		bool is_digit = *p >= '0' && *p <= '9';
		if (*form == '0' || *form == '_') {
			if (!is_digit && !(*form == '_' && *p == ' '))
				return false;
		} else if (*form != 'a' && *form != *p) {
			return false;
		}
	}
	return true;
}

static int number(const char *p, int count)
{
	int n = 0;
	for (int i = 0; i < count; i++)
		n = n * 10 + (p[i] == ' ' ? 0 : p[i] - '0');
	return n;
}

/* Which of the names of three letters it is, from 0 on; -1 if none. */
static int name_index(const char *names, const char *p)
{
	for (int i = 0; names[3 * i]; i++)
		if (memcmp(names + 3 * i, p, 3) == 0)
			return i;
	return -1;
}

static int month_days(const struct date *d)
{
	bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
	if (d->month == 2)
		return leap ? 29 : 28;
	return d->month == 4 || d->month == 6 || d->month == 9 || d->month == 11 ? 30 : 31;
}

static void take_time(struct date *d, const char *p)
{
	d->hour = number(p, 2);
	d->minute = number(p + 3, 2);
	d->second = number(p + 6, 2);
}

static bool parse_imf(struct date *d, const char *p)
{
	if (!fits(p, "aaa, 00 aaa 0000 00:00:00 GMT"))
		return false;
	*d = (struct date){ .day = number(p + 5, 2), .year = number(p + 12, 4) };
	d->month = name_index(months, p + 8) + 1;
	take_time(d, p + 17);
	return true;
}

static bool parse_asctime(struct date *d, const char *p)
{
	if (!fits(p, "aaa aaa _0 00:00:00 0000"))
		return false;
	*d = (struct date){ .day = number(p + 8, 2), .year = number(p + 20, 4) };
	d->month = name_index(months, p + 4) + 1;
	take_time(d, p + 11);
	return true;
}

/* The whole name of the day, and two digits of the year. */
static bool parse_rfc850(struct date *d, const char *text, size_t len, int64_t now)
{
	static const char *const days[] = {
		"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
	};
	const char form[] = ", 00-aaa-00 00:00:00 GMT", *p = text + len - (sizeof form - 1);
	int day = name_index(weekdays, text);
	if (day < 0 || len != strlen(days[day]) + sizeof form - 1 ||
		memcmp(text, days[day], strlen(days[day])) != 0 || !fits(p, form))
		return false;
	int64_t latest = date_of(floor_div(now, DAY)).year + 50;
	*d = (struct date){ .day = number(p + 2, 2) };
	d->year = latest - (latest - number(p + 9, 2)) % 100;
	d->month = name_index(months, p + 5) + 1;
	take_time(d, p + 12);
	return true;
}

int rl_http_date_parse(const char *text, size_t len, int64_t now, int64_t *seconds)
{
	struct date d;
	bool found = false;
	if (len < 24 || name_index(weekdays, text) < 0)
		return -1;
	if (len == RL_HTTP_DATE_LEN && text[3] == ',')
		found = parse_imf(&d, text);
	else if (len == 24)
		found = parse_asctime(&d, text);
	else
		found = parse_rfc850(&d, text, len, now);
	if (!found || d.month == 0 || d.day == 0 || d.day > month_days(&d) || d.hour > 23 ||
		d.minute > 59 || d.second > 60)
		return -1;
	*seconds = days_of(&d) * DAY + d.hour * 3600 + d.minute * 60 + d.second;
	return 0;
}
