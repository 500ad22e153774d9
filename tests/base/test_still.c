/* SPDX-License-Identifier: MIT */
/*
 * A socket that stands still, seen from the wire: a packet socket on the
 * loopback device of a namespace of its own, whose packets are small, shows
 * each segment that the kernel sends, and whether it was sent before.
 */
#include "support/support.h"

#include "base/still.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MTU      1280       /* the least of IPv6 */
#define SEGMENT  (MTU - 52) /* with time stamps */
#define FLAGS_AT 13         /* in a TCP header */
#define HEAD6    40         /* of IPv6 */
#define RST      0x04
#define SYN      0x02

struct world {
	int listener, client, served, wire;
	uint16_t port;     /* of the listener */
	bool started;      /* `first` and `end` are known */
	uint32_t first;    /* the number of the first byte that was sent */
	uint32_t end;      /* and behind the last one */
	unsigned fresh;    /* bytes sent for the first time */
	unsigned again;    /* segments with bytes that had been sent */
	unsigned empty;    /* segments without data */
	unsigned resets;   /* and segments with RST */
	uint64_t received; /* bytes that the client has read */
};

static const char *lacking;
static int family = AF_INET; /* of what is built */
static bool locked;          /* a least TTL has to stand in for the filter */

/* The namespace is the process's, before any test counts descriptors. */
__attribute__((constructor)) static void
make_namespace(void)
{
	struct ifreq lo = {.ifr_name = "lo"};
	int fd;

	if (unshare(CLONE_NEWNET) < 0) {
		lacking = "needs root, to make a network namespace";
		return;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	lo.ifr_mtu = MTU;
	if (ioctl(fd, SIOCSIFMTU, &lo) < 0)
		lacking = "the MTU of lo cannot be set";
	lo.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		lacking = "lo cannot be brought up";
	close(fd);
}

/* Gives CAP_NET_ADMIN up, or takes it again. */
static void
set_privilege(bool on)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	uint32_t bit = 1u << CAP_NET_ADMIN;

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	if (on)
		data[0].effective |= bit;
	else
		data[0].effective &= ~bit;
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static int
open_wire(void)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex("lo"),
	};
	int size = 1 << 24, fd;

	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)),
		0);
	return fd;
}

static int
open_socket(void)
{
	return socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static socklen_t
make_address(struct sockaddr_in6 *address, uint16_t port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	*address = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = port,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	if (family == AF_INET6)
		return sizeof(*address);
	memcpy(address, &sin, sizeof(sin));
	return sizeof(sin);
}

/* Nobody can attach a filter to it any more, as on a kernel that lets only a
 * privileged process do so. */
static void
lock(int fd)
{
	int on = 1;

	if (locked)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on,
					 sizeof(on)),
			0);
}

