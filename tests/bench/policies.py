"""Scenarios of policies: what many of them cost a declaration, and what a change of one that applies
to very many queues does to deliveries meanwhile."""

import json
import os
import statistics
import subprocess
import time

from measures import show
from queues import Client

POLICIES = 10_000
DECLARED = 500
QUEUES = 100_000
RATE_PER_S = 1000
SETTLE_S = 1

# Of a pattern that says how a name begins and of one that has to be looked for in it.
PATTERNS = (("anchored", "^tenant-{}\\\\."), ("not anchored", "tenant-{}\\\\."))


def settings(pattern, count):
    if count == 0:
        return ""
    return "policies:\n" + "".join(
        f'  - {{name: p{i}, pattern: "{pattern.format(i)}", definition: {{max-length: 1000}}}}\n'
        for i in range(count))


def declare_ms(bench, pattern, count):
    """How long it takes to declare a queue that no policy matches: the median."""
    with bench.leveret(settings(pattern, count)) as leveret, Client(leveret) as client:
        times = []
        for i in range(DECLARED):
            begun = time.monotonic()
            client.declare(f"tenants.orders-{i}")
            times.append(time.monotonic() - begun)
        return statistics.median(times) * 1e3


def run_matching(bench, scenario):
    for _ in range(bench.runs):
        bench.keep(scenario, "none", {"declare_ms": declare_ms(bench, "", 0)})
        for who, pattern in PATTERNS:
            bench.keep(scenario, who, {"declare_ms": declare_ms(bench, pattern, POLICIES)})
    without = bench.median(scenario, "none", "declare_ms")
    for who, _ in PATTERNS:
        with_them = bench.median(scenario, who, "declare_ms")
        bench.at_most(scenario, f"a declare with {POLICIES:,} policies ({who}), ms more",
                      with_them - without, 1, f"{show(with_them, 3)} - {show(without, 3)} = "
                      f"{show(with_them - without, 3)}")


def control(bench, leveret, *command):
    subprocess.run([os.path.join(bench.build, "leveretctl"), "--data-dir", leveret.path("data"),
                    *command], check=True, stdout=subprocess.DEVNULL)


def traffic(bench, leveret, changes):
    """The latency of a flow, in which `changes` are made one after the other."""
    seconds = SETTLE_S * (len(changes) + 1) + bench.arguments.time
    process = subprocess.Popen(
        [bench.perf, "latency", "--rate", str(RATE_PER_S), "--size", "1024", "--autoack",
         "--warmup", "1", "--time", str(seconds), "--queue-name", "busy", "--uri", leveret.uri,
         "--broker-pid", str(leveret.pid), "--json", "--no-progress"],
        stdout=subprocess.PIPE, text=True)
    time.sleep(1 + SETTLE_S)
    took = []
    for change in changes:
        begun = time.monotonic()
        control(bench, leveret, *change)
        took.append(time.monotonic() - begun)
        time.sleep(SETTLE_S)
    figures = json.loads(process.stdout.read())
    process.stdout.close()
    if process.wait() != 0:
        leveret.fail("the traffic beside a change of policies failed")
    return {**figures, "change_s": max(took, default=0)}


def run_changes(bench, scenario):
    with bench.leveret() as leveret:
        bench.measure(leveret, f"declare {QUEUES} --connections 10 --keep")
        for i in range(bench.runs):
            bench.keep(scenario, "unchanged", traffic(bench, leveret, []))
            bench.keep(scenario, "changed", traffic(bench, leveret, [
                ("set_policy", "all", ".*", json.dumps({"max-length": 1000 + i})),
                ("set_policy", "all", ".*", json.dumps({"message-ttl": 3600000})),
                ("clear_policy", "all"),
            ]))
    longest, without = (bench.median(scenario, who, "latency_max_us") / 1e3
                        for who in ("changed", "unchanged"))
    bench.at_most(scenario, f"the longest delivery while the policy of {QUEUES:,} queues changes, ms",
                  longest, 50, f"{show(longest, 1)} (unchanged: {show(without, 1)})")
    took = bench.median(scenario, "changed", "change_s")
    bench.row(scenario, "until the change is in force everywhere, s", "", took, show(took, 2), None)


def run_policies(bench):
    scenario = "policies"
    run_matching(bench, scenario)
    run_changes(bench, scenario)


SCENARIOS = [("policies", run_policies)]
