/* SPDX-License-Identifier: MIT */
/* The addresses of a service on hosts with neighbours. */
#include "ferry/packets.h"

#include "ferry/announce.h"
#include "ferry/vet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAC_A 10
#define MAC_B 11

static const char *const all[] = {
	"10.77.0.100/32", "10.77.0.100/24", "fd77::100/128", "fd77::100/64"};

#define assert_ok(call)                                                        \
	do {                                                                   \
		error.text[0] = '\0';                                          \
		if ((call) < 0)                                                \
			fail_msg("%s: %s", #call, error.text);                 \
	} while (0)

#define assert_contains(text, words)                                           \
	do {                                                                   \
		if (!strstr(text, words))                                      \
			fail_msg("'%s' is not in '%s'", words, text);          \
	} while (0)

static struct handoff__error error;

static int
spot(const char *text)
{
	struct handoff__device device = lan_device();
	struct handoff__prefix prefix = lan_prefix(text);
	char other[IFNAMSIZ];
	int where = handoff__address_spot(&device, &prefix, other, &error);

	assert_int_equal(other[0] != '\0', where == HANDOFF__ON_OTHER);
	return where;
}

static void
test_an_address_goes_to_lo_to_the_device_and_away(void **state)
{
	struct handoff__device device;

	(void)state;
	lan_need();
	device = lan_device();
	for (size_t i = 0; i < 4; i++) {
		struct handoff__prefix p = lan_prefix(all[i]);

		assert_int_equal(spot(all[i]), HANDOFF__ABSENT);
		for (int again = 0; again < 2; again++)
			assert_ok(handoff__address_to_lo(&device, &p, &error));
		assert_int_equal(spot(all[i]), HANDOFF__ON_LO);
		for (int again = 0; again < 2; again++)
			assert_ok(handoff__address_to_device(
				&device, &p, &error));
		assert_int_equal(spot(all[i]), HANDOFF__ON_DEVICE);
		assert_true(lan_shows(LAN_A, all[i], "addr show dev e0"));
		assert_false(lan_shows(LAN_A, "100/", "addr show dev lo"));
		assert_int_equal(
			handoff__address_to_lo(&device, &p, &error), -EEXIST);
		assert_contains(error.text, "e0");
		for (int again = 0; again < 2; again++)
			assert_ok(handoff__address_off_device(
				&device, &p, &error));
		assert_int_equal(spot(all[i]), HANDOFF__ABSENT);
		assert_ok(handoff__address_to_lo(&device, &p, &error));
		for (int again = 0; again < 2; again++)
			assert_ok(handoff__address_off_lo(&p, &error));
		assert_int_equal(spot(all[i]), HANDOFF__ABSENT);
	}
}

/* A move would bring it back with another one. */
static void
test_the_device_has_the_prefix_that_was_given(void **state)
{
	struct handoff__device device;
	struct handoff__prefix p = lan_prefix("10.77.0.100/32");

	(void)state;
	lan_need();
	device = lan_device();
	assert_ok(handoff__vet_prefix(&device, &p, &error));
	p.length = 24;
	assert_ok(handoff__address_to_device(&device, &p, &error));
	assert_ok(handoff__vet_prefix(&device, &p, &error));
	p.length = 32;
	assert_int_equal(handoff__vet_prefix(&device, &p, &error), -EINVAL);
	assert_contains(error.text, "10.77.0.100/32: the device has it with "
				    "/24");
	assert_ok(handoff__address_off_device(&device, &p, &error));
}

/* On lo it has the length of a host, so that its neighbours can be reached, and
 * it is ready at once. */
static void
test_an_address_on_lo_takes_no_other_with_it(void **state)
{
	struct handoff__device device;
	struct handoff__prefix four = lan_prefix("10.77.0.100/24");
	struct handoff__prefix six = lan_prefix("fd77::100/64");

	(void)state;
	lan_need();
	device = lan_device();
	assert_ok(handoff__address_to_lo(&device, &four, &error));
	assert_ok(handoff__address_to_lo(&device, &six, &error));
	assert_true(lan_shows(
		LAN_A, "10.77.0.100/32 scope host", "addr show dev lo"));
	assert_true(
		lan_shows(LAN_A, "fd77::100/128 scope global nodad deprecated",
			"addr show dev lo"));
	assert_true(lan_shows(LAN_A, "dev e0", "route get 10.77.0.3"));
	assert_true(lan_shows(LAN_A, "dev e0", "route get fd77::3"));
	/* and this host does not choose it for its own connections */
	assert_true(lan_shows(LAN_A, "src 10.77.0.1 ", "route get 10.77.0.3"));
	assert_true(lan_shows(LAN_A, "src fd77::1 ", "route get fd77::3"));
	assert_ok(handoff__address_to_device(&device, &four, &error));
	assert_true(lan_shows(LAN_A, "src 10.77.0.1 ", "route get 10.77.0.3"));
	assert_ok(handoff__address_to_device(&device, &six, &error));
	assert_true(lan_shows(LAN_A, "src fd77::1 ", "route get fd77::3"));
	assert_ok(handoff__address_off_device(&device, &six, &error));
	six.length = 128;
	assert_ok(handoff__address_to_device(&device, &six, &error));
	assert_true(lan_shows(LAN_A, "src fd77::1 ", "route get fd77::3"));
	assert_false(
		lan_shows(LAN_A, "tentative", "addr show dev e0 to fd77::100"));
}

/* The kernel has it before it has the route by which it is used. */
static void
test_an_address_that_is_not_used_is_asked_for_again(void **state)
{
	struct handoff__device device;
	struct handoff__prefix six = lan_prefix("fd77::100/64");

	(void)state;
	lan_need();
	device = lan_device();
	assert_ok(handoff__address_to_lo(&device, &six, &error));
	lan_ip(LAN_A, "-6 route del local fd77::100 dev lo table local");
	assert_int_equal(
		handoff__address_to_lo(&device, &six, &error), -ETIMEDOUT);
	assert_contains(error.text,
		"the kernel has the address fd77::100/64, and has not begun");
	assert_int_equal(spot("fd77::100/64"), HANDOFF__ON_LO);
	lan_ip(LAN_A, "-6 route add local fd77::100 dev lo table local");
	assert_ok(handoff__address_to_lo(&device, &six, &error));
	assert_ok(handoff__address_off_lo(&six, &error));
}

static void
test_an_address_of_a_third_device_is_left_alone(void **state)
{
	struct handoff__device device;
	struct handoff__prefix p = lan_prefix("10.77.0.100/32");
	char other[IFNAMSIZ];

	(void)state;
	lan_need();
	lan_ip(LAN_A, "link add name other type veth peer name far");
	lan_ip(LAN_A, "addr add 10.77.0.100/32 dev other");
	device = lan_device();
	assert_int_equal(handoff__address_spot(&device, &p, other, &error),
		HANDOFF__ON_OTHER);
	assert_string_equal(other, "other");
	assert_int_equal(handoff__address_to_lo(&device, &p, &error), -EEXIST);
	assert_contains(error.text, "on other");
	assert_int_equal(
		handoff__address_to_device(&device, &p, &error), -EEXIST);
	assert_ok(handoff__address_off_device(&device, &p, &error));
	assert_int_equal(spot("10.77.0.100/32"), HANDOFF__ON_OTHER);
	lan_ip(LAN_A, "link del other");
}

/* Another prefix than that of the service's options is found and removed. */
static void
test_the_prefix_of_the_table_counts(void **state)
{
	struct handoff__device device;
	struct handoff__prefix p = lan_prefix("10.77.0.100/32");

	(void)state;
	lan_need();
	device = lan_device();
	lan_ip(LAN_A, "addr add 10.77.0.100/24 dev e0");
	assert_int_equal(spot("10.77.0.100/32"), HANDOFF__ON_DEVICE);
	assert_ok(handoff__address_to_device(&device, &p, &error));
	assert_ok(handoff__address_off_device(&device, &p, &error));
	assert_int_equal(spot("10.77.0.100/32"), HANDOFF__ABSENT);
	assert_true(lan_shows(LAN_A, "10.77.0.1/24", "addr show dev e0"));
}

/* The address of the service is the primary one, as the host was set up with
 * it first. */
static void
test_the_other_addresses_of_its_subnet_stay(void **state)
{
	struct handoff__device device;
	struct handoff__prefix p = lan_prefix("10.78.0.100/24");

	(void)state;
	lan_need();
	device = lan_device();
	lan_ip(LAN_A, "addr add 10.78.0.100/24 dev e0");
	assert_int_equal(
		handoff__address_may_leave(&device, &p, &error), -EBUSY);
	assert_contains(error.text, "only one of its subnet");
	assert_int_equal(
		handoff__address_off_device(&device, &p, &error), -EBUSY);
	assert_int_equal(spot("10.78.0.100/24"), HANDOFF__ON_DEVICE);
	lan_ip(LAN_A, "addr add 10.78.0.1/24 dev e0");
	lan_ip(LAN_A, "addr add 10.78.0.2/24 dev e0");
	assert_ok(handoff__address_may_leave(&device, &p, &error));
	assert_ok(handoff__address_off_device(&device, &p, &error));
	assert_int_equal(spot("10.78.0.100/24"), HANDOFF__ABSENT);
	assert_int_equal(spot("10.78.0.1/24"), HANDOFF__ON_DEVICE);
	assert_int_equal(spot("10.78.0.2/24"), HANDOFF__ON_DEVICE);
	assert_int_equal(
		handoff__device_setting(&device, "promote_secondaries", &error),
		0);
	lan_ip(LAN_A, "addr flush dev e0 to 10.78.0.0/24");
}

static void
test_devices_are_judged(void **state)
{
	struct handoff__device device;

	(void)state;
	lan_need();
	device = lan_device();
	assert_int_equal(device.mac[0], 2);
	assert_int_equal(device.mac[5], MAC_A);
	assert_true(device.ifindex > 0);
	assert_int_equal(
		handoff__device_find(&device, "nothing", &error), -ENODEV);
	assert_contains(error.text, "'nothing'");
	assert_int_equal(handoff__device_find(&device, "", &error), -ENODEV);
	assert_int_equal(handoff__device_find(
				 &device, "a.name.that.is.too.long", &error),
		-ENODEV);
	assert_int_equal(handoff__device_find(&device, "lo", &error), -ENOTSUP);
	assert_contains(error.text, "not Ethernet");
	lan_ip(LAN_A, "link set e0 down");
	assert_int_equal(
		handoff__device_find(&device, "e0", &error), -ENETDOWN);
	lan_ip(LAN_A, "link set e0 up");
	lan_ip(LAN_A, "addr add fd77::1/64 dev e0 nodad");
}

static void
test_the_modes_of_arp_are_raised_and_come_back(void **state)
{
	struct handoff__arp_modes before = {9, 9};
	struct handoff__device device;

	(void)state;
	lan_need();
	device = lan_device();
	assert_ok(handoff__device_set(&device, "arp_ignore", 2, &error));
	assert_ok(handoff__device_quiet(&device, &before, &error));
	assert_int_equal(before.ignore, 2);
	assert_int_equal(before.announce, 0);
	assert_int_equal(
		handoff__device_setting(&device, "arp_ignore", &error), 2);
	assert_int_equal(
		handoff__device_setting(&device, "arp_announce", &error), 2);
	assert_ok(handoff__device_restore(&device, &before, &error));
	assert_int_equal(
		handoff__device_setting(&device, "arp_announce", &error), 0);
	handoff__copy(device.name, sizeof(device.name), "gone0");
	assert_int_equal(
		handoff__device_quiet(&device, &before, &error), -ENOENT);
	assert_contains(error.text, "net.ipv4.conf.gone0.arp_ignore");
}

/* Whether B answers C's question for the address before it answers one for its
 * own address, which is asked later. */
static bool
answers(int fd, const char *text, uint8_t mac)
{
	struct handoff__prefix p = lan_prefix(text);
	struct handoff__prefix own =
		lan_prefix(p.family == 4 ? "10.77.0.2/24" : "fd77::2/64");
	unsigned kind = p.family == 4 ? 2 : 136;
	bool answered = false;
	struct heard h;

	packets_ask(fd, &p, mac);
	packets_ask(fd, &own, mac);
	do {
		h = packets_await(fd, kind, MAC_B);
		answered |= memcmp(p.family == 4 ? h.sender : h.target, p.ip,
				    16) == 0;
	} while (memcmp(p.family == 4 ? h.sender : h.target, own.ip, 16) != 0);
	return answered;
}

static void
test_an_address_on_lo_is_answered_for_by_nobody(void **state)
{
	struct handoff__prefix four = lan_prefix("10.77.0.100/24");
	struct handoff__prefix six = lan_prefix("fd77::100/64");
	struct handoff__arp_modes before;
	struct handoff__device device;
	int fd;

	(void)state;
	lan_need();
	lan_enter(LAN_C);
	fd = packets_open();
	lan_enter(LAN_B);
	device = lan_device();
	assert_ok(handoff__address_to_lo(&device, &four, &error));
	assert_ok(handoff__address_to_lo(&device, &six, &error));
	/* so would a host answer that was not told to be quiet */
	assert_true(answers(fd, "10.77.0.100/24", 0));
	assert_ok(handoff__device_quiet(&device, &before, &error));
	assert_false(answers(fd, "10.77.0.100/24", 0));
	assert_false(answers(fd, "10.77.0.100/24", MAC_B));
	assert_false(answers(fd, "fd77::100/64", MAC_B));
	assert_ok(handoff__address_to_device(&device, &four, &error));
	assert_ok(handoff__address_to_device(&device, &six, &error));
	assert_true(answers(fd, "10.77.0.100/24", 0));
	assert_true(answers(fd, "fd77::100/64", MAC_B));
	close(fd);
}

/* What B asks for when it sends from the address of the service to C. */
static struct heard
question(int fd, bool is_six)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};
	int s = socket(
		is_six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	lan_ip(LAN_B, "neigh flush dev e0");
	inet_pton(AF_INET, "10.77.0.100", &four.sin_addr);
	inet_pton(AF_INET6, "fd77::100", &six.sin6_addr);
	if (is_six)
		assert_int_equal(
			bind(s, (struct sockaddr *)&six, sizeof(six)), 0);
	else
		assert_int_equal(
			bind(s, (struct sockaddr *)&four, sizeof(four)), 0);
	four.sin_port = six.sin6_port = htons(9);
	inet_pton(AF_INET, "10.77.0.3", &four.sin_addr);
	inet_pton(AF_INET6, "fd77::3", &six.sin6_addr);
	if (is_six)
		assert_int_equal(sendto(s, "x", 1, 0, (struct sockaddr *)&six,
					 sizeof(six)),
			1);
	else
		assert_int_equal(sendto(s, "x", 1, 0, (struct sockaddr *)&four,
					 sizeof(four)),
			1);
	close(s);
	return packets_await(fd, is_six ? 135 : 1, MAC_B);
}

