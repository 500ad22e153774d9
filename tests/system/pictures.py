# SPDX-License-Identifier: MIT
"""Records the pictures of docs/lab-pictures.md: small guides in the form of the
lab guide are run with the real programs, and what was typed and what the guide
shows of the output, with the numbers that were there, is drawn as SVG, line
after line. No pauses are those of the recording: a picture is the same each
time, but for its numbers.

usage: HANDOFF_BIN=build/release/examples python3 tests/system/pictures.py
"""
import os
import re
import sys
import tempfile
import textwrap
from xml.sax.saxutils import escape

import lab
from harness import unstamped

FOLDER = os.path.join(lab.ROOT, "docs", "pictures")
COLUMNS = 92
CHAR, LINE, PAD = 7.25, 17, 10  # pixels
BAR = 24  # the title of a terminal
PAUSES = {"command": 1.6, "text": 1.2, "key": 1.0, "see": 0.35}
LAST = 5  # seconds, before it begins again

STYLE = """text{font:12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",\
monospace;fill:#c9d1d9;white-space:pre}
.c{fill:#7ee787}.t{fill:#79c0ff}.b{fill:#8b949e}
@media(prefers-reduced-motion:reduce){g{animation:none!important}}"""

START = """
    $ ./server --dir /tmp/svc --listen 127.0.0.1:7000 --verbose # terminal 1
    server: owner: serves echo (generation NUMBER)
    $ ./alt_server --dir /tmp/svc --verbose                     # terminal 3
    alt: standby: server (pid NUMBER) serves (generation NUMBER)
    $ ./client --dir /tmp/svc --connect 127.0.0.1:7000          # terminal 2
    client: connected to 127.0.0.1:7000
    > hello
    hello
    connection NUMBER: 6 bytes: hello                           # terminal 1
"""

UPGRADE = "./handoffctl --dir /tmp/svc upgrade --log /tmp/log"
NEW = "./server --dir /tmp/svc --listen 127.0.0.1:7000 --name v2"

# Of each picture the terminals from the top down, and the guide.
PICTURES = {
    "handoff": ({4: "operator", 1: "server", 3: "alternate server",
                 2: "client"}, START + """
    $ ./handoffctl --dir /tmp/svc maintenance                   # terminal 4
    moved 1 connection, 1 listener to alt (pid NUMBER) in ... ms, 0 left behind
    alt: owner: took over from server (pid NUMBER) (generation NUMBER) \
# terminal 3
    client: handoff: alt serves now (MAINTENANCE), ...          # terminal 2
    > who is there?
    who is there?
    connection NUMBER: 14 bytes: who is there?                  # terminal 3
    $ ./handoffctl --dir /tmp/svc status | head -1              # terminal 4
    server may be stopped: alt serves the 1 connection and nothing is uncovered
    ^C                                                          # terminal 1
    server: stopped
    > still there?                                              # terminal 2
    still there?
"""),
    "crash": ({4: "operator", 1: "server", 3: "alternate server",
               2: "client"}, START + """
    $ kill -9 $(cut -d' ' -f2 /tmp/svc/peer.1)                  # terminal 4
    Killed...                                                   # terminal 1
    alt: owner: the other peer died; ...                        # terminal 3
    client: handoff: alt serves now (FAILOVER), ...             # terminal 2
    > alive?
    alive?
    connection NUMBER: 7 bytes: alive?                          # terminal 3
"""),
    "upgrade": ({4: "operator", 1: "server", 2: "client"}, f"""
    $ ./server --dir /tmp/svc --listen 127.0.0.1:7000           # terminal 1
    server: owner: serves echo (generation NUMBER)
    $ ./client --dir /tmp/svc --connect 127.0.0.1:7000          # terminal 2
    client: connected to 127.0.0.1:7000
    > hello
    hello
    $ {UPGRADE} --check 'exit 1' -- {NEW}                       # terminal 4
    new: v2: standby: server (pid NUMBER) serves ...
    handoffctl: upgrade: the check ended with exit status 1; everything was ...
    > are you there?                                            # terminal 2
    are you there?
    $ {UPGRADE} -- {NEW}                                        # terminal 4
    new: v2: standby: server (pid NUMBER) serves ...
    upgraded: v2 (pid NUMBER) serves 1 connection in place of server ...
    server: stopped                                             # terminal 1
    > who is there?                                             # terminal 2
    who is there?
"""),
    "top": ({4: "operator"}, """
    $ ./server --dir /tmp/svc --listen 127.0.0.1:7000           # terminal 1
    server: owner: serves echo (generation NUMBER)
    $ ./alt_server --dir /tmp/svc                               # terminal 3
    alt: standby: server (pid NUMBER) serves (generation NUMBER)
    $ ./client --dir /tmp/svc --connect 127.0.0.1:7000          # terminal 2
    client: connected to 127.0.0.1:7000
    > hello
    hello
    $ ./handoffctl --dir /tmp/svc wait --covered                # terminal 5
    $ yes | ./client --dir /tmp/svc --connect 127.0.0.1:7000 >/tmp/out & \
# terminal 5
    [1] NUMBER
    $ until ./handoffctl --dir /tmp/svc say @list | grep "^2 "; do sleep 0.1; done
    2 127.0.0.1:NUMBER server
    $ ./handoffctl --dir /tmp/svc maintenance                   # terminal 4
    moved 2 connections, 1 listener to alt (pid NUMBER) in ... ms, 0 left behind
    $ ./handoffctl --dir /tmp/svc ready --silent
    moved 2 connections, 1 listener from alt (pid NUMBER) in ... ms, 0 left behind
    $ ./handoffctl --dir /tmp/svc top --once
    ... echo: server (pid NUMBER) is owner of 2 connections, 0 not covered, ...
    received ... MB/s, sent ... MB/s
    PEER ID CLIENT IN/S OUT/S BYTES SINCE LABEL
    server NUMBER 127.0.0.1:NUMBER ... MB ... MB ... 0:00:NUMBER
    server NUMBER 127.0.0.1:NUMBER ... B 0 B ... 0:00:NUMBER
    handoffs; longest silence ... ms, in number NUMBER
    NUMBER ... ready-silent alt -> server 2 connections in ... ms
    $ kill $(jobs -p); wait                                     # terminal 5
"""),
}


