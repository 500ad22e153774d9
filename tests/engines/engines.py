# SPDX-License-Identifier: MIT
"""Real engines for the tests: servers of ZooKeeper and NATS, one on loopback or
several in network namespaces, with directories of their own. They are killed
with the test, however it ends; none is ever a service of the system.

    engines.py run zookeeper|nats [NAME=VALUE...] -- COMMAND...

starts one on loopback and runs a command with HANDOFF_TEST_ENGINE, its
HOST:PORT, and HANDOFF_TEST_ENGINE_PID in the environment; where something is
missing it says SKIP with the reason and ends with 77.
"""
import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(ROOT, "tests", "hosts"))

# pylint: disable=wrong-import-position
from world import (CLONE_NEWNET, LIBC, SCALE, Host, check, halt,  # noqa
                   wait_until)

__all__ = ("Nats", "Network", "SCALE", "ZooKeeper", "halt", "lacks_nats",
           "lacks_namespaces", "lacks_zookeeper", "test_main", "wait_until")

JARS = "/usr/share/java"
NEEDED = ("zookeeper.jar", "zookeeper-jute.jar", "slf4j-simple.jar")
PR_SET_PDEATHSIG = 1
READY = 60 * SCALE  # seconds until a server answers
SERVERS = [os.path.join(ROOT, "build/nats-server/usr/sbin/nats-server"),
           "/usr/sbin/nats-server"]


def lacks_zookeeper():
    """What this machine lacks to run a ZooKeeper, or None."""
    for name in NEEDED:
        if not os.path.exists(os.path.join(JARS, name)):
            return (f"no ZooKeeper: there is no {JARS}/{name} "
                    "(on Debian: libzookeeper-java)")
    if not shutil.which("java"):
        return "no ZooKeeper: there is no java (default-jre-headless)"
    return None


def nats_server():
    given = os.environ.get("HANDOFF_NATS_SERVER") or shutil.which("nats-server")
    return given or next(filter(os.path.exists, SERVERS), None)


def lacks_nats():
    """What this machine lacks to run a NATS server, or None. The Debian package
    would start a service: it is only unpacked."""
    if nats_server():
        return None
    return ("there is no nats-server (cmake/deps.sh engines, or "
            "HANDOFF_NATS_SERVER)")


def lacks_namespaces():
    """What this machine lacks for servers in namespaces, or None."""
    if os.geteuid() != 0:
        return "hosts are network namespaces: needs root"
    for tool in ("ip", "nsenter"):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"{tool}(8) is not here"
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            return "no network namespace: " + os.strerror(ctypes.get_errno())
        check(LIBC.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)
    return None


def test_main(*reasons):
    """Of a file of tests: left out as a whole if something is missing."""
    why = next(filter(None, reasons), None)
    if why:
        print("SKIP:", why)
        sys.exit(77)
    unittest.main(verbosity=2)


def free_port(taken=()):
    """Below those of which the kernel chooses (ip_local_port_range)."""
    for port in random.SystemRandom().sample(range(10000, 32768), 100):
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            if port not in taken:
                return port
    raise AssertionError("no port is free")


class Network:
    """Hosts as namespaces without names, on a switch in one more. Each has one
    device, `e0`, and the address 10.78.0.N, from 1."""

    def __init__(self, folder, count):
        self.hosts = []
        self.switch = Host("s", folder)
        try:
            self.switch.ip("link set lo up",
                           "link add br0 type bridge mcast_snooping 0",
                           "link set br0 up")
            for number in range(1, count + 1):
                self._add(folder, number)
        except BaseException:
            self.close()
            raise

    def _add(self, folder, number):
        host = Host(f"n{number}", folder)
        self.hosts.append(host)
        host.address = f"10.78.0.{number}"
        self.switch.ip(
            f"link add p{host.name} type veth peer name e0 netns {host.path}",
            f"link set p{host.name} master br0 up")
        host.ip("link set lo up", f"addr add {host.address}/24 dev e0",
                "link set e0 up")

    def cut(self, host):
        """Nothing passes from or to this host; its device notices nothing."""
        self.switch.ip(f"link set p{host.name} nomaster")

    def heal(self):
        self.switch.ip(*(f"link set p{host.name} master br0"
                         for host in self.hosts))

    def close(self):
        for host in self.hosts + [self.switch]:
            host.close()


