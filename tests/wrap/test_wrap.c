/* SPDX-License-Identifier: MIT */
/*
 * What each call does for an inner service, in the turns of one connection:
 * the toy stands for every service that wraps another one.
 */
#include "wrap/wrapped.h"

#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define INNER_KEY "0123456789abcdef0123456789ABCDEF"

/* What the inner service of a test has seen, and does. */
static struct {
	enum handoff_conn_reason reasons[64];
	unsigned calls, hooks;
	bool eof;
	size_t room, wrote, consume;
	int returns;
	uint64_t id, request, received, sent;
	enum handoff_end_reason ended;
	char text[128];
} seen;

static void
begin(struct wrapped *w, handoff_handle_fn *handle)
{
	memset(&seen, 0, sizeof(seen));
	wrapped_init(w, handle);
}

static void
note(struct handoff_conn *conn)
{
	assert_true(seen.calls < 64);
	seen.reasons[seen.calls++] = handoff_conn_reason(conn);
	seen.eof = handoff_conn_eof(conn);
	seen.room = handoff_conn_room(conn);
	seen.id = handoff_conn_id(conn);
	seen.request = handoff_conn_request(conn);
	handoff_conn_progress(conn, &seen.received, &seen.sent);
}

/* Sends back whole lines, one a call. "quit" ends it, "abort" at once, "fail"
 * fails, and each line is counted at the beginning of the state. */
static int
line(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	size_t n = end ? (size_t)(end - input) + 1 : 0;

	(void)arg;
	note(conn);
	if (n == 0 || n > handoff_conn_room(conn))
		return 0;
	assert_int_equal(handoff_conn_consume(conn, len + 1), -EINVAL);
	handoff_conn_write(conn, input, n);
	handoff_conn_consume(conn, n);
	if (handoff_conn_state(conn))
		++*(unsigned char *)handoff_conn_state(conn);
	if (strncmp(input, "quit", 4) == 0)
		handoff_conn_close(conn);
	if (strncmp(input, "abort", 5) == 0)
		handoff_conn_abort(conn);
	return strncmp(input, "fail", 4) == 0 ? -EPROTO : 0;
}

static unsigned
count_of(const struct wrapped *w)
{
	const struct handoff__commit *c = handoff__record_commit(w->f.rec);
	const unsigned char *state = handoff__record_state(
		&w->f.view, handoff__record_sequence(w->f.rec) & 1);
	size_t at = w->toy.inner_last ? 48 + SIZE : 48;

	assert_true(c->state_len > at);
	return state[at];
}

static void
each_way(void (*test)(struct wrapped *w, bool last))
{
	struct wrapped w;

	begin(&w, line);
	test(&w, false);
	begin(&w, line);
	w.toy.inner_last = true;
	test(&w, true);
}

/* Several in one frame, one in several frames, one in pieces. */
static void
run_lines(struct wrapped *w, bool last)
{
	wrapped_open(w);
	w->toy.inner_last = last;
	wrapped_says(w, 'd', "one\ntwo\nthr");
	assert_int_equal(turns(&w->f), HANDOFF__TURN_WAIT);
	wrapped_hears(w, "one\ntwo\n", "dd");
	assert_int_equal(count_of(w), 2);
	wrapped_says(w, 'd', "e");
	turns(&w->f);
	wrapped_hears(w, "", "");
	wrapped_says(w, 'd', "e\n");
	turns(&w->f);
	wrapped_hears(w, "three\n", "d");
	assert_int_equal(count_of(w), 3);
	assert_int_equal(handoff__record_unread(w->f.rec), 0);
	wrapped_close(w);
}

static void
lines_come_and_go(void **state)
{
	(void)state;
	each_way(run_lines);
}

static void
service_without_state_gets_none(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, line);
	w.inner.state_size = 0;
	wrapped_open(&w);
	wrapped_says(&w, 'd', "one\n");
	turns(&w.f);
	wrapped_hears(&w, "one\n", "d");
	wrapped_close(&w);
}

