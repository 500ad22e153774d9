# SPDX-License-Identifier: MIT
"""Entries that cannot move stay with their owner, which continues to serve,
counts and names them; all others move."""
import os
import re
import signal
import time

from harness import SCALE, TOOLS, SystemTest, main, wait_until

OTHER = os.path.join(TOOLS, "other_service")


class DescriptorLimit(SystemTest):
    def few_descriptors(self, model):
        server = self.server("--model", model)
        alt = self.standby("--model", model, limit=50)
        clients = [self.connect(server.address) for _ in range(100)]
        for client in clients:
            self.assert_echo(client)
        held = self.steady_held()
        self.assertGreater(held, 5)
        self.assertLess(held, 50)
        code, out, err = self.ctl("maintenance")
        text = out + err
        self.assertIn(code, (0, 1), text)
        moved = int(re.search(r"moved (\d+) connections", text)[1])
        left = int(re.search(r"(\d+) (connections )?(stay|left)", text)[1])
        self.assertEqual(moved + left, 100, text)
        self.assertGreater(moved, 5)
        self.assertGreater(left, 50)
        self.assertRegex(text, "descriptor table")
        for client in clients:
            self.assert_echo(client, b"after\n")
        self.assertEqual(self.peer("alt")["connections"], moved)
        self.assertEqual(self.peer("server")["connections"], left)
        new = self.connect(server.address)
        self.assertEqual(alt.process.poll(), None)
        # Room on the standby's side lets new ones in.
        for client in clients:
            client.close()
        self.assert_echo(new)
        self.wait_peer("server", connections=0)

    def steady_held(self):
        """What the standby holds when it no longer changes."""
        seen = []

        def steady():
            seen.append(self.peer("alt")["held"])
            return len(seen) > 4 and len(set(seen[-4:])) == 1
        wait_until(steady, "a steady number of held entries")
        return seen[-1]

    def test_limit_loop(self):
        self.few_descriptors("loop")

    def test_limit_thread(self):
        self.few_descriptors("thread")

    def test_owner_at_its_limit(self):
        """The owner accepts what it can; the rest waits and is not lost."""
        server = self.server(limit=50)
        clients = [self.connect(server.address) for _ in range(80)]
        for client in clients:
            client.sendall(b"hello\n")
        served = 0
        for client in clients:
            self.assertEqual(self.receive(client, 6), b"hello\n", served)
            served += 1
            client.close()
        self.assertEqual(server.process.poll(), None)


class FullTable(SystemTest):
    """Clients take every descriptor of the owner that they can have. It still
    obeys, is handed over, and heals."""
    CLIENTS = 60

    def full(self, *options):
        server = self.server(*options, limit=64)
        clients = [self.connect(server.address) for _ in range(self.CLIENTS)]
        server.expect_error(": accept: .*wait in the backlog")
        return server, clients, self.peer("server")["connections"]

    def assert_calm(self, server):
        """It burns no core, also while a command waits or is refused."""
        def used():
            with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
                return sum(map(int, stat.read().split()[13:15]))
        before = used()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            self.ok("status")
            time.sleep(0.05)
        self.assertLess((used() - before) / os.sysconf("SC_CLK_TCK"), 0.2)

    def assert_told_once(self, server):
        told = [line for line in server.errors if "backlog" in line]
        self.assertEqual(len(told), 1, server.output())

    def table_of_the_owner(self, *options):
        server, clients, served = self.full(*options)
        self.assertGreater(served, 10)
        for client in clients[:served]:
            self.assert_echo(client)
        self.assert_calm(server)
        self.assert_told_once(server)
        self.ok("dump", os.path.join(self.base, "dump"))
        alt = self.standby(*options)
        wait_until(lambda: self.peer("alt")["held"] >= served and
                   self.peer("server")["uncovered"] == 0, "copies of all")
        self.assert_calm(server)
        said = self.ok("maintenance")
        self.assertGreaterEqual(
            int(re.search(r"moved (\d+) connections", said)[1]), served)
        self.assertIn(" 0 left behind", said)
        for client in clients:
            self.assert_echo(client, b"moved\n")
        self.assertNotIn("waits", "\n".join(alt.errors))
        # What it can't hold now is uncovered; with room again, nothing is.
        self.wait_peer("alt", connections=self.CLIENTS)
        self.assert_calm(server)
        for client in clients[5:]:
            client.close()
        self.wait_peer("alt", connections=5)
        self.ok("ready", "--silent")
        self.wait_peer("server", connections=5, uncovered=0, role="owner")
        for client in clients[:5]:
            self.assert_echo(client, b"home\n")
        self.ok("stop", "server")
        self.assertEqual(server.wait(), 0)

    def test_loop(self):
        self.table_of_the_owner("--model", "loop")

    def test_workers(self):
        self.table_of_the_owner("--workers", "3")

    def test_thread(self):
        self.table_of_the_owner("--model", "thread")

    def test_fork(self):
        self.table_of_the_owner("--model", "fork")

    def test_heals_alone(self):
        server, clients, served = self.full()
        for client in clients[:served]:
            client.close()
        for client in clients[served:]:
            self.assert_echo(client)
        self.assert_told_once(server)
        self.ok("stop", "server")
        self.assertEqual(server.wait(), 0)


