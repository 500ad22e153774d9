/* SPDX-License-Identifier: MIT */
/*
 * The table of flows and the packets that wait. Packets of one flow keep their
 * order: they wait in the list of their batch, or of the flows without one,
 * and leave it from the front before any later packet is decided about. How
 * many may wait is bounded, since strangers send them.
 */
#include "ferry/unfreeze/flows.h"

#include "ferry/unfreeze/packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define MOST_PACKETS 32768
#define MOST_BYTES   (UINT64_C(64) << 20)
#define FIRST        1024 /* buckets */

struct handoff__parked {
	TAILQ_ENTRY(handoff__parked) node;
	struct handoff__flow flow;
	int64_t since_us;
	size_t len;
	uint32_t id;
	bool whole;
	unsigned char data[];
};

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* With a seed, so that nobody can choose ports that fall into one bucket. */
static uint32_t
bucket_of(const struct handoff__flows *flows, const struct handoff__flow *flow)
{
	uint64_t words[4], h = flows->seed;

	memcpy(words, flow->local, 16);
	memcpy(words + 2, flow->peer, 16);
	for (int i = 0; i < 4; i++)
		h = mix(h, words[i] ^ flows->seed >> i);
	h = mix(h, (uint64_t)flow->local_port << 32 | flow->peer_port);
	h = mix(h, flow->family ^ flows->seed);
	return (uint32_t)(h >> 32) & (flows->nbuckets - 1);
}

static struct handoff__flow_entry *
find(const struct handoff__flows *flows, const struct handoff__flow *flow)
{
	struct handoff__flow_entry *e = flows->buckets[bucket_of(flows, flow)];

	while (e && !handoff__flow_equal(&e->flow, flow))
		e = e->next;
	return e;
}

static void
insert(struct handoff__flows *flows, struct handoff__flow_entry *e)
{
	uint32_t b = bucket_of(flows, &e->flow);

	e->next = flows->buckets[b];
	flows->buckets[b] = e;
	flows->nflows++;
}

/* No effect on one that is not in the table. */
static void
take_out(struct handoff__flows *flows, struct handoff__flow_entry *e)
{
	struct handoff__flow_entry **at =
		&flows->buckets[bucket_of(flows, &e->flow)];

	while (*at && *at != e)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = e->next;
	flows->nflows--;
}

/* If there is no memory the lists get longer. */
static void
grow(struct handoff__flows *flows)
{
	uint32_t n = flows->nbuckets;
	struct handoff__flow_entry **old = flows->buckets;
	struct handoff__flow_entry **more;

	if (flows->nflows < n)
		return;
	more = calloc((size_t)n * 2, sizeof(struct handoff__flow_entry *));
	if (!more)
		return;
	flows->buckets = more;
	flows->nbuckets = n * 2;
	flows->nflows = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct handoff__flow_entry *e = old[i], *next;

		for (; e; e = next) {
			next = e->next;
			insert(flows, e);
		}
	}
	free(old);
}

int
handoff__flows_init(
	struct handoff__flows *flows, const struct handoff__sink *sink)
{
	*flows = (struct handoff__flows){
		.sink = *sink,
		.nbuckets = FIRST,
		.unknown = HANDOFF__GATE_PASS,
		.most_packets = MOST_PACKETS,
		.most_bytes = MOST_BYTES,
	};
	TAILQ_INIT(&flows->parked);
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++) {
		TAILQ_INIT(&flows->slots[i].parked);
		flows->slots[i].images = -1;
	}
	if (getrandom(&flows->seed, sizeof(flows->seed), 0) < 0)
		return -errno;
	flows->buckets = calloc(FIRST, sizeof(struct handoff__flow_entry *));
	return flows->buckets ? 0 : -ENOMEM;
}

static void
unpark(struct handoff__flows *flows, struct handoff__parking *list,
	struct handoff__parked *p)
{
	TAILQ_REMOVE(list, p, node);
	flows->counts.held_now--;
	flows->counts.held_bytes -= p->len;
	free(p);
}

static void
unpark_all(struct handoff__flows *flows, struct handoff__parking *list)
{
	struct handoff__parked *p;

	while ((p = TAILQ_FIRST(list)))
		unpark(flows, list, p);
}

static void
drop(struct handoff__flows *flows, uint32_t id, uint64_t *count)
{
	++*count;
	flows->sink.verdict(flows->sink.arg, id, false);
}

static void
pass(struct handoff__flows *flows, uint32_t id)
{
	flows->counts.passed++;
	flows->sink.verdict(flows->sink.arg, id, true);
}

/* The kernel copies up to 65531 bytes, and longer packets there are only on the
 * loopback device: one that is cut short cannot be sent on. */
