# SPDX-License-Identifier: MIT
"""The service's hook for the end of a connection: once for each, in every model,
whichever process ends it, across handoffs and deaths."""
import os
import signal
import socket
import struct

from harness import TOOLS, SystemTest, main, wait_until

SERVICE = os.path.join(TOOLS, "conn_service")
MODELS = {
    "loop": (), "thread": ("--model", "thread"), "workers": ("--workers", "3"),
    "fork": ("--model", "fork"),
}


class ConnTest(SystemTest):
    """Peers with that service, and its clients."""

    def first(self, *options, name="one"):
        owner = self.start(SERVICE, "--dir", self.dir, "--name", name,
                           "--listen", "127.0.0.1:0", *options)
        owner.address = owner.expect(r": listening on (\S+)")[1]
        owner.expect(": owner: ")
        return owner

    def next(self, name, *options):
        peer = self.start(SERVICE, "--dir", self.dir, "--name", name, *options)
        peer.expect(": standby: ")
        return peer

    def covered(self, name):
        wait_until(lambda: (peer := self.peer(name)) and peer["uncovered"] == 0
                   and peer["partner"] == "ready", f"all of {name} covered")

    def say(self, sock, line, answer=None):
        answer = (line if answer is None else answer).encode() + b"\n"
        sock.sendall(line.encode() + b"\n")
        self.assertEqual(self.receive(sock, len(answer)), answer)

    def client(self, address):
        """A connection that was answered once, and its number."""
        sock = self.connect(address)
        self.say(sock, "hello")
        return sock

    def dies(self, program):
        self.assertEqual(program.wait(), -signal.SIGABRT, program.output())
        self.programs.remove(program)  # which may not end like that

    def ends(self, *programs):
        """What they have said of ends: (number, reason, address, calls)."""
        lines = [line.split() for program in programs
                 for line in program.lines if line.startswith("ended ")]
        return sorted((int(line[1]), line[2], line[3], int(line[5]))
                      for line in lines)

    def wait_ends(self, count, *programs):
        wait_until(lambda: len(self.ends(*programs)) >= count,
                   f"{count} ends")
        found = self.ends(*programs)
        self.assertEqual(len(found), count, found)
        return found


def name_of(sock):
    return "%s:%d" % sock.getsockname()[:2]


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


class Ended(ConnTest):
    def each_reason(self, *options):
        one = self.first(*options)
        socks = [self.client(one.address) for _ in range(5)]
        names = [name_of(sock) for sock in socks]
        socks[0].close()
        reset(socks[1])
        self.say(socks[2], "close", "")
        self.assertEqual(self.receive(socks[2], 1), b"")
        socks[3].sendall(b"fail\n")
        self.assertEqual(self.receive(socks[3], 1), b"")
        socks[4].sendall(b"abort\n")
        with self.assertRaises(ConnectionResetError):
            self.receive(socks[4], 1)
        self.assertEqual(self.wait_ends(5, one), [
            (1, "client", names[0], 1), (2, "error", names[1], 1),
            (3, "service", names[2], 2), (4, "handler", names[3], 1),
            (5, "service", names[4], 2)])
        last = self.client(one.address)
        self.assertEqual(one.stop(), 0)
        self.assertEqual(self.receive(last, 1), b"")
        self.assertEqual(self.wait_ends(6, one)[5],
                         (6, "stop", name_of(last), 1))

    def test_reasons_loop(self):
        self.each_reason(*MODELS["loop"])

    def test_reasons_thread(self):
        self.each_reason(*MODELS["thread"])

    def test_reasons_workers(self):
        self.each_reason(*MODELS["workers"])

    def test_reasons_fork(self):
        self.each_reason(*MODELS["fork"])

    def across(self, *options):
        """Clients that stay, and clients that go while the service moves and
        while its owner dies: each ends once."""
        count = 60
        programs = [self.first(*options)]
        programs.append(self.next("two", *options))
        socks = [self.client(programs[0].address) for _ in range(count)]
        names = {name_of(sock) for sock in socks}
        self.covered("one")
        for number in range(10):
            for sock in socks[number::20]:
                sock.close()
            self.ok("ready", "--silent") if number % 2 else \
                self.ok("maintenance")
        wait_until(lambda: sum(peer["connections"] for peer in
                               self.status()["peers"]) == count / 2,
                   "half of them")
        self.wait_ends(count // 2, *programs)
        for sock in socks[10::20] + socks[11::20]:
            sock.close()
        programs[0].kill()
        programs[1].expect(": owner: .* died; took over")
        programs.append(self.next("three", *options))
        self.covered("two")
        for number in range(12, 20):
            for sock in socks[number::20]:
                self.say(sock, "still here")
                sock.close()
        # what a dead process had said of them may be there twice
        wait_until(lambda: {end[2] for end in self.ends(*programs)} == names,
                   "each has ended")
        wait_until(lambda: sum(peer["connections"] for peer in
                               self.status()["peers"]) == 0, "none is left")
        ends = self.ends(*programs)
        late = [end for end in ends if end[3] == 2]
        self.assertEqual(len(late), 24)
        self.assertEqual({end[1] for end in late}, {"client"})
        self.assertLessEqual(len(ends), count + 6, ends)

    def test_across_loop(self):
        self.across(*MODELS["loop"])

    def test_across_thread(self):
        self.across(*MODELS["thread"])

    def test_across_workers(self):
        self.across(*MODELS["workers"])

    def test_across_fork(self):
        self.across(*MODELS["fork"])


class Deadly(ConnTest):
    """A death in the hook: it runs again, and not a third time."""

    def deadly(self, count):
        """The hook kills `count` processes."""
        path = os.path.join(self.base, "deadly")
        for number in range(count):
            with open(f"{path}.{number}", "w", encoding="ascii"):
                pass
        return path

    def test_second_run(self):
        path = self.deadly(1) + ".0"
        one = self.first("--deadly", path)
        two = self.next("two", "--deadly", path)
        stays, goes = self.client(one.address), self.client(one.address)
        self.covered("one")
        goes.close()
        self.dies(one)
        two.expect(": owner: ")
        self.say(stays, "still here")
        # it is a suspect: not before a standby covers the others
        self.assertEqual(self.peer("two")["suspects"], 1)
        self.assertEqual(self.ends(two), [])
        self.next("three", "--deadly", path)
        self.assertEqual(self.wait_ends(1, two)[0][:2], (2, "client"))
        self.say(stays, "still here")

    def test_not_a_third_time(self):
        path = self.deadly(2)
        one = self.first("--deadly", path + ".0")
        two = self.next("two", "--deadly", path + ".1")
        stays, goes = self.client(one.address), self.client(one.address)
        self.covered("one")
        goes.close()
        self.dies(one)
        two.expect(": owner: ")
        three = self.next("three", "--deadly", path + ".2")
        self.dies(two)
        three.expect(": owner: .* 1 closed")
        self.say(stays, "still here")
        self.assertEqual(self.ends(three), [])

    def test_child(self):
        """In model fork only a child dies of it, twice."""
        path = self.deadly(1) + ".0"
        one = self.first("--model", "fork", "--deadly", path)
        stays, goes = self.client(one.address), self.client(one.address)
        goes.close()
        ends = self.wait_ends(2, one)
        self.assertEqual([end[:2] for end in ends], [(2, "client")] * 2)
        self.say(stays, "still here")
        wait_until(lambda: self.peer("one")["connections"] == 1, "one is left")


if __name__ == "__main__":
    main()
