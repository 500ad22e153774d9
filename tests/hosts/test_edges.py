# SPDX-License-Identifier: MIT
"""Connections that move in the midst of something: half-closed, with full
queues on either side, with output that is not acknowledged, with an urgent byte,
before they were accepted, while the client sends again what was lost. Each in
IPv4 and IPv6, there and home, and every byte is compared."""
import contextlib
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess

from world import (BIN, DEADLINE, FERRY, PORT, SCALE, SEED, SERVICE4, SERVICE6,
                   TOOLS, Hosts, Program, main, wait_until)

IPPROTO_MPTCP = 262
LARGE = {"net/ipv4/tcp_rmem": "4096 524288 524288"}


class Stream:
    """A connection of C to the echo service, and what it has sent."""

    def __init__(self, test, address):
        self.test = test
        self.chance = random.Random(f"{SEED} {test.id()} {address}")
        self.sock = test.dial(address)
        self.six = address.startswith("[")
        self.port = self.sock.getsockname()[1]
        self.due = bytearray()

    def bytes(self, size):
        return self.chance.randbytes(size)

    def send(self, data, flags=0):
        self.sock.settimeout(DEADLINE)
        while data:
            done = self.sock.send(data, flags)
            self.due += data[:done]
            data = data[done:]

    def fill(self):
        """Until neither the service nor any queue takes more."""
        self.sock.setblocking(False)
        while select.select([], [self.sock], [], 0.3)[1]:
            data = self.bytes(65536)
            with contextlib.suppress(BlockingIOError):
                self.due += data[:self.sock.send(data)]
            self.test.assertLess(len(self.due), 64 << 20)

    def take_all(self):
        """All that is due comes, and nothing else."""
        self.sock.settimeout(DEADLINE)
        while self.due:
            data = self.sock.recv(min(len(self.due), 1 << 18))
            self.test.assertTrue(data, f"the end, with {len(self.due)} due")
            self.test.assertEqual(data, bytes(self.due[:len(data)]))
            del self.due[:len(data)]

    def take_some(self, seconds):
        """What comes until nothing has come for so long."""
        self.sock.setblocking(False)
        while select.select([self.sock], [], [], seconds)[0]:
            data = self.sock.recv(1 << 18)
            self.test.assertEqual(data, bytes(self.due[:len(data)]))
            self.test.assertTrue(data, f"the end, with {len(self.due)} due")
            del self.due[:len(data)]

    def check(self):
        self.take_all()
        self.send(self.bytes(1000))
        self.take_all()

    def take_end(self):
        self.take_all()
        self.test.assertEqual(self.sock.recv(1), b"")

    def queues(self, host):
        """Unread and unacknowledged bytes of the served socket there."""
        told = host.run("ss", "-6tnH" if self.six else "-4tnH", "state",
                        "all", f"{'s' if host is self.test.c else 'd'}port"
                        f" = :{self.port}")
        for line in told.splitlines():
            words = line.split()
            return int(words[1]), int(words[2])
        return None


