# SPDX-License-Identifier: MIT
"""Servers that publish on several transports: clients of each hear of every
handoff once, `handoffctl notices` prints what comes, and the status says what
became of the last notice."""
import json
import os
import signal
import subprocess

from harness import BIN, SystemTest, main, wait_until

KINDS = ("mq", "sysv", "unix")


class Notices(SystemTest):
    def addresses(self):
        return [f"{kind}:{self.dir}" for kind in KINDS]

    def options(self):
        return [word for address in self.addresses()
                for word in ("--notices", address)]

    def follow(self, *words):
        """`handoffctl notices`, once it has subscribed."""
        process = self.start("handoffctl", "notices", *words)
        wait_until(lambda: self.subscribers() > self.known, "a subscriber")
        self.known = self.subscribers()
        return process

    def subscribers(self):
        count = 0
        for folder in ("subscribers", "subscribers.sysv", "subscribers.unix"):
            path = os.path.join(self.dir, folder)
            if os.path.isdir(path):
                count += sum(not name.startswith(".")
                             for name in os.listdir(path))
        return count

    def lines(self, process, count):
        wait_until(lambda: len(process.lines) >= count,
                   f"{count} lines, there are {process.lines}")
        return process.lines

    def test_each_transport(self):
        self.known = 0
        server, _ = self.pair(*self.options())
        followers = [self.follow(address) for address in self.addresses()]
        followers.append(self.follow("--json", *self.addresses()))
        self.ok("maintenance")
        self.ok("ready", "--silent")
        self.ok("maintenance")
        for process in followers[:3]:
            for line in self.lines(process, 2):
                self.assertRegex(line, r"MAINTENANCE echo: alt serves, "
                                 rf"generation \d+\.\d+, at {server.address}$")
        objects = [json.loads(line) for line in self.lines(followers[3], 2)]
        self.assertEqual([o["kind"] for o in objects], ["MAINTENANCE"] * 2)
        self.assertGreater(objects[1]["generation"], objects[0]["generation"])

        # A latecomer gets the last one, from wherever.
        for address in self.addresses():
            self.known = self.subscribers()
            late = self.follow(address)
            self.assertIn("MAINTENANCE", self.lines(late, 1)[0])
            late.process.send_signal(signal.SIGTERM)
            self.assertEqual(late.wait(), 0)

        told = self.peer("alt")["notices"]
        self.assertEqual([n["address"] for n in told], self.addresses())
        for outlet in told:
            self.assertTrue(outlet["complete"], outlet)
            self.assertEqual(outlet["reached"], 2)
            self.assertEqual(outlet["failed"], 0)
            self.assertEqual(outlet["text"], "")
            self.assertEqual(outlet["generation"], objects[1]["generation"])
        self.assertIn(f"alt: notices: unix:{self.dir}: "
                      f"{objects[1]['generation']}.1: 2 reached\n",
                      self.ok("status"))
        for process in followers:
            process.process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(), 0, process.output())
        self.assertEqual(self.subscribers(), 0)
        self.assertEqual(len(followers[3].lines), 2)

    def test_a_client_of_two_transports(self):
        self.known = 0
        server, _ = self.pair(*self.options())
        client = self.start(
            "client", "--connect", server.address, "--notices",
            f"sysv:{self.dir}", "--notices", f"unix:{self.dir}",
            stdin=subprocess.PIPE)
        wait_until(lambda: self.subscribers() == 2, "two subscriptions")
        self.ok("maintenance")
        wait_until(lambda: any("MAINTENANCE" in e for e in client.errors),
                   "the client to tell")
        self.ok("ready")
        wait_until(lambda: any("moved" in e for e in client.errors),
                   f"the client to move, it told {client.errors}")
        self.assertEqual(
            sum("MAINTENANCE" in e for e in client.errors), 1)
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())

    def test_death_is_told_by_all(self):
        self.known = 0
        server, _ = self.pair(*self.options())
        followers = [self.follow(address) for address in self.addresses()]
        server.process.kill()
        for process in followers:
            self.assertIn("FAILOVER", self.lines(process, 1)[0])
            process.process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(), 0)

    def test_two_hosts_in_turn(self):
        """Each has a directory, and counts for itself, as two hosts do between
        which a service moves: what either publishes is the latest then."""
        board = os.path.join(self.base, "board")
        os.mkdir(board, 0o700)
        near, far = self.dir, os.path.join(self.base, "far")
        for self.dir in (near, far):
            self.pair("--notices", f"unix:{board}")
        process = self.start("handoffctl", "notices", "--json",
                             f"unix:{board}")
        wait_until(lambda: os.path.isdir(
            os.path.join(board, "subscribers.unix")), "a subscriber")
        count = 0
        for folders in ((near, near, near), (far,), (near,), (far, far)):
            for self.dir in folders:
                self.ok("maintenance")
                count += 1
                self.lines(process, count)
                self.ok("ready", "--silent")
        order = [json.loads(line)["generation"] for line in process.lines]
        self.assertEqual(order, sorted(set(order)))

    def test_wrong_addresses(self):
        for words in (("notices", "pigeon:home"), ("notices", "unix:/nowhere")):
            done = subprocess.run(
                [os.path.join(BIN, "handoffctl"), *words], check=False,
                capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr,
                             "want mq:DIR, sysv:DIR(,| or) unix:DIR|cannot open")
        done = subprocess.run(
            [os.path.join(BIN, "server"), "--dir", self.dir, "--listen",
             "127.0.0.1:0", "--notices", "pigeon:home"], check=False,
            capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--notices: 'pigeon:home' is no address for notices",
                      done.stderr)


if __name__ == "__main__":
    main()
