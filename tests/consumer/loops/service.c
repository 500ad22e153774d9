/* SPDX-License-Identifier: MIT */
/*
 * The peer of each of the three servers. Events go to standard output, a line
 * each, and warnings to standard error. Nothing here is fatal once the peer is
 * open.
 */
#include "service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	const struct service_loop *loop;
	struct handoff_peer *peer;
	struct handoff_entry *listener; /* NULL: it is not ours */
	const char *name;
	const char *host; /* NULL: loopback. A service of other hosts, too */
	uint16_t port;
	int send_buffer;
	bool reads;
	TAILQ_HEAD(echoes, echo) echoes;
	struct echo *coming;            /* taken; its book may follow */
	unsigned taken, mended, closed; /* since the last report */
	size_t unanswered, unsent;      /* that were carried over */
} me;

static void
say(const char *text)
{
	printf("%s: %s\n", me.name, text);
}

/* Notifications to systemd, if it runs this: see sd_notify(3). */
static void
notify(const char *text)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	int fd;

	if (!path || strlen(path) >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, strlen(path));
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			    strlen(path)));
	close(fd);
}

static void
notify_event(enum handoff_peer_event_type type)
{
	char text[64];

	if (type == HANDOFF_PEER_OWNER) {
		snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1",
			(int)getpid());
		notify(text);
	} else if (type == HANDOFF_PEER_STANDBY) {
		notify("READY=1");
	} else if (type == HANDOFF_PEER_STOP) {
		notify("STOPPING=1");
	}
}

static void
warn(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level <= HANDOFF_LOG_WARNING)
		fprintf(stderr, "%s: %s\n", me.name, text);
}

static int
bind_listener(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_port = htons(me.port),
		.sin_addr.s_addr =
			me.host ? inet_addr(me.host) : htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (me.send_buffer > 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &me.send_buffer,
			sizeof(me.send_buffer));
	if (bind(fd, (struct sockaddr *)&sin, len) < 0 ||
		listen(fd, SOMAXCONN) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0) {
		close(fd);
		return -1;
	}
	me.port = ntohs(sin.sin_port);
	return fd;
}

/* This peer serves and nobody has left it a listener. */
static void
open_listener(void)
{
	char address[32], text[64];
	struct handoff_entry_opts opts = {
		.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_LISTENER,
		.fd = bind_listener(),
		.name = address,
	};

	if (opts.fd < 0) {
		warn(HANDOFF_LOG_ERROR, strerror(errno), NULL);
		return;
	}
	snprintf(address, sizeof(address), "%s:%u",
		me.host ? me.host : "127.0.0.1", me.port);
	if (handoff_peer_deposit(me.peer, &me.listener, &opts) < 0) {
		warn(HANDOFF_LOG_ERROR, handoff_peer_errmsg(me.peer), NULL);
		close(opts.fd);
		return;
	}
	me.loop->listen(opts.fd);
	snprintf(text, sizeof(text), "listening on %s", address);
	say(text);
}

/* It never goes another way than its connection; to another host data cannot
 * go, so that there is none then. */
static bool
deposit_book(struct echo *c)
{
	char name[32];
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_DATA,
		.name = name,
		.state = &(struct echo_book){c->read, c->written},
		.len = sizeof(struct echo_book),
		.with = c->entry};

	if (me.host)
		return true;
	snprintf(name, sizeof(name), "book %" PRIu64,
		handoff_entry_id(c->entry));
	return handoff_peer_deposit(me.peer, &c->book, &opts) == 0;
}

static bool
deposit(struct echo *c, int fd)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_CONNECTION,
		.fd = fd,
		.data = c};

	c->peer = me.peer;
	if (handoff_peer_deposit(me.peer, &c->entry, &opts) < 0)
		return false;
	if (deposit_book(c))
		return true;
	handoff_entry_withdraw(c->entry);
	return false;
}

struct echo *
service_accepted(int fd)
{
	struct echo *c = calloc(1, sizeof(*c));

	if (!c || !deposit(c, fd)) {
		service_accept_failed(
			c ? handoff_peer_errmsg(me.peer) : "no memory");
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&me.echoes, c, node);
	echo_note(c);
	return c;
}

void
service_ended(struct echo *c)
{
	TAILQ_REMOVE(&me.echoes, c, node);
	handoff_entry_withdraw(c->book);
	handoff_entry_withdraw(c->entry);
}

void
service_accept_failed(const char *why)
{
	fprintf(stderr, "%s: accept: %s\n", me.name, why);
}

/* A connection has come; its book is the next, if there is one. */
static void
take_connection(struct handoff_entry *entry, int fd)
{
	struct echo *c = calloc(1, sizeof(*c));

	me.taken++;
	if (!c) {
		me.closed++;
		handoff_entry_withdraw(entry);
		close(fd);
		return;
	}
	c->peer = me.peer;
	c->entry = entry;
	c->fd = fd;
	handoff_entry_set_data(entry, c);
	me.coming = c;
}

/* All that there is of it has come. Its owner may have died before the other
 * peer had a copy of the book: then it gets another one. */
