/* SPDX-License-Identifier: MIT */
/*
 * The public calls: they check their arguments, open and free the handle, and
 * keep its descriptor readable while there is work to do.
 */
#include "client/client.h"

#include "notice/transport.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define DEFAULT_MAX_UNSENT         ((size_t)1 << 20)
#define DEFAULT_CONNECT_TIMEOUT_MS 3000
#define SUBSCRIBED_US              2000000 /* interval of the check */

#define DEFAULT_FIRST_DELAY_MS   100
#define DEFAULT_MAX_DELAY_MS     10000
#define DEFAULT_USER_TIMEOUT_MS  10000
#define DEFAULT_DRAIN_TIMEOUT_MS 10000

static void
nothing(struct handoff__watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

/* The eventfd is always readable; it is watched only while events are
 * queued, or a layer has data. */
static void
signal_events(struct handoff_client *client)
{
	bool any = client->events.count > 0 ||
		   (client->layer.begin && handoff__client_holds(client));

	handoff__watch_set(&client->loop, &client->signal, any ? EPOLLIN : 0);
}

/* What a transport lacks, such as its server, when that changes. */
static void
log_lack(struct handoff_client *client)
{
	const char *text = handoff_subscriber_errmsg(client->sub);

	if (strcmp(text, client->sub_lacks) == 0)
		return;
	handoff__copy(client->sub_lacks, sizeof(client->sub_lacks), text);
	if (text[0])
		handoff__log(&client->log, HANDOFF_LOG_WARNING,
			"client: notices: %s", text);
	else
		handoff__log(&client->log, HANDOFF_LOG_INFO,
			"client: notices: connected");
}

static void
on_notice(struct handoff__watch *watch, uint32_t events)
{
	struct handoff_client *client = watch->arg;
	const struct handoff_notice *notice;
	int rc = handoff_subscriber_next(client->sub, &notice);

	(void)events;
	handoff__client_heard(client, handoff__subscriber_skipped(client->sub));
	if (rc > 0)
		handoff__client_notice(client, notice);
	if (rc >= 0) {
		log_lack(client);
		return;
	}
	handoff__log(&client->log, HANDOFF_LOG_ERROR,
		"client: no more notices: %s",
		handoff_subscriber_errmsg(client->sub));
	handoff__watch_del(&client->loop, watch);
	handoff__timer_disarm(&client->loop, &client->sub_timer);
}

static void
on_sub_timer(struct handoff__timer *timer)
{
	struct handoff_client *client = timer->arg;

	handoff__timer_arm(&client->loop, timer, SUBSCRIBED_US);
	on_notice(&client->sub_watch, 0);
}

static int
add_endpoint(struct handoff_client *client, const char *text)
{
	struct handoff__endpoint *e = &client->endpoints[client->nendpoints];
	int err = handoff__addr_parse(&e->addr, text, &client->error);

	if (err < 0)
		return err;
	if (strlen(text) >= sizeof(e->text))
		return handoff__fail(&client->error, -EINVAL,
			"endpoint '%.120s...' is too long", text);
	if (!e->addr.local && (e->addr.host[0] == '\0' ||
				      strtoul(e->addr.port, NULL, 10) == 0))
		return handoff__fail(&client->error, -EINVAL,
			"endpoint '%s': a host and a port other than 0 are "
			"needed to connect",
			text);
	handoff__copy(e->text, sizeof(e->text), text);
	client->nendpoints++;
	return 0;
}

static int
add_endpoints(
	struct handoff_client *client, const struct handoff_client_opts *o)
{
	int err = 0;

	if (!o->endpoints || o->nendpoints == 0 ||
		o->nendpoints > HANDOFF__ENDPOINTS_MAX)
		return handoff__fail(&client->error, -EINVAL,
			"client: 1 to %d endpoints are needed, not %zu",
			HANDOFF__ENDPOINTS_MAX, o->nendpoints);
	for (size_t i = 0; i < o->nendpoints && err == 0; i++)
		err = add_endpoint(client, o->endpoints[i]);
	return err;
}

static void
set_client_options(
	struct handoff_client *client, const struct handoff_client_opts *o)
{
	struct handoff__backoff backoff = {
		.first_ms = handoff__opt_or(
			o->first_delay_ms, DEFAULT_FIRST_DELAY_MS),
		.max_ms =
			handoff__opt_or(o->max_delay_ms, DEFAULT_MAX_DELAY_MS),
	};

	client->log.fn = o->log;
	client->log.arg = o->log_arg;
	client->backoff = client->home_backoff = backoff;
	client->drain_timeout_ms =
		handoff__opt_or(o->drain_timeout_ms, DEFAULT_DRAIN_TIMEOUT_MS);
	client->dial.timeout_ms = handoff__opt_or(
		o->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS);
	client->dial.user_timeout_ms =
		handoff__opt_or(o->user_timeout_ms, DEFAULT_USER_TIMEOUT_MS);
	handoff__outbox_init(&client->outbox,
		o->max_unsent ? o->max_unsent : DEFAULT_MAX_UNSENT);
	if (o->session && o->layer) {
		handoff__sealed_init(&client->sealed, &client->outbox);
		handoff__talk_init(&client->talk, &client->sealed.cipher);
	} else if (o->session)
		handoff__talk_init(&client->talk, &client->outbox);
	if (getrandom(&client->seed, sizeof(client->seed), GRND_NONBLOCK) < 0)
		client->seed = (uint64_t)handoff__now_us() ^ (uint64_t)getpid()
								     << 32;
}

static int
open_client_loop(struct handoff_client *client)
{
	int err = handoff__loop_init(&client->loop);

	if (err < 0)
		return handoff__fail(&client->error, err,
			"client: cannot create its event loop: %s",
			strerror(-err));
	client->signal.fn = nothing;
	client->signal_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (client->signal_fd < 0)
		return handoff__fail(&client->error, -errno,
			"client: eventfd: %s", strerror(errno));
	err = handoff__watch_add(
		&client->loop, &client->signal, client->signal_fd, 0);
	if (err < 0)
		return handoff__fail(&client->error, err,
			"client: epoll_ctl: %s", strerror(-err));
	return 0;
}

/* Stores the address of the notices; NULL if there are to be none. */
static int
choose_notices(struct handoff_client *client,
	const struct handoff_client_opts *o, char *buf, size_t size,
	const char **address)
{
	int len;

	*address = o->notices;
	if (!o->dir)
		return 0;
	len = snprintf(buf, size, "mq:%s", o->dir);
	if (len < 0 || (size_t)len >= size)
		return handoff__fail(&client->error, -EINVAL,
			"client: the path of the service directory is longer "
			"than %zu bytes",
			size - sizeof("mq:"));
	*address = buf;
	return 0;
}

/* Reads the retained notice before the first connection is made, so that the
 * connection cannot be older than the notice. */
static int
open_notices(struct handoff_client *client, const struct handoff_client_opts *o,
	const char *address)
{
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = address,
		.addresses = o->subscriptions,
		.naddresses = o->nsubscriptions,
		.errbuf = client->error.text,
		.errbuf_size = sizeof(client->error.text),
	};
	int err;

	if (!address && o->nsubscriptions == 0)
		return 0;
	err = handoff_subscriber_open(&client->sub, &opts);
	if (err < 0)
		return err;
	client->sub_watch.fn = on_notice;
	client->sub_watch.arg = client;
	err = handoff__watch_add(&client->loop, &client->sub_watch,
		handoff_subscriber_fd(client->sub), EPOLLIN);
	if (err < 0)
		return handoff__fail(&client->error, err,
			"client: epoll_ctl: %s", strerror(-err));
	client->sub_timer.fn = on_sub_timer;
	client->sub_timer.arg = client;
	handoff__timer_arm(&client->loop, &client->sub_timer, SUBSCRIBED_US);
	on_notice(&client->sub_watch, EPOLLIN);
	return 0;
}

