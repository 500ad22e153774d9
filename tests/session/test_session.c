/* SPDX-License-Identifier: MIT */
/*
 * Sessions on the server, in the turns of one connection: clients of both
 * kinds, what the inner service sees, and the end.
 */
#include "session/user.h"

#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int
say_hello(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	seen.opens++;
	assert_int_equal(handoff_conn_reason(conn), HANDOFF_CONN_OPEN);
	*(unsigned char *)handoff_conn_state_resize(conn, 32) = 100;
	handoff_conn_write(conn, "hello\n", 6);
	return 0;
}

static void
note_end(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	(void)arg;
	(void)conn;
	seen.ended++;
	seen.why = reason;
}

static void
plain_clients_are_served_as_before(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.ended = note_end;
	user_open(u);
	client_says(&u->f, "one\ntw");
	assert_int_equal(turns(&u->f), HANDOFF__TURN_WAIT);
	client_hears(&u->f, "one\n", false);
	assert_int_equal(user_count(u), 1);
	assert_int_equal(user_flags(u) & HANDOFF__SESSION, 0);
	client_says(&u->f, "o\n");
	turns(&u->f);
	client_hears(&u->f, "two\n", false);
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	assert_int_equal(seen.last, HANDOFF_CONN_END);
	handoff__conn_ended(&u->f.view, u->f.fd, &u->f.service,
		(enum handoff__end)u->f.result.end, 0);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.why, HANDOFF_ENDED_CLIENT);
	user_close(u);
}

/* Bytes that begin like a session's, and are none. */
static void
what_only_begins_like_a_session_is_plain(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	user_open(u);
	for (size_t i = 0; i < 5; i++) {
		user_sends(u, handoff__preface + i, 1);
		assert_int_equal(turns(&u->f), HANDOFF__TURN_WAIT);
		assert_int_equal(seen.calls, 0);
	}
	client_says(&u->f, "!\n");
	turns(&u->f);
	client_hears(&u->f, "\xf5HSES!\n", false);
	user_close(u);
	u = user_of(user_line);
	user_open(u);
	user_sends(u, handoff__preface, 7);
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	assert_true(seen.calls > 0);
	user_close(u);
}

/* `open` runs once it is known what the client is. */
static void
a_greeting_goes_to_both_kinds(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.open = say_hello;
	user_open(u);
	turns(&u->f);
	assert_int_equal(seen.opens, 0);
	client_says(&u->f, "a\n");
	turns(&u->f);
	client_hears(&u->f, "hello\na\n", false);
	assert_int_equal(seen.opens, 1);
	assert_int_equal(user_count(u), 101);
	user_close(u);
	u = user_of(user_line);
	u->inner.open = say_hello;
	user_open(u);
	user_begins(u);
	user_hears(u, "hello\n");
	user_says_text(u, "a\n");
	user_hears(u, "a\n");
	assert_int_equal(seen.opens, 1);
	user_close(u);
	/* a plain client that says nothing and ends */
	u = user_of(user_line);
	u->inner.open = say_hello;
	user_open(u);
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	client_hears(&u->f, "hello\n", false);
	assert_int_equal(seen.last, HANDOFF_CONN_END);
	user_close(u);
}

static void
lines_come_and_go_in_frames(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	user_open(u);
	user_begins(u);
	assert_true(user_flags(u) & HANDOFF__SESSION);
	assert_int_equal(u->number, handoff__record_id(u->f.rec));
	user_says_text(u, "one\ntwo\nthr");
	user_hears(u, "one\ntwo\n");
	assert_int_equal(user_head(u)->pending_len, 3);
	user_says(u, "ee\nfour\n", 8, 1);
	user_hears(u, "three\nfour\n");
	assert_int_equal(user_head(u)->pending_len, 0);
	assert_int_equal(user_count(u), 4);
	assert_int_equal(seen.id, u->number);
	assert_int_equal(handoff__record_unread(u->f.rec), 0);
	/* what is acknowledged is not kept */
	user_says_text(u, "x\n");
	assert_true(user_head(u)->kept_len <= 12);
	user_close(u);
}

static void
the_first_bytes_may_come_one_by_one(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__frame frame;
	unsigned char bytes[64];
	size_t len;

	(void)state;
	user_open(u);
	memcpy(bytes, handoff__preface, HANDOFF__PREFACE_LEN);
	handoff__flow_ask(&u->limits, &frame);
	len = HANDOFF__PREFACE_LEN;
	len += handoff__frame_encode(&frame, bytes + len, sizeof(bytes) - len);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(u->welcomes, 0);
		user_sends(u, bytes + i, 1);
		turns(&u->f);
		user_reads(u);
	}
	assert_int_equal(u->welcomes, 1);
	user_says_text(u, "a\n");
	user_hears(u, "a\n");
	user_close(u);
}

