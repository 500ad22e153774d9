# SPDX-License-Identifier: MIT
"""What the tests of the ferries run in: three hosts A, B and C as network
namespaces on a switch in a fourth. The service's addresses begin on A; clients
are on C. The namespaces have no names: open files of the test hold them, so that
they go with it, however it ends; and what is left in one is ended by the test.
"""
import contextlib
import ctypes
import functools
import glob
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, "system"))

# pylint: disable=wrong-import-position
from harness import (BIN, COUNTS, DEADLINE, SCALE, TOOLS, Program,  # noqa
                     SystemTest, command, end_well, halt, wait_until)
from harness import main as harness_main  # noqa

__all__ = ("BIN", "DEADLINE", "LONG", "SCALE", "SEED", "TOOLS", "Hosts",
           "Load", "Program", "Stop", "World", "SERVICE4",
           "SERVICE6", "PORT", "halt", "main", "wait_until")

FERRY = os.environ.get("HANDOFF_FERRY",
                       os.path.join(BIN, os.pardir, "lib", "ferry"))
LONG = os.environ.get("HANDOFF_LONG") == "1"
SEED = int(os.environ.get("HANDOFF_SEED", "1"))
CLONE_NEWNET, CLONE_NEWUTS = 0x40000000, 0x4000000
LIBC = ctypes.CDLL(None, use_errno=True)
SERVICE4, SERVICE6 = "10.77.0.100", "fd77::100"
MOVING = f"{SERVICE4}/24,{SERVICE6}/64"
PORT = 7000
LINK_PORT = 7001  # where a ferry listens for the other
# A server's reads are as large as on a machine of its own, and a test may open
# all its connections at once. One that has measured seconds of silence does not
# send slowly because of that, as it would with BBR.
SETTINGS = {
    "net/ipv4/tcp_congestion_control": "reno",
    "net/ipv4/tcp_rmem": "4096 131072 6291456",
    "net/core/somaxconn": "16384",
    "net/ipv4/tcp_max_syn_backlog": "16384",
    "net/ipv4/ip_local_port_range": "10000 32000",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}


def main(ferry=True):
    """Left out as a whole where the hosts cannot be made, or what they run."""
    why = lacks(ferry)
    if why:
        print("SKIP:", why)
        sys.exit(77)
    harness_main()


def check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def lacks(ferry):
    """What this machine lacks to run the tests, or this build, or None."""
    path = os.path.normpath(os.path.join(FERRY, "handoff-ferry"))
    if ferry and not os.access(path, os.X_OK):
        return f"built without the ferry (HANDOFF_FERRY): there is no {path}"
    if os.geteuid() != 0:
        return "hosts are network namespaces: needs root"
    for tool in ("ip", "bridge", "nsenter", "openssl"):
        if not any(os.access(os.path.join(folder, tool), os.X_OK)
                   for folder in os.environ["PATH"].split(":")):
            return f"{tool}(8) is not here"
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            return "no network namespace: " + os.strerror(ctypes.get_errno())
        try:
            return lacks_queue()
        finally:
            check(LIBC.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)


def lacks_queue():
    """In a namespace that may be spoilt."""
    if not os.path.exists("/proc/thread-self/net/netfilter/nfnetlink_queue"):
        subprocess.run(["modprobe", "-q", "nfnetlink_queue"], check=False)
    if not os.path.exists("/proc/thread-self/net/netfilter/nfnetlink_queue"):
        return "the kernel has no NFQUEUE (nfnetlink_queue)"
    return None


def new_namespace(kind, flag, fill=lambda: None):
    """A file of it, which holds it."""
    path = f"/proc/thread-self/ns/{kind}"
    home = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    check(LIBC.unshare(flag), "unshare")
    try:
        fill()
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        check(LIBC.setns(home, flag), "setns")
        os.close(home)


