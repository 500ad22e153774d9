/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the image of a connection: it is refused, or all of it is
 * within its bounds and written again it is what was read.
 */
#include "fuzz.h"

#include "migrate/image.h"

#include <errno.h>
#include <netinet/in.h>

static void
check_queues(
	const struct handoff__image *image, const uint8_t *data, size_t size)
{
	check(image->in >= data && image->out <= data + size);
	check(image->in + image->in_len == image->out);
	check(image->out + image->out_len == data + size);
	check(image->unsent <= image->out_len);
}

static void
check_addresses(const struct handoff__image *image)
{
	struct sockaddr_storage sa;
	socklen_t len = image->family == AF_INET ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6);

	check(handoff__image_local(image, &sa) == len);
	check(sa.ss_family == image->family);
	check(handoff__image_peer(image, &sa) == len);
}

/* What follows the end of a text is not carried, so this is not `data`. */
static void
check_again(const struct handoff__image *image)
{
	size_t size = handoff__image_size(image);
	unsigned char *written = malloc(size);
	struct handoff__image again;

	check(written);
	check(handoff__image_encode(image, written, size, NULL) == 0);
	check(handoff__image_decode(&again, written, size, NULL) == 0);
	check(handoff__image_size(&again) == size);
	check(memcmp(&again.options, &image->options, sizeof(again.options)) ==
		0);
	check(memcmp(&again.window, &image->window, sizeof(again.window)) == 0);
	check(again.in_len == 0 ||
		memcmp(again.in, image->in, again.in_len) == 0);
	check(again.out_len == 0 ||
		memcmp(again.out, image->out, again.out_len) == 0);
	free(written);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *copy = exact_copy(data, size);
	struct handoff__error error = {""};
	struct handoff__image image;
	int err = handoff__image_decode(&image, copy, size, &error);

	check(err == 0 || err == -EBADMSG || err == -EPROTO);
	if (err < 0) {
		check(error.text[0] != '\0');
	} else {
		check(handoff__image_size(&image) == size);
		check_queues(&image, copy, size);
		check_addresses(&image);
		check_again(&image);
	}
	free(copy);
	return 0;
}
