# SPDX-License-Identifier: MIT
"""handoffctl upgrade, as an operator types it: with programs that are good and
with all that are not, two operators, and a terminal that goes away."""
import contextlib
import os
import pty
import re
import signal
import subprocess
import time

from harness import (BIN, DEADLINE, TOOLS, SystemTest, descendants, main,
                     wait_until)

CTL = os.path.join(BIN, "handoffctl")
SERVES_ON = r"server \(pid \d+\) serves on, and the new program has been ended"
MOVED_BACK = "everything was moved back: " + SERVES_ON


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Upgrades(SystemTest):
    def setUp(self):
        self.addCleanup(self.leaves_nothing)  # the last of all
        super().setUp()
        self.log = os.path.join(self.base, "log")
        self.addCleanup(self.end_new)

    def leaves_nothing(self):
        def left():
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if self.base.encode() in file.read():
                            found.append(pid)
            return found
        wait_until(lambda: not left(), "all that was started to have ended")

    def end_new(self):
        """What an upgrade has left is no child of the test."""
        for place in (1, 2):
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(os.path.join(self.dir, f"peer.{place}"),
                          encoding="ascii") as file:
                    os.kill(int(file.read().split()[1]), signal.SIGKILL)

    def new(self, *options, program="server", name="new"):
        path = program if "/" in program else os.path.join(BIN, program)
        return [path, "--dir", self.dir, "--listen", "127.0.0.1:0", "--name",
                name, *options]

    def words(self, *options, argv=None):
        return ["upgrade", "--log", self.log, *options, "--",
                *(argv or self.new())]

    def begin(self, *options, argv=None):
        """Starts one that the test looks at while it goes on."""
        return self.start("handoffctl", "--dir", self.dir,
                          *self.words(*options, argv=argv))

    def upgraded(self, *options, argv=None, count=0, to="new"):
        code, out, err = self.ctl(*self.words(*options, argv=argv))
        self.assertEqual(code, 0, err)
        self.assertRegex(
            out, rf"\Aupgraded: {to} \(pid \d+\) serves {count} "
            rf"connections? in place of \S+ \(pid \d+\), which has ended\n\Z")
        for line in err.splitlines():
            self.assertRegex(line, "\\A(new|log): ")
        return err

    def failed(self, *options, argv=None, code=1):
        """Returns the sentence; what else there is comes from the program."""
        got, out, err = self.ctl(*self.words(*options, argv=argv))
        self.assertEqual((got, out), (code, ""), err)
        *lines, last = err.splitlines()
        self.assertTrue(last.startswith("handoffctl: upgrade: "), err)
        for line in lines:
            self.assertFalse(line.startswith("handoffctl: "), err)
        return last

    def assert_serves(self, server, *clients):
        """It alone, and it has all that it had."""
        self.assertEqual([peer["pid"] for peer in self.status()["peers"]],
                         [server.pid])
        self.wait_peer("server", role="owner", connections=len(clients))
        for client in clients:
            self.assert_echo(client)

    def clients(self, server, count=3):
        socks = [self.connect(server.address) for _ in range(count)]
        for sock in socks:
            self.assert_echo(sock)
        return socks


