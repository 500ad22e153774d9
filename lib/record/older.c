/* SPDX-License-Identifier: MIT */
/*
 * Where the parts of a record are in each layout. Knows no peers, and changes
 * no record.
 */
#include "record/older.h"

#include <string.h>

/* So far each layout has only added fields at the end of a commit, and behind
 * the second one. */
static const struct layout {
	uint32_t number;
	uint32_t commit; /* bytes of a commit; the first is at offset 64 in all
			  * layouts */
	uint32_t head;   /* bytes in front of the states */
	bool has_len;    /* whether a commit has the length of the state in
			  * use */
} layouts[] = {
	{5, 48, 160, false},
	{HANDOFF__LAYOUT, sizeof(struct handoff__commit),
		sizeof(struct handoff__record), true},
};

_Static_assert(offsetof(struct handoff__record, commit) == 64,
	"what comes before the commits is the same in all layouts");
_Static_assert(offsetof(struct handoff__commit, state_len) == 48,
	"a commit of layout 5 is the beginning of one of now");

static const struct layout *
find(uint32_t number)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (layouts[i].number == number)
			return &layouts[i];
	}
	return NULL;
}

uint32_t
handoff__layout_head(uint32_t layout)
{
	const struct layout *known = find(layout);

	return known ? known->head : 0;
}

const struct handoff__commit *
handoff__older_commit_at(const struct handoff__view *view, uint32_t which)
{
	return (const void *)((const char *)view->rec->commit +
			      (size_t)which *
				      find(view->seg->geo.layout)->commit);
}

void
handoff__older_commit(const struct handoff__view *view, uint32_t which,
	struct handoff__commit *commit)
{
	const struct layout *layout = find(view->seg->geo.layout);

	memset(commit, 0, sizeof(*commit));
	memcpy(commit, handoff__older_commit_at(view, which), layout->commit);
	if (!layout->has_len)
		commit->state_len = view->seg->geo.state_size;
}

void *
handoff__older_state(const struct handoff__view *view, uint32_t which)
{
	const struct handoff__geometry *geo = &view->seg->geo;

	if (!handoff__older(view->seg) || geo->state_size == 0)
		return handoff__record_state(view, which);
	return (char *)view->rec + find(geo->layout)->head +
	       (size_t)which * geo->half;
}

const void *
handoff__older_state_of(
	const struct handoff__view *view, const struct handoff__commit *commit)
{
	return commit->folded
		       ? handoff__record_fold(view)
		       : handoff__older_state(view, commit->sequence & 1);
}

void
handoff__older_waits(
	const struct handoff__view *view, uint64_t *unread, uint64_t *unsent)
{
	struct handoff__commit c;

	handoff__older_commit(
		view, handoff__record_sequence(view->rec) & 1, &c);
	*unread = handoff__rx_head(view->rec) - c.rx_tail;
	*unsent = c.tx_head - handoff__tx_tail(view->rec);
}
