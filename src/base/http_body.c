/* SPDX-License-Identifier: MIT */
/*
 * http_body: a machine that takes each byte of the framing once.
 *
 *   length:      DATA -> DONE
 *   until close: DATA -> DONE, by rl_http_body_end
 *   chunked:     SIZE -> [EXTENSION ->] SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                                               -> TRAILERS -> DONE, for a size of 0
 *
 * Invariants: total <= body_max, also before the content of a chunk is here; the trailers are the
 * only part of which bytes are given back.
 */
#include "base/http_body.h"

#include "base/check.h"
#include "base/http_char.h"

#include <string.h>

#define SIZE_DIGITS_MAX 16 /* leading zeros included */

enum {
	STAGE_DATA,
	STAGE_SIZE,
	STAGE_EXTENSION,
	STAGE_SIZE_LF,
	STAGE_DATA_CR,
	STAGE_DATA_LF,
	STAGE_TRAILERS,
	STAGE_DONE,
};

/* What would change how the message is read, or where it goes, if it were believed. */
#define FORBIDDEN (rl_http_name_bit(RL_FIELD_CONTENT_LENGTH) | \
	rl_http_name_bit(RL_FIELD_TRANSFER_ENCODING) | rl_http_name_bit(RL_FIELD_TRAILER) | \
	rl_http_name_bit(RL_FIELD_TE) | rl_http_name_bit(RL_FIELD_HOST) | \
	rl_http_name_bit(RL_FIELD_CONNECTION) | rl_http_name_bit(RL_FIELD_UPGRADE) | \
	rl_http_name_bit(RL_FIELD_EXPECT))

static int init(struct rl_http_body *b, enum rl_http_framing framing, int64_t length,
	const struct rl_http_limits *limits, struct rl_http_field *trailers)
{
	memset(b, 0, sizeof *b);
	b->limits = limits;
	b->trailers.list = trailers;
	b->framing = (uint8_t)framing;
	b->stage = framing == RL_BODY_CHUNKED ? STAGE_SIZE : STAGE_DATA;
	if (framing == RL_BODY_LENGTH)
		b->left = (uint64_t)length;
	else if (framing == RL_BODY_NONE)
		b->stage = STAGE_DONE;
	if (framing != RL_BODY_LENGTH || b->left <= limits->body_max)
		return 0;
	b->error = RL_HTTP_LARGE_BODY;
	return -RL_HTTP_LARGE_BODY;
}

int rl_http_body_of_request(struct rl_http_body *b, const struct rl_http_head *head,
	const struct rl_http_limits *limits, struct rl_http_field *trailers)
{
	enum rl_http_framing framing = RL_BODY_NONE;
	if (head->chunked)
		framing = RL_BODY_CHUNKED;
	else if (head->content_length > 0)
		framing = RL_BODY_LENGTH;
	return init(b, framing, head->content_length, limits, trailers);
}

static bool has_no_body(const struct rl_http_head *head, unsigned method)
{
	unsigned status = head->status;
	return method == RL_METHOD_HEAD || status < 200 || status == 204 || status == 304 ||
		(method == RL_METHOD_CONNECT && status < 300) || head->content_length == 0;
}

int rl_http_body_of_response(struct rl_http_body *b, const struct rl_http_head *head,
	unsigned request_method, const struct rl_http_limits *limits, struct rl_http_field *trailers)
{
	enum rl_http_framing framing = RL_BODY_UNTIL_CLOSE;
	if (has_no_body(head, request_method))
		framing = RL_BODY_NONE;
	else if (head->chunked)
		framing = RL_BODY_CHUNKED;
	else if (head->content_length > 0)
		framing = RL_BODY_LENGTH;
	return init(b, framing, head->content_length, limits, trailers);
}

/* ---- chunks ------------------------------------------------------------------------------- */

static unsigned hex_value(unsigned char c)
{
	return rl_http_is(c, RL_HTTP_DIGIT) ? (unsigned)(c - '0') : (c | 0x20u) - 'a' + 10;
}

static int take_extension(struct rl_http_body *b, unsigned char c)
{
	if (c == '\r') {
		b->stage = STAGE_SIZE_LF;
		return 0;
	}
	if (!rl_http_is(c, RL_HTTP_TEXT))
		return c == '\n' ? -RL_HTTP_BAD_LINE_END : -RL_HTTP_BAD_EXTENSION;
	b->extensions++;
	bool is_long = ++b->line > b->limits->extension_max ||
		b->extensions > b->limits->extension_max + b->total;
	return is_long ? -RL_HTTP_LONG_EXTENSION : 0;
}

/* A byte of the size, or the first one behind it. */
static int take_size(struct rl_http_body *b, unsigned char c)
{
	if (rl_http_is(c, RL_HTTP_HEX)) {
		if (b->line == SIZE_DIGITS_MAX || b->left > (INT64_MAX >> 4))
			return -RL_HTTP_BAD_CHUNK_SIZE;
		b->left = b->left << 4 | hex_value(c);
		b->line++;
		return 0;
	}
	if (b->line == 0 || (c != '\r' && c != ';'))
		return b->line > 0 && c == '\n' ? -RL_HTTP_BAD_LINE_END : -RL_HTTP_BAD_CHUNK_SIZE;
	b->line = 0;
	b->stage = STAGE_EXTENSION;
	return take_extension(b, c);
}

