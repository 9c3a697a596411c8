/* SPDX-License-Identifier: MIT */
/*
 * ldump: what dumps read of tasks: which there are, who waits beside one, and their stacks.
 *
 * A *book* holds every frame once, and every stack once, as a list of frames; so the stacks of many
 * tasks are numbers, equal if the stacks are. A frame is known by what it shows - file and line,
 * and whose it is -, not by an address, which another function may have later.
 *
 * Invariants: the number of a stack or frame in a book stays what it is. A walk leaves the stack of
 * the coroutine as it was; it makes no Lua value but the object that is asked for.
 */
#include "lua/lrun.h"

#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH 100         /* frames of a stack that are looked at */
#define NESTED_MAX 16     /* coroutines in coroutines */
#define SCAN 4096         /* empty slots looked at in one call */
#define FUNCTION_MAX 40

struct lframe {
	uint32_t hash;
	int line, defined;
	const void *fn;          /* of a C function, which has no place */
	bool library, is_c, is_main;
	char file[LUA_IDSIZE];
	char name[FUNCTION_MAX];     /* "" has none */
};

struct lstack {
	uint32_t hash, from, len; /* its frames lie in the pool */
};

/* Cells hold an index + 1, 0: empty; at most half of them are used. */
struct lindex {
	uint32_t *cells;
	uint32_t size, len;
};

struct lbook {
	struct lframe *frames;
	struct lstack *stacks;
	uint32_t *pool;
	uint32_t frames_max, stacks_max, pool_len, pool_max;
	struct lindex frame_index, stack_index;
};

/* One walk: the frames so far, and whether the object is still looked for. */
struct lwalk {
	lua_State *L;
	struct rl_lua *h;
	struct lbook *book;
	bool wants_object;
	const char *object;      /* the name of the local it was, which is on top of L */
	unsigned len, nested;
	uint32_t frames[DEPTH];
};

static const char book_class[] = "ringlet.book";

static uint32_t mix(uint32_t hash, uint32_t v)
{
	hash = (hash ^ v) * 0x9e3779b1u;
	return hash ^ (hash >> 15);
}

static uint32_t hash_text(uint32_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash;
}

static void *check_memory(lua_State *L, void *p)
{
	if (!p)
		luaL_error(L, "not enough memory");
	return p;
}

/* The array, with room for n records of `size`, or more. */
static void *grown(lua_State *L, void *array, uint32_t *max, uint32_t n, size_t size)
{
	if (n <= *max)
		return array;
	uint32_t wanted = n * 2 < 64 ? 64 : n * 2;
	array = check_memory(L, realloc(array, wanted * size));
	*max = wanted;
	return array;
}

static void index_put(struct lindex *x, uint32_t hash, uint32_t number)
{
	uint32_t i = hash & (x->size - 1);
	while (x->cells[i])
		i = (i + 1) & (x->size - 1);
	x->cells[i] = number;
}

/* Twice the cells; `hash_of` is the first field of each record. */
static void index_grow(lua_State *L, struct lindex *x, const char *records, size_t size)
{
	struct lindex wider = {.size = x->size ? x->size * 2 : 64, .len = x->len};
	uint32_t hash;
	wider.cells = check_memory(L, calloc(wider.size, sizeof *wider.cells));
	for (uint32_t i = 0; i < x->len; i++) {
		memcpy(&hash, records + i * size, sizeof hash);
		index_put(&wider, hash, i + 1);
	}
	free(x->cells);
	*x = wider;
}

static bool same_frame(const struct lframe *a, const struct lframe *b)
{
	return a->hash == b->hash && a->line == b->line && a->defined == b->defined
		&& a->fn == b->fn && a->library == b->library && strcmp(a->file, b->file) == 0;
}

