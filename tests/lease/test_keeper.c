/* SPDX-License-Identifier: MIT */
/*
 * Keepers on the test engine, with real descriptors and the real clock: the TTL
 * is the shortest, 2 s. What the state machine does with each answer is in
 * test_lease.c; here is what the keeper makes of it.
 */
#include "support/support.h"

#include "base/loop.h"
#include "lease/engines.h"
#include "lease/file_engine.h"
#include "lease/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TTL_MS 2000
#define NS(ms) ((uint64_t)(ms)*1000000)

/* A host and what its hooks were told. */
struct host {
	struct handoff__keeper *keeper;
	struct handoff__lease_saved stored;
	uint64_t valid_ns;
	uint32_t acted; /* ORed */
	char order[64]; /* a letter for each */
	unsigned members;
	bool empties; /* at once, in the hook */
	bool publishes;
	uint32_t used;
	char retained[HANDOFF_LEASE_NOTICE_MAX];
};

static struct host a, b;
static struct file_board *board;
static char address[200];
static struct handoff__error error;

static void
append(struct host *h, char letter)
{
	size_t len = strlen(h->order);

	if (len + 1 < sizeof(h->order))
		h->order[len] = letter;
}

static void
on_store(void *arg, const struct handoff__lease_saved *saved, uint64_t ttl_ns)
{
	struct host *h = arg;

	assert_true(ttl_ns == NS(TTL_MS));
	h->stored = *saved;
	append(h, 's');
}

static void
on_valid(void *arg, uint64_t valid_until_ns)
{
	((struct host *)arg)->valid_ns = valid_until_ns;
}

static char
letter_of(enum handoff__lease_action action)
{
	switch (action) {
	case HANDOFF__LEASE_WON:
		return 'W';
	case HANDOFF__LEASE_DOUBTED:
		return 'D';
	case HANDOFF__LEASE_FREEZE:
		return 'F';
	case HANDOFF__LEASE_THAW:
		return 'T';
	case HANDOFF__LEASE_CERTAIN:
		return 'C';
	case HANDOFF__LEASE_RESET:
		return 'R';
	case HANDOFF__LEASE_PUBLISHED:
		return 'P';
	case HANDOFF__LEASE_RELEASED:
		return 'E';
	default:
		return '?';
	}
}

static void
on_act(void *arg, enum handoff__lease_action action)
{
	struct host *h = arg;

	h->acted |= action;
	append(h, letter_of(action));
	if (action == HANDOFF__LEASE_RESET && h->empties)
		handoff__keeper_emptied(h->keeper);
	if (action == HANDOFF__LEASE_WON && h->publishes)
		assert_int_equal(
			handoff__keeper_publish(h->keeper, "won", 4), 0);
}

static uint32_t
on_retained(void *arg, const void *data, size_t len)
{
	struct host *h = arg;

	if (len > 0)
		memcpy(h->retained, data, len);
	append(h, 'r');
	return h->used;
}

static void
on_members(void *arg)
{
	((struct host *)arg)->members++;
}

static const struct handoff__keeper_hooks hooks = {
	.store = on_store,
	.valid = on_valid,
	.act = on_act,
	.retained = on_retained,
	.members = on_members,
};

static char logged[4000]; /* warnings and errors, a line each */

static void
on_log(enum handoff_log_level level, const char *text, void *arg)
{
	size_t len = strlen(logged);

	(void)arg;
	if (level != HANDOFF_LOG_INFO && level != HANDOFF_LOG_DEBUG)
		snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
}

static void
assert_logged(const char *part)
{
	if (!strstr(logged, part))
		fail_msg("'%s' is not in '%s'", part, logged);
}

static void
start(struct host *h, const char *name,
	const struct handoff__lease_saved *saved)
{
	const struct handoff__keeper_opts opts = {
		.address = address,
		.host = name,
		.text = "1.2.3.4:5",
		.ttl_ms = TTL_MS,
		.saved = saved,
		.hooks = &hooks,
		.arg = h,
		.log = {.fn = on_log},
	};
	bool empties = h->empties, publishes = h->publishes;
	uint32_t used = h->used;

	memset(h, 0, sizeof(*h));
	h->empties = empties;
	h->publishes = publishes;
	h->used = used;
	assert_int_equal(handoff__keeper_open(&h->keeper, &opts, &error), 0);
}

