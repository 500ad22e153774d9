/* SPDX-License-Identifier: MIT */
/*
 * The calls behind the control tool where a ferry has a place of the directory:
 * which of the two a command goes to.
 */
#include "control/fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
put(int conn, const char *text)
{
	(void)!send(conn, text, strlen(text), MSG_NOSIGNAL);
}

/* A ferry, which says so in the status. */
static void
answer_ferry(const struct fake *fake, int conn, const char *line)
{
	char text[128];

	if (strcmp(line, "status\n") != 0) {
		answer_text(fake, conn, line);
		return;
	}
	snprintf(text, sizeof(text), "ok echo %s %s %d\n", fake->name,
		fake->role, (int)getpid());
	put(conn, text);
	put(conn, "model ferry\ngeneration 3\nsite here\n");
}

/* The same, but repeats the request, as a healthy peer does. */
static void
answer_ferry_all(const struct fake *fake, int conn, const char *line)
{
	if (strcmp(line, "status\n") == 0)
		answer_ferry(fake, conn, line);
	else
		answer_all(fake, conn, line);
}

static void
start_ferry(const char *role, answer_fn *answer, const char *text)
{
	fake_start(&(struct fake){.place = 2,
		.name = "ferry",
		.role = role,
		.answer = answer,
		.text = text});
}

/* A server beside a ferry, whose status names that. */
static void
answer_beside(const struct fake *fake, int conn, const char *line)
{
	answer_all(fake, conn, line);
	if (strcmp(line, "status\n") == 0)
		put(conn, "model loop\nferry ferry\n");
}

static void
start_both(const char *server_role, const char *ferry_role)
{
	fake_start(&(struct fake){.place = 1,
		.name = "server",
		.role = server_role,
		.answer = answer_beside});
	start_ferry(ferry_role, answer_ferry_all, NULL);
}

static int
move(const struct handoff_maintain_opts *how)
{
	struct handoff_maintain_opts opts = *how;

	opts.size = sizeof(opts);
	return handoff_control_maintain(fake_dir.path, &opts, &reply);
}

#define move_to(...) move(&(struct handoff_maintain_opts){__VA_ARGS__})

static void
a_move_goes_to_the_ferry(void **state)
{
	(void)state;
	start_both("owner", "standby");
	assert_int_equal(move_to(.to = "B"), 0);
	assert_reply("ferry got move host=B\n");
	assert_int_equal(move_to(.to = "-", .whole = true, .dry_run = true,
				 .timeout_ms = 2500),
		0);
	assert_reply("ferry got move timeout=2500 whole=1 dry=1 host=-\n");
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply), 0);
	assert_reply("server got maintenance\n");
}

static void
a_move_goes_to_the_ferry_that_owns_as_well(void **state)
{
	(void)state;
	start_both("standby", "owner");
	assert_int_equal(move_to(.to = "B"), 0);
	assert_reply("ferry got move host=B\n");
}

static void
ready_goes_to_the_ferry(void **state)
{
	(void)state;
	start_both("standby", "owner");
	assert_int_equal(handoff_control_ready(fake_dir.path, true, &reply), 0);
	assert_reply("ferry got fetch silent=1\n");
	assert_int_equal(
		handoff_control_ready(fake_dir.path, false, &reply), 0);
	assert_reply("ferry got fetch\n");
	fake_kill(1);
	assert_int_equal(
		handoff_control_ready(fake_dir.path, false, &reply), 0);
	assert_reply("ferry got fetch\n");
	fake_kill(2);
	/* at home */
	start_both("owner", "standby");
	assert_int_equal(handoff_control_ready(fake_dir.path, true, &reply), 0);
	assert_reply("ferry got fetch silent=1\n");
}

static int
settle(const char *batch, bool here)
{
	return handoff_control_settle(fake_dir.path, batch, here, &reply);
}

