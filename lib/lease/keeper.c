/* SPDX-License-Identifier: MIT */
/*
 * Drives an engine with the state machine: one epoll descriptor with the
 * engine's behind it and a timer on CLOCK_BOOTTIME. It decides nothing: it
 * reads the clock, feeds the machine, and carries out its actions in their
 * order. What a hook asks for is noted, and done when the actions before it
 * are.
 */
#include "lease/keeper.h"

#include "base/loop.h"
#include "lease/opening.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MOST  64 /* in one dispatch */
#define SHORT_TTL_MS 10000
#define NS_PER_MS    1000000u

enum wish {
	WISH_EMPTIED = 0x1,
	WISH_PUBLISH = 0x2,
	WISH_RELEASE = 0x4,
};

struct handoff__keeper {
	struct handoff__lease lease;
	const struct handoff_lease_engine *engine;
	void *end;
	int epfd, timerfd, engine_fd;
	bool watched; /* the engine's descriptor */
	struct handoff__keeper_hooks hooks;
	void *arg;
	struct handoff__log log;
	char *address;
	struct handoff__lease_saved saved;
	uint64_t tend_due_ns;
	uint64_t out_due_ns; /* a missing connection is logged then, */
	bool out;            /* and was */
	unsigned wishes;
	bool busy; /* actions are being carried out */
	bool published;
	char error[HANDOFF_TEXT_MAX];
	unsigned char notice[HANDOFF_LEASE_NOTICE_MAX];
	size_t notice_len;
	uint64_t proofs, late, proof_ns; /* see the view */
};

static void
note_error(struct handoff__keeper *k, const char *text)
{
	if (strcmp(k->error, text) != 0)
		handoff__log(&k->log, HANDOFF_LOG_WARNING, "lease: %s", text);
	handoff__copy(k->error, sizeof(k->error), text);
}

/* The session as the engine has it now. */
static void
store(struct handoff__keeper *k)
{
	struct handoff__lease_saved *saved = &k->saved;
	int len =
		k->engine->save(k->end, saved->session, sizeof(saved->session));

	if (len > HANDOFF_LEASE_SESSION_MAX)
		len = -EMSGSIZE;
	if (len < 0)
		note_error(k, "the session cannot be saved: the lease ends "
			      "with this process");
	saved->session_len = len < 0 ? 0 : (uint32_t)len;
	handoff__lease_save(&k->lease, saved);
	if (k->hooks.store)
		k->hooks.store(k->arg, saved, k->lease.ttl_ns);
}

static void
validate(struct handoff__keeper *k)
{
	k->saved.valid_until_ns = k->lease.valid_until_ns;
	if (k->hooks.valid)
		k->hooks.valid(k->arg, k->saved.valid_until_ns);
}

static int
publish(struct handoff__keeper *k)
{
	return k->engine->publish(k->end, k->lease.publish.serial,
		k->lease.token, k->notice, k->notice_len);
}

static int
prove(struct handoff__keeper *k)
{
	k->proofs++;
	return k->engine->prove(k->end, k->lease.prove_serial, k->lease.token);
}

/* Makes one request; `*serial` is its own. */
static int
make_request(struct handoff__keeper *k, uint32_t action, uint64_t *serial)
{
	struct handoff__lease *l = &k->lease;

	switch (action) {
	case HANDOFF__LEASE_READ:
		*serial = l->read.serial;
		return k->engine->retained(k->end, *serial);
	case HANDOFF__LEASE_ACQUIRE:
		*serial = l->acquire.serial;
		return k->engine->acquire(
			k->end, *serial, handoff__lease_used(l));
	case HANDOFF__LEASE_PROVE:
		*serial = l->prove_serial;
		return prove(k);
	case HANDOFF__LEASE_PUBLISH:
		*serial = l->publish.serial;
		return publish(k);
	default:
		*serial = l->release.serial;
		return k->engine->release(k->end, *serial);
	}
}

