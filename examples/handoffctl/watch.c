/* SPDX-License-Identifier: MIT */
/*
 * The status again and again. Waits for the time to pass or for the reader to
 * go away, and for nothing else: each status has a deadline of its own.
 */
#include "watch.h"

#include <handoff.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLEAR "\033[H\033[J" /* cursor home, erase below (ECMA-48) */

static bool
is_status(const char *reply)
{
	return strchr(reply, '\n') != NULL;
}

/* What goes before the status, and what stands in its place: beside lines of
 * JSON that is not for the program that reads them. */
static bool
draw(const char *reply, bool json, bool first)
{
	if (isatty(STDOUT_FILENO))
		fputs(CLEAR, stdout);
	else if (!first && !json)
		putchar('\n');
	if (is_status(reply))
		fputs(reply, stdout);
	else
		fprintf(json ? stderr : stdout, "%s\n", reply);
	if (fflush(stdout) == 0)
		return true;
	fprintf(stderr, "handoffctl: standard output: %s\n", strerror(errno));
	return false;
}

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False when the reader goes away (pipe(7)). */
static bool
wait_until(long long end_ms)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	for (;;) {
		long long left = end_ms - now_ms();

		if (left <= 0)
			return true;
		if (poll(&out, 1, (int)left) > 0)
			return false;
	}
}

int
watch_status(const char *dir, bool json, int period_ms)
{
	for (bool first = true;; first = false) {
		long long end_ms = now_ms() + period_ms;
		char *reply = NULL;
		int err = handoff_control_status(dir, json, &reply);
		bool drawn = false;

		/* A server may come: -ENOENT. What else is wrong at the
		 * beginning, the directory itself say, is so for good. */
		if (!reply || (first && !is_status(reply) && err != -ENOENT))
			fprintf(stderr, "handoffctl: %s\n",
				reply ? reply : strerror(-err));
		else
			drawn = draw(reply, json, first);
		free(reply);
		if (!drawn)
			return 1;
		if (!wait_until(end_ms))
			return 0;
	}
}
