/* SPDX-License-Identifier: MIT */
/*
 * Decodes what a ferry says, does it, and answers. Whatever is no message of
 * the protocol ends the connection, which counts as the ferry's death: its
 * batches are then decided by their words.
 */
#include "ferry/unfreeze/requests.h"

#include "ferry/note.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FLOW_SIZE 38 /* with its bits */
#define AT_ONCE   64 /* messages until packets get their turn */

/* One message, and why it was refused. */
struct request {
	struct handoff__guard *guard;
	struct handoff__note note;
	struct handoff__error error;
};

/* A ferry that does not read what it is told is as good as dead. */
static int
send_note(struct handoff__guard *guard, const struct handoff__note *note)
{
	int err = handoff__note_send(note, guard->ferry);

	if (err == 1)
		return 0;
	return err == 0 ? -ENOBUFS : err;
}

void
handoff__requests_refuse(int fd, int err, const char *text)
{
	handoff__note_refuse(fd, err, text);
	close(fd);
}

/* Before an answer all verdicts are in force. */
static void
begin_answer(struct request *r, struct handoff__note *reply,
	enum handoff__gate_message type)
{
	handoff__queue_flush(&r->guard->queue);
	handoff__note_begin(reply, type);
}

static int
answer(struct request *r, struct handoff__note *reply, int err)
{
	handoff__put_u32(&reply->w, (uint32_t)-err);
	handoff__note_put_text(reply, err < 0 ? r->error.text : "");
	return send_note(r->guard, reply);
}

/* Requests without an answer have one if they fail. */
static int
outcome(struct request *r, const char *what, uint32_t slot, int err)
{
	struct handoff__note reply;

	begin_answer(r, &reply, HANDOFF__GATE_FAILED);
	if (err >= 0)
		return 0;
	handoff__fail(
		&r->error, err, "gate: %s %u: %s", what, slot, strerror(-err));
	return answer(r, &reply, err);
}

static uint32_t
put_part(struct handoff__note *reply, const struct handoff__flow_slot *s,
	uint32_t at)
{
	uint32_t n = s->count - at;

	if (n > HANDOFF__GATE_PART)
		n = HANDOFF__GATE_PART;
	handoff__put_u32(&reply->w, at + n < s->count);
	handoff__put_u32(&reply->w, s->verdict);
	handoff__put_u32(&reply->w, n);
	for (uint32_t i = at; i < at + n; i++) {
		const struct handoff__flow_entry *e = s->entries[i];

		handoff__note_put_flow(reply, &e->flow, e->fd, e->released);
	}
	return n;
}

static int
send_slot(struct handoff__guard *guard, uint32_t slot,
	const struct handoff__flow_slot *s)
{
	struct handoff__note reply;
	uint32_t at = 0;
	int err = 0;

	if (s->images >= 0) {
		handoff__note_begin(&reply, HANDOFF__GATE_KEPT);
		handoff__put_u32(&reply.w, slot);
		reply.fds[reply.nfds++] = s->images;
		err = send_note(guard, &reply);
	}
	do {
		handoff__note_begin(&reply, HANDOFF__GATE_SLOT);
		handoff__put_u32(&reply.w, slot);
		handoff__put_u64(&reply.w, s->id);
		handoff__put_u32(&reply.w, s->direction);
		at += put_part(&reply, s, at);
		if (err == 0)
			err = send_note(guard, &reply);
	} while (err == 0 && at < s->count);
	return err;
}

static int
send_table(struct handoff__guard *guard)
{
	struct handoff__note reply;

	if (guard->arena_fd < 0)
		return 0;
	handoff__note_begin(&reply, HANDOFF__GATE_TABLE);
	handoff__put_u64(&reply.w, guard->arena_offset);
	reply.fds[reply.nfds++] = guard->arena_fd;
	return send_note(guard, &reply);
}

static int
send_opened(struct request *r, bool leftover)
{
	struct handoff__guard *guard = r->guard;
	struct handoff__note reply;
	int err = send_table(guard);

	for (uint32_t i = 0; i < HANDOFF__GATE_ROWS && err == 0; i++) {
		struct handoff__flow_slot *s =
			handoff__flows_slot(&guard->flows, i);

		if (s)
			err = send_slot(guard, i, s);
	}
	handoff__note_begin(&reply, HANDOFF__GATE_OPENED);
	handoff__put_u32(&reply.w, leftover);
	handoff__put_u32(&reply.w, guard->rule_on);
	handoff__put_u32(&reply.w, guard->flows.unknown);
	handoff__put_u32(&reply.w, guard->flows.seeking);
	handoff__note_put_text(&reply, handoff__rules_text(guard->rules.way));
	return err < 0 ? err : send_note(guard, &reply);
}

