/* SPDX-License-Identifier: MIT */
/*
 * Parses command-line options by a table. Two passes over argv: the first
 * checks every value and changes nothing, the second cannot fail. Nothing is
 * allocated: values stay where they are, and the pointers of a list are stored
 * in the freed part of argv, in which each of them had at least one.
 */
#include "base/argv.h"

#include "base/addr.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	const struct handoff__arguments *known;
	char *fields;
	size_t size;
	int argc;
	char **argv;
	const char *given[HANDOFF__ARGUMENTS_MAX]; /* the value of each
						    * option */
	struct list {
		const struct handoff__argument *argument; /* NULL: free */
		const char *values[HANDOFF__ARGUMENT_LIST_MAX];
		uint32_t count;
	} lists[HANDOFF__ARGUMENT_LISTS];
	struct handoff__error *error;
};

/* An option of the table. */
struct found {
	const struct handoff__argument *argument; /* NULL: not in the table */
	const char *value;                        /* NULL: there is none */
	int words;
};

static size_t
width(enum handoff__argument_kind kind)
{
	switch (kind) {
	case HANDOFF__ARGUMENT_FLAG:
		return sizeof(bool);
	case HANDOFF__ARGUMENT_TEXT:
		return sizeof(char *);
	case HANDOFF__ARGUMENT_LIST:
		return sizeof(char **) + sizeof(size_t);
	case HANDOFF__ARGUMENT_NUMBER:
	case HANDOFF__ARGUMENT_CHOICE:
		break;
	}
	return sizeof(uint32_t);
}

static const struct handoff__argument *
look_up_option(const struct reading *r, const char *name, size_t len)
{
	for (size_t i = 0; i < r->known->count; i++) {
		const struct handoff__argument *a = &r->known->table[i];

		if (strncmp(a->name, name, len) == 0 && a->name[len] == '\0' &&
			a->offset + width(a->kind) <= r->size)
			return a;
	}
	return NULL;
}

static bool
is_option(const char *word)
{
	return strncmp(word, "--", 2) == 0;
}

/* Looks up argv[i]. A word that looks like an option of the table is never
 * taken for the value of the option before it, whose value is more likely
 * missing. */
static struct found
find_option(const struct reading *r, int i)
{
	struct found found = {.words = 1};
	const char *name = r->argv[i] + 2;
	size_t len;

	if (!is_option(r->argv[i]))
		return found;
	len = strcspn(name, "=");
	found.argument = look_up_option(r, name, len);
	if (!found.argument)
		return found;
	if (name[len] == '=') {
		found.value = name + len + 1;
	} else if (found.argument->kind != HANDOFF__ARGUMENT_FLAG &&
		   i + 1 < r->argc && !is_option(r->argv[i + 1])) {
		found.value = r->argv[i + 1];
		found.words = 2;
	}
	return found;
}

static bool
read_number(const char *text, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno != 0 || n < 1 ||
		n > max)
		return false;
	*out = (uint32_t)n;
	return true;
}

static int
check_value(
	struct reading *r, const struct handoff__argument *a, const char *value)
{
	struct handoff__error why;
	uint32_t number;
	int rc;

	if (value[0] == '\0')
		return handoff__fail(
			r->error, -EINVAL, "--%s: its value is empty", a->name);
	if (a->kind == HANDOFF__ARGUMENT_NUMBER &&
		!read_number(value, a->max, &number))
		return handoff__fail(r->error, -EINVAL,
			"--%s: '%.40s' is not a number from 1 to %u", a->name,
			value, a->max);
	rc = a->check ? a->check(value, &why) : 0;
	if (rc < 0)
		return handoff__fail(
			r->error, -EINVAL, "--%s: %s", a->name, why.text);
	return 0;
}

static struct list *
list_of(struct reading *r, const struct handoff__argument *a)
{
	size_t i = 0;

	while (r->lists[i].argument && r->lists[i].argument != a)
		i++;
	assert(i < HANDOFF__ARGUMENT_LISTS);
	r->lists[i].argument = a;
	return &r->lists[i];
}

static int
check_option(struct reading *r, const struct found *found)
{
	const struct handoff__argument *a = found->argument;
	const char **given = &r->given[a - r->known->table];
	struct list *list =
		a->kind == HANDOFF__ARGUMENT_LIST ? list_of(r, a) : NULL;

	if (a->kind == HANDOFF__ARGUMENT_FLAG && found->value)
		return handoff__fail(r->error, -EINVAL,
			"--%s takes no value, but got '%.40s'", a->name,
			found->value);
	if (a->kind != HANDOFF__ARGUMENT_FLAG && !found->value)
		return handoff__fail(r->error, -EINVAL,
			"--%s: its value is missing", a->name);
	if (list && list->count == a->max)
		return handoff__fail(r->error, -EINVAL,
			"--%s '%.40s': it was given %u times already, the most "
			"that there may be",
			a->name, found->value, a->max);
	if (a->kind == HANDOFF__ARGUMENT_FLAG && *given)
		return handoff__fail(
			r->error, -EINVAL, "--%s is given twice", a->name);
	if (!list && *given)
		return handoff__fail(r->error, -EINVAL,
			"--%s is given twice: '%.40s' and '%.40s'", a->name,
			*given, found->value);
	if (list)
		list->values[list->count++] = found->value;
	*given = found->value ? found->value : "";
	return a->kind == HANDOFF__ARGUMENT_FLAG
		       ? 0
		       : check_value(r, a, found->value);
}

