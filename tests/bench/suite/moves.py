# SPDX-License-Identifier: MIT
"""The cost of moving connections, planned and not, and how it grows."""
import json
import math
import os
import resource
import signal
import statistics
import subprocess
import time

from core import Process, Samples, awake, curves, markdown, spread
from pair import Holders, Pair
from servers import Handoff

TITLE = "Handoff, failover, coming home"
ABOUT = """Of N connections to an echo service 200 are active: each sends 256
bytes every 10 ms, and every byte that comes back is compared. *Give* is
`handoffctl maintenance`, *take* is `ready --silent`; their time is what the
process that gives says: from the command until the other serves. *SIGKILL*:
from the signal until an active client has an answer of the survivor, which
includes the kernel's time to end the process; *own work* is what the survivor
did of it. *Coming home*: `ready` to clients that have one subscription for all
their connections, connect first, switch, drain the old connection and ask on
the new one, up to 256 at a time; they come at once, not spread over some
seconds as the library's client does; from the notice until the last has its
answer. *Restart*: the same server without a standby is stopped by SIGTERM and
started again; clients connect again at once, and then every 10 ms; from the
signal until each has an answer. *Raw SCM_RIGHTS* passes the same number of
connected sockets between two processes and does nothing else (`rawpass`). The
longest wait is that of any request of an active client, around the event; in
the last row it is what it is in as much time around `handoffctl status`, which
moves nothing. Medians, quartiles in brackets. Server, standby and clients share
the cores."""

ACTIVE = 200
SETTLE = 0.4        # seconds of load that are looked at for each event
SHOWN = (100, 1000, 8000)
CURVE = (100, 1000, 2000, 4000, 8000, 12000, 16000)
SPARE = 2000        # descriptors that are no connections, at most
RAW, GIVE, TAKE, KILL, HOME, RESTART, QUIET = (
    "raw SCM_RIGHTS", "give", "take", "SIGKILL", "coming home", "restart",
    "only status")
SUBJECTS = (RAW, GIVE, TAKE, KILL, HOME, RESTART, QUIET)


def counts(options):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return [n for n in (SHOWN if options.quick else CURVE)
            if hard == resource.RLIM_INFINITY or n + SPARE <= hard]


def number_in(path):
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read().split()[0])
    except (OSError, ValueError):
        return 0


# What the kernel keeps of a connection and of its registrations in two epoll
# sets, one of each process (slabinfo(5), which only root may read).
OPEN_FILE = "fil" "p"  # its spelling irks the spelling checker
SLABS = {"TCP": 1, "sock_inode_cache": 1, "dentry": 1, OPEN_FILE: 1,
         "eventpoll_epi": 2, "eventpoll_pwq": 2}


def kernel_bytes():
    try:
        with open("/proc/slabinfo", encoding="ascii") as file:
            size = {words[0]: int(words[3]) for words in map(str.split, file)
                    if words[0] in SLABS}
    except (OSError, ValueError):
        return 0
    return sum(size.get(name, 0) * times for name, times in SLABS.items())


def limits(pair, connections):
    """What ends it, and where."""
    return {
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "nr_open": number_in("/proc/sys/fs/nr_open"),
        "kernel_bytes": kernel_bytes(),
        "other_descriptors": max(
            len(os.listdir(f"/proc/{peer.pid}/fd")) - connections
            for peer in pair.peers)}


def raw(options, samples, connections, rounds):
    for number in range(rounds):
        told = json.loads(subprocess.run(
            [options.program("rawpass"), str(connections), "5"], check=True,
            capture_output=True).stdout)
        samples.add(connections, RAW, number, time_us=told["median_us"])


def watched(clients, event):
    """What `event` returns, and the longest wait around it."""
    clients.ask("reset")
    told = event()
    time.sleep(SETTLE)
    figures = clients.ask("report")
    if figures["broken"]:
        raise SystemExit(f"connections broke: {figures}")
    return told, figures["longest_us"]


def planned(options, samples, connections, rounds):
    """Gives and takes in turn, and memory before there was any load."""
    with Pair(options) as pair:
        before = pair.memory()
        with Holders(options, pair.address, connections, ACTIVE) as clients:
            pair.wait_warm(0, connections)
            grown = pair.memory() - before
            found = limits(pair, connections)
            clients.ask("beat")
            # The first round warms both sides and does not count.
            for number in range(-1, rounds):
                quiet = watched(clients, pair.status)[1]
                give, give_wait = watched(clients, lambda: pair.moved(
                    ("maintenance",), connections))
                pair.wait_warm(1, connections)
                take, take_wait = watched(clients, lambda: pair.moved(
                    ("ready", "--silent"), connections))
                pair.wait_warm(0, connections)
                if number < 0:
                    continue
                samples.add(connections, QUIET, number, wait_us=quiet)
                samples.add(connections, GIVE, number, time_us=give,
                            wait_us=give_wait, memory=grown)
                samples.add(connections, TAKE, number, time_us=take,
                            wait_us=take_wait)
    return found


