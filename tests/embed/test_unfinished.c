/* SPDX-License-Identifier: MIT */
/*
 * A socket that a ferry has left incomplete, for a program with a loop of its
 * own: it does not get the entry before the rest has been sent, so it can
 * neither write to it nor end it. The test sends what the ferry has to.
 */
#include "embed/stream.h"

#include "embed/embed.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REST "and the rest"

/* The positions of such a program are not in the record. */
static void
owe(struct stream *s, uint64_t end)
{
	struct handoff__record *rec = s->entry->entry.view.rec;

	assert_int_equal(send(s->fd, "an answer, ", 11, MSG_NOSIGNAL), 11);
	assert_int_equal(handoff__tx_tail(rec), 0);
	atomic_store(&rec->extra.owed, (11 + strlen(REST)) | end);
	handoff__entry_begin(&s->entry->entry);
}

static void
finish(const struct stream *s)
{
	assert_int_equal(
		send(s->fd, REST, strlen(REST), MSG_NOSIGNAL), strlen(REST));
}

static void
give(struct stream *s)
{
	assert_int_equal(handoff_peer_give(s->p.a.peer), 0);
	pair_expect(&s->p, &s->p.a, HANDOFF_PEER_RELEASE);
	assert_int_equal(handoff_entry_release(s->entry), 0);
	pair_expect(&s->p, &s->p.a, HANDOFF_PEER_GAVE);
}

/* For long enough that it is looked at several times. */
static void
assert_not_taken(struct stream *s)
{
	for (int i = 0; i < 20; i++) {
		pair_settle(&s->p);
		while (side_next(&s->p.b))
			assert_int_not_equal(
				s->p.b.event.type, HANDOFF_PEER_TAKEN);
	}
}

static void
expect_text(const struct stream *s, const char *text)
{
	char got[64];
	size_t len = strlen(text);

	assert_int_equal(recv(s->client, got, len, MSG_WAITALL), len);
	assert_memory_equal(got, text, len);
}

static void
take(struct stream *s)
{
	int fd;

	s->entry = pair_expect(&s->p, &s->p.b, HANDOFF_PEER_TAKEN);
	fd = s->p.b.event.fd;
	assert_false(handoff__entry_marked(&s->entry->entry));
	assert_int_equal(s->entry->entry.view.rec->extra.owed, 0);
	assert_int_equal(send(fd, "!", 1, MSG_NOSIGNAL), 1);
	close(fd);
}

static void
entry_is_taken_when_it_is_complete(void **state)
{
	struct stream s;

	(void)state;
	open_stream(&s);
	owe(&s, 0);
	give(&s);
	assert_not_taken(&s);
	assert_non_null(strstr(s.p.b.logged, "its socket is not complete"));
	assert_null(handoff_peer_find(s.p.b.peer, ""));
	finish(&s);
	take(&s);
	expect_text(&s, "an answer, " REST "!");
	close_stream(&s);
}

/* The program has ended its side, and does not do it again. */
static void
the_end_is_owed_as_well(void **state)
{
	struct stream s;
	char byte;
	int fd;

	(void)state;
	open_stream(&s);
	owe(&s, HANDOFF__OWED_END);
	give(&s);
	finish(&s);
	assert_not_taken(&s);
	assert_int_equal(shutdown(s.fd, SHUT_WR), 0);
	pair_expect(&s.p, &s.p.b, HANDOFF_PEER_TAKEN);
	fd = s.p.b.event.fd;
	expect_text(&s, "an answer, " REST);
	assert_int_equal(recv(s.client, &byte, 1, 0), 0);
	close(fd);
	close_stream(&s);
}

/* Others do not wait for it, but for those that come together with it. */
static void
only_its_companions_wait(void **state)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = HANDOFF_ENTRY_CONNECTION};
	struct handoff_entry *with, *alone;
	struct stream s;
	int others[2];

	(void)state;
	open_stream(&s);
	owe(&s, 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, others), 0);
	opts.fd = others[0];
	opts.name = "with";
	opts.with = s.entry;
	assert_int_equal(handoff_peer_deposit(s.p.a.peer, &with, &opts), 0);
	opts.fd = others[1];
	opts.name = "alone";
	opts.with = NULL;
	assert_int_equal(handoff_peer_deposit(s.p.a.peer, &alone, &opts), 0);
	pair_settle(&s.p);
	assert_int_equal(handoff_peer_give(s.p.a.peer), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(handoff_entry_release(pair_expect(
					 &s.p, &s.p.a, HANDOFF_PEER_RELEASE)),
			0);
	pair_expect(&s.p, &s.p.b, HANDOFF_PEER_TAKEN);
	assert_string_equal(handoff_entry_name(s.p.b.event.entry), "alone");
	close(s.p.b.event.fd);
	assert_not_taken(&s);
	finish(&s);
	take(&s);
	pair_expect(&s.p, &s.p.b, HANDOFF_PEER_TAKEN);
	assert_string_equal(handoff_entry_name(s.p.b.event.entry), "with");
	close(s.p.b.event.fd);
	close(others[0]);
	close(others[1]);
	close_stream(&s);
}

/* It was never given to the program, which ends: its client does not take what
 * has come for the whole stream. */
static void
entry_is_reset_with_its_peer(void **state)
{
	struct stream s;
	char byte;

	(void)state;
	open_stream(&s);
	owe(&s, 0);
	give(&s);
	close(s.fd);
	s.fd = -1;
	handoff_peer_free(s.p.a.peer);
	s.p.a.peer = NULL;
	pair_expect(&s.p, &s.p.b, HANDOFF_PEER_LEFT);
	handoff_peer_free(s.p.b.peer);
	s.p.b.peer = NULL;
	expect_text(&s, "an answer, ");
	assert_int_equal(recv(s.client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(s.client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(entry_is_taken_when_it_is_complete),
		handoff_test(the_end_is_owed_as_well),
		handoff_test(only_its_companions_wait),
		handoff_test(entry_is_reset_with_its_peer),
	};

	return cmocka_run_group_tests_name("unfinished", tests, NULL, NULL);
}
