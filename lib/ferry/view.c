/* SPDX-License-Identifier: MIT */
/*
 * A ferry as its operator sees it: its state, and the order to stop. Asks the
 * parts below, and changes only what the main loop looks at.
 */
#include "ferry/ferry.h"

#include "ferry/carrier.h"
#include "ferry/choice.h"
#include "ferry/course.h"
#include "ferry/mover.h"
#include "ferry/outbound.h"
#include "ferry/site.h"

#include <stdlib.h>
#include <string.h>

#define STOP_US 3000000 /* a server may take to get what is held */

static void
list_doubt(const struct handoff__ferry *ferry,
	struct handoff__ferry_status *status)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		if (!load)
			continue;
		if (load->out ? load->s.state == HANDOFF__SENDING_COMMITTED &&
					!ferry->greeted
			      : handoff__receiving_in_doubt(&load->r)) {
			struct handoff__ferry_doubt *doubt =
				&status->doubts[status->batches_doubt++];

			doubt->out = load->out;
			doubt->id = load->out ? load->s.id : load->r.id;
			doubt->count =
				load->out ? load->s.count : load->r.count;
			status->doubt += doubt->count;
		}
	}
}

/* Addresses of the service that the device has not, where it has others. */
static void
list_absent(const struct handoff__ferry *ferry, char *text, size_t size)
{
	struct handoff__buf buf = {0};
	char prefix[HANDOFF__PREFIX_TEXT];

	if (ferry->site != HANDOFF__FERRY_HERE || ferry->present == 0)
		return;
	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		if (ferry->present & 1u << i)
			continue;
		handoff__prefix_format(
			&ferry->prefixes[i], prefix, sizeof(prefix));
		handoff__buf_add(&buf, "%s%s", buf.len > 0 ? "," : "", prefix);
	}
	if (buf.data && !buf.failed)
		handoff__copy(text, size, buf.data);
	free(buf.data);
}

void
handoff__ferry_status(
	struct handoff__ferry *ferry, struct handoff__ferry_status *status)
{
	memset(status, 0, sizeof(*status));
	status->linked = ferry->greeted;
	handoff__copy(status->other_host, sizeof(status->other_host),
		ferry->other_host);
	handoff__copy(status->other_name, sizeof(status->other_name),
		ferry->other_name);
	handoff__copy(status->other_address, sizeof(status->other_address),
		ferry->other_address);
	status->link_text = ferry->greeted || !ferry->channel
				    ? ""
				    : handoff__channel_errmsg(ferry->channel);
	status->other_has_server =
		ferry->greeted &&
		ferry->other.flags & HANDOFF__LETTER_HAS_SERVER;
	status->site = ferry->site;
	handoff__site_objection(ferry, status->site_text);
	status->addresses = ferry->options.address;
	list_absent(ferry, status->absent, sizeof(status->absent));
	status->device = ferry->options.dev;
	status->gate = ferry->gate && handoff__gate_is_ready(ferry->gate);
	status->gate_text = ferry->gate_text;
	status->hook = ferry->options.hook;
	status->hook_text = ferry->hook_text;
	list_doubt(ferry, status);
	status->holding = handoff__carrier_holding(ferry);
	if (ferry->joined && ferry->site == HANDOFF__FERRY_THERE &&
		!handoff__course_runs(ferry))
		status->stays = handoff__choice_stays(ferry, &status->cut);
	if (ferry->greeted && ferry->site == HANDOFF__FERRY_HERE &&
		!handoff__course_runs(ferry))
		status->astray = ferry->other.astray;
	/* after a whole move the service is this ferry's, and what is left is
	 * what has stayed */
	if (status->cut > 0 && !ferry->pair.serving)
		status->visiting = status->cut;
	status->forwards = ferry->site == HANDOFF__FERRY_HERE && ferry->gate &&
			   handoff__gate_flips(ferry->gate);
	if (ferry->before.way != 0)
		status->before = &ferry->before;
	status->moves_out = ferry->moves_out;
	status->moves_in = ferry->moves_in;
	status->moves_failed = ferry->moves_failed;
	status->sent = ferry->sent;
	status->received = ferry->received;
}

void
handoff__ferry_stop(struct handoff__ferry *ferry)
{
	if (ferry->stopping)
		return;
	ferry->stopping = ferry->due = ferry->returns = true;
	ferry->stop_us = handoff__now_us() + STOP_US;
	handoff__mover_break(ferry, "the ferry is stopping");
}
