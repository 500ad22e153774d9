/* SPDX-License-Identifier: MIT */
/*
 * The table is one blob of entries, which name each other by their offsets: it
 * is read, taken apart, changed, and put together with new offsets. The kernel
 * takes it as a whole or not at all, and not if there are more or fewer entries
 * than were read.
 */
#include "ferry/unfreeze/legacy.h"

#include "base/text.h"
#include "ferry/unfreeze/packet.h"

#include <netinet/in.h> /* before those of the kernel */

#include <assert.h>
#include <errno.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE    "raw"
#define PREFIX   "handoff-" /* of the names of chains */
#define TRIES    4
#define REVISION 3 /* of NFQUEUE: flags, none of which is set */
#define NEW      UINT32_MAX

/* What the two families do not have in common. */
struct layout {
	int level;
	size_t entry; /* the size of an entry's fixed part */
	size_t target_offset, next_offset, counters;
	uint8_t icmp;
	const char *match;
};

static const struct layout layouts[] = {
	{IPPROTO_IP, sizeof(struct ipt_entry),
		offsetof(struct ipt_entry, target_offset),
		offsetof(struct ipt_entry, next_offset),
		offsetof(struct ipt_entry, counters), IPPROTO_ICMP, "icmp"},
	{IPPROTO_IPV6, sizeof(struct ip6t_entry),
		offsetof(struct ip6t_entry, target_offset),
		offsetof(struct ip6t_entry, next_offset),
		offsetof(struct ip6t_entry, counters), IPPROTO_ICMPV6, "icmp6"},
};

static_assert(sizeof(struct ipt_replace) == sizeof(struct ip6t_replace) &&
		      sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo),
	"only the entries differ");

/* One entry of the old table, or a new one. */
struct entry {
	const unsigned char *data;
	size_t len;
	uint32_t was;  /* its old offset; NEW: none */
	uint32_t at;   /* its new one */
	uint32_t old;  /* its number in the old table */
	int32_t jump;  /* the old offset that it names, -1: none */
	bool to_chain; /* it jumps to the new chain */
};

struct change {
	const struct layout *layout;
	int fd;
	struct ipt_getinfo info;
	unsigned char *blob; /* the old entries */
	struct entry *entries;
	uint32_t n, chain; /* the chain's first rule */
	unsigned char made[HANDOFF__GATE_ADDRESSES * 2 + 3][512];
	uint32_t nmade;
};

void
handoff__legacy_open(struct handoff__legacy *legacy)
{
	*legacy = (struct handoff__legacy){
		.four = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW),
		.six = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW),
	};
}

void
handoff__legacy_close(struct handoff__legacy *legacy)
{
	if (legacy->four >= 0)
		close(legacy->four);
	if (legacy->six >= 0)
		close(legacy->six);
	legacy->four = legacy->six = -1;
}

/* Names may be longer than a chain's may. */
void
handoff__legacy_name(struct handoff__legacy *legacy, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	snprintf(legacy->chain, sizeof(legacy->chain), PREFIX "%016llx",
		(unsigned long long)h);
}

static int
fd_of(const struct handoff__legacy *legacy, int family)
{
	return family == 4 ? legacy->four : legacy->six;
}

static const struct layout *
layout_of(int family)
{
	return &layouts[family == 4 ? 0 : 1];
}

static int
get(int fd, const struct layout *l, int what, void *data, size_t len)
{
	socklen_t size = (socklen_t)len;

	return getsockopt(fd, l->level, what, data, &size) < 0 ? -errno : 0;
}

int
handoff__legacy_probe(const struct handoff__legacy *legacy, int family)
{
	const struct layout *l = layout_of(family);
	struct ipt_getinfo info = {.name = TABLE};
	struct xt_get_revision revision = {
		.name = "NFQUEUE", .revision = REVISION};
	int fd = fd_of(legacy, family);
	int err = fd < 0 ? -EAFNOSUPPORT
			 : get(fd, l, IPT_SO_GET_INFO, &info, sizeof(info));

	/* the two families number this one differently */
	return err < 0 ? err
		       : get(fd, l,
				 family == 4 ? IPT_SO_GET_REVISION_TARGET
					     : IP6T_SO_GET_REVISION_TARGET,
				 &revision, sizeof(revision));
}

