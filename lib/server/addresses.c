/* SPDX-License-Identifier: MIT */
/*
 * Reconciles this peer's addresses with the listeners that came with the
 * service. A standby reports how they differ. A peer that starts to serve opens
 * the addresses that only it has and closes listeners that it has no address
 * for: but not before all of its own are open, so that a wrong address does not
 * make the service unreachable.
 */
#include "server/internal.h"

#include "base/addr.h"
#include "base/adopt.h"
#include "base/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RETRY_US   1000000
#define LOOK_US    50000
#define ROOM_TRIES 5  /* seconds between attempts to make room */
#define LIST_MAX   80 /* bytes of a list of addresses in a sentence */

static void
on_address_retry(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;

	server->addresses.due = true; /* checked after the iteration */
}

void
handoff__addresses_open(struct handoff_server *server)
{
	server->addresses.retry.fn = on_address_retry;
	server->addresses.retry.arg = server;
}

static void
forget(struct handoff__buf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}

void
handoff__addresses_close(struct handoff_server *server)
{
	forget(&server->addresses.changes);
	forget(&server->addresses.failed);
}

#define NOT_AN_ADDRESS "not an address of this peer"

/* What follows a sentence about an address that cannot be opened. */
#define RETRIED   "retrying every second"
#define ABANDONED "not retried before this peer is started again"

void
handoff__addresses_warn(const struct handoff_server *server)
{
	for (size_t i = 0; i < server->opts.nlisten; i++) {
		if (server->unresolved[i])
			handoff__log(&server->log, HANDOFF_LOG_ERROR,
				"%s: " ABANDONED, server->unresolved[i]);
	}
}

void
handoff__addresses_changed(struct handoff_server *server)
{
	handoff__timer_disarm(&server->loop, &server->addresses.retry);
	server->addresses.due = server->pair.serving;
	if (!server->pair.serving)
		handoff__inherited_forget(server);
	server->addresses.look = true;
	server->addresses.reported[0] = '\0';
	server->addresses.tries = 0;
	memset(server->addresses.room_at, 0, sizeof(server->addresses.room_at));
	forget(&server->addresses.changes);
	forget(&server->addresses.failed);
}

/* A peer without addresses, an alternate, accepts any. */
static bool
has_addresses(const struct handoff_server *server)
{
	return server->opts.nlisten > 0 || server->was_passed;
}

static bool
takes_any_port(const char *address)
{
	return strncmp(address, "unix:", 5) != 0 &&
	       strtoul(strrchr(address, ':') + 1, NULL, 10) == 0;
}

/* Finds an unclaimed listener for the address. */
static bool
claim_listener(struct handoff_server *server, const char *address)
{
	struct handoff__member *member;

	TAILQ_FOREACH (member, &server->listeners, node) {
		if (!member->wanted &&
			handoff__adopt_is(member->entry.fd, address)) {
			member->wanted = true;
			return true;
		}
	}
	return false;
}

static void
claim_passed(struct handoff_server *server)
{
	struct sockaddr_storage ss;
	char address[HANDOFF_ADDRESS_MAX];

	for (size_t i = 0; i < server->nadopted; i++) {
		struct handoff__adopted *a = &server->adopted[i];
		socklen_t len = sizeof(ss);

		if (a->fd < 0 ||
			getsockname(a->fd, (struct sockaddr *)&ss, &len) < 0)
			continue;
		handoff__addr_format(
			(struct sockaddr *)&ss, len, address, sizeof(address));
		a->missing = !claim_listener(server, address);
	}
}

/* Determines which addresses have no listener, and which listeners no address.
 * Port 0 matches any that is left. Listeners opened by another process are not
 * closed here. */
