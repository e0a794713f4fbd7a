"""The report in a real browser, opened from disk: it works, and it asks nobody anything."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tasks.reporting.pages import NAVIGATION
from tasks.stages.report import merge, plan, run_shard
from tests.browser.chromium import MISSING, WAIT_S, open_browser
from tests.tasks.factory import Spec, write_project

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


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
    with open_browser() as driver:
        yield driver


@pytest.fixture
def page(browser, reports):
    """The overview, opened anew, with the logs of what came before thrown away."""
    for name in ("browser", "performance"):
        browser.get_log(name)
    resize(browser, 1280)
    set_theme(browser, "light")
    return visit(browser, reports, "index")


def visit(browser, reports, name, fragment=""):
    """A page of the report, newly loaded."""
    path = reports / ("index.html" if name == "index" else f"pages/{name}.html")
    browser.get("about:blank")
    browser.get(path.as_uri() + fragment)
    return browser


def set_theme(browser, theme):
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def wait(browser, script, *arguments):
    """Waits until a script returns something true, and returns that."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, WAIT_S).until(lambda b: b.execute_script(script, *arguments))


def rows(browser):
    """The cells of the table of queries, once it is filled."""
    return wait(
        browser,
        """
        const shown = document.querySelector("#choice output").value;
        return shown && [...document.querySelectorAll("#queries tbody tr")]
          .map((row) => [...row.cells].map((cell) => cell.textContent));
        """,
    )


def gains(browser):
    return [
        float(row[5].replace("\u2212", "-").strip("▲▼= ").replace("▼ -", "-"))
        for row in rows(browser)
    ]


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


def test_every_picture_loads_and_nothing_is_asked_of_any_server(page, reports):
    n_pictures = 0
    for name in NAVIGATION:
        widths = load_all_pictures(visit(page, reports, name))
        n_pictures += len(widths)
        assert not widths or min(widths) > 0
    assert n_pictures > 50
    addresses = requested(page)
    assert len(addresses) > 20
    assert {address.split(":")[0] for address in addresses} <= {"file", "data", "about"}


def test_the_console_stays_silent_even_with_hostile_names(page, reports):
    for name in NAVIGATION:
        load_all_pictures(visit(page, reports, name))
    query = wait_for_first_query(visit(page, reports, "queries"))
    open_query(page, reports, query)
    assert page.get_log("browser") == []
    assert "onerror=alert(1)" in page.execute_script("return document.body.textContent")


def wait_for_first_query(browser):
    return rows(browser)[0][0]


def open_query(browser, reports, query_id, **more):
    """Opens a query by its link, as a colleague who was sent it would."""
    visit(browser, reports, "queries", "#" + urlencode({"q": query_id, **more}))
    wait(browser, "return document.querySelectorAll('#query .strip').length === 2")


def test_the_filter_of_drawings_narrows_by_text_camera_and_reason(page, reports):
    visit(page, reports, "drawings")
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


def test_queries_are_sorted_and_filtered_and_the_address_says_how(page, reports):
    visit(page, reports, "queries")
    assert len(rows(page)) == 6
    assert gains(page) == sorted(gains(page), reverse=True)
    choose(page, "#choice [name=up]", "1")
    assert gains(page) == sorted(gains(page))
    choose(page, "#choice [name=person]", "3")
    assert [row[1] for row in rows(page)] == ["3"]
    address = page.current_url
    visit(page, reports, "index")
    page.get(address)
    assert [row[1] for row in rows(page)] == ["3"]
    choose(page, "#choice [name=b]", "base")
    assert gains(page) == [0]


def test_a_sent_link_shows_the_query_by_two_variants_with_distances(page, reports):
    query = wait_for_first_query(visit(page, reports, "queries"))
    open_query(page, reports, query, a="nfc", b="base")
    found = page.execute_script(
        """
        return [...document.querySelectorAll("#query h3")].map((title) => [title.textContent,
          title.nextElementSibling.querySelectorAll("figure").length,
          title.nextElementSibling.textContent.match(/distance \\d\\.\\d{3}/g).length]);
        """
    )
    assert [title.split()[0] for title, *_ in found] == ["nfc", "base"]
    assert [counts for _, *counts in found] == [[10, 10], [10, 10]]


