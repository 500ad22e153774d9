# SPDX-License-Identifier: MIT
"""Pairs of entries are never torn apart: peers give and are killed at random
instants (tests/tools/pairs_peer.c)."""
import os
import random
import subprocess
import time

from harness import BIN, TOOLS, SystemTest, main, wait_until

PAIRS = 200
ROUNDS = int(os.environ.get("HANDOFF_ROUNDS", "40"))
SEED = int(os.environ.get("HANDOFF_SEED", str(random.randrange(1 << 30))))


class Torn(SystemTest):
    def begin(self, pairs=0):
        self.begun += 1
        path = os.path.join(TOOLS, "pairs_peer")
        peer = self.start(path, self.dir, f"peer{self.begun}", str(pairs),
                          stdin=subprocess.PIPE)
        peer.name = f"peer{self.begun}"
        peer.expect("^owner: |^standby: ")
        return peer

    def tell(self, peer, word):
        peer.process.stdin.write(word.encode() + b"\n")
        peer.process.stdin.flush()

    def owns(self, peer):
        """What it says it owns: (pair, part) and the leader of each."""
        self.tell(peer, "list")
        peer.expect("^end$")
        end = peer.cursor - 1
        lines = []
        while end > 0 and peer.lines[end - 1].startswith("owns "):
            end -= 1
            lines.append(peer.lines[end].split()[1:])
        return {(int(w[0]), w[1]): w[2:] for w in lines
                if w and w[1] != "extra"}

    def check_now(self, peers):
        """No pair has one part here and the other there; some may be in
        neither, released and waiting for the other part."""
        for peer in peers:
            self.tell(peer, "hold")
        first, second = [{pair for pair, _ in self.owns(peer)}
                         for peer in peers]
        self.assertEqual(first & second, set(), "pairs were torn apart")
        for peer in peers:
            self.tell(peer, "go")
        return bool(first) and bool(second)

    def whole(self, peers):
        """Whether each pair is in one peer, with its leader. The two are asked
        one after the other, so pairs that move meanwhile are seen twice, or
        not: then it is asked again."""
        owned = [self.owns(peer) for peer in peers]
        if sum(len(each) for each in owned) != 2 * PAIRS:
            return False
        return all(each.get((pair, "leader")) == ["-"]
                   and each.get((pair, "with")) == [str(pair), "leader"]
                   for each in owned for pair, _ in each)

    def settle(self, peers):
        """Until nothing moves and everything has a copy."""
        def quiet():
            status = self.status()["peers"]
            owners = [p for p in status if p["role"] == "owner"]
            return (len(owners) == 1 and len(status) == 2
                    and all(p["uncovered"] == 0 for p in status)
                    and all(p["partner"] == "ready" for p in status))
        wait_until(quiet, "the peers to settle")
        wait_until(lambda: self.whole(peers), "every pair to be whole")

    def test_gives_and_kills(self):
        self.begun = 0
        print(f"seed {SEED}")
        dice = random.Random(SEED)
        peers = [self.begin(PAIRS), self.begin()]
        self.settle(peers)
        mixed = 0
        for _ in range(ROUNDS):
            with subprocess.Popen(
                    [os.path.join(BIN, "handoffctl"), "--dir", self.dir,
                     "maintenance", self.owner_name()],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True) as give:
                victim = dice.choice((None, 0, 1))
                if victim is not None:
                    time.sleep(dice.uniform(0, 0.06))
                    peers[victim].kill()
                if victim is None:
                    for _ in range(3):
                        time.sleep(dice.uniform(0, 0.02))
                        mixed += self.check_now(peers)
                give.communicate()
            if victim is not None:
                peers.pop(victim)
                peers.append(self.begin())
            self.settle(peers)
        self.assertGreater(mixed, 0)

    def owner_name(self):
        return next(p["name"] for p in self.status()["peers"]
                    if p["role"] == "owner")


if __name__ == "__main__":
    main()
