/* SPDX-License-Identifier: MIT */
/*
 * A control socket and the loop that serves it; clients are plain sockets.
 */
#include "control/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct fixture f;

static void
on_gone(void *arg)
{
	(void)arg;
	f.gone++;
}

static void
on_request(void *arg, struct handoff__request *request, const char *line)
{
	char *text = NULL;

	(void)arg;
	f.count++;
	handoff__copy(f.line, sizeof(f.line), line);
	f.request = request;
	if (f.takes)
		f.taken = handoff__control_take(request);
	if (f.later) {
		handoff__control_on_gone(request, on_gone, NULL);
		return;
	}
	assert_true(asprintf(&text, "got %s\n", line) > 0);
	handoff__control_reply(request, text);
}

void
fixture_open(void)
{
	struct handoff__error error = {.text = ""};

	memset(&f, 0, sizeof(f));
	f.taken = -1;
	assert_int_equal(
		handoff__dir_open(&f.dir, support_dir(), false, 0, &error), 0);
	assert_int_equal(handoff__loop_init(&f.loop), 0);
	assert_int_equal(handoff__control_open(&f.control, &f.loop, &f.dir, 1,
				 NULL, on_request, NULL, &error),
		0);
}

void
fixture_close(void)
{
	handoff__control_close(&f.control);
	handoff__loop_fini(&f.loop);
	handoff__dir_close(&f.dir);
}

int
fixture_setup(void **state)
{
	if (support_setup(state) < 0)
		return -1;
	fixture_open();
	return 0;
}

int
fixture_teardown(void **state)
{
	fixture_close();
	return support_teardown(state);
}

void
fixture_settle(void)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		if (handoff__loop_dispatch(&f.loop, 0) == 0)
			return;
	}
	fail_msg("the loop never comes to rest");
}

int
fixture_connect(void)
{
	int fd = handoff__dir_connect(&f.dir, "control.1", SOCK_STREAM);

	assert_true(fd >= 0);
	return fd;
}

void
fixture_say(int fd, const char *text)
{
	assert_int_equal(
		send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	fixture_settle();
}

char *
fixture_hear(int fd)
{
	static char text[8192];
	size_t len = 0;
	ssize_t n;

	do {
		fixture_settle();
		n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	if (n < 0)
		fail_msg("no end: %s", strerror(errno));
	text[len] = '\0';
	return text;
}

bool
fixture_hears_nothing(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

unsigned
fixture_in_use(void)
{
	unsigned n = 0;

	for (int i = 0; i < HANDOFF__REQUESTS_MAX; i++)
		n += f.control.requests[i].step != HANDOFF__REQUEST_FREE;
	return n;
}

void
fixture_pass_deadline(void)
{
	struct handoff__timer *timer = &f.control.requests[0].timer;

	assert_true(timer->armed);
	assert_in_range(
		timer->deadline_us - handoff__now_us(), 100000, 10000000);
	handoff__timer_arm(&f.loop, timer, 1);
	while (timer->armed)
		assert_true(handoff__loop_dispatch(&f.loop, 1000) >= 0);
}

char *
fixture_text(size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + i % 26);
	text[len] = '\0';
	return text;
}
