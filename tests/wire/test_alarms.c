/* Memory and disk alarms (RabbitMQ "Memory and Disk Alarms"): who publishes is not read from and is
 * told so, who does not goes on. */
#include <stdlib.h>
#include <string.h>

#include "tests/wire/raw.h"

enum {
    BODY_SIZE = 64 * 1024,
    BODIES_MAX = 4096, /* 256 MiB, far above the watermark */
};

#define HEAD \
    "listeners:\n" \
    "  - {address: 127.0.0.1, port: @PORT@}\n" \
    "workers: @WORKERS@\n"

/* No paging, which would keep memory below the watermark. */
static const char MEMORY_CONFIG[] = HEAD "memory:\n"
                                         "  target: 1GiB\n"
                                         "  high_watermark: 64MiB\n"
                                         "disk:\n"
                                         "  free_limit: 0\n";

/* No disk has so much. */
static const char DISK_CONFIG[] = HEAD "memory:\n"
                                       "  high_watermark_percent: 0\n"
                                       "disk:\n"
                                       "  free_limit: 1048576GiB\n";

/* What a sanitizer keeps back of freed memory is not the broker's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool UNDER_SANITIZER = true;
#else
static const bool UNDER_SANITIZER = false;
#endif

static struct raw *connect_publisher(const struct broker *b, const char *capability)
{
    struct raw *r = raw_connect(b);

    raw_handshake_with(r, capability, 2047, 131072, 0);
    raw_open_channel(r, 1);
    return r;
}

static void send_publish(struct raw *r, const void *body, size_t size)
{
    struct raw_bytes m = {.size = 0};

    put_u16(&m, 0);
    put_short_string(&m, "");
    put_short_string(&m, "orders");
    put_u8(&m, 0);
    raw_send_method(r, 1, AMQP_BASIC_PUBLISH_METHOD, &m);
    raw_send_header(r, 1, size);
    raw_send_frame(r, 3, 1, body, size);
}

/* A method that is answered when it is read. */
static void send_channel_open(struct raw *r, unsigned channel)
{
    struct raw_bytes m = {.size = 0};

    put_short_string(&m, "");
    raw_send_method(r, channel, AMQP_CHANNEL_OPEN_METHOD, &m);
}

static void expect_blocked(struct raw *r, const char *reason)
{
    struct raw_frame f = raw_expect_method(r, 0, AMQP_CONNECTION_BLOCKED_METHOD);

    ck_assert_uint_eq(f.payload[0], strlen(reason));
    ck_assert_mem_eq(f.payload + 1, reason, strlen(reason));
}

START_TEST(publisher_is_blocked_while_the_disk_is_low_and_others_go_on)
{
    struct broker *b = broker_start(DISK_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));
    struct raw *told;
    struct raw *untold;

    declare_queue(ch, "orders", 0, NO_ARGS);
    told = connect_publisher(b, "connection.blocked");
    untold = connect_publisher(b, NULL);
    send_publish(told, "a", 1);
    expect_blocked(told, "low on disk");
    send_publish(untold, "b", 1);

    /* Who has published is not read from any more, who has not is. */
    send_channel_open(told, 2);
    declare_queue(ch, "others", 0, NO_ARGS);
    ck_assert(!raw_comes(told, 300));
    ck_assert(!raw_comes(untold, 0)); /* it cannot be told */
    raw_close(told);
    raw_close(untold);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(publisher_is_blocked_while_memory_is_above_the_watermark)
{
    static uint8_t body[BODY_SIZE];
    struct broker *b = broker_start(MEMORY_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));
    struct raw *publisher = connect_publisher(b, "connection.blocked");
    int published = 0;

    declare_queue(ch, "orders", 0, NO_ARGS);
    while (!raw_comes(publisher, published < 900 ? 0 : 20)) {
        ck_assert_int_lt(published, BODIES_MAX);
        send_publish(publisher, body, sizeof(body));
        published++;
    }
    expect_blocked(publisher, "low on memory");
    if (!UNDER_SANITIZER) {
        purge_queue(ch, "orders");
        raw_expect_method(publisher, 0, AMQP_CONNECTION_UNBLOCKED_METHOD);
        send_channel_open(publisher, 2);
        raw_expect_method(publisher, 2, AMQP_CHANNEL_OPEN_OK_METHOD);
    }
    raw_close(publisher);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("alarms");
    TCase *tcase = tcase_create("alarms");

    tcase_set_timeout(tcase, 4.0 * deadline_ms() / 1000.0);
    tcase_add_test(tcase, publisher_is_blocked_while_the_disk_is_low_and_others_go_on);
    tcase_add_test(tcase, publisher_is_blocked_while_memory_is_above_the_watermark);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
