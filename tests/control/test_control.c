/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a peer: requests in pieces and of any length, replies
 * at once, later, long, and at the end of the process.
 */
#include "control/fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void
request_is_answered(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_say(fd, "status json\n");
	assert_string_equal(f.line, "status json");
	assert_string_equal(fixture_hear(fd), "got status json\n");
	close(fd);
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
}

static void
request_may_come_in_pieces(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_say(fd, "st");
	fixture_say(fd, "at");
	assert_int_equal(f.count, 0);
	fixture_say(fd, "us\n");
	assert_string_equal(fixture_hear(fd), "got status\n");
	close(fd);
}

static void
empty_request_is_one(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_say(fd, "\n");
	assert_int_equal(f.count, 1);
	assert_string_equal(fixture_hear(fd), "got \n");
	close(fd);
}

static void
only_the_first_line_counts(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_say(fd, "one\ntwo\nthree");
	fixture_say(fd, "four\n");
	assert_string_equal(fixture_hear(fd), "got one\n");
	assert_int_equal(f.count, 1);
	close(fd);
}

static void
longest_request_is_taken(void **state)
{
	char line[HANDOFF__REQUEST_MAX + 1];
	int fd;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[HANDOFF__REQUEST_MAX - 1] = '\n';
	line[HANDOFF__REQUEST_MAX] = '\0';
	fd = fixture_connect();
	fixture_say(fd, line);
	assert_int_equal(strlen(f.line), HANDOFF__REQUEST_MAX - 1);
	assert_int_equal(strlen(fixture_hear(fd)),
		strlen("got ") + HANDOFF__REQUEST_MAX);
	close(fd);
}

static void
request_that_is_too_long_is_refused(void **state)
{
	char line[HANDOFF__REQUEST_MAX + 1];
	int fd;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[HANDOFF__REQUEST_MAX] = '\0';
	fd = fixture_connect();
	fixture_say(fd, line);
	/* And more, before it reads: the answer must not be lost. */
	for (int i = 0; i < 100; i++)
		fixture_say(fd, line);
	assert_string_equal(fixture_hear(fd),
		"error the request is longer than 4199 bytes\n");
	assert_int_equal(f.count, 0);
	close(fd);
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
}

static void
reply_may_come_later(void **state)
{
	int fd, other;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "maintenance\n");
	assert_true(fixture_hears_nothing(fd));
	/* It may take its time: no deadline. */
	assert_false(f.request->timer.armed);
	/* Others do not wait for it. */
	f.later = false;
	struct handoff__request *waiting = f.request;

	other = fixture_connect();
	fixture_say(other, "status\n");
	assert_string_equal(fixture_hear(other), "got status\n");
	handoff__control_reply(waiting, strdup("done\n"));
	assert_string_equal(fixture_hear(fd), "done\n");
	close(fd);
	close(other);
}

static void
client_that_left_before_the_reply_is_no_error(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "maintenance\n");
	close(fd);
	fixture_settle();
	/* The place stays taken until the work is done. */
	assert_int_equal(fixture_in_use(), 1);
	assert_in_range(f.gone, 1, 2);
	handoff__control_reply(f.request, strdup("done\n"));
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
}

static void
client_may_end_its_sending(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "maintenance\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fixture_settle();
	assert_true(fixture_hears_nothing(fd));
	assert_int_equal(f.gone, 0);
	handoff__control_reply(f.request, strdup("done\n"));
	assert_string_equal(fixture_hear(fd), "done\n");
	close(fd);
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
	assert_int_equal(f.gone, 0);
}

/* It has given up, and said so: nothing happens later. */
static void
request_of_a_client_that_has_gone_is_dropped(void **state)
{
	int fd = fixture_connect();

	(void)state;
	/* in one turn of the loop */
	assert_int_equal(write(fd, "stop\n", 5), 5);
	close(fd);
	fixture_settle();
	assert_int_equal(f.count, 0);
	assert_int_equal(fixture_in_use(), 0);
	/* One that only sends no more waits for the answer. */
	fd = fixture_connect();
	fixture_say(fd, "stop\n");
	shutdown(fd, SHUT_WR);
	assert_string_equal(fixture_hear(fd), "got stop\n");
	assert_int_equal(f.count, 1);
	close(fd);
}

