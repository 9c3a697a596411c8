/* SPDX-License-Identifier: MIT */
/*
 * http_field: one line is name, then value. Whoever runs out of bytes notes the stage and the
 * place, so that no byte is looked at twice (but for a CR whose LF is not here).
 *
 * Invariant: an error depends on the bytes up to the one that makes it, not on how they were cut:
 * no check looks beyond `stop`, the end of what a line may be.
 */
#include "base/http_field.h"

#include "base/check.h"
#include "base/http_char.h"

#include <string.h>

#define MORE 0

/* Where a line that begins at `line` must have ended: one behind the last byte that may be a CR. */
static size_t stop_of(uint32_t line, const struct rl_http_limits *limits, size_t len)
{
	uint32_t max = limits->line_max < RL_HTTP_LINE_MAX ? limits->line_max : RL_HTTP_LINE_MAX;
	return len - line > max ? (size_t)line + max + 1 : len;
}

/* Bytes ended in the middle of a line: because no more are here, or because it is too long. */
static int short_line(struct rl_http_scan *s, const struct rl_http_limits *limits, size_t at)
{
	s->at = (uint32_t)at;
	bool is_long = at - s->line > limits->line_max || at - s->line > RL_HTTP_LINE_MAX;
	return is_long ? -RL_HTTP_LONG_LINE : MORE;
}

/* At the begin of a line: RL_HTTP_FIELD if a name begins here, else as rl_http_field_next. */
static int begin_line(struct rl_http_scan *s, const struct rl_http_fields *fields,
	const struct rl_http_limits *limits, const unsigned char *bytes, size_t len)
{
	if (s->at == len)
		return MORE;
	const unsigned char *p = bytes + s->at;
	if (*p == '\r') {
		if (s->at + 1 == len)
			return MORE;
		if (p[1] != '\n')
			return -RL_HTTP_BAD_LINE_END;
		s->at += 2;
		return RL_HTTP_FIELDS_END;
	}
	if (*p == '\n')
		return -RL_HTTP_BAD_LINE_END;
	if (*p == ' ' || *p == '\t')
		return -RL_HTTP_FOLDED;
	if (fields->count >= limits->fields_max)
		return -RL_HTTP_MANY_FIELDS;
	s->line = s->at;
	s->stage = RL_HTTP_STAGE_NAME;
	return RL_HTTP_FIELD;
}

/* A line whose value ends before `to`: it becomes a field. */
static void append(struct rl_http_scan *s, struct rl_http_fields *fields,
	const unsigned char *bytes, const unsigned char *to)
{
	const unsigned char *from = bytes + s->colon + 1;
	rl_http_trim(&from, &to);
	struct rl_http_field *f = &fields->list[fields->count++];
	f->name = s->line;
	f->name_len = (uint16_t)(s->colon - s->line);
	f->value.off = (uint32_t)(from - bytes);
	f->value.len = (uint32_t)(to - from);
	f->id = (uint8_t)rl_http_name_find((const char *)bytes + s->line, f->name_len);
	fields->known |= rl_http_name_bit(f->id);
}

/* The end of a value, at `p`. */
static int end_line(struct rl_http_scan *s, struct rl_http_fields *fields,
	const unsigned char *bytes, const unsigned char *p, size_t len)
{
	if (*p != '\r')
		return *p == '\n' ? -RL_HTTP_BAD_LINE_END : -RL_HTTP_BAD_VALUE;
	s->at = (uint32_t)(p - bytes);
	if (s->at + 1 == len)
		return MORE;
	if (p[1] != '\n')
		return -RL_HTTP_BAD_LINE_END;
	append(s, fields, bytes, p);
	s->at += 2;
	s->stage = RL_HTTP_STAGE_LINE;
	return RL_HTTP_FIELD;
}