static void
compare(struct handoff_server *server)
{
	const struct handoff_server_opts *o = &server->opts;
	bool *missing = server->addresses.missing;
	struct handoff__member *member;

	TAILQ_FOREACH (member, &server->listeners, node)
		member->wanted = false;
	claim_passed(server);
	for (int any = 0; any < 2; any++) {
		for (size_t i = 0; i < o->nlisten; i++) {
			if (takes_any_port(o->listen[i]) == (any == 1))
				missing[i] =
					!handoff__adopted_has(
						server, o->listen[i]) &&
					!claim_listener(server, o->listen[i]);
		}
	}
	TAILQ_FOREACH (member, &server->listeners, node) {
		const struct handoff__record *rec = member->entry.view.rec;

		member->wanted |= (handoff__record_commit(rec)->flags &
					  HANDOFF__ADOPTED) != 0;
	}
}

/* The address of a listener, without newlines. */
static void
name_of(const struct handoff__member *member, char name[HANDOFF_ADDRESS_MAX])
{
	if (handoff__record_name(&member->entry.view, name) < 0)
		handoff__copy(name, HANDOFF_ADDRESS_MAX, "?");
	for (char *c = name; *c; c++) {
		if ((unsigned char)*c < ' ')
			*c = '?';
	}
}

/* Calls `add` for each address that only this peer has, or only the service.
 * `resolved`: only those that it can try to open. */
typedef void add_fn(struct handoff__buf *buf, const char *address);

static void
each_missing(struct handoff_server *server, struct handoff__buf *buf,
	add_fn *add, bool resolved)
{
	for (size_t i = 0; i < server->opts.nlisten; i++) {
		if (server->addresses.missing[i] &&
			!(resolved && server->unresolved[i]))
			add(buf, server->opts.listen[i]);
	}
	for (size_t i = 0; i < server->nadopted; i++) {
		if (server->adopted[i].fd >= 0 && server->adopted[i].missing)
			add(buf, server->adopted[i].address);
	}
}

static void
each_unwanted(
	struct handoff_server *server, struct handoff__buf *buf, add_fn *add)
{
	struct handoff__member *member;
	char name[HANDOFF_ADDRESS_MAX];

	if (!has_addresses(server))
		return;
	TAILQ_FOREACH (member, &server->listeners, node) {
		if (member->wanted)
			continue;
		name_of(member, name);
		add(buf, name);
	}
}

/* As many as fit into a sentence; the status lists them all. */
static void
add_to_list(struct handoff__buf *buf, const char *address)
{
	if (buf->len == 0)
		handoff__buf_add(buf, "%.*s", LIST_MAX, address);
	else if (buf->len + strlen(address) < LIST_MAX)
		handoff__buf_add(buf, ", %s", address);
	else if (strcmp(buf->data + buf->len - 3, "...") != 0)
		handoff__buf_add(buf, ", ...");
}

/* "opens 127.0.0.1:7001 and closes 127.0.0.1:7000"; "" if there is no
 * difference. */
static void
describe(struct handoff_server *server, char text[HANDOFF_TEXT_MAX])
{
	struct handoff__buf here = {0}, there = {0};

	each_missing(server, &here, add_to_list, true);
	each_unwanted(server, &there, add_to_list);
	text[0] = '\0';
	if (here.len > 0 || there.len > 0)
		snprintf(text, HANDOFF_TEXT_MAX, "%s%s%s%s%s",
			here.len > 0 ? "opens " : "",
			here.len > 0 ? here.data : "",
			here.len > 0 && there.len > 0 ? " and " : "",
			there.len > 0 ? "closes " : "",
			there.len > 0 ? there.data : "");
	forget(&here);
	forget(&there);
}

/* Reports what this peer would do, when that changes. */
static void
look(struct handoff_server *server)
{
	char text[HANDOFF_TEXT_MAX], who[64];

	if (TAILQ_EMPTY(&server->listeners))
		return;
	compare(server);
	describe(server, text);
	if (strcmp(text, server->addresses.reported) == 0)
		return;
	handoff__copy(server->addresses.reported, sizeof(text), text);
	handoff__pair_partner_text(&server->pair, who);
	if (text[0])
		handoff__operator_emit(&server->op, HANDOFF_SERVER_ADDRESSES,
			"addresses: differ from those of %s: when this peer "
			"serves it "
			"%s",
			who, text);
	else
		handoff__operator_emit(&server->op, HANDOFF_SERVER_ADDRESSES,
			"addresses: the same as those of %s", who);
}

