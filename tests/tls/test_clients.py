# SPDX-License-Identifier: MIT
"""Clients that know nothing of the library: one connection of each goes across
10 handoffs and 10 deaths."""
import os
import re
import shutil
import socket
import ssl
import subprocess

from pki import TlsTest, main


class Foreign(TlsTest):
    def typed(self, program, *words):
        """A client into which lines are typed."""
        if not shutil.which(program):
            self.skipTest(f"{program} is not installed")
        return self.start(shutil.which(program), *words,
                          stdin=subprocess.PIPE)

    @staticmethod
    def write(client, text):
        client.process.stdin.write(text.encode())
        client.process.stdin.flush()

    def echoed(self, client, number):
        text = f"line {number} of {os.urandom(4).hex()}"
        self.write(client, text + "\n")
        client.expect(f"^{text}$")

    def each(self, client, between=lambda: None):
        """Echoes after each of the moves."""
        numbers = iter(range(1000))

        def check():
            between()
            self.echoed(client, next(numbers))
        check()
        self.each_move(check, program="alt_server")
        self.assertIsNone(client.process.poll())

    def echo(self, *options):
        self.first(*options, program="server")
        self.second(*options, program="alt_server")

    def test_s_client(self):
        """K asks for new keys of both sides, k makes new ones of its own."""
        self.first()
        self.second()
        client = self.typed("openssl", "s_client", "-connect", self.address,
                            "-CAfile", self.root.cert, "-servername",
                            "localhost", "-verify_return_error")
        client.expect("^hello$")
        count = 0

        def check():
            nonlocal count
            for letter in "Kk":
                self.write(client, letter + "\n")
                client.expect_error("^KEYUPDATE$")
                count += 1
                self.write(client, f"line {count}\n")
                client.expect(f"^{count}: line {count}$")
        check()
        self.each_move(check)
        self.write(client, "Q\n")
        self.assertEqual(client.wait(), 0)
        stats = self.stats(self.peers[0])
        self.assertEqual((stats["updates_in"], stats["updates_out"]), (2, 1))

    def test_gnutls_cli(self):
        self.echo()
        client = self.typed("gnutls-cli", "--x509cafile", self.root.cert,
                            "--port", str(self.port), "localhost")
        client.expect("Handshake was completed")
        self.each(client)

    def test_gnutls_cli_with_other_keys(self):
        """It changes its keys when it is told to; it allows 8 changes a
        second."""
        self.echo()
        client = self.typed("gnutls-cli", "--x509cafile", self.root.cert,
                            "--inline-commands", "--port", str(self.port),
                            "localhost")
        client.expect("Handshake was completed")
        calls = iter(range(1000))

        def rekey():
            if next(calls) % 4 == 0:
                self.write(client, "^rekey^\n")
                client.expect("^- Rekey was completed$")
        self.each(client, rekey)

    def test_curl(self):
        """One connection for all of its requests."""
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        self.first("--alpn", "http/1.1")
        self.second("--alpn", "http/1.1")
        url = f"https://localhost:{self.port}/[1-2000]"
        client = self.start(
            shutil.which("curl"), "--no-progress-meter", "--cacert",
            self.root.cert, "--http1.1", "--rate", "100/s", "--resolve",
            f"localhost:{self.port}:127.0.0.1", "-N", "-w",
            "connects %{num_connects} code %{http_code}\\n", url)
        client.expect("^connects 1 code 200$")
        self.each_move(lambda: client.expect("^connects 0 code 200$"),
                       "--alpn", "http/1.1")
        client.kill()
        codes = [line for line in client.lines if line.startswith("connects")]
        self.assertEqual(set(codes[1:]), {"connects 0 code 200"})
        numbers = [int(match[1]) for match in
                   (re.match(r"request (\d+) of http/1.1$", line)
                    for line in client.lines) if match]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_python(self):
        """Random bytes, of up to 64 KiB at once."""
        self.echo()
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sockets.append(sock)
        tls = self.context().wrap_socket(sock, server_hostname="localhost",
                                         suppress_ragged_eofs=False)
        self.sockets.append(tls)

        def check():
            for size in (1, 1000, 16384, 65536):
                data = os.urandom(size)
                tls.sendall(data)
                self.assertEqual(self.receive(tls, size), data)
        check()
        self.each_move(check, program="alt_server")
        self.assertEqual(tls.version(), "TLSv1.3")
        tls.unwrap()  # it fails without the other side's close_notify

    def test_suites(self):
        """The three suites, by OpenSSL's client."""
        self.echo()
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                      "TLS_CHACHA20_POLY1305_SHA256"):
            with self.subTest(suite):
                client = self.typed(
                    "openssl", "s_client", "-connect", self.address,
                    "-CAfile", self.root.cert, "-ciphersuites", suite)
                client.expect(f"Cipher is {suite}")
                self.echoed(client, 1)
                self.give()
                self.echoed(client, 2)
                self.kill_owner(program="alt_server")
                self.echoed(client, 3)

    def test_small_fragments(self):
        """A client that wants TLS records of at most 512 bytes."""
        self.echo()
        client = self.typed("openssl", "s_client", "-connect", self.address,
                            "-CAfile", self.root.cert, "-maxfraglen", "512")
        client.expect("Cipher is")
        for text in ("a" * 511, "b" * 512, "c" * 5000):
            self.write(client, text + "\n")
            client.expect(f"{text}$")


assert ssl.HAS_TLSv1_3


if __name__ == "__main__":
    main()
