/* SPDX-License-Identifier: MIT */
/*
 * probe: what this kernel, and whoever confines this process, allows. For `ringlet doctor`, and for
 * the sentence a user reads when no backend can be opened.
 */
#ifndef RL_OS_PROBE_H
#define RL_OS_PROBE_H

#include <stdbool.h>

struct rl_probe {
	const char *name;
	bool ok;
	char detail[120]; /* what was found; when not ok, what it means */
};

/* Tries each thing the uring backend needs; returns the number of findings, fills at most `max`. */
unsigned rl_probe_run(struct rl_probe *out, unsigned max);

/* Why opening a ring failed with the negative `code`: a static sentence that says what failed, how
 * to find out, and what to do. */
const char *rl_probe_why(int code);

#endif
