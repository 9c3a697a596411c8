/* SPDX-License-Identifier: MIT */
/* lprocess: which processes there are: whose filters of clsact may be cleaned. */
#include "bpf/lbpf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* pid -> boolean: is there such a process, in our PID namespace? Asked of the kernel, since /proc
 * may hide other users' processes. */
static int lprocess_alive(lua_State *L)
{
	lua_Number pid = luaL_checknumber(L, 1);
	bool can_be = pid >= 1 && pid <= INT32_MAX;
	lua_pushboolean(L, can_be && (kill((pid_t)pid, 0) == 0 || errno != ESRCH));
	return 1;
}

/* pid or "self", kind of a namespace -> its number as a string | nil: it cannot be seen */
static int lprocess_namespace(lua_State *L)
{
	char to[64];
	const char *path = lua_pushfstring(L, "/proc/%s/ns/%s", luaL_checkstring(L, 1),
		luaL_checkstring(L, 2));
	ssize_t n = readlink(path, to, sizeof to - 1);
	to[n > 0 ? n : 0] = '\0';
	const char *from = strchr(to, '['), *end = strchr(to, ']');
	if (!from || !end)
		return 0;
	lua_pushlstring(L, from + 1, (size_t)(end - from - 1));
	return 1;
}

/* -> list of the pids that can be seen, as strings */
static int lprocess_list(lua_State *L)
{
	int n = 0;
	lua_newtable(L);
	DIR *dir = opendir("/proc");
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		lua_pushstring(L, e->d_name);
		lua_rawseti(L, -2, ++n);
	}
	if (dir)
		closedir(dir);
	return 1;
}

static const luaL_Reg functions[] = {
	{"process_alive", lprocess_alive},
	{"process_namespace", lprocess_namespace},
	{"process_list", lprocess_list},
	{NULL, NULL},
};

void rl_bpf_open_process(lua_State *L)
{
	rl_bpf_register(L, functions);
}
