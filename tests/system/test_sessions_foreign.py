# SPDX-License-Identifier: MIT
"""A client that shares no code with the library, written from
handoff_session(7) alone, has sessions: its connections are cut in the midst of
frames, the owner dies, the service moves; every byte comes back once."""
import contextlib
import os
import random
import signal
import socket
import struct
import sys

from harness import DEADLINE, SystemTest, main, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../session"))
# pylint: disable=wrong-import-position
from foreign import Refused, Session

UNKNOWN = 1
RESET = struct.pack("ii", 1, 0)


class Foreign(SystemTest):
    options = ("--sessions",)

    def session(self, address, **how):
        host, port = address.rsplit(":", 1)

        def dial():
            sock = socket.create_connection((host, int(port)))
            self.sockets.append(sock)
            return sock
        return Session(dial, **how)

    def cut(self, session, rng):
        """Ends the connection, in one of the ways that it can."""
        way = rng.randrange(3)
        if way == 0:  # what is under way is lost
            session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif way == 1:  # half a frame is all that comes of it
            session.encode()
            session.sock.send(session.out[:rng.randint(1, 9)] or b"\1")
        session.cut()

    def stream(self, session, size, during=lambda done: None, seed=None):
        """Sends random bytes, and gets the same ones back."""
        rng = random.Random(seed)
        data, got = rng.randbytes(size), bytearray()
        sent = 0
        while len(got) < size:
            room = min(session.keep - len(session.stream), size - sent, 3000)
            session.stream += data[sent:sent + room]
            sent += room
            session.pump()
            got += session.read(len(session.inbox))
            during(len(got))
        self.assertEqual(bytes(got), data)

    def finish(self, session):
        session.end()
        session.finish()
        self.assertEqual(session.inbox, b"")
        self.assertTrue(session.ended)

    def test_conversation(self):
        """As the page has it, beside a plain client."""
        owner = self.server(*self.options)
        plain = self.connect(owner.address)
        session = self.session(owner.address)
        for sock_data in (b"hello\n", b"again\n"):
            session.write(sock_data)
            self.assertEqual(session.read(6), sock_data)
            self.assert_echo(plain)
            session.cut()
        session.write(b"and again\n")
        self.assertEqual(session.resumes, 2)
        session.stream += b"lost\n"
        session.encode()  # it counts as sent, and is not
        session.cut()
        self.assertEqual(session.read(15), b"and again\nlost\n")
        self.assertGreaterEqual(session.again, 5)
        self.finish(session)
        self.assert_echo(plain)

    def test_cut_anywhere(self):
        owner = self.server(*self.options)
        seed = random.randrange(1 << 32)
        for windows in ({}, {"keep": 256, "take": 256},
                        {"keep": 5000, "take": 1000}):
            rng = random.Random(seed)
            session = self.session(owner.address, **windows)
            with self.subTest(seed=seed, **windows):
                self.stream(session, 30000 if windows else 300000,
                            lambda _: rng.randrange(4) or
                            self.cut(session, rng), seed)
                self.finish(session)
                self.assertGreater(session.resumes, 2)

    def test_owner_is_killed(self):
        owner = self.server(*self.options)
        alt = self.standby(*self.options)
        session = self.session(owner.address)
        killed = []

        def kill(done):
            if done > 100000 and not killed:
                wait_until(lambda: self.peer("alt")["held"] > 0, "a copy")
                session.cut()  # it is absent, or not noticed yet
                owner.signal(signal.SIGKILL)
                killed.append(done)
        self.stream(session, 300000, kill)
        self.finish(session)
        self.assertGreater(session.resumes, 0)
        alt.expect(": owner: ")

    def test_moved_meanwhile(self):
        """Its entry moves while it has no connection, and while it has."""
        owner = self.server(*self.options)
        self.standby(*self.options)
        session = self.session(owner.address)
        moves = ["maintenance", "ready", "maintenance", "ready"]

        def move(done):
            if moves and done > 50000 * (5 - len(moves)):
                session.cut()
                self.ok(moves.pop(0))
        self.stream(session, 400000, move)
        self.assertEqual(moves, [])
        self.finish(session)

    def test_new_connection_while_the_old_one_is_open(self):
        owner = self.server(*self.options)
        session = self.session(owner.address)

        def reconnect(done):
            if done > 20000 * (session.resumes + 1):
                old = session.sock
                session.connect()
                old.settimeout(DEADLINE)
                with contextlib.suppress(ConnectionResetError):
                    while old.recv(65536):
                        pass  # what was under way is void
                old.close()
        self.stream(session, 300000, reconnect)
        self.finish(session)
        self.assertGreater(session.resumes, 5)

    def test_times_out(self):
        owner = self.server(*self.options, "--session-timeout", 300)
        session = self.session(owner.address)
        self.assertEqual(session.timeout_ms, 300)
        session.write(b"hello\n")
        self.assertEqual(session.read(6), b"hello\n")
        session.cut()
        wait_until(lambda: not self.peer("server")["connections"],
                   "the session to end")
        with self.assertRaises(Refused) as caught:
            session.pump()
        self.assertEqual(caught.exception.args[0], UNKNOWN)


if __name__ == "__main__":
    main()
