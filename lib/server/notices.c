/* SPDX-License-Identifier: MIT */
/*
 * This server's notices to its clients. They are sent to a few subscribers at a
 * time, so that connections never wait for all of them.
 */
#include "server/internal.h"

#include <string.h>
#include <sys/epoll.h>

#define STEP_MOST  16
#define RETRY_US   100000 /* doubled each time */
#define TRIES      6
#define LAST_TRIES 3 /* immediate retries at the end of a stop, which waits */
#define LAST_US    1000000 /* this long for what is sent elsewhere */
#define WAITED     3       /* seconds until a log line says so */
/* a client that comes this long after the spread still gets READY */
#define LATE_MS 5000

static void
tend(struct handoff_server *server)
{
	handoff__publisher_tend(&server->publisher);
	server->publishing_blocked = false;
	server->due = server->due || server->publishing;
}

static void
on_transport(struct handoff__watch *watch, uint32_t events)
{
	struct handoff_server *server = watch->arg;

	(void)events;
	tend(server);
}

static int
watch_transports(struct handoff_server *server)
{
	struct handoff__publisher *pub = &server->publisher;
	int err = 0;

	for (size_t i = 0; i < pub->noutlets && err >= 0; i++) {
		int fd = pub->outlets[i].transport->fd(pub->outlets[i].end);

		server->notice_watches[i].fn = on_transport;
		server->notice_watches[i].arg = server;
		if (fd >= 0)
			err = handoff__watch_add(&server->loop,
				&server->notice_watches[i], fd, EPOLLIN);
	}
	return err < 0 ? handoff__fail(&server->error, err,
				 "notices: epoll_ctl: %s", strerror(-err))
		       : 0;
}

int
handoff__notices_open(struct handoff_server *server)
{
	const struct handoff_server_opts *o = &server->opts;
	int err;

	for (size_t i = 0; i < HANDOFF__NOTICES_MAX; i++)
		server->notice_watches[i].fd = -1;
	err = handoff__publisher_open(&server->publisher, &server->pair.dir,
		o->notices, o->nnotices, o->user, &server->error);
	return err < 0 ? err : watch_transports(server);
}

void
handoff__notices_close(struct handoff_server *server)
{
	for (size_t i = 0; i < server->publisher.noutlets; i++) {
		if (server->notice_watches[i].fd >= 0)
			handoff__watch_del(
				&server->loop, &server->notice_watches[i]);
	}
	handoff__publisher_close(&server->publisher);
}

static void
collect_endpoints(struct handoff_server *server, struct handoff_notice *notice)
{
	struct handoff__member *member;

	TAILQ_FOREACH (member, &server->listeners, node) {
		if (notice->nendpoints < HANDOFF_NOTICE_ENDPOINTS &&
			handoff__listen_name(
				member, notice->endpoints[notice->nendpoints]))
			notice->nendpoints++;
	}
}

/* Whether something is retained that clients would take for newer: another host
 * has had the service meanwhile, and has counted for itself. With a lease its
 * token comes first, which a host that has lost it must not exceed. */
static bool
is_outdated(struct handoff_server *server, const struct handoff_notice *notice,
	struct handoff_notice *last)
{
	return !server->lease &&
	       handoff__publisher_retained(&server->publisher, 0, last) > 0 &&
	       !handoff__notice_newer(notice, last);
}

static void
number(struct handoff_server *server, struct handoff_notice *notice)
{
	struct handoff_notice last;

	notice->generation = handoff__pair_generation(&server->pair);
	notice->seq = notice->generation == server->notice_generation
			      ? server->notice_seq + 1
			      : 1;
	if (is_outdated(server, notice, &last)) {
		handoff__pair_advance(&server->pair, last.generation + 1);
		notice->generation = handoff__pair_generation(&server->pair);
		notice->seq = 1;
	}
	server->notice_generation = notice->generation;
	server->notice_seq = notice->seq;
}

