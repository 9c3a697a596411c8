/* SPDX-License-Identifier: MIT */
/* http_error: one row for each code, at its index. */
#include "base/http_error.h"

struct error {
	const char *name, *text;
	int status;
};

#define ROW(name, status, text) { #name, text, status },

static const struct error errors[] = {
	{ "OK", "nothing is wrong", 200 },
	RL_HTTP_ERRORS(ROW)
};

static const struct error unknown = { "UNKNOWN", "unknown error", 500 };

static const struct error *find(int error)
{
	unsigned n = error < 0 ? 0u - (unsigned)error : (unsigned)error;
	return n < RL_HTTP_ERROR_COUNT ? &errors[n] : &unknown;
}

const char *rl_http_error_name(int error)
{
	return find(error)->name;
}

const char *rl_http_error_text(int error)
{
	return find(error)->text;
}

int rl_http_error_status(int error)
{
	return find(error)->status;
}
