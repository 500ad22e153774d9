/* SPDX-License-Identifier: MIT */
/*
 * Sessions that outlive their sockets, in the loop's thread. A connection whose
 * client asks for a session rests until the loop has found the session's
 * record, by the index of posts, and has it quiet and its own: then the session
 * moves to the record of that connection (merge.c), and the other one ends.
 * What lies in a session is lib/session's.
 */
#include "server/internal.h"

#include "server/arrivals.h"
#include "server/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_US  2000000 /* then BUSY */
#define RETRY_US  50000
#define ASK_US    200000 /* then the other peer is asked again */
#define READ_MOST 100

struct handoff__resume {
	TAILQ_ENTRY(handoff__resume) node;
	TAILQ_ENTRY(handoff__resume) ready_node;
	struct handoff__resume *next;   /* in its bucket */
	struct handoff__member *member; /* whose client asks */
	struct handoff__session_wish wish;
	int64_t end_us;
	int64_t asked_us; /* when the other peer was, 0: never */
	bool ready;
};

/* A record that has the session. */
struct place {
	struct handoff__view view;
	uint32_t segment, slot;
	struct handoff__roster_entry *entry; /* NULL: no descriptor here */
};

static struct handoff__resume **
bucket_of(struct handoff_server *server, uint64_t number)
{
	return &server->resumes.buckets[number % HANDOFF__RESUME_BUCKETS];
}

static uint32_t
flags_of(const struct handoff__member *member)
{
	return handoff__record_commit(member->entry.view.rec)->flags;
}

/* --- resting --- */

static void
begin_rest(struct handoff__member *member)
{
	if (member->server->model->withhold)
		member->server->model->withhold(member);
	else
		handoff__member_unkick(member);
	member->rests = member->active = true;
	handoff__member_park(member);
}

static void
drop_resume(struct handoff__resume *r)
{
	struct handoff_server *server = r->member->server;
	struct handoff__resume **at = bucket_of(server, r->wish.number);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->ready)
		TAILQ_REMOVE(&server->resumes.ready, r, ready_node);
	TAILQ_REMOVE(&server->resumes.list, r, node);
	free(r);
}

/* Of a member that rests: NULL if it is one of the absent. */
static struct handoff__resume *
find_resume(const struct handoff__member *member)
{
	struct handoff__resume *r;

	TAILQ_FOREACH (r, &member->server->resumes.list, node) {
		if (r->member == member)
			return r;
	}
	return NULL;
}

/* Its turns are the model's again, or nobody's. */
static void
end_rest(struct handoff__member *member)
{
	struct handoff__resume *r = find_resume(member);

	if (r)
		drop_resume(r);
	else
		handoff__absent_leave(member);
	member->rests = member->active = member->recalled = false;
}

static void
make_ready(struct handoff__resume *r)
{
	struct handoff_server *server = r->member->server;

	if (!r->ready)
		TAILQ_INSERT_TAIL(&server->resumes.ready, r, ready_node);
	r->ready = true;
	server->resumes.due = server->due = true;
}

/* --- answers --- */

/* The connection that has asked gets turns again, or one that was looked at,
 * if its socket is complete. */
static void
go_on(struct handoff__member *member)
{
	member->rests = member->active = member->recalled = false;
	if (handoff__member_has_worker(member))
		member->server->model->moved(member);
	if (handoff__entry_marked(&member->entry))
		handoff__arrivals_begin(member);
	else if (!handoff__suspects_add(member))
		handoff__member_kick(member);
}

/* The client hears why it does not get the session, and may ask again. */
static void
refuse(struct handoff__member *member, enum handoff__refusal why)
{
	struct handoff_server *server = member->server;
	const struct handoff__view *view = &member->entry.view;
	struct handoff_conn txn;

	server->resumes.refused[why]++;
	handoff__complain(
		member, "refused a session", handoff__refusal_text(why));
	handoff__txn_begin(&txn, view);
	txn.fd = member->entry.fd;
	handoff__record_touch(view->rec);
	txn.next->flags &= ~(uint32_t)HANDOFF__RESUMING;
	/* without room for the answer the connection ends */
	if (handoff__session_refuse(&txn, why) < 0)
		txn.next->flags |= HANDOFF__CLOSING | HANDOFF__OVER;
	handoff__txn_commit_state(&txn);
	go_on(member);
}

/* --- the move --- */

