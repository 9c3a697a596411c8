/* SPDX-License-Identifier: MIT */
/*
 * ltrace: recordings from Lua. A recorder is a shared object: any shard may read any section of it,
 * also that of a shard which is stuck. What is read are strings and numbers; what they mean is for
 * lua/ringlet/trace_*.lua to know.
 */
#include "lua/ltrace.h"

#include "lua/lsobject.h"
#include "rt/fleet.h"
#include "rt/recorder.h"
#include "rt/trace.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define COPY_MAX 16384 /* records at a time */
#define FIELDS 5       /* numbers of a record */

static struct rl_recorder *check_recorder(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_RECORDER, "recorder");
}

/* The section at argument 2, counted from 1. */
static unsigned check_section(lua_State *L, const struct rl_recorder *r)
{
	lua_Integer i = luaL_checkinteger(L, 2);
	luaL_argcheck(L, i >= 1 && i <= (lua_Integer)r->header->sections, 2, "no such section");
	return (unsigned)i - 1;
}

/* trace_open(sections, bytes, window, path|nil, is_virtual) -> recorder | nil, code */
static int ltrace_open(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_lua_check_run(L, h);
	struct rl_os *os = h->shard.os;
	struct rl_recorder *r;
	struct rl_recorder_config config = {
		.sections = (unsigned)luaL_checkinteger(L, 1),
		.bytes = (uint64_t)luaL_checknumber(L, 2),
		.window_ns = (uint64_t)(luaL_checknumber(L, 3) * 1e9),
		.path = luaL_optstring(L, 4, NULL),
		.is_virtual = os->closed_world,
		.mono_ns = rl_shard_now(&h->shard),
		.wall_ns = os->ops->time(os),
	};
	int err = rl_recorder_open(&r, &config);
	if (err < 0)
		return rl_lua_fail(L, err);
	rl_lsobject_push(L, h, &r->shared);
	return 1;
}

/* trace_attach(recorder) -> true | nil, code: this shard writes into its section from now on */
static int ltrace_attach(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int err = rl_trace_attach(&h->shard, check_recorder(L, h));
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* trace_detach([recorder]): it does no more, if it does so into that one */
static int ltrace_detach(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_trace *t = h->shard.trace;
	if (t && (lua_isnoneornil(L, 1) || t->recorder == check_recorder(L, h)))
		rl_trace_detach(&h->shard);
	return 0;
}

/* Shards but this one that sleep; its own timer's doing may come before it counts as awake. */
static uint64_t asleep(struct rl_fleet *f, unsigned own)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < f->size; i++) {
		uint64_t state = RL_LOAD(&f->seats[i].state, relaxed);
		n += i != own && (state == RL_SEAT_ASLEEP || state == RL_SEAT_QUIET);
	}
	return n;
}

/* sched() -> what a line of RINGLET_TRACE=sched tells: tasks runnable, jobs injected, shards
 * asleep, tasks parked, timers, ops in flight, steals, preemptions */
static int ltrace_sched(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_shard *s = &h->shard;
	rl_lua_check_run(L, h);
	unsigned runnable = rl_shard_runnable(s);
	struct rl_fleet *f = s->fleet;
	uint32_t injected = f ? atomic_load_explicit(&f->injected_len, memory_order_relaxed) : 0;
	uint64_t steals = f ? atomic_load_explicit(&rl_fleet_seat(s)->steals, memory_order_relaxed) : 0;
	const uint64_t values[] = {
		runnable, injected, f ? asleep(f, s->index) : 0,
		s->live - runnable - (s->current != NULL),
		rl_wheel_len(s->deadlines) + rl_wheel_len(s->alarms), s->os->in_flight,
		steals, s->counts.preemptions,
	};
	int n = sizeof values / sizeof *values;
	for (int i = 0; i < n; i++)
		lua_pushinteger(L, (lua_Integer)values[i]);
	return n;
}

/* tracing() -> whether this shard records */
static int ltrace_tracing(lua_State *L)
{
	lua_pushboolean(L, rl_lua_of(L)->shard.trace != NULL);
	return 1;
}

/* recorder:header() -> the header as a string */
static int ltrace_header(lua_State *L)
{
	struct rl_recorder *r = check_recorder(L, rl_lua_of(L));
	lua_pushlstring(L, (const char *)r->header, sizeof *r->header);
	return 1;
}

