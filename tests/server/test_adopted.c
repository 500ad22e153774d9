/* SPDX-License-Identifier: MIT */
/*
 * Listeners passed in by another process: served like those bound by the
 * server, handed over with the rest, and never closed for the process that
 * opened them.
 */
#include "server/duo.h"

#include "base/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct handoff__error error;

/* What a service manager has: it listens before anybody serves. */
struct manager {
	char address[HANDOFF_ADDRESS_MAX];
	struct handoff_listen_fd given;
};

static void
manager_open(struct manager *manager, const char *address)
{
	int fd = handoff__addr_listen(address, manager->address, &error);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	manager->given = (struct handoff_listen_fd){.fd = fd};
}

static void
pass(const struct manager *manager, struct host *host)
{
	host->opts.listen_fds = &manager->given;
	host->opts.nlisten_fds = 1;
	host->opts.listen_fd_size = sizeof(manager->given);
}

/* Somebody can still connect: the socket listens, whoever has it. */
static void
still_listens(struct manager *manager)
{
	int client = client_open(manager->address), fd;

	assert_int_not_equal(support_poll(manager->given.fd, POLLIN), 0);
	fd = accept4(manager->given.fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	close(client);
	close(manager->given.fd);
}

static void
passed_listener_is_served(void **state)
{
	struct manager manager;
	struct duo duo;
	int client;

	duo_init(&duo, duo_model(state));
	duo.a.opts.nlisten = 0;
	manager_open(&manager, "127.0.0.1:0");
	pass(&manager, &duo.a);
	/* It was there before the server, and waits. */
	client = client_open(manager.address);
	client_send(client, "hello\n");
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	assert_non_null(strstr(duo.a.text, manager.address));
	assert_non_null(strstr(duo.a.text, "(passed in)"));
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	client_expect(&duo, client, "1 hello\n");
	close(client);
	duo_close(&duo);
	still_listens(&manager);
}

/* A second one beside it is bound, and the first is not bound twice. */
static void
its_address_is_not_bound_again(void **state)
{
	const struct handoff_server_event *ev;
	const char *listen[2];
	struct manager manager;
	struct duo duo;
	int told = 0;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	manager_open(&manager, "127.0.0.1:0");
	pass(&manager, &duo.a);
	listen[0] = manager.address;
	listen[1] = "[::1]:0";
	duo.a.opts.listen = listen;
	duo.a.opts.nlisten = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	while (handoff_server_next(duo.a.server, &ev) == 1)
		told += ev->type == HANDOFF_SERVER_LISTENING;
	assert_int_equal(told, 2);
	duo_close(&duo);
	close(manager.given.fd);
}

/* The listeners come with ownership: what a standby has been passed stays
 * with it, and goes with it. */
static void
standby_leaves_it_alone(void **state)
{
	struct manager manager;
	struct duo duo;
	int client;

	duo_init(&duo, duo_model(state));
	manager_open(&manager, "127.0.0.1:0");
	duo.a.opts.nlisten = 0;
	pass(&manager, &duo.a);
	pass(&manager, &duo.b);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	assert_false(host_had(&duo.b, HANDOFF_SERVER_LISTENING));
	client = client_open(manager.address);
	client_line(&duo, client, 1);
	assert_int_equal(atomic_load(&duo.a.handled), 0);
	close(client);
	duo_close(&duo);
	still_listens(&manager);
}

/* Unlike one that is bound here, whichever peer ends it. */
static void
its_path_is_left(void **state)
{
	char address[HANDOFF_ADDRESS_MAX];
	struct manager manager;
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	snprintf(address, sizeof(address), "unix:%s/s", duo.a.opts.dir);
	manager_open(&manager, address);
	pass(&manager, &duo.a);
	snprintf(address, sizeof(address), "unix:%s/t", duo.a.opts.dir);
	duo.a.listen[0] = address;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	duo_close(&duo);
	assert_int_equal(access(manager.address + 5, F_OK), 0);
	assert_int_equal(access(address + 5, F_OK), -1);
	close(manager.given.fd);
}

static void
another_address_is_told(void **state)
{
	struct manager manager;
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.nlisten = 0;
	manager_open(&manager, "127.0.0.1:0");
	manager.given.address = "echo.example:7000";
	pass(&manager, &duo.a);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	assert_string_equal(
		duo.a.text, "listening on echo.example:7000 (passed in)");
	duo_close(&duo);
	close(manager.given.fd);
}

static void
refused(struct host *host, int err, const char *why)
{
	assert_int_equal(handoff_server_open(&host->server, &host->opts), err);
	host->server = NULL;
	if (!strstr(host->why, why))
		fail_msg("'%s' is not in '%s'", why, host->why);
}

/* By a program that was compiled with a later header. */
static void
larger_ones_are_served_unless_more_is_set(void **state)
{
	struct {
		struct handoff_listen_fd known;
		uint64_t later;
	} given[2] = {{.later = 0}};
	struct manager managers[2];
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.nlisten = 0;
	for (int i = 0; i < 2; i++) {
		manager_open(&managers[i], "127.0.0.1:0");
		given[i].known = managers[i].given;
	}
	pass(&managers[0], &duo.a);
	duo.a.opts.listen_fds = &given[0].known;
	duo.a.opts.nlisten_fds = 2;
	duo.a.opts.listen_fd_size = sizeof(given[0]);
	given[1].later = 1;
	refused(&duo.a, -E2BIG, "opts.listen_fds set what this library");
	given[1].later = 0;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	for (int i = 0; i < 2; i++) {
		int client = client_open(managers[i].address);

		client_line(&duo, client, 1);
		close(client);
		close(managers[i].given.fd);
	}
	duo_close(&duo);
}

static void
what_is_passed_is_checked(void **state)
{
	struct manager manager;
	struct duo duo;
	int fd;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	manager_open(&manager, "127.0.0.1:0");
	fd = manager.given.fd;
	pass(&manager, &duo.a);
	duo.a.opts.nlisten_fds = 65;
	refused(&duo.a, -EINVAL, "at most 64 addresses, listening sockets");
	duo.a.opts.nlisten_fds = 1;
	duo.a.opts.listen_fds = NULL;
	refused(&duo.a, -EINVAL, "at most 64 addresses, listening sockets");
	pass(&manager, &duo.a);
	duo.a.opts.listen_fd_size = 0;
	refused(&duo.a, -EINVAL, "opts.listen_fd_size is 0");
	pass(&manager, &duo.a);
	manager.given.address = "nonsense";
	refused(&duo.a, -EINVAL, "address 'nonsense'");
	manager.given.address = NULL;
	manager.given.fd = STDIN_FILENO;
	refused(&duo.a, -EINVAL, "listening socket 0: cannot be used");
	manager.given.fd = -1;
	refused(&duo.a, -EBADF, "cannot be duplicated");
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(passed_listener_is_served),
		handoff_test(its_address_is_not_bound_again),
		each_model(standby_leaves_it_alone),
		handoff_test(its_path_is_left),
		handoff_test(another_address_is_told),
		handoff_test(larger_ones_are_served_unless_more_is_set),
		handoff_test(what_is_passed_is_checked),
	};

	return cmocka_run_group_tests_name("adopted", tests, NULL, NULL);
}
