/* SPDX-License-Identifier: MIT */
/* http_body: framings, a corpus of chunked bodies cut anywhere, limits, broken bodies at random. */
#include "base/http_body.h"

#include "check.h"

#include "base/rand.h"

#include <stdlib.h>

#define FIELDS 4
#define COUNT(table) (sizeof table / sizeof *table)
#define ANY UINT64_MAX

static const struct rl_http_limits limits = { 100, 40, FIELDS, 200, 16, ANY };

/* A body as it is received: content so far, and what was given back. */
struct reader {
	struct rl_http_body body;
	struct rl_http_field trailers[FIELDS];
	char content[600], ends[200];
	size_t content_len, used;
	int error;
};

static const char *const heads[] = {
	[RL_BODY_NONE] = "POST / HTTP/1.0\r\n\r\n",
	[RL_BODY_CHUNKED] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
	[RL_BODY_LENGTH] = "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
};

static void begin(struct reader *r, enum rl_http_framing framing, const struct rl_http_limits *l)
{
	const struct rl_http_limits roomy = RL_HTTP_LIMITS_DEFAULT;
	struct rl_http_field list[100];
	struct rl_http_head head;
	memset(r, 0, sizeof *r);
	rl_http_begin(&head, list);
	if (framing == RL_BODY_UNTIL_CLOSE) {
		CHECK(rl_http_response(&head, &roomy, "HTTP/1.1 200\r\n\r\n", 16) > 0);
		r->error = rl_http_body_of_response(&r->body, &head, 0, l, r->trailers);
		return;
	}
	CHECK(rl_http_request(&head, &roomy, heads[framing], strlen(heads[framing])) > 0);
	r->error = rl_http_body_of_request(&r->body, &head, l, r->trailers);
}

/* Write the trailers down as a;b=c; while their bytes are here. */
static void note_trailers(struct reader *r, const char *bytes)
{
	char *p = r->ends;
	for (uint32_t i = 0; i < r->body.trailers.count; i++) {
		const struct rl_http_field *f = &r->trailers[i];
		p += sprintf(p, "%.*s=%.*s;", f->name_len, bytes + f->name, (int)f->value.len,
			bytes + f->value.off);
	}
}

/* Show all bytes up to `len`, those that were used apart, in memory of just that size. */
static void feed(struct reader *r, const char *bytes, size_t len)
{
	int64_t got = 1;
	while (got > 0 && !r->error && !rl_http_body_is_done(&r->body)) {
		size_t n = len - r->used;
		struct rl_http_piece piece;
		char *copy = malloc(n ? n : 1);
		memcpy(copy, bytes + r->used, n);
		got = rl_http_body_next(&r->body, copy, n, &piece);
		if (got < 0) {
			r->error = (int)got;
		} else {
			memcpy(r->content + r->content_len, piece.data, piece.len);
			r->content_len += piece.len;
			r->used += (size_t)got;
			if (rl_http_body_is_done(&r->body))
				note_trailers(r, copy);
		}
		free(copy);
	}
}

/* "content|trailers|how much was used", "content..." if it is not at its end, or an error. */
static const char *describe(const struct reader *r)
{
	static char out[900];
	if (r->error)
		return rl_http_error_name(r->error);
	if (rl_http_body_is_done(&r->body))
		snprintf(out, sizeof out, "%.*s|%s|%zu", (int)r->content_len, r->content, r->ends, r->used);
	else
		snprintf(out, sizeof out, "%.*s...", (int)r->content_len, r->content);
	return out;
}

static const char *whole(const struct rl_http_limits *l, const char *bytes, size_t len)
{
	static struct reader r;
	begin(&r, RL_BODY_CHUNKED, l);
	feed(&r, bytes, len);
	return describe(&r);
}

