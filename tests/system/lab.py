# SPDX-License-Identifier: MIT
"""Runs a lab guide, docs/lab.md, as a student would. Its form:

Each box (a block indented by four spaces) is a session. A line is one of
    $ COMMAND            given to the shell of the terminal
    > TEXT               typed into the program that runs there
    ^C or ^D             that key; what runs there must end by it
    # terminal N         also after any other line: where it is, and where all
                         that follows is, until the next mark
    anything else        must come as a line of output, in this order; `...` is
                         anything, NUMBER a number; the time at the beginning
                         of a line of a log is left out
A command must end (with status 0, if nothing of its output is shown) or show
something before the guide goes on; a program must have ended before the next
command in its terminal, and all of them by the end. Files are below /tmp and
ports are 7000 to 7999: both are changed to the test's own. What builds is
checked and not run, see Lab.BUILDS. Commands stand nowhere but in boxes.
"""
import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import termios
import threading
import time

from harness import BIN, DEADLINE, unstamped, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PR_SET_CHILD_SUBREAPER = 36
MARK = re.compile(r"(^|\s+)#\s*terminal (\d+)\s*$")
KEYS = {"^C": b"\x03", "^D": b"\x04"}
# In the text, what looks like a command to be run.
STRAY = re.compile(r"(\$ |\./\S+ |(kill|ls|ps|ss|cat|echo|cmake|handoffctl) -)")


class Rotten(AssertionError):
    """The guide is not what happens."""


class Step:
    def __init__(self, number, terminal, line):
        self.number, self.terminal = number, terminal
        self.kind, self.text = "see", line
        if line in KEYS:
            self.kind = "key"
        elif line[:2] in ("$ ", "> "):
            self.kind = {"$": "command", ">": "text"}[line[0]]
            self.text = line[2:]

    def types(self):
        return self.kind != "see"

    def pattern(self):
        text = re.escape(" ".join(self.text.split()))
        for word, meaning in ((r"\.\.\.", ".*"), (r"\ ", r"\s+"),
                              ("NUMBER", r"\d+")):
            text = text.replace(word, meaning)
        return re.compile(rf"\s*{text}\s*")


def parse(text):
    """The steps of all boxes of a guide."""
    steps, terminal, fenced, box, blank = [], 1, False, False, True
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        # A box begins after a blank line, else it is an indented paragraph.
        box = line.startswith("    ") and not fenced and (box or blank)
        blank = not line.strip()
        if not box or blank:
            for code in [line] if fenced else re.findall("`([^`]+)`", line):
                if STRAY.match(code):
                    raise Rotten(f"line {number}: a command that is in no "
                                 f"box and so is not run: {code}")
            continue
        line = line.strip()
        if mark := MARK.search(line):
            terminal = int(mark[2])
            line = line[:mark.start()].rstrip()
        if line and line != "...":
            steps.append(Step(number, terminal, line))
    return steps


