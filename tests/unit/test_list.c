#include "base/list.h"
#include "tests/unit/unit.h"

#include <string.h>

struct item {
    char name;
    struct list_node node;
};

static struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};

static struct item *item_of(struct list_node *n)
{
    return container_of(n, struct item, node);
}

/* Expects these names in this order, forwards and backwards. */
static void expect_list(struct list *l, const char *names)
{
    const char *expected = names;
    struct list_node *n;

    list_for_each(l, node)
        ck_assert_int_eq(item_of(node)->name, *expected++);
    ck_assert_int_eq(*expected, '\0');
    for (n = l->head.previous; n != &l->head; n = n->previous)
        ck_assert_int_eq(item_of(n)->name, *--expected);
    ck_assert_ptr_eq(expected, names);
    ck_assert_int_eq(list_empty(l), *names == '\0');
}

static void list_of_abc(struct list *l)
{
    list_init(l);
    list_append(l, &a.node);
    list_append(l, &b.node);
    list_append(l, &c.node);
}

START_TEST(new_list_is_empty)
{
    static struct list l;

    list_init(&l);
    expect_list(&l, "");
    ck_assert_ptr_null(list_first(&l));
    ck_assert_ptr_null(list_take_first(&l));
}
END_TEST

START_TEST(nodes_keep_their_order)
{
    static struct list l;

    list_of_abc(&l);
    expect_list(&l, "abc");
    list_prepend(&l, &d.node);
    expect_list(&l, "dabc");
}
END_TEST

START_TEST(node_goes_before_the_one_named)
{
    static struct list l;

    list_of_abc(&l);
    list_insert_before(&c.node, &d.node);
    expect_list(&l, "abdc");
}
END_TEST

START_TEST(removed_node_is_unlinked_and_can_come_back)
{
    static struct list l;

    list_of_abc(&l);
    ck_assert(list_linked(&b.node));
    list_remove(&b.node);
    ck_assert(!list_linked(&b.node));
    expect_list(&l, "ac");
    list_remove(&b.node);
    expect_list(&l, "ac");
    list_append(&l, &b.node);
    expect_list(&l, "acb");
}
END_TEST

START_TEST(walking_by_next_ends_with_null)
{
    static struct list l;

    list_of_abc(&l);
    ck_assert_ptr_eq(list_first(&l), &a.node);
    ck_assert_ptr_eq(list_next(&l, &a.node), &b.node);
    ck_assert_ptr_eq(list_next(&l, &b.node), &c.node);
    ck_assert_ptr_null(list_next(&l, &c.node));
}
END_TEST

START_TEST(taking_empties_from_the_front)
{
    static struct list l;

    list_of_abc(&l);
    ck_assert_ptr_eq(list_take_first(&l), &a.node);
    ck_assert(!list_linked(&a.node));
    ck_assert_ptr_eq(list_take_first(&l), &b.node);
    ck_assert_ptr_eq(list_take_first(&l), &c.node);
    expect_list(&l, "");
}
END_TEST

START_TEST(spliced_nodes_go_to_the_end)
{
    static struct list l, other, empty;

    list_init(&other);
    list_init(&empty);
    list_init(&l);
    list_append(&l, &a.node);
    list_append(&other, &b.node);
    list_append(&other, &c.node);

    list_splice(&l, &empty);
    expect_list(&l, "a");
    list_splice(&l, &other);
    expect_list(&l, "abc");
    expect_list(&other, "");
    list_splice(&empty, &l);
    expect_list(&empty, "abc");
    expect_list(&l, "");
}
END_TEST

START_TEST(safe_walk_may_unlink_as_it_goes)
{
    static struct list l;

    list_of_abc(&l);
    list_for_each_safe(&l, node) {
        list_remove(node);
        memset(item_of(node), 0, sizeof(struct item));
    }
    expect_list(&l, "");
}
END_TEST

UNIT_MAIN("list", new_list_is_empty, nodes_keep_their_order, node_goes_before_the_one_named,
          removed_node_is_unlinked_and_can_come_back, walking_by_next_ends_with_null,
          taking_empties_from_the_front, spliced_nodes_go_to_the_end,
          safe_walk_may_unlink_as_it_goes)
