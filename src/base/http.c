/* SPDX-License-Identifier: MIT */
/*
 * http: the first line is a row of parts, each of which either is complete, and the next begins, or
 * notes how far it came; then come the fields, whose meaning is taken in as each line ends.
 *
 * Invariants: what decides about the end of a message (Content-Length, Transfer-Encoding, version,
 * Host) is either unambiguous or refused. As in http_field.c, errors do not depend on cuts.
 */
#include "base/http.h"

#include "base/check.h"
#include "base/http_char.h"

#include <string.h>

#define DONE 1
#define MORE 0
#define VERSION_LEN 8

enum {
	STAGE_START = RL_HTTP_STAGE_MORE, /* before a request's method */
	STAGE_METHOD,
	STAGE_TARGET,
	STAGE_VERSION,
	STAGE_STATUS, /* before a response's version */
	STAGE_REASON,
};

void rl_http_begin(struct rl_http_head *head, struct rl_http_field *list)
{
	memset(head, 0, sizeof *head);
	head->fields.list = list;
	head->content_length = -1;
}

/* ---- the request line --------------------------------------------------------------------- */

/* One empty line before the request line is passed over (RFC 9112 2.2). */
static int skip_empty_line(struct rl_http_head *h, const unsigned char *bytes, size_t len)
{
	if (len == 0)
		return MORE;
	if (bytes[0] == '\r') {
		if (len == 1)
			return MORE;
		if (bytes[1] != '\n')
			return -RL_HTTP_BAD_LINE_END;
		h->scan.at = 2;
	}
	h->method.off = h->scan.at;
	h->scan.stage = STAGE_METHOD;
	return DONE;
}

static unsigned method_id(const unsigned char *p, size_t len)
{
	static const struct {
		char name[8];
		uint8_t len, id;
	} methods[] = {
		{ "GET", 3, RL_METHOD_GET }, { "HEAD", 4, RL_METHOD_HEAD },
		{ "POST", 4, RL_METHOD_POST }, { "PUT", 3, RL_METHOD_PUT },
		{ "DELETE", 6, RL_METHOD_DELETE }, { "CONNECT", 7, RL_METHOD_CONNECT },
		{ "OPTIONS", 7, RL_METHOD_OPTIONS }, { "TRACE", 5, RL_METHOD_TRACE },
		{ "PATCH", 5, RL_METHOD_PATCH },
	};
	for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++)
		if (methods[i].len == len && memcmp(methods[i].name, p, len) == 0)
			return methods[i].id;
	return RL_METHOD_OTHER;
}

static int method(struct rl_http_head *h, const unsigned char *bytes, size_t len)
{
	size_t max = (size_t)h->method.off + RL_HTTP_METHOD_MAX + 1;
	const unsigned char *from = bytes + h->method.off, *stop = bytes + (len < max ? len : max);
	const unsigned char *p = rl_http_skip(bytes + h->scan.at, stop, RL_HTTP_TOKEN);
	h->scan.at = (uint32_t)(p - bytes);
	if (p == stop)
		return p - from > RL_HTTP_METHOD_MAX ? -RL_HTTP_LONG_METHOD : MORE;
	if (*p != ' ' || p == from)
		return -RL_HTTP_BAD_METHOD;
	h->method.len = (uint32_t)(p - from);
	h->method_id = (uint8_t)method_id(from, h->method.len);
	h->target.all.off = ++h->scan.at;
	h->scan.stage = STAGE_TARGET;
	return DONE;
}

/* The byte that ends a target, at `p`. */
static int end_target(struct rl_http_head *h, const unsigned char *bytes, const unsigned char *p)
{
	struct rl_http_target *t = &h->target;
	if (*p == '\r' || *p == '\n')
		return -RL_HTTP_NO_VERSION;
	t->all.len = (uint32_t)(p - bytes) - t->all.off;
	if (*p != ' ' || t->all.len == 0)
		return -RL_HTTP_BAD_TARGET;
	if (t->query.off)
		t->query.len = t->all.off + t->all.len - t->query.off;
	h->scan.line = h->scan.at = (uint32_t)(p - bytes) + 1;
	h->scan.stage = STAGE_VERSION;
	return DONE;
}

