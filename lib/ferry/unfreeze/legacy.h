/* SPDX-License-Identifier: MIT */
/*
 * Queue rules where the kernel has no nftables: a chain in the table `raw` of
 * ip_tables and ip6_tables, to which PREROUTING jumps first. By the options of
 * a raw socket, as iptables-legacy(8) itself does: no program is run, and what
 * others have in the table stays.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_LEGACY_H
#define HANDOFF_FERRY_UNFREEZE_LEGACY_H

#include "ferry/gate.h"

/* Rules of another name, and the queue that they name. */
struct handoff__rules_other {
	char name[64];
	uint16_t queue;
};

struct handoff__legacy {
	int four, six; /* -1: there is none */
	char chain[30];
};

/* Takes CAP_NET_RAW, and what follows CAP_NET_ADMIN. A kernel without such
 * sockets is no failure. */
void handoff__legacy_open(struct handoff__legacy *legacy);
void handoff__legacy_close(struct handoff__legacy *legacy);

/* The name of the chain follows from that of the rules. */
void handoff__legacy_name(struct handoff__legacy *legacy, const char *name);

/* Whether packets of that family (4, 6) can be queued so: 0, or -errno. */
int handoff__legacy_probe(const struct handoff__legacy *legacy, int family);

/* 1 if there is the chain, 0 if not; -errno. */
int handoff__legacy_found(const struct handoff__legacy *legacy, int family);

/* Finds chains called handoff-* but the own one, in either family, that queue
 * packets to one of these addresses. Returns how many. */
uint32_t handoff__legacy_others(const struct handoff__legacy *legacy,
	const struct handoff__gate_address *addresses, uint32_t n,
	struct handoff__rules_other *list, uint32_t most);

/* Puts the chain in place of any that is there, for those of the addresses that
 * are of the family. `queue` < 0, or no such address: removes it. */
int handoff__legacy_set(const struct handoff__legacy *legacy, int family,
	const struct handoff__gate_address *addresses, uint32_t n, int queue);

#endif
