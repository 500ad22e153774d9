# SPDX-License-Identifier: MIT
"""A lease with servers of every model: two hosts, each a service directory, and
the engine for tests (test_lease.py has what is the same in all of them)."""
import json
import os
import signal
import socket
import subprocess
import time
import unittest

import harness
from harness import BIN, SCALE, TOOLS, SystemTest, main, wait_until

TTL = 4  # seconds: everything stands still 2.5 s after the last proof
MODELS = (("loop",), ("loop", "--workers", "2"), ("thread",), ("fork",))
SERVICE = os.path.join(TOOLS, "conn_service")
PRELOADED = os.path.join(TOOLS, "libfile_lease.so")


@unittest.skipIf(SCALE > 1, "a lease counts real time, and a sanitizer's "
                 "runtime must be preloaded first")
class Lease(SystemTest):
    def setUp(self):
        super().setUp()
        self.lease = os.path.join(self.base, "lease")
        self.addresses = {}

    def folder(self, host):
        return os.path.join(self.base, host)

    def peer_of(self, host, name, *options, program="server", lease=True):
        """A peer of a host; the first one has an address that stays."""
        self.dir = self.folder(host)
        more = ["--listen", self.address_of(host)] if program == "server" \
            else []
        if lease:
            more += ["--lease", f"file:{self.lease}", "--lease-ttl", TTL,
                     "--lease-host", host]
        return self.start("/usr/bin/env", f"LD_PRELOAD={PRELOADED}",
                          os.path.join(BIN, program), "--dir", self.dir,
                          "--name", name, *more, *options)

    def address_of(self, host):
        if host not in self.addresses:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", 0))
                self.addresses[host] = "127.0.0.1:%d" % sock.getsockname()[1]
        return self.addresses[host]

    def two_hosts(self, *model, standby=False):
        """Host a serves, and b waits."""
        options = ("--model", *(model or ("loop",)))
        self.a = self.peer_of("a", "one", *options)
        self.a.expect(": owner: ")
        if standby:
            self.a2 = self.peer_of("a", "two", *options, program="alt_server")
            self.a2.expect(": standby: ")
        self.b = self.peer_of("b", "one", *options)
        self.b.expect("waiting: for the lease")

    def switch(self, *words):
        done = subprocess.run([os.path.join(TOOLS, "leases"), self.lease,
                               *words], capture_output=True, text=True,
                              timeout=20, check=True)
        return done.stdout.split()

    def lease_of(self, host, name="one"):
        self.dir = self.folder(host)
        # one that is stopped does not answer
        out = self.ctl("status", "--json")[1]
        for peer in json.loads(out)["peers"] if out else ():
            if peer["name"] == name and peer.get("lease"):
                return dict(peer["lease"], generation=peer["generation"])
        return None

    def wait_lease(self, host, name="one", **wanted):
        def there():
            seen = self.lease_of(host, name)
            return seen and all(seen[k] == v for k, v in wanted.items()) and \
                seen
        return wait_until(there, f"the lease of {host} to be {wanted}")

    def assert_silent(self, host):
        """No connection is taken there: refused, or not answered."""
        name, port = self.addresses[host].split(":")
        with self.assertRaises(OSError):
            socket.create_connection((name, int(port)), timeout=0.2).close()

    def client_of(self, host):
        client = self.connect(self.addresses[host])
        self.assert_echo(client)
        return client

    def assert_reset(self, client, nothing=False):
        """`nothing`: was sent before."""
        client.settimeout(harness.DEADLINE)
        with self.assertRaises(ConnectionResetError):
            while data := client.recv(100):
                self.assertFalse(nothing, data)
            raise AssertionError("it has ended without a reset")

    def each(self, test):
        for model in MODELS:
            with self.subTest(model=" ".join(model)):
                self.doCleanups()
                self.setUp()
                test(*model)

    def test_one_serves_and_the_other_waits(self):
        self.two_hosts()
        self.client_of("a")
        self.assert_silent("b")
        seen = self.lease_of("a")
        self.assertEqual((seen["state"], seen["token"], seen["kept"],
                          seen["connected"], seen["frozen"]),
                         ("OWNER", 1, True, True, False))
        self.assertEqual(seen["generation"], 1 << 32)
        self.assertLessEqual(seen["valid_ms"], TTL * 1000 * 2 // 3)
        self.assertRegex(self.ok("status"), r"one: lease: .*: OWNER, token 1, "
                         r"valid for \d\.\d\d\d s")
        self.assertRegex(self.ok("metrics"), r"(?m)^handoff_lease_state.* 2$")
        self.assertEqual(self.lease_of("b")["state"], "CANDIDATE")
        self.a.kill()
        self.b.expect(": owner: has the lease")
        self.client_of("b")
        self.assertEqual(self.wait_lease("b", state="OWNER")["generation"],
                         2 << 32)
        # clients of the host that is gone are told
        self.assertEqual(self.peer("one")["notices"][0]["generation"], 2 << 32)

    def test_a_stop_gives_it_up(self):
        self.two_hosts()
        begun = time.monotonic()
        self.assertEqual(self.a.stop(), 0)
        self.b.expect(": owner: has the lease")
        self.assertLess(time.monotonic() - begun, TTL / 2)
        self.client_of("b")

    def local_death(self, *model):
        self.two_hosts(*model, standby=True)
        client = self.client_of("a")
        self.dir = self.folder("a")
        self.wait_peer("two", held=1)
        begun = time.monotonic()
        self.a.kill()
        self.assert_echo(client)
        self.assertLess(time.monotonic() - begun, TTL / 4)
        self.assertNotIn("dead-man", self.a2.output())
        self.client_of("a")
        seen = self.wait_lease("a", "two", state="OWNER", kept=True)
        self.assertEqual(seen["token"], 1)
        self.assertEqual(seen["generation"], (1 << 32) + 1)
        self.assert_silent("b")

    def test_a_local_death_costs_no_more(self):
        self.each(self.local_death)

    def test_a_handoff_keeps_it(self):
        self.two_hosts(standby=True)
        client = self.client_of("a")
        self.dir = self.folder("a")
        self.assertIn("moved 1 connection", self.ok("maintenance"))
        seen = self.wait_lease("a", "two", kept=True, state="OWNER")
        self.assertEqual((seen["token"], seen["generation"]),
                         (1, (1 << 32) + 1))
        self.ok("ready", "--silent")
        self.wait_lease("a", kept=True, state="OWNER", token=1)
        self.assert_echo(client)
        time_over = time.monotonic() + TTL
        wait_until(lambda: time.monotonic() > time_over, "a TTL")
        self.assert_echo(client)

    def healed(self, *model):
        self.two_hosts(*model, standby=True)
        client = self.client_of("a")
        self.switch("cut", "a")
        self.wait_lease("a", state="DOUBT", frozen=False)
        self.assert_echo(client, b"in doubt\n")
        self.dir = self.folder("a")
        self.assertIn("does not hold the lease", self.refused("maintenance"))
        self.wait_lease("a", frozen=True)
        self.assert_silent("a")
        client.sendall(b"frozen\n")
        client.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            client.recv(100)
        self.switch("heal", "a")
        client.settimeout(harness.DEADLINE)
        self.assertEqual(self.receive(client, 7), b"frozen\n")
        self.assertEqual(self.wait_lease("a", state="OWNER")["token"], 1)
        self.client_of("a")
        self.assert_silent("b")

    def test_what_stood_still_goes_on(self):
        self.each(self.healed)

    def stand_still(self, *names):
        """The engine is gone, for all: no other host can get the lease."""
        self.switch("down")
        for name in names:
            self.wait_lease("a", name, frozen=True)

    def commanded(self, *model):
        self.two_hosts(*model, standby=True)
        client = self.client_of("a")
        self.dir = self.folder("a")
        self.wait_peer("two", held=1)
        self.stand_still("one", "two")
        self.ok("say", "all")
        self.ok("say", "@1", "one")
        for words in (("status", "--connections"), ("status", "--json"),
                      ("metrics",),
                      ("dump", os.path.join(self.base, "dump"))):
            self.ok(*words)
        self.refused("maintenance")
        for words in (("ready",), ("maintenance", "two"),
                      ("settle", "--here", "1")):
            self.assertNotEqual("".join(self.ctl(*words)[1:]), "", words)
        self.assertTrue(self.lease_of("a")["frozen"])
        self.assertTrue(self.lease_of("a", "two")["frozen"])
        self.switch("up")
        self.assertEqual(self.receive(client, 8), b"all\none\n")
        self.assert_echo(client)
        self.assertEqual((self.a.stop(), self.a2.stop()), (0, 0))

    def test_commands_are_answered_while_all_stands_still(self):
        self.each(self.commanded)

    def ended(self, *model):
        options = ("--model", *model)
        for end in (lambda: self.ok("stop", "one"),
                    lambda: self.a.signal(signal.SIGTERM)):
            self.a = self.peer_of("a", "one", *options)
            self.a.expect(": owner: ")
            client = self.client_of("a")
            self.stand_still("one")
            end()
            self.assertEqual(self.a.wait(), 0)
            self.assert_reset(client)
            self.assertIn("stopped: 1 connection was closed",
                          self.a.output())
            self.switch("up")

    def test_it_stops_while_all_stands_still(self):
        self.each(self.ended)

    def last_words(self, *model):
        """They are said with the lease, in order; while everything stands
        still nothing is, nor once another host has it."""
        for still in (False, True):
            self.a = self.peer_of(
                "a", "one", "--model", *model, "--bye", "--listen",
                self.address_of("a"), program=SERVICE)
            self.a.expect(": owner: ")
            client = self.client_of("a")
            if still:
                self.stand_still("one")
            self.a.signal(signal.SIGTERM)
            if still:
                self.assert_reset(client, nothing=True)
            else:
                self.assertEqual(self.receive(client, 5), b"bye\n")
            self.assertEqual(self.a.wait(), 0)
            self.assertIn("stopped: 1 connection was closed",
                          self.a.output())
            self.switch("up")

    def test_last_words_need_the_lease(self):
        self.each(self.last_words)

    def lost(self, *model):
        self.two_hosts(*model, standby=True)
        clients = [self.client_of("a") for _ in range(3)]
        self.switch("cut", "a")
        self.b.expect(": owner: has the lease")
        self.assert_silent("a")
        self.client_of("b")
        self.switch("heal", "a")
        for client in clients:
            self.assert_reset(client)
        self.wait_lease("a", state="CANDIDATE")
        self.assert_silent("a")
        self.b.kill()
        self.a.expect(": owner: has the lease")
        self.client_of("a")
        self.assertEqual(self.lease_of("a")["generation"], 3 << 32)

    def test_another_token_resets_all(self):
        self.each(self.lost)

    def stopped(self, *model):
        self.two_hosts(*model)
        self.client_of("a")
        self.a.signal(signal.SIGSTOP)
        self.assertEqual(self.a.wait(), -signal.SIGKILL)
        self.assertNotIn(": owner: has", self.b.output())
        self.b.expect(": owner: has the lease")
        self.client_of("b")

    def test_a_stopped_owner_dies_before_another_serves(self):
        self.each(self.stopped)

    def test_its_standby_goes_on_with_the_lease_or_without(self):
        self.two_hosts(standby=True)
        client = self.client_of("a")
        self.a.signal(signal.SIGSTOP)
        # a tool would wait for the stopped one
        wait_until(lambda: "everything stands still" in self.a2.output(),
                   "the standby to let everything stand still")
        client.sendall(b"late\n")
        self.assertEqual(self.a.wait(), -signal.SIGKILL)
        self.a2.expect_error(r"lease: one \(pid \d+\) ended \d+ ms after "
                             "the time of its dead-man timer")
        owner = wait_until(lambda: next(
            (host for host, name in (("a", "two"), ("b", "one"))
             if (seen := self.lease_of(host, name))
             and seen["state"] == "OWNER" and not seen["frozen"]), None),
            "a host to serve")
        self.assertEqual(self.switch()[1], owner)
        if owner == "a":
            self.assertEqual(self.receive(client, 5), b"late\n")
        else:
            self.assert_reset(client)
        self.client_of(owner)

    def test_peers_need_the_same_lease(self):
        self.two_hosts()
        other = self.peer_of("a", "two", program="alt_server", lease=False)
        self.assertNotEqual(other.wait(), 0)
        self.assertIn("start both with the same --lease", other.output())


if __name__ == "__main__":
    main()
