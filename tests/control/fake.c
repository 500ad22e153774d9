/* SPDX-License-Identifier: MIT */
/*
 * Fake peers: children that hold a lock, serve a control socket and give the
 * answers that the test asks for.
 */
#include "control/fake.h"

#include "base/fdpass.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct handoff__dir fake_dir = {.fd = -1};
pid_t fake_pids[3];
char *reply;

static int passed = -1; /* in the child: came with the request, or -1 */

/* In the child */

static void
say(int conn, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = send(conn, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void
say_ok(const struct fake *fake, int conn)
{
	char line[128];

	snprintf(line, sizeof(line), "ok echo %s %s %d\n", fake->name,
		fake->role, (int)getpid());
	say(conn, line);
}

void
answer_all(const struct fake *fake, int conn, const char *line)
{
	char text[256];

	say_ok(fake, conn);
	if (strcmp(line, "status json\n") == 0)
		snprintf(text, sizeof(text),
			"{\"name\":\"%s\",\"role\":\"%s\"}\n", fake->name,
			fake->role);
	else if (strcmp(line, "status\n") == 0)
		snprintf(text, sizeof(text), "generation 3\nconnections 17\n");
	else
		snprintf(text, sizeof(text), "%s got %s", fake->name, line);
	say(conn, text);
	if (strcmp(line, "stop\n") == 0)
		_exit(0);
}

void
answer_text(const struct fake *fake, int conn, const char *line)
{
	if (strncmp(line, "status", 6) == 0)
		answer_all(fake, conn, line);
	else
		say(conn, fake->text);
}

void
answer_only_text(const struct fake *fake, int conn, const char *line)
{
	(void)line;
	say(conn, fake->text);
}

void
answer_ok_and_text(const struct fake *fake, int conn, const char *line)
{
	say_ok(fake, conn);
	say(conn, strncmp(line, "status", 6) == 0 ? "{}" : fake->text);
}

void
answer_never(const struct fake *fake, int conn, const char *line)
{
	(void)fake;
	(void)conn;
	(void)line;
	for (;;)
		pause();
}

void
answer_by_leaving(const struct fake *fake, int conn, const char *line)
{
	(void)fake;
	(void)conn;
	(void)line;
	_exit(0);
}

void
answer_but_first(const struct fake *fake, int conn, const char *line)
{
	static int calls;

	if (calls++ > 0)
		answer_all(fake, conn, line);
}

void
answer_and_end_slowly(const struct fake *fake, int conn, const char *line)
{
	say_ok(fake, conn);
	say(conn, line);
	shutdown(conn, SHUT_WR);
	poll(NULL, 0, 100);
	_exit(0);
}

void
answer_a_nul(const struct fake *fake, int conn, const char *line)
{
	(void)line;
	say_ok(fake, conn);
	send(conn, "a\0b\n", 4, MSG_NOSIGNAL);
}

void
answer_megabytes(const struct fake *fake, int conn, const char *line)
{
	static char text[1 << 20];
	int count = atoi(fake->text);

	(void)line;
	memset(text, ' ', sizeof(text) - 1);
	say_ok(fake, conn);
	say(conn, "{");
	for (int i = 0; i < count; i++)
		say(conn, text);
	say(conn, "}\n");
}

void
answer_dump(const struct fake *fake, int conn, const char *line)
{
	if (strcmp(line, "dump\n") != 0) {
		answer_all(fake, conn, line);
	} else if (passed < 0 || write(passed, "{}\n", 3) != 3) {
		say(conn, "error nothing to write to\n");
	} else if (fake->text) {
		say(conn, fake->text);
	} else {
		say_ok(fake, conn);
		say(conn, "dumped\n");
	}
}

static ssize_t
wait_and_receive(int conn, char *line, size_t size)
{
	struct pollfd p = {.fd = conn, .events = POLLIN};

	poll(&p, 1, -1);
	return handoff__fdpass_recv_text(conn, line, size, &passed);
}

void
fake_serve(const struct fake *fake, int server)
{
	for (;;) {
		char line[512];
		int conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		if (conn < 0) {
			struct pollfd p = {.fd = server, .events = POLLIN};

			poll(&p, 1, -1);
			continue;
		}
		n = wait_and_receive(conn, line, sizeof(line) - 1);
		if (n > 0) {
			line[n] = '\0';
			fake->answer(fake, conn, line);
		}
		if (passed >= 0)
			close(passed);
		close(conn);
	}
}

static void
be_peer(const struct fake *fake, int ready)
{
	char file[16], text[64] = "";
	int server = -1, lock;

	snprintf(file, sizeof(file), "peer.%d", fake->place);
	lock = handoff__dir_lock(&fake_dir, file);
	if (fake->name)
		snprintf(text, sizeof(text), "%s %d\n", fake->name,
			(int)getpid());
	if (lock < 0 || ftruncate(lock, 0) < 0 ||
		write(lock, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(1);
	snprintf(file, sizeof(file), "control.%d", fake->place);
	if (fake->answer)
		server =
			handoff__dir_listen(&fake_dir, file, SOCK_STREAM, NULL);
	/* Credentials are taken when a socket begins to listen (unix(7)). */
	if (fake->uid && (setresuid(fake->uid, fake->uid, fake->uid) < 0 ||
				 listen(server, 8) < 0))
		_exit(1);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	if (fake->answer)
		fake_serve(fake, server);
	for (;;)
		pause();
}

/* In the test */

void
fake_start(const struct fake *fake)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (!fake_dir.path[0])
		assert_int_equal(handoff__dir_open(&fake_dir, support_dir(),
					 false, 0, NULL),
			0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		be_peer(fake, ready[1]);
	}
	fake_pids[fake->place] = pid;
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void
fake_kill(int place)
{
	int fake_status;

	if (fake_pids[place] <= 0)
		return;
	kill(fake_pids[place], SIGKILL);
	waitpid(fake_pids[place], &fake_status, 0);
	fake_pids[place] = 0;
}

int
fake_setup(void **state)
{
	memset(&fake_dir, 0, sizeof(fake_dir));
	fake_dir.fd = -1;
	reply = NULL;
	return support_setup(state);
}

int
fake_teardown(void **state)
{
	fake_kill(1);
	fake_kill(2);
	free(reply);
	handoff__dir_close(&fake_dir);
	return support_teardown(state);
}

void
fake_start_pair(void)
{
	fake_start(&(struct fake){.place = 1,
		.name = "server",
		.role = "standby",
		.answer = answer_all});
	fake_start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "owner",
		.answer = answer_all});
}

void
fake_start_owner(answer_fn *answer, const char *text)
{
	fake_start(&(struct fake){.place = 1,
		.name = "server",
		.role = "owner",
		.answer = answer,
		.text = text});
}

void __attribute__((format(printf, 1, 2))) assert_reply(const char *fmt, ...)
{
	char expected[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(expected, sizeof(expected), fmt, ap);
	va_end(ap);
	assert_non_null(reply);
	assert_string_equal(reply, expected);
	free(reply);
	reply = NULL;
}

void
assert_words(const char *const *words)
{
	const char *at = reply;

	assert_non_null(at);
	for (; *words; words++) {
		at = strstr(at, *words);
		if (!at)
			fail_msg("no '%s' in its place in:\n%s", *words, reply);
		at += strlen(*words);
	}
	free(reply);
	reply = NULL;
}

int
fake_status(bool json)
{
	return handoff_control_status(fake_dir.path, json, &reply);
}