class Terminal(lab.Terminal):
    """Leaves out the time of a log in a log."""

    def _take(self, line):
        line = re.sub(r".*\r\x1b\[K", "", line)
        if line.startswith("new: "):  # a line of another program's log
            line = "new: " + unstamped(line[5:])
        super()._take(line)


class Recorder(lab.Lab):
    """Notes what is typed and seen: kind, terminal and text."""

    def __init__(self, guide, base):
        super().__init__(guide, base)
        self.shown = []

    def terminal(self, number):
        if number not in self.terminals:
            self.terminals[number] = Terminal(self.folder)
        return self.terminals[number]

    def record(self):
        for at, step in enumerate(self.steps):
            try:
                self._step(at, step)
            except lab.Rotten as rotten:
                raise lab.Rotten(f"terminal {step.terminal}, '{step.text}': "
                                 f"{rotten}") from None
            text = step.text
            if step.kind == "see":
                terminal = self.terminals[step.terminal]
                text = terminal.lines[terminal.cursor - 1]
            self.shown.append((step.kind, step.terminal, self._plain(text)))
        return self.shown

    def _plain(self, text):
        """With the folder and the ports of the guide."""
        text = text.replace(self.base + "/", "/tmp/")
        for port, own in self.ports.items():
            text = re.sub(rf"\b{own}\b", port, text)
        return text.rstrip()


def rows_of(kind, text):
    """The lines that it takes in a terminal of the picture."""
    mark = {"command": "$ ", "text": "> "}.get(kind, "")
    return textwrap.wrap(mark + text, COLUMNS, subsequent_indent="  ",
                         tabsize=8) or [""]


def draw(titles, shown):
    """The SVG of what was shown in the terminals that have a title."""
    shown = [line for line in shown if line[1] in titles]
    width = round(COLUMNS * CHAR + 2 * PAD)
    panes, top = {}, 0
    for terminal in titles:
        rows = sum(len(rows_of(kind, text)) for kind, where, text in shown
                   if where == terminal)
        panes[terminal] = [top, rows * LINE + BAR + PAD]
        top += panes[terminal][1] + 6
    out, rules, at = [], [], 0.4
    for terminal, (y, height) in panes.items():
        out.append(f'<rect y="{y}" width="{width}" height="{height}" rx="5" '
                   f'fill="#0d1117"/>\n<text class="b" x="{PAD}" y="{y + 17}">'
                   f"{escape(titles[terminal])}</text>")
        panes[terminal] = y + BAR + 13
    total = at + sum(PAUSES[kind] for kind, _, _ in shown) + LAST
    for number, (kind, terminal, text) in enumerate(shown):
        at += PAUSES[kind] if number else 0
        rules.append(f"#l{number}{{animation:k{number} {total:.1f}s step-end "
                     f"infinite}}@keyframes k{number}{{0%{{opacity:0}}"
                     f"{100 * at / total:.2f}%{{opacity:1}}}}")
        lines = ""
        for row in rows_of(kind, text):
            lines += (f'<tspan x="{PAD}" y="{panes[terminal]}">{escape(row)}'
                      "</tspan>")
            panes[terminal] += LINE
        out.append(f'<g id="l{number}"><text class="{kind[0]}" '
                   f'xml:space="preserve">{lines}</text></g>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{top}" viewBox="0 0 {width} {top}">\n<style>{STYLE}\n'
            + "\n".join(rules) + "</style>\n" + "\n".join(out) + "\n</svg>\n")


def record(name, base):
    titles, guide = PICTURES[name]
    recorder = Recorder(guide, base)
    try:
        recorder.folder = os.path.abspath(lab.BIN)
        return draw(titles, recorder.record())
    finally:
        recorder.close()


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as base:
            text = record(name, base)
        path = os.path.join(FOLDER, name + ".svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"{path}: {len(text)} bytes")


if __name__ == "__main__":
    main()
