/* SPDX-License-Identifier: MIT */
/*
 * Looks for an address in the kernel's table, puts it there and takes it away,
 * so that each call can be repeated: what is so already is no error.
 */
#include "ferry/address.h"

#include "base/loop.h"
#include "ferry/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define FOREVER     0xffffffffu
#define PATIENCE_US 1000000 /* for the kernel to do what it has accepted */
#define TRIES       8       /* of a dump under which the table changes */

/* Where an address is, and who shares its subnet on the device. */
struct search {
	const struct handoff__prefix *prefix;
	int device, lo, other; /* indices; `other` is what was found, or 0 */
	/* the length of its prefix there; 0: it is not there */
	uint8_t on_device, on_lo;
	bool secondary; /* on the device */
	uint8_t subnet; /* counts mates of this length; 0: does not */
	uint32_t mates;
};

static size_t
size_of(const struct handoff__prefix *prefix)
{
	return prefix->family == 4 ? 4 : 16;
}

static uint8_t
family_of(const struct handoff__prefix *prefix)
{
	return prefix->family == 4 ? AF_INET : AF_INET6;
}

static uint8_t
host_length(const struct handoff__prefix *prefix)
{
	return prefix->family == 4 ? 32 : 128;
}

static bool
same_subnet(const uint8_t *one, const uint8_t *other, uint8_t length)
{
	uint8_t mask = (uint8_t)(0xff00 >> length % 8);

	if (memcmp(one, other, length / 8) != 0)
		return false;
	return length % 8 == 0 ||
	       ((one[length / 8] ^ other[length / 8]) & mask) == 0;
}

static void
note_place(struct search *s, const struct ifaddrmsg *m)
{
	if ((int)m->ifa_index == s->device) {
		s->on_device = m->ifa_prefixlen;
		s->secondary = (m->ifa_flags & IFA_F_SECONDARY) != 0;
	} else if ((int)m->ifa_index == s->lo) {
		s->on_lo = m->ifa_prefixlen;
	} else {
		s->other = (int)m->ifa_index;
	}
}

/* IFA_LOCAL is the address; IPv6 has it only if there is another end, which is
 * then IFA_ADDRESS. */
static int
on_attribute(const struct nlattr *attr, void *arg)
{
	const struct nlattr **kept = arg;

	if (mnl_attr_get_type(attr) == IFA_LOCAL ||
		(mnl_attr_get_type(attr) == IFA_ADDRESS && !*kept))
		*kept = attr;
	return MNL_CB_OK;
}

static int
on_address(const struct nlmsghdr *head, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(head);
	const struct nlattr *attr = NULL;
	struct search *s = arg;
	const uint8_t *ip;

	if (mnl_nlmsg_get_payload_len(head) < sizeof(*m) ||
		m->ifa_family != family_of(s->prefix))
		return MNL_CB_OK;
	mnl_attr_parse(head, sizeof(*m), on_attribute, &attr);
	if (!attr || mnl_attr_get_payload_len(attr) != size_of(s->prefix))
		return MNL_CB_OK;
	ip = mnl_attr_get_payload(attr);
	if (memcmp(ip, s->prefix->ip, size_of(s->prefix)) == 0)
		note_place(s, m);
	else if (s->subnet > 0 && (int)m->ifa_index == s->device &&
		 m->ifa_prefixlen == s->subnet &&
		 same_subnet(ip, s->prefix->ip, s->subnet))
		s->mates++;
	return MNL_CB_OK;
}

static int
fail(const struct handoff__prefix *prefix, int err, const char *what,
	struct handoff__error *error)
{
	char text[HANDOFF__PREFIX_TEXT];

	handoff__prefix_format(prefix, text, sizeof(text));
	return handoff__fail(error, err, "cannot %s %s: %s%s", what, text,
		strerror(-err), err == -EPERM ? ": needs CAP_NET_ADMIN" : "");
}

static int
find(struct search *s, const struct handoff__device *device,
	const struct handoff__prefix *prefix, uint8_t subnet,
	struct handoff__error *error)
{
	_Alignas(struct nlmsghdr) char room[HANDOFF__NETLINK_ROOM];
	struct nlmsghdr *head;
	struct ifaddrmsg *m;
	int err = -EINTR;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		memset(s, 0, sizeof(*s));
		s->prefix = prefix;
		s->subnet = subnet;
		s->device = device ? device->ifindex : 0;
		s->lo = (int)if_nametoindex("lo");
		head = handoff__netlink_request(room, RTM_GETADDR, NLM_F_DUMP);
		m = mnl_nlmsg_put_extra_header(head, sizeof(*m));
		m->ifa_family = family_of(prefix);
		err = handoff__netlink_ask(NETLINK_ROUTE, head, on_address, s);
	}
	return err < 0 ? fail(prefix, err, "look for", error) : 0;
}

