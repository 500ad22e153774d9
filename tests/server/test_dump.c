/* SPDX-License-Identifier: MIT */
/*
 * Dumps of a server in this process: their content, and how they fail. fork and
 * pidfd_open are wrapped: they fail when a test asks for it. Dumps of real
 * programs are in tests/system/test_dump.py.
 */
#include "server/duo.h"

#include "base/fdpass.h"
#include "server/dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY                                                                   \
	40 /* connections: a dump of them does not fit into a small pipe       \
	    */

static struct duo duo;
static struct handoff__dir dir;
static bool no_fork, no_pidfd;
static bool slow_fork; /* a child that does not wait has ended before */

pid_t __real_fork(void);
pid_t __wrap_fork(void);
int __real_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_open(pid_t pid, unsigned flags);

pid_t
__wrap_fork(void)
{
	pid_t pid;

	errno = EAGAIN;
	if (no_fork)
		return -1;
	pid = __real_fork();
	for (int i = 0; slow_fork && pid > 0 && i < 100; i++) {
		if (kill(pid, 0) < 0)
			break;
		poll(NULL, 0, 1);
	}
	return pid;
}

int
__wrap_pidfd_open(pid_t pid, unsigned flags)
{
	errno = EMFILE;
	return no_pidfd ? -1 : __real_pidfd_open(pid, flags);
}

static void
open_host(void)
{
	struct handoff__error error = {.text = ""};

	no_fork = no_pidfd = false;
	assert_int_equal(
		handoff__dir_open(&dir, duo.a.opts.dir, false, 0, &error), 0);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
}

static void
open_server(enum handoff_model model, handoff_print_fn *print)
{
	duo_init(&duo, model);
	duo.a.service.print = print;
	open_host();
}

static void
close_server(void)
{
	duo_close(&duo);
	handoff__dir_close(&dir);
}

/* Sends the request with what the dump is to be written to. */
static int
ask(int out)
{
	int sock = handoff__dir_connect(&dir, "control.1", SOCK_STREAM);

	assert_true(sock >= 0);
	assert_int_equal(handoff__fdpass_send_text(sock, "dump\n", 5, out), 5);
	return sock;
}

/* All of the answer; closes the socket. */
static const char *
hear(int sock)
{
	static char text[1024];
	size_t len = 0;
	ssize_t n;

	for (int idle = 0; idle < 1000;) {
		n = recv(
			sock, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		if (n == 0)
			break;
		len += n > 0 ? (size_t)n : 0;
		if (n < 0)
			idle += !duo_turn(&duo);
	}
	close(sock);
	/* The server closes its end. */
	duo_turn(&duo);
	duo_turn(&duo);
	text[len] = '\0';
	return text;
}

static void
assert_error(int sock, const char *why)
{
	const char *text = hear(sock);

	if (strncmp(text, "error ", 6) != 0 || !strstr(text, why))
		fail_msg("'%s' is not in '%s'", why, text);
}

/* A dump to a file of no name; returns its text, to be freed. */
static char *
dump(void)
{
	int file = memfd_create("dump", MFD_CLOEXEC), sock = ask(file);
	const char *answer = hear(sock);
	unsigned entries, lines = 0;
	long long bytes;
	char *text;

	if (sscanf(answer,
		    "ok lines server owner %*d\n"
		    "dumped %u entr%*[a-z], %lld bytes, pause %*d.%*d ms\n",
		    &entries, &bytes) != 2)
		fail_msg("no dump: %s", answer);
	assert_int_equal(lseek(file, 0, SEEK_END), bytes);
	text = calloc(1, (size_t)bytes + 1);
	assert_non_null(text);
	assert_int_equal(pread(file, text, (size_t)bytes, 0), bytes);
	close(file);
	for (const char *c = text; (c = strchr(c, '\n')); c++)
		lines++;
	assert_int_equal(lines, entries + 1); /* and the header */
	return text;
}

static void
assert_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in:\n%s", part, text);
}

