/* SPDX-License-Identifier: MIT */
/*
 * The same echo server on libevent's bufferevents, which read and write by
 * themselves. They keep a copy of the output; what remains of it is unsent.
 * Like libuv, they read before the program can note it.
 */
#include "service.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct event_base *base;
static struct evconnlistener *listener;
static struct event *again;

/* What libevent has no more of our output, it has sent. */
static void
catch_up(struct echo *c)
{
	echo_sent(c, c->unsent - evbuffer_get_length(
					 bufferevent_get_output(c->loop)));
}

static void
discard(struct echo *c)
{
	bufferevent_free(c->loop);
	free(c);
}

static void
end(struct echo *c)
{
	service_ended(c);
	discard(c);
}

/* Something has changed: answer and note, before libevent sends. */
static void
go(struct echo *c)
{
	size_t had;

	catch_up(c);
	had = c->unsent;
	if (echo_answer(c))
		bufferevent_write(c->loop, c->out + had, c->unsent - had);
	echo_note(c);
	if (c->eof && c->unanswered + c->unsent == 0) {
		end(c);
	} else if (c->eof || c->unanswered == ECHO_IN) {
		bufferevent_disable(c->loop, EV_READ);
	} else {
		/* Never more than there is room for. */
		bufferevent_setwatermark(
			c->loop, EV_READ, 0, ECHO_IN - c->unanswered);
		bufferevent_enable(c->loop, EV_READ);
	}
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct echo *c = arg;
	size_t len = bufferevent_read(
		bev, c->in + c->unanswered, ECHO_IN - c->unanswered);

	echo_received(c, len);
	go(c);
}

static void
on_drained(struct bufferevent *bev, void *arg)
{
	(void)bev;
	go(arg);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct echo *c = arg;

	(void)bev;
	if (what & BEV_EVENT_EOF) {
		c->eof = true;
		go(c);
	} else if (what & BEV_EVENT_ERROR) {
		end(c);
	}
}

static bool
serve(struct echo *c, int fd)
{
	struct bufferevent *bev =
		bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	if (!bev)
		return false;
	c->loop = bev;
	bufferevent_setcb(bev, on_read, on_drained, on_event, c);
	bufferevent_write(bev, c->out, c->unsent);
	go(c);
	return true;
}

static void
forsake(struct echo *c)
{
	bufferevent_disable(c->loop, EV_READ | EV_WRITE);
	catch_up(c);
	echo_note(c);
	discard(c);
}

static void
on_accept(struct evconnlistener *from, evutil_socket_t fd,
	struct sockaddr *address, int len, void *arg)
{
	struct echo *c = service_accepted(fd);

	(void)from;
	(void)address;
	(void)len;
	(void)arg;
	if (c && serve(c, fd))
		return;
	if (c)
		service_ended(c);
	evutil_closesocket(fd);
	free(c);
}

static void
on_accept_error(struct evconnlistener *from, void *arg)
{
	static const struct timeval soon = {.tv_usec = 100000};

	(void)arg;
	service_accept_failed(strerror(errno));
	/* It stays readable: do not look for a while. */
	evconnlistener_disable(from);
	event_add(again, &soon);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (listener)
		evconnlistener_enable(listener);
}

static void
listen_to(int fd)
{
	listener = evconnlistener_new(base, on_accept, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!listener)
		abort();
	evconnlistener_set_error_cb(listener, on_accept_error);
}

static void
deafen(void)
{
	evconnlistener_free(listener);
	listener = NULL;
}

static void
on_peer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (!service_dispatch())
		event_base_loopbreak(base);
}

static void
on_loaded(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	service_loaded();
}

int
main(int argc, char **argv)
{
	static const struct service_loop loop = {
		"event", listen_to, deafen, serve, forsake};
	struct handoff_peer *peer = service_open(argc, argv, &loop);
	struct event *watch, *loaded;

	base = event_base_new();
	again = event_new(base, -1, 0, on_again, NULL);
	watch = event_new(base, handoff_peer_fd(peer), EV_READ | EV_PERSIST,
		on_peer, NULL);
	loaded = evsignal_new(base, SIGUSR1, on_loaded, NULL);
	event_add(watch, NULL);
	event_add(loaded, NULL);
	event_base_dispatch(base);
	event_free(loaded);
	event_free(watch);
	event_free(again);
	service_close();
	event_base_free(base);
	libevent_global_shutdown();
	return 0;
}
