# SPDX-License-Identifier: MIT
"""Sessions on the server, with the client that was written from the protocol's
page and with plain ones beside it: cut connections, handoffs and deaths in each
model, absent sessions and their limits, guesses, an address for sessions only,
a program that had none, and the schedule, whose student stays logged in."""
import contextlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time

from harness import SystemTest, main, wait_until
from students import MODELS, Client, ScheduleTest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../session"))
import foreign  # noqa: E402

ROUNDS = 10 if os.environ.get("HANDOFF_LONG") == "1" else 3


class SessionTest(SystemTest):
    """`address` may change while a session lives."""

    def begin(self, *options):
        self.owner, self.other = self.pair("--sessions", *options)
        self.address = self.owner.address

    def dial(self):
        sock = self.connect(self.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def session(self, **how):
        return foreign.Session(self.dial, **how)

    def reset(self, session):
        """As `ss -K` does: both ends learn of it, in the midst of anything."""
        session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
        session.cut()

    def echo(self, session, data):
        session.write(data)
        self.assertEqual(session.read(len(data)), data)

    def plain_echo(self, sock, data):
        sock.sendall(data)
        got = b""
        while len(got) < len(data):
            more = sock.recv(65536)
            self.assertTrue(more, "a plain client was cut off")
            got += more
        self.assertEqual(got, data)

    def connections(self):
        return [line for line in self.ok("status", "--connections")
                .splitlines()[1:] if line]

    def hand_over(self, there="alt", back="server"):
        self.ok("maintenance")
        self.wait_peer(there, role="owner")
        self.ok("ready", "--silent")
        self.wait_peer(back, role="owner")


class Models(SessionTest):
    """Both kinds of clients on one address, whatever serves them."""

    def exchange(self, sessions, plain):
        for session in sessions:
            self.echo(session, random.randbytes(random.randrange(1, 9000)))
        for sock in plain:
            self.plain_echo(sock, random.randbytes(3000))

    def run_in(self, *options):
        self.begin(*options)
        sessions = [self.session() for _ in range(8)]
        plain = [self.dial() for _ in range(3)]
        self.exchange(sessions, plain)
        for _ in range(ROUNDS):
            # bytes are on their way in both directions
            for session in sessions[:4]:
                session.write(random.randbytes(5000))
                self.reset(session)
            self.hand_over()
            for session in sessions[:4]:
                self.assertEqual(len(session.read(5000)), 5000)
            self.exchange(sessions, plain)
        self.assertTrue(all(s.resumes >= ROUNDS for s in sessions[:4]))
        self.assertTrue(all(s.resumes == 0 for s in sessions[4:]))
        self.owner.signal(signal.SIGKILL)
        self.owner.wait()
        self.wait_peer("alt", role="owner")
        self.reset(sessions[5])
        self.exchange(sessions, plain)
        for session in sessions:
            session.end()
            session.finish()
        for sock in plain:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(1), b"")
        wait_until(lambda: not self.connections(), "all to be gone")

    def test_loop(self):
        self.run_in(*MODELS["loop"])

    def test_thread(self):
        self.run_in(*MODELS["thread"])

    def test_fork(self):
        self.run_in(*MODELS["fork"])

    def test_workers(self):
        self.run_in(*MODELS["workers"])

    def test_what_was_sent_is_the_same_after_a_death(self):
        """The owner dies while much is on its way."""
        for name, model in MODELS.items():
            with self.subTest(model=name):
                self.dir = os.path.join(self.base, name)
                self.begin(*model)
                session = self.session()
                data = random.randbytes(300000)
                at = 0
                for part in range(0, len(data), 30000):
                    session.write(data[part:part + 30000])
                    if part == 90000:
                        self.owner.signal(signal.SIGKILL)
                    if part == 180000:
                        self.reset(session)
                    some = session.read(20000)
                    self.assertEqual(some, data[at:at + 20000])
                    at += 20000
                self.assertEqual(session.read(len(data) - at), data[at:])
                session.end()
                session.finish()
                self.owner.wait()
                self.other.stop()