static void
stop(struct host *h)
{
	handoff__keeper_close(h->keeper);
	h->keeper = NULL;
}

/* Runs both hosts until the action has come to `h`, or for so long. */
static bool
run(struct host *h, uint32_t action, int ms)
{
	uint64_t end = handoff__boot_ns() + NS(ms);

	while (!(h->acted & action)) {
		uint64_t now = handoff__boot_ns();
		struct pollfd polls[2] = {{.fd = -1}, {.fd = -1}};

		if (now >= end)
			return false;
		if (a.keeper)
			polls[0].fd = handoff__keeper_fd(a.keeper);
		if (b.keeper)
			polls[1].fd = handoff__keeper_fd(b.keeper);
		for (int i = 0; i < 2; i++)
			polls[i].events = POLLIN;
		poll(polls, 2, (int)((end - now) / 1000000) + 1);
		if (polls[0].revents)
			handoff__keeper_dispatch(a.keeper);
		if (polls[1].revents)
			handoff__keeper_dispatch(b.keeper);
	}
	return true;
}

static enum handoff_lease_state
state_of(const struct host *h)
{
	return handoff__keeper_lease(h->keeper)->state;
}

static int
setup(void **state)
{
	int rc = support_setup(state);

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	logged[0] = '\0';
	a.empties = b.empties = true;
	file_engine_add();
	snprintf(address, sizeof(address), "file:%s/lease", support_dir());
	board = file_board_open(address + strlen("file:"));
	assert_non_null(board);
	return rc;
}

