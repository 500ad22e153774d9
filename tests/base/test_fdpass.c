/* SPDX-License-Identifier: MIT */
/*
 * Passing descriptors: what arrives is what was sent, and whatever does not
 * agree with its header is refused with nothing leaked. Messages that this
 * library would never send are made by hand with sendmsg(2).
 */
#include "support/support.h"

#include <handoff/fdpass.h>

#include "base/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x46444f48u
#define FRAME 12

static void
pair(int type, int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sv), 0);
}

static void
close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(close(fds[i]), 0);
}

/* Distinct files, so that a mix-up shows. */
static void
make_files(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = memfd_create("test", MFD_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
}

static void
assert_same_file(int a, int b)
{
	struct stat sa, sb;

	assert_int_not_equal(a, b);
	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_true(sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

static void
put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

/* Sends `len` bytes and the descriptors, in `parts` control messages. */
static void
send_parts(int sock, const void *data, size_t len, const int *fds, size_t nfds,
	size_t parts)
{
	union {
		struct cmsghdr align;
		char buf[8 * CMSG_SPACE(HANDOFF_FDPASS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t each = parts > 0 ? nfds / parts : 0;
	char *p = control.buf;

	memset(&control, 0, sizeof(control));
	for (size_t i = 0; i < parts; i++) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)p;

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(each * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds + i * each, each * sizeof(int));
		p += CMSG_SPACE(each * sizeof(int));
	}
	if (parts > 0)
		msg.msg_control = control.buf;
	msg.msg_controllen = (size_t)(p - control.buf);
	assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), len);
}

/* Sends a message whose header announces what the caller says. */
static void
send_framed(int sock, uint32_t magic, uint32_t nfds, uint32_t len,
	size_t real_len, const int *fds, size_t real_nfds)
{
	unsigned char data[FRAME + 64] = {0};

	assert_true(real_len <= 64);
	put_u32(data, magic);
	put_u32(data + 4, nfds);
	put_u32(data + 8, len);
	send_parts(sock, data, FRAME + real_len, fds, real_nfds,
		real_nfds > 0 ? 1 : 0);
}

/* Receives with room for all; on errors nothing may be left open and the
 * counts stay. */
static int
recv_refused(int sock, size_t max_fds, size_t max_len)
{
	static unsigned char payload[HANDOFF_FDPASS_PAYLOAD_MAX];
	int fds[HANDOFF_FDPASS_MAX];
	size_t nfds = max_fds, len = max_len;
	int before = support_open_fds();
	int rc = handoff_fdpass_recv(sock, fds, &nfds, payload, &len);

	assert_true(rc < 0);
	assert_int_equal(support_open_fds(), before);
	assert_int_equal(nfds, max_fds);
	assert_int_equal(len, max_len);
	return rc;
}

static int
recv_all(int sock)
{
	return recv_refused(
		sock, HANDOFF_FDPASS_MAX, HANDOFF_FDPASS_PAYLOAD_MAX);
}

static void
assert_empty(int sock)
{
	size_t nfds = 0, len = 0;

	assert_int_equal(handoff_fdpass_recv(sock, NULL, &nfds, NULL, &len), 0);
}

/* One good message goes through: the socket is usable after a refusal. */
static void
assert_usable(int from, int to)
{
	size_t nfds = 0, len = 8;
	char payload[8];

	assert_int_equal(handoff_fdpass_send(from, NULL, 0, "ok", 2), 1);
	assert_int_equal(
		handoff_fdpass_recv(to, NULL, &nfds, payload, &len), 1);
	assert_int_equal(len, 2);
	assert_memory_equal(payload, "ok", 2);
	assert_empty(to);
}

static void
round_trip(int type, size_t n, size_t size)
{
	static unsigned char out[HANDOFF_FDPASS_PAYLOAD_MAX];
	static unsigned char in[HANDOFF_FDPASS_PAYLOAD_MAX];
	int sv[2], sent[HANDOFF_FDPASS_MAX], came[HANDOFF_FDPASS_MAX];
	size_t nfds = HANDOFF_FDPASS_MAX, len = sizeof(in);

	pair(type, sv);
	make_files(sent, n);
	for (size_t i = 0; i < size; i++)
		out[i] = (unsigned char)(i * 7 + n);
	assert_int_equal(handoff_fdpass_send(sv[0], sent, n, out, size), 1);
	assert_int_equal(handoff_fdpass_recv(sv[1], came, &nfds, in, &len), 1);
	assert_int_equal(nfds, n);
	assert_int_equal(len, size);
	assert_memory_equal(in, out, size);
	for (size_t i = 0; i < n; i++) {
		assert_same_file(came[i], sent[i]);
		assert_int_equal(fcntl(came[i], F_GETFD), FD_CLOEXEC);
	}
	assert_empty(sv[1]);
	close_all(came, n);
	close_all(sent, n);
	close_all(sv, 2);
}

static void
what_is_sent_arrives(void **state)
{
	static const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};
	static const size_t counts[] = {0, 1, HANDOFF_FDPASS_MAX};
	static const size_t sizes[] = {0, 1, HANDOFF_FDPASS_PAYLOAD_MAX};

	(void)state;
	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < 9; i++)
			round_trip(types[t], counts[i / 3], sizes[i % 3]);
	}
}

