# SPDX-License-Identifier: MIT
"""The arena of layout 5, byte by byte as handoff_protocol(7) has it: part of
layout5.py, and frozen like that. Numbers are those of the host. What another
process may read at any moment is stored by ctypes, 4 or 8 aligned bytes at a
time, which is one store in CPython on x86-64."""
import ctypes
import fcntl
import mmap
import os
import struct
import time

LAYOUT = 5
MAGIC = 0x31474553444E4148
PAGE, RECORDS, BULLETIN_HEAD = 4096, 73728, 4096 + 8
RECORD, COMMITS, COMMIT_SIZE, STATES = 160, 64, 48, 160
DESKS, SLOTS = 128, 1024
COMMIT = struct.Struct("=QQQQIIQ")
OPENED, EOF, EOF_DONE = 1, 2, 4


def text32(text):
    return text.encode()[:31].ljust(32, b"\0")


class Geometry:
    def __init__(self, state_size, buffer):
        self.state_size, self.buffer = state_size, buffer
        self.state_room = (state_size + 15) // 16 * 16
        self.stride = (RECORD + 2 * self.state_room + 63) // 64 * 64
        records = (SLOTS * self.stride + PAGE - 1) // PAGE * PAGE
        self.buffers = RECORDS + records
        self.each = 3 * buffer
        self.desks = self.buffers + SLOTS * self.each
        self.size = self.desks + DESKS * self.each


