"""What a process and its data directory take, and whether that stays flat."""

import os
import statistics
from collections import namedtuple

KIB = 1024
MIB = 1024 * 1024

# What is judged: its key in a sample, what it is, its unit, how much one unit is, the most growth a
# minute (units), and the growth over the whole time that is needed for a verdict: a short run shows
# less than the noise of single samples.
Measure = namedtuple("Measure", "key what unit scale per_minute floor")

# Behind the warm-up of a run of half an hour. The allocator's arenas reach their size in minutes, so
# that memory must grow by more in a run that is shorter: by the square of how much shorter.
FULL_SPAN_SECONDS = 1300

MEASURES = (
    Measure("resident", "resident memory", "KiB", KIB, 50, 1024),
    Measure("journal", "disk: journal", "KiB", KIB, 100, 8 * KIB),
    Measure("paged", "disk: page segments", "KiB", KIB, 100, 8 * KIB),
    Measure("definitions", "disk: definitions", "KiB", KIB, 10, 128),
    Measure("files", "descriptors: files", "", 1, 0.1, 2),
    Measure("sockets", "descriptors: sockets", "", 1, 0.05, 0.9),
    Measure("others", "descriptors: others", "", 1, 0.05, 0.9),
    Measure("threads", "threads", "", 1, 0.05, 0.9),
)


def status_values(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields["VmRSS"].split()[0]) * KIB, int(fields["Threads"])


def descriptors(pid):
    """How many are files, sockets, and others."""
    counts = {"files": 0, "sockets": 0, "others": 0}
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
        try:
            target = os.readlink(os.path.join(directory, name))
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:"):
            counts["sockets"] += 1
        elif target.startswith("/"):
            counts["files"] += 1
        else:
            counts["others"] += 1
    return counts


def disk_use(path):
    """Bytes that the files below a directory take, or a file."""
    if not os.path.isdir(path):
        try:
            return os.stat(path).st_blocks * 512
        except OSError:
            return 0
    with os.scandir(path) as entries:
        return sum(disk_use(entry.path) for entry in entries)


def sample(pid, data):
    """What it takes now, by the keys of MEASURES."""
    resident, threads = status_values(pid)
    return {
        "resident": resident,
        "threads": threads,
        "journal": disk_use(os.path.join(data, "journal")),
        "paged": disk_use(os.path.join(data, "paged")),
        "definitions": sum(disk_use(os.path.join(data, f"definitions.sqlite{end}"))
                           for end in ("", "-wal", "-shm")),
        **descriptors(pid),
    }


def slope(times, values):
    """Theil and Sen's: the median of the slopes between any two points, which single outliers do
    not move."""
    slopes = [(values[j] - values[i]) / (times[j] - times[i])
              for i in range(len(values)) for j in range(i + 1, len(values))]
    return statistics.median(slopes)


Verdict = namedtuple("Verdict", "measure first last low high per_minute flat")


def judge(times, values, measure):
    """Whether `values` (bytes or counts) at `times` (seconds) stay flat. They grow when both the
    slope and what it comes to over the whole time are above the measure's limits."""
    values = [value / measure.scale for value in values]
    per_minute = slope(times, values) * 60
    grown = per_minute * (times[-1] - times[0]) / 60
    floor = measure.floor
    if measure.key == "resident":
        floor *= max(1, FULL_SPAN_SECONDS / (times[-1] - times[0])) ** 2
    flat = per_minute <= measure.per_minute or grown <= floor
    return Verdict(measure, values[0], values[-1], min(values), max(values), per_minute, flat)


def describe(verdict):
    m = verdict.measure
    return (f"{m.what:22} {m.unit:>4} {verdict.first:12,.0f} {verdict.last:12,.0f} "
            f"{verdict.low:12,.0f} {verdict.high:12,.0f} {verdict.per_minute:+12,.2f} "
            f"{m.per_minute:12,.2f}  {'flat' if verdict.flat else 'GROWS'}")


HEADING = (f"{'at rest, after warm-up':27} {'first':>12} {'last':>12} {'least':>12} {'most':>12} "
           f"{'a minute':>12} {'allowed':>12}")
