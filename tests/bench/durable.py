"""Scenarios of what must not be lost: persistent messages in durable queues, the disk's own floor
beside them, a backlog larger than memory, and durable declares."""

import json
import os
import socket
import struct
import subprocess
import time

from measures import CPU, RATE, in_turns, ratio_text, show

PERSISTENT = "--durable --persistent --size 1024"

# What the journal writes for such a message: 88 bytes beside the body. The floor writes as many.
RECORD_BYTES = 1112

BACKLOG = 10_000_000
MILLION = 1_000_000
MEMORY_TARGET_MIB = 1024


def run_persistent(bench, scenario, kind, arguments, rate_bound):
    in_turns(bench, scenario,
             f"{PERSISTENT} {arguments} --confirms 1000 --prefetch 1000 --warmup 2 "
             f"--time {bench.arguments.time}")
    what = f"persistent 1 KiB, confirms in a window of 1,000, acks, {kind} queue"
    bench.at_least(scenario, f"{what}: per second",
                   bench.ratio(scenario, RATE, "leveret", "rabbitmq"), rate_bound,
                   ratio_text(bench, scenario, RATE, "leveret", "rabbitmq", 0))
    bench.at_least(scenario, f"{what}: processor time, µs",
                   bench.ratio(scenario, CPU, "rabbitmq", "leveret"), 15,
                   ratio_text(bench, scenario, CPU, "rabbitmq", "leveret"))


# ---- one disk, one write ----

def disk_floor(bench, directory, *options):
    done = subprocess.run(
        [os.path.join(bench.build, "tests/bench/sync_floor"), os.path.join(directory, "floor"),
         str(RECORD_BYTES), str(bench.arguments.time), *options],
        stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def run_confirm_one(bench):
    """Each run beside the floor's, on the same file system."""
    scenario = "confirm-1"
    options = f"{PERSISTENT} --consumers 0 --confirms 1 --warmup 1 --time {bench.arguments.time}"
    for _ in range(bench.runs):
        with bench.leveret() as leveret:
            bench.keep(scenario, "floor", disk_floor(bench, leveret.directory))
            bench.keep(scenario, "growing file", disk_floor(bench, leveret.directory, "--append"))
            bench.keep(scenario, "leveret", bench.measure(leveret, options))
    ours = bench.median(scenario, "leveret", "confirm_latency_p50_us")
    for who, what, bound in (("growing file", "write + fdatasync behind a growing file", 1.3),
                             ("floor", "write + fdatasync over zeros", None)):
        floor = bench.median(scenario, who, "p50_us")
        text = f"{show(ours, 0)} / {show(floor, 0)} = {show(ours / floor)}"
        name = f"persistent 1 KiB, confirm window 1: p50 beside {what}, µs"
        if bound is None:
            bench.row(scenario, name, "", ours / floor, text, None)
        else:
            bench.at_most(scenario, name, ours / floor, bound, text)


def group_commit(bench, who, environment):
    """One publisher and 64, each with one message unconfirmed; kept as WHO-1 and WHO-64."""
    options = f"{PERSISTENT} --consumers 0 --confirms 1 --warmup 1 --time {bench.arguments.time}"
    for _ in range(bench.runs):
        for producers in (1, 64):
            with bench.leveret(environment=environment) as leveret:
                bench.keep("group-commit", f"{who}-{producers}",
                           bench.measure(leveret, f"{options} --producers {producers}"))


def report_group_commit(bench, who, what):
    rates = ("group-commit", "confirmed_per_s", f"{who}-64", f"{who}-1")
    bench.at_least("group-commit", f"64 publishers with window 1 beside one of them{what}: "
                   "confirms per second", bench.ratio(*rates), 20, ratio_text(bench, *rates, 0))


def run_group_commit(bench):
    """On the disk at hand, and as if its sync took a millisecond longer: how many confirms a sync
    serves shows where the sync is what takes the time."""
    group_commit(bench, "disk", None)
    report_group_commit(bench, "disk", "")
    library = os.path.join(bench.build, "tests/bench/slow_sync.so")
    group_commit(bench, "slow", {"LD_PRELOAD": os.path.abspath(library),
                                 "LEVERET_SLOW_SYNC_US": "1000"})
    report_group_commit(bench, "slow", ", sync of 1 ms more")


def run_durable_declare(bench):
    scenario = "durable-declare"
    in_turns(bench, scenario, "declare 1000 --connections 10 --durable")
    bench.at_least(scenario, "durable queue declares per second, 10 connections",
                   bench.ratio(scenario, "per_s", "leveret", "rabbitmq"), 10,
                   ratio_text(bench, scenario, "per_s", "leveret", "rabbitmq", 0))


# ---- a backlog ----

def peak_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


def short_string(text):
    return bytes([len(text)]) + text.encode()


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel, class_id, method_id, arguments=b""):
    return frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


