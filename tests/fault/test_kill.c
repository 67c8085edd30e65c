/* A broker that is killed at random moments, over and over on one data directory, loses nothing
 * that it promised.
 *
 * LEVERET_FAULT_ROUNDS  how often it is killed (10)
 * LEVERET_FAULT_SEED    of all choices; printed. Where in the work the kill strikes is up to the
 *                       system, so a seed repeats a run only roughly.
 * LEVERET_FAULT_WORKERS the number of workers of every life; else 1, 2 or 4, chosen for each.
 *
 * LEVERET_FAULT_KEEP    copies the data directory before each start, to data.before beside it
 *
 * What is held to, after every restart:
 * - a persistent message that was confirmed is in each of its queues, once, unless a settle of it
 *   was sent; tx.commit-ok is as good as a confirm;
 * - an ack is for good when a persistent message that the same channel published to the same queue
 *   after it is confirmed; likewise the mark that a message was delivered, and a rejected message's
 *   arrival where dead letters go (with a message published there after that);
 * - a rejected message is in its queue or where dead letters go, whatever journals those are in;
 * - what is not there after one restart is not there after the next; what is there stays;
 * - a message that never came to a client is marked redelivered only where a delivery may have
 *   been under way;
 * - transient messages are gone; each publisher's messages are in their order;
 * - what was declared, bound or deleted with an answer is so. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/fault/declarer.h"
#include "tests/wire/harness.h"

enum {
    PUBLISHERS = 6,
    TX_PUBLISHERS = 1,
    CONSUMERS = 7,
    TX_CONSUMERS = 1,
    DECLARERS = 2,
    INSPECTOR = 60, /* as a publisher */
    BACKLOG_MAX = 4000,
};

static const char *const QUEUE_NAMES[QUEUE_COUNT] = {
    "one",   "hundred", "letters", "tx",    "fan.0", "fan.1", "fan.2",
    "fan.3", "fan.4",   "fan.5",   "fan.6", "fan.7", "dead",
};

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "journal:\n"
                             "  segment_size: 1MiB\n";

/* Bodies leave memory as soon as they may. */
static const char PAGING_CONFIG[] = "listeners:\n"
                                    "  - {address: 127.0.0.1, port: @PORT@}\n"
                                    "workers: @WORKERS@\n"
                                    "journal:\n"
                                    "  segment_size: 1MiB\n"
                                    "memory:\n"
                                    "  target: 1MiB\n"
                                    "  high_watermark: 1GiB\n";

static struct trial trial;
static struct declarer declarers[DECLARERS];

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] != '\0' ? strtoull(value, NULL, 10) : otherwise;
}

static void pause_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};

    nanosleep(&t, NULL);
}

/* ---- What all lives have ---- */

/* Each queue from a connection of its own, so that they come into different journals. */
static void declare_all(struct broker *b)
{
    struct channel *ch = open_channel(connect_client_to(b));

    declare_exchange(ch, "fan", "fanout", DURABLE, NO_ARGS);
    declare_exchange(ch, "letters.dead", "fanout", DURABLE, NO_ARGS);
    for (int i = 0; i < QUEUE_COUNT; i++) {
        close_client(ch->client);
        ch = open_channel(connect_client_to(b));
        if (i == QUEUE_LETTERS)
            declare_queue(ch, QUEUE_NAMES[i], DURABLE,
                          ARGS(arg_string("x-dead-letter-exchange", "letters.dead")));
        else
            declare_queue(ch, QUEUE_NAMES[i], DURABLE, NO_ARGS);
        if (i >= QUEUE_FAN && i < QUEUE_FAN + QUEUE_FAN_COUNT)
            bind_queue(ch, QUEUE_NAMES[i], "fan", "", NO_ARGS);
    }
    bind_queue(ch, "dead", "letters.dead", "", NO_ARGS);
    close_client(ch->client);
}

/* ---- Inspection ---- */