static void
note(struct handoff_server *server, const char *what, const char *address)
{
	handoff__buf_add(&server->addresses.changes, "%s %s\n", what, address);
}

static void
report_closed(struct handoff_server *server, const char *name, const char *why)
{
	note(server, "closed", name);
	handoff__operator_emit(&server->op, HANDOFF_SERVER_UNLISTENED,
		"no longer listening on %s: %s", name, why);
}

static bool
close_one(struct handoff_server *server, struct handoff__member *member)
{
	char name[HANDOFF_ADDRESS_MAX];

	name_of(member, name);
	if (!handoff__listen_end(member))
		return false;
	report_closed(server, name, NOT_AN_ADDRESS);
	return true;
}

/* Closes listeners without an address. One whose backlog cannot be drained,
 * because there is no room for its clients, stays for now. */
static bool
close_unwanted_listeners(struct handoff_server *server)
{
	struct handoff__member *member = TAILQ_FIRST(&server->listeners), *next;
	bool all = true;

	for (; member; member = next) {
		next = TAILQ_NEXT(member, node);
		if (!member->wanted && member->entry.mine)
			all &= close_one(server, member);
	}
	return all;
}

static bool
is_in_way(const struct handoff__member *member, const char *address,
	char name[HANDOFF_ADDRESS_MAX])
{
	name_of(member, name);
	return strncmp(address, "unix:", 5) != 0 &&
	       handoff__addr_excludes(name, address);
}

/* ":7000" and "127.0.0.1:7000" exclude each other (bind(2)): closes listeners
 * in the way that this peer has no address for. Returns what was closed, a line
 * each. */
static struct handoff__buf
free_address(struct handoff_server *server, const char *address)
{
	struct handoff__member *member = TAILQ_FIRST(&server->listeners), *next;
	struct handoff__buf closed = {0};
	char name[HANDOFF_ADDRESS_MAX];

	for (; member; member = next) {
		next = TAILQ_NEXT(member, node);
		if (!member->wanted && member->entry.mine &&
			is_in_way(member, address, name) &&
			handoff__listen_end(member))
			handoff__buf_add(&closed, "%s\n", name);
	}
	return closed;
}

/* Closing them helped, or did not: then they are opened again. */
static void
settle_closed(struct handoff_server *server, char *names, bool helped)
{
	struct handoff__error error = server->error;
	char *rest = NULL;

	for (char *name = strtok_r(names, "\n", &rest); name;
		name = strtok_r(NULL, "\n", &rest)) {
		if (helped)
			report_closed(server, name, NOT_AN_ADDRESS);
		else if (handoff__listen_again(server, name) < 0)
			report_closed(server, name, server->error.text);
	}
	server->error = error;
}

/* Says which listener of the service is in the way of the address, if any. */
static void
explain_in_use(struct handoff_server *server, size_t i)
{
	const char *address = server->opts.listen[i], *why;
	struct handoff__member *member;
	char name[HANDOFF_ADDRESS_MAX];

	TAILQ_FOREACH (member, &server->listeners, node) {
		if (is_in_way(member, address, name))
			break;
	}
	if (!member)
		return;
	if (server->addresses.room_at[i] > 0)
		why = "was closed for it in vain: another program is in the "
		      "way too";
	else if (!member->entry.mine)
		why = "which the other peer still has, is in the way";
	else if (member->wanted)
		why = "which stays open, is in the way";
	else
		why = "which is in the way, stays until there is room for the "
		      "clients in its backlog";
	handoff__fail(&server->error, -EADDRINUSE,
		"address '%.120s': cannot listen: the service's listener "
		"%.120s, %s",
		address, name, why);
}

/* Only closing a listener shows whether that helps. If it did not, another
 * attempt is made only after a while. */
static int
make_room(struct handoff_server *server, size_t i)
{
	struct handoff__addresses *a = &server->addresses;
	struct handoff__buf closed =
		free_address(server, server->opts.listen[i]);
	int err = -EADDRINUSE;

	if (closed.len > 0) {
		err = handoff__listen_own(server, i);
		settle_closed(server, closed.data, err >= 0);
		a->room_at[i] = err < 0 ? a->tries + ROOM_TRIES : 0;
	}
	free(closed.data);
	return err;
}