static void
flip(struct handoff__flows *flows, uint32_t id, int family,
	const unsigned char *data, size_t len, bool whole)
{
	flows->flipped_us = handoff__now_us();
	if (whole && flows->sink.send(flows->sink.arg, family, data, len))
		flows->counts.flipped++;
	else
		flows->counts.unsent++;
	flows->sink.verdict(flows->sink.arg, id, false);
}

static void
park(struct handoff__flows *flows, struct handoff__parking *list, uint32_t id,
	const struct handoff__flow *flow, const unsigned char *data, size_t len,
	bool whole)
{
	struct handoff__gate_counts *counts = &flows->counts;
	struct handoff__parked *p = NULL;

	if (counts->held_now < flows->most_packets &&
		counts->held_bytes + len <= flows->most_bytes)
		p = malloc(sizeof(*p) + len);
	if (!p) {
		drop(flows, id, &counts->overflowed);
		return;
	}
	p->flow = *flow;
	p->since_us = handoff__now_us();
	p->len = len;
	p->id = id;
	p->whole = whole;
	memcpy(p->data, data, len);
	TAILQ_INSERT_TAIL(list, p, node);
	counts->held++;
	counts->held_now++;
	counts->held_bytes += len;
}

static void
decide(struct handoff__flows *flows, enum handoff__gate_verdict verdict,
	struct handoff__parked *p)
{
	uint64_t waited = (uint64_t)(handoff__now_us() - p->since_us);

	if (waited > flows->counts.longest_hold_us)
		flows->counts.longest_hold_us = waited;
	if (verdict == HANDOFF__GATE_PASS)
		pass(flows, p->id);
	else
		flip(flows, p->id, p->flow.family, p->data, p->len, p->whole);
}

/* Lets the packets of a list go, in order, to where the verdict says. */
static void
let_go(struct handoff__flows *flows, struct handoff__parking *list,
	enum handoff__gate_verdict verdict)
{
	struct handoff__parked *p;

	while ((p = TAILQ_FIRST(list))) {
		decide(flows, verdict, p);
		unpark(flows, list, p);
	}
}

/* As long as nothing is held or flipped a fragment is nobody's business: it
 * passes. Otherwise it could belong to any flow. */
static bool
all_pass(const struct handoff__flows *flows)
{
	return flows->nflows == 0 && !flows->seeking &&
	       flows->unknown == HANDOFF__GATE_PASS;
}

/* Of flows that no batch has only the beginning waits: a connection that has
 * begun here has to finish its handshake here, and one that ends its end. */
static enum handoff__gate_verdict
verdict_of(const struct handoff__flows *flows,
	const struct handoff__flow_entry *e, bool begins)
{
	if (e && e->released)
		return HANDOFF__GATE_PASS;
	if (e)
		return flows->slots[e->slot].verdict;
	return flows->unknown == HANDOFF__GATE_HOLD && !begins
		       ? HANDOFF__GATE_PASS
		       : flows->unknown;
}

/* One that no batch has, and whose packet would get to a socket here: if there
 * is none the kernel would answer by a reset. */
static bool
is_lacking(const struct handoff__flows *flows, const struct handoff__flow *flow,
	bool begins)
{
	return flows->seeking && !begins &&
	       !flows->sink.here(flows->sink.arg, flow);
}

static void
by_flow(struct handoff__flows *flows, uint32_t id,
	const struct handoff__flow *flow, bool begins,
	const unsigned char *data, size_t len, bool whole)
{
	struct handoff__flow_entry *e = find(flows, flow);
	struct handoff__flow_slot *s = e ? &flows->slots[e->slot] : NULL;

	switch (verdict_of(flows, e, begins)) {
	case HANDOFF__GATE_PASS:
		if (!e && is_lacking(flows, flow, begins))
			flip(flows, id, flow->family, data, len, whole);
		else
			pass(flows, id);
		return;
	case HANDOFF__GATE_HOLD:
		park(flows, s ? &s->parked : &flows->parked, id, flow, data,
			len, whole);
		return;
	case HANDOFF__GATE_FLIP:
		flip(flows, id, flow->family, data, len, whole);
		return;
	}
}

void
handoff__flows_packet(struct handoff__flows *flows, uint32_t id,
	const unsigned char *data, size_t len, bool whole)
{
	struct handoff__flow flow;
	bool begins;

	switch (handoff__packet_read(data, len, &flow, &begins)) {
	case HANDOFF__PACKET_TCP:
	case HANDOFF__PACKET_ERROR:
		by_flow(flows, id, &flow, begins, data, len, whole);
		return;
	case HANDOFF__PACKET_OTHER:
		pass(flows, id);
		return;
	case HANDOFF__PACKET_FRAGMENT:
		if (all_pass(flows))
			pass(flows, id);
		else
			drop(flows, id, &flows->counts.fragments);
		return;
	case HANDOFF__PACKET_BAD:
		drop(flows, id, &flows->counts.malformed);
		return;
	}
}