class Edges(Hosts):
    def there_and_home(self, prepare, check=Stream.check, rounds=2):
        """For each address: `prepare` before each move, `check` after it."""
        self.both()
        streams = [Stream(self, address) for address in self.addresses]
        for stream in streams:
            stream.check()
        for number in range(rounds):
            source = (self.a, self.b)[number % 2]
            for stream in streams:
                prepare(stream, source)
            self.move_all(source, len(streams))
            for stream in streams:
                check(stream)
            self.assert_no_resets()
        return streams

    def unread(self, stream, host, least):
        wait_until(lambda: (stream.queues(host) or (0,))[0] >= least,
                   f"{least} bytes to be unread")

    def steady(self, stream, host):
        """How much is unread when everything has arrived."""
        seen = []

        def same():
            seen.append((stream.queues(self.c)[1], stream.queues(host)[0]))
            return len(seen) > 4 and set(seen[-4:]) == {(0, seen[-1][1])}
        wait_until(same, "all to arrive")
        return seen[-1][1]

    def unacked(self, stream, host, least):
        wait_until(lambda: (stream.queues(host) or (0, 0))[1] >= least,
                   f"{least} bytes not to be acknowledged")

    # Queues

    def test_full(self):
        """The client reads nothing: zero windows both ways, 128 KiB unread."""
        for host in (self.a, self.b):
            host.settings(LARGE)

        def prepare(stream, host):
            stream.fill()
            self.unread(stream, host, 128 << 10)
            self.unacked(stream, host, 1)
        self.there_and_home(prepare)

    def test_full_for_long(self):
        """It stays so through several moves."""
        self.both()
        streams = [Stream(self, address) for address in self.addresses]
        for stream in streams:
            stream.fill()
        for source in (self.a, self.b, self.a, self.b):
            self.move_all(source, 2)
        for stream in streams:
            stream.check()
        self.assert_no_resets()

    def test_half_closed_client(self):
        """Its end has come, and most of the answer is due."""
        self.both()
        streams = [Stream(self, address) for address in self.addresses]
        for stream in streams:
            stream.fill()
            stream.sock.shutdown(socket.SHUT_WR)
        self.move_all(self.a, 2)
        self.move_all(self.b, 2)
        for stream in streams:
            stream.take_end()
        self.assert_served(self.a, 0)
        self.assert_no_resets()

    def test_half_closed_by_the_service(self):
        """It has ended its side, and waits for the client's end."""
        self.both("chat", "chat")
        socks = [self.dial(address) for address in self.addresses]
        for sock in socks:
            lines = sock.makefile("rb")
            sock.sendall(b"name%d\n/quit\n" % sock.fileno())
            self.assertIn(b"welcome", lines.read())  # to the end
        self.move(self.a)
        for sock in socks:
            sock.shutdown(socket.SHUT_WR)
        self.await_(lambda: not self.served(self.a) and not
                    self.served(self.b), "all to have ended")
        self.assert_no_resets()

    # Losses

    @contextlib.contextmanager
    def deaf(self):
        """C drops what comes from the service."""
        self.c.run("nft", "add", "table", "inet", "deaf")
        self.c.run("nft", "add", "chain inet deaf input "
                   "{ type filter hook input priority 0; }")
        for address in ("ip saddr 10.77.0.100", "ip6 saddr fd77::100"):
            self.c.run("nft", "add", "rule", "inet", "deaf", "input",
                       f"{address} tcp sport 7000 drop")
        yield
        self.c.run("nft", "delete", "table", "inet", "deaf")

    @contextlib.contextmanager
    def mute(self):
        """Nothing leaves C."""
        self.world.pull(self.c)
        yield
        self.world.heal()

    def lossy(self, loss, arrived):
        """Something is under way in vain while the connections move."""
        self.both()
        streams = [Stream(self, address) for address in self.addresses]
        for source in (self.a, self.b):
            for stream in streams:  # the window grows
                for _ in range(50):
                    stream.send(stream.bytes(4000))
                    stream.take_all()
            with loss():
                for stream in streams:
                    stream.send(stream.bytes(20000))
                for stream in streams:
                    arrived(stream, source)
                self.move_all(source, 2)
            for stream in streams:
                stream.check()
            self.assert_no_resets()
        self.assertGreater(self.grown(self.c, "TcpRetransSegs")
                           + self.grown(self.a, "TcpRetransSegs")
                           + self.grown(self.b, "TcpRetransSegs"), 0)

    def test_unacknowledged_output(self):
        """The answers are lost: the service sends them again, from wherever
        it is; and the client what it thinks is lost."""
        self.lossy(self.deaf, lambda stream, host:
                   self.unacked(stream, host, 10000))

    def test_the_client_sends_again(self):
        """Nothing of it has arrived."""
        retransmitted = []

        def arrived(stream, host):
            del stream, host
            before = self.c.counters()["TcpRetransSegs"]
            wait_until(lambda: self.c.counters()["TcpRetransSegs"] > before,
                       "the client to send again")
            retransmitted.append(before)
        self.lossy(self.mute, arrived)
        self.assertEqual(len(retransmitted), 4)

    def test_urgent_byte(self):
        """Unread, among other bytes: it comes back in its place."""
        for host in (self.a, self.b):
            host.settings(LARGE)

        def prepare(stream, host):
            # The answers are not taken, so the service stops to read.
            before = 0
            while not before:
                stream.send(stream.bytes(128 << 10))
                before = self.steady(stream, host)
            self.urgent(stream)
            self.unread(stream, host, before + 1001)

        def check(stream):
            stream.take_all()
            self.urgent(stream)
            stream.take_all()
        self.there_and_home(prepare, check)

    @staticmethod
    def urgent(stream):
        stream.send(stream.bytes(500))
        stream.send(b"!", socket.MSG_OOB)
        stream.send(stream.bytes(500))

    # Connections that begin or end

    def test_accept_queue(self):
        """The server does not accept for a while; then it is to leave."""
        server, _ = self.both()
        server.signal(signal.SIGSTOP)
        streams = [Stream(self, address)
                   for address in self.addresses for _ in range(20)]
        for stream in streams:
            stream.send(stream.bytes(5000))
        mover = self.move_later(self.a)
        server.signal(signal.SIGCONT)
        self.finished(mover)
        for stream in streams:
            stream.check()
        self.assert_served(self.b, 40)
        self.assert_no_resets()

    def test_resets_of_a_client(self):
        """A client that resets while its connection moves ends it, wherever
        that is by then."""
        self.both()
        streams = [Stream(self, self.addresses[i % 2]) for i in range(40)]
        for stream in streams:
            stream.check()
        linger = b"\1\0\0\0\0\0\0\0"
        for stream in streams[::2]:
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        stop = self.stop_at(self.ferries[self.a], "handoff__sending_frozen")
        mover = self.move_later(self.a)
        stop.hit()
        for stream in streams[::2]:
            stream.sock.close()
        stop.go()
        self.finished(mover)
        for stream in streams[1::2]:
            stream.check()
        self.assert_served(self.b, 20)

    def test_ends_of_a_client(self):
        """The same with an orderly end, whose packets wait."""
        self.both()
        streams = [Stream(self, self.addresses[i % 2]) for i in range(40)]
        for stream in streams:
            stream.check()
        stop = self.stop_at(self.ferries[self.a], "handoff__sending_frozen")
        mover = self.move_later(self.a)
        stop.hit()
        for stream in streams[::2]:
            stream.send(stream.bytes(3000))
            stream.sock.shutdown(socket.SHUT_WR)
        stop.go()
        self.finished(mover)
        for stream in streams[::2]:
            stream.take_end()
        for stream in streams[1::2]:
            stream.check()
        self.assert_served(self.b, 20)
        self.assert_no_resets()

    def ending(self, host):
        """Connections there that have ended, and wait for the client."""
        return host.run("ss", "-tnH", "state", "last-ack",
                        "sport = :7000").count("\n")

    def end_unheard(self):
        """Some connections end, and the clients do not hear of it."""
        streams = [Stream(self, self.addresses[i % 2]) for i in range(8)]
        for stream in streams:
            stream.check()
        stack = contextlib.ExitStack()
        stack.enter_context(self.deaf())
        for stream in streams[::2]:
            stream.send(stream.bytes(3000))
            stream.sock.shutdown(socket.SHUT_WR)
        self.await_(lambda: self.ending(self.a) == 4, "4 to end")
        return streams, stack

    def test_ends_under_way(self):
        """What ends on the old host does, before its address leaves."""
        self.both()
        streams, deaf = self.end_unheard()
        stop = self.stop_at(self.ferries[self.a], "handoff__halfopen_ending")
        mover = self.move_later(self.a)
        stop.hit()
        deaf.close()
        self.await_(lambda: self.ending(self.a) == 0, "all to have ended")
        stop.go()
        self.finished(mover)
        for stream in streams[::2]:
            stream.take_end()
        for stream in streams[1::2]:
            stream.check()
        self.assert_served(self.b, 4)
        self.assert_no_resets()

    def test_ends_that_do_not_come(self):
        """They are not waited for for long."""
        self.both()
        streams, deaf = self.end_unheard()
        self.move(self.a)
        deaf.close()
        for stream in streams[1::2]:
            stream.check()
        self.assert_served(self.b, 4)

    def test_multipath(self):
        """A connection of Multipath TCP cannot move, and says so; plain ones
        to the same listener can."""
        if not os.path.exists("/proc/sys/net/mptcp/enabled"):
            self.skipTest("the kernel has no MPTCP")
        self.both(env={"LD_PRELOAD": os.path.join(TOOLS, "libmptcp.so"),
                       "ASAN_OPTIONS": "verify_asan_link_order=0"})
        load = self.load("--connections", 6).ready()
        with self.c.inside():
            sock = socket.socket(proto=IPPROTO_MPTCP)
        self.sockets.append(sock)
        sock.settimeout(DEADLINE)
        sock.connect(("10.77.0.100", 7000))
        self.assert_echo(sock)
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertRegex(said, "would move 6 of 7 .*, 1 left: 1 MPTCP")
        self.assert_echo(sock)
        self.end(load)
        for again in ("moved 0 of 1 .*, 1 left: 1 MPTCP", "already"):
            code, out, err = self.ctl_on(self.a, "maintenance", "--to", "b")
            self.assertEqual(code, 1)
            self.assertRegex(out, f"{again}.*\nerror 1 connection stays on "
                             "this host, which its address has left")
            self.assertIn("not every connection could move", err)

    def test_syns_in_the_gap(self):
        """Packets of connections that begin are held in the last step: they
        are there at once when it is over, without a second SYN."""
        self.both()
        load = self.load("--connections", 10).ready()
        stop = self.stop_at(self.ferries[self.a], "handoff__address_off_device")
        mover = self.move_later(self.a)
        stop.hit()
        socks = []
        with self.c.inside():
            for address in self.addresses:
                host, port = address.rsplit(":", 1)
                sock = socket.socket(socket.AF_INET6 if "[" in address
                                     else socket.AF_INET)
                self.sockets.append(sock)
                sock.setblocking(False)
                sock.connect_ex((host.strip("[]"), int(port)))
                socks.append(sock)
        stop.go()
        self.finished(mover)
        for sock in socks:
            sock.settimeout(DEADLINE)
            self.assertTrue(select.select([], [sock], [], 0.9)[1],
                            "a SYN was lost")
            self.assert_echo(sock)
        load.check()
        self.assert_served(self.b, 12)
        self.end(load)


