"""Every TensorRT name that our source uses, found by reading it: `trt.MemoryPoolType.WORKSPACE`, `builder.create_…`.

The types of variables follow from how they are made (RESULTS); those of parameters and of what a loop unpacks from
their names (PARAMETERS, UNPACKED). A parameter of type Any that neither these tables nor NOT_TENSORRT know is reported,
so that none is overlooked. What stands behind `hasattr(x, "name")` is asked only of a TensorRT that has that name.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Dotted = tuple[str, ...]  # names from the module on; the first one is often a class


@dataclass(frozen=True)
class Static:
    """What is reached from the module by these names: () is the module itself."""

    path: Dotted


@dataclass(frozen=True)
class Instance:
    """An object of a class of the module."""

    of: str


@dataclass(frozen=True)
class Member:
    """An attribute or a method of an object: (class, name)."""

    path: Dotted


@dataclass(frozen=True)
class Several:
    """A tuple."""

    parts: tuple[Value, ...]


Value: TypeAlias = "Static | Instance | Member | Several | None"  # None: not TensorRT's
MODULE = Static(())

RESULTS = {
    ("get_plugin_registry",): "IPluginRegistry",
    ("Builder", "create_network"): "INetworkDefinition",
    ("Builder", "create_builder_config"): "IBuilderConfig",
    ("Builder", "create_optimization_profile"): "IOptimizationProfile",
    ("Builder", "build_serialized_network"): "IHostMemory",
    ("IBuilderConfig", "create_timing_cache"): "ITimingCache",
    ("INetworkDefinition", "get_layer"): "ILayer",
    ("INetworkDefinition", "get_input"): "ITensor",
    ("INetworkDefinition", "get_output"): "ITensor",
    ("ILayer", "get_output"): "ITensor",
    ("OnnxParser", "get_error"): "ParserError",
    ("Runtime", "deserialize_cuda_engine"): "ICudaEngine",
    ("ICudaEngine", "create_engine_inspector"): "EngineInspector",
    ("ICudaEngine", "create_execution_context"): "IExecutionContext",
    ("ICudaEngine", "create_runtime_config"): "IRuntimeConfig",
    ("IRuntimeConfig", "create_runtime_cache"): "IRuntimeCache",
}
MODULE_FROM = {"import_toolkit"}  # functions that give the module
MODULE_IN = {("toolkit", "module"), ("Toolkit", "module")}  # and what holds it
# Parameters of type Any, by name.
PARAMETERS: dict[str, Value] = {
    "trt": MODULE,
    "builder": Instance("Builder"),
    "network": Instance("INetworkDefinition"),
    "settings": Instance("IBuilderConfig"),
    "layer": Instance("ILayer"),
    "engine": Instance("ICudaEngine"),
    "context": Instance("IExecutionContext"),
    "config": Instance("IRuntimeConfig"),
    "registry": Instance("IPluginRegistry"),
}
# What loops unpack from lists of pairs or from what another function made: file and variable.
UNPACKED: dict[tuple[str, str], Value] = {
    ("engines/network.py", "tensor"): Instance("ITensor"),
    ("engines/network.py", "error"): Instance("ParserError"),
    ("engines/plugin_library.py", "creator"): Instance("IPluginCreatorV3One"),
}
# Parameters of type Any that are somebody else's (PyCUDA, ONNX Runtime, JSON), or a member of an enumeration.
NOT_TENSORRT = {"driver", "session", "value", "reported", "level"}
# Files that are reached only where the module has a name.
ONLY_WITH = {"runtime/sessions/jit_cache.py": ("CudaGraphStrategy",)}


@dataclass(frozen=True)
class Use:
    """One name that must be there: `path` from the module, its first part a class, in every TensorRT with `guards`."""

    path: Dotted
    guards: frozenset[Dotted]
    where: str  # file:line


def uses_in(root: Path, folders: Sequence[str] = ("engines", "runtime/sessions")) -> tuple[list[Use], list[str]]:
    """All uses in the folders' Python files, and the parameters whose type is not known, each `file:line name`."""
    uses: list[Use] = []
    unknown: list[str] = []
    for path in sorted(path for folder in folders for path in (root / folder).glob("*.py")):
        found = uses_in_source(path.read_text(), path.relative_to(root).as_posix())
        uses += found[0]
        unknown += found[1]
    return uses, unknown


def uses_in_source(source: str, name: str) -> tuple[list[Use], list[str]]:
    """The same of one file's text."""
    scan = _Scan(name)
    guards = frozenset({ONLY_WITH[name]} if name in ONLY_WITH else set())
    for _ in range(2):  # the second time functions and `self` attributes are known that are defined further down
        scan.uses, scan.unknown = [], []
        scan.body(ast.parse(source).body, {}, guards)
    return scan.uses, scan.unknown


Names = dict[str, Value]
Guards = frozenset[Dotted]