class Good(Upgrades):
    def test_moves_and_ends_the_old_one(self):
        server = self.server()
        clients = self.clients(server)
        err = self.upgraded(count=3)
        self.assertIn("new: ", err)
        # also what it has printed since it was last waited for
        self.assertRegex(err, r"(?m)^new: \S+ new: owner: took over from ")
        self.assertIn("standby: server", err)
        self.assertEqual(server.wait(), 0)
        for client in clients:
            self.assert_echo(client)
        self.wait_peer("new", role="owner", connections=3)
        self.assertEqual(self.peer("new")["maintenance"], None)
        # and again, to a program of the same name
        self.upgraded(count=3)
        for client in clients:
            self.assert_echo(client)
        self.assertEqual(len(self.status()["peers"]), 1)
        self.assertNotIn("under way", self.ok("status"))

    def test_tells_of_other_addresses(self):
        """A typing error is seen, as with maintenance."""
        server = self.server()
        self.clients(server)
        code, out, err = self.ctl(*self.words(argv=[
            *self.new()[:3], "--listen", "127.0.0.2:0", "--name", "new"]))
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"\Aopened 127\.0\.0\.2:\d+\n"
                         rf"closed {re.escape(server.address)}\nupgraded: ")

    def test_check_is_run_after_the_move(self):
        server = self.server()
        check = f"{CTL} status --json >{self.base}/seen; echo looked"
        err = self.ctl(*self.words("--check", check))[2]
        self.assertIn("\nlooked\n", err)
        with open(self.base + "/seen", encoding="utf-8") as file:
            self.assertRegex(file.read(), '"name":"new","pid":[0-9]+,'
                             '"role":"owner"')
        self.assertEqual(server.wait(), 0)

    def test_output_that_is_inherited(self):
        """And standard output that is gone is no reason not to upgrade."""
        server = self.server()
        out = os.path.join(self.base, "out")
        with open(out, "wb") as file, open("/dev/full", "wb") as full:
            done = subprocess.run(
                [CTL, "--dir", self.dir, "upgrade", "--", "sh", "-c",
                 'exec "$0" "$@" >&2', *self.new()],
                stdin=subprocess.DEVNULL, stdout=full, stderr=file,
                timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(server.wait(), 0)
        with open(out, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("standby: server", text)
        self.assertNotRegex(text, "(?m)^new: ")  # its lines have the time
        self.assertIn("handoffctl: standard output: No space", text)
        self.wait_peer("new", role="owner")

    def test_daemon(self):
        """Its first process ends; the peer is another one."""
        server = self.server()
        clients = self.clients(server)
        argv = self.new("--daemon", "--log", self.log, program="handoffd")
        self.upgraded(argv=argv, count=3)
        self.assertEqual(server.wait(), 0)
        for client in clients:
            self.assert_echo(client)

    def test_under_load(self):
        """There and back, and there: each byte is counted."""
        server = self.server()
        load = self.load(server.address, "--connections", 100).ready()
        for _ in range(2):
            self.assertRegex(self.failed("--check", "exit 1"), MOVED_BACK)
        self.assertEqual(len(self.status()["peers"]), 1)
        self.upgraded(count=100)
        self.assertEqual(server.wait(), 0)
        self.upgraded(count=100, to="newer", argv=self.new(name="newer"))
        self.assert_clean(load.finish())

    def test_the_program_lives_on_alone(self):
        """It is a child of init, in a session of its own, without a trace of
        handoffctl."""
        self.server()
        self.upgraded()
        pid = self.peer("new")["pid"]
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        self.assertNotIn(int(fields[1]), [os.getpid()] +
                         descendants(os.getpid()))
        self.assertEqual(int(fields[3]), pid)  # the session
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            self.assertRegex(status.read(), "SigIgn:\t0+[01]000\n")
        for fd, path in ((0, "/dev/null"), (1, self.log), (2, self.log)):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), path)


