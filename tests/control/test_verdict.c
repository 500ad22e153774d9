/* SPDX-License-Identifier: MIT */
/*
 * Whether a peer may be stopped, for each state of one or two peers, and the
 * line for a monitor. Works on statuses that the test writes.
 */
#include "support/support.h"

#include "control/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK       HANDOFF__GRADE_OK
#define WARNING  HANDOFF__GRADE_WARNING
#define CRITICAL HANDOFF__GRADE_CRITICAL

#define READY "model loop\nuncovered 0\nlagging no\npartner ready\n"

static struct handoff__contact
contact(const char *name, const char *role, const char *body)
{
	struct handoff__contact contact = {.pid = 1};

	snprintf(contact.name, sizeof(contact.name), "%s", name);
	snprintf(contact.role, sizeof(contact.role), "%s", role);
	snprintf(contact.service, sizeof(contact.service), "echo");
	contact.body = (char *)(uintptr_t)body;
	return contact;
}

#define server(body)   contact("server", "owner", body)
#define alt(body)      contact("alt", "standby", body)
#define silent(name)   contact(name, "", NULL)
#define ferry(r, body) contact("ferry", r, "model ferry\n" body)

static void
assert_verdict(size_t npeers, struct handoff__contact first,
	struct handoff__contact second, enum handoff__grade grade,
	const char *text)
{
	const struct handoff__contact peers[2] = {first, second};
	struct handoff__buf buf = {.data = NULL};

	assert_int_equal(handoff__verdict(peers, npeers, &buf), grade);
	assert_non_null(buf.data);
	assert_string_equal(buf.data, text);
	free(buf.data);
}

/* In either order: only the roles count. */
static void
two(struct handoff__contact first, struct handoff__contact second,
	enum handoff__grade grade, const char *text)
{
	assert_verdict(2, first, second, grade, text);
	assert_verdict(2, second, first, grade, text);
}

static void
one(struct handoff__contact peer, enum handoff__grade grade, const char *text)
{
	assert_verdict(1, peer, peer, grade, text);
}

static void
assert_line(size_t npeers, struct handoff__contact first,
	struct handoff__contact second, enum handoff__grade grade,
	const char *text)
{
	const struct handoff__contact peers[2] = {first, second};
	struct handoff__buf buf = {.data = NULL};

	assert_int_equal(handoff__verdict_line(peers, npeers, &buf), grade);
	assert_non_null(buf.data);
	assert_string_equal(buf.data, text);
	free(buf.data);
}

static void
covered_pair(void **state)
{
	(void)state;
	two(server("connections 3\n" READY), alt(READY), OK,
		"alt may be stopped: server serves all 3 connections and "
		"nothing is uncovered; so may server, which hands over to alt "
		"first");
	two(server("connections 1\n" READY), alt(READY), OK,
		"alt may be stopped: server serves the 1 connection and "
		"nothing is uncovered; so may server, which hands over to alt "
		"first");
	two(server("connections 0\n" READY), alt(READY), OK,
		"alt may be stopped: server serves no connection and nothing "
		"is uncovered; so may server, which hands over to alt first");
	two(server("connections 5\nabsent 2\n" READY), alt(READY), OK,
		"alt may be stopped: server serves all 5 connections (2 "
		"absent) and nothing is uncovered; so may server, which hands "
		"over to alt first");
}

static void
maintenance(void **state)
{
	(void)state;
	two(contact("alt", "owner",
		    "connections 3\naway maintenance under way since x: alt "
		    "serves in place of server\n" READY),
		contact("server", "standby", READY), OK,
		"server may be stopped: alt serves all 3 connections and "
		"nothing is uncovered");
	one(contact("alt", "owner",
		    "connections 3\naway maintenance under way since x: alt "
		    "serves in place of server\nuncovered 4\npartner none\n"),
		WARNING,
		"alt must not be stopped: it serves 3 connections alone, in "
		"place of server: start server again");
	one(contact("alt", "owner", "connections 3\naway odd\n"), WARNING,
		"alt must not be stopped: it serves 3 connections alone, in "
		"place of the other server: start the other server again");
	two(contact("alt", "owner",
		    "connections 1\naway maintenance under way\n" READY),
		contact("server", "standby", "connections 2\n" READY), WARNING,
		"server should not be stopped yet: it still serves 2 "
		"connections, and alt 1 connection");
}