/* Byte by byte, and with one cut anywhere: the same answer. */
static bool same_cut(const struct rl_http_limits *l, const char *bytes, size_t len)
{
	struct reader r;
	char want[900];
	snprintf(want, sizeof want, "%s", whole(l, bytes, len));
	begin(&r, RL_BODY_CHUNKED, l);
	for (size_t n = 0; n <= len; n++)
		feed(&r, bytes, n);
	if (strcmp(describe(&r), want) != 0)
		return false;
	for (size_t n = 0; n < len; n++) {
		begin(&r, RL_BODY_CHUNKED, l);
		feed(&r, bytes, n);
		feed(&r, bytes, len);
		if (strcmp(describe(&r), want) != 0)
			return false;
	}
	return true;
}

struct body_case {
	const char *bytes;
	size_t len;
	const char *want;
};

#define CASE(bytes, want) { bytes, sizeof bytes - 1, want }
#define LAST "0\r\n\r\n"

static const struct body_case chunked[] = {
	CASE(LAST, "||5"),
	CASE("5\r\nhello\r\n" LAST, "hello||15"),
	CASE("5\r\nhello\r\n" LAST "GET /", "hello||15"),
	CASE("1\r\na\r\nA\r\n0123456789\r\n" LAST, "a0123456789||26"),
	CASE("a\r\n0123456789\r\n" LAST, "0123456789||20"),
	CASE("14\r\n0123456789abcdefghij\r\n" LAST, "0123456789abcdefghij||31"),
	CASE("0000000000000001\r\na\r\n" LAST, "a||26"),
	CASE("000\r\n\r\n", "||7"),
	CASE("2\r\n\r\n\r\n" LAST, "\r\n||12"),
	CASE("", "..."),
	CASE("3\r\nab", "ab..."),
	CASE("0\r\n", "..."),
	/* sizes (7.1) */
	CASE("00000000000000001\r\na\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("7fffffffffffffff\r\nab", "ab..."),
	CASE("8000000000000000\r\n", "BAD_CHUNK_SIZE"),
	CASE("fffffffffffffffff\r\n", "BAD_CHUNK_SIZE"),
	CASE("0x5\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("+5\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("-1\r\n", "BAD_CHUNK_SIZE"),
	CASE(" 5\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("5 \r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("5 ;a\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("5\t\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("5g\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE(";a\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("5\nhello\r\n" LAST, "BAD_LINE_END"),
	CASE("5\r\rhello\r\n" LAST, "BAD_LINE_END"),
	CASE("5,5\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	CASE("5\0\r\nhello\r\n" LAST, "BAD_CHUNK_SIZE"),
	/* ends of chunks */
	CASE("5\r\nhello" LAST, "BAD_CHUNK_END"),
	CASE("5\r\nhello!\r\n" LAST, "BAD_CHUNK_END"),
	CASE("5\r\nhello\n" LAST, "BAD_CHUNK_END"),
	CASE("5\r\nhello\rX" LAST, "BAD_CHUNK_END"),
	CASE("4\r\nhello\r\n" LAST, "BAD_CHUNK_END"),
	/* extensions (7.1.1): passed over */
	CASE("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello||21"),
	CASE("5;a=\"b;c\\\"\"\r\nhello\r\n" LAST, "hello||25"),
	CASE("5; a = b\t;c\r\nhello\r\n" LAST, "hello||25"),
	CASE("5;\xe4\r\nhello\r\n" LAST, "hello||17"),
	CASE("5;a\nhello\r\n" LAST, "BAD_LINE_END"),
	CASE("5;a\0\r\nhello\r\n" LAST, "BAD_EXTENSION"),
	CASE("5;a\rb\r\nhello\r\n" LAST, "BAD_LINE_END"),
	CASE("5;2345678901234567\r\nhello\r\n" LAST, "LONG_EXTENSION"),
	CASE("5;23456789012345\r\nhello\r\n" LAST, "hello||30"),
	/* trailers (7.1.2) */
	CASE("0\r\nA: b\r\nC:d\r\n\r\nrest", "|A=b;C=d;|16"),
	CASE("1\r\nx\r\n0\r\nA:\r\n\r\n", "x|A=;|15"),
	CASE("0\r\nA : b\r\n\r\n", "BAD_NAME"),
	CASE("0\r\nA: b\r\n c\r\n\r\n", "FOLDED"),
	CASE("0\r\n A: b\r\n\r\n", "FOLDED"),
	CASE("0\r\nA: b\n\r\n", "BAD_LINE_END"),
	CASE("0\r\nA: b\0\r\n\r\n", "BAD_VALUE"),
	CASE("0\r\n\n", "BAD_LINE_END"),
	CASE("0\r\n\rX", "BAD_LINE_END"),
	CASE("0\r\nA\r\n\r\n", "BAD_NAME"),
	CASE("0\r\nContent-Length: 5\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\ntransfer-encoding: chunked\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nHost: a\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nTrailer: a\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nConnection: close\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nUpgrade: a\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nTE: trailers\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nExpect: 100-continue\r\n\r\n", "BAD_TRAILER"),
	CASE("0\r\nDate: x\r\n\r\n", "|Date=x;|14"),
	CASE("0\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\n\r\n", "|A=1;A=2;A=3;A=4;|25"),
	CASE("0\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\n\r\n", "MANY_FIELDS"),
	CASE("0\r\nA: 4567890123456789012345678901234567890\r\n\r\n",
		"|A=4567890123456789012345678901234567890;|47"),
	CASE("0\r\nA: 45678901234567890123456789012345678901\r\n\r\n", "LONG_LINE"),
};

TEST(the_corpus_of_chunked_bodies)
{
	for (size_t i = 0; i < COUNT(chunked); i++) {
		const struct body_case *c = &chunked[i];
		bool same = same_cut(&limits, c->bytes, c->len);
		const char *said = whole(&limits, c->bytes, c->len);
		if (strcmp(said, c->want) == 0 && same)
			continue;
		printf("    case %zu: %s\n    is     %s%s\n    not    %s\n", i, c->bytes, said,
			same ? "" : " (and depends on cuts)", c->want);
		check_bad++;
	}
}

TEST(lengths)
{
	struct reader r;
	begin(&r, RL_BODY_LENGTH, &limits);
	feed(&r, "hel", 3);
	CHECK(strcmp(describe(&r), "hel...") == 0);
	feed(&r, "hello, and the next", 19);
	CHECK(strcmp(describe(&r), "hello||5") == 0);
	CHECK_EQ(rl_http_body_end(&r.body), 0);
	begin(&r, RL_BODY_LENGTH, &limits);
	feed(&r, "hell", 4);
	CHECK_EQ(rl_http_body_end(&r.body), -RL_HTTP_CUT_SHORT);
	feed(&r, "hello", 5);
	CHECK(strcmp(describe(&r), "CUT_SHORT") == 0);
	CHECK_EQ(rl_http_body_end(&r.body), -RL_HTTP_CUT_SHORT);
	begin(&r, RL_BODY_NONE, &limits);
	CHECK(rl_http_body_is_done(&r.body));
	feed(&r, "hello", 5);
	CHECK_EQ(r.used, 0);
}

TEST(until_close)
{
	struct reader r;
	begin(&r, RL_BODY_UNTIL_CLOSE, &limits);
	CHECK_EQ(r.body.framing, RL_BODY_UNTIL_CLOSE);
	feed(&r, "hello", 5);
	CHECK(!rl_http_body_is_done(&r.body));
	CHECK_EQ(rl_http_body_end(&r.body), 0);
	CHECK(strcmp(describe(&r), "hello||5") == 0);
}

/* The framing of a response to a method, by what the head says. */
static unsigned framing_of(const char *response, unsigned method, int64_t *length)
{
	struct rl_http_field list[100], trailers[100];
	struct rl_http_limits l = RL_HTTP_LIMITS_DEFAULT;
	struct rl_http_head head;
	struct rl_http_body body;
	rl_http_begin(&head, list);
	CHECK(rl_http_response(&head, &l, response, strlen(response)) > 0);
	CHECK_EQ(rl_http_body_of_response(&body, &head, method, &l, trailers), 0);
	CHECK(rl_http_body_is_done(&body) == (body.framing == RL_BODY_NONE));
	*length = (int64_t)body.left;
	return body.framing;
}

#define LENGTH " x\r\nContent-Length: 7\r\n\r\n"
#define CHUNKED " x\r\nTransfer-Encoding: chunked\r\n\r\n"

TEST(responses_that_have_no_body)
{
	int64_t n;
	CHECK_EQ(framing_of("HTTP/1.1 200" LENGTH, RL_METHOD_GET, &n), RL_BODY_LENGTH);
	CHECK_EQ(n, 7);
	CHECK_EQ(framing_of("HTTP/1.1 200" CHUNKED, RL_METHOD_GET, &n), RL_BODY_CHUNKED);
	CHECK_EQ(framing_of("HTTP/1.1 200 x\r\n\r\n", RL_METHOD_GET, &n), RL_BODY_UNTIL_CLOSE);
	CHECK_EQ(framing_of("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", RL_METHOD_GET, &n),
		RL_BODY_NONE);
	static const char *const bare[] = { "100", "101", "199", "204", "304" };
	for (unsigned i = 0; i < COUNT(bare); i++) {
		char text[80];
		snprintf(text, sizeof text, "HTTP/1.1 %s" LENGTH, bare[i]);
		CHECK_EQ(framing_of(text, RL_METHOD_GET, &n), RL_BODY_NONE);
		snprintf(text, sizeof text, "HTTP/1.1 %s" CHUNKED, bare[i]);
		CHECK_EQ(framing_of(text, RL_METHOD_GET, &n), RL_BODY_NONE);
		snprintf(text, sizeof text, "HTTP/1.1 %s x\r\n\r\n", bare[i]);
		CHECK_EQ(framing_of(text, RL_METHOD_GET, &n), RL_BODY_NONE);
	}
	CHECK_EQ(framing_of("HTTP/1.1 200" LENGTH, RL_METHOD_HEAD, &n), RL_BODY_NONE);
	CHECK_EQ(framing_of("HTTP/1.1 404" CHUNKED, RL_METHOD_HEAD, &n), RL_BODY_NONE);
	CHECK_EQ(framing_of("HTTP/1.1 200" LENGTH, RL_METHOD_CONNECT, &n), RL_BODY_NONE);
	CHECK_EQ(framing_of("HTTP/1.1 299 x\r\n\r\n", RL_METHOD_CONNECT, &n), RL_BODY_NONE);
	CHECK_EQ(framing_of("HTTP/1.1 407" LENGTH, RL_METHOD_CONNECT, &n), RL_BODY_LENGTH);
	CHECK_EQ(framing_of("HTTP/1.1 205" LENGTH, RL_METHOD_GET, &n), RL_BODY_LENGTH);
}

/* ---- limits ------------------------------------------------------------------------------- */

TEST(the_body_limit_at_its_bound)
{
	struct rl_http_limits five = limits, four = limits;
	struct reader r;
	five.body_max = 5;
	four.body_max = 4;
	begin(&r, RL_BODY_LENGTH, &five);
	CHECK_EQ(r.error, 0);
	begin(&r, RL_BODY_LENGTH, &four);
	CHECK_EQ(r.error, -RL_HTTP_LARGE_BODY);
	struct rl_http_piece piece;
	CHECK_EQ(rl_http_body_next(&r.body, "hello", 5, &piece), -RL_HTTP_LARGE_BODY);
	const char text[] = "2\r\nhe\r\n3\r\nllo\r\n" LAST;
	CHECK(strcmp(whole(&five, text, sizeof text - 1), "hello||20") == 0);
	CHECK(strcmp(whole(&four, text, sizeof text - 1), "LARGE_BODY") == 0);
	CHECK(same_cut(&four, text, sizeof text - 1));
	CHECK(strcmp(whole(&four, text, 9), "he...") == 0);
	CHECK(strcmp(whole(&four, text, 10), "LARGE_BODY") == 0); /* before the content is here */
	begin(&r, RL_BODY_UNTIL_CLOSE, &five);
	feed(&r, "hello", 5);
	CHECK_EQ(r.error, 0);
	begin(&r, RL_BODY_UNTIL_CLOSE, &four);
	feed(&r, "hello", 5);
	CHECK_EQ(r.error, -RL_HTTP_LARGE_BODY);
	CHECK_EQ(r.content_len, 4);
}

/* The sum of sizes does not wrap round. */
TEST(many_large_chunks)
{
	struct rl_http_limits most = limits;
	struct reader r;
	struct rl_http_piece piece;
	begin(&r, RL_BODY_CHUNKED, &most);
	r.body.total = UINT64_MAX - 15;
	CHECK(rl_http_body_next(&r.body, "10\r\nx", 5, &piece) == -RL_HTTP_LARGE_BODY);
	begin(&r, RL_BODY_CHUNKED, &most);
	r.body.total = UINT64_MAX - 16;
	CHECK_EQ(rl_http_body_next(&r.body, "10\r\nx", 5, &piece), 5);
}

/* One byte of content at a time, with as much extension as a line may have. */
TEST(extensions_may_not_outweigh_the_content)
{
	const char small[] = "1;xxxxxxx\r\na\r\n";
	char text[14 * 8 + 1];
	for (int i = 0; i < 8; i++)
		memcpy(text + 14 * i, small, 14);
	CHECK(strcmp(whole(&limits, text, 14 * 2), "aa...") == 0);
	CHECK(strcmp(whole(&limits, text, 14 * 3), "LONG_EXTENSION") == 0);
	const char more[] = "8;xxxxxxx\r\nhellohel\r\n";
	char fair[21 * 8 + 1];
	for (int i = 0; i < 8; i++)
		memcpy(fair + 21 * i, more, 21);
	CHECK(strstr(whole(&limits, fair, 21 * 8), "...") != NULL);
}

TEST(trailers_have_the_limit_of_a_head)
{
	struct rl_http_limits l = limits;
	const char text[] = "0\r\nA:1\r\nB:2\r\n\r\n";
	l.head_max = 12;
	CHECK(strcmp(whole(&l, text, sizeof text - 1), "|A=1;B=2;|15") == 0);
	l.head_max = 11;
	CHECK(strcmp(whole(&l, text, sizeof text - 1), "LONG_HEAD") == 0);
	CHECK(same_cut(&l, text, sizeof text - 1));
}

TEST(known_trailers_are_found)
{
	struct reader r;
	begin(&r, RL_BODY_CHUNKED, &limits);
	feed(&r, "0\r\nETag: a\r\n\r\n", 14);
	const struct rl_http_field *f = rl_http_field_find(&r.body.trailers, RL_FIELD_ETAG, 0);
	CHECK(f && f->value.len == 1);
}

/* ---- broken bodies ------------------------------------------------------------------------ */

TEST(mutants_are_answered_alike_however_they_are_cut)
{
	static const char spice[] = "\r\n 0159aAfFxX;:+-\t\0\x7f\xff";
	struct rl_rand rand;
	rl_rand_seed(&rand, 6);
	for (int round = 0; round < 20000 && !check_bad; round++) {
		const struct body_case *c = &chunked[rl_rand_below(&rand, COUNT(chunked))];
		char text[100] = "";
		size_t len = c->len;
		memcpy(text, c->bytes, len);
		for (uint64_t n = rl_rand_below(&rand, 4); n > 0 && len > 0; n--)
			text[rl_rand_below(&rand, len)] = spice[rl_rand_below(&rand, sizeof spice)];
		if (!same_cut(&limits, text, len)) {
			printf("    round %d of seed 6: cuts matter: %.*s\n", round, (int)len, text);
			check_bad++;
		}
	}
}

int main(void)
{
	RUN(the_corpus_of_chunked_bodies);
	RUN(lengths);
	RUN(until_close);
	RUN(responses_that_have_no_body);
	RUN(the_body_limit_at_its_bound);
	RUN(many_large_chunks);
	RUN(extensions_may_not_outweigh_the_content);
	RUN(trailers_have_the_limit_of_a_head);
	RUN(known_trailers_are_found);
	RUN(mutants_are_answered_alike_however_they_are_cut);
	return FINISH();
}
