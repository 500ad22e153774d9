/* SPDX-License-Identifier: MIT */
/* The engine "zk:" with a real server, call by call. */
#include "zookeeper/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct handoff_lease_engine *const zk = &handoff__zk_engine;

static const char *
path_of(const char *rest, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "/handoff%.64s/%s", strchr(rest, '/'),
		name);
	if (strchr(rest, '?'))
		snprintf(path, sizeof(path), "/handoff%.*s/%s",
			(int)(strchr(rest, '?') - strchr(rest, '/')),
			strchr(rest, '/'), name);
	return path;
}

/* Waits until there are so many members; returns the one of that host. */
static struct handoff_lease_member
await_members(void *end, size_t count, const char *host, const char *text)
{
	struct handoff_lease_member member, found;
	size_t n;

	for (;;) {
		found = (struct handoff_lease_member){0};
		for (n = 0; zk->member(end, n, &member) == 1; n++) {
			if (strcmp(member.host, host) == 0)
				found = member;
		}
		if (n == count && strcmp(found.text, text) == 0)
			return found;
		lease_await(end, HANDOFF_LEASE_MEMBERS);
	}
}

static void
test_owner(void **state)
{
	const char *rest = place_new();
	void *a = lease_begin(rest, "a", NULL, 0);
	struct handoff_lease_event event;
	void *b;

	(void)state;
	assert_int_equal(
		lease_await(a, HANDOFF_LEASE_CONNECTED).ttl_ms, TTL_MS);
	lease_await(a, HANDOFF_LEASE_VACANT);
	assert_int_equal(lease_take(a, 1, 0), 1);
	assert_int_equal(zk->prove(a, 2, 1), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_PROVEN).serial, 2);
	assert_int_equal(zk->retained(a, 3), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_RETAINED).len, 0);
	assert_int_equal(zk->publish(a, 4, 1, "notice", 6), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_PUBLISHED).serial, 4);
	assert_string_equal(zk->state(a) + strlen("connected to "),
		getenv("HANDOFF_TEST_ENGINE"));

	b = lease_begin(rest, "b", NULL, 0);
	event = lease_await(b, HANDOFF_LEASE_TAKEN);
	assert_int_equal(event.token, 1);
	assert_string_equal(event.by, "a");
	assert_int_equal(zk->retained(b, 1), 0);
	event = lease_await(b, HANDOFF_LEASE_RETAINED);
	assert_int_equal(event.len, 6);
	assert_memory_equal(event.data, "notice", 6);
	assert_int_equal(zk->acquire(b, 2, 0), 0);
	event = lease_await(b, HANDOFF_LEASE_TAKEN);
	assert_int_equal(event.serial, 2);
	assert_int_equal(zk->prove(b, 3, 1), 0);
	assert_int_equal(lease_await(b, HANDOFF_LEASE_REFUSED).serial, 3);
	assert_int_equal(lease_take(a, 5, 7), 1);
	lease_end(a);
	lease_end(b);
}

static void
test_tokens_grow(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	void *b;

	(void)state;
	assert_int_equal(lease_take(a, 1, 41), 42);
	b = lease_begin(rest, "b", NULL, 0);
	lease_await(b, HANDOFF_LEASE_TAKEN);
	assert_int_equal(zk->release(a, 2), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_RELEASED).serial, 2);
	lease_await(b, HANDOFF_LEASE_VACANT);
	assert_int_equal(lease_take(b, 1, 3), 43);
	lease_await(a, HANDOFF_LEASE_TAKEN);
	assert_int_equal(zk->publish(a, 3, 42, "x", 1), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_REFUSED).serial, 3);
	/* what was released can be asked for again */
	assert_int_equal(zk->release(b, 2), 0);
	lease_await(a, HANDOFF_LEASE_VACANT);
	assert_int_equal(lease_take(a, 4, 0), 44);
	await_members(a, 1, "a", "about");
	lease_end(a);
	lease_end(b);
}

/* The owner does not know it yet: the ensemble refuses. */
static void
test_deposed(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	void *b = lease_vacant(rest, "b");
	zhandle_t *admin = admin_open(NULL);
	char text[64];

	(void)state;
	lease_take(a, 1, 0);
	lease_await(b, HANDOFF_LEASE_TAKEN);
	assert_int_equal(admin_delete(admin, path_of(rest, "lock")), ZOK);
	lease_await(b, HANDOFF_LEASE_VACANT);
	assert_int_equal(lease_take(b, 1, 0), 2);
	assert_int_equal(zk->publish(a, 2, 1, "old", 3), 0);
	assert_int_equal(zk->prove(a, 3, 1), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_REFUSED).serial, 2);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_REFUSED).serial, 3);
	assert_int_equal(
		admin_get(admin, path_of(rest, "notice"), text, sizeof(text)),
		0);
	admin_close(admin);
	lease_end(a);
	lease_end(b);
}

