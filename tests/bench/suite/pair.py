# SPDX-License-Identifier: MIT
"""Two servers of one service directory that hand over to each other, and
clients that hold their connections meanwhile (holders.c).
"""
import json
import re
import subprocess

from core import Process, memory, wait_until
from servers import Handoff


class Pair(Handoff):
    """A server and its standby, pinned to no core: both are busy at once."""

    def __init__(self, options, *args):
        super().__init__(options, *args, core=None)

    def open(self):
        super().open()
        self.peers = [self.processes[0], self.start_peer(1)]

    def start_peer(self, side):
        """The server (0) or the alternate (1), as a standby."""
        program = ("server", "alt_server")[side]
        listen = ("--listen", self.address) if side == 0 else ()
        peer = self.start(self.options.program(program), "--dir", self.dir,
                          *listen, *self.args)
        peer.expect(": standby: ")
        return peer

    def replace(self, side):
        """A new standby instead of a process that has ended."""
        self.peers[side].popen.wait(60)
        self.processes.remove(self.peers[side])
        self.peers[side].stop()
        self.peers[side] = self.start_peer(side)

    def ctl(self, *words):
        done = subprocess.run(
            [self.options.program("handoffctl"), "--dir", self.dir, *words],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def status(self):
        return {peer["name"]: peer for peer in
                json.loads(self.ctl("status", "--json"))["peers"]}

    def wait_warm(self, owner, connections):
        """Side `owner` serves them all, and the other holds every copy."""
        own, other = (("server", "alt"), ("alt", "server"))[owner]

        def warm():
            peers = self.status()
            return (own in peers and other in peers and
                    peers[own].get("connections") == connections and
                    peers[other].get("held") == connections)
        wait_until(warm, "the standby is warm")

    def moved(self, words, connections):
        """A give or a take; what it says of its time, in us."""
        said = self.ctl(*words)
        found = re.search(r"moved (\d+) connections.* in ([\d.]+) ms, 0 left",
                          said)
        if not found or int(found[1]) != connections:
            raise SystemExit(f"not all has moved: {said}")
        return float(found[2]) * 1000

    def memory(self):
        now = memory(self.pids())
        return now["resident"] + now["tables"] + now["stacks"]


class Holders(Process):
    """Clients that hold connections for long; see holders.c."""

    def __init__(self, options, address, connections, active, *notices):
        super().__init__(options.program("holders"), address, connections,
                         active, *notices, stdin=True, core=None)
        self.expect("^ready$")

    def ask(self, word):
        self.popen.stdin.write(word + "\n")
        self.popen.stdin.flush()
        return json.loads(self.expect(r"^\{.*\}$")[0])

    def wait_answered(self, what, seconds=60):
        """Until every connection that has asked has its answer; the figures.
        Active clients ask all the time, so a few always wait."""
        told = {}

        def answered():
            told.update(self.ask("report"))
            return what(told)
        wait_until(answered, "clients are answered", seconds)
        return told
