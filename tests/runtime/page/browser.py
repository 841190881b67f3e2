"""A window of Chromium, and what the tests read from the page in it."""

from __future__ import annotations

from typing import Any

from runtime.steering.steering import Steering
from tests.runtime.page.serving import Served, until

# Mean brightness of a column of the canvas, at a share of its width; null before there is a picture.
BRIGHTNESS = """
const canvas = document.getElementById("picture");
const x = Math.floor(arguments[0] * (canvas.width - 1));
const pixels = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data;
let sum = 0;
for (let i = 0; i < pixels.length; i += 4) sum += pixels[i] + pixels[i + 1] + pixels[i + 2];
return sum / canvas.height / 3;
"""
PIXELS = """
const canvas = document.getElementById("picture");
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let sum = 0;
for (let i = 0; i < pixels.length; i += 4) sum = (sum * 31 + pixels[i]) % 1000003;
return sum;
"""
TOO_WIDE = """
const all = [...document.querySelectorAll("body *")];
const wide = all.filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5);
return wide.map((element) => element.outerHTML);
"""
TOO_LOW = """
const all = [...document.querySelectorAll("button, .button, select")];
const low = all.filter((element) => element.offsetParent && element.offsetHeight < 36);
return low.map((element) => element.outerHTML);
"""


class Window:
    """A window of the browser, with what the tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, served: Served, path: str = "/") -> None:
        self.driver.get(f"http://127.0.0.1:{served.port}{path}")

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def js(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until_moving(self) -> None:
        first = self.js(PIXELS)
        until(lambda: self.js(PIXELS) != first)

    def command(self, name: str, **how: object) -> None:
        self.driver.execute_cdp_cmd(name, how)

    def complaints(self) -> list[str]:
        """What the browser's console said since the last time, but for connections that failed."""
        lines = [str(entry["message"]) for entry in self.driver.get_log("browser")]
        return [
            line for line in lines if "net::ERR_" not in line and "503 (" not in line and "getImageData" not in line
        ]

    def drag(self, share: float) -> None:
        """The divider's handle to a share of the picture's width, with the mouse."""
        from selenium.webdriver import ActionChains

        stage, handle = self.find("#stage").rect, self.find("#divider i").rect
        middle = handle["x"] + handle["width"] / 2
        actions = ActionChains(self.driver, duration=50).click_and_hold(self.find("#divider i"))
        actions.move_by_offset(round(stage["x"] + share * stage["width"] - middle), 5).release().perform()


class Climbing(Steering):
    """A ladder that has been gone up and down."""

    def __init__(self) -> None:
        pass

    def counts(self) -> dict[str, int | str]:
        return {"rung": "edge-n at 1/2 size", "steps": 3}
