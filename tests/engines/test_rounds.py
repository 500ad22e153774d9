# SPDX-License-Identifier: MIT
"""Two hosts with a lease by three servers of ZooKeeper, each with two peers, and
clients on a third host that never rest. In rounds the owner is stopped, cut off
or killed, or the majority of the servers is. Whatever happens: no two hosts are
valid, tokens grow, nothing is committed or sent for the first time when validity
has ended (seen in the arena and on the wire), the latest notice arrives, and the
clients are served again; with the same token by the same connections, of which
no byte is lost or comes twice. HANDOFF_LONG=1: fifty rounds."""
import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import engines
from engines import test_main, wait_until
from ensemble import LIMIT, SCALE, Ensemble, Lines
from wire import Wire, boot_ns

BIN = os.environ.get("HANDOFF_BIN", ".")
TOOLS = os.environ.get("HANDOFF_TOOLS", ".")
LONG = os.environ.get("HANDOFF_LONG") == "1"
SEED = int(os.environ.get("HANDOFF_SEED", "1"))
TTL = int(4 * SCALE)
PORT = 7000
KINDS = ("brief", "stop", "cut", "kill", "quorum")
SECOND = 1000000000
FOREVER = 1 << 62


class Site:
    """One of the two hosts: its peers, and what is seen of its lease."""

    def __init__(self, test, host, model):
        self.test = test
        self.model = model
        self.host = host
        self.name = host.name
        self.peers = []
        self.all = []  # also those that have ended
        self.started = 0
        self.looks = []  # of all arenas: (before, at, token, valid)
        self.commits = []
        self.watching = []
        self.wire = Wire(test.network, host, PORT)
        test.addCleanup(self.wire.close)
        os.makedirs(host.dir, mode=0o700)

    def fill(self):
        """Two peers, as a supervisor would."""
        self.peers = [p for p in self.peers if p.process.poll() is None]
        while len(self.peers) < 2:
            self.started += 1
            new = not self.peers
            peer = self.test.program(
                self.host, os.path.join(TOOLS, "counter"), "--dir",
                self.host.dir, "--name", f"{self.name}-{self.started}",
                "--listen", f"{self.host.address}:{PORT}", "--lease",
                self.test.address, "--lease-ttl", TTL, "--lease-host",
                self.name, "--notices", self.test.address, "--model", self.model,
                self.name)
            self.peers.append(peer)
            self.all.append(peer)
            wait_until(lambda: self.says(peer, r"waiting:" if new else
                                         r"standby:"),
                       f"{self.name}: a peer: {peer.lines[-5:]}", LIMIT)
            if new:
                self.watching.append(self.test.program(
                    self.host, os.path.join(TOOLS, "witness"),
                    peer.process.pid))

    @staticmethod
    def says(peer, word):
        return any(word in line for line in peer.lines)

    def status(self):
        """What each peer that answers says of itself."""
        with contextlib.suppress(AssertionError):
            return json.loads(self.host.run(
                os.path.join(BIN, "handoffctl"), "--dir", self.host.dir,
                "status", "--json"))["peers"]
        return []

    def keeper(self):
        return next((p for p in self.status() if p.get("lease") and
                     p["lease"]["kept"]), None)

    def owner(self):
        """The process that serves."""
        name = self.keeper()["name"]
        return next(p for p in self.peers if name in
                    self.argument_of(p))

    @staticmethod
    def argument_of(peer):
        with open(f"/proc/{peer.process.pid}/cmdline", "rb") as file:
            return file.read().decode().split("\0")

    def gather(self, since, until):
        """What the witnesses saw that matters between these times."""
        self.looks, self.commits = [], []
        for witness in self.watching:
            looks = [(int(w[1]), int(w[2]), int(w[4]), int(w[6]))
                     for w in witness.find("lease")]
            ends = [look[1] for look in looks[1:]] + [FOREVER]
            self.looks += [(*look, end) for look, end in zip(looks, ends)
                           if end > since]
            self.commits += [(int(w[1]), int(w[2]), w[3])
                             for w in witness.find("commit")
                             if since < int(w[2]) <= until]

    def allows(self, after, at=None):
        """Whether the lease was valid at a time; or at the first of two, as far
        as it was seen until the second."""
        at = at or after
        return any(valid > after for before, _, _, valid, end
                   in self.looks if before <= at and end >= after)

    def told(self, late):
        """Of times around the first one, in milliseconds from it; and what its
        peers have said."""
        if not late:
            return ""
        at = late[0][0]
        return "\n".join(
            [f"{[(one[0] - at) / 1e6 for one in late]}"] +
            [f"seen from {(b - at) / 1e6:.2f} to {(end - at) / 1e6:.2f}: token "
             f"{token}, valid until {(valid - at) / 1e6:.2f}"
             for b, _, token, valid, end in self.looks
             if abs(b - at) < 5 * SECOND] +
            [" ".join(line) for peer in self.all for line in peer.lines[-30:]])


