/* SPDX-License-Identifier: MIT */
/*
 * The calls behind the control tool, against fake peers: children that hold a
 * lock, serve a control socket and answer as the test tells them to.
 */
#include "support/support.h"

#include <handoff/control.h>

#include "base/dir.h"
#include "base/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

struct fake;

/* Runs in the child for one request; the connection is closed after. */
typedef void answer_fn(const struct fake *fake, int conn, const char *line);

struct fake {
	int place;
	const char *name; /* NULL: writes nothing into its lock file */
	const char *role;
	answer_fn *answer; /* NULL: opens no socket */
	uid_t uid;         /* becomes that user before it listens */
	const char *text;  /* for `answer` */
};

/* Whether a lock is held can't be told: flock fails with this. */
static int blind;

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

int
__wrap_flock(int fd, int how)
{
	if (!(how & LOCK_SH) || blind == 0)
		return __real_flock(fd, how);
	errno = blind;
	return -1;
}

static struct handoff__dir dir;
static int passed = -1; /* in the child: came with the request, or -1 */
static pid_t pids[3];
static char *reply;

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

/* What a healthy peer does. */
static void
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

/* Answers a status as it should and anything else with `text` alone. */
static void
answer_text(const struct fake *fake, int conn, const char *line)
{
	if (strncmp(line, "status", 6) == 0)
		answer_all(fake, conn, line);
	else
		say(conn, fake->text);
}

/* Answers everything with `text` alone. */
static void
answer_only_text(const struct fake *fake, int conn, const char *line)
{
	(void)line;
	say(conn, fake->text);
}

static void
answer_ok_and_text(const struct fake *fake, int conn, const char *line)
{
	say_ok(fake, conn);
	say(conn, strncmp(line, "status", 6) == 0 ? "{}" : fake->text);
}

static void
answer_never(const struct fake *fake, int conn, const char *line)
{
	(void)fake;
	(void)conn;
	(void)line;
	for (;;)
		pause();
}

static void
leave(const struct fake *fake, int conn, const char *line)
{
	(void)fake;
	(void)conn;
	(void)line;
	_exit(0);
}

static void
close_first(const struct fake *fake, int conn, const char *line)
{
	static int calls;

	if (calls++ > 0)
		answer_all(fake, conn, line);
}

/* Answers, and still has something to do before it ends. */
static void
end_slowly(const struct fake *fake, int conn, const char *line)
{
	say_ok(fake, conn);
	say(conn, line);
	shutdown(conn, SHUT_WR);
	poll(NULL, 0, 100);
	_exit(0);
}

static void
answer_a_nul(const struct fake *fake, int conn, const char *line)
{
	(void)line;
	say_ok(fake, conn);
	send(conn, "a\0b\n", 4, MSG_NOSIGNAL);
}

static void
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

/* Writes a line to what came with the request and then says `text`, or that
 * it is done. */
static void
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

static void
serve(const struct fake *fake, int server)
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
	lock = handoff__dir_lock(&dir, file);
	if (fake->name)
		snprintf(text, sizeof(text), "%s %d\n", fake->name,
			(int)getpid());
	if (lock < 0 || ftruncate(lock, 0) < 0 ||
		write(lock, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(1);
	snprintf(file, sizeof(file), "control.%d", fake->place);
	if (fake->answer)
		server = handoff__dir_listen(&dir, file, SOCK_STREAM, NULL);
	/* Credentials are taken when a socket begins to listen (unix(7)). */
	if (fake->uid && (setresuid(fake->uid, fake->uid, fake->uid) < 0 ||
				 listen(server, 8) < 0))
		_exit(1);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	if (fake->answer)
		serve(fake, server);
	for (;;)
		pause();
}

/* In the test */

static void
start(const struct fake *fake)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (!dir.path[0])
		assert_int_equal(
			handoff__dir_open(&dir, support_dir(), false, 0, NULL),
			0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		be_peer(fake, ready[1]);
	}
	pids[fake->place] = pid;
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static void
kill_fake(int place)
{
	int status;

	if (pids[place] <= 0)
		return;
	kill(pids[place], SIGKILL);
	waitpid(pids[place], &status, 0);
	pids[place] = 0;
}

static int
setup(void **state)
{
	memset(&dir, 0, sizeof(dir));
	dir.fd = -1;
	reply = NULL;
	return support_setup(state);
}

static int
teardown(void **state)
{
	kill_fake(1);
	kill_fake(2);
	free(reply);
	handoff__dir_close(&dir);
	return support_teardown(state);
}

static void
start_pair(void)
{
	start(&(struct fake){.place = 1,
		.name = "server",
		.role = "standby",
		.answer = answer_all});
	start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "owner",
		.answer = answer_all});
}

