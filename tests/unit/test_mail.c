#include "server/mail.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the tests mail: a number from a sender. */
struct note {
    struct mail_record record;
    uint64_t number;
};

/* The numbers that follow the head, as many as there is room for. */
struct notes {
    struct mail_record record;
    uint64_t numbers[];
};

static void handle_note(struct worker *w, struct mail_record *r)
{
    (void)w;
    (void)r;
}

static void handle_other(struct worker *w, struct mail_record *r)
{
    (void)w;
    (void)r;
    ck_abort_msg("never handled");
}

static void append_note(struct mail_batch **batch, uint32_t from, uint64_t number)
{
    struct note *n = (struct note *)mail_batch_append(batch, from, sizeof(*n), handle_note);

    n->number = number;
}

/* The record at the offset, and the offset behind it. */
static struct mail_record *next_record(struct mail_batch *batch, uint32_t *offset)
{
    struct mail_record *r = (struct mail_record *)(void *)(batch->data + *offset);

    *offset += r->size;
    return r;
}

START_TEST(records_come_out_as_they_went_in)
{
    struct mail_batch *batch = NULL;
    uint32_t offset = 0;

    append_note(&batch, 3, 11);
    append_note(&batch, 4, 12);
    for (uint64_t i = 0; i < 2; i++) {
        struct note *n = (struct note *)next_record(batch, &offset);

        ck_assert(n->record.handle == handle_note);
        ck_assert_uint_eq(n->record.from, 3 + i);
        ck_assert_uint_eq(n->number, 11 + i);
    }
    ck_assert_uint_eq(offset, batch->size);
    free(batch);
}
END_TEST

START_TEST(records_of_any_size_are_aligned)
{
    struct mail_batch *batch = NULL;
    uint32_t offset = 0;

    for (size_t more = 0; more < 40; more++) {
        struct mail_record *r = mail_batch_append(&batch, 0, sizeof(*r) + more, handle_note);

        ck_assert_uint_eq((uintptr_t)r % 8, 0);
        ck_assert_uint_ge(r->size, sizeof(*r) + more);
        memset(r + 1, (int)more, more);
    }
    for (size_t more = 0; more < 40; more++) {
        struct mail_record *r = next_record(batch, &offset);
        const uint8_t *content = (const uint8_t *)(r + 1);

        for (size_t i = 0; i < more; i++)
            ck_assert_uint_eq(content[i], more);
    }
    free(batch);
}
END_TEST

START_TEST(batch_grows_and_keeps_its_records)
{
    enum { COUNT = 100000 };
    struct mail_batch *batch = NULL;
    uint32_t offset = 0;

    for (uint64_t i = 0; i < COUNT; i++)
        append_note(&batch, 1, i);
    for (uint64_t i = 0; i < COUNT; i++)
        ck_assert_uint_eq(((struct note *)next_record(batch, &offset))->number, i);
    ck_assert_uint_eq(offset, batch->size);
    free(batch);
}
END_TEST

START_TEST(record_larger_than_a_batch_fits)
{
    enum { LARGE = 1 << 20 };
    struct mail_batch *batch = NULL;
    struct mail_record *r = mail_batch_append(&batch, 1, LARGE, handle_note);

    memset(r + 1, 7, LARGE - sizeof(*r));
    r = mail_batch_append(&batch, 1, LARGE, handle_note);
    memset(r + 1, 8, LARGE - sizeof(*r));
    ck_assert_uint_eq(batch->size, 2 * LARGE);
    ck_assert_uint_eq(batch->data[LARGE - 1], 7);
    free(batch);
}
END_TEST

START_TEST(last_record_is_known_by_its_handler)
{
    struct mail_batch *batch = NULL;

    ck_assert_ptr_null(mail_batch_last(batch, handle_note));
    append_note(&batch, 1, 5);
    ck_assert_ptr_null(mail_batch_last(batch, handle_other));
    ck_assert_uint_eq(((struct note *)mail_batch_last(batch, handle_note))->number, 5);
    append_note(&batch, 1, 6);
    ck_assert_uint_eq(((struct note *)mail_batch_last(batch, handle_note))->number, 6);
    mail_batch_append(&batch, 1, sizeof(struct mail_record), handle_other);
    ck_assert_ptr_null(mail_batch_last(batch, handle_note));
    free(batch);
}
END_TEST

