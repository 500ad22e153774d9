# SPDX-License-Identifier: MIT
"""Connections with TLS go to another host, with their keys, and come home; one
of them in the middle of its handshake."""
import importlib.util
import os
import ssl
import subprocess

from world import BIN, PORT, SERVICE4, Hosts, main


def tls_tools():
    """They lie in a folder with modules whose names are used here too."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                        "tls", "pki.py")
    spec = importlib.util.spec_from_file_location("tls_pki", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PKI = tls_tools()


class Tls(Hosts):
    """Echo; the two hosts have the same certificate."""

    def setUp(self):
        done = subprocess.run([os.path.join(BIN, "server"), "--tls-cert", "-"],
                              capture_output=True, text=True, timeout=20,
                              check=False)
        if "built without TLS" in done.stderr:
            self.skipTest(done.stderr)
        super().setUp()
        self.root = PKI.Authority(self.base)
        cert, key = self.root.sign("server")
        self.options = ("--tls-cert", cert, "--tls-key", key)

    def connect(self, address):
        return self.dial(address)

    def client(self):
        context = ssl.create_default_context(cafile=self.root.cert)
        return PKI.Mem(self, f"{SERVICE4}:{PORT}", context)

    def echo(self, client, size=20000):
        data = os.urandom(size)
        client.send(data)
        self.assertEqual(client.read(size), data)

    def test_goes_and_comes_home(self):
        self.both(options=self.options)
        clients = [self.client().handshake() for _ in range(3)]
        for client in clients:
            self.echo(client)
        late = self.client()
        late.sock.sendall(late.hello())
        late.fill()
        self.move_all(self.a, 4)
        for client in (*clients, late.handshake()):
            self.echo(client)
        self.move_all(self.b, 4)
        for client in (*clients, late):
            self.echo(client)
            client.end()
            self.assertEqual(client.read(1), b"")  # by close_notify
            client.sock.close()


if __name__ == "__main__":
    main()
