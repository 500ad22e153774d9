/* SPDX-License-Identifier: MIT */
/*
 * What a carrier knows of the service that it carries for: its name and sizes,
 * in the place of the service that other peers have. Decides nothing about
 * owners, and sends nothing.
 */
#include "peer/carrier.h"

#include "peer/core.h"

#include <errno.h>
#include <string.h>

static int
make_geometry(const struct handoff__identity *id, struct handoff__geometry *geo)
{
	int err = handoff__geometry_make(
		geo, id->state_size, id->input_size, id->output_size);

	if (err >= 0)
		err = handoff__geometry_extend(
			geo, id->pass_size, id->post_size, 0);
	if (err >= 0 && id->grows)
		handoff__geometry_fold(geo);
	geo->state_version = id->state_version;
	return err;
}

static void
become(struct handoff__pair *pair, const struct handoff__identity *id,
	const struct handoff__geometry *geo)
{
	pair->identity = *id;
	pair->known = (struct handoff_service){
		.size = sizeof(pair->known),
		.name = pair->identity.service,
		.state_size = id->state_size,
		.state_version = id->state_version,
		.input_size = id->input_size,
		.output_size = id->output_size,
		.pass_size = id->pass_size,
		.post_size = id->post_size,
		.shared_size = id->shared_size,
		.shared_version = id->shared_version,
		.state_grows = id->grows,
	};
	pair->config.config_hash = id->config_hash;
	pair->arena.version = id->state_version;
	pair->geo = *geo;
}

int
handoff__pair_identify(
	struct handoff__pair *pair, const struct handoff__identity *identity)
{
	struct handoff__geometry geo;
	int err;

	if (pair->arena.count > 0 &&
		strcmp(identity->service, pair->identity.service) != 0)
		return handoff__fail(&pair->error, -EPROTO,
			"service directory %s is that of service %s, not of %s",
			pair->dir.path, pair->identity.service,
			identity->service);
	if (pair->arena.count > 0)
		return 0;
	err = handoff__name_ok(identity->service)
		      ? make_geometry(identity, &geo)
		      : -EINVAL;
	if (err < 0)
		return handoff__fail(&pair->error, err,
			"service %.31s: its name or its sizes are none of a "
			"service",
			identity->service);
	become(pair, identity, &geo);
	return 0;
}

bool
handoff__pair_identity(
	const struct handoff__pair *pair, struct handoff__identity *identity)
{
	if (!pair->identity.service[0])
		return false;
	*identity = pair->identity;
	return true;
}

void
handoff__carrier_learn(
	struct handoff__pair *pair, const struct handoff__hello *hello)
{
	struct handoff__identity id = {
		.state_size = hello->state_size,
		.state_version = hello->state_version,
		.input_size = hello->input_size,
		.output_size = hello->output_size,
		.pass_size = hello->pass_size,
		.post_size = hello->post_size,
		.shared_size = hello->shared_size,
		.shared_version = hello->shared_version,
		.config_hash = hello->config_hash,
		.grows = hello->grows,
	};

	if (!pair->config.carrier)
		return;
	handoff__copy(id.service, sizeof(id.service), hello->service);
	if (handoff__pair_identify(pair, &id) < 0)
		return;
	/* no record depends on it: the other host does not say it, and the
	 * next program may do otherwise */
	pair->identity.grows = pair->known.state_grows = id.grows;
	if (pair->ops->known)
		pair->ops->known(pair);
}

uint32_t
handoff__carrier_newest(const struct handoff__pair *pair)
{
	uint32_t newest = pair->config.service->state_version;

	for (uint32_t i = 0; i < pair->arena.count; i++) {
		uint32_t here = pair->arena.segments[i]->geo.state_version;

		newest = here > newest ? here : newest;
	}
	return newest;
}
