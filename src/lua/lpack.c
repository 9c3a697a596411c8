/* SPDX-License-Identifier: MIT */
/*
 * lpack: Lua values into parcels. The form is in lparcel.h.
 *
 * What is written goes into buffers that belong to the codec and are used again; the parcel is one
 * allocation at the end. So nothing is lost when Lua raises half way: after an error of ours the
 * buffers are given back before it is raised, after any other (no memory) they stay with the codec
 * until the state is closed. Buffers in use are not shared: a finalizer that runs in between and
 * sends something takes others.
 *
 * Values that were met are known by their addresses, which stay theirs: all are held by the roots.
 */
#include "lua/lmet.h"
#include "lua/lparcel.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES 65536 /* buffers that grew beyond that are not kept */

struct rl_pack {
	struct rl_pack *next;    /* of all of this codec */
	bool in_use;
	lua_State *L;
	struct rl_lua *h;
	struct rl_trail trail;
	struct rl_items items;   /* base 0: there are none yet */
	int names, codes;        /* stack slots, when there are items: see lname, lcode */
	const void *globals;
	const void *environment; /* another table that counts as the globals; NULL: none was met yet */
	uint32_t in;             /* the item that is being written, 0: the roots */
	bool refreshed, refreshed_all, again;
	char *data;
	size_t len, cap;
	struct rl_shared **objects;
	uint32_t objects_len, objects_cap;
	struct rl_met met;
	uint32_t *sizes;         /* by item: where in data the sizes of a table are */
	uint32_t sizes_cap;
};

/* ---- buffers -------------------------------------------------------------------------------- */

static void drop_objects(struct rl_pack *p)
{
	for (uint32_t i = 0; i < p->objects_len; i++)
		rl_shared_put(p->objects[i]);
	p->objects_len = 0;
}

static void free_buffers(struct rl_pack *p)
{
	free(p->data);
	free(p->objects);
	rl_met_term(&p->met);
	free(p->sizes);
	p->data = NULL;
	p->objects = NULL;
	p->sizes = NULL;
	p->cap = 0;
	p->objects_cap = p->sizes_cap = 0;
}

void rl_pack_term(struct rl_codec *c)
{
	while (c->packs) {
		struct rl_pack *p = c->packs;
		c->packs = p->next;
		drop_objects(p);
		free_buffers(p);
		free(p);
	}
}

static struct rl_pack *pack_begin(lua_State *L, struct rl_lua *h)
{
	struct rl_pack *p = h->codec->packs;
	while (p && p->in_use)
		p = p->next;
	if (!p) {
		p = calloc(1, sizeof *p);
		if (!p)
			luaL_error(L, "not enough memory");
		p->next = h->codec->packs;
		h->codec->packs = p;
	}
	p->in_use = true;
	p->L = L;
	p->h = h;
	p->refreshed = p->refreshed_all = false;
	return p;
}

static void pack_end(struct rl_pack *p)
{
	drop_objects(p);
	if (p->cap > KEEP_BYTES || p->met.size > KEEP_BYTES / 16)
		free_buffers(p);
	p->in_use = false;
}

/* Raise with the message on top. */
__attribute__((noreturn)) static void raise_top(struct rl_pack *p)
{
	lua_State *L = p->L;
	pack_end(p);
	rl_lua_misuse(L, p->h, lua_tostring(L, -1));
}

__attribute__((noreturn)) static void raise_text(struct rl_pack *p, const char *text)
{
	lua_pushstring(p->L, text);
	raise_top(p);
}

/* The value at index `i` cannot travel; `what` it is, "%s" in it is `name`. */
__attribute__((noreturn)) static void refuse(struct rl_pack *p, int i, const char *what,
	const char *name)
{
	lua_State *L = p->L;
	luaL_checkstack(L, 8, NULL);
	lua_pushvalue(L, i);
	p->trail.items = &p->items;
	rl_trail_push(L, &p->trail, p->in);
	lua_pushfstring(L, what, name);
	lua_pushfstring(L, "cannot travel: %s is %s", lua_tostring(L, -2), lua_tostring(L, -1));
	raise_top(p);
}

