/* SPDX-License-Identifier: MIT */
/*
 * What a peer logs and does if TCP_INFO has no byte counters: getsockopt is
 * wrapped and truncates it, as kernels before 4.1 do.
 */
#include "peer/fixture.h"

#include "control/table.h"
#include "peer/status.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SENTENCE                                                               \
	"survival: not promised: this kernel's TCP_INFO has no byte "          \
	"counters: after a crash bytes in flight may be lost or duplicated"

static bool cut;

int __real_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len);

int
__wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len)
{
	if (cut && level == IPPROTO_TCP && name == TCP_INFO && *len > 104)
		*len = 104;
	return __real_getsockopt(fd, level, name, to, len);
}

static void
count_warning(enum handoff_log_level level, const char *text, void *arg)
{
	if (level != HANDOFF_LOG_WARNING || !strstr(text, "survival"))
		return;
	assert_string_equal(text, SENTENCE);
	++*(unsigned *)arg;
}

static void
open_side(struct side *a, unsigned *warnings)
{
	*warnings = 0;
	side_init(a, support_dir(), "one");
	a->log.fn = count_warning;
	a->log.arg = warnings;
	pair_own(a);
}

static char *
told_by(struct side *a,
	void (*fn)(struct handoff__pair *, struct handoff__buf *))
{
	struct handoff__buf buf = {0};

	fn(&a->pair, &buf);
	return buf.data;
}

static void
what_is_not_promised_is_said(void **state)
{
	struct side a;
	unsigned warnings;
	char *text;
	struct handoff__buf table = {0};
	struct handoff__contact contact = {
		.name = "one", .service = "test", .role = "owner"};

	(void)state;
	cut = true;
	open_side(&a, &warnings);
	cut = false;
	assert_int_equal(warnings, 1);
	text = told_by(&a, handoff__status_json);
	assert_non_null(strstr(text, ",\"survival_lacks\":[\"counters\"],"));
	free(text);
	text = told_by(&a, handoff__status_text);
	assert_non_null(strstr(text, "\nsurvival not promised: this kernel"));
	contact.body = text;
	handoff__table(&contact, 1, &table);
	assert_non_null(strstr(table.data, "\none: " SENTENCE "\n"));
	free(table.data);
	free(text);
	side_close(&a);
}

static void
nothing_is_said_where_all_is_there(void **state)
{
	struct side a;
	unsigned warnings;
	char *text;

	(void)state;
	open_side(&a, &warnings);
	assert_int_equal(warnings, 0);
	text = told_by(&a, handoff__status_json);
	assert_non_null(strstr(text, ",\"survival_lacks\":[],"));
	free(text);
	text = told_by(&a, handoff__status_text);
	assert_null(strstr(text, "survival"));
	free(text);
	side_close(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_is_not_promised_is_said),
		handoff_test(nothing_is_said_where_all_is_there),
	};

	return cmocka_run_group_tests_name("lacks", tests, NULL, NULL);
}