static const char *
request_name(uint32_t action)
{
	switch (action) {
	case HANDOFF__LEASE_READ:
		return "read the notice";
	case HANDOFF__LEASE_ACQUIRE:
		return "acquire the lease";
	case HANDOFF__LEASE_PROVE:
		return "prove the lease";
	case HANDOFF__LEASE_PUBLISH:
		return "publish";
	default:
		return "release the lease";
	}
}

/* Further actions, if it could not be made. */
static uint32_t
ask_engine(struct handoff__keeper *k, uint32_t action)
{
	uint64_t serial;
	int err = make_request(k, action, &serial);
	struct handoff__error error;

	if (err >= 0)
		return 0;
	if (err != -EAGAIN) {
		handoff__fail(&error, err, "%s: cannot %s: %s", k->address,
			request_name(action), strerror(-err));
		note_error(k, error.text);
	}
	return handoff__lease_failed(&k->lease, handoff__boot_ns(), serial);
}

static void
tell(struct handoff__keeper *k, enum handoff__lease_action action)
{
	if (action == HANDOFF__LEASE_PUBLISHED)
		k->published = true;
	if (action == HANDOFF__LEASE_WON || action == HANDOFF__LEASE_RESET)
		k->published = false;
	if (k->hooks.act)
		k->hooks.act(k->arg, action);
}

static uint32_t
carry_out_one(struct handoff__keeper *k, uint32_t action)
{
	switch (action) {
	case HANDOFF__LEASE_STORE:
		store(k);
		return 0;
	case HANDOFF__LEASE_VALID:
		validate(k);
		return 0;
	case HANDOFF__LEASE_READ:
	case HANDOFF__LEASE_ACQUIRE:
	case HANDOFF__LEASE_PROVE:
	case HANDOFF__LEASE_PUBLISH:
	case HANDOFF__LEASE_RELEASE:
		return ask_engine(k, action);
	case HANDOFF__LEASE_COMPLAIN:
		handoff__log(
			&k->log, HANDOFF_LOG_ERROR, "%s", k->lease.complaint);
		handoff__copy(k->error, sizeof(k->error), k->lease.complaint);
		return 0;
	default:
		tell(k, (enum handoff__lease_action)action);
		return 0;
	}
}

static void
carry_out(struct handoff__keeper *k, uint32_t actions)
{
	k->busy = true;
	while (actions != 0) {
		uint32_t action = actions & -actions;

		actions &= ~action;
		actions |= carry_out_one(k, action);
	}
	k->busy = false;
}

/* Also the end of what was bad, at the same level. */
static void
log_state(struct handoff__keeper *k, enum handoff_lease_state before,
	bool was_frozen, uint64_t token)
{
	const struct handoff__lease *l = &k->lease;
	bool has = l->state == HANDOFF_LEASE_OWNER ||
		   l->state == HANDOFF_LEASE_DOUBT;
	bool warn = l->state == HANDOFF_LEASE_LOST ||
		    l->state == HANDOFF_LEASE_DOUBT ||
		    before == HANDOFF_LEASE_DOUBT;

	if (l->state == before && l->frozen == was_frozen)
		return;
	handoff__log(&k->log, warn ? HANDOFF_LOG_WARNING : HANDOFF_LOG_INFO,
		"lease: %s%s%s, token %llu", handoff_lease_state_name(l->state),
		l->frozen ? " and not valid: everything stands still" : "",
		has && !l->connected ? "; not connected to its engine" : "",
		(unsigned long long)(l->token != 0 ? l->token : token));
}

