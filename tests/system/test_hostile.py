# SPDX-License-Identifier: MIT
"""Peers and control clients that send nonsense: the owner refuses them and
continues to serve."""
import array
import os
import random
import socket
import struct
import sys
import time

from harness import SystemTest, main, open_fds, wait_until

MAGIC = 0x46444F48
HELLO, SEGMENT, MIRROR, HELD, DROP, MOVE, TAKE, READY, GAVE, BYE = range(1, 11)


def frame(payload, count=0, length=None, magic=MAGIC):
    length = len(payload) if length is None else length
    return struct.pack("<III", magic, count, length) + payload


# Connects as a process of its own and passes the socket on: the owner must
# see that process end before it forgets it.
CONNECT = """
import socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect(sys.argv[1])
back = socket.socket(fileno=int(sys.argv[2]))
socket.send_fds(back, [b"x"], [link.fileno()])
link.close()
back.recv(1)
"""


class Hello:
    FORM = "<9IQ32s32s32sI"

    def __init__(self, payload=None):
        fields = struct.unpack_from(self.FORM, payload, 4) if payload else (
            2, 2, 0, 1, 0, 0, os.getpid(), 2, 0, 0, b"echo", b"fake", b"", 0)
        (self.low, self.high, self.refusal, self.layout, self.state_size,
         self.state_version, self.pid, self.slot, self.serving,
         self.generation, self.service, self.name, self.partner,
         self.partner_pid) = fields
        # Of what has been added at the end: the layout of its records.
        self.makes = struct.unpack_from("<I", payload, 192)[0] if payload else 0

    def pack(self):
        return struct.pack(
            "<I", HELLO) + struct.pack(
            self.FORM, self.low, self.high, self.refusal, self.layout,
            self.state_size, self.state_version, self.pid, self.slot,
            self.serving, self.generation, self.service, self.name,
            self.partner, self.partner_pid)


class Hostile(SystemTest):
    def setUp(self):
        super().setUp()
        self.owner = self.server()
        self.client = self.connect(self.owner.address)
        self.assert_echo(self.client)
        self.fds = open_fds(self.owner.pid)

    def assert_serving(self):
        """Also nothing of what came is left open."""
        self.assert_echo(self.client)
        new = self.connect(self.owner.address)
        self.assert_echo(new)
        new.close()
        self.assertEqual(self.peer("server")["role"], "owner")
        wait_until(lambda: open_fds(self.owner.pid) == self.fds,
                   "descriptors to be closed again")

    def assert_real_standby_works(self):
        self.standby()
        wait_until(lambda: self.peer("alt")["held"] == 1, "held to be 1")
        self.ok("maintenance")
        self.assert_echo(self.client, b"after all\n")


class Foreign(socket.socket):
    """A link of another process; the process ends when `leash` closes."""
    process = leash = None


