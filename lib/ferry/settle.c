/* SPDX-License-Identifier: MIT */
/*
 * An operator decides about a batch in doubt, because the other host is gone
 * for good. Only what that could not contradict now: while it can be reached it
 * is asked. What follows from the decision is the batch's own business.
 */
#include "ferry/ferry.h"

#include "ferry/carrier.h"
#include "ferry/inbound.h"
#include "ferry/outbound.h"

#include <errno.h>
#include <stdio.h>

#define APART_US 5000000 /* a link that was lost only now comes back */

static int
refuse(struct handoff__ferry *ferry, const char *text)
{
	return handoff__fail(&ferry->error, -EPERM, "%s", text);
}

static int
check_link(struct handoff__ferry *ferry)
{
	if (ferry->greeted)
		return handoff__fail(&ferry->error, -EPERM,
			"%.60s can be reached and says itself what has become "
			"of it: nothing was changed",
			ferry->other_host);
	if (handoff__now_us() - ferry->apart_us < APART_US)
		return refuse(ferry,
			"the link to the other host has been down for less "
			"than 5 seconds: try again");
	return 0;
}

/* What has come: the server has the descriptors, and the gate the images. */
static int
settle_in(struct handoff__freight *load, bool here)
{
	struct handoff__ferry *ferry = load->ferry;

	if (!handoff__receiving_in_doubt(&load->r))
		return refuse(ferry, "it is decided already");
	if (!handoff__carrier_has_server(ferry))
		return refuse(ferry,
			"no server is here that has its connections: start one "
			"first");
	if (!ferry->gate || !handoff__gate_is_ready(ferry->gate))
		return refuse(ferry, "the gate is only starting: try again");
	handoff__inbound_settle(load, here);
	return 0;
}

/* What has left is the other host's, and only its end can be said. */
static int
settle_out(struct handoff__freight *load, bool here)
{
	struct handoff__ferry *ferry = load->ferry;

	if (load->s.state != HANDOFF__SENDING_COMMITTED)
		return refuse(ferry, "it is decided already");
	if (here)
		return refuse(ferry,
			"it has left this host: its connections can be dropped "
			"here, not served again");
	if (!handoff__freight_is_ready(load))
		return refuse(ferry, "the gate is only starting: try again");
	handoff__outbound_drop(load);
	return 0;
}

int
handoff__ferry_settle(struct handoff__ferry *ferry, uint64_t id, bool here)
{
	struct handoff__freight *in = handoff__freight_find(ferry, false, id);
	struct handoff__freight *out = handoff__freight_find(ferry, true, id);
	int err;

	if (!in && !out)
		return handoff__fail(&ferry->error, -ENOENT,
			"batch %016llx is not here: status lists those that "
			"are in doubt",
			(unsigned long long)id);
	err = check_link(ferry);
	if (err < 0)
		return err;
	err = in ? settle_in(in, here) : settle_out(out, here);
	if (err < 0)
		return err;
	ferry->due = true;
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"batch %016llx: settled by an operator: %s",
		(unsigned long long)id,
		here ? "its connections are served here"
		     : "its connections are dropped here");
	return 0;
}
