"""Three steps that talk to the cluster: what serves there, deploy a model, write down how a run ended.

Each is an ordinary component. Its body runs in a container of IMAGE, so what it
needs is imported inside of it; `serving` is a module of that image (you have it
beside this file, to read).
"""

from kfp import dsl

IMAGE = "localhost:5001/pipeline-base:v1"


@dsl.component(base_image=IMAGE)
def score_serving(test: dsl.Input[dsl.Dataset]) -> float:
    """Return which part of the test rows the model that serves now reads right; 0 where none serves."""
    import numpy as np
    import serving

    table = np.loadtxt(test.path, delimiter=",")
    return serving.score(table[:, :64].tolist(), table[:, 64].astype(int).tolist())


@dsl.component(base_image=IMAGE)
def deploy(model: dsl.Input[dsl.Model], accuracy: float, run: str, pipeline: str) -> str:
    """Let the model serve, wait until it does, and return its digest."""
    import serving

    return serving.roll_out(model.path, accuracy, run, pipeline)


@dsl.component(base_image=IMAGE)
def report(status: dsl.PipelineTaskFinalStatus, run: str):
    """Write into the cluster how the run ended: `kubectl get configmap reader-runs -o yaml`."""
    import serving

    serving.note(run, status.state)
