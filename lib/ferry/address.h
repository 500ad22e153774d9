/* SPDX-License-Identifier: MIT */
/*
 * The addresses of the service on this host, by netlink: on the device (this
 * host is reached by them), on lo (sockets may have them, no neighbour hears
 * of it) or not here. Remembers nothing: the kernel is asked each time.
 *
 * On lo an address has the length of a host (the kernel would make all of a
 * shorter prefix local to lo). Wherever it is put, no connection of this host
 * chooses it by itself, the ferry's own least of all: an IPv6 address is
 * deprecated (the kernel would prefer the one that came last), and an IPv4
 * address on lo has the scope of the host. IPv6 addresses come without
 * duplicate address detection: the other host has just removed them. The kernel
 * makes them usable a moment later (under a millisecond), which is waited for.
 */
#ifndef HANDOFF_FERRY_ADDRESS_H
#define HANDOFF_FERRY_ADDRESS_H

#include "ferry/device.h"
#include "ferry/prefix.h"

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

/* The length of its prefix on the device; 0 if it is not there. */
int handoff__address_length(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);

/* Puts it there. 0 as well if it is there already. -EEXIST with a sentence if
 * it is on a third device. To the device: takes it from lo as well, after it is
 * on the device, so that it is never absent between. To lo: -EEXIST as well if
 * it is on the device. -ETIMEDOUT with a sentence: the kernel has accepted it
 * and does not use it within a second; the call can be repeated, and waits for
 * another one. */
int handoff__address_to_device(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);
int handoff__address_to_lo(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);

/* Whether it can leave the device, for the start and before a move: -EBUSY with
 * a sentence if it is there and the host has no other address of its subnet
 * there, whose route would go with it. */
int handoff__address_may_leave(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);

/* Takes it from the device, or from lo. 0 as well if it is not there. From the
 * device: -EBUSY as above; other addresses of the same subnet stay
 * (net.ipv4.conf.IF.promote_secondaries is on meanwhile). */
int handoff__address_off_device(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);
int handoff__address_off_lo(
	const struct handoff__prefix *prefix, struct handoff__error *error);

#endif
