/* SPDX-License-Identifier: MIT */
/*
 * A frame is a type, a length of two bytes, and as many bytes, each of which is
 * changed by a key that the handshake has agreed on. A frame is opened when all
 * of it has come, as a TLS record is.
 */
#include "client/toy.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 3, ROOM = 16 << 20 };

struct bytes {
	unsigned char *data;
	size_t len;
};

struct toy {
	bool server;
	enum handoff_client_layer_state state;
	int err;
	const char *text;
	bool said_end;
	unsigned char key;
	struct bytes in, out, plain;
};

struct toy_script toy_script;

static void
add(struct bytes *to, const void *data, size_t len)
{
	if (len == 0)
		return;
	to->data = realloc(to->data, to->len + len);
	memcpy(to->data + to->len, data, len);
	to->len += len;
	assert_true(to->len <= ROOM);
}

static void
cut(struct bytes *from, size_t len)
{
	assert_true(len <= from->len);
	from->len -= len;
	if (len > 0 && from->len > 0)
		memmove(from->data, from->data + len, from->len);
}

static void
add_frame(struct toy *toy, char type, const void *data, size_t len)
{
	unsigned char head[HEAD] = {(unsigned char)type,
		(unsigned char)(len >> 8), (unsigned char)len};
	size_t at = toy->out.len + HEAD;

	assert_true(len <= 65535);
	add(&toy->out, head, HEAD);
	add(&toy->out, data, len);
	if (type == 'd')
		for (size_t i = at; i < toy->out.len; i++)
			toy->out.data[i] ^= toy->key;
}

static struct toy *
toy_new(bool server)
{
	struct toy *toy = calloc(1, sizeof(*toy));

	if (!toy)
		return NULL;
	toy->server = server;
	toy->state = HANDOFF_CLIENT_LAYER_HANDSHAKE;
	toy->text = "";
	return toy;
}

static void *
begin(void *arg, const char *endpoint)
{
	struct toy *toy;

	(void)arg;
	toy = toy_script.no_memory ? NULL : toy_new(false);
	if (!toy)
		return NULL;
	strncpy(toy_script.endpoint, endpoint, sizeof(toy_script.endpoint) - 1);
	toy_script.open++;
	toy->key = (unsigned char)(0x41 + toy_script.begins++);
	add_frame(toy, 'h', &toy->key, 1);
	return toy;
}

static void
broken(struct toy *toy, int err, const char *text)
{
	if (toy->state == HANDOFF_CLIENT_LAYER_FAILED)
		return;
	toy->state = HANDOFF_CLIENT_LAYER_FAILED;
	toy->err = err;
	toy->text = text;
	add_frame(toy, 'a', "", 0);
}

static void
greet(struct toy *toy, unsigned char key)
{
	if (toy->server) {
		toy->key = key;
		add_frame(toy, 'H', &key, 1);
	} else if (toy_script.distrusts || key != toy->key) {
		broken(toy, -EACCES,
			"the server is not the one that was meant");
		return;
	}
	toy->state = HANDOFF_CLIENT_LAYER_OPEN;
	toy->text = "a toy";
}

static void
open_frame(struct toy *toy, unsigned char *frame, size_t len)
{
	if (frame[0] == (toy->server ? 'h' : 'H') && len == 1)
		greet(toy, frame[HEAD]);
	else if (frame[0] == 'e')
		toy->state = HANDOFF_CLIENT_LAYER_CLOSED;
	else if (frame[0] == 'a')
		broken(toy, -ECONNABORTED, "the other side gives up");
	else if (frame[0] == 'd' && toy->state == HANDOFF_CLIENT_LAYER_OPEN) {
		for (size_t i = 0; i < len; i++)
			frame[HEAD + i] ^= toy->key;
		add(&toy->plain, frame + HEAD, len);
	} else
		broken(toy, -EPROTO, "a frame that makes no sense");
}

void
toy_input(struct toy *toy, const void *data, size_t len)
{
	if (len == 0 && toy->state != HANDOFF_CLIENT_LAYER_CLOSED)
		broken(toy, -ECONNABORTED,
			"the connection ended without an end");
	add(&toy->in, data, len);
	while (toy->in.len >= HEAD &&
		toy->state < HANDOFF_CLIENT_LAYER_CLOSED) {
		size_t n = (size_t)toy->in.data[1] << 8 | toy->in.data[2];

		if (toy->in.len < HEAD + n)
			return;
		open_frame(toy, toy->in.data, n);
		cut(&toy->in, HEAD + n);
	}
}

size_t
toy_output(struct toy *toy, const void **data)
{
	*data = toy->out.data;
	return toy->out.len;
}

void
toy_sent(struct toy *toy, size_t len)
{
	cut(&toy->out, len);
}

void
toy_write(struct toy *toy, const void *data, size_t len)
{
	assert_true(toy_is_open(toy) && !toy->said_end);
	assert_in_range(len, 1, HANDOFF_CLIENT_LAYER_MAX);
	add_frame(toy, 'd', data, len);
}

size_t
toy_read(struct toy *toy, void *data, size_t size)
{
	size_t n = toy->plain.len < size ? toy->plain.len : size;

	if (n > 0)
		memcpy(data, toy->plain.data, n);
	cut(&toy->plain, n);
	return n;
}

