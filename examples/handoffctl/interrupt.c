/* SPDX-License-Identifier: MIT */
/*
 * A command that a peer has begun goes on when the tool is gone: the tool says
 * so before the signal ends it. Calls only what a signal handler may call
 * (signal-safety(7)).
 */
#include "interrupt.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char goes_on[] =
	"\nhandoffctl: interrupted: what the peer has begun goes on, and "
	"status says what has come of it; the same command again waits for its "
	"end\n";

static const char waits_no_longer[] =
	"handoffctl: interrupted: waits no longer; nothing was changed\n";

static const char *line = goes_on;
static bool erases; /* a line of progress, which would stay */

static void
tell(int sig)
{
	if (erases)
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
	(void)!write(STDERR_FILENO, line, strlen(line));
	/* ends the program when this returns, as its parent expects */
	signal(sig, SIG_DFL);
	raise(sig);
}

void
interrupt_tells(bool waits)
{
	struct sigaction action = {.sa_handler = tell};
	struct sigaction before;
	const int signals[] = {SIGINT, SIGHUP, SIGTERM};

	if (waits)
		line = waits_no_longer;
	erases = waits && isatty(STDERR_FILENO);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* nohup(1) ignores one */
		if (sigaction(signals[i], NULL, &before) == 0 &&
			before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}
