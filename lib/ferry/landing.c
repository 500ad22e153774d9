/* SPDX-License-Identifier: MIT */
/*
 * One connection on its way to this host: prepared, finished, dropped. What
 * comes from the other ferry is the power to forge a connection, and this
 * process has privileges that the service lacks: so only the service's
 * addresses are restored, and no option that takes a privilege.
 */
#include "ferry/landing.h"

#include "base/high.h"
#include "base/still.h"
#include "ferry/carrier.h"
#include "peer/receive.h"
#include "peer/unfinished.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void
handoff__landing_refuse(
	struct handoff__item *item, const char *fmt, const char *word)
{
	char why[HANDOFF__LETTER_WHY];

	snprintf(why, sizeof(why), fmt, word);
	handoff__copy(item->why, sizeof(item->why), why);
}

/* The item's entry is in no batch any more. */
void
handoff__landing_part(struct handoff__item *item)
{
	if (!item->entry)
		return;
	handoff__cargo(item->entry)->load = -1;
	handoff__cargo(item->entry)->index = -1;
	item->entry = NULL;
}

/* Nothing of it stays: silent, for all that have a copy. */
void
handoff__landing_drop(struct handoff__freight *load, struct handoff__item *item)
{
	struct handoff__roster_entry *e = item->entry;
	struct handoff__error error;

	if (!e)
		return;
	if (!item->absent)
		handoff__migrate_end(e->fd, &error);
	item->restore.stage = HANDOFF__RESTORE_NONE;
	handoff__landing_part(item);
	handoff__pair_end(&load->ferry->pair, e);
}

static bool
is_set(const struct handoff__image_options *o, int option)
{
	return handoff__image_has(o, option) && o->value[option] != 0;
}

/* This process may set these, and the service may not. */
static bool
takes_privilege(const struct handoff__image_options *o)
{
	return is_set(o, HANDOFF__OPT_MARK) ||
	       is_set(o, HANDOFF__OPT_IP_TRANSPARENT) ||
	       is_set(o, HANDOFF__OPT_V6_TRANSPARENT) || o->device[0] ||
	       (handoff__image_has(o, HANDOFF__OPT_PRIORITY) &&
		       (o->value[HANDOFF__OPT_PRIORITY] < 0 ||
			       o->value[HANDOFF__OPT_PRIORITY] > 6));
}

const char *
handoff__landing_objection(
	const struct handoff__ferry *ferry, const struct handoff__image *image)
{
	const struct handoff__image_options *o = &image->options;
	struct sockaddr_storage sa;

	handoff__image_local(image, &sa);
	if (!handoff__prefix_holds(ferry->prefixes, ferry->nprefixes,
		    (const struct sockaddr *)&sa))
		return "not an address of the service";
	if (takes_privilege(o))
		return "an option that takes a privilege";
	return NULL;
}

/* Why this message may not become a session without a connection, or NULL. */
static const char *
absent_objection(const struct handoff__item *item)
{
	if (item->image_len > 0)
		return "an image, and no connection that it could be of";
	if (!(item->parcel.state_version & HANDOFF__SESSION_BIT))
		return "a session of a service without sessions";
	return NULL;
}

/* Reads the message once: both point into the item's own copy of it. */
static bool
decode(const struct handoff__ferry *ferry, struct handoff__item *item)
{
	struct handoff__error error;
	const char *why;
	int err = handoff__parcel_decode(
		&item->parcel, item->body, item->parcel_len, &error);

	if (err == 0 && !item->parcel.absent)
		err = handoff__image_decode(&item->image,
			item->body + item->parcel_len, item->image_len, &error);
	if (err < 0) {
		handoff__landing_refuse(item, "%.80s", error.text);
		return false;
	}
	item->absent = item->parcel.absent;
	why = item->absent ? absent_objection(item)
			   : handoff__landing_objection(ferry, &item->image);
	if (why)
		handoff__landing_refuse(item, "%s", why);
	return why == NULL;
}

