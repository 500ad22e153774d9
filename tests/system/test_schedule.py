# SPDX-License-Identifier: MIT
"""The schedule service: its protocol, how it starts, and logins, which move
with a handoff and survive the death of a process."""
import os
import re
import shutil
import socket
import subprocess
import time

from harness import BIN, DEADLINE, main
from students import DAYS, MODELS, PLAIN, Client, ScheduleTest

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
DAY_MAX, LINE_MAX = 64, 256


class Protocol(ScheduleTest):
    def test_commands(self):
        client = self.client(self.schedule())
        self.assertEqual(client.ok("LOGIN anna"), [])
        monday = ["monday 09:30 algebra r101"]
        wednesday = ["wednesday 14:00 physics hall-2"]
        self.assertEqual(client.ok("DAY monday"), monday)
        self.assertEqual(client.ok("day MONDAY\r"), monday)
        self.assertEqual(client.ok("  Day\t wednesday # soon"), wednesday)
        self.assertEqual(client.ok("DAY friday"), [])
        self.assertEqual(client.ok("NEXT monday 09:29"), monday)
        self.assertEqual(client.ok("NEXT monday 09:30"), wednesday)
        self.assertEqual(client.ok("NEXT sunday 23:59"), monday)
        self.assertEqual(client.ok("ADD Friday 10:15 art r9"), [])
        self.assertEqual(client.ok("DAY friday"), ["friday 10:15 art r9"])
        self.assertEqual(client.ok("login bert"), [])
        self.assertEqual(client.ok("DAY monday"), [])
        self.assertEqual(client.ok("NEXT monday 00:00"),
                         ["sunday 23:59 sleep home"])
        self.assertEqual(client.ok("LOGIN nobody-yet"), [])
        self.assertEqual(client.ok("NEXT"), [])
        self.assertEqual(client.ok("quit"), [])
        client.ended()
        self.assert_saved("anna friday 10:15 art r9")

    def test_refused(self):
        client = self.client(self.schedule())
        for line in ("DAY monday", "NEXT", "NEXT monday 09:30",
                     "ADD friday 10:15 art r9"):
            self.assertIn("LOGIN name is wanted", client.refused(line))
        client.ok("LOGIN anna")
        for line, words in (
                ("", "a command is wanted"), ("# hello", "a command"),
                ("HELLO", "unknown command 'HELLO'"),
                ("DAYS monday", "unknown command 'DAYS'"),
                ("LOGIN", "LOGIN name is wanted"),
                ("LOGIN a b", "LOGIN name is wanted"),
                ("LOGIN " + "x" * 32, "word 2 is longer than 31 bytes"),
                ("LOGIN a\0b", "word 2 has a control character"),
                ("LOGIN #a", "LOGIN name is wanted"),
                ("DAY", "DAY day is wanted"),
                ("DAY mon", "'mon' is not a day"),
                ("NEXT monday", "NEXT day time is wanted"),
                ("NEXT monday 9:30", "'9:30' is not a time"),
                ("ADD friday 10:15 art", "ADD day time course room is wanted"),
                ("ADD friday 10:15 art r9 x", "ADD day time course room"),
                ("ADD friday 24:00 art r9", "'24:00' is not a time"),
                ("ADD fri 10:15 art r9", "'fri' is not a day"),
                ("ADD friday 10:15 a\x1b[2J r9", "word 4 has a control"),
                ("QUIT now", "QUIT is wanted"),
                ("x" * LINE_MAX, "longer than 256 bytes"),
                ("x" * 500000, "longer than 256 bytes")):
            self.assertIn(words, client.refused(line), line[:40])
        longest = "DAY" + " " * (LINE_MAX - 10) + "monday"
        self.assertEqual(len(longest), LINE_MAX - 1)
        self.assertEqual(len(client.ok(longest)), 1)
        self.assertEqual(len(client.ok("DAY monday")), 1)
        self.assert_saved()

    def test_pipelined(self):
        client = self.client(self.schedule())
        client.send("LOGIN anna\nNONSENSE\nDAY monday\n" + "y" * 300 + "\n"
                    "ADD monday 10:30 art r9\nDAY monday\nQUIT\nDAY monday\n")
        self.assertEqual(client.answer(), [])
        self.assertIn("NONSENSE", client.answer())
        self.assertEqual(len(client.answer()), 1)
        self.assertIn("longer than", client.answer())
        self.assertEqual(client.answer(), [])
        self.assertEqual(len(client.answer()), 2)
        self.assertEqual(client.answer(), [])
        client.ended()

    def test_byte_by_byte(self):
        client = self.client(self.schedule("--model", "thread"))
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"LOGIN anna\nDAY monday\n" + b"z" * 257 + b"\nNEXT\n":
            client.send(bytes([byte]))
        self.assertEqual(client.answer(), [])
        self.assertEqual(len(client.answer()), 1)
        self.assertIn("longer than", client.answer())
        self.assertEqual(len(client.answer()), 1)

    def test_line_cut_off(self):
        """Half a request is none, even if it looks like a whole one."""
        client = self.client(self.schedule(), "anna")
        client.send("ADD friday 10:15 art r9")
        client.sock.shutdown(socket.SHUT_WR)
        client.ended()
        client = self.client(self.programs[0], "anna")
        client.send("DAY monday\nDAY wedn")
        client.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(len(client.answer()), 1)
        client.ended()
        self.assert_saved()

    def test_next_is_local_time(self):
        """In a zone in which it is not the same day or hour as here."""
        self.write("".join(f"anna {day} {hour:02}:30 h{hour} {day}\n"
                           for day in DAYS for hour in range(24)))
        before = os.environ.get("TZ")
        os.environ["TZ"] = "XXX-11:17"
        self.addCleanup(time.tzset)
        self.addCleanup(lambda: os.environ.update(TZ=before) if before
                        else os.environ.pop("TZ"))
        time.tzset()

        def expected():
            now = time.localtime()
            hours = now.tm_wday * 24 + now.tm_hour + (now.tm_min >= 30)
            day, hour = hours // 24 % 7, hours % 24
            return [f"{DAYS[day]} {hour:02}:30 h{hour} {DAYS[day]}"]
        client = self.client(self.schedule(), "anna")
        early = expected()
        answer = client.ok("NEXT")
        self.assertIn(answer, (early, expected()))

    def test_verbose(self):
        server = self.schedule("--verbose")
        client = self.client(server, "anna")
        client.ok("DAY monday")
        server.expect("^connection 1: nobody: LOGIN anna$")
        server.expect("^connection 1: anna: DAY monday$")

    def slow_reader(self, model):
        """Answers by far more than the buffers hold, and a handoff in the
        midst of them."""
        course = "x" * 31
        self.write("".join(f"anna sunday 10:{i % 60:02} {course} {course}\n"
                           for i in range(DAY_MAX)))
        server, _ = self.both(*MODELS[model])
        client = self.client(server, "anna")
        count = 3000
        client.send("DAY sunday\n" * count)
        for number in range(count):
            answer = client.answer()
            self.assertEqual(len(answer), DAY_MAX)
            self.assertRegex(answer[-1], f"^sunday 10:59 {course} {course}$")
            if number == count // 3:
                self.ok("maintenance")
            if number == 2 * count // 3:
                self.ok("ready", "--silent")
        self.assertIn("64 courses already", client.refused(
            "ADD sunday 11:00 art r9"))

    def test_slow_reader_loop(self):
        self.slow_reader("loop")

    def test_slow_reader_thread(self):
        self.slow_reader("thread")

    def test_slow_reader_fork(self):
        self.slow_reader("fork")

    def test_slow_reader_workers(self):
        self.slow_reader("workers")


