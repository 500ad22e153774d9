/* SPDX-License-Identifier: MIT */
/*
 * The rules that queue packets to the service's addresses: tables of nftables
 * of their own, `handoff-NAME`, for IPv4 and IPv6, put in place and removed in
 * one transaction; or where there is no nftables, those of legacy.h. They
 * outlive the process, and then drop: they never bypass the queue.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_RULES_H
#define HANDOFF_FERRY_UNFREEZE_RULES_H

#include "base/text.h"
#include "ferry/gate.h"
#include "ferry/unfreeze/legacy.h"

#include <stdbool.h>
#include <stdint.h>

enum handoff__rules_way {
	HANDOFF__RULES_NONE,   /* not probed */
	HANDOFF__RULES_NATIVE, /* nft's own expression */
	HANDOFF__RULES_COMPAT, /* the target of xtables */
	HANDOFF__RULES_LEGACY, /* xtables without nftables */
};

struct mnl_socket;

struct handoff__rules {
	struct mnl_socket *netlink;
	struct handoff__legacy legacy;
	char table[64];
	struct handoff__gate_address addresses[HANDOFF__GATE_ADDRESSES];
	uint32_t naddresses;
	enum handoff__rules_way way;
	uint32_t seq;
};

/* Takes CAP_NET_ADMIN, as all that follows, and CAP_NET_RAW. */
int handoff__rules_open(
	struct handoff__rules *rules, struct handoff__error *error);
void handoff__rules_close(struct handoff__rules *rules);

/* Whose rules, for which addresses; -EINVAL. */
int handoff__rules_name(struct handoff__rules *rules, const char *service,
	const struct handoff__gate_address *addresses, uint32_t n,
	struct handoff__error *error);

/* Finds out how packets can be queued here, by transactions that are not
 * completed. If there is no way, -EOPNOTSUPP with a sentence of all that was
 * tried. */
int handoff__rules_probe(
	struct handoff__rules *rules, struct handoff__error *error);

/* The way in words. */
const char *handoff__rules_text(enum handoff__rules_way way);

/* 1 if there are such tables, 0 if not; -errno. */
int handoff__rules_found(struct handoff__rules *rules);

/* Puts the rules in place of any that are there. */
int handoff__rules_install(struct handoff__rules *rules, uint16_t number,
	struct handoff__error *error);

/* Whether a table of that name is that of another helper; and removes that, or
 * such a chain. */
bool handoff__rules_is_other(
	const struct handoff__rules *rules, const char *name);
int handoff__rules_drop(struct handoff__rules *rules, const char *name,
	struct handoff__error *error);

/* No effect if there are none. */
int handoff__rules_remove(
	struct handoff__rules *rules, struct handoff__error *error);

#endif
