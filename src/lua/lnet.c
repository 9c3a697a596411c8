/* SPDX-License-Identifier: MIT */
/*
 * lnet: listeners, connecting, and the workers of servers; the methods of connections are in
 * lconn.c.
 *
 * Invariants: a handle is a userdata that holds one pointer, NULL once the object is over; it is
 * made closed, with its metatable, before anything is acquired. Connections that no task refers to
 * are held by the table `conns`, by slot, while a crew serves them.
 */
#include "lua/lnet.h"

#include "base/err.h"
#include "base/slab.h"
#include "lua/lbuffer.h"
#include "rt/dial.h"
#include "rt/resolve.h"
#include "rt/crew.h"

#include <stdlib.h>
#include <string.h>

#define LNET "ringlet.net.state"
#define COUNT_MAX (1u << 30)

/* Helpers. */

int rl_lnet_raise(lua_State *L, const char *message)
{
	luaL_where(L, 2);
	lua_pushstring(L, message);
	lua_concat(L, 2);
	return lua_error(L);
}

void rl_lnet_register(lua_State *L, struct rl_lnet *n, const luaL_Reg *regs)
{
	for (; regs->name; regs++) {
		lua_pushlightuserdata(L, n->shard);
		lua_pushlightuserdata(L, n);
		lua_pushcclosure(L, regs->func, 2);
		lua_setfield(L, -2, regs->name);
	}
}

void **rl_lnet_handle(lua_State *L, const void *class, int arg, const char *what)
{
	if (lua_getmetatable(L, arg)) {
		bool is = lua_topointer(L, -1) == class;
		lua_pop(L, 1);
		if (is)
			return lua_touserdata(L, arg);
	}
	luaL_where(L, 2);
	lua_pushfstring(L, "%s expected, got %s", what, luaL_typename(L, arg));
	lua_concat(L, 2);
	lua_error(L);
	return NULL;
}

struct rl_net *rl_lnet_net(lua_State *L, struct rl_lnet *n)
{
	rl_lua_check_run(L, n->shard);
	struct rl_net *net = rl_net_get(&n->shard->shard, &n->shard->handles);
	if (!net)
		luaL_error(L, "not enough memory");
	return net;
}

int64_t rl_lnet_deadline(lua_State *L, int arg)
{
	if (lua_isnoneornil(L, arg))
		return -1;
	lua_Number t = lua_tonumber(L, arg);
	if (lua_type(L, arg) != LUA_TNUMBER || t != t)
		rl_lnet_raise(L, "timeout: seconds (a number) or nil expected");
	return rl_lua_deadline(L, rl_lua_of(L), arg);
}

int64_t rl_lnet_due(lua_State *L, int arg)
{
	return lua_isnoneornil(L, arg) ? -1 : (int64_t)lua_tonumber(L, arg);
}

uint32_t rl_lnet_count(lua_State *L, int arg, uint32_t missing, const char *what)
{
	if (lua_isnoneornil(L, arg) && missing > 0)
		return missing;
	lua_Number n = lua_tonumber(L, arg);
	if (lua_type(L, arg) != LUA_TNUMBER || !(n >= 0 && n <= COUNT_MAX) || n != (uint32_t)n)
		rl_lnet_raise(L, what);
	return (uint32_t)n;
}

/* A closed handle of a class on top of the stack. */
static void *new_handle(lua_State *L, const char *class)
{
	void **handle = lua_newuserdata(L, sizeof *handle);
	*handle = NULL;
	luaL_getmetatable(L, class);
	lua_setmetatable(L, -2);
	return handle;
}

struct rl_conn *rl_lnet_new_conn(lua_State *L)
{
	struct rl_conn *c = lua_newuserdata(L, sizeof *c);
	c->marked = NULL;
	luaL_getmetatable(L, "ringlet.conn");
	lua_setmetatable(L, -2);
	return c;
}

