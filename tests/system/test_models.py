# SPDX-License-Identifier: MIT
"""Every model of a server hands its live connections over, and leaves no
process behind."""
import os
import signal
import threading

from harness import SystemTest, halt, main, wait_until

ROUNDS = 10  # there and back
CONNECTIONS = 200


def state(pid):
    """As in proc(5): one letter; "" if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid):
    """The children of a process: pid to state."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return {int(child): state(child) for child in file.read().split()}


def alive(pid):
    """Orphans are reaped by whoever is init here, when that likes to."""
    return state(pid) not in ("", "Z", "X")


class Models(SystemTest):
    def no_zombies(self, *programs):
        """Soon: a child that ended this moment is still to be reaped."""
        for program in programs:
            wait_until(lambda: "Z" not in children(program.pid).values(),
                       f"no zombie under {program.argv[-1]}")

    def swap(self, owner, standby, *command):
        said = self.ok(*command)
        self.assertIn(" 0 left behind", said)
        standby.expect(": owner: ")
        self.no_zombies(owner, standby)

    def across(self, *model):
        server, alternate = self.pair(*model)
        load = self.load(server.address, "--connections", CONNECTIONS,
                         "--seconds", 600, "--rate", "200K").ready()
        self.wait_peer("alt", held=CONNECTIONS)
        for _ in range(ROUNDS):
            self.swap(server, alternate, "maintenance")
            self.swap(alternate, server, "ready", "--silent")
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["connected"], CONNECTIONS)
        self.wait_peer("server", connections=0)
        left = list(children(server.pid)) + list(children(alternate.pid))
        self.ok("stop", "alt")
        self.ok("stop", "server")
        self.assertEqual((server.wait(), alternate.wait()), (0, 0))
        self.assertEqual([pid for pid in left if alive(pid)], [])

    def test_fork(self):
        self.across("--model", "fork")

    def test_thread(self):
        self.across("--model", "thread")

    def test_loop(self):
        self.across("--model", "loop")

    def test_workers(self):
        self.across("--workers", 2)

    def test_many_workers(self):
        self.across("--workers", 5)

    def test_mixed(self):
        """The model is each peer's own affair."""
        server = self.server("--model", "fork")
        alternate = self.standby("--workers", 3)
        sock = self.connect(server.address)
        for _ in range(3):
            self.assert_echo(sock)
            self.swap(server, alternate, "maintenance")
            self.assert_echo(sock)
            self.swap(alternate, server, "ready", "--silent")


class Iterative(SystemTest):
    def converse(self, address, conversations, done):
        for number in range(conversations):
            sock = self.connect(address)
            for part in range(20):
                self.assert_echo(sock, b"%d %d\n" % (number, part) * 50)
            sock.close()
        done.append(True)

    def test_one_after_the_other(self):
        server, _ = self.pair("--model", "iterative")
        done = []
        client = threading.Thread(
            target=self.converse, args=(server.address, 400, done))
        client.start()
        for _ in range(ROUNDS):
            self.assertIn(" 0 left behind", self.ok("maintenance"))
            self.assertIn(" 0 left behind", self.ok("ready", "--silent"))
        client.join()
        self.assertEqual(done, [True])

    def test_load(self):
        """From the load generator: they overlap, and are served in turn."""
        server, _ = self.pair("--model", "iterative")
        load = self.load(server.address, "--connections", 0, "--churn", 100,
                         "--seconds", 600)
        for _ in range(ROUNDS):
            self.assertIn(" 0 left behind", self.ok("maintenance"))
            wait_until(lambda: self.peer("alt")["connections"] == 1, "one")
            self.assertIn(" 0 left behind", self.ok("ready", "--silent"))
            wait_until(lambda: self.peer("server")["connections"] == 1, "one")
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["churn_failed"], 0)
        self.assertGreater(counts["churn"], 2 * ROUNDS)

    def test_the_others_wait(self):
        """In the backlog, which moves with the listener."""
        server, alternate = self.pair("--model", "iterative")
        first = self.connect(server.address)
        self.assert_echo(first)
        waiting = [self.connect(server.address) for _ in range(3)]
        for number, sock in enumerate(waiting):
            sock.sendall(b"waited %d\n" % number)
        self.assert_echo(first)
        self.wait_peer("server", connections=1)
        self.ok("maintenance")
        alternate.expect(": owner: ")
        self.assert_echo(first)
        self.wait_peer("alt", connections=1)
        first.close()
        for number, sock in enumerate(waiting):
            self.assertEqual(self.receive(sock, 9), b"waited %d\n" % number)
            self.wait_peer("alt", connections=1)
            sock.close()

    def test_killed(self):
        server, alternate = self.pair("--model", "iterative")
        first, second = [self.connect(server.address) for _ in range(2)]
        second.sendall(b"later\n")
        self.assert_echo(first)
        self.wait_peer("alt", held=1)
        server.kill()
        alternate.expect(": owner: .* died")
        self.assert_echo(first)
        first.close()
        self.assertEqual(self.receive(second, 6), b"later\n")