static const char *
receive_text(int err)
{
	switch (err) {
	case -ENOSPC:
		return "no free record";
	case -EEXIST:
		return "its id is here already (each host needs its own "
		       "--origin)";
	case -EMSGSIZE:
		return "its buffers do not fit";
	case -ENOENT:
		return "its leader is not here";
	case -EALREADY:
		return "its number is here already, as that of a session";
	default:
		return strerror(-err);
	}
}

/* A socket, silent, as the connection had it. */
static int
restore_socket(struct handoff__freight *load, struct handoff__item *item,
	struct handoff__error *error)
{
	item->parcel.outq = item->image.out_len;
	item->parcel.outq_ends = item->image.output_end != HANDOFF__IMAGE_OPEN;
	return handoff__migrate_prepare_with(
		&item->restore, &item->image, &load->usual, 0, error);
}

/* What stands for the socket that the session has lost: one that was never
 * connected, and ends as that would. */
static int
stand_in(struct handoff__item *item, struct handoff__error *error)
{
	const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

	item->restore.fd = socket(AF_INET, type, 0);
	if (item->restore.fd < 0 && errno == EAFNOSUPPORT)
		item->restore.fd = socket(AF_INET6, type, 0);
	if (item->restore.fd >= 0)
		return 0;
	return handoff__fail(error, -errno, "socket: %s", strerror(errno));
}

/* An entry of this peer. */
static bool
enter(struct handoff__freight *load, struct handoff__item *item)
{
	struct handoff__roster_entry *e;
	int err;

	item->restore.fd = handoff__high_raise(item->restore.fd);
	e = handoff__pair_receive(&load->ferry->pair, item->restore.fd,
		&item->parcel, load->slot, &err);
	if (!e) {
		handoff__landing_refuse(item, "%s", receive_text(err));
		item->restore.stage = HANDOFF__RESTORE_NONE;
		return false;
	}
	item->entry = e;
	item->restore.fd = e->fd;
	handoff__cargo(e)->load = (int32_t)load->slot;
	handoff__cargo(e)->index = (int32_t)(item - load->items);
	return true;
}

void
handoff__landing_prepare(
	struct handoff__freight *load, struct handoff__item *item)
{
	struct sockaddr_storage local, peer;
	struct handoff__error error;
	int err;

	if (!decode(load->ferry, item))
		return;
	item->id = item->parcel.id;
	err = item->absent ? stand_in(item, &error)
			   : restore_socket(load, item, &error);
	if (err < 0) {
		handoff__landing_refuse(item, "%.80s", error.text);
		return;
	}
	if (!enter(load, item) || item->absent)
		return;
	handoff__entry_begin(item->entry);
	handoff__image_local(&item->image, &local);
	handoff__image_peer(&item->image, &peer);
	if (handoff__flow_between(&local, &peer, &item->flow) < 0) {
		handoff__landing_refuse(item, "%s", "it has no addresses");
		handoff__landing_drop(load, item);
	}
}

/* The connection serves from here on. Until its mark is cleared a server that
 * gets it, because this process dies, compares the record with the socket: what
 * is put back is in both or in neither. */
void
handoff__landing_finish(
	struct handoff__freight *load, struct handoff__item *item)
{
	struct handoff__ferry *ferry = load->ferry;
	const struct handoff__view *view = &item->entry->view;
	const struct handoff__image *image = &item->image;
	struct handoff__error error;

	if (item->absent)
		return;
	/* the FIN that came before cannot come again: this is the same to a
	 * reader */
	if (image->input_ended)
		shutdown(item->entry->fd, SHUT_RD);
	if (handoff__migrate_commit(&item->restore, image, &error) < 0) {
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
			"connection %llu: %s", (unsigned long long)item->id,
			error.text);
		return;
	}
	if (item->restore.taken < image->out_len &&
		handoff__parcel_put_back(view, image->out + item->restore.taken,
			image->out_len - item->restore.taken, &error) < 0) {
		/* the stream would have a gap: no end that looks orderly */
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
			"connection %llu: reset: %s",
			(unsigned long long)item->id, error.text);
		handoff__still_reset(item->entry->fd);
	}
	handoff__entry_finished(item->entry);
}