struct handoff__flow_slot *
handoff__flows_slot(struct handoff__flows *flows, uint32_t slot)
{
	if (slot >= HANDOFF__GATE_ROWS || !flows->slots[slot].used)
		return NULL;
	return &flows->slots[slot];
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The first `n` of these are the only ones that are not in the slot yet. */
static void
undo(struct handoff__flows *flows, struct handoff__flow_entry **added,
	uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		take_out(flows, added[i]);
		free(added[i]);
	}
}

static int
add(struct handoff__flows *flows, struct handoff__flow_slot *s,
	const struct handoff__flow *flow, struct handoff__flow_entry **added)
{
	struct handoff__flow_entry *e = NULL;

	if (flow->family != 4 && flow->family != 6)
		return -EINVAL;
	if (s->direction == HANDOFF__GATE_OUT)
		e = find(flows, flow);
	/* a connection that is over, there, can begin again */
	if (e && !e->released && e->slot < HANDOFF__GATE_SLOTS)
		return -EEXIST;
	if (e)
		take_out(flows, e);
	e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct handoff__flow_entry){
		.flow = *flow,
		.slot = (uint32_t)(s - flows->slots),
		.fd = -1,
	};
	if (s->direction == HANDOFF__GATE_OUT) {
		grow(flows);
		insert(flows, e);
	}
	*added = e;
	return 0;
}

/* What waits already, because unknown flows do, waits with the batch from here
 * on. */
static void
adopt_parked(struct handoff__flows *flows)
{
	struct handoff__parked *p, *next;

	for (p = TAILQ_FIRST(&flows->parked); p; p = next) {
		struct handoff__flow_entry *e = find(flows, &p->flow);

		next = TAILQ_NEXT(p, node);
		if (!e)
			continue;
		TAILQ_REMOVE(&flows->parked, p, node);
		TAILQ_INSERT_TAIL(&flows->slots[e->slot].parked, p, node);
	}
}

static int
begin(struct handoff__flow_slot *s, uint64_t id,
	enum handoff__gate_direction direction, uint32_t n)
{
	struct handoff__flow_entry **more;

	if (s->used && (s->id != id || s->direction != direction ||
			       s->verdict != HANDOFF__GATE_HOLD))
		return -EEXIST;
	if (n > HANDOFF__GATE_FLOWS - s->count)
		return -ENOSPC;
	more = realloc(
		s->entries, (s->count + (size_t)n + 1) *
				    sizeof(struct handoff__flow_entry *));
	if (!more)
		return -ENOMEM;
	s->entries = more;
	s->id = id;
	s->direction = direction;
	s->verdict = HANDOFF__GATE_HOLD;
	return 0;
}

static void
end(struct handoff__flow_slot *s)
{
	free(s->entries);
	close_fd(&s->images);
	s->entries = NULL;
	s->count = 0;
	s->used = false;
}

int
handoff__flows_take(struct handoff__flows *flows, uint32_t slot, uint64_t id,
	enum handoff__gate_direction direction,
	const struct handoff__flow *which, const int *fds, uint32_t n)
{
	struct handoff__flow_slot *s;
	int err;

	if (slot >= HANDOFF__GATE_ROWS)
		return -EINVAL;
	s = &flows->slots[slot];
	err = begin(s, id, direction, n);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < n; i++) {
		err = add(flows, s, &which[i], &s->entries[s->count + i]);
		if (err < 0) {
			undo(flows, s->entries + s->count, i);
			if (!s->used)
				end(s);
			return err;
		}
	}
	for (uint32_t i = 0; i < n; i++)
		s->entries[s->count + i]->fd = fds[i];
	s->count += n;
	s->used = true;
	adopt_parked(flows);
	return 0;
}

static void
pass_released(struct handoff__flows *flows, struct handoff__parking *list)
{
	struct handoff__parked *p, *next;

	for (p = TAILQ_FIRST(list); p; p = next) {
		struct handoff__flow_entry *e = find(flows, &p->flow);

		next = TAILQ_NEXT(p, node);
		if (!e || !e->released)
			continue;
		decide(flows, HANDOFF__GATE_PASS, p);
		unpark(flows, list, p);
	}
}

int
handoff__flows_release(struct handoff__flows *flows, uint32_t slot,
	const uint32_t *indices, uint32_t n)
{
	struct handoff__flow_slot *s = handoff__flows_slot(flows, slot);

	if (!s)
		return -ENOENT;
	for (uint32_t i = 0; i < n; i++) {
		if (indices[i] >= s->count)
			return -EINVAL;
	}
	for (uint32_t i = 0; i < n; i++) {
		close_fd(&s->entries[indices[i]]->fd);
		s->entries[indices[i]]->released = true;
	}
	pass_released(flows, &s->parked);
	return 0;
}

