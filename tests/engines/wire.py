# SPDX-License-Identifier: MIT
"""What goes over the wire: every byte, end and answer to a new connection that a
host sends for the first time, as the port of the switch sees it. A segment that
is sent again, an acknowledgement and a reset are none of these."""
import contextlib
import socket
import struct
import threading
import time

__all__ = ("Wire", "boot_ns")

SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
ETH_P_ALL, PACKET_OUTGOING = 3, 4
FIN, SYN, RST = 1, 2, 4


def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Wire:
    """Of one TCP port of one host; `first` has (nanoseconds on CLOCK_BOOTTIME,
    what) of each first transmission, in order."""

    def __init__(self, network, host, port):
        self.port = port
        self.first = []
        self.packets = 0
        self.highest = {}  # of each client: the number behind all that was sent
        with network.switch.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                      socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.bind((f"p{host.name}", ETH_P_ALL))
        self.sock.settimeout(0.1)
        self.ends = False
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def close(self):
        self.ends = True
        self.thread.join()
        self.sock.close()

    def dropped(self):
        """How many the kernel had no room for (PACKET_STATISTICS)."""
        stats = self.sock.getsockopt(263, 6, 8)
        return struct.unpack("II", stats)[1]

    def _read(self):
        while not self.ends:
            with contextlib.suppress(TimeoutError):
                data, more, _, address = self.sock.recvmsg(256, 64)
                if address[2] != PACKET_OUTGOING:
                    self._packet(data, self._time(more))

    @staticmethod
    def _time(more):
        """When the kernel saw it: it tells by another clock."""
        at = time.clock_gettime_ns(time.CLOCK_REALTIME)
        for _, kind, data in more:
            if kind == SO_TIMESTAMPNS:
                seconds, rest = struct.unpack("qq", data)
                return boot_ns() - at + seconds * 1000000000 + rest
        raise AssertionError("a packet without a time")

    def _packet(self, data, at):
        if data[12:14] != b"\x08\x00" or data[23] != socket.IPPROTO_TCP:
            return
        ip = data[14:]
        tcp = ip[(ip[0] & 15) * 4:]
        port, to, seq = struct.unpack_from("!HHI", tcp)
        flags = tcp[13]
        if port != self.port or flags & RST:
            return
        self.packets += 1
        length = struct.unpack_from("!H", ip, 2)[0] - (ip[0] & 15) * 4 - \
            (tcp[12] >> 4) * 4
        self._sent(at, (ip[16:20], to), seq,
                   length + bool(flags & SYN) + bool(flags & FIN), flags)

    def _sent(self, at, client, seq, length, flags):
        end = (seq + length) & 0xffffffff
        last = self.highest.get(client)
        if last is not None and (flags & SYN) and end != last[1]:
            last = None  # another connection
        if length == 0 or (last is not None and not
                           0 < (end - last[0]) & 0xffffffff < 1 << 31):
            return
        begin = end if flags & SYN else last[1] if last else None
        self.highest[client] = (end, begin)
        what = "SYN" if flags & SYN else "FIN" if flags & FIN else "data"
        self.first.append((at, f"{what} to port {client[1]}, number {seq}"))
