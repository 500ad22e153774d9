/* SPDX-License-Identifier: MIT */
/*
 * The kernel's byte counters of an accepted socket, in every state in which a
 * dead process may have left it.
 */
#include "support/support.h"

#include "base/progress.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection: `client` was connected, `served` accepted. */
struct connection {
	int client, served;
};

static void
connect_pair(struct connection *c)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sin);
	int listener, one = 1;

	support_not_emulated("it has no getsockopt(TCP_INFO)");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	c->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c->client, (struct sockaddr *)&sin, len), 0);
	c->served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(c->served >= 0);
	assert_int_equal(setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &one,
				 sizeof(one)),
		0);
	close(listener);
}

static void
disconnect(struct connection *c)
{
	if (c->client >= 0)
		close(c->client);
	close(c->served);
}

static void
put(int fd, size_t len)
{
	static const char data[1 << 16];

	assert_true(len <= sizeof(data));
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void
take(int fd, size_t len)
{
	static char data[1 << 16];

	assert_true(len <= sizeof(data));
	assert_int_equal(recv(fd, data, len, MSG_WAITALL), (ssize_t)len);
}

/* Waits until the socket has something new to tell. */
static void
await(int fd, short events)
{
	assert_true(support_poll(fd, events) & events);
}

static void
assert_progress(const struct connection *c, uint64_t read, uint64_t written)
{
	struct handoff__progress progress;

	assert_int_equal(handoff__progress(c->served, &progress), 0);
	assert_int_equal(progress.read, read);
	assert_int_equal(progress.written, written);
}

static void
fresh(void **state)
{
	struct connection c;

	(void)state;
	connect_pair(&c);
	assert_progress(&c, 0, 0);
	disconnect(&c);
}

static void
unread_input_is_not_read(void **state)
{
	struct connection c;

	(void)state;
	connect_pair(&c);
	put(c.client, 1000);
	await(c.served, POLLIN);
	assert_progress(&c, 0, 0);
	take(c.served, 1);
	assert_progress(&c, 1, 0);
	take(c.served, 999);
	assert_progress(&c, 1000, 0);
	put(c.client, 7);
	await(c.served, POLLIN);
	assert_progress(&c, 1000, 0);
	disconnect(&c);
}

/* Whether the other side has read it, or even received it, does not matter. */
static void
output_counts_when_it_is_sent(void **state)
{
	struct connection c;
	uint64_t written = 0;
	ssize_t n;

	(void)state;
	connect_pair(&c);
	put(c.served, 100);
	assert_progress(&c, 0, 100);
	take(c.client, 100);
	assert_progress(&c, 0, 100);
	do {
		static const char data[1 << 16];

		n = send(c.served, data, sizeof(data),
			MSG_DONTWAIT | MSG_NOSIGNAL);
		written += n > 0 ? (uint64_t)n : 0;
	} while (n > 0);
	assert_int_equal(errno, EAGAIN);
	assert_true(written > 0);
	assert_progress(&c, 0, 100 + written);
	disconnect(&c);
}

static void
both_ways_at_once(void **state)
{
	struct connection c;

	(void)state;
	connect_pair(&c);
	for (uint64_t i = 1; i <= 50; i++) {
		put(c.client, 300);
		put(c.served, 500);
		take(c.served, 200);
		take(c.client, 500);
		assert_progress(&c, i * 200, i * 500);
	}
	disconnect(&c);
}

/* The other side's FIN is a byte of the kernel's, not of the stream. */
static void
end_of_input_is_no_byte(void **state)
{
	struct connection c;
	char byte;

	(void)state;
	connect_pair(&c);
	shutdown(c.client, SHUT_WR);
	await(c.served, POLLRDHUP);
	assert_progress(&c, 0, 0);
	assert_int_equal(recv(c.served, &byte, 1, 0), 0);
	assert_progress(&c, 0, 0);
	put(c.served, 10);
	assert_progress(&c, 0, 10);
	disconnect(&c);
}

static void
end_of_input_behind_unread_data(void **state)
{
	struct connection c;
	char byte;

	(void)state;
	connect_pair(&c);
	put(c.client, 10);
	shutdown(c.client, SHUT_WR);
	await(c.served, POLLRDHUP);
	assert_progress(&c, 0, 0);
	take(c.served, 4);
	assert_progress(&c, 4, 0);
	take(c.served, 6);
	assert_progress(&c, 10, 0);
	assert_int_equal(recv(c.served, &byte, 1, 0), 0);
	assert_progress(&c, 10, 0);
	assert_int_equal(recv(c.served, &byte, 1, 0), 0);
	assert_progress(&c, 10, 0);
	disconnect(&c);
}

/* Our own FIN is no byte either, whether it is acknowledged or waits behind
 * data that the other side does not take. */
static void
end_of_output_is_no_byte(void **state)
{
	struct connection c;

	(void)state;
	connect_pair(&c);
	put(c.served, 10);
	shutdown(c.served, SHUT_WR);
	assert_progress(&c, 0, 10);
	await(c.client, POLLRDHUP);
	assert_progress(&c, 0, 10);
	take(c.client, 10);
	assert_progress(&c, 0, 10);
	put(c.client, 5);
	await(c.served, POLLIN);
	assert_progress(&c, 0, 10);
	take(c.served, 5);
	assert_progress(&c, 5, 10);
	disconnect(&c);
}

static void
end_of_output_behind_unsent_data(void **state)
{
	static const char data[1 << 16];
	struct connection c;
	uint64_t written = 0;
	ssize_t n;

	(void)state;
	connect_pair(&c);
	while ((n = send(c.served, data, sizeof(data),
			MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		written += (uint64_t)n;
	shutdown(c.served, SHUT_WR);
	assert_progress(&c, 0, written);
	put(c.client, 3);
	await(c.served, POLLIN);
	take(c.served, 2);
	assert_progress(&c, 2, written);
	disconnect(&c);
}

/* Input was shut down by this side, as before a close. */
static void
input_that_nobody_wants(void **state)
{
	struct connection c;

	(void)state;
	connect_pair(&c);
	put(c.client, 10);
	await(c.served, POLLIN);
	take(c.served, 10);
	shutdown(c.served, SHUT_RD);
	assert_progress(&c, 10, 0);
	disconnect(&c);
}

/* First one side ends, then the other, then the last acknowledgement comes:
 * whenever it is asked, the answer is right or that there is no connection. */
static void
both_ends(void **state)
{
	struct connection c;
	struct handoff__progress progress;
	int rc;

	(void)state;
	connect_pair(&c);
	put(c.client, 8);
	put(c.served, 9);
	shutdown(c.client, SHUT_WR);
	await(c.served, POLLRDHUP);
	take(c.served, 8);
	shutdown(c.served, SHUT_WR);
	rc = handoff__progress(c.served, &progress);
	if (rc == 0) {
		assert_int_equal(progress.read, 8);
		assert_int_equal(progress.written, 9);
	} else {
		assert_int_equal(rc, -ENOTCONN);
	}
	take(c.client, 9);
	await(c.served, POLLHUP);
	assert_int_equal(handoff__progress(c.served, &progress), -ENOTCONN);
	disconnect(&c);
}

/* The same, but our end is held back by data that the client does not take:
 * LAST_ACK lasts. */
static void
both_ends_but_output_is_under_way(void **state)
{
	static const char data[1 << 16];
	struct connection c;
	uint64_t written = 0;
	ssize_t n;

	(void)state;
	connect_pair(&c);
	put(c.client, 8);
	shutdown(c.client, SHUT_WR);
	await(c.served, POLLRDHUP);
	take(c.served, 5);
	while ((n = send(c.served, data, sizeof(data),
			MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		written += (uint64_t)n;
	shutdown(c.served, SHUT_WR);
	assert_progress(&c, 5, written);
	take(c.served, 3);
	assert_progress(&c, 8, written);
	disconnect(&c);
}

static void
reset(void **state)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};
	struct handoff__progress progress = {.read = 11, .written = 12};
	struct connection c;

	(void)state;
	connect_pair(&c);
	put(c.client, 8);
	await(c.served, POLLIN);
	assert_int_equal(setsockopt(c.client, SOL_SOCKET, SO_LINGER, &abort,
				 sizeof(abort)),
		0);
	close(c.client);
	c.client = -1;
	await(c.served, POLLHUP);
	assert_int_equal(handoff__progress(c.served, &progress), -ENOTCONN);
	/* Outputs are untouched on failure. */
	assert_int_equal(progress.read, 11);
	assert_int_equal(progress.written, 12);
	disconnect(&c);
}

static void
sockets_without_counters(void **state)
{
	struct handoff__progress progress;
	int sv[2];

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(handoff__progress(sv[0], &progress), -EOPNOTSUPP);
	close(sv[0]);
	close(sv[1]);
	assert_int_equal(handoff__progress(sv[0], &progress), -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(fresh),
		handoff_test(unread_input_is_not_read),
		handoff_test(output_counts_when_it_is_sent),
		handoff_test(both_ways_at_once),
		handoff_test(end_of_input_is_no_byte),
		handoff_test(end_of_input_behind_unread_data),
		handoff_test(end_of_output_is_no_byte),
		handoff_test(end_of_output_behind_unsent_data),
		handoff_test(input_that_nobody_wants),
		handoff_test(both_ends),
		handoff_test(both_ends_but_output_is_under_way),
		handoff_test(reset),
		handoff_test(sockets_without_counters),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
