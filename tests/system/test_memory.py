# SPDX-License-Identifier: MIT
"""Nothing of a client is left in shared memory once it has gone, however it
left and whichever process served it; and the memory is returned to the kernel.
"""
import socket
import struct

from harness import SystemTest, main, wait_until
from memory import Arena

SECRET = b"the secret of a client"
CLIENTS = 20


class Memory(SystemTest):
    def arena_of(self, program):
        arena = Arena(program.pid)
        self.addCleanup(arena.close)
        return arena

    def say(self, address, size, answered=True):
        """Clients that have said a secret, after `size` other bytes."""
        text = b"x" * size + SECRET + b"\n"
        socks = [self.connect(address) for _ in range(CLIENTS)]
        for sock in socks:
            sock.sendall(text)
        for sock in socks if answered else ():
            self.assertEqual(self.receive(sock, len(text)), text)
        return socks

    def leave(self, socks, how):
        for sock in socks:
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
            elif how == "half-close":
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass
            sock.close()

    def assert_nothing(self, arena, name, what):
        self.wait_peer(name, connections=0)
        # A child or thread may be at its last instructions.
        wait_until(lambda: arena.count(SECRET) == 0, what, 5)

    def gone(self, *options):
        server = self.server(*options)
        arena = self.arena_of(server)
        for how in ("close", "half-close", "reset"):
            for size, answered in ((0, True), (0, False), (3000, True),
                                   (100000, True)):
                with self.subTest(how=how, size=size, answered=answered):
                    socks = self.say(server.address, size, answered)
                    self.leave(socks, how)
                    self.assert_nothing(arena, "server", f"{how}, {size}")

    def test_gone_loop(self):
        self.gone()

    def test_gone_workers(self):
        self.gone("--workers", 3)

    def test_gone_thread(self):
        self.gone("--model", "thread")

    def test_gone_fork(self):
        self.gone("--model", "fork")

    def test_it_is_found(self):
        """While it is there; else the other tests would prove nothing."""
        server = self.server("--model", "thread")
        arena = self.arena_of(server)
        socks = self.say(server.address, 0)
        self.assertGreater(arena.count(SECRET), 0)
        self.leave(socks, "close")
        self.assert_nothing(arena, "server", "at all")

    def moved(self, *options):
        server, standby = self.pair(*options)
        arena = self.arena_of(server)
        socks = self.say(server.address, 5000)
        self.ok("maintenance")
        self.wait_peer("alt", connections=CLIENTS)
        self.leave(socks, "reset")
        self.wait_peer("alt", connections=0)
        # What the desk of the one that gave them still has goes with it.
        self.assertEqual(server.stop(), 0)
        standby.expect(": left: ")
        self.assert_nothing(arena, "alt", "after a move")

    def test_moved_loop(self):
        self.moved()

    def test_moved_thread(self):
        self.moved("--model", "thread")

    def survived(self, *options):
        server, standby = self.pair(*options)
        arena = self.arena_of(server)
        socks = self.say(server.address, 5000)
        self.wait_peer("server", uncovered=0)
        server.kill()
        standby.expect(": owner: ")
        self.leave(socks, "reset")
        self.assert_nothing(arena, "alt", "after a death")

    def test_survived_loop(self):
        self.survived()

    def test_survived_fork(self):
        self.survived("--model", "fork")


if __name__ == "__main__":
    main()
