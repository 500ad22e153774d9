/* SPDX-License-Identifier: MIT */
/*
 * The client of the simulator: one session, at most two connections, one of
 * them to resume the session on. It never dies.
 */
#include "session/simulation.h"

#include <string.h>

/* A frame of 8 bytes more fits. */
#define SPARE HANDOFF__FRAME_HEADER

static void
lose(struct world *w)
{
	struct client *c = &w->client;

	c->lost = true;
	if (c->cur != NONE)
		sim_link_close(w, c->cur);
	if (c->next != NONE)
		sim_link_close(w, c->next);
	c->cur = c->next = NONE;
}

static void
ask(struct world *w)
{
	struct client *c = &w->client;
	struct handoff__frame f;

	if (c->begun) {
		handoff__flow_wish(&c->flow, &f);
		f.number = c->number;
		memcpy(f.token, &c->number, sizeof(c->number));
	} else {
		handoff__flow_ask(&c->limits, &f);
	}
	sim_trace(w, "client: %s on %d, received %llu, sent %llu",
		handoff__frame_name(f.type), c->next,
		(unsigned long long)f.received, (unsigned long long)f.sent);
	sim_put_frame(&c->next_out, &f);
	c->wished = c->begun;
}

static void
dial(struct world *w)
{
	struct client *c = &w->client;

	c->next = sim_link_open(w);
	if (c->next == NONE)
		return;
	c->next_in.len = c->next_out.len = 0;
	sim_put(&c->next_out, handoff__preface, HANDOFF__PREFACE_LEN);
	ask(w);
}

static void
hang_up_next(struct world *w)
{
	struct client *c = &w->client;

	sim_link_close(w, c->next);
	c->next = NONE;
	c->wished = false;
}

static void
welcomed(struct world *w, const struct handoff__frame *f)
{
	struct client *c = &w->client;
	uint64_t kept = c->begun ? handoff__flow_kept(&c->flow) : 0;
	int err;

	if (c->begun)
		err = sim_resume(w, &c->flow, f);
	else
		err = handoff__flow_begin(&c->flow, &c->limits, f);
	if (err < 0) {
		sim_bad(w, "the client refuses a WELCOME");
		return;
	}
	c->base += kept - handoff__flow_kept(&c->flow);
	if (c->cur != NONE) {
		sim_see(w, SAW_TAKEOVER);
		sim_link_close(w, c->cur);
	}
	sim_see(w, c->begun ? SAW_RESUMED : SAW_NEW);
	c->begun = true;
	c->number = f->number;
	c->cur = c->next;
	c->in = c->next_in;
	c->out.len = 0;
	c->next = NONE;
	c->wished = false;
}

static void
refused(struct world *w, const struct handoff__frame *f)
{
	sim_trace(w, "client: refused, %u", f->reason);
	if (f->reason == HANDOFF__REFUSED_UNKNOWN) {
		sim_see(w, SAW_UNKNOWN);
		lose(w);
	} else if (f->reason != HANDOFF__REFUSED_BUSY) {
		sim_bad(w, "an honest client is refused");
	} else if (sim_chance(w, 2)) {
		ask(w);
	} else {
		hang_up_next(w);
	}
}

/* The answer, once it is here. */
static void
shake(struct world *w)
{
	struct client *c = &w->client;
	struct link *l = &w->links[c->next];
	struct handoff__frame f;
	int used;

	sim_write(w, &l->up, &c->next_out);
	sim_read(w, &c->next_in, &l->down, INPUT);
	used = handoff__frame_decode(&f, c->next_in.data, c->next_in.len, NULL);
	if (used < 0) {
		sim_bad(w, "the client cannot decode an answer");
	} else if (used == 0) {
		if (l->down.closed && l->down.len == 0) {
			if (!c->begun)
				sim_see(w, SAW_LOST_WELCOME);
			hang_up_next(w);
		}
	} else {
		sim_drop(&c->next_in, (unsigned)used);
		if (f.type == HANDOFF__FRAME_WELCOME)
			welcomed(w, &f);
		else
			refused(w, &f);
	}
}

static void
take(struct world *w)
{
	struct client *c = &w->client;
	uint32_t n = c->flow.rx_left < c->in.len ? c->flow.rx_left : c->in.len;

	if (n > 1 && sim_chance(w, 4))
		n = 1 + sim_draw(w, n);
	if (!sim_same(c->in.data, DOWN, c->got, n))
		sim_bad(w, "the client gets another byte");
	handoff__flow_take(&c->flow, n);
	c->got += n;
	sim_drop(&c->in, n);
}

static void
react(struct world *w, const struct handoff__frame *f)
{
	struct client *c = &w->client;
	const char *why = NULL;
	uint64_t kept = handoff__flow_kept(&c->flow);
	int event = handoff__flow_input(&c->flow, f, &why);

	if (event < 0) {
		sim_bad(w, why);
		return;
	}
	c->base += kept - handoff__flow_kept(&c->flow);
	if (event == HANDOFF__FLOW_ABORT)
		sim_see(w, SAW_ABORT_SERVER);
}

static void
decode(struct world *w)
{
	struct client *c = &w->client;
	struct handoff__frame f;
	int used;

	if (handoff__flow_over(&c->flow))
		c->in.len = 0; /* what comes after its own ABORT */
	while (!w->bad && c->in.len > 0) {
		if (c->flow.rx_left > 0) {
			take(w);
			continue;
		}
		if (!sim_reads(w, &c->flow))
			return;
		used = handoff__frame_decode(&f, c->in.data, c->in.len, NULL);
		if (used < 0)
			sim_bad(w, "the client cannot decode");
		if (used <= 0)
			return;
		sim_drop(&c->in, (unsigned)used);
		react(w, &f);
	}
}

