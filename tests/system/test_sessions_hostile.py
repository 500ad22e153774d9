# SPDX-License-Identifier: MIT
"""Clients of sessions that send nonsense: each is told so, at most its own
session ends, and the server serves on. Written from handoff_session(7)."""
import contextlib
import os
import random
import re
import socket
import struct
import sys

from harness import (DEADLINE, TOOLS, SystemTest, main, open_fds,
                     wait_until)

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../session"))
# pylint: disable=wrong-import-position
from foreign import (ABORT, ACK, DATA, END, NEW, PREFACE, REFUSED, RESUME,
                     SYNC, WELCOME, frame)

PROTOCOL = 2
UNKNOWN, LIMIT, POSITION, VERSION = 1, 4, 5, 6
WINDOWS = struct.pack(">II", 65536, 65536)
BIG = (1 << 64) - 1

# Frames that no server takes, wherever they are.
WRONG = {
    "type 0": bytes(8),
    "type 6": frame(6),
    "type 14": frame(0x14, 0, b"no"),
    "type ff": b"\xff" * 8,
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "DATA without bytes": frame(DATA),
    "ACK with a payload": frame(ACK, 0, b"x"),
    "END with a payload": frame(END, 0, b"x"),
    "SYNC with a payload": frame(SYNC, 0, b"x"),
    "ABORT without a reason": frame(ABORT),
    "ABORT with a long text": frame(ABORT, 0, b"\0\1" + b"x" * 201),
    "a short NEW": frame(NEW, 0, WINDOWS[:7]),
    "a long NEW": frame(NEW, 0, WINDOWS + b"x"),
    "a short RESUME": frame(RESUME, 0, bytes(39)),
    "a RESUME of 16 MiB": struct.pack(">II", RESUME << 24 | 0xffffff, 0),
    "a window of 0": frame(NEW, 0, struct.pack(">II", 0, 65536)),
    "a window of 255": frame(NEW, 0, struct.pack(">II", 65536, 255)),
    "a window of 4 GiB": frame(NEW, 0, b"\xff" * 8),
    "NEW with an ack": frame(NEW, 1, WINDOWS),
    "a WELCOME of a client": frame(WELCOME, 0, bytes(28) + b"\0\0\xff\0" * 4
                                   + b"\0"),
    "a REFUSED of a client": frame(REFUSED, 0, b"\0\1"),
}
# And those that are wrong in a session with nothing sent yet.
WRONG_INSIDE = {
    **WRONG,
    "an ack of what was not sent": frame(ACK, 1),
    "an ack back": frame(ACK, BIG),
    "DATA with such an ack": frame(DATA, 7, b"x"),
    "DATA beyond the window": struct.pack(">II", DATA << 24 | 0xffffff, 0),
    "NEW in a session": frame(NEW, 0, WINDOWS),
    "RESUME in a session": frame(RESUME, 0, bytes(40)),
    "DATA after END": frame(END) + frame(DATA, 0, b"x"),
    "END after END": frame(END) + frame(END),
}


class Client:
    """Bytes as they are, and whole frames."""

    def __init__(self, sock):
        self.sock = sock
        self.raw = b""

    def send(self, data):
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)
        return self

    def frames(self, count=None):
        """So many frames, or all up to the end, as (type, ack, payload)."""
        got = []
        while count is None or len(got) < count:
            size = int.from_bytes(self.raw[1:4]) if len(self.raw) >= 8 else 0
            if len(self.raw) >= 8 + size:
                got.append((self.raw[0], int.from_bytes(self.raw[4:8]),
                            self.raw[8:8 + size]))
                self.raw = self.raw[8 + size:]
                continue
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                break
            self.raw += more
        return got

    def ended(self):
        """Nothing more comes but the end."""
        return self.raw == b"" and self.frames() == []


