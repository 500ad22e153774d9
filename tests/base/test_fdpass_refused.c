/* SPDX-License-Identifier: MIT */
/*
 * Messages whose descriptors or bytes do not match their header, or do not fit,
 * are refused without a leak. Messages that this library would never send are
 * built with sendmsg(2).
 */
#include "base/passing.h"

#include <handoff/fdpass.h>

#include "base/fdpass.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC 0x46444f48u
#define FRAME 12

/* Sends a message whose header announces what the caller says. */
static void
send_framed(int sock, uint32_t magic, uint32_t nfds, uint32_t len,
	size_t real_len, const int *fds, size_t real_nfds)
{
	unsigned char data[FRAME + 64] = {0};

	assert_true(real_len <= 64);
	passing_u32(data, magic);
	passing_u32(data + 4, nfds);
	passing_u32(data + 8, len);
	passing_send(sock, data, FRAME + real_len, fds, real_nfds,
		real_nfds > 0 ? 1 : 0);
}

static void
full_table(int type, int room)
{
	int sv[2], fds[4], came[4];
	size_t nfds = 4, len = 4;
	char payload[4];
	int before, rc;

	passing_pair(type, sv);
	passing_files(fds, 4);
	assert_int_equal(handoff_fdpass_send(sv[0], fds, 4, "full", 4), 1);
	before = support_open_fds();
	support_limit_descriptors(room);
	rc = handoff_fdpass_recv(sv[1], came, &nfds, payload, &len);
	support_unlimit_descriptors();
	assert_int_equal(rc, -EMFILE);
	assert_int_equal(support_open_fds(), before);
	assert_int_equal(nfds, 4);
	assert_int_equal(len, 4);
	passing_usable(sv[0], sv[1]);
	passing_close(fds, 4);
	passing_close(sv, 2);
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
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(fds, 2);
	send_framed(sv[0], MAGIC, 3, 0, 0, fds, 2);
	assert_int_equal(passing_refused(sv[1]), -EMFILE);
	send_framed(sv[0], MAGIC, 1, 0, 0, NULL, 0);
	assert_int_equal(passing_refused(sv[1]), -EMFILE);
	passing_usable(sv[0], sv[1]);
	passing_close(fds, 2);
	passing_close(sv, 2);
}

static void
more_than_announced_is_refused(void **state)
{
	int sv[2], fds[3];

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(fds, 3);
	send_framed(sv[0], MAGIC, 2, 4, 4, fds, 3);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, 0, 4, 4, fds, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	passing_usable(sv[0], sv[1]);
	passing_close(fds, 3);
	passing_close(sv, 2);
}

static void
two_control_messages_count_together(void **state)
{
	unsigned char data[FRAME];
	int sv[2], fds[4], came[4];
	size_t nfds = 4, len = 0;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(fds, 4);
	passing_u32(data, MAGIC);
	passing_u32(data + 4, 4);
	passing_u32(data + 8, 0);
	passing_send(sv[0], data, sizeof(data), fds, 4, 2);
	assert_int_equal(
		handoff_fdpass_recv(sv[1], came, &nfds, NULL, &len), 1);
	assert_int_equal(nfds, 4);
	for (size_t i = 0; i < 4; i++)
		passing_same_file(came[i], fds[i]);
	passing_close(came, 4);
	passing_u32(data + 4, 2);
	passing_send(sv[0], data, sizeof(data), fds, 4, 2);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	passing_usable(sv[0], sv[1]);
	passing_close(fds, 4);
	passing_close(sv, 2);
}

static void
wrong_magic_is_refused(void **state)
{
	int sv[2], file;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	send_framed(sv[0], MAGIC ^ 1, 1, 4, 4, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	passing_usable(sv[0], sv[1]);
	close(file);
	passing_close(sv, 2);
}

static void
truncated_message_is_refused(void **state)
{
	unsigned char data[FRAME] = {0};
	int sv[2], file;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	send_framed(sv[0], MAGIC, 1, 5, 4, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	passing_u32(data, MAGIC);
	passing_u32(data + 4, 1);
	for (size_t len = 1; len < FRAME; len++) {
		passing_send(sv[0], data, len, &file, 1, 1);
		assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	}
	passing_usable(sv[0], sv[1]);
	close(file);
	passing_close(sv, 2);
}

static void
longer_than_announced_is_refused(void **state)
{
	int sv[2], file;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	send_framed(sv[0], MAGIC, 1, 3, 4, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	/* The same where the room is just what was announced. */
	send_framed(sv[0], MAGIC, 1, 3, 4, &file, 1);
	assert_int_equal(passing_refused_with(sv[1], 1, 3), -EBADMSG);
	passing_usable(sv[0], sv[1]);
	close(file);
	passing_close(sv, 2);
}

static void
absurd_counts_are_refused(void **state)
{
	int sv[2], file;

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(&file, 1);
	send_framed(sv[0], MAGIC, UINT32_MAX, 4, 4, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, HANDOFF_FDPASS_MAX + 1, 4, 4, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, 1, UINT32_MAX, 4, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	send_framed(sv[0], MAGIC, 1, UINT32_MAX - FRAME + 1, 0, &file, 1);
	assert_int_equal(passing_refused(sv[1]), -EBADMSG);
	passing_usable(sv[0], sv[1]);
	close(file);
	passing_close(sv, 2);
}

static void
too_little_room_is_enobufs(void **state)
{
	int sv[2], fds[3];

	(void)state;
	passing_pair(SOCK_SEQPACKET, sv);
	passing_files(fds, 3);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			handoff_fdpass_send(sv[0], fds, 3, "1234", 4), 1);
	assert_int_equal(passing_refused_with(sv[1], 2, 4), -ENOBUFS);
	assert_int_equal(passing_refused_with(sv[1], 3, 3), -ENOBUFS);
	assert_int_equal(passing_refused_with(sv[1], 0, 4), -ENOBUFS);
	assert_int_equal(passing_refused_with(sv[1], 3, 0), -ENOBUFS);
	passing_usable(sv[0], sv[1]);
	passing_close(fds, 3);
	passing_close(sv, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(full_table_leaks_nothing),
		handoff_test(fewer_than_announced_is_emfile),
		handoff_test(more_than_announced_is_refused),
		handoff_test(two_control_messages_count_together),
		handoff_test(wrong_magic_is_refused),
		handoff_test(truncated_message_is_refused),
		handoff_test(longer_than_announced_is_refused),
		handoff_test(absurd_counts_are_refused),
		handoff_test(too_little_room_is_enobufs),
	};

	return cmocka_run_group_tests_name("fdpass_refused", tests, NULL, NULL);
}
