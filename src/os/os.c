/* SPDX-License-Identifier: MIT */
/* os: chooses the backend. There is no fallback but the one the caller asked for by "auto". */
#include "os/os.h"

#include "base/err.h"
#include "os/probe.h"
#include "os/sim.h"

#include <string.h>

static const struct rl_os_ops *os_find(const char *name)
{
	static const struct rl_os_ops *const backends[] = { &rl_uring_ops, &rl_sim_ops };
	if (!name || strcmp(name, "auto") == 0)
		return &rl_uring_ops;
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (strcmp(name, backends[i]->name) == 0)
			return backends[i];
	return NULL;
}

int rl_os_open(struct rl_os **out, const char *name, const struct rl_os_config *config,
	const char **why)
{
	static const struct rl_os_config defaults;
	const char *ignored;
	const struct rl_os_ops *ops = os_find(name);
	if (!why)
		why = &ignored;
	*out = NULL;
	if (!ops) {
		*why = "unknown backend: the names are \"auto\", \"uring\" and \"sim\"; check the option "
			"`backend` and RINGLET_BACKEND";
		return -EINVAL;
	}
	int err = ops->open(out, config ? config : &defaults);
	if (err == 0)
		return 0;
	*why = ops == &rl_uring_ops ? rl_probe_why(err)
		: "the simulated backend could not be opened: check the option `faults` "
		"(name=probability,...) and the sizes, which are powers of two";
	return err;
}

unsigned rl_os_fault_counts(const struct rl_os *os, struct rl_fault_count *out, unsigned max)
{
	return os->ops == &rl_sim_ops ? rl_sim_fault_counts(os, out, max) : 0;
}
