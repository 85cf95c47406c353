"""What runs of ci-envs have left in an engine, whoever they were."""

from __future__ import annotations

import contextlib

from ci_envs.containers.labels import LABEL_STATE
from ci_envs.containers.legs import DRAFT
from ci_envs.containers.listing import listed

__all__ = ["left_by_us"]


def left_by_us(host: str) -> list[str]:
    """Containers and volumes that carry our labels, and images that were built and not yet taken into use.

    A leg's image is none of it: it is the leg's environment, and stays.
    """
    import docker

    with contextlib.closing(docker.DockerClient(base_url=host, version="auto", timeout=120)) as client:
        filters = {"label": LABEL_STATE}
        containers = listed(lambda: client.api.containers(all=True, filters=filters))
        volumes = listed(lambda: client.api.volumes(filters=filters)).get("Volumes") or []
        names = [name for image in listed(client.api.images) for name in image.get("RepoTags") or ()]
    found = [f"container {told['Names'][0].lstrip('/')}" for told in containers]
    found += [f"volume {told['Name']}" for told in volumes]
    found += [f"image {name}" for name in names if name.startswith("localhost/ci-envs/") and name.endswith(DRAFT)]
    return sorted(found)
