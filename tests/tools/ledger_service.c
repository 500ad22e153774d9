/* SPDX-License-Identifier: MIT */
/*
 * A data server with a loop of its own: it numbers lines. For each line it
 * answers "<count> <total>", the number of lines of this connection and that of
 * all lines of the service ever, which is in an entry of data. Both become true
 * with the answer, by one commit. Prints the events of its peer.
 */
#include <handoff.h>

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX       64
#define REPLY_MAX 48 /* of two numbers, a space and a newline */

/* Of a connection. */
struct state {
	uint64_t read, written; /* positions in the stream */
	uint64_t count;
	uint64_t unsent;
	char out[4096];
};

enum { PEER, LISTENER, FIRST };

static struct handoff_peer *peer;
static struct handoff_entry *listener, *ledger;
static struct handoff_entry *entries[MAX];
static struct pollfd fds[MAX];
static nfds_t n = FIRST;
static const char *name;

/* A place in the midst of a turn, for tests that end the process there; NULL
 * unless a preloaded library has it. */
static void (*point)(void);

static void
pass_point(void)
{
	if (point)
		point();
}

static size_t
size_of(const struct state *s)
{
	return offsetof(struct state, out) + s->unsent;
}

static void
drop(nfds_t i)
{
	close(fds[i].fd);
	n--;
	fds[i] = fds[n];
	entries[i] = entries[n];
}

/* Answers what there is room for; returns the bytes of the lines. */
static size_t
answer_lines(struct state *s, uint64_t *total, const char *in, size_t len)
{
	size_t used = 0;
	const char *end;

	while (sizeof(s->out) - s->unsent >= REPLY_MAX &&
		(end = memchr(in + used, '\n', len - used))) {
		used = (size_t)(end + 1 - in);
		s->count++;
		++*total;
		s->unsent += (size_t)snprintf(s->out + s->unsent, REPLY_MAX,
			"%" PRIu64 " %" PRIu64 "\n", s->count, *total);
	}
	return used;
}

/* Peek, commit, consume. False: the connection is over. */
static bool
receive(struct handoff_entry *entry)
{
	char in[512];
	size_t len, used;
	struct state *s;
	uint64_t total;
	int got = handoff_entry_peek(entry, in, sizeof(in), &len);

	if (got <= 0 || len == 0)
		return got == 0;
	s = handoff_entry_edit(entry);
	memcpy(&total, handoff_entry_state(ledger, &(size_t){0}),
		sizeof(total));
	used = answer_lines(s, &total, in, len);
	if (used == 0)
		return true;
	s->read += used;
	pass_point();
	if (handoff_peer_commit(peer,
		    (struct handoff_change[]){{entry, NULL, size_of(s)},
			    {ledger, &total, sizeof(total)}},
		    2, sizeof(struct handoff_change)) < 0) {
		fprintf(stderr, "%s: %s\n", name, handoff_peer_errmsg(peer));
		return false;
	}
	pass_point();
	return handoff_entry_consume(entry, used) == 0;
}

static void
skip(struct state *s, size_t sent)
{
	s->written += sent;
	s->unsent -= sent;
	memmove(s->out, s->out + sent, (size_t)s->unsent);
}

static bool
turn(nfds_t i)
{
	size_t len;
	const struct state *now = handoff_entry_state(entries[i], &len);
	ssize_t sent = 0;

	if (now->unsent == 0 && !receive(entries[i]))
		return false;
	now = handoff_entry_state(entries[i], &len);
	if (now->unsent > 0)
		sent = send(fds[i].fd, now->out, (size_t)now->unsent,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent > 0) {
		struct state *s = handoff_entry_edit(entries[i]);

		skip(s, (size_t)sent);
		handoff_entry_commit(entries[i], size_of(s));
	}
	now = handoff_entry_state(entries[i], &len);
	fds[i].events = now->unsent > 0 ? POLLOUT : POLLIN;
	return true;
}

static struct handoff_entry *
deposit(enum handoff_entry_kind kind, const char *entry_name, int fd,
	const void *state, size_t len)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = kind,
		.name = entry_name,
		.fd = fd,
		.state = state,
		.len = len};
	struct handoff_entry *entry;

	if (handoff_peer_deposit(peer, &entry, &opts) == 0)
		return entry;
	fprintf(stderr, "%s: %s\n", name, handoff_peer_errmsg(peer));
	exit(1);
}

