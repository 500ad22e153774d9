/* SPDX-License-Identifier: MIT */
/*
 * stopat: stops a process when it comes to an address, by a breakpoint, so that
 * what is tested needs no hook for it. `stopat PID ADDRESS N` (hexadecimal; of
 * the N-th time) prints "armed", then "hit", and obeys a line on standard
 * input: "kill" ends the process by SIGKILL where it is, "go" lets it run on.
 * Exits with 77 where it does not know the machine. Knows nothing of the
 * library. The process has one thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define BREAK      0xccul
#define BREAK_MASK 0xfful
#define PC(regs)   ((regs).rip)
#define PAST       1 /* the counter is behind the breakpoint */
#elif defined(__aarch64__)
#define BREAK      0xd4200000ul
#define BREAK_MASK 0xfffffffful
#define PC(regs)   ((regs).pc)
#define PAST       0
#else
#define UNKNOWN
#endif

static void
say(const char *word)
{
	puts(word);
	fflush(stdout);
}

#ifndef UNKNOWN
static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "stopat: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
ask(int request, pid_t pid, void *address, unsigned long data, const char *what)
{
	must(ptrace((enum __ptrace_request)request, pid, address,
		     (void *)data) == 0,
		what);
}

/* Waits until it stops, by that signal; others are delivered. */
static void
await_stop(pid_t pid, int wanted)
{
	int status;

	for (;;) {
		must(waitpid(pid, &status, __WALL) == pid, "waitpid");
		if (!WIFSTOPPED(status)) {
			fprintf(stderr, "stopat: the process has ended\n");
			exit(3);
		}
		if (WSTOPSIG(status) == wanted)
			return;
		ask(PTRACE_CONT, pid, NULL,
			status >> 16 ? 0 : (unsigned long)WSTOPSIG(status),
			"go on");
	}
}

/* Puts the counter back on the instruction that the breakpoint hides. */
static void
step_back(pid_t pid)
{
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};

	ask(PTRACE_GETREGSET, pid, (void *)1, (unsigned long)&iov, "registers");
	PC(regs) -= PAST;
	ask(PTRACE_SETREGSET, pid, (void *)1, (unsigned long)&iov, "registers");
}

static void
run(pid_t pid, void *at, unsigned long times)
{
	unsigned long word;

	ask(PTRACE_SEIZE, pid, NULL, 0, "attach");
	ask(PTRACE_INTERRUPT, pid, NULL, 0, "interrupt");
	await_stop(pid, SIGTRAP);
	errno = 0;
	word = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, at, NULL);
	must(errno == 0, "read the instruction");
	for (;;) {
		ask(PTRACE_POKETEXT, pid, at, (word & ~BREAK_MASK) | BREAK,
			"breakpoint");
		ask(PTRACE_CONT, pid, NULL, 0, "go on");
		say("armed");
		await_stop(pid, SIGTRAP);
		ask(PTRACE_POKETEXT, pid, at, word, "breakpoint");
		step_back(pid);
		if (--times == 0)
			return;
		ask(PTRACE_SINGLESTEP, pid, NULL, 0, "step");
		await_stop(pid, SIGTRAP);
	}
}

int
main(int argc, char **argv)
{
	char line[16] = "";
	pid_t pid;

	if (argc != 4) {
		fputs("usage: stopat PID ADDRESS N\n", stderr);
		return 2;
	}
	pid = atoi(argv[1]);
	run(pid, (void *)(uintptr_t)strtoull(argv[2], NULL, 16),
		strtoul(argv[3], NULL, 10));
	say("hit");
	if (fgets(line, sizeof(line), stdin) && strcmp(line, "kill\n") == 0)
		kill(pid, SIGKILL);
	else
		ask(PTRACE_DETACH, pid, NULL, 0, "let go");
	return 0;
}
#else
int
main(void)
{
	say("SKIP: no breakpoints are known of this machine");
	return 77;
}
#endif