static void
the_client_ends_and_the_service_answers(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.ended = note_end;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\nhalf");
	user_ends(u);
	user_hears(u, "one\n");
	assert_int_equal(seen.last, HANDOFF_CONN_END);
	assert_true(u->ended);
	/* the client's acknowledgement of the end has gone out in user_reads */
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	assert_true(handoff__flow_over(&u->flow));
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	handoff__conn_ended(&u->f.view, u->f.fd, &u->f.service,
		(enum handoff__end)u->f.result.end, 0);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.why, HANDOFF_ENDED_CLIENT);
	user_close(u);
}

static void
the_service_ends_and_the_client_answers(void **state)
{
	struct user *u = user_of(user_line);
	unsigned calls;

	(void)state;
	u->inner.ended = note_end;
	user_open(u);
	user_begins(u);
	user_says_text(u, "quit\nmore\n");
	calls = seen.calls;
	user_hears(u, "quit\n");
	assert_true(u->ended);
	assert_int_equal(user_flags(u) & HANDOFF__CLOSING, 0);
	user_says_text(u, "and more\n");
	assert_int_equal(seen.calls, calls);
	user_ends(u);
	user_reads(u);
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	client_ends_sending(&u->f);
	assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
	handoff__conn_ended(&u->f.view, u->f.fd, &u->f.service,
		(enum handoff__end)u->f.result.end, 0);
	assert_int_equal(seen.why, HANDOFF_ENDED_SERVICE);
	user_close(u);
}

static void
an_abort_is_told(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "abort\n");
	user_reads(u);
	assert_true(u->aborted);
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	user_close(u);
}

static void
a_failing_handler_ends_the_session(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\n");
	user_hears(u, "one\n");
	user_says_text(u, "fail\n");
	/* or the client would come back with the same */
	assert_int_equal(u->f.result.outcome, HANDOFF__TURN_LINGER);
	assert_int_equal(u->f.result.end, HANDOFF__END_HANDLER);
	assert_int_equal(u->f.result.err, EPROTO);
	user_reads(u);
	assert_true(u->aborted);
	assert_int_equal((user_flags(u) & HANDOFF__END) >> HANDOFF__END_SHIFT,
		HANDOFF_ENDED_HANDLER);
	user_close(u);
}

/* The record says who is to blame, and for what. */
static void
assert_blamed(const struct user *u, const char *why)
{
	char label[HANDOFF__LABEL_MAX];

	assert_int_equal((user_flags(u) & HANDOFF__END) >> HANDOFF__END_SHIFT,
		HANDOFF_ENDED_PROTOCOL);
	handoff__record_label(u->f.rec, label);
	assert_true(strlen(label) > 5);
	if (why[0])
		assert_string_equal(label, why);
}

/* Frames that may not come: the session ends, and the client is told why. */
static void
violations_end_the_session(void **state)
{
	static const struct handoff__frame wrong[] = {
		{.type = HANDOFF__FRAME_NEW,
			.to_server = 1000,
			.to_client = 1000},
		{.type = HANDOFF__FRAME_RESUME, .number = 1},
		{.type = HANDOFF__FRAME_ACK, .ack = 1000000},
		{.type = HANDOFF__FRAME_DATA, .len = 1000000},
		{.type = HANDOFF__FRAME_WELCOME,
			.to_server = 1000,
			.to_client = 1000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct user *u = user_of(user_line);

		u->inner.ended = note_end;
		user_open(u);
		user_begins(u);
		user_sends_frame(u, &wrong[i]);
		turns(&u->f);
		user_reads(u);
		assert_true(u->aborted);
		assert_true(user_flags(u) & HANDOFF__CLOSING);
		assert_int_equal(seen.calls, 0);
		assert_int_equal(seen.ended, 1);
		assert_int_equal(seen.why, HANDOFF_ENDED_PROTOCOL);
		assert_blamed(u, "");
		user_close(u);
	}
}

static void
what_is_neither_new_nor_resume_is_turned_away(void **state)
{
	static const unsigned char other[] = {
		0xf5, 0x48, 0x53, 0x45, 0x53, 0x53, 0x00, 0x02};
	struct user *u = user_of(user_line);
	struct handoff__frame frame = {.type = HANDOFF__FRAME_ACK};

	(void)state;
	user_open(u);
	user_sends(u, handoff__preface, HANDOFF__PREFACE_LEN);
	user_sends_frame(u, &frame);
	turns(&u->f);
	user_reads(u);
	assert_true(u->aborted);
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	assert_blamed(u, "neither NEW nor RESUME");
	user_close(u);
	u = user_of(user_line);
	user_open(u);
	user_sends(u, other, sizeof(other));
	turns(&u->f);
	user_reads(u);
	assert_int_equal(u->refused, HANDOFF__REFUSED_VERSION);
	assert_true(user_flags(u) & HANDOFF__CLOSING);
	assert_blamed(u, "");
	assert_int_equal(seen.calls, 0);
	user_close(u);
}

static int
take_post(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *posted = handoff_conn_posted(conn);

	(void)arg;
	seen.posts++;
	handoff_conn_write(conn, "<", 1);
	handoff_conn_write(conn, posted->data, posted->len);
	return 0;
}

static void
posts_are_framed(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "post\n");
	user_hears(u, "post\nposted\n");
	user_close(u);
	u = user_of(user_line);
	u->inner.posted = take_post;
	user_open(u);
	user_begins(u);
	user_says_text(u, "post\n");
	user_hears(u, "post\n<posted\n");
	/* to the number, on another record */
	user_is_cut(u);
	user_returns(u, &from);
	assert_int_equal(user_resumes(u, &from), 0);
	user_says_text(u, "post\n");
	user_hears(u, "post\n<posted\n");
	user_close(u);
}

