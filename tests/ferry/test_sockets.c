/* SPDX-License-Identifier: MIT */
/*
 * Whether this host has a connection: the kernel is asked about one of each
 * family in every state that it can be in, and about those that are not there,
 * beside a listener of the same port.
 */
#include "support/support.h"

#include "ferry/unfreeze/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection of this host to itself. */
struct own {
	int listener, client, served;
	struct handoff__flow flow; /* of the served one */
};

static struct handoff__sockets sockets;

static int
setup(void **state)
{
	struct handoff__error error = {""};

	if (support_setup(state) < 0)
		return -1;
	return handoff__sockets_open(&sockets, &error);
}

static int
teardown(void **state)
{
	handoff__sockets_close(&sockets);
	return support_teardown(state);
}

#define sockets_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
any_port(int family, struct sockaddr_storage *sa, socklen_t *len)
{
	struct sockaddr_in *four = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)sa;

	memset(sa, 0, sizeof(*sa));
	sa->ss_family = (sa_family_t)family;
	*len = family == AF_INET ? sizeof(*four) : sizeof(*six);
	if (family == AF_INET)
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		six->sin6_addr = in6addr_loopback;
}

static int
stream(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static void
own_open(struct own *own, int family)
{
	struct sockaddr_storage sa;
	socklen_t len;

	any_port(family, &sa, &len);
	own->listener = stream(family);
	own->client = stream(family);
	assert_int_equal(bind(own->listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(own->listener, 1), 0);
	assert_int_equal(
		getsockname(own->listener, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(connect(own->client, (struct sockaddr *)&sa, len), 0);
	own->served = accept4(own->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(own->served >= 0);
	assert_int_equal(handoff__flow_of(own->served, &own->flow), 0);
}

static void
reset(int fd)
{
	struct linger linger = {.l_onoff = 1};

	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
		0);
	close(fd);
}

static bool
has(const struct handoff__flow *flow)
{
	return handoff__sockets_have(&sockets, flow);
}

/* The other end of the same connection. */
static struct handoff__flow
turned(const struct handoff__flow *flow)
{
	struct handoff__flow other = {
		.family = flow->family,
		.local_port = flow->peer_port,
		.peer_port = flow->local_port,
	};

	memcpy(other.local, flow->peer, sizeof(other.local));
	memcpy(other.peer, flow->local, sizeof(other.peer));
	return other;
}

static void
live_one(int family)
{
	struct handoff__flow other;
	struct own own;

	own_open(&own, family);
	assert_int_equal(own.flow.family, family == AF_INET ? 4 : 6);
	assert_true(has(&own.flow));
	other = turned(&own.flow);
	assert_true(has(&other));
	/* its listener is no connection, of whatever other end */
	other = own.flow;
	other.peer_port ^= 1;
	assert_false(has(&other));
	/* both ended in order: one end waits for what may still come */
	assert_int_equal(shutdown(own.served, SHUT_WR), 0);
	assert_true(has(&own.flow));
	reset(own.client);
	reset(own.served);
	assert_false(has(&own.flow));
	close(own.listener);
	assert_false(has(&own.flow));
}

static void
connection_is_there_until_it_ends(void **state)
{
	(void)state;
	live_one(AF_INET);
}

static void
connection_of_six_as_well(void **state)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage sa;
	socklen_t len;
	int err;

	(void)state;
	any_port(AF_INET6, &sa, &len);
	err = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sa, len);
	if (fd >= 0)
		close(fd);
	if (err < 0) {
		print_message("SKIP: no IPv6 on lo\n");
		skip();
	}
	live_one(AF_INET6);
}

/* The client came first, and nobody has a socket of it any more. */
static void
one_that_has_just_ended_counts(void **state)
{
	struct handoff__flow client;
	struct own own;

	(void)state;
	own_open(&own, AF_INET);
	client = turned(&own.flow);
	close(own.client);
	assert_true(support_poll(own.served, POLLIN) & POLLIN);
	close(own.served);
	close(own.listener);
	/* TIME_WAIT is the client's */
	assert_true(has(&client));
	assert_false(has(&own.flow));
}

/* Asks about a connection, and does not read the answer. */
static void
give_up(const struct handoff__flow *flow)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} question = {
		.head = {.nlmsg_len = sizeof(question),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = ++sockets.seq},
		.body = {.sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = UINT32_MAX,
			.id = {.idiag_sport = htons(flow->local_port),
				.idiag_dport = htons(flow->peer_port),
				.idiag_cookie = {INET_DIAG_NOCOOKIE,
					INET_DIAG_NOCOOKIE}}},
	};

	memcpy(question.body.id.idiag_src, flow->local, 4);
	memcpy(question.body.id.idiag_dst, flow->peer, 4);
	assert_int_equal(
		mnl_socket_sendto(sockets.netlink, &question, sizeof(question)),
		sizeof(question));
}

static void
answers_belong_to_their_questions(void **state)
{
	struct handoff__flow absent;
	struct own own;

	(void)state;
	own_open(&own, AF_INET);
	absent = own.flow;
	absent.local_port = absent.peer_port;
	give_up(&own.flow);
	give_up(&own.flow);
	assert_false(has(&absent));
	assert_true(has(&own.flow));
	reset(own.client);
	reset(own.served);
	close(own.listener);
}

/* It cannot be asked: the connection may be there. */
static void
without_an_answer_it_counts(void **state)
{
	struct handoff__flow flow = {.family = 4, .local_port = 1};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd = mnl_socket_get_fd(sockets.netlink);

	(void)state;
	assert_false(has(&flow));
	assert_int_equal(dup3(null, fd, O_CLOEXEC), fd);
	close(null);
	assert_true(has(&flow));
}

static void
without_descriptors_the_reason_is_said(void **state)
{
	struct handoff__error error = {""};
	struct handoff__sockets second;

	(void)state;
	support_not_in_valgrind();
	support_limit_descriptors(0);
	assert_int_equal(handoff__sockets_open(&second, &error), -EMFILE);
	support_unlimit_descriptors();
	assert_string_equal(error.text,
		"sockets: opening a netlink socket: Too many open files");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		sockets_test(connection_is_there_until_it_ends),
		sockets_test(connection_of_six_as_well),
		sockets_test(one_that_has_just_ended_counts),
		sockets_test(answers_belong_to_their_questions),
		sockets_test(without_an_answer_it_counts),
		sockets_test(without_descriptors_the_reason_is_said),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
