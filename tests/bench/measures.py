"""What all scenarios share: the figures' names, how they are shown, and brokers by turns."""

import os

CPU = "broker_cpu_us_per_message"
RATE = "received_per_s"


def show(value, digits=2):
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio_text(bench, scenario, key, over, under, digits=2):
    ratio = bench.ratio(scenario, key, over, under)
    pair = (f"{show(bench.median(scenario, over, key), digits)} / "
            f"{show(bench.median(scenario, under, key), digits)}")
    return f"{pair} = {show(ratio, 1)}"


def cpu_seconds(pid):
    """User and system time so far, of all threads."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def in_turns(bench, scenario, options):
    """Both brokers by turns, each run of leveret on a fresh process."""
    rabbit = bench.start_rabbit()
    for _ in range(bench.runs):
        with bench.leveret() as leveret:
            bench.keep(scenario, "leveret", bench.measure(leveret, options))
        if rabbit is not None:
            rabbit.resume()
            bench.keep(scenario, "rabbitmq", bench.measure(rabbit, options))
            rabbit.pause()
