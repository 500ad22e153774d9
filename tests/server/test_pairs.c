/* SPDX-License-Identifier: MIT */
/*
 * Pairs that move to another version of their service, whose records have other
 * sizes: they stay pairs, and lose nothing, not even what is still in the ring
 * between them.
 */
#include "server/duo.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATTERN 251

struct backend {
	int listener;
	char address[HANDOFF_ADDRESS_MAX];
};

static struct backend backend;

static int
begin(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	if (handoff_conn_outgoing(conn))
		return 0;
	return handoff_conn_connect(conn, backend.address);
}

static int
forward(struct handoff_conn *conn, void *arg)
{
	size_t len, passed;
	const void *input = handoff_conn_input(conn, &len);

	(void)arg;
	if (handoff_conn_pair_error(conn) < 0) {
		handoff_conn_close(conn);
		return 0;
	}
	passed = handoff_conn_pass(conn, input, len);
	if (handoff_conn_eof(conn) && passed == len)
		handoff_conn_pass_end(conn);
	return handoff_conn_consume(conn, passed);
}

static int
convert(uint32_t version, const void *old, size_t size, void *state, void *arg)
{
	(void)version;
	(void)old;
	(void)size;
	(void)state;
	(void)arg;
	return 0;
}

static void
make_proxy(struct host *host, uint32_t version, uint32_t pass_size)
{
	host->service.open = begin;
	host->service.handle = forward;
	host->service.state_version = version;
	host->service.state_size = 16 * version;
	host->service.pass_size = pass_size;
	host->service.input_size = host->service.output_size = 4096;
	host->service.convert = convert;
	host->service.convert_from = 1;
}

static void
open_proxies(struct duo *duo, void **state)
{
	backend.listener =
		handoff__addr_listen("127.0.0.1:0", backend.address, NULL);
	assert_true(backend.listener >= 0);
	duo_init(duo, duo_model(state));
	make_proxy(&duo->a, 1, 4096);
	make_proxy(&duo->b, 2, 16384);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

/* The backend's side of the next pair, with a small buffer. */
static int
accept_pair(struct duo *duo)
{
	int fd, small = 4096;

	setsockopt(
		backend.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while ((fd = accept4(backend.listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		duo_turn(duo);
	return fd;
}

/* Sends until nobody takes more; returns how much that was. */
static size_t
flood(struct duo *duo, int fd)
{
	unsigned char bytes[PATTERN];
	size_t sent = 0;
	int idle = 0;

	for (int i = 0; i < PATTERN; i++)
		bytes[i] = (unsigned char)i;
	while (idle < 20) {
		size_t at = sent % PATTERN;
		ssize_t n = send(fd, bytes + at, PATTERN - at, MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		else
			idle++;
		if (n < 0)
			duo_turn(duo);
	}
	return sent;
}

static void
drain(struct duo *duo, int fd, size_t size)
{
	unsigned char bytes[4096];
	int large = 1 << 20;

	/* megabytes wait, which a small window takes long to let through */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(bytes[i], got % PATTERN);
		if (n <= 0)
			duo_turn(duo);
	}
}

static void
pairs_are_converted(void **state)
{
	struct duo duo;
	int client, other;
	size_t sent;

	open_proxies(&duo, state);
	client = client_open(duo.a.address);
	other = accept_pair(&duo);
	client_send(client, "hello\n");
	client_expect(&duo, other, "hello\n");
	sent = flood(&duo, client);
	assert_true(sent > 8192);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, "moved 2 connections, 1 listener"));
	drain(&duo, other, sent);
	client_send(other, "world\n");
	client_expect(&duo, client, "world\n");
	/* either is told of the other's end */
	close(other);
	client_expect(&duo, client, "");
	close(client);
	close(backend.listener);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(pairs_are_converted),
	};

	return cmocka_run_group_tests_name("pairs", tests, NULL, NULL);
}