static void
hear(struct world *w)
{
	struct client *c = &w->client;
	struct link *l = &w->links[c->cur];

	sim_read(w, &c->in, &l->down, INPUT);
	decode(w);
	if (l->down.closed && l->down.len == 0 &&
		!handoff__flow_over(&c->flow)) {
		sim_link_close(w, c->cur);
		c->cur = NONE;
	}
}

static void
put_data(struct world *w)
{
	struct client *c = &w->client;
	uint64_t n = handoff__flow_room(&c->flow);
	uint64_t next = c->flow.tx_next;
	uint64_t ready = next < c->made ? c->made - next : 0;
	unsigned room = sim_room(&c->out, OUTPUT - SPARE);

	if (n == 0 && ready > 0)
		sim_see(w, SAW_FULL);
	if (n > ready)
		n = ready;
	if (room <= HANDOFF__FRAME_HEADER || n == 0)
		return;
	if (n > room - HANDOFF__FRAME_HEADER)
		n = room - HANDOFF__FRAME_HEADER;
	if (sim_chance(w, 2))
		n = 1 + sim_draw(w, (uint32_t)n);
	if (c->flow.tx_next < c->base)
		sim_bad(w, "the client no longer has what it sends");
	if (c->flow.tx_next < c->flow.tx_sent)
		sim_see(w, SAW_AGAIN);
	sim_put_data(&c->out, &c->flow, UP, (uint32_t)n);
	if (w->bug == BUG_FORGETS_SENT)
		c->base = c->flow.tx_sent;
}

static void
say(struct world *w)
{
	struct client *c = &w->client;
	bool ended = c->flow.flags & HANDOFF__FLOW_TX_ENDED;

	put_data(w);
	if (sim_room(&c->out, OUTPUT) < SPARE)
		return;
	if (ended ? handoff__flow_end_due(&c->flow)
		  : c->flow.tx_next == c->total && !sim_chance(w, 3)) {
		if (ended)
			sim_see(w, SAW_END_AGAIN);
		if (ended && w->bug == BUG_END_ONCE)
			return;
		handoff__flow_end(&c->flow, c->out.data + c->out.len);
		c->out.len += HANDOFF__FRAME_HEADER;
	} else if (handoff__flow_sync_due(&c->flow) && sim_chance(w, 100)) {
		sim_see(w, SAW_SYNC);
		handoff__flow_sync(&c->flow, c->out.data + c->out.len);
		c->out.len += HANDOFF__FRAME_HEADER;
	} else if (handoff__flow_ack_due(&c->flow) && w->bug != BUG_NO_ACK) {
		sim_see(w, SAW_ACK);
		handoff__flow_ack(&c->flow, c->out.data + c->out.len);
		c->out.len += HANDOFF__FRAME_HEADER;
	}
}

static void
abort_session(struct world *w)
{
	struct client *c = &w->client;
	struct handoff__frame f;

	if (sim_room(&c->out, OUTPUT) < HANDOFF__FRAME_MAX)
		return;
	sim_see(w, SAW_ABORT_CLIENT);
	handoff__flow_abort(&c->flow, HANDOFF__ABORT_APPLICATION, "bye", &f);
	sim_put_frame(&c->out, &f);
	w->aborted = true;
}

/* The application writes what the client can keep, and reads. */
static void
application(struct world *w)
{
	struct client *c = &w->client;
	uint64_t most = c->base + c->limits.keep;
	uint64_t held = c->got - c->read;

	if (most > c->total)
		most = c->total;
	if (c->made < most)
		c->made += 1 + sim_draw(w, (uint32_t)(most - c->made));
	if (held > 0 && !sim_chance(w, 2)) {
		uint32_t n = 1 + sim_draw(w, (uint32_t)held);

		handoff__flow_read(&c->flow, n);
		c->read += n;
	}
}

static void
talk(struct world *w)
{
	struct client *c = &w->client;

	if (!c->wished || w->bug == BUG_READS_ON)
		hear(w);
	if (w->bad || c->cur == NONE)
		return;
	if ((!c->wished || w->bug == BUG_SENDS_ON) &&
		!handoff__flow_over(&c->flow)) {
		if (sim_chance(w, 3000))
			abort_session(w);
		else
			say(w);
	}
	if (!c->wished || w->bug == BUG_SENDS_ON)
		sim_write(w, &w->links[c->cur].up, &c->out);
}

static void
finish(struct world *w)
{
	struct client *c = &w->client;

	if (c->out.len > 0 && c->cur != NONE && !w->links[c->cur].up.closed)
		return;
	c->over = true;
	if (c->cur != NONE)
		sim_link_close(w, c->cur);
	if (c->next != NONE)
		sim_link_close(w, c->next);
	c->cur = c->next = NONE;
}

void
sim_client_step(struct world *w)
{
	struct client *c = &w->client;

	if (c->over || c->lost)
		return;
	if (c->begun)
		application(w);
	if (c->next == NONE && !(c->begun && handoff__flow_over(&c->flow)) &&
		(c->cur == NONE ? !sim_chance(w, 3) : sim_chance(w, 60)))
		dial(w);
	if (c->next != NONE)
		shake(w);
	if (c->cur != NONE && !w->bad)
		talk(w);
	if (c->begun && !c->lost && handoff__flow_over(&c->flow) && !c->wished)
		finish(w);
}
