/* SPDX-License-Identifier: MIT */
/*
 * Waiting for peers: ends when it is so, when the time has passed, and when the
 * caller does not want to wait any longer.
 */
#include "control/fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A status in which all is well. */
static void
answer_ready(const struct fake *fake, int conn, const char *line)
{
	char text[200];

	(void)line;
	snprintf(text, sizeof(text),
		"ok echo %s %s %d\nmodel loop\nuncovered 0\npartner ready\n",
		fake->name, fake->role, (int)getpid());
	send(conn, text, strlen(text), MSG_NOSIGNAL);
}

static void
start(int place, const char *name, const char *role)
{
	fake_start(&(struct fake){.place = place,
		.name = name,
		.role = role,
		.answer = answer_ready});
}

static int
wait_for(const struct handoff_wait_opts *opts)
{
	return handoff_control_wait(fake_dir.path, opts, &reply);
}

#define WANTS(...)                                                             \
	(&(struct handoff_wait_opts){                                          \
		.size = sizeof(struct handoff_wait_opts), __VA_ARGS__})

static void
what_is_so_is_said_at_once(void **state)
{
	(void)state;
	start(1, "server", "owner");
	start(2, "alt", "standby");
	assert_int_equal(
		wait_for(WANTS(.owner = "server", .covered = true)), 0);
	assert_reply("server serves, every entry is covered\n");
	assert_int_equal(wait_for(WANTS(.standby = true)), 0);
	assert_reply("alt (pid %d) stands by\n", (int)fake_pids[2]);
	assert_int_equal(wait_for(WANTS(.gone = "old")), 0);
	assert_reply("old is gone\n");
}

/* What comes while it is waited: started by the callback, so that it cannot be
 * there before. */
struct steps {
	unsigned calls;
	char first[100];
};

static bool
step_on(void *arg, const char *text)
{
	struct steps *steps = arg;

	if (steps->calls++ == 0)
		snprintf(steps->first, sizeof(steps->first), "%s", text);
	if (steps->calls == 1)
		start(1, "server", "owner");
	else if (steps->calls == 2)
		start(2, "alt", "standby");
	return steps->calls < 1000;
}

static void
what_comes_is_waited_for(void **state)
{
	struct steps steps = {.calls = 0};

	(void)state;
	start(1, "server", "owner");
	fake_kill(1);
	assert_int_equal(wait_for(WANTS(.joined = "alt", .look = step_on,
				 .look_arg = &steps)),
		0);
	assert_reply("alt (pid %d) stands by\n", (int)fake_pids[2]);
	assert_true(steps.calls >= 2);
	assert_string_equal(steps.first, "no server is running");
}

static bool
kill_second(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	fake_kill(2);
	return true;
}

static void
what_goes_is_waited_for(void **state)
{
	(void)state;
	start(2, "alt", "standby");
	assert_int_equal(
		wait_for(WANTS(.gone = "alt", .look = kill_second)), 0);
	assert_reply("alt is gone\n");
}

static void
time_passes(void **state)
{
	(void)state;
	start(1, "server", "owner");
	assert_int_equal(wait_for(WANTS(.standby = true, .timeout_ms = 200)),
		-ETIMEDOUT);
	assert_reply("waited 0.2 s in %s for another peer to stand by: no "
		     "standby is there: only server (pid %d)",
		fake_dir.path, (int)fake_pids[1]);
	fake_kill(1);
	assert_int_equal(wait_for(WANTS(.owner = "server", .timeout_ms = 100)),
		-ETIMEDOUT);
	assert_reply("waited 0.1 s in %s for server to serve: no server is "
		     "running",
		fake_dir.path);
}

/* A peer that hangs holds it up for no longer than it may take. */
static void
silence_does_not_prolong_it(void **state)
{
	(void)state;
	fake_start(&(struct fake){
		.place = 1, .name = "server", .answer = answer_never});
	assert_int_equal(wait_for(WANTS(.owner = "server", .timeout_ms = 300)),
		-ETIMEDOUT);
	assert_reply("waited 0.3 s in %s for server to serve: server (pid %d) "
		     "does not answer",
		fake_dir.path, (int)fake_pids[1]);
	/* that one is not gone, however silent */
	assert_int_equal(wait_for(WANTS(.gone = "server", .timeout_ms = 100)),
		-ETIMEDOUT);
	free(reply);
	reply = NULL;
}

static bool
never(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	return false;
}

static void
caller_gives_up(void **state)
{
	(void)state;
	start(1, "server", "owner");
	assert_int_equal(
		wait_for(WANTS(.gone = "server", .look = never)), -ECANCELED);
	assert_reply("gave up waiting in %s for server to be gone: server (pid "
		     "%d) is still there",
		fake_dir.path, (int)fake_pids[1]);
}

/* It may be created by the server that is waited for; but a wrong one is no
 * proof that a peer is gone. */
static void
directory_may_be_missing(void **state)
{
	char path[160];

	(void)state;
	start(1, "server", "owner");
	snprintf(path, sizeof(path), "%.99s/missing", fake_dir.path);
	assert_int_equal(
		handoff_control_wait(path,
			WANTS(.owner = "server", .timeout_ms = 100), &reply),
		-ETIMEDOUT);
	assert_reply("waited 0.1 s in %s for server to serve: no server is "
		     "running",
		path);
	assert_int_equal(
		handoff_control_wait(path, WANTS(.gone = "server"), &reply),
		-ENOENT);
	assert_reply("service directory %s: cannot open it: No such file or "
		     "directory",
		path);
}

static void
wrong_arguments_are_refused(void **state)
{
	(void)state;
	start(1, "server", "owner");
	assert_int_equal(wait_for(WANTS(.timeout_ms = 1)), -EINVAL);
	assert_reply("wait: nothing is given that could be waited for");
	assert_int_equal(wait_for(NULL), -EINVAL);
	assert_int_equal(handoff_control_wait(
				 fake_dir.path, WANTS(.standby = true), NULL),
		-EINVAL);
	assert_int_equal(wait_for(&(struct handoff_wait_opts){.standby = true}),
		-EINVAL);
	assert_null(reply);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		fake_test(what_is_so_is_said_at_once),
		fake_test(what_comes_is_waited_for),
		fake_test(what_goes_is_waited_for),
		fake_test(time_passes),
		fake_test(silence_does_not_prolong_it),
		fake_test(caller_gives_up),
		fake_test(directory_may_be_missing),
		fake_test(wrong_arguments_are_refused),
	};

	return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
