/* SPDX-License-Identifier: MIT */
/*
 * Servers of a service that wraps another one, with states of the greatest
 * size: given to the standby, dumped, and made of plain ones by convert. And
 * what a server refuses.
 */
#include "server/duo.h"

#include "base/dir.h"
#include "server/internal.h"
#include "wrap/toy.h"

#include "base/fdpass.h"

#include <handoff/wrap.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 16u

static unsigned char
byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 11);
}

/* The inner state is behind the head; the rest of the outer one is filled, and
 * checked at each line. "fill" fills it. */
static int
handle(struct handoff_conn *conn, void *arg)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	struct handoff_wrap_call call = {.size = sizeof(call),
		.service = arg,
		.hook = HANDOFF_WRAP_HANDLE,
		.room = SIZE_MAX,
		.state_at = HEAD,
		.state_len = 4};
	unsigned char *s = handoff_conn_state_len(conn) == 0
				   ? handoff_conn_state_resize(conn, HEAD + 4)
				   : handoff_conn_state(conn);
	size_t from = HEAD + 16;
	int rc;

	call.input = handoff_conn_input(conn, &call.input_len);
	if (call.input_len >= 4 && memcmp(call.input, "fill", 4) == 0) {
		s = handoff_conn_state_resize(conn, HANDOFF_WRAP_STATE_MAX);
		for (size_t i = from; i < HANDOFF_WRAP_STATE_MAX; i++)
			s[i] = byte_at(i);
	}
	for (size_t i = from; i < handoff_conn_state_len(conn); i++)
		assert_int_equal(s[i], byte_at(i));
	memcpy(&call.position, s, sizeof(call.position));
	rc = handoff_wrap_run(conn, &call, &result);
	if (rc != 0)
		return rc;
	call.position += result.consumed;
	memcpy(s, &call.position, sizeof(call.position));
	return handoff_conn_consume(conn, result.consumed);
}

static void
wrap(struct handoff_service *outer, struct host *host)
{
	*outer = (struct handoff_service){.size = sizeof(*outer),
		.name = host->service.name,
		.state_version = 1u << 31,
		.state_size = HANDOFF_WRAP_STATE_MAX,
		.state_grows = true,
		.handle = handle,
		.posted = handle,
		.arg = &host->service,
		.inner = &host->service};
	host->opts.service = outer;
}

static void
join(struct duo *duo)
{
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_STANDBY);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
open_wrapped(struct duo *duo, struct handoff_service outer[2], void **state)
{
	duo_init(duo, duo_model(state));
	wrap(&outer[0], &duo->a);
	wrap(&outer[1], &duo->b);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	join(duo);
}

static void
large_states_move(void **state)
{
	struct handoff_service outer[2];
	struct duo duo;
	int fds[3];

	open_wrapped(&duo, outer, state);
	for (int i = 0; i < 3; i++) {
		fds[i] = client_open(duo.a.address);
		client_send(fds[i], "fill\n");
		client_expect(&duo, fds[i], "1 fill\n");
		client_line(&duo, fds[i], 2);
	}
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	for (int i = 0; i < 3; i++) {
		client_line(&duo, fds[i], 3);
		close(fds[i]);
	}
	duo_close(&duo);
}

/* Asks for a dump to a file in memory; its size. */
static size_t
dump(struct duo *duo)
{
	struct handoff__error error = {.text = ""};
	struct handoff__dir dir;
	struct stat st;
	char text[256];
	int out = memfd_create("dump", MFD_CLOEXEC), sock;
	ssize_t n = -1;

	assert_int_equal(
		handoff__dir_open(&dir, duo->a.opts.dir, false, 0, &error), 0);
	sock = handoff__dir_connect(&dir, "control.1", SOCK_STREAM);
	assert_true(sock >= 0 && out >= 0);
	assert_int_equal(handoff__fdpass_send_text(sock, "dump\n", 5, out), 5);
	for (int i = 0; i < 2000 && n < 0; i++) {
		duo_turn(duo);
		n = recv(sock, text, sizeof(text), MSG_DONTWAIT);
	}
	assert_true(n > 0);
	close(sock);
	duo_turn(duo);
	duo_turn(duo);
	assert_int_equal(fstat(out, &st), 0);
	close(out);
	handoff__dir_close(&dir);
	return (size_t)st.st_size;
}

