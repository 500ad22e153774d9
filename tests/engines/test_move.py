# SPDX-License-Identifier: MIT
"""A client on another host hears by NATS what becomes of its service, across
maintenance, ready, deaths of the owner and of nodes of the cluster, and moves to
another host and back. It talks all the time: each latest notice is heard once,
the client comes home, and no byte is lost or comes twice."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

import engines
from engines import Host, Nats
from world import BIN, FERRY, PORT, SERVICE4, Hosts, Program, lacks, wait_until

LIMIT = 60 * engines.SCALE


class Moves(Hosts):
    def setUp(self):
        super().setUp()
        self.nats = Nats(self.base, [self.node(n) for n in range(1, 4)])
        self.addCleanup(self.nats.close)
        self.public = f"nats://{self.nats.endpoints}/echo"
        self.told_to = self.program(self.c, "handoffctl", "notices", "--json",
                                    self.public)
        self.sent = []
        self.quiet = threading.Event()

    def node(self, number):
        """One more host on the switch."""
        host = Host(f"n{number}", self.base)
        self.world.hosts.append(host)
        host.address = f"10.77.0.{10 + number}"
        self.world.switch.ip(
            f"link add p{host.name} type veth peer name e0 netns {host.path}",
            f"link set p{host.name} master br0 up")
        host.ip("link set lo up", f"addr add {host.address}/24 dev e0",
                "link set e0 up")
        return host

    def program(self, host, name, *argv, **how):
        program = Program(host.prefix() + [os.path.join(BIN, name), *argv],
                          **how)
        self.programs.append(program)
        return program

    def options(self, *more):
        return ("--notices", self.public, *more)

    # The client

    def talk(self):
        """Lines that are numbered, until it is told to end."""
        self.client = self.program(
            self.c, "client", "--connect", f"{SERVICE4}:{PORT}", "--notices",
            self.public, stdin=subprocess.PIPE)
        self.talker = threading.Thread(target=self.say)
        self.talker.start()
        self.addCleanup(self.hush)
        self.await_served()

    def say(self):
        while not self.quiet.is_set():
            line = f"{len(self.sent)} " + "." * (len(self.sent) % 500)
            self.sent.append(line)
            self.client.process.stdin.write(line.encode() + b"\n")
            self.client.process.stdin.flush()
            time.sleep(0.002)

    def hush(self):
        self.quiet.set()
        self.talker.join()

    def await_served(self):
        """What is said from now on is answered."""
        said = len(self.sent) + 10
        self.await_(lambda: len(self.client.lines) > said, "answers", LIMIT)

    def finish(self):
        self.hush()
        self.client.process.stdin.close()
        self.client.process.stdin = None
        self.assertEqual(self.client.wait(LIMIT), 0, self.told())
        self.assertEqual(len(self.client.lines), len(self.sent))
        self.assertEqual(self.client.lines, self.sent)

    # Notices

    def heard(self):
        """All that came, each newer than the one before."""
        notices = [json.loads(line) for line in self.told_to.lines]
        order = [(n["generation"], n["seq"]) for n in notices]
        self.assertEqual(order, sorted(set(order)))
        return notices

    def events(self, *words):
        return [line for line in self.client.errors
                if all(word in line for word in words)]

    def expect(self, act, kind, serving, *words):
        """What is done is told once, to the subscriber and to the client."""
        heard, events = len(self.heard()), len(self.events(*words))
        act()
        self.await_(lambda: len(self.heard()) > heard and
                    len(self.events(*words)) > events,
                    f"{kind} of {serving}: {self.heard()}", LIMIT)
        self.await_served()
        new = [(n["kind"], n["serving"]) for n in self.heard()[heard:]]
        self.assertEqual(new, [(kind, serving)])
        self.assertEqual(len(self.events(*words)), events + 1)

    def node_of(self, program):
        """The server of NATS that a program is connected to."""
        with self.c.inside():
            told = subprocess.run(
                ["ss", "-Htnp", "state", "established", "dport", "=", ":4222"],
                capture_output=True, text=True, check=True).stdout
        line = next(line for line in told.splitlines()
                    if f"pid={program.pid}," in line)
        return next(server for server in self.nats.servers
                    if f" {server.endpoint} " in line)

    # On one host

    def test_one_host(self):
        self.server = self.serve_on(self.a, options=self.options())
        alt = self.wait_on(self.a, options=self.options())
        self.talk()
        for program in (self.client, self.told_to, self.client):
            # READY expires: only MAINTENANCE may wait for a new leader
            node = self.node_of(program)
            node.kill()
            self.expect(lambda: self.ok_on(self.a, "maintenance"),
                        "MAINTENANCE", "alt", "MAINTENANCE")
            self.expect(lambda: self.ok_on(self.a, "ready"), "READY",
                        "server", "moved")
            self.nats.restart(node)
        self.expect(lambda: self.server.signal(signal.SIGKILL), "FAILOVER",
                    "alt", "FAILOVER")
        self.server = self.start_on(self.a, "server", "--dir", self.a.dir,
                                    "--listen", f"{SERVICE4}:{PORT}",
                                    *self.options())
        self.server.expect(": standby: ")
        self.expect(lambda: self.ok_on(self.a, "ready"), "READY", "server",
                    "moved")
        alt.expect(": standby: ")
        self.finish()

    def follow(self, host, name):
        """A second peer, for which the ferry makes room."""
        peer = self.wait_on(host, options=self.options("--name", name))
        self.await_(lambda: self.served(host) and any(
            p["name"] == name and p["held"] == 1 for p in self.peers(host)),
                    f"{name} to hold a copy")
        return peer

    def test_other_host(self):
        """A move itself is told to nobody: the connection stays. What happens
        there is, and then at home again."""
        server, _ = self.both(options=self.options())
        self.talk()
        self.follow(self.a, "second")
        self.expect(lambda: server.signal(signal.SIGKILL), "FAILOVER",
                    "second", "FAILOVER")
        for turn in range(2):
            self.round_trip(turn)
        self.assertEqual(self.events("lost"), [])
        self.finish()

    def round_trip(self, turn):
        heard = len(self.heard())
        self.move_all(self.a, 1)
        self.await_served()
        owner = next(iter(self.served(self.b)))
        self.follow(self.b, f"there-{turn}")
        self.node_of(self.client).kill()
        self.expect(lambda: self.kill_peer(self.b, owner), "FAILOVER",
                    f"there-{turn}", "FAILOVER")
        for node in self.nats.servers:
            if node.process.poll() is not None:
                self.nats.restart(node)
        self.move_all(self.b, 1)
        self.await_served()
        self.assertEqual(len(self.heard()), heard + 1)
        owner = next(iter(self.served(self.a)))
        self.follow(self.a, f"here-{turn}")
        self.expect(lambda: self.kill_peer(self.a, owner), "FAILOVER",
                    f"here-{turn}", "FAILOVER")
        back = self.follow(self.a, f"back-{turn}")
        self.expect(lambda: self.ok_on(self.a, "ready"), "READY",
                    f"back-{turn}", "moved")
        self.assert_served(self.a, 1)
        self.kill_peer(self.a, f"here-{turn}")
        back.expect("left:")

    def kill_peer(self, host, name):
        pid = next(p["pid"] for p in self.peers(host) if p["name"] == name)
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    WHY = engines.lacks_nats() or lacks(True)
    if WHY:
        print("SKIP:", WHY)
        sys.exit(77)
    engines.test_main()
