"""A `.pt` or `.onnx` file as a function of frames, with what it costs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from training.checkpoint import load_network
from training.config import ModelConfig
from training.cost import macs, parameters
from training.evaluation.evaluate import Deblur, Image, torch_model

Size = tuple[int, int]  # (height, width)


@dataclasses.dataclass(frozen=True)
class Model:
    """A model under its name in the tables."""

    name: str
    deblur: Deblur  # (H, W, 3) uint8 BGR in, the same out
    min_size: Size
    device: str
    config: ModelConfig | None  # None where an ONNX file does not say what it is made of

    def cost(self, size: Size) -> dict[str, float]:
        """GMACs for a frame of (height, width), and parameters; empty where the file does not say."""
        if self.config is None:
            return {}
        return {"gmacs": macs(self.config, size) / 1e9, "parameters": parameters(self.config)}


def check_models(paths: Sequence[Path]) -> None:
    """Raises Failure (USAGE) for files that are no models by their names, and for one given twice."""
    for path in paths:
        if path.suffix not in (".pt", ".onnx"):
            raise Failure(f"--model is {path}; expected a .pt or an .onnx file")
        if paths.count(path) > 1:
            raise Failure(f"--model names {path} twice; expected each model once")


def open_models(paths: Sequence[Path], device: str) -> list[Model]:
    """Models named after their files, or by their whole paths where file names are shared (`best.pt`, `best.pt`).

    Raises Failure (MODEL) for files that cannot be loaded.
    """
    file_names = [path.name for path in paths]
    return [_open(path, path.name if file_names.count(path.name) == 1 else str(path), device) for path in paths]


def smallest_frame(models: Sequence[Model], metric: int = 1) -> Size:
    """(height, width) of the smallest frame that all models take, and a metric that needs `metric` pixels a side."""
    heights, widths = zip(*(model.min_size for model in models), strict=True)
    return max(metric, *heights), max(metric, *widths)


def _open(path: Path, name: str, device: str) -> Model:
    if path.suffix == ".onnx":
        return _onnx_model(path, name)
    network, _ = load_network(path)
    return Model(name, torch_model(network, device), network.config.min_size, device, network.config)


def _onnx_model(path: Path, name: str) -> Model:
    session = _session(path)

    def deblur(frame: Image) -> Image:
        try:
            sharp: Image = session.run(None, {"frame": frame})[0]
        except Exception as error:  # ONNX Runtime's exceptions have no public base class but this
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise Failure(f"{path} failed on a frame of {frame.shape}: {error}", ExitCode.MODEL) from error
        if sharp.shape != frame.shape:
            raise Failure(
                f"{path} turned a frame of {frame.shape} into {sharp.shape}; expected the same", ExitCode.MODEL
            )
        return sharp

    metadata = session.get_modelmeta().custom_metadata_map
    return Model(name, deblur, _min_size(path, metadata), "cpu", _config(metadata))


def _session(path: Path) -> Any:
    import onnxruntime

    if not path.is_file():
        raise Failure(f"{path} does not exist; expected a model written by `edgedeblur export`", ExitCode.MODEL)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised, so nothing needs to be logged as well
        # Fused INT8 convolutions saturate on CPUs with AVX2 but no VNNI, and would cost an INT8 model about 7 dB.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no public base class but this
        raise Failure(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {error}", ExitCode.MODEL
        ) from error
    contract = [(item.name, item.type) for item in (*session.get_inputs(), *session.get_outputs())]
    if contract != [("frame", "tensor(uint8)"), ("sharp", "tensor(uint8)")]:
        raise Failure(
            f"{path} is not a frame-in, frame-out model; expected one from `edgedeblur export`", ExitCode.MODEL
        )
    return session


def _min_size(path: Path, metadata: Mapping[str, str]) -> Size:
    text = metadata.get("edgedeblur.min_size", "1x1")
    try:
        height, width = (int(length) for length in text.split("x"))
    except ValueError as error:
        raise Failure(f"{path} says edgedeblur.min_size is '{text}'; expected HEIGHTxWIDTH", ExitCode.MODEL) from error
    return height, width


def _config(metadata: Mapping[str, str]) -> ModelConfig | None:
    try:
        config = ModelConfig(**json.loads(metadata["edgedeblur.config"]))
        parameters(config)  # whether it can be counted is to be known now, not after hours of measuring
    except (LookupError, TypeError, ValueError, RuntimeError):  # another version's: the model runs, uncounted
        return None
    return config