class Absent(SessionTest):
    def test_a_session_ends_after_its_time(self):
        self.begin("--session-timeout", 400)
        session = self.session()
        self.assertEqual(session.timeout_ms, 400)
        self.echo(session, b"one")
        self.reset(session)
        wait_until(lambda: not self.connections(), "the session to end")
        with self.assertRaises(foreign.Refused) as caught:
            session.pump()
        self.assertEqual(caught.exception.args[0], 1)

    def test_the_oldest_goes(self):
        self.begin("--session-max", 2)
        sessions = []
        for count in range(1, 4):
            sessions.append(self.session())
            self.echo(sessions[-1], b"one")
            sessions[-1].cut()
            wait_until(lambda n=min(count, 2):
                       len(self.connections()) == n, "its end to be seen")
        with self.assertRaises(foreign.Refused):
            sessions[0].pump()
        for session in sessions[1:]:
            self.echo(session, b"two")

    def test_they_lock_nobody_out(self):
        """One client leaves more of them than there are descriptors."""
        server = self.server("--sessions", limit=64)
        server.expect_error(r"session_max.* RLIMIT_NOFILE, which is 64: ")
        self.address = server.address
        sessions = []
        for _ in range(100):
            sessions.append(self.session())
            self.echo(sessions[-1], b"one")
            sessions[-1].cut()
        server.expect_error(r": accept: Too many open files: the oldest of "
                            r"the sessions .* end to make room")
        self.plain_echo(self.dial(), b"and others are served")
        for session in sessions[-5:]:
            self.echo(session, b"two")
        with self.assertRaises(foreign.Refused):
            sessions[0].pump()
        told = [line for line in server.errors if "make room" in line]
        self.assertLess(len(told), 5, server.output())
        self.assertNotIn("backlog", server.output())

    def test_absent_ones_move_and_survive(self):
        self.begin()
        sessions = [self.session() for _ in range(5)]
        for session in sessions:
            self.echo(session, b"hello")
            session.cut()
        self.hand_over()
        self.owner.signal(signal.SIGKILL)
        self.owner.wait()
        self.wait_peer("alt", role="owner")
        for session in sessions:
            self.echo(session, b"and again")
            self.assertEqual(session.resumes, 1)


class Hostile(SessionTest):
    def ask(self, sock, kind, payload):
        sock.sendall(foreign.frame(kind, 0, payload))
        head = self.take(sock, 8)
        return head[0], self.take(sock, int.from_bytes(head[1:4], "big"))

    def take(self, sock, size):
        data = b""
        while len(data) < size:
            more = sock.recv(size - len(data))
            self.assertTrue(more)
            data += more
        return data

    def resume(self, sock, number, token, received=0, sent=0):
        kind, payload = self.ask(sock, foreign.RESUME, struct.pack(
            ">Q16sQQ", number, token, received, sent))
        self.assertEqual(kind, foreign.REFUSED)
        return int.from_bytes(payload[:2], "big"), payload[2:]

    def test_guesses_are_limited(self):
        self.begin()
        session = self.session()
        self.echo(session, b"one")
        sock = self.dial()
        sock.sendall(foreign.PREFACE)
        # of sessions that are not there: many clients behind one address may
        # come back to a service that was lost
        for i in range(1100):
            unknown = self.resume(sock, session.number + 1000 + i, bytes(16))
            self.assertEqual(unknown[0], 1)
        # of a session that is there: the very same answer
        for _ in range(1000):
            self.assertEqual(self.resume(sock, session.number, bytes(16)),
                             unknown)
        self.assertEqual(self.resume(sock, session.number, bytes(16))[0], 4)
        sock = self.dial()
        sock.sendall(foreign.PREFACE)
        self.assertEqual(self.resume(sock, session.number, session.token)[0],
                         4)
        self.echo(session, b"two")

    def test_positions_in_the_future(self):
        self.begin()
        session = self.session()
        self.echo(session, b"one")
        sock = self.dial()
        sock.sendall(foreign.PREFACE)
        self.assertEqual(self.resume(sock, session.number, session.token,
                                     received=99)[0], 5)
        self.assertEqual(self.resume(sock, session.number, session.token,
                                     sent=1 << 40)[0], 5)
        self.echo(session, b"two")
        self.assertEqual(session.resumes, 0)

    def test_a_second_client_takes_over(self):
        """With the right token and positions; the first one is cut off."""
        self.begin()
        session = self.session()
        self.echo(session, b"one")
        first = session.sock
        session.sock = None
        session.connect()
        self.echo(session, b"two")
        self.assertEqual(first.recv(1), b"")

    def test_a_token_is_nowhere(self):
        self.begin("--verbose", "--trace")
        sessions = [self.session() for _ in range(3)]
        for session in sessions:
            self.echo(session, b"hello")
        sessions[0].cut()
        path = os.path.join(self.base, "dump.json")
        self.ok("dump", path)
        with open(path, encoding="utf-8") as file:
            text = file.read() + self.ok("status", "--json") + self.ok(
                "status", "--connections") + self.owner.output()
        for session in sessions:
            self.assertNotIn(session.token.hex(), text.replace(" ", ""))
        self.assertIn("session", text)

    def test_frames_that_may_not_come(self):
        self.begin()
        kept = self.session()
        for wrong in (foreign.frame(foreign.NEW, 0, bytes(8)),
                      foreign.frame(foreign.ACK, 12345),
                      foreign.frame(foreign.WELCOME, 0, bytes(45)),
                      bytes([99]) * 8, foreign.frame(foreign.DATA),
                      struct.pack(">II", 1 << 24 | 0xffffff, 0)):
            session = self.session()
            session.sock.sendall(wrong)
            with self.assertRaises(foreign.Aborted):
                while True:
                    session.receive()
                    session.decode()
            self.echo(kept, b"still")
        wait_until(lambda: len(self.connections()) == 1, "them to end")


