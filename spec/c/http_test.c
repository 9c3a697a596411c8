/* SPDX-License-Identifier: MIT */
/* http: the corpus, whole and cut anywhere; limits at their bounds; broken messages at random. */
#include "base/http.h"

#include "check.h"
#include "http_corpus.h"

#include "base/rand.h"

#include <stdlib.h>

#define FIELDS 100
#define COUNT(table) (sizeof table / sizeof *table)

static const struct rl_http_limits limits = RL_HTTP_LIMITS_DEFAULT;

/* The bytes in memory of exactly that size, so that the sanitizer sees who reads beyond. */
static char *exact(const char *bytes, size_t len)
{
	char *copy = malloc(len ? len : 1);
	memcpy(copy, bytes, len);
	return copy;
}

static void print(char *out, size_t size, const char *bytes, struct rl_http_span s)
{
	snprintf(out + strlen(out), size - strlen(out), "%.*s", (int)s.len, bytes + s.off);
}

#define ADD(...) snprintf(out + strlen(out), size - strlen(out), __VA_ARGS__)

static void describe_request(char *out, size_t size, const struct rl_http_head *h,
	const char *bytes)
{
	static const char *const forms[] = { "origin", "absolute", "authority", "asterisk" };
	print(out, size, bytes, h->method);
	ADD(" %s ", forms[h->target.form]);
	print(out, size, bytes, h->target.path);
	if (h->target.query.off) {
		ADD("?");
		print(out, size, bytes, h->target.query);
	}
	ADD(" @");
	print(out, size, bytes, h->host);
	ADD(" 1.%d", h->minor);
}

/* The answer as the corpus writes it. */
static const char *describe(const struct rl_http_head *h, const char *bytes, int got)
{
	static char out[600];
	size_t size = sizeof out;
	out[0] = 0;
	if (got == 0)
		return "incomplete";
	if (got < 0)
		return rl_http_error_name(got);
	if (h->status) {
		ADD("%d 1.%d \"", h->status, h->minor);
		print(out, size, bytes, h->reason);
		ADD("\"");
	} else {
		describe_request(out, size, h, bytes);
	}
	if (h->keep_alive)
		ADD(" keep");
	if (h->content_length >= 0)
		ADD(" len=%lld", (long long)h->content_length);
	ADD("%s%s%s%s n=%u", h->chunked ? " chunked" : "", h->upgrade ? " upgrade" : "",
		h->expect_continue ? " 100" : "", h->expect_other ? " 417" : "", h->fields.count);
	return out;
}

struct parser {
	struct rl_http_head head;
	struct rl_http_field list[FIELDS + 1];
	const struct rl_http_limits *limits;
	bool is_response;
};

static void begin(struct parser *p, bool is_response, const struct rl_http_limits *l)
{
	p->limits = l;
	p->is_response = is_response;
	rl_http_begin(&p->head, p->list);
	p->list[l->fields_max].id = 77; /* nobody writes here */
}

/* Show the parser `len` bytes, at another place each time, and forget the list before. */
static int feed(struct parser *p, const char *bytes, size_t len)
{
	char *copy = exact(bytes, len);
	memset(p->list, 0xee, p->limits->fields_max * sizeof *p->list);
	int got = p->is_response ? rl_http_response(&p->head, p->limits, copy, len) :
		rl_http_request(&p->head, p->limits, copy, len);
	free(copy);
	CHECK(p->list[p->limits->fields_max].id == 77);
	return got;
}

static int parse_whole(struct parser *p, bool is_response, const struct rl_http_limits *l,
	const char *bytes, size_t len)
{
	begin(p, is_response, l);
	return feed(p, bytes, len);
}

static bool same_head(struct parser *a, struct parser *b, const char *bytes, int got)
{
	char first[600];
	snprintf(first, sizeof first, "%s", describe(&a->head, bytes, got));
	return strcmp(first, describe(&b->head, bytes, got)) == 0 &&
		memcmp(a->list, b->list, a->head.fields.count * sizeof *a->list) == 0;
}