static void
test_an_address_on_lo_is_in_no_question(void **state)
{
	struct handoff__prefix four = lan_prefix("10.77.0.100/24");
	struct handoff__prefix six = lan_prefix("fd77::100/64");
	struct handoff__prefix own = lan_prefix("10.77.0.2/24");
	struct handoff__arp_modes before;
	struct handoff__device device;
	struct heard h;
	int fd;

	(void)state;
	lan_need();
	lan_enter(LAN_C);
	fd = packets_open();
	lan_enter(LAN_B);
	device = lan_device();
	assert_ok(handoff__address_to_lo(&device, &four, &error));
	assert_ok(handoff__address_to_lo(&device, &six, &error));
	h = question(fd, false); /* it would be */
	assert_memory_equal(h.sender, four.ip, 4);
	assert_ok(handoff__device_quiet(&device, &before, &error));
	h = question(fd, false);
	assert_memory_equal(h.sender, own.ip, 4);
	h = question(fd, true);
	assert_memory_not_equal(h.sender, six.ip, 16);
	close(fd);
}

static bool
knows(const char *host, const char *mac)
{
	return lan_shows(LAN_C, mac, "neigh show %s dev e0", host);
}

/* C sends to the address, which is at A, and asks for its owner. */
static void
learn(const char *host, const struct handoff__prefix *p)
{
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6, .sin6_port = htons(9)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(9)};
	bool is_six = p->family == 6;
	struct sockaddr *sa =
		is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
	struct handoff__device device = lan_device();
	int64_t end = handoff__now_us() + 5000000;
	int fd;

	assert_ok(handoff__address_to_device(&device, p, &error));
	lan_enter(LAN_C);
	fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(&four.sin_addr, p->ip, 4);
	memcpy(&six.sin6_addr, p->ip, 16);
	assert_int_equal(
		sendto(fd, "x", 1, 0, sa, is_six ? sizeof(six) : sizeof(four)),
		1);
	while (!knows(host, "02:00:00:00:00:0a") && handoff__now_us() < end)
		;
	assert_true(knows(host, "02:00:00:00:00:0a"));
	close(fd);
	lan_enter(LAN_A);
	assert_ok(handoff__address_off_device(&device, p, &error));
}

