/* SPDX-License-Identifier: MIT */
/*
 * lclsact: programs on the hooks of a clsact qdisc, which kernels without tcx have. Such a filter
 * is the kernel's: it outlives the process. So it has a name that tells whose it is, by which the
 * next process that comes to that hook finds those whose owner is gone
 * (lua/ringlet/bpf_clsact.lua).
 *
 * The handle has a netlink socket of its own, opened in the network namespace in which the filter
 * is; through it the filter is taken away when the handle is closed or collected, and the qdisc, if
 * we made it and no filter is left on it.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_MAX_ 200  /* bytes of a filter's name; the kernel takes 256 */
#define MESSAGE_MAX 512
#define DUMP_MAX 32768 /* what the kernel gives of a dump at a time, at most */

struct clsact {
	int fd; /* -1: closed */
	int interface;
	uint32_t parent, priority, handle;
	bool attached;
	bool made; /* the qdisc is ours: it goes with its last filter */
};

struct request {
	struct nlmsghdr head;
	struct tcmsg tc;
	char rest[MESSAGE_MAX];
};

static const uint32_t parents[] = {
	TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
};

static void begin(struct request *q, const struct clsact *c, uint16_t type, uint16_t flags)
{
	memset(q, 0, sizeof *q);
	q->head.nlmsg_len = NLMSG_LENGTH(sizeof q->tc);
	q->head.nlmsg_type = type;
	q->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	q->tc.tcm_family = AF_UNSPEC;
	q->tc.tcm_ifindex = c->interface;
	q->tc.tcm_parent = c->parent;
}

