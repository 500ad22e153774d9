# SPDX-License-Identifier: MIT
"""The service directory is cleaned or removed under a service that runs."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from harness import MNT_DETACH, SystemTest, main, wait_until


class Directory(SystemTest):
    def peers(self):
        """Roles by name, as the status tells; empty if nobody is found."""
        code, out, _ = self.ctl("status", "--json")
        if code != 0:
            return {}
        return {peer["name"]: peer["role"]
                for peer in json.loads(out)["peers"]}

    def wait_whole(self, owner="server", standby="alt"):
        wait_until(lambda: self.peers() == {owner: "owner",
                                            standby: "standby"},
                   "both peers are found again")

    def assert_full(self):
        """No third peer finds a place."""
        third = self.start("alt_server", "--dir", self.dir, "--name", "third")
        self.assertEqual(third.wait(), 1)
        self.assertIn("two peers already", third.output())

    def remove(self):
        """All that is there at a moment: what is made anew meanwhile stays."""
        shutil.rmtree(self.dir, ignore_errors=True)

    def clean(self):
        for name in os.listdir(self.dir):
            if name != "subscribers":
                os.unlink(os.path.join(self.dir, name))

    def survives(self, what, *options):
        server, alt = self.pair(*options)
        client = self.connect(server.address)
        self.assert_echo(client)
        what()
        self.wait_whole()
        self.assert_full()
        self.ok("maintenance")
        self.assert_echo(client)
        what()
        self.wait_whole("alt", "server")
        alt.kill()
        server.expect(": owner: the other peer died")
        self.assert_echo(client)
        self.assert_echo(self.connect(server.address))
        self.standby()
        self.ok("maintenance")
        self.assert_echo(client)

    def test_removed_directory(self):
        self.survives(self.remove)

    def test_removed_directory_fork(self):
        self.survives(self.remove, "--model", "fork")

    def test_removed_directory_thread(self):
        self.survives(self.remove, "--model", "thread")

    def test_removed_files(self):
        self.survives(self.clean)

    def test_renamed_directory(self):
        server, _ = self.pair()
        os.rename(self.dir, self.dir + ".old")
        self.wait_whole()
        self.assert_full()
        self.assert_echo(self.connect(server.address))

    def test_notice_is_kept_anew(self):
        server, alt = self.pair()
        self.ok("maintenance")
        alt.expect(": owner: took over")  # and has told it
        notice = os.path.join(self.dir, "notice")
        with open(notice, "rb") as file:
            before = file.read()
        self.remove()
        wait_until(lambda: os.path.exists(notice), "the notice is back")
        with open(notice, "rb") as file:
            self.assertEqual(file.read(), before)
        server.kill()

    def test_clients_subscribe_anew(self):
        server, _ = self.pair()
        client = self.start("client", "--dir", self.dir, "--connect",
                            server.address, stdin=subprocess.PIPE)
        client.expect_error("connected to")
        self.remove()
        subscribers = os.path.join(self.dir, "subscribers")
        wait_until(lambda: os.path.exists(subscribers)
                   and os.listdir(subscribers), "the client subscribes")
        self.wait_whole()
        self.ok("maintenance")
        client.expect_error("alt serves now")
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0)

    def test_removed_at_the_end(self):
        """A directory that is removed while its service stops stays removed:
        a client that reads nothing holds the stop up."""
        server = self.server()
        client = self.connect(server.address)
        client.settimeout(0.2)
        try:
            while True:
                client.sendall(b"x" * 65535 + b"\n")
        except TimeoutError:
            pass
        server.signal(signal.SIGTERM)
        server.expect(": stopping")
        self.remove()
        self.assertEqual(server.wait(), 0)
        self.assertFalse(os.path.exists(self.dir))

    def test_stopped_service_makes_nothing(self):
        server, alt = self.pair()
        self.assertEqual(alt.stop(), 0)
        self.assertEqual(server.stop(), 0)
        self.remove()
        self.assertIn("cannot open it", self.refused("status"))
        self.assertFalse(os.path.exists(self.dir))

    def tmpfiles(self, path):
        """The cleaner itself, told that all below the path is too old."""
        tool = shutil.which("systemd-tmpfiles")
        if not tool or os.geteuid() != 0:
            raise unittest.SkipTest("needs systemd-tmpfiles and root")
        config = os.path.join(tempfile.gettempdir(),
                              os.path.basename(self.base) + ".conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"d {path} 0700 root root 1us\n")
        self.addCleanup(os.unlink, config)
        time.sleep(0.01)  # so old is what was touched last
        done = subprocess.run([tool, "--clean", config], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_tmpfiles(self):
        """In /tmp, say: a directory that somebody holds is left alone."""
        control = os.path.join(self.base, "control")
        os.mkdir(control, 0o700)
        with open(os.path.join(control, "old"), "w", encoding="ascii"):
            pass
        server, _ = self.pair()
        kept = sorted(os.listdir(self.dir))
        self.tmpfiles(self.base)
        self.assertEqual(os.listdir(self.base), ["echo"])
        self.assertEqual(sorted(os.listdir(self.dir)), kept)
        self.assert_echo(self.connect(server.address))

    def test_tmpfiles_of_the_directory_itself(self):
        """What systemd 252 does not look for a lock on."""
        server, _ = self.pair()
        self.tmpfiles(self.dir)
        self.wait_whole()
        self.assert_full()
        self.assert_echo(self.connect(server.address))


class FullDisk(SystemTest):
    """The service directory is a file system of its own, which is full."""

    def setUp(self):
        super().setUp()
        if not self.queues:
            raise unittest.SkipTest("needs a private mount namespace")
        self.libc = ctypes.CDLL(None, use_errno=True)
        os.mkdir(self.dir)
        path = self.dir.encode()
        self.assertEqual(self.libc.mount(
            b"tmpfs", path, b"tmpfs", ctypes.c_ulong(0),
            b"size=64k,mode=0700"), 0)
        self.addCleanup(self.libc.umount2, path, MNT_DETACH)

    def fill(self):
        """Writes until nothing fits any more; returns the file."""
        path = os.path.join(self.dir, "big")
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                return path

    def notice(self):
        with open(os.path.join(self.dir, "notice"), "rb") as file:
            return file.read()

    def test_notice_that_cannot_be_kept(self):
        server, alt = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        before = self.notice()
        big = self.fill()
        told = ("warning: not all clients will be notified: the notice "
                f"cannot be retained in {self.dir}: No space left on device")
        out = self.ok("maintenance")
        self.assertIn("moved 1 connection", out)
        self.assertIn(told, out)
        alt.expect_error("notice MAINTENANCE: cannot be retained in .*: No space")
        self.assertIn('handoff_notices_unkept_total{service="echo",peer="alt",'
                      'place="2"} 1', self.ok("metrics").splitlines())
        self.assertEqual(self.notice(), before)
        self.assert_echo(client)
        self.assertIn(told, self.ok("ready", "--silent"))
        self.assertEqual(self.notice(), before)
        # It is kept as soon as that is possible, and nothing is left over.
        os.unlink(big)
        wait_until(lambda: self.notice() != before, "the notice is kept")
        self.assertNotIn("warning", self.ok("maintenance"))
        wait_until(lambda: not [name for name in os.listdir(self.dir)
                                if name.startswith(".")], "nothing is left")


if __name__ == "__main__":
    main()
