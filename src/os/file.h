/* SPDX-License-Identifier: MIT */
/*
 * file: the calls on files. Those whose name ends in _now do not wait for a disk or another
 * machine, and say -EAGAIN instead; the others may, and are for helper threads.
 */
#ifndef RL_OS_FILE_H
#define RL_OS_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct rl_os;

enum rl_file_kind { RL_FILE_REGULAR, RL_FILE_DIRECTORY, RL_FILE_OTHER };

struct rl_file_info {
	int64_t size;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t kind; /* RL_FILE_* */
	uint64_t ino, dev;
};

#define RL_FILE_ROOTLESS (-1)

/*
 * Open for reading. With a root, a descriptor of a directory, nothing outside of it can be reached,
 * by whatever symbolic links and ".." (-EXDEV). Never waits for a writer of a FIFO. The descriptor
 * or a code; of the first, -EAGAIN: a directory or an inode on the way is not in memory.
 */
int rl_file_open_now(struct rl_os *os, int root, const char *path);
int rl_file_open(int root, const char *path);
/* A descriptor of its own for the file behind another. */
int rl_file_dup(int fd);
void rl_file_close(int fd);

/* Of an open file, as the kernel has it in memory. 0 or a code. */
int rl_file_stat(int fd, struct rl_file_info *info);

/* Bytes read, 0 at the end of the file, or a code; of the first, -EAGAIN: not in memory, or this
 * kind of file system does not say. */
int rl_file_read_now(struct rl_os *os, int fd, char *data, uint32_t len, int64_t off);
int rl_file_read(int fd, char *data, uint32_t len, int64_t off);

/* Bytes given to a socket that does not block, without a copy in this process; 0 at the end of the
 * file; -EAGAIN: the socket is full. Waits for the disk if the file is not in memory. */
int rl_file_send(struct rl_os *os, int socket, int fd, int64_t off, uint32_t len);

#endif
