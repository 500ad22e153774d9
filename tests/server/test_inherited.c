/* SPDX-License-Identifier: MIT */
/*
 * A peer that has the lease, no addresses and no listener: it says so. That it
 * remembers the listeners that it had is in system/test_lease.py.
 */
#include "server/duo.h"

#include "lease/file_engine.h"
#include "server/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_S 2

static unsigned warned;

static void
count_warnings(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	warned += level == HANDOFF_LOG_WARNING &&
		  strstr(text, "has the lease and listens nowhere: ");
}

static bool
status_has(struct host *host, const char *part)
{
	struct handoff__buf buf = {0};
	bool has;

	handoff__addresses_status(host->server, false, &buf);
	has = buf.data && strstr(buf.data, part);
	free(buf.data);
	return has;
}

static struct file_board *
open_candidate(struct duo *duo)
{
	static char lease[250];
	struct file_board *board;

	warned = 0;
	file_engine_add();
	duo_init(duo, HANDOFF_MODEL_LOOP);
	snprintf(lease, sizeof(lease), "file:%s/lease", support_dir());
	board = file_board_open(lease + strlen("file:"));
	assert_non_null(board);
	file_board_host(board, "a")->cut = true;
	duo->a.opts.lease = lease;
	duo->a.opts.lease_ttl_s = TTL_S;
	duo->a.opts.lease_host = "a";
	duo->a.opts.log = count_warnings;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_WAITING);
	return board;
}

static void
candidate_wins(struct duo *duo, struct file_board *board)
{
	assert_false(status_has(&duo->a, "listens nowhere"));
	file_board_host(board, "a")->cut = false;
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

static void
owner_without_a_listener_says_so(void **state)
{
	struct file_board *board;
	struct duo duo;

	(void)state;
	board = open_candidate(&duo);
	/* as an alternate that has survived a candidate */
	duo.a.server->opts.nlisten = 0;
	candidate_wins(&duo, board);
	assert_int_equal(warned, 1);
	assert_true(status_has(&duo.a, "has the lease and listens nowhere: "));
	duo_close(&duo);
	file_board_close(board);
}

static void
owner_that_listens_does_not(void **state)
{
	struct file_board *board;
	struct duo duo;

	(void)state;
	board = open_candidate(&duo);
	candidate_wins(&duo, board);
	assert_int_equal(warned, 0);
	assert_false(status_has(&duo.a, "listens nowhere"));
	duo_close(&duo);
	file_board_close(board);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(owner_without_a_listener_says_so),
		handoff_test(owner_that_listens_does_not),
	};

	return cmocka_run_group_tests_name("inherited", tests, NULL, NULL);
}
