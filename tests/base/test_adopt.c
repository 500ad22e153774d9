/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets opened by other processes: which are accepted, which are
 * refused, which options are set on them, and whether they have an address.
 */
#include "support/support.h"

#include "base/addr.h"
#include "base/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct handoff__error error;
static char bound[HANDOFF_ADDRESS_MAX];

/* A listener as others open it: nothing is set on it. */
static int
plain(int family, const char *path)
{
	struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
	struct sockaddr_in *four = (void *)&ss;
	struct sockaddr_in6 *six = (void *)&ss;
	struct sockaddr_un *sun = (void *)&ss;
	socklen_t len = sizeof(*six);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET) {
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		len = sizeof(*four);
	} else if (family == AF_INET6) {
		six->sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	} else {
		snprintf(sun->sun_path, sizeof(sun->sun_path), "%s", path);
		len = sizeof(*sun);
	}
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int
set(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void
listeners_are_taken(void **state)
{
	int fd = plain(AF_INET, NULL), copy;

	(void)state;
	copy = handoff__adopt(fd, bound, &error);
	assert_true(copy >= 0);
	assert_int_not_equal(copy, fd);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	/* What is set is set on both. */
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(set(fd, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(set(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_true(handoff__adopt_is(fd, bound));
	close(copy);
	close(fd);
}

static void
six_and_unix_are_taken(void **state)
{
	char path[64], text[80];
	int fd = plain(AF_INET6, NULL), copy;

	(void)state;
	copy = handoff__adopt(fd, bound, &error);
	assert_true(copy >= 0);
	assert_int_equal(strncmp(bound, "[::1]:", 6), 0);
	assert_int_equal(set(copy, SOL_SOCKET, SO_OOBINLINE), 1);
	close(copy);
	close(fd);
	snprintf(path, sizeof(path), "%s/s", support_dir());
	snprintf(text, sizeof(text), "unix:%s", path);
	fd = plain(AF_UNIX, path);
	copy = handoff__adopt(fd, bound, &error);
	assert_true(copy >= 0);
	assert_string_equal(bound, text);
	assert_true(fcntl(copy, F_GETFL) & O_NONBLOCK);
	assert_true(handoff__adopt_is(copy, text));
	assert_false(handoff__adopt_is(copy, "unix:/elsewhere"));
	assert_false(handoff__adopt_is(copy, ":0"));
	close(copy);
	close(fd);
}

/* Is refused by that errno with these words; nothing is left open. */
static void
refused(int fd, int err, const char *why)
{
	int before = support_open_fds();

	assert_int_equal(handoff__adopt(fd, bound, &error), err);
	assert_non_null(strstr(error.text, why));
	assert_int_equal(support_open_fds(), before);
	if (fd >= 0)
		close(fd);
}

static void
all_else_is_refused(void **state)
{
	int pair[2];

	(void)state;
	refused(-1, -EBADF, "cannot be duplicated");
	refused(open("/dev/null", O_RDONLY | O_CLOEXEC), -EINVAL,
		"it is not a socket");
	refused(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), -EINVAL,
		"it is not a stream");
	refused(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -EINVAL,
		"it does not listen");
	refused(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), -EINVAL,
		"neither TCP nor a Unix");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	refused(pair[0], -EINVAL, "it does not listen");
	close(pair[1]);
}

static void
has(const char *listen, const char *port, bool is)
{
	char text[HANDOFF_ADDRESS_MAX], wanted[HANDOFF_ADDRESS_MAX];
	int fd = handoff__addr_listen(listen, text, &error);

	assert_true(fd >= 0);
	snprintf(wanted, sizeof(wanted), port, atoi(strrchr(text, ':') + 1));
	if (handoff__adopt_is(fd, wanted) != is)
		fail_msg("%s %s %s", text, is ? "is not" : "is", wanted);
	close(fd);
}

static void
addresses_are_compared(void **state)
{
	(void)state;
	has("127.0.0.1:0", "127.0.0.1:%d", true);
	has("127.0.0.1:0", "127.0.0.1:0", true);
	has("127.0.0.1:0", "127.1:%d", true);
	has("127.0.0.1:0", "127.0.0.1:1", false);
	has("127.0.0.1:0", "127.0.0.2:%d", false);
	has("127.0.0.1:0", "[::1]:%d", false);
	has("127.0.0.1:0", ":%d", false);
	has("127.0.0.1:0", "unix:/x", false);
	has("127.0.0.1:0", "nonsense", false);
	has("[::1]:0", "[::1]:%d", true);
	has("[::1]:0", "[::1]:0", true);
	has("[::1]:0", "[::2]:%d", false);
	has("[::1]:0", "[::1]:1", false);
	has("[::1]:0", ":%d", false);
	has(":0", ":%d", true);
	has(":0", "[::]:%d", true);
	has(":0", ":1", false);
	has("0.0.0.0:0", ":%d", !handoff__addr_has_six());
	has("0.0.0.0:0", "127.0.0.1:%d", false);
	has("[::ffff:127.0.0.1]:0", "127.0.0.1:%d", true);
	has("[::ffff:127.0.0.1]:0", "127.0.0.2:%d", false);
	has("127.0.0.1:0", "[::ffff:127.0.0.1]:%d", true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(listeners_are_taken),
		handoff_test(six_and_unix_are_taken),
		handoff_test(all_else_is_refused),
		handoff_test(addresses_are_compared),
	};

	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}
