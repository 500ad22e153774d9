/* SPDX-License-Identifier: MIT */
/*
 * The only user of SCM_RIGHTS. A message is a header (magic, number of
 * descriptors, length of the payload) and the payload. A message that disagrees
 * with its header is refused and its descriptors closed, so that none is ever
 * leaked or mistaken for another.
 */
#include <handoff/fdpass.h>

#include "base/fdpass.h"
#include "base/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAME_MAGIC 0x46444f48u /* "HODF" */
#define FRAME_SIZE  12

/* Other control data that the user may have enabled on the socket, such as
 * SO_PASSCRED and SO_PASSSEC, comes first and must not crowd out the
 * descriptors (unix(7)). */
#define CONTROL_OTHER 512

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(HANDOFF_FDPASS_MAX * sizeof(int)) + CONTROL_OTHER];
};

/* The result of one recvmsg. */
struct arrival {
	int fds[HANDOFF_FDPASS_MAX];
	size_t nfds;
	size_t bytes; /* of the whole message, even if truncated */
	int flags;
};

static int
check_type(int sock)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	return type == SOCK_STREAM ? -EPROTOTYPE : 0;
}

static int
send_result(ssize_t n)
{
	if (n >= 0)
		return 1;
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ETOOMANYREFS:
		return 0;
	default:
		return -errno;
	}
}

/* Attaches the descriptors to the message. */
static void
attach(struct msghdr *msg, union control *control, const int *fds, size_t nfds)
{
	size_t size = nfds * sizeof(int);
	struct cmsghdr *cmsg;

	memset(control, 0, CMSG_SPACE(size));
	msg->msg_control = control->buf;
	msg->msg_controllen = CMSG_SPACE(size);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), fds, size);
}

static ssize_t
send_message(int sock, const struct msghdr *msg)
{
	ssize_t n;

	do {
		n = sendmsg(sock, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n;
}

int
handoff_fdpass_send(
	int sock, const int *fds, size_t nfds, const void *payload, size_t len)
{
	unsigned char frame[FRAME_SIZE];
	struct handoff__wire w = {.data = frame, .size = sizeof(frame)};
	struct iovec iov[2] = {
		{.iov_base = frame, .iov_len = sizeof(frame)},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	union control control;
	int err;

	if (nfds > HANDOFF_FDPASS_MAX || len > HANDOFF_FDPASS_PAYLOAD_MAX ||
		(nfds > 0 && !fds) || (len > 0 && !payload))
		return -EINVAL;
	err = check_type(sock);
	if (err < 0)
		return err;
	handoff__put_u32(&w, FRAME_MAGIC);
	handoff__put_u32(&w, (uint32_t)nfds);
	handoff__put_u32(&w, (uint32_t)len);
	if (nfds > 0)
		attach(&msg, &control, fds, nfds);
	return send_result(send_message(sock, &msg));
}

ssize_t
handoff__fdpass_send_text(int sock, const void *data, size_t len, int fd)
{
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t n;

	if (fd >= 0)
		attach(&msg, &control, &fd, 1);
	n = send_message(sock, &msg);
	return n < 0 ? -errno : n;
}

void
handoff__fdpass_close(const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

/* Walks every control message: a foreign sender may have sent several, and this
 * process owns every descriptor in them. */
static void
collect(struct msghdr *msg, struct arrival *in)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
			cmsg->cmsg_type != SCM_RIGHTS)
			continue;

		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
				sizeof(fd));
			if (in->nfds < HANDOFF_FDPASS_MAX)
				in->fds[in->nfds++] = fd;
			else
				close(fd);
		}
	}
}

/* A peer that exits with unread messages resets the connection. The kernel
 * reports that once, before it delivers the messages which the peer had sent:
 * those still count. */