static void
move_session(struct handoff__resume *r, const struct place *from)
{
	struct handoff__member *to = r->member;
	struct handoff__member *old = handoff__member_of(from->entry);
	struct handoff_server *server = to->server;

	handoff__posts_move(&server->pair.arena, r->wish.number,
		to->entry.segment, to->entry.slot);
	server->resumes.resumed++;
	if (server->pair.config.trace)
		handoff__log(&server->log, HANDOFF_LOG_INFO,
			"session %llu: resumed by connection %llu, was that of "
			"connection %llu",
			(unsigned long long)r->wish.number,
			(unsigned long long)to->entry.id,
			(unsigned long long)old->entry.id);
	drop_resume(r);
	if (old->rests)
		handoff__absent_leave(old);
	old->rests = false;
	handoff__member_end(old, HANDOFF__END_CLIENT);
	go_on(to);
}

/* --- finding it --- */

static bool
has_session(const struct handoff__view *view, uint64_t number)
{
	return !handoff__older(view->seg) &&
	       handoff__record_id(view->rec) != 0 &&
	       view->rec->kind == HANDOFF__CONNECTION &&
	       handoff__record_session(view->rec) == number;
}

static bool
look_at(struct handoff_server *server, uint64_t number, uint32_t segment,
	uint32_t slot, struct place *p)
{
	const struct handoff__arena *arena = &server->pair.arena;

	if (!handoff__arena_record(arena, segment, slot))
		return false;
	handoff__view_make(&p->view, arena->segments[segment], slot);
	p->segment = segment;
	p->slot = slot;
	if (!has_session(&p->view, number))
		return false;
	p->entry = handoff__roster_find(&server->pair.roster, segment, slot,
		handoff__record_id(p->view.rec));
	return true;
}

/* The index may have had no room for it. */
static bool
search(struct handoff_server *server, uint64_t number, struct place *p)
{
	const struct handoff__arena *arena = &server->pair.arena;

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++) {
			if (look_at(server, number, i, s, p))
				return true;
		}
	}
	return false;
}

static bool
find_session(struct handoff_server *server, uint64_t number, struct place *p)
{
	struct handoff__post_ring *ring =
		atomic_load(&server->pair.arena.posts.ring);
	uint32_t segment, slot;

	if (!ring || number == 0)
		return false;
	if (handoff__posts_where(ring, number, &segment, &slot) &&
		look_at(server, number, segment, slot, p))
		return true;
	return atomic_load(&ring->boxless) && search(server, number, p);
}

/* Its owner may be in the midst of a transaction: the answer counts if nothing
 * was committed meanwhile. */
static int
check(const struct place *p, const struct handoff__session_wish *wish)
{
	int err = -EAGAIN;

	for (int i = 0; i < READ_MOST; i++) {
		uint32_t sequence = atomic_load_explicit(
			&p->view.rec->sequence, memory_order_acquire);

		err = handoff__session_check(&p->view, wish);
		atomic_thread_fence(memory_order_acquire);
		if (handoff__record_sequence(p->view.rec) == sequence)
			return err;
	}
	return -EAGAIN;
}

/* Whether it belongs to the loop; if not it is asked to come back. */
static bool
is_free(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	bool held = server->holding, quiet;

	if (member->entry.leaving || handoff__entry_parked(&member->entry) ||
		server->suspects.trying == member)
		return false;
	handoff__server_hold(server, true);
	quiet = server->model->quiesce(member);
	/* no turn begins when the workers go on */
	if (quiet && server->model->withhold)
		server->model->withhold(member);
	handoff__server_hold(server, held);
	return quiet;
}

/* If this process dies after the commit its survivor must have the descriptor,
 * as it had that of the session; a copy under way will arrive. */
static bool
is_safe(const struct handoff__member *to, const struct handoff__member *from)
{
	const struct handoff__pair *pair = &to->server->pair;

	return pair->partner != HANDOFF__PARTNER_READY ||
	       to->entry.copy != HANDOFF__COPY_NONE ||
	       from->entry.copy == HANDOFF__COPY_NONE;
}

/* Asks for the entry, with others that are wanted now. */
static void
flush_asked(struct handoff_server *server)
{
	struct handoff__resumes *resumes = &server->resumes;

	if (resumes->nasked > 0)
		handoff__pair_take_list(
			&server->pair, resumes->asked, resumes->nasked);
	resumes->nasked = 0;
}

/* Whether the other peer, if there is one, can be asked for single entries. */
static bool
can_ask(const struct handoff_server *server)
{
	const struct handoff__pair *pair = &server->pair;

	return pair->partner != HANDOFF__PARTNER_READY ||
	       pair->other.version_max >= HANDOFF__PROTOCOL_LISTS;
}

