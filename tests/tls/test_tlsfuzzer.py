# SPDX-License-Identifier: MIT
"""Scripts of tlsfuzzer for TLS 1.3, against this server and against OpenSSL's
s_server with the same certificate: what is right there is right here, also while
connections are handed over and peers are killed. The scripts pick
conversations at random: s_server's are run again here, by name.

HANDOFF_TLSFUZZER is a folder with checkouts of tlsfuzzer, tlslite-ng and
python-ecdsa: tested with commits 14555fe, 0d03169 and bff40c6. Without it these
tests are skipped. HANDOFF_LONG=1: all scripts, not those of seconds only."""
import os
import re
import subprocess
import sys
import threading
import unittest

from pki import RSA, TlsTest, main, openssl

FUZZER = os.environ.get("HANDOFF_TLSFUZZER")
LONG = os.environ.get("HANDOFF_LONG") == "1"

# What cannot be run: with tickets or early data, after the handshake, or with
# certificates that this server does not have.
QUICK = """ccs conversation empty-alert ffdhe-sanity finished
finished-plaintext hrr invalid-ciphers keyshare-omitted keyupdate legacy-version
nociphers pkcs-signature record-padding rsa-signatures signature-algorithms
symetric-ciphers unencrypted-alert unrecognised-groups zero-content-type
zero-length-data""".split()
SLOW = """0rtt-garbage crfg-curves ecdhe-brainpool-curves ecdhe-curves eddsa
ffdhe-groups large-number-of-extensions lengths multiple-ccs-messages
no-unknown-groups non-support obsolete-curves record-layer-limits
rsapss-signatures shuffled-extentions version-negotiation""".split()
LEAST = 2000 if LONG else 450  # conversations
# The clients of a few send more than the 64 KiB that handoff_tls(3) allows.
TOO_LONG = "Alert(fatal, record_overflow)"
TOO_LONG_MOST = 5
# Requests that come together are answered by one KeyUpdate, RFC 8446 4.6.3.
TOGETHER = {"multiple KeyUpdate messages"}


def packages():
    return [os.path.join(FUZZER, *path) for path in (
        ("tlsfuzzer",), ("tlslite-ng",), ("python-ecdsa", "src"))]


def results(text):
    """The name of each conversation, and what was not as expected in it."""
    parts = re.split(r"^(.+) \.\.\.$", text.partition("\nTest end\n")[0],
                     flags=re.M)
    return {name: None if re.search("^OK", said, re.M) else said
            for name, said in zip(parts[1::2], parts[2::2])}


@unittest.skipUnless(FUZZER, "HANDOFF_TLSFUZZER is not set")
class Fuzzer(TlsTest):
    def setUp(self):
        super().setUp()
        # of itself: clients of the scripts want nothing but RSA
        self.files = (self.root.path("rsa", "crt"), self.root.path("rsa", "key"))
        openssl("req", "-x509", "-newkey", *RSA, "-nodes", "-days", "30",
                "-subj", "/CN=localhost", "-out", self.files[0], "-keyout",
                self.files[1])

    def run_script(self, name, port, *only):
        script = os.path.join(FUZZER, "tlsfuzzer", "scripts",
                              f"test-tls13-{name}.py")
        done = subprocess.run(
            [sys.executable, "-B", script, "-h", "localhost", "-p", str(port),
             *only], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=600, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(packages())})
        found = results(done.stdout)
        self.assertTrue(found, f"{name}: {done.stdout}")
        return found

    def reference(self):
        """OpenSSL's server, without tickets as this one."""
        cert, key = self.files
        server = self.start("/usr/bin/env", "openssl", "s_server", "-accept",
                            "127.0.0.1:0", "-cert", cert, "-key", key, "-www",
                            "-tls1_3", "-num_tickets", "0")
        address = server.expect(r"^ACCEPT (\S+)$")[1]
        return int(address.rsplit(":", 1)[1])

    def compare(self):
        """Returns how many conversations there were."""
        port = self.reference()
        count, too_long = 0, 0
        for name in QUICK + (SLOW if LONG else []):
            expected = self.run_script(name, port)
            found = self.run_script(name, self.port, *expected)
            self.assertEqual(set(found), set(expected), name)
            for what, wrong in found.items():
                if not wrong or expected[what] or what in TOGETHER:
                    continue
                self.assertIn(TOO_LONG, wrong, f"{name}: {what}")
                too_long += 1
            count += len(found)
        self.assertLessEqual(too_long, TOO_LONG_MOST)
        return count

    def test_as_openssl(self):
        self.both("--silent")
        self.assertGreaterEqual(self.compare(), LEAST)

    def test_as_openssl_while_connections_move(self):
        self.both("--silent")
        over = threading.Event()
        failures = []

        def move():
            try:
                while not over.is_set():
                    self.give()
                    self.give()
                    self.kill_owner("--silent")
            except Exception as err:  # pylint: disable=broad-except
                failures.append(err)

        mover = threading.Thread(target=move)
        mover.start()
        try:
            count = self.compare()
        finally:
            over.set()
            mover.join()
        self.assertEqual(failures, [])
        self.assertGreaterEqual(count, LEAST)
        self.assertGreater(self.births, 5)


if __name__ == "__main__":
    main()