class Server:
    """One process of an engine, on loopback or on a host."""

    def __init__(self, folder, number, host=None):
        self.number = number  # from 1
        self.host = host
        self.address = host.address if host else "127.0.0.1"
        self.folder = os.path.join(folder, f"server{number}")
        self.log = os.path.join(self.folder, "log")
        self.process = None
        self.port = None
        os.makedirs(self.folder)

    @property
    def endpoint(self):
        return f"{self.address}:{self.port}"

    @property
    def pid(self):
        """Of the server: nsenter(1) replaces itself."""
        return self.process.pid

    def start(self, argv, env=None):
        if self.host:
            argv = self.host.prefix() + argv
        parent = os.getpid()

        def with_me():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with open(self.log, "ab") as log:
            # pylint: disable=subprocess-popen-preexec-fn,consider-using-with
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=env, preexec_fn=with_me)

    def ask(self, words, answer=4096):
        """What it answers on a connection of its own; "" if it does not."""
        with contextlib.suppress(OSError), \
                self.host.inside() if self.host else contextlib.nullcontext(), \
                socket.create_connection((self.address, self.port), 2) as sock:
            sock.settimeout(2)
            sock.sendall(words)
            told = b""
            while len(told) < answer:
                more = sock.recv(answer - len(told))
                if not more:
                    break
                told += more
            return told.decode(errors="replace")
        return ""

    def answers(self):
        raise NotImplementedError

    def await_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.endpoint} has ended: " +
                                     self.tail())
            return self.answers()
        wait_until(ready, f"an answer of {self.endpoint}: {self.log}", READY)

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def kill(self):
        """As a loss of power: SIGKILL, and it is gone when this returns."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self):
        halt(self.pid)

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)


class Engine:
    """The servers of one engine: one on loopback, or one on each of `hosts`."""
    SERVER = None
    PORT = None

    def __init__(self, folder=None, hosts=(), **settings):
        self.own = None
        if folder is None:
            folder = self.own = tempfile.mkdtemp(prefix="handoff-engine-")
        self.folder = folder
        self.settings = settings
        self.servers = []
        try:
            for number, host in enumerate(hosts or [None], 1):
                self.servers.append(self.SERVER(folder, number, host))
            for server in self.servers:
                server.port = self.PORT if hosts else free_port()
                self.start(server)
            for server in self.servers:
                server.await_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def endpoints(self):
        """HOST:PORT of all, with commas."""
        return ",".join(server.endpoint for server in self.servers)

    def start(self, server):
        """Starts it, or starts it again with what it had on its disk."""
        raise NotImplementedError

    def restart(self, server):
        self.start(server)
        server.await_ready()

    def close(self):
        for server in self.servers:
            server.kill()
        if self.own:
            shutil.rmtree(self.own, ignore_errors=True)


class ZooKeeperServer(Server):
    def mode(self):
        """"leader", "follower" or "standalone"; "" if it does not serve."""
        found = re.search(r"^Mode: (\w+)", self.ask(b"srvr"), re.M)
        return found.group(1) if found else ""

    def answers(self):
        return self.mode()


class ZooKeeper(Engine):
    SERVER = ZooKeeperServer
    PORT = 2181
    JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx96m",
            "-Xshare:auto", "-Dzookeeper.preAllocSize=64",
            "-Dzookeeper.admin.enableServer=false",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
            ":".join(os.path.join(JARS, name) for name in NEEDED),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain")

    def start(self, server):
        data = os.path.join(server.folder, "data")
        os.makedirs(data, exist_ok=True)
        config = {
            "dataDir": data, "tickTime": 250, "maxSessionTimeout": 60000,
            "initLimit": 20, "syncLimit": 8, "maxClientCnxns": 0,
            "4lw.commands.whitelist": "srvr,cons,dump",
            "clientPort": server.port, "clientPortAddress": server.address,
            **self.settings}
        if len(self.servers) > 1:
            for other in self.servers:
                config[f"server.{other.number}"] = f"{other.address}:2888:3888"
            with open(os.path.join(data, "myid"), "w",
                      encoding="ascii") as file:
                file.write(f"{server.number}\n")
        path = os.path.join(server.folder, "zoo.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{key}={value}\n" for key, value in config.items())
        server.start([*self.JAVA, path])

    def leader(self):
        """Of several; waits until there is one."""
        return wait_until(
            lambda: next((server for server in self.servers
                          if server.process.poll() is None and
                          server.mode() == "leader"), None),
            "a leader", READY)


class NatsServer(Server):
    def answers(self):
        """It begins with a line about itself; as to JetStream, its monitor is
        asked."""
        return self.ask(b"", 4).startswith("INFO") and self.healthy()

    def healthy(self):
        port, self.port = self.port, self.monitor
        try:
            return " 200 " in self.ask(b"GET /healthz HTTP/1.0\r\n\r\n", 20)
        finally:
            self.port = port


class Nats(Engine):
    """With JetStream. `settings` are lines of the configuration; `extra` is
    text behind them, such as users."""
    SERVER = NatsServer
    PORT = 4222

    def start(self, server):
        if not hasattr(server, "monitor"):
            server.monitor = 8222 if server.host else free_port([server.port])
        settings = dict(self.settings)
        extra = settings.pop("extra", "")
        lines = [f'server_name: "n{server.number}"',
                 f'listen: "{server.endpoint}"',
                 f'http: "{server.address}:{server.monitor}"',
                 'jetstream: {store_dir: "%s"}' %
                 os.path.join(server.folder, "data")]
        if len(self.servers) > 1:
            routes = ", ".join(f'"nats://{other.address}:6222"'
                               for other in self.servers if other is not server)
            lines.append('cluster: {name: "handoff", listen: '
                         f'"{server.address}:6222", routes: [{routes}]}}')
        lines += [f"{key}: {value}" for key, value in settings.items()]
        path = os.path.join(server.folder, "nats.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n" + extra)
        server.start([nats_server(), "-c", path])


ENGINES = {"zookeeper": (ZooKeeper, lacks_zookeeper),
           "nats": (Nats, lacks_nats)}


def run(name, settings, argv):
    """Runs a command beside an engine; its exit status."""
    kind, lacks = ENGINES[name]
    why = lacks()
    if why:
        print("SKIP:", why)
        return 77
    with kind(**settings) as engine:
        env = {**os.environ, "HANDOFF_TEST_ENGINE": engine.endpoints,
               "HANDOFF_TEST_ENGINE_PID": str(engine.servers[0].pid)}
        return subprocess.run(argv, env=env, check=False).returncode


def main(argv):
    if len(argv) < 4 or argv[0] != "run" or argv[1] not in ENGINES or \
            "--" not in argv:
        print(__doc__, file=sys.stderr)
        return 2
    at = argv.index("--")
    settings = dict(word.split("=", 1) for word in argv[2:at])
    status = run(argv[1], settings, argv[at + 1:])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # What is started is ended also when the test is (ctest's timeout).
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
