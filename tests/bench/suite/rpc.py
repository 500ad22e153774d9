# SPDX-License-Identifier: MIT
"""Remote procedures: the null call, beside libtirpc's own server."""
import json
import os

from core import (LOAD_CORE, SERVER_CORE, Process, Samples, awake, markdown,
                  spread)
from servers import Handoff, Server, in_turn

TITLE = "Remote procedure calls"
ABOUT = """The null call (no arguments, no results) on one server after the other
in the same round. *svc_run* is libtirpc's own server with the same dispatch
function of rpcgen, *svc, epoll* the same with epoll in the place of its poll; the
others are `handoff::rpc` in model loop, alone, with a
standby that holds copies, and with a standby and clients of this library instead
of libtirpc's. Each client is a thread that calls, waits for the reply and calls
again. Clients and server share a core, or each side has one: *apart*, see
docs/benchmarks.md. CPU is that of the server, divided by calls; ratios are to *svc_run* of the
same round. Medians, quartiles in brackets."""

FLOOR = "svc_run"
# case, clients, their core
CASES = (("1 client", 1, SERVER_CORE), ("50 clients", 50, SERVER_CORE),
         ("50 clients, apart", 50, LOAD_CORE))


class SvcRun(Server):
    def __init__(self, options, *args):
        super().__init__(options)
        self.args = args

    def open(self):
        process = self.start(self.options.program("svc_server"), *self.args)
        self.address = process.expect(r"listening on (\S+)")[1]


class Counter(Handoff):
    """tests/rpc/counter_server, perhaps twice."""

    def command(self):
        return (self.options.program("counter_server"), "--dir", self.dir,
                "--listen", "127.0.0.1:0")

    def open(self):
        standby, self.standby = self.standby, False
        super().open()
        if standby:
            alt = self.start(self.options.program("counter_server"), "--dir",
                             self.dir, "--name", "alt", core=LOAD_CORE)
            alt.expect(": standby: ")


SUBJECTS = {
    FLOOR: (SvcRun, ("--foreign",)),
    "svc, epoll": (lambda o: SvcRun(o, "--epoll"), ("--foreign",)),
    "loop": (Counter, ("--foreign",)),
    "loop, standby": (lambda o: Counter(o, standby=True), ("--foreign",)),
    "loop, standby, own clients": (lambda o: Counter(o, standby=True), ()),
}


def lacks(options):
    if not os.path.exists(os.path.join(options.build, "tests/rpc/svc_server")):
        return "it was built without libtirpc or rpcgen"
    return None


def calls(options, server, args, clients, core, count):
    """The server sleeps before and after: what it uses is what calls cost."""
    before = server.cpu_ns()
    with Process(options.program("counter_load"), "--null", "--connect",
                 server.address, "--clients", clients, "--calls",
                 count // clients, *args, core=core) as load:
        told = json.loads(load.expect(r"^\{.*\}$")[0])
    if told["failed"] or told["answered"] != count // clients * clients:
        raise SystemExit(f"calls failed: {told}")
    return {"per_second": told["answered"] / told["seconds"],
            "cpu_us": (server.cpu_ns() - before) / 1000 / told["answered"]}


def measure(options):
    count = 10000 if options.quick else 40000
    samples = Samples()
    with awake(options):
        for number in range(options.rounds(10)):
            for name in in_turn(SUBJECTS, number):
                kind, args = SUBJECTS[name]
                with kind(options) as server:
                    for case, clients, core in CASES:
                        calls(options, server, args, clients, core,
                              count // 10)
                        samples.add(case, name, number,
                                    **calls(options, server, args, clients,
                                            core, count))
    return {"rows": samples.rows(FLOOR, ("per_second", "cpu_us"),
                                 subjects=SUBJECTS)}


def tables(results):
    rows = [(row["case"], row["subject"],
             f"{row['per_second'][0] / 1000:.1f} k/s",
             spread(row["per_second_ratio"]),
             spread(row["cpu_us"]) + " us", spread(row["cpu_us_ratio"]))
            for row in results["rows"]]
    return markdown(("", "", "calls", "ratio", "CPU a call", "ratio"),
                    rows) + "\n"


def pictures(_results, _path):
    return {}