/* Its handler may run for long: it comes by itself when that returns. */
static void
ask_for(struct handoff__resume *r, struct handoff__roster_entry *e)
{
	struct handoff_server *server = r->member->server;
	struct handoff__resumes *resumes = &server->resumes;
	int64_t now = handoff__now_us();

	if (r->asked_us > 0 && now - r->asked_us < ASK_US)
		return;
	r->asked_us = now;
	resumes->asked[resumes->nasked++] = e;
	if (resumes->nasked == HANDOFF_FDPASS_MAX)
		flush_asked(server);
}

/* The session is with this peer. 0: it has moved, -EAGAIN, or another error. */
static int
fetch_own(struct handoff__resume *r, const struct place *p)
{
	struct handoff_server *server = r->member->server;
	struct handoff__member *old = handoff__member_of(p->entry);
	int err;

	if (!is_safe(r->member, old) || handoff__absent_barred(server) ||
		!is_free(old))
		return -EAGAIN;
	/* what a turn has done before it became quiet counts */
	err = check(p, &r->wish);
	if (err == 0)
		err = handoff__merge(&server->pair.arena,
			(uint32_t)server->pair.place, &r->member->entry,
			p->entry, &r->wish);
	if (err == 0)
		move_session(r, p);
	else if (!old->rests && !old->suspect &&
		 handoff__member_has_worker(old))
		go_on(old);
	return err;
}

/* A ferry has the service: what it has taken away, or brings, may be on the
 * other host. */
static bool
is_on_the_move(const struct handoff_server *server)
{
	const struct handoff__pair *pair = &server->pair;

	return !pair->serving && pair->other.carrier &&
	       pair->partner == HANDOFF__PARTNER_READY;
}

/* 0: done; -EAGAIN: not now; -ENOENT: there is no such session; -EACCES: the
 * token is not its; -ERANGE; -EOPNOTSUPP: never from that peer. */
static int
fetch(struct handoff__resume *r)
{
	struct handoff_server *server = r->member->server;
	struct place p;
	int err;

	if (!find_session(server, r->wish.number, &p))
		return is_on_the_move(server) ? -EAGAIN : -ENOENT;
	err = check(&p, &r->wish);
	if (err < 0)
		return err == -ENOENT ? -EACCES : err;
	if (p.entry && p.entry->mine)
		return fetch_own(r, &p);
	if (!can_ask(server))
		return -EOPNOTSUPP;
	/* a ferry gives what comes home by itself */
	if (p.entry && !server->pair.other.carrier)
		ask_for(r, p.entry);
	return -EAGAIN;
}

static enum handoff__refusal
refusal_of(int err)
{
	switch (err) {
	case -ENOENT:
	case -EACCES:
	case -EBADMSG:
		return HANDOFF__REFUSED_UNKNOWN;
	case -ERANGE:
		return HANDOFF__REFUSED_POSITION;
	default:
		return HANDOFF__REFUSED_BUSY;
	}
}

/* Looks at it once. False: it waits. */
static bool
proceed(struct handoff__resume *r)
{
	struct handoff__member *member = r->member;
	struct handoff_server *server = member->server;
	bool late = handoff__now_us() >= r->end_us;
	int err = fetch(r);

	if (err == 0)
		return true;
	if ((err == -EAGAIN || err == -ENOBUFS) && !late)
		return false;
	if (handoff__absent_barred(server))
		return false;
	if (err == -EACCES)
		handoff__session_guessed(
			server->opts.service, &member->entry.view);
	drop_resume(r);
	refuse(member, refusal_of(err));
	return true;
}

/* --- from above --- */

static void
begin_resume(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	const struct handoff__view *view = &member->entry.view;
	struct handoff__resume **bucket, *r;

	if (!handoff__session_admit(server->opts.service, view)) {
		refuse(member, HANDOFF__REFUSED_LIMIT);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r || !handoff__session_wish(view, &r->wish)) {
		refuse(member,
			r ? HANDOFF__REFUSED_UNKNOWN : HANDOFF__REFUSED_BUSY);
		free(r);
		return;
	}
	r->member = member;
	r->end_us = handoff__now_us() + LIMIT_US;
	bucket = bucket_of(server, r->wish.number);
	r->next = *bucket;
	*bucket = r;
	TAILQ_INSERT_TAIL(&server->resumes.list, r, node);
	make_ready(r);
	if (!server->resumes.timer.armed)
		handoff__timer_arm(
			&server->loop, &server->resumes.timer, RETRY_US);
}

