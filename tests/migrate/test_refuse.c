/* SPDX-License-Identifier: MIT */
/*
 * What cannot move is named before anything is done to it; and the way back of
 * what was frozen.
 */
#include "migrate/hosts.h"

#include "migrate/mode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROTOCOL_MPTCP 262
/* by the kernel's numbers */
#define CLOSED  7
#define CLOSING 11

/* Freezing says why, and leaves the socket as it was. */
static void
assert_refused(int fd, enum handoff__unmovable why, const char *sentence)
{
	struct handoff__error error = {""};
	struct handoff__image image;

	assert_int_equal(handoff__migrate_refuse(fd, &error), why);
	if (!strstr(error.text, sentence))
		fail_msg("'%s' does not say '%s'", error.text, sentence);
	memset(&image, 0xee, sizeof(image));
	assert_int_equal(
		handoff__migrate_freeze(fd, &image, &error), -EOPNOTSUPP);
	assert_int_equal(image.family, (int)0xeeeeeeee);
}

static void
assert_socket_refused(int domain, int type, int protocol,
	enum handoff__unmovable why, const char *sentence)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, protocol);

	assert_true(fd >= 0);
	assert_refused(fd, why, sentence);
	close(fd);
}

static void
other_sockets(void **state)
{
	int sv[2];

	(void)state;
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	assert_refused(sv[0], HANDOFF__NOT_A_SOCKET, "not a socket");
	close(sv[0]);
	close(sv[1]);
	assert_refused(sv[0], HANDOFF__NOT_A_SOCKET, "not a socket");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_refused(sv[0], HANDOFF__NOT_IP, "neither IPv4 nor IPv6");
	close(sv[0]);
	close(sv[1]);
	assert_socket_refused(
		AF_INET, SOCK_DGRAM, 0, HANDOFF__NOT_TCP, "not a TCP");
	assert_socket_refused(
		AF_INET, SOCK_STREAM, 0, HANDOFF__CLOSED, "never connected");
	assert_socket_refused(
		AF_INET6, SOCK_STREAM, 0, HANDOFF__CLOSED, "never connected");
}

static int
listener(int protocol, struct sockaddr_in *sin)
{
	socklen_t len = sizeof(*sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);

	*sin = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = inet_addr("10.77.0.100"),
	};
	if (fd < 0)
		return fd;
	assert_int_equal(bind(fd, (struct sockaddr *)sin, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sin, &len), 0);
	return fd;
}

static void
listens(void **state)
{
	struct sockaddr_in sin;
	int fd;

	(void)state;
	hosts_need();
	fd = listener(0, &sin);
	assert_refused(fd, HANDOFF__LISTENS, "it listens");
	close(fd);
}

/* Within the host, so that both ends are here. */
static void
mptcp(void **state)
{
	struct sockaddr_in sin;
	int fd, plain, client, served;

	(void)state;
	hosts_need();
	fd = listener(PROTOCOL_MPTCP, &sin);
	if (fd < 0) {
		print_message("SKIP: this kernel has no MPTCP\n");
		skip();
	}
	assert_refused(fd, HANDOFF__MPTCP, "MPTCP");
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, PROTOCOL_MPTCP);
	assert_int_equal(
		connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	served = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_refused(served, HANDOFF__MPTCP, "MPTCP");
	assert_refused(client, HANDOFF__MPTCP, "MPTCP");
	close(served);
	/* a client without it has a plain connection with the same listener */
	plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		connect(plain, (struct sockaddr *)&sin, sizeof(sin)), 0);
	served = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(
		handoff__migrate_refuse(served, NULL), HANDOFF__MOVABLE);
	close(served);
	close(plain);
	close(client);
	close(fd);
}

static void
handshake(void **state)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = inet_addr("10.77.0.100"),
	};
	int fd;

	(void)state;
	hosts_need();
	host_route(TO_HOLE);
	host_enter(HOST_C);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), -1);
	assert_int_equal(errno, EINPROGRESS);
	assert_refused(fd, HANDOFF__HANDSHAKE, "handshake");
	close(fd);
	host_enter(HOST_A);
}

