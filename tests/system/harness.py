# SPDX-License-Identifier: MIT
"""What the system tests run in: real programs in a service directory of their
own, every wait with a deadline, everything cleaned up and checked after.

HANDOFF_BIN is the folder of the example programs, HANDOFF_TOOLS of the test
tools, HANDOFF_SCALE a factor for deadlines (sanitizers are slow).
HANDOFF_COVERAGE=1 says that the programs count what is executed.
"""
import atexit
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = os.environ.get("HANDOFF_BIN", ".")
TOOLS = os.environ.get("HANDOFF_TOOLS", BIN)
SCALE = float(os.environ.get("HANDOFF_SCALE", "1"))
COUNTS = os.environ.get("HANDOFF_COVERAGE") == "1"
DEADLINE = 20 * SCALE
LONG_END = 5  # seconds; loadgen gives up after 10
CLONE_NEWNS, CLONE_NEWIPC = 0x20000, 0x8000000
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 1 << 18, 2

# Tests say where their services are.
os.environ.pop("HANDOFF_DIR", None)

# What the tests start inherits it: hundreds of connections need descriptors.
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (HARD, HARD))


def private_queues():
    """Gives this test its own message queues, so that they can be counted.
    Returns where they are listed, or None without the privilege."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0:
        return None
    libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    path = tempfile.mkdtemp(prefix="handoff-mq-")
    if libc.mount(b"mqueue", path.encode(), b"mqueue", ctypes.c_ulong(0), None):
        os.rmdir(path)
        return None

    def remove():
        libc.umount2(path.encode(), MNT_DETACH)
        os.rmdir(path)
    atexit.register(remove)
    return path


def wait_until(condition, what, deadline=None):
    """Polls until the condition holds and returns its value."""
    end = time.monotonic() + (deadline or DEADLINE)
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within the deadline: " + what)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def end_well(left, seconds):
    """A program that is killed leaves no counts: what is left, by its process
    IDs, gets a SIGTERM and this time to end."""
    for pid in left():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not left(), "the programs to end", seconds)


def task_states(pid):
    """Of each thread one letter, as in proc(5); [] if there is no process."""
    states = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat",
                      encoding="ascii") as stat:
                states.append(stat.read().rsplit(")", 1)[1].split()[0])
    return states


def halt(pid):
    """Stops a process, and waits until none of its threads runs any more:
    kill(2) returns before that, and on a busy machine long before."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: set(task_states(pid)) <= set("TtZX"),
               f"process {pid} to stand still")


def descendants(pid):
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children",
                      encoding="ascii") as file:
                for child in file.read().split():
                    found += [int(child)] + descendants(int(child))
    return found


def standing():
    """What every program of this test does now, for a failure: whether one
    waits for something (S), or for a processor (R); and what those of their
    connections hold that hold anything."""
    pids = descendants(os.getpid())
    lines = []
    for pid in pids:
        line = [str(pid)]
        for name in ("comm", "wchan", "syscall", "schedstat"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/{name}", encoding="ascii",
                          errors="replace") as file:
                    line.append(name + " " + file.read().strip()[:60])
        lines.append(" | ".join([*line, "".join(task_states(pid))]))
    for name in ("loadavg", "pressure/cpu"):
        with contextlib.suppress(OSError):
            with open("/proc/" + name, encoding="ascii") as file:
                lines.append(name + " " + file.read().strip())
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(["ss", "-HOtnoip"], capture_output=True,
                              text=True, timeout=10, check=False)
        lines += [line for line in done.stdout.splitlines()
                  if not re.match(r"[A-Z0-9-]+ +0 +0 ", line) and
                  any(f"pid={pid}," in line for pid in pids)]
    return "\n".join(lines)