static void
become_absent(struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	struct handoff_server *server = member->server;

	handoff__absent_enter(member);
	handoff__limits_leave(&server->limits, member->counted);
	member->counted = 0;
	if (result->why && server->pair.config.trace)
		handoff__log(&server->log, HANDOFF_LOG_INFO,
			"connection %llu: its session waits for another one: "
			"%s%s%s",
			(unsigned long long)member->entry.id, result->why,
			result->err ? ": " : "",
			result->err ? strerror(result->err) : "");
	handoff__server_sweep_later(server);
	if (server->full)
		handoff__listen_later(server);
}

bool
handoff__resume_parked(struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	uint32_t flags = flags_of(member);

	if (!(flags & HANDOFF__RESUMING) && !handoff__flags_absent(flags))
		return false;
	handoff__suspects_tried(member);
	if (flags & HANDOFF__CLOSING) {
		/* by a stop, since that turn: the next one ends it */
		handoff__member_kick(member);
		return true;
	}
	begin_rest(member);
	if (flags & HANDOFF__RESUMING)
		begin_resume(member);
	else
		become_absent(member, result);
	return true;
}

/* Those that wait for this session are to be looked at. */
static void
wake_waiting(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	uint64_t number = handoff__record_session(member->entry.view.rec);
	struct handoff__resume *r;

	for (r = *bucket_of(server, number); number > 0 && r; r = r->next) {
		if (r->wish.number == number)
			make_ready(r);
	}
}

bool
handoff__resume_back(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	uint64_t id = member->entry.id, number;
	struct handoff__resume *r;

	if (TAILQ_EMPTY(&server->resumes.list) || !member->entry.mine)
		return false;
	number = handoff__record_session(member->entry.view.rec);
	for (r = *bucket_of(server, number); number > 0 && r; r = r->next) {
		if (r->wish.number == number)
			break;
	}
	if (number == 0 || !r)
		return false;
	/* at once: it may be in a turn again when the iteration is over */
	return proceed(r) && (member->entry.fd < 0 || member->entry.id != id);
}

void
handoff__resume_arrived(struct handoff__member *member)
{
	if (!TAILQ_EMPTY(&member->server->resumes.list) &&
		member->entry.kind == HANDOFF__CONNECTION)
		wake_waiting(member);
}

void
handoff__resume_forget(struct handoff__member *member)
{
	if (member->rests)
		end_rest(member);
}

void
handoff__resume_release(struct handoff__member *member)
{
	if (!member->rests)
		return;
	end_rest(member);
	if (handoff__member_has_worker(member))
		member->server->model->moved(member);
}

void
handoff__resume_release_all(struct handoff_server *server)
{
	struct handoff__resumes *resumes = &server->resumes;
	struct handoff__resume *r;
	struct handoff__member *member;

	while ((r = TAILQ_FIRST(&resumes->list))) {
		member = r->member;
		handoff__resume_release(member);
		handoff__member_kick(member);
	}
	while ((member = TAILQ_FIRST(&resumes->absents))) {
		handoff__resume_release(member);
		handoff__member_kick(member);
	}
}

void
handoff__resume_proceed(struct handoff_server *server)
{
	struct handoff__resumes *resumes = &server->resumes;
	struct handoff__resume *r;

	resumes->due = false;
	while ((r = TAILQ_FIRST(&resumes->ready))) {
		TAILQ_REMOVE(&resumes->ready, r, ready_node);
		r->ready = false;
		proceed(r);
	}
	flush_asked(server);
	handoff__absent_bound(server);
}

static void
on_retry(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__resume *r;

	if (handoff__absent_lost(server))
		handoff__resume_release_all(server);
	TAILQ_FOREACH (r, &server->resumes.list, node)
		make_ready(r);
	if (!TAILQ_EMPTY(&server->resumes.list))
		handoff__timer_arm(&server->loop, timer, RETRY_US);
}

void
handoff__resume_init(struct handoff_server *server)
{
	struct handoff__resumes *resumes = &server->resumes;

	TAILQ_INIT(&resumes->list);
	TAILQ_INIT(&resumes->ready);
	TAILQ_INIT(&resumes->absents);
	resumes->timer = (struct handoff__timer){.fn = on_retry, .arg = server};
}

void
handoff__resume_close(struct handoff_server *server)
{
	struct handoff__resume *r;

	while ((r = TAILQ_FIRST(&server->resumes.list)))
		drop_resume(r);
}
