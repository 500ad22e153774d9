/* SPDX-License-Identifier: MIT */
/* What the tests of the ZooKeeper component run in. */
#include "zookeeper/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS 20000

static char rest[256], with_creds[512];

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *
server(void)
{
	const char *endpoint = getenv("HANDOFF_TEST_ENGINE");

	if (!endpoint) {
		print_message("SKIP: run by tests/engines/engines.py\n");
		skip();
	}
	return endpoint;
}

const char *
place_new(void)
{
	static int count;

	snprintf(rest, sizeof(rest), "%s/t%d-%d", server(), (int)getpid(),
		count++);
	return rest;
}

const char *
place_creds(const char *text)
{
	static int count;
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/creds%d", support_dir(), count++);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(with_creds, sizeof(with_creds), "%s?creds=%s", rest, path);
	return with_creds;
}

void *
lease_begin(
	const char *where, const char *host, const void *session, size_t len)
{
	struct handoff_lease_side side = {
		.size = sizeof(side),
		.ttl_ms = TTL_MS,
		.host = host,
		.text = "about",
		.session = session,
		.session_len = len,
	};
	char sentence[HANDOFF_TEXT_MAX] = "";
	void *end = NULL;
	int rc = handoff__zk_engine.open(
		&end, where, &side, sentence, sizeof(sentence));

	if (rc < 0)
		fail_msg("open: %s", sentence);
	return end;
}

void
lease_end(void *end)
{
	handoff__zk_engine.close(end);
}

struct handoff_lease_event
lease_await(void *end, enum handoff_lease_event_kind kind)
{
	int64_t until = now_ms() + DEADLINE_MS;
	struct pollfd pfd = {
		.fd = handoff__zk_engine.fd(end), .events = POLLIN};
	struct handoff_lease_event event;

	for (;;) {
		while (handoff__zk_engine.next_event(end, &event) > 0) {
			if (event.kind == kind)
				return event;
			if (event.kind == HANDOFF_LEASE_ERROR)
				print_message("%s\n", event.text);
		}
		if (now_ms() > until)
			fail_msg("no event %d", (int)kind);
		poll(&pfd, 1, (int)(until - now_ms()) + 1);
	}
}

void *
lease_vacant(const char *where, const char *host)
{
	void *end = lease_begin(where, host, NULL, 0);

	lease_await(end, HANDOFF_LEASE_VACANT);
	return end;
}

uint64_t
lease_take(void *end, uint64_t serial, uint64_t above)
{
	struct handoff_lease_event event;

	assert_int_equal(handoff__zk_engine.acquire(end, serial, above), 0);
	event = lease_await(end, HANDOFF_LEASE_ACQUIRED);
	assert_int_equal(event.serial, serial);
	return event.token;
}

static void
signal_server(int sig)
{
	const char *pid = getenv("HANDOFF_TEST_ENGINE_PID");

	assert_non_null(pid);
	assert_int_equal(kill(atoi(pid), sig), 0);
}

/* The state of one of its threads, or 'T' if that has ended. */
static char
thread_state(const char *task, const char *thread)
{
	char path[600], text[300] = "";
	FILE *file;
	char *end;

	snprintf(path, sizeof(path), "%s/%s/stat", task, thread);
	file = fopen(path, "re");
	if (!file)
		return 'T';
	end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return end && end[1] == ' ' ? end[2] : 'T';
}

static bool
is_stopped(const char *task)
{
	struct dirent *thread;
	bool all = true;
	DIR *dir = opendir(task);

	assert_non_null(dir);
	while (all && (thread = readdir(dir)))
		all = thread->d_name[0] == '.' ||
		      thread_state(task, thread->d_name) == 'T';
	closedir(dir);
	return all;
}

/* The signal is pending until one of the threads has taken it, and others run
 * meanwhile. */
void
server_stop(void)
{
	int64_t until = now_ms() + DEADLINE_MS;
	char task[100];

	signal_server(SIGSTOP);
	snprintf(task, sizeof(task), "/proc/%s/task",
		getenv("HANDOFF_TEST_ENGINE_PID"));
	while (!is_stopped(task)) {
		assert_true(now_ms() < until);
		poll(NULL, 0, 1);
	}
}

void
server_go_on(void)
{
	signal_server(SIGCONT);
}

static void
turn(zhandle_t *zh)
{
	struct timeval tv = {0};
	struct pollfd pfd = {.fd = -1};
	int interest = 0, found = 0;

	zookeeper_interest(zh, &pfd.fd, &interest, &tv);
	pfd.events = (short)((interest & ZOOKEEPER_READ ? POLLIN : 0) |
			     (interest & ZOOKEEPER_WRITE ? POLLOUT : 0));
	poll(&pfd, 1, 20);
	found = (pfd.revents & POLLIN ? ZOOKEEPER_READ : 0) |
		(pfd.revents & POLLOUT ? ZOOKEEPER_WRITE : 0);
	zookeeper_process(zh, found);
}

static void
log_nothing(const char *text)
{
	(void)text;
}

zhandle_t *
admin_open(const clientid_t *id)
{
	zhandle_t *zh = zookeeper_init2(server(), NULL, 10000, id, NULL,
		ZOO_NO_LOG_CLIENTENV, log_nothing);
	int64_t until = now_ms() + DEADLINE_MS;

	assert_non_null(zh);
	while (zoo_state(zh) != ZOO_CONNECTED_STATE) {
		assert_true(now_ms() < until);
		turn(zh);
	}
	return zh;
}

void
admin_close(zhandle_t *zh)
{
	zookeeper_close(zh);
}

struct answer {
	bool came;
	int rc, len;
	char *out;
};

static void
done(int rc, const void *data)
{
	struct answer *a = (void *)data;

	a->came = true;
	a->rc = rc;
}

static void
got(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct answer *a = (void *)data;

	(void)stat;
	if (rc == ZOK) {
		assert_true(len <= a->len);
		a->len = len;
		memcpy(a->out, value ? value : "", len > 0 ? (size_t)len : 0);
	}
	done(rc, data);
}

static int
await_answer(zhandle_t *zh, const struct answer *a)
{
	int64_t until = now_ms() + DEADLINE_MS;

	while (!a->came) {
		assert_true(now_ms() < until);
		turn(zh);
	}
	return a->rc;
}

int
admin_delete(zhandle_t *zh, const char *path)
{
	struct answer a = {0};

	assert_int_equal(zoo_adelete(zh, path, -1, done, &a), ZOK);
	return await_answer(zh, &a);
}

int
admin_open_node(zhandle_t *zh, const char *path)
{
	struct ACL_vector acl = ZOO_OPEN_ACL_UNSAFE;
	struct answer a = {0};

	assert_int_equal(zoo_aset_acl(zh, path, -1, &acl, done, &a), ZOK);
	return await_answer(zh, &a);
}

int
admin_get(zhandle_t *zh, const char *path, char *out, int size)
{
	struct answer a = {.out = out, .len = size};
	int rc;

	assert_int_equal(zoo_aget(zh, path, 0, got, &a), ZOK);
	rc = await_answer(zh, &a);
	return rc == ZOK ? a.len : rc;
}
