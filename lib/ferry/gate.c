/* SPDX-License-Identifier: MIT */
/*
 * The ferry's side of its helper: starts it, connects to it, and replaces it;
 * what it says becomes callbacks, which come from the loop alone. What it was
 * told is told.c's. Decides nothing.
 */
#include "ferry/gate.h"

#include "ferry/launch.h"
#include "ferry/told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US (INT64_C(1000) * 1000)
#define BUSY_US  (INT64_C(100) * 1000)
#define ROOM     (4 << 20)
#define AT_ONCE  64

enum stage {
	STAGE_NONE,    /* the timer starts the next attempt */
	STAGE_OPENING, /* OPEN was sent */
	STAGE_READY,
	STAGE_ENDED, /* for good */
};

struct handoff__gate {
	struct handoff__gate_opts opts;
	char *program;
	char name[HANDOFF__GATE_NAME];
	struct handoff__gate_address addresses[HANDOFF__GATE_ADDRESSES];
	enum stage stage;
	int fd;
	struct handoff__watch watch;
	struct handoff__timer timer;
	bool replaced; /* a helper was ready once */
	struct handoff__told told;
};

/* A connection that a call has found broken is given up by the loop. */
static int
sent(struct handoff__gate *gate, int err)
{
	if (gate->told.broken)
		handoff__timer_arm(gate->opts.loop, &gate->timer, 0);
	return err;
}

static void
transmit_open(struct handoff__gate *gate)
{
	struct handoff__note m;

	handoff__note_begin(&m, HANDOFF__GATE_OPEN);
	handoff__put_u32(&m.w, HANDOFF__GATE_VERSION);
	handoff__put_text(&m.w, gate->name, sizeof(gate->name));
	handoff__put_u32(&m.w, gate->opts.queue);
	handoff__put_u32(&m.w, gate->opts.naddresses);
	for (uint32_t i = 0; i < gate->opts.naddresses; i++) {
		handoff__note_put_bytes(&m, &gate->addresses[i].family, 1);
		handoff__note_put_bytes(&m, gate->addresses[i].ip, 16);
	}
	handoff__note_send(&m, gate->fd);
}

/* The connection is over. What was held by the helper is held no more. */
static void
hang_up(struct handoff__gate *gate)
{
	if (gate->fd < 0)
		return;
	handoff__watch_del(gate->opts.loop, &gate->watch);
	close(gate->fd);
	gate->fd = -1;
	handoff__told_lost(&gate->told);
}

static void
report_failed(struct handoff__gate *gate, int err, const char *text)
{
	if (gate->opts.ops->failed)
		gate->opts.ops->failed(gate->opts.arg, err, text);
}

/* A helper that has served is replaced at once; otherwise there is a reason,
 * which will be there a moment later too. */
static void
lose(struct handoff__gate *gate, int err, const char *text)
{
	const struct handoff__gate_ops *ops = gate->opts.ops;
	bool was_ready = gate->stage == STAGE_READY;

	hang_up(gate);
	if (gate->stage == STAGE_ENDED)
		return;
	gate->stage = STAGE_NONE;
	handoff__timer_arm(gate->opts.loop, &gate->timer,
		was_ready       ? 0
		: err == -EBUSY ? BUSY_US
				: RETRY_US);
	if (!was_ready)
		report_failed(gate, err, text);
	else if (ops->lost)
		ops->lost(gate->opts.arg, text);
}

static void
on_refused(struct handoff__gate *gate, struct handoff__note *m)
{
	char text[HANDOFF__GATE_TEXT];
	int err = -(int)handoff__get_u32(&m->w);

	handoff__get_text(&m->w, text, sizeof(text));
	lose(gate, err < 0 ? err : -EBADMSG, text);
}

static int
add_found(struct handoff__told_slot *s, struct handoff__note *m, uint32_t n)
{
	size_t used = 0;

	if (m->nfds > n || handoff__told_grow(s, n) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		bool has;
		uint8_t bits;

		handoff__note_get_flow(m, &s->flows[s->count], &bits);
		has = (bits & HANDOFF__GATE_HAS_FD) && used < m->nfds;
		s->fds[s->count] = has ? m->fds[used++] : -1;
		s->released[s->count++] = bits & HANDOFF__GATE_RELEASED;
	}
	m->nfds = 0;
	return m->w.bad ? -EBADMSG : 0;
}