static void
compose(struct handoff_server *server, enum handoff_notice_kind kind,
	struct handoff_notice *notice)
{
	memset(notice, 0, sizeof(*notice));
	number(server, notice);
	notice->kind = kind;
	handoff__copy(notice->service, sizeof(notice->service),
		server->opts.service->name);
	handoff__copy(
		notice->serving, sizeof(notice->serving), server->pair.name);
	notice->grace_ms = server->opts.grace_ms;
	notice->spread_ms = server->opts.spread_ms;
	if (kind == HANDOFF_NOTICE_READY)
		notice->expires_ms = handoff__realtime_ms() +
				     server->opts.spread_ms + LATE_MS;
	collect_endpoints(server, notice);
}

static void
publish_now(struct handoff_server *server)
{
	server->publishing = server->due = true;
	server->publishing_blocked = false;
	server->notice_waited = 0;
}

/* Failures may be transient: a full table, no memory, a full disk. A peer that
 * no longer serves must not publish: its notice would replace the owner's. */
static void
on_notice_retry(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;

	if (!server->pair.serving || !handoff__pair_may_begin(&server->pair))
		return;
	handoff__publisher_retry(&server->publisher);
	publish_now(server);
}

static void
retry_later(struct handoff_server *server)
{
	server->notice_retry.fn = on_notice_retry;
	server->notice_retry.arg = server;
	handoff__timer_arm(&server->loop, &server->notice_retry,
		RETRY_US << server->notice_tries);
	server->notice_tries++;
}

/* All subscribers were tried: missed ones are retried for some seconds. */
static void
conclude_publishing(struct handoff_server *server)
{
	const struct handoff__publisher *pub = &server->publisher;

	server->publishing = false;
	handoff__log(&server->log, HANDOFF_LOG_INFO,
		"notice: %u subscriber%s reached, %u dead removed, %u failed",
		pub->told.reached + pub->told.full,
		handoff__plural(pub->told.reached + pub->told.full),
		pub->told.pruned, pub->told.failed);
	if (handoff__publisher_done(pub))
		return;
	if (server->notice_tries < TRIES)
		retry_later(server);
	else
		handoff__log(&server->log, HANDOFF_LOG_ERROR,
			"notice: given up: %s",
			pub->kept
				? "not all clients could be reached"
				: "it could not be retained for later clients");
}

static void
begin_publishing(
	struct handoff_server *server, const struct handoff_notice *notice)
{
	int err = handoff__publisher_begin(&server->publisher, notice);

	handoff__pair_retain(&server->pair, server->publisher.message,
		server->publisher.len);
	handoff__timer_disarm(&server->loop, &server->notice_retry);
	server->notice_tries = 0;
	server->notice_err = err < 0 ? err : 0;
	server->unkept += !server->publisher.kept;
	if (err < 0)
		handoff__log(&server->log, HANDOFF_LOG_ERROR,
			"notice %s: cannot be %s %s: %s: retrying",
			handoff_notice_kind_name(notice->kind),
			server->publisher.kept ? "sent to the subscribers in"
					       : "retained in",
			server->pair.dir.path, strerror(-err));
}

/* The notice of a handoff is published by the new owner. This peer may not have
 * it yet, but uses the same directory as the same user. */
void
handoff__notices_warn(struct handoff_server *server, struct handoff__buf *buf)
{
	int err = server->pair.serving
			  ? server->notice_err
			  : handoff__publisher_probe(&server->publisher);

	if (err < 0)
		handoff__buf_add(buf,
			"warning: not all clients will be notified: the notice "
			"cannot be retained in %s: %s\n",
			server->pair.dir.path, strerror(-err));
}

void
handoff__notices_publish(
	struct handoff_server *server, enum handoff_notice_kind kind)
{
	struct handoff_notice notice;

	server->notice_owed = (enum handoff_notice_kind)0;
	if (!handoff__pair_may_begin(&server->pair)) {
		server->notice_owed = kind;
		return;
	}
	compose(server, kind, &notice);
	begin_publishing(server, &notice);
	publish_now(server);
	server->published[kind]++;
}

/* The retained notice is outdated, and clients need not be notified: replaces
 * it by a notice that has already expired. */
