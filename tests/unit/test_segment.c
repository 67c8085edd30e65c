#include "store/segment.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct segment_id ID = {.number = 7, .salt = 0x12345678};

static struct message *sample(void)
{
    struct message *m = message_create(bytes_from_string("ex"), bytes_from_string("the.key"),
                                       bytes_of("\x80\x00", 2), 11);

    memcpy(message_body(m), "hello world", 11);
    m->flags = MESSAGE_PERSISTENT | MESSAGE_HAS_HEADERS;
    m->priority = 9;
    return m;
}

/* A sealed MESSAGE record at `offset`. Returns its padded size. */
static uint32_t put_sample(uint8_t *at, uint32_t offset)
{
    struct message *m = sample();
    uint32_t size = record_message_size(m, 0);

    record_put_message(at, size, 5, 99, m, 0);
    records_seal(at, record_padded(size), ID, offset);
    message_unref(m);
    return record_padded(size);
}

START_TEST(an_expiry_comes_back_and_is_none_of_the_message)
{
    struct message *m = sample();
    uint32_t size = record_message_size(m, 1234567890123);
    uint8_t bytes[256];
    uint8_t copy[256];
    struct message *back;
    struct record r;

    ck_assert_uint_eq(size, record_message_size(m, 0) + EXPIRY_SIZE);
    record_put_message(bytes, size, 5, 99, m, 1234567890123);
    records_seal(bytes, record_padded(size), ID, 64);
    ck_assert_int_eq(record_read(&r, bytes, record_padded(size), ID, 64), RECORD_GOOD);
    ck_assert_int_eq(record_expires_ms(&r), 1234567890123);
    ck_assert_uint_eq(record_body_size(&r), 11);
    ck_assert(record_is_message(bytes, m));
    back = record_message(&r);
    ck_assert_uint_eq(back->flags, m->flags);
    ck_assert(bytes_equal(message_body_bytes(back), message_body_bytes(m)));
    message_unref(back);

    /* A copy has what its own queue says. */
    for (int64_t expires_ms = 0; expires_ms <= 7; expires_ms += 7) {
        size = record_copy_size(&r, expires_ms);
        ck_assert_uint_eq(size, record_message_size(m, expires_ms));
        record_put_message_copy(copy, size, &r, 6, 100, expires_ms);
        records_seal(copy, record_padded(size), ID, 64);
        ck_assert_int_eq(record_read(&r, copy, record_padded(size), ID, 64), RECORD_GOOD);
        ck_assert_int_eq(record_expires_ms(&r), expires_ms);
        ck_assert(record_is_message(copy, m));
        record_read(&r, bytes, record_padded(record_message_size(m, 1)), ID, 64);
    }
    message_unref(m);
}
END_TEST

START_TEST(a_reference_has_an_expiry_of_its_own)
{
    uint8_t bytes[64];
    struct record r;

    for (int64_t expires_ms = 0; expires_ms <= 7; expires_ms += 7) {
        uint32_t size = record_padded(record_reference_size(expires_ms));

        record_put_reference(bytes, 5, 99, 4096, expires_ms);
        records_seal(bytes, size, ID, 64);
        ck_assert_int_eq(record_read(&r, bytes, size, ID, 64), RECORD_GOOD);
        ck_assert_uint_eq(record_u32(&r, 0), 4096);
        ck_assert_int_eq(record_expires_ms(&r), expires_ms);
    }
}
END_TEST

