"""Ask a URL again and again and write down each second what came back. Runs inside a pod, with Python alone.

Settings, from the environment: URL, RATE (requests a second), SECONDS (the longest it runs), ROWS (in each
request to /predict). It prints one JSON object a second; see autograder/probes/caller.py.
"""

import json
import os
import threading
import time
import urllib.request

ASKERS = 4  # side by side: one slow answer must not stop the counting
PATIENCE = 30  # seconds for one answer: a busy machine is slow, and slow is not failed


class Second:
    """Count what came back within one second."""

    def __init__(self):
        self.pods, self.models, self.errors, self.times = {}, {}, [], []

    def add(self, pod, model, error, took):
        """Note one answer, or the reason for which there was none."""
        self.times.append(took)
        if error:
            self.errors.append(error[:160])
        else:
            self.pods[pod] = self.pods.get(pod, 0) + 1
            self.models[model] = self.models.get(model, 0) + 1

    def line(self, at):
        """Return it as one line of JSON; `at` is the second since the start, `ms` the median and the slowest."""
        times = sorted(self.times) or [0.0]
        return json.dumps({
            "at": at, "pods": self.pods, "models": self.models, "failed": len(self.errors), "said": self.errors[:3],
            "ms": [round(1000 * times[len(times) // 2], 1), round(1000 * times[-1], 1)],
        })  # fmt: skip


def once(url, body):
    """Ask once, over a connection of its own, and return the pod, the model and what went wrong."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            said = json.loads(answer.read(1_000_000))
        return str(said["pod"])[:80], str(said["model"])[:80], ""
    except Exception as error:  # whatever it is: a request without a usable answer has failed
        return "", "", f"{type(error).__name__}: {error}"


def main():
    """Ask until the time is over."""
    rate, seconds, rows = (float(os.environ[name]) for name in ("RATE", "SECONDS", "ROWS"))
    body = json.dumps({"instances": [[8] * 64] * int(rows)}).encode()
    url, begun, lock, current = os.environ["URL"], time.monotonic(), threading.Lock(), [Second()]

    def asker(number):
        turn = number
        while (now := time.monotonic() - begun) < seconds:
            due = turn / rate
            if due > now:
                time.sleep(min(due - now, 0.5))
                continue
            turn = max(turn + ASKERS, int(now * rate))  # what could not be asked in time is left out
            started = time.monotonic()
            found = once(url, body)
            with lock:
                current[0].add(*found, time.monotonic() - started)

    for number in range(ASKERS):
        threading.Thread(target=asker, args=(number,), daemon=True).start()
    at = 0
    while at < seconds:
        at += 1
        time.sleep(max(0.0, begun + at - time.monotonic()))
        with lock:
            over, current[0] = current[0], Second()
        print(over.line(at), flush=True)


main()
