# SPDX-License-Identifier: MIT
"""A new library takes over from an older one: tests/compat/layout5.py is the
library of layout 5. Under load, by a give and by SIGKILL at any moment: no
byte is lost, doubled or changed, and every state is what it was."""
import os
import re
import signal
import subprocess
import sys
import time

from fault import (LONG, TOOK_OVER, TOOLS, FaultTest, main, wait_until)
from sums import Talkers

COMPAT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                      "compat", "layout5.py")
SUM = os.path.join(TOOLS, "sum_service")
VERSIONS = os.path.join(TOOLS, "versions")
ROUNDS = 20 if LONG else 3
# Bytes that the library's own desks can have, and others.
LIBRARY_BUFFER, OTHER_BUFFER = 65536, 16384


class Older(FaultTest):
    def older(self, *options):
        """The owner, an older program; its address in its attribute."""
        old = self.start(sys.executable, "-B", COMPAT, "--dir", self.dir,
                         *options, stdin=subprocess.PIPE)
        old.address = old.expect(r": listening on (\S+)")[1]
        old.expect(": owner")
        return old

    def tell(self, old, line):
        old.process.stdin.write(line.encode() + b"\n")
        old.process.stdin.flush()

    def newer(self, old, program, *options):
        new = self.launch(program, "--name", "new", *options)
        new.expect(": standby: ")
        old.expect("ready new")
        return new

    def held(self, count):
        """Waits until the new peer has copies of so many connections."""
        wait_until(lambda: (self.json(2) or {}).get("held") == count,
                   f"{count} connections to be held")

    def give(self, old, new):
        """Returns how many entries have moved."""
        self.tell(old, "give")
        moved = old.expect(r"gave (\d+) connections, 1 listeners, 0 left")
        new.expect(": owner: took over from")
        return int(moved[1]) + 1

    def die(self, old, new):
        old.kill()
        new.expect(": left: ")
        match = new.expect(TOOK_OVER)
        self.assertEqual(match[5], "0", match[0])
        return int(match[1])

    def leave(self, old, new):
        """The older one has nothing any more."""
        if old.process.poll() is None:
            old.kill()
            new.expect(": left: ")

    def fresh(self, number):
        self.dir = os.path.join(self.base, f"round.{number}")


class Load(Older):
    """Clients that talk all the time, to the next peer and the one after."""

    def upgrade(self, end, model, *options):
        old = self.older(*options)
        talkers = Talkers(self, old.address)
        count = len(talkers.talkers)
        new = self.newer(old, SUM, "--model", model)
        self.held(count)
        self.go_on(talkers)
        time.sleep(self.chance.uniform(0, 0.1))
        self.assertEqual(end(old, new), count + 1)
        if end == self.give:
            self.go_on(talkers)
        self.leave(old, new)
        # Among equals, what came from the older one is as safe as the rest.
        # Who was in its handler is tried beside a standby.
        next_one = self.launch(SUM, "--name", "next", "--model", model)
        next_one.expect(": standby: ")
        self.go_on(talkers)
        wait_until(lambda: (self.json(2) or {}).get("suspects", 0) == 0
                   and (self.json(1) or {}).get("held") == count,
                   "the next to hold all")
        new.kill()
        self.assertEqual(next_one.expect(TOOK_OVER)[5], "0")
        self.launch(SUM, "--name", "last").expect(": standby: ")
        self.go_on(talkers)
        talkers.finish(self)

    def go_on(self, talkers):
        before = talkers.progress()
        wait_until(lambda: talkers.failure
                   or talkers.progress() > before + 3, "answers")
        self.assertIsNone(talkers.failure)

    def rounds(self, end, model, *options):
        for number in range(ROUNDS):
            self.fresh(number)
            with self.subTest(round=number):
                self.upgrade(end, model, *options)

    def test_give(self):
        self.rounds(self.give, "loop", "--desk")

    def test_give_without_desks(self):
        self.rounds(self.give, "loop", "--buffer", OTHER_BUFFER)

    def test_give_to_threads(self):
        self.rounds(self.give, "thread", "--desk")

    def test_kill(self):
        self.rounds(self.die, "loop", "--desk")

    def test_kill_other_desks(self):
        self.rounds(self.die, "loop", "--desk", "--buffer", OTHER_BUFFER)

    def test_kill_without_desks(self):
        self.rounds(self.die, "loop")

    def test_kill_before_children(self):
        self.rounds(self.die, "fork", "--desk")


