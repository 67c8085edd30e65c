"""Who works against the broker in a shift, each in a process and on connections of its own. A role
works until its time is up, takes out what it put in, holds that against a ledger, and returns how
many messages it settled."""

import random
import socket
import time

import pika
from pika.exceptions import (AMQPConnectionError, ChannelClosedByBroker, NackError,
                             UnroutableError)

from ledger import Ledger, Violation, make_body, read_body

PATIENCE = 120  # seconds until what must come is missed
EXPIRES_MS = 2000
KIB = 1024
MIB = 1024 * 1024


class Shift:
    """What a role gets: where the broker is, its own random choices, and the end of its time."""

    def __init__(self, port, seed, seconds):
        self.port = port
        self.random = random.Random(seed)
        self.end = time.monotonic() + seconds

    def goes_on(self):
        return time.monotonic() < self.end

    def connect(self):
        return pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.port, heartbeat=30, blocked_connection_timeout=PATIENCE,
            socket_timeout=PATIENCE))

    def name(self, what):
        return f"{what}.{self.random.getrandbits(64):016x}"


def confirming(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


def put(channel, ledger, size, exchange="", persistent=True, **properties):
    """Publishes one message and waits for its confirm. Returns its number, None when it was nacked."""
    number = ledger.take_number()
    try:
        channel.basic_publish(
            exchange, ledger.queue, make_body(number, size),
            pika.BasicProperties(delivery_mode=2 if persistent else 1, **properties))
    except NackError:
        return None
    ledger.confirm(number)
    return number


def ready(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def drain(channel, queue, count, take, prefetch=100):
    """Consumes until `take` was called for `count` deliveries and returned true."""
    channel.basic_qos(prefetch_count=prefetch)
    end = time.monotonic() + PATIENCE
    while count > 0:
        for method, properties, body in channel.consume(queue, inactivity_timeout=1):
            if method is not None and take(method, properties, body):
                count -= 1
            if count == 0:
                break
            if time.monotonic() > end:
                raise Violation(f"{queue}: {count} messages do not come")
    channel.cancel()


def died_of(properties, reason, queue):
    death = (properties.headers or {}).get("x-death", [{}])[0]
    if death.get("reason") != reason or death.get("queue") != queue:
        raise Violation(f"{queue}: a dead letter tells {death} instead of {reason}")


def empty(channel, *queues):
    for queue in queues:
        left = ready(channel, queue)
        if left != 0:
            raise Violation(f"{queue}: {left} messages are left that nobody published")


# ---- acknowledged in every way ----

def settle_somehow(shift, channel, method, number, ledger, dead):
    """Returns false when the message will come again."""
    choice = shift.random.random()
    if choice < 0.15:
        channel.basic_nack(method.delivery_tag, requeue=True)
        return False
    if choice < 0.2:
        channel.basic_reject(method.delivery_tag, requeue=True)
        return False
    ledger.settle(number)
    if choice < 0.4:
        dead.confirm(number)
        channel.basic_reject(method.delivery_tag, requeue=False)
    else:
        channel.basic_ack(method.delivery_tag)
    return True


def letters(shift, kind):
    """Acks, nacks, requeues, channels that close with deliveries open, and dead letters."""
    name = f"soak.letters.{kind}"
    connection = shift.connect()
    publishing = confirming(connection)
    publishing.queue_declare(f"{name}.dead", durable=True)
    publishing.queue_declare(name, durable=True, arguments={
        "x-queue-type": kind, "x-delivery-limit": 1000, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}.dead"})
    ledger, dead = Ledger(name), Ledger(f"{name}.dead")
    while shift.goes_on():
        count = shift.random.randrange(1, 200)
        for _ in range(count):
            put(publishing, ledger, shift.random.choice((50, 500, 3000, 20000)),
                persistent=shift.random.random() < 0.7)
        consumer = shift.connect() if shift.random.random() < 0.3 else connection
        if shift.random.random() < 0.3:
            leave_open(shift, consumer, name, ledger)
        channel = consumer.channel()
        drain(channel, name, count, lambda method, _, body: settle_somehow(
            shift, channel, method, ledger.came(body, method.redelivered), ledger, dead))
        channel.close()
        take_dead(connection, name, dead, "rejected")
        if consumer is not connection:
            consumer.close()
    ledger.finish()
    dead.finish()
    empty(publishing, name, f"{name}.dead")
    connection.close()
    return ledger.settled_count + dead.settled_count


def leave_open(shift, connection, name, ledger):
    """Takes some messages and goes without settling them: they come back."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=shift.random.randrange(1, 50))
    for method, _, body in channel.consume(name, inactivity_timeout=0.05):
        if method is None or shift.random.random() < 0.1:
            break
        ledger.came(body, method.redelivered)
    channel.close()


def take_dead(connection, name, dead, reason, ordered=False):
    channel = connection.channel()

    def take(method, properties, body):
        dead.settle(dead.came(body, method.redelivered, ordered))
        died_of(properties, reason, name)
        channel.basic_ack(method.delivery_tag)
        return True
    drain(channel, dead.queue, len(dead.owed), take)
    channel.close()


def delivery_limit(shift):
    name = "soak.limited"
    connection = shift.connect()
    channel = confirming(connection)
    channel.queue_declare(f"{name}.dead", durable=True)
    channel.queue_declare(name, durable=True, arguments={
        "x-queue-type": "quorum", "x-delivery-limit": 3, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}.dead"})
    ledger, dead = Ledger(name), Ledger(f"{name}.dead")
    times = {}

    def take(method, _, body):
        number = ledger.came(body, method.redelivered)
        times[number] = times.get(number, 0) + 1
        if number % 5 != 0:
            ledger.settle(number)
            consuming.basic_ack(method.delivery_tag)
            return True
        consuming.basic_nack(method.delivery_tag, requeue=True)
        if times[number] == 4:
            ledger.settle(number)
            dead.confirm(number)
            return True
        return False
    while shift.goes_on():
        for _ in range(50):
            put(channel, ledger, 200)
        consuming = connection.channel()
        drain(consuming, name, len(ledger.owed), take)
        consuming.close()
        take_dead(connection, name, dead, "delivery_limit")
        times.clear()
    ledger.finish()
    empty(channel, name, f"{name}.dead")
    connection.close()
    return ledger.settled_count


# ---- queues with limits ----

def lengths(shift):
    """What gives way in a queue with a maximum length: exactly what is too much."""
    connection = shift.connect()
    channel = confirming(connection)
    name = "soak.length"
    channel.queue_declare(f"{name}.dead", durable=True)
    channel.queue_declare(name, durable=True, arguments={
        "x-max-length": 40, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}.dead"})
    channel.queue_declare("soak.refusing", durable=True, arguments={
        "x-max-length": 30, "x-overflow": "reject-publish"})
    settled = 0
    ledger, dead, refusing = Ledger(name), Ledger(f"{name}.dead"), Ledger("soak.refusing")
    while shift.goes_on():
        numbers = [put(channel, ledger, 300) for _ in range(100)]
        for number in numbers[:60]:
            ledger.settle(number)
            dead.confirm(number)
        take_in_order(connection, ledger)
        take_dead(connection, name, dead, "maxlen", ordered=True)
        answers = [put(channel, refusing, 300) for _ in range(50)]
        if None in answers[:30] or any(n is not None for n in answers[30:]):
            raise Violation(f"soak.refusing took {sum(n is not None for n in answers)} of 50")
        take_in_order(connection, refusing)
        settled += 130
    empty(channel, name, f"{name}.dead", "soak.refusing")
    connection.close()
    return settled


def take_in_order(connection, ledger):
    """Everything that the ledger's queue owes, acked by tens."""
    channel = connection.channel()

    def take(method, _, body):
        number = ledger.came(body, method.redelivered)
        ledger.settle(number)
        if method.delivery_tag % 10 == 0 or not ledger.owed:
            channel.basic_ack(method.delivery_tag, multiple=True)
        return True
    drain(channel, ledger.queue, len(ledger.owed), take)
    channel.close()


def times_to_live(shift):
    """Times to live of queue and message; everything that nobody took in time is a dead letter."""
    connection = shift.connect()
    channel = confirming(connection)
    name = "soak.ttl"
    channel.queue_declare(f"{name}.dead", durable=True)
    channel.queue_declare(name, durable=True, arguments={
        "x-message-ttl": 400, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}.dead"})
    ledger, dead = Ledger(name), Ledger(f"{name}.dead")
    while shift.goes_on():
        for _ in range(100):
            expiration = str(shift.random.choice((10, 100, 1000))) \
                if shift.random.random() < 0.5 else None
            put(channel, ledger, 300, expiration=expiration)
        for method, _, body in channel.consume(name, inactivity_timeout=0.02):
            if method is None:
                break
            ledger.settle(ledger.came(body, method.redelivered))
            channel.basic_ack(method.delivery_tag)
            if shift.random.random() < 0.05:
                break
        channel.cancel()
        for number in sorted(ledger.owed):
            ledger.settle(number)
            dead.confirm(number)
        take_dead(connection, name, dead, "expired")
    empty(channel, name, f"{name}.dead")
    connection.close()
    return ledger.settled_count


def priorities(shift):
    """Drained in the order of the priorities, and of publishing within each."""
    connection = shift.connect()
    channel = confirming(connection)
    channel.queue_declare("soak.priority", durable=True, arguments={"x-max-priority": 5})
    ledger = Ledger("soak.priority")
    while shift.goes_on():
        expected = []
        for _ in range(300):
            priority = shift.random.randrange(0, 8)
            number = put(channel, ledger, 300, priority=priority,
                         persistent=shift.random.random() < 0.5)
            expected.append((-min(priority, 5), number))
        expected.sort(reverse=True)
        consuming = connection.channel()

        def take(method, _, body):
            number = ledger.came(body, method.redelivered, ordered=False)
            if number != expected.pop()[1]:
                raise Violation(f"soak.priority: message {number} is out of order")
            ledger.settle(number)
            consuming.basic_ack(method.delivery_tag)
            return True
        drain(consuming, "soak.priority", len(expected), take)
        consuming.close()
    empty(channel, "soak.priority")
    connection.close()
    return ledger.settled_count


# ---- routes that change ----

def bindings(shift):
    """Topic bindings come and go; each change counts from its answer on, for every connection."""
    connection, other = shift.connect(), shift.connect()
    channel, publishing = confirming(connection), confirming(other)
    channel.exchange_declare("soak.topic", "topic", durable=True)
    queues = [shift.name("soak.bound") for _ in range(4)]
    for queue in queues:
        channel.queue_declare(queue, exclusive=True)
    settled = 0
    while shift.goes_on():
        key = shift.name("orders")
        chosen = shift.random.sample(queues, shift.random.randrange(0, 5))
        patterns = {queue: shift.random.choice((key, "orders.*", key + ".#", "#"))
                    for queue in chosen}
        for queue, pattern in patterns.items():
            channel.queue_bind(queue, "soak.topic", pattern)
        for _ in range(5):
            try:
                publishing.basic_publish("soak.topic", key, key.encode(), mandatory=True)
                if not chosen:
                    raise Violation(f"{key} was routed behind unbind-ok")
            except UnroutableError:
                if chosen:
                    raise Violation(f"{key} was not routed behind bind-ok")
        for queue in queues:
            for _ in range(5 if queue in chosen else 0):
                method, _, body = channel.basic_get(queue, auto_ack=True)
                if method is None or body != key.encode():
                    raise Violation(f"{queue}: {body} instead of {key}")
                settled += 1
        for queue, pattern in patterns.items():
            channel.queue_unbind(queue, "soak.topic", pattern)
        empty(channel, *queues)
    channel.exchange_delete("soak.topic")
    connection.close()
    other.close()
    return settled


def is_gone(connection, queue):
    try:
        connection.channel().queue_declare(queue, passive=True)
    except ChannelClosedByBroker as e:
        return e.reply_code == 404
    return False


def await_end(connection, queue, what, pause=0.1):
    end = time.monotonic() + PATIENCE
    while not is_gone(connection, queue):
        if time.monotonic() > end:
            raise Violation(f"{queue}: {what}, and it is still there")
        time.sleep(pause)


def await_expiry(connection, used, queue):
    """`used` was the last time. Each look is a use as well, so looks are further apart."""
    time.sleep(max(0, used + EXPIRES_MS / 1000 + 0.5 - time.monotonic()))
    await_end(connection, queue, "expired", EXPIRES_MS / 1000 + 0.5)


def use_expiring(shift, connection, queue):
    """Publishes to a queue with an expiry of its own and gets it. Returns when it was used."""
    channel = confirming(connection)
    begun = time.monotonic()
    channel.queue_declare(queue, durable=shift.random.random() < 0.5,
                          arguments={"x-expires": EXPIRES_MS})
    channel.basic_publish("", queue, b"x" * 5000, pika.BasicProperties(delivery_mode=2))
    try:
        if channel.basic_get(queue)[0] is None:
            raise Violation(f"{queue}: what was published did not come")
    except ChannelClosedByBroker:
        if time.monotonic() - begun < EXPIRES_MS / 1000:
            raise Violation(f"{queue} expired before its time")
    return time.monotonic()


def comers(shift):
    """Connections, channels, queues and exchanges that come and go, each with a name of its own."""
    keeping = shift.connect()
    settled = 0
    expiring = []
    while shift.goes_on():
        connection = shift.connect()
        channel = confirming(connection)
        exclusive = channel.queue_declare("", exclusive=True).method.queue
        auto_delete, durable = shift.name("soak.auto"), shift.name("soak.durable")
        expires, exchange = shift.name("soak.expires"), shift.name("soak.exchange")
        expiring.append((use_expiring(shift, connection, expires), expires))
        channel.queue_declare(auto_delete, auto_delete=True)
        channel.queue_declare(durable, durable=True)
        channel.exchange_declare(exchange, shift.random.choice(("fanout", "direct", "topic")),
                                 durable=True, auto_delete=True)
        for queue in (exclusive, auto_delete, durable):
            channel.queue_bind(queue, exchange, "key")
        channel.basic_publish(exchange, "key", b"x" * 5000, pika.BasicProperties(delivery_mode=2))
        for queue in (exclusive, auto_delete, durable):
            if channel.basic_get(queue)[0] is None:
                raise Violation(f"{queue}: what was published to {exchange} did not come")
            settled += 1
        channel.basic_cancel(channel.basic_consume(auto_delete, lambda *_: None))
        channel.queue_delete(durable)
        for _ in range(5):
            connection.channel().close()
        if shift.random.random() < 0.5:
            connection.close()
        else:
            drop(connection)
        for queue in (auto_delete, durable, exclusive):
            await_end(keeping, queue, "deleted")
        while expiring and time.monotonic() > expiring[0][0] + 2 * EXPIRES_MS / 1000:
            await_expiry(keeping, *expiring.pop(0))
    for used, queue in expiring:
        await_expiry(keeping, used, queue)
    keeping.close()
    return settled


def drop(connection):
    """Ends it without a word, as a client that is killed."""
    connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)
    try:
        connection.process_data_events(1)
    except (AMQPConnectionError, OSError):
        pass


# ---- transactions and basic.get ----

def transactions(shift):
    connection = shift.connect()
    channel = connection.channel()
    channel.queue_declare("soak.tx", durable=True)
    channel.tx_select()
    settled = 0
    properties = pika.BasicProperties(delivery_mode=2)
    while shift.goes_on():
        count = shift.random.randrange(1, 20)
        for number in range(count):
            channel.basic_publish("", "soak.tx", make_body(number, 1000), properties)
        if shift.random.random() < 0.3:
            channel.tx_rollback()
            empty(channel, "soak.tx")
            continue
        channel.tx_commit()
        for number in range(count):
            again = shift.random.random() < 0.1
            for _ in range(2 if again else 1):
                method, _, body = channel.basic_get("soak.tx")
                if method is None or read_body(body) != number:
                    raise Violation(f"soak.tx: message {number} does not come")
                if again:
                    channel.tx_commit()
                    channel.basic_ack(method.delivery_tag)
                    channel.tx_rollback()
                    channel.basic_reject(method.delivery_tag, requeue=True)
                    channel.tx_commit()
                    again = False
            channel.basic_ack(method.delivery_tag)
            settled += 1
        channel.tx_commit()
        empty(channel, "soak.tx")
    connection.close()
    return settled


# ---- backlogs and readers that do not read ----

def put_many(channel, ledger, count, size, persistent, priority=lambda i: None):
    """Publishes in transactions of a hundred: tx.commit-ok is as good as a confirm."""
    for begin in range(0, count, 100):
        numbers = range(begin, min(count, begin + 100))
        for i in numbers:
            number = ledger.take_number()
            channel.basic_publish("", ledger.queue, make_body(number, size), pika.BasicProperties(
                delivery_mode=2 if persistent(i) else 1, priority=priority(i)))
        channel.tx_commit()
        for i in numbers:
            ledger.confirm(ledger.next - len(numbers) + i - begin)


def backlog(shift, size_bytes):
    """Backlogs of persistent and transient messages above the memory target, drained in order: of
    small messages and of large ones, in plain queues and in one with priorities."""
    connection = shift.connect()
    channel = connection.channel()
    channel.tx_select()
    settled = 0
    channel.queue_declare("soak.backlog", durable=True)
    channel.queue_declare("soak.backlog.large", durable=True)
    channel.queue_declare("soak.backlog.lanes", durable=True, arguments={"x-max-priority": 3})
    while shift.goes_on():
        plain, large = Ledger("soak.backlog"), Ledger("soak.backlog.large")
        lanes = Ledger("soak.backlog.lanes")
        put_many(channel, plain, size_bytes // (2 * 6 * KIB), 6 * KIB, lambda i: i % 2 == 0)
        put_many(channel, large, size_bytes // (2 * 200 * KIB), 200 * KIB, lambda i: i % 3 == 0)
        put_many(channel, lanes, 5000, 2 * KIB, lambda i: i % 2 == 0, lambda i: i % 3)
        drop_some(shift, connection, plain)
        take_in_order(connection, plain)
        take_in_order(connection, large)
        for priority in (2, 1, 0):
            part = Ledger(lanes.queue)
            part.owed = {n for n in lanes.owed if n % 3 == priority}
            lanes.owed -= part.owed
            take_in_order(connection, part)
            settled += part.settled_count
        settled += plain.settled_count + large.settled_count
        empty(channel, plain.queue, large.queue, lanes.queue)
    connection.close()
    return settled


def drop_some(shift, connection, ledger):
    """Consumes a part of a backlog and goes without a word: all of it comes again."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=0)
    wanted = shift.random.randrange(1, 200)
    for method, _, body in channel.consume(ledger.queue, inactivity_timeout=1):
        if method is None or wanted == 0:
            break
        ledger.came(body, method.redelivered)
        wanted -= 1
    channel.close()
    ledger.last_fresh = -1


def slow(shift):
    """A consumer without a prefetch limit that does not read for a while, and then reads it all."""
    publishing = shift.connect()
    channel = confirming(publishing)
    channel.queue_declare("soak.slow")
    ledger = Ledger("soak.slow")
    while shift.goes_on():
        reading = shift.connect()
        consuming = reading.channel()
        come = []
        consuming.basic_consume("soak.slow", lambda _c, method, _p, body: come.append(
            ledger.came(body, method.redelivered)), auto_ack=True)
        for _ in range(200):
            put(channel, ledger, 60 * KIB, persistent=False)
        end = time.monotonic() + PATIENCE
        while len(come) < 200:
            reading.process_data_events(1)
            if time.monotonic() > end:
                raise Violation(f"soak.slow: {len(come)} of 200 messages came")
        for number in come:
            ledger.settle(number)
        reading.close()
    empty(channel, "soak.slow")
    publishing.close()
    return ledger.settled_count


def half_open(shift):
    """Clients that say half of a handshake, or nothing, and go."""
    count = 0
    while shift.goes_on():
        with socket.create_connection(("127.0.0.1", shift.port), PATIENCE) as s:
            s.sendall(shift.random.choice((b"", b"AMQP", b"AMQP\0\0\x09\x01", b"GET / HTTP/1.1\r\n",
                                           b"AMQP\0\0\x09\x01\x01\0\0\0\0\0\x04\0\x0a")))
            s.settimeout(0.05)
            try:
                s.recv(4096)
            except OSError:
                pass
        count += 1
        time.sleep(0.1)
    return count
