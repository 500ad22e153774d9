/* SPDX-License-Identifier: MIT */
/*
 * Clients of the control socket that send nothing, read nothing, leave, are too
 * many, or belong to another user. Tests check deadlines and bring them forward
 * instead of waiting.
 */
#include "control/fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY   65534
#define LATER_US INT64_C(60000000)

static void
client_that_says_nothing_is_closed(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_settle();
	fixture_pass_deadline();
	assert_string_equal(fixture_hear(fd), "");
	assert_int_equal(fixture_in_use(), 0);
	close(fd);
}

/* Word by word, for ever: the deadline is for the whole line. */
static void
deadline_does_not_move(void **state)
{
	int64_t deadline;
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_settle();
	deadline = f.control.requests[0].timer.deadline_us;
	for (int i = 0; i < 100; i++)
		fixture_say(fd, "x");
	assert_int_equal(f.control.requests[0].timer.deadline_us, deadline);
	fixture_pass_deadline();
	assert_string_equal(fixture_hear(fd), "");
	close(fd);
}

static void
client_that_leaves_early_is_forgotten(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	close(fd);
	fixture_settle();
	fd = fixture_connect();
	fixture_say(fd, "stat");
	assert_int_equal(fixture_in_use(), 1);
	close(fd);
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
	assert_int_equal(f.count, 0);
}

/* As many clients as there are places; each says `text`. */
static void
fill_places(int fds[HANDOFF__REQUESTS_MAX], const char *text)
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		fds[i] = fixture_connect();
		fixture_say(fds[i], text);
	}
	assert_int_equal(fixture_in_use(), HANDOFF__REQUESTS_MAX);
}

static void
close_all(const int fds[HANDOFF__REQUESTS_MAX])
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		close(fds[i]);
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
}

static void
silent_clients_keep_nobody_out(void **state)
{
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	fill_places(fds, "half a lin");
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		one_more = fixture_connect();
		fixture_say(one_more, "hello\n");
		assert_string_equal(fixture_hear(one_more), "got hello\n");
		close(one_more);
		fixture_settle();
		if (fixture_in_use() < HANDOFF__REQUESTS_MAX)
			break;
	}
	/* Only one has given way, the one that was silent the longest. */
	assert_int_equal(fixture_in_use(), HANDOFF__REQUESTS_MAX - 1);
	assert_string_equal(fixture_hear(fds[0]), "");
	fixture_say(fds[1], "e\n");
	assert_string_equal(fixture_hear(fds[1]), "got half a line\n");
	close_all(fds);
}

/* Its line lies in the socket, unread: it is answered, not closed. */
static void
client_that_has_just_asked_is_not_silent(void **state)
{
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	fill_places(fds, "half a lin");
	one_more = fixture_connect(); /* its event comes first */
	assert_int_equal(send(fds[0], "e\n", 2, MSG_NOSIGNAL), 2);
	fixture_say(one_more, "hello\n");
	assert_string_equal(fixture_hear(one_more), "got hello\n");
	assert_string_equal(fixture_hear(fds[0]), "got half a line\n");
	close(one_more);
	close_all(fds);
}

/* Those that have asked wait for their replies, and nobody takes their place.
 */
static void
too_many_clients_are_refused(void **state)
{
	struct handoff__request *waiting[HANDOFF__REQUESTS_MAX];
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	f.later = true;
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		fds[i] = fixture_connect();
		fixture_say(fds[i], "hello\n");
		waiting[i] = f.request;
	}
	assert_int_equal(fixture_in_use(), HANDOFF__REQUESTS_MAX);
	one_more = fixture_connect();
	assert_string_equal(fixture_hear(one_more),
		"error too many control clients at once\n");
	close(one_more);
	/* The others are served all the same, and then there is room. */
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		handoff__control_reply(waiting[i], strdup("done\n"));
		assert_string_equal(fixture_hear(fds[i]), "done\n");
	}
	one_more = fixture_connect();
	f.later = false;
	fixture_say(one_more, "again\n");
	assert_string_equal(fixture_hear(one_more), "got again\n");
	close(one_more);
	close_all(fds);
}

