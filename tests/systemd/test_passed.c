/* SPDX-License-Identifier: MIT */
/*
 * Sockets that systemd passes and keeps: which of them become listeners, what
 * goes into the descriptor store, and what is refused.
 */
#include "systemd/manager.h"

#include "base/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct handoff__error error;
static char why[HANDOFF_TEXT_MAX];

/* A listener at a descriptor that is not in the way of those passed. */
static int
listener(const char *address, char bound[HANDOFF_ADDRESS_MAX])
{
	int fd = handoff__addr_listen(address, bound, &error), high;

	assert_true(fd >= 0);
	high = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	close(fd);
	return high;
}

static uint64_t
cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	assert_int_equal(
		getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
	return cookie;
}

/* The events that are there, as a program passes them on. */
static void
pass_on(struct handoff_systemd *sd, struct host *host)
{
	const struct handoff_server_event *ev;

	while (handoff_server_next(host->server, &ev) == 1)
		assert_int_equal(handoff_systemd_event(sd, ev), 0);
}

/* Runs until an event of that type has been passed on. */
static void
pass_on_until(struct duo *duo, struct handoff_systemd *sd, struct host *host,
	enum handoff_server_event_type until)
{
	const struct handoff_server_event *ev = NULL;

	for (int i = 0; !ev || ev->type != until; i++) {
		assert_in_range(i, 0, 100000);
		if (handoff_server_next(host->server, &ev) != 1)
			duo_turn(duo);
		else
			assert_int_equal(handoff_systemd_event(sd, ev), 0);
	}
}

static void
host_end(struct host *host, struct handoff_systemd *sd)
{
	handoff_server_free(host->server);
	host->server = NULL;
	handoff_systemd_free(sd);
}

static void
passed_listeners_are_served(void **state)
{
	char one[HANDOFF_ADDRESS_MAX], two[HANDOFF_ADDRESS_MAX];
	struct manager manager = {0};
	struct handoff_systemd *sd;
	struct duo duo;
	int fds[2], client;

	(void)state;
	manager_none();
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.nlisten = 0;
	fds[0] = listener("127.0.0.1:0", one);
	fds[1] = listener("127.0.0.2:0", two);
	manager_pass(&manager, 2, fds, "a:b");
	assert_int_equal(handoff_systemd_open(&sd, NULL), 0);
	assert_int_equal(handoff_systemd_adopt(sd, &duo.a.opts), 2);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_true(fcntl(PASS_START, F_GETFD) >= 0);
	assert_int_equal(handoff_systemd_attach(sd, duo.a.server), 0);
	/* The server has its own by now. */
	assert_int_equal(fcntl(PASS_START, F_GETFD), -1);
	assert_int_equal(fcntl(PASS_START + 1, F_GETFD), -1);
	client = client_open(one);
	client_line(&duo, client, 1);
	close(client);
	client = client_open(two);
	client_line(&duo, client, 1);
	close(client);
	duo_close(&duo);
	handoff_systemd_free(sd);
	manager_unpass(&manager);
}

/* Of those that are there, as many as have that name. */
static void
names_choose(void **state)
{
	static const struct {
		const char *fdname, *names;
		int taken;
	} cases[] = {
		{NULL, "a:b", 2},
		{NULL, NULL, 2},
		{"a", "a:b", 1},
		{"a", "a:a", 2},
		{"c", "a:b", 0},
	};
	char bound[HANDOFF_ADDRESS_MAX];
	struct manager manager = {0};

	(void)state;
	manager_none();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct handoff_systemd_opts opts = {
			.size = sizeof(opts), .fdname = cases[i].fdname};
		struct handoff_server_opts server = {.size = sizeof(server)};
		struct handoff_systemd *sd;
		int fds[] = {listener("127.0.0.1:0", bound),
			listener("127.0.0.1:0", bound)};

		manager_pass(&manager, 2, fds, cases[i].names);
		assert_int_equal(handoff_systemd_open(&sd, &opts), 0);
		assert_int_equal(
			handoff_systemd_adopt(sd, &server), cases[i].taken);
		assert_int_equal(server.nlisten_fds, cases[i].taken);
		/* Those adopted are closed with it, the others are not its. */
		handoff_systemd_free(sd);
		assert_int_equal(
			fcntl(PASS_START, F_GETFD) == -1, cases[i].taken > 0);
		assert_int_equal(fcntl(PASS_START + 1, F_GETFD) == -1,
			cases[i].taken > 1);
		manager_unpass(&manager);
	}
}

