/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a frame of the session protocol: it waits for more, is refused
 * with a sentence, or is within its bounds, and written again it is what was
 * read.
 */
#include "fuzz.h"

#include "session/frame.h"

#include <errno.h>

static void
check_text(const char *text)
{
	check(memchr(text, 0, HANDOFF__FRAME_TEXT + 1));
	for (; *text; text++)
		check(*text >= ' ' && *text < 0x7f);
}

static void
check_again(
	const struct handoff__frame *f, const unsigned char *data, size_t used)
{
	unsigned char out[HANDOFF__FRAME_MAX], twice[HANDOFF__FRAME_MAX];
	struct handoff__frame again;

	check(handoff__frame_encode(f, out, sizeof(out)) == used);
	check(handoff__frame_encode(f, out, used - 1) == 0);
	check(handoff__frame_decode(&again, out, used, NULL) == (int)used);
	check(handoff__frame_encode(&again, twice, sizeof(twice)) == used);
	check(memcmp(out, twice, used) == 0);
	if (f->text[0] == '\0') /* else it was made printable */
		check(memcmp(out, data, used) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *copy = exact_copy(data, size);
	struct handoff__frame f = {0};
	const char *why = NULL;
	int used = handoff__frame_decode(&f, copy, size, &why);

	check((used == -EPROTO) == (why != NULL));
	check(used == -EPROTO || (used >= 0 && (size_t)used <= size));
	check(used != 0 || size < HANDOFF__FRAME_MAX);
	if (used > 0) {
		check_text(f.text);
		check_again(&f, copy, (size_t)used);
		/* A byte less, and it waits. */
		check(handoff__frame_decode(&f, copy, (size_t)used - 1, NULL) ==
			0);
	}
	if (handoff__preface_check(copy, size) >= HANDOFF__PREFACE_SESSION)
		check(size >= HANDOFF__PREFACE_LEN);
	free(copy);
	return 0;
}
