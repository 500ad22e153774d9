# SPDX-License-Identifier: MIT
"""Peers with TLS and their certificates, for the system tests of TLS.

HANDOFF_TLS is the folder of tls_server and tls_client."""
import json
import os
import select
import signal
import ssl
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../session"),
                os.path.join(HERE, "../system")]

# pylint: disable=wrong-import-position
from foreign import Session  # noqa
from harness import DEADLINE, SystemTest, main  # noqa

TLS = os.environ.get("HANDOFF_TLS", ".")
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("rsa:2048",)


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """A root certificate in a folder, and what it has signed."""

    def __init__(self, folder, name="root"):
        self.folder, self.name = folder, name
        self.cert, self.key = self.path(name, "crt"), self.path(name, "key")
        openssl("req", "-x509", "-newkey", *EC, "-nodes", "-keyout", self.key,
                "-out", self.cert, "-days", "30", "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign")

    def path(self, name, ext):
        return os.path.join(self.folder, f"{name}.{ext}")

    def sign(self, name, subject="/CN=localhost", kind=EC):
        """A certificate for localhost; returns its file and that of its
        key."""
        cert, key, asked = (self.path(name, ext)
                            for ext in ("crt", "key", "csr"))
        config = self.path(name, "cnf")
        with open(config, "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", *kind, "-nodes", "-keyout", key, "-out",
                asked, "-subj", subject)
        openssl("x509", "-req", "-in", asked, "-CA", self.cert, "-CAkey",
                self.key, "-CAcreateserial", "-out", cert, "-days", "30",
                "-extfile", config)
        return cert, key


class Mem:
    """A client whose TLS is in memory, so that a test decides which bytes go
    when."""

    def __init__(self, test, address, context, name="localhost"):
        self.sock = test.connect(address)
        self.inbound, self.outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inbound, self.outbound,
                                    server_hostname=name)
        self.ended = False

    def fill(self, deadline=None):
        """Takes what has come, at least a byte, or the end."""
        if not select.select([self.sock], [], [], deadline or DEADLINE)[0]:
            raise AssertionError("nothing comes")
        data = self.sock.recv(65536)
        if data:
            self.inbound.write(data)
        else:
            self.ended = True
            self.inbound.write_eof()

    def step(self, call):
        """Its result, or None: it wants more."""
        try:
            return call()
        except ssl.SSLWantReadError:
            return None

    def flush(self):
        if self.outbound.pending:
            self.sock.sendall(self.outbound.read())

    def hello(self):
        """The first flight, which is not sent."""
        assert self.step(lambda: self.tls.do_handshake() or 1) is None
        return self.outbound.read()

    def handshake(self):
        while not self.step(lambda: self.tls.do_handshake() or 1):
            self.flush()
            self.fill()
        self.flush()
        return self

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def read(self, size):
        """So many bytes, or what came before close_notify."""
        got = b""
        while len(got) < size:
            try:
                data = self.step(lambda: self.tls.read(size - len(got)))
            except ssl.SSLZeroReturnError:
                break
            if data is None:
                self.flush()
                self.fill()
            elif data == b"":
                break
            else:
                got += data
        return got

    def line(self):
        got = b""
        while not got.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            got += byte
        return got.decode()

    def end(self):
        """Sends close_notify, and reads on."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.flush()


class SessionMem(Mem):
    """The same in a session, by a client that shares no code with the
    library."""

    # pylint: disable=super-init-not-called
    def __init__(self, test, address, context, name="localhost"):
        self.session = Session(lambda: test.connect(address))
        self.inbound, self.outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inbound, self.outbound,
                                    server_hostname=name)
        self.ended = False

    def fill(self, deadline=None):
        session = self.session
        while not session.inbox and not session.ended:
            session.pump()
        self.inbound.write(session.read(len(session.inbox)))
        if session.ended:
            self.ended = True
            self.inbound.write_eof()

    def flush(self):
        if self.outbound.pending:
            self.session.write(self.outbound.read())


class TlsTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.root = Authority(self.base)
        self.files = self.root.sign("server")
        self.moves = self.births = 0
        self.peers = []

    def context(self, **options):
        context = ssl.create_default_context(cafile=self.root.cert)
        for name, value in options.items():
            setattr(context, name, value)
        return context

    # Peers

    def options(self, files=None):
        cert, key = files or self.files
        return ("--dir", self.dir, "--tls-cert", cert, "--tls-key", key)

    def first(self, *options, program="tls_server", files=None):
        program = self.where(program)
        first = self.start(program, *self.options(files), "--name", "one",
                           "--listen", "127.0.0.1:0", *options)
        first.address = first.expect(r": listening on (\S+)")[1]
        first.expect(": owner: ")
        self.address = first.address
        self.port = int(first.address.rsplit(":", 1)[1])
        self.peers = [first]
        return first

    def second(self, *options, program="tls_server", files=None):
        self.births += 1
        second = self.start(self.where(program), *self.options(files),
                            "--name", f"next{self.births}", *options)
        second.expect(": standby: ")
        self.peers.append(second)
        return second

    @staticmethod
    def where(program):
        return os.path.join(TLS, program) if "tls_" in program else program

    def both(self, *options, **how):
        return self.first(*options, **how), self.second(*options, **how)

    def give(self):
        """To the other peer, or back."""
        self.ok(*("ready", "--silent") if self.moves % 2 else ("maintenance",))
        self.moves += 1
        self.peers.reverse()

    def kill_owner(self, *options, **how):
        """The other one serves; a new one joins it."""
        self.peers[0].kill()
        self.peers[1].expect(": owner: .* died")
        self.peers.pop(0)
        self.moves = 0
        self.second(*options, **how)

    def each_move(self, check, *options, rounds=5, **how):
        """Two gives and two deaths a round; `check` after each."""
        for _ in range(rounds):
            for move in (self.give, self.give,
                         lambda: self.kill_owner(*options, **how),
                         lambda: self.kill_owner(*options, **how)):
                move()
                check()

    def stats(self, peer):
        peer.signal(signal.SIGWINCH)
        return json.loads(peer.expect(r"^\{.*\}$")[0])

    # Clients

    def client(self, context=None, name="localhost", greeted=True):
        client = Mem(self, self.address, context or self.context(), name)
        client.handshake()
        if greeted:
            self.assertEqual(client.line(), "hello\n")
        return client

    def exchange(self, client, text="text"):
        """A line; returns its number."""
        client.send(text.encode() + b"\n")
        number, _, same = client.line().partition(": ")
        self.assertEqual(same, text + "\n")
        return int(number)