/* Let `*memory` have room for `n` of `size`; the new room is zero. */
static void grow(struct rl_pack *p, void **memory, uint32_t *cap, uint32_t n, size_t size)
{
	if (n <= *cap)
		return;
	uint32_t more = *cap < 16 ? 16 : *cap;
	while (more < n)
		more *= 2;
	char *new = realloc(*memory, more * size);
	if (!new)
		raise_text(p, "not enough memory");
	memset(new + *cap * size, 0, (more - *cap) * size);
	*memory = new;
	*cap = more;
}

static void grow_data(struct rl_pack *p, size_t n)
{
	size_t cap = p->cap ? 2 * p->cap : 1024;
	while (cap < p->len + n)
		cap *= 2;
	if (p->len + n > UINT32_MAX)
		raise_text(p, "cannot travel: more than 4 GiB");
	char *new = realloc(p->data, cap);
	if (!new)
		raise_text(p, "not enough memory");
	p->data = new;
	p->cap = cap;
}

/* Where `n` more bytes go. */
static inline char *room(struct rl_pack *p, size_t n)
{
	if (p->len + n > p->cap)
		grow_data(p, n);
	char *at = p->data + p->len;
	p->len += n;
	return at;
}

static inline void put_tag(struct rl_pack *p, enum rl_tag tag)
{
	*room(p, 1) = (char)tag;
}

static inline void put_u32(struct rl_pack *p, enum rl_tag tag, uint32_t v)
{
	char *at = room(p, 1 + sizeof v);
	*at = (char)tag;
	memcpy(at + 1, &v, sizeof v);
}

static void put_bytes(struct rl_pack *p, enum rl_tag tag, const char *s, size_t len)
{
	put_u32(p, tag, (uint32_t)len);
	memcpy(room(p, len), s, len);
}

/* ---- what was met --------------------------------------------------------------------------- */

/* Where the number of what is at this address is; when `*is_new`, it is to be set. */
static uint64_t *meet(struct rl_pack *p, const void *key, bool *is_new)
{
	uint64_t *number = rl_met_at(&p->met, key, is_new);
	if (!number)
		raise_text(p, "not enough memory");
	return number;
}

/* The parcel's index of an object, which it gets a reference to. */
static uint32_t put_object(struct rl_pack *p, struct rl_shared *o)
{
	bool is_new;
	uint64_t *nth = meet(p, o, &is_new);
	if (is_new) {
		grow(p, (void **)&p->objects, &p->objects_cap, p->objects_len + 1, sizeof *p->objects);
		*nth = p->objects_len;
		p->objects[p->objects_len++] = rl_shared_get(o);
	}
	return (uint32_t)*nth;
}

/* The stack slots that items need. Whoever comes here has its value at an absolute index below. */
static void begin_items(struct rl_pack *p)
{
	lua_State *L = p->L;
	luaL_checkstack(L, RL_ITEMS_SLOTS + 24, "too much to travel");
	p->items = (struct rl_items){L, lua_gettop(L) + 1, 0};
	lua_settop(L, p->items.base + RL_ITEMS_NEAR);
	rl_name_push_all(L, p->h);
	p->names = lua_gettop(L);
	rl_code_push_known(L, p->h);
	p->codes = p->names + 1;
	rl_push_globals(L);
	p->globals = lua_topointer(L, -1);
	lua_pop(L, 1);
}

/* Was the value at index `i` met? Then the reference is written. Otherwise it is the next item. */
static bool put_met(struct rl_pack *p, int i, const void *key)
{
	bool is_new;
	uint64_t *nth = meet(p, key, &is_new);
	if (!is_new) {
		put_u32(p, RL_TAG_ITEM, (uint32_t)*nth);
		return true;
	}
	rl_items_add(&p->items, i);
	*nth = p->items.len;
	return false;
}

/* ---- values --------------------------------------------------------------------------------- */

