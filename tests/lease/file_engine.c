/* SPDX-License-Identifier: MIT */
/*
 * The test engine on a file. What a server of an engine would do is done here
 * under a lock: sessions end by the clock when anybody looks. An end looks
 * every 5 ms, pings for its session, and queues answers with their time.
 */
#include "lease/file_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAGIC     UINT64_C(0x6c65617365206631)
#define PERIOD_NS 5000000
#define QUEUE     128

struct queued {
	uint64_t due_ns;
	struct handoff_lease_event event;
};

struct end {
	struct file_board *board;
	struct file_host *host;
	int fd;      /* of the timer */
	uint64_t id; /* of this end */
	uint64_t session, secret, ttl_ns;
	bool connected;
	uint64_t heard_ns; /* an answer came last */
	uint64_t changes;  /* of the board, that were told */
	uint64_t asked_ms;
	char text[HANDOFF_TEXT_MAX];
	struct queued queue[QUEUE];
	unsigned len;
	unsigned char notice[HANDOFF_LEASE_NOTICE_MAX];
};

/* What is saved. */
struct ticket {
	uint64_t session, secret;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
lapse(struct file_board *b, struct file_host *h)
{
	if (b->holder == h->session)
		b->holder = 0;
	h->session = 0;
	b->changes++;
}

/* A host begins a new session: the one before it lives until its time is over,
 * and keeps the lease until then. */
static void
forget(struct file_board *b, struct file_host *h)
{
	if (b->holder == h->session)
		b->ghost_until_ns = h->heard_ns + h->ttl_ns;
	h->session = 0;
	b->changes++;
}

static void
lay_ghost(struct file_board *b)
{
	if (b->ghost_until_ns == 0 || now_ns() < b->ghost_until_ns)
		return;
	b->holder = b->ghost_until_ns = 0;
	b->changes++;
}

/* Locks, and ends the sessions whose time is over. */
static void
enter(struct file_board *b)
{
	if (pthread_mutex_lock(&b->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&b->lock);
	if (b->down_ns == 0)
		lay_ghost(b);
	for (int i = 0; i < FILE_ENGINE_HOSTS && b->down_ns == 0; i++) {
		struct file_host *h = &b->hosts[i];

		if (h->session != 0 && now_ns() >= h->heard_ns + h->ttl_ns)
			lapse(b, h);
	}
}

static void
leave(struct file_board *b)
{
	pthread_mutex_unlock(&b->lock);
}

static void
init(struct file_board *b)
{
	pthread_mutexattr_t attr;

	if (b->magic == MAGIC)
		return;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&b->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	b->magic = MAGIC;
}

struct file_board *
file_board_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct file_board *b = MAP_FAILED;

	if (fd >= 0 && flock(fd, LOCK_EX) == 0 &&
		ftruncate(fd, sizeof(*b)) == 0)
		b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0);
	if (b != MAP_FAILED)
		init(b);
	if (fd >= 0) {
		flock(fd, LOCK_UN); /* the mapping keeps the file open */
		close(fd);
	}
	return b == MAP_FAILED ? NULL : b;
}

void
file_board_close(struct file_board *board)
{
	if (board)
		munmap(board, sizeof(*board));
}

static struct file_host *
find_host(struct file_board *b, const char *name)
{
	for (int i = 0; i < FILE_ENGINE_HOSTS; i++) {
		struct file_host *h = &b->hosts[i];

		if (h->name[0] == '\0')
			snprintf(h->name, sizeof(h->name), "%s", name);
		if (strcmp(h->name, name) == 0)
			return h;
	}
	return NULL;
}

struct file_host *
file_board_host(struct file_board *board, const char *name)
{
	struct file_host *h;

	enter(board);
	h = find_host(board, name);
	leave(board);
	return h;
}

void
file_board_expire(struct file_board *board, const char *name)
{
	struct file_host *h;

	enter(board);
	h = find_host(board, name);
	if (h && h->session != 0)
		lapse(board, h);
	leave(board);
}