static void
both_have_ended(void **state)
{
	struct pair p;

	(void)state;
	hosts_need();
	/* the client's FIN comes first, then is this end's not acknowledged */
	pair_open(&p, FOUR);
	shutdown(p.client, SHUT_WR);
	await_end(p.served);
	socket_deaf(p.served);
	shutdown(p.served, SHUT_WR);
	assert_refused(p.served, HANDOFF__LAST_ACK, "both sides");
	pair_close(&p);
	/* this end's FIN comes first, and the client does not hear of it */
	pair_open(&p, FOUR);
	socket_deaf(p.client);
	shutdown(p.served, SHUT_WR);
	shutdown(p.client, SHUT_WR);
	while (socket_state(p.served) != CLOSING)
		sched_yield();
	assert_refused(p.served, HANDOFF__BOTH_CLOSE, "both sides");
	pair_close(&p);
	/* all is said */
	pair_open(&p, FOUR);
	shutdown(p.client, SHUT_WR);
	await_end(p.served);
	shutdown(p.served, SHUT_WR);
	await_end(p.client);
	while (socket_state(p.served) != CLOSED)
		sched_yield();
	assert_refused(p.served, HANDOFF__CLOSED, "closed");
	pair_close(&p);
}

static void
every_state(void **state)
{
	static const enum handoff__unmovable of[] = {
		HANDOFF__UNKNOWN_STATE, HANDOFF__MOVABLE, /* ESTABLISHED */
		HANDOFF__HANDSHAKE,                       /* SYN_SENT */
		HANDOFF__HANDSHAKE,                       /* SYN_RECV */
		HANDOFF__MOVABLE,                         /* FIN_WAIT1 */
		HANDOFF__MOVABLE,                         /* FIN_WAIT2 */
		HANDOFF__TIME_WAIT, HANDOFF__CLOSED,
		HANDOFF__MOVABLE, /* CLOSE_WAIT */
		HANDOFF__LAST_ACK, HANDOFF__LISTENS, HANDOFF__BOTH_CLOSE,
		HANDOFF__HANDSHAKE,     /* NEW_SYN_RECV */
		HANDOFF__UNKNOWN_STATE, /* a newer kernel's */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(of) / sizeof(*of); i++)
		assert_int_equal(handoff__migrate_refuse_state(i), of[i]);
	assert_int_equal(
		handoff__migrate_refuse_state(255), HANDOFF__UNKNOWN_STATE);
}

static void
every_reason_has_a_word(void **state)
{
	(void)state;
	for (int i = 0; i < HANDOFF__UNMOVABLES; i++) {
		const char *word =
			handoff__unmovable_word((enum handoff__unmovable)i);

		assert_non_null(word);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(
				word, handoff__unmovable_word(
					      (enum handoff__unmovable)k));
	}
	assert_string_equal(handoff__unmovable_word(HANDOFF__MPTCP), "MPTCP");
	assert_string_equal(handoff__unmovable_word(HANDOFF__UNMOVABLES), "?");
}

static void
frozen_already(void **state)
{
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_freeze(&p, &image);
	assert_refused(p.served, HANDOFF__IN_REPAIR, "repair mode");
	/* and stays so */
	assert_int_equal(handoff__migrate_mode(p.served), 1);
	pair_unfreeze(&p, &image);
	pair_assert_works(&p, 1000);
	pair_close(&p);
}

/* The keys are on both ends before the handshake. */
static void
set_key(int fd, const struct sockaddr_in *peer)
{
	struct tcp_md5sig key = {.tcpm_keylen = 3, .tcpm_key = "key"};

	memcpy(&key.tcpm_addr, peer, sizeof(*peer));
	if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)) < 0) {
		print_message("SKIP: this kernel has no TCP-MD5\n");
		skip();
	}
}