/* A pipe that takes little, and a client for each of many connections, so
 * that a dump of them stands still. */
struct stall {
	int ends[2], clients[MANY];
};

static void
stall_open(struct stall *stall)
{
	assert_int_equal(pipe2(stall->ends, O_CLOEXEC), 0);
	assert_true(fcntl(stall->ends[1], F_SETPIPE_SZ, 4096) >= 4096);
	for (int i = 0; i < MANY; i++) {
		stall->clients[i] = client_open(duo.a.address);
		client_line(&duo, stall->clients[i], 1);
	}
}

static void
stall_close(struct stall *stall)
{
	for (int i = 0; i < MANY; i++)
		close(stall->clients[i]);
	close(stall->ends[0]);
	close(stall->ends[1]);
}

/* A dump that stands still. */
static int
stalled(struct stall *stall)
{
	int sock = ask(stall->ends[1]);

	for (int idle = 0; !duo.a.server->dump && idle < 1000;)
		idle += !duo_turn(&duo);
	assert_non_null(duo.a.server->dump);
	/* The pipe is full. */
	assert_int_equal(support_poll(stall->ends[0], POLLIN), POLLIN);
	return sock;
}

/* The child of the dump that is under way, from its pidfd (proc(5)). */
static int
child_of(const struct handoff__dump *dump)
{
	char path[64], line[128];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", dump->watch.fd);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	}
	fclose(file);
	return pid;
}

/* No child of any kind, dead or alive. */
static void
assert_childless(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_null(duo.a.server->dump);
}

static void
everything_is_in_a_dump(void **state)
{
	struct handoff_extra extra = {.name = "clock", .fd = STDERR_FILENO};
	char part[400], *text;
	int client;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.extras = &extra;
	duo.a.opts.nextras = 1;
	duo.a.opts.extra_size = sizeof(extra);
	assert_int_equal(
		handoff__dir_open(&dir, duo.a.opts.dir, false, 0, NULL), 0);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	client_line(&duo, client, 2);
	client_send(client, "abc");
	duo_turn(&duo);
	text = dump();
	assert_in(text, "{\"service\":\"lines\",\"peer\":\"server\","
			"\"generation\":1,\"time\":\"2");
	assert_in(text, "Z\",\"entries\":3}\n");
	snprintf(part, sizeof(part),
		"{\"id\":0,\"kind\":\"listener\",\"owner\":\"server\","
		"\"name\":\"%s\"}\n",
		duo.a.address);
	assert_in(text, part);
	assert_in(text, "{\"id\":1,\"kind\":\"extra\",\"owner\":\"server\","
			"\"name\":\"clock\"}\n");
	assert_in(text, "{\"id\":1,\"kind\":\"connection\","
			"\"owner\":\"server\",\"client\":\"127.0.0.1:");
	snprintf(part, sizeof(part),
		"\"local\":\"%s\",\"received\":15,\"consumed\":12,"
		"\"produced\":16,\"sent\":16,"
		"\"in\":{\"bytes\":3,\"hex\":\"616263\"},"
		"\"out\":{\"bytes\":0,\"hex\":\"\"},\"flags\":[\"opened\"],"
		"\"activity\":\"pending\",\"handling\":false,"
		"\"handler_deaths\":0,\"state_hex\":\"02000000\"}\n",
		duo.a.address);
	assert_in(text, part);
	free(text);
	close(client);
	close_server();
}

/* A batch of a move has it, and neither peer. */
static void
entry_that_leaves_the_host_is_elsewhere(void **state)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t own;
	char *text;
	int client;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	do {
		e = handoff__roster_next(&duo.a.server->pair.roster, e);
		assert_non_null(e);
	} while (e->kind != HANDOFF__CONNECTION);
	own = handoff__owner_word(&e->view.rec->owner);
	handoff__owner_set(&e->view.rec->owner, handoff__owner_elsewhere(63));
	text = dump();
	assert_in(text, "{\"id\":1,\"kind\":\"connection\","
			"\"owner\":\"elsewhere\",\"client\":\"127.0.0.1:");
	assert_in(text, "{\"id\":0,\"kind\":\"listener\","
			"\"owner\":\"server\"");
	free(text);
	handoff__owner_set(&e->view.rec->owner, own);
	close(client);
	close_server();
}