class Client(threading.Thread):
    """Says numbered lines, so many ahead, to the host that serves."""

    def __init__(self, test, word, ahead, pause):
        super().__init__()
        self.test = test
        self.word, self.ahead, self.pause = word, ahead, pause
        self.answers = []  # (line, host, token, handled, received)
        self.wrong = []
        self.connections = 0
        self.ends = False
        self.start()

    def close(self):
        self.ends = True
        self.join()

    def run(self):
        while not self.ends:
            for site in self.test.sites:
                with contextlib.suppress(OSError):
                    self.talk(self.dial(site))
                if self.ends:
                    return
            time.sleep(0.02)

    def dial(self, site):
        with self.test.host_c.inside():
            sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.settimeout(0.3)
        try:
            sock.connect((site.host.address, PORT))
        except OSError:
            sock.close()
            raise
        # Of a host that has forgotten the connection it hears that.
        for option, value in (("KEEPIDLE", 1), ("KEEPINTVL", 1),
                              ("KEEPCNT", 30)):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{option}"),
                            value)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock

    def talk(self, sock):
        said = heard = 0
        rest = b""
        new = True
        with contextlib.closing(sock):
            while not self.ends:
                while said < heard + self.ahead:
                    said += 1
                    sock.sendall(f"{self.word}{said}\n".encode())
                try:
                    more = sock.recv(4096)
                except TimeoutError:
                    continue
                if not more:
                    return
                *lines, rest = (rest + more).split(b"\n")
                for line in lines:
                    heard += 1
                    self.take(line.decode().split(), heard)
                    self.connections += new
                    new = False
                time.sleep(self.pause)

    def take(self, words, number):
        """Each line is answered once, in order, and counted once."""
        if words[:2] != [f"{self.word}{number}", str(number)]:
            self.wrong.append((words[:5], number))
        self.answers.append((number, words[2], int(words[3]), int(words[4]),
                             boot_ns()))

    def since(self, at, token):
        """An answer of that token, handled after that time."""
        for answer in reversed(self.answers):
            if answer[3] <= at:
                return None
            if answer[2] == token:
                return answer
        return None


class Seeker(Client):
    """Has a connection for each line."""

    def talk(self, sock):
        with contextlib.closing(sock):
            sock.sendall(f"{self.word}1\n".encode())
            line = sock.makefile("rb").readline()
            if line.endswith(b"\n"):
                self.take(line.decode().split(), 1)
        time.sleep(self.pause)


