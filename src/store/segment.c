#include "store/segment.h"

#include "base/memory.h"
#include "store/crc32c.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t MAGIC[8] = {'l', 'e', 'v', 'e', 'r', 'e', 't', 'J'};

enum {
    HEADER_FORMAT = 8,
    HEADER_NUMBER = 12,
    HEADER_SALT = 16,
    HEADER_CREATED = 24,
    HEADER_CRC = 60,

    HEAD_CRC = 0,
    HEAD_SIZE = 4,
    HEAD_TYPE = 8,
    HEAD_FLAGS = 9,
    HEAD_PRIORITY = 10,
    HEAD_EXCHANGE_SIZE = 11,
    HEAD_ROUTING_KEY_SIZE = 12,
    HEAD_CHECK = 13, /* three bytes */
    HEAD_QUEUE = 16,
    HEAD_SEQUENCE = 24,
};

static void put_u32(uint8_t *at, uint32_t v)
{
    v = htole32(v);
    memcpy(at, &v, sizeof(v));
}

static void put_u64(uint8_t *at, uint64_t v)
{
    v = htole64(v);
    memcpy(at, &v, sizeof(v));
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return le32toh(v);
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return le64toh(v);
}

/* ---- Names and headers ---- */

void segment_name(char out[SEGMENT_NAME_SIZE], struct segment_id id)
{
    snprintf(out, SEGMENT_NAME_SIZE, "%08x-%08x.segment", id.number, id.salt);
}

static bool parse_hex(const char *s, uint32_t *out)
{
    uint32_t v = 0;

    for (int i = 0; i < 8; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = s[i] == '\0' ? NULL : strchr(digits, s[i]);

        if (digit == NULL)
            return false;
        v = v << 4 | (uint32_t)(digit - digits);
    }
    *out = v;
    return true;
}

bool segment_parse_name(const char *name, struct segment_id *out, bool *set_aside)
{
    static const char SUFFIX[] = ".segment";
    const char *rest;

    if (!parse_hex(name, &out->number) || name[8] != '-' || !parse_hex(name + 9, &out->salt))
        return false;
    rest = name + 17;
    if (out->number == 0 || strncmp(rest, SUFFIX, sizeof(SUFFIX) - 1) != 0)
        return false;
    rest += sizeof(SUFFIX) - 1;
    *set_aside = strcmp(rest, SEGMENT_DAMAGED_SUFFIX) == 0;
    return *rest == '\0' || *set_aside;
}

char *segment_path(const char *directory, struct segment_id id, const char *suffix)
{
    size_t size = strlen(directory) + 1 + SEGMENT_NAME_SIZE + strlen(suffix) + 1;
    char name[SEGMENT_NAME_SIZE];
    char *path = memory_alloc(size);

    segment_name(name, id);
    snprintf(path, size, "%s/%s%s", directory, name, suffix);
    return path;
}

void segment_write_header_of(uint8_t out[SEGMENT_HEADER_SIZE], struct segment_id id,
                             int64_t created_ms, uint32_t format)
{
    memset(out, 0, SEGMENT_HEADER_SIZE);
    memcpy(out, MAGIC, sizeof(MAGIC));
    put_u32(out + HEADER_FORMAT, format);
    put_u32(out + HEADER_NUMBER, id.number);
    put_u32(out + HEADER_SALT, id.salt);
    put_u64(out + HEADER_CREATED, (uint64_t)created_ms);
    put_u32(out + HEADER_CRC, crc32c(0, out, HEADER_CRC));
}

void segment_write_header(uint8_t out[SEGMENT_HEADER_SIZE], struct segment_id id,
                          int64_t created_ms)
{
    segment_write_header_of(out, id, created_ms, SEGMENT_FORMAT);
}

static bool header_is_sound(const uint8_t *data, size_t size)
{
    return size >= SEGMENT_HEADER_SIZE && memcmp(data, MAGIC, sizeof(MAGIC)) == 0 &&
           get_u32(data + HEADER_CRC) == crc32c(0, data, HEADER_CRC);
}

