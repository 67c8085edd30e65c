#include "session/reply_registry.h"
#include "tests/unit/unit.h"

#include <pthread.h>

static struct reply_registry registry;

static uint64_t add(uint64_t connection, uint16_t channel)
{
    const struct reply_address address = {
        .worker = 2, .connection = connection, .channel = channel, .vhost = &registry};

    return reply_registry_add(&registry, &address);
}

START_TEST(registered_address_is_found_by_its_key)
{
    struct reply_address found;
    uint64_t a, b;

    reply_registry_init(&registry);
    a = add(7, 1);
    b = add(7, 2);
    ck_assert_uint_ne(a, 0);
    ck_assert_uint_ne(a, b);
    ck_assert(reply_registry_find(&registry, a, &found));
    ck_assert_uint_eq(found.worker, 2);
    ck_assert_uint_eq(found.connection, 7);
    ck_assert_uint_eq(found.channel, 1);
    ck_assert_ptr_eq(found.vhost, &registry);
    ck_assert(reply_registry_find(&registry, b, &found));
    ck_assert_uint_eq(found.channel, 2);
    reply_registry_release(&registry);
}
END_TEST

START_TEST(unknown_and_removed_keys_are_not_found)
{
    struct reply_address found;
    uint64_t key;

    reply_registry_init(&registry);
    ck_assert(!reply_registry_find(&registry, 0, &found));
    ck_assert(!reply_registry_find(&registry, 1, &found));
    key = add(1, 1);
    ck_assert(!reply_registry_find(&registry, key + 1, &found));
    reply_registry_remove(&registry, key + 1);
    ck_assert(reply_registry_find(&registry, key, &found));
    reply_registry_remove(&registry, key);
    ck_assert(!reply_registry_find(&registry, key, &found));
    reply_registry_remove(&registry, key);
    reply_registry_release(&registry);
}
END_TEST

START_TEST(key_is_read_back_from_its_queue_name)
{
    static const uint64_t keys[] = {1, 0xabcdef, UINT64_C(0x0123456789abcdef), UINT64_MAX};
    char name[REPLY_QUEUE_NAME_SIZE];

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        reply_queue_name(keys[i], name);
        ck_assert_uint_eq(strlen(name), REPLY_QUEUE_NAME_SIZE - 1);
        ck_assert_uint_eq(reply_queue_key(bytes_from_string(name)), keys[i]);
    }
    reply_queue_name(0xabc, name);
    ck_assert_str_eq(name, "amq.rabbitmq.reply-to.0000000000000abc");
}
END_TEST

START_TEST(other_names_stand_for_no_key)
{
    static const char *const names[] = {
        "",
        "q",
        "amq.rabbitmq.reply-to",
        "amq.rabbitmq.reply-to.",
        "amq.rabbitmq.reply-to.0000000000000ab",
        "amq.rabbitmq.reply-to.0000000000000abcd",
        "amq.rabbitmq.reply-to.0000000000000ABC",
        "amq.rabbitmq.reply-to.0000000000000xyz",
        "amq.rabbitmq.reply-to.000000000000 abc",
        "amq.rabbitmq.reply-to-0000000000000abc",
        "amq.rabbitmq.reply-tO.0000000000000abc",
        "amq.rabbitmq.reply-to.0000000000000000",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(reply_queue_key(bytes_from_string(names[i])) == 0, "%s", names[i]);
}
END_TEST

enum { THREADS = 4, ROUNDS = 2000 };

static void *come_and_go(void *argument)
{
    struct reply_address found;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t key = add((uint64_t)(uintptr_t)argument, (uint16_t)i);

        ck_assert(reply_registry_find(&registry, key, &found));
        ck_assert_uint_eq(found.connection, (uint64_t)(uintptr_t)argument);
        ck_assert_uint_eq(found.channel, (uint16_t)i);
        if (i % 2 == 0)
            reply_registry_remove(&registry, key);
    }
    return NULL;
}

START_TEST(threads_find_their_own)
{
    pthread_t threads[THREADS];

    reply_registry_init(&registry);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(registry.by_key.count, THREADS * ROUNDS / 2);
    reply_registry_release(&registry);
}
END_TEST

UNIT_MAIN("reply_registry", registered_address_is_found_by_its_key,
          unknown_and_removed_keys_are_not_found, key_is_read_back_from_its_queue_name,
          other_names_stand_for_no_key, threads_find_their_own)
