/* SPDX-License-Identifier: MIT */
/*
 * lbtf: is this BTF that libbpf can be given? Every name and every type that it refers to is there,
 * sections have variables, and no chain of typedefs and qualifiers goes round in a circle.
 */
#include "bpf/lbpf.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 32 /* typedefs and qualifiers before a type; as many as libbpf follows */

struct types {
	const char *types, *strings;
	uint32_t types_len, strings_len;
	uint32_t n;   /* types, `void` not counted */
	uint32_t *at; /* where each begins */
};

static bool is_aligned(uint32_t n)
{
	return n % 4 == 0;
}

static const char *check_head(const char *bytes, size_t len, struct types *x)
{
	struct btf_header h;
	if (len < sizeof h || len > UINT32_MAX)
		return "its types are cut off";
	memcpy(&h, bytes, sizeof h);
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.hdr_len != sizeof h || h.flags != 0)
		return "its types begin as none do";
	uint64_t room = len - sizeof h;
	if (!is_aligned(h.type_off) || !is_aligned(h.type_len)
		|| (uint64_t)h.type_off + h.type_len > room || (uint64_t)h.str_off + h.str_len > room
		|| h.str_len == 0 || h.type_off + h.type_len > h.str_off)
		return "its types are cut off";
	x->types = bytes + sizeof h + h.type_off;
	x->types_len = h.type_len;
	x->strings = bytes + sizeof h + h.str_off;
	x->strings_len = h.str_len;
	if (x->strings[0] != '\0' || x->strings[h.str_len - 1] != '\0')
		return "the names of its types are broken";
	return NULL;
}

static const struct btf_type *type_at(const struct types *x, uint32_t at)
{
	return (const struct btf_type *)(x->types + at);
}

/* NULL: `void`, or none. */
static const struct btf_type *type_of(const struct types *x, uint32_t id)
{
	return id >= 1 && id <= x->n ? type_at(x, x->at[id - 1]) : NULL;
}

/* Bytes behind the head of a type; -1: there is no such kind. */
static int64_t tail(const struct btf_type *t)
{
	uint32_t n = btf_vlen(t);
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return n * (int64_t)sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return n * (int64_t)sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return n * (int64_t)sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return n * (int64_t)sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return n * (int64_t)sizeof(struct btf_var_secinfo);
	case BTF_KIND_UNKN:
		return -1;
	default:
		return btf_kind(t) <= BTF_KIND_ENUM64 ? 0 : -1;
	}
}

/* Find where each begins. Called twice: to count, and to note. */
static bool walk(struct types *x)
{
	uint32_t at = 0;
	x->n = 0;
	while (at < x->types_len) {
		if (x->types_len - at < sizeof(struct btf_type))
			return false;
		int64_t more = tail(type_at(x, at));
		if (more < 0 || (uint64_t)more > x->types_len - at - sizeof(struct btf_type))
			return false;
		if (x->at)
			x->at[x->n] = at;
		x->n++;
		at += (uint32_t)(sizeof(struct btf_type) + (size_t)more);
	}
	return true;
}

static bool is_name(const struct types *x, uint32_t offset)
{
	return offset < x->strings_len;
}

static bool is_id(const struct types *x, uint32_t id)
{
	return id <= x->n;
}

static bool is_alias(const struct btf_type *t)
{
	return btf_is_mod(t) || btf_is_typedef(t);
}

static bool ends(const struct types *x, const struct btf_type *t)
{
	for (int i = 0; i < CHAIN_MAX && t; i++) {
		if (!is_alias(t))
			return true;
		t = type_of(x, t->type);
	}
	return !t;
}

static bool check_members(const struct types *x, const struct btf_type *t)
{
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const struct btf_type *of = type_of(x, m->type);
		/* What a struct has of itself is a pointer, or an array of none. */
		if (!is_name(x, m->name_off) || !of || of == t
			|| btf_member_bit_offset(t, i) > (uint64_t)t->size * 8)
			return false;
	}
	return true;
}

static bool check_enum(const struct types *x, const struct btf_type *t)
{
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		if (!is_name(x, btf_is_enum(t) ? btf_enum(t)[i].name_off : btf_enum64(t)[i].name_off))
			return false;
	}
	return true;
}

static bool check_params(const struct types *x, const struct btf_type *t)
{
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		if (!is_name(x, btf_params(t)[i].name_off) || !is_id(x, btf_params(t)[i].type))
			return false;
	}
	return is_id(x, t->type);
}

/* What a section has are variables; of a program's functions there are some too. */
static bool check_section(const struct types *x, const struct btf_type *t)
{
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_type *v = type_of(x, btf_var_secinfos(t)[i].type);
		if (!v || !(btf_is_var(v) || btf_is_func(v)))
			return false;
	}
	return true;
}

static bool check_array(const struct types *x, const struct btf_type *t)
{
	const struct btf_type *of = type_of(x, btf_array(t)->type);
	return of && of != t && type_of(x, btf_array(t)->index_type);
}

static bool check_type(const struct types *x, const struct btf_type *t)
{
	const struct btf_type *of = type_of(x, t->type);
	if (!is_name(x, t->name_off))
		return false;
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		return t->size >= 1 && t->size <= 16 && btf_int_bits(t) <= t->size * 8;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return t->size >= 1 && t->size <= 8 && check_enum(x, t);
	case BTF_KIND_FLOAT:
		return t->size >= 2 && t->size <= 16;
	case BTF_KIND_ARRAY:
		return check_array(x, t);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return check_members(x, t);
	case BTF_KIND_FUNC_PROTO:
		return check_params(x, t);
	case BTF_KIND_DATASEC:
		return check_section(x, t);
	case BTF_KIND_VAR:
		return of != NULL && ends(x, of);
	case BTF_KIND_FUNC:
		return of && btf_is_func_proto(of);
	case BTF_KIND_FWD:
		return true;
	case BTF_KIND_DECL_TAG:
		return of != NULL;
	default:
		return is_id(x, t->type) && ends(x, t);
	}
}

const char *rl_bpf_check_btf(const char *bytes, size_t len)
{
	struct types x = {0};
	char *copy = malloc(len + 1); /* aligned */
	const char *why = copy ? NULL : "there is no memory";
	if (!why)
		why = check_head(memcpy(copy, bytes, len), len, &x);
	if (!why && !walk(&x))
		why = "its types are broken";
	x.at = why ? NULL : calloc(x.n + 1, sizeof *x.at);
	if (!why && !x.at)
		why = "there is no memory";
	if (!why)
		walk(&x);
	for (uint32_t i = 0; !why && i < x.n; i++) {
		if (!check_type(&x, type_at(&x, x.at[i])))
			why = "a type is broken";
	}
	free(x.at);
	free(copy);
	return why;
}