static void
report_found(struct handoff__gate *gate, uint32_t number)
{
	struct handoff__told_slot *s = &gate->told.slots[number];
	struct handoff__gate_found found = {
		.slot = number,
		.id = s->id,
		.direction = s->direction,
		.verdict = s->verdict,
		.flows = s->flows,
		.fds = s->fds,
		.count = s->count,
		.images = s->images,
	};

	if (gate->opts.ops->found)
		gate->opts.ops->found(gate->opts.arg, &found);
}

/* A helper that was not replaced has what it was told by this ferry already, or
 * has decided about it meanwhile: the ferry's own copy counts. */
static int
on_slot(struct handoff__gate *gate, struct handoff__note *m)
{
	uint32_t number = handoff__get_u32(&m->w);
	uint64_t id = handoff__get_u64(&m->w);
	uint32_t direction = handoff__get_u32(&m->w);
	uint32_t more = handoff__get_u32(&m->w);
	uint32_t verdict = handoff__get_u32(&m->w);
	uint32_t n = handoff__get_u32(&m->w);
	struct handoff__told_slot *s;
	int err;

	if (m->w.bad || number >= HANDOFF__GATE_ROWS ||
		n > HANDOFF__GATE_PART || verdict > HANDOFF__GATE_FLIP ||
		direction > HANDOFF__GATE_IN)
		return -EBADMSG;
	s = &gate->told.slots[number];
	if (s->used && !s->owned) {
		handoff__told_number(&gate->told, HANDOFF__GATE_FORGET, number);
		return 0;
	}
	s->used = s->owned = s->known = true;
	s->held = true;
	s->id = id;
	s->direction = (enum handoff__gate_direction)direction;
	s->verdict = (enum handoff__gate_verdict)verdict;
	err = add_found(s, m, n);
	if (err == 0 && !more)
		report_found(gate, number);
	return err;
}

static int
on_kept(struct handoff__gate *gate, struct handoff__note *m)
{
	uint32_t number = handoff__get_u32(&m->w);

	if (m->w.bad || number >= HANDOFF__GATE_SLOTS || m->nfds != 1)
		return -EBADMSG;
	if (gate->told.slots[number].used)
		return 0;
	if (gate->told.slots[number].images >= 0)
		close(gate->told.slots[number].images);
	gate->told.slots[number].images = m->fds[0];
	m->nfds = 0;
	return 0;
}

/* Another helper of this ferry has it of this ferry. */
static int
on_table(struct handoff__gate *gate, struct handoff__note *m)
{
	uint64_t offset = handoff__get_u64(&m->w);

	if (m->w.bad || m->nfds != 1)
		return -EBADMSG;
	if (!gate->replaced && gate->opts.ops->table)
		gate->opts.ops->table(gate->opts.arg, m->fds[0], offset);
	return 0;
}

static int
on_opened(struct handoff__gate *gate, struct handoff__note *m)
{
	struct handoff__told *told = &gate->told;
	bool leftover = handoff__get_u32(&m->w) != 0;
	bool rule_on = handoff__get_u32(&m->w) != 0;
	uint32_t unknown = handoff__get_u32(&m->w);
	bool seeking = handoff__get_u32(&m->w) != 0;
	char how[HANDOFF__GATE_TEXT];

	handoff__get_text(&m->w, how, sizeof(how));
	if (m->w.bad || unknown > HANDOFF__GATE_FLIP ||
		gate->stage != STAGE_OPENING)
		return -EBADMSG;
	leftover = leftover && !gate->replaced;
	gate->stage = STAGE_READY;
	gate->replaced = true;
	if (!told->ruled)
		told->rule_on = rule_on;
	if (!told->defaulted)
		told->unknown = (enum handoff__gate_verdict)unknown;
	if (!told->sought)
		told->seeking = seeking;
	told->fd = gate->fd;
	handoff__told_all(told);
	sent(gate, 0);
	if (gate->opts.ops->ready)
		gate->opts.ops->ready(gate->opts.arg, how, leftover);
	return 0;
}

