/* SPDX-License-Identifier: MIT */
/*
 * Codecs of the link. Pure: bytes in, structures out. HELLO may only grow at
 * its end, since a peer of another version must be able to read it.
 */
#include "peer/message.h"

#include "base/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

const char *
handoff__reason_text(enum handoff__reason reason)
{
	switch (reason) {
	case HANDOFF__OK:
		return "accepted";
	case HANDOFF__BAD_VERSION:
		return "no common protocol version";
	case HANDOFF__BAD_SERVICE:
		return "a different service";
	case HANDOFF__BAD_STATE_SIZE:
		return "a different state size";
	case HANDOFF__BAD_STATE_VERSION:
		return "a different state version";
	case HANDOFF__BAD_LAYOUT:
		return "a different record layout";
	case HANDOFF__TAKEN:
		return "there are two peers already";
	case HANDOFF__TABLE_FULL:
		return "the standby's descriptor table is full";
	case HANDOFF__BAD_RECORD:
		return "the standby has no such record";
	case HANDOFF__NO_MEMORY:
		return "the standby is out of memory";
	case HANDOFF__HANDLER_BUSY:
		return "its handler has not returned";
	case HANDOFF__UNANSWERED:
		return "the standby has not confirmed its copy";
	case HANDOFF__BUSY:
		return "a handoff is under way";
	case HANDOFF__NOT_OWNER:
		return "that peer does not serve";
	case HANDOFF__LEAVING:
		return "it is leaving";
	case HANDOFF__GARBAGE:
		return "it sent a malformed message";
	case HANDOFF__BAD_CONFIG:
		return "a different configuration";
	case HANDOFF__UNTAKEN:
		return "the standby has not accepted it in time";
	case HANDOFF__UNWATCHED:
		return "its process cannot be watched";
	case HANDOFF__STRANGER:
		return "it is not the peer that was linked before";
	case HANDOFF__ANOTHER_USER:
		return "it runs as another user";
	case HANDOFF__CROWDED:
		return "too many are being greeted";
	case HANDOFF__BAD_SHARED:
		return "a different shared region";
	case HANDOFF__UNREADY:
		return "it is not ready to serve yet";
	case HANDOFF__BAD_LEASE:
		return "a different lease";
	case HANDOFF__NO_LEASE:
		return "this host does not hold the lease for certain";
	}
	return "unknown reason";
}

static void
put_hello(struct handoff__wire *w, const struct handoff__hello *h)
{
	handoff__put_u32(w, h->version_min);
	handoff__put_u32(w, h->version_max);
	handoff__put_u32(w, h->refusal);
	handoff__put_u32(w, h->layout);
	handoff__put_u32(w, h->state_size);
	handoff__put_u32(w, h->state_version);
	handoff__put_u32(w, h->pid);
	handoff__put_u32(w, h->place);
	handoff__put_u32(w, h->serving);
	handoff__put_u64(w, h->generation);
	handoff__put_text(w, h->service, sizeof(h->service));
	handoff__put_text(w, h->name, sizeof(h->name));
	handoff__put_text(w, h->partner, sizeof(h->partner));
	handoff__put_u32(w, h->partner_pid);
	handoff__put_u64(w, h->config_hash);
	handoff__put_u32(w, h->config_strict);
	handoff__put_u32(w, h->converts);
	handoff__put_u64(w, h->instance);
	handoff__put_u64(w, h->arena);
	handoff__put_u32(w, h->segments);
	handoff__put_u32(w, h->again);
	handoff__put_u32(w, h->hang_ms);
	handoff__put_u32(w, h->makes);
	handoff__put_u32(w, h->shared_size);
	handoff__put_u32(w, h->shared_version);
	handoff__put_u32(w, h->carrier);
	handoff__put_u32(w, h->input_size);
	handoff__put_u32(w, h->output_size);
	handoff__put_u32(w, h->pass_size);
	handoff__put_u32(w, h->post_size);
	handoff__put_u32(w, h->grows);
	handoff__put_u64(w, h->lease);
}

