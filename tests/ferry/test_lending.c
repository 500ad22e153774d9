/* SPDX-License-Identifier: MIT */
/*
 * The listeners that a ferry opens for a move to its host: what it opens and
 * what not, what it accepts on them, and how it ends them. The ferry has the
 * service, and no other peer is there.
 */
#include "support/support.h"

#include "ferry/carrier.h"
#include "ferry/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct handoff__ferry *ferry;
static struct handoff__letter_begin *begin;

static int
setup(void **state)
{
	struct handoff__identity id = {.service = "test",
		.state_size = 32,
		.state_version = 1,
		.input_size = 4096,
		.output_size = 4096};

	if (support_setup(state) < 0)
		return -1;
	ferry = calloc(1, sizeof(*ferry));
	begin = calloc(1, sizeof(*begin));
	ferry->options.dir = support_dir();
	ferry->options.name = "ferry";
	/* the loopback does not move: these are made by hand */
	ferry->prefixes[0] = (struct handoff__prefix){
		.family = 4, .length = 8, .ip = {127, 0, 0, 1}};
	ferry->prefixes[1] = (struct handoff__prefix){
		.family = 4, .length = 8, .ip = {127, 0, 0, 2}};
	ferry->prefixes[2] = (struct handoff__prefix){
		.family = 6, .length = 128, .ip = {[15] = 1}};
	ferry->nprefixes = 3;
	assert_int_equal(handoff__loop_init(&ferry->loop), 0);
	handoff__operator_init(&ferry->op, &handoff__ferry_operator_ops, ferry,
		&ferry->pair, &ferry->loop, &ferry->log);
	if (handoff__carrier_open(ferry) < 0)
		fail_msg("%s", ferry->error.text);
	assert_int_equal(handoff__pair_identify(&ferry->pair, &id), 0);
	assert_int_equal(handoff__pair_own(&ferry->pair, 1), 0);
	handoff__pair_started(&ferry->pair);
	return 0;
}

static int
teardown(void **state)
{
	handoff__listeners_close(ferry);
	handoff__carrier_close(ferry);
	handoff__loop_fini(&ferry->loop);
	free(ferry);
	free(begin);
	return support_teardown(state);
}

#define lending_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* One more that the other host has; port 0: any that is free. */
static void
wants(const char *ip, uint16_t port, uint8_t flags)
{
	struct handoff__letter_listener *l =
		&begin->listeners[begin->nlisteners++];

	*l = (struct handoff__letter_listener){
		.family = strchr(ip, ':') ? 6 : 4,
		.port = port,
		.flags = flags,
		.backlog = 5,
	};
	assert_int_equal(
		inet_pton(l->family == 4 ? AF_INET : AF_INET6, ip, l->ip), 1);
	handoff__copy(l->label, sizeof(l->label), ip);
}

static int
open_them(void)
{
	int rc = handoff__listeners_open(ferry, begin);

	begin->nlisteners = 0;
	return rc;
}

/* The last of its ports. */
static uint16_t
port(void)
{
	uint16_t ports[HANDOFF__LETTER_LISTENERS];
	uint32_t n = handoff__listeners_ports(
		ferry, ports, HANDOFF__LETTER_LISTENERS);

	assert_true(n > 0);
	return ports[n - 1];
}

static struct handoff__roster_entry *
last(enum handoff__kind kind)
{
	struct handoff__roster_entry *e = NULL, *found = NULL;

	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->kind == kind)
			found = e;
	}
	assert_non_null(found);
	return found;
}

/* A client of a port of this host: its socket, or -errno; its own port. */
static int
dial(bool six, uint16_t to, uint16_t *from)
{
	struct sockaddr_in6 sa6 = {.sin6_family = AF_INET6,
		.sin6_addr = in6addr_loopback,
		.sin6_port = htons(to)};
	struct sockaddr_in sa4 = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(to)};
	struct sockaddr *sa = six ? (void *)&sa6 : (void *)&sa4;
	socklen_t len = six ? sizeof(sa6) : sizeof(sa4);
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, sa, len) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	assert_int_equal(getsockname(fd, sa, &len), 0);
	*from = six ? ntohs(sa6.sin6_port) : ntohs(sa4.sin_port);
	return fd;
}

static void
assert_arrived(int family, uint16_t from)
{
	struct handoff__roster_entry *e = last(HANDOFF__CONNECTION);
	const struct handoff__client *client = &e->view.rec->extra.client;

	assert_true(e->mine);
	assert_int_equal(client->family, family);
	assert_int_equal(ntohs(client->port), from);
	assert_true(client->ip[family == 4 ? 3 : 15] == 1);
	assert_true(e->view.rec->extra.since_ms > 0);
	/* the peer that gets it looks at it */
	assert_int_equal(e->view.rec->activity, HANDOFF__PENDING);
	handoff__pair_end(&ferry->pair, e);
}

static void
those_that_are_missing_are_opened(void **state)
{
	struct handoff__letter_listener l;

	(void)state;
	wants("127.0.0.1", 0, 0);
	assert_int_equal(open_them(), 1);
	assert_true(handoff__listener_is_lent(ferry, last(HANDOFF__LISTENER)));
	assert_int_equal(
		handoff__listener_describe(last(HANDOFF__LISTENER)->fd, &l), 0);
	assert_int_equal(l.backlog, 5);
	/* the move comes again: it is there */
	wants("127.0.0.1", port(), 0);
	assert_int_equal(open_them(), 0);
	/* the same port elsewhere is another one */
	wants("127.0.0.2", port(), 0);
	wants("::1", 0, HANDOFF__LETTER_V6ONLY | HANDOFF__LETTER_REUSEPORT);
	assert_int_equal(open_them(), 2);
	assert_int_equal(
		handoff__listener_describe(last(HANDOFF__LISTENER)->fd, &l), 0);
	assert_int_equal(l.family, 6);
	assert_int_equal(
		l.flags, HANDOFF__LETTER_V6ONLY | HANDOFF__LETTER_REUSEPORT);
}