void
file_board_down(struct file_board *board, bool down)
{
	enter(board);
	for (int i = 0; i < FILE_ENGINE_HOSTS && board->down_ns != 0 && !down;
		i++)
		board->hosts[i].heard_ns = now_ns();
	board->down_ns = down ? now_ns() : 0;
	leave(board);
}

static struct file_host *
holder_of(struct file_board *b)
{
	for (int i = 0; i < FILE_ENGINE_HOSTS && b->holder != 0; i++) {
		if (b->hosts[i].session == b->holder)
			return &b->hosts[i];
	}
	return NULL;
}

const char *
file_board_owner(struct file_board *board)
{
	static char name[HANDOFF_NAME_MAX];
	struct file_host *h;

	enter(board);
	h = holder_of(board);
	snprintf(name, sizeof(name), "%s", h ? h->name : "");
	leave(board);
	return name;
}

/* The timer fires at once, and then every PERIOD_NS. */
static void
wake(struct end *e)
{
	const struct itimerspec spec = {
		.it_value.tv_nsec = 1, .it_interval.tv_nsec = PERIOD_NS};

	timerfd_settime(e->fd, 0, &spec, NULL);
}

static struct handoff_lease_event *
say(struct end *e, enum handoff_lease_event_kind kind, uint64_t serial)
{
	uint64_t delay_ns = atomic_load(&e->host->delay_ms) * UINT64_C(1000000);
	struct queued *q = &e->queue[e->len];
	static struct handoff_lease_event lost;

	if (serial != 0 && atomic_load(&e->host->mute))
		return &lost;
	if (e->len == QUEUE)
		abort(); /* nobody reads */
	e->len++;
	memset(q, 0, sizeof(*q));
	q->due_ns = serial == 0 ? 0 : now_ns() + delay_ns;
	q->event.kind = kind;
	q->event.serial = serial;
	if (delay_ns == 0 || serial == 0)
		wake(e);
	return &q->event;
}

/* Locks the board for a request that gets through: false if none does. */
static bool
reach(struct end *e)
{
	struct file_board *b = e->board;

	if (atomic_load(&e->host->cut))
		return false;
	enter(b);
	if (b->down_ns != 0 || e->host->end != e->id) {
		leave(b);
		return false;
	}
	if (e->host->session == e->session)
		e->host->heard_ns = now_ns();
	return true;
}

/* Its holder, as far as the board says. */
static void
tell_holder(struct end *e, uint64_t serial)
{
	struct file_host *holder = holder_of(e->board);
	struct handoff_lease_event *event;

	e->changes = e->board->changes;
	if (e->board->holder == 0) {
		say(e, HANDOFF_LEASE_VACANT, 0);
		return;
	}
	event = say(e,
		holder == e->host ? HANDOFF_LEASE_ACQUIRED
				  : HANDOFF_LEASE_TAKEN,
		serial);
	event->token = e->board->token;
	snprintf(
		event->by, sizeof(event->by), "%s", holder ? holder->name : "");
}

static void
begin_session(struct end *e)
{
	struct file_host *h = e->host;
	uint32_t most_ms = atomic_load(&h->grants_ms);
	uint64_t ms =
		most_ms != 0 && most_ms < e->asked_ms ? most_ms : e->asked_ms;

	if (h->session != 0 && h->session != e->session)
		forget(e->board, h);
	if (h->session == 0) {
		e->session = h->session = ++e->board->last;
		e->secret = h->secret = now_ns();
		e->board->changes++;
	}
	e->ttl_ns = h->ttl_ns = ms * 1000000;
	h->heard_ns = now_ns();
	snprintf(h->text, sizeof(h->text), "%s", e->text);
	h->attaches++;
}

static bool
session_is_there(const struct end *e)
{
	return e->session != 0 && e->host->session == e->session &&
	       e->host->secret == e->secret;
}