class Hostile(SystemTest):
    # A session that a client leaves ends soon.
    options = ("--sessions", "--session-timeout", 1000)

    def setUp(self):
        super().setUp()
        self.owner = self.server(*self.options)
        self.plain = self.connect(self.owner.address)
        self.assert_echo(self.plain)
        self.fds = open_fds(self.owner.pid)

    def client(self):
        return Client(self.connect(self.owner.address)).send(PREFACE)

    def begun(self):
        """A client with a session, its number and its token."""
        client = self.client().send(frame(NEW, 0, WINDOWS))
        (kind, ack, payload), = client.frames(1)
        self.assertEqual((kind, ack, len(payload)), (WELCOME, 0, 45))
        return client, *struct.unpack(">Q16s", payload[:24])

    def assert_serving(self):
        """A plain client and a session; nothing is left open."""
        self.assert_echo(self.plain)
        client, _, _ = self.begun()
        client.send(frame(DATA, 0, b"hello\n"))
        self.assertEqual(client.frames(1), [(DATA, 6, b"hello\n")])
        client.send(frame(ABORT, 0, b"\0\1"))
        client.sock.close()
        wait_until(lambda: open_fds(self.owner.pid) == self.fds,
                   "connections to be closed")

    def assert_aborted(self, client):
        *_, (kind, _, payload) = client.frames()
        self.assertEqual((kind, payload[:2]), (ABORT, b"\0\2"))
        self.assertRegex(payload[2:].decode("ascii"), r"\A[ -~]{6,}\Z")
        client.sock.close()

    def assert_refused(self, client, reason):
        (kind, ack, payload), = client.frames(1)
        self.assertEqual((kind, ack, payload[:2]),
                         (REFUSED, 0, struct.pack(">H", reason)))
        return payload[2:]

    def resume(self, number, token, received=0, sent=0, ack=0):
        return self.client().send(frame(RESUME, ack, struct.pack(
            ">Q16sQQ", number, token, received, sent)))


class Frames(Hostile):
    def test_before_a_session(self):
        for name, data in (*WRONG.items(), ("DATA", frame(DATA, 0, b"x")),
                           ("ACK", frame(ACK)), ("END", frame(END)),
                           ("SYNC", frame(SYNC))):
            with self.subTest(name):
                self.assert_aborted(self.client().send(data))
        self.assert_serving()

    def test_in_a_session(self):
        for name, data in WRONG_INSIDE.items():
            with self.subTest(name):
                client, _, _ = self.begun()
                self.assert_aborted(client.send(data))
        self.assert_serving()

    def test_session_of_a_violation_is_over(self):
        client, number, token = self.begun()
        self.assert_aborted(client.send(frame(ACK, 1)))
        self.assert_refused(self.resume(number, token), UNKNOWN)

    def test_byte_by_byte(self):
        """The same frames, however they are cut."""
        client = Client(self.connect(self.owner.address))
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in (PREFACE + frame(NEW, 0, WINDOWS)
                     + frame(DATA, 0, b"hello\n")):
            client.send(bytes([byte]))
        got = client.frames(1)
        data = b""
        while len(data) < 6:
            got += client.frames(1)
            data += got[-1][2]
        self.assertEqual((got[0][0], data), (WELCOME, b"hello\n"))
        for byte in frame(END, 6):
            client.send(bytes([byte]))
        self.assertEqual(client.frames(1), [(END, 7, b"")])
        for byte in frame(ACK, 7):
            client.send(bytes([byte]))
        self.assertTrue(client.ended())

    def test_half_a_frame_and_the_end(self):
        whole = PREFACE + frame(NEW, 0, WINDOWS)
        for size in range(1, len(whole)):
            client = Client(self.connect(self.owner.address))
            client.send(whole[:size])
            client.sock.shutdown(socket.SHUT_WR)
            for kind, _, _ in client.frames():
                self.assertIn(kind, (ABORT, REFUSED), size)
            client.sock.close()
        self.assert_serving()

    def test_plain_clients(self):
        """What begins like the preface and is not it is echoed."""
        for size in range(1, 6):
            data = PREFACE[:size] + b"?\n"
            sock = self.connect(self.owner.address)
            self.assert_echo(sock, data)
            sock.close()

    def test_other_versions(self):
        for version in (b"\0\0", b"\0\2", b"\xff\xff"):
            client = Client(self.connect(self.owner.address))
            client.send(PREFACE[:6] + version + frame(NEW, 0, WINDOWS))
            self.assert_refused(client, VERSION)
            self.assertTrue(client.ended())
        self.assert_serving()

    def test_random_changes(self):
        """Conversations with bytes changed, left out and doubled."""
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        talk = (PREFACE + frame(NEW, 0, WINDOWS) + frame(DATA, 0, b"x" * 50)
                + frame(ACK) + frame(SYNC) + frame(DATA, 0, b"y" * 9)
                + frame(END))
        for _ in range(300):
            data = bytearray(talk)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(6, len(data))
                data[at:at + rng.randint(0, 2)] = rng.randbytes(
                    rng.randint(0, 2))
            client = Client(self.connect(self.owner.address)).send(data)
            client.sock.shutdown(socket.SHUT_WR)
            with self.subTest(seed=seed, data=data.hex()):
                client.frames()
            client.sock.close()
        self.assert_serving()


