/* SPDX-License-Identifier: MIT */
/*
 * content: an open file, or a directory below which files are opened. Opening and reading wait for
 * no disk here: what is in memory is done at once, and the rest on a helper thread.
 *
 * A content belongs to whoever set `handle`, to the contents that are opened below it, and to the
 * stream that sends it. Its descriptor is closed when it is nobody's; those that are not lasting
 * are counted with the shard's handles.
 */
#ifndef RL_RT_CONTENT_H
#define RL_RT_CONTENT_H

#include "os/file.h"
#include "rt/net.h"
#include "rt/wait.h"

struct rl_stream;

struct rl_content {
	struct rl_net_item item;
	struct rl_work work;         /* opening; then bringing into memory */
	struct rl_net *net;
	struct rl_content **handle;
	struct rl_content *root;     /* a reference, while it is opened */
	struct rl_waitq waiters;     /* for it to be open; then, to be sent */
	struct rl_file_info info;
	uint32_t refs;
	int fd;                      /* -1: not open */
	int err;                     /* why not */
	bool done;                   /* it is open, or failed to */
	bool busy;                   /* a helper is at work on it */
	bool lasting;                /* kept open between uses: not counted as a handle */
	/* While it is sent, see outfile.h. */
	struct rl_stream *stream;
	int64_t off, end;            /* still to send */
	int64_t warm;                /* what lies before is in memory */
	int sent;                    /* 1: not yet; 0 or why not */
	char path[];
};

/* Open a path, below a root if there is one. 0: `done`, or to be waited for; else an error. */
int rl_content_open(struct rl_net *net, struct rl_content *root, const char *path, bool lasting,
	struct rl_content **handle);
/* Likewise the file behind a descriptor, which stays the caller's. */
int rl_content_adopt(struct rl_net *net, int fd, struct rl_content **handle);
void rl_content_disown(struct rl_content *c);

void rl_content_get(struct rl_content *c);
void rl_content_put(struct rl_content *c);

/* Are `len` bytes from `off` in memory, as far as a look at some of them tells? */
bool rl_content_is_warm(struct rl_content *c, int64_t off, uint32_t len);
/* Bring them there; rl_outfile_warmed is called. 0 or an error. */
int rl_content_warm(struct rl_content *c, int64_t off, uint32_t len);

#endif
