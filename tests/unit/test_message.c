#include "broker/message.h"
#include "tests/unit/unit.h"

static struct message *create(const char *exchange, const char *key, const char *properties,
                              const char *body)
{
    struct message *m = message_create(bytes_from_string(exchange), bytes_from_string(key),
                                       bytes_from_string(properties), (uint32_t)strlen(body));

    memcpy(message_body(m), body, strlen(body));
    return m;
}

START_TEST(every_part_is_found_where_it_was_put)
{
    struct message *m = create("amq.topic", "a.b", "\x10\x02", "hello");

    ck_assert(bytes_equal_string(message_exchange(m), "amq.topic"));
    ck_assert(bytes_equal_string(message_routing_key(m), "a.b"));
    ck_assert(bytes_equal_string(message_properties(m), "\x10\x02"));
    ck_assert(bytes_equal_string(message_body_bytes(m), "hello"));
    ck_assert_uint_eq(message_footprint(m), 16 + 9 + 3 + 2 + 5);
    ck_assert_uint_eq(m->priority, 0);
    ck_assert_uint_eq(m->flags, 0);
    message_unref(m);
}
END_TEST

START_TEST(empty_parts_take_no_room)
{
    struct message *m = message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0);

    ck_assert_uint_eq(message_exchange(m).size, 0);
    ck_assert_uint_eq(message_routing_key(m).size, 0);
    ck_assert_uint_eq(message_body_bytes(m).size, 0);
    ck_assert_uint_eq(message_footprint(m), sizeof(struct message));
    message_unref(m);
}
END_TEST

START_TEST(longest_names_fit)
{
    uint8_t name[255];
    struct message *m;

    memset(name, 'n', sizeof(name));
    m = message_create(bytes_of(name, 255), bytes_of(name, 255), bytes_of(NULL, 0), 1);
    *message_body(m) = 'b';
    ck_assert(bytes_equal(message_exchange(m), bytes_of(name, 255)));
    ck_assert(bytes_equal(message_routing_key(m), bytes_of(name, 255)));
    ck_assert(bytes_equal_string(message_body_bytes(m), "b"));
    message_unref(m);
}
END_TEST

START_TEST(references_are_counted_from_one)
{
    struct message *m = create("", "q", "", "x");

    ck_assert_uint_eq(atomic_load(&m->references), 1);
    ck_assert_ptr_eq(message_ref(m), m);
    ck_assert_uint_eq(atomic_load(&m->references), 2);
    message_ref(m);
    ck_assert_uint_eq(atomic_load(&m->references), 3);
    message_unref(m);
    message_unref(m);
    ck_assert_uint_eq(atomic_load(&m->references), 1);
    ck_assert(bytes_equal_string(message_body_bytes(m), "x"));
    message_unref(m);
}
END_TEST

UNIT_MAIN("message", every_part_is_found_where_it_was_put, empty_parts_take_no_room,
          longest_names_fit, references_are_counted_from_one)
