/* SPDX-License-Identifier: MIT */
/*
 * The network device of a service, how it answers for addresses on lo, and
 * whether this process may change any of it.
 */
#ifndef HANDOFF_FERRY_DEVICE_H
#define HANDOFF_FERRY_DEVICE_H

#include "base/text.h"

#include <net/if.h>
#include <stdint.h>

/* A network device of Ethernet. */
struct handoff__device {
	int ifindex;
	char name[IFNAMSIZ];
	uint8_t mac[6];
};

/* A number below net.ipv4.conf.IF: its value, or -errno with a sentence. */
int handoff__device_setting(const struct handoff__device *device,
	const char *name, struct handoff__error *error);
int handoff__device_set(const struct handoff__device *device, const char *name,
	int value, struct handoff__error *error);

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
/* Not while an address is still on lo. A ferry that is started again finds the
 * raised values as those before: they do no harm to a host whose addresses are
 * on the device that they are asked for on. */
int handoff__device_restore(const struct handoff__device *device,
	const struct handoff__arp_modes *before, struct handoff__error *error);

/* Whether this process has CAP_NET_ADMIN and CAP_NET_RAW; -EPERM with a
 * sentence that names the one that is missing and how it is given. */
int handoff__device_allowed(struct handoff__error *error);

#endif
