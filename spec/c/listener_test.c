/* SPDX-License-Identifier: MIT */
/* listener_test: accepting, its limit, and the end. */
#include "world.h"

#include <unistd.h>

static const char *const backends[] = {"sim", "uring"};

/* An address of this process alone: a port of it that was given up is nobody else's. */
static const char *own_host(void)
{
	static char host[20];
	unsigned pid = (unsigned)getpid();
	snprintf(host, sizeof host, "127.%u.%u.1", pid >> 8 & 255, pid & 255);
	return host;
}

/* `n` connections from clients that do nothing. */
static void clients(struct world *w, const struct rl_addr *addr, struct rl_dial **d, int n)
{
	for (int i = 0; i < n; i++)
		CHECK_EQ(rl_dial_open(w->net, addr, 1, &d[i]), 0);
	for (int i = 0; i < n; i++)
		WORLD_UNTIL(w, d[i]->over);
}

static void close_clients(struct rl_dial **d, int n)
{
	for (int i = 0; i < n; i++)
		rl_dial_disown(d[i]);
}

static int accept_all(struct world *w, struct rl_listener *l, int most)
{
	int n = 0;
	for (int i = 0; i < WORLD_PATIENCE && n < most; i++) {
		int fd = rl_listener_accept(l);
		if (fd >= 0) {
			w->shard.os->ops->close_now(w->shard.os, fd);
			n++;
		} else {
			CHECK_EQ(fd, -EAGAIN);
			world_step(w, 1);
		}
	}
	return n;
}

static void limits(const char *backend)
{
	struct world w;
	struct rl_listener *l;
	struct rl_listener_config config = {.backlog = 64};
	struct rl_dial *d[40];
	struct rl_addr addr;
	if (!world_open(&w, backend, 3, NULL))
		return;
	rl_addr_parse(&addr, "127.0.0.1", 0);
	CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
	CHECK_EQ(rl_listener_addr(l, &addr), 0);
	CHECK_EQ(rl_listener_accept(l), -EAGAIN);
	clients(&w, &addr, d, 10);
	rl_listener_pause(l, true);
	for (int i = 0; i < 10; i++)
		world_step(&w, 1);
	CHECK(!l->op.in_flight);
	unsigned waiting = l->len;
	clients(&w, &addr, d + 10, 30);
	CHECK_EQ(l->len, waiting);
	CHECK_EQ(accept_all(&w, l, (int)waiting), waiting);
	CHECK_EQ(rl_listener_accept(l), -EAGAIN);
	rl_listener_pause(l, false);
	CHECK_EQ(accept_all(&w, l, 40 - (int)waiting), 40 - waiting);
	CHECK_EQ(rl_listener_accept(l), -EAGAIN);
	close_clients(d, 40);
	CHECK_EQ(l->accepted, 40);
	rl_listener_close(l);
	CHECK_EQ(rl_listener_accept(l), -RL_ECLOSED);
	rl_listener_disown(l);
	world_settle(&w);
	world_close(&w);
}

TEST(a_paused_listener_drops_nobody)
{
	for (int i = 0; i < 2; i++)
		limits(backends[i]);
}

TEST(a_used_address_is_refused)
{
	for (int i = 0; i < 2; i++) {
		struct world w;
		struct rl_listener *l, *l2 = NULL;
		struct rl_listener_config config = {0};
		struct rl_addr addr;
		if (!world_open(&w, backends[i], 1, NULL))
			continue;
		rl_addr_parse(&addr, own_host(), 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
		CHECK_EQ(rl_listener_addr(l, &addr), 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l2), -EADDRINUSE);
		CHECK(l2 == NULL);
		CHECK_EQ(rl_listener_accept(l), -EAGAIN);
		world_step(&w, 1);
		rl_listener_close(l);
		WORLD_UNTIL(&w, l->dead);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l2), 0);
		rl_listener_disown(l);
		rl_listener_disown(l2);
		world_settle(&w);
		world_close(&w);
	}
}

