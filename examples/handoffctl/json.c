/* SPDX-License-Identifier: MIT */
/*
 * As much of JSON (RFC 8259) as a status has. Never reads beyond the text's
 * end, whatever the text is; allocates nothing.
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

static const char *
skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* `p` is at the opening quote; NULL: it has no end. */
static const char *
skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : NULL;
}

/* An object or an array, from its first bracket. */
static const char *
skip_nested(const char *p)
{
	size_t depth = 0;

	while (p && *p) {
		if (*p == '"') {
			p = skip_string(p);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		p++;
		if (depth == 0)
			return p;
	}
	return NULL;
}

static const char *
skip_value(const char *p)
{
	if (*p == '"')
		return skip_string(p);
	if (*p == '{' || *p == '[')
		return skip_nested(p);
	return p + strcspn(p, ",]} \t\r\n");
}

const char *
json_member(const char *object, const char *key)
{
	size_t len = strlen(key);
	const char *p = object && *object == '{' ? object : NULL;

	while (p && (*p == '{' || *p == ',')) {
		const char *name = skip_space(p + 1), *value, *end;

		end = *name == '"' ? skip_string(name) : NULL;
		value = end ? skip_space(end) : NULL;
		if (!value || *value != ':')
			return NULL;
		value = skip_space(value + 1);
		if ((size_t)(end - name) == len + 2 &&
			strncmp(name + 1, key, len) == 0)
			return value;
		p = skip_value(value);
		p = p ? skip_space(p) : NULL;
	}
	return NULL;
}

const char *
json_first(const char *array)
{
	if (!array || *array != '[')
		return NULL;
	array = skip_space(array + 1);
	return *array && *array != ']' ? array : NULL;
}

const char *
json_next(const char *element)
{
	const char *p = skip_value(element);

	p = p ? skip_space(p) : NULL;
	if (!p || *p != ',')
		return NULL;
	p = skip_space(p + 1);
	return *p ? p : NULL;
}

long long
json_number(const char *value)
{
	return value ? strtoll(value, NULL, 10) : 0;
}

bool
json_true(const char *value)
{
	return value && strncmp(value, "true", 4) == 0;
}

/* What follows a backslash; moves on to its last byte. */
static char
unescape(const char **p)
{
	char digits[5] = "";
	unsigned long code;

	switch (**p) {
	case 'n':
	case 't':
	case 'r':
	case 'b':
	case 'f':
		return ' ';
	case 'u':
		break;
	default:
		return **p;
	}
	strncpy(digits, *p + 1, 4);
	code = strtoul(digits, NULL, 16);
	*p += strlen(digits);
	if (code >= 0x80)
		return '?';
	return (char)code;
}

void
json_text(const char *value, char *text, size_t size)
{
	size_t len = 0;

	if (value && *value == '"') {
		for (value++; *value && *value != '"' && len + 1 < size;
			value++) {
			char c = *value;

			if (c == '\\' && value[1]) {
				value++;
				c = unescape(&value);
			}
			if ((unsigned char)c < 0x20 || c == 0x7f)
				c = '?';
			text[len++] = c;
		}
	}
	text[len] = '\0';
}
