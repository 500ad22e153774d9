/* SPDX-License-Identifier: MIT */
/*
 * Which addresses are reported for a wildcard: chosen from made-up interfaces,
 * and once from those of this host.
 */
#include "support/support.h"

#include "base/reach.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One address of an interface, as getifaddrs(3) tells it. */
struct interface {
	const char *address; /* NULL: none; "packet": of another family */
	unsigned flags;
	uint32_t scope;
};

static struct ifaddrs list[40];
static struct sockaddr_storage addresses[40];

static void
parse(const char *text, uint32_t scope, struct sockaddr_storage *out)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6, .sin6_scope_id = scope};

	memset(out, 0, sizeof(*out));
	out->ss_family = AF_PACKET;
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		memcpy(out, &four, sizeof(four));
	else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
		memcpy(out, &six, sizeof(six));
}

static const struct ifaddrs *
host(const struct interface *interfaces, size_t count)
{
	memset(list, 0, sizeof(list));
	for (size_t i = 0; i < count; i++) {
		if (interfaces[i].address) {
			parse(interfaces[i].address, interfaces[i].scope,
				&addresses[i]);
			list[i].ifa_addr = (struct sockaddr *)&addresses[i];
		}
		list[i].ifa_flags = interfaces[i].flags;
		list[i].ifa_next = i + 1 < count ? &list[i + 1] : NULL;
	}
	return count > 0 ? list : NULL;
}

/* What is told for a socket on that address, port 7000, of that host. */
static struct handoff__reach
reach_of(const char *bound, bool both, const struct ifaddrs *interfaces)
{
	struct handoff__reach reach = {.count = 0};
	struct sockaddr_storage ss;

	parse(bound, 0, &ss);
	((struct sockaddr_in *)&ss)->sin_port = htons(7000); /* of both */
	handoff__reach_select(&reach, (struct sockaddr *)&ss, both, interfaces);
	return reach;
}

static void
assert_told(const struct handoff__reach *reach, const char *const *expected,
	size_t count)
{
	for (size_t i = 0; i < count && i < reach->count; i++)
		assert_string_equal(reach->list[i], expected[i]);
	assert_int_equal(reach->count, count);
	assert_int_equal(reach->more, 0);
}

static const struct interface usual[] = {
	{"packet", IFF_UP | IFF_LOOPBACK, 0},
	{NULL, IFF_UP, 0}, /* a tunnel without an address */
	{"127.0.0.1", IFF_UP | IFF_LOOPBACK, 0}, {"192.0.2.7", IFF_UP, 0},
	{"198.51.100.1", 0, 0}, /* down */
	{"169.254.3.4", IFF_UP, 0},
	{"203.0.113.5", IFF_UP | IFF_LOOPBACK, 0}, /* on lo, but no loopback */
	{"::1", IFF_UP | IFF_LOOPBACK, 0}, {"fe80::1", IFF_UP, 1},
	{"2001:db8::7", IFF_UP, 0}, {"2001:db8::8", 0, 0}, /* down */
};

static void
all_addresses(void **state)
{
	struct handoff__reach reach =
		reach_of("::", true, host(usual, COUNT(usual)));
	char link[HANDOFF_ADDRESS_MAX], name[IF_NAMESIZE];

	(void)state;
	assert_non_null(if_indextoname(1, name));
	snprintf(link, sizeof(link), "[fe80::1%%%s]:7000", name);

	const char *expected[] = {"192.0.2.7:7000", "203.0.113.5:7000",
		"[2001:db8::7]:7000", "169.254.3.4:7000", link,
		"127.0.0.1:7000", "[::1]:7000"};

	assert_told(&reach, expected, COUNT(expected));
}

static void
only_ipv4(void **state)
{
	static const char *const expected[] = {"192.0.2.7:7000",
		"203.0.113.5:7000", "169.254.3.4:7000", "127.0.0.1:7000"};
	struct handoff__reach reach =
		reach_of("0.0.0.0", false, host(usual, COUNT(usual)));

	(void)state;
	assert_told(&reach, expected, COUNT(expected));
}

static void
only_ipv6(void **state)
{
	struct handoff__reach reach =
		reach_of("::", false, host(usual, COUNT(usual)));

	(void)state;
	assert_int_equal(reach.count, 3);
	assert_string_equal(reach.list[0], "[2001:db8::7]:7000");
	assert_string_equal(reach.list[2], "[::1]:7000");
}

