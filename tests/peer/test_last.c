/* SPDX-License-Identifier: MIT */
/*
 * The reports on a peer and on its last handoff, for people and programs.
 */
#include "peer/fixture.h"

#include "peer/status.h"
#include "record/handling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HIGH (UINT64_C(1) << 63)

static void
remember(struct handoff__pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	handoff__copy(pair->name, sizeof(pair->name), "alt");
	handoff__copy(pair->last.other, sizeof(pair->last.other), "server");
	pair->last.other_pid = 7;
	pair->last.way = HANDOFF__WAY_IN;
	/* Long ago, so that its age changes once an hour only. */
	pair->last.at_ms = 1700000000123;
	pair->last.report = (struct handoff__report){.id = 4,
		.cause = HANDOFF__HOME_SILENT,
		.moved = 12,
		.listeners = 1,
		.took_us = 1234,
		.unread = 5,
		.unsent = 6};
}

/* The lines from `from` on. */
static void
assert_text(const struct handoff__pair *pair, const char *from,
	const char *expected)
{
	struct handoff__buf buf = {.data = NULL};
	const char *at;

	handoff__last_text(pair, &buf);
	at = strstr(buf.data, from);
	assert_non_null(at);
	assert_string_equal(at, expected);
	free(buf.data);
}

static void
assert_json(const struct handoff__pair *pair, const char *expected)
{
	struct handoff__buf buf = {.data = NULL};

	handoff__last_json(pair, &buf);
	assert_string_equal(buf.data, expected);
	free(buf.data);
}

static void
none_yet(void **state)
{
	struct handoff__pair pair;
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	remember(&pair);
	pair.last.report.id = 0;
	handoff__last_text(&pair, &buf);
	assert_null(buf.data);
	assert_json(&pair, "null");
}

static void
what_was_taken(void **state)
{
	struct handoff__pair pair;
	struct handoff__buf buf = {.data = NULL};
	char text[512];

	(void)state;
	remember(&pair);
	handoff__last_text(&pair, &buf);
	assert_memory_equal(buf.data,
		"last 1700000000123\n| last handoff: 4, ready --silent, 2023-",
		strlen("last 1700000000123\n| last handoff: 4, ready --silent, "
		       "2023-"));
	assert_non_null(strstr(buf.data, " h ago)\n"));
	free(buf.data);
	snprintf(text, sizeof(text),
		"|   server (pid 7) gave alt (pid %d) 12 connections, 1 "
		"listener in 1.234 ms\n"
		"|   carried: 11 bytes, 5 of unread input, 6 of unsent "
		"output\n"
		"|   left behind: 0\n",
		(int)getpid());
	assert_text(&pair, "|   server", text);
	assert_json(&pair,
		"{\"id\":4,\"at_ms\":1700000000123,\"direction\":\"took\","
		"\"cause\":\"ready-silent\",\"complete\":true,"
		"\"with\":\"server\",\"with_pid\":7,\"connections\":12,"
		"\"listeners\":1,\"took_us\":1234,\"unread_bytes\":5,"
		"\"unsent_bytes\":6,\"closed\":0,\"left\":0,"
		"\"left_behind\":[]}");
}

/* Where the program has the buffers itself it knows alone. */
static void
what_is_not_known_is_not_told(void **state)
{
	struct handoff__pair pair;
	char text[512];

	(void)state;
	remember(&pair);
	pair.config.streamless = true;
	snprintf(text, sizeof(text),
		"|   server (pid 7) gave alt (pid %d) 12 connections, 1 "
		"listener in 1.234 ms\n"
		"|   left behind: 0\n",
		(int)getpid());
	assert_text(&pair, "|   server", text);
	assert_json(&pair,
		"{\"id\":4,\"at_ms\":1700000000123,\"direction\":\"took\","
		"\"cause\":\"ready-silent\",\"complete\":true,"
		"\"with\":\"server\",\"with_pid\":7,\"connections\":12,"
		"\"listeners\":1,\"took_us\":1234,\"unread_bytes\":null,"
		"\"unsent_bytes\":null,\"closed\":0,\"left\":0,"
		"\"left_behind\":[]}");
}

static void
what_was_given_in_part(void **state)
{
	struct handoff__pair pair;
	struct handoff__report *r = &pair.last.report;
	char text[1024];

	(void)state;
	remember(&pair);
	pair.last.way = HANDOFF__WAY_OUT;
	r->cause = HANDOFF__REST;
	r->reason = HANDOFF__LEAVING;
	r->moved = 1;
	r->left = 3;
	r->nrefs = 2;
	r->refs[0] =
		(struct handoff__ref){.id = 17, .arg = HANDOFF__HANDLER_BUSY};
	r->refs[1] = (struct handoff__ref){
		.id = HIGH + 2, .arg = HANDOFF__TABLE_FULL};
	snprintf(text, sizeof(text),
		"|   alt (pid %d) gave server (pid 7) 1 connection, 1 listener "
		"in 1.234 ms\n"
		"|   broken off: the other peer went away, or did not take the "
		"rest\n"
		"|   carried: 11 bytes, 5 of unread input, 6 of unsent "
		"output\n"
		"|   left behind: 3\n"
		"|     left behind: connection 17: its handler has not "
		"returned\n"
		"|     left behind: descriptor 2: the standby's descriptor "
		"table is full\n"
		"|     left behind: and 1 more\n",
		(int)getpid());
	assert_text(&pair, "|   alt", text);
	assert_json(&pair,
		"{\"id\":4,\"at_ms\":1700000000123,\"direction\":\"gave\","
		"\"cause\":\"rest\",\"complete\":false,"
		"\"with\":\"server\",\"with_pid\":7,\"connections\":1,"
		"\"listeners\":1,\"took_us\":1234,\"unread_bytes\":5,"
		"\"unsent_bytes\":6,\"closed\":0,\"left\":3,"
		"\"left_behind\":[{\"connection\":17,\"reason\":\"its handler "
		"has not returned\"},{\"descriptor\":2,\"reason\":\"the "
		"standby's descriptor table is full\"}]}");
}

