# SPDX-License-Identifier: MIT
"""Shared by the fault tests: peers that are killed at a chosen call, the chain
of deaths and new peers, and clients that check every byte in the meantime.

HANDOFF_KILLAT_SO is the library of tests/tools/killat.c, HANDOFF_LONG=1
asks for the long form, HANDOFF_SEED repeats a run.
"""
import collections
import json
import mmap
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, "system"))

# pylint: disable=wrong-import-position
from harness import (BIN, DEADLINE, SCALE, TOOLS, Load, SystemTest,  # noqa
                     command, main, wait_until)

__all__ = ("BIN", "DEADLINE", "LONG", "SCALE", "TOOLS", "Chain", "Churn",
           "FaultTest", "TOOK_OVER", "Tally", "main", "wait_until")

LONG = os.environ.get("HANDOFF_LONG") == "1"
SEED = int(os.environ.get("HANDOFF_SEED", "1"))
KILLAT = os.environ.get("HANDOFF_KILLAT_SO", os.path.join(TOOLS, "libkillat.so"))
ENV = shutil.which("env")
RESERVE = 16
TOOK_OVER = (r": the other peer died; took over (\d+) of its entries in "
             r"([\d.]+) ms: (\d+) in a turn, (\d+) repaired, (\d+) closed")
LISTENER = 2
BROKEN = "closed after the other peer died"


