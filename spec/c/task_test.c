/* SPDX-License-Identifier: MIT */
/* Every reason to park has a name of its own, and unknown ones have one too. */
#include "check.h"
#include "rt/task.h"

TEST(reasons_are_named)
{
	for (unsigned i = 0; i < RL_REASONS; i++) {
		CHECK(rl_reason_name(i) != NULL && rl_reason_name(i)[0] != '\0');
		for (unsigned k = 0; k < i; k++)
			CHECK(strcmp(rl_reason_name(i), rl_reason_name(k)) != 0);
	}
	CHECK(strcmp(rl_reason_name(RL_REASONS), "unknown") == 0);
}

int main(void)
{
	RUN(reasons_are_named);
	return FINISH();
}
