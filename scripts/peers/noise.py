"""How busy the machine was while something was measured."""

import os
import resource
import time


def machine_cpu():
    """Seconds of CPU that all processes have used, None where the system does not show it."""
    try:
        with open("/proc/stat") as file:
            ticks = [int(field) for field in file.readline().split()[1:]]
    except OSError:
        return None
    # user, nice, system, irq, softirq
    return sum(ticks[i] for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def children_cpu():
    """Seconds of CPU of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def process_cpu(pid):
    """Seconds of CPU of a process that runs, 0 where the system does not show it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            # What follows the name, which may hold anything.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes():
    """Resident set of this process, None where the system does not show it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


class Window:
    """Wall clock, own CPU, and cores that other processes kept busy, from entry to exit.

    `own` says whose CPU time counts as own: this process by default; `children_cpu` for a process that only starts others.
    """

    def __init__(self, own=time.process_time):
        self.own = own

    def __enter__(self):
        self.machine_before, self.own_before = machine_cpu(), self.own()
        self.begin = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.begin
        self.cpu_seconds = self.own() - self.own_before
        after = machine_cpu()
        self.other_cores = None
        if after is not None and self.machine_before is not None:
            foreign = after - self.machine_before - self.cpu_seconds
            self.other_cores = round(max(0.0, foreign) / self.seconds, 2)

    def elapsed(self):
        return time.perf_counter() - self.begin