/* The last pair of a section; false when there is none. Its writer may be two pairs ahead of who
 * reads it: then it is read again. */
static bool read_pair(const struct rl_recorder_section *section, uint64_t *ticks, uint64_t *ns)
{
	uint64_t n, again;
	do {
		n = RL_LOAD(&section->pairs, acquire);
		const struct rl_recorder_pair *pair = &section->pair[(n - 1) & 1];
		*ticks = RL_LOAD(&pair->ticks, acquire);
		*ns = RL_LOAD(&pair->mono_ns, acquire);
		again = RL_LOAD(&section->pairs, relaxed); /* ordered by the acquires above */
	} while (again != n);
	return n > 0;
}

/* recorder:section(i) -> records written, ticks, mono_ns, last_id, names, texts: a pair of the
 * clocks (nil, nil: nothing was recorded), and what lies before the records, as strings */
static int ltrace_section(lua_State *L)
{
	struct rl_recorder *r = check_recorder(L, rl_lua_of(L));
	unsigned i = check_section(L, r);
	struct rl_recorder_section *section = rl_recorder_section(r, i);
	struct rl_shard *s = &rl_lua_of(L)->shard;
	if (s->trace && s->trace->recorder == r)
		rl_trace_pair(s->trace); /* a late one, for the rate of the ticks */
	uint64_t ticks, ns, names[RL_RECORDER_NAMES];
	lua_pushinteger(L, (lua_Integer)RL_LOAD(&section->head, acquire));
	if (read_pair(section, &ticks, &ns)) {
		lua_pushinteger(L, (lua_Integer)ticks);
		lua_pushinteger(L, (lua_Integer)ns);
	} else {
		lua_pushnil(L);
		lua_pushnil(L);
	}
	lua_pushinteger(L, (lua_Integer)RL_LOAD(&section->last_id, relaxed));
	for (unsigned k = 0; k < RL_RECORDER_NAMES; k++)
		names[k] = RL_LOAD(&rl_recorder_names(r, i)[k], acquire);
	lua_pushlstring(L, (const char *)names, sizeof names);
	lua_pushlstring(L, rl_recorder_texts(r, i), RL_LOAD(&section->texts_used, acquire));
	return 6;
}

/* recorder:oldest(i) -> the number of the first record that is still there */
static int ltrace_oldest(lua_State *L)
{
	struct rl_recorder *r = check_recorder(L, rl_lua_of(L));
	struct rl_tracelog log = rl_recorder_log(r, check_section(L, r));
	lua_pushinteger(L, (lua_Integer)rl_tracelog_oldest(&log));
	return 1;
}

/* recorder:copy(i, from, n) -> records as a string, which :oldest may then say are gone */
static int ltrace_copy(lua_State *L)
{
	struct rl_recorder *r = check_recorder(L, rl_lua_of(L));
	struct rl_tracelog log = rl_recorder_log(r, check_section(L, r));
	uint64_t from = (uint64_t)luaL_checknumber(L, 3), n = (uint64_t)luaL_checknumber(L, 4);
	luaL_argcheck(L, from <= log.next, 3, "no such record");
	luaL_argcheck(L, n <= COPY_MAX && n <= log.next - from, 4, "too many records");
	uint64_t *words = lua_newuserdata(L, n * 2 * sizeof *words + 1);
	rl_tracelog_copy(&log, from, n, words);
	lua_pushlstring(L, (const char *)words, n * 2 * sizeof *words);
	return 1;
}

static void set_field(lua_State *L, int i, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_rawseti(L, 4, i);
}

/* trace_unpack(bytes, at, n, out) -> how many records: from the one at offset `at` on, at most n,
 * as FIELDS numbers each: kind, detail, time, task, other */
static int ltrace_unpack(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 1, &len);
	size_t at = (size_t)luaL_checknumber(L, 2), max = (size_t)luaL_checknumber(L, 3), n = 0;
	luaL_checktype(L, 4, LUA_TTABLE);
	lua_settop(L, 4);
	for (int i = 1; n < max && at <= len && len - at >= 16; n++, at += 16, i += FIELDS) {
		uint64_t words[2];
		memcpy(words, bytes + at, sizeof words);
		set_field(L, i, words[0] & 0xff);
		set_field(L, i + 1, words[0] >> 8 & 0xff);
		set_field(L, i + 2, words[0] >> 16);
		set_field(L, i + 3, words[1] & 0xffffffff);
		set_field(L, i + 4, words[1] >> 32);
	}
	lua_pushinteger(L, (lua_Integer)n);
	return 1;
}