static int
check_all(struct reading *r)
{
	struct found found;

	for (int i = 1; i < r->argc; i += found.words) {
		int err;

		if (strcmp(r->argv[i], "--") == 0)
			break;
		found = find_option(r, i);
		err = found.argument ? check_option(r, &found) : 0;
		if (err < 0)
			return err;
	}
	return 0;
}

static void
store_value(
	struct reading *r, const struct handoff__argument *a, const char *value)
{
	char *field = r->fields + a->offset;
	const bool on = true;
	uint32_t number = 0;

	switch (a->kind) {
	case HANDOFF__ARGUMENT_FLAG:
		memcpy(field, &on, sizeof(on));
		break;
	case HANDOFF__ARGUMENT_TEXT:
		memcpy(field, &value, sizeof(value));
		break;
	case HANDOFF__ARGUMENT_NUMBER:
		read_number(value, a->max, &number);
		memcpy(field, &number, sizeof(number));
		break;
	case HANDOFF__ARGUMENT_CHOICE:
		number = (uint32_t)a->check(value, NULL);
		memcpy(field, &number, sizeof(number));
		break;
	case HANDOFF__ARGUMENT_LIST:
		break; /* stored once its place in argv is known */
	}
}

/* Returns where the next one may be stored. */
static char **
store_list(struct reading *r, const struct list *list, char **free_part)
{
	char *field = r->fields + list->argument->offset;
	size_t count = list->count;

	memcpy(free_part, list->values, count * sizeof(list->values[0]));
	memcpy(field, &free_part, sizeof(free_part));
	memcpy(field + sizeof(free_part), &count, sizeof(count));
	return free_part + count;
}

/* Compacts the words that stay with the program. Returns their number. */
static int
take_options(struct reading *r)
{
	struct found found;
	bool over = false;
	int kept = 0;

	for (int i = 0; i < r->argc; i += found.words) {
		over = over || strcmp(r->argv[i], "--") == 0;
		found = i > 0 && !over ? find_option(r, i)
				       : (struct found){.words = 1};
		if (found.argument)
			store_value(r, found.argument, found.value);
		else
			r->argv[kept++] = r->argv[i];
	}
	return kept;
}

/* Applies environment variables in place of options that were not given; an
 * empty variable counts as unset. A set-user-ID program ignores its environment
 * (secure_getenv(3)). */
static void
take_environment(struct reading *r)
{
	for (size_t i = 0; i < r->known->count; i++) {
		const struct handoff__argument *a = &r->known->table[i];
		const char *value =
			a->env && !r->given[i] ? secure_getenv(a->env) : NULL;

		if (value && value[0] != '\0' &&
			a->offset + width(a->kind) <= r->size)
			store_value(r, a, value);
	}
}

int
handoff__argv_read(const struct handoff__arguments *known, void *fields,
	size_t size, int *argc, char **argv, struct handoff__error *error)
{
	struct reading r = {.known = known,
		.fields = fields,
		.size = size,
		.argc = *argc,
		.argv = argv,
		.error = error};
	char **free_part;
	int kept, err = check_all(&r);

	assert(known->count <= HANDOFF__ARGUMENTS_MAX);
	if (err < 0)
		return err;
	kept = take_options(&r);
	if (kept < r.argc)
		argv[kept] = NULL;
	free_part = argv + kept + 1;
	for (size_t i = 0; i < HANDOFF__ARGUMENT_LISTS; i++) {
		if (r.lists[i].argument)
			free_part = store_list(&r, &r.lists[i], free_part);
	}
	take_environment(&r);
	*argc = kept;
	return 0;
}

int
handoff__argv_opts(const struct handoff__arguments *known, void *opts,
	size_t size, int *argc, char **argv, char *errbuf, size_t errbuf_size)
{
	struct handoff__error error;
	int err;

	if (!argc || *argc < 0 || (*argc > 0 && !argv))
		return -EINVAL;
	err = handoff__argv_read(known, opts, size, argc, argv, &error);
	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}

int
handoff__argv_address(const char *value, struct handoff__error *error)
{
	struct handoff__addr addr;

	return handoff__addr_parse(&addr, value, error);
}
