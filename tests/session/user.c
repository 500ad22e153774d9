/* SPDX-License-Identifier: MIT */
/*
 * The client of a session, and the loop of a server, both played by the test.
 * No call waits.
 */
#include "session/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct user_seen seen;

struct user *
user_of(handoff_handle_fn *handle)
{
	static struct user u;

	memset(&seen, 0, sizeof(seen));
	user_init(&u, handle);
	return &u;
}

int
user_line(struct handoff_conn *conn, void *arg)
{
	static const char text[] = "posted\n";
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = handoff_conn_id(conn),
		.data = text,
		.len = sizeof(text) - 1};
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	size_t n = end ? (size_t)(end - input) + 1 : 0;

	(void)arg;
	seen.calls++;
	seen.last = handoff_conn_reason(conn);
	seen.id = handoff_conn_id(conn);
	if (n == 0 || n > handoff_conn_room(conn))
		return 0;
	if (handoff_conn_state(conn))
		++*(unsigned char *)handoff_conn_state(conn);
	handoff_conn_write(conn, input, n);
	handoff_conn_consume(conn, n);
	if (strncmp(input, "quit", 4) == 0)
		handoff_conn_close(conn);
	if (strncmp(input, "abort", 5) == 0)
		handoff_conn_abort(conn);
	if (strncmp(input, "post", 4) == 0)
		assert_int_equal(handoff_conn_post(conn, &post), 0);
	return strncmp(input, "fail", 4) == 0 ? -EPROTO : 0;
}

void
user_init(struct user *u, handoff_handle_fn *handle)
{
	memset(u, 0, sizeof(*u));
	u->inner = (struct handoff_service){.size = sizeof(u->inner),
		.name = "inner",
		.state_size = 32,
		.input_size = SIZE,
		.output_size = SIZE,
		.handle = handle,
		.arg = u};
	u->opts.size = sizeof(u->opts);
	u->limits = (struct handoff__flow_limits){
		.keep = 3000, .take = 2500, .memory = 5000};
	u->got = malloc(STREAM_MOST);
	u->said = malloc(STREAM_MOST);
	assert_non_null(u->got);
	assert_non_null(u->said);
}

void
user_open(struct user *u)
{
	assert_int_equal(
		handoff_session_service(&u->session, &u->inner, &u->opts), 0);
	open_service(&u->f, &u->session.service);
	u->f.rec->kind = HANDOFF__CONNECTION;
	u->f.service.state_version = u->f.view.seg->geo.state_version;
}

void
user_close(struct user *u)
{
	close_conn(&u->f);
	free(u->got);
	free(u->said);
}

void
user_sends(struct user *u, const void *bytes, size_t len)
{
	assert_int_equal(send(u->f.client, bytes, len, MSG_DONTWAIT), len);
}

void
user_sends_frame(struct user *u, const struct handoff__frame *frame)
{
	unsigned char bytes[HANDOFF__FRAME_MAX];
	size_t len = handoff__frame_encode(frame, bytes, sizeof(bytes));

	assert_true(len > 0);
	user_sends(u, bytes, len);
}

void
user_begins(struct user *u)
{
	struct handoff__frame frame;

	handoff__flow_ask(&u->limits, &frame);
	user_sends(u, handoff__preface, HANDOFF__PREFACE_LEN);
	user_sends_frame(u, &frame);
	turns(&u->f);
	user_reads(u);
	assert_int_equal(u->welcomes, 1);
}

size_t
user_says(struct user *u, const void *bytes, size_t len, size_t piece)
{
	const unsigned char *from = bytes;
	unsigned char header[HANDOFF__FRAME_HEADER];
	size_t done = 0;

	while (done < len && handoff__flow_room(&u->flow) > 0) {
		size_t n = len - done < piece ? len - done : piece;

		if (n > handoff__flow_room(&u->flow))
			n = (size_t)handoff__flow_room(&u->flow);
		handoff__flow_data(&u->flow, (uint32_t)n, header);
		user_sends(u, header, sizeof(header));
		user_sends(u, from + done, n);
		memcpy(u->said + u->said_len, from + done, n);
		u->said_len += n;
		done += n;
		turns(&u->f);
	}
	return done;
}

