/* SPDX-License-Identifier: MIT */
/*
 * Requests to a ferry, over a real control socket; the ferry's calls are
 * replaced, so that what a request means is seen alone.
 */
#include "support/support.h"

#include "base/fdpass.h"
#include "ferry/ferry.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 4

static const struct handoff_service echo = {.name = "echo"};

static struct handoff__ferry *ferry;
static struct handoff__ferry_status status;
static int clients[CLIENTS], nclients;
static char answer[1 << 17];

/* What was asked of the ferry. */
static unsigned moves, fetches;
static bool whole, dry;
static uint32_t timeout_ms;
static uint64_t settled;
static bool settled_here;
static int result;

void __wrap_handoff__ferry_status(
	struct handoff__ferry *asked, struct handoff__ferry_status *to);
int __wrap_handoff__ferry_move(
	struct handoff__ferry *asked, bool all, bool only);
int __wrap_handoff__ferry_fetch(struct handoff__ferry *asked);
int __wrap_handoff__ferry_settle(
	struct handoff__ferry *asked, uint64_t id, bool here);
void __wrap_handoff__ferry_stop(struct handoff__ferry *asked);

void
__wrap_handoff__ferry_status(
	struct handoff__ferry *asked, struct handoff__ferry_status *to)
{
	assert_ptr_equal(asked, ferry);
	*to = status;
}

static int
began(enum handoff__ferry_way way)
{
	timeout_ms = ferry->options.timeout_ms;
	if (result < 0)
		return handoff__fail(&ferry->error, result,
			"no link to B: the certificate is not the pinned one");
	ferry->report = (struct handoff__ferry_report){
		.way = way, .step = HANDOFF__FERRY_BATCHES, .total = 8};
	return 0;
}

int
__wrap_handoff__ferry_move(struct handoff__ferry *asked, bool all, bool only)
{
	assert_ptr_equal(asked, ferry);
	moves++;
	whole = all;
	dry = only;
	return began(HANDOFF__FERRY_OUT);
}

int
__wrap_handoff__ferry_fetch(struct handoff__ferry *asked)
{
	assert_ptr_equal(asked, ferry);
	fetches++;
	return began(HANDOFF__FERRY_IN);
}

int
__wrap_handoff__ferry_settle(
	struct handoff__ferry *asked, uint64_t id, bool here)
{
	assert_ptr_equal(asked, ferry);
	settled = id;
	settled_here = here;
	return result < 0 ? handoff__fail(&ferry->error, result, "not now") : 0;
}

void
__wrap_handoff__ferry_stop(struct handoff__ferry *asked)
{
	asked->stopping = true;
}

static void
end(bool ok)
{
	ferry->report.ended_ms = 1;
	ferry->report.ok = ok;
	ferry->report.moved = ok ? 8 : 0;
	ferry->report.took_us = 20000;
	if (!ok)
		snprintf(ferry->report.text, sizeof(ferry->report.text),
			"no room on B");
	ferry->report.step = HANDOFF__FERRY_IDLE;
	ferry->events.ended(ferry, &ferry->report);
}

static int
setup(void **state)
{
	if (support_setup(state) < 0)
		return -1;
	moves = fetches = 0;
	result = nclients = 0;
	status = (struct handoff__ferry_status){.linked = true,
		.other_host = "B",
		.other_name = "ferry-b",
		.other_address = "192.0.2.2:7100",
		.other_has_server = true,
		.site = HANDOFF__FERRY_HERE};
	ferry = calloc(1, sizeof(*ferry));
	assert_non_null(ferry);
	ferry->options.timeout_ms = 5000;
	ferry->pair.roster.arena = &ferry->pair.arena;
	ferry->pair.config.service = &echo;
	ferry->pair.place = 2;
	ferry->pair.arg = &ferry->op;
	snprintf(ferry->pair.name, sizeof(ferry->pair.name), "ferry-a");
	assert_int_equal(handoff__dir_open(&ferry->pair.dir, support_dir(),
				 false, 0, &ferry->error),
		0);
	assert_int_equal(handoff__loop_init(&ferry->loop), 0);
	handoff__operator_init(&ferry->op, &handoff__ferry_operator_ops, ferry,
		&ferry->pair, &ferry->loop, &ferry->log);
	assert_int_equal(handoff__ferry_operator_open(ferry), 0);
	return 0;
}

