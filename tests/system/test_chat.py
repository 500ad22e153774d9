# SPDX-License-Identifier: MIT
"""The example chat: what one writes all others get, in every model, and the
room survives the process."""
import socket

from harness import SystemTest, main


class Chat(SystemTest):
    def chat(self, name, *options):
        return self.start("chat", "--dir", self.dir, "--name", name, *options)

    def room(self, *options):
        one = self.chat("one", "--listen", "127.0.0.1:0", *options)
        address = one.expect(r": listening on (\S+)")[1]
        two = self.chat("two", *options)
        two.expect(": standby: ")
        return one, two, address

    def enter(self, address, name, *others):
        sock = self.connect(address)
        self.see(sock, "* welcome: what is your name?")
        sock.sendall(name.encode() + b"\n/who\n")
        self.see(sock, "* you are " + name)
        for other in others:
            self.see(other, f"* {name} has joined")
        return sock

    def see(self, sock, *lines):
        for line in lines:
            text = line.encode() + b"\n"
            self.assertEqual(self.receive(sock, len(text)), text)

    def talk(self, *options):
        one, two, address = self.room(*options)
        anna = self.enter(address, "anna")
        bert = self.enter(address, "bert", anna)
        carl = self.enter(address, "carl", anna, bert)
        self.wait_peer("two", held=3)
        anna.sendall(b"hello\r\n")
        for sock in (bert, carl):
            self.see(sock, "anna: hello")
        self.ok("maintenance")
        bert.sendall(b"moved\n")
        for sock in (anna, carl):
            self.see(sock, "bert: moved")
        self.wait_peer("one", held=3)
        two.kill()
        one.expect(": owner: .* died")
        carl.sendall(b"survived\n/quit\n")
        for sock in (anna, bert):
            self.see(sock, "carl: survived", "* carl has left")
        self.assertEqual(carl.recv(1), b"")
        bert.shutdown(socket.SHUT_RDWR)
        self.see(anna, "* bert has left")

    def test_loop(self):
        self.talk()

    def test_workers(self):
        self.talk("--workers", 2)

    def test_thread(self):
        self.talk("--model", "thread")

    def test_fork(self):
        self.talk("--model", "fork")

    def test_bad_input(self):
        _, _, address = self.room()
        anna = self.enter(address, "anna")
        other = self.connect(address)
        self.see(other, "* welcome: what is your name?")
        other.sendall(b"\n" + b"x" * 21 + b"\n")
        self.see(other, *["* a name of 1 to 20 bytes, please"] * 2)
        anna.sendall(b"nobody there\n/who\n")
        self.see(anna, "* you are anna")
        other.sendall(b"y" * 1500 + b"\n")
        self.assertEqual(other.recv(1), b"")


if __name__ == "__main__":
    main()