class Trigger:
    """The file that a preloaded process shares with its test: see struct
    killat_file."""
    FUNCTIONS = ("recv", "recvmsg", "send", "sendmsg", "epoll_wait", "accept4",
                 "shutdown", "close", "poll", "epoll_ctl",
                 "pthread_mutex_lock", "eventfd_write", "write", "point",
                 "fsync", "renameat", "pwrite", "ftruncate", "SSL_accept",
                 "EVP_EncryptFinal_ex", "EVP_DecryptFinal_ex")

    def __init__(self, path):
        with open(path, "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.path = path

    def arm(self, function, number, after):
        self.disarm()
        struct.pack_into("<I", self.map, 4, bool(after))
        struct.pack_into("<q", self.map, 8, number)
        struct.pack_into("<I", self.map, 0,
                         self.FUNCTIONS.index(function) + 1)

    def disarm(self):
        struct.pack_into("<I", self.map, 0, 0)

    def fired(self):
        return struct.unpack_from("<q", self.map, 8)[0] <= 0

    def calls(self):
        counts = struct.unpack_from(f"<{len(self.FUNCTIONS)}Q", self.map, 16)
        return dict(zip(self.FUNCTIONS, counts))


class Tally:
    """What a test program as a whole has done."""
    def __init__(self):
        self.kills = self.aimed = self.in_turn = self.repaired = 0
        self.took_ms = []
        self.instants = 0

    def read(self, peer):
        """What a peer told in its life."""
        for match in re.finditer(TOOK_OVER, peer.output()):
            self.took_ms.append(float(match[2]))
            self.in_turn += int(match[3])
            self.repaired += int(match[4])

    def __str__(self):
        took = sorted(self.took_ms) or [0]
        return (f"seed {SEED}: {self.kills} kills, {self.aimed} of them at a "
                f"chosen call; {len(self.took_ms)} takeovers, median "
                f"{took[len(took) // 2]} ms, longest {took[-1]} ms; "
                f"{self.in_turn} connections were in a turn, {self.repaired} "
                f"positions repaired; {self.instants} short connections ended "
                "before their first answer")


class Churn:
    """Short connections all the time. One that is being accepted when the
    owner dies may end unanswered; one that was answered may not break."""
    ENDED = re.compile(r"after (\d+) of \d+ bytes")

    def __init__(self, test, address, rate):
        self.test = test
        self.load = test.load(address, "--connections", 0, "--churn", rate,
                              "--seconds", 3600, "--seed", test.seed())

    def check(self):
        for line in list(self.load.errors):
            ended = self.ENDED.search(line)
            self.test.assertTrue(
                ended and ended[1] == "0" and "connecting" not in line
                and "gave up" not in line, line)

    def finish(self):
        counts = self.load.finish()
        self.check()
        self.test.assertEqual(counts["corrupt"], 0, counts)
        self.test.assertEqual(counts["refused"], 0, counts)
        self.test.assertEqual(counts["unfinished"], 0, counts)
        self.test.assertGreater(counts["churn"], counts["churn_failed"])
        return counts


class FaultTest(SystemTest):
    tally = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tally = cls.tally or Tally()

    @classmethod
    def tearDownClass(cls):
        if cls.tally.kills > 0:
            print(f"{cls.__name__}: {cls.tally}", file=sys.stderr, flush=True)

    def setUp(self):
        super().setUp()
        self.chance = random.Random(f"{SEED} {self.id()}")
        self.launched = 0

    def seed(self):
        return self.chance.randrange(1 << 32)

    def launch(self, program, *options, at=None):
        """Starts a peer that can be ended at a call: `at` counts from its
        start, its trigger from when that is armed."""
        return self.launch_as(command(program, *options), "--dir", self.dir,
                              *options, at=at)

    def launch_as(self, argv, *options, at=None):
        """The same for a program whose options are others."""
        self.launched += 1
        trigger = Trigger(os.path.join(self.base, f"killat.{self.launched}"))
        words = [f"LD_PRELOAD={KILLAT}",
                 "ASAN_OPTIONS=verify_asan_link_order=0",
                 f"HANDOFF_KILLAT_FILE={trigger.path}"]
        if at:
            words.append(f"HANDOFF_KILLAT={at}")
        peer = self.start(ENV, *words, *argv, *options)
        peer.trigger = trigger
        return peer

    def json(self, slot):
        """Status straight from the peer in a place, or None if it is gone."""
        try:
            reply = self.ask(slot, "status json")
        except OSError:
            return None
        return json.loads(reply.split("\n", 1)[1]) if "\n" in reply else None

    def open_files(self, pid):
        """What a process holds: how many descriptors without the reserve of a
        server, how many segments, and the former by their kinds, to be read
        by people."""
        folder = f"/proc/{pid}/fd"
        targets = []
        for name in os.listdir(folder):
            try:
                targets.append(os.readlink(os.path.join(folder, name)))
            except FileNotFoundError:
                pass
        kinds = collections.Counter(
            re.sub(r":\[?\d+\]?$", "", target) for target in targets)
        # A server gives up what it holds in reserve for a second whenever a
        # command or a standby comes (lib/server/spare.c).
        lent = kinds["anon_inode:[eventfd]"] // RESERVE * RESERVE
        return (len(targets) - lent,
                sum("handoff-arena" in t for t in targets), str(dict(kinds)))

    def records(self, pid, *words):
        """What is in the arena of a peer; or damages it, see arena.c."""
        done = subprocess.run(
            [os.path.join(TOOLS, "arena"), str(pid), *map(str, words)],
            capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def assert_gone(self, program, code=-signal.SIGKILL):
        self.assertEqual(program.wait(), code, program.output())


class Chain:
    """Two peers, one of which dies again and again: the other goes on, and a
    new one is started by the same command line."""

    def __init__(self, test, model, server="server", alt="alt_server",
                 options=(), state_size=0):
        self.test = test
        self.state_size = state_size
        self.tally = test.tally
        # One model for both, or one for each.
        models = (model, model) if isinstance(model, str) else model
        self.models = dict(zip((1, 2), models))
        self.options = options
        self.programs = {1: server, 2: alt}
        self.loads = []
        self.shapes = {}
        self.swaps = 0
        self.stable = None  # connections, where the number does not change
        self.address = "127.0.0.1:0"
        self.peers = {1: self.launch(1)}
        self.address = self.peers[1].expect(r": listening on (\S+)")[1]
        self.peers[1].expect(": owner: ")
        # The library calls libc in a way that can be preloaded.
        test.assertGreater(self.peers[1].trigger.calls()["epoll_ctl"], 0,
                           f"{KILLAT} has no effect")
        self.owner = 1
        self.attach()

    # Places are numbered 1 and 2 like those of the peers.

    def other(self, place):
        return 3 - place

    def options_of(self, place):
        listen = ("--listen", self.address) if place == 1 else ()
        model = self.models[place]
        how = (("--workers", "3") if model == "workers"
               else ("--model", model))
        return (*listen, *how, *self.options)

    def launch(self, place, at=None):
        return self.test.launch(self.programs[place],
                                *self.options_of(place), at=at)

    def attach(self):
        """A new standby, where none is."""
        place = self.other(self.owner)
        self.peers[place] = self.launch(place)
        self.peers[place].expect(": standby: ")

    def load(self, *options):
        load = self.test.load(self.address, "--seconds", 3600, "--seed",
                              self.test.seed(), *options).ready()
        self.loads.append(load)
        return load

    def covered(self):
        """Waits until the standby has a copy of everything, and every handler
        that ran at the last death has returned: a second death in it would
        end its connection."""
        def there():
            # In this order: what the owner says is newer, and so it has heard
            # what the standby had said by then.
            standby = self.test.json(self.other(self.owner))
            owner = self.test.json(self.owner)
            if not owner or not standby or owner["role"] != "owner":
                return False
            if owner.get("partner", "ready") != "ready":
                return False
            if owner.get("suspects", 0) != 0:
                return False
            if self.stable is None:
                return owner["uncovered"] == 0
            return (owner["connections"] == standby["held"] == self.stable
                    and owner.get("uncovered", 0) == 0)
        wait_until(there, f"all to be covered, {self}")

    def __str__(self):
        states = {place: self.test.json(place) for place in (1, 2)}
        return f"owner in place {self.owner}, {states}"

    def empty(self):
        """No record is in use any more but those of the listeners."""
        for peer in self.peers.values():
            records = self.test.records(peer.pid, "--state-size",
                                        self.state_size)
            self.test.assertEqual([r["kind"] for r in records], [LISTENER])

    def check(self):
        """Nothing has gone wrong so far, in the eyes of anybody."""
        for load in self.loads:
            self.test.assertEqual(load.errors, [])
            self.test.assertIsNone(load.process.poll(), load.output())
        for peer in self.peers.values():
            text = peer.output()
            self.test.assertNotIn(BROKEN, text)

    def await_death(self, place, seconds):
        """True if the peer ended by itself: then it was killed."""
        peer = self.peers[place]
        end = time.monotonic() + seconds
        while peer.process.poll() is None:
            if time.monotonic() > end:
                return False
            time.sleep(0.0005)
        return True

    def kill(self, place):
        self.peers[place].signal(signal.SIGKILL)

    def bury(self, place, code=-signal.SIGKILL):
        """The peer is dead: the other serves, and is all right."""
        dead = self.peers.pop(place)
        survivor = self.peers[self.other(place)]
        self.test.assert_gone(dead, code)
        self.tally.read(dead)
        survivor.expect(": left: .* is gone")
        if place == self.owner:
            survivor.expect(TOOK_OVER)
            self.owner = self.other(place)
        self.serves()

    def serves(self):
        """The owner has everything, and no connection was given up."""
        owner = self.peers[self.owner]

        def there():
            self.test.assertIsNone(owner.process.poll(), owner.output())
            status = self.test.json(self.owner)
            return (status and status["role"] == "owner"
                    and self.stable in (None, status["connections"]))
        wait_until(there, f"the survivor to have everything, {self}")
        for match in re.finditer(TOOK_OVER, owner.output()):
            if self.stable is not None:
                self.test.assertEqual(match[5], "0", match[0])
        self.check()

    def shape(self):
        """The number of descriptors of each peer is what it was in the same
        place and role; None before that is known. If there are fewer now, the
        former number was seen in a transition that took its time."""
        if len(self.peers) == 2:
            self.covered()
        for place, peer in self.peers.items():
            key = (place, place == self.owner, len(self.peers), self.stable)
            known = self.shapes.get(key)
            seen = []

            def steady(pid=peer.pid, known=known, seen=seen):
                seen.append(self.test.open_files(pid))
                now = seen[-1]
                if known and now[:2] == known[:2]:
                    return now
                settled = len(seen) > 3 and len(set(seen[-3:])) == 1
                fewer = not known or (now[0] <= known[0]
                                      and now[1] <= known[1])
                return now if settled and fewer else None
            try:
                self.shapes[key] = wait_until(steady, "descriptors", 5 * SCALE)
            except AssertionError:
                raise AssertionError(
                    f"place, owner, peers, connections {key}: descriptors and "
                    f"segments were {known}, are {seen[-1]}") from None

    def die(self, place, seconds=1.0):
        """Waits until the call comes at which the peer ends; if it does not,
        the peer dies at that moment."""
        aimed = self.await_death(place, seconds * SCALE)
        if not aimed:
            self.kill(place)
        self.tally.kills += 1
        self.tally.aimed += aimed

    def round(self, cell, victim=None):
        """One death at a call of the owner or of its standby."""
        place = victim or self.owner
        self.covered()
        self.peers[place].trigger.arm(*cell)
        self.die(place)
        self.bury(place)
        self.attach()

    def random_round(self, most=0.05):
        self.covered()
        time.sleep(self.test.chance.uniform(0, most))
        self.die(self.owner, 0)
        self.bury(self.owner)
        self.attach()

    def attach_round(self, cell):
        """The standby dies while it attaches, at a call since its start."""
        place = self.other(self.owner)
        standby = self.peers.pop(place)
        self.tally.read(standby)
        self.test.assertEqual(standby.stop(), 0, standby.output())
        self.peers[self.owner].expect(": left: ")
        self.shape()
        function, number, after = cell
        self.peers[place] = self.launch(
            place, f"{function}:{number}:{'after' if after else 'before'}")
        self.die(place, 0.3)
        self.test.assert_gone(self.peers.pop(place))
        self.serves()
        self.shape()
        self.attach()

    def swap(self):
        """Asks for a planned handoff, each kind in turn; whoever may die
        meanwhile."""
        command = ("maintenance", "ready", "ready silent")[self.swaps % 3]
        self.swaps += 1
        for place in (1, 2):
            try:
                self.test.ask(place, command)
            except OSError:
                pass

    def swap_round(self, cell, victim, most=12):
        """Planned handoffs until one of the peers dies in the midst."""
        self.covered()
        self.peers[victim].trigger.arm(*cell)
        for _ in range(most):
            if self.await_death(victim, 0):
                break
            self.swap()
        self.die(victim, 0.02)
        dead = self.peers.pop(victim)
        self.test.assert_gone(dead)
        self.tally.read(dead)
        self.owner = self.other(victim)
        self.peers[self.owner].expect(": left: .* is gone")
        self.serves()
        self.attach()

    def stop_round(self, cell):
        """The owner is asked to stop and dies on the way, or just ends."""
        self.covered()
        owner = self.peers[self.owner]
        owner.trigger.arm(*cell)
        owner.signal(signal.SIGTERM)
        code = owner.wait()
        self.test.assertIn(code, (0, -signal.SIGKILL), owner.output())
        self.tally.kills += code != 0
        self.tally.aimed += code != 0
        self.peers.pop(self.owner)
        self.tally.read(owner)
        self.owner = self.other(self.owner)
        self.peers[self.owner].expect(": left: .* is gone")
        self.serves()
        self.attach()

    def finish(self):
        """All clients end; both peers must then be as in the beginning."""
        if self.loads:
            self.covered()
        for load in self.loads:
            self.test.assert_clean(load.finish())
        self.loads = []
        self.stable = 0
        self.covered()
        self.shape()
        self.empty()
        standby = self.peers[self.other(self.owner)]
        self.test.assertEqual(standby.stop(), 0, standby.output())
        owner = self.peers[self.owner]
        owner.expect(": left: ")
        self.test.assertEqual(owner.stop(), 0, owner.output())
        for peer in self.peers.values():
            self.tally.read(peer)
