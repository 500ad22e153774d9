# SPDX-License-Identifier: MIT
"""The owner dies by SIGKILL in the midst of saving a course: at a call of the
save, before or after it. The survivor handles the same requests once more, the
clients are answered once, and every course is in the file once."""
import collections
import os

from fault import LONG, Chain, FaultTest, main

CLIENTS = 6
# How many of these calls the requests of a round make, at the least.
CALLS = {"write": 6, "fsync": 12, "renameat": 6, "close": 12}
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
        "sunday")
PLAIN = "# Mine\nanna monday 09:30 algebra r101\n"


class Schedule(FaultTest):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.base, "plan.txt")
        with open(self.data, "w", encoding="ascii") as file:
            file.write(PLAIN)
        self.saved = []

    def cells(self):
        cells = [(function, number, after)
                 for function, most in CALLS.items()
                 for after in (False, True)
                 for number in (range(1, most + 1) if LONG else
                                (1, 2, self.chance.randint(3, most)))]
        self.chance.shuffle(cells)
        return cells

    def login(self, address):
        clients = []
        for number in range(CLIENTS):
            client = self.connect(address)
            client.sendall(b"LOGIN s%d\n" % number)
            self.assertEqual(self.receive(client, 5), b"OK 0\n")
            clients.append(client)
        return clients

    def add(self, clients, count):
        """Every client asks for two courses, all at the same time."""
        for number, client in enumerate(clients):
            for which in "ab":
                course = (f"{DAYS[count % 7]} 08:{count // 7:02} "
                          f"c{count}{which} r{number}")
                client.sendall(f"ADD {course}\n".encode())
                self.saved.append(f"s{number} {course}")

    def check(self, clients):
        for client in clients:
            self.assertEqual(self.receive(client, 10), b"OK 0\nOK 0\n")
        with open(self.data, encoding="ascii") as file:
            text = file.read()
        self.assertTrue(text.startswith(PLAIN))
        self.assertEqual(
            collections.Counter(text[len(PLAIN):].splitlines()),
            collections.Counter(self.saved))

    def deaths(self, model):
        chain = Chain(self, model, state_size=36, options=(
            "--service", "schedule", "--data", self.data))
        clients = self.login(chain.address)
        chain.stable = CLIENTS
        cells = self.cells()
        aimed = self.tally.aimed
        for count, cell in enumerate(cells):
            chain.covered()
            owner = chain.owner
            chain.peers[owner].trigger.arm(*cell)
            self.add(clients, count)
            chain.die(owner)
            chain.bury(owner)
            # What was being saved is tried again beside a standby.
            chain.attach()
            self.check(clients)
        self.assertGreater(self.tally.aimed - aimed, len(cells) * 3 // 4)
        for client in clients:
            client.close()
        chain.finish()

    def test_children(self):
        """The process of a connection dies, and its parent starts another:
        it is no death of the owner."""
        chain = Chain(self, "fork", state_size=36, options=(
            "--service", "schedule", "--data", self.data))
        owner = chain.peers[chain.owner]
        chain.stable = CLIENTS
        # The parent closes descriptors too, and would be who dies.
        cells = [cell for cell in self.cells() if cell[0] != "close"]
        for count, cell in enumerate(cells):
            clients = self.login(chain.address)
            chain.covered()
            owner.trigger.arm(*cell)
            self.add(clients, count)
            self.check(clients)
            self.assertTrue(owner.trigger.fired(), cell)
            owner.expect_error("was killed by signal 9.*another one continues")
            for client in clients:
                client.close()
        chain.finish()

    def test_deaths_workers(self):
        self.deaths("workers")

    def test_deaths_loop(self):
        self.deaths("loop")

    def test_deaths_thread(self):
        self.deaths("thread")


if __name__ == "__main__":
    main()
