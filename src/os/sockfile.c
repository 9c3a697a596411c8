/* SPDX-License-Identifier: MIT */
/*
 * sockfile: see sockfile.h. The mode is set on the socket before it is bound, because then the
 * file never has another one, whatever the umask of the other threads.
 */
#include "os/sockfile.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int result(int ret)
{
	return ret < 0 ? -errno : 0;
}

int rl_sockfile_mode(int fd, unsigned mode)
{
	return result(fchmod(fd, (mode_t)mode));
}

int rl_sockfile_note(struct rl_sockfile *f, const char *path)
{
	struct stat st;
	size_t len = strlen(path);
	memset(f, 0, sizeof *f);
	if (len >= sizeof f->path)
		return -ENAMETOOLONG;
	memcpy(f->path, path, len + 1);
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EINVAL;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return 0;
}

int rl_sockfile_remove(const struct rl_sockfile *f)
{
	struct stat st;
	if (lstat(f->path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_dev != f->dev || st.st_ino != f->ino)
		return -ESTALE;
	return result(unlink(f->path));
}

int rl_sockfile_check_dir(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	bool ours = st.st_uid == geteuid() || st.st_uid == 0;
	bool shared = st.st_mode & (S_IWGRP | S_IWOTH);
	return ours && (!shared || (st.st_mode & S_ISVTX)) ? 0 : -EACCES;
}

int rl_sockfile_make_dir(const char *path)
{
	int err = result(mkdir(path, S_IRWXU));
	return err == -EEXIST ? 0 : err;
}
