# SPDX-License-Identifier: MIT
"""Steering by a program: what ferries tell it; and the example of one, on a
router between a client and two hosts that both have the service's addresses."""
import collections
import errno
import os
import shutil
import socket
import subprocess
import tempfile
import unittest
from unittest import mock

import world
from world import Host, Hosts, World, main, wait_until

EXAMPLE = os.path.normpath(os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir,
    "examples", "hosts", "hook-nft"))
SERVICE = {4: "192.0.2.7", 6: "2001:db8::7"}
PORT = 7000
NETS = {"A": 1, "B": 2, "C": 3}


class Told(Hosts):
    """A hook that writes down what it is told."""
    batch = 10

    def hook(self, host, last="true"):
        path = os.path.join(self.base, f"hook-{host.name}")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nsed \"s/^/$1 /\" >>{path}.told\n"
                       f"echo $1 >>{path}.verbs\n{last}\n")
        os.chmod(path, 0o700)
        return path

    def both_with_hooks(self, last="true"):
        hooks = {host: self.hook(host, last) for host in (self.a, self.b)}
        self.serve_on(self.a)
        for host, path in hooks.items():
            self.ferry(host, "--hook", path)
        self.wait_on(self.b)
        self.wait_ready(self.b)
        self.before = {host: host.counters() for host in self.before}
        return hooks

    def verbs(self, path):
        """How often it has run, by its verb."""
        if not os.path.exists(path + ".verbs"):
            return collections.Counter()
        with open(path + ".verbs", encoding="ascii") as file:
            return collections.Counter(file.read().split())

    def flows(self, path):
        """How many flows each verb was told of, and which."""
        told = collections.defaultdict(set)
        with open(path + ".told", encoding="ascii") as file:
            for line in file:
                verb, *flow = line.split()
                told[verb].add(tuple(flow))
        return told

    def test_there_and_home(self):
        hooks = self.both_with_hooks()
        load = self.load("--connections", 25, "--active", 5).ready()
        for source in (self.a, self.b):
            path = hooks[source]
            self.move_all(source, 25)
            self.await_(lambda: self.verbs(path)["final"] == 1,
                        "the hook to be told of the end")
            told = self.flows(path)
            self.assertEqual(len(told["flip"]), 25)
            self.assertEqual(told["hold"] & told["flip"], told["flip"])
            self.assertEqual({flow[0] for flow in told["flip"]}, {"4", "6"})
            self.assertEqual({flow[1:3] for flow in told["flip"]},
                             {("10.77.0.100", "7000"), ("fd77::100", "7000")})
        self.end(load)

    def test_a_move_that_is_taken_back(self):
        """What was held comes to this host again."""
        hooks = self.both_with_hooks()
        load = self.load("--connections", 10).ready()
        stop = self.stop_at(self.ferries[self.b], "handoff__receiving_begin")
        mover = self.move_later(self.a)
        stop.hit()
        stop.kill()
        self.assertEqual(mover.wait(), 1, self.told())
        path = hooks[self.a]
        self.await_(lambda: self.verbs(path)["pass"] >= 1,
                    "the hook to be told that it was taken back")
        told = self.flows(path)
        self.assertEqual(told["pass"], told["hold"])
        self.assertEqual(len(told["flip"]), 0)
        load.check()
        self.assertTrue(load.finish()["clean"])

    def test_a_hook_that_fails_is_shown(self):
        self.both_with_hooks("echo no such table >&2; exit 3")
        load = self.load("--connections", 5).ready()
        self.move_all(self.a, 5)
        self.await_(lambda: "status 3: no such table" in
                    self.ferry_state(self.a)["hook_text"],
                    "the failure to be shown")
        self.end(load)


class Networks(World):
    """Each host is on a network of its own; between them is a router."""

    def _wire(self):
        self.switch.settings({"net/ipv4/ip_forward": "1",
                              "net/ipv6/conf/all/forwarding": "1"})
        self.switch.ip("link set lo up")
        for number, host in enumerate((self.a, self.b, self.c), 1):
            host.settings(world.SETTINGS)
            host.address = f"10.0.{number}.2"
            self.switch.ip(
                f"link add r{number} type veth peer name e0 netns {host.path}",
                f"link set r{number} up",
                f"addr add 10.0.{number}.1/24 dev r{number}",
                f"addr add fd0{number}::1/64 dev r{number} nodad")
            host.ip("link set lo up", "link set e0 up",
                    f"addr add {host.address}/24 dev e0",
                    f"addr add fd0{number}::2/64 dev e0 nodad",
                    f"route add default via 10.0.{number}.1",
                    f"route add ::/0 via fd0{number}::1")
        self.give_address(self.a)

    @staticmethod
    def give_address(host):
        host.ip(f"addr add {world.SERVICE4}/32 dev e0",
                f"addr add {world.SERVICE6}/128 dev e0 nodad")