int segment_check_header(const uint8_t *data, size_t size, struct segment_id id, uint32_t *format)
{
    if (!header_is_sound(data, size))
        return -EBADMSG;
    *format = get_u32(data + HEADER_FORMAT);
    if (*format > SEGMENT_FORMAT)
        return -ENOTSUP;
    if (get_u32(data + HEADER_NUMBER) != id.number || get_u32(data + HEADER_SALT) != id.salt)
        return -EBADMSG;
    return 0;
}

bool segment_read_header(const uint8_t *data, size_t size, struct segment_id *id)
{
    if (!header_is_sound(data, size))
        return false;
    id->number = get_u32(data + HEADER_NUMBER);
    id->salt = get_u32(data + HEADER_SALT);
    return true;
}

bool segment_may_begin(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < sizeof(MAGIC); i++) {
        if (data[i] != MAGIC[i] && data[i] != 0)
            return false;
    }
    return true;
}

/* ---- Locations ---- */

static const struct {
    uint32_t limit; /* records are smaller */
    uint32_t weight;
} size_classes[] = {
    {128, 96},      {512, 256},      {2048, 1024},      {8192, 4096},
    {32768, 16384}, {131072, 65536}, {1048576, 393216}, {0, 2097152},
};

#define SIZE_CLASSES (sizeof(size_classes) / sizeof(size_classes[0]))
static_assert(SIZE_CLASSES <= RECORD_ALIGNMENT, "a size class fits beside an aligned offset");

struct store_location segment_location(uint32_t segment, uint32_t offset, uint32_t record_size)
{
    uint32_t class = 0;

    while (class < SIZE_CLASSES - 1 && record_size >= size_classes[class].limit)
        class ++;
    return (struct store_location){.segment = segment, .offset = offset | class};
}

uint32_t location_weight(struct store_location l)
{
    return size_classes[l.offset & (RECORD_ALIGNMENT - 1)].weight;
}

uint32_t location_size_limit(struct store_location l)
{
    return size_classes[l.offset & (RECORD_ALIGNMENT - 1)].limit;
}

/* ---- Writing ---- */

void record_put(uint8_t *at, enum record_type type, uint32_t size, uint64_t queue_id,
                uint64_t sequence)
{
    memset(at + record_padded(size) - RECORD_ALIGNMENT, 0, RECORD_ALIGNMENT);
    memset(at + HEAD_FLAGS, 0, HEAD_QUEUE - HEAD_FLAGS);
    put_u32(at + HEAD_SIZE, size);
    at[HEAD_TYPE] = (uint8_t)type;
    put_u64(at + HEAD_QUEUE, queue_id);
    put_u64(at + HEAD_SEQUENCE, sequence);
}

/* In the flags of a MESSAGE's head, beside the message's own. */
#define FLAG_EXPIRES 0x80u

/* Of exchange, routing key, properties and body. */
static uint64_t content_size(const struct message *m)
{
    return (uint64_t)m->exchange_size + m->routing_key_size + m->properties_size + m->body_size;
}

uint32_t record_message_size(const struct message *m, int64_t expires_ms)
{
    uint64_t size = MESSAGE_FIXED_SIZE + content_size(m) + (expires_ms != 0 ? EXPIRY_SIZE : 0);

    return size > RECORD_SIZE_MAX ? 0 : (uint32_t)size;
}

static void put_expiry(uint8_t *at, uint32_t size, int64_t expires_ms)
{
    put_u64(at + size - EXPIRY_SIZE, (uint64_t)expires_ms);
}

void record_put_message(uint8_t *at, uint32_t size, uint64_t queue_id, uint64_t sequence,
                        const struct message *m, int64_t expires_ms)
{
    record_put(at, RECORD_MESSAGE, size, queue_id, sequence);
    at[HEAD_FLAGS] = m->flags;
    at[HEAD_PRIORITY] = m->priority;
    at[HEAD_EXCHANGE_SIZE] = m->exchange_size;
    at[HEAD_ROUTING_KEY_SIZE] = m->routing_key_size;
    put_u32(at + RECORD_HEAD_SIZE, m->properties_size);
    memcpy(at + MESSAGE_FIXED_SIZE, m->data, content_size(m));
    if (expires_ms == 0)
        return;
    at[HEAD_FLAGS] |= FLAG_EXPIRES;
    put_expiry(at, size, expires_ms);
}

