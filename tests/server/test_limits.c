/* SPDX-License-Identifier: MIT */
/*
 * Limits of connections: the table of addresses, and servers that refuse what
 * is above a limit, before and after a handoff.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct handoff__client
client_of(const char *text)
{
	struct handoff__client client = {.family = strchr(text, ':') ? 6 : 4};

	assert_int_equal(inet_pton(client.family == 6 ? AF_INET6 : AF_INET,
				 text, client.ip),
		1);
	return client;
}

static uint32_t
enter(struct handoff__limits *limits, const char *text)
{
	struct handoff__client client = client_of(text);

	return handoff__limits_enter(limits, &client);
}

static uint32_t
count(struct handoff__limits *limits, const char *text)
{
	struct handoff__client client = client_of(text);

	return handoff__limits_count(limits, &client);
}

static void
addresses_are_counted(void **state)
{
	struct handoff__client none = {.family = 0};
	struct handoff__limits limits = {.size = 0};
	uint32_t a, b;

	(void)state;
	assert_int_equal(count(&limits, "192.0.2.1"), 0);
	a = enter(&limits, "192.0.2.1");
	assert_int_equal(enter(&limits, "192.0.2.1"), a);
	b = enter(&limits, "192.0.2.2");
	assert_true(a > 0 && b > 0 && a != b);
	assert_int_equal(count(&limits, "192.0.2.1"), 2);
	assert_int_equal(count(&limits, "192.0.2.2"), 1);
	assert_int_equal(handoff__limits_enter(&limits, &none), 0);
	assert_int_equal(handoff__limits_count(&limits, &none), 0);
	handoff__limits_leave(&limits, 0);
	handoff__limits_leave(&limits, a);
	assert_int_equal(count(&limits, "192.0.2.1"), 1);
	handoff__limits_leave(&limits, a);
	assert_int_equal(count(&limits, "192.0.2.1"), 0);
	assert_int_equal(count(&limits, "192.0.2.2"), 1);
	handoff__limits_free(&limits);
}

/* Of IPv6 the network of a client, which is not its first 32 bits, nor an
 * address of IPv4 with the same bytes. */
static void
network_of_a_client_is_one_address(void **state)
{
	struct handoff__limits limits = {.size = 0};

	(void)state;
	enter(&limits, "2001:db8:0:1::1");
	enter(&limits, "2001:db8:0:1:ffff::2");
	enter(&limits, "2001:db8:0:2::1");
	enter(&limits, "32.1.13.184");
	assert_int_equal(count(&limits, "2001:db8:0:1::3"), 2);
	assert_int_equal(count(&limits, "2001:db8:0:2::3"), 1);
	assert_int_equal(count(&limits, "2001:db8:0:3::3"), 0);
	assert_int_equal(count(&limits, "32.1.13.184"), 1);
	handoff__limits_free(&limits);
}

#define MANY 5000

/* The table grows, and what has left is used again. */
static void
many_addresses_are_counted(void **state)
{
	struct handoff__limits limits = {.size = 0};
	static uint32_t numbers[MANY], expected[MANY];
	char text[32];
	uint32_t size = 0;

	(void)state;
	srand(1);
	for (int round = 0; round < 4; round++) {
		memset(expected, 0, sizeof(expected));
		for (int i = 0; i < MANY; i++) {
			int host = round * 17 + rand() % (MANY / 3);

			snprintf(text, sizeof(text), "10.0.%d.%d", host / 256,
				host % 256);
			numbers[i] = enter(&limits, text);
			assert_true(numbers[i] > 0 && numbers[i] < MANY);
			expected[numbers[i]]++;
		}
		for (int i = 0; i < MANY; i++) {
			handoff__limits_leave(&limits, numbers[i]);
			expected[numbers[i]]--;
		}
		if (round == 0)
			size = limits.size;
		assert_int_equal(limits.size, size);
		assert_int_equal(count(&limits, "10.0.0.100"), 0);
	}
	handoff__limits_free(&limits);
}

/* Servers. */

/* A client from that address of this host. */
static int
client_from(const char *from, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	const char *port = strrchr(address, ':');
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, from, &in.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	in.sin_port = htons((uint16_t)atoi(port + 1));
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static unsigned lines;

static void
count_lines(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level == HANDOFF_LOG_WARNING && strstr(text, "refused"))
		lines++;
}