static void
test_an_announced_address_is_known_to_be_here_at_once(void **state)
{
	static const char *const hosts[] = {"10.77.0.100", "fd77::100"};
	struct handoff__device device;

	(void)state;
	lan_need();
	for (int i = 0; i < 2; i++) {
		struct handoff__prefix p =
			lan_prefix(i ? "fd77::100/64" : "10.77.0.100/24");

		lan_enter(LAN_A);
		learn(hosts[i], &p);
		lan_enter(LAN_B);
		device = lan_device();
		assert_ok(handoff__announce_once(&device, &p, &error));
		assert_true(knows(hosts[i], "02:00:00:00:00:0b"));
		assert_false(knows(hosts[i], "02:00:00:00:00:0a"));
	}
}

static void
count_rounds(int fd, int frames[3], int ms)
{
	struct handoff__prefix four = lan_prefix("10.77.0.100/24");
	struct handoff__prefix six = lan_prefix("fd77::100/64");
	struct heard h;

	while (packets_next(fd, &h, ms)) {
		if (h.from[5] != MAC_B)
			continue;
		if (h.kind <= 2 && memcmp(h.sender, four.ip, 4) == 0 &&
			memcmp(h.target, four.ip, 4) == 0) {
			assert_memory_equal(h.told, h.from, 6);
			frames[h.kind - 1]++;
		}
		if (h.kind == 136 && memcmp(h.target, six.ip, 16) == 0) {
			assert_true(h.override);
			assert_memory_equal(h.told, h.from, 6);
			frames[2]++;
		}
	}
}