static void
get_hello(struct handoff__wire *w, struct handoff__hello *h)
{
	h->version_min = handoff__get_u32(w);
	h->version_max = handoff__get_u32(w);
	h->refusal = handoff__get_u32(w);
	h->layout = handoff__get_u32(w);
	h->state_size = handoff__get_u32(w);
	h->state_version = handoff__get_u32(w);
	h->pid = handoff__get_u32(w);
	h->place = handoff__get_u32(w);
	h->serving = handoff__get_u32(w);
	h->generation = handoff__get_u64(w);
	handoff__get_text(w, h->service, sizeof(h->service));
	handoff__get_text(w, h->name, sizeof(h->name));
	handoff__get_text(w, h->partner, sizeof(h->partner));
	h->partner_pid = handoff__get_u32(w);
	if (w->pos == w->size)
		return;
	h->config_hash = handoff__get_u64(w);
	h->config_strict = handoff__get_u32(w);
	h->converts = handoff__get_u32(w);
	if (w->pos == w->size)
		return;
	h->instance = handoff__get_u64(w);
	h->arena = handoff__get_u64(w);
	h->segments = handoff__get_u32(w);
	h->again = handoff__get_u32(w);
	h->hang_ms = handoff__get_u32(w);
	if (w->pos == w->size)
		return;
	h->makes = handoff__get_u32(w);
	h->shared_size = handoff__get_u32(w);
	h->shared_version = handoff__get_u32(w);
	if (w->pos == w->size)
		return;
	h->carrier = handoff__get_u32(w);
	h->input_size = handoff__get_u32(w);
	h->output_size = handoff__get_u32(w);
	h->pass_size = handoff__get_u32(w);
	h->post_size = handoff__get_u32(w);
	h->grows = handoff__get_u32(w);
	h->lease = handoff__get_u64(w);
}

static void
put_room(struct handoff__wire *w, const struct handoff__msg *msg)
{
	handoff__put_u32(w, msg->reason);
	handoff__put_u32(w, msg->room.count);
	handoff__put_u32(w, msg->room.state_size);
	handoff__put_u32(w, msg->room.state_version);
	handoff__put_u32(w, msg->room.input_size);
	handoff__put_u32(w, msg->room.output_size);
	handoff__put_u32(w, msg->room.pass_size);
}

static void
get_room(struct handoff__wire *w, struct handoff__msg *msg)
{
	msg->reason = handoff__get_u32(w);
	msg->room.count = handoff__get_u32(w);
	msg->room.state_size = handoff__get_u32(w);
	msg->room.state_version = handoff__get_u32(w);
	msg->room.input_size = handoff__get_u32(w);
	msg->room.output_size = handoff__get_u32(w);
	msg->room.pass_size = handoff__get_u32(w);
}

static void
put_refs(struct handoff__wire *w, const struct handoff__msg *msg)
{
	handoff__put_u32(w, msg->nrefs);
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		handoff__put_u64(w, msg->refs[i].id);
		handoff__put_u32(w, msg->refs[i].segment);
		handoff__put_u32(w, msg->refs[i].slot);
		handoff__put_u32(w, msg->refs[i].arg);
	}
}

static void
get_refs(struct handoff__wire *w, struct handoff__msg *msg)
{
	msg->nrefs = handoff__get_u32(w);
	if (msg->nrefs > HANDOFF_FDPASS_MAX) {
		w->bad = true;
		msg->nrefs = 0;
	}
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		msg->refs[i].id = handoff__get_u64(w);
		msg->refs[i].segment = handoff__get_u32(w);
		msg->refs[i].slot = handoff__get_u32(w);
		msg->refs[i].arg = handoff__get_u32(w);
	}
}