class Bad(Upgrades):
    def setUp(self):
        super().setUp()
        self.old = self.server()
        self.socks = self.clients(self.old)

    def refuse(self, pattern, *options, **how):
        text = self.failed(*options, **how)
        self.assertRegex(text, pattern)
        self.assert_serves(self.old, *self.socks)
        return text

    def test_crash_at_start(self):
        self.refuse(r"the new program, \S*sh, ended with exit status 3 before "
                    "it was ready; its last line: no such table; " + SERVES_ON,
                    argv=["sh", "-c", "echo no such table >&2; exit 3"])
        self.refuse(r"was killed by signal 11 \(Segmentation fault\) before it "
                    rf"was ready; its log {self.log} has nothing of it; " +
                    SERVES_ON, argv=["sh", "-c", "kill -SEGV $$"])
        self.refuse(r"the new program, /no/such, could not be started: No such "
                    r"file or directory; server \(pid \d+\) serves on, and "
                    "nothing was changed$", argv=["/no/such"])

    def test_log_that_the_old_one_writes_too(self):
        """Its lines are not called those of the new one."""
        self.assertEqual(self.old.stop(), 0)
        with open(self.log, "ab") as log:
            old = subprocess.Popen(self.new(name="server"), stdout=log,
                                   stderr=log)
        self.addCleanup(old.wait)
        self.addCleanup(old.kill)
        wait_until(lambda: self.ctl("status")[0] == 0, "it to serve")
        text = self.failed(argv=["sh", "-c", "echo no such table; exit 3"])
        self.assertRegex(text, r"sh, ended with exit status 3 before it was "
                         "ready; the last line of its log: no such table; " +
                         SERVES_ON)
        self.assertIn("\nlog: no such table\n", "\n" + self.ctl(*self.words(
            argv=["sh", "-c", "echo no such table; exit 3"]))[2])

    def test_wrong_service(self):
        self.refuse(
            "exit status 1 before it was ready; its last line: .*service",
            argv=[os.path.join(TOOLS, "other_service"), "--dir", self.dir,
                  "--name", "new", "--service", "other"])

    def test_wrong_state_version(self):
        self.refuse(
            "exit status 1 before it was ready; its last line: .*version",
            argv=[os.path.join(TOOLS, "other_service"), "--dir", self.dir,
                  "--name", "new", "--service", "echo", "--state-version",
                  "77", "--state-size", "8"])

    def test_never_joins(self):
        self.refuse(rf"not ready within 0\.5 s: sleep has not joined "
                    rf"{self.dir}; {SERVES_ON}", "--timeout", "0.5", code=3,
                    argv=["sleep", "1000"])
        # it is deaf to SIGTERM, and so is what it has started
        self.refuse("has not joined", "--timeout", "0.1", code=3, argv=[
            "sh", "-c", "trap '' TERM; echo pid $$ >&2; sleep 1001; sleep 1"])
        with open(self.log, encoding="utf-8") as file:
            pid = int(re.search(r"pid (\d+)", file.read())[1])
        self.assertFalse(is_running(pid))

    def test_no_room(self):
        self.standby()
        text = self.failed()
        self.assertRegex(text, r"server \(pid \d+\) and alt \(pid \d+\) hold "
                         "both places of .* stop the standby first.*; "
                         "nothing was changed$")
        self.assertEqual(len(self.status()["peers"]), 2)
        self.assertFalse(os.path.exists(self.log))

    def test_another_program_joins(self):
        upgrade = self.begin(argv=["sleep", "1000"])
        wait_until(lambda: os.path.exists(self.log), "it to have begun")
        alt = self.standby()
        self.assertEqual(upgrade.wait(), 1)
        self.assertRegex(
            upgrade.errors[-1], r"alt \(pid \d+\), which this command has not "
            "started, has the second place of .*; " + SERVES_ON)
        self.assertEqual(alt.stop(), 0)
        self.assert_serves(self.old, *self.socks)

    def test_log_that_cannot_be_opened(self):
        self.log = "/no/such/folder/log"
        self.refuse("--log /no/such/folder/log: No such file or directory; "
                    "nothing was changed")

    def test_old_one_hangs_already(self):
        self.old.signal(signal.SIGSTOP)
        self.assertRegex(
            self.failed(), r"server \(pid \d+\) does not answer, so nothing "
            "can move: end it if it hangs, and start the new program by "
            "itself; nothing was changed$")
        self.assertFalse(os.path.exists(self.log))
        self.old.signal(signal.SIGCONT)
        self.assert_serves(self.old, *self.socks)

    def test_check_fails(self):
        self.refuse("the check ended with exit status 7; " + MOVED_BACK,
                    "--check", "exit 7")
        self.refuse(r"the check was killed by signal 9 \(Killed\); " +
                    MOVED_BACK, "--check", "kill -9 $$")

    def test_check_hangs(self):
        begun = time.monotonic()
        self.refuse("the check has not ended within 2 s; " + MOVED_BACK,
                    "--timeout", "2", "--check",
                    f"echo $$ >{self.base}/pid; sleep 1000; true")
        self.assertLess(time.monotonic() - begun, DEADLINE)
        with open(self.base + "/pid", encoding="ascii") as file:
            self.assertFalse(is_running(int(file.read())))

    NEW_PID = CTL + " status | sed -n 's/^new  *\\([0-9]*\\) .*/\\1/p'"

    def test_new_one_dies_in_the_check(self):
        self.refuse(r"the new program, new \(pid \d+\), ended during the check"
                    "; .*" + SERVES_ON, "--check",
                    f"kill -9 $({self.NEW_PID}); sleep 1000")

    def test_new_one_hangs_in_the_check(self):
        """It gives nothing back: the old one takes over, as after a crash."""
        self.refuse("the check ended with exit status 1; " + MOVED_BACK,
                    "--check", f"kill -STOP $({self.NEW_PID}); exit 1")

    def test_new_one_hangs_when_the_check_has_succeeded(self):
        self.refuse(r"new \(pid \d+\) does not answer after the check; " +
                    MOVED_BACK, "--check", f"kill -STOP $({self.NEW_PID})")

    def test_new_one_dies_when_the_check_has_succeeded(self):
        self.refuse(r"the new program, new \(pid \d+\), ended during the check"
                    "; .*" + SERVES_ON, "--check", f"kill -9 $({self.NEW_PID})")

    def test_moved_back_by_another_operator(self):
        """What was checked is the old one."""
        for moves in ("ready --silent", "maintenance new"):
            with self.subTest(moves):
                self.refuse(r"new \(pid \d+\) does not serve after the check; "
                            + SERVES_ON, "--check", f"{CTL} {moves}")