static void
what_does_not_listen_is_the_programs(void **state)
{
	struct handoff_systemd_opts opts = {.size = sizeof(opts),
		.fdname = "b",
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_server_opts server = {.size = sizeof(server)};
	char bound[HANDOFF_ADDRESS_MAX];
	struct manager manager = {0};
	struct handoff_systemd *sd;
	int fds[3];

	(void)state;
	manager_none();
	fds[0] = listener("127.0.0.1:0", bound);
	fds[1] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 50);
	fds[2] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fds[2] < 50) {
		int low = fds[2];

		fds[2] = fcntl(low, F_DUPFD_CLOEXEC, 50);
		close(low);
	}
	manager_pass(&manager, 3, fds, "a:b:c");
	/* Unless it is asked for by its name. */
	assert_int_equal(handoff_systemd_open(&sd, &opts), -EINVAL);
	assert_non_null(strstr(why, "'b' that was passed does not listen"));
	assert_int_equal(handoff_systemd_open(&sd, NULL), 0);
	assert_int_equal(handoff_systemd_adopt(sd, &server), 1);
	assert_int_equal(server.listen_fds[0].fd, PASS_START);
	handoff_systemd_free(sd);
	assert_true(fcntl(PASS_START + 1, F_GETFD) >= 0);
	assert_true(fcntl(PASS_START + 2, F_GETFD) >= 0);
	manager_unpass(&manager);
}

static void
those_of_another_process_are_not_ours(void **state)
{
	struct handoff_server_opts server = {.size = sizeof(server)};
	char bound[HANDOFF_ADDRESS_MAX];
	struct manager manager = {0};
	struct handoff_systemd *sd;
	int fd;

	(void)state;
	manager_none();
	fd = listener("127.0.0.1:0", bound);
	manager_pass(&manager, 1, &fd, "a");
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(handoff_systemd_open(&sd, NULL), 0);
	assert_int_equal(handoff_systemd_adopt(sd, &server), 0);
	handoff_systemd_free(sd);
	assert_true(fcntl(PASS_START, F_GETFD) >= 0);
	manager_unpass(&manager);
}

