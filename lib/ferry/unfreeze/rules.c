/* SPDX-License-Identifier: MIT */
/*
 * nftables by libnftnl: a transaction is one message. Kernels without nft's
 * queue expression (NFT_QUEUE) have NFQUEUE as a target of xtables, which
 * nft_compat makes an expression of nft. A transaction without its end is
 * checked in full and then given up, which shows what the kernel can do.
 */
#include "ferry/unfreeze/rules.h"

#include "ferry/unfreeze/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGE (64 << 10)
#define WAIT_S  2
#define CHAIN   "prerouting"
#define PREFIX  "handoff-" /* of the names of tables */
#define XT_SIZE 8          /* of the target's data, aligned */

/* One transaction while it is built. */
struct batch {
	struct handoff__rules *rules;
	char data[MESSAGE];
	struct mnl_nlmsg_batch *messages;
	uint32_t first, last; /* sequence numbers of what is acknowledged */
	bool bad;             /* no memory, or too long */
};

int
handoff__rules_open(struct handoff__rules *rules, struct handoff__error *error)
{
	struct timeval wait = {.tv_sec = WAIT_S};

	*rules = (struct handoff__rules){.seq = (uint32_t)time(NULL)};
	handoff__legacy_open(&rules->legacy);
	rules->netlink = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!rules->netlink ||
		mnl_socket_bind(rules->netlink, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		handoff__rules_close(rules);
		return handoff__fail(error, err,
			"rules: opening a netlink socket: %s", strerror(-err));
	}
	setsockopt(mnl_socket_get_fd(rules->netlink), SOL_SOCKET, SO_RCVTIMEO,
		&wait, sizeof(wait));
	return 0;
}

void
handoff__rules_close(struct handoff__rules *rules)
{
	if (rules->netlink)
		mnl_socket_close(rules->netlink);
	rules->netlink = NULL;
	handoff__legacy_close(&rules->legacy);
}

int
handoff__rules_name(struct handoff__rules *rules, const char *service,
	const struct handoff__gate_address *addresses, uint32_t n,
	struct handoff__error *error)
{
	if (!handoff__name_ok(service))
		return handoff__fail(
			error, -EINVAL, "rules: the service has no name");
	if (n == 0 || n > HANDOFF__GATE_ADDRESSES)
		return handoff__fail(error, -EINVAL,
			"rules: %u addresses: there have to be 1 to %d", n,
			HANDOFF__GATE_ADDRESSES);
	for (uint32_t i = 0; i < n; i++) {
		if (addresses[i].family != 4 && addresses[i].family != 6)
			return handoff__fail(error, -EINVAL,
				"rules: an address of family %u",
				addresses[i].family);
	}
	snprintf(rules->table, sizeof(rules->table), PREFIX "%s", service);
	handoff__legacy_name(&rules->legacy, rules->table);
	memcpy(rules->addresses, addresses, n * sizeof(*addresses));
	rules->naddresses = n;
	return 0;
}

static void
advance(struct batch *batch)
{
	/* There is room behind what is current; no rule comes near that. */
	if (!mnl_nlmsg_batch_next(batch->messages))
		batch->bad = true;
}

static struct nlmsghdr *
add(struct batch *batch, uint16_t type, int family, uint16_t flags)
{
	batch->last = ++batch->rules->seq;
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch->messages),
		type, (uint16_t)family, (uint16_t)(flags | NLM_F_ACK),
		batch->last);
}

static void
add_table(struct batch *batch, int family, uint16_t type, uint16_t flags)
{
	struct nftnl_table *t = nftnl_table_alloc();

	if (!t) {
		batch->bad = true;
		return;
	}
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, batch->rules->table);
	nftnl_table_nlmsg_build_payload(add(batch, type, family, flags), t);
	nftnl_table_free(t);
	advance(batch);
}

/* Before connection tracking and all else (NF_IP_PRI_RAW). */
static void
add_chain(struct batch *batch, int family)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c) {
		batch->bad = true;
		return;
	}
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, batch->rules->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, CHAIN);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, NF_INET_PRE_ROUTING);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, NF_IP_PRI_RAW);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(
		add(batch, NFT_MSG_NEWCHAIN, family, NLM_F_CREATE), c);
	nftnl_chain_free(c);
	advance(batch);
}

static struct nftnl_expr *
expr(struct batch *batch, struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (!e) {
		batch->bad = true;
		return NULL;
	}
	nftnl_rule_add_expr(rule, e);
	return e;
}