int rl_lnet_adopt(struct rl_net *net, struct rl_conn *c, int fd)
{
	struct rl_stream *s = rl_stream_new(net, fd);
	if (!s)
		return -ENOMEM;
	rl_conn_set(c, s);
	rl_stream_own(s, &c->marked);
	return 0;
}

/* [timeout] -> deadline, nil for none */
static int lnet_until(lua_State *L)
{
	int64_t due = rl_lnet_deadline(L, 1);
	if (due < 0)
		lua_pushnil(L);
	else
		lua_pushnumber(L, (lua_Number)due);
	return 1;
}

/* Addresses. */

/* "host:port" -> host, port; nothing when it is no address */
static int lnet_split(lua_State *L)
{
	char host[RL_ADDR_HOST_MAX];
	uint16_t port;
	size_t len;
	const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &len) : NULL;
	if (!text || rl_addr_split(text, len, host, &port) < 0)
		return 0;
	lua_pushstring(L, host);
	lua_pushinteger(L, port);
	return 2;
}

static bool check_addr(lua_State *L, int arg, struct rl_addr *out)
{
	const char *host = luaL_checkstring(L, arg);
	return rl_addr_parse(out, host, (uint16_t)luaL_checkinteger(L, arg + 1)) == 0;
}

/* host, port -> are these numbers? */
static int lnet_is_literal(lua_State *L)
{
	struct rl_addr addr;
	lua_pushboolean(L, check_addr(L, 1, &addr));
	return 1;
}

static struct rl_resolve **check_resolve(lua_State *L)
{
	return (struct rl_resolve **)rl_lnet_handle(L, rl_lnet_of(L)->resolve_class, 1, "lookup");
}

