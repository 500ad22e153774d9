# SPDX-License-Identifier: MIT
"""A standby that is not ready to serve yet, as an operator sees it
(tests/tools/pairs_peer.c)."""
import os
import subprocess
import time

from harness import BIN, TOOLS, SystemTest, main, wait_until

PAIRS = 3


class Loading(SystemTest):
    def begin(self, name, pairs=0, give_ms=30):
        peer = self.start(os.path.join(TOOLS, "pairs_peer"), self.dir, name,
                          str(pairs), str(give_ms), stdin=subprocess.PIPE)
        peer.expect("^owner: |^standby: ")
        return peer

    def tell(self, peer, line):
        peer.process.stdin.write(line.encode() + b"\n")
        peer.process.stdin.flush()

    def pair(self, **options):
        one, two = self.begin("one", PAIRS, **options), self.begin("two")
        self.tell(two, "busy loads its data: 40 %")
        self.wait_peer("two", loading="loads its data: 40 %", held=PAIRS)
        self.wait_peer("one", partner="loading", uncovered=0)
        return one, two

    def waiting(self, *options):
        give = subprocess.Popen(
            [os.path.join(BIN, "handoffctl"), "--dir", self.dir,
             "maintenance", *options], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(give.communicate)
        return give

    def test_refused_with_its_reason(self):
        self.pair()
        self.assertIn("two: not ready to serve yet: loads its data: 40 %",
                      self.ok("status"))
        for options in ((), ("--wait", "0.2"), ("--wait", "0.1", "one")):
            begun = time.monotonic()
            code, out, err = self.ctl("maintenance", *options)
            self.assertLess(time.monotonic() - begun, 2)
            self.assertEqual((code, out), (3, ""))
            self.assert_one_line(err)
            self.assertIn("loads its data: 40 %: nothing was moved", err)
        self.wait_peer("one", role="owner", connections=PAIRS)

    def test_waits_until_it_is_ready(self):
        one, two = self.pair(give_ms=20000)  # to release all, which it does late
        gives = [self.waiting("--wait", "60") for _ in range(2)]
        one.expect("waits")
        self.assertIn("another handoff is under way",
                      self.refused("maintenance"))
        self.tell(two, "busy loads its data: 90 %")
        self.wait_peer("two", loading="loads its data: 90 %")
        self.wait_peer("one", role="owner", connections=PAIRS)
        self.tell(two, "busy")
        # The second one may have come when there was nothing to do any more.
        outs = []
        for give in gives:
            out, err = give.communicate()
            self.assertEqual((give.returncode, err), (0, ""))
            self.assertRegex(out, f"moved {PAIRS} connections|"
                             "two serves in place of one; nothing was changed")
            outs.append(out)
        self.assertIn(f"moved {PAIRS} connections", "".join(outs))
        self.wait_peer("two", role="owner", connections=PAIRS, loading="")

    def test_serves_when_the_owner_dies(self):
        one, two = self.pair()
        give = self.waiting("--wait", "60")
        one.expect("waits")
        one.kill()
        two.expect("^owner: .*not ready to serve yet: loads its data: 40 %")
        self.wait_peer("two", role="owner", connections=PAIRS)
        give.communicate()
        self.assertEqual(give.returncode, 1)

    def test_stop_does_not_wait(self):
        one, two = self.pair()
        self.waiting("--wait", "3600")
        one.expect("waits")
        self.assertIn("stopped", self.ok("stop", "one"))
        self.assertEqual(one.wait(), 0)
        two.expect("^owner: ")
        self.wait_peer("two", role="owner", connections=PAIRS)


class Whole(SystemTest):
    def test_everything_or_nothing(self):
        """One handler returns while the give waits for the other, which does
        not in time: both are served on; later both move."""
        server, alt, address = self.sleepers(1000, 400)
        first, second = self.connect(address), self.connect(address)
        for sock in (first, second):
            self.assert_echo(sock)
        first.sendall(b"sleep\n")
        server.expect("^handler: sleeping")
        time.sleep(0.8)  # so that the first returns first
        second.sendall(b"sleep\n")
        server.expect("^handler: sleeping")
        self.assertRegex(self.refused("maintenance", "--whole"),
                         "entr(y was|ies were) not quiet within .* ms: "
                         "nothing was moved")
        self.assertEqual(self.receive(first, 6), b"sleep\n")
        self.assert_echo(first)
        self.assertEqual(self.receive(second, 6), b"sleep\n")
        self.assert_echo(second)
        self.wait_peer("server", role="owner", connections=2)
        self.assertIn("moved 2 connections",
                      self.ok("maintenance", "--whole", "server"))
        alt.expect(": owner: ")
        for sock in (first, second):
            self.assert_echo(sock)


if __name__ == "__main__":
    main()
