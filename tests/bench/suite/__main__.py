# SPDX-License-Identifier: MIT
"""Runs the benchmarks and writes their results: NAME.json, NAME*.svg and, of
all that are there, results.md. See docs/benchmarks.md.
"""
import argparse
import datetime
import importlib
import json
import os
import resource
import sys
import time

import core

HERE = os.path.dirname(os.path.abspath(__file__))
# In the order of the page. Each is a module with TITLE, ABOUT and
#   measure(options) -> results, which become JSON
#   tables(results) -> Markdown
#   pictures(results, path) -> {suffix: caption}; path(suffix) is the file
# and may have lacks(options) -> why it cannot be measured here, or None
ALL = ("steady", "workers", "instructions", "memory", "moves",
       "reload", "notices", "engines", "hosts", "sessions", "rpc", "tls")

HEAD = """# Results

Written by `tests/bench/run.sh`; see [benchmarks](../benchmarks.md) for what
they mean.
"""


def load(name):
    return importlib.import_module(name)


def measured_on(record):
    m = record["machine"]
    return (f"Measured {record['date']} in {record['minutes']:.0f} minutes at "
            f"{m['commit']} on {m['cpu']}, {m['cores']} cores, "
            f"{m['memory_mib'] / 1024:.0f} GiB, Linux {m['kernel']}, "
            f"{m['compiler']}, `{m['flags']}`, glibc {m['glibc']}, libuv "
            f"{m['libuv']}, libevent {m['libevent']}; load of the machine "
            f"before: {m['load']:.1f}.")


def run(name, options, folder):
    module = load(name)
    record = {"benchmark": name,
              "date": datetime.date.today().isoformat(),
              "machine": core.machine(options), "quick": options.quick}
    start = time.monotonic()
    record["results"] = module.measure(options)
    record["minutes"] = round((time.monotonic() - start) / 60, 2)
    with open(os.path.join(folder, name + ".json"), "w",
              encoding="utf-8") as file:
        file.write(compact(record))
    return record


def compact(record):
    """JSON with a row a line: to be read, and compared, by people too."""
    rows = json.dumps(record, indent=1)
    out, depth = [], 0
    for line in rows.splitlines():
        text = line.strip()
        indent = len(line) - len(text)
        if indent > 3:
            out[-1] += (" " if out[-1].endswith(",") else "") + text
        elif indent == 3 and text[0] in "}]" and depth > 3:
            out[-1] += text
        else:
            out.append(line)
        depth = indent
    return "\n".join(out) + "\n"


def write_page(folder):
    text = HEAD
    for name in ALL:
        path = os.path.join(folder, name + ".json")
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        module = load(name)
        text += f"\n## {module.TITLE}\n\n{module.ABOUT}\n\n"
        shown = module.pictures(record["results"], lambda suffix: os.path.join(
            folder, f"{name}-{suffix}.svg"))
        for suffix, caption in shown.items():
            text += f"![{caption}]({name}-{suffix}.svg)\n\n"
        text += module.tables(record["results"]) + "\n"
        text += measured_on(record) + "\n"
    with open(os.path.join(folder, "results.md"), "w",
              encoding="utf-8") as file:
        file.write(text)


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run.sh", description="Runs the benchmarks.")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, help="instead of each "
                        "benchmark's own number")
    parser.add_argument("--quick", action="store_true", help="a short run, to "
                        "see that it works; its results are not for the "
                        "committed folder")
    parser.add_argument("--results", metavar="DIR", help="where to write "
                        "(docs/benchmarks; with --quick build/bench/results)")
    parser.add_argument("--page", action="store_true", help="measure nothing: "
                        "only write tables and pictures anew")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="of: " + " ".join(ALL))
    args = parser.parse_args()
    for name in args.names:
        if name not in ALL:
            parser.error(f"there is no benchmark '{name}'")
    return args


def main():
    args = arguments()
    folder = args.results or (
        os.path.join(args.build, "results") if args.quick
        else os.path.join(core.ROOT, "docs/benchmarks"))
    os.makedirs(folder, exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, [core.LOAD_CORE])
    options = core.Options(args.build, args.rounds, args.quick)
    for name in [] if args.page else args.names or ALL:
        why = getattr(load(name), "lacks", lambda _: None)(options)
        if why:
            print(f"{name} is left out: {why}", flush=True)
            continue
        print(f"{name} ...", flush=True)
        record = run(name, options, folder)
        print(load(name).tables(record["results"]), flush=True)
    write_page(folder)
    print("written:", os.path.join(folder, "results.md"))


if __name__ == "__main__":
    sys.exit(main())
