# SPDX-License-Identifier: MIT
"""Sessions and another host: one goes there with its connection, is resumed
there, and comes home; one without a connection stays, by name. The clients know
handoff_session(7) alone."""
import importlib.util
import os

from world import PORT, SERVICE4, Hosts, main

ABSENT = "1 session without a connection"


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

    def test_goes_and_comes_home(self):
        self.both(options=("--sessions",))
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

    def test_absent_ones_stay(self):
        self.both(options=("--sessions",))
        one, absent = self.session(), self.session()
        for session in (one, absent):
            self.echo(session)
        absent.cut()
        self.await_(lambda: self.counts(self.a) == (2, 1),
                    "the session to be absent")
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertIn(ABSENT, said)
        self.wait_ready(self.b)
        code, out, err = self.ctl_on(self.a, "maintenance", "--to", "b")
        self.assertEqual(code, 1, out + err)
        self.assertIn(ABSENT, out + err)
        self.await_(lambda: self.counts(self.b) == (1, 0)
                    and self.counts(self.a) == (1, 1),
                    "one to go, and one to stay")
        self.echo(one)
        with self.assertRaises(PROTOCOL.Refused) as refused:
            absent.connect()
        self.assertEqual(refused.exception.args[0], 1)


if __name__ == "__main__":
    main()
