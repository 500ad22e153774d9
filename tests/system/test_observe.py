# SPDX-License-Identifier: MIT
"""The status and metrics of a service are right: exact where possible, on both
peers, in every model, and no counter ever decreases."""
import collections
import os
import re
import signal
import socket
import struct
import sys
import unittest

from harness import BIN, SCALE, TOOLS, SystemTest, main, wait_until

SUM = os.path.join(TOOLS, "sum_service")
OTHER = os.path.join(TOOLS, "other_service")
LINE = re.compile(r'handoff_([a-z_]+)\{service="([a-z]+)",peer="([a-z]+)",'
                  r'place="([12])"((?:,[a-z]+="[^"]*")*)\} (\d+(?:\.\d+)?)')
COMMON = {"service", "peer", "place"}


def parser():
    """The parser of the Prometheus client library, or why not. It is pure
    Python: that of the system serves another interpreter too."""
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError as error:
        return None, str(error)
    finally:
        sys.path.pop()
    return text_string_to_metric_families, ""


def labels_of(text):
    return tuple(sorted(re.findall(r',([a-z]+)="([^"]*)"', text)))


class Metrics:
    """All samples of one call, by peer."""

    def __init__(self, text):
        self.types, self.values = {}, collections.defaultdict(dict)
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                self.types[name.removeprefix("handoff_")] = kind
            elif not line.startswith("#"):
                name, _, peer, _, more, value = LINE.fullmatch(line).groups()
                self.values[peer][name, labels_of(more)] = float(value)

    def get(self, peer, name, **labels):
        return self.values[peer][name, tuple(sorted(labels.items()))]

    def total(self, peer, name):
        return sum(value for (each, _), value in self.values[peer].items()
                   if each == name)

    def counters(self, peer):
        """What may only grow."""
        return {key: value for key, value in self.values[peer].items()
                if self.types.get(key[0]) == "counter"
                or re.search("_(bucket|sum|count)$", key[0])}