class Told(Hostile):
    """What clients do wrong is in the log, though not all of it, and counted,
    all of it."""
    model = ()

    def server(self, *options, **how):
        """One that prints all of its log."""
        server = self.start(os.path.join(TOOLS, "conn_service"), "--dir",
                            self.dir, "--name", "server", "--listen",
                            "127.0.0.1:0", *options, *self.model, **how)
        server.address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: ")
        return server

    def count(self, name, reason):
        return int(re.search(rf'^handoff_{name}{{.*reason="{reason}"}} (\d+)$',
                             self.ok("metrics"), re.M)[1])

    def said(self, what):
        return [line for line in self.owner.errors if what in line]

    def test_violations(self):
        what = "does not keep to the protocol of sessions: "
        before = {reason: self.count("closed_total", reason)
                  for reason in ("service", "error")}
        wrong = list(WRONG_INSIDE.items())
        for number in range(25):
            client, _, _ = self.begun()
            name = "%s:%d" % client.sock.getsockname()
            client.send(wrong[number % len(wrong)][1])
            if number % 3 == 2:  # it resets the connection
                client.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
                client.sock.close()
            else:
                self.assert_aborted(client)
            wait_until(lambda: self.count("closed_total", "protocol")
                       == number + 1, f"violation {number} to be counted")
            if number < 10:
                line = self.owner.expect_error(
                    f"connection [0-9]+ of {name}: closed: it {what}.{{9,}}")
                self.assertNotIn("more since", line.string)
        self.assertEqual(len(self.said(what)), 10)
        for reason, value in before.items():
            self.assertEqual(self.count("closed_total", reason), value)
        self.assert_serving()

    def test_refusals(self):
        for number in range(1, 13):
            client = self.resume(12345, bytes(16))
            name = "%s:%d" % client.sock.getsockname()
            self.assert_refused(client, UNKNOWN)
            client.sock.close()
            self.assertEqual(self.count("sessions_refused_total", "unknown"),
                             number)
            if number <= 10:
                self.owner.expect_error(
                    f"connection [0-9]+ of {name}: refused a session: no such "
                    "session, or not this token")
        self.assertEqual(len(self.said("refused a session")), 10)
        self.assert_serving()


class ToldThread(Told):
    model = ("--model", "thread")


class ToldWorkers(Told):
    model = ("--workers", "3")


class ToldFork(Told):
    model = ("--model", "fork")


