/* The numbers of AMQP 0-9-1: frame types, sizes, classes and reply codes (§4.2.3 and the
 * "constants" of the XML specification; 313 and the frame minimum included). */
#ifndef LEVERET_AMQP_CONSTANTS_H
#define LEVERET_AMQP_CONSTANTS_H

#include <stdint.h>

enum amqp_frame_type {
    AMQP_FRAME_METHOD = 1,
    AMQP_FRAME_HEADER = 2,
    AMQP_FRAME_BODY = 3,
    AMQP_FRAME_HEARTBEAT = 8,
};

#define AMQP_FRAME_END 0xCE

/* The smallest frame_max a peer may ask for. */
#define AMQP_FRAME_MIN_SIZE 4096
/* Type, channel and size, before the payload. */
#define AMQP_FRAME_HEADER_SIZE 7
/* What a frame is longer than its payload: the header and the end octet. */
#define AMQP_FRAME_OVERHEAD 8

/* The longest shortstr, which bounds every name on the wire. */
#define AMQP_SHORTSTR_MAX 255

enum amqp_class_id {
    AMQP_CLASS_CONNECTION = 10,
    AMQP_CLASS_CHANNEL = 20,
    AMQP_CLASS_ACCESS = 30,
    AMQP_CLASS_EXCHANGE = 40,
    AMQP_CLASS_QUEUE = 50,
    AMQP_CLASS_BASIC = 60,
    AMQP_CLASS_CONFIRM = 85,
    AMQP_CLASS_TX = 90,
};

enum amqp_reply_code {
    AMQP_REPLY_SUCCESS = 200,
    AMQP_CONTENT_TOO_LARGE = 311,
    AMQP_NO_ROUTE = 312,
    AMQP_NO_CONSUMERS = 313,
    AMQP_CONNECTION_FORCED = 320,
    AMQP_INVALID_PATH = 402,
    AMQP_ACCESS_REFUSED = 403,
    AMQP_NOT_FOUND = 404,
    AMQP_RESOURCE_LOCKED = 405,
    AMQP_PRECONDITION_FAILED = 406,
    AMQP_FRAME_ERROR = 501,
    AMQP_SYNTAX_ERROR = 502,
    AMQP_COMMAND_INVALID = 503,
    AMQP_CHANNEL_ERROR = 504,
    AMQP_UNEXPECTED_FRAME = 505,
    AMQP_RESOURCE_ERROR = 506,
    AMQP_NOT_ALLOWED = 530,
    AMQP_NOT_IMPLEMENTED = 540,
    AMQP_INTERNAL_ERROR = 541,
};

/* The specification's name of a reply code, "NOT_FOUND" for 404; "UNKNOWN" for a number that is
 * none of enum amqp_reply_code. A static string. Any thread. */
const char *amqp_reply_name(int code);

#endif