static void
messages_stay_apart(void **state)
{
	int sv[2], fds[3], came[3];
	char payload[8];

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(fds, 3);
	assert_int_equal(handoff_fdpass_send(sv[0], fds, 2, "ab", 2), 1);
	assert_int_equal(handoff_fdpass_send(sv[0], fds + 2, 1, "c", 1), 1);
	for (size_t i = 0; i < 2; i++) {
		size_t nfds = 3, len = sizeof(payload);

		assert_int_equal(
			handoff_fdpass_recv(sv[1], came, &nfds, payload, &len),
			1);
		assert_int_equal(nfds, 2 - i);
		assert_int_equal(len, 2 - i);
		assert_int_equal(payload[0], i == 0 ? 'a' : 'c');
		assert_same_file(came[0], fds[2 * i]);
		close_all(came, nfds);
	}
	close_all(fds, 3);
	close_all(sv, 2);
}

static void
bad_arguments_are_refused(void **state)
{
	int sv[2], fds[HANDOFF_FDPASS_MAX + 1];
	static char big[HANDOFF_FDPASS_PAYLOAD_MAX + 1];
	size_t none = 0, one = 1;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	for (size_t i = 0; i < HANDOFF_FDPASS_MAX + 1; i++)
		fds[i] = sv[0];
	assert_int_equal(handoff_fdpass_send(sv[0], fds, 254, "x", 1), -EINVAL);
	assert_int_equal(
		handoff_fdpass_send(sv[0], fds, 1, big, sizeof(big)), -EINVAL);
	assert_int_equal(handoff_fdpass_send(sv[0], NULL, 1, "x", 1), -EINVAL);
	assert_int_equal(handoff_fdpass_send(sv[0], fds, 1, NULL, 1), -EINVAL);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], NULL, &one, big, &one), -EINVAL);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], fds, &one, NULL, &one), -EINVAL);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], fds, NULL, big, &one), -EINVAL);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], fds, &none, big, NULL), -EINVAL);
	assert_empty(sv[1]);
	close_all(sv, 2);
}

static void
bad_descriptors_are_refused(void **state)
{
	int sv[2], bad[2], file;
	size_t none = 0;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	bad[0] = file;
	bad[1] = -1;
	assert_int_equal(handoff_fdpass_send(sv[0], bad, 2, "x", 1), -EBADF);
	assert_empty(sv[1]);
	assert_int_equal(handoff_fdpass_send(-1, NULL, 0, NULL, 0), -EBADF);
	assert_int_equal(handoff_fdpass_send(file, NULL, 0, "x", 1), -ENOTSOCK);
	assert_int_equal(
		handoff_fdpass_recv(file, NULL, &none, NULL, &none), -ENOTSOCK);
	close(file);
	close_all(sv, 2);
}

