# SPDX-License-Identifier: MIT
"""The client program with TLS: across gives, deaths and the way home, with a
session too, it prints exactly what it sent; and it talks to no server whose
certificate is not the right one, and says why."""
import hashlib
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

from pki import EC, Authority, TlsTest, main, openssl

from harness import DEADLINE, TOOLS, wait_until

ROUNDS = 3


def pin_of(cert):
    """SHA-256 of its public key."""
    pem = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"],
                         check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"],
                         input=pem, check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


def sign(root, name, names, days):
    """A certificate for other names or days."""
    cert, key, asked, config = (root.path(name, ext)
                                for ext in ("crt", "key", "csr", "cnf"))
    with open(config, "w", encoding="ascii") as file:
        file.write(f"subjectAltName={names}\n")
    openssl("req", "-newkey", *EC, "-nodes", "-keyout", key, "-out", asked,
            "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", asked, "-CA", root.cert, "-CAkey",
            root.key, "-CAcreateserial", "-out", cert, "-days", str(days),
            "-extfile", config)
    return cert, key


class ClientTest(TlsTest):
    def servers(self, *options, files=None):
        """The example programs, which echo."""
        cert, key = files or self.files
        options = ("--tls-cert", cert, "--tls-key", key, *options)
        server = self.server(*options)
        self.address = server.address
        return server, self.standby(*options)

    def talker(self, *options, ca=True, to=None):
        client = self.start(
            "client", *(("--dir", self.dir) if os.path.exists(self.dir)
                        else ()), "--connect", to or self.address,
            *(("--ca", self.root.cert) if ca else ()), *options,
            stdin=subprocess.PIPE)
        client.sent = []
        return client

    def say(self, client, *lines):
        for line in lines:
            client.sent.append(line)
            client.process.stdin.write(line.encode() + b"\n")
        client.process.stdin.flush()

    def answered(self, client):
        """All that was said has come back, in order, once."""
        wait_until(lambda: len(client.lines) >= len(client.sent),
                   f"all lines to come back: {client.errors}")
        self.assertEqual(client.lines, client.sent)

    def end(self, client):
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(client.lines, client.sent)
        self.assertIn("both sides have ended", client.errors[-1])

    def leave(self, client):
        """It takes its message queue with it."""
        client.stop()

    def told(self, client, word):
        return [line for line in client.errors if word in line]


