/* SPDX-License-Identifier: MIT */
/* task: the names of the reasons to park, as dumps and metrics show them. */
#include "rt/task.h"

static const char *const reason_names[RL_REASONS] = {
	[RL_REASON_NONE] = "none",
	[RL_REASON_SLEEP] = "sleep",
	[RL_REASON_YIELD] = "yield",
	[RL_REASON_RECV] = "chan receive",
	[RL_REASON_SEND] = "chan send",
	[RL_REASON_SELECT] = "select",
	[RL_REASON_JOIN] = "join",
	[RL_REASON_SCOPE] = "scope exit",
	[RL_REASON_EVENT] = "event wait",
	[RL_REASON_LOCK] = "lock",
	[RL_REASON_SEMAPHORE] = "semaphore acquire",
	[RL_REASON_WAITGROUP] = "waitgroup wait",
	[RL_REASON_COND] = "cond wait",
	[RL_REASON_BARRIER] = "barrier wait",
	[RL_REASON_ONCE] = "once",
	[RL_REASON_TIMER] = "timer wait",
	[RL_REASON_ACCEPT] = "accept",
	[RL_REASON_CONNECT] = "connect",
	[RL_REASON_READ] = "read",
	[RL_REASON_WRITE] = "write",
	[RL_REASON_CLOSE] = "close",
	[RL_REASON_RESOLVE] = "resolve",
	[RL_REASON_OPEN] = "open",
	[RL_REASON_SERVER] = "server",
	[RL_REASON_OFFLOAD] = "offload",
	[RL_REASON_WAIT] = "wait",
	[RL_REASON_GROUP_CALL] = "group call",
	[RL_REASON_GROUP_CONTROL] = "group control",
	[RL_REASON_POOL_SUBMIT] = "pool submit",
	[RL_REASON_POOL_WORK] = "pool work",
	[RL_REASON_ACQUIRE] = "resource acquire",
	[RL_REASON_LIMITER] = "limiter wait",
};

const char *rl_reason_name(unsigned reason)
{
	reason &= RL_REASON_MASK;
	return reason < RL_REASONS ? reason_names[reason] : "unknown";
}
