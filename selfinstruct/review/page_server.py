"""The server of the review page: what its page asks for and tells."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from selfinstruct import pages
from selfinstruct.errors import SelfInstructError
from selfinstruct.review.labels import Labels, RowPlace
from selfinstruct.review.listing import Wanted
from selfinstruct.review.session import Decision, Edit, Ranking, Session


def review_app(session: Session, token: str, port: int) -> ASGIApp:
    """The application that serves a session at this port."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_what_is_read(app, session)
    _add_what_is_done(app, session)
    html, script, style = (pages.asset("selfinstruct.review", f"review.{end}") for end in ("html", "js", "css"))
    return pages.guarded(app, html, script, style, token, port)


def _add_what_is_read(app: FastAPI, session: Session) -> None:
    @app.exception_handler(SelfInstructError)
    async def one_line(_: Request, error: SelfInstructError) -> Response:
        return JSONResponse({"detail": str(error)}, 409)

    @app.get("/api/rows/{index}")
    def row(index: int) -> dict[str, Any]:
        return _there(session.row(index))

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return session.about()

    @app.get("/api/list")
    def listed(wanted: Annotated[Wanted, Query()]) -> Response:
        # FastAPI would look at each of many thousand numbers
        return Response(json.dumps(session.listing.of(wanted)), media_type="application/json")


def _add_what_is_done(app: FastAPI, session: Session) -> None:
    @app.post("/api/decisions")
    def decide(said: Decision) -> dict[str, Any]:
        return _there(session.decide(said))

    @app.post("/api/edits")
    def edit(said: Edit) -> dict[str, Any]:
        return _there(session.edit(said))

    @app.post("/api/rankings")
    def rank(said: Ranking) -> dict[str, Any]:
        return _there(session.rank(said))

    @app.post("/api/undo")
    def undo() -> dict[str, int | None]:
        return session.undo()


def _there(found: dict[str, Any] | None) -> dict[str, Any]:
    if found is None:
        raise HTTPException(404, "no such row")
    return found


def _read_early(session: Session) -> None:
    """Read the rows before somebody searches them; what cannot be read is told when somebody does."""
    with contextlib.suppress(SelfInstructError):
        session.listing.read()


def serve(
    folder: Path, rows: tuple[RowPlace, ...], port: int, tell: Callable[[str], None], *, blind: bool, reader: str
) -> None:
    """Serve the page until Ctrl-C. `tell` gets its address."""
    token = pages.new_token()
    with pages.listen(port, "--port") as opened:
        port = opened.getsockname()[1]
        session = Session(folder, rows, Labels(folder, reader), blind)
        app = review_app(session, token, port)
        threading.Thread(target=_read_early, args=[session], daemon=True).start()
        tell(pages.address(port, token))
        pages.server(app).run(sockets=[opened])