/* A number of its own for each name, above those that people choose. */
static uint16_t
queue_of(const char *name)
{
	uint32_t h = 2166136261;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619;
	return (uint16_t)(1024 + h % 60000);
}

/* Rules that drop packets to the service, and that no ferry would look for. */
static void
find_leftovers(struct request *r)
{
	struct handoff__guard *guard = r->guard;
	struct handoff__error error = {""};

	if (handoff__leftover_find(&guard->leftovers, &guard->rules,
		    &guard->queue, &error) < 0)
		handoff__guard_log(guard, "%s", error.text);
}

static int
set_service(struct request *r, const char *name, uint32_t queue,
	const struct handoff__gate_address *addresses, uint32_t n)
{
	struct handoff__guard *guard = r->guard;
	bool known = guard->name[0] != '\0';
	int err;

	if (known && strcmp(guard->name, name) != 0)
		return handoff__fail(&r->error, -EBUSY,
			"gate: it guards the service '%s', not '%s'",
			guard->name, name);
	err = handoff__rules_name(&guard->rules, name, addresses, n, &r->error);
	if (err == 0 && guard->rules.way == HANDOFF__RULES_NONE)
		err = handoff__rules_probe(&guard->rules, &r->error);
	if (err < 0)
		return err;
	handoff__copy(guard->name, sizeof(guard->name), name);
	guard->first_queue = queue > 0 ? (uint16_t)queue : queue_of(name);
	if (!known)
		find_leftovers(r);
	return guard->rule_on ? handoff__guard_rule(guard, true, &r->error) : 0;
}

static int
on_open(struct request *r)
{
	struct handoff__gate_address addresses[HANDOFF__GATE_ADDRESSES];
	struct handoff__wire *w = &r->note.w;
	uint32_t version = handoff__get_u32(w), queue, n;
	char name[HANDOFF__GATE_NAME];
	int err;

	if (version != HANDOFF__GATE_VERSION)
		return handoff__fail(&r->error, -EPROTO,
			"gate: version %u of the protocol is not known, it "
			"speaks %d",
			version, HANDOFF__GATE_VERSION);
	handoff__get_text(w, name, sizeof(name));
	queue = handoff__get_u32(w);
	n = handoff__get_u32(w);
	if (n > HANDOFF__GATE_ADDRESSES || queue > UINT16_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		handoff__note_get_bytes(&r->note, &addresses[i].family, 1);
		handoff__note_get_bytes(&r->note, addresses[i].ip, 16);
	}
	if (w->bad)
		return -EBADMSG;
	err = set_service(r, name, queue, addresses, n);
	if (err < 0)
		return err;
	r->guard->opened = true;
	err = handoff__rules_found(&r->guard->rules);
	return send_opened(r,
		(err > 0 || r->guard->leftovers.n > 0) && !r->guard->rule_on);
}

static int
on_arena(struct request *r)
{
	struct handoff__guard *guard = r->guard;
	uint64_t offset = handoff__get_u64(&r->note.w);
	int err;

	if (r->note.w.bad || r->note.nfds != 1)
		return -EBADMSG;
	err = handoff__thaw_arena(&guard->thaw, r->note.fds[0], offset);
	if (err == 0) {
		if (guard->arena_fd >= 0)
			close(guard->arena_fd);
		guard->arena_fd = r->note.fds[0];
		guard->arena_offset = offset;
		r->note.nfds = 0;
	}
	return outcome(r, "the arena's table of batches in descriptor", 0, err);
}

static int
on_target(struct request *r)
{
	uint32_t ifindex = handoff__get_u32(&r->note.w);
	uint8_t mac[6];

	handoff__note_get_bytes(&r->note, mac, sizeof(mac));
	if (r->note.w.bad || ifindex == 0 || ifindex > INT32_MAX)
		return -EBADMSG;
	r->guard->raw.ifindex = (int)ifindex;
	memcpy(r->guard->raw.mac, mac, sizeof(mac));
	return 0;
}

static int
on_rule(struct request *r)
{
	uint32_t on = handoff__get_u32(&r->note.w);
	struct handoff__note reply;
	int err;

	if (r->note.w.bad || on > 1)
		return -EBADMSG;
	err = handoff__guard_rule(r->guard, on != 0, &r->error);
	begin_answer(r, &reply, HANDOFF__GATE_RULED);
	handoff__put_u32(&reply.w, on);
	return answer(r, &reply, err);
}

static int
on_default(struct request *r)
{
	uint32_t verdict = handoff__get_u32(&r->note.w);

	if (r->note.w.bad || verdict > HANDOFF__GATE_FLIP)
		return -EBADMSG;
	handoff__flows_default(
		&r->guard->flows, (enum handoff__gate_verdict)verdict);
	return outcome(r, "", 0, 0);
}

