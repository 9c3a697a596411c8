/* SPDX-License-Identifier: MIT */
/*
 * sockfile: the file that a Unix socket is found by, from binding to removing it. Calls that do not
 * wait, on the real file system alone.
 */
#ifndef RL_OS_SOCKFILE_H
#define RL_OS_SOCKFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

/* Which file it is: another one at the same path is not removed. */
struct rl_sockfile {
	uint64_t dev, ino;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

/* Before binding: the permissions that the file will have, less the umask. */
int rl_sockfile_mode(int fd, unsigned mode);

/* After binding. 0 or a code. */
int rl_sockfile_note(struct rl_sockfile *f, const char *path);

/* 0 or a code; -ESTALE: another file is there. */
int rl_sockfile_remove(const struct rl_sockfile *f);

/* Of a directory and what is in it: may anybody but this process's user and root change it? 0, or
 * -EACCES, -ENOTDIR, or what lstat(2) says. A symbolic link is none. */
int rl_sockfile_check_dir(const char *path);

/* Make a directory that nobody else may enter; one that is there is left as it is. */
int rl_sockfile_make_dir(const char *path);

#endif