static void
stream_sockets_are_refused(void **state)
{
	int sv[2];
	size_t none = 0;

	(void)state;
	pair(SOCK_STREAM, sv);
	assert_int_equal(
		handoff_fdpass_send(sv[0], NULL, 0, "x", 1), -EPROTOTYPE);
	assert_int_equal(handoff_fdpass_recv(sv[1], NULL, &none, NULL, &none),
		-EPROTOTYPE);
	close_all(sv, 2);
}

/* Leaves room in the descriptor table for at most `room` more. */
static void
limit_table(rlim_t room, struct rlimit *old)
{
	struct rlimit now;
	int lowest = fcntl(0, F_DUPFD, 0);

	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, old), 0);
	now = *old;
	now.rlim_cur = (rlim_t)lowest + room;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void
full_table(int type, rlim_t room)
{
	int sv[2], fds[4], came[4];
	size_t nfds = 4, len = 4;
	struct rlimit old;
	char payload[4];
	int before, rc;

	pair(type, sv);
	make_files(fds, 4);
	assert_int_equal(handoff_fdpass_send(sv[0], fds, 4, "full", 4), 1);
	before = support_open_fds();
	limit_table(room, &old);
	rc = handoff_fdpass_recv(sv[1], came, &nfds, payload, &len);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(support_open_fds(), before);
	assert_int_equal(nfds, 4);
	assert_int_equal(len, 4);
	assert_usable(sv[0], sv[1]);
	close_all(fds, 4);
	close_all(sv, 2);
}

static void
full_table_leaks_nothing(void **state)
{
	(void)state;
	support_not_in_valgrind();
	full_table(SOCK_SEQPACKET, 0);
	full_table(SOCK_SEQPACKET, 2);
	full_table(SOCK_DGRAM, 3);
}

static void
fewer_than_announced_is_emfile(void **state)
{
	int sv[2], fds[2];

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(fds, 2);
	send_framed(sv[0], MAGIC, 3, 0, 0, fds, 2);
	assert_int_equal(recv_all(sv[1]), -EMFILE);
	send_framed(sv[0], MAGIC, 1, 0, 0, NULL, 0);
	assert_int_equal(recv_all(sv[1]), -EMFILE);
	assert_usable(sv[0], sv[1]);
	close_all(fds, 2);
	close_all(sv, 2);
}

static void
more_than_announced_is_refused(void **state)
{
	int sv[2], fds[3];

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(fds, 3);
	send_framed(sv[0], MAGIC, 2, 4, 4, fds, 3);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, 0, 4, 4, fds, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	assert_usable(sv[0], sv[1]);
	close_all(fds, 3);
	close_all(sv, 2);
}

static void
two_control_messages_count_together(void **state)
{
	unsigned char data[FRAME];
	int sv[2], fds[4], came[4];
	size_t nfds = 4, len = 0;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(fds, 4);
	put_u32(data, MAGIC);
	put_u32(data + 4, 4);
	put_u32(data + 8, 0);
	send_parts(sv[0], data, sizeof(data), fds, 4, 2);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, NULL, &len), 1);
	assert_int_equal(nfds, 4);
	for (size_t i = 0; i < 4; i++)
		assert_same_file(came[i], fds[i]);
	close_all(came, 4);
	put_u32(data + 4, 2);
	send_parts(sv[0], data, sizeof(data), fds, 4, 2);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	assert_usable(sv[0], sv[1]);
	close_all(fds, 4);
	close_all(sv, 2);
}

