/* SPDX-License-Identifier: MIT */
/*
 * lsignal: signals as events of the loop, when they are asked for: SIGINT and SIGTERM (signals =
 * true), SIGQUIT (dumps), SIGWINCH (the command `ringlet top`). They are blocked and read through a
 * signalfd, so that no handler of ours exists and nothing runs in signal context. All other threads
 * of ours have them blocked anyway.
 */
#include "lua/lshard.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct rl_signals {
	struct rl_op op;
	struct rl_lua *shard;
	int fd, fn_ref;
	sigset_t blocked;        /* by this, not before */
	bool closing;
};

static void signals_arm(struct rl_signals *g)
{
	g->op.events = POLLIN;
	if (rl_os_submit(g->shard->shard.os, &g->op) < 0)
		g->op.in_flight = false;
}

static void signals_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_signals *g = rl_container(op, struct rl_signals, op);
	struct signalfd_siginfo info;
	(void)flags;
	if (g->closing || res < 0)
		return;
	lua_State *L = g->shard->main;
	while (read(g->fd, &info, sizeof info) == sizeof info) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, g->fn_ref);
		lua_pushinteger(L, (lua_Integer)info.ssi_signo);
		if (lua_pcall(L, 1, 0, 0) != 0)
			lua_pop(L, 1);
	}
	signals_arm(g);
}

/* The op must have had its last completion before its memory goes: cancel and reap. A SIGQUIT that
 * nobody has read was meant for a dump: it does not kill now. */
static void signals_close(lua_State *L, struct rl_lua *h, struct rl_signals **at)
{
	struct signalfd_siginfo info;
	struct rl_signals *g = *at;
	if (!g)
		return;
	*at = NULL;
	g->closing = true;
	for (int i = 0; g->op.in_flight && i < 100; i++) {
		rl_os_cancel(h->shard.os, &g->op);
		rl_os_poll(h->shard.os, rl_shard_now(&h->shard) + 10000000);
	}
	if (at == &h->quit) {
		while (read(g->fd, &info, sizeof info) == sizeof info)
			continue;
	}
	close(g->fd);
	pthread_sigmask(SIG_UNBLOCK, &g->blocked, NULL);
	luaL_unref(L, LUA_REGISTRYINDEX, g->fn_ref);
	if (!g->op.in_flight)
		free(g);
}

/* Block the signals, and remember those that were not. */
static void block(struct rl_signals *g, const sigset_t *set)
{
	sigset_t before;
	pthread_sigmask(SIG_BLOCK, set, &before);
	sigemptyset(&g->blocked);
	for (int i = 1; i < NSIG; i++) {
		if (sigismember(set, i) == 1 && sigismember(&before, i) == 0)
			sigaddset(&g->blocked, i);
	}
}

static int signals_open(lua_State *L, struct rl_signals **at, const sigset_t *set)
{
	struct rl_lua *h = rl_lua_of(L);
	signals_close(L, h, at);
	if (lua_isnoneornil(L, 1))
		return 0;
	luaL_checktype(L, 1, LUA_TFUNCTION);
	struct rl_signals *g = calloc(1, sizeof *g);
	if (!g)
		return luaL_error(L, "not enough memory");
	g->fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (g->fd < 0) {
		free(g);
		return luaL_error(L, "signalfd failed");
	}
	block(g, set);
	lua_settop(L, 1);
	g->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	g->shard = h;
	g->op = (struct rl_op){.done = signals_done, .fd = g->fd, .kind = RL_OP_POLL, .internal = 1};
	*at = g;
	signals_arm(g);
	return 0;
}

/* signals(fn|nil): fn(signo) is called in the loop for SIGINT and SIGTERM; nil: no more */
static int lsignal_signals(lua_State *L)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return signals_open(L, &rl_lua_of(L)->signals, &set);
}

/* on_quit(fn|nil): the same for SIGQUIT */
static int lsignal_on_quit(lua_State *L)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGQUIT);
	return signals_open(L, &rl_lua_of(L)->quit, &set);
}

/* on_resize(fn|nil): the same for SIGWINCH */
static int lsignal_on_resize(lua_State *L)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	return signals_open(L, &rl_lua_of(L)->resized, &set);
}

static const luaL_Reg functions[] = {
	{"signals", lsignal_signals},
	{"on_quit", lsignal_on_quit},
	{"on_resize", lsignal_on_resize},
	{NULL, NULL},
};

void rl_lua_open_signal(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
