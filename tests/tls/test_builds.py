# SPDX-License-Identifier: MIT
"""Peers with TLS that differ, as in the upgrade of OpenSSL that a handoff is
for: connections that are open go on in any case; a handshake is finished where
it began, and ends if that peer dies.

HANDOFF_TLS_OTHER is a folder with libssl.so.3 and libcrypto.so.3 of another
build, such as those of an older package, for the second half of the tests."""
import os
import threading

from pki import Mem, TlsTest, main

OTHER = os.environ.get("HANDOFF_TLS_OTHER")


class Builds:
    """Peers take turns at being of one build and of the other."""

    def new(self, *options):
        """Options and environment for the next peer that is started."""
        raise NotImplementedError

    def birth(self):
        self.other = not getattr(self, "other", True)
        return self.other

    def different(self):
        """A peer of either kind."""
        one = self.with_build(self.first)
        return one, self.with_build(self.second)

    def kill_owner(self, *options, **how):
        self.peers[0].kill()
        self.peers[1].expect(": owner: .* died")
        self.peers.pop(0)
        self.moves = 0
        # the survivor is of the kind that was started last
        self.with_build(self.second)

    def begun(self):
        """A handshake whose client has not finished."""
        client = Mem(self, self.address, self.context())
        client.sock.sendall(client.hello())
        client.fill()
        return client

    def test_open_connections_go_on(self):
        self.different()
        clients = [self.client() for _ in range(3)]
        self.each_move(lambda: [self.exchange(c, "x" * 5000)
                                for c in clients], rounds=2)

    def test_a_death_ends_handshakes(self):
        self.different()
        for count in (1, 2):
            open_one = self.client()
            client = self.begun()
            survivor = self.peers[1]
            self.kill_owner()
            client.step(lambda c=client: c.tls.do_handshake() or 1)
            client.flush()
            self.assertEqual(client.sock.recv(1), b"")
            self.exchange(open_one)
            stats = self.stats(survivor)
            self.assertEqual((stats["strangers"], stats["mismatches"],
                              stats["replays"]), (1, 0, 0), count)
            self.exchange(self.client())

    def test_a_give_waits_for_handshakes(self):
        one, two = self.different()
        client = self.begun()
        give = threading.Thread(target=self.give)
        give.start()
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        give.join()
        self.exchange(client)
        self.assertEqual(self.stats(one)["handshakes"], 1)
        stats = self.stats(two)
        self.assertEqual((stats["strangers"], stats["replays"]), (0, 0))


class Versions(Builds, TlsTest):
    """By what the programs say of themselves."""

    def with_build(self, call):
        return call("--build", "b" if self.birth() else "a")


class Libraries(Builds, TlsTest):
    """By the libraries that they are linked with when they start."""

    def setUp(self):
        if not OTHER:
            self.skipTest("HANDOFF_TLS_OTHER names no other build of OpenSSL")
        super().setUp()

    def with_build(self, call):
        if not self.birth():
            return call()
        os.environ["LD_LIBRARY_PATH"] = OTHER
        try:
            peer = call()
        finally:
            del os.environ["LD_LIBRARY_PATH"]
        with open(f"/proc/{peer.pid}/maps", encoding="ascii") as maps:
            self.assertIn(os.path.realpath(OTHER), maps.read())
        return peer


if __name__ == "__main__":
    main()
