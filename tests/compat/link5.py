# SPDX-License-Identifier: MIT
"""The link of protocol 2, byte by byte as handoff_protocol(7) has it: part of
layout5.py, and frozen like that."""
import array
import collections
import errno
import os
import socket
import struct

PROTOCOL = 2
FRAME = 0x46444F48
(HELLO, SEGMENT, MIRROR, HELD, DROP, MOVE, TAKE, READY, GAVE, BYE, BEAT, LEND,
 LIFE, SAY, LEAVE, LOST) = range(1, 17)
OK, BAD_VERSION, BAD_SERVICE, BAD_STATE_SIZE = 0, 1, 2, 3
BAD_STATE_VERSION, BAD_LAYOUT, TAKEN = 4, 5, 6
NO_MEMORY, HANDLER_BUSY, UNANSWERED = 9, 10, 11
NOT_OWNER, LEAVING = 13, 14
GREETING = struct.Struct("<IIIIIIIIIQ32s32s32sIQIIQQIII")
GREETING_FIELDS = (
    "version_min version_max refusal layout state_size state_version pid slot "
    "serving generation service name partner partner_pid config_hash "
    "config_strict converts instance arena segments again hang_ms").split()
REF = struct.Struct("<QIII")
MOST = 253


class Link:
    """Packets with descriptors; what the socket does not take now waits."""

    def __init__(self, sock):
        self.sock = sock
        self.waiting = collections.deque()
        sock.setblocking(False)

    def send(self, kind, payload=b"", fds=()):
        payload = struct.pack("<I", kind) + payload
        data = struct.pack("<III", FRAME, len(fds), len(payload)) + payload
        self.waiting.append((data, [os.dup(fd) for fd in fds]))
        self.flush()

    def flush(self):
        while self.waiting:
            data, fds = self.waiting[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                       array.array("i", fds))] if fds else []
            try:
                self.sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                    return
                # Its end is read.
            self.waiting.popleft()
            for fd in fds:
                os.close(fd)

    def receive(self):
        """(type, fields, descriptors), None for nothing now; EOFError."""
        try:
            data, rights, _, _ = self.sock.recvmsg(
                12 + 32768, socket.CMSG_SPACE(4 * MOST),
                socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError:
            raise EOFError from None
        fds = array.array("i")
        for level, kind, cell in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(cell[:len(cell) // 4 * 4])
        if not data:
            raise EOFError
        frame, count, size = struct.unpack_from("<III", data)
        if (frame != FRAME or count != len(fds) or size != len(data) - 12
                or size < 4):
            raise EOFError
        return struct.unpack_from("<I", data, 12)[0], data[16:], list(fds)


def take_refs(data, at):
    count, = struct.unpack_from("<I", data, at)
    return [REF.unpack_from(data, at + 4 + REF.size * i) for i in range(count)]


def parse_hello(data):
    """HELLO grows at its end: what is absent is 0, what follows is skipped."""
    values = GREETING.unpack(data[:GREETING.size].ljust(GREETING.size, b"\0"))
    hello = dict(zip(GREETING_FIELDS, values))
    for name in ("service", "name", "partner"):
        hello[name] = hello[name].split(b"\0")[0].decode()
    return hello
