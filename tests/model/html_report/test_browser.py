"""The page as a browser shows it: Chromium, without a network."""

import contextlib
import itertools
import re
import shutil

import pytest

from padless.model import write_html

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRAWN = ".main-svg .points path, .main-svg .lines path, .main-svg .point path"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)} is installed")
    with api.sync_playwright() as playwright:
        # A container gives a browser little shared memory.
        options = ["--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(report, names, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(report, path, normal=[names.labels[0]])
    return path


@pytest.fixture(scope="module")
def open_page(browser, file):
    """Opens the page; fails at the end if it complained, asked anything or loaded anything."""

    @contextlib.contextmanager
    def opened(path=file, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        page, seen = context.new_page(), []
        page.on("console", lambda message: seen.append((message.type, message.text)))
        page.on("pageerror", lambda error: seen.append(("error", str(error))))
        page.on(
            "dialog", lambda dialog: (seen.append(("dialog", dialog.message)), dialog.dismiss())
        )
        page.on("request", lambda request: seen.append(("request", request.url)))
        page.goto(path.as_uri())
        yield page
        context.close()
        local = re.compile(f"^({re.escape(path.as_uri())}|data:|blob:)")
        assert [s for s in seen if s[0] != "request" or not local.match(s[1])] == []

    return opened


@pytest.fixture(scope="module")
def page(open_page):
    """One page for the tests that leave it as it was."""
    with open_page() as page:
        draw(page)
        yield page


@pytest.fixture(scope="module")
def page_of_table(open_page):
    """One page for the tests that sort and filter its table."""
    with open_page() as page:
        yield page


@pytest.fixture
def table(page_of_table):
    """A page whose table shows the first of all rows."""
    page_of_table.get_by_role("button", name="Clear").click()
    page_of_table.evaluate("new Promise(done => setTimeout(done))")  # the page waits as well
    return page_of_table


def draw(page, plots=".plot"):
    """Scrolls to each chart, and waits until it has drawn."""
    for plot in page.locator(plots).all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for(state="attached")
    page.wait_for_timeout(100)


def column(page, number):
    return page.locator(f"#table tbody tr td:nth-child({number})").all_inner_texts()


def click_column(page, name):
    page.get_by_role("columnheader", name=name, exact=True).get_by_role("button").click()


def headers(page):
    return page.locator("#table thead th").all_inner_texts()


def test_every_chart_has_drawn_something(page):
    names = page.eval_on_selector_all(".plot", "plots => plots.map(p => p.dataset.chart)")
    assert {"lengths", "timesteps", "losses", "ranges", "map", "roc", "precision"} <= set(names)
    assert len(names) == len(set(names)) == 7 + 6 + 12
    for name in names:
        assert page.locator(f"[data-chart='{name}']").locator(DRAWN).count() > 0, name
        assert page.locator(f"[data-chart='{name}']").get_attribute("aria-label")


def test_hostile_names_are_shown_as_they_are(page, names):
    assert page.locator("img, script[src], svg a, a[href^='javascript']").count() == 0
    text = page.locator("body").inner_text()
    for name in (*names.features, *names.labels, names.reason):
        assert name in text, name
    # Each feature is named above its line in a chart.
    titles = page.locator("[data-chart='anomaly-0'] .annotation-text").all_text_contents()
    assert sorted(titles) == sorted(names.features)
    assert not any(key.startswith("49") for key in column(page, 1))  # of {{7*7}}


def test_every_key_is_in_the_table_as_it_is(table, names):
    found = column(table, 1)
    while table.locator("#page-next").is_enabled():
        table.locator("#page-next").click()
        found += table.locator("#table tbody tr td:nth-child(1)").all_text_contents()
    shown = [" ".join(key.split()) for key in names.keys]
    assert sorted(" ".join(key.split()) for key in found) == sorted(shown)


def test_hover_shows_the_key_the_length_and_the_score(page, names):
    page.locator("[data-chart='map']").scroll_into_view_if_needed()
    point = page.locator("[data-chart='map'] .points path").last
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator("[data-chart='map'] .hoverlayer .hovertext")
    label.wait_for()
    text = " ".join(label.text_content().split())
    assert any(" ".join(key.split())[:20] in text for key in names.keys), text
    for part in ("label", "length", "score", "p-value"):
        assert part in text
    page.mouse.move(0, 0)


def test_the_map_changes_its_colours(open_page, names):
    with open_page() as page:
        draw(page, "[data-chart='map']")
        legend = page.locator("[data-chart='map'] .legendtext")
        assert names.labels[0] in legend.all_text_contents()
        page.get_by_role("radio", name="split").check()
        assert {"train", "validation", "test"} <= set(legend.all_text_contents())
        page.get_by_role("radio", name="p-value").check()
        assert page.locator("[data-chart='map'] .colorbar").count() == 1
        assert legend.count() == 0  # it would lie upon the scale


def test_the_table_is_sorted_by_click_and_by_keyboard(table):
    number = headers(table).index("length") + 1
    click_column(table, "length")
    ascending = list(map(int, column(table, number)))
    assert ascending == sorted(ascending)
    header = table.get_by_role("columnheader", name="length", exact=True)
    assert header.get_attribute("aria-sort") == "ascending"
    table.keyboard.press("Enter")  # the button still has the focus
    descending = list(map(int, column(table, number)))
    assert descending == sorted(descending, reverse=True)
    assert descending[0] > ascending[0]
    assert header.get_attribute("aria-sort") == "descending"
    click_column(table, "split")
    assert set(column(table, 2)) == {"test"}
    assert header.get_attribute("aria-sort") == "none"


def test_the_table_begins_with_the_most_anomalous(page, report):
    p_values, scores = (
        list(map(float, column(page, headers(page).index(name) + 1)))
        for name in ("p-value", "score")
    )
    smallest = report.details.smallest_p_value
    found = [(max(p, smallest), -score) for p, score in zip(p_values, scores, strict=True)]
    assert found == sorted(found)


def test_the_table_is_filtered_by_text_choice_and_p_value(table, names):
    status = table.locator("#table-status")
    total = sum(names.counts.values())
    assert status.inner_text() == f"Rows 1 to 25 of {total}"
    table.get_by_role("combobox", name="split").select_option(label="test")
    assert f"of {names.counts['test']}, filtered from {total}" in status.inner_text()
    table.get_by_role("combobox", name="label").select_option(label=names.labels[1])
    assert f"of {names.counts['test'] // 6}, filtered" in status.inner_text()
    table.get_by_label("Search").fill("ONERROR=")
    assert all("onerror=" in key for key in column(table, 1))
    table.get_by_role("button", name="Clear").click()
    table.get_by_label("p-value at most").fill("0.2")
    found = column(table, headers(table).index("p-value") + 1)
    assert found
    assert all(float(value) <= 0.2 for value in found)
    table.get_by_label("Search").fill("nothing like it")
    assert status.inner_text() == f"No rows, filtered from {total}"


def test_the_table_has_pages(table, names):
    status = table.locator("#table-status")
    first = column(table, 1)
    assert table.locator("#page-previous").is_disabled()
    table.locator("#page-next").click()
    assert status.inner_text().startswith("Rows 26 to 50 of")
    assert not set(first) & set(column(table, 1))
    for _ in range(sum(names.counts.values()) // 25 - 1):
        table.locator("#page-next").click()
    assert table.locator("#page-next").is_disabled()


def colours(page):
    """Returns the background of the page, and the colours of text and line of a chart."""
    return page.evaluate(
        """() => {
            const chart = document.querySelector("[data-chart=losses]");
            return [
                getComputedStyle(document.body).backgroundColor,
                getComputedStyle(chart.querySelector(".xtick text")).fill,
                getComputedStyle(chart.querySelector(".js-line")).stroke,
            ];
        }"""
    )


def luminance(colour):
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_both_colour_schemes_reach_the_charts(open_page):
    with open_page(color_scheme="light") as page:
        draw(page, "[data-chart='losses']")
        light = colours(page)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(200)
        dark = colours(page)
    assert luminance(light[0]) > 0.9
    assert luminance(dark[0]) < 0.02
    for background, text, line in (light, dark):
        assert contrast(background, text) >= 4.5
        assert contrast(background, line) >= 3
    with open_page(color_scheme="dark") as page:
        draw(page, "[data-chart='losses']")
        assert colours(page) == dark


def test_on_paper_everything_is_drawn_and_light(open_page):
    with open_page(color_scheme="dark") as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.wait_for_timeout(200)
        assert luminance(colours(page)[0]) > 0.9
        for plot in page.locator(".plot").all():
            assert plot.locator(DRAWN).count() > 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert luminance(colours(page)[0]) < 0.02


def test_a_phone_shows_the_page_without_scrolling_sideways(open_page):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with open_page(**phone) as page:
        draw(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("innerWidth") == 360
        wide = page.locator("#sequences .scroll")
        assert wide.evaluate("e => e.scrollWidth > e.clientWidth")
        for plot in page.locator(".plot").all():
            assert plot.bounding_box()["width"] <= 360


def test_headings_and_landmarks_are_in_order(page):
    levels = page.eval_on_selector_all("h1,h2,h3,h4", "hs => hs.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for landmark in ("main", "banner", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.get_by_role("navigation").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title().startswith("padless report: ")
    ids = page.eval_on_selector_all("[id]", "es => es.map(e => e.id)")
    assert len(ids) == len(set(ids))
    links = page.eval_on_selector_all("nav a", "as => as.map(a => a.getAttribute('href').slice(1))")
    assert set(links) <= set(ids)
    sections = page.eval_on_selector_all("main > section", "es => es.map(e => e.id)")
    assert links == sections


def test_the_keyboard_shows_where_it_is(open_page):
    with open_page() as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
        page.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement)"
        assert page.evaluate(f"{style}.outlineStyle") == "solid"
        assert page.evaluate(f"parseFloat({style}.outlineWidth)") >= 2


@pytest.mark.parametrize(("motion", "scroll"), [("reduce", "auto"), ("no-preference", "smooth")])
def test_motion_is_reduced_where_asked_for(table, motion, scroll):
    table.emulate_media(reduced_motion=motion)
    found = table.evaluate("getComputedStyle(document.documentElement).scrollBehavior")
    assert found == scroll


def test_the_policy_forbids_the_network_and_other_scripts(browser, file):
    page = browser.new_page()
    failed, came = [], []
    page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    page.on("response", lambda response: came.append(response.url))
    page.goto(file.as_uri())
    answer = page.evaluate("fetch('https://example.com/').then(() => 'came', () => 'blocked')")
    assert answer == "blocked"
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.wasRun = true";
            document.body.append(script);
            const image = new Image();
            image.src = "https://example.com/x.png";
            document.body.append(image);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.wasRun") is None
    assert failed == [("https://example.com/x.png", "csp")]
    assert not any(url.startswith("http") for url in came)
    page.close()
