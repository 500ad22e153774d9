/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a peer against clients of every manner: they send in
 * pieces, too much or nothing, do not read, or leave. Deadlines are looked at
 * and brought forward, not waited for.
 */
#include "support/support.h"

#include "base/fdpass.h"
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY    65534
#define TURNS_MAX 100000

struct fixture {
	struct handoff__dir dir;
	struct handoff__loop loop;
	struct handoff__control control;
	/* What the requests were. */
	unsigned count;
	char line[HANDOFF__REQUEST_MAX];
	struct handoff__request *request; /* the last, if not answered */
	bool later;                       /* do not answer at once */
	bool takes;                       /* the descriptor that came along */
	int taken;
	unsigned gone;
};

static void
on_gone(void *arg)
{
	struct fixture *f = arg;

	f->gone++;
}

static void
on_request(void *arg, struct handoff__request *request, const char *line)
{
	struct fixture *f = arg;
	char *text = NULL;

	f->count++;
	handoff__copy(f->line, sizeof(f->line), line);
	f->request = request;
	if (f->takes)
		f->taken = handoff__control_take(request);
	if (f->later) {
		handoff__control_on_gone(request, on_gone, f);
		return;
	}
	assert_true(asprintf(&text, "got %s\n", line) > 0);
	handoff__control_reply(request, text);
}

static void
open_control(struct fixture *f)
{
	struct handoff__error error = {.text = ""};

	memset(f, 0, sizeof(*f));
	f->taken = -1;
	assert_int_equal(
		handoff__dir_open(&f->dir, support_dir(), false, 0, &error), 0);
	assert_int_equal(handoff__loop_init(&f->loop), 0);
	assert_int_equal(handoff__control_open(&f->control, &f->loop, &f->dir,
				 1, NULL, on_request, f, &error),
		0);
}

static void
close_control(struct fixture *f)
{
	handoff__control_close(&f->control);
	handoff__loop_fini(&f->loop);
	handoff__dir_close(&f->dir);
}

/* Until there is nothing to do: a client that is left alone costs nothing. */
static void
settle(struct fixture *f)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		if (handoff__loop_dispatch(&f->loop, 0) == 0)
			return;
	}
	fail_msg("the loop never comes to rest");
}

static int
connect_client(struct fixture *f)
{
	int fd = handoff__dir_connect(&f->dir, "control.1", SOCK_STREAM);

	assert_true(fd >= 0);
	return fd;
}

