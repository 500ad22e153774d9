/* SPDX-License-Identifier: MIT */
/*
 * Delivers an operator's lines to clients. Either peer appends them to the
 * bulletin and rings the other; each then runs a turn for its connections with
 * unread lines. A line is delivered whichever peer owns the connection by then:
 * the bulletin is checked again whenever ownership changes.
 */
#include "server/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#define PATIENCE_US 2000000   /* for clients that do not read */
#define LOCK_NS     100000000 /* a line is added within microseconds */

/* Serialises the writers of this peer: its threads and children, which share
 * this. A child may die while it holds the lock. */
struct handoff__say_shared {
	pthread_mutex_t lock;
	_Atomic bool said; /* by a handler: ring the other peer, and check */
};

static bool
is_live_connection(const struct handoff__record *rec)
{
	return atomic_load(&rec->owner) != 0 &&
	       rec->kind == HANDOFF__CONNECTION;
}

/* The next connection of the whole service, from that slot on. */
static bool
next_live(struct handoff_server *server, uint32_t *segment, uint32_t *slot,
	struct handoff__view *view)
{
	const struct handoff__arena *arena = &server->pair.arena;

	for (; *segment < arena->count; ++*segment, *slot = 0) {
		const struct handoff__segment *seg = arena->segments[*segment];

		while (*slot < seg->geo.slots) {
			handoff__view_make(view, seg, (*slot)++);
			if (is_live_connection(view->rec))
				return true;
		}
	}
	return false;
}

static bool
exists(struct handoff_server *server, uint64_t id)
{
	struct handoff__view view;
	uint32_t segment = 0, slot = 0;

	while (next_live(server, &segment, &slot, &view)) {
		if (handoff__record_id(view.rec) == id)
			return true;
	}
	return false;
}

/* The position up to which all connections have read; `*behind` counts those
 * with unread lines. */
static uint64_t
read_by_all(struct handoff_server *server, uint64_t head, uint32_t *behind)
{
	struct handoff__view view;
	uint32_t segment = 0, slot = 0;
	uint64_t least = head;

	*behind = 0;
	while (next_live(server, &segment, &slot, &view)) {
		uint64_t pos = handoff__record_line_pos(&view);

		*behind += pos < head;
		if (pos < least)
			least = pos;
	}
	return least;
}

static struct handoff__bulletin *
bulletin_of(struct handoff_server *server)
{
	const struct handoff__arena *arena = &server->pair.arena;

	return arena->count > 0 ? arena->segments[0]->bulletin : NULL;
}

/* Causes a turn of each connection of this peer with unread lines. */
static void
look_all(struct handoff_server *server, uint64_t head)
{
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(roster, e))) {
		struct handoff__member *member = handoff__member_of(e);

		if (!e->mine || e->kind != HANDOFF__CONNECTION ||
			handoff__record_line_pos(&e->view) >= head)
			continue;
		if (server->model->look)
			server->model->look(member);
		else
			handoff__member_kick(member);
	}
}

bool
handoff__says_pass(struct handoff_server *server)
{
	struct handoff__bulletin *b = bulletin_of(server);
	uint64_t head = b ? handoff__bulletin_head(b) : 0, least;
	uint32_t behind;

	if (!b || head == handoff__bulletin_read_by_all(b))
		return false;
	least = read_by_all(server, head, &behind);
	/* handlers cannot walk all the records */
	if (least > handoff__bulletin_read_by_all(b))
		handoff__bulletin_set_read_by_all(b, least);
	if (behind > 0)
		look_all(server, head);
	return behind > 0;
}

/* The bulletin is full of lines that some connections have not read. For a
 * moment the writer has to wait; after that, those connections lose lines. */
static int
crowd_out(struct handoff_server *server, struct handoff__bulletin *b,
	uint32_t behind)
{
	if (handoff__now_us() - handoff__bulletin_oldest_us(b) < PATIENCE_US)
		return handoff__fail(&server->error, -EAGAIN,
			"say: %u connection%s not taken the last lines yet: "
			"try again",
			behind, behind == 1 ? " has" : "s have");
	handoff__log(&server->log, HANDOFF_LOG_WARNING,
		"say: the oldest lines are dropped for %u connection%s not "
		"read",
		behind, behind == 1 ? " that does" : "s that do");
	return 0;
}

static int
say_lock(struct handoff_server *server, struct handoff__bulletin *b)
{
	struct timespec end;
	int err;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += LOCK_NS;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	err = pthread_mutex_timedlock(&server->say_shared->lock, &end);
	if (err != EOWNERDEAD)
		return err ? -EBUSY : 0;
	/* no reader sees its unfinished line */
	pthread_mutex_consistent(&server->say_shared->lock);
	handoff__bulletin_release(b, (uint32_t)server->pair.place);
	return 0;
}

