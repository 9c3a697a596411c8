/* SPDX-License-Identifier: MIT */
/*
 * lbytecode_54: dumps of Lua 5.4 (format 0): a header, the number of upvalues, then a function,
 * with the functions in it before its debug information.
 */
#include "lua/lbytecode.h"

#if LUA_VERSION_NUM >= 504

#include <errno.h>
#include <string.h>

#define HEADER (4 + 1 + 1 + 6 + 3 + 8 + 8)
#define HEADER_VERSION 0x54
#define HEADER_FORMAT 0
#define OP_SETUPVAL 10
#define KIND_FLOAT 0x13
#define KIND_INTEGER 0x03
#define KIND_SHORT 0x04
#define KIND_LONG 0x14
#define DEPTH_MAX 190

struct reader {
	const unsigned char *p, *end;
	bool is_bad;
};

/* A function: which upvalues it assigns, where they come from, where the first one in it is. */
struct function {
	const unsigned char *upvalues;
	unsigned upvalues_len;
	uint8_t assigned[32];
	const unsigned char *child, *child_end;
};

static size_t read_size(struct reader *r)
{
	size_t v = 0;
	for (int i = 0; i < 10 && r->p < r->end; i++) {
		unsigned char b = *r->p++;
		v = v << 7 | (b & 0x7f);
		if (b & 0x80)
			return v;
	}
	r->is_bad = true;
	return 0;
}

static const unsigned char *skip(struct reader *r, size_t n)
{
	const unsigned char *at = r->p;
	if (n > (size_t)(r->end - r->p)) {
		r->is_bad = true;
		n = (size_t)(r->end - r->p);
	}
	r->p += n;
	return at;
}

static void skip_string(struct reader *r)
{
	size_t n = read_size(r);
	if (n > 0)
		skip(r, n - 1);
}

static void skip_constants(struct reader *r)
{
	size_t n = read_size(r);
	for (size_t i = 0; i < n && !r->is_bad; i++) {
		const unsigned char *kind = skip(r, 1);
		if (r->is_bad)
			return;
		if (*kind == KIND_FLOAT || *kind == KIND_INTEGER)
			skip(r, 8);
		else if (*kind == KIND_SHORT || *kind == KIND_LONG)
			skip_string(r);
	}
}

static void skip_debug(struct reader *r)
{
	skip(r, read_size(r));
	size_t lines = read_size(r);
	for (size_t i = 0; i < 2 * lines && !r->is_bad; i++)
		read_size(r);
	size_t locals = read_size(r);
	for (size_t i = 0; i < locals && !r->is_bad; i++) {
		skip_string(r);
		read_size(r);
		read_size(r);
	}
	size_t names = read_size(r);
	for (size_t i = 0; i < names && !r->is_bad; i++)
		skip_string(r);
}

static void set_bit(uint8_t set[32], unsigned i)
{
	set[i / 8] |= (uint8_t)(1u << i % 8);
}

static void read_code(struct reader *r, struct function *f)
{
	size_t n = read_size(r);
	const unsigned char *code = skip(r, 4 * n);
	for (size_t i = 0; i < n && !r->is_bad; i++) {
		uint32_t ins;
		memcpy(&ins, code + 4 * i, sizeof ins);
		if ((ins & 0x7f) == OP_SETUPVAL)
			set_bit(f->assigned, ins >> 16 & 0xff);
	}
}

/* What the child assigns of the function around it. */
static void add_assigned(struct function *f, const struct function *child)
{
	for (unsigned i = 0; i < child->upvalues_len; i++) {
		const unsigned char *from = child->upvalues + 3 * i; /* is a local, index, kind */
		if (child->assigned[i / 8] >> i % 8 & 1 && !from[0])
			set_bit(f->assigned, from[1]);
	}
}

static void read_function(struct reader *r, struct function *f, int depth)
{
	struct function child;
	memset(f, 0, sizeof *f);
	skip_string(r); /* source */
	read_size(r);   /* lines */
	read_size(r);
	skip(r, 3);     /* parameters, is vararg, stack */
	read_code(r, f);
	skip_constants(r);
	f->upvalues_len = (unsigned)read_size(r);
	f->upvalues = skip(r, 3 * (size_t)f->upvalues_len);
	size_t n = read_size(r);
	r->is_bad |= depth > DEPTH_MAX || f->upvalues_len > 255;
	for (size_t i = 0; i < n && !r->is_bad; i++) {
		const unsigned char *at = r->p;
		read_function(r, &child, depth + 1);
		if (r->is_bad)
			return;
		if (i == 0) {
			f->child = at;
			f->child_end = r->p;
		}
		add_assigned(f, &child);
	}
	skip_debug(r);
}

/* Read a dump; false when it is of another form. */
static bool read_dump(const char *dump, size_t len, struct function *f)
{
	struct reader r = {(const unsigned char *)dump, (const unsigned char *)dump + len, false};
	const unsigned char *head = skip(&r, HEADER + 1);
	if (r.is_bad || memcmp(head, LUA_SIGNATURE, 4) != 0)
		return false;
	if (head[4] != HEADER_VERSION || head[5] != HEADER_FORMAT)
		return false;
	read_function(&r, f, 0);
	return !r.is_bad && r.p == r.end;
}

int64_t rl_bytecode_wrap(const char *dump, size_t len, const char *maker, size_t maker_len,
	char *out, uint8_t assigned[32])
{
	struct function f, m;
	if (!read_dump(dump, len, &f) || !read_dump(maker, maker_len, &m) || !m.child)
		return -EINVAL;
	size_t before = (size_t)((const char *)m.child - maker), n = len - (HEADER + 1);
	size_t after = (size_t)(maker + maker_len - (const char *)m.child_end);
	memcpy(out, maker, before);
	memcpy(out + before, dump + HEADER + 1, n);
	memcpy(out + before + n, m.child_end, after);
	char *upvalues = out + before + ((const char *)f.upvalues - (dump + HEADER + 1));
	for (unsigned i = 0; i < f.upvalues_len; i++) {
		upvalues[3 * i] = 1; /* a local, which the parameter is */
		upvalues[3 * i + 1] = (char)i;
	}
	memcpy(assigned, f.assigned, sizeof f.assigned);
	return (int64_t)(before + n + after);
}

#endif