def read_frame(stream):
    _, _, size = struct.unpack(">BHI", stream.read(7))
    return stream.read(size + 1)[:-1]


def take_one(port, queue):
    """One basic.get over a connection of its own; whether there was a message."""
    with socket.create_connection(("127.0.0.1", port), 60) as s, s.makefile("rwb") as stream:
        def send(data):
            stream.write(data)
            stream.flush()

        send(b"AMQP\x00\x00\x09\x01")
        read_frame(stream)
        response = b"\x00guest\x00guest"
        send(method(0, 10, 11, struct.pack(">I", 0) + short_string("PLAIN") +
                    struct.pack(">I", len(response)) + response + short_string("en_US")))
        read_frame(stream)
        send(method(0, 10, 31, struct.pack(">HIH", 100, 131072, 0)) +
             method(0, 10, 40, short_string("/") + b"\x00\x00"))
        read_frame(stream)
        send(method(1, 20, 10, short_string("")))
        read_frame(stream)
        send(method(1, 60, 70, struct.pack(">H", 0) + short_string(queue) + b"\x01"))
        return read_frame(stream)[:4] == struct.pack(">HH", 60, 71)


def first_message_seconds(leveret, queue):
    begun = leveret.restart()
    if not take_one(leveret.port, queue):
        leveret.fail(f"{queue} is empty after the restart")
    return time.monotonic() - begun


def fill_rates(bench, broker, messages):
    """Published messages a second, of one million after the other."""
    fill = f"backlog {MILLION} --size 100 --durable --persistent --queue-name backlog-%d"
    first = bench.measure(broker, f"{fill} --keep")
    rest = [bench.measure(broker, f"{fill} --predeclared")
            for _ in range(messages // MILLION - 1)]
    return [run["published_per_s"] for run in (first, *rest)]


def drain_rate(bench, broker):
    return bench.measure(
        broker, f"--producers 0 --predeclared --queue-name backlog-%d --prefetch 1000 "
        f"--multi-ack 100 --warmup 0.5 --time 2")[RATE]


def run_backlog(bench):
    """Once: ten million messages are figure enough."""
    scenario = "backlog"
    settings = f"memory:\n  target: {MEMORY_TARGET_MIB}MiB\n"
    with bench.leveret(settings) as leveret:
        rates = fill_rates(bench, leveret, BACKLOG)
        peak = peak_mib(leveret.pid)
        seconds = first_message_seconds(leveret, "backlog-0")
        drained = drain_rate(bench, leveret)
        bench.keep(scenario, "leveret", {"fill_rates": rates, "peak_mib": peak,
                                         RATE: drained, "restart_s": seconds})
    rabbit = bench.start_rabbit()
    if rabbit is not None:
        rabbit.resume()
        fill_rates(bench, rabbit, MILLION)
        bench.keep(scenario, "rabbitmq", {RATE: drain_rate(bench, rabbit)})
        rabbit.pause()
    name = "10,000,000 persistent messages of 100 B"
    bench.at_most(scenario, f"{name}: most resident memory, MiB", peak, MEMORY_TARGET_MIB,
                  show(peak, 0))
    slowdown = (1 - rates[-1] / rates[0]) * 100
    bench.at_most(scenario, f"{name}: publishing slower from first to last million, %", slowdown,
                  30, f"{show(rates[-1], 0)} of {show(rates[0], 0)}: {show(slowdown, 1)}")
    bench.at_least(scenario, f"{name}: drained per second (RabbitMQ of 1,000,000)",
                   bench.ratio(scenario, RATE, "leveret", "rabbitmq"), 5,
                   ratio_text(bench, scenario, RATE, "leveret", "rabbitmq", 0))
    bench.at_most(scenario, f"{name}: from start to first message, s", seconds, 10, show(seconds))


SCENARIOS = [
    ("persistent-classic", lambda bench: run_persistent(
        bench, "persistent-classic", "classic", "", 8)),
    ("persistent-quorum", lambda bench: run_persistent(
        bench, "persistent-quorum", "quorum", "--queue-args x-queue-type=quorum", 6)),
    ("confirm-1", run_confirm_one),
    ("group-commit", run_group_commit),
    ("durable-declare", run_durable_declare),
    ("backlog", run_backlog),
]
