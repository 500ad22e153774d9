/* SPDX-License-Identifier: MIT */
/*
 * A bridge in a namespace of its own, and what links the hosts to it.
 */
#include "ferry/lan.h"

#include "support/netns.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int namespaces[LANS] = {-1, -1, -1, -1};
static const char *lacking;

void
lan_enter(enum lan host)
{
	netns_enter(namespaces[host]);
}

void
lan_ip(enum lan host, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	netns_ip(namespaces[host], fmt, ap);
	va_end(ap);
}

bool
lan_shows(enum lan host, const char *words, const char *fmt, ...)
{
	char output[4096];
	va_list ap;

	va_start(ap, fmt);
	netns_ip_output(namespaces[host], output, sizeof(output), fmt, ap);
	va_end(ap);
	return strstr(output, words) != NULL;
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
	lacking = netns_make(namespaces, LANS);
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
