/* SPDX-License-Identifier: MIT */
/*
 * The server's side of a client test. Everything waits at most five seconds,
 * and never by sleeping.
 */
#include "client/fixture.h"

#include "base/addr.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct site
site_open(void)
{
	struct site site;

	site.fd = handoff__addr_listen("127.0.0.1:0", site.address, NULL);
	assert_true(site.fd >= 0);
	return site;
}

struct site
site_dead(void)
{
	struct site site = site_open();

	site_close(&site);
	return site;
}

void
site_reopen(struct site *site)
{
	char bound[HANDOFF_ADDRESS_MAX];

	site->fd = handoff__addr_listen(site->address, bound, NULL);
	assert_true(site->fd >= 0);
}

void
site_close(struct site *site)
{
	close(site->fd);
	site->fd = -1;
}

struct site
site_full(int fill[SITE_FILL])
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(in);
	struct site site;

	site.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(site.fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(site.fd, 0), 0);
	assert_int_equal(getsockname(site.fd, (struct sockaddr *)&in, &len), 0);
	handoff__addr_format((struct sockaddr *)&in, len, site.address,
		sizeof(site.address));
	for (int i = 0; i < SITE_FILL; i++) {
		fill[i] = socket(
			AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], (struct sockaddr *)&in, len);
	}
	return site;
}

struct handoff_client_opts
fixture_opts(const char **endpoints, const struct site *first,
	const struct site *second)
{
	endpoints[0] = first->address;
	endpoints[1] = second ? second->address : NULL;
	return (struct handoff_client_opts){
		.size = sizeof(struct handoff_client_opts),
		.endpoints = endpoints,
		.nendpoints = second ? 2 : 1,
		.first_delay_ms = 1,
		.max_delay_ms = 20,
	};
}

/* Waits until `fd` is ready while the client does what it has to. */
static void
until_readable(struct handoff_client *client, int fd)
{
	struct pollfd p[2] = {
		{.fd = fd, .events = POLLIN},
		{.fd = client ? handoff_client_fd(client) : -1,
			.events = POLLIN},
	};

	for (;;) {
		assert_true(poll(p, 2, PATIENCE_MS) > 0);
		if (p[1].revents)
			assert_int_equal(handoff_client_dispatch(client), 0);
		if (p[0].revents)
			return;
	}
}

struct handoff_client *
fixture_open(const struct handoff_client_opts *opts)
{
	struct handoff_client *client = NULL;

	assert_int_equal(handoff_client_open(&client, opts), 0);
	return client;
}

struct handoff_client *
fixture_open_to(const struct site *first, const struct site *second)
{
	static const char *endpoints[2];
	struct handoff_client_opts opts =
		fixture_opts(endpoints, first, second);

	return fixture_open(&opts);
}

struct handoff_client *
fixture_open_connected(const struct site *site, int *conn)
{
	struct handoff_client *client = fixture_open_to(site, NULL);

	*conn = fixture_accept(client, site);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	return client;
}

int
fixture_accept(struct handoff_client *client, const struct site *site)
{
	int fd;

	until_readable(client, site->fd);
	fd = accept4(site->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static struct handoff_client_event
pull(struct handoff_client *client)
{
	struct pollfd p = {.fd = handoff_client_fd(client), .events = POLLIN};
	const struct handoff_client_event *event;

	while (handoff_client_next(client, &event) == 0) {
		/* The loop that the manual tells: if the descriptor were not
		 * readable now, an event would have been missed. */
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		assert_int_equal(p.revents, POLLIN);
		assert_int_equal(handoff_client_dispatch(client), 0);
	}
	assert_non_null(event->text);
	return *event;
}

struct handoff_client_event
fixture_expect(
	struct handoff_client *client, enum handoff_client_event_type type)
{
	struct handoff_client_event event = pull(client);

	if (event.type != type)
		print_error("%d: %s\n", (int)event.type, event.text);
	assert_int_equal(event.type, type);
	return event;
}

void
fixture_expect_data(struct handoff_client *client, const char *text)
{
	size_t len = strlen(text), got = 0;

	while (got < len) {
		struct handoff_client_event event =
			fixture_expect(client, HANDOFF_CLIENT_DATA);

		assert_in_range(event.len, 1, len - got);
		assert_memory_equal(event.data, text + got, event.len);
		got += event.len;
	}
}

void
fixture_expect_quiet(struct handoff_client *client)
{
	struct pollfd p = {.fd = handoff_client_fd(client), .events = POLLIN};
	const struct handoff_client_event *event;
	int rounds = 0;

	while (poll(&p, 1, 0) > 0) {
		assert_in_range(++rounds, 1, 20);
		assert_int_equal(handoff_client_dispatch(client), 0);
		assert_int_equal(handoff_client_next(client, &event), 0);
	}
	assert_int_equal(handoff_client_next(client, &event), 0);
}

void
fixture_read(struct handoff_client *client, int fd, const char *text)
{
	size_t len = strlen(text), got = 0;
	char buffer[4096];

	while (got < len) {
		size_t want = len - got;
		ssize_t n;

		until_readable(client, fd);
		n = recv(fd, buffer,
			want < sizeof(buffer) ? want : sizeof(buffer),
			MSG_DONTWAIT);
		assert_true(n > 0);
		assert_memory_equal(buffer, text + got, (size_t)n);
		got += (size_t)n;
	}
}

void
fixture_read_end(struct handoff_client *client, int fd)
{
	char byte;

	until_readable(client, fd);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

void
fixture_write(int fd, const char *text)
{
	assert_int_equal(
		send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void
fixture_reset(int fd)
{
	struct linger linger = {1, 0};

	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
		0);
	close(fd);
}

void
fixture_nothing(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}
