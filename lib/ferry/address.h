/* SPDX-License-Identifier: MIT */
/*
 * The addresses of the service on this host, by netlink: on the device (this
 * host is reached by them), on lo (sockets may have them, no neighbour hears
 * of it) or not here. Remembers nothing: the kernel is asked each time.
 *
 * On lo an address has the length of a host (the kernel would make all of a
 * shorter prefix local to lo), and an IPv6 address is deprecated there, so that
 * no connection of this host chooses it by itself; so is an IPv6 address of
 * /128 on the device. IPv6 addresses come without duplicate address detection:
 * the other host has just removed them.
 */
#ifndef HANDOFF_FERRY_ADDRESS_H
#define HANDOFF_FERRY_ADDRESS_H

#include "base/text.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* So many addresses can a service have. */
#define HANDOFF__PREFIXES 16

/* with its terminating zero, "fd77::100/128" */
#define HANDOFF__PREFIX_TEXT 52

struct handoff__prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t length; /* of the prefix, in bits */
	uint8_t ip[16]; /* network order; IPv4: the first four */
};

/* Parses "IP/PREFIX[,IP/PREFIX]...": the number of them, 1 to `max`. -EINVAL
 * with a sentence: no address, a name, no prefix, one twice, an address that no
 * host can have to itself (any, loopback, multicast, link-local). */
int handoff__prefixes_parse(const char *text, struct handoff__prefix *list,
	uint32_t max, struct handoff__error *error);

/* "10.77.0.100/32" */
void handoff__prefix_format(
	const struct handoff__prefix *prefix, char *text, size_t size);

/* Whether one of them has this address (an IPv4-mapped one counts as IPv4). */
bool handoff__prefix_holds(const struct handoff__prefix *list, uint32_t count,
	const struct sockaddr *sa);

/* A network device of Ethernet. */
struct handoff__device {
	int ifindex;
	char name[IFNAMSIZ];
	uint8_t mac[6];
};

/* What the device had before _quiet. */
struct handoff__arp_modes {
	int ignore, announce;
};

/* -ENODEV, -ENOTSUP (not Ethernet), -ENETDOWN with a sentence. */
int handoff__device_find(struct handoff__device *device, const char *name,
	struct handoff__error *error);

/* Sets net.ipv4.conf.IF.arp_ignore to 1 and arp_announce to 2 unless they are
 * more already: the device neither answers for an address on lo nor names it in
 * its own requests (IPv6 does neither by itself). Call it before an address
 * comes to lo. -EPERM, -EROFS (a unit with ProtectKernelTunables=), ... with a
 * sentence. */
int handoff__device_quiet(const struct handoff__device *device,
	struct handoff__arp_modes *before, struct handoff__error *error);
/* Not while an address is still on lo. */
int handoff__device_restore(const struct handoff__device *device,
	const struct handoff__arp_modes *before, struct handoff__error *error);

enum handoff__spot {
	HANDOFF__ABSENT,
	HANDOFF__ON_DEVICE,
	HANDOFF__ON_LO,
	HANDOFF__ON_OTHER, /* of a third device */
};

/* Where the address is: an enum handoff__spot, whatever its prefix is there; a
 * negative errno with a sentence. An address on the device and on lo is on the
 * device. `other` is the name of a third device, if it is there, else "". */
int handoff__address_spot(const struct handoff__device *device,
	const struct handoff__prefix *prefix, char other[IFNAMSIZ],
	struct handoff__error *error);

/* Puts it there. 0 as well if it is there already. -EEXIST with a sentence if
 * it is on a third device. On the device: takes it from lo as well, after it is
 * on the device, so that it is never absent between. */
int handoff__address_to_device(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);
int handoff__address_to_lo(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);

/* Takes it from the device, or from lo. 0 as well if it is not there. Other
 * addresses of the same subnet stay (net.ipv4.conf.IF.promote_secondaries is on
 * meanwhile). -EBUSY with a sentence if the host would lose its last address
 * and with it the route of that subnet. */
int handoff__address_off_device(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);
int handoff__address_off_lo(
	const struct handoff__prefix *prefix, struct handoff__error *error);

/* Whether this process has CAP_NET_ADMIN and CAP_NET_RAW; -EPERM with a
 * sentence that names the one that is missing and how it is given. */
int handoff__address_allowed(struct handoff__error *error);

#endif