/* The number of a frame, which is added if there is none; `ar` has what it is called. */
static uint32_t book_frame(struct lwalk *w, lua_State *co, struct lframe *f, lua_Debug *ar)
{
	struct lbook *b = w->book;
	struct lindex *x = &b->frame_index;
	f->hash = mix(hash_text(mix((uint32_t)f->line, (uint32_t)f->defined), f->file),
		(uint32_t)(uintptr_t)f->fn);
	if (x->len * 2 >= x->size)
		index_grow(w->L, x, (const char *)b->frames, sizeof *f);
	uint32_t i = f->hash & (x->size - 1);
	for (; x->cells[i]; i = (i + 1) & (x->size - 1)) {
		if (same_frame(&b->frames[x->cells[i] - 1], f))
			return x->cells[i] - 1;
	}
	b->frames = grown(w->L, b->frames, &b->frames_max, x->len + 1, sizeof *f);
	lua_getinfo(co, "n", ar);
	if (ar->name && strcmp(ar->name, "?") != 0)
		strncat(f->name, ar->name, FUNCTION_MAX - 1);
	b->frames[x->len] = *f;
	x->cells[i] = ++x->len;
	return x->len - 1;
}

static uint32_t book_stack(struct lwalk *w)
{
	struct lbook *b = w->book;
	struct lindex *x = &b->stack_index;
	uint32_t hash = w->len;
	size_t size = w->len * sizeof *w->frames;
	for (unsigned i = 0; i < w->len; i++)
		hash = mix(hash, w->frames[i]);
	if (x->len * 2 >= x->size)
		index_grow(w->L, x, (const char *)b->stacks, sizeof *b->stacks);
	uint32_t i = hash & (x->size - 1);
	for (; x->cells[i]; i = (i + 1) & (x->size - 1)) {
		const struct lstack *s = &b->stacks[x->cells[i] - 1];
		if (s->hash == hash && s->len == w->len
			&& (size == 0 || memcmp(b->pool + s->from, w->frames, size) == 0))
			return x->cells[i];
	}
	b->stacks = grown(w->L, b->stacks, &b->stacks_max, x->len + 1, sizeof *b->stacks);
	b->pool = grown(w->L, b->pool, &b->pool_max, b->pool_len + w->len, sizeof *b->pool);
	if (size > 0)
		memcpy(b->pool + b->pool_len, w->frames, size);
	b->stacks[x->len] = (struct lstack){hash, b->pool_len, w->len};
	b->pool_len += w->len;
	x->cells[i] = ++x->len;
	return x->len;
}

static void read_frame(struct lwalk *w, lua_State *co, lua_Debug *ar, struct lframe *f)
{
	lua_getinfo(co, "Sl", ar);
	*f = (struct lframe){
		.line = ar->currentline, .defined = ar->linedefined, .is_c = ar->what[0] == 'C',
		.is_main = ar->what[0] == 'm', .library = rl_lua_is_ours(w->h, ar),
	};
	memcpy(f->file, ar->short_src, sizeof f->file);
	if (f->is_c) {
		lua_getinfo(co, "f", ar);
		f->fn = lua_topointer(co, -1);
		lua_pop(co, 1);
	}
}

