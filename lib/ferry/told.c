/* SPDX-License-Identifier: MIT */
/*
 * What the helper was told. Each call is sent at once while there is a
 * connection; another helper is told everything again, the rule last. Decides
 * nothing and calls nobody back.
 */
#include "ferry/told.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 1000 /* for room in the socket */

static void
wait_for_room(int fd, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (poll(&p, 1, (int)((until - handoff__now_us()) / 1000)) > 0)
		poll(NULL, 0, 1); /* room, but too many descriptors under way */
}

/* The helper reads all the time: if it does not, it is as good as dead. */
void
handoff__told_send(struct handoff__told *told, const struct handoff__note *m)
{
	int64_t until = handoff__now_us() + WAIT_MS * INT64_C(1000);
	int rc;

	if (told->fd < 0 || told->broken)
		return;
	while ((rc = handoff__note_send(m, told->fd)) == 0 &&
		handoff__now_us() < until)
		wait_for_room(told->fd, until);
	told->broken = rc != 1;
}

void
handoff__told_number(struct handoff__told *told,
	enum handoff__gate_message type, uint32_t number)
{
	struct handoff__note m;

	handoff__note_begin(&m, type);
	handoff__put_u32(&m.w, number);
	handoff__told_send(told, &m);
}

static void
transmit_arena(struct handoff__told *told)
{
	struct handoff__note m;

	if (told->arena_fd < 0)
		return;
	handoff__note_begin(&m, HANDOFF__GATE_ARENA);
	handoff__put_u64(&m.w, told->arena_offset);
	m.fds[m.nfds++] = told->arena_fd;
	handoff__told_send(told, &m);
}

static void
transmit_target(struct handoff__told *told)
{
	struct handoff__note m;

	if (told->ifindex == 0)
		return;
	handoff__note_begin(&m, HANDOFF__GATE_TARGET);
	handoff__put_u32(&m.w, (uint32_t)told->ifindex);
	handoff__note_put_bytes(&m, told->mac, sizeof(told->mac));
	handoff__told_send(told, &m);
}

static void
transmit_take(struct handoff__told *told, uint32_t number)
{
	const struct handoff__told_slot *s = &told->slots[number];
	struct handoff__note m;
	uint32_t at = 0;

	do {
		uint32_t n = s->count - at < HANDOFF__GATE_PART
				     ? s->count - at
				     : HANDOFF__GATE_PART;

		handoff__note_begin(&m, HANDOFF__GATE_TAKE);
		handoff__put_u32(&m.w, number);
		handoff__put_u64(&m.w, s->id);
		handoff__put_u32(&m.w, s->direction);
		handoff__put_u32(&m.w, at + n < s->count);
		handoff__put_u32(&m.w, n);
		for (uint32_t i = at; i < at + n; i++)
			handoff__note_put_flow(
				&m, &s->flows[i], s->fds[i], false);
		handoff__told_send(told, &m);
		at += n;
	} while (at < s->count);
}

static void
transmit_images(struct handoff__told *told, uint32_t number)
{
	struct handoff__note m;

	if (told->slots[number].images < 0)
		return;
	handoff__note_begin(&m, HANDOFF__GATE_IMAGES);
	handoff__put_u32(&m.w, number);
	m.fds[m.nfds++] = told->slots[number].images;
	handoff__told_send(told, &m);
}

static void
transmit_release(struct handoff__told *told, uint32_t slot,
	const uint32_t *indices, uint32_t count)
{
	struct handoff__note m;

	for (uint32_t at = 0; at < count;) {
		uint32_t n = count - at < HANDOFF__GATE_INDICES
				     ? count - at
				     : HANDOFF__GATE_INDICES;

		handoff__note_begin(&m, HANDOFF__GATE_RELEASE);
		handoff__put_u32(&m.w, slot);
		handoff__put_u32(&m.w, n);
		for (uint32_t i = 0; i < n; i++)
			handoff__put_u32(&m.w, indices[at + i]);
		handoff__told_send(told, &m);
		at += n;
	}
}

