# SPDX-License-Identifier: MIT
"""The file of the schedule service: acknowledged courses are in it once,
whichever process saved them, and a file that is damaged or cannot be written
loses nothing."""
import collections
import ctypes
import fcntl
import os
import resource
import signal
import stat
import threading
import time

from harness import (CLONE_NEWNS, DEADLINE, MNT_DETACH, MS_PRIVATE, MS_REC,
                     SystemTest, main, wait_until)
from students import DAYS, MODELS, PLAIN, Client, ScheduleTest

MS_RDONLY, MS_REMOUNT = 1, 32


class Writers(ScheduleTest):
    CLIENTS, MOST = 16, 60

    def write_all(self, address, number, acknowledged, errors):
        """One course after the other, each seen as soon as acknowledged."""
        try:
            client = Client(self, address, f"s{number}")
            for count in range(self.MOST):
                day = DAYS[count % 7]
                course = f"{day} 08:{count:02} c{count} r{number}"
                if count % 5 == 0:
                    client.send(f"ADD {course}\nADD {course}\n")
                    self.added(client, course, client.answer())
                    self.added(client, course, client.answer())
                else:
                    self.added(client, course, client.ask("ADD " + course))
                acknowledged.append(f"s{number} {course}")
                self.assertIn(course, client.ok("DAY " + day))
            self.may_quit.wait(DEADLINE)
            client.ok("QUIT")
        except (AssertionError, OSError) as error:
            errors.append(f"client {number}: {error}")

    def added(self, client, course, answer):
        """On a machine that stands still a lock may be waited for in vain:
        that is told, nothing is done, and the student tries again."""
        end = time.monotonic() + DEADLINE
        while answer != []:
            self.assertIn("another process holds the lock", answer)
            self.assertLess(time.monotonic(), end)
            answer = client.ask("ADD " + course)

    def writers(self, address, acknowledged, errors, stay=False):
        self.may_quit = threading.Event()
        if not stay:
            self.may_quit.set()
        threads = [threading.Thread(
            target=self.write_all, args=(address, n, acknowledged, errors))
            for n in range(self.CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def finish(self, threads, acknowledged, errors):
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(errors, [])
        self.assertEqual(len(acknowledged), self.CLIENTS * self.MOST)
        text = self.read()
        self.assertTrue(text.startswith(PLAIN))
        lines = collections.Counter(text[len(PLAIN):].splitlines())
        self.assertEqual(lines, collections.Counter(acknowledged))
        self.assertEqual(sorted(os.listdir(self.base)),
                         ["echo", "plan.txt", "plan.txt.lock"])

    def some(self, acknowledged, errors, count):
        """Waits until so many more have been acknowledged."""
        wanted = min(len(acknowledged) + count, self.CLIENTS * self.MOST)
        wait_until(lambda: len(acknowledged) >= wanted or errors,
                   f"{wanted} courses to be added")

    def at_once(self, model):
        """All add at the same time, while the service moves back and forth;
        in the end both peers serve some of them."""
        server, _ = self.both(*MODELS[model])
        acknowledged, errors = [], []
        threads = self.writers(server.address, acknowledged, errors)
        for turn in range(12):
            self.some(acknowledged, errors, 50)
            self.ok(*(("ready", "--silent") if turn % 2 else
                      ("maintenance",)))
        self.ok("maintenance")
        self.ok("ready")
        home = [self.client(server, f"h{number}") for number in range(4)]
        for number, client in enumerate(home):
            for count in range(20):
                course = f"monday 09:{count:02} h{count} r{number}"
                client.ok("ADD " + course)
                acknowledged.append(f"h{number} {course}")
        for thread in threads:
            thread.join(DEADLINE)
        mine = [line for line in acknowledged if line[0] == "h"]
        text = self.read()
        for line in mine:
            self.assertEqual(text.count(line + "\n"), 1)
        self.assertEqual(len(mine), 80)
        for line in mine:
            acknowledged.remove(line)
            text = text.replace(line + "\n", "")
        self.write(text)
        self.finish(threads, acknowledged, errors)

    def test_at_once_loop(self):
        self.at_once("loop")

    def test_at_once_thread(self):
        self.at_once("thread")

    def test_at_once_fork(self):
        self.at_once("fork")

    def test_at_once_workers(self):
        self.at_once("workers")

    def deaths(self, model):
        """The owner dies again and again while all add."""
        server, alt = self.both(*MODELS[model])
        acknowledged, errors = [], []
        threads = self.writers(server.address, acknowledged, errors)
        listen = ("--listen", server.address)
        for turn in range(6):
            names = ("server", "alt") if turn % 2 == 0 else ("alt", "server")
            self.covered(*names)
            self.some(acknowledged, errors, 50)
            (server, alt)[turn % 2].kill()
            if turn % 2 == 0:
                server = self.standby(*self.options(
                    *listen, *MODELS[model]), program="server")
            else:
                alt = self.alternate(*MODELS[model])
        self.finish(threads, acknowledged, errors)

    def covered(self, owner, standby):
        """Waits until the standby has a copy of every connection, and every
        handler that ran at the last death has returned."""
        def there():
            peers = {peer["name"]: peer for peer in self.status()["peers"]}
            return (peers[owner]["role"] == "owner"
                    and peers[owner]["uncovered"] == 0
                    and peers[owner]["suspects"] == 0
                    and peers[standby]["role"] == "standby")
        wait_until(there, f"{standby} to cover {owner}")

    def test_deaths_loop(self):
        self.deaths("loop")

    def test_deaths_thread(self):
        self.deaths("thread")

    def test_deaths_fork(self):
        self.deaths("fork")

    def test_deaths_workers(self):
        self.deaths("workers")


    def test_children_killed(self):
        """Model fork: the process of each connection dies once."""
        server = self.schedule("--model", "fork")
        acknowledged, errors = [], []
        threads = self.writers(server.address, acknowledged, errors, stay=True)

        def children():
            with open(f"/proc/{server.pid}/task/{server.pid}/children",
                      encoding="ascii") as file:
                return file.read().split()
        wait_until(lambda: len(children()) == self.CLIENTS, "a child each")
        for pid in children():
            self.some(acknowledged, errors, 10)
            os.kill(int(pid), signal.SIGKILL)
            server.expect_error("was killed by signal 9.*another one continues")
        self.may_quit.set()
        self.finish(threads, acknowledged, errors)


class Saving(ScheduleTest):
    """What can't be saved is not done, and the service goes on."""

    def mount(self):
        """A small file system with the data file on it."""
        libc = ctypes.CDLL(None, use_errno=True)
        if not SystemTest.queues:
            if libc.unshare(CLONE_NEWNS) != 0:
                self.skipTest("mounting needs CAP_SYS_ADMIN")
            libc.mount(b"none", b"/", None,
                       ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
        self.small = os.path.join(self.base, "small")
        os.mkdir(self.small)
        self.libc = libc
        if libc.mount(b"tmpfs", self.small.encode(), b"tmpfs",
                      ctypes.c_ulong(0), b"size=64k"):
            self.skipTest("no tmpfs here: "
                          + os.strerror(ctypes.get_errno()))
        self.addCleanup(libc.umount2, self.small.encode(), MNT_DETACH)
        self.data = os.path.join(self.small, "plan.txt")
        self.write(PLAIN)

    def fill(self):
        path = os.path.join(self.small, "filler")
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                self.assertEqual(error.strerror, "No space left on device")
        return path

    def assert_serves(self, client, *lines):
        self.assertEqual(client.ok("DAY monday"),
                         ["monday 09:30 algebra r101"])
        self.assertEqual(client.ok("DAY friday"), list(lines))

    def full(self, model):
        self.mount()
        server, alt = self.both(*MODELS[model])
        client = self.client(server, "anna")
        filler = self.fill()
        for command in ("maintenance",), ("ready", "--silent"), None:
            for _ in range(3):
                self.assertEqual(
                    client.refused("ADD friday 10:15 art r9"),
                    "cannot save: No space left on device")
                self.assert_serves(client)
                self.assertEqual(self.read(), PLAIN)
                self.assertEqual(sorted(os.listdir(self.small)),
                                 ["filler", "plan.txt", "plan.txt.lock"])
            if command:
                self.ok(*command)
        server.kill()
        self.assertIn("No space", client.refused("ADD friday 10:15 art r9"))
        self.assert_serves(client)
        # What is full can still be served by a new process.
        self.standby(*self.options("--listen", server.address),
                     program="server")
        self.ok("ready", "--silent")
        self.assert_serves(client)
        os.unlink(filler)
        client.ok("ADD friday 10:15 art r9")
        self.assert_serves(client, "friday 10:15 art r9")
        self.assertEqual(self.read(), PLAIN + "anna friday 10:15 art r9\n")
        self.assertIsNone(alt.process.poll())

    def test_full_loop(self):
        self.full("loop")

    def test_full_thread(self):
        self.full("thread")

    def test_full_fork(self):
        self.full("fork")

    def test_full_workers(self):
        self.full("workers")

    def test_read_only(self):
        self.mount()
        client = self.client(self.schedule(), "anna")
        self.libc.mount(b"none", self.small.encode(), None,
                        ctypes.c_ulong(MS_REMOUNT | MS_RDONLY), None)
        self.assertIn("cannot save: Read-only file system",
                      client.refused("ADD friday 10:15 art r9"))
        self.assert_serves(client)
        self.libc.mount(b"none", self.small.encode(), None,
                        ctypes.c_ulong(MS_REMOUNT), None)
        client.ok("ADD friday 10:15 art r9")
        self.assert_serves(client, "friday 10:15 art r9")

    def test_file_limit(self):
        server = self.schedule()
        client = self.client(server, "anna")
        limit = (len(PLAIN) + 10, resource.RLIM_INFINITY)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limit)
        self.assertEqual(client.refused("ADD friday 10:15 art r9"),
                         "cannot save: File too large")
        self.assert_serves(client)
        self.assert_saved()
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY,) * 2)
        client.ok("ADD friday 10:15 art r9")
        self.assert_saved("anna friday 10:15 art r9")

    def test_no_permission(self):
        """In a directory in which the server may make no file."""
        folder = os.path.join(self.base, "theirs")
        os.mkdir(folder)
        os.rename(self.data, os.path.join(folder, "plan.txt"))
        self.data = os.path.join(folder, "plan.txt")
        user = self.another_user()
        os.chmod(folder, 0o555)
        self.addCleanup(os.chmod, folder, 0o755)
        server = self.start("server", "--dir", self.dir, "--listen",
                            "127.0.0.1:0", *self.options(), user=user)
        server.address = server.expect(r": listening on (\S+)")[1]
        client = self.client(server, "anna")
        self.assertRegex(client.refused("ADD friday 10:15 art r9"),
                         "^cannot save: Permission denied")
        self.assert_serves(client)
        self.assertEqual(os.listdir(folder), ["plan.txt"])
        self.assertEqual(self.read(), PLAIN)

    def test_damaged_by_hand(self):
        """While it runs: nobody is told what is not in the file, nothing is
        written over it, and it goes on when that is repaired."""
        client = self.client(self.schedule(), "anna")
        damaged = PLAIN + "anna\n"
        self.write(damaged)
        for line in ("DAY monday", "NEXT", "ADD friday 10:15 art r9"):
            self.assertRegex(client.refused(line),
                             "^the timetable: line 6: 1 word: ")
        self.assertEqual(self.read(), damaged)
        self.write(PLAIN + "anna friday 10:00 law r7\n")
        self.assert_serves(client, "friday 10:00 law r7")
        client.ok("ADD friday 10:15 art r9")
        self.assert_saved("anna friday 10:00 law r7",
                          "anna friday 10:15 art r9")

    def test_owner_and_mode_are_kept(self):
        os.chmod(self.data, 0o640)
        if os.geteuid() == 0:
            os.chown(self.data, 65534, 65534)
        before = os.stat(self.data)
        client = self.client(self.schedule(), "anna")
        client.ok("ADD friday 10:15 art r9")
        after = os.stat(self.data)
        self.assertEqual((stat.S_IMODE(after.st_mode), after.st_uid,
                          after.st_gid), (0o640, before.st_uid, before.st_gid))

    def test_stopped_in_the_midst(self):
        """A peer that was stopped while it held the lock stops no other. Here
        this process holds it."""
        server = self.schedule("--model", "thread")
        client, other = (self.client(server, "anna") for _ in range(2))
        client.ok("ADD friday 10:15 art r9")
        lock = os.open(self.data + ".lock", os.O_RDWR)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        client.send("ADD friday 10:30 art r9\n")
        self.assertIn("another process holds", client.answer())
        self.assert_serves(other, "friday 10:15 art r9")
        started = time.monotonic()
        self.assertIn("another process", other.refused("ADD friday 11:00 a b"))
        self.assertLess(time.monotonic() - started, 3)
        fcntl.flock(lock, fcntl.LOCK_UN)
        client.ok("ADD friday 10:30 art r9")
        self.assert_saved("anna friday 10:15 art r9",
                          "anna friday 10:30 art r9")


if __name__ == "__main__":
    main()