static int
print_count(const void *state, char *text, size_t size, void *arg)
{
	uint32_t count;

	memcpy(&count, state, sizeof(count));
	if (((struct host *)arg)->service.state_size != sizeof(count))
		return -EINVAL;
	if (count == 3)
		return -ENOENT;
	return snprintf(text, size, "\"%u\" lines\n\xff", count);
}

static int
print_without_end(const void *state, char *text, size_t size, void *arg)
{
	(void)state;
	(void)arg;
	memset(text, 'x', size);
	return (int)size;
}

static void
service_describes_its_state(void **state)
{
	char *text;
	int client;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, print_count);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	text = dump();
	assert_in(text, ",\"state\":\"\\\"1\\\" lines\\u000a\\ufffd\"}\n");
	free(text);
	client_line(&duo, client, 2);
	client_line(&duo, client, 3);
	text = dump();
	assert_in(text, ",\"state_hex\":\"03000000\"}\n");
	free(text);
	close(client);
	close_server();
	open_server(HANDOFF_MODEL_LOOP, print_without_end);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	text = dump();
	assert_in(text, "xxx\"}\n");
	free(text);
	close(client);
	close_server();
}

/* Numbers of it, and what its service says of its state. */
static void
secrets_are_not_shown(void **state)
{
	char *text;
	int client;

	(void)state;
	for (int prints = 0; prints < 2; prints++) {
		duo_init(&duo, HANDOFF_MODEL_LOOP);
		duo.a.service.secret = true;
		duo.a.service.print = prints ? print_count : NULL;
		open_host();
		client = client_open(duo.a.address);
		client_line(&duo, client, 1);
		client_send(client, "part");
		duo_turn(&duo);
		text = dump();
		assert_in(text, "\"received\":10,");
		assert_in(text, "\"in\":{\"bytes\":4,\"hex\":\"\"}");
		assert_null(strstr(text, "state_hex"));
		assert_int_equal(strstr(text, ",\"state\":") != NULL, prints);
		free(text);
		if (prints) { /* of this one it knows nothing to say */
			client_send(client, "\nx\n");
			client_expect(&duo, client, "2 part\n3 x\n");
			text = dump();
			assert_null(strstr(text, "state"));
			free(text);
		}
		close(client);
		close_server();
	}
}

/* Buffers that are full, and more of them than a dump takes along. */
static void
buffers_are_cut(void **state)
{
	enum { CLIENTS = 1200, BYTES = 9000 };
	static char data[BYTES];
	int clients[CLIENTS], err;
	size_t hex = 0, whole = 0;
	char *text;

	(void)state;
	support_need_descriptors(2 * CLIENTS + 200);
	open_server(HANDOFF_MODEL_LOOP, NULL);
	memset(data, 'a', sizeof(data)); /* no line yet: it stays */
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = client_open(duo.a.address);
		assert_int_equal(
			send(clients[i], data, BYTES, MSG_NOSIGNAL), BYTES);
		duo_turn(&duo);
	}
	for (int idle = 0; idle < 10;)
		idle += !duo_turn(&duo);
	/* A name comes after all of them and is there all the same. */
	assert_non_null(handoff__pair_enter(&duo.a.server->pair,
		fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), HANDOFF__EXTRA,
		"late", &err));
	text = dump();
	assert_in(text, "\"kind\":\"extra\",\"owner\":\"server\","
			"\"name\":\"late\"}\n");
	for (const char *c = text;
		(c = strstr(c, "\"in\":{\"bytes\":9000,\"hex\":\"")); c++) {
		size_t len;

		c += strlen("\"in\":{\"bytes\":9000,\"hex\":\"");
		len = strspn(c, "0123456789abcdef");
		assert_int_equal(strspn(c, "61"), len);
		assert_in_range(len, 0, 2 * HANDOFF__PICTURE_EACH);
		hex += len / 2;
		whole++;
	}
	assert_int_equal(whole, CLIENTS);
	assert_in_range(
		hex, HANDOFF__PICTURE_BYTES / 8 * 7, HANDOFF__PICTURE_BYTES);
	free(text);
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i]);
	close_server();
}

