"""Whether a deployment of a sweep is beaten beyond doubt, from what was measured so far; and taking that back."""

from __future__ import annotations

import dataclasses

from harness.analysis.pruning import beaten
from harness.assess.contenders import contenders
from harness.plan import deployments as deploying
from harness.records.manifest import Manifest
from harness.records.store import RunFolder


def why_beaten(folder: RunFolder, manifest: Manifest, deployment_id: str) -> str | None:
    """Who beats this deployment, in words; None where that is in doubt, or where a load of it is not measured yet."""
    found, drift = contenders(folder, manifest)
    own = found.get(deployment_id, {})
    planned = [p for p in manifest.points if p.deployment_id == deployment_id and p.purpose != deploying.REFERENCE]
    if len(own) < len(planned):
        return None
    others = {
        name: seen
        for name, seen in found.items()
        if name != deployment_id
        and manifest.deployment(name).pruned is None
        and manifest.deployment(name).failure is None
    }
    result = beaten(own, others, drift)
    return None if result is None else result.in_words(deploying.label(manifest.deployment(result.by).varied))


def to_be_finished(manifest: Manifest) -> Manifest:
    """The manifest of a sweep that goes on without pruning: what was not finished will be."""
    for deployment in manifest.deployments:
        if deployment.pruned is not None:
            manifest = manifest.with_deployment(dataclasses.replace(deployment, pruned=None))
    return manifest