static int
teardown(void **state)
{
	for (int i = 0; i < nclients; i++) {
		if (clients[i] >= 0)
			close(clients[i]);
	}
	handoff__timer_disarm(&ferry->loop, &ferry->op.wakeup);
	handoff__ferry_operator_close(ferry);
	handoff__loop_fini(&ferry->loop);
	handoff__dir_close(&ferry->pair.dir);
	free(ferry);
	return support_teardown(state);
}

#define operator_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
settle(void)
{
	int n;

	do {
		n = handoff__loop_dispatch(&ferry->loop, 0);
		assert_true(n >= 0);
	} while (n > 0);
}

/* Returns the client's number. */
static int
ask(const char *line)
{
	int fd = handoff__dir_connect(
		&ferry->pair.dir, "control.2", SOCK_STREAM);

	assert_true(fd >= 0 && nclients < CLIENTS);
	assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
	clients[nclients] = fd;
	settle();
	return nclients++;
}

static bool
answered(int client)
{
	size_t len = 0;
	ssize_t n;

	settle();
	while ((n = recv(clients[client], answer + len,
			sizeof(answer) - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	return len > 0;
}

static void
assert_answer(int client, const char *expected)
{
	char line[512];

	assert_true(answered(client));
	if (strncmp(expected, "error", 5) == 0)
		snprintf(line, sizeof(line), "%s\n", expected);
	else
		snprintf(line, sizeof(line), "ok echo ferry-a standby %d\n%s\n",
			(int)getpid(), expected);
	assert_string_equal(answer, line);
	close(clients[client]);
	clients[client] = -1;
	if (client == nclients - 1)
		nclients--;
}

static void
a_move_is_answered_at_its_end(void **state)
{
	int first, second;

	(void)state;
	first = ask("move host=B\n");
	assert_int_equal(moves, 1);
	assert_false(whole || dry);
	assert_int_equal(timeout_ms, 5000);
	second = ask("move host=B\n");
	assert_int_equal(moves, 1);
	assert_false(answered(first));
	end(true);
	assert_answer(
		second, "moved 8 of 8 connections to B in 0.02 s, 0 left");
	assert_answer(first, "moved 8 of 8 connections to B in 0.02 s, 0 left");
}

static void
a_move_has_options(void **state)
{
	int client;

	(void)state;
	client = ask("move timeout=90000 whole=1 dry=1 host=-\n");
	assert_true(whole && dry);
	assert_int_equal(timeout_ms, 90000);
	end(true);
	assert_int_equal(ferry->options.timeout_ms, 5000);
	assert_answer(
		client, "moved 8 of 8 connections to B in 0.02 s, 0 left");
	result = -EBUSY;
	ask("move timeout=1\n");
	assert_int_equal(timeout_ms, 1);
	assert_int_equal(ferry->options.timeout_ms, 5000);
	assert_answer(ask("move faster=1\n"),
		"error move: unknown option in 'move faster=1'");
	assert_int_equal(moves, 2);
}

static void
a_failure_is_an_error(void **state)
{
	int client = ask("move\n");

	(void)state;
	end(false);
	assert_answer(client,
		"error no room on B; 8 connections stay where they were");
	result = -ENOTCONN;
	assert_answer(ask("move\n"),
		"error no link to B: the certificate is not the pinned one");
	status.site = HANDOFF__FERRY_NOWHERE;
	assert_answer(ask("fetch\n"),
		"error no link to B: the certificate is not the pinned one");
}

static void
one_move_at_a_time(void **state)
{
	int client = ask("move host=B\n");

	(void)state;
	assert_answer(ask("move whole=1 host=B\n"),
		"error another move is under way: wait for its end, which "
		"status shows");
	assert_answer(ask("fetch\n"),
		"error another move is under way: wait for its end, which "
		"status shows");
	assert_int_equal(moves + fetches, 1);
	end(true);
	assert_true(answered(client));
	/* one that the other ferry has begun */
	began(HANDOFF__FERRY_IN);
	assert_answer(ask("move\n"),
		"error another move is under way: wait for its end, which "
		"status shows");
}

static void
another_host_is_refused(void **state)
{
	(void)state;
	assert_answer(ask("move host=C\n"),
		"error ferry-a is linked with B (ferry-b, 192.0.2.2:7100), not "
		"with C");
	status = (struct handoff__ferry_status){
		.link_text = "192.0.2.2:7100: Connection refused"};
	assert_answer(ask("move host=C\n"),
		"error ferry-a has had no link to another host since it was "
		"started, so it cannot tell whether that is C: 192.0.2.2:7100: "
		"Connection refused");
	assert_int_equal(moves, 0);
}

static void
a_repetition_changes_nothing(void **state)
{
	(void)state;
	assert_answer(ask("fetch silent=1\n"),
		"the service is here, not on B, already; nothing was changed");
	status.site = HANDOFF__FERRY_THERE;
	assert_answer(ask("move host=B\n"),
		"the service is on B already; nothing was changed (ready "
		"brings it back)");
	assert_answer(ask("maintenance\n"),
		"maintenance under way: the service is on B; nothing was "
		"changed (ready brings it back)");
	assert_int_equal(moves + fetches, 0);
}

/* A move has ended half-way: what is there comes, if the two are linked. */
static void
ready_brings_back_a_part(void **state)
{
	int client;

	(void)state;
	status.astray = 5;
	client = ask("ready\n");
	assert_int_equal(fetches, 1);
	end(true);
	assert_answer(
		client, "moved 8 of 8 connections from B in 0.02 s, 0 left");
	/* before B has counted */
	status.astray = 0;
	status.forwards = true;
	client = ask("fetch\n");
	assert_int_equal(fetches, 2);
	ferry->report.rest = true;
	ferry->report.total = 0;
	end(true);
	assert_answer(client, "nothing of the service was on B any more");
	status.linked = false;
	status.link_text = "nothing came for 5000 ms";
	assert_answer(ask("ready\n"),
		"error the service is here, but a move has ended half-way, and "
		"connections are on B, to which there is no link: nothing came "
		"for 5000 ms");
	assert_int_equal(fetches, 2);
}

static void
leave(const char *word, uint32_t count)
{
	struct handoff__ferry_why *why =
		&ferry->report.whys[ferry->report.nwhys++];

	snprintf(why->word, sizeof(why->word), "%s", word);
	why->count = count;
	ferry->report.left += count;
}

/* Those without their address are errors; others are only named. */
static void
what_is_cut_off_is_an_error(void **state)
{
	int client = ask("move host=B\n");

	(void)state;
	leave(HANDOFF__FERRY_NOT_MOVING, 10);
	end(true);
	assert_answer(client,
		"moved 8 of 8 connections to B in 0.02 s, 10 left: 10 to an "
		"address that does not move");
	client = ask("fetch\n");
	assert_true(answered(client)); /* it is here */
	status.site = HANDOFF__FERRY_THERE;
	client = ask("fetch\n");
	leave(HANDOFF__FERRY_NOT_MOVING, 10);
	leave("MPTCP", 1);
	end(true);
	assert_answer(client,
		"moved 8 of 8 connections from B in 0.02 s, 11 left: 10 to an "
		"address that does not move, 1 MPTCP\nerror 1 connection stays "
		"on B, which its address has left: its client loses it");
	status.stays = 12;
	status.cut = 2;
	assert_answer(ask("move host=B\n"),
		"the service is on B already; nothing was changed (ready "
		"brings it back); 10 left here to an address that does not "
		"move\nerror 2 connections stay on this host, which their "
		"address has left: their clients lose them");
}

static void
ready_is_a_fetch(void **state)
{
	int first, second;

	(void)state;
	status.site = HANDOFF__FERRY_THERE;
	first = ask("ready\n");
	second = ask("ready silent\n");
	assert_int_equal(fetches, 1);
	end(true);
	assert_answer(
		second, "moved 8 of 8 connections from B in 0.02 s, 0 left");
	assert_answer(
		first, "moved 8 of 8 connections from B in 0.02 s, 0 left");
}

static void
maintenance_needs_a_host(void **state)
{
	(void)state;
	assert_answer(ask("maintenance server\n"),
		"error ferry-a is a ferry and serves nothing: maintenance --to "
		"HOST moves the service to another host");
}

static void
other_requests_are_those_of_a_peer(void **state)
{
	(void)state;
	assert_true(answered(ask("status\n")));
	assert_non_null(strstr(answer, "\npartner none\n"));
	assert_non_null(strstr(answer, "\nlink up\nsite here\n"));
	assert_true(answered(ask("status json\n")));
	assert_non_null(strstr(answer, ",\"ferry\":{\"linked\":true,"));
	assert_string_equal(answer + strlen(answer) - 3, "}}\n");
	assert_true(answered(ask("metrics\n")));
	assert_non_null(
		strstr(answer, "handoff_ferry_linked{service=\"echo\""));
	assert_answer(ask("dance\n"),
		"error unknown request: want status, status json, metrics, "
		"move, fetch, settle, or stop");
}

/* With what it means, should the other host live. */
static void
a_batch_is_settled(void **state)
{
	(void)state;
	assert_answer(ask("settle batch=12aB here=1\n"),
		"batch 00000000000012ab is settled: its connections are served "
		"here\nwarning: if B lives and has kept them, two hosts serve "
		"them: it must not come back to the network before it has been "
		"booted");
	assert_int_equal(settled, 0x12ab);
	assert_true(settled_here);
	assert_answer(ask("settle batch=ffffffffffffffff here=0\n"),
		"batch ffffffffffffffff is settled: its connections are "
		"dropped here\nwarning: their clients are not told: if B does "
		"not serve them, they have lost them");
	assert_int_equal(settled, UINT64_MAX);
	assert_false(settled_here);
	result = -EPERM;
	assert_answer(ask("settle batch=1 here=1\n"), "error settle: not now");
	assert_answer(ask("settle batch=xyz here=1\n"),
		"error settle: xyz is no batch");
	assert_answer(
		ask("settle batch= here=1\n"), "error settle:  is no batch");
	assert_answer(ask("settle batch=1\n"),
		"error settle: unknown option in 'settle batch=1'");
}

static void
a_service_may_be_unknown_yet(void **state)
{
	static const struct handoff_service nameless = {.name = ""};

	(void)state;
	ferry->pair.config.service = &nameless;
	assert_true(answered(ask("status\n")));
	assert_int_equal(strncmp(answer, "ok - ferry-a standby ", 21), 0);
	assert_true(answered(ask("metrics\n")));
	assert_non_null(strstr(answer, "handoff_ferry_linked{service=\"\","));
}

static void
what_a_server_answers_is_not_here(void **state)
{
	(void)state;
	assert_answer(ask("connections\n"), "omitted 0");
	assert_answer(ask("connections json\n"),
		"{\"name\":\"ferry-a\",\"connections\":[],\"omitted\":0}");
	assert_answer(ask("say hello\n"),
		"error ferry-a is a ferry and serves nothing");
	status.site = HANDOFF__FERRY_THERE;
	assert_answer(ask("dump\n"),
		"error ferry-a, a ferry, serves nothing: the service is on B, "
		"where that can be asked");
}

static void
a_stop_answers_all(void **state)
{
	int move = ask("move\n"), stop = ask("stop\n");

	(void)state;
	assert_true(ferry->stopping);
	assert_answer(ask("move whole=1\n"), "error it is stopping");
	handoff__ferry_operator_close(ferry);
	assert_answer(stop, "stopped");
	assert_answer(move, "error it is stopping");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		operator_test(a_move_is_answered_at_its_end),
		operator_test(a_move_has_options),
		operator_test(a_failure_is_an_error),
		operator_test(one_move_at_a_time),
		operator_test(another_host_is_refused),
		operator_test(a_repetition_changes_nothing),
		operator_test(ready_brings_back_a_part),
		operator_test(what_is_cut_off_is_an_error),
		operator_test(ready_is_a_fetch),
		operator_test(maintenance_needs_a_host),
		operator_test(other_requests_are_those_of_a_peer),
		operator_test(a_batch_is_settled),
		operator_test(a_service_may_be_unknown_yet),
		operator_test(what_a_server_answers_is_not_here),
		operator_test(a_stop_answers_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
