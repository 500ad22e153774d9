# SPDX-License-Identifier: MIT
"""What happens to long-lived connections when a server is reloaded, compared
with HAProxy and nginx as TCP proxies.
"""
import contextlib
import os
import pwd
import shutil
import signal
import socket
import tempfile
import time

from core import (Samples, awake, children, markdown,
                  package_version, wait_until)
from moves import shown_us
from pair import Holders, Pair
from servers import Peer, Server

TITLE = "Reload, beside HAProxy and nginx"
ABOUT = """Long-lived connections, of which 200 are active (256 bytes every 10
ms), for ten seconds from the command on. libhandoff: `handoffctl stop` of the
owner while a standby is there. HAProxy: SIGUSR2 to the master (`-W`), which
starts a new worker. nginx: SIGHUP to the master, the same. Both are TCP proxies
before an echo server and run with plain configurations: by default neither
limits how long an old worker may go on (`hard-stop-after`,
`worker_shutdown_timeout`), and once with such a limit, five seconds. *Old
process*: from the command until the process that served the connections before
has ended; if it had not after ten seconds, the clients were ended and *without
clients* is how long it then took. A broken connection is made anew at once.

Not alike: a proxy has two connections for each of a client, and a reload is not
meant to move any; a server behind it that must go down is another matter. What
is compared is what an operator gets who needs the old process gone."""

ACTIVE = 200
LIMIT = 5     # seconds, for those with a limit
PATIENCE = 30  # seconds until an old process without clients has to be gone
MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

NGINX = """load_module {module};
{user}daemon off;
pid {dir}/pid;
worker_rlimit_nofile {nofile};
{limit}
events {{ worker_connections {nofile}; }}
stream {{
    server {{
        listen {address};
        proxy_pass {backend};
        proxy_timeout 1h;
    }}
}}
"""

HAPROXY = """global
    maxconn 9000
    {limit}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend front
    bind {address}
    default_backend echo
backend echo
    server one {backend}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def alive(pid):
    """And not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8",
                  errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Proxy(Server):
    """One of the two before an echo server, with a folder of its own."""

    def __init__(self, options, limit=False):
        super().__init__(options, core=None)
        self.limit = limit

    def open(self):
        self.stack = contextlib.ExitStack()
        self.dir = self.stack.enter_context(
            tempfile.TemporaryDirectory(prefix="handoff-bench-"))
        backend = self.stack.enter_context(
            Peer(self.options, "epoll_echo", core=None)).address
        self.address = f"127.0.0.1:{free_port()}"
        file = os.path.join(self.dir, "config")
        with open(file, "w", encoding="ascii") as out:
            out.write(self.config(backend))
        program = shutil.which(self.PROGRAM, path=os.environ.get(
            "PATH", "") + ":/usr/sbin:/sbin")
        if not program:
            raise SystemExit(f"{self.PROGRAM} is not installed: see deps.sh")
        self.master = self.start(program, *self.arguments(file))
        wait_until(lambda: answers(self.address), f"{program} answers", 10)

    def close(self):
        if self.processes:
            self.master.stop(signal.SIGTERM)  # it ends its workers
        super().close()
        self.stack.close()

    def workers(self):
        return children([self.master.pid])[1:] if self.processes else []

    def reload(self):
        """The processes that served until now."""
        old = self.workers()
        os.kill(self.master.pid, self.SIGNAL)
        wait_until(lambda: set(self.workers()) - set(old),
                   "a new worker is there", 10)
        return old


class Nginx(Proxy):
    PROGRAM, SIGNAL = "nginx", signal.SIGHUP

    def config(self, backend):
        # As root it would run its workers as another user.
        user = pwd.getpwuid(os.getuid()).pw_name
        return NGINX.format(
            module=MODULE, user=f"user {user};\n" if os.getuid() == 0 else "",
            dir=self.dir, nofile=18500, address=self.address, backend=backend,
            limit=f"worker_shutdown_timeout {LIMIT}s;" if self.limit else "")

    def arguments(self, file):
        return "-c", file, "-p", self.dir, "-e", self.dir + "/log"


class Haproxy(Proxy):
    PROGRAM, SIGNAL = "haproxy", signal.SIGUSR2

    def config(self, backend):
        return HAPROXY.format(
            address=self.address, backend=backend,
            limit=f"hard-stop-after {LIMIT}s" if self.limit else "")

    def arguments(self, file):
        return "-W", "-q", "-f", file


class Ours(Pair):
    def reload(self):
        self.wait_warm(0, self.connections)
        self.ctl("stop", "server")
        return [self.peers[0].pid]


SUBJECTS = {
    "libhandoff": Ours,
    "HAProxy": Haproxy,
    f"HAProxy, hard-stop-after {LIMIT}s":
        lambda options: Haproxy(options, limit=True),
    "nginx": Nginx,
    f"nginx, worker_shutdown_timeout {LIMIT}s":
        lambda options: Nginx(options, limit=True),
}


def watch(old, start, seconds):
    """When the last of the processes ended, or None; to the end of time."""
    gone = None
    while time.monotonic() - start < seconds:
        if gone is None and not any(map(alive, old)):
            gone = time.monotonic() - start
        time.sleep(0.002 if gone is None else 0.05)
    return gone


def look(options, make, connections, seconds):
    with make(options) as server:
        server.connections = connections
        with Holders(options, server.address, connections, ACTIVE) as clients:
            clients.ask("touch")
            clients.wait_answered(lambda t: t["answers"] >= connections and
                                  t["waiting"] == 0)
            clients.ask("beat")
            time.sleep(0.5)
            clients.ask("reset")
            start = time.monotonic()
            old = server.reload()
            gone = watch(old, start, seconds)
            told = clients.ask("report")
        figures = {"broken": told["broken"], "wait_us": told["longest_us"],
                   "lived_s": seconds if gone is None else gone}
        if gone is None:
            start = time.monotonic()
            gone = watch(old, start, 1) or watch(old, start, PATIENCE)
            figures["without_s"] = PATIENCE if gone is None else gone
        return figures


def measure(options):
    seconds = LIMIT + 1 if options.quick else 10
    samples = Samples()
    with awake(options):
        for connections in (1000 if options.quick else 8000,):
            for name, make in SUBJECTS.items():
                samples.add(connections, name, 0,
                            **look(options, make, connections, seconds))
    return {"rows": samples.rows(None, ()), "seconds": seconds,
            "haproxy": package_version("haproxy"),
            "nginx": package_version("nginx-light"),
            "stream": package_version("libnginx-mod-stream")}


def lived(row, seconds):
    """What a row says of the old process."""
    took = row["lived_s"][0]
    if "without_s" not in row:
        return f"{took * 1000:.0f} ms" if took < 1 else f"{took:.2f} s", ""
    without = row["without_s"][0]
    return f"over {seconds} s", (f"{without * 1000:.0f} ms"
                                 if without < PATIENCE else
                                 f"over {PATIENCE} s")


def tables(results):
    head = ("", "connections", "broken", "old process", "without clients",
            "longest wait")
    rows = [(row["subject"], row["case"], f"{row['broken'][0]:.0f}",
             *lived(row, results["seconds"]), shown_us(row["wait_us"]))
            for row in results["rows"]]
    return (markdown(head, rows) + f"\nHAProxy {results['haproxy']}, nginx "
            f"{results['nginx']}, its stream module {results['stream']} "
            "(Debian).\n\n")


def pictures(results, path):
    return {}