/* trace_begin(name) -> number of the span, nothing when nothing is recorded */
static int ltrace_begin(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	size_t len;
	const char *name = luaL_checklstring(L, 1, &len);
	if (!s->trace)
		return 0;
	lua_pushinteger(L, rl_trace_begin(s->trace, rl_trace_task(s), name, (uint32_t)len));
	return 1;
}

/* trace_finish(number, task): a span of the task with this id ends */
static int ltrace_finish(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	uint16_t number = (uint16_t)luaL_checkinteger(L, 1);
	if (s->trace)
		rl_trace_finish(s->trace, (uint64_t)luaL_checknumber(L, 2), number);
	return 0;
}

/* trace_log(text) */
static int ltrace_log(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	if (s->trace)
		rl_trace_say(s->trace, rl_trace_task(s), text, len < RL_TRACE_TEXT_MAX ? (uint32_t)len
			: RL_TRACE_TEXT_MAX);
	return 0;
}

/* trace_name(id, name): the task with this id is called so */
static int ltrace_name(lua_State *L)
{
	struct rl_trace *t = rl_lua_of(L)->shard.trace;
	uint64_t id = (uint64_t)luaL_checknumber(L, 1);
	size_t len;
	const char *name = luaL_checklstring(L, 2, &len);
	uint32_t text = t ? rl_trace_intern(t, name, len < RL_TRACE_TEXT_MAX ? (uint32_t)len
		: RL_TRACE_TEXT_MAX) : 0;
	if (text)
		rl_trace_name(t, id, text);
	return 0;
}

static struct rl_trace_site *site_at(struct rl_trace *t, const lua_Debug *ar)
{
	uintptr_t key = ((uintptr_t)ar->source >> 4) + (unsigned)ar->linedefined * 31u;
	return &t->sites[key % RL_TRACE_SITES];
}

/* The text is made once for a function: its source's name stays where it is while there is a
 * function of it. Another that has taken its place since is found by chance alone, if its task is
 * made on the same line. */
void rl_lua_trace_site(lua_State *L, struct rl_lua *h, int n)
{
	struct rl_trace *t = h->shard.trace;
	lua_Debug ar;
	char text[LUA_IDSIZE + 16];
	lua_pushvalue(L, -1 - n);
	lua_getinfo(L, ">S", &ar);
	struct rl_trace_site *site = site_at(t, &ar);
	if (site->source != ar.source || site->line != ar.linedefined) {
		int len = snprintf(text, sizeof text, "%s:%d", ar.short_src, ar.linedefined);
		*site = (struct rl_trace_site){
			ar.source, ar.linedefined, (uint16_t)rl_trace_intern(t, text, (uint32_t)len),
		};
	}
	t->site = site->text;
}

static const luaL_Reg methods[] = {
	{"header", ltrace_header},
	{"section", ltrace_section},
	{"oldest", ltrace_oldest},
	{"copy", ltrace_copy},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"trace_open", ltrace_open},
	{"trace_attach", ltrace_attach},
	{"trace_detach", ltrace_detach},
	{"tracing", ltrace_tracing},
	{"sched", ltrace_sched},
	{"trace_unpack", ltrace_unpack},
	{"trace_begin", ltrace_begin},
	{"trace_finish", ltrace_finish},
	{"trace_log", ltrace_log},
	{"trace_name", ltrace_name},
	{NULL, NULL},
};

void rl_lua_open_trace(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lsobject_class(L, h, RL_LSOBJECT_RECORDER, &rl_recorder_class, methods);
	lua_pop(L, 1);
	lua_createtable(L, RL_OP_KINDS, 0);
	static const char *const ops[RL_OP_KINDS] = {
		"nop", "accept", "recv", "send", "connect", "shutdown", "close", "poll",
	};
	for (int i = 0; i < RL_OP_KINDS; i++) {
		lua_pushstring(L, ops[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "op_names");
}
