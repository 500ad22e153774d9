/* SPDX-License-Identifier: MIT */
/*
 * Input that was read and not committed is found again, as far as it can be
 * what it is taken for. What a death leaves is made by hand;
 * tests/fault/loops.py kills.
 */
#include "embed/stream.h"

#include "embed/embed.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 8064u

static void
assert_read(const struct stream *s, uint64_t at, const char *wanted)
{
	char buf[64];
	size_t len = 1000;

	assert_int_equal(
		handoff_entry_read(s->entry, at, buf, sizeof(buf), &len), 1);
	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(buf, wanted, len);
}

/* What mend and recover say to a state with input up to `at`; "" if nothing is
 * missing, NULL if it is lost. */
static void
assert_missing(const struct stream *s, uint64_t at, const char *wanted)
{
	const void *data = NULL;
	size_t sent = 99, len = 99;
	bool missing = !wanted || wanted[0] != '\0';

	assert_int_equal(handoff_entry_mend(s->entry, at, 0, 0, &sent),
		missing ? -ENODATA : 0);
	assert_int_equal(handoff_entry_recover(s->entry, at, &data, &len),
		!wanted ? -ENODATA : missing);
	if (wanted && missing) {
		assert_int_equal(len, strlen(wanted));
		assert_memory_equal(data, wanted, len);
	}
}

static void
commit(const struct stream *s, const char *state)
{
	assert_int_equal(
		handoff_entry_update(s->entry, state, strlen(state)), 0);
}

static void
input_is_found_until_it_is_committed(void **state)
{
	struct stream s;
	size_t len = 99;
	char byte;

	(void)state;
	open_stream(&s);
	assert_int_equal(handoff_entry_read(s.entry, 0, &byte, 1, &len), 0);
	put(&s, "question");
	assert_missing(&s, 0, "");
	assert_read(&s, 0, "question");
	assert_progress(&s, 8, 0);
	assert_missing(&s, 0, "question");
	put(&s, "?next");
	assert_read(&s, 8, "?next");
	assert_missing(&s, 0, "question?next");
	/* as often as it takes */
	assert_missing(&s, 0, "question?next");
	commit(&s, "13");
	assert_missing(&s, 13, "");
	put(&s, "more");
	assert_read(&s, 13, "more");
	assert_missing(&s, 13, "more");
	assert_missing(&s, 17, "");
	shutdown(s.client, SHUT_WR);
	assert_true(support_poll(s.fd, POLLIN));
	assert_read(&s, 17, "");
	assert_missing(&s, 17, "");
	close_stream(&s);
}

/* Its owner dies between the call and what the library notes after it. */
static void
bytes_count_by_the_kernel(void **state)
{
	struct stream s;

	(void)state;
	open_stream(&s);
	put(&s, "question");
	assert_read(&s, 0, "question");
	s.entry->entry.view.rec->extra.inbox_len = 3;
	assert_missing(&s, 0, "question");
	put(&s, "?next");
	assert_read(&s, 8, "?next");
	assert_missing(&s, 0, "question?next");
	close_stream(&s);
}

/* Then it is not known where it is. */
static void
commit_without_the_input_loses_it(void **state)
{
	struct stream s;

	(void)state;
	open_stream(&s);
	put(&s, "question");
	assert_read(&s, 0, "question");
	commit(&s, "0");
	assert_missing(&s, 0, "question"); /* nothing is over it yet */
	put(&s, "?next");
	s.entry->entry.view.rec->extra.inbox_sequence--;
	assert_read(&s, 8, "?next");
	assert_missing(&s, 0, NULL);
	assert_missing(&s, 8, "?next");
	close_stream(&s);
}

static void
other_reads_are_not_taken_for_it(void **state)
{
	struct stream s;
	size_t len;
	char buf[8];

	(void)state;
	open_stream(&s);
	put(&s, "question");
	assert_int_equal(recv(s.fd, buf, 8, 0), 8);
	assert_missing(&s, 0, NULL);
	put(&s, "more");
	assert_read(&s, 8, "more");
	/* a hole, or what was read already */
	assert_int_equal(
		handoff_entry_read(s.entry, 13, buf, 8, &len), -EINVAL);
	assert_int_equal(handoff_entry_read(s.entry, 8, buf, 8, &len), -EINVAL);
	assert_missing(&s, 12, "");
	/* mended: what is read now is no part of what was there */
	put(&s, "abcd");
	assert_int_equal(recv(s.fd, buf, 4, 0), 4);
	assert_missing(&s, 12, NULL);
	assert_missing(&s, 8, NULL);
	close_stream(&s);
}

static void
room_is_for_what_is_not_committed(void **state)
{
	static char data[2 * ROOM], buf[2 * ROOM];
	const void *found;
	struct stream s;
	uint64_t at = 0;
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
	open_stream(&s);
	assert_int_equal(send(s.client, data, sizeof(data), 0), sizeof(data));
	for (; at < ROOM; at += len) {
		assert_true(support_poll(s.fd, POLLIN));
		assert_int_equal(handoff_entry_read(s.entry, at, buf + at,
					 sizeof(buf) - at, &len),
			1);
	}
	assert_int_equal(at, ROOM);
	assert_int_equal(
		handoff_entry_read(s.entry, at, buf, 1, &len), -ENOBUFS);
	assert_int_equal(handoff_entry_recover(s.entry, 0, &found, &len), 1);
	assert_int_equal(len, ROOM);
	assert_memory_equal(found, data, ROOM);
	assert_memory_equal(buf, data, ROOM);
	commit(&s, "all");
	assert_int_equal(handoff_entry_read(s.entry, at, buf, 1, &len), 1);
	assert_int_equal(buf[0], data[ROOM]);
	close_stream(&s);
}

static void
handoff_forgets_it(void **state)
{
	struct stream s;
	struct handoff_entry *e;
	char buf[8];

	(void)state;
	open_stream(&s);
	put(&s, "question");
	assert_read(&s, 0, "question");
	commit(&s, "8");
	assert_int_equal(handoff_peer_give(s.p.a.peer), 0);
	e = pair_expect(&s.p, &s.p.a, HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(e), 0);
	s.entry = pair_expect(&s.p, &s.p.b, HANDOFF_PEER_TAKEN);
	put(&s, "more");
	assert_int_equal(recv(s.fd, buf, 4, 0), 4);
	assert_missing(&s, 8, NULL);
	assert_missing(&s, 0, NULL);
	close(s.p.b.event.fd);
	close_stream(&s);
}

static void
only_connections_have_one(void **state)
{
	struct stream s = {.fd = -1};
	const void *data;
	size_t len;
	char buf[8];

	(void)state;
	pair_open(&s.p);
	s.entry = side_deposit(&s.p.a, &s.fd, &s.client, "named", "");
	put(&s, "question");
	assert_read(&s, 0, "question");
	assert_string_equal(handoff_entry_name(s.entry), "named");
	assert_int_equal(
		handoff_entry_recover(s.entry, 0, &data, &len), -EOPNOTSUPP);
	assert_int_equal(handoff_entry_read(NULL, 0, buf, 8, &len), -EINVAL);
	assert_int_equal(handoff_entry_recover(NULL, 0, &data, &len), -EINVAL);
	close_stream(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(input_is_found_until_it_is_committed),
		handoff_test(bytes_count_by_the_kernel),
		handoff_test(commit_without_the_input_loses_it),
		handoff_test(other_reads_are_not_taken_for_it),
		handoff_test(room_is_for_what_is_not_committed),
		handoff_test(handoff_forgets_it),
		handoff_test(only_connections_have_one),
	};

	return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