START_TEST(a_message_comes_back_as_it_was)
{
    struct message *m = sample();
    struct message *back;
    uint8_t bytes[256];
    struct record r;
    uint32_t size = put_sample(bytes, 64);

    ck_assert_int_eq(record_read(&r, bytes, size, ID, 64), RECORD_GOOD);
    ck_assert_int_eq(r.type, RECORD_MESSAGE);
    ck_assert_uint_eq(r.queue_id, 5);
    ck_assert_uint_eq(r.sequence, 99);
    ck_assert_uint_eq(record_body_size(&r), 11);
    back = record_message(&r);
    ck_assert_uint_eq(back->flags, m->flags);
    ck_assert_uint_eq(back->priority, 9);
    ck_assert(bytes_equal(message_exchange(back), message_exchange(m)));
    ck_assert(bytes_equal(message_routing_key(back), message_routing_key(m)));
    ck_assert(bytes_equal(message_properties(back), message_properties(m)));
    ck_assert(bytes_equal(message_body_bytes(back), message_body_bytes(m)));
    ck_assert(record_is_message(bytes, m));
    message_body(m)[10]++;
    ck_assert(!record_is_message(bytes, m));
    message_unref(back);
    message_unref(m);
}
END_TEST

START_TEST(a_record_in_another_place_is_none)
{
    struct segment_id other_number = {.number = 8, .salt = ID.salt};
    struct segment_id other_salt = {.number = ID.number, .salt = 1};
    uint8_t bytes[256];
    struct record r;
    uint32_t size = put_sample(bytes, 64);

    ck_assert_int_eq(record_read(&r, bytes, size, ID, 72), RECORD_NONE);
    ck_assert_int_eq(record_read(&r, bytes, size, other_number, 64), RECORD_NONE);
    ck_assert_int_eq(record_read(&r, bytes, size, other_salt, 64), RECORD_NONE);
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    uint8_t bytes[256];
    struct record r;
    uint32_t size = put_sample(bytes, 64);

    for (uint32_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        switch (record_read(&r, bytes, size, ID, 64)) {
        case RECORD_NONE:
            ck_assert_uint_lt(bit, RECORD_HEAD_SIZE * 8);
            break;
        case RECORD_CORRUPT: /* the size can be trusted: the next record is found */
            ck_assert(bit < 32 || bit >= RECORD_HEAD_SIZE * 8);
            ck_assert_uint_eq(record_padded(r.size), size);
            break;
        case RECORD_GOOD:
        case RECORD_SHORT:
        case RECORD_UNKNOWN:
            ck_abort_msg("bit %u", bit);
        }
        bytes[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    }
}
END_TEST

START_TEST(a_record_that_goes_on_behind_the_data_is_short)
{
    uint8_t bytes[256];
    struct record r;
    uint32_t size = put_sample(bytes, 64);

    for (uint32_t n = 0; n < size; n++)
        ck_assert_int_eq(record_read(&r, bytes, n, ID, 64),
                         n < RECORD_HEAD_SIZE ? RECORD_NONE : RECORD_SHORT);
    memset(bytes, 0, sizeof(bytes));
    ck_assert_int_eq(record_read(&r, bytes, sizeof(bytes), ID, 64), RECORD_NONE);
}
END_TEST

START_TEST(sound_records_of_unknown_kinds_are_told_from_damage)
{
    uint8_t bytes[64];
    struct record r;

    record_put(bytes, (enum record_type)11, RECORD_HEAD_SIZE, 1, 1);
    records_seal(bytes, RECORD_HEAD_SIZE, ID, 64);
    ck_assert_int_eq(record_read(&r, bytes, sizeof(bytes), ID, 64), RECORD_UNKNOWN);
    /* A known kind with content that it cannot have. */
    record_put(bytes, RECORD_SETTLE, RECORD_HEAD_SIZE, 1, 256);
    records_seal(bytes, RECORD_HEAD_SIZE, ID, 64);
    ck_assert_int_eq(record_read(&r, bytes, sizeof(bytes), ID, 64), RECORD_UNKNOWN);
}
END_TEST

START_TEST(state_runs_come_back)
{
    const struct state_run runs[] = {{1, 1, 0}, {3, 500, 2}, {UINT64_C(1) << 40, 7, UINT32_MAX}};
    uint8_t bytes[256] = {0};
    struct state_run run = {0};
    uint64_t previous_end = 0;
    size_t size = STATE_FIXED_SIZE;
    uint32_t at = 0;
    struct record r;

    for (size_t i = 0; i < 3; i++) {
        size += state_put_run(bytes + size, &runs[i], previous_end);
        previous_end = runs[i].first + runs[i].count;
    }
    {
        uint8_t record[256];

        record_put(record, RECORD_STATE, (uint32_t)size, 4, 1000);
        state_put_fixed(record, 77, 66);
        memcpy(record + STATE_FIXED_SIZE, bytes + STATE_FIXED_SIZE, size - STATE_FIXED_SIZE);
        records_seal(record, record_padded((uint32_t)size), ID, 64);
        memcpy(bytes, record, sizeof(bytes));
    }
    ck_assert_int_eq(record_read(&r, bytes, sizeof(bytes), ID, 64), RECORD_GOOD);
    ck_assert_uint_eq(record_u64(&r, 0), 77);
    ck_assert_uint_eq(record_u64(&r, 8), 66);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(state_next_run(&r, &at, &run));
        ck_assert_uint_eq(run.first, runs[i].first);
        ck_assert_uint_eq(run.count, runs[i].count);
        ck_assert_uint_eq(run.delivery_count, runs[i].delivery_count);
    }
    ck_assert(!state_next_run(&r, &at, &run));
}
END_TEST

