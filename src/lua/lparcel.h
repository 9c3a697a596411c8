/* SPDX-License-Identifier: MIT */
/*
 * lparcel: the inside of the codec: the form of a parcel, and what lpack, lunpack, lvalue,
 * lcode, lname, ltrail and lshared have from one another.
 *
 * A parcel's data: the number of items (u32), the values, then the contents of each item in order.
 * Items are what has an identity: tables, Lua functions, long strings. Where one is mentioned
 * first, the value says what to make; later it is a reference by number. Contents come apart from
 * mentions, so a graph of any shape and depth is written and read in two loops, without recursion.
 * Numbers are in the byte order of the machine: a parcel never leaves the process.
 */
#ifndef RL_LUA_LPARCEL_H
#define RL_LUA_LPARCEL_H

#include "lua/lcodec.h"
#include "lua/lshard.h"
#include "rt/value.h"

enum rl_tag {
	RL_TAG_NIL,
	RL_TAG_END,       /* of the list part of a table, and of its pairs */
	RL_TAG_FALSE,
	RL_TAG_TRUE,
	RL_TAG_INTEGER,   /* i64 */
	RL_TAG_NUMBER,    /* double */
	RL_TAG_SHORT,     /* string: u8 length, bytes */
	RL_TAG_LONG,      /* string, an item: u32 length, bytes */
	RL_TAG_GLOBALS,   /* the table of globals */
	RL_TAG_NAME,      /* by name: u32 length, "module" or "module\0field" or "\1type" */
	RL_TAG_SHARED,    /* u32 index into the parcel's objects */
	RL_TAG_ITEM,      /* u32 number of an item */
	RL_TAG_TABLE,     /* an item: u32 size of the list part, u32 number of pairs */
	RL_TAG_TYPED,     /* the same with u32 length and name of its type in front */
	RL_TAG_FUNCTION,  /* an item: u32 index of its code in the parcel's objects */
	RL_TAG_JOIN,      /* an upvalue that is another's: u32 item, u8 upvalue */
};

/* Strings from here on are items: written once, however often they are mentioned. */
#define RL_LONG_MIN 128

/* ---- items on the stack --------------------------------------------------------------------- */

#define RL_ITEMS_NEAR 24 /* the first ones are in stack slots, the others in a table */
#define RL_ITEMS_SLOTS (1 + RL_ITEMS_NEAR)

/* The items of a parcel being made or read, from 1. `base` is the slot of the table. */
struct rl_items {
	lua_State *L;
	int base;
	uint32_t len;
};

static inline void rl_items_push(const struct rl_items *s, uint32_t k)
{
	if (k <= RL_ITEMS_NEAR)
		lua_pushvalue(s->L, s->base + (int)k);
	else
		lua_rawgeti(s->L, s->base, (int)(k - RL_ITEMS_NEAR));
}

/* The value at index `i` is the next item. */
static inline void rl_items_add(struct rl_items *s, int i)
{
	uint32_t k = ++s->len;
	lua_pushvalue(s->L, i);
	if (k <= RL_ITEMS_NEAR) {
		lua_replace(s->L, s->base + (int)k);
		return;
	}
	if (k == RL_ITEMS_NEAR + 1) {
		lua_newtable(s->L);
		lua_replace(s->L, s->base);
	}
	lua_rawseti(s->L, s->base, (int)(k - RL_ITEMS_NEAR));
}

/* ---- ltrail: where a value is --------------------------------------------------------------- */

/* What is needed to say where a value is: the roots, in `n` slots from `first`, and the items. */
struct rl_trail {
	const char *root;    /* what the value is called; root[i] when is_list */
	const char *head;    /* of a list: what the first is called, the others from root[1]; NULL */
	bool is_list;
	int first, n;
	const struct rl_items *items; /* NULL: none yet */
};

/* Replace the value on top by its path: it is a root, or in one of the items up to `last`. */
void rl_trail_push(lua_State *L, const struct rl_trail *t, uint32_t last);

/* ---- lcode: functions ----------------------------------------------------------------------- */

