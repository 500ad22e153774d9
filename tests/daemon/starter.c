/* SPDX-License-Identifier: MIT */
/*
 * A starter process for each daemon. No wait lasts for ever: the alarm of the
 * test ends the test, which closes the socket, which ends the daemon.
 */
#include "daemon/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct outcome {
	int rc;
	char why[HANDOFF_TEXT_MAX];
};

static int talk = -1; /* the daemon's end */
static const char *dir;

const char *
in_dir(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

const char *
content(const char *path)
{
	static char text[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

void
make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

void
starter_init(struct starter *s, daemon_fn *fn)
{
	memset(s, 0, sizeof(*s));
	s->opts.size = sizeof(s->opts);
	s->opts.errbuf = s->why;
	s->opts.errbuf_size = sizeof(s->why);
	s->fn = fn;
	s->outcome = s->talk = -1;
	prctl(PR_SET_CHILD_SUBREAPER, 1UL);
	if (!dir || access(dir, F_OK) < 0)
		dir = support_dir();
}

/* The starter, and in the daemon the daemon. */
static void __attribute__((noreturn)) be_starter(struct starter *s, int tell_to)
{
	struct handoff_daemon *daemon = NULL;
	struct outcome outcome;
	int reaper = 0;

	alarm(20);
	if (s->before)
		s->before();
	outcome.rc = handoff_daemon_start(&daemon, &s->opts);
	if (outcome.rc == 0 && daemon) {
		if (!s->opts.foreground)
			close(tell_to);
		alarm(20);
		s->fn(daemon);
		handoff_daemon_free(daemon);
		_exit(0);
	}
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	if (reaper)
		_exit(89);
	memcpy(outcome.why, s->why, sizeof(outcome.why));
	_exit(write(tell_to, &outcome, sizeof(outcome)) != sizeof(outcome));
}

void
starter_begin(struct starter *s)
{
	int outcome[2], ends[2];

	assert_int_equal(pipe2(outcome, O_CLOEXEC), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	fflush(NULL);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		close(outcome[0]);
		close(ends[0]);
		talk = ends[1];
		be_starter(s, outcome[1]);
	}
	close(outcome[1]);
	close(ends[1]);
	s->outcome = outcome[0];
	s->talk = ends[0];
}

bool
starter_returned(const struct starter *s, int ms)
{
	struct pollfd p = {.fd = s->outcome, .events = POLLIN};

	return poll(&p, 1, ms) > 0;
}

void
starter_end(struct starter *s)
{
	struct outcome outcome;

	assert_int_equal(read(s->outcome, &outcome, sizeof(outcome)),
		(int)sizeof(outcome));
	close(s->outcome);
	s->outcome = -1;
	s->rc = outcome.rc;
	memcpy(s->why, outcome.why, sizeof(s->why));
	support_reap(s->pid);
}

void
starter_run(struct starter *s)
{
	starter_begin(s);
	starter_end(s);
}

void
tell(struct starter *s, const char *text)
{
	assert_int_equal(send(s->talk, text, strlen(text), MSG_NOSIGNAL),
		(int)strlen(text));
}

const char *
hear(struct starter *s)
{
	ssize_t n = recv(s->talk, s->heard, sizeof(s->heard) - 1, 0);

	assert_true(n > 0);
	s->heard[n] = '\0';
	return s->heard;
}

void
expect(struct starter *s, const char *text)
{
	assert_string_equal(hear(s), text);
}

int
farewell(struct starter *s)
{
	int status = -1;

	/* A word and not only the end of file: a process that was started
	 * since may have a copy of the descriptor. */
	send(s->talk, "end", 3, MSG_NOSIGNAL);
	close(s->talk);
	s->talk = -1;
	if (s->daemon > 0)
		assert_int_equal(waitpid(s->daemon, &status, 0), s->daemon);
	s->daemon = 0;
	return status;
}

/* In the daemon */

void
say(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (send(talk, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(90);
}

const char *
listen_for(void)
{
	static char text[1024];
	ssize_t n;

	do {
		n = recv(talk, text, sizeof(text) - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	return strcmp(text, "end") == 0 ? NULL : text;
}

const char *
listen_and_dispatch(struct handoff_daemon *daemon)
{
	struct pollfd p[] = {{.fd = talk, .events = POLLIN},
		{.fd = handoff_daemon_fd(daemon), .events = POLLIN}};

	while (poll(p, 2, -1) < 0 || !p[0].revents) {
		if (p[1].revents)
			say("%d", handoff_daemon_dispatch(daemon));
	}
	return listen_for();
}

void
obey(struct handoff_daemon *daemon)
{
	const char *line;

	if (handoff_daemon_ready(daemon) < 0)
		_exit(91);
	say("%d", (int)getpid());
	while ((line = listen_and_dispatch(daemon))) {
		if (strcmp(line, "wait") == 0) {
			say("waited %d", handoff_daemon_wait(daemon, -1));
			continue;
		}
		if (strncmp(line, "print ", 6) == 0) {
			printf("%s\n", line + 6);
			fflush(stdout);
		}
		say("done");
	}
}