static void
start_owner(answer_fn *answer, const char *text)
{
	start(&(struct fake){.place = 1,
		.name = "server",
		.role = "owner",
		.answer = answer,
		.text = text});
}

static void __attribute__((format(printf, 1, 2)))
assert_reply(const char *fmt, ...)
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

/* The status as people read it has these words in this order. */
static void
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

#define assert_table(...) assert_words((const char *const[]){__VA_ARGS__, NULL})

static int
status(bool json)
{
	return handoff_control_status(dir.path, json, &reply);
}

static void
status_names_all_owner_first(void **state)
{
	(void)state;
	start_pair();
	assert_int_equal(status(true), 0);
	assert_reply("{\"service\":\"echo\",\"peers\":["
		     "{\"name\":\"alt\",\"role\":\"owner\"},"
		     "{\"name\":\"server\",\"role\":\"standby\"}]}\n");
	assert_int_equal(status(false), 0);
	assert_table("echo: generation 3", "\nalt ", " owner ", " 17 ",
		"\nserver ", " standby ", " 17 ", "no handoff yet\n");
	kill_fake(2);
	assert_int_equal(status(true), 0);
	assert_reply("{\"service\":\"echo\",\"peers\":["
		     "{\"name\":\"server\",\"role\":\"standby\"}]}\n");
}

static void
metrics_of_all_are_one_text(void **state)
{
	(void)state;
	start_pair();
	assert_int_equal(handoff_control_metrics(dir.path, &reply), 0);
	assert_table("# TYPE handoff_up gauge\n", "peer=\"alt\"", "} 1\n",
		"peer=\"server\"", "} 1\n");
	kill_fake(1);
	start(&(struct fake){
		.place = 1, .name = "server", .answer = answer_never});
	assert_int_equal(handoff_control_metrics(dir.path, &reply), -ETIMEDOUT);
	assert_table("peer=\"alt\"", "} 1\n", "peer=\"server\"", "} 0\n");
	assert_int_equal(handoff_control_metrics(dir.path, NULL), -EINVAL);
	kill_fake(1);
	kill_fake(2);
	assert_int_equal(handoff_control_metrics(dir.path, &reply), -ENOENT);
	start_owner(answer_text, "error unknown request: want status\n");
	free(reply);
	reply = NULL;
	assert_int_equal(handoff_control_metrics(dir.path, &reply), -ECANCELED);
	assert_reply("unknown request: want status");
}

static void
commands_go_to_whom_they_are_for(void **state)
{
	(void)state;
	start_pair();
	assert_int_equal(
		handoff_control_maintenance(dir.path, NULL, &reply), 0);
	assert_reply("alt got maintenance\n");
	assert_int_equal(handoff_control_ready(dir.path, false, &reply), 0);
	assert_reply("server got ready\n");
	assert_int_equal(handoff_control_ready(dir.path, true, &reply), 0);
	assert_reply("server got ready silent\n");
	assert_int_equal(handoff_control_stop(dir.path, "alt", &reply), 0);
	assert_reply("alt got stop\n");
	assert_int_equal(handoff_control_stop(dir.path, "server", &reply), 0);
	assert_reply("server got stop\n");
}

