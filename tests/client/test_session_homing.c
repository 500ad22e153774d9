/* SPDX-License-Identifier: MIT */
/*
 * A session goes home on READY, and to another host: with everything that is
 * under way, and only when the new server has it; until then the connection in
 * use rests, and goes on if the answer is no. The test plays the servers.
 */
#include "client/script.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
say(struct handoff_client *client, const char *text)
{
	assert_int_equal(handoff_client_send(client, text, strlen(text)), 0);
}

/* In use, and READY has come: `*home` is the new connection, on which the
 * session was asked for. */
static struct handoff_client *
asked_at_home(int *old, int *home)
{
	struct handoff_client *client;

	service_begin();
	client = script_begin(&service.opts, &service.home, old);
	say(client, "before");
	script_read_data(client, *old, "before");
	*home = service_go_home(client);
	assert_int_equal(
		script_asked(client, *home, HANDOFF__FRAME_RESUME).sent, 6);
	return client;
}

static void
end(struct handoff_client *client, int a, int b)
{
	close(a);
	close(b);
	service_end(client);
}

/* The next attempt comes when the test wants it. */
static void
expect_stays(struct handoff_client *client, int err)
{
	struct handoff_client_event event =
		fixture_expect(client, HANDOFF_CLIENT_RETRY);

	assert_int_equal(event.err, err);
	assert_string_equal(event.endpoint, service.home.address);
	assert_non_null(strstr(event.text, "stays and goes home to "));
	assert_true(client->timer.armed);
	handoff__timer_arm(&client->loop, &client->timer, 3600000000);
}

static int
asks_again(struct handoff_client *client)
{
	int home;

	handoff__timer_arm(&client->loop, &client->timer, 0);
	home = fixture_accept(client, &service.home);
	script_asked(client, home, HANDOFF__FRAME_RESUME);
	return home;
}

/* The old connection works in both directions. */
static void
expect_goes_on(struct handoff_client *client, int old)
{
	say(client, "go on");
	script_read_data(client, old, "go on");
	script_data(old, 6, "still here");
	fixture_expect_data(client, "still here");
}

static void
test_moves(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	/* neither written nor read until the answer has come */
	say(client, "meanwhile");
	script_data(old, 6, "comes again");
	fixture_expect_quiet(client);
	fixture_nothing(old);
	script_resume(home, 4, 4);
	script_data(home, 4, "comes again");
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_string_equal(event.endpoint, service.home.address);
	assert_int_equal(event.err, 0);
	assert_non_null(strstr(event.text, "the session goes on"));
	script_read_data(client, home, "remeanwhile");
	fixture_expect_data(client, "comes again");
	fixture_expect_quiet(client);
	assert_false(client->drain_timer.armed);
	assert_false(client->trial.timer.armed);
	end(client, old, home);
}

/* The session cannot be handed over now: the connection in use goes on, with
 * what came meanwhile, and the client asks again. */
static void
test_busy(void **state)
{
	static const enum handoff__refusal reasons[] = {HANDOFF__REFUSED_BUSY,
		HANDOFF__REFUSED_FULL, HANDOFF__REFUSED_LIMIT};
	static const int errs[] = {-EBUSY, -ENOSPC, -EACCES};
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	script_data(old, 6, "meanwhile");
	say(client, "and this");
	for (int i = 0; i < 3; i++) {
		script_refuse(home, reasons[i]);
		expect_stays(client, errs[i]);
		fixture_read_end(client, home);
		close(home);
		if (i == 0)
			script_read_data(client, old, "and this");
		home = asks_again(client);
	}
	script_resume(home, 14, 14);
	script_data(home, 14, "meanwhile");
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	fixture_expect_data(client, "meanwhile");
	end(client, old, home);
}

/* Home does not know the session: a session that works is better than none. */
static void
test_unknown_at_home(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	script_refuse(home, HANDOFF__REFUSED_UNKNOWN);
	expect_stays(client, -ENOENT);
	close(home);
	home = asks_again(client);
	script_refuse(home, HANDOFF__REFUSED_POSITION);
	expect_stays(client, -ENOENT);
	expect_goes_on(client, old);
	end(client, old, home);
}

static void
test_home_breaks(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	fixture_reset(home);
	expect_stays(client, -ECONNRESET);
	home = asks_again(client);
	assert_int_equal(shutdown(home, SHUT_WR), 0);
	expect_stays(client, -ECONNRESET);
	expect_goes_on(client, old);
	end(client, old, home);
}

