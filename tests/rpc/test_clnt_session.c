/* SPDX-License-Identifier: MIT */
/*
 * The handle of client stubs over a session: the client is played, call by
 * call, so that every order of its events can be had.
 */
#include "support/support.h"

#include "rpc/bytes.h"
#include "rpc/procedures.h"
#include "rpc/record.h"

#include <errno.h>
#include <stdlib.h>

#define CALL_LEN 48u /* bytes of ADD with its mark */

/* The client that is played, and what it is to do in a call. */
struct handoff_client {
	struct handoff_client_event events[16];
	size_t count, at;
	uint8_t reply[4096];
	uint32_t xid; /* of the last call that was sent */
	unsigned sent;
	uint64_t bytes;
};

bool __wrap_handoff_client_has_session(const struct handoff_client *client);
int __wrap_handoff_client_send(
	struct handoff_client *client, const void *data, size_t len);
int __wrap_handoff_client_next(struct handoff_client *client,
	const struct handoff_client_event **event);
int __wrap_handoff_client_wait(struct handoff_client *client, int timeout_ms);
size_t __wrap_handoff_client_unsent(const struct handoff_client *client);

bool
__wrap_handoff_client_has_session(const struct handoff_client *client)
{
	return client != NULL;
}

int
__wrap_handoff_client_send(
	struct handoff_client *client, const void *data, size_t len)
{
	client->xid = handoff__rpc_get((const uint8_t *)data + 4);
	client->bytes += len;
	client->sent++;
	return 0;
}

/* Of the reply to the last call: the sum {1, 2}. */
static void
make_reply(struct handoff_client *client)
{
	const uint32_t words[] = {HANDOFF__RPC_LAST | 40, client->xid, REPLY,
		MSG_ACCEPTED, 0, 0, SUCCESS, 0, 1, 0, 2};

	for (size_t i = 0; i < 11; i++)
		handoff__rpc_put(client->reply + 4 * i, words[i]);
}

/* Events come once the call was sent. */
int
__wrap_handoff_client_next(struct handoff_client *client,
	const struct handoff_client_event **event)
{
	if (client->sent == 0 || client->at == client->count)
		return 0;
	make_reply(client);
	*event = &client->events[client->at++];
	return 1;
}

int
__wrap_handoff_client_wait(struct handoff_client *client, int timeout_ms)
{
	(void)client;
	(void)timeout_ms;
	return 0;
}

size_t
__wrap_handoff_client_unsent(const struct handoff_client *client)
{
	(void)client;
	return 0;
}

static struct handoff_client client;

static void
add_event(struct handoff_client_event event)
{
	client.events[client.count++] = event;
}

static void
add_type(enum handoff_client_event_type type)
{
	add_event((struct handoff_client_event){.type = type, .text = ""});
}

/* Bytes of the reply, from there on. */
static void
add_data(size_t from, size_t len)
{
	add_event((struct handoff_client_event){.type = HANDOFF_CLIENT_DATA,
		.data = client.reply + from,
		.len = len});
}

static void
add_new(uint64_t certain, uint64_t doubtful)
{
	add_event((struct handoff_client_event){.type = HANDOFF_CLIENT_NEW,
		.text = "",
		.certain = certain,
		.doubtful = doubtful});
}

/* LOST, of a session that is over with its connection. */
static void
add_over(uint64_t certain, uint64_t doubtful)
{
	add_event((struct handoff_client_event){.type = HANDOFF_CLIENT_LOST,
		.text = "",
		.certain = certain,
		.doubtful = doubtful,
		.lost = true});
}

static CLIENT *
begin(void)
{
	memset(&client, 0, sizeof(client));
	return handoff_clnt_create(&client, COUNTER, COUNTER_ONE);
}

static void
set_ms(CLIENT *clnt, long ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	assert_true(clnt_control(clnt, CLSET_TIMEOUT, (char *)&tv));
}

static void
call(CLIENT *clnt, enum clnt_stat wanted)
{
	struct sum sum = {0, 0};

	client.sent = 0;
	assert_int_equal(add_1(1, &sum, clnt), wanted);
	if (wanted == RPC_SUCCESS)
		assert_int_equal(sum.own, 2);
	assert_int_equal(client.at, client.count);
	client.at = client.count = 0;
}

