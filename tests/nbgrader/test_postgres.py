"""Grade several submissions at once into a real Postgres server, which the course's configuration names."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from autograder.grading.grade import grade
from autograder.grading.sample import sample

TINY = Path(__file__).parent / "tiny_course"
PORT = 54329
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")]


@pytest.fixture
def server():
    """Start a server of our own as an unprivileged user; yield the URL of an empty database."""
    pytest.importorskip("psycopg", reason="the driver is missing: pip install 'psycopg[binary]'")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("Postgres is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="shipyard-postgres-"))
    shutil.chown(folder, "nobody")

    def run(program, *arguments):
        subprocess.run([programs[-1].with_name(program), *arguments], user="nobody", check=True, cwd=folder,
                       stdout=subprocess.DEVNULL)  # fmt: skip

    data = folder / "data"
    try:
        run("initdb", "-D", data, "-A", "trust", "-U", "shipyard")
        options = f"-k {folder} -p {PORT} -c listen_addresses=127.0.0.1"
        run("pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        run("createdb", "-h", "127.0.0.1", "-p", str(PORT), "-U", "shipyard", "book")
        yield f"postgresql+psycopg://shipyard@127.0.0.1:{PORT}/book"
    finally:
        subprocess.run([programs[-1].with_name("pg_ctl"), "-D", data, "-m", "immediate", "stop"], user="nobody",
                       cwd=folder, stdout=subprocess.DEVNULL)  # fmt: skip
        shutil.rmtree(folder)


def test_gradebook_on_a_server_is_filled_by_several_jobs(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SHIPYARD_COURSE", str(TINY))
    root = sample(tmp_path / "class", learners=6)
    (root / "gradebook.db").unlink()
    with (root / "nbgrader_config.py").open("a") as file:
        file.write(f"c = get_config()\nc.CourseDirectory.db_url = {server!r}\nc.CourseDirectory.course_id = 'ship'\n")
    assert sorted(outcome.score for outcome in grade(root, jobs=3)) == [1.5, 3.5, 4.0, 5.5, 5.5, 5.5]
    assert {outcome.fresh for outcome in grade(root, jobs=3)} == {False}
    assert not (root / "gradebook.db").exists()