static void
wrong_magic_is_refused(void **state)
{
	int sv[2], file;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	send_framed(sv[0], MAGIC ^ 1, 1, 4, 4, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	assert_usable(sv[0], sv[1]);
	close(file);
	close_all(sv, 2);
}

static void
truncated_message_is_refused(void **state)
{
	unsigned char data[FRAME] = {0};
	int sv[2], file;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	send_framed(sv[0], MAGIC, 1, 5, 4, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	put_u32(data, MAGIC);
	put_u32(data + 4, 1);
	for (size_t len = 1; len < FRAME; len++) {
		send_parts(sv[0], data, len, &file, 1, 1);
		assert_int_equal(recv_all(sv[1]), -EBADMSG);
	}
	assert_usable(sv[0], sv[1]);
	close(file);
	close_all(sv, 2);
}

static void
longer_than_announced_is_refused(void **state)
{
	int sv[2], file;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	send_framed(sv[0], MAGIC, 1, 3, 4, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	/* The same where the room is just what was announced. */
	send_framed(sv[0], MAGIC, 1, 3, 4, &file, 1);
	assert_int_equal(recv_refused(sv[1], 1, 3), -EBADMSG);
	assert_usable(sv[0], sv[1]);
	close(file);
	close_all(sv, 2);
}

static void
absurd_counts_are_refused(void **state)
{
	int sv[2], file;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	send_framed(sv[0], MAGIC, UINT32_MAX, 4, 4, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, HANDOFF_FDPASS_MAX + 1, 4, 4, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, 1, UINT32_MAX, 4, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, 1, UINT32_MAX - FRAME + 1, 0, &file, 1);
	assert_int_equal(recv_all(sv[1]), -EBADMSG);
	assert_usable(sv[0], sv[1]);
	close(file);
	close_all(sv, 2);
}

static void
too_little_room_is_enobufs(void **state)
{
	int sv[2], fds[3];

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(fds, 3);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			handoff_fdpass_send(sv[0], fds, 3, "1234", 4), 1);
	assert_int_equal(recv_refused(sv[1], 2, 4), -ENOBUFS);
	assert_int_equal(recv_refused(sv[1], 3, 3), -ENOBUFS);
	assert_int_equal(recv_refused(sv[1], 0, 4), -ENOBUFS);
	assert_int_equal(recv_refused(sv[1], 3, 0), -ENOBUFS);
	assert_usable(sv[0], sv[1]);
	close_all(fds, 3);
	close_all(sv, 2);
}

static void
full_socket_takes_no_more(int type)
{
	static const char payload[1000] = {1};
	static char in[1000];
	int sv[2], file, came[1], sent = 0, received = 0, rc;

	pair(type, sv);
	make_files(&file, 1);
	while (sent < 100000 && (rc = handoff_fdpass_send(sv[0], &file, 1,
					 payload, sizeof(payload))) == 1)
		sent++;
	assert_int_equal(rc, 0);
	assert_true(sent > 0);
	for (;;) {
		size_t nfds = 1, len = sizeof(in);

		rc = handoff_fdpass_recv(sv[1], came, &nfds, in, &len);
		if (rc != 1)
			break;
		received++;
		assert_int_equal(nfds, 1);
		close(came[0]);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(received, sent);
	assert_usable(sv[0], sv[1]);
	close(file);
	close_all(sv, 2);
}

static void
back_pressure(void **state)
{
	(void)state;
	full_socket_takes_no_more(SOCK_SEQPACKET);
	full_socket_takes_no_more(SOCK_DGRAM);
}

static void
never_fitting_message_is_emsgsize(void **state)
{
	static char payload[HANDOFF_FDPASS_PAYLOAD_MAX];
	int sv[2], file, tiny = 1;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	assert_int_equal(
		setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny)),
		0);
	assert_int_equal(
		handoff_fdpass_send(sv[0], &file, 1, payload, sizeof(payload)),
		-EMSGSIZE);
	assert_empty(sv[1]);
	assert_usable(sv[0], sv[1]);
	close(file);
	close_all(sv, 2);
}

static void
end_of_connection(void **state)
{
	int sv[2], file, came[1];
	size_t nfds = 1, len = 4;
	char payload[4];

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	assert_int_equal(handoff_fdpass_send(sv[0], &file, 1, "last", 4), 1);
	close(sv[0]);
	/* What was sent before the end still arrives. */
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, payload, &len), 1);
	assert_same_file(came[0], file);
	close(came[0]);
	assert_int_equal(recv_all(sv[1]), -ECONNRESET);
	assert_int_equal(recv_all(sv[1]), -ECONNRESET);
	assert_int_equal(handoff_fdpass_send(sv[1], &file, 1, "x", 1), -EPIPE);
	close(file);
	close(sv[1]);
}

