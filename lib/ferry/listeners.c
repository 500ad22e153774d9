/* SPDX-License-Identifier: MIT */
/*
 * Listeners are not carried to another host: it is told where they listen, and
 * opens there what its server does not cover. Here they are emptied and closed
 * when all is moved.
 */
#include "ferry/listeners.h"

#include "base/addr.h"
#include "base/high.h"
#include "ferry/carrier.h"
#include "ferry/commons.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

#define STATE_LISTEN 10 /* TCP_LISTEN of the kernel */

static int
option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 ? value : 0;
}

int
handoff__listener_describe(int fd, struct handoff__letter_listener *l)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	const struct sockaddr_in6 *six = (const void *)&sa;
	const struct sockaddr_in *four = (const void *)&sa;
	struct tcp_info info = {.tcpi_state = 0};
	socklen_t len = sizeof(sa), info_len = sizeof(info);

	memset(l, 0, sizeof(*l));
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len) < 0 ||
		info.tcpi_state != STATE_LISTEN)
		return -EAFNOSUPPORT;
	if (sa.ss_family == AF_INET) {
		l->family = 4;
		l->port = ntohs(four->sin_port);
		memcpy(l->ip, &four->sin_addr, 4);
	} else if (sa.ss_family == AF_INET6) {
		l->family = 6;
		l->port = ntohs(six->sin6_port);
		memcpy(l->ip, &six->sin6_addr, 16);
		if (option(fd, IPPROTO_IPV6, IPV6_V6ONLY))
			l->flags |= HANDOFF__LETTER_V6ONLY;
	} else {
		return -EAFNOSUPPORT;
	}
	if (option(fd, SOL_SOCKET, SO_REUSEPORT))
		l->flags |= HANDOFF__LETTER_REUSEPORT;
	l->backlog = info.tcpi_sacked; /* of a listener: its backlog */
	return 0;
}

static bool
is_any(const struct handoff__letter_listener *l)
{
	static const uint8_t zero[16];

	return memcmp(l->ip, zero, l->family == 4 ? 4 : 16) == 0;
}

bool
handoff__listener_covers(const struct handoff__letter_listener *there,
	const struct handoff__letter_listener *wanted)
{
	if (there->port != wanted->port)
		return false;
	if (there->family == wanted->family)
		return is_any(there)
			       ? !is_any(wanted) ||
					 !(there->flags &
						 HANDOFF__LETTER_V6ONLY) ||
					 wanted->flags & HANDOFF__LETTER_V6ONLY
			       : memcmp(there->ip, wanted->ip, 16) == 0;
	return there->family == 6 && is_any(there) &&
	       !(there->flags & HANDOFF__LETTER_V6ONLY);
}

static socklen_t
address_of(
	const struct handoff__letter_listener *l, struct sockaddr_storage *sa)
{
	struct sockaddr_in6 *six = (void *)sa;
	struct sockaddr_in *four = (void *)sa;

	memset(sa, 0, sizeof(*sa));
	if (l->family == 4) {
		four->sin_family = AF_INET;
		four->sin_port = htons(l->port);
		memcpy(&four->sin_addr, l->ip, 4);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(l->port);
	memcpy(&six->sin6_addr, l->ip, 16);
	return sizeof(*six);
}

/* Whether the service's clients can reach it. */
static bool
is_reached(const struct handoff__ferry *ferry,
	const struct handoff__letter_listener *l)
{
	struct sockaddr_storage sa;

	address_of(l, &sa);
	return is_any(l) ||
	       handoff__prefix_holds(ferry->prefixes, ferry->nprefixes,
		       (const struct sockaddr *)&sa);
}

void
handoff__listeners_describe(
	struct handoff__ferry *ferry, struct handoff__letter_begin *begin)
{
	struct handoff__roster *roster = &ferry->pair.roster;
	struct handoff__roster_entry *e = NULL;

	begin->nlisteners = 0;
	while ((e = handoff__roster_next(roster, e))) {
		struct handoff__letter_listener *l =
			&begin->listeners[begin->nlisteners];

		if (begin->nlisteners == HANDOFF__LETTER_LISTENERS)
			return;
		if (e->kind != HANDOFF__LISTENER || e->fd < 0 ||
			handoff__listener_describe(e->fd, l) < 0 ||
			!is_reached(ferry, l))
			continue;
		if (handoff__record_name(&e->view, l->label) < 0)
			l->label[0] = '\0';
		begin->nlisteners++;
	}
}

/* Whether a socket of this host, which the server or this ferry has, listens
 * there already. */
static bool
is_covered(struct handoff__ferry *ferry,
	const struct handoff__letter_listener *wanted)
{
	struct handoff__roster_entry *e = NULL;
	struct handoff__letter_listener there;

	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->kind == HANDOFF__LISTENER && e->fd >= 0 &&
			handoff__listener_describe(e->fd, &there) == 0 &&
			handoff__listener_covers(&there, wanted))
			return true;
	}
	return false;
}

static int
make_socket(const struct handoff__letter_listener *l)
{
	struct sockaddr_storage sa;
	socklen_t len = address_of(l, &sa);
	int six = l->flags & HANDOFF__LETTER_V6ONLY ? 1 : 0, on = 1;
	int backlog = l->backlog > 0 && l->backlog < 1u << 20 ? (int)l->backlog
							      : SOMAXCONN;
	int fd = socket(
		sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool ok;

	if (fd < 0)
		return -errno;
	ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	     (l->family == 4 ? setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on,
				       sizeof(on)) == 0
			     : setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six,
				       sizeof(six)) == 0 &&
				       setsockopt(fd, IPPROTO_IPV6,
					       IPV6_FREEBIND, &on,
					       sizeof(on)) == 0);
	/* accepted sockets inherit it; see lib/base/addr.c */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (ok && l->flags & HANDOFF__LETTER_REUSEPORT)
		ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on,
			     sizeof(on)) == 0;
	if (ok && bind(fd, (struct sockaddr *)&sa, len) == 0 &&
		listen(fd, backlog) == 0)
		return handoff__high_raise(fd);
	on = errno;
	close(fd);
	return -on;
}

