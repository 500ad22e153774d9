# SPDX-License-Identifier: MIT
"""The memory that two peers share, as the kernel reports it: its size and its
content."""
import os


class Segment:
    """One memfd of the arena."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def pages(self):
        return os.fstat(self.fd).st_blocks * 512 // 4096

    def extents(self):
        """Where all is that is not a hole, which reading it would fill."""
        size, at = os.fstat(self.fd).st_size, 0
        while at < size:
            try:
                at = os.lseek(self.fd, at, os.SEEK_DATA)
            except OSError:  # ENXIO: the rest is a hole
                return
            end = os.lseek(self.fd, at, os.SEEK_HOLE)
            yield at, end
            at = end

    def data(self):
        for at, end in self.extents():
            yield os.pread(self.fd, end - at, at)

    def pages_from(self, page):
        """Those that are not before this one."""
        return sum((end - max(at, page * 4096)) // 4096
                   for at, end in self.extents() if end > page * 4096)


class Arena:
    """That of a running peer. Open descriptors keep it when that ends."""

    def __init__(self, pid):
        self.pid = pid
        self.segments = {}

    def look(self):
        """Finds what has been added."""
        folder = f"/proc/{self.pid}/fd"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:  # it has ended
            return
        for name in names:
            path = os.path.join(folder, name)
            try:
                if "memfd:handoff-arena" not in os.readlink(path):
                    continue
                inode = os.stat(path).st_ino
                if inode not in self.segments:
                    self.segments[inode] = Segment(path)
            except FileNotFoundError:
                continue  # closed meanwhile

    def close(self):
        for segment in self.segments.values():
            os.close(segment.fd)
        self.segments.clear()

    def pages(self):
        self.look()
        return sum(segment.pages() for segment in self.segments.values())

    def pages_from(self, page):
        """As pages, without what is in front in each segment."""
        self.look()
        return sum(segment.pages_from(page)
                   for segment in self.segments.values())

    def count(self, text):
        """How often these bytes are in it."""
        self.look()
        return sum(data.count(text) for segment in self.segments.values()
                   for data in segment.data())
