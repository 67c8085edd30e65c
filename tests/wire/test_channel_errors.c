/* Every error that closes a channel, with RabbitMQ's codes and texts. */
#include "tests/wire/harness.h"

struct channel_error {
    const char *name;
    int code;
    const char *text;
    void (*provoke)(struct channel *ch);
};

#define IN_Q " for queue 'q' in vhost '/'"
#define IN_X " for exchange 'x' in vhost '/'"
#define LOCKED_TEXT \
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'locked' in vhost '/'. It " \
    "could be originally declared on another connection or the exclusive property value does " \
    "not match that of the original declaration."
#define NO_QUEUE_TEXT "NOT_FOUND - no queue 'none' in vhost '/'"
#define NO_EXCHANGE_TEXT "NOT_FOUND - no exchange 'none' in vhost '/'"
#define NO_PREVIOUS_TEXT "NOT_FOUND - no previously declared queue"
#define N50 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define N200 N50 N50 N50 N50
#define DEFAULT_EXCHANGE_TEXT "ACCESS_REFUSED - operation not permitted on the default exchange"

/* name, code, text, what provokes it on `ch` (queue q and exchange x, both plain, exist; queue
 * "locked" is another connection's exclusive one). */
#define CHANNEL_ERRORS(X) \
    X(passive_declare_of_no_queue, 404, NO_QUEUE_TEXT, \
      send_queue_declare(ch, "none", PASSIVE, NO_ARGS)) \
    X(consume_from_no_queue, 404, NO_QUEUE_TEXT, send_consume(ch, "none", "", 0, NO_ARGS)) \
    X(get_from_no_queue, 404, NO_QUEUE_TEXT, send_get(ch, "none", 0)) \
    X(purge_of_no_queue, 404, NO_QUEUE_TEXT, send_queue_purge(ch, "none", 0)) \
    X(bind_of_no_queue, 404, NO_QUEUE_TEXT, send_queue_bind(ch, "none", "x", "k", 0, NO_ARGS)) \
    X(bind_to_no_exchange, 404, NO_EXCHANGE_TEXT, \
      send_queue_bind(ch, "q", "none", "k", 0, NO_ARGS)) \
    X(passive_declare_of_no_exchange, 404, NO_EXCHANGE_TEXT, \
      send_exchange_declare(ch, "none", "direct", PASSIVE, NO_ARGS)) \
    X(publish_to_no_exchange, 404, NO_EXCHANGE_TEXT, publish_to(ch, "none", "k", "a")) \
    X(bind_of_no_destination, 404, NO_EXCHANGE_TEXT, \
      send_exchange_bind(ch, "none", "x", "k", 0, NO_ARGS)) \
    X(bind_to_no_source, 404, NO_EXCHANGE_TEXT, \
      send_exchange_bind(ch, "x", "none", "k", 0, NO_ARGS)) \
    X(no_wait_passive_declare_of_no_queue, 404, NO_QUEUE_TEXT, \
      send_queue_declare(ch, "none", PASSIVE | NO_WAIT, NO_ARGS)) \
    X(consume_without_a_last_queue, 404, NO_PREVIOUS_TEXT, send_consume(ch, "", "", 0, NO_ARGS)) \
    X(get_without_a_last_queue, 404, NO_PREVIOUS_TEXT, send_get(ch, "", 0)) \
    X(purge_without_a_last_queue, 404, NO_PREVIOUS_TEXT, send_queue_purge(ch, "", 0)) \
    X(delete_without_a_last_queue, 404, NO_PREVIOUS_TEXT, send_queue_delete(ch, "", 0)) \
    X(bind_without_a_last_queue, 404, NO_PREVIOUS_TEXT, \
      send_queue_bind(ch, "", "x", "", 0, NO_ARGS)) \
    X(passive_declare_without_a_last_queue, 404, "NOT_FOUND - no queue '' in vhost '/'", \
      send_queue_declare(ch, "", PASSIVE, NO_ARGS)) \
    X(reserved_exchange_name, 403, \
      "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'", \
      send_exchange_declare(ch, "amq.foo", "direct", 0, NO_ARGS)) \
    X(reserved_queue_name, 403, \
      "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'", \
      send_queue_declare(ch, "amq.foo", 0, NO_ARGS)) \
    X(passive_declare_of_no_reserved_exchange, 404, \
      "NOT_FOUND - no exchange 'amq.foo' in vhost '/'", \
      send_exchange_declare(ch, "amq.foo", "direct", PASSIVE, NO_ARGS)) \
    X(default_exchange_declare, 403, DEFAULT_EXCHANGE_TEXT, \
      send_exchange_declare(ch, "", "direct", DURABLE, NO_ARGS)) \
    X(default_exchange_passive_declare, 403, DEFAULT_EXCHANGE_TEXT, \
      send_exchange_declare(ch, "", "direct", PASSIVE, NO_ARGS)) \
    X(default_exchange_delete, 403, DEFAULT_EXCHANGE_TEXT, send_exchange_delete(ch, "", 0)) \
    X(default_exchange_bind_queue, 403, DEFAULT_EXCHANGE_TEXT, \
      send_queue_bind(ch, "q", "", "k", 0, NO_ARGS)) \
    X(default_exchange_unbind_queue, 403, DEFAULT_EXCHANGE_TEXT, \
      send_queue_unbind(ch, "q", "", "q", NO_ARGS)) \
    X(default_exchange_bind_source, 403, DEFAULT_EXCHANGE_TEXT, \
      send_exchange_bind(ch, "x", "", "k", 0, NO_ARGS)) \
    X(default_exchange_bind_destination, 403, DEFAULT_EXCHANGE_TEXT, \
      send_exchange_bind(ch, "", "x", "k", 0, NO_ARGS)) \
    X(default_exchange_unbind_source, 403, DEFAULT_EXCHANGE_TEXT, \
      send_exchange_unbind(ch, "x", "", "k", 0, NO_ARGS)) \
    X(system_exchange_delete, 403, \
      "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed", \
      send_exchange_delete(ch, "amq.direct", 0)) \
    X(publish_to_internal_exchange, 403, \
      "ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'", \
      declare_exchange(ch, "inside", "fanout", INTERNAL, NO_ARGS); \
      publish_to(ch, "inside", "k", "a")) \
    X(consume_beside_an_exclusive_consumer, 403, \
      "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", \
      consume(ch, "q", "one", EXCLUSIVE, NO_ARGS); \
      send_consume(ch, "q", "two", 0, NO_ARGS)) \
    X(exclusive_consume_beside_a_consumer, 403, \
      "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", \
      consume(ch, "q", "one", 0, NO_ARGS); \
      send_consume(ch, "q", "two", EXCLUSIVE, NO_ARGS)) \
    X(locked_declare, 405, LOCKED_TEXT, send_queue_declare(ch, "locked", 0, NO_ARGS)) \
    X(locked_exclusive_declare, 405, LOCKED_TEXT, \
      send_queue_declare(ch, "locked", EXCLUSIVE, NO_ARGS)) \
    X(locked_passive_declare, 405, LOCKED_TEXT, \
      send_queue_declare(ch, "locked", PASSIVE, NO_ARGS)) \
    X(locked_consume, 405, LOCKED_TEXT, send_consume(ch, "locked", "", 0, NO_ARGS)) \
    X(locked_get, 405, LOCKED_TEXT, send_get(ch, "locked", 0)) \
    X(locked_purge, 405, LOCKED_TEXT, send_queue_purge(ch, "locked", 0)) \
    X(locked_delete, 405, LOCKED_TEXT, send_queue_delete(ch, "locked", 0)) \
    X(locked_bind, 405, LOCKED_TEXT, send_queue_bind(ch, "locked", "x", "k", 0, NO_ARGS)) \
    X(locked_unbind, 405, LOCKED_TEXT, send_queue_unbind(ch, "locked", "x", "k", NO_ARGS)) \
    X(exclusive_differs, 405, \
      "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It " \
      "could be originally declared on another connection or the exclusive property value does " \
      "not match that of the original declaration.", \
      send_queue_declare(ch, "q", EXCLUSIVE, NO_ARGS)) \
    X(queue_durable_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'durable'" IN_Q \
      ": received 'true' but current is 'false'", \
      send_queue_declare(ch, "q", DURABLE, NO_ARGS)) \
    X(queue_auto_delete_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'auto_delete'" IN_Q \
      ": received 'true' but current is 'false'", \
      send_queue_declare(ch, "q", AUTO_DELETE, NO_ARGS)) \
    X(queue_argument_missing, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' in vhost '/': " \
      "received none but current is the value '60000' of type 'signedint'", \
      declare_queue(ch, "ttl", 0, ARGS(arg_int("x-message-ttl", 60000))); \
      send_queue_declare(ch, "ttl", 0, NO_ARGS)) \
    X(queue_argument_unexpected, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'" IN_Q \
      ": received the value '1' of type 'signedint' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_int("x-message-ttl", 1)))) \
    X(queue_argument_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' in vhost '/': " \
      "received '1' but current is '60000'", \
      declare_queue(ch, "ttl", 0, ARGS(arg_int("x-message-ttl", 60000))); \
      send_queue_declare(ch, "ttl", 0, ARGS(arg_int("x-message-ttl", 1)))) \
    X(queue_string_argument_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'dl' in vhost " \
      "'/': received 'b' but current is 'a'", \
      declare_queue(ch, "dl", 0, ARGS(arg_string("x-dead-letter-exchange", "a"))); \
      send_queue_declare(ch, "dl", 0, ARGS(arg_string("x-dead-letter-exchange", "b")))) \
    X(queue_string_argument_missing, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'dl' in vhost " \
      "'/': received none but current is the value 'a' of type 'longstr'", \
      declare_queue(ch, "dl", 0, ARGS(arg_string("x-dead-letter-exchange", "a"))); \
      send_queue_declare(ch, "dl", 0, NO_ARGS)) \
    X(redeclare_with_a_negative_ttl, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'" IN_Q \
      ": received the value '-1' of type 'signedint' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_int("x-message-ttl", -1)))) \
    X(redeclare_with_a_ttl_that_is_a_string, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'" IN_Q \
      ": received the value 'abc' of type 'longstr' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_string("x-message-ttl", "abc")))) \
    X(redeclare_with_another_ttl_that_is_negative, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' in vhost '/': " \
      "received '-1' but current is '60000'", \
      declare_queue(ch, "ttl", 0, ARGS(arg_int("x-message-ttl", 60000))); \
      send_queue_declare(ch, "ttl", 0, ARGS(arg_int("x-message-ttl", -1)))) \
    X(redeclare_with_another_ttl_that_is_a_string, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' in vhost '/': " \
      "received 'abc' but current is '60000'", \
      declare_queue(ch, "ttl", 0, ARGS(arg_int("x-message-ttl", 60000))); \
      send_queue_declare(ch, "ttl", 0, ARGS(arg_string("x-message-ttl", "abc")))) \
    X(redeclare_with_a_ttl_that_is_a_boolean, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'" IN_Q \
      ": received the value 'true' of type 'bool' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_bool("x-message-ttl", 1)))) \
    X(redeclare_with_an_unknown_type, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'" IN_Q \
      ": received the value 'pile' of type 'longstr' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_string("x-queue-type", "pile")))) \
    X(redeclare_with_a_type_that_is_a_number, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'" IN_Q \
      ": received the value '7' of type 'signedint' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_int("x-queue-type", 7)))) \
    X(redeclare_as_quorum, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'" IN_Q \
      ": received the value 'quorum' of type 'longstr' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_string("x-queue-type", "quorum")))) \
    X(redeclare_of_quorum_with_a_type_that_is_a_number, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'quorum' in vhost '/': " \
      "received '7' but current is 'quorum'", \
      declare_queue(ch, "quorum", DURABLE, ARGS(arg_string("x-queue-type", "quorum"))); \
      send_queue_declare(ch, "quorum", DURABLE, ARGS(arg_int("x-queue-type", 7)))) \
    X(redeclare_of_quorum_that_is_not_durable, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'quorum' in vhost '/': " \
      "received 'false' but current is 'true'", \
      declare_queue(ch, "quorum", DURABLE, ARGS(arg_string("x-queue-type", "quorum"))); \
      send_queue_declare(ch, "quorum", 0, ARGS(arg_string("x-queue-type", "quorum")))) \
    X(redeclare_of_quorum_that_is_exclusive, 405, \
      "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'quorum' in vhost '/'. *", \
      declare_queue(ch, "quorum", DURABLE, ARGS(arg_string("x-queue-type", "quorum"))); \
      send_queue_declare(ch, "quorum", DURABLE | EXCLUSIVE, \
                         ARGS(arg_string("x-queue-type", "quorum")))) \
    X(redeclare_with_too_high_a_priority, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-max-priority'" IN_Q \
      ": received the value '256' of type 'signedint' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_int("x-max-priority", 256)))) \
    X(redeclare_with_a_key_without_exchange, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-routing-key'" IN_Q \
      ": received the value 'k' of type 'longstr' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_string("x-dead-letter-routing-key", "k")))) \
    X(redeclare_with_a_dead_letter_exchange_that_is_a_number, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange'" IN_Q \
      ": received the value '1' of type 'signedint' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_int("x-dead-letter-exchange", 1)))) \
    X(redeclare_with_an_unknown_overflow, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-overflow'" IN_Q \
      ": received the value 'explode' of type 'longstr' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_string("x-overflow", "explode")))) \
    X(redeclare_with_two_wrong_arguments, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'x-expires'" IN_Q \
      ": received the value '0' of type 'signedint' but current is none", \
      send_queue_declare(ch, "q", 0, ARGS(arg_int("x-max-length", -1), arg_int("x-expires", 0)))) \
    X(redeclare_as_durable_with_a_wrong_argument, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'durable'" IN_Q \
      ": received 'true' but current is 'false'", \
      send_queue_declare(ch, "q", DURABLE, ARGS(arg_int("x-message-ttl", -1)))) \
    X(redeclare_as_exclusive_with_a_wrong_argument, 405, \
      "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. *", \
      send_queue_declare(ch, "q", EXCLUSIVE, ARGS(arg_int("x-message-ttl", -1)))) \
    X(locked_declare_with_a_wrong_argument, 405, LOCKED_TEXT, \
      send_queue_declare(ch, "locked", 0, ARGS(arg_string("x-message-ttl", "abc")))) \
    X(server_named_quorum_queue, 406, \
      "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue", \
      send_queue_declare(ch, "", DURABLE, ARGS(arg_string("x-queue-type", "quorum")))) \
    X(exchange_type_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'type'" IN_X \
      ": received 'fanout' but current is 'direct'", \
      send_exchange_declare(ch, "x", "fanout", 0, NO_ARGS)) \
    X(exchange_durable_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'durable'" IN_X \
      ": received 'true' but current is 'false'", \
      send_exchange_declare(ch, "x", "direct", DURABLE, NO_ARGS)) \
    X(exchange_auto_delete_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'auto_delete'" IN_X \
      ": received 'true' but current is 'false'", \
      send_exchange_declare(ch, "x", "direct", AUTO_DELETE, NO_ARGS)) \
    X(exchange_internal_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'internal'" IN_X \
      ": received 'true' but current is 'false'", \
      send_exchange_declare(ch, "x", "direct", INTERNAL, NO_ARGS)) \
    X(exchange_alternate_unexpected, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange'" IN_X \
      ": received the value 'other' of type 'longstr' but current is none", \
      send_exchange_declare(ch, "x", "direct", 0, \
                            ARGS(arg_string("alternate-exchange", "other")))) \
    X(exchange_alternate_differs, 406, \
      "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'ae' in vhost " \
      "'/': received 'b' but current is 'a'", \
      declare_exchange(ch, "ae", "direct", 0, ARGS(arg_string("alternate-exchange", "a"))); \
      send_exchange_declare(ch, "ae", "direct", 0, ARGS(arg_string("alternate-exchange", "b")))) \
    X(delete_of_used_exchange, 406, "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use", \
      bind_queue(ch, "q", "x", "k", NO_ARGS); \
      send_exchange_delete(ch, "x", IF_UNUSED)) \
    X(delete_of_used_queue, 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use", \
      consume(ch, "q", "one", 0, NO_ARGS); \
      send_queue_delete(ch, "q", IF_UNUSED)) \
    X(delete_of_full_queue, 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty", \
      publish(ch, "q", "a"); \
      await_message_count(ch, "q", 1); send_queue_delete(ch, "q", IF_EMPTY)) \
    X(ack_of_unknown_tag, 406, "PRECONDITION_FAILED - unknown delivery tag 7", ack(ch, 7, 0)) \
    X(nack_of_unknown_tag, 406, "PRECONDITION_FAILED - unknown delivery tag 7", nack(ch, 7, 0)) \
    X(reject_of_unknown_tag, 406, "PRECONDITION_FAILED - unknown delivery tag 7", \
      reject(ch, 7, 0)) \
    X(multiple_ack_of_unknown_tag, 406, "PRECONDITION_FAILED - unknown delivery tag 7", \
      ack(ch, 7, MULTIPLE)) \
    X(ack_of_zero, 406, "PRECONDITION_FAILED - unknown delivery tag 0", ack(ch, 0, 0)) \
    X(second_ack, 406, "PRECONDITION_FAILED - unknown delivery tag 1", publish(ch, "q", "a"); \
      ack(ch, (await_message_count(ch, "q", 1), expect_get(ch, "q", "a", 0).tag), 0); \
      ack(ch, 1, 0)) \
    X(ack_of_what_needs_none, 406, "PRECONDITION_FAILED - unknown delivery tag 1", \
      publish(ch, "q", "a"); \
      await_message_count(ch, "q", 1); expect_get(ch, "q", "a", NO_ACK); ack(ch, 1, 0)) \
    X(foreign_user_id, 406, \
      "PRECONDITION_FAILED - user_id property set to 'someone' but authenticated user was " \
      "'guest'", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_USER_ID_FLAG, .user_id = text("someone")), \
                   "a")) \
    X(expiration_is_no_number, 406, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("abc")), \
                   "a")) \
    X(expiration_is_negative, 406, \
      "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("-1")), \
                   "a")) \
    X(expiration_is_too_large, 406, \
      "PRECONDITION_FAILED - invalid expiration '315360000001': {value_too_large,315360000001}", \
      publish_with(ch, "", "q", 0, \
                   PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("315360000001")), "a")) \
    X(expiration_is_too_large_behind_zeros, 406, \
      "PRECONDITION_FAILED - invalid expiration '+00999999999999': " \
      "{value_too_large,999999999999}", \
      publish_with(ch, "", "q", 0, \
                   PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("+00999999999999")), "a")) \
    X(expiration_is_broken, 406, \
      "PRECONDITION_FAILED - invalid expiration '1.5': {leftover_string,\".5\"}", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("1.5")), \
                   "a")) \
    X(expiration_has_a_tail_to_quote, 406, \
      "PRECONDITION_FAILED - invalid expiration '-5\"\\\n': {leftover_string,\"\\\"\\\\\\n\"}", \
      publish_with(ch, "", "q", 0, \
                   PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("-5\"\\\n")), "a")) \
    X(expiration_has_an_unprintable_tail, 406, \
      "PRECONDITION_FAILED - invalid expiration '1\x01\x7f': {leftover_string,[1,127]}", \
      publish_with(ch, "", "q", 0, \
                   PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("1\x01\x7f")), "a")) \
    X(expiration_is_a_sign, 406, "PRECONDITION_FAILED - invalid expiration '-': no_integer", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("-")), \
                   "a")) \
    X(expiration_has_a_tail, 406, \
      "PRECONDITION_FAILED - invalid expiration '10s': {leftover_string,\"s\"}", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("10s")), \
                   "a")) \
    X(expiration_is_empty, 406, "PRECONDITION_FAILED - invalid expiration '': no_integer", \
      publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("")), \
                   "a")) \
    X(ttl_is_a_string, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-message-ttl", "1")))) \
    X(ttl_is_negative, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_int("x-message-ttl", -1)))) \
    X(expires_is_zero, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_int("x-expires", 0)))) \
    X(expires_is_a_string, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-expires", "1000")))) \
    X(max_length_is_negative, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_int("x-max-length", -1)))) \
    X(max_length_bytes_is_a_string, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-max-length-bytes' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-max-length-bytes", "1")))) \
    X(max_priority_is_too_large, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_int("x-max-priority", 256)))) \
    X(overflow_is_unknown, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-overflow", "explode")))) \
    X(dead_letter_exchange_is_a_number, 406, \
      "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue " \
      "'new' in vhost '/'", \
      send_queue_declare(ch, "new", 0, ARGS(arg_int("x-dead-letter-exchange", 1)))) \
    X(dead_letter_key_without_exchange, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'new' in vhost " \
      "'/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-dead-letter-routing-key", "k")))) \
    X(queue_type_is_unknown, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'new' in vhost '/': *", \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-queue-type", "pile")))) \
    X(alternate_exchange_is_a_number, 406, \
      "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange " \
      "'new' in vhost '/'", \
      send_exchange_declare(ch, "new", "direct", 0, ARGS(arg_int("alternate-exchange", 1)))) \
    X(cc_is_no_array, 406, \
      "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}", \
      publish_with(ch, "", "q", 0, HEADERS(arg_string("CC", "k")), "a")) \
    X(bcc_is_no_array, 406, \
      "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"BCC\",signedint}", \
      publish_with(ch, "", "q", 0, HEADERS(arg_int("BCC", 1)), "a")) \
    X(x_match_is_unknown, 406, "PRECONDITION_FAILED - Invalid x-match field value *", \
      declare_exchange(ch, "h", "headers", 0, NO_ARGS); \
      send_queue_bind(ch, "q", "h", "", 0, ARGS(arg_string("x-match", "some")))) \
    X(x_match_is_a_number, 406, "PRECONDITION_FAILED - Invalid x-match field *", \
      declare_exchange(ch, "h", "headers", 0, NO_ARGS); \
      send_queue_bind(ch, "q", "h", "", 0, ARGS(arg_int("x-match", 1)))) \
    X(consumer_priority_is_a_string, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-priority'" IN_Q ": \"expected integer, got longstr\"", \
      send_consume(ch, "q", "", 0, ARGS(arg_string("x-priority", "1")))) \
    X(consumer_ha_failover_is_a_number, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover'" IN_Q \
      ": {unacceptable_type,signedint}", \
      send_consume(ch, "q", "", 0, ARGS(arg_int("x-cancel-on-ha-failover", 1)))) \
    X(consumer_of_no_stream_has_an_offset, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-stream-offset'" IN_Q \
      " of queue type rabbit_classic_queue", \
      send_consume(ch, "q", "", 0, ARGS(arg_string("x-stream-offset", "first")))) \
    X(consumer_of_a_quorum_queue_has_ha_failover, 406, \
      "PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue 'quorum' in vhost " \
      "'/' of queue type rabbit_quorum_queue", \
      declare_queue(ch, "quorum", DURABLE, ARGS(arg_string("x-queue-type", "quorum"))); \
      send_consume(ch, "quorum", "", 0, ARGS(arg_bool("x-cancel-on-ha-failover", true)))) \
    X(consumer_arguments_of_no_queue, 404, NO_QUEUE_TEXT, \
      send_consume(ch, "none", "", 0, ARGS(arg_string("x-priority", "1")))) \
    X(commit_without_select, 406, "PRECONDITION_FAILED - channel is not transactional", \
      send_tx_commit(ch)) \
    X(rollback_without_select, 406, "PRECONDITION_FAILED - channel is not transactional", \
      send_tx_rollback(ch)) \
    X(tx_on_a_confirm_channel, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", \
      confirm_select(ch); \
      send_tx_select(ch)) \
    X(confirm_on_a_tx_channel, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", \
      tx_select(ch); \
      send_confirm_select(ch, 0)) \
    X(reply_without_consumer, 406, "PRECONDITION_FAILED - fast reply consumer does not exist", \
      publish_with(ch, "", "q", 0, \
                   PROPS(AMQP_BASIC_REPLY_TO_FLAG, .reply_to = text("amq.rabbitmq.reply-to")), \
                   "a")) \
    X(declare_of_a_reply_queue_that_is_not_there, 404, \
      "NOT_FOUND - no queue 'amq.rabbitmq.reply-tox' in vhost '/'", \
      send_queue_declare(ch, "amq.rabbitmq.reply-tox", 0, NO_ARGS)) \
    X(text_is_too_long, 404, "NOT_FOUND - no queue '" N200 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...", \
      send_get(ch, N200 N50, 0)) \
    X(reply_consumer_that_acks, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge", \
      send_consume(ch, "amq.rabbitmq.reply-to", "", 0, NO_ARGS)) \
    X(message_is_too_large, 406, "PRECONDITION_FAILED - message size 1048577 *", \
      publish_bytes(ch, "", "q", 0, NULL, large_body, sizeof(large_body)))