static void
a_reply_is_completed_by_the_next_connection(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	add_type(HANDOFF_CLIENT_CONNECTED);
	add_data(0, 21);
	add_type(HANDOFF_CLIENT_LOST);
	add_type(HANDOFF_CLIENT_RETRY);
	add_type(HANDOFF_CLIENT_RESUMED);
	add_data(21, 3);
	add_type(HANDOFF_CLIENT_MOVED);
	add_data(24, 20);
	call(clnt, RPC_SUCCESS);
	assert_int_equal(client.bytes, CALL_LEN);
	clnt_destroy(clnt);
}

static void
a_lost_session_fails_what_may_be_taken(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	add_type(HANDOFF_CLIENT_LOST);
	add_new(0, CALL_LEN);
	call(clnt, RPC_CANTRECV);
	/* the next one is the first of a new session */
	add_new(CALL_LEN, 0);
	call(clnt, RPC_CANTRECV);
	clnt_destroy(clnt);
}

/* There may be no next one for long. */
static void
the_end_of_a_session_fails_them_at_once(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	add_over(10, CALL_LEN - 10);
	call(clnt, RPC_CANTRECV);
	/* the next one waits for the new session, which tells of it again */
	add_type(HANDOFF_CLIENT_RETRY);
	add_new(10, CALL_LEN - 10);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	/* a connection alone is lost, and so is the session afterwards */
	add_type(HANDOFF_CLIENT_LOST);
	add_new(CALL_LEN, CALL_LEN);
	call(clnt, RPC_CANTRECV);
	/* over before anything was sent */
	add_type(HANDOFF_CLIENT_LOST);
	add_new(0, 0);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	clnt_destroy(clnt);
}

/* A call whose time is over is in doubt, and those behind it go on. */
static void
a_call_behind_one_that_ended_the_session(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	set_ms(clnt, 1);
	call(clnt, RPC_TIMEDOUT);
	set_ms(clnt, 5000);
	add_over(0, CALL_LEN);
	add_type(HANDOFF_CLIENT_RETRY);
	add_new(0, CALL_LEN);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	clnt_destroy(clnt);
}

static void
what_was_not_taken_goes_to_the_new_session(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	add_data(0, 10); /* of another reply, whose rest does not come */
	add_new(10, CALL_LEN - 11);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	/* that session began with that call */
	add_new(CALL_LEN, CALL_LEN - 1);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	add_new(CALL_LEN, CALL_LEN);
	call(clnt, RPC_CANTRECV);
	clnt_destroy(clnt);
}

static void
calls_whose_time_was_over_count_too(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	set_ms(clnt, 1);
	call(clnt, RPC_TIMEDOUT);
	call(clnt, RPC_TIMEDOUT);
	set_ms(clnt, 5000);
	/* one of them was taken; the other one and this go on */
	add_new(CALL_LEN, 5);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	/* so three calls have begun in that session by now */
	add_new(2 * CALL_LEN, CALL_LEN);
	call(clnt, RPC_CANTRECV);
	clnt_destroy(clnt);
}

static void
more_of_them_than_are_counted(void **state)
{
	CLIENT *clnt = begin();

	(void)state;
	set_ms(clnt, 0);
	for (int i = 0; i < 100; i++)
		call(clnt, RPC_TIMEDOUT);
	set_ms(clnt, 5000);
	add_new(101 * CALL_LEN, 0);
	call(clnt, RPC_CANTRECV);
	add_new(0, CALL_LEN - 1);
	add_data(0, 44);
	call(clnt, RPC_SUCCESS);
	clnt_destroy(clnt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(a_reply_is_completed_by_the_next_connection),
		handoff_test(a_lost_session_fails_what_may_be_taken),
		handoff_test(the_end_of_a_session_fails_them_at_once),
		handoff_test(a_call_behind_one_that_ended_the_session),
		handoff_test(what_was_not_taken_goes_to_the_new_session),
		handoff_test(calls_whose_time_was_over_count_too),
		handoff_test(more_of_them_than_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
