/* SPDX-License-Identifier: MIT */
/*
 * ltype: bytes as values of Lua and back, by the types that BTF describes.
 *
 * Integers, pointers and floats are numbers, a bool is a boolean, a value of an enum its name (or
 * its number, when it has none). An array of char is a string that ends at the first NUL; an array
 * of other integers of one byte is a string with all its bytes; other arrays are lists, structs and
 * unions are tables, with the fields of anonymous members among their own. A string of the right
 * size stands for any array, struct or union, as its bytes. What a table does not say is zero; of a
 * union it says one field.
 *
 * Types may come from a hostile file: libbpf has checked that numbers of types exist, everything
 * else is checked here, and how deep they go is bounded.
 */
#include "bpf/lbpf.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 16
#define VALUES_MAX (1u << 20) /* in one value; types that have themselves would go on for long */
#define PATH_MAX_ 128

struct reader {
	lua_State *L;
	const struct btf *btf;
	int depth;
	uint32_t n; /* values made */
};

struct writer {
	lua_State *L;
	const struct btf *btf;
	int depth;
	char path[PATH_MAX_]; /* to what is written */
};

/* The type behind typedefs and qualifiers, and its size; NULL: it has none. */
static const struct btf_type *resolve(const struct btf *btf, uint32_t type, uint32_t *size)
{
	int id = btf ? btf__resolve_type(btf, type) : -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	int64_t n = t ? btf__resolve_size(btf, (uint32_t)id) : -1;
	if (n < 0 || n > UINT32_MAX)
		return NULL;
	*size = (uint32_t)n;
	return t;
}

static const char *name_of(const struct btf *btf, uint32_t offset)
{
	const char *name = btf__name_by_offset(btf, offset);
	return name ? name : "";
}

static uint64_t load(const char *from, uint32_t size)
{
	uint64_t v = 0;
	memcpy(&v, from, size <= sizeof v ? size : sizeof v); /* little-endian, as all that run this */
	return v;
}

static uint64_t extend(uint64_t v, uint32_t bits)
{
	return bits >= 64 ? v : (uint64_t)((int64_t)(v << (64 - bits)) >> (64 - bits));
}

/* What an array of one-byte integers is: 0 no such array, 'c' of char, 'b' of others. */
static char bytes_kind(const struct btf *btf, uint32_t element)
{
	uint32_t size;
	const struct btf_type *t = resolve(btf, element, &size);
	if (!t || !btf_is_int(t) || size != 1 || btf_int_encoding(t) & BTF_INT_BOOL)
		return 0;
	return strcmp(name_of(btf, t->name_off), "char") == 0 ? 'c' : 'b';
}

/* Is a member of `len` bytes, or of `bits`, within `size` bytes? */
static bool is_inside(uint64_t at, uint32_t bits, uint64_t len, uint64_t size)
{
	return bits <= 64 && at + (bits > 0 ? bits : len * 8) <= size * 8;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_value(struct reader *r, uint32_t type, const char *from, uint32_t size);

static void read_int(struct reader *r, const struct btf_type *t, uint64_t v, uint32_t bits)
{
	uint8_t encoding = btf_int_encoding(t);
	if (encoding & BTF_INT_BOOL)
		lua_pushboolean(r->L, v != 0);
	else if (encoding & BTF_INT_SIGNED)
		rl_bpf_push64(r->L, extend(v, bits), true);
	else
		rl_bpf_push64(r->L, v, false);
}

/* Has the enum negative values? Older compilers do not say so. */
static bool is_signed(const struct btf_type *t)
{
	if (btf_kflag(t) || !btf_is_enum(t))
		return btf_kflag(t);
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		if (btf_enum(t)[i].val < 0)
			return true;
	}
	return false;
}

static void read_enum(struct reader *r, const struct btf_type *t, uint64_t v, uint32_t bits)
{
	uint64_t mask = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		uint64_t is;
		uint32_t name;
		if (btf_is_enum(t)) {
			is = (uint64_t)(int64_t)btf_enum(t)[i].val;
			name = btf_enum(t)[i].name_off;
		} else {
			is = btf_enum64_value(&btf_enum64(t)[i]);
			name = btf_enum64(t)[i].name_off;
		}
		if ((is & mask) == (v & mask)) {
			lua_pushstring(r->L, name_of(r->btf, name));
			return;
		}
	}
	rl_bpf_push64(r->L, is_signed(t) ? extend(v, bits) : v, is_signed(t));
}

