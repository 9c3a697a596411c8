/* SPDX-License-Identifier: MIT */
/* beacon: what others see of a shard, at each point of its loop. */
#define _GNU_SOURCE
#include "shard_probe.h"

#include "rt/beacon.h"
#include "rt/net.h"

#include <unistd.h>

static _Alignas(64) struct rl_beacon beacon;
static struct rl_beacon seen; /* what it was while task 2 ran */

static enum rl_ran look_around(struct probe *p, struct rl_task *t)
{
	if (t->id == 1 && t->raises++ == 0) {
		rl_wait_park(&p->shard, t, RL_REASON_SLEEP, p->shard.now_ns + 5000000);
		return RL_RAN_PARKED;
	}
	if (t->id == 2)
		seen = beacon;
	return RL_RAN_ENDED;
}

/* While the shard sleeps: is asked by the seam. */
static const struct rl_os_ops *seam;
static struct rl_beacon asleep;

static int see_poll(struct rl_os *os, int64_t deadline_ns)
{
	if (deadline_ns != 0)
		asleep = beacon;
	return seam->poll(os, deadline_ns);
}

TEST(shows_what_the_shard_does)
{
	struct probe p;
	unsigned handles = 0;
	probe_open(&p, look_around);
	rl_net_get(&p.shard, &handles);
	handles = 3;
	memset(&beacon, 0xff, sizeof beacon);
	memset(beacon.reserved, 0, sizeof beacon.reserved);
	struct rl_os_ops ops = *p.shard.os->ops;
	seam = p.shard.os->ops;
	ops.poll = see_poll;
	p.shard.os->ops = &ops;
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	rl_beacon_use(&p.shard, &beacon);
	CHECK_EQ(beacon.tid, gettid());
	CHECK_EQ(beacon.runnable, 3);
	CHECK_EQ(beacon.live, 3);
	CHECK_EQ(beacon.conns, 3);
	CHECK_EQ(beacon.idle, 0);
	CHECK_EQ(beacon.run_since_ns, 0);
	CHECK_EQ(beacon.beat_ns, p.shard.now_ns);
	int64_t from_ns = p.shard.now_ns;
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(seen.task, 2);
	CHECK_EQ(seen.run_since_ns, from_ns);
	CHECK_EQ(seen.idle, 0);
	CHECK(asleep.idle == 1 && asleep.runnable == 0 && asleep.run_since_ns == 0);
	CHECK_EQ(asleep.live, 1);
	CHECK_EQ(beacon.idle, 0);
	CHECK_EQ(beacon.task, 1);
	CHECK_EQ(beacon.live, 0);
	CHECK_EQ(beacon.runnable, 0);
	CHECK_EQ(beacon.run_since_ns, 0);
	CHECK(beacon.beat_ns >= (uint64_t)from_ns + 5000000);
	CHECK(beacon.reserved[0] == 0 && beacon.reserved[1] == 0);
	p.shard.os->ops = seam;
	handles = 0;
	rl_beacon_use(&p.shard, NULL);
	probe_close(&p);
}

TEST(is_left_blank)
{
	static const struct rl_beacon blank;
	struct probe p;
	probe_open(&p, look_around);
	rl_beacon_use(&p.shard, &beacon);
	CHECK(beacon.beat_ns > 0);
	rl_beacon_use(&p.shard, NULL);
	CHECK(memcmp(&beacon, &blank, sizeof blank) == 0);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK(memcmp(&beacon, &blank, sizeof blank) == 0);
	rl_beacon_use(&p.shard, &beacon);
	CHECK_EQ(rl_shard_close(&p.shard), 0);
	CHECK(p.shard.beacon == NULL); /* nobody writes to it behind a run */
	probe_close(&p);
}

int main(void)
{
	RUN(shows_what_the_shard_does);
	RUN(is_left_blank);
	return FINISH();
}
