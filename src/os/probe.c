/* SPDX-License-Identifier: MIT */
/*
 * probe: see probe.h. Findings come from trying: a container may run a new kernel and forbid
 * io_uring, a distribution may backport to an old one, so the version is shown and decides nothing.
 *
 * Invariants: every check closes what it opened; without a ring, what needs one is not reported.
 */
#include "os/probe.h"

#include "base/err.h"
#include "os/bufring.h"
#include "os/ring.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PROBE_DISABLED_PATH "/proc/sys/kernel/io_uring_disabled"

enum { PROBE_BUFS = 2, PROBE_BUF_SIZE = 64 };

struct probe_run {
	struct rl_probe *out;
	unsigned len, max;
};

__attribute__((format(printf, 4, 5)))
static void probe_add(struct probe_run *p, const char *name, bool ok, const char *format, ...)
{
	unsigned i = p->len++;
	if (i >= p->max)
		return;
	va_list args;
	va_start(args, format);
	p->out[i].name = name;
	p->out[i].ok = ok;
	vsnprintf(p->out[i].detail, sizeof(p->out[i].detail), format, args);
	va_end(args);
}

/* The value of kernel.io_uring_disabled, 0 where the kernel does not have it (before 6.6). */
static int probe_disabled(void)
{
	char text[16] = "";
	int fd = open(PROBE_DISABLED_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? atoi(text) : 0;
}

static void probe_kernel(struct probe_run *p)
{
	struct utsname name;
	if (uname(&name) == 0)
		probe_add(p, "kernel", true, "%.32s %.64s", name.sysname, name.release);
}

static void probe_sysctl(struct probe_run *p)
{
	static const char *const meaning[] = {
		"0: everyone may use io_uring",
		"1: only CAP_SYS_ADMIN or members of the group kernel.io_uring_group may use io_uring",
		"2: nobody may use io_uring; an administrator can set it to 0",
	};
	int value = probe_disabled();
	if (value < 0 || value > 2)
		value = 2;
	probe_add(p, "kernel.io_uring_disabled", value == 0, "%s", meaning[value]);
}

static void probe_files(struct probe_run *p)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	probe_add(p, "open files", limit.rlim_cur >= 1024, "limit %llu, can be raised to %llu",
		(unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

static void probe_opcodes(struct probe_run *p, struct rl_ring *r)
{
	static const struct {
		int op;
		const char *name;
	} needed[] = {
		{ IORING_OP_NOP, "NOP" }, { IORING_OP_ACCEPT, "ACCEPT" }, { IORING_OP_RECV, "RECV" },
		{ IORING_OP_SEND, "SEND" }, { IORING_OP_CONNECT, "CONNECT" },
		{ IORING_OP_SHUTDOWN, "SHUTDOWN" }, { IORING_OP_CLOSE, "CLOSE" },
		{ IORING_OP_POLL_ADD, "POLL_ADD" }, { IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL" },
	};
	struct io_uring_probe *known = io_uring_get_probe_ring(&r->uring);
	const char *missing = known ? NULL : "all";
	for (size_t i = 0; known && i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!io_uring_opcode_supported(known, needed[i].op))
			missing = needed[i].name;
	if (missing)
		probe_add(p, "io_uring operations", false, "missing: %s", missing);
	else
		probe_add(p, "io_uring operations", true, "all here");
	free(known);
}

/* A byte through a socket pair into a provided buffer, by a multishot receive. 0 or -errno. */
static int probe_receive(struct rl_ring *r, int reader, int writer)
{
	struct rl_cqe cqe;
	struct io_uring_sqe *sqe = rl_ring_sqe(r);
	io_uring_prep_recv_multishot(sqe, reader, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	if (write(writer, "x", 1) != 1)
		return -errno;
	int err = rl_ring_enter(r, 1, 1000000000);
	if (err < 0)
		return err;
	if (rl_ring_collect(r, &cqe, 1) == 0)
		return -ETIME;
	if (cqe.res < 0)
		return cqe.res;
	return cqe.flags & IORING_CQE_F_MORE ? 0 : -EINVAL;
}

static void probe_network(struct probe_run *p, struct rl_ring *r)
{
	struct rl_bufring bufs;
	int fds[2];
	int err = rl_bufring_open(&bufs, &r->uring, 0, PROBE_BUFS, PROBE_BUF_SIZE);
	probe_add(p, "provided buffers", err == 0, "%s", err == 0 ? "work" : rl_err_name(err));
	if (err < 0)
		return;
	err = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
	if (err == 0) {
		err = probe_receive(r, fds[0], fds[1]);
		close(fds[0]);
		close(fds[1]);
	}
	probe_add(p, "multishot receive", err == 0, "%s", err == 0 ? "works" : rl_err_name(err));
	rl_bufring_close(&bufs, &r->uring);
}

static void probe_ring(struct probe_run *p)
{
	struct rl_ring r;
	int err = rl_ring_open(&r, 4, 8);
	if (err < 0) {
		probe_add(p, "io_uring", false, "%s", rl_probe_why(err));
		return;
	}
	probe_add(p, "io_uring", true, "single issuer, deferred task work; features 0x%x",
		r.uring.features);
	bool registered = (r.enter_flags & IORING_ENTER_REGISTERED_RING) != 0;
	probe_add(p, "registered ring descriptor", true, registered ? "works" : "no: a little slower");
	probe_opcodes(p, &r);
	probe_network(p, &r);
	rl_ring_close(&r);
}

unsigned rl_probe_run(struct rl_probe *out, unsigned max)
{
	struct probe_run p = { .out = out, .max = max };
	probe_kernel(&p);
	probe_sysctl(&p);
	probe_files(&p);
	probe_ring(&p);
	return p.len;
}

const char *rl_probe_why(int code)
{
	switch (code < 0 ? -code : code) {
	case ENOSYS:
		return "this kernel has no io_uring, or a container hides it (seccomp): check `uname -r` "
			"(6.1 or later is needed) and the container's seccomp profile";
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here: check `sysctl kernel.io_uring_disabled` (0 allows it) "
			"and, in a container, the seccomp profile (it must allow io_uring_setup, "
			"io_uring_enter and io_uring_register)";
	case EINVAL:
		return "this kernel's io_uring is too old, or a size option is out of range: check "
			"`uname -r` (Linux 6.1 or later is needed)";
	case EMFILE:
	case ENFILE:
		return "no descriptor is left for the ring: check `ulimit -n` and raise it, or close files";
	case ENOMEM:
		return "no memory for the ring: check `ulimit -l` and the memory limit of the container, "
			"then raise it or ask for fewer and smaller buffers";
	default:
		return "io_uring could not be set up: run `ringlet doctor` to see which step fails";
	}
}