static void
assert_file(const char *path, const char *text)
{
	char data[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, data, sizeof(data) - 1), strlen(text));
	assert_string_equal(data, text);
	close(fd);
}

static void
dump_goes_to_a_file(void **state)
{
	char path[128], missing[160];

	(void)state;
	start_owner(answer_dump, NULL);
	snprintf(path, sizeof(path), "%.99s/picture", dir.path);
	assert_int_equal(handoff_control_dump(dir.path, path, &reply), 0);
	assert_reply("dumped\n");
	assert_file(path, "{}\n");
	snprintf(missing, sizeof(missing), "%.99s/missing/picture", dir.path);
	assert_int_equal(
		handoff_control_dump(dir.path, missing, &reply), -ENOENT);
	assert_reply(
		"%s: cannot create it: No such file or directory", missing);
}

static void
dump_that_fails_leaves_what_was_there(void **state)
{
	char path[128];

	(void)state;
	start_owner(answer_dump, "error the disc is full\n");
	snprintf(path, sizeof(path), "%.99s/picture", dir.path);
	assert_int_equal(
		handoff_control_dump(dir.path, path, &reply), -ECANCELED);
	assert_reply("the disc is full");
	assert_int_equal(access(path, F_OK), -1);
}

static void
nobody_is_there(void **state)
{
	(void)state;
	/* The files of the dead are left behind. */
	start_owner(answer_all, NULL);
	kill_fake(1);
	assert_int_equal(status(true), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		dir.path, dir.path);
	assert_int_equal(
		handoff_control_maintenance(dir.path, NULL, &reply), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		dir.path, dir.path);
	assert_int_equal(
		handoff_control_ready(dir.path, false, &reply), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		dir.path, dir.path);
	assert_int_equal(
		handoff_control_stop(dir.path, "server", &reply), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		dir.path, dir.path);
}

static void
directory_is_checked(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/missing", support_dir());
	assert_int_equal(handoff_control_status(path, true, &reply), -ENOENT);
	assert_reply("service directory %s: cannot open it: No such file or "
		     "directory",
		path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(handoff_control_stop(path, "a", &reply), -EACCES);
	assert_non_null(strstr(reply, "chmod 700"));
}

static void
bad_arguments_are_refused(void **state)
{
	(void)state;
	start_owner(answer_all, NULL);
	assert_int_equal(handoff_control_status(dir.path, true, NULL), -EINVAL);
	assert_int_equal(
		handoff_control_maintenance(dir.path, NULL, NULL), -EINVAL);
	assert_int_equal(handoff_control_ready(dir.path, true, NULL), -EINVAL);
	assert_int_equal(handoff_control_stop(dir.path, "a", NULL), -EINVAL);
	assert_int_equal(handoff_control_stop(dir.path, NULL, &reply), -EINVAL);
	assert_reply("stop: no name was given");
	assert_int_equal(handoff_control_dump(dir.path, "-", NULL), -EINVAL);
	assert_int_equal(handoff_control_dump(dir.path, NULL, &reply), -EINVAL);
	assert_reply("dump: no file was given");
	assert_int_equal(handoff_control_dump(dir.path, "", &reply), -EINVAL);
	assert_reply("dump: no file was given");
	assert_int_equal(handoff_control_status(NULL, true, &reply), -EINVAL);
	assert_non_null(reply);
}

static void
silent_peer_is_unresponsive(void **state)
{
	(void)state;
	start_owner(answer_all, NULL);
	start(&(struct fake){
		.place = 2, .name = "alt", .answer = answer_never});
	assert_int_equal(status(true), -ETIMEDOUT);
	assert_reply("{\"service\":\"echo\",\"peers\":["
		     "{\"name\":\"server\",\"role\":\"owner\"},"
		     "{\"name\":\"alt\",\"pid\":%d,\"role\":\"unresponsive\"}"
		     "]}\n",
		(int)pids[2]);
	assert_int_equal(status(false), -ETIMEDOUT);
	assert_table("echo: generation 3", "\nserver ", " owner ", "\nalt ",
		" unresponsive ", " - ", "no handoff yet\n");
	/* It may be the one that could come home: nobody can tell. */
	assert_int_equal(
		handoff_control_ready(dir.path, false, &reply), -ETIMEDOUT);
	assert_reply("alt (pid %d): no answer within 2 s", (int)pids[2]);
	/* The owner can be reached, and that is enough. */
	assert_int_equal(
		handoff_control_maintenance(dir.path, NULL, &reply), 0);
	assert_reply("server got maintenance\n");
}

static void
nobody_answers(void **state)
{
	(void)state;
	start(&(struct fake){.place = 1, .name = "server"});
	start(&(struct fake){.place = 2});
	assert_int_equal(status(true), -ETIMEDOUT);
	assert_reply("{\"service\":null,\"peers\":["
		     "{\"name\":\"server\",\"pid\":%d,"
		     "\"role\":\"unresponsive\"},"
		     "{\"name\":null,\"pid\":null,"
		     "\"role\":\"unresponsive\"}]}\n",
		(int)pids[1]);
}

static void
peer_that_leaves_is_forgotten(void **state)
{
	(void)state;
	start(&(struct fake){.place = 1, .name = "old", .answer = leave});
	start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "owner",
		.answer = answer_all});
	assert_int_equal(status(false), 0);
	assert_table("echo: ", "\nalt ", " owner ");
	kill_fake(1);
	kill_fake(2);
	start(&(struct fake){.place = 1, .name = "old", .answer = leave});
	assert_int_equal(status(false), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		dir.path, dir.path);
}