static int
on_held(struct handoff__gate *gate, struct handoff__note *m)
{
	uint32_t number = handoff__get_u32(&m->w);
	uint64_t id = handoff__get_u64(&m->w);
	int err = -(int)handoff__get_u32(&m->w);
	char text[HANDOFF__GATE_TEXT];
	struct handoff__told_slot *s = handoff__told_slot(&gate->told, number);

	handoff__get_text(&m->w, text, sizeof(text));
	if (m->w.bad)
		return -EBADMSG;
	if (!s || s->id != id || s->verdict != HANDOFF__GATE_HOLD)
		return 0; /* it was passed or flipped meanwhile */
	if (err < 0) {
		handoff__told_clear(s);
		handoff__told_number(&gate->told, HANDOFF__GATE_FORGET, number);
	} else {
		s->held = true;
	}
	gate->opts.ops->held(gate->opts.arg, number, err, text);
	return 0;
}

static int
on_ruled(struct handoff__gate *gate, struct handoff__note *m)
{
	bool on = handoff__get_u32(&m->w) != 0;
	int err = -(int)handoff__get_u32(&m->w);
	char text[HANDOFF__GATE_TEXT];

	handoff__get_text(&m->w, text, sizeof(text));
	if (m->w.bad)
		return -EBADMSG;
	if (gate->opts.ops->ruled)
		gate->opts.ops->ruled(gate->opts.arg, on, err, text);
	return 0;
}

static int
on_counts(struct handoff__gate *gate, struct handoff__note *m)
{
	struct handoff__gate_counts c = {0};
	uint64_t *const fields[] = {&c.passed, &c.flipped, &c.held, &c.held_now,
		&c.held_bytes, &c.overflowed, &c.fragments, &c.malformed,
		&c.unsent, &c.thawed, &c.finished, &c.stuck, &c.longest_hold_us,
		&c.since_flip_ms};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		*fields[i] = handoff__get_u64(&m->w);
	if (m->w.bad)
		return -EBADMSG;
	if (gate->opts.ops->counted)
		gate->opts.ops->counted(gate->opts.arg, &c);
	return 0;
}

static int
on_failed(struct handoff__gate *gate, struct handoff__note *m)
{
	int err = -(int)handoff__get_u32(&m->w);
	char text[HANDOFF__GATE_TEXT];

	handoff__get_text(&m->w, text, sizeof(text));
	if (m->w.bad)
		return -EBADMSG;
	report_failed(gate, err, text);
	return 0;
}

static int
dispatch(struct handoff__gate *gate, struct handoff__note *m)
{
	switch (handoff__get_u32(&m->w)) {
	case HANDOFF__GATE_REFUSED:
		on_refused(gate, m);
		return 0;
	case HANDOFF__GATE_SLOT:
		return on_slot(gate, m);
	case HANDOFF__GATE_KEPT:
		return on_kept(gate, m);
	case HANDOFF__GATE_TABLE:
		return on_table(gate, m);
	case HANDOFF__GATE_OPENED:
		return on_opened(gate, m);
	case HANDOFF__GATE_HELD:
		return on_held(gate, m);
	case HANDOFF__GATE_RULED:
		return on_ruled(gate, m);
	case HANDOFF__GATE_COUNTS:
		return on_counts(gate, m);
	case HANDOFF__GATE_FAILED:
		return on_failed(gate, m);
	default:
		return -EBADMSG;
	}
}

/* 1 if a message was taken. */
static int
receive(struct handoff__gate *gate)
{
	struct handoff__note m;
	int err = handoff__note_receive(&m, gate->fd);

	if (err <= 0)
		return err;
	err = dispatch(gate, &m);
	handoff__note_close(&m);
	return err < 0 ? err : 1;
}

static void
on_helper(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__gate *gate = watch->arg;
	int err = 1;

	(void)events;
	for (int i = 0; i < AT_ONCE && err > 0 && gate->fd >= 0; i++)
		err = receive(gate);
	if (err >= 0 || gate->fd < 0)
		return;
	lose(gate, err,
		err == -ECONNRESET || err == -EPIPE
			? "handoff-unfreeze: it has ended"
			: "handoff-unfreeze: it sent what is no message");
}

