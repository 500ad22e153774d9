/* SPDX-License-Identifier: MIT */
/*
 * A batch under way, in either direction: made, and found by its id. What is
 * done with it is outbound.c's and inbound.c's.
 */
#include "ferry/freight.h"

#include "record/older.h"

#include <stdlib.h>

bool
handoff__freight_absent(const struct handoff__roster_entry *e)
{
	return e->kind == HANDOFF__CONNECTION && !handoff__older(e->view.seg) &&
	       atomic_load_explicit(&e->view.rec->extra.absent_ms,
		       memory_order_relaxed) != 0;
}

struct handoff__freight *
handoff__freight_make(struct handoff__ferry *ferry, uint32_t count, bool out,
	handoff__timer_fn *on_timer)
{
	struct handoff__freight *load =
		calloc(1, sizeof(*load) + count * sizeof(load->items[0]));

	if (!load)
		return NULL;
	load->ferry = ferry;
	load->out = out;
	load->room = count;
	load->timer.fn = on_timer;
	load->timer.arg = load;
	return load;
}

struct handoff__freight *
handoff__freight_find(const struct handoff__ferry *ferry, bool out, uint64_t id)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		struct handoff__freight *load = ferry->loads[i];

		if (load && load->out == out &&
			(out ? load->s.id : load->r.id) == id)
			return load;
	}
	return NULL;
}

bool
handoff__freight_is_ready(const struct handoff__freight *load)
{
	const struct handoff__gate *gate = load->ferry->gate;

	return !load->resumed || (gate && handoff__gate_is_ready(gate));
}

bool
handoff__freight_comes(const struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		if (load && !load->out &&
			load->r.state != HANDOFF__RECEIVING_SERVING)
			return true;
	}
	return false;
}