/* The oldest make room: those were closed with an earlier move. */
static void
note_lent(struct handoff__ferry *ferry, uint64_t id)
{
	struct handoff__taker *taker = &ferry->taker;

	if (taker->nlent == HANDOFF__LETTER_LISTENERS)
		memmove(taker->lent, taker->lent + 1,
			--taker->nlent * sizeof(taker->lent[0]));
	taker->lent[taker->nlent++] = id;
}

int
handoff__listeners_open(
	struct handoff__ferry *ferry, const struct handoff__letter_begin *begin)
{
	int opened = 0, err = 0;

	for (uint32_t i = 0; i < begin->nlisteners; i++) {
		const struct handoff__letter_listener *l = &begin->listeners[i];
		struct handoff__roster_entry *e = NULL;
		int fd;

		if (!is_reached(ferry, l))
			return handoff__fail(&ferry->error, -EPERM,
				"listener %s is on none of the addresses of "
				"--address there",
				l->label);
		if (is_covered(ferry, l))
			continue;
		fd = make_socket(l);
		err = fd < 0 ? fd : 0;
		if (fd >= 0)
			e = handoff__pair_enter(&ferry->pair, fd,
				HANDOFF__LISTENER, l->label, &err);
		if (!e)
			return handoff__fail(&ferry->error, err,
				"cannot listen on %s there: %s", l->label,
				strerror(-err));
		note_lent(ferry, e->id);
		opened++;
	}
	ferry->taker.lends = true;
	return opened;
}

bool
handoff__listener_is_lent(const struct handoff__ferry *ferry,
	const struct handoff__roster_entry *e)
{
	struct handoff__letter_listener l;

	for (uint32_t i = 0; i < ferry->taker.nlent; i++) {
		if (ferry->taker.lent[i] == e->id)
			return true;
	}
	return e->fd >= 0 && handoff__listener_describe(e->fd, &l) == 0 &&
	       !is_any(&l) && is_reached(ferry, &l);
}

static bool
is_own_listener(const struct handoff__roster_entry *e)
{
	struct handoff__letter_listener l;

	return e->mine && e->kind == HANDOFF__LISTENER && e->fd >= 0 &&
	       handoff__listener_describe(e->fd, &l) == 0;
}

/* As a server notes it when it accepts. */
static void
note_arrival(struct handoff__record *rec, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *six = (const void *)ss;
	const struct sockaddr_in *four = (const void *)ss;
	struct handoff__client *client = &rec->extra.client;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	atomic_store_explicit(&rec->extra.since_ms,
		(int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		memory_order_relaxed);
	memset(client, 0, sizeof(*client));
	if (ss->ss_family == AF_INET) {
		client->family = 4;
		client->port = four->sin_port;
		memcpy(client->ip, &four->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6 &&
		   IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		client->family = 4;
		client->port = six->sin6_port;
		memcpy(client->ip, six->sin6_addr.s6_addr + 12, 4);
	} else if (ss->ss_family == AF_INET6) {
		client->family = 6;
		client->port = six->sin6_port;
		memcpy(client->ip, &six->sin6_addr, 16);
	}
}

static uint32_t
accept_from(struct handoff__ferry *ferry, int listener)
{
	uint32_t count = 0;

	for (;;) {
		struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
		socklen_t len = sizeof(ss);
		struct handoff__roster_entry *e;
		int err, fd = accept4(listener, (struct sockaddr *)&ss, &len,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return count;
		e = handoff__pair_enter(&ferry->pair, handoff__high_raise(fd),
			HANDOFF__CONNECTION, NULL, &err);
		if (!e) {
			handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
				"accept: a connection was closed: %s",
				strerror(-err));
			continue;
		}
		note_arrival(e->view.rec, &ss);
		/* the service may greet */
		handoff__record_mark(e->view.rec, HANDOFF__PENDING);
		count++;
	}
}

uint32_t
handoff__listeners_accept(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (is_own_listener(e))
			count += accept_from(ferry, e->fd);
	}
	return count;
}

/* What the service's addresses do not reach stays, unless a shared region has
 * left, with which it would be served. So does one on all addresses that was
 * here before the service came; unless this ferry does not know that since
 * another one has received it. */
static bool
stays(const struct handoff__ferry *ferry, const struct handoff__roster_entry *e)
{
	struct handoff__letter_listener l;

	if (handoff__commons_size(ferry) > 0)
		return false;
	if (handoff__listener_describe(e->fd, &l) < 0 || !is_reached(ferry, &l))
		return true;
	return is_any(&l) && ferry->guest && ferry->taker.lends &&
	       !handoff__listener_is_lent(ferry, e);
}

uint32_t
handoff__listeners_close(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (!is_own_listener(e) || stays(ferry, e))
			continue;
		/* others have copies: it listens no more for any of them */
		shutdown(e->fd, SHUT_RDWR);
		handoff__pair_end(&ferry->pair, e);
		count++;
	}
	return count;
}

uint32_t
handoff__listeners_ports(
	struct handoff__ferry *ferry, uint16_t *ports, uint32_t max)
{
	struct handoff__roster_entry *e = NULL;
	struct handoff__letter_listener l;
	uint32_t n = 0;

	while (n < max && (e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->kind == HANDOFF__LISTENER && e->fd >= 0 &&
			handoff__listener_describe(e->fd, &l) == 0)
			ports[n++] = l.port;
	}
	return n;
}