static void
others_are_refused(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	wants("10.1.2.3", 0, 0);
	assert_int_equal(open_them(), -EPERM);
	assert_string_equal(ferry->error.text,
		"listener 10.1.2.3 is on none of the addresses of --address "
		"there");
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	wants("127.0.0.1", ntohs(sa.sin_port), 0);
	assert_int_equal(open_them(), -EADDRINUSE);
	assert_string_equal(ferry->error.text,
		"cannot listen on 127.0.0.1 there: Address already in use");
	assert_int_equal(handoff__listeners_close(ferry), 0);
	close(fd);
}

/* One that the server here has for itself. */
static void
has_own(const char *ip)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	assert_int_equal(inet_pton(AF_INET, ip, &sa.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_non_null(handoff__pair_enter(
		&ferry->pair, fd, HANDOFF__LISTENER, "own", &err));
}

/* What the service's addresses do not reach, and on a host that is not its home
 * what was there before it on all addresses. */
static void
those_of_this_host_stay(void **state)
{
	(void)state;
	has_own("127.0.0.3");
	has_own("0.0.0.0");
	wants("127.0.0.1", 0, 0);
	wants("0.0.0.0", 0, 0);
	assert_int_equal(open_them(), 2);
	ferry->guest = true;
	assert_int_equal(handoff__listeners_close(ferry), 2);
	assert_int_equal(handoff__listeners_close(ferry), 0);
	/* another ferry does not know which were lent */
	ferry->taker.lends = false;
	assert_int_equal(handoff__listeners_close(ferry), 1);
	has_own("0.0.0.0");
	/* at home all of the service leaves with it */
	ferry->taker.lends = true;
	ferry->guest = false;
	assert_int_equal(handoff__listeners_close(ferry), 1);
}

static void
what_waits_is_accepted(void **state)
{
	uint16_t from;
	int client;

	(void)state;
	wants("127.0.0.1", 0, 0);
	assert_int_equal(open_them(), 1);
	assert_int_equal(handoff__listeners_accept(ferry), 0);
	client = dial(false, port(), &from);
	assert_true(client >= 0);
	assert_int_equal(handoff__listeners_accept(ferry), 1);
	assert_arrived(4, from);
	close(client);
}

/* A listener for both families: the client's own one counts. */
static void
both_families_are_told_apart(void **state)
{
	uint16_t from;
	int client;

	(void)state;
	wants("::", 0, 0);
	if (open_them() < 0) {
		print_message("SKIP: %s\n", ferry->error.text);
		skip();
	}
	client = dial(false, port(), &from);
	assert_true(client >= 0);
	assert_int_equal(handoff__listeners_accept(ferry), 1);
	assert_arrived(4, from);
	close(client);
	client = dial(true, port(), &from);
	assert_true(client >= 0);
	assert_int_equal(handoff__listeners_accept(ferry), 1);
	assert_arrived(6, from);
	close(client);
}

/* The sockets of others with copies listen no more either. */
static void
closed_ones_listen_for_nobody(void **state)
{
	uint16_t ports[1], from;
	int copy;

	(void)state;
	wants("127.0.0.1", 0, 0);
	assert_int_equal(open_them(), 1);
	copy = dup(last(HANDOFF__LISTENER)->fd);
	assert_true(copy >= 0);
	ports[0] = port();
	assert_int_equal(handoff__listeners_close(ferry), 1);
	assert_int_equal(dial(false, ports[0], &from), -ECONNREFUSED);
	close(copy);
	assert_int_equal(handoff__listeners_ports(ferry, ports, 1), 0);
	assert_int_equal(handoff__listeners_accept(ferry), 0);
}

/* It remembers as many as one move has; of all addresses nothing else tells
 * them from a server's. */
static void
oldest_are_forgotten(void **state)
{
	struct handoff__roster_entry *first;

	(void)state;
	wants("0.0.0.0", 0, 0);
	assert_int_equal(open_them(), 1);
	first = last(HANDOFF__LISTENER);
	for (unsigned i = 1; i < HANDOFF__LETTER_LISTENERS; i++)
		wants("0.0.0.0", 0, 0);
	assert_int_equal(open_them(), HANDOFF__LETTER_LISTENERS - 1);
	assert_true(handoff__listener_is_lent(ferry, first));
	wants("0.0.0.0", 0, 0);
	assert_int_equal(open_them(), 1);
	assert_false(handoff__listener_is_lent(ferry, first));
	assert_true(handoff__listener_is_lent(ferry, last(HANDOFF__LISTENER)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		lending_test(those_that_are_missing_are_opened),
		lending_test(others_are_refused),
		lending_test(those_of_this_host_stay),
		lending_test(what_waits_is_accepted),
		lending_test(both_families_are_told_apart),
		lending_test(closed_ones_listen_for_nobody),
		lending_test(oldest_are_forgotten),
	};

	return cmocka_run_group_tests_name("lending", tests, NULL, NULL);
}