static void put_number(struct rl_pack *p, int i)
{
	bool is_integer = lua_isinteger(p->L, i);
	char *at = room(p, 9);
	if (is_integer) {
		int64_t v = lua_tointeger(p->L, i);
		*at = RL_TAG_INTEGER;
		memcpy(at + 1, &v, sizeof v);
	} else {
		double v = lua_tonumber(p->L, i);
		*at = RL_TAG_NUMBER;
		memcpy(at + 1, &v, sizeof v);
	}
}

static void put_string(struct rl_pack *p, int i)
{
	size_t len;
	const char *s = lua_tolstring(p->L, i, &len);
	if (len < RL_LONG_MIN) {
		char *at = room(p, 2 + len);
		at[0] = RL_TAG_SHORT;
		at[1] = (char)len;
		memcpy(at + 2, s, len);
		return;
	}
	if (!p->items.base)
		begin_items(p);
	if (!put_met(p, i, s))
		put_bytes(p, RL_TAG_LONG, s, len);
}

/* The name of the value at index `i`, NULL: none. */
static const char *name_of(struct rl_pack *p, int i, size_t *len)
{
	lua_pushvalue(p->L, i);
	lua_rawget(p->L, p->names);
	const char *name = lua_tolstring(p->L, -1, len);
	lua_pop(p->L, 1);
	return name;
}

/* Look for modules that were loaded since, once for a parcel. What was written may be in one that
 * has a name now: then everything is written again. */
static bool refresh(struct rl_pack *p, bool all)
{
	if (p->refreshed_all || (p->refreshed && !all))
		return false;
	p->refreshed = true;
	p->refreshed_all |= all;
	p->again = rl_name_refresh(p->L, p->h, all);
	return p->again;
}

/* The metatable on top is of no type that could travel. */
__attribute__((noreturn)) static void refuse_metatable(struct rl_pack *p, int i)
{
	lua_State *L = p->L;
	lua_pushliteral(L, "__name");
	lua_rawget(L, -2);
	const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	if (name)
		refuse(p, i, "a table with a metatable (%s) that rl.register_type does not know", name);
	refuse(p, i, "a table with a metatable that rl.register_type does not know", NULL);
}

static void put_table_head(struct rl_pack *p, int i)
{
	size_t len;
	if (lua_getmetatable(p->L, i)) {
		const char *type = rl_name_of_type(p->L, p->h, &len);
		if (!type)
			refuse_metatable(p, i);
		put_bytes(p, RL_TAG_TYPED, type, len);
		lua_pop(p->L, 1);
	} else {
		put_tag(p, RL_TAG_TABLE);
	}
	grow(p, (void **)&p->sizes, &p->sizes_cap, p->items.len + 1, sizeof *p->sizes);
	p->sizes[p->items.len] = (uint32_t)p->len;
	memset(room(p, 8), 0, 8);
}

static void put_table(struct rl_pack *p, int i)
{
	size_t len;
	if (!p->items.base)
		begin_items(p);
	const void *key = lua_topointer(p->L, i);
	const char *name = NULL;
	if (key == p->globals)
		put_tag(p, RL_TAG_GLOBALS);
	else
		name = name_of(p, i, &len);
	if (name)
		put_bytes(p, RL_TAG_NAME, name, len);
	else if (key != p->globals && !put_met(p, i, key))
		put_table_head(p, i);
}

/* The code of a function that was not met in this state before; NULL: it has a name now. */
static struct rl_code *new_code(struct rl_pack *p, int i)
{
	size_t len;
	bool is_new;
	if (lua_iscfunction(p->L, i)) {
		if (!refresh(p, true))
			refuse(p, i, "a C function that is in no module", NULL);
		return NULL;
	}
	struct rl_code *code = rl_code_of(p->L, p->h, i, p->codes, &is_new);
	if (!code)
		refuse(p, i, "a function with more than 200 upvalues", NULL);
	if ((is_new || code->is_ours) && refresh(p, true) && name_of(p, i, &len)) {
		rl_code_forget(p->L, i, p->codes);
		return NULL;
	}
	return code;
}

/* Does the table at index `i` count as the globals, as the environment of a function? */
static bool is_like_globals(struct rl_pack *p, int i)
{
	const void *table = lua_topointer(p->L, i);
	if (table == p->globals || table == p->environment)
		return true;
	if (!lua_istable(p->L, i) || !rl_name_leads_to_globals(p->L, i))
		return false;
	p->environment = table;
	return true;
}