static uint16_t
u16_at(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Where it jumps to, by its old offset; -1: nowhere. */
static int32_t
jump_of(const struct layout *l, const unsigned char *data)
{
	const unsigned char *target = data + u16_at(data + l->target_offset);
	int verdict;

	if (target[offsetof(struct xt_entry_target, u.user.name)] != '\0')
		return -1;
	memcpy(&verdict, target + sizeof(struct xt_entry_target),
		sizeof(verdict));
	return verdict < 0 ? -1 : verdict;
}

/* The head of a user's chain, or the end of the table, has a name. */
static const char *
name_of(const struct layout *l, const unsigned char *data)
{
	const unsigned char *target = data + u16_at(data + l->target_offset);
	const char *name = (const char *)target +
			   offsetof(struct xt_entry_target, u.user.name);

	return strcmp(name, XT_ERROR_TARGET) == 0
		       ? (const char *)target + sizeof(struct xt_entry_target)
		       : NULL;
}

static int
read_table(struct change *c)
{
	struct ipt_get_entries *all;
	size_t size;
	int err;

	c->info = (struct ipt_getinfo){.name = TABLE};
	err = get(c->fd, c->layout, IPT_SO_GET_INFO, &c->info, sizeof(c->info));
	if (err < 0)
		return err;
	size = offsetof(struct ipt_get_entries, entrytable) + c->info.size;
	all = calloc(1, size);
	c->blob = malloc(c->info.size);
	c->entries =
		calloc(c->info.num_entries + sizeof(c->made) / sizeof(*c->made),
			sizeof(*c->entries));
	if (!all || !c->blob || !c->entries) {
		free(all);
		return -ENOMEM;
	}
	memcpy(all->name, TABLE, sizeof(TABLE));
	all->size = c->info.size;
	err = get(c->fd, c->layout, IPT_SO_GET_ENTRIES, all, size);
	memcpy(c->blob, (char *)all + size - c->info.size, c->info.size);
	free(all);
	return err;
}

/* The kernel has checked it; this process believes it no more than that. */
static int
take_apart(struct change *c)
{
	const struct layout *l = c->layout;
	uint32_t at = 0;

	for (c->n = 0; c->n < c->info.num_entries; c->n++) {
		const unsigned char *data = c->blob + at;
		size_t len = c->info.size - at < l->entry
				     ? 0
				     : u16_at(data + l->next_offset);

		if (len < l->entry + sizeof(struct xt_entry_target) ||
			len > c->info.size - at ||
			u16_at(data + l->target_offset) >
				len - sizeof(struct xt_entry_target) - 4)
			return -EBADMSG;
		c->entries[c->n] = (struct entry){.data = data,
			.len = len,
			.was = at,
			.old = c->n,
			.jump = jump_of(l, data)};
		at += (uint32_t)len;
	}
	return c->n > 0 && at == c->info.size ? 0 : -EBADMSG;
}

static void
drop(struct change *c, uint32_t from, uint32_t count)
{
	memmove(c->entries + from, c->entries + from + count,
		(c->n - from - count) * sizeof(*c->entries));
	c->n -= count;
}

static void
insert(struct change *c, uint32_t at, const struct entry *entry)
{
	memmove(c->entries + at + 1, c->entries + at,
		(c->n - at) * sizeof(*c->entries));
	c->entries[at] = *entry;
	c->n++;
}

/* The number of the chain's head, or `n`. */
static uint32_t
find_chain(const struct change *c, const char *chain)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const char *name = name_of(c->layout, c->entries[i].data);

		if (name && strncmp(name, chain, XT_FUNCTION_MAXNAMELEN) == 0)
			return i;
	}
	return c->n;
}

/* The chain, and what jumps to it. */
static void
remove_chain(struct change *c, const char *chain)
{
	uint32_t head = find_chain(c, chain), end = head + 1;
	int32_t first;

	if (head == c->n)
		return;
	while (end < c->n && !name_of(c->layout, c->entries[end].data))
		end++;
	first = (int32_t)c->entries[head].was + (int32_t)c->entries[head].len;
	drop(c, head, end - head);
	for (uint32_t i = c->n; i-- > 0;) {
		if (c->entries[i].jump == first)
			drop(c, i, 1);
	}
}

/* A new entry of that length behind the fixed part; `target` and what comes
 * before it are put into it by the caller. */
