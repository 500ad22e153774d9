# SPDX-License-Identifier: MIT
"""A pair of real peers with clients, taken through one phase of its life in
which a call of one of them fails, and checked afterwards: one owner, every
byte exact, true answers, no process dead or hanging, and full recovery within
seconds."""
import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from fault import BIN, SCALE, TOOLS
from harness import Load, Program, command
from sites import Failat

FAILAT = os.environ.get("HANDOFF_FAILAT_SO", os.path.join(TOOLS, "libfailat.so"))
ENV = shutil.which("env")
WITHIN = 8 * SCALE  # seconds until the service is whole again
LENT = 2 * SCALE    # longer than what a server lends is away
SENTENCE = re.compile(r"^[a-z_]+: \S.{7,}$", re.M)
EMPTY = re.compile(r"^\w*: *$|: *: |\(null\)", re.M)

# Whose calls may fail in a phase; "server" is the owner at its beginning, but
# in failover, which it does not live to see.
PHASES = {
    "start": ("server",),
    "join": ("server", "alt"),
    "serve": ("server", "alt"),
    "give": ("server", "alt"),
    "ready": ("server", "alt"),
    "silent": ("server", "alt"),
    "failover": ("alt",),
    "dump": ("server", "alt"),
    "stop": ("server", "alt"),
    "leave": ("server", "alt"),
    "last": ("server",),
    "daemon": ("server",),
}

# The call that fails: the nth from this site, and times - 1 after it.
Plan = collections.namedtuple("Plan", "phase program site nth times error")


