/* SPDX-License-Identifier: MIT */
/*
 * The turn of a connection, over a socketpair whose other end the test plays:
 * small services and a slow client. How it ends is in test_turn_end.c.
 */
#include "server/solo.h"

#include "record/handling.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void
what_comes_is_answered(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	client_says(&f, "hello");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(f.result.want, EPOLLIN);
	client_hears(&f, "hello", false);
	assert_int_equal(f.seen.calls, 1);
	assert_int_equal(handoff__record_unread(f.rec), 0);
	close_conn(&f);
}

static void
turn_without_an_event_reads_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	client_says(&f, "hello");
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	assert_int_equal(f.seen.calls, 0);
	assert_int_equal(f.rec->rx_head, 0);
	assert_int_equal(f.result.want, EPOLLIN);
	close_conn(&f);
}

static void
false_alarm_is_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	assert_int_equal(turn(&f, EPOLLIN | EPOLLOUT), HANDOFF__TURN_WAIT);
	assert_int_equal(f.seen.calls, 0);
	assert_int_equal(f.rec->touched, 0);
	assert_int_equal(f.rec->activity, HANDOFF__AT_REST);
	close_conn(&f);
}

static void
handler_waits_for_a_whole_line(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "hell");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(f.seen.calls, 1); /* asked once, not for ever */
	assert_int_equal(f.result.want, EPOLLIN);
	client_hears(&f, "", false);
	client_says(&f, "o\nwor");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	client_hears(&f, "HELLO\n", false);
	assert_int_equal(handoff__record_unread(f.rec), 3);
	client_says(&f, "ld\n");
	turn(&f, EPOLLIN);
	client_hears(&f, "WORLD\n", false);
	close_conn(&f);
}

/* Others get their turn, and nothing is forgotten meanwhile. */
static void
many_requests_take_several_turns(void **state)
{
	struct fixture f;
	char expected[100 * 2 + 1] = "";

	(void)state;
	open_conn(&f, lines, NULL);
	for (int i = 0; i < 100; i++) {
		client_says(&f, "x\n");
		strcat(expected, "X\n");
	}
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_AGAIN);
	assert_in_range(f.seen.calls, 1, 50);
	assert_int_equal(f.rec->activity, HANDOFF__PENDING);
	for (int i = 0; i < 100 && f.result.outcome == HANDOFF__TURN_AGAIN; i++)
		turn(&f, 0);
	assert_int_equal(f.result.outcome, HANDOFF__TURN_WAIT);
	client_hears(&f, expected, false);
	assert_int_equal(f.rec->activity, HANDOFF__AT_REST);
	close_conn(&f);
}

/* Reads seldom, so that every buffer on the way is full most of the time. */
static void
slow_client_gets_every_byte(void **state)
{
	struct fixture f;
	size_t total = 1 << 20, sent = 0, got = 0;
	unsigned out_only = 0, both = 0;

	(void)state;
	open_conn(&f, echo, NULL);
	shrink(&f);
	for (int i = 0; got < total; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		sent = client_sends_some(&f, sent, total);
		assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
		out_only += f.result.want == EPOLLOUT;
		both += f.result.want == (EPOLLIN | EPOLLOUT);
		got = client_reads_some(&f, got, 1 + (size_t)i * 37 % 4999);
	}
	assert_int_equal(got, total);
	assert_true(out_only > 10);
	assert_true(both > 0);
	close_conn(&f);
}

static void
full_buffers_wait_for_the_client_alone(void **state)
{
	struct fixture f;
	size_t sent = 0, before;

	(void)state;
	open_conn(&f, echo, NULL);
	shrink(&f);
	do {
		before = sent;
		sent = client_sends_some(&f, sent, 1 << 20);
		assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	} while (sent > before);
	assert_int_equal(f.result.want, EPOLLOUT);
	assert_int_equal(f.rec->activity, HANDOFF__PENDING);
	assert_int_equal(handoff__record_unsent(f.rec), SIZE);
	assert_int_equal(handoff__record_unread(f.rec), SIZE);
	/* And nobody asks the handler in vain. */
	f.seen.calls = 0;
	assert_int_equal(turn(&f, EPOLLIN | EPOLLOUT), HANDOFF__TURN_WAIT);
	assert_int_equal(f.seen.calls, 0);
	close_conn(&f);
}

