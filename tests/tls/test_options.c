/* SPDX-License-Identifier: MIT */
/*
 * What a server's command line says of TLS, and the table of what a process
 * keeps of its connections.
 */
#include "support/support.h"

#include "tls/cache.h"

#include <errno.h>
#include <handoff/tls.h>
#include <string.h>

static struct handoff_tls_opts opts;
static char why[HANDOFF_TEXT_MAX];
static char *args[16];
static int count;

static int
reads(const char *first, ...)
{
	va_list list;

	opts = (struct handoff_tls_opts){.size = sizeof(opts)};
	count = 0;
	va_start(list, first);
	for (const char *arg = first; arg; arg = va_arg(list, const char *))
		args[count++] = (char *)(uintptr_t)arg;
	va_end(list);
	args[count] = NULL;
	return handoff_tls_opts_read(&opts, &count, args, why, sizeof(why));
}

static void
options_are_taken_out(void **state)
{
	(void)state;
	assert_int_equal(reads("me", "--dir", "x", NULL), 0);
	assert_int_equal(count, 3);
	assert_null(opts.cert_file);
	assert_int_equal(reads("me", "--tls-cert", "c", "--dir", "x",
				 "--tls-key=k", "y", NULL),
		1);
	assert_int_equal(count, 4);
	assert_string_equal(args[1], "--dir");
	assert_string_equal(args[3], "y");
	assert_null(args[4]);
	assert_string_equal(opts.cert_file, "c");
	assert_string_equal(opts.key_file, "k");
	assert_int_equal(reads("me", "--tls-key", "k", "--tls-cert", "c",
				 "--tls-client-ca", "a", NULL),
		1);
	assert_string_equal(opts.client_ca_file, "a");
	assert_int_equal(count, 1);
}

static void
others_are_left_alone(void **state)
{
	(void)state;
	assert_int_equal(reads("me", "--tls-certificate", "c", NULL), 0);
	assert_int_equal(count, 3);
	assert_int_equal(
		reads("me", "--", "--tls-cert", "c", "--tls-key", NULL), 0);
	assert_int_equal(count, 5);
	assert_string_equal(args[2], "--tls-cert");
}

static void
bad_ones_are_named(void **state)
{
	(void)state;
	assert_int_equal(reads("me", "--tls-cert", NULL), -EINVAL);
	assert_non_null(strstr(why, "--tls-cert needs"));
	assert_int_equal(reads("me", "--tls-cert=", NULL), -EINVAL);
	assert_int_equal(reads("me", "--tls-cert", "c", NULL), -EINVAL);
	assert_non_null(strstr(why, "without --tls-key"));
	assert_int_equal(reads("me", "--tls-key", "k", NULL), -EINVAL);
	assert_non_null(strstr(why, "without --tls-cert"));
	assert_int_equal(reads("me", "--tls-client-ca", "a", NULL), -EINVAL);
	assert_int_equal(
		reads("me", "--tls-key", "k", "--tls-key", "l", NULL), -EINVAL);
	assert_non_null(strstr(why, "k and l"));
	assert_int_equal(
		handoff_tls_opts_read(NULL, &count, args, NULL, 0), -EINVAL);
	assert_int_equal(
		handoff_tls_opts_read(&opts, NULL, args, NULL, 0), -EINVAL);
}

static void
entries_stay_where_they_are(void **state)
{
	enum { MANY = 20000 };
	static struct handoff__tls_entry *entry[MANY];
	struct handoff__tls_cache cache;

	(void)state;
	handoff__tls_cache_init(&cache);
	for (uint64_t i = 0; i < MANY; i++)
		entry[i] = handoff__tls_cache_get(&cache, i * 3 + 1);
	assert_int_equal(handoff__tls_cache_count(&cache), MANY);
	for (uint64_t i = 0; i < MANY; i++)
		assert_ptr_equal(
			handoff__tls_cache_get(&cache, i * 3 + 1), entry[i]);
	for (uint64_t i = 0; i < MANY; i += 2)
		handoff__tls_cache_drop(&cache, i * 3 + 1);
	handoff__tls_cache_drop(&cache, 2);
	assert_int_equal(handoff__tls_cache_count(&cache), MANY / 2);
	for (uint64_t i = 1; i < MANY; i += 2)
		assert_ptr_equal(
			handoff__tls_cache_get(&cache, i * 3 + 1), entry[i]);
	handoff__tls_cache_free(&cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(options_are_taken_out),
		handoff_test(others_are_left_alone),
		handoff_test(bad_ones_are_named),
		handoff_test(entries_stay_where_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