static void check_death(const struct link_event *e, uint32_t id)
{
    const amqp_field_value_t *deaths;
    const amqp_table_t *death;

    if (!(trial.ledger.messages[id].targets & 1u << QUEUE_LETTERS))
        return; /* published to the queue of the dead itself */
    deaths = table_field(&e->properties->headers, "x-death");
    if (!(e->properties->_flags & AMQP_BASIC_HEADERS_FLAG) || deaths == NULL ||
        deaths->kind != AMQP_FIELD_KIND_ARRAY || deaths->value.array.num_entries != 1 ||
        deaths->value.array.entries[0].kind != AMQP_FIELD_KIND_TABLE) {
        ledger_violation(&trial.ledger, "dead: message %u does not tell its death", id);
        return;
    }
    death = &deaths->value.array.entries[0].value.table;
    if (!field_is_string(table_field(death, "queue"), "letters") ||
        !field_is_string(table_field(death, "reason"), "rejected") ||
        !field_is_int(table_field(death, "count"), 1) ||
        !field_is_string(table_field(&e->properties->headers, "x-first-death-queue"), "letters"))
        ledger_violation(&trial.ledger, "dead: message %u tells another death", id);
}

static uint32_t announced(struct link *l, int queue)
{
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes(QUEUE_NAMES[queue]), .passive = true};
    const amqp_queue_declare_ok_t *ok =
        link_call(l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD);

    if (ok == NULL) {
        ledger_violation(&trial.ledger, "%s is not there", QUEUE_NAMES[queue]);
        return 0;
    }
    return ok->message_count;
}

/* Publishes a persistent message to the queue and waits for its confirm: what went before is in the
 * journal then. */
static void publish_mark(struct link *l, int queue)
{
    uint32_t id = ledger_add(&trial.ledger, INSPECTOR, 1u << queue, true);
    struct ledger_message m = {.persistent = true};
    uint8_t body[LEDGER_MAX_BODY];
    char text_of_id[LEDGER_ID_SIZE];
    amqp_basic_properties_t properties;
    struct link_event e;

    ledger_publish_properties(&m, id, text_of_id, &properties);
    link_publish(l, "", QUEUE_NAMES[queue], false, &properties, body, ledger_body(id, body));
    if (link_next(l, 6 * deadline_ms(), &e) == LINK_EVENT && e.method == AMQP_BASIC_ACK_METHOD)
        ledger_confirm(&trial.ledger, id);
    else
        ledger_violation(&trial.ledger, "%s: no confirm for the inspector", QUEUE_NAMES[queue]);
}

static void take_all(struct link *l, int queue, uint32_t count, uint32_t *ids)
{
    amqp_basic_consume_t consume_all = {
        .queue = amqp_cstring_bytes(QUEUE_NAMES[queue]),
        .consumer_tag = amqp_cstring_bytes("inspector"),
    };
    amqp_basic_cancel_t cancel_it = {.consumer_tag = amqp_cstring_bytes("inspector")};
    struct ledger_inspection inspection;
    struct link_event e;
    bool cancelled = false;
    uint32_t come = 0;
    uint32_t id;

    ledger_inspect_begin(&inspection, queue, queue != QUEUE_DEAD);
    link_call(l, AMQP_BASIC_CONSUME_METHOD, &consume_all, AMQP_BASIC_CONSUME_OK_METHOD);
    for (;;) {
        if (come >= count && !cancelled) {
            cancelled = true;
            link_send(l, AMQP_BASIC_CANCEL_METHOD, &cancel_it);
        }
        if (link_next(l, 3 * deadline_ms(), &e) != LINK_EVENT) {
            ledger_violation(&trial.ledger, "%s: %u messages announced, %u came",
                             QUEUE_NAMES[queue], count, come);
            break;
        }
        if (e.method == AMQP_BASIC_CANCEL_OK_METHOD)
            break;
        if (e.method != AMQP_BASIC_DELIVER_METHOD || come == count) {
            ledger_violation(&trial.ledger, "%s: the inspector got %s", QUEUE_NAMES[queue],
                             amqp_method_name(e.method));
            break;
        }
        id = ledger_inspect(&trial.ledger, &inspection, &e,
                            ((const amqp_basic_deliver_t *)e.fields)->redelivered);
        if (id == UINT32_MAX)
            break;
        ids[come++] = id;
        if (queue == QUEUE_DEAD)
            check_death(&e, id);
    }
    ledger_inspect_end(&trial.ledger, &inspection);
}

