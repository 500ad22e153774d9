/* SPDX-License-Identifier: MIT */
/*
 * The transport "unix:": a datagram socket per subscriber, whose name is its
 * registration: the kernel refuses what is sent to the name of a socket that is
 * closed. Does not interpret messages.
 *
 * A socket holds max_dgram_qlen messages and drops none for newer ones. So a
 * subscriber that has emptied one which may have been full fetches the retained
 * notice, which is as new as any that did not fit.
 */
#include "notice/local.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct datagram {
	struct handoff__mailbox box;
	char name[HANDOFF__SUBSCRIBER_MAX];
	struct handoff__inode inode; /* of the socket's name */
	int sock;
	int epfd; /* with the socket in it, which may have to be replaced */
	unsigned holds; /* messages that fit for certain */
	unsigned taken; /* since it was empty */
};

/* net/unix/sysctl_net_unix.c; 0 if it cannot be read, which is on the safe
 * side. */
static unsigned
queue_length(void)
{
	char text[16] = "";
	int fd =
		open("/proc/sys/net/unix/max_dgram_qlen", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* Binds to a name that publishers ignore: between the creation of the name and
 * that of its socket, the kernel refuses as if the socket were closed. */
static int
bind_hidden(struct datagram *d, const struct handoff__dir *folder, int sock)
{
	char hidden[HANDOFF__SUBSCRIBER_MAX + 1];
	struct sockaddr_un sun;
	int err;

	snprintf(hidden, sizeof(hidden), ".%s", d->name);
	err = handoff__dir_sockaddr(folder, hidden, &sun);
	if (err < 0)
		return err;
	if (bind(sock, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return errno == EADDRINUSE ? -EAGAIN : -errno;
	if (fchmodat(folder->fd, hidden, 0600, 0) == 0 &&
		handoff__dir_note(folder, hidden, &d->inode) == 0 &&
		renameat(folder->fd, hidden, folder->fd, d->name) == 0)
		return 0;
	/* a publisher may have found it before it was a socket */
	err = errno == ENOENT ? -EAGAIN : -errno;
	unlinkat(folder->fd, hidden, 0);
	return err;
}

static int
watch(const struct datagram *d, int sock)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(d->epfd, EPOLL_CTL_ADD, sock, &event) < 0 ? -errno : 0;
}

/* A new socket under the name that the subscriber has. */
static int
make_socket(struct datagram *d, const struct handoff__dir *folder)
{
	unsigned holds = queue_length();
	int sock =
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = sock < 0 ? -errno : watch(d, sock);

	if (err == 0)
		err = bind_hidden(d, folder, sock);
	if (err < 0) {
		if (sock >= 0)
			close(sock);
		return err;
	}
	if (d->sock >= 0)
		close(d->sock);
	d->sock = sock;
	d->holds = holds;
	d->taken = 0;
	return 0;
}

static int
socket_error(int err, const char *path, struct handoff__error *error)
{
	const char *why = strerror(-err);

	if (err == -EMFILE)
		why = "the descriptor table is full (ulimit -n)";
	else if (err == -ENFILE)
		why = "the system's table of open files is full "
		      "(/proc/sys/fs/file-max)";
	return handoff__fail(error, err,
		"subscriber: cannot create its socket in %s: %s", path, why);
}

static int
open_socket(struct handoff__mailbox *box, struct handoff__error *error)
{
	struct datagram *d = (struct datagram *)box;
	int err = -EAGAIN;

	d->sock = -1;
	d->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epfd < 0)
		return socket_error(-errno, box->folder.path, error);
	for (int i = 0; i < HANDOFF__SUBSCRIBER_TRIES && err == -EAGAIN; i++) {
		handoff__registry_name(d->name);
		err = make_socket(d, &box->folder);
	}
	if (err == 0)
		return 0;
	close(d->epfd);
	return socket_error(err, box->folder.path, error);
}

static int
renew(struct handoff__mailbox *box, const struct handoff__dir *folder)
{
	struct datagram *d = (struct datagram *)box;
	int is = handoff__dir_is(folder, d->name, &d->inode);
	int err = is == 0 ? make_socket(d, folder) : is;

	return is == 0 && err == 0 ? 1 : err < 0 ? err : 0;
}

static void
close_socket(struct handoff__mailbox *box, bool mine)
{
	struct datagram *d = (struct datagram *)box;

	if (mine)
		unlinkat(box->folder.fd, d->name, 0);
	close(d->sock);
	close(d->epfd);
}

static int
set_fd(const struct handoff__mailbox *box)
{
	return ((const struct datagram *)box)->epfd;
}

static ssize_t
take(int sock, void *data, size_t len, int flags)
{
	ssize_t n;

	do {
		n = recv(sock, data, len, flags);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int
receive(struct handoff__mailbox *box, void *data, size_t *len)
{
	struct datagram *d = (struct datagram *)box;
	ssize_t n = take(d->sock, data, *len, 0);
	char byte;

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	*len = (size_t)n;
	d->taken++;
	/* The descriptor is not readable any more: whatever did not fit must be
	 * fetched now. */
	if (d->taken >= d->holds && take(d->sock, &byte, 1, MSG_PEEK) < 0) {
		box->missed = true;
		d->taken = 0;
	}
	return 1;
}

static void
send_once(int sock, const struct handoff__dir *folder, const char *name,
	const void *data, size_t len)
{
	struct sockaddr_un sun;
	int err = handoff__dir_sockaddr(folder, name, &sun);

	if (err < 0) {
		errno = -err;
		return;
	}
	do {
		errno = 0;
		sendto(sock, data, len, MSG_NOSIGNAL, (struct sockaddr *)&sun,
			sizeof(sun));
	} while (errno == EINTR);
}

static void
put(struct handoff__mailbox *box, const void *data, size_t len)
{
	struct datagram *d = (struct datagram *)box;
	int sock =
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* if the socket is full, what is missed is fetched once it is empty */
	if (sock < 0)
		return;
	send_once(sock, &box->folder, d->name, data, len);
	close(sock);
}

/* A sender is charged for all that its receivers have not read (unix(7): the
 * buffer of the sender). Subscribers that do not read must not keep others from
 * theirs. */
static bool
is_exhausted(int sock)
{
	int queued = 0, size = 0;
	socklen_t len = sizeof(size);

	return ioctl(sock, SIOCOUTQ, &queued) < 0 ||
	       getsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, &len) < 0 ||
	       queued > size / 2;
}

static bool
renew_sender(struct handoff__round *round)
{
	if (round->sock >= 0)
		close(round->sock);
	round->sock =
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return round->sock >= 0;
}

static enum handoff__sent
post(struct handoff__round *round, const char *file, const void *data,
	size_t len)
{
	if (round->sock < 0 && !renew_sender(round))
		return HANDOFF__SENT_FAILED;
	send_once(round->sock, &round->folder, file, data, len);
	if (errno == EAGAIN && is_exhausted(round->sock)) {
		if (!renew_sender(round))
			return HANDOFF__SENT_FAILED;
		send_once(round->sock, &round->folder, file, data, len);
	}
	switch (errno) {
	case 0:
		return HANDOFF__SENT_REACHED;
	case EAGAIN:
		return HANDOFF__SENT_FULL;
	case ENOENT:
		return HANDOFF__SENT_SKIPPED;
	case ECONNREFUSED:
		unlinkat(round->folder.fd, file, 0);
		return HANDOFF__SENT_PRUNED;
	default:
		return HANDOFF__SENT_FAILED;
	}
}

static enum handoff__sent
send_to(struct handoff__round *round, const char *file, const void *data,
	size_t len)
{
	bool hidden = file[0] == '.';
	enum handoff__sent sent;

	if (!handoff__registry_is_name(file + hidden))
		return HANDOFF__SENT_SKIPPED;
	/* One that is being made drops an empty message. */
	sent = post(round, file, data, hidden ? 0 : len);
	return hidden && sent != HANDOFF__SENT_PRUNED ? HANDOFF__SENT_SKIPPED
						      : sent;
}

static const struct handoff__mailbox_ops ops = {
	.folder = HANDOFF__NOTICE_SUBSCRIBERS ".unix",
	.size = sizeof(struct datagram),
	.open = open_socket,
	.renew = renew,
	.close = close_socket,
	.fd = set_fd,
	.receive = receive,
	.put = put,
	.send = send_to,
};

static int
open_unix(void **end, const char *path,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	return handoff__local_open(end, path, side, &ops, errbuf, errbuf_size);
}

const struct handoff_transport handoff__unix_transport = {
	.size = sizeof(struct handoff_transport),
	.prefix = "unix:",
	.form = "unix:DIR",
	.open = open_unix,
	HANDOFF__LOCAL_CALLS,
};