static int target(struct rl_http_head *h, const struct rl_http_limits *limits,
	const unsigned char *bytes, size_t len)
{
	struct rl_http_target *t = &h->target;
	size_t max = (size_t)t->all.off + limits->target_max + 1;
	const unsigned char *stop = bytes + (len < max ? len : max);
	const unsigned char *p = rl_http_skip(bytes + h->scan.at, stop, RL_HTTP_PATH);
	while (p < stop && *p == '?') {
		p++;
		if (!t->query.off)
			t->query.off = (uint32_t)(p - bytes);
		p = rl_http_skip(p, stop, RL_HTTP_PATH);
	}
	h->scan.at = (uint32_t)(p - bytes);
	if (p == stop)
		return h->scan.at - t->all.off > limits->target_max ? -RL_HTTP_LONG_TARGET : MORE;
	return end_target(h, bytes, p);
}

/* HTTP/1.0 or HTTP/1.1 at `p`, of which `len` bytes are here. */
static int version(struct rl_http_head *h, const unsigned char *p, size_t len)
{
	static const char want[VERSION_LEN] = "HTTP/d.d";
	size_t here = len < VERSION_LEN ? len : VERSION_LEN;
	if (here == VERSION_LEN && memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '1' || p[7] == '0')) {
		h->minor = p[7] == '1';
		return DONE;
	}
	for (size_t i = 0; i < here; i++)
		if (want[i] == 'd' ? !rl_http_is(p[i], RL_HTTP_DIGIT) : p[i] != want[i])
			return -RL_HTTP_BAD_VERSION;
	return here < VERSION_LEN ? MORE : -RL_HTTP_OTHER_VERSION;
}

/* The version, the line's end, and then the target, since its form depends on the method alone. */
static int end_request_line(struct rl_http_head *h, const unsigned char *bytes, size_t len)
{
	const unsigned char *p = bytes + h->scan.line;
	size_t here = len - h->scan.line;
	int got = version(h, p, here);
	if (got != DONE || here == VERSION_LEN)
		return got == DONE ? MORE : got;
	if (p[VERSION_LEN] != '\r')
		return p[VERSION_LEN] == '\n' ? -RL_HTTP_BAD_LINE_END : -RL_HTTP_BAD_VERSION;
	if (here == VERSION_LEN + 1)
		return MORE;
	if (p[VERSION_LEN + 1] != '\n')
		return -RL_HTTP_BAD_LINE_END;
	h->scan.at = h->scan.line + VERSION_LEN + 2;
	h->scan.stage = RL_HTTP_STAGE_LINE;
	got = rl_http_target_split(&h->target, (const char *)bytes,
		h->method_id == RL_METHOD_CONNECT, h->method_id == RL_METHOD_OPTIONS);
	h->host = h->target.authority;
	return got < 0 ? got : DONE;
}

static int request_line(struct rl_http_head *h, const struct rl_http_limits *limits,
	const unsigned char *bytes, size_t len)
{
	int got = DONE;
	if (h->scan.stage == STAGE_START)
		got = skip_empty_line(h, bytes, len);
	if (got == DONE && h->scan.stage == STAGE_METHOD)
		got = method(h, bytes, len);
	if (got == DONE && h->scan.stage == STAGE_TARGET)
		got = target(h, limits, bytes, len);
	if (got == DONE && h->scan.stage == STAGE_VERSION)
		got = end_request_line(h, bytes, len);
	return got;
}

/* ---- the status line ---------------------------------------------------------------------- */

/* HTTP/1.x SP 3DIGIT, and what is behind: SP and a reason, or the line's end. */
static int status(struct rl_http_head *h, const unsigned char *p, size_t len)
{
	enum { DIGITS = VERSION_LEN + 1, REASON = DIGITS + 3 };
	int got = version(h, p, len);
	if (got != DONE)
		return got;
	if (len > VERSION_LEN && p[VERSION_LEN] != ' ')
		return -RL_HTTP_BAD_STATUS;
	for (size_t i = DIGITS; i < REASON && i < len; i++)
		if (!rl_http_is(p[i], RL_HTTP_DIGIT) || (i == DIGITS && p[i] == '0'))
			return -RL_HTTP_BAD_STATUS;
	if (len <= REASON)
		return MORE;
	if (p[REASON] != ' ' && p[REASON] != '\r')
		return p[REASON] == '\n' ? -RL_HTTP_BAD_LINE_END : -RL_HTTP_BAD_STATUS;
	h->status = (uint16_t)((p[DIGITS] - '0') * 100 + (p[DIGITS + 1] - '0') * 10 +
		(p[DIGITS + 2] - '0'));
	h->reason.off = REASON + (p[REASON] == ' ');
	h->scan.at = h->reason.off;
	h->scan.stage = STAGE_REASON;
	return DONE;
}