static const uint8_t large_body[TEST_MAX_MESSAGE_SIZE + 1];

#define DEFINE_CASE(name, code, text, ...) \
    static void provoke_##name(struct channel *ch) \
    { \
        HERE; \
        __VA_ARGS__; \
    }
CHANNEL_ERRORS(DEFINE_CASE)

#define LIST_CASE(name, code, text, ...) {#name, code, text, provoke_##name},
static const struct channel_error channel_errors[] = {CHANNEL_ERRORS(LIST_CASE)};

enum { CHANNEL_ERROR_COUNT = sizeof(channel_errors) / sizeof(channel_errors[0]) };

START_TEST(error_closes_its_channel_alone)
{
    const struct channel_error *e = &channel_errors[_i];
    struct channel *owner = connect_channel();
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);

    harness_case(e->name);
    declare_queue(owner, "locked", EXCLUSIVE, NO_ARGS);
    declare_queue(owner, "q", 0, NO_ARGS);
    declare_exchange(owner, "x", "direct", 0, NO_ARGS);
    bind_queue(owner, "locked", "x", "k", NO_ARGS);

    e->provoke(ch);

    expect_channel_error(ch, e->code, e->text);
    message_count(beside, "q");
    reopen_channel(ch);
    message_count(ch, "q");
}
END_TEST