static void
remove_all(struct handoff__flows *flows, struct handoff__flow_slot *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		take_out(flows, s->entries[i]);
		close_fd(&s->entries[i]->fd);
		free(s->entries[i]);
	}
	end(s);
}

int
handoff__flows_pass(struct handoff__flows *flows, uint32_t slot)
{
	struct handoff__flow_slot *s = handoff__flows_slot(flows, slot);

	if (!s)
		return -ENOENT;
	let_go(flows, &s->parked, HANDOFF__GATE_PASS);
	remove_all(flows, s);
	return 0;
}

int
handoff__flows_flip(struct handoff__flows *flows, uint32_t slot)
{
	struct handoff__flow_slot *s = handoff__flows_slot(flows, slot);

	if (!s)
		return -ENOENT;
	if (s->direction != HANDOFF__GATE_OUT)
		return -EINVAL;
	s->verdict = HANDOFF__GATE_FLIP;
	let_go(flows, &s->parked, HANDOFF__GATE_FLIP);
	for (uint32_t i = 0; i < s->count; i++)
		close_fd(&s->entries[i]->fd);
	close_fd(&s->images);
	return 0;
}

int
handoff__flows_settle(struct handoff__flows *flows, uint32_t slot, uint32_t row)
{
	struct handoff__flow_slot *s = handoff__flows_slot(flows, slot), *to;

	if (!s || slot >= HANDOFF__GATE_SLOTS)
		return -ENOENT;
	if (s->verdict != HANDOFF__GATE_FLIP || row < HANDOFF__GATE_SLOTS ||
		row >= HANDOFF__GATE_ROWS || flows->slots[row].used)
		return -EINVAL;
	to = &flows->slots[row];
	*to = *s;
	TAILQ_INIT(&to->parked); /* a flipped batch has none */
	for (uint32_t i = 0; i < to->count; i++)
		to->entries[i]->slot = row;
	*s = (struct handoff__flow_slot){.images = -1};
	TAILQ_INIT(&s->parked);
	return 0;
}

int
handoff__flows_forget(struct handoff__flows *flows, uint32_t slot)
{
	struct handoff__flow_slot *s = handoff__flows_slot(flows, slot);

	if (!s)
		return -ENOENT;
	/* as verdict_of: these connections have begun */
	let_go(flows, &s->parked,
		flows->unknown == HANDOFF__GATE_HOLD ? HANDOFF__GATE_PASS
						     : flows->unknown);
	remove_all(flows, s);
	return 0;
}

void
handoff__flows_default(
	struct handoff__flows *flows, enum handoff__gate_verdict verdict)
{
	flows->unknown = verdict;
	if (verdict != HANDOFF__GATE_HOLD)
		let_go(flows, &flows->parked, verdict);
}

void
handoff__flows_seek(struct handoff__flows *flows, bool on)
{
	flows->seeking = on;
}

static bool
has_flow(const struct handoff__flow_slot *s, const struct handoff__flow *flow)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (!s->entries[i]->released &&
			handoff__flow_equal(&s->entries[i]->flow, flow))
			return true;
	}
	return false;
}

const struct handoff__flow_slot *
handoff__flows_coming(
	const struct handoff__flows *flows, const struct handoff__flow *flow)
{
	for (int i = 0; i < HANDOFF__GATE_SLOTS; i++) {
		const struct handoff__flow_slot *s = &flows->slots[i];

		if (s->used && s->direction == HANDOFF__GATE_IN &&
			has_flow(s, flow))
			return s;
	}
	return NULL;
}

bool
handoff__flows_guard(const struct handoff__flows *flows)
{
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++) {
		if (flows->slots[i].used)
			return true;
	}
	return flows->seeking || flows->unknown != HANDOFF__GATE_PASS;
}

void
handoff__flows_let_pass(struct handoff__flows *flows)
{
	let_go(flows, &flows->parked, HANDOFF__GATE_PASS);
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++)
		let_go(flows, &flows->slots[i].parked, HANDOFF__GATE_PASS);
}

void
handoff__flows_clear(struct handoff__flows *flows)
{
	flows->seeking = false;
	handoff__flows_default(flows, HANDOFF__GATE_PASS);
	for (uint32_t i = 0; i < HANDOFF__GATE_ROWS; i++)
		handoff__flows_pass(flows, i);
}

void
handoff__flows_fini(struct handoff__flows *flows)
{
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++) {
		unpark_all(flows, &flows->slots[i].parked);
		if (flows->slots[i].used)
			remove_all(flows, &flows->slots[i]);
	}
	unpark_all(flows, &flows->parked);
	free(flows->buckets);
	flows->buckets = NULL;
}