static void
signed_segments(void **state)
{
	struct sockaddr_in sin,
		from = {
			.sin_family = AF_INET,
			.sin_addr.s_addr = inet_addr("10.77.0.100"),
		};
	int fd, client, served;

	(void)state;
	hosts_need();
	fd = listener(0, &sin);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	set_key(fd, &from);
	set_key(client, &sin);
	assert_int_equal(
		connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	served = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_refused(served, HANDOFF__MD5, "TCP-MD5");
	assert_refused(client, HANDOFF__MD5, "TCP-MD5");
	close(served);
	close(client);
	close(fd);
}

static void
urgent_byte_out_of_line(void **state)
{
	struct handoff__error error = {""};
	struct handoff__image image;
	struct pair p;
	char text[16];
	int off = 0;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	setsockopt(p.served, SOL_SOCKET, SO_OOBINLINE, &off, sizeof(off));
	assert_int_equal(send(p.client, "abc", 3, 0), 3);
	assert_int_equal(send(p.client, "U", 1, MSG_OOB), 1);
	assert_int_equal(send(p.client, "defg", 4, 0), 4);
	assert_true(support_poll(p.served, POLLPRI) & POLLPRI);
	assert_refused(p.served, HANDOFF__URGENT, "urgent");
	/* it was taken, and its place is still in the input */
	assert_int_equal(recv(p.served, text, 1, MSG_OOB), 1);
	assert_int_equal(text[0], 'U');
	host_route(TO_HOLE);
	assert_int_equal(
		handoff__migrate_freeze(p.served, &image, &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.text, "SO_OOBINLINE"));
	assert_int_equal(handoff__migrate_mode(p.served), 0);
	assert_int_equal(socket_option(p.served, SOL_SOCKET, SO_OOBINLINE), 0);
	host_route(TO_A);
	assert_int_equal(recv(p.served, text, sizeof(text), MSG_DONTWAIT), 3);
	assert_int_equal(recv(p.served, text, sizeof(text), MSG_DONTWAIT), 4);
	assert_memory_equal(text, "defg", 4);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
link_local(void **state)
{
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_addr.s6_addr = {0xfe, 0x80, [15] = 0x77},
		.sin6_scope_id = 1, /* lo */
	};
	socklen_t len = sizeof(six);
	int fd, client, served;

	(void)state;
	hosts_need();
	host_ip(HOST_A, "addr replace fe80::77/64 dev lo nodad");
	host_settle(HOST_A);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&six, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&six, &len), 0);
	client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* its route is there a little later still */
	while (connect(client, (struct sockaddr *)&six, len) < 0)
		sched_yield();
	served = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_refused(served, HANDOFF__LINK_LOCAL, "link-local");
	close(served);
	close(client);
	close(fd);
}

static void
assert_loopback_refused(const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage bound;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client, served;

	assert_int_equal(bind(fd, sa, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
	client = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&bound, len), 0);
	served = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_refused(served, HANDOFF__LOOPBACK, "on this host");
	close(served);
	close(client);
	close(fd);
}

static void
loopback(void **state)
{
	struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};

	(void)state;
	hosts_need();
	assert_loopback_refused((struct sockaddr *)&four, sizeof(four));
	assert_loopback_refused((struct sockaddr *)&six, sizeof(six));
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr);
	assert_loopback_refused((struct sockaddr *)&six, sizeof(six));
}

/* Packets come in while it is frozen, which is not how it should be, but what
 * it takes is not lost on the way back. */
