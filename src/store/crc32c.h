/* CRC32C (Castagnoli), the checksum of the journal's records: by the processor's instruction where
 * it has one, by tables elsewhere. Any thread. */
#ifndef LEVERET_STORE_CRC32C_H
#define LEVERET_STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes, continuing from `crc` (0 at first): the checksum of two runs is
 * that of the second continued from that of the first. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same by tables alone, for processors without the instruction (and for the test that both
 * agree). */
uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t size);

#endif