static int reason(struct rl_http_head *h, const struct rl_http_limits *limits,
	const unsigned char *bytes, size_t len)
{
	size_t max = (size_t)limits->line_max + 1;
	const unsigned char *stop = bytes + (len < max ? len : max);
	const unsigned char *p = rl_http_skip_text(bytes + h->scan.at, stop);
	h->scan.at = (uint32_t)(p - bytes);
	if (p >= stop)
		return h->scan.at > limits->line_max ? -RL_HTTP_LONG_LINE : MORE;
	if (*p != '\r')
		return *p == '\n' ? -RL_HTTP_BAD_LINE_END : -RL_HTTP_BAD_STATUS;
	if (h->scan.at + 1 == len)
		return MORE;
	if (p[1] != '\n')
		return -RL_HTTP_BAD_LINE_END;
	h->reason.len = h->scan.at - h->reason.off;
	h->scan.at += 2;
	h->scan.stage = RL_HTTP_STAGE_LINE;
	return DONE;
}

static int status_line(struct rl_http_head *h, const struct rl_http_limits *limits,
	const unsigned char *bytes, size_t len)
{
	int got = DONE;
	if (h->scan.stage == STAGE_STATUS)
		got = status(h, bytes, len);
	if (got == DONE && h->scan.stage == STAGE_REASON)
		got = reason(h, limits, bytes, len);
	return got;
}

/* ---- what fields mean --------------------------------------------------------------------- */

static int take_length(struct rl_http_head *h, const unsigned char *p, size_t len)
{
	uint64_t n;
	if (h->content_length >= 0)
		return -RL_HTTP_MANY_LENGTHS;
	if (h->has_coding)
		return -RL_HTTP_LENGTH_AND_CODING;
	if (rl_http_number(p, len, INT64_MAX, &n) < 0)
		return memchr(p, ',', len) ? -RL_HTTP_MANY_LENGTHS : -RL_HTTP_BAD_LENGTH;
	h->content_length = (int64_t)n;
	return 0;
}

/* A coding is a token, maybe with parameters, which chunked does not have. */
static int take_one_coding(struct rl_http_head *h, const unsigned char *from,
	const unsigned char *to)
{
	const unsigned char *p = rl_http_skip(from, to, RL_HTTP_TOKEN);
	bool is_chunked = p - from == 7 && rl_http_same(from, "chunked", 7);
	if (p == from || (is_chunked && p < to))
		return -1;
	rl_http_trim(&p, &to);
	if (p < to && *p != ';')
		return -1;
	if (is_chunked)
		h->chunked = true;
	else
		h->other_coding = true;
	return 0;
}

/* A list in which every element counts: an empty one, or one behind chunked, is refused. */
static int take_coding(struct rl_http_head *h, const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;
	if (h->minor == 0)
		return -RL_HTTP_OLD_CODING;
	if (h->content_length >= 0)
		return -RL_HTTP_LENGTH_AND_CODING;
	h->has_coding = true;
	for (;;) {
		const unsigned char *comma = memchr(p, ',', (size_t)(end - p));
		const unsigned char *from = p, *to = comma ? comma : end;
		rl_http_trim(&from, &to);
		if (h->chunked || take_one_coding(h, from, to) < 0)
			return -RL_HTTP_BAD_CODING;
		if (!comma)
			return 0;
		p = comma + 1;
	}
}

static int take_host(struct rl_http_head *h, const char *bytes, struct rl_http_span value)
{
	if (h->has_host)
		return -RL_HTTP_MANY_HOSTS;
	h->has_host = true;
	if (value.len > 0 && !rl_http_target_is_host(bytes + value.off, value.len, false))
		return -RL_HTTP_BAD_HOST;
	if (h->host.len == 0)
		h->host = value;
	return 0;
}

static void take_connection(struct rl_http_head *h, const char *bytes, struct rl_http_span value)
{
	struct rl_http_span item;
	uint32_t at = 0;
	while (rl_http_list_next(bytes, value, &at, &item)) {
		if (rl_http_span_is(bytes, item, "close"))
			h->says_close = true;
		else if (rl_http_span_is(bytes, item, "keep-alive"))
			h->says_keep_alive = true;
		else if (rl_http_span_is(bytes, item, "upgrade"))
			h->says_upgrade = true;
	}
}

