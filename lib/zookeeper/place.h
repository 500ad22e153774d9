/* SPDX-License-Identifier: MIT */
/*
 * Where a service is: the address HOST:PORT[,HOST:PORT...]/SERVICE[?creds=FILE]
 * and what is in the file. Names of hosts are resolved here, once: the client
 * would ask DNS in the owner's thread whenever it connects again.
 */
#ifndef HANDOFF_ZOOKEEPER_PLACE_H
#define HANDOFF_ZOOKEEPER_PLACE_H

#include "base/text.h"

#define HANDOFF__ZK_HOSTS_MAX  2048
#define HANDOFF__ZK_SECRET_MAX 256

struct handoff__zk_place {
	char hosts[HANDOFF__ZK_HOSTS_MAX]; /* numeric, for the client */
	char service[HANDOFF_NAME_MAX];
	bool loopback;                        /* all hosts are this one */
	char auth[HANDOFF__ZK_SECRET_MAX];    /* NAME:PASSWORD; "": none */
	char readers[HANDOFF__ZK_SECRET_MAX]; /* of the notice: "anyone", or
					       * NAME:HASH; "": no others */
};

/* Parses an address behind its prefix. `writes`: it needs credentials unless it
 * is on loopback. 0, or a negative errno and a sentence. */
int handoff__zk_place_parse(struct handoff__zk_place *place, const char *rest,
	bool writes, struct handoff__error *error);

/* Overwrites what is secret in it. */
void handoff__zk_place_wipe(struct handoff__zk_place *place);

#endif
