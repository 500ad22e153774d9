/* SPDX-License-Identifier: MIT */
/*
 * The metrics of two peers merged into one text, whatever each has sent.
 */
#include "support/support.h"

#include "control/exposition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UP                                                                     \
	"# HELP handoff_up Whether the peer has answered.\n"                   \
	"# TYPE handoff_up gauge\n"

static struct handoff__contact
contact(int place, const char *name, const char *body)
{
	struct handoff__contact peer = {.place = place};

	snprintf(peer.name, sizeof(peer.name), "%s", name);
	if (!body)
		return peer;
	snprintf(peer.role, sizeof(peer.role), "owner");
	snprintf(peer.service, sizeof(peer.service), "echo");
	peer.body = (char *)(uintptr_t)body;
	return peer;
}

static void
assert_merged(const struct handoff__contact *peers, const char *expected)
{
	struct handoff__buf buf = {.data = NULL};
	size_t up = strlen(UP);

	handoff__exposition(peers, 2, &buf);
	assert_false(buf.failed);
	assert_true(buf.len > up);
	assert_memory_equal(buf.data, UP, up);
	assert_string_equal(buf.data + up, expected);
	free(buf.data);
}

static void
families_stay_together(void **state)
{
	struct handoff__contact peers[2] = {
		contact(2, "alt",
			"# HELP a Of a.\n# TYPE a counter\na{p=\"2\"} 1\n"
			"a{p=\"2\",x=\"y\"} 2\n"
			"# HELP ab Of ab.\n# TYPE ab gauge\nab{p=\"2\"} 3\n"),
		contact(1, "server",
			"# HELP ab Of ab.\n# TYPE ab gauge\nab{p=\"1\"} 4\n"
			"# HELP a Of a.\n# TYPE a counter\na{p=\"1\"} 5\n"),
	};

	(void)state;
	assert_merged(peers,
		"handoff_up{service=\"echo\",peer=\"alt\",place=\"2\"} 1\n"
		"handoff_up{service=\"echo\",peer=\"server\",place=\"1\"} 1\n"
		"# HELP a Of a.\n# TYPE a counter\na{p=\"2\"} 1\n"
		"a{p=\"2\",x=\"y\"} 2\na{p=\"1\"} 5\n"
		"# HELP ab Of ab.\n# TYPE ab gauge\nab{p=\"2\"} 3\n"
		"ab{p=\"1\"} 4\n");
}

/* A peer of another version has other families, or says other things. */
static void
versions_may_differ(void **state)
{
	struct handoff__contact peers[2] = {
		contact(1, "old",
			"noise\n# HELP a Of a.\n# TYPE a counter\na 1\n"
			"# HELP b Of b.\n# TYPE b counter\nb 2"),
		contact(2, "new",
			"# HELP c Of c.\n# TYPE c counter\nc 3\n"
			"# HELP b Of another b.\n# TYPE b counter\nb 4\n"
			"# HELP d\n"),
	};

	(void)state;
	assert_merged(peers,
		"handoff_up{service=\"echo\",peer=\"old\",place=\"1\"} 1\n"
		"handoff_up{service=\"echo\",peer=\"new\",place=\"2\"} 1\n"
		"# HELP a Of a.\n# TYPE a counter\na 1\n"
		"# HELP b Of b.\n# TYPE b counter\nb 2\nb 4\n"
		"# HELP c Of c.\n# TYPE c counter\nc 3\n"
		"# HELP d\n");
}

static void
silent_peer_is_down(void **state)
{
	struct handoff__contact peers[2] = {
		contact(1, "server", "# HELP a Of a.\n# TYPE a gauge\na 1\n"),
		contact(2, "?", NULL),
	};

	(void)state;
	assert_merged(peers,
		"handoff_up{service=\"echo\",peer=\"server\",place=\"1\"} 1\n"
		"handoff_up{service=\"echo\",peer=\"?\",place=\"2\"} 0\n"
		"# HELP a Of a.\n# TYPE a gauge\na 1\n");
}

static void
nothing_to_merge(void **state)
{
	struct handoff__contact peers[2] = {
		contact(1, "server", "no metrics"),
		contact(2, "alt", ""),
	};

	(void)state;
	assert_merged(peers,
		"handoff_up{service=\"echo\",peer=\"server\",place=\"1\"} 1\n"
		"handoff_up{service=\"echo\",peer=\"alt\",place=\"2\"} 1\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(families_stay_together),
		handoff_test(versions_may_differ),
		handoff_test(silent_peer_is_down),
		handoff_test(nothing_to_merge),
	};

	return cmocka_run_group_tests_name("exposition", tests, NULL, NULL);
}
