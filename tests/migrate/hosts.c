/* SPDX-License-Identifier: MIT */
/*
 * Links and routes of the namespaces by ip(8). Both ends of a link have one
 * address of the link layer and ask nobody for it, so that nothing waits for
 * ARP or neighbour discovery.
 */
#include "migrate/hosts.h"

#include "migrate/mode.h"
#include "support/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int namespaces[HOSTS] = {-1, -1, -1};
static long resets[HOSTS];
static const char *lacking;
static uint16_t next_port = 7000;

void
host_enter(enum host host)
{
	netns_enter(namespaces[host]);
}

void
host_ip(enum host host, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	netns_ip(namespaces[host], fmt, ap);
	va_end(ap);
}

void
host_set(enum host host, const char *name, const char *value)
{
	int before = netns_visit(namespaces[host]), fd;
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	close(fd);
	netns_leave(before);
}

/* Two lines of that name: the names of the columns, and the numbers. */
long
host_counter(enum host host, const char *name)
{
	int before = netns_visit(namespaces[host]);
	FILE *file = fopen("/proc/thread-self/net/snmp", "re");
	char names[1024] = "", line[1024], *at, *end, *word, *number;
	long value = -1;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && strncmp(line, "Tcp:", 4) != 0)
		;
	strcpy(names, line);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	word = strtok_r(names, " \n", &at);
	number = strtok_r(line, " \n", &end);
	while (word && number && strcmp(word, name) != 0) {
		word = strtok_r(NULL, " \n", &at);
		number = strtok_r(NULL, " \n", &end);
	}
	assert_non_null(number);
	value = strtol(number, NULL, 10);
	netns_leave(before);
	return value;
}

static bool
is_tentative(void)
{
	FILE *file = fopen("/proc/thread-self/net/if_inet6", "re");
	bool found = false;
	unsigned flags;

	assert_non_null(file);
	while (fscanf(file, "%*s %*x %*x %*x %x %*s", &flags) == 1)
		found |= (flags & IFA_F_TENTATIVE) != 0;
	fclose(file);
	return found;
}

void
host_settle(enum host host)
{
	int before = netns_visit(namespaces[host]);

	while (is_tentative())
		sched_yield();
	netns_leave(before);
}

static void
make_host(enum host host)
{
	static const char *const settings[] = {
		"ipv4/conf/all/rp_filter",
		"ipv4/conf/default/rp_filter",
		"ipv6/conf/all/accept_dad",
		"ipv6/conf/default/accept_dad",
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		host_set(host, settings[i], "0");
	host_ip(host, "link set lo up");
}

static void
make_link(enum host host, const char *name, const char *mac)
{
	int pid = getpid();

	host_ip(HOST_C,
		"link add %s address %s type veth peer name e0 address %s "
		"netns /proc/%d/fd/%d",
		name, mac, mac, pid, namespaces[host]);
	host_ip(HOST_C, "link set %s arp off up", name);
	host_ip(host, "link set e0 arp off up");
	host_ip(host, "addr add 10.77.0.100/32 dev lo");
	host_ip(host, "addr add fd77::100/128 dev lo nodad");
	host_ip(host, "route add 10.77.0.3/32 dev e0 src 10.77.0.100");
	host_ip(host, "route add fd77::3/128 dev e0 src fd77::100");
}

const unsigned char *
hosts_link(void)
{
	static const unsigned char mac[] = {2, 0, 0, 0, 0, 0xba};
	static bool linked;

	if (linked)
		return mac;
	host_ip(HOST_A,
		"link add ab address 02:00:00:00:00:ab type veth peer name ba "
		"address 02:00:00:00:00:ba netns /proc/%d/fd/%d",
		getpid(), namespaces[HOST_B]);
	host_ip(HOST_A, "link set ab arp off up");
	host_ip(HOST_B, "link set ba arp off up");
	linked = true;
	return mac;
}

static void
make_hosts(void)
{
	for (enum host i = 0; i < HOSTS; i++)
		make_host(i);
	make_link(HOST_A, "to_a", "02:00:00:00:00:0a");
	make_link(HOST_B, "to_b", "02:00:00:00:00:0b");
	host_ip(HOST_C, "link add to_hole type veth peer name bottom");
	host_ip(HOST_C, "link set bottom up");
	host_ip(HOST_C, "link set to_hole arp off up");
	host_ip(HOST_C, "addr add 10.77.0.3/32 dev lo");
	host_ip(HOST_C, "addr add fd77::3/128 dev lo nodad");
	for (enum host i = 0; i < HOSTS; i++)
		host_settle(i);
}

/* The descriptors of the namespaces are opened before any test counts its
 * own. */
__attribute__((constructor)) static void
before_tests(void)
{
	lacking = netns_make(namespaces, HOSTS);
	if (!lacking)
		make_hosts();
}

void
hosts_need(void)
{
	if (lacking) {
		print_message("SKIP: %s\n", lacking);
		skip();
	}
	host_route(TO_A);
	for (enum host i = 0; i < HOSTS; i++)
		resets[i] = host_counter(i, "OutRsts");
	host_enter(HOST_A);
}

void
hosts_assert_no_resets(void)
{
	for (enum host i = 0; i < HOSTS; i++)
		if (host_counter(i, "OutRsts") != resets[i])
			fail_msg("host %c has sent %ld resets", "ABC"[i],
				host_counter(i, "OutRsts") - resets[i]);
}

void
host_route(enum route route)
{
	static const char *const names[] = {"to_a", "to_b", "to_hole"};

	host_ip(HOST_C, "route replace 10.77.0.100/32 dev %s src 10.77.0.3",
		names[route]);
	host_ip(HOST_C, "route replace fd77::100/128 dev %s src fd77::3",
		names[route]);
}

static socklen_t
address(struct sockaddr_storage *sa, bool six, const char *text, uint16_t port)
{
	struct sockaddr_in *four_sa = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *six_sa = (struct sockaddr_in6 *)sa;

	memset(sa, 0, sizeof(*sa));
	if (six) {
		six_sa->sin6_family = AF_INET6;
		six_sa->sin6_port = htons(port);
		assert_int_equal(
			inet_pton(AF_INET6, text, &six_sa->sin6_addr), 1);
		return sizeof(*six_sa);
	}
	four_sa->sin_family = AF_INET;
	four_sa->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, text, &four_sa->sin_addr), 1);
	return sizeof(*four_sa);
}

