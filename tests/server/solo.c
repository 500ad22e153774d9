/* SPDX-License-Identifier: MIT */
/*
 * A connection's record and socket without a server, and the client at the
 * other end of it. No call waits.
 */
#include "server/solo.h"

#include "record/desk.h"

#include <ctype.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

uint32_t turn_desk;

int
on_no_desk(void **state)
{
	(void)state;
	turn_desk = 0;
	return 0;
}

int
on_a_desk(void **state)
{
	(void)state;
	turn_desk = handoff__desk_number(2, 3);
	return 0;
}

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

void
open_service(struct fixture *f, const struct handoff_service *service)
{
	struct handoff__geometry geo;
	uint32_t segment, slot;
	int sv[2];

	memset(f, 0, sizeof(*f));
	f->service = *service;
	handoff__arena_init(&f->arena);
	handoff__arena_name(&f->arena, handoff__lock_name(1, 0));
	assert_int_equal(
		handoff__geometry_make(&geo, f->service.state_size, SIZE, SIZE),
		0);
	if (f->service.state_grows)
		handoff__geometry_fold(&geo);
	assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	assert_int_equal(handoff__arena_alloc(
				 &f->arena, 1, always, NULL, &segment, &slot),
		0);
	handoff__view_make(&f->view, f->arena.segments[segment], slot);
	f->rec = f->view.rec;
	handoff__record_set_id(f->rec,
		handoff__board_number(handoff__arena_board(&f->arena), true));
	handoff__posts_enter(&f->arena, 1, segment, slot);
	if (!service->state_grows)
		handoff__record_use_state(&f->view, f->service.state_size);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f->fd = sv[0];
	f->client = sv[1];
}

void
open_conn(struct fixture *f, handoff_handle_fn *handle, handoff_handle_fn *open)
{
	struct handoff_service service = {.size = sizeof(service),
		.name = "test",
		.state_size = 16,
		.handle = handle,
		.open = open,
		.arg = &f->seen};

	open_service(f, &service);
}

void
close_conn(struct fixture *f)
{
	close(f->fd);
	if (f->client >= 0)
		close(f->client);
	handoff__arena_fini(&f->arena);
}

enum handoff__turn
turn(struct fixture *f, uint32_t events)
{
	handoff__conn_turn_at(
		turn_desk, &f->view, f->fd, &f->service, events, &f->result);
	assert_true(handoff__record_ok(&f->view));
	assert_int_equal(handoff__desk_of(f->rec), 0);
	assert_int_not_equal(f->rec->activity, HANDOFF__IN_TURN);
	return f->result.outcome;
}

/* What poll says of the connection, for the events that it wants. */
static uint32_t
ready(const struct fixture *f)
{
	struct pollfd p = {.fd = f->fd, .events = (short)f->result.want};

	return poll(&p, 1, 0) == 1 ? (uint32_t)p.revents : 0;
}

enum handoff__turn
turns(struct fixture *f)
{
	uint32_t events = EPOLLIN;

	for (int i = 0; i < TURNS_MAX; i++) {
		enum handoff__turn t = turn(f, events);

		events = t == HANDOFF__TURN_AGAIN ? 0 : ready(f);
		if (t == HANDOFF__TURN_END ||
			(t != HANDOFF__TURN_AGAIN && events == 0))
			return t;
	}
	fail_msg("the connection never comes to rest");
	return HANDOFF__TURN_END;
}

void
client_says(const struct fixture *f, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(f->client, text, len, MSG_DONTWAIT), len);
}

void
client_hears(const struct fixture *f, const char *text, bool end)
{
	char data[512];
	ssize_t n;
	size_t len = strlen(text);

	for (size_t got = 0; got < len; got += (size_t)n) {
		n = recv(f->client, data, len - got, MSG_DONTWAIT);
		assert_true(n > 0);
		assert_memory_equal(data, text + got, (size_t)n);
	}
	n = recv(f->client, data, sizeof(data), MSG_DONTWAIT);
	assert_int_equal(n, end ? 0 : -1);
}

void
client_ends_sending(const struct fixture *f)
{
	assert_int_equal(shutdown(f->client, SHUT_WR), 0);
}

void
shrink(const struct fixture *f)
{
	int size = 4096;

	assert_int_equal(
		setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)),
		0);
}

static unsigned char
byte_at(size_t position)
{
	return (unsigned char)(position * 2654435761u >> 13);
}

size_t
client_sends_some(const struct fixture *f, size_t sent, size_t total)
{
	unsigned char data[3000];
	size_t len = total - sent < sizeof(data) ? total - sent : sizeof(data);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(sent + i);
	n = len > 0 ? send(f->client, data, len, MSG_DONTWAIT) : 0;
	return sent + (n > 0 ? (size_t)n : 0);
}

size_t
client_reads_some(const struct fixture *f, size_t got, size_t most)
{
	unsigned char data[5000];
	ssize_t n = recv(f->client, data, most, MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(data[i], byte_at(got + (size_t)i));
	return got + (n > 0 ? (size_t)n : 0);
}

int
echo(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;
	size_t len;
	const void *input = handoff_conn_input(conn, &len);

	seen->calls++;
	seen->eofs += handoff_conn_eof(conn);
	seen->activity = conn->view.rec->activity;
	return handoff_conn_consume(conn, handoff_conn_write(conn, input, len));
}

int
lines(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *newline = memchr(input, '\n', len);
	size_t line = newline                  ? (size_t)(newline - input) + 1
		      : handoff_conn_eof(conn) ? len
					       : 0;

	seen->calls++;
	seen->eofs += handoff_conn_eof(conn);
	if (seen->fail) {
		handoff_conn_write(conn, "unsaid", 6);
		handoff_conn_consume(conn, len);
		return seen->fail;
	}
	if (line > handoff_conn_room(conn))
		return 0;
	for (size_t i = 0; i < line; i++) {
		char c = (char)toupper((unsigned char)input[i]);

		handoff_conn_write(conn, &c, 1);
	}
	if (line == 5 && memcmp(input, "quit\n", 5) == 0)
		handoff_conn_close(conn);
	return handoff_conn_consume(conn, line);
}

int
greet(struct handoff_conn *conn, void *arg)
{
	struct seen *seen = arg;

	seen->opens++;
	*(char *)handoff_conn_state(conn) = 'g';
	handoff_conn_write(conn, "welcome\n", 8);
	return seen->fail;
}