class Manual(ScheduleTest):
    def test_example(self):
        """The dialogue in schedule(7), with the data of the examples."""
        with open(os.path.join(SOURCE, "docs/man/schedule.7"),
                  encoding="utf-8") as file:
            text = file.read()
        shutil.copy(os.path.join(SOURCE, "examples/schedule/schedule.txt"), self.data)
        match = re.search(r"^\$ client .*\n((.*\n)*?)\.Ed$", text, re.M)
        lines = match[1].splitlines()
        asked = [line for line in lines
                 if line.split()[0] in ("LOGIN", "DAY", "NEXT", "ADD", "QUIT")]
        told = [line for line in lines if line not in asked]
        self.assertGreater(min(len(asked), len(told)), 5)
        server = self.schedule()
        done = subprocess.run(
            [os.path.join(BIN, "client"), "--connect", server.address],
            input="".join(line + "\n" for line in asked), text=True,
            stdout=subprocess.PIPE, timeout=DEADLINE, check=True,
            stderr=subprocess.DEVNULL)
        self.assertEqual(done.stdout.splitlines(), told)


class Start(ScheduleTest):
    def start_peer(self, program, *options):
        more = ("--listen", "127.0.0.1:0") if program == "server" else ()
        return self.start(program, "--dir", self.dir, *more, *options)

    def test_usage(self):
        for program in ("server", "alt_server"):
            for options, words in (
                    (("--service", "schedule"), "--data"),
                    (("--data", self.data), "--service schedule"),
                    (("--service", "echo", "--data", self.data),
                     "--service schedule"),
                    (("--service", "calc"), "echo or schedule"),
                    (("--service", ""), "empty"),
                    (("--service", "schedule", "--data", ""), "empty"),
                    (("--service", "echo", "--service", "echo"), "twice"),
                    (self.options("--data", self.data), "twice")):
                self.assert_not_started(self.start_peer(program, *options),
                                        words, code=2)

    def test_damaged(self):
        for text, words in (
                (PLAIN + "anna\n", "line 6: 1 word: "),
                (PLAIN + "\n\nanna mnday 09:30 art r9\n",
                 "line 8: 'mnday' is not a day: monday to sunday"),
                (PLAIN.replace("09:30", "9:30"),
                 "line 3: '9:30' is not a time: 00:00 to 23:59"),
                (PLAIN + "anna friday 10:15 art\0 r9\n",
                 "line 6: word 4 has a control character")):
            self.write(text)
            for program in ("server", "alt_server"):
                self.assert_not_started(
                    self.start_peer(program, *self.options()),
                    f"handoffd: {self.data}: {words}")
            self.assertEqual(self.read(), text)
        self.assertFalse(os.path.exists(self.dir))

    def test_no_file(self):
        long_path = os.path.join(self.base, *["x" * 200] * 3)
        for path, words in (
                (self.data + "s", "No such file or directory: make it first"),
                (self.base, "not a regular file"),
                ("/dev/zero", "not a regular file"),
                (os.path.join(self.data, "x"), "Not a directory"),
                (long_path, "No such file or directory: make it first")):
            self.assert_not_started(
                self.start_peer("server", "--service", "schedule", "--data",
                                path), words, path[-40:])
        self.assertEqual(os.listdir(self.base), ["plan.txt"])

    def test_no_permission(self):
        user = self.another_user()
        os.chmod(self.data, 0)
        self.assert_not_started(
            self.start("server", "--dir", self.dir, "--listen", "127.0.0.1:0",
                       *self.options(), user=user),
            self.data, "Permission denied")

    def test_another_service(self):
        server = self.schedule()
        client = self.client(server, "anna")
        self.assert_not_started(self.start_peer("alt_server"), "schedule",
                                "echo")
        server.expect(": refused: ")
        self.assertEqual(len(client.ok("DAY monday")), 1)
        # A standby whose file is damaged does not start either.
        with open(self.data + ".alt", "w", encoding="utf-8") as file:
            file.write("anna\n")
        self.assert_not_started(
            self.start_peer("alt_server", "--service", "schedule", "--data",
                            self.data + ".alt"), "line 1: ")
        self.assertEqual(len(client.ok("DAY monday")), 1)
        self.alternate()
        self.ok("maintenance")
        self.assertEqual(len(client.ok("DAY monday")), 1)


