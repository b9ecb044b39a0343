"""The commands that put a model to use: chat, serve."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from components.core.stage.errors import ConfigError
from pipelines.commands.shared import clear_errors

app = typer.Typer()
RootOption = Annotated[
    Path | None, typer.Option(help="Directory of a run. [default: the last one below build]")
]
RegistryOption = Annotated[
    str, typer.Option("--registry", "-r", help="Model registry: directory or s3://bucket/prefix.")
]
DomainOption = Annotated[str, typer.Option("--domain", "-d", help="Name of the domain in the registry.")]
HostOption = Annotated[str, typer.Option(help="Address to listen at.")]
_MODELS = "a stage of the run, base, current, a version's number, a directory, or http://host/v1#model"


def _run_folder(root: Path | None) -> Path | None:
    from pipelines.serving.targets import last_run

    build = Path("build")
    return root or last_run([build / "demo", *(build / "runs").glob("*")])


@app.command()
@clear_errors("")
def chat(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help=f"{_MODELS}. [default: base and the newest]"),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to ask about, with --ask.")] = None,
    question: Annotated[str, typer.Option("--ask", help="Ask this in the terminal; no page.")] = "",
    root: RootOption = None,
    registry: RegistryOption = "",
    domain: DomainOption = "default",
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the page.")] = 7860,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable with the key of an endpoint that wants one.")
    ] = "",
) -> None:
    """Ask models about a picture, side by side: on a page in the browser, or with --ask here.

    By default the base model and the newest of the last run; with --registry, base and `current`.
    """
    if image is not None and not question:
        raise ConfigError("--image goes with --ask; on the page a picture is dropped")
    from pipelines.chat.asking import NO_KEY, read_picture
    from pipelines.chat.session import addressed
    from pipelines.serving.targets import Places, find_targets

    if api_key_env and not os.environ.get(api_key_env):
        raise ConfigError(f"--api-key-env {api_key_env}: that variable is not set")
    key = os.environ[api_key_env] if api_key_env else NO_KEY
    picture = read_picture(image) if image is not None else None
    run = _run_folder(root)
    targets = find_targets(models or [], Places(run, registry, domain))
    say = typer.echo
    if question:
        from pipelines.chat.terminal import ask_once

        with addressed(targets, lambda text: typer.echo(text, err=True)) as ready:
            ask_once(ready, question, picture, say, max_tokens=max_tokens, api_key=key)
        return
    from pipelines.chat.examples import write_examples
    from pipelines.chat.page import build_page, launch

    with tempfile.TemporaryDirectory() as folder:
        examples = write_examples(run, Path(folder)) if run else []
        build_page([], [], max_tokens=1)  # says that Gradio is missing before a model is loaded
        with addressed(targets, say) as ready:
            page = build_page(ready, examples, max_tokens=max_tokens, api_key=key)
            say(f"open http://{host}:{port} (Ctrl-C ends it)")
            launch(page, host, port)


@app.command()
@clear_errors("")
def serve(
    version: Annotated[
        str, typer.Argument(metavar="[VERSION]", help=f"What to serve: {_MODELS}.")
    ] = "current",
    root: RootOption = None,
    registry: RegistryOption = "",
    domain: DomainOption = "default",
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    engine: Annotated[
        Literal["auto", "vllm", "transformers"], typer.Option(help="auto: vLLM where it is installed.")
    ] = "auto",
    overlap: Annotated[
        bool | None,
        typer.Option(
            help="Start the next model beside the last: memory for both. [default: yes with transformers]"
        ),
    ] = None,
    watch: Annotated[float, typer.Option(min=0.2, help="Seconds between looks at the pointer.")] = 5.0,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds for the last requests of a replaced model.")
    ] = 300,
    cache: Annotated[Path, typer.Option(help="Where versions from object storage are kept.")] = Path(
        "build/served"
    ),
    engine_args: Annotated[str, typer.Option(help="Further arguments of vLLM, as on its command line.")] = "",
) -> None:
    """Serve a model behind the OpenAI API; `current` follows the registry's pointer.

    After a promotion or `registry rollback` new requests go to the other version. Requests under way end at
    the one they began with.
    """
    import asyncio
    import shlex

    from pipelines.serving.child import chosen_engine
    from pipelines.serving.service import ServeSettings, Service
    from pipelines.serving.targets import Places

    name = chosen_engine(engine)
    settings = ServeSettings(
        version,
        Places(_run_folder(root), registry, domain, cache),
        host,
        port,
        name,
        shlex.split(engine_args),
        watch,
        drain,
        name == "transformers" if overlap is None else overlap,
        cache / "server.log",
    )
    asyncio.run(Service(settings, typer.echo).run())
