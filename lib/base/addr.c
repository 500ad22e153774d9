/* SPDX-License-Identifier: MIT */
/*
 * Parses and formats addresses, and opens sockets that listen on them.
 */
#include "base/addr.h"

#include "base/path.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* the kernel caps it at net.core.somaxconn (listen(2)) */
#define LISTEN_BACKLOG 4096

#define ADDRESS_FORMS "want HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH"

static int
parse_local(struct handoff__addr *addr, const char *path, const char *text,
	struct handoff__error *error)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(addr->path))
		return handoff__fail(error, -EINVAL,
			"address '%.120s': the path must have 1 to %zu bytes",
			text, sizeof(addr->path) - 1);
	for (const char *c = path; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 127)
			return handoff__fail(error, -EINVAL,
				"address of a Unix socket: byte %zu of its "
				"path is a control character",
				(size_t)(c - path) + 1);
	}
	addr->local = true;
	memcpy(addr->path, path, len + 1);
	return 0;
}

static bool
parse_port(char *out, size_t size, const char *port)
{
	size_t len = strlen(port);

	if (len == 0 || len > 5 || strspn(port, "0123456789") != len ||
		strtoul(port, NULL, 10) > 65535)
		return false;
	handoff__copy(out, size, port);
	return true;
}

/* Finds the host in `text` up to the colon before the port. */
static bool
split_host(const char *text, const char **host, size_t *len, const char **port)
{
	const char *end;

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || end == text + 1 || end[1] != ':')
			return false;
		*host = text + 1;
		*port = end + 2;
	} else {
		end = strrchr(text, ':');
		if (!end || memchr(text, ':', (size_t)(end - text)))
			return false;
		*host = text;
		*port = end + 1;
	}
	*len = (size_t)(end - *host);
	return strcspn(*host, "[]") >= *len;
}

int
handoff__addr_parse(struct handoff__addr *addr, const char *text,
	struct handoff__error *error)
{
	const char *host, *port;
	size_t len;

	memset(addr, 0, sizeof(*addr));
	if (!text)
		return handoff__fail(error, -EINVAL, "address: none given");
	if (strncmp(text, "unix:", 5) == 0)
		return parse_local(addr, text + 5, text, error);
	if (!split_host(text, &host, &len, &port) || len >= sizeof(addr->host))
		return handoff__fail(error, -EINVAL,
			"address '%.120s': " ADDRESS_FORMS, text);
	memcpy(addr->host, host, len);
	if (!parse_port(addr->port, sizeof(addr->port), port))
		return handoff__fail(error, -EINVAL,
			"address '%.120s': the port must be a number from 0 "
			"to 65535",
			text);
	return 0;
}

int
handoff__addr_absolute(
	char **out, const char *text, struct handoff__error *error)
{
	const size_t most = sizeof(((struct handoff__addr *)0)->path) - 1;
	char *path = NULL, *copy = NULL;
	int err = 0;

	if (strncmp(text, "unix:", 5) == 0 && text[5] != '\0')
		err = handoff__path_absolute(&path, text + 5);
	if (err == 0 && path && text[5] != '/' && strlen(path) > most)
		err = -ENAMETOOLONG;
	if (err == 0 && asprintf(&copy, path ? "unix:%s" : "%s",
				path ? path : text) < 0)
		err = -ENOMEM;
	free(path);
	if (err == -ENAMETOOLONG)
		return handoff__fail(error, err,
			"address '%.120s': with the working directory the "
			"path has more than %zu bytes: give a shorter one",
			text, most);
	if (err < 0)
		return handoff__fail(error, err,
			"address '%.120s': cannot make its path absolute: %s",
			text, strerror(-err));
	*out = copy;
	return 0;
}

/* An IPv4 client of an IPv6 socket has an IPv4-mapped address (RFC 4291,
 * 2.5.5.2). */
void
handoff__addr_unmap(struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four = {.sin_family = AF_INET};

	if (sa->sa_family != AF_INET6 || *len < sizeof(six))
		return;
	memcpy(&six, sa, sizeof(six));
	if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	four.sin_port = six.sin6_port;
	memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12],
		sizeof(four.sin_addr));
	memcpy(sa, &four, sizeof(four));
	*len = sizeof(four);
}