void
handoff__notices_supersede(struct handoff_server *server)
{
	struct handoff_notice notice;

	if (!handoff__pair_may_begin(&server->pair))
		return;
	compose(server, HANDOFF_NOTICE_READY, &notice);
	notice.expires_ms = 1;
	begin_publishing(server, &notice);
	handoff__publisher_skip(&server->publisher);
	server->publishing = false;
	if (!handoff__publisher_done(&server->publisher))
		retry_later(server);
}

/* "" if there is nothing to say. */
static const char *
state_of(const struct handoff__outlet *outlet)
{
	const char *text = outlet->transport->state
				   ? outlet->transport->state(outlet->end)
				   : "";

	if (text[0] || outlet->complete)
		return text;
	return outlet->err < 0 ? strerror(-outlet->err)
			       : "not all subscribers could be reached";
}

static void
log_waiting(struct handoff_server *server)
{
	const struct handoff__publisher *pub = &server->publisher;

	for (size_t i = 0; i < pub->noutlets; i++) {
		if (pub->outlets[i].stepping)
			handoff__log(&server->log, HANDOFF_LOG_WARNING,
				"notice: not yet sent by %s: %s",
				pub->outlets[i].address,
				state_of(&pub->outlets[i]));
	}
}

/* The retained notice may have been removed with the directory, or could not be
 * written when it was new. Only the owner writes it, and with a lease only the
 * host that has it: the address may be another host's too. */
void
handoff__notices_keep(struct handoff_server *server)
{
	int err;

	tend(server);
	if (!server->pair.serving || !handoff__pair_may_begin(&server->pair))
		return;
	if (server->publishing && ++server->notice_waited == WAITED)
		log_waiting(server);
	err = handoff__publisher_keep(&server->publisher);
	if (err > 0)
		server->notice_err = 0;
	if (err > 0)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"notice: was missing in %s: written again",
			server->pair.dir.path);
}

static void
count_told(
	struct handoff_server *server, const struct handoff_transport_told *old)
{
	const struct handoff_transport_told *told = &server->publisher.told;

	server->reached += told->reached - old->reached;
	server->unread += told->full - old->full;
	server->pruned += told->pruned - old->pruned;
	server->failed += told->failed - old->failed;
}

/* Sends to the next few subscribers. True if there are more now. */
bool
handoff__notices_step(struct handoff_server *server)
{
	struct handoff__publisher *pub = &server->publisher;
	const struct handoff_transport_told before = pub->told;
	int rc;

	if (!server->publishing || server->publishing_blocked)
		return false;
	rc = handoff__publisher_step(pub, STEP_MOST);
	count_told(server, &before);
	server->publishing_blocked = rc == -EAGAIN;
	if (rc == 0)
		conclude_publishing(server);
	/* one that is not reachable does not keep others from a retry */
	else if (rc == -EAGAIN && handoff__publisher_missed(pub) &&
		 !server->notice_retry.armed && server->notice_tries < TRIES)
		retry_later(server);
	return rc > 0;
}

/* Also of what waits for a descriptor, until then. */
static void
finish_publishing(struct handoff_server *server, int64_t until_us)
{
	const struct handoff_transport_told before = server->publisher.told;
	int64_t left_us = until_us - handoff__now_us();

	if (!server->publishing)
		return;
	handoff__publisher_finish(
		&server->publisher, left_us > 0 ? (int)(left_us / 1000) : 0);
	count_told(server, &before);
	conclude_publishing(server);
}

/* Nothing is sent or retried afterwards. */
void
handoff__notices_finish(struct handoff_server *server)
{
	struct handoff__timer *retry = &server->notice_retry;
	int64_t until_us = handoff__now_us() + LAST_US;

	for (int i = 0; i <= LAST_TRIES; i++) {
		finish_publishing(server, until_us);
		if (!retry->armed)
			return;
		handoff__timer_disarm(&server->loop, retry);
		on_notice_retry(retry);
	}
	handoff__timer_disarm(&server->loop, retry);
}

