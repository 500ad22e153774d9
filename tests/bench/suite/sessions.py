# SPDX-License-Identifier: MIT
"""What a session costs: CPU of an echoed request, memory, and coming home."""
import subprocess

from core import Clients, Samples, awake, markdown, memory, spread
from memory import settle
from servers import Handoff, in_turn

TITLE = "Sessions"
ABOUT = """Echo in model loop, ping-pong, on connections with sessions and
on plain ones, in the same round and by the same load program, which sends one
segment a request and compares what comes back. *Plain* is a server without
sessions; *plain beside* is a plain client of a server that has them. CPU is that
of the server, divided by requests; ratios are to *plain* of the same round.
Medians, quartiles in brackets. Memory is what the server grows by for each
connection, page tables included: *new* after the connection, or the session,
was made; *used* right after one echo of 4 KiB on each; *idle* some seconds
later, when nothing more is given back. *Coming home*: all sessions are at the alternate, `ready`, and each goes on over a new
connection, 64 at a time, with one echo of 64 B after that; CPU is that of both
servers, divided by sessions."""

SUBJECTS = {
    "plain": ((), "plain"),
    "plain beside": (("--sessions",), "plain"),
    "session": (("--sessions",), "session"),
}
FLOOR = "plain"
WORK = (("64 B, 1 conn.", 64, 1), ("64 B, 100 conn.", 64, 100),
        ("4 KiB, 100 conn.", 4096, 100))


def clients_of(options, server, count, kind):
    return Clients(options, server.address, count, kind,
                   program="session_clients")


def echo(server, clients, size, ms):
    clients.ask("ping", size, max(ms // 5, 50))  # until all is warm
    before = server.cpu_ns()
    told = clients.ask("ping", size, ms)
    cpu = server.cpu_ns() - before
    return {"cpu_us": cpu / 1000 / told["messages"],
            "per_second": told["messages"] / told["seconds"]}


def total_of(figures):
    return figures["resident"] + figures["tables"]


def total(server):
    return total_of(memory(server.pids()))


def space(options, server, kind, count):
    with clients_of(options, server, 1, kind) as clients:
        clients.ask("once", 4096)
    empty = total(server)
    with clients_of(options, server, count, kind) as clients:
        # The echo on the last connection shows that all are accepted.
        new = total(server)
        clients.ask("once", 4096)
        used = total(server)
        idle, _ = settle(server)
        clients.ask("once", 4096)  # all are still served
    return {"new": (new - empty) / count, "used": (used - empty) / count,
            "idle": (total_of(idle) - empty) / count}


def come_home(options, count):
    with Handoff(options, "--sessions", standby=True) as server, \
            clients_of(options, server, count, "session") as clients:
        clients.ask("once", 64)
        for word in ("maintenance", "ready"):
            subprocess.run([options.program("handoffctl"), "--dir", server.dir,
                            word], check=True, capture_output=True)
        before = server.cpu_ns()
        told = clients.ask("resume", 64)
        cpu = server.cpu_ns() - before
        clients.ask("once", 64)
    return {"seconds": told["seconds"], "cpu_us": cpu / 1000 / count}


def measure(options):
    ms = 200 if options.quick else 600
    count = 1000 if options.quick else 5000
    samples = Samples()
    with awake(options):
        for number in range(options.rounds(10)):
            for name in in_turn(SUBJECTS, number):
                args, kind = SUBJECTS[name]
                with Handoff(options, *args) as server:
                    for case, size, conns in WORK:
                        with clients_of(options, server, conns,
                                        kind) as clients:
                            samples.add(case, name, number, **echo(
                                server, clients, size, ms))
    spaces = Samples()
    for number in range(options.rounds(3, quick=1)):
        for name in in_turn(SUBJECTS, number):
            args, kind = SUBJECTS[name]
            with Handoff(options, *args) as server:
                spaces.add(f"{count} connections", name, number,
                           **space(options, server, kind, count))
    home = Samples()
    for number in range(options.rounds(3, quick=1)):
        for sessions in (1000,) if options.quick else (1000, 8000):
            home.add(f"{sessions} sessions", "home", number,
                     **come_home(options, sessions))
    return {"rows": samples.rows(FLOOR, ("cpu_us",),
                                 [work[0] for work in WORK], SUBJECTS),
            "home": home.rows("home", ()),
            "memory": spaces.rows(FLOOR, (), subjects=SUBJECTS)}


def tables(results):
    rows = [(row["case"], row["subject"], spread(row["cpu_us"]) + " us",
             spread(row["cpu_us_ratio"], "{:.3f}"),
             f"{row['per_second'][0] / 1000:.1f} k/s")
            for row in results["rows"]]
    text = markdown(("", "", "CPU a request", "ratio", "throughput"), rows)
    rows = [(row["subject"], *(spread(row[what], "{:.0f}")
                               for what in ("new", "used", "idle")))
            for row in results["memory"]]
    text += f"\nBytes a connection, {results['memory'][0]['case']}\n\n"
    text += markdown(("", "new", "used", "idle"), rows)
    rows = [(row["case"], spread(row["seconds"]) + " s",
             spread(row["cpu_us"], "{:.0f}") + " us")
            for row in results.get("home", ())]
    if rows:
        text += "\nComing home\n\n"
        text += markdown(("", "all", "CPU a session"), rows)
    return text + "\n"


def pictures(_results, _path):
    return {}
