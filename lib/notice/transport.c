/* SPDX-License-Identifier: MIT */
/*
 * Finds a transport by the prefix of an address, among those of the library and
 * those that the program has added. Opens nothing.
 */
#include "notice/transport.h"

#include "base/scheme.h"

static struct handoff_transport added[HANDOFF_TRANSPORT_ADDED_MAX];
static struct handoff__schemes schemes = {
	.noun = "transport",
	.purpose = "notices",
	.nothing = "one of a transport, and none was added",
	.tables = added,
	.table_size = sizeof(added[0]),
	.tables_max = HANDOFF_TRANSPORT_ADDED_MAX,
	.adding = PTHREAD_MUTEX_INITIALIZER,
};

static void
enter_own(void)
{
	for (size_t i = 0; handoff__transports[i]; i++) {
		const struct handoff_transport *t = handoff__transports[i];
		struct handoff__scheme own = {t->prefix, t->form, t};

		handoff__scheme_own(&schemes, &own);
	}
}

static struct handoff__schemes *
transports(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, enter_own);
	return &schemes;
}

const struct handoff_transport *
handoff__transport_find(const char *object, const char *address,
	const char **rest, struct handoff__error *error)
{
	return handoff__scheme_find(transports(), object, address, rest, error);
}

int
handoff__transport_check(const char *address, struct handoff__error *error)
{
	return handoff__scheme_check(transports(), address, error);
}

static const char *
lacks(const struct handoff_transport *t)
{
	if (t->form && t->open && t->fd && t->receive && t->publish && t->close)
		return NULL;
	return "a form and the calls open, fd, receive, publish and close";
}

int
handoff_transport_add(const struct handoff_transport *transport, char *errbuf,
	size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	struct handoff_transport table;
	int err = handoff__scheme_copy(transports(), &table, transport,
		offsetof(struct handoff_transport, step), &error);

	if (err == 0) {
		struct handoff__scheme scheme = {
			table.prefix, table.form, &table};

		err = handoff__scheme_add(
			transports(), &scheme, lacks(&table), &error);
	}
	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}