/* The first owner there is. */
static void
begin(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (bind(fd, (struct sockaddr *)&sin, len) < 0 || listen(fd, MAX) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		exit(1);
	ledger = deposit(HANDOFF_ENTRY_DATA, "ledger", -1, &(uint64_t){0},
		sizeof(uint64_t));
	listener = deposit(HANDOFF_ENTRY_LISTENER, "", fd, NULL, 0);
	fds[LISTENER].fd = fd;
	printf("%s: listening on 127.0.0.1:%u\n", name, ntohs(sin.sin_port));
}

static void
serve(struct handoff_entry *entry, int fd)
{
	fds[n] = (struct pollfd){.fd = fd, .events = POLLIN};
	entries[n++] = entry;
}

/* What the dead owner had committed and not consumed, or sent and not
 * committed. */
static void
mend(struct handoff_entry *entry)
{
	struct state *s = handoff_entry_edit(entry);
	size_t sent = 0;
	int err = handoff_entry_mend(
		entry, s->read, s->written, (size_t)s->unsent, &sent);

	if (err < 0)
		fprintf(stderr, "%s: mend: %s\n", name, strerror(-err));
	skip(s, sent);
	handoff_entry_commit(entry, size_of(s));
}

static void
take(struct handoff_entry *entry, int fd)
{
	if (handoff_entry_kind(entry) == HANDOFF_ENTRY_LISTENER) {
		listener = entry;
		fds[LISTENER].fd = fd;
	} else if (handoff_entry_kind(entry) == HANDOFF_ENTRY_DATA) {
		ledger = entry;
	} else {
		mend(entry);
		serve(entry, fd);
		fds[n - 1].events |= POLLOUT; /* there may be some unsent */
	}
}

static void
release(struct handoff_entry *entry)
{
	nfds_t i = FIRST;

	if (entry == listener) {
		listener = NULL;
		close(fds[LISTENER].fd);
		fds[LISTENER].fd = -1;
	} else if (entry == ledger) {
		ledger = NULL;
	} else {
		while (entries[i] != entry)
			i++;
		drop(i);
	}
	handoff_entry_release(entry);
}

/* False: the end. */
static bool
obey(void)
{
	const struct handoff_peer_event *event;

	handoff_peer_dispatch(peer);
	while (handoff_peer_next(peer, &event) == 1) {
		if (event->type == HANDOFF_PEER_TAKEN) {
			take(event->entry, event->fd);
			continue;
		}
		if (event->type == HANDOFF_PEER_RELEASE) {
			release(event->entry);
			continue;
		}
		printf("%s: %s\n", name, event->text);
		if (event->type == HANDOFF_PEER_OWNER &&
			!handoff_peer_find(peer, "ledger"))
			begin();
		if (event->type == HANDOFF_PEER_STOP)
			return false;
	}
	return true;
}

static void
welcome(void)
{
	struct state s = {.read = 0};
	int fd = accept4(
		fds[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && n < MAX)
		serve(deposit(HANDOFF_ENTRY_CONNECTION, "", fd, &s,
			      size_of(&s)),
			fd);
}

static void
run(void)
{
	fds[PEER] =
		(struct pollfd){.fd = handoff_peer_fd(peer), .events = POLLIN};
	fds[LISTENER] = (struct pollfd){.fd = -1, .events = POLLIN};
	while (poll(fds, n, -1) > 0) {
		for (nfds_t i = n; i-- > FIRST;) {
			if (fds[i].revents && !turn(i)) {
				handoff_entry_withdraw(entries[i]);
				drop(i);
			}
		}
		if (fds[LISTENER].fd >= 0 && fds[LISTENER].revents)
			welcome();
		if (fds[PEER].revents && !obey())
			return;
	}
}

static void
warn(enum handoff_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level <= HANDOFF_LOG_WARNING)
		fprintf(stderr, "%s: %s\n", name, text);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},
		{"name", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_peer_opts opts = {.size = sizeof(opts),
		.service = "ledger",
		.state_version = 1,
		.state_size = sizeof(struct state),
		.may_own = true,
		.log = warn,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	void *found = dlsym(RTLD_DEFAULT, "killat_point");
	int c;

	memcpy(&point, &found, sizeof(point));
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			opts.dir = optarg;
		else if (c == 'n')
			opts.name = name = optarg;
		else
			return 2;
	}
	if (handoff_peer_open(&peer, &opts) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	run();
	handoff_peer_free(peer);
	return 0;
}
