# SPDX-License-Identifier: MIT
"""A proxy whose pairs of connections move: bytes that stream through it both
ways arrive exactly, whatever becomes of the two peers, and whichever end closes
first. HANDOFF_LONG=1 is the full form."""
import os
import select
import signal
import socket
import struct
import threading
import time

from harness import BIN, DEADLINE, SystemTest, main, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
PAIRS = 200 if LONG else 50
MOVES = 20
MODELS = {"loop": (), "workers": ("--workers", "3"),
          "thread": ("--model", "thread"), "fork": ("--model", "fork")}


class Proxied(SystemTest):
    """Proxies in self.dir, and what they connect to."""

    def setUp(self):
        super().setUp()
        self.count = 0

    def backend(self):
        """A server of the library that sends back what it gets."""
        program = self.start("server", "--dir", os.path.join(self.base, "b"),
                             "--listen", "127.0.0.1:0")
        return program.expect(r": listening on (\S+)")[1]

    def proxy(self, backend, *options, listen=("--listen", "127.0.0.1:0")):
        self.count += 1
        name = f"proxy{self.count}"
        program = self.start("proxy", "--dir", self.dir, "--name", name,
                             "--backend", backend, *listen, *options)
        program.name = name
        return program

    def first(self, backend, *options):
        program = self.proxy(backend, *options)
        self.address = program.expect(r": listening on (\S+)")[1]
        program.expect(": owner: ")
        return program

    def second(self, backend, *options):
        program = self.proxy(backend, *options, listen=())
        program.expect(": standby: ")
        return program

    def listener(self, backlog=128):
        sock = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        sock.settimeout(20)
        self.sockets.append(sock)
        return sock, "127.0.0.1:%d" % sock.getsockname()[1]

    def accept(self, listener):
        sock, _ = listener.accept()
        sock.settimeout(20)
        self.sockets.append(sock)
        return sock

    def through(self, listener):
        """A client, and the backend's side of its pair."""
        client = self.connect(self.address)
        return client, self.accept(listener)

    def connections(self, name):
        peer = self.peer(name)
        return peer["connections"] if peer else None


class Streaming(Proxied):
    def stream(self, model, kill):
        backend = self.backend()
        options = MODELS[model]
        peers = [self.first(backend, *options),
                 self.second(backend, *options)]
        load = self.load(self.address, "--connections", PAIRS, "--seconds",
                         600).ready()
        for turn in range(MOVES):
            owner, standby = peers
            self.wait_peer(owner.name, connections=2 * PAIRS, uncovered=0)
            self.wait_peer(standby.name, held=2 * PAIRS)
            if kill:
                owner.signal(signal.SIGKILL)
                owner.wait()
                standby.expect(": owner: the other peer died")
                peers = [standby, self.second(backend, *options)]
            else:
                said = self.ok(*(("maintenance",),
                                 ("ready", "--silent"))[turn % 2])
                self.assertRegex(said, f"moved {2 * PAIRS} connections")
                standby.expect(": owner: ")
                peers = [standby, owner]
        self.wait_peer(peers[0].name, connections=2 * PAIRS)
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["connected"], PAIRS)
        wait_until(lambda: self.connections(peers[0].name) == 0, "the end")

    def test_gives_loop(self):
        self.stream("loop", False)

    def test_gives_workers(self):
        self.stream("workers", False)

    def test_gives_thread(self):
        self.stream("thread", False)

    def test_gives_fork(self):
        self.stream("fork", False)

    def test_kills_loop(self):
        self.stream("loop", True)

    def test_kills_workers(self):
        self.stream("workers", True)

    def test_kills_thread(self):
        self.stream("thread", True)

    def test_kills_fork(self):
        self.stream("fork", True)