static struct nlmsghdr *
about(void *room, uint16_t type, uint16_t flags, int ifindex,
	const struct handoff__prefix *prefix, uint8_t length)
{
	struct nlmsghdr *head = handoff__netlink_request(
		room, type, (uint16_t)(NLM_F_ACK | flags));
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(head, sizeof(*m));

	m->ifa_family = family_of(prefix);
	m->ifa_prefixlen = length;
	m->ifa_index = (unsigned)ifindex;
	mnl_attr_put(head, IFA_LOCAL, size_of(prefix), prefix->ip);
	mnl_attr_put(head, IFA_ADDRESS, size_of(prefix), prefix->ip);
	return head;
}

static int
add_once(int ifindex, const struct handoff__prefix *prefix, uint8_t length,
	bool on_lo, struct handoff__error *error)
{
	_Alignas(struct nlmsghdr) char room[HANDOFF__NETLINK_ROOM];
	struct nlmsghdr *head = about(room, RTM_NEWADDR,
		NLM_F_CREATE | NLM_F_EXCL, ifindex, prefix, length);
	struct ifaddrmsg *m = mnl_nlmsg_get_payload(head);
	struct ifa_cacheinfo unpreferred = {.ifa_valid = FOREVER};
	int err;

	/* IPv4 has the scope for what the deprecated state does in IPv6: this
	 * host does not choose it by itself */
	if (prefix->family == 4 && on_lo)
		m->ifa_scope = RT_SCOPE_HOST;
	if (prefix->family == 6) {
		mnl_attr_put_u32(head, IFA_FLAGS, IFA_F_NODAD);
		mnl_attr_put(
			head, IFA_CACHEINFO, sizeof(unpreferred), &unpreferred);
	}
	err = handoff__netlink_ask(NETLINK_ROUTE, head, NULL, NULL);
	if (err == 0 || err == -EEXIST)
		return 0;
	return fail(
		prefix, err, on_lo ? "add to lo" : "add to the device", error);
}

/* The route by which the kernel takes packets to an address for its own. */
struct route {
	const struct handoff__prefix *prefix;
	uint32_t ifindex;
	bool found;
};

static int
on_route_attribute(const struct nlattr *attr, void *arg)
{
	const struct nlattr **kept = arg;
	uint16_t type = mnl_attr_get_type(attr);

	if (type == RTA_DST)
		kept[0] = attr;
	if (type == RTA_OIF)
		kept[1] = attr;
	return MNL_CB_OK;
}

static int
on_route(const struct nlmsghdr *head, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(head);
	const struct nlattr *kept[2] = {NULL, NULL};
	struct route *r = arg;

	if (mnl_nlmsg_get_payload_len(head) < sizeof(*m) ||
		m->rtm_family != AF_INET6 || m->rtm_type != RTN_LOCAL)
		return MNL_CB_OK;
	mnl_attr_parse(head, sizeof(*m), on_route_attribute, kept);
	if (kept[0] && kept[1] && mnl_attr_get_payload_len(kept[0]) == 16 &&
		mnl_attr_get_payload_len(kept[1]) == 4 &&
		mnl_attr_get_u32(kept[1]) == r->ifindex &&
		memcmp(mnl_attr_get_payload(kept[0]), r->prefix->ip, 16) == 0)
		r->found = true;
	return MNL_CB_OK;
}