/* Who ends with messages unread resets the connection: what it had sent before
 * comes all the same. */
static void
reset_loses_nothing(void **state)
{
	int sv[2], file, came[1];
	size_t nfds = 1, len = 4;
	char payload[4];

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(&file, 1);
	assert_int_equal(handoff_fdpass_send(sv[0], &file, 1, "last", 4), 1);
	assert_int_equal(handoff_fdpass_send(sv[1], NULL, 0, "late", 4), 1);
	close(sv[0]);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, payload, &len), 1);
	assert_same_file(came[0], file);
	close(came[0]);
	assert_int_equal(recv_all(sv[1]), -ECONNRESET);
	assert_int_equal(recv_all(sv[1]), -ECONNRESET);
	close(sv[1]);
	/* And where nothing had come before it, it is the end. */
	pair(SOCK_SEQPACKET, sv);
	assert_int_equal(handoff_fdpass_send(sv[1], NULL, 0, "late", 4), 1);
	close(sv[0]);
	assert_int_equal(recv_all(sv[1]), -ECONNRESET);
	close(sv[1]);
	close(file);
}

/* recvmsg gives 0 for an empty message and for the end of the connection. */
static void
empty_message_is_not_the_end(void **state)
{
	static const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};
	int sv[2], file;

	(void)state;
	make_files(&file, 1);
	for (size_t i = 0; i < 2; i++) {
		pair(types[i], sv);
		send_parts(sv[0], NULL, 0, NULL, 0, 0);
		assert_int_equal(recv_all(sv[1]), -EBADMSG);
		send_parts(sv[0], NULL, 0, &file, 1, 1);
		assert_int_equal(recv_all(sv[1]), -EBADMSG);
		assert_usable(sv[0], sv[1]);
		close_all(sv, 2);
	}
	close(file);
}

/* A receiver that has asked for credentials gets them beside the descriptors
 * and must still have room for all. */
static void
credentials_do_not_crowd_out_descriptors(void **state)
{
	int sv[2], fds[HANDOFF_FDPASS_MAX], came[HANDOFF_FDPASS_MAX], one = 1;
	size_t nfds = HANDOFF_FDPASS_MAX, len = 0;

	(void)state;
	pair(SOCK_SEQPACKET, sv);
	make_files(fds, HANDOFF_FDPASS_MAX);
	assert_int_equal(
		setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)),
		0);
	assert_int_equal(handoff_fdpass_send(sv[0], fds, nfds, NULL, 0), 1);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, NULL, &len), 1);
	assert_int_equal(nfds, HANDOFF_FDPASS_MAX);
	for (size_t i = 0; i < nfds; i++)
		assert_same_file(came[i], fds[i]);
	close_all(came, nfds);
	close_all(fds, nfds);
	close_all(sv, 2);
}