static ssize_t
receive_message(int sock, struct msghdr *msg, int flags)
{
	bool reset = false;

	for (;;) {
		ssize_t n = recvmsg(
			sock, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		if (n < 0 && reset)
			errno = ECONNRESET;
		return n;
	}
}

/* Returns 1 with the arrival filled in, 0 if there is nothing, or a negative
 * errno. */
static int
receive_arrival(
	int sock, struct iovec *iov, size_t niov, int flags, struct arrival *in)
{
	union control control;
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = niov,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n = receive_message(sock, &msg, flags);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	in->bytes = (size_t)n;
	in->flags = msg.msg_flags;
	collect(&msg, in);
	return 1;
}

/* Checks the message against its header and against the caller's limits. */
static int
check_arrival(const unsigned char *frame, const struct arrival *in,
	size_t max_fds, size_t max_len)
{
	struct handoff__wire w = {
		.data = (unsigned char *)(uintptr_t)frame,
		.size = FRAME_SIZE,
	};
	uint32_t magic = handoff__get_u32(&w);
	uint32_t nfds = handoff__get_u32(&w);
	uint32_t len = handoff__get_u32(&w);

	if (in->bytes < FRAME_SIZE || magic != FRAME_MAGIC ||
		in->bytes - FRAME_SIZE != len || in->nfds > nfds ||
		nfds > HANDOFF_FDPASS_MAX || len > HANDOFF_FDPASS_PAYLOAD_MAX)
		return -EBADMSG;
	if (len > max_len || nfds > max_fds)
		return -ENOBUFS;
	/* With a full descriptor table, recvmsg(2) delivers the data and this
	 * flag, and silently fewer descriptors (MSG_CTRUNC). */
	if ((in->flags & MSG_CTRUNC) || in->nfds < nfds)
		return -EMFILE;
	return 0;
}

/* An empty message and the end of the connection look alike: both return 0. */
static int
check_empty(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLRDHUP) ? -ECONNRESET
							     : -EBADMSG;
}

int
handoff__fdpass_recv_frame(int sock, int *fds, size_t *nfds, void *payload,
	size_t *len, bool *lost)
{
	unsigned char frame[FRAME_SIZE];
	struct arrival in = {.nfds = 0, .bytes = 0};
	int err;

	if (!nfds || !len || (*nfds > 0 && !fds) || (*len > 0 && !payload))
		return -EINVAL;
	err = check_type(sock);
	if (err < 0)
		return err;

	struct iovec iov[2] = {
		{.iov_base = frame, .iov_len = sizeof(frame)},
		{.iov_base = payload, .iov_len = *len},
	};

	err = receive_arrival(sock, iov, 2, MSG_TRUNC, &in);
	if (err <= 0)
		return err;
	if (in.bytes == 0 && in.nfds == 0)
		return check_empty(sock);
	err = check_arrival(frame, &in, *nfds, *len);
	*lost = err == -EMFILE;
	if (err < 0) {
		handoff__fdpass_close(in.fds, in.nfds);
		in.nfds = 0;
		if (!*lost)
			return err;
	}
	if (in.nfds > 0)
		memcpy(fds, in.fds, in.nfds * sizeof(int));
	*nfds = in.nfds;
	*len = in.bytes - FRAME_SIZE;
	return 1;
}

int
handoff_fdpass_recv(
	int sock, int *fds, size_t *nfds, void *payload, size_t *len)
{
	size_t n = nfds ? *nfds : 0, size = len ? *len : 0;
	bool lost = false;
	int rc = handoff__fdpass_recv_frame(sock, fds, nfds ? &n : NULL,
		payload, len ? &size : NULL, &lost);

	if (rc > 0 && lost)
		return -EMFILE;
	if (rc > 0) {
		*nfds = n;
		*len = size;
	}
	return rc;
}

ssize_t
handoff__fdpass_recv_text(int sock, void *data, size_t size, int *fd)
{
	struct arrival in = {.nfds = 0, .bytes = 0};
	struct iovec iov = {.iov_base = data, .iov_len = size};
	int err = receive_arrival(sock, &iov, 1, 0, &in);

	*fd = -1;
	if (err <= 0)
		return err < 0 ? err : -EAGAIN;
	if (in.nfds > 1 || (in.flags & MSG_CTRUNC)) {
		handoff__fdpass_close(in.fds, in.nfds);
		return in.nfds > 1 ? -EBADMSG : -EMFILE;
	}
	if (in.nfds == 1)
		*fd = in.fds[0];
	return (ssize_t)in.bytes;
}
