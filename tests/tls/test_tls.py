# SPDX-License-Identifier: MIT
"""TLS with real processes: connections that are open, or in the middle of a
handshake, go on exactly when the service is handed over or its process dies."""
import os
import random
import signal
import ssl
import subprocess
import threading
import time

from pki import (DEADLINE, RSA, TLS, Authority, Mem, SessionMem, TlsTest,
                 main)


class Handshakes(TlsTest):
    """`move` comes in the middle of a handshake."""

    def cut_at(self, at, move, context=None):
        """The first flight in two pieces, with `move` between them."""
        client = Mem(self, self.address, context or self.context())
        hello = client.hello()
        at = at if at >= 0 else len(hello) + at
        client.sock.sendall(hello[:at])
        self.settle()
        move()
        client.sock.sendall(hello[at:])
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        self.assertEqual(self.exchange(client), 1)
        return client

    def settle(self):
        """The owner has read what was sent: it answers another client."""
        client = self.client()
        self.exchange(client)
        client.end()

    def flight_then(self, move, context=None):
        """After the server's flight, before the client's Finished."""
        client = Mem(self, self.address, context or self.context())
        client.sock.sendall(client.hello())
        client.fill()
        move()
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        self.assertEqual(self.exchange(client), 1)
        return client

    def replays(self):
        return self.stats(self.peers[0])["replays"]

    def test_killed_in_the_hello(self):
        self.both()
        for at in (1, 5, 60, -1):
            self.cut_at(at, self.kill_owner)

    def test_killed_after_the_flight(self):
        self.both()
        for _ in range(3):
            self.flight_then(self.kill_owner)
            self.assertEqual(self.replays(), 1)

    def test_killed_with_rsa(self):
        self.files = self.root.sign("rsa", kind=RSA)
        self.both()
        self.flight_then(self.kill_owner)
        self.assertEqual(self.replays(), 1)

    def test_killed_before_a_second_hello(self):
        """A client that guesses a group which the server has not."""
        self.both()
        context = self.context()
        context.set_ecdh_curve("secp521r1")
        self.flight_then(self.kill_owner, context)

    def test_killed_with_a_client_certificate(self):
        cert, key = self.root.sign("client", "/CN=someone/O=Some where")
        options = ("--tls-client-ca", self.root.cert)
        self.both(*options)
        context = self.context()
        context.load_cert_chain(cert, key)
        client = self.flight_then(lambda: self.kill_owner(*options), context)
        client.send(b"who\n")
        self.assertEqual(client.line(), "alpn= name=localhost "
                                        "peer=O=Some where,CN=someone\n")

    def test_given_in_a_handshake(self):
        """The give waits, and the handshake is finished where it began: the
        other peer has another certificate."""
        one = self.first()
        two = self.second(files=self.root.sign("other"))
        client = Mem(self, self.address, self.context())
        client.sock.sendall(client.hello())
        client.fill()
        give = threading.Thread(target=self.give)
        give.start()
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        give.join()
        self.exchange(client)
        self.assertEqual(self.stats(one)["handshakes"], 1)
        self.assertEqual(self.stats(two)["replays"], 0)

    def test_given_in_the_hello(self):
        """Nothing was answered yet: it begins anew, with the certificate of
        the other peer, and no give waits for it."""
        self.first("--give-timeout", "60000")
        two = self.second("--give-timeout", "60000",
                          files=self.root.sign("other", "/CN=other"))
        client = Mem(self, self.address, self.context())
        hello = client.hello()
        client.sock.sendall(hello[:100])
        self.settle()
        began = time.monotonic()
        self.give()
        self.assertLess(time.monotonic() - began, 30)
        client.sock.sendall(hello[100:])
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        self.assertEqual(self.subject(client), "other")
        stats = self.stats(two)
        self.assertEqual((stats["strangers"], stats["replays"]), (0, 0))

    def test_other_certificate_after_a_death(self):
        """It cannot be run again: ended at once, and counted. Open ones go
        on."""
        one = self.first()
        two = self.second(files=self.root.sign("other"))
        open_one = self.client()
        client = Mem(self, self.address, self.context())
        client.sock.sendall(client.hello())
        client.fill()
        one.kill()
        two.expect(": owner: .* died")
        client.step(lambda: client.tls.do_handshake() or 1)
        client.flush()
        self.assertEqual(client.sock.recv(1), b"")
        self.exchange(open_one)
        stats = self.stats(two)
        self.assertEqual((stats["strangers"], stats["mismatches"]), (1, 0))
        two.expect_error("TLS handshake: .* another certificate")

    def test_reload_on_one_peer(self):
        one, two = self.both()
        old = self.client()
        waiting = Mem(self, self.address, self.context())
        waiting.sock.sendall(waiting.hello())
        waiting.fill()
        cert, key = self.root.sign("next", "/CN=next")
        os.rename(cert, self.files[0])
        os.rename(key, self.files[1])
        one.signal(signal.SIGHUP)
        one.expect("^reloaded$")
        waiting.handshake()  # by what it began with
        self.assertEqual(waiting.line(), "hello\n")
        self.assertIn("localhost", self.subject(waiting))
        new = self.client()
        self.assertIn("next", self.subject(new))
        self.give()  # to the peer with the old files
        for client in (old, waiting, new):
            self.exchange(client)
        self.assertIn("localhost", self.subject(self.client()))
        two.signal(signal.SIGHUP)
        two.expect("^reloaded$")
        self.assertIn("next", self.subject(self.client()))

    @staticmethod
    def subject(client):
        return dict(pair[0] for pair in
                    client.tls.getpeercert()["subject"])["commonName"]

    def test_bad_files_change_nothing(self):
        one = self.first()
        with open(self.files[0], "w", encoding="ascii") as file:
            file.write("nothing\n")
        one.signal(signal.SIGHUP)
        said = one.expect("^not reloaded: (.*)")[1]
        self.assertIn(self.files[0], said)
        self.client()

    def test_late_client(self):
        one = self.first("--handshake-ms", "300")
        silent = self.connect(self.address)
        self.assertEqual(silent.recv(1), b"")
        client = Mem(self, self.address, self.context())
        client.sock.sendall(client.hello()[:100])
        self.assertEqual(client.sock.recv(1), b"")
        self.assertEqual(self.stats(one)["late"], 2)
        one.expect_error("TLS handshake: late, nothing received")
        one.expect_error("TLS handshake: late, not finished")

    def test_plain_text_client(self):
        one = self.first()
        sock = self.connect(self.address)
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(sock.recv(1), b"")  # OpenSSL has no alert for it
        self.assertEqual(self.stats(one)["failed"], 1)

    def test_operator_sees_why(self):
        one = self.first("--verbose", program="server")
        self.connect(self.address).sendall(b"GET / HTTP/1.1\r\n\r\n")
        one.expect_error(r"connection \d+ of 127\.0\.0\.1:\d+: "
                         "TLS handshake: http request$")

    def test_old_version(self):
        self.first()
        context = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises(ssl.SSLError):
            self.client(context)