static void
say(struct fixture *f, int fd, const char *text)
{
	assert_int_equal(
		send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	settle(f);
}

/* All that comes until the end, which must come. */
static char *
hear(struct fixture *f, int fd)
{
	static char text[8192];
	size_t len = 0;
	ssize_t n;

	do {
		settle(f);
		n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	if (n < 0)
		fail_msg("no end: %s", strerror(errno));
	text[len] = '\0';
	return text;
}

static bool
hears_nothing(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static unsigned
in_use(const struct fixture *f)
{
	unsigned n = 0;

	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		n += f->control.requests[i].step != HANDOFF__REQUEST_FREE;
	return n;
}

/* The deadline is there and not far; time passes now. */
static void
pass_deadline(struct fixture *f)
{
	struct handoff__timer *timer = &f->control.requests[0].timer;

	assert_true(timer->armed);
	assert_in_range(
		timer->deadline_us - handoff__now_us(), 100000, 10000000);
	handoff__timer_arm(&f->loop, timer, 1);
	while (timer->armed)
		assert_true(handoff__loop_dispatch(&f->loop, 1000) >= 0);
}

static void
request_is_answered(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	say(&f, fd, "status json\n");
	assert_string_equal(f.line, "status json");
	assert_string_equal(hear(&f, fd), "got status json\n");
	close(fd);
	settle(&f);
	assert_int_equal(in_use(&f), 0);
	close_control(&f);
}

static void
request_may_come_in_pieces(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	say(&f, fd, "st");
	say(&f, fd, "at");
	assert_int_equal(f.count, 0);
	say(&f, fd, "us\n");
	assert_string_equal(hear(&f, fd), "got status\n");
	close(fd);
	close_control(&f);
}

static void
empty_request_is_one(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	say(&f, fd, "\n");
	assert_int_equal(f.count, 1);
	assert_string_equal(hear(&f, fd), "got \n");
	close(fd);
	close_control(&f);
}

static void
only_the_first_line_counts(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	say(&f, fd, "one\ntwo\nthree");
	say(&f, fd, "four\n");
	assert_string_equal(hear(&f, fd), "got one\n");
	assert_int_equal(f.count, 1);
	close(fd);
	close_control(&f);
}

static void
longest_request_is_taken(void **state)
{
	struct fixture f;
	char line[HANDOFF__REQUEST_MAX + 1];
	int fd;

	(void)state;
	open_control(&f);
	memset(line, 'x', sizeof(line));
	line[HANDOFF__REQUEST_MAX - 1] = '\n';
	line[HANDOFF__REQUEST_MAX] = '\0';
	fd = connect_client(&f);
	say(&f, fd, line);
	assert_int_equal(strlen(f.line), HANDOFF__REQUEST_MAX - 1);
	assert_int_equal(
		strlen(hear(&f, fd)), strlen("got ") + HANDOFF__REQUEST_MAX);
	close(fd);
	close_control(&f);
}

static void
request_that_is_too_long_is_refused(void **state)
{
	struct fixture f;
	char line[HANDOFF__REQUEST_MAX + 1];
	int fd;

	(void)state;
	open_control(&f);
	memset(line, 'x', sizeof(line));
	line[HANDOFF__REQUEST_MAX] = '\0';
	fd = connect_client(&f);
	say(&f, fd, line);
	/* And more, before it reads: the answer must not be lost. */
	for (int i = 0; i < 100; i++)
		say(&f, fd, line);
	assert_string_equal(
		hear(&f, fd), "error the request is longer than 4199 bytes\n");
	assert_int_equal(f.count, 0);
	close(fd);
	settle(&f);
	assert_int_equal(in_use(&f), 0);
	close_control(&f);
}

static void
client_that_says_nothing_is_closed(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	settle(&f);
	pass_deadline(&f);
	assert_string_equal(hear(&f, fd), "");
	assert_int_equal(in_use(&f), 0);
	close(fd);
	close_control(&f);
}

/* Word by word, for ever: the deadline is for the whole line. */
static void
deadline_does_not_move(void **state)
{
	struct fixture f;
	int64_t deadline;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	settle(&f);
	deadline = f.control.requests[0].timer.deadline_us;
	for (int i = 0; i < 100; i++)
		say(&f, fd, "x");
	assert_int_equal(f.control.requests[0].timer.deadline_us, deadline);
	pass_deadline(&f);
	assert_string_equal(hear(&f, fd), "");
	close(fd);
	close_control(&f);
}

static void
client_that_leaves_early_is_forgotten(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	close(fd);
	settle(&f);
	fd = connect_client(&f);
	say(&f, fd, "stat");
	assert_int_equal(in_use(&f), 1);
	close(fd);
	settle(&f);
	assert_int_equal(in_use(&f), 0);
	assert_int_equal(f.count, 0);
	close_control(&f);
}

/* As many clients as there are places; each says `text`. */
static void
fill_places(struct fixture *f, int fds[HANDOFF__REQUESTS_MAX], const char *text)
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		fds[i] = connect_client(f);
		say(f, fds[i], text);
	}
	assert_int_equal(in_use(f), HANDOFF__REQUESTS_MAX);
}

static void
close_all(struct fixture *f, const int fds[HANDOFF__REQUESTS_MAX])
{
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		close(fds[i]);
	settle(f);
	assert_int_equal(in_use(f), 0);
}

static void
silent_clients_keep_nobody_out(void **state)
{
	struct fixture f;
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	open_control(&f);
	fill_places(&f, fds, "half a lin");
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		one_more = connect_client(&f);
		say(&f, one_more, "hello\n");
		assert_string_equal(hear(&f, one_more), "got hello\n");
		close(one_more);
		settle(&f);
		if (in_use(&f) < HANDOFF__REQUESTS_MAX)
			break;
	}
	/* Only one has given way, the one that was silent the longest. */
	assert_int_equal(in_use(&f), HANDOFF__REQUESTS_MAX - 1);
	assert_string_equal(hear(&f, fds[0]), "");
	say(&f, fds[1], "e\n");
	assert_string_equal(hear(&f, fds[1]), "got half a line\n");
	close_all(&f, fds);
	close_control(&f);
}

/* Its line lies in the socket, unread: it is answered, not closed. */
static void
client_that_has_just_asked_is_not_silent(void **state)
{
	struct fixture f;
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	open_control(&f);
	fill_places(&f, fds, "half a lin");
	one_more = connect_client(&f); /* its event comes first */
	assert_int_equal(send(fds[0], "e\n", 2, MSG_NOSIGNAL), 2);
	say(&f, one_more, "hello\n");
	assert_string_equal(hear(&f, one_more), "got hello\n");
	assert_string_equal(hear(&f, fds[0]), "got half a line\n");
	close(one_more);
	close_all(&f, fds);
	close_control(&f);
}

