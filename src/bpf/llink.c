/* SPDX-License-Identifier: MIT */
/*
 * llink: what keeps a program attached. Where the kernel has links, it is one, which ends with its
 * last descriptor, so also with the process. A program on a socket is found again by the socket's
 * cookie, so a descriptor that means another socket by now is left alone.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

struct link {
	int fd;                 /* of the link, or of the socket; -1: detached */
	int undo;               /* the socket's option that detaches; 0: it is a link */
	uint64_t cookie;        /* the socket's */
	struct bpf_link *owner; /* libbpf's, which has more to close than `fd`; NULL: there is none */
};

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

/* link: detach. Idempotent. */
static int llink_close(lua_State *L)
{
	struct link *l = luaL_checkudata(L, 1, RL_BPF_LINK);
	int fd = l->fd, none = 0;
	struct bpf_link *owner = l->owner;
	l->fd = -1;
	l->owner = NULL;
	if (owner)
		bpf_link__destroy(owner);
	else if (fd >= 0 && !l->undo)
		close(fd);
	else if (fd >= 0 && l->cookie != 0 && cookie_of(fd) == l->cookie)
		setsockopt(fd, SOL_SOCKET, l->undo, &none, sizeof none);
	return 0;
}

static struct link *new_link(lua_State *L)
{
	struct link *l = rl_bpf_new(L, RL_BPF_LINK, sizeof *l);
	l->fd = -1;
	return l;
}

/* program's descriptor, socket, "socket" or "reuseport" -> link | nil, code */
static int llink_socket(lua_State *L)
{
	static const char *const names[] = {"socket", "reuseport", NULL};
	static const int set[] = {SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF};
	static const int undo[] = {SO_DETACH_BPF, SO_DETACH_REUSEPORT_BPF};
	int program = rl_bpf_fd(L, 1), fd = rl_bpf_fd(L, 2);
	int kind = luaL_checkoption(L, 3, NULL, names);
	struct link *l = new_link(L);
	if (setsockopt(fd, SOL_SOCKET, set[kind], &program, sizeof program) < 0)
		return rl_bpf_fail(L, -errno);
	l->undo = undo[kind];
	l->cookie = cookie_of(fd);
	l->fd = fd;
	return 1;
}

/* program's descriptor, target (an interface's number, a descriptor of a cgroup), attach type,
 * flags -> link | nil, code */
static int llink_create(lua_State *L)
{
	int program = rl_bpf_fd(L, 1), target = rl_bpf_fd(L, 2);
	enum bpf_attach_type type = (enum bpf_attach_type)luaL_checknumber(L, 3);
	struct bpf_link_create_opts opts = {.sz = sizeof opts, .flags = (__u32)luaL_optnumber(L, 4, 0)};
	struct link *l = new_link(L);
	int fd = bpf_link_create(program, target, type, &opts);
	if (fd < 0)
		return rl_bpf_fail(L, -errno);
	l->fd = fd;
	return 1;
}

/* program's descriptor, path of a cgroup, attach type -> link | nil, code */
static int llink_cgroup(lua_State *L)
{
	int program = rl_bpf_fd(L, 1);
	const char *path = luaL_checkstring(L, 2);
	enum bpf_attach_type type = (enum bpf_attach_type)luaL_checknumber(L, 3);
	struct link *l = new_link(L);
	int group = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group < 0)
		return rl_bpf_fail(L, -errno);
	int fd = bpf_link_create(program, group, type, NULL), err = errno;
	close(group);
	if (fd < 0)
		return rl_bpf_fail(L, -err);
	l->fd = fd;
	return 1;
}

/* path -> descriptor of a cgroup, which the caller owns | nil, code */
static int llink_open_cgroup(lua_State *L)
{
	int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return rl_bpf_fail(L, -errno);
	lua_pushinteger(L, fd);
	return 1;
}

static int own(lua_State *L, struct link *l, struct bpf_link *owner)
{
	if (!owner)
		return rl_bpf_fail(L, errno ? -errno : -EINVAL);
	l->owner = owner;
	l->fd = bpf_link__fd(owner);
	return 1;
}

/* object, program: where its section says -> link | nil, code */
static int llink_section(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	const struct bpf_program *p = rl_bpf_program(L, of, 2);
	struct link *l = new_link(L);
	return p ? own(L, l, bpf_program__attach(p)) : rl_bpf_fail(L, -ENOENT);
}

/* object, program, path of a binary, function | nil, offset, pid (-1: all), at its return? -> link
 * | nil, code */
static int llink_uprobe(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	const struct bpf_program *p = rl_bpf_program(L, of, 2);
	const char *path = luaL_checkstring(L, 3), *function = luaL_optstring(L, 4, NULL);
	size_t offset = (size_t)luaL_optnumber(L, 5, 0);
	pid_t pid = (pid_t)luaL_optnumber(L, 6, -1);
	struct link *l = new_link(L);
	struct bpf_uprobe_opts opts = {.sz = sizeof opts, .func_name = function,
		.retprobe = lua_toboolean(L, 7)};
	return p ? own(L, l, bpf_program__attach_uprobe_opts(p, pid, path, offset, &opts))
		: rl_bpf_fail(L, -ENOENT);
}

/* link -> descriptor | nil, -EOPNOTSUPP: it is none of the kernel's */
static int llink_fd(lua_State *L)
{
	const struct link *l = luaL_checkudata(L, 1, RL_BPF_LINK);
	if (l->fd < 0 || l->undo)
		return rl_bpf_fail(L, -EOPNOTSUPP);
	lua_pushinteger(L, l->fd);
	return 1;
}

/* name of an interface -> its number | nil, code */
static int llink_interface(lua_State *L)
{
	unsigned index = if_nametoindex(luaL_checkstring(L, 1));
	if (index == 0)
		return rl_bpf_fail(L, -errno);
	lua_pushinteger(L, (lua_Integer)index);
	return 1;
}

static const luaL_Reg functions[] = {
	{"link_socket", llink_socket},
	{"link_create", llink_create},
	{"link_cgroup", llink_cgroup},
	{"open_cgroup", llink_open_cgroup},
	{"link_section", llink_section},
	{"link_uprobe", llink_uprobe},
	{"link_fd", llink_fd},
	{"link_close", llink_close},
	{"interface", llink_interface},
	{NULL, NULL},
};

void rl_bpf_open_link(lua_State *L)
{
	rl_bpf_class(L, RL_BPF_LINK, llink_close);
	rl_bpf_register(L, functions);
}