int rl_http_field_next(struct rl_http_scan *s, struct rl_http_fields *fields,
	const struct rl_http_limits *limits, const char *text, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)text;
	RL_DEBUG_ASSERT(s->at <= len && s->stage < RL_HTTP_STAGE_MORE);
	if (s->stage == RL_HTTP_STAGE_LINE) {
		int got = begin_line(s, fields, limits, bytes, len);
		if (got != RL_HTTP_FIELD)
			return got;
	}
	const unsigned char *p = bytes + s->at, *stop = bytes + stop_of(s->line, limits, len);
	if (s->stage == RL_HTTP_STAGE_NAME) {
		p = rl_http_skip(p, stop, RL_HTTP_TOKEN);
		if (p == stop)
			return short_line(s, limits, (size_t)(p - bytes));
		s->colon = (uint32_t)(p - bytes);
		if (*p != ':' || s->colon == s->line)
			return -RL_HTTP_BAD_NAME;
		s->stage = RL_HTTP_STAGE_VALUE;
		p++;
	}
	p = rl_http_skip_text(p, stop);
	if (p == stop)
		return short_line(s, limits, (size_t)(p - bytes));
	return end_line(s, fields, bytes, p, len);
}

const struct rl_http_field *rl_http_field_find(const struct rl_http_fields *fields, unsigned id,
	uint32_t from)
{
	if (id == RL_FIELD_OTHER || id >= RL_FIELD_COUNT || !rl_http_field_has(fields, id))
		return NULL;
	for (uint32_t i = from; i < fields->count; i++)
		if (fields->list[i].id == id)
			return &fields->list[i];
	return NULL;
}

const struct rl_http_field *rl_http_field_find_name(const struct rl_http_fields *fields,
	const char *bytes, const char *name, size_t len, uint32_t from)
{
	const unsigned char *text = (const unsigned char *)bytes;
	unsigned id = rl_http_name_find(name, len);
	if (id != RL_FIELD_OTHER)
		return rl_http_field_find(fields, id, from);
	for (uint32_t i = from; i < fields->count; i++) {
		const struct rl_http_field *f = &fields->list[i];
		if (f->id == RL_FIELD_OTHER && f->name_len == len &&
			rl_http_same_text(text + f->name, (const unsigned char *)name, len))
			return f;
	}
	return NULL;
}

/* Where the element that begins at `p` ends: at a comma outside of quotes, or at `end`. */
static const unsigned char *element_end(const unsigned char *p, const unsigned char *end)
{
	bool quoted = false;
	for (; p < end; p++) {
		if (*p == ',' && !quoted)
			break;
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p + 1 < end)
			p++;
	}
	return p;
}

bool rl_http_list_next(const char *bytes, struct rl_http_span value, uint32_t *at,
	struct rl_http_span *item)
{
	const unsigned char *base = (const unsigned char *)bytes + value.off;
	while (*at < value.len) {
		const unsigned char *from = base + *at, *to = element_end(from, base + value.len);
		*at = (uint32_t)(to - base) + 1;
		rl_http_trim(&from, &to);
		if (from < to) {
			item->off = value.off + (uint32_t)(from - base);
			item->len = (uint32_t)(to - from);
			return true;
		}
	}
	return false;
}

bool rl_http_list_has(const struct rl_http_fields *fields, const char *bytes, unsigned id,
	const char *token, size_t len)
{
	const struct rl_http_field *f = rl_http_field_find(fields, id, 0);
	while (f) {
		struct rl_http_span item;
		uint32_t at = 0;
		while (rl_http_list_next(bytes, f->value, &at, &item)) {
			const unsigned char *p = (const unsigned char *)bytes + item.off;
			const unsigned char *end = rl_http_skip(p, p + item.len, RL_HTTP_TOKEN);
			bool alone = end == p + item.len || *end == ';' || *end == ' ' || *end == '\t';
			if (alone && (size_t)(end - p) == len && rl_http_same(p, token, len))
				return true;
		}
		f = rl_http_field_find(fields, id, rl_http_field_index(fields, f) + 1);
	}
	return false;
}

bool rl_http_span_is(const char *bytes, struct rl_http_span span, const char *lower)
{
	return span.len == strlen(lower) &&
		rl_http_same_text((const unsigned char *)bytes + span.off,
			(const unsigned char *)lower, span.len);
}
