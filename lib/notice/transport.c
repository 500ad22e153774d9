/* SPDX-License-Identifier: MIT */
/*
 * Finds a transport by the prefix of an address, among those of the library and
 * those that the program has added. Opens nothing.
 */
#include "notice/transport.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FORMS_MAX  200 /* bytes */
#define PREFIX_MAX 16  /* with a zero instead of the colon */

/* Of the whole process. Entries are never changed: a reader needs no lock. */
static struct handoff_transport added[HANDOFF_TRANSPORT_ADDED_MAX];
static atomic_size_t nadded;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

static const struct handoff_transport *
transport_at(size_t i)
{
	size_t own = 0;

	while (handoff__transports[own])
		own++;
	if (i < own)
		return handoff__transports[i];
	i -= own;
	return i < atomic_load_explicit(&nadded, memory_order_acquire)
		       ? &added[i]
		       : NULL;
}

/* "mq:DIR, sysv:DIR or unix:DIR" */
static void
list_forms(char out[FORMS_MAX])
{
	const struct handoff_transport *transport;
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; (transport = transport_at(i)) && len < FORMS_MAX;
		i++) {
		const char *sep = i == 0                ? ""
				  : transport_at(i + 1) ? ", "
							: " or ";

		len += (size_t)snprintf(out + len, FORMS_MAX - len, "%s%s", sep,
			transport->form);
	}
}

static const struct handoff_transport *
find(const char *address, const char **rest)
{
	const struct handoff_transport *transport;

	for (size_t i = 0; address && (transport = transport_at(i)); i++) {
		size_t len = strlen(transport->prefix);

		if (strncmp(address, transport->prefix, len) == 0) {
			*rest = address + len;
			return transport;
		}
	}
	return NULL;
}

const struct handoff_transport *
handoff__transport_find(const char *object, const char *address,
	const char **rest, struct handoff__error *error)
{
	const struct handoff_transport *transport = find(address, rest);
	char forms[FORMS_MAX];

	if (transport)
		return transport;
	list_forms(forms);
	handoff__fail(error, -EINVAL, "%s: address '%.120s': want %s", object,
		address ? address : "", forms);
	return NULL;
}

int
handoff__transport_check(const char *address, struct handoff__error *error)
{
	const char *rest = "";
	char forms[FORMS_MAX];

	if (find(address, &rest) && rest[0])
		return 0;
	list_forms(forms);
	return handoff__fail(error, -EINVAL,
		"'%.60s' is no address for notices: want %s", address, forms);
}

static int
check_table(
	const struct handoff_transport *transport, struct handoff__error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "0123456789+.-";
	const char *prefix = transport->prefix ? transport->prefix : "";
	size_t len = strspn(prefix, allowed);

	if (len == 0 || len >= PREFIX_MAX || strcmp(prefix + len, ":") != 0)
		return handoff__fail(error, -EINVAL,
			"transport: prefix '%.40s': want 1 to %d characters of "
			"a-z 0-9 + . - and a colon",
			prefix, PREFIX_MAX - 1);
	if (!transport->form || !transport->open || !transport->fd ||
		!transport->receive || !transport->publish || !transport->close)
		return handoff__fail(error, -EINVAL,
			"transport %s it must have a form and the calls open, "
			"fd, receive, publish and close",
			prefix);
	return 0;
}

static int
add(const struct handoff_transport *transport, struct handoff__error *error)
{
	size_t count = atomic_load(&nadded);
	const char *rest;

	if (find(transport->prefix, &rest))
		return handoff__fail(error, -EEXIST,
			"transport %s there is one with this prefix already",
			transport->prefix);
	if (count == HANDOFF_TRANSPORT_ADDED_MAX)
		return handoff__fail(error, -ENOSPC,
			"transport %s at most %d can be added",
			transport->prefix, HANDOFF_TRANSPORT_ADDED_MAX);
	added[count] = *transport;
	atomic_store_explicit(&nadded, count + 1, memory_order_release);
	return 0;
}

int
handoff_transport_add(const struct handoff_transport *transport, char *errbuf,
	size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	struct handoff_transport table;
	int err = handoff__opts_copy(&table, sizeof(table), transport,
		offsetof(struct handoff_transport, step));

	if (err < 0)
		handoff__fail(&error, err,
			"transport: the size of its table is %s",
			err == -E2BIG ? "that of a later version, whose calls "
					"this one does not know"
				      : "wrong");
	else
		err = check_table(&table, &error);
	if (err == 0) {
		pthread_mutex_lock(&adding);
		err = add(&table, &error);
		pthread_mutex_unlock(&adding);
	}
	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}