/* Each request is answered with as much as the output can hold, or not yet. */
static int
all_or_nothing(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;
	char answer[SIZE];
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	seen->calls++;
	if (len == 0 || handoff_conn_room(conn) < sizeof(answer))
		return 0;
	memset(answer, input[0], sizeof(answer));
	assert_int_equal(handoff_conn_write(conn, answer, sizeof(answer)),
		sizeof(answer));
	return handoff_conn_consume(conn, 1);
}

static void
handler_is_asked_again_when_there_is_room(void **state)
{
	struct fixture f;
	size_t got[3] = {0};

	(void)state;
	open_conn(&f, all_or_nothing, NULL);
	shrink(&f);
	client_says(&f, "abc");
	for (int i = 0; got[2] < SIZE; i++) {
		char data[700];
		ssize_t n;

		assert_in_range(i, 0, 1000);
		assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
		n = recv(f.client, data, sizeof(data), MSG_DONTWAIT);
		for (ssize_t at = 0; at < n; at++)
			got[data[at] - 'a']++;
	}
	assert_int_equal(got[0], SIZE);
	assert_int_equal(got[1], SIZE);
	assert_int_equal(got[2], SIZE);
	assert_int_equal(f.result.want, EPOLLIN);
	close_conn(&f);
}

/* The input is full and nothing is consumed, but output is on its way: the
 * handler may be waiting for room and not for input. */
static void
full_input_is_no_end_while_output_is_unsent(void **state)
{
	struct fixture f;
	char many[SIZE + 1];
	size_t got = 0;

	(void)state;
	open_conn(&f, all_or_nothing, NULL);
	shrink(&f);
	memset(many, 'x', SIZE);
	many[SIZE] = '\0';
	client_says(&f, many);
	turns(&f);
	client_says(&f, "xxxxxxxx");
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	assert_true(handoff__record_unread(f.rec) > SIZE - 8);
	for (int i = 0; got < 10 * SIZE; i++) {
		char data[SIZE];
		ssize_t n = recv(f.client, data, sizeof(data), MSG_DONTWAIT);

		assert_in_range(i, 0, 1000);
		got += n > 0 ? (size_t)n : 0;
		assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	}
	close_conn(&f);
}

static void
longest_input_is_answered(void **state)
{
	struct fixture f;
	char line[SIZE + 1], answer[SIZE];

	(void)state;
	open_conn(&f, lines, NULL);
	memset(line, 'x', SIZE);
	line[SIZE - 1] = '\n';
	line[SIZE] = '\0';
	client_says(&f, line);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	assert_int_equal(recv(f.client, answer, SIZE, MSG_DONTWAIT), SIZE);
	assert_int_equal(answer[0], 'X');
	assert_int_equal(answer[SIZE - 1], '\n');
	close_conn(&f);
}

static void
open_greets_before_any_input(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, greet);
	assert_true(handoff__conn_pending(&f.view, &f.service));
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_hears(&f, "welcome\n", false);
	assert_false(handoff__conn_pending(&f.view, &f.service));
	assert_int_equal(f.seen.calls, 0);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	turn(&f, 0);
	client_hears(&f, "x", false);
	assert_int_equal(f.seen.opens, 1);
	assert_int_equal(
		((char *)(f.rec + 1))[(f.rec->sequence & 1) * 16], 'g');
	close_conn(&f);
}

/* Also if the client was faster. */
static void
open_runs_first_and_once(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, greet);
	client_says(&f, "x");
	client_ends_sending(&f);
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	assert_null(f.result.why);
	client_hears(&f, "welcome\nx", false);
	assert_int_equal(f.seen.opens, 1);
	close_conn(&f);
}

