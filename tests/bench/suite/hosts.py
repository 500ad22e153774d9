# SPDX-License-Identifier: MIT
"""The cost of moving connections to another host."""
import json
import os
import subprocess
import sys
import time

import core
from core import Samples, awake, markdown, spread

TITLE = "Another host"
ABOUT = """Of N connections to an echo service, IPv4 and IPv6 in turn, 200 are
active: each sends 256 bytes every 10 ms, once it has the last answer, and
every byte that comes back is compared. Server, standby, both ferries, their
helpers and the clients share the cores; the hosts are network namespaces on a
bridge. *Move* is `handoffctl maintenance --to HOST`, there and home in turn:
the time is what the ferry says of all of it, from the command until the other
host has the address; *hold* is the longest time that packets of a batch
waited. *Sum of the calls* is `rawmove`: the system calls of `lib/migrate` on
as many quiet connections between the same hosts, and nothing else. *Longest
wait* is that of any request of an active client around the move; in the row
*without a move* in as much time in which nothing happens. *Sent twice* are
segments that the clients' host has retransmitted. Medians, quartiles in
brackets."""

ACTIVE = 200
CHUNK, BEAT_MS = 256, 10
SETTLE = 0.4
COUNTS = (100, 1000, 8000)
SUM, MOVE, QUIET = "sum of the calls", "move", "without a move"
STEPS = ("freeze", "prepare", "unchanged", "commit", "end")


def world(options):
    """The hosts of the tests, with the programs of this build."""
    os.environ["HANDOFF_BIN"] = os.path.join(options.build, "examples")
    os.environ["HANDOFF_TOOLS"] = os.path.join(options.build, "tests/tools")
    os.environ["HANDOFF_FERRY"] = os.path.join(options.build, "lib/ferry")
    # Other folders have files of the names of this one: only for the import.
    before = sys.path[:]
    sys.path.insert(0, os.path.join(core.ROOT, "tests/hosts"))
    try:
        import world as module  # pylint: disable=import-outside-toplevel
    finally:
        sys.path[:] = before
    return module


def lacks(options):
    """Why this cannot be measured here, or None."""
    return world(options).lacks(ferry=True)


def raw(options, hosts, samples, connections, rounds):
    told = subprocess.run(
        [options.program("rawmove"), str(connections), str(rounds),
         "10.77.0.100", hosts.a.path, hosts.b.path, hosts.c.path],
        check=True, capture_output=True, text=True).stdout.splitlines()
    for number, line in enumerate(told[2:]):
        figures = json.loads(line)
        samples.add(connections, SUM, number, time_us=figures["sum_us"],
                    **{step + "_us": figures[step + "_us"] for step in STEPS})


def silence(load, event):
    """What `event` returns, and the longest wait around it."""
    load.report()
    told = event()
    time.sleep(SETTLE)
    return told, load.report()["max_gap_us"]


def one_move(hosts, load, source, connections):
    """Its report by the ferry that has sent, and the figures of the row."""
    before = hosts.c.counters()["TcpRetransSegs"]
    _, wait = silence(load, lambda: hosts.move_all(source, connections))
    report = hosts.ferry_state(source)["move"]
    load.check()
    return {"time_us": report["took_us"], "hold_us": report["longest_hold_us"],
            "wait_us": wait,
            "again": hosts.c.counters()["TcpRetransSegs"] - before}


def moves(hosts, samples, connections, rounds):
    hosts.both()
    load = hosts.load("--connections", connections, "--active", ACTIVE,
                      "--chunk", CHUNK, "--window", CHUNK, "--rate",
                      CHUNK * 1000 // BEAT_MS).ready()
    number = 0
    for turn in range(-1, rounds):
        for source in (hosts.a, hosts.b):
            quiet = silence(load, lambda: None)[1]
            figures = one_move(hosts, load, source, connections)
            # The first round warms both sides and does not count.
            if turn < 0:
                continue
            samples.add(connections, QUIET, number, wait_us=quiet)
            samples.add(connections, MOVE, number, **figures)
            number += 1
    hosts.end(load)


def measure(options):
    module = world(options)
    samples = Samples()
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core.CORES)
    module.Hosts.setUpClass()
    try:
        with awake(options):
            for connections in COUNTS:
                hosts = module.Hosts("assert_no_resets")
                hosts.setUp()
                try:
                    rounds = options.rounds(5, quick=1)
                    raw(options, hosts, samples, connections, rounds)
                    moves(hosts, samples, connections, rounds)
                finally:
                    hosts.doCleanups()
    finally:
        os.sched_setaffinity(0, mine)
    return {"rows": samples.rows(SUM, ("time_us",),
                                 subjects=(SUM, MOVE, QUIET))}


def shown_ms(values):
    return spread([value / 1000 for value in values], "{:.1f}") + " ms"


def tables(results):
    head = ("", "connections", "time", "each", "sum of the calls = 1",
            "longest hold", "longest wait", "sent twice")
    cells, steps = [], []
    for row in results["rows"]:
        took = row.get("time_us")
        cells.append((
            row["subject"], row["case"], shown_ms(took) if took else "",
            f"{took[0] / row['case']:.1f} us" if took else "",
            f"{row['time_us_ratio'][0]:.2f}" if took else "",
            shown_ms(row["hold_us"]) if "hold_us" in row else "",
            shown_ms(row["wait_us"]) if "wait_us" in row else "",
            spread(row["again"], "{:.0f}") if "again" in row else ""))
        if "freeze_us" in row:
            steps.append((row["case"], *(
                f"{row[step + '_us'][0] / row['case']:.2f} us"
                for step in STEPS)))
    return (markdown(head, cells) + "\nThe calls, for each connection:\n\n"
            + markdown(("connections", *STEPS), steps) + "\n")


def pictures(results, path):
    del results, path
    return {}
