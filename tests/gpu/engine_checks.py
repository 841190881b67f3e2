"""TensorRT and TensorRT-RTX engines on a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.gpu.machine import Measured, SkipCheck, imported, torch_on_gpu


def check_tensorrt_rtx_runs() -> Measured:
    """Build edge-n for this GPU with TensorRT-RTX, run it, and compare with ONNX Runtime on the CPU."""
    torch = torch_on_gpu()
    trt = imported("tensorrt_rtx")
    for name in ("onnx", "onnx_ir", "onnxruntime"):
        imported(name)
    import numpy as np
    import onnxruntime

    import edgedeblur

    model = Path(__file__).parents[2] / "runtime" / "weights" / "edge-n.onnx"
    with tempfile.TemporaryDirectory() as folder:
        engine = Path(folder) / "edge-n.engine"
        words = ["build", str(model), "--size", "360x640", "--toolkit", "tensorrt_rtx", "--save-engine", str(engine)]
        code = edgedeblur.main(words)
        if code == edgedeblur.ExitCode.ENVIRONMENT:
            raise SkipCheck(f"TensorRT-RTX does not build for {torch.cuda.get_device_name()}; its message is above")
        assert code == 0
        runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        plan = runtime.deserialize_cuda_engine(engine.read_bytes())
    assert plan is not None, "the engine does not load on this GPU"
    context = plan.create_execution_context()
    frame = torch.randint(0, 256, (360, 640, 3), dtype=torch.uint8, device="cuda")
    sharp = torch.zeros_like(frame)
    context.set_tensor_address("frame", frame.data_ptr())
    context.set_tensor_address("sharp", sharp.data_ptr())
    stream = torch.cuda.Stream()
    assert context.execute_async_v3(stream.cuda_stream)
    stream.synchronize()
    expected = onnxruntime.InferenceSession(str(model)).run(None, {"frame": frame.cpu().numpy()})[0]
    difference = np.abs(sharp.cpu().numpy().astype(int) - expected)
    assert difference.mean() < 0.5, f"mean difference {difference.mean():.3f} grey levels"
    return {"mean_difference": float(difference.mean()), "worst_difference": int(difference.max())}
