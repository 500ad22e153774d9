# SPDX-License-Identifier: MIT
"""What programs write of themselves: each line begins with the time, and the
logs of two peers can be joined."""
import os
import re
import subprocess

from harness import BIN, STAMP, SystemTest, main
from test_observe import Observed


class Times(SystemTest):
    """Lines begin with the time, unless what they are written to has it."""

    def test_programs(self):
        server, alt = self.server("--verbose"), self.standby("--verbose")
        client = self.start("client", "--connect", server.address,
                            stdin=subprocess.PIPE)
        client.expect_error(": connected to ")
        self.ok("maintenance")
        alt.expect(": owner: ")
        self.ok("ready", "--silent")
        for program in (server, alt):
            self.assertEqual(program.stop(), 0)
        client.kill()
        for program in (server, alt, client):
            self.assertEqual(program.stamped,
                             len(program.lines) + len(program.errors),
                             program.output())
            self.assertGreater(program.stamped, 0)

    def test_journal(self):
        """Standard error is the journal's here, and standard output not."""
        ours, journal = os.pipe()
        status = os.fstat(journal)
        with subprocess.Popen(
                [os.path.join(BIN, "server"), "--dir", self.dir, "--listen",
                 "127.0.0.1:0", "--verbose", "--trace"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=journal, env=os.environ | {"JOURNAL_STREAM":
                                                  f"{status.st_dev}:"
                                                  f"{status.st_ino}"}) as done:
            os.close(journal)
            for line in done.stdout:
                self.assertRegex(line.decode(), STAMP)
                if b": owner: " in line:
                    break
            done.terminate()
            done.stdout.read()
        with open(ours, encoding="utf-8") as errors:
            lines = errors.readlines()
        for line in lines:
            self.assertRegex(line, r"\Aserver: ")
        self.assertGreater(len(lines), 0)


class Logs(Observed):
    def test_the_logs_of_both_can_be_joined(self):
        server = self.server("--trace")
        alt = self.standby("--trace")
        socks = [self.connect(server.address) for _ in range(3)]
        for sock in socks:
            self.assert_echo(sock)
        self.wait_peer("alt", held=3)
        self.ok("maintenance")
        line = (r"3 connections, 1 listener %s \(pid \d+\) in (\S+) ms; "
                r"they carried 0 bytes unread, 0 unsent; 0 left behind$")
        gave = server.expect_error("handoff 2: gave " + line % "to alt")
        took = alt.expect_error("handoff 2: took " + line % "from server")
        self.assertEqual(gave[1], took[1])
        for program, what in ((server, "given to alt"),
                              (alt, "taken from server")):
            numbers = [int(number) for number in re.findall(
                rf"handoff 2: connection (\d+): {what} ",
                "\n".join(program.errors))]
            self.assertEqual(sorted(numbers), [1, 2, 3])
        alt.kill()
        server.expect_error(r"handoff 3: alt \(pid \d+\) is gone: took over "
                            "3 connections, 1 listener in ")
        self.assertEqual(sorted(re.findall(
            r"handoff 3: connection (\d+): inherited from alt ",
            "\n".join(server.errors))), ["1", "2", "3"])
        self.assert_echo(socks[0], b"again")
        socks[0].close()
        server.expect_error("^server: connection [123]: ends after 11 bytes "
                            "received, 11 sent$")

    def test_one_line_without_trace(self):
        server = self.server("--verbose")
        alt = self.standby("--verbose")
        for _ in range(3):
            self.assert_echo(self.connect(server.address))
        self.wait_peer("alt", held=3)
        self.ok("maintenance")
        server.expect_error("handoff 2: gave ")
        alt.expect_error("handoff 2: took ")
        for program in (server, alt):
            self.assertEqual(sum("handoff" in each
                                 for each in program.errors), 1)


if __name__ == "__main__":
    main()
