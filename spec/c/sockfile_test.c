/* SPDX-License-Identifier: MIT */
/* sockfile: permissions from the first moment, and only the own file is removed. */
#include "check.h"

#include "os/sockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/rl_sockfile_XXXXXX";
static char path[64];

static int listen_at(unsigned mode)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(un.sun_path, path, strlen(path));
	CHECK_EQ(rl_sockfile_mode(fd, mode), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	return fd;
}

TEST(the_file_has_its_mode)
{
	struct stat st;
	int fd = listen_at(0600);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	CHECK_EQ(unlink(path), 0);
	close(fd);
	CHECK_EQ(rl_sockfile_mode(-1, 0600), -EBADF);
}

TEST(another_file_is_not_removed)
{
	struct rl_sockfile f, g;
	int a = listen_at(0600);
	CHECK_EQ(rl_sockfile_note(&f, path), 0);
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(rl_sockfile_remove(&f), -ENOENT);
	int b = listen_at(0600);
	CHECK_EQ(rl_sockfile_note(&g, path), 0);
	g.ino++;
	CHECK_EQ(rl_sockfile_remove(&g), -ESTALE);
	g.ino--;
	CHECK_EQ(rl_sockfile_remove(&g), 0);
	CHECK_EQ(access(path, F_OK), -1);
	close(a);
	close(b);
}

TEST(what_is_no_socket_is_not_noted)
{
	struct rl_sockfile f;
	char longest[200];
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	CHECK_EQ(rl_sockfile_note(&f, path), -EINVAL);
	close(fd);
	unlink(path);
	CHECK_EQ(rl_sockfile_note(&f, path), -ENOENT);
	memset(longest, 'a', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	CHECK_EQ(rl_sockfile_note(&f, longest), -ENAMETOOLONG);
}

TEST(a_directory_that_others_may_write_to_is_told)
{
	char sub[64], link[64];
	struct stat st;
	snprintf(sub, sizeof sub, "%s/sub", dir);
	snprintf(link, sizeof link, "%s/link", dir);
	CHECK_EQ(rl_sockfile_make_dir(sub), 0);
	CHECK_EQ(rl_sockfile_make_dir(sub), 0);
	CHECK_EQ(stat(sub, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0700);
	CHECK_EQ(rl_sockfile_check_dir(sub), 0);
	CHECK_EQ(chmod(sub, 0770), 0);
	CHECK_EQ(rl_sockfile_check_dir(sub), -EACCES);
	CHECK_EQ(chmod(sub, 01777), 0);
	CHECK_EQ(rl_sockfile_check_dir(sub), 0);
	CHECK_EQ(symlink(sub, link), 0);
	CHECK_EQ(rl_sockfile_check_dir(link), -ENOTDIR);
	CHECK_EQ(rl_sockfile_check_dir("/nowhere"), -ENOENT);
	CHECK_EQ(rl_sockfile_make_dir("/nowhere/else"), -ENOENT);
	unlink(link);
	rmdir(sub);
}

int main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/s", dir);
	RUN(the_file_has_its_mode);
	RUN(another_file_is_not_removed);
	RUN(what_is_no_socket_is_not_noted);
	RUN(a_directory_that_others_may_write_to_is_told);
	rmdir(dir);
	return FINISH();
}