static void
duo_limited(struct duo *duo, enum handoff_model model, uint32_t total,
	uint32_t each, bool refuse)
{
	struct host *hosts[] = {&duo->a, &duo->b};

	duo_init(duo, model);
	lines = 0;
	for (int i = 0; i < 2; i++) {
		hosts[i]->opts.max_connections = total;
		hosts[i]->opts.max_per_address = each;
		hosts[i]->opts.refuse_excess = refuse;
		hosts[i]->opts.log = count_lines;
	}
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
assert_refused(struct duo *duo, const char *from)
{
	int fd = client_from(from, duo->a.address);
	char byte;
	ssize_t n = -1;

	for (int i = 0; i < 1000; i++) {
		n = recv(fd, &byte, 1, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			break;
		duo_turn(duo);
	}
	assert_int_equal(n, 0);
	close(fd);
}

/* The standby counts what it has copies of, and so goes on after a handoff. */
static void
address_has_so_many_connections(void **state)
{
	struct duo duo;
	int fds[6];

	duo_limited(&duo, duo_model(state), 0, 2, false);
	for (int i = 0; i < 4; i++) {
		fds[i] = client_from(
			i < 2 ? "127.0.0.1" : "127.0.0.2", duo.a.address);
		client_line(&duo, fds[i], 1);
	}
	for (int i = 0; i < 5; i++)
		assert_refused(&duo, "127.0.0.1");
	assert_int_equal(
		duo.a.server->limits.refused[HANDOFF__LIMIT_ADDRESS], 5);
	assert_int_equal(lines, 1); /* not for each */
	close(fds[0]);
	while (duo.a.server->pair.roster.connections > 3 ||
		duo.a.server->pair.roster.uncovered > 0)
		duo_turn(&duo);
	fds[0] = client_from("127.0.0.1", duo.a.address);
	client_line(&duo, fds[0], 1);
	while (duo.a.server->pair.roster.uncovered > 0)
		duo_turn(&duo);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_refused(&duo, "127.0.0.1");
	assert_refused(&duo, "127.0.0.2");
	assert_int_equal(
		duo.b.server->limits.refused[HANDOFF__LIMIT_ADDRESS], 2);
	fds[4] = client_from("127.0.0.3", duo.a.address);
	client_line(&duo, fds[4], 1);
	close(fds[2]);
	while (duo.b.server->pair.roster.connections > 4)
		duo_turn(&duo);
	fds[2] = client_from("127.0.0.2", duo.a.address);
	client_line(&duo, fds[2], 1);
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	duo_close(&duo);
}

/* More of them wait, or are refused; a handoff to a peer with a smaller limit
 * ends none. */
static void
excess_waits_or_is_refused(void **state)
{
	struct duo duo;
	int fds[3];

	(void)state;
	duo_limited(&duo, HANDOFF_MODEL_LOOP, 2, 0, false);
	for (int i = 0; i < 3; i++)
		fds[i] = client_open(duo.a.address);
	client_line(&duo, fds[0], 1);
	client_line(&duo, fds[1], 1);
	client_send(fds[2], "hello\n");
	for (int i = 0; i < 20; i++)
		duo_turn(&duo);
	assert_int_equal(duo.a.server->pair.roster.connections, 2);
	close(fds[0]);
	client_expect(&duo, fds[2], "1 hello\n");
	for (int i = 1; i < 3; i++)
		close(fds[i]);
	duo_close(&duo);

	duo_limited(&duo, HANDOFF_MODEL_LOOP, 3, 0, true);
	for (int i = 0; i < 3; i++) {
		fds[i] = client_open(duo.a.address);
		client_line(&duo, fds[i], 1);
	}
	assert_refused(&duo, "127.0.0.1");
	assert_refused(&duo, "127.0.0.1");
	assert_int_equal(lines, 1);
	duo.b.server->opts.max_connections = 1;
	while (duo.a.server->pair.roster.uncovered > 0)
		duo_turn(&duo);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	for (int i = 0; i < 3; i++)
		client_line(&duo, fds[i], 2);
	assert_refused(&duo, "127.0.0.1");
	assert_int_equal(duo.b.server->limits.refused[HANDOFF__LIMIT_TOTAL], 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(addresses_are_counted),
		handoff_test(network_of_a_client_is_one_address),
		handoff_test(many_addresses_are_counted),
		each_model(address_has_so_many_connections),
		handoff_test(excess_waits_or_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