static int
find_route(struct route *r)
{
	_Alignas(struct nlmsghdr) char room[HANDOFF__NETLINK_ROOM];
	struct nlmsghdr *head =
		handoff__netlink_request(room, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(head, sizeof(*m));

	m->rtm_family = AF_INET6;
	m->rtm_table = RT_TABLE_LOCAL;
	return handoff__netlink_ask(NETLINK_ROUTE, head, on_route, r);
}

static int
fail_later(const struct handoff__prefix *prefix, struct handoff__error *error)
{
	char text[HANDOFF__PREFIX_TEXT];

	handoff__prefix_format(prefix, text, sizeof(text));
	return handoff__fail(error, -ETIMEDOUT,
		"the kernel has the address %s, and has not begun to use it in "
		"time: try again",
		text);
}

/* The kernel accepts an IPv6 address at once, but packets to it are its own
 * only after a worker of it has added the route. */
static int
settle(int ifindex, const struct handoff__prefix *prefix,
	struct handoff__error *error)
{
	struct route r = {.prefix = prefix, .ifindex = (uint32_t)ifindex};
	int64_t end = handoff__now_us() + PATIENCE_US;
	int err;

	while (prefix->family == 6) {
		err = find_route(&r);
		if (r.found)
			return 0;
		if (err < 0 && err != -EINTR)
			return fail(prefix, err, "find the route to", error);
		if (handoff__now_us() > end)
			return fail_later(prefix, error);
		(void)poll(NULL, 0, 1);
	}
	return 0;
}

static int
add(int ifindex, const struct handoff__prefix *prefix, uint8_t length,
	bool on_lo, struct handoff__error *error)
{
	int err = add_once(ifindex, prefix, length, on_lo, error);

	return err < 0 ? err : settle(ifindex, prefix, error);
}

static int
take(int ifindex, const struct handoff__prefix *prefix, uint8_t length,
	const char *what, struct handoff__error *error)
{
	_Alignas(struct nlmsghdr) char room[HANDOFF__NETLINK_ROOM];
	int err = handoff__netlink_ask(NETLINK_ROUTE,
		about(room, RTM_DELADDR, 0, ifindex, prefix, length), NULL,
		NULL);

	if (err == 0 || err == -EADDRNOTAVAIL)
		return 0;
	return fail(prefix, err, what, error);
}

int
handoff__address_spot(const struct handoff__device *device,
	const struct handoff__prefix *prefix, char other[IFNAMSIZ],
	struct handoff__error *error)
{
	struct search s;
	int err = find(&s, device, prefix, 0, error);

	if (err < 0)
		return err;
	memset(other, 0, IFNAMSIZ);
	if (s.other != 0 && !if_indextoname((unsigned)s.other, other))
		handoff__copy(other, IFNAMSIZ, "?");
	return s.on_device   ? HANDOFF__ON_DEVICE
	       : s.on_lo     ? HANDOFF__ON_LO
	       : s.other > 0 ? HANDOFF__ON_OTHER
			     : HANDOFF__ABSENT;
}

int
handoff__address_length(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	struct search s;
	int err = find(&s, device, prefix, 0, error);

	return err < 0 ? err : s.on_device;
}

static int
fail_elsewhere(const struct handoff__prefix *prefix, int ifindex,
	struct handoff__error *error)
{
	char text[HANDOFF__PREFIX_TEXT], name[IFNAMSIZ] = "?";

	handoff__prefix_format(prefix, text, sizeof(text));
	(void)if_indextoname((unsigned)ifindex, name);
	return handoff__fail(error, -EEXIST,
		"address of the service %s: it is on %s already", text, name);
}

int
handoff__address_to_device(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	struct search s;
	int err = find(&s, device, prefix, 0, error);

	if (err < 0)
		return err;
	if (s.other != 0)
		return fail_elsewhere(prefix, s.other, error);
	if (!s.on_device)
		err = add(
			device->ifindex, prefix, prefix->length, false, error);
	else if (s.on_lo)
		/* that of an operator may be tentative for longer */
		(void)settle(device->ifindex, prefix, error);
	if (err == 0 && s.on_lo)
		err = take(s.lo, prefix, s.on_lo, "remove from lo", error);
	return err;
}

int
handoff__address_to_lo(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	struct search s;
	int err = find(&s, device, prefix, 0, error);

	if (err < 0)
		return err;
	if (s.other != 0)
		return fail_elsewhere(prefix, s.other, error);
	if (s.on_device)
		return fail_elsewhere(prefix, s.device, error);
	return s.on_lo ? settle(s.lo, prefix, error)
		       : add(s.lo, prefix, host_length(prefix), true, error);
}

/* Finds it on the device, and with it those of its subnet there. */
static int
find_mates(struct search *s, const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	int err = find(s, device, prefix, 0, error);

	if (err == 0 && s->on_device > 0)
		err = find(s, device, prefix, s->on_device, error);
	return err;
}

static int
judge_leaving(const struct search *s, const struct handoff__device *device,
	struct handoff__error *error)
{
	char text[HANDOFF__PREFIX_TEXT];

	if (s->on_device == 0 || s->on_device == host_length(s->prefix) ||
		s->mates > 0)
		return 0;
	handoff__prefix_format(s->prefix, text, sizeof(text));
	return handoff__fail(error, -EBUSY,
		"address of the service %s: it is the only one of its subnet "
		"on %s, and the host would lose the route with it: give the "
		"host an address of its own there",
		text, device->name);
}

int
handoff__address_may_leave(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	struct search s;
	int err = find_mates(&s, device, prefix, error);

	return err < 0 ? err : judge_leaving(&s, device, error);
}

/* The kernel removes the secondary addresses of a subnet with its primary one
 * unless it is told to make one of them the primary. */
static int
take_primary(const struct search *s, const struct handoff__device *device,
	struct handoff__error *error)
{
	static const char setting[] = "promote_secondaries";
	int before = handoff__device_setting(device, setting, error), err;

	if (before < 0)
		return before;
	err = before > 0 ? 0 : handoff__device_set(device, setting, 1, error);
	if (err < 0)
		return err;
	err = take(s->device, s->prefix, s->on_device, "remove from the device",
		error);
	if (before == 0)
		(void)handoff__device_set(device, setting, 0, NULL);
	return err;
}

int
handoff__address_off_device(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	struct search s;
	int err = find_mates(&s, device, prefix, error);

	if (err == 0)
		err = judge_leaving(&s, device, error);
	if (err < 0 || s.on_device == 0)
		return err;
	if (prefix->family == 4 && !s.secondary && s.mates > 0)
		return take_primary(&s, device, error);
	return take(
		s.device, prefix, s.on_device, "remove from the device", error);
}

int
handoff__address_off_lo(
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	struct search s;
	int err = find(&s, NULL, prefix, 0, error);

	if (err < 0 || s.on_lo == 0)
		return err;
	return take(s.lo, prefix, s.on_lo, "remove from lo", error);
}
