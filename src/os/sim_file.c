/* SPDX-License-Identifier: MIT */
/*
 * sim_file: files are the real ones, and always in memory unless a fault says otherwise; what is
 * sent from them, and before them, goes to a socket in memory at once.
 */
#include "os/file.h"
#include "os/sim.h"

#define PART 4096u

static struct rl_sim *sim_of(struct rl_os *os)
{
	return rl_container(os, struct rl_sim, os);
}

int rl_sim_file_open(struct rl_os *os, int root, const char *path)
{
	if (rl_sim_fault_fires(sim_of(os), RL_SIM_COLD_FILE))
		return -EAGAIN;
	return rl_file_open(root, path);
}

int rl_sim_file_read(struct rl_os *os, int fd, char *data, uint32_t len, int64_t off)
{
	if (rl_sim_fault_fires(sim_of(os), RL_SIM_COLD_FILE))
		return -EAGAIN;
	return rl_file_read(fd, data, len, off);
}

/* Why nothing can be sent, or 0. An error of the socket is told once. */
static int broken(struct rl_sim_sock *s)
{
	int code = s->error ? -s->error : -EPIPE;

	if (s->connected && !s->reset && !s->fin_out)
		return 0;
	s->error = 0;
	return code;
}

static uint32_t share(struct rl_sim *sim, struct rl_sim_sock *s, uint32_t len)
{
	uint32_t n = len;

	if (n > rl_sim_net_space(s))
		n = (uint32_t)rl_sim_net_space(s);
	if (n > 1 && rl_sim_fault_fires(sim, RL_SIM_SHORT_WRITE))
		n = 1 + (uint32_t)rl_rand_below(&sim->faults.rand, n - 1);
	return n;
}

int rl_sim_send_now(struct rl_os *os, int fd, const char *data, uint32_t len, bool more)
{
	struct rl_sim *sim = sim_of(os);
	struct rl_sim_sock *s = rl_sim_net_find(sim, fd);
	uint32_t n;
	int rc = s ? broken(s) : -EBADF;

	(void)more;
	if (rc < 0)
		return rc;
	n = share(sim, s, len);
	if (n == 0)
		return len > 0 ? -EAGAIN : 0;
	rc = rl_sim_net_write(sim, s, data, n);
	return rc < 0 ? rc : (int)n;
}

int rl_sim_file_send(struct rl_os *os, int socket, int fd, int64_t off, uint32_t len)
{
	struct rl_sim *sim = sim_of(os);
	struct rl_sim_sock *s = rl_sim_net_find(sim, socket);
	char data[PART];
	uint32_t n, sent = 0;
	int rc = s ? broken(s) : -EBADF;

	if (rc < 0)
		return rc;
	n = share(sim, s, len);
	if (n == 0)
		return len > 0 ? -EAGAIN : 0;
	while (sent < n) {
		rc = rl_file_read(fd, data, n - sent < PART ? n - sent : PART, off + sent);
		if (rc > 0 && rl_sim_net_write(sim, s, data, (size_t)rc) < 0)
			rc = -ENOMEM;
		if (rc <= 0)
			break;
		sent += (uint32_t)rc;
	}
	return sent > 0 ? (int)sent : rc;
}