class Ends(Proxied):
    """Each in one peer, in model loop and with a child for each pair."""

    def each_model(self, what, *options):
        for model in ("loop", "fork"):
            with self.subTest(model):
                self.dir = os.path.join(self.base, model)
                listener, address = self.listener()
                proxy = self.first(address, *MODELS[model], *options)
                what(listener)
                wait_until(lambda: self.connections(proxy.name) == 0,
                           "all connections to end")
                self.assertEqual(proxy.stop(), 0, proxy.output())

    def test_client_half_closes(self):
        def what(listener):
            client, backend = self.through(listener)
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(self.receive(backend, 100), b"question")
            backend.sendall(b"x" * 300000)
            backend.close()
            self.assertEqual(self.receive(client, 400000), b"x" * 300000)
            client.close()
        self.each_model(what)

    def test_backend_closes_first(self):
        def what(listener):
            client, backend = self.through(listener)
            backend.sendall(b"y" * 100000)
            backend.close()
            self.assertEqual(self.receive(client, 200000), b"y" * 100000)
            client.close()
        self.each_model(what)

    def test_backend_half_closes(self):
        def what(listener):
            client, backend = self.through(listener)
            backend.sendall(b"greeting")
            backend.shutdown(socket.SHUT_WR)
            self.assertEqual(self.receive(client, 100), b"greeting")
            client.sendall(b"z" * 300000)
            client.close()
            self.assertEqual(self.receive(backend, 400000), b"z" * 300000)
            backend.close()
        self.each_model(what)

    def test_client_resets(self):
        """What it has sent before still arrives."""
        def what(listener):
            client, backend = self.through(listener)
            client.sendall(b"last words")
            self.assertEqual(backend.recv(4), b"last")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 1, 0))
            client.close()
            self.assertEqual(self.receive(backend, 100), b" words")
            backend.close()
        self.each_model(what)

    def test_backend_resets(self):
        def what(listener):
            client, backend = self.through(listener)
            backend.sendall(b"last words")
            self.assertEqual(client.recv(4), b"last")
            backend.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
            backend.close()
            self.assertEqual(self.receive(client, 100), b" words")
            client.close()
        self.each_model(what)

    def test_clients_reset_at_once(self):
        """Some while their pair begins: that is told of it, and ends."""
        backend = self.backend()
        for model in ("loop", "thread", "fork"):
            with self.subTest(model):
                self.dir = os.path.join(self.base, model)
                proxy = self.first(backend, *MODELS[model])
                for _ in range(200):
                    sock = self.connect(self.address)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                    struct.pack("ii", 1, 0))
                    sock.close()
                wait_until(lambda: self.connections(proxy.name) == 0,
                           "all connections to end")
                self.assertEqual(proxy.stop(), 0, proxy.output())

    def test_nobody_listens(self):
        """The client is told so by the end of its connection."""
        def what(listener):
            listener.close()
            client = self.connect(self.address)
            client.sendall(b"hello")
            self.assertEqual(client.recv(10), b"")
            client.close()
        self.each_model(what)

    def test_backend_does_not_accept(self):
        """Its backlog is full: the attempt takes as long as it may."""
        def what(listener):
            full = [socket.socket() for _ in range(3)]
            for sock in full:
                self.sockets.append(sock)
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            client = self.connect(self.address)
            began = time.monotonic()
            client.sendall(b"hello")
            self.assertEqual(client.recv(10), b"")
            self.assertGreater(time.monotonic() - began, 0.25)
            client.close()

        for model in ("loop", "fork"):
            with self.subTest(model):
                self.dir = os.path.join(self.base, model)
                listener, address = self.listener(backlog=0)
                proxy = self.first(address, *MODELS[model],
                                   "--connect-timeout", 300)
                what(listener)
                wait_until(lambda: self.connections(proxy.name) == 0,
                           "all connections to end")
                self.assertEqual(proxy.stop(), 0, proxy.output())

    def test_another_backend(self):
        """What was sent meanwhile goes to the one that can be reached."""
        dead, nowhere = self.listener()
        dead.close()
        listener, address = self.listener()
        self.first(nowhere, "--backend", address)
        for _ in range(4):
            client = self.connect(self.address)
            client.sendall(b"hello")
            backend = self.accept(listener)
            self.assertEqual(self.receive(backend, 5), b"hello")
            backend.sendall(b"world")
            self.assertEqual(self.receive(client, 5), b"world")