static void check_environment(struct rl_pack *p, int i)
{
	if (!rl_push_environment(p->L, i))
		return;
	if (!is_like_globals(p, lua_gettop(p->L)))
		refuse(p, i, "a function with an environment of its own", NULL);
	lua_pop(p->L, 1);
}

/* A function without a name: its code, and its upvalues later. */
static void put_code(struct rl_pack *p, int i, struct rl_code *code)
{
	if (code->is_ours)
		refuse(p, i, "a function inside ringlet, which is in none of its modules", NULL);
	check_environment(p, i);
	if (!put_met(p, i, lua_topointer(p->L, i)))
		put_u32(p, RL_TAG_FUNCTION, put_object(p, &code->shared));
}

static void put_function(struct rl_pack *p, int i)
{
	size_t len;
	if (!p->items.base)
		begin_items(p);
	struct rl_code *code = rl_code_known(p->L, i, p->codes);
	if (!code || code->is_ours) {
		const char *name = name_of(p, i, &len);
		if (name) {
			put_bytes(p, RL_TAG_NAME, name, len);
			return;
		}
		/* A function in a table: is that a module of which we do not know yet? */
		if (p->in > 0)
			refresh(p, false);
		code = p->again ? NULL : new_code(p, i);
	}
	if (code && !p->again)
		put_code(p, i, code);
}

static void refuse_value(struct rl_pack *p, int i)
{
	lua_State *L = p->L;
	const char *name = NULL;
	if (lua_type(L, i) == LUA_TUSERDATA && lua_getmetatable(L, i)) {
		lua_pushliteral(L, "__name");
		lua_rawget(L, -2);
		name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	}
	if (name)
		refuse(p, i, "a userdata (%s)", name);
	else if (lua_type(L, i) == LUA_TTHREAD)
		refuse(p, i, "a coroutine", NULL);
	else if (lua_type(L, i) == LUA_TLIGHTUSERDATA)
		refuse(p, i, "a light userdata", NULL);
	refuse(p, i, "a %s", luaL_typename(L, i));
}

static void put_userdata(struct rl_pack *p, int i)
{
	struct rl_shared *o = rl_lua_to_shared(p->L, i);
	if (!o)
		refuse_value(p, i);
	put_u32(p, RL_TAG_SHARED, put_object(p, o));
}

/* `i` is an absolute index. */
static void put_value(struct rl_pack *p, int i)
{
	switch (lua_type(p->L, i)) {
	case LUA_TNIL:
		put_tag(p, RL_TAG_NIL);
		break;
	case LUA_TBOOLEAN:
		put_tag(p, lua_toboolean(p->L, i) ? RL_TAG_TRUE : RL_TAG_FALSE);
		break;
	case LUA_TNUMBER:
		put_number(p, i);
		break;
	case LUA_TSTRING:
		put_string(p, i);
		break;
	case LUA_TTABLE:
		put_table(p, i);
		break;
	case LUA_TFUNCTION:
		put_function(p, i);
		break;
	case LUA_TUSERDATA:
		put_userdata(p, i);
		break;
	default:
		refuse_value(p, i);
	}
}

/* ---- contents ------------------------------------------------------------------------------- */

/* The list part of the table on top is what comes first, with keys 1, 2, 3: values alone. */
static void put_pairs(struct rl_pack *p)
{
	lua_State *L = p->L;
	int table = lua_gettop(L);
	uint32_t list = 0, pairs = 0;
	bool in_list = true;
	lua_pushnil(L);
	while (!p->again && lua_next(L, table)) {
		if (in_list && lua_type(L, table + 1) == LUA_TNUMBER &&
			lua_tonumber(L, table + 1) == (double)list + 1) {
			list++;
			put_value(p, table + 2);
		} else {
			if (in_list)
				put_tag(p, RL_TAG_END);
			in_list = false;
			pairs++;
			put_value(p, table + 1);
			put_value(p, table + 2);
		}
		lua_settop(L, table + 1);
	}
	if (in_list)
		put_tag(p, RL_TAG_END);
	put_tag(p, RL_TAG_END);
	memcpy(p->data + p->sizes[p->in], &list, sizeof list);
	memcpy(p->data + p->sizes[p->in] + sizeof list, &pairs, sizeof pairs);
}

