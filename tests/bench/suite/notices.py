# SPDX-License-Identifier: MIT
"""How soon all subscribers have a notice."""
import json
import os
import tempfile

from core import Process, Samples, awake, curves, markdown, spread

TITLE = "Notices"
ABOUT = """From the call that publishes a notice until the last of N subscribers
has it: each is a process of its own that sleeps in `poll`; they share the cores
with the publisher, pinned to none. The publisher goes as a
server does, sixteen subscribers a step; it opens, checks and locks what each
has registered, since a subscriber may have died. *mq_send* is the floor: as
many bytes sent to as many queues that are open already. The ratio is to it, of
the same number of the round. Medians, quartiles in brackets."""

COUNTS = (10, 50, 100, 200)
FLOOR = "mq_send"


def measure(options):
    samples = Samples()
    rounds = options.rounds(15, quick=5)
    with awake(options), tempfile.TemporaryDirectory(
            prefix="handoff-bench-") as base:
        for count in COUNTS:
            with Process(options.program("listeners"),
                         os.path.join(base, str(count)), count, rounds,
                         core=None) as listeners:
                seen = {}
                for _ in range(2 * rounds):
                    told = json.loads(listeners.expect(r"^\{.*\}$")[0])
                    way = told.pop("way")
                    number = seen[way] = seen.get(way, -1) + 1
                    samples.add(count, way, number, last_us=told["last_us"],
                                first_us=told["first_us"],
                                publisher_us=told["publisher_us"])
    return {"rows": samples.rows(FLOOR, ("last_us",))}


def us(values):
    return spread(values, "{:.0f}") + " us"


def tables(results):
    head = ("", "subscribers", "first has it", "last has it", "each",
            "mq_send = 1", "publisher done")
    rows = [(row["subject"], row["case"], us(row["first_us"]),
             us(row["last_us"]), f"{row['last_us'][0] / row['case']:.1f} us",
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
