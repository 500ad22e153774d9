# SPDX-License-Identifier: MIT
"""Stock OpenSSL under load while the peers are killed at chosen points of the
handler (in the hello and the handshake, after a TLS record is opened, after one
is sealed, at the calls of the kernel around them), at random moments and within
handoffs: no established connection ends, and every byte is right. Each record
that a client gets has the next number of its keys, or it could not open it: no
number is left out or used for two.

HANDOFF_TLS is the folder of tls_load. HANDOFF_LONG=1: 1000 kills."""
import collections
import contextlib
import json
import os
import signal
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../fault"))

# pylint: disable=wrong-import-position
from fault import (DEADLINE, LONG, SCALE, Chain, FaultTest, main,  # noqa
                   wait_until)
from harness import Program  # noqa
from pki import EC, RSA, TLS, Authority, Mem  # noqa

# Of each model of concurrency.
KILLS = 250 if LONG else 15
LONGS, SHORTS = 12, 6
# A handshake is one SSL_accept for each flight, and short connections have
# some dozens of them a second; TLS records there are many more.
POINTS = {"SSL_accept": 6, "EVP_DecryptFinal_ex": 400,
          "EVP_EncryptFinal_ex": 400, "recv": 400, "send": 400}
CLEAN = ("wrong", "lost", "reset", "stalled", "broken", "refused",
         "unfinished")


class TlsLoad(Program):
    def __init__(self, address, ca, *options):
        super().__init__([os.path.join(TLS, "tls_load"), "--connect", address,
                          "--ca", ca, "--seconds", "36000", "--patience",
                          str(int(20 * SCALE)), *map(str, options)])

    def ready(self):
        self.expect("^ready$", 60 * SCALE)
        return self

    def counts(self):
        self.signal(signal.SIGUSR1)
        return json.loads(self.expect(r"^\{.*\}$")[0])

    def finish(self):
        self.signal(signal.SIGTERM)
        code = self.wait(60 * SCALE)
        return {**json.loads(self.lines[-1]), "clean": code == 0}


