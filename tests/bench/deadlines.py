"""Scenarios of deliveries that go back when their time is up: what one costs, and how late."""

import json
import os
import subprocess

from measures import show

COUNT = 1_000_000


def run_once(bench, mode):
    with bench.leveret() as leveret:
        done = subprocess.run(
            [os.path.join(bench.build, "tests/bench/deadlines"), str(leveret.port),
             str(leveret.pid), str(COUNT), mode],
            stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            leveret.fail(f"deadlines {mode} ended with {done.returncode}")
        bench.keep("deadlines", mode, json.loads(done.stdout))


def run_deadlines(bench):
    scenario = "deadlines"
    for _ in range(bench.runs):
        for mode in ("none", "burst", "paced"):
            run_once(bench, mode)
    plain = bench.median(scenario, "none", "bytes_each")
    under = bench.median(scenario, "burst", "bytes_each")
    bench.at_most(scenario, "1,000,000 unacked under a visibility timeout: memory more, bytes each",
                  under - plain, 48, f"{show(under, 1)} - {show(plain, 1)} = "
                  f"{show(under - plain, 1)}")
    for mode, what in (("paced", "one after the other"), ("burst", "at one moment")):
        late = [bench.median(scenario, mode, f"late_{key}_ms")
                for key in ("p50", "p99", "p999", "max")]
        text = " / ".join(show(value, 0) for value in late)
        name = f"1,000,000 go back {what}: late by p50, p99, p99.9, at most, ms"
        if mode == "paced":
            bench.at_most(scenario, name, late[2], 20, text)
        else:
            bench.row(scenario, name, "", late[2], text, None)
        others = bench.median(scenario, mode, "other_max_ms")
        bench.row(scenario, f"slowest round trip of somebody else meanwhile ({what}), ms", "",
                  others, show(others, 1), None)


SCENARIOS = [("deadlines", run_deadlines)]
