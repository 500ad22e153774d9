# SPDX-License-Identifier: MIT
"""Memory of connections: idle ones, and those that have just been busy."""
import os
import time

from core import Clients, Samples, bars, markdown, memory, spread, wait_until
from servers import ALL, FLOOR, in_turn

TITLE = "Memory"
ABOUT = """What a server's memory grows by for each connection. *Idle*: accepted,
and nothing was ever sent. *Busy*: each has just echoed 4 KiB, all of them at
once. *After*: some seconds later, when nothing more was given back. Counted are
pages of the processes (of both, with a standby) and shared memory, that once;
beside it page tables and the kernel's stacks of threads. Not counted is the
kernel's side of the connections: it is the same for all, except that with a
standby each is registered with epoll in both processes."""

SIZE = 4096
SUBJECTS = ("raw epoll", "libuv", "libevent", "raw threads", "loop",
            "loop, standby", "loop, 2 workers", "thread")
QUIET = 8      # seconds without a change are the end
PATIENCE = 60  # seconds


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def total(figures):
    return figures["resident"] + figures["tables"] + figures["stacks"]


def settle(server):
    """Until memory has not changed for some seconds; how long it fell."""
    start = changed = time.monotonic()
    last = memory(server.pids())
    while (time.monotonic() - changed < QUIET and
           time.monotonic() - start < PATIENCE):
        time.sleep(0.25)
        now = memory(server.pids())
        if abs(total(now) - total(last)) > 65536:
            changed = time.monotonic()
            last = now
    return last, changed - start


def look(options, name, connections):
    with ALL[name](options) as server:
        # One connection first: what is made only once is no cost of each.
        with Clients(options, server.address, 1) as clients:
            clients.ask("once", SIZE)
        time.sleep(0.2)
        empty = memory(server.pids())
        before = [descriptors(p.pid) for p in server.processes]
        with Clients(options, server.address, connections) as clients:
            for process, had in zip(server.processes, before):
                wait_until(lambda p=process, n=had:
                           descriptors(p.pid) >= n + connections,
                           "all connections are accepted")
            idle = memory(server.pids())
            clients.ask("once", SIZE)
            busy = memory(server.pids())
            after, seconds = settle(server)
            clients.ask("once", SIZE)  # all are still served
    figures = {"seconds": seconds}
    for what, now in (("idle", idle), ("busy", busy), ("after", after)):
        figures[what] = (now["resident"] - empty["resident"]) / connections
        figures[what + "_kernel"] = (total(now) - total(empty)) / connections \
            - figures[what]
    return figures


def measure(options):
    connections = 2000 if options.quick else 10000
    samples = Samples()
    for number in range(options.rounds(3, quick=1)):
        for name in in_turn(SUBJECTS, number):
            samples.add(f"{connections} connections", name, number,
                        **look(options, name, connections))
    return {"rows": samples.rows(FLOOR, (), subjects=SUBJECTS)}


def tables(results):
    head = ("", "idle", "tables, stacks", "busy", "tables, stacks", "after",
            "tables, stacks", "given back within")
    rows = [(row["subject"],
             *(spread(row[what], "{:.0f}") for what in
               ("idle", "idle_kernel", "busy", "busy_kernel", "after",
                "after_kernel")), f"{row['seconds'][0]:.0f} s")
            for row in results["rows"]]
    return (f"Bytes a connection, {results['rows'][0]['case']}\n\n" +
            markdown(head, rows) + "\n")


def pictures(results, path):
    cases = ("idle", "busy", "after")
    bars(path("bytes"), "Memory of a connection, page tables and stacks "
         "included", "bytes", cases,
         {row["subject"]: [[row[c][i] + row[c + "_kernel"][i]
                            for i in range(3)] for c in cases]
          for row in results["rows"]}, log=True)
    return {"bytes": "Memory of a connection, page tables and stacks of "
                     "threads included"}
