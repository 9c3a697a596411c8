/* SPDX-License-Identifier: MIT */
/*
 * sim_op: what each kind of op does when its event fires, and when it could do something. Multishot
 * rules, provided buffers and the fault points of sockets are here; TCP itself is sim_net.c.
 *
 * Invariants: a step acts only on what is true when it runs, so an op that was scheduled for news
 * another op took goes back to waiting. Whatever makes a step possible wakes the socket: sim_net.c
 * for the other sockets it changes, detach for the op's own. SENDs on one socket move their bytes
 * one after the other, in the order submitted.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "os/sim.h"

#include <poll.h>

#define SEND_MAX 0x7ffff000u /* of one send, as in Linux */

static bool end(struct rl_sim_result *out, int res)
{
	*out = (struct rl_sim_result){res, 0};
	return true;
}

static bool always_ready(const struct rl_sim_req *req)
{
	(void)req;
	return true;
}

static bool is_first_of_kind(const struct rl_sim_req *req)
{
	const struct rl_list *l = req->sock->reqs.next;

	while (rl_container(l, struct rl_sim_req, on_sock)->op->kind != req->op->kind)
		l = l->next;
	return l == &req->on_sock;
}

static bool nop_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	(void)sim;
	(void)req;
	return end(out, 0);
}

/* Multishot accept. */

static bool accept_ready(const struct rl_sim_req *req)
{
	return !req->sock->listening || !rl_list_empty(&req->sock->backlog);
}

static bool accept_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	int fd;

	if (!req->sock->listening)
		return end(out, -EINVAL);
	if (!accept_ready(req))
		return false;
	if (rl_sim_fault_fires(sim, RL_SIM_ENOMEM))
		return end(out, rl_rand_next(&sim->faults.rand) & 1 ? -ENOMEM : -EMFILE);
	fd = rl_sim_net_accept(sim, req->sock);
	end(out, fd);
	if (fd >= 0 && !rl_sim_fault_fires(sim, RL_SIM_MULTISHOT_END))
		out->flags = RL_DONE_MORE;
	return true;
}

/* Multishot receive. */

static bool recv_has_news(const struct rl_sim_sock *s)
{
	return !s->connected || s->in.len > 0 || s->fin_in || s->read_shut || s->reset;
}

/* What the reader gets after the last byte. */
static int recv_end(struct rl_sim_sock *s)
{
	if (!s->reset || s->reset_told)
		return 0;
	s->reset_told = true;
	s->error = 0;
	return -ECONNRESET;
}

static void recv_data(struct rl_sim *sim, struct rl_sim_sock *s, struct rl_sim_result *out)
{
	size_t n = s->in.len < sim->os.buf_size ? s->in.len : sim->os.buf_size;
	unsigned bid = rl_sim_buf_take(sim);

	if (n > 1 && rl_sim_fault_fires(sim, RL_SIM_SHORT_READ))
		n = 1 + rl_rand_below(&sim->faults.rand, n - 1);
	rl_sim_net_read(sim, s, sim->os.ops->buf(&sim->os, bid), n);
	*out = (struct rl_sim_result){(int)n, RL_DONE_BUF | bid << 16};
	if (!rl_sim_fault_fires(sim, RL_SIM_MULTISHOT_END))
		out->flags |= RL_DONE_MORE;
}

static bool recv_ready(const struct rl_sim_req *req)
{
	return recv_has_news(req->sock);
}

/* As in Linux the buffer is chosen first: without one even the end of the stream is -ENOBUFS. */
static bool recv_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	struct rl_sim_sock *s = req->sock;

	if (!s->connected)
		return end(out, -ENOTCONN);
	if (sim->os.buf_free == 0)
		return end(out, -ENOBUFS);
	if (!recv_has_news(s))
		return false;
	if (rl_sim_fault_fires(sim, RL_SIM_ENOMEM))
		return end(out, -ENOMEM);
	if (rl_sim_fault_fires(sim, RL_SIM_ENOBUFS))
		return end(out, -ENOBUFS);
	if (!s->reset && rl_sim_fault_fires(sim, RL_SIM_ECONNRESET))
		rl_sim_net_break(sim, s);
	if (s->in.len == 0)
		return end(out, recv_end(s));
	recv_data(sim, s, out);
	return true;
}