class Host:
    """A network namespace with one device, `e0`, at a port of the switch."""

    def __init__(self, name, folder):
        self.name = name
        self.dir = os.path.join(folder, name, "svc")
        os.makedirs(os.path.dirname(self.dir))
        self.log = os.path.join(folder, name, "ferry.log")
        self.cert = os.path.join(folder, name + ".pem")
        self.key = os.path.join(folder, name + ".key")
        self.file = new_namespace("net", CLONE_NEWNET)
        # A name of its own, by which its ferry calls it.
        self.uts = new_namespace(
            "uts", CLONE_NEWUTS, lambda: socket.sethostname(name))
        self.inode = os.fstat(self.file).st_ino
        self.path = f"/proc/{os.getpid()}/fd/{self.file}"

    @contextlib.contextmanager
    def inside(self):
        """This thread is there meanwhile; sockets it makes stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        check(LIBC.setns(self.file, CLONE_NEWNET), "setns")
        try:
            yield self
        finally:
            check(LIBC.setns(home, CLONE_NEWNET), "setns")
            os.close(home)

    def prefix(self, env=None):
        """How a command line begins that runs there."""
        words = ["nsenter", f"--net={self.path}",
                 f"--uts=/proc/{os.getpid()}/fd/{self.uts}"]
        if env:
            words += ["env"] + [f"{name}={value}"
                                for name, value in env.items()]
        return words

    def run(self, *argv, stdin=None):
        """Runs a command there that must succeed; returns its output."""
        done = subprocess.run(
            self.prefix() + [str(word) for word in argv], input=stdin,
            capture_output=True, text=True, check=False, timeout=60 * SCALE)
        if done.returncode != 0:
            raise AssertionError(f"on {self.name}: {argv}: {done.stdout}"
                                 f"{done.stderr}")
        return done.stdout

    def ip(self, *lines):
        """ip(8), a command a line."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def settings(self, values):
        with self.inside():
            for name, value in values.items():
                with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
                    file.write(value)

    def counters(self):
        """Those of TCP, by their names."""
        with self.inside():
            text = ""
            for name in ("snmp", "netstat"):
                with open(f"/proc/thread-self/net/{name}",
                          encoding="ascii") as file:
                    text += file.read()
        found = {}
        lines = text.splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            group, *names = names.split()
            if group in ("Tcp:", "TcpExt:"):
                found |= dict(zip((group[:-1] + n for n in names),
                                  map(int, values.split()[1:])))
        return found

    def has(self, address, device="e0"):
        """Whether the address is on the device (and not on lo)."""
        return f" {address}/" in self.run("ip", "addr", "show", "dev", device)

    def processes(self):
        """Those that are there, without this one."""
        found = []
        for path in glob.glob("/proc/[0-9]*/ns/net"):
            try:
                if os.stat(path).st_ino == self.inode:
                    found.append(int(path.split("/")[2]))
            except OSError:
                pass
        return [pid for pid in found if pid != os.getpid()]

    def named(self, name):
        """Those of that name, of which the kernel keeps 15 bytes."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                    if file.read().strip() == name[:15]:
                        found.append(pid)
        return found

    def kill_all(self):
        """Ends everything that is there at once, as a loss of power does. One
        that waits for the kernel's lock of the network ends after that."""
        for _ in range(1000):
            pids = self.processes()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        raise AssertionError(f"on {self.name}: processes {pids} do not end")

    def close(self):
        self.kill_all()
        os.close(self.file)
        os.close(self.uts)