class Open(TlsTest):
    def moved_with_data(self, *options, clients=4):
        """Lines of random length on several connections, while everything
        moves; each answer is right, and counted once."""
        self.both(*options)
        every = [self.client() for _ in range(clients)]
        counts = [0] * clients
        stop = threading.Event()
        wrong = []

        def talk(i):
            rng = random.Random(i)
            try:
                while not stop.is_set():
                    text = "x" * rng.choice((0, 1, 100, 5000, 40000))
                    counts[i] += 1
                    if self.exchange(every[i], text) != counts[i]:
                        raise AssertionError("not once")
            except Exception as error:  # pylint: disable=broad-except
                wrong.append((i, counts[i], repr(error)))
        threads = [threading.Thread(target=talk, args=(i,))
                   for i in range(clients)]
        for thread in threads:
            thread.start()

        def go_on():
            before = list(counts)
            end = time.monotonic() + 20
            while any(a < b + 2 for a, b in zip(counts, before)) and \
                    not wrong and time.monotonic() < end:
                time.sleep(0.001)
        self.each_move(go_on, *options, rounds=3)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertTrue(all(counts))

    def test_loop(self):
        self.moved_with_data("--model", "loop")

    def test_thread(self):
        self.moved_with_data("--model", "thread")

    def test_workers(self):
        self.moved_with_data("--workers", "3")

    def test_fork(self):
        self.moved_with_data("--model", "fork")

    def test_iterative(self):
        self.moved_with_data("--model", "iterative", clients=1)

    def test_beside_sessions(self):
        """Sessions are around TLS: a client without one is served as ever."""
        self.moved_with_data("--sessions")

    def test_rsa(self):
        self.files = self.root.sign("rsa", kind=RSA)
        self.moved_with_data()

    def test_names(self):
        self.both("--alpn", "lines/2", "--alpn", "lines/1")
        context = self.context()
        context.set_alpn_protocols(["lines/1", "lines/2"])
        client = self.client(context)
        client.send(b"who\n")
        self.assertEqual(client.line(),
                         "alpn=lines/2 name=localhost peer=\n")
        self.kill_owner()
        client.send(b"who\n")
        self.assertEqual(client.line(),
                         "alpn=lines/2 name=localhost peer=\n")

    def test_client_certificates(self):
        other = Authority(self.base, "another")
        one = self.first("--tls-client-ca", self.root.cert)
        # it learns that only after its own Finished
        with self.assertRaises(ssl.SSLError):
            self.client()
        context = self.context()
        context.load_cert_chain(*other.sign("stranger"))
        with self.assertRaises(ssl.SSLError):
            self.client(context)
        self.assertEqual(self.stats(one)["failed"], 2)
        context = self.context()
        context.load_cert_chain(*self.root.sign("good"))
        self.exchange(self.client(context))

    def test_posts(self):
        self.both()
        poster, reader = self.client(), self.client()
        early = Mem(self, self.address, self.context())
        early.sock.sendall(early.hello())
        early.fill()
        poster.send(b"post to all\n")
        self.assertEqual(reader.line(), "to all\n")
        self.assertEqual(poster.line(), "to all\n")
        early.handshake()  # it begins after that
        self.assertEqual(early.line(), "hello\n")
        self.exchange(early)

    def test_answers_that_come_later(self):
        """The handler has seen the line, and what it did is undone; the post
        that answers consumes it. What comes meanwhile waits."""
        self.both()
        client = self.client()
        for i in range(4):
            client.send(b"later\nnext\n")
            (self.give if i % 2 else self.kill_owner)()
            self.assertEqual(client.line(), "it is later\n")
            self.assertEqual(client.line(), f"{2 * i + 2}: next\n")
        client.send(b"later\n")
        client.end()
        self.assertEqual(client.line(), "it is later\n")
        self.assertEqual(client.line(), "end\n")
        self.ends_in_order(client)

    def test_say(self):
        self.both()
        client = self.client()
        self.ok("say", "in five minutes")
        self.assertEqual(client.line(), "in five minutes\n")
        self.kill_owner()
        self.ok("say", "now")
        self.assertEqual(client.line(), "now\n")

    def ends_in_order(self, client):
        """close_notify, and the end of the stream behind it."""
        self.assertEqual(client.read(1), b"")
        self.assertTrue(client.ended or client.sock.recv(1) == b"")

    def test_closed_by_the_service(self):
        one, _ = self.both()
        client = self.client()
        client.send(b"quit\n")
        self.assertEqual(client.line(), "bye\n")
        self.ends_in_order(client)
        client.sock.close()
        one.expect("^ended: 2 after 1$")

    def test_aborted_by_the_service(self):
        self.first()
        client = self.client()
        client.send(b"abort\n")
        with self.assertRaises(ConnectionResetError):
            client.read(1)

    def test_closed_by_the_client(self):
        one = self.first()
        client = self.client()
        client.send(b"one\nhalf")
        client.end()
        self.assertEqual(client.line(), "1: one\n")
        self.ends_in_order(client)
        self.assertEqual(self.stats(one)["truncated"], 0)

    def test_half_closed(self):
        """The service answers after close_notify, across a death."""
        self.both()
        client = self.client()
        client.end()
        self.assertEqual(client.line(), "end\n")
        self.ends_in_order(client)

    def test_truncated(self):
        one = self.first()
        client = self.client()
        client.send(b"one\n")
        self.assertEqual(client.line(), "1: one\n")
        client.sock.shutdown(1)
        self.assertEqual(client.sock.recv(1), b"")
        one.expect("^ended: 1 after 1$")
        self.assertEqual(self.stats(one)["truncated"], 1)

    def test_farewell(self):
        """A stop that no standby follows."""
        one = self.first()
        client = self.client()
        waiting = Mem(self, self.address, self.context())
        waiting.sock.sendall(waiting.hello())
        waiting.fill()
        one.signal(signal.SIGTERM)
        self.assertEqual(client.line(), "farewell\n")
        self.ends_in_order(client)
        client.sock.close()
        waiting.sock.close()
        self.assertEqual(one.wait(), 0)

    def test_slow_reader(self):
        """It reads nothing while it sends a lot, and loses nothing."""
        self.both()
        client = self.client()
        client.sock.setblocking(False)
        sent = 0
        line = b"z" * 999 + b"\n"
        pending = b""
        moves = iter((self.give, self.kill_owner, self.give, self.kill_owner))
        stuck = 0
        while stuck < 4:
            if not pending:
                client.tls.write(line)
                sent += 1
                pending = client.outbound.read()
            try:
                pending = pending[client.sock.send(pending):]
            except BlockingIOError:
                stuck += 1
                next(moves)()
        client.sock.settimeout(20)
        client.outbound.write(pending)
        writer = threading.Thread(target=client.flush)
        writer.start()
        for i in range(sent):
            self.assertEqual(client.line(), f"{i + 1}: {line.decode()}")
        writer.join()

    def odd(self, *numbers, answers):
        """The client of unusual TLS records, while everything moves."""
        self.both()
        client = self.start(os.path.join(TLS, "tls_client"), self.port,
                            self.root.cert, *numbers)
        self.each_move(lambda: client.expect("^[0-9]+:$"), rounds=1)
        self.assertEqual(client.wait(60), 0, client.output())
        self.assertEqual(client.lines[-1], "done", client.output())
        self.assertEqual(len(client.lines), answers + 1)

    def test_one_byte_records(self):
        self.odd(3000, 1, 0, 300, answers=300)

    def test_padded_records(self):
        """Half a request, and then TLS records that are nearly all padding:
        60 times the input that the service may wait for."""
        self.odd(250, 1, 16384, 100, answers=100)

    def test_long_lines(self):
        self.odd(60000, 16384, 0, 100, answers=100)

    def test_line_that_is_too_long(self):
        one = self.first()
        client = self.client()
        client.send(b"x" * 70000)
        with self.assertRaises(ssl.SSLError) as caught:
            client.read(1)
        self.assertIn("INTERNAL_ERROR", str(caught.exception).upper())
        self.assertEqual(self.stats(one)["alerts_out"], 1)

    def test_forged_record(self):
        one = self.first()
        client = self.client()
        client.tls.write(b"before\n")
        good = client.outbound.read()
        client.sock.sendall(good + b"\x17\x03\x03\x00\x20" + b"f" * 32)
        self.assertEqual(client.line(), "1: before\n")
        with self.assertRaises(ssl.SSLError) as caught:
            client.read(1)
        self.assertIn("BAD_RECORD_MAC", str(caught.exception).upper())
        self.assertEqual(self.stats(one)["alerts_out"], 1)

    def test_killed_in_the_handler(self):
        """What was sealed and not committed has never left: another text,
        sealed under the same number, is what the client gets. OpenSSL knows
        each number once."""
        once = os.path.join(self.base, "once")
        options = ("--kill", once)
        self.both(*options)
        client = self.client()
        for i in range(20):
            with open(once, "w", encoding="ascii"):
                pass
            self.assertEqual(self.exchange(client), 2 * i + 1)
            client.send(b"die\n")
            self.peers[1].expect(": owner: .* died")
            self.peers.pop(0).wait()
            self.second(*options)  # it is tried with a standby only
            self.assertEqual(client.line(),
                             f"{2 * i + 2}: {self.peers[0].pid}\n")

    def test_dump_has_no_secrets(self):
        self.both()
        client = self.client()
        self.exchange(client)
        client.send(b"a secret of the client")
        other = self.client()
        self.exchange(other)  # so what was sent before has been read
        path = os.path.join(self.base, "dump")
        self.ok("dump", path)
        with open(path, encoding="utf-8") as file:
            shown = file.read()
        self.assertIn("TLS 1.3", shown)
        self.assertNotIn("secret", shown)


