/* SPDX-License-Identifier: MIT */
/*
 * Finds rules of other helpers for these addresses by what they say, and
 * whether somebody reads their queue by binding to it. Touches no rules but
 * those called handoff-*, and none of which it does not know the queue.
 */
#include "ferry/unfreeze/leftover.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <string.h>
#include <sys/socket.h>

#define MOST   HANDOFF__LEFTOVERS
#define BUFFER (64 << 10)

struct others {
	const struct handoff__rules *rules;
	struct handoff__leftovers *all;
};

/* What is read of one rule, expression by expression. */
struct reading {
	const struct handoff__rules *rules;
	int family;
	bool address; /* the last payload was a destination */
	bool ours;    /* it was compared with one of the addresses */
	int queue;    /* -1: none */
};

static bool
is_of(const struct handoff__rules *rules, int family, const void *ip,
	uint32_t len)
{
	for (uint32_t i = 0; i < rules->naddresses; i++) {
		const struct handoff__gate_address *a = &rules->addresses[i];

		if (a->family == family && len == (family == 4 ? 4u : 16u) &&
			memcmp(a->ip, ip, len) == 0)
			return true;
	}
	return false;
}

static void
read_payload(struct reading *r, const struct nftnl_expr *e)
{
	r->address = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_BASE) ==
			     NFT_PAYLOAD_NETWORK_HEADER &&
		     nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET) ==
			     (r->family == 4 ? 16u : 24u);
}

static void
read_compare(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t len = 0;
	const void *data = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &len);

	if (r->address && data)
		r->ours |= is_of(r->rules, r->family, data, len);
	r->address = false;
}

static void
read_target(struct reading *r, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME);
	struct xt_NFQ_info info;
	uint32_t len = 0;
	const void *data = nftnl_expr_get(e, NFTNL_EXPR_TG_INFO, &len);

	if (!name || strcmp(name, "NFQUEUE") != 0 || !data ||
		len < sizeof(info))
		return;
	memcpy(&info, data, sizeof(info));
	r->queue = info.queuenum;
}

static int
on_expr(struct nftnl_expr *e, void *arg)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct reading *r = arg;

	if (!name)
		return 0;
	if (strcmp(name, "payload") == 0)
		read_payload(r, e);
	else if (strcmp(name, "cmp") == 0)
		read_compare(r, e);
	else if (strcmp(name, "queue") == 0)
		r->queue = nftnl_expr_get_u16(e, NFTNL_EXPR_QUEUE_NUM);
	else if (strcmp(name, "target") == 0)
		read_target(r, e);
	return 0;
}

static void
note(struct others *others, const char *name, uint16_t queue)
{
	struct handoff__leftovers *all = others->all;
	struct handoff__rules_other *o = &all->list[all->n];

	for (uint32_t i = 0; i < all->n; i++) {
		if (strcmp(all->list[i].name, name) == 0)
			return;
	}
	if (all->n == MOST || strlen(name) >= sizeof(o->name))
		return;
	handoff__copy(o->name, sizeof(o->name), name);
	o->queue = queue;
	all->n++;
}

static void
read_rule(struct others *others, int family, const struct nlmsghdr *nlh)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct reading r = {
		.rules = others->rules, .family = family, .queue = -1};
	const char *table;

	if (!rule)
		return;
	if (nftnl_rule_nlmsg_parse(nlh, rule) == 0) {
		table = nftnl_rule_get_str(rule, NFTNL_RULE_TABLE);
		nftnl_expr_foreach(rule, on_expr, &r);
		if (table && handoff__rules_is_other(others->rules, table) &&
			r.ours && r.queue >= 0)
			note(others, table, (uint16_t)r.queue);
	}
	nftnl_rule_free(rule);
}

/* The parts of a dump; 0 when it is over, 1 if more follows. */
static int
read_part(struct others *others, int family, const char *data, size_t size,
	uint32_t seq)
{
	const struct nlmsghdr *nlh = (const void *)data;
	int len = (int)size;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

		if (nlh->nlmsg_seq != seq)
			continue;
		if (nlh->nlmsg_type == NLMSG_DONE)
			return 0;
		if (nlh->nlmsg_type == NLMSG_ERROR)
			return mnl_nlmsg_get_payload_len(nlh) < sizeof(*e)
				       ? -EPROTO
				       : e->error;
		read_rule(others, family, nlh);
	}
	return 1;
}

static int
read_rules(struct others *others, struct handoff__rules *rules, int family)
{
	int number = family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6, err = 1;
	char data[BUFFER] = {0};
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(data, NFT_MSG_GETRULE,
		(uint16_t)number, NLM_F_DUMP, ++rules->seq);

	if (mnl_socket_sendto(rules->netlink, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (err == 1) {
		ssize_t n =
			mnl_socket_recvfrom(rules->netlink, data, sizeof(data));

		err = n < 0 ? -errno
			    : read_part(others, family, data, (size_t)n,
				      rules->seq);
	}
	return err;
}

static int
find(struct others *others, struct handoff__rules *rules)
{
	struct handoff__rules_other list[MOST];
	uint32_t n;
	int err;

	if (rules->way != HANDOFF__RULES_LEGACY) {
		err = read_rules(others, rules, 4);
		return err == 0 ? read_rules(others, rules, 6) : err;
	}
	n = handoff__legacy_others(&rules->legacy, rules->addresses,
		rules->naddresses, list, MOST);
	for (uint32_t i = 0; i < n; i++)
		note(others, list[i].name, list[i].queue);
	return 0;
}

int
handoff__leftover_find(struct handoff__leftovers *leftovers,
	struct handoff__rules *rules, struct handoff__queue *queue,
	struct handoff__error *error)
{
	struct others others = {.rules = rules, .all = leftovers};
	uint32_t n = 0;
	int err;

	leftovers->n = 0;
	err = find(&others, rules);
	if (err < 0) {
		leftovers->n = 0;
		return handoff__fail(error, err,
			"rules: looking for those of others: %s",
			strerror(-err));
	}
	for (uint32_t i = 0; i < leftovers->n; i++) {
		if (handoff__queue_is_free(queue, leftovers->list[i].queue))
			leftovers->list[n++] = leftovers->list[i];
	}
	leftovers->n = n;
	return 0;
}

int
handoff__leftover_remove(struct handoff__leftovers *leftovers,
	struct handoff__rules *rules, struct handoff__error *error)
{
	while (leftovers->n > 0) {
		const char *name = leftovers->list[leftovers->n - 1].name;
		int err = handoff__rules_drop(rules, name, error);

		if (err < 0)
			return err;
		leftovers->n--;
	}
	return 0;
}