class Routed(Hosts):
    """Hosts on two networks: the example steers what the ferries tell it."""

    def setUp(self):
        for name, value in (
                ("World", Networks),
                ("MOVING", f"{world.SERVICE4}/32,{world.SERVICE6}/128")):
            patch = mock.patch.object(world, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()

    def hook(self, host, here, there):
        folder = os.path.join(self.base, "hook-" + host.name)
        os.mkdir(folder)
        shutil.copy(EXAMPLE, folder)
        with open(os.path.join(folder, "hook-nft.conf"), "w",
                  encoding="ascii") as file:
            file.write(
                f"router=(nsenter --net={self.world.switch.path})\n"
                f"service=({world.SERVICE4} {world.SERVICE6})\n"
                f"here={here} there={there}\n"
                "hosts=(1 10.0.1.2 fd01::2 2 10.0.2.2 fd02::2)\n")
        return os.path.join(folder, "hook-nft")

    def test_there_and_home(self):
        hooks = {self.a: self.hook(self.a, 1, 2),
                 self.b: self.hook(self.b, 2, 1)}
        subprocess.run([hooks[self.a], "setup"], check=True, timeout=60)
        self.serve_on(self.a)
        for host, path in hooks.items():
            self.ferry(host, "--hook", path)
        self.wait_on(self.b)
        self.wait_ready(self.b)
        load = self.load("--connections", 100, "--active", 20).ready()
        for source in (self.a, self.b):
            self.move_all(source, 100)
            load.check()
            new = self.load("--connections", 4).ready()
            new.check()
            self.assertTrue(new.finish()["clean"])
            self.assertEqual(self.ferry_state(source)["hook_text"], "")
        self.assertTrue(load.finish()["clean"])


class Hook(unittest.TestCase):
    def setUp(self):
        if not shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin"):
            self.skipTest("nft(8) is not here")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.router = self.host("R")
        self.hosts = {name: self.host(name) for name in NETS}
        for name, host in self.hosts.items():
            self.attach(name, host)
        self.listeners = {(name, family): self.listen(name, family)
                          for name in "AB" for family in (4, 6)}
        self.hooks = {"A": self.hook("A", 1, 2), "B": self.hook("B", 2, 1)}
        self.call("A", "setup")

    def host(self, name):
        host = Host(name, self.folder)
        self.addCleanup(host.close)
        host.settings({"net/ipv6/conf/all/accept_dad": "0",
                       "net/ipv6/conf/default/accept_dad": "0",
                       "net/ipv4/ip_forward": "1",
                       "net/ipv6/conf/all/forwarding": "1"})
        host.ip("link set lo up")
        return host

    def attach(self, name, host):
        net = NETS[name]
        self.router.ip(
            f"link add r{net} type veth peer name e0 netns {host.path}",
            f"link set r{net} up", f"addr add 10.0.{net}.1/24 dev r{net}",
            f"addr add fd0{net}::1/64 dev r{net} nodad")
        host.ip("link set e0 up", f"addr add 10.0.{net}.2/24 dev e0",
                f"addr add fd0{net}::2/64 dev e0 nodad",
                f"route add default via 10.0.{net}.1",
                f"route add ::/0 via fd0{net}::1")
        if name != "C":
            host.ip(*(f"addr add {address} dev lo"
                      for address in SERVICE.values()))

    def listen(self, name, family):
        """The kernel lets an IPv6 address be bound a little after it has said
        that it is there."""
        def bound():
            try:
                return socket.create_server(
                    (SERVICE[family], PORT),
                    family=socket.AF_INET if family == 4 else socket.AF_INET6)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                return None
        with self.hosts[name].inside():
            sock = wait_until(bound, f"{SERVICE[family]} to be usable")
        sock.setblocking(False)
        self.addCleanup(sock.close)
        return sock

    def hook(self, name, here, there):
        folder = os.path.join(self.folder, "hook-" + name)
        os.mkdir(folder)
        shutil.copy(EXAMPLE, folder)
        with open(os.path.join(folder, "hook-nft.conf"), "w",
                  encoding="ascii") as file:
            file.write(f"router=(nsenter --net={self.router.path})\n"
                       f"service=({SERVICE[4]} {SERVICE[6]})\n"
                       f"here={here} there={there}\n"
                       "hosts=(1 10.0.1.2 fd01::2 2 10.0.2.2 fd02::2)\n")
        return os.path.join(folder, "hook-nft")

    def call(self, name, verb, *ports):
        """As a ferry of that host does, with the flows of these ports."""
        flows = "".join(f"{family} {SERVICE[family]} {PORT} {client} {port}\n"
                        for family, client in ((4, "10.0.3.2"), (6, "fd03::2"))
                        for port in ports)
        done = subprocess.run([self.hooks[name], verb], input=flows, env={},
                              cwd="/", capture_output=True, text=True,
                              check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def reached(self, family, port):
        """Which host a connection from that port gets to."""
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        with self.hosts["C"].inside(), socket.socket(kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            b"\1\0\0\0\0\0\0\0")  # nothing stays of it
            sock.bind(("", port))
            sock.settimeout(10)
            sock.connect((SERVICE[family], PORT))
            for name in "AB":
                try:
                    self.listeners[name, family].accept()[0].close()
                    return name
                except BlockingIOError:
                    pass
        raise AssertionError("nobody has accepted it")

    def assert_reached(self, names):
        for family in (4, 6):
            self.assertEqual("".join(self.reached(family, 10001 + i)
                                     for i in range(len(names))), names)

    def test_verbs(self):
        self.assert_reached("AAA")
        self.call("A", "hold", 10001, 10002)
        self.assert_reached("AAA")
        self.call("A", "flip", 10001, 10002)
        self.assert_reached("BBA")
        self.call("A", "flip", 10001)
        self.call("A", "pass", 10002)
        self.assert_reached("BAA")
        self.call("A", "final")
        self.assert_reached("BBB")
        self.call("A", "final")
        self.call("B", "flip", 10003)
        self.assert_reached("BBA")
        self.call("B", "final")
        self.assert_reached("AAA")

    def test_wrong_use(self):
        for words in ((), ("dance",), ("flip", "flop")):
            done = subprocess.run([self.hooks["A"], *words], text=True,
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("usage: hook-nft", done.stderr)


if __name__ == "__main__":
    main()