/* Only open knows that it has run: without one nothing is called early. */
static void
service_without_open_is_not_called_early(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	assert_false(handoff__conn_pending(&f.view, &f.service));
	turn(&f, 0);
	assert_int_equal(f.seen.calls, 0);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	assert_int_equal(f.seen.calls, 1);
	close_conn(&f);
}

static void
survivor_is_told_what_to_look_at(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, echo, NULL);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	assert_int_equal(f.seen.activity, HANDOFF__IN_TURN);
	assert_int_equal(f.rec->activity, HANDOFF__AT_REST);
	close_conn(&f);
	/* The other's handler may know what to do with it. */
	open_conn(&f, lines, NULL);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	assert_int_equal(handoff__record_unread(f.rec), 1);
	assert_true(handoff__conn_pending(&f.view, &f.service));
	assert_int_equal(f.rec->activity, HANDOFF__PENDING);
	close_conn(&f);
}

static int
counts_in_its_state(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;

	seen->calls++;
	++*(unsigned char *)handoff_conn_state(conn);
	return 0;
}

static void
state_alone_may_change(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, counts_in_its_state, NULL);
	for (unsigned i = 1; i <= 3; i++) {
		client_says(&f, "x");
		assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
		assert_int_equal(f.seen.calls, i);
		assert_int_equal(
			((char *)(f.rec + 1))[(f.rec->sequence & 1) * 16], i);
	}
	close_conn(&f);
}

/* Says the same for ever and takes nothing. */
static int
babble(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;

	seen->calls++;
	handoff_conn_write(conn, "bla ", 4);
	return 0;
}

static void
babbler_is_held_up_by_its_client(void **state)
{
	struct fixture f;
	unsigned calls;

	(void)state;
	open_conn(&f, babble, NULL);
	shrink(&f);
	client_says(&f, "x");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_AGAIN);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	assert_int_equal(handoff__record_unsent(f.rec), SIZE);
	calls = f.seen.calls;
	turn(&f, 0);
	assert_int_equal(f.seen.calls, calls);
	assert_true(f.result.want & EPOLLOUT);
	close_conn(&f);
}

static void
idle_buffers_are_untouched(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, babble, greet);
	assert_int_equal(f.rec->touched, 0);
	turn(&f, 0);
	assert_int_equal(f.rec->touched, turn_desk == 0);
	f.rec->touched = 0;
	turn(&f, EPOLLIN);
	assert_int_equal(f.rec->touched, 0);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	assert_int_equal(f.rec->touched, 1);
	close_conn(&f);
}

/* Between turns everything is in the record's own buffers, whatever it was in
 * before. */
static void
what_is_not_finished_is_kept(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "good");
	turn(&f, EPOLLIN);
	assert_int_equal(f.rec->touched, 1);
	assert_memory_equal(f.view.rx, "good", 4);
	client_says(&f, "bye\n");
	turn(&f, EPOLLIN);
	client_hears(&f, "GOODBYE\n", false);
	f.rec->touched = 0;
	client_says(&f, "again\n");
	turn(&f, EPOLLIN);
	client_hears(&f, "AGAIN\n", false);
	assert_int_equal(f.rec->touched, turn_desk == 0);
	close_conn(&f);
}

static void
say(struct fixture *f, const char *text)
{
	struct handoff__post post = {
		.to = HANDOFF__POST_ALL, .len = (uint32_t)strlen(text)};

	assert_int_equal(
		handoff__posts_add(f->view.seg->posts, &post, text, 1), 0);
}

static void
line_is_heard_after_the_greeting_and_before_the_answer(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, greet);
	say(&f, "said\n");
	client_says(&f, "hello\n");
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	client_hears(&f, "welcome\nHELLO\nsaid\n", false);
	say(&f, "more\n");
	assert_true(handoff__conn_pending(&f.view, &f.service));
	client_says(&f, "again\n");
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	client_hears(&f, "more\nAGAIN\n", false);
	say(&f, "last\n");
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_hears(&f, "last\n", false);
	assert_false(handoff__conn_pending(&f.view, &f.service));
	assert_int_equal(f.rec->activity, HANDOFF__AT_REST);
	close_conn(&f);
}