static int
listen_on(enum kind kind, uint16_t port)
{
	static const char *const hosts[] = {"10.77.0.100", "fd77::100", "::"};
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, kind != FOUR, hosts[kind], port);
	int one = 1, zero = 0;
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (kind == MAPPED)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

void
pair_open(struct pair *p, enum kind kind)
{
	uint16_t port = next_port++;
	int listener = listen_on(kind, port), one = 1;
	struct sockaddr_storage sa;
	socklen_t len = address(&sa, kind == SIX,
		kind == SIX ? "fd77::100" : "10.77.0.100", port);

	host_enter(HOST_C);
	*p = (struct pair){.kind = kind};
	p->client = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p->client, (struct sockaddr *)&sa, len), 0);
	setsockopt(p->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(p->client, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	fcntl(p->client, F_SETFL, O_NONBLOCK);
	host_enter(HOST_A);
	p->served = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(p->served >= 0);
	setsockopt(p->served, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
}

/* Without a segment, which would come to hosts of another test. */
static void
close_quietly(int fd)
{
	handoff__migrate_mode_on(fd, NULL);
	handoff__migrate_end(fd, NULL);
	close(fd);
}

void
pair_close(struct pair *p)
{
	close_quietly(p->client);
	if (p->served >= 0)
		close_quietly(p->served);
}

/* Byte number `at` of a stream. */
static unsigned char
byte_at(uint64_t at, unsigned salt)
{
	uint64_t x = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) + salt;

	return (unsigned char)(x >> 29 ^ x >> 47);
}

unsigned char
pair_answer_byte(uint64_t at)
{
	return byte_at(at, 2);
}

static size_t
put(int fd, uint64_t *at, unsigned salt, size_t len)
{
	unsigned char data[32768];
	size_t sent = 0;

	while (sent < len) {
		size_t part =
			len - sent < sizeof(data) ? len - sent : sizeof(data);
		ssize_t n;

		for (size_t i = 0; i < part; i++)
			data[i] = byte_at(*at + i, salt);
		n = send(fd, data, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			fail_msg("send: %s", strerror(errno));
		if (n <= 0)
			break;
		*at += (uint64_t)n;
		sent += (size_t)n;
	}
	return sent;
}

/* Takes and checks what is there, at most `len`. */
static size_t
take(int fd, uint64_t *at, unsigned salt, size_t len)
{
	unsigned char data[32768];
	size_t got = 0;

	while (got < len) {
		size_t part =
			len - got < sizeof(data) ? len - got : sizeof(data);
		ssize_t n = recv(fd, data, part, MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			fail_msg("recv: %s", strerror(errno));
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			if (data[i] != byte_at(*at + (uint64_t)i, salt))
				fail_msg("byte %llu is wrong",
					(unsigned long long)*at +
						(unsigned long long)i);
		}
		*at += (uint64_t)n;
		got += (size_t)n;
	}
	return got;
}

static void
take_all(int fd, uint64_t *at, unsigned salt, size_t len)
{
	while (len > 0) {
		if (!(support_poll(fd, POLLIN) & POLLIN))
			fail_msg("%zu bytes have not arrived", len);
		len -= take(fd, at, salt, len);
	}
}

void
pair_ask(struct pair *p, size_t len)
{
	assert_int_equal(put(p->client, &p->to_served, 1, len), len);
}

void
pair_take_asked(struct pair *p, size_t len)
{
	take_all(p->served, &p->from_client, 1, len);
}

void
pair_answer(struct pair *p, size_t len)
{
	assert_int_equal(put(p->served, &p->to_client, 2, len), len);
}

void
pair_take_answer(struct pair *p, size_t len)
{
	take_all(p->client, &p->from_served, 2, len);
}

size_t
pair_answer_full(struct pair *p)
{
	size_t all = 0, n;

	/* the other side's acknowledgements make room */
	do {
		n = put(p->served, &p->to_client, 2, 1 << 20);
		all += n;
	} while (n > 0 ||
		 (poll(&(struct pollfd){p->served, POLLOUT, 0}, 1, 50) > 0));
	return all;
}

static void
pump(struct pair *p, uint64_t asked, uint64_t answered)
{
	while (p->from_client < asked || p->from_served < answered) {
		struct pollfd fds[] = {
			{.fd = p->client, .events = POLLIN},
			{.fd = p->served, .events = POLLIN},
		};

		put(p->client, &p->to_served, 1, asked - p->to_served);
		put(p->served, &p->to_client, 2, answered - p->to_client);
		if (p->to_served < asked)
			fds[0].events |= POLLOUT;
		if (p->to_client < answered)
			fds[1].events |= POLLOUT;
		if (poll(fds, 2, 10000) <= 0)
			fail_msg("stalled: asked %llu of %llu, answered %llu "
				 "of %llu",
				(unsigned long long)p->from_client,
				(unsigned long long)asked,
				(unsigned long long)p->from_served,
				(unsigned long long)answered);
		take(p->served, &p->from_client, 1, 1 << 20);
		take(p->client, &p->from_served, 2, 1 << 20);
	}
}

void
pair_assert_works(struct pair *p, size_t len)
{
	pump(p, p->to_served + len, p->to_client + len);
}

/* Nothing tells of an acknowledgement; the deadline is the test's alarm. */
static void
await_length(int fd, unsigned long request, int len)
{
	int is = -1;

	for (;;) {
		assert_int_equal(ioctl(fd, request, &is), 0);
		if (is == len)
			return;
		sched_yield();
	}
}

void
pair_await_unread(const struct pair *p, int len)
{
	await_length(p->served, SIOCINQ, len);
}

void
pair_await_unacked(const struct pair *p, int len)
{
	await_length(p->served, SIOCOUTQ, len);
}

void
await_end(int fd)
{
	assert_true(support_poll(fd, POLLRDHUP) & POLLRDHUP);
}

void
socket_deaf(int fd)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &nothing};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
				 sizeof(program)),
		0);
}

