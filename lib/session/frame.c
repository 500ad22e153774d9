/* SPDX-License-Identifier: MIT */
/*
 * The codec of the session protocol's frames. It checks all that can be
 * checked without knowing the session: types, lengths, ranges. It keeps
 * nothing and allocates nothing.
 */
#include "session/frame.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The first part is what tells a client of sessions, of any version. */
#define MAGIC_LEN 6

#define NEW_LEN     8
#define RESUME_LEN  40
#define WELCOME_LEN 45
#define REASON_LEN  2

const unsigned char handoff__preface[HANDOFF__PREFACE_LEN] = {
	0xf5, 'H', 'S', 'E', 'S', 'S', 0, HANDOFF__SESSION_VERSION};

/* A cursor; its lengths were checked before. */
struct reader {
	const unsigned char *p;
};

struct writer {
	unsigned char *p;
};

enum handoff__preface
handoff__preface_check(const void *data, size_t len)
{
	size_t magic = len < MAGIC_LEN ? len : MAGIC_LEN;

	if (magic > 0 && memcmp(data, handoff__preface, magic) != 0)
		return HANDOFF__PREFACE_PLAIN;
	if (len < HANDOFF__PREFACE_LEN)
		return HANDOFF__PREFACE_PARTIAL;
	if (memcmp(data, handoff__preface, HANDOFF__PREFACE_LEN) != 0)
		return HANDOFF__PREFACE_VERSION;
	return HANDOFF__PREFACE_SESSION;
}

static uint64_t
get(struct reader *r, unsigned width)
{
	uint64_t v = 0;

	while (width-- > 0)
		v = v << 8 | *r->p++;
	return v;
}

static void
put(struct writer *w, unsigned width, uint64_t v)
{
	while (width-- > 0)
		*w->p++ = (unsigned char)(v >> 8 * width);
}

/* What is wrong with a length, known once the header is; NULL: nothing. */
static const char *
check_len(unsigned type, uint32_t len)
{
	switch (type) {
	case HANDOFF__FRAME_DATA:
		return len > 0 ? NULL : "a DATA without bytes";
	case HANDOFF__FRAME_ACK:
		return len == 0 ? NULL : "an ACK with a payload";
	case HANDOFF__FRAME_END:
		return len == 0 ? NULL : "an END with a payload";
	case HANDOFF__FRAME_SYNC:
		return len == 0 ? NULL : "a SYNC with a payload";
	case HANDOFF__FRAME_NEW:
		return len == NEW_LEN ? NULL : "a NEW that is not 8 bytes long";
	case HANDOFF__FRAME_RESUME:
		return len == RESUME_LEN ? NULL
					 : "a RESUME that is not 40 bytes long";
	case HANDOFF__FRAME_WELCOME:
		return len == WELCOME_LEN
			       ? NULL
			       : "a WELCOME that is not 45 bytes long";
	case HANDOFF__FRAME_ABORT:
	case HANDOFF__FRAME_REFUSED:
		return len >= REASON_LEN &&
				       len <= REASON_LEN + HANDOFF__FRAME_TEXT
			       ? NULL
			       : "a reason that is not 2 to 202 bytes long";
	default:
		return "a frame of an unknown type";
	}
}

static bool
window_ok(uint32_t window)
{
	return window >= HANDOFF__WINDOW_MIN && window <= HANDOFF__WINDOW_MAX;
}

/* What is wrong with the values; NULL: nothing. */
static const char *
check_values(const struct handoff__frame *f)
{
	bool first = f->type == HANDOFF__FRAME_NEW ||
		     f->type == HANDOFF__FRAME_REFUSED;

	if (first && f->ack != 0)
		return "an acknowledgement where there is no session";
	if (f->type != HANDOFF__FRAME_NEW && f->type != HANDOFF__FRAME_WELCOME)
		return NULL;
	if (!window_ok(f->to_server) || !window_ok(f->to_client))
		return "a window that is not 256 to 1073741824 bytes";
	return NULL;
}