class Errors(Hosts):
    """Of ICMP, about packets of connections that have moved."""

    def too_big(self, stream):
        """As a router would tell the service: only 1300 bytes fit."""
        sequence = self.received(stream.sock)
        tcp = struct.pack("!HHII", 7000, stream.port, sequence, 0)
        tcp += b"\x50\x10\x20\0\0\0\0\0"
        with self.c.inside():
            if stream.six:
                error = struct.pack("!BBHI", 2, 0, 0, 1300) + struct.pack(
                    "!IHBB", 6 << 28, len(tcp), 6, 64)
                error += ip("fd77::100") + ip(self.own(stream)) + tcp
                with socket.socket(socket.AF_INET6, socket.SOCK_RAW,
                                   socket.IPPROTO_ICMPV6) as sock:
                    sock.sendto(error, (SERVICE6, 0))
                return
            inner = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0x4000, 64, 6, 0)
            inner += ip(SERVICE4) + ip(self.own(stream))
            error = struct.pack("!BBHHH", 3, 4, 0, 0, 1300) + inner + tcp
            error = error[:2] + struct.pack("!H", checksum(error)) + error[4:]
            with socket.socket(socket.AF_INET, socket.SOCK_RAW,
                               socket.IPPROTO_ICMP) as sock:
                sock.sendto(error, (SERVICE4, 0))

    @staticmethod
    def own(stream):
        return stream.sock.getsockname()[0]

    @staticmethod
    def received(sock):
        """What the next byte from the service will be numbered."""
        repair, queue, number = 19, 20, 21
        sock.setsockopt(socket.IPPROTO_TCP, repair, 1)
        sock.setsockopt(socket.IPPROTO_TCP, queue, 1)
        sequence = sock.getsockopt(socket.IPPROTO_TCP, number)
        sock.setsockopt(socket.IPPROTO_TCP, repair, -1)
        return sequence & 0xffffffff

    def path(self, stream, host):
        told = host.run("ss", "-6tinH" if stream.six else "-4tinH",
                        f"dport = :{stream.port}")
        return re.search(r"pmtu:(\d+)", told)[1]

    def test_are_forwarded(self):
        """The service learns there that its packets are too long."""
        self.both()
        streams = [Stream(self, address) for address in self.addresses]
        for stream in streams:
            stream.check()
        stop = self.stop_at(self.ferries[self.a], "handoff__address_off_device")
        mover = self.move_later(self.a)
        stop.hit()
        for stream in streams:
            self.assertEqual(self.path(stream, self.b), "1500")
            self.too_big(stream)
            self.await_(lambda stream=stream:
                        self.path(stream, self.b) == "1300",
                        "the service to know it")
        stop.go()
        self.finished(mover)
        for stream in streams:
            stream.check()

    def test_stay(self):
        """While others move, they get to what is still here."""
        self.both()
        streams = [Stream(self, address) for address in self.addresses]
        for stream in streams:
            stream.check()
        stop = self.stop_at(self.ferries[self.a], "handoff__sending_begin")
        mover = self.move_later(self.a)
        stop.hit()
        for stream in streams:
            self.too_big(stream)
            self.await_(lambda stream=stream:
                        self.path(stream, self.a) == "1300",
                        "the service to know it")
        stop.go()
        self.finished(mover)
        for stream in streams:
            stream.check()


