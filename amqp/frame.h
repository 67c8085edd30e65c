/* Frames: type, channel, size, payload, end octet (AMQP 0-9-1 §4.2.3). Sans I/O and without state;
 * any thread. */
#ifndef LEVERET_AMQP_FRAME_H
#define LEVERET_AMQP_FRAME_H

#include "amqp/constants.h"
#include "amqp/error.h"
#include "amqp/wire.h"
#include "base/bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct amqp_frame {
    uint8_t type; /* enum amqp_frame_type once decoded without error */
    uint16_t channel;
    uint32_t size;          /* of the payload */
    const uint8_t *payload; /* borrowed from the input; NULL from amqp_frame_header_decode */
};

static inline struct bytes amqp_frame_payload(const struct amqp_frame *f)
{
    return bytes_of(f->payload, f->size);
}

/* Reads the seven octets before a payload, so that a body may be streamed. Checks nothing: see
 * amqp_frame_header_check. */
static inline void amqp_frame_header_decode(const uint8_t header[AMQP_FRAME_HEADER_SIZE],
                                            struct amqp_frame *out)
{
    out->type = header[0];
    out->channel = amqp_load16(header + 1);
    out->size = amqp_load32(header + 3);
    out->payload = NULL;
}

static inline bool amqp_frame_type_known(uint8_t type)
{
    return type == AMQP_FRAME_METHOD || type == AMQP_FRAME_HEADER || type == AMQP_FRAME_BODY ||
           type == AMQP_FRAME_HEARTBEAT;
}

/* Octets by which a frame may exceed frame_max: RabbitMQ tolerates clients that count the payload
 * alone, so a payload may be frame_max long. Whoever gathers whole frames needs that much room. */
#define AMQP_FRAME_MAX_TOLERANCE AMQP_FRAME_OVERHEAD

/* Whether type and size of a decoded header are acceptable; frame_max counts the whole frame, 0 is
 * no limit. Returns 0, or -EPROTO with a 501 in `err`. */
static inline int amqp_frame_header_check(const struct amqp_frame *f, uint32_t frame_max,
                                          struct amqp_error *err);

/* Decodes the frame at the start of `in`.
 *
 * frame_max is the negotiated limit on whole frames (with AMQP_FRAME_MAX_TOLERANCE), 0 for none. An
 * unknown type, a heartbeat that is not empty and a size beyond the limit are reported as soon as
 * the header is there, before the payload is.
 *
 * Returns the bytes the frame took (> 0), 0 when more input is needed, or -EPROTO with a 501
 * FRAME_ERROR in `err`. The payload is a view into `in`. */
static inline ssize_t amqp_frame_decode(struct bytes in, uint32_t frame_max, struct amqp_frame *out,
                                        struct amqp_error *err);

/* Writes the seven octets before a payload. Returns AMQP_FRAME_HEADER_SIZE. */
static inline size_t amqp_frame_encode_header(uint8_t *out, uint8_t type, uint16_t channel,
                                              uint32_t size)
{
    out[0] = type;
    amqp_store16(out + 1, channel);
    amqp_store32(out + 3, size);
    return AMQP_FRAME_HEADER_SIZE;
}

/* A heartbeat frame, channel 0, empty. Returns AMQP_FRAME_OVERHEAD, the bytes written. */
static inline size_t amqp_frame_encode_heartbeat(uint8_t *out)
{
    amqp_frame_encode_header(out, AMQP_FRAME_HEARTBEAT, 0, 0);
    out[AMQP_FRAME_HEADER_SIZE] = AMQP_FRAME_END;
    return AMQP_FRAME_OVERHEAD;
}

/* The reasons why a frame was refused, kept out of the way of the others. */
void amqp_frame_fail_header(const struct amqp_frame *f, uint32_t frame_max, struct amqp_error *err)
    __attribute__((cold));
void amqp_frame_fail_end(const struct amqp_frame *f, uint8_t end, struct amqp_error *err)
    __attribute__((cold));

static inline int amqp_frame_header_check(const struct amqp_frame *f, uint32_t frame_max,
                                          struct amqp_error *err)
{
    if (!amqp_frame_type_known(f->type) || (frame_max != 0 && f->size > frame_max) ||
        (f->type == AMQP_FRAME_HEARTBEAT && f->size != 0)) {
        amqp_frame_fail_header(f, frame_max, err);
        return -EPROTO;
    }
    return 0;
}

static inline ssize_t amqp_frame_decode(struct bytes in, uint32_t frame_max, struct amqp_frame *out,
                                        struct amqp_error *err)
{
    size_t end;
    int rc;

    if (in.size < AMQP_FRAME_HEADER_SIZE)
        return 0;
    amqp_frame_header_decode(in.data, out);
    rc = amqp_frame_header_check(out, frame_max, err);
    if (rc < 0)
        return rc;

    end = AMQP_FRAME_HEADER_SIZE + (size_t)out->size;
    if (in.size <= end)
        return 0;
    out->payload = in.data + AMQP_FRAME_HEADER_SIZE;
    if (in.data[end] != AMQP_FRAME_END) {
        amqp_frame_fail_end(out, in.data[end], err);
        return -EPROTO;
    }
    return (ssize_t)(end + 1);
}

#endif