class Handoffs(ScheduleTest):
    def across(self, model):
        server, alt = self.both(*MODELS[model])
        students = [self.client(server, f"s{number}") for number in range(10)]
        stranger = self.client(server)
        half = self.client(server, "anna")
        too_long = self.client(server, "anna")
        stages = (("maintenance",), ("ready", "--silent"), ("maintenance",),
                  ("ready",))
        for turn, command in enumerate(stages):
            # In the midst of a request, of one line that is too long, and
            # before a LOGIN.
            half.send("DAY wedn")
            too_long.send("x" * 300)
            self.ok(*command)
            for number, student in enumerate(students):
                course = f"{DAYS[turn]} 08:{number:02} c{turn} r{number}"
                self.assertEqual(student.ok("DAY " + DAYS[turn]), [])
                self.assertEqual(student.ok("ADD " + course), [])
                self.assertEqual(student.ok("DAY " + DAYS[turn]), [course])
            half.send("esday\n")
            self.assertEqual(half.answer(), ["wednesday 14:00 physics hall-2"])
            too_long.send("x\nDAY monday\n")
            self.assertIn("longer than", too_long.answer())
            self.assertEqual(len(too_long.answer()), 1)
            self.assertIn("LOGIN", stranger.refused("NEXT"))
        # Those who are there stay with the alternate; new ones come home.
        self.wait_peer("alt", connections=13)
        late = self.client(server, "s3")
        self.assertEqual(late.ok("DAY monday"), ["monday 08:03 c0 r3"])
        self.assertEqual(self.peer("server")["connections"], 1)
        late.ok("ADD sunday 12:00 art r9")
        self.assertEqual(students[3].ok("DAY sunday"),
                         ["sunday 12:00 art r9"])
        students[3].ok("ADD sunday 13:00 law r9")
        self.assertEqual(len(late.ok("DAY sunday")), 2)
        self.assertEqual(self.read().count("\n"), 5 + 4 * 10 + 2)
        self.assertEqual((server.process.poll(), alt.process.poll()),
                         (None, None))

    def test_across_loop(self):
        self.across("loop")

    def test_across_thread(self):
        self.across("thread")

    def test_across_fork(self):
        self.across("fork")

    def test_across_workers(self):
        self.across("workers")

    def killed(self, model):
        """Deaths in turn: the next one goes on, without a LOGIN."""
        server, alt = self.both(*MODELS[model])
        address = server.address
        students = [Client(self, address, f"s{n}") for n in range(10)]
        half = Client(self, address, "anna")
        expected = []
        for turn in range(6):
            self.wait_peer("alt" if turn % 2 == 0 else "server", held=11)
            half.send("NEXT mon")
            for number, student in enumerate(students):
                course = f"{DAYS[turn]} 08:{number:02} c{turn} r{number}"
                student.ok("ADD " + course)
                expected.append(f"s{number} {course}")
            (alt if turn % 2 else server).kill()
            self.assert_saved(*expected)
            for number, student in enumerate(students):
                self.assertEqual(
                    student.ok("DAY " + DAYS[turn]),
                    [f"{DAYS[turn]} 08:{number:02} c{turn} r{number}"])
            half.send("day 09:29\n")
            self.assertEqual(half.answer(), ["monday 09:30 algebra r101"])
            if turn % 2 == 0:
                server = self.standby(*self.options(
                    "--listen", address, *MODELS[model]), program="server")
            else:
                alt = self.alternate(*MODELS[model])

    def test_killed_loop(self):
        self.killed("loop")

    def test_killed_thread(self):
        self.killed("thread")

    def test_killed_fork(self):
        self.killed("fork")

    def test_killed_workers(self):
        self.killed("workers")

    def test_iterative(self):
        """One student after the other."""
        server, _ = self.both("--model", "iterative")
        first, second = (self.connect(server.address) for _ in range(2))
        first.sendall(b"LOGIN anna\n")
        self.assertEqual(self.receive(first, 5), b"OK 0\n")
        second.sendall(b"LOGIN bert\nDAY monday\n")
        self.wait_peer("alt", held=1)
        self.ok("maintenance")
        first.sendall(b"DAY monday\nQUIT\n")
        answer = b"OK 1\nmonday 09:30 algebra r101\nOK 0\n"
        self.assertEqual(self.receive(first, len(answer) + 1), answer)
        first.close()
        self.assertEqual(self.receive(second, 10), b"OK 0\nOK 0\n")

    def test_new_start(self):
        """Both end, and the file is all that is left."""
        server, alt = self.both()
        self.client(server, "anna").ok("ADD friday 10:15 art r9")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(alt.stop(), 0)
        client = self.client(self.schedule())
        self.assertIn("LOGIN", client.refused("DAY friday"))
        client.ok("LOGIN anna")
        self.assertEqual(client.ok("DAY friday"), ["friday 10:15 art r9"])


if __name__ == "__main__":
    main()
