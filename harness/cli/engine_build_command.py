"""`harness engine build` and `harness engine manifests`: make a TensorRT-LLM engine; what a cluster needs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click

from harness.engine.build_steps import BuildPlaces, classic_of, has_local_weights, steps
from harness.engine.classic import ClassicEngine
from harness.engine.inspect import asked_of_a_job, expected_of_engine
from harness.engine.llmapi import ServeEngine
from harness.engine.load import load_engine
from harness.engine.version import container_image
from harness.errors import UsageError
from harness.target import engine_build, kubernetes
from harness.target.native_commands import INSIDE, TRITON, shown, tritonserver
from harness.target.native_engines import serve_command
from harness.target.places import cache_folder

CHECKOUT = "/app/tensorrt_llm"  # where NVIDIA's images are said to have it; not seen by us
JOB_NOTE = """\
# A job that builds an engine on the claim {claim}. Its last step compares the engine's config.json with the spec; only
# then {engine} gets its name, and a job that fails leaves no engine that looks finished.
#   follow it:      kubectl logs -f job/{job}
#   once more:      kubectl delete job {job}, then apply this again
#   look at it:     harness engine inspect {engine} --spec {name}
#                   (where the claim is mounted; or on a copy of its config.json and rank*.engine)
#   serve it:       harness engine render {name} --engine-dir {engine}
"""
Where = click.Choice(["local", "container", "kubernetes"])


@click.command("build")
@click.argument("name", metavar="ENGINE")
@click.option("--in", "where", type=Where, default="local", show_default=True, help="Where the commands run.")
@click.option("--dry-run", is_flag=True, help="Print the commands and stop.")
@click.option("--image", help="Container image with TensorRT-LLM; default: NVIDIA's for the spec's version.")
@click.option("--container", "program", type=click.Choice(["docker", "podman"]), help="Default: the one on PATH.")
@click.option(
    "--tensorrt-llm",
    "checkout",
    default=CHECKOUT,
    show_default=True,
    metavar="DIR",
    help="TensorRT-LLM's folder with examples/, where the commands run.",
)
@click.option("--cache", type=click.Path(path_type=Path), help="Where engines are kept; default: the tool's cache.")
@click.option("--force", is_flag=True, help="Build again though it is there.")
def build(
    name: str,
    where: str,
    dry_run: bool,
    image: str | None,
    program: str | None,
    checkout: str,
    cache: Path | None,
    force: bool,
) -> None:
    """Build the engine of a `classic` spec: convert or quantise the checkpoint, then trtllm-build.

    An engine is kept under a key of its weights' content, all that the tools are told, the version of TensorRT-LLM and
    the GPU, and is built again only when one of these changes. What was built is read back and compared with the spec;
    a build that fails leaves nothing but its log.

    \b
    harness engine build llama-8b --dry-run          the commands, to read
    harness engine build llama-8b --in container     inside NVIDIA's container, with docker or podman
    harness engine build llama-8b --in kubernetes    a job's manifest, for kubectl apply -f -
    """
    spec = classic_of(load_engine(name).spec)
    kept_in = cache or cache_folder() / "trtllm"
    if where == "kubernetes":
        click.echo(_job(spec, name, image or default_image(spec.tensorrt_llm_version), checkout), nl=False)
        return
    if dry_run:
        shop = engine_build.Workshop(kept_in / "TEMPORARY")
        for step in steps(spec, engine_build.places_in(shop, spec, checkout)):
            click.echo(f"# {step.name}\n{shown(step.command)}\n")
        return
    request = engine_build.BuildRequest(
        spec=spec,
        expected=expected_of_engine(spec),
        cache=kept_in,
        tensorrt_llm=checkout,
        image=None if where == "local" else image or default_image(spec.tensorrt_llm_version),
        program=program or container_program(),
        force=force,
    )
    place, is_new = engine_build.build(request, lambda line: click.echo(line, err=True))
    click.echo(f"{'built' if is_new else 'there already'}: {place}")
    click.echo(f"look at it:  harness engine inspect {place} --spec {name}")


def default_image(version: str) -> str:
    """NVIDIA's Triton image with this TensorRT-LLM. Raises UsageError when none is known."""
    image = container_image(version)
    if image is None:
        raise UsageError(f"no container of NVIDIA's is known for TensorRT-LLM {version}", hint="give one with --image")
    return image


