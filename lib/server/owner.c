/* SPDX-License-Identifier: MIT */
/*
 * Starts the service: a peer that finds no owner becomes the owner, with its
 * listeners and extra descriptors; with a lease, the listeners are opened when
 * this host has that, and closed when it has lost it.
 */
#include "server/internal.h"

#include "base/high.h"
#include "notice/notice.h"

#include <errno.h>
#include <string.h>

static int
enter_extras(struct handoff_server *server)
{
	for (size_t i = 0; i < server->opts.nextras; i++) {
		struct handoff_extra extra = {.fd = -1};
		int err = handoff__opts_extra(&server->opts, i, &extra);
		int fd = handoff__name_ok(extra.name)
				 ? handoff__high_dup(extra.fd)
				 : -1;

		if (fd < 0)
			err = -EINVAL;
		if (err < 0 || !handoff__pair_enter(&server->pair, fd,
				       HANDOFF__EXTRA, extra.name, &err))
			return handoff__fail(&server->error, err,
				"extra descriptor %zu: bad name or descriptor",
				i);
	}
	return 0;
}

/* how long to wait at the start for notices that are retained elsewhere */
#define RETAINED_MS 3000

/* Makes this peer the owner of a service that has none. */
static int
become_owner(struct handoff_server *server)
{
	struct handoff_notice last;
	uint64_t generation = 1;
	int err;

	/* Notices are ordered by generation, so continue from the retained one.
	 * Starting at 1, clients would take all new notices for old ones. */
	err = handoff__publisher_retained(
		&server->publisher, RETAINED_MS, &last);
	if (err < 0 && err != -EBADMSG)
		return handoff__fail(&server->error, err,
			"service directory %s: cannot read the retained "
			"notice: %s",
			server->pair.dir.path, strerror(-err));
	if (err > 0)
		generation = last.generation + 1;
	err = handoff__pair_own(&server->pair, generation);
	if (err < 0) {
		server->error = server->pair.error;
		return err;
	}
	if (!server->lease)
		err = handoff__listen_open(server);
	if (err >= 0)
		err = enter_extras(server);
	if (err < 0)
		return err;
	if (server->lease) {
		handoff__operator_emit(&server->op, HANDOFF_SERVER_WAITING,
			"waiting: for the lease of %s", server->service.name);
		return 0;
	}
	handoff__notices_supersede(server);
	handoff__operator_emit(&server->op, HANDOFF_SERVER_OWNER,
		"owner: serves %s (generation %llu)", server->service.name,
		(unsigned long long)generation);
	return 0;
}

/* Clients of a host that is gone are told where to go; those of a service that
 * starts need not be. */
static void
begin_tenure(struct handoff_server *server)
{
	int err = handoff__listen_open(server);

	if (err < 0)
		handoff__log(&server->log, HANDOFF_LOG_ERROR, "%s",
			server->error.text);
	if (handoff__inherited_nothing(server))
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"lease: %s " HANDOFF__LISTENS_NOWHERE,
			server->pair.name);
	/* what could not be opened is tried again */
	handoff__addresses_changed(server);
	server->notice_owed = (enum handoff_notice_kind)0;
	handoff__operator_emit(&server->op, HANDOFF_SERVER_OWNER,
		"owner: has the lease and serves %s (generation %llu)",
		server->service.name,
		(unsigned long long)handoff__pair_generation(&server->pair));
	if (server->pair.guard.succeeds)
		handoff__notices_publish(server, HANDOFF_NOTICE_FAILOVER);
	else
		handoff__notices_supersede(server);
	handoff__listen_later(server);
}

void
handoff__owner_leased(
	struct handoff_server *server, enum handoff__lease_action action)
{
	enum handoff_notice_kind owed = server->notice_owed;

	if (action == HANDOFF__LEASE_WON) {
		begin_tenure(server);
	} else if (action == HANDOFF__LEASE_RESET) {
		handoff__listen_shut(server);
		handoff__listen_close(server);
		server->notice_owed = (enum handoff_notice_kind)0;
		handoff__operator_emit(&server->op, HANDOFF_SERVER_WAITING,
			"waiting: the lease of %s is lost: its connections "
			"are reset",
			server->service.name);
	} else if (action == HANDOFF__LEASE_DOUBTED ||
		   action == HANDOFF__LEASE_CERTAIN) {
		handoff__listen_later(server);
		if (action == HANDOFF__LEASE_CERTAIN && owed != 0)
			handoff__notices_publish(server, owed);
	}
}

uint32_t
handoff__owner_token(
	struct handoff_server *server, const void *data, size_t len)
{
	struct handoff_notice kept, last;
	uint64_t most = 0;

	if (len > 0 && handoff__notice_decode(&kept, data, len) == 0)
		most = kept.generation;
	if (handoff__publisher_retained(&server->publisher, 0, &last) > 0 &&
		last.generation > most)
		most = last.generation;
	return (uint32_t)(most >> 32);
}

void
handoff__server_alone(struct handoff_server *server)
{
	if (server->pair.serving || server->pair.arena.count > 0 ||
		!handoff__server_listens(server) || server->op.stopping)
		return;
	if (become_owner(server) < 0)
		handoff__log(&server->log, HANDOFF_LOG_ERROR, "%s",
			server->error.text);
}

int
handoff__owner_begin(struct handoff_server *server)
{
	const struct handoff__pair *pair = &server->pair;

	if (pair->partner != HANDOFF__PARTNER_NONE && pair->other.serving)
		return 0; /* STANDBY is reported once the arena has come */
	if (handoff__server_listens(server))
		return become_owner(server);
	handoff__operator_waits(&server->op);
	return 0;
}
