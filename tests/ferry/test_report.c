/* SPDX-License-Identifier: MIT */
/* What a ferry says about moves, and what its status and metrics add. */
#include "support/support.h"

#include "ferry/ferry.h"
#include "ferry/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT HANDOFF__FERRY_OUT
#define IN  HANDOFF__FERRY_IN

static struct handoff__ferry_report r;
static struct handoff__ferry_status s;
static struct handoff__buf buf;

static int
setup(void **state)
{
	(void)state;
	memset(&buf, 0, sizeof(buf));
	r = (struct handoff__ferry_report){.way = OUT,
		.ok = true,
		.ended_ms = 1,
		.took_us = 150000,
		.hold_us = 9200,
		.total = 8000,
		.moved = 7998};
	s = (struct handoff__ferry_status){.linked = true,
		.other_host = "B",
		.other_name = "ferry-b",
		.other_address = "192.0.2.2:7100",
		.other_has_server = true,
		.link_text = "",
		.site = HANDOFF__FERRY_HERE,
		.addresses = "192.0.2.7/24",
		.device = "eth0",
		.gate = true,
		.gate_text = "nft"};
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(buf.data);
	return 0;
}

#define report_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
leave(const char *word, uint32_t count)
{
	snprintf(r.whys[r.nwhys].word, sizeof(r.whys[0].word), "%s", word);
	r.whys[r.nwhys++].count = count;
	r.left += count;
}

/* What was added since the last of these. */
static void
assert_said(const char *expected)
{
	assert_false(buf.failed);
	assert_string_equal(buf.data ? buf.data : "", expected);
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
}

static void
assert_sentence(const char *expected)
{
	handoff__ferry_sentence(&r, "B", &buf);
	assert_said(expected);
}

static void
a_move_is_counted(void **state)
{
	(void)state;
	leave("MPTCP", 1);
	leave("LAST_ACK", 1);
	assert_sentence("moved 7998 of 8000 connections to B in 0.15 s, "
			"longest hold 9 ms, 2 left: 1 MPTCP, 1 LAST_ACK");
	r.way = IN;
	r.hold_us = 12999;
	assert_sentence("moved 7998 of 8000 connections from B in 0.15 s, "
			"longest hold 12 ms, 2 left: 1 MPTCP, 1 LAST_ACK");
	r.nwhys = r.left = 0;
	r.hold_us = 460;
	r.total = r.moved = 1;
	r.took_us = 4260;
	assert_sentence("moved 1 of 1 connection from B in 4.2 ms, "
			"longest hold 0.4 ms, 0 left");
	r.total = r.moved = r.hold_us = 0;
	r.took_us = 2070000;
	assert_sentence("moved the service, which had no connections, from B "
			"in 2.07 s, 0 left");
}

/* What is neither on the one host nor on the other has ended. */
static void
all_are_accounted_for(void **state)
{
	(void)state;
	leave("MPTCP", 1);
	assert_sentence("moved 7998 of 8000 connections to B in 0.15 s, "
			"longest hold 9 ms, 1 left: 1 MPTCP; 1 has ended "
			"meanwhile");
	r.doubt = 1;
	assert_sentence("moved 7998 of 8000 connections to B in 0.15 s, "
			"longest hold 9 ms, 1 left: 1 MPTCP; 1 is in doubt: "
			"silent until B answers");
}

static void
a_host_may_have_no_name(void **state)
{
	(void)state;
	handoff__ferry_sentence(&r, "", &buf);
	assert_said("moved 7998 of 8000 connections to the other host in "
		    "0.15 s, longest hold 9 ms, 0 left; 2 have ended "
		    "meanwhile");
	r.way = 0;
	assert_sentence("no move yet");
}

static void
a_dry_run_counts_what_would_move(void **state)
{
	(void)state;
	r.dry = true;
	r.moved = 0;
	leave("MPTCP", 2);
	assert_sentence("would move 7998 of 8000 connections to B, 2 left: 2 "
			"MPTCP");
	r.total = 2;
	assert_sentence("would move 0 of 2 connections to B, 2 left: 2 MPTCP");
	r.total = 0;
	assert_sentence("would move the service to B: it has no connections");
	r.way = IN;
	assert_sentence("would move the service from B: it has no connections");
	r.total = 2;
	assert_sentence(
		"would move 0 of 2 connections from B, 2 left: 2 MPTCP");
}