static int
on_seek(struct request *r)
{
	uint32_t on = handoff__get_u32(&r->note.w);

	if (r->note.w.bad || on > 1)
		return -EBADMSG;
	handoff__flows_seek(&r->guard->flows, on != 0);
	return outcome(r, "", 0, 0);
}

/* False if there are other descriptors than the message says. */
static bool
get_flows(struct request *r, struct handoff__flow *flows, int *fds, uint32_t n)
{
	size_t used = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t has = 0;

		handoff__note_get_flow(&r->note, &flows[i], &has);
		has &= HANDOFF__GATE_HAS_FD;
		if (has && used == r->note.nfds)
			return false;
		fds[i] = has ? r->note.fds[used++] : -1;
	}
	return used == r->note.nfds;
}

/* A failure is answered at once. Parts that follow are taken all the same, the
 * ferry then forgets the slot. */
static int
take(struct request *r, uint32_t slot, uint64_t id,
	enum handoff__gate_direction direction, bool more, uint32_t n)
{
	struct handoff__flow flows[HANDOFF__GATE_PART];
	int fds[HANDOFF__GATE_PART], err;
	struct handoff__note reply;

	if (!get_flows(r, flows, fds, n))
		return -EBADMSG;
	err = r->guard->thaw.map.batches
		      ? handoff__flows_take(&r->guard->flows, slot, id,
				direction, flows, fds, n)
		      : -ENXIO;
	if (err == 0)
		r->note.nfds = 0;
	else
		handoff__fail(&r->error, err, "gate: holding slot %u: %s", slot,
			err == -ENXIO ? "the arena with its word is not known"
				      : strerror(-err));
	if (err == 0 && more)
		return 0;
	begin_answer(r, &reply, HANDOFF__GATE_HELD);
	handoff__put_u32(&reply.w, slot);
	handoff__put_u64(&reply.w, id);
	return answer(r, &reply, err);
}

static int
on_take(struct request *r)
{
	struct handoff__wire *w = &r->note.w;
	uint32_t slot = handoff__get_u32(w);
	uint64_t id = handoff__get_u64(w);
	uint32_t direction = handoff__get_u32(w);
	uint32_t more = handoff__get_u32(w);
	uint32_t n = handoff__get_u32(w);

	if (w->bad || n > HANDOFF__GATE_PART || direction > HANDOFF__GATE_IN ||
		more > 1 || w->size - w->pos != (size_t)n * FLOW_SIZE)
		return -EBADMSG;
	return take(r, slot, id, (enum handoff__gate_direction)direction,
		more != 0, n);
}

static int
on_images(struct request *r)
{
	uint32_t slot = handoff__get_u32(&r->note.w);
	struct handoff__flow_slot *s =
		handoff__flows_slot(&r->guard->flows, slot);

	if (r->note.w.bad || r->note.nfds != 1)
		return -EBADMSG;
	if (!s)
		return outcome(r, "images of slot", slot, -ENOENT);
	if (s->images >= 0)
		close(s->images);
	s->images = r->note.fds[0];
	r->note.nfds = 0;
	return 0;
}

static int
on_release(struct request *r)
{
	uint32_t indices[HANDOFF__GATE_INDICES];
	uint32_t slot = handoff__get_u32(&r->note.w);
	uint32_t n = handoff__get_u32(&r->note.w);

	if (r->note.w.bad || n > HANDOFF__GATE_INDICES ||
		r->note.w.size - r->note.w.pos != (size_t)n * 4)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++)
		indices[i] = handoff__get_u32(&r->note.w);
	return outcome(r, "releasing some of slot", slot,
		handoff__flows_release(&r->guard->flows, slot, indices, n));
}

static int
on_slot(struct request *r, const char *what,
	int (*fn)(struct handoff__flows *, uint32_t))
{
	uint32_t slot = handoff__get_u32(&r->note.w);

	if (r->note.w.bad)
		return -EBADMSG;
	return outcome(r, what, slot, fn(&r->guard->flows, slot));
}

static int
on_settle(struct request *r)
{
	uint32_t slot = handoff__get_u32(&r->note.w);
	uint32_t row = handoff__get_u32(&r->note.w);

	if (r->note.w.bad)
		return -EBADMSG;
	return outcome(r, "settling slot", slot,
		handoff__flows_settle(&r->guard->flows, slot, row));
}

/* What was refused, or thawed, is forgotten already. */
static int
forget(struct handoff__flows *flows, uint32_t slot)
{
	int err = handoff__flows_forget(flows, slot);

	return err == -ENOENT ? 0 : err;
}

