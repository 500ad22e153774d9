/* SPDX-License-Identifier: MIT */
/*
 * Parses addresses of the component and reads the file with a login. Secrets
 * are in files only, since everybody can read a command line. Connects to
 * nothing.
 */
#include "nats/address.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLICAS_MAX 5 /* of JetStream */

#define FORM "nats://HOST:PORT[,HOST:PORT...]/SERVICE[?NAME=VALUE&...]"

static int
open_secret(const char *path, struct handoff__error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		handoff__fail(error, -errno, "nats: cannot read %s: %s", path,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return -EACCES;
	}
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return fd;
	close(fd);
	return handoff__fail(error, -EACCES,
		"nats: %s holds a secret, but its mode is %04o: others can "
		"read it: chmod 600",
		path, (unsigned)st.st_mode & 07777u);
}

static int
check_secret(const char *path, struct handoff__error *error)
{
	int fd = open_secret(path, error);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int
check_file(const char *path, struct handoff__error *error)
{
	if (access(path, R_OK) == 0)
		return 0;
	return handoff__fail(error, -errno, "nats: cannot read %s: %s", path,
		strerror(errno));
}

int
handoff__nats_login_read(struct handoff__nats_login *login, const char *path,
	struct handoff__error *error)
{
	int fd = open_secret(path, error);
	ssize_t n = fd < 0 ? -1 : read(fd, login->text, sizeof(login->text));
	char *colon;

	if (fd < 0)
		return fd;
	close(fd);
	if (n <= 0 || n == (ssize_t)sizeof(login->text))
		return handoff__fail(error, -EINVAL,
			"nats: %s: want a line with USER:PASSWORD or a token, "
			"at most %d bytes",
			path, HANDOFF__NATS_SECRET_MAX - 1);
	login->text[n] = '\0';
	login->text[strcspn(login->text, "\r\n")] = '\0';
	colon = strchr(login->text, ':');
	if (colon)
		*colon = '\0';
	login->user = login->text;
	login->password = colon ? colon + 1 : NULL;
	return 0;
}

/* No user and no path: only what may be in a name or an IP address. */
static bool
host_ok(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_:[]";

	return host[0] && strspn(host, allowed) == strlen(host);
}

static int
add_server(struct handoff__nats_address *a, const char *host,
	struct handoff__error *error)
{
	if (a->nservers == HANDOFF__NATS_SERVERS_MAX)
		return handoff__fail(error, -EINVAL,
			"nats: at most %d servers can be named",
			HANDOFF__NATS_SERVERS_MAX);
	if (strchr(host, '@'))
		return handoff__fail(error, -EINVAL,
			"nats: no user or password in an address, which others "
			"can see: name a file, ?login=FILE");
	if (!host_ok(host))
		return handoff__fail(error, -EINVAL,
			"nats: '%.60s' is no HOST:PORT: want %s", host, FORM);
	if (asprintf(&a->servers[a->nservers], "%s://%s",
		    a->tls ? "tls" : "nats", host) < 0)
		return handoff__fail(error, -ENOMEM, "nats: out of memory");
	a->nservers++;
	return 0;
}

static int
add_servers(struct handoff__nats_address *a, const char *list,
	struct handoff__error *error)
{
	char host[256];
	int err = 0;

	do {
		size_t len = strcspn(list, ",");

		snprintf(host, sizeof(host), "%.*s",
			len < sizeof(host) ? (int)len : 0, list);
		err = add_server(a, host, error);
		list += len;
	} while (err == 0 && *list++ == ',');
	return err;
}

static int
set_file(char **file, const char *value, struct handoff__error *error)
{
	int err = *file ? -EINVAL : handoff__path_absolute(file, value);

	return err < 0 ? handoff__fail(error, err, "nats: file '%.120s': %s",
				 value,
				 err == -EINVAL ? "one is named already"
						: strerror(-err))
		       : 0;
}

static int
set_replicas(struct handoff__nats_address *a, const char *value,
	struct handoff__error *error)
{
	if (value[0] < '1' || value[0] > '0' + REPLICAS_MAX || value[1])
		return handoff__fail(error, -EINVAL,
			"nats: replicas=%.20s: want 1 to %d", value,
			REPLICAS_MAX);
	a->replicas = (unsigned)(value[0] - '0');
	return 0;
}

static int
set_stream(struct handoff__nats_address *a, const char *value,
	struct handoff__error *error)
{
	/* a dot would be another level of the subjects of its API */
	if (!handoff__name_ok(value) || strchr(value, '.'))
		return handoff__fail(error, -EINVAL,
			"nats: stream=%.40s: want 1 to %d characters of A-Z "
			"a-z 0-9 _ -",
			value, HANDOFF__NATS_STREAM_MAX - 1);
	handoff__copy(a->stream, sizeof(a->stream), value);
	return 0;
}

static int
set_option(struct handoff__nats_address *a, const char *name, const char *value,
	struct handoff__error *error)
{
	const struct {
		const char *name;
		char **file;
	} files[] = {{"login", &a->login}, {"creds", &a->creds}, {"ca", &a->ca},
		{"cert", &a->cert}, {"key", &a->key}};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(name, files[i].name) == 0)
			return set_file(files[i].file, value, error);
	}
	if (strcmp(name, "replicas") == 0)
		return set_replicas(a, value, error);
	if (strcmp(name, "stream") == 0)
		return set_stream(a, value, error);
	return handoff__fail(error, -EINVAL,
		"nats: '%.40s' is no option of an address: want login, creds, "
		"ca, cert, key, replicas or stream",
		name);
}

