/* SPDX-License-Identifier: MIT */
/*
 * Whether the peer that owns the service serves it, by the lease of this host,
 * and the sentence that says what it waits for. Changes nothing.
 */
#include "peer/idle.h"

#include "lease/keeper.h"
#include "peer/partner.h"
#include "peer/stand.h"

#include <errno.h>
#include <stdio.h>

enum handoff__idle
handoff__pair_idle(const struct handoff__pair *pair)
{
	/* before the arena has come nothing is known, of either peer */
	if (!handoff__stand_tenure(pair))
		return HANDOFF__IDLE_NOT;
	if (!handoff__pair_holds(pair))
		return HANDOFF__IDLE_WAITS;
	return handoff__pair_valid(pair) ? HANDOFF__IDLE_NOT
					 : HANDOFF__IDLE_STILL;
}

bool
handoff__idle_serves(const struct handoff__pair *pair)
{
	return pair->serving && handoff__pair_idle(pair) == HANDOFF__IDLE_NOT;
}

/* Only the peer that keeps the lease has heard of other hosts. */
static void
name_host(const struct handoff__pair *pair, char *text, size_t size)
{
	struct handoff__keeper_view view = {.by = ""};

	if (pair->guard.keeper)
		handoff__keeper_view(pair->guard.keeper, &view);
	if (view.by[0])
		snprintf(text, size, "which host %s has", view.by);
	else
		snprintf(text, size, "%s",
			pair->guard.keeper
				? "and has not heard of a host that has it"
				: "as the status says");
}

int
handoff__idle_check(struct handoff__pair *pair)
{
	enum handoff__idle idle = handoff__pair_idle(pair);
	char who[64], host[HANDOFF_NAME_MAX + 40];

	if (idle == HANDOFF__IDLE_NOT)
		return 0;
	if (pair->serving)
		snprintf(who, sizeof(who), "%s", pair->name);
	else
		handoff__pair_partner_text(pair, who);
	if (idle == HANDOFF__IDLE_STILL)
		return handoff__fail(&pair->error, -EAGAIN,
			"%s serves nothing: everything stands still until the "
			"lease of this host is confirmed; see the status, and "
			"try again",
			who);
	name_host(pair, host, sizeof(host));
	return handoff__fail(&pair->error, -EAGAIN,
		"%s serves nothing: this host waits for the lease, %s; try "
		"again when this host has it",
		who, host);
}