static void
test_home_is_silent(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	assert_true(client->trial.timer.armed);
	handoff__timer_arm(&client->loop, &client->trial.timer, 0);
	expect_stays(client, -ETIMEDOUT);
	expect_goes_on(client, old);
	end(client, old, home);
}

/* Home has no sessions: it is tried again, but not soon. */
static void
test_home_is_plain(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	fixture_write(home, "hello, stranger\n");
	expect_stays(client, -EPROTO);
	assert_int_equal(client->home_backoff.failures, 32);
	expect_goes_on(client, old);
	end(client, old, home);
}

/* The server is in the middle of a frame when the client rests. */
static void
test_half_frames(void **state)
{
	struct handoff__frame half = {
		.type = HANDOFF__FRAME_DATA, .ack = 0, .len = 8};
	struct handoff_client *client;
	int old, home;

	(void)state;
	service_begin();
	client = script_begin(&service.opts, &service.home, &old);
	script_write(old, &half);
	fixture_write(old, "half");
	fixture_expect_data(client, "half");
	home = service_go_home(client);
	assert_int_equal(
		script_asked(client, home, HANDOFF__FRAME_RESUME).received, 4);
	fixture_write(old, " not");
	script_refuse(home, HANDOFF__REFUSED_BUSY);
	expect_stays(client, -EBUSY);
	close(home);
	fixture_expect_data(client, " not");
	handoff__timer_arm(&client->loop, &client->timer, 0);
	home = fixture_accept(client, &service.home);
	assert_int_equal(
		script_asked(client, home, HANDOFF__FRAME_RESUME).received, 8);
	script_resume(home, 0, 0);
	script_data(home, 0, ", whole");
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	fixture_expect_data(client, ", whole");
	end(client, old, home);
}

/* The connection in use breaks while it rests, and the answer is no. */
static void
test_old_breaks(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	script_data(old, 6, "the last");
	close(old);
	fixture_expect_quiet(client);
	script_refuse(home, HANDOFF__REFUSED_BUSY);
	expect_stays(client, -EBUSY);
	close(home);
	fixture_expect_data(client, "the last");
	home = script_again(client, &service.home, 8);
	script_resume(home, 6, 6);
	fixture_expect(client, HANDOFF_CLIENT_RESUMED);
	end(client, -1, home);
}

/* The server has let the session go to the new connection, and this one breaks
 * before the client knows: the next one gets it. */
static void
test_answer_is_lost(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	close(old);
	fixture_reset(home);
	expect_stays(client, -ECONNRESET);
	home = script_again(client, &service.home, 0);
	script_resume(home, 6, 0);
	fixture_expect(client, HANDOFF_CLIENT_RESUMED);
	expect_goes_on(client, home);
	end(client, -1, home);
}

/* The plan is called off while the answer is due. */
static void
test_called_off(void **state)
{
	static const enum handoff_notice_kind kinds[] = {
		HANDOFF_NOTICE_MAINTENANCE, HANDOFF_NOTICE_GOODBYE};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct handoff_client *client;
		int old, home;

		client = asked_at_home(&old, &home);
		service_publish(kinds[i], "alt", 0);
		fixture_expect(client, i == 0 ? HANDOFF_CLIENT_HANDOFF
					      : HANDOFF_CLIENT_GOODBYE);
		fixture_read_end(client, home);
		expect_goes_on(client, old);
		fixture_expect_quiet(client);
		end(client, old, home);
	}
}

/* READY again while the answer is due: asks anew. */
static void
test_ready_again(void **state)
{
	struct handoff_client *client;
	int old, home, again;

	(void)state;
	client = asked_at_home(&old, &home);
	again = service_go_home(client);
	fixture_read_end(client, home);
	close(home);
	script_asked(client, again, HANDOFF__FRAME_RESUME);
	script_resume(again, 6, 6);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	end(client, old, again);
}

/* The program ends its direction, or everything, while the answer is due. */
static void
test_shutdown_meanwhile(void **state)
{
	struct handoff_client *client;
	int old, home;

	(void)state;
	client = asked_at_home(&old, &home);
	assert_int_equal(handoff_client_shutdown(client), 0);
	script_read(client, old, HANDOFF__FRAME_END);
	fixture_read_end(client, home);
	script_say(old, HANDOFF__FRAME_END, 7);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	end(client, old, home);
	client = asked_at_home(&old, &home);
	end(client, old, home);
}

