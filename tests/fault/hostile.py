# SPDX-License-Identifier: MIT
"""Peers that hang, come and go, or leave damaged memory; and the death of
both. The owner continues to serve and logs what happened."""
import os
import re
import signal
import socket
import subprocess
import time

from fault import (LONG, TOOLS, TOOK_OVER, Chain, FaultTest, main,
                   wait_until)

SERVICE = os.path.join(TOOLS, "sum_service")


class Stopped(FaultTest):
    """A peer under SIGSTOP."""

    def stop(self, peer):
        peer.signal(signal.SIGSTOP)
        self.addCleanup(self.go_on, peer)

    def go_on(self, peer):
        if peer.process.poll() is None:
            peer.signal(signal.SIGCONT)

    def echoes(self, load):
        """How many came in half a second."""
        load.signal(signal.SIGUSR1)
        load.expect("max_gap_us")
        time.sleep(0.5)
        load.signal(signal.SIGUSR1)
        return int(load.expect(r'"echoes":(\d+)')[1])

    def standby_stopped(self, model):
        chain = Chain(self, model, options=("--hang-timeout", "400"))
        load = chain.load("--connections", 20, "--chunk", 2000)
        chain.stable = 20
        chain.covered()
        self.stop(chain.peers[2])
        late = []
        for _ in range(3):
            # New connections are served at once too.
            late += [self.connect(chain.address) for _ in range(30)]
            for sock in late:
                self.assert_echo(sock)
            # How fast is for the benchmark; that it goes on is for here.
            self.assertGreater(self.echoes(load), 0)
        wait_until(lambda: self.json(1)["partner"] == "hung", "hung")
        status = self.json(1)
        self.assertEqual((status["role"], status["connections"]),
                         ("owner", 110))
        self.assertEqual(status["uncovered"], 90)
        wait_until(lambda: self.json(1)["lagging"], "lagging")
        self.assertEqual(chain.peers[2].process.poll(), None)
        chain.peers[2].signal(signal.SIGCONT)
        chain.stable = 110
        chain.covered()
        wait_until(lambda: self.json(1)["partner"] == "ready"
                   and not self.json(1)["lagging"], "all to be well")
        # What was accepted meanwhile is as safe as the rest.
        chain.random_round()
        for sock in late:
            self.assert_echo(sock)
            sock.close()
        chain.stable = 20
        chain.finish()

    def test_standby_loop(self):
        self.standby_stopped("loop")

    def test_standby_thread(self):
        self.standby_stopped("thread")

    def flood(self):
        """More than the link takes: the owner goes on all the same."""
        chain = Chain(self, "loop", options=("--hang-timeout", "400"))
        self.stop(chain.peers[2])
        churn = self.load(chain.address, "--connections", 0, "--churn",
                          3000 if LONG else 1500, "--seconds", 2)
        counts = churn.result()
        self.assert_clean(counts)
        held = self.load(chain.address, "--connections", 700, "--active", 50,
                         "--seconds", 3600).ready()
        wait_until(lambda: self.json(1)["uncovered"] == 700, "uncovered")
        chain.peers[2].signal(signal.SIGCONT)
        chain.stable = 700
        chain.covered()
        chain.loads.append(held)
        chain.random_round()
        chain.finish()

    def test_flood(self):
        self.flood()

    def owner_stopped(self, *options):
        chain = Chain(self, "loop", options=("--hang-timeout", "400",
                                             *options))
        client = self.connect(chain.address)
        self.assert_echo(client)
        chain.stable = 1
        chain.covered()
        self.stop(chain.peers[1])
        client.sendall(b"to whom?\n")
        return chain, client

    def test_owner_is_never_replaced_alive(self):
        """Without --fence nobody else serves: one of them may wake up."""
        chain, client = self.owner_stopped()
        wait_until(lambda: self.json(2)["partner"] == "hung", "hung")
        client.settimeout(1)
        with self.assertRaises(TimeoutError):
            client.recv(1)
        self.assertEqual(self.json(2)["role"], "standby")
        self.assertEqual(chain.peers[1].process.poll(), None)
        chain.peers[1].signal(signal.SIGCONT)
        self.assertEqual(self.receive(client, 9), b"to whom?\n")
        wait_until(lambda: self.json(2)["partner"] == "ready", "ready")
        client.close()
        chain.finish()

    def test_owner_is_fenced(self):
        chain, client = self.owner_stopped("--fence")
        started = time.monotonic()
        client.settimeout(20)
        self.assertEqual(self.receive(client, 9), b"to whom?\n")
        self.assertGreater(time.monotonic() - started, 0.3)
        self.assert_gone(chain.peers.pop(1))
        chain.peers[2].expect(TOOK_OVER)
        chain.owner = 2
        chain.attach()
        chain.stable = None
        self.assert_echo(client)
        client.close()
        chain.finish()


