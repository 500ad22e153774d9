/* SPDX-License-Identifier: MIT */
/*
 * Two hundred subscribers of each transport of this host; with HANDOFF_LONG two
 * thousand sockets.
 */
#include "notice/board.h"
#include "notice/crowd.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Limits of a namespace of its own, where that is allowed. */
static void
make_room(void)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	if (unshare(CLONE_NEWIPC) < 0 || setrlimit(RLIMIT_MSGQUEUE, &all) < 0)
		printf("with the limits of this host\n");
}

static void
scene(const char *prefix, const char *folder, int count)
{
	support_not_in_valgrind();
	board_begin_on(prefix, folder);
	crowd_scene(count);
	board_end();
}

static void
test_mq(void **state)
{
	(void)state;
	scene("mq:", "subscribers", 200);
}

static void
test_sysv(void **state)
{
	(void)state;
	scene("sysv:", "subscribers.sysv", 200);
}

static void
test_unix(void **state)
{
	(void)state;
	scene("unix:", "subscribers.unix", getenv("HANDOFF_LONG") ? 2000 : 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_mq),
		handoff_test(test_sysv),
		handoff_test(test_unix),
	};

	make_room();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