class Interrupted(Upgrades):
    """By a terminal that goes away, Ctrl-C, and signals."""

    def setUp(self):
        super().setUp()
        self.old = self.server()
        self.socks = self.clients(self.old)
        self.waiting = os.path.join(self.base, "waiting")

    def on_terminal(self, *options, argv=None):
        """Returns its process ID and the terminal's other end."""
        pid, master = pty.fork()
        if pid == 0:
            os.execv(CTL, [CTL, "--dir", self.dir,
                           *self.words(*options, argv=argv)])
        return pid, master

    def read_all(self, master):
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(master, 65536):
                seen += part
        return seen.decode(errors="replace")

    def code_of(self, pid):
        box = []

        def ended():
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                box.append(os.waitstatus_to_exitcode(status))
            return done
        wait_until(ended, "handoffctl to end")
        return box[0]

    def never_ready(self):
        return ["sh", "-c", f"touch {self.waiting}; exec sleep 1000"]

    def check(self):
        return f"touch {self.waiting}; sleep 1000"

    def wait_waiting(self):
        wait_until(lambda: os.path.exists(self.waiting), "it to be waiting")

    def test_ctrl_c_before_the_move(self):
        pid, master = self.on_terminal(argv=self.never_ready())
        self.wait_waiting()
        os.write(master, b"\x03")
        self.assertRegex(self.read_all(master),
                         "interrupted by SIGINT; " + SERVES_ON)
        self.assertEqual(self.code_of(pid), 1)
        os.close(master)
        self.assert_serves(self.old, *self.socks)

    def test_ctrl_c_in_the_check(self):
        pid, master = self.on_terminal("--check", self.check())
        self.wait_waiting()
        self.wait_peer("new", role="owner", connections=3)
        os.write(master, b"\x03")
        seen = self.read_all(master)
        self.assertRegex(seen, "interrupted by SIGINT; " + MOVED_BACK)
        self.assertRegex(seen, r"\r\x1b\[Kupgrade, \d+ s: the check runs")
        # nothing is left of it before a whole line
        for line in seen.split("\n"):
            self.assertRegex(line, r"\A(|.*\r?\x1b\[K)(new: .*|handoffctl: "
                             r".*|\^C.*|)\r*\Z")
        self.assertEqual(self.code_of(pid), 1)
        os.close(master)
        self.assert_serves(self.old, *self.socks)

    def test_lost_terminal(self):
        for how in ({"argv": self.never_ready()}, {}):
            with self.subTest(how):
                options = () if how else ("--check", self.check())
                pid, master = self.on_terminal(*options, **how)
                self.wait_waiting()
                os.close(master)
                self.assertEqual(self.code_of(pid), 1)
                self.assert_serves(self.old, *self.socks)
                os.unlink(self.waiting)

    def test_sigterm(self):
        upgrade = self.begin("--check", self.check())
        self.wait_waiting()
        upgrade.signal(signal.SIGTERM)
        self.assertEqual(upgrade.wait(), 1)
        self.assertRegex(upgrade.errors[-1],
                         "interrupted by SIGTERM; " + MOVED_BACK)
        self.assert_serves(self.old, *self.socks)

    def test_killed_before_the_move(self):
        """What it has started ends too."""
        argv = ["sh", "-c", f"echo $$ >{self.waiting}.pid; "
                f"mv {self.waiting}.pid {self.waiting}; exec sleep 1000"]
        upgrade = self.begin(argv=argv)
        self.wait_waiting()
        with open(self.waiting, encoding="ascii") as file:
            pid = int(file.read())
        self.assertTrue(is_running(pid))
        upgrade.kill()
        wait_until(lambda: not is_running(pid), "the new program to end")
        self.assert_serves(self.old, *self.socks)
        # nothing of it is in the way of the next one
        wait_until(lambda: self.ctl(*self.words())[0] == 0, "an upgrade")

    def test_killed_in_the_check(self):
        """The check ends with it; and by hand the upgrade is completed."""
        pids = self.waiting + ".pids"
        upgrade = self.begin("--check", f"sleep 1000 & echo $$ $! >{pids}; "
                             f"mv {pids} {self.waiting}; wait; true")
        self.wait_waiting()
        with open(self.waiting, encoding="ascii") as file:
            check = [int(pid) for pid in file.read().split()]
        self.assertTrue(all(is_running(pid) for pid in check))
        upgrade.kill()
        wait_until(lambda: not any(is_running(pid) for pid in check),
                   "the check to end")
        self.wait_peer("new", role="owner", connections=3)
        self.ok("stop", "server")
        self.assertEqual(self.old.wait(), 0)
        self.ok("stay")
        self.assertEqual(self.peer("new")["maintenance"], None)
        for sock in self.socks:
            self.assert_echo(sock)

    def test_two_operators(self):
        first = self.begin("--check", f"touch {self.waiting}; until "
                           f"test -e {self.base}/go; do sleep 0.05; done")
        self.wait_waiting()
        text = self.failed()
        self.assertRegex(text, r"another upgrade is under way in \S+, by "
                         rf"handoffctl \(pid {first.pid}\): wait for its end")
        with open(self.base + "/go", "wb"):
            pass
        self.assertEqual(first.wait(), 0)
        self.assertRegex(first.lines[-1], "upgraded: new .* serves 3 conn")
        for sock in self.socks:
            self.assert_echo(sock)


    def test_ignored_signals_stay_so(self):
        """As by nohup(1)."""
        upgrade = self.start(
            "/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", CTL, "--dir",
            self.dir, *self.words("--check", f"touch {self.waiting}; until "
                                  f"test -e {self.base}/go; do sleep 0.05; "
                                  "done"))
        self.wait_waiting()
        upgrade.signal(signal.SIGHUP)
        with open(self.base + "/go", "wb"):
            pass
        self.assertEqual(upgrade.wait(), 0)
        self.assertEqual(self.old.wait(), 0)