void
socket_hears(int fd)
{
	int ignored = 0;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &ignored,
				 sizeof(ignored)),
		0);
}

int
socket_state(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_state;
}

int
socket_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

void
pair_freeze(struct pair *p, struct handoff__image *image)
{
	struct handoff__error error = {""};

	/* what is on its way already is dropped at the socket */
	socket_deaf(p->served);
	host_route(TO_HOLE);
	if (handoff__migrate_freeze(p->served, image, &error) < 0)
		fail_msg("%s", error.text);
}

void
pair_unfreeze(struct pair *p, struct handoff__image *image)
{
	struct handoff__error error = {""};

	if (handoff__migrate_unfreeze(p->served, image, &error) < 0)
		fail_msg("%s", error.text);
	handoff__image_free(image);
	socket_hears(p->served);
	host_route(TO_A);
}

void
pair_carry(struct pair *p, const struct handoff__image *image, enum host to,
	struct handoff__restore *restore)
{
	size_t size = handoff__image_size(image);
	unsigned char *message = malloc(size);
	struct handoff__error error = {""};
	struct handoff__usual usual = {.knows_four = false};
	struct handoff__image carried;

	assert_non_null(message);
	if (handoff__image_encode(image, message, size, &error) < 0 ||
		handoff__image_decode(&carried, message, size, &error) < 0 ||
		handoff__migrate_unchanged(p->served, &carried, &error) < 0 ||
		handoff__migrate_end(p->served, &error) < 0)
		fail_msg("%s", error.text);
	close(p->served);
	p->served = -1;
	host_enter(to);
	if (handoff__migrate_prepare_with(
		    restore, &carried, &usual, 0, &error) < 0)
		fail_msg("%s", error.text);
	free(message);
}

void
pair_send_rest(struct pair *p, const unsigned char *rest, size_t len)
{
	while (len > 0) {
		ssize_t n =
			send(p->served, rest, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			take(p->client, &p->from_served, 2, 1 << 20);
			sched_yield();
			continue;
		}
		rest += n;
		len -= (size_t)n;
	}
}

void
pair_land(struct pair *p, const struct handoff__image *image, enum host to,
	struct handoff__restore *restore)
{
	struct handoff__error error = {""};

	host_route(to == HOST_A ? TO_A : TO_B);
	if (handoff__migrate_commit(restore, image, &error) < 0)
		fail_msg("%s", error.text);
	p->served = restore->fd;
	pair_send_rest(p, image->out + restore->taken,
		image->out_len - restore->taken);
	if (restore->end_due)
		assert_int_equal(shutdown(p->served, SHUT_WR), 0);
}

void
pair_move(struct pair *p, enum host to)
{
	struct handoff__restore restore;
	struct handoff__image image;

	pair_freeze(p, &image);
	pair_carry(p, &image, to, &restore);
	pair_land(p, &image, to, &restore);
	handoff__image_free(&image);
}
