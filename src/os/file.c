/* SPDX-License-Identifier: MIT */
/*
 * file: see file.h. openat2(2) has no wrapper in the C library; a kernel that lacks it, or a
 * sandbox that forbids it, gives -ENOSYS or -EPERM, and no file is served.
 */
#define _GNU_SOURCE
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED /* Linux 5.12 */
#define RESOLVE_CACHED 0x20
#endif

/* A rename beside a lookup below a root makes it start again, which it may do so often. */
#define RACES_MAX 16

static int result_of(int64_t ret)
{
	return ret < 0 ? -errno : (int)ret;
}

static int open_at(int root, const char *path, uint64_t resolve)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = resolve,
	};
	int dir = root;
	if (root == RL_FILE_ROOTLESS)
		dir = AT_FDCWD;
	else
		how.resolve |= RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
	return result_of(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

int rl_file_open_now(struct rl_os *os, int root, const char *path)
{
	(void)os;
	return open_at(root, path, RESOLVE_CACHED);
}

int rl_file_open(int root, const char *path)
{
	int fd = -EAGAIN;
	for (int i = 0; fd == -EAGAIN && i < RACES_MAX; i++)
		fd = open_at(root, path, 0);
	return fd;
}

int rl_file_dup(int fd)
{
	return result_of(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

void rl_file_close(int fd)
{
	close(fd);
}

static uint32_t kind_of(unsigned mode)
{
	if (S_ISREG(mode))
		return RL_FILE_REGULAR;
	return S_ISDIR(mode) ? RL_FILE_DIRECTORY : RL_FILE_OTHER;
}

int rl_file_stat(int fd, struct rl_file_info *info)
{
	struct statx st;
	unsigned mask = STATX_TYPE | STATX_SIZE | STATX_MTIME | STATX_INO;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, &st) < 0)
		return -errno;
	*info = (struct rl_file_info){
		.size = (int64_t)st.stx_size, .kind = kind_of(st.stx_mode), .ino = st.stx_ino,
		.mtime_s = st.stx_mtime.tv_sec, .mtime_ns = st.stx_mtime.tv_nsec,
		.dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor,
	};
	return 0;
}

int rl_file_read(int fd, char *data, uint32_t len, int64_t off)
{
	int n = -EINTR;
	while (n == -EINTR)
		n = result_of(pread(fd, data, len, off));
	return n;
}

/* A file system in memory, which does not say that its reads do not wait. */
static bool is_in_memory(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

int rl_file_read_now(struct rl_os *os, int fd, char *data, uint32_t len, int64_t off)
{
	struct iovec piece = {data, len};
	(void)os;
	int n = result_of(preadv2(fd, &piece, 1, off, RWF_NOWAIT));
	if (n == -EOPNOTSUPP && is_in_memory(fd))
		return rl_file_read(fd, data, len, off);
	return n == -EOPNOTSUPP || n == -EINTR ? -EAGAIN : n;
}

/* sendfile(2) has no MSG_NOSIGNAL: the signal that a closed connection raises in this thread is
 * held back and then taken out, unless the host blocks it by itself. It is also raised when a part
 * was sent, and the call tells of that part alone. */
int rl_file_send(struct rl_os *os, int socket, int fd, int64_t off, uint32_t len)
{
	static const struct timespec at_once;
	sigset_t pipe, old;
	off_t from = off;
	int n = -EINTR;
	(void)os;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	while (n == -EINTR)
		n = result_of(sendfile(socket, fd, &from, len));
	if (n < (int)len && n != -EAGAIN && !sigismember(&old, SIGPIPE))
		sigtimedwait(&pipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}
