/* SPDX-License-Identifier: MIT */
/*
 * Which connections go next. Looks at the roster and at records, which belong
 * to the server while this looks: so a choice is no more than a wish, and what
 * it found is asked again when the entries are this ferry's.
 */
#include "ferry/choice.h"

#include "ferry/course.h"
#include "ferry/freight.h"
#include "migrate/migrate.h"
#include "record/parcel.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define GROUP_MOST 64 /* that move together */

struct group {
	struct handoff__roster_entry *list[GROUP_MOST];
	uint32_t count;
	const char *why; /* it stays */
	bool later;
};

/* A socket that is reset has no address any more, nor has one that was never
 * connected. */
static bool
is_unspecified(const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *six = (const void *)sa;
	const struct sockaddr_in *four = (const void *)sa;

	if (sa->ss_family == AF_INET)
		return four->sin_addr.s_addr == 0;
	return sa->ss_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);
}

/* Whether it is bound to an address that moves: a connection that the service
 * has made may have another. A session that has lost its connection to one that
 * is not known is asked for where the service is. */
static bool
is_on_address(const struct handoff__ferry *ferry,
	const struct handoff__roster_entry *e, bool *known)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);

	*known = getsockname(e->fd, (struct sockaddr *)&sa, &len) == 0;
	if (handoff__freight_absent(e) && (!*known || is_unspecified(&sa)))
		return *known = true;
	return *known && handoff__prefix_holds(ferry->prefixes,
				 ferry->nprefixes, (struct sockaddr *)&sa);
}

const char *
handoff__choice_objection(const struct handoff__ferry *ferry,
	const struct handoff__roster_entry *e)
{
	struct handoff__error error;
	enum handoff__unmovable why;
	bool known;

	if (handoff__freight_absent(e) &&
		handoff__parcel_refuse(&e->view, NULL) == HANDOFF__PARCEL_POSTS)
		return handoff__parcel_word(HANDOFF__PARCEL_POSTS);
	why = handoff__freight_absent(e)
		      ? HANDOFF__MOVABLE
		      : handoff__migrate_refuse(e->fd, &error);
	if (why != HANDOFF__MOVABLE)
		return handoff__unmovable_word(why);
	return is_on_address(ferry, e, &known) || !known
		       ? NULL
		       : HANDOFF__FERRY_NOT_MOVING;
}

static void
add(struct handoff__ferry *ferry, struct group *group,
	struct handoff__roster_entry *e)
{
	struct handoff__cargo *cargo = handoff__cargo(e);
	bool known;

	for (uint32_t i = 0; i < group->count; i++)
		if (group->list[i] == e)
			return;
	if (group->count == GROUP_MOST) {
		group->why = "too many move together";
		return;
	}
	group->list[group->count++] = e;
	if (e->kind != HANDOFF__CONNECTION)
		group->why = "moves with an extra descriptor";
	else if (cargo->why)
		group->why = cargo->why;
	else if (!cargo->checked && !is_on_address(ferry, e, &known) && known)
		group->why = HANDOFF__FERRY_NOT_MOVING;
	cargo->checked = group->why == NULL;
	group->later |= cargo->load >= 0 || e->fd < 0 ||
			cargo->again_us > handoff__now_us();
}

/* The one that it is a pair with, if that is here. */
static struct handoff__roster_entry *
pair_of(struct handoff__ferry *ferry, const struct handoff__roster_entry *e)
{
	const struct handoff__extra *x = &e->view.rec->extra;
	uint64_t id =
		handoff__older(e->view.seg)
			? 0
			: atomic_load_explicit(&x->pair, memory_order_relaxed);

	return id == 0 ? NULL
		       : handoff__roster_find(&ferry->pair.roster,
				 x->pair_segment, x->pair_slot, id);
}

/* All that move together with this one. */
static void
gather(struct handoff__ferry *ferry, struct handoff__roster_entry *e,
	struct group *group)
{
	struct handoff__roster_entry *other, *f = NULL;

	group->count = 0;
	group->why = NULL;
	group->later = false;
	add(ferry, group, e);
	other = pair_of(ferry, e);
	if (other)
		add(ferry, group, other);
	if (!handoff__cargo(e)->leads)
		return;
	while ((f = handoff__roster_next(&ferry->pair.roster, f))) {
		if (f->marks & HANDOFF__FOLLOWS &&
			handoff__pair_leader(&ferry->pair, f) == e)
			add(ferry, group, f);
	}
}

/* Which entries lead others: those are gathered by a search. A pair alone is
 * not worth one: it knows the other. */
static void
mark_leaders(struct handoff__ferry *ferry)
{
	struct handoff__roster *roster = &ferry->pair.roster;
	struct handoff__roster_entry *e = NULL, *leader;

	if (roster->followers == 0)
		return;
	while ((e = handoff__roster_next(roster, e)))
		handoff__cargo(e)->leads = false;
	while ((e = handoff__roster_next(roster, e))) {
		leader = handoff__pair_leader(&ferry->pair, e);
		if (leader && pair_of(ferry, leader) != e)
			handoff__cargo(leader)->leads = true;
	}
}

