// SPDX-License-Identifier: MIT
//
// http: what the HTTP parser costs, in ns a message, best of a few rounds. By hand:
//   cc -std=gnu11 -O2 -Isrc -o build/floor bench/floor/http.c src/base/http*.c && build/floor
#include "base/http_body.h"
#include "base/http_date.h"
#include "base/http_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS 15
#define MESSAGES 200000

static const char wrk[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

static const char curl[] =
	"GET /hello?name=world HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\n"
	"Accept: */*\r\n\r\n";

// A browser's: 9 fields, 500 bytes.
static const char browser[] =
	"GET /static/img/logo.png HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/120.0.0.0 Safari/537.36\r\n"
	"Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n"
	"Referer: https://www.example.com/index.html\r\nAccept-Encoding: gzip, deflate, br\r\n"
	"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
	"If-None-Match: \"5f3e1c2a-1a2b\"\r\n\r\n";

static const char response[] =
	"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	"Content-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n";

static const char chunked[] =
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	"10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

static const struct rl_http_limits limits = RL_HTTP_LIMITS_DEFAULT;

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int parse_request(const char *text, size_t len)
{
	struct rl_http_field list[100];
	struct rl_http_head head;
	rl_http_begin(&head, list);
	return rl_http_request(&head, &limits, text, len);
}

static int parse_response(const char *text, size_t len)
{
	struct rl_http_field list[100];
	struct rl_http_head head;
	rl_http_begin(&head, list);
	return rl_http_response(&head, &limits, text, len);
}

static int parse_with_body(const char *text, size_t len)
{
	struct rl_http_field list[100], trailers[100];
	struct rl_http_head head;
	struct rl_http_body body;
	rl_http_begin(&head, list);
	size_t at = (size_t)rl_http_request(&head, &limits, text, len);
	rl_http_body_of_request(&body, &head, &limits, trailers);
	while (!rl_http_body_is_done(&body)) {
		struct rl_http_piece piece;
		int64_t got = rl_http_body_next(&body, text + at, len - at, &piece);
		if (got <= 0)
			return -1;
		at += (size_t)got;
	}
	return (int)at;
}

static int format_date(const char *text, size_t len)
{
	char out[RL_HTTP_DATE_LEN];
	rl_http_date_format(out, 784111777 + (int64_t)len);
	__asm__ volatile("" : : "r"(out), "r"(text) : "memory");
	return (int)len;
}

static void run(const char *name, int (*parse)(const char *, size_t), const char *text, size_t len)
{
	double best = 1e18;
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();
		for (int i = 0; i < MESSAGES; i++) {
			__asm__ volatile("" : : "r"(text) : "memory");
			if (parse(text, len) != (int)len) {
				printf("%s: wrong\n", name);
				return;
			}
		}
		double ns = (now_ns() - start) / MESSAGES;
		best = ns < best ? ns : best;
	}
	printf("%-10s %4zu bytes %7.1f ns %6.2f ns/byte\n", name, len, best, best / (double)len);
}

int main(void)
{
	run("wrk", parse_request, wrk, sizeof wrk - 1);
	run("curl", parse_request, curl, sizeof curl - 1);
	run("browser", parse_request, browser, sizeof browser - 1);
	run("response", parse_response, response, sizeof response - 1);
	run("chunked", parse_with_body, chunked, sizeof chunked - 1);
	run("date", format_date, "", 1);
	return 0;
}