class Bad(Exception):
    """What must not be: a word for the table, and what was seen."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


def kinds(pid):
    """The descriptors of a process, counted by what they are."""
    folder = f"/proc/{pid}/fd"
    found = collections.Counter()
    for name in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, name))
        except FileNotFoundError:
            continue
        if int(name) > 2:
            found[re.sub(r":\[?\d+\]?$|^/.*/", "", target)] += 1
    return found


def zombies(pid):
    """Children that have ended and were not waited for."""
    found = []
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            try:
                with open(f"/proc/{child}/stat", encoding="ascii") as stat:
                    if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                        found.append(int(child))
            except FileNotFoundError:
                pass
    return found


class Pair:
    queues = None  # the folder of all message queues, where it is known

    def __init__(self, model, phase, plan=None, known=None):
        self.phase, self.plan, self.known = phase, plan, known
        self.model = model
        self.base = tempfile.mkdtemp(prefix="handoff-")
        self.dir = os.path.join(self.base, "echo")
        self.failat = {name: Failat(os.path.join(self.base, name + ".failat"))
                       for name in ("server", "alt")}
        self.programs = []
        self.sockets = []
        self.peers = {}
        self.address = "127.0.0.1:0"
        self.before = self.calls = self.load = self.client = None
        self.descriptors = {}
        self.refusal = ""
        self.files = {}

    def clean_up(self):
        for sock in self.sockets:
            sock.close()
        for program in self.programs:
            try:
                program.kill()
            except BrokenPipeError:
                pass  # what was still to be said to a client that has ended
        for pid in self.daemons():
            os.kill(pid, signal.SIGKILL)
        self.remove_queue()
        shutil.rmtree(self.base, ignore_errors=True)

    def remove_queue(self):
        """That of a client which was killed: the system has few."""
        if self.queues and self.client:
            for name in os.listdir(self.queues):
                if name.startswith(f"handoff-{self.client.pid}-"):
                    os.unlink(os.path.join(self.queues, name))

    # The failing call

    def begin(self, phase):
        if self.phase != phase:
            return
        if self.plan:
            self.failat[self.plan.program].arm(
                self.plan.site, *self.known[self.plan.program],
                self.plan.nth, self.plan.times, self.plan.error)
        else:
            self.before = {name: self.failat[name].calls()
                           for name in PHASES[phase]}

    def end(self, phase):
        if self.phase != phase or self.calls is not None:
            return
        for each in self.failat.values():
            each.disarm()
        self.calls = {}
        for name, before in (self.before or {}).items():
            after = self.failat[name].calls()
            self.calls[name] = {site: count - before.get(site, 0)
                                for site, count in after.items()
                                if count > before.get(site, 0)}

    def hit(self):
        return any(each.hits() for each in self.failat.values())

    # Programs

    def command(self, name, *options):
        program = {"server": "server", "alt": "alt_server"}[name]
        words = [f"LD_PRELOAD={FAILAT}",
                 "ASAN_OPTIONS=verify_asan_link_order=0",
                 f"HANDOFF_FAILAT_FILE={self.failat[name].path}"]
        how = (("--workers", "3") if self.model == "workers"
               else ("--model", self.model))
        listen = ("--listen", self.address) if name == "server" else ()
        return [ENV, *words, *command(program, *options), "--dir", self.dir,
                "--name", name, *how, *listen, *options]

    def launch(self, name):
        peer = Program(self.command(name))
        self.programs.append(peer)
        self.peers[name] = peer
        return peer

    def come(self, name, pattern):
        """Starts a peer and waits until it has its role; false if it refuses
        to start and says why."""
        peer = self.launch(name)
        end = time.monotonic() + WITHIN
        while time.monotonic() < end:
            if re.search(pattern, "\n".join(peer.lines)):
                return True
            if peer.process.poll() is not None:
                self.refused(peer, name)
                return False
            time.sleep(0.003)
        raise Bad("hang", f"{name} neither starts nor ends: {peer.output()}")

    def refused(self, peer, name):
        code = peer.wait()
        text = peer.output()
        if code < 0:
            raise Bad("crash", f"{name} died by {-code}: {text}")
        if code == 0:
            raise Bad("false yes", f"{name} ended with 0 at its start: {text}")
        if not SENTENCE.search("\n".join(peer.errors)):
            raise Bad("no sentence", f"{name} ended with {code}, saying "
                      f"'{'|'.join(peer.errors)}'")
        self.refusal = text

    def start(self, name, phase, pattern):
        """A peer that refused is started again, as an operator would: by then
        nothing fails any more."""
        self.begin(phase)
        if not self.come(name, pattern):
            if self.phase != phase or not self.hit():
                raise Bad("refused", f"{name}: {self.peers[name].output()}")
            for each in self.failat.values():
                each.disarm()
            if not self.come(name, pattern):
                raise Bad("refused", f"{name} is refused ever after: "
                          f"{self.peers[name].output()}")
        if phase == "start":
            self.address = re.search(r": listening on (\S+)",
                                     self.peers[name].output())[1]

    def stop(self, name):
        peer = self.peers[name]
        peer.signal(signal.SIGTERM)
        self.ended(name)

    def ended(self, name):
        peer = self.peers[name]
        try:
            code = peer.process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            raise Bad("hang", f"{name} does not end: {self.tails()}") from None
        peer.wait()
        if code < 0:
            raise Bad("crash", f"{name} died by {-code}: {self.tails()}")
        if code != 0 and not SENTENCE.search("\n".join(peer.errors)):
            raise Bad("no sentence", f"{name} ended with {code}, saying "
                      f"'{'|'.join(peer.errors)}'")

    def alive(self):
        for name, peer in self.peers.items():
            code = peer.process.poll()
            if code is not None:
                peer.wait()
                raise Bad("crash" if code < 0 else "ended",
                          f"{name} ended with {code}: {self.tails()}")

    def tails(self):
        return "; ".join(
            f"[{name}] " + " | ".join((peer.lines + peer.errors)[-4:])
            for name, peer in self.peers.items())

    def undefined(self):
        for program in self.programs:
            if re.search("Sanitizer|runtime error", program.output()):
                raise Bad("crash", program.output())

    # What is so

    def ask(self, slot, line):
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(2 * SCALE)
                sock.connect(os.path.join(self.dir, f"control.{slot}"))
                sock.sendall(line.encode() + b"\n")
                reply = b""
                while chunk := sock.recv(65536):
                    reply += chunk
        except OSError:
            return None
        try:
            return json.loads(reply.decode().split("\n", 1)[1])
        except (IndexError, ValueError):
            return None

    def status(self):
        replies = [self.ask(slot, "status json") for slot in (1, 2)]
        return {reply["name"]: reply for reply in replies if reply}

    @staticmethod
    def not_whole(found, lone):
        """Why the service is not whole, or an empty text."""
        roles = sorted(peer["role"] for peer in found.values())
        if roles.count("owner") > 1:
            return "two owners"
        if lone:
            return "" if roles == ["owner"] else "no owner"
        if roles != ["owner", "standby"]:
            return "roles " + ", ".join(
                f"{n} {p['role']}" for n, p in found.items())
        if any(peer["uncovered"] for peer in found.values()):
            return "uncovered " + ", ".join(
                f"{n} {p['uncovered']}" for n, p in found.items())
        if any(peer["partner"] != "ready" for peer in found.values()):
            return "partner " + ", ".join(
                f"{n} {p['partner']}" for n, p in found.items())
        if not any(peer["role"] == "owner" and peer["listeners"]
                   for peer in found.values()):
            return "the owner has no listener"
        return ""

    def whole(self, lone=False):
        """Waits until it is; returns the status."""
        end = time.monotonic() + WITHIN
        while True:
            self.alive()
            found = self.status()
            why = self.not_whole(found, lone)
            if not why:
                return found
            if time.monotonic() > end:
                raise Bad("not whole", f"{why}: {self.tails()}")
            time.sleep(0.01)

    def owner(self, found):
        return next(name for name, peer in found.items()
                    if peer["role"] == "owner")

    # Commands

    def ctl(self, *words):
        try:
            done = subprocess.run(
                [os.path.join(BIN, "handoffctl"), "--dir", self.dir, *words],
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=3 * WITHIN, check=False)
        except subprocess.TimeoutExpired:
            raise Bad("hang", f"handoffctl {' '.join(words)} does not end: "
                      f"{self.tails()}") from None
        if done.returncode < 0:
            raise Bad("crash", f"handoffctl died by {-done.returncode}")
        if done.returncode and not SENTENCE.search(done.stderr):
            raise Bad("no sentence", f"handoffctl {' '.join(words)} exits with "
                      f"{done.returncode}, saying '{done.stderr}'")
        return done

    def move(self, to, *words):
        """A command that hands over: if it says yes, it is so."""
        done = self.ctl(*words)
        if done.returncode == 0:
            found = self.whole()
            if self.owner(found) != to:
                raise Bad("false yes", f"{' '.join(words)} says "
                          f"'{done.stdout.strip()}', owner is "
                          f"{self.owner(found)}: {self.tails()}")
        return done

    def must_move(self, to, *words):
        """Nothing fails any more: it has to work, soon."""
        end = time.monotonic() + WITHIN
        while True:
            done = self.move(to, *words)
            if done.returncode == 0:
                return
            if self.owner(self.whole()) == to:
                return
            if time.monotonic() > end:
                raise Bad("refused", f"{' '.join(words)} ever after: "
                          f"{done.stderr.strip()}: {self.tails()}")
            time.sleep(0.1)

    def cycle(self):
        if self.owner(self.whole()) == "alt":
            self.must_move("server", "ready", "--silent")
        self.must_move("alt", "maintenance")
        self.must_move("server", "ready", "--silent")

    # Clients

    def told(self, word, since):
        """The client has been told of a handoff, since so many lines."""
        end = time.monotonic() + WITHIN
        while not any(word in line.lower()
                      for line in self.client.errors[since:]):
            if time.monotonic() > end:
                raise Bad("not told", f"the client hears no {word}: "
                          f"{self.client.errors}: {self.tails()}")
            time.sleep(0.005)

    def listener(self):
        """A client that is told of handoffs."""
        self.client = Program(
            [os.path.join(BIN, "client"), "--dir", self.dir, "--connect",
             self.address], stdin=subprocess.PIPE)
        self.programs.append(self.client)
        self.say("hello")

    def clients(self):
        self.load = Load(self.address, "--connections", 4, "--active", 2,
                         "--rate", 20000, "--chunk", 2000, "--seconds", 3600,
                         "--seed", 1)
        self.programs.append(self.load)
        self.listener()
        self.load.ready()

    def say(self, word):
        try:
            self.client.process.stdin.write(word.encode() + b"\n")
            self.client.process.stdin.flush()
        except BrokenPipeError:
            raise Bad("client", "the client has ended: "
                      f"{self.client.output()}") from None
        end = time.monotonic() + WITHIN
        while word not in self.client.lines:
            if time.monotonic() > end:
                raise Bad("client", f"no answer to the client's {word}: "
                          f"{self.client.output()}: {self.tails()}")
            time.sleep(0.005)

    def fresh(self, how=None):
        """A new client: is answered, and leaves in one of the ways."""
        host, port = self.address.rsplit(":", 1)
        data = os.urandom(3000)
        got = b""
        try:
            with socket.create_connection((host, int(port)), WITHIN) as sock:
                sock.settimeout(WITHIN)
                sock.sendall(data)
                if how == "half":
                    sock.shutdown(socket.SHUT_WR)
                while len(got) < len(data):
                    chunk = sock.recv(65536)
                    if not chunk:
                        break
                    got += chunk
                if how == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                    b"\1\0\0\0\0\0\0\0")
                elif how == "half" and sock.recv(1):
                    raise Bad("bytes", "more came than was sent")
        except OSError as error:
            raise Bad("client", f"a new client: {error}: {self.tails()}"
                      ) from None
        if got != data:
            raise Bad("client", f"a new client got {len(got)} of {len(data)} "
                      f"bytes: {self.tails()}")

    def clients_end(self):
        counts = self.load.finish()
        if not counts["clean"]:
            bad = {k: v for k, v in counts.items() if v and k in (
                "corrupt", "resets", "early_eof", "refused", "unfinished")}
            raise Bad("bytes", f"{bad or counts} {self.load.errors[:2]}: "
                      f"{self.tails()}")
        self.say("goodbye")
        self.client.process.stdin.close()
        self.client.wait(WITHIN)
        if self.client.lines != ["hello", "goodbye"]:
            raise Bad("bytes", f"the client printed {self.client.lines}")

    def held(self):
        return {name: kinds(peer.pid) for name, peer in self.peers.items()}

    def most(self):
        """What is held without a failure: the most of each kind, as a server
        lends some of its own for a second after each command."""
        end = time.monotonic() + LENT
        self.descriptors = self.held()
        while time.monotonic() < end:
            time.sleep(0.05)
            for name, found in self.held().items():
                self.descriptors[name] |= found

    def count(self):
        """No descriptors more than without the failure, and no zombies."""
        end = time.monotonic() + 3 * SCALE
        while True:
            self.descriptors = self.held()
            more = {name: dict(found - self.known["descriptors"][name])
                    for name, found in self.descriptors.items()}
            dead = {name: zombies(peer.pid)
                    for name, peer in self.peers.items()}
            if not any(more.values()) and not any(dead.values()):
                return
            if time.monotonic() > end:
                raise Bad("leak", f"descriptors more than without: {more}, "
                          f"children that are not waited for: {dead}")
            time.sleep(0.05)

    # A daemon, which is nobody's child

    def daemons(self):
        """All processes of this service but those that it can wait for."""
        known = {program.pid for program in self.programs}
        found = []
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if self.dir.encode() in words and int(name) not in known:
                found.append(int(name))
        return found

    def gone(self, what):
        end = time.monotonic() + WITHIN
        while self.daemons():
            if time.monotonic() > end:
                raise Bad("hang", f"{what} leaves a process: {self.log()}")
            time.sleep(0.01)

    def log(self):
        try:
            with open(os.path.join(self.base, "log"), encoding="utf-8") as f:
                return "|".join(f.read().splitlines()[-4:])
        except FileNotFoundError:
            return "no log"

    def launch_daemon(self):
        """Starts it; true if the starter says that it serves. What it says is
        so, and what it does not say is not."""
        try:
            done = subprocess.run(
                self.command("server", "--daemon", "--log",
                             os.path.join(self.base, "log"), "--pid-file",
                             os.path.join(self.base, "pid")),
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=2 * WITHIN, check=False)
        except subprocess.TimeoutExpired:
            raise Bad("hang", f"the starter does not end: {self.log()}"
                      ) from None
        if done.returncode < 0:
            raise Bad("crash", f"the starter died by {-done.returncode}")
        if done.returncode == 0:
            self.whole(lone=True)
            return True
        if not SENTENCE.search(done.stderr):
            raise Bad("no sentence", f"the starter ends with "
                      f"{done.returncode}, saying '{done.stderr}': "
                      f"{self.log()}")
        self.refusal = done.stderr
        self.gone(f"'{done.stderr.strip()}'")
        return False

    def run_daemon(self):
        self.begin("daemon")
        served = self.launch_daemon()
        self.end("daemon")
        if not served and not self.launch_daemon():
            raise Bad("refused", f"the daemon ever after: {self.refusal}")
        self.address = self.status()["server"]["listeners"][0]
        self.fresh()
        done = self.ctl("stop", "server")
        if done.returncode:
            raise Bad("refused", f"stop: {done.stderr}: {self.log()}")
        self.gone("stop")
        if os.path.exists(os.path.join(self.base, "pid")):
            raise Bad("leak", "the pid file is left")

    # Phases

    def do_serve(self):
        for how in (None, "half", "reset"):
            self.fresh(how)

    def do_give(self):
        since = len(self.client.errors)
        if self.move("alt", "maintenance").returncode == 0:
            self.told("maintenance", since)

    def do_ready(self):
        since = len(self.client.errors)
        if self.move("server", "ready").returncode == 0:
            self.told("ready", since)

    def do_silent(self):
        self.move("server", "ready", "--silent")

    def do_dump(self):
        path = os.path.join(self.base, "dump")
        done = self.ctl("dump", path)
        if done.returncode:
            if os.path.exists(path):
                raise Bad("false no", "a dump that failed left a file: "
                          f"{done.stderr.strip()}")
            return
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        # The listener, four of the load and the client's.
        if len(lines) != 1 + 6 or lines[0]["entries"] != 6:
            raise Bad("false yes", f"a dump of {len(lines)} lines: {lines}")

    def do_failover(self):
        self.peers["server"].kill()
        del self.peers["server"]
        self.whole(lone=True)

    def do_stop(self):
        self.stop("server")
        del self.peers["server"]
        self.whole(lone=True)

    def do_leave(self):
        self.stop("alt")
        del self.peers["alt"]
        self.whole(lone=True)

    def again(self):
        """What has ended by intention is started again."""
        if "server" not in self.peers:
            self.start("server", "-", ": standby: ")
        if "alt" not in self.peers:
            self.start("alt", "-", ": standby: ")

    def act(self):
        """The phase itself, from two peers with clients on."""
        if self.phase in ("ready", "silent"):
            self.must_move("alt", "maintenance")
        self.begin(self.phase)
        getattr(self, "do_" + self.phase)()
        if self.phase in ("give", "ready", "silent"):
            self.whole()
        self.end(self.phase)
        self.again()

    def run(self):
        if self.phase == "daemon":
            self.run_daemon()
            return
        self.start("server", "start", ": owner: ")
        self.end("start")
        if self.phase == "last":
            self.fresh()
            self.listener()
            self.begin("last")
            self.stop("server")
            self.end("last")
            self.told("goodbye", 0)
            return
        self.start("alt", "join", ": standby: ")
        self.whole()
        self.end("join")
        self.clients()
        self.whole()
        if hasattr(self, "do_" + self.phase):
            self.act()
        self.cycle()
        self.fresh()
        self.clients_end()
        self.whole()
        if self.plan:
            self.count()
        else:
            self.most()
        self.stop("alt")
        self.stop("server")
        for name, peer in self.peers.items():
            if EMPTY.search(peer.output()):
                raise Bad("no sentence", f"{name} printed {peer.output()}")


def lead(model, phase, plan=None, known=None):
    """One pair from its start to its end; returns it and what was bad."""
    pair = Pair(model, phase, plan, known)
    try:
        pair.run()
        pair.undefined()
        bad = None
    except Bad as error:
        bad = error
    except AssertionError as error:
        bad = Bad("hang", str(error))
    finally:
        pair.files = {name: (each.objects(), each.functions())
                      for name, each in pair.failat.items()}
        pair.clean_up()
    return pair, bad
