# SPDX-License-Identifier: MIT
"""The data server of docs/restart.md dies, and hands over: no change that a
client was told of is lost, none is made twice, and each client gets each answer
once. HANDOFF_LONG=1 is the long form."""
import itertools
import os
import random
import threading
import time

from fault import DEADLINE, LONG, FaultTest, main, wait_until
from harness import command

CLIENTS = 20
KILLS = 100 if LONG else 10
GIVES = 100 if LONG else 10
AIMS = 240 if LONG else 24
CALLS = ("recv", "send", "pwrite", "poll", "ftruncate")


class Client(threading.Thread):
    """Counts up a number of its own and one of all clients, several commands at
    once and in pieces; knows every answer but that of the latter, which is
    always higher than before."""

    def __init__(self, sock, number, seed):
        super().__init__(daemon=True)
        self.sock = sock
        self.key = f"client{number}"
        self.chance = random.Random(seed)
        self.own = self.total = self.answers = self.totals = 0
        self.stop = False
        self.error = None
        self.start()

    def command(self):
        """One command and what its answer must fulfil."""
        kind = self.chance.randrange(4)
        if kind == 0:
            self.own += 1
            return f"add {self.key} 1\n", str(self.own).__eq__
        if kind == 1:
            return f"get {self.key}\n", str(self.own).__eq__
        if kind == 2:
            return f"set {self.key} {self.own}\n", "ok".__eq__
        self.totals += 1
        return "add total 1\n", self.higher

    def higher(self, answer):
        last, self.total = self.total, int(answer)
        return self.total > last

    def exchange(self, answers):
        commands = [self.command()
                    for _ in range(self.chance.choice((1, 1, 1, 5, 40)))]
        data = "".join(text for text, _ in commands).encode()
        cut = self.chance.randrange(len(data))
        self.sock.sendall(data[:cut])
        self.sock.sendall(data[cut:])
        for text, right in commands:
            answer = answers.readline().decode()
            if not answer.endswith("\n") or not right(answer[:-1]):
                raise AssertionError(f"{self.key}: {text!r}: {answer!r}")
            self.answers += 1

    def run(self):
        answers = self.sock.makefile("rb")
        try:
            while not self.stop:
                self.exchange(answers)
        except (AssertionError, OSError, ValueError) as error:
            self.error = error
        # what would come now is one answer too many
        self.sock.setblocking(False)
        try:
            extra = self.sock.recv(100)
        except BlockingIOError:
            return
        self.error = self.error or AssertionError(f"{self.key}: {extra}")


class KeyValue(FaultTest):
    def setUp(self):
        super().setUp()
        self.log = os.path.join(self.base, "log")
        self.clients = []

    def begin(self, name):
        program = self.launch_as(command("keyvalue"), self.dir, name, 0,
                                 self.log)
        program.name = name
        return program

    def owner(self):
        owner = self.begin("first")
        self.address = owner.expect(r"^listening on (\S+)")[1]
        return owner

    def second(self, name, held=CLIENTS):
        second = self.begin(name)
        self.wait_peer(name, held=held)
        return second

    def load(self):  # pylint: disable=arguments-differ
        self.clients = [
            Client(self.connect(self.address), number, self.seed())
            for number in range(CLIENTS)]

    def flows(self):
        """Every client has had answers since the last time this was asked."""
        seen = [client.answers for client in self.clients]

        def more():
            for client in self.clients:
                self.assertIsNone(client.error)
            return all(client.answers > last
                       for client, last in zip(self.clients, seen))
        wait_until(more, "answers to come")

    def finish(self):
        for client in self.clients:
            client.stop = True
        for client in self.clients:
            client.join(DEADLINE)
            self.assertFalse(client.is_alive())
            self.assertIsNone(client.error)
        self.check_numbers()

    def value(self, key):
        sock = self.connect(self.address)
        sock.sendall(f"get {key}\n".encode())
        return int(sock.makefile("rb").readline())

    def check_numbers(self):
        for client in self.clients:
            self.assertEqual(self.value(client.key), client.own)
        self.assertEqual(self.value("total"),
                         sum(client.totals for client in self.clients))

    def gone(self, owner, heir):
        self.assert_gone(owner)
        self.tally.kills += 1
        self.wait_peer(heir.name, connections=CLIENTS)

    def test_deaths(self):
        """At any moment; and what is in the log is all there is."""
        owner = self.owner()
        self.load()
        for turn in range(KILLS):
            heir = self.second(f"peer{turn}")
            self.flows()
            time.sleep(self.chance.uniform(0, 0.02))  # to be anywhere
            owner.kill()
            self.gone(owner, heir)
            self.flows()
            owner = heir
        self.finish()
        owner.kill()
        self.address = self.begin("last").expect(r"^listening on (\S+)")[1]
        self.check_numbers()

    def test_at_each_call(self):
        """Between any two calls of a turn, and of taking over."""
        calls = itertools.cycle(itertools.product(
            CALLS[:4], (1, 2, 3), (False, True)))
        owner = self.owner()
        self.load()
        for turn, aim in enumerate(itertools.islice(calls, AIMS)):
            heir = self.second(f"peer{turn}")
            self.flows()
            owner.trigger.arm(*aim)
            self.gone(owner, heir)
            self.tally.aimed += 1
            self.flows()
            owner = heir
        self.finish()

    def test_gives(self):
        """There and back; a peer is killed in every second one."""
        owner, other = self.owner(), None
        self.load()
        for turn in range(GIVES):
            other = other or self.second(f"peer{turn}")
            self.flows()
            if turn % 2:
                self.start("handoffctl", "--dir", self.dir, "maintenance",
                           owner.name)
                time.sleep(self.chance.uniform(0, 0.01))
                victim = self.chance.choice((owner, other))
                victim.kill()
                self.tally.kills += 1
                owner, other = other if victim is owner else owner, None
                self.wait_peer(owner.name, connections=CLIENTS)
            else:
                self.assertRegex(self.ok("maintenance", owner.name),
                                 f"moved {CLIENTS} connections, 1 listener")
                owner, other = other, owner
                self.wait_peer(other.name, held=CLIENTS)
            self.flows()
        self.finish()


if __name__ == "__main__":
    main()
