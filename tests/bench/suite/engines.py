# SPDX-License-Identifier: MIT
"""How soon all subscribers have a notice that an engine carries."""
from collections import defaultdict
import functools
import importlib.util
import json
import os

import core
from core import Process, Samples, awake, markdown
from notices import us

TITLE = "Notices for other hosts"
ABOUT = """From the call that publishes a notice until the last of N subscribers
has it: each is a process with a session of its own that sleeps in `poll`; they
share the cores with the publisher and the engine, a server on loopback. *bare
client* is the floor: the engine's own client in as many processes, which watch a
node and read it when it changes, and one call that sets it. Rounds with and
without the library alternate, with new processes each. The ratio is to the floor
of the same round. Medians, quartiles in brackets, and the worst round."""

COUNTS = (10, 200)
FLOOR = "bare client"


@functools.cache
def module():
    """The one of the tests, which has the same name."""
    spec = importlib.util.spec_from_file_location(
        "test_engines", os.path.join(core.ROOT, "tests/engines/engines.py"))
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def lacks(options):
    del options
    return module().lacks_zookeeper()


def measure(options):
    rounds = options.rounds(15, quick=5)
    rows = []
    with awake(options), module().ZooKeeper() as engine:
        for count in COUNTS:
            samples = Samples()
            with Process(options.program("zk_listeners"), engine.endpoints,
                         count, rounds, core=None) as listeners:
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
            for row in samples.rows(FLOOR, ("last_us",)):
                rows.append({**row, "worst_us": worst[row["subject"]]})
    return {"rows": rows}


def tables(results):
    head = ("", "subscribers", "first has it", "last has it", "worst",
            "floor = 1", "acknowledged")
    rows = [(row["subject"], row["case"], us(row["first_us"]),
             us(row["last_us"]), f"{row['worst_us']:.0f} us",
             f"{row['last_us_ratio'][0]:.2f}", us(row["publisher_us"]))
            for row in results["rows"]]
    return markdown(head, rows) + "\n"


def pictures(results, path):
    del results, path
    return {}
