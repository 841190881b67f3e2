"""Our TensorRT names exist in every release we name; and the check that says so finds what does not exist."""

from __future__ import annotations

import pytest

from tests.engines.api_bindings import RELEASES, Bindings, Unavailable, bindings, installed, text_of
from tests.engines.api_names import FOLDER, ROOT
from tests.engines.api_uses import Use, uses_in, uses_in_source


def release(distribution: str, version: str, module: str) -> Bindings:
    try:
        return bindings(distribution, version, module, FOLDER)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("which", RELEASES, ids=lambda which: which[1])
def test_every_name_exists(which: tuple[str, str, str]) -> None:
    missing = release(*which).missing(uses_in(ROOT)[0])
    assert not missing, text_of(missing)


def test_every_name_exists_in_tensorrt_rtx(rtx: None) -> None:
    missing = installed("tensorrt_rtx").missing(uses_in(ROOT)[0])
    assert not missing, text_of(missing)


def test_nothing_is_overlooked() -> None:
    uses, unknown = uses_in(ROOT)
    assert not unknown, f"give these parameters a type in api_uses.py: {unknown}"
    found = {".".join(use.path) for use in uses}
    assert found >= {
        "Builder.build_serialized_network",
        "IBuilderConfig.set_memory_pool_limit",
        "IOptimizationProfile.set_shape",
        "ITensor.shape",
        "ParserError.node_operator",
        "IExecutionContext.execute_async_v3",
        "ICudaEngine.get_tensor_profile_shape",
        "IProgressMonitor.step_complete",
    }


def test_tensorrt_is_used_nowhere_else_in_the_runtime() -> None:
    importing = {path.parent for path in (ROOT / "runtime").rglob("*.py") if "import_toolkit(" in path.read_text()}
    assert importing == {ROOT / "runtime" / "sessions"}


SOURCE = """
class Thing:
    def __init__(self, trt: Any) -> None:
        self._builder = trt.Builder(trt.ILogger())

    def make(self):
        network, (self._settings, other) = self._builder.create_network(0), (made(self._builder), 3)
        network.get_layer(0).made_up_of_layers
        self._settings.made_up_of_settings = trt_is_not_known_here.made_up
        return network.num_layers if hasattr(network, "num_layers") else network.made_up_of_networks


def made(builder: Any) -> Any:
    return builder.create_builder_config()


def guarded(trt: Any, settings: Any) -> None:
    class Mine(trt.IProfiler):
        def made_up_override(self) -> None: ...

    if hasattr(settings, "made_up"):
        settings.made_up = trt.MadeUp.WITH
    if not hasattr(settings, "tiling_optimization_level"):
        return
    settings.tiling_optimization_level = trt.TilingOptimizationLevel.FULL


def overlooked(thing: Any) -> None:
    thing.call()
"""


def test_it_reads_what_is_there() -> None:
    uses, unknown = uses_in_source(SOURCE, "engines/made_up.py")
    paths = {".".join(use.path) for use in uses}
    assert paths >= {
        *("Builder", "Builder.create_network", "Builder.create_builder_config", "ILogger"),
        *("ILayer.made_up_of_layers", "IBuilderConfig.made_up_of_settings", "INetworkDefinition.made_up_of_networks"),
        *("IProfiler.made_up_override", "INetworkDefinition.num_layers", "MadeUp.WITH"),
    }
    assert not [path for path in paths if path.endswith(".made_up") and "IBuilderConfig" not in path]
    assert unknown == ["engines/made_up.py:28 thing"]
    guards = {use.path: use.guards for use in uses}
    assert guards["TilingOptimizationLevel", "FULL"] == {("IBuilderConfig", "tiling_optimization_level")}
    assert guards["INetworkDefinition", "num_layers"] == {("INetworkDefinition", "num_layers")}
    assert guards["INetworkDefinition", "made_up_of_networks"] == frozenset()


def test_it_can_fail(rtx: None) -> None:
    missing = installed("tensorrt_rtx").missing(uses_in_source(SOURCE, "engines/made_up.py")[0])
    assert [item.split(" ")[0] for item in missing] == [
        "ILayer.made_up_of_layers",
        "IBuilderConfig.made_up_of_settings",
        "INetworkDefinition.made_up_of_networks",
        "IProfiler.made_up_override",
    ]
    assert "ILayer.made_up_of_layers: engines/made_up.py:8" in text_of(missing)


@pytest.mark.parametrize("which", RELEASES, ids=lambda which: which[1])
def test_it_knows_the_releases_apart(which: tuple[str, str, str]) -> None:
    """Names that came with 10.13, went with 11 and are on none: the bindings answer, not a list of ours."""
    tiling, fp16 = ("IBuilderConfig", "tiling_optimization_level"), ("BuilderFlag", "FP16")
    uses = [Use(path, frozenset(), "x.py:1") for path in (tiling, fp16, ("NoSuchName",))]
    expected = {"10.3.0": [tiling], "11.4.0.106": [fp16]}.get(which[1], [])
    missing = [item.split(" ")[0] for item in release(*which).missing(uses)]
    assert missing == [".".join(path) for path in [*expected, ("NoSuchName",)]]
    guarded = Use(("TilingOptimizationLevel", "FULL"), frozenset({tiling}), "x.py:1")
    assert release(*which).missing([guarded]) == []