static int
teardown(void **state)
{
	stop(&a);
	stop(&b);
	file_board_close(board);
	return support_teardown(state);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
test_one_of_two_wins(void **state)
{
	struct handoff_lease_member member;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	/* session, notice, token stored before it is served */
	assert_string_equal(a.order, "srsW");
	assert_int_equal(a.stored.token, 1);
	assert_true(a.stored.valid_until_ns > handoff__boot_ns());
	assert_true(handoff__keeper_may_begin(a.keeper));
	start(&b, "b", NULL);
	assert_false(run(&b, HANDOFF__LEASE_WON, 300));
	assert_int_equal(state_of(&b), HANDOFF_LEASE_CANDIDATE);
	assert_false(handoff__keeper_valid(b.keeper));
	assert_string_equal(handoff__keeper_lease(b.keeper)->by, "a");
	assert_true(b.members > 0);
	assert_int_equal(handoff__keeper_member(b.keeper, 0, &member), 1);
	assert_string_equal(member.host, "a");
	assert_string_equal(member.text, "1.2.3.4:5");
	assert_true(member.owner);
	handoff__keeper_describe(b.keeper, "changed");
	assert_int_equal(handoff__keeper_member(a.keeper, 1, &member), 1);
	assert_string_equal(member.text, "changed");
	assert_int_equal(handoff__keeper_member(b.keeper, 2, &member), 0);
}

static void
test_proofs_go_on(void **state)
{
	struct handoff__keeper_view view;
	uint64_t first;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	first = a.stored.valid_until_ns;
	/* longer than the first would have been valid */
	assert_false(run(&a, HANDOFF__LEASE_FREEZE, TTL_MS));
	assert_true(a.valid_ns > first + NS(TTL_MS / 2));
	handoff__keeper_view(a.keeper, &view);
	assert_string_equal(view.address, address);
	assert_string_equal(handoff_lease_state_name(view.state), "OWNER");
	assert_true(view.connected);
	assert_true(view.valid_ns > 0 && view.valid_ns <= NS(TTL_MS) / 3 * 2);
	assert_in_range(view.proofs, 4, 8);
	assert_string_equal(view.engine, "connected to its file");
	assert_string_equal(view.error, "");
	assert_int_equal(
		atomic_load(&file_board_host(board, "a")->proves), view.proofs);
}

static void
test_cut_off_freezes_before_another_wins(void **state)
{
	uint64_t won_ns;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	a.valid_ns = a.stored.valid_until_ns;
	start(&b, "b", NULL);
	run(&b, HANDOFF__LEASE_WON, 50);
	file_board_host(board, "a")->cut = true;
	assert_true(run(&b, HANDOFF__LEASE_WON, 4000));
	won_ns = handoff__boot_ns();
	assert_true(won_ns - a.valid_ns > NS(TTL_MS) / 4);
	assert_false(handoff__keeper_valid(a.keeper));
	assert_true(run(&a, HANDOFF__LEASE_FREEZE, 1000));
	assert_int_equal(handoff__keeper_lease(b.keeper)->token, 2);
	file_board_host(board, "a")->cut = false;
	assert_true(run(&a, HANDOFF__LEASE_RESET, 2000));
	assert_logged("lease: LOST, token 1\n");
	assert_null(strchr(a.order, 'T'));
	run(&a, HANDOFF__LEASE_THAW, 100);
	assert_int_equal(state_of(&a), HANDOFF_LEASE_CANDIDATE);
	assert_int_equal(a.stored.token, 0);
}

/* Whatever of it was logged as a warning has an end there too. */
static void
test_end_of_doubt_is_logged(void **state)
{
	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	file_board_host(board, "a")->mute = true;
	assert_true(run(&a, HANDOFF__LEASE_DOUBTED, 2000));
	file_board_host(board, "a")->mute = false;
	assert_true(run(&a, HANDOFF__LEASE_CERTAIN, 2000));
	assert_int_equal(a.acted & HANDOFF__LEASE_FREEZE, 0);
	assert_logged("lease: DOUBT, token 1\n");
	assert_logged("lease: OWNER, token 1\n");
}

/* The candidate's log says why it waits. */
static void
test_engine_out_of_reach_is_logged(void **state)
{
	uint64_t end = handoff__boot_ns() + NS(2 * TTL_MS / 3);

	(void)state;
	file_board_down(board, true);
	start(&a, "a", NULL);
	while (handoff__boot_ns() < end)
		run(&a, HANDOFF__LEASE_WON, 20);
	assert_logged(": not connected to its engine for a third of the TTL");
	file_board_down(board, false);
	assert_true(run(&a, HANDOFF__LEASE_WON, 2000));
	assert_logged(": connected to its engine again\n");
}

static void
test_no_majority_thaws_with_the_same_token(void **state)
{
	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	file_board_down(board, true);
	assert_true(run(&a, HANDOFF__LEASE_FREEZE, 3000));
	assert_false(run(&a, HANDOFF__LEASE_RESET, 2 * TTL_MS));
	file_board_down(board, false);
	assert_true(run(&a, HANDOFF__LEASE_CERTAIN, 2000));
	assert_non_null(strstr(a.order, "DFsTC"));
	assert_logged("stands still; not connected to its engine, token 1\n");
	assert_logged(": not connected to its engine for a third of the TTL");
	assert_logged(": connected to its engine again\n");
	assert_int_equal(handoff__keeper_lease(a.keeper)->token, 1);
	assert_true(handoff__keeper_may_begin(a.keeper));
}

/* What a give and a death do: the second keeper is the other peer's. */
static void
test_another_process_continues(void **state)
{
	struct handoff__lease_saved saved;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	saved = *handoff__keeper_saved(a.keeper);
	assert_memory_equal(&saved, &a.stored, sizeof(saved));
	stop(&a);
	start(&a, "a", &saved);
	/* at once, before the engine was asked */
	assert_true(handoff__keeper_may_begin(a.keeper));
	assert_false(
		run(&a, HANDOFF__LEASE_WON | HANDOFF__LEASE_RESET, TTL_MS / 2));
	assert_int_equal(handoff__keeper_lease(a.keeper)->token, 1);
	assert_true(a.valid_ns > saved.valid_until_ns);
	assert_string_equal(file_board_owner(board), "a");
}

static void
test_continues_frozen(void **state)
{
	struct handoff__lease_saved saved;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	saved = a.stored;
	stop(&a);
	file_board_down(board, true);
	saved.valid_until_ns = handoff__boot_ns();
	start(&a, "a", &saved);
	assert_string_equal(a.order, "DF"); /* before open returns */
	file_board_down(board, false);
	assert_true(run(&a, HANDOFF__LEASE_THAW, 1000));
}

static void
test_session_is_gone(void **state)
{
	struct handoff__lease_saved saved;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	saved = a.stored;
	stop(&a);
	file_board_expire(board, "a");
	start(&a, "a", &saved);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	assert_int_equal(handoff__keeper_lease(a.keeper)->token, 2);
	assert_non_null(strstr(a.order, "R"));
}

/* A process that starts anew, without what the one before it had. */
static void
test_lost_session_runs_out(void **state)
{
	uint64_t began;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	stop(&a);
	began = handoff__boot_ns();
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 4000));
	assert_true(handoff__boot_ns() - began > NS(TTL_MS) / 2);
	assert_int_equal(handoff__keeper_lease(a.keeper)->token, 2);
}