class StoppedStandby(SystemTest):
    def test_stopped_standby(self):
        """A standby that does not run slows nobody; it catches up later."""
        self.need_descriptors(2200)
        server, alt = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        alt.signal(signal.SIGSTOP)
        started = time.monotonic()
        clients = [self.connect(server.address) for _ in range(2000)]
        for each in clients:
            self.assert_echo(each)
        self.assertLess(time.monotonic() - started, 5 * SCALE)
        self.assertNotEqual(self.ask(1, "maintenance")[:3], "ok ")
        self.assertEqual(self.ctl("status")[0], 1)
        for each in clients[::50]:
            self.assert_echo(each, b"still here\n")
        alt.signal(signal.SIGCONT)
        self.wait_peer("alt", held=2001)
        # Until it has been heard again it may still be refused.
        wait_until(lambda: self.ctl("maintenance")[0] == 0, "maintenance")
        for each in clients:
            self.assert_echo(each, b"moved\n")
        self.wait_peer("alt", connections=2001)


class SlowHandler(SystemTest):
    def start_pair(self, sleep_ms, timeout_ms):
        options = ("--dir", self.dir, "--model", "thread", "--sleep-ms",
                   int(sleep_ms * SCALE), "--give-timeout-ms", timeout_ms)
        server = self.start(OTHER, "--name", "server", "--listen",
                            "127.0.0.1:0", *options)
        server.address = server.expect(r": listening on (\S+)")[1]
        alt = self.start(OTHER, "--name", "alt", *options)
        alt.expect(": standby: ")
        return server, alt

    def test_past_the_deadline(self):
        server, _ = self.start_pair(3000, 300)
        clients = [self.connect(server.address) for _ in range(10)]
        for client in clients:
            self.assert_echo(client)
        wait_until(lambda: self.peer("alt")["held"] == 10, "held to be 10")
        slow = clients[4]
        slow.sendall(b"sleep well\n")
        started = time.monotonic()
        server.expect("^handler: sleeping$")
        code, out, err = self.ctl("maintenance")
        text = out + err
        self.assertLess(time.monotonic() - started, 3 * SCALE, text)
        self.assertIn(code, (0, 1), text)
        self.assertIn("moved 9 connections", text)
        self.assertRegex(text, r"\b1 (connection )?(stays|left)")
        self.assertRegex(text, "handler")
        for client in clients:
            if client is not slow:
                self.assert_echo(client, b"elsewhere\n")
        self.assertEqual(self.peer("server")["connections"], 1)
        # It follows when its handler returns, and lost nothing.
        self.assertEqual(self.receive(slow, 11), b"sleep well\n")
        self.wait_peer("alt", connections=10, role="owner")
        self.wait_peer("server", connections=0)
        self.assert_echo(slow, b"followed\n")

    def test_within_the_deadline(self):
        server, _ = self.start_pair(700, 20000)
        clients = [self.connect(server.address) for _ in range(4)]
        for client in clients:
            self.assert_echo(client)
        wait_until(lambda: self.peer("alt")["held"] == 4, "held to be 4")
        for client in clients:
            client.sendall(b"sleep\n")
        server.expect("^handler: sleeping$")
        self.assertIn("moved 4 connections", self.ok("maintenance"))
        for client in clients:
            self.assertEqual(self.receive(client, 6), b"sleep\n")
            self.assert_echo(client)


class Clients(SystemTest):
    """Above a limit clients are refused, by whichever peer serves."""

    def refused_now(self, address):
        self.assertEqual(self.receive(self.connect(address), 1), b"")

    def total(self, slot, limit):
        found = re.search(r'refused_connections_total{[^}]*limit="%s"} (\d+)'
                          % limit, self.ask(slot, "metrics"))
        return int(found[1])

    def test_of_an_address(self):
        options = ("--max-per-address", 3)
        server, alt = self.pair(*options)
        clients = [self.connect(server.address) for _ in range(3)]
        for client in clients:
            self.assert_echo(client)
        for _ in range(20):
            self.refused_now(server.address)
        self.assertEqual(self.total(1, "address"), 20)
        server.expect_error("refused.*max_per_address")
        self.assertNotRegex("\n".join(server.errors[1:]), "max_per_address")
        wait_until(lambda: self.peer("alt")["held"] == 3, "three held")
        server.kill()
        alt.expect(": owner: ")
        self.refused_now(server.address)
        clients.pop().close()
        self.wait_peer("alt", connections=2)
        clients.append(self.connect(server.address))
        for client in clients:
            self.assert_echo(client)
        self.refused_now(server.address)
        self.assertEqual(self.total(2, "address"), 2)

    def test_of_all(self):
        server = self.server("--max-connections", 2, "--refuse-excess")
        clients = [self.connect(server.address) for _ in range(2)]
        for client in clients:
            self.assert_echo(client)
        self.refused_now(server.address)
        self.assertEqual(self.total(1, "total"), 1)
        clients.pop().close()
        self.wait_peer("server", connections=1)
        self.assert_echo(self.connect(server.address))


if __name__ == "__main__":
    main()
