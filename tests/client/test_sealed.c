/* SPDX-License-Identifier: MIT */
/*
 * Which plain text is in which cipher text: after any course of sealing,
 * passing to the kernel, acknowledging and going back, what counts as passed
 * and as acknowledged is exactly what a server could read that has so much.
 */
#include "client/toy.h"

#include "client/sealed.h"

#include <stdlib.h>
#include <string.h>

enum { MAX = 4096, ALL = 60000 };

static struct course {
	struct handoff__outbox plain;
	struct handoff__sealed sealed;
	uint32_t seed;
	uint64_t said;  /* plain text so far */
	uint64_t sent;  /* cipher text that the kernel has */
	uint64_t acked; /* and the server has acknowledged */
	uint64_t known; /* bytes of cipher text that are in `bytes` */
	uint64_t readable[2 * ALL]; /* plain text in so many bytes of it */
	struct toy *server;
	uint64_t read;
	uint64_t ends[ALL]; /* of messages */
	size_t count;
	uint64_t torn; /* up to there a message lost its beginning */
} course;

static uint32_t
draw(uint32_t bound)
{
	course.seed = course.seed * 1664525 + 1013904223;
	return (course.seed >> 8) % bound;
}

static unsigned char
byte_at(uint64_t at)
{
	return (unsigned char)(at * 2654435761u >> 13);
}

/* The server gets what is new, byte by byte. */
static void
learn(void)
{
	struct handoff__outbox *cipher = &course.sealed.cipher;
	size_t fresh = (size_t)(course.sealed.end - course.known);
	unsigned char plain[MAX];
	struct iovec iov[2];
	int pieces = handoff__outbox_peek_behind(
		cipher, handoff__outbox_unsent(cipher) - fresh, fresh, iov);

	for (int i = 0; i < pieces; i++)
		for (size_t at = 0; at < iov[i].iov_len; at++) {
			size_t n;

			toy_input(course.server,
				(unsigned char *)iov[i].iov_base + at, 1);
			n = toy_read(course.server, plain, sizeof(plain));
			for (size_t j = 0; j < n; j++)
				assert_int_equal(
					plain[j], byte_at(course.read + j));
			course.read += n;
			course.readable[++course.known] = course.read;
		}
	assert_int_equal(course.known, course.sealed.end);
}

static void
check(void)
{
	const struct handoff__outbox *plain = &course.plain;

	assert_int_equal(course.sealed.acked, course.readable[course.acked]);
	assert_int_equal(course.sealed.acked + plain->sent - plain->acked,
		course.readable[course.sent]);
	assert_int_equal(handoff__outbox_unsent(plain),
		course.said - course.readable[course.sent]);
	/* one that was passed whole, and acknowledged in part, is not repeated
	 * any more */
	for (size_t i = 0; i < course.count; i++)
		if (course.sealed.acked < course.ends[i]) {
			if ((i == 0 ? 0 : course.ends[i - 1]) <
					course.sealed.acked &&
				course.ends[i] <= course.readable[course.sent])
				course.torn = course.ends[i];
			break;
		}
}

static void
say(void)
{
	unsigned char data[MAX / 2];
	size_t len = 1 + draw(draw(4) ? 100 : MAX / 2);

	if (course.said + len > ALL ||
		len > handoff__outbox_room(&course.plain))
		return;
	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(course.said + i);
	assert_int_equal(handoff__outbox_add(&course.plain, data, len), 0);
	course.said += len;
	course.ends[course.count++] = course.said;
}

static void
step(void)
{
	struct handoff__outbox *cipher = &course.sealed.cipher;
	size_t n = handoff__outbox_unsent(cipher);

	switch (draw(8)) {
	case 0:
	case 1:
	case 2:
		say();
		return;
	case 3:
		handoff__sealed_fill(&course.sealed, &course.plain, false);
		learn();
		return;
	case 4:
	case 5: /* the kernel takes some */
		n = n > 0 ? draw((uint32_t)n + 1) : 0;
		handoff__outbox_passed(cipher, n);
		course.sent += n;
		break;
	case 6: /* the server acknowledges some */
		n = draw((uint32_t)(course.sent - course.acked) + 1);
		handoff__outbox_acked(cipher, n);
		course.acked += n;
		break;
	case 7: /* a new connection: the server has some */
		n = draw((uint32_t)(course.sent - course.acked) + 1);
		handoff__outbox_seek(cipher, n);
		course.sent = course.acked + n;
		break;
	}
	handoff__sealed_follow(&course.sealed, &course.plain, course.acked);
	check();
}