/* Holds a queue's content against the ledger, and leaves it there or empties the queue. */
static void inspect_queue(struct broker *b, int queue, bool empty, uint64_t *state)
{
    struct link l;
    uint32_t count;
    uint32_t *ids;

    if (!link_open(&l, b)) {
        ledger_violation(&trial.ledger, "the inspector cannot connect");
        return;
    }
    count = announced(&l, queue);
    ids = calloc((size_t)count + 1, sizeof(*ids));
    take_all(&l, queue, count, ids);
    link_confirm_select(&l);
    if (count != 0 && (empty || count > BACKLOG_MAX || random_below(state, 4) == 0)) {
        amqp_basic_ack_t all = {.delivery_tag = 0, .multiple = true};

        for (uint32_t i = 0; i < count; i++)
            ledger_settle_sent(&trial.ledger, ids[i], queue);
        link_send(&l, AMQP_BASIC_ACK_METHOD, &all);
        if (random_below(state, 2) == 0) {
            publish_mark(&l, queue);
            for (uint32_t i = 0; i < count; i++)
                ledger_settled(&trial.ledger, ids[i], queue);
        }
    } else if (random_below(state, 2) == 0) {
        publish_mark(&l, queue);
        for (uint32_t i = 0; i < count; i++)
            ledger_mark(&trial.ledger, ids[i], queue);
    } else {
        amqp_basic_nack_t all = {.delivery_tag = 0, .multiple = true, .requeue = true};

        if (count != 0)
            link_send(&l, AMQP_BASIC_NACK_METHOD, &all);
        announced(&l, queue);
    }
    link_drop(&l);
    free(ids);
}

static void inspect_all(struct broker *b, bool last, uint64_t *state)
{
    struct link l;

    ledger_next_life(&trial.ledger);
    if (!link_open(&l, b)) {
        ledger_violation(&trial.ledger, "cannot connect");
        return;
    }
    for (int i = 0; i < DECLARERS; i++)
        declarer_inspect(&declarers[i], &l);
    link_drop(&l);
    for (int i = 0; i < QUEUE_COUNT; i++) {
        if (last || random_below(state, 10) < 7)
            inspect_queue(b, i, last, state);
    }
}

/* ---- A life ---- */

struct crew {
    pthread_t threads[32];
    int count;
    struct publisher publishers[PUBLISHERS + TX_PUBLISHERS];
    struct consumer consumers[CONSUMERS + TX_CONSUMERS];
};

static void send_out(struct crew *c, void *(*run)(void *), void *actor)
{
    ck_assert_int_eq(pthread_create(&c->threads[c->count++], NULL, run, actor), 0);
}

static void send_out_all(struct crew *c, uint64_t *state)
{
    const struct publisher publishers[PUBLISHERS + TX_PUBLISHERS] = {
        {&trial, 1, 1, 500, "", QUEUE_ONE, 1, false},
        {&trial, 2, 100, 2000, "", QUEUE_HUNDRED, 2, false},
        {&trial, 3, 1000, 3000, "", QUEUE_ONE, 3, false},
        {&trial, 4, 50, 500, "fan", QUEUE_FAN, QUEUE_FAN_COUNT, true},
        {&trial, 5, 1000, 400, "fan", QUEUE_FAN, QUEUE_FAN_COUNT, true},
        {&trial, 6, 10, 500, "", QUEUE_FAN, QUEUE_FAN_COUNT, false},
        {&trial, 7, 0, 2000, "", QUEUE_TX, 1, false},
    };
    const struct consumer consumers[CONSUMERS + TX_CONSUMERS] = {
        {&trial, 20, QUEUE_ONE, -1},
        {&trial, 21, QUEUE_HUNDRED, -1},
        {&trial, 22, QUEUE_LETTERS, QUEUE_DEAD},
        {&trial, 23, QUEUE_LETTERS, QUEUE_DEAD},
        {&trial, 24, QUEUE_FAN, -1},
        {&trial, 25, QUEUE_FAN + 1, -1},
        {&trial, 26, QUEUE_DEAD, -1},
        {&trial, 27, QUEUE_TX, -1},
    };

    c->count = 0;
    memcpy(c->publishers, publishers, sizeof(publishers));
    memcpy(c->consumers, consumers, sizeof(consumers));
    for (int i = 0; i < PUBLISHERS; i++)
        send_out(c, run_publisher, &c->publishers[i]);
    send_out(c, run_tx_publisher, &c->publishers[PUBLISHERS]);
    for (int i = 0; i < CONSUMERS; i++) {
        if (random_below(state, 4) != 0)
            send_out(c, run_consumer, &c->consumers[i]);
    }
    if (random_below(state, 4) != 0)
        send_out(c, run_tx_consumer, &c->consumers[CONSUMERS]);
    for (int i = 0; i < DECLARERS; i++)
        send_out(c, run_declarer, &declarers[i]);
}

