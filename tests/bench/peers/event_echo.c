/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libevent's bufferevents: the input's chain is moved to the
 * output without a copy. It reads 64 KiB at once, like the others, and reads no
 * more from a connection while more than that is unsent.
 */
#include "peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void
on_read(struct bufferevent *conn, void *arg)
{
	struct evbuffer *out = bufferevent_get_output(conn);

	(void)arg;
	evbuffer_add_buffer(out, bufferevent_get_input(conn));
	if (evbuffer_get_length(out) > PEER_BUFFER)
		bufferevent_disable(conn, EV_READ);
}

static void
on_drained(struct bufferevent *conn, void *arg)
{
	(void)arg;
	bufferevent_enable(conn, EV_READ);
}

static void
on_end(struct bufferevent *conn, short what, void *arg)
{
	(void)what;
	(void)arg;
	bufferevent_free(conn);
}

static void
on_connection(struct evconnlistener *listener, evutil_socket_t fd,
	struct sockaddr *addr, int len, void *base)
{
	struct bufferevent *conn =
		bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener;
	(void)addr;
	(void)len;
	if (!conn)
		exit(1);
	bufferevent_setcb(conn, on_read, on_drained, on_end, NULL);
	bufferevent_set_max_single_read(conn, PEER_BUFFER);
	bufferevent_set_max_single_write(conn, PEER_BUFFER);
	bufferevent_enable(conn, EV_READ | EV_WRITE);
}

int
main(void)
{
	struct event_base *base = event_base_new();
	struct evconnlistener *listener;

	signal(SIGPIPE, SIG_IGN);
	listener = evconnlistener_new(base, on_connection, base,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
		peer_listen(SOCK_NONBLOCK));
	if (!listener) {
		fprintf(stderr, "event_echo: cannot listen\n");
		return 1;
	}
	return event_base_dispatch(base) < 0;
}
