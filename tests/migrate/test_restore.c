/* SPDX-License-Identifier: MIT */
/*
 * The new host: options that go along, a prepared connection that nobody
 * notices, and what is said where it cannot be.
 */
#include "migrate/hosts.h"

#include "migrate/mode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct setting {
	int level, name, value;
};

static const struct setting settings[] = {
	{SOL_SOCKET, SO_REUSEPORT, 1},
	{SOL_SOCKET, SO_MARK, 77},
	{SOL_SOCKET, SO_KEEPALIVE, 1},
	{SOL_SOCKET, SO_OOBINLINE, 1},
	{SOL_SOCKET, SO_REUSEADDR, 1},
	{SOL_SOCKET, SO_RCVLOWAT, 3},
	{SOL_SOCKET, SO_ZEROCOPY, 1},
	{IPPROTO_TCP, TCP_NODELAY, 1},
	{IPPROTO_TCP, TCP_KEEPIDLE, 17},
	{IPPROTO_TCP, TCP_KEEPINTVL, 18},
	{IPPROTO_TCP, TCP_KEEPCNT, 19},
	{IPPROTO_TCP, TCP_LINGER2, 20},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 21000},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 22000},
	{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1},
	{IPPROTO_TCP, TCP_INQ, 1},
	{IPPROTO_IP, IP_TOS, 0x48},
	{IPPROTO_IP, IP_TTL, 23},
	{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT},
	{IPPROTO_IP, IP_RECVERR, 1},
	{IPPROTO_IP, IP_MINTTL, 5},
	{IPPROTO_IPV6, IPV6_TCLASS, 0x88},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, 24},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT},
	{IPPROTO_IPV6, IPV6_RECVERR, 1},
	{IPPROTO_IPV6, IPV6_MINHOPCOUNT, 6},
	/* after the traffic class */
	{SOL_SOCKET, SO_PRIORITY, 4},
};

#define SETTINGS (sizeof(settings) / sizeof(*settings))

static bool
concerns(const struct setting *s, enum kind kind)
{
	return s->level == IPPROTO_IP     ? kind != SIX
	       : s->level == IPPROTO_IPV6 ? kind == SIX
					  : true;
}

static void
set_all(int fd, enum kind kind)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 7};
	struct timeval in = {.tv_sec = 3, .tv_usec = 500000};
	struct timeval out = {.tv_sec = 4};
	unsigned rate = 123456789;
	int err = 0;

	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];

		if (concerns(s, kind) && handoff__migrate_set(fd, s->level,
						 s->name, s->value) < 0)
			fail_msg("setting %d of level %d: %s", s->name,
				s->level, strerror(errno));
	}
	err |= setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	err |= setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &in, sizeof(in));
	err |= setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &out, sizeof(out));
	err |= setsockopt(
		fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
	err |= setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	assert_int_equal(err, 0);
}

