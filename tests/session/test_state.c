/* SPDX-License-Identifier: MIT */
/*
 * What a session has in its record, seen from elsewhere: in a dump, by a newer
 * program, damaged; and the count of wrong tokens.
 */
#include "session/user.h"

#include "session/guesses.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned char *
state_of(const struct user *u)
{
	return handoff__record_state(
		&u->f.view, handoff__record_sequence(u->f.rec) & 1);
}

static size_t
len_of(const struct user *u)
{
	return handoff__record_commit(u->f.rec)->state_len;
}

static int
print(const void *state, char *text, size_t size, void *arg)
{
	(void)arg;
	snprintf(text, size, "count %d", *(const unsigned char *)state);
	return 0;
}

static int
fail_to_print(const void *state, char *text, size_t size, void *arg)
{
	(void)state;
	(void)arg;
	snprintf(text, size, "half a sent");
	return -EIO;
}

/* Whether the bytes are in the text as hexadecimal digits, or as they are. */
static bool
tells(const char *text, const unsigned char *bytes, size_t len)
{
	char hex[3];

	if (memmem(text, strlen(text), bytes, len))
		return true;
	for (const char *at = text; (at = strchr(at, ' ')); at++) {
		snprintf(hex, sizeof(hex), "%02x", bytes[0]);
		if (strncmp(at + 1, hex, 2) == 0 &&
			strspn(at + 1, "0123456789abcdef") >= 2 * len)
			return true;
	}
	return false;
}

static void
a_dump_never_has_the_token(void **state)
{
	struct user *u = user_of(user_line);
	char text[300];

	(void)state;
	u->inner.print = print;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\ntw");
	assert_int_equal(u->session.service.print(state_of(u), text,
				 sizeof(text), u->session.service.arg),
		0);
	assert_string_equal(text,
		"session 1: resumed 0 times, 6 B received, 4 B sent, 4 B kept, "
		"2 B pending; count 1");
	assert_false(tells(text, u->token, sizeof(u->token)));
	/* a short text is cut off, and never overrun */
	memset(text, 'x', sizeof(text));
	u->session.service.print(state_of(u), text, 20, u->session.service.arg);
	assert_int_equal(strnlen(text, sizeof(text)), 19);
	assert_int_equal(text[20], 'x');
	user_close(u);
	/* a dump shows the bytes of what cannot be described: so it can be */
	u = user_of(user_line);
	u->inner.print = fail_to_print;
	user_open(u);
	user_begins(u);
	assert_int_equal(u->session.service.print(state_of(u), text,
				 sizeof(text), u->session.service.arg),
		0);
	assert_non_null(strstr(text, "; 00 00"));
	/* nor are an inner service's secrets */
	assert_false(u->session.service.secret);
	u->inner.secret = true;
	assert_int_equal(
		handoff_session_service(&u->session, &u->inner, &u->opts), 0);
	assert_true(u->session.service.secret);
	assert_int_equal(u->session.service.print(state_of(u), text,
				 sizeof(text), u->session.service.arg),
		0);
	assert_non_null(strstr(text, "; secret"));
	*(uint32_t *)(void *)state_of(u) = 99;
	assert_int_equal(u->session.service.print(state_of(u), text,
				 sizeof(text), u->session.service.arg),
		0);
	assert_string_equal(text, "damaged");
	user_close(u);
}

/* The newer program's state is a number that was a byte before. */
static int
widen(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	(void)arg;
	assert_int_equal(version, 3);
	assert_int_equal(old_size, 32);
	*(uint64_t *)state = *(const unsigned char *)old;
	return 0;
}

static void
newer(struct handoff_session *session, const struct user *u)
{
	struct handoff_service inner = u->inner;

	inner.state_version = 4;
	inner.state_size = 8;
	inner.convert = widen;
	inner.convert_from = 3;
	assert_int_equal(handoff_session_service(session, &inner, NULL), 0);
	assert_int_equal(
		session->service.state_version, 4 | HANDOFF__SESSION_BIT);
	assert_int_equal(session->service.convert_from, 3);
}