class Arena:
    """Segment 0, and no other."""

    def __init__(self, geometry, state_version, instance, place):
        self.geo = geometry
        self.fd = os.memfd_create("handoff-arena",
                                  os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, geometry.size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK
                    | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.memory = mmap.mmap(self.fd, geometry.size)
        struct.pack_into("=QIIIIII", self.memory, 0, MAGIC, LAYOUT, SLOTS,
                         geometry.state_size, geometry.buffer,
                         geometry.buffer, state_version)
        self.next_id = self.word64(32)
        self.next_other = self.word64(40)
        self.generation = self.word64(48)
        self.away = self.word32(56)
        self.owner = self.word32(60)
        self.cause = self.word32(64)
        self.id = instance ^ 0x5555
        struct.pack_into("=Q", self.memory, 120, self.id)
        self.next_id.value = 1
        self.generation.value = 1
        self.owner.value = place

    def word32(self, at):
        return ctypes.c_uint32.from_buffer(self.memory, at)

    def word64(self, at):
        return ctypes.c_uint64.from_buffer(self.memory, at)

    def set_home(self, name, instance):
        struct.pack_into("=qQ32s", self.memory, 72, time.time_ns() // 10**6,
                         instance, text32(name))

    def heard(self):
        return struct.unpack_from("=Q", self.memory, BULLETIN_HEAD)[0]


class Record:
    """One record with its buffers."""

    def __init__(self, arena, slot):
        self.arena, self.slot, self.geo = arena, slot, arena.geo
        self.memory = arena.memory
        self.at = at = RECORDS + slot * self.geo.stride
        self.owner = arena.word32(at)
        self.kind = arena.word32(at + 4)
        self.id = arena.word64(at + 8)
        self.rx_head = arena.word64(at + 16)
        self.tx_tail = arena.word64(at + 24)
        self.activity = arena.word32(at + 32)
        self.sequence = arena.word32(at + 36)
        self.desk = arena.word32(at + 60)
        self.buffer_at = self.geo.buffers + slot * self.geo.each

    def allocate(self, place):
        """No other process takes records from this segment while it lives."""
        self.owner.value = place
        self.memory[self.at + 4:self.at + self.geo.stride] = bytes(
            self.geo.stride - 4)

    def free(self):
        self.id.value = 0
        self.memory[self.buffer_at:self.buffer_at + self.geo.each] = bytes(
            self.geo.each)
        self.memory[self.at + 4:self.at + self.geo.stride] = bytes(
            self.geo.stride - 4)
        self.owner.value = 0

    def touch(self):
        if self.desk.value & 0xFF == 0:
            self.memory[self.at + 56] = 1

    def handling(self, runs):
        self.memory[self.at + 57] = 0x80 if runs else 0

    # Where the bytes are: its own buffers, or a desk.

    def rx(self):
        number = self.desk.value & 0xFF
        if number == 0:
            return self.buffer_at
        return self.geo.desks + (number - 1) * self.geo.each

    def tx(self):
        return self.rx() + 2 * self.geo.buffer

    def set_desk(self, number):
        count = (self.desk.value >> 8) + 1
        self.desk.value = (count << 8 | number) & 0xFFFFFFFF

    # Commits

    def commit(self):
        return list(COMMIT.unpack_from(
            self.memory, self.at + COMMITS
            + (self.sequence.value & 1) * COMMIT_SIZE))

    def state_at(self, which):
        return self.at + STATES + which * self.geo.state_room

    def state(self):
        at = self.state_at(self.sequence.value & 1)
        return bytearray(self.memory[at:at + self.geo.state_size])

    def prepare(self, commit, state):
        """Writes the spare commit and state."""
        sequence = self.sequence.value
        spare = (sequence & 1) ^ 1
        commit[5] = (sequence + 1) & 0xFFFFFFFF
        COMMIT.pack_into(self.memory, self.at + COMMITS + spare * COMMIT_SIZE,
                         *commit)
        at = self.state_at(spare)
        self.memory[at:at + len(state)] = bytes(state)

    def flip(self):
        self.sequence.value = (self.sequence.value + 1) & 0xFFFFFFFF

    def flag(self, flags):
        commit = self.commit()
        commit[4] |= flags
        self.prepare(commit, self.state())
        self.flip()

    # Bytes

    def room(self):
        """Where input goes, and how much."""
        commit = self.commit()
        head, size = self.rx_head.value, self.geo.buffer
        unread = head - commit[0]
        if commit[0] - commit[2] >= size:
            start = self.rx()
            old = start + commit[0] - commit[2]
            self.memory[start:start + unread] = self.memory[old:old + unread]
            commit[2] = commit[0]
            self.prepare(commit, self.state())
            self.flip()
        at = self.rx() + head - commit[2]
        return at, size - unread

    def unsent(self):
        return self.commit()[1] - self.tx_tail.value

    def unread(self):
        return self.rx_head.value - self.commit()[0]

    def piece(self):
        """The first piece of the output that is in one place."""
        commit = self.commit()
        size = self.geo.buffer
        at = (self.tx_tail.value - commit[3]) % size
        return self.tx() + at, min(commit[1] - self.tx_tail.value, size - at)


class Transaction:
    """What the handler sees."""

    def __init__(self, record):
        self.record = record
        self.commit = record.commit()
        self.saved = record.state()
        self.head, self.tail = record.rx_head.value, record.tx_tail.value
        if self.tail == self.commit[1]:
            self.commit[3] = self.commit[1]
        at = record.rx() + self.commit[0] - self.commit[2]
        self.input = record.memory[at:at + self.head - self.commit[0]]
        self.eof = bool(self.commit[4] & EOF)

    def room(self):
        return self.record.geo.buffer - (self.commit[1] - self.tail)

    def write(self, data):
        record, size = self.record, self.record.geo.buffer
        data = data[:self.room()]
        at = (self.commit[1] - self.commit[3]) % size
        first = data[:size - at]
        tx = record.tx()
        record.memory[tx + at:tx + at + len(first)] = first
        record.memory[tx:tx + len(data) - len(first)] = data[len(first):]
        self.commit[1] += len(data)
        return len(data)

    def consume(self, size):
        self.commit[0] += size
        self.input = self.input[size:]

    def end(self, hold):
        """Makes it all valid; False if the turn is held before."""
        if self.eof:
            self.commit[4] |= EOF_DONE
        if self.commit[0] == self.head:
            self.commit[2] = self.head
        self.record.prepare(self.commit, self.saved)
        if hold:
            return False
        self.record.flip()
        return True