static void take_expect(struct rl_http_head *h, const char *bytes, struct rl_http_span value)
{
	struct rl_http_span item;
	uint32_t at = 0;
	if (h->minor == 0)
		return;
	while (rl_http_list_next(bytes, value, &at, &item)) {
		if (rl_http_span_is(bytes, item, "100-continue"))
			h->expect_continue = true;
		else
			h->expect_other = true;
	}
}

static int take_field(struct rl_http_head *h, const char *bytes, bool is_request)
{
	const struct rl_http_field *f = &h->fields.list[h->fields.count - 1];
	const unsigned char *p = (const unsigned char *)bytes + f->value.off;
	switch (f->id) {
	case RL_FIELD_CONTENT_LENGTH:
		return take_length(h, p, f->value.len);
	case RL_FIELD_TRANSFER_ENCODING:
		return take_coding(h, p, f->value.len);
	case RL_FIELD_CONNECTION:
		take_connection(h, bytes, f->value);
		return 0;
	case RL_FIELD_HOST:
		return is_request ? take_host(h, bytes, f->value) : 0;
	case RL_FIELD_EXPECT:
		if (is_request)
			take_expect(h, bytes, f->value);
		return 0;
	default:
		return 0;
	}
}

/* The head is complete: DONE, unless the whole of it is wrong. */
static int conclude(struct rl_http_head *h, bool is_request)
{
	h->keep_alive = !h->says_close && (h->minor == 1 || h->says_keep_alive);
	h->upgrade = h->minor == 1 && h->says_upgrade &&
		rl_http_field_has(&h->fields, RL_FIELD_UPGRADE);
	if (is_request && h->minor == 1 && !h->has_host)
		return -RL_HTTP_NO_HOST;
	if (h->has_coding && !h->chunked)
		return -RL_HTTP_BAD_CODING;
	if (h->other_coding)
		return -RL_HTTP_OTHER_CODING;
	if (h->method_id == RL_METHOD_CONNECT && (h->chunked || h->content_length > 0))
		return -RL_HTTP_BAD_CONNECT;
	return DONE;
}

/* ---- heads -------------------------------------------------------------------------------- */

static int fields(struct rl_http_head *h, const struct rl_http_limits *limits, const char *bytes,
	size_t len, bool is_request)
{
	for (;;) {
		int got = rl_http_field_next(&h->scan, &h->fields, limits, bytes, len);
		if (got == RL_HTTP_FIELD)
			got = take_field(h, bytes, is_request);
		else if (got == RL_HTTP_FIELDS_END)
			got = conclude(h, is_request);
		else
			return got;
		if (got != MORE)
			return got;
	}
}

static int parse(struct rl_http_head *h, const struct rl_http_limits *limits, const char *text,
	size_t len, bool is_request)
{
	const unsigned char *bytes = (const unsigned char *)text;
	int got = DONE;
	if (h->scan.at == 0 && h->scan.stage == 0)
		h->scan.stage = is_request ? STAGE_START : STAGE_STATUS;
	if (h->scan.stage >= RL_HTTP_STAGE_MORE)
		got = is_request ? request_line(h, limits, bytes, len) :
			status_line(h, limits, bytes, len);
	return got == DONE ? fields(h, limits, text, len, is_request) : got;
}

static int head(struct rl_http_head *h, const struct rl_http_limits *limits, const char *bytes,
	size_t len, bool is_request)
{
	if (h->error)
		return -h->error;
	uint32_t max = limits->head_max < RL_HTTP_HEAD_MAX ? limits->head_max : RL_HTTP_HEAD_MAX;
	bool resumed = h->fields.count > 0;
	size_t here = len < max ? len : max;
	int got = parse(h, limits, bytes, here, is_request);
	if (got == MORE && len >= max)
		got = -RL_HTTP_LONG_HEAD;
	if (got < 0)
		h->error = (uint8_t)-got;
	if (got == DONE && resumed) {
		/* The fields of earlier calls may be gone from the list. */
		rl_http_begin(h, h->fields.list);
		got = parse(h, limits, bytes, here, is_request);
		RL_DEBUG_ASSERT(got == DONE);
	}
	return got == DONE ? (int)h->scan.at : got;
}

int rl_http_request(struct rl_http_head *h, const struct rl_http_limits *limits, const char *bytes,
	size_t len)
{
	return head(h, limits, bytes, len, true);
}

int rl_http_response(struct rl_http_head *h, const struct rl_http_limits *limits,
	const char *bytes, size_t len)
{
	return head(h, limits, bytes, len, false);
}