/* The upvalues of the function on top. One that was met in another function is that one's. */
static void put_upvalues(struct rl_pack *p)
{
	lua_State *L = p->L;
	int fn = lua_gettop(L);
	bool is_new;
	const char *name = lua_getupvalue(L, fn, 1);
	for (int i = 1; !p->again && name; name = lua_getupvalue(L, fn, ++i)) {
		uint64_t *at = meet(p, lua_upvalueid(L, fn, i), &is_new);
		if (is_new) {
			*at = (uint64_t)p->in << 8 | (unsigned)i;
			if (strcmp(name, "_ENV") == 0 && is_like_globals(p, fn + 1))
				put_tag(p, RL_TAG_GLOBALS);
			else
				put_value(p, fn + 1);
		} else {
			put_u32(p, RL_TAG_JOIN, (uint32_t)(*at >> 8));
			*room(p, 1) = (char)(*at & 0xff);
		}
		lua_settop(L, fn);
	}
}

static void put_contents(struct rl_pack *p)
{
	lua_State *L = p->L;
	for (p->in = 1; p->in <= p->items.len && !p->again; p->in++) {
		int top = lua_gettop(L);
		rl_items_push(&p->items, p->in);
		if (lua_istable(L, -1))
			put_pairs(p);
		else if (lua_isfunction(L, -1))
			put_upvalues(p);
		lua_settop(L, top);
	}
}

/* Write everything; `again` when modules were found on the way. */
static void put_all(struct rl_pack *p)
{
	int top = lua_gettop(p->L);
	drop_objects(p);
	p->len = 0;
	rl_met_begin(&p->met);
	p->environment = NULL;
	p->items.base = 0;
	p->items.len = p->in = 0;
	p->again = false;
	room(p, sizeof p->items.len);
	for (int i = 0; i < p->trail.n && !p->again; i++)
		put_value(p, p->trail.first + i);
	put_contents(p);
	memcpy(p->data, &p->items.len, sizeof p->items.len);
	lua_settop(p->L, top);
}

static struct rl_parcel *pack(lua_State *L, struct rl_lua *h, struct rl_trail trail)
{
	if (!h->codec)
		luaL_error(L, "this Lua state is closing");
	struct rl_pack *p = pack_begin(L, h);
	p->trail = trail;
	do {
		put_all(p);
	} while (p->again);
	struct rl_parcel *parcel = rl_parcel_new(p->len, p->objects_len);
	if (!parcel)
		raise_text(p, "not enough memory");
	memcpy(parcel->data, p->data, p->len);
	if (p->objects_len > 0)
		memcpy(parcel->objects, p->objects, p->objects_len * sizeof *p->objects);
	parcel->values = (uint32_t)trail.n;
	parcel->objects_len = p->objects_len;
	p->objects_len = 0; /* their references are the parcel's now */
	pack_end(p);
	return parcel;
}

static int absolute(lua_State *L, int i)
{
	return i > 0 ? i : lua_gettop(L) + 1 + i;
}

struct rl_parcel *rl_lua_pack(lua_State *L, struct rl_lua *h, int first, int n, const char *root)
{
	luaL_checkstack(L, 8, NULL);
	return pack(L, h, (struct rl_trail){.root = root, .is_list = true, .first = absolute(L, first),
		.n = n});
}

struct rl_parcel *rl_lua_pack_job(lua_State *L, struct rl_lua *h, int first, int n)
{
	luaL_checkstack(L, 8, NULL);
	return pack(L, h, (struct rl_trail){.root = "job.args", .head = "job.fn", .is_list = true,
		.first = absolute(L, first), .n = n});
}

struct rl_parcel *rl_pack_one(lua_State *L, struct rl_lua *h, int index, const char *root)
{
	return pack(L, h, (struct rl_trail){.root = root, .first = absolute(L, index), .n = 1});
}
