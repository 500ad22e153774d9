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

static const char told[] =
	"\nhandoffctl: interrupted: what the peer has begun goes on, and "
	"status says what has come of it; the same command again waits for its "
	"end\n";

static void
tell(int sig)
{
	(void)!write(STDERR_FILENO, told, sizeof(told) - 1);
	/* ends the program when this returns, as its parent expects */
	signal(sig, SIG_DFL);
	raise(sig);
}

void
interrupt_tells(void)
{
	struct sigaction action = {.sa_handler = tell};
	struct sigaction before;
	const int signals[] = {SIGINT, SIGHUP, SIGTERM};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* nohup(1) ignores one */
		if (sigaction(signals[i], NULL, &before) == 0 &&
			before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}