static void
compare(struct batch *batch, struct nftnl_rule *rule, const void *data,
	uint32_t len)
{
	struct nftnl_expr *e = expr(batch, rule, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, len);
}

/* The protocol, whatever headers are before it. */
static void
match_protocol(struct batch *batch, struct nftnl_rule *rule, uint8_t protocol)
{
	struct nftnl_expr *e = expr(batch, rule, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
	compare(batch, rule, &protocol, 1);
}

static void
match_bytes(struct batch *batch, struct nftnl_rule *rule, uint32_t base,
	uint32_t offset, const void *data, uint32_t len)
{
	struct nftnl_expr *e = expr(batch, rule, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	compare(batch, rule, data, len);
}

static void
match_address(struct batch *batch, struct nftnl_rule *rule,
	const struct handoff__gate_address *address)
{
	bool four = address->family == 4;

	match_bytes(batch, rule, NFT_PAYLOAD_NETWORK_HEADER, four ? 16 : 24,
		address->ip, four ? 4 : 16);
}

/* TCP, or the errors about it. */
static void
match_kind(struct batch *batch, struct nftnl_rule *rule, bool four, bool errors)
{
	uint8_t type =
		four ? HANDOFF__PACKET_UNREACHABLE : HANDOFF__PACKET_TOO_BIG;

	if (!errors) {
		match_protocol(batch, rule, IPPROTO_TCP);
		return;
	}
	match_protocol(batch, rule, four ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	match_bytes(batch, rule, NFT_PAYLOAD_TRANSPORT_HEADER, 0, &type, 1);
}

static void
queue_native(struct batch *batch, struct nftnl_rule *rule, uint16_t number)
{
	struct nftnl_expr *e = expr(batch, rule, "queue");

	if (!e)
		return;
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, number);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 1);
}

/* Revision 0 knows no flags, so no bypass. The expression keeps the pointer and
 * frees it. */
static void
queue_compat(struct batch *batch, struct nftnl_rule *rule, uint16_t number)
{
	struct xt_NFQ_info info = {.queuenum = number};
	struct nftnl_expr *e = expr(batch, rule, "target");
	void *data = calloc(1, XT_SIZE);

	if (!e || !data) {
		free(data);
		batch->bad = true;
		return;
	}
	memcpy(data, &info, sizeof(info));
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 0);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, data, XT_SIZE);
}

static void
add_rule(struct batch *batch, const struct handoff__gate_address *address,
	bool errors, uint16_t number, enum handoff__rules_way way)
{
	bool four = address->family == 4;
	int family = four ? NFPROTO_IPV4 : NFPROTO_IPV6;
	struct nftnl_rule *rule = nftnl_rule_alloc();

	if (!rule) {
		batch->bad = true;
		return;
	}
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, batch->rules->table);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, CHAIN);
	match_address(batch, rule, address);
	match_kind(batch, rule, four, errors);
	if (way == HANDOFF__RULES_NATIVE)
		queue_native(batch, rule, number);
	else
		queue_compat(batch, rule, number);
	nftnl_rule_nlmsg_build_payload(add(batch, NFT_MSG_NEWRULE, family,
					       NLM_F_CREATE | NLM_F_APPEND),
		rule);
	nftnl_rule_free(rule);
	advance(batch);
}

static int
begin(struct batch *batch, struct handoff__rules *rules)
{
	*batch = (struct batch){.rules = rules};
	/* half of it is room for a message that does not fit any more */
	batch->messages = mnl_nlmsg_batch_start(batch->data, MESSAGE / 2);
	if (!batch->messages)
		return -ENOMEM;
	nftnl_batch_begin(
		mnl_nlmsg_batch_current(batch->messages), ++rules->seq);
	advance(batch);
	batch->first = rules->seq + 1;
	return 0;
}

static int
receive_answer(struct handoff__rules *rules, uint32_t *seq, int *result)
{
	char data[MESSAGE];
	ssize_t n = mnl_socket_recvfrom(rules->netlink, data, sizeof(data));
	const struct nlmsghdr *nlh = (const void *)data;
	int len = (int)n;

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

		if (nlh->nlmsg_type != NLMSG_ERROR ||
			mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
			continue;
		*seq = nlh->nlmsg_seq;
		if (e->error < 0 && *result == 0)
			*result = e->error;
	}
	return 0;
}

