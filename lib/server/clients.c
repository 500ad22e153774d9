/* SPDX-License-Identifier: MIT */
/*
 * The addresses of a connection's two ends. The client's is kept in the record
 * from accept(2) on: a socket that was reset does not tell it any more.
 */
#include "server/clients.h"

#include "base/addr.h"
#include "record/older.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

void
handoff__client_note(
	struct handoff__client *client, const struct sockaddr_storage *ss)
{
	struct sockaddr_storage plain = *ss;
	socklen_t len = sizeof(plain);

	memset(client, 0, sizeof(*client));
	handoff__addr_unmap((struct sockaddr *)&plain, &len);
	if (plain.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&plain;

		memcpy(client->ip, &in->sin_addr, sizeof(in->sin_addr));
		client->port = in->sin_port;
		client->family = 4;
	} else if (plain.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)&plain;

		memcpy(client->ip, &in->sin6_addr, sizeof(in->sin6_addr));
		client->port = in->sin6_port;
		client->family = 6;
	}
}

void
handoff__client_of(const struct handoff__view *view, int fd,
	struct handoff__client *client)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	*client = (struct handoff__client){.family = 0};
	if (!handoff__older(view->seg))
		*client = view->rec->extra.client;
	if (client->family == 0 &&
		getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
		handoff__client_note(client, &ss);
}

/* The address kept in the record; its length, 0 if there is none. */
static socklen_t
kept_address(const struct handoff__client *client, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (client->family == 4) {
		struct sockaddr_in *in = (void *)ss;

		in->sin_family = AF_INET;
		in->sin_port = client->port;
		memcpy(&in->sin_addr, client->ip, sizeof(in->sin_addr));
		return sizeof(*in);
	}
	if (client->family == 6) {
		struct sockaddr_in6 *in = (void *)ss;

		in->sin6_family = AF_INET6;
		in->sin6_port = client->port;
		memcpy(&in->sin6_addr, client->ip, sizeof(in->sin6_addr));
		return sizeof(*in);
	}
	return 0;
}

static int
store_text(const struct sockaddr_storage *ss, socklen_t len, char *text,
	size_t size)
{
	char full[HANDOFF_ADDRESS_MAX];

	handoff__addr_format(
		(const struct sockaddr *)ss, len, full, sizeof(full));
	if (strlen(full) >= size)
		return -ENOBUFS;
	strcpy(text, full);
	return 0;
}

/* Whether the record has all of the address: the scope of a link-local one is
 * only known to the socket. */
static bool
is_complete(const struct handoff__client *client)
{
	return client->family == 4 ||
	       (client->family == 6 && !(client->ip[0] == 0xfe &&
					       (client->ip[1] & 0xc0) == 0x80));
}

int
handoff__client_text(
	const struct handoff__view *view, int fd, char *text, size_t size)
{
	const struct handoff__client none = {.family = 0};
	const struct handoff__client *client =
		handoff__older(view->seg) ? &none : &view->rec->extra.client;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	if (is_complete(client) ||
		getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		len = kept_address(client, &ss);
	return len > 0 ? store_text(&ss, len, text, size) : -ENOTCONN;
}

int
handoff_conn_peer(const struct handoff_conn *conn, char *text, size_t size)
{
	return text ? handoff__client_text(&conn->view, conn->fd, text, size)
		    : -EINVAL;
}

int
handoff_conn_local(const struct handoff_conn *conn, char *text, size_t size)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	if (!text)
		return -EINVAL;
	if (getsockname(conn->fd, (struct sockaddr *)&ss, &len) < 0)
		return -ENOTCONN;
	return store_text(&ss, len, text, size);
}
