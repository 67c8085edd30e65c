"""pika: blocking and asynchronous connections."""
import time

import pika
from pika.exceptions import (ChannelClosedByBroker, NackError, ProbableAuthenticationError,
                             UnroutableError)

from checks import HOST, PORT, check, equal, run

DEADLINE_S = 10


def connect(**options):
    """A blocking connection as guest."""
    return pika.BlockingConnection(pika.ConnectionParameters(HOST, PORT, **options))


def take(channel, queue):
    """Gets one message, waiting for it."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        method, properties, body = channel.basic_get(queue)
        if method:
            return method, properties, body
    raise AssertionError(f"nothing comes to {queue}")


def lease(channel, tag, timeout_ms):
    """Gives a delivery a time from now on, by the exchange for it."""
    channel.basic_publish("amq.lease", "", b"", pika.BasicProperties(
        headers={"delivery-tag": tag, "visibility-timeout": timeout_ms}))


@check
def publishes_with_confirms_and_gets():
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.exchange_declare("pika.topic", "topic", auto_delete=True)
        channel.queue_bind(queue, "pika.topic", "orders.*.paid")
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, priority=3, message_id="m1",
            timestamp=1700000000, headers={"n": 1, "deep": {"list": [1, "two", None, True]}})
        channel.basic_publish("pika.topic", "orders.eu.paid", b"{}", properties, mandatory=True)
        method, got, body = take(channel, queue)
        equal(body, b"{}")
        equal(method.exchange, "pika.topic")
        equal(method.routing_key, "orders.eu.paid")
        equal(got.headers, {"n": 1, "deep": {"list": [1, "two", None, True]}})
        equal((got.content_type, got.delivery_mode, got.priority, got.message_id, got.timestamp),
              ("application/json", 2, 3, "m1", 1700000000))
        channel.basic_ack(method.delivery_tag)


@check
def unroutable_mandatory_message_is_returned():
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish("", "pika.no-such-queue", b"lost", mandatory=True)
        except UnroutableError as error:
            equal(error.messages[0].body, b"lost")
            equal(error.messages[0].method.reply_code, 312)
        else:
            raise AssertionError("no return")


@check
def consumes_in_order_and_acks():
    with connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for i in range(200):
            channel.basic_publish("", queue, str(i).encode())
        channel.basic_qos(prefetch_count=10)
        bodies = []
        for method, _, body in channel.consume(queue, inactivity_timeout=DEADLINE_S):
            assert method is not None, "deliveries stop"
            bodies.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(bodies) == 200:
                break
        equal(bodies, list(range(200)))
        equal(channel.cancel(), 0)
        equal(channel.queue_declare(queue, passive=True).method.message_count, 0)


@check
def nacked_message_comes_again():
    with connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"again")
        method, _, _ = take(channel, queue)
        equal(method.redelivered, False)
        channel.basic_nack(method.delivery_tag, requeue=True)
        method, _, body = take(channel, queue)
        equal((method.redelivered, body), (True, b"again"))


@check
def rejected_message_goes_to_the_dead_letter_exchange():
    with connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("pika.dlx", "fanout", auto_delete=True)
        dead = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(dead, "pika.dlx")
        queue = channel.queue_declare(
            "", exclusive=True, arguments={"x-dead-letter-exchange": "pika.dlx"}).method.queue
        channel.basic_publish("", queue, b"bad")
        method, _, _ = take(channel, queue)
        channel.basic_reject(method.delivery_tag, requeue=False)
        method, properties, body = take(channel, dead)
        equal(body, b"bad")
        death = properties.headers["x-death"][0]
        equal((death["queue"], death["reason"], death["count"], death["exchange"],
               death["routing-keys"]), (queue, "rejected", 1, "", [queue]))
        equal(properties.headers["x-first-death-reason"], "rejected")


@check
def answers_come_through_direct_reply_to():
    with connect() as connection, connect() as server_connection:
        server = server_connection.channel()
        requests = server.queue_declare("", exclusive=True).method.queue
        client = connection.channel()
        answers = []
        client.basic_consume("amq.rabbitmq.reply-to",
                             lambda _c, _m, p, body: answers.append((p.correlation_id, body)),
                             auto_ack=True)
        client.basic_publish(
            "", requests, b"21",
            pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="c1"))
        method, properties, body = take(server, requests)
        server.basic_publish("", properties.reply_to, str(int(body) * 2).encode(),
                             pika.BasicProperties(correlation_id=properties.correlation_id))
        server.basic_ack(method.delivery_tag)
        connection.process_data_events(time_limit=DEADLINE_S)
        equal(answers, [("c1", b"42")])


@check
def missing_queue_closes_the_channel_alone():
    with connect() as connection:
        channel = connection.channel()
        try:
            channel.queue_declare("pika.none", passive=True)
        except ChannelClosedByBroker as error:
            equal((error.reply_code, error.reply_text),
                  (404, "NOT_FOUND - no queue 'pika.none' in vhost '/'"))
        else:
            raise AssertionError("no error")
        connection.channel().queue_declare("", exclusive=True)


@check
def inequivalent_redeclare_is_refused():
    with connect() as connection:
        channel = connection.channel()
        channel.queue_declare("pika.q", auto_delete=True)
        try:
            channel.queue_declare("pika.q", durable=True)
        except ChannelClosedByBroker as error:
            equal(error.reply_code, 406)
        else:
            raise AssertionError("no error")
        connection.channel().queue_delete("pika.q")


@check
def wrong_password_is_told():
    try:
        connect(credentials=pika.PlainCredentials("guest", "wrong"))
    except ProbableAuthenticationError:
        pass
    else:
        raise AssertionError("logged in")


@check
def large_message_comes_whole():
    with connect(frame_max=4096) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        body = bytes(range(256)) * 4000
        channel.basic_publish("", queue, body)
        _, _, got = take(channel, queue)
        assert got == body, "the body differs"


@check
def heartbeats_keep_an_idle_connection():
    with connect(heartbeat=1) as connection:
        channel = connection.channel()
        connection.process_data_events(time_limit=4)
        assert connection.is_open
        channel.queue_declare("", exclusive=True)


@check
def consumer_is_told_when_its_queue_goes():
    with connect() as connection:
        channel = connection.channel()
        cancelled = []
        channel.add_on_cancel_callback(cancelled.append)
        channel.queue_declare("pika.gone", auto_delete=True)
        tag = channel.basic_consume("pika.gone", lambda *_: None)
        channel.queue_delete("pika.gone")
        end = time.monotonic() + DEADLINE_S
        while not cancelled and time.monotonic() < end:
            connection.process_data_events(time_limit=0.1)
        equal([frame.method.consumer_tag for frame in cancelled], [tag])


@check
def transactions_commit_and_roll_back():
    with connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.tx_select()
        channel.basic_publish("", queue, b"never")
        channel.tx_rollback()
        channel.basic_publish("", queue, b"committed")
        channel.tx_commit()
        equal(take(channel, queue)[2], b"committed")
        equal(channel.basic_get(queue)[0], None)


@check
def holds_a_delivery_longer_by_a_lease():
    with connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True,
                                      arguments={"x-visibility-timeout": 60000}).method.queue
        channel.basic_publish("", queue, b"short")
        channel.basic_publish("", queue, b"long")
        short = take(channel, queue)[0]
        held = take(channel, queue)[0]
        lease(channel, held.delivery_tag, 90000)
        lease(channel, short.delivery_tag, 10)
        again, _, body = take(channel, queue)
        equal((body, again.redelivered), (b"short", True))
        try:
            lease(channel, short.delivery_tag, 60000)
        except NackError:
            pass
        else:
            raise AssertionError("what went back is still held")
        channel.basic_ack(short.delivery_tag)
        lease(channel, held.delivery_tag, 0)
        equal(take(channel, queue)[2], b"long")


@check
def consumer_timeout_closes_the_channel():
    with connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True,
                                      arguments={"x-consumer-timeout": 200}).method.queue
        channel.basic_publish("", queue, b"a")
        take(channel, queue)
        try:
            take(channel, queue)
        except ChannelClosedByBroker as error:
            equal(error.reply_code, 406)
            assert "Timeout value used: 200 ms" in error.reply_text, error.reply_text
        else:
            raise AssertionError("the channel is open still")


class Asynchronous:
    """Publishes COUNT messages with confirms and consumes them on one SelectConnection."""

    COUNT = 1000

    def __init__(self):
        self.received = []
        self.confirmed = 0
        self.queue = None
        self.channel = None
        self.error = None
        self.connection = pika.SelectConnection(
            pika.ConnectionParameters(HOST, PORT),
            on_open_callback=lambda c: c.channel(on_open_callback=self.on_channel),
            on_open_error_callback=lambda _c, error: self.fail(error),
            on_close_callback=lambda _c, reason: self.connection.ioloop.stop())

    def fail(self, error):
        """Ends the loop with an error."""
        self.error = error
        self.connection.ioloop.stop()

    def on_channel(self, channel):
        """The channel is open."""
        self.channel = channel
        channel.confirm_delivery(self.on_confirm)
        channel.queue_declare("", exclusive=True, callback=self.on_queue)

    def on_queue(self, frame):
        """The queue is there: consumes from it and publishes to it."""
        self.queue = frame.method.queue
        self.channel.basic_consume(self.queue, self.on_message)
        for i in range(self.COUNT):
            self.channel.basic_publish("", self.queue, str(i).encode())

    def on_confirm(self, frame):
        """A confirm, of one message or of all up to it."""
        if isinstance(frame.method, pika.spec.Basic.Ack):
            self.confirmed = max(self.confirmed, frame.method.delivery_tag)
        self.end_when_done()

    def on_message(self, channel, method, _properties, body):
        """A delivery."""
        self.received.append(int(body))
        if len(self.received) % 100 == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        self.end_when_done()

    def end_when_done(self):
        """Closes when all came and all is confirmed."""
        if self.confirmed == self.COUNT and len(self.received) == self.COUNT:
            if self.connection.is_open:
                self.connection.close()

    def run(self):
        """Runs to the end or the deadline."""
        self.connection.ioloop.call_later(DEADLINE_S, lambda: self.fail("time is over"))
        self.connection.ioloop.start()
        if self.error:
            raise AssertionError(self.error)


@check
def select_connection_publishes_and_consumes():
    client = Asynchronous()
    client.run()
    equal(client.received, list(range(client.COUNT)))


run()