/* Send: everything, however long it takes, unless an error, a cancel or a fault ends it. */

static uint32_t send_len(const struct rl_sim_req *req)
{
	return req->op->len < SEND_MAX ? req->op->len : SEND_MAX;
}

static bool send_ready(const struct rl_sim_req *req)
{
	struct rl_sim_sock *s = req->sock;

	if (!s->connected || s->reset || s->fin_out)
		return true;
	return is_first_of_kind(req) && (req->moved == send_len(req) || rl_sim_net_space(s) > 0);
}

/* What moved before counts first. */
static bool send_end(struct rl_sim_req *req, int code, struct rl_sim_result *out)
{
	return end(out, req->moved ? (int)req->moved : code);
}

static bool send_broken(struct rl_sim_req *req, struct rl_sim_result *out)
{
	struct rl_sim_sock *s = req->sock;
	int code = s->error ? -s->error : -EPIPE;

	if (req->moved == 0)
		s->error = 0;
	return send_end(req, code, out);
}

/* How much of what is left goes now; *last when the op ends short, by a fault. */
static uint32_t send_share(struct rl_sim *sim, struct rl_sim_req *req, bool *last)
{
	uint32_t n = send_len(req) - req->moved;

	if (n > rl_sim_net_space(req->sock))
		n = (uint32_t)rl_sim_net_space(req->sock);
	*last = n > 1 && rl_sim_fault_fires(sim, RL_SIM_SHORT_WRITE);
	return *last ? 1 + (uint32_t)rl_rand_below(&sim->faults.rand, n - 1) : n;
}

static bool send_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	struct rl_sim_sock *s = req->sock;
	uint32_t n;
	bool last;
	int rc;

	if (!s->connected)
		return end(out, -EPIPE);
	if (!send_ready(req))
		return false;
	if (!s->reset && !s->fin_out && rl_sim_fault_fires(sim, RL_SIM_ECONNRESET))
		rl_sim_net_break(sim, s);
	if (s->reset || s->fin_out)
		return send_broken(req, out);
	if (rl_sim_fault_fires(sim, RL_SIM_ENOMEM))
		return send_end(req, -ENOMEM, out);
	n = send_share(sim, req, &last);
	rc = rl_sim_net_write(sim, s, (const char *)req->op->data + req->moved, n);
	if (rc < 0)
		return send_end(req, rc, out);
	req->moved += n;
	if (!last && req->moved < send_len(req))
		return false;
	return end(out, (int)req->moved);
}

/* Connect. One that finds the backlog full waits on the listener and looks again. */

static bool connect_ready(const struct rl_sim_req *req)
{
	return rl_list_empty(&req->on_listener);
}

static bool connect_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	struct rl_sim_sock *full = NULL;
	int rc;

	if (!is_first_of_kind(req))
		return end(out, -EALREADY);
	if (rl_sim_fault_fires(sim, RL_SIM_ENOMEM))
		return end(out, -ENOMEM);
	rc = rl_sim_net_connect(sim, req->sock, req->op->addr, req->op->addr_len, &full);
	if (!full)
		return end(out, rc);
	rl_list_push(&full->connectors, &req->on_listener);
	return false;
}

static bool shutdown_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	return end(out, rl_sim_net_shutdown(sim, req->sock, req->op->how));
}

static bool close_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	rl_sim_net_close_fd(sim, req->sock);
	return end(out, 0);
}

/* Poll. */

