/* SPDX-License-Identifier: MIT */
/*
 * sim, private to its files: what sim.c (clock and queue), sim_net.c (sockets), sim_op.c
 * (what ops do) and sim_fault.c (fault points) tell each other. Everything outside uses os.h, where
 * rl_sim_ops is declared, and rl_sim_fault_counts from here.
 *
 * Invariants: an event is in the heap, or on a round's list, or on neither; an op in flight has
 * exactly one request and a request exactly one event, so the completions of an op keep their
 * order.
 * Order comes only from due time, seeded keys and sequence numbers, never from addresses.
 */
#ifndef RL_OS_SIM_H
#define RL_OS_SIM_H

#include "base/err.h"
#include "base/rand.h"
#include "os/os.h"
#include "os/sim_addr.h"

#include <stdatomic.h>

struct rl_sim;
struct rl_sim_net;
struct rl_sim_sock;

/* How often each named fault point of `os` was asked and fired; returns the number of points, fills
 * at most `max`, and 0 for an os of another backend. */
unsigned rl_sim_fault_counts(const struct rl_os *os, struct rl_fault_count *out, unsigned max);

/* Fault points. */

enum rl_sim_fault {
	RL_SIM_SHORT_WRITE,   /* a send completes with fewer bytes than it could have moved */
	RL_SIM_SHORT_READ,    /* a receive fills less of its buffer than it could have */
	RL_SIM_ECONNRESET,    /* the connection is reset under a receive or send */
	RL_SIM_ENOBUFS,       /* a receive ends with -ENOBUFS though buffers are free */
	RL_SIM_ENOMEM,        /* send, recv, connect: -ENOMEM; accept ends with -ENOMEM or -EMFILE */
	RL_SIM_CQ_OVERFLOW,   /* the tail of a batch of completions waits for the next poll */
	RL_SIM_CANCEL_RACE,   /* a cancel comes too late: what can complete does so first */
	RL_SIM_MULTISHOT_END, /* the completion of a multishot op is its last, without an error */
	RL_SIM_DELAY,         /* a completion comes 1 to 50 ms late */
	RL_SIM_COLD_FILE,     /* what a file has is not in memory: -EAGAIN */
	RL_SIM_EINTR,         /* poll ends with -EINTR before it waits, never twice without progress */
	RL_SIM_FAULTS
};

struct rl_sim_faults {
	struct rl_rand rand;
	struct {
		double probability;
		uint64_t asked, fired;
	} points[RL_SIM_FAULTS];
};

/* Parse "name=probability,..." (NULL: none; "all" sets every point). 0 or -EINVAL. */
int rl_sim_fault_init(struct rl_sim_faults *f, const char *text, uint64_t seed);

/* Ask a point: does the fault happen now? Counts both the question and the answer. */
bool rl_sim_fault_fires(struct rl_sim *sim, enum rl_sim_fault point);

/* The clock and the queue. */

struct rl_sim_event {
	int (*fire)(struct rl_sim *sim, struct rl_sim_event *e); /* returns completions delivered */
	int64_t due_ns;
	uint64_t key, seq;   /* order within one instant: seeded, then by age */
	unsigned at;         /* position in the heap plus one, 0 when not in it */
	struct rl_list link; /* on a round's list when due */
};

/* Reserves room in the queue, so that scheduling cannot fail. 0 or -ENOMEM; term is idempotent and
 * accepts a zeroed event. */
int rl_sim_event_init(struct rl_sim *sim, struct rl_sim_event *e,
	int (*fire)(struct rl_sim *sim, struct rl_sim_event *e));
void rl_sim_event_term(struct rl_sim *sim, struct rl_sim_event *e);

/* Due after a seeded delay; an event that is scheduled already keeps its time. */
void rl_sim_event_schedule(struct rl_sim *sim, struct rl_sim_event *e);

struct rl_sim {
	struct rl_os os;
	struct rl_sim_faults faults;
	struct rl_rand order, user; /* decisions of the sim; what `random` hands out */
	int64_t now_ns;
	uint64_t seq;
	struct rl_sim_event **heap; /* binary, the earliest first */
	unsigned heap_len, heap_cap, events;
	struct rl_list held;        /* due events that a cq_overflow left for the next poll */
	struct rl_list reqs, works; /* everything in flight */
	struct rl_sim_net *net;
	char *bufs;
	uint16_t *free_bids;        /* a ring: provided buffers are filled in the order put back */
	bool *lent;                 /* by buffer: owned by a receiver */
	unsigned free_head;
	atomic_bool woken;          /* set by wake (any thread), taken by poll */
	bool interrupted, polling;
};

/* An op in flight. */
struct rl_sim_req {
	struct rl_sim_event event;
	struct rl_op *op;
	struct rl_list anchor;      /* holds op->link only: the way from an op to its request */
	struct rl_list all;         /* on sim->reqs */
	struct rl_list on_sock;     /* on its socket, in the order submitted */
	struct rl_list on_listener; /* a CONNECT that found the backlog full */
	struct rl_sim_sock *sock;   /* a reference; NULL for NOP and for a bad descriptor */
	uint32_t moved;             /* SEND: bytes that have left */
	bool internal, cancelled;
	bool cancel_late;           /* one completion may still overtake the cancel */
};