static void
connect_end(struct end *e)
{
	if (atomic_load(&e->host->cut))
		return;
	enter(e->board);
	if (e->board->down_ns != 0 || e->host->end > e->id) {
		leave(e->board); /* or its session has moved to another end */
		return;
	}
	e->host->end = e->id;
	if (e->session != 0 && !session_is_there(e)) {
		say(e, HANDOFF_LEASE_EXPIRED, 0);
		e->session = 0;
	}
	begin_session(e);
	e->connected = true;
	e->heard_ns = now_ns();
	say(e, HANDOFF_LEASE_CONNECTED, 0)->ttl_ms =
		(uint32_t)(e->ttl_ns / 1000000);
	tell_holder(e, 0);
	say(e, HANDOFF_LEASE_MEMBERS, 0);
	leave(e->board);
}

/* Answers that are under way are lost with the connection. */
static void
suspend(struct end *e)
{
	e->len = 0;
	e->connected = false;
	say(e, HANDOFF_LEASE_SUSPENDED, 0);
}

static void
look(struct end *e)
{
	if (!e->connected) {
		connect_end(e);
		return;
	}
	if (!reach(e)) {
		if (now_ns() - e->heard_ns > e->ttl_ns / 3)
			suspend(e);
		return;
	}
	e->heard_ns = now_ns();
	if (!session_is_there(e)) {
		e->len = 0;
		e->connected = false;
		say(e, HANDOFF_LEASE_EXPIRED, 0);
		e->session = 0;
	} else if (e->changes != e->board->changes) {
		tell_holder(e, 0);
		say(e, HANDOFF_LEASE_MEMBERS, 0);
	}
	leave(e->board);
}

static int
end_open(void **out, const char *rest, const struct handoff_lease_side *side,
	char *errbuf, size_t errbuf_size)
{
	struct end *e = calloc(1, sizeof(*e));
	struct ticket ticket = {0, 0};

	if (!e || !(e->board = file_board_open(rest))) {
		snprintf(errbuf, errbuf_size, "file:%s: cannot map it: %s",
			rest, strerror(errno));
		free(e);
		return -errno;
	}
	if (side->session_len == sizeof(ticket))
		memcpy(&ticket, side->session, sizeof(ticket));
	e->session = ticket.session;
	e->secret = ticket.secret;
	e->asked_ms = side->ttl_ms;
	e->ttl_ns = side->ttl_ms * UINT64_C(1000000);
	snprintf(e->text, sizeof(e->text), "%s", side->text);
	e->host = file_board_host(e->board, side->host);
	enter(e->board);
	e->id = ++e->board->last;
	leave(e->board);
	e->fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	wake(e);
	*out = e;
	return 0;
}

static int
end_fd(void *end)
{
	return ((struct end *)end)->fd;
}

static int
end_next_event(void *end, struct handoff_lease_event *event)
{
	struct end *e = end;
	uint64_t ticks, now = now_ns();

	if (read(e->fd, &ticks, sizeof(ticks)) > 0)
		look(e);
	for (unsigned i = 0; i < e->len; i++) {
		if (e->queue[i].due_ns > now)
			continue;
		*event = e->queue[i].event;
		e->len--;
		memmove(&e->queue[i], &e->queue[i + 1],
			(e->len - i) * sizeof(e->queue[0]));
		return 1;
	}
	return 0;
}

/* Whether this call fails, as a switch says. */
static bool
fails(struct end *e)
{
	uint32_t left = atomic_load(&e->host->refuse);

	if (left == 0 || !e->connected)
		return left != 0;
	atomic_fetch_sub(&e->host->refuse, 1);
	return true;
}

static int
end_acquire(void *end, uint64_t serial, uint64_t above)
{
	struct end *e = end;
	struct file_board *b = e->board;

	if (fails(e))
		return -ENOBUFS;
	if (!reach(e))
		return 0;
	e->host->acquires++;
	if (b->holder == 0 && session_is_there(e)) {
		b->holder = e->session;
		b->token = (b->token > above ? b->token : above) + 1;
		b->changes++;
	}
	if (b->holder != 0)
		tell_holder(e, serial);
	leave(b);
	return 0;
}

static bool
is_holder(const struct end *e, uint64_t token)
{
	return session_is_there(e) && e->board->holder == e->session &&
	       e->board->token == token;
}