static int
flood(struct handoff_conn *conn, void *arg)
{
	char data[SIZE];
	size_t len = handoff_conn_room(conn);

	(void)arg;
	memset(data, '.', sizeof(data));
	handoff_conn_write(conn, data, len);
	return 0;
}

/* A service that always fills the output does not keep a line out. */
static void
line_waits_for_room_and_then_comes_first(void **state)
{
	struct fixture f;
	char data[5000];
	bool heard = false;

	(void)state;
	open_conn(&f, flood, NULL);
	shrink(&f);
	client_says(&f, "go");
	for (int i = 0; handoff__record_unsent(f.rec) == 0; i++) {
		assert_true(i < TURNS_MAX);
		turn(&f, i == 0 ? EPOLLIN : 0);
	}
	say(&f, "said\n");
	for (int i = 0; !heard; i++) {
		ssize_t n = recv(f.client, data, sizeof(data), MSG_DONTWAIT);

		assert_true(i < TURNS_MAX);
		heard = n > 0 && memchr(data, 's', (size_t)n);
		turn(&f, EPOLLOUT);
	}
	close_conn(&f);
}

static void
who_is_about_to_end_hears_no_more(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, lines, NULL);
	client_says(&f, "quit\n");
	assert_int_equal(turns(&f), HANDOFF__TURN_LINGER);
	say(&f, "said\n");
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_LINGER);
	client_hears(&f, "QUIT\n", true);
	close_conn(&f);
}

/* Fails where it is not marked; `arg` says when to fail otherwise. */
static int
look_at_mark(struct handoff_conn *conn, void *arg)
{
	const struct seen *seen = arg;
	size_t len;

	assert_int_equal(handoff__handling(conn->view.rec),
		HANDOFF__HANDLING | seen->opens);
	handoff_conn_input(conn, &len);
	handoff_conn_consume(conn, len);
	return seen->fail;
}

/* A handler that runs is marked, one that has returned is not, and has cleared
 * its input of any suspicion: whatever it returned. */
static void
handler_is_marked_while_it_runs(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, look_at_mark, look_at_mark);
	turn(&f, 0);
	assert_int_equal(handoff__handling(f.rec), 0);
	handoff__handler_enter(f.rec);
	assert_true(handoff__handler_died(f.rec));
	f.seen.opens = 1; /* death */
	assert_int_equal(handoff__handler_deaths(f.rec), 1);
	turn(&f, EPOLLIN); /* a false alarm */
	assert_int_equal(handoff__handler_deaths(f.rec), 1);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	assert_int_equal(handoff__handling(f.rec), 0);
	f.seen.opens = 0;
	f.seen.fail = -EIO;
	client_says(&f, "x");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(handoff__handling(f.rec), 0);
	close_conn(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(
			line_is_heard_after_the_greeting_and_before_the_answer),
		handoff_test(line_waits_for_room_and_then_comes_first),
		handoff_test(who_is_about_to_end_hears_no_more),
		handoff_test(what_comes_is_answered),
		handoff_test(turn_without_an_event_reads_nothing),
		handoff_test(false_alarm_is_nothing),
		handoff_test(handler_waits_for_a_whole_line),
		handoff_test(many_requests_take_several_turns),
		handoff_test(slow_client_gets_every_byte),
		handoff_test(full_buffers_wait_for_the_client_alone),
		handoff_test(handler_is_asked_again_when_there_is_room),
		handoff_test(full_input_is_no_end_while_output_is_unsent),
		handoff_test(longest_input_is_answered),
		handoff_test(open_greets_before_any_input),
		handoff_test(open_runs_first_and_once),
		handoff_test(service_without_open_is_not_called_early),
		handoff_test(survivor_is_told_what_to_look_at),
		handoff_test(state_alone_may_change),
		handoff_test(babbler_is_held_up_by_its_client),
		handoff_test(idle_buffers_are_untouched),
		handoff_test(what_is_not_finished_is_kept),
		handoff_test(handler_is_marked_while_it_runs),
	};

	return cmocka_run_group_tests_name("turn", tests, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "turn on a desk", tests, on_a_desk, NULL);
}
