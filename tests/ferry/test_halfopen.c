/* SPDX-License-Identifier: MIT */
/* Half-open connections. A listener that defers keeps one so until data comes,
 * which needs no lost packet. */
#include "support/support.h"

#include "ferry/halfopen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static const struct handoff__prefix both[2] = {
	{.family = 4, .length = 32, .ip = {127, 0, 0, 1}},
	{.family = 6, .length = 128, .ip = {[15] = 1}},
};

static int
listen_on(const char *host, uint16_t *port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};
	bool is_six = strchr(host, ':') != NULL;
	struct sockaddr *sa =
		is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
	socklen_t len = is_six ? sizeof(six) : sizeof(four);
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int seconds = 10, zero = 0;

	assert_int_equal(inet_pton(sa->sa_family, host,
				 is_six ? (void *)&six.sin6_addr
					: (void *)&four.sin_addr),
		1);
	if (is_six)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds,
				 sizeof(seconds)),
		0);
	assert_int_equal(bind(fd, sa, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, sa, &len), 0);
	*port = ntohs(is_six ? six.sin6_port : four.sin_port);
	return fd;
}

static int
connect_four(uint16_t port)
{
	struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
		connect(fd, (struct sockaddr *)&four, sizeof(four)), 0);
	return fd;
}

static int
connect_six(uint16_t port)
{
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&six, sizeof(six)), 0);
	return fd;
}

static int
count(const struct handoff__prefix *list, uint32_t n, uint16_t port)
{
	uint16_t ports[2] = {1, port};
	struct handoff__error error = {""};
	int found = handoff__halfopen_count(list, n, ports, 2, &error);

	if (found < 0)
		fail_msg("%s", error.text);
	return found;
}

static void
finish(int listener, int fd)
{
	int accepted;

	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_true(support_poll(listener, POLLIN) & POLLIN);
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(accepted >= 0);
	close(accepted);
	close(fd);
}

static void
test_those_of_ipv4_are_counted(void **state)
{
	uint16_t port, other;
	int listener = listen_on("127.0.0.1", &port), first, second;
	int elsewhere = listen_on("127.0.0.1", &other), third;

	(void)state;
	assert_int_equal(count(both, 2, port), 0);
	first = connect_four(port);
	second = connect_four(port);
	third = connect_four(other);
	assert_int_equal(count(both, 2, port), 2);
	assert_int_equal(count(both + 1, 1, port), 0);
	finish(listener, first);
	assert_int_equal(count(both, 1, port), 1);
	finish(listener, second);
	assert_int_equal(count(both, 2, port), 0);
	finish(elsewhere, third);
	close(listener);
	close(elsewhere);
}

static void
test_those_of_a_listener_for_both_are_counted(void **state)
{
	uint16_t port;
	int listener = listen_on("::", &port), four, six;

	(void)state;
	four = connect_four(port);
	six = connect_six(port);
	assert_int_equal(count(both, 2, port), 2);
	assert_int_equal(count(both, 1, port), 1);
	assert_int_equal(count(both + 1, 1, port), 1);
	finish(listener, four);
	assert_int_equal(count(both, 1, port), 0);
	finish(listener, six);
	assert_int_equal(count(both, 2, port), 0);
	close(listener);
}

/* One whose output the client does not take, and which is closed. */
static void
test_those_that_end_are_counted(void **state)
{
	static const char bytes[65536];
	struct handoff__error error = {""};
	uint16_t port;
	int listener = listen_on("127.0.0.1", &port), client, served;

	(void)state;
	client = connect_four(port);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_true(support_poll(listener, POLLIN) & POLLIN);
	served = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(served >= 0);
	assert_int_equal(recv(served, &(char){0}, 1, 0), 1);
	while (send(served, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(
		handoff__halfopen_ending(both, 2, &port, 1, &error), 0);
	close(served);
	assert_int_equal(
		handoff__halfopen_ending(both, 2, &port, 1, &error), 1);
	assert_int_equal(
		handoff__halfopen_ending(both + 1, 1, &port, 1, &error), 0);
	assert_int_equal(count(both, 2, port), 0);
	close(client);
	assert_int_equal(
		handoff__halfopen_ending(both, 2, &port, 1, &error), 0);
	close(listener);
}

static void
test_without_descriptors_the_reason_is_said(void **state)
{
	struct handoff__error error = {""};
	uint16_t port = 1;

	(void)state;
	support_not_in_valgrind();
	support_limit_descriptors(0);
	assert_int_equal(
		handoff__halfopen_count(both, 2, &port, 1, &error), -EMFILE);
	support_unlimit_descriptors();
	assert_non_null(strstr(error.text, "sock_diag"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_those_of_ipv4_are_counted),
		handoff_test(test_those_of_a_listener_for_both_are_counted),
		handoff_test(test_those_that_end_are_counted),
		handoff_test(test_without_descriptors_the_reason_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
