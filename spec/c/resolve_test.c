/* SPDX-License-Identifier: MIT */
/* resolve_test: names through a helper thread. */
#include "world.h"

#include "rt/resolve.h"

#include <stdlib.h>

static const char *const backends[] = {"sim", "uring"};

TEST(a_name_is_looked_up)
{
	setenv("RES_OPTIONS", "timeout:1 attempts:1", 1); /* a name server may not answer */
	for (int i = 0; i < 2; i++) {
		struct world w;
		struct rl_resolve *r, *bad, *left;
		if (!world_open(&w, backends[i], 1, NULL))
			continue;
		CHECK_EQ(rl_resolve_open(w.net, "localhost", 80, false, &r), 0);
		CHECK_EQ(rl_resolve_open(w.net, "no.such.host.invalid", 80, false, &bad), 0);
		WORLD_UNTIL(&w, r->done && bad->done);
		CHECK_EQ(r->err, 0);
		CHECK(r->n > 0);
		CHECK_EQ(r->addrs[0].in4.sin_port, htons(80));
		CHECK(bad->err == -ENOENT || bad->err == -EAGAIN);
		rl_resolve_disown(r);
		rl_resolve_disown(bad);
		CHECK_EQ(rl_resolve_open(w.net, "localhost", 80, false, &left), 0);
		rl_resolve_disown(left);
		WORLD_UNTIL(&w, w.shard.os->works == 0);
		CHECK(rl_list_empty(&w.net->items));
		CHECK_EQ(rl_resolve_open(w.net, "localhost", 80, false, &left), 0);
		world_close(&w);
		CHECK(left == NULL);
	}
}

int main(void)
{
	RUN(a_name_is_looked_up);
	return FINISH();
}
