# SPDX-License-Identifier: MIT
"""Shared by the benchmarks: the machine, processes and their cost, rounds of
figures and their ratios, and the tables and pictures of the results.
"""
import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
CORES = sorted(os.sched_getaffinity(0))
# The benchmark itself and the load run on the first core, servers on the last.
KERNEL_STACK = 16384  # of a thread, on x86-64 and arm64
LOAD_CORE, SERVER_CORE = CORES[0], CORES[-1]


class Options:
    """Of one run: where the programs are, and how long it may take."""

    def __init__(self, build, rounds, quick):
        self.build = build
        self.quick = quick
        self.given_rounds = rounds

    def rounds(self, usual, quick=3):
        return self.given_rounds or (quick if self.quick else usual)

    def program(self, name):
        for folder in ("examples", "tests/bench", "tests/tools",
                       "tests/rpc"):
            path = os.path.join(self.build, folder, name)
            if os.path.exists(path):
                return path
        raise SystemExit(f"{name} is not in {self.build}: see run.sh")


def first_line(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout.splitlines() or ["unknown"])[0].strip()


def package_version(name):
    return first_line("dpkg-query", "-W", "-f", "${Version}", name)


def machine(options):
    """What the figures depend on."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read())[1])
    with open(os.path.join(options.build, "CMakeCache.txt"),
              encoding="utf-8") as file:
        cache = dict(re.findall(r"^(\w+):\w+=(.*)$", file.read(), re.M))
    flags = cache.get("CMAKE_C_FLAGS_" + cache["CMAKE_BUILD_TYPE"].upper(), "")
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": len(CORES), "memory_mib": memory // 1024,
        "kernel": platform.release(),
        "compiler": first_line(cache["CMAKE_C_COMPILER"], "--version"),
        "flags": flags, "glibc": platform.libc_ver()[1],
        "libuv": package_version("libuv1-dev"),
        "libevent": package_version("libevent-dev"),
        "commit": first_line("git", "-C", ROOT, "describe", "--always",
                             "--dirty"),
        "load": os.getloadavg()[0],
    }


class Process:
    """A program that was started, pinned to a core (None: to none)."""

    def __init__(self, *argv, core=LOAD_CORE, stdin=False, env=None):
        cores = CORES if core is None else [core]
        self.popen = subprocess.Popen(
            [str(word) for word in argv], text=True, stdout=subprocess.PIPE,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.pid = self.popen.pid

    def expect(self, pattern):
        """The next line that matches."""
        for line in self.popen.stdout:
            found = re.search(pattern, line)
            if found:
                return found
        raise SystemExit(f"{self.popen.args} ended without '{pattern}'")

    def stop(self, how=signal.SIGKILL):
        """Ends it, if it has not ended; returns its exit status."""
        self.popen.send_signal(how)
        status = self.popen.wait(60)
        for pipe in (self.popen.stdout, self.popen.stdin):
            if pipe:
                pipe.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Clients(Process):
    """Connections to a server; see clients.c for the commands."""

    def __init__(self, options, address, connections, *args, core=LOAD_CORE,
                 program="clients"):
        super().__init__(options.program(program), address, connections, *args,
                         core=core, stdin=True)
        self.expect("^ready$")

    def ask(self, *words):
        self.popen.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.popen.stdin.flush()
        return json.loads(self.expect(r"^\{.*\}$")[0])


@contextlib.contextmanager
def awake(options):
    """While it lasts no core falls asleep; see awake.c."""
    with contextlib.ExitStack() as stack:
        for number in CORES:
            stack.enter_context(Process(options.program("awake"), core=number))
        yield


def tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def children(pids):
    """`pids` and all their descendants."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8",
                      errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(name))
    found, new = list(pids), list(pids)
    while new:
        new = [child for pid in new for child in parents.get(pid, ())]
        found += new
    return found


def cpu_ns(pids):
    """Time on a CPU of all threads that live. Exact while they sleep: the
    kernel counts in ns (proc(5), schedstat)."""
    total = 0
    for pid in pids:
        for task in tasks(pid):
            try:
                with open(f"/proc/{pid}/task/{task}/schedstat",
                          encoding="ascii") as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass
    return total


