# SPDX-License-Identifier: MIT
"""What an operator types, and scripts of operators: that handoffctl waits,
judges and shows progress, and that its exit status is what it says."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

from harness import BIN, DEADLINE, TOOLS, SystemTest, main


class TerminalTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.masters = []
        self.addCleanup(lambda: [os.close(fd) for fd in self.masters])

    def on_a_terminal(self, *words):
        """Starts handoffctl with a terminal as its standard error."""
        master, slave = pty.openpty()
        self.masters.append(master)
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",
             os.path.join(BIN, "handoffctl"), "--dir", self.dir, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, master

    def see(self, master, text):
        """Reads the terminal until that has come."""
        seen = b""
        while text not in seen:
            self.assertTrue(select.select([master], [], [], DEADLINE)[0], seen)
            seen += os.read(master, 4096)
        return seen


class Progress(TerminalTest):
    """A maintenance that waits for a standby which is not ready."""

    def begin(self, name, pairs):
        peer = self.start(os.path.join(TOOLS, "pairs_peer"), self.dir, name,
                          str(pairs), "30", stdin=subprocess.PIPE)
        peer.expect("^owner: |^standby: ")
        return peer

    def tell(self, peer, line):
        peer.process.stdin.write(line.encode() + b"\n")
        peer.process.stdin.flush()

    def waiting(self):
        self.one, self.two = self.begin("one", 3), self.begin("two", 0)
        self.tell(self.two, "busy loads its data: 40 %")
        self.wait_peer("one", partner="loading", uncovered=0)
        process, master = self.on_a_terminal("maintenance", "--wait", "60")
        self.see(master, b"\r\x1b[Kwaits for two: loads its data: 40 %")
        return process, master

    def test_is_shown_and_removed(self):
        process, master = self.waiting()
        self.tell(self.two, "busy loads its data: 90 %")
        self.see(master, b"\r\x1b[Kwaits for two: loads its data: 90 %")
        self.tell(self.two, "busy")
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertRegex(process.stdout.read(), rb"\Amoved 3 connections")
        self.assertTrue(os.read(master, 1 << 16).endswith(b"\r\x1b[K"))

    def test_interrupted(self):
        """It says that the command goes on, and so it does."""
        for sig in (signal.SIGINT, signal.SIGHUP):
            process, master = self.waiting()
            process.send_signal(sig)
            self.assertEqual(process.wait(DEADLINE), -sig)
            self.see(master, b"handoffctl: interrupted: what the peer has "
                     b"begun goes on")
            self.tell(self.two, "busy")
            self.assertIn("serves", self.ok("wait", "--owner", "two"))
            self.one.kill()
            self.two.kill()

    def test_lost_terminal(self):
        """The other end is closed: the next line cannot be shown, and the
        command is carried out all the same."""
        process, _ = self.waiting()
        for master in self.masters:
            os.close(master)
        self.masters.clear()
        self.tell(self.two, "busy")
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertRegex(process.stdout.read(), rb"\Amoved 3 connections")


class Builds(SystemTest):
    """Which program each peer is, and since when."""

    def build_of(self, program):
        """As the file has it; "" if the linker gives none."""
        if not shutil.which("readelf"):
            self.skipTest("needs readelf, of binutils")
        notes = subprocess.run(["readelf", "-n", program], check=True,
                               capture_output=True, text=True).stdout
        found = re.search(r"Build ID: ([0-9a-f]+)", notes)
        return found[1] if found else ""

    def test_of_each_peer(self):
        began_ms = int(time.time() * 1000)
        server, alt = self.pair()
        version = self.ctl("--version")[1].split()[1]
        for program, name in ((server, "server"), (alt, "alt")):
            peer = self.peer(name)
            self.assertEqual(peer["version"], version)
            self.assertEqual(peer["build"], self.build_of(program.exe()))
            self.assertLessEqual(began_ms, peer["started_ms"])
            self.assertLessEqual(peer["started_ms"], time.time() * 1000)
            self.assertRegex(
                self.ok("status"), rf"\n{name}: libhandoff {version}, "
                rf"(build {peer['build'][:8]}, )?started \d{{4}}-\d\d-\d\d "
                r"\d\d:\d\d:\d\d\n")
        self.assertNotEqual(self.peer("server")["build"] or 1,
                            self.peer("alt")["build"])


class Wait(TerminalTest):
    def wait_for(self, *options):
        return self.start("handoffctl", "--dir", self.dir, "wait", *options)

    def assert_waits(self, run):
        """It has not ended although it could have: another command, which was
        begun after it, has."""
        self.ok("status")
        self.assertIsNone(run.process.poll(), run.output())

    def test_owner(self):
        server, alt = self.pair()
        self.assertEqual(
            self.ok("wait", "--owner", "server"), "server serves\n")
        self.assertEqual(
            self.ok("wait", "--owner", str(server.pid)),
            f"{server.pid} serves\n")
        run = self.wait_for("--owner", "alt")
        self.assert_waits(run)
        self.ok("maintenance")
        self.assertEqual(run.wait(), 0, run.output())
        self.assertEqual(run.lines, ["alt serves"])
        self.assertEqual(run.errors, [])
        alt.stop()
        server.expect(": owner: ")

    def test_standby_and_cover(self):
        run = self.wait_for("--standby", "--covered", "--owner", "server")
        server = self.server()
        for sock in [self.connect(server.address) for _ in range(5)]:
            self.assert_echo(sock)
        self.assert_waits(run)
        alt = self.standby()
        self.assertEqual(run.wait(), 0, run.output())
        self.assertEqual(run.lines, [
            f"server serves, alt (pid {alt.pid}) stands by, every entry is "
            "covered"])
        self.assertEqual(self.ok("wait", "--standby=alt"),
                         f"alt (pid {alt.pid}) stands by\n")

    def test_gone(self):
        self.server()
        alt = self.standby()
        run = self.wait_for("--gone", "alt")
        self.assert_waits(run)
        alt.stop()
        self.assertEqual(run.wait(), 0, run.output())
        self.assertEqual(run.lines, ["alt is gone"])

    def test_time_passes(self):
        server = self.server()
        for options, said in (
                (("--standby",),
                 "another peer to stand by: no standby is there: only server "
                 rf"\(pid {server.pid}\)"),
                (("--covered",), "every entry to be covered: nothing covers "
                 rf"server \(pid {server.pid}\): no other peer is there"),
                (("--owner", "alt"), "alt to serve: no peer alt is there: "
                 rf"only server \(pid {server.pid}\)"),
                (("--gone", "server"), rf"server to be gone: server \(pid "
                 rf"{server.pid}\) is still there")):
            code, out, err = self.ctl("wait", *options, "--timeout", "0.2")
            self.assertEqual((code, out), (4, ""), err)
            self.assertRegex(err, rf"\Ahandoffctl: waited 0\.2 s in {self.dir}"
                             rf" for {said}\n\Z")

    def test_progress_on_a_terminal(self):
        """Nothing is shown where there is no terminal; on one there is a line
        that is gone at the end."""
        self.server()
        process, master = self.on_a_terminal("wait", "--standby")
        seen = self.see(master, b"only server")
        self.assertRegex(seen, rb"\A\r\x1b\[Kwaiting, 0 s: no standby is "
                         rb"there: only server")
        self.standby()
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertRegex(process.stdout.read(),
                         rb"\Aalt \(pid \d+\) stands by\n\Z")
        seen = os.read(master, 1 << 16)
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen)

    def test_interrupted(self):
        """The line of progress is gone, and another one says why."""
        self.server()
        for sig in (signal.SIGINT, signal.SIGTERM):
            process, master = self.on_a_terminal("wait", "--standby")
            self.see(master, b"only server")
            process.send_signal(sig)
            self.assertEqual(process.wait(DEADLINE), -sig)
            self.see(master, b"\r\x1b[Khandoffctl: interrupted: waits no "
                     b"longer; nothing was changed\r\n")


class Check(SystemTest):
    def check(self, status, word, sentence):
        code, out, err = self.ctl("status", "--check")
        self.assertEqual((code, err), (status, ""), out)
        self.assertRegex(out, rf"\AHANDOFF {word} - {sentence}")
        self.assertEqual(out.count("\n"), 1)

    def test_from_nothing_to_a_maintenance(self):
        self.check(2, "CRITICAL", "service directory .*No such file")
        server = self.server()
        self.check(1, "WARNING", "echo: server may be stopped: it serves no "
                   "connection; but no other peer is there")
        self.assert_echo(self.connect(server.address))
        self.check(1, "WARNING", "echo: server must not be stopped: it serves "
                   "1 connection alone: start a standby first")
        alt = self.standby()
        self.ok("wait", "--standby", "--covered")
        self.check(0, "OK", "echo: alt may be stopped: server serves the 1 "
                   r"connection and nothing is uncovered; .* \| connections=1 "
                   "uncovered=0 absent=0 in_doubt=0\n")
        alt.signal(signal.SIGSTOP)
        self.check(1, "WARNING", "echo: server must not be stopped: alt ")
        alt.signal(signal.SIGCONT)
        self.ok("wait", "--standby", "--covered")
        self.ok("maintenance")
        self.check(1, "WARNING", "echo: server may be stopped: alt serves the "
                   "1 connection and nothing is uncovered; maintenance under "
                   "way since [^;]*: alt serves in place of server \\|")
        self.ok("ready", "--silent")
        self.check(0, "OK", "echo: alt may be stopped: ")

    def test_wrong_use_is_unknown(self):
        for words in (("status", "--check", "--json"),
                      ("--check", "status", "--watch"),
                      ("status", "now", "--check")):
            code, out, err = self.ctl(*words)
            self.assertEqual((code, out), (3, ""), err)
            self.assert_one_line(err)
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o755)
        self.check(3, "UNKNOWN", "service directory .*chmod 700")


if __name__ == "__main__":
    main()
