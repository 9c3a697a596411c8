/* SPDX-License-Identifier: MIT */
/*
 * stream: a TCP connection over the seam. Receiving is one multishot operation into provided
 * buffers, armed when first needed, so an idle stream holds no buffer; writes are queued and sent
 * as one operation before the kernel is entered next.
 *
 * Life: a stream belongs to whoever set `handle` (a pointer variable of the floor above, which is
 * cleared when the stream is freed) and, until its last operation has completed, to the seam. It is
 * freed when it is neither's. Closing is asynchronous: what is queued is sent for at most
 * RL_STREAM_CLOSE_NS, then descriptor and operations go; `holds` of the shard counts it meanwhile.
 */
#ifndef RL_RT_STREAM_H
#define RL_RT_STREAM_H

#include "rt/bytes.h"
#include "rt/net.h"
#include "rt/wait.h"

#ifdef RL_TINY
#define RL_READ_HIGH 1024u
#define RL_WRITE_HIGH 1024u
#endif
#ifndef RL_READ_HIGH
#define RL_READ_HIGH 65536u  /* received and not read: above, receiving pauses until half */
#endif
#ifndef RL_WRITE_HIGH
#define RL_WRITE_HIGH 65536u /* queued and not sent: from there on writers wait until half */
#endif
#define RL_STREAM_CLOSE_NS 5000000000LL

enum {
	RL_STREAM_EOF = 1 << 0,       /* the peer sends no more */
	RL_STREAM_CLOSED = 1 << 1,    /* by this side: every call fails */
	RL_STREAM_PAUSED = 1 << 2,    /* too much received and not read */
	RL_STREAM_CANCELLED = 1 << 3, /* the receive was asked to end */
	RL_STREAM_STARVED = 1 << 4,   /* on net->starved */
	RL_STREAM_DROP = 1 << 5,      /* closing: do not send what is left */
	RL_STREAM_GONE = 1 << 6,      /* the descriptor is closed, or about to be */
	RL_STREAM_DEAD = 1 << 7,      /* nothing in flight any more */
	RL_STREAM_SHUT = 1 << 8,      /* writing ends behind what is queued */
	RL_STREAM_SHUT_SENT = 1 << 9,
	RL_STREAM_SERVED = 1 << 10,  /* news goes to more->crew */
	RL_STREAM_BUSY = 1 << 11,     /* ... unless a handler is at work */
	RL_STREAM_NEWS = 1 << 12,     /* on crew->news */
	RL_STREAM_HOLDS = 1 << 13,    /* counted in shard->holds and net->draining */
	RL_STREAM_FRAMED = 1 << 14,   /* what comes goes to more->websocket */
	RL_STREAM_RESTS = 1 << 15,    /* nothing is expected: whatever comes closes it */
};

struct rl_out;
struct rl_stream;
struct rl_crew;
struct rl_message;
struct rl_websocket;

/* How a connection is used: for whoever has to choose which to give up. */
enum rl_stream_kind {
	RL_STREAM_SHORT, /* for some exchanges, and easily made again */
	RL_STREAM_LONG,  /* kept up by its peer, which is heard from now and then */
	RL_STREAM_PROTECTED,
	RL_STREAM_KINDS
};

/* What few streams need, or need only while they are busy. */
struct rl_stream_more {
	struct rl_crew *crew;
	struct rl_message *message;  /* that is being received, of a server of HTTP */
	struct rl_websocket *websocket;
	struct rl_chunk *view;       /* what the reader has borrowed */
	struct rl_alarm alarm;       /* idle and total limit */
	struct rl_stream *stream;
	int64_t total_ns;            /* deadline of the connection, -1 none */
	int64_t active_ns;           /* when bytes moved last */
	int64_t reader_ns;           /* deadline of the read under way, -1 none */
	int64_t read_ns, write_ns, idle_ns; /* defaults of a timeout, -1 none */
	uint32_t read_high, write_high;
	uint32_t want;               /* what the reader may need queued at once, above read_high */
	uint32_t requests;           /* of HTTP, so far */
	uint32_t handler_slot, handler_id; /* the task that has a classified one; id's low half, or 0 */
};

/* What those of servers need that may have to choose, instead. */
struct rl_stream_watched {
	struct rl_stream_more more;
	int64_t heard_ns;            /* when bytes came last */
};

