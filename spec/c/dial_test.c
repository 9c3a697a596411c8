/* SPDX-License-Identifier: MIT */
/* dial_test: the first address that answers, and no descriptor left whatever happens. */
#include "world.h"

static struct rl_listener *listen_any(struct world *w, struct rl_addr *addr,
	struct rl_listener **handle)
{
	struct rl_listener_config config = {.backlog = 1};
	rl_addr_parse(addr, "127.0.0.1", 0);
	CHECK_EQ(rl_listener_open(w->net, addr, &config, handle), 0);
	CHECK_EQ(rl_listener_addr(*handle, addr), 0);
	return *handle;
}

static int wait_for(struct world *w, struct rl_dial *d)
{
	int fd = -EAGAIN;
	for (int i = 0; i < WORLD_PATIENCE && fd == -EAGAIN; i++) {
		world_step(w, 1);
		fd = rl_dial_take(d);
	}
	return fd;
}

/* An address that refuses: its socket, which is the caller's to close, is bound and does not
 * listen. */
static int refusing(struct world *w, struct rl_addr *addr)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof in;
	struct rl_os *os = w->shard.os;
	int fd = os->ops->socket(os, AF_INET, SOCK_STREAM);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&in, len), 0);
	CHECK_EQ(os->ops->getsockname(os, fd, (struct sockaddr *)&in, &len), 0);
	rl_addr_parse(addr, "127.0.0.1", ntohs(in.sin_port));
	return fd;
}

static void refused_then_answered(const char *backend)
{
	struct world w;
	struct rl_listener *l;
	struct rl_dial *d;
	struct rl_addr addrs[3];
	if (!world_open(&w, backend, 1, NULL))
		return;
	listen_any(&w, &addrs[2], &l);
	int one = refusing(&w, &addrs[0]), two = refusing(&w, &addrs[1]);
	CHECK_EQ(rl_dial_open(w.net, addrs, 3, &d), 0);
	int64_t from = rl_shard_now(&w.shard);
	int fd = wait_for(&w, d);
	CHECK(fd >= 0);
	if (w.shard.os->closed_world) /* where time passes only while it is waited for */
		CHECK(rl_shard_now(&w.shard) - from < RL_DIAL_STAGGER_NS);
	CHECK_EQ(rl_dial_take(d), -RL_ECLOSED);
	w.shard.os->ops->close_now(w.shard.os, fd);
	rl_dial_disown(d);
	CHECK_EQ(rl_dial_open(w.net, addrs, 2, &d), 0);
	CHECK_EQ(wait_for(&w, d), -ECONNREFUSED);
	rl_dial_disown(d);
	rl_listener_disown(l);
	w.shard.os->ops->close_now(w.shard.os, one);
	w.shard.os->ops->close_now(w.shard.os, two);
	world_settle(&w);
	CHECK(rl_list_empty(&w.net->items));
	world_close(&w);
}

TEST(a_refused_address_is_followed_by_the_next_at_once)
{
	refused_then_answered("sim");
	refused_then_answered("uring");
}

/* The backlog of the first is full, so it does not answer. */
TEST(the_next_attempt_begins_after_the_stagger)
{
	struct world w;
	struct rl_listener *l, *l2;
	struct rl_dial *d, *filler[4];
	struct rl_addr addrs[2];
	CHECK(world_open(&w, "sim", 1, NULL));
	listen_any(&w, &addrs[0], &l);
	listen_any(&w, &addrs[1], &l2);
	for (int i = 0; i < 4; i++)
		rl_dial_open(w.net, addrs, 1, &filler[i]);
	for (int i = 0; i < 50; i++)
		world_step(&w, 1);
	int64_t from = rl_shard_now(&w.shard);
	CHECK_EQ(rl_dial_open(w.net, addrs, 2, &d), 0);
	int fd = wait_for(&w, d);
	CHECK(fd >= 0);
	CHECK(rl_shard_now(&w.shard) - from >= RL_DIAL_STAGGER_NS);
	w.shard.os->ops->close_now(w.shard.os, fd);
	rl_dial_disown(d);
	for (int i = 0; i < 4; i++)
		rl_dial_disown(filler[i]);
	rl_listener_disown(l);
	rl_listener_disown(l2);
	world_settle(&w);
	world_close(&w);
}

TEST(giving_up_at_any_moment_leaves_nothing)
{
	for (uint64_t seed = 1; seed <= 300 && !check_bad; seed++) {
		struct world w;
		struct rl_listener *l;
		struct rl_dial *d;
		struct rl_addr addrs[3];
		CHECK(world_open(&w, "sim", seed, "cancel_race=0.5,delay=0.2,enomem=0.1"));
		listen_any(&w, &addrs[0], &l);
		listen_any(&w, &addrs[1], &l);
		addrs[2] = addrs[0];
		CHECK_EQ(rl_dial_open(w.net, addrs, 3, &d), 0);
		for (uint64_t i = 0; i < seed % 7; i++)
			world_step(&w, 100);
		if (seed % 2)
			rl_dial_disown(d);
		if (seed % 3)
			world_step(&w, 10);
		rl_net_shutdown(&w.shard);
		world_close(&w);
		CHECK(seed % 2 || d == NULL);
	}
}

int main(void)
{
	RUN(a_refused_address_is_followed_by_the_next_at_once);
	RUN(the_next_attempt_begins_after_the_stagger);
	RUN(giving_up_at_any_moment_leaves_nothing);
	return FINISH();
}
