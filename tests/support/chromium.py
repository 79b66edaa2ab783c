"""A browser for tests of pages: headless Chromium, spoken to over pipes in the DevTools protocol. Needs no package.

    with chromium.Browser() as browser:
        page = browser.open(path.as_uri())
        page.run("document.title")

The standard library only. `reason()` says why there is none, for a skip.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
    "--window-size=1000,760",
)
PATIENCE = 60  # seconds, on a busy machine


def program() -> str | None:
    """Where a browser is: what LIC_CHROMIUM says, or the first on the PATH."""
    said = os.environ.get("LIC_CHROMIUM")
    return said or next((found for name in NAMES if (found := shutil.which(name))), None)


def reason() -> str | None:
    """Why there is no browser, or None."""
    if sys.platform == "win32":
        return "pipes to a browser are passed as POSIX does"
    return None if program() else "no Chromium on the PATH; LIC_CHROMIUM names one"


class Browser:
    """A process of its own, with a profile that is thrown away."""

    def __enter__(self) -> Browser:
        self.profile = tempfile.mkdtemp(prefix="lic-chromium-")
        to, self.write = os.pipe()
        self.read, back = os.pipe()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses it to root
        # The browser reads from descriptor 3 and writes to 4: a shell puts them there, whatever they are here.
        command = ["bash", "-c", f'exec "$@" 3<&{to} 4>&{back}', "bash", program(), *FLAGS, *sandbox]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={self.profile}", "about:blank"],
            pass_fds=(to, back), start_new_session=True, **quiet,
        )  # fmt: skip
        os.close(to)
        os.close(back)
        self.number, self.buffer = 0, b""
        self.events: list[dict] = []
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.write)
        os.close(self.read)
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method: str, session: str | None = None, **parameters: object) -> dict:
        """What a method returns."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._message(end)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _message(self, end: float) -> dict:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self.read, 1 << 20)
            assert part, "the browser has ended"
            self.buffer += part
        first, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(first)

    def open(self, address: str, until: str = "document.readyState === 'complete'") -> Page:
        """A page at an address, once an expression holds there."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.ask("Page.navigate", url=address)
        page.wait(until)
        return page


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str):
        self.browser, self.session = browser, session

    def ask(self, method: str, **parameters: object) -> dict:
        """As of the browser, of this page."""
        return self.browser.ask(method, self.session, **parameters)

    def run(self, code: str) -> object:
        """The value of an expression, as JSON has it; what it promises is waited for."""
        answer = self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, code: str) -> None:
        """Until an expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.run(code):
            assert time.monotonic() < end, f"never true: {code}"
            time.sleep(0.02)

    def mouse(self, kind: str, x: float, y: float, buttons: int = 0) -> None:
        """kind: mouseMoved, mousePressed, mouseReleased, at a place in the window."""
        button = "left" if buttons or kind == "mouseReleased" else "none"
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)

    def press(self, key: str) -> None:
        """A key, by its name or its letter."""
        text = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def problems(self) -> list[str]:
        """What the page complained of: exceptions, and errors of the log such as refused requests."""
        self.run("0")  # so that what was sent before is read
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        found = [e["params"]["exceptionDetails"]["text"] for e in mine if e["method"] == "Runtime.exceptionThrown"]
        entries = [e["params"]["entry"] for e in mine if e["method"] == "Log.entryAdded"]
        return found + [entry["text"] for entry in entries if entry["level"] == "error"]

    def requests(self) -> list[str]:
        """The addresses that were asked for, data URIs left out."""
        self.run("0")
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        sent = [e["params"]["request"]["url"] for e in mine if e["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]

    def screenshot(self) -> bytes:
        """PNG of the window."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