/* Byte by byte, each step gives what all bytes so far give at once, up to the answer. */
static bool same_bytewise(bool is_response, const struct rl_http_limits *l, const char *bytes,
	size_t len)
{
	struct parser slow, fresh;
	begin(&slow, is_response, l);
	for (size_t n = 0; n <= len; n++) {
		int got = feed(&slow, bytes, n);
		if (got != parse_whole(&fresh, is_response, l, bytes, n))
			return false;
		if (got > 0)
			return same_head(&slow, &fresh, bytes, got);
		if (got < 0)
			return parse_whole(&fresh, is_response, l, bytes, len) == got;
	}
	return true;
}

/* A cut at any one place changes nothing. */
static bool same_cut(bool is_response, const struct rl_http_limits *l, const char *bytes,
	size_t len)
{
	struct parser whole, cut;
	int want = parse_whole(&whole, is_response, l, bytes, len);
	for (size_t n = 0; n < len; n++) {
		begin(&cut, is_response, l);
		int got = feed(&cut, bytes, n);
		if (got == 0)
			got = feed(&cut, bytes, len);
		if (got != want || (got > 0 && !same_head(&whole, &cut, bytes, got)))
			return false;
	}
	return true;
}

static void check_corpus(const struct http_case *cases, size_t count, bool is_response)
{
	static struct parser p;
	for (size_t i = 0; i < count; i++) {
		const struct http_case *c = &cases[i];
		int got = parse_whole(&p, is_response, &limits, c->bytes, c->len);
		const char *said = describe(&p.head, c->bytes, got);
		bool same = same_bytewise(is_response, &limits, c->bytes, c->len) &&
			same_cut(is_response, &limits, c->bytes, c->len);
		if (strcmp(said, c->want) == 0 && same)
			continue;
		printf("    %s case %zu: %s\n    is     %s%s\n    not    %s\n", c->section, i, c->bytes,
			said, same ? "" : " (and depends on cuts)", c->want);
		check_bad++;
	}
}

TEST(the_corpus_of_requests)
{
	check_corpus(http_requests, COUNT(http_requests), false);
}

TEST(the_corpus_of_responses)
{
	check_corpus(http_responses, COUNT(http_responses), true);
}

TEST(the_head_ends_where_the_body_begins)
{
	static const char text[] = POST_HOST "Content-Length: 4\r\n\r\nabcdGET / HTTP/1.1\r\n";
	struct parser p;
	CHECK_EQ(parse_whole(&p, false, &limits, text, sizeof text - 1), strstr(text, "abcd") - text);
	CHECK_EQ(p.head.method_id, RL_METHOD_POST);
}

TEST(an_error_stays)
{
	static const char text[] = GET "Host: a b\r\n" END;
	struct parser p;
	CHECK_EQ(parse_whole(&p, false, &limits, text, sizeof text - 3), -RL_HTTP_BAD_HOST);
	CHECK_EQ(feed(&p, text, sizeof text - 1), -RL_HTTP_BAD_HOST);
	CHECK_EQ(feed(&p, GET_HOST END, sizeof GET_HOST END - 1), -RL_HTTP_BAD_HOST);
}

TEST(methods_have_numbers)
{
	static const struct {
		const char *name;
		unsigned id;
	} want[] = {
		{ "GET", RL_METHOD_GET }, { "HEAD", RL_METHOD_HEAD }, { "POST", RL_METHOD_POST },
		{ "PUT", RL_METHOD_PUT }, { "DELETE", RL_METHOD_DELETE }, { "TRACE", RL_METHOD_TRACE },
		{ "OPTIONS", RL_METHOD_OPTIONS }, { "PATCH", RL_METHOD_PATCH },
		{ "GETS", RL_METHOD_OTHER }, { "get", RL_METHOD_OTHER }, { "PUSH", RL_METHOD_OTHER },
	};
	for (unsigned i = 0; i < COUNT(want); i++) {
		struct parser p;
		char text[80];
		int len = snprintf(text, sizeof text, "%s / HTTP/1.0\r\n\r\n", want[i].name);
		CHECK_EQ(parse_whole(&p, false, &limits, text, (size_t)len), len);
		CHECK_EQ(p.head.method_id, want[i].id);
	}
}