START_TEST(extended_record_keeps_its_content_and_its_neighbours)
{
    enum { COUNT = 10000 };
    struct mail_batch *batch = NULL;
    struct notes *n;
    uint32_t offset = 0;

    append_note(&batch, 1, 77);
    mail_batch_append(&batch, 2, sizeof(*n), handle_note);
    for (uint64_t i = 0; i < COUNT; i++) {
        n = (struct notes *)mail_batch_extend_last(&batch, sizeof(n->numbers[0]));
        ck_assert_uint_eq(n->record.size, sizeof(*n) + (i + 1) * sizeof(n->numbers[0]));
        n->numbers[i] = i;
    }
    append_note(&batch, 3, 78);

    ck_assert_uint_eq(((struct note *)next_record(batch, &offset))->number, 77);
    n = (struct notes *)next_record(batch, &offset);
    ck_assert_uint_eq(n->record.from, 2);
    for (uint64_t i = 0; i < COUNT; i++)
        ck_assert_uint_eq(n->numbers[i], i);
    ck_assert_uint_eq(((struct note *)next_record(batch, &offset))->number, 78);
    ck_assert_uint_eq(offset, batch->size);
    free(batch);
}
END_TEST

static void push_note(struct mailbox *m, uint32_t from, uint64_t number)
{
    struct mail_batch *batch = NULL;

    append_note(&batch, from, number);
    mailbox_push(m, batch);
}

START_TEST(batches_are_taken_oldest_first)
{
    struct mailbox m;
    struct mail_batch *batch;

    ck_assert_int_eq(mailbox_init(&m), 0);
    ck_assert_ptr_null(mailbox_take(&m));
    for (uint64_t i = 0; i < 5; i++)
        push_note(&m, 0, i);
    batch = mailbox_take(&m);
    ck_assert_ptr_null(mailbox_take(&m));
    for (uint64_t i = 0; i < 5; i++) {
        struct mail_batch *next = batch->next;
        uint32_t offset = 0;

        ck_assert_uint_eq(((struct note *)next_record(batch, &offset))->number, i);
        free(batch);
        batch = next;
    }
    ck_assert_ptr_null(batch);
    mailbox_close(&m);
}
END_TEST

START_TEST(what_was_not_taken_is_freed)
{
    struct mailbox m;

    ck_assert_int_eq(mailbox_init(&m), 0);
    for (uint64_t i = 0; i < 5; i++)
        push_note(&m, 0, i);
    mailbox_close(&m); /* the leak checker sees the rest */
}
END_TEST