/* Locks, link, sockets, connections: only the standard ones are left, and
 * what it writes to. */
static void
child_lets_go_of_everything(void **state)
{
	struct stall stall;
	char path[64];
	struct dirent *name;
	int sock, high;
	DIR *fds;

	(void)state;
	support_not_in_valgrind();
	high = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 900);
	open_server(HANDOFF_MODEL_LOOP, NULL);
	stall_open(&stall);
	sock = stalled(&stall);
	snprintf(path, sizeof(path), "/proc/%d/fd",
		child_of(duo.a.server->dump));
	fds = opendir(path);
	assert_non_null(fds);
	while ((name = readdir(fds))) {
		char target[64] = "";

		if (name->d_name[0] == '.' || atoi(name->d_name) < 3)
			continue;
		assert_true(readlinkat(dirfd(fds), name->d_name, target,
				    sizeof(target) - 1) > 0);
		assert_in(target, "pipe:");
	}
	closedir(fds);
	handoff__timer_arm(&duo.a.server->loop, &duo.a.server->dump->timer, 1);
	assert_error(sock, "it took longer than 50 s");
	close(high);
	stall_close(&stall);
	close_server();
}

static void
one_dump_at_a_time(void **state)
{
	struct stall stall;
	char data[65536];
	int sock, file = memfd_create("dump", MFD_CLOEXEC);

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	stall_open(&stall);
	sock = stalled(&stall);
	assert_error(ask(file), "a dump is under way: wait for its end");
	assert_int_equal(lseek(file, 0, SEEK_END), 0);
	/* Others are served meanwhile. */
	client_line(&duo, stall.clients[0], 2);
	close(stall.ends[1]);
	while (read(stall.ends[0], data, sizeof(data)) > 0)
		;
	assert_int_equal(strncmp(hear(sock), "ok ", 3), 0);
	assert_childless();
	free(dump());
	stall.ends[1] = file;
	stall_close(&stall);
	close_server();
}

static void
dump_that_takes_too_long_is_ended(void **state)
{
	struct stall stall;
	struct handoff__timer *timer;
	int sock;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	stall_open(&stall);
	sock = stalled(&stall);
	timer = &duo.a.server->dump->timer;
	assert_true(timer->armed);
	assert_in_range(
		timer->deadline_us - handoff__now_us(), 40000000, 59000000);
	handoff__timer_arm(&duo.a.server->loop, timer, 1);
	assert_error(sock, "it took longer than 50 s");
	assert_childless();
	stall_close(&stall);
	close_server();
}

static void
dump_that_nobody_waits_for_is_ended(void **state)
{
	struct stall stall;
	int sock;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	stall_open(&stall);
	sock = stalled(&stall);
	close(sock);
	for (int idle = 0; duo.a.server->dump && idle < 1000;)
		idle += !duo_turn(&duo);
	assert_childless();
	free(dump());
	stall_close(&stall);
	close_server();
}

static void
server_ends_before_its_dump(void **state)
{
	struct stall stall;
	char text[256] = "";
	int sock;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	stall_open(&stall);
	sock = stalled(&stall);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	assert_true(recv(sock, text, sizeof(text) - 1, 0) > 0);
	assert_in(text, "error the process that wrote the dump was killed: "
			"this server is ending\n");
	close(sock);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	stall_close(&stall);
	close_server();
}

static void
child_that_is_killed_is_told(void **state)
{
	struct stall stall;
	int sock;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	stall_open(&stall);
	sock = stalled(&stall);
	assert_int_equal(pidfd_send_signal(duo.a.server->dump->watch.fd,
				 SIGKILL, NULL, 0),
		0);
	assert_error(sock, "was killed: by a signal");
	assert_childless();
	stall_close(&stall);
	close_server();
}