class Moves(ClientTest):
    def scenario(self, *options, client=()):
        """Gives with READY home, a move without a gap, and deaths of the
        owner, each of which another program follows."""
        cert, key = self.files
        options = ("--tls-cert", cert, "--tls-key", key, *options)
        server, alt = self.servers(*options[4:])
        talker = self.talker("--tls", *client)
        talker.expect_error("connected to .*, TLSv1.3, TLS_")
        for turn in range(ROUNDS):
            self.say(talker, f"home {turn}")
            self.answered(talker)
            self.ok("maintenance")
            talker.expect_error("MAINTENANCE.*the connection stays")
            self.say(talker, f"away {turn}", "x" * 20000)
            self.answered(talker)
            self.ok("ready")
            talker.expect_error("homing: going home")
            talker.expect_error(": moved to ")
            self.wait_peer("alt", connections=0, role="standby")
            self.say(talker, f"moved {turn}")
            self.answered(talker)
            server.kill()
            talker.expect_error("FAILOVER.*the connection stays")
            self.say(talker, f"survived {turn}")
            self.answered(talker)
            server = self.standby(*options, "--name", f"next{turn}")
            self.say(talker, f"joined {turn}")
            alt.kill()
            talker.expect_error("FAILOVER.*the connection stays")
            # if it died in the handler, the line waits for a standby
            alt = self.standby(*options, "--name", "alt")
            self.answered(talker)
        self.assertEqual(self.told(talker, ": lost: "), [])
        self.end(talker)

    def test_scenario(self):
        self.scenario()

    def test_scenario_workers(self):
        self.scenario("--workers", "3")

    def test_scenario_with_a_session(self):
        self.scenario("--sessions", client=("--session",))

    def test_scenario_with_a_client_certificate(self):
        cert, key = self.root.sign("client", "/CN=someone")
        self.scenario("--tls-client-ca", self.root.cert,
                      client=("--tls-cert", cert, "--tls-key", key))

    def test_talks_all_the_time(self):
        """Steady lines while the service goes away and comes home."""
        self.servers()
        talkers = [self.talker("--tls", "--name", f"c{n}") for n in range(3)]
        stop = threading.Event()

        def talk(client):
            number = 0
            while not stop.is_set():
                self.say(client, f"line {number} " + "." * 100)
                number += 1
                time.sleep(0.001)

        threads = [threading.Thread(target=talk, args=(client,))
                   for client in talkers]
        for client in talkers:
            client.expect_error("connected to ")
        for thread in threads:
            thread.start()
        try:
            for _ in range(ROUNDS):
                self.ok("maintenance")
                self.wait_peer("alt", connections=3)
                self.ok("ready")
                self.wait_peer("alt", connections=0)
                self.wait_peer("server", connections=3)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for client in talkers:
            self.assertEqual(self.told(client, ": lost: "), [])
            self.assertEqual(len(self.told(client, ": moved to ")), ROUNDS)
            self.assertGreater(len(client.sent), 100)
            self.end(client)

    def test_session_over_broken_connections(self):
        """Connections break at any byte, also in the handshake, and processes
        die: every line comes back once."""
        server, alt = self.servers("--sessions")
        cert, key = self.files
        cutter = self.start(os.path.join(TOOLS, "cutter"),
                            self.address.rsplit(":", 1)[1], 300)
        through = cutter.expect(r"listening on (\S+)")[1]
        cutter.signal(signal.SIGUSR1)
        talkers = [self.talker("--session", "--name", f"c{n}", to=through)
                   for n in range(5)]
        for turn in range(40):
            for client in talkers:
                self.say(client, *(f"{turn} {n} " + "." * (n * 97)
                                   for n in range(10)))
            if turn == 15:
                server.kill()
                alt.expect(": owner: ")
                self.standby("--sessions", "--tls-cert", cert, "--tls-key",
                             key, "--name", "next")
            if turn == 30:
                self.ok("maintenance")
            time.sleep(0.05)  # until something breaks
        for client in talkers:
            self.answered(client)
        cutter.signal(signal.SIGUSR1)
        resumed = 0
        for client in talkers:
            self.say(client, "last")
            self.answered(client)
            self.assertEqual(self.told(client, "new session"), [])
            resumed += len(self.told(client, ": resumed: "))
            self.end(client)
        self.assertGreater(resumed, 10)

    def test_server_comes_again(self):
        server = self.server("--tls-cert", self.files[0], "--tls-key",
                             self.files[1])
        self.address = server.address
        client = self.talker()
        self.say(client, "before")
        self.answered(client)
        self.assertEqual(server.stop(), 0)
        client.expect_error(": lost: .*the server closed the connection")
        self.say(client, "between")
        self.server("--tls-cert", self.files[0], "--tls-key", self.files[1],
                    listen=(server.address,))
        self.answered(client)
        self.end(client)

    def test_home_gets_another_certificate(self):
        """The client stays where it is, and says why."""
        home = self.server("--tls-cert", self.files[0], "--tls-key",
                           self.files[1])
        self.address = home.address
        self.standby("--tls-cert", self.files[0], "--tls-key", self.files[1])
        client = self.talker()
        self.say(client, "here")
        self.answered(client)
        self.ok("maintenance")
        client.expect_error("the connection stays")
        bad = Authority(self.base, "bad").sign("impostor")
        for path, other in zip(self.files, bad):
            os.replace(other, path)
        home.signal(signal.SIGHUP)
        home.expect("TLS: certificates loaded")
        self.ok("ready")
        client.expect_error("retry: .* is not by a CA of .*; stays and goes "
                            "home to ")
        self.say(client, "still here")
        self.answered(client)
        self.assertEqual(self.told(client, ": lost: "), [])
        self.leave(client)