/* What is held is unread input: after the one call a transaction, another. */
static void
what_is_held_is_seen_again(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, line);
	wrapped_open(&w);
	wrapped_says(&w, 'd', "1\n2\n3\n4\n5\n");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_WAIT);
	wrapped_hears(&w, "1\n2\n3\n4\n5\n", "ddddd");
	/* and no more often than it would be for a plain one */
	assert_true(seen.calls <= 7);
	assert_int_equal(w.f.rec->activity, HANDOFF__AT_REST);
	wrapped_says(&w, 'd', "6");
	turn(&w.f, EPOLLIN);
	assert_true(
		handoff__record_commit(w.f.rec)->flags & HANDOFF__HOLDS_INPUT);
	seen.calls = 0;
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_WAIT);
	assert_true(seen.calls <= 1);
	wrapped_close(&w);
}

static int
greet_inner(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	note(conn);
	handoff_conn_write(conn, "hello\n", 6);
	return 0;
}

/* The end of the inner stream is not that of the connection. */
static void
reasons_are_its_own(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, line);
	wrapped_open(&w);
	wrapped_says(&w, 'd', "a");
	turn(&w.f, EPOLLIN);
	assert_int_equal(seen.reasons[0], HANDOFF_CONN_INPUT);
	assert_false(seen.eof);
	wrapped_says(&w, 'e', "");
	turn(&w.f, EPOLLIN);
	assert_int_equal(seen.reasons[seen.calls - 1], HANDOFF_CONN_END);
	assert_true(seen.eof);
	wrapped_close(&w);
	begin(&w, line);
	w.inner.open = greet_inner;
	wrapped_open(&w);
	turn(&w.f, 0);
	assert_int_equal(seen.reasons[0], HANDOFF_CONN_OPEN);
	wrapped_hears(&w, "hello\n", "d");
	wrapped_close(&w);
}

static int
fill(struct handoff_conn *conn, void *arg)
{
	static const char data[SIZE];
	size_t len;

	(void)arg;
	note(conn);
	handoff_conn_input(conn, &len);
	if (len == 0)
		return 0;
	seen.wrote = handoff_conn_write(conn, data, sizeof(data));
	assert_int_equal(handoff_conn_room(conn), 0);
	assert_int_equal(handoff_conn_write(conn, "x", 1), 0);
	return handoff_conn_consume(conn, 1);
}

static void
room_is_what_the_frame_leaves(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, fill);
	wrapped_open(&w);
	shrink(&w.f);
	wrapped_says(&w, 'd', "123456789");
	turn(&w.f, EPOLLIN);
	assert_int_equal(seen.wrote, SIZE - TOY_HEAD);
	/* the client takes nothing: then it is called for room */
	for (int i = 0;
		i < 9 && seen.reasons[seen.calls - 1] != HANDOFF_CONN_ROOM;
		i++) {
		char data[SIZE];

		assert_true(read(w.f.client, data, sizeof(data)) > 0);
		turn(&w.f, EPOLLOUT);
	}
	assert_int_equal(seen.reasons[seen.calls - 1], HANDOFF_CONN_ROOM);
	wrapped_close(&w);
}

static void
close_and_abort_are_acted_on(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, line);
	wrapped_open(&w);
	wrapped_says(&w, 'd', "quit\nmore\n");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_LINGER);
	wrapped_hears(&w, "quit\n", "d");
	wrapped_close(&w);
	begin(&w, line);
	wrapped_open(&w);
	wrapped_says(&w, 'd', "abort\nmore\n");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(w.f.result.end, HANDOFF__END_SERVICE);
	assert_true(handoff__record_commit(w.f.rec)->flags & HANDOFF__RESET);
	wrapped_hears(&w, "", "");
	wrapped_close(&w);
}

