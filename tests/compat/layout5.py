#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The owner of a service as the library of layout 5 and protocol 2 was, for
later versions to take over from. Written from handoff_protocol(7) alone, with
nothing of the library; frozen: what it says and what it writes are the bytes
of that version, so only what is wrong about those may be changed.

It serves the service "sum" of tests/tools/sum_service.c (with --echo too), or
with --versions version 1 of tests/tools/versions.c. Its state is made in a
record, by transactions, as the page has it. Commands on standard input:

  give          a maintenance: the other peer is to serve
  take          asks for the service, cause HOME
  hold STAGE    the next turn of each connection ends for ever at that stage:
                unread, taken, noted, handling, committed, sent
  status        prints what it has
  stop          BYE, and ends

It owns or it holds nothing: as a standby it refuses each copy with NO_MEMORY,
and each segment with LOST. It offers and takes back by plain stores, where no
other process may change the word: what it has offered it takes back only after
the death of the other, not after 2 seconds.
"""
import argparse
import fcntl
import os
import select
import selectors
import socket
import struct
import sys
import time

from arena5 import (EOF, EOF_DONE, LAYOUT, OPENED, SLOTS, Arena, Geometry,
                    Record, Transaction, text32)
from link5 import (BAD_LAYOUT, BAD_SERVICE, BAD_STATE_SIZE, BAD_STATE_VERSION,
                   BAD_VERSION, BEAT, BYE, DROP, GAVE, GREETING,
                   GREETING_FIELDS, HANDLER_BUSY, HELD, HELLO, LEAVE, LEAVING,
                   LEND, LIFE, LOST, MIRROR, MOST, MOVE, NOT_OWNER, NO_MEMORY,
                   OK, PROTOCOL, READY, REF, SAY, SEGMENT, TAKE, TAKEN,
                   UNANSWERED, Link, parse_hello, take_refs)
from services5 import handle_echo, handle_sum, handle_versions

OFFERED = 4
CONNECTION, LISTENER = 1, 2
HANG_MS = 5000
SO_PEERPIDFD = 77


def now_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def say(text):
    print("layout5: " + text, flush=True)


class Entry:
    """What this peer has of a listener or a connection."""

    def __init__(self, record, sock):
        self.record, self.sock = record, sock
        self.id, self.kind = record.id.value, record.kind.value
        self.copy = None  # None, "sent", "held" or "refused"
        self.batch = 0
        self.stuck = False
        self.events = 0

    def ref(self, arg=0):
        return REF.pack(self.id, 0, self.record.slot, arg)


class Peer:
    def __init__(self, options):
        self.options = options
        self.service, self.handle, size = (
            ("versions", handle_versions, 4) if options.versions
            else ("sum", handle_echo if options.echo else handle_sum, 16))
        self.geo = Geometry(size, options.buffer)
        self.state_version = 1 if options.versions else 0
        self.instance = int.from_bytes(os.urandom(8), "little") | 1
        self.selector = selectors.DefaultSelector()
        self.entries = {}
        self.free = list(range(SLOTS - 1, -1, -1))
        self.serving = False
        self.link = self.partner = self.pidfd = self.life = None
        self.candidate = None
        self.joined = self.other_left = False
        self.batch = 0
        self.ping = self.offer = None
        self.answered = False
        self.hold = None
        self.locks = []
        self.beat_at = 0
        self.ending = False

    # The directory

    def lock(self, name, wait=False):
        fd = os.open(os.path.join(self.options.dir, name),
                     os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def path(self, kind, place):
        return os.path.join(self.options.dir, f"{kind}.{place}")

    def enter(self):
        """Takes a place. Returns the lock that keeps others from starting."""
        os.makedirs(self.options.dir, 0o700, exist_ok=True)
        start = self.lock("lock", wait=True)
        for self.place in (1, 2):
            fd = self.lock(f"peer.{self.place}")
            if fd is not None:
                break
        else:
            sys.exit("layout5: two peers are there already")
        self.locks.append(fd)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%s %d\n" % (self.options.name.encode(), os.getpid()),
                  0)
        self.other = 3 - self.place
        return start

    def greeting(self, **more):
        hello = dict.fromkeys(GREETING_FIELDS, 0)
        hello.update(
            version_min=PROTOCOL, version_max=PROTOCOL,
            layout=self.options.layout,
            state_size=self.geo.state_size, state_version=self.state_version,
            pid=os.getpid(), slot=self.place, serving=int(self.serving),
            service=text32(self.service), name=text32(self.options.name),
            partner=text32(""), instance=self.instance, hang_ms=HANG_MS)
        if self.serving:
            hello.update(generation=self.arena.generation.value,
                         arena=self.arena.id, segments=1)
        hello.update(more)
        return GREETING.pack(*(hello[name] for name in GREETING_FIELDS))

    def say_hello(self, link, **more):
        own = os.pidfd_open(os.getpid())
        link.send(HELLO, self.greeting(**more), [own])
        os.close(own)

    def judge(self, hello):
        if (hello["version_min"] > PROTOCOL
                or hello["version_max"] < PROTOCOL):
            return BAD_VERSION
        if hello["service"] != self.service:
            return BAD_SERVICE
        if hello["state_version"] == self.state_version:
            if hello["state_size"] != self.geo.state_size:
                return BAD_STATE_SIZE
        elif not (hello["state_version"] > self.state_version
                  and hello["converts"] > 0 and not hello["serving"]
                  and hello["converts"] - 1 <= self.state_version):
            return BAD_STATE_VERSION
        return OK if hello["layout"] == self.options.layout else BAD_LAYOUT

    def visit(self):
        """Joins the peer that is there, if it takes this one; never stays."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.path("link", self.other))
        link = Link(sock)
        self.say_hello(link)
        while (got := link.receive()) is None:
            select.select([sock], [], [], 5)
        hello = parse_hello(got[1])
        reason = self.judge(hello) or hello["refusal"]
        say(f"{hello['name']} has layout {hello['layout']}: reason {reason}")
        sys.exit(reason)

    def own(self):
        self.arena = Arena(self.geo, self.state_version, self.instance,
                           self.place)
        self.serving = True
        host, port = self.options.listen.rsplit(":", 1)
        sock = socket.create_server((host, int(port)), backlog=128)
        sock.setblocking(False)
        address = "%s:%d" % sock.getsockname()[:2]
        record = self.allocate(LISTENER)
        record.id.value = 1 << 63 | self.arena.next_other.value
        self.arena.next_other.value += 1
        name = address.encode() + b"\0"
        record.touch()
        record.memory[record.buffer_at:record.buffer_at + len(name)] = name
        record.rx_head.value = len(name)
        self.enter_entry(Entry(record, sock))
        say(f"listening on {address}")

    def start(self):
        start = self.enter()
        fd = self.lock(f"peer.{self.other}")
        if fd is None:
            self.visit()
        os.close(fd)
        self.own()
        path = self.path("link", self.place)
        if os.path.exists(path):
            os.unlink(path)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(path)
        os.chmod(path, 0o600)
        self.door.listen(16)
        self.door.setblocking(False)
        self.watch(self.door, self.on_door)
        self.watch(0, self.on_command)
        os.close(start)
        say("owner")

    def watch(self, what, function, events=selectors.EVENT_READ):
        self.selector.register(what, events, function)

    # Entries

    def allocate(self, kind):
        record = Record(self.arena, self.free.pop())
        record.allocate(self.place)
        record.kind.value = kind
        return record

    def enter_entry(self, entry):
        self.entries[entry.record.slot] = entry
        self.rearm(entry)

    def mine(self, entry):
        return entry.record.owner.value == self.place

    def wanted(self, entry):
        """What the entry waits for."""
        if not self.mine(entry) or entry.stuck or self.hold == "unread":
            return 0
        if entry.kind == LISTENER:
            return 0 if self.ping is not None else selectors.EVENT_READ
        flags = entry.record.commit()[4]
        room = entry.record.unread() < self.geo.buffer
        return ((selectors.EVENT_READ if room and not flags & EOF else 0)
                | (selectors.EVENT_WRITE if entry.record.unsent() else 0))

    def rearm(self, entry):
        events = self.wanted(entry)
        if events == entry.events:
            return
        if entry.events == 0:
            self.watch(entry.sock, self.on_entry(entry), events)
        elif events == 0:
            self.selector.unregister(entry.sock)
        else:
            self.selector.modify(entry.sock, events, self.on_entry(entry))
        entry.events = events

    def on_entry(self, entry):
        turn = self.accept if entry.kind == LISTENER else self.turn
        return lambda: turn(entry)

    def accept(self, listener):
        try:
            sock, _ = listener.sock.accept()
        except OSError:
            return
        sock.setblocking(False)
        record = self.allocate(CONNECTION)
        commit = record.commit()
        commit[4], commit[6] = OPENED, self.arena.heard()
        record.prepare(commit, record.state())
        record.flip()
        record.id.value = self.arena.next_id.value
        self.arena.next_id.value += 1
        entry = Entry(record, sock)
        self.enter_entry(entry)
        # Its copy is sent before anything is read from it.
        self.mirror()

    def end(self, entry):
        if entry.events:
            self.selector.unregister(entry.sock)
        entry.sock.shutdown(socket.SHUT_RDWR)
        known = entry.copy in ("sent", "held")
        ref = entry.ref()
        entry.record.free()
        entry.sock.close()
        del self.entries[entry.record.slot]
        self.free.insert(0, entry.record.slot)
        if known and self.link:
            self.link.send(DROP, struct.pack("<I", 1) + ref)

    def turn(self, entry):
        record = entry.record
        record.activity.value = 1
        if self.options.desk and not record.unread() and not record.unsent():
            record.set_desk((self.place - 1) * 64 + 1)
        try:
            if not self.steps(entry):
                entry.stuck = True
                self.rearm(entry)
                say(f"held {entry.id}")
                return
        except OSError:
            self.end(entry)
            return
        flags = record.commit()[4]
        if flags & EOF_DONE and not record.unsent():
            self.end(entry)
            return
        self.leave_desk(record)
        record.activity.value = 2 if record.unread() or record.unsent() else 0
        self.rearm(entry)

    def steps(self, entry):
        """Read, handle, send. False if it is held on the way."""
        record = entry.record
        at, room = record.room()
        if room > 0 and not record.commit()[4] & EOF:
            record.touch()
            try:
                size = entry.sock.recv_into(
                    memoryview(record.memory)[at:at + room])
            except BlockingIOError:
                size = None
            if self.hold == "taken":
                return False
            if size == 0:
                record.flag(EOF)
            elif size:
                record.rx_head.value += size
        if self.hold == "noted":
            return False
        if (record.unread() > 0
                or record.commit()[4] & (EOF | EOF_DONE) == EOF):
            record.touch()
            record.handling(True)
            txn = Transaction(record)
            self.handle(txn)
            if not txn.end(self.hold == "handling"):
                return False
            record.handling(False)
        if self.hold == "committed":
            return False
        while record.unsent() > 0:
            at, size = record.piece()
            try:
                size = entry.sock.send(
                    memoryview(record.memory)[at:at + size],
                    socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            if self.hold == "sent":
                return False
            record.tx_tail.value += size
        return True

    def leave_desk(self, record):
        if record.desk.value & 0xFF == 0:
            return
        if record.unread() or record.unsent():
            desk, own, size = record.rx(), record.buffer_at, self.geo.each
            record.memory[own:own + size] = record.memory[desk:desk + size]
            record.memory[record.at + 56] = 1
        record.set_desk(0)

    # Copies

    def mirror(self):
        if not self.joined and self.link is None:
            return
        batch = [e for e in self.entries.values()
                 if e.copy is None and self.mine(e)]
        for i in range(0, len(batch), MOST):
            part = batch[i:i + MOST]
            self.batch += 1
            for entry in part:
                entry.copy, entry.batch = "sent", self.batch
            self.link.send(
                MIRROR, struct.pack("<II", self.batch, len(part))
                + b"".join(e.ref(e.kind) for e in part),
                [e.sock.fileno() for e in part])

    def on_held(self, data):
        batch, reason = struct.unpack_from("<II", data)
        refs = take_refs(data, 8)
        for entry in self.entries.values():
            if entry.copy == "sent" and entry.batch == batch and reason:
                entry.copy = "refused"
        for number, segment, slot, arg in refs:
            entry = self.entries.get(slot)
            if segment == 0 and entry and entry.id == number:
                entry.copy = "held" if arg == OK else "refused"
        if self.ping is not None:
            self.proceed(batch)

    # A give

    def give(self):
        if not self.joined or not self.serving or self.offer is not None:
            say("cannot give")
            return
        self.batch += 1
        self.ping = self.batch
        for entry in self.entries.values():
            self.rearm(entry)
        self.link.send(MIRROR, struct.pack("<II", self.ping, 0))

    def proceed(self, batch):
        self.answered = batch == self.ping or self.answered
        if not self.answered or any(e.copy == "sent"
                                    for e in self.entries.values()):
            return
        self.answered, self.ping = False, None
        if not any(e.kind == LISTENER and e.copy == "held"
                   for e in self.entries.values()):
            say("the standby holds no listener")
            return
        self.offer_all()

    def offer_all(self):
        self.offer = now_us()
        self.moved, self.left = [], []
        for entry in self.entries.values():
            if entry.stuck:
                self.left.append((entry, HANDLER_BUSY))
            elif entry.copy != "held":
                self.left.append((entry, UNANSWERED))
            else:
                # From its own place only the owner changes the word.
                entry.record.owner.value = self.other | OFFERED
                self.moved.append(entry)
            self.rearm(entry)
        arena = self.arena
        arena.set_home(self.options.name, self.instance)
        arena.away.value = 1
        arena.cause.value = 1
        arena.owner.value = self.other | OFFERED
        arena.generation.value += 1
        self.serving = False
        self.link.send(MOVE, struct.pack(
            "<IIQQI", 1, 1, arena.generation.value, self.offer, 0))

    def on_ready(self, data):
        at_us, offer_us = struct.unpack("<QQ", data)
        if not self.joined:
            self.joined = True
            say(f"ready {self.partner['name']}")
            return
        if self.offer is None or offer_us != self.offer:
            return
        kinds = [entry.kind for entry in self.moved]
        self.link.send(GAVE, struct.pack(
            "<IIIII", OK, kinds.count(CONNECTION), kinds.count(LISTENER),
            len(self.left), at_us - self.offer)
            + struct.pack("<I", len(self.left))
            + b"".join(entry.ref(why) for entry, why in self.left))
        self.offer = None
        say(f"gave {kinds.count(CONNECTION)} connections, "
            f"{kinds.count(LISTENER)} listeners, {len(self.left)} left")

    # The other peer

    def on_door(self):
        sock, _ = self.door.accept()
        uid = struct.unpack("3i", sock.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if uid not in (0, os.geteuid()) or self.candidate:
            sock.close()
            return
        self.candidate = Link(sock)
        self.watch(sock, self.on_candidate)

    def on_candidate(self):
        link = self.candidate
        try:
            got = link.receive()
        except EOFError:
            got = (0, b"", [])
        if got is None:
            return
        self.selector.unregister(link.sock)
        self.candidate = None
        kind, data, fds = got
        for fd in fds:
            os.close(fd)
        if kind != HELLO:
            link.sock.close()
            return
        hello = parse_hello(data)
        reason = self.judge(hello)
        if reason == OK and self.partner:
            reason = TAKEN
        self.say_hello(link, refusal=reason)
        if reason != OK:
            say(f"refused {hello['name']}: {reason}")
            link.sock.close()
            return
        self.adopt(link, hello)

    def adopt(self, link, hello):
        pid = struct.unpack("3i", link.sock.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        try:
            self.pidfd, = struct.unpack("i", link.sock.getsockopt(
                socket.SOL_SOCKET, SO_PEERPIDFD, 4))
        except OSError:
            self.pidfd = os.pidfd_open(pid)
        self.link, self.partner, self.other_left = link, hello, False
        self.watch(link.sock, self.on_link)
        self.watch(self.pidfd, self.on_process)
        say(f"joined {hello['name']}")
        if self.serving:
            self.link.send(SEGMENT, struct.pack("<I", 0), [self.arena.fd])
            self.mirror()
        self.link.send(READY, struct.pack("<QQ", 0, 0))

    def on_link(self):
        try:
            while self.link and (got := self.link.receive()) is not None:
                self.on_message(*got)
        except EOFError:
            self.cut()

    def on_message(self, kind, data, fds):
        if kind == HELD:
            self.on_held(data)
        elif kind == READY:
            self.on_ready(data)
        elif kind == MIRROR:
            # It keeps no copies.
            batch, = struct.unpack_from("<I", data)
            refs = take_refs(data, 4)
            self.link.send(HELD, struct.pack("<III", batch, OK, len(refs))
                           + b"".join(REF.pack(*ref[:3], NO_MEMORY)
                                      for ref in refs))
        elif kind == SEGMENT:
            say("was sent a segment")
            self.link.send(LOST, data[:4])
        elif kind == DROP:
            self.on_drop(take_refs(data, 0))
        elif kind == TAKE:
            self.link.send(GAVE, struct.pack("<IIIIII", NOT_OWNER, 0, 0, 0, 0,
                                             0))
        elif kind == GAVE:
            say("was told GAVE, reason %d" % struct.unpack_from("<I", data))
        elif kind == LIFE:
            self.life = fds.pop()
            self.watch(self.life, self.on_life)
        elif kind == BYE:
            self.other_left = True
            raise EOFError
        elif kind not in (BEAT, LEND, SAY, LEAVE, LOST):
            say(f"was sent a message of type {kind}")
            raise EOFError
        for fd in fds:
            os.close(fd)

    def on_drop(self, refs):
        for number, segment, slot, _ in refs:
            entry = self.entries.get(slot)
            if segment == 0 and entry and entry.id == number \
                    and not self.mine(entry):
                entry.sock.close()
                del self.entries[slot]

    def on_life(self):
        self.selector.unregister(self.life)
        os.close(self.life)
        self.life = None
        self.survive()

    def on_process(self):
        self.selector.unregister(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = None
        self.on_link()
        self.survive()

    def cut(self):
        if self.link:
            self.selector.unregister(self.link.sock)
            self.link.sock.close()
        self.link, self.joined = None, False
        self.survive()

    def survive(self):
        """The link is closed and no process of the other lives: what it had
        is this peer's. A record that it freed has another id."""
        if self.link or not self.partner:
            return
        if not self.other_left and (self.pidfd or self.life):
            return
        for fd in filter(None, (self.pidfd, self.life)):
            self.selector.unregister(fd)
            os.close(fd)
        self.pidfd = self.life = self.ping = self.offer = None
        back = gone = 0
        for entry in list(self.entries.values()):
            entry.copy = None
            record = entry.record
            if record.owner.value == self.place and record.id.value:
                continue
            if record.id.value == entry.id:
                record.owner.value = self.place
                back += 1
            else:
                gone += 1
                entry.sock.close()
                del self.entries[record.slot]
        if not self.serving:
            self.arena.owner.value = self.place
            self.arena.generation.value += 1
            self.serving = True
        say(f"left {self.partner['name']}: {back} back, {gone} gone")
        self.partner = None
        for entry in self.entries.values():
            self.rearm(entry)

    # The loop

    def on_command(self):
        for line in os.read(0, 4096).decode().split("\n"):
            word, _, rest = line.partition(" ")
            if word == "give":
                self.give()
            elif word == "take" and self.link:
                self.link.send(TAKE, struct.pack("<I", 2))
            elif word == "hold":
                self.hold = rest
                for entry in self.entries.values():
                    self.rearm(entry)
                say(f"holds at {rest}")
            elif word == "status":
                mine = sum(map(self.mine, self.entries.values()))
                say(f"owns {mine}, has {len(self.entries)}, serving "
                    f"{int(self.serving)}")
            elif word == "stop":
                self.ending = True
                if self.link:
                    self.link.send(BYE, struct.pack("<I", LEAVING))

    def beat(self):
        """Says what it believes; returns the seconds until the next."""
        every = max(10, min(1000, HANG_MS // 4,
                            (self.partner or {}).get("hang_ms", HANG_MS)
                            // 4)) / 1000
        now = time.monotonic()
        if now >= self.beat_at:
            self.beat_at = now + every
            if self.joined:
                covered = sum(e.copy == "held" and self.mine(e)
                              for e in self.entries.values())
                self.link.send(BEAT, struct.pack("<II", int(self.serving),
                                                 covered))
                self.mirror()
        if self.link and self.link.waiting:
            self.link.flush()
            return 0.01
        return self.beat_at - now if self.beat_at > now else 0

    def run(self):
        while not self.ending:
            for key, _ in self.selector.select(self.beat()):
                if key.fd in self.selector.get_map():
                    key.data()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--name", default="layout5")
    parser.add_argument("--buffer", type=int, default=65536)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--layout", type=int, default=LAYOUT,
                        help="says it has another one")
    parser.add_argument("--desk", action="store_true")
    peer = Peer(parser.parse_args())
    peer.start()
    peer.run()
    os._exit(0)  # the words of the arena are in use until then


if __name__ == "__main__":
    main()
