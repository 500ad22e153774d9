# SPDX-License-Identifier: MIT
"""Call sites of a preloaded program: which ones it reaches, how often, and
where they are in the source; and makes one of them fail. See
tests/tools/failat.c."""
import collections
import errno
import functools
import mmap
import os
import struct
import subprocess

OBJECTS, SITES, NAMES = 3, 4096, 96
AT_NAMES = 32
AT_OBJECTS = AT_NAMES + NAMES * 32
AT_SITES = AT_OBJECTS + OBJECTS * 512
SIZE = AT_SITES + SITES * 16

# A call site: the function of libc, the file that calls it and where in it.
# The same in every run of the same files.
Site = collections.namedtuple("Site", "function object offset")

FULL = ("EMFILE", "ENFILE", "ENOMEM")
NAME = ("ENOMEM", "ENOSPC")

# What a call can fail with for a while, by its manual page. Not here: errors
# that say what is wrong with the call, which stays so; pidfd_send_signal(2)
# and timerfd_settime(2), which know only those; eventfd(2) that does not block,
# as all here: it is not interrupted, and if it takes no more it is readable.
PASSING = {
    "accept4": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED",
                "EINTR"),
    "asprintf": ("ENOMEM",),
    "bind": ("EADDRINUSE", "ENOMEM"),
    "calloc": ("ENOMEM",),
    "close": ("EINTR",),
    "connect": ("EAGAIN", "ECONNREFUSED", "EINTR"),
    "dup2": ("EINTR", "EBUSY"),
    "epoll_create1": FULL,
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "epoll_wait": ("EINTR",),
    "eventfd": FULL,
    "fallocate": ("EINTR", "ENOSPC"),
    "fchmodat": ("ENOMEM",),
    "fcntl": ("EMFILE", "ENOLCK", "EINTR"),
    "fdopendir": ("ENOMEM",),
    "flock": ("EINTR", "ENOLCK"),
    "fork": ("EAGAIN", "ENOMEM"),
    "fstat": ("ENOMEM",),
    "fsync": ("EINTR", "ENOSPC"),
    "ftruncate": ("EINTR", "ENOSPC"),
    "getaddrinfo": ("EAI_MEMORY", "EAI_AGAIN"),
    "getcwd": ("ENOMEM",),
    "getifaddrs": ("ENOMEM",),
    "getrandom": ("EINTR",),
    "getsockopt": ("ENOBUFS",),
    "ioctl": ("EINTR",),
    "linkat": NAME,
    "listen": ("EADDRINUSE",),
    "lstat": ("ENOMEM",),
    "malloc": ("ENOMEM",),
    "memfd_create": FULL,
    "mkdir": NAME,
    "mkdirat": NAME,
    "mmap": ("ENOMEM", "EAGAIN"),
    "mq_open": FULL + ("ENOSPC",),
    "mq_receive": ("EINTR",),
    "mq_send": ("EAGAIN", "EINTR"),
    "open": FULL + ("EINTR",),
    "openat": FULL + ("EINTR",),
    "pidfd_open": FULL,
    "pipe2": ("EMFILE", "ENFILE"),
    "poll": ("EINTR", "ENOMEM"),
    "pread": ("EINTR",),
    "pthread_create": ("EAGAIN",),
    "pwrite": ("EINTR", "ENOSPC"),
    "read": ("EINTR",),
    "realloc": ("ENOMEM",),
    "realpath": ("ENOMEM",),
    "recv": ("ENOMEM", "EINTR", "EAGAIN"),
    "recvmsg": ("ENOMEM", "EINTR", "EAGAIN"),
    "rename": NAME,
    "renameat": NAME,
    "send": ("ENOBUFS", "ENOMEM", "EINTR", "EAGAIN"),
    "sendmsg": ("ENOBUFS", "ENOMEM", "ETOOMANYREFS", "EINTR", "EAGAIN",
                "EPIPE"),
    "setsockopt": ("ENOBUFS", "ENOMEM"),
    "signalfd": FULL,
    "socket": ("EMFILE", "ENFILE", "ENOBUFS"),
    "socketpair": ("EMFILE", "ENFILE", "ENOBUFS"),
    "stat": ("ENOMEM",),
    "strdup": ("ENOMEM",),
    "strndup": ("ENOMEM",),
    "timerfd_create": FULL,
    "unlink": ("ENOMEM",),
    "unlinkat": ("ENOMEM",),
    "vasprintf": ("ENOMEM",),
    "waitid": ("EINTR",),
    "waitpid": ("EINTR",),
    "write": ("EINTR", "ENOSPC"),
    "writev": ("EINTR", "ENOSPC"),
}
EAI = {"EAI_MEMORY": -10, "EAI_AGAIN": -3}


def number(name):
    return EAI[name] if name in EAI else getattr(errno, name)


class Failat:
    """The file that a preloaded process shares with its test."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(SIZE)
            self.map = mmap.mmap(file.fileno(), SIZE)
        self.path = path

    def arm(self, site, objects, functions, nth, times, error):
        """The nth call from the site fails, and times - 1 after it. Object and
        function are numbers of this file's process: before that runs, those
        that another one had."""
        key = (functions.index(site.function) + 1 << 56
               | objects.index(site.object) << 48 | site.offset)
        self.disarm()
        struct.pack_into("<qii", self.map, 8, nth, times, number(error))
        struct.pack_into("<Q", self.map, 0, key)

    def disarm(self):
        struct.pack_into("<Q", self.map, 0, 0)

    def hits(self):
        return struct.unpack_from("<Q", self.map, 24)[0]

    def _text(self, at, size):
        return self.map[at:at + size].split(b"\0")[0].decode()

    def functions(self):
        return [self._text(AT_NAMES + i * 32, 32) for i in range(NAMES)]

    def objects(self):
        return [self._text(AT_OBJECTS + i * 512, 512) for i in range(OBJECTS)]

    def calls(self):
        """Site: how often it was called."""
        functions, objects = self.functions(), self.objects()
        found = {}
        for key, count in struct.iter_unpack("<QQ", self.map[AT_SITES:]):
            if key:
                function = functions[(key >> 56) - 1]
                where = objects[key >> 48 & 0xff]
                found[Site(function, where, key & (1 << 48) - 1)] = count
        return found


@functools.lru_cache(None)
def _lines(path, offset):
    # The return address is that of the next instruction.
    done = subprocess.run(
        ["addr2line", "-f", "-i", "-s", "-e", path, hex(offset - 1)],
        capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n")
    return [(name, at.split(" ")[0])
            for name, at in zip(lines[::2], lines[1::2])]


def describe(site):
    """Where it is, for people: function and line, and what that is inlined
    in."""
    chain = _lines(site.object, site.offset)
    text = f"{chain[0][0]} {chain[0][1]}"
    if len(chain) > 1:
        text += f" in {chain[-1][0]}"
    return text.replace("handoff__", "")
