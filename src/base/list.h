/* SPDX-License-Identifier: MIT */
/*
 * list: an intrusive circular doubly linked list.
 *
 * Invariants: a head and an unlinked node both point to themselves, so `remove` is idempotent and
 * a node is on at most one list because it owns one link.
 */
#ifndef RL_BASE_LIST_H
#define RL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rl_list {
	struct rl_list *next, *prev;
};

#define rl_container(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void rl_list_init(struct rl_list *l)
{
	l->next = l->prev = l;
}

/* True for an empty head, and for a node that is on no list. */
static inline bool rl_list_empty(const struct rl_list *l)
{
	return l->next == l;
}

/* Link `n` as the last of `head`; `n` must be on no list. */
static inline void rl_list_push(struct rl_list *head, struct rl_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

/* Link `n` as the first of `head`; `n` must be on no list. */
static inline void rl_list_push_front(struct rl_list *head, struct rl_list *n)
{
	rl_list_push(head->next, n);
}

static inline void rl_list_remove(struct rl_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	rl_list_init(n);
}

/* The first node of `head`, which stays linked; NULL when empty. */
static inline struct rl_list *rl_list_first(const struct rl_list *head)
{
	return head->next == head ? NULL : head->next;
}

/* Unlink and return the first node; NULL when empty. */
static inline struct rl_list *rl_list_pop(struct rl_list *head)
{
	struct rl_list *n = rl_list_first(head);
	if (n)
		rl_list_remove(n);
	return n;
}

/* Move everything on `from` to the empty, initialised head `to`, in order. */
static inline void rl_list_take(struct rl_list *to, struct rl_list *from)
{
	if (rl_list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	rl_list_init(from);
}

/* Move everything on `from` in front of what is on `to`, in order. */
static inline void rl_list_take_front(struct rl_list *to, struct rl_list *from)
{
	if (rl_list_empty(from))
		return;
	from->prev->next = to->next;
	to->next->prev = from->prev;
	to->next = from->next;
	to->next->prev = to;
	rl_list_init(from);
}

#endif
