/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libuv: one buffer for all connections, which libuv allows
 * because a read callback follows its allocation at once; uv_try_write first;
 * only output that the kernel does not take is copied and queued. Nothing more
 * is read from that connection until it is sent.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BACKLOG 4096

struct request {
	uv_write_t write;
	char data[];
};

static char buffer[PEER_BUFFER];

static void on_read(uv_stream_t *conn, ssize_t len, const uv_buf_t *buf);

static void
on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	(void)handle;
	(void)size;
	*buf = uv_buf_init(buffer, sizeof(buffer));
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
end(uv_stream_t *conn)
{
	if (!uv_is_closing((uv_handle_t *)conn))
		uv_close((uv_handle_t *)conn, on_closed);
}

static void
on_written(uv_write_t *write, int status)
{
	uv_stream_t *conn = write->handle;

	free(write);
	if (status < 0)
		end(conn);
	else
		uv_read_start(conn, on_alloc, on_read);
}

static void
queue(uv_stream_t *conn, const char *data, size_t len)
{
	struct request *request = malloc(sizeof(*request) + len);
	uv_buf_t buf;

	if (!request) {
		end(conn);
		return;
	}
	memcpy(request->data, data, len);
	buf = uv_buf_init(request->data, (unsigned)len);
	uv_read_stop(conn);
	if (uv_write(&request->write, conn, &buf, 1, on_written) < 0) {
		free(request);
		end(conn);
	}
}

static void
on_read(uv_stream_t *conn, ssize_t len, const uv_buf_t *buf)
{
	uv_buf_t out;
	int sent;

	if (len == 0)
		return;
	if (len < 0) {
		end(conn);
		return;
	}
	out = uv_buf_init(buf->base, (unsigned)len);
	sent = uv_try_write(conn, &out, 1);
	if (sent == UV_EAGAIN)
		sent = 0;
	if (sent < 0)
		end(conn);
	else if (sent < len)
		queue(conn, buf->base + sent, (size_t)(len - sent));
}

static void
on_connection(uv_stream_t *listener, int status)
{
	uv_tcp_t *conn;

	if (status < 0)
		return;
	conn = malloc(sizeof(*conn));
	if (!conn)
		return;
	uv_tcp_init(listener->loop, conn);
	if (uv_accept(listener, (uv_stream_t *)conn) < 0)
		end((uv_stream_t *)conn);
	else
		uv_read_start((uv_stream_t *)conn, on_alloc, on_read);
}

int
main(void)
{
	uv_loop_t *loop = uv_default_loop();
	uv_tcp_t listener;

	uv_tcp_init(loop, &listener);
	if (uv_tcp_open(&listener, peer_listen(0)) < 0 ||
		uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection) <
			0) {
		fprintf(stderr, "uv_echo: cannot listen\n");
		return 1;
	}
	return uv_run(loop, UV_RUN_DEFAULT);
}
