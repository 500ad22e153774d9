/* SPDX-License-Identifier: MIT */
/* The command line of a ferry. */
#include "support/support.h"

#include "ferry/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALL                                                                    \
	"--dir", "/run/x", "--to", "10.0.0.2:7001", "--cert", "c", "--key",    \
		"k", "--peer-cert", "p", "--address", "10.0.0.7/24", "--dev",  \
		"eth0"

static int
read_words(struct handoff__ferry_options *options, struct handoff__error *error,
	const char *const *words)
{
	char *argv[32] = {"handoff-ferry"};
	int argc = 1;

	memset(options, 0, sizeof(*options));
	error->text[0] = '\0';
	unsetenv("HANDOFF_DIR");
	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	return handoff__ferry_options_read(options, argc, argv, error);
}

static void
refused(const char *const *words, const char *because)
{
	struct handoff__ferry_options options;
	struct handoff__error error;

	assert_int_equal(read_words(&options, &error, words), -EINVAL);
	if (!strstr(error.text, because))
		fail_msg("'%s' does not say '%s'", error.text, because);
	assert_null(options.dir);
}

static void
test_all_that_is_needed(void **state)
{
	struct handoff__ferry_options options;
	struct handoff__error error;
	const char *const words[] = {ALL, NULL};

	(void)state;
	assert_int_equal(read_words(&options, &error, words), 0);
	assert_string_equal(options.dir, "/run/x");
	assert_string_equal(options.to, "10.0.0.2:7001");
	assert_null(options.listen);
	assert_string_equal(options.name, "ferry");
	assert_int_equal(options.batch, HANDOFF__FERRY_BATCH);
	assert_int_equal(options.timeout_ms, HANDOFF__FERRY_TIMEOUT_MS);
}

static void
test_most_of_a_batch(void **state)
{
	struct handoff__ferry_options options;
	struct handoff__error error;
	const char *const words[] = {ALL, "--batch", "253", NULL};

	(void)state;
	assert_int_equal(read_words(&options, &error, words), 0);
	assert_int_equal(options.batch, 253);
}

static void
test_names_what_is_missing(void **state)
{
	const char *const words[] = {ALL, NULL};
	const char *some[32];

	(void)state;
	for (int left_out = 0; words[left_out]; left_out += 2) {
		int n = 0;

		for (int i = 0; words[i]; i++)
			if (i / 2 != left_out / 2)
				some[n++] = words[i];
		some[n] = NULL;
		refused(some, words[left_out]);
	}
}

static void
test_refuses_what_does_not_fit(void **state)
{
	const char *const both[] = {ALL, "--listen", "10.0.0.1:7001", NULL};
	const char *const batch[] = {ALL, "--batch", "254", NULL};
	const char *const none[] = {ALL, "--batch", "0", NULL};
	const char *const name[] = {ALL, "--name", "a/b", NULL};
	const char *const word[] = {ALL, "now", NULL};
	const char *const unknown[] = {ALL, "--nonsense", NULL};

	(void)state;
	refused(both, "only one of the two ferries dials");
	refused(batch, "--batch");
	refused(none, "--batch");
	refused(name, "is not a name");
	refused(word, "now");
	refused(unknown, "--nonsense");
}

static void
test_help_needs_nothing_else(void **state)
{
	struct handoff__ferry_options options;
	struct handoff__error error;
	const char *const help[] = {"--help", NULL};
	const char *const version[] = {"--version", NULL};
	const char *const words[] = {ALL, NULL};

	(void)state;
	assert_int_equal(
		read_words(&options, &error, help), HANDOFF__FERRY_HELP);
	assert_int_equal(
		read_words(&options, &error, version), HANDOFF__FERRY_VERSION);
	/* it names each option */
	for (int i = 0; words[i]; i += 2)
		assert_non_null(
			strstr(handoff__ferry_options_help(), words[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_that_is_needed),
		cmocka_unit_test(test_most_of_a_batch),
		cmocka_unit_test(test_names_what_is_missing),
		cmocka_unit_test(test_refuses_what_does_not_fit),
		cmocka_unit_test(test_help_needs_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
