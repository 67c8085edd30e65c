#include "base/memory.h"
#include "base/slab_pool.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REGION_SLABS 256u
#define REGION_BYTES (REGION_SLABS * SLAB_BYTES)

/* ---- A system with larger pages, or one that takes nothing back: linked with --wrap ---- */

static size_t large_page_bytes; /* 0: as they are */
static bool unmapping_is_refused;

static size_t page_bytes(void)
{
    return large_page_bytes != 0 ? large_page_bytes : getauxval(AT_PAGESZ);
}

int __wrap_getpagesize(void);
int __wrap_madvise(void *begin, size_t size, int advice);
int __wrap_munmap(void *begin, size_t size);

int __wrap_getpagesize(void)
{
    return (int)page_bytes();
}

int __wrap_madvise(void *begin, size_t size, int advice)
{
    if ((uintptr_t)begin % page_bytes() != 0) {
        errno = EINVAL;
        return -1;
    }
    size = (size + page_bytes() - 1) / page_bytes() * page_bytes();
    return (int)syscall(SYS_madvise, begin, size, advice);
}

int __wrap_munmap(void *begin, size_t size)
{
    if (unmapping_is_refused) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_munmap, begin, size);
}

/* ---- Slabs ---- */

struct taken {
    uint8_t *slab;
    struct slab_region *region;
};

static void take(struct taken *slabs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        slabs[i].slab = slab_pool_take(&slabs[i].region);
        ck_assert_ptr_nonnull(slabs[i].slab);
        ck_assert_uint_eq((uintptr_t)slabs[i].slab % SLAB_BYTES, 0);
        memset(slabs[i].slab, (int)(i % 251) + 1, SLAB_BYTES);
    }
}

static void check(const struct taken *slab, uint32_t i)
{
    for (size_t k = 0; k < SLAB_BYTES; k++) {
        if (slab->slab[k] != i % 251 + 1)
            ck_abort_msg("byte %zu of slab %u was overwritten", k, i);
    }
}

static void put(const struct taken *slabs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        check(&slabs[i], i);
        slab_pool_put(slabs[i].slab, slabs[i].region);
    }
}

static uint64_t address_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    return (uint64_t)pages * page_bytes();
}

/* Of the region around an address: its bytes that are in memory. */
static size_t resident_bytes(uint8_t *inside)
{
    unsigned char pages[REGION_BYTES / 4096];
    size_t count = 0;

    ck_assert_int_eq(mincore(inside - (uintptr_t)inside % REGION_BYTES, REGION_BYTES, pages), 0);
    for (size_t i = 0; i < REGION_BYTES / page_bytes(); i++)
        count += pages[i] & 1u;
    return count * page_bytes();
}

START_TEST(slab_that_shares_a_large_page_keeps_what_it_holds)
{
    struct taken slabs[REGION_SLABS];

    large_page_bytes = 65536;
    take(slabs, REGION_SLABS);
    for (uint32_t i = 0; i < REGION_SLABS; i += 2)
        slab_pool_put(slabs[i].slab, slabs[i].region);
    slab_pool_trim();
    for (uint32_t i = 1; i < REGION_SLABS; i += 2) {
        check(&slabs[i], i);
        slab_pool_put(slabs[i].slab, slabs[i].region);
    }
    slab_pool_trim();
    ck_assert_uint_eq(slab_pool_usage().warm_slabs, 0);
}
END_TEST

START_TEST(slabs_between_live_ones_return_again_and_again)
{
    struct taken slabs[REGION_SLABS];

    if (page_bytes() > SLAB_BYTES)
        return;
    take(slabs, REGION_SLABS);
    put(slabs, 10);
    for (uint32_t i = 20; i < REGION_SLABS; i++)
        slab_pool_put(slabs[i].slab, slabs[i].region);
    slab_pool_trim();
    ck_assert_uint_eq(resident_bytes(slabs[10].slab), 10 * SLAB_BYTES);
    /* As where the system makes a huge page of what there is. */
    memset(slabs[0].slab, 0, 10 * SLAB_BYTES);
    memset(slabs[20].slab, 0, (REGION_SLABS - 20) * SLAB_BYTES);
    ck_assert_uint_eq(resident_bytes(slabs[10].slab), REGION_BYTES);
    slab_pool_trim();
    ck_assert_uint_eq(resident_bytes(slabs[10].slab), 10 * SLAB_BYTES);
    for (uint32_t i = 10; i < 20; i++)
        check(&slabs[i], i);
}
END_TEST

START_TEST(addresses_return_with_the_memory)
{
    enum { REGIONS = 32, COUNT = REGIONS * REGION_SLABS };
    static struct taken slabs[COUNT];
    uint64_t before = address_bytes();

    take(slabs, COUNT);
    ck_assert_uint_ge(address_bytes(), before + REGIONS * REGION_BYTES);
    put(slabs, COUNT);
    slab_pool_trim();
    ck_assert_uint_le(address_bytes(), before + REGION_BYTES); /* the heap's own */
    ck_assert_uint_eq(slab_pool_usage().cold_slabs, 0);
    ck_assert_uint_eq(slab_pool_usage().warm_slabs, 0);
}
END_TEST

START_TEST(region_that_cannot_be_unmapped_leaves_memory_and_is_used_again)
{
    enum { REGIONS = 8, COUNT = REGIONS * REGION_SLABS };
    static struct taken slabs[COUNT];
    uint64_t before;

    take(slabs, COUNT);
    unmapping_is_refused = true;
    before = address_bytes();
    for (int round = 0; round < 3; round++) {
        put(slabs, COUNT);
        slab_pool_trim();
        ck_assert_uint_eq(slab_pool_usage().cold_slabs, COUNT);
        ck_assert_uint_eq(slab_pool_usage().warm_slabs, 0);
        ck_assert_uint_eq(resident_bytes(slabs[COUNT / 2].slab), 0);
        take(slabs, COUNT);
        ck_assert_uint_eq(slab_pool_usage().cold_slabs, 0);
        ck_assert_uint_le(address_bytes(), before + REGION_BYTES); /* the heap's own */
    }
    unmapping_is_refused = false;
    put(slabs, COUNT);
    slab_pool_trim();
    ck_assert_uint_eq(slab_pool_usage().cold_slabs, 0);
}
END_TEST

UNIT_MAIN("slab_pool", slab_that_shares_a_large_page_keeps_what_it_holds,
          slabs_between_live_ones_return_again_and_again, addresses_return_with_the_memory,
          region_that_cannot_be_unmapped_leaves_memory_and_is_used_again)
