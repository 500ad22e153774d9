# SPDX-License-Identifier: MIT
"""Sessions without a connection, and those that go on with another one, as
operators and clients see them: in every model, many at once, and never a token.
The clients know handoff_session(7) alone."""
import importlib.util
import json
import os
import re
import signal
import socket
import struct

from harness import SCALE, SystemTest, main, wait_until

MANY = 1000


def protocol():
    """Its name is that of another module of the tests."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                        "session", "foreign.py")
    spec = importlib.util.spec_from_file_location("session_protocol", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROTOCOL = protocol()


class Resume(SystemTest):
    def session(self, address):
        host, port = address.rsplit(":", 1)
        session = PROTOCOL.Session(lambda: socket.create_connection(
            (host, int(port)), 20 * SCALE))
        self.addCleanup(session.cut)
        return session

    def echo(self, session, text=b"hello\n"):
        session.write(text)
        self.assertEqual(session.read(len(text)), text)

    def listed(self):
        """Of all peers."""
        peers = json.loads(self.ok("status", "--connections", "--json"))
        return [c for peer in peers["peers"] for c in peer["connections"]]

    def await_absent(self, count):
        def there():
            return sum(c["absent_ms"] > 0 for c in self.listed()) == count
        wait_until(there, f"{count} sessions to be absent")

    def everywhere(self, *options):
        """One session, on a connection that is cut, by either peer, and after
        the death of either."""
        server, alt = self.pair("--sessions", *options)
        self.wait_peer("alt", role="standby")
        session = self.session(server.address)
        self.echo(session)
        for _ in range(3):
            session.cut()
            self.await_absent(1)
            self.echo(session)
        self.ok("maintenance")
        self.echo(session)
        session.cut()
        self.await_absent(1)
        self.ok("ready")
        self.wait_peer("server", role="owner")
        self.echo(session)
        session.cut()
        self.await_absent(1)
        wait_until(lambda: self.peer("server")["uncovered"] == 0, "a copy")
        server.signal(signal.SIGKILL)
        server.wait()
        self.wait_peer("alt", role="owner")
        self.await_absent(1)
        self.echo(session)
        self.assertGreaterEqual(session.resumes, 5)
        session.end()
        session.finish()
        wait_until(lambda: self.peer("alt")["connections"] == 0, "its end")
        self.assertEqual(alt.stop(), 0)

    def test_loop(self):
        self.everywhere()

    def test_workers(self):
        self.everywhere("--workers", "3")

    def test_thread(self):
        self.everywhere("--model", "thread")

    def test_fork(self):
        self.everywhere("--model", "fork")

    def test_iterative(self):
        self.everywhere("--model", "iterative")

    def metrics(self, name):
        found = re.findall(rf"^handoff_{name}(?:{{.*}})? (\d+)$",
                           self.ok("metrics"), re.M)
        self.assertTrue(found, name)
        return sum(map(int, found))

    def test_what_an_operator_sees(self):
        server = self.server("--sessions")
        sessions = [self.session(server.address) for _ in range(3)]
        plain = self.connect(server.address)
        self.assert_echo(plain)
        for session in sessions:
            self.echo(session)
        sessions[0].cut()
        self.await_absent(1)
        listed = {c["id"]: c for c in self.listed()}
        self.assertEqual(len(listed), 4)
        for session in sessions:
            self.assertTrue(listed[session.number]["session"])
        status = json.loads(self.ok("status", "--json"))["peers"][0]
        self.assertEqual(status["sessions"], {"count": 3, "absent": 1})
        self.assertIn("1 session is without a connection", self.ok("status"))
        self.assertIn("(session, absent for ", self.ok(
            "status", "--connections"))
        self.assertEqual(self.metrics("sessions"), 3)
        self.assertEqual(self.metrics("sessions_absent"), 1)
        self.echo(sessions[0])
        self.assertEqual(self.metrics("sessions_absent"), 0)
        self.assertEqual(self.metrics("sessions_resumed_total"), 1)
        # the number is that of the session, not of its connection
        self.assertIn(sessions[0].number, {c["id"] for c in self.listed()})
        bad = sessions[1]
        bad.cut()
        bad.token = bytes(16)
        with self.assertRaises(PROTOCOL.Refused):
            bad.connect()
        self.assertEqual(self.metrics("sessions_refused_total"), 1)

    def test_tokens_are_nowhere(self):
        server = self.server("--sessions")
        sessions = [self.session(server.address) for _ in range(3)]
        for session in sessions:
            self.echo(session)
        sessions[0].cut()
        self.await_absent(1)
        self.echo(sessions[1])
        sessions[1].cut()
        self.echo(sessions[1])
        path = os.path.join(self.base, "dump")
        self.ok("dump", path)
        with open(path, encoding="utf-8") as file:
            dump = file.read()
        numbers = {json.loads(line).get("session")
                   for line in dump.splitlines()}
        shown = "".join((dump, self.ok("status"), self.ok("metrics"),
                         self.ok("status", "--connections"),
                         self.ok("status", "--connections", "--json"),
                         server.output()))
        for session in sessions:
            self.assertIn(session.number, numbers)
            self.assertNotIn(session.token.hex(), shown.lower())
            self.assertNotIn(session.token.hex()[4:20], shown.lower())

    def test_time_is_up(self):
        server = self.server("--sessions", "--session-timeout", "300",
                             "--session-max", "2")
        sessions = [self.session(server.address) for _ in range(3)]
        for session in sessions:
            self.echo(session)
            session.cut()
        wait_until(lambda: self.peer("server")["connections"] == 0,
                   "the sessions to end")
        self.assertEqual(self.metrics("sessions_expired_total"), 3)
        with self.assertRaises(PROTOCOL.Refused) as refused:
            sessions[0].connect()
        self.assertEqual(refused.exception.args[0], 1)

    def greet(self, address, wishes):
        """A connection for each, at once: what the server answers first."""
        host, port = address.rsplit(":", 1)
        answers = []
        for start in range(0, len(wishes), 100):
            part = []
            for wish in wishes[start:start + 100]:
                sock = socket.create_connection((host, int(port)),
                                                20 * SCALE)
                self.addCleanup(sock.close)
                sock.sendall(PROTOCOL.PREFACE + wish)
                part.append(sock)
            answers += [self.receive(sock, 53) for sock in part]
        self.assertEqual({answer[0] for answer in answers},
                         {PROTOCOL.WELCOME})
        return answers

    def test_many_come_home(self):
        """Each finds its session with the other peer, without a search."""
        self.need_descriptors(4 * MANY + 200)
        server, _ = self.pair("--sessions", "--spread", "60000",
                              "--session-max", 2 * MANY)
        self.wait_peer("alt", role="standby")
        new = PROTOCOL.frame(PROTOCOL.NEW, 0, struct.pack(">II", 9999, 9999))
        answers = self.greet(server.address, [new] * MANY)
        self.ok("maintenance")
        self.ok("ready")
        self.wait_peer("server", role="owner")
        self.assertEqual(self.peer("alt")["connections"], MANY)
        wishes = [PROTOCOL.frame(PROTOCOL.RESUME, 0, struct.pack(
            ">Q16sQQ", *struct.unpack(">Q16s", answer[8:32]), 0, 0))
            for answer in answers]
        self.chance_order(wishes)
        self.greet(server.address, wishes)
        self.assertEqual(self.peer("alt")["connections"], 0)
        self.assertEqual(self.peer("server")["connections"], MANY)
        self.assertEqual(self.metrics("sessions_resumed_total"), MANY)

    @staticmethod
    def chance_order(wishes):
        wishes.sort(key=lambda wish: wish[20:24])  # by the token


if __name__ == "__main__":
    main()
