/* SPDX-License-Identifier: MIT */
/* What a listener of the other host covers, and how one is described. */
#include "support/support.h"

#include "ferry/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct handoff__letter_listener
on(int family, const char *ip, uint16_t port, uint8_t flags)
{
	struct handoff__letter_listener l = {
		.family = (uint8_t)family, .flags = flags, .port = port};

	assert_int_equal(
		inet_pton(family == 4 ? AF_INET : AF_INET6, ip, l.ip), 1);
	return l;
}

#define ONLY HANDOFF__LETTER_V6ONLY

static void
test_covers(void **state)
{
	const struct {
		struct handoff__letter_listener there, wanted;
		bool covers;
	} cases[] = {
		{on(4, "10.0.0.7", 80, 0), on(4, "10.0.0.7", 80, 0), true},
		{on(4, "10.0.0.7", 80, 0), on(4, "10.0.0.7", 81, 0), false},
		{on(4, "10.0.0.7", 80, 0), on(4, "10.0.0.8", 80, 0), false},
		{on(4, "0.0.0.0", 80, 0), on(4, "10.0.0.8", 80, 0), true},
		{on(4, "10.0.0.8", 80, 0), on(4, "0.0.0.0", 80, 0), false},
		{on(4, "0.0.0.0", 80, 0), on(6, "fd00::7", 80, ONLY), false},
		{on(4, "0.0.0.0", 80, 0), on(6, "::", 80, 0), false},
		{on(6, "::", 80, 0), on(4, "10.0.0.7", 80, 0), true},
		{on(6, "::", 80, 0), on(4, "0.0.0.0", 80, 0), true},
		{on(6, "::", 80, ONLY), on(4, "10.0.0.7", 80, 0), false},
		{on(6, "::", 80, ONLY), on(6, "fd00::7", 80, 0), true},
		{on(6, "::", 80, 0), on(6, "::", 80, 0), true},
		{on(6, "::", 80, ONLY), on(6, "::", 80, 0), false},
		{on(6, "::", 80, 0), on(6, "::", 80, ONLY), true},
		{on(6, "fd00::7", 80, 0), on(6, "fd00::7", 80, ONLY), true},
		{on(6, "fd00::7", 80, 0), on(4, "10.0.0.7", 80, 0), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (handoff__listener_covers(&cases[i].there,
			    &cases[i].wanted) != cases[i].covers)
			fail_msg("case %zu", i);
	}
}

static void
test_describes_a_listener(void **state)
{
	struct sockaddr_in6 sa = {
		.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	socklen_t len = sizeof(sa);
	struct handoff__letter_listener l;
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	(void)state;
	assert_true(fd >= 0);
	assert_return_code(
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)),
		errno);
	assert_return_code(bind(fd, (struct sockaddr *)&sa, len), errno);
	assert_int_equal(handoff__listener_describe(fd, &l), -EAFNOSUPPORT);
	assert_return_code(listen(fd, 17), errno);
	assert_return_code(
		getsockname(fd, (struct sockaddr *)&sa, &len), errno);
	assert_int_equal(handoff__listener_describe(fd, &l), 0);
	assert_int_equal(l.family, 6);
	assert_int_equal(l.port, ntohs(sa.sin6_port));
	assert_int_equal(l.flags, HANDOFF__LETTER_V6ONLY);
	assert_int_equal(l.backlog, 17);
	assert_memory_equal(l.ip, &in6addr_loopback, 16);
	close(fd);
}

static void
test_other_sockets_are_none(void **state)
{
	struct handoff__letter_listener l;
	int fds[2];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
	assert_true(handoff__listener_describe(fds[0], &l) < 0);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_describes_a_listener),
		cmocka_unit_test(test_other_sockets_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