/* Asks itself by a post, and answers when that has come. */
static int
ask(struct handoff_conn *conn, void *arg)
{
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = handoff_conn_id(conn),
		.request = handoff_conn_request(conn),
		.data = "answer",
		.len = 6};
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	(void)arg;
	seen.calls++;
	if (!memchr(input, '\n', len))
		return 0;
	seen.request = post.request;
	assert_int_equal(handoff_conn_post(conn, &post), 0);
	return HANDOFF_LATER;
}

static int
take_answer(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);

	(void)arg;
	seen.posts++;
	assert_int_equal(handoff_conn_request(conn), seen.request);
	assert_non_null(end);
	len = (size_t)(end - input) + 1;
	handoff_conn_write(conn, "to ", 3);
	handoff_conn_write(conn, input, len);
	return handoff_conn_consume(conn, len);
}

static void
answers_may_come_later(void **state)
{
	struct user *u = user_of(ask);

	(void)state;
	u->inner.posted = take_answer;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\ntwo\nth");
	user_hears(u, "to one\nto two\n");
	user_says_text(u, "ree\n");
	user_hears(u, "to three\n");
	assert_int_equal(seen.posts, 3);
	user_close(u);
	u = user_of(ask);
	u->inner.posted = take_answer;
	user_open(u);
	client_says(&u->f, "one\ntwo\n");
	turns(&u->f);
	client_hears(&u->f, "to one\nto two\n", false);
	user_close(u);
}

/* Waits for an answer that nobody gives. */
static int
wait_long(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	(void)arg;
	seen.calls++;
	return len > 0 && input[0] == 'w' ? HANDOFF_LATER
					  : handoff_conn_consume(conn, len);
}

/* Acknowledgements are behind what the handler lets wait. */
static void
what_comes_is_taken_while_an_answer_is_awaited(void **state)
{
	struct user *u = user_of(wait_long);

	(void)state;
	u->inner.posted = take_answer;
	user_open(u);
	user_begins(u);
	user_says_text(u, "wait");
	assert_int_equal(seen.calls, 1);
	assert_true(user_flags(u) & HANDOFF__WAITING);
	assert_true(user_fills(u, 2 * SIZE) >= SIZE);
	assert_int_equal(seen.calls, 1);
	assert_true(user_flags(u) & HANDOFF__WAITING);
	assert_int_equal(handoff__record_unread(u->f.rec), 0);
	assert_int_equal(user_head(u)->pending_len, u->said_len);
	assert_int_equal(user_flags(u) & HANDOFF__CLOSING, 0);
	/* as a new owner does */
	handoff__record_unflag(&u->f.view, HANDOFF__WAITING);
	turns(&u->f);
	assert_int_equal(seen.calls, 2);
	assert_true(user_flags(u) & HANDOFF__WAITING);
	user_close(u);
}

static int
say_goodbye(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	seen.farewells++;
	handoff_conn_write(conn, "bye\n", 4);
	return 0;
}

