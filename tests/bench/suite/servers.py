# SPDX-License-Identifier: MIT
"""The echo servers that are compared: those of the library in each model, and
the usual designs without it, in peers/.
"""
import os
import signal
import tempfile

from core import Process, SERVER_CORE, LOAD_CORE, children, cpu_ns


class Server:
    """A server that runs, with all that belongs to it. `core` None: on any."""

    def __init__(self, options, core=SERVER_CORE, wrapper=()):
        self.options = options
        self.core = core
        self.wrapper = wrapper  # a tool that the server runs under
        self.processes = []

    def start(self, *argv, **how):
        process = Process(*argv, **{"core": self.core, **how})
        self.processes.append(process)
        return process

    def pids(self):
        """With the children of those that fork."""
        return children([process.pid for process in self.processes])

    def end(self):
        """Ends the server in order, and waits for what it runs under. A
        standby goes first: nothing is handed over to it."""
        for process in self.processes[1:]:
            process.stop(signal.SIGTERM)
        process = self.processes[0]
        own = children([process.pid])[1 if self.traced() else 0]
        os.kill(own, signal.SIGTERM)
        process.popen.wait(60)

    def traced(self):
        """A tracer is the parent of what it traces; valgrind is the same
        process."""
        return bool(self.wrapper) and self.wrapper[0] == "strace"

    def cpu_ns(self):
        return cpu_ns(self.pids())

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self.processes):
            process.stop()
        self.processes = []


class Peer(Server):
    """One of peers/."""

    def __init__(self, options, program, **how):
        super().__init__(options, **how)
        self.name = program

    def open(self):
        process = self.start(*self.wrapper, self.options.program(self.name))
        self.address = process.expect(r"listening on (\S+)")[1]


class Handoff(Server):
    """The library: examples/server, perhaps with examples/alt_server as its
    standby; that has nothing to do with the core that is measured, unless it
    is given that one."""

    def __init__(self, options, *args, standby=False, standby_core=LOAD_CORE,
                 **how):
        super().__init__(options, **how)
        self.args = args
        self.standby = standby
        self.standby_core = standby_core

    def command(self):
        return (self.options.program("server"), "--dir", self.dir, "--listen",
                "127.0.0.1:0", *self.args)

    def open(self):
        self.base = tempfile.TemporaryDirectory(prefix="handoff-bench-")
        self.dir = os.path.join(self.base.name, "echo")
        process = self.start(*self.wrapper, *self.command())
        self.address = process.expect(r"listening on (\S+)")[1]
        process.expect("owner: serves")
        if self.standby:
            alt = self.start(self.options.program("alt_server"), "--dir",
                             self.dir, *self.args, core=self.standby_core)
            alt.expect(": standby: ")

    def close(self):
        # The standby first: the other must not hand over to it.
        super().close()
        self.base.cleanup()


# What is compared, by the name in tables.
FLOOR = "raw epoll"
PEERS = {
    "raw epoll": lambda o, **how: Peer(o, "epoll_echo", **how),
    "raw epoll again": lambda o, **how: Peer(o, "epoll_echo", **how),
    "libuv": lambda o, **how: Peer(o, "uv_echo", **how),
    "libevent": lambda o, **how: Peer(o, "event_echo", **how),
    "raw threads": lambda o, **how: Peer(o, "thread_echo", **how),
}
OURS = {
    "loop": lambda o, **how: Handoff(o, **how),
    "loop, standby": lambda o, **how: Handoff(o, standby=True, **how),
    "loop, 2 workers":
        lambda o, **how: Handoff(o, "--workers", "2", **how),
    "thread": lambda o, **how: Handoff(o, "--model", "thread", **how),
    "fork": lambda o, **how: Handoff(o, "--model", "fork", **how),
}
ALL = {**PEERS, **OURS}


def in_turn(names, number):
    """The names in an order that differs from round to round, so that none
    always comes after the same other."""
    names = list(names)
    first = number % len(names)
    names = names[first:] + names[:first]
    return names if number // len(names) % 2 == 0 else names[::-1]