static void
a_session_is_converted_with_its_service(void **state)
{
	static struct handoff_session session;
	struct user *u = user_of(user_line);
	struct handoff__session_head head;
	unsigned char *to;
	uint64_t count;
	size_t used;

	(void)state;
	u->inner.state_version = 3;
	user_open(u);
	user_begins(u);
	user_says_text(u, "one\ntw");
	newer(&session, u);
	to = calloc(1, session.service.state_size);
	assert_non_null(to);
	assert_int_equal(
		session.service.convert(3 | HANDOFF__SESSION_BIT, state_of(u),
			len_of(u), to, session.service.arg),
		0);
	used = handoff__session_used(to, session.service.state_size);
	assert_int_equal(used, len_of(u) - 32 + 8);
	memcpy(&head, to, sizeof(head));
	assert_int_equal(head.mode, HANDOFF__SESSION_ON);
	assert_int_equal(head.inner_len, 8);
	assert_memory_equal(to + sizeof(head), "one\ntw", 6);
	memcpy(&count, to + handoff__session_inner_at(&head), sizeof(count));
	assert_int_equal(count, 1);
	/* of a version that it does not convert, or that is damaged */
	assert_int_equal(
		session.service.convert(2 | HANDOFF__SESSION_BIT, state_of(u),
			len_of(u), to, session.service.arg),
		-EPROTO);
	assert_int_equal(session.service.convert(3 | HANDOFF__SESSION_BIT,
				 state_of(u), 40, to, session.service.arg),
		-EBADMSG);
	free(to);
	user_close(u);
}

static void
a_plain_programs_connections_become_plain_ones(void **state)
{
	static struct handoff_session session;
	struct user *u = user_of(user_line);
	struct handoff__session_head head;
	unsigned char old[32] = {7};
	unsigned char *to;
	uint64_t count;

	(void)state;
	newer(&session, u);
	to = calloc(1, session.service.state_size);
	assert_non_null(to);
	assert_int_equal(session.service.convert(
				 3, old, sizeof(old), to, session.service.arg),
		0);
	memcpy(&head, to, sizeof(head));
	assert_int_equal(head.mode, HANDOFF__SESSION_PLAIN);
	memcpy(&count, to + handoff__session_inner_at(&head), sizeof(count));
	assert_int_equal(count, 7);
	assert_int_equal(handoff__session_used(to, session.service.state_size),
		sizeof(head) + 8);
	/* of the same version: as it is, no longer than it may be */
	memset(to, 0, session.service.state_size);
	assert_int_equal(
		session.service.convert(4, old, 8, to, session.service.arg), 0);
	assert_memory_equal(to + sizeof(head), old, 8);
	assert_int_equal(
		session.service.convert(4, old, 9, to, session.service.arg),
		-EMSGSIZE);
	free(to);
	free(u->got);
	free(u->said);
}

/* Takes lines, and answers each with its last byte. */
static int
last_byte(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	(void)arg;
	if (len < 2 || input[len - 1] != '\n')
		return 0;
	handoff_conn_write(conn, input + len - 2, 2);
	return handoff_conn_consume(conn, len);
}

/* What a session has held for a moment does not cost its pages for ever. */
static void
an_idle_session_gives_pages_back(void **state)
{
	struct user *u = user_of(last_byte);
	static char piece[2500];
	struct stat before, after;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	u->inner.input_size = 65536;
	u->limits.keep = 20000;
	user_open(u);
	user_begins(u);
	for (int i = 0; i < 4; i++)
		assert_int_equal(user_says(u, piece, 2500, 2500), 2500);
	assert_int_equal(user_head(u)->pending_len, 10000);
	assert_true(u->f.rec->touched & HANDOFF__PAGES);
	assert_int_equal(fstat(u->f.view.seg->fd, &before), 0);
	handoff__state_trim(&u->f.view); /* it is in use */
	user_says_text(u, "a\n");
	user_hears(u, "a\n");
	assert_int_equal(user_head(u)->pending_len, 0);
	handoff__state_trim(&u->f.view);
	assert_int_equal(fstat(u->f.view.seg->fd, &after), 0);
	/* of each of the two states two pages at least, in units of 512 */
	assert_true(after.st_blocks <= before.st_blocks - 4 * 8);
	user_says(u, piece, 2500, 700);
	user_says_text(u, "b\n");
	user_hears(u, "b\n");
	user_close(u);
}

