/* SPDX-License-Identifier: MIT */
/*
 * crew: a few workers that handle many streams. A stream with something to handle is queued here
 * once; a worker, a task that has nothing else to do, takes it and has it to itself until it
 * rests. One worker drains the queue; when it parks in a handler, another one takes over, and when
 * it was interrupted there and something comes that goes before what it does, another one too. A
 * worker has the priority of the stream it handles.
 */
#ifndef RL_RT_CREW_H
#define RL_RT_CREW_H

#include "rt/stream.h"

#define RL_CREW_IDLE_MAX 16 /* workers that wait for news; more are not kept */

struct rl_crew {
	struct rl_net_item item;
	struct rl_net *net;
	struct rl_crew **handle;
	struct rl_list news[RL_PRIORITIES]; /* streams */
	unsigned favoured[RL_PRIORITIES]; /* as of rl_runq_favour */
	struct rl_waitq workers;   /* idle ones park here */
	struct rl_dirty handover;  /* somebody must drain the queue */
	uint64_t drainer;          /* id of the task that does; its slot */
	uint32_t drainer_slot;
	bool at_work;              /* the drainer has a stream */
	unsigned streams;          /* served by this crew */
	bool stopped, gave_way;
};

int rl_crew_open(struct rl_net *net, struct rl_crew **handle); /* 0 or -ENOMEM */
/* Let go: freed once it serves no stream. */
void rl_crew_disown(struct rl_crew *c);

/* Serve a stream that nobody reads. It is busy until it rests for the first time. 0 or -ENOMEM. */
int rl_crew_add(struct rl_crew *c, struct rl_stream *s);

/* For a running worker: the next stream with news, or NULL. */
struct rl_stream *rl_crew_next(struct rl_crew *c);
/* It is NULL because others are to run first: the worker parks on the shard's `resting`. */
bool rl_crew_gave_way(struct rl_crew *c);
/* Before a worker parks on c->workers; false: it is not needed. */
bool rl_crew_idle(struct rl_crew *c);
/* Is there no idle worker left that could take over? */
bool rl_crew_lacks_worker(const struct rl_crew *c);
/* No more news: idle workers are woken to end. */
void rl_crew_stop(struct rl_crew *c);

/* The handler is done. What is left, or came meanwhile, is news. */
void rl_crew_rest(struct rl_stream *s);

/* Move a stream to another priority, with what is done about its news. */
void rl_crew_set_priority(struct rl_stream *s, unsigned priority);

/* For stream.c: there is something to handle; and no more of this stream. */
void rl_crew_tell(struct rl_stream *s);
void rl_crew_remove(struct rl_stream *s);

#endif
