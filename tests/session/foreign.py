# SPDX-License-Identifier: MIT
"""A client of sessions written from handoff_session(7) alone: it shares no code
with the library. It resumes by itself whenever its connection ends."""
import select
import struct
import time

PREFACE = bytes.fromhex("f548534553530001")
DATA, ACK, END, ABORT, SYNC, NEW, RESUME, WELCOME, REFUSED = (
    1, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x13)
BUSY = 2


class Refused(Exception):
    """reason, text"""


class Aborted(Exception):
    """reason, text"""


def frame(kind, ack=0, payload=b""):
    return struct.pack(">II", kind << 24 | len(payload),
                       ack & 0xffffffff) + payload


class Session:
    def __init__(self, dial, keep=65536, take=65536):
        self.dial = dial  # gives a connected socket
        self.keep, self.take = keep, take
        self.stream = bytearray()  # ours, from position `base` on
        self.base = self.acked = self.next = self.sent = 0
        self.ending = self.ended = False  # our stream; the server's
        self.received = self.told = self.synced = 0
        self.inbox = bytearray()  # of the server's stream, for the caller
        self.number = self.token = None
        self.resumes = self.again = 0  # bytes that were sent again
        self.connect()

    def connect(self):
        """NEW on the first connection, RESUME on the others."""
        wish = frame(NEW, 0, struct.pack(">II", self.keep, self.take))
        if self.number is not None:
            wish = frame(RESUME, self.told, struct.pack(
                ">Q16sQQ", self.number, self.token, self.received, self.sent))
        while True:
            self.raw, self.out, self.left = bytearray(), bytearray(), 0
            try:
                self.sock = self.dial()
                self.sock.sendall(PREFACE + wish)
                while not (answer := self.next_frame()):
                    self.receive()
            except OSError:
                continue
            kind, ack, payload = answer
            if kind == WELCOME:
                self.welcome(ack, payload)
                return self.decode()  # what has come with it
            self.sock.close()
            if kind != REFUSED:
                raise ValueError(f"a frame of type {kind} for an answer")
            reason, = struct.unpack(">H", payload[:2])
            if reason != BUSY:
                raise Refused(reason, payload[2:].decode())
            time.sleep(0.05)

    def welcome(self, ack, payload):
        number, token, received, window, _, self.timeout_ms, resumed = (
            struct.unpack(">Q16sQIIIB", payload))
        if resumed != (self.number is not None):
            raise ValueError("another session")
        self.number, self.token, self.window = number, token, window
        self.acknowledged(ack)
        if not self.acked <= received <= self.sent:
            raise ValueError("a position that cannot be")
        self.resumes += resumed
        self.again += self.sent - received
        self.next = received
        self.decode()  # what has come with it

    def acknowledged(self, ack):
        self.acked += (ack - self.acked) % 2**32
        if self.acked > self.sent:
            raise ValueError("an acknowledgement of what was not sent")
        gone = min(self.acked - self.base, len(self.stream))  # END is no byte
        del self.stream[:gone]
        self.base += gone

    def receive(self):
        more = self.sock.recv(65536)
        if not more:
            raise ConnectionError("the end of the connection")
        self.raw += more

    def next_frame(self):
        """Of DATA the header only: `left` bytes follow."""
        if len(self.raw) < 8:
            return None
        word, ack = struct.unpack(">II", self.raw[:8])
        kind, size = word >> 24, word & 0xffffff
        if kind == DATA:
            self.left, size = size, 0
        elif len(self.raw) < 8 + size:
            return None
        payload = bytes(self.raw[8:8 + size])
        del self.raw[:8 + size]
        return kind, ack, payload

    def decode(self):
        while True:
            part = self.raw[:self.left]
            del self.raw[:self.left]
            self.inbox += part
            self.received += len(part)
            self.left -= len(part)
            got = None if self.left else self.next_frame()
            if not got:
                return
            kind, ack, payload = got
            self.acknowledged(ack)
            if kind == END:
                self.received, self.ended = self.received + 1, True
            elif kind == ABORT:
                raise Aborted(*struct.unpack(">H", payload[:2]), payload[2:])
            elif kind == SYNC:
                self.synced = self.received
            elif kind not in (DATA, ACK):
                raise ValueError(f"a frame of type {kind} out of place")

    def put(self, kind, payload=b""):
        self.told = self.received
        self.out += frame(kind, self.told, payload)

    def encode(self):
        """All that may be sent now."""
        end = self.base + len(self.stream)
        while (most := min(end, self.acked + self.window) - self.next) > 0:
            at = self.next - self.base
            part = bytes(self.stream[at:at + min(most, 4000)])
            self.put(DATA, part)
            self.next += len(part)
        if self.ending and self.next == end:
            self.put(END)
            self.next += 1
        self.sent = max(self.sent, self.next)
        at_once = self.ended or self.told < self.synced
        if self.received - self.told >= (1 if at_once else self.take // 4):
            self.put(ACK)

    def over(self):
        return self.ended and self.told == self.received and (
            self.ending and self.acked == self.sent == self.next)

    def pump(self, timeout=1.0):
        """Sends and receives what can be; connects again if need be."""
        try:
            if self.sock.fileno() < 0:
                raise ConnectionError("it was cut")
            self.encode()
            reads, writes, _ = select.select(
                [self.sock], [self.sock] if self.out else [], [], timeout)
            if writes:
                del self.out[:self.sock.send(self.out[:65536])]
            if reads:
                self.receive()
                self.decode()
                self.encode()
        except OSError:
            self.cut()
            if not self.over():
                self.connect()

    def cut(self):
        self.sock.close()

    def write(self, data):
        while len(self.stream) + len(data) > self.keep:
            self.pump()
        self.stream += data
        self.pump(0)

    def read(self, size):
        """Exactly so many bytes; fewer at the end of the server's stream."""
        while len(self.inbox) < size and not self.ended:
            self.pump()
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data

    def end(self):
        self.ending = True
        self.pump(0)

    def finish(self):
        """Until the session is over at this end, and all of it is sent."""
        while not self.over() or self.out:
            self.pump()
        self.sock.close()