/* Those that have asked wait for their replies, and nobody takes their place.
 */
static void
too_many_clients_are_refused(void **state)
{
	struct fixture f;
	struct handoff__request *waiting[HANDOFF__REQUESTS_MAX];
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	open_control(&f);
	f.later = true;
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		fds[i] = connect_client(&f);
		say(&f, fds[i], "hello\n");
		waiting[i] = f.request;
	}
	assert_int_equal(in_use(&f), HANDOFF__REQUESTS_MAX);
	one_more = connect_client(&f);
	assert_string_equal(
		hear(&f, one_more), "error too many control clients at once\n");
	close(one_more);
	/* The others are served all the same, and then there is room. */
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		handoff__control_reply(waiting[i], strdup("done\n"));
		assert_string_equal(hear(&f, fds[i]), "done\n");
	}
	one_more = connect_client(&f);
	f.later = false;
	say(&f, one_more, "again\n");
	assert_string_equal(hear(&f, one_more), "got again\n");
	close(one_more);
	close_all(&f, fds);
	close_control(&f);
}

/* Replies that nobody reads hold their places for a second, not for five. */
static void
clients_that_read_nothing_keep_nobody_out(void **state)
{
	struct fixture f;
	int fds[HANDOFF__REQUESTS_MAX], one_more;

	(void)state;
	open_control(&f);
	f.later = true;
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++) {
		char *text = malloc(4 << 20);

		assert_non_null(text);
		memset(text, 'x', (4 << 20) - 1);
		text[(4 << 20) - 1] = '\0';
		fds[i] = connect_client(&f);
		say(&f, fds[i], "hello\n");
		handoff__control_reply(f.request, text);
	}
	f.later = false;
	one_more = connect_client(&f);
	assert_string_equal(
		hear(&f, one_more), "error too many control clients at once\n");
	close(one_more);
	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		f.control.requests[i].timer.deadline_us -= 1000001;
	one_more = connect_client(&f);
	say(&f, one_more, "hello\n");
	assert_string_equal(hear(&f, one_more), "got hello\n");
	close(one_more);
	close_all(&f, fds);
	close_control(&f);
}

static void
reply_may_come_later(void **state)
{
	struct fixture f;
	int fd, other;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "maintenance\n");
	assert_true(hears_nothing(fd));
	/* It may take its time: no deadline. */
	assert_false(f.request->timer.armed);
	/* Others do not wait for it. */
	f.later = false;
	struct handoff__request *waiting = f.request;

	other = connect_client(&f);
	say(&f, other, "status\n");
	assert_string_equal(hear(&f, other), "got status\n");
	handoff__control_reply(waiting, strdup("done\n"));
	assert_string_equal(hear(&f, fd), "done\n");
	close(fd);
	close(other);
	close_control(&f);
}

static void
client_that_left_before_the_reply_is_no_error(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "maintenance\n");
	close(fd);
	settle(&f);
	/* The place stays taken until the work is done. */
	assert_int_equal(in_use(&f), 1);
	assert_in_range(f.gone, 1, 2);
	handoff__control_reply(f.request, strdup("done\n"));
	settle(&f);
	assert_int_equal(in_use(&f), 0);
	close_control(&f);
}

static void
client_may_end_its_sending(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "maintenance\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	settle(&f);
	assert_true(hears_nothing(fd));
	assert_int_equal(f.gone, 0);
	handoff__control_reply(f.request, strdup("done\n"));
	assert_string_equal(hear(&f, fd), "done\n");
	close(fd);
	settle(&f);
	assert_int_equal(in_use(&f), 0);
	assert_int_equal(f.gone, 0);
	close_control(&f);
}

/* First half, then all of it. */
static void
client_that_hangs_up_later_is_seen(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "dump\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	settle(&f);
	assert_int_equal(f.gone, 0);
	close(fd);
	settle(&f);
	assert_in_range(f.gone, 1, 2);
	close_control(&f);
}

