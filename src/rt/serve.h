/* SPDX-License-Identifier: MIT */
/*
 * serve: the requests of an HTTP server, for the workers of its crew. A connection that rests has
 * no message; one gets a message with the first byte of a request and keeps it until that was
 * answered and read to its end.
 */
#ifndef RL_RT_SERVE_H
#define RL_RT_SERVE_H

#include "rt/crew.h"
#include "rt/message.h"

#define RL_SERVE_DRAIN 65536u           /* of a body that nobody read, so much is thrown away */
#define RL_SERVE_BATCH 64               /* requests of one connection before others have a turn */

struct rl_serve {
	struct rl_http_limits limits;
	int64_t head_ns;        /* from the first byte of a head to its last; -1 any time */
	uint32_t requests_max;  /* on a connection; 0: any number */
	bool stopping;          /* connections end with the answer under way */
	uint64_t requests, refused; /* so far */
};

enum {
	RL_SERVE_NOTHING, /* no connection has news */
	RL_SERVE_REQUEST,
	RL_SERVE_ENDED,   /* of the connection nothing more comes */
};

/* For a worker: the next request, or the end of a connection. */
int rl_serve_next(struct rl_serve *v, struct rl_crew *c, struct rl_message **m,
	struct rl_stream **s);

/* The handler of a request has returned (`ok`) or failed. An answer that it did not give, or end,
 * is given or ended; the message is free or has the connection's next request, which is told by
 * true: the worker goes on with it. */
bool rl_serve_done(struct rl_serve *v, struct rl_message *m, bool ok);

/* Answer for a handler that has not, with these header fields: lines that end in CR LF. The status:
 * 500, unless it is the request's body that is at fault; or what the stream failed with. */
int rl_serve_answer(struct rl_message *m, const char *fields, size_t len);

/* For stream.c: the time of a connection is over. False: no request has begun, there is nobody to
 * tell. */
bool rl_serve_tell_late(struct rl_stream *s);

#endif
