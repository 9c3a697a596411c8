/* SPDX-License-Identifier: MIT */
/*
 * http_field: the field section of an HTTP message, a head's or the trailers' (RFC 9112 5): lines
 * of name, colon, value. Strict: no folding, no white space about names, lines end in CR LF.
 *
 * The parser takes a line at a time and may be stopped after any byte. What it found are offsets
 * into the message, which may move and grow between calls.
 */
#ifndef RL_BASE_HTTP_FIELD_H
#define RL_BASE_HTTP_FIELD_H

#include "base/http_error.h"
#include "base/http_name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most a limit may be set to; a larger one means this. */
#define RL_HTTP_LINE_MAX 65535u
#define RL_HTTP_HEAD_MAX (1u << 30)

struct rl_http_limits {
	uint32_t target_max;    /* bytes of the request target */
	uint32_t line_max;      /* bytes of one field line or status line, without its CR LF */
	uint32_t fields_max;    /* field lines: of the head, and again of the trailers */
	uint32_t head_max;      /* bytes of a head to the end of its empty line; the same of trailers */
	uint32_t extension_max; /* bytes of chunk extensions in one line, see http_body.h */
	uint64_t body_max;      /* bytes of content */
};

/* 8,000 for a target (RFC 9112 3), 8 KiB a line, 100 fields, 64 KiB, 256, no limit for the body. */
#define RL_HTTP_LIMITS_DEFAULT { 8000, 8192, 100, 65536, 256, UINT64_MAX }

/* A range of the message. */
struct rl_http_span {
	uint32_t off, len;
};

struct rl_http_field {
	struct rl_http_span value; /* without white space about it */
	uint32_t name;             /* where the name begins */
	uint16_t name_len;
	uint8_t id;                /* RL_FIELD_* */
};

struct rl_http_fields {
	struct rl_http_field *list; /* the caller's array, of limits.fields_max */
	uint64_t known;             /* rl_http_name_bit of each id in the list */
	uint32_t count;
};

/* How far a parser has come. All zeros is its beginning. */
struct rl_http_scan {
	uint32_t at;    /* the first byte that is not done with */
	uint32_t line;  /* where its line begins */
	uint32_t colon; /* the colon of its line, in a value */
	uint8_t stage;
};

/* Stages of the first lines come behind these, as their parser likes. */
enum { RL_HTTP_STAGE_LINE, RL_HTTP_STAGE_NAME, RL_HTTP_STAGE_VALUE, RL_HTTP_STAGE_MORE };

enum { RL_HTTP_FIELD = 1, RL_HTTP_FIELDS_END = 2 };

/*
 * Parse on from where `scan` is, to the end of one line of a message of which `len` bytes are here.
 * RL_HTTP_FIELD: it was appended to the list. RL_HTTP_FIELDS_END: it was the empty line.
 * 0: more bytes are needed. Or the negative of an error.
 */
int rl_http_field_next(struct rl_http_scan *scan, struct rl_http_fields *fields,
	const struct rl_http_limits *limits, const char *bytes, size_t len);

/* The first field of that id (a known one) or name (any case) from number `from` on; NULL if there
 * is none. To find all of a name, go on at rl_http_field_index + 1. */
const struct rl_http_field *rl_http_field_find(const struct rl_http_fields *fields, unsigned id,
	uint32_t from);
const struct rl_http_field *rl_http_field_find_name(const struct rl_http_fields *fields,
	const char *bytes, const char *name, size_t len, uint32_t from);

static inline uint32_t rl_http_field_index(const struct rl_http_fields *fields,
	const struct rl_http_field *field)
{
	return (uint32_t)(field - fields->list);
}

static inline bool rl_http_field_has(const struct rl_http_fields *fields, unsigned id)
{
	return fields->known & rl_http_name_bit(id);
}

/*
 * The next element of a comma-separated list (RFC 9110 5.6.1) in a value: true, and `item` is the
 * element without white space about it; commas in quoted strings do not separate, and empty
 * elements are passed over. `*at` begins at 0.
 */
bool rl_http_list_next(const char *bytes, struct rl_http_span value, uint32_t *at,
	struct rl_http_span *item);

/* Does a list, over all fields of that id, have an element which is this token (lower case),
 * with or without parameters behind a semicolon? */
bool rl_http_list_has(const struct rl_http_fields *fields, const char *bytes, unsigned id,
	const char *token, size_t len);

/* Is the range this text (lower case, a token), in any case? */
bool rl_http_span_is(const char *bytes, struct rl_http_span span, const char *lower);

#endif
