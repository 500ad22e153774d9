# SPDX-License-Identifier: MIT
"""Servers that keep their own loop and buffers hand over to each other: poll(2),
libuv and libevent, in any order (tests/consumer/loops)."""
import os
import re
import signal
import shutil
import socket
import struct

from foreign import CONNECTIONS, FULL, LOOPS, PAIRS, LoopTest, spread
from harness import DEADLINE, main, wait_until

ROUNDS = 10
ENV = shutil.which("env")


class Planned(LoopTest):
    def there_and_back(self, first, second):
        one = self.owner(first, "one", "--send-buffer", 2048)
        two = self.second(second, "two")
        load = self.loaded(one)
        self.wait_peer("two", held=CONNECTIONS)
        self.there()
        self.back()
        before = self.settled(one, two)
        for _ in range(ROUNDS):
            self.there()
            self.assertEqual(self.resumed(two), (CONNECTIONS, 0, 0))
            self.flows(load)
            self.back()
            self.assertEqual(self.resumed(one), (CONNECTIONS, 0, 0))
            self.flows(load)
        wait_until(lambda: all(now <= then for now, then in
                               zip(self.settled(one, two), before)),
                   f"no more than {before} descriptors")
        self.wait_peer("one", role="owner", connections=CONNECTIONS,
                       listeners=[one.address], uncovered=0)
        self.wait_peer("two", role="standby", held=CONNECTIONS)
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["connected"], CONNECTIONS)
        self.assertNotIn("carried", self.ok("status"))
        self.assertIsNone(self.peer("one")["last_handoff"]["unread_bytes"])
        for program in (one, two):
            for carried in self.buffers_moved(program):
                self.assertGreater(carried, 0)
        self.wait_peer("one", connections=0)
        self.wait_peer("two", held=0)

    def test_chain_of_upgrades(self):
        """Each is replaced by the next one, which is another program."""
        old = self.owner("poll", "peer0", "--send-buffer", 2048)
        load = self.loaded(old)
        for turn, kind in enumerate(("uv", "event", "poll", "event", "uv"), 1):
            new = self.second(kind, f"peer{turn}")
            self.wait_peer(f"peer{turn}", held=CONNECTIONS)
            self.ok("stop", f"peer{turn - 1}")
            self.assertEqual(old.wait(), 0)
            self.assertEqual(self.resumed(new), (CONNECTIONS, 0, 0))
            self.flows(load)
            old = new
        self.assert_clean(load.finish())
        self.wait_peer("peer5", connections=0)
        self.ok("stop", "peer5")
        self.assertEqual(old.wait(), 0)

    def coming_and_going(self, first, second):
        """Short and half-closed connections while the roles swap."""
        one = self.owner(first, "one")
        self.second(second, "two")
        load = self.load(one.address, "--connections", 20, "--churn", 300,
                         "--bytes", "2M", "--rate", "1M", "--half-close",
                         "--vary")
        turns = 0
        while load.process.poll() is None:
            self.ok(*(("maintenance",), ("ready", "--silent"))[turns % 2])
            turns += 1
        self.assertGreater(turns, 10)
        counts = load.result()
        self.assert_clean(counts)
        self.assertGreater(counts["churn"], 100)
        for name in ("one", "two"):
            self.wait_peer(name, connections=0, held=0, uncovered=0)


