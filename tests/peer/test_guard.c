/* SPDX-License-Identifier: MIT */
/*
 * What the peers of a host do about its lease, on the test engine and with the
 * real clock: two peers of one host, a third that is alone on another. The TTL
 * is 4 s, so connections stand still 2.6 s after the last proof, and a process
 * in which they do not is killed a second later.
 */
#include "peer/fixture.h"

#include "base/loop.h"
#include "lease/file_engine.h"
#include "peer/home.h"
#include "peer/metrics.h"
#include "peer/moves.h"
#include "record/tenure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TTL_MS 4000

static struct side other; /* of another host */
static struct file_board *board;
static char address[200], other_dir[200];
static int client = -1;

static void
lease(struct side *side, const char *host)
{
	side->config.lease = address;
	side->config.lease_host = host;
	side->config.lease_ttl_ms = TTL_MS;
}

static int
guard_setup(void **state)
{
	if (side_setup(state) < 0)
		return -1;
	file_engine_add();
	snprintf(address, sizeof(address), "file:%s/lease", one.config.dir);
	snprintf(other_dir, sizeof(other_dir), "%s/other", one.config.dir);
	board = file_board_open(address + strlen("file:"));
	assert_non_null(board);
	assert_int_equal(mkdir(other_dir, 0700), 0);
	side_init(&other, other_dir, "far");
	lease(&one, "a");
	lease(&two, "a");
	lease(&other, "b");
	return 0;
}

static int
guard_finish(void **state)
{
	side_close(&other);
	file_board_close(board);
	if (client >= 0)
		close(client);
	client = -1;
	return pair_finish(state);
}

#define guard_test(f)                                                          \
	cmocka_unit_test_setup_teardown(f, guard_setup, guard_finish)

static void
turn(struct side *side)
{
	if (side->loop.epfd < 0)
		return;
	assert_true(handoff__loop_dispatch(&side->loop, 2) >= 0);
	handoff__pair_proceed(&side->pair);
}

/* All that are open, for so long. */
static void
run_for(int ms)
{
	uint64_t end = handoff__boot_ms() + (uint64_t)ms;

	while (handoff__boot_ms() < end) {
		turn(&one);
		turn(&two);
		turn(&other);
	}
}

static struct handoff__leased
seen(struct side *side)
{
	struct handoff__leased leased;

	assert_true(handoff__pair_lease_seen(&side->pair, &leased));
	return leased;
}

static void
run_until(struct side *side, enum handoff_lease_state state, bool frozen)
{
	for (int i = 0; i < 1000; i++) {
		struct handoff__leased now = seen(side);

		if (now.state == state && now.frozen == frozen)
			return;
		run_for(10);
	}
	fail_msg("it is %s, not %s%s",
		handoff_lease_state_name(seen(side).state),
		handoff_lease_state_name(state), frozen ? " and frozen" : "");
}

static void
cut(const char *host, bool is_cut)
{
	file_board_host(board, host)->cut = is_cut;
}

/* A host of one peer that has won. */
static void
serve(struct side *side)
{
	pair_own(side);
	run_until(side, HANDOFF_LEASE_OWNER, false);
}

/* A connection of `side` with a client. */
static struct handoff__roster_entry *
connect_to(struct side *side)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct handoff__roster_entry *e;
	int fd, err;

	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (void *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&addr, &len), 0);
	assert_int_equal(connect(client, (void *)&addr, len), 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(listener);
	e = handoff__pair_enter(
		&side->pair, fd, HANDOFF__CONNECTION, NULL, &err);
	assert_non_null(e);
	return e;
}

