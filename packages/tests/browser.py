"""Headless Chromium, driven through chromedriver's HTTP interface (W3C WebDriver), for the tests of pages:

    with Browser() as browser:
        browser.open(url)
        browser.find("textarea").type("text")
        browser.find("input[type=submit]").click()
        browser.run("return document.title")
        browser.screenshot("page.png")
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

# Nothing that makes Chromium look for its own services.
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1000,900"
).split()
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver, section 12.1: the key of an element's id


class Element:
    def __init__(self, browser: Browser, name: str):
        self._browser, self._path = browser, f"/element/{name}"

    def type(self, text: str) -> None:
        self._browser.call("POST", self._path + "/value", {"text": text})

    def click(self) -> None:
        """Ends when the page that it leads to is there."""
        self._browser.call("POST", self._path + "/click", {})


class Browser:
    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self._driver.stdout:
            port = re.search(r"started successfully on port (\d+)", line)
            if port:
                break
        else:
            raise RuntimeError("chromedriver did not start")
        self._session = f"http://127.0.0.1:{port.group(1)}/session"
        options = {"binary": shutil.which("chromium"), "args": [*ARGUMENTS, f"--user-data-dir={self._profile.name}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "unhandledPromptBehavior": "ignore"}}
        self._session += "/" + self.call("POST", "", {"capabilities": wanted})["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(30)
            self._driver.stdout.close()
            self._profile.cleanup()

    def call(self, method: str, path: str, body: dict | None = None):
        """A WebDriver command's value; urllib.error.HTTPError is the driver's refusal."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._session + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self.call("POST", "/url", {"url": url})

    def find(self, selector: str) -> Element:
        return Element(self, self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])

    def run(self, script: str):
        """What a JavaScript function with this body returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def alert(self) -> str | None:
        """The text of a dialog that is open."""
        try:
            return self.call("GET", "/alert/text")
        except urllib.error.HTTPError:
            return None

    def screenshot(self, file: str) -> None:
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.call("GET", "/screenshot")))