size_t
handoff__msg_encode(
	const struct handoff__msg *msg, unsigned char *data, size_t size)
{
	struct handoff__wire w = {.data = data, .size = size};

	handoff__put_u32(&w, msg->type);
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__HELLO:
		put_hello(&w, &msg->hello);
		break;
	case HANDOFF__SEGMENT:
	case HANDOFF__LOST:
		handoff__put_u32(&w, msg->index);
		break;
	case HANDOFF__MIRROR:
		handoff__put_u32(&w, msg->batch);
		put_refs(&w, msg);
		break;
	case HANDOFF__HELD:
		handoff__put_u32(&w, msg->batch);
		handoff__put_u32(&w, msg->reason);
		put_refs(&w, msg);
		break;
	case HANDOFF__DROP:
		put_refs(&w, msg);
		break;
	case HANDOFF__MOVE:
		handoff__put_u32(&w, msg->cause);
		handoff__put_u32(&w, msg->all);
		handoff__put_u64(&w, msg->generation);
		handoff__put_u64(&w, (uint64_t)msg->at_us);
		put_refs(&w, msg);
		break;
	case HANDOFF__TAKE:
		handoff__put_u32(&w, msg->cause);
		if (msg->cause == HANDOFF__REST)
			put_refs(&w, msg);
		break;
	case HANDOFF__GAVE:
		handoff__put_u32(&w, msg->reason);
		handoff__put_u32(&w, msg->moved);
		handoff__put_u32(&w, msg->listeners);
		handoff__put_u32(&w, msg->left);
		handoff__put_u32(&w, msg->took_us);
		put_refs(&w, msg);
		break;
	case HANDOFF__BYE:
		handoff__put_u32(&w, msg->reason);
		break;
	case HANDOFF__READY:
		handoff__put_u64(&w, (uint64_t)msg->at_us);
		handoff__put_u64(&w, (uint64_t)msg->offer_us);
		break;
	case HANDOFF__BEAT:
		handoff__put_u32(&w, msg->serving);
		handoff__put_u32(&w, msg->covered);
		break;
	case HANDOFF__LOADING:
		handoff__put_text(&w, msg->loading, sizeof(msg->loading));
		break;
	case HANDOFF__ROOM:
		put_room(&w, msg);
		break;
	case HANDOFF__LEND:
	case HANDOFF__LIFE:
	case HANDOFF__SAY:
	case HANDOFF__LEAVE:
		break;
	}
	assert(!w.bad);
	return w.pos;
}

static void
get_body(struct handoff__wire *w, struct handoff__msg *msg)
{
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__HELLO:
		get_hello(w, &msg->hello);
		return;
	case HANDOFF__SEGMENT:
	case HANDOFF__LOST:
		msg->index = handoff__get_u32(w);
		return;
	case HANDOFF__MIRROR:
		msg->batch = handoff__get_u32(w);
		get_refs(w, msg);
		return;
	case HANDOFF__HELD:
		msg->batch = handoff__get_u32(w);
		msg->reason = handoff__get_u32(w);
		get_refs(w, msg);
		return;
	case HANDOFF__DROP:
		get_refs(w, msg);
		return;
	case HANDOFF__MOVE:
		msg->cause = handoff__get_u32(w);
		msg->all = handoff__get_u32(w);
		msg->generation = handoff__get_u64(w);
		msg->at_us = (int64_t)handoff__get_u64(w);
		get_refs(w, msg);
		return;
	case HANDOFF__TAKE:
		msg->cause = handoff__get_u32(w);
		/* older libraries send no such request */
		if (msg->cause == HANDOFF__REST)
			get_refs(w, msg);
		return;
	case HANDOFF__GAVE:
		msg->reason = handoff__get_u32(w);
		msg->moved = handoff__get_u32(w);
		msg->listeners = handoff__get_u32(w);
		msg->left = handoff__get_u32(w);
		msg->took_us = handoff__get_u32(w);
		get_refs(w, msg);
		return;
	case HANDOFF__BYE:
		msg->reason = handoff__get_u32(w);
		return;
	case HANDOFF__READY:
		msg->at_us = (int64_t)handoff__get_u64(w);
		msg->offer_us = (int64_t)handoff__get_u64(w);
		return;
	case HANDOFF__BEAT:
		msg->serving = handoff__get_u32(w);
		msg->covered = handoff__get_u32(w);
		return;
	case HANDOFF__LOADING:
		handoff__get_text(w, msg->loading, sizeof(msg->loading));
		return;
	case HANDOFF__ROOM:
		get_room(w, msg);
		return;
	case HANDOFF__LEND:
	case HANDOFF__LIFE:
	case HANDOFF__SAY:
	case HANDOFF__LEAVE:
		return;
	}
	w->bad = true;
}

int
handoff__msg_decode(
	struct handoff__msg *msg, const unsigned char *data, size_t len)
{
	struct handoff__wire w = {
		.data = (unsigned char *)(uintptr_t)data,
		.size = len,
	};

	/* the references are filled in up to their count */
	memset(msg, 0, offsetof(struct handoff__msg, refs));
	msg->type = handoff__get_u32(&w);
	if (!w.bad)
		get_body(&w, msg);
	/* data after a HELLO belongs to a later version; after others it is an
	 * error */
	if (w.bad || (w.pos != len && msg->type != HANDOFF__HELLO))
		return -EBADMSG;
	return 0;
}