static void
a_settlement_goes_to_the_ferry(void **state)
{
	(void)state;
	start_both("owner", "standby");
	assert_int_equal(settle("00000000000012aB", true), 0);
	assert_reply("ferry got settle batch=00000000000012aB here=1\n");
	assert_int_equal(settle("1", false), 0);
	assert_reply("ferry got settle batch=1 here=0\n");
	for (size_t i = 0; i < 4; i++) {
		static const char *const none[] = {
			NULL, "", "12ab here", "00000000000012ab0"};

		assert_int_equal(settle(none[i], true), -EINVAL);
		assert_reply("settle: a batch has up to 16 hexadecimal "
			     "digits, as the status says");
	}
	fake_kill(2);
	assert_int_equal(settle("1", true), -ECANCELED);
	assert_non_null(strstr(reply, "no ferry is in "));
	free(reply);
	reply = NULL;
}

/* All has moved that can, and some connections are lost by it. */
static void
a_move_may_cut_some_off(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	start_ferry("standby", answer_ferry,
		"ok echo ferry standby 1\nmoved 7 of 8 connections\nerror 1 "
		"connection stays\n");
	assert_int_equal(move_to(.to = "B"), -EADDRNOTAVAIL);
	assert_reply("moved 7 of 8 connections\nerror 1 connection stays\n");
	assert_int_equal(handoff_control_ready(fake_dir.path, true, &reply),
		-EADDRNOTAVAIL);
}

static void
answer_nameless(const struct fake *fake, int conn, const char *line)
{
	char text[64];

	(void)fake;
	(void)line;
	snprintf(
		text, sizeof(text), "ok - ferry standby %d\n{}", (int)getpid());
	put(conn, text);
}

/* A ferry alone does not know yet which service it is for. */
static void
the_service_may_be_unknown(void **state)
{
	(void)state;
	start_ferry("standby", answer_nameless, NULL);
	assert_int_equal(fake_status(true), 0);
	assert_reply("{\"service\":null,\"peers\":[{}]}\n");
}

static void
there_may_be_no_ferry(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	assert_int_equal(move_to(.to = "B"), -ECANCELED);
	assert_reply("no ferry is in %s: server (pid %d); start handoff-ferry "
		     "--dir %s there",
		fake_dir.path, (int)fake_pids[1], fake_dir.path);
	fake_kill(1);
	fake_start_pair();
	assert_int_equal(move_to(.to = "B"), -ECANCELED);
	assert_reply("no ferry is in %s: alt (pid %d), server (pid %d) hold "
		     "both places; stop the standby, and the ferry can join",
		fake_dir.path, (int)fake_pids[2], (int)fake_pids[1]);
}

/* No ferry could join. */
static void
answer_leased(const struct fake *fake, int conn, const char *line)
{
	answer_all(fake, conn, line);
	if (strcmp(line, "status\n") == 0)
		put(conn, "model loop\nlease OWNER token 3 valid_ms 9000\n");
}

static void
a_lease_stays_with_its_host(void **state)
{
	(void)state;
	fake_start(&(struct fake){.place = 1,
		.name = "server",
		.role = "owner",
		.answer = answer_leased});
	assert_int_equal(move_to(.to = "B"), -ECANCELED);
	assert_reply("the service has a lease, which belongs to this host: no "
		     "ferry carries it to another; stop the peers in %s, and "
		     "the host that gets the lease then serves",
		fake_dir.path);
}

static void
a_silent_peer_may_be_the_ferry(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	start_ferry("standby", answer_never, NULL);
	assert_int_equal(move_to(.to = "B"), -ETIMEDOUT);
	assert_reply("ferry (pid %d): no answer within 2 s", (int)fake_pids[2]);
}