static int
open_all(struct handoff_client *client, const struct handoff_client_opts *o)
{
	char buf[sizeof("mq:") + PATH_MAX];
	const char *address;
	int err = add_endpoints(client, o);

	if (err == 0 && o->layer)
		err = handoff__layer_copy(
			&client->layer, o->layer, &client->error);
	if (err == 0)
		err = choose_notices(client, o, buf, sizeof(buf), &address);
	if (err == 0)
		err = open_client_loop(client);
	if (err == 0)
		err = open_notices(client, o, address);
	if (err < 0)
		return err;
	handoff__client_attempt(client);
	signal_events(client);
	return 0;
}

/* Marks everything as closed, as handoff_client_free expects. */
static void
init(struct handoff_client *client)
{
	client->loop.epfd = client->loop.timerfd = client->signal_fd = -1;
	client->signal.fd = client->sub_watch.fd = -1;
	handoff__dial_init(&client->dial);
	client->now = &client->conns[0];
	client->old = &client->conns[1];
	for (int i = 0; i < 2; i++)
		handoff__stream_init(&client->conns[i], &client->loop,
			handoff__client_conn_event, client);
	handoff__client_course_init(client);
	handoff__client_homing_init(client);
	handoff__client_trial_init(client);
	handoff__client_session_init(client);
}