static void read_scalar(struct reader *r, const struct btf_type *t, uint64_t v, uint32_t bits)
{
	if (btf_is_int(t))
		read_int(r, t, v, bits);
	else if (btf_is_any_enum(t))
		read_enum(r, t, v, bits);
	else
		rl_bpf_push64(r->L, v, false);
}

static void read_float(lua_State *L, const char *from, uint32_t size)
{
	float f;
	double d = 0;
	if (size == sizeof f) {
		memcpy(&f, from, sizeof f);
		d = (double)f;
	} else if (size == sizeof d) {
		memcpy(&d, from, sizeof d);
	}
	lua_pushnumber(L, d);
}

static void read_array(struct reader *r, const struct btf_type *t, const char *from, uint32_t size)
{
	const struct btf_array *a = btf_array(t);
	char kind = bytes_kind(r->btf, a->type);
	if (kind) {
		lua_pushlstring(r->L, from, kind == 'c' ? strnlen(from, size) : size);
		return;
	}
	uint32_t each = a->nelems > 0 ? size / a->nelems : 0;
	lua_createtable(r->L, each > 0 ? (int)a->nelems : 0, 0);
	for (uint32_t i = 0; each > 0 && i < a->nelems; i++) {
		read_value(r, a->type, from + (size_t)i * each, each);
		lua_rawseti(r->L, -2, (int)i + 1);
	}
}

/* `bits` at a bit offset; the result is in the low ones. */
static uint64_t load_bits(const char *from, uint32_t offset, uint32_t bits)
{
	uint64_t v = 0;
	for (uint32_t i = 0; i < bits; i++) {
		uint32_t at = offset + i;
		v |= (uint64_t)((unsigned char)from[at / 8] >> at % 8 & 1) << i;
	}
	return v;
}

/* Into the table on top. */
static void read_fields(struct reader *r, const struct btf_type *t, const char *from, uint32_t size)
{
	if (++r->depth > DEPTH_MAX)
		luaL_error(r->L, "the type is too deep");
	for (uint16_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		uint32_t at = btf_member_bit_offset(t, i), bits = btf_member_bitfield_size(t, i), len;
		const struct btf_type *of = resolve(r->btf, m->type, &len);
		const char *name = name_of(r->btf, m->name_off);
		if (!of || !is_inside(at, bits, len, size))
			continue;
		if (!*name && btf_is_composite(of)) {
			r->n++;
			read_fields(r, of, from + at / 8, len);
			continue;
		}
		if (bits)
			read_scalar(r, of, load_bits(from, at, bits), bits);
		else
			read_value(r, m->type, from + at / 8, len);
		lua_setfield(r->L, -2, name);
	}
	r->depth--;
}

static void read_value(struct reader *r, uint32_t type, const char *from, uint32_t size)
{
	uint32_t len;
	const struct btf_type *t = resolve(r->btf, type, &len);
	luaL_checkstack(r->L, 4, "the type is too deep");
	if (++r->n > VALUES_MAX)
		luaL_error(r->L, "the type is too large");
	if (!t || len > size) {
		lua_pushlstring(r->L, from, size);
	} else if (btf_is_composite(t)) {
		lua_createtable(r->L, 0, btf_vlen(t));
		read_fields(r, t, from, len);
	} else if (btf_is_array(t)) {
		if (++r->depth > DEPTH_MAX)
			luaL_error(r->L, "the type is too deep");
		read_array(r, t, from, len);
		r->depth--;
	} else if (btf_is_float(t)) {
		read_float(r->L, from, len);
	} else if (len > 8) {
		lua_pushlstring(r->L, from, len);
	} else {
		read_scalar(r, t, load(from, len), len * 8);
	}
}