static int
end_prove(void *end, uint64_t serial, uint64_t token)
{
	struct end *e = end;

	if (fails(e))
		return -ENOBUFS;
	if (!reach(e))
		return 0;
	e->host->proves++;
	say(e,
		is_holder(e, token) ? HANDOFF_LEASE_PROVEN
				    : HANDOFF_LEASE_REFUSED,
		serial);
	leave(e->board);
	return 0;
}

static int
end_publish(void *end, uint64_t serial, uint64_t token, const void *data,
	size_t len)
{
	struct end *e = end;
	struct file_board *b = e->board;
	bool granted;

	if (fails(e))
		return -ENOBUFS;
	if (!reach(e))
		return 0;
	e->host->publishes++;
	granted = is_holder(e, token);
	if (granted) {
		memcpy(b->notice, data, len);
		b->notice_len = (uint32_t)len;
		b->notices++;
	}
	say(e, granted ? HANDOFF_LEASE_PUBLISHED : HANDOFF_LEASE_REFUSED,
		serial);
	leave(b);
	return 0;
}

static int
end_retained(void *end, uint64_t serial)
{
	struct end *e = end;
	struct handoff_lease_event *event;

	if (fails(e))
		return -ENOBUFS;
	if (!reach(e))
		return 0;
	event = say(e, HANDOFF_LEASE_RETAINED, serial);
	memcpy(e->notice, e->board->notice, e->board->notice_len);
	event->data = e->notice;
	event->len = e->board->notice_len;
	leave(e->board);
	return 0;
}

static int
end_save(void *end, void *session, size_t size)
{
	struct end *e = end;
	struct ticket ticket = {e->session, e->secret};

	if (e->session == 0)
		return 0;
	if (size < sizeof(ticket))
		return -EMSGSIZE;
	memcpy(session, &ticket, sizeof(ticket));
	return sizeof(ticket);
}

static int
end_release(void *end, uint64_t serial)
{
	struct end *e = end;

	if (fails(e))
		return -ENOBUFS;
	if (!reach(e))
		return 0;
	if (e->board->holder == e->session) {
		e->board->holder = 0;
		e->board->changes++;
	}
	say(e, HANDOFF_LEASE_RELEASED, serial);
	leave(e->board);
	return 0;
}

static void
end_close(void *end)
{
	struct end *e = end;

	close(e->fd);
	file_board_close(e->board);
	free(e);
}

static int
end_describe(void *end, const char *text)
{
	struct end *e = end;

	snprintf(e->text, sizeof(e->text), "%s", text);
	if (!reach(e))
		return 0;
	snprintf(e->host->text, sizeof(e->host->text), "%s", text);
	e->board->changes++;
	leave(e->board);
	return 0;
}

static int
end_member(void *end, size_t i, struct handoff_lease_member *member)
{
	struct end *e = end;
	size_t at = 0;
	int found = 0;

	enter(e->board);
	for (int n = 0; n < FILE_ENGINE_HOSTS && !found; n++) {
		const struct file_host *h = &e->board->hosts[n];

		if (h->session == 0 || at++ != i)
			continue;
		memset(member, 0, sizeof(*member));
		memcpy(member->host, h->name, sizeof(member->host));
		memcpy(member->text, h->text, sizeof(member->text));
		member->owner = e->board->holder == h->session;
		found = 1;
	}
	leave(e->board);
	return found;
}

static const char *
end_state(void *end)
{
	return ((struct end *)end)->connected ? "connected to its file" : "";
}

void
file_engine_add(void)
{
	const struct handoff_lease_engine engine = {
		.size = sizeof(engine),
		.prefix = "file:",
		.form = "file:PATH",
		.open = end_open,
		.fd = end_fd,
		.next_event = end_next_event,
		.acquire = end_acquire,
		.prove = end_prove,
		.publish = end_publish,
		.retained = end_retained,
		.save = end_save,
		.release = end_release,
		.close = end_close,
		.describe = end_describe,
		.member = end_member,
		.state = end_state,
	};
	int err = handoff_lease_engine_add(&engine, NULL, 0);

	if (err < 0 && err != -EEXIST)
		abort();
}