/* What functions of the library call the thing they were called on. */
static bool is_object(const char *name)
{
	static const char *const names[] = {"self", "ch", "scope", "server", "pool", "cases"};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static void find_object(struct lwalk *w, lua_State *co, lua_Debug *ar)
{
	const char *name = lua_getlocal(co, ar, 1);
	for (int i = 2; name; name = lua_getlocal(co, ar, i++)) {
		if (!is_object(name) || lua_isnil(co, -1)) {
			lua_pop(co, 1);
			continue;
		}
		if (co != w->L)
			lua_xmove(co, w->L, 1);
		w->object = name;
		return;
	}
}

/* Is this frame of ours one that has resumed a coroutine of the user's? Then that is what is looked
 * at first. */
static lua_State *nested_in(struct lwalk *w, lua_State *co, lua_Debug *ar)
{
	lua_State *inner = NULL;
	if (strcmp(ar->source + strlen(w->h->library), "nest.lua") != 0)
		return NULL;
	const char *name = lua_getlocal(co, ar, 1);
	for (int i = 2; name; i++) {
		if (strcmp(name, "co") == 0)
			inner = lua_tothread(co, -1);
		lua_pop(co, 1);
		name = inner ? NULL : lua_getlocal(co, ar, i);
	}
	return inner == co ? NULL : inner;
}

static void walk(struct lwalk *w, lua_State *co, int level);

static void walk_nested(struct lwalk *w, lua_State *co, lua_Debug *ar)
{
	lua_State *inner = w->nested < NESTED_MAX ? nested_in(w, co, ar) : NULL;
	if (!inner)
		return;
	w->nested++;
	walk(w, inner, 0);
}

/* The frames of one coroutine, behind those of what it has resumed. A C function that one of ours
 * has called, or that a task is parked in, is ours: that is known only at its caller. */
static void walk(struct lwalk *w, lua_State *co, int level)
{
	struct lframe f, held;
	lua_Debug ar, held_ar;
	uint32_t own[DEPTH] = {0};
	unsigned n = 0;
	bool holds = false, went_in = false;
	luaL_checkstack(w->L, 4, NULL);
	lua_checkstack(co, 4);
	for (int i = level; n + w->len < DEPTH && lua_getstack(co, i, &ar); i++) {
		read_frame(w, co, &ar, &f);
		if (holds && n + w->len < DEPTH) {
			held.library = held.library || f.library;
			own[n++] = book_frame(w, co, &held, &held_ar);
		}
		holds = f.is_c;
		if (holds) {
			f.library = i == level;
			held = f;
			held_ar = ar;
			continue;
		}
		if (f.library && !went_in && n + w->len < DEPTH) {
			unsigned before = w->len;
			walk_nested(w, co, &ar);
			went_in = w->len > before;
		}
		if (!f.library)
			w->wants_object = false;
		else if (w->wants_object && !w->object)
			find_object(w, co, &ar);
		if (n + w->len < DEPTH)
			own[n++] = book_frame(w, co, &f, &ar);
	}
	if (holds && n + w->len < DEPTH)
		own[n++] = book_frame(w, co, &held, &held_ar);
	memcpy(w->frames + w->len, own, n * sizeof *own);
	w->len += n;
}

/* book() -> userdata */
static int ldump_book(lua_State *L)
{
	rl_lua_new(L, sizeof(struct lbook), book_class);
	return 1;
}

static int ldump_gc(lua_State *L)
{
	struct lbook *b = lua_touserdata(L, 1);
	free(b->frames);
	free(b->stacks);
	free(b->pool);
	free(b->frame_index.cells);
	free(b->stack_index.cells);
	memset(b, 0, sizeof *b);
	return 0;
}

/* stack(book, coroutine|nil, [level, object]) -> number of its stack, or of the caller's, in the
 * book; and if `object` is true what the library was called on, and the name of that local */
static int ldump_stack(lua_State *L)
{
	struct lwalk w = {
		.L = L, .h = rl_lua_of(L), .book = luaL_checkudata(L, 1, book_class),
		.wants_object = lua_toboolean(L, 4),
	};
	lua_State *co = lua_tothread(L, 2);
	walk(&w, co ? co : L, (int)lua_tointeger(L, 3));
	lua_pushinteger(L, book_stack(&w));
	if (!w.object)
		return 1;
	lua_insert(L, -2);
	lua_pushstring(L, w.object);
	return 3;
}

static void push_name(lua_State *L, const struct lframe *f)
{
	if (f->is_main)
		lua_pushliteral(L, "main chunk");
	else if (f->name[0])
		lua_pushstring(L, f->name);
	else if (f->is_c)
		lua_pushliteral(L, "a C function");
	else
		lua_pushfstring(L, "%s:%d", f->file, f->defined);
}

static void push_frame(lua_State *L, const struct lframe *f)
{
	lua_createtable(L, 0, 6);
	push_name(L, f);
	lua_setfield(L, -2, "name");
	lua_pushstring(L, f->file);
	lua_setfield(L, -2, "file");
	lua_pushinteger(L, f->line);
	lua_setfield(L, -2, "line");
	lua_pushinteger(L, f->defined);
	lua_setfield(L, -2, "defined");
	lua_pushstring(L, f->is_c ? "C" : f->is_main ? "main" : "Lua");
	lua_setfield(L, -2, "what");
	if (!f->library)
		return;
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "library");
}

