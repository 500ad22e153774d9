/* SPDX-License-Identifier: MIT */
/*
 * How peers part and meet again: a peer that says BYE, one that dies, a link
 * that ends while both live, and how it is renewed.
 */
#include "peer/fixture.h"

#include "peer/candidates.h"
#include "peer/places.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* It touches nothing any more: what it owned is taken at once, though its
 * process lives. */
static void
what_a_peer_leaves_is_taken_when_it_says_bye(void **state)
{
	struct handoff__roster_entry *mine, *its, *ended;

	(void)state;
	mine = pair_enter(&one, HANDOFF__CONNECTION);
	ended = pair_enter(&one, HANDOFF__CONNECTION);
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	its = pair_find(&one, its);
	handoff__pair_end(&one.pair, ended);
	assert_int_not_equal(ended->id, 0);
	side_close(&two);
	pair_turn(&one);
	assert_int_equal(ended->id, 0); /* no DROP is to be sent */
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_NONE);
	assert_int_equal(one.pair.link.fd, -1);
	assert_int_equal(mine->copy, HANDOFF__COPY_NONE);
	assert_true(its->mine);
	assert_int_equal(its->view.rec->owner, 1);
	assert_int_equal(one.pair.roster.uncovered, 2);
	assert_int_equal(one.failovers, 1);
}

/* The link ends and its process lives on: what it owns is not touched, and
 * what it was sent counts as lost. */
static void
end_of_the_link_is_no_end_of_a_peer(void **state)
{
	struct handoff__roster_entry *mine, *its;

	(void)state;
	mine = pair_enter(&one, HANDOFF__CONNECTION);
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	its = pair_find(&one, its);
	handoff__link_close(&two.pair.link);
	pair_turn(&one);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(one.pair.link.fd, -1);
	assert_int_equal(mine->copy, HANDOFF__COPY_NONE);
	assert_int_equal(one.pair.roster.uncovered, 1);
	assert_false(its->mine);
	assert_int_equal(its->view.rec->owner, 2);
	assert_int_equal(one.failovers, 0);
	/* Entries come and go without anyone to be told. */
	handoff__pair_end(&one.pair, mine);
	pair_enter(&one, HANDOFF__CONNECTION);
	pair_turn(&one);
	assert_int_equal(one.pair.roster.owned, 1);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
}

static void
turn_both(void)
{
	handoff__loop_dispatch(&one.loop, 5);
	handoff__pair_proceed(&one.pair);
	handoff__loop_dispatch(&two.loop, 5);
	handoff__pair_proceed(&two.pair);
}

/* Both dispatched until they are linked again. */
static void
run_until_linked(void)
{
	int64_t end = handoff__now_us() + support_patience_us();

	while (one.pair.partner != HANDOFF__PARTNER_READY ||
		two.pair.partner != HANDOFF__PARTNER_READY) {
		assert_true(handoff__now_us() < end);
		turn_both();
	}
	pair_run(&one, &two);
}

static void
break_link(void)
{
	handoff__core_break(&one.pair, "of the test");
	handoff__pair_proceed(&one.pair);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_APART);
}

/* It is made anew, whatever came and went meanwhile on either side. */
static void
broken_link_is_made_anew(void **state)
{
	struct handoff__roster_entry *kept, *gone, *other, *its;

	(void)state;
	kept = pair_enter(&one, HANDOFF__CONNECTION);
	gone = pair_enter(&one, HANDOFF__CONNECTION);
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	break_link();
	handoff__pair_end(&one.pair, gone);
	other = pair_enter(&one, HANDOFF__CONNECTION);
	run_until_linked();
	assert_int_equal(one.aparts, 1);
	assert_int_equal(one.partners, 2);
	assert_int_equal(two.partners, 2);
	assert_int_equal(one.failovers + two.failovers, 0);
	assert_int_equal(kept->copy, HANDOFF__COPY_HELD);
	assert_int_equal(other->copy, HANDOFF__COPY_HELD);
	assert_non_null(pair_find(&two, kept));
	assert_non_null(pair_find(&two, other));
	assert_true(pair_same_file(pair_find(&two, other)->fd, other->fd));
	assert_non_null(pair_find(&one, its));
	assert_int_equal(one.pair.roster.uncovered, 0);
	assert_int_equal(two.pair.roster.held, 2);
	/* And is as good as the first. */
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.report.moved, 2);
	assert_true(two.pair.serving);
}

/* A copy whose entry ended while the two were apart, in a record that nobody
 * uses again, is closed by the beats. */
static void
stale_copies_are_closed(void **state)
{
	struct handoff__roster_entry *gone;
	int64_t end = handoff__now_us() + support_patience_us();

	(void)state;
	one.config.hang_timeout_ms = two.config.hang_timeout_ms = 400;
	pair_own(&one);
	pair_join(&one, &two);
	pair_enter(&one, HANDOFF__CONNECTION);
	gone = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	break_link();
	handoff__pair_end(&one.pair, gone);
	run_until_linked();
	while (two.pair.roster.held != 1) {
		assert_true(handoff__now_us() < end);
		turn_both();
	}
}

