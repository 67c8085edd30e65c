#include "amqp/frame.h"

#include <inttypes.h>

void amqp_frame_fail_header(const struct amqp_frame *f, uint32_t frame_max, struct amqp_error *err)
{
    if (!amqp_frame_type_known(f->type))
        amqp_error_set(err, AMQP_FRAME_ERROR, 0, 0, "unknown frame type %u", f->type);
    else if (f->type == AMQP_FRAME_HEARTBEAT && f->size != 0)
        amqp_error_set(err, AMQP_FRAME_ERROR, 0, 0,
                       "heartbeat with a payload of %" PRIu32 " octets", f->size);
    else
        amqp_error_set(err, AMQP_FRAME_ERROR, 0, 0,
                       "frame too large: type %u, payload of %" PRIu32
                       " octets, frame_max %" PRIu32,
                       f->type, f->size, frame_max);
}

void amqp_frame_fail_end(const struct amqp_frame *f, uint8_t end, struct amqp_error *err)
{
    amqp_error_set(err, AMQP_FRAME_ERROR, 0, 0,
                   "invalid frame end marker 0x%02x: type %u, payload of %" PRIu32 " octets", end,
                   f->type, f->size);
}
