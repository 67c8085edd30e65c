#include "session/route_ahead.h"

#include "amqp/frame.h"
#include "amqp/method.h"

/* Takes a whole frame of this type off the input. */
static bool next_frame(struct bytes *input, uint8_t type, struct bytes *payload)
{
    struct amqp_frame frame;
    size_t size;

    if (input->size < AMQP_FRAME_HEADER_SIZE)
        return false;
    amqp_frame_header_decode(input->data, &frame);
    size = AMQP_FRAME_HEADER_SIZE + (size_t)frame.size + 1;
    if (frame.type != type || size > input->size)
        return false;
    *payload = bytes_of(input->data + AMQP_FRAME_HEADER_SIZE, frame.size);
    *input = bytes_of(input->data + size, input->size - size);
    return true;
}

static bool next_publish(struct bytes *input, struct amqp_basic_publish *m)
{
    struct bytes payload;
    struct amqp_error e;

    return next_frame(input, AMQP_FRAME_METHOD, &payload) &&
           amqp_method_peek(payload) == AMQP_BASIC_PUBLISH &&
           amqp_basic_publish_decode(payload, m, &e) == 0;
}

/* Over a publish whose body has one frame, as most have. */
static bool skip_publish(struct bytes *input)
{
    struct bytes payload;

    return next_frame(input, AMQP_FRAME_METHOD, &payload) &&
           next_frame(input, AMQP_FRAME_HEADER, &payload) &&
           next_frame(input, AMQP_FRAME_BODY, &payload);
}

void route_ahead(struct route_hint *hint, const struct exchange *exchange, uint64_t epoch,
                 struct bytes input)
{
    struct amqp_basic_publish m;

    if (hint->epoch == epoch)
        route_hint_follow(hint);
    hint->count = 0;
    hint->epoch = epoch;
    if (skip_publish(&input) && next_publish(&input, &m) &&
        bytes_equal(m.exchange, exchange_name(exchange)))
        exchange_look_ahead(exchange, m.routing_key, hint);
}