static struct rtattr *add(struct request *q, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	q->head.nlmsg_len = NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

/* Bytes of the answer, or -errno. A message of the kernel's is at the front of `to`. */
static int receive(int fd, char *to, size_t size)
{
	ssize_t n;
	do
		n = recv(fd, to, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static int transmit(const struct clsact *c, const struct request *q)
{
	return send(c->fd, q, q->head.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* Send it and wait for its acknowledgement: 0 or -errno. The handle that the kernel gave an object
 * comes before it, with NLM_F_ECHO. */
static int ask(const struct clsact *c, struct request *q, uint32_t *handle)
{
	char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	int n = transmit(c, q);
	while (n >= 0) {
		n = receive(c->fd, answer, sizeof answer);
		const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
		for (int left = n; left > 0 && NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (handle && h->nlmsg_type == RTM_NEWTFILTER)
				*handle = ((const struct tcmsg *)NLMSG_DATA(h))->tcm_handle;
		}
	}
	return n;
}

static uint32_t info_of(uint32_t priority)
{
	return TC_H_MAKE(priority << 16, __builtin_bswap16(ETH_P_ALL));
}

static int remove_filter(const struct clsact *c, uint32_t parent, uint32_t priority,
	uint32_t handle)
{
	struct request q;
	begin(&q, c, RTM_DELTFILTER, NLM_F_ACK);
	q.tc.tcm_parent = parent;
	q.tc.tcm_info = info_of(priority);
	q.tc.tcm_handle = handle;
	add(&q, TCA_KIND, "bpf", sizeof "bpf");
	return ask(c, &q, NULL);
}

static int qdisc(const struct clsact *c, uint16_t type, uint16_t flags)
{
	struct request q;
	begin(&q, c, type, (uint16_t)(NLM_F_ACK | flags));
	q.tc.tcm_parent = TC_H_CLSACT;
	q.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	add(&q, TCA_KIND, "clsact", sizeof "clsact");
	return ask(c, &q, NULL);
}

/* Call `each` with the filters of a hook: 0 or -errno. */
static int dump(const struct clsact *c, uint32_t parent,
	void (*each)(const struct nlmsghdr *h, void *arg), void *arg)
{
	char answer[DUMP_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct request q;
	begin(&q, c, RTM_GETTFILTER, NLM_F_DUMP);
	q.tc.tcm_parent = parent;
	int n = transmit(c, &q);
	while (n >= 0) {
		n = receive(c->fd, answer, sizeof answer);
		const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
		for (int left = n; left > 0 && NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
			each(h, arg);
		}
	}
	return n;
}

static void count_one(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *tc = NLMSG_DATA(h);
	*(unsigned *)arg += tc->tcm_handle != 0;
}

static bool is_empty(const struct clsact *c)
{
	unsigned n = 0;
	return dump(c, parents[0], count_one, &n) == 0 && dump(c, parents[1], count_one, &n) == 0
		&& n == 0;
}

/* handle: the filter is taken away, and the qdisc, if it is ours and empty. Idempotent. */
static int lclsact_close(lua_State *L)
{
	struct clsact *c = luaL_checkudata(L, 1, RL_BPF_NETLINK);
	if (c->fd < 0)
		return 0;
	if (c->attached)
		remove_filter(c, c->parent, c->priority, c->handle);
	if (c->made && is_empty(c))
		qdisc(c, RTM_DELQDISC, 0);
	close(c->fd);
	c->fd = -1;
	return 0;
}

static struct clsact *check(lua_State *L)
{
	struct clsact *c = luaL_checkudata(L, 1, RL_BPF_NETLINK);
	if (c->fd < 0)
		luaL_error(L, "the hook is closed");
	return c;
}

/* interface's number, "ingress" or "egress" -> handle, boolean: was the qdisc made? | nil, code */
static int lclsact_open(lua_State *L)
{
	static const char *const hooks[] = {"ingress", "egress", NULL};
	int interface = rl_bpf_fd(L, 1);
	uint32_t parent = parents[luaL_checkoption(L, 2, NULL, hooks)];
	struct clsact *c = rl_bpf_new(L, RL_BPF_NETLINK, sizeof *c);
	c->interface = interface;
	c->parent = parent;
	c->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (c->fd < 0)
		return rl_bpf_fail(L, -errno);
	int err = qdisc(c, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
	if (err < 0 && err != -EEXIST)
		return rl_bpf_fail(L, err);
	c->made = err == 0;
	lua_pushboolean(L, c->made);
	return 2;
}

/* handle: the qdisc is ours too: whoever made it is one of us */
static int lclsact_inherit(lua_State *L)
{
	check(L)->made = true;
	return 0;
}

/* handle, program's descriptor, priority, name -> true | nil, code */
static int lclsact_attach(lua_State *L)
{
	struct clsact *c = check(L);
	uint32_t program = (uint32_t)rl_bpf_fd(L, 2), flags = TCA_BPF_FLAG_ACT_DIRECT;
	uint32_t priority = (uint32_t)luaL_checknumber(L, 3) & 0xffff;
	size_t len;
	const char *name = luaL_checklstring(L, 4, &len);
	struct request q;
	if (len > NAME_MAX_)
		return luaL_argerror(L, 4, "too long");
	begin(&q, c, RTM_NEWTFILTER, NLM_F_ACK | NLM_F_ECHO | NLM_F_CREATE | NLM_F_EXCL);
	q.tc.tcm_info = info_of(priority);
	add(&q, TCA_KIND, "bpf", sizeof "bpf");
	struct rtattr *nest = add(&q, TCA_OPTIONS | NLA_F_NESTED, NULL, 0);
	add(&q, TCA_BPF_FD, &program, sizeof program);
	add(&q, TCA_BPF_NAME, name, len + 1);
	add(&q, TCA_BPF_FLAGS, &flags, sizeof flags);
	nest->rta_len = (uint16_t)((char *)&q + q.head.nlmsg_len - (char *)nest);
	int err = ask(c, &q, &c->handle);
	c->attached = err == 0;
	c->priority = priority;
	return rl_bpf_done(L, err);
}

static const char *text_of(const struct rtattr *a)
{
	const char *text = RTA_DATA(a);
	return memchr(text, '\0', RTA_PAYLOAD(a)) ? text : NULL;
}

/* The name of a filter of BPF; NULL: it has none, or is another's. */
static const char *filter_name(const struct nlmsghdr *h)
{
	const struct tcmsg *tc = NLMSG_DATA(h);
	const struct rtattr *a = (const struct rtattr *)((const char *)tc + NLMSG_ALIGN(sizeof *tc));
	const struct rtattr *options = NULL;
	const char *kind = NULL, *name = NULL;
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *tc));
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == TCA_KIND)
			kind = text_of(a);
		else if ((a->rta_type & NLA_TYPE_MASK) == TCA_OPTIONS)
			options = a;
	}
	if (!kind || strcmp(kind, "bpf") != 0 || !options)
		return NULL;
	left = (int)RTA_PAYLOAD(options);
	for (a = RTA_DATA(options); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == TCA_BPF_NAME)
			name = text_of(a);
	}
	return name;
}

struct found {
	lua_State *L; /* with the list on top */
	int n;
};

static void list_one(const struct nlmsghdr *h, void *arg)
{
	struct found *f = arg;
	const struct tcmsg *tc = NLMSG_DATA(h);
	const char *name = filter_name(h);
	if (tc->tcm_handle == 0 || !name)
		return;
	lua_newtable(f->L);
	rl_bpf_field(f->L, "hook", (lua_Integer)tc->tcm_parent);
	rl_bpf_field(f->L, "priority", (lua_Integer)(tc->tcm_info >> 16));
	rl_bpf_field(f->L, "handle", (lua_Integer)tc->tcm_handle);
	lua_pushstring(f->L, name);
	lua_setfield(f->L, -2, "name");
	lua_rawseti(f->L, -2, ++f->n);
}

/* handle -> list of the filters of BPF on both hooks, {hook=, priority=, handle=, name=} | nil,
 * code */
static int lclsact_list(lua_State *L)
{
	struct clsact *c = check(L);
	struct found f = {.L = L};
	lua_newtable(L);
	int err = dump(c, parents[0], list_one, &f);
	if (err == 0)
		err = dump(c, parents[1], list_one, &f);
	return err < 0 ? rl_bpf_fail(L, err) : 1;
}

/* handle, hook, priority, handle of a filter there -> true | nil, code */
static int lclsact_remove(lua_State *L)
{
	const struct clsact *c = check(L);
	return rl_bpf_done(L, remove_filter(c, (uint32_t)luaL_checknumber(L, 2),
		(uint32_t)luaL_checknumber(L, 3), (uint32_t)luaL_checknumber(L, 4)));
}

static const luaL_Reg functions[] = {
	{"clsact_open", lclsact_open},
	{"clsact_inherit", lclsact_inherit},
	{"clsact_attach", lclsact_attach},
	{"clsact_list", lclsact_list},
	{"clsact_remove", lclsact_remove},
	{"clsact_close", lclsact_close},
	{NULL, NULL},
};

void rl_bpf_open_clsact(lua_State *L)
{
	rl_bpf_class(L, RL_BPF_NETLINK, lclsact_close);
	rl_bpf_register(L, functions);
}
