/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of notices; see service.h.
 */
#include "client/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct service service;

void
service_begin(void)
{
	const char *path = support_dir();

	snprintf(service.notices, sizeof(service.notices), "mq:%s", path);
	assert_int_equal(
		handoff__dir_open(&service.dir, path, false, 0, NULL), 0);
	assert_int_equal(handoff__publisher_open(
				 &service.pub, &service.dir, NULL, 0, 0, NULL),
		0);
	service.generation = 0;
	service.expires_ms = 0;
	service.home = site_open();
	service.other = site_open();
	service.opts =
		fixture_opts(service.endpoints, &service.home, &service.other);
	service.opts.notices = service.notices;
	service.opts.max_unsent = BIG * BIG_COUNT;
}

void
service_end(struct handoff_client *client)
{
	handoff_client_free(client);
	handoff__publisher_close(&service.pub);
	handoff__dir_close(&service.dir);
	if (service.home.fd >= 0)
		site_close(&service.home);
	site_close(&service.other);
}

void
service_home_is_local(void)
{
	struct site *home = &service.home;
	char bound[HANDOFF_ADDRESS_MAX];

	site_close(home);
	snprintf(home->address, sizeof(home->address), "unix:%.90s/socket",
		service.dir.path);
	home->fd = handoff__addr_listen(home->address, bound, NULL);
	assert_true(home->fd >= 0);
}

struct handoff_client *
service_client(void)
{
	struct handoff_client *client = NULL;

	assert_int_equal(handoff_client_open(&client, &service.opts), 0);
	return client;
}

struct handoff_client *
service_connected(int *conn)
{
	struct handoff_client *client = service_client();

	*conn = fixture_accept(client, &service.home);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	return client;
}

void
service_publish(
	enum handoff_notice_kind kind, const char *serving, uint32_t spread_ms)
{
	struct handoff_notice n = {
		.service = "echo",
		.kind = kind,
		.generation = ++service.generation,
		.seq = 1,
		.spread_ms = spread_ms,
		.expires_ms = service.expires_ms,
	};

	strcpy(n.serving, serving);
	if (service.trap)
		strcpy(n.endpoints[n.nendpoints++], service.trap);
	assert_int_equal(handoff__publisher_begin(&service.pub, &n), 0);
	while (handoff__publisher_step(&service.pub, 100) > 0)
		;
}

void
service_expect_homing(struct handoff_client *client)
{
	struct handoff_client_event event =
		fixture_expect(client, HANDOFF_CLIENT_HOMING);

	assert_non_null(event.notice);
	assert_int_equal(event.notice->kind, HANDOFF_NOTICE_READY);
	assert_string_equal(event.endpoint, service.home.address);
}

int
service_go_home(struct handoff_client *client)
{
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	service_expect_homing(client);
	return fixture_accept(client, &service.home);
}

static void
fill_message(char *data, int i)
{
	memset(data, 'a' + i % 26, BIG);
	data[0] = '<';
	data[1] = (char)('A' + i);
	data[BIG - 1] = '>';
	data[BIG] = '\0';
}

void
service_send_much(struct handoff_client *client)
{
	char *data = malloc(BIG + 1);

	for (int i = 0; i < BIG_COUNT; i++) {
		fill_message(data, i);
		assert_int_equal(handoff_client_send(client, data, BIG), 0);
	}
	assert_true(handoff_client_unsent(client) > 0);
	free(data);
}

void
service_read_much(struct handoff_client *client, int conn, int first)
{
	char *want = malloc(BIG + 1);

	for (int i = first; i < BIG_COUNT; i++) {
		fill_message(want, i);
		fixture_read(client, conn, want);
	}
	free(want);
}
