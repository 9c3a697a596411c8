/* SPDX-License-Identifier: MIT */
/* list: order, idempotent removal, taking a whole list; and a random walk against an array. */
#include "base/list.h"

#include "base/rand.h"
#include "check.h"

struct item {
	int number;
	struct rl_list link;
};

enum { ITEMS = 8 };

static struct item *item_of(struct rl_list *l)
{
	return rl_container(l, struct item, link);
}

static void items_init(struct item *items, int n)
{
	for (int i = 0; i < n; i++) {
		items[i].number = i;
		rl_list_init(&items[i].link);
	}
}

/* The list holds exactly these numbers, forwards and backwards. */
static bool holds(struct rl_list *head, const int *numbers, int n)
{
	struct rl_list *l = head;
	for (int i = 0; i < n; i++) {
		l = l->next;
		if (l == head || l->next->prev != l || item_of(l)->number != numbers[i])
			return false;
	}
	return l->next == head && head->prev == l;
}

TEST(a_new_head_is_empty)
{
	struct rl_list head;
	rl_list_init(&head);
	CHECK(rl_list_empty(&head));
	CHECK(rl_list_first(&head) == NULL);
	CHECK(rl_list_pop(&head) == NULL);
}

TEST(first_in_first_out)
{
	struct rl_list head;
	struct item items[ITEMS];
	rl_list_init(&head);
	items_init(items, ITEMS);
	for (int i = 0; i < ITEMS; i++)
		rl_list_push(&head, &items[i].link);
	CHECK(rl_list_first(&head) == &items[0].link);
	for (int i = 0; i < ITEMS; i++) {
		struct rl_list *l = rl_list_pop(&head);
		CHECK(l == &items[i].link);
		CHECK(rl_list_empty(l));
	}
	CHECK(rl_list_empty(&head));
}

TEST(removing_twice_is_removing_once)
{
	struct rl_list head;
	struct item items[3];
	rl_list_init(&head);
	items_init(items, 3);
	for (int i = 0; i < 3; i++)
		rl_list_push(&head, &items[i].link);
	rl_list_remove(&items[1].link);
	rl_list_remove(&items[1].link);
	CHECK(rl_list_empty(&items[1].link));
	CHECK(holds(&head, (const int[]) { 0, 2 }, 2));
}

TEST(take_moves_everything_in_order)
{
	struct rl_list from, to;
	struct item items[3];
	rl_list_init(&from);
	rl_list_init(&to);
	items_init(items, 3);
	for (int i = 0; i < 3; i++)
		rl_list_push(&from, &items[i].link);
	rl_list_take(&to, &from);
	CHECK(rl_list_empty(&from));
	CHECK(holds(&to, (const int[]) { 0, 1, 2 }, 3));
}

TEST(take_front_keeps_both_orders)
{
	struct rl_list to, from, n[4];
	rl_list_init(&to);
	rl_list_init(&from);
	for (int i = 0; i < 4; i++) {
		rl_list_init(&n[i]);
		rl_list_push(i < 2 ? &from : &to, &n[i]);
	}
	rl_list_take_front(&to, &from);
	CHECK(rl_list_empty(&from));
	rl_list_take_front(&to, &from);
	for (int i = 0; i < 4; i++)
		CHECK(rl_list_pop(&to) == &n[i]);
	CHECK(rl_list_pop(&to) == NULL);
	rl_list_push_front(&to, &n[0]);
	rl_list_push_front(&to, &n[1]);
	CHECK(rl_list_pop(&to) == &n[1]);
	CHECK(rl_list_pop(&to) == &n[0]);
}

TEST(take_of_one_and_of_none)
{
	struct rl_list from, to;
	struct item item;
	rl_list_init(&from);
	rl_list_init(&to);
	items_init(&item, 1);
	rl_list_take(&to, &from);
	CHECK(rl_list_empty(&to));
	rl_list_push(&from, &item.link);
	rl_list_take(&to, &from);
	CHECK(rl_list_empty(&from));
	CHECK(holds(&to, (const int[]) { 0 }, 1));
}

TEST(random_walk_against_an_array)
{
	struct rl_list head;
	struct item items[ITEMS];
	struct rl_rand r;
	int model[ITEMS], n = 0;
	rl_list_init(&head);
	items_init(items, ITEMS);
	rl_rand_seed(&r, 7);
	for (int step = 0; step < 10000; step++) {
		int i = (int)rl_rand_below(&r, ITEMS), at = 0;
		while (at < n && model[at] != i)
			at++;
		if (at == n) {
			CHECK(rl_list_empty(&items[i].link));
			rl_list_push(&head, &items[i].link);
			model[n++] = i;
		} else {
			CHECK(!rl_list_empty(&items[i].link));
			rl_list_remove(&items[i].link);
			memmove(&model[at], &model[at + 1], (size_t)(--n - at) * sizeof *model);
		}
		CHECK(holds(&head, model, n));
	}
}

int main(void)
{
	RUN(a_new_head_is_empty);
	RUN(first_in_first_out);
	RUN(removing_twice_is_removing_once);
	RUN(take_moves_everything_in_order);
	RUN(take_front_keeps_both_orders);
	RUN(take_of_one_and_of_none);
	RUN(random_walk_against_an_array);
	return FINISH();
}
