"""Show the page on which a person draws a digit."""

from __future__ import annotations

from flask import Blueprint, make_response, render_template

page = Blueprint("page", __name__)

# Everything comes from this server: the page works without the internet.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'"


@page.get("/")
def draw():
    """Return the page; all its links are relative, so it works behind a path prefix."""
    answer = make_response(render_template("page.html"))
    answer.headers["Content-Security-Policy"] = POLICY
    return answer