static void
outlet_json(const struct handoff__outlet *outlet, struct handoff__buf *buf)
{
	const struct handoff_transport_told *told = &outlet->told;

	handoff__buf_add(buf, "{\"address\":");
	handoff__buf_json(buf, outlet->address);
	handoff__buf_add(buf,
		",\"generation\":%llu,\"seq\":%llu,\"complete\":%s,"
		"\"reached\":%u,\"full\":%u,\"removed\":%u,\"failed\":%u,"
		"\"refused\":%u,\"text\":",
		(unsigned long long)outlet->generation,
		(unsigned long long)outlet->seq,
		outlet->complete && !outlet->stepping ? "true" : "false",
		told->reached, told->full, told->pruned, told->failed,
		told->refused);
	handoff__buf_json(buf, state_of(outlet));
	handoff__buf_add(buf, "}");
}

/* "! server: notices: mq:/run/echo: 4.1: 200 reached", and what else there is
 * to say. */
static void
outlet_text(const struct handoff__pair *pair,
	const struct handoff__outlet *outlet, struct handoff__buf *buf)
{
	const struct handoff_transport_told *told = &outlet->told;
	const char *state = state_of(outlet);

	handoff__buf_add(buf, "! %s: notices: ", pair->name);
	handoff__buf_escaped(buf, outlet->address);
	if (outlet->generation == 0)
		handoff__buf_add(buf, ": none yet");
	else
		handoff__buf_add(buf, ": %llu.%llu: %u reached",
			(unsigned long long)outlet->generation,
			(unsigned long long)outlet->seq, told->reached);
	if (told->full > 0)
		handoff__buf_add(buf, ", %u full", told->full);
	if (told->pruned > 0)
		handoff__buf_add(buf, ", %u dead removed", told->pruned);
	if (told->failed > 0)
		handoff__buf_add(buf, ", %u failed", told->failed);
	if (told->refused > 0)
		handoff__buf_add(buf, ", %u refused", told->refused);
	handoff__buf_add(buf, "%s%s\n", state[0] ? ": " : "", state);
}

/* In the table only the owner's: the standby publishes nothing. */
void
handoff__notices_status(const struct handoff_server *server, bool json,
	struct handoff__buf *buf)
{
	const struct handoff__publisher *pub = &server->publisher;

	if (json)
		handoff__buf_add(buf, ",\"notices\":[");
	for (size_t i = 0; i < pub->noutlets; i++) {
		if (json && i > 0)
			handoff__buf_add(buf, ",");
		if (json)
			outlet_json(&pub->outlets[i], buf);
		else if (server->pair.serving)
			outlet_text(&server->pair, &pub->outlets[i], buf);
	}
	if (json)
		handoff__buf_add(buf, "]");
}

void
handoff__notices_metrics(
	const struct handoff_server *server, struct handoff__buf *buf)
{
	static const char *const kinds[] = {
		[HANDOFF_NOTICE_MAINTENANCE] = "kind=\"maintenance\"",
		[HANDOFF_NOTICE_READY] = "kind=\"ready\"",
		[HANDOFF_NOTICE_FAILOVER] = "kind=\"failover\"",
		[HANDOFF_NOTICE_GOODBYE] = "kind=\"goodbye\"",
	};
	const struct handoff__pair *pair = &server->pair;

	handoff__metrics_family(buf, "notices_published_total", "counter",
		"Notices to clients, by their kind.");
	for (int i = HANDOFF_NOTICE_MAINTENANCE; i <= HANDOFF_NOTICE_GOODBYE;
		i++)
		handoff__metrics_sample(pair, buf, "notices_published_total",
			kinds[i], server->published[i]);
	handoff__metrics_family(buf, "notices_unkept_total", "counter",
		"Notices that could not be kept at once for clients that "
		"come later.");
	handoff__metrics_sample(
		pair, buf, "notices_unkept_total", "", server->unkept);
	handoff__metrics_family(buf, "notices_told_total", "counter",
		"Subscribers that a notice was to reach, and what became of "
		"it.");
	handoff__metrics_sample(pair, buf, "notices_told_total",
		"outcome=\"reached\"", server->reached);
	handoff__metrics_sample(pair, buf, "notices_told_total",
		"outcome=\"full\"", server->unread);
	handoff__metrics_sample(pair, buf, "notices_told_total",
		"outcome=\"gone\"", server->pruned);
	handoff__metrics_sample(pair, buf, "notices_told_total",
		"outcome=\"failed\"", server->failed);
}