class Idle(Proxied):
    """A pair ends when nothing has passed in either direction for as long."""

    def each(self, *options):
        listener, address = self.listener()
        options = ("--idle", "1", *options)
        one = self.first(address, *options)
        other = self.second(address, *options)
        client, backend = self.through(listener)
        # Bytes in one direction alone keep it, in both processes, while others
        # come to their end beside it.
        for owner, survivor in ((one, other), (other, None)):
            begin = time.monotonic()
            quiet, _ = self.through(listener)
            ended = False
            while not ended and time.monotonic() < begin + DEADLINE:
                backend.sendall(b"x")
                self.assertEqual(self.receive(client, 1), b"x")
                ended = bool(select.select([quiet], [], [], 0.05)[0])
            self.assertTrue(ended, "the quiet pair did not end")
            with self.assertRaises(ConnectionResetError):
                quiet.recv(1)
            self.assertGreaterEqual(time.monotonic(), begin + 0.99)
            if survivor:
                owner.kill()
                survivor.expect(": owner: ")

    def test_loop(self):
        self.each(*MODELS["loop"])

    def test_fork(self):
        self.each(*MODELS["fork"])


class Said(Proxied):
    """An operator's lines are for clients, not for backends."""

    def said(self, model):
        listener, address = self.listener()
        self.first(address, *MODELS[model])
        client, backend = self.through(listener)
        client.sendall(b"hello")
        self.assertEqual(self.receive(backend, 5), b"hello")
        self.ok("say", "soon")
        self.assertEqual(self.receive(client, 5), b"soon\n")
        client.sendall(b"again")
        self.assertEqual(self.receive(backend, 5), b"again")
        backend.sendall(b"fine")
        self.assertEqual(self.receive(client, 4), b"fine")

    def test_loop(self):
        self.said("loop")

    def test_workers(self):
        self.said("workers")

    def test_thread(self):
        self.said("thread")

    def test_fork(self):
        self.said("fork")


class Connecting(Proxied):
    """The backend's backlog is full for a while."""

    def fill(self, listener):
        full = [socket.socket() for _ in range(3)]
        for sock in full:
            self.sockets.append(sock)
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())

    def found(self, listener, data):
        """Accepts until one connection brings the data."""
        while True:
            backend = self.accept(listener)
            backend.settimeout(0.3)
            try:
                if self.receive(backend, len(data)) == data:
                    backend.settimeout(20)
                    return backend
            except TimeoutError:
                pass

    def waits(self, act, *options):
        listener, address = self.listener(backlog=0)
        self.fill(listener)
        peers = [self.first(address, *options), self.second(address, *options)]
        client = self.connect(self.address)
        client.sendall(b"hello")
        self.wait_peer(peers[1].name, held=1)
        act(*peers)
        backend = self.found(listener, b"hello")
        backend.sendall(b"world")
        self.assertEqual(self.receive(client, 5), b"world")
        client.sendall(b"again")
        self.assertEqual(self.receive(backend, 5), b"again")

    def kill(self, owner, standby):
        owner.signal(signal.SIGKILL)
        standby.expect(": owner: the other peer died")

    def give(self, owner, standby):
        self.ok("maintenance")
        standby.expect(": owner: ")

    def test_death_loop(self):
        self.waits(self.kill)

    def test_death_workers(self):
        self.waits(self.kill, *MODELS["workers"])

    def test_death_fork(self):
        self.waits(self.kill, *MODELS["fork"])

    def test_give_loop(self):
        self.waits(self.give)

    def test_give_thread(self):
        self.waits(self.give, *MODELS["thread"])