void rl_bpf_decode(lua_State *L, const struct btf *btf, uint32_t type, const char *from,
	uint32_t size)
{
	struct reader r = {.L = L, .btf = btf};
	if (type == RL_BPF_UINT && size <= 8)
		rl_bpf_push64(L, load(from, size), false);
	else if (type == RL_BPF_RAW || type == RL_BPF_UINT)
		lua_pushlstring(L, from, size);
	else
		read_value(&r, type, from, size);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_value(struct writer *w, int i, uint32_t type, char *to, uint32_t size);

static void refuse(struct writer *w, int i, const char *expected)
{
	luaL_error(w->L, "%s must be %s, not a %s", w->path, expected, luaL_typename(w->L, i));
}

static void deeper(struct writer *w)
{
	luaL_checkstack(w->L, 6, "the type is too deep");
	if (++w->depth > DEPTH_MAX)
		luaL_error(w->L, "%s: the type is too deep", w->path);
}

/* Append to the path; what it was is `len` long. */
static void step(struct writer *w, size_t len, const char *form, const char *name, uint32_t n)
{
	if (name)
		snprintf(w->path + len, sizeof w->path - len, form, name);
	else
		snprintf(w->path + len, sizeof w->path - len, "[%u]", n);
}

static bool fits(uint64_t v, uint32_t bits, bool is_signed, bool is_negative)
{
	if (bits >= 64)
		return true;
	if (is_signed)
		return extend(v, bits) == v;
	return !is_negative && v >> bits == 0;
}

static uint64_t checked(struct writer *w, int i, uint32_t bits, bool is_signed)
{
	uint64_t v = 0;
	if (!rl_bpf_to64(w->L, i, &v))
		refuse(w, i, lua_type(w->L, i) == LUA_TNUMBER ? "a whole number of 64 bits" : "a number");
	bool is_negative = lua_type(w->L, i) == LUA_TNUMBER && lua_tonumber(w->L, i) < 0;
	if (!fits(v, bits, is_signed, is_negative))
		luaL_error(w->L, "%s is out of range: %d bits, %s", w->path, (int)bits,
			is_signed ? "signed" : "unsigned");
	return v;
}

static uint64_t checked_enum(struct writer *w, int i, const struct btf_type *t, uint32_t bits)
{
	if (lua_type(w->L, i) != LUA_TSTRING)
		return checked(w, i, bits, is_signed(t));
	const char *wanted = lua_tostring(w->L, i);
	for (uint16_t k = 0; k < btf_vlen(t); k++) {
		uint32_t name = btf_is_enum(t) ? btf_enum(t)[k].name_off : btf_enum64(t)[k].name_off;
		if (strcmp(name_of(w->btf, name), wanted) == 0)
			return btf_is_enum(t) ? (uint64_t)(int64_t)btf_enum(t)[k].val
				: btf_enum64_value(&btf_enum64(t)[k]);
	}
	luaL_error(w->L, "%s: '%s' is no name of the enum", w->path, wanted);
	return 0;
}

static uint64_t checked_scalar(struct writer *w, int i, const struct btf_type *t, uint32_t bits)
{
	if (btf_is_any_enum(t))
		return checked_enum(w, i, t, bits);
	if (!btf_is_int(t))
		return checked(w, i, bits, false);
	if (btf_int_encoding(t) & BTF_INT_BOOL) {
		if (lua_type(w->L, i) == LUA_TBOOLEAN)
			return (uint64_t)lua_toboolean(w->L, i);
		refuse(w, i, "a boolean");
	}
	return checked(w, i, bits, btf_int_encoding(t) & BTF_INT_SIGNED);
}

static void store_bits(char *to, uint32_t offset, uint32_t bits, uint64_t v)
{
	for (uint32_t i = 0; i < bits; i++) {
		uint32_t at = offset + i;
		to[at / 8] = (char)(to[at / 8] | (v >> i & 1) << at % 8);
	}
}

/* A string at `i` as the bytes of an array, struct or union. False: it is no string. */
static bool write_bytes(struct writer *w, int i, char *to, uint32_t size, bool shorter)
{
	size_t len;
	if (lua_type(w->L, i) != LUA_TSTRING)
		return false;
	const char *bytes = lua_tolstring(w->L, i, &len);
	if (shorter ? len > size : len != size)
		luaL_error(w->L, "%s has %d bytes, %s %d", w->path, (int)len,
			shorter ? "there is room for" : "its type has", (int)size);
	memcpy(to, bytes, len);
	return true;
}

static void write_array(struct writer *w, int i, const struct btf_type *t, char *to, uint32_t size)
{
	const struct btf_array *a = btf_array(t);
	uint32_t each = a->nelems > 0 ? size / a->nelems : 0;
	size_t len = strlen(w->path), n;
	if (write_bytes(w, i, to, size, bytes_kind(w->btf, a->type) == 'c'))
		return;
	if (lua_type(w->L, i) != LUA_TTABLE)
		refuse(w, i, "a list or a string");
	n = rl_rawlen(w->L, i);
	if (n > a->nelems)
		luaL_error(w->L, "%s has %d elements, there is room for %d", w->path, (int)n,
			(int)a->nelems);
	deeper(w);
	for (uint32_t k = 0; k < n; k++) {
		step(w, len, NULL, NULL, k + 1);
		lua_rawgeti(w->L, i, (int)k + 1);
		write_value(w, lua_gettop(w->L), a->type, to + (size_t)k * each, each);
		lua_pop(w->L, 1);
	}
	w->path[len] = '\0';
	w->depth--;
}

/* Write the fields that the table at `i` has; how many it has of them. */
static unsigned write_fields(struct writer *w, int i, const struct btf_type *t, char *to,
	uint32_t size)
{
	unsigned found = 0;
	size_t path = strlen(w->path);
	deeper(w);
	for (uint16_t k = 0; k < btf_vlen(t); k++) {
		const struct btf_member *m = &btf_members(t)[k];
		uint32_t at = btf_member_bit_offset(t, k), bits = btf_member_bitfield_size(t, k), len;
		const struct btf_type *of = resolve(w->btf, m->type, &len);
		const char *name = name_of(w->btf, m->name_off);
		if (!of || !is_inside(at, bits, len, size))
			continue;
		if (!*name && btf_is_composite(of)) {
			found += write_fields(w, i, of, to + at / 8, len);
			continue;
		}
		lua_pushstring(w->L, name);
		lua_rawget(w->L, i);
		if (!lua_isnil(w->L, -1)) {
			found++;
			step(w, path, ".%s", name, 0);
			if (bits)
				store_bits(to, at, bits, checked_scalar(w, lua_gettop(w->L), of, bits));
			else
				write_value(w, lua_gettop(w->L), m->type, to + at / 8, len);
			w->path[path] = '\0';
		}
		lua_pop(w->L, 1);
	}
	w->depth--;
	return found;
}

static bool has_field(const struct btf *btf, const struct btf_type *t, const char *name, int depth)
{
	for (uint16_t k = 0; k < btf_vlen(t) && depth < DEPTH_MAX; k++) {
		const struct btf_member *m = &btf_members(t)[k];
		const char *its = name_of(btf, m->name_off);
		uint32_t len;
		const struct btf_type *of = resolve(btf, m->type, &len);
		if (*its ? strcmp(its, name) == 0
			: of && btf_is_composite(of) && has_field(btf, of, name, depth + 1))
			return true;
	}
	return false;
}

static void write_struct(struct writer *w, int i, const struct btf_type *t, char *to, uint32_t size)
{
	unsigned has = 0;
	if (write_bytes(w, i, to, size, false))
		return;
	if (lua_type(w->L, i) != LUA_TTABLE)
		refuse(w, i, "a table or a string");
	luaL_checkstack(w->L, 6, NULL);
	lua_pushnil(w->L);
	while (lua_next(w->L, i)) {
		has++;
		lua_pop(w->L, 1);
		if (lua_type(w->L, -1) != LUA_TSTRING
			|| !has_field(w->btf, t, lua_tostring(w->L, -1), 0)) {
			lua_pushvalue(w->L, -1);
			luaL_error(w->L, "%s has no field '%s'", w->path,
				lua_type(w->L, -1) == LUA_TSTRING ? lua_tostring(w->L, -1)
				: luaL_typename(w->L, -1));
		}
	}
	if (btf_is_union(t) && has > 1)
		luaL_error(w->L, "%s is a union: give one field of it", w->path);
	write_fields(w, i, t, to, size);
}

static void write_float(struct writer *w, int i, char *to, uint32_t size)
{
	double d = lua_tonumber(w->L, i);
	float f = (float)d;
	if (lua_type(w->L, i) != LUA_TNUMBER)
		refuse(w, i, "a number");
	if (size == sizeof f)
		memcpy(to, &f, sizeof f);
	else if (size == sizeof d)
		memcpy(to, &d, sizeof d);
}

static void write_value(struct writer *w, int i, uint32_t type, char *to, uint32_t size)
{
	uint32_t len;
	const struct btf_type *t = resolve(w->btf, type, &len);
	if (!t || len > size) {
		if (!write_bytes(w, i, to, size, false))
			refuse(w, i, "a string");
	} else if (btf_is_composite(t)) {
		write_struct(w, i, t, to, len);
	} else if (btf_is_array(t)) {
		write_array(w, i, t, to, len);
	} else if (btf_is_float(t)) {
		write_float(w, i, to, len);
	} else if (len > 8) {
		if (!write_bytes(w, i, to, len, false))
			refuse(w, i, "a string");
	} else {
		uint64_t v = checked_scalar(w, i, t, len * 8);
		memcpy(to, &v, len);
	}
}

void rl_bpf_encode(lua_State *L, int i, const struct btf *btf, uint32_t type, char *to,
	uint32_t size, const char *what)
{
	struct writer w = {.L = L, .btf = btf};
	snprintf(w.path, sizeof w.path, "%s", what);
	if (i < 0)
		i = lua_gettop(L) + 1 + i;
	if (type == RL_BPF_UINT && size <= 8) {
		uint64_t v = checked(&w, i, size * 8, false);
		memcpy(to, &v, size);
	} else if (type == RL_BPF_RAW || type == RL_BPF_UINT) {
		if (!write_bytes(&w, i, to, size, false))
			refuse(&w, i, "a string");
	} else {
		write_value(&w, i, type, to, size);
	}
}

/* ---- from Lua -------------------------------------------------------------------------------- */

/* object, name of a type -> its number | nil. "struct x", "union x", "enum x", or a typedef's. */
static int ltype_find(lua_State *L)
{
	static const struct { const char *word; uint32_t kind; } kinds[] = {
		{"struct ", BTF_KIND_STRUCT}, {"union ", BTF_KIND_UNION}, {"enum ", BTF_KIND_ENUM},
	};
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	const char *name = luaL_checkstring(L, 2);
	const struct btf *btf = bpf_object__btf(of->o);
	int id = btf ? btf__find_by_name(btf, name) : -1;
	for (size_t k = 0; btf && id < 0 && k < sizeof kinds / sizeof *kinds; k++) {
		size_t len = strlen(kinds[k].word);
		if (strncmp(name, kinds[k].word, len) == 0)
			id = btf__find_by_name_kind(btf, name + len, kinds[k].kind);
	}
	if (id <= 0)
		return 0;
	lua_pushinteger(L, id);
	return 1;
}

/* object, number of a type, bytes -> value | nil: the type has more bytes */
static int ltype_decode(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	size_t len;
	const char *bytes = luaL_checklstring(L, 3, &len);
	const struct btf *btf = bpf_object__btf(of->o);
	uint32_t type = (uint32_t)luaL_checknumber(L, 2), size;
	if (!resolve(btf, type, &size) || size > len)
		return 0;
	rl_bpf_decode(L, btf, type, bytes, size);
	return 1;
}

/* object, number of a type, value -> bytes */
static int ltype_encode(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	const struct btf *btf = bpf_object__btf(of->o);
	uint32_t type = (uint32_t)luaL_checknumber(L, 2), size;
	if (!resolve(btf, type, &size))
		return luaL_error(L, "the type has no size");
	char *to = lua_newuserdata(L, size ? size : 1);
	memset(to, 0, size);
	rl_bpf_encode(L, 3, btf, type, to, size, "value");
	lua_pushlstring(L, to, size);
	return 1;
}

static const luaL_Reg functions[] = {
	{"type_find", ltype_find},
	{"type_decode", ltype_decode},
	{"type_encode", ltype_encode},
	{NULL, NULL},
};

void rl_bpf_open_type(lua_State *L)
{
	rl_bpf_register(L, functions);
}
