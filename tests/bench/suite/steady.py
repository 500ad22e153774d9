# SPDX-License-Identifier: MIT
"""Steady state: what an echoed request costs the server."""
from core import Clients, Samples, awake, bars, markdown, spread
from servers import ALL, FLOOR, in_turn

TITLE = "Steady state"
ABOUT = """Echo, the server on one core and the load on the other. *Ping-pong*:
each connection sends its next request when it has the answer to the last.
*Stream*: one connection writes 1 MiB after 1 MiB and reads what comes back. CPU
is the time of all threads and processes of the server, a standby's included,
divided by requests; it is the firmer figure, since the load may be the
bottleneck. Every server is started afresh in every round, and the ratio is to
the raw epoll server of the same round. Medians, quartiles in brackets. *Raw
epoll* and *raw threads* are minimal servers without a library; *raw epoll
again* is the very same program and shows what chance does to a ratio. A process
of the lowest priority keeps each core from falling asleep, since waking it would
be most of what is measured."""

KIB, MIB = 1024, 1024 * 1024
WORK = (  # case, command, bytes, connections
    ("64 B, 1 conn.", "ping", 64, 1),
    ("64 B, 100 conn.", "ping", 64, 100),
    ("64 B, 1000 conn.", "ping", 64, 1000),
    ("4 KiB, 1 conn.", "ping", 4 * KIB, 1),
    ("4 KiB, 100 conn.", "ping", 4 * KIB, 100),
    ("4 KiB, 1000 conn.", "ping", 4 * KIB, 1000),
    ("stream, 1 conn.", "stream", MIB, 1),
)


def figures(server, clients, command, size, ms):
    clients.ask(command, size, max(ms // 5, 50))  # until all is warm
    before = server.cpu_ns()
    told = clients.ask(command, size, ms)
    cpu = server.cpu_ns() - before
    return {
        "cpu_us": cpu / 1000 / told["messages"],
        "per_second": told["messages"] / told["seconds"],
        "mb_per_second": told["bytes"] / told["seconds"] / 1e6,
        "server_busy": cpu / 1e9 / told["seconds"],
        "load_busy": told["client_cpu"] / told["seconds"],
    }


def measure(options, only=None):
    with awake(options):
        return measure_awake(options, only)


def measure_awake(options, only):
    ms = 200 if options.quick else 600
    samples = Samples()
    for number in range(options.rounds(10)):
        for name in in_turn(only or ALL, number):
            with ALL[name](options) as server:
                for count in (1, 100, 1000):
                    with Clients(options, server.address, count) as clients:
                        clients.ask("times", 64, 3)
                        for case, command, size, connections in WORK:
                            if connections == count:
                                samples.add(case, name, number, **figures(
                                    server, clients, command, size, ms))
    return {"rows": samples.rows(
        FLOOR, ("cpu_us", "per_second"), [work[0] for work in WORK], ALL)}


def per_second(value, case):
    if case.startswith("stream"):
        return f"{value[0]:.0f} MB/s"
    return f"{value[0] / 1000:.1f} k/s"


def tables(results):
    head = ("", "CPU a request", "ratio", "throughput",
            "ratio", "server busy", "load busy")
    text = ""
    for case in dict.fromkeys(row["case"] for row in results["rows"]):
        rows = []
        for row in results["rows"]:
            if row["case"] != case:
                continue
            stream = case.startswith("stream")
            rows.append((
                row["subject"], spread(row["cpu_us"]) + " us",
                spread(row["cpu_us_ratio"], "{:.3f}"),
                per_second(row["mb_per_second" if stream else "per_second"],
                           case),
                f"{row['per_second_ratio'][0]:.2f}",
                f"{row['server_busy'][0]:.0%}", f"{row['load_busy'][0]:.0%}"))
        text += f"**{case}**\n\n" + markdown(head, rows) + "\n"
    return text


def pictures(results, path):
    cases = list(dict.fromkeys(row["case"] for row in results["rows"]))
    at = {(row["case"], row["subject"]): row for row in results["rows"]}
    # The two that are far off would make all others look alike.
    subjects = [name for name in ALL if (cases[0], name) in at
                and name not in (FLOOR, "thread", "fork")]
    bars(path("cpu"), "Server CPU for an echoed request, raw epoll = 1",
         "ratio", cases,
         {name: [at[case, name].get("cpu_us_ratio") for case in cases]
          for name in subjects}, line=1)
    return {"cpu": "Server CPU for an echoed request, as a ratio to that of "
                   "the raw epoll server of the same round; thread and fork "
                   "are in the tables only"}