/* Sends with a new file beside it; returns the file. */
static int
say_with_file(struct fixture *f, int fd, const char *text)
{
	int file = memfd_create("test", MFD_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(
		handoff__fdpass_send_text(fd, text, strlen(text), file),
		strlen(text));
	settle(f);
	return file;
}

static void
descriptor_comes_with_a_request(void **state)
{
	struct fixture f;
	struct stat there, here;
	int fd, file;

	(void)state;
	open_control(&f);
	f.takes = true;
	fd = connect_client(&f);
	file = say_with_file(&f, fd, "du");
	say(&f, fd, "mp\n");
	assert_string_equal(hear(&f, fd), "got dump\n");
	assert_true(f.taken >= 0);
	assert_int_equal(fstat(file, &there), 0);
	assert_int_equal(fstat(f.taken, &here), 0);
	assert_true(there.st_dev == here.st_dev && there.st_ino == here.st_ino);
	close(f.taken);
	close(file);
	close(fd);
	close_control(&f);
}

static void
descriptor_that_nobody_wants_is_closed(void **state)
{
	struct fixture f;
	int fd, file, before;

	(void)state;
	open_control(&f);
	for (int later = 0; later < 2; later++) {
		f.later = later;
		fd = connect_client(&f);
		settle(&f);
		before = support_open_fds();
		file = say_with_file(&f, fd, "status\n");
		close(file);
		assert_int_equal(support_open_fds(), before);
		/* What follows the line is not looked at, and not kept. */
		close(say_with_file(&f, fd, "more\n"));
		assert_int_equal(support_open_fds(), before);
		if (later)
			handoff__control_reply(f.request, strdup("done\n"));
		hear(&f, fd);
		close(fd);
		settle(&f);
	}
	close_control(&f);
}

static void
descriptor_without_a_request_is_closed(void **state)
{
	struct fixture f;
	int fd, before = support_open_fds();

	(void)state;
	open_control(&f);
	/* The client leaves before the line ends. */
	fd = connect_client(&f);
	close(say_with_file(&f, fd, "du"));
	close(fd);
	settle(&f);
	assert_int_equal(in_use(&f), 0);
	/* The server does. */
	fd = connect_client(&f);
	close(say_with_file(&f, fd, "du"));
	close_control(&f);
	close(fd);
	assert_int_equal(support_open_fds(), before);
}

static void
more_descriptors_are_refused(void **state)
{
	struct fixture f;
	int fd, before;

	(void)state;
	open_control(&f);
	f.takes = true;
	fd = connect_client(&f);
	settle(&f);
	before = support_open_fds();
	close(say_with_file(&f, fd, "du"));
	close(say_with_file(&f, fd, "mp\n"));
	assert_int_equal(support_open_fds(), before);
	assert_string_equal(hear(&f, fd),
		"error the request carries more than one descriptor\n");
	assert_int_equal(f.count, 0);
	assert_int_equal(f.taken, -1);
	close(fd);
	close_control(&f);
}

static void
descriptor_that_finds_no_room_is_told(void **state)
{
	struct fixture f;
	struct rlimit old, now;
	int fd, lowest;

	(void)state;
	support_not_in_valgrind();
	open_control(&f);
	fd = connect_client(&f);
	settle(&f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(
		handoff__fdpass_send_text(fd, "dump\n", 5, STDIN_FILENO), 5);
	lowest = fcntl(0, F_DUPFD, 0);
	assert_true(lowest >= 0);
	close(lowest);
	now = old;
	now.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	settle(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_string_equal(hear(&f, fd),
		"error the descriptor that came with the request found no room "
		"in the descriptor table\n");
	assert_int_equal(f.count, 0);
	close(fd);
	close_control(&f);
}

static void
client_may_talk_while_it_waits(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "maintenance\n");
	say(&f, fd, "are you there?\n");
	assert_int_equal(f.count, 1);
	handoff__control_reply(f.request, strdup("done\n"));
	assert_string_equal(hear(&f, fd), "done\n");
	close(fd);
	close_control(&f);
}

static void
no_reply_for_want_of_memory_is_an_end(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "status\n");
	handoff__control_reply(f.request, NULL);
	assert_string_equal(hear(&f, fd), "");
	assert_int_equal(in_use(&f), 0);
	close(fd);
	close_control(&f);
}

/* The text is freed, as the sanitizer sees, and nothing else happens. */
static void
second_reply_is_dropped(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "status\n");
	handoff__control_reply(f.request, strdup("one\n"));
	handoff__control_reply(f.request, strdup("two\n"));
	assert_string_equal(hear(&f, fd), "one\n");
	close(fd);
	settle(&f);
	handoff__control_reply(f.request, strdup("three\n"));
	close_control(&f);
}

static char *
long_text(size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 26);
	text[len] = '\0';
	return text;
}

static void
long_reply_waits_for_its_reader(void **state)
{
	struct fixture f;
	size_t len = 3 << 20, got = 0;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "status\n");
	handoff__control_reply(f.request, long_text(len));
	settle(&f);
	assert_int_equal(f.request->step, HANDOFF__REQUEST_WRITE);
	for (int i = 0; got < len; i++) {
		char data[65536];
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		assert_in_range(i, 0, TURNS_MAX);
		for (ssize_t at = 0; at < n; at++)
			assert_int_equal(
				data[at], 'a' + (got + (size_t)at) % 26);
		got += n > 0 ? (size_t)n : 0;
		settle(&f);
	}
	assert_string_equal(hear(&f, fd), "");
	close(fd);
	close_control(&f);
}

