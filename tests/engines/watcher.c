/* SPDX-License-Identifier: MIT */
/* watcher ADDRESS: prints "notice TOKEN SEQ SERVING" for each that comes. */
#include <handoff/notice.h>
#include <handoff/zookeeper.h>

#include <inttypes.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = argc > 1 ? argv[1] : NULL,
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};
	struct handoff_subscriber *sub = NULL;
	const struct handoff_notice *notice;

	if (handoff_zookeeper_register() < 0 ||
		handoff_subscriber_open(&sub, &opts) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	while (handoff_subscriber_wait(sub, -1) == 0) {
		while (handoff_subscriber_next(sub, &notice) == 1)
			printf("notice %" PRIu64 " %" PRIu64 " %s\n",
				notice->generation >> 32, notice->seq,
				notice->serving);
		fflush(stdout);
	}
	return 1;
}
