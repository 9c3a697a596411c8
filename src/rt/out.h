/* SPDX-License-Identifier: MIT */
/*
 * out: the sending half of a stream, which it has only while it needs one: queued bytes, a file
 * behind them, the send operation, who waits for room, and who for the end. Streams share a free
 * list of them.
 *
 * A write is begin, any number of writes, end, without parking in between, so writes never mix; it
 * is accepted as a whole or not at all. Writers that wait are served in the order they came.
 */
#ifndef RL_RT_OUT_H
#define RL_RT_OUT_H

#include "rt/stream.h"

struct rl_out {
	struct rl_op op;             /* SEND, POLL for the file, or the SHUTDOWN behind the last */
	struct rl_dirty dirty;
	struct rl_waitq writers;
	struct rl_waitq flushers;
	struct rl_alarm limit;       /* of a close that still sends */
	struct rl_bytes queue;
	struct rl_content *file;     /* sent behind the queue, see outfile.h; nobody writes till then */
	bool turn;                   /* the first writer was woken and has not written yet */
	union {
		struct rl_stream *stream;
		struct rl_out *next;     /* while free */
	};
};

/* 0: go on; 1: park on s->out->writers, then begin again with `turn`; else an error. */
int rl_out_begin(struct rl_stream *s, bool turn);
int rl_out_write(struct rl_stream *s, const char *data, size_t len);
/* Queue a range of a chunk; the queue takes its own reference. */
int rl_out_write_chunk(struct rl_stream *s, struct rl_chunk *c, uint32_t off, uint32_t len);
/* Queue bytes that live as long as the object; they are not copied, if that is less work. */
int rl_out_write_shared(struct rl_stream *s, struct rl_shared *owner, const char *data, size_t len);
/* After a write that failed half way, with its error: the stream cannot be written any more. */
void rl_out_end(struct rl_stream *s, int err);

/* Those who wait for their turn will not write: wake them all, and nobody has the turn. */
void rl_out_dismiss(struct rl_stream *s);

/* All bytes ever accepted. */
uint64_t rl_out_accepted(const struct rl_stream *s);
/* Is all up to byte `target` sent? 0: yes; 1: park on s->out->flushers; else an error. */
int rl_out_flushed(const struct rl_stream *s, uint64_t target);
/* End of stream behind what is queued. */
int rl_out_shutdown(struct rl_stream *s);

/* For stream.c. */

/* Is something queued or in flight? */
bool rl_out_is_busy(const struct rl_stream *s);
/* Send now; what stays queued follows by itself. */
void rl_out_send(struct rl_stream *s);
/* The stream was closed: writers fail; the queue is sent until the limit, or lost. */
void rl_out_close(struct rl_stream *s, int64_t limit_ns);
void rl_out_lose(struct rl_stream *s);
/* Nothing can be sent any more because of `err`. */
void rl_out_fail(struct rl_stream *s, int err);
/* For outfile.c: an operation of its own is over, or what it waited for is there. */
void rl_out_resume(struct rl_stream *s);
/* Give it back when nothing needs it. */
void rl_out_trim(struct rl_stream *s);
void rl_out_drop(struct rl_stream *s, bool keep); /* end of the run */
void rl_out_term(struct rl_net *net);             /* free the free list */

#endif