static void
a_failure_says_what_became_of_them(void **state)
{
	(void)state;
	r.ok = false;
	r.moved = 0;
	snprintf(r.text, sizeof(r.text), "no room on B");
	assert_sentence("no room on B; 8000 connections stay where they were");
	r.partial = true;
	r.moved = 4096;
	assert_sentence("moved 4096 of 8000 connections to B in 0.15 s, "
			"longest hold 9 ms, then stopped: no room on B; "
			"3904 stay where they were");
	r.doubt = 253;
	r.moved = 7746;
	assert_sentence("moved 7746 of 8000 connections to B in 0.15 s, "
			"longest hold 9 ms, then stopped: no room on B; 1 "
			"stays where it was; 253 are in doubt: silent until B "
			"answers");
	r.partial = false;
	r.doubt = 1;
	r.text[0] = '\0';
	assert_sentence("the move failed, and left no reason; 253 connections "
			"stay where they were; 1 is in doubt: silent until B "
			"answers");
}

static void
progress_is_said_by_steps(void **state)
{
	(void)state;
	r.ended_ms = 0;
	r.moved = 506;
	r.step = HANDOFF__FERRY_ASKING;
	assert_sentence("asking B whether it can take the service");
	r.step = HANDOFF__FERRY_BATCHES;
	assert_sentence("moving to B: 506 of 8000 connections");
	r.step = HANDOFF__FERRY_LAST;
	assert_sentence("moving to B: 506 of 8000 connections, now the last of "
			"them");
	r.step = HANDOFF__FERRY_ADDRESS;
	r.doubt = 2;
	assert_sentence("moving to B: 506 of 8000 connections, now the "
			"addresses; 2 are in doubt: silent until B answers");
	r.way = IN;
	r.step = HANDOFF__FERRY_FETCHING;
	assert_sentence("waiting for B to send the service");
}

static void
assert_text(const char *expected)
{
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_said(expected);
}

static void
status_says_where_everything_is(void **state)
{
	(void)state;
	r.way = 0;
	assert_text("link up\nsite here\nother_host B\nholding 0\n"
		    "in_batches 0\n"
		    "! ferry-a: linked with ferry-b on B (192.0.2.2:7100), "
		    "where a server is ready\n"
		    "! ferry-a: here: 192.0.2.7/24 on eth0\n"
		    "! ferry-a: gate: nft\n");
	snprintf(s.absent, sizeof(s.absent), "fd00::7/64");
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data, "! ferry-a: here: 192.0.2.7/24 on "
					 "eth0, but not fd00::7/64\n"));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	s.hook = "/etc/hook";
	s.hook_text = "";
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data, "! ferry-a: steers by /etc/hook\n"));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	s.hook_text = "it ended with status 1";
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data, "! ferry-a: steers by /etc/hook, "
					 "which failed: it ended with status "
					 "1\n"));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	s.hook = s.hook_text = NULL;
	s.site = HANDOFF__FERRY_THERE;
	s.other_has_server = false;
	s.other_name[0] = s.other_address[0] = '\0';
	s.gate = false;
	s.gate_text = "gate: died";
	s.batches_doubt = s.doubt = 1;
	s.doubts[0] = (struct handoff__ferry_doubt){.id = 0x12ab, .count = 1};
	s.holding = 2;
	s.visiting = 3;
	assert_text("link up\nsite there\nother_host B\nholding 2\n"
		    "in_batches 1\n"
		    "! ferry-a: linked with the ferry on B, where no server is "
		    "ready to take over\n"
		    "! ferry-a: on B: 192.0.2.7/24\n"
		    "! ferry-a: no gate: died\n"
		    "! ferry-a: serves 3 connections that an interrupted move "
		    "has brought here: the addresses are on B, and ready there "
		    "takes them back\n"
		    "! ferry-a: in doubt: 1 batch, 1 connection, silent until "
		    "B answers\n"
		    "! ferry-a: batch 00000000000012ab: 1 connection from B\n"
		    "! ferry-a: holds 2 connections that nobody serves until "
		    "a server joins\n");
}

