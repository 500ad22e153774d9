# SPDX-License-Identifier: MIT
"""Executes a program the way systemd does: with descriptors from 3 on, their
environment variables, and a control group. usage: activate.py JSON PROGRAM
[ARGUMENT]...
"""
import fcntl
import json
import os
import sys

START = 3  # sd_listen_fds(3)

how, argv = json.loads(sys.argv[1]), sys.argv[2:]
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in how["fds"]]
for number, fd in enumerate(fds, START):
    os.dup2(fd, number, inheritable=True)
    os.close(fd)
if fds:
    os.environ["LISTEN_FDS"] = str(len(fds))
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDNAMES"] = ":".join(how["names"])
if how["notify"]:
    os.environ["NOTIFY_SOCKET"] = how["notify"]
if how["watchdog_us"]:
    os.environ["WATCHDOG_USEC"] = str(how["watchdog_us"])
    os.environ["WATCHDOG_PID"] = str(os.getpid())
if how["group"]:
    with open(os.path.join(how["group"], "cgroup.procs"), "w",
              encoding="ascii") as procs:
        procs.write(str(os.getpid()))
os.environ.update(how["env"])
os.execv(argv[0], argv)
