/* SPDX-License-Identifier: MIT */
/* Addresses with prefixes as text. */
#include "support/support.h"

#include "ferry/prefix.h"
#include "ferry/vet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static void
refused(const char *text, const char *words)
{
	struct handoff__prefix list[3];
	struct handoff__error error = {""};

	assert_int_equal(
		handoff__prefixes_parse(text, list, 3, &error), -EINVAL);
	if (!strstr(error.text, words))
		fail_msg("'%s' is not in '%s'", words, error.text);
}

static void
test_lists_are_parsed_and_printed(void **state)
{
	struct handoff__prefix list[3];
	char text[HANDOFF__PREFIX_TEXT];

	(void)state;
	assert_int_equal(
		handoff__prefixes_parse("10.77.0.100/32", list, 1, NULL), 1);
	assert_int_equal(
		handoff__prefixes_parse("10.77.0.100/24,FD77::0100/128,"
					"2001:db8:1:2:3:4:5:6/64",
			list, 3, NULL),
		3);
	handoff__prefix_format(&list[0], text, sizeof(text));
	assert_string_equal(text, "10.77.0.100/24");
	handoff__prefix_format(&list[1], text, sizeof(text));
	assert_string_equal(text, "fd77::100/128");
	handoff__prefix_format(&list[2], text, sizeof(text));
	assert_string_equal(text, "2001:db8:1:2:3:4:5:6/64");
}

static void
test_what_no_host_can_have_to_itself_is_refused(void **state)
{
	(void)state;
	refused("", "IP/PREFIX");
	refused("10.0.0.1", "IP/PREFIX");
	refused("10.0.0.1/24,", "IP/PREFIX");
	refused("host/24", "not a numeric");
	refused("10.0.0.1/24 ,10.0.0.2/24", "number of bits");
	refused("10.0.0.1/", "number of bits");
	refused("10.0.0.1/0", "number of bits");
	refused("10.0.0.1/33", "number of bits");
	refused("10.0.0.1/-1", "number of bits");
	refused("fd77::1/129", "number of bits");
	refused("fd77::1/0128", "number of bits");
	refused("0.0.0.0/24", "can move");
	refused("127.0.0.1/8", "can move");
	refused("169.254.1.1/16", "can move");
	refused("224.0.0.1/24", "can move");
	refused("255.255.255.255/32", "can move");
	refused("::/64", "can move");
	refused("::1/128", "can move");
	refused("fe80::1/64", "can move");
	refused("ff02::1/64", "can move");
	refused("::ffff:10.0.0.1/128", "can move");
	refused("10.0.0.1/24,10.0.0.1/32", "twice");
	refused("10.0.0.1/8,10.0.0.2/8,10.0.0.3/8,10.0.0.4/8", "more than 3");
}

static void
test_an_address_is_found_whatever_its_socket_is(void **state)
{
	struct handoff__prefix list[2];
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr other = {.sa_family = AF_UNIX};

	(void)state;
	assert_int_equal(handoff__prefixes_parse(
				 "10.0.0.1/24,fd77::1/64", list, 2, NULL),
		2);
	inet_pton(AF_INET, "10.0.0.1", &four.sin_addr);
	assert_true(handoff__prefix_holds(list, 2, (struct sockaddr *)&four));
	assert_false(
		handoff__prefix_holds(list + 1, 1, (struct sockaddr *)&four));
	inet_pton(AF_INET, "10.0.0.2", &four.sin_addr);
	assert_false(handoff__prefix_holds(list, 2, (struct sockaddr *)&four));
	inet_pton(AF_INET6, "fd77::1", &six.sin6_addr);
	assert_true(handoff__prefix_holds(list, 2, (struct sockaddr *)&six));
	inet_pton(AF_INET6, "::ffff:10.0.0.1", &six.sin6_addr);
	assert_true(handoff__prefix_holds(list, 2, (struct sockaddr *)&six));
	inet_pton(AF_INET6, "a00:1::", &six.sin6_addr); /* the same bytes */
	assert_false(handoff__prefix_holds(list, 2, (struct sockaddr *)&six));
	assert_false(handoff__prefix_holds(list, 2, &other));
}

/* The link would break with the move that it carries. */
static void
test_a_link_needs_an_address_that_stays(void **state)
{
	static const char *const bad[] = {
		"10.77.0.100:7001", "[fd77::100]:7001"};
	static const char *const good[] = {"10.77.0.10:7001", "0.0.0.0:7001",
		"[fd77::10]:7001", "hostb:7001", ":7001", "", "10.77.0.100",
		"[]:1", NULL};
	struct handoff__prefix list[2];
	struct handoff__error error = {""};
	int n = handoff__prefixes_parse(
		"10.77.0.100/24,fd77::100/64", list, 2, NULL);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(handoff__vet_link(list, (uint32_t)n,
					 "--listen", bad[i], &error),
			-EINVAL);
		assert_non_null(strstr(error.text, bad[i]));
		assert_non_null(strstr(error.text, "--listen"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(handoff__vet_link(list, (uint32_t)n, "--to",
					 good[i], &error),
			0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_lists_are_parsed_and_printed),
		handoff_test(test_what_no_host_can_have_to_itself_is_refused),
		handoff_test(test_an_address_is_found_whatever_its_socket_is),
		cmocka_unit_test(test_a_link_needs_an_address_that_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
