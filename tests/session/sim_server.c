/* SPDX-License-Identifier: MIT */
/*
 * The server of the simulator. Its session and the buffers of a connection lie
 * in records; each step is a transaction on a copy of them, committed as a
 * whole, or undone by a death: then the next step begins where this one did.
 */
#include "session/simulation.h"

#include <errno.h>
#include <string.h>

/* What a transaction works on. */
struct txn {
	struct server s;
	enum stage stage;
	struct buffer in, out;
	int moved; /* connection that the session has left; NONE */
	bool gone; /* the session has ended */
};

static uint32_t
smaller(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

/* An ACK fits as well. */
static uint32_t
room(const struct txn *t)
{
	unsigned n = sim_room(&t->out, OUTPUT - HANDOFF__FRAME_HEADER);

	return n > HANDOFF__FRAME_HEADER ? n - HANDOFF__FRAME_HEADER : 0;
}

static void
produce(struct world *w, struct txn *t, uint32_t len)
{
	struct server *s = &t->s;

	if (len == 0)
		return;
	if (s->flow.tx_next != s->made)
		sim_bad(w, "the server frames another byte");
	sim_put_data(&t->out, &s->flow, DOWN, len);
	s->made += len;
	if (w->bug == BUG_FORGETS_SENT)
		s->base = s->made;
}

/* It writes a whole window at once, or all that is left. */
static void
write_all(struct world *w, struct txn *t, uint32_t left, uint32_t write)
{
	struct server *s = &t->s;
	uint32_t held = (uint32_t)(s->got - s->read);
	uint32_t n = left < s->flow.tx_window ? left : s->flow.tx_window;

	handoff__flow_read(&s->flow, held);
	s->read += held;
	if (n <= write) {
		produce(w, t, n);
	} else if (handoff__flow_sync_due(&s->flow) && room(t) > 0 &&
		   w->bug != BUG_NO_SYNC) {
		sim_see(w, SAW_SYNC);
		handoff__flow_sync(&s->flow, t->out.data + t->out.len);
		t->out.len += HANDOFF__FRAME_HEADER;
	}
}

/* As an application sees it: bytes to read, room to write. */
static void
application(struct world *w, struct txn *t)
{
	struct server *s = &t->s;
	uint64_t held = s->got - s->read, left = w->server_total - s->made;
	uint32_t n, write = smaller(handoff__flow_room(&s->flow), room(t));
	bool ended = s->flow.flags & HANDOFF__FLOW_RX_ENDED;

	if (write == 0 && left > 0)
		sim_see(w, SAW_FULL);
	if (w->app == APP_ROOM) {
		write_all(w, t, (uint32_t)left, write);
		return;
	}
	if (w->app == APP_ECHO) {
		n = smaller(held, write);
		if (n > 1 && sim_chance(w, 2))
			n = 1 + sim_draw(w, n);
		write = n;
	} else {
		n = w->app == APP_BOTH || (ended && held < w->block)
			    ? smaller(held, 300)
			    : w->block;
		write = smaller(smaller(left, write), 1 + sim_draw(w, 200));
		if (w->app == APP_BLOCKS && (n > held || write == 0) &&
			left > 0 && !(ended && n <= held))
			return;
		if (n > held)
			n = 0;
	}
	handoff__flow_read(&s->flow, n);
	s->read += n;
	produce(w, t, write);
}

static void
abort_session(struct txn *t)
{
	struct handoff__frame f;

	if (sim_room(&t->out, OUTPUT) < HANDOFF__FRAME_MAX)
		return;
	handoff__flow_abort(&t->s.flow, HANDOFF__ABORT_APPLICATION, "bye", &f);
	sim_put_frame(&t->out, &f);
	t->s.exists = false;
	t->stage = STAGE_LAST;
	t->gone = true;
}

/* Frames that are due beside the application's. */
static void
say(struct world *w, struct txn *t)
{
	struct server *s = &t->s;
	bool read_all =
		(s->flow.flags & HANDOFF__FLOW_RX_ENDED) && s->read == s->got;
	bool made_all =
		w->app == APP_ECHO ? read_all : s->made == w->server_total;

	if (sim_room(&t->out, OUTPUT) < HANDOFF__FRAME_HEADER)
		return;
	if (made_all && !(s->flow.flags & HANDOFF__FLOW_TX_ENDED)) {
		handoff__flow_end(&s->flow, t->out.data + t->out.len);
		t->out.len += HANDOFF__FRAME_HEADER;
	} else if (handoff__flow_ack_due(&s->flow) && w->bug != BUG_NO_ACK) {
		sim_see(w, SAW_ACK);
		handoff__flow_ack(&s->flow, t->out.data + t->out.len);
		t->out.len += HANDOFF__FRAME_HEADER;
	} else if (s->flow.rx_told + s->flow.rx_window / 4 < s->flow.rx_taken) {
		sim_see(w, SAW_HELD_BACK);
	}
}

static void
take(struct world *w, struct txn *t)
{
	struct server *s = &t->s;
	uint32_t n = smaller(s->flow.rx_left, t->in.len);

	if (n > 1 && sim_chance(w, 4))
		n = 1 + sim_draw(w, n);
	if (!sim_same(t->in.data, UP, s->got, n))
		sim_bad(w, "the server gets another byte");
	handoff__flow_take(&s->flow, n);
	s->got += n;
	sim_drop(&t->in, n);
}

static void
react(struct world *w, struct txn *t, const struct handoff__frame *f)
{
	struct server *s = &t->s;
	const char *why = NULL;
	uint64_t kept = handoff__flow_kept(&s->flow);
	int event = handoff__flow_input(&s->flow, f, &why);

	if (event < 0) {
		sim_bad(w, why);
		return;
	}
	s->base += kept - handoff__flow_kept(&s->flow);
	if (event == HANDOFF__FLOW_ABORT) {
		s->exists = false;
		t->stage = STAGE_LAST;
		t->gone = true;
	}
}

static void
converse(struct world *w, struct txn *t)
{
	struct server *s = &t->s;
	struct handoff__frame f;
	int used;

	while (!w->bad && s->exists && t->in.len > 0) {
		if (s->flow.rx_left > 0) {
			take(w, t);
			continue;
		}
		if (!sim_reads(w, &s->flow))
			break;
		used = handoff__frame_decode(&f, t->in.data, t->in.len, NULL);
		if (used < 0)
			sim_bad(w, "the server cannot decode");
		if (used <= 0)
			break;
		sim_drop(&t->in, (unsigned)used);
		react(w, t, &f);
	}
	if (w->bad || !s->exists)
		return;
	application(w, t);
	say(w, t);
	if (sim_chance(w, 3000)) {
		sim_see(w, SAW_ABORT_SERVER);
		abort_session(t);
	} else if (handoff__flow_over(&s->flow)) {
		s->exists = false;
		t->stage = STAGE_LAST;
		t->gone = true;
	}
}

static void
refuse(struct world *w, struct txn *t, enum handoff__refusal reason)
{
	struct handoff__frame f = {.type = HANDOFF__FRAME_REFUSED};

	sim_see(w, reason == HANDOFF__REFUSED_BUSY ? SAW_BUSY : SAW_POSITION);
	f.reason = (uint16_t)reason;
	strncpy(f.text, handoff__refusal_text(reason), sizeof(f.text) - 1);
	sim_put_frame(&t->out, &f);
}

static void
welcome(struct txn *t, int link, bool resumed)
{
	struct handoff__frame f;

	handoff__flow_welcome(&t->s.flow, resumed, &f);
	f.number = t->s.number;
	memcpy(f.token, &t->s.number, sizeof(t->s.number));
	f.timeout_ms = 60000;
	sim_put_frame(&t->out, &f);
	t->s.link = link;
	t->stage = STAGE_OPEN;
}

static void
begin(struct world *w, struct txn *t, int link,
	const struct handoff__frame *asked)
{
	struct server *s = &t->s;

	if (w->links[link].client_done) { /* a session without a client */
		t->stage = STAGE_LAST;
		return;
	}
	t->moved = s->exists ? s->link : NONE; /* its WELCOME was lost */
	memset(s, 0, sizeof(*s));
	s->exists = true;
	s->number = w->numbers + 1;
	handoff__flow_serve(&s->flow, &w->limits, asked);
	welcome(t, link, false);
}

/* All that the client has not received, END too. */
static void
send_again(struct world *w, struct txn *t)
{
	struct server *s = &t->s;
	uint32_t again = (uint32_t)handoff__flow_again(&s->flow);

	if (again > 0) {
		if (s->flow.tx_next < s->base)
			sim_bad(w, "the server no longer has what it sends");
		sim_see(w, SAW_AGAIN);
		sim_put_data(&t->out, &s->flow, DOWN, again);
	}
	if (handoff__flow_end_due(&s->flow) && w->bug != BUG_END_ONCE) {
		sim_see(w, SAW_END_AGAIN);
		handoff__flow_end(&s->flow, t->out.data + t->out.len);
		t->out.len += HANDOFF__FRAME_HEADER;
	}
	if (t->out.len > OUTPUT)
		sim_bad(w, "what is sent again does not fit");
}

static void
resume(struct world *w, struct txn *t, int link, const struct handoff__frame *f)
{
	struct server *s = &t->s;
	uint64_t kept;
	int err;

	if (!s->exists || f->number != s->number ||
		memcmp(f->token, &s->number, sizeof(s->number)) != 0) {
		refuse(w, t, HANDOFF__REFUSED_UNKNOWN);
		return;
	}
	if (sim_chance(w, 4)) {
		refuse(w, t, HANDOFF__REFUSED_BUSY);
		return;
	}
	if (w->bug == BUG_OLD_STATE && w->cut.number == s->number)
		*s = w->cut;
	if (s->flow.rx_left > 0)
		sim_see(w, SAW_HALF_DATA);
	kept = handoff__flow_kept(&s->flow);
	err = sim_resume(w, &s->flow, f);
	if (err == -ERANGE) {
		refuse(w, t, HANDOFF__REFUSED_POSITION);
		return;
	}
	s->base += kept - handoff__flow_kept(&s->flow);
	t->moved = s->link;
	welcome(t, link, true);
	send_again(w, t);
}

static void
shake(struct world *w, struct txn *t, int link)
{
	struct handoff__frame f;
	int used;

	if (t->stage == STAGE_PREFACE) {
		if (handoff__preface_check(t->in.data, t->in.len) !=
			HANDOFF__PREFACE_SESSION)
			return;
		sim_drop(&t->in, HANDOFF__PREFACE_LEN);
		t->stage = STAGE_SHAKE;
	}
	used = handoff__frame_decode(&f, t->in.data, t->in.len, NULL);
	if (used < 0)
		sim_bad(w, "the server cannot decode a wish");
	if (used <= 0 || t->out.len > 0)
		return;
	sim_drop(&t->in, (unsigned)used);
	if (f.type == HANDOFF__FRAME_NEW)
		begin(w, t, link, &f);
	else
		resume(w, t, link, &f);
}

/* The connection has ended: the session is absent. */
static void
absent(struct world *w, struct txn *t, int link)
{
	if (t->s.exists && t->s.link == link) {
		t->s.link = NONE;
		w->cut = t->s;
	}
	t->stage = STAGE_DONE;
}

static void
ended(struct world *w, bool whole)
{
	w->server_gone = true;
	w->whole = whole;
	w->taken = w->server.flow.rx_taken;
}

static void
commit(struct world *w, const struct txn *t, int link)
{
	struct link *l = &w->links[link];
	const struct handoff__flow *f = &t->s.flow;

	if (t->s.number > w->numbers)
		w->numbers = t->s.number;
	w->server = t->s;
	l->stage = t->stage;
	l->in = t->in;
	l->out = t->out;
	if (t->moved != NONE) {
		w->links[t->moved].stage = STAGE_DONE;
		w->links[t->moved].up.closed = true;
		w->links[t->moved].down.closed = true;
	}
	if (t->gone)
		ended(w, !(f->flags & HANDOFF__FLOW_ABORTED));
}

static void
turn(struct world *w, int link)
{
	struct link *l = &w->links[link];
	struct txn t = {.s = w->server, .stage = l->stage, .moved = NONE};
	bool ended_link;

	t.in = l->in;
	t.out = l->out;
	ended_link = l->up.closed && l->up.len == 0;
	if (ended_link && sim_chance(w, 8))
		t.in.len = 0; /* a reset */
	if (l->stage == STAGE_OPEN)
		converse(w, &t);
	else
		shake(w, &t, link);
	if (w->bad)
		return;
	if (ended_link && t.stage != STAGE_LAST)
		absent(w, &t, link);
	if (sim_chance(w, 6)) {
		sim_see(w, SAW_UNDONE);
		if (w->bug == BUG_SENT_TOO_EARLY)
			sim_write(w, &l->down, &t.out);
		return;
	}
	commit(w, &t, link);
}

static void
serve(struct world *w, int link)
{
	struct link *l = &w->links[link];

	if (l->stage == STAGE_FREE || l->stage == STAGE_DONE)
		return;
	if (l->stage != STAGE_LAST) {
		sim_read(w, &l->in, &l->up, INPUT);
		turn(w, link);
	}
	if (w->bad)
		return;
	sim_write(w, &l->down, &l->out);
	if (l->stage == STAGE_LAST && l->out.len == 0) {
		l->stage = STAGE_DONE;
		l->up.closed = l->down.closed = true;
	}
}

/* Another client, without the token or with positions that cannot be: the
 * session stays as it is. */
static void
stranger(struct world *w)
{
	struct handoff__flow before = w->server.flow;
	struct handoff__frame f;

	if (!w->server.exists)
		return;
	handoff__flow_wish(&w->client.flow, &f);
	if (sim_draw(w, 2) == 0) {
		f.received = w->server.flow.tx_sent + 1 + sim_draw(w, 9);
	} else {
		f.sent = w->server.flow.rx_taken - 1;
		if (f.sent == UINT64_MAX)
			f.sent = 0x10000;
	}
	sim_see(w, SAW_WRONG_TOKEN);
	if ((w->bug == BUG_ANY_POSITION
			    ? sim_resume(w, &w->server.flow, &f)
			    : handoff__flow_resume(&w->server.flow, &f)) == 0)
		sim_bad(w, "a RESUME with positions that cannot be");
	if (memcmp(&before, &w->server.flow, sizeof(before)) != 0)
		sim_bad(w, "a refused RESUME has changed the session");
}

void
sim_server_step(struct world *w)
{
	for (int i = 0; i < LINKS && !w->bad; i++)
		serve(w, i);
	if (w->bad)
		return;
	if (sim_chance(w, 50))
		stranger(w);
	if (w->server.exists && w->server.link == NONE && w->client.begun &&
		sim_chance(w, 2000)) {
		sim_see(w, SAW_TIMEOUT);
		w->server.exists = false;
		ended(w, false);
	}
}
