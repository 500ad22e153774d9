# SPDX-License-Identifier: MIT
"""The servers in the background: what they are detached from, when and with
what their starter ends, their log and pid file, and handoffs between them."""
import ctypes
import os
import pty
import shutil
import signal
import socket

from harness import BIN, STAMP, SystemTest, command, main, wait_until

PR_SET_CHILD_SUBREAPER = 36


def text_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def stat_of(pid):
    """Fields 3 to 8 of /proc/PID/stat: state, parent, group, session and
    terminal (proc(5))."""
    return text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()[:6]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class DaemonTest(SystemTest):
    """Daemons become children of the test when their starter has ended, so
    that it sees them end."""

    def setUp(self):
        super().setUp()
        libc = ctypes.CDLL(None)
        self.assertEqual(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0)
        self.daemons = []
        self.addCleanup(self._end_daemons)

    def _end_daemons(self):
        for pid in self.daemons:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.daemons.clear()
        # Children of a daemon that was killed are orphans that die.
        wait_until(lambda: all(os.waitpid(pid, os.WNOHANG)[0]
                               for pid in self.orphans()), "no orphan")

    def path(self, name):
        return os.path.join(self.base, name)

    def pid_in(self, path):
        self.assertRegex(text_of(path), r"\A\d+\n\Z")
        return int(text_of(path))

    def begin(self, program, *options, where=None, under=()):
        """Starts a program with --daemon, under another program if need be;
        returns its starter, ended."""
        words = [*command(program, "--daemon"), "--dir", where or self.dir,
                 "--daemon", *options]
        if program == "server" and "--listen" not in options:
            words += ["--listen", "127.0.0.1:0"]
        starter = self.start(*under, *words)
        starter.wait()
        return starter

    def daemon(self, program="server", *options, **how):
        """A daemon that serves; its pid."""
        starter = self.begin(program, *options, **how)
        self.assertEqual((starter.wait(), starter.output()), (0, ""))
        name = "server" if program == "server" else "alt"
        pid = self.pid_in(os.path.join(self.dir, name + ".pid"))
        self.daemons.append(pid)
        return pid

    def fails(self, program, *options, code=1, **how):
        """Must not start, and leave nothing; the one line that it says."""
        starter = self.begin(program, *options, **how)
        self.assertEqual(starter.wait(), code, starter.output())
        self.assertEqual(starter.lines, [])
        self.assertEqual(len(starter.errors), 1, starter.output())
        self.assert_one_line(starter.errors[0])
        self.no_other_daemon()
        return starter.errors[0]

    def orphans(self):
        """Children of the test that nobody here knows of."""
        children = set()
        for task in os.listdir("/proc/self/task"):
            path = f"/proc/self/task/{task}/children"
            children |= {int(pid) for pid in text_of(path).split()}
        known = {program.pid for program in self.programs}
        return children - known - set(self.daemons)

    def no_other_daemon(self):
        self.assertEqual(self.orphans(), set())

    def ended(self, pid, status=0):
        """Waits for the end of a daemon, which must have that status."""
        result = [0, 0]

        def gone():
            result[:] = os.waitpid(pid, os.WNOHANG)
            return result[0]
        wait_until(gone, "the end of a daemon")
        self.daemons.remove(pid)
        self.assertEqual(result[1], status)

    def address(self):
        return self.status()["peers"][0]["listeners"][0]

    def wait_text(self, path, words):
        wait_until(lambda: words in text_of(path), f"{words} in {path}")


