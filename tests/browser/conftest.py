"""Debian's Chromium against real Orthancs: a node that segments when asked, a workstation with the viewer."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.errors import GlioLoopError
from pipeline.node import WORKSTATION, Modality, OrthancProcess, free_port
from pipeline.node.configuration import USER
from pipeline.node.viewer import prepare_ohif
from pipeline.settings import ROOT
from tests.orthanc.conftest import Pair, make_pair, send
from tests.patience import descendants, wait_for

selenium = pytest.importorskip("selenium")

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from urllib3.exceptions import HTTPError

#: Fetched things (viewer, axe-core) outlive a test run, and lie outside of what git sees.
CACHE = ROOT / ".state"
AXE = "axe-core@4.10.3"

#: Listed in the node's modalities, and nobody answers there.
UNREACHABLE = "nowhere"
#: User of the node who may only look.
GUEST = "guest"


#: What a driver that no longer answers raises: not a finding about the product, so such a test is run once more.
DRIVER_HANGS = ("ReadTimeoutError", "InvalidSessionIdException", "NewConnectionError")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have a test whose browser's driver hung run again, in another browser."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=list(DRIVER_HANGS)))


@dataclass
class Browser:
    """One headless Chromium, logged in nowhere yet."""

    driver: Chrome

    def login(self, orthanc: OrthancProcess) -> None:
        """Give the browser an Orthanc's user and password; it keeps them for that origin."""
        configuration = orthanc.configuration
        address = configuration.url.replace("://", f"://{configuration.user}:{configuration.password}@")
        self._go("about:blank")
        self._go(f"{address}/system")

    def open(self, url: str) -> None:
        """Load a page anew, also where only the part behind # differs."""
        self._go("about:blank")
        self._go(url)

    def _go(self, url: str) -> None:
        """Have a page loaded, and wait for it: to or from about:blank, where a page is surely another one.

        The driver itself waits for no page: it may miss that one is loaded, and then answers no command any more.
        """
        self.driver.get(url)
        blank = json.dumps(url == "about:blank")
        loaded = f"return (location.protocol === 'about:') === {blank} && document.readyState === 'complete'"

        def there() -> bool:
            try:
                return bool(self.script(loaded))
            except WebDriverException:
                return False  # between two pages

        wait_for(there, 60, f"{url.rpartition('@')[2]} to load")

    def find(self, selector: str, seconds: float = 15) -> WebElement:
        """Return the first visible element that a CSS selector matches, once there is one."""
        return self.until(
            lambda: next((one for one in self.all(selector) if one.is_displayed()), None), seconds, selector
        )

    def text(self, selector: str, seconds: float = 15) -> str:
        """Return the text of the first visible element that a CSS selector matches, once it has one.

        The page may draw it anew between the look and the reading.
        """
        texts = lambda: next((one.text for one in self.all(selector) if one.is_displayed()), "")  # noqa: E731
        return str(self.until(texts, seconds, selector))

    def all(self, selector: str) -> list[WebElement]:
        """Return every element that a CSS selector matches now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def button(self, label: str, seconds: float = 15) -> WebElement:
        """Return the visible button or link with this text."""
        path = f"//*[self::button or self::a][normalize-space()='{label}']"
        found = lambda: next((one for one in self.driver.find_elements(By.XPATH, path) if one.is_displayed()), None)  # noqa: E731
        return self.until(found, seconds, f"button {label}")

    def until(self, condition: Callable[[], Any], seconds: float = 15, what: str = "") -> Any:
        """Wait until a condition gives something true, and return that."""
        found: list[Any] = []

        def holds() -> bool:
            try:
                found[:] = [condition()]
            except StaleElementReferenceException:
                return False  # the page is just drawing it anew
            return bool(found[0])

        wait_for(holds, seconds, lambda: f"{what}; the page says: {self.words()[:600]}")
        return found[0]

    def words(self) -> str:
        """All text of the page."""
        return str(self.driver.execute_script("return document.body ? document.body.innerText : ''"))

    def script(self, code: str, *arguments: object) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(code, *arguments)

    def scheme(self, name: str) -> None:
        """Prefer ``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def size(self, width: int, height: int) -> None:
        """Set the size of the page's view."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def picture(self) -> Image.Image:
        """Return a screenshot."""
        return Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")

    def canvas(self, element: WebElement) -> Image.Image:
        """Return what a canvas holds, in its own pixels."""
        data = str(self.script("return arguments[0].toDataURL('image/png')", element))
        return Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB")

    def errors(self) -> list[str]:
        """What the page's console holds of errors, among them breaches of the content security policy."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@dataclass
class Site:
    """A running node and workstation, and what was put there."""

    pair: Pair
    viewer: str | None
    """Why there is no viewer; None where there is one."""

    @property
    def url(self) -> str:
        """Root of the node."""
        return self.pair.node.url

    @property
    def app(self) -> str:
        """The dashboard."""
        return f"{self.url}/glioloop/app/"

    def explorer(self, study: str) -> str:
        """Page of a study in Orthanc Explorer."""
        return f"{self.url}/app/explorer.html#study?uuid={study}"

    def orthanc_id(self, study_uid: str) -> str:
        """Orthanc's id of a study on the node."""
        with self.pair.node.client() as client:
            found = client.post("/tools/lookup", content=study_uid).raise_for_status().json()
        return next(str(one["ID"]) for one in found if one["Type"] == "Study")


