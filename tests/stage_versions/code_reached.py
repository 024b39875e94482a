"""Which code of the project a function runs, hashed without comments, docstrings and annotations."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True, order=True)
class Name:
    """A name at the top level of a module, or a method of a class there (``Class.method``)."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Module:
    """The top level of one module: its statements by the names that they bind, and what its imports mean."""

    name: str
    is_package: bool
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Name | str] = field(default_factory=dict)
    calls: list[ast.Expr] = field(default_factory=list)


class Code:
    """The source of a package, as what its functions reach in it.

    A function reaches the names that it mentions, and what those reach. A class without bases from elsewhere is reached
    method by method, as the methods' names are mentioned; any other as a whole. A registry is reached with all that is
    registered in it, unless its members have versions of their own.

    Args:
        root: Folder of the package.
        ignored: Modules, with those below them, whose code changes no result.
        apart: Names of registries whose members have versions of their own.
    """

    def __init__(self, root: Path, *, ignored: Iterable[str] = (), apart: Iterable[str] = ()) -> None:
        self._package = root.name
        self._ignored = tuple(ignored)
        self._apart = frozenset(apart)
        self._modules = {module.name: module for module in _read_modules(root)}

    def hash(self, *entries: Name) -> str:
        """Hash the code that is reached from names.

        Args:
            *entries: Functions, classes or constants.

        Returns:
            16 hexadecimal digits.

        Raises:
            KeyError: If there is no such name.
        """
        digest = hashlib.sha256()
        for name, text in sorted(self.reached(*entries).items()):
            digest.update(f"{name}\n{text}\n".encode())
        return digest.hexdigest()[:16]

    def reached(self, *entries: Name) -> dict[Name, str]:
        """Return the code that is reached from names.

        Args:
            *entries: Functions, classes or constants.

        Returns:
            The statements of each name that is reached, without comments, docstrings and annotations.

        Raises:
            KeyError: If there is no such name.
        """
        reach = _Reach(self)
        for entry in entries:
            if entry.name not in self._modules[entry.module].definitions:
                raise KeyError(str(entry))
            reach.add(entry)
        return reach.texts()

    def registrations(self, registry: str) -> dict[str, Name]:
        """Return what each member of a registry is called, and where it is registered.

        Args:
            registry: Name of the registry, like ``MODELS``.

        Returns:
            The names of the module-level calls of ``register``, by the member's registered name.
        """
        found = {}
        for module in self._modules.values():
            for number, call in enumerate(module.calls):
                if _registry_of(call) == registry:
                    for keyword in ast.walk(call):
                        if isinstance(keyword, ast.keyword) and keyword.arg == "name":
                            found[ast.literal_eval(keyword.value)] = Name(module.name, f"<call {number}>")
                            break
        return found

    def statements(self, name: Name) -> list[ast.stmt]:
        """Return the statements that bind a name."""
        return self._modules[name.module].definitions[name.name]

    def resolve(self, module: str, mentioned: str, imports: dict[str, Name | str] | None = None) -> Name | str | None:
        """Return what a name in a module means: a name of the project, one of its modules, or nothing of it."""
        here = self._modules[module]
        if imports and mentioned in imports:
            return self._followed(imports[mentioned])
        if mentioned in here.definitions:
            return Name(module, mentioned)
        return self._followed(here.imports[mentioned]) if mentioned in here.imports else None

    def _followed(self, target: Name | str) -> Name | str | None:
        """Follow an import, through modules that only pass it on, to where the name is bound."""
        while isinstance(target, Name):
            path = f"{target.module}.{target.name}"
            if path in self._modules:
                return path
            module = self._modules.get(target.module)
            if module is None:
                return None
            if target.name in module.definitions:
                return target
            if target.name not in module.imports:
                return None
            target = module.imports[target.name]
        return target if target in self._modules else None

    def is_ignored(self, name: Name) -> bool:
        """Whether a name's code changes no result."""
        return any(name.module == each or name.module.startswith(f"{each}.") for each in self._ignored)

    def members(self, name: Name) -> list[Name]:
        """Return what is registered in a registry; nothing where the members have versions of their own."""
        if name.name in self._apart:
            return []
        return sorted(self.registrations(name.name).values())

    def has_foreign_base(self, name: Name) -> bool:
        """Whether a class derives, itself or through others, from one that is not of the project."""
        [statement] = self.statements(name)
        assert isinstance(statement, ast.ClassDef)
        for base in statement.bases:
            node: ast.expr = base.value if isinstance(base, ast.Subscript) else base
            target = self.resolve(name.module, node.id) if isinstance(node, ast.Name) else None
            if not isinstance(target, Name) or not isinstance(self.statements(target)[0], ast.ClassDef):
                return True
            if self.has_foreign_base(target):
                return True
        return False

    def imports_of(self, module: str, function: ast.AST) -> dict[str, Name | str]:
        """Return what the imports inside a function mean."""
        here = self._modules[module]
        found: dict[str, Name | str] = {}
        for node in ast.walk(function):
            found |= _imports(node, module, is_package=here.is_package)
        return found

    @cached_property
    def package(self) -> str:
        """The package's name."""
        return self._package


