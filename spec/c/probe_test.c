/* SPDX-License-Identifier: MIT */
/* probe: where the backend works, every finding is good. */
#include "uring_check.h"

#include "os/probe.h"

TEST(probe_finds_what_is_there)
{
	struct rl_probe found[16];
	START(0);
	finish();
	unsigned n = rl_probe_run(found, 16);
	CHECK(n >= 7 && n <= 16);
	for (unsigned i = 0; i < n && i < 16; i++) {
		if (!found[i].ok)
			printf("    %s: %s\n", found[i].name, found[i].detail);
		CHECK(found[i].ok || strcmp(found[i].name, "open files") == 0);
	}
	CHECK_EQ(rl_probe_run(found, 1), n);
}

int main(void)
{
	RUN(probe_finds_what_is_there);
	return FINISH();
}
