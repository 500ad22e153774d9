# SPDX-License-Identifier: MIT
"""How soon all subscribers have a notice."""
from collections import defaultdict
import json
import os
import tempfile

from core import Process, Samples, awake, curves, markdown, spread

TITLE = "Notices"
ABOUT = """From the call that publishes a notice until the last of N subscribers
has it: each is a process of its own that sleeps in `poll`; they share the cores
with the publisher, pinned to none. The publisher goes as a server does, sixteen
subscribers a step. *mq_send*, *msgsnd* and *sendto* are the floors of `mq:`,
`sysv:` and `unix:`: as many bytes sent to as many queues or sockets that are
open already, whose readers wait in `poll`, or in `msgrcv`. Rounds with and
without the library alternate, with new processes each. The ratio is to the floor
of the same round. Medians, quartiles in brackets, and the worst round."""

CASES = (("mq", 10), ("mq", 50), ("mq", 200), ("sysv", 10), ("sysv", 50),
         ("sysv", 200), ("unix", 10), ("unix", 200), ("unix", 2000))
FLOORS = {"mq": "mq_send", "sysv": "msgsnd", "unix": "sendto"}


def memory():
    """The service directory is in memory, as /run is."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def measure(options):
    rounds = options.rounds(15, quick=5)
    rows = []
    with awake(options), tempfile.TemporaryDirectory(
            prefix="handoff-bench-", dir=memory()) as base:
        for way, count in CASES:
            samples = Samples()
            with Process(options.program("listeners"),
                         os.path.join(base, f"{way}{count}"), way, count,
                         rounds, core=None) as listeners:
                seen, worst = {}, defaultdict(float)
                for _ in range(2 * rounds):
                    told = json.loads(listeners.expect(r"^\{.*\}$")[0])
                    subject = told.pop("way")
                    number = seen[subject] = seen.get(subject, -1) + 1
                    samples.add(count, subject, number,
                                last_us=told["last_us"],
                                first_us=told["first_us"],
                                publisher_us=told["publisher_us"])
                    worst[subject] = max(worst[subject], told["last_us"])
            for row in samples.rows(FLOORS[way], ("last_us",)):
                rows.append({**row, "worst_us": worst[row["subject"]]})
    return {"rows": rows}


def us(values):
    return spread(values, "{:.0f}") + " us"


def tables(results):
    head = ("", "subscribers", "first has it", "last has it", "worst", "each",
            "floor = 1", "publisher done")
    rows = [(row["subject"], row["case"], us(row["first_us"]),
             us(row["last_us"]), f"{row['worst_us']:.0f} us",
             f"{row['last_us'][0] / row['case']:.1f} us",
             f"{row['last_us_ratio'][0]:.2f}", us(row["publisher_us"]))
            for row in results["rows"]]
    return markdown(head, rows) + "\n"


def pictures(results, path):
    series = {}
    for row in results["rows"]:
        series.setdefault(row["subject"], []).append(
            (row["case"], [value / 1000 for value in row["last_us"]]))
    curves(path("last"), "Until the last subscriber has a notice",
           "subscribers", "ms", series, log="")
    return {"last": "Time until the last of N subscribers has a notice"}
