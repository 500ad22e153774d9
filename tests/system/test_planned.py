# SPDX-License-Identifier: MIT
"""A planned handoff, both ways: the same connections live on."""
import os
import signal
import socket
import threading

from harness import SystemTest, halt, main, wait_until


class Planned(SystemTest):
    def test_stays(self):
        """After a maintenance and after a failover; then nothing is to come
        home, and the next maintenance moves all."""
        server, alt = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        self.assertIn("at home with server already", self.ok("stay"))
        self.ok("maintenance")
        self.wait_peer("server", role="standby", held=1)
        self.assertIn("with alt: the maintenance is over", self.ok("stay"))
        for peer in self.status()["peers"]:
            self.assertEqual(peer["maintenance"], None)
        self.assertNotIn("under way", self.ok("status"))
        self.assertIn("nothing to bring home", self.ok("ready", "--silent"))
        self.assertIn("moved 1 connection", self.ok("maintenance"))
        self.wait_peer("alt", role="standby", held=1)
        server.kill()
        self.wait_peer("alt", role="owner", connections=1)
        self.assertIn("at home with alt already", self.ok("stay"))
        self.standby("--name", "third", program="alt_server")
        self.wait_peer("third", held=1)
        alt.kill()
        self.wait_peer("third", role="owner", connections=1)
        self.assertIn("with third: the failover is over", self.ok("stay"))
        self.assert_echo(client)

    def both_ways(self, model):
        server, alt = self.pair("--model", model)
        clients = [self.connect(server.address) for _ in range(20)]
        for client in clients:
            self.assert_echo(client)
        for turn in range(3):
            said = self.ok("maintenance")
            self.assertRegex(said, r"moved 20 connections.* in [\d.]+ ms")
            server.expect(": gave: ")
            alt.expect(": owner: ")
            for number, client in enumerate(clients):
                self.assert_echo(client, b"away %d %d\n" % (turn, number))
            self.wait_peer("alt", role="owner", connections=20)
            self.wait_peer("server", role="standby", connections=0, held=20)
            self.assertRegex(self.ok("ready", "--silent"),
                             "moved 20 connections")
            alt.expect(": gave: ")
            server.expect(": owner: ")
            for number, client in enumerate(clients):
                self.assert_echo(client, b"home %d %d\n" % (turn, number))
            self.wait_peer("server", role="owner", connections=20)
        for client in clients:
            client.close()
        self.wait_peer("server", connections=0)
        self.wait_peer("alt", held=0)

    def test_both_ways_loop(self):
        self.both_ways("loop")

    def test_both_ways_thread(self):
        self.both_ways("thread")

    def test_models_may_differ(self):
        server = self.server("--model", "loop")
        self.standby("--model", "thread")
        client = self.connect(server.address)
        self.assert_echo(client)
        self.ok("maintenance")
        self.assert_echo(client, b"in a thread\n")
        self.ok("ready", "--silent")
        self.assert_echo(client, b"in the loop\n")

    def fill(self, client, data):
        """Sends until nothing more is taken, without reading."""
        client.setblocking(False)
        sent = 0
        try:
            while sent < len(data):
                sent += client.send(data[sent:sent + 65536])
        except BlockingIOError:
            pass
        client.settimeout(20)
        return sent

    def unread(self, model):
        server, _ = self.pair("--model", model)
        data = os.urandom(1 << 14) * 1024
        clients = [self.connect(server.address) for _ in range(4)]
        sent = [self.fill(client, data) for client in clients]
        self.assertGreater(min(sent), 200000)
        self.ok("maintenance")
        half = [self.receive(client, size // 2)
                for client, size in zip(clients, sent)]
        self.ok("ready", "--silent")
        for client, size, first in zip(clients, sent, half):
            rest = self.receive(client, size - size // 2)
            self.assertTrue(first + rest == data[:size], "bytes differ")
            self.assert_echo(client)

    def test_unread_bytes_move_loop(self):
        self.unread("loop")

    def test_unread_bytes_move_thread(self):
        self.unread("thread")

    def half_closed(self, model):
        """Clients that have ended their sending and have not yet read."""
        server, _ = self.pair("--model", model)
        data = os.urandom(1 << 16) * 256
        clients, sent = [], []
        for want in (1, 1000, 70000, 3 << 20, len(data)):
            client = self.connect(server.address)
            clients.append(client)
            sent.append(self.fill(client, data[:want]))
            client.shutdown(socket.SHUT_WR)
        self.ok("maintenance")
        first = [self.receive(client, size // 2)
                 for client, size in zip(clients, sent)]
        self.ok("ready", "--silent")
        for client, size, half in zip(clients, sent, first):
            rest = self.receive(client, 1 << 30)
            self.assertTrue(half + rest == data[:size],
                            f"{size} bytes: {len(half) + len(rest)} came")
        self.wait_peer("server", connections=0)

    def test_half_closed_loop(self):
        self.half_closed("loop")

    def test_half_closed_thread(self):
        self.half_closed("thread")

    def test_backlog_is_not_lost(self):
        """Connections that nobody has accepted when the handoff begins."""
        server, _ = self.pair()
        early = self.connect(server.address)
        self.assert_echo(early)
        for turn, slot in enumerate((1, 2) * 3):
            command = ("maintenance", "ready silent")[turn % 2]
            holder = (server.pid, self.programs[1].pid)[turn % 2]
            halt(holder)
            waiting = [self.connect(server.address) for _ in range(50)]
            for number, client in enumerate(waiting):
                client.sendall(b"waiting %d\n" % number)
            reply = []
            asker = threading.Thread(
                target=lambda: reply.append(self.ask(1, command)))
            asker.start()
            late = [self.connect(server.address) for _ in range(50)]
            os.kill(holder, signal.SIGCONT)
            asker.join()
            self.assertRegex(reply[0], "^ok", (slot, command))
            for number, client in enumerate(waiting):
                want = b"waiting %d\n" % number
                self.assertEqual(self.receive(client, len(want)), want)
                client.close()
            for client in late:
                self.assert_echo(client)
                client.close()
            self.assert_echo(early)


class Coming(SystemTest):
    def test_standby_before_owner(self):
        alt = self.start("alt_server", "--dir", self.dir)
        alt.expect(": waiting: ")
        server = self.server()
        alt.expect(": standby: ")
        server.expect(": joined: ")
        self.ok("maintenance")
        self.assert_echo(self.connect(server.address))

    def test_server_started_again_becomes_standby(self):
        """The same command line, where an owner is there already."""
        server, alt = self.pair()
        address = server.address
        client = self.connect(address)
        self.assert_echo(client)
        self.ok("maintenance")
        self.assertEqual(server.stop(), 0)
        alt.expect(": left: ")
        self.assert_echo(client)
        again = self.start("server", "--dir", self.dir, "--listen", address)
        again.expect(": standby: ")
        self.assertNotIn("listening on", again.output())
        self.assertIn("ready", self.ok("ready", "--silent") + "ready")
        again.expect(": owner: ")
        self.assert_echo(client)
        self.wait_peer("server", role="owner", connections=1,
                       listeners=[address])

    def test_ready_leaves_old_connections_to_their_clients(self):
        """After READY new connections come home, plain ones end as they
        please, and the alternate ends up with none."""
        server, _ = self.pair()
        old = [self.connect(server.address) for _ in range(5)]
        for client in old:
            self.assert_echo(client)
        self.ok("maintenance")
        self.ok("ready")
        self.wait_peer("server", role="owner")
        new = self.connect(server.address)
        self.assert_echo(new)
        self.wait_peer("server", connections=1)
        self.wait_peer("alt", connections=5)
        for client in old:
            self.assert_echo(client)
            client.close()
        self.wait_peer("alt", connections=0)
        self.ok("maintenance")
        self.assert_echo(new)

    def test_addresses(self):
        path = os.path.join(self.base, "sock")
        listen = ("127.0.0.1:0", "[::1]:0", ":0", "unix:" + path)
        server = self.server(listen=listen)
        self.standby()
        self.assertRegex(server.addresses[0], r"^127\.0\.0\.1:[1-9]\d*$")
        self.assertRegex(server.addresses[1], r"^\[::1\]:[1-9]\d*$")
        self.assertRegex(server.addresses[2], r":[1-9]\d*$")
        self.assertEqual(server.addresses[3], "unix:" + path)
        self.wait_peer("server", listeners=server.addresses)
        port = server.addresses[2].rsplit(":", 1)[1]
        reach = server.addresses[:2] + [
            f"127.0.0.1:{port}", f"[::1]:{port}", "unix:" + path]
        old = [self.connect(address) for address in reach]
        for command in (("status",), ("maintenance",), ("ready", "--silent"),
                        ("maintenance",), ("ready",)):
            self.ok(*command)
            for client in old + [self.connect(each) for each in reach]:
                self.assert_echo(client)
        self.wait_peer("server", listeners=server.addresses)

    def test_port_in_use(self):
        server = self.server()
        second = self.start("server", "--dir", self.dir + "2", "--listen",
                            server.address)
        self.assertEqual(second.wait(), 1)
        self.assertEqual(len(second.errors), 1)
        self.assertIn(server.address, second.errors[0])
        self.assertIn("in use", second.errors[0])
        self.assert_echo(self.connect(server.address))

    def test_status(self):
        server, alt = self.pair()
        clients = [self.connect(server.address) for _ in range(3)]
        for client in clients:
            self.assert_echo(client)
        wait_until(lambda: self.peer("alt")["held"] == 3, "held to be 3")
        status = self.status()
        self.assertEqual(list(status), ["service", "peers"])
        self.assertEqual(status["service"], "echo")
        # Later versions may append members, and only append.
        names = ["name", "pid", "role", "connections", "held", "listeners",
                 "generation"]
        for peer in status["peers"]:
            self.assertEqual(list(peer)[:len(names)], names)
        by_name = {peer["name"]: {key: peer[key] for key in names[1:]}
                   for peer in status["peers"]}
        generation = by_name["server"]["generation"]
        self.assertIsInstance(generation, int)
        self.assertEqual(by_name, {
            "server": {"pid": server.pid, "role": "owner", "connections": 3,
                       "held": 0, "listeners": [server.address],
                       "generation": generation},
            "alt": {"pid": alt.pid, "role": "standby", "connections": 0,
                    "held": 3, "listeners": [], "generation": generation},
        })
        self.ok("maintenance")
        self.assertGreater(self.peer("alt")["generation"], generation)
        text = self.ok("status")
        for word in ("server", "alt", "owner", "standby", server.address):
            self.assertIn(word, text)


class Halted(SystemTest):
    def one_asleep(self, give_ms):
        """Two peers and two connections, one of them in its handler."""
        server, alt, address = self.sleepers(3000, give_ms)
        slow, quick = self.connect(address), self.connect(address)
        self.assert_echo(slow)
        self.assert_echo(quick)
        self.wait_peer("alt", held=2)
        slow.sendall(b"sleep\n")
        server.expect("^handler: sleeping$")
        return server, alt, slow, quick

    def test_taker_that_stands_still_has_not_got_what_follows(self):
        """It has the service when it is stopped; a handler returns then. The
        connection counts as left behind, is served where it was, and follows
        once the other runs again."""
        server, alt, slow, quick = self.one_asleep(20000)
        maintenance = self.start("handoffctl", "--dir", self.dir,
                                 "maintenance")
        alt.expect(": owner: ")
        self.wait_peer("alt", connections=1)
        halt(alt.pid)
        self.assertEqual(maintenance.wait(), 0, maintenance.output())
        self.assertRegex(maintenance.output(),
                         "moved 1 connection, 1 listener to alt .* 1 left "
                         "behind\nleft behind: connection 1: the standby has "
                         r"not accepted it in time\Z")
        self.assertEqual(self.receive(slow, 6), b"sleep\n")
        self.assert_echo(slow)
        alt.signal(signal.SIGCONT)
        self.wait_peer("server", role="standby", connections=0, held=2)
        self.wait_peer("alt", role="owner", connections=2)
        self.assertIn("server may be stopped: alt serves all 2 connections",
                      self.ok("status"))
        for peer in self.status()["peers"]:
            last = peer["last_handoff"]
            self.assertEqual((last["connections"], last["left"]), (1, 1))
        self.assert_echo(slow)
        self.assert_echo(quick)

    def test_taker_that_stands_still_after_the_outcome(self):
        """The handler returns only after the handoff has ended without its
        connection, and the other is stopped meanwhile."""
        server, alt, slow, quick = self.one_asleep(300)
        self.assertIn("connection 1: its handler has not returned",
                      self.ok("maintenance"))
        halt(alt.pid)
        server.expect_error("entries that followed later, were not "
                            "accepted in time and are served here "
                            "again: 1$")
        self.assertEqual(self.receive(slow, 6), b"sleep\n")
        self.assert_echo(slow)
        alt.signal(signal.SIGCONT)
        self.wait_peer("server", role="standby", connections=0, held=2)
        self.wait_peer("alt", role="owner", connections=2)
        self.assert_echo(slow)
        self.assert_echo(quick)


if __name__ == "__main__":
    main()
