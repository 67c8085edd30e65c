"""kombu over py-amqp: what Celery and others stand on."""
import socket

from kombu import Connection, Exchange, Queue
from kombu.common import uuid
from kombu.pools import producers

from checks import HOST, PORT, check, equal, run

URL = f"amqp://guest:guest@{HOST}:{PORT}//"
DEADLINE_S = 10


def connect():
    """A connection as guest to vhost /."""
    return Connection(URL, connect_timeout=DEADLINE_S)


def drain(connection, until):
    """Handles events until `until` says so."""
    while not until():
        connection.drain_events(timeout=DEADLINE_S)


@check
def declares_publishes_and_consumes_json():
    exchange = Exchange("kombu.media", "direct", durable=False, auto_delete=True)
    queue = Queue("kombu.video", exchange, "video", durable=False, auto_delete=True)
    with connect() as connection:
        got = []
        with connection.Producer(serializer="json") as producer:
            with connection.Consumer(queue, callbacks=[lambda body, message: (
                    got.append(body), message.ack())]):
                for i in range(100):
                    producer.publish({"name": "clip", "number": i}, exchange=exchange,
                                     routing_key="video", declare=[queue])
                drain(connection, lambda: len(got) == 100)
        equal(got, [{"name": "clip", "number": i} for i in range(100)])


@check
def confirms_through_a_pool_of_producers():
    with Connection(URL, transport_options={"confirm_publish": True}) as connection:
        with connection.channel() as channel:
            queue = Queue("kombu.confirmed", channel=channel, durable=False, auto_delete=True)
            queue.declare()
            for i in range(20):
                with producers[connection].acquire(block=True, timeout=DEADLINE_S) as producer:
                    producer.publish(str(i), routing_key="kombu.confirmed", retry=True)
            equal(queue.purge(), 20)
            queue.delete()


@check
def simple_queue_puts_and_gets():
    with connect() as connection:
        queue = connection.SimpleQueue("kombu.simple")
        for i in range(10):
            queue.put({"i": i}, compression="zlib")
        for i in range(10):
            message = queue.get(block=True, timeout=DEADLINE_S)
            equal(message.payload, {"i": i})
            message.ack()
        equal(queue.qsize(), 0)
        queue.close()
        with connection.channel() as channel:
            channel.queue_delete("kombu.simple")


@check
def requeued_message_is_marked():
    with connect() as connection:
        with connection.channel() as channel:
            queue = Queue("kombu.requeue", channel=channel, durable=False)
            queue.declare()
            connection.Producer(channel).publish("x", routing_key="kombu.requeue")
            seen = []

            def on_message(_body, message):
                seen.append(message.delivery_info["redelivered"])
                if len(seen) == 1:
                    message.requeue()
                else:
                    message.ack()

            with connection.Consumer([queue], callbacks=[on_message], channel=channel):
                drain(connection, lambda: len(seen) == 2)
            equal(seen, [False, True])
            queue.delete()


@check
def prefetch_limits_what_is_open():
    with connect() as connection:
        with connection.channel() as channel:
            queue = Queue("kombu.prefetch", channel=channel, durable=False)
            queue.declare()
            producer = connection.Producer(channel)
            for i in range(10):
                producer.publish(str(i), routing_key="kombu.prefetch")
            messages = []
            with connection.Consumer([queue], callbacks=[lambda _b, m: messages.append(m)],
                                     channel=channel, prefetch_count=3):
                drain(connection, lambda: len(messages) == 3)
                try:
                    connection.drain_events(timeout=0.3)
                    raise AssertionError("more than the prefetch count came")
                except socket.timeout:
                    pass
                for message in list(messages):
                    message.ack()
                drain(connection, lambda: len(messages) == 6)
            queue.delete()


@check
def fanout_reaches_every_queue():
    exchange = Exchange("kombu.fanout", "fanout", durable=False, auto_delete=True)
    with connect() as connection:
        got = []
        queues = [Queue(uuid(), exchange, exclusive=True, durable=False) for _ in range(5)]
        with connection.Consumer(queues, callbacks=[lambda b, m: (got.append(b), m.ack())]):
            connection.Producer().publish("news", exchange=exchange)
            drain(connection, lambda: len(got) == 5)
        equal(got, ["news"] * 5)


@check
def heartbeats_are_answered():
    with Connection(URL, heartbeat=1) as connection:
        connection.connect()
        for _ in range(16):
            connection.heartbeat_check(rate=2)
            try:
                connection.drain_events(timeout=0.2)
            except socket.timeout:
                pass
        with connection.channel() as channel:
            channel.queue_declare("", exclusive=True)


run()