/* After an error no more answers need come; what does is passed over by its
 * number. */
static int
receive_answers(struct batch *batch)
{
	uint32_t seq = batch->first - 1;
	int result = 0, err = 0;

	while (err == 0 && result == 0 && seq != batch->last)
		err = receive_answer(batch->rules, &seq, &result);
	return err < 0 ? err : result;
}

/* What earlier transactions have not waited for. */
static void
drain(struct handoff__rules *rules)
{
	char data[MESSAGE];

	while (recv(mnl_socket_get_fd(rules->netlink), data, sizeof(data),
		       MSG_DONTWAIT) > 0)
		;
}

static int
complete(struct batch *batch, bool for_good)
{
	int err = batch->bad ? -ENOMEM : 0;

	if (for_good) {
		nftnl_batch_end(mnl_nlmsg_batch_current(batch->messages),
			++batch->rules->seq);
		advance(batch);
	}
	drain(batch->rules);
	if (err == 0 && mnl_socket_sendto(batch->rules->netlink,
				mnl_nlmsg_batch_head(batch->messages),
				mnl_nlmsg_batch_size(batch->messages)) < 0)
		err = -errno;
	mnl_nlmsg_batch_stop(batch->messages);
	return err < 0 ? err : receive_answers(batch);
}

/* Removes what a chain has, in place. A chain that took the place of another
 * would be another hook, and a packet between the two could be missed by
 * both. */
static void
add_flush(struct batch *batch, int family)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();

	if (!rule) {
		batch->bad = true;
		return;
	}
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, batch->rules->table);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, CHAIN);
	nftnl_rule_nlmsg_build_payload(
		add(batch, NFT_MSG_DELRULE, family, 0), rule);
	nftnl_rule_free(rule);
	advance(batch);
}