int
handoff_client_open(
	struct handoff_client **out, const struct handoff_client_opts *opts)
{
	struct handoff_client_opts o;
	struct handoff_client *client;
	int err = handoff__opts_copy(&o, sizeof(o), opts,
		offsetof(struct handoff_client_opts, notices));

	if (err < 0 || !out)
		return err < 0 ? err : -EINVAL;
	client = calloc(1, sizeof(*client));
	if (!client)
		return handoff__no_memory("client", o.errbuf, o.errbuf_size);
	init(client);
	set_client_options(client, &o);
	err = open_all(client, &o);
	if (err < 0) {
		handoff__error_copy(&client->error, o.errbuf, o.errbuf_size);
		handoff_client_free(client);
		return err;
	}
	*out = client;
	return 0;
}

void
handoff_client_free(struct handoff_client *client)
{
	if (!client)
		return;
	handoff__dial_cancel(&client->dial);
	handoff__client_let_go(client);
	handoff__stream_close(client->now);
	handoff__stream_close(client->old);
	handoff__watch_del(&client->loop, &client->sub_watch);
	handoff_subscriber_free(client->sub);
	if (client->signal_fd >= 0)
		close(client->signal_fd);
	handoff__loop_fini(&client->loop);
	handoff__outbox_fini(&client->outbox);
	handoff__sealed_fini(&client->sealed);
	free(client);
}

int
handoff_client_fd(struct handoff_client *client)
{
	return client ? client->loop.epfd : -EINVAL;
}

int
handoff_client_wait(struct handoff_client *client, int timeout_ms)
{
	int rc;

	if (!client)
		return -EINVAL;
	if (handoff__events_crowded(&client->events))
		return 0;
	rc = handoff__loop_dispatch(&client->loop, timeout_ms);
	signal_events(client);
	if (rc < 0)
		return handoff__fail(&client->error, rc,
			"client: epoll_wait: %s", strerror(-rc));
	return 0;
}

int
handoff_client_dispatch(struct handoff_client *client)
{
	return handoff_client_wait(client, 0);
}

int
handoff_client_send(struct handoff_client *client, const void *data, size_t len)
{
	int err;

	if (!client || (!data && len > 0))
		return -EINVAL;
	if (client->shut)
		return handoff__fail(&client->error, -EPIPE,
			"client: cannot send after handoff_client_shutdown");
	if (len == 0)
		return 0;
	err = handoff__outbox_add(&client->outbox, data, len);
	if (err < 0)
		return handoff__fail(&client->error, err,
			"client: a message of %zu byte%s was not taken: %zu "
			"of at most %zu wait to be sent%s",
			len, handoff__plural(len), client->outbox.len,
			client->outbox.max,
			client->talk.on ? " or acknowledged" : "");
	handoff__client_flush(client);
	return 0;
}

size_t
handoff_client_unsent(const struct handoff_client *client)
{
	return client ? handoff__outbox_unsent(&client->outbox) : 0;
}

size_t
handoff_client_room(const struct handoff_client *client)
{
	return client && !client->shut ? handoff__outbox_room(&client->outbox)
				       : 0;
}

bool
handoff_client_has_session(const struct handoff_client *client)
{
	return client && client->talk.on;
}

int
handoff_client_shutdown(struct handoff_client *client)
{
	if (!client)
		return -EINVAL;
	if (client->shut)
		return 0;
	client->shut = true;
	if (!client->leaving)
		handoff__client_stay(client);
	handoff__client_flush(client);
	return 0;
}

/* Reads; what else comes of it is an event of its own. */
static bool
pull_data(struct handoff_client *client)
{
	size_t len = 0;
	const char *endpoint = handoff__client_read(client, &len);

	if (!endpoint)
		return false;
	client->event = (struct handoff_client_event){
		.type = HANDOFF_CLIENT_DATA,
		.endpoint = endpoint,
		.data = client->buffer,
		.len = len,
		.text = "",
	};
	return true;
}

int
handoff_client_next(struct handoff_client *client,
	const struct handoff_client_event **event)
{
	bool any;

	if (!client || !event)
		return -EINVAL;
	any = handoff__events_pull(&client->events, &client->event) ||
	      pull_data(client) ||
	      handoff__events_pull(&client->events, &client->event);
	signal_events(client);
	if (any)
		*event = &client->event;
	return any;
}

const char *
handoff_client_errmsg(const struct handoff_client *client)
{
	return client ? client->error.text : "";
}
