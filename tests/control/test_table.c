/* SPDX-License-Identifier: MIT */
/* The status as people read it, made from what peers may answer. */
#include "support/support.h"

#include "control/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct handoff__contact
contact(const char *name, const char *role, long pid, const char *body)
{
	struct handoff__contact peer = {.pid = pid};

	snprintf(peer.name, sizeof(peer.name), "%s", name);
	snprintf(peer.role, sizeof(peer.role), "%s", role);
	snprintf(peer.service, sizeof(peer.service), "echo");
	peer.body = (char *)(uintptr_t)body;
	return peer;
}

static void
assert_table(const struct handoff__contact *peers, size_t npeers,
	const char *expected)
{
	struct handoff__buf buf = {.data = NULL};

	handoff__table(peers, npeers, &buf);
	assert_false(buf.failed);
	assert_string_equal(buf.data, expected);
	free(buf.data);
}

static void
both_have_a_row(void **state)
{
	struct handoff__contact peers[2] = {
		contact("alt", "owner", 812,
			"model loop\nworkers 4\nconnections 120\nheld 0\n"
			"generation 2\nuncovered 3\nlagging yes\n"
			"partner ready\nlistener 127.0.0.1:7000\n"
			"listener unix:/a b\nlast 5000\n"
			"| last handoff: 2, maintenance\n|   more\n"),
		contact("server", "standby", 7,
			"model thread\nworkers 1\nconnections 0\nheld 117\n"
			"generation 2\nuncovered 0\nlagging no\n"
			"partner ready\nlast 4999\n| older\n"),
	};

	(void)state;
	assert_table(peers, 2,
		"alt must not be stopped yet: server has no copy of 3 entries\n"
		"echo: generation 2, listening on 127.0.0.1:7000, unix:/a b\n"
		"\n"
		"PEER    PID  ROLE     MODEL   CONNECTIONS  HELD  LAGGING  "
		"NOT COVERED  OTHER\n"
		"alt     812  owner    loop/4          120     0  yes      "
		"          3  ready\n"
		"server    7  standby  thread            0   117  no       "
		"          0  ready\n"
		"\n"
		"last handoff: 2, maintenance\n"
		"  more\n");
}

static void
newest_handoff_is_shown(void **state)
{
	struct handoff__contact peers[2] = {
		contact("a", "owner", 1, "last 10\n| older\n"),
		contact("b", "standby", 2, "last 11\n| newer\n"),
	};
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	handoff__table(peers, 2, &buf);
	assert_non_null(strstr(buf.data, "\n\nnewer\n"));
	assert_null(strstr(buf.data, "older"));
	free(buf.data);
}

static void
remarks_are_shown_below_the_table(void **state)
{
	struct handoff__contact peers[2] = {
		contact("a", "owner", 1,
			"suspects 2\n! a: first\nheld 0\n! a: second\n"),
		contact("b", "standby", 2, "!x\n! b: third"),
	};
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	handoff__table(peers, 2, &buf);
	assert_non_null(strstr(buf.data, "\n\na: first\na: second\n"
					 "b: third\n\nno handoff yet\n"));
	free(buf.data);
}

static void
what_is_not_told_has_a_dash(void **state)
{
	struct handoff__contact peers[2] = {
		contact("server", "owner", 7,
			"\nnonsense\nmodel\nheld \nconnections 5\n"
			"connectionsx 6\n listener x\nfuture 9\nmodel fork"),
		contact("?", "", 0, NULL),
	};

	(void)state;
	assert_table(peers, 2,
		"server must not be stopped: ? does not answer\n"
		"echo: generation -\n"
		"\n"
		"PEER    PID  ROLE          MODEL  CONNECTIONS  HELD  LAGGING"
		"  NOT COVERED  OTHER\n"
		"server    7  owner         fork             5     -  -      "
		"            -  -\n"
		"?         0  unresponsive  -                -     -  -      "
		"            -  -\n"
		"\n"
		"no handoff yet\n");
}

/* Of a ferry alone; and a program may have a listener without a name. */
static void
what_is_not_known_yet_is_said(void **state)
{
	struct handoff__contact peer = contact("ferry", "standby", 7,
		"\nmodel ferry\ngeneration 0\nlistener \n");
	struct handoff__buf buf = {0};

	(void)state;
	handoff__table(&peer, 1, &buf);
	assert_non_null(buf.data);
	assert_non_null(strstr(
		buf.data, "\necho: no owner yet, listening on (unnamed)\n"));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	snprintf(peer.service, sizeof(peer.service), "-");
	handoff__table(&peer, 1, &buf);
	assert_non_null(strstr(buf.data, "\nservice unknown: no owner yet, "));
	free(buf.data);
}

/* The owner of a host, and its lease. */
static void
assert_role(const char *lease, const char *role)
{
	char body[128], cell[32];
	struct handoff__contact peer;
	struct handoff__buf buf = {.data = NULL};

	snprintf(body, sizeof(body), "generation 1\nlease %s\n", lease);
	snprintf(cell, sizeof(cell), "\na       1  %s ", role);
	peer = contact("a", "owner", 1, body);
	handoff__table(&peer, 1, &buf);
	assert_non_null(buf.data);
	if (!strstr(buf.data, cell))
		fail_msg("no '%s' in: %s", role, buf.data);
	free(buf.data);
}

static void
owner_that_may_not_serve_is_named(void **state)
{
	(void)state;
	assert_role("CANDIDATE token 0 valid_ms 0", "candidate");
	assert_role("LOST token 7 valid_ms 0", "candidate");
	assert_role("OWNER token 7 valid_ms 0 frozen", "frozen");
	assert_role("DOUBT token 7 valid_ms 0 frozen", "frozen");
	assert_role("DOUBT token 7 valid_ms 900", "owner");
	assert_role("OWNER token 7 valid_ms 9000", "owner");
}

static void
nobody_has_answered(void **state)
{
	struct handoff__contact peer = contact("server", "", 7, NULL);

	(void)state;
	assert_table(&peer, 1,
		"whether anything is served is not known: server does not "
		"answer\n\n"
		"PEER    PID  ROLE          MODEL  CONNECTIONS  HELD  LAGGING"
		"  NOT COVERED  OTHER\n"
		"server    7  unresponsive  -                -     -  -      "
		"            -  -\n");
}

static void
long_values_are_cut(void **state)
{
	char body[300];
	struct handoff__contact peer;
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	memset(body, 'x', sizeof(body));
	memcpy(body, "model ", 6);
	body[sizeof(body) - 1] = '\0';
	peer = contact("a", "owner", 1, body);
	handoff__table(&peer, 1, &buf);
	assert_non_null(
		strstr(buf.data, " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
	assert_true(buf.len < 400);
	free(buf.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(both_have_a_row),
		handoff_test(newest_handoff_is_shown),
		handoff_test(remarks_are_shown_below_the_table),
		handoff_test(what_is_not_told_has_a_dash),
		handoff_test(what_is_not_known_yet_is_said),
		handoff_test(owner_that_may_not_serve_is_named),
		handoff_test(nobody_has_answered),
		handoff_test(long_values_are_cut),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
