"""Scenarios of what queues do beyond keeping messages in order: priorities, times to live, length
limits, dead letters, delays. Spoken over plain sockets, with frames made ahead, so that the load costs
little beside the broker."""

import os
import random
import socket
import statistics
import struct
import time

import frames
from frames import frame, method, short_string
from measures import CPU, RATE, ratio_text, show

MILLION = int(os.environ.get("LEVERET_BENCH_MILLION", "1000000"))
SLAB = 1000  # messages that are made once and sent again and again
BODY_BYTES = 100
LEVELS = 10

# What a message may cost more when it expires in a time of its own, bytes.
EXPIRY_BYTES = 48
LATE_MS = 20


# ---- a client ----

def field(name, value):
    if isinstance(value, int):
        return short_string(name) + b"I" + struct.pack(">i", value)
    return short_string(name) + b"S" + struct.pack(">I", len(value)) + value.encode()


def table(arguments):
    encoded = b"".join(field(name, value) for name, value in arguments.items())
    return struct.pack(">I", len(encoded)) + encoded


class Client:
    """One connection with one channel."""

    def __init__(self, broker):
        self.socket = socket.create_connection(("127.0.0.1", broker.port), 60)
        self.stream = self.socket.makefile("rb", buffering=1 << 20)
        self.socket.sendall(frames.HEADER)
        frames.read(self.stream)
        self.socket.sendall(frames.start_ok("guest", "guest"))
        frames.read(self.stream)
        self.socket.sendall(frames.tune_ok_and_open())
        frames.read(self.stream)
        self.ask(20, 10, short_string(""))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stream.close()
        self.socket.close()

    def ask(self, class_id, method_id, arguments):
        """A method and its answer, which is the next one of the same class."""
        self.socket.sendall(method(1, class_id, method_id, arguments))
        answer = frames.read(self.stream)
        if struct.unpack_from(">HH", answer) != (class_id, method_id + 1):
            raise OSError(f"method {class_id}.{method_id} was answered with {answer!r}")
        return answer

    def declare(self, queue, arguments=None, durable=False):
        self.ask(50, 10, struct.pack(">H", 0) + short_string(queue) +
                 bytes([2 if durable else 0]) + table(arguments or {}))

    def declare_exchange(self, exchange, kind, arguments=None):
        self.ask(40, 10, struct.pack(">H", 0) + short_string(exchange) + short_string(kind) +
                 b"\x00" + table(arguments or {}))

    def bind(self, queue, exchange, key=""):
        self.ask(50, 20, struct.pack(">H", 0) + short_string(queue) + short_string(exchange) +
                 short_string(key) + b"\x00" + table({}))

    def delete(self, queue):
        self.ask(50, 40, struct.pack(">H", 0) + short_string(queue) + b"\x00")

    def count(self, queue):
        answer = self.ask(50, 10, struct.pack(">H", 0) + short_string(queue) + b"\x01" + table({}))
        return struct.unpack_from(">I", answer, 5 + len(queue))[0]

    def await_count(self, queue, count):
        while self.count(queue) != count:
            time.sleep(0.01)

    def consume(self, queue):
        """Without acknowledgements."""
        self.ask(60, 20, struct.pack(">H", 0) + short_string(queue) + short_string("c") + b"\x02" +
                 table({}))


def content(queue, properties, body, exchange=""):
    """A basic.publish to a queue; `properties` are flags and what they announce."""
    return (method(1, 60, 40, struct.pack(">H", 0) + short_string(exchange) +
                   short_string(queue) + b"\x00") +
            frame(2, 1, struct.pack(">HHQ", 60, 0, len(body)) + properties) + frame(3, 1, body))


def with_priority(priority):
    return struct.pack(">HB", 1 << 11, priority)


def with_expiration(ms):
    return struct.pack(">H", 1 << 8) + short_string(str(ms))


def with_delay(ms):
    return struct.pack(">H", 1 << 13) + table({"x-delay": ms})


