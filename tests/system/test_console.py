# SPDX-License-Identifier: MIT
"""The operator's lines: each client receives exactly the lines that are meant
for it, in order, in every model, whichever process serves it."""
import os
import stat
import threading

from harness import SystemTest, main, wait_until

CLIENTS = 50
LINES = 400


class Listener(threading.Thread):
    """A client that talks to echo and keeps all the lines that come. Whether a
    line is an echo shows its first letter."""

    def __init__(self, test, address, number):
        super().__init__()
        self.sock = test.connect(address)
        self.number = number
        self.echoes, self.said = [], []
        self.error = None

    def run(self):
        data = b""
        sent = 0
        try:
            while not self.said or self.said[-1] != "end":
                if sent == len(self.echoes):
                    sent += 1
                    self.sock.sendall(b"echo %d %d\n" % (self.number, sent))
                chunk = self.sock.recv(65536)
                if not chunk:
                    raise EOFError
                data += chunk
                *lines, data = data.split(b"\n")
                for line in lines:
                    text = line.decode()
                    (self.echoes if text.startswith("echo ")
                     else self.said).append(text)
        except (OSError, EOFError) as error:
            self.error = error


class Console(SystemTest):
    def listeners(self, address):
        found = []
        for number in range(1, CLIENTS + 1):
            found.append(Listener(self, address, number))
            self.wait_peer("server", connections=number)
        for listener in found:
            listener.start()
        return found

    def write(self, path, lines):
        with open(path, "w", encoding="ascii") as pipe:
            for line in lines:
                pipe.write(line + "\n")
                pipe.flush()

    def plan(self, first, last):
        """Lines, and what each client is to hear of them."""
        lines, heard = [], {n: [] for n in range(1, CLIENTS + 1)}
        for number in range(first, last):
            if number % 3:
                to = number * 7 % CLIENTS + 1
                lines.append(f"@{to} line {number}")
                heard[to].append(f"line {number}")
            else:
                lines.append(f"line {number}")
                for each in heard.values():
                    each.append(f"line {number}")
        return lines, heard

    def check(self, listeners, *heard):
        for listener in listeners:
            listener.join()
            self.assertIsNone(listener.error)
            wanted = [line for part in heard for line in part[listener.number]]
            self.assertEqual(listener.said, wanted + ["end"])
            self.assertEqual(listener.echoes, [
                f"echo {listener.number} {n + 1}"
                for n in range(len(listener.echoes))])

    def open(self, *model):
        pipes = [os.path.join(self.base, name) for name in ("one", "two")]
        server = self.server(*model, "--console", pipes[0])
        alternate = self.standby(*model, "--console", pipes[1])
        return server, alternate, pipes

    def across(self, *model):
        """Lines all the while, through the pipe of either peer, and handoffs
        there and back."""
        server, _, pipes = self.open(*model)
        listeners = self.listeners(server.address)
        self.wait_peer("alt", held=CLIENTS)
        heard = []
        for pipe, first in zip(pipes, (0, LINES)):
            lines, part = self.plan(first, first + LINES)
            heard.append(part)
            writer = threading.Thread(target=self.write, args=(pipe, lines))
            writer.start()
            for _ in range(3):
                self.assertIn(" 0 left behind", self.ok("maintenance"))
                self.assertIn(" 0 left behind", self.ok("ready", "--silent"))
            writer.join()
            last = lines[-1].split(" ", 1)[1] if "@" in lines[-1] else lines[-1]
            wait_until(lambda: any(last in listener.said
                                   for listener in listeners), last)
        self.ok("say", "end")
        self.check(listeners, *heard)

    def test_loop(self):
        self.across("--model", "loop")

    def test_workers(self):
        self.across("--workers", 3)

    def test_thread(self):
        self.across("--model", "thread")

    def test_fork(self):
        self.across("--model", "fork")

    def killed(self, *model):
        """The peer that serves dies while the other one is spoken to."""
        server, alternate, pipes = self.open(*model)
        listeners = self.listeners(server.address)
        self.wait_peer("alt", held=CLIENTS)
        lines, heard = self.plan(0, LINES)
        writer = threading.Thread(target=self.write, args=(pipes[1], lines))
        writer.start()
        wait_until(lambda: listeners[0].said, "the first line")
        server.kill()
        alternate.expect(": owner: .* died")
        writer.join()
        self.write(pipes[1], ["end"])
        self.check(listeners, heard)

    def test_killed_loop(self):
        self.killed("--model", "loop")

    def test_killed_workers(self):
        self.killed("--workers", 3)

    def test_killed_thread(self):
        self.killed("--model", "thread")

    def test_killed_fork(self):
        self.killed("--model", "fork")

    def test_both_homes(self):
        """After a READY some connections are still with the alternate."""
        server, alternate, pipes = self.open()
        old = self.connect(server.address)
        self.assert_echo(old)
        self.wait_peer("alt", held=1)
        self.ok("maintenance")
        self.ok("ready")
        new = self.connect(server.address)
        self.assert_echo(new)
        self.wait_peer("server", connections=1)
        self.wait_peer("alt", connections=1)
        for number, pipe in enumerate(pipes):
            self.write(pipe, [f"to all {number}", "@1 old", "@2 new"])
            for sock, who in ((old, b"old"), (new, b"new")):
                wanted = b"to all %d\n%s\n" % (number, who)
                self.assertEqual(self.receive(sock, len(wanted)), wanted)
        self.assertRegex(self.ok("say", "@list"),
                         r"(?s)1 127\.0\.0\.1:\d+ alt\n2 \S+ server\n")

    def test_answers(self):
        server = self.server("--console", os.path.join(self.base, "pipe"))
        pipe = os.path.join(self.base, "pipe")
        self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))
        sock = self.connect(server.address)
        self.assert_echo(sock)
        for line, answer in (
                ("@2 hello", "console: say: there is no connection 2"),
                ("@x hello", "console: say: '@x hello': want TEXT"),
                ("@1x hello", "console: say: '@1x hello': want TEXT"),
                ("@0 hello", "console: say: '@0 hello': want TEXT"),
                ("@99999999999999999999 x", "console: say: '@999.*want TEXT"),
                ("x" * 5000, "console: .*too long|console: .*4096|dropped"),
                ("@list", r"console: 1 connection$")):
            self.write(pipe, [line])
            server.expect(answer)
        server.expect(r"console: connection 1 127\.0\.0\.1:\d+ server")
        self.write(pipe, ["@1", "@1 ", "@@all", "", "last"])
        wanted = b"\n\n@all\n\nlast\n"
        self.assertEqual(self.receive(sock, len(wanted)), wanted)
        self.assertIn("there is no connection 7", self.refused("say", "@7", "x"))
        self.assertIn("at most 4095", self.refused("say", "x" * 4096))
        self.assertEqual(self.ok("say", "x" * 4095), "said\n")
        self.assertEqual(self.receive(sock, 4096), b"x" * 4095 + b"\n")

    def test_nobody_hears_it(self):
        server = self.server()
        self.standby()
        nobody = "said, but no client is connected\n"
        self.assertEqual(self.ok("say", "hello"), nobody)
        sock = self.connect(server.address)
        self.assert_echo(sock)
        self.ok("maintenance")
        self.assertEqual(self.ok("say", "hello"), "said\n")
        self.assertEqual(self.receive(sock, 6), b"hello\n")
        sock.close()
        self.wait_peer("alt", connections=0)
        self.assertEqual(self.ok("say", "hello"), nobody)

    def test_no_pipe(self):
        path = os.path.join(self.base, "file")
        with open(path, "w", encoding="ascii") as file:
            file.write("precious\n")
        program = self.start("server", "--dir", self.dir, "--listen",
                             "127.0.0.1:0", "--console", path)
        self.assertEqual(program.wait(), 1)
        self.assert_one_line("\n".join(program.errors))
        self.assertIn(path, program.errors[0])

    def idle(self, *model):
        """Who has never said anything hears it too, and who reads nothing
        holds nobody up for long."""
        server = self.server(*model)
        deaf = self.connect(server.address)
        idle = self.connect(server.address)
        self.wait_peer("server", connections=2)
        line = "x" * 4000
        for number in range(40):
            wait_until(lambda: self.ctl("say", f"{number}{line}")[0] == 0,
                       "room for a line")
            wanted = f"{number}{line}\n".encode()
            self.assertEqual(self.receive(idle, len(wanted)), wanted)
        self.assert_echo(idle)
        deaf.close()

    def test_idle_loop(self):
        self.idle("--model", "loop")

    def test_idle_thread(self):
        self.idle("--model", "thread")

    def test_idle_fork(self):
        self.idle("--model", "fork")


if __name__ == "__main__":
    main()
