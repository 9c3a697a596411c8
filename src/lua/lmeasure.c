/* SPDX-License-Identifier: MIT */
/*
 * lmeasure: what the shards measure, as Lua values, and what users measure themselves. A histogram
 * is a table: the buckets that are not empty by number, from 1, and `under`, `over`, `sum`,
 * `count`; lua/ringlet/metrics_histogram.lua knows what the numbers mean. A series is a light
 * userdata, which lives as long as the state.
 */
#include "lua/lshard.h"

#include "rt/addr.h"
#include "rt/fleet.h"
#include "rt/measure.h"
#include "rt/series.h"

#include <netinet/tcp.h>

#define BOUNDS_MAX 256

/* The measure of the shard whose number, from 1, is at `arg`; that of this one without it. NULL:
 * there is no such shard. */
static struct rl_measure *measure_at(lua_State *L, struct rl_lua *h, int arg)
{
	struct rl_shard *s = &h->shard;
	lua_Integer i = luaL_optinteger(L, arg, (lua_Integer)s->index + 1);
	if (i == (lua_Integer)s->index + 1)
		return s->measure;
	if (!s->fleet || i < 1 || i > (lua_Integer)s->fleet->size)
		return NULL;
	struct rl_seat *seat = &s->fleet->seats[i - 1];
	/* Pairs with the release in rl_fleet_join: it is there. */
	if (RL_LOAD(&seat->state, acquire) == RL_SEAT_EMPTY)
		return NULL;
	return seat->measure;
}

static void push_count(lua_State *L, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
}

static void set_number(lua_State *L, const char *name, double n)
{
	lua_pushnumber(L, n);
	lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, uint64_t n)
{
	push_count(L, n);
	lua_setfield(L, -2, name);
}

/* The buckets of one octave into the table on top: how many values they have. */
static uint64_t set_octave(lua_State *L, const struct rl_octave *o, int first)
{
	uint64_t count = 0;
	for (int k = 0; k < RL_HISTOGRAM_SUB; k++) {
		uint64_t n = atomic_load_explicit(&o->n[k], memory_order_relaxed);
		if (n == 0)
			continue;
		push_count(L, n);
		lua_rawseti(L, -2, first + k);
		count += n;
	}
	return count;
}

static void push_histogram(lua_State *L, const struct rl_histogram *h)
{
	uint64_t under = atomic_load_explicit(&h->under, memory_order_relaxed);
	uint64_t over = atomic_load_explicit(&h->over, memory_order_relaxed);
	uint64_t count = under + over;
	lua_createtable(L, 0, 8);
	for (int i = 0; i < RL_HISTOGRAM_OCTAVES; i++) {
		/* Pairs with the release in rl_histogram_record_rare: its zeros are there. */
		const struct rl_octave *o = atomic_load_explicit(&h->octaves[i], memory_order_acquire);
		if (o)
			count += set_octave(L, o, i * RL_HISTOGRAM_SUB + 1);
	}
	set_count(L, "under", under);
	set_count(L, "over", over);
	set_count(L, "count", count);
	set_number(L, "sum", atomic_load_explicit(&h->sum, memory_order_relaxed));
}

/* measures([shard]) -> {name = number} | nil: what that shard has published; of this one, as it is
 * now; and `tid`, its thread's number, unless it is simulated */
static int lmeasure_read(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_measure *m = measure_at(L, h, 1);
	uint64_t now[RL_MEASURES];
	if (!m)
		return 0;
	if (m == h->shard.measure)
		rl_measure_publish(&h->shard);
	rl_measure_read(m, now);
	lua_createtable(L, 0, RL_MEASURES);
	for (int i = 0; i < RL_MEASURES; i++)
		set_count(L, rl_measure_name(i), now[i]);
	uint32_t tid = atomic_load_explicit(&m->tid, memory_order_relaxed);
	if (tid)
		set_count(L, "tid", tid);
	return 1;
}

/* Push a listening socket's {fd=, addr=, queued=, max=}. Meanwhile it may have become something
 * else. 0: it is none, or no TCP socket. */
static int push_listening(lua_State *L, int fd)
{
	struct tcp_info info = {0};
	struct sockaddr_storage ss;
	struct rl_addr addr;
	char text[RL_ADDR_TEXT_MAX];
	socklen_t info_len = sizeof info, len = sizeof ss;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len) < 0
		|| info.tcpi_state != TCP_LISTEN || getsockname(fd, (struct sockaddr *)&ss, &len) < 0
		|| rl_addr_load(&addr, (struct sockaddr *)&ss, len) < 0)
		return 0;
	lua_createtable(L, 0, 4);
	lua_pushlstring(L, text, (size_t)rl_addr_format(&addr, text));
	lua_setfield(L, -2, "addr");
	set_count(L, "fd", (uint64_t)fd);
	set_count(L, "queued", info.tcpi_unacked);
	set_count(L, "max", info.tcpi_sacked);
	return 1;
}