/* Replies that nobody reads hold their places for a second, not for five. */
static void
clients_that_read_nothing_keep_nobody_out(void **state)
{
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	f.later = true;
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		char *text = malloc(4 << 20);

		assert_non_null(text);
		memset(text, 'x', (4 << 20) - 1);
		text[(4 << 20) - 1] = '\0';
		fds[i] = fixture_connect();
		fixture_say(fds[i], "hello\n");
		handoff__control_reply(f.request, text);
		/* the second is not over before all of them are there */
		f.request->timer.deadline_us += LATER_US;
	}
	f.later = false;
	one_more = fixture_connect();
	assert_string_equal(fixture_hear(one_more),
		"error too many control clients at once\n");
	close(one_more);
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		f.control.requests[i].timer.deadline_us -= LATER_US + 1000001;
	one_more = fixture_connect();
	fixture_say(one_more, "hello\n");
	assert_string_equal(fixture_hear(one_more), "got hello\n");
	close(one_more);
	close_all(fds);
}

static void
client_that_does_not_read_is_closed(void **state)
{
	int fd;

	(void)state;
	f.later = true;
	fd = fixture_connect();
	fixture_say(fd, "status\n");
	handoff__control_reply(f.request, fixture_text(3 << 20));
	fixture_settle();
	fixture_pass_deadline();
	assert_int_equal(fixture_in_use(), 0);
	close(fd);
}

static void
client_that_never_ends_is_closed(void **state)
{
	int fd;

	(void)state;
	fd = fixture_connect();
	fixture_say(fd, "status\n");
	assert_string_equal(fixture_hear(fd), "got status\n");
	assert_int_equal(fixture_in_use(), 1);
	for (int i = 0; i < 10; i++)
		fixture_say(fd, "and another thing\n");
	fixture_pass_deadline();
	assert_int_equal(fixture_in_use(), 0);
	close(fd);
}

/* Leaves by 0 if the other end hangs up and says nothing. */
static void
be_another_user(const struct handoff__dir *dir)
{
	struct pollfd p = {.events = POLLIN};
	char byte;

	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		_exit(2);
	p.fd = handoff__dir_connect(dir, "control.1", SOCK_STREAM);
	if (p.fd < 0)
		_exit(3);
	(void)!send(p.fd, "stop\n", 5, MSG_NOSIGNAL);
	if (poll(&p, 1, 5000) != 1)
		_exit(4);
	_exit(recv(p.fd, &byte, 1, 0) > 0 ? 5 : 0);
}

static void
other_users_are_refused(void **state)
{
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	/* The directory keeps them out; this is for when it does not. */
	assert_int_equal(fchmod(f.dir.fd, 0755), 0);
	assert_int_equal(fchmodat(f.dir.fd, "control.1", 0666, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_another_user(&f.dir);
	assert_true(handoff__loop_dispatch(&f.loop, 5000) > 0);
	fixture_settle();
	assert_int_equal(f.count, 0);
	assert_int_equal(fixture_in_use(), 0);
	support_reap(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		control_test(client_that_says_nothing_is_closed),
		control_test(deadline_does_not_move),
		control_test(client_that_leaves_early_is_forgotten),
		control_test(silent_clients_keep_nobody_out),
		control_test(client_that_has_just_asked_is_not_silent),
		control_test(too_many_clients_are_refused),
		control_test(clients_that_read_nothing_keep_nobody_out),
		control_test(client_that_does_not_read_is_closed),
		control_test(client_that_never_ends_is_closed),
		control_test(other_users_are_refused),
	};

	return cmocka_run_group_tests_name(
		"control_clients", tests, NULL, NULL);
}