/* A line that comes in pieces, as a stream may bring it. */
static void
text_carries_a_descriptor(void **state)
{
	char text[16];
	int sv[2], file, came;

	(void)state;
	pair(SOCK_STREAM, sv);
	make_files(&file, 1);
	assert_int_equal(
		handoff__fdpass_recv_text(sv[1], text, 4, &came), -EAGAIN);
	assert_int_equal(came, -1);
	assert_int_equal(handoff__fdpass_send_text(sv[0], "north", 5, file), 5);
	assert_int_equal(handoff__fdpass_send_text(sv[0], " all", 4, -1), 4);
	assert_int_equal(handoff__fdpass_recv_text(sv[1], text, 3, &came), 3);
	assert_memory_equal(text, "nor", 3);
	assert_same_file(file, came);
	assert_int_equal(fcntl(came, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(came);
	assert_int_equal(handoff__fdpass_recv_text(sv[1], text, 16, &came), 6);
	assert_memory_equal(text, "th all", 6);
	assert_int_equal(came, -1);
	close(sv[0]);
	assert_int_equal(handoff__fdpass_recv_text(sv[1], text, 16, &came), 0);
	close(sv[1]);
	close(file);
}

static void
text_with_more_descriptors_is_refused(void **state)
{
	char text[16];
	int sv[2], files[3], came = 0, before;

	(void)state;
	pair(SOCK_STREAM, sv);
	make_files(files, 3);
	before = support_open_fds();
	send_parts(sv[0], "two", 3, files, 2, 1);
	assert_int_equal(
		handoff__fdpass_recv_text(sv[1], text, 16, &came), -EBADMSG);
	assert_int_equal(came, -1);
	assert_int_equal(support_open_fds(), before);
	close_all(files, 3);
	close_all(sv, 2);
}

static void
text_whose_descriptor_is_lost_is_told(void **state)
{
	struct rlimit old;
	char text[16];
	int sv[2], file, came = 0, before;
	ssize_t rc;

	(void)state;
	support_not_in_valgrind();
	pair(SOCK_STREAM, sv);
	make_files(&file, 1);
	assert_int_equal(handoff__fdpass_send_text(sv[0], "x", 1, file), 1);
	before = support_open_fds();
	limit_table(0, &old);
	rc = handoff__fdpass_recv_text(sv[1], text, 16, &came);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(came, -1);
	assert_int_equal(support_open_fds(), before);
	close(file);
	close_all(sv, 2);
}

static void
text_errors_are_told(void **state)
{
	char text[16];
	int sv[2], came;

	(void)state;
	pair(SOCK_STREAM, sv);
	close(sv[1]);
	assert_int_equal(
		handoff__fdpass_send_text(sv[0], "x", 1, sv[0]), -EPIPE);
	close(sv[0]);
	assert_int_equal(
		handoff__fdpass_recv_text(sv[0], text, 16, &came), -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_is_sent_arrives),
		handoff_test(messages_stay_apart),
		handoff_test(bad_arguments_are_refused),
		handoff_test(bad_descriptors_are_refused),
		handoff_test(stream_sockets_are_refused),
		handoff_test(full_table_leaks_nothing),
		handoff_test(fewer_than_announced_is_emfile),
		handoff_test(more_than_announced_is_refused),
		handoff_test(two_control_messages_count_together),
		handoff_test(wrong_magic_is_refused),
		handoff_test(truncated_message_is_refused),
		handoff_test(longer_than_announced_is_refused),
		handoff_test(absurd_counts_are_refused),
		handoff_test(too_little_room_is_enobufs),
		handoff_test(back_pressure),
		handoff_test(never_fitting_message_is_emsgsize),
		handoff_test(end_of_connection),
		handoff_test(reset_loses_nothing),
		handoff_test(empty_message_is_not_the_end),
		handoff_test(credentials_do_not_crowd_out_descriptors),
		handoff_test(text_carries_a_descriptor),
		handoff_test(text_with_more_descriptors_is_refused),
		handoff_test(text_whose_descriptor_is_lost_is_told),
		handoff_test(text_errors_are_told),
	};

	return cmocka_run_group_tests_name("fdpass", tests, NULL, NULL);
}
