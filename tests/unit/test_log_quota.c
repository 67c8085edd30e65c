#include "base/log_quota.h"
#include "tests/unit/unit.h"

static struct log_quota quota;

static unsigned written_of(unsigned lines, int64_t now_ms)
{
    unsigned written = 0;

    for (unsigned i = 0; i < lines; i++)
        written += log_quota_take(&quota, now_ms);
    return written;
}

START_TEST(few_lines_are_all_written)
{
    quota = (struct log_quota){.end_ms = 0};
    for (int64_t now_ms = 0; now_ms < 60000; now_ms += 100)
        ck_assert(log_quota_take(&quota, now_ms));
    ck_assert_uint_eq(log_quota_tell(&quota), 0);
}
END_TEST

START_TEST(a_flood_is_written_in_part_and_counted)
{
    quota = (struct log_quota){.end_ms = 0};
    ck_assert_uint_eq(written_of(1000, 5000), LOG_QUOTA_LINES);
    ck_assert_uint_eq(written_of(10, 5999), 0);
    ck_assert_uint_eq(log_quota_tell(&quota), 1010 - LOG_QUOTA_LINES);
    ck_assert_uint_eq(log_quota_tell(&quota), 0);
}
END_TEST

START_TEST(each_second_has_its_own_lines)
{
    quota = (struct log_quota){.end_ms = 0};
    ck_assert_uint_eq(written_of(100, 5000), LOG_QUOTA_LINES);
    ck_assert_uint_eq(written_of(100, 6000), LOG_QUOTA_LINES);
    ck_assert_uint_eq(written_of(100, 6500), 0);
    ck_assert_uint_eq(written_of(100, 7000), LOG_QUOTA_LINES);
    ck_assert_uint_eq(log_quota_tell(&quota), 400 - 3 * LOG_QUOTA_LINES);
}
END_TEST

START_TEST(there_may_be_more_lines)
{
    quota = (struct log_quota){.lines = 50};
    ck_assert_uint_eq(log_quota_lines(&quota), 50);
    ck_assert_uint_eq(written_of(1000, 5000), 50);
    ck_assert_uint_eq(log_quota_tell(&quota), 950);
}
END_TEST

UNIT_MAIN("log_quota", few_lines_are_all_written, a_flood_is_written_in_part_and_counted,
          each_second_has_its_own_lines, there_may_be_more_lines)