/* The size is known, so the limit is checked before the content comes. */
static int end_size(struct rl_http_body *b, unsigned char c)
{
	if (c != '\n')
		return -RL_HTTP_BAD_LINE_END;
	if (b->left > b->limits->body_max - b->total)
		return -RL_HTTP_LARGE_BODY;
	b->total += b->left;
	b->stage = b->left > 0 ? STAGE_DATA : STAGE_TRAILERS;
	b->line = 0;
	return 0;
}

static int take_framing(struct rl_http_body *b, unsigned char c)
{
	switch (b->stage) {
	case STAGE_SIZE:
		return take_size(b, c);
	case STAGE_EXTENSION:
		return take_extension(b, c);
	case STAGE_SIZE_LF:
		return end_size(b, c);
	case STAGE_DATA_CR:
		b->stage = STAGE_DATA_LF;
		return c == '\r' ? 0 : -RL_HTTP_BAD_CHUNK_END;
	default:
		b->stage = STAGE_SIZE;
		return c == '\n' ? 0 : -RL_HTTP_BAD_CHUNK_END;
	}
}

/* ---- content and trailers ----------------------------------------------------------------- */

static int show(struct rl_http_body *b, const char *bytes, size_t len, struct rl_http_piece *piece)
{
	uint64_t max = b->framing == RL_BODY_UNTIL_CLOSE ? b->limits->body_max - b->total : b->left;
	size_t n = len < max ? len : (size_t)max;
	if (n == 0)
		return -RL_HTTP_LARGE_BODY;
	*piece = (struct rl_http_piece){ bytes, n };
	if (b->framing != RL_BODY_CHUNKED)
		b->total += n;
	if (b->framing == RL_BODY_UNTIL_CLOSE)
		return 0;
	b->left -= n;
	if (b->left == 0)
		b->stage = b->framing == RL_BODY_CHUNKED ? STAGE_DATA_CR : STAGE_DONE;
	return 0;
}

/* Above 0: how many bytes the trailers have, to the end of the empty line. 0: more are needed. */
static int64_t take_trailers(struct rl_http_body *b, const char *bytes, size_t len)
{
	uint32_t max = b->limits->head_max < RL_HTTP_HEAD_MAX ? b->limits->head_max :
		RL_HTTP_HEAD_MAX;
	size_t here = len < max ? len : max;
	for (;;) {
		int got = rl_http_field_next(&b->scan, &b->trailers, b->limits, bytes, here);
		if (b->trailers.known & FORBIDDEN)
			return -RL_HTTP_BAD_TRAILER;
		if (got == RL_HTTP_FIELDS_END) {
			b->stage = STAGE_DONE;
			return b->scan.at;
		}
		if (got == 0 && len >= max)
			return -RL_HTTP_LONG_HEAD;
		if (got != RL_HTTP_FIELD)
			return got;
	}
}

static int64_t next(struct rl_http_body *b, const char *bytes, size_t len,
	struct rl_http_piece *piece)
{
	size_t at = 0;
	while (at < len && b->stage != STAGE_DATA && b->stage < STAGE_TRAILERS) {
		int err = take_framing(b, (unsigned char)bytes[at++]);
		if (err < 0)
			return err;
	}
	if (b->stage == STAGE_DATA && at < len) {
		int err = show(b, bytes + at, len - at, piece);
		return err < 0 ? err : (int64_t)(at + piece->len);
	}
	/* Trailers begin a call, so that their spans are offsets into what the caller passed. */
	if (b->stage == STAGE_TRAILERS && at == 0)
		return take_trailers(b, bytes, len);
	return (int64_t)at;
}

int64_t rl_http_body_next(struct rl_http_body *b, const char *bytes, size_t len,
	struct rl_http_piece *piece)
{
	*piece = (struct rl_http_piece){ bytes, 0 };
	if (b->error)
		return -(int64_t)b->error;
	int64_t got = next(b, bytes, len, piece);
	if (got < 0)
		b->error = (uint8_t)-got;
	RL_DEBUG_ASSERT(got <= (int64_t)len);
	return got;
}

int rl_http_body_end(struct rl_http_body *b)
{
	if (b->error)
		return -(int)b->error;
	if (b->framing == RL_BODY_UNTIL_CLOSE)
		b->stage = STAGE_DONE;
	if (b->stage == STAGE_DONE)
		return 0;
	b->error = RL_HTTP_CUT_SHORT;
	return -RL_HTTP_CUT_SHORT;
}

bool rl_http_body_is_done(const struct rl_http_body *b)
{
	return b->stage == STAGE_DONE && !b->error;
}