static void
large_states_are_dumped(void **state)
{
	struct handoff_service outer[2];
	struct duo duo;
	int fd;

	support_not_in_valgrind(); /* its child is slow */
	open_wrapped(&duo, outer, state);
	fd = client_open(duo.a.address);
	client_send(fd, "fill\n");
	client_expect(&duo, fd, "1 fill\n");
	assert_true(dump(&duo) > 2 * (size_t)HANDOFF_WRAP_STATE_MAX);
	close(fd);
	duo_close(&duo);
}

/* Of a plain service's state, which becomes the inner one: little of the new
 * one is in use. */
static int
from_plain(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	(void)arg;
	assert_int_equal(version, 0);
	assert_int_equal(old_size, 4);
	memcpy((char *)state + HEAD, old, 4);
	return HEAD + 4;
}

static int
too_much(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	from_plain(version, old, old_size, state, arg);
	return HANDOFF_WRAP_STATE_MAX + 1;
}

static void
convert_plain(struct duo *duo, struct handoff_service *outer, void **state,
	handoff_convert_fn *convert)
{
	duo_init(duo, duo_model(state));
	wrap(outer, &duo->b);
	outer->convert = convert;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	join(duo);
}

static void
plain_service_becomes_a_wrapped_one(void **state)
{
	struct handoff_service outer;
	struct duo duo;
	int fd;

	convert_plain(&duo, &outer, state, from_plain);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	client_line(&duo, fd, 2);
	client_send(fd, "fill\n");
	client_expect(&duo, fd, "3 fill\n");
	close(fd);
	duo_close(&duo);
}

static int
to_plain(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	(void)arg;
	assert_int_equal(version, 1);
	assert_true(old_size >= 52);
	memcpy(state, (const char *)old + 48, 4);
	return 0;
}

static uint32_t
flags_of_all(const struct host *host)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t flags = 0;

	while ((e = handoff__roster_next(&host->server->pair.roster, e))) {
		if (e->kind == HANDOFF__CONNECTION)
			flags |= handoff__record_commit(e->view.rec)->flags;
	}
	return flags;
}

/* Of a service that holds some of a line: a plain one has no such input. */
static void
wrapped_service_becomes_a_plain_one(void **state)
{
	unsigned char frame[TOY_HEAD + 3];
	struct duo duo;
	struct toy toy;
	int fd;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	toy_init(&toy, &duo.a.service, 4096);
	toy.service.state_version = 1;
	duo.a.opts.service = &toy.service;
	duo.b.service.state_version = 2;
	duo.b.service.convert = to_plain;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	join(&duo);
	fd = client_open(duo.a.address);
	toy_head(frame, 'd', 3);
	memcpy(frame + TOY_HEAD, "abc", 3);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
	for (int i = 0; i < 1000; i++) {
		if (flags_of_all(&duo.a) & HANDOFF__HOLDS_INPUT)
			break;
		duo_turn(&duo);
	}
	assert_true(flags_of_all(&duo.a) & HANDOFF__HOLDS_INPUT);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	client_line(&duo, fd, 1);
	assert_false(flags_of_all(&duo.b) & HANDOFF__HOLDS_INPUT);
	close(fd);
	duo_close(&duo);
}

static void
more_than_the_state_is_refused(void **state)
{
	struct handoff_service outer;
	struct duo duo;
	int fd;

	convert_plain(&duo, &outer, state, too_much);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	client_expect(&duo, fd, "");
	close(fd);
	duo_close(&duo);
}

static void
refused(struct duo *duo, const char *why)
{
	assert_int_equal(host_open(&duo->a, NULL), -EINVAL);
	if (!strstr(duo->a.why, why))
		fail_msg("'%s' is not in '%s'", why, duo->a.why);
}

static void
wrapping_is_checked(void **state)
{
	struct handoff_service outer;
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	wrap(&outer, &duo.a);
	outer.state_size++;
	refused(&duo, "state_size is at most");
	wrap(&outer, &duo.a);
	outer.inner = NULL;
	refused(&duo, "state_size is at most 65536");
	wrap(&outer, &duo.a);
	outer.state_size = 3;
	refused(&duo, "needs at least as much");
	wrap(&outer, &duo.a);
	duo.a.service.pass_size = 4096;
	refused(&duo, "service lines wraps service lines, which has pairs");
	duo.a.service.pass_size = 0;
	outer.pass_size = 4096;
	refused(&duo, "pass_size");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(large_states_move),
		handoff_test(large_states_are_dumped),
		each_model(plain_service_becomes_a_wrapped_one),
		handoff_test(wrapped_service_becomes_a_plain_one),
		handoff_test(more_than_the_state_is_refused),
		handoff_test(wrapping_is_checked),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
