/* SPDX-License-Identifier: MIT */
/*
 * What a caller may wait for: for each state of two peers, whether it is so and
 * what is said to be missing. Works on statuses that the test writes.
 */
#include "support/support.h"

#include "control/until.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READY      "model loop\nuncovered 0\npartner ready\n"
#define OWNER      contact("server", "owner", 1, READY)
#define FERRY      contact("ferry", "standby", 3, "model ferry\nuncovered 0\n")
#define WANTS(...) (&(struct handoff_wait_opts){__VA_ARGS__})

static struct handoff__contact
contact(const char *name, const char *role, long pid, const char *body)
{
	struct handoff__contact contact = {.pid = pid};

	snprintf(contact.name, sizeof(contact.name), "%s", name);
	snprintf(contact.role, sizeof(contact.role), "%s", role);
	snprintf(contact.service, sizeof(contact.service), "echo");
	contact.body = (char *)(uintptr_t)body;
	return contact;
}

static void
assert_until(const struct handoff_wait_opts *opts, bool met, const char *text,
	size_t npeers, struct handoff__contact first,
	struct handoff__contact second)
{
	const struct handoff__contact peers[2] = {first, second};
	struct handoff__buf buf = {.data = NULL};

	assert_int_equal(handoff__until_met(opts, peers, npeers, &buf), met);
	assert_non_null(buf.data);
	assert_string_equal(buf.data, text);
	free(buf.data);
}

#define two(opts, met, text, first, second)                                    \
	assert_until(opts, met, text, 2, first, second)
#define one(opts, met, text, first)                                            \
	assert_until(opts, met, text, 1, first, (first))

static struct handoff__contact
standby(void)
{
	return contact("alt", "standby", 2, READY);
}

static void
owner_is_the_one_that_serves(void **state)
{
	const struct handoff_wait_opts *server = WANTS(.owner = "server");

	(void)state;
	two(server, true, "server serves", OWNER, standby());
	two(WANTS(.owner = "1"), true, "1 serves", OWNER, standby());
	two(WANTS(.owner = "alt"), false, "alt (pid 2) is a standby", OWNER,
		standby());
	one(WANTS(.owner = "alt"), false,
		"no peer alt is there: only server (pid 1)", OWNER);
	one(server, false, "server (pid 7) does not answer",
		contact("server", "", 7, NULL));
	one(server, false, "server is a ferry, which serves nothing",
		contact("server", "owner", 7, "model ferry\n"));
	one(server, false, "server waits for the lease of the service",
		contact("server", "owner", 7,
			"lease CANDIDATE token 0 valid_ms 0\n"));
	one(server, false, "server stands still until its lease is confirmed",
		contact("server", "owner", 7,
			"lease DOUBT token 7 valid_ms 0 frozen\n"));
}

/* As in an upgrade within one unit. */
static void
two_may_have_one_name(void **state)
{
	struct handoff__contact other = contact("server", "standby", 2, READY);

	(void)state;
	two(WANTS(.owner = "server"), true, "server serves", other, OWNER);
	two(WANTS(.owner = "2"), false, "server (pid 2) is a standby", other,
		OWNER);
	two(WANTS(.joined = "server"), true, "server (pid 2) stands by", OWNER,
		other);
	two(WANTS(.gone = "server"), false, "server (pid 1) is still there",
		OWNER, other);
}

static void
standby_is_one_that_could_serve(void **state)
{
	const struct handoff_wait_opts *any = WANTS(.standby = true);

	(void)state;
	two(any, true, "alt (pid 2) stands by", OWNER, standby());
	two(any, true, "alt (pid 2) stands by", standby(), OWNER);
	one(any, false, "no standby is there: only server (pid 1)", OWNER);
	one(any, false, "no peer owns the service", standby());
	two(any, false, "alt (pid 2) does not answer", OWNER,
		contact("alt", "", 2, NULL));
	two(any, false,
		"ferry is a ferry, which holds copies and serves nothing",
		OWNER, FERRY);
	two(any, false, "alt is not ready to serve yet",
		contact("server", "owner", 1, "partner loading\n"), standby());
	two(any, false, "alt hangs",
		contact("server", "owner", 1, "partner hung\n"), standby());
	two(any, false, "alt has not joined yet",
		contact("server", "owner", 1, "partner joining\n"), standby());
	two(WANTS(.joined = "2"), true, "alt (pid 2) stands by", OWNER,
		standby());
	two(WANTS(.joined = "new"), false,
		"no peer new is there: only server (pid 1), alt (pid 2)", OWNER,
		standby());
	two(WANTS(.joined = "server"), false,
		"server (pid 1) is no standby: it is the owner", OWNER,
		standby());
}

