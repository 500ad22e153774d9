/* SPDX-License-Identifier: MIT */
/*
 * The line for a monitor, and what it exits with, for real answers and for
 * none.
 */
#include "control/fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int
check(const char *path)
{
	free(reply);
	reply = NULL;
	return handoff_control_check(path, &reply);
}

static void
peers_are_judged(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	assert_int_equal(check(fake_dir.path), 1);
	assert_reply("HANDOFF WARNING - echo: server must not be stopped: it "
		     "serves 17 connections alone: start a standby first | "
		     "connections=17 uncovered=0 absent=0 in_doubt=0\n");
}

/* One that does not answer leaves the other one's word. */
static void
silence_is_judged(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	fake_start(&(struct fake){
		.place = 2, .name = "alt", .answer = answer_never});
	assert_int_equal(check(fake_dir.path), 1);
	assert_reply("HANDOFF WARNING - echo: server must not be stopped: alt "
		     "does not answer | connections=17 uncovered=0 absent=0 "
		     "in_doubt=0\n");
}

static void
no_server_is_critical(void **state)
{
	char path[160];

	(void)state;
	fake_start_owner(answer_all, NULL);
	fake_kill(1);
	assert_int_equal(check(fake_dir.path), 2);
	assert_reply("HANDOFF CRITICAL - no server is running in %s: start one "
		     "with --dir %s\n",
		fake_dir.path, fake_dir.path);
	snprintf(path, sizeof(path), "%.99s/missing", fake_dir.path);
	assert_int_equal(check(path), 2);
	assert_reply("HANDOFF CRITICAL - service directory %s: cannot open it: "
		     "No such file or directory\n",
		path);
}

static void
what_cannot_be_known_is_unknown(void **state)
{
	(void)state;
	fake_start_owner(answer_only_text, "nonsense\n");
	assert_int_equal(check(fake_dir.path), 3);
	assert_reply("HANDOFF UNKNOWN - server (pid %d): its answer is not "
		     "understood\n",
		(int)fake_pids[1]);
	assert_int_equal(chmod(fake_dir.path, 0755), 0);
	assert_int_equal(check(fake_dir.path), 3);
	assert_reply("HANDOFF UNKNOWN - service directory %s has mode 0755 and "
		     "must be private: chmod 700 it, if it is the service's "
		     "own, or name another\n",
		fake_dir.path);
	assert_int_equal(check(""), 3);
	assert_int_equal(handoff_control_check("/", NULL), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		fake_test(peers_are_judged),
		fake_test(silence_is_judged),
		fake_test(no_server_is_critical),
		fake_test(what_cannot_be_known_is_unknown),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
