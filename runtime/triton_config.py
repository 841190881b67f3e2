"""Triton's config.pbtxt for a network of ours: one frame in, one frame out, no batch dimension."""

from __future__ import annotations

from dataclasses import dataclass

PLATFORMS = {"tensorrt": "tensorrt_plan", "onnxruntime": "onnxruntime_onnx"}
FILES = {"tensorrt": "model.plan", "onnxruntime": "model.onnx"}  # the names that Triton expects
FREE = -1  # of a side: any length that the model takes


@dataclass(frozen=True)
class TritonModel:
    """What a server has to know."""

    name: str  # also the folder's
    backend: str  # tensorrt or onnxruntime
    dims: tuple[int, int, int]  # (height, width, 3) of the frame and of the result; FREE sides
    usual: tuple[int, int] | None = None  # (height, width) that most frames have, where sides are free
    kind: str = "gpu"  # what runs it: gpu or cpu
    instances: int = 1  # frames at once
    queue: int = 0  # frames that may wait; 0: any number
    queue_ms: int = 0  # how long a frame may wait, milliseconds; 0: for ever

    @property
    def file(self) -> str:
        """The model's file below the folder of its version."""
        return FILES[self.backend]


def config_text(model: TritonModel) -> str:
    """The text of config.pbtxt.

    Inputs and outputs are written out and the batch size is 0, since Triton otherwise takes a free height for a batch
    dimension.
    """
    blocks = [
        "# Frames are uint8 [height, width, 3], BGR rows as OpenCV and cameras give them; the result is the same.\n"
        f'name: "{model.name}"\nplatform: "{PLATFORMS[model.backend]}"\nbackend: "{model.backend}"\n'
        "max_batch_size: 0",
        _tensor("input", "frame", model.dims),
        _tensor("output", "sharp", model.dims),
        "version_policy { latest { num_versions: 1 } }",
        f"instance_group [ {{ count: {model.instances} kind: KIND_{model.kind.upper()} }} ]",
    ]
    if model.backend == "tensorrt":
        blocks += [_cuda_graph(model)]
    if model.queue or model.queue_ms:
        blocks += [_queue(model)]
    return "\n".join(blocks) + "\n"


def _tensor(side: str, name: str, dims: tuple[int, int, int]) -> str:
    return f'{side} [ {{ name: "{name}" data_type: TYPE_UINT8 dims: [ {", ".join(map(str, dims))} ] }} ]'


def _cuda_graph(model: TritonModel) -> str:
    """Recorded once for each instance, at the one size or the usual one; frames of other sizes run without."""
    if model.usual is None:
        return "optimization { cuda { graphs: true } }"
    height, width = model.usual
    shape = f'input {{ key: "frame" value {{ dim: [ {height}, {width}, 3 ] }} }}'
    return f"optimization {{ cuda {{ graphs: true graph_spec [ {{ batch_size: 0 {shape} }} ] }} }}"


def _queue(model: TritonModel) -> str:
    """What is said of the queue stands with the batcher, which has nothing to batch here."""
    limits = [f"max_queue_size: {model.queue}"] if model.queue else []
    if model.queue_ms:
        limits += [f"timeout_action: REJECT default_timeout_microseconds: {model.queue_ms * 1000}"]
    return f"dynamic_batching {{ default_queue_policy {{ {' '.join(limits)} }} }}"