class ManualPage(LoopTest):
    def page(self, name, port):
        page = self.begin(os.path.join(LOOPS, "peer_page"), name, port)
        page.expect_error("^owner: |^standby: ")
        return page

    def answers(self, port):
        """It opens its listener after it has said that it is the owner."""
        try:
            self.connect(f"127.0.0.1:{port}").close()
        except ConnectionRefusedError:
            return False
        return True

    def test_example_hands_over(self):
        """Without a word beyond what is on the page."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        owner = self.page("peer0", port)
        wait_until(lambda: self.answers(port), "it to listen")
        load = self.load(f"127.0.0.1:{port}", *FULL).ready()
        for turn in range(1, 5):
            heir = self.page(f"peer{turn}", port)
            self.wait_peer(f"peer{turn}", held=CONNECTIONS)
            for _ in range(ROUNDS):
                self.there()
                self.back()
            self.flows(load)
            if turn % 2:
                owner.kill()
            else:
                self.ok("stop", f"peer{turn - 1}")
                self.assertEqual(owner.wait(), 0)
            heir.expect_error("^owner: ")
            self.flows(load)
            owner = heir
        self.assert_clean(load.finish())


class Systemd(LoopTest):
    def begin(self, path, *options, **how):
        return self.start(ENV, "NOTIFY_SOCKET=" + self.notify.getsockname(),
                          path, "--dir", self.dir, *options, **how)

    def told(self, program, *lines):
        """The next message, and who it is from."""
        text, control, _, _ = self.notify.recvmsg(4096, 256)
        pid = struct.unpack("3i", control[0][2])[0]
        self.assertEqual((pid, text.decode().split("\n")),
                         (program.pid, list(lines)))

    def test_what_it_is_told(self):
        """One unit has both: its main process is the one that serves."""
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sockets.append(self.notify)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notify.bind(os.path.join(self.base, "notify"))
        self.notify.settimeout(DEADLINE)
        one = self.owner("poll", "one")
        self.told(one, f"MAINPID={one.pid}", "READY=1")
        two = self.second("poll", "two")
        self.told(two, "READY=1")
        self.ok("maintenance")
        # The two of them tell it side by side.
        said = sorted(self.notify.recv(4096).decode() for _ in range(2))
        self.assertEqual(said, [f"MAINPID={two.pid}\nREADY=1", "READY=1"])
        self.ok("stop", "one")
        self.told(one, "STOPPING=1")
        self.assertEqual(one.wait(), 0)
        self.ok("stop", "two")
        self.told(two, "STOPPING=1")
        self.assertEqual(two.wait(), 0)
        self.notify.setblocking(False)
        self.assertRaises(BlockingIOError, self.notify.recv, 4096)


class NothingIsFatal(LoopTest):
    def test_standby_missing(self):
        one = self.owner("poll", "one")
        sock = self.connect(one.address)
        self.assertIn("no standby is attached", self.refused("maintenance"))
        self.assert_echo(sock)
        self.second("poll", "two")
        self.there(1)
        self.assert_echo(sock)

    def test_standby_stopped(self):
        one = self.owner("poll", "one")
        load = self.loaded(one)
        two = self.second("poll", "two")
        self.wait_peer("two", held=CONNECTIONS)
        two.signal(signal.SIGSTOP)
        try:
            self.assertIn("has not answered", self.refused("maintenance"))
            one.expect(": refused: ")
            self.flows(load)
        finally:
            two.signal(signal.SIGCONT)
        self.there()
        self.flows(load)
        self.assert_clean(load.finish())

    def ready_when_it_says_so(self, kind):
        """A give to a standby that still loads is refused, or waits."""
        one = self.owner("poll", "one")
        load = self.loaded(one)
        two = self.second(kind, "two", "--loading", "reads its cache")
        self.wait_peer("two", held=CONNECTIONS, loading="reads its cache")
        code, out, err = self.ctl("maintenance", "--wait", "0.1")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("reads its cache", err)
        give = self.start("handoffctl", "--dir", self.dir, "maintenance",
                          "--wait", 60)
        self.flows(load)
        self.wait_peer("one", connections=CONNECTIONS)
        self.assertIsNone(give.process.poll())
        two.signal(signal.SIGUSR1)
        self.assertEqual(give.wait(), 0)
        self.moved(give.output(), CONNECTIONS)
        self.flows(load)
        self.assert_clean(load.finish())

    def table_of_the_standby(self, first, second):
        """What does not fit stays, is named and served, and so does its book;
        a stop ends."""
        one = self.owner(first, "one")
        two = self.second(second, "two", limit=160)
        load = self.loaded(one)
        said = self.ok("maintenance")
        moved = int(said.split()[1])
        self.assertIn(f" {2 * (CONNECTIONS - moved)} left behind", said)
        self.assertIn("the standby's descriptor table is full", said)
        left = re.findall(r": (connection|data book) (\d+): ", said)
        self.assertEqual(left[::2], [("connection", n) for _, n in left[::2]])
        self.assertEqual(left[1::2], [("data book", n) for _, n in left[::2]])
        self.assertGreater(moved, 20)
        self.assertLess(moved, 80)
        self.flows(load)
        self.ok("ready", "--silent")
        self.wait_peer("one", connections=CONNECTIONS, role="owner")
        self.flows(load)
        self.assert_clean(load.finish())
        self.assertNotIn("wait for a free descriptor", two.output())
        stuck = self.loaded(one)
        self.assertIn("stopped", self.ok("stop", "one"))
        self.assertEqual(one.wait(), 0)
        two.expect(": owner: ")
        counts = stuck.finish()
        self.assertEqual(counts["corrupt"] + counts["unfinished"], 0, counts)
        self.assertLess(counts["resets"] + counts["early_eof"], 80, counts)

    def table_of_the_owner(self, kind):
        """Some wait or are turned away; those that are here are served."""
        one = self.owner(kind, "one", limit=60)
        two = self.second("poll", "two")
        early = [self.connect(one.address) for _ in range(10)]
        for sock in early:
            self.assert_echo(sock)
        late = [self.connect(one.address) for _ in range(60)]
        if kind != "uv":  # which closes them without a word
            one.expect_error(": accept: .*Too many open files")
        for sock in early:
            self.assert_echo(sock)
        for sock in late:
            sock.close()

        def served():
            with self.connect(one.address) as sock:
                try:
                    self.assert_echo(sock)
                except (AssertionError, OSError):
                    return False
            return True

        wait_until(served, "new connections to be served")
        self.ok("maintenance")
        for sock in early:
            self.assert_echo(sock)
        self.ok("stop", "one")
        self.assertEqual(one.wait(), 0)
        for sock in early:
            self.assert_echo(sock)
        self.assertIsNone(two.process.poll())


spread(Planned, "there_and_back", PAIRS)
spread(Planned, "coming_and_going", PAIRS)
spread(NothingIsFatal, "table_of_the_standby", PAIRS[3:])
KINDS = (("poll",), ("uv",), ("event",))
spread(NothingIsFatal, "table_of_the_owner", KINDS)
spread(NothingIsFatal, "ready_when_it_says_so", KINDS)

if __name__ == "__main__":
    main()