static void
test_continued(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	unsigned char session[HANDOFF_LEASE_SESSION_MAX];
	struct handoff_lease_event event;
	void *b;
	int len;

	(void)state;
	lease_take(a, 1, 9);
	b = lease_begin(rest, "b", NULL, 0);
	lease_await(b, HANDOFF_LEASE_TAKEN);
	len = zk->save(a, session, sizeof(session));
	assert_in_range(len, 1, sizeof(session));
	lease_end(a);
	a = lease_begin(rest, "a", session, (size_t)len);
	event = lease_await(a, HANDOFF_LEASE_ACQUIRED);
	assert_int_equal(event.serial, 0);
	assert_int_equal(event.token, 10);
	assert_int_equal(zk->prove(a, 1, 10), 0);
	lease_await(a, HANDOFF_LEASE_PROVEN);
	assert_int_equal(zk->acquire(b, 1, 0), 0);
	lease_await(b, HANDOFF_LEASE_TAKEN);
	lease_end(a);
	/* nobody continues it */
	lease_await(b, HANDOFF_LEASE_VACANT);
	a = lease_begin(rest, "a", session, (size_t)len);
	lease_await(a, HANDOFF_LEASE_EXPIRED);
	lease_await(a, HANDOFF_LEASE_CONNECTED);
	lease_await(a, HANDOFF_LEASE_VACANT);
	lease_end(a);
	lease_end(b);
}

static clientid_t
session_of(void *end)
{
	struct {
		uint32_t magic;
		int64_t id;
		char password[16];
	} saved;
	clientid_t id;

	assert_int_equal(zk->save(end, &saved, sizeof(saved)), sizeof(saved));
	id.client_id = saved.id;
	memcpy(id.passwd, saved.password, sizeof(id.passwd));
	return id;
}

static void
test_expired(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	clientid_t id;

	(void)state;
	lease_take(a, 1, 0);
	id = session_of(a);
	admin_close(admin_open(&id)); /* ends it at the server */
	lease_await(a, HANDOFF_LEASE_SUSPENDED);
	assert_int_equal(zk->prove(a, 2, 1), -ENOTCONN);
	lease_await(a, HANDOFF_LEASE_EXPIRED);
	lease_await(a, HANDOFF_LEASE_VACANT);
	assert_int_equal(zk->prove(a, 3, 1), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_REFUSED).serial, 3);
	assert_int_equal(lease_take(a, 4, 0), 2);
	lease_end(a);
}

static void
test_server_stopped(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	struct handoff_lease_event event;

	(void)state;
	lease_take(a, 1, 0);
	server_stop();
	assert_int_equal(zk->prove(a, 2, 1), 0);
	lease_await(a, HANDOFF_LEASE_SUSPENDED);
	server_go_on();
	lease_await(a, HANDOFF_LEASE_CONNECTED);
	event = lease_await(a, HANDOFF_LEASE_ACQUIRED);
	assert_int_equal(event.token, 1);
	assert_int_equal(zk->prove(a, 3, 1), 0);
	assert_int_equal(lease_await(a, HANDOFF_LEASE_PROVEN).serial, 3);
	lease_end(a);
}

/* What was asked for while not connected is done then. */
static void
test_released_later(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	void *b = lease_vacant(rest, "b");

	(void)state;
	lease_take(a, 1, 0);
	lease_await(b, HANDOFF_LEASE_TAKEN);
	server_stop();
	assert_int_equal(zk->prove(a, 2, 1), 0);
	lease_await(a, HANDOFF_LEASE_SUSPENDED);
	assert_int_equal(zk->release(a, 3), 0);
	server_go_on();
	assert_int_equal(lease_await(a, HANDOFF_LEASE_RELEASED).serial, 3);
	lease_await(b, HANDOFF_LEASE_VACANT);
	lease_end(a);
	lease_end(b);
}

