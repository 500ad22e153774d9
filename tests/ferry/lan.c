/* SPDX-License-Identifier: MIT */
/*
 * Namespaces by unshare(2), links and addresses by ip(8).
 */
#include "ferry/lan.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int namespaces[LANS] = {-1, -1, -1, -1};
static const char *lacking;

void
lan_enter(enum lan host)
{
	assert_int_equal(setns(namespaces[host], CLONE_NEWNET), 0);
}

static int
visit(enum lan host)
{
	int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(before >= 0);
	lan_enter(host);
	return before;
}

static void
leave(int before)
{
	assert_int_equal(setns(before, CLONE_NEWNET), 0);
	close(before);
}

void
lan_ip(enum lan host, const char *fmt, ...)
{
	int before = visit(host);
	char command[512] = "ip ";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command + 3, sizeof(command) - 3, fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
	leave(before);
}

bool
lan_shows(enum lan host, const char *words, const char *fmt, ...)
{
	int before = visit(host);
	char command[512] = "ip ", output[4096];
	va_list ap;
	FILE *pipe;

	va_start(ap, fmt);
	vsnprintf(command + 3, sizeof(command) - 3, fmt, ap);
	va_end(ap);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
	assert_int_equal(pclose(pipe), 0);
	leave(before);
	return strstr(output, words) != NULL;
}

static const char *
make_namespaces(void)
{
	static char why[128];

	if (system("ip -V >/dev/null 2>&1") != 0)
		return "needs ip(8) of iproute2";
	for (int i = 0; i < LANS; i++) {
		if (unshare(CLONE_NEWNET) < 0) {
			snprintf(why, sizeof(why),
				"needs root, to make network namespaces: %s",
				strerror(errno));
			return why;
		}
		namespaces[i] =
			open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		assert_true(namespaces[i] >= 0);
	}
	return NULL;
}

static void
join(enum lan host)
{
	int number = (int)host + 1, pid = getpid();

	lan_ip(host, "link set lo up");
	lan_ip(LAN_BRIDGE,
		"link add p%d type veth peer name e0 address "
		"02:00:00:00:00:%02x "
		"netns /proc/%d/fd/%d",
		number, 9 + number, pid, namespaces[host]);
	lan_ip(LAN_BRIDGE, "link set p%d master hub up", number);
	lan_ip(host, "addr add 10.77.0.%d/24 dev e0", number);
	lan_ip(host, "link set e0 up");
	lan_ip(host, "addr add fd77::%d/64 dev e0 nodad", number);
}

/* The descriptors of the namespaces are opened before any test counts its
 * own. */
__attribute__((constructor)) static void
before_tests(void)
{
	lacking = make_namespaces();
	if (lacking)
		return;
	lan_ip(LAN_BRIDGE, "link add name hub type bridge mcast_snooping 0");
	lan_ip(LAN_BRIDGE, "link set hub up");
	for (enum lan host = LAN_A; host < LAN_BRIDGE; host++)
		join(host);
}

static void
clean(enum lan host)
{
	static const char *const gone[] = {"10.77.0.100/32", "10.77.0.100/24",
		"fd77::100/128", "fd77::100/64"};
	static const char *const devices[] = {"e0", "lo", "other"};

	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < 3; k++)
			(void)lan_shows(host, "",
				"addr del %s dev %s 2>/dev/null || true",
				gone[i], devices[k]);
	}
	lan_ip(host, "neigh flush dev e0");
}

void
lan_need(void)
{
	if (lacking) {
		print_message("SKIP: %s\n", lacking);
		skip();
	}
	for (enum lan host = LAN_A; host < LAN_BRIDGE; host++) {
		struct handoff__arp_modes plain = {0, 0};
		struct handoff__device device;

		clean(host);
		lan_enter(host);
		device = lan_device();
		assert_int_equal(
			handoff__device_restore(&device, &plain, NULL), 0);
	}
	lan_enter(LAN_A);
}

struct handoff__device
lan_device(void)
{
	struct handoff__device device;
	struct handoff__error error = {""};

	if (handoff__device_find(&device, "e0", &error) < 0)
		fail_msg("%s", error.text);
	return device;
}

struct handoff__prefix
lan_prefix(const char *text)
{
	struct handoff__prefix prefix;
	struct handoff__error error = {""};

	if (handoff__prefixes_parse(text, &prefix, 1, &error) != 1)
		fail_msg("%s", error.text);
	return prefix;
}
