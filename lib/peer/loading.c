/* SPDX-License-Identifier: MIT */
/*
 * Whether the peers are ready to serve, and the sentence why not. A change is
 * sent at once, another sentence with the next beat, so that a program may
 * count percents. Decides nothing: a give waits, a survivor does not.
 */
#include "peer/loading.h"

#include "peer/core.h"
#include "peer/partner.h"

#include <stdio.h>
#include <string.h>

/* One line, for messages and the status. */
static void
copy_line(char to[HANDOFF__LOADING_MAX], const char *from)
{
	handoff__copy(to, HANDOFF__LOADING_MAX, from);
	for (size_t i = 0; to[i]; i++) {
		if ((unsigned char)to[i] < ' ' || to[i] == 127)
			to[i] = ' ';
	}
}

void
handoff__loading_tell(struct handoff__pair *pair)
{
	struct handoff__msg msg = {.type = HANDOFF__LOADING};

	pair->loading_stale = false;
	if (!handoff__link_up(&pair->link) ||
		pair->other.version_max < HANDOFF__PROTOCOL_LOADING)
		return;
	memcpy(msg.loading, pair->loading, sizeof(msg.loading));
	handoff__link_send(&pair->link, &msg, -1);
}

void
handoff__loading_beat(struct handoff__pair *pair)
{
	if (pair->loading_stale)
		handoff__loading_tell(pair);
}

void
handoff__pair_loading(struct handoff__pair *pair, const char *why)
{
	bool before = pair->loading[0];

	copy_line(pair->loading, why ? why : "");
	pair->loading_stale = true;
	if (before != (pair->loading[0] != '\0'))
		handoff__loading_tell(pair);
}

const char *
handoff__pair_loading_text(
	const struct handoff__pair *pair, char text[HANDOFF_TEXT_MAX])
{
	text[0] = '\0';
	if (pair->loading[0])
		snprintf(text, HANDOFF_TEXT_MAX,
			"; it is not ready to serve yet: %s", pair->loading);
	return text;
}

void
handoff__loading_on_message(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	bool before = pair->other_loading[0];
	char who[64];

	copy_line(pair->other_loading, msg->loading);
	pair->noted = true;
	if (before == (pair->other_loading[0] != '\0'))
		return;
	handoff__pair_partner_text(pair, who);
	if (pair->other_loading[0])
		handoff__log(pair->log, HANDOFF_LOG_INFO,
			"link: %s is not ready to serve yet: %s", who,
			pair->other_loading);
	else
		handoff__log(pair->log, HANDOFF_LOG_INFO,
			"link: %s is ready to serve", who);
}