static void
standby_that_is_not_ready(void **state)
{
	(void)state;
	two(server("connections 3\nuncovered 2\npartner ready\n"), alt(READY),
		WARNING,
		"server must not be stopped yet: alt has no copy of 2 entries");
	two(server("connections 3\nuncovered 1\npartner ready\n"), alt(READY),
		WARNING,
		"server must not be stopped yet: alt has no copy of 1 entry");
	two(server("uncovered 0\nlagging yes\npartner ready\n"), alt(READY),
		WARNING,
		"server must not be stopped yet: alt falls behind with its "
		"copies");
	two(server("partner joining\n"), alt(READY), WARNING,
		"server must not be stopped yet: alt has not joined");
	two(server(""), alt(READY), WARNING,
		"server must not be stopped yet: alt has not joined");
	two(server("partner hung\n"), alt(READY), WARNING,
		"server must not be stopped: alt hangs");
	two(server("partner apart\n"), alt(READY), WARNING,
		"server must not be stopped: the link to alt is broken, and "
		"is made again");
	two(server("partner loading\n"), alt("loading 40 % of the map\n"),
		WARNING,
		"server must not be stopped yet: alt is not ready to serve: "
		"40 % of the map");
	two(server("partner loading\n"), alt(READY), WARNING,
		"server must not be stopped yet: alt is not ready to serve: "
		"it is loading");
}

static void
one_peer_alone(void **state)
{
	(void)state;
	one(server("connections 3\nuncovered 4\npartner none\n"), WARNING,
		"server must not be stopped: it serves 3 connections alone: "
		"start a standby first");
	one(server("connections 0\nuncovered 1\npartner none\n"), WARNING,
		"server may be stopped: it serves no connection; but no other "
		"peer is there, and nothing listens afterwards");
	one(alt("generation 0\n"), CRITICAL,
		"nothing is served: alt stands by, and no peer owns the "
		"service: start a server that listens");
	assert_verdict(2, alt(READY), contact("new", "standby", READY),
		CRITICAL,
		"nothing is served at this moment: neither alt nor new owns "
		"the service; ask again");
}

static void
silence(void **state)
{
	(void)state;
	one(silent("server"), CRITICAL,
		"whether anything is served is not known: server does not "
		"answer");
	two(server(READY), silent("alt"), WARNING,
		"server must not be stopped: alt does not answer");
	two(alt(READY), silent("server"), CRITICAL,
		"whether anything is served is not known: server does not "
		"answer, and alt stands by");
	assert_verdict(2, silent("server"), silent("alt"), CRITICAL,
		"whether anything is served is not known: neither alt nor "
		"server answers");
}

/* The old program and the new one, say. */
static void
two_of_one_name(void **state)
{
	struct handoff__contact owner =
		server("connections 3\nsuspects 1\n" READY);
	struct handoff__contact standby = contact("server", "standby", READY);
	struct handoff__contact lost = silent("server");

	(void)state;
	owner.pid = 812;
	standby.pid = lost.pid = 913;
	two(owner, standby, OK,
		"server (pid 913) may be stopped: server (pid 812) serves all "
		"3 connections and nothing is uncovered; so may server (pid "
		"812), which hands over to server (pid 913) first");
	two(owner, lost, WARNING,
		"server (pid 812) must not be stopped: server (pid 913) does "
		"not answer");
	one(owner, WARNING,
		"server must not be stopped: it serves 3 connections alone: "
		"start a standby first");
	assert_line(2, standby, owner, WARNING,
		"HANDOFF WARNING - echo: server (pid 913) may be stopped: "
		"server (pid 812) serves all 3 connections and nothing is "
		"uncovered; so may server (pid 812), which hands over to "
		"server (pid 913) first; server (pid 812) suspects 1 "
		"connection of having killed a process | connections=3 "
		"uncovered=0 absent=0 in_doubt=0\n");
}

static void
ferries(void **state)
{
	(void)state;
	two(server("connections 3\n" READY), ferry("standby", "link up\n"), OK,
		"server must not be stopped: ferry is a ferry, which has "
		"copies of 3 connections and serves nothing: move the service "
		"first, by maintenance --to");
	two(server("uncovered 2\npartner ready\n"), ferry("standby", ""),
		WARNING,
		"server must not be stopped yet: ferry has no copy of 2 "
		"entries");
	two(ferry("owner", "site there\nother_host B\n"), alt(READY), OK,
		"nothing is served here: the service is on B");
	one(ferry("owner", "site there\nother_host B\n"), OK,
		"nothing is served here: the service is on B");
	one(ferry("owner", "site here\n"), CRITICAL,
		"nothing is served: ferry is a ferry and has the service, and "
		"no server is ready: start one");
	one(ferry("owner", "site here\nholding 2\n"), CRITICAL,
		"ferry must not be stopped: it is a ferry and holds 2 "
		"connections that nobody serves: start a server");
	one(server("away the service is on another host: the ferry here ended "
		   "at x\n"),
		CRITICAL,
		"nothing is served here: the service is on another host, and "
		"its ferry has ended: start the ferry again");
}