def ip(text):
    return socket.inet_pton(
        socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


class Two(Hosts):
    """Another service on the same hosts, whose ferries have the same names."""

    def second(self):
        """It begins on A, too; its directories."""
        dirs = {host: host.dir + "2" for host in (self.a, self.b)}
        self.a.ip("addr add 10.77.0.101/24 dev e0")
        server = self.start_on(self.a, "server", "--dir", dirs[self.a],
                               "--listen", "10.77.0.101:7100")
        server.expect(": owner: ")
        ferries = {host: self.start_on(
            host, os.path.join(FERRY, "handoff-ferry"), "--dir", dirs[host],
            *(("--to",) if host is self.a else ("--listen",)),
            f"{self.b.address}:7002", "--cert", host.cert, "--key", host.key,
            "--peer-cert", self.world.other(host).cert, "--address",
            "10.77.0.101/24", "--dev", "e0", "--name", "ferry-" + host.name)
                   for host in (self.b, self.a)}
        self.start_on(self.b, "alt_server", "--dir", dirs[self.b]).expect(
            ": standby: ")
        return dirs, ferries

    def tables(self):
        return sorted(line.split()[2] for line in self.a.run(
            "nft", "list", "tables", "ip").splitlines()
                      if " handoff-" in line)

    def test_each_has_rules_of_its_own(self):
        """Both move at once: when one ends and takes its rules away, those of
        the other one stay."""
        self.both()
        dirs, ferries = self.second()
        streams = [Stream(self, f"{SERVICE4}:{PORT}"),
                   Stream(self, "10.77.0.101:7100")]
        for stream in streams:
            stream.check()
        movers, stops = [], []
        for host_dir, ferry in ((self.a.dir, self.ferries[self.a]),
                                (dirs[self.a], ferries[self.a])):
            stops.append(self.stop_at(ferry, "handoff__sending_serving"))
            words = [os.path.join(BIN, "handoffctl"), "--dir", host_dir,
                     "maintenance", "--to", "b"]
            self.await_(lambda words=words: "would move 1 of 1" in
                        self.said(words + ["--dry-run"]), "B to be ready")
            movers.append(Program(self.a.prefix() + words))
            self.programs.append(movers[-1])
            stops[-1].hit()
        both = self.tables()
        self.assertEqual(len(set(both)), 2, both)
        stops[0].go()
        self.finished(movers[0])
        self.await_(lambda: len(self.tables()) == 1,
                    "the rules of the first to go", 30 * SCALE)
        self.assertIn(self.tables()[0], both)
        stops[1].go()
        self.finished(movers[1])
        for stream in streams:
            stream.check()
        self.assertEqual(self.world.resets(), 0)

    def said(self, words):
        """By a command on A."""
        return subprocess.run(
            self.a.prefix() + words, check=False,
            capture_output=True, text=True, timeout=60 * SCALE).stdout


if __name__ == "__main__":
    main()
