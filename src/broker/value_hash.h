/* Hashes of argument and header values that agree with value_equal(): what is equal hashes
 * equally, numbers of any width included. Timestamps hash as integers and bytes as strings, for
 * those who compare them so. Keyed per process; never store them. */
#ifndef LEVERET_BROKER_VALUE_HASH_H
#define LEVERET_BROKER_VALUE_HASH_H

#include "base/table.h"

#include <stdint.h>

uint64_t value_hash(const struct value *v);

/* Whatever the order of the fields. */
uint64_t table_hash(const struct table *t);

/* Of a key and a value together. */
uint64_t field_hash(struct bytes key, const struct value *v);

#endif