static int
add_locked(struct handoff_server *server, uint64_t id, const char *text,
	size_t len)
{
	struct handoff__bulletin *b = bulletin_of(server);
	uint32_t place = (uint32_t)server->pair.place, behind;
	uint64_t keep;
	int err = handoff__bulletin_add(b, place, id, text, len,
		handoff__now_us(), handoff__bulletin_read_by_all(b));

	if (err == -ENOBUFS) {
		keep = read_by_all(server, handoff__bulletin_head(b), &behind);
		err = handoff__bulletin_add(
			b, place, id, text, len, handoff__now_us(), keep);
	}
	if (err == -ENOBUFS) {
		err = crowd_out(server, b, behind);
		if (err < 0)
			return err;
		err = handoff__bulletin_add(
			b, place, id, text, len, handoff__now_us(), UINT64_MAX);
	}
	if (err < 0)
		handoff__fail(&server->error, err,
			"say: the other peer holds the bulletin: try again");
	return err;
}

static int
add_line(struct handoff_server *server, uint64_t id, const char *text,
	size_t len)
{
	int err = say_lock(server, bulletin_of(server));

	if (err < 0)
		return handoff__fail(&server->error, err,
			"say: a process of this server holds the bulletin: try "
			"again");
	err = add_locked(server, id, text, len);
	pthread_mutex_unlock(&server->say_shared->lock);
	return err;
}

/* Called in a handler: touches only the bulletin. */
static int
add_within(struct handoff_server *server, uint64_t id, const char *text,
	size_t len)
{
	struct handoff__bulletin *b = atomic_load(&server->bulletin);
	uint32_t place = (uint32_t)server->pair.place;
	int64_t now = handoff__now_us();
	int err = b ? say_lock(server, b) : -ENOTCONN;

	if (err < 0)
		return err;
	err = handoff__bulletin_add(
		b, place, id, text, len, now, atomic_load(&b->read_by_all));
	if (err == -ENOBUFS)
		err = now - handoff__bulletin_oldest_us(b) < PATIENCE_US
			      ? -EAGAIN
			      : handoff__bulletin_add(b, place, id, text, len,
					now, UINT64_MAX);
	pthread_mutex_unlock(&server->say_shared->lock);
	return err;
}

/* Handlers have written lines: notifies the other peer and this one's
 * connections. */
static void
ring(void *arg)
{
	struct handoff_server *server = arg;

	if (!atomic_exchange(&server->say_shared->said, false))
		return;
	handoff__pair_say(&server->pair);
	if (handoff__says_pass(server))
		handoff__server_sweep_later(server);
}

static void
on_ring(struct handoff__timer *timer)
{
	ring(timer->arg);
}

static int
say_within(struct handoff_server *server, uint64_t id, const char *text,
	size_t len)
{
	int err = add_within(server, id, text, len);

	if (err < 0 && err != -EAGAIN)
		return err;
	atomic_store(&server->say_shared->said, true);
	if (handoff__within_loop(server))
		handoff__timer_arm(&server->loop, &server->ring, 0);
	else
		eventfd_write(server->returns.wake, 1);
	return err;
}

int
handoff__says_open(struct handoff_server *server)
{
	pthread_mutexattr_t attr;
	void *page = mmap(NULL, sizeof(*server->say_shared),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	server->say_shared = page;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&server->say_shared->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	server->ring.fn = on_ring;
	server->ring.arg = server->returns.arg = server;
	server->returns.rung = ring;
	return 0;
}

void
handoff__says_close(struct handoff_server *server)
{
	if (server->say_shared)
		munmap(server->say_shared, sizeof(*server->say_shared));
	server->say_shared = NULL;
}

void
handoff__says_at(
	struct handoff_server *server, struct handoff__bulletin *bulletin)
{
	atomic_store(&server->bulletin, bulletin);
}

int
handoff_server_say(struct handoff_server *server, uint64_t id, const char *text)
{
	char line[HANDOFF__LINE_MAX];
	bool within;
	size_t len;
	int err;

	if (!server || !text)
		return -EINVAL;
	len = strlen(text);
	within = handoff__within(server);
	if (len > HANDOFF_SAY_MAX || strchr(text, '\n'))
		return within ? -EINVAL
			      : handoff__fail(&server->error, -EINVAL,
					"say: want one line of at most %d bytes"
					"wanted",
					HANDOFF_SAY_MAX);
	memcpy(line, text, len);
	line[len] = '\n';
	if (within)
		return say_within(server, id, line, len + 1);
	if (!bulletin_of(server))
		return handoff__fail(&server->error, -ENOTCONN,
			"say: no peer serves yet: there is no connection");
	if (id != 0 && !exists(server, id))
		return handoff__fail(&server->error, -ENOENT,
			"say: there is no connection %llu",
			(unsigned long long)id);
	err = add_line(server, id, line, len + 1);
	if (err < 0)
		return err;
	handoff__pair_say(&server->pair);
	if (handoff__says_pass(server))
		handoff__server_sweep_later(server);
	return 0;
}