static unsigned char *
make(struct change *c, size_t matches, const char *target, size_t size)
{
	const struct layout *l = c->layout;
	unsigned char *data = c->made[c->nmade++];
	uint16_t target_at = (uint16_t)(l->entry + matches);
	uint16_t next = (uint16_t)(target_at + size);
	struct xt_entry_target head = {.u.user.target_size = (uint16_t)size};

	memset(data, 0, sizeof(*c->made));
	memcpy(data + l->target_offset, &target_at, sizeof(target_at));
	memcpy(data + l->next_offset, &next, sizeof(next));
	snprintf(head.u.user.name, sizeof(head.u.user.name), "%s", target);
	if (strcmp(target, "NFQUEUE") == 0)
		head.u.user.revision = REVISION;
	memcpy(data + target_at, &head, sizeof(head));
	return data;
}

static struct entry
entry_of(const struct change *c, const unsigned char *data)
{
	return (struct entry){.data = data,
		.len = u16_at(data + c->layout->next_offset),
		.was = NEW,
		.old = NEW,
		.jump = -1};
}

static struct entry
make_standard(struct change *c, int verdict)
{
	unsigned char *data = make(c, 0, "", sizeof(struct xt_standard_target));

	memcpy(data + c->layout->entry + sizeof(struct xt_entry_target),
		&verdict, sizeof(verdict));
	return entry_of(c, data);
}

static struct entry
make_head(struct change *c, const char *chain)
{
	unsigned char *data =
		make(c, 0, XT_ERROR_TARGET, sizeof(struct xt_error_target));

	handoff__copy((char *)data + c->layout->entry +
			      sizeof(struct xt_entry_target),
		XT_FUNCTION_MAXNAMELEN, chain);
	return entry_of(c, data);
}

static void
put_address(unsigned char *data, const struct handoff__gate_address *address,
	uint8_t protocol)
{
	struct ipt_ip four = {.proto = protocol};
	struct ip6t_ip6 six = {.proto = protocol, .flags = IP6T_F_PROTO};

	memcpy(&four.dst, address->ip, 4);
	memset(&four.dmsk, 0xff, 4);
	memcpy(&six.dst, address->ip, 16);
	memset(&six.dmsk, 0xff, 16);
	if (address->family == 4)
		memcpy(data, &four, sizeof(four));
	else
		memcpy(data, &six, sizeof(six));
}

/* TCP to the address, or errors about that. */
static struct entry
make_rule(struct change *c, const struct handoff__gate_address *address,
	bool errors, int queue)
{
	const size_t size = XT_ALIGN(sizeof(struct xt_entry_match)) +
			    XT_ALIGN(sizeof(struct ipt_icmp));
	const struct layout *l = c->layout;
	struct xt_entry_match match = {.u.user.match_size = (uint16_t)size};
	struct ipt_icmp icmp = {.code = {0, 0xff}};
	struct xt_NFQ_info_v3 info = {
		.queuenum = (uint16_t)queue, .queues_total = 1};
	unsigned char *data = make(c, errors ? size : 0, "NFQUEUE",
		sizeof(struct xt_entry_target) + XT_ALIGN(sizeof(info)));

	put_address(data, address, errors ? l->icmp : IPPROTO_TCP);
	memcpy(data + u16_at(data + l->target_offset) +
			sizeof(struct xt_entry_target),
		&info, sizeof(info));
	if (errors) {
		icmp.type = address->family == 4 ? HANDOFF__PACKET_UNREACHABLE
						 : HANDOFF__PACKET_TOO_BIG;
		snprintf(match.u.user.name, sizeof(match.u.user.name), "%s",
			l->match);
		memcpy(data + l->entry, &match, sizeof(match));
		memcpy(data + l->entry + sizeof(match), &icmp, sizeof(icmp));
	}
	return entry_of(c, data);
}

/* The number of the entry that was there, or of the next one that is left. */
static uint32_t
number_of(const struct change *c, uint32_t was)
{
	uint32_t i = 0;

	while (i < c->n &&
		(c->entries[i].was == NEW || c->entries[i].was < was))
		i++;
	return i < c->n ? i : c->n - 1;
}