/* All of it: the state of both, what was decoded, what was written. */
static void
failure_undoes_all(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, line);
	wrapped_open(&w);
	wrapped_says(&w, 'd', "one\n");
	turn(&w.f, EPOLLIN);
	wrapped_hears(&w, "one\n", "d");
	wrapped_says(&w, 'd', "fail\n");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(w.f.result.end, HANDOFF__END_HANDLER);
	assert_int_equal(count_of(&w), 1);
	assert_int_equal(handoff__record_unread(w.f.rec), TOY_HEAD + 5);
	wrapped_hears(&w, "", "");
	wrapped_close(&w);
}

static int
resize(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	unsigned char *s;

	(void)arg;
	for (size_t i = 0; i < len; i++) {
		size_t size = (size_t)(input[i] - 'a');
		size_t now = handoff_conn_state_len(conn);

		s = handoff_conn_state_resize(conn, size);
		if (size > 32) {
			assert_null(s);
			assert_int_equal(handoff_conn_state_len(conn), now);
			continue;
		}
		assert_int_equal((uintptr_t)s % 16, 0);
		for (size_t k = now; k < size; k++)
			assert_int_equal(s[k], 0);
		for (size_t k = 0; k < now && k < size; k++)
			assert_int_equal(s[k], 0xee);
		memset(s, 0xee, size);
		assert_int_equal(handoff_conn_state_len(conn), size);
	}
	return handoff_conn_consume(conn, len);
}

static void
state_grows_and_shrinks_alone(struct wrapped *w, bool last)
{
	w->inner.handle = resize;
	w->inner.state_grows = true;
	wrapped_open(w);
	w->toy.inner_last = last;
	/* 'a' is 0 bytes, 'A' + 32 */
	wrapped_says(w, 'd', "fkbpz");
	assert_int_equal(turn(&w->f, EPOLLIN), HANDOFF__TURN_WAIT);
	wrapped_says(w, 'd', "abzyc");
	assert_int_equal(turn(&w->f, EPOLLIN), HANDOFF__TURN_WAIT);
	wrapped_close(w);
}

static void
state_has_its_own_length(void **state)
{
	(void)state;
	each_way(state_grows_and_shrinks_alone);
}

/* 'k' stores a key, anything else cuts it off. */
static int
keep_key(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	(void)arg;
	for (size_t i = 0; i < len; i++) {
		if (input[i] == 'k')
			memcpy(handoff_conn_state_resize(conn, 32), INNER_KEY,
				32);
		else
			handoff_conn_state_resize(conn, 0);
	}
	return handoff_conn_consume(conn, len);
}

static bool
has_key(const struct wrapped *w)
{
	return memmem(handoff__record_state(&w->f.view, 0),
		       2 * (size_t)w->f.view.seg->geo.state_size, INNER_KEY,
		       32) != NULL;
}

