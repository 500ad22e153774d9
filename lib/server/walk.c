/* SPDX-License-Identifier: MIT */
/*
 * A walk over the connections of this peer, for the program and, with an upper
 * bound, for an operator. Reads what turns in other threads and children may be
 * writing: positions and labels are recent values.
 */
#include "server/internal.h"

#include "operator/reply.h"

#include <errno.h>
#include <string.h>

#define LISTED_MAX 1000 /* for an operator */

/* The next connection of this peer; NULL at the end. */
static struct handoff__roster_entry *
next_connection(
	struct handoff_server *server, struct handoff__position *position)
{
	struct handoff__roster_entry *e;

	do
		e = handoff__server_next(server, position);
	while (e && (!e->mine || e->kind != HANDOFF__CONNECTION));
	return e;
}

/* What is known of its session. */
static void
describe_session(
	const struct handoff__record *rec, struct handoff_connection *c)
{
	uint64_t number =
		atomic_load_explicit(&rec->extra.session, memory_order_relaxed);
	int64_t since = atomic_load_explicit(
		&rec->extra.absent_ms, memory_order_relaxed);
	int64_t now = (int64_t)handoff__boot_ms();

	if (number == 0)
		return;
	c->id = number;
	c->session = true;
	/* below 0: it has come from a host that was up for longer */
	if (since != 0)
		c->absent_ms = now > since ? now - since : 1;
}

static void
describe(const struct handoff__roster_entry *e, struct handoff__described *to)
{
	const struct handoff__record *rec = e->view.rec;

	handoff__copy(to->address, sizeof(to->address), "?");
	handoff__client_text(&e->view, e->fd, to->address, sizeof(to->address));
	to->label[0] = '\0';
	to->connection = (struct handoff_connection){
		.id = e->id,
		.address = to->address,
		.label = to->label,
		.received = handoff__rx_head(rec),
		.sent = handoff__tx_tail(rec),
	};
	if (handoff__older(e->view.seg))
		return;
	handoff__record_label(rec, to->label);
	to->connection.since_ms = atomic_load_explicit(
		&rec->extra.since_ms, memory_order_relaxed);
	describe_session(rec, &to->connection);
}

int
handoff_server_connections(struct handoff_server *server,
	const struct handoff_connection **connection)
{
	struct handoff__roster_entry *e;
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	if (!connection) {
		server->walked.begun = false;
		return 0;
	}
	e = next_connection(server, &server->walked);
	if (!e)
		return 0;
	describe(e, &server->described);
	*connection = &server->described.connection;
	return 1;
}

static void
add_line(struct handoff__buf *buf, const struct handoff_connection *c)
{
	handoff__buf_add(buf, "%llu %s %lld %llu %llu ",
		(unsigned long long)c->id, c->address, (long long)c->since_ms,
		(unsigned long long)c->received, (unsigned long long)c->sent);
	if (c->absent_ms > 0)
		handoff__buf_add(buf, "(session, absent for %lld s) ",
			(long long)c->absent_ms / 1000);
	else if (c->session)
		handoff__buf_add(buf, "(session) ");
	handoff__buf_escaped(buf, c->label);
	handoff__buf_add(buf, "\n");
}

static void
add_object(struct handoff__buf *buf, const struct handoff_connection *c)
{
	handoff__buf_add(
		buf, "{\"id\":%llu,\"address\":", (unsigned long long)c->id);
	handoff__buf_json(buf, c->address);
	handoff__buf_add(buf,
		",\"since_ms\":%lld,\"received\":%llu,\"sent\":%llu,"
		"\"session\":%s,\"absent_ms\":%lld,\"label\":",
		(long long)c->since_ms, (unsigned long long)c->received,
		(unsigned long long)c->sent, c->session ? "true" : "false",
		(long long)c->absent_ms);
	handoff__buf_json(buf, c->label);
	handoff__buf_add(buf, "}");
}

static uint32_t
add_listed(struct handoff_server *server, bool json, struct handoff__buf *buf)
{
	struct handoff__position position = {.begun = false};
	struct handoff__roster_entry *e;
	struct handoff__described described;
	uint32_t count = 0;

	while (count < LISTED_MAX && (e = next_connection(server, &position))) {
		describe(e, &described);
		if (json && count > 0)
			handoff__buf_add(buf, ",");
		(json ? add_object : add_line)(buf, &described.connection);
		count++;
	}
	return count;
}

void
handoff__walk_request(struct handoff_server *server,
	struct handoff__request *request, bool json)
{
	struct handoff__buf buf = {0};
	uint32_t all = server->pair.roster.connections, omitted;

	handoff__status_header(&server->pair, &buf);
	if (json)
		handoff__buf_add(&buf, "{\"name\":\"%s\",\"connections\":[",
			server->pair.name);
	omitted = all - add_listed(server, json, &buf);
	if (json)
		handoff__buf_add(&buf, "],\"omitted\":%u}\n", omitted);
	else
		handoff__buf_add(&buf, "omitted %u\n", omitted);
	handoff__reply(request, &buf);
}