static void
test_expired_while_a_proof_is_under_way(void **state)
{
	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	file_board_host(board, "a")->delay_ms = 250;
	run(&a, HANDOFF__LEASE_DOUBTED, 400);
	file_board_expire(board, "a");
	a.acted = 0;
	assert_true(run(&a, HANDOFF__LEASE_RESET, 1000));
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	assert_int_equal(handoff__keeper_lease(a.keeper)->token, 2);
}

static void
test_late_answers(void **state)
{
	struct handoff__keeper_view view;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	file_board_host(board, "a")->delay_ms = 800;
	/* they count from when they were sent: in doubt, never frozen */
	assert_true(run(&a, HANDOFF__LEASE_DOUBTED, 2000));
	assert_false(run(&a, HANDOFF__LEASE_FREEZE, TTL_MS));
	handoff__keeper_view(a.keeper, &view);
	assert_true(view.late > 0);
	assert_true(view.proof_ns >= NS(800));
}

static void
test_no_answers(void **state)
{
	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	file_board_host(board, "a")->mute = true;
	assert_true(run(&a, HANDOFF__LEASE_FREEZE, 3000));
	file_board_host(board, "a")->mute = false;
	assert_true(run(&a, HANDOFF__LEASE_THAW, 1000));
}

static void
test_calls_that_fail(void **state)
{
	struct handoff__keeper_view view;

	(void)state;
	file_board_host(board, "a")->refuse = 2; /* the notice, the lease */
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 2000));
	handoff__keeper_view(a.keeper, &view);
	assert_non_null(strstr(view.error, "cannot "));
	file_board_host(board, "a")->refuse = 1; /* a proof */
	for (int i = 0; i < 500 && file_board_host(board, "a")->refuse; i++)
		run(&a, HANDOFF__LEASE_FREEZE, 10);
	handoff__keeper_view(a.keeper, &view);
	assert_non_null(strstr(view.error, "cannot prove the lease"));
}

static void
test_publishes(void **state)
{
	struct handoff__keeper_view view;

	(void)state;
	a.publishes = true; /* in the hook */
	start(&a, "a", NULL);
	assert_int_equal(handoff__keeper_publish(a.keeper, "x", 1), -ENOLCK);
	assert_true(run(&a, HANDOFF__LEASE_PUBLISHED, 1000));
	assert_string_equal((const char *)board->notice, "won");
	handoff__keeper_view(a.keeper, &view);
	assert_true(view.published);
	assert_int_equal(handoff__keeper_publish(
				 a.keeper, board, HANDOFF_LEASE_NOTICE_MAX + 1),
		-EMSGSIZE);
	a.acted = 0;
	assert_int_equal(handoff__keeper_publish(a.keeper, "two", 4), 0);
	assert_true(run(&a, HANDOFF__LEASE_PUBLISHED, 1000));
	assert_int_equal(board->notices, 2);
	/* the next one reads it, and says which tokens are used */
	b.used = 40;
	start(&b, "b", NULL);
	run(&b, HANDOFF__LEASE_WON, 100);
	assert_string_equal(b.retained, "two");
	handoff__keeper_release(a.keeper);
	assert_true(run(&b, HANDOFF__LEASE_WON, 1000));
	assert_int_equal(handoff__keeper_lease(b.keeper)->token, 41);
}