START_TEST(methods_after_an_error_are_ignored_until_close_ok)
{
    struct channel *ch = connect_channel();
    amqp_channel_close_ok_t ok = {0};

    declare_queue(ch, "q", 0, NO_ARGS);
    send_get(ch, "none", 0);
    expect_method(ch, AMQP_CHANNEL_CLOSE_METHOD);
    send_queue_declare(ch, "unheard", 0, NO_ARGS);
    publish(ch, "q", "unheard");
    send_get(ch, "none", 0);
    send_method(ch, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    reopen_channel(ch);

    ck_assert_uint_eq(message_count(ch, "q"), 0);
    send_queue_declare(ch, "unheard", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'unheard' in vhost '/'");
}
END_TEST

START_TEST(a_close_crossing_the_brokers_is_answered)
{
    struct channel *ch = connect_channel();
    amqp_channel_close_t m = {.reply_code = 200, .reply_text = text("bye")};

    send_get(ch, "none", 0);
    send_method(ch, AMQP_CHANNEL_CLOSE_METHOD, &m);

    expect_method(ch, AMQP_CHANNEL_CLOSE_METHOD);
    expect_method(ch, AMQP_CHANNEL_CLOSE_OK_METHOD);
    send_method(ch, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0});
    reopen_channel(ch);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel errors");
    TCase *tcase = wire_tcase(suite, "table");

    tcase_add_loop_test(tcase, error_closes_its_channel_alone, 0, CHANNEL_ERROR_COUNT);
    tcase = wire_tcase(suite, "closing");
    tcase_add_test(tcase, methods_after_an_error_are_ignored_until_close_ok);
    tcase_add_test(tcase, a_close_crossing_the_brokers_is_answered);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
