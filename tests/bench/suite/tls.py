# SPDX-License-Identifier: MIT
"""TLS: echoes, handshakes and memory, beside OpenSSL on a socket."""
import os
import subprocess
import tempfile

from core import (Clients, SERVER_CORE, Samples, awake, markdown, memory,
                  spread)
from memory import settle
from servers import Handoff, Peer, in_turn

TITLE = "TLS"
ABOUT = """Echo over TLS 1.3 (AES-256-GCM, X25519), ping-pong, by one load
program of OpenSSL's that compares what comes back. *SSL_read* is a plain epoll
server with SSL_read and SSL_write on its sockets, without session tickets;
*read_ahead* is the same one with SSL_CTX_set_read_ahead; the others are
examples/server with `handoff::tls` in model loop, alone and with a standby that
holds copies. All of them share one core, see docs/benchmarks.md. CPU is that of
the server and of its standby, divided by requests; ratios are to the better of
the two plain servers in the same round. A *handshake* is a new
connection with one echo of 64 B that ends with close_notify, 16 at once.
Medians, quartiles in brackets. Memory is what the server grows by for each
connection, page tables included: *used* right after a handshake and one echo of
64 B, *idle* some seconds later, when nothing more is given back; *release* is a
plain server with SSL_MODE_RELEASE_BUFFERS."""

PLAIN = ("SSL_read", "read_ahead")
FLOOR = "better"
RATIO = (*PLAIN, "loop", "loop, standby")
MEMORY = ("SSL_read", "release", "loop", "loop, standby")
# case, bytes, connections
WORK = (("64 B, 1 conn.", 64, 1), ("64 B, 100 conn.", 64, 100),
        ("16 KiB, 1 conn.", 16384, 1), ("16 KiB, 100 conn.", 16384, 100))
KINDS = {
    "ECDSA": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "RSA": ("rsa:2048",),
}


class Plain(Peer):
    def __init__(self, options, files, *args):
        super().__init__(options, "tls_echo")
        self.args = (*files, *args)

    def open(self):
        process = self.start(self.options.program("tls_echo"), *self.args)
        self.address = process.expect(r"listening on (\S+)")[1]


def ours(options, files, standby):
    return Handoff(options, "--tls-cert", files[0], "--tls-key", files[1],
                   standby=standby, standby_core=SERVER_CORE)


SUBJECTS = {
    "SSL_read": Plain,
    "read_ahead": lambda o, files: Plain(o, files, "--read-ahead"),
    "release": lambda o, files: Plain(o, files, "--release"),
    "loop": lambda o, files: ours(o, files, False),
    "loop, standby": lambda o, files: ours(o, files, True),
}


def lacks(options):
    if not os.path.exists(os.path.join(options.build,
                                       "tests/bench/tls_echo")):
        return "it was built without OpenSSL"
    return None


def certificate(folder, kind):
    cert, key = (os.path.join(folder, f"{kind}.{ext}")
                 for ext in ("crt", "key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", *KINDS[kind],
                    "-nodes", "-keyout", key, "-out", cert, "-days", "30",
                    "-subj", "/CN=localhost"], check=True, capture_output=True)
    return cert, key


def clients_of(options, server, count):
    return Clients(options, server.address, count, core=SERVER_CORE,
                   program="tls_clients")


def cost(server, clients, *words):
    before = server.cpu_ns()
    told = clients.ask(*words)
    cpu = server.cpu_ns() - before
    return {"cpu_us": cpu / 1000 / told["messages"],
            "per_second": told["messages"] / told["seconds"]}


def echoes(options, server, size, conns, ms):
    with clients_of(options, server, conns) as clients:
        clients.ask("ping", size, max(ms // 5, 50))  # until all is warm
        return cost(server, clients, "ping", size, ms)


def handshakes(options, server, count):
    with clients_of(options, server, 16) as clients:
        clients.ask("shake", 64, count // 5)
        return cost(server, clients, "shake", 64, count)


def total_of(figures):
    return figures["resident"] + figures["tables"]


def total(server):
    return total_of(memory(server.pids()))


def space(options, server, count):
    with clients_of(options, server, 1) as clients:
        clients.ask("once", 64)
    empty = total(server)
    with clients_of(options, server, count) as clients:
        clients.ask("once", 64)
        used = total(server)
        idle, _ = settle(server)
        clients.ask("once", 64)  # all are still served
    return {"used": (used - empty) / count,
            "idle": (total_of(idle) - empty) / count}


def add_better(samples, number):
    """The cheaper of the two plain servers of this round."""
    for case, subjects in samples.figures.items():
        costs = [subjects[name]["cpu_us"].get(number) for name in PLAIN
                 if name in subjects]
        if len(costs) == len(PLAIN) and None not in costs:
            samples.add(case, FLOOR, number, cpu_us=min(costs))


def measure_round(options, files, samples, number):
    ms, count = (200, 500) if options.quick else (600, 2000)
    for name in in_turn(RATIO, number):
        with SUBJECTS[name](options, files["ECDSA"]) as server:
            for case, size, conns in WORK:
                samples.add(case, name, number,
                            **echoes(options, server, size, conns, ms))
            samples.add("handshake, ECDSA", name, number,
                        **handshakes(options, server, count))
        with SUBJECTS[name](options, files["RSA"]) as server:
            samples.add("handshake, RSA", name, number,
                        **handshakes(options, server, count // 2))
    add_better(samples, number)


def measure(options):
    count = 1000 if options.quick else 5000
    samples, spaces = Samples(), Samples()
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder:
        files = {kind: certificate(folder, kind) for kind in KINDS}
        with awake(options):
            for number in range(options.rounds(10)):
                measure_round(options, files, samples, number)
        for number in range(options.rounds(3, quick=1)):
            for name in in_turn(MEMORY, number):
                with SUBJECTS[name](options, files["ECDSA"]) as server:
                    spaces.add(f"{count} connections", name, number,
                               **space(options, server, count))
    return {"rows": samples.rows(FLOOR, ("cpu_us",), subjects=RATIO),
            "memory": spaces.rows(PLAIN[0], (), subjects=MEMORY)}


def tables(results):
    rows = [(row["case"], row["subject"], spread(row["cpu_us"]) + " us",
             spread(row["cpu_us_ratio"], "{:.3f}"),
             f"{row['per_second'][0] / 1000:.1f} k/s")
            for row in results["rows"]]
    text = markdown(("", "", "CPU each", "ratio", "throughput"), rows)
    rows = [(row["subject"], spread(row["used"], "{:.0f}"),
             spread(row["idle"], "{:.0f}")) for row in results["memory"]]
    text += f"\nBytes a connection, {results['memory'][0]['case']}\n\n"
    return text + markdown(("", "used", "idle"), rows) + "\n"


def pictures(_results, _path):
    return {}
