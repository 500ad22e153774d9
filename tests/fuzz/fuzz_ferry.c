/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a message of the other ferry: it is refused with a sentence, or
 * all of it is within its bounds, and written again it is what was read.
 */
#include "fuzz.h"

#include "ferry/message.h"

#include <errno.h>

static void
check_text(const char *text, size_t size)
{
	check(memchr(text, 0, size));
	for (; *text; text++)
		check(*text >= ' ' && *text < 0x7f);
}

static void
check_place(
	const unsigned char *at, uint32_t len, const uint8_t *data, size_t size)
{
	check(!at || (at >= data && at + len <= data + size));
	check(at || len == 0);
}

static void
check_parts(const struct handoff__letter *l)
{
	check_text(l->text, sizeof(l->text));
	if (l->type == HANDOFF__LETTER_HELLO) {
		check(l->hello.naddresses <= HANDOFF__LETTER_ADDRESSES);
		check_text(l->hello.name, sizeof(l->hello.name));
		check_text(l->hello.host, sizeof(l->hello.host));
		check_text(l->hello.service, sizeof(l->hello.service));
	}
	if (l->type == HANDOFF__LETTER_BEGIN) {
		check(l->begin.nlisteners <= HANDOFF__LETTER_LISTENERS);
		for (uint32_t i = 0; i < l->begin.nlisteners; i++)
			check_text(l->begin.listeners[i].label,
				HANDOFF_ADDRESS_MAX);
	}
	if (l->type == HANDOFF__LETTER_REPORT)
		check(l->report.nwhys <= HANDOFF__LETTER_WHYS);
	if (l->type != HANDOFF__LETTER_PREPARED &&
		l->type != HANDOFF__LETTER_WITHDRAW)
		return;
	check(l->nnamed <= HANDOFF__LETTER_NAMED);
	for (uint32_t i = 0; i < l->nnamed; i++) {
		check(l->named[i].index < HANDOFF__LETTER_ENTRIES);
		check_text(l->named[i].why, HANDOFF__LETTER_WHY);
	}
}

static unsigned char *
join(const struct handoff__letter_body *body)
{
	unsigned char *data = malloc(body->len > 0 ? body->len : 1);
	size_t at = 0;

	check(data);
	for (unsigned i = 0; i < body->count; i++) {
		if (body->pieces[i].iov_len > 0)
			memcpy(data + at, body->pieces[i].iov_base,
				body->pieces[i].iov_len);
		at += body->pieces[i].iov_len;
	}
	check(at == body->len);
	return data;
}

/* What follows the end of a text is not carried, nor what a HELLO has beyond
 * its known fields: so the first bytes may differ, the second may not. */
static void
check_again(const struct handoff__letter *letter)
{
	static struct handoff__letter again;
	static struct handoff__letter_body body, more;
	unsigned char *first, *second;

	check(handoff__letter_encode(letter, &body, NULL) == 0);
	check(body.len <= HANDOFF__LETTER_BODY_MAX);
	first = join(&body);
	check(handoff__letter_decode(
		      &again, letter->type, first, body.len, NULL) == 0);
	check(handoff__letter_encode(&again, &more, NULL) == 0);
	second = join(&more);
	check(body.len == more.len && memcmp(first, second, body.len) == 0);
	free(first);
	free(second);
}

/* The first byte is the type. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct handoff__letter letter;
	struct handoff__error error = {""};
	unsigned char *copy;
	int err;

	if (size == 0)
		return 0;
	copy = exact_copy(data + 1, size - 1);
	memset(&letter, 0xee, sizeof(letter));
	err = handoff__letter_decode(&letter, data[0], copy, size - 1, &error);
	check(err == 0 || err == -EBADMSG || err == -EPROTO);
	if (err < 0) {
		check(error.text[0] != '\0');
		check(err == -EBADMSG ||
			strcmp(handoff__letter_name(data[0]), "unknown") == 0);
	} else {
		check_place(letter.parcel, letter.parcel_len, copy, size - 1);
		check_place(letter.image, letter.image_len, copy, size - 1);
		check_place(letter.bytes, letter.len, copy, size - 1);
		check_parts(&letter);
		check_again(&letter);
	}
	free(copy);
	return 0;
}