static void
resume(struct echo *c)
{
	int mended = echo_resume(c);

	me.coming = NULL;
	me.mended += mended > 0;
	TAILQ_INSERT_TAIL(&me.echoes, c, node);
	if (mended >= 0 && (c->book || deposit_book(c))) {
		/* before more is read */
		echo_note(c);
		if (me.loop->serve(c, c->fd))
			return;
	}
	if (mended == -EBADMSG)
		say("a state and its book differ");
	/* No byte is doubled and none is missing unseen. */
	me.closed++;
	service_ended(c);
	close(c->fd);
	free(c);
}

static void
take_book(struct handoff_entry *entry)
{
	struct echo *c = me.coming;

	if (c && handoff_entry_leader(entry) == c->entry) {
		c->book = entry;
		resume(c);
	} else { /* its connection has ended with its owner */
		handoff_entry_withdraw(entry);
	}
}

static void
take(struct handoff_entry *entry, int fd)
{
	if (handoff_entry_kind(entry) == HANDOFF_ENTRY_LISTENER) {
		me.listener = entry;
		me.loop->listen(fd);
	} else if (handoff_entry_kind(entry) == HANDOFF_ENTRY_DATA) {
		take_book(entry);
	} else {
		take_connection(entry, fd);
	}
}

static void
forsake(struct echo *c)
{
	TAILQ_REMOVE(&me.echoes, c, node);
	me.loop->forsake(c);
}

/* The book has come true with the state. */
static void
release_connection(struct handoff_entry *entry)
{
	const struct echo_state *s;
	size_t len;

	forsake(handoff_entry_data(entry));
	s = handoff_entry_state(entry, &len);
	me.unanswered += s->unanswered;
	me.unsent += s->unsent;
}

static void
release(struct handoff_entry *entry)
{
	if (entry == me.listener) {
		me.listener = NULL;
		me.loop->deafen();
	} else if (handoff_entry_kind(entry) == HANDOFF_ENTRY_CONNECTION) {
		release_connection(entry);
	}
	handoff_entry_release(entry);
}

static void
report(void)
{
	if (me.taken > 0)
		printf("%s: resumed %u, mended %u, closed %u\n", me.name,
			me.taken, me.mended, me.closed);
	if (me.unanswered + me.unsent > 0)
		printf("%s: carried %zu unanswered, %zu unsent\n", me.name,
			me.unanswered, me.unsent);
	me.taken = me.mended = me.closed = 0;
	me.unanswered = me.unsent = 0;
}

bool
service_reads(void)
{
	return me.reads;
}

void
service_loaded(void)
{
	handoff_peer_loading(me.peer, NULL);
}

static bool
is_data(const struct handoff_entry *entry)
{
	return entry && handoff_entry_kind(entry) == HANDOFF_ENTRY_DATA;
}

bool
service_dispatch(void)
{
	const struct handoff_peer_event *event;

	handoff_peer_dispatch(me.peer);
	while (handoff_peer_next(me.peer, &event) > 0) {
		if (me.coming && !is_data(event->entry))
			resume(me.coming);
		if (event->type == HANDOFF_PEER_TAKEN) {
			take(event->entry, event->fd);
			continue;
		}
		if (event->type == HANDOFF_PEER_RELEASE) {
			release(event->entry);
			continue;
		}
		report();
		say(event->text);
		if (event->type == HANDOFF_PEER_OWNER && !me.listener)
			open_listener();
		notify_event(event->type);
		if (event->type == HANDOFF_PEER_STOP)
			return false;
	}
	if (me.coming)
		resume(me.coming);
	return true;
}

void
service_close(void)
{
	while (!TAILQ_EMPTY(&me.echoes))
		forsake(TAILQ_FIRST(&me.echoes));
	if (me.listener)
		me.loop->deafen();
	handoff_peer_free(me.peer);
}

static const struct option options[] = {
	{"dir", required_argument, NULL, 'd'},
	{"name", required_argument, NULL, 'n'},
	{"host", required_argument, NULL, 'h'},
	{"port", required_argument, NULL, 'p'},
	{"send-buffer", required_argument, NULL, 's'},
	{"read", no_argument, NULL, 'r'},
	{"loading", required_argument, NULL, 'l'},
	{NULL, 0, NULL, 0},
};

struct handoff_peer *
service_open(int argc, char **argv, const struct service_loop *loop)
{
	char why[HANDOFF_TEXT_MAX];
	struct handoff_peer_opts opts = {.size = sizeof(opts),
		.name = loop->name,
		.service = "echo",
		.state_version = ECHO_VERSION,
		.state_size = sizeof(struct echo_state),
		.may_own = true,
		.give_timeout_ms = 2000,
		.log = warn,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			opts.dir = optarg;
		else if (c == 'n')
			opts.name = optarg;
		else if (c == 'h')
			me.host = optarg;
		else if (c == 'p')
			me.port = (uint16_t)atoi(optarg);
		else if (c == 's')
			me.send_buffer = atoi(optarg);
		else if (c == 'r')
			me.reads = true;
		else if (c == 'l')
			opts.loading = optarg;
		else
			exit(2);
	}
	TAILQ_INIT(&me.echoes);
	me.loop = loop;
	me.name = opts.name;
	if (handoff_peer_open(&me.peer, &opts) < 0) {
		fprintf(stderr, "%s: %s\n", me.name, why);
		exit(1);
	}
	return me.peer;
}
