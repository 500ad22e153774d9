/* SPDX-License-Identifier: MIT */
/*
 * Lines about clients that do wrong: so many in a time, and what was left out
 * is said in the next one.
 */
#include "server/solo.h"

#include "server/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 10

static unsigned lines_said;
static char last[512];

static void
note(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	assert_int_equal(level, HANDOFF_LOG_INFO);
	snprintf(last, sizeof(last), "%s", text);
	lines_said++;
}

static void
complain(const struct handoff__member *member, unsigned times)
{
	while (times-- > 0)
		handoff__complain(member, "closed", "a frame of no type");
}

static void
only_so_many_are_logged(void **state)
{
	struct handoff_server *server = calloc(1, sizeof(*server));
	struct handoff__member member = {.server = server};
	struct fixture f;

	(void)state;
	assert_non_null(server);
	open_conn(&f, echo, NULL);
	server->log = (struct handoff__log){.fn = note};
	member.entry.view = f.view;
	member.entry.fd = f.fd;
	member.entry.id = 7;
	lines_said = 0;
	complain(&member, 1);
	assert_string_equal(
		last, "connection 7 of unix:: closed: a frame of no type");
	complain(&member, MOST + 4);
	assert_int_equal(lines_said, MOST);
	assert_null(strstr(last, "more"));
	/* the time is over */
	server->complaints.since_us -= 10000000;
	complain(&member, 1);
	assert_string_equal(last, "connection 7 of unix:: closed: a frame of "
				  "no type (and 5 more since the last such "
				  "line)");
	complain(&member, 1);
	assert_null(strstr(last, "more"));
	assert_int_equal(lines_said, MOST + 2);
	close_conn(&f);
	free(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(only_so_many_are_logged),
	};

	return cmocka_run_group_tests_name("complaints", tests, NULL, NULL);
}
