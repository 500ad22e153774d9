/* SPDX-License-Identifier: MIT */
/*
 * Bounded text: error sentences, log lines, names, growing buffers. Prints
 * nothing; log lines go to the user's callback.
 */
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTS_SIZE_MAX 4096

/* Sentences quote text from users and peers, and must stay on one line. */
static void
one_line(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

void
handoff__log(const struct handoff__log *log, enum handoff_log_level level,
	const char *fmt, ...)
{
	if (!log || !log->fn)
		return;

	char line[2 * HANDOFF_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	one_line(line);
	log->fn(level, line, log->arg);
}

int
handoff__fail(struct handoff__error *error, int err, const char *fmt, ...)
{
	va_list ap;

	if (!error)
		return err;
	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
	one_line(error->text);
	return err;
}

void
handoff__error_copy(const struct handoff__error *error, char *buf, size_t size)
{
	if (buf && size > 0)
		handoff__copy(buf, size, error->text);
}

int
handoff__no_memory(const char *object, char *buf, size_t size)
{
	if (buf && size > 0)
		snprintf(buf, size, "%s: cannot be opened: out of memory",
			object);
	return -ENOMEM;
}

void
handoff__copy(char *dst, size_t size, const char *src)
{
	size_t len = strnlen(src, size - 1);

	memmove(dst, src, len);
	dst[len] = '\0';
}

bool
handoff__name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	if (!name || name[0] == '\0' || name[0] == '.')
		return false;

	size_t len = strnlen(name, HANDOFF_NAME_MAX);

	return len < HANDOFF_NAME_MAX && strspn(name, allowed) == len;
}

int
handoff__names_check(struct handoff__error *error, const char *object,
	const char *peer, const char *service)
{
	if (handoff__name_ok(peer) && handoff__name_ok(service))
		return 0;
	return handoff__fail(error, -EINVAL,
		"%s: names of peer and service must be 1 to %d characters of "
		"A-Z a-z 0-9 . _ - (got '%.40s' and '%.40s')",
		object, HANDOFF_NAME_MAX - 1, peer ? peer : "",
		service ? service : "");
}

static int
copy_known(void *dst, size_t dst_size, const void *src, size_t size,
	size_t min_size)
{
	if (size < min_size || size > OPTS_SIZE_MAX)
		return -EINVAL;
	for (size_t i = dst_size; i < size; i++) {
		if (((const unsigned char *)src)[i] != 0)
			return -E2BIG;
	}
	memset(dst, 0, dst_size);
	memcpy(dst, src, size < dst_size ? size : dst_size);
	return 0;
}

int
handoff__opts_copy(void *dst, size_t dst_size, const void *src, size_t min_size)
{
	size_t size;

	if (!src)
		return -EINVAL;
	memcpy(&size, src, sizeof(size));
	return copy_known(dst, dst_size, src, size, min_size);
}

int
handoff__opts_element(void *dst, size_t dst_size, const void *array,
	size_t stride, size_t i, size_t min_size)
{
	if (!array || stride > OPTS_SIZE_MAX)
		return -EINVAL;
	return copy_known(dst, dst_size,
		(const unsigned char *)array + i * stride, stride, min_size);
}

static bool
buf_reserve(struct handoff__buf *buf, size_t extra)
{
	if (buf->failed)
		return false;
	if (buf->cap - buf->len > extra)
		return true;

	size_t cap = (buf->len + extra + 1) * 2;
	char *data = realloc(buf->data, cap);

	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->cap = cap;
	return true;
}

void
handoff__buf_add(struct handoff__buf *buf, const char *fmt, ...)
{
	size_t room = buf->cap - buf->len;
	va_list ap;
	int len;

	if (buf->failed)
		return;
	/* usually it fits */
	va_start(ap, fmt);
	len = vsnprintf(room > 0 ? buf->data + buf->len : NULL, room, fmt, ap);
	va_end(ap);
	if (len < 0 || !buf_reserve(buf, (size_t)len)) {
		if (room > 0)
			buf->data[buf->len] = '\0';
		return;
	}
	if ((size_t)len >= room) {
		va_start(ap, fmt);
		vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, ap);
		va_end(ap);
	}
	buf->len += (size_t)len;
}

void
handoff__buf_put(struct handoff__buf *buf, const void *data, size_t len)
{
	if (len == 0 || !buf_reserve(buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void
handoff__buf_hex(struct handoff__buf *buf, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	if (len == 0 || !buf_reserve(buf, 2 * len))
		return;
	for (size_t i = 0; i < len; i++) {
		buf->data[buf->len++] = digits[bytes[i] >> 4];
		buf->data[buf->len++] = digits[bytes[i] & 15];
	}
	buf->data[buf->len] = '\0';
}

/* The length of the UTF-8 character that begins here; 0 if none does. */
static size_t
utf8_length(const unsigned char *s)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	if (n > 1 && (s[0] < 0xc0 || s[0] > 0xf7))
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	return c < least[n] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff ? 0
									    : n;
}

/* The number of bytes that need no escaping. */
static size_t
plain_length(const char *text)
{
	size_t len = 0, n;

	while ((unsigned char)text[len] >= 0x20 && text[len] != '"' &&
		text[len] != '\\' &&
		(n = utf8_length((const unsigned char *)text + len)) > 0)
		len += n;
	return len;
}

void
handoff__buf_json(struct handoff__buf *buf, const char *text)
{
	handoff__buf_add(buf, "\"");
	for (;;) {
		size_t len = plain_length(text);
		unsigned char c = (unsigned char)text[len];

		handoff__buf_put(buf, text, len);
		if (c == '\0')
			break;
		if (c == '"' || c == '\\')
			handoff__buf_add(buf, "\\%c", c);
		else if (c < 0x20)
			handoff__buf_add(buf, "\\u%04x", c);
		else
			handoff__buf_add(buf, "\\ufffd");
		text += len + 1;
	}
	handoff__buf_add(buf, "\"");
}

/* Also those that UTF-8 writes in two bytes: U+0080 to U+009F. */
static bool
is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

void
handoff__buf_escaped(struct handoff__buf *buf, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		size_t len = utf8_length(s);

		if (len == 0 || *s == '\\' || is_control(s)) {
			handoff__buf_add(buf, "\\x%02x", *s);
			len = 1;
		} else {
			handoff__buf_put(buf, s, len);
		}
		s += len;
	}
}
