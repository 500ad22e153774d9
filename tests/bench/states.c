/* SPDX-License-Identifier: MIT */
/*
 * states: measures how long a program with a loop of its own takes to update
 * the state of an entry, depending on the state's length and its limit; and how
 * long a service's transaction takes that uses so much of its state, or all of
 * it. Each round does the same for every limit, one after the other, so that
 * they are compared in the same minute. Prints a JSON object a limit: medians
 * of the rounds in nanoseconds, for handoff_entry_update, for edit and commit,
 * and for the transactions, and the pages that an entry has in the arena.
 *
 *   states [--len BYTES] [--rounds N] [LIMIT...]
 */
#include "record/record.h"

#include <handoff/peer.h>

#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TIMES      20000
#define ENTRIES    64
#define LIMITS_MAX 8
#define ROUNDS_MAX 101
#define BLOCK      512 /* of st_blocks */

struct subject {
	uint32_t limit;
	char dir[64];
	struct handoff_peer *peer;
	struct handoff_entry *entries[ENTRIES];
	double pages;
	double update_ns[ROUNDS_MAX], edit_ns[ROUNDS_MAX];
	struct handoff__arena arena; /* of a service with such states */
	struct handoff__view used, full;
	double used_ns[ROUNDS_MAX], full_ns[ROUNDS_MAX];
};

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
	fprintf(stderr, "states: %s: %s\n", what, why);
	exit(1);
}

static double
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Pages of all arenas that this process has. */
static double
arena_pages(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *each;
	double pages = 0;

	while (dir && (each = readdir(dir))) {
		char path[300], target[64] = "";
		struct stat st;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", each->d_name);
		if (readlink(path, target, sizeof(target) - 1) > 0 &&
			strstr(target, "handoff-arena") && stat(path, &st) == 0)
			pages += (double)st.st_blocks * BLOCK / 4096;
	}
	closedir(dir);
	return pages;
}

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

/* A connection with `len` bytes of its state in use. */
static void
open_record(struct subject *s, struct handoff__view *view, size_t len)
{
	uint32_t segment, slot;

	if (handoff__arena_alloc(&s->arena, 1, always, NULL, &segment, &slot) <
		0)
		die("arena", "full");
	handoff__view_make(view, s->arena.segments[segment], slot);
	handoff__record_use_state(view, len);
}

static void
open_service(struct subject *s, size_t len)
{
	struct handoff__geometry geo;

	handoff__arena_init(&s->arena);
	if (handoff__geometry_make(&geo, s->limit, 4096, 4096) < 0 ||
		handoff__arena_grow(&s->arena, &geo) < 0)
		die("arena", "cannot be made");
	open_record(s, &s->used, len);
	open_record(s, &s->full, s->limit);
}

/* Of one transaction that changes the state. */
static double
transactions_ns(const struct handoff__view *view)
{
	struct handoff_conn txn;
	double start = now_ns();

	for (int i = 0; i < TIMES; i++) {
		handoff__txn_begin(&txn, view);
		++*(char *)handoff_conn_state(&txn);
		handoff__txn_commit(&txn);
	}
	return (now_ns() - start) / TIMES;
}

static void
open_subject(struct subject *s, uint32_t limit, const void *state, size_t len)
{
	static char why[HANDOFF_TEXT_MAX];
	struct handoff_peer_opts opts = {.size = sizeof(opts),
		.dir = s->dir,
		.name = "states",
		.service = "states",
		.state_size = limit,
		.may_own = true,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_entry_opts entry = {.size = sizeof(entry),
		.kind = HANDOFF_ENTRY_CONNECTION,
		.state = state,
		.len = len};
	double before;

	s->limit = limit;
	snprintf(s->dir, sizeof(s->dir), "/tmp/handoff-states.%d.%u",
		(int)getpid(), limit);
	if (handoff_peer_open(&s->peer, &opts) < 0)
		die("peer", why);
	before = arena_pages();
	for (int i = 0; i < ENTRIES; i++) {
		entry.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (handoff_peer_deposit(s->peer, &s->entries[i], &entry) < 0)
			die("deposit", handoff_peer_errmsg(s->peer));
		close(entry.fd);
		handoff_entry_update(s->entries[i], state, len);
		handoff_entry_update(s->entries[i], state, len);
	}
	s->pages = (arena_pages() - before) / ENTRIES;
	open_service(s, len);
}

static void
round_of(struct subject *s, int round, const char *state, size_t len)
{
	struct handoff_entry *e = s->entries[0];
	double start = now_ns();

	for (int i = 0; i < TIMES; i++)
		handoff_entry_update(e, state, len);
	s->update_ns[round] = (now_ns() - start) / TIMES;
	start = now_ns();
	for (int i = 0; i < TIMES; i++) {
		char *edited = handoff_entry_edit(e);

		edited[0]++;
		handoff_entry_commit(e, len);
	}
	s->edit_ns[round] = (now_ns() - start) / TIMES;
	s->used_ns[round] = transactions_ns(&s->used);
	s->full_ns[round] = transactions_ns(&s->full);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

static void
close_subject(struct subject *s)
{
	char command[100];

	handoff_peer_free(s->peer);
	handoff__arena_fini(&s->arena);
	snprintf(command, sizeof(command), "rm -r %s", s->dir);
	if (system(command) != 0)
		die("cannot remove", s->dir);
}

static void
measure(struct subject *subjects, int count, int rounds, const char *state,
	size_t len)
{
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < count; i++)
			round_of(&subjects[i], round, state, len);
	}
	for (int i = 0; i < count; i++) {
		struct subject *s = &subjects[i];

		printf("{\"limit\":%u,\"len\":%zu,\"update_ns\":%.1f,"
		       "\"edit_ns\":%.1f,\"pages\":%.1f,"
		       "\"transaction_ns\":%.1f,\"full_ns\":%.1f}\n",
			s->limit, len, median(s->update_ns, rounds),
			median(s->edit_ns, rounds), s->pages,
			median(s->used_ns, rounds), median(s->full_ns, rounds));
		close_subject(s);
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"len", required_argument, NULL, 'l'},
		{"rounds", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	static const char *const usual[] = {"512", "4096", "16384", "65528"};
	static struct subject subjects[LIMITS_MAX];
	static char state[65528];
	size_t len = 400;
	int c, count = 0, rounds = 21;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l')
			len = strtoul(optarg, NULL, 10);
		else if (c == 'r')
			rounds = atoi(optarg);
		else
			return 2;
	}
	if (len > sizeof(state) || rounds < 1 || rounds > ROUNDS_MAX ||
		argc - optind > LIMITS_MAX)
		return 2;
	if (optind == argc) {
		for (; count < 4; count++)
			open_subject(&subjects[count],
				(uint32_t)strtoul(usual[count], NULL, 10),
				state, len);
	}
	for (; optind < argc; optind++, count++)
		open_subject(&subjects[count],
			(uint32_t)strtoul(argv[optind], NULL, 10), state, len);
	measure(subjects, count, rounds, state, len);
	return 0;
}
