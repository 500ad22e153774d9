/* SPDX-License-Identifier: MIT */
/* Bounded text: messages, names, the log callback. */
#ifndef HANDOFF_BASE_TEXT_H
#define HANDOFF_BASE_TEXT_H

#include <handoff/common.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* Where a component writes its log: a copy of the user's callback. */
struct handoff__log {
	handoff_log_fn *fn;
	void *arg;
};

void handoff__log(const struct handoff__log *log, enum handoff_log_level level,
	const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A component's last error; open() copies it to the user's buffer. */
struct handoff__error {
	char text[HANDOFF_TEXT_MAX];
};

/* Stores the sentence and returns `err`, so that callers can return it. */
int handoff__fail(struct handoff__error *error, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Copies the sentence to the user's buffer, which may be absent. */
void handoff__error_copy(
	const struct handoff__error *error, char *buf, size_t size);

/* Writes the sentence of an open() that had no memory for its handle to the
 * user's buffer, which may be absent. Returns -ENOMEM. */
int handoff__no_memory(const char *object, char *buf, size_t size);

/* The plural suffix: "1 connection", "2 connections". */
static inline const char *
handoff__plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* Copies at most size - 1 bytes and always terminates. */
void handoff__copy(char *dst, size_t size, const char *src);

/* 1 to 31 characters of [A-Za-z0-9._-], not beginning with a dot. */
bool handoff__name_ok(const char *name);

/* Checks that both are names; otherwise -EINVAL and a sentence about the
 * options of that object. */
int handoff__names_check(struct handoff__error *error, const char *object,
	const char *peer, const char *service);

/* Copies an options structure whose first member is its size; options that the
 * caller's version lacks stay zero. -E2BIG if the caller sets options that the
 * library does not know, -EINVAL if the size is impossible. */
int handoff__opts_copy(
	void *dst, size_t dst_size, const void *src, size_t min_size);

/* Returns `option`, or `otherwise` if it is 0 (not set). */
static inline uint32_t
handoff__opt_or(uint32_t option, uint32_t otherwise)
{
	return option > 0 ? option : otherwise;
}

/* The size of a structure whose last member is this one. */
#define HANDOFF__SIZE_TO(type, member)                                         \
	(offsetof(type, member) + sizeof(((type *)0)->member))

/* The same for element `i` of an array whose structures are `stride` bytes
 * apart. */
int handoff__opts_element(void *dst, size_t dst_size, const void *array,
	size_t stride, size_t i, size_t min_size);

/* Growing text. A failed allocation leaves it as it is and sets `failed`. Free
 * `data` with free(3). */
struct handoff__buf {
	char *data;
	size_t len, cap;
	bool failed;
};

void handoff__buf_add(struct handoff__buf *buf, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void handoff__buf_put(struct handoff__buf *buf, const void *data, size_t len);

/* Appends two lower-case digits for each byte. */
void handoff__buf_hex(struct handoff__buf *buf, const void *data, size_t len);

/* Appends text for a terminal: control characters, backslashes and bytes that
 * are not valid UTF-8 become "\xNN". */
void handoff__buf_escaped(struct handoff__buf *buf, const char *text);

/* Appends a JSON string with its quotes (RFC 8259, section 7). A byte that is
 * not valid UTF-8 (RFC 3629) becomes U+FFFD. */
void handoff__buf_json(struct handoff__buf *buf, const char *text);

#endif
