# SPDX-License-Identifier: MIT
"""The unit files of examples/, and docs/systemd.md with a real systemd: it is
process 1 of namespaces of its own, which needs root."""
import ctypes
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import (BIN, DEADLINE, SCALE, Program, SystemTest, group_root,
                     main, wait_until)

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = os.path.join(HERE, "..", "..", "examples", "systemd")
LIBS = os.environ["HANDOFF_LIBS"].split(":")
SYSTEMD = "/lib/systemd/systemd"
CLONE_NEWNET = 0x40000000
ADDRESS = ("127.0.0.1", 7000)
WATCHDOG = 4 * SCALE  # seconds that a server may hang; see machine.sh
ECHO, ALT = "handoff-echo.service", "handoff-echo-alt.service"


def missing():
    """What is not here that it takes; None if all is."""
    if not all(LIBS):
        return "built without libsystemd"
    if not os.access(SYSTEMD, os.X_OK):
        return "systemd is not here"
    if os.geteuid() != 0 or not group_root():
        return "it takes root and a cgroup2 that is writable"
    probe = subprocess.run(
        ["unshare", "--fork", "--pid", "--mount", "--net", "--cgroup", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return None if probe.returncode == 0 else "no namespaces can be made"


@unittest.skipUnless(shutil.which("systemd-analyze"),
                     "systemd-analyze is not here (Debian: systemd)")
class UnitFiles(unittest.TestCase):
    """Those of examples/, with the programs of this build."""

    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())

    def verify(self, change=lambda text: text):
        paths = []
        for name in sorted(os.listdir(UNITS)):
            if not name.endswith((".service", ".socket")):
                continue
            with open(os.path.join(UNITS, name), encoding="utf-8") as file:
                text = change(file.read())
            text = text.replace("/usr/local/bin", BIN)
            paths.append(os.path.join(self.dir, name))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(text)
        self.assertEqual(len(paths), 3)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *paths],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=DEADLINE, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_units(self):
        self.assertEqual(self.verify(), (0, ""))

    def test_verify_notices(self):
        """That the test can fail."""
        _, text = self.verify(lambda text: text.replace("Type=", "Typ="))
        self.assertIn("Unknown key", text)
        code, text = self.verify(
            lambda text: text.replace("bin/handoffd", "bin/no-server"))
        self.assertNotEqual(code, 0)
        self.assertIn("no-server", text)