void
handoff__addr_format(
	const struct sockaddr *sa, socklen_t len, char *text, size_t size)
{
	char host[HANDOFF_ADDRESS_MAX / 2], port[8];
	struct sockaddr_storage plain = {0};

	if (sa->sa_family == AF_UNIX) {
		const struct sockaddr_un *sun = (const void *)sa;

		snprintf(text, size, "unix:%.107s",
			len > sizeof(sa_family_t) ? sun->sun_path : "");
		return;
	}
	len = len < sizeof(plain) ? len : (socklen_t)sizeof(plain);
	memcpy(&plain, sa, len);
	handoff__addr_unmap((struct sockaddr *)&plain, &len);
	if (getnameinfo((struct sockaddr *)&plain, len, host, sizeof(host),
		    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		handoff__copy(text, size, "?");
		return;
	}
	snprintf(text, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
		port);
}

int
handoff__addr_resolve(const char *text, char out[HANDOFF_ADDRESS_MAX],
	struct handoff__error *error)
{
	struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct handoff__addr addr;
	struct addrinfo *list;
	int rc = handoff__addr_parse(&addr, text, error);

	handoff__copy(out, HANDOFF_ADDRESS_MAX, text);
	if (rc < 0 || addr.local || addr.host[0] == '\0')
		return rc;
	rc = getaddrinfo(addr.host, addr.port, &hints, &list);
	if (rc != 0)
		return handoff__fail(error, -EINVAL,
			"address '%.120s': cannot resolve the host: %s", text,
			gai_strerror(rc));
	handoff__addr_format(
		list->ai_addr, list->ai_addrlen, out, HANDOFF_ADDRESS_MAX);
	freeaddrinfo(list);
	return 0;
}

static void
to_local(const char *path, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	handoff__copy(sun.sun_path, sizeof(sun.sun_path), path);
	memset(out, 0, sizeof(*out));
	memcpy(out, &sun, sizeof(sun));
	*len = sizeof(sun);
}

int
handoff__addr_numeric(
	const char *text, struct sockaddr_storage *out, socklen_t *len)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST,
		.ai_socktype = SOCK_STREAM,
	};
	struct handoff__addr addr;
	struct addrinfo *list;

	if (handoff__addr_parse(&addr, text, NULL) < 0)
		return -EINVAL;
	if (addr.local) {
		if (addr.path[0] != '/')
			return -EINVAL;
		to_local(addr.path, out, len);
		return 0;
	}
	if (addr.host[0] == '\0' || strtoul(addr.port, NULL, 10) == 0 ||
		getaddrinfo(addr.host, addr.port, &hints, &list) != 0)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	memcpy(out, list->ai_addr, list->ai_addrlen);
	*len = list->ai_addrlen;
	freeaddrinfo(list);
	return 0;
}

static bool
is_all(const struct handoff__addr *addr)
{
	return addr->host[0] == '\0' || strcmp(addr->host, "::") == 0;
}

/* Whether a wildcard of IPv4 includes the host. */
static bool
is_all_four_with(const struct handoff__addr *all, const struct handoff__addr *a)
{
	return strcmp(all->host, "0.0.0.0") == 0 && !strchr(a->host, ':');
}

bool
handoff__addr_excludes(const char *one, const char *other)
{
	struct handoff__addr a, b;
	unsigned long port;

	if (handoff__addr_parse(&a, one, NULL) < 0 ||
		handoff__addr_parse(&b, other, NULL) < 0 || a.local != b.local)
		return false;
	if (a.local)
		return strcmp(a.path, b.path) == 0;
	port = strtoul(a.port, NULL, 10);
	if (port == 0 || port != strtoul(b.port, NULL, 10))
		return false;
	return is_all(&a) || is_all(&b) || is_all_four_with(&a, &b) ||
	       is_all_four_with(&b, &a) || strcmp(a.host, b.host) == 0;
}

int
handoff__addr_clear(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, err;

	handoff__copy(sun.sun_path, sizeof(sun.sun_path), path);
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0
		      ? errno
		      : 0;
	close(fd);
	if (err != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int
listen_local(const struct handoff__addr *addr)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int err, fd;

	handoff__copy(sun.sun_path, sizeof(sun.sun_path), addr->path);
	err = handoff__addr_clear(addr->path);
	if (err < 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
		listen(fd, LISTEN_BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int
listen_inet(const struct sockaddr *sa, socklen_t len)
{
	int one = 1, zero = 0, err;
	int fd = socket(
		sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* Accepted sockets inherit the listener's options. Urgent data must
	 * stay inline (RFC 6093): the kernel's counters include an out-of-band
	 * byte, but recv(2) would leave it out of the stream. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, sa, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool
lacks_six(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

bool
handoff__addr_has_six(void)
{
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_ANY_INIT,
	};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return !lacks_six(-errno);
	if (bind(fd, (struct sockaddr *)&six, sizeof(six)) < 0)
		err = -errno;
	close(fd);
	return !lacks_six(err);
}

static int
listen_any(const char *port)
{
	unsigned number = (unsigned)strtoul(port, NULL, 10);
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)number),
		.sin6_addr = IN6ADDR_ANY_INIT,
	};
	struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)number),
	};
	int fd = listen_inet((struct sockaddr *)&six, sizeof(six));

	if (!lacks_six(fd))
		return fd;
	return listen_inet((struct sockaddr *)&four, sizeof(four));
}

static int
listen_numeric(const struct handoff__addr *addr, const char *text,
	struct handoff__error *error)
{
	struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list;
	int rc = getaddrinfo(addr->host, addr->port, &hints, &list);
	int fd;

	if (rc != 0)
		return handoff__fail(error, -EINVAL,
			"address '%.120s': cannot resolve the host: %s", text,
			gai_strerror(rc));
	fd = listen_inet(list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return fd;
}

int
handoff__addr_listen(const char *text, char bound[HANDOFF_ADDRESS_MAX],
	struct handoff__error *error)
{
	struct handoff__addr addr;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = handoff__addr_parse(&addr, text, error);

	if (fd < 0)
		return fd;
	if (error)
		error->text[0] = '\0';
	if (addr.local)
		fd = listen_local(&addr);
	else if (addr.host[0] == '\0')
		fd = listen_any(addr.port);
	else
		fd = listen_numeric(&addr, text, error);
	if (fd < 0) {
		if (error && error->text[0] == '\0')
			handoff__fail(error, fd,
				"address '%.120s': cannot listen: %s", text,
				strerror(-fd));
		return fd;
	}
	memset(&ss, 0, sizeof(ss));
	getsockname(fd, (struct sockaddr *)&ss, &len);
	handoff__addr_format(
		(struct sockaddr *)&ss, len, bound, HANDOFF_ADDRESS_MAX);
	return fd;
}
