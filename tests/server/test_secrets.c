/* SPDX-License-Identifier: MIT */
/*
 * A service with secrets, one connection without a server: what it erases,
 * replaces or never commits is nowhere in the arena any more, nor is anything
 * of it after the end. The key comes with the input, which is echoed.
 */
#include "server/solo.h"

#include "record/desk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define KEY           "0123456789abcdef0123456789ABCDEF"
#define NEXT          "fedcba9876543210FEDCBA9876543210"
#define LEN           (sizeof(KEY) - 1)
#define SIZE_OF_STATE 4096u

static int later; /* what `posted` finds */

/* "set KEY" stores a key at the end of the state, "grow" makes that longer,
 * "cut" cuts the key off, "touch" only resizes to the same length, "fail",
 * "later" and "undo" do what they say after they have set one. */
static int
keep_key(struct handoff_conn *conn, void *arg)
{
	size_t len, now = handoff_conn_state_len(conn);
	const char *input = handoff_conn_input(conn, &len);
	char *state;

	(void)arg;
	if (len == 0)
		return 0;
	if (memcmp(input, "grow", 4) == 0) {
		handoff_conn_state_resize(conn, now + 1000);
	} else if (memcmp(input, "cut", 3) == 0) {
		handoff_conn_state_resize(conn, 8);
	} else if (memcmp(input, "wipe", 4) == 0) {
		memset(handoff_conn_state(conn), 0, now);
	} else if (memcmp(input, "touch", 5) == 0) {
		handoff_conn_state_resize(conn, now);
	} else if (len == 4 + LEN) {
		if (now < 8 + LEN)
			now = 8 + LEN;
		state = handoff_conn_state_resize(conn, now);
		memcpy(state + 8, input + 4, LEN);
	}
	if (memcmp(input, "undo", 4) == 0)
		handoff_conn_state_resize(conn, 8);
	if (memcmp(input, "late", 4) == 0)
		return HANDOFF_LATER;
	if (memcmp(input, "fail", 4) == 0)
		return -EIO;
	if (memcmp(input, "quit", 4) == 0)
		handoff_conn_close(conn);
	handoff_conn_write(conn, ".", 1);
	return handoff_conn_consume(conn, len);
}

static int
take_post(struct handoff_conn *conn, void *arg)
{
	size_t len;

	(void)arg;
	later++;
	handoff_conn_input(conn, &len);
	return handoff_conn_consume(conn, len);
}

static void
open_secrets(struct fixture *f, bool secret)
{
	const struct handoff_service service = {.size = sizeof(service),
		.name = "test",
		.state_size = SIZE_OF_STATE,
		.state_grows = true,
		.handle = keep_key,
		.posted = take_post,
		.secret = secret};

	open_service(f, &service);
	f->arena.secret = secret;
}

/* How often these bytes are in the states, or in the buffers and on the desk.
 */
static unsigned
count_in(const unsigned char *from, size_t len, const char *text)
{
	unsigned n = 0;

	for (size_t i = 0; i + LEN <= len; i++)
		n += memcmp(from + i, text, LEN) == 0;
	return n;
}

static unsigned
in_states(const struct fixture *f, const char *text)
{
	return count_in(
		handoff__record_state(&f->view, 0), 2 * SIZE_OF_STATE, text);
}

static unsigned
in_buffers(const struct fixture *f, const char *text)
{
	struct handoff__view desk = f->view;

	handoff__desk_buffers(&desk, handoff__desk_number(2, 3));
	return count_in(f->view.rx, 3 * SIZE, text) +
	       count_in(desk.rx, 3 * SIZE, text);
}

static void
ask(struct fixture *f, const char *text)
{
	client_says(f, text);
	assert_int_equal(turns(f), HANDOFF__TURN_WAIT);
	client_hears(f, ".", false);
}

static void
replaced_key_is_gone(void **state)
{
	struct fixture f;

	(void)state;
	open_secrets(&f, true);
	ask(&f, "set " KEY);
	ask(&f, "touch");
	assert_int_equal(in_states(&f, KEY), 1);
	ask(&f, "set " NEXT);
	assert_int_equal(in_states(&f, KEY), 0);
	assert_int_equal(in_states(&f, NEXT), 1);
	/* in place, it is told by a resize alone */
	ask(&f, "wipe");
	assert_int_equal(in_states(&f, NEXT), 1);
	ask(&f, "set " KEY);
	ask(&f, "wipe");
	ask(&f, "touch");
	assert_int_equal(in_states(&f, KEY), 0);
	assert_int_equal(f.rec->commit[0].flags | f.rec->commit[1].flags,
		HANDOFF__OPENED);
	close_conn(&f);
}

static void
state_that_shrinks_leaves_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_secrets(&f, true);
	ask(&f, "set " KEY);
	ask(&f, "hello");
	assert_int_equal(in_states(&f, KEY), 2);
	ask(&f, "cut");
	assert_int_equal(in_states(&f, KEY), 0);
	assert_int_equal(handoff__record_commit(f.rec)->state_len, 8);
	ask(&f, "undo" KEY);
	assert_int_equal(in_states(&f, KEY), 0);
	ask(&f, "grow");
	assert_int_equal(in_states(&f, KEY), 0);
	close_conn(&f);
}

/* Without it they stay, until another transaction writes over them. */
static void
other_services_pay_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_secrets(&f, false);
	ask(&f, "set " KEY);
	ask(&f, "cut");
	assert_int_equal(in_states(&f, KEY), 2);
	close_conn(&f);
}

static void
what_is_undone_leaves_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_secrets(&f, true);
	ask(&f, "set " NEXT);
	client_says(&f, "late" KEY);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	assert_true(handoff__record_commit(f.rec)->flags & HANDOFF__WAITING);
	assert_int_equal(in_states(&f, KEY), 0);
	assert_true(in_states(&f, NEXT) > 0);
	close_conn(&f);
	open_secrets(&f, true);
	ask(&f, "set " NEXT);
	client_says(&f, "fail" KEY);
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	assert_int_equal(in_states(&f, KEY), 0);
	close_conn(&f);
}

static void
nothing_is_left_of_an_ended_connection(void **state)
{
	struct fixture f;

	(void)state;
	open_secrets(&f, true);
	ask(&f, "set " KEY);
	client_says(&f, "quit" NEXT);
	client_ends_sending(&f);
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	handoff__arena_clear(&f.arena, 0, 0);
	assert_int_equal(in_states(&f, KEY), 0);
	assert_int_equal(in_states(&f, NEXT), 0);
	assert_int_equal(in_buffers(&f, KEY), 0);
	assert_int_equal(in_buffers(&f, NEXT), 0);
	close_conn(&f);
}

static const struct CMUnitTest tests[] = {
	handoff_test(replaced_key_is_gone),
	handoff_test(state_that_shrinks_leaves_nothing),
	handoff_test(other_services_pay_nothing),
	handoff_test(what_is_undone_leaves_nothing),
	handoff_test(nothing_is_left_of_an_ended_connection),
};

int
main(void)
{
	return cmocka_run_group_tests_name("secrets", tests, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "secrets on a desk", tests, on_a_desk, NULL);
}