static void
doubt(void **state)
{
	(void)state;
	two(server("connections 3\n" READY), ferry("standby", "in_batches 2\n"),
		CRITICAL,
		"ferry must not be stopped: 2 connections in doubt wait until "
		"the other host answers");
	one(server("connections 3\nin_doubt 1\npartner none\n"), CRITICAL,
		"server must not be stopped: it has the only descriptors of 1 "
		"connection in doubt: start the ferry again");
}

static void
leases(void **state)
{
	(void)state;
	two(server("lease CANDIDATE token 0 valid_ms 0\n" READY), alt(READY),
		OK,
		"server may be stopped: this host does not have the lease of "
		"the service, and serves nothing");
	two(server("lease LOST token 7 valid_ms 0\n" READY), alt(READY), OK,
		"server may be stopped: this host does not have the lease of "
		"the service, and serves nothing");
	one(server("lease DOUBT token 7 valid_ms 0 frozen\n"), CRITICAL,
		"server must not be stopped: everything stands still until its "
		"lease is confirmed");
	two(server("connections 2\nlease OWNER token 7 valid_ms 900\n" READY),
		alt(READY), OK,
		"alt may be stopped: server serves all 2 connections and "
		"nothing is uncovered; so may server, which hands over to alt "
		"first");
}

static void
monitor_has_a_line(void **state)
{
	(void)state;
	assert_line(2, server("connections 3\n" READY), alt(READY), OK,
		"HANDOFF OK - echo: alt may be stopped: server serves all 3 "
		"connections and nothing is uncovered; so may server, which "
		"hands over to alt first | connections=3 uncovered=0 absent=0 "
		"in_doubt=0\n");
	assert_line(2, server("partner loading\n"), alt("loading a|b\n"),
		WARNING,
		"HANDOFF WARNING - echo: server must not be stopped yet: alt "
		"is not ready to serve: a/b | connections=0 uncovered=0 "
		"absent=0 in_doubt=0\n");
	assert_line(1, silent("server"), silent("server"), CRITICAL,
		"HANDOFF CRITICAL - whether anything is served is not known: "
		"server does not answer | connections=0 uncovered=0 absent=0 "
		"in_doubt=0\n");
}

static void
monitor_is_warned_of_more(void **state)
{
	(void)state;
	assert_line(2,
		contact("alt", "owner", "away failed over since x\n" READY),
		contact("server", "standby",
			"away failed over since x\n" READY),
		WARNING,
		"HANDOFF WARNING - echo: server may be stopped: alt serves no "
		"connection and nothing is uncovered; failed over since x | "
		"connections=0 uncovered=0 absent=0 in_doubt=0\n");
	assert_line(1,
		ferry("owner", "site there\nother_host B\ngone 7\nlink up\n"),
		silent(""), WARNING,
		"HANDOFF WARNING - echo: nothing is served here: the service "
		"is on B; maintenance under way: B serves in place of this "
		"host | connections=0 uncovered=0 absent=0 in_doubt=0\n");
	assert_line(2, server("connections 1\nsuspects 2\n" READY),
		ferry("standby", "link down\n"), WARNING,
		"HANDOFF WARNING - echo: server must not be stopped: ferry is "
		"a ferry, which has copies of 1 connection and serves nothing: "
		"move the service first, by maintenance --to; server suspects "
		"2 connections of having killed a process; ferry has no link "
		"to the ferry of the other host | connections=1 uncovered=0 "
		"absent=0 in_doubt=0\n");
	assert_line(2, server("connections 1\n" READY),
		ferry("standby", "in_batches 3\nlink down\n"), CRITICAL,
		"HANDOFF CRITICAL - echo: ferry must not be stopped: 3 "
		"connections in doubt wait until the other host answers; ferry "
		"has no link to the ferry of the other host | connections=1 "
		"uncovered=0 absent=0 in_doubt=3\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(covered_pair),
		handoff_test(maintenance),
		handoff_test(standby_that_is_not_ready),
		handoff_test(one_peer_alone),
		handoff_test(silence),
		handoff_test(two_of_one_name),
		handoff_test(ferries),
		handoff_test(doubt),
		handoff_test(leases),
		handoff_test(monitor_has_a_line),
		handoff_test(monitor_is_warned_of_more),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