class Slow(Proxied):
    def floods(self, source, sink):
        """Sends until nobody takes more; returns how much that was."""
        source.settimeout(0.5)
        sent = 0
        try:
            while sent < 1 << 28:
                sent += source.send(b"s" * (1 << 16))
        except TimeoutError:
            pass
        self.assertLess(sent, 1 << 26)
        return sent

    def drains(self, sink, size):
        got = 0
        while got < size:
            chunk = sink.recv(1 << 16)
            self.assertTrue(chunk, f"the end after {got} of {size}")
            self.assertEqual(chunk, b"s" * len(chunk))
            got += len(chunk)

    def rss(self, program):
        with open(f"/proc/{program.pid}/status", encoding="utf-8") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines["RssShmem"].split()[0]) * 1024

    def cpu(self, program):
        with open(f"/proc/{program.pid}/stat", encoding="utf-8") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))

    def slow(self, model, client_reads):
        listener, address = self.listener()
        proxy = self.first(address, *MODELS[model])
        client, backend = self.through(listener)
        source, sink = (backend, client) if client_reads else (client, backend)
        sent = self.floods(source, sink)
        self.assertLess(self.rss(proxy), 4 << 20)
        # While it waits it does nothing.
        before = self.cpu(proxy)
        time.sleep(0.5)
        self.assertLess(self.cpu(proxy) - before, 10)
        self.drains(sink, sent)
        sink.sendall(b"thanks")
        source.settimeout(20)
        self.assertEqual(self.receive(source, 6), b"thanks")

    def test_client_loop(self):
        self.slow("loop", True)

    def test_backend_loop(self):
        self.slow("loop", False)

    def test_client_workers(self):
        self.slow("workers", True)

    def test_backend_thread(self):
        self.slow("thread", False)

    def test_backend_fork(self):
        self.slow("fork", False)

    def test_client_fork(self):
        self.slow("fork", True)

    def test_gone_while_the_backend_is_slow(self):
        """The client has sent everything and is gone; a handoff and a death
        later the backend has it all."""
        listener, address = self.listener()
        peers = [self.first(address), self.second(address)]
        client, backend = self.through(listener)
        sent = self.floods(client, backend)
        client.close()
        self.wait_peer(peers[1].name, held=2)
        self.ok("maintenance")
        peers[1].expect(": owner: ")
        self.wait_peer(peers[0].name, held=2)
        peers[1].signal(signal.SIGKILL)
        peers[0].expect(": owner: the other peer died")
        self.drains(backend, sent)
        self.assertEqual(backend.recv(1), b"")
        backend.close()
        wait_until(lambda: self.connections(peers[0].name) == 0, "the end")


class Tables(Proxied):
    def test_full_table(self):
        """No client is accepted without a descriptor for its backend; commands
        are answered; and as soon as there are descriptors clients are served."""
        listener, address = self.listener()
        self.count += 1
        proxy = self.start("proxy", "--dir", self.dir, "--name", "p",
                           "--backend", address, "--listen", "127.0.0.1:0",
                           limit=64)
        self.address = proxy.expect(r": listening on (\S+)")[1]
        clients = [self.connect(self.address) for _ in range(100)]
        for client in clients:
            client.setblocking(False)
        backends = []
        listener.settimeout(0.5)
        try:
            while True:
                backends.append(self.accept(listener))
        except TimeoutError:
            pass
        self.assertGreater(len(backends), 5)
        served = self.connections("p")
        self.assertEqual(served, 2 * len(backends))
        for client in clients:
            with self.assertRaises(BlockingIOError):
                client.recv(1)
        for sock in clients + backends:
            sock.close()
        listener.settimeout(20)

        def serves():
            try:
                client = socket.create_connection(
                    ("127.0.0.1", int(self.address.rsplit(":", 1)[1])), 20)
                self.sockets.append(client)
                client.sendall(b"hello")
                while True:
                    backend = self.accept(listener)
                    if backend.recv(5) == b"hello":
                        return True
                    backend.close()
            except OSError:
                return False
        wait_until(serves, "a pair")

    def test_limit_counts_clients(self):
        listener, address = self.listener()
        self.first(address, "--model", "iterative")
        client, backend = self.through(listener)
        client.sendall(b"hello")
        self.assertEqual(self.receive(backend, 5), b"hello")
        waiting = self.connect(self.address)
        listener.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            listener.accept()
        client.close()
        listener.settimeout(20)
        backend.close()
        second = self.accept(listener)
        waiting.sendall(b"hello")
        self.assertEqual(self.receive(second, 5), b"hello")


if __name__ == "__main__":
    main()