static const uint8_t *head_of(const struct record *r)
{
    return r->payload - RECORD_HEAD_SIZE;
}

static bool expires(const uint8_t *head)
{
    return (head[HEAD_FLAGS] & FLAG_EXPIRES) != 0;
}

/* Of a MESSAGE record without an expiry. */
static uint32_t plain_size(const struct record *r)
{
    return expires(head_of(r)) ? r->size - EXPIRY_SIZE : r->size;
}

uint32_t record_copy_size(const struct record *r, int64_t expires_ms)
{
    return plain_size(r) + (expires_ms != 0 ? EXPIRY_SIZE : 0);
}

void record_put_message_copy(uint8_t *at, uint32_t size, const struct record *r, uint64_t queue_id,
                             uint64_t sequence, int64_t expires_ms)
{
    const uint8_t *head = head_of(r);

    record_put(at, RECORD_MESSAGE, size, queue_id, sequence);
    memcpy(at + HEAD_FLAGS, head + HEAD_FLAGS, HEAD_CHECK - HEAD_FLAGS);
    memcpy(at + RECORD_HEAD_SIZE, r->payload, plain_size(r) - RECORD_HEAD_SIZE);
    at[HEAD_FLAGS] &= (uint8_t)~FLAG_EXPIRES;
    if (expires_ms == 0)
        return;
    at[HEAD_FLAGS] |= FLAG_EXPIRES;
    put_expiry(at, size, expires_ms);
}

void record_put_reference(uint8_t *at, uint64_t queue_id, uint64_t sequence,
                          uint32_t location_offset, int64_t expires_ms)
{
    uint32_t size = record_reference_size(expires_ms);

    record_put(at, RECORD_REFERENCE, size, queue_id, sequence);
    put_u32(at + RECORD_HEAD_SIZE, location_offset);
    if (expires_ms != 0)
        put_expiry(at, size, expires_ms);
}

bool record_is_message(const uint8_t *record, const struct message *m)
{
    uint32_t expiry_size = expires(record) ? EXPIRY_SIZE : 0;

    return get_u32(record + HEAD_SIZE) == record_message_size(m, 0) + expiry_size &&
           (record[HEAD_FLAGS] & ~FLAG_EXPIRES) == m->flags &&
           record[HEAD_PRIORITY] == m->priority && record[HEAD_EXCHANGE_SIZE] == m->exchange_size &&
           record[HEAD_ROUTING_KEY_SIZE] == m->routing_key_size &&
           get_u32(record + RECORD_HEAD_SIZE) == m->properties_size &&
           memcmp(record + MESSAGE_FIXED_SIZE, m->data, content_size(m)) == 0;
}

void record_put_u32(uint8_t *at, uint32_t v)
{
    put_u32(at + RECORD_HEAD_SIZE, v);
}

void state_put_fixed(uint8_t *at, uint64_t head, uint64_t delivered_below)
{
    put_u64(at + RECORD_HEAD_SIZE, head);
    put_u64(at + RECORD_HEAD_SIZE + 8, delivered_below);
}

void segments_put_entry(uint8_t *entry, uint32_t number, uint32_t end)
{
    put_u32(entry, number);
    put_u32(entry + 4, end);
}

void record_set_sequence(uint8_t *at, uint64_t sequence)
{
    put_u64(at + HEAD_SEQUENCE, sequence);
}

void settle_set(uint8_t *at, uint64_t sequence)
{
    uint32_t bit = (uint32_t)(sequence % SETTLE_WINDOW);

    at[RECORD_HEAD_SIZE + bit / 8] |= (uint8_t)(1u << (bit % 8));
}

static uint32_t place_checksum(struct segment_id id, uint32_t offset)
{
    uint8_t place[12];

    put_u32(place, id.number);
    put_u32(place + 4, id.salt);
    put_u32(place + 8, offset);
    return crc32c(0, place, sizeof(place));
}