class Rounds(Ensemble):
    def setUp(self):
        super().setUp()
        self.pick = random.Random(SEED)
        self.checked = 0  # a time: all before it has been looked at
        self.hosts = {}  # of each token
        self.seen = {}
        self.notices = self.program(
            self.host_c, os.path.join(BIN, "handoffctl"), "notices", "--json",
            self.open)
        self.sites = [Site(self, self.host_a, "thread"),
                      Site(self, self.host_b, "loop")]
        for site in self.sites:
            site.fill()
        self.clients = [Client(self, "plain", 1, 0.002),
                        Client(self, "slow", 2, 0.1),
                        Client(self, "big", 64, 0.01),
                        Seeker(self, "seek", 1, 0.01)]
        for client in self.clients:
            self.addCleanup(client.close)

    def program(self, host, *argv):
        program = Lines(host, *argv)
        self.addCleanup(program.kill)
        return program

    # What is there

    def valid_site(self):
        """The host that serves now, and its token."""
        for site in self.sites:
            keeper = site.keeper()
            if keeper and keeper["lease"]["state"] == "OWNER" and \
                    not keeper["lease"]["frozen"]:
                return site, keeper["lease"]["token"]
        return None

    def settle(self, since):
        """Until a host serves all clients again, and subscribers know it."""
        site, token = wait_until(self.valid_site, "an owner", LIMIT)
        for client in self.clients:
            wait_until(lambda client=client: client.since(since, token),
                       f"an answer with token {token} to {client.word}: "
                       f"{client.answers[-1:]}, now {boot_ns()}", LIMIT)
        for other in self.sites:
            other.fill()
        wait_until(lambda: self.other(site).keeper() and
                   self.other(site).keeper()["lease"]["state"] == "CANDIDATE",
                   "the other host to be a candidate", LIMIT)
        self.assertEqual(self.valid_site(), (site, token))
        keeper = site.keeper()
        if self.heard() or token > 1:
            self.await_heard((keeper["generation"], keeper["name"]))
        return site, token

    def other(self, site):
        return next(s for s in self.sites if s is not site)

    def await_heard(self, notice):
        """The latest one."""
        try:
            wait_until(lambda: self.heard()[-1:] == [notice], "it", LIMIT)
        except AssertionError:
            self.fail(f"the notice {notice} is not heard: {self.heard()[-3:]}; "
                      f"{[site.status() for site in self.sites]}\n" +
                      "\n".join(site.told([(boot_ns(),)])
                                for site in self.sites))

    def heard(self):
        told = [json.loads(" ".join(line)) for line in self.notices.lines]
        order = [(n["generation"], n["seq"]) for n in told]
        self.assertEqual(order, sorted(set(order)))
        return [(n["generation"], n["serving"]) for n in told]

    # What is done to them

    def stop(self, site, _):
        """It dies of that, before another host may serve."""
        owner = site.owner()
        owner.stop()
        wait_until(lambda: owner.process.poll() is not None,
                   "a stopped owner to end", LIMIT)
        self.assertEqual(owner.process.returncode, -signal.SIGKILL)

    def cut(self, site, token):
        self.network.cut(site.host)
        wait_until(lambda: self.valid_site_of(self.other(site), token),
                   "the other host to serve", LIMIT)
        self.network.heal()

    @staticmethod
    def valid_site_of(site, token):
        keeper = site.keeper()
        return keeper and keeper["lease"]["state"] == "OWNER" and \
            keeper["lease"]["token"] > token

    def kill(self, site, _):
        for peer in self.pick.sample(site.peers, 2):
            peer.signal(signal.SIGKILL)
        for peer in site.peers:
            peer.process.wait()

    def quorum(self, *_):
        for server in self.pick.sample(self.zk.servers, 2):
            self.network.cut(server.host)
        time.sleep(7 * SCALE)
        self.network.heal()

    def brief(self, site, token):
        """Half of the time to live: it is in doubt, and keeps the lease."""
        self.network.cut(site.host)
        time.sleep(TTL / 2)
        self.network.heal()
        return token

    def test_rounds(self):
        before = self.settle(0)
        kinds = list(KINDS)
        if LONG:
            kinds += self.pick.choices(KINDS, k=45)
        for number, kind in enumerate(kinds, 1):
            begun = time.monotonic()
            had = [client.connections for client in self.clients]
            kept = getattr(self, kind)(*before)
            after = self.settle(boot_ns())
            if kept:
                self.assertEqual(after, before)
            if after == before and kind != "stop":
                self.assertEqual(
                    had, [client.connections for client in self.clients])
            self.check()
            print(f"round {number}: {kind} of {before[0].name}: token "
                  f"{before[1]} -> {after[1]}, "
                  f"{time.monotonic() - begun:.1f} s, {self.seen}",
                  flush=True)
            before = after

    # What must have held

    def check(self):
        """Since the last time, but not the last second: what was seen of it
        may be on its way."""
        until = boot_ns() - SECOND
        for site in self.sites:
            site.gather(self.checked, until)
        self.check_intervals()
        answers = sorted((a for client in self.clients
                          for a in list(client.answers)
                          if self.checked < a[3] <= until), key=lambda a: a[3])
        self.assertGreater(len(answers), 10)
        self.check_answers(answers)
        for site in self.sites:
            self.check_site(site, until)
        self.checked = until

    def check_intervals(self):
        """Of those times at which each host was seen to be valid."""
        spans = sorted((at, min(valid, end), token, site.name)
                       for site in self.sites
                       for _, at, token, valid, end in site.looks
                       if min(valid, end) > at)
        for one, two in zip(spans, spans[1:]):
            if one[3] != two[3]:
                self.assertLessEqual(one[1], two[0], (one, two))
                self.assertLess(one[2], two[2], (one, two))

    def check_answers(self, answers):
        for one, two in zip(answers, answers[1:]):
            self.assertLessEqual(one[2], two[2], (one, two))
        names = {site.name: site for site in self.sites}
        for _, host, token, handled, _ in answers:
            self.assertEqual(self.hosts.setdefault(token, host), host)
            self.assertTrue(
                names[host].allows(handled), "handled without the lease by "
                f"{host}\n{names[host].told([(handled,)])}")
        for client in self.clients:
            self.assertEqual(client.wrong, [])

    def check_site(self, site, until):
        self.assertEqual(site.wire.dropped(), 0)
        for what, done in (
                ("sent for the first time", [
                    (at, at, what) for at, what in list(site.wire.first)
                    if self.checked < at <= until]),
                ("committed", site.commits)):
            late = [one for one in done if not site.allows(*one[:2])]
            self.assertEqual(late[:9], [], f"{len(late)} {what} by {site.name} "
                             f"without the lease\n{site.told(late)}")
            self.seen[what] = self.seen.get(what, 0) + len(done)


if __name__ == "__main__":
    test_main(engines.lacks_zookeeper(), engines.lacks_namespaces(),
              None if os.path.exists(os.path.join(TOOLS, "counter"))
              else "built without the ZooKeeper component")
