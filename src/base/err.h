/* SPDX-License-Identifier: MIT */
/*
 * err: error codes. C functions return 0, a count, or a negative code; a code is an errno value or
 * one of the library's own, which lie above every errno.
 */
#ifndef RL_BASE_ERR_H
#define RL_BASE_ERR_H

#include <errno.h>

enum {
	RL_ECLOSED = 1000, /* the object was closed on this side */
	RL_EOF,            /* end of stream */
	RL_ECANCEL,        /* the task was cancelled; never shown to users as a code */
	RL_ELOST,          /* begun, and nobody knows how it ended */
};

/* "ETIMEDOUT" for ETIMEDOUT or -ETIMEDOUT; "E<number>" (static buffer free) is "EUNKNOWN". */
const char *rl_err_name(int code);

/* A short lower-case sentence without a full stop: "connection refused". */
const char *rl_err_text(int code);

#endif
