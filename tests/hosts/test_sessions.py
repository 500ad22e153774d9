# SPDX-License-Identifier: MIT
"""Sessions and another host: one goes there with its connection, is resumed
there, and comes home; so does one without a connection, whoever dies meanwhile.
The clients know handoff_session(7) alone."""
import importlib.util
import os
import signal

from test_deaths import RECEIVING, SENDING, VICTIMS, Moving
from world import LONG, PORT, SCALE, SEED, SERVICE4, Hosts, main

def protocol():
    """Its name is that of another module of the tests."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                        "session", "foreign.py")
    spec = importlib.util.spec_from_file_location("session_protocol", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROTOCOL = protocol()


class Sessions(Hosts):
    """What the clients do."""
    options = ("--sessions",)

    def session(self):
        return PROTOCOL.Session(lambda: self.dial(f"{SERVICE4}:{PORT}"))

    def echo(self, session, text=b"hello\n"):
        session.write(text)
        self.assertEqual(session.read(len(text)), text)

    def counts(self, host):
        """Sessions, and how many of them are absent, of those that serve."""
        found = [peer["sessions"] for peer in self.peers(host)
                 if peer.get("sessions")]
        return (sum(each["count"] for each in found),
                sum(each["absent"] for each in found))

    def lose(self, host, sessions):
        """Their connections are cut: they are absent there."""
        before, absent = self.counts(host)
        for session in sessions:
            session.cut()
        self.await_(lambda: self.counts(host)
                    == (before, absent + len(sessions)),
                    "the sessions to be absent")

    def over(self, sessions, resumes):
        """Each goes on where it was, and ends in order."""
        for session in sessions:
            self.echo(session)
            session.end()
            session.finish()
            self.assertEqual(session.resumes, resumes)


class Journeys(Sessions):
    """Those on which nobody dies."""

    def test_goes_and_comes_home(self):
        self.both(options=self.options)
        one, two = self.session(), self.session()
        for session in (one, two):
            self.echo(session)
        self.move_all(self.a, 2)
        self.echo(one)
        self.assertEqual(one.resumes, 0)
        two.cut()
        self.await_(lambda: self.counts(self.b) == (2, 1),
                    "the session to be absent")
        self.echo(two)
        self.assertEqual(two.resumes, 1)
        self.await_(lambda: self.counts(self.b) == (2, 0),
                    "the session to be resumed")
        self.move_all(self.b, 2)
        for session in (one, two):
            self.echo(session)
            session.cut()
            self.echo(session)
            session.end()
            session.finish()
        self.assertEqual((one.resumes, two.resumes), (1, 2))

    def test_absent_ones_go_and_come_home(self):
        """Without their connections, and resume wherever the service is."""
        self.both(options=self.options)
        one, absent = self.session(), self.session()
        for session in (one, absent):
            self.echo(session)
        self.lose(self.a, [absent])
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertIn("would move 2 of 2 connections", said)
        self.move_all(self.a, 2)
        self.assertEqual(self.counts(self.b), (2, 1))
        for session in (absent, one):
            self.echo(session)
        self.await_(lambda: self.counts(self.b) == (2, 0), "it to be resumed")
        self.lose(self.b, [absent])
        self.move_all(self.b, 2)
        self.assertEqual(self.counts(self.a), (2, 1))
        for session in (absent, one):
            self.echo(session)
            session.end()
            session.finish()
        self.assertEqual((absent.resumes, one.resumes), (2, 0))

    def test_posts_go_along(self):
        """Each is taken once, by the client that was away."""
        self.both(options=self.options)
        one, absent = self.session(), self.session()
        for session in (one, absent):
            self.echo(session)
        self.lose(self.a, [absent])
        self.ok_on(self.a, "say", "first")
        self.assertIn(b"first", one.read(6))
        self.move_all(self.a, 2)
        self.ok_on(self.b, "say", "second")
        self.assertIn(b"second", one.read(7))
        absent.connect()
        self.assertEqual(absent.read(13), b"first\nsecond\n")
        self.lose(self.b, [absent])
        self.ok_on(self.b, "say", "third")
        self.assertIn(b"third", one.read(6))
        self.move_all(self.b, 2)
        absent.connect()
        self.assertEqual(absent.read(6), b"third\n")
        self.over([absent], 2)
        self.over([one], 0)

    def test_absent_ones_alone(self):
        """There and back without anyone who asks for them: nothing but absent
        sessions moves."""
        self.both(options=self.options)
        sessions = [self.session() for _ in range(3)]
        for session in sessions:
            self.echo(session)
        self.lose(self.a, sessions)
        self.move_all(self.a, 3)
        self.assertEqual(self.counts(self.b), (3, 3))
        self.move_all(self.b, 3)
        self.assertEqual(self.counts(self.a), (3, 3))
        self.over(sessions, 1)


class Limits(Sessions):
    def test_other_host_keeps_as_many_as_it_may(self):
        """The oldest of too many end there."""
        self.serve_on(self.a, options=self.options)
        self.ferry(self.a)
        self.ferry(self.b)
        self.wait_on(self.b, options=(*self.options, "--session-max", 4))
        self.wait_ready(self.b)
        absent = [self.session() for _ in range(6)]
        for session in absent:
            self.echo(session)
            self.lose(self.a, [session])
        said, moved = self.move(self.a)
        self.assertEqual(moved, 6, said)
        self.await_(lambda: self.counts(self.b) == (4, 4), "two to end")
        for session in absent[:2]:
            with self.assertRaises(PROTOCOL.Refused) as refused:
                session.connect()
            self.assertEqual(refused.exception.args[0], 1)
        self.over(absent[2:], 1)


class Deaths(Sessions, Moving):
    """One for each cell: absent sessions alone, or behind a connection."""

    def cell(self, host, function, victim, connections):
        self.both(options=self.options)
        live = [self.session() for _ in range(connections)]
        absent = [self.session() for _ in range(3)]
        for session in live + absent:
            self.echo(session)
        self.lose(self.a, absent)
        stop = self.stop_at(self.ferries[host], function, connections + 1)
        mover = self.move_later(self.a)
        stop.hit()
        pid = self.victim(victim)
        self.assertIsNotNone(pid, f"{victim} is not there\n{self.told()}")
        if pid == self.ferries[host].pid:
            stop.kill()
        else:
            os.kill(pid, signal.SIGKILL)
            stop.go()
        self.bring_back(victim)
        mover.wait(60 * SCALE)
        state = self.await_(lambda: self.ferry_state(self.a),
                            "the ferry of A to join")
        if state["site"] == "here":
            self.move(self.a)
        self.assert_served(self.b, len(live + absent))
        for each in (self.a, self.b):
            self.await_(lambda each=each: self.ferry_state(each) and not
                        self.ferry_state(each)["batches_in_doubt"],
                        "nothing to be in doubt")
        self.over(absent, 1)
        self.over(live, 0)


class Parts(Sessions, Moving):
    """One in a batch: a move may end between two of them."""
    batch = 1

    def test_ready_brings_them_home(self):
        """Those that had left when the link broke; the addresses are here."""
        self.both(options=self.options)
        absent = [self.session() for _ in range(3)]
        for session in absent:
            self.echo(session)
        self.lose(self.a, absent)
        stop = self.stop_at(self.ferries[self.b], "handoff__receiving_end", 2)
        mover = self.move_later(self.a)
        stop.hit().kill()
        self.assertEqual(mover.wait(60 * SCALE), 1, self.told())
        self.assertIn("moved 1 of 3 connections", mover.output())
        self.bring_back("ferry b")
        self.await_(lambda: self.counts(self.b) == (1, 1)
                    and self.counts(self.a) == (2, 2)
                    and self.state(self.a, "astray") == 1,
                    "one to be there, and two here")
        self.wait_ready(self.b)
        self.ok_on(self.a, "ready")
        self.await_(lambda: self.counts(self.a) == (3, 3), "all to be here")
        self.over(absent, 1)

    def test_many_go_in_batches(self):
        """One after the other."""
        self.both(options=self.options)
        absent = [self.session() for _ in range(10)]
        for session in absent:
            self.echo(session)
        self.lose(self.a, absent)
        self.move_all(self.a, 10)
        self.assertEqual(self.counts(self.b), (10, 10))
        self.over(absent, 1)


def cells():
    """Every ferry at each of its own states; the others all, or a part. No
    socket is frozen or restored here."""
    for host, functions in (("a", SENDING), ("b", RECEIVING)):
        functions = [name for name, _ in functions
                     if not name.startswith("handoff__migrate")]
        for number, function in enumerate(functions):
            for place, victim in enumerate(VICTIMS):
                own = victim == "ferry " + host
                if own or LONG or (number + place + SEED) % 7 == 0:
                    yield host, function, victim, (number + place) % 2


def add(host, function, victim, connections):
    name = f"test_{victim}_at_{host}_{function[9:]}".replace(" ", "_")

    def run(self):
        self.cell({"a": self.a, "b": self.b}[host], function, victim,
                  connections)
    run.__name__ = name
    setattr(Deaths, name, run)


for CELL in cells():
    add(*CELL)


if __name__ == "__main__":
    main()