/* A survivor checks what another process has written. */
static void
a_damaged_state_ends_the_connection(void **state)
{
	static const size_t offsets[] = {0, 4, 12, 16, 20};

	(void)state;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		struct user *u = user_of(user_line);
		uint32_t wrong = 0x7fffffff;

		user_open(u);
		user_begins(u);
		user_says_text(u, "one\ntw");
		memcpy(state_of(u) + offsets[i], &wrong, sizeof(wrong));
		assert_null(
			handoff__session_head(state_of(u), len_of(u), NULL));
		client_says(&u->f, "x");
		assert_int_equal(turns(&u->f), HANDOFF__TURN_END);
		user_close(u);
	}
}

static struct handoff__client
client_of(uint8_t a, uint8_t last, uint16_t family)
{
	struct handoff__client c = {.family = family};

	c.ip[0] = a;
	c.ip[family == 4 ? 3 : 15] = last;
	return c;
}

static void
guesses_are_counted_by_address(void **state)
{
	static struct handoff__guesses g;
	struct handoff__client a = client_of(10, 1, 4), b = client_of(10, 2, 4);
	struct handoff__client c = client_of(0xfd, 1, 6);
	struct handoff__client d = client_of(0xfd, 2, 6);
	struct handoff__client none = {.family = 0};

	(void)state;
	memset(&g, 0, sizeof(g));
	for (int i = 0; i < HANDOFF__GUESSES; i++) {
		assert_true(handoff__guesses_allow(&g, &a, 1000));
		handoff__guesses_count(&g, &a, 1000);
		handoff__guesses_count(&g, &c, 1000);
		handoff__guesses_count(&g, &none, 1000);
	}
	assert_false(handoff__guesses_allow(&g, &a, 1001));
	assert_true(handoff__guesses_allow(&g, &b, 1001));
	/* one /64 */
	assert_false(handoff__guesses_allow(&g, &d, 1001));
	assert_true(handoff__guesses_allow(&g, &none, 1001));
	assert_false(
		handoff__guesses_allow(&g, &a, 1000 + HANDOFF__GUESSES_MS - 1));
	assert_true(handoff__guesses_allow(&g, &a, 1000 + HANDOFF__GUESSES_MS));
	handoff__guesses_count(&g, &a, 1000 + HANDOFF__GUESSES_MS);
	assert_true(handoff__guesses_allow(&g, &a, 1001 + HANDOFF__GUESSES_MS));
}

/* More addresses than places: the table holds, and the oldest is forgotten. */
static void
a_flood_of_addresses_is_bounded(void **state)
{
	static struct handoff__guesses g;
	struct handoff__client first = client_of(1, 1, 4);

	(void)state;
	memset(&g, 0, sizeof(g));
	for (int i = 0; i < HANDOFF__GUESSES; i++)
		handoff__guesses_count(&g, &first, 1);
	for (int i = 0; i < HANDOFF__GUESSES_PLACES - 1; i++) {
		struct handoff__client c = client_of(2, (uint8_t)i, 4);

		handoff__guesses_count(&g, &c, 2 + i);
	}
	assert_false(handoff__guesses_allow(&g, &first, 500));
	{
		struct handoff__client c = client_of(3, 1, 4);

		handoff__guesses_count(&g, &c, 500);
	}
	assert_true(handoff__guesses_allow(&g, &first, 500));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(a_dump_never_has_the_token),
		handoff_test(a_session_is_converted_with_its_service),
		handoff_test(a_plain_programs_connections_become_plain_ones),
		handoff_test(an_idle_session_gives_pages_back),
		handoff_test(a_damaged_state_ends_the_connection),
		handoff_test(guesses_are_counted_by_address),
		handoff_test(a_flood_of_addresses_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