def test_the_map_says_whose_a_point_is_and_shows_a_person_alone(page, reports):
    from selenium.webdriver.common.action_chains import ActionChains

    visit(page, reports, "people")
    points = wait(page, "return document.querySelectorAll('#map .field path').length")
    assert page.execute_script("return document.querySelector('#still-map').hidden")
    value = "return document.querySelector('#map output').value"
    assert page.execute_script(value) == f"{points} images of 6 persons"
    where = "return document.querySelector('#map .field path').getAttribute('transform')"
    before = page.execute_script(where)
    choose(page, "#map select", "base")
    assert page.execute_script(where) != before
    last = page.find_elements("css selector", "#map .field path")[-1]  # nothing lies over it
    ActionChains(page).move_to_element(last).perform()
    person = wait(page, f"{value}.match(/^person ([0-9]+), camera [0-9]+, (query|gallery)/)")[1]
    button = page.find_elements("css selector", "#map .persons button")[int(person) - 1]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    mine = "return document.querySelectorAll('#map .chosen path.on').length"
    assert page.execute_script(mine) == 5  # a query and four gallery images
    last.click()
    wait(page, "return location.href.endsWith(arguments[0])", f"queries.html#person={person}")


def test_by_keyboard_alone_a_query_is_opened_enlarged_and_closed(page, reports):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key):
        ActionChains(page).send_keys(key).perform()

    def tab_to(selector):
        for _ in range(80):
            press(Keys.TAB)
            script = "return document.activeElement.matches(arguments[0])"
            if page.execute_script(script, selector):
                return
        pytest.fail(f"Tab never reaches {selector}")

    visit(page, reports, "queries")
    rows(page)
    tab_to(".skip")
    press(Keys.ENTER)
    tab_to("[role=region]")
    tab_to("#queries tbody a")
    press(Keys.ENTER)
    wait(page, "return document.querySelectorAll('#query .strip').length === 2")
    tab_to("#query button.zoom")
    press(Keys.ENTER)
    assert wait(page, "return document.querySelectorAll('dialog[open] figure').length") == 8
    press(Keys.ESCAPE)
    wait(page, "return !document.querySelector('dialog')")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1280, 390])
def test_nothing_sticks_out_of_the_window(page, reports, width_px, theme):
    resize(page, width_px)
    set_theme(page, theme)
    for name in NAVIGATION:
        visit(page, reports, name)
        if name == "queries":
            open_query(page, reports, wait_for_first_query(page))
        width = page.execute_script("return document.documentElement.scrollWidth")
        assert width <= width_px, name


@pytest.mark.parametrize(("width_px", "theme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_no_violation(page, reports, width_px, theme):
    package = pytest.importorskip("axe_core_python", reason="pip install axe-core-python")
    axe = (Path(package.__path__[0]) / "axe.min.js").read_text(encoding="utf-8")
    resize(page, width_px)
    set_theme(page, theme)
    for name in NAVIGATION:
        visit(page, reports, name)
        if name == "queries":
            open_query(page, reports, wait_for_first_query(page))
        page.execute_script(axe)
        found = page.execute_async_script(
            """
            const done = arguments[0];
            axe.run().then((result) => done(result.violations.map((violation) =>
              [violation.id, violation.nodes[0].html])));
            """
        )
        assert found == [], name


def test_the_dark_theme_is_dark(page):
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.execute_script(ground)
    set_theme(page, "dark")
    assert page.execute_script(ground) != light


def test_the_overview_fits_two_screens(page):
    assert page.execute_script("return document.documentElement.scrollHeight") <= 2 * 900


def test_the_page_of_drawings_is_whole_without_scripts(reports):
    html = (reports / "pages/drawings.html").read_text(encoding="utf-8")
    assert '<form id="filter" class="tools" hidden>' in html
    assert html.count("data-person ") == 6