def group_root():
    """Where control groups can be made, or None without the privilege."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        roots = [line.split()[1] for line in mounts
                 if line.split()[2] == "cgroup2"]
    return next((root for root in roots if os.access(root, os.W_OK)), None)


def open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# What handoffd has beyond server and alt_server.
FULL = frozenset(("--console", "--daemon", "--data", "--log", "--pid-file",
                  "--service", "--systemd"))


def command(program, *options):
    """How a command line of an example begins: with handoffd, as one of them,
    where an option asks for more than server and alt_server have."""
    if program in ("server", "alt_server") and FULL.intersection(options):
        how = ["--standby"] if program == "alt_server" else []
        return [os.path.join(BIN, "handoffd"), *how]
    return [program if "/" in program else os.path.join(BIN, program)]


# What each line of a server's or client's log begins with.
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d ")


def unstamped(line):
    return STAMP.sub("", line, count=1) if STAMP.match(line) else line


class Program:
    """A started program, its lines as they come, without the time at their
    beginning, and its end."""

    def __init__(self, argv, limit=None, user=None, stdin=None,
                 pass_fds=()):
        self.argv = argv
        # Whatever ends the test, ends what it started.
        argv = ["setpriv", "--pdeathsig", "KILL"] + argv
        if limit:
            argv = ["prlimit", f"--nofile={limit}:{limit}"] + argv
        self.lines = []
        self.errors = []
        self.stamped = 0
        self.cursor = self.error_cursor = 0
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, user=user, pass_fds=pass_fds)
        self.pid = self.process.pid
        self.readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines),
                         (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()

    def _read(self, pipe, lines):
        for raw in pipe:
            with self.news:
                text = raw.decode(errors="replace").rstrip("\n")
                lines.append(unstamped(text))
                self.stamped += lines[-1] is not text
                self.news.notify_all()
        pipe.close()
        with self.news:
            self.news.notify_all()

    def output(self):
        return "\n".join(self.lines + self.errors)

    def exe(self):
        return os.readlink(f"/proc/{self.pid}/exe")

    def _await(self, lines, cursor, pattern, deadline):
        end = time.monotonic() + (deadline or DEADLINE)
        reader = self.readers[lines is self.errors]
        with self.news:
            while True:
                while cursor < len(lines):
                    match = re.search(pattern, lines[cursor])
                    cursor += 1
                    if match:
                        return match, cursor
                left = end - time.monotonic()
                if left <= 0 or not reader.is_alive():
                    raise AssertionError(
                        f"{self.argv[0]}: no line with '{pattern}', only:\n"
                        + self.output())
                self.news.wait(min(left, 0.5))

    def expect(self, pattern, deadline=None):
        """Waits for a line that is new since the last expect and matches;
        returns the match."""
        match, self.cursor = self._await(
            self.lines, self.cursor, pattern, deadline)
        return match

    def expect_error(self, pattern, deadline=None):
        """The same on standard error."""
        match, self.error_cursor = self._await(
            self.errors, self.error_cursor, pattern, deadline)
        return match

    def signal(self, number):
        if number == signal.SIGSTOP and self.process.poll() is None:
            halt(self.pid)
        else:
            self.process.send_signal(number)

    def wait(self, deadline=None):
        """Waits for the end; returns the exit code."""
        try:
            code = self.process.wait(deadline or DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv} does not end:\n"
                                 + self.output()) from None
        for reader in self.readers:
            reader.join(DEADLINE)
        return code

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdin:
            self.process.stdin.close()
        self.wait()


class Load(Program):
    """The foreign load generator."""

    def __init__(self, address, *options):
        super().__init__([os.path.join(TOOLS, "loadgen"), "--connect", address]
                         + [str(option) for option in options])

    def ready(self):
        self.expect("^ready$", 60 * SCALE)
        return self

    def result(self):
        """Waits for the end and returns the counts."""
        code = self.wait(60 * SCALE)
        counts = json.loads(self.lines[-1])
        counts["clean"] = code == 0
        return counts

    def finish(self):
        """Ends it in order. What still stands after some seconds is looked at
        before the load generator gives it up."""
        self.signal(signal.SIGTERM)
        stood = None
        try:
            self.process.wait(LONG_END)
        except subprocess.TimeoutExpired:
            stood = standing()
        counts = self.result()
        if stood and not counts["clean"]:
            counts["stood"] = stood
        return counts


class SystemTest(unittest.TestCase):
    queues = None
    longMessage = True

    @classmethod
    def setUpClass(cls):
        if SystemTest.queues is None:
            SystemTest.queues = private_queues() or ""

    def setUp(self):
        self.base = tempfile.mkdtemp(prefix="handoff-")
        self.dir = os.path.join(self.base, "echo")
        self.programs = []
        self.sockets = []
        self.addCleanup(self._clean_up)

    def _clean_up(self):
        for sock in self.sockets:
            sock.close()
        if COUNTS:
            end_well(lambda: [program.pid for program in self.programs
                              if program.process.poll() is None], 1)
        for program in self.programs:
            program.kill()
        shutil.rmtree(self.base, ignore_errors=True)
        for program in self.programs:
            text = program.output()
            self.assertNotRegex(text, "Sanitizer|runtime error")
            self.assertIn(-program.process.returncode,
                          (0, -1, -2, signal.SIGKILL, signal.SIGTERM), text)
        with self.assertRaises(ChildProcessError, msg="a process is left"):
            os.waitpid(-1, os.WNOHANG)
        if self.queues:
            left = os.listdir(self.queues)
            for name in left:
                os.unlink(os.path.join(self.queues, name))
            self.assertEqual(left, [], "message queues are left")

    # Programs

    def start(self, program, *options, **how):
        started = Program(command(program, *options)
                          + [str(o) for o in options], **how)
        self.programs.append(started)
        return started

    def server(self, *options, listen=("127.0.0.1:0",), **how):
        """Starts a server and waits until it serves; the addresses that it
        bound are in its attribute `addresses`."""
        more = [text for each in listen for text in ("--listen", each)]
        server = self.start("server", "--dir", self.dir, *more, *options,
                            **how)
        server.addresses = [
            server.expect(r": listening on (\S+)")[1] for _ in listen]
        server.expect(": owner: ")
        server.address = server.addresses[0]
        return server

    def standby(self, *options, program="alt_server", **how):
        standby = self.start(program, "--dir", self.dir, *options, **how)
        standby.expect(": standby: ")
        return standby

    def pair(self, *options, **how):
        return self.server(*options, **how), self.standby(*options)

    def sleepers(self, sleep_ms, give_timeout_ms):
        """A pair whose handlers sleep when a client says so, and the address
        of the owner."""
        program = os.path.join(TOOLS, "other_service")
        options = ("--dir", self.dir, "--model", "thread", "--sleep-ms",
                   sleep_ms, "--give-timeout-ms", give_timeout_ms)
        server = self.start(program, "--name", "server", "--listen",
                            "127.0.0.1:0", *options)
        address = server.expect(r": listening on (\S+)")[1]
        alt = self.start(program, "--name", "alt", *options)
        alt.expect(": standby: ")
        return server, alt, address

    def load(self, address, *options):
        load = Load(address, *options)
        self.programs.append(load)
        return load

    # Control

    def ctl(self, *words):
        """Runs handoffctl; returns its exit code, output and errors."""
        done = subprocess.run(
            [os.path.join(BIN, "handoffctl"), "--dir", self.dir, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60 * SCALE, check=False)
        self.assertNotRegex(done.stderr, "Sanitizer|runtime error")
        return done.returncode, done.stdout, done.stderr

    def ok(self, *words):
        # A tool looks 2 s for who is to be asked: too short on a busy machine.
        # Nobody has been asked by then. A status asks for nothing.
        late = ["no answer within 2 s"]
        if words[0] == "status":
            late.append("not every peer has answered")
        end = time.monotonic() + DEADLINE
        while True:
            code, out, err = self.ctl(*words)
            if not any(text in err for text in late) or \
                    time.monotonic() > end:
                break
        self.assertEqual((code, err), (0, ""), words)
        return out

    def refused(self, *words):
        """The command must be refused with one clear line; returns it."""
        code, out, err = self.ctl(*words)
        self.assertEqual((code, out), (1, ""), f"{words}: {err}")
        self.assert_one_line(err)
        return err

    def assert_one_line(self, text):
        self.assertRegex(text, r"\A[a-z_]+: [^\n]{8,}\n?\Z")

    def ask(self, slot, line, deadline=None):
        """One command straight to a peer's control socket, without a tool."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(deadline or DEADLINE)
            sock.connect(os.path.join(self.dir, f"control.{slot}"))
            sock.sendall(line.encode() + b"\n")
            reply = b""
            while chunk := sock.recv(65536):
                reply += chunk
        return reply.decode()

    def status(self):
        return json.loads(self.ok("status", "--json"))

    def peer(self, name):
        for peer in self.status()["peers"]:
            if peer["name"] == name:
                return peer
        return None

    def wait_peer(self, name, **wanted):
        """Waits until the status of the peer has these values."""
        seen = [None]

        def there():
            seen[0] = peer = self.peer(name)
            return peer and all(peer[k] == v for k, v in wanted.items())
        try:
            wait_until(there, f"{name} to have {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}, it has {seen[0]}") from None

    # Plain clients

    def need_descriptors(self, count):
        """Of this program, and of each that it starts."""
        if HARD < count:
            self.skipTest(f"needs {count} descriptors, the hard limit "
                          f"(ulimit -Hn) is {HARD}")

    def connect(self, address):
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            self.sockets.append(sock)
            sock.settimeout(DEADLINE)
            sock.connect(address[5:])
            return sock
        host, port = address.rsplit(":", 1)
        sock = socket.create_connection((host.strip("[]"), int(port)),
                                        timeout=DEADLINE)
        self.sockets.append(sock)
        return sock

    def assert_echo(self, sock, data=b"hello\n"):
        sock.sendall(data)
        self.assertEqual(self.receive(sock, len(data)), data)

    def receive(self, sock, size):
        """Exactly that many bytes, or what came before the end."""
        got = bytearray()
        while len(got) < size:
            chunk = sock.recv(min(size - len(got), 1 << 16))
            if not chunk:
                break
            got += chunk
        return bytes(got)

    def assert_clean(self, counts):
        stood = counts.pop("stood", None)
        if not counts["clean"]:
            self.fail("\n".join(
                [str(counts), "--- while it stood:" if stood else "", stood or
                 ""] + [f"--- {program.argv}\n{program.output()}"
                        for program in self.programs]))
        self.assertGreater(counts["echoed"], 0)


def main():
    # A signal ends the test as an exception, so that all is cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main(verbosity=2)