#define RL_CODE_UPVALUES_MAX 200 /* as many parameters as a function may have */

/* What a function does, without its upvalues: a chunk that makes closures of it. */
struct rl_code {
	struct rl_shared shared;
	uint64_t hash;
	uint32_t dump_len, chunk_len;
	uint8_t upvalues;
	bool is_ours;           /* of a function of the library: it has a name, or does not travel */
	bool wraps;             /* the chunk gives a new closure; otherwise it is the function */
	uint8_t assigned[32];   /* bits: upvalues that it, or a function in it, assigns */
	char bytes[];           /* the dump, then the chunk if it is not the dump */
};

/* The code of the Lua function at index `i`; `is_new` when it was not known by content, `codes` is
 * the slot of the table that rl_code_push_known gives. Borrowed: the codec owns it. NULL when
 * the function has too many upvalues; raises when there is no memory. */
struct rl_code *rl_code_of(lua_State *L, struct rl_lua *h, int i, int codes, bool *is_new);
/* Push the table of the functions whose code is known; look one up. */
void rl_code_push_known(lua_State *L, struct rl_lua *h);
struct rl_code *rl_code_known(lua_State *L, int i, int codes);
void rl_code_forget(lua_State *L, int i, int codes);
/* Push a new closure with nil upvalues. */
void rl_code_push_closure(lua_State *L, struct rl_lua *h, struct rl_code *code);
void rl_code_term(struct rl_lua *h);

/* ---- lname: what travels by name ------------------------------------------------------------ */

/* Push the table of names by value. A name ends where its string does: zeros are part of it. */
void rl_name_push_all(lua_State *L, struct rl_lua *h);
/* Look for modules that were loaded since; for new fields in modules too, if `all`. Returns whether
 * there are new names. */
bool rl_name_refresh(lua_State *L, struct rl_lua *h, bool all);
/* Is the table at index `i` an environment through which one sees the globals, as test runners and
 * module systems give to each file? Globals do not travel, so it counts as they do. */
bool rl_name_leads_to_globals(lua_State *L, int i);
/* Push what a name stands for in this state. False: pushes why it is not to be had. */
bool rl_name_resolve(lua_State *L, struct rl_lua *h, const char *name, size_t len);
/* The type whose metatable is on top, NULL when it is not registered; push a type's metatable, or
 * nil, when loading the module of that name did not register it either. */
const char *rl_name_of_type(lua_State *L, struct rl_lua *h, size_t *len);
void rl_name_find_type(lua_State *L, struct rl_lua *h, const char *name, size_t len);

/* ---- the codec of a state ------------------------------------------------------------------- */

#define RL_CODES_MAX 512 /* codes kept: when there are more, all are forgotten */

struct rl_pack;

/* As rl_lua_pack with one value, which is called `root` itself. */
struct rl_parcel *rl_pack_one(lua_State *L, struct rl_lua *h, int index, const char *root);

struct rl_codec {
	struct rl_pack *packs;   /* all buffers of lpack */
	int names_ref;           /* registry: weak value -> name */
	int types_ref;           /* registry: weak metatable -> type */
	int metatables_ref;      /* registry: type -> metatable */
	int shared_ref;          /* registry: weak object -> its userdata */
	int known_ref;           /* registry: weak function -> code */
	int makers_ref;          /* registry: code -> what makes closures of it */
	int frames_ref;          /* registry: number of upvalues -> dump of such a maker */
	int require_ref;
	unsigned modules_len;    /* package.loaded when it was looked through: how many, which */
	uintptr_t modules_mix;
	unsigned known_len, makers_len;
	struct rl_code *known[2 * RL_CODES_MAX]; /* made here, by hash */
	struct rl_code *makers[RL_CODES_MAX];    /* those with a maker */
};

/* Each part's opener, called once by rl_lua_open_codec: expects the core table on top. */
void rl_code_open(lua_State *L, struct rl_lua *h);
void rl_name_open(lua_State *L, struct rl_lua *h);
void rl_lshared_open(lua_State *L, struct rl_lua *h);
void rl_pack_term(struct rl_codec *c);

#endif
