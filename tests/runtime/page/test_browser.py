"""The page in a real Chromium: the picture moves, the divider divides, what is dead is shown as dead."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.page import access
from runtime.page.page_options import PageOptions
from tests.runtime.page.browser import BRIGHTNESS, PIXELS, TOO_LOW, TOO_WIDE, Climbing, Window
from tests.runtime.page.conftest import Serve
from tests.runtime.page.serving import TOKEN, Served, until
from tests.runtime.stand_in import write_model

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="chromium and chromedriver are not installed (apt install chromium chromium-driver)",
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def window(chromium: Any) -> Iterator[Window]:
    """Says at the end whether the browser had to complain, as of what the page's own rules forbid."""
    window = Window(chromium)
    window.command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    window.complaints()
    yield window
    complaints = window.complaints()
    chromium.get("about:blank")
    assert complaints == []


@pytest.fixture(scope="module")
def dim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose output is half as bright: one sees which side is which."""
    return write_model(tmp_path_factory.mktemp("dim") / "dim.onnx", gain=0.5)


@pytest.fixture
def dimmed(serve: Serve, dim: Path) -> Served:
    return serve(model=dim)


def test_the_picture_moves_and_dragging_the_divider_changes_which_side_is_shown(window: Window, dimmed: Served) -> None:
    window.open(dimmed)
    until(lambda: window.js(BRIGHTNESS, 0.1) > 40)
    window.until_moving()

    def is_before(share: float) -> bool:
        """The output is half as bright, so a column tells which of both it is of."""
        pair = [window.js(BRIGHTNESS, at) for at in (share, 0.0, 1.0)]
        return bool(abs(pair[0] - pair[1]) < abs(pair[0] - pair[2]))

    assert is_before(0.3)
    assert not is_before(0.7)
    window.drag(0.9)
    assert window.find("#divider").get_attribute("aria-valuenow") == "90"
    assert is_before(0.7)
    window.drag(0.1)
    assert window.find("#divider").get_attribute("aria-valuenow") == "10"
    assert not is_before(0.3)
    keys = webdriver.Keys
    window.find("#divider").send_keys(keys.END)
    assert window.find("#divider").get_attribute("aria-valuenow") == "100"
    assert window.js(BRIGHTNESS, 1.0) > 40
    window.find("#divider").send_keys(keys.HOME, keys.ARROW_RIGHT)
    assert window.find("#divider").get_attribute("aria-valuenow") == "2"
    for view in ("input", "output"):
        window.find(f"[data-view={view}]").click()
        until(lambda: window.js("return shown !== null"))
        assert not window.find("#divider").is_displayed()
    window.until_moving()


def test_numbers_and_charts_go_on(window: Window, serve: Serve) -> None:
    telemetry = {"temperatures_c": {"cpu": 61.5, "gpu": 95.0}, "watts": {"VDD_IN": 7.25}, "throttling": ["gpu at 2"]}
    served = serve(telemetry=lambda: telemetry)
    window.open(served)
    until(lambda: window.text("#delivered").isdigit())
    first = int(window.text("#delivered"))
    until(lambda: int(window.text("#delivered")) > first)
    until(lambda: float(window.text("#fps")) > 5)
    assert 0 < float(window.text("#age")) < 1000
    assert window.text("#state") == "live"
    assert len(window.driver.find_elements("css selector", "#stages tbody tr")) >= 4
    assert "superseded" in window.text("#drops")
    assert "deblurred" in window.text("#how-rows")
    assert "waiting for the outputs" in window.text("#stages")
    assert "ladder" not in window.text("#how-rows")
    served.front.stream.steering = Climbing()
    until(lambda: "ladder\nedge-n at 1/2 size · 3 steps" in window.text("#how-rows"))
    device = window.text("#readings")
    assert "95 °C" in device
    assert "7.3 W" in device
    assert "gpu at 2" in device
    until(lambda: window.js("return history[name].length") >= 3)
    # The line of the chart reaches into the picture of it.
    drawn = """
    const canvas = document.getElementById("fps-chart"), colours = new Set();
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 1] > 150 && pixels[i] < 110) colours.add(i);
    return colours.size;
    """
    assert window.js(drawn) > 20


def test_the_controls_reach_the_stream(window: Window, dimmed: Served) -> None:
    window.open(dimmed)
    until(lambda: window.text("#state") == "live")
    controls = dimmed.front.controls
    window.find("#strength").send_keys(webdriver.Keys.HOME)
    until(lambda: controls.strength == 0.0)
    window.find("[data-view=output]").click()
    until(lambda: window.js("return shown !== null") and window.js(BRIGHTNESS, 0.5) > 70)  # the input again
    window.find("#view option[value=split]").click()
    until(lambda: controls.view == "split")
    controls.strength = 0.25  # from elsewhere
    until(lambda: window.text("#strength-value") == "25 %")


def test_a_dead_source_is_shown_as_dead_and_its_return_too(window: Window, served: Served) -> None:
    window.open(served)
    until(lambda: window.text("#state") == "live")
    window.until_moving()
    served.front.camera.unplug()
    until(lambda: window.text("#state") == "source lost")
    trouble = window.find("#trouble")
    assert trouble.is_displayed()
    assert "Source lost" in trouble.text
    assert "able was pulled" in trouble.text
    until(lambda: "frame is" in trouble.text)
    first = trouble.text
    until(lambda: trouble.text != first)  # its age goes on
    assert "grayscale" in window.js("return getComputedStyle(document.getElementById('picture')).filter")
    assert window.driver.title.startswith("⚠")
    served.front.camera.plug()
    until(lambda: window.text("#state") == "live")
    assert not trouble.is_displayed()
    window.until_moving()


def test_a_program_that_goes_away_is_shown_and_found_again(window: Window, serve: Serve) -> None:
    served = serve()
    window.open(served)
    until(lambda: window.text("#state") == "live")
    served.close()
    until(lambda: window.text("#state") == "no connection")
    assert "does not answer" in window.text("#trouble")
    serve(options=PageOptions(port=served.port))
    until(lambda: window.text("#state") == "live")
    assert not window.find("#trouble").is_displayed()
    window.until_moving()


def test_freeze_holds_a_picture_of_full_resolution_and_lets_the_stream_go(window: Window, serve: Serve) -> None:
    served = serve(scenes={"front": "test://400x250@30"})
    window.open(served)
    until(lambda: window.js("return shown !== null"))
    window.find("#freeze").click()
    until(lambda: "frozen" in window.text("#link") and served.page._all()[0].newest.viewers == 0)
    assert window.js("return [shown.width, shown.height]") == [800, 250]
    still = window.js(PIXELS)
    until(lambda: "old" in window.text("#link"))
    assert window.js(PIXELS) == still
    window.find("#freeze").click()
    window.until_moving()
    assert "snapshot.jpg?view=pair&stream=front" in str(window.find("#snapshot").get_attribute("href"))


def test_the_divider_is_where_the_halves_meet_in_upright_pictures_too(window: Window, serve: Serve) -> None:
    window.open(serve(scenes={"front": "test://96x200@30"}))
    until(lambda: window.js("return shown !== null"))
    stage, canvas = window.find("#stage").rect, window.find("#picture").rect
    assert stage["width"] == pytest.approx(canvas["width"], abs=1)
    assert canvas["height"] / canvas["width"] == pytest.approx(200 / 96, rel=0.03)
    assert canvas["height"] <= 900 - 100
    window.drag(0.25)
    assert window.find("#divider").get_attribute("aria-valuenow") == "25"


def test_several_streams_are_chosen_between(window: Window, serve: Serve) -> None:
    served = serve(scenes={"left": "test://160x90@30", "right": "test://96x64@30"})
    window.open(served)
    until(lambda: window.find("#streams").is_displayed())
    buttons = window.driver.find_elements("css selector", "#streams button")
    assert [button.text for button in buttons] == ["left", "right"]
    window.find("#streams button:last-child").click()
    until(lambda: window.js("return shown !== null && shown.width") == 192)
    assert "96x64" in window.text("#about")
    window.driver.refresh()
    until(lambda: window.js("return shown !== null && shown.width") == 192)  # the address says which
    served.running["left"].camera.unplug()
    until(lambda: window.find("#streams button").get_attribute("data-ok") == "false")
    assert window.text("#state") == "live"


def test_a_change_goes_to_the_stream_that_it_was_made_for(window: Window, serve: Serve) -> None:
    served = serve(scenes={"left": "test://48x32@30", "right": "test://48x32@30"})
    window.open(served)
    until(lambda: window.js("return name") == "left")
    left, right = (served.running[name].controls for name in ("left", "right"))
    window.js("control({ strength: 0.3 }); control({ strength: 0.2 }); name = 'right';")
    until(lambda: left.strength == 0.2 and not window.js("return sending"))
    assert right.strength == 1.0


def test_names_that_javascript_has_itself_and_an_address_that_is_no_text(window: Window, serve: Serve) -> None:
    served = serve(scenes={"constructor": "test://48x32@30", "__proto__": "test://64x32@30"})
    window.open(served, "/#%E0%A4%A")
    for name, width in (("constructor", 96), ("__proto__", 128)):
        buttons = until(lambda: window.driver.find_elements("css selector", "#streams button"))
        next(button for button in buttons if button.text == name).click()
        until(lambda width=width: window.js("return shown !== null && shown.width") == width)  # type: ignore[misc]
        until(lambda: window.text("#state") == "live")
        until(lambda: window.js("return history[name].length") >= 2)
        assert window.text("#delivered").isdigit()


def test_on_a_phone_nothing_is_cut_off_and_a_finger_moves_the_divider(window: Window, dimmed: Served) -> None:
    window.command("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    window.open(dimmed)
    until(lambda: window.text("#state") == "live")
    until(lambda: window.js("return shown !== null"))
    assert window.js("return [document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    assert window.js(TOO_WIDE) == []
    box = window.js(
        "const b = document.getElementById('stage').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
    )
    points = [{"x": box[0] + share * box[2], "y": box[1] + box[3] / 2} for share in (0.5, 0.6, 0.8)]
    window.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=points[:1])
    for point in points[1:]:
        window.command("Input.dispatchTouchEvent", type="touchMove", touchPoints=[point])
    window.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert 78 <= int(window.find("#divider").get_attribute("aria-valuenow")) <= 82
    assert window.js(TOO_LOW) == []  # fingers are wide


def test_the_token_is_asked_for_and_leaves_the_address(
    window: Window, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "WRONG_TOKEN_S", 0.02)
    served = serve(options=PageOptions("0.0.0.0", 0, TOKEN))
    window.open(served)
    field = window.find("input[name=token]")
    assert [line for line in window.complaints() if "401" not in line] == []
    field.send_keys(TOKEN)
    window.find("button").click()
    until(lambda: window.driver.find_elements("id", "state") and window.text("#state") == "live")
    window.until_moving()
    assert "token" not in window.driver.current_url
    window.driver.refresh()
    until(lambda: window.text("#state") == "live")


def test_without_scripts_the_picture_is_there(window: Window, served: Served) -> None:
    window.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        window.open(served)
        until(lambda: served.page._all()[0].newest.viewers == 1)
        image = window.find("noscript img")
        until(lambda: image.size["height"] > 50)
    finally:
        window.command("Emulation.setScriptExecutionDisabled", value=False)
