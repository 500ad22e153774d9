/* SPDX-License-Identifier: MIT */
/*
 * A connection of the client library. The helper's thread reads and writes its
 * socket (the library calls that an event loop), so that the only other threads
 * are those that the library has once per process: they run the callbacks
 * below. It does not reconnect, which the helper does: no thread is needed for
 * that either, and names are resolved again.
 */
#include "nats/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define CONNECT_MS  2000
#define PING_MS     2000
#define PINGS_LOST  2 /* until the connection is taken for dead */
#define FLUSH_TRIES 10

static int
watch(struct handoff__nats_end *end, int op, bool out)
{
	struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0u),
		.data.fd = end->sock};

	return epoll_ctl(end->set, op, end->sock, &event);
}

static natsStatus
on_attach(void **data, void *loop, natsConnection *nc, natsSock sock)
{
	struct handoff__nats_end *end = loop;

	(void)nc;
	*data = end;
	end->sock = sock;
	return watch(end, EPOLL_CTL_ADD, false) < 0 ? NATS_ERR : NATS_OK;
}

static natsStatus
on_read(void *data, bool add)
{
	struct handoff__nats_end *end = data;

	/* it is about to be closed */
	if (!add)
		watch(end, EPOLL_CTL_DEL, false);
	return NATS_OK;
}

/* Also in the library's timer thread. */
static natsStatus
on_write(void *data, bool add)
{
	watch(data, EPOLL_CTL_MOD, add);
	return NATS_OK;
}

static natsStatus
on_detach(void *data)
{
	(void)data;
	return NATS_OK;
}

/* The last call for a connection, in a thread of the library. */
static void
on_closed(natsConnection *nc, void *arg)
{
	struct handoff__nats_end *end = arg;

	(void)nc;
	eventfd_write(end->wake, 1);
	handoff__nats_end_unref(end);
}

/* The library's last error in this thread, without the place in its sources:
 * "(conn.c:733): SSL handshake error". */
static const char *
last_error(natsStatus status)
{
	const char *text = nats_GetLastError(NULL);
	const char *colon = text ? strstr(text, "): ") : NULL;

	if (!text || !text[0])
		return natsStatus_GetText(status);
	return text[0] == '(' && colon ? colon + 3 : text;
}

/* In a thread of the library: a subject is not permitted. */
static void
on_error(
	natsConnection *nc, natsSubscription *sub, natsStatus status, void *arg)
{
	struct handoff__nats_end *end = arg;

	(void)nc;
	(void)sub;
	if (status == NATS_NOT_PERMITTED)
		handoff__nats_end_denied(end, last_error(status));
	eventfd_write(end->wake, 1);
}

static natsStatus
set_login(natsOptions *o, const struct handoff__nats_address *a,
	struct handoff__error *error)
{
	struct handoff__nats_login login;
	natsStatus s;

	if (a->creds)
		return natsOptions_SetUserCredentialsFromFiles(
			o, a->creds, NULL);
	if (!a->login)
		return NATS_OK;
	if (handoff__nats_login_read(&login, a->login, error) < 0)
		return NATS_ERR;
	s = login.password
		    ? natsOptions_SetUserInfo(o, login.user, login.password)
		    : natsOptions_SetToken(o, login.user);
	explicit_bzero(&login, sizeof(login));
	return s;
}

static natsStatus
set_tls(natsOptions *o, const struct handoff__nats_address *a)
{
	natsStatus s = natsOptions_SetSecure(o, true);

	if (s == NATS_OK && a->ca)
		s = natsOptions_LoadCATrustedCertificates(o, a->ca);
	if (s == NATS_OK && a->cert)
		s = natsOptions_LoadCertificatesChain(o, a->cert, a->key);
	return s;
}

static natsStatus
set_options(natsOptions *o, struct handoff__nats_end *end,
	struct handoff__error *error)
{
	const struct handoff__nats_address *a = &end->address;
	const char *servers[HANDOFF__NATS_SERVERS_MAX];
	natsStatus s;