class Idle(TlsTest):
    """Nothing happens for some seconds before each move: no process keeps
    anything of the connections, and their states are folded."""

    def wait_until_idle(self, count):
        end = time.monotonic() + DEADLINE
        before = self.stats(self.peers[0])["idle"]
        while self.stats(self.peers[0])["idle"] < before + count:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def moved_after_a_rest(self, *options):
        self.both(*options)
        every = [self.client() for _ in range(3)]
        done = 0

        def go_on():
            nonlocal done
            done += 1
            for client in every:
                self.assertEqual(self.exchange(client, "x" * 5000), done)
            self.wait_until_idle(len(every))
        go_on()
        self.give()
        go_on()
        self.kill_owner(*options)
        go_on()

    def test_loop(self):
        self.moved_after_a_rest("--model", "loop")

    def test_thread(self):
        self.moved_after_a_rest("--model", "thread")

    def test_workers(self):
        self.moved_after_a_rest("--workers", "3")


class InSessions(TlsTest):
    """TLS is what a session carries: its connections are cut, and there is
    one handshake."""

    def session(self):
        client = SessionMem(self, self.address, self.context())
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        return client

    def test_cut(self):
        """In the midst of TLS records, between moves and deaths."""
        options = ("--sessions", "--model", "thread")
        self.both(*options)
        client = self.session()
        count = 0

        def check():
            nonlocal count
            for size in (3, 20000, 100):
                text = "x" * size
                client.tls.write(text.encode() + b"\n")
                whole = client.outbound.read()
                client.session.write(whole[:size // 2])
                client.session.cut()
                client.session.write(whole[size // 2:])
                count += 1
                self.assertEqual(client.line(), f"{count}: {text}\n")
                client.session.cut()
        check()
        self.each_move(check, *options, rounds=2)
        self.assertGreater(client.session.resumes, 50)
        stats = self.stats(self.peers[0])
        self.assertEqual((stats["handshakes"], stats["truncated"]), (0, 0))
        client.send(b"quit\n")
        self.assertEqual(client.line(), "bye\n")
        self.assertEqual(client.read(1), b"")  # by close_notify
        client.session.end()
        client.session.finish()

    def test_cut_in_the_handshake(self):
        """And the process that has begun it dies, too."""
        options = ("--sessions",)
        self.both(*options)
        client = SessionMem(self, self.address, self.context())
        hello = client.hello()
        client.session.write(hello[:100])
        client.session.cut()
        client.session.pump(0)
        self.kill_owner(*options)
        client.session.write(hello[100:])
        client.fill()
        client.session.cut()
        self.kill_owner(*options)
        client.handshake()
        self.assertEqual(client.line(), "hello\n")
        self.assertEqual(self.exchange(client), 1)
        self.assertEqual(self.stats(self.peers[0])["replays"], 1)

    def test_posts(self):
        self.both("--sessions")
        plain, client = self.client(), self.session()
        client.session.cut()
        plain.send(b"post to all\n")
        self.assertEqual(plain.line(), "to all\n")
        self.assertEqual(client.line(), "to all\n")


class Refused(TlsTest):
    def refuse(self, *options):
        done = subprocess.run(
            [os.path.join(TLS, "tls_server"), "--dir", self.dir, "--listen",
             "127.0.0.1:0", *options], capture_output=True, text=True,
            timeout=20, check=False)
        self.assertEqual(done.returncode, 2)
        self.assert_one_line(done.stderr)
        return done.stderr

    def test_options(self):
        cert, key = self.files
        self.assertIn("--tls-key", self.refuse("--tls-cert", cert))
        self.assertIn("--tls-cert", self.refuse("--tls-key", key))
        self.assertIn("twice", self.refuse("--tls-cert", cert, "--tls-cert",
                                           cert, "--tls-key", key))
        self.assertIn("/none", self.refuse("--tls-cert", "/none", "--tls-key",
                                           key))
        self.assertIn(self.root.key, self.refuse(
            "--tls-cert", cert, "--tls-key", self.root.key))


if __name__ == "__main__":
    main()