class _Reach:
    """What is reached so far."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._seen: set[Name] = set()
        self._statements: dict[Name, list[ast.AST]] = {}
        # Methods of reached classes that nothing has mentioned yet, and what was mentioned.
        self._methods: dict[str, list[tuple[Name, ast.AST]]] = {}
        self._mentioned: set[str] = set()

    def texts(self) -> dict[Name, str]:
        return {name: "\n".join(map(_plain, found)) for name, found in self._statements.items()}

    def add(self, name: Name) -> None:
        """Add a name and all that it reaches."""
        if name in self._seen or self._code.is_ignored(name):
            return
        self._seen.add(name)
        for statement in self._code.statements(name):
            if isinstance(statement, ast.ClassDef) and not self._code.has_foreign_base(name):
                self._add_class(name, statement)
            else:
                self._add_code(name, statement)
        for member in self._code.members(name):
            self.add(member)

    def _add_class(self, name: Name, statement: ast.ClassDef) -> None:
        methods = [each for each in statement.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        rest = ast.ClassDef(
            **{key: getattr(statement, key) for key in statement._fields if key != "body"},
            body=[each for each in statement.body if each not in methods],
        )
        self._add_code(name, rest)
        for method in methods:
            full = Name(name.module, f"{name.name}.{method.name}")
            if method.name.startswith("__") or method.name in self._mentioned:
                self._add_code(full, method)
            else:
                self._methods.setdefault(method.name, []).append((full, method))

    def _add_code(self, name: Name, statement: ast.AST) -> None:
        self._statements.setdefault(name, []).append(statement)
        imports = self._code.imports_of(name.module, statement)
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute):
                self._mention(node.attr)
                self._attribute(name.module, node, imports)
            elif isinstance(node, ast.Name):
                target = self._code.resolve(name.module, node.id, imports)
                if isinstance(target, Name):
                    self.add(target)

    def _attribute(self, module: str, node: ast.Attribute, imports: dict[str, Name | str]) -> None:
        """Add ``function`` of ``module.function``."""
        if isinstance(node.value, ast.Name):
            target = self._code.resolve(module, node.value.id, imports)
            if isinstance(target, str):
                found = self._code.resolve(target, node.attr)
                if isinstance(found, Name):
                    self.add(found)

    def _mention(self, method: str) -> None:
        self._mentioned.add(method)
        for full, statement in self._methods.pop(method, ()):
            self._add_code(full, statement)


class _Stripped(ast.NodeTransformer):
    """Removes docstrings and annotations."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = _without_docstring(node.body)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        node.body = _without_docstring(node.body)
        return node


def _plain(statement: ast.AST) -> str:
    """Return a statement as text, without comments, docstrings and annotations."""
    return ast.unparse(_Stripped().visit(ast.parse(ast.unparse(statement))))


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    kept = [
        each
        for each in body
        if not (
            isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str)
        )
    ]
    return kept or [ast.Pass()]


def _read_modules(root: Path) -> Iterator[Module]:
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        module = Module(".".join(parts[:-1] if is_package else parts), is_package)
        for statement in _top_level(ast.parse(path.read_text(encoding="utf-8")).body):
            _read_statement(module, statement)
        yield module


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those below ``if`` and ``try`` included."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _top_level(statement.body)
            yield from _top_level(statement.orelse)
            if isinstance(statement, ast.Try):
                for handler in statement.handlers:
                    yield from _top_level(handler.body)
        else:
            yield statement


def _read_statement(module: Module, statement: ast.stmt) -> None:
    module.imports |= _imports(statement, module.name, is_package=module.is_package)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        module.definitions.setdefault(statement.name, []).append(statement)
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    module.definitions.setdefault(node.id, []).append(statement)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        module.definitions[f"<call {len(module.calls)}>"] = [statement]
        module.calls.append(statement)


def _imports(node: ast.AST, module: str, *, is_package: bool) -> dict[str, Name | str]:
    if isinstance(node, ast.Import):
        return {each.asname: each.name for each in node.names if each.asname}
    if not isinstance(node, ast.ImportFrom):
        return {}
    source = node.module or ""
    if node.level:
        parts = module.split(".")
        above = parts[: len(parts) - node.level + is_package]
        source = ".".join([*above, *([node.module] if node.module else [])])
    return {each.asname or each.name: Name(source, each.name) for each in node.names}


def _registry_of(call: ast.Expr) -> str:
    """Return ``X`` of a statement ``X.register(...)``, or nothing."""
    function = call.value.func if isinstance(call.value, ast.Call) else None
    if isinstance(function, ast.Attribute) and function.attr == "register" and isinstance(function.value, ast.Name):
        return function.value.id
    return ""