/* The next free buffer; os.buf_free must not be 0. */
unsigned rl_sim_buf_take(struct rl_sim *sim);

/* Sockets (sim_net.c). */

#define RL_SIM_OPTS_MAX     12
#define RL_SIM_OPT_SIZE_MAX 16

struct rl_sim_opt {
	int level, name;
	socklen_t len;
	char value[RL_SIM_OPT_SIZE_MAX];
};

struct rl_sim_bytes {
	char *data;
	size_t off, len, size; /* the bytes are at [off, off + len) of size */
};

struct rl_sim_sock {
	struct rl_list all;        /* every socket */
	struct rl_list reqs;       /* ops in flight, in the order submitted */
	struct rl_list child;      /* on its listener's backlog until accepted */
	struct rl_list backlog;    /* listener: connections not accepted yet */
	struct rl_list connectors; /* listener: CONNECTs that found the backlog full */
	unsigned backlog_len, backlog_max;
	struct rl_sim_event rst;   /* the answer to bytes sent to a closed peer */
	struct rl_sim_sock *peer;  /* mutual; NULL once the other end is gone */
	struct rl_sim_bytes in;
	union rl_sim_addr local, remote;
	struct rl_sim_opt opts[RL_SIM_OPTS_MAX];
	unsigned opts_len, refs;
	int fd;                    /* -1 when it has none */
	int error;                 /* what SO_ERROR would take */
	bool bound, listening, connected;
	bool closing;              /* a CLOSE is under way: the descriptor is no longer usable */
	bool fin_in, fin_out, read_shut;
	bool reset, reset_told;    /* told: the reader needs no -ECONNRESET any more */
	bool abort;                /* say goodbye with RST */
};

int rl_sim_net_open(struct rl_sim *sim);
void rl_sim_net_close(struct rl_sim *sim); /* after every op was detached; a NULL net is fine */

/* The socket of a usable descriptor, or NULL. Takes no reference. */
struct rl_sim_sock *rl_sim_net_find(struct rl_sim *sim, int fd);

/* Drop a reference; the last one ends the connection. close_fd drops that of the descriptor. */
void rl_sim_net_put(struct rl_sim *sim, struct rl_sim_sock *s);
void rl_sim_net_close_fd(struct rl_sim *sim, struct rl_sim_sock *s);

/* Schedule every op on `s` that can now make progress. */
void rl_sim_net_wake(struct rl_sim *sim, struct rl_sim_sock *s);

/* Reset both ends; `s` loses what it had not read, a FIN included. */
void rl_sim_net_break(struct rl_sim *sim, struct rl_sim_sock *s);

/* How many bytes a write would take. Write: 0 or -ENOMEM. Read: from the front of `in`. */
size_t rl_sim_net_space(struct rl_sim_sock *s);
int rl_sim_net_write(struct rl_sim *sim, struct rl_sim_sock *s, const char *data, size_t n);
void rl_sim_net_read(struct rl_sim *sim, struct rl_sim_sock *s, char *out, size_t n);

/* The next connection of a backlog that is not empty: its new descriptor or a negative code. */
int rl_sim_net_accept(struct rl_sim *sim, struct rl_sim_sock *s);

/* 0, a negative code, or -EAGAIN with the listener whose backlog is full in *full. */
int rl_sim_net_connect(struct rl_sim *sim, struct rl_sim_sock *s, const struct sockaddr *addr,
	socklen_t len, struct rl_sim_sock **full);
int rl_sim_net_shutdown(struct rl_sim *sim, struct rl_sim_sock *s, int how);

/* The socket calls of rl_os_ops. */
int rl_sim_net_socket(struct rl_os *os, int family, int type);
int rl_sim_net_bind(struct rl_os *os, int fd, const struct sockaddr *addr, socklen_t len);
int rl_sim_net_listen(struct rl_os *os, int fd, int backlog);
int rl_sim_net_setsockopt(struct rl_os *os, int fd, int level, int name, const void *v,
	socklen_t n);
int rl_sim_net_getsockopt(struct rl_os *os, int fd, int level, int name, void *v, socklen_t *n);
int rl_sim_net_getsockname(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);
int rl_sim_net_getpeername(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);
void rl_sim_net_close_now(struct rl_os *os, int fd);

/* The calls on files, and the one that sends at once (sim_file.c). */
int rl_sim_file_open(struct rl_os *os, int root, const char *path);
int rl_sim_file_read(struct rl_os *os, int fd, char *data, uint32_t len, int64_t off);
int rl_sim_send_now(struct rl_os *os, int fd, const char *data, uint32_t len, bool more);
int rl_sim_file_send(struct rl_os *os, int socket, int fd, int64_t off, uint32_t len);

/* What each kind of op does (sim_op.c). */

struct rl_sim_result {
	int res;
	uint32_t flags;
};

/* Bind a request to the socket its op names, and let go of it. */
void rl_sim_op_attach(struct rl_sim *sim, struct rl_sim_req *req);
void rl_sim_op_detach(struct rl_sim *sim, struct rl_sim_req *req);

/* Could the op make progress now? And make it: true when that is a completion. */
bool rl_sim_op_can_step(const struct rl_sim_req *req);
bool rl_sim_op_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out);

#endif
