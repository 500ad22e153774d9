/* SPDX-License-Identifier: MIT */
/*
 * Passing descriptors: messages arrive as sent, back pressure, end of stream,
 * and a descriptor beside text. Messages that do not match their headers are in
 * test_fdpass_refused.c.
 */
#include "base/passing.h"

#include <handoff/fdpass.h>

#include "base/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static void
round_trip(int type, size_t n, size_t size)
{
	static unsigned char out[HANDOFF_FDPASS_PAYLOAD_MAX];
	static unsigned char in[HANDOFF_FDPASS_PAYLOAD_MAX];
	int sv[2], sent[HANDOFF_FDPASS_MAX], came[HANDOFF_FDPASS_MAX];
	size_t nfds = HANDOFF_FDPASS_MAX, len = sizeof(in);

	passing_pair(type, sv);
	passing_files(sent, n);
	for (size_t i = 0; i < size; i++)
		out[i] = (unsigned char)(i * 7 + n);
	assert_int_equal(handoff_fdpass_send(sv[0], sent, n, out, size), 1);
	assert_int_equal(handoff_fdpass_recv(sv[1], came, &nfds, in, &len), 1);
	assert_int_equal(nfds, n);
	assert_int_equal(len, size);
	assert_memory_equal(in, out, size);
	for (size_t i = 0; i < n; i++) {
		passing_same_file(came[i], sent[i]);
		assert_int_equal(fcntl(came[i], F_GETFD), FD_CLOEXEC);
	}
	passing_empty(sv[1]);
	passing_close(came, n);
	passing_close(sent, n);
	passing_close(sv, 2);
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
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(fds, 3);
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
		passing_same_file(came[0], fds[2 * i]);
		passing_close(came, nfds);
	}
	passing_close(fds, 3);
	passing_close(sv, 2);
}

static void
bad_arguments_are_refused(void **state)
{
	int sv[2], fds[HANDOFF_FDPASS_MAX + 1];
	static char big[HANDOFF_FDPASS_PAYLOAD_MAX + 1];
	size_t none = 0, one = 1;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
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
	passing_empty(sv[1]);
	passing_close(sv, 2);
}

static void
bad_descriptors_are_refused(void **state)
{
	int sv[2], bad[2], file;
	size_t none = 0;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	bad[0] = file;
	bad[1] = -1;
	assert_int_equal(handoff_fdpass_send(sv[0], bad, 2, "x", 1), -EBADF);
	passing_empty(sv[1]);
	assert_int_equal(handoff_fdpass_send(-1, NULL, 0, NULL, 0), -EBADF);
	assert_int_equal(handoff_fdpass_send(file, NULL, 0, "x", 1), -ENOTSOCK);
	assert_int_equal(
		handoff_fdpass_recv(file, NULL, &none, NULL, &none), -ENOTSOCK);
	close(file);
	passing_close(sv, 2);
}

static void
stream_sockets_are_refused(void **state)
{
	int sv[2];
	size_t none = 0;

	(void)state;
	passing_pair(SOCK_STREAM, sv);
	assert_int_equal(
		handoff_fdpass_send(sv[0], NULL, 0, "x", 1), -EPROTOTYPE);
	assert_int_equal(handoff_fdpass_recv(sv[1], NULL, &none, NULL, &none),
		-EPROTOTYPE);
	passing_close(sv, 2);
}

static void
full_socket_takes_no_more(int type)
{
	static const char payload[1000] = {1};
	static char in[1000];
	int sv[2], file, came[1], sent = 0, received = 0, rc;

	passing_pair(type, sv);
	passing_files(&file, 1);
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
	passing_usable(sv[0], sv[1]);
	close(file);
	passing_close(sv, 2);
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
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	assert_int_equal(
		setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny)),
		0);
	assert_int_equal(
		handoff_fdpass_send(sv[0], &file, 1, payload, sizeof(payload)),
		-EMSGSIZE);
	passing_empty(sv[1]);
	passing_usable(sv[0], sv[1]);
	close(file);
	passing_close(sv, 2);
}

