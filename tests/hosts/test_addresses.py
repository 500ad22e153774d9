# SPDX-License-Identifier: MIT
"""The addresses of the service are on no host, or on both: an operator says
where they belong, while everything runs."""
import os
import signal

from world import PORT, SERVICE4, SERVICE6, Hosts, World, halt, main

ADDRESSES = (SERVICE4, SERVICE6)


class Nowhere(Hosts):
    ferries_die = True

    def test_after_a_boot(self):
        """Of A: its ferry and its server wait, until it gets them."""
        self.addresses = [f"{SERVICE4}:{PORT}", f"[{SERVICE6}]:{PORT}"]
        World.take_address(self.a)
        self.ferry(self.a)
        self.await_(lambda: self.ferry_state(self.a), "the ferry to join")
        server = self.wait_on(self.a, "server", [
            word for each in self.addresses for word in ("--listen", each)])
        self.assertRegex(self.ferry_state(self.a)["site_text"],
                         "not on a: .*ip addr add 10.77.0.100/24 dev e0")
        World.give_address(self.a)
        server.expect(": owner: ")
        self.await_(lambda: (self.ferry_state(self.a) or {}).get("site")
                    == "here", "the ferry to join again")
        load = self.load("--connections", 10, "--active", 5).ready()
        self.ferry(self.b)
        self.wait_on(self.b)
        self.wait_ready(self.b)
        self.move_all(self.a, 10)
        load.check()
        self.end(load)

    def test_removed_and_back(self):
        """What has connections keeps them."""
        self.both()
        load = self.load("--connections", 10).ready()
        World.take_address(self.a)
        self.await_(lambda: self.state(self.a, "site") == "nowhere"
                    and self.state(self.b, "site") == "nowhere",
                    "both ferries to notice")
        code, _, err = self.ctl_on(self.a, "maintenance", "--to", "b")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"not on a \(serves 10 connections\), nor on b: "
                         ".*ip addr add")
        World.give_address(self.a)
        self.await_(lambda: self.state(self.a, "site") == "here"
                    and self.state(self.b, "site") == "there",
                    "both ferries to notice")
        self.move_all(self.a, 10)
        load.check()
        self.end(load)


class Died(Hosts):
    """A is lost in the middle of a move, and B has a part."""
    batch = 16
    ferries_die = True

    def serving(self):
        """Of B's server alone: its ferry has a batch in doubt, or none, which
        it drops when A knows nothing of it."""
        return self.served(self.b).get("alt", 0)

    def lose(self):
        """How many B serves, that nobody reaches."""
        self.both()
        load = self.load("--connections", 48).ready()
        stop = self.stop_at(self.ferries[self.a], "handoff__sending_begin", 3)
        self.move_later(self.a)
        stop.hit()
        self.await_(lambda: self.serving() >= 16, "B to serve a part")
        stop.kill()
        self.world.pull(self.a)
        self.a.kill_all()
        World.take_address(self.a)
        self.a.run("nft", "flush", "ruleset")
        self.await_(lambda: self.state(self.b, "linked") is False,
                    "B to notice", 30)
        self.await_(lambda: self.serving() == self.state(self.b, "visiting"),
                    "its server to have what is decided")
        return load, self.serving()

    def reached(self, load, count):
        """Those of B are answered."""
        before = load.report()["echoed"]
        self.await_(lambda: load.report()["echoed"] > before, "answers")
        self.assertEqual(self.serving(), count)
        load.kill()

    def test_stays_away(self):
        load, count = self.lose()
        code, _, err = self.ctl_on(self.b, "ready")
        self.assertEqual(code, 1)
        self.assertRegex(err, "no link.*ip addr add 10.77.0.100/24 dev e0")
        self.b.ip(f"addr add {SERVICE4}/24 dev e0")
        self.await_(lambda: all(map(self.b.has, ADDRESSES)),
                    "B to take all addresses")
        self.reached(load, count)

    def test_is_back(self):
        """Without anything but its ferry."""
        load, count = self.lose()
        self.world.heal()
        self.ferry(self.a)
        self.await_(lambda: (self.ferry_state(self.a) or {}).get("linked"),
                    "the ferries to be linked", 30)
        for host, command in ((self.a, ("maintenance", "--to", "b")),
                              (self.b, ("ready",))):
            code, _, err = self.ctl_on(host, *command)
            self.assertEqual(code, 1, err)
            self.assertRegex(err, rf"not on (a, nor on )?b \(serves {count} "
                             r"connections\)(, nor on a)?: .*ip addr add")
        self.b.ip(f"addr add {SERVICE4}/24 dev e0")
        self.await_(lambda: all(map(self.b.has, ADDRESSES)),
                    "B to take all addresses")
        self.reached(load, count)