static void
last_words_come_before_the_end(void **state)
{
	struct user *u = user_of(user_line);

	(void)state;
	u->inner.farewell = say_goodbye;
	user_open(u);
	user_begins(u);
	handoff__conn_farewell(&u->f.view, u->f.fd, &u->f.service);
	turns(&u->f);
	user_hears(u, "bye\n");
	assert_true(u->ended);
	assert_int_equal(seen.farewells, 1);
	user_close(u);
}

static int
grow(struct handoff_conn *conn, void *arg)
{
	size_t len, now = handoff_conn_state_len(conn);
	const unsigned char *input = handoff_conn_input(conn, &len);
	unsigned char *bytes = handoff_conn_state(conn);

	(void)arg;
	if (len == 0)
		return 0;
	for (size_t i = 0; i < now; i++)
		assert_int_equal(bytes[i], (unsigned char)i);
	bytes = handoff_conn_state_resize(conn, now + 7);
	assert_non_null(bytes);
	for (size_t i = now; i < now + 7; i++)
		bytes[i] = (unsigned char)i;
	handoff_conn_write(conn, input, 1);
	return handoff_conn_consume(conn, 1);
}

static void
a_state_that_grows_is_moved_along(void **state)
{
	struct user *u = user_of(grow);
	struct handoff__view from;

	(void)state;
	u->inner.state_size = 1000;
	u->inner.state_grows = true;
	user_open(u);
	user_begins(u);
	for (int i = 0; i < 20; i++) {
		user_says_text(u, "abcde");
		if (i % 3 == 0)
			user_hears(u, i == 0 ? "abcde" : "abcdeabcdeabcde");
	}
	assert_int_equal(user_head(u)->inner_len, 700);
	user_is_cut(u);
	user_returns(u, &from);
	assert_int_equal(user_resumes(u, &from), 0);
	assert_int_equal(user_head(u)->inner_len, 700);
	user_close(u);
}

static void
a_deadline_is_the_inner_services(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff_conn conn;

	(void)state;
	user_open(u);
	user_begins(u);
	handoff__txn_begin(&conn, &u->f.view);
	handoff_conn_deadline(&conn, 1);
	handoff__txn_commit(&conn);
	while (handoff__conn_left_ms(u->f.rec) != 0)
		usleep(500);
	turn(&u->f, 0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.last, HANDOFF_CONN_DEADLINE);
	/* a client that does not take the end has a limit */
	user_says_text(u, "quit\n");
	assert_int_not_equal(handoff__record_deadline(u->f.rec), 0);
	user_close(u);
}

static void
options_are_checked(void **state)
{
	struct user *u = user_of(user_line);
	static const char *const bad[] = {
		"127.0.0.1:0", "nonsense", "unix:relative", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		u->opts.listen = bad[i];
		assert_int_equal(handoff_session_service(
					 &u->session, &u->inner, &u->opts),
			-EINVAL);
	}
	u->opts.listen = NULL;
	u->inner.pass_size = 4096;
	assert_int_equal(
		handoff_session_service(&u->session, &u->inner, &u->opts),
		-EOPNOTSUPP);
	u->inner.pass_size = 0;
	u->inner.handle = NULL;
	assert_int_equal(
		handoff_session_service(&u->session, &u->inner, NULL), -EINVAL);
	assert_int_equal(
		handoff_session_service(NULL, &u->inner, NULL), -EINVAL);
	u->inner.handle = user_line;
	u->inner.input_size = u->inner.output_size = HANDOFF__BUFFER_MAX;
	u->inner.state_size = 65536;
	assert_int_equal(
		handoff_session_service(&u->session, &u->inner, NULL), 0);
	assert_true(u->session.service.state_size <= HANDOFF__STATE_MAX);
	free(u->got);
	free(u->said);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(plain_clients_are_served_as_before),
		handoff_test(what_only_begins_like_a_session_is_plain),
		handoff_test(a_greeting_goes_to_both_kinds),
		handoff_test(lines_come_and_go_in_frames),
		handoff_test(the_first_bytes_may_come_one_by_one),
		handoff_test(the_client_ends_and_the_service_answers),
		handoff_test(the_service_ends_and_the_client_answers),
		handoff_test(an_abort_is_told),
		handoff_test(a_failing_handler_ends_the_session),
		handoff_test(violations_end_the_session),
		handoff_test(what_is_neither_new_nor_resume_is_turned_away),
		handoff_test(posts_are_framed),
		handoff_test(answers_may_come_later),
		handoff_test(what_comes_is_taken_while_an_answer_is_awaited),
		handoff_test(last_words_come_before_the_end),
		handoff_test(a_state_that_grows_is_moved_along),
		handoff_test(a_deadline_is_the_inner_services),
		handoff_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
