/* SPDX-License-Identifier: MIT */
/*
 * classify: the priority of what a connection brings, told from its first bytes as they are
 * received, before any task sees them.
 *
 * Bytes that begin a request of HTTP have the class of the longest route that their path matches;
 * what no route tells, a function may; else it is the server's base class. A function is called in
 * the loop, so it must neither park nor take long. What is critical has a budget: more in a second
 * is normal.
 *
 * The class is the stream's priority until its next message: it orders the news of a crew, and is
 * the priority of the task that handles it, or reads it.
 */
#ifndef RL_RT_CLASSIFY_H
#define RL_RT_CLASSIFY_H

#include "rt/stream.h"

#define RL_ROUTE_MAX 63       /* bytes of a path */
#define RL_CLASSIFY_BYTES 512 /* that a function is given at most */

struct rl_route {
	uint8_t len;
	bool is_prefix;
	uint8_t priority;
	char path[RL_ROUTE_MAX + 1];
};

struct rl_classifier {
	struct rl_list link;   /* on net->classifiers */
	uint32_t owner;        /* whose connections these are: see the stream's */
	uint8_t base;
	unsigned routes_len;
	struct rl_route *routes; /* the longest first, of two alike the exact one */
	/* A priority, or -1: it does not tell. NULL: none is asked. */
	int (*fn)(void *arg, struct rl_stream *s, const char *bytes, uint32_t len);
	void *arg;
	double budget, tokens; /* critical messages a second; those left. Negative: any number */
	int64_t tokens_ns;
	uint64_t classified[RL_PRIORITIES], over; /* over: were critical, but for the budget */
};

enum {
	RL_ROUTE_NONE = -1,      /* no route matches, or this is no request */
	RL_ROUTE_UNDECIDED = -2, /* more bytes are needed */
};

/* A priority or one of the above. */
int rl_classify_bytes(const struct rl_classifier *c, const char *bytes, uint32_t len);

/* Put the routes in order, once. */
void rl_classify_sort(struct rl_classifier *c);

/* Into use for streams of its owner, and out of it. */
void rl_classifier_add(struct rl_net *net, struct rl_classifier *c);
void rl_classifier_remove(struct rl_classifier *c, struct rl_shard *shard);

/* From now on the stream is classified, and receives: its first bytes are seen at once. `handler`:
 * the task that has it, if one does. 0 or -ENOMEM. */
int rl_classify_begin(struct rl_stream *s, const struct rl_task *handler);

/* Set the priority of what comes, for good; also of its handler. */
void rl_classify_fix(struct rl_stream *s, unsigned priority);

/* For stream.c: something was received, behind `had` bytes that nobody has read. */
void rl_classify_received(struct rl_stream *s, uint32_t had);
/* For crew.c: bytes that are there are about to be news. A function may have closed the stream. */
void rl_classify(struct rl_stream *s);

#endif