/* The text goes to logs and terminals. */
static void
get_text(struct reader *r, char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = *r->p++;

		text[i] = (char)(c >= ' ' && c <= '~' ? c : '?');
	}
	text[len] = '\0';
}

static void
get_token(struct reader *r, struct handoff__frame *f)
{
	memcpy(f->token, r->p, sizeof(f->token));
	r->p += sizeof(f->token);
}

static void
get_payload(struct reader *r, struct handoff__frame *f)
{
	switch (f->type) {
	case HANDOFF__FRAME_NEW:
		f->to_server = (uint32_t)get(r, 4);
		f->to_client = (uint32_t)get(r, 4);
		break;
	case HANDOFF__FRAME_RESUME:
		f->number = get(r, 8);
		get_token(r, f);
		f->received = get(r, 8);
		f->sent = get(r, 8);
		break;
	case HANDOFF__FRAME_WELCOME:
		f->number = get(r, 8);
		get_token(r, f);
		f->received = get(r, 8);
		f->to_server = (uint32_t)get(r, 4);
		f->to_client = (uint32_t)get(r, 4);
		f->timeout_ms = (uint32_t)get(r, 4);
		break;
	case HANDOFF__FRAME_ABORT:
	case HANDOFF__FRAME_REFUSED:
		f->reason = (uint16_t)get(r, 2);
		get_text(r, f->text, f->len - REASON_LEN);
		break;
	case HANDOFF__FRAME_DATA:
	case HANDOFF__FRAME_ACK:
	case HANDOFF__FRAME_END:
	case HANDOFF__FRAME_SYNC:
		break;
	}
}

static int
violation(const char **why, const char *text)
{
	if (why)
		*why = text;
	return -EPROTO;
}

/* Of the text only that there is none: it is most of a frame, and few have one.
 */
static void
set_header(struct handoff__frame *f, unsigned type, uint32_t len, uint32_t ack)
{
	memset(f, 0, offsetof(struct handoff__frame, text) + 1);
	f->type = (enum handoff__frame_type)type;
	f->len = len;
	f->ack = ack;
}

/* A frame other than DATA, after its header. */
static __attribute__((noinline)) int
decode_payload(struct handoff__frame *frame, struct reader *r, unsigned type,
	uint32_t len, uint32_t ack, const char **why)
{
	struct handoff__frame f;
	const char *wrong;

	set_header(&f, type, len, ack);
	get_payload(r, &f);
	if (type == HANDOFF__FRAME_WELCOME) {
		uint64_t resumed = get(r, 1);

		if (resumed > 1)
			return violation(why, "a WELCOME that is neither new "
					      "nor resumed");
		f.resumed = resumed;
	}
	wrong = check_values(&f);
	if (wrong)
		return violation(why, wrong);
	memcpy(frame, &f,
		offsetof(struct handoff__frame, text) + strlen(f.text) + 1);
	return (int)(HANDOFF__FRAME_HEADER + len);
}

int
handoff__frame_decode(struct handoff__frame *frame, const void *data,
	size_t len, const char **why)
{
	struct reader r = {data};
	const char *wrong;
	uint32_t payload, ack;
	unsigned type;

	if (len < HANDOFF__FRAME_HEADER)
		return 0;
	type = (unsigned)get(&r, 1);
	payload = (uint32_t)get(&r, 3);
	ack = (uint32_t)get(&r, 4);
	wrong = check_len(type, payload);
	if (wrong)
		return violation(why, wrong);
	if (type == HANDOFF__FRAME_DATA) {
		set_header(frame, type, payload, ack);
		return HANDOFF__FRAME_HEADER;
	}
	if (len - HANDOFF__FRAME_HEADER < payload)
		return 0;
	return decode_payload(frame, &r, type, payload, ack, why);
}

