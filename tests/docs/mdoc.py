# SPDX-License-Identifier: MIT
"""A manual page as mandoc renders it, split into sections, prototypes and
blocks of code. Checks nothing itself."""
import os
import re
import subprocess
import textwrap

HEAD = ".Dd $Mdocdate$\n.Dt BLOCK 7\n.Os\n.Sh BLOCK\n.Bd -literal\n"

# What is called where it stands in a line of a macro (mdoc(7), MACRO SYNTAX);
# of these, what a sentence may begin with.
CALLED = set(
    "Ac Ad An Ao Ap Aq Ar At Bc Bo Bq Brc Bro Brq Bsx Bx Cd Cm Dc Do Dq Dv Dx "
    "Ec Em En Eo Er Es Ev Fa Fc Fl Fn Fo Fr Ft Fx Ic In Li Lk Ms Mt Nm No Ns "
    "Nx Oc Oo Op Ox Pa Pc Pf Po Pq Qc Ql Qo Qq Sc So Sq St Sx Sy Ta Tn Ux Va "
    "Vt Xc Xo Xr".split())
WORDS = set("Ad An At Do In So".split())
HEADINGS = {"Sh", "Ss", "Nd"}


def accidents(source):
    """Lines in which a word of a sentence is a macro, and not printed:
    ".Ss In a handler" is "<a> handler"."""
    found = []
    for line in re.findall(r"^\.(.*)$", source, re.M):
        first, *rest = re.findall(r'"[^"]*"|\S+', line) or [""]
        called = CALLED if first in HEADINGS else WORDS
        if called.intersection(rest) or first in WORDS - {"In"} or (
                first == "In" and not re.fullmatch(r"\S+\.h", "".join(rest))):
            found.append("." + line)
    return found


def render(text):
    """mdoc as plain text, in lines that are never broken."""
    done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=900"],
                          input=text, capture_output=True, text=True,
                          check=True)
    return re.sub(".\b", "", done.stdout)


def flat(text):
    """C without the white space that means nothing."""
    text = re.sub(r"\s+", " ", text.strip())
    return re.sub(r" ?([*(),\[\]]) ?", r"\1", text)


def name_of(prototype):
    return re.search(r"(\w+)\(", prototype)[1]


class Page:
    def __init__(self, path):
        self.file = os.path.basename(path)
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        match = re.search(r"^\.Dt (\S+) (\d)$", self.source, re.M)
        self.title, self.number = match[1].lower(), match[2]
        self.sections = self.split(render(self.source))
        self.names = [name.strip(" ,") for name in re.findall(
            r"^\.Nm (.+)$", self.section_source("NAME"), re.M)]
        self.references = re.findall(r"^\.Xr (\S+) (\S+)", self.source, re.M)

    @staticmethod
    def split(text):
        """What stands below each heading; the first and last line are the
        page's own."""
        parts = re.split(r"^([A-Z][A-Z ]+)$", text, flags=re.M)
        return {name.strip(): body for name, body
                in zip(parts[1::2], parts[2::2])}

    def section_source(self, name):
        match = re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", self.source,
                          re.M | re.S)
        return match[1] if match else ""

    def synopsis(self):
        return self.sections.get("SYNOPSIS", "")

    def includes(self):
        return re.findall(r"#include <(\S+)>", self.synopsis())

    def defines(self):
        return [flat(line) for line in
                re.findall(r"^\s*(#define .*)$", self.synopsis(), re.M)]

    def declarations(self):
        """Functions and types of functions, each as one line."""
        text = re.sub(r"^\s*#.*$", "", self.synopsis(), flags=re.M)
        return [flat(part) for part in text.split(";")[:-1]]

    def libraries(self):
        return re.findall(r"-l(\S+)", self.sections.get("LIBRARY", ""))

    def programs(self):
        """The blocks that are C to be compiled as they are."""
        blocks = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", self.source,
                            re.M | re.S)
        blocks = [render(HEAD + block + ".Ed\n") for block in blocks]
        # Without the page's first and last line, and the heading.
        blocks = ["\n".join(block.rstrip().splitlines()[3:-1]) + "\n"
                  for block in blocks]
        return [textwrap.dedent(block) for block in blocks
                if "#include" in block]
