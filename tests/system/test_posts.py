# SPDX-License-Identifier: MIT
"""Posts between connections, in every model, across handoffs and deaths: each
client gets each line once, in the order of its sender. HANDOFF_LONG=1 is the
load of 50 clients and 100,000 lines."""
import os
import re
import selectors
import signal
import subprocess
import threading
import time

from harness import DEADLINE, SCALE, TOOLS, SystemTest, main, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
CLIENTS, LINES, MOVES = (50, 100000, 20) if LONG else (20, 20000, 3)
WINDOW = 20  # lines of a client that not all have got


class Chat(threading.Thread):
    """Clients that all post to all, and count what comes."""

    def __init__(self, socks, each):
        super().__init__()
        self.socks, self.each = socks, each
        self.sent = [0] * len(socks)
        self.got = [[0] * len(socks) for _ in socks]
        self.left = len(socks) * len(socks) * each
        self.data = [b""] * len(socks)
        self.out = [b""] * len(socks)
        self.error = None
        self.done = threading.Event()

    def progress(self):
        total = len(self.socks) ** 2 * self.each
        return (total - self.left) / total

    def run(self):
        try:
            self.talk()
        except (OSError, AssertionError, EOFError) as error:
            self.error = error
        self.done.set()

    def talk(self):
        selector = selectors.DefaultSelector()
        for number, sock in enumerate(self.socks):
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, number)
            self.send(number)
        last = time.monotonic()
        while self.left > 0:
            events = selector.select(1)
            if events:
                last = time.monotonic()
            elif time.monotonic() > last + 2 * DEADLINE:
                raise AssertionError(f"stuck: {self.left} lines are missing")
            for key, _ in events:
                self.receive(key.data)
            for number in range(len(self.socks)):
                self.send(number)

    def send(self, number):
        # posters do not wait for receivers: so these clients do
        taken = min(got[number] for got in self.got)
        while self.sent[number] < min(taken + WINDOW, self.each):
            self.out[number] += b"all %d:%d\n" % (number, self.sent[number])
            self.sent[number] += 1
        if self.out[number]:
            try:
                n = self.socks[number].send(self.out[number])
                self.out[number] = self.out[number][n:]
            except BlockingIOError:
                pass

    def receive(self, number):
        try:
            chunk = self.socks[number].recv(1 << 18)
        except BlockingIOError:
            return
        if not chunk:
            raise EOFError(f"client {number} was closed")
        *lines, self.data[number] = (self.data[number] + chunk).split(b"\n")
        for line in lines:
            match = re.fullmatch(rb"(\d+):(\d+)", line)
            if not match:
                raise AssertionError(f"client {number} got {line}")
            sender, count = int(match[1]), int(match[2])
            if count != self.got[number][sender]:
                raise AssertionError(
                    f"client {number} got {count} of {sender}, and wants "
                    f"{self.got[number][sender]}")
            self.got[number][sender] += 1
            self.left -= 1