def container_program() -> str:
    """docker or podman, whichever is on PATH; docker when neither is."""
    return next((name for name in ("docker", "podman") if shutil.which(name)), "docker")


def _job(spec: ClassicEngine, name: str, image: str, checkout: str) -> str:
    """The job writes to the claim; the last folder gets its name when everything has gone well."""
    root = f"{kubernetes.MOUNT}/{spec.name}"
    weights = spec.model.source if has_local_weights(spec) else f"{root}/weights"
    places = kubernetes.JobPlaces(f"{root}/checkpoint", f"{root}/engine.partial", f"{root}/engine")
    todo = steps(spec, BuildPlaces(checkout, weights, places.checkpoint, places.unfinished))
    job = cluster_name(f"build-{spec.name}")
    pod = kubernetes.Deployed(
        name=job,
        image=image,
        command=[],
        gpus=spec.world_size,
        gpu_product=spec.gpu.product,
        claim=cluster_name(f"{spec.name}-models"),
    )
    script = kubernetes.build_script(todo, places, asked_of_a_job(spec))
    note = JOB_NOTE.format(job=job, claim=pod.claim, engine=places.engine, name=name)
    if has_local_weights(spec):
        note += f"# The weights must be a folder in the pod: {weights} (the claim is mounted at {kubernetes.MOUNT}).\n"
    return note + kubernetes.to_yaml(kubernetes.build_job(job, script, pod))


def cluster_name(text: str) -> str:
    """A name that Kubernetes takes: lower-case letters, digits and dashes, at most 63."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower())[:63].strip("-")


@click.command("manifests")
@click.argument("name", metavar="ENGINE")
@click.option("--image", help="Container image with TensorRT-LLM; default: NVIDIA's for the spec's version.")
@click.option("--replicas", type=click.IntRange(min=1), default=1, show_default=True, help="Pods.")
@click.option("--s3", metavar="s3://…", help="Triton reads the rendered repository from there, not from the claim.")
@click.option("--secret", help="Secret whose keys become variables of the server (HF_TOKEN, AWS_…).")
def manifests(name: str, image: str | None, replicas: int, s3: str | None, secret: str | None) -> None:
    """Print Kubernetes manifests that serve ENGINE: deployment, service, claim.

    Nothing is applied. The folder that `harness engine render` writes (and for a classic spec the built engine) must
    lie on the claim, as /models/<name>/repository; probes wait for the model to load, and a stop lets requests finish.
    """
    spec = load_engine(name).native
    root = Path(kubernetes.MOUNT) / spec.name
    if isinstance(spec, ServeEngine):
        if s3 is not None:
            raise UsageError("trtllm-serve has no model repository: --s3 is for Triton's engines")
        command = serve_command(spec, root / "llm.yaml")
        health = {"ready_path": "/health", "live_path": "/health", "ports": {"http": INSIDE.http}}
    else:
        repository = s3 or str(root / "repository")
        world = spec.world_size if isinstance(spec, ClassicEngine) else 1
        command = tritonserver(TRITON, repository, INSIDE, address="0.0.0.0", world_size=world)
        health = {}
    deployed = kubernetes.Deployed(
        name=cluster_name(spec.name),
        image=image or default_image(spec.tensorrt_llm_version),
        command=command,
        gpus=spec.gpu_count,
        gpu_product=spec.gpu.product,
        claim=cluster_name(f"{spec.name}-models"),
        replicas=replicas,
        secret=secret,
        **health,  # type: ignore[arg-type]
    )
    click.echo(kubernetes.to_yaml(kubernetes.serving(deployed)), nl=False)
