"""A bound on the processor time of a process, so that it and not who asks it is what is seen."""

import contextlib
import os

# Where control groups are: those of version 1 have a tree for each controller.
TREES = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup")
PERIOD_US = 100000


def write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="ascii") as file:
        file.write(text)


def set_quota(group, share):
    """Of one CPU."""
    quota_us = round(share * PERIOD_US)
    if os.path.exists(os.path.join(group, "cpu.cfs_quota_us")):
        write(group, "cpu.cfs_period_us", str(PERIOD_US))
        write(group, "cpu.cfs_quota_us", str(quota_us))
    else:
        write(group, "cpu.max", f"{quota_us} {PERIOD_US}")


@contextlib.contextmanager
def cpu_quota(pid, share):
    """Holds the process to a share of one CPU. Yields whether that was possible: it takes a kernel
    with control groups, and root."""
    tree = next((t for t in TREES if os.path.exists(os.path.join(t, "cgroup.procs"))), None)
    group = os.path.join(tree or "", f"leveret-bench-{pid}")
    try:
        if tree is None:
            raise OSError("no control groups")
        os.mkdir(group)
        set_quota(group, share)
        write(group, "cgroup.procs", str(pid))
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(group)
        yield False
        return
    try:
        yield True
    finally:
        write(tree, "cgroup.procs", str(pid))
        os.rmdir(group)
