/* SPDX-License-Identifier: MIT */
/*
 * The client's end of a session without a connection: frames that are cut at
 * every byte, resumes at every position, what becomes of the messages when a
 * session is lost, a server that violates the protocol, and random losses
 * against the server's end.
 */
#include "support/support.h"

#include "client/talk.h"

#include <errno.h>
#include <string.h>

#define WINDOW 4096u

struct end {
	struct handoff__talk talk;
	struct handoff__outbox box;
};

static const struct handoff__frame first_welcome = {
	.type = HANDOFF__FRAME_WELCOME,
	.number = 77,
	.token = "0123456789abcde",
	.to_server = 1000,
	.to_client = WINDOW,
};

static void
begin(struct end *end)
{
	handoff__outbox_init(&end->box, 1000);
	handoff__talk_init(&end->talk, &end->box);
	assert_int_equal(
		handoff__talk_welcome(&end->talk, &end->box, &first_welcome),
		0);
}

static void
finish(struct end *end)
{
	handoff__talk_fini(&end->talk);
	handoff__outbox_fini(&end->box);
}

static size_t
put(unsigned char *out, enum handoff__frame_type type, uint32_t ack,
	const char *data)
{
	struct handoff__frame frame = {
		.type = type, .ack = ack, .len = (uint32_t)strlen(data)};
	size_t n = handoff__frame_encode(&frame, out, HANDOFF__FRAME_MAX);

	assert_true(n > 0);
	memcpy(out + n, data, strlen(data));
	return n + strlen(data);
}

static void
say(struct end *end, const char *text)
{
	assert_int_equal(handoff__outbox_add(&end->box, text, strlen(text)), 0);
}

/* Up to `limit` bytes of what the client has to write. */
static size_t
take(struct end *end, bool last, unsigned char *out, size_t limit)
{
	size_t len = 0;

	while (len < limit) {
		struct iovec iov[3];
		int pieces =
			handoff__talk_output(&end->talk, &end->box, last, iov);
		size_t n = 0;

		if (pieces == 0)
			break;
		for (int i = 0; i < pieces && len + n < limit; i++) {
			size_t part = iov[i].iov_len;

			part = part < limit - len - n ? part : limit - len - n;
			memcpy(out + len + n, iov[i].iov_base, part);
			n += part;
		}
		handoff__talk_written(&end->talk, &end->box, n);
		len += n;
	}
	return len;
}

/* Takes the frames of `in` apart; returns the bytes of the stream, and whether
 * END came. */
static size_t
stream_of(const unsigned char *in, size_t len, char *out, bool *ended)
{
	size_t at = 0, n = 0;

	*ended = false;
	while (at < len) {
		struct handoff__frame frame;
		int used =
			handoff__frame_decode(&frame, in + at, len - at, NULL);

		assert_true(used > 0);
		at += (size_t)used;
		*ended |= frame.type == HANDOFF__FRAME_END;
		if (frame.type != HANDOFF__FRAME_DATA)
			continue;
		assert_true(frame.len <= len - at);
		memcpy(out + n, in + at, frame.len);
		n += frame.len;
		at += frame.len;
	}
	return n;
}

static enum handoff__talk_news
feed(struct end *end, const unsigned char *in, size_t len, char *out, size_t *n)
{
	const char *why = NULL;
	unsigned char buf[2048];
	enum handoff__talk_news news;
	size_t data;

	memcpy(buf, in, len);
	news = handoff__talk_input(
		&end->talk, &end->box, buf, len, &data, &why);
	memcpy(out + *n, buf, data);
	*n += data;
	if (news >= HANDOFF__TALK_ABORTED)
		assert_non_null(why);
	return news;
}

/* What a server says, of frames of each kind. */
static size_t
speech(unsigned char *in)
{
	size_t len = put(in, HANDOFF__FRAME_DATA, 0, "once upon");

	len += put(in + len, HANDOFF__FRAME_ACK, 2, "");
	len += put(in + len, HANDOFF__FRAME_DATA, 3, "+");
	len += put(in + len, HANDOFF__FRAME_DATA, 3, "a time, and no more");
	return len + put(in + len, HANDOFF__FRAME_END, 5, "");
}

static const char said[] = "once upon+a time, and no more";