/* Before the end of the table, and before all that PREROUTING has. */
static void
add_chain(struct change *c, const char *chain,
	const struct handoff__gate_address *addresses, uint32_t n, int queue)
{
	uint32_t at = c->n - 1, first;
	struct entry e = make_head(c, chain);

	insert(c, at++, &e);
	for (uint32_t i = 0; i < n; i++) {
		for (int errors = 0; errors < 2; errors++) {
			e = make_rule(c, &addresses[i], errors, queue);
			insert(c, at++, &e);
		}
	}
	e = make_standard(c, XT_RETURN);
	insert(c, at, &e);
	e = make_standard(c, 0);
	e.to_chain = true;
	first = number_of(c, c->info.hook_entry[NF_INET_PRE_ROUTING]);
	insert(c, first, &e);
}

/* New offsets; and which of them the chain's first rule has. */
static uint32_t
place(struct change *c, const char *chain)
{
	uint32_t at = 0, head = find_chain(c, chain);

	for (uint32_t i = 0; i < c->n; i++) {
		c->entries[i].at = at;
		at += (uint32_t)c->entries[i].len;
	}
	c->chain = head + 1 < c->n ? c->entries[head + 1].at : 0;
	return at;
}

static void
write_entries(const struct change *c, unsigned char *to)
{
	const struct layout *l = c->layout;

	for (uint32_t i = 0; i < c->n; i++) {
		const struct entry *e = &c->entries[i];
		int verdict =
			e->to_chain ? (int)c->chain
			: e->jump >= 0
				? (int)c->entries[number_of(
							  c, (uint32_t)e->jump)]
					  .at
				: -1;
		unsigned char *data = to + e->at;

		memcpy(data, e->data, e->len);
		memset(data + l->counters, 0, sizeof(struct xt_counters));
		if (verdict >= 0)
			memcpy(data + u16_at(data + l->target_offset) +
					sizeof(struct xt_entry_target),
				&verdict, sizeof(verdict));
	}
}

static bool
jumps_to_chain(const struct change *c, uint32_t i)
{
	return i > 0 && c->entries[i - 1].to_chain;
}

static void
fill_head(const struct change *c, struct ipt_replace *r, uint32_t size)
{
	memcpy(r->name, TABLE, sizeof(TABLE));
	r->valid_hooks = c->info.valid_hooks;
	r->num_entries = c->n;
	r->size = size;
	r->num_counters = c->info.num_entries;
	for (int i = 0; i < NF_INET_NUMHOOKS; i++) {
		uint32_t from, under;

		if (!(c->info.valid_hooks >> i & 1))
			continue;
		from = number_of(c, c->info.hook_entry[i]);
		under = number_of(c, c->info.underflow[i]);
		if (i == NF_INET_PRE_ROUTING && jumps_to_chain(c, from))
			from--;
		r->hook_entry[i] = c->entries[from].at;
		r->underflow[i] = c->entries[under].at;
	}
}

/* What the entries of others had counted goes on. */
static void
give_counters(const struct change *c, const struct xt_counters *old)
{
	size_t size = sizeof(struct xt_counters_info) + c->n * sizeof(*old);
	struct xt_counters_info *info = calloc(1, size);
	struct xt_counters *counters;

	if (!info)
		return;
	memcpy(info->name, TABLE, sizeof(TABLE));
	info->num_counters = c->n;
	counters = (void *)((char *)info + sizeof(*info));
	for (uint32_t i = 0; i < c->n; i++) {
		if (c->entries[i].old != NEW)
			counters[i] = old[c->entries[i].old];
	}
	setsockopt(c->fd, c->layout->level, IPT_SO_SET_ADD_COUNTERS, info,
		(socklen_t)size);
	free(info);
}

static int
write_table(struct change *c, const char *chain)
{
	uint32_t size = place(c, chain);
	struct ipt_replace *r = calloc(1, sizeof(*r) + size);
	struct xt_counters *old =
		calloc(c->info.num_entries, sizeof(struct xt_counters));
	int err = r && old ? 0 : -ENOMEM;

	if (err == 0) {
		fill_head(c, r, size);
		r->counters = old;
		write_entries(c, (unsigned char *)r + sizeof(*r));
		if (setsockopt(c->fd, c->layout->level, IPT_SO_SET_REPLACE, r,
			    (socklen_t)(sizeof(*r) + size)) < 0)
			err = -errno;
	}
	if (err == 0)
		give_counters(c, old);
	free(r);
	free(old);
	return err;
}

static int
begin(struct change *c, const struct handoff__legacy *legacy, int family)
{
	int err;

	c->layout = layout_of(family);
	c->fd = fd_of(legacy, family);
	c->blob = NULL;
	c->entries = NULL;
	c->nmade = 0;
	err = c->fd < 0 ? -EAFNOSUPPORT : read_table(c);
	return err < 0 ? err : take_apart(c);
}

