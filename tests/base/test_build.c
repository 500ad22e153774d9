/* SPDX-License-Identifier: MIT */
/* The build ID of this program, as its file has it. */
#include "support/support.h"

#include "base/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* This program's file, to be freed. */
static unsigned char *
read_self(size_t *size)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned char *data;
	size_t have = 0;
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size);
	assert_non_null(data);
	while (have < (size_t)st.st_size) {
		ssize_t n = read(fd, data + have, (size_t)st.st_size - have);

		assert_true(n > 0);
		have += (size_t)n;
	}
	close(fd);
	*size = have;
	return data;
}

/* Length of the name and of the ID, the type of the note, and the name. */
static const unsigned char note[] = {
	4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0};

static void
it_is_that_of_the_file(void **state)
{
	char id[HANDOFF__BUILD_MAX], expected[HANDOFF__BUILD_MAX] = "";
	const unsigned char *found;
	unsigned char *file;
	size_t size;

	(void)state;
	file = read_self(&size);
	found = memmem(file, size, note, sizeof(note));
	/* this program has the bytes that it looks for among its own data */
	if (!found || (size_t)(found - file) + 36 > size ||
		(size_t)(found - file) > 4096) {
		free(file);
		print_message("SKIP: the linker gives no build ID\n");
		skip();
	}
	for (size_t i = 0; i < 20; i++)
		snprintf(expected + 2 * i, 3, "%02x", found[sizeof(note) + i]);
	free(file);
	handoff__build_id(id);
	assert_string_equal(id, expected);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(it_is_that_of_the_file),
	};

	return cmocka_run_group_tests_name("build", tests, NULL, NULL);
}