static void
test_releases_at_once(void **state)
{
	uint64_t began;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	start(&b, "b", NULL);
	run(&b, HANDOFF__LEASE_WON, 50);
	began = handoff__boot_ns();
	handoff__keeper_release(a.keeper);
	assert_int_equal(state_of(&a), HANDOFF_LEASE_FREE);
	assert_int_equal(a.stored.token, 0);
	assert_true(run(&b, HANDOFF__LEASE_WON, 1000));
	assert_true(handoff__boot_ns() - began < NS(TTL_MS) / 4);
	assert_true(run(&a, HANDOFF__LEASE_RELEASED, 1000));
}

static void
test_empties_later(void **state)
{
	(void)state;
	a.empties = false;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	file_board_expire(board, "a");
	assert_true(run(&a, HANDOFF__LEASE_RESET, 1000));
	a.acted = 0;
	/* vacant, and it does not ask */
	assert_false(run(&a, HANDOFF__LEASE_WON, 300));
	assert_int_equal(state_of(&a), HANDOFF_LEASE_LOST);
	handoff__keeper_emptied(a.keeper);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
}

/* A child has copies of the descriptors and may close them. */
static void
test_child_only_closes(void **state)
{
	pid_t pid;

	(void)state;
	start(&a, "a", NULL);
	assert_true(run(&a, HANDOFF__LEASE_WON, 1000));
	pid = fork();
	if (pid == 0) {
		handoff__keeper_close(a.keeper);
		_exit(0);
	}
	support_reap(pid);
	a.valid_ns = 0;
	assert_false(run(&a, HANDOFF__LEASE_FREEZE, TTL_MS / 2));
	assert_true(a.valid_ns > handoff__boot_ns());
}

static void
check(const char *with, const char *host, const char *text, uint32_t ttl_ms,
	const char *sentence)
{
	const struct handoff__keeper_opts opts = {.address = with,
		.host = host,
		.text = text,
		.ttl_ms = ttl_ms,
		.hooks = &hooks};
	struct handoff__keeper *keeper;

	assert_int_equal(handoff__keeper_open(&keeper, &opts, &error), -EINVAL);
	if (!strstr(error.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, error.text);
}

static void
test_options(void **state)
{
	char text[HANDOFF_TEXT_MAX + 1];

	(void)state;
	memset(text, 'x', HANDOFF_TEXT_MAX);
	text[HANDOFF_TEXT_MAX] = '\0';
	check("file:x", "a", "", 1999, "TTL of 1999 ms: want 2000 to 3600000");
	check("file:x", "a b", "", 0, "name of this host 'a b': want 1 to 31");
	check("file:x", NULL, "", 0, "name of this host ''");
	check("file:x", "a", text, 0, "longer than 255 bytes");
	check("file:", "a", "", 0, "address 'file:': want file:PATH");
	check("zk:x", "a", "", 0, "address 'zk:x': want file:PATH");
	check(NULL, "a", "", 0, "address ''");
	assert_int_equal(handoff__engine_check("file:x", &error), 0);
	assert_int_equal(handoff__engine_check("zk:x", &error), -EINVAL);
	assert_string_equal(
		error.text, "'zk:x' is no address for a lease: want file:PATH");
}

static void
test_engine_cannot_open(void **state)
{
	const struct handoff__keeper_opts opts = {
		.address = "file:/nowhere/x", .host = "a", .hooks = &hooks};
	struct handoff__keeper *keeper;

	(void)state;
	assert_int_equal(handoff__keeper_open(&keeper, &opts, &error), -ENOENT);
	assert_string_equal(error.text, "file:/nowhere/x: cannot map it: No "
					"such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_one_of_two_wins),
		test(test_end_of_doubt_is_logged),
		test(test_engine_out_of_reach_is_logged),
		test(test_proofs_go_on),
		test(test_cut_off_freezes_before_another_wins),
		test(test_no_majority_thaws_with_the_same_token),
		test(test_another_process_continues),
		test(test_continues_frozen),
		test(test_session_is_gone),
		test(test_lost_session_runs_out),
		test(test_expired_while_a_proof_is_under_way),
		test(test_late_answers),
		test(test_no_answers),
		test(test_calls_that_fail),
		test(test_publishes),
		test(test_releases_at_once),
		test(test_empties_later),
		test(test_child_only_closes),
		test(test_options),
		test(test_engine_cannot_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
