/* SPDX-License-Identifier: MIT */
/*
 * How a client reacts to notices: it stays, plans its move home, cancels the
 * move, or does nothing since there is no connection or it is about to end.
 */
#include "client/service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_maintenance_stays(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	service_publish(HANDOFF_NOTICE_MAINTENANCE, "alt", 0);
	event = fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	assert_string_equal(event.text,
		"handoff: alt serves now (MAINTENANCE), "
		"the connection stays");
	assert_string_equal(event.notice->serving, "alt");
	assert_string_equal(event.endpoint, service.home.address);
	service_publish(HANDOFF_NOTICE_FAILOVER, "", 0);
	event = fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	assert_non_null(strstr(event.text, "another process serves now"));
	service_publish((enum handoff_notice_kind)77, "x", 0);
	fixture_expect_quiet(client);
	fixture_write(conn, "still here");
	fixture_expect_data(client, "still here");
	close(conn);
	service_end(client);
}

static void
test_maintenance_cancels_homing(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	service_publish(HANDOFF_NOTICE_READY, "main", 3600000);
	event = fixture_expect(client, HANDOFF_CLIENT_HOMING);
	assert_in_range(event.delay_ms, 0, 3600000);
	assert_non_null(strstr(event.text, "homing: going home in "));
	assert_true(client->timer.armed);
	service_publish(HANDOFF_NOTICE_MAINTENANCE, "alt", 0);
	event = fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	assert_non_null(strstr(event.text, "cancelled"));
	assert_false(client->timer.armed);
	assert_int_equal(client->step, HANDOFF__STEP_REST);
	fixture_expect_quiet(client);
	fixture_nothing(conn);
	close(conn);
	service_end(client);
}

/* The delay is random within the spread: of 40 clients not all come at once. */
static void
test_spread(void **state)
{
	uint32_t low = UINT32_MAX, high = 0;
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	for (int i = 0; i < 40; i++) {
		struct handoff_client_event event;

		service_publish(HANDOFF_NOTICE_READY, "main", 1000000);
		event = fixture_expect(client, HANDOFF_CLIENT_HOMING);
		assert_in_range(event.delay_ms, 0, 1000000);
		low = event.delay_ms < low ? event.delay_ms : low;
		high = event.delay_ms > high ? event.delay_ms : high;
	}
	assert_in_range(high - low, 300000, 1000000);
	close(conn);
	service_end(client);
}

/* Lost on the way: what is tried next is service.home. */
static void
test_lost_before_home(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	service_publish(HANDOFF_NOTICE_READY, "main", 3600000);
	service_expect_homing(client);
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, service.home.address);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, service.home.address);
	fixture_expect_quiet(client);
	service_end(client);
}

/* Lost while home does not answer yet: that attempt becomes the way back, and
 * when it fails the others are tried as for any loss. */
static void
test_lost_while_dialling_home(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn, fill[SITE_FILL];

	(void)state;
	service_begin();
	client = service_connected(&conn);
	site_close(&service.home);
	service.home = site_full(fill);
	client->endpoints[0].addr = (struct handoff__addr){0};
	assert_int_equal(handoff__addr_parse(&client->endpoints[0].addr,
				 service.home.address, NULL),
		0);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	fixture_expect(client, HANDOFF_CLIENT_HOMING);
	while (client->step != HANDOFF__STEP_DIAL)
		assert_int_equal(handoff_client_wait(client, 1000), 0);
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect_quiet(client);
	assert_true(client->dial.timer.armed);
	handoff__timer_arm(&client->loop, &client->dial.timer, 0);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_non_null(strstr(event.text, "timed out"));
	assert_string_equal(event.endpoint, service.other.address);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	for (int i = 0; i < SITE_FILL; i++)
		close(fill[i]);
	service_end(client);
}

/* Who is about to leave does not go home first. */
static void
test_shutdown_while_homing(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	service_publish(HANDOFF_NOTICE_READY, "main", 3600000);
	service_expect_homing(client);
	assert_int_equal(handoff_client_shutdown(client), 0);
	assert_false(client->timer.armed);
	fixture_read_end(client, conn);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	fixture_expect_quiet(client);
	fixture_write(conn, "bye");
	close(conn);
	fixture_expect_data(client, "bye");
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	service_end(client);
}

/* Not connected, and another endpoint is dialled that does not answer: READY
 * makes it service.home, at once. */
static void
test_ready_while_dialling_elsewhere(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int fill[SITE_FILL], conn;

	(void)state;
	service_begin();
	site_close(&service.other);
	service.other = site_full(fill);
	site_close(&service.home);
	service.opts.connect_timeout_ms = 3600000;
	client = service_client();
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, service.other.address);
	while (client->step != HANDOFF__STEP_DIAL)
		assert_int_equal(handoff_client_wait(client, 1000), 0);
	site_reopen(&service.home);
	service_publish(HANDOFF_NOTICE_READY, "main", 3600000);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, service.home.address);
	conn = fixture_accept(client, &service.home);
	fixture_expect_quiet(client);
	close(conn);
	for (int i = 0; i < SITE_FILL; i++)
		close(fill[i]);
	service_end(client);
}

