/* SPDX-License-Identifier: MIT */
/* http_field: lines, looking fields up, lists. (Cuts and limits: http_test, http_body_test.) */
#include "base/http_field.h"

#include "check.h"

#define FIELDS 8

static const struct rl_http_limits limits = { 0, 80, FIELDS, 400, 0, 0 };

static struct rl_http_field list[FIELDS];

static int parse(struct rl_http_fields *fields, const char *text)
{
	struct rl_http_scan scan = { 0 };
	*fields = (struct rl_http_fields){ .list = list };
	int got = RL_HTTP_FIELD;
	while (got == RL_HTTP_FIELD)
		got = rl_http_field_next(&scan, fields, &limits, text, strlen(text));
	return got;
}

static bool is(const char *text, const struct rl_http_field *f, const char *value)
{
	return f && f->value.len == strlen(value) &&
		memcmp(text + f->value.off, value, f->value.len) == 0;
}

TEST(lines)
{
	struct rl_http_fields fields;
	const char text[] = "Host: a\r\nX-One:\t 1 1 \t\r\nEmpty:\r\n\r\n";
	CHECK_EQ(parse(&fields, text), RL_HTTP_FIELDS_END);
	CHECK_EQ(fields.count, 3);
	CHECK_EQ(list[0].id, RL_FIELD_HOST);
	CHECK_EQ(list[1].id, RL_FIELD_OTHER);
	CHECK_EQ(list[1].name_len, 5);
	CHECK(memcmp(text + list[1].name, "X-One", 5) == 0);
	CHECK(is(text, &list[1], "1 1"));
	CHECK(is(text, &list[2], ""));
	CHECK_EQ(parse(&fields, "\r\n"), RL_HTTP_FIELDS_END);
	CHECK_EQ(fields.count, 0);
	CHECK_EQ(parse(&fields, "A: b\r\n"), 0);
	CHECK_EQ(parse(&fields, "A b\r\n"), -RL_HTTP_BAD_NAME);
}

TEST(looking_up)
{
	struct rl_http_fields fields;
	const char text[] = "Cookie: a\r\nX-A: 1\r\ncookie: b\r\nx-a: 2\r\nX-B: 3\r\n\r\n";
	CHECK_EQ(parse(&fields, text), RL_HTTP_FIELDS_END);
	const struct rl_http_field *f = rl_http_field_find(&fields, RL_FIELD_COOKIE, 0);
	CHECK(is(text, f, "a"));
	f = rl_http_field_find(&fields, RL_FIELD_COOKIE, rl_http_field_index(&fields, f) + 1);
	CHECK(is(text, f, "b"));
	CHECK(!rl_http_field_find(&fields, RL_FIELD_COOKIE, rl_http_field_index(&fields, f) + 1));
	CHECK(!rl_http_field_find(&fields, RL_FIELD_HOST, 0));
	CHECK(!rl_http_field_find(&fields, RL_FIELD_OTHER, 0));
	CHECK(!rl_http_field_find(&fields, RL_FIELD_COUNT, 0));
	CHECK(is(text, rl_http_field_find_name(&fields, text, "COOKIE", 6, 0), "a"));
	f = rl_http_field_find_name(&fields, text, "x-A", 3, 0);
	CHECK(is(text, f, "1"));
	f = rl_http_field_find_name(&fields, text, "x-A", 3, rl_http_field_index(&fields, f) + 1);
	CHECK(is(text, f, "2"));
	CHECK(is(text, rl_http_field_find_name(&fields, text, "x-b", 3, 0), "3"));
	CHECK(!rl_http_field_find_name(&fields, text, "x-c", 3, 0));
	CHECK(!rl_http_field_find_name(&fields, text, "", 0, 0));
	CHECK(rl_http_field_has(&fields, RL_FIELD_COOKIE));
	CHECK(!rl_http_field_has(&fields, RL_FIELD_HOST));
}

/* The elements of a list, each between < and >. */
static const char *split(const char *value)
{
	static char out[200];
	struct rl_http_span all = { 3, (uint32_t)strlen(value) }, item;
	char text[200];
	uint32_t at = 0;
	snprintf(text, sizeof text, "###%s,#", value);
	out[0] = 0;
	while (rl_http_list_next(text, all, &at, &item))
		snprintf(out + strlen(out), sizeof out - strlen(out), "<%.*s>", (int)item.len,
			text + item.off);
	return out;
}

TEST(lists)
{
	CHECK(strcmp(split(""), "") == 0);
	CHECK(strcmp(split(" , ,, "), "") == 0);
	CHECK(strcmp(split("a"), "<a>") == 0);
	CHECK(strcmp(split("a,b"), "<a><b>") == 0);
	CHECK(strcmp(split(", a ,\tb;q=1 ,"), "<a><b;q=1>") == 0);
	CHECK(strcmp(split("a;b=\"c,d\", e"), "<a;b=\"c,d\"><e>") == 0);
	CHECK(strcmp(split("\"a\\\",b\",c"), "<\"a\\\",b\"><c>") == 0);
	CHECK(strcmp(split("\"a,b"), "<\"a,b>") == 0);
	CHECK(strcmp(split("\"a\\"), "<\"a\\>") == 0);
	CHECK(strcmp(split("a\\,b"), "<a\\><b>") == 0);
}

static bool has(const char *text, const char *token)
{
	struct rl_http_fields fields;
	CHECK_EQ(parse(&fields, text), RL_HTTP_FIELDS_END);
	return rl_http_list_has(&fields, text, RL_FIELD_TE, token, strlen(token));
}

TEST(tokens_in_lists)
{
	CHECK(has("TE: trailers\r\n\r\n", "trailers"));
	CHECK(has("TE: gzip, TRAILERS ;q=0.5\r\n\r\n", "trailers"));
	CHECK(has("TE: gzip\r\nTE: a;b=\",\" , trailers\r\n\r\n", "trailers"));
	CHECK(!has("TE: trailer, trailersx, x trailers, a;trailers, trailers=1\r\n\r\n", "trailers"));
	CHECK(!has("TE:\r\nConnection: trailers\r\n\r\n", "trailers"));
	CHECK(!has("\r\n", "trailers"));
}

TEST(spans_are_compared_without_case)
{
	CHECK(rl_http_span_is("xWebSocket", (struct rl_http_span){ 1, 9 }, "websocket"));
	CHECK(!rl_http_span_is("xWebSocket", (struct rl_http_span){ 1, 8 }, "websocket"));
	CHECK(!rl_http_span_is("xWebSocke7", (struct rl_http_span){ 1, 9 }, "websocket"));
}

int main(void)
{
	RUN(lines);
	RUN(looking_up);
	RUN(lists);
	RUN(tokens_in_lists);
	RUN(spans_are_compared_without_case);
	return FINISH();
}
