#include "base/buffer.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void append_string(struct buffer *b, const char *s)
{
    buffer_append(b, bytes_from_string(s));
}

static void expect_content(const struct buffer *b, const char *content)
{
    ck_assert_msg(bytes_equal_string(buffer_bytes(b), content), "\"%.*s\" is not \"%s\"",
                  BYTES_ARGS(buffer_bytes(b)), content);
}

START_TEST(empty_buffer_allocates_nothing)
{
    struct buffer b;

    buffer_init(&b);
    buffer_append(&b, bytes_of(NULL, 0));
    buffer_consume(&b, 0);
    ck_assert_ptr_null(buffer_reserve(&b, 0));
    ck_assert_uint_eq(b.capacity, 0);
    expect_content(&b, "");
    buffer_free(&b);
}
END_TEST

START_TEST(appended_bytes_follow_each_other)
{
    struct buffer b;

    buffer_init(&b);
    append_string(&b, "ear");
    append_string(&b, "");
    append_string(&b, "s up");
    expect_content(&b, "ears up");
    buffer_free(&b);
}
END_TEST

START_TEST(content_survives_growth)
{
    struct buffer b;

    buffer_init(&b);
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t byte = (uint8_t)(i % 251);

        buffer_append(&b, bytes_of(&byte, 1));
    }
    ck_assert_uint_eq(b.size, 100000);
    ck_assert_uint_ge(b.capacity, b.size);
    for (unsigned i = 0; i < 100000; i++)
        ck_assert_uint_eq(b.data[i], i % 251);
    buffer_free(&b);
}
END_TEST

START_TEST(reserved_room_is_behind_the_content)
{
    struct buffer b;
    uint8_t *room;

    buffer_init(&b);
    append_string(&b, "abc");
    room = buffer_reserve(&b, 10000);
    ck_assert_ptr_eq(room, b.data + 3);
    ck_assert_uint_ge(b.capacity, 10003);
    memset(room, 'd', 10000);
    expect_content(&b, "abc");
    b.size += 2;
    expect_content(&b, "abcdd");
    buffer_free(&b);
}
END_TEST

START_TEST(cleared_buffer_keeps_its_memory)
{
    struct buffer b;
    size_t capacity;

    buffer_init(&b);
    append_string(&b, "abc");
    capacity = b.capacity;
    buffer_clear(&b);
    expect_content(&b, "");
    ck_assert_uint_eq(b.capacity, capacity);
    append_string(&b, "d");
    expect_content(&b, "d");
    buffer_free(&b);
}
END_TEST

START_TEST(consumed_bytes_leave_the_front)
{
    struct buffer b;

    buffer_init(&b);
    append_string(&b, "abcdef");
    buffer_consume(&b, 2);
    expect_content(&b, "cdef");
    append_string(&b, "g");
    expect_content(&b, "cdefg");
    buffer_consume(&b, 5);
    expect_content(&b, "");
    buffer_free(&b);
}
END_TEST

START_TEST(formatted_text_has_no_terminator)
{
    struct buffer b;

    buffer_init(&b);
    append_string(&b, "<");
    buffer_append_format(&b, "%s=%d", "n", -7);
    append_string(&b, ">");
    expect_content(&b, "<n=-7>");
    buffer_append_format(&b, "%0*d", 5000, 1);
    ck_assert_uint_eq(b.size, 5006);
    ck_assert_uint_eq(b.data[5005], '1');
    buffer_free(&b);
}
END_TEST

START_TEST(freed_buffer_is_usable_again)
{
    struct buffer b;

    buffer_init(&b);
    append_string(&b, "abc");
    buffer_free(&b);
    ck_assert_ptr_null(b.data);
    append_string(&b, "d");
    expect_content(&b, "d");
    buffer_free(&b);
}
END_TEST

/* Whether a process that reserves `more` behind one byte ends by abort(). */
static bool reserve_aborts(size_t more)
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct buffer b;

        buffer_init(&b);
        append_string(&b, "a");
        buffer_reserve(&b, more);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

START_TEST(impossible_reservation_aborts)
{
    ck_assert(!reserve_aborts(1000));
    ck_assert(reserve_aborts(SIZE_MAX));
    ck_assert(reserve_aborts(SIZE_MAX - 1));
    ck_assert(reserve_aborts(SIZE_MAX / 2));
}
END_TEST

UNIT_MAIN("buffer", empty_buffer_allocates_nothing, appended_bytes_follow_each_other,
          content_survives_growth, reserved_room_is_behind_the_content,
          cleared_buffer_keeps_its_memory, consumed_bytes_leave_the_front,
          formatted_text_has_no_terminator, freed_buffer_is_usable_again,
          impossible_reservation_aborts)
