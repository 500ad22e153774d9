/* SPDX-License-Identifier: MIT */
/*
 * One line of a terminal on standard error. Never a second one: what is longer
 * than the terminal is wide is cut, since a wrapped line cannot be overwritten.
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define COLUMNS 80         /* where a terminal does not say */
#define CLEAR   "\r\033[K" /* first column, erase to the end (ECMA-48) */

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
progress_begin(struct progress *progress, const char *what)
{
	*progress = (struct progress){.terminal = isatty(STDERR_FILENO),
		.what = what,
		.began_ms = now_ms()};
}

static int
columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return COLUMNS;
	return size.ws_col;
}

void
progress_show(void *arg, const char *text)
{
	struct progress *progress = arg;
	char line[512];

	if (!progress->terminal)
		return;
	if (progress->what)
		snprintf(line, sizeof(line), "%s, %lld s: %s", progress->what,
			(now_ms() - progress->began_ms) / 1000, text);
	else
		snprintf(line, sizeof(line), "%s", text);
	progress->shown = true;
	/* the last column is left free: some terminals wrap there */
	fprintf(stderr, CLEAR "%.*s", columns() - 1, line);
}

bool
progress_wait(void *arg, const char *text)
{
	progress_show(arg, text);
	return true;
}

void
progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs(CLEAR, stderr);
	progress->shown = false;
}