/* `window`: the most that the client's buffer takes; 0: the default. */
static void
build(struct world *w, int window)
{
	struct sockaddr_in6 address;
	socklen_t len = make_address(&address, 0);

	support_not_emulated("it has no packet sockets");
	if (lacking) {
		print_message("SKIP: %s\n", lacking);
		skip();
	}
	*w = (struct world){.wire = open_wire()};
	w->listener = open_socket();
	assert_int_equal(
		bind(w->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(w->listener, 4), 0);
	assert_int_equal(
		getsockname(w->listener, (struct sockaddr *)&address, &len), 0);
	w->port = address.sin6_port; /* where that of IPv4 is */
	w->client = open_socket();
	if (window > 0)
		setsockopt(w->client, SOL_SOCKET, SO_RCVBUF, &window,
			sizeof(window));
	assert_int_equal(
		connect(w->client, (struct sockaddr *)&address, len), 0);
	w->served = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(w->served >= 0);
	lock(w->served);
	lock(w->listener);
}

static void
destroy(struct world *w)
{
	int fds[] = {w->listener, w->client, w->served, w->wire};

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

/* Enters a segment of the server's side. */
static void
enter(struct world *w, uint32_t seq, uint32_t len, unsigned flags)
{
	if (flags & RST)
		w->resets++;
	if (flags & (SYN | RST))
		return;
	if (!w->started && len > 0) {
		w->started = true;
		w->first = w->end = seq;
	}
	if (len == 0)
		w->empty++;
	else if ((int32_t)(seq - w->end) < 0)
		w->again++;
	if (len > 0 && (int32_t)(seq + len - w->end) > 0) {
		w->fresh += seq + len - w->end;
		w->end = seq + len;
	}
}

/* Reads one packet; false if there is none. */
static bool
read_packet(struct world *w)
{
	unsigned char packet[1 << 16];
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	uint32_t seq, head, whole;
	const unsigned char *tcp;
	bool v6;
	ssize_t n = recvfrom(w->wire, packet, sizeof(packet), MSG_DONTWAIT,
		(struct sockaddr *)&from, &len);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	v6 = packet[0] >> 4 == 6;
	if (from.sll_pkttype != PACKET_OUTGOING ||
		packet[v6 ? 6 : 9] != IPPROTO_TCP)
		return true;
	head = v6 ? HEAD6 : (packet[0] & 15u) * 4;
	whole = (uint32_t)packet[v6 ? 4 : 2] << 8 | packet[v6 ? 5 : 3];
	whole += v6 ? HEAD6 : 0;
	tcp = packet + head;
	if (memcmp(tcp, &w->port, 2) != 0)
		return true;
	memcpy(&seq, tcp + 4, sizeof(seq));
	enter(w, ntohl(seq), whole - head - (tcp[12] >> 4) * 4u, tcp[FLAGS_AT]);
	return true;
}

/* Reads what has been on the wire, and begins to count anew. */
static void
look(struct world *w)
{
	while (read_packet(w))
		;
	w->fresh = w->again = w->empty = w->resets = 0;
}

/* Waits for that many more segments that were sent before, or are empty. */
static void
await_repeats(struct world *w, unsigned count)
{
	struct pollfd p = {.fd = w->wire, .events = POLLIN};

	while (w->again + w->empty < count) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		read_packet(w);
	}
	while (read_packet(w))
		;
}

/* The byte at that place of the stream. */
static unsigned char
byte_at(uint64_t at)
{
	return (unsigned char)(at * 7 + (at >> 8));
}

/* Sends until the kernel takes no more; returns how much that is. */
static uint64_t
fill(int fd)
{
	unsigned char data[1024];
	uint64_t sent = 0;
	ssize_t n;

	do {
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = byte_at(sent + i);
		n = send(fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (uint64_t)n : 0;
	} while (n == sizeof(data));
	return sent;
}

/* The client reads what is there, which is what was sent. */
static void
drain(struct world *w, int flags)
{
	unsigned char data[4096];
	ssize_t n = recv(w->client, data, sizeof(data), flags);

	for (; n > 0; n = recv(w->client, data, sizeof(data), MSG_DONTWAIT)) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(
				data[i], byte_at(w->received + (uint64_t)i));
		w->received += (uint64_t)n;
	}
}

static void
assert_goes_on(struct world *w, uint64_t sent, bool privileged)
{
	set_privilege(privileged);
	assert_int_equal(handoff__still_thaw(w->served), 0);
	set_privilege(true);
	while (w->received < sent) {
		uint64_t before = w->received;

		assert_true(support_poll(w->client, POLLIN) & POLLIN);
		drain(w, MSG_DONTWAIT);
		assert_true(w->received > before);
	}
	assert_int_equal(w->received, sent);
	assert_int_equal(send(w->client, "x", 1, MSG_NOSIGNAL), 1);
	assert_true(support_poll(w->served, POLLIN) & POLLIN);
}

/* Both ways: as root, and as a user. */
static void
freeze(struct world *w, bool privileged)
{
	set_privilege(privileged);
	assert_int_equal(handoff__still_freeze(w->served),
		privileged ? HANDOFF__STILL_DEAF | HANDOFF__STILL_REPAIR
			   : HANDOFF__STILL_DEAF);
	set_privilege(true);
}

static void
check_open_window(bool privileged)
{
	struct world w;
	uint64_t sent;

	build(&w, 4096);
	sent = fill(w.served);
	/* its window is closed, and the kernel has begun to probe it */
	await_repeats(&w, 1);
	freeze(&w, privileged);
	look(&w);
	assert_true(sent > w.end - w.first);
	drain(&w, 0);
	await_repeats(&w, 3);
	assert_int_equal(w.fresh, 0);
	assert_goes_on(&w, sent, privileged);
	destroy(&w);
}

static void
nothing_is_sent_into_a_window_that_opens(void **state)
{
	(void)state;
	check_open_window(false);
}

static void
nor_in_repair_mode(void **state)
{
	(void)state;
	check_open_window(true);
}

/* Nothing is acknowledged, so that the kernel looks for a loss. */
static uint64_t
send_into_silence(struct world *w)
{
	uint64_t sent;

	build(w, 0);
	/* the client's kernel gets nothing any more, either */
	assert_true(handoff__still_freeze(w->client) > 0);
	sent = fill(w->served);
	return sent;
}

static void
repeats_are_the_kernels_own(void **state)
{
	struct world w;
	uint64_t sent;

	(void)state;
	sent = send_into_silence(&w);
	freeze(&w, true);
	look(&w);
	assert_true(sent > w.end - w.first);
	await_repeats(&w, 3);
	assert_int_equal(w.fresh, 0);
	assert_int_equal(w.again, 3);
	assert_int_equal(handoff__still_thaw(w.client), 0);
	assert_goes_on(&w, sent, true);
	destroy(&w);
}

/* What an unprivileged process cannot prevent: one segment. */
static void
one_segment_probes_for_a_loss(void **state)
{
	struct world w;
	uint64_t sent;

	(void)state;
	sent = send_into_silence(&w);
	freeze(&w, false);
	look(&w);
	await_repeats(&w, 3);
	assert_in_range(w.fresh, 0, SEGMENT);
	assert_int_equal(handoff__still_thaw(w.client), 0);
	assert_goes_on(&w, sent, false);
	destroy(&w);
}

static void
a_foreign_end_does_no_harm(void **state)
{
	struct world w;
	char byte;

	(void)state;
	build(&w, 0);
	freeze(&w, false);
	assert_int_equal(shutdown(w.client, SHUT_WR), 0);
	assert_int_equal(send(w.served, "", 1, MSG_NOSIGNAL), 1);
	drain(&w, 0);
	assert_int_equal(recv(w.served, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	/* the FIN comes again */
	assert_int_equal(handoff__still_thaw(w.served), 0);
	assert_true(support_poll(w.served, POLLIN) & POLLIN);
	assert_int_equal(recv(w.served, &byte, 1, MSG_DONTWAIT), 0);
	destroy(&w);
}

static void
a_foreign_reset_does_no_harm(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	struct world w;
	char byte;

	(void)state;
	build(&w, 0);
	assert_int_equal(send(w.client, "abc", 3, MSG_NOSIGNAL), 3);
	assert_true(support_poll(w.served, POLLIN) & POLLIN);
	freeze(&w, false);
	setsockopt(w.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(w.client);
	w.client = -1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(recv(w.served, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(w.served, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	destroy(&w);
}

static void
a_listener_answers_nobody(void **state)
{
	struct sockaddr_in6 address;
	struct pollfd p = {.events = POLLOUT};
	struct world w;
	socklen_t len;

	(void)state;
	build(&w, 0);
	len = make_address(&address, w.port);
	assert_int_equal(
		handoff__still_freeze(w.listener), HANDOFF__STILL_DEAF);
	p.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p.fd, (struct sockaddr *)&address, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	/* on this device an answer comes before the call returns */
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(handoff__still_thaw(w.listener), 0);
	assert_true(support_poll(p.fd, POLLOUT) & POLLOUT);
	close(accept4(w.listener, NULL, NULL, SOCK_CLOEXEC));
	close(p.fd);
	destroy(&w);
}

/* While another descriptor of it is open. */
static void
check_reset(bool privileged)
{
	socklen_t len = sizeof(int);
	struct world w;
	int copy, err = 0;
	char byte;

	build(&w, 4096);
	copy = dup(w.served);
	fill(w.served);
	await_repeats(&w, 1);
	freeze(&w, privileged);
	look(&w);
	assert_int_equal(handoff__still_reset(w.served), 0);
	assert_true(support_poll(w.client, POLLIN) & POLLHUP);
	assert_int_equal(
		getsockopt(w.client, SOL_SOCKET, SO_ERROR, &err, &len), 0);
	assert_int_equal(err, ECONNRESET);
	assert_true(support_poll(copy, POLLIN) & POLLHUP);
	assert_int_equal(recv(copy, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
	while (read_packet(&w))
		;
	assert_int_equal(w.fresh, 0);
	assert_int_equal(w.resets, 1);
	assert_int_equal(handoff__still_reset(w.served), 0);
	close(copy);
	destroy(&w);
}

static void
a_reset_is_the_end_for_all(void **state)
{
	(void)state;
	check_reset(false);
	check_reset(true);
}

static void
what_no_network_reaches_is_left_alone(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(handoff__still_freeze(pair[0]), 0);
	assert_int_equal(handoff__still_thaw(pair[0]), 0);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(handoff__still_freeze(pair[0]), -EBADF);
	assert_int_equal(handoff__still_thaw(pair[0]), -EBADF);
	assert_int_equal(handoff__still_reset(pair[0]), -EBADF);
}

static bool
has_ipv6(void)
{
	const struct sockaddr_in6 sin6 = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = bind(fd, (const void *)&sin6, sizeof(sin6)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

/* What the tests above say, of another kind of socket. */
static void
check_kind(int of_family, bool is_locked)
{
	void *none = NULL;

	if (of_family == AF_INET6 && !has_ipv6()) {
		print_message("SKIP: there is no IPv6\n");
		skip();
	}
	family = of_family;
	locked = is_locked;
	check_open_window(false);
	a_foreign_end_does_no_harm(&none);
	a_foreign_reset_does_no_harm(&none);
	a_listener_answers_nobody(&none);
	check_reset(false);
	if (!locked) {
		check_open_window(true);
		check_reset(true);
	}
	family = AF_INET;
	locked = false;
}

static void
it_is_the_same_with_ipv6(void **state)
{
	(void)state;
	check_kind(AF_INET6, false);
}

static void
a_least_ttl_stands_in_for_the_filter(void **state)
{
	(void)state;
	check_kind(AF_INET, true);
}

static void
a_least_hop_count_stands_in_with_ipv6(void **state)
{
	(void)state;
	check_kind(AF_INET6, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(nothing_is_sent_into_a_window_that_opens),
		handoff_test(nor_in_repair_mode),
		handoff_test(repeats_are_the_kernels_own),
		handoff_test(one_segment_probes_for_a_loss),
		handoff_test(a_foreign_end_does_no_harm),
		handoff_test(a_foreign_reset_does_no_harm),
		handoff_test(a_listener_answers_nobody),
		handoff_test(a_reset_is_the_end_for_all),
		handoff_test(it_is_the_same_with_ipv6),
		handoff_test(a_least_ttl_stands_in_for_the_filter),
		handoff_test(a_least_hop_count_stands_in_with_ipv6),
		handoff_test(what_no_network_reaches_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
