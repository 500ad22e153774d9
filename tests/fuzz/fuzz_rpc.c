/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a stream of calls: taken as a whole and byte by byte they are
 * the same records, nothing outside of them is read, and what is read of a
 * head lies within its message.
 */
#include "fuzz.h"

#include "rpc/message.h"
#include "rpc/record.h"

#define LONGEST 400u

static void
check_sys(const struct handoff__rpc_auth *cred)
{
	struct handoff__rpc_auth copy = *cred;
	struct handoff__rpc_sys sys;
	uint8_t *data = exact_copy(cred->data, cred->len);

	copy.data = data;
	if (handoff__rpc_sys_parse(&copy, &sys) == AUTH_OK) {
		check(sys.aup.aup_len <= NGRPS);
		check(strlen(sys.aup.aup_machname) <= MAX_MACHINE_NAME);
	}
	free(data);
}

static void
check_message(const uint8_t *data, size_t len)
{
	uint8_t *copy = exact_copy(data, len);
	struct handoff__rpc_head head;

	if (handoff__rpc_parse(copy, len, &head) == HANDOFF__RPC_CALL) {
		check(head.args + head.args_len == copy + len);
		check(head.cred.len <= MAX_AUTH_BYTES);
		check(head.cred.data + head.cred.len <= head.verf.data);
		check(head.verf.data + head.verf.len <= head.args);
		check_sys(&head.cred);
	}
	free(copy);
}

/* The next record of the stream is this one. */
static void
check_stream(struct handoff__rpc_stream *stream, const uint8_t *data,
	const struct handoff__rpc_record *record)
{
	uint8_t *joined = exact_copy(data, record->len);
	size_t used;

	handoff__rpc_join(joined, data, record);
	for (size_t i = 0; i < record->wire; i++) {
		int rc = handoff__rpc_stream_feed(stream, data + i, 1, &used);

		check(used == 1);
		check(rc == (i + 1 == record->wire));
	}
	check(stream->len == record->len && !stream->longer);
	check(memcmp(stream->message, joined, record->len) == 0);
	check_message(joined, record->len);
	free(joined);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handoff__rpc_stream stream = {.max = LONGEST};
	struct handoff__rpc_record record;
	uint8_t *copy = exact_copy(data, size);
	size_t at = 0;

	check_message(data, size);
	while (handoff__rpc_scan(copy + at, size - at, LONGEST, &record) == 1) {
		check(record.wire <= size - at && record.wire <= LONGEST);
		check(record.wire == record.len + 4 * record.fragments);
		if (record.len > 0)
			check_stream(&stream, copy + at, &record);
		else
			handoff__rpc_stream_reset(&stream);
		at += record.wire;
	}
	handoff__rpc_stream_fini(&stream);
	free(copy);
	return 0;
}