static void
inner_key_is_erased(struct wrapped *w, bool last)
{
	w->inner.handle = keep_key;
	w->inner.state_grows = w->inner.secret = true;
	wrapped_open(w);
	w->f.arena.secret = true;
	w->toy.inner_last = last;
	wrapped_says(w, 'd', "k");
	assert_int_equal(turn(&w->f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_true(has_key(w));
	wrapped_says(w, 'd', "-");
	assert_int_equal(turn(&w->f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_false(has_key(w));
	assert_int_equal(
		handoff__record_commit(w->f.rec)->flags & HANDOFF__TRANSIENT,
		0);
	wrapped_close(w);
}

static void
secrets_of_an_inner_service_are_erased(void **state)
{
	(void)state;
	each_way(inner_key_is_erased);
}

static int
set_all(struct handoff_conn *conn, void *arg)
{
	char address[HANDOFF_ADDRESS_MAX];
	size_t len;

	(void)arg;
	note(conn);
	handoff_conn_input(conn, &len);
	if (seen.reasons[seen.calls - 1] == HANDOFF_CONN_DEADLINE)
		handoff_conn_close(conn);
	if (len == 0)
		return 0;
	assert_int_equal(handoff_conn_label(conn, "labelled"), 0);
	handoff_conn_set_tag(conn, 77);
	assert_int_equal(handoff_conn_deadline(conn, 1), 0);
	assert_int_equal(handoff_conn_hold(conn, 60000), 0);
	assert_int_equal(handoff_conn_peer(conn, address, sizeof(address)), 0);
	assert_string_equal(address, "unix:");
	assert_int_equal(
		handoff_conn_connect(conn, "127.0.0.1:1"), -EOPNOTSUPP);
	assert_int_equal(handoff_conn_pass(conn, "x", 1), 0);
	assert_int_equal(handoff_conn_pass_room(conn), 0);
	assert_int_equal(handoff_conn_pair(conn), 0);
	assert_int_equal(handoff_conn_pair_error(conn), -ENOTCONN);
	assert_false(handoff_conn_outgoing(conn));
	handoff_conn_pass_end(conn);
	assert_null(handoff_conn_posted(conn));
	return handoff_conn_consume(conn, len);
}

static void
what_is_beside_the_stream_is_the_connections(void **state)
{
	char label[HANDOFF__LABEL_MAX];
	struct wrapped w;

	(void)state;
	begin(&w, set_all);
	wrapped_open(&w);
	wrapped_says(&w, 'd', "x");
	turn(&w.f, EPOLLIN);
	handoff__record_label(w.f.rec, label);
	assert_string_equal(label, "labelled");
	assert_int_equal(atomic_load(&w.f.rec->extra.tag), 77);
	assert_true(atomic_load(&w.f.rec->extra.hold_ms) > handoff__boot_ms());
	assert_int_equal(seen.id, 1);
	assert_int_equal(seen.received, TOY_HEAD + 1);
	assert_true(handoff__record_deadline(w.f.rec) > 0);
	while (handoff__boot_ms() < handoff__record_deadline(w.f.rec))
		usleep(100);
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_LINGER);
	assert_int_equal(seen.reasons[seen.calls - 1], HANDOFF_CONN_DEADLINE);
	assert_int_equal(handoff__record_deadline(w.f.rec), 0);
	assert_int_equal(
		(handoff__record_commit(w.f.rec)->flags & HANDOFF__END) >>
			HANDOFF__END_SHIFT,
		HANDOFF_ENDED_DEADLINE);
	wrapped_close(&w);
}

static void
end_inner(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	size_t len;

	(void)arg;
	note(conn);
	handoff_conn_input(conn, &len);
	assert_int_equal(len, 0);
	assert_int_equal(handoff_conn_write(conn, "x", 1), 0);
	seen.ended = reason;
	seen.hooks++;
	seen.text[0] = *(const char *)handoff_conn_state(conn);
}

static void
ended_runs_once(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, line);
	w.inner.ended = end_inner;
	wrapped_open(&w);
	wrapped_says(&w, 'd', "one\nmore");
	turn(&w.f, EPOLLIN);
	close(w.f.client);
	w.f.client = -1;
	while (turn(&w.f, EPOLLIN) != HANDOFF__TURN_END)
		;
	assert_int_equal(seen.hooks, 1);
	assert_int_equal(seen.text[0], 1);
	assert_int_equal(seen.reasons[seen.calls - 1], HANDOFF_CONN_ENDED);
	assert_true(seen.ended == HANDOFF_ENDED_CLIENT ||
		    seen.ended == HANDOFF_ENDED_ERROR);
	wrapped_close(&w);
}

/* Wrapped twice; the frames of frames are the outer toy's. */
static void
wrapped_service_can_be_wrapped(void **state)
{
	struct wrapped w;
	struct toy outer;
	unsigned char frame[TOY_HEAD + 8];

	(void)state;
	begin(&w, line);
	toy_init(&w.toy, &w.inner, SIZE);
	toy_init(&outer, &w.toy.service, SIZE);
	open_service(&w.f, &outer.service);
	for (int i = 0; i < 2; i++) {
		toy_head(frame, 'd', 8);
		memcpy(frame + TOY_HEAD, "one\ntwo\n", 8);
		toy_mask(frame + TOY_HEAD, 8);
		wrapped_sends(&w, 'd', frame, sizeof(frame));
		assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_WAIT);
	}
	/* of the last line, and not of a byte of a frame */
	assert_int_equal(seen.request, 13);
	assert_int_equal(handoff__record_commit(w.f.rec)->flags &
				 (HANDOFF__WISH | HANDOFF__HOLDS_INPUT),
		0);
	for (int i = 0; i < 4; i++) {
		unsigned char got[2 * TOY_HEAD + 4];
		uint32_t len;

		assert_int_equal(
			read(w.f.client, got, sizeof(got)), sizeof(got));
		assert_int_equal(toy_parse(got, &len), 'd');
		assert_int_equal(len, TOY_HEAD + 4);
		toy_mask(got + TOY_HEAD, len);
		assert_int_equal(toy_parse(got + TOY_HEAD, &len), 'd');
		toy_mask(got + 2 * TOY_HEAD, len);
		assert_memory_equal(
			got + 2 * TOY_HEAD, i % 2 ? "two\n" : "one\n", 4);
	}
	wrapped_close(&w);
}

/* The ring's end at every offset of a frame. */
static void
frames_wrap_around_the_ring(void **state)
{
	unsigned char scratch[SIZE];
	struct wrapped w;
	char text[101];

	(void)state;
	for (int way = 0; way < 2; way++) {
		begin(&w, line);
		w.toy.scratch = way == 0 ? NULL : scratch;
		wrapped_open(&w);
		for (int i = 0; i < 300; i++) {
			struct handoff__commit *c = &w.f.rec->commit[0];

			seen.calls = 0;
			memset(text, 'a' + i % 26, 100);
			text[100] = '\0';
			text[(i * 7) % 95 + 4] = '\n';
			text[(i * 7) % 95 + 5] = '\0';
			/* as if the ring had never been empty */
			c[handoff__record_sequence(w.f.rec) & 1].tx_origin =
				handoff__tx_tail(w.f.rec) - (unsigned)i % SIZE;
			wrapped_says(&w, 'd', text);
			turn(&w.f, EPOLLIN);
			wrapped_hears(&w, text, "d");
		}
		wrapped_close(&w);
	}
}

static struct handoff_wrap_call bad;

static int
call_badly(struct handoff_conn *conn, void *arg)
{
	struct wrapped *w = arg;
	struct handoff_wrap_result result = {.size = sizeof(result)};
	size_t len = handoff_conn_state_len(conn);

	if (!bad.service)
		bad.service = &w->inner;
	assert_int_equal(handoff_conn_consume(conn, 0), 0);
	seen.returns = handoff_wrap_run(conn, &bad, &result);
	assert_int_equal(handoff_conn_state_len(conn), len);
	return 0;
}

static int
bad_call(struct handoff_wrap_call call)
{
	struct wrapped w;

	begin(&w, line);
	wrapped_open(&w);
	w.f.service.handle = call_badly;
	w.f.service.arg = &w;
	w.f.service.state_grows = false;
	handoff__record_use_state(&w.f.view, 96);
	bad = call;
	client_says(&w.f, "x");
	turn(&w.f, EPOLLIN);
	wrapped_close(&w);
	return seen.returns;
}

#define CALL(...)                                                              \
	bad_call((struct handoff_wrap_call){                                   \
		.size = sizeof(struct handoff_wrap_call), __VA_ARGS__})

static void
calls_are_checked(void **state)
{
	static struct handoff_service paired = {
		.size = sizeof(paired), .pass_size = 4096};

	(void)state;
	assert_int_equal(CALL(.state_at = 64, .state_len = 32,
				 .hook = HANDOFF_WRAP_HANDLE),
		0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(CALL(.state_at = 60, .state_len = 32), -EINVAL);
	assert_int_equal(CALL(.state_at = 64, .state_len = 33), -EINVAL);
	assert_int_equal(CALL(.state_at = 80, .state_len = 32), -EINVAL);
	assert_int_equal(CALL(.state_at = 80, .state_len = 10), -EINVAL);
	assert_int_equal(CALL(.state_at = 1u << 30, .state_len = 0), -EINVAL);
	assert_int_equal(CALL(.state_at = SIZE_MAX - 15), -EINVAL);
	assert_int_equal(CALL(.state_at = 64, .state_len = 32,
				 .hook = (enum handoff_wrap_hook)5),
		-EINVAL);
	assert_int_equal(CALL(.state_at = 64, .state_len = 32,
				 .hook = HANDOFF_WRAP_HANDLE,
				 .reason = HANDOFF_CONN_PAIR),
		-EINVAL);
	assert_int_equal(CALL(.state_at = 64, .state_len = 32,
				 .hook = HANDOFF_WRAP_POSTED),
		-EINVAL);
	assert_int_equal(
		CALL(.service = &paired, .hook = HANDOFF_WRAP_HANDLE), -EINVAL);
	assert_int_equal(
		CALL(.state_at = 64, .state_len = 32, .input_len = 1), -EINVAL);
	assert_int_equal(seen.calls, 0);
	assert_int_equal(
		bad_call((struct handoff_wrap_call){.size = 8}), -EINVAL);
}

static int
misuse_output(struct handoff_conn *conn, void *arg)
{
	struct iovec pieces[2];
	uint64_t at = conn->next->tx_head;
	size_t len;

	(void)arg;
	handoff_conn_input(conn, &len);
	if (len == 0)
		return 0;
	handoff_conn_consume(conn, len);
	handoff_conn_write(conn, "abcdef", 6);
	assert_int_equal(handoff_wrap_output(conn, at, 6, pieces), 1);
	assert_int_equal(handoff_wrap_output(conn, at, 0, pieces), 0);
	assert_int_equal(handoff_wrap_output(conn, at + 6, 0, pieces), 0);
	assert_int_equal(handoff_wrap_output(conn, at, 7, pieces), -EINVAL);
	assert_int_equal(handoff_wrap_output(conn, at + 7, 0, pieces), -EINVAL);
	assert_int_equal(
		handoff_wrap_output(conn, at, SIZE_MAX, pieces), -EINVAL);
	assert_int_equal(handoff_wrap_fill(conn, at + 4, "xyz", 3), -EINVAL);
	assert_int_equal(handoff_wrap_fill(conn, at + 4, NULL, 1), -EINVAL);
	if (at > 0)
		assert_int_equal(
			handoff_wrap_fill(conn, at - 1, "x", 1), -EINVAL);
	assert_int_equal(handoff_wrap_fill(conn, at + 1, "BC", 2), 0);
	return 0;
}

static void
only_this_transactions_output_is_changed(void **state)
{
	struct fixture f;

	(void)state;
	open_conn(&f, misuse_output, NULL);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	client_hears(&f, "aBCdef", false);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	client_hears(&f, "aBCdef", false);
	close_conn(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(lines_come_and_go),
		handoff_test(service_without_state_gets_none),
		handoff_test(what_is_held_is_seen_again),
		handoff_test(reasons_are_its_own),
		handoff_test(room_is_what_the_frame_leaves),
		handoff_test(close_and_abort_are_acted_on),
		handoff_test(failure_undoes_all),
		handoff_test(state_has_its_own_length),
		handoff_test(secrets_of_an_inner_service_are_erased),
		handoff_test(what_is_beside_the_stream_is_the_connections),
		handoff_test(ended_runs_once),
		handoff_test(wrapped_service_can_be_wrapped),
		handoff_test(frames_wrap_around_the_ring),
		handoff_test(calls_are_checked),
		handoff_test(only_this_transactions_output_is_changed),
	};

	if (cmocka_run_group_tests_name("no desk", tests, on_no_desk, NULL) > 0)
		return 1;
	return cmocka_run_group_tests_name("a desk", tests, on_a_desk, NULL);
}