static void
assert_all(int fd, enum kind kind)
{
	struct linger linger = {0};
	struct timeval in = {0}, out = {0};
	char congestion[16] = "";
	socklen_t len = sizeof(linger);

	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		int value = -1;

		if (!concerns(s, kind))
			continue;
		value = socket_option(fd, s->level, s->name);
		if (value != s->value)
			fail_msg("option %d of level %d is %d, was %d", s->name,
				s->level, value, s->value);
	}
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len);
	assert_true(linger.l_onoff);
	assert_int_equal(linger.l_linger, 7);
	len = sizeof(in);
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &in, &len);
	assert_int_equal(in.tv_sec, 3);
	assert_int_equal(in.tv_usec, 500000);
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &out, &len);
	assert_int_equal(out.tv_sec, 4);
	assert_int_equal(
		socket_option(fd, SOL_SOCKET, SO_MAX_PACING_RATE), 123456789);
	len = sizeof(congestion);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &len);
	assert_string_equal(congestion, "reno");
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* There and back. */
static void
options_are_kept(enum kind kind)
{
	struct pair p;

	hosts_need();
	pair_open(&p, kind);
	set_all(p.served, kind);
	pair_move(&p, HOST_B);
	assert_all(p.served, kind);
	pair_move(&p, HOST_A);
	assert_all(p.served, kind);
	handoff__migrate_set(p.served, SOL_SOCKET, SO_RCVLOWAT, 1);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
options_are_kept_four(void **state)
{
	(void)state;
	options_are_kept(FOUR);
}

static void
options_are_kept_six(void **state)
{
	(void)state;
	options_are_kept(SIX);
}

static void
options_are_kept_mapped(void **state)
{
	(void)state;
	options_are_kept(MAPPED);
}

/* Freezes one with these options, prepares it on B as one of many, and checks
 * that it has them. */
static void
as_one_of_many(
	struct handoff__usual *usual, const struct setting *want, size_t count)
{
	struct handoff__restore restore;
	struct handoff__error error = {""};
	struct handoff__image image;
	struct pair p;

	pair_open(&p, FOUR);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(handoff__migrate_set(p.served, want[i].level,
					 want[i].name, want[i].value),
			0);
	pair_freeze(&p, &image);
	host_enter(HOST_B);
	if (handoff__migrate_prepare_with(&restore, &image, usual, 0, &error) <
		0)
		fail_msg("%s", error.text);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(
			socket_option(restore.fd, want[i].level, want[i].name),
			want[i].value);
	handoff__migrate_abandon(&restore);
	host_enter(HOST_A);
	pair_unfreeze(&p, &image);
	pair_assert_works(&p, 1000);
	pair_close(&p);
}

/* The defaults of B are not those of A: each connection has its own values,
 * whether these are what a new socket has there, or here, or neither. */
static void
options_of_many(void **state)
{
	struct handoff__usual usual = {.knows_four = false};
	const struct setting none[] = {
		{IPPROTO_TCP, TCP_KEEPIDLE, 7200}, {IPPROTO_IP, IP_TTL, 64}};
	const struct setting theirs[] = {
		{IPPROTO_TCP, TCP_KEEPIDLE, 100}, {IPPROTO_IP, IP_TTL, 33}};
	const struct setting own[] = {
		{IPPROTO_TCP, TCP_KEEPIDLE, 50}, {IPPROTO_IP, IP_TTL, 9}};
	/* which would change the priority, that is as on any socket */
	const struct setting class[] = {
		{IPPROTO_IP, IP_TOS, 0x48}, {SOL_SOCKET, SO_PRIORITY, 0}};

	(void)state;
	hosts_need();
	host_set(HOST_B, "ipv4/tcp_keepalive_time", "100");
	host_set(HOST_B, "ipv4/ip_default_ttl", "33");
	for (int i = 0; i < 2; i++) {
		as_one_of_many(&usual, none, 2);
		as_one_of_many(&usual, theirs, 2);
		as_one_of_many(&usual, own, 2);
		as_one_of_many(&usual, class, 2);
	}
	assert_true(usual.knows_four && !usual.knows_six);
	assert_int_equal(usual.four.value[HANDOFF__OPT_KEEPIDLE], 100);
	host_set(HOST_B, "ipv4/tcp_keepalive_time", "7200");
	host_set(HOST_B, "ipv4/ip_default_ttl", "64");
	hosts_assert_no_resets();
}

/* What nobody has set is as on any socket, and buffers go on growing. */
static void
defaults_are_kept(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image, again;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_freeze(&p, &image);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	pair_freeze(&p, &again);
	for (int i = 0; i < HANDOFF__OPTS; i++) {
		if (i == HANDOFF__OPT_SNDBUF || i == HANDOFF__OPT_RCVBUF)
			assert_true(again.options.value[i] >=
				    image.options.value[i]);
		else
			assert_int_equal(
				again.options.value[i], image.options.value[i]);
	}
	assert_int_equal(image.options.value[HANDOFF__OPT_BUF_LOCK], 0);
	assert_string_equal(again.options.congestion, image.options.congestion);
	assert_true(again.options.pacing == image.options.pacing);
	handoff__image_free(&image);
	handoff__image_free(&again);
	pair_close(&p);
}

/* A listener of the service can be opened beside it, on either host. */
static void
a_listener_beside_it(void **state)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	struct pair p;
	int fd, one = 1;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_move(&p, HOST_B);
	assert_int_equal(
		getsockname(p.served, (struct sockaddr *)&sin, &len), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	pair_close(&p);
}

/* Output that nobody has acknowledged, and keepalive every second: for longer
 * than the kernel waits with either, nothing leaves. */
static void
a_prepared_connection_is_silent(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	long sent;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_assert_works(&p, 10000);
	handoff__migrate_set(p.served, SOL_SOCKET, SO_KEEPALIVE, 1);
	handoff__migrate_set(p.served, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	handoff__migrate_set(p.served, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	socket_deaf(p.client);
	pair_answer(&p, 5000);
	pair_freeze(&p, &image);
	sent = host_counter(HOST_B, "OutSegs");
	pair_carry(&p, &image, HOST_B, &restore);
	assert_int_equal(poll(NULL, 0, 1500), 0);
	assert_int_equal(host_counter(HOST_B, "OutSegs"), sent);
	socket_hears(p.client);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_assert_works(&p, 1000);
	assert_int_equal(socket_option(p.served, SOL_SOCKET, SO_KEEPALIVE), 1);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* Prepared on B, given up, and it goes on on A. */
static void
abandoned(void **state)
{
	struct handoff__restore restore = {.stage = HANDOFF__RESTORE_NONE};
	struct handoff__image image;
	struct pair p;
	long sent;

	(void)state;
	hosts_need();
	handoff__migrate_abandon(&restore);
	pair_open(&p, SIX);
	pair_ask(&p, 100);
	pair_await_unread(&p, 100);
	pair_answer(&p, 5000);
	pair_freeze(&p, &image);
	sent = host_counter(HOST_B, "OutSegs");
	host_enter(HOST_B);
	assert_int_equal(
		handoff__migrate_prepare(&restore, &image, 0, NULL), 0);
	handoff__migrate_abandon(&restore);
	assert_int_equal(restore.stage, HANDOFF__RESTORE_NONE);
	handoff__migrate_abandon(&restore);
	assert_int_equal(
		handoff__migrate_commit(&restore, &image, NULL), -EINVAL);
	assert_int_equal(host_counter(HOST_B, "OutSegs"), sent);
	pair_unfreeze(&p, &image);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
assert_not_prepared(const struct handoff__image *image, unsigned flags, int err,
	const char *sentence)
{
	struct handoff__restore restore = {.fd = -77};
	struct handoff__error error = {""};

	assert_int_equal(
		handoff__migrate_prepare(&restore, image, flags, &error), err);
	assert_int_equal(restore.fd, -77);
	if (!strstr(error.text, sentence))
		fail_msg("'%s' does not say '%s'", error.text, sentence);
}

static void
not_here(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image, other;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_freeze(&p, &image);
	/* the same connection twice */
	assert_not_prepared(
		&image, 0, -EADDRNOTAVAIL, "still has a connection");
	host_enter(HOST_B);
	assert_int_equal(
		handoff__migrate_prepare(&restore, &image, 0, NULL), 0);
	assert_not_prepared(
		&image, 0, -EADDRNOTAVAIL, "still has a connection");
	handoff__migrate_abandon(&restore);
	/* not its address; but with IP_TRANSPARENT */
	other = image;
	other.local[3] = 101;
	assert_not_prepared(&other, 0, -EADDRNOTAVAIL, "not configured");
	assert_int_equal(handoff__migrate_prepare(&restore, &other,
				 HANDOFF__RESTORE_TRANSPARENT, NULL),
		0);
	handoff__migrate_abandon(&restore);
	/* no way to the peer */
	other = image;
	memcpy(other.peer, (unsigned char[]){192, 0, 2, 1}, 4);
	assert_not_prepared(&other, 0, -ENETUNREACH, "peer's address");
	/* what this kernel has not */
	other = image;
	strcpy(other.options.congestion, "no-such");
	assert_not_prepared(&other, 0, -ENOENT, "'no-such'");
	other = image;
	strcpy(other.options.device, "no-such0");
	assert_not_prepared(&other, 0, -ENODEV, "'no-such0'");
	/* what is no image */
	other = image;
	other.mss = 0;
	assert_not_prepared(&other, 0, -EBADMSG, "segment size");
	pair_unfreeze(&p, &image);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* The process that prepared it has lost the privilege; one that has it
 * commits. */
static void
commit_without_privilege(void **state)
{
	struct handoff__error error = {""};
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	int pid;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	socket_deaf(p.client);
	pair_answer(&p, 5000);
	shutdown(p.served, SHUT_WR);
	pair_freeze(&p, &image);
	pair_carry(&p, &image, HOST_B, &restore);
	socket_hears(p.client);
	pid = fork();
	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) < 0 ||
			handoff__migrate_commit(&restore, &image, &error) !=
				-EPERM ||
			!strstr(error.text, "CAP_NET_ADMIN") ||
			restore.stage != HANDOFF__RESTORE_FILLED)
			_exit(1);
		_exit(0);
	}
	support_reap(pid);
	assert_int_equal(
		handoff__migrate_resume(&restore, restore.fd, &image, NULL), 0);
	assert_int_equal(restore.taken, 5000);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_take_answer(&p, 5000);
	await_end(p.client);
	pair_ask(&p, 100);
	pair_take_asked(&p, 100);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* The process that prepared it is killed: nothing leaves the host, and another
 * one can prepare it again. */
static void
killed_while_prepared(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	int pid, status;
	long sent;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_answer(&p, 5000);
	pair_freeze(&p, &image);
	sent = host_counter(HOST_B, "OutSegs");
	pid = fork();
	if (pid == 0) {
		host_enter(HOST_B);
		if (handoff__migrate_prepare(&restore, &image, 0, NULL) == 0)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	pair_carry(&p, &image, HOST_B, &restore);
	assert_int_equal(host_counter(HOST_B, "OutSegs"), sent);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_assert_works(&p, 1000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* From each stage, by what is found on the socket alone. */
static void
resumed(void **state)
{
	struct handoff__restore restore, found;
	struct handoff__image image, other;
	struct pair p;
	size_t all;

	(void)state;
	hosts_need();
	pair_open(&p, SIX);
	socket_deaf(p.client);
	all = pair_answer_full(&p);
	pair_freeze(&p, &image);
	assert_true(image.unsent > 0 && image.unsent < image.out_len);
	pair_carry(&p, &image, HOST_B, &restore);
	socket_hears(p.client);
	other = image;
	other.peer_port++;
	assert_int_equal(
		handoff__migrate_resume(&found, restore.fd, &other, NULL),
		-EINVAL);
	assert_int_equal(
		handoff__migrate_resume(&found, restore.fd, &image, NULL), 0);
	assert_int_equal(found.stage, HANDOFF__RESTORE_PREPARED);
	assert_int_equal(found.taken, 0);
	/* it serves, and nobody has written that down */
	host_route(TO_B);
	assert_int_equal(handoff__migrate_commit(&restore, &image, NULL), 0);
	assert_int_equal(
		handoff__migrate_resume(&found, restore.fd, &image, NULL), 0);
	assert_int_equal(found.stage, HANDOFF__RESTORE_FILLED);
	assert_int_equal(found.taken, restore.taken);
	assert_int_equal(handoff__migrate_commit(&found, &image, NULL), 0);
	assert_int_equal(found.stage, HANDOFF__RESTORE_SERVING);
	p.served = found.fd;
	pair_send_rest(
		&p, image.out + found.taken, image.out_len - found.taken);
	handoff__image_free(&image);
	pair_take_answer(&p, (size_t)(p.to_client - p.from_served));
	assert_int_equal(p.from_served, all);
	pair_assert_works(&p, 1000);
	hosts_assert_no_resets();
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(options_are_kept_four),
		handoff_test(options_are_kept_six),
		handoff_test(options_are_kept_mapped),
		handoff_test(options_of_many),
		handoff_test(defaults_are_kept),
		handoff_test(a_listener_beside_it),
		handoff_test(a_prepared_connection_is_silent),
		handoff_test(abandoned),
		handoff_test(not_here),
		handoff_test(commit_without_privilege),
		handoff_test(killed_while_prepared),
		handoff_test(resumed),
	};

	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