/* Over the head without its checksums. */
static uint32_t head_check(const uint8_t *at, uint32_t place)
{
    uint32_t crc = crc32c(place, at + HEAD_SIZE, HEAD_CHECK - HEAD_SIZE);

    return crc32c(crc, at + HEAD_QUEUE, RECORD_HEAD_SIZE - HEAD_QUEUE) >> 8;
}

static uint32_t get_check(const uint8_t *at)
{
    return (uint32_t)at[HEAD_CHECK] | (uint32_t)at[HEAD_CHECK + 1] << 8 |
           (uint32_t)at[HEAD_CHECK + 2] << 16;
}

void records_seal(uint8_t *data, size_t size, struct segment_id id, uint32_t offset)
{
    for (size_t at = 0; at < size;) {
        uint8_t *record = data + at;
        uint32_t padded = record_padded(get_u32(record + HEAD_SIZE));
        uint32_t place = place_checksum(id, offset + (uint32_t)at);
        uint32_t check = head_check(record, place);

        record[HEAD_CHECK] = (uint8_t)check;
        record[HEAD_CHECK + 1] = (uint8_t)(check >> 8);
        record[HEAD_CHECK + 2] = (uint8_t)(check >> 16);
        put_u32(record + HEAD_CRC, crc32c(place, record + HEAD_SIZE, padded - HEAD_SIZE));
        at += padded;
    }
}

/* ---- Reading ---- */

void record_parse(struct record *out, const uint8_t *data)
{
    out->type = (enum record_type)data[HEAD_TYPE];
    out->size = get_u32(data + HEAD_SIZE);
    out->queue_id = get_u64(data + HEAD_QUEUE);
    out->sequence = get_u64(data + HEAD_SEQUENCE);
    out->payload = data + RECORD_HEAD_SIZE;
    out->payload_size = out->size - RECORD_HEAD_SIZE;
}

static bool state_is_sound(const struct record *r)
{
    struct state_run run = {0};
    uint32_t at = 0;

    if (r->size < STATE_FIXED_SIZE)
        return false;
    while (state_next_run(r, &at, &run)) {
    }
    return at == r->payload_size;
}

/* Whether the content can be what the type says: a record that another program sealed may not. */
static bool is_sound(const struct record *r)
{
    const uint8_t *head = head_of(r);
    uint32_t fixed_size = MESSAGE_FIXED_SIZE + (expires(head) ? EXPIRY_SIZE : 0);

    switch (r->type) {
    case RECORD_MESSAGE:
        return r->queue_id != 0 && r->size >= fixed_size &&
               (uint64_t)record_u32(r, 0) + head[HEAD_EXCHANGE_SIZE] +
                       head[HEAD_ROUTING_KEY_SIZE] <=
                   r->size - fixed_size;
    case RECORD_REFERENCE:
        return r->queue_id != 0 &&
               (r->size == REFERENCE_SIZE || r->size == REFERENCE_SIZE + EXPIRY_SIZE);
    case RECORD_SETTLE:
        return r->queue_id != 0 && r->size == SETTLE_SIZE && r->sequence % SETTLE_WINDOW == 0;
    case RECORD_RETURNED:
        return r->queue_id != 0 && r->size == RETURNED_SIZE;
    case RECORD_STATE:
        return r->queue_id != 0 && state_is_sound(r);
    case RECORD_DELIVERED:
        return r->queue_id != 0 && r->size == RECORD_HEAD_SIZE;
    case RECORD_GROUP:
    case RECORD_FREED:
    case RECORD_END:
        return r->size == RECORD_HEAD_SIZE;
    case RECORD_SEGMENTS:
        return r->payload_size % SEGMENTS_ENTRY_SIZE == 0;
    }
    return false;
}

enum record_check record_read(struct record *out, const uint8_t *data, size_t size,
                              struct segment_id id, uint32_t offset)
{
    uint32_t place;

