"""The search page in a real browser: choose a picture, send it, see who it is."""

import threading

import pytest

from tasks.search.ranking import Gallery
from tasks.search.serving import SearchServer
from tasks.tables.schema import Layout
from tests.browser.test_report_page import browser, pytestmark, resize, set_theme, wait
from tests.tasks.factory import write_project
from tests.tasks.search.test_search import SPEC, networks, query_file, write_colour_features

__all__ = ["browser", "pytestmark"]  # a fixture, and why these tests may be skipped


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_a_chosen_picture_is_sent_and_its_person_comes_first(browser, tmp_path, width, theme):
    params = write_project(tmp_path, SPEC)
    write_colour_features(tmp_path, params)
    gallery = Gallery(Layout(tmp_path), params, "ipg_nfc", networks())
    with SearchServer(gallery, tmp_path / params.dataset.root, 0, 4) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        resize(browser, width)
        set_theme(browser, theme)
        browser.get(server.address)
        browser.get_log("browser")
        chooser = browser.find_element("css selector", "input[type=file]")
        chooser.send_keys(str(query_file(tmp_path, params)))
        browser.find_element("css selector", "button").click()
        cards = wait(
            browser,
            """
            const cards = [...document.querySelectorAll(".strip .card")];
            return cards.length && cards.map((card) => [card.className, card.innerText]);
            """,
        )
        assert len(cards) == 5
        assert cards[1][0] == "card right"
        assert "person 3" in cards[1][1]
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
            " && [...document.images].every((picture) => picture.naturalWidth > 0)"
        )
        assert browser.get_log("browser") == []
        server.shutdown()
