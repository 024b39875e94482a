"""Take the pictures of report, MLflow and Kedro-Viz anew from the finished demo: ``make images``."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from browsers import Browser, open_browser
from genre_pipeline.configuration import load_configuration
from genre_pipeline.project import PROJECT_ROOT, data_root, tracking_uri
from genre_pipeline.tracking.pages import run_page, runs_page

IMAGES = PROJECT_ROOT / "docs" / "images"
EXPERIMENT = "demo"
WORKFLOW = "workflowType=machine_learning"
DESKTOP = (1400, 900)
# From the leaderboard to the accuracies.
REPORT = (1400, 1800)
PHONE = (390, 800)
# [?] Seconds until a page must show what is waited for, and during which it must not change any more.
PATIENCE_S = 300
STILL_S = 2.0
# [?] Colours of a picture: more make it larger, not better to read.
N_COLOURS = 64
# Kedro-Viz as it opens, but in light colours and without the small map and the tour of what is new in it.
_VIZ_STATE = '{"theme": "light", "visible": {"miniMap": false}, "showFeatureHints": false}'
# What servers show of themselves is closed, or hidden.
_CLOSED = "[data-component-id='mlflow.assistant.chat_panel.close']"
_HIDDEN = ".update-reminder-unexpanded { display: none }"


def main() -> None:
    """Write the pictures to ``docs/images``, and state their sizes."""
    report = Path(data_root(), "08_reporting", EXPERIMENT, "report.html")
    if not report.is_file():
        sys.exit(f"{report} is missing. Run the demo first: make run")
    with ExitStack() as stack:
        profile = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        browser = stack.enter_context(open_browser(profile))
        _report(browser, report)
        _mlflow(browser, stack.enter_context(_serving(_mlflow_command)))
        _viz(browser, stack.enter_context(_serving(_viz_command)))


def _report(browser: Browser, report: Path) -> None:
    for name, (width, height), phone in (("report", REPORT, False), ("report_phone", PHONE, True)):
        _open(browser, f"{report.resolve().as_uri()}#leaderboard", width, height, phone=phone)
        _take(browser, name, "table tbody tr")


def _mlflow(browser: Browser, server: str) -> None:
    client = mlflow.MlflowClient(tracking_uri())
    title = load_configuration()["mlflow"]["tracking"]["experiment"]["name"]
    found = client.get_experiment_by_name(title)
    number = "" if found is None else found.experiment_id
    chosen = f"tags.level = 'cell' AND tags.experiment = '{EXPERIMENT}' AND attributes.status = 'FINISHED'"
    cells = client.search_runs([number], chosen)
    models = client.search_model_versions(f"name = '{EXPERIMENT}'", max_results=1)
    if not cells or not models:
        sys.exit(f"MLflow has no runs of '{EXPERIMENT}'. Run the demo first: make run")
    runs = ",".join(f'"{run.info.run_id}"' for run in cells[:3])
    link = urlsplit(runs_page(tracking_uri(), title))
    pages = {
        "home": (f"/#/?{WORKFLOW}", "main *"),
        "runs": (f"/#{link.fragment}", "a[href*='/runs/']"),
        "run": (f"/{run_page(number, cells[0].info.run_id)}", "[role=row], tbody tr"),
        "compare": (
            f'/#/compare-runs?runs=[{runs}]&experiments=["{number}"]&{WORKFLOW}',
            "table, [role=row], .plot-container",
        ),
        "model": (f"/#/models/{EXPERIMENT}/versions/{models[0].version}?{WORKFLOW}", "h1, h2, p"),
    }
    for name, (page, selector) in pages.items():
        _open(browser, server + page, *DESKTOP)
        _take(browser, f"mlflow_{name}", selector)


def _viz(browser: Browser, server: str) -> None:
    # Not from a page of Kedro-Viz, which writes its state when it is left.
    _open(browser, f"{server}/favicon.ico", *DESKTOP)
    browser.run("localStorage.setItem('KedroViz', arguments[0])", _VIZ_STATE)
    _open(browser, server, *DESKTOP)
    _take(browser, "kedro_viz", ".pipeline-node")


def _open(browser: Browser, address: str, width: int, height: int, *, phone: bool = False) -> None:
    screen = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
    browser.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    # A page of the same server with another fragment would not be loaded.
    browser.chrome.get("about:blank")
    browser.chrome.get(address)


def _take(browser: Browser, name: str, selector: str) -> None:
    """Wait until a page shows something and stands still; write the picture."""
    wait = WebDriverWait(browser.chrome, PATIENCE_S)
    wait.until(lambda _: len(browser.find(selector)) > 1, f"{browser.chrome.current_url} shows no '{selector}'.")
    browser.run("document.head.appendChild(document.createElement('style')).textContent = arguments[0]", _HIDDEN)
    seen = [b""]

    def stands_still(_: object) -> bool:
        browser.run("document.querySelectorAll(arguments[0]).forEach(each => each.click())", _CLOSED)
        seen.append(browser.chrome.get_screenshot_as_png())
        return seen[-1] == seen[-2]

    WebDriverWait(browser.chrome, PATIENCE_S, STILL_S).until(stands_still, f"{browser.chrome.current_url} moves.")
    picture = seen[-1]
    path = IMAGES / f"{name}.png"
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(N_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(PROJECT_ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def _mlflow_command(port: int) -> list[str]:
    return [*_program("mlflow"), "ui", "--workers", "1", "--port", str(port), "--backend-store-uri", tracking_uri()]


def _viz_command(port: int) -> list[str]:
    return [*_program("kedro"), "viz", "run", "--no-browser", "--port", str(port)]


def _program(name: str) -> list[str]:
    return [sys.executable, "-m", name]


@contextmanager
def _serving(command: Callable[[int], list[str]]) -> Iterator[str]:
    """Run a server while its pages are needed, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile() as output:
        # In a group of its own: both start processes of their own.
        server = subprocess.Popen(  # noqa: S603
            command(port), cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            WebDriverWait(server, PATIENCE_S, ignored_exceptions=[OSError]).until(
                lambda _: socket.create_connection(("127.0.0.1", port)).close() is None, f"No answer: {server.args}"
            )
            yield address
        finally:
            os.killpg(server.pid, 15)
            server.wait()


if __name__ == "__main__":
    main()