class Visitors(FaultTest):
    """Peers that attach and leave, again and again."""
    TIMES = 1000 if LONG else 100

    def test_attach_and_leave(self):
        chain = Chain(self, "loop")
        chain.load("--connections", 20, "--rate", 50000, "--chunk", 1000,
                   "--idle", 30)
        chain.stable = 50
        chain.covered()
        chain.shape()
        for number in range(self.TIMES):
            standby = chain.peers.pop(2)
            if number % 3 == 0:
                standby.signal(signal.SIGTERM)
            else:
                standby.signal(signal.SIGKILL)
            standby.wait()
            chain.attach()
            if number % 3 != 1:
                chain.covered()
            chain.check()
        chain.covered()
        chain.shape()
        chain.finish()

    def test_attach_and_die_at_once(self):
        """None of them gets as far as being a standby."""
        chain = Chain(self, "loop")
        chain.load("--connections", 20, "--rate", 50000, "--chunk", 1000)
        chain.stable = 20
        chain.covered()
        chain.peers.pop(2).kill()
        chain.shape()
        for _ in range(self.TIMES):
            peer = chain.launch(2)
            time.sleep(self.chance.uniform(0, 0.008))
            peer.kill()
            chain.check()
        chain.serves()
        chain.shape()
        chain.attach()
        chain.finish()


class Damage(FaultTest):
    """The arena is scribbled over before its owner dies."""

    def damage(self, what, why, model="loop"):
        chain = Chain(self, model, SERVICE, SERVICE, options=("--echo",),
                      state_size=16)
        socks = [self.connect(chain.address) for _ in range(10)]
        for sock in socks:
            self.assert_echo(sock)
        chain.stable = 10
        chain.covered()
        owner = chain.peers[1]
        wait_until(lambda: all(
            record["activity"] == 0 for record in self.records(
                owner.pid, "--state-size", 16)), "all to be at rest")
        self.records(owner.pid, "--state-size", 16, 4, what)
        owner.kill()
        self.assert_gone(chain.peers.pop(1))
        match = chain.peers[2].expect(TOOK_OVER)
        self.assertEqual((match[1], match[5]), ("11", "1"))
        chain.owner = 2
        self.assertEqual(self.receive(socks[3], 1), b"")
        for number, sock in enumerate(socks):
            if number != 3:
                self.assert_echo(sock)
        wait_until(lambda: any(re.search(
            f"connection 4: closed after the other peer died: .*{why}", line)
            for line in chain.peers[2].errors), "the reason in the log")
        del chain.peers[2].errors[:]
        chain.stable = 9
        chain.attach()
        chain.random_round()
        for number, sock in enumerate(socks):
            if number != 3:
                self.assert_echo(sock)
            sock.close()
        chain.stable = 0
        chain.finish()

    def test_commit(self):
        self.damage("commit", "damaged")

    def test_commit_thread(self):
        self.damage("commit", "damaged", "thread")

    def test_index(self):
        self.damage("sequence", "damaged")

    def test_positions_ahead(self):
        self.damage("ahead", "damaged")

    def test_positions_behind(self):
        self.damage("behind", "damaged")

    def test_kernel_disagrees(self):
        self.damage("turn", "kernel")


