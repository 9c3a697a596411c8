/* SPDX-License-Identifier: MIT */
/* file_test: opening below a directory, what is in memory, and sending from a file. */
#define _GNU_SOURCE
#include "check.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/rl-file-XXXXXX";
static int root = -1;

static void put(const char *name, const char *text)
{
	int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Open below the root and close: 0 or the code. */
static int try(const char *path)
{
	int fd = rl_file_open(root, path);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

TEST(nothing_outside_of_the_root_is_reached)
{
	put("a.txt", "hello");
	CHECK_EQ(mkdirat(root, "sub", 0755), 0);
	put("sub/b.txt", "world");
	CHECK_EQ(symlinkat("/etc/passwd", root, "out"), 0);
	CHECK_EQ(symlinkat("../../etc/passwd", root, "sub/up"), 0);
	CHECK_EQ(symlinkat("/etc", root, "etc"), 0);
	CHECK_EQ(symlinkat("sub/b.txt", root, "in"), 0);
	CHECK_EQ(symlinkat("loop", root, "loop"), 0);
	CHECK_EQ(try("a.txt"), 0);
	CHECK_EQ(try("sub/b.txt"), 0);
	CHECK_EQ(try("sub/../a.txt"), 0);
	CHECK_EQ(try("in"), 0);
	CHECK_EQ(try("."), 0);
	CHECK_EQ(try("out"), -EXDEV);
	CHECK_EQ(try("sub/up"), -EXDEV);
	CHECK_EQ(try("etc/passwd"), -EXDEV);
	CHECK_EQ(try(".."), -EXDEV);
	CHECK_EQ(try("/etc/passwd"), -EXDEV);
	CHECK_EQ(try("loop"), -ELOOP);
	CHECK_EQ(try("none"), -ENOENT);
	CHECK_EQ(try("a.txt/b"), -ENOTDIR);
	CHECK_EQ(try(""), -ENOENT);
}

TEST(what_the_kernel_knows_is_opened_at_once)
{
	struct rl_file_info info;
	int fd = -EAGAIN;
	for (int i = 0; i < 1000 && fd == -EAGAIN; i++) { /* a mount elsewhere, or too little memory */
		CHECK_EQ(try("sub/b.txt"), 0);
		fd = rl_file_open_now(NULL, root, "sub/b.txt");
	}
	if (fd == -EINVAL)
		SKIP("the kernel has no RESOLVE_CACHED");
	CHECK(fd >= 0);
	CHECK_EQ(rl_file_stat(fd, &info), 0);
	CHECK_EQ(info.kind, RL_FILE_REGULAR);
	CHECK_EQ(info.size, 5);
	CHECK(info.mtime_s > 0 && info.ino > 0);
	CHECK_EQ(rl_file_stat(root, &info), 0);
	CHECK_EQ(info.kind, RL_FILE_DIRECTORY);
	int twin = rl_file_dup(fd);
	CHECK(twin >= 0 && twin != fd);
	rl_file_close(twin);
	rl_file_close(fd);
	CHECK_EQ(rl_file_dup(-1), -EBADF);
	CHECK_EQ(rl_file_stat(fd, &info), -EBADF);
}

/* Nobody has opened it for writing, and nobody will. */
TEST(a_fifo_is_not_waited_for)
{
	struct rl_file_info info;
	CHECK_EQ(mkfifoat(root, "fifo", 0644), 0);
	int fd = rl_file_open(root, "fifo");
	CHECK(fd >= 0);
	CHECK_EQ(rl_file_stat(fd, &info), 0);
	CHECK_EQ(info.kind, RL_FILE_OTHER);
	rl_file_close(fd);
}

TEST(without_a_root_any_path_is_opened)
{
	char path[64];
	snprintf(path, sizeof path, "%s/sub/../out", dir);
	int fd = rl_file_open(RL_FILE_ROOTLESS, path);
	CHECK(fd >= 0);
	rl_file_close(fd);
}

TEST(bytes_in_memory_are_read_at_once)
{
	char data[16];
	int fd = rl_file_open(root, "a.txt");
	CHECK_EQ(rl_file_read(fd, data, sizeof data, 1), 4);
	CHECK(memcmp(data, "ello", 4) == 0);
	int n = rl_file_read_now(NULL, fd, data, 2, 0);
	CHECK(n == 2 || n == -EAGAIN); /* some file systems never say */
	CHECK_EQ(rl_file_read(fd, data, sizeof data, 5), 0);
	rl_file_close(fd);
}

TEST(a_file_system_in_memory_is_in_memory)
{
	char data[4];
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0)
		SKIP("no /dev/shm");
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(rl_file_read_now(NULL, fd, data, 4, 0), 3);
	close(fd);
}

TEST(a_socket_that_is_full_says_so)
{
	int pair[2], n = 1;
	char data[16];
	int fd = rl_file_open(root, "a.txt");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	CHECK_EQ(rl_file_send(NULL, pair[0], fd, 1, 3), 3);
	CHECK_EQ(read(pair[1], data, sizeof data), 3);
	CHECK(memcmp(data, "ell", 3) == 0);
	CHECK_EQ(rl_file_send(NULL, pair[0], fd, 5, 3), 0);
	for (int i = 0; i < 1000000 && n > 0; i++)
		n = rl_file_send(NULL, pair[0], fd, 0, 5);
	CHECK_EQ(n, -EAGAIN);
	close(pair[0]);
	close(pair[1]);
	rl_file_close(fd);
}

/* The signal's disposition is the default here: if it were delivered, this test would be over. */
TEST(a_closed_socket_raises_no_signal)
{
	int pair[2];
	sigset_t pending;
	int fd = rl_file_open(root, "a.txt");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	close(pair[1]);
	CHECK_EQ(rl_file_send(NULL, pair[0], fd, 0, 5), -EPIPE);
	CHECK_EQ(sigpending(&pending), 0);
	CHECK(!sigismember(&pending, SIGPIPE));
	close(pair[0]);
	rl_file_close(fd);
}

static void *drain_and_close(void *arg)
{
	static char data[100000];
	int fd = (int)(intptr_t)arg;
	ssize_t n = 1;
	for (int i = 0; i < 3 && n > 0; i++)
		n = read(fd, data, sizeof data);
	close(fd);
	return NULL;
}

/* The signal also comes when a part was sent before the other side closed, and tells only of
 * that. */
TEST(nor_does_one_that_is_closed_meanwhile)
{
	int fd = openat(root, "big", O_RDWR | O_CREAT, 0644);
	CHECK_EQ(ftruncate(fd, 8 << 20), 0);
	for (int i = 0; i < 300; i++) {
		int pair[2], n = 1;
		pthread_t reader;
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		CHECK_EQ(pthread_create(&reader, NULL, drain_and_close, (void *)(intptr_t)pair[1]), 0);
		while (n > 0)
			n = rl_file_send(NULL, pair[0], fd, 0, 8 << 20);
		CHECK(n == -EPIPE || n == -ECONNRESET);
		pthread_join(reader, NULL);
		close(pair[0]);
	}
	close(fd);
}

int main(void)
{
	char command[64];
	if (!mkdtemp(dir))
		return 1;
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = rl_file_open(root, ".");
	if (fd == -ENOSYS || fd == -EPERM) {
		printf("skip file_test: no openat2(2) here\n");
		rmdir(dir);
		return 0;
	}
	rl_file_close(fd);
	RUN(nothing_outside_of_the_root_is_reached);
	RUN(what_the_kernel_knows_is_opened_at_once);
	RUN(a_fifo_is_not_waited_for);
	RUN(without_a_root_any_path_is_opened);
	RUN(bytes_in_memory_are_read_at_once);
	RUN(a_file_system_in_memory_is_in_memory);
	RUN(a_socket_that_is_full_says_so);
	RUN(a_closed_socket_raises_no_signal);
	RUN(nor_does_one_that_is_closed_meanwhile);
	close(root);
	snprintf(command, sizeof command, "rm -r %s", dir);
	CHECK_EQ(system(command), 0);
	return FINISH();
}