/* Of the payload; that of DATA is not written here. */
static uint32_t
payload_len(const struct handoff__frame *f)
{
	switch (f->type) {
	case HANDOFF__FRAME_DATA:
		return f->len;
	case HANDOFF__FRAME_NEW:
		return NEW_LEN;
	case HANDOFF__FRAME_RESUME:
		return RESUME_LEN;
	case HANDOFF__FRAME_WELCOME:
		return WELCOME_LEN;
	case HANDOFF__FRAME_ABORT:
	case HANDOFF__FRAME_REFUSED:
		return (uint32_t)(REASON_LEN +
				  strnlen(f->text, HANDOFF__FRAME_TEXT));
	case HANDOFF__FRAME_ACK:
	case HANDOFF__FRAME_END:
	case HANDOFF__FRAME_SYNC:
		break;
	}
	return 0;
}

static void
put_token(struct writer *w, const struct handoff__frame *f)
{
	memcpy(w->p, f->token, sizeof(f->token));
	w->p += sizeof(f->token);
}

static void
put_payload(struct writer *w, const struct handoff__frame *f, uint32_t len)
{
	switch (f->type) {
	case HANDOFF__FRAME_NEW:
		put(w, 4, f->to_server);
		put(w, 4, f->to_client);
		break;
	case HANDOFF__FRAME_RESUME:
		put(w, 8, f->number);
		put_token(w, f);
		put(w, 8, f->received);
		put(w, 8, f->sent);
		break;
	case HANDOFF__FRAME_WELCOME:
		put(w, 8, f->number);
		put_token(w, f);
		put(w, 8, f->received);
		put(w, 4, f->to_server);
		put(w, 4, f->to_client);
		put(w, 4, f->timeout_ms);
		put(w, 1, f->resumed);
		break;
	case HANDOFF__FRAME_ABORT:
	case HANDOFF__FRAME_REFUSED:
		put(w, 2, f->reason);
		memcpy(w->p, f->text, len - REASON_LEN);
		break;
	case HANDOFF__FRAME_DATA:
	case HANDOFF__FRAME_ACK:
	case HANDOFF__FRAME_END:
	case HANDOFF__FRAME_SYNC:
		break;
	}
}

size_t
handoff__frame_encode(
	const struct handoff__frame *frame, void *out, size_t size)
{
	struct writer w = {out};
	uint32_t len = payload_len(frame);
	size_t whole = HANDOFF__FRAME_HEADER;

	if (frame->type != HANDOFF__FRAME_DATA)
		whole += len;
	if (size < whole || len > HANDOFF__FRAME_DATA_MAX ||
		check_len(frame->type, len) || check_values(frame))
		return 0;
	put(&w, 1, frame->type);
	put(&w, 3, len);
	put(&w, 4, frame->ack);
	put_payload(&w, frame, len);
	return whole;
}

const char *
handoff__frame_name(enum handoff__frame_type type)
{
	switch (type) {
	case HANDOFF__FRAME_DATA:
		return "DATA";
	case HANDOFF__FRAME_ACK:
		return "ACK";
	case HANDOFF__FRAME_END:
		return "END";
	case HANDOFF__FRAME_ABORT:
		return "ABORT";
	case HANDOFF__FRAME_SYNC:
		return "SYNC";
	case HANDOFF__FRAME_NEW:
		return "NEW";
	case HANDOFF__FRAME_RESUME:
		return "RESUME";
	case HANDOFF__FRAME_WELCOME:
		return "WELCOME";
	case HANDOFF__FRAME_REFUSED:
		return "REFUSED";
	}
	return "a frame";
}

const char *
handoff__refusal_text(unsigned reason)
{
	switch (reason) {
	case HANDOFF__REFUSED_UNKNOWN:
		return "no such session, or not this token";
	case HANDOFF__REFUSED_BUSY:
		return "the session cannot move now: try again later";
	case HANDOFF__REFUSED_FULL:
		return "no room for another session: try again later";
	case HANDOFF__REFUSED_LIMIT:
		return "too many wrong resumes from this address: try again "
		       "in a minute";
	case HANDOFF__REFUSED_POSITION:
		return "the positions do not fit: begin a new session";
	case HANDOFF__REFUSED_VERSION:
		return "this version of the session protocol is not known: "
		       "use version 1";
	default:
		return "refused for a reason that is not known here";
	}
}