def killed(pair, clients, owner, connections):
    clients.popen.stdin.write(f"kill {pair.peers[owner].pid}\n")
    clients.popen.stdin.flush()
    times = json.loads(clients.expect(r"^\{.*first_us.*\}$")[0])
    took = pair.peers[1 - owner].expect(
        r"took over (\d+) of its entries in ([\d.]+) ms: (\d+) were in a "
        r"turn, (\d+) repaired, (\d+) closed")
    if int(took[1]) < connections or took[5] != "0":
        raise SystemExit(f"not all was taken over: {took[0]}")
    clients.popen.stdin.write("check\n")
    clients.popen.stdin.flush()
    clients.expect("^checked$")
    return {"time_us": times["first_us"], "gone_us": times["gone_us"],
            "all_us": times["all_us"], "own_us": float(took[2]) * 1000,
            "wait_us": times["slowest_us"]}


def crashes(options, samples, connections, rounds):
    with Pair(options) as pair, Process(
            options.program("failover_clients"), pair.address, connections,
            ACTIVE, stdin=True, core=None) as clients:
        clients.expect("^ready$")
        for number in range(rounds):
            owner = number % 2
            pair.wait_warm(owner, connections)
            samples.add(connections, KILL, number,
                        **killed(pair, clients, owner, connections))
            pair.replace(owner)


def home(options, samples, connections, rounds):
    with Pair(options) as pair, Holders(
            options, pair.address, connections, ACTIVE,
            "mq:" + pair.dir) as clients:
        clients.ask("beat")
        for number in range(rounds):
            pair.wait_warm(0, connections)
            pair.moved(("maintenance",), connections)
            pair.wait_warm(1, connections)
            time.sleep(SETTLE)
            clients.ask("reset")
            pair.ctl("ready")
            told = clients.wait_answered(lambda t: t["home"] == connections)
            if told["broken"]:
                raise SystemExit(f"connections broke: {told}")
            samples.add(connections, HOME, number, time_us=told["home_us"],
                        wait_us=told["longest_us"])


def restarts(options, samples, connections, rounds):
    with Handoff(options, core=None) as server:
        address = server.address
        with Holders(options, address, connections, ACTIVE) as clients:
            clients.ask("beat")
            for number in range(rounds):
                time.sleep(SETTLE)
                clients.ask("reset")
                server.processes.pop().stop(signal.SIGTERM)
                process = server.start(
                    options.program("server"), "--dir", server.dir, "--listen",
                    address)
                process.expect("owner: serves")
                told = clients.wait_answered(
                    lambda t: t["back"] >= connections)
                samples.add(connections, RESTART, number,
                            time_us=told["back_us"],
                            wait_us=told["longest_us"],
                            broken=told["broken"])


def measure(options):
    samples = Samples()
    with awake(options):
        for connections in counts(options):
            rounds = options.rounds(5 if connections in SHOWN else 3, quick=2)
            raw(options, samples, connections, rounds)
            found = planned(options, samples, connections, rounds)
            crashes(options, samples, connections, rounds)
            if connections in SHOWN:
                home(options, samples, connections, rounds)
                restarts(options, samples, connections, rounds)
    return {"rows": samples.rows(RAW, ("time_us",), subjects=SUBJECTS),
            "limits": found}


def shown_us(values):
    """us, or ms where that reads better."""
    if values[0] < 1000:
        return spread(values, "{:.0f}") + " us"
    form = "{:.2f}" if values[0] < 1e5 else "{:.0f}"
    return spread([value / 1000 for value in values], form) + " ms"


def events(rows, connections):
    """The table of what happens with so many connections."""
    head = ("", "time", "per connection", "raw = 1", "own work",
            "longest wait")
    cells = []
    for row in rows:
        if row["case"] != connections:
            continue
        took = row.get("time_us")
        cells.append((
            row["subject"], shown_us(took) if took else "",
            f"{took[0] / connections:.3f} us" if took else "",
            f"{row['time_us_ratio'][0]:.2f}" if took else "",
            shown_us(row["own_us"]) if "own_us" in row else "",
            shown_us(row["wait_us"]) if "wait_us" in row else ""))
    return f"**{connections} connections**\n\n" + markdown(head, cells) + "\n"