/* Without an entry the survivor of a death would have no service. */
static void
listen_in(struct side *side)
{
	const struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	assert_int_equal(bind(fd, (const void *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_non_null(handoff__pair_enter(
		&side->pair, fd, HANDOFF__LISTENER, "listener", &err));
}

static ssize_t
received(const struct handoff__roster_entry *e)
{
	char data[16];
	ssize_t n = recv(e->fd, data, sizeof(data), MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static void
test_candidate_until_it_has_won(void **state)
{
	(void)state;
	file_board_down(board, true);
	pair_own(&one);
	run_for(100);
	assert_int_equal(seen(&one).state, HANDOFF_LEASE_CANDIDATE);
	assert_false(handoff__pair_may_begin(&one.pair));
	assert_false(handoff__pair_valid(&one.pair));
	assert_false(handoff__pair_holds(&one.pair));
	file_board_down(board, false);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
	assert_true(handoff__pair_may_begin(&one.pair));
	assert_true(handoff__pair_valid(&one.pair));
	assert_true(handoff__pair_generation(&one.pair) == UINT64_C(1) << 32);
	assert_true(seen(&one).kept && seen(&one).connected);
	assert_int_equal(seen(&one).token, 1);
	assert_in_range(seen(&one).valid_ms, 1, TTL_MS / 3 * 2);
}

/* The sample of a gauge without further labels. */
static bool
has_sample(struct side *side, const char *name, int value)
{
	struct handoff__buf buf = {.data = NULL};
	char sample[128];
	bool has;

	handoff__metrics(&side->pair, &buf);
	assert_false(buf.failed);
	snprintf(sample, sizeof(sample),
		"\nhandoff_%s{service=\"test\",peer=\"%s\",place=\"%d\"} %d\n",
		name, side->pair.name, side->pair.place, value);
	has = strstr(buf.data, sample) != NULL;
	free(buf.data);
	return has;
}

static void
assert_gauges(struct side *side, int serving, int attached)
{
	assert_true(has_sample(side, "serving", serving));
	assert_true(has_sample(side, "standby_attached", attached));
}

/* What an operator asks for is refused, with these words. */
static void
assert_idle(struct side *side, const char *words)
{
	struct handoff__pair *pair = &side->pair;
	char text[HANDOFF_TEXT_MAX];

	assert_int_equal(
		handoff__pair_repeats(pair, "", text, sizeof(text)), -EAGAIN);
	assert_non_null(strstr(pair->error.text, words));
	assert_int_equal(
		handoff__pair_repeats(pair, pair->name, text, sizeof(text)),
		-EAGAIN);
	assert_non_null(strstr(pair->error.text, words));
	assert_false(handoff__pair_is_home(pair, false, text, sizeof(text)));
	assert_int_equal(handoff__pair_home(pair, true), -EAGAIN);
	assert_non_null(strstr(pair->error.text, words));
}

static void
test_candidate_serves_nothing(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	serve(&other);
	pair_own(&one);
	pair_join(&one, &two);
	run_for(100);
	assert_gauges(&one, 0, 0);
	assert_idle(&one, "one serves nothing: this host waits for the lease, "
			  "which host b has");
	assert_idle(&two, ") serves nothing: this host waits for the lease, as "
			  "the status says");
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -EAGAIN);
	assert_non_null(strstr(one.pair.error.text, "waits for the lease"));
	side_close(&other);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
	assert_gauges(&one, 1, 1);
	assert_gauges(&two, 0, 0);
	assert_true(
		handoff__pair_is_home(&one.pair, false, text, sizeof(text)));
}

static void
test_candidate_that_knows_no_other(void **state)
{
	(void)state;
	file_board_down(board, true);
	pair_own(&one);
	run_for(100);
	assert_idle(&one, "waits for the lease, and has not heard of a host "
			  "that has it");
}

static void
test_frozen_serves_nothing(void **state)
{
	(void)state;
	serve(&one);
	pair_join(&one, &two);
	assert_gauges(&one, 1, 1);
	cut("a", true);
	run_until(&one, HANDOFF_LEASE_DOUBT, false);
	assert_gauges(&one, 1, 1); /* it goes on with what it has */
	run_until(&one, HANDOFF_LEASE_DOUBT, true);
	assert_gauges(&one, 0, 0);
	assert_idle(&one, "one serves nothing: everything stands still");
	assert_idle(&two, ") serves nothing: everything stands still");
	cut("a", false);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
	assert_gauges(&one, 1, 1);
}

static void
test_no_lease_no_question(void **state)
{
	struct handoff__leased leased;

	(void)state;
	one.config.lease = NULL;
	pair_own(&one);
	assert_true(handoff__pair_may_begin(&one.pair));
	assert_true(handoff__pair_valid(&one.pair));
	assert_false(handoff__pair_lease_seen(&one.pair, &leased));
	assert_true(handoff__pair_generation(&one.pair) == 1);
}

static void
test_stands_still_and_goes_on(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	serve(&one);
	pair_join(&one, &two);
	e = connect_to(&one);
	run_for(50);
	assert_non_null(pair_find(&two, e));
	cut("a", true);
	run_until(&one, HANDOFF_LEASE_DOUBT, false);
	assert_false(handoff__pair_may_begin(&one.pair));
	assert_true(handoff__pair_valid(&one.pair));
	run_until(&one, HANDOFF_LEASE_DOUBT, true);
	assert_false(handoff__pair_valid(&one.pair));
	/* the standby knows, and has done the same */
	run_until(&two, HANDOFF_LEASE_DOUBT, true);
	assert_false(handoff__pair_valid(&two.pair));
	assert_int_equal(send(client, "hello", 5, 0), 5);
	run_for(100);
	assert_true(received(e) < 0); /* EPERM in repair mode */
	cut("a", false);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
	run_until(&two, HANDOFF_LEASE_OWNER, false);
	assert_true(handoff__pair_may_begin(&one.pair));
	assert_int_equal(seen(&one).token, 1);
	for (int i = 0; i < 500 && received(e) != 5; i++)
		run_for(10);
	assert_int_equal(send(e->fd, "world", 5, MSG_NOSIGNAL), 5);
}

static void
test_standby_stands_still_alone(void **state)
{
	struct handoff__roster_entry *e;
	uint64_t end = handoff__boot_ms() + TTL_MS;

	(void)state;
	serve(&one);
	pair_join(&one, &two);
	e = connect_to(&one);
	run_for(50);
	cut("a", true);
	/* `one` hangs: only `two` runs. Its dead-man timer would kill the test,
	 * which is both. */
	while (!seen(&two).frozen && handoff__boot_ms() < end)
		turn(&two);
	assert_true(seen(&two).frozen);
	assert_int_equal(send(client, "hello", 5, 0), 5);
	assert_true(received(e) < 0); /* EPERM in repair mode */
	cut("a", false);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
	run_until(&two, HANDOFF_LEASE_OWNER, false);
}

static char lines[2000];

static void
keep_log(enum handoff_log_level level, const char *text, void *arg)
{
	size_t len = strlen(lines);

	(void)level;
	(void)arg;
	snprintf(lines + len, sizeof(lines) - len, "%s\n", text);
}

static void
run_but_the_standby_until(struct side *side, enum handoff_lease_state state)
{
	uint64_t end = handoff__boot_ms() + 3 * TTL_MS;

	while (seen(side).state != state && handoff__boot_ms() < end) {
		turn(&one);
		turn(&other);
	}
	assert_int_equal(seen(side).state, state);
}

/* It looks up after another host had the lease for a while: what it tells is
 * not that all is as before. */
static void
test_standby_misses_that_it_was_lost(void **state)
{
	(void)state;
	two.log.fn = keep_log;
	lines[0] = '\0';
	serve(&one);
	pair_join(&one, &two);
	pair_own(&other);
	run_for(50);
	cut("a", true);
	run_until(&two, HANDOFF_LEASE_DOUBT, true);
	run_but_the_standby_until(&other, HANDOFF_LEASE_OWNER);
	cut("a", false);
	run_but_the_standby_until(&one, HANDOFF_LEASE_CANDIDATE);
	handoff__pair_release(&other.pair);
	run_but_the_standby_until(&one, HANDOFF_LEASE_OWNER);
	run_until(&two, HANDOFF_LEASE_OWNER, false);
	assert_null(strstr(lines, "everything goes on"));
	assert_non_null(strstr(lines, "was lost, and is this host's again"));
}

static void
test_give_keeps_the_lease(void **state)
{
	uint32_t attached;

	(void)state;
	serve(&one);
	pair_join(&one, &two);
	attached = file_board_host(board, "a")->attaches;
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_true(handoff__pair_may_begin(&two.pair)); /* at once */
	run_for(100);
	assert_true(seen(&two).kept);
	assert_false(seen(&one).kept);
	assert_int_equal(seen(&two).token, 1);
	assert_true(
		handoff__pair_generation(&two.pair) == (UINT64_C(1) << 32) + 1);
	assert_int_equal(file_board_host(board, "a")->attaches, attached + 1);
	assert_string_equal(file_board_owner(board), "a");
	/* and the taker proves it from now on */
	run_for(TTL_MS);
	assert_int_equal(seen(&two).state, HANDOFF_LEASE_OWNER);
	pair_give(&two, &one, HANDOFF__MAINTENANCE);
	run_for(100);
	assert_true(seen(&one).kept);
	assert_int_equal(seen(&one).token, 1);
}

static void
test_another_host_wins(void **state)
{
	char byte;

	(void)state;
	serve(&one);
	connect_to(&one);
	pair_own(&other);
	run_for(100);
	assert_int_equal(seen(&other).state, HANDOFF_LEASE_CANDIDATE);
	cut("a", true);
	run_until(&other, HANDOFF_LEASE_OWNER, false);
	/* although no notice was there when it has looked */
	assert_true(other.pair.guard.succeeds);
	assert_false(one.pair.guard.succeeds);
	/* it has known before */
	assert_true(seen(&one).frozen);
	assert_true(handoff__pair_generation(&other.pair) == UINT64_C(2) << 32);
	cut("a", false);
	run_until(&one, HANDOFF_LEASE_LOST, false);
	assert_int_equal(recv(client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_false(handoff__pair_valid(&one.pair));
	/* the layer above ends what was reset */
	handoff__pair_end(&one.pair, pair_connection(&one, 0));
	run_until(&one, HANDOFF_LEASE_CANDIDATE, false);
	assert_int_equal(seen(&other).state, HANDOFF_LEASE_OWNER);
}

static void
test_release(void **state)
{
	uint64_t began;

	(void)state;
	serve(&one);
	pair_own(&other);
	run_for(100);
	began = handoff__boot_ms();
	while (!handoff__pair_release(&one.pair))
		run_for(5);
	run_until(&other, HANDOFF_LEASE_OWNER, false);
	assert_true(handoff__boot_ms() - began < TTL_MS * 3 / 4);
}

static void
test_notice_is_retained(void **state)
{
	(void)state;
	serve(&one);
	handoff__pair_retain(&one.pair, "a notice", 9);
	for (int i = 0; i < 200 && board->notices == 0; i++)
		run_for(10);
	assert_int_equal(board->notices, 1);
	assert_string_equal((const char *)board->notice, "a notice");
}

/* In a child: owns the service with the lease until it is killed. */
static void
own_in_child(int tell, bool unserved)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (handoff__loop_init(&one.loop) < 0)
		_exit(1);
	pair_own(&one);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
	listen_in(&one);
	if (unserved) /* as if it were about to begin */
		atomic_store(
			&handoff__arena_board(&one.pair.arena)->generation, 1);
	if (write(tell, "x", 1) != 1)
		_exit(2);
	for (;;)
		run_for(1000);
}

static pid_t
start_owner(bool unserved)
{
	int told[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0)
		own_in_child(told[1], unserved);
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
	close(told[1]);
	assert_int_equal(side_open(&two, NULL), 0);
	handoff__pair_started(&two.pair);
	run_for(100);
	assert_int_equal(seen(&two).state, HANDOFF_LEASE_OWNER);
	assert_false(seen(&two).kept);
	return pid;
}

static void
test_survivor_goes_on(void **state)
{
	pid_t pid;

	(void)state;
	pid = start_owner(false);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	pair_wait(&two, &two.failovers, 1);
	assert_true(handoff__pair_may_begin(&two.pair)); /* at once */
	run_for(TTL_MS);
	assert_true(seen(&two).kept);
	assert_int_equal(seen(&two).state, HANDOFF_LEASE_OWNER);
	assert_int_equal(seen(&two).token, 1);
	assert_string_equal(file_board_owner(board), "a");
}

static void
test_survivor_begins_what_was_won(void **state)
{
	pid_t pid;

	(void)state;
	pid = start_owner(true);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	pair_wait(&two, &two.failovers, 1);
	run_for(100);
	assert_int_equal(seen(&two).state, HANDOFF_LEASE_OWNER);
	assert_true(handoff__pair_generation(&two.pair) >= UINT64_C(1) << 32);
}

/* The kernel kills an owner that is stopped, in time. A twelfth of the TTL is
 * left to the survivor for going on with the session: so it is longer here. */
static void
test_stopped_owner_dies(void **state)
{
	uint64_t began;
	int status;
	pid_t pid;

	(void)state;
	one.config.lease_ttl_ms = two.config.lease_ttl_ms = 3 * TTL_MS;
	pid = start_owner(false);
	pair_own(&other);
	began = handoff__boot_ms();
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_true(handoff__boot_ms() - began < 3 * TTL_MS);
	/* the survivor was not asked to do anything meanwhile, so it takes over
	 * frozen, and the session is still there: it thaws */
	pair_wait(&two, &two.failovers, 1);
	run_until(&two, HANDOFF_LEASE_OWNER, false);
	assert_int_equal(seen(&two).token, 1);
	assert_int_equal(seen(&other).state, HANDOFF_LEASE_CANDIDATE);
}

static void
test_options(void **state)
{
	(void)state;
	one.config.lease = "nothing:x";
	assert_int_equal(side_open(&one, NULL), -EINVAL);
	assert_non_null(strstr(one.pair.error.text, "want file:PATH"));
	side_close(&one);
	/* what only the engine knows ends the start too */
	one.config.lease = "file:/no/such/lease";
	assert_int_equal(side_open(&one, NULL), -ENOENT);
	assert_non_null(strstr(one.pair.error.text, "/no/such/lease"));
}

static unsigned troubles;

static void
count_troubles(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	(void)level;
	troubles += strstr(text, "tried again every second") != NULL;
}

/* It is said once, and by the status, until it is over. */
static void
test_engine_that_cannot_be_opened_later(void **state)
{
	char far[250], away[260];
	struct handoff__buf buf = {0};

	(void)state;
	snprintf(far, sizeof(far), "file:%s/lease", other_dir);
	snprintf(away, sizeof(away), "%s-away", other_dir);
	one.config.lease = far;
	one.log.fn = count_troubles;
	troubles = 0;
	assert_int_equal(side_open(&one, NULL), 0);
	assert_int_equal(rename(other_dir, away), 0);
	assert_int_equal(handoff__pair_own(&one.pair, 1), 0);
	handoff__pair_started(&one.pair);
	run_for(2500); /* two more attempts */
	assert_int_equal(troubles, 1);
	handoff__pair_lease_text(&one.pair, &buf);
	assert_non_null(strstr(buf.data, "! one: lease: file:"));
	free(buf.data);
	assert_int_equal(rename(away, other_dir), 0);
	run_until(&one, HANDOFF_LEASE_OWNER, false);
}

/* Each of them would go on with the lease by a TTL or a name of its own. */
static void
test_another_ttl_or_host_is_refused(void **state)
{
	(void)state;
	serve(&one);
	two.config.lease_ttl_ms = 2 * TTL_MS;
	assert_int_equal(side_open(&two, &one), -EPROTO);
	assert_non_null(strstr(two.pair.error.text,
		"differ in address, TTL or host: start both with"));
	side_close(&two);
	two.config.lease_ttl_ms = TTL_MS;
	two.config.lease_host = "c";
	assert_int_equal(side_open(&two, &one), -EPROTO);
	side_close(&two);
	two.config.lease_host = "a";
	assert_int_equal(side_open(&two, &one), 0);
}

/* Both are told why, and what moves the service instead. */
static void
test_no_ferry_joins(void **state)
{
	const char *why = "no ferry carries it to another; stop the peers of "
			  "this host, and the one that gets the lease then "
			  "serves";

	(void)state;
	serve(&one);
	two.config.lease = NULL;
	side_carries(&two);
	assert_int_equal(side_open(&two, &one), -EPROTO);
	assert_non_null(strstr(two.pair.error.text, why));
	side_close(&two);
	run_for(10);
	assert_int_equal(one.refusals, 1);
	assert_non_null(strstr(one.refused, why));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		guard_test(test_candidate_until_it_has_won),
		guard_test(test_candidate_serves_nothing),
		guard_test(test_candidate_that_knows_no_other),
		guard_test(test_frozen_serves_nothing),
		guard_test(test_no_lease_no_question),
		guard_test(test_stands_still_and_goes_on),
		guard_test(test_standby_stands_still_alone),
		guard_test(test_standby_misses_that_it_was_lost),
		guard_test(test_give_keeps_the_lease),
		guard_test(test_another_host_wins),
		guard_test(test_release),
		guard_test(test_notice_is_retained),
		guard_test(test_survivor_goes_on),
		guard_test(test_survivor_begins_what_was_won),
		guard_test(test_stopped_owner_dies),
		guard_test(test_options),
		guard_test(test_engine_that_cannot_be_opened_later),
		guard_test(test_another_ttl_or_host_is_refused),
		guard_test(test_no_ferry_joins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