class Deaths(FaultTest):
    aimed = collections.Counter()
    total = collections.Counter()

    def setUp(self):
        super().setUp()
        self.root = Authority(self.base)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        print(f"Deaths: {json.dumps(cls.total)}; at a chosen point: "
              f"{json.dumps(cls.aimed)}", file=sys.stderr, flush=True)

    def assert_clean(self, counts):
        self.assertTrue(counts["clean"], counts)
        self.assertEqual([counts[name] for name in CLEAN], [0] * len(CLEAN),
                         counts)
        self.assertGreater(counts["updates_seen"], 0)
        self.assertGreater(counts["short"], 0)
        self.total.update({name: counts[name] for name in (
            "bytes", "handshakes", "updates", "unanswered")})

    def cells(self, points):
        """Each point about as often as any other, before and after the real
        call, in random order."""
        names = list(points)
        cells = [(names[i % len(names)],
                  self.chance.randint(1, points[names[i % len(names)]]),
                  i // len(names) % 2 == 0) for i in range(KILLS)]
        self.chance.shuffle(cells)
        return cells

    def start_load(self, chain, *options):
        load = TlsLoad(chain.address, self.root.cert, "--long", LONGS,
                       "--short", SHORTS, "--seed", self.seed(), *options)
        self.programs.append(load)
        chain.loads.append(load.ready())
        return load

    def go_on(self, load):
        """Connections of either kind get on."""
        before = load.counts()

        def there():
            self.assertEqual(load.errors, [])
            now = load.counts()
            return (now["blocks"] > before["blocks"] + LONGS and
                    now["short"] > before["short"])
        wait_until(there, "blocks")

    def move(self, chain, number, cell):
        if number % 5 == 4:
            chain.random_round()
            return
        before = self.tally.aimed
        if chain.models[1] == "fork":
            self.child_round(chain, cell)
        elif number % 5 == 3:
            chain.swap_round(cell, self.chance.choice((1, 2)))
        else:
            chain.round(cell)
        self.aimed[cell[0]] += self.tally.aimed - before

    def child_round(self, chain, cell):
        """The child of a connection dies, and its parent starts another."""
        trigger = chain.peers[chain.owner].trigger
        trigger.arm(*cell)
        wait_until(trigger.fired, "a child to die")
        trigger.disarm()
        self.tally.kills += 1
        self.tally.aimed += 1

    def deaths(self, model, *options, kind=EC, load=()):
        cert, key = self.root.sign("server", kind=kind)
        chain = Chain(self, model, options=("--tls-cert", cert, "--tls-key",
                                            key, *options))
        load = self.start_load(chain, *load)
        for number, cell in enumerate(self.cells(POINTS)):
            self.go_on(load)
            with self.explained(chain, cell):
                self.move(chain, number, cell)
        chain.finish()

    @contextlib.contextmanager
    def explained(self, chain, cell):
        """What the peers that are left have said is part of a failure."""
        try:
            yield
        except AssertionError as error:
            said = [f"{peer.process.poll()}: {peer.output()}"
                    for peer in chain.peers.values()]
            raise AssertionError("\n---\n".join(
                [f"{error}\nafter {cell}, {chain}", *said])) from None

    def test_loop(self):
        self.deaths("loop")

    def test_workers(self):
        """With client certificates."""
        cert, key = self.root.sign("client", "/CN=a client")
        self.deaths("workers", "--tls-client-ca", self.root.cert,
                    load=("--cert", cert, "--key", key))

    def test_thread(self):
        self.deaths("thread", kind=RSA)

    def test_fork(self):
        self.deaths("fork")


class Numbers(FaultTest):
    """A turn that is run again answers with other plain text, under the number
    of a TLS record that was sealed before: nothing of that one has left."""

    def take_records(self, client, count):
        """The next TLS records on the wire, and nothing behind them; their
        plain text."""
        data = b""
        while count > 0:
            data += self.receive(client.sock, 5)
            self.assertEqual(data[-5:-2], b"\x17\x03\x03")
            data += self.receive(client.sock, int.from_bytes(data[-2:], "big"))
            count -= 1
        client.sock.setblocking(False)
        with self.assertRaises(BlockingIOError):
            client.sock.recv(1)
        client.sock.setblocking(True)
        client.inbound.write(data)

    def test_answers_of_other_processes(self):
        root = Authority(self.base)
        cert, key = root.sign("server")
        server = os.path.join(TLS, "tls_server")
        chain = Chain(self, "loop", server, server, options=(
            "--tls-cert", cert, "--tls-key", key))
        client = Mem(self, chain.address,
                     ssl.create_default_context(cafile=root.cert)).handshake()
        self.assertEqual(client.line(), "hello\n")
        chain.stable = 1
        points = [("EVP_EncryptFinal_ex", False), ("EVP_EncryptFinal_ex", True),
                  ("EVP_DecryptFinal_ex", True), ("send", False),
                  ("send", True)]
        for number in range(1, 41 if LONG else 21):
            point, after = points[number % len(points)]
            chain.covered()
            dying = chain.peers[chain.owner]
            dying.trigger.arm(point, 1, after)
            client.send(b"pid\n")
            chain.die(chain.owner, DEADLINE)
            self.assertTrue(dying.trigger.fired())
            chain.bury(chain.owner)
            chain.attach()  # no sooner is it tried again
            self.take_records(client, 1)
            alive = chain.peers[chain.owner]
            answered = dying if point == "send" else alive  # committed
            self.assertEqual(client.line(), f"{number}: {answered.pid}\n")
        client.end()
        self.assertEqual(client.read(10), b"end\n")
        client.sock.close()
        chain.stable = 0
        chain.finish()


if __name__ == "__main__":
    main()