static void
end_of_connection(void **state)
{
	int sv[2], file, came[1];
	size_t nfds = 1, len = 4;
	char payload[4];

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	assert_int_equal(handoff_fdpass_send(sv[0], &file, 1, "last", 4), 1);
	close(sv[0]);
	/* What was sent before the end still arrives. */
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, payload, &len), 1);
	passing_same_file(came[0], file);
	close(came[0]);
	assert_int_equal(passing_refused(sv[1]), -ECONNRESET);
	assert_int_equal(passing_refused(sv[1]), -ECONNRESET);
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
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	assert_int_equal(handoff_fdpass_send(sv[0], &file, 1, "last", 4), 1);
	assert_int_equal(handoff_fdpass_send(sv[1], NULL, 0, "late", 4), 1);
	close(sv[0]);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, payload, &len), 1);
	passing_same_file(came[0], file);
	close(came[0]);
	assert_int_equal(passing_refused(sv[1]), -ECONNRESET);
	assert_int_equal(passing_refused(sv[1]), -ECONNRESET);
	close(sv[1]);
	/* And where nothing had come before it, it is the end. */
	passing_pair(SOCK_SEQPACKET, sv);
	assert_int_equal(handoff_fdpass_send(sv[1], NULL, 0, "late", 4), 1);
	close(sv[0]);
	assert_int_equal(passing_refused(sv[1]), -ECONNRESET);
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
	passing_files(&file, 1);
	for (size_t i = 0; i < 2; i++) {
		passing_pair(types[i], sv);
		passing_send(sv[0], NULL, 0, NULL, 0, 0);
		assert_int_equal(passing_refused(sv[1]), -EBADMSG);
		passing_send(sv[0], NULL, 0, &file, 1, 1);
		assert_int_equal(passing_refused(sv[1]), -EBADMSG);
		passing_usable(sv[0], sv[1]);
		passing_close(sv, 2);
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
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(fds, HANDOFF_FDPASS_MAX);
	assert_int_equal(
		setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)),
		0);
	assert_int_equal(handoff_fdpass_send(sv[0], fds, nfds, NULL, 0), 1);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, NULL, &len), 1);
	assert_int_equal(nfds, HANDOFF_FDPASS_MAX);
	for (size_t i = 0; i < nfds; i++)
		passing_same_file(came[i], fds[i]);
	passing_close(came, nfds);
	passing_close(fds, nfds);
	passing_close(sv, 2);
}

/* A line that comes in pieces, as a stream may bring it. */
static void
text_carries_a_descriptor(void **state)
{
	char text[16];
	int sv[2], file, came;

	(void)state;
	passing_pair(SOCK_STREAM, sv);
	passing_files(&file, 1);
	assert_int_equal(
		handoff__fdpass_recv_text(sv[1], text, 4, &came), -EAGAIN);
	assert_int_equal(came, -1);
	assert_int_equal(handoff__fdpass_send_text(sv[0], "north", 5, file), 5);
	assert_int_equal(handoff__fdpass_send_text(sv[0], " all", 4, -1), 4);
	assert_int_equal(handoff__fdpass_recv_text(sv[1], text, 3, &came), 3);
	assert_memory_equal(text, "nor", 3);
	passing_same_file(file, came);
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
	passing_pair(SOCK_STREAM, sv);
	passing_files(files, 3);
	before = support_open_fds();
	passing_send(sv[0], "two", 3, files, 2, 1);
	assert_int_equal(
		handoff__fdpass_recv_text(sv[1], text, 16, &came), -EBADMSG);
	assert_int_equal(came, -1);
	assert_int_equal(support_open_fds(), before);
	passing_close(files, 3);
	passing_close(sv, 2);
}

static void
text_whose_descriptor_is_lost_is_told(void **state)
{
	char text[16];
	int sv[2], file, came = 0, before;
	ssize_t rc;

	(void)state;
	support_not_in_valgrind();
	passing_pair(SOCK_STREAM, sv);
	passing_files(&file, 1);
	assert_int_equal(handoff__fdpass_send_text(sv[0], "x", 1, file), 1);
	before = support_open_fds();
	support_limit_descriptors(0);
	rc = handoff__fdpass_recv_text(sv[1], text, 16, &came);
	support_unlimit_descriptors();
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(came, -1);
	assert_int_equal(support_open_fds(), before);
	close(file);
	passing_close(sv, 2);
}

static void
text_errors_are_told(void **state)
{
	char text[16];
	int sv[2], came;

	(void)state;
	passing_pair(SOCK_STREAM, sv);
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