class Terminal:
    """A bash with a terminal of its own. It echoes nothing, so that what is
    typed is not taken for output."""

    def __init__(self, folder):
        self.master, slave = os.openpty()
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.OPOST
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        termios.tcsetwinsize(slave, (50, 200))
        self.prompt = f"at-the-prompt-{os.urandom(8).hex()}"
        self.shell = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "setsid", "--ctty", "bash",
             "--norc", "--noprofile", "--noediting", "-i"],
            stdin=slave, stdout=slave, stderr=slave, cwd=folder,
            env=os.environ | {"PS1": f"{self.prompt}$?\n", "PS2": "",
                              "HISTFILE": "", "TERM": "dumb", "LC_ALL": "C"})
        os.close(slave)
        self.lines, self.cursor = [], 0
        self.statuses, self.commands = [], 0
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.idle()

    def _read(self):
        with open(self.master, "rb", buffering=0, closefd=False) as output:
            rest = b""
            while True:
                try:
                    rest += output.read(65536)
                except OSError:  # nobody has it open any more
                    return
                *lines, rest = rest.split(b"\n")
                with self.news:
                    for line in lines:
                        self._take(line.decode(errors="replace"))
                    self.news.notify_all()

    def _take(self, line):
        # What a program has erased is not there any more; and the prompt
        # follows a last line without a newline at once.
        line = re.sub(r".*\r\x1b\[K", "", line)
        text, prompt, status = line.partition(self.prompt)
        if prompt:
            self.statuses.append(int(status))
        if text.rstrip("\r") or not prompt:
            self.lines.append(unstamped(text.rstrip("\r")))

    def _until(self, condition, what):
        with self.news:
            if not self.news.wait_for(condition, DEADLINE):
                raise Rotten(f"{what}; the last lines there are:\n" + "\n".join(
                    self.lines[-20:]))

    def is_idle(self):
        return len(self.statuses) > self.commands

    def idle(self):
        """Waits for the prompt; returns the status of the last command."""
        self._until(self.is_idle, "a program still runs there")
        return self.statuses[-1]

    def find(self, pattern):
        for at in range(self.cursor, len(self.lines)):
            if pattern.fullmatch(self.lines[at]):
                return at + 1
        return 0

    def see(self, pattern):
        self._until(lambda: self.find(pattern), "that is not seen")
        self.cursor = self.find(pattern)

    def settle(self, pattern):
        """A command has ended, or shows what it has to show."""
        self._until(lambda: self.is_idle() or pattern and self.find(pattern),
                    "that does not end" + (
                        " nor shows what comes next" if pattern else
                        ", and the guide shows nothing of it"))
        if self.is_idle() and self.statuses[-1] != 0 and not pattern:
            raise Rotten(f"that fails with status {self.statuses[-1]}:\n"
                         + "\n".join(self.lines[-20:]))

    def command(self, text):
        self.idle()
        with self.news:
            self.commands += 1
        self.type(text.encode() + b"\n")

    def type(self, keys):
        with self.news:
            self.cursor = len(self.lines)
        os.write(self.master, keys)

    def close(self):
        """After the end of all that runs in it."""
        self.reader.join(DEADLINE)
        os.close(self.master)


