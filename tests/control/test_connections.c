/* SPDX-License-Identifier: MIT */
/* The list of connections as people read it, made from what peers may answer.
 */
#include "support/support.h"

#include "control/connections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct handoff__contact
contact(const char *name, const char *role, const char *body)
{
	struct handoff__contact peer = {.pid = 1};

	snprintf(peer.name, sizeof(peer.name), "%s", name);
	snprintf(peer.role, sizeof(peer.role), "%s", role);
	peer.body = (char *)(uintptr_t)body;
	return peer;
}

static void
assert_list(const struct handoff__contact *peers, size_t npeers,
	const char *expected)
{
	struct handoff__buf buf = {.data = NULL};

	handoff__connections(peers, npeers, &buf);
	assert_false(buf.failed);
	assert_string_equal(buf.data, expected);
	free(buf.data);
}

#define HEAD                                                                   \
	"PEER          ID  CLIENT          SINCE                     "         \
	"RECEIVED          SENT  LABEL\n"

static void
each_has_a_row(void **state)
{
	const struct handoff__contact peers[] = {
		contact("server", "owner",
			"7 127.0.0.1:4711 1700000000123 10 20 user of\\x0a it\n"
			"8 [::1]:1 0 18446744073709551615 0 \n"
			"omitted 1\n"),
		contact("alt", "standby", "omitted 0\n"),
		contact("gone", "", ""),
	};

	(void)state;
	assert_list(peers, 3,
		HEAD "server         7  127.0.0.1:4711  2023-11-14T22:13:20Z"
		     "            10            20  user of\\x0a it\n"
		     "server         8  [::1]:1         -                   "
		     "  18446744073709551615             0  \n"
		     "server: 1 more connection is not listed\n"
		     "gone: unresponsive\n");
}

static void
strange_answers_end_the_list(void **state)
{
	const struct handoff__contact peers[] = {
		contact("a", "owner", "7 x\nomitted 2\n"),
		contact("b", "standby", "omitted 2\n"),
		contact("c", "standby", ""),
	};

	(void)state;
	assert_list(peers, 3,
		"PEER        ID  CLIENT  SINCE                     RECEIVED"
		"          SENT  LABEL\n"
		"b: 2 more connections are not listed\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_has_a_row),
		handoff_test(strange_answers_end_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