static void
consider(struct handoff__ferry *ferry, struct handoff__roster_entry *e,
	struct handoff__choice *choice)
{
	struct group group;

	/* it comes with its leader, or has come with its pair */
	if (handoff__cargo(e)->chosen == ferry->mover.choices ||
		(e->marks & HANDOFF__FOLLOWS &&
			handoff__pair_leader(&ferry->pair, e)))
		return;
	gather(ferry, e, &group);
	if (group.why) {
		for (uint32_t i = 0; i < group.count; i++)
			handoff__cargo(group.list[i])->why = group.why;
		choice->stay += group.count;
	} else if (group.later || choice->count + group.count > choice->most) {
		choice->later += group.count;
	} else {
		for (uint32_t i = 0; i < group.count; i++) {
			choice->list[choice->count++] = group.list[i];
			handoff__cargo(group.list[i])->chosen =
				ferry->mover.choices;
		}
	}
}

/* What goes at this time: connections, absent sessions, or both. */
struct turn {
	bool connections, absent;
};

static void
look_at(struct handoff__ferry *ferry, struct handoff__roster_entry *e,
	struct handoff__choice *choice, struct turn turn)
{
	bool absent = handoff__freight_absent(e);

	if (e->kind != HANDOFF__CONNECTION || e->id == 0)
		return;
	if (absent ? turn.absent : turn.connections)
		consider(ferry, e, choice);
	else
		choice->last += absent;
}

/* Among all that are not in the list yet, from the cursor on, and around. */
static void
choose(struct handoff__ferry *ferry, struct handoff__choice *choice,
	struct turn turn)
{
	struct handoff__roster *roster = &ferry->pair.roster;
	struct handoff__roster_entry *first = ferry->mover.cursor;
	struct handoff__roster_entry *e = first;
	bool around = first == NULL;

	for (;;) {
		e = handoff__roster_next(roster, e);
		if (!e && around)
			break;
		if (!e) {
			around = true;
			continue;
		}
		look_at(ferry, e, choice, turn);
		if (choice->count == choice->most)
			break;
		if (around && first &&
			(e->segment > first->segment ||
				(e->segment == first->segment &&
					e->slot >= first->slot)))
			break;
	}
	ferry->mover.cursor = e;
}

/* No client can connect to this host, or the addresses have been elsewhere all
 * the time. */
static bool
may_go_last(const struct handoff__ferry *ferry)
{
	return ferry->mover.rest ||
	       (ferry->report.step == HANDOFF__FERRY_LAST &&
		       ferry->mover.part == HANDOFF__MOVER_REST);
}

void
handoff__choose(struct handoff__ferry *ferry, struct handoff__choice *choice)
{
	bool last = may_go_last(ferry);
	struct turn all = {
		.connections = true, .absent = last && ferry->mover.whole};

	choice->count = choice->later = choice->stay = choice->last = 0;
	ferry->mover.choices++;
	mark_leaders(ferry);
	choose(ferry, choice, all);
	if (choice->count > 0 || choice->later > 0 || choice->last == 0 ||
		!last)
		return;
	choice->last = 0;
	choose(ferry, choice, (struct turn){.absent = true});
}

uint32_t
handoff__choice_stuck(struct handoff__ferry *ferry, const char *why)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	while ((e = handoff__roster_next(&ferry->pair.roster, e)))
		count += e->kind == HANDOFF__CONNECTION &&
			 handoff__cargo(e)->why == why;
	return count;
}

uint32_t
handoff__choice_count(const struct handoff__ferry *ferry)
{
	const struct handoff__roster *roster = &ferry->pair.roster;

	return roster->connections + roster->copies;
}

uint32_t
handoff__choice_stays(struct handoff__ferry *ferry, uint32_t *cut)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;
	bool known;

	*cut = 0;
	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->kind != HANDOFF__CONNECTION || e->fd < 0 ||
			handoff__cargo(e)->load >= 0)
			continue;
		count++;
		*cut += is_on_address(ferry, e, &known);
	}
	return count;
}

/* The same for all that move together with it. */
static const char *
group_objection(struct handoff__ferry *ferry, struct handoff__roster_entry *e)
{
	struct group group;
	struct handoff__roster_entry *leader =
		e->marks & HANDOFF__FOLLOWS
			? handoff__pair_leader(&ferry->pair, e)
			: NULL;

	gather(ferry, leader ? leader : e, &group);
	for (uint32_t i = 0; i < group.count && !group.why; i++)
		group.why = handoff__choice_objection(ferry, group.list[i]);
	return group.why;
}

void
handoff__choice_report(struct handoff__ferry *ferry, bool dry)
{
	struct handoff__roster_entry *e = NULL;

	mark_leaders(ferry);
	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		struct handoff__cargo *cargo = handoff__cargo(e);
		const char *why = cargo->why;

		if (e->kind != HANDOFF__CONNECTION || cargo->load >= 0 ||
			e->fd < 0)
			continue;
		if (dry)
			why = group_objection(ferry, e);
		else if (!why)
			why = cargo->tries > 0 ? "handler busy"
			      : handoff__freight_absent(e)
				      ? "absent, and not reached"
				      : "new";
		if (why)
			handoff__course_count(ferry, why, 1);
	}
}