class Life(DaemonTest):
    def setUp(self):
        super().setUp()
        self.here = {"where": "echo", "under": (
            shutil.which("env"), f"--chdir={self.base}")}

    def life(self, *options):
        log = self.path("log")
        pid = self.daemon("server", "--log", log, *options)
        self.assertEqual(self.peer("server")["pid"], pid)
        client = self.connect(self.address())
        self.assert_echo(client)
        _, parent, _, session, terminal = stat_of(pid)[:5]
        self.assertEqual(int(parent), os.getpid())
        self.assertNotIn(int(session), (os.getsid(0), pid))
        self.assertEqual(terminal, "0")
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertIn("Umask:\t0027\n", text_of(f"/proc/{pid}/status"))
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
        self.assertEqual(links, ["/dev/null", log, log])
        self.assertEqual(os.stat(log).st_mode & 0o7777, 0o640)
        self.wait_text(log, "server: owner: serves echo")
        self.ok("stop", "server")
        # It has ended when stop returns.
        self.assertEqual(os.waitpid(pid, os.WNOHANG), (pid, 0))
        self.daemons.remove(pid)
        self.no_other_daemon()
        self.assertEqual(client.recv(1), b"")
        self.assertEqual(
            [name for name in os.listdir(self.dir)
             if name.endswith((".pid", ".1", ".2")) and "peer" not in name],
            [])
        self.assertRegex(
            text_of(log), r"server: stopped(: \d+ connections? (was|were) "
            r"closed)?\n\Z")

    def test_life_loop(self):
        self.life("--model", "loop")

    def test_life_workers(self):
        self.life("--workers", "3")

    def test_life_thread(self):
        self.life("--model", "thread")

    def test_life_fork(self):
        self.life("--model", "fork")

    def test_life_iterative(self):
        self.life("--model", "iterative")

    def test_it_serves_when_its_starter_ends(self):
        for _ in range(5):
            address = f"127.0.0.1:{free_port()}"
            pid = self.daemon("server", "--listen", address)
            self.assert_echo(self.connect(address))
            os.kill(pid, signal.SIGTERM)
            self.ended(pid)

    def test_without_a_log(self):
        pid = self.daemon()
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
        self.assertEqual(links, ["/dev/null"] * 3)
        client = self.connect(self.address())
        os.kill(pid, signal.SIGHUP)
        self.assert_echo(client)
        self.assertEqual(self.peer("server")["pid"], pid)

    def test_alternate_alone(self):
        """It serves in its way: it waits for an owner."""
        log = self.path("log")
        pid = self.daemon("alt_server", "--log", log)
        self.wait_text(log, "alt: waiting: no owner is in")
        os.kill(pid, signal.SIGTERM)
        self.ended(pid)
        self.assertEqual(os.path.exists(self.dir + "/alt.pid"), False)

    def test_relative_paths(self):
        """All of them are still right when the directory is /."""
        how = self.here
        pid = self.daemon("server", "--log", "log", "--listen", "unix:sock",
                          **how)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual(self.address(), "unix:" + self.path("sock"))
        self.assert_echo(self.connect(self.address()))
        standby = self.daemon("alt_server", "--log", "alt.log", **how)
        os.rename(self.path("log"), self.path("log.1"))
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: os.path.exists(self.path("log")), "a new log")
        # The other one ends the service and removes what this one bound.
        self.ok("stop", "server")
        self.ended(pid)
        self.assert_echo(self.connect("unix:" + self.path("sock")))
        self.ok("stop", "alt")
        self.ended(standby)
        self.assertEqual(
            sorted(os.listdir(self.base)),
            ["alt.log", "echo", "log", "log.1"])
        self.assertEqual(sorted(os.listdir(self.dir)),
                         ["lock", "notice", "peer.1", "peer.2"])

    def test_relative_data_and_console(self):
        data = self.path("courses.txt")
        with open(data, "w", encoding="utf-8") as file:
            file.write("anna monday 09:30 algebra r101\n")
        self.daemon("server", "--service", "schedule", "--data", "courses.txt",
                    "--console", "pipe", **self.here)
        client = self.connect(self.address())
        client.sendall(b"LOGIN anna\nADD monday 10:30 physics r2\n")
        self.assertEqual(self.receive(client, 10), b"OK 0\nOK 0\n")
        self.assertIn("anna monday 10:30 physics r2\n", text_of(data))
        with open(self.path("pipe"), "w", encoding="utf-8") as pipe:
            pipe.write("closing soon\n")
        self.assertEqual(self.receive(client, 13), b"closing soon\n")
        with open(data, "a", encoding="utf-8") as file:
            file.write("bert someday 09:30 algebra r101\n")
        self.assertIn("courses.txt: line 3", self.fails(
            "server", "--name", "other", "--service", "schedule", "--data",
            "courses.txt", **self.here))
        self.assertIn("pipe", self.fails(
            "server", "--name", "other", "--console", "no/pipe",
            where=self.path("second")))

    def test_end_of_its_terminal(self):
        """Started on a terminal, it lets go of it and outlives it."""
        child, terminal = pty.fork()
        if child == 0:
            os.execv(os.path.join(BIN, "handoffd"),
                     ["handoffd", "--dir", self.dir, "--listen", "127.0.0.1:0",
                      "--daemon"])
        self.assertEqual(os.waitpid(child, 0), (child, 0))
        pid = self.pid_in(self.dir + "/server.pid")
        self.daemons.append(pid)
        self.assertEqual(stat_of(pid)[4], "0")
        os.close(terminal)
        self.assert_echo(self.connect(self.address()))


