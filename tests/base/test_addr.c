/* SPDX-License-Identifier: MIT */
/*
 * Addresses: which texts are accepted and which are refused, and listeners on
 * the loopback addresses and on Unix sockets. No name is looked up on the
 * network.
 */
#include "support/support.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct handoff__error error;

static void
good_addresses(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} cases[] = {
		{"127.0.0.1:7000", "127.0.0.1", "7000"},
		{"[::1]:7000", "::1", "7000"},
		{"[fe80::1%lo]:1", "fe80::1%lo", "1"},
		{":0", "", "0"},
		{":65535", "", "65535"},
		{"localhost:00080", "localhost", "00080"},
		{"a.b-c.example:1", "a.b-c.example", "1"},
	};
	struct handoff__addr addr;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(
			handoff__addr_parse(&addr, cases[i].text, &error), 0);
		assert_false(addr.local);
		assert_string_equal(addr.host, cases[i].host);
		assert_string_equal(addr.port, cases[i].port);
	}
	assert_int_equal(
		handoff__addr_parse(&addr, "unix:/run/x:1", &error), 0);
	assert_true(addr.local);
	assert_string_equal(addr.path, "/run/x:1");
}

static void
bad_addresses(void **state)
{
	static const char *const cases[] = {"", ":", "7000", "localhost",
		"localhost:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
		"127.0.0.1: 1", "127.0.0.1:1x", "127.0.0.1:http",
		"127.0.0.1:999999", "::1:7000", "[::1]", "[::1]7000",
		"[::1]:", "[::1:7000", "[]:7000", "[", "]:1:2", "[[]:5",
		"a]b:5", "[:5", "unix:"};
	struct handoff__addr addr;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		error.text[0] = '\0';
		assert_int_equal(
			handoff__addr_parse(&addr, cases[i], &error), -EINVAL);
		assert_non_null(strstr(error.text, cases[i]));
	}
	assert_int_equal(handoff__addr_parse(&addr, NULL, &error), -EINVAL);
	assert_int_equal(handoff__addr_parse(&addr, "x", NULL), -EINVAL);
}

/* They would get into logs and lines of the status as they are. */
static void
paths_with_control_characters(void **state)
{
	static const char *const cases[] = {
		"unix:/a\nb", "unix:/a\033[2J", "unix:/a\177", "unix:/a\r"};
	struct handoff__addr addr;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(
			handoff__addr_parse(&addr, cases[i], &error), -EINVAL);
		assert_string_equal(error.text,
			"address of a Unix socket: byte 3 of its path is a "
			"control character");
	}
	assert_int_equal(
		handoff__addr_parse(&addr, "unix:/\303\251 b", &error), 0);
}

static void
too_long_addresses(void **state)
{
	char text[400];
	struct handoff__addr addr;

	(void)state;
	snprintf(text, sizeof(text), "%0127d:1", 0);
	assert_int_equal(handoff__addr_parse(&addr, text, &error), 0);
	snprintf(text, sizeof(text), "%0128d:1", 0);
	assert_int_equal(handoff__addr_parse(&addr, text, &error), -EINVAL);
	snprintf(text, sizeof(text), "%0390d:1", 0);
	assert_int_equal(handoff__addr_parse(&addr, text, &error), -EINVAL);
	snprintf(text, sizeof(text), "unix:%0107d", 0);
	assert_int_equal(handoff__addr_parse(&addr, text, &error), 0);
	assert_int_equal(strlen(addr.path), 107);
	snprintf(text, sizeof(text), "unix:%0108d", 0);
	assert_int_equal(handoff__addr_parse(&addr, text, &error), -EINVAL);
}

static void
formats(void **state)
{
	struct sockaddr_in four = {
		.sin_family = AF_INET, .sin_port = htons(7000)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6,
		.sin6_port = htons(1),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	char text[HANDOFF_ADDRESS_MAX];

	(void)state;
	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	handoff__addr_format(
		(struct sockaddr *)&four, sizeof(four), text, sizeof(text));
	assert_string_equal(text, "127.0.0.1:7000");
	handoff__addr_format(
		(struct sockaddr *)&six, sizeof(six), text, sizeof(text));
	assert_string_equal(text, "[::1]:1");
	inet_pton(AF_INET6, "::ffff:192.0.2.7", &six.sin6_addr);
	handoff__addr_format(
		(struct sockaddr *)&six, sizeof(six), text, sizeof(text));
	assert_string_equal(text, "192.0.2.7:1");
	/* Of IPv6, however much it looks like the other. */
	inet_pton(AF_INET6, "::192.0.2.7", &six.sin6_addr);
	handoff__addr_format(
		(struct sockaddr *)&six, sizeof(six), text, sizeof(text));
	assert_string_equal(text, "[::192.0.2.7]:1");
	strcpy(sun.sun_path, "/run/socket");
	handoff__addr_format(
		(struct sockaddr *)&sun, sizeof(sun), text, sizeof(text));
	assert_string_equal(text, "unix:/run/socket");
	handoff__addr_format((struct sockaddr *)&sun, sizeof(sa_family_t), text,
		sizeof(text));
	assert_string_equal(text, "unix:");
	handoff__addr_format(&none, sizeof(none), text, sizeof(text));
	assert_string_equal(text, "?");
	handoff__addr_format((struct sockaddr *)&four, sizeof(four), text, 5);
	assert_string_equal(text, "127.");
}

/* Connects to an address of the form that listen reports. */
static int
dial(const char *bound)
{
	struct addrinfo *list,
		hints = {.ai_socktype = SOCK_STREAM,
			.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct handoff__addr addr;
	int fd;

	assert_int_equal(handoff__addr_parse(&addr, bound, &error), 0);
	assert_int_equal(getaddrinfo(addr.host, addr.port, &hints, &list), 0);
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, list->ai_addr, list->ai_addrlen), 0);
	freeaddrinfo(list);
	return fd;
}