static void
test_cut_at_every_byte(void **state)
{
	unsigned char in[200], sent[200];
	size_t len = speech(in);

	(void)state;
	for (size_t a = 0; a <= len; a++)
		for (size_t b = a; b <= len; b++) {
			enum handoff__talk_news news;
			struct end end;
			size_t n = 0;
			char out[100];

			begin(&end);
			say(&end, "hello");
			take(&end, false, sent, sizeof(sent));
			feed(&end, in, a, out, &n);
			feed(&end, in + a, b - a, out, &n);
			news = feed(&end, in + b, len - b, out, &n);
			assert_int_equal(news, HANDOFF__TALK_ENDED);
			assert_int_equal(n, strlen(said));
			assert_memory_equal(out, said, n);
			assert_int_equal(end.talk.received, n);
			assert_int_equal(end.talk.acked, 5);
			assert_int_equal(end.box.len, 0);
			finish(&end);
		}
}

static void
test_byte_by_byte(void **state)
{
	enum handoff__talk_news news = HANDOFF__TALK_ON;
	unsigned char in[200], sent[200];
	size_t len = speech(in), n = 0;
	struct end end;
	char out[100];

	(void)state;
	begin(&end);
	say(&end, "hello");
	take(&end, false, sent, sizeof(sent));
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(news, HANDOFF__TALK_ON);
		news = feed(&end, in + i, 1, out, &n);
	}
	assert_int_equal(news, HANDOFF__TALK_ENDED);
	assert_int_equal(n, strlen(said));
	finish(&end);
}

/* The connection breaks when `written` bytes of its frames are through, of
 * which the server has the stream's first `had` and has acknowledged `acked`
 * of them: the rest goes again, and nothing else. */
static void
resume_at(size_t written, uint64_t had, uint64_t acked)
{
	struct handoff__frame welcome = first_welcome;
	static const char all[] = "onetwothree";
	unsigned char out[300];
	char stream[100];
	struct end end;
	size_t n;
	bool ended;

	begin(&end);
	say(&end, "one");
	say(&end, "two");
	say(&end, "three");
	assert_int_equal(take(&end, true, out, written), written);
	welcome.resumed = true;
	welcome.received = had;
	welcome.ack = (uint32_t)acked;
	assert_int_equal(
		handoff__talk_welcome(&end.talk, &end.box, &welcome), 0);
	n = take(&end, true, out, sizeof(out));
	n = stream_of(out, n, stream, &ended);
	assert_int_equal(ended, had < 12);
	had = had < 11 ? had : 11;
	assert_int_equal(n, 11 - had);
	assert_memory_equal(stream, all + had, n);
	/* now all is acknowledged */
	n = put(out, HANDOFF__FRAME_ACK, 12, "");
	assert_int_equal(
		feed(&end, out, n, stream, &(size_t){0}), HANDOFF__TALK_ON);
	assert_int_equal(end.box.len, 0);
	finish(&end);
}

static void
test_resume_at_every_position(void **state)
{
	enum { HEAD = HANDOFF__FRAME_HEADER, ALL = HEAD + 11 + HEAD };

	(void)state;
	for (size_t written = 0; written <= ALL; written++) {
		uint64_t most = written < HEAD        ? 0
				: written < HEAD + 11 ? written - HEAD
				: written < ALL       ? 11
						      : 12;

		for (uint64_t had = 0; had <= most; had++)
			for (uint64_t acked = 0; acked <= had; acked++)
				resume_at(written, had, acked);
	}
}

/* The server's stream goes on in the middle of a frame. */
static void
test_resume_within_a_frame(void **state)
{
	struct handoff__frame welcome = first_welcome, asked;
	unsigned char in[200], ask[HANDOFF__TALK_ASK_MAX];
	struct end end;
	size_t n = 0, len;
	char out[100];

	(void)state;
	begin(&end);
	len = put(in, HANDOFF__FRAME_DATA, 0, "half and half");
	feed(&end, in, len - 9, out, &n);
	assert_int_equal(n, 4);
	len = handoff__talk_ask(&end.talk, true, ask);
	assert_memory_equal(ask, handoff__preface, HANDOFF__PREFACE_LEN);
	assert_int_equal(
		handoff__frame_decode(&asked, ask + HANDOFF__PREFACE_LEN,
			len - HANDOFF__PREFACE_LEN, NULL),
		len - HANDOFF__PREFACE_LEN);
	assert_int_equal(asked.type, HANDOFF__FRAME_RESUME);
	assert_int_equal(asked.number, 77);
	assert_memory_equal(asked.token, first_welcome.token, 16);
	assert_int_equal(asked.received, 4);
	assert_int_equal(asked.sent, 0);
	welcome.resumed = true;
	assert_int_equal(
		handoff__talk_welcome(&end.talk, &end.box, &welcome), 0);
	len = put(in, HANDOFF__FRAME_DATA, 0, " and half");
	feed(&end, in, len, out, &n);
	assert_int_equal(n, 13);
	assert_memory_equal(out, "half and half", 13);
	finish(&end);
}