static void
a_refusal_has_its_reason(void **state)
{
	(void)state;
	start_ferry("standby", answer_ferry, "error no room on B\n");
	assert_int_equal(move_to(.to = "B"), -ECANCELED);
	assert_reply("no room on B");
	fake_kill(2);
	start_ferry("standby", answer_ferry,
		"error not ready: no server on B can take over yet\n");
	assert_int_equal(move_to(.to = "B"), -EAGAIN);
	assert_reply("no server on B can take over yet");
	assert_int_equal(
		handoff_control_ready(fake_dir.path, false, &reply), -EAGAIN);
	assert_reply("no server on B can take over yet");
}

static void
what_is_no_host_is_refused(void **state)
{
	char name[300];

	(void)state;
	start_both("owner", "standby");
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(move_to(.to = ""), -EINVAL);
	assert_reply("maintenance: the host is empty");
	assert_int_equal(move_to(.to = name), -EINVAL);
	assert_reply("maintenance: the host is no name of a host: want up to "
		     "255 bytes without spaces");
	assert_int_equal(move_to(.to = "B C"), -EINVAL);
	assert_reply("maintenance: the host is no name of a host: want up to "
		     "255 bytes without spaces");
	assert_int_equal(move_to(.to = "B", .name = "server"), -EINVAL);
	assert_reply("maintenance: a move to another host takes no name of a "
		     "peer");
	assert_int_equal(move_to(.to = "B", .wait_ms = 1), -EINVAL);
	assert_reply("maintenance: a move to another host takes a timeout, and "
		     "waits for no standby");
	assert_int_equal(move_to(.dry_run = true), -EINVAL);
	assert_reply("maintenance: a dry run and a timeout need another host "
		     "to move to");
	assert_int_equal(move_to(.timeout_ms = 1), -EINVAL);
	assert_reply("maintenance: a dry run and a timeout need another host "
		     "to move to");
	assert_int_equal(move_to(.to = "B", .timeout_ms = 86400001), -EINVAL);
	assert_reply("maintenance: may take a day at most");
}

/* The move waits for so many questions about its progress, which the children
 * of a fake peer count in one process: connections are served one by one, so
 * the answer is given by a child. */
static void
answer_slowly(const struct fake *fake, int conn, const char *line)
{
	static int asked, ends[2] = {-1, -1};
	char byte = 0;

	if (strcmp(line, "status\n") == 0) {
		answer_ferry(fake, conn, line);
		if (ends[1] >= 0 && ++asked <= 2) {
			put(conn, asked == 1 ? "moving 1 of 3\n"
					     : "moving 2 of 3\n");
			(void)!write(ends[1], "x", 1);
		}
		return;
	}
	if (pipe(ends) < 0 || fork() != 0)
		return;
	while (byte < 2 && read(ends[0], &asked, 1) == 1)
		byte++;
	answer_all(fake, conn, line);
	_exit(0);
}

struct seen {
	char text[256];
};

static void
see(void *arg, const char *text)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	snprintf(seen->text + len, sizeof(seen->text) - len, "%s;", text);
}

static void
progress_is_seen(void **state)
{
	struct seen seen = {.text = ""};

	(void)state;
	start_ferry("standby", answer_slowly, NULL);
	assert_int_equal(
		move_to(.to = "B", .progress = see, .progress_arg = &seen), 0);
	assert_reply("ferry got move host=B\n");
	assert_string_equal(seen.text, "1 of 3;2 of 3;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		fake_test(a_move_goes_to_the_ferry),
		fake_test(a_move_goes_to_the_ferry_that_owns_as_well),
		fake_test(ready_goes_to_the_ferry),
		fake_test(a_settlement_goes_to_the_ferry),
		fake_test(a_move_may_cut_some_off),
		fake_test(the_service_may_be_unknown),
		fake_test(there_may_be_no_ferry),
		fake_test(a_lease_stays_with_its_host),
		fake_test(a_silent_peer_may_be_the_ferry),
		fake_test(a_refusal_has_its_reason),
		fake_test(what_is_no_host_is_refused),
		fake_test(progress_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