static void
rollback(enum kind kind)
{
	struct handoff__image image;
	struct pair p;

	hosts_need();
	pair_open(&p, kind);
	pair_ask(&p, 700);
	pair_await_unread(&p, 700);
	pair_answer_full(&p);
	assert_int_equal(handoff__migrate_freeze(p.served, &image, NULL), 0);
	assert_int_equal(handoff__migrate_unchanged(p.served, &image, NULL), 0);
	pair_ask(&p, 300);
	pair_await_unread(&p, 1000);
	assert_int_equal(
		handoff__migrate_unchanged(p.served, &image, NULL), -EAGAIN);
	assert_int_equal(handoff__migrate_unfreeze(p.served, &image, NULL), 0);
	handoff__image_free(&image);
	assert_int_equal(socket_option(p.served, SOL_SOCKET, SO_REUSEADDR), 1);
	pair_assert_works(&p, 100000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
rollback_four(void **state)
{
	(void)state;
	rollback(FOUR);
}

static void
rollback_six(void **state)
{
	(void)state;
	rollback(SIX);
}

static uint32_t
segments_in(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_segs_in;
}

/* A window probe comes, which has nothing that was not there. */
static void
unchanged_by_a_probe(void **state)
{
	struct handoff__image image;
	uint32_t before;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_ask(&p, 700);
	pair_await_unread(&p, 700);
	assert_int_equal(handoff__migrate_freeze(p.served, &image, NULL), 0);
	before = segments_in(p.served);
	host_enter(HOST_C);
	assert_int_equal(handoff__migrate_mode_on(p.client, NULL), 0);
	assert_int_equal(handoff__migrate_mode_off_probing(p.client, NULL), 0);
	host_enter(HOST_A);
	while (segments_in(p.served) == before)
		sched_yield();
	assert_int_equal(handoff__migrate_unchanged(p.served, &image, NULL), 0);
	assert_int_equal(handoff__migrate_unfreeze(p.served, &image, NULL), 0);
	handoff__image_free(&image);
	pair_assert_works(&p, 1000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* Again and again, with traffic in between. */
static void
rollback_often(void **state)
{
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, MAPPED);
	for (int i = 0; i < 100; i++) {
		pair_ask(&p, 100);
		pair_await_unread(&p, 100);
		pair_answer(&p, 200);
		pair_await_unacked(&p, 0);
		assert_int_equal(
			handoff__migrate_freeze(p.served, &image, NULL), 0);
		assert_int_equal(
			handoff__migrate_unfreeze(p.served, &image, NULL), 0);
		handoff__image_free(&image);
		pair_take_asked(&p, 100);
		pair_take_answer(&p, 200);
	}
	/* one that is not frozen stays as it is */
	assert_int_equal(handoff__migrate_unfreeze(p.served, NULL, NULL), 0);
	pair_assert_works(&p, 100000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* A reset would be the end for the client. */
static void
end_is_for_frozen_ones(void **state)
{
	struct handoff__error error = {""};
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	assert_int_equal(handoff__migrate_end(p.served, &error), -EINVAL);
	assert_non_null(strstr(error.text, "not frozen"));
	assert_int_equal(handoff__migrate_unchanged(
				 p.served, &(struct handoff__image){0}, NULL),
		-EINVAL);
	pair_assert_works(&p, 1000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* Copies in other processes end with it. */
static void
end_is_quiet(void **state)
{
	struct handoff__image image;
	struct pair p;
	long sent;
	int copy;
	char byte;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_answer(&p, 100);
	pair_await_unacked(&p, 0);
	copy = dup(p.served);
	pair_freeze(&p, &image);
	sent = host_counter(HOST_A, "OutSegs");
	assert_int_equal(handoff__migrate_end(p.served, NULL), 0);
	assert_true(recv(copy, &byte, 1, MSG_DONTWAIT) <= 0);
	assert_int_not_equal(errno, EPERM);
	close(copy);
	close(p.served);
	p.served = -1;
	assert_int_equal(host_counter(HOST_A, "OutSegs"), sent);
	handoff__image_free(&image);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* In a child without the capability. */
static void
without_privilege(void **state)
{
	struct handoff__error error = {""};
	struct handoff__image image;
	struct pair p;
	int pid;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pid = fork();
	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) < 0 ||
			handoff__migrate_freeze(p.served, &image, &error) !=
				-EPERM ||
			!strstr(error.text, "CAP_NET_ADMIN"))
			_exit(1);
		_exit(handoff__migrate_mode(p.served));
	}
	support_reap(pid);
	assert_int_equal(socket_option(p.served, SOL_SOCKET, SO_REUSEADDR), 1);
	pair_assert_works(&p, 1000);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(other_sockets),
		handoff_test(listens),
		handoff_test(mptcp),
		handoff_test(handshake),
		handoff_test(both_have_ended),
		handoff_test(every_state),
		handoff_test(every_reason_has_a_word),
		handoff_test(frozen_already),
		handoff_test(signed_segments),
		handoff_test(urgent_byte_out_of_line),
		handoff_test(link_local),
		handoff_test(loopback),
		handoff_test(rollback_four),
		handoff_test(rollback_six),
		handoff_test(unchanged_by_a_probe),
		handoff_test(rollback_often),
		handoff_test(end_is_for_frozen_ones),
		handoff_test(end_is_quiet),
		handoff_test(without_privilege),
	};

	return cmocka_run_group_tests_name("refuse", tests, NULL, NULL);
}