static void
status_says_what_is_wrong_with_the_addresses(void **state)
{
	(void)state;
	r.way = 0;
	s = (struct handoff__ferry_status){
		.site_text = "not on A: put them there"};
	assert_text("link down\nsite nowhere\nother_host the other host\n"
		    "holding 0\nin_batches 0\n"
		    "! ferry-a: no link to the other host: none was made yet\n"
		    "! ferry-a: not on A: put them there\n"
		    "! ferry-a: no gate: no packet was held yet\n");
}

static void
status_says_why_there_is_no_link(void **state)
{
	(void)state;
	r.way = 0;
	s = (struct handoff__ferry_status){
		.batches_doubt = 2, .doubt = 300, .holding = 1};
	s.doubts[0] = (struct handoff__ferry_doubt){
		.id = UINT64_MAX, .count = 299, .out = true};
	s.doubts[1] = (struct handoff__ferry_doubt){.id = 1, .count = 1};
	assert_text("link down\nsite nowhere\nother_host the other host\n"
		    "holding 1\nin_batches 300\n"
		    "! ferry-a: no link to the other host: none was made yet\n"
		    "! ferry-a: on neither host, as far as is known: the "
		    "service\n"
		    "! ferry-a: no gate: no packet was held yet\n"
		    "! ferry-a: in doubt: 2 batches, 300 connections, silent "
		    "until the other host answers\n"
		    "! ferry-a: batch ffffffffffffffff: 299 connections to the "
		    "other host\n"
		    "! ferry-a: batch 0000000000000001: 1 connection from the "
		    "other host\n"
		    "! ferry-a: holds 1 connection that nobody serves until a "
		    "server joins\n");
	s.batches_doubt = s.doubt = s.holding = 0;
	s.link_text = "certificate not the pinned one";
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data, "! ferry-a: no link to the other host:"
					 " certificate not the pinned one\n"));
}

static void
status_has_the_move(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	r.ended_ms = 1000;
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data,
		"! ferry-a: last move, 1970-01-01 00:00:01: moved 7998 of "));
	assert_null(strstr(buf.data, "\nmoving "));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	r.ended_ms = 0;
	r.step = HANDOFF__FERRY_BATCHES;
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data,
		"\nmoving moving to B: 7998 of 8000 connections\n! "));
	assert_non_null(strstr(buf.data, "\n! ferry-a: moving to B: "));
}

/* A dry run that is over is no move, and hides none. */
static void
status_has_no_dry_run(void **state)
{
	struct handoff__ferry_report before = r;

	(void)state;
	setenv("TZ", "UTC", 1);
	r.dry = true;
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_null(strstr(buf.data, "last move"));
	s.before = &before;
	s.site = HANDOFF__FERRY_THERE;
	before.ended_ms = 1000;
	handoff__ferry_text(&s, &r, "ferry-a", &buf);
	assert_non_null(strstr(buf.data, "last move, 1970-01-01 00:00:01: "
					 "moved 7998 of "));
	assert_non_null(strstr(buf.data, "\ngone 1000\n! ferry-a: maintenance "
					 "under way since 1970-01-01 00:00:01: "
					 "B serves in place of this host\n"));
}

static void
status_for_programs(void **state)
{
	(void)state;
	leave("a \"word\"", 2);
	s.link_text = "";
	s.sent = 7998;
	s.moves_out = 1;
	handoff__ferry_json(&s, &r, &buf);
	assert_said(
		",\"ferry\":{\"linked\":true,\"link_text\":\"\",\"host\":\"B\","
		"\"other\":\"ferry-b\",\"other_address\":\"192.0.2.2:7100\","
		"\"other_has_server\":true,\"site\":\"here\","
		"\"site_text\":\"\","
		"\"addresses\":\"192.0.2.7/24\",\"device\":\"eth0\","
		"\"gate\":true,\"gate_text\":\"nft\",\"hook\":\"\",\"hook_"
		"text\":\"\",\"batches_in_doubt\":0,"
		"\"in_doubt\":0,\"holding\":0,\"astray\":0,\"visiting\":0,"
		"\"moves_out\":1,\"moves_in\":0,"
		"\"moves_failed\":0,\"sent\":7998,\"received\":0,"
		"\"doubts\":[],\"move\":{"
		"\"direction\":\"out\",\"under_way\":false,\"complete\":true,"
		"\"dry_run\":false,\"ended_ms\":1,\"took_us\":150000,"
		"\"longest_hold_us\":9200,\"connections\":8000,\"moved\":7998,"
		"\"in_doubt\":0,\"listeners\":0,\"batches\":0,\"tried_again\":0"
		",\"ended\":0,\"left\":2,\"left_behind\":[{\"reason\":\"a "
		"\\\"word\\\"\","
		"\"count\":2}],\"text\":\"moved 7998 of 8000 connections to B "
		"in 0.15 s, longest hold 9 ms, 2 left: 2 a \\\"word\\\"\"}}");
	r.way = 0;
	s.addresses = NULL;
	handoff__ferry_json(&s, &r, &buf);
	assert_non_null(strstr(buf.data, "\"addresses\":\"\""));
	assert_non_null(strstr(buf.data, ",\"move\":null}"));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	s.batches_doubt = 2;
	s.doubts[0] = (struct handoff__ferry_doubt){
		.id = 0x12ab, .count = 5, .out = true};
	s.doubts[1] = (struct handoff__ferry_doubt){.id = 1, .count = 1};
	handoff__ferry_json(&s, &r, &buf);
	assert_non_null(strstr(buf.data,
		",\"doubts\":[{\"batch\":\"00000000000012ab\","
		"\"direction\":\"out\",\"connections\":5},"
		"{\"batch\":\"0000000000000001\",\"direction\":\"in\","
		"\"connections\":1}],\"move\":"));
}

