# SPDX-License-Identifier: MIT
"""Two workers against one, where the service has something to do."""
from core import CORES, Clients, Samples, bars, markdown, spread
from servers import Handoff, in_turn

TITLE = "Two workers"
ABOUT = """A service that thinks for about 20 us over each request of 64 bytes,
100 connections, ping-pong, `loop` with one worker and with two. Server and load
share the cores, pinned to none, so two workers can't bring twice as much: *at
most* is what all cores would do at the CPU time that a request cost server and
load together. The ratio is to one worker in the same round."""

SUBJECTS = {"1 worker": 1, "2 workers": 2}
CONNECTIONS, SIZE = 100, 64


class HashServer(Handoff):
    def command(self):
        return (self.options.program("hash_server"), self.dir, *self.args)


def measure(options):
    ms = 300 if options.quick else 1500
    samples = Samples()
    for number in range(options.rounds(11)):
        for name in in_turn(SUBJECTS, number):
            with HashServer(options, SUBJECTS[name], core=None) as server:
                with Clients(options, server.address, CONNECTIONS,
                             core=None) as clients:
                    clients.ask("ping", SIZE, ms // 5)
                    before = server.cpu_ns()
                    told = clients.ask("ping", SIZE, ms)
                    cpu = (server.cpu_ns() - before) / 1e9
            each = (cpu + told["client_cpu"]) / told["messages"]
            samples.add("hash", name, number,
                        per_second=told["messages"] / told["seconds"],
                        cpu_us=cpu / told["messages"] * 1e6,
                        load_us=told["client_cpu"] / told["messages"] * 1e6,
                        most=len(CORES) / each)
    return {"rows": samples.rows("1 worker", ("per_second",))}


def tables(results):
    rows = [(row["subject"], spread([v / 1000 for v in row["per_second"]],
                                    "{:.1f}") + " k/s",
             spread(row["per_second_ratio"]),
             f"{row['most'][0] / 1000:.1f} k/s", spread(row["cpu_us"]) + " us",
             spread(row["load_us"]) + " us") for row in results["rows"]]
    return markdown(("", "requests", "ratio", "at most", "CPU a request",
                     "of the load"), rows) + "\n"


def pictures(results, path):
    bars(path("requests"), "Requests a second of a service that computes",
         "1000 a second", ("1 worker", "2 workers"),
         {"measured": [[v / 1000 for v in row["per_second"]]
                       for row in results["rows"]],
          "at most": [[v / 1000 for v in row["most"]]
                      for row in results["rows"]]})
    return {"requests": "Requests a second of a service that computes, with "
                        "one worker and with two"}
