#include "server/vhost.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct vhost_registry registry;

static struct vhost *find(const char *name)
{
    return vhost_find(&registry, bytes_from_string(name));
}

static struct vhost *ensure(const char *name)
{
    return vhost_ensure(&registry, bytes_from_string(name));
}

START_TEST(virtual_host_is_made_once_and_found_by_name)
{
    struct vhost *v;

    vhost_registry_init(&registry);
    ck_assert_ptr_null(find("/"));
    v = ensure("/");
    ck_assert_ptr_eq(ensure("/"), v);
    ck_assert_ptr_eq(find("/"), v);
    ck_assert_ptr_null(find("//"));
    ck_assert_ptr_null(find(""));
    ck_assert_ptr_ne(ensure("other"), v);
    vhost_registry_release(&registry);
}
END_TEST

START_TEST(virtual_host_has_its_own_name_and_topology)
{
    char name[] = "orders";
    struct vhost *v;

    vhost_registry_init(&registry);
    v = ensure(name);
    memset(name, 'x', strlen(name)); /* it has a copy */
    ck_assert(bytes_equal_string(v->name, "orders"));
    ck_assert(bytes_equal_string(topology_name(v->topology), "orders"));
    ck_assert_ptr_nonnull(topology_find_exchange(v->topology, bytes_from_string("amq.topic")));
    ck_assert_ptr_ne(ensure("other")->topology, v->topology);
    vhost_registry_release(&registry);
}
END_TEST

static void count_visit(struct vhost *v, void *context)
{
    unsigned *visits = context;
    unsigned i;

    ck_assert_int_eq(sscanf((const char *)v->name.data, "vhost %u", &i), 1);
    ck_assert_uint_lt(i, 100);
    visits[i]++;
}

START_TEST(each_virtual_host_is_visited_once)
{
    unsigned visits[100] = {0};
    char name[32];

    vhost_registry_init(&registry);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "vhost %u", i);
        ensure(name);
    }
    vhost_registry_each(&registry, count_visit, visits);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_uint_eq(visits[i], 1);
    vhost_registry_release(&registry);
}
END_TEST

enum { READERS = 3, CHANGES = 2000 };

static struct vhost *shared;

/* Declares and deletes an exchange under the write lock until it did so often enough. */
static void *change_topology(void *argument)
{
    const struct exchange_declaration d = {.name = bytes_from_string("x"),
                                           .type = bytes_from_string("fanout")};
    struct refusal refusal;

    (void)argument;
    for (int i = 0; i < CHANGES; i++) {
        vhost_lock_write(shared);
        ck_assert_int_eq(topology_declare_exchange(shared->topology, &d, &refusal), 0);
        vhost_unlock(shared);
        vhost_lock_write(shared);
        ck_assert_int_eq(topology_delete_exchange(shared->topology, d.name, false, &refusal), 0);
        vhost_unlock(shared);
    }
    return NULL;
}

static void *read_topology(void *argument)
{
    atomic_bool *done = argument;
    unsigned found = 0;

    while (!atomic_load(done)) {
        vhost_lock_read(shared);
        found += topology_find_exchange(shared->topology, bytes_from_string("x")) != NULL;
        vhost_unlock(shared);
    }
    (void)found;
    return NULL;
}

/* Readers that never pause do not keep a writer out. */
START_TEST(writer_gets_in_between_readers)
{
    atomic_bool done = false;
    pthread_t readers[READERS];
    pthread_t writer;

    vhost_registry_init(&registry);
    shared = ensure("/");
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_topology, &done), 0);
    ck_assert_int_eq(pthread_create(&writer, NULL, change_topology, NULL), 0);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    atomic_store(&done, true);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    vhost_registry_release(&registry);
}
END_TEST

UNIT_MAIN("vhost", virtual_host_is_made_once_and_found_by_name,
          virtual_host_has_its_own_name_and_topology, each_virtual_host_is_visited_once,
          writer_gets_in_between_readers)