/* First half, then all of it. */
static void
client_that_hangs_up_later_is_seen(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "dump\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fixture_settle();
	assert_int_equal(f.gone, 0);
	close(fd);
	fixture_settle();
	assert_in_range(f.gone, 1, 2);
}

static void
client_may_talk_while_it_waits(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "maintenance\n");
	fixture_say(fd, "are you there?\n");
	assert_int_equal(f.count, 1);
	handoff__control_reply(f.request, strdup("done\n"));
	assert_string_equal(fixture_hear(fd), "done\n");
	close(fd);
}

static void
no_reply_for_want_of_memory_is_an_end(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "status\n");
	handoff__control_reply(f.request, NULL);
	assert_string_equal(fixture_hear(fd), "");
	assert_int_equal(fixture_in_use(), 0);
	close(fd);
}

/* The text is freed, as the sanitizer sees, and nothing else happens. */
static void
second_reply_is_dropped(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "status\n");
	handoff__control_reply(f.request, strdup("one\n"));
	handoff__control_reply(f.request, strdup("two\n"));
	assert_string_equal(fixture_hear(fd), "one\n");
	close(fd);
	fixture_settle();
	handoff__control_reply(f.request, strdup("three\n"));
}

static void
long_reply_waits_for_its_reader(void **state)
{
	size_t len = 3 << 20, got = 0;
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "status\n");
	handoff__control_reply(f.request, fixture_text(len));
	fixture_settle();
	assert_int_equal(f.request->step, HANDOFF__REQUEST_WRITE);
	for (int i = 0; got < len; i++) {
		char data[65536];
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		assert_in_range(i, 0, TURNS_MAX);
		for (ssize_t at = 0; at < n; at++)
			assert_int_equal(
				data[at], 'a' + (got + (size_t)at) % 26);
		got += n > 0 ? (size_t)n : 0;
		fixture_settle();
	}
	assert_string_equal(fixture_hear(fd), "");
	close(fd);
}

/* At the end of a process what can still be said is said. */
static void
flush_sends_without_the_loop(void **state)
{
	size_t len = 1 << 20, got = 0;
	char data[65536];
	ssize_t n;
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "stop\n");
	handoff__control_reply(f.request, fixture_text(len));
	for (int i = 0; got < len; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		handoff__control_flush(&f.control);
		while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
	}
	close(fd);
}

static void
closing_ends_all_clients(void **state)
{
	struct stat st;
	int silent, waiting, reading;
	char byte;

	(void)state;
	assert_int_equal(fstatat(f.dir.fd, "control.1", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	f.later = true;
	reading = fixture_connect();
	fixture_say(reading, "status\n");
	handoff__control_reply(f.request, fixture_text(1 << 20));
	waiting = fixture_connect();
	fixture_say(waiting, "stop\n");
	silent = fixture_connect();
	fixture_settle();
	assert_int_equal(fixture_in_use(), 3);
	handoff__control_close(&f.control);
	assert_int_equal(recv(silent, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(recv(waiting, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(fstatat(f.dir.fd, "control.1", &st, 0), -1);
	close(silent);
	close(waiting);
	close(reading);
}

static void
never_opened_is_closed_well(void **state)
{
	struct handoff__control control;

	(void)state;
	memset(&control, 0, sizeof(control));
	control.fd = -1;
	handoff__control_flush(&control);
	handoff__control_close(&control);
	assert_int_equal(control.fd, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		control_test(request_of_a_client_that_has_gone_is_dropped),
		control_test(request_is_answered),
		control_test(request_may_come_in_pieces),
		control_test(empty_request_is_one),
		control_test(only_the_first_line_counts),
		control_test(longest_request_is_taken),
		control_test(request_that_is_too_long_is_refused),
		control_test(reply_may_come_later),
		control_test(client_that_left_before_the_reply_is_no_error),
		control_test(client_may_end_its_sending),
		control_test(client_that_hangs_up_later_is_seen),
		control_test(client_may_talk_while_it_waits),
		control_test(no_reply_for_want_of_memory_is_an_end),
		control_test(second_reply_is_dropped),
		control_test(long_reply_waits_for_its_reader),
		control_test(flush_sends_without_the_loop),
		control_test(closing_ends_all_clients),
		handoff_test(never_opened_is_closed_well),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