static void
status_is_asked_again(void **state)
{
	(void)state;
	start_owner(close_first, NULL);
	assert_int_equal(status(false), 0);
	assert_table("echo: ", "\nserver ", " owner ");
}

/* The lock comes before the socket. */
static void
starting_peer_is_waited_for(void **state)
{
	pid_t pid;

	(void)state;
	start(&(struct fake){.place = 1, .name = "server"});
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct fake fake = {.name = "server",
			.role = "owner",
			.answer = answer_all};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		poll(NULL, 0, 50);
		serve(&fake, handoff__dir_listen(
				     &dir, "control.1", SOCK_STREAM, NULL));
	}
	pids[2] = pid;
	assert_int_equal(status(false), 0);
	assert_table("echo: ", "\nserver ", " owner ");
}

/* It has its lock, and writes its name a moment later. */
static void
peer_that_has_just_come_has_a_name(void **state)
{
	char line[32];
	pid_t pid;
	int fd, len;

	(void)state;
	start(&(struct fake){.place = 1,
		.role = "owner",
		.answer = answer_only_text,
		.text = "ok echo server owner 1\nstopped\n"});
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		poll(NULL, 0, 50);
		fd = openat(dir.fd, "peer.1", O_WRONLY | O_CLOEXEC);
		len = snprintf(line, sizeof(line), "server %d\n", (int)pids[1]);
		_exit(fd < 0 || write(fd, line, (size_t)len) != len);
	}
	assert_int_equal(handoff_control_stop(dir.path, "server", &reply), 0);
	support_reap(pid);
}

static void
peer_that_cannot_be_told_is_no_absent_one(void **state)
{
	(void)state;
	start_owner(answer_all, "");
	blind = ENFILE;
	assert_int_equal(status(false), -ENFILE);
	blind = 0;
	assert_reply("service directory %s: cannot tell whether a peer holds "
		     "peer.1: Too many open files in system",
		dir.path);
}

static void
refusal_is_passed_on(void **state)
{
	(void)state;
	start_owner(answer_text,
		"error no standby is attached: start \"alt\" 100% first\nx");
	assert_int_equal(handoff_control_maintenance(dir.path, NULL, &reply),
		-ECANCELED);
	assert_reply("no standby is attached: start \"alt\" 100%% first");
	assert_int_equal(
		handoff_control_stop(dir.path, "server", &reply), -ECANCELED);
	assert_reply("no standby is attached: start \"alt\" 100%% first");
}