class Meanwhile(Upgrades):
    """What others do to the two while an upgrade goes on."""

    def loading(self, *options):
        """An upgrade to a program that is not ready before the file `go` is
        there. Its service is that of pairs_peer."""
        go = os.path.join(self.base, "go")
        tool = os.path.join(TOOLS, "pairs_peer")
        old = self.start(tool, self.dir, "server", "3", "30",
                         stdin=subprocess.PIPE)
        old.expect("^owner: ")
        upgrade = self.begin(*options, argv=[
            "sh", "-c", f"(until test -e {go} -o ! -d {self.base}; do sleep "
            f"0.05; done; echo busy; while test -d {self.base}; do sleep 0.1; "
            f"done) | {tool} {self.dir} new 0 30 'loads its data: 40 %'"])
        self.wait_peer("new", role="standby", loading="loads its data: 40 %")
        return old, upgrade, go

    def test_waits_until_it_is_ready(self):
        old, upgrade, go = self.loading()
        self.wait_peer("server", role="owner", connections=3)
        with open(go, "wb"):
            pass
        self.assertEqual(upgrade.wait(), 0)
        self.assertRegex(upgrade.lines[-1], "new .* serves 3 connections")
        self.assertEqual(old.wait(), 0)

    @staticmethod
    def holds_a_process(pid):
        links = []
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        return any("pidfd" in link for link in links)

    def test_crash_once_it_has_joined(self):
        _, upgrade, _ = self.loading()
        wait_until(lambda: self.holds_a_process(upgrade.pid),
                   "it to be known, beside the shell that has started it")
        os.kill(self.peer("new")["pid"], signal.SIGKILL)
        self.assertEqual(upgrade.wait(), 1)
        self.assertRegex(upgrade.errors[-1], r"the new program, new \(pid "
                         r"\d+\), ended before it was ready; .*" + SERVES_ON)
        self.wait_peer("server", role="owner", connections=3)

    def test_never_ready(self):
        _, upgrade, _ = self.loading("--timeout", "2")
        self.programs.remove(upgrade)  # not an exit status of a server
        self.assertEqual(upgrade.wait(), 3)
        self.assertRegex(
            upgrade.errors[-1], "not ready within 2 s: new is not ready to "
            "serve yet: loads its data: 40 %; " + SERVES_ON)
        self.wait_peer("server", role="owner", connections=3)

    def test_old_one_dies(self):
        """The new one has taken over, and is not ended."""
        old, upgrade, _ = self.loading()
        self.wait_peer("server", uncovered=0)
        old.kill()
        self.assertEqual(upgrade.wait(), 1)
        self.assertRegex(
            upgrade.errors[-1], r"server \(pid \d+\) has ended meanwhile; new "
            r"\(pid \d+\) serves, and was not ended: the old program has ended")
        self.wait_peer("new", role="owner", connections=3)

    def test_old_one_hangs_after_the_move(self):
        """It is waited for no longer than was said; the line says the rest."""
        old = self.server()
        code, out, err = self.ctl(*self.words(
            "--timeout", "1", "--check", f"kill -STOP {old.pid}"))
        self.assertEqual((code, out), (1, ""), err)
        self.assertRegex(
            err.splitlines()[-1], r"new \(pid \d+\) serves, but server \(pid "
            r"\d+\) was not stopped: no answer within 1 s; to complete it end "
            "that one, by SIGKILL if it hangs, and give handoffctl stay")
        old.kill()
        self.ok("stay")
        self.assertEqual(self.peer("new")["maintenance"], None)

    def test_old_one_hangs(self):
        """The new one stands by it, and may be needed: it is not ended."""
        old, upgrade, _ = self.loading()
        self.wait_peer("server", uncovered=0)
        pid = self.peer("new")["pid"]
        old.signal(signal.SIGSTOP)
        upgrade.signal(signal.SIGTERM)
        self.assertEqual(upgrade.wait(), 1)
        self.assertRegex(
            upgrade.errors[-1], r"; server \(pid \d+\) does not answer, so new "
            rf"\(pid {pid}\), its standby, was not ended")
        old.kill()
        self.wait_peer("new", role="owner", connections=3, pid=pid)

    def joins_late(self):
        """An upgrade to a program that has not joined before the file `go` is
        there."""
        begun, go = os.path.join(self.base, "begun"), self.base + "/go"
        upgrade = self.begin(argv=[
            "sh", "-c", f"touch {begun}; until test -e {go} -o ! -d "
            f'{self.base}; do sleep 0.05; done; exec "$0" "$@"', *self.new()])
        wait_until(lambda: os.path.exists(begun), "it to have begun")
        os.unlink(begun)
        return upgrade, go

    def test_old_one_ends_before_the_new_one_has_joined(self):
        """The new one is left alone, and serves once it can."""
        for end in ("kill", "stop"):
            with self.subTest(end):
                old = self.server()
                upgrade, go = self.joins_late()
                getattr(old, end)()
                self.assertEqual(upgrade.wait(), 1)
                self.assertRegex(
                    upgrade.errors[-1], r"server \(pid \d+\) has ended "
                    "meanwhile; the new program, sh, is needed, since the "
                    "old one has ended, and goes on: status says whether")
                with open(go, "wb"):
                    pass
                wait_until(lambda: self.ctl("status")[0] == 0, "it to serve")
                self.wait_peer("new", role="owner")
                os.unlink(go)
                self.ok("stop", "new")


class Usage(Upgrades):
    def test_wrong_words(self):
        for words, why in (
                (["upgrade"], "needs the PROGRAM"),
                (["upgrade", "--"], "needs the PROGRAM"),
                (["upgrade", "--check", "", "--", "true"], "is empty"),
                (["upgrade", "--timeout", "0", "--", "true"], "not a time"),
                (["upgrade", "--check", "a", "--check", "b", "--", "true"],
                 "--check is given twice"),
                (["upgrade", "--log", "a", "--log", "b", "--", "true"],
                 "--log is given twice"),
                (["upgrade", "--check", "--", "true"],
                 "--check needs a value"),
                (["status", "--log", "file"], "go with upgrade"),
                (["upgrade", "server", "--listen", "x"], "not an option")):
            code, out, err = self.ctl(*words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertRegex(err, why)

    def test_nothing_to_upgrade(self):
        self.assertRegex(self.failed(), "no server is running|No such file")
        self.start("alt_server", "--dir", self.dir).expect(": waiting: ")
        self.assertRegex(self.failed(), r"alt \(pid \d+\) does not serve, it "
                         "is standby: there is nothing to be upgraded")
        self.assertFalse(os.path.exists(self.log))


if __name__ == "__main__":
    main()