static void
greet(void)
{
	const void *data;
	size_t n;

	assert_true(
		handoff__sealed_begin(&course.sealed, &toy_layer, "a.test:1"));
	handoff__sealed_fill(&course.sealed, &course.plain, false);
	learn();
	n = toy_output(course.server, &data);
	toy_layer.input(course.sealed.layered.end, data, n);
	toy_sent(course.server, n);
}

static void
begin(uint32_t seed)
{
	memset(&course, 0, sizeof(course));
	course.seed = seed;
	course.server = toy_server();
	handoff__outbox_init(&course.plain, MAX);
	handoff__sealed_init(&course.sealed, &course.plain);
	greet();
}

static void
end(void)
{
	handoff__sealed_fini(&course.sealed);
	handoff__outbox_fini(&course.plain);
	toy_free(course.server);
}

/* The session is lost: what the server certainly has is certain, and what the
 * kernel did not get whole is left. */
static void
close_session(void)
{
	struct handoff__fate fate;
	uint64_t certain =
		course.acked + draw((uint32_t)(course.sent - course.acked) + 1);
	uint64_t gone = course.torn;

	for (size_t i = 0; i < course.count; i++)
		if (course.ends[i] > gone &&
			course.ends[i] <= course.readable[course.sent])
			gone = course.ends[i];
	handoff__sealed_fate(
		&course.sealed, &course.plain, certain, false, &fate);
	assert_int_equal(fate.certain, course.readable[certain]);
	assert_int_equal(course.plain.len, course.said - gone);
	assert_int_equal(course.plain.sent + course.plain.acked, 0);
	assert_int_equal(
		fate.doubtful, gone > fate.certain ? gone - fate.certain : 0);
}

static void
test_any_course(void **state)
{
	int courses = getenv("HANDOFF_LONG") ? 5000 : 200;
	uint64_t said = 0;

	(void)state;
	for (int i = 1; i <= courses; i++) {
		begin((uint32_t)i);
		for (int n = 0; n < 400; n++)
			step();
		said += course.said;
		close_session();
		end();
	}
	assert_true(said > (uint64_t)courses * 2 * MAX);
}

/* Whatever is acknowledged as late as can be, a message of half the outbox is
 * taken at last. */
static void
test_there_is_room(void **state)
{
	char data[MAX / 2];

	(void)state;
	memset(data, 'x', sizeof(data));
	for (uint32_t seed = 1; seed <= 50; seed++) {
		struct handoff__outbox *cipher = &course.sealed.cipher;
		size_t quarter = MAX / 4 - 1, n;

		begin(seed);
		for (int i = 0; i < 40; i++)
			say();
		while (handoff__outbox_unsent(&course.plain) > 0) {
			handoff__sealed_fill(
				&course.sealed, &course.plain, false);
			learn();
			n = handoff__outbox_unsent(cipher);
			handoff__outbox_passed(cipher, n);
			course.sent += n;
			n = (size_t)(course.sent - course.acked);
			n = n > quarter ? n - quarter : 0;
			handoff__outbox_acked(cipher, n);
			course.acked += n;
			handoff__sealed_follow(
				&course.sealed, &course.plain, course.acked);
			check();
		}
		assert_int_equal(
			handoff__outbox_add(&course.plain, data, sizeof(data)),
			0);
		end();
	}
}

/* The end follows the last message, and nothing is sealed behind it. */
static void
test_end(void **state)
{
	uint64_t before;

	(void)state;
	begin(1);
	say();
	assert_true(course.said > 0);
	assert_true(handoff__sealed_fill(&course.sealed, &course.plain, true));
	learn();
	assert_int_equal(course.read, course.said);
	assert_true(toy_is_ended(course.server));
	before = course.sealed.end;
	assert_true(handoff__sealed_fill(&course.sealed, &course.plain, true));
	assert_int_equal(course.sealed.end, before);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_any_course),
		handoff_test(test_there_is_room),
		handoff_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
