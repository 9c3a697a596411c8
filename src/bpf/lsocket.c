/* SPDX-License-Identifier: MIT */
/*
 * lsocket: what programs know a socket by: its cookie, its protocol, the two ends of its flow; and
 * of a device, where packets begin.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The key of the map `flows` of bpf/wakeup.h. */
struct flow {
	uint32_t from[4], to[4];
	uint16_t from_port, to_port; /* in network order */
	uint32_t protocol;
};

_Static_assert(sizeof(struct flow) == 40, "as bpf/wakeup.h has it");

/* descriptor -> cookie | nil, code */
static int lsocket_cookie(lua_State *L)
{
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	if (getsockopt(rl_bpf_fd(L, 1), SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return rl_bpf_fail(L, -errno);
	rl_bpf_push64(L, cookie, false);
	return 1;
}

/* descriptor -> boolean: is it one of TCP? | nil, code */
static int lsocket_is_tcp(lua_State *L)
{
	int protocol;
	socklen_t len = sizeof protocol;
	if (getsockopt(rl_bpf_fd(L, 1), SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0)
		return rl_bpf_fail(L, -errno);
	lua_pushboolean(L, protocol == IPPROTO_TCP);
	return 1;
}

/* One end, an IPv4 address in the first word, however the socket has it. 0 or -errno. */
static int read_end(const struct sockaddr_storage *a, uint32_t ip[4], uint16_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
	if (a->ss_family == AF_INET) {
		ip[0] = v4->sin_addr.s_addr;
		*port = v4->sin_port;
	} else if (a->ss_family != AF_INET6) {
		return -EAFNOSUPPORT;
	} else {
		*port = v6->sin6_port;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			memcpy(ip, v6->sin6_addr.s6_addr + 12, 4);
		else
			memcpy(ip, &v6->sin6_addr, 16);
	}
	return 0;
}

static int read_flow(int fd, struct flow *flow)
{
	struct sockaddr_storage peer, own;
	socklen_t peer_len = sizeof peer, own_len = sizeof own, len = sizeof flow->protocol;
	if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0
		|| getsockname(fd, (struct sockaddr *)&own, &own_len) < 0
		|| getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &flow->protocol, &len) < 0)
		return -errno;
	int err = read_end(&peer, flow->from, &flow->from_port);
	return err < 0 ? err : read_end(&own, flow->to, &flow->to_port);
}

/* descriptor of a connected socket -> what its packets come from and go to, as bytes | nil, code */
static int lsocket_flow(lua_State *L)
{
	struct flow flow = {0};
	int err = read_flow(rl_bpf_fd(L, 1), &flow);
	if (err < 0)
		return rl_bpf_fail(L, err);
	lua_pushlstring(L, (const char *)&flow, sizeof flow);
	return 1;
}

/* name of an interface -> bytes of the header that its link layer puts before IP's | nil, code */
static int lsocket_link_len(lua_State *L)
{
	struct ifreq request = {0};
	strncpy(request.ifr_name, luaL_checkstring(L, 1), IFNAMSIZ - 1);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (err < 0)
		return rl_bpf_fail(L, err);
	int kind = request.ifr_hwaddr.sa_family;
	lua_pushinteger(L, kind == ARPHRD_ETHER || kind == ARPHRD_LOOPBACK ? 14 : 0);
	return 1;
}

static const luaL_Reg functions[] = {
	{"socket_cookie", lsocket_cookie},
	{"socket_is_tcp", lsocket_is_tcp},
	{"socket_flow", lsocket_flow},
	{"link_len", lsocket_link_len},
	{NULL, NULL},
};

void rl_bpf_open_socket(lua_State *L)
{
	rl_bpf_register(L, functions);
}