static void
assert_sample(const char *name, const char *labels, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line),
		"handoff_ferry_%s{service=\"echo\",peer=\"ferry-a\","
		"place=\"2\"%s} %s\n",
		name, labels, value);
	if (!strstr(buf.data, line))
		fail_msg("no %s in:\n%s", line, buf.data);
}

static void
metrics_have_the_names_of_the_peer(void **state)
{
	static const struct handoff_service service = {.name = "echo"};
	struct handoff__pair *pair = calloc(1, sizeof(*pair));

	(void)state;
	assert_non_null(pair);
	pair->config.service = &service;
	snprintf(pair->name, sizeof(pair->name), "ferry-a");
	pair->place = 2;
	s.moves_failed = 3;
	s.received = 9;
	s.visiting = 4;
	handoff__ferry_metrics(&s, &r, pair, &buf);
	assert_sample("linked", "", "1");
	assert_sample("address_here", "", "1");
	assert_sample("moves_total", ",outcome=\"failed\"", "3");
	assert_sample("connections_total", ",direction=\"in\"", "9");
	assert_sample("last_move_seconds", "", "0.150000");
	assert_sample("last_hold_seconds", "", "0.009200");
	assert_sample("moving", "", "0");
	assert_sample("connections_visiting", "", "4");
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	r.way = 0;
	s.linked = false;
	handoff__ferry_metrics(&s, &r, pair, &buf);
	assert_sample("linked", "", "0");
	assert_null(strstr(buf.data, "ferry_last_"));
	free(pair);
}

static void
a_host_has_several_names(void **state)
{
	static const char *const names[] = {
		"", "-", "B", "ferry-b", "192.0.2.2:7100", "192.0.2.2"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(handoff__ferry_is_host(&s, names[i]));
	assert_false(handoff__ferry_is_host(&s, "C"));
	assert_false(handoff__ferry_is_host(&s, "192.0.2"));
	assert_false(handoff__ferry_is_host(&s, "192.0.2.22"));
	snprintf(s.other_address, sizeof(s.other_address), "[fd00::2]:7100");
	assert_true(handoff__ferry_is_host(&s, "fd00::2"));
	assert_true(handoff__ferry_is_host(&s, "[fd00::2]"));
	assert_false(handoff__ferry_is_host(&s, "fd00::"));
	s.other_address[0] = '\0';
	assert_false(handoff__ferry_is_host(&s, "fd00::2"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		report_test(a_move_is_counted),
		report_test(all_are_accounted_for),
		report_test(a_host_may_have_no_name),
		report_test(a_dry_run_counts_what_would_move),
		report_test(a_failure_says_what_became_of_them),
		report_test(progress_is_said_by_steps),
		report_test(status_says_where_everything_is),
		report_test(status_says_why_there_is_no_link),
		report_test(status_says_what_is_wrong_with_the_addresses),
		report_test(status_has_the_move),
		report_test(status_has_no_dry_run),
		report_test(status_for_programs),
		report_test(metrics_have_the_names_of_the_peer),
		report_test(a_host_has_several_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