static bool woken(const struct mailbox *m)
{
    struct pollfd p = {.fd = m->wake_fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

START_TEST(only_one_that_sleeps_is_woken_and_once)
{
    struct mailbox m;
    uint64_t count = 0;

    ck_assert_int_eq(mailbox_init(&m), 0);
    push_note(&m, 0, 1);
    ck_assert(!woken(&m));
    free(mailbox_take(&m));

    ck_assert(!mailbox_prepare_sleep(&m));
    push_note(&m, 0, 2);
    push_note(&m, 0, 3);
    ck_assert_int_eq(read(m.wake_fd, &count, sizeof(count)), sizeof(count));
    ck_assert_uint_eq(count, 1);
    mailbox_close(&m);
}
END_TEST

START_TEST(one_with_mail_must_not_sleep)
{
    struct mailbox m;

    ck_assert_int_eq(mailbox_init(&m), 0);
    push_note(&m, 0, 1);
    ck_assert(mailbox_prepare_sleep(&m));
    mailbox_awake(&m);
    push_note(&m, 0, 2);
    ck_assert(!woken(&m));
    mailbox_close(&m);
}
END_TEST

START_TEST(wake_up_is_cleared)
{
    struct mailbox m;

    ck_assert_int_eq(mailbox_init(&m), 0);
    ck_assert(!mailbox_prepare_sleep(&m));
    push_note(&m, 0, 1);
    ck_assert(woken(&m));
    mailbox_clear_wake(&m);
    ck_assert(!woken(&m));
    mailbox_clear_wake(&m); /* nothing there: does not block */
    mailbox_close(&m);
}
END_TEST

/* ---- Threads ---- */

enum {
    SENDERS = 4,
    NOTES_EACH = 40000,
    WAKE_TIMEOUT_MS = 60000,
};

struct sender {
    pthread_t thread;
    struct mailbox *to;
    uint32_t id;
};

/* Pushes its numbers in order, in batches of one to seven. */
static void *send_notes(void *argument)
{
    const struct sender *s = argument;
    uint64_t number = 0;

    while (number < NOTES_EACH) {
        struct mail_batch *batch = NULL;

        for (uint64_t n = 1 + number % 7; n != 0 && number < NOTES_EACH; n--)
            append_note(&batch, s->id, number++);
        mailbox_push(s->to, batch);
    }
    return NULL;
}

/* Sleeps as a worker does: until the wake-up, which must come when there is mail. */
static void sleep_until_woken(struct mailbox *m)
{
    struct pollfd p = {.fd = m->wake_fd, .events = POLLIN};

    if (!mailbox_prepare_sleep(m)) {
        int count = poll(&p, 1, WAKE_TIMEOUT_MS);

        ck_assert_msg(count == 1 || (count < 0 && errno == EINTR), "a wake-up was lost");
    }
    mailbox_awake(m);
    if (woken(m))
        mailbox_clear_wake(m);
}

/* Takes what is there and expects each sender's numbers in order. Returns how many came. */
static uint64_t take_notes(struct mailbox *m, uint64_t expected[SENDERS])
{
    struct mail_batch *batch = mailbox_take(m);
    uint64_t taken = 0;

    while (batch != NULL) {
        struct mail_batch *next = batch->next;

        for (uint32_t offset = 0; offset < batch->size; taken++) {
            struct note *n = (struct note *)next_record(batch, &offset);

            ck_assert_uint_lt(n->record.from, SENDERS);
            ck_assert_uint_eq(n->number, expected[n->record.from]++);
        }
        free(batch);
        batch = next;
    }
    return taken;
}

START_TEST(every_sender_is_heard_in_its_order)
{
    struct mailbox m;
    struct sender senders[SENDERS];
    uint64_t expected[SENDERS] = {0};
    uint64_t taken = 0;

    ck_assert_int_eq(mailbox_init(&m), 0);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.to = &m, .id = i};
        ck_assert_int_eq(pthread_create(&senders[i].thread, NULL, send_notes, &senders[i]), 0);
    }
    while (taken < SENDERS * NOTES_EACH) {
        sleep_until_woken(&m);
        taken += take_notes(&m, expected);
    }
    for (uint32_t i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_join(senders[i].thread, NULL), 0);
    ck_assert_ptr_null(mailbox_take(&m));
    mailbox_close(&m);
}
END_TEST

struct echo {
    pthread_t thread;
    struct mailbox ping;
    struct mailbox pong;
};

enum { ROUNDS = 30000 };

static void *echo_notes(void *argument)
{
    struct echo *e = argument;
    uint64_t expected[SENDERS] = {0};

    for (uint64_t round = 0; round < ROUNDS; round++) {
        while (take_notes(&e->ping, expected) == 0)
            sleep_until_woken(&e->ping);
        push_note(&e->pong, 0, round);
    }
    return NULL;
}

/* Each side sleeps while the other one works, so one lost wake-up stops both for good. */
START_TEST(no_wake_up_is_lost_between_two_that_take_turns)
{
    struct echo e;
    uint64_t expected[SENDERS] = {0};

    ck_assert_int_eq(mailbox_init(&e.ping), 0);
    ck_assert_int_eq(mailbox_init(&e.pong), 0);
    ck_assert_int_eq(pthread_create(&e.thread, NULL, echo_notes, &e), 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        push_note(&e.ping, 0, round);
        while (take_notes(&e.pong, expected) == 0)
            sleep_until_woken(&e.pong);
    }
    ck_assert_int_eq(pthread_join(e.thread, NULL), 0);
    mailbox_close(&e.ping);
    mailbox_close(&e.pong);
}
END_TEST

UNIT_MAIN("mail", records_come_out_as_they_went_in, records_of_any_size_are_aligned,
          batch_grows_and_keeps_its_records, record_larger_than_a_batch_fits,
          last_record_is_known_by_its_handler, extended_record_keeps_its_content_and_its_neighbours,
          batches_are_taken_oldest_first, what_was_not_taken_is_freed,
          only_one_that_sleeps_is_woken_and_once, one_with_mail_must_not_sleep, wake_up_is_cleared,
          every_sender_is_heard_in_its_order, no_wake_up_is_lost_between_two_that_take_turns)