/* Adds it first, since what is not there cannot be deleted. */
static void
add_removal(struct batch *batch, int family)
{
	add_table(batch, family, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	add_table(batch, family, NFT_MSG_DELTABLE, 0);
}

static bool
has_family(const struct handoff__rules *rules, int family)
{
	for (uint32_t i = 0; i < rules->naddresses; i++) {
		if ((rules->addresses[i].family == 4) ==
			(family == NFPROTO_IPV4))
			return true;
	}
	return false;
}

static void
add_family(struct batch *batch, int family, uint16_t number,
	enum handoff__rules_way way)
{
	const struct handoff__rules *rules = batch->rules;

	if (way == HANDOFF__RULES_NONE || !has_family(rules, family)) {
		add_removal(batch, family);
		return;
	}
	add_table(batch, family, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	add_chain(batch, family);
	add_flush(batch, family);
	for (uint32_t i = 0; i < rules->naddresses; i++) {
		const struct handoff__gate_address *a = &rules->addresses[i];

		if ((a->family == 4) != (family == NFPROTO_IPV4))
			continue;
		add_rule(batch, a, false, number, way);
		add_rule(batch, a, true, number, way);
	}
}

static int
transact(struct handoff__rules *rules, uint16_t number,
	enum handoff__rules_way way, bool for_good)
{
	struct batch batch;
	int err = begin(&batch, rules);

	if (err < 0)
		return err;
	add_family(&batch, NFPROTO_IPV4, number, way);
	add_family(&batch, NFPROTO_IPV6, number, way);
	return complete(&batch, for_good);
}

/* Of the families that there are addresses of. */
static int
probe_legacy(const struct handoff__rules *rules)
{
	int err = 0;

	if (has_family(rules, NFPROTO_IPV4))
		err = handoff__legacy_probe(&rules->legacy, 4);
	if (err == 0 && has_family(rules, NFPROTO_IPV6))
		err = handoff__legacy_probe(&rules->legacy, 6);
	return err;
}

/* A family that there are no addresses of may be none that the kernel has. */
static int
set_legacy(struct handoff__rules *rules, int queue)
{
	int four = handoff__legacy_set(
		&rules->legacy, 4, rules->addresses, rules->naddresses, queue);
	int six = handoff__legacy_set(
		&rules->legacy, 6, rules->addresses, rules->naddresses, queue);

	if (four < 0 && has_family(rules, NFPROTO_IPV4))
		return four;
	return has_family(rules, NFPROTO_IPV6) ? six : 0;
}

int
handoff__rules_probe(struct handoff__rules *rules, struct handoff__error *error)
{
	int native, compat, legacy;

	native = transact(rules, 0, HANDOFF__RULES_NATIVE, false);
	rules->way = HANDOFF__RULES_NATIVE;
	if (native == 0)
		return 0;
	compat = transact(rules, 0, HANDOFF__RULES_COMPAT, false);
	rules->way = HANDOFF__RULES_COMPAT;
	if (compat == 0)
		return 0;
	legacy = probe_legacy(rules);
	rules->way = HANDOFF__RULES_LEGACY;
	if (legacy == 0)
		return 0;
	rules->way = HANDOFF__RULES_NONE;
	if (native == -EPERM && compat == -EPERM)
		return handoff__fail(error, -EPERM,
			"rules: nftables: %s: it needs CAP_NET_ADMIN",
			strerror(EPERM));
	return handoff__fail(error, -EOPNOTSUPP,
		"rules: packets cannot be queued on this host: nftables with "
		"its queue expression: %s; with the target NFQUEUE of "
		"xtables: %s; without nftables: %s. The kernel needs "
		"NFT_QUEUE, or NETFILTER_XT_TARGET_NFQUEUE and either "
		"NFT_COMPAT or the tables raw of iptables",
		strerror(-native), strerror(-compat), strerror(-legacy));
}

const char *
handoff__rules_text(enum handoff__rules_way way)
{
	switch (way) {
	case HANDOFF__RULES_NATIVE:
		return "nftables, queue expression";
	case HANDOFF__RULES_COMPAT:
		return "nftables, target NFQUEUE of xtables";
	case HANDOFF__RULES_LEGACY:
		return "iptables, target NFQUEUE of xtables";
	case HANDOFF__RULES_NONE:
		break;
	}
	return "none";
}

static int
has_table(struct handoff__rules *rules, int family)
{
	char data[512] = {0};
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;
	uint32_t seq = 0;
	int err = 0, result = 0;

	if (!t)
		return -ENOMEM;
	drain(rules);
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, rules->table);
	nlh = nftnl_nlmsg_build_hdr(data, NFT_MSG_GETTABLE, (uint16_t)family,
		NLM_F_ACK, ++rules->seq);
	nftnl_table_nlmsg_build_payload(nlh, t);
	nftnl_table_free(t);
	if (mnl_socket_sendto(rules->netlink, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (err == 0 && seq != rules->seq)
		err = receive_answer(rules, &seq, &result);
	if (err < 0 || result == 0)
		return err < 0 ? err : 1;
	return result == -ENOENT ? 0 : result;
}

int
handoff__rules_found(struct handoff__rules *rules)
{
	int four;

	if (rules->way == HANDOFF__RULES_LEGACY)
		return handoff__legacy_found(&rules->legacy, 4) == 1 ||
		       handoff__legacy_found(&rules->legacy, 6) == 1;
	four = has_table(rules, NFPROTO_IPV4);
	return four == 0 ? has_table(rules, NFPROTO_IPV6) : four;
}

int
handoff__rules_install(struct handoff__rules *rules, uint16_t number,
	struct handoff__error *error)
{
	int err = rules->way == HANDOFF__RULES_LEGACY
			  ? set_legacy(rules, number)
			  : transact(rules, number, rules->way, true);

	if (err < 0)
		return handoff__fail(error, err,
			"rules: putting the table %s in place (%s): %s",
			rules->table, handoff__rules_text(rules->way),
			strerror(-err));
	return 0;
}

int
handoff__rules_remove(
	struct handoff__rules *rules, struct handoff__error *error)
{
	int err;

	if (rules->table[0] == '\0')
		return 0;
	err = rules->way == HANDOFF__RULES_LEGACY
		      ? set_legacy(rules, -1)
		      : transact(rules, 0, HANDOFF__RULES_NONE, true);
	if (err < 0)
		return handoff__fail(error, err,
			"rules: removing the table %s: %s", rules->table,
			strerror(-err));
	return 0;
}

bool
handoff__rules_is_other(const struct handoff__rules *rules, const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
	       strcmp(name, rules->table) != 0;
}

int
handoff__rules_drop(struct handoff__rules *rules, const char *name,
	struct handoff__error *error)
{
	struct handoff__rules other = *rules;
	int err;

	handoff__copy(other.table, sizeof(other.table), name);
	handoff__copy(other.legacy.chain, sizeof(other.legacy.chain), name);
	err = handoff__rules_remove(&other, error);
	rules->seq = other.seq;
	return err;
}