static void
what_was_inherited(void **state)
{
	struct handoff__pair pair;
	char text[512];

	(void)state;
	remember(&pair);
	pair.last.death = true;
	pair.last.report.left = 2;
	snprintf(text, sizeof(text),
		"|   server (pid 7) is gone, alt (pid %d) took over 12 "
		"connections, 1 listener in 1.234 ms\n"
		"|   carried: 11 bytes, 5 of unread input, 6 of unsent "
		"output\n"
		"|   closed: 2\n",
		(int)getpid());
	assert_text(&pair, "|   server", text);
	assert_json(&pair,
		"{\"id\":4,\"at_ms\":1700000000123,\"direction\":\"took\","
		"\"cause\":\"failover\",\"complete\":true,"
		"\"with\":\"server\",\"with_pid\":7,\"connections\":12,"
		"\"listeners\":1,\"took_us\":1234,\"unread_bytes\":5,"
		"\"unsent_bytes\":6,\"closed\":2,\"left\":0,"
		"\"left_behind\":[]}");
}

/* The line about the program, which differs from build to build, is as it
 * should be, and left out. */
static void
leave_out_program(struct handoff__buf *buf, const char *name)
{
	char begin[64], build[65], date[11], hour[9];
	char *line, *end;

	snprintf(begin, sizeof(begin), "! %s: libhandoff %s, ", name,
		handoff_version());
	line = strstr(buf->data, begin);
	assert_non_null(line);
	assert_true(sscanf(line + strlen(begin), "build %8[0-9a-f], started",
			    build) == 1 ||
		    strncmp(line + strlen(begin), "started", 7) == 0);
	assert_int_equal(
		sscanf(strstr(line, "started"), "started %10s %8s", date, hour),
		2);
	end = strchr(line, '\n') + 1;
	memmove(line, end, strlen(end) + 1);
}

static void
program_is_told_of(void **state)
{
	struct handoff__buf buf = {.data = NULL};
	long long began_ms = (long long)time(NULL) * 1000, started_ms;
	const char *at;

	(void)state;
	assert_in_range(one.pair.started_ms / 1000, began_ms / 1000 - 60,
		began_ms / 1000);
	handoff__status_json(&one.pair, &buf);
	at = strstr(buf.data, ",\"started_ms\":");
	assert_non_null(at);
	started_ms = strtoll(at + strlen(",\"started_ms\":"), NULL, 10);
	assert_int_equal(started_ms, one.pair.started_ms);
	assert_non_null(strstr(buf.data, ",\"version\":\""));
	assert_non_null(strstr(buf.data, "\",\"build\":\""));
	free(buf.data);
}

/* Keys and values, and nothing in a value that looks like a line. */
static void
peer_is_told_in_lines(void **state)
{
	struct handoff__buf buf = {.data = NULL};
	int err;

	(void)state;
	one.pair.config.model = "loop";
	one.pair.config.workers = 3;
	pair_enter_many(&one, 2);
	assert_non_null(handoff__pair_enter(
		&one.pair, dup(0), HANDOFF__LISTENER, "unix:/a\nheld 9", &err));
	pair_run(&one, &two);
	handoff__status_text(&one.pair, &buf);
	leave_out_program(&buf, "one");
	assert_string_equal(buf.data,
		"model loop\nworkers 3\nconnections 2\nheld 0\ngeneration 1\n"
		"uncovered 0\nlagging no\npartner ready\nsuspects 0\n"
		"listener unix:/a\n");
	free(buf.data);
	buf = (struct handoff__buf){.data = NULL};
	handoff__status_text(&two.pair, &buf);
	leave_out_program(&buf, "two");
	assert_string_equal(buf.data,
		"model own\nworkers 1\nconnections 0\nheld 2\ngeneration 1\n"
		"uncovered 0\nlagging no\npartner ready\nsuspects 0\n");
	free(buf.data);
}

/* Only a peer that has suspects, or has had some, says more of them. */
static void
suspects_are_told_of(void **state)
{
	struct handoff__buf buf = {.data = NULL};
	struct handoff__roster_entry *e;

	(void)state;
	pair_own(&one);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	handoff__handler_enter(e->view.rec);
	handoff__handler_died(e->view.rec);
	one.pair.tally.ends[HANDOFF__END_POISON] = 3;
	one.pair.tally.ends[HANDOFF__END_SUSPECT] = 4;
	handoff__status_text(&one.pair, &buf);
	assert_non_null(strstr(buf.data, "suspects 1\n"
					 "! one: 1 connection is suspected: "));
	assert_non_null(strstr(buf.data, ": 3 the second time, 4 without"));
	free(buf.data);
	buf = (struct handoff__buf){.data = NULL};
	handoff__status_json(&one.pair, &buf);
	assert_non_null(strstr(buf.data, "\"suspects\":1,"
					 "\"ended_as_poison\":3,"
					 "\"ended_as_suspect\":4,"));
	free(buf.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(none_yet),
		handoff_test(what_was_taken),
		handoff_test(what_is_not_known_is_not_told),
		handoff_test(what_was_given_in_part),
		handoff_test(what_was_inherited),
		pair_test(peer_is_told_in_lines),
		pair_test(program_is_told_of),
		side_test(suspects_are_told_of),
	};

	return cmocka_run_group_tests_name("last", tests, NULL, NULL);
}
