/* SPDX-License-Identifier: MIT */
/*
 * sim_fault: named points where a run of the sim may go wrong, each with a probability.
 *
 * Invariants: a point with probability 0 draws no random number, so a run without faults is the
 * same run whatever points exist; fired <= asked for every point.
 */
#include "os/sim.h"

#include <string.h>

static const char *const names[] = {
	[RL_SIM_SHORT_WRITE] = "short_write",
	[RL_SIM_SHORT_READ] = "short_read",
	[RL_SIM_ECONNRESET] = "econnreset",
	[RL_SIM_ENOBUFS] = "enobufs",
	[RL_SIM_ENOMEM] = "enomem",
	[RL_SIM_CQ_OVERFLOW] = "cq_overflow",
	[RL_SIM_CANCEL_RACE] = "cancel_race",
	[RL_SIM_MULTISHOT_END] = "multishot_end",
	[RL_SIM_DELAY] = "delay",
	[RL_SIM_COLD_FILE] = "cold_file",
	[RL_SIM_EINTR] = "eintr",
};
_Static_assert(sizeof names / sizeof *names == RL_SIM_FAULTS, "every fault point has a name");

/* A decimal number from 0 to 1 that fills [s, end). Not strtod: that follows the host's locale. */
static int parse_probability(const char *s, const char *end, double *out)
{
	double value = 0, unit = 1;
	bool point = false, digits = false;

	for (; s < end; s++) {
		if (*s == '.' && !point) {
			point = true;
		} else if (*s >= '0' && *s <= '9') {
			digits = true;
			if (point)
				unit /= 10;
			value = point ? value + unit * (*s - '0') : value * 10 + (*s - '0');
		} else {
			return -EINVAL;
		}
	}
	if (!digits || value > 1)
		return -EINVAL;
	*out = value;
	return 0;
}

/* Set the points that [s, s + len) names. */
static int set_points(struct rl_sim_faults *f, const char *s, size_t len, double probability)
{
	bool all = len == 3 && memcmp(s, "all", 3) == 0;
	bool found = false;

	for (unsigned i = 0; i < RL_SIM_FAULTS; i++) {
		if (all || (strlen(names[i]) == len && memcmp(s, names[i], len) == 0)) {
			f->points[i].probability = probability;
			found = true;
		}
	}
	return found ? 0 : -EINVAL;
}

int rl_sim_fault_init(struct rl_sim_faults *f, const char *text, uint64_t seed)
{
	memset(f, 0, sizeof *f);
	rl_rand_seed(&f->rand, seed);
	while (text && *text) {
		const char *end = text + strcspn(text, ",");
		const char *eq = memchr(text, '=', (size_t)(end - text));
		double probability;
		int rc;

		if (!eq)
			return -EINVAL;
		rc = parse_probability(eq + 1, end, &probability);
		if (rc == 0)
			rc = set_points(f, text, (size_t)(eq - text), probability);
		if (rc < 0)
			return rc;
		text = *end ? end + 1 : end;
	}
	return 0;
}

bool rl_sim_fault_fires(struct rl_sim *sim, enum rl_sim_fault point)
{
	struct rl_sim_faults *f = &sim->faults;
	double probability = f->points[point].probability;

	f->points[point].asked++;
	if (probability <= 0)
		return false;
	if ((double)(rl_rand_next(&f->rand) >> 11) * 0x1p-53 >= probability)
		return false;
	f->points[point].fired++;
	return true;
}

unsigned rl_sim_fault_counts(const struct rl_os *os, struct rl_fault_count *out, unsigned max)
{
	const struct rl_sim *sim = rl_container(os, struct rl_sim, os);

	if (os->ops != &rl_sim_ops)
		return 0;
	for (unsigned i = 0; i < RL_SIM_FAULTS && i < max; i++) {
		out[i].name = names[i];
		out[i].asked = sim->faults.points[i].asked;
		out[i].fired = sim->faults.points[i].fired;
	}
	return RL_SIM_FAULTS;
}