/* An engine that does not answer at all says nothing either. */
static void
watch_connection(struct handoff__keeper *k)
{
	uint64_t now = handoff__boot_ns();

	if (k->lease.connected && k->out)
		handoff__log(&k->log, HANDOFF_LOG_WARNING,
			"lease: %s: connected to its engine again", k->address);
	if (k->lease.connected || k->lease.state == HANDOFF_LEASE_FREE) {
		k->out = false;
		k->out_due_ns = HANDOFF__LEASE_NEVER;
	} else if (!k->out && k->out_due_ns == HANDOFF__LEASE_NEVER) {
		k->out_due_ns = now + k->lease.ttl_ns / 3;
	} else if (!k->out && now >= k->out_due_ns) {
		k->out = true;
		k->out_due_ns = HANDOFF__LEASE_NEVER;
		handoff__log(&k->log, HANDOFF_LOG_WARNING,
			"lease: %s: not connected to its engine for a third of "
			"the TTL: tried on",
			k->address);
	}
}

enum input {
	INPUT_EVENT,
	INPUT_TIME,
	INPUT_EMPTIED,
	INPUT_PUBLISH,
	INPUT_RELEASE
};

static uint32_t
feed(struct handoff__keeper *k, enum input input,
	const struct handoff_lease_event *event)
{
	uint64_t now = handoff__boot_ns();

	switch (input) {
	case INPUT_EVENT:
		return handoff__lease_event(&k->lease, now, event);
	case INPUT_EMPTIED:
		return handoff__lease_emptied(&k->lease, now);
	case INPUT_PUBLISH:
		return handoff__lease_publish(&k->lease, now);
	case INPUT_RELEASE:
		return handoff__lease_release(&k->lease, now);
	case INPUT_TIME:
		break;
	}
	return handoff__lease_time(&k->lease, now);
}

static void
step(struct handoff__keeper *k, enum input input,
	const struct handoff_lease_event *event)
{
	enum handoff_lease_state before = k->lease.state;
	bool was_frozen = k->lease.frozen;
	uint64_t token = k->lease.token;
	uint32_t actions = feed(k, input, event);

	log_state(k, before, was_frozen, token);
	carry_out(k, actions);
}

/* What hooks have asked for. */
static void
do_noted(struct handoff__keeper *k)
{
	while (k->wishes != 0) {
		unsigned wish = k->wishes & -k->wishes;

		k->wishes &= ~wish;
		step(k,
			wish == WISH_EMPTIED   ? INPUT_EMPTIED
			: wish == WISH_PUBLISH ? INPUT_PUBLISH
					       : INPUT_RELEASE,
			NULL);
	}
}

static uint64_t
due(const struct handoff__keeper *k)
{
	uint64_t at = handoff__lease_due(&k->lease);

	if (k->out_due_ns < at)
		at = k->out_due_ns;
	return at < k->tend_due_ns ? at : k->tend_due_ns;
}

/* An absolute time that has passed fires at once. */
static void
arm(struct handoff__keeper *k)
{
	uint64_t at = due(k);
	struct itimerspec spec = {.it_value.tv_nsec = 0};

	if (at != HANDOFF__LEASE_NEVER) {
		spec.it_value.tv_sec = (time_t)(at / 1000000000);
		spec.it_value.tv_nsec = (long)(at % 1000000000);
	}
	if (at == 0)
		spec.it_value.tv_nsec = 1;
	timerfd_settime(k->timerfd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void
note(struct handoff__keeper *k, unsigned wishes)
{
	k->wishes |= wishes;
	if (k->busy)
		return;
	do_noted(k);
	arm(k);
}

static void
time_proof(struct handoff__keeper *k, uint64_t serial)
{
	for (unsigned i = 0; i < HANDOFF__LEASE_PROOFS && serial != 0; i++) {
		const struct handoff__lease_proof *p = &k->lease.proofs[i];

		if (p->serial != serial)
			continue;
		k->proof_ns = handoff__boot_ns() - p->sent_ns;
		k->late += k->proof_ns > k->lease.ttl_ns / 3;
		return;
	}
}

/* What the engine says about more than the lease. */
static void
look_at(struct handoff__keeper *k, const struct handoff_lease_event *event)
{
	switch (event->kind) {
	case HANDOFF_LEASE_PROVEN:
		time_proof(k, event->serial);
		break;
	case HANDOFF_LEASE_RETAINED:
		if (k->hooks.retained && k->lease.read.wanted)
			handoff__lease_above(
				&k->lease, k->hooks.retained(k->arg,
						   event->data, event->len));
		break;
	case HANDOFF_LEASE_ERROR:
		note_error(k, event->text);
		break;
	case HANDOFF_LEASE_CONNECTED:
		k->error[0] = '\0';
		break;
	case HANDOFF_LEASE_MEMBERS:
		if (k->hooks.members)
			k->hooks.members(k->arg);
		break;
	default:
		break;
	}
}

static int
take_events(struct handoff__keeper *k)
{
	struct handoff_lease_event event;
	int rc = 0;

	for (int i = 0; i < EVENTS_MOST; i++) {
		memset(&event, 0, sizeof(event));
		rc = k->engine->next_event(k->end, &event);
		if (rc <= 0)
			break;
		k->busy = true;
		look_at(k, &event);
		k->busy = false;
		step(k, INPUT_EVENT, &event);
		do_noted(k);
	}
	return rc < 0 ? rc : 0;
}

/* An engine that fails is asked again by the timer only, so that the program
 * does not spin. */
static void
watch_engine(struct handoff__keeper *k, bool watch)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = k->engine_fd};

	if (watch == k->watched)
		return;
	if (epoll_ctl(k->epfd, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
		    k->engine_fd, &event) == 0)
		k->watched = watch;
}

