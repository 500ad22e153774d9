/* SPDX-License-Identifier: MIT */
/* Flows of real sockets. */
#include "support/support.h"

#include "ferry/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static socklen_t
loopback(int family, struct sockaddr_storage *sa)
{
	struct sockaddr_in6 *six = (void *)sa;
	struct sockaddr_in *four = (void *)sa;

	memset(sa, 0, sizeof(*sa));
	sa->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*four);
	}
	six->sin6_addr = in6addr_loopback;
	return sizeof(*six);
}

/* A connection to a listener of `family` from a client of `from`. */
static void
connect_pair(int family, int from, int fds[2])
{
	struct sockaddr_storage sa;
	socklen_t len = loopback(family, &sa);
	int fd = socket(family, SOCK_STREAM, 0);
	struct sockaddr_in four = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_true(fd >= 0);
	if (from != family)
		((struct sockaddr_in6 *)(void *)&sa)->sin6_addr = in6addr_any;
	assert_return_code(bind(fd, (struct sockaddr *)&sa, len), errno);
	assert_return_code(listen(fd, 1), errno);
	len = sizeof(sa);
	assert_return_code(
		getsockname(fd, (struct sockaddr *)&sa, &len), errno);
	fds[0] = socket(from, SOCK_STREAM, 0);
	four.sin_port = ((struct sockaddr_in6 *)(void *)&sa)->sin6_port;
	if (from != family)
		assert_return_code(
			connect(fds[0], (struct sockaddr *)&four, sizeof(four)),
			errno);
	else
		assert_return_code(
			connect(fds[0], (struct sockaddr *)&sa, len), errno);
	fds[1] = accept(fd, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(fd);
}

static void
check(int family, int from, uint8_t expected)
{
	struct handoff__flow client, served, reversed;
	int fds[2];

	connect_pair(family, from, fds);
	assert_int_equal(handoff__flow_of(fds[0], &client), 0);
	assert_int_equal(handoff__flow_of(fds[1], &served), 0);
	assert_int_equal(client.family, expected);
	reversed = client;
	memcpy(reversed.local, client.peer, sizeof(client.peer));
	memcpy(reversed.peer, client.local, sizeof(client.local));
	reversed.local_port = client.peer_port;
	reversed.peer_port = client.local_port;
	assert_true(handoff__flow_equal(&reversed, &served));
	assert_false(handoff__flow_equal(&client, &served));
	close(fds[0]);
	close(fds[1]);
}

static void
test_both_ends_have_the_same_flow_reversed(void **state)
{
	(void)state;
	check(AF_INET, AF_INET, 4);
	check(AF_INET6, AF_INET6, 6);
}

static void
test_a_mapped_address_is_ipv4(void **state)
{
	(void)state;
	check(AF_INET6, AF_INET, 4);
}

static void
test_a_socket_without_a_peer_has_none(void **state)
{
	struct handoff__flow flow;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(handoff__flow_of(fd, &flow), -ENOTCONN);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ends_have_the_same_flow_reversed),
		cmocka_unit_test(test_a_mapped_address_is_ipv4),
		cmocka_unit_test(test_a_socket_without_a_peer_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