class Greeting(SessionTest):
    """The chat greets first."""

    def chat(self, *options):
        self.address = f"127.0.0.1:{self.free_port()}"
        program = self.start("chat", "--dir", self.dir, "--listen",
                             self.address, "--sessions", *options)
        program.expect(": owner: ")
        return program

    def free_port(self):
        """Not one that the kernel gives to others meanwhile."""
        while True:
            port = random.randrange(20000, 32768)
            with contextlib.suppress(OSError), socket.socket() as sock:
                sock.bind(("127.0.0.1", port))
                return port

    def line(self, sock):
        text = b""
        while not text.endswith(b"\n"):
            more = sock.recv(1)
            self.assertTrue(more)
            text += more
        return text.decode(errors="replace")

    def session_line(self, session):
        text = b""
        while not text.endswith(b"\n"):
            text += session.read(1)
        return text.decode()

    def test_one_address(self):
        self.chat()
        session = self.session()
        self.assertIn("welcome", self.session_line(session))
        session.write(b"anna\n/who\n")
        self.assertIn("you are anna", self.session_line(session))
        plain = self.dial()
        plain.sendall(b"bert\n")
        self.assertIn("welcome", self.line(plain))
        self.assertIn("bert has joined", self.session_line(session))
        self.reset(session)
        plain.sendall(b"are you there?\n")
        self.assertIn("bert: are you there?", self.session_line(session))
        self.assertEqual(session.resumes, 1)
        session.write(b"yes\n")
        self.assertIn("anna: yes", self.line(plain))
        session.end()
        session.finish()
        self.assertIn("anna has left", self.line(plain))

    def test_an_address_for_sessions(self):
        other = f"127.0.0.1:{self.free_port()}"
        self.chat("--session-listen", other)
        plain = self.dial()
        self.assertIn("welcome", self.line(plain))
        # here a session's first bytes are a plain client's
        plain.sendall(foreign.PREFACE + b"\n/who\n")
        self.assertIn("you are", self.line(plain))
        self.address = other
        session = self.session()
        self.assertIn("welcome", self.session_line(session))
        self.reset(session)
        session.write(b"anna\n/who\n")
        self.assertIn("you are anna", self.session_line(session))
        self.assertEqual(session.resumes, 1)
        sock = self.dial()
        sock.sendall(b"bert\n")
        self.assertEqual(sock.recv(1), bytes([foreign.ABORT]))


    def greeted(self, sock):
        """A client that has been silent is a plain one."""
        self.assertIn("welcome", self.line(sock))
        sock.sendall(b"anna\n/who\n")
        while "you are" not in self.line(sock):
            pass

    def test_silent_clients(self):
        """The library waits 5 s for a client to say what it is: once here,
        in all models and across a give."""
        waiting = []
        begun = time.monotonic()
        for name, model in MODELS.items():
            self.dir = os.path.join(self.base, name)
            self.chat(*model)
            self.start("chat", "--dir", self.dir, "--name", "alt",
                       "--sessions", *model).expect(": standby: ")
            socks = [self.dial() for _ in range(3)]
            socks[1].sendall(foreign.PREFACE[:3])
            socks[2].sendall(foreign.PREFACE)
            session = self.session()
            self.assertIn("welcome", self.session_line(session))
            wait_until(lambda: len(self.connections()) == 4, "all of them")
            self.ok("maintenance")
            waiting.append((name, socks, session))
        self.dir = os.path.join(self.base, "only")
        other = f"127.0.0.1:{self.free_port()}"
        self.chat("--session-listen", other)
        self.address = other
        only = self.dial()
        for name, (silent, part, hello), session in waiting:
            with self.subTest(model=name):
                self.greeted(silent)
                self.greeted(part)
                self.assertEqual(hello.recv(1), b"")
                session.write(b"bert\n/who\n")
                while "you are bert" not in self.session_line(session):
                    pass
        self.assertGreaterEqual(time.monotonic() - begun, 5)
        self.assertEqual(only.recv(1), bytes([foreign.ABORT]))


