/* SPDX-License-Identifier: MIT */
/*
 * A session on one connection after another: what each side gets again, what
 * is refused, and streams that are exact wherever they are cut.
 */
#include "session/user.h"

#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
a_session_is_resumed(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\ntwo\nthr");
	/* the answers are lost, and so is what follows */
	user_is_cut(u);
	user_returns(u, &from);
	assert_int_equal(user_resumes(u, &from), 0);
	assert_int_equal(u->welcomes, 2);
	user_hears(u, "one\ntwo\n");
	assert_int_equal(user_count(u), 2);
	user_says_text(u, "ee\n");
	user_hears(u, "three\n");
	assert_int_equal(user_count(u), 3);
	assert_int_equal(seen.id, u->number);
	assert_int_not_equal(u->number, handoff__record_id(u->f.rec));
	assert_int_equal(user_head(u)->resumed, 1);
	user_close(u);
}

static void
an_end_on_its_way_is_sent_again(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "quit\n");
	user_is_cut(u);
	user_returns(u, &from);
	assert_int_equal(user_resumes(u, &from), 0);
	user_hears(u, "quit\n");
	assert_true(u->ended);
	user_ends(u);
	user_reads(u);
	assert_true(handoff__flow_over(&u->flow));
	user_close(u);
}

static void
a_wrong_token_is_refused_and_a_right_one_still_works(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;
	struct handoff__frame frame;

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\n");
	user_hears(u, "one\n");
	user_is_cut(u);
	for (size_t i = 0; i < HANDOFF__FRAME_TOKEN; i++) {
		u->token[i] ^= 1;
		if (i == 0)
			user_returns(u, &from);
		else
			goto again;
		goto refused;
	again:
		handoff__flow_wish(&u->flow, &frame);
		frame.number = u->number;
		memcpy(frame.token, u->token, sizeof(frame.token));
		user_sends_frame(u, &frame);
		turns(&u->f);
	refused:
		u->refused = 0;
		assert_int_equal(user_resumes(u, &from), -ENOENT);
		assert_int_equal(u->refused, HANDOFF__REFUSED_UNKNOWN);
		u->token[i] ^= 1;
	}
	handoff__flow_wish(&u->flow, &frame);
	frame.number = u->number;
	memcpy(frame.token, u->token, sizeof(frame.token));
	user_sends_frame(u, &frame);
	turns(&u->f);
	assert_int_equal(user_resumes(u, &from), 0);
	user_says_text(u, "two\n");
	user_hears(u, "two\n");
	user_close(u);
}

static void
positions_that_cannot_be_are_refused(void **state)
{
	struct user *u = user_of(user_line);
	struct handoff__view from;
	struct handoff__flow right;
	struct handoff__frame frame;

	(void)state;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\n");
	user_hears(u, "one\n");
	user_is_cut(u);
	right = u->flow;
	u->flow.rx_taken += 5; /* of what was never sent */
	user_returns(u, &from);
	assert_int_equal(user_resumes(u, &from), -ERANGE);
	assert_int_equal(u->refused, HANDOFF__REFUSED_POSITION);
	u->flow = right;
	/* a new one instead, on the same connection */
	handoff__flow_ask(&u->limits, &frame);
	user_sends_frame(u, &frame);
	turns(&u->f);
	user_reads(u);
	assert_int_equal(u->welcomes, 2);
	assert_int_equal(u->number, handoff__record_id(u->f.rec));
	user_says_text(u, "two\n");
	user_hears(u, "two\n");
	assert_int_equal(user_count(u), 1);
	user_close(u);
}

/* Both streams, while the connection is cut wherever it may be. */
static void
streams_are_exact_through_cuts(void **state)
{
	struct user *u;
	unsigned char piece[3000];
	size_t total = getenv("HANDOFF_LONG") ? STREAM_MOST : 200000;
	unsigned cuts = 0;

	(void)state;
	srandom(4711);
	u = user_of(echo);
	u->inner.arg = &(struct seen){0};
	user_open(u);
	user_begins(u);
	while (u->got_len < total) {
		size_t len = (size_t)random() % sizeof(piece) + 1;
		struct handoff__view from;

		if (len > total - u->said_len)
			len = total - u->said_len;
		for (size_t i = 0; i < len; i++)
			piece[i] = (unsigned char)random();
		user_says(u, piece, len, (size_t)random() % 700 + 1);
		if (random() % 3 > 0)
			user_reads(u);
		if (random() % 8 > 0)
			continue;
		cuts++;
		user_is_cut(u);
		user_returns(u, &from);
		assert_int_equal(user_resumes(u, &from), 0);
		/* what the client has to send again */
		len = (size_t)handoff__flow_again(&u->flow);
		u->said_len -= len;
		memcpy(piece, u->said + u->said_len, len);
		assert_int_equal(user_says(u, piece, len, 1000), len);
	}
	assert_true(cuts > 10);
	assert_int_equal(u->said_len, total);
	assert_memory_equal(u->got, u->said, total);
	user_close(u);
}

/* A client that reads nothing: the inner service is held up, input is read
 * all the same, and memory is bounded. */
static void
a_client_that_reads_nothing_is_held_up(void **state)
{
	struct user *u = user_of(echo);
	unsigned char piece[1000];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	u->limits.keep = 100000;
	u->inner.arg = &(struct seen){0};
	user_open(u);
	user_begins(u);
	while (user_says(u, piece, sizeof(piece), 500) > 0)
		;
	assert_true(user_head(u)->kept_len <= u->flow.rx_window);
	assert_int_equal(handoff__record_unread(u->f.rec), 0);
	assert_true(user_head(u)->pending_len > 0);
	for (int i = 0; u->got_len < u->said_len && i < 1000; i++) {
		user_reads(u);
		turns(&u->f);
	}
	assert_int_equal(u->got_len, u->said_len);
	assert_int_equal(user_head(u)->pending_len, 0);
	user_close(u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(a_session_is_resumed),
		handoff_test(an_end_on_its_way_is_sent_again),
		handoff_test(
			a_wrong_token_is_refused_and_a_right_one_still_works),
		handoff_test(positions_that_cannot_be_are_refused),
		handoff_test(streams_are_exact_through_cuts),
		handoff_test(a_client_that_reads_nothing_is_held_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
