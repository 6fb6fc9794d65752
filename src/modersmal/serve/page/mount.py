"""The page at "/" of the server: Gradio's frame, a component of our own in it.

The component's script talks to the server's own HTTP interface, so no voice and no text passes
through Gradio, and Gradio's doors stay shut but for what shows the page.
"""

import os
from typing import TYPE_CHECKING, cast

from starlette.routing import Mount

from modersmal.serve.page.about import about_router
from modersmal.serve.page.doors import Doors
from modersmal.serve.page.files import STATIC, Unchanging, static_version
from modersmal.serve.page.words import read_words

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio import Blocks

    from modersmal.serve.serving import Serving

_FRAME = """
.gradio-container { max-width: none !important; overflow: visible !important; }
.gradio-container .main, .gradio-container .html-container { padding: 0 !important; }
.gradio-container .column { gap: 0 !important; }
"""
_FONT = ("system-ui", "sans-serif")
_QUEUE_RESTS_S = 1.0
_MONO = ("ui-monospace", "monospace")


def mount(app: "FastAPI", serving: "Serving") -> "FastAPI":
    """Put the page, and what it asks for, into `app`, whose own routes go before it."""
    gradio = _quiet_gradio()
    address = f"page/{static_version()}"
    app.include_router(about_router(serving))
    app.mount(f"/{address}", Unchanging(directory=STATIC))
    with gradio.Blocks(title="modersmal", analytics_enabled=False, fill_width=True) as blocks:
        gradio.HTML(
            html_template=(STATIC / "page.html").read_text(encoding="utf-8"),
            css_template=(STATIC / "page.css").read_text(encoding="utf-8"),
            js_on_load=_start(f"{address}/main.js"),
            apply_default_css=False,
            words=read_words(),
        )
    theme = gradio.themes.Base(font=_FONT, font_mono=_MONO)
    gradio.mount_gradio_app(
        app, blocks, "/", footer_links=[], run_history=False, ssr_mode=False,
        enable_monitoring=False, show_error=False, max_file_size=1, theme=theme, css=_FRAME,
    )  # fmt: skip
    _let_rest(blocks)
    frame = cast(Mount, app.router.routes[-1])
    frame.app = Doors(frame.app, [route for route in app.router.routes if route is not frame])
    return app


def _let_rest(blocks: "Blocks") -> None:
    """Let Gradio's queue, in which this page puts nothing, look for work once a second: it does a
    thousand times as often, which takes a tenth of a core."""
    queue = blocks._queue
    queue.sleep_when_free = queue.progress_update_sleep_when_free = _QUEUE_RESTS_S


def _start(script: str) -> str:
    return (
        f'import(new URL("{script}", document.baseURI).href)'
        ".then((page) => page.start(element, props.words));"
    )


def _quiet_gradio():
    """Gradio, told before it is imported to call nobody."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    return gradio
