#include "session/route_ahead.h"

#include "amqp/frame.h"
#include "amqp/method.h"
#include "amqp/wire.h"
#include "base/buffer.h"
#include "base/random.h"
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

enum { EPOCH = 7, PATTERNS = 400 };

static void put_frame(struct buffer *out, uint8_t type, const char *payload, size_t size)
{
    uint8_t head[AMQP_FRAME_HEADER_SIZE];
    const uint8_t end = AMQP_FRAME_END;

    amqp_frame_encode_header(head, type, 1, (uint32_t)size);
    buffer_append(out, bytes_of(head, sizeof(head)));
    buffer_append(out, bytes_of(payload, size));
    buffer_append(out, bytes_of(&end, 1));
}

static void put_publish(struct buffer *out, const char *exchange, const char *key)
{
    const struct amqp_method m = {
        .id = AMQP_BASIC_PUBLISH,
        .basic_publish = {.exchange = bytes_from_string(exchange),
                          .routing_key = bytes_from_string(key)},
    };

    amqp_method_frame_encode(1, &m, out);
    put_frame(out, AMQP_FRAME_HEADER, "not looked at", 13);
    put_frame(out, AMQP_FRAME_BODY, "body", 4);
}

static void begin(struct world *w)
{
    world_begin(w);
    add_queue(w, "q");
    declare(w, "t", "topic", NULL);
    declare(w, "d", "direct", NULL);
    for (int i = 0; i < PATTERNS; i++) {
        char key[32];

        snprintf(key, sizeof(key), "a.%d", i);
        bind(w, "t", "q", key, NULL);
        bind(w, "d", "q", key, NULL);
        snprintf(key, sizeof(key), "a.%d.*", i);
        bind(w, "t", "q", key, NULL);
        snprintf(key, sizeof(key), "*.%d.x", i);
        bind(w, "t", "q", key, NULL);
    }
}

static struct route_hint hint_for(struct world *w, const char *exchange, struct bytes input)
{
    struct route_hint hint = {.epoch = EPOCH};

    route_ahead(&hint, topology_find_exchange(w->topology, bytes_from_string(exchange)), EPOCH,
                input);
    ck_assert_uint_eq(hint.epoch, EPOCH);
    return hint;
}

static struct route_hint expected_hint(struct world *w, const char *exchange, const char *key)
{
    struct route_hint hint = {.count = 0};

    exchange_look_ahead(topology_find_exchange(w->topology, bytes_from_string(exchange)),
                        bytes_from_string(key), &hint);
    return hint;
}

START_TEST(hint_is_of_the_publish_after_the_next)
{
    static const char *const EXCHANGES[] = {"t", "d"};
    struct buffer input;
    struct world w;

    begin(&w);
    for (int i = 0; i < 2; i++) {
        struct route_hint expected = expected_hint(&w, EXCHANGES[i], "a.17");
        struct route_hint found;

        buffer_init(&input);
        put_publish(&input, EXCHANGES[i], "a.3");
        put_publish(&input, EXCHANGES[i], "a.17");
        found = hint_for(&w, EXCHANGES[i], buffer_bytes(&input));
        ck_assert_uint_ne(found.count, 0);
        ck_assert_uint_eq(found.count, expected.count);
        for (uint32_t k = 0; k < found.count; k++) {
            ck_assert_ptr_eq(found.places[k].index, expected.places[k].index);
            ck_assert_uint_eq(found.places[k].hash, expected.places[k].hash);
        }
        route_hint_follow(&found);
        buffer_free(&input);
    }
    world_end(&w);
}
END_TEST

START_TEST(publish_to_another_exchange_gives_no_hint)
{
    struct buffer input;
    struct world w;

    begin(&w);
    buffer_init(&input);
    put_publish(&input, "t", "a.3");
    put_publish(&input, "d", "a.17");
    ck_assert_uint_eq(hint_for(&w, "t", buffer_bytes(&input)).count, 0);
    buffer_free(&input);
    world_end(&w);
}
END_TEST

START_TEST(exchange_without_bindings_gives_no_place_to_follow)
{
    struct route_hint hint;
    struct world w;

    world_begin(&w);
    hint = expected_hint(&w, "amq.topic", "a.b");
    route_hint_follow(&hint);
    hint = expected_hint(&w, "amq.direct", "a.b");
    route_hint_follow(&hint);
    hint = expected_hint(&w, "amq.fanout", "a.b");
    ck_assert_uint_eq(hint.count, 0);
    hint = expected_hint(&w, "", "a.b");
    ck_assert_uint_eq(hint.count, 0);
    world_end(&w);
}
END_TEST

/* The input is whatever a peer sends; copies of exactly its size let a sanitizer see a read behind
 * it. */
static struct route_hint hint_for_copy(struct world *w, struct bytes input)
{
    uint8_t *copy = malloc(input.size + 1);
    struct route_hint hint;

    memcpy(copy + 1, input.data, input.size);
    hint = hint_for(w, "t", bytes_of(copy + 1, input.size));
    free(copy);
    return hint;
}

START_TEST(cut_input_gives_no_hint)
{
    struct buffer input;
    struct world w;
    size_t whole;

    begin(&w);
    buffer_init(&input);
    put_publish(&input, "t", "a.3");
    put_publish(&input, "t", "a.17");
    whole = input.size - (AMQP_FRAME_HEADER_SIZE + 13 + 1) - (AMQP_FRAME_HEADER_SIZE + 4 + 1);
    for (size_t size = 0; size <= input.size; size++)
        ck_assert_uint_eq(hint_for_copy(&w, bytes_of(input.data, size)).count != 0, size >= whole);
    buffer_free(&input);
    world_end(&w);
}
END_TEST

START_TEST(garbled_input_is_survived)
{
    struct random_sequence random;
    struct buffer input;
    struct world w;

    begin(&w);
    random_sequence_seed(&random, first_seed());
    buffer_init(&input);
    for (int round = 0; round < 20000; round++) {
        buffer_clear(&input);
        put_publish(&input, "t", random_key(&random, 4, false));
        put_publish(&input, "t", random_key(&random, 4, false));
        for (int i = 0; i < 3; i++)
            input.data[random_sequence_below(&random, input.size)] =
                (uint8_t)random_sequence_next(&random);
        hint_for_copy(&w, buffer_bytes(&input));
    }
    buffer_free(&input);
    world_end(&w);
}
END_TEST

UNIT_MAIN("route_ahead", hint_is_of_the_publish_after_the_next,
          publish_to_another_exchange_gives_no_hint,
          exchange_without_bindings_gives_no_place_to_follow, cut_input_gives_no_hint,
          garbled_input_is_survived)
