"""Scenarios of what must not be lost: persistent messages in durable queues, the disk's own floor
beside them, a backlog larger than memory, and durable declares."""

import contextlib
import json
import os
import socket
import struct
import subprocess
import time

import brokers
import frames
from measures import CPU, RATE, in_turns, ratio_text, show

PERSISTENT = "--durable --persistent --size 1024"
CONFIRM_ONE = f"{PERSISTENT} --consumers 0 --confirms 1 --warmup 1"

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
    options = f"{CONFIRM_ONE} --time {bench.arguments.time}"
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
    options = f"{CONFIRM_ONE} --time {bench.arguments.time}"
    for producers in (1, 64):
        with bench.leveret(environment=environment) as leveret:
            bench.keep("group-commit", f"{who}-{producers}",
                       bench.measure(leveret, f"{options} --producers {producers}"))


def report_group_commit(bench, who, what):
    rates = ("group-commit", "confirmed_per_s", f"{who}-64", f"{who}-1")
    bench.at_least("group-commit", f"64 publishers with window 1 beside one of them{what}: "
                   "confirms per second", bench.ratio(*rates), 20, ratio_text(bench, *rates, 0))


@contextlib.contextmanager
def confirm_floor(bench):
    """What answers each publish with a confirm and does nothing else, with as many threads as the
    broker has workers."""
    threads = bench.arguments.workers or os.cpu_count()
    process = subprocess.Popen(
        [os.path.join(bench.build, "tests/bench/confirm_floor"), str(threads)],
        stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().rsplit(":", 1)[1].strip()
        yield Floor(port, process.pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Floor:
    """To bench.measure() a broker like any other."""

    perf_options = []

    def __init__(self, port, pid):
        self.uri = f"amqp://guest:guest@127.0.0.1:{port}/%2f"
        self.pid = pid

    def fail(self, text):
        raise brokers.BrokerError(f"confirm_floor: {text}")


def keep_confirm_floor(bench):
    options = f"{CONFIRM_ONE} --time {bench.arguments.time}"
    for producers in (1, 64):
        with confirm_floor(bench) as floor:
            bench.keep("group-commit", f"floor-{producers}",
                       bench.measure(floor, f"{options} --producers {producers}"))


def report_confirm_floor(bench):
    """What the machine lets 64 such publishers have, and how much more than one of them."""
    most = bench.ratio("group-commit", "confirmed_per_s", "floor-64", "floor-1")
    of_floor = ("group-commit", "confirmed_per_s", "disk-64", "floor-64")
    share = bench.ratio(*of_floor) * 100
    bench.row("group-commit", "64 publishers with window 1 beside a server that only answers: "
              "confirms per second, % of its", "", share,
              f"{show(bench.median('group-commit', 'disk-64', 'confirmed_per_s'), 0)} / "
              f"{show(bench.median('group-commit', 'floor-64', 'confirmed_per_s'), 0)} = "
              f"{show(share, 0)}", None)
    bench.row("group-commit", "64 publishers with window 1 beside one of them, of that server", "",
              most, ratio_text(bench, "group-commit", "confirmed_per_s", "floor-64", "floor-1", 0),
              None)
    cpu = ("group-commit", CPU, "disk-64", "floor-64")
    bench.row("group-commit", "64 publishers with window 1 beside that server: processor time, µs",
              "", bench.ratio(*cpu), ratio_text(bench, *cpu), None)


def run_group_commit(bench):
    """On the disk at hand, and as if its sync took a millisecond longer: how many confirms a sync
    serves shows where the sync is what takes the time. In turns with a server that neither keeps
    nor syncs: what it reaches is the machine's and the generator's limit."""
    for _ in range(bench.runs):
        group_commit(bench, "disk", None)
        keep_confirm_floor(bench)
    report_group_commit(bench, "disk", "")
    report_confirm_floor(bench)
    library = os.path.abspath(os.path.join(bench.build, "tests/bench/slow_sync.so"))
    if not os.path.exists(library):
        raise brokers.BrokerError(f"{library} is missing (make bench builds it)")
    for _ in range(bench.runs):
        group_commit(bench, "slow", {"LD_PRELOAD": library,
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


def take_one(port, queue):
    """One basic.get over a connection of its own; whether there was a message."""
    with socket.create_connection(("127.0.0.1", port), 60) as s, s.makefile("rwb") as stream:
        def send(data):
            stream.write(data)
            stream.flush()

        send(frames.HEADER)
        frames.read(stream)
        send(frames.start_ok("guest", "guest"))
        frames.read(stream)
        send(frames.tune_ok_and_open())
        frames.read(stream)
        send(frames.method(1, 20, 10, frames.short_string("")))
        frames.read(stream)
        send(frames.method(1, 60, 70, struct.pack(">H", 0) + frames.short_string(queue) +
                           b"\x01"))
        return frames.read(stream)[:4] == struct.pack(">HH", 60, 71)


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