static void
check_listener(int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* One connection is accepted, and it does not wait to fill segments. */
static void
check_accept(int listener, const char *address)
{
	int client = dial(address), conn, value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(support_poll(listener, POLLIN), POLLIN);
	conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(conn >= 0);
	assert_int_equal(
		getsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
	assert_true(value);
	close(conn);
	close(client);
}

static bool
no_ipv6(void)
{
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool none =
		fd < 0 || bind(fd, (struct sockaddr *)&six, sizeof(six)) < 0;

	if (fd >= 0)
		close(fd);
	return none;
}

static void
listens_on_ipv4(void **state)
{
	char bound[HANDOFF_ADDRESS_MAX], again[HANDOFF_ADDRESS_MAX];
	int fd = handoff__addr_listen("127.0.0.1:0", bound, &error);

	(void)state;
	check_listener(fd);
	assert_int_equal(strncmp(bound, "127.0.0.1:", 10), 0);
	assert_string_not_equal(bound, "127.0.0.1:0");
	check_accept(fd, bound);
	assert_int_equal(
		handoff__addr_listen(bound, again, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, bound));
	close(fd);
	/* At once again, though a connection was there: SO_REUSEADDR. */
	fd = handoff__addr_listen(bound, again, &error);
	check_listener(fd);
	assert_string_equal(again, bound);
	close(fd);
}

static void
listens_on_ipv6(void **state)
{
	char bound[HANDOFF_ADDRESS_MAX];
	int fd;

	(void)state;
	if (no_ipv6())
		skip();
	fd = handoff__addr_listen("[::1]:0", bound, &error);
	check_listener(fd);
	assert_int_equal(strncmp(bound, "[::1]:", 6), 0);
	check_accept(fd, bound);
	close(fd);
}

static void
listens_on_all(void **state)
{
	char bound[HANDOFF_ADDRESS_MAX], address[HANDOFF_ADDRESS_MAX];
	int fd = handoff__addr_listen(":0", bound, &error);

	(void)state;
	check_listener(fd);
	assert_non_null(strrchr(bound, ':'));
	snprintf(address, sizeof(address), "127.0.0.1%s", strrchr(bound, ':'));
	check_accept(fd, address);
	if (!no_ipv6()) {
		snprintf(address, sizeof(address), "[::1]%s",
			strrchr(bound, ':'));
		check_accept(fd, address);
	}
	close(fd);
}

/* A label of more than 63 characters fails before anyone is asked. */
static void
unknown_host_is_refused(void **state)
{
	char text[HANDOFF_ADDRESS_MAX], bound[HANDOFF_ADDRESS_MAX] = "kept";

	(void)state;
	snprintf(text, sizeof(text), "x%069d:0", 0);
	assert_int_equal(handoff__addr_listen(text, bound, &error), -EINVAL);
	assert_non_null(strstr(error.text, "cannot resolve"));
	assert_string_equal(bound, "kept");
}

static void
some_addresses_exclude_others(void **state)
{
	static const struct {
		const char *one, *other;
		bool excludes;
	} cases[] = {
		{"127.0.0.1:7", "127.0.0.1:7", true},
		{"127.0.0.1:7", "127.0.0.1:8", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"127.0.0.1:7", "127.0.0.2:7", false},
		{"127.0.0.1:7", "[::1]:7", false},
		{"127.0.0.1:7", ":7", true},
		{"127.0.0.1:7", ":07", true},
		{"127.0.0.1:7", "[::]:7", true},
		{"127.0.0.1:7", "0.0.0.0:7", true},
		{"[::1]:7", ":7", true},
		{"[::1]:7", "0.0.0.0:7", false},
		{"0.0.0.0:7", "0.0.0.0:7", true},
		{"0.0.0.0:7", ":7", true},
		{":7", "[::]:7", true},
		{":7", ":8", false},
		{":0", ":0", false},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false},
		{"unix:/a", ":7", false},
		{"nonsense", "nonsense", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (handoff__addr_excludes(cases[i].one, cases[i].other) !=
				cases[i].excludes ||
			handoff__addr_excludes(cases[i].other, cases[i].one) !=
				cases[i].excludes)
			fail_msg("%s, %s", cases[i].one, cases[i].other);
	}
}

static void
foreign_address_is_refused(void **state)
{
	char bound[HANDOFF_ADDRESS_MAX];

	(void)state;
	/* TEST-NET-1 (RFC 5737) is on no interface. */
	assert_int_equal(handoff__addr_listen("192.0.2.1:0", bound, &error),
		-EADDRNOTAVAIL);
	assert_non_null(strstr(error.text, "192.0.2.1:0"));
	assert_int_equal(
		handoff__addr_listen("nonsense", bound, &error), -EINVAL);
	assert_int_equal(
		handoff__addr_listen("nonsense", bound, NULL), -EINVAL);
}

static void
listens_on_a_unix_socket(void **state)
{
	char text[HANDOFF_ADDRESS_MAX], bound[HANDOFF_ADDRESS_MAX];
	int fd, second;

	(void)state;
	snprintf(text, sizeof(text), "unix:%s/socket", support_dir());
	fd = handoff__addr_listen(text, bound, &error);
	check_listener(fd);
	assert_string_equal(bound, text);
	/* One that is alive is not taken away... */
	second = handoff__addr_listen(text, bound, &error);
	assert_int_equal(second, -EADDRINUSE);
	close(fd);
	/* ...and one that a dead process left is. */
	fd = handoff__addr_listen(text, bound, &error);
	check_listener(fd);
	close(fd);
}

static void
other_files_are_not_removed(void **state)
{
	char text[HANDOFF_ADDRESS_MAX], bound[HANDOFF_ADDRESS_MAX];
	struct stat st;
	int fd;

	(void)state;
	snprintf(text, sizeof(text), "unix:%s/file", support_dir());
	fd = open(text + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(
		handoff__addr_listen(text, bound, &error), -EADDRINUSE);
	assert_int_equal(lstat(text + 5, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	strcat(text, "/no/where");
	assert_int_equal(handoff__addr_listen(text, bound, &error), -ENOTDIR);
}

static void
assert_absolute(const char *text, const char *want)
{
	char *got = NULL;

	assert_int_equal(handoff__addr_absolute(&got, text, &error), 0);
	assert_string_equal(got, want);
	free(got);
}

static void
relative_paths_are_made_absolute(void **state)
{
	const char *dir = support_dir();
	char want[HANDOFF_ADDRESS_MAX];
	int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(home >= 0);
	assert_int_equal(chdir(dir), 0);
	snprintf(want, sizeof(want), "unix:%s/a/b", dir);
	assert_absolute("unix:a/b", want);
	assert_absolute("unix:/a/b", "unix:/a/b");
	/* All else is left to those who know what is wrong with it. */
	assert_absolute("unix:", "unix:");
	assert_absolute("127.0.0.1:7000", "127.0.0.1:7000");
	assert_absolute("", "");
	assert_int_equal(chdir("/"), 0);
	assert_absolute("unix:a", "unix:/a");
	assert_int_equal(fchdir(home), 0);
	close(home);
}

static void
relative_paths_that_cannot_be_absolute(void **state)
{
	char text[HANDOFF_ADDRESS_MAX], gone[128];
	const char *dir = support_dir();
	char *got = NULL;
	int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(home >= 0);
	assert_int_equal(chdir(dir), 0);
	snprintf(text, sizeof(text), "unix:%0107d", 0);
	assert_int_equal(
		handoff__addr_absolute(&got, text, &error), -ENAMETOOLONG);
	assert_non_null(strstr(error.text, "more than 107 bytes"));
	snprintf(gone, sizeof(gone), "%s/gone", dir);
	assert_int_equal(mkdir(gone, 0700), 0);
	assert_int_equal(chdir(gone), 0);
	assert_int_equal(rmdir(gone), 0);
	assert_int_equal(
		handoff__addr_absolute(&got, "unix:a", &error), -ENOENT);
	assert_non_null(strstr(error.text, "unix:a"));
	assert_null(got);
	assert_int_equal(fchdir(home), 0);
	close(home);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(good_addresses),
		handoff_test(bad_addresses),
		handoff_test(paths_with_control_characters),
		handoff_test(too_long_addresses),
		handoff_test(formats),
		handoff_test(listens_on_ipv4),
		handoff_test(listens_on_ipv6),
		handoff_test(listens_on_all),
		handoff_test(unknown_host_is_refused),
		handoff_test(some_addresses_exclude_others),
		handoff_test(foreign_address_is_refused),
		handoff_test(listens_on_a_unix_socket),
		handoff_test(other_files_are_not_removed),
		handoff_test(relative_paths_are_made_absolute),
		handoff_test(relative_paths_that_cannot_be_absolute),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