void
user_says_text(struct user *u, const char *text)
{
	assert_int_equal(user_says(u, text, strlen(text), 65535), strlen(text));
}

size_t
user_fills(struct user *u, size_t most)
{
	static const char bytes[8 * SIZE];
	size_t done = 0, n;

	assert_true(most <= sizeof(bytes));
	do {
		n = user_says(u, bytes, most - done, 500);
		done += n;
		user_reads(u);
	} while (n > 0 && done < most && !u->aborted);
	return done;
}

void
user_ends(struct user *u)
{
	unsigned char header[HANDOFF__FRAME_HEADER];

	handoff__flow_end(&u->flow, header);
	user_sends(u, header, sizeof(header));
	turns(&u->f);
}

static void
take_frame(struct user *u, const struct handoff__frame *frame)
{
	switch (frame->type) {
	case HANDOFF__FRAME_REFUSED:
		u->refused = frame->reason;
		return;
	case HANDOFF__FRAME_WELCOME:
		u->welcomes++;
		assert_int_equal(frame->resumed
					 ? handoff__flow_resume(&u->flow, frame)
					 : handoff__flow_begin(
						   &u->flow, &u->limits, frame),
			0);
		u->number = frame->number;
		memcpy(u->token, frame->token, sizeof(u->token));
		return;
	default:
		break;
	}
	if (frame->type == HANDOFF__FRAME_ACK)
		u->acks++;
	if (frame->type == HANDOFF__FRAME_ABORT && u->welcomes == 0) {
		u->aborted = true;
		return;
	}
	switch (handoff__flow_input(&u->flow, frame, NULL)) {
	case HANDOFF__FLOW_END:
		u->ended = true;
		break;
	case HANDOFF__FLOW_ABORT:
		u->aborted = true;
		break;
	case HANDOFF__FLOW_NOTHING:
	case HANDOFF__FLOW_DATA:
		break;
	default:
		fail_msg("the server violates the protocol");
	}
}

/* One frame, or a part of DATA; its length, 0: not whole yet. */
static size_t
take_some(struct user *u, const unsigned char *at, size_t len)
{
	struct handoff__frame frame;
	int n;

	if (u->flow.rx_left > 0) {
		if (len > u->flow.rx_left)
			len = u->flow.rx_left;
		assert_true(u->got_len + len <= STREAM_MOST);
		memcpy(u->got + u->got_len, at, len);
		u->got_len += len;
		handoff__flow_take(&u->flow, (uint32_t)len);
		handoff__flow_read(&u->flow, len);
		return len;
	}
	n = handoff__frame_decode(&frame, at, len, NULL);
	assert_true(n >= 0);
	if (n > 0)
		take_frame(u, &frame);
	return (size_t)n;
}

/* Whether anything has come. */
static bool
read_frames(struct user *u)
{
	size_t at = 0, len = 1;
	ssize_t n = recv(u->f.client, u->raw + u->raw_len,
		sizeof(u->raw) - u->raw_len, MSG_DONTWAIT);

	u->closed |= n == 0;
	u->raw_len += n > 0 ? (size_t)n : 0;
	for (; at < u->raw_len && len > 0; at += len)
		len = take_some(u, u->raw + at, u->raw_len - at);
	memmove(u->raw, u->raw + at, u->raw_len - at);
	u->raw_len -= at;
	return n > 0;
}