/* The end of the last message that ends within the first `len` bytes. */
static size_t
whole_within(size_t len)
{
	return len < 3 ? 0 : len < 6 ? 3 : len < 11 ? 6 : 11;
}

/* The end of the last message that begins within the first `len` bytes. */
static size_t
begun_within(size_t len)
{
	return len == 0 ? 0 : len <= 3 ? 3 : len <= 6 ? 6 : 11;
}

/* The session is over at this byte. */
static void
check_fate(size_t passed, uint32_t acked, bool told)
{
	enum { HEAD = HANDOFF__FRAME_HEADER };
	static const char all[] = "onetwothree";
	size_t left = told ? begun_within(passed) : whole_within(passed);
	unsigned char out[300], in[100];
	const struct handoff__fate *fate;
	size_t n, none = 0;
	char stream[100];
	struct end end;
	bool ended;

	begin(&end);
	fate = &end.talk.fate;
	say(&end, "one");
	say(&end, "two");
	say(&end, "three");
	take(&end, false, out, HEAD + passed);
	n = put(in, HANDOFF__FRAME_DATA, acked, "heard");
	feed(&end, in, n, stream, &none);
	handoff__talk_close(&end.talk, &end.box, told);
	assert_false(end.talk.known);
	assert_int_equal(fate->certain, acked);
	assert_int_equal(
		fate->certain + fate->doubtful, left > acked ? left : acked);
	assert_int_equal(fate->received, 5);
	assert_true(fate->lost);
	assert_int_equal(
		handoff__talk_welcome(&end.talk, &end.box, &first_welcome), 0);
	n = take(&end, false, out, sizeof(out));
	n = stream_of(out, n, stream, &ended);
	assert_int_equal(n, 11 - left);
	assert_memory_equal(stream, all + left, n);
	finish(&end);
}

/* The session is over at each byte: every message is one of certain, doubtful
 * and repeated. */
static void
test_fate(void **state)
{
	(void)state;
	for (size_t passed = 0; passed <= 11; passed++)
		for (uint32_t acked = 0; acked <= passed; acked++) {
			check_fate(passed, acked, false);
			check_fate(passed, acked, true);
		}
}

/* After a resume the server's position is what is certain. */
static void
test_fate_after_resume(void **state)
{
	struct handoff__frame welcome = first_welcome;
	const struct handoff__fate *fate;
	unsigned char out[300];
	struct end end;

	(void)state;
	begin(&end);
	fate = &end.talk.fate;
	say(&end, "one");
	say(&end, "two");
	take(&end, false, out, sizeof(out));
	welcome.resumed = true;
	welcome.received = 4;
	welcome.ack = 1;
	assert_int_equal(
		handoff__talk_welcome(&end.talk, &end.box, &welcome), 0);
	handoff__talk_close(&end.talk, &end.box, false);
	assert_int_equal(fate->certain, 4);
	/* "two" has lost nothing: it goes to the next session */
	assert_int_equal(fate->doubtful, 0);
	assert_int_equal(handoff__outbox_unsent(&end.box), 3);
	finish(&end);
}

static void
test_orderly_end(void **state)
{
	unsigned char out[300], in[100];
	struct end end;
	size_t n, none = 0;
	char stream[100];
	bool ended;

	(void)state;
	begin(&end);
	say(&end, "bye");
	n = take(&end, true, out, sizeof(out));
	assert_int_equal(stream_of(out, n, stream, &ended), 3);
	assert_true(ended && handoff__talk_has_ended(&end.talk));
	assert_int_equal(take(&end, true, out, sizeof(out)), 0);
	n = put(in, HANDOFF__FRAME_END, 3, "");
	assert_int_equal(feed(&end, in, n, stream, &none), HANDOFF__TALK_ENDED);
	assert_false(handoff__talk_is_over(&end.talk));
	/* its END is acknowledged; ours is not */
	assert_int_equal(
		take(&end, true, out, sizeof(out)), HANDOFF__FRAME_HEADER);
	assert_int_equal(out[0], HANDOFF__FRAME_ACK);
	assert_false(handoff__talk_is_over(&end.talk));
	n = put(in, HANDOFF__FRAME_ACK, 4, "");
	assert_int_equal(feed(&end, in, n, stream, &none), HANDOFF__TALK_ENDED);
	assert_true(handoff__talk_is_over(&end.talk));
	handoff__talk_close(&end.talk, &end.box, false);
	assert_int_equal(end.talk.fate.certain, 3);
	assert_int_equal(end.talk.fate.doubtful, 0);
	assert_false(end.talk.fate.lost);
	finish(&end);
}