class Client(threading.Thread):
    """Asks again and again, and notes whether it was ever let down."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock = sock
        self.answers = 0
        self.error = None
        self.over = False
        self.start()

    def run(self):
        try:
            while not self.over:
                line = b"question %d\n" % self.answers
                self.sock.sendall(line)
                got = b""
                while len(got) < len(line):
                    part = self.sock.recv(64)
                    if not part:
                        raise EOFError("the server has closed")
                    got += part
                if got != line:
                    raise ValueError(f"{line} was answered {got}")
                self.answers += 1
                time.sleep(0.005)  # not to measure, only not to be in a hurry
        except Exception as error:  # told by `check`
            self.error = error
        self.sock.close()

    def check(self):
        """Is answered now, as before."""
        before = self.answers
        wait_until(lambda: self.error or self.answers > before + 1,
                   "the client to be answered")
        if self.error:
            raise AssertionError(f"after {self.answers} answers: "
                                 f"{self.error!r}")


@unittest.skipIf(missing(), missing())
class Machine(SystemTest):
    def setUp(self):
        self.group = os.path.join(group_root(), f"handoff-{os.getpid()}")
        os.mkdir(self.group)
        self.addCleanup(self.remove_groups)
        super().setUp()
        libs = [path for lib in LIBS for path in glob.glob(lib + "/*.so.*")]
        programs = [os.path.join(BIN, name)
                    for name in ("handoffd", "handoffctl")]
        self.machine = Program(
            ["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', self.group,
             "unshare", "--fork", "--kill-child", "--pid", "--mount", "--net",
             "--ipc", "--uts", "--cgroup", "--propagation", "private", "sh",
             os.path.join(HERE, "machine.sh"), UNITS, str(WATCHDOG), *libs,
             *programs])
        self.programs.append(self.machine)
        self.clients = []
        self.addCleanup(self.end_clients)
        wait_until(self.booted, "systemd to be there")

    def remove_groups(self):
        for path, _, _ in os.walk(self.group, topdown=False):
            wait_until(lambda: self.remove_group(path), f"{path} to be empty")

    @staticmethod
    def remove_group(path):
        try:
            os.rmdir(path)
        except OSError:
            return False
        return True

    def end_clients(self):
        for client in self.clients:
            client.over = True
            client.join(DEADLINE)

    def booted(self):
        if self.machine.process.poll() is not None:
            raise AssertionError(self.machine.output())
        children = f"/proc/{self.machine.pid}/task/{self.machine.pid}/children"
        with open(children, encoding="ascii") as file:
            self.init = file.read().strip()
        return self.init and self.inside(
            "systemctl", "is-active", "test.target").returncode == 0

    def inside(self, *words):
        return subprocess.run(
            ["nsenter", "-t", self.init, "-a", "env",
             "LD_LIBRARY_PATH=/usr/local/lib/handoff", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False)

    def do(self, *words):
        done = self.inside(*words)
        log = self.inside("cat", "/run/log").stdout
        self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}{log}")
        return done.stdout.strip()

    def handoffctl(self, *words):
        return self.do("handoffctl", "--dir", "/run/handoff-echo", *words)

    def show(self, unit, key):
        return self.do("systemctl", "show", "--value", "-p", key, unit)

    def wait_status(self, unit, *words):
        wait_until(lambda: all(word in self.show(unit, "StatusText")
                               for word in words), f"{unit} to be {words}")

    def dial(self):
        """Connects from inside, where the address is."""
        box = []

        def run():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.init}/ns/net", "rb") as net:
                libc.setns(net.fileno(), CLONE_NEWNET)
            box.append(socket.create_connection(ADDRESS, DEADLINE))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual(len(box), 1, "it cannot be connected to")
        return box[0]

    def client(self):
        client = Client(self.dial())
        self.clients.append(client)
        return client

    def test_two_units(self):
        self.do("systemctl", "start", "handoff-echo.socket")
        client = self.client()  # starts the service
        client.check()
        self.do("systemctl", "start", ALT)
        self.wait_status(ECHO, "joined: alt")
        self.wait_status(ALT, "standby: server")
        main_pid = self.show(ECHO, "MainPID")
        alt_pid = self.show(ALT, "MainPID")

        self.handoffctl("maintenance")
        self.wait_status(ECHO, "standby: alt")
        self.wait_status(ALT, "owner: took over")
        self.do("systemctl", "restart", ECHO)
        self.wait_status(ECHO, "standby: alt")
        self.assertNotEqual(self.show(ECHO, "MainPID"), main_pid)
        self.handoffctl("ready", "--silent")
        self.wait_status(ECHO, "owner: took over from alt")
        client.check()
        # systemd takes any process for the main one if root says so.
        self.assertEqual(self.show(ALT, "MainPID"), alt_pid)

        # Killed, it is started again and stands by.
        self.do("systemctl", "kill", "-s", "KILL", ECHO)
        self.wait_status(ALT, "joined: server")
        self.assertEqual(self.show(ECHO, "NRestarts"), "1")
        client.check()

        # It hangs: the watchdog kills it, and the alternate goes on.
        self.handoffctl("ready", "--silent")
        client.check()
        self.do("systemctl", "kill", "-s", "STOP", ECHO)
        wait_until(lambda: self.show(ECHO, "NRestarts") == "2",
                   "the watchdog to see that it hangs")
        self.wait_status(ALT, "joined: server")
        client.check()
        self.assertEqual(self.show(ALT, "NRestarts"), "0")

        # The stop of one unit is none of the other.
        self.do("systemctl", "stop", ALT)
        self.wait_status(ECHO, "left: alt")
        client.check()
        self.assertEqual(self.show(ECHO, "ActiveState"), "active")

    def test_one_unit(self):
        self.do("systemctl", "start", "handoff-echo.socket", ECHO)
        client = self.client()
        client.check()
        pids = {self.show(ECHO, "MainPID")}
        for count in (2, 3, 4):
            self.do("systemctl", "reload", ECHO)
            self.wait_status(ECHO, "left: server")
            pids.add(self.show(ECHO, "MainPID"))
            self.assertEqual(len(pids), count)
            client.check()
        self.refuse_reload(client)
        # A program that does not start changes nothing.
        self.do("mv", "/usr/local/bin/handoffd", "/usr/local/bin/better")
        self.do("ln", "-s", "/bin/false", "/usr/local/bin/handoffd")
        self.assertNotEqual(
            self.inside("systemctl", "reload", ECHO).returncode, 0)
        self.assertIn(self.show(ECHO, "MainPID"), pids)
        client.check()
        # The last one feeds the watchdog, and gets the time to stop.
        fed = time.monotonic() + WATCHDOG + 1
        wait_until(lambda: time.monotonic() > fed, "the watchdog's time")
        self.assertEqual(self.show(ECHO, "NRestarts"), "0")
        client.check()
        client.over = True
        client.join(DEADLINE)
        self.do("systemctl", "stop", ECHO)
        self.assertEqual(self.show(ECHO, "StatusText"), "stopping")
        self.assertEqual(self.show(ECHO, "Result"), "success")

    def refuse_reload(self, client):
        """A check that fails: the main process is the old one again, and stays
        the one that systemd watches."""
        main_pid = self.show(ECHO, "MainPID")
        folder = f"/run/systemd/system/{ECHO}.d"
        reload = self.do("sed", "-n", "s/ upgrade / upgrade --check false /"
                         "; s/^ExecReload=//p",
                         f"/etc/systemd/system/{ECHO}")
        self.assertIn("--check false", reload)
        self.do("mkdir", "-p", folder)
        self.do("sh", "-c", 'printf "[Service]\nExecReload=\nExecReload=%s\n" '
                f'"$1" >{folder}/check.conf', "sh", reload)
        self.do("systemctl", "daemon-reload")
        self.assertNotEqual(
            self.inside("systemctl", "reload", ECHO).returncode, 0)
        self.assertIn("everything was moved back",
                      self.inside("cat", "/run/log").stdout)
        self.wait_status(ECHO, "left: server")
        self.assertEqual(self.show(ECHO, "MainPID"), main_pid)
        self.assertEqual(self.show(ECHO, "ActiveState"), "active")
        client.check()
        self.do("rm", "-r", folder)
        self.do("systemctl", "daemon-reload")

    def test_store(self):
        """Without a socket unit the store keeps the listener: new clients
        wait instead of being refused."""
        self.do("rm", "/etc/systemd/system/handoff-echo.socket")
        self.do("systemctl", "daemon-reload")
        self.do("systemctl", "start", ECHO)
        for end in (("restart", ECHO), ("kill", "-s", "KILL", ECHO)):
            self.assertEqual(self.show(ECHO, "NFileDescriptorStore"), "1")
            main_pid = self.show(ECHO, "MainPID")
            knocks = self.knock_until(lambda: self.do("systemctl", *end))
            self.assertGreater(knocks, 0)
            self.client().check()
            self.assertNotEqual(self.show(ECHO, "MainPID"), main_pid)

    def knock_until(self, action):
        """Connects all the while that the action takes, and a little more;
        none may be refused. Returns how often."""
        done = threading.Thread(target=action)
        count, last = 0, False
        done.start()
        while not last:
            last = not done.is_alive()
            self.dial().close()
            count += 1
        done.join()
        return count


if __name__ == "__main__":
    main()
