/* SPDX-License-Identifier: MIT */
/*
 * content: see content.h.
 *
 * Invariants: while `busy` the helper has a reference, and writes what the work is for and nothing
 * else: `fd`, `err` and `info` of one that is opened, nothing of one that is read. A root stays
 * open while something is opened below it. `fd` is counted from `done` on.
 */
#include "rt/content.h"

#include "base/check.h"
#include "base/err.h"
#include "rt/outfile.h"

#include <stdlib.h>
#include <string.h>

#ifdef RL_TINY
#define PROBE 512
#endif
#ifndef PROBE
#define PROBE 65536 /* one page in so many bytes is looked at */
#endif
#define READ_SIZE 16384

static int root_fd(const struct rl_content *c)
{
	return c->root ? c->root->fd : RL_FILE_ROOTLESS;
}

static void close_file(struct rl_content *c)
{
	if (c->fd < 0)
		return;
	rl_file_close(c->fd);
	c->fd = -1;
	if (c->done && !c->lasting)
		--*c->net->handles;
}

static void free_content(struct rl_content *c)
{
	rl_list_remove(&c->item.link);
	close_file(c);
	free(c);
}

void rl_content_get(struct rl_content *c)
{
	c->refs++;
}

void rl_content_put(struct rl_content *c)
{
	RL_ASSERT(c->refs > 0);
	if (--c->refs == 0)
		free_content(c);
	else if (c->refs == 1 && c->handle && c->net->stopping)
		close_file(c);
}

void rl_content_disown(struct rl_content *c)
{
	c->handle = NULL;
	rl_content_put(c);
}

/* Opening. */

static void look(struct rl_content *c)
{
	c->err = c->fd < 0 ? c->fd : rl_file_stat(c->fd, &c->info);
	if (c->err == 0 || c->fd < 0)
		return;
	rl_file_close(c->fd);
	c->fd = -1;
}

/* On a helper thread. */
static void open_run(struct rl_work *w)
{
	struct rl_content *c = rl_container(w, struct rl_content, work);
	c->fd = rl_file_open(root_fd(c), c->path);
	look(c);
}

static void forget_root(struct rl_content *c)
{
	struct rl_content *root = c->root;
	c->root = NULL;
	if (root)
		rl_content_put(root);
}

static void opened(struct rl_content *c)
{
	c->done = true;
	if (c->fd >= 0 && !c->lasting)
		++*c->net->handles;
	forget_root(c);
}

static void open_done(struct rl_work *w)
{
	struct rl_content *c = rl_container(w, struct rl_content, work);
	c->busy = false;
	opened(c);
	if (!c->net->stopping)
		rl_waitq_wake(c->net->shard, &c->waiters, 0, true);
	rl_content_put(c);
}

static int start(struct rl_content *c, void (*fn)(struct rl_work *w),
	void (*done)(struct rl_work *w))
{
	c->work.fn = fn;
	c->work.done = done;
	int err = c->net->os->ops->offload(c->net->os, &c->work);
	if (err < 0)
		return err;
	c->busy = true;
	rl_content_get(c);
	return 0;
}

/* A helper cannot be told to stop; what it works on is closed in the end. */
static void item_stop(struct rl_net_item *item)
{
	struct rl_content *c = rl_container(item, struct rl_content, item);
	if (c->refs == 1 && c->handle)
		close_file(c);
}

static void item_drop(struct rl_net_item *item, bool keep)
{
	struct rl_content *c = rl_container(item, struct rl_content, item);
	while (rl_list_pop(&c->waiters.waiters))
		continue;
	if (c->handle)
		*c->handle = NULL;
	if (!keep)
		free_content(c);
}

static struct rl_content *content_new(struct rl_net *net, const char *path)
{
	size_t len = strlen(path);
	struct rl_content *c = calloc(1, sizeof *c + len + 1);
	if (!c)
		return NULL;
	memcpy(c->path, path, len);
	c->net = net;
	c->refs = 1;
	c->fd = -1;
	c->item.stop = item_stop;
	c->item.drop = item_drop;
	rl_list_init(&c->work.link);
	rl_list_init(&c->item.link);
	rl_waitq_init(&c->waiters);
	return c;
}

/* It is open, or fails now. */
static int finish(struct rl_content *c, struct rl_content **handle)
{
	look(c);
	opened(c);
	if (c->err < 0) {
		int err = c->err;
		free_content(c);
		return err;
	}
	rl_net_add(c->net, &c->item);
	c->handle = handle;
	*handle = c;
	return 0;
}

int rl_content_open(struct rl_net *net, struct rl_content *root, const char *path, bool lasting,
	struct rl_content **handle)
{
	struct rl_content *c;
	if (root && root->fd < 0)
		return -RL_ECLOSED;
	c = content_new(net, path);
	if (!c)
		return -ENOMEM;
	c->lasting = lasting;
	c->root = root;
	if (root)
		rl_content_get(root);
	c->fd = net->os->ops->file_open(net->os, root_fd(c), path);
	if (c->fd != -EAGAIN)
		return finish(c, handle);
	int err = start(c, open_run, open_done);
	if (err < 0) {
		forget_root(c);
		free_content(c);
		return err;
	}
	rl_net_add(net, &c->item);
	c->handle = handle;
	*handle = c;
	return 0;
}

int rl_content_adopt(struct rl_net *net, int fd, struct rl_content **handle)
{
	struct rl_content *c = content_new(net, "");
	if (!c)
		return -ENOMEM;
	c->fd = rl_file_dup(fd);
	return finish(c, handle);
}

/* Memory. A look at a page costs little beside sending those around it. */

bool rl_content_is_warm(struct rl_content *c, int64_t off, uint32_t len)
{
	struct rl_os *os = c->net->os;
	int64_t end = off + len;
	char byte;
	if (end <= c->warm)
		return true;
	for (int64_t at = end - 1; at >= off; at -= PROBE)
		if (os->ops->file_read(os, c->fd, &byte, 1, at) == -EAGAIN)
			return false;
	c->warm = end;
	return true;
}

/* On a helper thread: what is read stays in the kernel's memory for a while. */
static void warm_run(struct rl_work *w)
{
	struct rl_content *c = rl_container(w, struct rl_content, work);
	char data[READ_SIZE];
	int64_t at = c->off, end = c->warm;
	int n = 1;
	while (at < end && n > 0) {
		n = rl_file_read(c->fd, data, end - at < READ_SIZE ? (uint32_t)(end - at) : READ_SIZE, at);
		at += n;
	}
}

static void warm_done(struct rl_work *w)
{
	struct rl_content *c = rl_container(w, struct rl_content, work);
	c->busy = false;
	rl_outfile_warmed(c);
	rl_content_put(c);
}

int rl_content_warm(struct rl_content *c, int64_t off, uint32_t len)
{
	RL_ASSERT(c->off == off && !c->busy);
	c->warm = off + len;
	int err = start(c, warm_run, warm_done);
	return err;
}