class Streams(Older):
    """Long streams, of which much is on the way at any moment."""

    def stream(self, end):
        old = self.older("--echo", "--desk")
        load = self.load(old.address, "--connections", 20, "--active", 8,
                         "--chunk", 50000, "--vary", "--window", 300000,
                         "--seconds", 3600, "--seed", self.seed()).ready()
        new = self.newer(old, SUM, "--echo")
        self.held(20)
        time.sleep(self.chance.uniform(0.05, 0.2))
        end(old, new)
        load.signal(signal.SIGUSR1)
        load.expect("max_gap_us")
        self.leave(old, new)
        # One that was in its handler is tried beside a standby.
        self.launch(SUM, "--echo", "--name", "beside").expect(": standby: ")
        wait_until(lambda: (self.json(2) or {}).get("suspects", 0) == 0,
                   "no connection to be suspected")
        self.assert_clean(load.finish())

    def test_give(self):
        for number in range(ROUNDS):
            self.fresh(number)
            self.stream(self.give)

    def test_kill(self):
        for number in range(ROUNDS):
            self.fresh(number)
            self.stream(self.die)


class Stages(Older):
    """Death at each stage of a turn."""

    def stage(self, stage, in_turn, *options):
        old = self.older(*options)
        new = self.newer(old, VERSIONS, "--state", 1)
        sock = self.connect(old.address)
        sock.sendall(b"one\n")
        self.assertEqual(self.receive(sock, 4), b"1 1\n")
        self.held(1)
        self.tell(old, f"hold {stage}")
        old.expect("holds at")
        sock.sendall(b"two\nthr")
        if stage != "unread":
            old.expect("held 1")
        self.die(old, new)
        match = re.search(TOOK_OVER, new.output())
        self.assertEqual(match[3], str(in_turn), match[0])
        if stage == "handling":
            # It is suspected until it can be tried beside a standby.
            self.launch(VERSIONS, "--state", 1, "--name", "beside").expect(
                ": standby: ")
        self.assertEqual(self.receive(sock, 4), b"2 1\n")
        sock.sendall(b"ee\nfour\n")
        self.assertEqual(self.receive(sock, 8), b"3 1\n4 1\n")

    def test_stages(self):
        for stage, in_turn in (("unread", 0), ("taken", 1), ("noted", 1),
                               ("handling", 1), ("committed", 1), ("sent", 1)):
            for options in (("--desk",), (),
                            ("--desk", "--buffer", OTHER_BUFFER)):
                with self.subTest(stage=stage, options=options):
                    self.fresh(f"{stage}.{len(options)}")
                    self.stage(stage, in_turn, "--versions", *options)


class States(Older):
    """The state is of an older version too, and changes with the rest."""

    def upgrade(self, end):
        old = self.older("--versions", "--desk")
        new = self.newer(old, VERSIONS, "--state", 2)
        socks = [self.connect(old.address) for _ in range(30)]
        for number, sock in enumerate(socks):
            for count in range(number):
                sock.sendall(b"line\n")
                wanted = b"%d 1\n" % (count + 1)
                self.assertEqual(self.receive(sock, len(wanted)), wanted)
            sock.sendall(b"half a ")
        self.held(30)
        end(old, new)
        for number, sock in enumerate(socks):
            sock.sendall(b"line\n")
            wanted = b"%d 2\n" % (number + 1)
            self.assertEqual(self.receive(sock, len(wanted)), wanted)

    def test_give(self):
        self.upgrade(self.give)

    def test_kill(self):
        self.upgrade(self.die)