class Refusals(DaemonTest):
    def test_started_twice(self):
        pid = self.daemon()
        client = self.connect(self.address())
        for program, options in (
                ("server", ()),
                ("alt_server", ("--name", "server")),
                ("server", ("--name", "other", "--pid-file",
                            self.dir + "/server.pid"))):
            line = self.fails(program, *options)
            self.assertIn(self.dir + "/server.pid", line)
            self.assertIn(f"already held by process {pid}, which is running", line)
        self.assert_echo(client)
        self.assertEqual(len(self.status()["peers"]), 1)
        self.ok("stop", "server")
        self.ended(pid)
        self.daemon()

    def test_started_at_once(self):
        """Of many exactly one serves, and the others name it."""
        many = [self.start("server", "--dir", self.dir, "--daemon",
                           "--listen", "127.0.0.1:0") for _ in range(6)]
        codes = sorted(starter.wait() for starter in many)
        pid = self.pid_in(self.dir + "/server.pid")
        self.daemons.append(pid)
        self.assertEqual(codes, [0] + [1] * 5)
        for starter in many:
            if starter.wait() == 1:
                self.assertEqual(len(starter.errors), 1)
                self.assertIn(f"held by process {pid}", starter.errors[0])
        self.no_other_daemon()
        self.assertEqual(self.peer("server")["pid"], pid)

    def test_third_peer(self):
        self.daemon()
        self.daemon("alt_server")
        line = self.fails("server", "--name", "third")
        self.assertIn("two peers already", line)
        self.assertFalse(os.path.exists(self.dir + "/third.pid"))

    def test_port_in_use(self):
        log = self.path("log")
        with socket.create_server(("127.0.0.1", 0)) as sock:
            address = f"127.0.0.1:{sock.getsockname()[1]}"
            line = self.fails("server", "--listen", address, "--log", log)
        self.assertEqual(line, f"handoffd: address '{address}': cannot listen: "
                         "Address already in use")
        # Who reads the log finds it too.
        self.assertIn(line, text_of(log))
        self.assertFalse(os.path.exists(self.dir + "/server.pid"))
        self.daemon("server", "--listen", address)

    def without_permission(self):
        """Nothing can be made in the test's folder, by root neither."""
        os.chmod(self.base, 0o555)
        self.addCleanup(os.chmod, self.base, 0o700)
        if os.geteuid() != 0:
            return ()
        return (shutil.which("setpriv"), "--bounding-set",
                "-dac_override,-dac_read_search")

    def test_no_permission(self):
        under = self.without_permission()
        line = self.fails("server", under=under)
        self.assertEqual(line, f"handoffd: service directory {self.dir}: "
                         "cannot create it: Permission denied")
        line = self.fails("alt_server", under=under)
        self.assertIn("cannot create it: Permission denied", line)

    def test_no_permission_for_files(self):
        os.mkdir(self.dir, 0o700)
        under = self.without_permission()
        log, pid_file = self.path("log"), self.path("pid")
        line = self.fails("server", "--log", log, under=under)
        self.assertEqual(line, f"handoffd: log file {log}: cannot open it: "
                         "Permission denied")
        self.assertFalse(os.path.exists(self.dir + "/server.pid"))
        line = self.fails("server", "--pid-file", pid_file, under=under)
        self.assertEqual(line, f"handoffd: pid file {pid_file}: cannot open "
                         "it: Permission denied")
        self.daemon("server", under=under)

    def test_paths_that_cannot_be(self):
        for options in (("--log", "/proc/log"), ("--pid-file", "/proc/pid"),
                        ("--log", self.base), ("--pid-file", self.base),
                        ("--pid-file", "/dev/null")):
            self.assertIn(options[1], self.fails("server", *options))
        self.assertIn("/proc/x", self.fails("server", where="/proc/x"))

    def test_another_file_as_pid_file(self):
        path = self.path("precious")
        with open(path, "w", encoding="utf-8") as file:
            file.write("all my notes\n")
        self.assertIn(path, self.fails("server", "--pid-file", path))
        self.assertEqual(text_of(path), "all my notes\n")

    def test_bad_options(self):
        for options in (("--log",), ("--pid-file",), ("--log", ""),
                        ("--pid-file", ""), ("--daemon",), ("--daemons",),
                        ("--model", "none")):
            self.fails("server", *options, code=2)
        self.fails("alt_server", "--listen", "127.0.0.1:0", code=2)
        self.assertFalse(os.path.exists(self.dir))
        self.assertIn("'../x'",
                      self.fails("server", "--name", "../x", code=2))


