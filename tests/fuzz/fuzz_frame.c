/* A stream of frames from a hostile peer, in either direction: methods, content headers and the
 * rest. What decodes encodes again, to octets that mean the same. */
#include "amqp/frame.h"
#include "amqp/method.h"
#include "amqp/properties.h"

#include <stdlib.h>

#define FRAME_MAX 131072u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Reserved fields and unused bits are not kept, so the octets are compared from the second
 * encoding on. */
static void method_round_trip(const struct amqp_method *m)
{
    struct buffer first, second;
    struct amqp_frame f = {.size = 0};
    struct amqp_method again;

    buffer_init(&first);
    buffer_init(&second);
    amqp_method_frame_encode(7, m, &first);
    require(amqp_frame_decode(buffer_bytes(&first), 0, &f, NULL) == (ssize_t)first.size);
    require(f.size == amqp_method_encoded_size(m));
    require(amqp_method_decode(amqp_frame_payload(&f), &again, NULL) == 0);
    amqp_method_frame_encode(7, &again, &second);
    require(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    buffer_free(&first);
    buffer_free(&second);
}

static void on_method(struct bytes payload)
{
    struct amqp_error err = {.code = 0};
    struct amqp_method m;

    if (amqp_method_decode(payload, &m, &err) < 0) {
        require(err.code != 0);
        return;
    }
    require(amqp_method_info(m.id) != NULL);
    require(amqp_method_encoded_size(&m) <= payload.size);
    method_round_trip(&m);
}

/* The second lowest flag means nothing and is not kept. */
static bool same_properties(struct bytes raw, struct bytes encoded)
{
    return raw.size == encoded.size && raw.data[0] == encoded.data[0] &&
           (raw.data[1] & 0xFC) == encoded.data[1] &&
           bytes_equal(bytes_of(raw.data + 2, raw.size - 2),
                       bytes_of(encoded.data + 2, encoded.size - 2));
}

static void on_content_header(struct bytes payload)
{
    struct amqp_error err = {.code = 0};
    struct amqp_content_header h;
    struct amqp_properties p;
    struct buffer b;
    uint8_t mode;

    if (amqp_content_header_decode_properties(payload, &h, &p, &err) < 0) {
        require(err.code != 0);
        return;
    }
    mode = amqp_properties_has(&p, AMQP_PROPERTY_DELIVERY_MODE) ? p.delivery_mode : AMQP_TRANSIENT;
    require(amqp_properties_delivery_mode(h.properties) == mode);

    buffer_init(&b);
    amqp_properties_encode(&p, &b);
    require(same_properties(h.properties, buffer_bytes(&b)));
    buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct amqp_error err = {.code = 0};
    struct amqp_frame f;
    ssize_t n;

    while ((n = amqp_frame_decode(in, FRAME_MAX, &f, &err)) > 0) {
        require((size_t)n <= in.size);
        if (f.type == AMQP_FRAME_METHOD)
            on_method(amqp_frame_payload(&f));
        else if (f.type == AMQP_FRAME_HEADER)
            on_content_header(amqp_frame_payload(&f));
        in = bytes_of(in.data + n, in.size - (size_t)n);
    }
    if (n < 0)
        require(err.code == AMQP_FRAME_ERROR);
    return 0;
}