class Link(Hostile):
    def link(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sockets.append(sock)
        sock.settimeout(20)
        sock.connect(os.path.join(self.dir, "link.1"))
        return sock

    def foreign_link(self):
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        process = self.start(
            sys.executable, "-c", CONNECT, os.path.join(self.dir, "link.1"),
            theirs.fileno(), pass_fds=(theirs.fileno(),))
        theirs.close()
        fd = socket.recv_fds(ours, 1, 1)[1][0]
        sock = Foreign(fileno=fd)
        self.sockets.append(sock)
        sock.settimeout(20)
        sock.process, sock.leash = process, ours
        return sock

    def leave(self, sock):
        """Ends the process of a foreign link, and the link."""
        sock.leash.close()
        self.assertEqual(sock.process.wait(), 0)
        sock.close()
        self.owner.expect(": left: ")

    def send_fds(self, sock, data, fds):
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
        sock.sendmsg([data], [rights])

    def assert_cut(self, sock):
        """The owner ends it, with or without an answer."""
        try:
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
        sock.close()

    def refusal(self, hello, sock=None):
        """Offers itself; returns the owner's HELLO."""
        sock = sock or self.link()
        sock.send(frame(hello.pack()))
        data = sock.recv(65536)
        magic, count, length = struct.unpack("<III", data[:12])
        # A pidfd comes along.
        self.assertEqual((magic, count, length), (MAGIC, 1, len(data) - 12))
        answer = Hello(data[12:])
        answer.sock = sock
        return answer

    def standby_link(self):
        """A link that the owner has taken for its standby's."""
        first = self.refusal(self.versions(99, 99))
        first.sock.close()
        hello = Hello()
        hello.layout = first.makes
        hello.state_size = first.state_size
        hello.state_version = first.state_version
        hello.slot = 3 - first.slot
        answer = self.refusal(hello, self.foreign_link())
        self.assertEqual(answer.refusal, 0)
        answer.sock.send(frame(struct.pack("<IQQ", READY, 0, 0)))
        self.owner.expect(": joined: ")
        return answer.sock

    @staticmethod
    def versions(low, high):
        hello = Hello()
        hello.low, hello.high = low, high
        return hello

    def test_garbage(self):
        chance = random.Random(1)
        valid = frame(Hello().pack())
        for data in (b"x", b"garbage\n" * 100, bytes(30000), valid[:-1],
                     valid[:30], valid[:12], valid[:5], valid + b"x",
                     frame(b""), frame(Hello().pack(), magic=1),
                     frame(Hello().pack(), length=7),
                     frame(Hello().pack(), count=3),
                     frame(Hello().pack(), count=0xFFFFFFFF),
                     frame(struct.pack("<I", 77) + bytes(40)),
                     frame(struct.pack("<I", MIRROR) + bytes(40)),
                     frame(struct.pack("<I", TAKE) + bytes(4)),
                     frame(struct.pack("<I", BYE) + bytes(4)),
                     *(frame(struct.pack("<I", kind)
                             + chance.randbytes(chance.randrange(300)))
                       for kind in list(range(0, 13)) * 3)):
            sock = self.link()
            try:
                sock.send(data)
            except ConnectionError:
                pass
            self.assert_cut(sock)
            self.assert_echo(self.client)
        self.assert_serving()
        self.assert_real_standby_works()

    def test_says_nothing(self):
        silent = [self.link() for _ in range(3)]
        self.assert_echo(self.client)
        self.assertEqual(self.peer("server")["role"], "owner")
        for sock in silent:
            sock.close()
        self.assert_serving()
        self.assert_real_standby_works()

    def test_another_version(self):
        for low, high in ((99, 200), (0, 0), (5, 2)):
            answer = self.refusal(self.versions(low, high))
            self.assertNotEqual(answer.refusal, 0)
            self.assert_cut(answer.sock)
            self.owner.expect(f": refused: fake .*protocol {low} to {high}")
            self.assert_serving()
        self.assert_real_standby_works()

    def test_bad_names(self):
        for name in (b"", b"a b", b"\xff\xfe", b"../../x", b"x" * 32,
                     b"new\nline", b"server"):
            hello = Hello()
            hello.name = name
            sock = self.link()
            sock.send(frame(hello.pack()))
            self.assert_cut(sock)
        self.assert_serving()
        for line in self.owner.lines + self.owner.errors:
            self.assertRegex(line, "^server: ")

    def test_too_many_descriptors(self):
        fd = self.client.fileno()
        hello = Hello().pack()
        for count, announced in ((1, 0), (253, 0), (253, 253), (1, 253),
                                 (253, 1), (3, 300)):
            sock = self.link()
            self.send_fds(sock, frame(hello, count=announced), [fd] * count)
            self.assert_cut(sock)
            self.assert_echo(self.client)
        self.assert_serving()
        self.assert_real_standby_works()

    def test_standby_that_goes_mad(self):
        """Accepted first, and then it sends what no standby sends."""
        chance = random.Random(2)
        ref = struct.pack("<QIII", 1, 0, 0, 0)
        held = struct.pack("<III", HELD, 999, 0)
        for data in (
                b"garbage", frame(b""), frame(bytes(3)),
                frame(Hello().pack()),
                frame(held + struct.pack("<I", 0)),
                frame(held + struct.pack("<I", 1) + ref),
                frame(held + struct.pack("<I", 254) + ref * 254),
                frame(held + struct.pack("<I", 5) + ref),
                frame(struct.pack("<II", MIRROR, 1) + struct.pack("<I", 1)
                      + struct.pack("<QIII", 1, 0xFFFFFFFF, 7, 9)),
                frame(struct.pack("<II", SEGMENT, 0xFFFFFFFF)),
                frame(struct.pack("<II", DROP, 1) + ref),
                frame(struct.pack("<IIIQQI", MOVE, 1, 1, 1 << 60, 0, 0)),
                frame(struct.pack("<IIIQQI", MOVE, 77, 0, 1 << 60, 0, 1)
                      + ref),
                frame(struct.pack("<IIIIIII", GAVE, 0, 9, 9, 9, 9, 0)),
                *(frame(struct.pack("<I", chance.randrange(2, 12))
                        + chance.randbytes(chance.randrange(100)))
                  for _ in range(20))):
            sock = self.standby_link()
            sock.send(data)
            self.assert_echo(self.client)
            self.leave(sock)
        self.assert_serving()
        self.assert_real_standby_works()

    def test_standby_that_sends_descriptors(self):
        fd = self.client.fileno()
        for kind in (SEGMENT, MIRROR, HELD, DROP, READY, BYE):
            sock = self.standby_link()
            data = struct.pack("<I", kind) + bytes(8)
            self.send_fds(sock, frame(data, count=100), [fd] * 100)
            self.assert_echo(self.client)
            self.leave(sock)
        self.assert_serving()

    def test_standby_that_does_not_answer(self):
        """Nothing that it was sent is confirmed: nothing may move."""
        sock = self.standby_link()
        more = [self.connect(self.owner.address) for _ in range(300)]
        for client in more:
            self.assert_echo(client)
        started = time.monotonic()
        code, out, err = self.ctl("maintenance")
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(code, 1, out)
        self.assert_one_line(err)
        for client in more:
            self.assert_echo(client)
            client.close()
        self.leave(sock)
        self.assert_real_standby_works()


class Control(Hostile):
    def control(self):
        sock = socket.socket(socket.AF_UNIX)
        self.sockets.append(sock)
        sock.settimeout(20)

        def connected():
            try:
                sock.connect(os.path.join(self.dir, "control.1"))
            except BlockingIOError:
                return False  # the backlog is full
            return True
        wait_until(connected, "a place in the control socket's backlog")
        return sock

    def answer(self, sock):
        reply = b""
        try:
            while chunk := sock.recv(65536):
                reply += chunk
        except ConnectionError:
            pass
        sock.close()
        return reply

    def test_megabyte(self):
        for data in (b"x" * (1 << 20), b"status " * (1 << 17),
                     bytes(1 << 20), b"\n" * (1 << 20)):
            sock = self.control()
            try:
                sock.sendall(data)
            except ConnectionError:
                pass
            reply = self.answer(sock)
            self.assertLess(len(reply), 500)
            self.assert_serving()

    def test_bad_commands(self):
        for data in (b"\n", b"dance\n", b"maintenance now please\n",
                     b"ready loudly\n", b"\xff\xfe\xfd\n", b"status\0\n",
                     b"MAINTENANCE\n", b" status\n", b"x" * 5000 + b"\n"):
            sock = self.control()
            sock.sendall(data)
            reply = self.answer(sock)
            self.assertRegex(reply, rb"\Aerror [^\n]+\n\Z", data)
            self.assert_echo(self.client)
        self.assert_serving()

    def test_half_a_command(self):
        sock = self.control()
        sock.sendall(b"stat")
        sock.shutdown(socket.SHUT_WR)
        reply = self.answer(sock)
        self.assertNotRegex(reply, b"^ok")
        self.assert_serving()

    def test_leaves_before_the_answer(self):
        for _ in range(50):
            sock = self.control()
            sock.sendall(b"status\n")
            sock.close()
        self.assert_serving()

    def test_says_nothing(self):
        silent = []
        for _ in range(50):
            sock = socket.socket(socket.AF_UNIX)
            self.sockets.append(sock)
            sock.setblocking(False)
            try:
                sock.connect(os.path.join(self.dir, "control.1"))
            except BlockingIOError:
                pass  # the backlog is full: they cannot even connect
            silent.append(sock)
            self.assert_echo(self.client)
        new = self.connect(self.owner.address)
        self.assert_echo(new)
        new.close()
        for sock in silent:
            sock.close()
        wait_until(lambda: self.ctl("status")[0] == 0, "status again")
        self.assert_serving()

    def test_does_not_read(self):
        """Asks again and again and takes no answer."""
        sock = self.control()
        sock.setblocking(False)
        try:
            for _ in range(100000):
                sock.send(b"status\n")
        except (BlockingIOError, ConnectionError):
            pass
        self.assert_echo(self.client)
        sock.close()
        self.assert_serving()


if __name__ == "__main__":
    main()