class Stale(DaemonTest):
    def after_a_kill(self, *options):
        pid_file = self.dir + "/server.pid"
        for _ in range(3):
            pid = self.daemon("server", *options)
            self.assert_echo(self.connect(self.address()))
            os.kill(pid, signal.SIGKILL)
            self.ended(pid, signal.SIGKILL)
            self.assertEqual(self.pid_in(pid_file), pid)
        self.assertNotEqual(self.daemon("server", *options), pid)

    def test_after_a_kill(self):
        self.after_a_kill()

    def test_after_a_kill_with_children(self):
        self.after_a_kill("--model", "fork")

    def test_number_of_another_process(self):
        os.mkdir(self.dir, 0o700)
        with open(self.dir + "/server.pid", "w", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        pid = self.daemon()
        self.assertEqual(self.peer("server")["pid"], pid)

    def test_comes_back_after_a_failover(self):
        pid = self.daemon()
        self.daemon("alt_server")
        client = self.connect(self.address())
        self.assert_echo(client)
        os.kill(pid, signal.SIGKILL)
        self.ended(pid, signal.SIGKILL)
        self.wait_peer("alt", role="owner")
        self.assert_echo(client)
        new = self.daemon()
        self.wait_peer("server", role="standby", pid=new)
        self.ok("ready", "--silent")
        self.assert_echo(client)


class Logs(DaemonTest):
    def rotate(self, pid, log):
        """Moves the log away, as logrotate does; the echo goes on."""
        client = self.connect(self.address())
        self.assert_echo(client, b"first\n")
        self.wait_text(log, "first\n")
        os.rename(log, log + ".1")
        self.assert_echo(client, b"second\n")
        self.wait_text(log + ".1", "second\n")
        self.assertFalse(os.path.exists(log))
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: os.path.exists(log), "a new log")
        wait_until(lambda: self.children_print_to(pid) <= {log},
                   "children open it too")
        self.assert_echo(client, b"third\n")
        self.wait_text(log, "third\n")
        self.assertNotIn("third", text_of(log + ".1"))
        self.assertNotIn("second", text_of(log))
        # It can't be opened: the one that is open is used on.
        os.rename(log, log + ".2")
        os.mkdir(log)
        os.kill(pid, signal.SIGHUP)
        self.wait_text(log + ".2", f"log file {log}: cannot open it: Is a "
                       "directory: still logging to this file\n")
        self.assert_echo(client, b"fourth\n")
        self.wait_text(log + ".2", "fourth\n")
        os.rmdir(log)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: os.path.exists(log), "a new log")

    def test_rotation(self):
        log = self.path("log")
        self.rotate(self.daemon("server", "--log", log, "--verbose"), log)

    def children_print_to(self, pid):
        children = text_of(f"/proc/{pid}/task/{pid}/children").split()
        return {os.readlink(f"/proc/{child}/fd/{fd}")
                for child in children for fd in (1, 2)}

    def test_rotation_fork(self):
        log = self.path("log")
        self.rotate(self.daemon("server", "--log", log, "--verbose",
                                "--model", "fork"), log)

    def test_rotation_thread(self):
        log = self.path("log")
        self.rotate(self.daemon("server", "--log", log, "--verbose",
                                "--model", "thread"), log)

    def test_rotation_in_the_foreground(self):
        log = self.path("log")
        server = self.start("server", "--dir", self.dir, "--listen",
                            "127.0.0.1:0", "--log", log, "--verbose")
        self.wait_text(log, "server: owner: ")
        self.rotate(server.pid, log)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(server.output(), "")
        self.assertIn("server: stopped: 1 connection was closed\n",
                      text_of(log))

    def test_appends(self):
        log = self.path("log")
        for count in range(1, 4):
            pid = self.daemon("server", "--log", log)
            os.kill(pid, signal.SIGTERM)
            self.ended(pid)
            self.assertEqual(text_of(log).count("server: stopped\n"), count)

    def test_failure_in_the_foreground_is_seen(self):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            address = f"127.0.0.1:{sock.getsockname()[1]}"
            server = self.start("server", "--dir", self.dir, "--listen",
                                address, "--log", self.path("log"))
            self.assertEqual(server.wait(), 1)
        self.assertEqual(len(server.errors), 1)
        self.assertIn("Address already in use", server.errors[0])
        server = self.start("server", "--dir", self.dir, "--listen",
                            "127.0.0.1:0", "--log", "/proc/log")
        self.assertEqual(server.wait(), 1)
        self.assertRegex(server.output(), r"\Ahandoffd: log file /proc/log: .*\Z")

    def test_hangup_in_the_foreground_without_log(self):
        server = self.server()
        server.signal(signal.SIGHUP)
        self.assertEqual(server.wait(), -signal.SIGHUP)
        self.programs.remove(server)  # which would be a failure elsewhere

    def test_pid_file_in_the_foreground(self):
        path = self.path("pid")
        server = self.server("--pid-file", path)
        self.assertEqual(self.pid_in(path), server.pid)
        second = self.start("server", "--dir", self.path("other"), "--listen",
                            "127.0.0.1:0", "--pid-file", path)
        self.assertEqual(second.wait(), 1)
        self.assertIn(f"held by process {server.pid}", second.output())
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))