/* listening([shard]) -> {{fd=, addr=, queued= connections that wait to be accepted, max=}, ...}:
 * the TCP sockets that a shard listens with */
static int lmeasure_listening(lua_State *L)
{
	struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
	int fds[RL_LISTENING_MAX], len = 0;
	unsigned n = m ? rl_measure_listening(m, fds) : 0;
	lua_newtable(L);
	for (unsigned i = 0; i < n; i++)
		if (push_listening(L, fds[i]))
			lua_rawseti(L, -2, ++len);
	return 1;
}

/* note_sockets(map|nil): from now on, all shards note in this map whose the sockets are that they
 * connect; see rl_sock_note */
static int lmeasure_note_sockets(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	int fd = (int)luaL_optinteger(L, 1, -1);
	s->notes_fd = fd;
	if (s->fleet)
		atomic_store_explicit(&s->fleet->notes_fd, fd, memory_order_relaxed);
	return 0;
}

static struct rl_histogram *histogram_named(struct rl_measure *m, const char *name)
{
	static const char *const names[] = {"lifetimes", "latencies", "collections"};
	struct rl_histogram *all[] = {&m->lifetimes, &m->latencies, &m->collections};
	for (int i = 0; i < 3; i++)
		if (strcmp(names[i], name) == 0)
			return all[i];
	return NULL;
}

/* histogram(shard, name) -> table | nil: "lifetimes", "latencies" or "collections" */
static int lmeasure_histogram(lua_State *L)
{
	struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
	struct rl_histogram *g = m ? histogram_named(m, luaL_checkstring(L, 2)) : NULL;
	if (!g)
		return 0;
	push_histogram(L, g);
	return 1;
}

/* wait_times(shard) -> {reason = histogram} of the waits that have ended */
static int lmeasure_waits(lua_State *L)
{
	struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
	if (!m)
		return 0;
	lua_createtable(L, 0, 8);
	for (unsigned i = 0; i < RL_REASONS; i++) {
		if (!rl_histogram_has(&m->waits[i]))
			continue;
		push_histogram(L, &m->waits[i]);
		lua_setfield(L, -2, rl_reason_name(i));
	}
	return 1;
}

struct list {
	lua_State *L;
	int len;
};

static void add_label(void *to, unsigned number, const char *name, uint64_t live, uint64_t begun)
{
	struct list *list = to;
	(void)number;
	lua_pushstring(list->L, name);
	lua_rawseti(list->L, -2, ++list->len);
	push_count(list->L, live);
	lua_rawseti(list->L, -2, ++list->len);
	push_count(list->L, begun);
	lua_rawseti(list->L, -2, ++list->len);
}

/* labels(shard) -> {name, live, begun, ...} of the sets of labels that tasks have or had */
static int lmeasure_labels(lua_State *L)
{
	struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
	struct list list = {.L = L};
	lua_newtable(L);
	if (m)
		rl_measure_labels(m, &list, add_label);
	return 1;
}

static void add_number(void *to, unsigned number, const char *name, uint64_t live, uint64_t begun)
{
	struct list *list = to;
	(void)live;
	(void)begun;
	lua_pushstring(list->L, name);
	lua_rawseti(list->L, -2, (int)number);
}

/* label_numbers(shard) -> {[number] = name} of the same; 0 has those that lost theirs */
static int lmeasure_label_numbers(lua_State *L)
{
	struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
	struct list list = {.L = L};
	lua_newtable(L);
	if (m)
		rl_measure_labels(m, &list, add_number);
	return 1;
}

static struct rl_task *task_at(lua_State *L, struct rl_lua *h)
{
	lua_Integer slot = lua_tointeger(L, 1);
	return slot > 0 ? rl_task_at(&h->shard, (uint32_t)(slot - 1)) : NULL;
}

/* new_label(name) -> a number for that set of labels, which has none; 0: tasks have too many */
static int lmeasure_new_label(lua_State *L)
{
	unsigned n = rl_measure_label(rl_lua_of(L)->shard.measure, luaL_checkstring(L, 1));
	lua_pushinteger(L, n);
	return 1;
}

