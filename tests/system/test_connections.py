# SPDX-License-Identifier: MIT
"""The connections of a service as an operator lists them."""
import json
import time

from harness import main, wait_until
from test_ended import ConnTest, name_of

LISTED = 1000


class Connections(ConnTest):
    def listed(self):
        peers = json.loads(self.ok("status", "--connections", "--json"))
        return {peer["name"]: peer for peer in peers["peers"]}

    def test_listed(self):
        one = self.first()
        self.next("two")
        before = int(time.time() * 1000) - 1000
        socks = [self.client(one.address) for _ in range(3)]
        self.say(socks[0], "label user 1")
        self.say(socks[1], 'label \x1b[31mred\x7f \\ "\u00e4"')
        self.say(socks[2], "label " + 64 * "x", "refused label " + 64 * "x")
        peers = self.listed()
        self.assertEqual(peers["two"]["connections"], [])
        self.assertEqual(peers["one"]["omitted"], 0)
        found = {c["id"]: c for c in peers["one"]["connections"]}
        self.assertEqual([found[i + 1]["address"] for i in range(3)],
                         [name_of(sock) for sock in socks])
        self.assertEqual(
            [found[i + 1]["label"] for i in range(3)],
            ["user 1", '\x1b[31mred\x7f \\ "\u00e4"', ""])
        for c in found.values():
            self.assertGreaterEqual(c["since_ms"], before)
            self.assertLessEqual(c["since_ms"], time.time() * 1000 + 1000)
        self.assertEqual(found[1]["received"], len("hello\nlabel user 1\n"))
        text = self.ok("status", "--connections")
        self.assertRegex(text, r"one +1 +127\S+ +\S+Z +19 +19  user 1\n")
        self.assertIn('  \\x1b[31mred\\x7f \\x5c "\u00e4"\n', text)
        self.assertFalse(any(ord(c) < 32 and c != "\n" for c in text))
        # they are the other peer's now
        self.ok("maintenance")
        peers = self.listed()
        self.assertEqual(peers["one"]["connections"], [])
        self.assertEqual(len(peers["two"]["connections"]), 3)
        self.assertIn("two", self.ok("status", "--connections"))

    def test_bounded(self):
        self.need_descriptors(LISTED + 200)
        one = self.first()
        for _ in range(LISTED + 7):
            self.connect(one.address)
        wait_until(lambda: self.peer("one")["connections"] == LISTED + 7,
                   "all of them")
        peer = self.listed()["one"]
        self.assertEqual(len(peer["connections"]), LISTED)
        self.assertEqual(peer["omitted"], 7)
        self.assertIn("one: 7 more connections are not listed",
                      self.ok("status", "--connections"))

    def test_usage(self):
        for words in (("ready", "--connections"),
                      ("status", "--connections", "--watch")):
            code, _, err = self.ctl(*words)
            self.assertEqual(code, 2)
            self.assertIn("--connections", err)


if __name__ == "__main__":
    main()