def take_delivery(stream):
    """The frames of one delivery: how many bytes they are, and its body."""
    size = 0
    payload = b""
    for kind in (1, 2, 3):
        head = stream.read(7)
        found, _, payload_size = struct.unpack(">BHI", head)
        payload = stream.read(payload_size)
        stream.read(1)
        size += payload_size + 8
        if found != kind:
            raise OSError(f"a frame of type {found} instead of {kind}")
    return size, payload


# ---- priorities ----

def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def fill_and_drain(bench, who, arguments):
    """Processor time of the broker for each message: published into a backlog, and out of it."""
    chosen = random.Random(1)
    slab = b"".join(content("q", with_priority(chosen.randrange(LEVELS)), b"b" * BODY_BYTES)
                    for _ in range(SLAB))
    with bench.leveret() as leveret, Client(leveret) as publisher, Client(leveret) as consumer:
        publisher.declare("q", arguments)
        begun = cpu_seconds(leveret.pid)
        for _ in range(MILLION // SLAB):
            publisher.socket.sendall(slab)
        publisher.await_count("q", MILLION)
        filled = cpu_seconds(leveret.pid)
        consumer.consume("q")
        size, _ = take_delivery(consumer.stream)
        left = (MILLION - 1) * size
        while left > 0:
            left -= len(consumer.stream.read(min(left, 1 << 20)))
        drained = cpu_seconds(leveret.pid)
    bench.keep("priorities", who, {
        "fill_us": (filled - begun) / MILLION * 1e6,
        "drain_us": (drained - filled) / MILLION * 1e6,
        CPU: (drained - begun) / MILLION * 1e6,
    })


def run_priorities(bench):
    scenario = "priorities"
    for _ in range(bench.runs):
        fill_and_drain(bench, "plain", {})
        fill_and_drain(bench, "priority", {"x-max-priority": LEVELS - 1})
    for key, what, bound in ((CPU, "in and out", 1.3), ("fill_us", "in", None),
                             ("drain_us", "out", None)):
        name = f"{LEVELS} priorities, backlog of {MILLION:,}, {what} / plain queue: processor time, µs"
        ratio = bench.ratio(scenario, key, "priority", "plain")
        text = ratio_text(bench, scenario, key, "priority", "plain")
        if bound is None:
            bench.row(scenario, name, "", ratio, text, None)
        else:
            bench.at_most(scenario, name, ratio, bound, text)


# ---- a queue where everything dies ----

def measure_deaths(bench, broker):
    """Published to one queue, which keeps a thousand for a tenth of a second, and consumed from the
    queue of its dead letters."""
    with Client(broker) as c:
        c.declare_exchange("bench-in", "fanout")
        c.declare("bench-dead")
        c.declare("bench-mortal", {"x-message-ttl": 100, "x-max-length": 1000,
                                   "x-dead-letter-exchange": "",
                                   "x-dead-letter-routing-key": "bench-dead"})
        c.bind("bench-mortal", "bench-in")
        figures = bench.measure(
            broker, "--predeclared --exchange bench-in --type fanout --queue-name bench-dead "
            f"--size 1024 --autoack --max-in-flight 5000 --warmup 1 --time {bench.arguments.time}")
        c.delete("bench-mortal")
        c.delete("bench-dead")
    return figures


def run_deaths(bench):
    scenario = "dead-letters"
    rabbit = bench.start_rabbit()
    for _ in range(bench.runs):
        with bench.leveret() as leveret:
            bench.keep(scenario, "leveret", measure_deaths(bench, leveret))
        if rabbit is not None:
            rabbit.resume()
            bench.keep(scenario, "rabbitmq", measure_deaths(bench, rabbit))
            rabbit.pause()
    what = "1 KiB through a queue with TTL and max-length into its dead letters"
    bench.at_least(scenario, f"{what}: processor time, µs",
                   bench.ratio(scenario, CPU, "rabbitmq", "leveret"), 15,
                   ratio_text(bench, scenario, CPU, "rabbitmq", "leveret"))
    bench.row(scenario, f"{what}: per second", "",
              bench.ratio(scenario, RATE, "leveret", "rabbitmq"),
              ratio_text(bench, scenario, RATE, "leveret", "rabbitmq", 0), None)


# ---- a million times to live ----

def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def publish_numbers(client, queue, properties_of, exchange=""):
    """Each body is the time at which it was sent and what `properties_of` told beside the
    properties. None is sent before the broker has those sent before, so that they wait nowhere."""
    for _ in range(MILLION // SLAB):
        chosen = [properties_of() for _ in range(SLAB)]
        now = time.monotonic()
        slab = [content(queue, properties, struct.pack(">dI", now, number), exchange)
                for properties, number in chosen]
        client.socket.sendall(b"".join(slab))
        client.count(queue)


def held_bytes(bench, properties_of):
    with bench.leveret() as leveret, Client(leveret) as c:
        c.declare("q", {"x-dead-letter-exchange": ""})
        before = resident_bytes(leveret.pid)
        publish_numbers(c, "q", properties_of)
        c.await_count("q", MILLION)
        return (resident_bytes(leveret.pid) - before) / MILLION


def lateness_ms(bench, prepare, properties_with, queues, exchange=""):
    """How late each of the messages is, in the second of two queues, that was published to the
    first with a time of its own."""
    chosen = random.Random(1)
    soonest_ms = 20000 + MILLION // 100  # the last is published by then
    spread_ms = 30000

    def properties_of():
        ms = soonest_ms + chosen.randrange(spread_ms)
        return properties_with(ms), ms

    late = []
    with bench.leveret() as leveret, Client(leveret) as publisher, Client(leveret) as consumer:
        prepare(publisher)
        publish_numbers(publisher, queues[0], properties_of, exchange)
        consumer.consume(queues[1])
        for _ in range(MILLION):
            sent, ms = struct.unpack(">dI", take_delivery(consumer.stream)[1])
            late.append((time.monotonic() - sent) * 1000 - ms)
    late.sort()
    return {"late_p50_ms": statistics.median(late), "late_p999_ms": late[len(late) * 999 // 1000],
            "late_max_ms": late[-1], "late_min_ms": late[0]}


def report_lateness(bench, scenario, what):
    for key, name in (("late_p999_ms", "p99.9"), ("late_max_ms", "the latest")):
        measured = bench.median(scenario, "leveret", key)
        bench.at_most(scenario, f"{what}: {name} after its time, ms", measured, LATE_MS,
                      show(measured, 1))


def declare_mortal(client):
    client.declare("dead")
    client.declare("q", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})


def run_expirations(bench):
    """Twice at most: a million messages are figure enough."""
    scenario = "expirations"
    chosen = random.Random(1)
    for _ in range(min(bench.runs, 2)):
        alike = held_bytes(bench, lambda: (with_expiration(3600000), 0))
        mixed = held_bytes(bench, lambda: (with_expiration(3600000 + chosen.randrange(999999)), 0))
        none = held_bytes(bench, lambda: (struct.pack(">H", 1 << 7) + short_string("3600000"), 0))
        bench.keep(scenario, "leveret", {
            "bytes_more": mixed - none, "bytes_more_alike": alike - none,
            **lateness_ms(bench, declare_mortal, with_expiration, ("q", "dead")),
        })
    what = f"{MILLION:,} messages that expire, each in its time"
    more = bench.median(scenario, "leveret", "bytes_more")
    bench.at_most(scenario, f"{what}: bytes more of each", more, EXPIRY_BYTES, show(more, 1))
    report_lateness(bench, scenario, what)


def declare_delayed(client):
    client.declare_exchange("x", "x-delayed-message", {"x-delayed-type": "direct"})
    client.declare("q")
    client.bind("q", "x", "q")


def run_delays(bench):
    scenario = "delays"
    for _ in range(min(bench.runs, 2)):
        bench.keep(scenario, "leveret",
                   lateness_ms(bench, declare_delayed, with_delay, ("q", "q"), "x"))
    report_lateness(bench, scenario, f"{MILLION:,} messages that are delayed, each for its time")


SCENARIOS = [
    ("priorities", run_priorities),
    ("dead-letters", run_deaths),
    ("expirations", run_expirations),
    ("delays", run_delays),
]