QUANTITIES = (  # what grows: name, subject, figure, unit, divisor
    ("raw SCM_RIGHTS", RAW, "time_us", "ms", 1e3),
    ("give", GIVE, "time_us", "ms", 1e3),
    ("take", TAKE, "time_us", "ms", 1e3),
    ("SIGKILL until served", KILL, "time_us", "ms", 1e3),
    ("SIGKILL until the process is gone", KILL, "gone_us", "ms", 1e3),
    ("SIGKILL, own work", KILL, "own_us", "ms", 1e3),
    ("SIGKILL until all that waited is answered", KILL, "all_us", "ms", 1e3),
    ("coming home", HOME, "time_us", "ms", 1e3),
    ("restart", RESTART, "time_us", "ms", 1e3),
    ("memory of both processes, idle", GIVE, "memory", "MiB", 2 ** 20),
)


def points(rows, subject, figure, divisor):
    return [(row["case"], [value / divisor for value in row[figure]])
            for row in rows if row["subject"] == subject and figure in row]


def fit(pairs):
    """a + b * n through medians of 1000 connections and more, and the exponent
    of growth there: 1 is linear, 0 is constant."""
    xs = [x for x, v in pairs if x >= 1000]
    ys = [v[0] for x, v in pairs if x >= 1000]
    if len(xs) < 2 or min(ys) <= 0:
        return None
    b, a = statistics.linear_regression(xs, ys)
    exponent = statistics.linear_regression(
        [math.log(x) for x in xs], [math.log(y) for y in ys])[0]
    return a, b, exponent


def growth(rows):
    head = ("", "measured up to", "fixed", "per 1000", "grows as",
            "at 100,000 (calculated)", "at 1,000,000 (calculated)")
    cells = []
    for name, subject, figure, unit, divisor in QUANTITIES:
        measured = points(rows, subject, figure, divisor)
        line = fit(measured)
        if not line:
            continue
        a, b, exponent = line
        cells.append((name, f"{measured[-1][0]}", f"{a:.2f} {unit}",
                      f"{b * 1000:.3f} {unit}", f"N^{exponent:.2f}",
                      *(f"{a + b * n:.0f} {unit}" for n in (1e5, 1e6))))
    return markdown(head, cells) + "\n"


def where_it_ends(rows, found):
    """The limit here, and what a million would take elsewhere."""
    most = found["nofile"] - found["other_descriptors"]
    each = fit(points(rows, GIVE, "memory", 1))
    text = (f"**Limits.** Each process needs a descriptor for a connection and "
            f"{found['other_descriptors']} others, so here the hard limit of "
            f"{found['nofile']} descriptors ends it at {most} connections. "
            f"A process may be given up to {found['nr_open']} (fs.nr_open, "
            "which can be raised).")
    if each:
        text += (" A million idle connections would take "
                 f"{each[1] * 1e6 / 2 ** 20:.0f} MiB in the two processes")
        if found["kernel_bytes"]:
            text += (" and, by the sizes of the kernel's objects "
                     f"({', '.join(SLABS)}), {found['kernel_bytes']} bytes "
                     "each, about "
                     f"{found['kernel_bytes'] * 1e6 / 2 ** 30:.1f} GiB in the "
                     "kernel without socket buffers")
        text += ". This is calculated, not measured."
    return text + "\n\n"


def tables(results):
    rows = results["rows"]
    text = "".join(events(rows, n) for n in SHOWN)
    return text + """**Growth with the number of connections**

A straight line through the medians of 1000 connections and more. What grows
much slower than N^1.00 is mostly fixed; what grows faster is not linear. The
last two columns are calculated from the line, not measured.

""" + growth(rows) + where_it_ends(rows, results["limits"])


def pictures(results, path):
    rows = results["rows"]
    # An underscore would be a subscript.
    times = {name.replace("_", "\\_"): points(rows, subject, figure, 1e3)
             for name, subject, figure, unit, _ in QUANTITIES
             if unit == "ms" and figure != "all_us"}
    curves(path("time"), "Time of an event", "connections", "ms",
           {name: at for name, at in times.items() if at})
    waits = {name: points(rows, name, "wait_us", 1e3)
             for name in (GIVE, TAKE, KILL, HOME, RESTART, QUIET)}
    curves(path("wait"), "Longest wait of any active client", "connections",
           "ms", {name: at for name, at in waits.items() if at})
    curves(path("memory"), "Memory of server and standby together, idle "
           "connections", "connections", "MiB",
           {"both processes": points(rows, GIVE, "memory", 2 ** 20)}, log="")
    return {"time": "Time of an event against the number of connections",
            "wait": "The longest that any active client waited around it",
            "memory": "Memory that idle connections take, in the server and "
                      "its standby together"}
