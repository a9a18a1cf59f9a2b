"""The release to go back to: a device that cannot go back has one chance less."""

from __future__ import annotations

from edgeship.device import slots
from edgeship.device.config import Place
from edgeship.device.fetching import Fetching
from edgeship.device.trust import Repository
from edgeship.errors import EdgeshipError
from edgeship.releases.documents import Policy
from edgeship.releases.names import manifest_path, version


def mend(place: Place, fetching: Fetching, repository: Repository, policy: Policy) -> str:
    """Fetch again what is damaged of the release to go back to; what came of it, empty where nothing was to do.

    It passed its self-test here, and is held to the same manifest: it is not tried again. What cannot be had is no
    fault of the check, and is tried again at the next one.
    """
    found = slots.damaged_fallback(place)
    if found is None or not policy.allows(version(found[1].version)):
        return ""
    slot, held = found
    said, release = f"{held.version}, to go back to, was damaged and", version(held.version)
    target = repository.offline(manifest_path(policy.model, release, held.variant))
    if target is None or target.sha256 != held.manifest_sha256:
        return f"{said} is published no more"
    try:
        manifest, content = fetching.manifest(target, release, held.variant)
        slots.mend(place, slot, content, fetching.files(manifest, release, held.variant))
    except EdgeshipError as error:
        return f"{said} cannot be fetched again: {error.message}"
    return f"{said} was fetched again"