/* A ferry brings an address that is on the other host, and puts it on lo until
 * it has a listener for it: this peer must not be faster. */
static bool
is_the_ferrys(const struct handoff_server *server, size_t i)
{
	const struct handoff__pair *pair = &server->pair;

	return server->addresses.tries > 0 && pair->other.carrier &&
	       pair->partner == HANDOFF__PARTNER_READY &&
	       handoff__reach_coming(server->opts.listen[i]);
}

static int
open_late_address(struct handoff_server *server, size_t i)
{
	int err = is_the_ferrys(server, i) ? -EADDRNOTAVAIL
					   : handoff__listen_own(server, i);

	if (err == -EADDRINUSE &&
		server->addresses.tries >= server->addresses.room_at[i])
		err = make_room(server, i);
	if (err == -EADDRINUSE)
		explain_in_use(server, i);
	else if (err == -EADDRNOTAVAIL && server->pair.other.carrier)
		handoff__fail(&server->error, err,
			"address '%.120s': is not on this host: the ferry "
			"brings its listener back with it",
			server->opts.listen[i]);
	return err;
}

#define FAILED 7 /* length of that word and its blank */

static void
fail_one(struct handoff_server *server, struct handoff__buf *failed,
	const char *then)
{
	handoff__buf_add(failed, "failed %s: %s\n", server->error.text, then);
}

/* Opens the missing addresses; adds failures to `failed`. */
static void
open_missing(struct handoff_server *server, struct handoff__buf *failed)
{
	struct handoff__member *last, *member;
	char name[HANDOFF_ADDRESS_MAX];
	bool *missing = server->addresses.missing;

	for (size_t i = 0; i < server->opts.nlisten; i++) {
		if (!missing[i])
			continue;
		missing[i] = open_late_address(server, i) < 0;
		if (missing[i])
			fail_one(server, failed,
				server->unresolved[i] ? ABANDONED : RETRIED);
	}
	if (handoff__adopted_enter(server) < 0)
		fail_one(server, failed, RETRIED);
	last = TAILQ_LAST(&server->listeners, handoff__members);
	for (member = last; member && member->fresh;
		member = TAILQ_PREV(member, handoff__members, node)) {
		name_of(member, name);
		note(server, "opened", name);
	}
	handoff__listen_reach(server);
}

/* Logs failures, when they change. */
static void
log_failures(struct handoff_server *server, struct handoff__buf *failed)
{
	struct handoff__buf *before = &server->addresses.failed;
	struct handoff__buf kept = {0};
	const char *at = failed->data;

	if (at && before->data && strcmp(at, before->data) == 0)
		at = NULL;
	for (; at && *at; at += strcspn(at, "\n") + 1) {
		each_unwanted(server, &kept, add_to_list);
		handoff__log(&server->log, HANDOFF_LOG_ERROR, "%.*s%s%s",
			(int)strcspn(at, "\n") - FAILED, at + FAILED,
			kept.len > 0 ? "; until then this stays open: " : "",
			kept.len > 0 ? kept.data : "");
		forget(&kept);
	}
	forget(before);
	*before = *failed;
}

/* Applies this peer's addresses when it starts to serve. */
static void
serve(struct handoff_server *server)
{
	struct handoff__buf failed = {0};
	bool done;

	server->addresses.due = false;
	handoff__timer_disarm(&server->loop, &server->addresses.retry);
	compare(server);
	open_missing(server, &failed);
	server->addresses.tries++;
	done = failed.len == 0 && !failed.failed &&
	       close_unwanted_listeners(server);
	log_failures(server, &failed);
	if (!done)
		handoff__timer_arm(
			&server->loop, &server->addresses.retry, RETRY_US);
	else
		handoff__inherited_forget(server);
}

/* Changes come one by one: waits a moment for the rest. */
static void
look_soon(struct handoff_server *server)
{
	struct handoff__addresses *a = &server->addresses;

	if (a->due) {
		a->due = false;
		look(server);
	} else if (a->look && !a->retry.armed) {
		a->look = false;
		handoff__timer_arm(&server->loop, &a->retry, LOOK_US);
	}
}

