/* SPDX-License-Identifier: MIT */
/*
 * An echo server on plain poll(2) that hands over its connections. It notes
 * input before it takes it from the kernel, or lets the library keep what it
 * reads (--read), and notes output before it sends it: a death loses nothing.
 */
#include "service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER, LISTENER, LOADED, FIRST };

static struct pollfd
	*fds; /* the peer, the listener, the signal, the connections */
static struct echo **conns; /* beside them */
static size_t n = FIRST, room;
static int timeout_ms = -1;

static void
want(size_t i)
{
	const struct echo *c = conns[i];

	fds[i].events = 0;
	if (!c->eof && c->unanswered < ECHO_IN)
		fds[i].events |= POLLIN;
	if (c->unanswered + c->unsent > 0)
		fds[i].events |= POLLOUT;
}

static void
listen_to(int fd)
{
	fds[LISTENER] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void
deafen(void)
{
	close(fds[LISTENER].fd);
	fds[LISTENER].fd = -1;
}

static bool
grow(void)
{
	size_t more = room ? 2 * room : 64;
	struct pollfd *f = realloc(fds, more * sizeof(*f));
	struct echo **c;

	if (!f)
		return false;
	fds = f;
	c = realloc(conns, more * sizeof(*c));
	if (!c)
		return false;
	conns = c;
	room = more;
	return true;
}

static bool
serve(struct echo *c, int fd)
{
	if (n == room && !grow())
		return false;
	fds[n] = (struct pollfd){.fd = fd};
	conns[n] = c;
	want(n++);
	return true;
}

/* The last one takes its place. */
static void
drop(size_t i)
{
	close(fds[i].fd);
	free(conns[i]);
	n--;
	fds[i] = fds[n];
	conns[i] = conns[n];
	fds[LISTENER].events = POLLIN;
}

static void
forsake(struct echo *c)
{
	size_t i = FIRST;

	while (conns[i] != c)
		i++;
	echo_note(c);
	drop(i);
}

/* Peek, note, consume; or read and note. False: the connection is over. */
static bool
receive(struct echo *c)
{
	size_t len, most = ECHO_IN - c->unanswered;
	unsigned char *at = c->in + c->unanswered;
	int got =
		service_reads()
			? handoff_entry_read(c->entry, c->read, at, most, &len)
			: handoff_entry_peek(c->entry, at, most, &len);

	if (got <= 0)
		return got == 0;
	c->eof = len == 0;
	echo_received(c, len);
	echo_note(c);
	return service_reads() || handoff_entry_consume(c->entry, len) == 0;
}

/* Note, then send. */
static bool
answer(struct echo *c, int fd)
{
	ssize_t len;

	if (echo_answer(c))
		echo_note(c);
	len = send(fd, c->out, c->unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (len < 0)
		return errno == EAGAIN || errno == EINTR;
	echo_sent(c, (size_t)len);
	return true;
}

static void
turn(size_t i)
{
	struct echo *c = conns[i];
	bool lives = true;

	if (fds[i].revents & (POLLHUP | POLLERR))
		lives = false; /* of no use in either direction */
	else if (fds[i].revents & POLLIN)
		lives = receive(c);
	if (lives && c->unanswered + c->unsent > 0)
		lives = answer(c, fds[i].fd);
	if (lives && (!c->eof || c->unanswered + c->unsent > 0)) {
		want(i);
		return;
	}
	service_ended(c);
	drop(i);
}

static void
welcome(void)
{
	int fd = accept4(
		fds[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		struct echo *c = service_accepted(fd);

		if (c && serve(c, fd))
			return;
		if (c)
			service_ended(c);
		close(fd);
		free(c);
	} else if (errno == EMFILE || errno == ENFILE) {
		/* It stays readable: do not look for a while. */
		service_accept_failed(strerror(errno));
		fds[LISTENER].events = 0;
		timeout_ms = 100;
	}
}

/* A descriptor for the signal. */
static int
watch_signal(void)
{
	sigset_t usr1;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	return signalfd(-1, &usr1, SFD_CLOEXEC);
}

static void
on_signal(void)
{
	struct signalfd_siginfo info;

	if (read(fds[LOADED].fd, &info, sizeof(info)) == sizeof(info))
		service_loaded();
}

int
main(int argc, char **argv)
{
	static const struct service_loop loop = {
		"poll", listen_to, deafen, serve, forsake};
	struct handoff_peer *peer = service_open(argc, argv, &loop);
	bool going = grow();

	fds[PEER] =
		(struct pollfd){.fd = handoff_peer_fd(peer), .events = POLLIN};
	fds[LISTENER].fd = -1;
	fds[LOADED] = (struct pollfd){.fd = watch_signal(), .events = POLLIN};
	while (going) {
		int got = poll(fds, n, timeout_ms);

		if (got == 0) {
			fds[LISTENER].events = POLLIN;
			timeout_ms = -1;
		}
		for (size_t i = n; got > 0 && i-- > FIRST;) {
			if (fds[i].revents)
				turn(i);
		}
		if (got > 0 && fds[LISTENER].fd >= 0 && fds[LISTENER].revents)
			welcome();
		if (got > 0 && fds[LOADED].revents)
			on_signal();
		if (got > 0 && fds[PEER].revents)
			going = service_dispatch();
	}
	service_close();
	close(fds[LOADED].fd);
	free(fds);
	free(conns);
	return 0;
}
