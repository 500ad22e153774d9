# SPDX-License-Identifier: MIT
"""The pictures of docs/lab-pictures.md are what the programs print today, but
for numbers; and a difference is noticed."""
import os
import re
import unittest
from unittest import mock
from xml.etree import ElementTree

import lab
import pictures
from harness import SCALE, SystemTest, main

SVG = "{http://www.w3.org/2000/svg}"
PAGE = os.path.join(lab.ROOT, "docs", "lab-pictures.md")
SMALL = 16 << 10  # bytes


def shape(svg):
    """What kind of line is where, in order, without its numbers: as they are
    longer or shorter, so are the spaces, and where a line is broken."""
    lines = []
    for text in ElementTree.fromstring(svg).iter(SVG + "text"):
        rows = [text.text or ""] + [row.text for row in text]
        words = " ".join(rows).split()
        lines.append((text.get("class"), " ".join(
            re.sub(r"\d+", "0", word) for word in words)))
    return [(kind, re.sub(r"\b(k|M|G)?B\b", "B", text.replace("0.0 ", "0 ")))
            for kind, text in lines]


def committed(name):
    with open(os.path.join(pictures.FOLDER, name + ".svg"),
              encoding="utf-8") as file:
        return file.read()


class Pictures(SystemTest):
    def test_are_what_happens(self):
        for name in pictures.PICTURES:
            with self.subTest(name):
                base = os.path.join(self.base, name)
                os.mkdir(base)
                self.assertEqual(shape(pictures.record(name, base)),
                                 shape(committed(name)))

    def test_other_output_is_noticed(self):
        titles, guide = pictures.PICTURES["upgrade"]
        for old, new in (("exit status 1;", "exit status 2;"),
                         ("serves 1 connection", "serves 2 connections")):
            self.assertIn(old, guide)
            changed = {"upgrade": (titles, guide.replace(old, new))}
            base = os.path.join(self.base, old.split()[0])
            os.mkdir(base)
            with mock.patch.object(pictures, "PICTURES", changed), \
                    mock.patch.object(lab, "DEADLINE", 3 * SCALE):
                with self.assertRaisesRegex(lab.Rotten, "not seen"):
                    pictures.record("upgrade", base)


class Files(unittest.TestCase):
    def test_page_has_them_all(self):
        with open(PAGE, encoding="utf-8") as file:
            shown = re.findall(r"\]\(pictures/(\w+)\.svg\)", file.read())
        self.assertEqual(shown, list(pictures.PICTURES))
        self.assertEqual(sorted(os.listdir(pictures.FOLDER)),
                         sorted(name + ".svg" for name in shown))

    def test_are_small_and_whole(self):
        for name in pictures.PICTURES:
            with self.subTest(name):
                text = committed(name)
                self.assertLess(len(text), SMALL)
                svg = ElementTree.fromstring(text)
                height = int(svg.get("height"))
                for row in svg.iter(SVG + "tspan"):
                    self.assertLess(int(row.get("y")), height)
                    self.assertLessEqual(len(row.text), pictures.COLUMNS)
                # a line that is not animated is there from the beginning
                lines = [line.get("id") for line in svg.iter(SVG + "g")]
                self.assertEqual(re.findall(r"#(l\d+)\{", text), lines)
                self.assertNotRegex(text, r"/tmp/(?!svc|log)|/work|/home")

    def test_shape(self):
        """It sees words and their kind, not numbers."""
        one = pictures.draw({1: "one"}, [("see", 1, "pid 12 in 0.3 ms")])
        two = pictures.draw({1: "one"}, [("see", 1, "pid 7 in  20.25 ms")])
        self.assertEqual(shape(one), shape(two))
        for other in (("see", 1, "pid 12 in 0.3 s"),
                      ("text", 1, "pid 12 in 0.3 ms")):
            self.assertNotEqual(shape(one), shape(pictures.draw(
                {1: "one"}, [other])))
        long = "word " * 30
        self.assertEqual(shape(pictures.draw({1: "one"}, [("see", 1, long)])),
                         [("b", "one"), ("s", long.strip())])


if __name__ == "__main__":
    main()