/* host, port, passive -> lookup | nil, code */
static int lnet_resolve(lua_State *L)
{
	struct rl_lnet *n = rl_lnet_of(L);
	const char *host = luaL_checkstring(L, 1);
	uint16_t port = (uint16_t)luaL_checkinteger(L, 2);
	struct rl_net *net = rl_lnet_net(L, n);
	rl_lua_check_park(L, n->shard);
	struct rl_resolve **handle = new_handle(L, "ringlet.lookup");
	int err = rl_resolve_open(net, host, port, lua_toboolean(L, 3), handle);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* lookup, [due] -> 1 | true after a wait | nil, code */
static int lnet_resolve_wait(lua_State *L)
{
	struct rl_resolve *r = *check_resolve(L);
	if (!r)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (!r->done)
		return rl_lua_park(L, rl_lua_of(L), &r->waiters, RL_REASON_RESOLVE, rl_lnet_due(L, 2));
	if (r->err)
		return rl_lua_fail(L, r->err);
	lua_pushinteger(L, 1);
	return 1;
}

static int lnet_resolve_gc(lua_State *L)
{
	struct rl_resolve **handle = check_resolve(L);
	if (*handle)
		rl_resolve_disown(*handle);
	*handle = NULL;
	return 0;
}

/* Connecting. */

static struct rl_dial **check_dial(lua_State *L)
{
	return (struct rl_dial **)rl_lnet_handle(L, rl_lnet_of(L)->dial_class, 1, "dial");
}

static int dial(lua_State *L, const struct rl_addr *addrs, unsigned n)
{
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	rl_lua_check_park(L, rl_lua_of(L));
	struct rl_dial **handle = new_handle(L, "ringlet.dial");
	int err = rl_dial_open(net, addrs, n, handle);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* host, port in numbers -> dial | nil, code */
static int lnet_dial(lua_State *L)
{
	struct rl_addr addr;
	if (!check_addr(L, 1, &addr))
		return luaL_error(L, "an address in numbers expected");
	return dial(L, &addr, 1);
}

/* lookup that is done -> dial | nil, code */
static int lnet_dial_resolved(lua_State *L)
{
	struct rl_resolve *r = *check_resolve(L);
	if (!r || !r->done || r->err)
		return rl_lua_fail(L, -RL_ECLOSED);
	return dial(L, r->addrs, r->n);
}

/* dial, [due] -> conn | true after a wait | nil, code */
static int lnet_dial_wait(lua_State *L)
{
	struct rl_dial *d = *check_dial(L);
	if (!d)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (!d->over)
		return rl_lua_park(L, rl_lua_of(L), &d->waiters, RL_REASON_CONNECT, rl_lnet_due(L, 2));
	struct rl_conn *c = rl_lnet_new_conn(L);
	int fd = rl_dial_take(d);
	int err = fd < 0 ? fd : rl_lnet_adopt(d->net, c, fd);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

static int lnet_dial_gc(lua_State *L)
{
	struct rl_dial **handle = check_dial(L);
	if (*handle)
		rl_dial_disown(*handle);
	*handle = NULL;
	return 0;
}

/* Listening. */

static struct rl_listener **check_listener(lua_State *L)
{
	return (struct rl_listener **)rl_lnet_handle(L, rl_lnet_of(L)->listener_class, 1, "listener");
}

static int listen_on(lua_State *L, const struct rl_addr *addr, int arg)
{
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	struct rl_listener_config config = {
		.backlog = (int)luaL_optinteger(L, arg, 0),
		.reuseport = lua_toboolean(L, arg + 1),
		.v6only = lua_toboolean(L, arg + 2),
		.mode = (unsigned)luaL_optinteger(L, arg + 3, 0600),
	};
	struct rl_listener **handle = new_handle(L, "ringlet.listener");
	int err = rl_listener_open(net, addr, &config, handle);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* host, port in numbers, [backlog], [reuseport], [v6only], [mode of a Unix socket's file] ->
 * listener | nil, code */
static int lnet_listen(lua_State *L)
{
	struct rl_addr addr;
	if (!check_addr(L, 1, &addr))
		return luaL_error(L, "an address in numbers expected");
	return listen_on(L, &addr, 3);
}

/* lookup that is done, ... as above: the first IPv4 address, else the first, as in Go */
static int lnet_listen_resolved(lua_State *L)
{
	struct rl_resolve *r = *check_resolve(L);
	unsigned i = 0;
	if (!r || !r->done || r->err)
		return rl_lua_fail(L, -RL_ECLOSED);
	while (i < r->n && r->addrs[i].sa.sa_family != AF_INET)
		i++;
	return listen_on(L, &r->addrs[i < r->n ? i : 0], 2);
}

/* listener, [due] -> conn | true after a wait | nil, code */
static int lnet_accept(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_listener *l = *check_listener(L);
	if (!l)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	if (l->len == 0)
		rl_lua_check_park(L, h);
	int64_t due = rl_lnet_due(L, 2);
	struct rl_conn *c = rl_lnet_new_conn(L);
	int fd = rl_listener_accept(l);
	if (fd == -EAGAIN) {
		lua_pop(L, 1);
		return rl_lua_park(L, h, &l->acceptors, RL_REASON_ACCEPT, due);
	}
	int err = fd < 0 ? fd : rl_lnet_adopt(l->net, c, fd);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* listener, boolean */
static int lnet_accept_pause(lua_State *L)
{
	struct rl_listener *l = *check_listener(L);
	if (l)
		rl_listener_pause(l, lua_toboolean(L, 2));
	return 0;
}

/* listener: it keeps run alive until it is closed */
static int lnet_hold(lua_State *L)
{
	struct rl_listener *l = *check_listener(L);
	if (l)
		rl_listener_hold(l);
	return 0;
}

/* listener -> "host:port" | nil, code */
static int lnet_listener_addr(lua_State *L)
{
	struct rl_listener *l = *check_listener(L);
	char text[RL_ADDR_TEXT_MAX];
	struct rl_addr addr;
	int err = l ? rl_listener_addr(l, &addr) : -RL_ECLOSED;
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushlstring(L, text, (size_t)rl_addr_format(&addr, text));
	return 1;
}

/* listener -> accepted, waiting, shortages */
static int lnet_listener_counts(lua_State *L)
{
	struct rl_listener *l = *check_listener(L);
	lua_pushnumber(L, l ? (lua_Number)l->accepted : 0);
	lua_pushinteger(L, l ? l->len : 0);
	lua_pushnumber(L, l ? (lua_Number)l->shortages : 0);
	return 3;
}

static int lnet_listener_close(lua_State *L)
{
	struct rl_listener *l = *check_listener(L);
	if (l)
		rl_listener_close(l);
	lua_pushboolean(L, 1);
	return 1;
}

/* closed listener -> 1 once the kernel refuses connections | true after a wait */
static int lnet_listener_ended(lua_State *L)
{
	struct rl_listener *l = *check_listener(L);
	if (l && !l->dead)
		return rl_lua_park(L, rl_lua_of(L), &l->acceptors, RL_REASON_CLOSE, -1);
	lua_pushinteger(L, 1);
	return 1;
}

static int lnet_listener_gc(lua_State *L)
{
	struct rl_listener **handle = check_listener(L);
	if (*handle)
		rl_listener_disown(*handle);
	*handle = NULL;
	return 0;
}

static int lnet_listener_tostring(lua_State *L)
{
	struct rl_listener **handle = check_listener(L);
	char text[RL_ADDR_TEXT_MAX];
	struct rl_addr addr;
	int err = *handle ? rl_listener_addr(*handle, &addr) : -RL_ECLOSED;
	lua_pushfstring(L, "ringlet.listener: %p (", (void *)handle);
	lua_pushlstring(L, text, err < 0 ? 0 : (size_t)rl_addr_format(&addr, text));
	lua_pushstring(L, err < 0 ? "closed)" : ")");
	lua_concat(L, 3);
	return 1;
}

/* Crews. */

static struct rl_crew **check_crew(lua_State *L)
{
	return (struct rl_crew **)rl_lnet_handle(L, rl_lnet_of(L)->crew_class, 1, "crew");
}

/* -> crew */
static int lnet_crew(lua_State *L)
{
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	struct rl_crew **handle = new_handle(L, "ringlet.crew");
	int err = rl_crew_open(net, handle);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

static struct rl_stream *conn_at(lua_State *L, int arg)
{
	return rl_lnet_conn(L, arg);
}

/* crew, conn, conns: the connection is busy until net_next or net_rest gets it back */
static int lnet_crew_add(lua_State *L)
{
	struct rl_crew *c = *check_crew(L);
	struct rl_stream *s = conn_at(L, 2);
	if (!c || !s)
		return rl_lua_fail(L, -RL_ECLOSED);
	luaL_checktype(L, 3, LUA_TTABLE);
	lua_pushvalue(L, 2);
	lua_rawseti(L, 3, (int)s->slot + 1);
	int err = rl_crew_add(c, s);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* conn, conns: no longer held */
static int lnet_crew_remove(lua_State *L)
{
	struct rl_stream *s = conn_at(L, 1);
	if (!s)
		return 0;
	lua_pushnil(L);
	lua_rawseti(L, 2, (int)s->slot + 1);
	rl_crew_remove(s);
	return 0;
}

static int lnet_rest(lua_State *L)
{
	struct rl_stream *s = conn_at(L, 1);
	if (s)
		rl_crew_rest(s);
	return 0;
}

/* What the next stream has: conn, data, false | conn, nil, code; and whether a worker should be
 * started before this one goes into a handler. The connection's handle is on top. */
static int give_news(lua_State *L, struct rl_lua *h, struct rl_crew *c, struct rl_stream *s,
	bool buffers)
{
	struct rl_piece piece;
	int status = rl_stream_status(s);
	if (status == 0 && buffers)
		status = rl_stream_lend(s, &piece);
	if (status < 0) {
		lua_pushnil(L);
		lua_pushinteger(L, status);
	} else if (buffers) {
		rl_lbuffer_push(L, h, &piece);
		lua_pushboolean(L, 0);
	} else {
		const struct rl_piece *head = rl_bytes_head(&s->in);
		lua_pushlstring(L, rl_piece_at(head), head->len);
		rl_stream_consume(s, head->len);
		lua_pushboolean(L, 0);
	}
	lua_pushboolean(L, rl_crew_lacks_worker(c));
	return 4;
}

/* crew, conn (nil: none) that rests now, conns, buffers -> conn, ... as above | true after a wait |
 * false: this worker should end */
static int lnet_next(lua_State *L)
{
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_lua *h = n->shard;
	struct rl_crew *c = *check_crew(L);
	struct rl_stream *s = lua_isnil(L, 2) ? NULL : rl_lnet_conn(L, 2);
	if (s) {
		rl_stream_unlend(s);
		rl_crew_rest(s);
	}
	if (c && rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	s = c ? rl_crew_next(c) : NULL;
	if (s) {
		lua_rawgeti(L, 3, (int)s->slot + 1);
		return give_news(L, h, c, s, lua_toboolean(L, 4));
	}
	if (c && rl_crew_gave_way(c))
		return rl_lua_park(L, h, &h->shard.resting, RL_REASON_SERVER, -1);
	if (c && rl_crew_idle(c))
		return rl_lua_park(L, h, &c->workers, RL_REASON_SERVER, -1);
	lua_pushboolean(L, 0);
	return 1;
}

static int lnet_crew_stop(lua_State *L)
{
	struct rl_crew *c = *check_crew(L);
	if (c)
		rl_crew_stop(c);
	return 0;
}

static int lnet_crew_gc(lua_State *L)
{
	struct rl_crew **handle = check_crew(L);
	if (*handle)
		rl_crew_disown(*handle);
	*handle = NULL;
	return 0;
}

/* conn, owner: whose connection it is */
static int lnet_claim(lua_State *L)
{
	struct rl_stream *s = conn_at(L, 1);
	if (s)
		s->owner = (uint32_t)lua_tointeger(L, 2);
	return 0;
}

/* conn -> owner, 0 when its run is over */
static int lnet_owner(lua_State *L)
{
	struct rl_stream *s = conn_at(L, 1);
	lua_pushinteger(L, s ? (lua_Integer)s->owner : 0);
	return 1;
}

/* owner: its connections are reset, also those that are closed and still send */
static int lnet_abort_owned(lua_State *L)
{
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	uint32_t owner = (uint32_t)lua_tointeger(L, 1);
	for (uint32_t i = 0; i < net->streams->used; i++) {
		struct rl_stream *s = rl_slab_at(net->streams, i);
		if (s && rl_stream_is_live(s) && s->owner == owner)
			rl_stream_abort(s);
	}
	return 0;
}

/* conn -> is a handler at work on it? */
static int lnet_is_busy(lua_State *L)
{
	struct rl_stream *s = conn_at(L, 1);
	lua_pushboolean(L, s && (s->flags & (RL_STREAM_BUSY | RL_STREAM_NEWS)));
	return 1;
}

static const luaL_Reg functions[] = {
	{"net_until", lnet_until},
	{"net_split", lnet_split},
	{"net_is_literal", lnet_is_literal},
	{"net_resolve", lnet_resolve},
	{"net_resolve_wait", lnet_resolve_wait},
	{"net_resolve_close", lnet_resolve_gc},
	{"net_dial", lnet_dial},
	{"net_dial_resolved", lnet_dial_resolved},
	{"net_dial_wait", lnet_dial_wait},
	{"net_dial_close", lnet_dial_gc},
	{"net_listen", lnet_listen},
	{"net_listen_resolved", lnet_listen_resolved},
	{"net_accept", lnet_accept},
	{"net_accept_pause", lnet_accept_pause},
	{"net_hold", lnet_hold},
	{"net_listener_addr", lnet_listener_addr},
	{"net_listener_close", lnet_listener_close},
	{"net_listener_ended", lnet_listener_ended},
	{"net_listener_counts", lnet_listener_counts},
	{"net_crew", lnet_crew},
	{"net_crew_add", lnet_crew_add},
	{"net_crew_remove", lnet_crew_remove},
	{"net_crew_stop", lnet_crew_stop},
	{"net_next", lnet_next},
	{"net_rest", lnet_rest},
	{"net_claim", lnet_claim},
	{"net_owner", lnet_owner},
	{"net_abort_owned", lnet_abort_owned},
	{"net_is_busy", lnet_is_busy},
	{NULL, NULL},
};

static const luaL_Reg listener_methods[] = {
	{"__gc", lnet_listener_gc},
	{"__close", lnet_listener_close},
	{"__tostring", lnet_listener_tostring},
	{NULL, NULL},
};

static const luaL_Reg resolve_methods[] = {{"__gc", lnet_resolve_gc}, {NULL, NULL}};
static const luaL_Reg dial_methods[] = {{"__gc", lnet_dial_gc}, {NULL, NULL}};
static const luaL_Reg crew_methods[] = {{"__gc", lnet_crew_gc}, {NULL, NULL}};

/* A class without __index yet: the Lua side adds methods where there are any. Left on top. */
static const void *new_class(lua_State *L, struct rl_lnet *n, const char *name,
	const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	rl_lnet_register(L, n, methods);
	return lua_topointer(L, -1);
}

static int lnet_state_gc(lua_State *L)
{
	struct rl_lnet *n = lua_touserdata(L, 1);
	free(n->scratch);
	n->scratch = NULL;
	n->scratch_size = 0;
	return 0;
}

/* One for a shard, anchored in the registry for as long as the closures may be called. */
static struct rl_lnet *state_of(lua_State *L, struct rl_lua *h)
{
	lua_getfield(L, LUA_REGISTRYINDEX, LNET);
	struct rl_lnet *n = lua_touserdata(L, -1);
	lua_pop(L, 1);
	if (n)
		return n;
	n = lua_newuserdata(L, sizeof *n);
	memset(n, 0, sizeof *n);
	n->shard = h;
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, lnet_state_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, LNET);
	return n;
}

/* The codes with which a connection ends without an error, as a list. */
static void push_quiet(lua_State *L)
{
	lua_createtable(L, 2, 0);
	lua_pushinteger(L, -RL_EOF);
	lua_rawseti(L, -2, 1);
	lua_pushinteger(L, -RL_ECLOSED);
	lua_rawseti(L, -2, 2);
}

void rl_lua_open_net(lua_State *L, struct rl_lua *h)
{
	struct rl_lnet *n = state_of(L, h);
	rl_lnet_register(L, n, functions);
	push_quiet(L);
	lua_setfield(L, -2, "net_quiet");
	n->listener_class = new_class(L, n, "ringlet.listener", listener_methods);
	lua_setfield(L, -2, "listener_class");
	n->resolve_class = new_class(L, n, "ringlet.lookup", resolve_methods);
	n->dial_class = new_class(L, n, "ringlet.dial", dial_methods);
	n->crew_class = new_class(L, n, "ringlet.crew", crew_methods);
	lua_pop(L, 3);
	rl_lnet_open_conn(L, n);
	rl_lnet_open_unix(L, n);
	rl_lnet_open_classify(L, n);
	rl_lnet_open_fd(L, n);
	rl_lnet_open_spread(L, n);
	rl_lnet_open_content(L, n);
	rl_lnet_open_http(L, n);
	rl_lnet_open_ws(L, n);
}
