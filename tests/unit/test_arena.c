#include "base/arena.h"
#include "tests/unit/unit.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

START_TEST(empty_arena_allocates_nothing)
{
    struct arena a;

    arena_init(&a);
    ck_assert_ptr_null(a.blocks);
    arena_free(&a);
}
END_TEST

START_TEST(pieces_are_zeroed_aligned_and_apart)
{
    enum { PIECES = 500 };
    static uint8_t *pieces[PIECES];
    struct arena a;

    arena_init(&a);
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(&a, i + 1);
        ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t k = 0; k <= i; k++)
            ck_assert_uint_eq(pieces[i][k], 0);
        memset(pieces[i], (int)(i % 255) + 1, i + 1);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t k = 0; k <= i; k++)
            ck_assert_uint_eq(pieces[i][k], i % 255 + 1);
    }
    arena_free(&a);
}
END_TEST

START_TEST(piece_larger_than_a_block_fits)
{
    const size_t size = 1000000;
    struct arena a;
    uint8_t *before, *large, *after;

    arena_init(&a);
    before = arena_alloc(&a, 8);
    large = arena_alloc(&a, size);
    after = arena_alloc(&a, 8);
    memset(before, 1, 8);
    memset(large, 2, size);
    memset(after, 3, 8);
    ck_assert_uint_eq(before[7], 1);
    ck_assert_uint_eq(large[0], 2);
    ck_assert_uint_eq(large[size - 1], 2);
    ck_assert_uint_eq(after[0], 3);
    arena_free(&a);
}
END_TEST

START_TEST(freed_arena_is_usable_again)
{
    struct arena a;
    uint8_t *piece;

    arena_init(&a);
    memset(arena_alloc(&a, 100), 0xff, 100);
    arena_free(&a);
    ck_assert_ptr_null(a.blocks);
    piece = arena_alloc(&a, 100);
    ck_assert_uint_eq(piece[0], 0);
    arena_free(&a);
}
END_TEST

START_TEST(copy_outlives_its_source)
{
    char source[] = "carrot";
    struct arena a;
    struct bytes copy;

    arena_init(&a);
    copy = arena_copy(&a, bytes_from_string(source));
    memset(source, 'x', sizeof(source));
    ck_assert(bytes_equal_string(copy, "carrot"));
    arena_free(&a);
}
END_TEST

START_TEST(copy_of_nothing_allocates_nothing)
{
    struct arena a;
    struct bytes copy;

    arena_init(&a);
    copy = arena_copy(&a, bytes_of(NULL, 0));
    ck_assert_uint_eq(copy.size, 0);
    ck_assert_ptr_null(a.blocks);
    arena_free(&a);
}
END_TEST

UNIT_MAIN("arena", empty_arena_allocates_nothing, pieces_are_zeroed_aligned_and_apart,
          piece_larger_than_a_block_fits, freed_arena_is_usable_again, copy_outlives_its_source,
          copy_of_nothing_allocates_nothing)
