/* SPDX-License-Identifier: MIT */
/*
 * keyvalue: a data server with a loop and buffers of its own, whose standby
 * follows its log. A command, its line of the log and its answer come true in
 * one step. docs/restart.md explains it.
 *
 *   keyvalue DIR NAME PORT LOG
 *
 * Commands, a line each: set KEY VALUE, add KEY NUMBER, get KEY.
 */
#include "store.h"

#include <handoff.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX       1000 /* descriptors */
#define FOLLOW_MS 20   /* how often the standby looks at the log */

/* All that a connection's code remembers between two events. */
struct state {
	uint64_t read, written; /* positions in the stream */
	uint32_t part;          /* of a command that has come */
	uint32_t sent, unsent;  /* of the answer */
	char command[STORE_LINE], answer[STORE_LINE];
};

static struct handoff_peer *peer;
static struct handoff_entry *log_entry; /* its state is where the log ends;
					 * NULL: the log is not ours */
static struct handoff_entry *entries[MAX];
static struct pollfd fds[MAX]; /* the peer's, then one for each entry */
static nfds_t n = 1;
static bool listening;

static void
add(struct handoff_entry *entry, int fd)
{
	listening |= handoff_entry_kind(entry) == HANDOFF_ENTRY_LISTENER;
	fds[n] = (struct pollfd){.fd = fd, .events = POLLIN | POLLOUT};
	entries[n++] = entry;
}

static void
drop(nfds_t i)
{
	close(fds[i].fd);
	fds[i] = fds[--n];
	entries[i] = entries[n];
}

static struct handoff_entry *
deposit(enum handoff_entry_kind kind, int fd, const void *state, size_t len)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = kind,
		.fd = fd,
		.name = kind == HANDOFF_ENTRY_DATA ? "log" : NULL,
		.state = state,
		.len = len};
	struct handoff_entry *entry = NULL;

	if (n == MAX || handoff_peer_deposit(peer, &entry, &opts) < 0)
		close(fd);
	else if (kind != HANDOFF_ENTRY_DATA)
		add(entry, fd);
	return entry;
}

static void
own_log(struct handoff_entry *entry)
{
	size_t len;
	const uint64_t *end = handoff_entry_state(entry, &len);

	if (len != sizeof(*end) || !store_own(*end)) {
		fprintf(stderr, "the log is damaged\n");
		exit(1);
	}
	log_entry = entry;
}

/* This peer serves, and no other one has left it these. */
static void
open_log(void)
{
	uint64_t end = store_end();
	struct handoff_entry *entry =
		deposit(HANDOFF_ENTRY_DATA, -1, &end, sizeof(end));

	if (entry)
		own_log(entry);
}

static void
open_listener(int port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&sin, len) < 0 ||
		listen(fd, SOMAXCONN) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0 ||
		!deposit(HANDOFF_ENTRY_LISTENER, fd, NULL, 0))
		perror("listener");
	else
		printf("listening on 127.0.0.1:%u\n", ntohs(sin.sin_port));
}

/* Makes three things true at once: the command is taken, the log is longer, and
 * there is an answer to send. */
static bool
commit(struct handoff_entry *entry, const char *change)
{
	uint64_t end = change[0] != '\0' ? store_write(change) : 0;
	struct handoff_change both[] = {
		{.entry = entry, .len = sizeof(struct state)},
		{.entry = log_entry, .state = &end, .len = sizeof(end)}};

	if (change[0] == '\0')
		return handoff_peer_commit(peer, both, 1, sizeof(both[0])) == 0;
	if (end == 0 || handoff_peer_commit(peer, both, 2, sizeof(both[0])) < 0)
		return false;
	store_apply(change);
	return true;
}

/* Peek, commit, consume. False: the connection ends. */
static bool
receive(struct handoff_entry *entry, struct state *s)
{
	char change[STORE_LINE] = "", *at = s->command + s->part, *newline;
	size_t len, room = sizeof(s->command) - s->part;
	int rc = handoff_entry_peek(entry, at, room, &len);

	if (rc <= 0 || len == 0)
		return rc == 0 && room > 0;
	newline = memchr(at, '\n', len);
	if (newline)
		len = (size_t)(newline + 1 - at);
	s->read += len;
	s->part += (uint32_t)len;
	if (newline) {
		*newline = '\0';
		store_execute(s->command, s->answer, change);
		s->unsent = (uint32_t)strlen(s->answer);
		s->sent = s->part = 0;
	}
	return commit(entry, change) && handoff_entry_consume(entry, len) == 0;
}

