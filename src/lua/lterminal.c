/* SPDX-License-Identifier: MIT */
/*
 * lterminal: the terminal that the command `ringlet` is used at: its size, and its keys one by one.
 *
 * Invariants: the mode that the terminal had is put back once, by terminal_close. While keys are
 * read nothing blocks: a read that finds nothing gives nothing.
 */
#include "lua/lshard.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/poll.h>
#include <termios.h>
#include <unistd.h>

#define COLUMNS 80 /* of a terminal that does not tell */
#define ROWS    24

struct rl_terminal {
	struct rl_op op;
	struct rl_lua *shard;
	int fn_ref;
	struct termios before;
	bool closing;
};

static void terminal_arm(struct rl_terminal *t)
{
	t->op.events = POLLIN;
	if (rl_os_submit(t->shard->shard.os, &t->op) < 0)
		t->op.in_flight = false;
}

/* Give the function what was typed; nothing: the terminal is gone. */
static void terminal_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_terminal *t = rl_container(op, struct rl_terminal, op);
	char keys[256];
	(void)flags;
	if (t->closing)
		return;
	ssize_t n = res < 0 ? -1 : read(op->fd, keys, sizeof keys);
	bool gone = n < 0 ? res < 0 || errno != EAGAIN : n == 0 && (res & (POLLHUP | POLLERR));
	lua_State *L = t->shard->main;
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->fn_ref);
	if (gone)
		lua_pushnil(L);
	else
		lua_pushlstring(L, keys, n > 0 ? (size_t)n : 0);
	if (lua_pcall(L, 1, 0, 0) != 0)
		lua_pop(L, 1);
	if (!gone)
		terminal_arm(t);
}

/* Keys come one by one and are not shown, and none but Ctrl-C sends a signal: a process that is
 * stopped or dumps core would leave the terminal as it is. What was typed before is kept. */
static int set_mode(struct rl_terminal *t)
{
	struct termios mode;
	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return -errno;
	mode = t->before;
	mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	mode.c_cc[VMIN] = 0;
	mode.c_cc[VTIME] = 0;
	mode.c_cc[VSUSP] = _POSIX_VDISABLE;
	mode.c_cc[VQUIT] = _POSIX_VDISABLE;
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) < 0 ? -errno : 0;
}

/* The op must have had its last completion before its memory goes: cancel and reap. */
static int lterminal_close(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_terminal *t = h->terminal;
	if (!t)
		return 0;
	h->terminal = NULL;
	t->closing = true;
	for (int i = 0; t->op.in_flight && i < 100; i++) {
		rl_os_cancel(h->shard.os, &t->op);
		rl_os_poll(h->shard.os, rl_shard_now(&h->shard) + 10000000);
	}
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
	luaL_unref(L, LUA_REGISTRYINDEX, t->fn_ref);
	if (!t->op.in_flight)
		free(t);
	return 0;
}

/* terminal_open(fn) -> true | nil, code: fn(text) is called in the loop for what is typed at stdin,
 * fn(nil) once when the terminal is gone */
static int lterminal_open(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	luaL_checktype(L, 1, LUA_TFUNCTION);
	rl_lua_check_run(L, h);
	if (h->terminal)
		return rl_lua_fail(L, -EBUSY);
	struct rl_terminal *t = calloc(1, sizeof *t);
	if (!t)
		return rl_lua_fail(L, -ENOMEM);
	int err = set_mode(t);
	if (err < 0) {
		free(t);
		return rl_lua_fail(L, err);
	}
	h->terminal = t;
	lua_settop(L, 1);
	t->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	t->shard = h;
	t->op = (struct rl_op){.done = terminal_done, .fd = STDIN_FILENO, .kind = RL_OP_POLL,
		.internal = 1};
	terminal_arm(t);
	lua_pushboolean(L, 1);
	return 1;
}

/* terminal_size(fd) -> columns, rows | nil, code: of a terminal */
static int lterminal_size(lua_State *L)
{
	struct winsize size = {0};
	if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) < 0)
		return rl_lua_fail(L, -errno);
	lua_pushinteger(L, size.ws_col ? size.ws_col : COLUMNS);
	lua_pushinteger(L, size.ws_row ? size.ws_row : ROWS);
	return 2;
}

static const luaL_Reg functions[] = {
	{"terminal_open", lterminal_open},
	{"terminal_close", lterminal_close},
	{"terminal_size", lterminal_size},
	{NULL, NULL},
};

void rl_lua_open_terminal(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
