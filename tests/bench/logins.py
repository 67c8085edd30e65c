"""What logins cost those who are logged in already: connections that come and go at a fixed rate
beside running traffic."""

import json
import os
import subprocess

from measures import cpu_seconds, show

RATE_PER_S = 50
WARMUP_S = 2
ALONE_S = 2  # of logins on an idle broker
SPARE_S = 10  # how much longer than it should a run of leveret-perf may take
PASSWORD = "of the users who log in"


def logins_beside(bench):
    """As many as a run beside traffic can take."""
    return round(RATE_PER_S * (WARMUP_S + bench.arguments.time + SPARE_S))


def traffic(bench):
    return (f"latency --rate 5000 --size 1024 --autoack --warmup {WARMUP_S} "
            f"--time {bench.arguments.time}")


def settings(bench):
    """Users with one password and its hash of the default cost. The broker remembers for each user
    of its own that a password was right, so that each first login costs a hash."""
    names = ["known", *(f"user-{i}" for i in range(logins_beside(bench) + ALONE_S * RATE_PER_S))]
    done = subprocess.run([bench.leveretd, "--hash-password"], input=PASSWORD,
                          stdout=subprocess.PIPE, text=True, check=True)
    users = "".join(f"  - name: {name}\n    password_hash: {done.stdout.strip()}\n"
                    for name in names)
    permissions = "".join(
        f"  - user: {name}\n    configure: .*\n    write: .*\n    read: .*\n"
        for name in ["guest", *names])
    return (f"users:\n  - name: guest\n    password: guest\n{users}"
            f"permissions:\n{permissions}")


def start_load(bench, leveret, user, count, first):
    """The load (tests/bench/logins.c) once the first has logged in: as USER and a number from
    `first`, or as USER each time where it is None."""
    load = subprocess.Popen(
        [os.path.join(bench.build, "tests/bench/logins"), str(leveret.port), user, PASSWORD,
         str(RATE_PER_S), str(count), *([] if first is None else [str(first)])],
        stdout=subprocess.PIPE, text=True)
    if load.stdout.readline() != "logging in\n":
        load.kill()
        load.wait()
        leveret.fail("nobody can log in")
    return load


def end_load(leveret, load):
    """The figures of a load that ended or is to end."""
    figures = load.stdout.read()
    load.stdout.close()
    if load.wait() != 0:
        leveret.fail(f"the logins failed: {figures}")
    return json.loads(figures)


def measure_beside(bench, leveret, who, user, first):
    load = start_load(bench, leveret, user, logins_beside(bench), first)
    try:
        flow = bench.measure(leveret, traffic(bench))
        if load.poll() is not None:
            leveret.fail("the logins ended before the traffic that they were to run beside")
    finally:
        load.terminate()
    bench.keep("logins", who, {**flow, **end_load(leveret, load)})


def measure_alone(bench, leveret, who, user, first):
    """The broker's processor time of logins when it does nothing else."""
    count = ALONE_S * RATE_PER_S
    used = cpu_seconds(leveret.pid)
    figures = end_load(leveret, start_load(bench, leveret, user, count, first))
    used = cpu_seconds(leveret.pid) - used
    bench.keep("logins", f"{who} alone", {**figures, "us_each": used / figures["logins"] * 1e6})


def run_logins(bench):
    """Each run on a fresh process: without logins, with logins that cost a hash each, and with
    logins whose password is remembered."""
    scenario = "logins"
    users = settings(bench)
    for _ in range(bench.runs):
        with bench.leveret(users) as leveret:
            bench.keep(scenario, "without", bench.measure(leveret, traffic(bench)))
        with bench.leveret(users) as leveret:
            measure_beside(bench, leveret, "hashed", "user", 0)
            measure_alone(bench, leveret, "hashed", "user", logins_beside(bench))
        with bench.leveret(users) as leveret:
            measure_beside(bench, leveret, "remembered", "known", None)
            measure_alone(bench, leveret, "remembered", "known", None)
    report(bench, scenario)


def report(bench, scenario):
    without = bench.median(scenario, "without", "latency_p99_us")
    for who, what, bound in (("hashed", "each with a password hash", 2),
                             ("remembered", "of one user, whose password is remembered", None)):
        beside = bench.median(scenario, who, "latency_p99_us")
        text = f"{show(beside, 0)} / {show(without, 0)} = {show(beside / without)}"
        name = f"latency at 5,000 msgs/s beside {RATE_PER_S} logins/s, {what}: p99, µs"
        if bound is None:
            bench.row(scenario, name, "", beside / without, text, None)
        else:
            bench.at_most(scenario, name, beside / without, bound, text)
        each = bench.median(scenario, f"{who} alone", "us_each")
        bench.row(scenario, f"processor time of a login {what}, µs", "", each, show(each, 0), None)


SCENARIOS = [("logins", run_logins)]