static void
test_announcements_are_repeated_three_times(void **state)
{
	struct handoff__prefix list[2] = {
		lan_prefix("10.77.0.100/24"), lan_prefix("fd77::100/64")};
	struct handoff__announce announce;
	struct handoff__device device;
	struct handoff__loop loop;
	int64_t begin, took;
	int frames[3] = {0}, fd;

	(void)state;
	lan_need();
	lan_enter(LAN_C);
	fd = packets_open();
	lan_enter(LAN_B);
	device = lan_device();
	assert_int_equal(handoff__loop_init(&loop), 0);
	handoff__announce_init(&announce, &loop);
	begin = handoff__now_us();
	assert_ok(handoff__announce_start(&announce, &device, list, 2, &error));
	count_rounds(fd, frames, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(frames[i], 1);
	while (announce.timer.armed)
		handoff__loop_dispatch(&loop, 1000);
	took = handoff__now_us() - begin;
	assert_true(took >= 1000000);
	count_rounds(fd, frames, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(frames[i], 4);
	assert_ok(handoff__announce_start(&announce, &device, list, 2, &error));
	handoff__announce_stop(&announce);
	assert_false(announce.timer.armed);
	handoff__loop_fini(&loop);
	close(fd);
}

static void
set_capabilities(uint32_t bits)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = bits, .permitted = bits}};

	if (syscall(SYS_capset, &head, data) < 0)
		_exit(2);
}

