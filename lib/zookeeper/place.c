/* SPDX-License-Identifier: MIT */
/*
 * Addresses and files of credentials. Resolves the names of hosts, which may
 * block, so this is only done when a handle is opened. Connects to nothing.
 */
#include "zookeeper/place.h"

#include "zookeeper/component.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 4096
#define CREDS    "?creds="

static int
bad_address(const char *rest, const char *why, struct handoff__error *error)
{
	return handoff__fail(error, -EINVAL,
		"zookeeper: address '%.100s': %s: want " HANDOFF__ZK_FORM, rest,
		why);
}

static bool
is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in *sin = (const void *)sa;
	const struct sockaddr_in6 *sin6 = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(sin->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
}

/* Appends "ADDRESS:PORT" as numbers. */
static int
add_numeric(struct handoff__zk_place *place, const struct addrinfo *info)
{
	size_t len = strlen(place->hosts);
	char host[INET6_ADDRSTRLEN + 32], port[8];
	int n;

	if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host),
		    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	n = snprintf(place->hosts + len, sizeof(place->hosts) - len, "%s%s:%s",
		len > 0 ? "," : "", host, port);
	if (n < 0 || (size_t)n >= sizeof(place->hosts) - len) {
		place->hosts[len] = '\0';
		return -ENAMETOOLONG;
	}
	if (!is_loopback(info->ai_addr))
		place->loopback = false;
	return 0;
}

static int
resolve(struct handoff__zk_place *place, const char *host, const char *port,
	struct handoff__error *error)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(host, port, &hints, &list);
	int err = 0;

	if (rc != 0)
		return handoff__fail(error, -EAGAIN,
			"zookeeper: cannot resolve the host '%.80s' of port "
			"'%.20s': %s",
			host, port, gai_strerror(rc));
	for (struct addrinfo *info = list; info && err == 0;
		info = info->ai_next)
		err = add_numeric(place, info);
	freeaddrinfo(list);
	return err == 0 ? 0
			: handoff__fail(error, err,
				  "zookeeper: the addresses of '%.80s' do not "
				  "fit: %s",
				  host, strerror(-err));
}

/* "HOST:PORT" or "[HOST]:PORT" */
static int
add_host(struct handoff__zk_place *place, char *word, const char *rest,
	struct handoff__error *error)
{
	char *colon = strrchr(word, ':');
	char *host = word;
	size_t len;

	if (!colon || colon == word || !colon[1])
		return bad_address(rest, "a host has no port", error);
	*colon = '\0';
	len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		host++;
	} else if (strchr(host, ':')) {
		return bad_address(
			rest, "an IPv6 address needs brackets", error);
	}
	return resolve(place, host, colon + 1, error);
}

static int
add_hosts(struct handoff__zk_place *place, const char *rest, size_t len,
	struct handoff__error *error)
{
	char text[HANDOFF__ZK_HOSTS_MAX];
	char *left = NULL;
	int err = 0;

	if (len == 0 || len >= sizeof(text))
		return bad_address(rest, "no hosts, or too many", error);
	memcpy(text, rest, len);
	text[len] = '\0';
	place->loopback = true;
	for (char *word = strtok_r(text, ",", &left); word && err == 0;
		word = strtok_r(NULL, ",", &left))
		err = add_host(place, word, rest, error);
	return err;
}

static bool
store(char out[HANDOFF__ZK_SECRET_MAX], const char *value)
{
	if (strlen(value) >= HANDOFF__ZK_SECRET_MAX)
		return false;
	handoff__copy(out, HANDOFF__ZK_SECRET_MAX, value);
	return true;
}

/* "auth NAME:PASSWORD", "read anyone", "read NAME:HASH", or a comment */
static bool
take_line(struct handoff__zk_place *place, char *line)
{
	char *value;

	line += strspn(line, " \t");
	if (line[0] == '\0' || line[0] == '#')
		return true;
	value = line + strcspn(line, " \t");
	if (*value)
		*value++ = '\0';
	value += strspn(value, " \t");
	if (strcmp(line, "auth") == 0)
		return strchr(value, ':') && value[0] != ':' &&
		       store(place->auth, value);
	return strcmp(line, "read") == 0 &&
	       (strcmp(value, "anyone") == 0 || strchr(value, ':')) &&
	       store(place->readers, value);
}