/* ---- limits ------------------------------------------------------------------------------- */

/* A request whose target and one field line have these lengths, with that many more fields. */
static size_t build(char *out, unsigned target, unsigned line, unsigned more)
{
	char *p = out;
	p += sprintf(p, "GET /");
	memset(p, 'a', target - 1);
	p += target - 1;
	p += sprintf(p, " HTTP/1.1\r\nHost:h\r\nA:");
	memset(p, 'b', line - 2);
	p += line - 2;
	p += sprintf(p, "\r\n");
	for (unsigned i = 0; i < more; i++)
		p += sprintf(p, "C:d\r\n");
	p += sprintf(p, "\r\n");
	return (size_t)(p - out);
}

/* The answer at a limit, and that it does not depend on cuts. */
static int limited(const struct rl_http_limits *l, unsigned target, unsigned line, unsigned more)
{
	static struct parser p;
	static char text[4096];
	size_t len = build(text, target, line, more);
	CHECK(same_bytewise(false, l, text, len));
	CHECK(same_cut(false, l, text, len));
	int got = parse_whole(&p, false, l, text, len);
	CHECK(got < 0 || got == (int)len);
	return got;
}

TEST(limits_at_their_bounds)
{
	const struct rl_http_limits l = { 20, 30, 5, 92, 0, 0 };
	CHECK(limited(&l, 20, 10, 0) > 0);
	CHECK_EQ(limited(&l, 21, 10, 0), -RL_HTTP_LONG_TARGET);
	CHECK(limited(&l, 10, 30, 0) > 0);
	CHECK_EQ(limited(&l, 10, 31, 0), -RL_HTTP_LONG_LINE);
	CHECK(limited(&l, 10, 10, 3) > 0);
	CHECK_EQ(limited(&l, 10, 10, 4), -RL_HTTP_MANY_FIELDS);
	CHECK_EQ(limited(&l, 20, 30, 3), 92);
	CHECK_EQ(limited(&(struct rl_http_limits){ 20, 30, 5, 91, 0, 0 }, 20, 30, 3),
		-RL_HTTP_LONG_HEAD);
	CHECK_EQ(limited(&(struct rl_http_limits){ 20, 30, 0, 100, 0, 0 }, 1, 10, 0),
		-RL_HTTP_MANY_FIELDS);
}

TEST(limits_hold_before_the_rest_is_here)
{
	const struct rl_http_limits l = { 20, 30, 5, 100, 0, 0 };
	struct parser p;
	CHECK_EQ(parse_whole(&p, false, &l, "GET /aaaaaaaaaaaaaaaaaaaa", 25), -RL_HTTP_LONG_TARGET);
	CHECK_EQ(parse_whole(&p, false, &l, "GET /aaaaaaaaaaaaaaaaaaa", 24), 0);
	const char line[] = GET "A: 456789012345678901234567890x";
	CHECK_EQ(parse_whole(&p, false, &l, line, sizeof line - 1), -RL_HTTP_LONG_LINE);
	CHECK_EQ(parse_whole(&p, false, &l, line, sizeof line - 2), 0);
	const char name[] = GET "A23456789012345678901234567890x";
	CHECK_EQ(parse_whole(&p, false, &l, name, sizeof name - 1), -RL_HTTP_LONG_LINE);
	const char status[] = "HTTP/1.1 200 456789012345678901";
	CHECK_EQ(parse_whole(&p, true, &l, status, sizeof status - 1), -RL_HTTP_LONG_LINE);
	CHECK_EQ(parse_whole(&p, true, &l, status, sizeof status - 2), 0);
}

