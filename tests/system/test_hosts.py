# SPDX-License-Identifier: MIT
"""Hosts: the addresses that a server reports, and clients that connect by
name. The names are in a hosts file of the test."""
import ctypes
import os
import subprocess

from harness import SystemTest, main, wait_until

MS_BIND = 0x1000
# Wrong in themselves (an empty label, one of more than 63 characters), so that
# nobody is asked.
NO_NAME = "no..such.host"
LONG_NAME = "x" * 64 + ".example"


class Hosts(SystemTest):
    # What the server tells

    def told(self, program):
        """The addresses that it tells, in order, up to its role."""
        told = []
        while match := program.expect(
                r": (?:reachable at (\S+)|(owner|standby):)"):
            if match[2]:
                return told
            told.append(match[1])

    def start_on(self, listen):
        return self.start("server", "--dir", self.dir, "--listen", listen)

    def test_all_addresses(self):
        """Each that is told is one where it answers."""
        server = self.start_on(":0")
        bound = server.expect(r": listening on (\S+)$")[1]
        port = bound.rsplit(":", 1)[1]
        told = self.told(server)
        self.assertIn(f"127.0.0.1:{port}", told)
        for address in told:
            self.assertTrue(address.endswith(f":{port}"), told)
            self.assert_echo(self.connect(address))
        loopback = ("127.0.0.1", "[::1]")
        far = [address.rsplit(":", 1)[0] not in loopback for address in told]
        self.assertEqual(far, sorted(far, reverse=True), told)

    def test_only_ipv4(self):
        server = self.start_on("0.0.0.0:0")
        told = self.told(server)
        self.assertTrue(told[-1].startswith("127.0.0.1:"), told)
        self.assertNotIn("[", "".join(told))

    def test_a_single_address_says_it_all(self):
        self.assertEqual(self.told(self.start_on("127.0.0.1:0")), [])

    def test_only_who_binds_tells(self):
        server = self.start_on(":0")
        address = server.expect(r": listening on (\S+)$")[1]
        self.assertNotEqual(self.told(server), [])
        alt = self.start("alt_server", "--dir", self.dir)
        self.assertEqual(self.told(alt), [])
        self.ok("maintenance")
        self.assertEqual(self.told(alt), [])
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.told(self.start_on(address)), [])

    # Names given to clients

    def hosts(self, *lines):
        """Makes these lines the hosts file of this test's programs."""
        if not self.queues:
            self.skipTest("needs the privilege to have its own /etc/hosts")
        path = os.path.join(self.base, "hosts")
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(path.encode(), b"/etc/hosts", None,
                      ctypes.c_ulong(MS_BIND), None) != 0:
            self.fail(os.strerror(ctypes.get_errno()))
        self.addCleanup(libc.umount2, b"/etc/hosts", 2)

    def assert_served(self, *addresses):
        """A client of these addresses says something and is answered; returns
        what it told."""
        to = [text for each in addresses for text in ("--connect", each)]
        client = self.start("client", *to, stdin=subprocess.PIPE)
        client.process.stdin.write(b"hello\n")
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(client.lines, ["hello"])
        return "\n".join(client.errors)

    def port_of(self, address):
        return address.rsplit(":", 1)[1]

    def test_localhost(self):
        port = self.port_of(self.server(listen=(":0",)).address)
        self.assertIn(f"connected to localhost:{port} (",
                      self.assert_served(f"localhost:{port}"))

    def test_ipv6(self):
        address = self.server(listen=("[::1]:0",)).address
        self.assertIn(f"connected to {address}",
                      self.assert_served(address))

    def test_a_name_of_ipv6(self):
        self.hosts("::1 six.example")
        port = self.port_of(self.server(listen=("[::1]:0",)).address)
        self.assertIn(f"connected to six.example:{port} ([::1]:{port})",
                      self.assert_served(f"six.example:{port}"))

    def test_a_name_with_two_addresses(self):
        """The server has only one of them."""
        self.hosts("::1 both.example", "127.0.0.1 both.example")
        for host in ("127.0.0.1", "[::1]"):
            self.dir = os.path.join(self.base, f"echo {host}")
            port = self.port_of(self.server(listen=(f"{host}:0",)).address)
            self.assertIn(f"connected to both.example:{port} ({host}:{port})",
                          self.assert_served(f"both.example:{port}"))

    def test_a_server_by_name(self):
        self.hosts("::1 six.example")
        server = self.server(listen=("six.example:0",))
        self.assertTrue(server.address.startswith("[::1]:"))
        self.assert_served(f"six.example:{self.port_of(server.address)}")

    def test_no_such_name(self):
        """It says so and goes on trying; another address may do."""
        for name in (NO_NAME, LONG_NAME):
            client = self.start("client", "--connect", f"{name}:7000",
                                stdin=subprocess.PIPE)
            wait_until(lambda: client.errors, "the client to tell")
            self.assertRegex(
                client.errors[0],
                rf"client: retry: {name[:60]}\S*: cannot resolve the host: "
                rf"Name or service not known; next {name[:60]}\S* in \d+ ms$")
        address = self.server().address
        self.assertIn("cannot resolve",
                      self.assert_served(f"{NO_NAME}:7000", address))

    def test_no_such_name_to_listen_on(self):
        server = self.start_on(f"{NO_NAME}:0")
        self.assertEqual(server.wait(), 1, server.output())
        self.assertEqual(len(server.errors), 1)
        self.assertIn("cannot resolve the host", server.errors[0])


if __name__ == "__main__":
    main()
