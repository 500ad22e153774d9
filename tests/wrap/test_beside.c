/* SPDX-License-Identifier: MIT */
/*
 * What an inner service does beside its own stream is part of the outer
 * transaction: posts, answers that come later, the shared region.
 */
#include "wrap/wrapped.h"

#include "record/region.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned rung;

/* What the inner service does, and has seen. */
static struct {
	int returns; /* of its handler, when it has done its part */
	int hook;    /* of its hook */
	unsigned asked, hooks, gaps;
	uint64_t request[8];
	bool late; /* the region is not free */
} plan;

static void
count_rings(void *arg)
{
	(void)arg;
	rung++;
}

static void
begin(struct wrapped *w, handoff_handle_fn *handle, handoff_handle_fn *posted)
{
	memset(&plan, 0, sizeof(plan));
	rung = 0;
	wrapped_init(w, handle);
	w->inner.posted = posted;
	w->inner.shared_size = 4096;
	wrapped_open(w);
	w->f.arena.posts.rang = count_rings;
	assert_int_equal(handoff__region_claim(&w->f.arena,
				 handoff__region_stamp_of(4096, 0)),
		0);
}

static void
post_from_outside(struct wrapped *w, const char *text, uint64_t request)
{
	struct handoff__post post = {.to = HANDOFF__POST_ONE,
		.id = 1,
		.request = request,
		.len = (uint32_t)strlen(text)};

	assert_int_equal(
		handoff__posts_add(&w->f.arena.posts, &post, text, 1), 0);
}

/* Posts all of it to all, counts it in the region, and says "ok". */
static int
post_and_count(struct handoff_conn *conn, void *arg)
{
	struct handoff_post post = {
		.size = sizeof(post), .to = HANDOFF_POST_ALL};
	const void *seen;
	void *at;

	(void)arg;
	post.data = handoff_conn_input(conn, &post.len);
	if (post.len == 0)
		return 0;
	assert_int_equal(handoff_conn_post(conn, &post), 0);
	if (plan.late)
		return handoff_conn_shared(conn, 8, 4, &at);
	assert_int_equal(handoff_conn_shared(conn, 8, 4, &at), 0);
	++*(uint32_t *)at;
	assert_int_equal(handoff_conn_shared_read(conn, 8, 4, &seen), 0);
	assert_ptr_equal(seen, at);
	handoff_conn_write(conn, "ok", 2);
	handoff_conn_consume(conn, post.len);
	return plan.returns;
}

static uint32_t
counted(const struct wrapped *w)
{
	void *at;

	assert_int_equal(
		handoff__region_at(w->f.view.seg->commons, 8, 4, &at), 0);
	return *(uint32_t *)at;
}

static void
effects_are_true_with_the_commit(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, post_and_count, NULL);
	wrapped_says(&w, 'd', "hello");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_WAIT);
	/* without a hook of the inner service the post is in a frame */
	wrapped_hears(&w, "okhello", "dd");
	assert_int_equal(rung, 1);
	assert_int_equal(counted(&w), 1);
	assert_int_equal(handoff__lock_holder(&w.f.view.seg->ring->lock), 0);
	wrapped_close(&w);
}

static void
effects_are_undone_with_a_failure(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, post_and_count, NULL);
	plan.returns = -EPROTO;
	wrapped_says(&w, 'd', "hello");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_END);
	wrapped_hears(&w, "", "");
	assert_int_equal(handoff__posts_head(w.f.view.seg->ring), 0);
	assert_int_equal(counted(&w), 0);
	wrapped_close(&w);
}

/* Each input byte is a question, whose answer comes later. */
static int
ask(struct handoff_conn *conn, void *arg)
{
	size_t len;

	(void)arg;
	handoff_conn_input(conn, &len);
	if (len == 0)
		return 0;
	assert_true(plan.asked < 8);
	plan.request[plan.asked++] = handoff_conn_request(conn);
	handoff_conn_write(conn, "unsaid", 6);
	handoff_conn_consume(conn, len);
	memset(handoff_conn_state(conn), 1, 32);
	return HANDOFF_LATER;
}

static int
answer(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *posted = handoff_conn_posted(conn);
	const unsigned char *s = handoff_conn_state(conn);
	const char *input;
	size_t len;

	(void)arg;
	plan.hooks++;
	assert_non_null(posted);
	plan.gaps += posted->gap;
	assert_int_equal(s[0], 0);
	if (posted->gap)
		return 0;
	if (plan.hook != 0)
		return plan.hook;
	input = handoff_conn_input(conn, &len);
	handoff_conn_write(conn, posted->data, posted->len);
	if (posted->request == 0)
		return 0;
	assert_int_equal(posted->request, handoff_conn_request(conn));
	assert_true(len > 0);
	handoff_conn_write(conn, input, 1);
	return handoff_conn_consume(conn, 1);
}

static void
answer_comes_later(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, ask, answer);
	wrapped_says(&w, 'd', "abc");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_WAIT);
	assert_int_equal(plan.asked, 1);
	wrapped_hears(&w, "", "");
	/* what has come is not decoded for good */
	assert_int_equal(handoff__record_unread(w.f.rec), TOY_HEAD + 3);
	/* no answer: it goes on waiting, though this is committed */
	post_from_outside(&w, "news;", 0);
	turn(&w.f, 0);
	wrapped_hears(&w, "news;", "d");
	assert_int_equal(plan.asked, 1);
	post_from_outside(&w, "1", plan.request[0]);
	turn(&w.f, 0);
	wrapped_hears(&w, "1a", "d");
	/* the next question has another number, and the old one's answer does
	 * not come again, though no byte of the connection was consumed */
	assert_int_equal(plan.asked, 2);
	assert_int_not_equal(plan.request[0], plan.request[1]);
	post_from_outside(&w, "again", plan.request[0]);
	turn(&w.f, 0);
	wrapped_hears(&w, "", "");
	post_from_outside(&w, "2", plan.request[1]);
	turn(&w.f, 0);
	wrapped_hears(&w, "2b", "d");
	assert_int_equal(plan.asked, 3);
	wrapped_close(&w);
}

