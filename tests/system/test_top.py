# SPDX-License-Identifier: MIT
"""handoffctl top: what it shows, and the terminal that it draws on."""
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios

from harness import BIN, DEADLINE, SystemTest, main

CTL = os.path.join(BIN, "handoffctl")
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


class Shown(SystemTest):
    def test_once(self):
        """The busiest first, the handoffs below."""
        server, alt = self.pair()
        idle = self.connect(server.address)
        self.assert_echo(idle, b"x" * 4000 + b"\n")
        load = self.load(server.address, "--connections", 1).ready()
        self.ok("maintenance")
        text = self.ok("top", "--once", "--every", "0.5")
        rows = re.findall(r"(?m)^alt +\d+ .*$", text)
        self.assertEqual(len(rows), 2, text)
        self.assertNotRegex(rows[0], r" 0 B +0 B ")
        self.assertRegex(rows[1], r" 0 B +0 B +8\.0 kB +0:00:\d\d")
        self.assertRegex(text, r"alt \(pid \d+\) is owner of 2 connections, 0 "
                         r"not covered, server \(pid \d+\) is standby\n")
        self.assertRegex(text, r"received \d+\.\d [kMG]B/s, sent ")
        self.assertRegex(text, r"\nhandoffs; longest silence \d+\.\d{3} ms, "
                         "in number 2\n")
        self.assertRegex(text, r"\n +2  \S+  maintenance   server -> alt  2 "
                         r"connections in \d+\.\d{3} ms\n\Z")
        self.assert_clean(load.finish())

    def test_again_and_again(self):
        """Without a terminal: after a blank line each, without sequences."""
        server = self.server()
        top = self.start("handoffctl", "--dir", self.dir, "top", "--every",
                         "0.1")
        top.expect(r"  echo: server \(pid \d+\) is owner of 0 connections")
        top.expect("^no handoff yet$")
        top.expect("^$")
        self.assert_echo(self.connect(server.address))
        top.expect("owner of 1 connection,")
        self.standby()
        self.ok("maintenance")
        top.expect("^handoffs; longest silence ")
        self.ok("ready", "--silent")
        top.expect("^ +3 .* ready-silent  alt -> server  1 connection in ")
        top.expect("^ +2 .* maintenance   server -> alt  1 connection in ")
        self.assertNotIn("\x1b", top.output())
        top.kill()

    def test_waits_for_a_server(self):
        server = self.server()
        top = self.start("handoffctl", "--dir", self.dir, "top", "--every",
                         "0.1")
        top.expect("is owner")
        server.stop()
        top.expect("^no server is running in ")
        self.server("--name", "again")
        top.expect("again .* is owner")
        top.kill()

    def test_nothing_there(self):
        self.assertIn("No such file", self.refused("top", "--once"))
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)
        self.refused("top")

    def test_peer_that_does_not_answer(self):
        """As status: what is known is shown, and the exit status is 1."""
        self.server()
        alt = self.standby()
        alt.signal(signal.SIGSTOP)
        code, out, err = self.ctl("top", "--once", "--every", "0.1")
        self.assertEqual((code, err),
                         (1, "handoffctl: not every peer has answered\n"))
        self.assertRegex(out, "server .* is owner of 0 connections")
        alt.signal(signal.SIGCONT)

    def test_output_that_is_full(self):
        self.server()
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(
                [CTL, "--dir", self.dir, "top", "--once", "--every", "0.1"],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                timeout=DEADLINE)
        self.assertEqual((done.returncode, done.stderr),
                         (1, "handoffctl: standard output: No space left on "
                          "device\n"))

    def test_words(self):
        for words in (["top", "x"], ["status", "--once"],
                      ["top", "--every", "0"], ["stop", "--every", "1", "x"]):
            code, out, err = self.ctl(*words)
            self.assertEqual((code, out), (2, ""), words)
            self.assert_one_line(err)


class Terminal(SystemTest):
    def setUp(self):
        super().setUp()
        self.server()

    def top(self, rows=24, columns=80):
        """On a terminal, whose other end it returns. What the terminal was
        like before is in `before`."""
        master, slave = pty.openpty()
        self.addCleanup(self.close, master)
        self.addCleanup(self.close, slave)
        self.slave = slave
        self.resize(slave, rows, columns)
        self.before = termios.tcgetattr(slave)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        process = subprocess.Popen(
            [CTL, "--dir", self.dir, "top", "--every", "3600"], stdin=slave,
            stdout=slave, stderr=slave, preexec_fn=own_terminal)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.seen = ""
        self.until(master, "no handoff yet")
        return process, master

    @staticmethod
    def close(fd):
        with contextlib.suppress(OSError):
            os.close(fd)

    @staticmethod
    def resize(fd, rows, columns):
        fcntl.ioctl(fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, master, text):
        while text not in self.seen:
            self.seen += os.read(master, 65536).decode()

    def assert_given_back(self, master):
        self.until(master, LEAVE)
        self.assertTrue(self.seen.startswith(ENTER), self.seen)
        self.assertTrue(self.seen.endswith(LEAVE), self.seen)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_q_ends_it(self):
        process, master = self.top()
        self.assertNotEqual(termios.tcgetattr(self.slave), self.before)
        os.write(master, b"q")
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assert_given_back(master)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT,
                       signal.SIGHUP):
            with self.subTest(number):
                process, master = self.top()
                if number == signal.SIGINT:
                    os.write(master, b"\x03")
                else:
                    process.send_signal(number)
                self.assertEqual(process.wait(DEADLINE), -number)
                self.assert_given_back(master)

    def test_stopped_and_continued(self):
        process, master = self.top()
        process.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        self.assert_given_back(master)
        self.seen = ""
        process.send_signal(signal.SIGCONT)
        self.until(master, "no handoff yet")
        os.write(master, b"q")
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assert_given_back(master)

    def test_size(self):
        """Nothing is drawn beyond the edges, and all again when they move."""
        process, master = self.top(rows=12, columns=30)
        frame = self.seen.split("\x1b[H")[-1]
        lines = re.sub(r"\x1b\[\??\d*[A-Za-z]", "", frame).split("\r\n")
        self.assertLessEqual(len(lines), 12)
        self.assertLessEqual(max(map(len, lines)), 30)
        self.seen = ""
        self.resize(master, 24, 100)  # sends SIGWINCH
        self.until(master, "1 not covered")
        os.write(master, b"q")
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_lost_terminal(self):
        process, master = self.top()
        os.close(self.slave)
        os.close(master)
        self.assertIn(process.wait(DEADLINE), (0, 1, -signal.SIGHUP))

    def test_reader_that_goes_away(self):
        out, into = os.pipe()
        process = subprocess.Popen(
            [CTL, "--dir", self.dir, "top", "--every", "3600"],
            stdin=subprocess.DEVNULL, stdout=into, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(into)
        self.assertIn(b"echo: ", os.read(out, 65536))
        self.assertIsNone(process.poll())
        os.close(out)
        self.assertEqual(process.wait(DEADLINE), 0)


if __name__ == "__main__":
    main()
