# SPDX-License-Identifier: MIT
"""Calls that fail: each call site that a peer reaches in a phase of its life,
with each transient errno, made to fail once in a pair of real peers with
clients of its own. The short form takes some of them at random, HANDOFF_LONG=1
all, in four models. HANDOFF_ONLY="give alt sendmsg" takes those of which every
word is a part ("=" before it: the whole) of phase, program, function, errno or
place; HANDOFF_LIST=1 only lists them; HANDOFF_REPORT=FILE gets what was bad, a
JSON object a line."""
import collections
import concurrent.futures
import json
import os
import random
import sys
import time
import unittest

from failing import PHASES, Pair, Plan, lead
from fault import LONG, SEED, main
from harness import private_queues
from sites import PASSING, describe

JOBS = int(os.environ.get("HANDOFF_JOBS", "8"))
ONLY = os.environ.get("HANDOFF_ONLY", "").split()
MODELS = os.environ.get(
    "HANDOFF_MODELS", "loop thread fork workers" if LONG else "loop").split()
SAMPLE = 250              # cells of the short form
CALLS = 8 if LONG else 4  # of a site in a phase that are hit: the first ones


def record(pool, model):
    """What is reached in each phase, if nothing fails. Twice, as no two runs
    are the same."""
    runs = {phase: [pool.submit(lead, model, phase) for _ in range(2)]
            for phase in PHASES}
    cells, known = [], {}
    for phase, pair in runs.items():
        done = [each.result() for each in pair]
        for _, bad in done:
            if bad:
                raise AssertionError(f"{model} {phase}: nothing fails, and "
                                     f"yet: {bad}")
        known[phase] = dict(done[0][0].files)
        known[phase]["descriptors"] = {
            name: done[0][0].descriptors[name] | done[1][0].descriptors[name]
            for name in done[0][0].descriptors}
        for name in PHASES[phase]:
            calls = collections.Counter()
            for found, _ in done:
                calls |= collections.Counter(found.calls[name])
            cells += [Plan(phase, name, site, nth, 1, error)
                      for site, count in calls.items()
                      for nth in range(1, min(count, CALLS) + 1)
                      for error in PASSING.get(site.function, ())]
    return cells, known


def chosen(plan):
    fields = (plan.phase, plan.program, plan.site.function, plan.error,
              describe(plan.site))
    return all(word[1:] in fields if word[0] == "=" else
               any(word in field for field in fields) for word in ONLY)


def row(model, plan, bad):
    return {"model": model, "phase": plan.phase, "program": plan.program,
            "function": plan.site.function, "site": describe(plan.site),
            "call": plan.nth, "errno": plan.error, "kind": bad.kind,
            "text": bad.text}


def table(rows):
    """Those that differ only in the errno, the call or the model are one."""
    same = collections.defaultdict(list)
    for each in rows:
        same[each["function"], each["site"], each["phase"], each["program"],
             each["kind"]].append(each)
    lines = []
    for key, found in sorted(same.items()):
        function, site, phase, program, kind = key
        what = " ".join(dict.fromkeys(
            f"{e['errno']}/{e['call']}" for e in found))
        models = " ".join(dict.fromkeys(e["model"] for e in found))
        lines.append(f"{kind:11} {phase:8} {program:6} {function}: {site}\n"
                     f"    {len(found)}: {what} ({models})\n"
                     f"    {found[0]['text'][:300]}")
    return "\n".join(lines)


class Failures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        Pair.queues = private_queues()

    def model(self, model):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            cells, known = record(pool, model)
            reached = len(cells)
            cells = [plan for plan in cells if chosen(plan)]
            chance = random.Random(f"{SEED} {model}")
            chance.shuffle(cells)
            if not LONG and not ONLY:
                cells = cells[:SAMPLE]
            if os.environ.get("HANDOFF_LIST"):
                for plan in sorted(cells):
                    print(plan.phase, plan.program, plan.site.function,
                          describe(plan.site), plan.nth, plan.error)
                return
            self.hits(pool, model, cells, known, reached)

    def hits(self, pool, model, cells, known, reached):
        start = time.monotonic()
        runs = [(plan, pool.submit(lead, model, plan.phase, plan,
                                   known[plan.phase])) for plan in cells]
        rows, hit, refused = [], 0, 0
        for plan, run in runs:
            pair, bad = run.result()
            hit += pair.hit()
            refused += bool(pair.refusal)
            # Without a hit it must be good as well.
            if bad:
                rows.append(row(model, plan, bad))
                self.report(rows[-1])
        kinds = collections.Counter(each["kind"] for each in rows)
        print(f"{model}: seed {SEED}: {len(cells)} of {reached} cells, {hit} "
              f"hit, {refused} refused with a sentence, {len(rows)} bad "
              f"{dict(kinds)} in {time.monotonic() - start:.0f} s",
              file=sys.stderr, flush=True)
        self.assertGreater(hit, len(cells) // 2, "calls hardly ever fail")
        if rows:
            self.fail("\n" + table(rows))

    def report(self, found):
        path = os.environ.get("HANDOFF_REPORT")
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")


def spread():
    for model in MODELS:
        def test(self, model=model):
            self.model(model)
        setattr(Failures, f"test_{model}", test)


spread()
if __name__ == "__main__":
    main()