/* One that only receives acknowledges a quarter of the window. */
static void
test_acknowledges(void **state)
{
	unsigned char out[300], in[WINDOW];
	char stream[WINDOW], text[WINDOW / 4 + 1];
	struct handoff__frame frame;
	size_t n, none = 0;
	struct end end;

	(void)state;
	begin(&end);
	memset(text, 'x', sizeof(text));
	text[WINDOW / 4 - 1] = '\0';
	n = put(in, HANDOFF__FRAME_DATA, 0, text);
	feed(&end, in, n, stream, &none);
	assert_int_equal(take(&end, false, out, sizeof(out)), 0);
	n = put(in, HANDOFF__FRAME_DATA, 0, "x");
	feed(&end, in, n, stream, &none);
	n = take(&end, false, out, sizeof(out));
	assert_int_equal(n, HANDOFF__FRAME_HEADER);
	assert_int_equal(handoff__frame_decode(&frame, out, n, NULL), n);
	assert_int_equal(frame.type, HANDOFF__FRAME_ACK);
	assert_int_equal(frame.ack, WINDOW / 4);
	finish(&end);
}

/* What is not acknowledged stops the sending at the window of the server, and
 * counts into the memory of the outbox. */
static void
test_window(void **state)
{
	struct handoff__frame welcome = first_welcome;
	unsigned char out[2000], in[100];
	char text[700], stream[2000];
	size_t n, none = 0;
	struct end end;
	bool ended;

	(void)state;
	memset(text, 'w', sizeof(text));
	handoff__outbox_init(&end.box, 1000);
	handoff__talk_init(&end.talk, &end.box);
	welcome.to_server = 256;
	assert_int_equal(
		handoff__talk_welcome(&end.talk, &end.box, &welcome), 0);
	assert_int_equal(handoff__outbox_add(&end.box, stream, 751), -EMSGSIZE);
	assert_int_equal(handoff__outbox_add(&end.box, text, 700), 0);
	n = take(&end, false, out, sizeof(out));
	assert_int_equal(stream_of(out, n, stream, &ended), 256);
	assert_int_equal(handoff__outbox_unsent(&end.box), 444);
	assert_int_equal(handoff__outbox_add(&end.box, text, 301), -ENOBUFS);
	n = put(in, HANDOFF__FRAME_ACK, 100, "");
	feed(&end, in, n, stream, &none);
	n = take(&end, false, out, sizeof(out));
	assert_int_equal(stream_of(out, n, stream, &ended), 100);
	finish(&end);
}

struct wrong {
	enum handoff__frame_type type;
	uint32_t ack;
	const char *data;
};

/* A server that does what it must not: what went before it is delivered. */
static void
test_violations(void **state)
{
	static const struct wrong wrongs[] = {
		{HANDOFF__FRAME_ACK, 6, ""}, /* 5 were framed */
		{HANDOFF__FRAME_ACK, 3, ""}, /* 2 were passed */
		{HANDOFF__FRAME_ACK, 0xffffffff, ""},
	};
	unsigned char in[300], out[100];

	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct end end;
		size_t len, n = 0;
		char stream[100];

		begin(&end);
		say(&end, "hello");
		take(&end, false, out, HANDOFF__FRAME_HEADER + 2);
		len = put(in, HANDOFF__FRAME_DATA, 1, "before");
		len += put(in + len, wrongs[i].type, wrongs[i].ack,
			wrongs[i].data);
		len += put(in + len, HANDOFF__FRAME_DATA, 1, "after");
		assert_int_equal(feed(&end, in, len, stream, &n),
			HANDOFF__TALK_VIOLATED);
		assert_int_equal(n, 6);
		assert_memory_equal(stream, "before", 6);
		finish(&end);
	}
}

