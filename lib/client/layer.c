/* SPDX-License-Identifier: MIT */
/*
 * Calls the program's table of a layer, and knows what its answers mean. Whose
 * bytes pass through it is decided above.
 */
#include "client/layer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int
handoff__layer_copy(struct handoff_client_layer *layer,
	const struct handoff_client_layer *from, struct handoff__error *error)
{
	int err =
		handoff__opts_copy(layer, sizeof(*layer), from, sizeof(*layer));

	if (err == 0 &&
		(!layer->begin || !layer->free || !layer->state ||
			!layer->input || !layer->output || !layer->sent ||
			!layer->write || !layer->read || !layer->end))
		err = -EINVAL;
	if (err == -E2BIG)
		return handoff__fail(error, err,
			"client: the layer has calls that this version of the "
			"library does not know");
	if (err < 0)
		return handoff__fail(error, err,
			"client: the layer is not one: its size is not set, or "
			"one of its calls is missing");
	return 0;
}

bool
handoff__layered_begin(struct handoff__layered *layered,
	const struct handoff_client_layer *calls, const char *endpoint)
{
	assert(!layered->end);
	layered->calls = calls;
	layered->end = calls->begin(calls->arg, endpoint);
	return layered->end != NULL;
}

void
handoff__layered_free(struct handoff__layered *layered)
{
	if (layered->end)
		layered->calls->free(layered->end);
	layered->end = NULL;
}

static enum handoff_client_layer_state
state_of(const struct handoff__layered *layered, int *err, const char **text)
{
	enum handoff_client_layer_state state;

	*err = 0;
	*text = "";
	state = layered->calls->state(layered->end, err, text);
	if (!*text)
		*text = "";
	return state;
}

int
handoff__layered_failure(
	const struct handoff__layered *layered, const char **text)
{
	int err;

	if (state_of(layered, &err, text) != HANDOFF_CLIENT_LAYER_FAILED)
		return 0;
	return err < 0 ? err : -EPROTO;
}

const char *
handoff__layered_words(const struct handoff__layered *layered)
{
	const char *text;
	int err;

	return state_of(layered, &err, &text) == HANDOFF_CLIENT_LAYER_OPEN
		       ? text
		       : "";
}

bool
handoff__layered_is_open(const struct handoff__layered *layered)
{
	const char *text;
	int err;
	enum handoff_client_layer_state state = state_of(layered, &err, &text);

	return state == HANDOFF_CLIENT_LAYER_OPEN ||
	       state == HANDOFF_CLIENT_LAYER_CLOSED;
}

bool
handoff__layered_is_closed(const struct handoff__layered *layered)
{
	const char *text;
	int err;

	return state_of(layered, &err, &text) == HANDOFF_CLIENT_LAYER_CLOSED;
}