def descendants(pid):
    """All processes that were started by this one, and by those."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    found, todo = [], [pid]
    while todo:
        todo += (new := children.get(todo.pop(), []))
        found += new
    return found


class Lab:
    """Everything that a guide needs, below the folder `base`."""

    # Building takes long, and was done: that the words are right is checked.
    BUILDS = {
        r"cmake/deps\.sh (\w+)": "script_knows",
        r"cmake --preset (\w+)": "configure_preset",
        r"cmake --build --preset (\w+)": "build_preset",
        r"cd build/(\w+)/(\w+)": "build_folder",
    }

    def __init__(self, guide, base):
        self.base, self.folder = base, ROOT
        self.terminals = {}
        self.ports, self.held = {}, []
        with open(os.path.join(ROOT, "CMakePresets.json"),
                  encoding="utf-8") as file:
            self.presets = json.load(file)
        # Daemons leave their terminal; they come back as our own children.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for port in sorted(set(re.findall(r":(7\d{3})\b", guide))):
            self.ports[port] = self._reserve()
        self.steps = parse(guide)
        for step in self.steps:
            step.text = self._own(step.text)

    def _reserve(self):
        """A port that nobody else is given. Bound and not listening it does
        not stand in the way of a listener, as both have SO_REUSEADDR."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        self.held.append(sock)
        return str(sock.getsockname()[1])

    def _own(self, text):
        text = text.replace("/tmp/", self.base + "/")
        return re.sub(r"\b7\d{3}\b",
                      lambda m: self.ports.get(m[0], m[0]), text)

    def terminal(self, number):
        if number not in self.terminals:
            self.terminals[number] = Terminal(self.folder)
        return self.terminals[number]

    def run(self):
        """Follows the guide to its end; returns how many lines it typed."""
        for at, step in enumerate(self.steps):
            try:
                self._step(at, step)
            except Rotten as rotten:
                raise Rotten(f"line {step.number}, terminal {step.terminal}, "
                             f"'{step.text}': {rotten}") from None
        self._leaves_nothing()
        return sum(step.types() for step in self.steps)

    def _leaves_nothing(self):
        for number, terminal in self.terminals.items():
            try:
                terminal.idle()
            except Rotten as rotten:
                raise Rotten(f"at the end of the guide, terminal {number}: "
                             f"{rotten}") from None
        try:
            wait_until(lambda: not self.processes(), "", DEADLINE)
        except AssertionError:
            raise Rotten("at the end of the guide there still runs: " + ", ".
                         join(map(command_line, self.processes()))) from None

    def _step(self, at, step):
        terminal = self.terminal(step.terminal)
        if step.kind == "see":
            terminal.see(step.pattern())
        elif step.kind == "command":
            terminal.command(self._built(step.text))
            following = self._next_here(at)
            if not following or following.kind != "text":
                terminal.settle(following and not following.types()
                                and following.pattern())
        elif terminal.is_idle():
            raise Rotten("no program runs there")
        elif step.kind == "text":
            terminal.type(step.text.encode() + b"\n")
        else:
            terminal.type(KEYS[step.text])
            terminal.idle()

    def _next_here(self, at):
        """The next step in the same terminal."""
        return next((step for step in self.steps[at + 1:]
                     if step.terminal == self.steps[at].terminal), None)

    # Building

    def _built(self, command):
        """The command to be run in place of this one."""
        for form, check in self.BUILDS.items():
            if match := re.fullmatch(form, command):
                return getattr(self, check)(*match.groups())
        return command

    def script_knows(self, word):
        path = os.path.join(ROOT, "cmake", "deps.sh")
        with open(path, encoding="utf-8") as file:
            if not re.search(rf"^{word}\) ", file.read(), re.MULTILINE):
                raise Rotten(f"{path} does not know {word}")
        return f"bash -n {shlex.quote(path)}"

    def configure_preset(self, name):
        return self._preset("configurePresets", name)

    def build_preset(self, name):
        return self._preset("buildPresets", name)

    def _preset(self, kind, name):
        if name not in (p["name"] for p in self.presets[kind]):
            raise Rotten(f"CMakePresets.json has no such preset: {name}")
        return "true"

    def build_folder(self, preset, folder):
        """The same folder of the build that is tested."""
        self.configure_preset(preset)
        base = next(p for p in self.presets["configurePresets"]
                    if p["name"] == "base")
        if base["binaryDir"] != "${sourceDir}/build/${presetName}":
            raise Rotten("that is not where the presets build")
        self.folder = os.path.join(os.path.dirname(BIN), folder)
        return f"cd {shlex.quote(self.folder)}"

    # The end

    def processes(self):
        """What the guide has started and not ended; not the shells."""
        shells = [t.shell.pid for t in self.terminals.values()]
        for pid in (found := descendants(os.getpid())):
            self._reap(pid, shells)
        return [pid for pid in found if pid not in shells
                and os.path.exists(f"/proc/{pid}")]

    def _reap(self, pid, shells):
        if pid not in shells:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # a child of another
                pass

    def close(self):
        """Ends all that was started, whatever it is, and by its pid."""
        for sock in self.held:
            sock.close()
        for pid in self.processes():
            send(pid, signal.SIGTERM)
            send(pid, signal.SIGCONT)
        try:
            wait_until(lambda: not self.processes(), "", DEADLINE / 4)
        except AssertionError:
            pass

        def ended():
            for pid in (left := descendants(os.getpid())):
                send(pid, signal.SIGKILL)
            for terminal in self.terminals.values():
                terminal.shell.poll()
            self.processes()
            return not left
        wait_until(ended, "the processes of the guide to end")
        for terminal in self.terminals.values():
            terminal.close()
        self.terminals = {}


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode().strip()
    except OSError:
        return f"pid {pid}"