class Halfway(Hosts):
    """A's ferry dies in the middle of a move, and a new one finds a part of the
    connections on B."""
    batch = 16
    ferries_die = True

    def half_way(self, late=False):
        """With a helper that learns of the death only when the next ferry is
        linked, if that is `late`."""
        self.both()
        load = self.load("--connections", 48, "--active", 16).ready()
        stop = self.stop_at(self.ferries[self.a], "handoff__sending_serving")
        mover = self.move_later(self.a)
        stop.hit()
        helper = self.a.named("handoff-unfreeze")[0]
        if late:
            halt(helper)
        stop.kill()
        mover.wait()
        self.ferry(self.a)
        self.wait_ready(self.b)
        if late:
            # B says once a second that it serves
            self.stop_at(self.ferries[self.a], "handoff__outbound_on_letter",
                         2).hit().go()
            os.kill(helper, signal.SIGCONT)
        # One batch, or two: the next one was under way.
        self.await_(lambda: (self.state(self.a, "astray") or -1) ==
                    sum(self.served(self.b).values()) ==
                    48 - sum(self.served(self.a).values()),
                    "A to be told what B serves")
        self.assertIn(f"b serves {self.state(self.a, 'astray')} connections "
                      "that have not come home", self.ok_on(self.a, "status"))
        return load

    def all_home(self, load):
        self.ok_on(self.a, "ready")
        self.assert_served(self.a, 48)
        self.await_(lambda: self.state(self.a, "astray") == 0,
                    "nothing to be left there")
        load.check(60)
        self.assertIn("already", self.ok_on(self.a, "ready"), self.told())
        self.end(load)

    def test_ready(self):
        """What is there comes back."""
        self.all_home(self.half_way())

    def test_ready_with_a_late_helper(self):
        """It finds the word of the batch that has gone."""
        self.all_home(self.half_way(late=True))

    def test_there_with_a_late_helper(self):
        """B's ferry dies when A has decided: its sockets are finished once, by
        the helper or by the next ferry."""
        self.both()
        load = self.load("--connections", 48, "--active", 48).ready()
        stop = self.stop_at(self.ferries[self.b], "handoff__receiving_commit")
        mover = self.move_later(self.a)
        stop.hit()
        helper = self.b.named("handoff-unfreeze")[0]
        halt(helper)
        stop.kill()
        mover.wait()
        self.ferry(self.b)
        self.wait_ready(self.b)
        self.await_(lambda: self.state(self.b, "linked"), "B to see A")
        os.kill(helper, signal.SIGCONT)
        load.check(60)
        self.move(self.a)
        self.assert_served(self.b, 48)
        load.check(60)
        self.end(load)

    def test_go_on(self):
        """The others go there as well."""
        load = self.half_way()
        self.move(self.a)
        self.assert_served(self.b, 48)
        self.wait_ready(self.a)
        self.all_home(load)