void
toy_end(struct toy *toy)
{
	assert_false(toy->said_end);
	toy->said_end = true;
	add_frame(toy, 'e', "", 0);
}

bool
toy_is_open(const struct toy *toy)
{
	return toy->state == HANDOFF_CLIENT_LAYER_OPEN ||
	       toy->state == HANDOFF_CLIENT_LAYER_CLOSED;
}

bool
toy_is_ended(const struct toy *toy)
{
	return toy->state == HANDOFF_CLIENT_LAYER_CLOSED;
}

struct toy *
toy_server(void)
{
	return toy_new(true);
}

void
toy_free(struct toy *toy)
{
	free(toy->in.data);
	free(toy->out.data);
	free(toy->plain.data);
	free(toy);
}

/* ---- the client's end ---- */

static void
free_end(void *end)
{
	toy_script.open--;
	toy_free(end);
}

/* CLOSED only when all is read. */
static enum handoff_client_layer_state
state_of(void *end, int *err, const char **text)
{
	struct toy *toy = end;

	*err = toy->err;
	*text = toy->text;
	return toy->state == HANDOFF_CLIENT_LAYER_CLOSED && toy->plain.len > 0
		       ? HANDOFF_CLIENT_LAYER_OPEN
		       : toy->state;
}

static void
input(void *end, const void *data, size_t len)
{
	toy_input(end, data, len);
}

static size_t
output(void *end, const void **data)
{
	return toy_output(end, data);
}

static void
sent(void *end, size_t len)
{
	toy_sent(end, len);
}

static void
write_plain(void *end, const void *data, size_t len)
{
	toy_write(end, data, len);
}

static size_t
read_plain(void *end, void *data, size_t size)
{
	return toy_read(end, data, size);
}

static void
say_end(void *end)
{
	toy_end(end);
}

const struct handoff_client_layer toy_layer = {
	.size = sizeof(toy_layer),
	.begin = begin,
	.free = free_end,
	.state = state_of,
	.input = input,
	.output = output,
	.sent = sent,
	.write = write_plain,
	.read = read_plain,
	.end = say_end,
};

/* ---- the server's end on a connection ---- */

struct toy_conn
toy_take(struct handoff_client *client, const struct site *site)
{
	return (struct toy_conn){fixture_accept(client, site), toy_server()};
}

struct toy_conn
toy_accept(struct handoff_client *client, const struct site *site)
{
	struct toy_conn conn = toy_take(client, site);

	while (!toy_is_open(conn.toy))
		assert_true(toy_receive(client, &conn));
	return conn;
}

void
toy_close(struct toy_conn *conn)
{
	toy_free(conn->toy);
	close(conn->fd);
}

void
toy_flush(struct toy_conn *conn, size_t limit)
{
	const void *data;
	size_t len = toy_output(conn->toy, &data);

	len = len < limit ? len : limit;
	if (len == 0)
		return;
	assert_int_equal(send(conn->fd, data, len, MSG_NOSIGNAL), len);
	toy_sent(conn->toy, len);
}

bool
toy_receive(struct handoff_client *client, struct toy_conn *conn)
{
	struct pollfd p[2] = {{.fd = conn->fd, .events = POLLIN},
		{.fd = client ? handoff_client_fd(client) : -1,
			.events = POLLIN}};
	unsigned char data[65536];
	ssize_t n;

	for (;;) {
		assert_true(poll(p, 2, PATIENCE_MS) > 0);
		if (p[1].revents)
			assert_int_equal(handoff_client_dispatch(client), 0);
		if (p[0].revents)
			break;
	}
	n = recv(conn->fd, data, sizeof(data), MSG_DONTWAIT);
	if (n < 0)
		assert_int_equal(errno, ECONNRESET);
	if (n <= 0)
		return false;
	toy_input(conn->toy, data, (size_t)n);
	toy_flush(conn, SIZE_MAX);
	return true;
}

void
toy_expect(
	struct handoff_client *client, struct toy_conn *conn, const char *text)
{
	size_t len = strlen(text), got = 0;
	char data[4096];

	while (got < len) {
		size_t want = len - got, n;

		n = toy_read(conn->toy, data,
			want < sizeof(data) ? want : sizeof(data));
		if (n == 0)
			assert_true(toy_receive(client, conn));
		assert_memory_equal(data, text + got, n);
		got += n;
	}
}

void
toy_expect_end(struct handoff_client *client, struct toy_conn *conn)
{
	char byte;

	while (!toy_is_ended(conn->toy))
		assert_true(toy_receive(client, conn));
	assert_int_equal(toy_read(conn->toy, &byte, 1), 0);
	assert_false(toy_receive(client, conn));
}

void
toy_say(struct toy_conn *conn, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		size_t n = len < HANDOFF_CLIENT_LAYER_MAX
				   ? len
				   : HANDOFF_CLIENT_LAYER_MAX;

		toy_write(conn->toy, text, n);
		text += n;
		len -= n;
	}
	toy_flush(conn, SIZE_MAX);
}

void
toy_say_end(struct toy_conn *conn)
{
	toy_end(conn->toy);
	toy_flush(conn, SIZE_MAX);
	assert_int_equal(shutdown(conn->fd, SHUT_WR), 0);
}
