/* SPDX-License-Identifier: MIT */
/*
 * message: an HTTP/1.1 message that a stream receives. Its head is copied out of the stream, so
 * that nothing of it is pinned there; its body is shown piece by piece where it lies.
 *
 * A message belongs to whoever made it and is freed by them. It outlives its stream: then `stream`
 * is NULL, and nothing more comes. Records are reused; `gen` tells one use from the next.
 */
#ifndef RL_RT_MESSAGE_H
#define RL_RT_MESSAGE_H

#include "base/http.h"
#include "base/http_body.h"
#include "base/slab.h"
#include "rt/stream.h"

#define RL_MESSAGE_FIELDS 100 /* so many need no memory of their own */
#define RL_MESSAGE_FEW 1024   /* nor do so many bytes of a head */
#define RL_MESSAGE_INTERIM 64 /* informational responses before one final */
#define RL_MESSAGE_LINGER_NS 2000000000LL /* once all is sent, the sender may go on for so long */

/* How far the answer to a request has come. */
enum rl_reply_state {
	RL_REPLY_NONE,
	RL_REPLY_LENGTH,  /* the head is queued; `left` bytes of the body are to come */
	RL_REPLY_CHUNKED, /* the same, in chunks */
	RL_REPLY_OPEN,    /* the same, until the connection is closed */
	RL_REPLY_DONE,
};

struct rl_message {
	uint32_t spare;              /* the slab's, while the record is free */
	uint32_t slot, gen;
	uint8_t state;               /* RL_REPLY_* */
	bool live;
	bool has_head;
	bool busy;                   /* somebody handles it */
	bool continue_due;           /* the sender waits for 100 (Continue) */
	bool keep;                   /* the connection goes on behind the answer */
	bool lingers;                /* what still comes is thrown away */
	bool timed;                  /* the stream's limit is that of this head */
	bool late;                   /* the sender has begun a head or body and lets us wait */
	bool no_body;                /* of the answer: HEAD, 204, 304 */
	bool tunnels;                /* behind the response the stream is not HTTP any more */
	bool may_go_on;              /* a 100 (Continue) came before the response */
	uint8_t interim;             /* informational responses that were passed over */
	struct rl_net *net;
	struct rl_stream *stream;
	struct rl_http_limits limits;
	struct rl_http_head head;
	struct rl_http_body body;
	struct rl_http_field *trailers; /* while there may be some */
	char *trail;                 /* the bytes that the trailers are in, once there are any */
	char *bytes;                 /* the head */
	uint32_t len, size;
	uint32_t shown;              /* bytes of the stream that the last piece of the body took */
	int error;                   /* RL_HTTP_*, once a call gave -EPROTO */
	int64_t left;
	int64_t total_ns;            /* while `timed`: the limit that the stream had */
	struct rl_http_field *many;  /* instead of `fields`, if limits.fields_max needs it */
	struct rl_http_field fields[RL_MESSAGE_FIELDS];
	char few[RL_MESSAGE_FEW];
};

/* For the stream; NULL without memory. The limits are copied. */
struct rl_message *rl_message_new(struct rl_stream *s, const struct rl_http_limits *limits);
void rl_message_free(struct rl_message *m);
/* The one that is meant, or NULL. */
struct rl_message *rl_message_at(const struct rl_net *net, uint32_t slot, uint32_t gen);
/* Begin anew, with the next message of the same stream. It is another one: `gen` changes. */
void rl_message_next(struct rl_message *m);

/* Take a head from the stream. 1: it is there, and the body can be asked for; 0: more bytes are
 * needed, none are left in the stream; -EPROTO: `error` says why; -RL_EOF, also in the middle of a
 * head; or what the stream failed with. */
int rl_message_request(struct rl_message *m);
/* `method` is that of the request it answers. Informational ones but 101 are passed over, of which
 * there may be RL_MESSAGE_INTERIM. */
int rl_message_response(struct rl_message *m, unsigned method);

/* The next piece of the body. 1: here, until rl_message_took; 0: there is no more; -EAGAIN: more
 * bytes are needed; or as above. */
int rl_message_body(struct rl_message *m, struct rl_http_piece *piece);
void rl_message_took(struct rl_message *m);

/* Whoever knows it by its number finds it no more. */
void rl_message_rename(struct rl_message *m);

static inline bool rl_message_is_read(const struct rl_message *m)
{
	return rl_http_body_is_done(&m->body);
}

/* Answers that have not begun, on streams of this owner, are the last of their connections. */
void rl_messages_stop(struct rl_net *net, uint32_t owner);

/* For net.c, stream.c and out.c. */
void rl_message_detach(struct rl_message *m); /* the stream goes away */
void rl_message_sent(struct rl_message *m);   /* all, and nothing follows */
void rl_messages_free(struct rl_net *net);

#endif
