/* SPDX-License-Identifier: MIT */
/* Addresses as text: "127.0.0.1:7000", "[::1]:7000", ":7000", "name:7000",
 * "unix:/path". */
#ifndef HANDOFF_BASE_ADDR_H
#define HANDOFF_BASE_ADDR_H

#include "base/text.h"

#include <netdb.h>
#include <sys/socket.h>

struct handoff__addr {
	bool local; /* a Unix socket: `path` */
	char path[108];
	char host[HANDOFF_ADDRESS_MAX]; /* empty: all addresses */
	char port[8];                   /* 0 to 65535, decimal */
};

/* Parses the text without resolving anything. -EINVAL with a sentence. */
int handoff__addr_parse(struct handoff__addr *addr, const char *text,
	struct handoff__error *error);

/* Stores a copy of the text, to be freed with free(3), in which the path of a
 * Unix socket is absolute, so that it can be bound and later removed whatever
 * the working directory is by then. -ENAMETOOLONG, and the errors of
 * getcwd(3). */
int handoff__addr_absolute(
	char **out, const char *text, struct handoff__error *error);

/* Converts an IPv4-mapped IPv6 address to IPv4; leaves any other address
 * alone. */
void handoff__addr_unmap(struct sockaddr *sa, socklen_t *len);

/* Formats a socket address as text of the same form; IPv4-mapped ones as
 * IPv4. */
void handoff__addr_format(
	const struct sockaddr *sa, socklen_t len, char *text, size_t size);

/* Copies the text, with a host name replaced by its first numeric address.
 * Waits for name servers. -EINVAL with a sentence if the name does not resolve;
 * `out` is then the text as it is. */
int handoff__addr_resolve(const char *text, char out[HANDOFF_ADDRESS_MAX],
	struct handoff__error *error);

/* Converts an address that something can be connected to without asking a name
 * server: a numeric host with a port, or an absolute path. -EINVAL for any
 * other. */
int handoff__addr_numeric(
	const char *text, struct sockaddr_storage *out, socklen_t *len);

/* Whether a listener on one address makes it impossible to listen on the other:
 * the same path, or the same port but 0, and the same host or all of them.
 * Hosts must be numeric. */
bool handoff__addr_excludes(const char *one, const char *other);

/* Whether the host has IPv6, so that ":port" includes it. */
bool handoff__addr_has_six(void);

/* Removes a socket file that no process listens on, and no other file:
 * -EADDRINUSE. */
int handoff__addr_clear(const char *path);

/* Opens a listening, non-blocking, close-on-exec socket. Does not resolve host
 * names: a host must be numeric. ":port" accepts both IPv6 and IPv4 if the host
 * has IPv6. A Unix socket left behind by a dead
 * process is replaced; a live one gives -EADDRINUSE. Returns the descriptor and
 * stores the address it is bound to. */
int handoff__addr_listen(const char *text, char bound[HANDOFF_ADDRESS_MAX],
	struct handoff__error *error);

#endif
