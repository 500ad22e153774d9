# SPDX-License-Identifier: MIT
"""The program's own work for an echoed request: instructions and system calls.
They do not depend on the load of the machine.
"""
import os
import re
import tempfile

from core import Clients, bars, markdown
from servers import Handoff, Peer

TITLE = "Instructions and system calls"
ABOUT = """Instructions outside of the kernel for an echoed request, counted by
callgrind, and system calls, counted by strace: the difference between a run of
many requests and one of few, so that start and end don't count. On one
connection every request is an event of its own; with 16 connections, which all
ask at once, one `epoll_wait` brings several, and how many depends on the
moment. With a standby there are no instruction counts: Debian's valgrind knows no
pidfd_open(2)."""

FEW, MANY = 100, 1100
CALLGRIND = ("valgrind", "-q", "--tool=callgrind", "--callgrind-out-file={}")
STRACE = ("strace", "-f", "-c", "-o", "{}", "-qq")
WORK = (("64 B, 1 conn.", 64, 1), ("4 KiB, 1 conn.", 4096, 1),
        ("64 B, 16 conn.", 64, 16))
SUBJECTS = {
    "raw epoll": lambda o, w: Peer(o, "epoll_echo", wrapper=w),
    "libuv": lambda o, w: Peer(o, "uv_echo", wrapper=w),
    "libevent": lambda o, w: Peer(o, "event_echo", wrapper=w),
    "loop": lambda o, w: Handoff(o, wrapper=w),
    "loop, standby": lambda o, w: Handoff(o, standby=True, wrapper=w),
    "loop, 2 workers": lambda o, w: Handoff(o, "--workers", "2", wrapper=w),
    "thread": lambda o, w: Handoff(o, "--model", "thread", wrapper=w),
}


def run(options, name, wrapper, size, connections, times):
    """One run under a tool; returns what that wrote."""
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder:
        out = os.path.join(folder, "out")
        wrapper = [word.format(out) for word in wrapper]
        with SUBJECTS[name](options, wrapper) as server:
            with Clients(options, server.address, connections) as clients:
                clients.ask("times", size, times)
            server.end()
        with open(out, encoding="utf-8", errors="replace") as file:
            return file.read()


def instructions(text):
    return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M)[1])


def calls(text):
    """Of strace -c: % time, seconds, usecs/call, calls, [errors,] name."""
    found = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$",
                       text, re.M)
    return {name: int(count) for count, name in found if name != "total"}


def difference(options, name, size, connections):
    requests = (MANY - FEW) * connections
    row = {}
    if "standby" not in name:
        few, many = (instructions(run(options, name, CALLGRIND, size,
                                      connections, times))
                     for times in (FEW, MANY))
        row["instructions"] = round((many - few) / requests, 1)
    few, many = (calls(run(options, name, STRACE, size, connections, times))
                 for times in (FEW, MANY))
    per_request = {call: round((count - few.get(call, 0)) / requests, 2)
                   for call, count in many.items()}
    row["calls"] = {call: count for call, count in sorted(per_request.items())
                    if count >= 0.01}
    return row


def measure(options):
    rows = []
    for case, size, connections in WORK:
        for name in SUBJECTS:
            rows.append({"case": case, "subject": name,
                         **difference(options, name, size, connections)})
    return {"rows": rows}


def count(row):
    return f"{row['instructions']:.0f}" if "instructions" in row else "-"


def tables(results):
    text = ""
    for case in dict.fromkeys(row["case"] for row in results["rows"]):
        rows = [(row["subject"], count(row),
                 f"{sum(row['calls'].values()):.2f}",
                 ", ".join(f"{call} {count:.2f}" for call, count
                           in row["calls"].items()))
                for row in results["rows"] if row["case"] == case]
        text += f"**{case}**\n\n" + markdown(
            ("", "instructions", "system calls", "which"), rows) + "\n"
    return text


def pictures(results, path):
    cases = list(dict.fromkeys(row["case"] for row in results["rows"]))
    at = {(row["case"], row["subject"]): row["instructions"]
          for row in results["rows"] if "instructions" in row}
    bars(path("user"), "Instructions outside of the kernel for an echoed "
         "request", "instructions", cases,
         {name: [[at[case, name]] * 3 for case in cases] for name in SUBJECTS
          if (cases[0], name) in at})
    return {"user": "Instructions outside of the kernel for an echoed request"}