/* Runs it as the user nobody with these capabilities. */
static void
as_nobody(uint32_t bits, bool (*fn)(const struct handoff__device *))
{
	struct handoff__device device = lan_device();
	int pid = fork();

	assert_true(pid >= 0);
	if (pid > 0) {
		support_reap(pid);
		return;
	}
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 ||
		setresgid(65534, 65534, 65534) < 0 ||
		setresuid(65534, 65534, 65534) < 0)
		_exit(3);
	set_capabilities(bits);
	if (!fn(&device)) {
		fprintf(stderr, "failed: %s\n", error.text);
		_exit(1);
	}
	_exit(0);
}

static const struct handoff__prefix vip = {
	.family = 4, .length = 24, .ip = {10, 77, 0, 100}};

static bool
does_all(const struct handoff__device *device)
{
	struct handoff__arp_modes before;

	return handoff__device_allowed(&error) == 0 &&
	       handoff__device_quiet(device, &before, &error) == 0 &&
	       handoff__address_to_lo(device, &vip, &error) == 0 &&
	       handoff__address_to_device(device, &vip, &error) == 0 &&
	       handoff__announce_once(device, &vip, &error) == 0 &&
	       handoff__address_off_device(device, &vip, &error) == 0 &&
	       handoff__device_restore(device, &before, &error) == 0;
}

