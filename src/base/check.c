/* SPDX-License-Identifier: MIT */
/* check: where a broken invariant ends. The only place in the library that aborts. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void rl_check_fail(const char *fact, const char *file, int line)
{
	fprintf(stderr, "ringlet: broken invariant: %s (%s:%d)\n", fact, file, line);
	abort();
}