static void
client_that_does_not_read_is_closed(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "status\n");
	handoff__control_reply(f.request, long_text(3 << 20));
	settle(&f);
	pass_deadline(&f);
	assert_int_equal(in_use(&f), 0);
	close(fd);
	close_control(&f);
}

static void
client_that_never_ends_is_closed(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	open_control(&f);
	fd = connect_client(&f);
	say(&f, fd, "status\n");
	assert_string_equal(hear(&f, fd), "got status\n");
	assert_int_equal(in_use(&f), 1);
	for (int i = 0; i < 10; i++)
		say(&f, fd, "and another thing\n");
	pass_deadline(&f);
	assert_int_equal(in_use(&f), 0);
	close(fd);
	close_control(&f);
}

/* At the end of a process what can still be said is said. */
static void
flush_sends_without_the_loop(void **state)
{
	struct fixture f;
	size_t len = 1 << 20, got = 0;
	char data[65536];
	ssize_t n;
	int fd;

	(void)state;
	open_control(&f);
	f.later = true;
	fd = connect_client(&f);
	say(&f, fd, "stop\n");
	handoff__control_reply(f.request, long_text(len));
	for (int i = 0; got < len; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		handoff__control_flush(&f.control);
		while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
	}
	close(fd);
	close_control(&f);
}

static void
closing_ends_all_clients(void **state)
{
	struct fixture f;
	struct stat st;
	int silent, waiting, reading;
	char byte;

	(void)state;
	open_control(&f);
	assert_int_equal(fstatat(f.dir.fd, "control.1", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	f.later = true;
	reading = connect_client(&f);
	say(&f, reading, "status\n");
	handoff__control_reply(f.request, long_text(1 << 20));
	waiting = connect_client(&f);
	say(&f, waiting, "stop\n");
	silent = connect_client(&f);
	settle(&f);
	assert_int_equal(in_use(&f), 3);
	handoff__control_close(&f.control);
	assert_int_equal(recv(silent, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(recv(waiting, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(fstatat(f.dir.fd, "control.1", &st, 0), -1);
	close(silent);
	close(waiting);
	close(reading);
	close_control(&f); /* twice is fine */
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
	struct fixture f;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	open_control(&f);
	/* The directory keeps them out; this is for when it does not. */
	assert_int_equal(fchmod(f.dir.fd, 0755), 0);
	assert_int_equal(fchmodat(f.dir.fd, "control.1", 0666, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_another_user(&f.dir);
	assert_true(handoff__loop_dispatch(&f.loop, 5000) > 0);
	settle(&f);
	assert_int_equal(f.count, 0);
	assert_int_equal(in_use(&f), 0);
	support_reap(pid);
	close_control(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(request_is_answered),
		handoff_test(request_may_come_in_pieces),
		handoff_test(empty_request_is_one),
		handoff_test(only_the_first_line_counts),
		handoff_test(longest_request_is_taken),
		handoff_test(request_that_is_too_long_is_refused),
		handoff_test(client_that_says_nothing_is_closed),
		handoff_test(deadline_does_not_move),
		handoff_test(client_that_leaves_early_is_forgotten),
		handoff_test(silent_clients_keep_nobody_out),
		handoff_test(client_that_has_just_asked_is_not_silent),
		handoff_test(too_many_clients_are_refused),
		handoff_test(clients_that_read_nothing_keep_nobody_out),
		handoff_test(reply_may_come_later),
		handoff_test(client_that_left_before_the_reply_is_no_error),
		handoff_test(client_may_end_its_sending),
		handoff_test(client_that_hangs_up_later_is_seen),
		handoff_test(descriptor_comes_with_a_request),
		handoff_test(descriptor_that_nobody_wants_is_closed),
		handoff_test(descriptor_without_a_request_is_closed),
		handoff_test(more_descriptors_are_refused),
		handoff_test(descriptor_that_finds_no_room_is_told),
		handoff_test(client_may_talk_while_it_waits),
		handoff_test(no_reply_for_want_of_memory_is_an_end),
		handoff_test(second_reply_is_dropped),
		handoff_test(long_reply_waits_for_its_reader),
		handoff_test(client_that_does_not_read_is_closed),
		handoff_test(client_that_never_ends_is_closed),
		handoff_test(flush_sends_without_the_loop),
		handoff_test(closing_ends_all_clients),
		handoff_test(never_opened_is_closed_well),
		handoff_test(other_users_are_refused),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