TEST(lines_are_never_longer_than_their_numbers)
{
	const struct rl_http_limits wide = { UINT32_MAX, UINT32_MAX, 3, UINT32_MAX, 0, 0 };
	static struct parser p;
	static char text[140000];
	for (unsigned line = RL_HTTP_LINE_MAX - 1; line <= RL_HTTP_LINE_MAX + 1; line++) {
		size_t len = build(text, 70000, line, 0);
		int got = parse_whole(&p, false, &wide, text, len);
		CHECK_EQ(got, line <= RL_HTTP_LINE_MAX ? (int)len : -RL_HTTP_LONG_LINE);
		CHECK(got < 0 || p.list[1].value.len == line - 2);
	}
}

/* ---- work, and what is read --------------------------------------------------------------- */

/* 60 KB byte by byte: far less than a second if no byte is looked at again, minutes if all are. */
TEST(a_slow_client_costs_no_more)
{
	static struct parser p;
	static char text[70000];
	const struct rl_http_limits wide = { 70000, 70000, 100, 70000, 0, 0 };
	size_t len = build(text, 30000, 30000, 50);
	int got = 0;
	begin(&p, false, &wide);
	for (size_t n = 0; n <= len; n++)
		got = rl_http_request(&p.head, &wide, text, n);
	CHECK_EQ(got, len);
}

static size_t mutate(struct rl_rand *r, char *text, size_t len, size_t size)
{
	static const char spice[] = "\r\n :,;\t\0\x7f\xff?#%/*[]@0aA";
	for (uint64_t n = 1 + rl_rand_below(r, 4); n > 0 && len > 2; n--) {
		size_t at = rl_rand_below(r, len);
		switch (rl_rand_below(r, 4)) {
		case 0:
			text[at] = spice[rl_rand_below(r, sizeof spice)];
			break;
		case 1:
			text[at] = (char)rl_rand_next(r);
			break;
		case 2:
			memmove(text + at, text + at + 1, --len - at);
			break;
		default:
			if (len == size)
				break;
			memmove(text + at + 1, text + at, len++ - at);
			text[at] = spice[rl_rand_below(r, sizeof spice)];
		}
	}
	return len;
}

static void check_mutants(const struct http_case *cases, size_t count, bool is_response)
{
	const struct rl_http_limits tight = { 24, 40, 3, 90, 0, 0 };
	struct rl_rand r;
	rl_rand_seed(&r, 5);
	for (int round = 0; round < 20000 && !check_bad; round++) {
		const struct http_case *c = &cases[rl_rand_below(&r, count)];
		char text[300];
		memcpy(text, c->bytes, c->len);
		size_t len = mutate(&r, text, c->len, sizeof text);
		if (!same_bytewise(is_response, round % 2 ? &limits : &tight, text, len)) {
			printf("    round %d of seed 5: cuts matter: %.*s\n", round, (int)len, text);
			check_bad++;
		}
	}
}

TEST(mutants_are_answered_alike_however_they_are_cut)
{
	check_mutants(http_requests, COUNT(http_requests), false);
	check_mutants(http_responses, COUNT(http_responses), true);
}

int main(void)
{
	RUN(the_corpus_of_requests);
	RUN(the_corpus_of_responses);
	RUN(the_head_ends_where_the_body_begins);
	RUN(an_error_stays);
	RUN(methods_have_numbers);
	RUN(limits_at_their_bounds);
	RUN(limits_hold_before_the_rest_is_here);
	RUN(lines_are_never_longer_than_their_numbers);
	RUN(a_slow_client_costs_no_more);
	RUN(mutants_are_answered_alike_however_they_are_cut);
	return FINISH();
}