@pytest.fixture(scope="session")
def network() -> Path:
    """Folder ``<name>/<version>`` of the newest network that is shipped."""
    root = Path(os.environ.get("GLIOLOOP_TEST_MODELS", ROOT / "models"))
    cards = sorted(root.glob("*/*/model.json"))
    if not cards:
        pytest.skip("no network in models/")
    return cards[-1].parent


def viewer_or_reason() -> tuple[Path | None, str | None]:
    """The viewer's folder, or why there is none here."""
    try:
        return prepare_ohif(CACHE), None
    except GlioLoopError as error:
        return None, str(error)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, network: Path) -> Iterator[Site]:
    """A node that segments only when asked, and a workstation; one of its own for each file of tests."""
    folder = tmp_path_factory.mktemp("site")
    models = _two_versions(network, folder / "models")
    viewer, reason = viewer_or_reason()
    hour = datetime.now().hour
    pair = make_pair(
        folder,
        stable_age=1,
        modalities={UNREACHABLE: Modality("NOBODY", free_port())},
        viewer=viewer,
        Automatic=False,
        Turns={"QuietHours": [(hour + 12) % 24, (hour + 13) % 24]},  # which do not come meanwhile
        ModelsFolder=str(models),
        Destinations=[{"Modality": WORKSTATION, "Send": ["inputs", "rtstruct", "seg", "sr", "preview"]}],
        ForwardRetrySeconds=[0.5],
        Roles={"Users": {USER: "administrator"}},
    )
    _add_user(pair.node, GUEST)
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield Site(pair, reason)


def _add_user(orthanc: OrthancProcess, name: str) -> None:
    """Give an Orthanc another user, whose password is the name."""
    file = orthanc.configuration.credentials_file
    users = json.loads(file.read_text())
    users["RegisteredUsers"][name] = name
    file.write_text(json.dumps(users))


def _two_versions(network: Path, models: Path) -> Path:
    """Copy the network twice, so that there is something to promote."""
    name = network.parent.name
    card = json.loads((network / "model.json").read_text())
    shutil.copytree(network, models / name / card["version"])
    earlier = card | {
        "version": "0.0.0-earlier",
        "description": "The same weights under an earlier version, for tests.",
    }
    shutil.copytree(network, models / name / earlier["version"])
    (models / name / earlier["version"] / "model.json").write_text(json.dumps(earlier))
    return models


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser of all tests; another takes its place where its driver no longer answers."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("chromium and chromium-driver are not installed")
    browser = Browser(open_chromium())
    try:
        yield browser
    finally:
        close_chromium(browser.driver)


@pytest.fixture(autouse=True)
def answering(request: pytest.FixtureRequest) -> None:
    """See to it that the driver answers before a test begins."""
    if "chromium" not in request.fixturenames:
        return
    browser: Browser = request.getfixturevalue("chromium")
    try:
        browser.driver.execute_cdp_cmd("Browser.getVersion", {})
    except (HTTPError, WebDriverException):
        close_chromium(browser.driver)
        browser.driver = open_chromium()


def close_chromium(driver: Chrome) -> None:
    """End a browser, also one whose driver hangs."""
    process = driver.service.process
    try:
        driver.quit()
    except (HTTPError, WebDriverException):
        for one in [*descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)


def open_chromium() -> Chrome:
    """Debian's Chromium, without a screen."""
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--lang=en-GB",
        # WebGL in software: the viewer draws with it.
        "--use-gl=angle",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        # Pages without it: in software it takes half a core.
        "--disable-gpu-rasterization",
        "--disable-gpu-compositing",
    ):
        options.add_argument(argument)
    options.page_load_strategy = "none"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(600)
    return driver


@pytest.fixture
def browser(chromium: Browser, site: Site) -> Browser:
    """The browser, logged in at the node, in its usual shape."""
    chromium.login(site.pair.node)
    chromium.scheme("light")
    chromium.size(1360, 850)
    chromium.open(site.app)
    chromium.script("localStorage.clear()")
    chromium.driver.get_log("browser")
    return chromium


@pytest.fixture(scope="module")
def study(site: Site, sample_study: Path) -> str:
    """Orthanc's id of the sample study, sent to the node."""
    return site.orthanc_id(send(site.pair, sample_study))


@pytest.fixture(scope="module")
def job(site: Site, study: str) -> dict[str, Any]:
    """The finished job of the sample study; asked for unless a test has already done so."""
    assert site.pair.post(f"/glioloop/studies/{study}/process").status_code == 202
    done = site.pair.wait_job("done", "failed", "refused", study=study)
    assert done["state"] == "done", done["error"]
    return done


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once."""
    script = CACHE / AXE.replace("@", "-") / "axe.min.js"
    npm = shutil.which("npm")
    if not script.exists():
        if npm is None:
            pytest.skip("npm is not installed, and axe-core not yet fetched")
        script.parent.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run([npm, "pack", AXE, "--silent"], cwd=script.parent, capture_output=True, check=False)
        packages = list(script.parent.glob("*.tgz"))
        if fetched.returncode or not packages:
            pytest.skip("axe-core could not be fetched by npm")
        subprocess.run(
            ["tar", "-xzf", packages[0], "--strip-components=1", "package/axe.min.js"], cwd=script.parent, check=True
        )
    return script.read_text()


__all__ = ["Browser", "Site", "wait_for"]