static int
take_file(struct handoff__zk_place *place, char *text, const char *path,
	struct handoff__error *error)
{
	char *left = NULL;
	int number = 0;

	for (char *line = text; line; line = left) {
		left = strchr(line, '\n');
		if (left)
			*left++ = '\0';
		number++;
		if (!take_line(place, line))
			return handoff__fail(error, -EINVAL,
				"zookeeper: %.120s, line %d: want 'auth "
				"NAME:PASSWORD', 'read anyone' or 'read "
				"NAME:HASH'",
				path, number);
	}
	return place->auth[0] ? 0
			      : handoff__fail(error, -EINVAL,
					"zookeeper: %.120s: there is no line "
					"'auth NAME:PASSWORD'",
					path);
}

/* Others could read the password of a file that is theirs too. */
static int
check_file(int fd, const char *path, struct handoff__error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return handoff__fail(error, -errno, "zookeeper: %.120s: %s",
			path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 ||
		(st.st_uid != 0 && st.st_uid != geteuid()))
		return handoff__fail(error, -EACCES,
			"zookeeper: %.120s holds a password, and is not a file "
			"that only this user or root can read: chmod 600 it",
			path);
	return 0;
}

static int
read_creds(struct handoff__zk_place *place, const char *path,
	struct handoff__error *error)
{
	char text[FILE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = -1;
	int err;

	if (fd < 0)
		return handoff__fail(error, -errno,
			"zookeeper: cannot open the credentials %.120s: %s",
			path, strerror(errno));
	err = check_file(fd, path, error);
	if (err == 0)
		n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (err < 0)
		return err;
	if (n < 0)
		return handoff__fail(error, -EIO,
			"zookeeper: cannot read the credentials %.120s", path);
	text[n] = '\0';
	err = take_file(place, text, path, error);
	explicit_bzero(text, sizeof(text));
	return err;
}

/* "SERVICE[?creds=FILE]" */
static int
take_service(struct handoff__zk_place *place, const char *text,
	const char *rest, struct handoff__error *error)
{
	const char *option = strchr(text, '?');
	size_t len = option ? (size_t)(option - text) : strlen(text);

	if (len >= sizeof(place->service))
		return bad_address(
			rest, "the service's name is too long", error);
	memcpy(place->service, text, len);
	place->service[len] = '\0';
	if (!handoff__name_ok(place->service))
		return bad_address(rest,
			"a service's name is 1 to 31 of [A-Za-z0-9._-]", error);
	if (!option)
		return 0;
	if (strncmp(option, CREDS, strlen(CREDS)) != 0 ||
		!option[strlen(CREDS)])
		return bad_address(rest, "an unknown option", error);
	return read_creds(place, option + strlen(CREDS), error);
}

int
handoff__zk_place_parse(struct handoff__zk_place *place, const char *rest,
	bool writes, struct handoff__error *error)
{
	const char *slash = strchr(rest, '/');
	int err;

	*place = (struct handoff__zk_place){0};
	if (!slash)
		return bad_address(rest, "it names no service", error);
	err = take_service(place, slash + 1, rest, error);
	if (err == 0)
		err = add_hosts(place, rest, (size_t)(slash - rest), error);
	if (err == 0 && writes && !place->loopback && !place->auth[0])
		err = handoff__fail(error, -EACCES,
			"zookeeper: address '%.80s': beyond loopback anybody "
			"could take the lease or publish: name a file with "
			"'auth NAME:PASSWORD' by ?creds=FILE",
			rest);
	if (err < 0)
		handoff__zk_place_wipe(place);
	return err;
}

void
handoff__zk_place_wipe(struct handoff__zk_place *place)
{
	explicit_bzero(place->auth, sizeof(place->auth));
}
