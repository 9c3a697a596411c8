/* SPDX-License-Identifier: MIT */
/* spread_test: who is given a connection, and who owns its descriptor on the way. */
#include "world.h"

#include "rt/spread.h"

#include <sys/poll.h>
#include <unistd.h>

/* Two shards, whose fleet this thread turns by hand, and what one of them takes. */
struct pair {
	struct world a, b;
	struct rl_fleet *fleet;
	struct rl_spread *spread;
	struct rl_listener *inlet;
};

static bool pair_open(struct pair *p, unsigned limit, bool fewest)
{
	memset(p, 0, sizeof *p);
	if (!world_open(&p->a, "uring", 1, NULL) || !world_open(&p->b, "uring", 1, NULL))
		return false;
	p->fleet = rl_fleet_new(2);
	rl_fleet_join(p->fleet, 0, &p->a.shard);
	rl_fleet_join(p->fleet, 1, &p->b.shard);
	p->spread = rl_spread_new(2, limit, fewest);
	p->spread->seats[0].open = p->spread->seats[1].open = true;
	CHECK_EQ(rl_listener_open_inlet(p->b.net, &p->inlet), 0);
	p->spread->seats[1].inlet = p->inlet;
	return true;
}

static void pair_close(struct pair *p)
{
	rl_listener_disown(p->inlet);
	if (p->b.shard.fleet)
		rl_fleet_leave(&p->b.shard);
	rl_fleet_leave(&p->a.shard);
	rl_fleet_free(p->fleet);
	rl_shared_put(&p->spread->shared);
	world_close(&p->a);
	world_close(&p->b);
}

/* The end of a pipe that shows whether the other is closed. */
static int descriptor(int *watch)
{
	int ends[2];
	CHECK_EQ(pipe(ends), 0);
	*watch = ends[0];
	return ends[1];
}

/* Closes `watch`. */
static bool is_closed(int watch)
{
	struct pollfd p = {.fd = watch};
	poll(&p, 1, 0);
	close(watch);
	return p.revents & POLLHUP;
}

TEST(a_connection_arrives_at_the_inlet)
{
	struct pair p;
	int watch;
	if (!pair_open(&p, 4, false))
		return;
	int fd = descriptor(&watch);
	CHECK_EQ(rl_spread_give(p.spread, &p.a.shard, 1, fd), 0);
	CHECK_EQ(atomic_load(&p.spread->seats[1].load), 1);
	CHECK_EQ(rl_listener_accept(p.inlet), -EAGAIN);
	CHECK_EQ(rl_fleet_turn(&p.b.shard), 1);
	CHECK_EQ(rl_listener_accept(p.inlet), fd);
	CHECK(!rl_spread_ended(p.spread, 1));
	CHECK_EQ(atomic_load(&p.spread->seats[1].load), 0);
	close(fd);
	CHECK(is_closed(watch));
	pair_close(&p);
}

TEST(what_nobody_can_take_is_closed)
{
	struct pair p;
	int gone, late;
	if (!pair_open(&p, 4, false))
		return;
	p.spread->seats[1].inlet = NULL;
	CHECK_EQ(rl_spread_give(p.spread, &p.a.shard, 1, descriptor(&gone)), 0);
	CHECK_EQ(rl_fleet_turn(&p.b.shard), 1);
	CHECK(is_closed(gone));
	CHECK_EQ(atomic_load(&p.spread->seats[1].load), 0);
	CHECK_EQ(rl_spread_give(p.spread, &p.a.shard, 1, descriptor(&late)), 0);
	rl_fleet_leave(&p.b.shard);
	pair_close(&p);
	CHECK(is_closed(late));
}

TEST(the_shard_with_the_fewest_is_next)
{
	struct pair p;
	if (!pair_open(&p, 3, true))
		return;
	atomic_store(&p.spread->seats[0].load, 2);
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 1);
	atomic_store(&p.spread->seats[1].load, 3);
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 0);
	p.spread->seats[0].open = false;
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), -1);
	atomic_store(&p.spread->seats[0].load, 0);
	atomic_store(&p.spread->seats[1].load, 0);
	pair_close(&p);
}

TEST(they_take_turns)
{
	struct pair p;
	if (!pair_open(&p, 3, false))
		return;
	atomic_store(&p.spread->seats[1].load, 2);
	p.spread->last = 0;
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 1);
	p.spread->last = 1;
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 0);
	atomic_store(&p.b.shard.stalled_ns, 1);
	p.spread->last = 0;
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 0);
	atomic_store(&p.a.shard.stalled_ns, 1); /* it was, and gives one away now */
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 0);
	atomic_store(&p.a.shard.stalled_ns, 0);
	p.spread->seats[0].open = false;
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), 1);
	atomic_store(&p.b.shard.stalled_ns, 0);
	pair_close(&p);
}

TEST(the_giver_is_told_of_room_once)
{
	struct pair p;
	if (!pair_open(&p, 1, true))
		return;
	atomic_store(&p.spread->seats[0].load, 1);
	atomic_store(&p.spread->seats[1].load, 1);
	CHECK_EQ(rl_spread_pick(p.spread, &p.a.shard), -1);
	CHECK(rl_spread_ended(p.spread, 1));
	CHECK(!rl_spread_ended(p.spread, 0));
	CHECK(rl_spread_pick(p.spread, &p.a.shard) >= 0);
	pair_close(&p);
}

int main(void)
{
	RUN(a_connection_arrives_at_the_inlet);
	RUN(what_nobody_can_take_is_closed);
	RUN(the_shard_with_the_fewest_is_next);
	RUN(they_take_turns);
	RUN(the_giver_is_told_of_room_once);
	return FINISH();
}
