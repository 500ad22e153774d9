# SPDX-License-Identifier: MIT
"""Moves that cannot be: each is refused in one sentence that says why, and the
clients notice nothing."""
import os

from world import FERRY, PORT, SERVICE4, Hosts, TOOLS, main

SUM_SERVICE = os.path.join(TOOLS, "sum_service")
VERSIONS = os.path.join(TOOLS, "versions")


class Refusals(Hosts):
    ferries_die = True  # or dial where nobody listens yet

    def refused_on(self, host, *words):
        code, out, err = self.ctl_on(host, *words)
        self.assertEqual((code, out), (1, ""), f"{words}: {err}\n"
                         + self.told())
        self.assert_one_line(err)
        return err

    def assert_stays(self, pattern, *words):
        """The move is refused like that, and A serves."""
        load = self.load("--connections", 10).ready()
        err = self.refused_on(self.a, "maintenance", *words)
        self.assertRegex(err, pattern)
        self.assert_served(self.a, 10)
        self.assertTrue(self.a.has("10.77.0.100"))
        self.end(load)

    def test_no_link(self):
        self.serve_on(self.a)
        self.ferry(self.a)
        self.await_(lambda: self.ferry_state(self.a), "the ferry to join")
        self.assert_stays("10.77.0.2:7001", "--to", "-")

    def test_no_link_yet(self):
        """The one that listens knows nothing of the other, and says so."""
        self.ferry(self.b)
        self.await_(lambda: "waiting: no server is in" in self.told(),
                    "the ferry to say what it waits for")
        self.await_(lambda: self.ferry_state(self.b), "the ferry to join")
        err = self.refused_on(self.b, "maintenance", "--to", "-")
        self.assertRegex(err, "none was made yet: start the ferry of the "
                         "other host, which dials this one")

    def test_no_server_there(self):
        self.serve_on(self.a)
        self.ferry(self.a)
        self.ferry(self.b)
        self.await_(lambda: (self.ferry_state(self.a) or {}).get("linked"),
                    "the ferries to be linked")
        self.assert_stays("no server", "--to", "b")

    def test_another_host(self):
        self.both()
        self.assert_stays("'?nowhere'?", "--to", "nowhere")

    def test_plain_maintenance(self):
        """The ferry serves nothing, and says how to say what is meant."""
        self.both()
        self.assert_stays("maintenance --to")

    def test_stop_beside_a_ferry(self):
        """Nobody serves then, and the answer says so."""
        self.both()
        load = self.load("--connections", 10).ready()
        said = self.ok_on(self.a, "stop", "server")
        self.assertRegex(said, r"stopped\nferry ferry-a \(pid \d+\) holds the "
                         "service and 10 connections, and serves nothing: "
                         "clients wait until a server is started here\n")
        self.serve_on(self.a)
        self.assert_served(self.a, 10)
        self.end(load)

    def test_no_ferry(self):
        self.serve_on(self.a)
        self.assert_stays("ferry", "--to", "b")

    def test_another_service(self):
        """B has a service of another name."""
        self.serve_on(self.a)
        self.start_on(self.b, SUM_SERVICE, "--dir", self.b.dir, "--listen",
                      "10.77.0.2:7010").expect(": owner: ")
        self.ferry(self.a)
        self.ferry(self.b)
        self.await_(lambda: "sum" in (self.ferry_state(self.a) or {})
                    .get("link_text", ""), "the service to be refused")
        self.assert_stays("service sum there, echo here", "--to", "-")

    def ask(self, sock):
        """The number of this line, and the version that has answered it."""
        sock.sendall(b"line\n")
        return sock.recv(100).decode().split()

    def test_older_program_there(self):
        """A newer one converts the states and takes them, an older one gets
        nothing; the ferries are linked all the same, and follow an upgrade."""
        old = self.serve_on(self.a, VERSIONS, [f"{SERVICE4}:{PORT}"],
                            ("--state", 1))
        self.ferry(self.a)
        self.ferry(self.b)
        new = self.wait_on(self.b, VERSIONS, ("--state", 2))
        self.wait_ready(self.b)
        sock = self.dial(f"{SERVICE4}:{PORT}")
        self.assertEqual(self.ask(sock), ["1", "1"])
        self.move(self.a)
        self.assertEqual(self.ask(sock), ["2", "2"])
        for words in ((), ("--dry-run",)):
            err = self.refused_on(self.b, "maintenance", "--to", "a", *words)
            self.assertRegex(err, "state of version 2 and 3008 bytes here, "
                             "and the program of a has 1 and 4 ")
        self.assertEqual(self.ask(sock), ["3", "2"])
        old.stop()
        self.wait_on(self.a, VERSIONS, ("--state", 2))
        self.wait_ready(self.a)
        self.await_(lambda: self.ctl_on(self.b, "maintenance", "--to", "a",
                                        "--dry-run")[0] == 0,
                    "the ferry of A to tell of the newer program")
        self.move(self.b)
        self.assertEqual(self.ask(sock), ["4", "2"])
        self.assertIsNone(new.process.poll())

    def test_another_certificate(self):
        """B shows one that A does not know."""
        self.serve_on(self.a)
        self.ferry(self.a)
        self.await_(lambda: self.ferry_state(self.a), "the ferry to join")
        self.world.certify(self.b)
        self.ferry(self.b)
        self.await_(lambda: "certificate" in (self.ferry_state(self.a) or {})
                    .get("link_text", ""), "the certificate to be refused")
        self.assert_stays("certificate", "--to", "-")

    def test_no_capability(self):
        """As a plain user: refused at the start, with what is missing."""
        os.chmod(self.base, 0o755)
        for path in (self.a.cert, self.a.key, self.b.cert):
            os.chmod(path, 0o644)
        self.serve_on(self.a)
        ferry = self.start_on(
            self.a, "/usr/bin/setpriv", "--reuid", "65534", "--clear-groups",
            os.path.join(FERRY, "handoff-ferry"), "--dir", self.a.dir, "--to",
            "10.77.0.2:7001", "--cert", self.a.cert, "--key", self.a.key,
            "--peer-cert", self.b.cert, "--address", "10.77.0.100/24",
            "--dev", "e0")
        self.assertNotEqual(ferry.wait(), 0)
        self.assertRegex(ferry.output(), "CAP_NET_ADMIN|capabilit|EPERM|"
                         "permi")


class Users(Hosts):
    def test_as_the_user_of_the_service(self):
        """With two ambient capabilities and nothing else of root."""
        user = 54321  # 65534 would be a user that is not known here
        caps = "+net_admin,+net_raw"
        wrap = ["/usr/bin/setpriv", "--reuid", str(user), "--regid",
                str(user), "--clear-groups"]
        os.chmod(self.base, 0o755)
        for host in (self.a, self.b):
            os.chown(os.path.dirname(host.dir), user, user)
            os.chown(host.key, user, user)
            self.ferry_prefix[host] = wrap + [
                "--inh-caps", caps, "--ambient-caps", caps]
        self.server_prefix = wrap
        self.both()
        load = self.load("--connections", 50, "--active", 10).ready()
        self.move_all(self.a, 50)
        load.check()
        self.move_all(self.b, 50)
        self.end(load)


if __name__ == "__main__":
    main()