/* Send, commit. */
static bool
answer(struct handoff_entry *entry, struct pollfd *p)
{
	struct state *s = handoff_entry_edit(entry);
	ssize_t len = 0;

	if (s->unsent > 0)
		len = send(p->fd, s->answer + s->sent, s->unsent,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	if (len < 0 && errno != EAGAIN)
		return false;
	if (len > 0) {
		s->sent += (uint32_t)len;
		s->unsent -= (uint32_t)len;
		s->written += (uint64_t)len;
		handoff_entry_commit(entry, sizeof(*s));
	}
	p->events = s->unsent > 0 ? POLLOUT : POLLIN;
	return true;
}

static bool
turn(struct handoff_entry *entry, struct pollfd *p)
{
	struct state *s = handoff_entry_edit(entry);

	return (s->unsent > 0 || receive(entry, s)) && answer(entry, p);
}

/* What an owner did last before its death is not in the state. */
static bool
mend(struct handoff_entry *entry)
{
	struct state *s = handoff_entry_edit(entry);
	size_t sent;

	if (handoff_entry_mend(entry, s->read, s->written, s->unsent, &sent) <
		0)
		return false;
	s->sent += (uint32_t)sent;
	s->unsent -= (uint32_t)sent;
	s->written += sent;
	return handoff_entry_commit(entry, sizeof(*s)) == 0;
}

static void
take(struct handoff_entry *entry, int fd)
{
	if (handoff_entry_kind(entry) == HANDOFF_ENTRY_DATA) {
		own_log(entry);
	} else if (n < MAX &&
		   (handoff_entry_kind(entry) == HANDOFF_ENTRY_LISTENER ||
			   mend(entry))) {
		add(entry, fd);
	} else {
		handoff_entry_withdraw(entry);
		close(fd);
	}
}

/* All that must outlive the process is in its state at any time. */
static void
release(struct handoff_entry *entry)
{
	nfds_t i = 1;

	if (entry == log_entry) {
		log_entry = NULL;
	} else {
		while (entries[i] != entry)
			i++;
		drop(i);
		listening &=
			handoff_entry_kind(entry) != HANDOFF_ENTRY_LISTENER;
	}
	handoff_entry_release(entry);
}

static bool
obey(int port)
{
	const struct handoff_peer_event *event;

	handoff_peer_dispatch(peer);
	while (handoff_peer_next(peer, &event) == 1) {
		if (event->type == HANDOFF_PEER_TAKEN)
			take(event->entry, event->fd);
		else if (event->type == HANDOFF_PEER_RELEASE)
			release(event->entry);
		else
			printf("%s\n", event->text);
		if (event->type == HANDOFF_PEER_OWNER && !log_entry)
			open_log();
		if (event->type == HANDOFF_PEER_OWNER && !listening)
			open_listener(port);
		if (event->type == HANDOFF_PEER_STOP)
			return false;
	}
	return true;
}

static void
serve(nfds_t i)
{
	int fd;

	if (handoff_entry_kind(entries[i]) == HANDOFF_ENTRY_LISTENER) {
		fd = accept4(
			fds[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			deposit(HANDOFF_ENTRY_CONNECTION, fd,
				&(struct state){0}, sizeof(struct state));
	} else if (!turn(entries[i], &fds[i])) {
		handoff_entry_withdraw(entries[i]);
		drop(i);
	}
}

/* Without the log nothing can be served, and the peer's descriptor is all there
 * is to wait for. */
static void
stand_by(void)
{
	bool all = store_follow();

	if (all)
		handoff_peer_loading(peer, NULL);
	poll(fds, 1, all ? FOLLOW_MS : 0);
}

static void
serve_all(void)
{
	for (nfds_t i = n - 1; i > 0; i--) {
		if (fds[i].revents != 0)
			serve(i);
	}
	poll(fds, n, -1);
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX];
	struct handoff_peer_opts opts = {.size = sizeof(opts),
		.service = "keyvalue",
		.state_version = 1,
		.state_size = sizeof(struct state),
		.may_own = true,
		.loading = "reads the log",
		.whole = true, /* no connection is without the log */
		.errbuf = why,
		.errbuf_size = sizeof(why)};

	if (argc != 5 || !store_open(argv[4])) {
		fprintf(stderr, "usage: keyvalue DIR NAME PORT LOG\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	opts.dir = argv[1];
	opts.name = argv[2];
	if (handoff_peer_open(&peer, &opts) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	fds[0] = (struct pollfd){handoff_peer_fd(peer), POLLIN, 0};
	do {
		if (log_entry)
			serve_all();
		else
			stand_by();
	} while (fds[0].revents == 0 || obey(atoi(argv[3])));
	handoff_peer_free(peer);
	return 0;
}