/* A program may have its children reaped by the kernel (sigaction(2)). */
static void
who_reaps_the_child_does_not_matter(void **state)
{
	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 10; i++)
		free(dump());
	slow_fork = true;
	free(dump());
	slow_fork = false;
	signal(SIGCHLD, SIG_DFL);
	close_server();
}

static void
what_cannot_be_written_is_told(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int ends[2];

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	assert_error(ask(full), "cannot write the dump: No space left");
	assert_error(ask(reader), "cannot write the dump: Bad file descriptor");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	assert_error(ask(ends[1]), "cannot write the dump: Broken pipe");
	assert_error(
		ask(-1), "needs a descriptor to write to, and none was sent");
	close(ends[1]);
	close(reader);
	close(full);
	assert_childless();
	close_server();
}

/* A file may be made to grow too large for the process (setrlimit(2)). */
static void
file_that_may_not_grow_is_told(void **state)
{
	int file = memfd_create("dump", MFD_CLOEXEC);
	struct rlimit old, now;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	now = old;
	now.rlim_cur = 10;
	assert_int_equal(lseek(file, 10, SEEK_SET), 10);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
	assert_error(ask(file), "cannot write the dump: File too large");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	close(file);
	close_server();
}

static void
dump_that_cannot_begin_is_told(void **state)
{
	int file = memfd_create("dump", MFD_CLOEXEC), before;

	(void)state;
	open_server(HANDOFF_MODEL_LOOP, NULL);
	free(dump());
	before = support_open_fds();
	no_fork = true;
	assert_error(ask(file), "cannot start a dump: Resource temporarily");
	no_fork = false;
	no_pidfd = true;
	assert_error(ask(file), "cannot start a dump: Too many open files");
	no_pidfd = false;
	assert_childless();
	assert_int_equal(support_open_fds(), before);
	free(dump());
	assert_int_equal(support_open_fds(), before);
	close(file);
	close_server();
}

/* A pipe whose other end does not block need not be written to at once. */
static void
writer_waits_for_its_reader(void **state)
{
	struct stall stall;
	char data[1000];
	int sock, idle = 0;
	size_t got = 0;
	ssize_t n;

	(void)state;
	open_server(HANDOFF_MODEL_THREAD, NULL);
	stall_open(&stall);
	assert_int_equal(fcntl(stall.ends[1], F_SETFL, O_NONBLOCK), 0);
	sock = stalled(&stall);
	close(stall.ends[1]);
	while ((n = read(stall.ends[0], data, sizeof(data))) > 0)
		got += (size_t)n;
	assert_in_range(got, MANY * 200, MANY * 500);
	assert_int_equal(strncmp(hear(sock), "ok ", 3), 0);
	stall.ends[1] = -1;
	stall_close(&stall);
	while (duo.a.server->pair.roster.connections > 0 && idle < 1000)
		idle += !duo_turn(&duo);
	close_server();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(everything_is_in_a_dump),
		handoff_test(entry_that_leaves_the_host_is_elsewhere),
		handoff_test(service_describes_its_state),
		handoff_test(secrets_are_not_shown),
		handoff_test(buffers_are_cut),
		handoff_test(child_lets_go_of_everything),
		handoff_test(one_dump_at_a_time),
		handoff_test(dump_that_takes_too_long_is_ended),
		handoff_test(dump_that_nobody_waits_for_is_ended),
		handoff_test(server_ends_before_its_dump),
		handoff_test(child_that_is_killed_is_told),
		handoff_test(who_reaps_the_child_does_not_matter),
		handoff_test(what_cannot_be_written_is_told),
		handoff_test(file_that_may_not_grow_is_told),
		handoff_test(dump_that_cannot_begin_is_told),
		handoff_test(writer_waits_for_its_reader),
	};

	return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