/* "NAME=VALUE&NAME=VALUE" */
static int
set_options(struct handoff__nats_address *a, char *options,
	struct handoff__error *error)
{
	char *rest = options, *option;
	int err = 0;

	while (err == 0 && (option = strsep(&rest, "&"))) {
		char *value = strchr(option, '=');

		if (value)
			*value++ = '\0';
		err = set_option(a, option, value ? value : "", error);
	}
	return err;
}

static int
check_options(
	const struct handoff__nats_address *a, struct handoff__error *error)
{
	int err = 0;

	if (!a->tls && (a->ca || a->cert || a->key))
		return handoff__fail(error, -EINVAL,
			"nats: ca, cert and key are for TLS: want nats+tls://");
	if (!a->cert != !a->key)
		return handoff__fail(
			error, -EINVAL, "nats: cert and key go together");
	if (a->login && a->creds)
		return handoff__fail(
			error, -EINVAL, "nats: either login or creds");
	if (a->login)
		err = check_secret(a->login, error);
	if (err == 0 && a->creds)
		err = check_secret(a->creds, error);
	if (err == 0 && a->key)
		err = check_secret(a->key, error);
	if (err == 0 && a->ca)
		err = check_file(a->ca, error);
	return err == 0 && a->cert ? check_file(a->cert, error) : err;
}

/* A subject is made of it, of which each dot begins a level. */
static int
set_service(struct handoff__nats_address *a, const char *service,
	struct handoff__error *error)
{
	size_t len = strlen(service);

	if (!handoff__name_ok(service) || strstr(service, "..") ||
		service[len - 1] == '.')
		return handoff__fail(error, -EINVAL,
			"nats: service '%.40s': want a name of A-Z a-z 0-9 . _ "
			"- without empty parts: %s",
			service, FORM);
	handoff__copy(a->service, sizeof(a->service), service);
	snprintf(a->state, sizeof(a->state), "%s%s", HANDOFF__NATS_STATE,
		service);
	snprintf(a->live, sizeof(a->live), "%s%s", HANDOFF__NATS_LIVE, service);
	return 0;
}

static int
parse(struct handoff__nats_address *a, struct handoff__error *error)
{
	char *hosts = a->text + 2, *service = NULL, *options = NULL;
	int err = 0;

	if (strncmp(a->text, "//", 2) == 0)
		service = strchr(hosts, '/');
	if (!service)
		return handoff__fail(error, -EINVAL, "nats: '%.80s': want %s",
			a->text, FORM);
	*service++ = '\0';
	a->hosts = hosts;
	options = strchr(service, '?');
	if (options)
		*options++ = '\0';
	err = add_servers(a, hosts, error);
	if (err == 0)
		err = set_service(a, service, error);
	if (err == 0 && options)
		err = set_options(a, options, error);
	return err == 0 ? check_options(a, error) : err;
}

int
handoff__nats_address_parse(struct handoff__nats_address *address,
	const char *rest, bool tls, struct handoff__error *error)
{
	int err;

	memset(address, 0, sizeof(*address));
	address->tls = tls;
	address->text = strdup(rest);
	if (!address->text)
		return handoff__fail(error, -ENOMEM, "nats: out of memory");
	handoff__copy(address->stream, sizeof(address->stream), "HANDOFF");
	err = parse(address, error);
	/* three is what survives the loss of one */
	if (err == 0 && address->replicas == 0)
		address->replicas = address->nservers < 3 ? 1 : 3;
	if (err < 0)
		handoff__nats_address_free(address);
	return err;
}

void
handoff__nats_address_free(struct handoff__nats_address *address)
{
	for (size_t i = 0; i < address->nservers; i++)
		free(address->servers[i]);
	free(address->login);
	free(address->creds);
	free(address->ca);
	free(address->cert);
	free(address->key);
	free(address->text);
	memset(address, 0, sizeof(*address));
}