/* In runs, since most are not. */
static void
tell_released(struct handoff__told *told, uint32_t number)
{
	const struct handoff__told_slot *s = &told->slots[number];
	uint32_t indices[HANDOFF__GATE_INDICES], n = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		if (s->released[i])
			indices[n++] = i;
		if (n == HANDOFF__GATE_INDICES ||
			(n > 0 && i + 1 == s->count)) {
			transmit_release(told, number, indices, n);
			n = 0;
		}
	}
}

static void
tell_slot(struct handoff__told *told, uint32_t number)
{
	transmit_take(told, number);
	transmit_images(told, number);
	tell_released(told, number);
	if (told->slots[number].verdict == HANDOFF__GATE_FLIP)
		handoff__told_number(told, HANDOFF__GATE_AWAY, number);
}

/* All that a helper has to know, before packets come to it. */
void
handoff__told_all(struct handoff__told *told)
{
	transmit_arena(told);
	transmit_target(told);
	for (uint32_t i = 0; i < HANDOFF__GATE_ROWS; i++) {
		if (told->slots[i].used && !told->slots[i].known)
			tell_slot(told, i);
	}
	if (told->defaulted)
		handoff__told_number(
			told, HANDOFF__GATE_DEFAULT, told->unknown);
	if (told->sought)
		handoff__told_number(told, HANDOFF__GATE_SEEK, told->seeking);
	if (told->ruled)
		handoff__told_number(told, HANDOFF__GATE_RULE, told->rule_on);
}

static void
drop_fds(struct handoff__told_slot *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->owned && s->fds[i] >= 0)
			close(s->fds[i]);
		s->fds[i] = -1;
	}
	if (s->images >= 0)
		close(s->images);
	s->images = -1;
}

void
handoff__told_clear(struct handoff__told_slot *s)
{
	drop_fds(s);
	free(s->flows);
	free(s->fds);
	free(s->released);
	*s = (struct handoff__told_slot){.images = -1};
}

int
handoff__told_grow(struct handoff__told_slot *s, uint32_t n)
{
	size_t all = (size_t)s->count + n;
	struct handoff__flow *flows = realloc(s->flows, all * sizeof(*flows));
	int *fds;
	bool *released;

	if (flows)
		s->flows = flows;
	fds = realloc(s->fds, all * sizeof(*fds));
	if (fds)
		s->fds = fds;
	released = realloc(s->released, all * sizeof(*released));
	if (released)
		s->released = released;
	return flows && fds && released ? 0 : -ENOMEM;
}

struct handoff__told_slot *
handoff__told_slot(struct handoff__told *told, uint32_t slot)
{
	if (slot >= HANDOFF__GATE_ROWS || !told->slots[slot].used)
		return NULL;
	return &told->slots[slot];
}

void
handoff__told_init(struct handoff__told *told)
{
	*told = (struct handoff__told){.fd = -1, .arena_fd = -1};
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++)
		told->slots[i].images = -1;
}

void
handoff__told_fini(struct handoff__told *told)
{
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++)
		handoff__told_clear(&told->slots[i]);
	if (told->arena_fd >= 0)
		close(told->arena_fd);
	told->arena_fd = -1;
}

void
handoff__told_lost(struct handoff__told *told)
{
	told->fd = -1;
	told->broken = false;
	for (uint32_t i = 0; i < HANDOFF__GATE_ROWS; i++) {
		told->slots[i].held = false;
		told->slots[i].known = false;
	}
}