static int
tend(struct handoff__keeper *k)
{
	uint64_t now = handoff__boot_ns();

	if (now < k->tend_due_ns)
		return 0;
	k->tend_due_ns = now + k->lease.ttl_ns / 6;
	return k->engine->tend ? k->engine->tend(k->end) : 0;
}

int
handoff__keeper_dispatch(struct handoff__keeper *k)
{
	struct handoff__error error;
	uint64_t ticks;
	int err;

	while (read(k->timerfd, &ticks, sizeof(ticks)) < 0 && errno == EINTR)
		;
	err = tend(k);
	if (err >= 0)
		err = take_events(k);
	if (err < 0) {
		handoff__fail(&error, err, "%s: the engine fails: %s",
			k->address, strerror(-err));
		note_error(k, error.text);
	}
	watch_engine(k, err >= 0);
	step(k, INPUT_TIME, NULL);
	do_noted(k);
	watch_connection(k);
	arm(k);
	return err < 0 ? err : 0;
}

static int
open_descriptors(struct handoff__keeper *k)
{
	struct epoll_event event = {.events = EPOLLIN};

	k->epfd = epoll_create1(EPOLL_CLOEXEC);
	k->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (k->epfd < 0 || k->timerfd < 0 ||
		epoll_ctl(k->epfd, EPOLL_CTL_ADD, k->timerfd, &event) < 0)
		return -errno;
	k->engine_fd = k->engine->fd(k->end);
	if (k->engine_fd < 0)
		return k->engine_fd;
	watch_engine(k, true);
	return k->watched ? 0 : -errno;
}

static void
start(struct handoff__keeper *k, const struct handoff__keeper_opts *o)
{
	uint32_t ttl_ms = handoff__opt_or(o->ttl_ms, HANDOFF_LEASE_TTL_MS);

	if (o->saved)
		k->saved = *o->saved;
	k->hooks = *o->hooks;
	k->arg = o->arg;
	k->log = o->log;
	if (ttl_ms < SHORT_TTL_MS)
		handoff__log(&k->log, HANDOFF_LOG_WARNING,
			"lease: a TTL of %u ms is shorter than what an engine "
			"needs to replace a server of its own: for tests only",
			ttl_ms);
	handoff__lease_init(&k->lease, ttl_ms);
	carry_out(k,
		handoff__lease_start(&k->lease, handoff__boot_ns(), o->saved));
	do_noted(k);
	k->tend_due_ns = k->engine->tend ? 0 : HANDOFF__LEASE_NEVER;
	k->out_due_ns = HANDOFF__LEASE_NEVER;
	watch_connection(k);
	arm(k);
}