	for (size_t i = 0; i < a->nservers; i++)
		servers[i] = a->servers[i];
	s = natsOptions_SetServers(o, servers, (int)a->nservers);
	/* servers tell of others, which nobody has configured here */
	if (s == NATS_OK)
		s = natsOptions_SetIgnoreDiscoveredServers(o, true);
	if (s == NATS_OK)
		s = natsOptions_SetAllowReconnect(o, false);
	/* otherwise a thread of its own sends what has gathered in 1 ms */
	if (s == NATS_OK)
		s = natsOptions_SetSendAsap(o, true);
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(o, CONNECT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetPingInterval(o, PING_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxPingsOut(o, PINGS_LOST);
	if (s == NATS_OK)
		s = natsOptions_SetEventLoop(
			o, end, on_attach, on_read, on_write, on_detach);
	if (s == NATS_OK)
		s = natsOptions_SetClosedCB(o, on_closed, end);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(o, on_error, end);
	if (s == NATS_OK && a->tls)
		s = set_tls(o, a);
	return s == NATS_OK ? set_login(o, a, error) : s;
}

static int
fail(struct handoff__nats_end *end, natsStatus s, struct handoff__error *error)
{
	/* a file has told more already */
	if (error->text[0])
		return -EACCES;
	return handoff__fail(error,
		s == NATS_CONNECTION_AUTH_FAILED ? -EACCES : -ENOTCONN,
		"cannot connect to %.120s: %.100s", end->address.hosts,
		last_error(s));
}

static natsStatus
connect_to(struct handoff__nats_link *link, struct handoff__error *error)
{
	natsOptions *o = NULL;
	natsStatus s = natsOptions_Create(&o);

	if (s == NATS_OK)
		s = set_options(o, link->end, error);
	if (s == NATS_OK) {
		handoff__nats_end_ref(link->end); /* until on_closed */
		s = natsConnection_Connect(&link->nc, o);
		if (s != NATS_OK)
			handoff__nats_end_unref(link->end);
	}
	natsOptions_Destroy(o);
	return s;
}

/* Below a prefix of its own, so that a permission for these is one for nobody
 * else's answers. */
static natsStatus
subscribe(struct handoff__nats_link *link)
{
	char subject[HANDOFF__NATS_INBOX_MAX + 2];
	uint64_t random = 0;
	natsStatus s = natsConnection_SubscribeSync(
		&link->live, link->nc, link->end->address.live);

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t)getpid();
	snprintf(link->prefix, sizeof(link->prefix), "_INBOX.handoff.%016llx.",
		(unsigned long long)random);
	snprintf(subject, sizeof(subject), "%s*", link->prefix);
	return s == NATS_OK ? natsConnection_SubscribeSync(
				      &link->inbox, link->nc, subject)
			    : s;
}

int
handoff__nats_link_open(struct handoff__nats_link *link,
	struct handoff__nats_end *end, struct handoff__error *error)
{
	natsStatus s;

	memset(link, 0, sizeof(*link));
	link->end = end;
	error->text[0] = '\0';
	s = connect_to(link, error);
	if (s != NATS_OK)
		return fail(end, s, error);
	s = subscribe(link);
	if (s == NATS_OK)
		return 0;
	fail(end, s, error);
	handoff__nats_link_close(link);
	return -ENOTCONN;
}

/* What is still to be sent; otherwise the library waits for it, and for an
 * answer that nobody would read. */
static void
flush(struct handoff__nats_link *link)
{
	for (int i = 0; i < FLUSH_TRIES; i++) {
		if (natsConnection_Buffered(link->nc) <= 0)
			return;
		natsConnection_ProcessWriteEvent(link->nc);
	}
}

void
handoff__nats_link_close(struct handoff__nats_link *link)
{
	flush(link);
	natsSubscription_Destroy(link->live);
	natsSubscription_Destroy(link->inbox);
	flush(link);
	natsConnection_Destroy(link->nc);
	memset(link, 0, sizeof(*link));
}

static void
handle(struct handoff__nats_link *link, const struct epoll_event *event)
{
	eventfd_t count;

	if (event->data.fd == link->end->wake) {
		eventfd_read(link->end->wake, &count);
		return;
	}
	if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		natsConnection_ProcessReadEvent(link->nc);
	if (event->events & EPOLLOUT)
		natsConnection_ProcessWriteEvent(link->nc);
}

bool
handoff__nats_link_turn(struct handoff__nats_link *link, int timeout_ms,
	struct handoff__error *error)
{
	struct epoll_event events[2];
	const char *text = NULL;
	int n = epoll_wait(link->end->set, events, 2, timeout_ms);

	for (int i = 0; i < n; i++)
		handle(link, &events[i]);
	if (!natsConnection_IsClosed(link->nc))
		return true;
	natsConnection_GetLastError(link->nc, &text);
	handoff__fail(error, -ENOTCONN,
		"the connection to %.120s is lost%s%.80s",
		link->end->address.hosts, text && text[0] ? ": " : "",
		text ? text : "");
	return false;
}

static natsStatus
publish(struct handoff__nats_link *link, const char *subject, const char *reply,
	const void *data, size_t len, int64_t expect)
{
	char number[24];
	natsMsg *msg = NULL;
	natsStatus s = natsMsg_Create(&msg, subject, reply, data, (int)len);

	if (s == NATS_OK && expect >= 0) {
		snprintf(number, sizeof(number), "%lld", (long long)expect);
		s = natsMsgHeader_Set(
			msg, "Nats-Expected-Last-Subject-Sequence", number);
	}
	if (s == NATS_OK)
		s = natsConnection_PublishMsg(link->nc, msg);
	natsMsg_Destroy(msg);
	return s;
}

int
handoff__nats_link_request(struct handoff__nats_link *link, const char *subject,
	const char *suffix, const void *data, size_t len, int64_t expect)
{
	char reply[HANDOFF__NATS_INBOX_MAX + 24];

	snprintf(reply, sizeof(reply), "%s%s", link->prefix, suffix);
	return publish(link, subject, reply, data, len, expect) == NATS_OK
		       ? 0
		       : -EIO;
}
