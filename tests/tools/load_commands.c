/* SPDX-License-Identifier: MIT */
/*
 * The commands of the load generator on standard input, see load.h: what a test
 * that drives it wants to know in the midst of a run.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define WORST 5

/* The silence of a connection that waits now. */
static int64_t
open_gap(const struct load_run *run, const struct load_conn *conn)
{
	return conn->state == LOAD_OPEN && conn->role == LOAD_STREAM &&
			       conn->waiting_us > 0
		       ? run->now_us - conn->waiting_us
		       : 0;
}

/* Puts a silence among the longest, which are in descending order. */
static void
rank(int64_t worst[WORST], int64_t gap)
{
	for (unsigned i = 0; i < WORST; i++) {
		int64_t kept = worst[i];

		if (gap <= kept)
			continue;
		worst[i] = gap;
		gap = kept;
	}
}

static void
print_worst(struct load_run *run, const char *name)
{
	int64_t worst[WORST] = {0};

	for (unsigned i = 0; i < run->started; i++) {
		struct load_conn *conn = &run->conns[i];
		int64_t now = open_gap(run, conn);

		rank(worst, now > conn->gap_us ? now : conn->gap_us);
		conn->gap_us = 0;
	}
	printf("\"%s\":[", name);
	for (unsigned i = 0; i < WORST; i++)
		printf("%s%lld", i ? "," : "", (long long)worst[i]);
	printf("]");
}

static void
report(struct load_run *run)
{
	const struct load_stats *s = &run->stats;
	struct load_gaps *gaps = &run->stats.since;
	int64_t stalled = 0;

	for (unsigned i = 0; i < run->started; i++) {
		int64_t gap = open_gap(run, &run->conns[i]);

		stalled = gap > stalled ? gap : stalled;
	}
	printf("{\"open\":%u,\"connected\":%u,\"sent\":%llu,\"echoed\":%llu,"
	       "\"corrupt\":%llu,\"resets\":%u,\"early_eof\":%u,\"refused\":%u,"
	       "\"churn\":%u,\"churn_failed\":%u,\"echoes\":%llu,"
	       "\"stalled_us\":%lld,\"max_gap_us\":%lld,\"p99_gap_us\":%lld,",
		run->open, s->connected, (unsigned long long)s->sent,
		(unsigned long long)s->echoed, (unsigned long long)s->corrupt,
		s->resets, s->early_eof, s->refused, s->churn, s->churn_failed,
		(unsigned long long)gaps->count, (long long)stalled,
		(long long)(stalled > gaps->max_us ? stalled : gaps->max_us),
		(long long)load_gap_quantile(gaps, 0.99));
	print_worst(run, "worst_us");
	puts("}");
	*gaps = (struct load_gaps){.max_us = 0};
}

static void
push_all(struct load_run *run)
{
	for (unsigned i = 0; i < run->started; i++)
		load_conn_push(run, &run->conns[i]);
}

/* One that has ended is never answered, and the check never over. */
static void
check(struct load_run *run)
{
	run->checking = true;
	run->unchecked = run->opts->connections;
	for (unsigned i = 0; i < run->started; i++) {
		struct load_conn *conn = &run->conns[i];

		conn->mark = conn->sent;
		if (conn->role == LOAD_IDLE)
			conn->limit = conn->sent + 1;
	}
	push_all(run);
}

static void
command(struct load_run *run, const char *word)
{
	if (strcmp(word, "report") == 0) {
		report(run);
	} else if (strcmp(word, "check") == 0) {
		check(run);
	} else if (strcmp(word, "pause") == 0) {
		run->paused = true;
	} else if (strcmp(word, "resume") == 0) {
		run->paused = false;
		push_all(run);
	} else if (strcmp(word, "stop") == 0) {
		load_stop(run);
	} else {
		fprintf(stderr, "loadgen: no command '%s'\n", word);
	}
}

void
load_commands_read(struct load_run *run)
{
	static char line[64];
	static size_t len;
	char *end;
	ssize_t n = read(STDIN_FILENO, line + len, sizeof(line) - 1 - len);

	if (n <= 0) {
		epoll_ctl(run->epfd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		load_stop(run);
		return;
	}
	len += (size_t)n;
	line[len] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end++ = '\0';
		command(run, line);
		len -= (size_t)(end - line);
		memmove(line, end, len + 1);
	}
	/* No command is that long. */
	if (len == sizeof(line) - 1)
		len = 0;
}