class Fork(SystemTest):
    def test_a_child_each(self):
        server = self.server("--model", "fork")
        socks = [self.connect(server.address) for _ in range(20)]
        self.assertEqual(children(server.pid), {})
        for sock in socks:
            self.assert_echo(sock)
        pids = children(server.pid)
        self.assertEqual(len(pids), 20)
        for sock in socks:
            sock.close()
        wait_until(lambda: not children(server.pid), "all children reaped")
        self.wait_peer("server", connections=0)

    def assert_own_descriptors(self, pid):
        """A child has its own connection and no other, and no set or process
        to watch."""
        links = []

        def own():
            links[:] = []
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except FileNotFoundError:
                return False  # it has just closed one
            return (sum(link.startswith("socket:") for link in links) == 1 and
                    "anon_inode:[eventpoll]" not in links and
                    "anon_inode:[pidfd]" not in links)
        try:
            wait_until(own, f"process {pid} to have its own descriptors only")
        except AssertionError as error:
            raise AssertionError(f"{error}: {sorted(links)}") from None

    def test_descriptors(self):
        server = self.server("--model", "fork")
        socks = [self.connect(server.address) for _ in range(5)]
        for sock in socks:
            self.assert_echo(sock)
        self.assertEqual(len(children(server.pid)), 5)
        for pid in children(server.pid):
            self.assert_own_descriptors(pid)

    def test_killed_under_load(self):
        server, _ = self.pair("--model", "fork")
        load = self.load(server.address, "--connections", 50, "--seconds",
                         600).ready()
        wait_until(lambda: len(children(server.pid)) >= 50, "50 children")
        victims = list(children(server.pid))[:30]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        for _ in victims:
            server.expect_error("was killed by signal 9.*another one continues")
        wait_until(lambda: len(children(server.pid)) >= 50, "50 again")
        self.ok("maintenance")
        counts = load.finish()
        self.assert_clean(counts)

    def test_three_times(self):
        server = self.server("--model", "fork")
        sock = self.connect(server.address)
        for _ in range(4):
            self.assert_echo(sock)
            pid, = children(server.pid)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: pid not in children(server.pid), "its end")
        server.expect_error(
            r"connection 1: closed: its process \d+ was killed by signal 9 "
            r"\(Killed\) like three before it")
        self.assertEqual(self.receive(sock, 1), b"")
        self.assert_echo(self.connect(server.address))

    def test_parent_killed(self):
        server, alternate = self.pair("--model", "fork")
        load = self.load(server.address, "--connections", 100, "--seconds",
                         600).ready()
        self.wait_peer("alt", held=100)
        wait_until(lambda: len(children(server.pid)) >= 100, "100 children")
        orphans = list(children(server.pid))
        server.kill()
        alternate.expect(": owner: .* died; took over 101 .* 0 closed")
        self.assertEqual([pid for pid in orphans if alive(pid)], [])
        wait_until(lambda: len(children(alternate.pid)) >= 100, "100 more")
        for pid in children(alternate.pid):
            self.assert_own_descriptors(pid)
        self.assert_clean(load.finish())

    def test_stopped_child(self):
        """It holds up its own connection, and only that; when its parent
        dies it dies too, and the connection goes on."""
        server, alternate = self.pair("--model", "fork", "--give-timeout", 300)
        socks = [self.connect(server.address) for _ in range(3)]
        for sock in socks:
            self.assert_echo(sock)
        stopped = list(children(server.pid))[0]
        halt(stopped)
        said = self.ok("maintenance")
        self.assertIn("moved 2 connections", said)
        self.assertIn("its handler has not returned", said)
        server.kill()
        self.wait_peer("alt", connections=3)
        for sock in socks:
            self.assert_echo(sock)
        self.assertFalse(alive(stopped))


if __name__ == "__main__":
    main()
