/* SPDX-License-Identifier: MIT */
/*
 * The same echo server on libuv's streams. libuv reads before the program can
 * note it, so a death may lose the input that one connection has just read; the
 * survivor closes that connection. Output stays in a buffer of this program
 * until libuv reports it sent; the size of the write queue says how much is
 * sent.
 */
#include "service.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

struct conn {
	struct echo *c;
	uv_tcp_t tcp;
	uv_write_t write;
	size_t sending; /* of c->out, from its beginning */
	bool reading;
};

static uv_poll_t peer_watch;
static uv_signal_t loaded;
static uv_tcp_t *listener;

static void
on_closed(uv_handle_t *handle)
{
	struct conn *conn = handle->data;

	free(conn->c);
	free(conn);
}

static void
end(struct conn *conn)
{
	if (uv_is_closing((uv_handle_t *)&conn->tcp))
		return;
	service_ended(conn->c);
	uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

static void go(struct conn *conn);

static void
on_written(uv_write_t *write, int status)
{
	struct conn *conn = write->data;

	if (uv_is_closing((uv_handle_t *)&conn->tcp))
		return;
	if (status < 0) {
		end(conn);
		return;
	}
	echo_sent(conn->c, conn->sending);
	conn->sending = 0;
	go(conn);
}

static void
on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
	struct echo *c = ((struct conn *)handle->data)->c;

	(void)wanted;
	buf->base = (char *)c->in + c->unanswered;
	buf->len = ECHO_IN - c->unanswered;
}

static void
on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
	struct conn *conn = stream->data;

	(void)buf;
	if (len < 0 && len != UV_EOF) {
		end(conn);
		return;
	}
	conn->c->eof = len == UV_EOF;
	if (len > 0)
		echo_received(conn->c, (size_t)len);
	go(conn);
}

/* Reads while there is room for it. */
static void
flow(struct conn *conn)
{
	uv_stream_t *stream = (uv_stream_t *)&conn->tcp;
	bool read = !conn->c->eof && conn->c->unanswered < ECHO_IN;

	if (read == conn->reading)
		return;
	conn->reading = read;
	if (read)
		uv_read_start(stream, on_alloc, on_read);
	else
		uv_read_stop(stream);
}

/* Something has changed: answer, note, send. */
static void
go(struct conn *conn)
{
	struct echo *c = conn->c;
	uv_buf_t buf = {.base = (char *)c->out};

	echo_answer(c);
	echo_note(c);
	flow(conn);
	if (conn->sending == 0 && c->unsent > 0) {
		buf.len = conn->sending = c->unsent;
		conn->write.data = conn;
		if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1,
			    on_written) < 0)
			end(conn);
	} else if (c->eof && c->unanswered + c->unsent == 0) {
		end(conn);
	}
}

static struct conn *
make_conn(void)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (conn) {
		uv_tcp_init(uv_default_loop(), &conn->tcp);
		conn->tcp.data = conn;
	}
	return conn;
}

static bool
serve(struct echo *c, int fd)
{
	struct conn *conn = make_conn();

	if (!conn)
		return false;
	if (uv_tcp_open(&conn->tcp, fd) < 0) {
		uv_close((uv_handle_t *)&conn->tcp, on_closed);
		return false;
	}
	conn->c = c;
	c->loop = conn;
	go(conn);
	return true;
}

static void
forsake(struct echo *c)
{
	struct conn *conn = c->loop;
	size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);

	/* From here on nothing more of it is sent. */
	uv_close((uv_handle_t *)&conn->tcp, on_closed);
	echo_sent(c, conn->sending - left);
	echo_note(c);
}

static void
on_connection(uv_stream_t *stream, int status)
{
	struct conn *conn;
	int fd;

	if (status < 0) {
		service_accept_failed(uv_strerror(status));
		return;
	}
	conn = make_conn();
	if (!conn)
		return;
	if (uv_accept(stream, (uv_stream_t *)&conn->tcp) == 0 &&
		uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0)
		conn->c = service_accepted(fd);
	if (!conn->c) {
		uv_close((uv_handle_t *)&conn->tcp, on_closed);
		return;
	}
	conn->c->loop = conn;
	flow(conn);
}

static void
on_deaf(uv_handle_t *handle)
{
	free(handle);
}

static void
listen_to(int fd)
{
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		abort();
	uv_tcp_init(uv_default_loop(), listener);
	if (uv_tcp_open(listener, fd) < 0 ||
		uv_listen((uv_stream_t *)listener, SOMAXCONN, on_connection) <
			0)
		service_accept_failed("cannot listen");
}

static void
deafen(void)
{
	uv_close((uv_handle_t *)listener, on_deaf);
	listener = NULL;
}

static void
on_peer(uv_poll_t *watch, int status, int events)
{
	(void)status;
	(void)events;
	if (!service_dispatch())
		uv_stop(watch->loop);
}

static void
on_loaded(uv_signal_t *watch, int number)
{
	(void)watch;
	(void)number;
	service_loaded();
}

int
main(int argc, char **argv)
{
	static const struct service_loop loop = {
		"uv", listen_to, deafen, serve, forsake};
	struct handoff_peer *peer = service_open(argc, argv, &loop);
	uv_loop_t *uv = uv_default_loop();

	uv_poll_init(uv, &peer_watch, handoff_peer_fd(peer));
	uv_poll_start(&peer_watch, UV_READABLE, on_peer);
	uv_signal_init(uv, &loaded);
	uv_signal_start(&loaded, on_loaded, SIGUSR1);
	uv_run(uv, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&loaded, NULL);
	uv_close((uv_handle_t *)&peer_watch, NULL);
	service_close();
	uv_run(uv, UV_RUN_DEFAULT);
	uv_loop_close(uv);
	return 0;
}