/* Room for many batches, so that a call hardly ever waits. */
static void
make_room(int fd)
{
	int room = ROOM;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

static int
connect_or_start(struct handoff__gate *gate, struct handoff__error *error)
{
	const struct handoff__dir *dir = gate->opts.dir;
	int fd =
		handoff__dir_connect(dir, HANDOFF__GATE_SOCKET, SOCK_SEQPACKET);

	if (fd >= 0 && handoff__dir_allows(fd, dir->user) < 0) {
		close(fd);
		return handoff__fail(error, -EPERM,
			"gate: another user listens at %s/%s", dir->path,
			HANDOFF__GATE_SOCKET);
	}
	if (fd >= 0)
		return fd;
	return handoff__launch(
		gate->program, dir->path, dir->user, gate->opts.log_fd, error);
}

static void
start(struct handoff__gate *gate)
{
	struct handoff__error error = {""};
	int err, fd = connect_or_start(gate, &error);

	if (fd < 0) {
		lose(gate, fd, error.text);
		return;
	}
	make_room(fd);
	err = handoff__watch_add(gate->opts.loop, &gate->watch, fd, EPOLLIN);
	if (err < 0) {
		close(fd);
		lose(gate, err, strerror(-err));
		return;
	}
	gate->fd = fd;
	gate->stage = STAGE_OPENING;
	transmit_open(gate);
}

static void
on_timer(struct handoff__timer *timer)
{
	struct handoff__gate *gate = timer->arg;

	if (gate->told.broken)
		lose(gate, -EPIPE, "handoff-unfreeze: it does not answer");
	else if (gate->stage == STAGE_NONE)
		start(gate);
}

static int
check(const struct handoff__gate_opts *opts, struct handoff__error *error)
{
	if (!opts->loop || !opts->dir || !opts->ops || !opts->ops->held ||
		!opts->name || opts->queue > UINT16_MAX)
		return handoff__fail(
			error, -EINVAL, "gate: its options are incomplete");
	if (!handoff__name_ok(opts->name))
		return handoff__fail(error, -EINVAL,
			"gate: '%s' is no name of a service", opts->name);
	if (opts->naddresses == 0 || !opts->addresses ||
		opts->naddresses > HANDOFF__GATE_ADDRESSES)
		return handoff__fail(error, -EINVAL,
			"gate: %u addresses: there have to be 1 to %d",
			opts->naddresses, HANDOFF__GATE_ADDRESSES);
	return 0;
}

int
handoff__gate_open(struct handoff__gate **gate,
	const struct handoff__gate_opts *opts, struct handoff__error *error)
{
	struct handoff__gate *g;
	int err = check(opts, error);

	if (err < 0)
		return err;
	g = calloc(1, sizeof(*g));
	if (!g)
		return handoff__fail(error, -ENOMEM, "gate: no memory");
	g->opts = *opts;
	g->program = opts->program ? strdup(opts->program)
				   : handoff__launch_beside("handoff-unfreeze");
	if (!g->program) {
		free(g);
		return handoff__fail(error, -ENOMEM, "gate: no memory");
	}
	handoff__copy(g->name, sizeof(g->name), opts->name);
	memcpy(g->addresses, opts->addresses,
		opts->naddresses * sizeof(*opts->addresses));
	handoff__told_init(&g->told);
	g->fd = g->watch.fd = -1;
	g->watch.fn = on_helper;
	g->watch.arg = g;
	g->timer = (struct handoff__timer){.fn = on_timer, .arg = g};
	handoff__timer_arm(opts->loop, &g->timer, 0);
	*gate = g;
	return 0;
}

void
handoff__gate_free(struct handoff__gate *gate)
{
	if (!gate)
		return;
	handoff__timer_disarm(gate->opts.loop, &gate->timer);
	hang_up(gate);
	handoff__told_fini(&gate->told);
	free(gate->program);
	free(gate);
}

bool
handoff__gate_is_ready(const struct handoff__gate *gate)
{
	return gate->stage == STAGE_READY && !gate->told.broken;
}

bool
handoff__gate_is_ruled(const struct handoff__gate *gate)
{
	return gate->told.rule_on;
}

enum handoff__gate_verdict
handoff__gate_unknown(const struct handoff__gate *gate)
{
	return gate->told.unknown;
}

int
handoff__gate_arena(struct handoff__gate *gate, int segment_fd, uint64_t offset)
{
	if (offset % sizeof(uint64_t) != 0)
		return -EINVAL;
	return sent(gate, handoff__told_arena(&gate->told, segment_fd, offset));
}

int
handoff__gate_target(
	struct handoff__gate *gate, int ifindex, const uint8_t mac[6])
{
	if (ifindex <= 0)
		return -EINVAL;
	handoff__told_target(&gate->told, ifindex, mac);
	return sent(gate, 0);
}

int
handoff__gate_rule(struct handoff__gate *gate, bool on)
{
	handoff__told_rule(&gate->told, on);
	return sent(gate, 0);
}

int
handoff__gate_default(
	struct handoff__gate *gate, enum handoff__gate_verdict verdict)
{
	if (verdict > HANDOFF__GATE_FLIP)
		return -EINVAL;
	handoff__told_default(&gate->told, verdict);
	return sent(gate, 0);
}

int
handoff__gate_seek(struct handoff__gate *gate, bool on)
{
	handoff__told_seek(&gate->told, on);
	return sent(gate, 0);
}

bool
handoff__gate_is_seeking(const struct handoff__gate *gate)
{
	return gate->told.seeking;
}

bool
handoff__gate_flips(const struct handoff__gate *gate)
{
	for (int i = 0; i < HANDOFF__GATE_ROWS; i++) {
		const struct handoff__told_slot *s = &gate->told.slots[i];

		if (s->used && s->verdict == HANDOFF__GATE_FLIP)
			return true;
	}
	return gate->told.seeking;
}

int
handoff__gate_hold(struct handoff__gate *gate, uint32_t slot, uint64_t id,
	enum handoff__gate_direction direction,
	const struct handoff__flow *flows, const int *fds, uint32_t count)
{
	if (slot >= HANDOFF__GATE_SLOTS || count == 0 ||
		count > HANDOFF__GATE_FLOWS)
		return -EINVAL;
	return sent(gate, handoff__told_take(&gate->told, slot, id, direction,
				  flows, fds, count));
}

bool
handoff__gate_is_held(const struct handoff__gate *gate, uint32_t slot)
{
	return slot < HANDOFF__GATE_SLOTS && gate->told.slots[slot].used &&
	       gate->told.slots[slot].held && !gate->told.broken;
}

int
handoff__gate_images(struct handoff__gate *gate, uint32_t slot, int images)
{
	if (!handoff__told_slot(&gate->told, slot)) {
		close(images);
		return -ENOENT;
	}
	handoff__told_images(&gate->told, slot, images);
	return sent(gate, 0);
}

int
handoff__gate_release(struct handoff__gate *gate, uint32_t slot,
	const uint32_t *indices, uint32_t count)
{
	return sent(
		gate, handoff__told_release(&gate->told, slot, indices, count));
}

int
handoff__gate_pass(struct handoff__gate *gate, uint32_t slot)
{
	return sent(gate,
		handoff__told_end(&gate->told, slot, HANDOFF__GATE_LEAVE));
}

int
handoff__gate_flip(struct handoff__gate *gate, uint32_t slot)
{
	return sent(gate, handoff__told_flip(&gate->told, slot));
}

int
handoff__gate_settle(struct handoff__gate *gate, uint32_t slot)
{
	return sent(gate, handoff__told_settle(&gate->told, slot));
}

void
handoff__gate_unsettle(struct handoff__gate *gate)
{
	for (uint32_t i = HANDOFF__GATE_SLOTS; i < HANDOFF__GATE_ROWS; i++)
		handoff__told_end(&gate->told, i, HANDOFF__GATE_FORGET);
	sent(gate, 0);
}

int
handoff__gate_forget(struct handoff__gate *gate, uint32_t slot)
{
	return sent(gate,
		handoff__told_end(&gate->told, slot, HANDOFF__GATE_FORGET));
}

int
handoff__gate_count(struct handoff__gate *gate)
{
	if (!handoff__gate_is_ready(gate))
		return -ENOTCONN;
	handoff__told_number(&gate->told, HANDOFF__GATE_COUNT, 0);
	return sent(gate, 0);
}

void
handoff__gate_end(struct handoff__gate *gate)
{
	handoff__told_number(&gate->told, HANDOFF__GATE_END, 0);
	handoff__timer_disarm(gate->opts.loop, &gate->timer);
	hang_up(gate);
	gate->stage = STAGE_ENDED;
	handoff__told_fini(&gate->told);
	handoff__told_init(&gate->told);
}