/* A new owner knows nothing of the question: it is asked again, alike. */
static void
question_is_asked_again_alike(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, ask, answer);
	for (int i = 0; i < 2; i++) {
		unsigned asked = plan.asked;

		wrapped_says(&w, 'd', "a");
		turn(&w.f, EPOLLIN);
		handoff__record_unflag(&w.f.view, HANDOFF__WAITING);
		turn(&w.f, 0);
		assert_int_equal(plan.asked, asked + 2);
		assert_int_equal(plan.request[asked], plan.request[asked + 1]);
		assert_int_equal(plan.request[asked], i + 1);
		post_from_outside(&w, "1", plan.request[asked]);
		turn(&w.f, 0);
		wrapped_hears(&w, "1a", "d");
	}
	wrapped_close(&w);
}

static void
later_needs_a_hook(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, ask, NULL);
	wrapped_says(&w, 'd', "a");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(w.f.result.err, EINVAL);
	wrapped_close(&w);
}

/* Says what it gets, and takes posts from then on. */
static int
open_the_tap(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	(void)arg;
	if (len == 0)
		return 0;
	plan.asked++;
	if (input[0] == 'y')
		plan.hook = 0;
	return handoff_conn_consume(conn, 1);
}

/* Nothing is unsent, and the hook waits for what the client has to say. */
static void
post_may_wait_for_input(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, open_the_tap, answer);
	plan.hook = -EAGAIN;
	post_from_outside(&w, "news", 0);
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_WAIT);
	assert_int_equal(plan.hooks, 1);
	assert_int_equal(w.f.rec->activity, HANDOFF__PENDING);
	wrapped_says(&w, 'd', "n");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(plan.asked, 1);
	wrapped_hears(&w, "", "");
	assert_true(plan.hooks <= 4);
	wrapped_says(&w, 'd', "y");
	assert_int_equal(turns(&w.f), HANDOFF__TURN_WAIT);
	wrapped_hears(&w, "news", "d");
	assert_int_equal(w.f.rec->activity, HANDOFF__AT_REST);
	wrapped_close(&w);
}

static void
posts_that_never_fit_end_it(void **state)
{
	char text[SIZE - TOY_HEAD + 2];
	struct wrapped w;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[SIZE - TOY_HEAD] = '\0';
	begin(&w, open_the_tap, NULL);
	post_from_outside(&w, text, 0);
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_WAIT);
	wrapped_hears(&w, text, "d");
	text[SIZE - TOY_HEAD] = 'x';
	text[SIZE - TOY_HEAD + 1] = '\0';
	post_from_outside(&w, text, 0);
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_END);
	assert_int_equal(w.f.result.err, EMSGSIZE);
	wrapped_close(&w);
}

static void
inner_hook_is_told_of_gaps(void **state)
{
	static char text[SIZE - TOY_HEAD];
	struct wrapped w;

	(void)state;
	begin(&w, open_the_tap, answer);
	w.f.service.post_gaps = true;
	memset(text, 'x', sizeof(text) - 1);
	for (unsigned i = 0; i < 2 * HANDOFF__POSTS_SIZE / SIZE; i++)
		post_from_outside(&w, text, 0);
	turn(&w.f, 0);
	assert_int_equal(plan.gaps, 1);
	wrapped_close(&w);
}

/* A handler of another process has the region: all is undone, and runs again.
 */
static void
held_region_is_tried_again(void **state)
{
	struct wrapped w;

	(void)state;
	begin(&w, post_and_count, NULL);
	handoff__arena_name(&w.f.arena, handoff__lock_name(2, 0));
	assert_int_equal(handoff__region_enter(w.f.view.seg->commons), 0);
	handoff__arena_name(&w.f.arena, handoff__lock_name(1, 0));
	plan.late = true;
	wrapped_says(&w, 'd', "hello");
	assert_int_equal(turn(&w.f, EPOLLIN), HANDOFF__TURN_RETRY);
	wrapped_hears(&w, "", "");
	assert_int_equal(handoff__posts_head(w.f.view.seg->ring), 0);
	plan.late = false;
	handoff__arena_name(&w.f.arena, handoff__lock_name(2, 0));
	handoff__region_undo(w.f.view.seg->commons);
	handoff__arena_name(&w.f.arena, handoff__lock_name(1, 0));
	assert_int_equal(turn(&w.f, 0), HANDOFF__TURN_WAIT);
	wrapped_hears(&w, "okhello", "dd");
	assert_int_equal(counted(&w), 1);
	wrapped_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(effects_are_true_with_the_commit),
		handoff_test(effects_are_undone_with_a_failure),
		handoff_test(answer_comes_later),
		handoff_test(question_is_asked_again_alike),
		handoff_test(later_needs_a_hook),
		handoff_test(post_may_wait_for_input),
		handoff_test(posts_that_never_fit_end_it),
		handoff_test(inner_hook_is_told_of_gaps),
		handoff_test(held_region_is_tried_again),
	};

	if (cmocka_run_group_tests_name("no desk", tests, on_no_desk, NULL) > 0)
		return 1;
	return cmocka_run_group_tests_name("a desk", tests, on_a_desk, NULL);
}
