# SPDX-License-Identifier: MIT
"""How soon all subscribers have a notice that an engine carries."""
from collections import defaultdict
import functools
import importlib.util
import json
import os
import sys

import core
from core import Process, Samples, awake, markdown
from notices import us

TITLE = "Notices for other hosts"
ABOUT = """From the call that publishes a notice until the last of N subscribers
has it: each is a process with a connection of its own that sleeps in `poll`;
they share the cores with the publisher and the engine, a server on loopback. The
*bare client* is the floor: the engine's own client in as many processes. With
ZooKeeper these watch a node and read it when it changes, and one call sets it;
with NATS they wait for a message on the live subject of a stream, and one call
publishes. Rounds with and without the library alternate, with new processes
each. The ratio is to the floor
of the same round. Medians, quartiles in brackets, and the worst round."""

CASES = (("zk", 10), ("zk", 200), ("nats", 10), ("nats", 200), ("nats", 2000))
FLOOR = "bare client"


@functools.cache
def module():
    """The one of the tests, which has the same name. It has modules of the same
    names as some here beside it: they must not be found later."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location(
        "test_engines", os.path.join(core.ROOT, "tests/engines/engines.py"))
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    sys.path[:] = before
    return found


def lacks(options):
    del options
    return module().lacks_zookeeper() or module().lacks_nats()


def one_case(options, engine, way, count):
    """The rows of one engine and one number of subscribers."""
    rounds = options.rounds(15, quick=5)
    case = f"{way}, {count}"
    samples = Samples()
    seen, worst = {}, defaultdict(float)
    with Process(options.program(f"{way}_listeners"), engine.endpoints, count,
                 rounds, core=None) as listeners:
        for _ in range(2 * rounds):
            told = json.loads(listeners.expect(r"^\{.*\}$")[0])
            subject = told.pop("way")
            number = seen[subject] = seen.get(subject, -1) + 1
            samples.add(case, subject, number, last_us=told["last_us"],
                        first_us=told["first_us"],
                        publisher_us=told["publisher_us"])
            worst[subject] = max(worst[subject], told["last_us"])
    return [{**row, "worst_us": worst[row["subject"]]}
            for row in samples.rows(FLOOR, ("last_us",))]


def measure(options):
    kinds = {"zk": module().ZooKeeper, "nats": module().Nats}
    rows = []
    with awake(options):
        for way, kind in kinds.items():
            with kind() as engine:
                for count in (each for name, each in CASES if name == way):
                    rows += one_case(options, engine, way, count)
    return {"rows": rows}


def tables(results):
    head = ("", "engine, subscribers", "first has it", "last has it", "worst",
            "floor = 1", "acknowledged")
    rows = [(row["subject"], row["case"], us(row["first_us"]),
             us(row["last_us"]), f"{row['worst_us']:.0f} us",
             f"{row['last_us_ratio'][0]:.2f}", us(row["publisher_us"]))
            for row in results["rows"]]
    return markdown(head, rows) + "\n"


def pictures(results, path):
    del results, path
    return {}