/* Each byte of a speech replaced by each value: it is taken or refused, and
 * nothing is written where it must not be (the sanitizers look). */
static void
test_every_wrong_byte(void **state)
{
	unsigned char in[200], sent[200];
	size_t len = speech(in);
	int violations = 0;

	(void)state;
	for (size_t at = 0; at < len; at++)
		for (unsigned v = 0; v < 256; v++) {
			unsigned char wrong[200];
			struct end end;
			char out[200];
			size_t n = 0;

			memcpy(wrong, in, len);
			wrong[at] = (unsigned char)v;
			begin(&end);
			say(&end, "hello");
			take(&end, false, sent, sizeof(sent));
			violations += feed(&end, wrong, len, out, &n) ==
				      HANDOFF__TALK_VIOLATED;
			assert_in_range(n, 0, len);
			assert_int_equal(end.talk.received, n);
			finish(&end);
		}
	assert_in_range(violations, 1000, 256 * (int)len);
}

static void
expect_no_welcome(const struct handoff__frame *welcome)
{
	struct end end;
	unsigned char out[100];

	begin(&end);
	say(&end, "hello");
	take(&end, false, out, HANDOFF__FRAME_HEADER + 2);
	assert_int_equal(
		handoff__talk_welcome(&end.talk, &end.box, welcome), -EPROTO);
	finish(&end);
}

static void
test_wrong_welcome(void **state)
{
	struct handoff__frame good = first_welcome, wrong;

	(void)state;
	good.resumed = true;
	good.received = 2;
	wrong = good;
	wrong.number++;
	expect_no_welcome(&wrong);
	wrong = good;
	wrong.resumed = false;
	expect_no_welcome(&wrong);
	wrong = good;
	wrong.received = 3; /* framed, but not passed */
	expect_no_welcome(&wrong);
	wrong = good;
	wrong.received = 6;
	expect_no_welcome(&wrong);
	wrong = good;
	wrong.ack = 3;
	expect_no_welcome(&wrong);
	wrong = good;
	wrong.to_server--;
	expect_no_welcome(&wrong);
}

/* The secret is in one place, and not there any more afterwards. */
static void
test_secret_is_cleared(void **state)
{
	static const unsigned char none[16];
	struct end end;

	(void)state;
	begin(&end);
	assert_memory_equal(end.talk.token, first_welcome.token, 16);
	handoff__talk_fini(&end.talk);
	assert_memory_equal(end.talk.token, none, 16);
	begin(&end);
	handoff__talk_close(&end.talk, &end.box, false);
	assert_memory_equal(end.talk.token, none, 16);
	handoff__outbox_fini(&end.box);
}

static void
test_give_up(void **state)
{
	unsigned char out[HANDOFF__FRAME_MAX], sent[100];
	struct handoff__frame frame;
	struct end end;
	size_t n;

	(void)state;
	begin(&end);
	say(&end, "hello");
	/* half a frame: nothing can follow it */
	take(&end, false, sent, HANDOFF__FRAME_HEADER + 2);
	assert_int_equal(handoff__talk_give_up(&end.talk,
				 HANDOFF__ABORT_APPLICATION, "gone", out),
		0);
	assert_int_equal(handoff__talk_farewell(&end.talk, out), 0);
	take(&end, false, sent, sizeof(sent));
	n = handoff__talk_give_up(
		&end.talk, HANDOFF__ABORT_APPLICATION, "gone", out);
	assert_int_equal(handoff__frame_decode(&frame, out, n, NULL), n);
	assert_int_equal(frame.type, HANDOFF__FRAME_ABORT);
	assert_string_equal(frame.text, "gone");
	assert_int_equal(handoff__talk_give_up(&end.talk,
				 HANDOFF__ABORT_APPLICATION, "gone", out),
		0);
	finish(&end);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_cut_at_every_byte),
		handoff_test(test_byte_by_byte),
		handoff_test(test_resume_at_every_position),
		handoff_test(test_resume_within_a_frame),
		handoff_test(test_fate),
		handoff_test(test_fate_after_resume),
		handoff_test(test_orderly_end),
		handoff_test(test_acknowledges),
		handoff_test(test_window),
		handoff_test(test_violations),
		handoff_test(test_every_wrong_byte),
		handoff_test(test_wrong_welcome),
		handoff_test(test_secret_is_cleared),
		handoff_test(test_give_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
