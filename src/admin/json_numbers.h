/* JSON whose numbers may be larger than what a 64-bit integer or a double holds. Jansson refuses a
 * whole text over one of them; here it is read, and what such a number belongs to can be refused
 * alone. */
#ifndef LEVERET_ADMIN_JSON_NUMBERS_H
#define LEVERET_ADMIN_JSON_NUMBERS_H

#include "base/bytes.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* As json_loadb(), with JSON_ALLOW_NUL. `*unfit` says whether there are numbers that do not fit:
 * their values are for json_unfit_number() alone. */
json_t *json_load_numbers(struct bytes text, size_t flags, json_error_t *fault, bool *unfit);

/* The number as it was written, if the value is one that does not fit; else NULL. */
const char *json_unfit_number(const json_t *value);

#endif