int
handoff__keeper_open(struct handoff__keeper **out,
	const struct handoff__keeper_opts *o, struct handoff__error *error)
{
	struct handoff__keeper *k;
	int err = handoff__keeper_check(o, error);

	if (err < 0)
		return err;
	k = calloc(1, sizeof(*k));
	if (!k)
		return handoff__fail(error, -ENOMEM, "lease: out of memory");
	k->epfd = k->timerfd = -1;
	k->address = strdup(o->address);
	err = k->address
		      ? handoff__keeper_open_end(o, &k->engine, &k->end, error)
		      : handoff__fail(error, -ENOMEM, "lease: out of memory");
	if (err >= 0 && (err = open_descriptors(k)) < 0)
		handoff__fail(error, err, "lease: %s: epoll or timer: %s",
			o->address, strerror(-err));
	if (err < 0) {
		handoff__keeper_close(k);
		return err;
	}
	*out = k; /* for the hooks */
	start(k, o);
	return 0;
}

int
handoff__keeper_fd(const struct handoff__keeper *k)
{
	return k->epfd;
}

void
handoff__keeper_emptied(struct handoff__keeper *k)
{
	note(k, WISH_EMPTIED);
}

int
handoff__keeper_publish(struct handoff__keeper *k, const void *data, size_t len)
{
	if (len > sizeof(k->notice))
		return -EMSGSIZE;
	if (k->lease.state != HANDOFF_LEASE_OWNER &&
		k->lease.state != HANDOFF_LEASE_DOUBT)
		return -ENOLCK;
	memcpy(k->notice, data, len);
	k->notice_len = len;
	k->published = false;
	note(k, WISH_PUBLISH);
	return 0;
}

void
handoff__keeper_describe(struct handoff__keeper *k, const char *text)
{
	if (k->engine->describe)
		k->engine->describe(k->end, text);
}

void
handoff__keeper_release(struct handoff__keeper *k)
{
	note(k, WISH_RELEASE);
}

/* No epoll_ctl: in a child the registrations are the parent's. */
void
handoff__keeper_close(struct handoff__keeper *k)
{
	if (!k)
		return;
	if (k->engine)
		k->engine->close(k->end);
	if (k->epfd >= 0)
		close(k->epfd);
	if (k->timerfd >= 0)
		close(k->timerfd);
	free(k->address);
	explicit_bzero(&k->saved, sizeof(k->saved));
	free(k);
}

const struct handoff__lease *
handoff__keeper_lease(const struct handoff__keeper *k)
{
	return &k->lease;
}

const struct handoff__lease_saved *
handoff__keeper_saved(const struct handoff__keeper *k)
{
	return &k->saved;
}

void
handoff__keeper_view(
	struct handoff__keeper *k, struct handoff__keeper_view *view)
{
	const struct handoff__lease *l = &k->lease;
	uint64_t now = handoff__boot_ns();
	bool valid = handoff__lease_valid(l, now);

	*view = (struct handoff__keeper_view){
		.address = k->address,
		.state = l->state,
		.frozen = l->frozen,
		.connected = l->connected,
		.token = l->token,
		.valid_ns = valid ? l->valid_until_ns - now : 0,
		.ttl_ns = l->ttl_ns,
		.by = l->by,
		.engine = k->engine->state ? k->engine->state(k->end) : "",
		.error = k->error,
		.published = k->published,
		.proofs = k->proofs,
		.late = k->late,
		.proof_ns = k->proof_ns,
	};
}

int
handoff__keeper_member(struct handoff__keeper *k, size_t i,
	struct handoff_lease_member *member)
{
	return k->engine->member ? k->engine->member(k->end, i, member) : 0;
}

bool
handoff__keeper_may_begin(const struct handoff__keeper *k)
{
	return handoff__lease_may_begin(&k->lease, handoff__boot_ns());
}

bool
handoff__keeper_valid(const struct handoff__keeper *k)
{
	return handoff__lease_valid(&k->lease, handoff__boot_ns());
}