/* READY while the next attempt is waited for: that one goes service.home. */
static void
test_ready_while_waiting(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;

	(void)state;
	service_begin();
	site_close(&service.home);
	service.opts.first_delay_ms = service.opts.max_delay_ms = 3600000;
	client = service_client();
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, service.other.address);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	assert_int_equal(handoff_client_wait(client, 1000), 0);
	assert_int_equal(client->next, 0);
	assert_int_equal(client->step, HANDOFF__STEP_WAIT);
	fixture_expect_quiet(client);
	service_end(client);
}

/* What is retained when the client comes: nothing to do for READY, which is
 * older than its connection; told for the others. */
static void
test_retained(void **state)
{
	struct handoff_client *client;

	(void)state;
	service_begin();
	service_home_is_local();
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	client = service_client();
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_expect_quiet(client);
	handoff_client_free(client);
	service_publish(HANDOFF_NOTICE_MAINTENANCE, "alt", 0);
	client = service_client();
	fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_expect_quiet(client);
	service_end(client);
}

static void
test_goodbye(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	service_publish(HANDOFF_NOTICE_GOODBYE, "main", 0);
	event = fixture_expect(client, HANDOFF_CLIENT_GOODBYE);
	assert_int_equal(event.notice->kind, HANDOFF_NOTICE_GOODBYE);
	fixture_write(conn, "the end");
	fixture_expect_data(client, "the end");
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	service_end(client);
}

/* What a notice says of endpoints is for people: a process that can write one
 * could otherwise send clients to a server of their own. */
static void
test_endpoints_of_a_notice(void **state)
{
	static const struct {
		enum handoff_notice_kind kind;
		enum handoff_client_event_type event;
	} cases[] = {
		{HANDOFF_NOTICE_MAINTENANCE, HANDOFF_CLIENT_HANDOFF},
		{HANDOFF_NOTICE_FAILOVER, HANDOFF_CLIENT_HANDOFF},
		{HANDOFF_NOTICE_READY, HANDOFF_CLIENT_HOMING},
		{HANDOFF_NOTICE_GOODBYE, HANDOFF_CLIENT_GOODBYE},
	};
	struct site trap = site_open();
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	service.trap = trap.address;
	client = service_connected(&conn);
	for (size_t i = 0; i < 4; i++) {
		service_publish(cases[i].kind, "alt", 0);
		event = fixture_expect(client, cases[i].event);
		assert_int_equal(event.notice->nendpoints, 1);
		assert_string_equal(event.notice->endpoints[0], trap.address);
		if (cases[i].kind == HANDOFF_NOTICE_READY) {
			int home = fixture_accept(client, &service.home);

			close(conn);
			conn = home;
			event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
			assert_string_equal(
				event.endpoint, service.home.address);
		}
	}
	/* Nor when all of its own are gone. */
	site_close(&service.home);
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, service.other.address);
	assert_int_equal(fcntl(trap.fd, F_SETFL, O_RDWR | O_NONBLOCK), 0);
	assert_int_equal(accept(trap.fd, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	service.trap = NULL;
	site_close(&trap);
	service_end(client);
}

static void
test_cannot_subscribe(void **state)
{
	struct handoff_client *client = NULL;
	char sentence[HANDOFF_TEXT_MAX] = "";

	(void)state;
	service_begin();
	service.opts.errbuf = sentence;
	service.opts.errbuf_size = sizeof(sentence);
	assert_int_equal(fchmod(service.dir.fd, 0755), 0);
	assert_int_equal(handoff_client_open(&client, &service.opts), -EACCES);
	assert_non_null(strstr(sentence, "chmod 700"));
	service.opts.notices = "carrier pigeon";
	assert_int_equal(handoff_client_open(&client, &service.opts), -EINVAL);
	assert_non_null(strstr(sentence, "want mq:DIR"));
	assert_null(client);
	service_end(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_maintenance_stays),
		handoff_test(test_maintenance_cancels_homing),
		handoff_test(test_spread),
		handoff_test(test_lost_before_home),
		handoff_test(test_lost_while_dialling_home),
		handoff_test(test_shutdown_while_homing),
		handoff_test(test_ready_while_dialling_elsewhere),
		handoff_test(test_ready_while_waiting),
		handoff_test(test_retained),
		handoff_test(test_goodbye),
		handoff_test(test_endpoints_of_a_notice),
		handoff_test(test_cannot_subscribe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