class Resumes(Hostile):
    def test_wrong_tokens_look_the_same(self):
        client, number, token = self.begun()
        wrong = bytes([token[0] ^ 1]) + token[1:]
        texts = {self.assert_refused(self.resume(*pair), UNKNOWN)
                 for pair in ((number, wrong), (number + 1, token),
                              (BIG, token), (0, bytes(16)))}
        self.assertEqual(len(texts), 1)
        client.send(frame(DATA, 0, b"hello\n"))
        self.assertEqual(client.frames(1), [(DATA, 6, b"hello\n")])

    def test_new_after_unknown(self):
        client = self.resume(12345, bytes(16))
        self.assert_refused(client, UNKNOWN)
        client.send(frame(NEW, 0, WINDOWS))
        self.assertEqual(client.frames(1)[0][0], WELCOME)

    def test_flood_of_wrong_tokens(self):
        """At some point LIMIT; other clients do not suffer."""
        reasons = []
        begun, number, _ = self.begun()
        for _ in range(1200):
            client = self.resume(number, os.urandom(16))
            (kind, _, payload), = client.frames(1)
            self.assertEqual(kind, REFUSED)
            reasons.append(int.from_bytes(payload[:2]))
            client.sock.close()
        begun.send(frame(ABORT, 0, b"\0\1"))
        begun.sock.close()
        self.assertEqual(reasons[0], UNKNOWN)
        self.assertEqual(set(reasons), {UNKNOWN, LIMIT})
        first = reasons.index(LIMIT)
        self.assertEqual(set(reasons[first:]), {LIMIT})
        self.assert_serving()

    def test_positions_that_cannot_be(self):
        client, number, token = self.begun()
        client.send(frame(DATA, 0, b"hello\n"))
        self.assertEqual(client.frames(1), [(DATA, 6, b"hello\n")])
        client.send(frame(DATA, 6, b"x"))  # acknowledges 6
        self.assertEqual(client.frames(1), [(DATA, 7, b"x")])
        for name, received, sent, ack in (
                ("received beyond", 8, 7, 6), ("received back", 5, 7, 5),
                ("received at the end", BIG, 7, 6), ("ack beyond", 7, 7, 8),
                ("ack back", 7, 7, 5), ("sent back", 7, 6, 6),
                ("sent beyond", 7, 7 + 65536 + 2, 6),
                ("sent at the end", 7, BIG, 6)):
            with self.subTest(name):
                wrong = self.resume(number, token, received, sent, ack)
                self.assert_refused(wrong, POSITION)
                wrong.sock.close()
        client.send(frame(DATA, 7, b"still\n"))
        self.assertEqual(client.frames(1), [(DATA, 13, b"still\n")])

    def test_right_positions_take_over(self):
        """The old connection ends; the other one has all."""
        client, number, token = self.begun()
        client.send(frame(DATA, 0, b"hello\n"))
        self.assertEqual(client.frames(1), [(DATA, 6, b"hello\n")])
        new = self.resume(number, token, received=2, sent=6)
        welcome, data = new.frames(2)
        self.assertEqual((welcome[0], welcome[2][-1]), (WELCOME, 1))
        self.assertEqual(data, (DATA, 6, b"llo\n"[:4]))
        self.assertTrue(client.ended())
        new.send(frame(DATA, 6, b"x"))
        self.assertEqual(new.frames(1), [(DATA, 7, b"x")])


class Slow(Hostile):
    def test_client_that_never_acknowledges(self):
        """It gets a window, and no more; others are served."""
        client, _, _ = self.begun()
        for _ in range(80):
            client.send(frame(DATA, 0, b"x" * 1000))
        client.sock.settimeout(DEADLINE)
        got = 0
        while got < 65536:
            (kind, _, payload), = client.frames(1)
            self.assertIn(kind, (DATA, ACK, SYNC))
            got += len(payload)
        self.assertLessEqual(got, 65536)
        self.assert_echo(self.plain)


if __name__ == "__main__":
    main()
