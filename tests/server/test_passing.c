/* SPDX-License-Identifier: MIT */
/*
 * Transient errors: the kernel is short of memory for a moment. No connection
 * ends and nothing hangs. The calls are wrapped, and fail while a test asks for
 * it.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_int recv_fails, send_fails, add_fails, mod_fails; /* to come */
static atomic_uint failed;
static int client; /* the test's own end: nothing fails there */

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *ev);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);

static bool
is_to_fail(atomic_int *left, int err)
{
	int n = atomic_load(left);

	while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1))
		;
	if (n > 0) {
		atomic_fetch_add(&failed, 1);
		errno = err;
	}
	return n > 0;
}

int
__wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_ADD && is_to_fail(&add_fails, ENOSPC))
		return -1;
	if (op == EPOLL_CTL_MOD && is_to_fail(&mod_fails, ENOMEM))
		return -1;
	return __real_epoll_ctl(set, op, fd, ev);
}

ssize_t
__wrap_recv(int fd, void *data, size_t len, int flags)
{
	if (fd != client && is_to_fail(&recv_fails, ENOMEM))
		return -1;
	return __real_recv(fd, data, len, flags);
}

ssize_t
__wrap_send(int fd, const void *data, size_t len, int flags)
{
	if (fd != client && is_to_fail(&send_fails, ENOBUFS))
		return -1;
	return __real_send(fd, data, len, flags);
}

/* A client that has been answered once. */
static void
open_client(struct duo *duo, void **state)
{
	atomic_store(&failed, 0);
	client = -1;
	duo_open(duo, duo_model(state));
	client = client_open(duo->a.address);
	client_line(duo, client, 1);
}

static void
close_client(struct duo *duo)
{
	close(client);
	duo_close(duo);
}

static void
input_waits_for_memory(void **state)
{
	struct duo duo;

	open_client(&duo, state);
	atomic_store(&recv_fails, 3);
	client_line(&duo, client, 2);
	assert_int_equal(atomic_load(&failed), 3);
	client_line(&duo, client, 3);
	close_client(&duo);
}

static void
output_waits_for_memory(void **state)
{
	struct duo duo;

	open_client(&duo, state);
	atomic_store(&send_fails, 3);
	client_line(&duo, client, 2);
	assert_int_equal(atomic_load(&failed), 3);
	client_line(&duo, client, 3);
	close_client(&duo);
}

/* The kernel does not take what the connection is watched for. */
static void
connection_is_armed_again(void **state)
{
	struct duo duo;

	open_client(&duo, state);
	atomic_store(&recv_fails, 1);
	atomic_store(&mod_fails, 2);
	client_line(&duo, client, 2);
	client_line(&duo, client, 3);
	atomic_store(&mod_fails, 0);
	close_client(&duo);
}

static void
new_connection_is_watched_later(void **state)
{
	struct duo duo;

	atomic_store(&failed, 0);
	client = -1;
	duo_open(&duo, duo_model(state));
	atomic_store(&add_fails, 2);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	client_line(&duo, client, 2);
	assert_int_equal(atomic_load(&failed), 2);
	close_client(&duo);
}

/* The listeners go home and the connection stays: each of them is put into
 * another set, in either peer. */
static void
what_moves_is_watched_later(void **state)
{
	struct duo duo;
	int old;

	open_client(&duo, state);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_line(&duo, client, 2);
	atomic_store(&add_fails, 4);
	assert_int_equal(handoff_server_ready(duo.a.server, false), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	old = client;
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	assert_int_equal(atomic_load(&failed), 4);
	client_line(&duo, old, 3);
	close(old);
	close_client(&duo);
}

/* It ends before it could be watched. */
static void
unwatched_connection_ends(void **state)
{
	struct duo duo;

	atomic_store(&failed, 0);
	client = -1;
	duo_open(&duo, duo_model(state));
	atomic_store(&add_fails, 1000);
	client = client_open(duo.a.address);
	for (int i = 0; i < 1000 && atomic_load(&failed) == 0; i++)
		duo_turn(&duo);
	assert_int_not_equal(atomic_load(&failed), 0);
	close(client);
	assert_int_equal(handoff_server_stop(duo.b.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.b.server);
	duo.b.server = NULL;
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	atomic_store(&add_fails, 0);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(input_waits_for_memory),
		each_model(output_waits_for_memory),
		each_model(connection_is_armed_again),
		each_model(new_connection_is_watched_later),
		each_model(what_moves_is_watched_later),
		each_model(unwatched_connection_ends),
	};

	return cmocka_run_group_tests_name("passing", tests, NULL, NULL);
}
