/* SPDX-License-Identifier: MIT */
/*
 * http_gen: random streams of HTTP messages for http_diff: mostly well-formed, with what smugglers
 * send mixed in, and bytes broken at random. One state of the generator gives one stream.
 */
#ifndef RL_SPEC_HTTP_GEN_H
#define RL_SPEC_HTTP_GEN_H

#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define STREAM_MAX 8192

struct stream {
	char bytes[STREAM_MAX];
	size_t len;
};

struct part {
	const char *bytes;
	size_t len;
};

#define PART(text) { text, sizeof text - 1 }
#define PICK(r, parts) (parts)[rl_rand_below(r, sizeof(parts) / sizeof *(parts))]

static void put(struct stream *s, const char *bytes, size_t len)
{
	if (len > STREAM_MAX - s->len)
		len = STREAM_MAX - s->len;
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

static void put_part(struct stream *s, struct part p)
{
	put(s, p.bytes, p.len);
}

static bool one_in(struct rl_rand *r, unsigned n)
{
	return rl_rand_below(r, n) == 0;
}

static void put_line_end(struct stream *s, struct rl_rand *r)
{
	static const struct part odd[] = {
		PART("\n"), PART("\r"), PART("\r\r\n"), PART("\n\r"), PART(" \r\n"), PART("\t\r\n"),
		PART(""),
	};
	if (one_in(r, 150))
		put_part(s, PICK(r, odd));
	else
		put(s, "\r\n", 2);
}

/* Random bytes of a class that most fields take, rarely any. */
static void put_noise(struct stream *s, struct rl_rand *r, unsigned max)
{
	static const char common[] = "abcXYZ019-._~!$&'()*+,;=:@/%?[]{}|^`\\ \t\"<>#";
	for (uint64_t n = rl_rand_below(r, max + 1); n > 0; n--) {
		char c = one_in(r, 60) ? (char)rl_rand_next(r) :
			common[rl_rand_below(r, sizeof common - 1)];
		put(s, &c, 1);
	}
}

static void put_token(struct stream *s, struct rl_rand *r)
{
	static const char tchar[] = "abcdefXYZ0123456789!#$%&'*+-.^_`|~";
	for (uint64_t n = 1 + rl_rand_below(r, 12); n > 0; n--)
		put(s, &tchar[rl_rand_below(r, sizeof tchar - 1)], 1);
}

/* ---- first lines -------------------------------------------------------------------------- */

static void put_target(struct stream *s, struct rl_rand *r)
{
	static const struct part good[] = {
		PART("/"), PART("/a"), PART("/a/b?c=d&e"), PART("/?"), PART("//a"), PART("/a?b?c"),
		PART("http://h/"), PART("http://h:80/a?b"), PART("https://[::1]/"), PART("http://h?q"),
	};
	static const struct part odd[] = {
		PART("*"), PART("h:443"), PART("[::1]:443"), PART("h"), PART(""), PART("/a#b"),
		PART("/\x80"), PART("/a b"), PART("http:/a"), PART("http://u@h/"), PART("http://"),
		PART("a://b"), PART("1://b"), PART("/%zz"), PART("/\x01"), PART("h:"), PART("h:0"),
		PART("h:99999"), PART("http://h:x/"), PART("/\"<>"), PART("?a"), PART("/\t"), PART("-"),
	};
	if (one_in(r, 12)) {
		put_part(s, PICK(r, odd));
	} else if (one_in(r, 12)) {
		put(s, "/", 1);
		put_noise(s, r, 30);
	} else {
		put_part(s, PICK(r, good));
	}
}

static void put_version(struct stream *s, struct rl_rand *r)
{
	static const struct part odd[] = {
		PART("HTTP/1.2"), PART("HTTP/2.0"), PART("HTTP/0.9"), PART("HTTP/1.10"), PART("http/1.1"),
		PART("HTTP/11"), PART("HTTP/1"), PART("HTTP/ 1.1"), PART("HTTP/1.1 "), PART(" HTTP/1.1"),
		PART(""), PART("HTTPS/1.1"), PART("HTTP/01.1"), PART("ICE/1.0"), PART("HTTP/1,1"),
		PART("HTTP/9.1"),
	};
	if (one_in(r, 100))
		put_part(s, PICK(r, odd));
	else
		put(s, one_in(r, 6) ? "HTTP/1.0" : "HTTP/1.1", 8);
}

static void put_request_line(struct stream *s, struct rl_rand *r)
{
	static const struct part methods[] = {
		PART("GET"), PART("GET"), PART("POST"), PART("POST"), PART("POST"), PART("HEAD"),
		PART("PUT"), PART("DELETE"), PART("OPTIONS"), PART("PATCH"), PART("TRACE"),
		PART("PROPFIND"), PART("M-SEARCH"),
	};
	static const struct part odd[] = {
		PART("get"), PART("GETS"), PART("FOO"), PART(""), PART("G T"), PART("GE\x80"), PART("G:"),
		PART("PRI"), PART("\r\nGET"), PART("\r\n\r\nGET"), PART("\nGET"), PART(" GET"),
		PART("HTTP/1.1"),
	};
	if (one_in(r, 30)) {
		put(s, "CONNECT h:443 ", 14);
	} else if (one_in(r, 30)) {
		put(s, "OPTIONS * ", 10);
	} else {
		put_part(s, one_in(r, 60) ? PICK(r, odd) : PICK(r, methods));
		put(s, one_in(r, 200) ? "  " : " ", one_in(r, 300) ? 2 : 1);
		put_target(s, r);
		put(s, one_in(r, 300) ? "\t" : " ", 1);
	}
	put_version(s, r);
	put_line_end(s, r);
}

static void put_status_line(struct stream *s, struct rl_rand *r)
{
	static const struct part good[] = {
		PART("200 OK"), PART("200 OK"), PART("200 OK"), PART("204 No Content"),
		PART("304 Not Modified"), PART("404 Not Found"), PART("100 Continue"),
		PART("101 Switching Protocols"), PART("500 "), PART("302 \xe4\t!"), PART("200"),
		PART("599 x"), PART("999 x"), PART("103 Early Hints"),
	};
	static const struct part odd[] = {
		PART("099 x"), PART("20 x"), PART("2000 x"), PART(" 200 x"), PART("200\tx"), PART(""),
		PART("abc"), PART("200 \x01"), PART("+20 x"), PART("2 00"), PART("000 x"), PART("200x"),
	};
	put_version(s, r);
	put(s, " ", 1);
	put_part(s, one_in(r, 40) ? PICK(r, odd) : PICK(r, good));
	put_line_end(s, r);
}

/* ---- fields ------------------------------------------------------------------------------- */

static void put_length_value(struct stream *s, struct rl_rand *r, size_t len)
{
	static const struct part odd[] = {
		PART(""), PART("+5"), PART("-5"), PART("0x5"), PART("5, 5"), PART("5,"), PART("5 5"),
		PART("5.0"), PART("9223372036854775807"), PART("9223372036854775808"),
		PART("18446744073709551615"), PART("18446744073709551616"),
		PART("99999999999999999999999"), PART("5;a"), PART("\"5\""), PART("0"), PART("00"),
		PART("5 "), PART("\x0b" "5"), PART("5\t"), PART("1e1"),
	};
	char text[40];
	if (one_in(r, 10)) {
		put_part(s, PICK(r, odd));
		return;
	}
	int n = snprintf(text, sizeof text, one_in(r, 20) ? "00%zu" : "%zu", len);
	put(s, text, (size_t)n);
}

static void put_coding_value(struct stream *s, struct rl_rand *r)
{
	static const struct part odd[] = {
		PART(""), PART("identity"), PART("gzip"), PART("gzip, chunked"), PART("chunked, gzip"),
		PART("chunked, chunked"), PART("chunked,"), PART(",chunked"), PART("chunked;a=b"),
		PART("xchunked"), PART("chunkedx"), PART("chunked x"), PART("\"chunked\""),
		PART("\x0b" "chunked"), PART("chunked\t"), PART("a;b=\"c,d\", chunked"),
		PART("chunked, identity"), PART("ch unked"), PART("gzip,chunked"),
		PART("chunked chunked"), PART("x, chunked"), PART("chunk"), PART("gzip chunked"),
	};
	static const struct part good[] = { PART("chunked"), PART("Chunked"), PART("CHUNKED") };
	put_part(s, one_in(r, 6) ? PICK(r, odd) : PICK(r, good));
}

/* A name in any case, and its colon. */
static void put_name(struct stream *s, struct rl_rand *r, const char *name)
{
	static const struct part odd[] = {
		PART(" :"), PART("\t:"), PART(""), PART("::"), PART("\0:"), PART("\r:"), PART("\x80:"),
		PART(";"),
	};
	for (const char *p = name; *p; p++) {
		char c = one_in(r, 8) && *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
		put(s, &c, 1);
	}
	put_part(s, one_in(r, 120) ? PICK(r, odd) : (struct part)PART(":"));
	put(s, " \t  ", rl_rand_below(r, 3));
}

/* Once, or rarely twice. */
static void put_lengths(struct stream *s, struct rl_rand *r, size_t len)
{
	for (int n = 1 + one_in(r, 30); n > 0; n--) {
		put_name(s, r, "content-length");
		put_length_value(s, r, len);
		put_line_end(s, r);
	}
}

static void put_codings(struct stream *s, struct rl_rand *r)
{
	for (int n = 1 + one_in(r, 30); n > 0; n--) {
		put_name(s, r, "transfer-encoding");
		put_coding_value(s, r);
		put_line_end(s, r);
	}
}

static void put_host(struct stream *s, struct rl_rand *r)
{
	static const struct part values[] = {
		PART("h"), PART("h"), PART("h"), PART("h:80"), PART("[::1]:80"), PART(""), PART("a b"),
		PART("u@h"), PART("h/"), PART("h:x"), PART("a,b"), PART("h:"), PART("\x80"),
	};
	put_name(s, r, "host");
	put_part(s, one_in(r, 8) ? PICK(r, values) : (struct part)PART("h"));
	put_line_end(s, r);
}

static void put_other(struct stream *s, struct rl_rand *r)
{
	static const struct part lines[] = {
		PART("Connection: close"), PART("Connection: keep-alive"), PART("Connection: Upgrade"),
		PART("Connection: keep-alive, close"), PART("Connection: x, upgrade"),
		PART("Connection:"), PART("Upgrade: websocket"), PART("Expect: 100-continue"),
		PART("Expect: x"), PART("TE: trailers"), PART("Trailer: a"),
		PART("Date: Sun, 06 Nov 1994 08:49:37 GMT"), PART("Cookie: a=b; c=d"),
		PART("X: \xff\x80"), PART("X:"), PART("X: a\tb "), PART("Accept: */*"),
		PART("Proxy-Connection: close"),
	};
	static const struct part odd[] = {
		PART("X: a\r\n b"), PART("X: a\r\n\tb"), PART(" X: a"), PART("X: a\0b"), PART("X: \x7f"),
		PART("X: a\rb"), PART("X: a\nY: b"), PART("X a: b"), PART("X"), PART(": a"),
		PART("X\x80: a"), PART("Transfer_Encoding: chunked"), PART("Content_Length: 5"),
		PART("X: a\n b"), PART("X: a\r\n"), PART("Content-Length: 3\r\n 5"),
		PART("Transfer-Encoding:\r\n chunked"), PART("\0X: a"),
	};
	if (one_in(r, 40)) {
		put_part(s, PICK(r, odd));
	} else if (one_in(r, 3)) {
		put_token(s, r);
		put(s, ":", 1);
		put_noise(s, r, 20);
	} else {
		put_part(s, PICK(r, lines));
	}
	put_line_end(s, r);
}

/* ---- bodies ------------------------------------------------------------------------------- */

static void put_chunk_line(struct stream *s, struct rl_rand *r, size_t len)
{
	static const struct part extensions[] = {
		PART(";a"), PART(";a=b"), PART("; a=\"b;c\""), PART(";"), PART(" ;a"), PART(" "),
		PART(";a\x80"), PART(";a\x01"), PART("\t"), PART(",1"), PART("x"), PART(";\0"),
		PART(";a\rb"),
	};
	static const char *const forms[] = { "%zx", "%zX", "%zx", "0%zx", "0000%zx" };
	static const char *const odd[] = {
		"0x%zx", "+%zx", "-%zx", " %zx", "%zxg", "ffffffffffffffff%zx", "1000000000000000%zx", "",
		"00000000000000000%zx",
	};
	char text[60];
	const char *form = one_in(r, 60) ? PICK(r, odd) : PICK(r, forms);
	int n = *form ? snprintf(text, sizeof text, form, len) : 0;
	put(s, text, (size_t)n);
	if (one_in(r, 12))
		put_part(s, PICK(r, extensions));
	put_line_end(s, r);
}

static void put_chunks(struct stream *s, struct rl_rand *r)
{
	for (uint64_t n = rl_rand_below(r, 4); n > 0; n--) {
		size_t len = 1 + rl_rand_below(r, 20);
		put_chunk_line(s, r, one_in(r, 60) ? len + 1 : len);
		for (size_t i = 0; i < len; i++)
			put(s, &"0123456789\r\nabcdef"[rl_rand_below(r, 18)], 1);
		put_line_end(s, r);
	}
	put_chunk_line(s, r, 0);
	while (one_in(r, 6))
		put_other(s, r);
	put_line_end(s, r);
}

/* ---- messages ----------------------------------------------------------------------------- */

static void put_message(struct stream *s, struct rl_rand *r, bool is_response)
{
	size_t len = rl_rand_below(r, 3) ? rl_rand_below(r, 12) : 0;
	bool has_length = one_in(r, 2), has_coding = one_in(r, has_length ? 25 : 2);
	if (is_response)
		put_status_line(s, r);
	else
		put_request_line(s, r);
	uint64_t hosts = is_response || one_in(r, 30) ? rl_rand_below(r, 3) : 1;
	for (; hosts > 0; hosts--)
		put_host(s, r);
	for (uint64_t n = rl_rand_below(r, 4); n > 0; n--)
		put_other(s, r);
	bool coding_first = one_in(r, 2);
	for (int i = 0; i < 2; i++) {
		if (has_coding && coding_first == (i == 0))
			put_codings(s, r);
		if (has_length && coding_first == (i == 1))
			put_lengths(s, r, len);
	}
	put_line_end(s, r);
	if (has_coding)
		put_chunks(s, r);
	else if (has_length)
		put(s, "0123456789ab", len);
}

static void break_bytes(struct stream *s, struct rl_rand *r)
{
	static const char spice[] = "\r\n \t:;,0519aAfx/?#%*@[]\0\x7f\xff";
	for (uint64_t n = 1 + rl_rand_below(r, 3); n > 0 && s->len > 4; n--) {
		size_t at = rl_rand_below(r, s->len);
		switch (rl_rand_below(r, 5)) {
		case 0:
			s->bytes[at] = (char)rl_rand_next(r);
			break;
		case 1:
			s->bytes[at] = spice[rl_rand_below(r, sizeof spice)];
			break;
		case 2:
			memmove(s->bytes + at, s->bytes + at + 1, --s->len - at);
			break;
		case 3:
			if (s->len == STREAM_MAX)
				break;
			memmove(s->bytes + at + 1, s->bytes + at, s->len++ - at);
			s->bytes[at] = spice[rl_rand_below(r, sizeof spice)];
			break;
		default:
			s->len = at;
		}
	}
}

/* One to three messages behind one another; every third stream is broken. */
static void http_gen_stream(struct stream *s, struct rl_rand *r, bool is_response)
{
	s->len = 0;
	for (uint64_t n = 1 + rl_rand_below(r, 3); n > 0; n--)
		put_message(s, r, is_response);
	if (one_in(r, 3))
		break_bytes(s, r);
}

#endif
