/* SPDX-License-Identifier: MIT */
/*
 * Options of a program's command line that are about TLS. Reads no file.
 */
#include "base/text.h"
#include "tls/component.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct option {
	const char *name;
	size_t at; /* in struct handoff_tls_opts */
};

static const struct option options[] = {
	{"--tls-cert", offsetof(struct handoff_tls_opts, cert_file)},
	{"--tls-key", offsetof(struct handoff_tls_opts, key_file)},
	{"--tls-client-ca", offsetof(struct handoff_tls_opts, client_ca_file)},
};

#define COUNT (sizeof(options) / sizeof(options[0]))

/* The option that this argument is; `*value`: what is behind its "=". */
static const struct option *
find(const char *argument, const char **value)
{
	for (size_t i = 0; i < COUNT; i++) {
		size_t len = strlen(options[i].name);

		if (strncmp(argument, options[i].name, len) != 0)
			continue;
		*value = argument[len] == '=' ? argument + len + 1 : NULL;
		if (argument[len] == '=' || argument[len] == '\0')
			return &options[i];
	}
	return NULL;
}

static const char **
field(struct handoff_tls_opts *opts, const struct option *option)
{
	return (const char **)(void *)((char *)opts + option->at);
}

/* Takes one, and its value; `*i` is its place, then that of the next. */
static int
take(struct handoff_tls_opts *opts, const struct option *option,
	const char *value, int argc, char **argv, int *i,
	struct handoff__error *error)
{
	const char **to = field(opts, option);

	if (!value && *i + 1 < argc)
		value = argv[++*i];
	++*i;
	if (!value || !*value)
		return handoff__fail(error, -EINVAL,
			"%s needs the name of a "
			"file in PEM",
			option->name);
	if (*to)
		return handoff__fail(error, -EINVAL,
			"%s is given twice: %s "
			"and %s",
			option->name, *to, value);
	*to = value;
	return 0;
}

static int
check(const struct handoff_tls_opts *opts, struct handoff__error *error)
{
	if (opts->cert_file && opts->key_file)
		return 1;
	if (opts->cert_file || opts->key_file)
		return handoff__fail(error, -EINVAL,
			"%s without %s: TLS needs "
			"both",
			options[opts->key_file ? 1 : 0].name,
			options[opts->key_file ? 0 : 1].name);
	if (opts->client_ca_file)
		return handoff__fail(error, -EINVAL,
			"--tls-client-ca without --tls-cert and --tls-key");
	return 0;
}

static int
read_all(struct handoff_tls_opts *opts, int *argc, char **argv,
	struct handoff__error *error)
{
	int kept = 1, i = 1, err = 0;

	while (i < *argc && err == 0) {
		const char *value;
		const struct option *option = find(argv[i], &value);

		if (strcmp(argv[i], "--") == 0)
			break;
		if (option)
			err = take(opts, option, value, *argc, argv, &i, error);
		else
			argv[kept++] = argv[i++];
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
	return err < 0 ? err : check(opts, error);
}

int
handoff_tls_opts_read(struct handoff_tls_opts *opts, int *argc, char **argv,
	char *errbuf, size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	int rc;

	if (!opts || !argc || !argv || *argc < 1 ||
		opts->size < offsetof(struct handoff_tls_opts, client))
		return -EINVAL;
	rc = read_all(opts, argc, argv, &error);
	if (rc < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return rc;
}