/* Whether that was due, and is sent. */
static bool
acknowledge(struct user *u)
{
	unsigned char header[HANDOFF__FRAME_HEADER];

	if (u->welcomes == 0 || !handoff__flow_ack_due(&u->flow))
		return false;
	handoff__flow_ack(&u->flow, header);
	if (send(u->f.client, header, sizeof(header),
		    MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ||
		u->f.result.outcome == HANDOFF__TURN_END)
		return false;
	turns(&u->f);
	return true;
}

void
user_reads(struct user *u)
{
	do {
		while (read_frames(u))
			;
	} while (acknowledge(u));
}

void
user_hears(struct user *u, const char *text)
{
	user_reads(u);
	assert_int_equal(u->got_len, strlen(text));
	assert_memory_equal(u->got, text, u->got_len);
	u->got_len = 0;
}

void
user_is_cut(struct user *u)
{
	struct handoff_conn conn;

	close(u->f.client);
	u->f.client = -1;
	u->raw_len = 0;
	handoff__txn_begin(&conn, &u->f.view);
	handoff__session_absent(&conn);
	handoff__flip(&u->f.view);
	assert_true(handoff__record_ok(&u->f.view));
}

static bool
any(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

static void
new_record(struct user *u)
{
	struct fixture *f = &u->f;
	uint32_t segment, slot;
	int sv[2];

	assert_int_equal(
		handoff__arena_alloc(&f->arena, 1, any, NULL, &segment, &slot),
		0);
	handoff__view_make(&f->view, f->arena.segments[segment], slot);
	f->rec = f->view.rec;
	handoff__record_set_id(f->rec,
		handoff__board_number(handoff__arena_board(&f->arena), true));
	handoff__posts_enter(&f->arena, 1, segment, slot);
	f->rec->kind = HANDOFF__CONNECTION;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	close(f->fd);
	f->fd = sv[0];
	f->client = sv[1];
}

void
user_returns(struct user *u, struct handoff__view *from)
{
	struct handoff__frame frame;

	*from = u->f.view;
	new_record(u);
	handoff__flow_wish(&u->flow, &frame);
	frame.number = u->number;
	memcpy(frame.token, u->token, sizeof(frame.token));
	user_sends(u, handoff__preface, HANDOFF__PREFACE_LEN);
	user_sends_frame(u, &frame);
	turns(&u->f);
	assert_true(user_flags(u) & HANDOFF__RESUMING);
}

int
user_resumes(struct user *u, struct handoff__view *from)
{
	struct handoff__session_wish wish;
	struct handoff_conn to;
	int err;

	assert_true(handoff__session_wish(&u->f.view, &wish));
	err = handoff__session_check(from, &wish);
	handoff__txn_begin(&to, &u->f.view);
	if (err == 0) {
		assert_int_equal(handoff__session_resume(&to, from, &wish), 0);
		to.next->line_pos = handoff__record_commit(from->rec)->line_pos;
	} else {
		assert_int_equal(
			handoff__session_refuse(&to,
				err == -ENOENT ? HANDOFF__REFUSED_UNKNOWN
					       : HANDOFF__REFUSED_POSITION),
			0);
	}
	handoff__txn_commit(&to);
	assert_true(handoff__record_ok(&u->f.view));
	if (err == 0) {
		handoff__record_flag(from,
			HANDOFF__CLOSING | HANDOFF__OVER | HANDOFF__ENDED);
		handoff__record_unflag(from, HANDOFF__SESSION);
	}
	turns(&u->f);
	user_reads(u);
	return err;
}

const struct handoff__session_head *
user_head(const struct user *u)
{
	uint32_t which = handoff__record_sequence(u->f.rec) & 1;
	const struct handoff__session_head *head =
		handoff__session_head(handoff__record_state(&u->f.view, which),
			handoff__record_commit(u->f.rec)->state_len, NULL);

	assert_non_null(head);
	return head;
}

uint32_t
user_flags(const struct user *u)
{
	return handoff__record_commit(u->f.rec)->flags;
}

unsigned
user_count(const struct user *u)
{
	const struct handoff__session_head *head = user_head(u);

	return ((const unsigned char *)head)[handoff__session_inner_at(head)];
}