static void
nonsense_is_refused(void **state)
{
	struct handoff_systemd_opts opts = {.size = sizeof(opts),
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct {
		struct handoff_systemd_opts opts;
		char more[16];
	} later = {.more = {1}};
	struct handoff_server_event ev = {0};
	struct handoff_server_opts server = {.size = sizeof(server)};
	struct handoff_systemd *sd;

	(void)state;
	manager_none();
	setenv("LISTEN_FDS", "x", 1);
	setenv("LISTEN_PID", "0", 1);
	assert_true(handoff_systemd_open(&sd, &opts) < 0);
	assert_non_null(strstr(why, "cannot parse LISTEN_FDS"));
	manager_none();
	opts.store = "a/b";
	assert_int_equal(handoff_systemd_open(&sd, &opts), -EINVAL);
	assert_non_null(strstr(why, "opts.store must be"));
	opts.store = NULL;
	later.opts = opts;
	later.opts.size = sizeof(later);
	assert_int_equal(handoff_systemd_open(&sd, &later.opts), -E2BIG);
	assert_non_null(strstr(why, "this library does not know"));
	opts.size = 1;
	assert_int_equal(handoff_systemd_open(&sd, &opts), -EINVAL);
	assert_int_equal(handoff_systemd_open(NULL, NULL), -EINVAL);
	assert_int_equal(handoff_systemd_adopt(NULL, &server), -EINVAL);
	assert_int_equal(handoff_systemd_attach(NULL, NULL), -EINVAL);
	assert_int_equal(handoff_systemd_event(NULL, &ev), -EINVAL);
	assert_int_equal(handoff_systemd_reloading(NULL), -EINVAL);
	assert_int_equal(handoff_systemd_ready(NULL), -EINVAL);
	assert_string_equal(handoff_systemd_errmsg(NULL), "");
	handoff_systemd_free(NULL);
	assert_int_equal(handoff_systemd_open(&sd, NULL), 0);
	assert_int_equal(handoff_systemd_adopt(sd, NULL), -EINVAL);
	assert_int_equal(handoff_systemd_attach(sd, NULL), -EINVAL);
	/* Not attached. */
	assert_int_equal(handoff_systemd_event(sd, &ev), -EINVAL);
	handoff_systemd_free(sd);
}

/* A server and its manager, with a store; `units` is who is of its unit. */
struct stored {
	struct duo duo;
	struct manager manager;
	struct handoff_systemd *sd;
	struct handoff_systemd_opts opts;
};

static void
stored_init(struct stored *s)
{
	manager_none();
	duo_init(&s->duo, HANDOFF_MODEL_LOOP);
	manager_open(&s->manager, s->duo.a.opts.dir, "notify");
	s->opts = (struct handoff_systemd_opts){
		.size = sizeof(s->opts), .store = "kept"};
}

static void
stored_open(struct stored *s)
{
	assert_int_equal(handoff_systemd_open(&s->sd, &s->opts), 0);
	handoff_systemd_adopt(s->sd, &s->duo.a.opts);
	assert_int_equal(
		host_open(&s->duo.a, s->duo.b.server ? &s->duo.b : NULL), 0);
	assert_int_equal(handoff_systemd_attach(s->sd, s->duo.a.server), 0);
	pass_on(s->sd, &s->duo.a);
}

static void
expect_ready(struct stored *s)
{
	manager_expect(&s->manager,
		"READY=1\nSTATUS=owner: serves lines (generation 1)");
}

/* Hands over to a peer that no manager knows, or that is of this unit. */
static void
hand_over(struct stored *s)
{
	assert_int_equal(host_open(&s->duo.b, &s->duo.a), 0);
	pass_on_until(&s->duo, s->sd, &s->duo.a, HANDOFF_SERVER_JOINED);
	while (manager_next(&s->manager))
		;
	assert_int_equal(handoff_server_maintenance(s->duo.a.server), 0);
	pass_on_until(&s->duo, s->sd, &s->duo.a, HANDOFF_SERVER_GAVE);
	manager_expect(&s->manager, "EXTEND_TIMEOUT_USEC=10000000");
}

/* What was bound here: not what was passed, and no Unix socket. */
static void
bound_listeners_are_stored(void **state)
{
	char passed[HANDOFF_ADDRESS_MAX], path[HANDOFF_ADDRESS_MAX],
		address[HANDOFF_ADDRESS_MAX];
	const char *listen[] = {"127.0.0.1:0", NULL, "[::1]:0"};
	struct stored s;
	int fd;

	(void)state;
	stored_init(&s);
	snprintf(path, sizeof(path), "unix:%s/s", s.duo.a.opts.dir);
	listen[1] = path;
	s.duo.a.opts.listen = listen;
	s.duo.a.opts.nlisten = 3;
	fd = listener("127.0.0.2:0", passed);
	manager_pass(&s.manager, 1, &fd, "echo");
	stored_open(&s);
	manager_expect(&s.manager, "FDSTORE=1\nFDNAME=kept");
	assert_int_equal(s.manager.nfds, 2);
	for (int i = 0; i < 2; i++) {
		fd = handoff_server_listener(s.duo.a.server, i == 0 ? 0 : 2,
			address, sizeof(address));
		assert_true(fd >= 0);
		assert_int_equal(cookie_of(s.manager.fds[i]), cookie_of(fd));
	}
	expect_ready(&s);
	/* At a stop they stay: a restart goes on with them. */
	assert_int_equal(handoff_server_stop(s.duo.a.server), 0);
	pass_on_until(&s.duo, s.sd, &s.duo.a, HANDOFF_SERVER_STOPPED);
	manager_expect(&s.manager,
		"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=10000000");
	manager_silence(&s.manager);
	host_end(&s.duo.a, s.sd);
	manager_unpass(&s.manager);
	manager_close(&s.manager);
}

/* Not at once, as another program had its address. */
static void
listener_that_is_opened_later_is_stored(void **state)
{
	char taken[HANDOFF_ADDRESS_MAX];
	struct stored s;
	int other = listener("127.0.0.1:0", taken);

	(void)state;
	stored_init(&s);
	s.duo.a.listen[0] = taken;
	s.duo.b.listen[0] = "[::1]:0";
	s.duo.b.opts.listen = s.duo.b.listen;
	s.duo.b.opts.nlisten = 1;
	assert_int_equal(host_open(&s.duo.b, NULL), 0);
	stored_open(&s);
	duo_expect(&s.duo, &s.duo.b, HANDOFF_SERVER_JOINED);
	assert_int_equal(handoff_server_maintenance(s.duo.b.server), 0);
	pass_on_until(&s.duo, s.sd, &s.duo.a, HANDOFF_SERVER_OWNER);
	do
		assert_true(manager_next(&s.manager));
	while (strcmp(s.manager.text, "FDSTORE=1\nFDNAME=kept") != 0);
	assert_int_equal(s.manager.nfds, 1);
	while (manager_next(&s.manager))
		;
	close(other);
	pass_on_until(&s.duo, s.sd, &s.duo.a, HANDOFF_SERVER_LISTENING);
	manager_expect(&s.manager, "FDSTORE=1\nFDNAME=kept");
	host_end(&s.duo.a, s.sd);
	duo_close(&s.duo);
	manager_close(&s.manager);
}

/* They come back at a restart: the address is not bound anew, and they are
 * not stored twice. */
static void
stored_listener_comes_back(void **state)
{
	char bound[HANDOFF_ADDRESS_MAX];
	struct stored s;
	int fd, client;

	(void)state;
	stored_init(&s);
	/* Only this name; that of the store goes without saying. */
	s.opts.fdname = "echo";
	fd = listener("127.0.0.1:0", bound);
	s.duo.a.listen[0] = bound;
	manager_pass(&s.manager, 1, &fd, "kept");
	stored_open(&s);
	expect_ready(&s);
	manager_silence(&s.manager);
	client = client_open(bound);
	client_line(&s.duo, client, 1);
	close(client);
	/* It goes to another unit, and then must not be kept here. */
	hand_over(&s);
	assert_true(manager_next(&s.manager));
	assert_non_null(strstr(s.manager.text, "STATUS=standby: alt"));
	manager_expect(&s.manager, "FDSTOREREMOVE=1\nFDNAME=kept");
	manager_silence(&s.manager);
	duo_close(&s.duo);
	handoff_systemd_free(s.sd);
	manager_unpass(&s.manager);
	manager_close(&s.manager);
}

/* It is the unit that keeps them. */
static void
store_stays_in_the_unit(void **state)
{
	struct stored s;
	char text[64];

	(void)state;
	stored_init(&s);
	manager_other_unit = manager_unit;
	stored_open(&s);
	manager_expect(&s.manager, "FDSTORE=1\nFDNAME=kept");
	expect_ready(&s);
	hand_over(&s);
	snprintf(text, sizeof(text), "MAINPID=%d", (int)getpid());
	manager_expect(&s.manager, text);
	manager_silence(&s.manager);
	duo_close(&s.duo);
	handoff_systemd_free(s.sd);
	manager_close(&s.manager);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(passed_listeners_are_served),
		handoff_test(names_choose),
		handoff_test(what_does_not_listen_is_the_programs),
		handoff_test(those_of_another_process_are_not_ours),
		handoff_test(nonsense_is_refused),
		handoff_test(bound_listeners_are_stored),
		handoff_test(listener_that_is_opened_later_is_stored),
		handoff_test(stored_listener_comes_back),
		handoff_test(store_stays_in_the_unit),
	};

	return cmocka_run_group_tests_name("passed", tests, NULL, NULL);
}