class Home(Hosts):
    """The host that the service has left first."""
    ferries_die = True

    def refused(self, host, home):
        code, out, err = self.ctl_on(host, "ready")
        self.assertEqual((code, out), (1, ""), err)
        self.assertRegex(err, f"at home on {home} .*maintenance --to")

    def test_ready_elsewhere(self):
        """Takes nothing away from home; both ferries may be new ones."""
        self.both()
        load = self.load("--connections", 10).ready()
        self.refused(self.b, "a")
        self.move_all(self.a, 10)
        for host in (self.a, self.b):
            # its helper, which ends later, has the same output
            self.ferries[host].signal(signal.SIGTERM)
            self.assertEqual(self.ferries[host].process.wait(10), 0)
            self.ferry(host)
        self.wait_ready(self.a)
        self.ok_on(self.a, "ready")
        self.assert_served(self.a, 10)
        self.wait_ready(self.b)
        self.refused(self.b, "a")
        self.assert_served(self.a, 10)
        load.check()
        self.end(load)


class Twice(Hosts):
    def test_on_both(self):
        """A was booted with them, and B serves."""
        self.both()
        load = self.load("--connections", 20).ready()
        self.move_all(self.a, 20)
        self.wait_ready(self.a)
        # on the device, and no neighbour hears of it
        self.a.settings({"net/ipv4/conf/e0/arp_ignore": "8"})
        self.a.ip(f"addr add {SERVICE4}/24 dev e0")
        for host in (self.a, self.b):
            self.await_(lambda host=host: "on both hosts" in
                        (self.state(host, "site_text") or ""),
                        f"the ferry of {host.name} to notice")
        for host, words in ((self.a, ("maintenance", "--to", "b")),
                            (self.a, ("ready",)), (self.b, ("ready",)),
                            (self.b, ("maintenance", "--to", "a"))):
            code, out, err = self.ctl_on(host, *words)
            self.assertEqual((code, out), (1, ""), err)
            self.assertRegex(err, "on both hosts, (a and b|b and a): .*"
                             "ip addr del 10.77.0.100/24 dev e0")
        self.a.ip(f"addr del {SERVICE4}/24 dev e0")
        self.a.settings({"net/ipv4/conf/e0/arp_ignore": "1"})
        for host in (self.a, self.b):
            self.await_(lambda host=host:
                        self.state(host, "site_text") == "",
                        f"the ferry of {host.name} to notice")
        self.move_all(self.b, 20)
        load.check()
        self.end(load)


class Slow(Hosts):
    def test_kernel(self):
        """B's has an address before packets to it are its own."""
        self.both()
        load = self.load("--connections", 20).ready()
        route = f"local {SERVICE6} dev lo table local"
        self.b.ip(f"addr add {SERVICE6}/128 dev lo nodad")
        self.await_(lambda: SERVICE6 in self.b.run(
            "ip", "-6", "route", "show", "table", "local"), "its route")
        self.b.ip(f"route del {route}")
        # called when it has been waited for once
        stop = self.stop_at(self.ferries[self.b], "handoff__listeners_open")
        mover = self.move_later(self.a)
        stop.hit().go()
        self.b.ip(f"route add {route}")
        self.assertRegex(self.finished(mover), "moved 20 of 20")
        load.check()
        self.end(load)


    def test_is_refused_at_first(self):
        """B cannot put an address on its device when A has given it up."""
        self.both()
        load = self.load("--connections", 20).ready()
        self.b.ip("link add x0 type veth peer name x1")
        stop = self.stop_at(self.ferries[self.b], "handoff__address_to_device")
        mover = self.move_later(self.a)
        stop.hit()
        self.b.ip(f"addr add {SERVICE4}/32 dev x0")
        stop.go()
        self.ferries[self.b].expect_error(f"{SERVICE4}/24: it is on x0")
        self.b.ip("link del x0")
        self.assertRegex(self.finished(mover), "moved 20 of 20")
        load.check()
        self.end(load)


if __name__ == "__main__":
    main()
