/* SPDX-License-Identifier: MIT */
/*
 * lbytecode_jit: dumps of LuaJIT 2.1 (format 2): a header with the chunk's name, then prototypes,
 * inner ones before the one they are in, each with its length in front, and a zero. A prototype
 * takes its children from those before it that nobody took yet, the last first.
 */
#include "lua/lbytecode.h"

#if LUA_VERSION_NUM == 501

#include <errno.h>
#include <string.h>

#define FORMAT 2
#define FLAG_STRIP 2
#define OP_USETV 46            /* the four that assign an upvalue follow one another */
#define OP_USETP 49
#define UPVALUE_LOCAL 0x8000   /* of the function around it; otherwise that one's upvalue */
#define UPVALUE_IMMUTABLE 0x4000
#define DEPTH_MAX 256          /* functions that wait for the one they are in */
#define UPVALUES_MAX 60

enum { K_CHILD, K_TABLE, K_INT64, K_UINT64, K_COMPLEX, K_STRING };
enum { V_INT = 3, V_NUMBER, V_STRING };

struct reader {
	const unsigned char *p, *end;
	bool is_bad;
};

/* A prototype: which upvalues it assigns, and where they come from. */
struct proto {
	const unsigned char *upvalues;
	unsigned upvalues_len;
	uint64_t assigned;
};

static struct reader reader_of(const char *data, size_t len)
{
	return (struct reader){(const unsigned char *)data, (const unsigned char *)data + len, false};
}

static uint32_t read_uleb(struct reader *r)
{
	uint32_t v = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (r->p >= r->end)
			break;
		unsigned char b = *r->p++;
		v |= (uint32_t)(b & 0x7f) << shift;
		if (b < 0x80)
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

static void skip_table_value(struct reader *r)
{
	uint32_t kind = read_uleb(r);
	if (kind >= V_STRING)
		skip(r, kind - V_STRING);
	else if (kind == V_NUMBER)
		read_uleb(r), read_uleb(r);
	else if (kind == V_INT)
		read_uleb(r);
}

static void skip_table(struct reader *r)
{
	uint32_t list = read_uleb(r), pairs = read_uleb(r);
	for (uint64_t i = 0; i < list + 2 * (uint64_t)pairs && !r->is_bad; i++)
		skip_table_value(r);
}

/* A constant; true when it is a child. */
static bool skip_constant(struct reader *r)
{
	uint32_t kind = read_uleb(r);
	if (kind == K_CHILD)
		return true;
	if (kind >= K_STRING)
		skip(r, kind - K_STRING);
	else if (kind == K_TABLE)
		skip_table(r);
	else
		for (int i = 0; i < (kind == K_COMPLEX ? 4 : 2); i++)
			read_uleb(r);
	return false;
}

static uint64_t assigned_by(const unsigned char *code, uint32_t n)
{
	uint64_t set = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t ins;
		memcpy(&ins, code + 4 * (size_t)i, sizeof ins);
		uint32_t op = ins & 0xff, upvalue = ins >> 8 & 0xff;
		if (op >= OP_USETV && op <= OP_USETP && upvalue < UPVALUES_MAX)
			set |= 1ull << upvalue;
	}
	return set;
}

static unsigned upvalue_at(const struct proto *p, unsigned i)
{
	uint16_t v;
	memcpy(&v, p->upvalues + 2 * i, sizeof v);
	return v;
}

/* What a child assigns of the function around it. */
static uint64_t assigned_outside(const struct proto *child)
{
	uint64_t set = 0;
	for (unsigned i = 0; i < child->upvalues_len; i++) {
		unsigned v = upvalue_at(child, i);
		if (child->assigned >> i & 1 && !(v & UPVALUE_LOCAL) && v < UPVALUES_MAX)
			set |= 1ull << v;
	}
	return set;
}

/* Read the prototype of `r` and take its children from the stack. */
static void read_proto(struct reader *r, struct proto *stack, unsigned *depth)
{
	struct proto p = {0};
	const unsigned char *head = skip(r, 4);
	uint32_t constants = read_uleb(r);
	read_uleb(r); /* numbers */
	uint32_t code_len = read_uleb(r);
	if (read_uleb(r) > 0)
		read_uleb(r), read_uleb(r); /* first line, number of lines */
	const unsigned char *code = skip(r, 4 * (size_t)code_len);
	if (r->is_bad || head[3] > UPVALUES_MAX) {
		r->is_bad = true;
		return;
	}
	p.upvalues_len = head[3];
	p.upvalues = skip(r, 2 * (size_t)p.upvalues_len);
	p.assigned = assigned_by(code, code_len);
	for (uint32_t i = 0; i < constants && !r->is_bad; i++) {
		if (!skip_constant(r))
			continue;
		r->is_bad |= *depth == 0;
		if (!r->is_bad)
			p.assigned |= assigned_outside(&stack[--*depth]);
	}
	r->is_bad |= *depth == DEPTH_MAX;
	if (!r->is_bad)
		stack[(*depth)++] = p;
}

/* The prototypes begin behind the header. */
static void skip_header(struct reader *r)
{
	const unsigned char *head = skip(r, 4);
	if (r->is_bad || memcmp(head, "\x1bLJ", 3) != 0 || head[3] != FORMAT)
		r->is_bad = true;
	if (read_uleb(r) & FLAG_STRIP)
		r->is_bad = true;
	skip(r, read_uleb(r));
}

/* The next prototype with its length, and where it begins. */
static const unsigned char *next_proto(struct reader *r, struct reader *body)
{
	const unsigned char *at = r->p;
	size_t n = read_uleb(r);
	if (n == 0)
		return NULL;
	body->p = skip(r, n);
	body->end = r->p;
	body->is_bad = r->is_bad;
	return r->is_bad ? NULL : at;
}

/* The upvalues of the function are the parameters of the maker. */
static void patch(char *out, const char *dump, const struct proto *p)
{
	char *at = out + ((const char *)p->upvalues - dump);
	for (unsigned i = 0; i < p->upvalues_len; i++) {
		uint16_t v = (uint16_t)(UPVALUE_LOCAL | (upvalue_at(p, i) & UPVALUE_IMMUTABLE) | i);
		memcpy(at + 2 * i, &v, sizeof v);
	}
}

int64_t rl_bytecode_wrap(const char *dump, size_t len, const char *maker, size_t maker_len,
	char *out, uint8_t assigned[32])
{
	struct proto stack[DEPTH_MAX];
	unsigned depth = 0;
	struct reader body, r = reader_of(dump, len), m = reader_of(maker, maker_len);
	skip_header(&r);
	while (!r.is_bad && next_proto(&r, &body)) {
		read_proto(&body, stack, &depth);
		r.is_bad |= body.is_bad;
	}
	skip_header(&m);
	next_proto(&m, &body);
	const unsigned char *outer = next_proto(&m, &body);
	if (r.is_bad || depth != 1 || r.p != r.end || m.is_bad || !outer)
		return -EINVAL;
	memcpy(out, dump, len - 1); /* without the zero */
	memcpy(out + len - 1, outer, (size_t)(m.end - outer));
	patch(out, dump, &stack[0]);
	memcpy(assigned, &stack[0].assigned, sizeof stack[0].assigned);
	return (int64_t)(len - 1 + (size_t)(m.end - outer));
}

#endif