static void
refused_status_is_passed_on(void **state)
{
	(void)state;
	start_owner(answer_only_text, "error too many at once\n");
	assert_int_equal(status(true), -ECANCELED);
	assert_reply("too many at once");
	assert_int_equal(handoff_control_maintenance(dir.path, NULL, &reply),
		-ECANCELED);
	assert_reply("too many at once");
}

static void
closing_without_an_answer(void **state)
{
	(void)state;
	start_owner(answer_text, "");
	assert_int_equal(handoff_control_maintenance(dir.path, NULL, &reply),
		-ECONNRESET);
	assert_reply("server (pid %d): it closed the connection without an "
		     "answer: it is stopping, or has died; status shows what "
		     "has moved",
		(int)pids[1]);
}

static void
answer_ends_with_a_newline(void **state)
{
	(void)state;
	start_owner(answer_ok_and_text, "");
	assert_int_equal(
		handoff_control_maintenance(dir.path, NULL, &reply), 0);
	assert_reply("server: done\n");
	assert_int_equal(status(false), 0);
	assert_table("echo: generation -", "\nserver ", " owner ",
		"no handoff yet\n");
	kill_fake(1);
	start_owner(answer_ok_and_text, "moved\n3 connections");
	assert_int_equal(
		handoff_control_maintenance(dir.path, NULL, &reply), 0);
	assert_reply("moved\n3 connections\n");
}

static void
without_an_owner(void **state)
{
	(void)state;
	start(&(struct fake){.place = 1,
		.name = "alt",
		.role = "waiting",
		.answer = answer_all});
	assert_int_equal(handoff_control_maintenance(dir.path, NULL, &reply),
		-ECANCELED);
	assert_reply("no peer owns the service: alt (pid %d) in %s: start a "
		     "server with --listen on it",
		(int)pids[1], dir.path);
}

static void
without_a_standby(void **state)
{
	(void)state;
	start_owner(answer_all, NULL);
	assert_int_equal(
		handoff_control_ready(dir.path, true, &reply), -ECANCELED);
	assert_reply("no standby to bring home: only server (pid %d) is in "
		     "%s; start the other server on it first",
		(int)pids[1], dir.path);
	start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "waiting",
		.answer = answer_all});
	assert_int_equal(
		handoff_control_ready(dir.path, true, &reply), -ECANCELED);
	assert_reply("neither is a standby: server (pid %d), alt (pid %d)",
		(int)pids[1], (int)pids[2]);
}

static void
stop_of_a_stranger(void **state)
{
	(void)state;
	start_owner(answer_all, NULL);
	assert_int_equal(
		handoff_control_stop(dir.path, "alt", &reply), -ENOENT);
	assert_reply("no peer alt in %s: server (pid %d) is there", dir.path,
		(int)pids[1]);
	start(&(struct fake){.place = 2, .name = "b", .answer = answer_all});
	assert_int_equal(
		handoff_control_stop(dir.path, "alt", &reply), -ENOENT);
	assert_reply("no peer alt in %s: server (pid %d), b (pid %d) are there",
		dir.path, (int)pids[1], (int)pids[2]);
}

static void
stop_waits_for_the_end(void **state)
{
	siginfo_t info = {0};

	(void)state;
	start_owner(end_slowly, NULL);
	assert_int_equal(handoff_control_stop(dir.path, "server", &reply), 0);
	assert_reply("stop\n");
	assert_int_equal(waitid(P_PID, (id_t)pids[1], &info,
				 WEXITED | WNOHANG | WNOWAIT),
		0);
	assert_int_equal(info.si_pid, pids[1]);
}