static void
covered_is_all_of_both(void **state)
{
	const struct handoff_wait_opts *covered = WANTS(.covered = true);

	(void)state;
	two(covered, true, "every entry is covered", OWNER, standby());
	two(covered, true, "every entry is covered", OWNER, FERRY);
	two(covered, true, "every entry is covered",
		contact("server", "owner", 1, "uncovered 0\npartner loading\n"),
		standby());
	one(covered, false,
		"nothing covers server (pid 1): no other peer is there", OWNER);
	two(covered, false, "1 entry is not covered yet",
		contact("server", "owner", 1, "uncovered 1\npartner ready\n"),
		standby());
	two(covered, false, "3 entries are not covered yet", OWNER,
		contact("alt", "standby", 2, "uncovered 3\n"));
	two(covered, false, "1 entry is not covered yet", OWNER,
		contact("alt", "standby", 2, ""));
	two(covered, false, "alt has not joined yet",
		contact("server", "owner", 1, "uncovered 0\npartner none\n"),
		standby());
	two(covered, false, "alt (pid 2) does not answer", OWNER,
		contact("alt", "", 2, NULL));
	two(covered, false, "no peer owns the service", standby(), standby());
	/* for a moment of a handoff */
	two(covered, true, "every entry is covered", OWNER,
		contact("alt", "owner", 2, READY));
}

static void
gone_is_who_has_no_place(void **state)
{
	const struct handoff_wait_opts *gone = WANTS(.gone = "server");

	(void)state;
	one(gone, true, "server is gone", standby());
	assert_until(gone, true, "server is gone", 0, OWNER, OWNER);
	one(gone, false, "server (pid 1) is still there", OWNER);
	one(WANTS(.gone = "1"), false, "server (pid 1) is still there", OWNER);
	one(gone, false, "a peer has not told its name yet",
		contact("?", "", 0, NULL));
}

static void
all_that_is_given_must_be_so(void **state)
{
	const struct handoff_wait_opts *all = WANTS(.owner = "server",
		.standby = true, .covered = true, .gone = "old");
	struct handoff__buf buf = {.data = NULL};

	(void)state;
	two(all, true,
		"server serves, alt (pid 2) stands by, every entry is covered, "
		"old is gone",
		OWNER, standby());
	two(all, false, "2 entries are not covered yet",
		contact("server", "owner", 1, "uncovered 2\npartner ready\n"),
		standby());
	assert_until(all, false, "no server is running", 0, OWNER, OWNER);
	handoff__until_text(all, &buf);
	assert_string_equal(buf.data,
		"server to serve, another peer to stand by, every entry to be "
		"covered, old to be gone");
	free(buf.data);
}

static void
what_cannot_be_is_refused(void **state)
{
	(void)state;
	assert_null(handoff__until_wrong(WANTS(.gone = "server")));
	assert_null(handoff__until_wrong(
		WANTS(.covered = true, .timeout_ms = 86400000)));
	assert_non_null(handoff__until_wrong(WANTS(.timeout_ms = 1)));
	assert_non_null(handoff__until_wrong(WANTS(.gone = "")));
	assert_non_null(handoff__until_wrong(WANTS(.owner = "a b")));
	assert_non_null(handoff__until_wrong(WANTS(.joined = ".")));
	assert_non_null(handoff__until_wrong(
		WANTS(.covered = true, .timeout_ms = 86400001)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(owner_is_the_one_that_serves),
		handoff_test(two_may_have_one_name),
		handoff_test(standby_is_one_that_could_serve),
		handoff_test(covered_is_all_of_both),
		handoff_test(gone_is_who_has_no_place),
		handoff_test(all_that_is_given_must_be_so),
		handoff_test(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests_name("until", tests, NULL, NULL);
}