/* The listeners may also have been closed by a peer that stopped, or have died
 * with it before this peer had copies of them. */
void
handoff__addresses_proceed(struct handoff_server *server)
{
	struct handoff__addresses *a = &server->addresses;

	if (server->op.stopping || !has_addresses(server) ||
		!handoff__pair_holds(&server->pair))
		return;
	if (!server->pair.serving) {
		look_soon(server);
	} else if (a->due || (TAILQ_EMPTY(&server->listeners) &&
				     handoff__server_listens(server) &&
				     !a->retry.armed)) {
		serve(server);
	}
}

static void
add_here(struct handoff__buf *buf, const char *address)
{
	handoff__buf_add(buf, "only-here %s\n", address);
}

static void
add_there(struct handoff__buf *buf, const char *address)
{
	handoff__buf_add(buf, "only-there %s\n", address);
}

static void
add_address_json(struct handoff__buf *buf, const char *address)
{
	if (buf->len > 0 && buf->data[buf->len - 1] != '[')
		handoff__buf_add(buf, ",");
	handoff__buf_json(buf, address);
}

/* Adds the lines that begin with that word as members of an array. */
static void
add_changes(const struct handoff_server *server, const char *word,
	struct handoff__buf *buf)
{
	const char *at = server->addresses.changes.data;
	char address[HANDOFF_ADDRESS_MAX];
	size_t len = strlen(word);

	for (; at && *at; at += strcspn(at, "\n") + 1) {
		if (strncmp(at, word, len) != 0)
			continue;
		snprintf(address, sizeof(address), "%.*s",
			(int)(strcspn(at, "\n") - len - 1), at + len + 1);
		add_address_json(buf, address);
	}
}

static void
status_json(struct handoff_server *server, struct handoff__buf *buf)
{
	handoff__buf_add(buf, ",\"addresses\":{\"only_here\":[");
	each_missing(server, buf, add_address_json, false);
	handoff__buf_add(buf, "],\"only_there\":[");
	each_unwanted(server, buf, add_address_json);
	handoff__buf_add(buf, "],\"opened\":[");
	add_changes(server, "opened", buf);
	handoff__buf_add(buf, "],\"closed\":[");
	add_changes(server, "closed", buf);
	handoff__buf_add(buf, "]}");
}

static void
add_address_remarks(struct handoff_server *server, struct handoff__buf *buf)
{
	const char *name = server->pair.name, *at;
	char text[HANDOFF_TEXT_MAX];

	if (!server->pair.serving) {
		describe(server, text);
		if (text[0])
			handoff__buf_add(buf, "! %s: when it serves it %s\n",
				name, text);
		for (size_t i = 0; i < server->opts.nlisten; i++) {
			if (server->unresolved[i])
				handoff__buf_add(buf,
					"! %s: %s: " ABANDONED "\n", name,
					server->unresolved[i]);
		}
		return;
	}
	if (handoff__inherited_nothing(server))
		handoff__buf_add(
			buf, "! %s: " HANDOFF__LISTENS_NOWHERE "\n", name);
	for (at = server->addresses.failed.data; at && *at;
		at += strcspn(at, "\n") + 1)
		handoff__buf_add(buf, "! %s: %.*s\n", name,
			(int)strcspn(at, "\n") - FAILED, at + FAILED);
}

void
handoff__addresses_status(
	struct handoff_server *server, bool json, struct handoff__buf *buf)
{
	const struct handoff__addresses *a = &server->addresses;

	if (has_addresses(server) && !TAILQ_EMPTY(&server->listeners))
		compare(server);
	if (json) {
		status_json(server, buf);
		return;
	}
	each_missing(server, buf, add_here, false);
	each_unwanted(server, buf, add_there);
	if (a->changes.data)
		handoff__buf_put(buf, a->changes.data, a->changes.len);
	if (a->failed.data)
		handoff__buf_put(buf, a->failed.data, a->failed.len);
	add_address_remarks(server, buf);
}
