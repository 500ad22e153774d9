# SPDX-License-Identifier: MIT
"""The client program across MAINTENANCE and READY: it stays, then moves home,
and what it prints is exactly what it sent."""
import os
import shutil
import signal
import subprocess
import threading
import time

from harness import BIN, DEADLINE, SystemTest, main, wait_until


class Client(SystemTest):
    def client(self, *addresses, name="client", options=()):
        to = [text for each in addresses for text in ("--connect", each)]
        client = self.start("client", "--dir", self.dir, *to, "--name", name,
                            *options, stdin=subprocess.PIPE)
        client.sent = []
        return client

    def say(self, client, *lines):
        for line in lines:
            client.sent.append(line)
            client.process.stdin.write(line.encode() + b"\n")
        client.process.stdin.flush()

    def assert_answers(self, client):
        """All that was said has come back, in order, once."""
        wait_until(lambda: len(client.lines) >= len(client.sent),
                   "all lines to come back")
        self.assertEqual(client.lines, client.sent)

    def end(self, client):
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(client.lines, client.sent)

    def event(self, client, word):
        wait_until(lambda: any(word.lower() in line.lower()
                               for line in client.errors),
                   f"the client to tell '{word}', it told: {client.errors}")

    def scenario(self, model):
        server, alt = self.pair("--model", model)
        clients = [self.client(server.address, name=f"c{n}")
                   for n in range(3)]
        for client in clients:
            self.say(client, "one", "two")
            self.assert_answers(client)
        for turn in range(2):
            del clients[0].errors[:], clients[1].errors[:]
            del clients[2].errors[:]
            self.ok("maintenance")
            for client in clients:
                self.event(client, "maintenance")
                self.say(client, f"away {turn}")
                self.assert_answers(client)
            self.assertEqual(self.peer("alt")["connections"], 3)
            self.ok("ready")
            for client in clients:
                self.event(client, "ready")
            self.wait_peer("alt", connections=0, role="standby")
            self.wait_peer("server", connections=3, role="owner")
            for client in clients:
                self.event(client, "moved")
                self.say(client, f"home {turn}")
                self.assert_answers(client)
        for client in clients:
            del client.errors[:]
        self.ok("maintenance")
        for client in clients:
            self.event(client, "maintenance")
        self.ok("ready", "--silent")
        self.wait_peer("server", connections=3, role="owner")
        for client in clients:
            self.say(client, "after silence")
            self.assert_answers(client)
            self.assertNotIn("moved", "\n".join(client.errors).lower())
            self.end(client)

    def test_scenario_loop(self):
        self.scenario("loop")

    def test_scenario_thread(self):
        self.scenario("thread")

    def test_talks_all_the_time(self):
        """A steady stream of lines through two rounds of the scenario."""
        server, _ = self.pair()
        clients = [self.client(server.address, name=f"c{n}")
                   for n in range(3)]
        stop = threading.Event()

        def talk(client):
            number = 0
            while not stop.is_set():
                self.say(client, f"{client.pid} line {number} " + "." * 100)
                number += 1
                time.sleep(0.001)

        talkers = [threading.Thread(target=talk, args=(client,))
                   for client in clients]
        for talker in talkers:
            talker.start()
        try:
            for _ in range(2):
                self.ok("maintenance")
                self.wait_peer("alt", connections=3)
                self.ok("ready")
                self.wait_peer("alt", connections=0)
                self.wait_peer("server", connections=3)
        finally:
            stop.set()
            for talker in talkers:
                talker.join()
        for client in clients:
            self.assertGreater(len(client.sent), 500)
            self.end(client)

    def test_ends_while_away(self):
        server, _ = self.pair()
        client = self.client(server.address)
        self.say(client, *(f"line {n}" for n in range(1000)))
        self.ok("maintenance")
        self.end(client)

    def test_late_subscriber_is_told(self):
        server, _ = self.pair()
        self.ok("maintenance")
        client = self.client(server.address)
        self.event(client, "maintenance")
        self.say(client, "hello")
        self.assert_answers(client)
        self.end(client)

    def test_second_endpoint(self):
        """The first endpoint is dead: the next one is tried."""
        server = self.server()
        dead = self.connect(server.address)
        unused = "%s:%d" % dead.getsockname()
        dead.close()
        client = self.client(unused, server.address)
        self.say(client, "hello")
        self.assert_answers(client)
        self.end(client)

    def test_reconnects(self):
        """The server ends and comes again on the same address."""
        server = self.server()
        client = self.client(server.address)
        self.say(client, "before")
        self.assert_answers(client)
        self.assertEqual(server.stop(), 0)
        # What is sent before it has noticed may be lost with the connection.
        client.expect_error(": lost: ")
        self.say(client, "between")
        self.server(listen=(server.address,))
        self.assert_answers(client)
        self.say(client, "after")
        self.assert_answers(client)
        self.end(client)

    def test_killed_client_is_forgotten(self):
        """Its queue goes with the next notice."""
        server = self.server()
        client = self.client(server.address)
        self.say(client, "hello")
        self.assert_answers(client)
        client.kill()
        if self.queues:
            self.assertEqual(len(os.listdir(self.queues)), 1)
        self.assertEqual(server.stop(), 0)
        if self.queues:
            self.assertEqual(os.listdir(self.queues), [])

    def forget(self, client):
        """Ends a client that has no server to end with."""
        client.kill()
        self.assertEqual(self.server().stop(), 0)

    def test_end_of_the_service_is_told(self):
        server = self.server()
        client = self.client(server.address)
        self.say(client, "hello")
        self.assert_answers(client)
        self.assertEqual(server.stop(), 0)
        self.event(client, "goodbye")
        self.forget(client)

    def test_no_server(self):
        """It keeps trying and says so, ever more rarely."""
        server = self.server()
        address = server.address
        self.assertEqual(server.stop(), 0)
        client = self.client(address)
        self.event(client, address)
        self.assertEqual(client.process.poll(), None)
        self.assertLess(len(client.errors), 100)
        self.forget(client)

    # A named pipe in place of standard input

    def echo(self, client, fifo, *lines):
        """What a second terminal does: a shell of its own for each line."""
        for line in lines:
            client.sent.append(line)
            subprocess.run(["sh", "-c", f"echo '{line}' > '{fifo}'"],
                           timeout=DEADLINE, check=True)

    def test_session_comes_home(self):
        """With a session the move says so; and each line comes back once."""
        server, alt = self.pair("--sessions")
        client = self.client(server.address, options=("--session",))
        self.say(client, "one")
        self.assert_answers(client)
        self.ok("maintenance")
        self.event(client, "maintenance")
        self.say(client, "two")
        self.ok("ready")
        self.event(client, ": the session goes on")
        self.say(client, "three")
        self.assert_answers(client)
        self.wait_peer("alt", connections=0)
        self.end(client)

    def test_session_with_a_plain_server(self):
        """It says what is wrong, and has sent nothing of the input."""
        server, _ = self.pair("--verbose")
        client = self.client(server.address, options=("--session",))
        self.say(client, "hello")
        self.event(client, "it is not a server with sessions; next ")
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait(), -signal.SIGTERM)
        self.assertEqual(client.lines, [])
        self.assertNotIn("hello", server.output())

    def test_named_pipe(self):
        """As the lab has it: opened for both directions, it has no end."""
        server, _ = self.pair()
        fifo = os.path.join(self.base, "type here")
        os.mkfifo(fifo, 0o600)
        client = self.start(
            shutil.which("sh"), "-c", 'exec "$0" --dir "$1" --connect "$2" '
            '<> "$3"', os.path.join(BIN, "client"), self.dir, server.address,
            fifo)
        client.sent = []
        self.echo(client, fifo, "one", "two")
        self.assert_answers(client)
        self.ok("maintenance")
        self.event(client, "maintenance")
        self.echo(client, fifo, "three")
        self.assert_answers(client)
        self.assertEqual(client.stop(), -signal.SIGTERM)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    main()