class _Scan:
    def __init__(self, file: str) -> None:
        self.file = file
        self.uses: list[Use] = []
        self.unknown: list[str] = []
        self.returned: Names = {}  # by function
        self.attributes: Names = {}  # of self
        self.inside = ""  # the function that is being read

    # ---- statements

    def body(self, statements: Sequence[ast.stmt], names: Names, guards: Guards) -> None:
        for statement in statements:
            self.statement(statement, names, guards)
            if isinstance(statement, ast.If) and _leaves(statement.body):
                guards |= self.asked(statement.test, names, when=False)

    def statement(self, node: ast.stmt, names: Names, guards: Guards) -> None:
        match node:
            case ast.FunctionDef():
                self.function(node, names, guards)
            case ast.ClassDef():
                bases = [self.value(base, names, guards) for base in node.bases]
                for method in (part for part in node.body if isinstance(part, ast.FunctionDef)):
                    for base in bases:
                        if isinstance(base, Static) and not method.name.startswith("__"):
                            where = f"{self.file}:{method.lineno}"  # what is overridden must be there
                            self.uses.append(Use((*base.path, method.name), guards, where))
                self.body(node.body, names, guards)
            case ast.If():
                self.value(node.test, names, guards)
                self.body(node.body, names, guards | self.asked(node.test, names, when=True))
                self.body(node.orelse, names, guards | self.asked(node.test, names, when=False))
            case ast.Assign():
                value = self.value(node.value, names, guards)
                for target in node.targets:
                    self.assign(target, value, names, guards)
            case ast.Return() if node.value is not None:
                value = self.value(node.value, names, guards)
                if value is not None:
                    self.returned[self.inside] = value
            case _:
                self.children(node, names, guards)

    def function(self, node: ast.FunctionDef, names: Names, guards: Guards) -> None:
        inner, outside, self.inside = dict(names), self.inside, node.name
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            inner.pop(argument.arg, None)
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any":
                inner[argument.arg] = PARAMETERS.get(argument.arg)
                if argument.arg not in PARAMETERS and argument.arg not in NOT_TENSORRT and _asked_for(node, argument):
                    self.unknown.append(f"{self.file}:{node.lineno} {argument.arg}")
        for default in [*node.args.defaults, *(item for item in node.args.kw_defaults if item)]:
            self.value(default, names, guards)
        self.body(node.body, inner, guards)
        self.inside = outside

    def assign(self, target: ast.expr, value: Value, names: Names, guards: Guards) -> None:
        match target:
            case ast.Name():
                names[target.id] = value
            case ast.Tuple():
                parts = value.parts if isinstance(value, Several) else ()
                for part, known in itertools.zip_longest(target.elts, parts[: len(target.elts)]):
                    self.assign(part, known, names, guards)
            case ast.Attribute(value=ast.Name(id="self")):
                if value is not None:
                    self.attributes[target.attr] = value
            case _:
                self.value(target, names, guards)

    def children(self, node: ast.AST, names: Names, guards: Guards) -> None:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.expr():
                    self.value(child, names, guards)
                case ast.stmt():
                    self.statement(child, names, guards)
                case _:
                    self.children(child, names, guards)

    # ---- expressions

    def value(self, node: ast.expr, names: Names, guards: Guards) -> Value:
        """The type of an expression; the names in it are noted."""
        match node:
            case ast.Name():
                return names.get(node.id, UNPACKED.get((self.file, node.id)))
            case ast.Attribute():
                return self.attribute(node, names, guards)
            case ast.Call():
                return self.call(node, names, guards)
            case ast.Tuple():
                return Several(tuple(self.value(part, names, guards) for part in node.elts))
            case ast.IfExp():
                self.value(node.test, names, guards)
                first = self.value(node.body, names, guards | self.asked(node.test, names, when=True))
                second = self.value(node.orelse, names, guards | self.asked(node.test, names, when=False))
                return first if first is not None else second
            case _:
                self.children(node, names, guards)
                return None

    def attribute(self, node: ast.Attribute, names: Names, guards: Guards) -> Value:
        if isinstance(node.value, ast.Name):
            if node.value.id == "self" and node.attr in self.attributes:
                return self.attributes[node.attr]
            if (node.value.id, node.attr) in MODULE_IN:
                return MODULE
        found = _attribute(self.value(node.value, names, guards), node.attr)
        if found is not None:
            self.uses.append(Use(found.path, guards, f"{self.file}:{node.lineno}"))
        return found

    def call(self, node: ast.Call, names: Names, guards: Guards) -> Value:
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.value(argument, names, guards)
        if isinstance(node.func, ast.Name):
            return MODULE if node.func.id in MODULE_FROM else self.returned.get(node.func.id)
        called = self.value(node.func, names, guards)
        if not isinstance(called, Static | Member):
            return None
        if called.path in RESULTS:
            return Instance(RESULTS[called.path])
        is_class = isinstance(called, Static) and len(called.path) == 1 and called.path[0][0].isupper()
        return Instance(called.path[0]) if is_class else None

    def asked(self, test: ast.expr, names: Names, when: bool) -> Guards:
        """The names that `hasattr` has found where `test` is `when`."""
        match test:
            case ast.UnaryOp(op=ast.Not()):
                return self.asked(test.operand, names, not when)
            case ast.BoolOp(op=ast.And()) if when:
                return frozenset[Dotted]().union(*(self.asked(part, names, when) for part in test.values))
            case ast.BoolOp(op=ast.Or()) if not when:
                return frozenset[Dotted]().union(*(self.asked(part, names, when) for part in test.values))
            case ast.Call(func=ast.Name(id="hasattr"), args=[asked, ast.Constant(value=str(name))]) if when:
                found = _attribute(self.value(asked, names, frozenset()), name)
                return frozenset() if found is None else frozenset({found.path})
            case _:
                return frozenset()


def _attribute(base: Value, name: str) -> Static | Member | None:
    match base:
        case Static(path):
            return Static((*path, name))
        case Instance(of):
            return Member((of, name))
        case _:  # what an attribute of an object gives is known only where RESULTS has it
            return None


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Return | ast.Raise | ast.Continue)


def _asked_for(function: ast.FunctionDef, argument: ast.arg) -> bool:
    """Whether the function reads an attribute of its parameter."""
    return any(node.value.id == argument.arg for node in _attributes_of_names(function))  # type: ignore[attr-defined]


def _attributes_of_names(function: ast.FunctionDef) -> Iterator[ast.Attribute]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node