int
handoff__told_arena(struct handoff__told *told, int segment_fd, uint64_t offset)
{
	int copy = fcntl(segment_fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	if (told->arena_fd >= 0)
		close(told->arena_fd);
	told->arena_fd = copy;
	told->arena_offset = offset;
	transmit_arena(told);
	return 0;
}

void
handoff__told_target(
	struct handoff__told *told, int ifindex, const uint8_t mac[6])
{
	told->ifindex = ifindex;
	memcpy(told->mac, mac, sizeof(told->mac));
	transmit_target(told);
}

void
handoff__told_rule(struct handoff__told *told, bool on)
{
	told->ruled = true;
	told->rule_on = on;
	handoff__told_number(told, HANDOFF__GATE_RULE, on);
}

void
handoff__told_default(
	struct handoff__told *told, enum handoff__gate_verdict verdict)
{
	told->defaulted = true;
	told->unknown = verdict;
	handoff__told_number(told, HANDOFF__GATE_DEFAULT, verdict);
}

void
handoff__told_seek(struct handoff__told *told, bool on)
{
	told->sought = true;
	told->seeking = on;
	handoff__told_number(told, HANDOFF__GATE_SEEK, on);
}

int
handoff__told_take(struct handoff__told *told, uint32_t slot, uint64_t id,
	enum handoff__gate_direction direction,
	const struct handoff__flow *flows, const int *fds, uint32_t count)
{
	struct handoff__told_slot *s = &told->slots[slot];

	if (s->used)
		return -EEXIST;
	if (handoff__told_grow(s, count) < 0) {
		handoff__told_clear(s);
		return -ENOMEM;
	}
	s->used = true;
	s->id = id;
	s->direction = direction;
	s->verdict = HANDOFF__GATE_HOLD;
	s->count = count;
	memcpy(s->flows, flows, count * sizeof(*flows));
	memcpy(s->fds, fds, count * sizeof(*fds));
	memset(s->released, 0, count * sizeof(*s->released));
	transmit_take(told, slot);
	return 0;
}

void
handoff__told_images(struct handoff__told *told, uint32_t slot, int fd)
{
	struct handoff__told_slot *s = &told->slots[slot];

	if (s->images >= 0)
		close(s->images);
	s->images = fd;
	transmit_images(told, slot);
}

int
handoff__told_release(struct handoff__told *told, uint32_t slot,
	const uint32_t *indices, uint32_t count)
{
	struct handoff__told_slot *s = handoff__told_slot(told, slot);

	if (!s)
		return -ENOENT;
	for (uint32_t i = 0; i < count; i++) {
		if (indices[i] >= s->count)
			return -EINVAL;
	}
	for (uint32_t i = 0; i < count; i++) {
		int *fd = &s->fds[indices[i]];

		if (s->owned && *fd >= 0)
			close(*fd);
		*fd = -1;
		s->released[indices[i]] = true;
	}
	transmit_release(told, slot, indices, count);
	return 0;
}

int
handoff__told_flip(struct handoff__told *told, uint32_t slot)
{
	struct handoff__told_slot *s = handoff__told_slot(told, slot);

	if (!s)
		return -ENOENT;
	if (s->direction != HANDOFF__GATE_OUT || told->ifindex == 0)
		return -EINVAL;
	s->verdict = HANDOFF__GATE_FLIP;
	drop_fds(s);
	handoff__told_number(told, HANDOFF__GATE_AWAY, slot);
	return 0;
}

int
handoff__told_settle(struct handoff__told *told, uint32_t slot)
{
	struct handoff__told_slot *s = handoff__told_slot(told, slot);
	uint32_t row = HANDOFF__GATE_SLOTS;
	struct handoff__note m;

	if (!s || slot >= HANDOFF__GATE_SLOTS)
		return -ENOENT;
	if (s->verdict != HANDOFF__GATE_FLIP)
		return -EINVAL;
	while (row < HANDOFF__GATE_ROWS && told->slots[row].used)
		row++;
	if (row == HANDOFF__GATE_ROWS)
		return -ENOSPC;
	told->slots[row] = *s;
	*s = (struct handoff__told_slot){.images = -1};
	handoff__note_begin(&m, HANDOFF__GATE_SETTLE);
	handoff__put_u32(&m.w, slot);
	handoff__put_u32(&m.w, row);
	handoff__told_send(told, &m);
	return 0;
}

int
handoff__told_end(struct handoff__told *told, uint32_t slot,
	enum handoff__gate_message type)
{
	struct handoff__told_slot *s = handoff__told_slot(told, slot);

	if (!s)
		return -ENOENT;
	handoff__told_clear(s);
	handoff__told_number(told, type, slot);
	return 0;
}