def status_kib(pid, *names):
    """Sum of fields of /proc/PID/status, in KiB."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8",
                  errors="replace") as file:
            fields = dict(re.findall(r"^(\w+):\s*(\d+) kB", file.read(), re.M))
    except OSError:
        return 0
    return sum(int(fields.get(name, 0)) for name in names)


def shared_bytes(pids):
    """What the memfds of the processes have allocated, each counted once."""
    files = {}
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{fd}"
                if os.readlink(path).startswith("/memfd:"):
                    info = os.stat(path)
                    files[info.st_ino] = info.st_blocks * 512
        except OSError:
            pass
    return sum(files.values())


def memory(pids):
    """In bytes: `resident` is what is private, and shared memory once;
    `tables` are page tables, `stacks` those of the kernel for each thread."""
    threads = sum(len(tasks(pid)) for pid in pids)
    return {
        "resident": 1024 * sum(status_kib(pid, "RssAnon", "RssFile")
                               for pid in pids) + shared_bytes(pids),
        "tables": 1024 * sum(status_kib(pid, "VmPTE") for pid in pids),
        "stacks": KERNEL_STACK * threads,
    }


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def quartiles(values):
    """Median and the two quartiles."""
    if len(values) < 2:
        return [values[0]] * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return [middle, low, high]


class Samples:
    """Figures by case, subject and round. Whatever is measured in the same
    round is compared with each other, and the ratios are what is reported."""

    def __init__(self):
        self.figures = {}  # case -> subject -> figure -> round -> value

    def add(self, case, subject, number, **figures):
        at = self.figures.setdefault(case, {}).setdefault(subject, {})
        for name, value in figures.items():
            at.setdefault(name, {})[number] = value

    def rows(self, floor, ratio_of, cases=None, subjects=None):
        """One row a case and subject, in the order given: each figure as [median, first quartile,
        third quartile], and for each of `ratio_of` the same of its ratios to
        `floor` (a subject) within a round."""
        rows = []
        for case in cases or self.figures:
            measured = self.figures.get(case, {})
            for subject in subjects or measured:
                figures = measured.get(subject)
                if not figures:
                    continue
                row = {"case": case, "subject": subject,
                       "rounds": max(len(v) for v in figures.values())}
                for name, values in figures.items():
                    row[name] = rounded(quartiles(list(values.values())))
                for name in ratio_of:
                    base = measured.get(floor, {}).get(name, {})
                    ratios = [value / base[number] for number, value
                              in figures.get(name, {}).items()
                              if base.get(number)]
                    if ratios:
                        row[name + "_ratio"] = rounded(quartiles(ratios))
                rows.append(row)
        return rows


def rounded(values):
    return [float(f"{value:.5g}") for value in values]


def spread(values, form="{:.2f}"):
    """'median (quartile to quartile)'."""
    text = [form.format(value) for value in values]
    return text[0] + (f" ({text[1]} to {text[2]})"
                      if text[1] != text[2] else "")


def markdown(head, rows):
    """A table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |",
             "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |"
              for row in rows]
    return "\n".join(lines) + "\n"


STYLE = """set terminal svg size {width},{height} font 'sans-serif,13' \
background rgb 'white'
set output '{output}'
set title '{title}' font ',15'
set grid ytics lc rgb '#dddddd'
set border 3 lc rgb '#888888'
set tics nomirror
set bmargin 4
set key outside top center horizontal
set linetype 1 lc rgb '#1f6fb4' lw 2
set linetype 2 lc rgb '#7fb2dd' lw 2
set linetype 3 lc rgb '#2f9e74' lw 2
set linetype 4 lc rgb '#b8860b' lw 2
set linetype 5 lc rgb '#444444' lw 2
set linetype 6 lc rgb '#999999' lw 2
set linetype 7 lc rgb '#c0503c' lw 2
set linetype 8 lc rgb '#8a5fa8' lw 2
set linetype cycle 8
"""


def gnuplot(output, title, script, width=860, height=440):
    text = STYLE.format(output=output, title=title, width=width,
                        height=height) + script
    subprocess.run(["gnuplot"], input=text, text=True, check=True)


def bars(output, title, ylabel, cases, series, line=None, log=False):
    """A picture of grouped bars. `series` maps a name to a list with, for each
    case, [value, low, high] or None. `line` is a level to draw."""
    blocks, plots = [], []
    for name, values in series.items():
        cells = [" ".join(str(v) for v in value) if value else "NaN NaN NaN"
                 for value in values]
        block = "".join('"' + case.replace(", ", "\\n") + f'" {cell}\n'
                        for case, cell in zip(cases, cells))
        label = f"$data{len(blocks)}"
        blocks.append(f"{label} << E\n{block}E\n")
        plots.append(f"{label} using 2:3:4:xtic(1) title '{name}'")
    if line is not None:
        plots.append(f"{line} with lines lc rgb '#000000' dt 2 lw 1 notitle")
    gnuplot(output, title, "".join(blocks) + f"""
set style data histograms
set style histogram errorbars gap 1.5 lw 1
set style fill solid 0.85 noborder
set boxwidth 0.95
set ylabel '{ylabel}'
{"set logscale y; set yrange [10:*]" if log else "set yrange [0:*]"}
plot {', '.join(plots)}
""")


def curves(output, title, xlabel, ylabel, series, log="xy"):
    """A picture of curves. `series` maps a name to a list of points
    (x, [value, low, high])."""
    blocks, plots = [], []
    for name, points in series.items():
        label = f"$data{len(blocks)}"
        block = "".join(f"{x} {v[0]} {v[1]} {v[2]}\n" for x, v in points)
        blocks.append(f"{label} << E\n{block}E\n")
        plots.append(f"{label} using 1:2:3:4 with yerrorlines pt 7 ps 0.5 "
                     f"title '{name}'")
    gnuplot(output, title, "".join(blocks) + f"""
{'set logscale ' + log if log else ''}
set xlabel '{xlabel}'
set ylabel '{ylabel}'
plot {', '.join(plots)}
""")