/* relabel(slot, number): the task has that set of labels now */
static int lmeasure_relabel(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_task *t = task_at(L, h);
	if (t)
		rl_measure_relabel(h->shard.measure, t, (unsigned)luaL_checkinteger(L, 2));
	return 0;
}

/* label(slot) -> number of the task's set of labels, 0: none */
static int lmeasure_label(lua_State *L)
{
	struct rl_task *t = task_at(L, rl_lua_of(L));
	lua_pushinteger(L, t ? t->label : 0);
	return 1;
}

/* parked(after) -> {reason = n}, total: tasks of this shard, without daemons, that have been parked
 * for so many seconds; and how many there are */
static int lmeasure_parked(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	uint64_t now = rl_task_ticks(rl_shard_now(s));
	double after = luaL_checknumber(L, 1);
	unsigned parked[RL_REASONS] = {0}, seen = 0, total = 0;
	for (uint32_t i = 0; seen < s->live; i++) {
		struct rl_task *t = rl_task_at(s, i);
		seen += t != NULL;
		if (!t || (t->flags & RL_TASK_DAEMON))
			continue;
		total++;
		if (rl_task_is_parked(t) && rl_task_seconds(now - rl_task_since(t)) >= after)
			parked[t->reason & RL_REASON_MASK]++;
	}
	lua_createtable(L, 0, 8);
	for (unsigned i = 0; i < RL_REASONS; i++)
		if (parked[i] > 0)
			set_count(L, rl_reason_name(i), parked[i]);
	push_count(L, total);
	return 2;
}

static unsigned get_bounds(lua_State *L, int arg, double bounds[])
{
	unsigned n = 0;
	if (lua_isnoneornil(L, arg))
		return 0;
	luaL_checktype(L, arg, LUA_TTABLE);
	for (; n < BOUNDS_MAX; n++) {
		lua_rawgeti(L, arg, (int)n + 1);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			break;
		}
		bounds[n] = lua_tonumber(L, -1);
		lua_pop(L, 1);
	}
	return n;
}

/* series(kind, family, labels, bounds|nil) -> series | nil: "counter", "gauge" or "histogram" */
static int lmeasure_series(lua_State *L)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram", NULL};
	struct rl_lua *h = rl_lua_of(L);
	double bounds[BOUNDS_MAX];
	int kind = luaL_checkoption(L, 1, NULL, kinds);
	unsigned n = get_bounds(L, 4, bounds);
	struct rl_series *s = rl_series_new(h->shard.measure, (enum rl_series_kind)kind,
		luaL_checkstring(L, 2), luaL_checkstring(L, 3), bounds, n);
	if (!s)
		return 0;
	lua_pushlightuserdata(L, s);
	return 1;
}

static int lmeasure_add(lua_State *L)
{
	rl_series_add(lua_touserdata(L, 1), lua_tonumber(L, 2));
	return 0;
}

static int lmeasure_set(lua_State *L)
{
	rl_series_set(lua_touserdata(L, 1), lua_tonumber(L, 2));
	return 0;
}

static int lmeasure_observe(lua_State *L)
{
	rl_series_observe(lua_touserdata(L, 1), lua_tonumber(L, 2));
	return 0;
}

/* remove(series, gone): it is not listed any more, or is again */
static int lmeasure_remove(lua_State *L)
{
	struct rl_series *s = lua_touserdata(L, 1);
	atomic_store_explicit(&s->gone, lua_toboolean(L, 2), memory_order_relaxed);
	return 0;
}

/* A series' number: an integer where it is one, as Lua 5.4 shows the difference. */
static void push_number(lua_State *L, const struct rl_series *s)
{
	double v = atomic_load_explicit(&s->value, memory_order_relaxed);
	if (v >= -9e15 && v <= 9e15 && (double)(int64_t)v == v)
		lua_pushinteger(L, (lua_Integer)v);
	else
		lua_pushnumber(L, v);
}

