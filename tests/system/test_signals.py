# SPDX-License-Identifier: MIT
"""Signals to the servers, orderly stops, and upgrades in a chain."""
import os
import signal
import subprocess

from harness import BIN, SystemTest, main


class Signals(SystemTest):
    def test_usr1_and_usr2(self):
        server, alt = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        for _ in range(3):
            server.signal(signal.SIGUSR1)
            server.expect(": gave: ")
            alt.expect(": owner: ")
            self.assert_echo(client)
            server.signal(signal.SIGUSR2)
            server.expect(": owner: ")
            alt.expect(": gave: ")
            self.assert_echo(client)

    def test_refused_by_signal(self):
        server = self.server()
        client = self.connect(server.address)
        server.signal(signal.SIGUSR1)
        server.expect(": refused: ")
        server.signal(signal.SIGUSR2)
        server.expect(": refused: ")
        self.assert_echo(client)

    def test_term_of_an_owner_hands_over(self):
        server, alt = self.pair()
        clients = [self.connect(server.address) for _ in range(10)]
        for client in clients:
            self.assert_echo(client)
        self.assertEqual(server.stop(), 0)
        server.expect(": stopped")
        alt.expect(": owner: ")
        alt.expect(": left: ")
        for client in clients:
            self.assert_echo(client)
        self.assert_echo(self.connect(server.address))

    def test_term_under_load(self):
        server, _ = self.pair()
        load = self.load(server.address, "--connections", 100, "--churn", 100,
                         "--seconds", 600).ready()
        self.assertEqual(server.stop(), 0)
        self.wait_peer("alt", role="owner")
        self.assert_clean(load.finish())

    def test_term_of_a_standby(self):
        server, alt = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        self.assertEqual(alt.stop(), 0)
        alt.expect(": stopped")
        server.expect(": left: ")
        self.assert_echo(client)
        self.standby()
        self.ok("maintenance")
        self.assert_echo(client)

    def test_term_of_the_last(self):
        """Output that is due still leaves; then the connections end."""
        server = self.server()
        client = self.connect(server.address)
        self.assert_echo(client)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(client.recv(1), b"")
        with self.assertRaises(OSError):
            self.connect(server.address)

    def output_without_a_reader(self, model):
        """`server ... | head -1`, its errors too: nobody reads what the server
        prints from then on."""
        server = subprocess.Popen(
            [os.path.join(BIN, "server"), "--dir", self.dir, "--listen",
             f"unix:{self.base}/sock", "--model", model, "--verbose",
             "--trace"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertIn(b"listening", server.stdout.readline())
        server.stdout.close()
        server.stderr.close()
        for _ in range(3):
            client = self.connect(f"unix:{self.base}/sock")
            self.assert_echo(client)
            client.close()
        alt = self.standby()
        client = self.connect(f"unix:{self.base}/sock")
        self.assert_echo(client)
        self.ok("maintenance")
        self.ok("ready", "--silent")
        self.assert_echo(client)
        server.send_signal(signal.SIGTERM)
        alt.expect(": owner: took over")
        self.assertEqual(server.wait(), 0)

    def test_output_without_a_reader_loop(self):
        self.output_without_a_reader("loop")

    def test_output_without_a_reader_thread(self):
        self.output_without_a_reader("thread")

    def test_output_without_a_reader_fork(self):
        self.output_without_a_reader("fork")

    def test_stop_by_name(self):
        server, alt = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        self.ok("stop", "server")
        self.assertEqual(server.wait(), 0)
        self.assert_echo(client)
        self.ok("stop", "alt")
        self.assertEqual(alt.wait(), 0)


class Upgrade(SystemTest):
    def chain(self, model):
        """Each new version takes over and the old one leaves, under load."""
        old = self.server("--name", "v0", "--model", model)
        address = old.address
        load = self.load(address, "--connections", 100, "--churn", 100,
                         "--seconds", 600, "--idle", 10).ready()
        for version in range(1, 6):
            new = self.start("server", "--dir", self.dir, "--listen", address,
                             "--name", f"v{version}", "--model", model)
            new.expect(": standby: ")
            self.ok("maintenance")
            new.expect(": owner: ")
            self.assertEqual(old.stop(), 0)
            old.expect(": stopped")
            self.wait_peer(f"v{version}", role="owner", listeners=[address])
            old = new
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["connected"], 110)
        self.assertEqual(len(self.status()["peers"]), 1)

    def test_chain_loop(self):
        self.chain("loop")

    def test_chain_thread(self):
        self.chain("thread")

    def test_same_command_line(self):
        """Also the same name; the process number tells them apart."""
        old = self.server()
        client = self.connect(old.address)
        self.assert_echo(client)
        for _ in range(3):
            new = self.start("server", "--dir", self.dir, "--listen",
                             old.address)
            new.expect(": standby: ")
            self.ok("maintenance")
            self.assertEqual(old.stop(), 0)
            self.assert_echo(client)
            peers = self.status()["peers"]
            self.assertEqual([(peer["pid"], peer["role"]) for peer in peers],
                             [(new.pid, "owner")])
            new.address = old.address
            old = new

    def test_chain_without_pause(self):
        """maintenance and TERM at once, with nothing waited for."""
        old = self.server("--name", "v0")
        client = self.connect(old.address)
        self.assert_echo(client)
        for version in range(1, 6):
            new = self.start("server", "--dir", self.dir, "--listen",
                             old.address, "--name", f"v{version}")
            new.expect(": standby: ")
            new.address = old.address
            old.signal(signal.SIGUSR1)
            old.signal(signal.SIGTERM)
            self.assertEqual(old.wait(), 0)
            self.assert_echo(client, b"version %d\n" % version)
            old = new


if __name__ == "__main__":
    main()