class World:
    """The hosts and the switch."""

    def __init__(self, folder):
        self.folder = folder
        self.hosts = []
        self.switch = self._host("s")
        self.a, self.b, self.c = (self._host(name) for name in "abc")
        try:
            self._wire()
            self._certify()
        except BaseException:
            self.close()
            raise

    def _host(self, name):
        self.hosts.append(Host(name, self.folder))
        return self.hosts[-1]

    def _wire(self):
        self.switch.ip("link set lo up",
                       "link add br0 type bridge mcast_snooping 0",
                       "link set br0 up")
        # Resets of the service's connections, whoever sends them; the ferries
        # have connections of their own.
        self.switch.run("nft", "-f", "-", stdin="".join(
            f"add {line}\n" for line in (
                "table bridge t", "counter bridge t resets",
                "chain bridge t c { type filter hook forward priority 0; }",
                *(f"rule bridge t c {ip} tcp flags & rst == rst counter name "
                  "resets" for ip in (
                      f"ip saddr {SERVICE4}", f"ip daddr {SERVICE4}",
                      f"ip6 saddr {SERVICE6}", f"ip6 daddr {SERVICE6}")))))
        for number, host in enumerate((self.a, self.b, self.c), 1):
            host.settings(SETTINGS)
            host.address = f"10.77.0.{number}"
            port = "p" + host.name
            self.switch.ip(
                f"link add {port} type veth peer name e0 netns {host.path}",
                f"link set {port} master br0 up")
            host.ip("link set lo up",
                    f"addr add {host.address}/24 dev e0",
                    f"addr add fd77::{number}/64 dev e0 nodad",
                    "link set e0 up")
        self.give_address(self.a)

    def _certify(self):
        for host in (self.a, self.b):
            self.certify(host)

    def certify(self, host):
        """A new key and its certificate."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             f"/CN=host-{host.name}", "-keyout", host.key, "-out", host.cert],
            check=True, capture_output=True, timeout=60 * SCALE)

    def other(self, host):
        return self.b if host is self.a else self.a

    @staticmethod
    def give_address(host):
        host.ip(f"addr add {SERVICE4}/24 dev e0",
                f"addr add {SERVICE6}/64 dev e0 nodad")

    @staticmethod
    def take_address(host):
        host.ip(f"addr del {SERVICE4}/24 dev e0",
                f"addr del {SERVICE6}/64 dev e0")

    # The network

    def cut(self, one, two):
        """Nothing passes between these two hosts; each reaches the third."""
        self._isolate("on", one, two)

    def heal(self):
        """Everything passes again."""
        hosts = (self.a, self.b, self.c)
        self.switch.ip(*(f"link set p{host.name} master br0"
                         for host in hosts))
        self._isolate("off", *hosts)

    def pull(self, host):
        """The cable of this host, at the switch: its device notices nothing."""
        self.switch.ip(f"link set p{host.name} nomaster")

    def _isolate(self, state, *hosts):
        for host in hosts:
            self.switch.run("bridge", "link", "set", "dev", "p" + host.name,
                            "isolated", state)

    def resets(self):
        """How many have passed the switch."""
        told = self.switch.run("nft", "list", "counter", "bridge", "t",
                               "resets")
        return int(re.search(r"packets (\d+)", told)[1])

    def close(self):
        if COUNTS:
            self._end_well()
        for host in self.hosts:
            host.close()
        self.hosts = []

    def _end_well(self):
        """The helpers last, which outlive their ferries, and may guard
        something still."""
        def helpers():
            return {pid for host in self.hosts
                    for pid in host.named("handoff-unfreeze")}
        end_well(lambda: {pid for host in self.hosts
                          for pid in host.processes()} - helpers(), 5)
        end_well(helpers, 0.3)


class Stop:
    """Stops a program where it comes to a function for the n-th time from now
    on: `hit`, then `kill` or `go`."""

    def __init__(self, program, function, times=1):
        self.what = f"{os.path.basename(program.exe())} at {function}"
        address = base_of(program) + symbols(program.exe())[function]
        self.tool = Program([os.path.join(TOOLS, "stopat"), str(program.pid),
                             f"{address:x}", str(times)],
                            stdin=subprocess.PIPE)
        self.tool.expect("^armed$")

    def hit(self, deadline=None):
        self.tool.expect("^hit$", deadline)
        return self

    def tell(self, word):
        self.tool.process.stdin.write(word + b"\n")
        self.tool.process.stdin.close()
        self.tool.process.stdin = None
        self.tool.wait()

    def kill(self):
        self.tell(b"kill")

    def go(self):
        self.tell(b"go")


@functools.cache
def symbols(path):
    """The functions of a program and where they are in it."""
    told = subprocess.run(["nm", "--defined-only", path], check=True,
                          capture_output=True, text=True)
    return {words[2]: int(words[0], 16)
            for words in map(str.split, told.stdout.splitlines())
            if words[1] in "tTwW"}


def base_of(program):
    """Where its first byte is mapped; 0 if it cannot be moved."""
    with open(program.exe(), "rb") as file:
        if file.read(18)[16] == 2:  # ET_EXEC
            return 0
    with open(f"/proc/{program.pid}/maps", encoding="ascii") as maps:
        return next(int(line.split("-")[0], 16) for line in maps
                    if line.rstrip().endswith(program.exe()))


class Load(Program):
    """The load generator on a host, which is told what to do on its standard
    input."""

    def __init__(self, host, addresses, *options):
        targets = [text for each in addresses for text in ("--connect", each)]
        super().__init__(
            host.prefix() + [os.path.join(TOOLS, "loadgen"), "--commands",
                             *targets, *map(str, options)],
            stdin=subprocess.PIPE)

    def ready(self):
        self.expect("^ready$", 60 * SCALE)
        return self

    def tell(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def report(self):
        """The counts so far, and the silences since the last report."""
        self.tell("report")
        return json.loads(self.expect(r"^\{.*\}$")[0])

    def check(self, deadline=None):
        """Every connection is served: each one is answered something that it
        has sent after this call."""
        self.tell("check")
        self.expect("^checked$", deadline)

    def finish(self):
        """Ends in order; returns the counts."""
        self.tell("stop")
        return self.result()

    def result(self):
        """The same of one that ends by itself."""
        code = self.wait(60 * SCALE)
        counts = json.loads(self.lines[-1])
        counts["clean"] = code == 0
        return counts


class Hosts(SystemTest):
    """A test with hosts of its own, a service on A and a ferry on each."""
    batch = None  # how many connections the ferries move at once
    ferries_die = False  # their own connections may be reset then

    def setUp(self):
        super().setUp()
        self.chance = random.Random(f"{SEED} {self.id()}")
        self.world = World(self.base)
        self.a, self.b, self.c = self.world.a, self.world.b, self.world.c
        self.ferries = {}
        # What runs them: nothing, or setpriv(1) with its options.
        self.server_prefix, self.ferry_prefix = [], {}
        self.before = {host: host.counters() for host in self.world.hosts}
        self.linked = False
        # Runs before that of the harness: what a ferry has left alone ends.
        self.addCleanup(self.world.close)

    # Programs

    def start_on(self, host, program, *options, env=None):
        return self.start_as([], host, program, *options, env=env)

    def start_as(self, prefix, host, program, *options, env=None):
        """Starts a program there, run by what the prefix is."""
        started = Program(host.prefix(env) + prefix
                          + command(program, *options)
                          + [str(option) for option in options])
        self.programs.append(started)
        return started

    def serve_on(self, host, program="server", addresses=None, options=(),
                 env=None):
        """A server that owns, on the addresses of the service."""
        self.addresses = addresses or [f"{SERVICE4}:{PORT}",
                                       f"[{SERVICE6}]:{PORT}"]
        listen = [text for each in self.addresses
                  for text in ("--listen", each)]
        server = self.start_as(self.server_prefix, host, program, "--dir",
                               host.dir, *listen, *options, env=env)
        server.expect(": owner: ")
        return server

    def wait_on(self, host, program="alt_server", options=()):
        """A server that waits there as the standby."""
        standby = self.start_as(self.server_prefix, host, program, "--dir",
                                host.dir, *options)
        try:
            standby.expect(": standby: ")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told()}") from None
        return standby

    def ferry(self, host, *options, env=None):
        """The ferry of a host: A dials and B listens."""
        other = self.world.other(host)
        link = (("--to", f"{self.b.address}:{LINK_PORT}") if host is self.a
                else ("--listen", f"{self.b.address}:{LINK_PORT}"))
        batch = ("--batch", str(self.batch)) if self.batch else ()
        ferry = self.start_as(
            self.ferry_prefix.get(host, []), host,
            os.path.join(FERRY, "handoff-ferry"), "--dir", host.dir, *link,
            "--cert", host.cert, "--key", host.key, "--peer-cert", other.cert,
            "--address", MOVING, "--dev", "e0", "--name",
            "ferry-" + host.name, *batch, *options, env=env)
        self.ferries[host] = ferry
        return ferry

    def load(self, *options, addresses=None):
        load = Load(self.c, addresses or self.addresses, "--seed", SEED,
                    *options)
        self.programs.append(load)
        return load

    def stop_at(self, program, function, times=1):
        stop = Stop(program, function, times)
        self.programs.append(stop.tool)
        return stop

    # Control

    def ctl_on(self, host, *words):
        done = subprocess.run(
            host.prefix() + [os.path.join(BIN, "handoffctl"), "--dir",
                             host.dir, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120 * SCALE, check=False)
        self.assertNotRegex(done.stderr, "Sanitizer|runtime error")
        return done.returncode, done.stdout, done.stderr

    def ok_on(self, host, *words):
        code, out, err = self.ctl_on(host, *words)
        self.assertEqual((code, err), (0, ""), f"{words}: {out}\n{err}\n"
                         + self.told())
        return out

    def told(self):
        """What all programs have said, to be read by people."""
        return "\n".join(f"--- {' '.join(p.argv)}\n{p.output()[-3000:]}"
                         for p in self.programs)

    def status_on(self, host):
        return json.loads(self.ok_on(host, "status", "--json"))

    def peers(self, host):
        """The peers of a host: those that serve, and its ferry."""
        code, out, _ = self.ctl_on(host, "status", "--json")
        return json.loads(out)["peers"] if code == 0 else []

    def ferry_state(self, host):
        """What the ferry of the host says of itself, or None."""
        for peer in self.peers(host):
            if "ferry" in peer:
                return peer["ferry"]
        return None

    def served(self, host):
        """How many connections each process there serves, by its name."""
        return {peer["name"]: peer["connections"]
                for peer in self.peers(host) if peer["connections"] > 0}

    def await_(self, condition, what, deadline=None):
        """As wait_until, and tells what all said if it does not come."""
        try:
            return wait_until(condition, what, deadline)
        except AssertionError as error:
            states = {host.name: self.peers(host) for host in self.ferries}
            raise AssertionError(f"{error}\n{states}\n{self.told()}") from None

    def state(self, host, name):
        """One value of its ferry's state; None while that joins again."""
        return (self.ferry_state(host) or {}).get(name)

    def wait_ready(self, target):
        """The ferries see each other, and the service can go to that host."""
        source = self.world.other(target)

        def ready():
            state = self.ferry_state(source)
            return state and state["linked"] and state["other_has_server"]
        self.await_(ready, f"host {target.name} to be ready")
        # a ferry that dials before the other listens is refused by a reset
        if not self.linked:
            self.before = {host: host.counters() for host in self.before}
        self.linked = True

    def both(self, program="server", alt="alt_server", addresses=None,
             options=(), env=None):
        """The usual: a service on A that can move to B and back."""
        server = self.serve_on(self.a, program, addresses, options, env)
        self.ferry(self.a)
        self.ferry(self.b)
        standby = self.wait_on(self.b, alt, options)
        self.wait_ready(self.b)
        return server, standby

    def move(self, source, *options):
        """Moves the service from this host to the other one; returns what was
        said and how many connections went."""
        target = self.world.other(source)
        self.wait_ready(target)
        said = self.ok_on(source, "maintenance", "--to", target.name, *options)
        moved = re.search(r"moved (?:(\d+) of (\d+)|the service)", said)
        self.assertTrue(moved, said)
        for address in (SERVICE4, SERVICE6):
            self.assertTrue(target.has(address), said)
            self.assertFalse(source.has(address), said)
        return said, int(moved[1] or 0)

    def move_later(self, source):
        """Begins to move the service; see `finished`."""
        mover = Program(source.prefix() + command("handoffctl", "--dir")
                        + ["--dir", source.dir, "maintenance", "--to",
                           self.world.other(source).name])
        self.programs.append(mover)
        return mover

    def finished(self, mover):
        """The move has ended, and well; returns what was said."""
        self.assertEqual(mover.wait(), 0, self.told())
        return mover.output()

    def move_all(self, source, count):
        """The same, and all connections go; nobody serves them twice."""
        said, moved = self.move(source)
        self.assertEqual(moved, count, said)
        self.assertNotIn("left frozen", self.told())
        self.assert_served(self.world.other(source), count)
        return said

    def assert_served(self, host, count):
        """By that host, and none by the other."""
        other = self.world.other(host)
        self.await_(lambda: sum(self.served(host).values()) == count
                    and not self.served(other),
                    f"{count} connections on {host.name} and none on "
                    f"{other.name}, there are {self.served(host)} and "
                    f"{self.served(other)}")

    # Checks

    def grown(self, host, name):
        return host.counters()[name] - self.before[host][name]

    def end(self, load):
        """Ends a load of which nothing may have been lost. When a connection
        ends, an acknowledgement that another one has overtaken may find no
        socket any more, which the kernel answers by a reset to nobody; so
        resets are counted before that."""
        load.check()
        self.assert_no_resets()
        counts = load.finish()
        self.assertTrue(counts["clean"], f"{counts}\n{self.told()}")
        self.assertGreater(counts["echoed"], 0)
        return counts

    def links_last(self):
        """No ferry has died, or was kept waiting by the kernel for so long that
        the other one has given up their link."""
        return not self.ferries_die and not any(
            "nothing came for" in ferry.output()
            for ferry in self.ferries.values())

    def assert_no_resets(self):
        """None of a connection of the service; and if the link has lasted, none
        of any other."""
        self.assertEqual(self.world.resets(), 0, self.told())
        if self.links_last():
            resets = {host.name: self.grown(host, "TcpOutRsts")
                      for host in (self.a, self.b, self.c)}
            self.assertEqual(resets, {"a": 0, "b": 0, "c": 0}, self.told())

    def assert_not_retransmitted(self):
        """No client has had to send anything twice."""
        self.assertEqual(self.grown(self.c, "TcpRetransSegs"), 0)

    # Plain clients

    def dial(self, address):
        """A connection of C."""
        host, port = address.rsplit(":", 1)
        with self.c.inside():
            sock = socket.create_connection((host.strip("[]"), int(port)),
                                            timeout=DEADLINE)
        self.sockets.append(sock)
        return sock