static void
test_members(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	void *b = lease_vacant(rest, "b");
	clientid_t id;

	(void)state;
	lease_take(b, 1, 0);
	await_members(a, 2, "b", "about");
	assert_int_equal(zk->describe(b, "10.0.0.2:7000"), 0);
	assert_true(await_members(a, 2, "b", "10.0.0.2:7000").owner);
	assert_false(await_members(a, 2, "a", "about").owner);
	/* its node is replaced, and does not vanish with the old session */
	id = session_of(b);
	lease_end(b);
	b = lease_begin(rest, "b", NULL, 0);
	await_members(b, 2, "b", "about");
	await_members(a, 2, "b", "about");
	admin_close(admin_open(&id));
	lease_await(b, HANDOFF_LEASE_VACANT);
	await_members(a, 2, "b", "about");
	assert_int_equal(zk->release(b, 2), 0);
	lease_await(b, HANDOFF_LEASE_RELEASED);
	await_members(a, 1, "b", "");
	lease_end(a);
	lease_end(b);
}

static void
test_child_closes(void **state)
{
	const char *rest = place_new();
	void *a = lease_vacant(rest, "a");
	pid_t pid;

	(void)state;
	lease_take(a, 1, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		lease_end(a);
		_exit(0);
	}
	support_reap(pid);
	assert_int_equal(zk->prove(a, 2, 1), 0);
	lease_await(a, HANDOFF_LEASE_PROVEN);
	lease_end(a);
}

static void
test_credentials(void **state)
{
	const char *open = place_new();
	const char *rest = place_creds("# owner\nauth svc:secret\n");
	void *a = lease_vacant(rest, "a");
	zhandle_t *admin = admin_open(NULL);
	struct handoff_lease_event event;
	char text[64];
	void *b;

	(void)state;
	lease_take(a, 1, 0);
	assert_int_equal(
		admin_get(admin, path_of(rest, "lock"), text, sizeof(text)),
		ZNOAUTH);
	assert_int_equal(
		admin_get(admin, path_of(rest, "notice"), text, sizeof(text)),
		ZNOAUTH);
	b = lease_begin(open, "b", NULL, 0);
	event = lease_await(b, HANDOFF_LEASE_ERROR);
	assert_non_null(strstr(event.text, "other credentials"));
	lease_end(b);
	b = lease_begin(rest, "b", NULL, 0);
	lease_await(b, HANDOFF_LEASE_TAKEN);
	lease_end(b);
	lease_end(a);
	admin_close(admin);
}

/* Nodes that anybody may write to are not made safe by credentials. */
static void
test_open_nodes(void **state)
{
	void *a = lease_vacant(place_new(), "a");
	void *b;

	(void)state;
	b = lease_begin(place_creds("auth svc:secret\n"), "b", NULL, 0);
	assert_non_null(strstr(
		lease_await(b, HANDOFF_LEASE_ERROR).text, "anybody may write"));
	lease_end(a);
	lease_end(b);
}

static void
refused(const char *rest, int err, const char *sentence)
{
	struct handoff_lease_side side = {.size = sizeof(side),
		.ttl_ms = TTL_MS,
		.host = "a",
		.text = ""};
	char text[HANDOFF_TEXT_MAX] = "";
	void *end = NULL;

	assert_int_equal(zk->open(&end, rest, &side, text, sizeof(text)), err);
	if (!strstr(text, sentence))
		fail_msg("'%s' without '%s'", text, sentence);
	assert_null(end);
}

static void
test_refused(void **state)
{
	const char *rest;

	(void)state;
	refused("127.0.0.1:2181", -EINVAL, "names no service");
	refused("127.0.0.1:2181/a b", -EINVAL, "[A-Za-z0-9._-]");
	refused("127.0.0.1/x", -EINVAL, "no port");
	refused("::1:2181/x", -EINVAL, "brackets");
	refused("/x", -EINVAL, "no hosts");
	refused("127.0.0.1:2181/x?key=1", -EINVAL, "unknown option");
	refused("no.such.host.invalid:2181/x", -EAGAIN, "cannot resolve");
	refused("127.0.0.1:2181,192.0.2.1:2181/x", -EACCES, "?creds=FILE");
	refused("127.0.0.1:2181/x?creds=/no/such/file", -ENOENT, "/no/such");
	place_new();
	refused(place_creds("auth svc\n"), -EINVAL, "line 1");
	refused(place_creds("\nread none\n"), -EINVAL, "line 2");
	refused(place_creds("read anyone\n"), -EINVAL, "no line 'auth");
	rest = place_creds("auth svc:secret\n");
	assert_int_equal(chmod(strchr(rest, '=') + 1, 0640), 0);
	refused(rest, -EACCES, "chmod 600");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_owner),
		handoff_test(test_tokens_grow),
		handoff_test(test_deposed),
		handoff_test(test_continued),
		handoff_test(test_expired),
		handoff_test(test_server_stopped),
		handoff_test(test_released_later),
		handoff_test(test_members),
		handoff_test(test_child_closes),
		handoff_test(test_credentials),
		handoff_test(test_open_nodes),
		handoff_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
