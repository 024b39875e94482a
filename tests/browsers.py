"""A headless Chromium that opens pages from disk, as a person would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser's own goes out to the network; the last three are for containers.
_OPTIONS = (
    "--headless=new",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
)


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; the test is skipped where there is none.

    Args:
        folder: An empty folder for the profile.
    """
    binary = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("No Chromium with its driver is installed (Debian: apt-get install chromium chromium-driver).")
    options = ChromeOptions()
    options.binary_location = binary
    for option in (*_OPTIONS, f"--user-data-dir={folder}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()


class Browser:
    """What tests do with a page."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome

    def show(self, page: Path | str, *, width: int = 1400, dark: bool = False, phone: bool = False) -> None:
        """Open a page, a file or an address, in a window of that width."""
        screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": phone}
        # Scrolling that takes its time would be clicked into.
        media = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.chrome.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.chrome.get(page if isinstance(page, str) else page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, and return what it returns."""
        return self.chrome.execute_script(script, *arguments)

    def find(self, selector: str) -> list[Any]:
        """Return the elements that a CSS selector names."""
        return self.chrome.find_elements("css selector", selector)

    def console(self) -> list[str]:
        """Return what pages wrote to the console since the last call, which nothing should."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses outside of themselves that pages asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.chrome.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        # Chromium's own first page may still be loading.
        return [each["request"]["url"] for each in sent if not each["request"]["url"].startswith(("data:", "chrome:"))]