/* `two` dials, and `one` has other settings by now and insists on them. */
static void
part_for_good(void)
{
	one.pair.config.config_hash = 1;
	two.pair.config.config_hash = 2;
	one.pair.config.config_strict = true;
	break_link();
	handoff__timer_disarm(&one.loop, &one.pair.rejoin.timer);
}

static void
await_count(const unsigned *count)
{
	int64_t end = handoff__now_us() + support_patience_us();

	while (*count == 0) {
		assert_true(handoff__now_us() < end);
		turn_both();
	}
}

/* It serves nothing: it can go and start anew. */
static void
standby_that_is_not_taken_back_ends(void **state)
{
	(void)state;
	pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	part_for_good();
	await_count(&two.expulsions);
	assert_int_equal(two.refusals, 0);
	assert_int_equal(one.refusals, 1);
	assert_int_equal(one.why, HANDOFF__BAD_CONFIG);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(two.pair.roster.held, 1);
}

/* Its connections would end with it: it stays, says why, and dials on. */
static void
owner_that_is_not_taken_back_stays(void **state)
{
	struct handoff__roster_entry *its;

	(void)state;
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	part_for_good();
	await_count(&two.refusals);
	assert_int_equal(two.why, HANDOFF__BAD_CONFIG);
	assert_non_null(strstr(two.refused, "link: one (pid "));
	assert_non_null(strstr(two.refused, "does not take this peer back"));
	assert_int_equal(two.expulsions, 0);
	assert_true(its->mine);
	one.pair.config.config_strict = false;
	run_until_linked();
	assert_int_equal(two.refusals, 1);
	assert_non_null(pair_find(&one, its));
}

/* What `two` dials next; `fd` is what listens there. */
static int
next_dial(int fd)
{
	int64_t end = handoff__now_us() + support_patience_us();
	struct handoff__msg msg;
	int sock, passed;

	while ((sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) < 0) {
		assert_int_equal(errno, EAGAIN);
		assert_true(handoff__now_us() < end);
		pair_turn(&two);
	}
	assert_int_equal(handoff__link_recv_sync(sock, &msg, &passed, 0), 0);
	assert_int_equal(msg.type, HANDOFF__HELLO);
	assert_int_equal(msg.hello.again, 1);
	if (passed >= 0)
		close(passed);
	return sock;
}

/* `two` has closed it. */
static void
await_hangup(int sock)
{
	int64_t end = handoff__now_us() + support_patience_us();
	char byte;

	while (recv(sock, &byte, 1, MSG_DONTWAIT) != 0) {
		assert_true(handoff__now_us() < end);
		pair_turn(&two);
	}
	close(sock);
}

/* Whatever listens there: it dials again, until its partner answers. */
static void
answers_that_are_none(void **state)
{
	struct handoff__msg bye = {.type = HANDOFF__BYE};
	struct handoff__error error = {""};
	int fd, sock;

	(void)state;
	break_link();
	handoff__timer_disarm(&one.loop, &one.pair.rejoin.timer);
	fd = handoff__dir_listen(&two.pair.dir, handoff__places_link_name(1),
		SOCK_SEQPACKET, &error);
	assert_true(fd >= 0);
	sock = next_dial(fd);
	assert_int_equal(handoff__link_send_sync(sock, &bye, -1), 0);
	await_hangup(sock);
	close(next_dial(fd));
	/* this one says nothing for two seconds */
	await_hangup(next_dial(fd));
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(two.aparts, 1);
	close(fd);
	/* and this listens there again */
	handoff__candidates_listen(&one.pair);
	run_until_linked();
	assert_int_equal(two.refusals + two.expulsions, 0);
}

static void
death_of_a_standby_is_seen_and_another_may_come(void **state)
{
	int told;
	pid_t pid;

	(void)state;
	pair_own(&one);
	pair_enter_many(&one, 3);
	for (unsigned i = 1; i <= 2; i++) {
		pid = pair_child(one.config.dir, &told);
		pair_wait(&one, &one.partners, i);
		assert_int_equal(one.pair.other.pid, pid);
		pair_kill(pid, told);
		pair_wait(&one, &one.partings, i);
		assert_int_equal(one.pair.partner, HANDOFF__PARTNER_NONE);
		assert_int_equal(one.failovers, 0);
		assert_int_equal(one.pair.roster.uncovered, 3);
	}
	pair_join(&one, &two);
	assert_int_equal(two.pair.roster.held, 3);
	assert_int_equal(one.pair.roster.uncovered, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(what_a_peer_leaves_is_taken_when_it_says_bye),
		pair_test(end_of_the_link_is_no_end_of_a_peer),
		pair_test(broken_link_is_made_anew),
		side_test(stale_copies_are_closed),
		pair_test(standby_that_is_not_taken_back_ends),
		pair_test(owner_that_is_not_taken_back_stays),
		pair_test(answers_that_are_none),
		side_test(death_of_a_standby_is_seen_and_another_may_come),
	};

	return cmocka_run_group_tests_name("part", tests, NULL, NULL);
}