static void live(struct broker *b, uint64_t *state)
{
    static struct crew crew;
    bool clean = random_below(state, 8) == 0;

    send_out_all(&crew, state);
    pause_ms(20 + random_below(state, 600));
    if (!(clean ? broker_end(b) : broker_kill(b)))
        ledger_violation(&trial.ledger, "the broker did not end as it should");
    for (int i = 0; i < crew.count; i++)
        pthread_join(crew.threads[i], NULL);
}

/* For a look at what a restart found. */
static void keep_data(const struct broker *b)
{
    char data[512];
    char command[4096];

    broker_data_directory(b, data, sizeof(data));
    snprintf(command, sizeof(command),
             "rm -rf %s.before.1; mv %s.before %s.before.1 2>/dev/null; cp -a %s %s.before", data,
             data, data, data, data);
    if (system(command) != 0)
        fprintf(stderr, "cannot copy %s\n", data);
}

/* The first life has four workers, so that there are four journals. */
static void launch(struct broker *b, uint64_t *state)
{
    static const int choices[] = {1, 2, 4};
    int workers = (int)number_of("LEVERET_FAULT_WORKERS", 0);
    bool paging = random_below(state, 3) == 0;
    int chosen = trial.round == 0 ? 4 : choices[random_below(state, 3)];

    set_test_workers(1, random_below(state, 2) == 0);
    snprintf(trial.ledger.context, sizeof(trial.ledger.context),
             "seed %llu, round %d, %d workers%s", (unsigned long long)trial.seed, trial.round,
             workers != 0 ? workers : chosen, paging ? ", paging" : "");
    if (getenv("LEVERET_FAULT_KEEP") != NULL)
        keep_data(b);
    broker_launch(b, paging ? PAGING_CONFIG : CONFIG, workers != 0 ? workers : chosen);
}

START_TEST(nothing_promised_is_lost_when_the_broker_is_killed)
{
    int rounds = (int)number_of("LEVERET_FAULT_ROUNDS", 10);
    struct broker *b = broker_prepare();
    uint64_t state;

    trial.seed = number_of("LEVERET_FAULT_SEED", (uint64_t)time(NULL) % 1000000);
    trial.broker = b;
    state = trial.seed;
    printf("%d rounds, LEVERET_FAULT_SEED=%llu\n", rounds, (unsigned long long)trial.seed);
    ledger_init(&trial.ledger);
    for (int i = 0; i < QUEUE_COUNT; i++)
        trial.ledger.queue_names[i] = QUEUE_NAMES[i];
    for (int i = 0; i < DECLARERS; i++)
        declarer_init(&declarers[i], &trial, i);
    launch(b, &state);
    declare_all(b);
    for (trial.round = 1; trial.round <= rounds && trial.ledger.violations == 0; trial.round++) {
        live(b, &state);
        launch(b, &state);
        inspect_all(b, trial.round == rounds, &state);
    }
    if (trial.ledger.violations != 0)
        broker_show_log(b);
    ck_assert_msg(trial.ledger.violations == 0, "%d promises broken (%s)", trial.ledger.violations,
                  trial.ledger.context);
    printf("%u messages\n", trial.ledger.count);
    ck_assert(broker_stop(b));
    ledger_free(&trial.ledger);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kill");
    TCase *tcase = tcase_create("kill");

    tcase_set_timeout(tcase, 3600);
    tcase_add_test(tcase, nothing_promised_is_lost_when_the_broker_is_killed);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
