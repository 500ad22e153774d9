/* SPDX-License-Identifier: MIT */
/*
 * The address of a client: kept in its record, and as text.
 */
#ifndef HANDOFF_SERVER_CLIENTS_H
#define HANDOFF_SERVER_CLIENTS_H

#include "record/record.h"

struct sockaddr_storage;

/* Converts what accept(2) has stored. */
void handoff__client_note(
	struct handoff__client *client, const struct sockaddr_storage *ss);

/* The address of a connection that may have none in its record, because an
 * older library has accepted it. */
void handoff__client_of(const struct handoff__view *view, int fd,
	struct handoff__client *client);

/* Stores the address as text; `fd` may be -1. -ENOBUFS, or -ENOTCONN if it is
 * not known. */
int handoff__client_text(
	const struct handoff__view *view, int fd, char *text, size_t size);

#endif