class Observed(SystemTest):
    """Looks at the metrics; whatever is seen once is the least from then on."""

    def setUp(self):
        super().setUp()
        self.least = collections.defaultdict(dict)

    def metrics(self):
        now = Metrics(self.ok("metrics"))
        for peer in now.values:
            counters = now.counters(peer)
            for key, value in self.least[peer].items():
                self.assertGreaterEqual(counters[key], value, (peer, key))
            self.least[peer] = counters
            self.assert_balance(now, peer)
        return now

    def assert_balance(self, now, peer):
        """Every connection that is here has come in some way."""
        self.assertEqual(
            now.get(peer, "connections"),
            now.get(peer, "accepted_total")
            + now.get(peer, "moved_connections_total", direction="took")
            + now.get(peer, "returned_connections_total")
            + now.get(peer, "inherited_connections_total")
            - now.get(peer, "moved_connections_total", direction="gave")
            - now.total(peer, "closed_total"))

    def assert_has(self, peer, expected):
        """Soon: a turn ends a moment after the client has its answer."""
        found = {}

        def there():
            now = self.metrics()
            found.update({each: now.get(peer, *each[:1], **dict(each[1:]))
                          for each in expected})
            return found == expected
        try:
            wait_until(there, f"{peer} to have {expected}")
        except AssertionError as error:
            raise AssertionError(f"{error}, it has {found}") from None

    def assert_bytes(self, peer, count):
        self.assert_has(peer, {("bytes_received_total",): count,
                               ("bytes_sent_total",): count})

    def assert_handoffs(self, peer, **counts):
        """Such as gave_done=1; the others are 0."""
        now = self.metrics()
        for direction in ("gave", "took"):
            for outcome in ("done", "refused", "broken"):
                self.assertEqual(
                    now.get(peer, "handoffs_total", direction=direction,
                            outcome=outcome),
                    counts.get(f"{direction}_{outcome}", 0),
                    (peer, direction, outcome))
            self.assertEqual(
                now.get(peer, "handoff_seconds_count", direction=direction),
                counts.get(f"{direction}_done", 0))

    def last(self, peer):
        return self.peer(peer)["last_handoff"]

    def reset(self, sock):
        """Closes with a reset and no end."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        sock.close()


class Models(Observed):
    """There, back, refused, and a death, in every model."""

    def course(self, *model):
        count = 1 if "iterative" in model else 7
        server = self.server("--give-timeout", 300, *model)
        alt = self.standby(*model)
        socks = [self.connect(server.address) for _ in range(count)]
        for number, sock in enumerate(socks):
            self.assert_echo(sock, b"x" * (100 + number))
        first = sum(100 + number for number in range(count))
        self.assert_bytes("server", first)
        self.assert_bytes("alt", 0)
        self.wait_peer("alt", held=count)
        self.assertEqual(self.last("server"), None)

        self.ok("maintenance")
        self.assert_has("server", {
            ("accepted_total",): count, ("connections",): 0, ("serving",): 0,
            ("standby_attached",): 0, ("generation",): 2, ("held",): count,
            ("moved_connections_total", ("direction", "gave")): count})
        self.assert_has("alt", {
            ("accepted_total",): 0, ("connections",): count, ("serving",): 1,
            ("standby_attached",): 1, ("uncovered",): 0,
            ("moved_connections_total", ("direction", "took")): count,
            ("notices_published_total", ("kind", "maintenance")): 1})
        self.assert_handoffs("server", gave_done=1)
        self.assert_handoffs("alt", took_done=1)
        for sock in socks:
            self.assert_echo(sock, b"y" * 50)
        self.assert_bytes("server", first)
        self.assert_bytes("alt", 50 * count)

        self.ok("ready", "--silent")
        self.assert_handoffs("server", gave_done=1, took_done=1)
        self.assert_handoffs("alt", gave_done=1, took_done=1)
        for sock in socks:
            self.assert_echo(sock, b"z" * 10)
        self.assert_bytes("server", first + 10 * count)
        self.assert_bytes("alt", 50 * count)
        self.assert_same_last(3, "ready-silent", "alt", "server", count)

        self.refuse(alt)
        self.end_some(socks)
        self.die(server, alt, socks, 50 * count)

    def assert_same_last(self, number, cause, giver, taker, connections):
        gave, took = self.last(giver), self.last(taker)
        for each in (gave, took):
            self.assertEqual(each["id"], number)
            self.assertEqual(each["cause"], cause)
            self.assertEqual(each["complete"], True)
            self.assertEqual(each["connections"], connections)
            self.assertEqual(each["listeners"], 1)
            self.assertEqual((each["left"], each["left_behind"]), (0, []))
        self.assertEqual((gave["direction"], gave["with"]), ("gave", taker))
        self.assertEqual((took["direction"], took["with"]), ("took", giver))
        for key in ("took_us", "unread_bytes", "unsent_bytes"):
            self.assertEqual(gave[key], took[key], key)
        now = self.metrics()
        for peer in (giver, taker):
            self.assertEqual(now.get(peer, "last_handoff_timestamp_seconds"),
                             self.last(peer)["at_ms"] / 1000)

    def refuse(self, alt):
        """By one that does not answer; a repeated ready is no refusal."""
        self.ok("ready")
        self.assert_handoffs("alt", gave_done=1, took_done=1)
        alt.signal(signal.SIGSTOP)
        self.assertIn("has not answered", self.ctl("maintenance")[2])
        alt.signal(signal.SIGCONT)
        self.assert_handoffs("server", gave_done=1, took_done=1,
                             gave_refused=1)
        self.assert_handoffs("alt", gave_done=1, took_done=1)
        self.assertEqual(self.last("server")["id"], 3)

    def end_some(self, socks):
        if len(socks) < 3:
            return
        socks.pop().close()
        self.assert_has("server",
                        {("closed_total", ("reason", "client")): 1})
        self.reset(socks.pop())
        self.assert_has("server", {("closed_total", ("reason", "error")): 1})

    def die(self, server, alt, socks, before):
        self.wait_peer("alt", held=len(socks))
        for sock in socks:
            self.assert_echo(sock, b"last words")
        server.kill()
        alt.expect(": owner: .* died")
        self.assert_has("alt", {
            ("failovers_total",): 1, ("connections",): len(socks),
            ("failover_seconds_count",): 1, ("generation",): 4,
            ("inherited_connections_total",): len(socks),
            ("standby_attached",): 0, ("uncovered",): len(socks) + 1,
            ("notices_published_total", ("kind", "failover")): 1})
        last = self.last("alt")
        self.assertEqual(
            (last["cause"], last["id"], last["with"], last["connections"],
             last["listeners"], last["closed"], last["direction"]),
            ("failover", 4, "server", len(socks), 1, 0, "took"))
        for sock in socks:
            self.assert_echo(sock, b"and on")
        self.assert_bytes("alt", before + 6 * len(socks))
        self.assertRegex(self.ok("status"),
                         r"last handoff: 4, failover, .*\n  server \(pid "
                         rf"{server.pid}\) is gone, alt \(pid {alt.pid}\) "
                         rf"took over {len(socks)} connection")

    def test_loop(self):
        self.course("--model", "loop")

    def test_workers(self):
        self.course("--workers", "3")

    def test_thread(self):
        self.course("--model", "thread")

    def test_fork(self):
        self.course("--model", "fork")

    def test_iterative(self):
        self.course("--model", "iterative")


class Load(Observed):
    """Under load nothing is lost and nothing goes back."""

    def across(self, *model):
        server, alt = self.pair(*model)
        load = self.load(server.address, "--connections", 50, "--seconds",
                         600).ready()
        self.wait_peer("alt", held=50)
        for turn in range(1, 6):
            self.metrics()
            self.ok("maintenance")
            self.metrics()
            self.assertEqual(self.last("server")["id"], 2 * turn)
            self.ok("ready", "--silent")
            last = [self.last(peer) for peer in ("server", "alt")]
            for key in ("id", "connections", "took_us", "unread_bytes",
                        "unsent_bytes"):
                self.assertEqual(last[0][key], last[1][key], key)
        counts = load.finish()
        self.assert_clean(counts)
        wait_until(lambda: self.peer("server")["connections"] == 0, "the end")
        now = self.metrics()
        for name, expected in (("bytes_received_total", counts["sent"]),
                               ("bytes_sent_total", counts["echoed"]),
                               ("closed_total", 50), ("accepted_total", 50)):
            self.assertEqual(sum(now.total(peer, name)
                                 for peer in ("server", "alt")), expected)
        for one, other in (("server", "alt"), ("alt", "server")):
            for name in ("moved_connections_total", "carried_bytes_total"):
                for key, value in now.values[one].items():
                    if key[0] != name or ("direction", "gave") not in key[1]:
                        continue
                    took = tuple(sorted(
                        [each for each in key[1] if each[0] != "direction"]
                        + [("direction", "took")]))
                    self.assertEqual(value, now.values[other][name, took])
        self.assert_handoffs("server", gave_done=5, took_done=5)
        self.assertEqual(server.process.poll(), None)
        self.assertEqual(alt.process.poll(), None)

    def test_death(self):
        server, alt = self.pair("--workers", "2")
        load = self.load(server.address, "--connections", 50, "--seconds",
                         600).ready()
        self.wait_peer("alt", held=50)
        self.metrics()
        server.kill()
        alt.expect(": owner: .* died")
        self.assert_has("alt", {
            ("inherited_connections_total",): 50, ("failovers_total",): 1,
            ("closed_total", ("reason", "death")): 0})
        self.assert_clean(load.finish())
        self.assert_has("alt", {
            ("connections",): 0, ("closed_total", ("reason", "client")): 50})

    def test_loop(self):
        self.across()

    def test_workers(self):
        self.across("--workers", "4")

    def test_thread(self):
        self.across("--model", "thread")

    def test_fork(self):
        self.across("--model", "fork")


class Carried(Observed):
    def sum_server(self, name, *options):
        return self.start(SUM, "--dir", self.dir, "--name", name, *options)

    def test_unread_input_is_counted_exactly(self):
        server = self.sum_server("server", "--listen", "127.0.0.1:0")
        address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: ")
        self.sum_server("alt").expect(": standby: ")
        for text in (b"unfinished", b"x" * 100, b"whole\n"):
            self.connect(address).sendall(text)
        self.assert_has("server", {("bytes_received_total",): 116})
        self.wait_peer("alt", held=3)
        self.ok("maintenance")
        for peer, direction in (("server", "gave"), ("alt", "took")):
            self.assert_has(peer, {
                ("carried_bytes_total", ("direction", direction),
                 ("kind", "unread")): 110,
                ("carried_bytes_total", ("direction", direction),
                 ("kind", "unsent")): 0})
            self.assertEqual(self.last(peer)["unread_bytes"], 110)
            self.assertEqual(self.last(peer)["unsent_bytes"], 0)
        self.assertIn("carried: 110 bytes, 110 of unread input, 0 of unsent",
                      self.ok("status"))
        # Each side counts what it has read itself.
        self.assert_has("server", {("bytes_received_total",): 116})
        self.assert_has("alt", {("bytes_received_total",): 0})

    def test_unsent_output_is_counted_the_same(self):
        server, _ = self.pair()
        sock = self.connect(server.address)
        sock.setblocking(False)
        full = 0
        while full < 3:  # it takes no more, several times
            try:
                sock.send(b"x" * 65536)
            except BlockingIOError:
                full += 1
                self.metrics()
        self.wait_peer("alt", held=1)
        self.ok("maintenance")
        now = self.metrics()
        moved = now.get("server", "carried_bytes_total", direction="gave",
                        kind="unsent")
        self.assertGreater(moved, 0)
        self.assertEqual(moved, now.get(
            "alt", "carried_bytes_total", direction="took", kind="unsent"))
        self.assertEqual(moved, self.last("alt")["unsent_bytes"])


class Left(Observed):
    def test_what_stays_behind_and_why(self):
        server, alt, address = self.sleepers(2000, 200)
        quick, slow = self.connect(address), self.connect(address)
        self.assert_echo(quick)
        self.wait_peer("alt", held=2)
        slow.sendall(b"sleep\n")
        server.expect("^handler: sleeping$")
        self.ok("maintenance")
        self.assert_has("server", {
            ("left_behind_total", ("reason", "handler_busy")): 1,
            ("moved_connections_total", ("direction", "gave")): 1,
            ("connections",): 1})
        for peer in ("server", "alt"):
            last = self.last(peer)
            self.assertEqual((last["connections"], last["left"]), (1, 1))
            self.assertEqual(last["left_behind"], [
                {"connection": 2, "reason": "its handler has not returned"}])
        self.assertIn("  left behind: 1\n    left behind: connection 2: its "
                      "handler has not returned\n", self.ok("status"))
        for peer, way in ((server, "out"), (alt, "in")):
            peer.expect(rf": outcome: {way}, cause 1, reason 0, id 2, 1 "
                        "connections, 1 listeners, 1 left, 0 unread, 0 "
                        "unsent, 0 closed, took its time$")
            peer.expect(": 1 left: its handler has not returned$")
            peer.expect(": left number 2: its handler has not returned$")
        # It follows, and is no handoff of its own.
        self.assertEqual(self.receive(slow, 6), b"sleep\n")
        self.assert_has("alt", {
            ("connections",): 2,
            ("moved_connections_total", ("direction", "took")): 2})
        self.assert_handoffs("server", gave_done=1)
        self.assert_handoffs("alt", took_done=1)


class Numbers(Observed):
    """What the events of a program tell beside their sentences."""
    OUTCOME = (r": outcome: {}, cause {}, reason 0, id 2, {} connections, 1 "
               r"listeners, 0 left, (\d+) unread, (\d+) unsent, 0 closed, took "
               "its time$")

    def others(self):
        options = "--dir", self.dir
        server = self.start(OTHER, "--name", "server", "--listen",
                            "127.0.0.1:0", *options)
        address = server.expect(r": listening on (\S+)")[1]
        alt = self.start(OTHER, "--name", "alt", *options)
        alt.expect(": standby: ")
        return server, alt, address

    def fill(self, address):
        """A client that has sent what the server takes, and reads nothing."""
        sock = self.connect(address)
        sock.setblocking(False)
        full = 0
        while full < 3:
            try:
                sock.send(b"x" * 65536)
            except BlockingIOError:
                full += 1
                self.metrics()
        return sock

    def test_bytes_are_the_same_in_both(self):
        server, alt, address = self.others()
        self.fill(address)
        self.wait_peer("alt", held=1)
        self.ok("maintenance")
        gave = server.expect(self.OUTCOME.format("out", 1, 1))
        took = alt.expect(self.OUTCOME.format("in", 1, 1))
        self.assertGreater(int(gave[2]), 0)
        self.assertEqual(gave.groups(), took.groups())
        last = self.last("alt")
        self.assertEqual((last["unread_bytes"], last["unsent_bytes"]),
                         (int(took[1]), int(took[2])))

    def test_death(self):
        server, alt, address = self.others()
        quick = self.connect(address)
        self.assert_echo(quick)
        self.wait_peer("alt", held=1)
        server.kill()
        alt.expect(": it died$")
        alt.expect(": owner: .* died")
        alt.expect(self.OUTCOME.format("in", 5, 1))
        self.assert_echo(quick)

    def test_stop(self):
        server, alt, address = self.others()
        quick = self.connect(address)
        self.assert_echo(quick)
        self.wait_peer("alt", held=1)
        server.signal(signal.SIGTERM)
        server.expect(self.OUTCOME.format("out", 1, 1))
        server.expect(": closed 0, moved 1, passing 0$")
        alt.expect(": it had said so$")
        self.assert_echo(quick)
        alt.signal(signal.SIGTERM)
        alt.expect(": closed 1, moved 0, passing 0$")


class Ends(Observed):
    def test_refused_peer(self):
        self.server()
        stranger = self.start(OTHER, "--dir", self.dir, "--name", "stranger",
                              "--service", "another")
        self.assertEqual(stranger.wait(), 1)
        self.assert_has("server", {("refused_peers_total",): 1})

    def test_child_that_dies(self):
        server = self.server("--model", "fork")
        sock = self.connect(server.address)
        for _ in range(4):
            self.assert_echo(sock)
            with open(f"/proc/{server.pid}/task/{server.pid}/children",
                      encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGKILL)
            server.expect_error("was killed by signal 9")
        self.assertEqual(self.receive(sock, 1), b"")
        self.assert_has("server", {
            ("closed_total", ("reason", "death")): 1,
            ("bytes_received_total",): 24, ("bytes_sent_total",): 24})

    @unittest.skipIf(SCALE > 1, "the sanitizers come before what is preloaded")
    def test_child_that_dies_before_it_has_noted_what_it_read(self):
        server = self.start(
            "/usr/bin/env", "LD_PRELOAD=" + os.path.join(TOOLS, "libkillat.so"),
            "HANDOFF_KILLAT=recv:2:after", os.path.join(BIN, "server"),
            "--dir", self.dir, "--listen", "127.0.0.1:0", "--model", "fork")
        sock = self.connect(server.expect(r": listening on (\S+)")[1])
        self.assert_echo(sock, b"one")
        self.assert_echo(sock, b"two")
        server.expect_error("was killed by signal 9")
        # One request and no more: the parent has its second recv to come.
        now = Metrics(self.ok("metrics"))
        self.assertEqual(now.get("server", "repaired_total"), 1)
        self.assertEqual(now.get("server", "bytes_received_total"), 6)

    def test_notices(self):
        server, _ = self.pair()
        client = self.start("client", "--dir", self.dir, "--connect",
                            server.address, stdin=-1)
        client.expect_error("connected to")
        self.ok("maintenance")
        self.assert_has("alt", {
            ("notices_told_total", ("outcome", "reached")): 1,
            ("notices_told_total", ("outcome", "failed")): 0})
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0)

    def test_twins(self):
        """Two peers of one name are two series."""
        self.server()
        twin = self.start("alt_server", "--dir", self.dir, "--name", "server")
        twin.expect(": standby: ")
        text = self.ok("metrics")
        samples = [line.rsplit(" ", 1)[0] for line in text.splitlines()
                   if not line.startswith("#")]
        self.assertEqual(len(samples), len(set(samples)))

    def test_peer_that_does_not_answer(self):
        self.server()
        alt = self.standby()
        alt.signal(signal.SIGSTOP)
        code, out, err = self.ctl("metrics")
        alt.signal(signal.SIGCONT)
        self.assertEqual(code, 1)
        self.assertIn("not every peer has answered", err)
        now = Metrics(out)
        self.assertEqual((now.get("alt", "up"), now.get("server", "up")),
                         (0, 1))
        self.assertEqual(now.get("server", "serving"), 1)


class Format(Observed):
    def setUp(self):
        super().setUp()
        self.families, why = parser()
        if not self.families:
            self.skipTest("python3-prometheus-client is absent: " + why)

    def test_a_real_parser_reads_it(self):
        server, alt = self.pair()
        for _ in range(5):
            self.assert_echo(self.connect(server.address))
        self.wait_peer("alt", held=5)
        self.ok("maintenance")
        self.ok("ready", "--silent")
        self.parse(self.ok("metrics"))
        server.kill()
        alt.expect(": owner: .* died")
        self.parse(self.ok("metrics"))

    def parse(self, text):
        own = Metrics(text)
        names, count = [], 0
        for family in self.families(text):
            names.append(family.name)
            self.assertTrue(family.name.startswith("handoff_"))
            self.assertIn(family.type, ("gauge", "counter", "histogram"))
            self.assertRegex(family.documentation, r"^[A-Z].*\.$")
            for sample in family.samples:
                count += 1
                self.check(own, family, sample)
            if family.type == "histogram":
                self.check_histogram(family)
        self.assertGreater(len(names), 25)
        self.assertEqual(len(names), len(set(names)), "a family in two pieces")
        self.assertEqual(count, sum(map(len, own.values.values())))
        self.assertEqual(
            text.count("# HELP "), len(names), "a HELP for each")
        self.assertEqual(
            text.count("# TYPE "), len(names), "a TYPE for each")

    def check(self, own, family, sample):
        self.assertLessEqual(COMMON, set(sample.labels))
        self.assertEqual(sample.labels["service"], "echo")
        more = {key: value for key, value in sample.labels.items()
                if key not in COMMON}
        self.assertEqual(sample.value, own.get(
            sample.labels["peer"], sample.name.removeprefix("handoff_"),
            **more))
        self.assertGreaterEqual(sample.value, 0)
        if family.type == "counter":
            self.assertTrue(sample.name.endswith("_total"), sample.name)

    def check_histogram(self, family):
        """Buckets grow with their bounds up to the count of all."""
        series = collections.defaultdict(list)
        counts = {}
        for sample in family.samples:
            key = tuple(sorted((each, value) for each, value in
                               sample.labels.items() if each != "le"))
            if sample.name.endswith("_bucket"):
                series[key].append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_count"):
                counts[key] = sample.value
        self.assertEqual(set(series), set(counts))
        for key, buckets in series.items():
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual(len({bound for bound, _ in buckets}), 17)
            self.assertEqual([value for _, value in buckets],
                             sorted(value for _, value in buckets))
            self.assertEqual(buckets[-1], (float("inf"), counts[key]))


if __name__ == "__main__":
    main()