static void push_exact(lua_State *L, const struct rl_series *s)
{
	lua_createtable(L, (int)s->bounds_len, 0);
	for (unsigned i = 0; i < s->bounds_len; i++) {
		lua_createtable(L, 2, 0);
		lua_pushnumber(L, s->bounds[i]);
		lua_rawseti(L, -2, 1);
		push_count(L, atomic_load_explicit(&s->exact[i], memory_order_relaxed));
		lua_rawseti(L, -2, 2);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

static void push_value(lua_State *L, const struct rl_series *s)
{
	if (!s->histogram) {
		push_number(L, s);
		return;
	}
	push_histogram(L, s->histogram);
	push_exact(L, s);
	lua_setfield(L, -2, "exact");
}

/* value(series) -> number, or a histogram's table */
static int lmeasure_value(lua_State *L)
{
	push_value(L, lua_touserdata(L, 1));
	return 1;
}

/* next_series(shard, series|nil) -> series, family, labels, value: the one after it in the list,
 * the first for nil; nothing at the end */
static int lmeasure_next(lua_State *L)
{
	struct rl_series *s = lua_touserdata(L, 2);
	if (s) {
		s = s->next;
	} else {
		struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
		s = m ? atomic_load_explicit(&m->series, memory_order_acquire) : NULL;
	}
	while (s && atomic_load_explicit(&s->gone, memory_order_relaxed))
		s = s->next;
	if (!s)
		return 0;
	lua_pushlightuserdata(L, s);
	lua_pushstring(L, s->family);
	lua_pushstring(L, s->labels);
	push_value(L, s);
	return 4;
}

/* What a text needs of a histogram: {bound, count, ..., count =, sum =}. */
static void push_brief(lua_State *L, const struct rl_series *s)
{
	lua_createtable(L, (int)s->bounds_len * 2, 2);
	for (unsigned i = 0; i < s->bounds_len; i++) {
		lua_pushnumber(L, s->bounds[i]);
		lua_rawseti(L, -2, (int)(2 * i) + 1);
		push_count(L, atomic_load_explicit(&s->exact[i], memory_order_relaxed));
		lua_rawseti(L, -2, (int)(2 * i) + 2);
	}
	set_count(L, "count", rl_histogram_count(s->histogram));
	set_number(L, "sum", atomic_load_explicit(&s->histogram->sum, memory_order_relaxed));
}

/* One series to out[at..at + 2]. The string of its family is made anew only where the one before it
 * in the list, whose string is on top, was of another. */
static void put_series(lua_State *L, const struct rl_series *s, const char **family, int at)
{
	if (!*family || strcmp(*family, s->family) != 0) {
		lua_pop(L, 1);
		lua_pushstring(L, s->family);
		*family = s->family;
	}
	lua_pushvalue(L, -1);
	lua_rawseti(L, 4, at);
	lua_pushstring(L, s->labels);
	lua_rawseti(L, 4, at + 1);
	if (s->histogram)
		push_brief(L, s);
	else
		push_number(L, s);
	lua_rawseti(L, 4, at + 2);
}

/* series_batch(shard, series|nil, max, out) -> series|nil, n: look at `max` series after that one
 * and put those that are not gone, `n` of them, into `out`: family, labels, value. nil: that was
 * the end */
static int lmeasure_batch(lua_State *L)
{
	struct rl_measure *m = measure_at(L, rl_lua_of(L), 1);
	struct rl_series *s = lua_touserdata(L, 2), *last = NULL;
	const char *family = NULL;
	int n = 0;
	luaL_checktype(L, 4, LUA_TTABLE);
	lua_settop(L, 4);
	lua_pushnil(L);
	s = s ? s->next : m ? atomic_load_explicit(&m->series, memory_order_acquire) : NULL;
	for (lua_Integer left = luaL_checkinteger(L, 3); s && left > 0; left--, s = s->next) {
		last = s;
		if (!atomic_load_explicit(&s->gone, memory_order_relaxed))
			put_series(L, s, &family, 3 * n++ + 1);
	}
	if (s)
		lua_pushlightuserdata(L, last);
	else
		lua_pushnil(L);
	lua_pushinteger(L, n);
	return 2;
}

static const luaL_Reg functions[] = {
	{"measures", lmeasure_read},
	{"label_numbers", lmeasure_label_numbers},
	{"listening", lmeasure_listening},
	{"note_sockets", lmeasure_note_sockets},
	{"histogram", lmeasure_histogram},
	{"wait_times", lmeasure_waits},
	{"labels", lmeasure_labels},
	{"new_label", lmeasure_new_label},
	{"relabel", lmeasure_relabel},
	{"parked", lmeasure_parked},
	{"label", lmeasure_label},
	{"series", lmeasure_series},
	{"series_add", lmeasure_add},
	{"series_set", lmeasure_set},
	{"series_observe", lmeasure_observe},
	{"series_remove", lmeasure_remove},
	{"series_value", lmeasure_value},
	{"next_series", lmeasure_next},
	{"series_batch", lmeasure_batch},
	{NULL, NULL},
};

void rl_lua_open_measure(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