class Upgrade(SessionTest):
    def test_a_program_without_sessions(self):
        self.owner = self.server()
        self.address = self.owner.address
        plain = self.dial()
        self.plain_echo(plain, b"one")
        self.other = self.standby("--sessions")
        self.ok("maintenance")
        self.wait_peer("alt", role="owner")
        self.plain_echo(plain, b"two")
        session = self.session()
        self.echo(session, b"three")
        self.reset(session)
        self.echo(session, b"four")
        self.plain_echo(plain, b"five")
        # and one without cannot come back
        self.owner.stop()
        late = self.start("server", "--dir", self.dir, "--listen",
                          self.address)
        self.assertEqual(late.wait(), 1)
        self.assertIn("start both with --sessions", late.output())
        late = self.start("server", "--dir", self.dir, "--listen",
                          self.address, "--sessions")
        late.expect(": standby: ")
        self.ok("ready", "--silent")
        self.wait_peer("server", role="owner")
        self.plain_echo(plain, b"six")
        self.echo(session, b"seven")

    def test_options(self):
        for words, why in (
                (("--session-max", "3"), "without sessions"),
                (("--sessions", "--session-listen", "127.0.0.1:0"),
                 "port that is not 0"),
                (("--sessions", "--session-timeout", "0"),
                 "session-timeout")):
            bad = self.start("server", "--dir", self.dir, "--listen",
                             "127.0.0.1:0", *words)
            self.assertIn(bad.wait(), (1, 2))
            self.assertIn(why, bad.output())


class Schedule(ScheduleTest):
    """The client of the examples, for people."""

    def ask(self, client, line, answer):
        client.process.stdin.write(line.encode() + b"\n")
        client.process.stdin.flush()
        client.expect("^" + re.escape(answer))

    def test_the_student_stays_logged_in(self):
        server, alt = self.both("--sessions", "--notices", "unix:" + self.dir)
        client = self.start("client", "--session", "--connect", server.address,
                            "--notices", "unix:" + self.dir,
                            stdin=subprocess.PIPE)
        client.expect_error("connected to")
        self.ask(client, "LOGIN anna", "OK 0")
        self.ask(client, "DAY monday", "OK 1")
        for _ in range(ROUNDS):
            self.ok("maintenance")
            self.wait_peer("alt", role="owner")
            self.ask(client, "DAY monday", "OK 1")
            self.ok("ready")
            self.wait_peer("server", role="owner")
            wait_until(lambda: self.peer("alt")["connections"] == 0,
                       "the student to come home")
            self.ask(client, "DAY wednesday", "OK 1")
        # a plain one has to log in for itself
        plain = Client(self, server.address)
        self.assertIn("LOGIN name", plain.refused("DAY monday"))


if __name__ == "__main__":
    main()