static bool is_connecting(const struct rl_sim_sock *s)
{
	for (const struct rl_list *l = s->reqs.next; l != &s->reqs; l = l->next) {
		if (rl_container(l, struct rl_sim_req, on_sock)->op->kind == RL_OP_CONNECT)
			return true;
	}
	return false;
}

static uint32_t poll_connected(struct rl_sim_sock *s)
{
	uint32_t events = s->error ? POLLERR : 0;

	if (recv_has_news(s))
		events |= POLLIN;
	if (s->reset || s->fin_out || rl_sim_net_space(s) > 0)
		events |= POLLOUT;
	if (s->reset || (s->fin_in && s->fin_out))
		events |= POLLHUP;
	if (s->fin_in || s->read_shut || s->reset)
		events |= POLLRDHUP;
	return events;
}

static uint32_t poll_found(const struct rl_sim_req *req)
{
	struct rl_sim_sock *s = req->sock;
	uint32_t events;

	if (s->listening)
		events = rl_list_empty(&s->backlog) ? 0 : POLLIN;
	else if (s->connected)
		events = poll_connected(s);
	else
		events = is_connecting(s) ? 0 : POLLOUT | POLLHUP;
	return events & (req->op->events | POLLERR | POLLHUP);
}

static bool poll_ready(const struct rl_sim_req *req)
{
	return poll_found(req) != 0;
}

static bool poll_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	(void)sim;
	return poll_ready(req) ? end(out, (int)poll_found(req)) : false;
}

/* What sim.c calls. */

static const struct {
	bool (*ready)(const struct rl_sim_req *req);
	bool (*step)(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out);
} kinds[] = {
	[RL_OP_NOP] = {always_ready, nop_step},
	[RL_OP_ACCEPT] = {accept_ready, accept_step},
	[RL_OP_RECV] = {recv_ready, recv_step},
	[RL_OP_SEND] = {send_ready, send_step},
	[RL_OP_CONNECT] = {connect_ready, connect_step},
	[RL_OP_SHUTDOWN] = {always_ready, shutdown_step},
	[RL_OP_CLOSE] = {always_ready, close_step},
	[RL_OP_POLL] = {poll_ready, poll_step},
};
_Static_assert(sizeof kinds / sizeof *kinds == RL_OP_KINDS, "every kind of op has its steps");

/* From here a CLOSE hides its descriptor from later ops; the number is free once it ran. */
void rl_sim_op_attach(struct rl_sim *sim, struct rl_sim_req *req)
{
	struct rl_sim_sock *s = NULL;

	rl_list_init(&req->on_sock);
	rl_list_init(&req->on_listener);
	if (req->op->kind != RL_OP_NOP)
		s = rl_sim_net_find(sim, req->op->fd);
	if (!s)
		return;
	req->sock = s;
	s->refs++;
	rl_list_push(&s->reqs, &req->on_sock);
	s->closing = req->op->kind == RL_OP_CLOSE;
	if (req->op->kind == RL_OP_RECV && sim->os.buf_free == 0)
		rl_sim_event_schedule(sim, &req->event);
}

/* What the op did, or that it is gone, may let the others on its socket go on. */
void rl_sim_op_detach(struct rl_sim *sim, struct rl_sim_req *req)
{
	struct rl_sim_sock *s = req->sock;

	rl_list_remove(&req->on_listener);
	rl_list_remove(&req->on_sock);
	req->sock = NULL;
	if (!s)
		return;
	rl_sim_net_wake(sim, s);
	rl_sim_net_put(sim, s);
}

bool rl_sim_op_can_step(const struct rl_sim_req *req)
{
	bool bad = !req->sock && req->op->kind != RL_OP_NOP;

	return bad || kinds[req->op->kind].ready(req);
}

bool rl_sim_op_step(struct rl_sim *sim, struct rl_sim_req *req, struct rl_sim_result *out)
{
	if (!req->sock && req->op->kind != RL_OP_NOP)
		return end(out, -EBADF);
	return kinds[req->op->kind].step(sim, req, out);
}
