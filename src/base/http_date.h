/* SPDX-License-Identifier: MIT */
/*
 * http_date: points in time as HTTP writes them (RFC 9110 5.6.7), from and to seconds since 1970.
 * No time zone and no locale has a say.
 */
#ifndef RL_BASE_HTTP_DATE_H
#define RL_BASE_HTTP_DATE_H

#include <stddef.h>
#include <stdint.h>

#define RL_HTTP_DATE_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* The years that can be written: 0 to 9999. */
#define RL_HTTP_DATE_MIN (-62167219200)
#define RL_HTTP_DATE_MAX 253402300799

/* Write IMF-fixdate, without a NUL. Seconds out of the range become its nearest end. */
void rl_http_date_format(char out[RL_HTTP_DATE_LEN], int64_t seconds);

/*
 * Parse any of the three forms: IMF-fixdate, that of RFC 850, that of asctime. 0, or -1: it is
 * none. The two-digit year of RFC 850 is that of a century which puts it at most 50 years after
 * `now`. The day of the week must be one, and is not compared; a second of 60 is that of the next
 * minute.
 */
int rl_http_date_parse(const char *text, size_t len, int64_t now, int64_t *seconds);

#endif
