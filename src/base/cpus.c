/* SPDX-License-Identifier: MIT */
/*
 * cpus: see cpus.h. A sorted array and not a bit mask: it is walked far more often than asked, and
 * CPU numbers may be few and high.
 */
#include "base/cpus.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define CPUS_ROOM_MIN 16

static int cpus_grow(struct rl_cpus *c)
{
	unsigned room = c->room ? c->room * 2 : CPUS_ROOM_MIN;
	unsigned *at = realloc(c->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	c->at = at;
	c->room = room;
	return 0;
}

int rl_cpus_add(struct rl_cpus *c, unsigned cpu)
{
	unsigned i = c->len;
	if (cpu >= RL_CPUS_MAX)
		return -ERANGE;
	/* From the end: lists are nearly always ascending. */
	while (i > 0 && c->at[i - 1] > cpu)
		i--;
	if (i > 0 && c->at[i - 1] == cpu)
		return 0;
	if (c->len == c->room && cpus_grow(c) < 0)
		return -ENOMEM;
	memmove(&c->at[i + 1], &c->at[i], (c->len - i) * sizeof(*c->at));
	c->at[i] = cpu;
	c->len++;
	return 0;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\n");
}

/* The number at *p, which moves on. strtoul would take a sign and blanks. */
static int parse_number(const char **p, unsigned *out)
{
	char *end;
	if (strspn(*p, "0123456789") == 0)
		return -EINVAL;
	unsigned long n = strtoul(*p, &end, 10);
	if (n >= RL_CPUS_MAX)
		return -ERANGE;
	*p = skip_blanks(end);
	*out = (unsigned)n;
	return 0;
}

/* "3" or "0-3" at *p, which moves on. */
static int parse_range(const char **p, unsigned *first, unsigned *last)
{
	int err = parse_number(p, first);
	if (err < 0)
		return err;
	*last = *first;
	if (**p != '-')
		return 0;
	*p = skip_blanks(*p + 1);
	err = parse_number(p, last);
	if (err < 0)
		return err;
	return *last < *first ? -EINVAL : 0;
}

int rl_cpus_parse(struct rl_cpus *c, const char *text)
{
	const char *p = skip_blanks(text);
	unsigned first = 0, last = 0;
	if (*p == '\0')
		return 0;
	for (;;) {
		int err = parse_range(&p, &first, &last);
		for (unsigned cpu = first; err == 0 && cpu <= last; cpu++)
			err = rl_cpus_add(c, cpu);
		if (err < 0)
			return err;
		if (*p == '\0')
			return 0;
		if (*p != ',')
			return -EINVAL;
		p = skip_blanks(p + 1);
	}
}

void rl_cpus_term(struct rl_cpus *c)
{
	free(c->at);
	*c = (struct rl_cpus){ 0 };
}