static uint64_t
since(int64_t us)
{
	return us == 0 ? UINT64_MAX : (uint64_t)(handoff__now_us() - us) / 1000;
}

static int
on_count(struct request *r)
{
	const struct handoff__flows *flows = &r->guard->flows;
	const struct handoff__gate_counts *c = &flows->counts;
	const uint64_t values[] = {c->passed, c->flipped, c->held, c->held_now,
		c->held_bytes, c->overflowed, c->fragments, c->malformed,
		c->unsent, c->thawed, c->finished, c->stuck, c->longest_hold_us,
		since(flows->flipped_us)};
	struct handoff__note reply;

	begin_answer(r, &reply, HANDOFF__GATE_COUNTS);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		handoff__put_u64(&reply.w, values[i]);
	return send_note(r->guard, &reply);
}

static int
dispatch(struct request *r)
{
	uint32_t type = handoff__get_u32(&r->note.w);

	if (r->note.w.bad || (!r->guard->opened && type != HANDOFF__GATE_OPEN))
		return -EBADMSG;
	switch (type) {
	case HANDOFF__GATE_OPEN:
		return on_open(r);
	case HANDOFF__GATE_ARENA:
		return on_arena(r);
	case HANDOFF__GATE_TARGET:
		return on_target(r);
	case HANDOFF__GATE_RULE:
		return on_rule(r);
	case HANDOFF__GATE_DEFAULT:
		return on_default(r);
	case HANDOFF__GATE_SEEK:
		return on_seek(r);
	case HANDOFF__GATE_TAKE:
		return on_take(r);
	case HANDOFF__GATE_IMAGES:
		return on_images(r);
	case HANDOFF__GATE_RELEASE:
		return on_release(r);
	case HANDOFF__GATE_LEAVE:
		return on_slot(r, "passing slot", handoff__flows_pass);
	case HANDOFF__GATE_AWAY:
		return on_slot(r, "flipping slot", handoff__flows_flip);
	case HANDOFF__GATE_SETTLE:
		return on_settle(r);
	case HANDOFF__GATE_FORGET:
		return on_slot(r, "forgetting slot", forget);
	case HANDOFF__GATE_COUNT:
		return on_count(r);
	case HANDOFF__GATE_END:
		handoff__guard_end(r->guard);
		return 0;
	default:
		return -EBADMSG;
	}
}

static void
end(struct handoff__guard *guard, int err, const char *text)
{
	const char *why = text[0] != '\0' ? text
			  : err == -EBADMSG
				  ? "gate: this is no message of the protocol"
				  : strerror(-err);

	handoff__note_refuse(guard->ferry, err, why);
	handoff__guard_detach(guard, why);
}

/* 1 if a message came, 0 if none is there. */
static int
receive(struct handoff__guard *guard)
{
	struct request r;
	int err = handoff__note_receive(&r.note, guard->ferry);

	r.guard = guard;
	r.error.text[0] = '\0';

	if (err == 0)
		return 0;
	if (err == -ECONNRESET || err == -EPIPE) {
		handoff__guard_detach(guard, "it has closed its connection");
		return 0;
	}
	if (err == 1) {
		err = dispatch(&r);
		handoff__note_close(&r.note);
	}
	if (err >= 0)
		return !guard->ending;
	end(guard, err, r.error.text);
	return 0;
}

static void
on_ferry(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__guard *guard = watch->arg;

	(void)events;
	for (int i = 0; i < AT_ONCE && guard->ferry >= 0; i++) {
		if (receive(guard) == 0)
			return;
	}
}

/* What the one before has sent and not been answered yet counts; then it is
 * gone, or it is not. */
static bool
has_ferry(struct handoff__guard *guard)
{
	struct pollfd p = {.fd = guard->ferry, .events = POLLRDHUP};

	if (guard->ferry >= 0 && poll(&p, 1, 0) > 0 &&
		(p.revents & (POLLRDHUP | POLLHUP | POLLERR))) {
		while (guard->ferry >= 0 && !guard->ending)
			receive(guard);
	}
	return guard->ferry >= 0;
}

void
handoff__requests_accept(struct handoff__guard *guard, int fd)
{
	if (handoff__dir_allows(fd, guard->dir.user) < 0) {
		handoff__requests_refuse(
			fd, -EPERM, "gate: this user may not use it");
		return;
	}
	if (has_ferry(guard)) {
		handoff__requests_refuse(
			fd, -EBUSY, "gate: another ferry is connected");
		return;
	}
	if (guard->ending) {
		close(fd);
		return;
	}
	handoff__guard_attach(guard, fd, on_ferry);
}