class Trust(ClientTest):
    def refused(self, sentence, *options, **how):
        """Nothing is said to this server."""
        client = self.talker(*options, **how)
        self.say(client, "secret")
        client.expect_error(f"retry: .*{sentence}.*; next ")
        client.expect_error(f"retry: .*{sentence}.*; next ")
        self.assertEqual(client.lines, [])
        self.assertEqual(self.told(client, "connected"), [])
        self.leave(client)

    def accepted(self, *options, **how):
        client = self.talker(*options, **how)
        self.say(client, "hello")
        self.answered(client)
        self.end(client)

    def serve(self, files, *options):
        server = self.server("--tls-cert", files[0], "--tls-key", files[1],
                             *options)
        self.address = server.address
        return server

    def test_other_ca(self):
        other = Authority(self.base, "other")
        self.serve(self.files)
        self.refused(f"certificate is not by a CA of {other.cert[:60]}",
                     "--ca", other.cert, ca=False)
        self.refused("certificate is not by a CA of this system", "--tls",
                     ca=False)
        self.accepted()

    def test_failed_in_a_session(self):
        """The session is given up, and nothing of it is left."""
        other = Authority(self.base, "other")
        self.serve(self.files, "--sessions")
        client = self.talker("--session", "--ca", other.cert, ca=False)
        self.say(client, "secret")
        client.expect_error("retry: .*certificate is not by a CA of .*; next ")
        # between its attempts, which become rare
        self.wait_peer("server", connections=0)
        self.assertEqual(self.told(client, "connected"), [])
        self.leave(client)
        self.accepted("--session")

    def test_other_name(self):
        self.serve(self.files)
        port = self.address.rsplit(":", 1)[1]
        self.refused("certificate is not for elsewhere.test, but for "
                     "DNS:localhost, IP Address:127.0.0.1",
                     "--tls-name", "elsewhere.test")
        self.accepted("--tls-name", "localhost")
        self.accepted(to=f"localhost:{port}")

    def test_expired(self):
        self.serve(sign(self.root, "old", "IP:127.0.0.1", -1))
        self.refused("the server's certificate has expired: ")

    def test_pins(self):
        self.serve(self.files)
        pin = pin_of(self.files[0])
        self.refused(f"key is not the pinned one: its pin is {pin}",
                     "--tls-pin", "00" * 32)
        self.accepted("--tls-pin", pin)
        self.accepted("--tls-pin", pin, ca=False)
        self.refused("certificate is not for", "--tls-pin", pin, "--tls-name",
                     "elsewhere.test")

    def test_client_certificate(self):
        """A server that wants one: the client hears it after its own
        handshake."""
        self.serve(self.files, "--tls-client-ca", self.root.cert)
        client = self.talker()
        client.expect_error("lost: .*certificate required: does it want a "
                            "certificate of the client")
        self.leave(client)
        self.accepted("--tls-cert", self.files[0], "--tls-key", self.files[1])

    def test_no_tls(self):
        """A server that says something else, and one that says nothing."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(DEADLINE)
        self.sockets.append(listener)
        self.address = "127.0.0.1:%d" % listener.getsockname()[1]
        client = self.talker()
        conn = listener.accept()[0]
        conn.sendall(b"220 mail.test ESMTP\r\n")
        client.expect_error("is not TLS 1.3: is it a server with TLS")
        conn.close()
        conn = listener.accept()[0]
        conn.shutdown(socket.SHUT_WR)
        client.expect_error("closed the connection in the middle of the "
                            "handshake")
        conn.close()
        self.leave(client)

    def test_cut_off(self):
        """An end of the connection without close_notify is none."""
        context = self.server_context()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(DEADLINE)
        self.sockets.append(listener)
        self.address = "127.0.0.1:%d" % listener.getsockname()[1]
        client = self.talker()
        conn = context.wrap_socket(listener.accept()[0], server_side=True)
        conn.sendall(b"cut off\n")
        client.expect("^cut off$")
        # below TLS
        os.close(conn.detach())
        client.expect_error("lost: .*without an end of TLS "
                            r"\(close_notify\): what it sent may be cut off")
        self.leave(client)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files)
        return context

    def test_foreign_server(self):
        """openssl s_server, which turns each line around."""
        probe = socket.create_server(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        server = self.start("/usr/bin/openssl", "s_server", "-accept", port,
                            "-cert", self.files[0], "-key", self.files[1],
                            "-tls1_3", "-rev")
        server.expect("ACCEPT")
        self.address = f"127.0.0.1:{port}"
        client = self.talker()
        client.process.stdin.write(b"abc\n")
        client.process.stdin.flush()
        client.expect("^cba$")
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())

    def test_arguments(self):
        for words, sentence in (
                (("--ca", "/nonexistent"), "'/nonexistent' cannot be read"),
                (("--tls-cert", self.files[0]), "belong together"),
                (("--tls-pin", "12"), "not 64 hexadecimal digits"),
                (("--ca",), "--ca"), (("--tls=yes",), "--tls")):
            client = self.start("client", "--connect", "127.0.0.1:1", *words)
            self.assertIn(client.wait(), (1, 2))
            self.assertIn(sentence, client.output())


if __name__ == "__main__":
    main()