START_TEST(headers_are_checked)
{
    struct segment_id other = {.number = 8, .salt = ID.salt};
    uint8_t header[SEGMENT_HEADER_SIZE];
    uint32_t format;

    segment_write_header(header, ID, 1234);
    ck_assert_int_eq(segment_check_header(header, sizeof(header), ID, &format), 0);
    ck_assert_int_eq(segment_check_header(header, 63, ID, &format), -EBADMSG);
    ck_assert_int_eq(segment_check_header(header, sizeof(header), other, &format), -EBADMSG);
    for (size_t i = 0; i < sizeof(header); i++) {
        header[i] ^= 4;
        ck_assert_int_eq(segment_check_header(header, sizeof(header), ID, &format), -EBADMSG);
        header[i] ^= 4;
    }
}
END_TEST

START_TEST(names_are_told_from_strange_ones)
{
    static const char *const strange[] = {
        "",
        "00000001",
        "00000001-00000002",
        "00000001-00000002.segment2",
        "0000000g-00000002.segment",
        "00000001-0000002.segment",
        "00000000-00000002.segment",
        "00000001-00000002.segment.damaged2",
        "00000001_00000002.segment",
        "A0000001-00000002.segment",
    };
    char name[SEGMENT_NAME_SIZE];
    struct segment_id id;
    bool set_aside;

    segment_name(name, ID);
    ck_assert_str_eq(name, "00000007-12345678.segment");
    ck_assert(segment_parse_name(name, &id, &set_aside) && !set_aside);
    ck_assert(id.number == ID.number && id.salt == ID.salt);
    ck_assert(segment_parse_name("00000007-12345678.segment.damaged", &id, &set_aside));
    ck_assert(set_aside);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        ck_assert_msg(!segment_parse_name(strange[i], &id, &set_aside), "%s", strange[i]);
}
END_TEST

START_TEST(locations_tell_about_how_large_the_record_is)
{
    static const uint32_t sizes[] = {36, 127, 128, 511, 2000, 9000, 40000, 200000, 5000000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct store_location l = segment_location(3, 4096, sizes[i]);

        ck_assert_uint_eq(l.segment, 3);
        ck_assert_uint_eq(location_offset(l), 4096);
        ck_assert(location_size_limit(l) == 0 || sizes[i] < location_size_limit(l));
        ck_assert_uint_gt(location_weight(l) * 4, sizes[i]);
    }
}
END_TEST

UNIT_MAIN("segment", an_expiry_comes_back_and_is_none_of_the_message,
          a_reference_has_an_expiry_of_its_own, a_message_comes_back_as_it_was,
          a_record_in_another_place_is_none, every_flipped_bit_is_noticed,
          a_record_that_goes_on_behind_the_data_is_short,
          sound_records_of_unknown_kinds_are_told_from_damage, state_runs_come_back,
          headers_are_checked, names_are_told_from_strange_ones,
          locations_tell_about_how_large_the_record_is)
