"""A small pipeline whose stage is a script, to try the local runner on; a browser for looking at pages.

The browser is Debian's Chromium; tests that want one are skipped with the reason. A process has one for all
pages: Playwright cannot be started twice in it.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kfp import compiler, dsl

# Writes `--text` to the output, reports it to KFP; `--do` adds some behaviour first.
STAGE = """
import json, os, signal, sys, time
executor_input, text, do = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
log = os.environ["VLM_WORK_ROOT"]
os.makedirs(log, exist_ok=True)
with open(f"{log}/calls", "a") as file:
    file.write(text + "\\n")
if do == "bad-data":
    print("[toy] error: no rows left; check the folder (exit_code=65)", file=sys.stderr)
    sys.exit(65)
if do == "flaky" and open(f"{log}/calls").read().count(text) < 2:
    sys.exit(1)
if do == "crash":
    sys.exit("out of memory")
if do == "wait":
    def stop(*_):
        print("saved")
        sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    print("waiting")
    time.sleep(60)
artifacts = executor_input["outputs"]["artifacts"]
for listed in artifacts.values():
    path = listed["artifacts"][0]["uri"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
print(f"wrote {text}", "on a terminal" if sys.stdout.isatty() else "to a pipe")
os.makedirs(os.path.dirname(executor_input["outputs"]["outputFile"]), exist_ok=True)
with open(executor_input["outputs"]["outputFile"], "w") as file:
    json.dump({"artifacts": artifacts}, file)
"""


@pytest.fixture
def toy_pipeline(tmp_path: Path) -> Callable[..., Path]:
    """Compile `first -> second`, beside `aside`, with the given behaviours; returns the IR's path."""
    script = tmp_path / "stage.py"
    script.write_text(STAGE)

    def build(text: str = "one", do: str = "", retries: int = 0) -> Path:
        command = ["python3", str(script)]

        @dsl.container_component
        def first(text: str, do: str, made: dsl.Output[dsl.Dataset]):
            return dsl.ContainerSpec(
                image="toy/first:1",
                command=command,
                args=[dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, text, do],
            )

        @dsl.container_component
        def second(text: str, used: dsl.Input[dsl.Dataset], made: dsl.Output[dsl.Dataset]):
            arguments = [dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, text, used.path]
            return dsl.ContainerSpec(image="toy/second:1", command=command, args=arguments)

        @dsl.container_component
        def aside(text: str, made: dsl.Output[dsl.Dataset]):
            return dsl.ContainerSpec(
                image="toy/aside:1",
                command=command,
                args=[dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, text, ""],
            )

        @dsl.pipeline(name="toy")
        def toy():
            head = first(text=text, do=do)
            head.set_cpu_limit("2").set_retry(retries, backoff_duration="0s")
            second(text="two", used=head.outputs["made"])
            aside(text="aside")

        ir = tmp_path / "toy.yaml"
        compiler.Compiler().compile(toy, str(ir))
        return ir

    return build


WIDTHS = {"desk": 1280, "phone": 390}


# Playwright's event loop counts as running until the fixture ends: no other module may meet it.
@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        # Containers give Chromium no sandbox of its own; it opens pages of these tests alone.
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[(width, theme) for width in WIDTHS for theme in ("light", "dark")], ids="-".join)
def window(request, browser, tmp_path) -> Iterator:
    """A page at each width and in each theme; a screenshot is left when the test ends."""
    width, theme = request.param
    page = browser.new_page(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=theme)
    page.set_default_timeout(60_000)
    yield page
    folder = Path(str(tmp_path))
    page.screenshot(path=folder / f"{width}-{theme}.png")
    page.close()
