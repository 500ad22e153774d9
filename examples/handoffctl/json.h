/* SPDX-License-Identifier: MIT */
/* Reads the JSON of a status: members of objects and elements of arrays, in
 * place. What is malformed is read as absent. */
#ifndef HANDOFFCTL_JSON_H
#define HANDOFFCTL_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* The value of that member of an object, which may be NULL; NULL: none. */
const char *json_member(const char *object, const char *key);

/* The first element of an array, which may be NULL, and the one that follows an
 * element; NULL: there is none. */
const char *json_first(const char *array);
const char *json_next(const char *element);

/* A value as a number, 0 if it is none; whether it is `true`; and as text, ""
 * if it is no string. In a text \u below 0x80 is decoded, above it becomes '?';
 * control characters become '?', too, since terminals act on them. */
long long json_number(const char *value);
bool json_true(const char *value);
void json_text(const char *value, char *text, size_t size);

#endif