/* frames(book, number) -> list of frames, innermost first */
static int ldump_frames(lua_State *L)
{
	const struct lbook *b = luaL_checkudata(L, 1, book_class);
	lua_Integer number = luaL_checkinteger(L, 2);
	luaL_argcheck(L, number >= 1 && number <= b->stack_index.len, 2, "no such stack");
	const struct lstack *s = &b->stacks[number - 1];
	lua_createtable(L, (int)s->len, 0);
	for (uint32_t i = 0; i < s->len; i++) {
		push_frame(L, &b->frames[b->pool[s->from + i]]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

/* next_task(slot) -> slot, id of the first live task behind that slot; slot: none so far, to be
 * asked on from there; nothing: there is none */
static int ldump_next_task(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	uint32_t from = (uint32_t)lua_tointeger(L, 1);
	uint32_t end = s->tasks ? s->tasks->used : 0;
	for (uint32_t i = from; i < end; i++) {
		const struct rl_task *t = rl_task_at(s, i);
		if (!t && i - from < SCAN)
			continue;
		lua_pushinteger(L, (lua_Integer)i + 1);
		if (!t)
			return 1;
		lua_pushinteger(L, (lua_Integer)t->id);
		return 2;
	}
	return 0;
}

/* last_id() -> id of the task that was made last */
static int ldump_last_id(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)rl_lua_of(L)->shard.next_id);
	return 1;
}

/* waiters(slot, max) -> how many others, at most so many, wait on the queue on which this task
 * waits (the first of a select); nil: nothing will ever wake it */
static int ldump_waiters(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_task *t = rl_task_at(&h->shard, (uint32_t)lua_tointeger(L, 1) - 1);
	lua_Integer n = 0, max = lua_tointeger(L, 2) + 1;
	if (!t || !rl_task_is_parked(t) || (rl_list_empty(&t->clause.link) && t->more_len == 0)) {
		if (t && t->state == RL_TASK_PARKED && !t->deadline)
			return 0;
		lua_pushinteger(L, 0);
		return 1;
	}
	/* All on the ring but the task itself: the others, and the queue's head. */
	const struct rl_list *own = &t->clause.link;
	for (const struct rl_list *l = own->next; l != own && n < max; l = l->next)
		n++;
	lua_pushinteger(L, n > 0 ? n - 1 : 0);
	return 1;
}

/* was(slot) -> what a task that has begun gave up its turn for last, unless it was preempted */
static int ldump_was(lua_State *L)
{
	const struct rl_task *t = rl_task_at(&rl_lua_of(L)->shard, (uint32_t)lua_tointeger(L, 1) - 1);
	if (!t || t->state == RL_TASK_NEW || (t->flags & RL_TASK_PREEMPTED))
		return 0;
	lua_pushstring(L, rl_reason_name(t->reason));
	return 1;
}

static const luaL_Reg methods[] = {
	{"__gc", ldump_gc},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"book", ldump_book},
	{"stack", ldump_stack},
	{"frames", ldump_frames},
	{"next_task", ldump_next_task},
	{"last_id", ldump_last_id},
	{"waiters", ldump_waiters},
	{"was", ldump_was},
	{NULL, NULL},
};

void rl_lua_open_dump(lua_State *L, struct rl_lua *h)
{
	rl_lua_class(L, h, book_class, methods);
	lua_pop(L, 1);
	rl_lua_register(L, h, functions);
	lua_pushinteger(L, RL_TASK_PREEMPTED);
	lua_setfield(L, -2, "PREEMPTED");
}
