# SPDX-License-Identifier: MIT
"""What an operator is told of a service that moves between hosts: whether a
server may be stopped, and what a monitor of each host is told."""
from world import Hosts, main

CONNECTIONS = 3


class Judged(Hosts):
    def check(self, host, status, word, sentence):
        self.await_(lambda: self.told_on(host)[0] == status,
                    f"status {status} on {host.name}")
        code, out = self.told_on(host)
        self.assertEqual(code, status, out)
        self.assertRegex(out, rf"\AHANDOFF {word} - echo: {sentence}")

    def told_on(self, host):
        return self.ctl_on(host, "status", "--check")[:2]

    def test_there_and_home(self):
        self.both()
        load = self.load("--connections", CONNECTIONS).ready()
        self.check(self.a, 0, "OK", r"server must not be stopped: \S+ is a "
                   "ferry, which has copies of 3 connections and serves "
                   r"nothing: move the service first, by maintenance --to \|")
        self.check(self.b, 0, "OK", r"nothing is served here: the service is "
                   r"on a \|")
        self.move_all(self.a, CONNECTIONS)
        self.check(self.a, 1, "WARNING", "nothing is served here: the service "
                   "is on b; maintenance under way: b serves in place of this "
                   r"host \|")
        self.check(self.b, 0, "OK", r"alt must not be stopped: \S+ is a ferry")
        self.assertRegex(self.ok_on(self.a, "status"), r"\Anothing is served "
                         "here: the service is on b\n")
        self.ok_on(self.b, "wait", "--owner", "alt", "--covered")
        self.end(load)


if __name__ == "__main__":
    main()