class Handoffs(DaemonTest):
    def between_two(self, model):
        logs = self.path("server.log"), self.path("alt.log")
        server = self.daemon("server", "--model", model, "--log", logs[0])
        alt = self.daemon("alt_server", "--model", model, "--log", logs[1])
        address = self.address()
        load = self.load(address, "--connections", 100, "--churn", 50,
                         "--seconds", 600).ready()
        for _ in range(5):
            self.ok("maintenance")
            self.wait_peer("alt", role="owner")
            self.ok("ready", "--silent")
            self.wait_peer("server", role="owner")
        os.kill(server, signal.SIGUSR1)
        self.wait_peer("alt", role="owner")
        # Stopped and started again by the very same command.
        self.ok("stop", "server")
        self.ended(server)
        server = self.daemon("server", "--model", model, "--log", logs[0])
        self.ok("ready", "--silent")
        self.wait_peer("server", role="owner", listeners=[address])
        self.assert_clean(load.finish())
        self.ok("stop", "alt")
        self.ok("stop", "server")
        self.ended(alt)
        self.ended(server)
        self.no_other_daemon()
        self.assertEqual(sorted(os.listdir(self.dir)),
                         ["lock", "notice", "peer.1", "peer.2"])
        for log in logs:
            text = text_of(log)
            self.assertEqual(text.count(": gave: "), 6, text)
            for line in text.splitlines():
                self.assertRegex(line, STAMP)

    def test_loop(self):
        self.between_two("loop")

    def test_thread(self):
        self.between_two("thread")


if __name__ == "__main__":
    main()