static bool
does_nothing(const struct handoff__device *device)
{
	struct handoff__arp_modes before;

	return handoff__device_allowed(&error) == -EPERM &&
	       strstr(error.text, "no CAP_NET_ADMIN") &&
	       handoff__address_to_lo(device, &vip, &error) == -EPERM &&
	       strstr(error.text, "10.77.0.100/24") &&
	       strstr(error.text, "CAP_NET_ADMIN") &&
	       handoff__device_quiet(device, &before, &error) == -EACCES &&
	       strstr(error.text, "CAP_NET_ADMIN") &&
	       handoff__announce_once(device, &vip, &error) == -EPERM &&
	       strstr(error.text, "CAP_NET_RAW");
}

static bool
lacks_raw(const struct handoff__device *device)
{
	(void)device;
	return handoff__device_allowed(&error) == -EPERM &&
	       strstr(error.text, "no CAP_NET_RAW");
}

static void
test_two_capabilities_are_enough_and_needed(void **state)
{
	(void)state;
	lan_need();
	assert_ok(handoff__device_allowed(&error));
	as_nobody(1u << CAP_NET_ADMIN | 1u << CAP_NET_RAW, does_all);
	as_nobody(1u << CAP_NET_ADMIN, lacks_raw);
	as_nobody(0, does_nothing);
}

static void
test_without_descriptors_the_reasons_are_said(void **state)
{
	struct handoff__arp_modes before;
	struct handoff__device device;
	char other[IFNAMSIZ];

	(void)state;
	lan_need();
	support_not_in_valgrind();
	device = lan_device();
	support_limit_descriptors(0);
	assert_int_equal(
		handoff__address_spot(&device, &vip, other, &error), -EMFILE);
	assert_contains(error.text, "10.77.0.100/24");
	assert_int_equal(
		handoff__announce_once(&device, &vip, &error), -EMFILE);
	assert_int_equal(
		handoff__device_quiet(&device, &before, &error), -EMFILE);
	assert_int_equal(handoff__device_find(&device, "e0", &error), -EMFILE);
	support_unlimit_descriptors();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_an_address_goes_to_lo_to_the_device_and_away),
		handoff_test(test_the_device_has_the_prefix_that_was_given),
		handoff_test(test_an_address_on_lo_takes_no_other_with_it),
		handoff_test(
			test_an_address_that_is_not_used_is_asked_for_again),
		handoff_test(test_an_address_of_a_third_device_is_left_alone),
		handoff_test(test_the_prefix_of_the_table_counts),
		handoff_test(test_the_other_addresses_of_its_subnet_stay),
		handoff_test(test_devices_are_judged),
		handoff_test(test_the_modes_of_arp_are_raised_and_come_back),
		handoff_test(test_an_address_on_lo_is_answered_for_by_nobody),
		handoff_test(test_an_address_on_lo_is_in_no_question),
		handoff_test(
			test_an_announced_address_is_known_to_be_here_at_once),
		handoff_test(test_announcements_are_repeated_three_times),
		handoff_test(test_two_capabilities_are_enough_and_needed),
		handoff_test(test_without_descriptors_the_reasons_are_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