class Between(Older):
    """The newer one dies while it takes: the older one goes on with what had
    not been converted, and loses nothing of it."""

    def killed(self, at):
        old = self.older("--versions")
        new = self.newer(old, VERSIONS, "--state", 1)
        socks = [self.connect(old.address) for _ in range(40)]
        for sock in socks:
            sock.sendall(b"line\n")
            self.assertEqual(self.receive(sock, 4), b"1 1\n")
        self.held(40)
        new.trigger.arm("epoll_ctl", at, False)
        self.tell(old, "give")
        self.assert_gone(new)
        match = old.expect(r"left new: (\d+) back, (\d+) gone")
        gone = 0
        for sock in socks:
            try:
                sock.sendall(b"line\n")
                answer = self.receive(sock, 4)
            except (ConnectionResetError, BrokenPipeError):
                answer = b""
            self.assertIn(answer, (b"2 1\n", b""))
            gone += answer == b""
        # What had been converted ends, the listener first; the rest is back,
        # or was never given: the call may have been one for the link.
        self.assertIn(int(match[1]) + int(match[2]), (0, 41))
        self.assertEqual(gone, max(0, int(match[2]) - 1))
        self.assertLessEqual(gone, at // 2)
        return gone

    def test_killed_in_between(self):
        gone = []
        for at in range(2, 82, 1 if LONG else 11):
            with self.subTest(at=at):
                self.fresh(at)
                gone.append(self.killed(at))
        self.assertGreater(len(set(gone)), 3, gone)


class Ways(Older):
    """From the older to the newer, by one, and no other way."""

    def test_no_way_back(self):
        old = self.older()
        sock = self.connect(old.address)
        new = self.newer(old, SUM, "--echo")
        self.held(1)
        self.give(old, new)
        self.assert_echo(sock)
        err = self.refused("maintenance", "new")
        self.assertIn("layout5", err)
        self.assertIn("has records of layout 5 and cannot take those of "
                      "layout 6: stop it and start the new program", err)
        self.tell(old, "take")
        old.expect("was told GAVE, reason 5")
        # It keeps no copy, and is sent none, nor what it could not read.
        new_sock = self.connect(old.address)
        self.assert_echo(new_sock)
        wait_until(lambda: self.json(2)["uncovered"] == 3, "no copies")
        self.tell(old, "status")
        old.expect("owns 0, has 0, serving 0")
        self.assertNotIn("was sent", old.output())
        old.kill()
        new.expect(": left: ")
        self.assert_echo(sock)

    def test_older_joins_no_newer(self):
        new = self.launch(SUM, "--listen", "127.0.0.1:0", "--name", "new")
        new.expect(": owner: ")
        old = self.start(sys.executable, "-B", COMPAT, "--dir", self.dir)
        old.expect("new has layout 6: reason 5")
        self.assertEqual(old.process.wait(20), 5)
        new.expect("refused: .*layout5.*: record layout 5 there, 6 here: an "
                   "older library takes nothing over from a newer one")
        # The fixture's exit code is what it was told, not what became of it.
        self.programs.remove(old)

    def strange(self, layout, why):
        self.fresh(layout)
        old = self.older("--layout", layout)
        new = self.launch(SUM, "--name", "new")
        self.assertEqual(new.wait(), 1)
        self.assertRegex("\n".join(new.errors), why)
        old.expect("refused new: 5")

    def test_two_layouts_are_too_many(self):
        self.strange(4, "record layout 4 there, 6 here, which follows 5 at "
                        "the oldest: upgrade by a version between them")
        self.strange(8, "record layout 8 there, 6 here")


if __name__ == "__main__":
    main()