TEST(accepting_goes_on_after_faults)
{
	for (uint64_t seed = 1; seed <= 100 && !check_bad; seed++) {
		struct world w;
		struct rl_listener *l;
		struct rl_listener_config config = {.backlog = 64};
		struct rl_dial *d[20];
		struct rl_addr addr;
		CHECK(world_open(&w, "sim", seed, "multishot_end=0.3,cancel_race=0.5,delay=0.1"));
		rl_addr_parse(&addr, "127.0.0.1", 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
		CHECK_EQ(rl_listener_addr(l, &addr), 0);
		clients(&w, &addr, d, 20);
		CHECK_EQ(accept_all(&w, l, 20), 20);
		close_clients(d, 20);
		if (seed % 2)
			rl_listener_disown(l);
		world_close(&w);
	}
}

TEST(a_shortage_is_waited_out)
{
	uint64_t shortages = 0;
	for (uint64_t seed = 1; seed <= 20 && !check_bad; seed++) {
		struct world w;
		struct rl_listener *l;
		struct rl_listener_config config = {.backlog = 64};
		struct rl_dial *d;
		struct rl_addr addr;
		CHECK(world_open(&w, "sim", seed, "enomem=0.3"));
		rl_addr_parse(&addr, "127.0.0.1", 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
		CHECK_EQ(rl_listener_addr(l, &addr), 0);
		CHECK_EQ(rl_dial_open(w.net, &addr, 1, &d), 0);
		WORLD_UNTIL(&w, d->over);
		if (d->fd >= 0)
			for (int i = 0; i < 2000 && rl_listener_accept(l) == -EAGAIN; i++)
				world_step(&w, 1);
		CHECK(d->fd < 0 || l->accepted == 1);
		shortages += l->shortages;
		rl_dial_disown(d);
		rl_listener_disown(l);
		world_close(&w);
	}
	CHECK(shortages > 0);
}

/* What the kernel had queued, and what was paused, is still to be had after the end began. */
TEST(a_finishing_listener_takes_what_is_queued)
{
	for (int i = 0; i < 2; i++) {
		struct world w;
		struct rl_listener *l;
		struct rl_listener_config config = {.backlog = 64};
		struct rl_dial *d[21];
		struct rl_addr addr;
		if (!world_open(&w, backends[i], 5, NULL))
			continue;
		rl_addr_parse(&addr, own_host(), 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
		CHECK_EQ(rl_listener_addr(l, &addr), 0);
		rl_listener_pause(l, true);
		clients(&w, &addr, d, 20);
		rl_listener_finish(l);
		world_step(&w, 1);
		CHECK(!l->gone);
		rl_listener_pause(l, false);
		CHECK_EQ(accept_all(&w, l, 20), 20);
		WORLD_UNTIL(&w, l->gone);
		CHECK_EQ(rl_listener_accept(l), -RL_ECLOSED);
		CHECK_EQ(rl_dial_open(w.net, &addr, 1, &d[20]), 0);
		WORLD_UNTIL(&w, d[20]->over);
		CHECK_EQ(rl_dial_take(d[20]), -ECONNREFUSED);
		close_clients(d, 21);
		rl_listener_disown(l);
		world_settle(&w);
		world_close(&w);
	}
}

/* What was accepted is still to be had; what the kernel has queued is left alone. */
TEST(a_leaving_listener_closes_at_once)
{
	for (int i = 0; i < 2; i++) {
		struct world w;
		struct rl_listener *l;
		struct rl_listener_config config = {.backlog = 64};
		struct rl_dial *d[20];
		struct rl_addr addr;
		if (!world_open(&w, backends[i], 5, NULL))
			continue;
		rl_addr_parse(&addr, "127.0.0.1", 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
		CHECK_EQ(rl_listener_addr(l, &addr), 0);
		CHECK_EQ(rl_listener_accept(l), -EAGAIN);
		clients(&w, &addr, d, 1);
		WORLD_UNTIL(&w, l->len == 1);
		rl_listener_pause(l, true);
		WORLD_UNTIL(&w, !l->op.in_flight);
		clients(&w, &addr, d + 1, 19);
		rl_listener_leave(l);
		WORLD_UNTIL(&w, l->gone);
		CHECK_EQ(accept_all(&w, l, 1), 1);
		CHECK_EQ(rl_listener_accept(l), -RL_ECLOSED);
		close_clients(d, 20);
		rl_listener_disown(l);
		world_settle(&w);
		world_close(&w);
	}
}

TEST(finishing_loses_nothing_under_faults)
{
	for (uint64_t seed = 1; seed <= 100 && !check_bad; seed++) {
		struct world w;
		struct rl_listener *l;
		struct rl_listener_config config = {.backlog = 64};
		struct rl_dial *d[20];
		struct rl_addr addr;
		CHECK(world_open(&w, "sim", seed, "multishot_end=0.3,cancel_race=0.5,delay=0.1"));
		rl_addr_parse(&addr, "127.0.0.1", 0);
		CHECK_EQ(rl_listener_open(w.net, &addr, &config, &l), 0);
		CHECK_EQ(rl_listener_addr(l, &addr), 0);
		CHECK_EQ(rl_listener_accept(l), -EAGAIN);
		clients(&w, &addr, d, 20);
		rl_listener_finish(l);
		CHECK_EQ(accept_all(&w, l, 20), 20);
		WORLD_UNTIL(&w, l->gone);
		close_clients(d, 20);
		rl_listener_disown(l);
		world_settle(&w);
		world_close(&w);
	}
}

/* Once it is closed it closes what it is fed. */
TEST(an_inlet_hands_out_what_it_is_fed)
{
	struct world w;
	struct rl_listener *l;
	CHECK(world_open(&w, "sim", 1, NULL));
	CHECK_EQ(rl_listener_open_inlet(w.net, &l), 0);
	CHECK_EQ(rl_listener_accept(l), -EAGAIN);
	int fds[3];
	for (int i = 0; i < 3; i++) {
		fds[i] = w.shard.os->ops->socket(w.shard.os, AF_INET, SOCK_STREAM);
		CHECK(fds[i] >= 0);
	}
	rl_listener_feed(l, fds[0]);
	rl_listener_feed(l, fds[1]);
	CHECK_EQ(rl_listener_accept(l), fds[0]);
	rl_listener_finish(l);
	CHECK_EQ(rl_listener_accept(l), fds[1]);
	CHECK_EQ(rl_listener_accept(l), -RL_ECLOSED);
	rl_listener_close(l);
	rl_listener_feed(l, fds[2]);
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	CHECK_EQ(w.shard.os->ops->getsockname(w.shard.os, fds[2], (struct sockaddr *)&ss, &len),
		-EBADF);
	w.shard.os->ops->close_now(w.shard.os, fds[0]);
	w.shard.os->ops->close_now(w.shard.os, fds[1]);
	rl_listener_disown(l);
	world_settle(&w);
	world_close(&w);
}

int main(void)
{
	RUN(a_paused_listener_drops_nobody);
	RUN(a_used_address_is_refused);
	RUN(accepting_goes_on_after_faults);
	RUN(a_shortage_is_waited_out);
	RUN(a_finishing_listener_takes_what_is_queued);
	RUN(a_leaving_listener_closes_at_once);
	RUN(finishing_loses_nothing_under_faults);
	RUN(an_inlet_hands_out_what_it_is_fed);
	return FINISH();
}