/* Who names an address knows it already. */
static void
none_for_a_single_address(void **state)
{
	static const char *const bound[] = {
		"127.0.0.1", "192.0.2.7", "::1", "2001:db8::7", "packet"};

	(void)state;
	for (size_t i = 0; i < COUNT(bound); i++) {
		struct handoff__reach reach =
			reach_of(bound[i], true, host(usual, COUNT(usual)));

		assert_told(&reach, NULL, 0);
	}
}

static void
none_without_interfaces(void **state)
{
	struct handoff__reach reach = reach_of("::", true, host(usual, 0));

	(void)state;
	assert_told(&reach, NULL, 0);
}

static void
too_many_are_counted(void **state)
{
	struct interface many[HANDOFF__REACH_MAX + 3];
	struct handoff__reach reach;

	(void)state;
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = (struct interface){"192.0.2.7", IFF_UP, 0};
	reach = reach_of("0.0.0.0", false, host(many, COUNT(many)));
	assert_int_equal(reach.count, HANDOFF__REACH_MAX);
	assert_int_equal(reach.more, 3);
}

/* A real socket on this host, which has a loopback interface. */
static void
of_this_host(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct handoff__reach reach = {.count = 0};
	socklen_t len = sizeof(any);
	char last[HANDOFF_ADDRESS_MAX];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
	assert_int_equal(handoff__reach_add(&reach, fd), 0);
	close(fd);
	assert_in_range(reach.count, 1, HANDOFF__REACH_MAX);
	snprintf(last, sizeof(last), "127.0.0.1:%u", ntohs(any.sin_port));
	assert_string_equal(reach.list[reach.count - 1], last);
}

static void
of_no_wildcard_socket(void **state)
{
	struct sockaddr_in loop = {.sin_family = AF_INET};
	struct handoff__reach reach = {.count = 0};
	int unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	loop.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&loop, sizeof(loop)), 0);
	assert_int_equal(handoff__reach_add(&reach, fd), 0);
	assert_int_equal(handoff__reach_add(&reach, unix_fd), 0);
	assert_told(&reach, NULL, 0);
	close(fd);
	close(unix_fd);
	assert_true(handoff__reach_add(&reach, -1) < 0);
}

/* On lo until a ferry has moved it on; and not what belongs there, or what
 * another device has as well. */
static void
address_on_lo_alone_is_coming(void **state)
{
	const struct interface interfaces[] = {
		{"127.0.0.1", IFF_UP | IFF_LOOPBACK, 0},
		{"::1", IFF_UP | IFF_LOOPBACK, 0},
		{"192.0.2.7", IFF_UP | IFF_LOOPBACK, 0},
		{"2001:db8::7", IFF_UP | IFF_LOOPBACK, 0},
		{"192.0.2.8", IFF_UP | IFF_LOOPBACK, 0},
		{"192.0.2.8", IFF_UP, 0},
		{"192.0.2.9", IFF_UP, 0},
		{NULL, IFF_UP, 0},
	};
	const struct ifaddrs *all = host(interfaces, COUNT(interfaces));

	(void)state;
	assert_true(handoff__reach_is_coming("192.0.2.7:7000", all));
	assert_true(handoff__reach_is_coming("[2001:db8::7]:7000", all));
	assert_false(handoff__reach_is_coming("192.0.2.8:7000", all));
	assert_false(handoff__reach_is_coming("192.0.2.9:7000", all));
	assert_false(handoff__reach_is_coming("192.0.2.10:7000", all));
	assert_false(handoff__reach_is_coming("127.0.0.1:7000", all));
	assert_false(handoff__reach_is_coming("[::1]:7000", all));
	assert_false(handoff__reach_is_coming(":7000", all));
	assert_false(handoff__reach_is_coming("0.0.0.0:7000", all));
	assert_false(handoff__reach_is_coming("unix:/run/x", all));
	assert_false(handoff__reach_is_coming("192.0.2.7:7000", NULL));
	assert_false(handoff__reach_coming("192.0.2.7:7000"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(all_addresses),
		handoff_test(only_ipv4),
		handoff_test(only_ipv6),
		handoff_test(none_for_a_single_address),
		handoff_test(none_without_interfaces),
		handoff_test(too_many_are_counted),
		handoff_test(of_this_host),
		handoff_test(of_no_wildcard_socket),
		handoff_test(address_on_lo_alone_is_coming),
	};

	return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