class Posts(SystemTest):
    def program(self, name, *options, **how):
        return self.start(os.path.join(TOOLS, "post_service"), "--dir",
                          self.dir, "--name", name, *options, **how)

    def owner(self, *options, **how):
        server = self.program("one", "--listen", "127.0.0.1:0", *options,
                              **how)
        server.address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: ")
        return server

    def other(self, name, *options, **how):
        other = self.program(name, *options, **how)
        other.expect(": standby: ")
        return other

    def expect(self, sock, text):
        self.assertEqual(self.receive(sock, len(text)), text)

    def talk(self, sock, text, answer):
        sock.sendall(text)
        self.expect(sock, answer)

    def clients(self, server, count):
        socks = []
        for number in range(1, count + 1):
            sock = self.connect(server.address)
            self.talk(sock, b"id\n", b"id %d\n" % number)
            socks.append(sock)
        return socks

    def chat(self, *options, moves=True):
        """Everybody talks; the service moves there and back, and is killed,
        all the while."""
        server = self.owner(*options)
        peers = [server, self.other("two", *options)]
        chat = Chat(self.clients(server, CLIENTS), LINES // CLIENTS)
        for peer, role in zip(peers, ("connections", "held")):
            self.wait_peer(peer.argv[peer.argv.index("--name") + 1],
                           **{role: CLIENTS})
        chat.start()
        for move in range(2 * MOVES if moves else 0):
            wait_until(lambda: chat.done.is_set() or chat.progress() >
                       (move + 1) / (2 * MOVES + 2), "progress", 600 * SCALE)
            if chat.done.is_set():
                break
            if move % 2 == 0:
                self.ok("maintenance")
                peers.reverse()
                continue
            peers[0].kill()
            peers[1].expect(": owner: .* died")
            peers = [peers[1], self.other(f"next{move}", *options)]
            self.wait_peer(f"next{move}", held=CLIENTS)
        chat.join()
        self.assertIsNone(chat.error)
        self.assertEqual(chat.left, 0)

    def test_loop(self):
        self.chat("--model", "loop")

    def test_plain(self):
        self.chat("--model", "loop", "--plain")

    def test_workers(self):
        self.chat("--workers", "3")

    def test_thread(self):
        self.chat("--model", "thread")

    def test_fork(self):
        self.chat("--model", "fork")

    def test_iterative(self):
        """One connection at a time: the receivers are with both peers."""
        server = self.owner("--model", "loop")
        self.other("two", "--model", "iterative")
        one, = self.clients(server, 1)
        self.wait_peer("two", held=1)
        self.ok("maintenance")
        self.talk(one, b"all hello\nto 1 you\n", b"hello\nyou\n")

    def both_peers(self, *options):
        """Connections that a READY has left with the other peer."""
        server = self.owner(*options)
        self.other("two", *options)
        old, = self.clients(server, 1)
        self.wait_peer("two", held=1)
        self.ok("maintenance")
        self.ok("ready")
        new = self.connect(server.address)
        self.talk(new, b"id\n", b"id 2\n")
        self.wait_peer("two", connections=1)
        self.wait_peer("one", connections=1)
        for sock, number in ((old, 1), (new, 2)):
            sock.sendall(b"others o\nto %d own\nto %d y\nall a\n"
                         % (number, 3 - number))
            self.expect(sock, b"own\na\n")
            self.expect(new if sock is old else old, b"o\ny\na\n")
        old.sendall(b"tag 5\nid\n")
        self.expect(old, b"id 1\n")
        self.talk(new, b"room 5 t\nroom 6 x\nto 2 end\n", b"end\n")
        self.talk(old, b"to 1 end\n", b"t\nend\n")

    def test_both_loop(self):
        self.both_peers("--model", "loop")

    def test_both_workers(self):
        self.both_peers("--workers", "2")

    def test_both_thread(self):
        self.both_peers("--model", "thread")

    def test_both_fork(self):
        self.both_peers("--model", "fork")

    def test_errors(self):
        server = self.owner("--model", "loop")
        sock, = self.clients(server, 1)
        self.talk(sock, b"to 2 x\n", b"error 2\n")
        self.talk(sock, b"to 0 x\n", b"error 2\n")
        self.talk(sock, b"room 0 x\n", b"error 22\n")
        self.talk(sock, b"all \n", b"\n")
        gone = self.connect(server.address)
        self.talk(gone, b"id\n", b"id 2\n")
        gone.close()
        self.wait_peer("one", connections=1)
        self.talk(sock, b"to 2 x\n", b"error 2\n")

    def dies(self, *options):
        """The handler has posted, and dies before it returns: after it has run
        again the post is there once."""
        once = os.path.join(self.base, "once")
        options += ("--once", once)
        server = self.owner(*options)
        self.other("two", *options)
        socks = self.clients(server, 3)
        self.wait_peer("two", held=3)
        for _ in range(2):
            with open(once, "w", encoding="ascii"):
                pass
            socks[0].sendall(b"die dead\nall alive\n")
            for sock in socks:
                self.expect(sock, b"dead\nalive\n")
            if "fork" not in options:
                break
        socks[1].sendall(b"all end\n")
        for sock in socks:
            self.expect(sock, b"end\n")

    def test_dies_loop(self):
        # a suspect is tried once a standby covers it
        once = os.path.join(self.base, "once")
        server = self.owner("--model", "loop", "--once", once)
        two = self.other("two", "--model", "loop", "--once", once)
        socks = self.clients(server, 3)
        self.wait_peer("two", held=3)
        with open(once, "w", encoding="ascii"):
            pass
        socks[0].sendall(b"die dead\nall alive\n")
        two.expect(": owner: .* died")
        self.other("three", "--model", "loop")
        for sock in socks:
            self.expect(sock, b"dead\nalive\n")
        self.talk(socks[1], b"to 2 end\n", b"end\n")

    def test_dies_fork(self):
        self.dies("--model", "fork")

    def answers(self, *options):
        """A client asks, another one answers; across a handoff and a death the
        question comes again, and there is one answer."""
        server = self.owner(*options)
        two = self.other("two", *options)
        asker, worker = self.clients(server, 2)
        self.wait_peer("two", held=2)
        worker.sendall(b"tag 1\nid\n")
        self.expect(worker, b"id 2\n")
        asker.sendall(b"ask one\nask two\nid\n")
        self.expect(worker, b"asked 1 4 one\n")
        self.talk(worker, b"answer 1 3 stale\nto 2 there\n", b"there\n")
        self.ok("maintenance")
        self.expect(worker, b"asked 1 4 one\n")
        self.talk(worker, b"to 1 news\nto 2 there\n", b"there\n")
        self.expect(asker, b"news\n")
        server_again = two
        self.wait_peer("one", held=2)
        server_again.kill()
        server.expect(": owner: .* died")
        self.expect(worker, b"asked 1 4 one\n")
        worker.sendall(b"answer 1 4 first\nanswer 1 4 twice\n")
        self.expect(asker, b"answer first\n")
        self.expect(worker, b"asked 1 12 two\n")
        asker.sendall(b"id\n")
        worker.sendall(b"answer 1 12 second\n")
        self.expect(asker, b"answer second\nid 1\nid 1\n")

    def test_answers_loop(self):
        self.answers("--model", "loop")

    def test_answers_workers(self):
        self.answers("--workers", "2")

    def test_answers_thread(self):
        self.answers("--model", "thread")

    def test_answers_fork(self):
        self.answers("--model", "fork")

    def test_one_thread_is_woken(self):
        """A post to one connection ends no thread of another."""
        server = self.owner("--model", "thread")
        socks = self.clients(server, 4)
        # since there were posts each thread can be woken alone
        for _ in range(2):
            socks[0].sendall(b"all warm\n")
            for sock in socks:
                self.expect(sock, b"warm\n")
        for number, sock in enumerate(socks, 1):
            self.talk(sock, b"id\n", b"id %d\n" % number)
        threads = sorted(os.listdir(f"/proc/{server.pid}/task"))
        for count in range(20):
            for number in (2, 3):
                socks[0].sendall(b"to %d %d\n" % (number, count))
                self.expect(socks[number - 1], b"%d\n" % count)
        self.assertEqual(sorted(os.listdir(f"/proc/{server.pid}/task")),
                         threads)

    def outside(self, *options):
        """Any thread posts; repeats are dropped, in either peer."""
        server = self.owner(*options, "--thread", stdin=subprocess.PIPE)
        two = self.other("two", *options, "--thread", stdin=subprocess.PIPE)
        socks = self.clients(server, 3)
        self.wait_peer("two", held=3)
        for number in range(1, 21):
            peer, repeat = (server, two) if number % 2 else (two, server)
            for program, result in ((peer, 0), (repeat, 1), (peer, 1)):
                program.process.stdin.write(b"%d line %d\n"
                                            % (number, number))
                program.process.stdin.flush()
                program.expect(f"^posted {number} {result}$")
        wanted = b"".join(b"line %d\n" % n for n in range(1, 21))
        for sock in socks:
            self.expect(sock, wanted)
            self.talk(sock, b"id\n", b"id %d\n" % (socks.index(sock) + 1))

    def test_outside_loop(self):
        self.outside("--model", "loop")

    def test_outside_workers(self):
        self.outside("--workers", "2")

    def test_outside_thread(self):
        self.outside("--model", "thread")

    def slow(self, *options):
        """One that does not read misses posts; the others do not wait."""
        server = self.owner("--model", "loop", "--small", *options)
        slow, fast = self.clients(server, 2)
        text = b"x" * 8000
        for number in range(2000):
            self.talk(fast, b"all %d %s\n" % (number, text),
                      b"%d %s\n" % (number, text))
        return server, slow, fast

    def test_slow_is_ended(self):
        server, slow, fast = self.slow()
        server.expect_error("connection 1: closed: posts for it were dropped")
        self.talk(fast, b"to 1 x\n", b"error 2\n")

    def test_slow_is_told(self):
        _, slow, fast = self.slow("--gaps")
        fast.sendall(b"to 1 end\n")
        lines = b""
        while not lines.endswith(b"\nend\n"):
            chunk = slow.recv(1 << 20)
            self.assertTrue(chunk)
            lines += chunk
        numbers = [int(line.split()[0]) for line in lines.split(b"\n")
                   if line and line not in (b"gap", b"end")]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertIn(b"\ngap\n", lines)
        self.assertLess(len(numbers), 2000)

    def test_stopped_holder(self):
        """A peer is stopped at any moment: those of the other go on."""
        server = self.owner("--model", "loop")
        two = self.other("two", "--model", "loop")
        old, = self.clients(server, 1)
        self.wait_peer("two", held=1)
        self.ok("maintenance")
        self.ok("ready")
        new = self.connect(server.address)
        self.talk(new, b"id\n", b"id 2\n")
        for number in range(20):
            old.sendall(b"to 1 x\n" * 50)
            two.signal(signal.SIGSTOP)
            self.talk(new, b"to 2 %d\n" % number, b"%d\n" % number)
            two.signal(signal.SIGCONT)
            self.expect(old, b"x\n" * 50)


if __name__ == "__main__":
    main()