    if (size < RECORD_HEAD_SIZE)
        return RECORD_NONE;
    out->size = get_u32(data + HEAD_SIZE);
    if (out->size < RECORD_HEAD_SIZE || out->size > RECORD_SIZE_MAX)
        return RECORD_NONE;
    place = place_checksum(id, offset);
    if (get_check(data) != head_check(data, place))
        return RECORD_NONE;

    record_parse(out, data);
    if (record_padded(out->size) > size)
        return RECORD_SHORT;
    if (get_u32(data + HEAD_CRC) !=
        crc32c(place, data + HEAD_SIZE, record_padded(out->size) - HEAD_SIZE))
        return RECORD_CORRUPT;
    return is_sound(out) ? RECORD_GOOD : RECORD_UNKNOWN;
}

uint32_t record_u32(const struct record *r, uint32_t at)
{
    assert(at + 4 <= r->payload_size);
    return get_u32(r->payload + at);
}

uint64_t record_u64(const struct record *r, uint32_t at)
{
    assert(at + 8 <= r->payload_size);
    return get_u64(r->payload + at);
}

int64_t record_expires_ms(const struct record *r)
{
    bool has_expiry = r->type == RECORD_MESSAGE
                          ? expires(head_of(r))
                          : r->type == RECORD_REFERENCE && r->size != REFERENCE_SIZE;

    return has_expiry ? (int64_t)record_u64(r, r->payload_size - EXPIRY_SIZE) : 0;
}

uint32_t record_body_size(const struct record *r)
{
    const uint8_t *head = head_of(r);

    return plain_size(r) - MESSAGE_FIXED_SIZE - head[HEAD_EXCHANGE_SIZE] -
           head[HEAD_ROUTING_KEY_SIZE] - record_u32(r, 0);
}

struct message *record_message(const struct record *r)
{
    const uint8_t *head = head_of(r);
    const uint8_t *at = head + MESSAGE_FIXED_SIZE;
    struct bytes exchange = bytes_of(at, head[HEAD_EXCHANGE_SIZE]);
    struct bytes routing_key = bytes_of(at + exchange.size, head[HEAD_ROUTING_KEY_SIZE]);
    struct bytes properties = bytes_of(at + exchange.size + routing_key.size, record_u32(r, 0));
    uint32_t body_size = record_body_size(r);
    struct message *m = message_create(exchange, routing_key, properties, body_size);

    if (m == NULL)
        return NULL;
    m->flags = (uint8_t)(head[HEAD_FLAGS] & ~FLAG_EXPIRES);
    m->priority = head[HEAD_PRIORITY];
    memcpy(message_body(m), properties.data + properties.size, body_size);
    return m;
}

/* ---- State records ---- */

static size_t put_varint(uint8_t *at, uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        at[n++] = (uint8_t)(v | 0x80);
    at[n++] = (uint8_t)v;
    return n;
}

static bool get_varint(const uint8_t *data, uint32_t size, uint32_t *at, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t byte = data[(*at)++];

        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

size_t state_put_run(uint8_t *at, const struct state_run *run, uint64_t previous_end)
{
    size_t n = put_varint(at, run->first - previous_end);

    n += put_varint(at + n, run->count);
    return n + put_varint(at + n, run->delivery_count);
}

bool state_next_run(const struct record *r, uint32_t *at, struct state_run *run)
{
    uint64_t previous_end = run->first + run->count;
    uint64_t gap, count, delivery_count;

    if (*at == 0)
        *at = 16;
    if (*at >= r->payload_size)
        return false;
    if (!get_varint(r->payload, r->payload_size, at, &gap) ||
        !get_varint(r->payload, r->payload_size, at, &count) ||
        !get_varint(r->payload, r->payload_size, at, &delivery_count) || count == 0 ||
        delivery_count > UINT32_MAX || gap > UINT64_MAX - previous_end ||
        count > UINT64_MAX - previous_end - gap) {
        *at = UINT32_MAX; /* not sound */
        return false;
    }
    run->first = previous_end + gap;
    run->count = count;
    run->delivery_count = (uint32_t)delivery_count;
    return true;
}
