"""Which sites may show the page in a frame: none, but those that the recipe names."""

import pytest
from starlette.datastructures import MutableHeaders

from modersmal.config import ServeConfig
from modersmal.serve.headers import add_security_headers


def headers_of(kind: str, *within: str) -> MutableHeaders:
    headers = MutableHeaders({"content-type": kind})
    add_security_headers(headers, within)
    return headers


def test_no_site_may_show_it_in_a_frame() -> None:
    headers = headers_of("text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


def test_sites_that_are_named_may_and_only_pages() -> None:
    site = "https://intranet.example.se"
    page = headers_of("text/html", site, "https://other.example.se")
    assert f"frame-ancestors {site} https://other.example.se" in page["content-security-policy"]
    assert "x-frame-options" not in page
    data = headers_of("application/json", site)
    assert "frame-ancestors 'none'" in data["content-security-policy"]
    assert data["x-frame-options"] == "DENY"


@pytest.mark.parametrize("site", ["*", "intranet", "https://a; script-src *", "https://a b"])
def test_what_names_no_site_is_refused(site: str) -> None:
    with pytest.raises(ValueError, match="shown_within"):
        ServeConfig(shown_within=[site])
