"""The report in a real browser, opened from disk: it works, and it asks nobody anything."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tasks.stages.report import merge, plan, run_shard
from tests.tasks.factory import Spec, write_project

webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium"),
    pytest.mark.skipif(not DRIVER, reason="no driver: apt-get install chromium-driver"),
]
WAIT_S = 60
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    spec = Spec(identities=6, noise=2.0, hostile_names=True)
    wanted = {"identities": 6, "ranked_queries": 6, "map_points": 60}
    params = write_project(root, spec, report=wanted)
    done = [run_shard(job) for job in plan(params, root, "")]
    merge(params, root, "", done)
    return root / "reports"


@pytest.fixture(scope="module")
def browser():
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        driver.set_page_load_timeout(WAIT_S)
        driver.set_script_timeout(WAIT_S)
        yield driver
        driver.quit()


@pytest.fixture
def page(browser, reports):
    """The report, opened anew, with the logs of what came before thrown away."""
    for name in ("browser", "performance"):
        browser.get_log(name)
    resize(browser, 1280)
    browser.get((reports / "index.html").as_uri())
    return browser


def resize(browser, width_px):
    metrics = {"width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def load_all_pictures(browser):
    """Natural widths of all pictures of the page once each has loaded or failed."""
    return browser.execute_async_script(
        """
        const done = arguments[0], pictures = [...document.images];
        pictures.forEach((picture) => { picture.loading = "eager"; });
        Promise.allSettled(pictures.map((picture) => picture.decode()))
          .then(() => done(pictures.map((picture) => picture.naturalWidth)));
        """
    )


def requested(browser):
    """Every address that the page has asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


def choose(browser, selector, value):
    """Sets a field as a person would and lets the page hear of it."""
    browser.execute_script(
        """
        const field = document.querySelector(arguments[0]);
        field.value = arguments[1];
        for (const name of ["input", "change"]) {
          field.dispatchEvent(new Event(name, { bubbles: true }));
        }
        """,
        *(selector, value),
    )


def shown(browser):
    """The persons that the filter leaves: their camera, text and reasons."""
    return browser.execute_script(
        "return [...document.querySelectorAll('[data-person]')].filter((item) => !item.hidden)"
        ".map((item) => [item.dataset.camera, item.dataset.text, item.dataset.reasons])"
    )


def test_every_picture_loads_and_nothing_is_asked_of_any_server(page):
    widths = load_all_pictures(page)
    assert len(widths) > 100
    assert min(widths) > 0
    addresses = requested(page)
    assert len(addresses) > 20
    assert {address.split(":")[0] for address in addresses} <= {"file", "data"}


def test_the_console_stays_silent_even_with_hostile_names(page, reports):
    load_all_pictures(page)
    for name in ("identities-1", "ranked-1", "persons-1"):
        page.get((reports / f"pages/{name}.html").as_uri())
        load_all_pictures(page)
    page.get((reports / "runs.html").as_uri())
    assert page.get_log("browser") == []


def test_the_filter_narrows_by_text_camera_and_reason(page):
    everyone = shown(page)
    assert len(everyone) == 6
    camera = everyone[0][0]
    choose(page, "#filter [name=camera]", camera)
    assert shown(page) == [item for item in everyone if item[0] == camera]
    count = page.execute_script("return document.querySelector('#filter output').value")
    assert count == f"{len(shown(page))} of 6 shown"
    choose(page, "#filter [name=camera]", "")
    choose(page, "#filter [name=reason]", "r:identity_lost")
    with_reason = [item for item in everyone if "identity_lost" in item[2]]
    assert 0 < len(with_reason) < 6
    assert shown(page) == with_reason
    choose(page, "#filter [name=reason]", "")
    text = everyone[2][1].split("/")[1][:16]
    choose(page, "#filter [name=text]", text)
    assert shown(page) == [item for item in everyone if text in item[1]]
    choose(page, "#filter [name=text]", "nobody is called this")
    assert shown(page) == []


def test_the_jump_shows_the_chosen_query(page):
    choose(page, "#jump select", "q-4")
    found = page.execute_async_script(
        """
        const done = arguments[0], target = document.querySelector("#q-4");
        const look = () => {
          const top = target.getBoundingClientRect().top;
          if (top > -5 && top < 120) done([target.classList.contains("found"), top]);
          else requestAnimationFrame(look);
        };
        look();
        """
    )
    assert found[0] is True
    assert page.execute_script("return document.querySelectorAll('.query.found').length") == 1


@pytest.mark.parametrize("width_px", [1280, 390])
def test_nothing_sticks_out_of_the_window(page, width_px):
    resize(page, width_px)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width_px


def test_the_page_is_whole_without_scripts(reports):
    html = Path(reports / "index.html").read_text(encoding="utf-8")
    assert '<form id="filter" class="tools" hidden>' in html
    assert '<form id="jump" class="tools" hidden>' in html
    assert html.count("data-person ") == 6