class Urgent(FaultTest):
    """Urgent data is a byte of the stream like any other: the counters of the
    kernel have it, so the connection must."""

    def test_urgent_data(self):
        chain = Chain(self, "loop")
        client = self.connect(chain.address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chain.stable = 1
        for function, after in (("recv", True), ("recv", False),
                                ("send", True), ("send", False)):
            client.sendall(b"abc")
            client.send(b"!", socket.MSG_OOB)
            self.assertEqual(self.receive(client, 4), b"abc!")
            chain.covered()
            chain.peers[chain.owner].trigger.arm(function, 1, after)
            client.send(b"de?", socket.MSG_OOB)
            client.sendall(b"fgh")
            chain.die(chain.owner)
            chain.bury(chain.owner)
            self.assertEqual(self.receive(client, 6), b"de?fgh")
            chain.attach()
        client.close()
        chain.finish()


class Clients(FaultTest):
    """The client program, which is told of it all."""

    def client(self, chain, name):
        client = self.start("client", "--dir", self.dir, "--connect",
                            chain.address, "--name", name,
                            stdin=subprocess.PIPE)
        client.sent = []
        return client

    def say(self, clients, line):
        for client in clients:
            client.sent.append(line)
            client.process.stdin.write(line.encode() + b"\n")
            client.process.stdin.flush()

    def told(self, client, pattern):
        wait_until(lambda: any(re.search(pattern, line, re.I)
                               for line in list(client.errors)),
                   f"the client to tell '{pattern}': {client.errors}")

    def end(self, client):
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())

    def test_failover_is_told(self):
        """And it is no more than that: the connection goes on."""
        chain = Chain(self, "loop")
        client = self.client(chain, "c")
        self.say([client], "before")
        wait_until(lambda: client.lines == client.sent, "an answer")
        for turn in range(4):
            del client.errors[:]
            chain.random_round()
            self.told(client, "failover|died")
            self.say([client], f"after {turn}")
            wait_until(lambda: client.lines == client.sent, "an answer")
            self.assertNotRegex("\n".join(client.errors), "(?i)lost|retry")
        self.end(client)
        chain.finish()

    def test_death_of_both(self):
        """They know, retry, and come back when a server does."""
        chain = Chain(self, "loop")
        clients = [self.client(chain, f"c{number}") for number in range(3)]
        self.say(clients, "before")
        self.come_back(clients)
        for turn in range(3):
            for client in clients:
                del client.errors[:]
            for place in (1, 2) if turn % 2 else (2, 1):
                chain.kill(place)
            for place in (1, 2):
                self.assert_gone(chain.peers.pop(place))
            for client in clients:
                self.told(client, "connection to .* was lost|lost")
                self.told(client, "retry|again|next attempt|in \\d+ ms")
                self.assertIsNone(client.process.poll(), client.output())
            self.say(clients, f"while nobody served {turn}")
            chain.peers[1] = chain.launch(1)
            chain.peers[1].expect(": owner: ")
            chain.owner = 1
            chain.attach()
            self.come_back(clients)
            self.say(clients, f"after {turn}")
            self.come_back(clients)
        # Those that end leave nothing; one is killed and leaves its queue
        # behind, which the next notice finds without a reader.
        for client in clients[:2]:
            self.end(client)
        clients[2].kill()
        clients[2].process.stdin.close()
        chain.stable = 0
        chain.finish()

    def come_back(self, clients):
        """All answers came: in order; more than once only where the answer
        to a line was lost with the host."""
        for client in clients:
            wait_until(lambda client=client: client.lines[-1:]
                       == client.sent[-1:], f"answers: {client.lines}, "
                       f"{client.sent}")
            seen = list(dict.fromkeys(client.lines))
            self.assertEqual(seen, client.sent)


if __name__ == "__main__":
    main()