static void
twins_are_told_apart_by_pid(void **state)
{
	char pid[16];

	(void)state;
	start_owner(answer_all, NULL);
	start(&(struct fake){.place = 2,
		.name = "server",
		.role = "standby",
		.answer = answer_all});
	assert_int_equal(
		handoff_control_stop(dir.path, "server", &reply), -ECANCELED);
	assert_reply("two peers have the name server: server (pid %d), server "
		     "(pid %d); name one by its pid",
		(int)pids[1], (int)pids[2]);
	snprintf(pid, sizeof(pid), "%d", (int)pids[2]);
	assert_int_equal(handoff_control_stop(dir.path, pid, &reply), 0);
	assert_reply("server got stop\n");
}

static void
nonsense_is_not_understood(void **state)
{
	static const char *const nonsense[] = {"hello\n", "\n", "ok\n",
		"ok echo server owner 1", "ok echo server owner\n",
		"ok echo server owner x\n", "ok echo server owner 1 more\n",
		"ok echo a/b owner 1\n", "ok e\"cho server owner 1\n",
		"okay echo server owner 1\n", "error\n", "error none",
		"ok echo server owner 1\nno object\n",
		"ok echo server owner 1\n{\n",
		"ok echo 12345678901234567890123456789012 owner 1\n{}"};

	(void)state;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		start_owner(answer_only_text, nonsense[i]);
		assert_int_equal(status(true), -EPROTO);
		assert_non_null(strstr(reply, "its answer is not understood"));
		free(reply);
		reply = NULL;
		kill_fake(1);
	}
	start_owner(answer_a_nul, NULL);
	assert_int_equal(status(true), -EPROTO);
}

static void
answers_are_bounded(void **state)
{
	(void)state;
	start_owner(answer_megabytes, "15");
	assert_int_equal(status(true), 0);
	assert_int_equal(strlen(reply),
		strlen("{\"service\":\"echo\",\"peers\":[{}]}\n") +
			15 * ((1 << 20) - 1));
	free(reply);
	reply = NULL;
	kill_fake(1);
	start_owner(answer_megabytes, "17");
	assert_int_equal(status(true), -EMSGSIZE);
	assert_reply("server (pid %d): its answer is longer than 16 MiB",
		(int)pids[1]);
}

static void
socket_of_another_user_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	start(&(struct fake){.place = 1,
		.name = "server",
		.role = "owner",
		.answer = answer_all,
		.uid = NOBODY});
	assert_int_equal(status(true), -EPERM);
	assert_reply("server (pid %d): its socket is not served by the owner "
		     "of the directory",
		(int)pids[1]);
}

static void
root_may_ask_the_service_of_a_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	start(&(struct fake){.place = 1,
		.name = "server",
		.role = "owner",
		.answer = answer_all,
		.uid = NOBODY});
	assert_int_equal(fchown(dir.fd, NOBODY, NOBODY), 0);
	assert_int_equal(status(false), 0);
	assert_table("echo: ", "\nserver ", " owner ");
}

#define call_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		call_test(status_names_all_owner_first),
		call_test(metrics_of_all_are_one_text),
		call_test(commands_go_to_whom_they_are_for),
		call_test(dump_goes_to_a_file),
		call_test(dump_that_fails_leaves_what_was_there),
		call_test(nobody_is_there),
		call_test(directory_is_checked),
		call_test(bad_arguments_are_refused),
		call_test(silent_peer_is_unresponsive),
		call_test(nobody_answers),
		call_test(peer_that_leaves_is_forgotten),
		call_test(status_is_asked_again),
		call_test(starting_peer_is_waited_for),
		call_test(peer_that_has_just_come_has_a_name),
		call_test(peer_that_cannot_be_told_is_no_absent_one),
		call_test(refusal_is_passed_on),
		call_test(refused_status_is_passed_on),
		call_test(closing_without_an_answer),
		call_test(answer_ends_with_a_newline),
		call_test(without_an_owner),
		call_test(without_a_standby),
		call_test(stop_of_a_stranger),
		call_test(stop_waits_for_the_end),
		call_test(twins_are_told_apart_by_pid),
		call_test(nonsense_is_not_understood),
		call_test(answers_are_bounded),
		call_test(socket_of_another_user_is_refused),
		call_test(root_may_ask_the_service_of_a_user),
	};

	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
