/* Values of AMQP tables as JSON, in the way of RabbitMQ's management API and definitions: integers
 * of all widths and timestamps are numbers, void is null. Any thread. */
#ifndef LEVERET_ADMIN_JSON_VALUE_H
#define LEVERET_ADMIN_JSON_VALUE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/table.h"
#include "broker/policy.h"

#include <jansson.h>
#include <stdint.h>

/* A JSON string. What is not UTF-8 in it becomes U+FFFD. The caller owns it. */
json_t *json_from_bytes(struct bytes b);

/* A JSON object; NULL counts as the empty table. Of a key that comes twice the first stays. The
 * caller owns it. */
json_t *json_from_table(const struct table *t);

/* A count. The caller owns it. */
json_t *json_from_count(uint64_t n);

json_t *json_from_value(const struct value *v);

/* The policy's name; null of NULL. The caller owns it. */
json_t *json_from_policy(const struct policy *p);

/* The other way, as RabbitMQ reads definitions: whole numbers become 64-bit integers, others
 * doubles. All is copied into `a`. Return NULL, or why it cannot be: nested deeper than a table of
 * AMQP may be (AMQP_TABLE_DEPTH_MAX), or a key of more than 255 bytes. */
const char *json_to_table(struct arena *a, const json_t *object, struct table *out);
const char *json_to_value(struct arena *a, const json_t *json, struct value *out);

#endif