static void
end(struct change *c)
{
	free(c->blob);
	free(c->entries);
}

int
handoff__legacy_found(const struct handoff__legacy *legacy, int family)
{
	struct change c;
	int err = begin(&c, legacy, family);

	if (err == 0)
		err = find_chain(&c, legacy->chain) < c.n;
	end(&c);
	return err;
}

/* The number of the queue of a rule for one of these addresses; -1: it is none
 * of those. */
static int
queue_of(const struct change *c, uint32_t i, int family,
	const struct handoff__gate_address *addresses, uint32_t n)
{
	const unsigned char *data = c->entries[i].data;
	const unsigned char *target =
		data + u16_at(data + c->layout->target_offset);
	size_t at = family == 4 ? offsetof(struct ipt_ip, dst)
				: offsetof(struct ip6t_ip6, dst);

	if (strncmp((const char *)target +
			    offsetof(struct xt_entry_target, u.user.name),
		    "NFQUEUE", XT_EXTENSION_MAXNAMELEN) != 0)
		return -1;
	for (uint32_t k = 0; k < n; k++) {
		if (addresses[k].family == family &&
			memcmp(data + at, addresses[k].ip,
				family == 4 ? 4 : 16) == 0)
			return u16_at(
				target + sizeof(struct xt_entry_target) +
				offsetof(struct xt_NFQ_info_v3, queuenum));
	}
	return -1;
}

static bool
is_other(const struct handoff__legacy *legacy, const char *chain)
{
	return strncmp(chain, PREFIX, strlen(PREFIX)) == 0 &&
	       strncmp(chain, legacy->chain, XT_FUNCTION_MAXNAMELEN) != 0;
}

static uint32_t
others_of(const struct handoff__legacy *legacy, int family,
	const struct handoff__gate_address *addresses, uint32_t n,
	struct handoff__rules_other *list, uint32_t most)
{
	const char *name, *chain = NULL;
	uint32_t count = 0;
	struct change c;

	if (begin(&c, legacy, family) < 0)
		c.n = 0;
	for (uint32_t i = 0; i < c.n && count < most; i++) {
		int queue;

		name = name_of(c.layout, c.entries[i].data);
		if (name)
			chain = is_other(legacy, name) ? name : NULL;
		queue = name || !chain ? -1
				       : queue_of(&c, i, family, addresses, n);
		if (queue < 0)
			continue;
		snprintf(list[count].name, sizeof(list[count].name), "%.*s",
			XT_FUNCTION_MAXNAMELEN, chain);
		list[count++].queue = (uint16_t)queue;
		chain = NULL; /* one rule of it is enough */
	}
	end(&c);
	return count;
}

uint32_t
handoff__legacy_others(const struct handoff__legacy *legacy,
	const struct handoff__gate_address *addresses, uint32_t n,
	struct handoff__rules_other *list, uint32_t most)
{
	uint32_t count = others_of(legacy, 4, addresses, n, list, most);

	return count +
	       others_of(legacy, 6, addresses, n, list + count, most - count);
}

static int
change(const struct handoff__legacy *legacy, int family,
	const struct handoff__gate_address *addresses, uint32_t n, int queue)
{
	struct change c;
	int err = begin(&c, legacy, family);
	bool was = err == 0 && find_chain(&c, legacy->chain) < c.n;

	if (err == 0) {
		remove_chain(&c, legacy->chain);
		if (n > 0)
			add_chain(&c, legacy->chain, addresses, n, queue);
	}
	if (err == 0 && (was || n > 0))
		err = write_table(&c, legacy->chain);
	end(&c);
	return err;
}

int
handoff__legacy_set(const struct handoff__legacy *legacy, int family,
	const struct handoff__gate_address *addresses, uint32_t n, int queue)
{
	struct handoff__gate_address own[HANDOFF__GATE_ADDRESSES];
	uint32_t count = 0;
	int err = -EAGAIN;

	for (uint32_t i = 0; queue >= 0 && i < n; i++) {
		if (addresses[i].family == family &&
			count < HANDOFF__GATE_ADDRESSES)
			own[count++] = addresses[i];
	}
	for (int i = 0; i < TRIES && err == -EAGAIN; i++)
		err = change(legacy, family, own, count, queue);
	return err;
}
