#include "base/random.h"
#include "store/crc32c.h"
#include "tests/unit/unit.h"

#include <string.h>

START_TEST(known_checksums)
{
    /* RFC 3720, B.4. */
    uint8_t bytes[32];

    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof(bytes));
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
    ck_assert_uint_eq(crc32c(0, bytes, 0), 0);
}
END_TEST

START_TEST(tables_and_instruction_agree_and_runs_can_be_continued)
{
    struct random_sequence random;
    uint8_t bytes[600];

    random_sequence_seed(&random, 1);
    for (int round = 0; round < 2000; round++) {
        size_t begin = (size_t)random_sequence_below(&random, 16);
        size_t size = (size_t)random_sequence_below(&random, sizeof(bytes) - 16);
        size_t middle = (size_t)random_sequence_below(&random, size + 1);
        uint32_t whole;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)random_sequence_next(&random);
        whole = crc32c(0, bytes + begin, size);
        ck_assert_uint_eq(crc32c_by_tables(0, bytes + begin, size), whole);
        ck_assert_uint_eq(
            crc32c(crc32c(0, bytes + begin, middle), bytes + begin + middle, size - middle), whole);
    }
}
END_TEST

UNIT_MAIN("crc32c", known_checksums, tables_and_instruction_agree_and_runs_can_be_continued)