struct rl_stream {
	struct rl_op op;             /* RECV; at the end of its life CLOSE; it has the bytes' count */
	union {
		struct rl_waitq readers; /* one at most */
		struct rl_list news;     /* link on crew->news, when no handler and so no reader is there */
	};
	struct rl_net *net;
	struct rl_bytes in;          /* in.need: bytes the reader waits for; 0 once it has read */
	struct rl_out *out;          /* while something is queued */
	struct rl_stream_more *more;
	struct rl_stream **handle;
	uint32_t reads, writes;      /* completed receives and sends */
	uint32_t slot;
	uint32_t owner;              /* the floor above's: whose it is */
	int16_t in_err, out_err;     /* why nothing can be received or sent any more */
	uint16_t flags;
	uint8_t kind;                /* RL_STREAM_SHORT, ... */
	bool is_watched : 1;         /* `more` is that of a watched one */
	bool is_classified : 1;      /* its priority comes from a classifier of its owner */
	bool is_fixed : 1;           /* ... unless it was set */
	bool is_short : 1;           /* what there was of this message was not enough to tell */
	uint8_t priority : 2;        /* with which what comes is handled */
};

_Static_assert(sizeof(struct rl_stream_more) <= 152, "as much as malloc gives for 144");
_Static_assert(sizeof(struct rl_stream) <= 136, "idle connections are meant to be cheap");

/* Take over a connected descriptor; on failure (NULL) it is closed. */
struct rl_stream *rl_stream_new(struct rl_net *net, int fd);
/* Hand over to `handle`, or with NULL let go: the stream is closed. */
void rl_stream_own(struct rl_stream *s, struct rl_stream **handle);
/* Allocate `more`: 0 or -ENOMEM. */
int rl_stream_extend(struct rl_stream *s);

/* Reading. */

/* 0: bytes are queued; else why not: -EAGAIN (wait), -RL_EOF, -RL_ECLOSED or an error. */
int rl_stream_status(const struct rl_stream *s);
/* As above when at least `need` bytes are wanted at once. */
int rl_stream_has(const struct rl_stream *s, uint32_t need);
/* Before a reader parks on s->readers until `need` bytes are there; it may go on to need up to
 * `most`. May change the status. 0 or -ENOMEM. */
int rl_stream_expect(struct rl_stream *s, uint32_t need, uint32_t most);
/* The first `n` queued bytes were read. */
void rl_stream_consume(struct rl_stream *s, uint32_t n);
/* Lend the first piece to the reader until the next read or rl_stream_unlend; 0 or -ENOMEM. */
int rl_stream_lend(struct rl_stream *s, struct rl_piece *out);
void rl_stream_unlend(struct rl_stream *s);

/* The end. All idempotent. */

void rl_stream_close(struct rl_stream *s);
void rl_stream_abort(struct rl_stream *s); /* RST; what is queued is lost */
/* Nothing can be received or sent any more: readers and writers get `code`. */
void rl_stream_fail(struct rl_stream *s, int code);

/* Limits: -1 none. Needs `more`. */
void rl_stream_limit(struct rl_stream *s, int64_t idle_ns, int64_t total_ns);
/* Let it last no longer than to `due_ns`; maybe its limit is earlier. */
void rl_stream_limit_by(struct rl_stream *s, int64_t due_ns);

/* From now on it can be told for how long a connection is idle. 0 or -ENOMEM. */
int rl_stream_watch(struct rl_stream *s);
/* For how long a watched one could have been given up: a short-lived one rests between two
 * exchanges, of others nothing has come. -1: it may not be given up, or has ended. */
int64_t rl_stream_idle_ns(const struct rl_stream *s);

/* For the files of the network. */

/* Something happened that the reader or the handler may wait for. */
void rl_stream_tell(struct rl_stream *s);
/* A closed stream goes on ending; may free it. */
void rl_stream_settle(struct rl_stream *s);
/* Receive again after buffers were missing. */
void rl_stream_feed(struct rl_stream *s);
/* End of the run: give the descriptor back; and later, unless it must be kept, the memory. */
void rl_stream_stop(struct rl_stream *s);
void rl_stream_drop(struct rl_stream *s, bool keep);

static inline bool rl_stream_is_live(const struct rl_stream *s)
{
	return s->net != NULL;
}

/* Bytes moved. */
static inline void rl_stream_touch(struct rl_stream *s)
{
	if (s->more)
		s->more->active_ns = rl_shard_came(s->net->shard);
}

#endif