/* A reconnect waits for its answer elsewhere when READY comes: home is asked,
 * and the other connection is closed. */
static void
test_ready_while_reconnecting(void **state)
{
	struct handoff_client *client;
	int old, other, home;

	(void)state;
	service_begin();
	client = script_begin(&service.opts, &service.home, &old);
	fixture_reset(old);
	other = script_again(client, &service.other, 0);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	home = fixture_accept(client, &service.home);
	fixture_read_end(client, other);
	script_asked(client, home, HANDOFF__FRAME_RESUME);
	script_resume(home, 0, 0);
	fixture_expect(client, HANDOFF_CLIENT_RESUMED);
	end(client, other, home);
}

static uint64_t
in_term(uint32_t term)
{
	return (uint64_t)term << 32;
}

static void
publish_term(enum handoff_notice_kind kind, uint32_t term)
{
	service.generation = in_term(term) - 1;
	service_publish(kind, "next", 0);
}

/* The host of this end is gone: it acknowledges nothing. */
static void
kill_host(int conn)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &drop};

	assert_int_equal(setsockopt(conn, SOL_SOCKET, SO_ATTACH_FILTER,
				 &program, sizeof(program)),
		0);
}

/* In use in a term that has ended; `*next` is the connection to the other
 * host, on which the session was asked for. */
static struct handoff_client *
asked_next_host(int *old, int *next)
{
	struct handoff_client *client;

	service_begin();
	service.expires_ms = 1;
	publish_term(HANDOFF_NOTICE_READY, 1);
	service.expires_ms = 0;
	client = script_begin(&service.opts, &service.home, old);
	kill_host(*old);
	say(client, "into the void");
	publish_term(HANDOFF_NOTICE_FAILOVER, 2);
	*next = fixture_accept(client, &service.other);
	fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	script_asked(client, *next, HANDOFF__FRAME_RESUME);
	return client;
}

static void
test_next_host_has_it(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, next;

	(void)state;
	client = asked_next_host(&old, &next);
	script_resume(next, 0, 0);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_string_equal(event.endpoint, service.other.address);
	assert_int_equal(event.err, 0);
	script_read_data(client, next, "into the void");
	assert_false(client->leaving);
	end(client, old, next);
}

static void
test_next_host_does_not_have_it(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, next;

	(void)state;
	client = asked_next_host(&old, &next);
	script_refuse(next, HANDOFF__REFUSED_UNKNOWN);
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -ECONNRESET);
	assert_string_equal(event.endpoint, service.home.address);
	assert_int_equal(event.doubtful, 13);
	script_read(client, next, HANDOFF__FRAME_NEW);
	script_welcome(next);
	event = fixture_expect(client, HANDOFF_CLIENT_NEW);
	assert_string_equal(event.endpoint, service.other.address);
	assert_int_equal(event.doubtful, 13);
	say(client, "hello");
	script_read_data(client, next, "hello");
	end(client, old, next);
}

/* It cannot answer yet: the dead one is no alternative, but may be alive. */
static void
test_next_host_is_busy(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, next;

	(void)state;
	client = asked_next_host(&old, &next);
	script_refuse(next, HANDOFF__REFUSED_BUSY);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -EBUSY);
	assert_non_null(strstr(event.text, "leaves for "));
	close(next);
	next = fixture_accept(client, &service.other);
	script_asked(client, next, HANDOFF__FRAME_RESUME);
	script_resume(next, 13, 13);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	end(client, old, next);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_moves),
		handoff_test(test_busy),
		handoff_test(test_unknown_at_home),
		handoff_test(test_home_breaks),
		handoff_test(test_home_is_silent),
		handoff_test(test_home_is_plain),
		handoff_test(test_half_frames),
		handoff_test(test_old_breaks),
		handoff_test(test_answer_is_lost),
		handoff_test(test_called_off),
		handoff_test(test_ready_again),
		handoff_test(test_shutdown_meanwhile),
		handoff_test(test_ready_while_reconnecting),
		handoff_test(test_next_host_has_it),
		handoff_test(test_next_host_does_not_have_it),
		handoff_test(test_next_host_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
