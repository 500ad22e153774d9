# SPDX-License-Identifier: MIT
"""The status as a table, once and again and again."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess

from harness import BIN, DEADLINE, SystemTest, main


class Table(SystemTest):
    def rows(self, text):
        """The row of each peer, by the titles of the columns."""
        lines = text.split("\n")
        first = lines.index("") + 1
        titles = re.split(r"  +", lines[first])
        self.assertEqual(titles[0], "PEER")
        end = lines.index("", first)
        return {cells[0]: dict(zip(titles, cells)) for cells in
                (re.split(r"  +", line) for line in lines[first + 1:end])}

    def test_status_is_a_table(self):
        server = self.server("--workers", 3)
        self.standby("--model", "fork", "--name", "a-longer-name")
        for sock in [self.connect(server.address) for _ in range(12)]:
            self.assert_echo(sock)
        self.wait_peer("a-longer-name", held=12)
        text = self.ok("status")
        self.assertRegex(
            text, r"\Aa-longer-name may be stopped: server serves all 12 "
            "connections and nothing is uncovered; so may server, which hands "
            "over to a-longer-name first\n"
            rf"echo: generation 1, listening on {server.address}\n\n")
        rows = self.rows(text)
        self.assertEqual(list(rows), ["server", "a-longer-name"])
        self.assertEqual(rows["server"], {
            "PEER": "server", "PID": str(server.pid), "ROLE": "owner",
            "MODEL": "loop/3", "CONNECTIONS": "12", "HELD": "0",
            "LAGGING": "no", "NOT COVERED": "0", "OTHER": "ready"})
        self.assertEqual(rows["a-longer-name"]["MODEL"], "fork")
        self.assertEqual(rows["a-longer-name"]["HELD"], "12")
        self.assertIn("\n\nno handoff yet\n", text)
        self.ok("maintenance")
        rows = self.rows(self.ok("status"))
        self.assertEqual(list(rows), ["a-longer-name", "server"])
        self.assertRegex(
            self.ok("status"), r"\Aserver may be stopped: a-longer-name "
            r"serves all 12 connections and nothing is uncovered\n"
            r"echo: .*\nmaintenance under way since "
            r"\S+ \S+: a-longer-name serves in place of server\n\n")
        self.assertRegex(
            self.ok("status"),
            r"\n\nlast handoff: 2, maintenance, \d{4}-\d\d-\d\d "
            r"\d\d:\d\d:\d\d \(\d+ s ago\)\n"
            r"  server \(pid \d+\) gave a-longer-name \(pid \d+\) "
            r"12 connections, 1 listener in \d+\.\d{3} ms\n"
            r"  carried: 0 bytes, 0 of unread input, 0 of unsent output\n"
            r"  left behind: 0\n\Z")

    def test_silent_peer_has_a_row(self):
        self.server()
        alt = self.standby()
        alt.signal(signal.SIGSTOP)
        code, out, err = self.ctl("status")
        alt.signal(signal.SIGCONT)
        self.assertEqual(code, 1)
        self.assertIn("not every peer has answered", err)
        self.assertEqual(self.rows(out)["alt"], {
            "PEER": "alt", "PID": str(alt.pid), "ROLE": "unresponsive",
            "MODEL": "-", "CONNECTIONS": "-", "HELD": "-", "LAGGING": "-",
            "NOT COVERED": "-", "OTHER": "-"})


class Watch(SystemTest):
    def watch(self, *options):
        return self.start("handoffctl", "--dir", self.dir, "status",
                          "--watch", *options)

    def test_again_and_again(self):
        self.server()
        watch = self.watch("0.1")
        watch.expect("^server .* owner ")
        watch.expect("^no handoff yet$")
        # A blank line, and the next one.
        watch.expect("^$")
        watch.expect("^echo: generation 1")
        self.standby()
        watch.expect("^alt .* standby ")
        self.ok("maintenance")
        watch.expect("^alt .* owner ")
        watch.expect("^last handoff: 2, maintenance")
        watch.kill()
        self.assertEqual(watch.errors, [])

    def test_json(self):
        self.server()
        watch = self.watch("--json", "--watch=0.1")
        for _ in range(3):
            watch.expect("^{")
        watch.kill()
        for line in watch.lines:
            self.assertEqual(json.loads(line)["service"], "echo")

    def test_the_service_may_go_and_come(self):
        server = self.server()
        watch = self.watch("0.1")
        watch.expect("^server .* owner ")
        server.stop()
        watch.expect("^no server is running in " + self.dir)
        self.server("--name", "again")
        watch.expect("^again .* owner ")
        watch.kill()

    def test_waits_for_a_server(self):
        """Of a directory that is there, or will be."""
        for made in (False, True):
            with self.subTest(made=made):
                if made:
                    os.makedirs(self.dir, 0o700, exist_ok=True)
                watch = self.watch("0.1")
                watch.expect("^no server is running in " if made else
                             "^service directory .*No such file")
                server = self.server()
                watch.expect("^server .* owner ")
                watch.kill()
                server.stop()
                shutil.rmtree(self.dir)

    def test_waits_for_a_server_in_json(self):
        """Standard output has lines of JSON alone."""
        watch = self.watch("0.1", "--json")
        watch.expect_error("^service directory .*No such file")
        self.server()
        watch.expect("^{")
        watch.kill()
        for line in watch.lines:
            self.assertEqual(json.loads(line)["service"], "echo")

    def test_directory_that_is_no_use(self):
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)
        watch = self.watch()
        self.assertEqual(watch.wait(), 1)
        self.assertEqual(watch.lines, [])
        self.assert_one_line(watch.errors[0])

    def spawn(self, stdout):
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",
             os.path.join(BIN, "handoffctl"), "--dir", self.dir, "status",
             "--watch", "3600"],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_reader_that_goes_away_ends_it(self):
        """At once, and not only when the hour is over."""
        self.server()
        out, into = os.pipe()
        process = self.spawn(into)
        os.close(into)
        self.assertTrue(os.read(out, 65536).startswith(b"server "))
        self.assertEqual(process.poll(), None)
        os.close(out)
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_terminal_is_cleared(self):
        self.server()
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        process = self.spawn(slave)
        os.close(slave)
        seen = b""
        while b"no handoff yet" not in seen:
            seen += os.read(master, 65536)
        self.assertEqual(seen.count(b"\x1b[H\x1b[J"), 1)
        self.assertTrue(seen.startswith(b"\x1b[H\x1b[J"), seen)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE), -signal.SIGINT)

    def test_output_that_fails(self):
        self.server()
        with open("/dev/full", "wb") as full:
            process = self.spawn(full)
        self.assertEqual(process.wait(DEADLINE), 1)

    def test_frames_are_apart(self):
        """Not faster than asked for."""
        self.server()
        watch = self.watch("30")
        watch.expect("^no handoff yet$")
        frames = len(watch.lines)
        for _ in range(5):
            self.ok("status")
        self.assertEqual(len(watch.lines), frames)
        watch.kill()


if __name__ == "__main__":
    main()
