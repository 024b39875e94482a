"""Which code of the project a function runs, hashed without comments, docstrings and annotations."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

_CODE = {".py", ".pyc"}
# Fields of syntax trees that say nothing of what the code does.
_NOT_CODE = {"ctx", "kind", "type_comment"}
# Makes the block before the stage begins: what it knows of all kinds is not the stage's.
_NOT_THE_STAGES = {"parse"}


@dataclass(frozen=True, order=True)
class Name:
    """A name at the top level of a module, or a method of a class there (``Class.method``)."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class StageCode:
    """A stage as its source declares it.

    Attributes:
        entry: Its function, class, or the statement that registers it.
        version: Its version.
        uses: Names of the stages that it says it runs.
    """

    entry: Name
    version: int
    uses: frozenset[str] = frozenset()


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

    A function reaches the names that it mentions, what those reach, and the package's data files that it names. A class
    without bases from elsewhere is reached method by method, as the methods' names are mentioned; any other as a whole.
    A registry is reached with all that is registered in it. What has a version of its own is not reached: other stages,
    and members of registries whose specifications have a version.

    Args:
        root: Folder of the package.
        ignored: Modules, with those below them, whose code changes no result.
        members_of: Other code: what it does not register is left out of the registries. None to leave out nothing.
    """

    def __init__(self, root: Path, *, ignored: Iterable[str] = (), members_of: Code | None = None) -> None:
        self.root = root
        self._ignored = tuple(ignored)
        self._modules = {module.name: module for module in _read_modules(root)}
        self._files = {path.name: path for path in root.rglob("*") if path.is_file() and path.suffix not in _CODE}
        self._facts: dict[tuple[str, int], _Facts] = {}
        self._registered = _registered(self._modules.values())
        if members_of is not None:
            self._registered = {
                registry: {name: call for name, call in members.items() if name in known}
                for registry, members in self._registered.items()
                if (known := members_of._registered.get(registry))
            }
        self.stages = dict(self._find_stages())

    def _find_stages(self) -> Iterator[tuple[str, StageCode]]:
        """Find what is declared with ``@stage(version=...)``, and what is registered with a version."""
        for module in self._modules.values():
            for name, statements in module.definitions.items():
                for decorator in getattr(statements[0], "decorator_list", ()):
                    if _called(decorator) == "stage":
                        yield name, self._stage(Name(module.name, name), decorator)
        for registry, members in self._registered.items():
            for member, name in members.items():
                call = self.statements(name)[0]
                for node in ast.walk(call):
                    if isinstance(node, ast.Call) and "version" in {each.arg for each in node.keywords}:
                        yield f"{registry.lower()}.{member}", self._stage(name, node)

    def _stage(self, name: Name, declaration: ast.Call) -> StageCode:
        given = {each.arg: each.value for each in declaration.keywords}
        version = given["version"]
        if isinstance(version, ast.Name):
            [constant] = self.statements(Name(name.module, version.id))
            assert isinstance(constant, ast.Assign)
            version = constant.value
        uses = given.get("uses")
        return StageCode(
            name,
            int(ast.literal_eval(version)),
            frozenset(each.id for each in ast.walk(uses) if isinstance(each, ast.Name)) if uses else frozenset(),
        )

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
        return self._reach(*entries).texts()

    def used(self, entry: Name) -> frozenset[str]:
        """Return the names of the stages that another one runs, members of registries excepted."""
        return frozenset(each.name for each in self._reach(entry).others if not each.name.startswith("<"))

    def _reach(self, *entries: Name) -> _Reach:
        reach = _Reach(self, entries)
        for entry in entries:
            if entry.name not in self._modules[entry.module].definitions:
                raise KeyError(str(entry))
            reach.add(entry)
        return reach

    def statements(self, name: Name) -> list[ast.stmt]:
        """Return the statements that bind a name."""
        return self._modules[name.module].definitions[name.name]

    def functions(self, name: Name) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Return the functions that a name binds: itself, or the methods of its class."""
        owner, _, method = name.name.partition(".")
        if owner not in self._modules.get(name.module, Module("", is_package=False)).definitions:
            return []
        nodes = [node for statement in self.statements(Name(name.module, owner)) for node in ast.walk(statement)]
        found = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return (
            [node for node in found if node.name == method] if method else found[:1] if found[:1] == nodes[:1] else []
        )

    def file_of(self, name: Name) -> str:
        """Return the file of a name's module, relative to the package."""
        module = self._modules[name.module]
        parts = name.module.split(".")[1:]
        return "/".join([*parts, "__init__.py"] if module.is_package else [*parts[:-1], f"{parts[-1]}.py"])

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
        """Return what is registered in a registry."""
        return sorted(self._registered.get(name.name, {}).values())

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

    def facts(self, module: str, statement: ast.stmt) -> _Facts:
        """Return what a statement is and mentions, found once."""
        key = (module, id(statement))
        if key not in self._facts:
            self._facts[key] = self._find_facts(module, statement)
        return self._facts[key]

    def _find_facts(self, module: str, statement: ast.stmt) -> _Facts:
        is_package = self._modules[module].is_package
        nodes = list(ast.walk(statement))
        imports: dict[str, Name | str] = {}
        for node in nodes:
            imports |= _imports(node, module, is_package=is_package)
        names: dict[Name, None] = {}
        for node in nodes:
            if isinstance(node, ast.Name):
                found = self.resolve(module, node.id, imports)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                # A function of a module.
                owner = self.resolve(module, node.value.id, imports)
                found = self.resolve(owner, node.attr) if isinstance(owner, str) else None
            else:
                continue
            if isinstance(found, Name):
                names[found] = None
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        return _Facts(
            text=_dump(_Stripped().visit(deepcopy(statement))),
            names=tuple(names),
            attributes=tuple({node.attr: None for node in nodes if isinstance(node, ast.Attribute)}),
            files=tuple(self._files[text] for text in sorted(texts & self._files.keys())),
        )


@dataclass(frozen=True)
class _Facts:
    """What a statement is and mentions: its text, names of the project, attributes, data files."""

    text: str
    names: tuple[Name, ...]
    attributes: tuple[str, ...]
    files: tuple[Path, ...]


class _Reach:
    """What is reached so far."""

    def __init__(self, code: Code, entries: Iterable[Name]) -> None:
        self._code = code
        self._apart = {each.entry for each in code.stages.values()} - set(entries)
        # Other stages that are run.
        self.others: set[Name] = set()
        self._seen: set[Name] = set()
        self._texts: dict[Name, list[str]] = {}
        # Methods of reached classes that nothing has mentioned yet, and what was mentioned.
        self._methods: dict[str, list[tuple[Name, ast.stmt]]] = {}
        self._mentioned: set[str] = set()

    def texts(self) -> dict[Name, str]:
        return {name: "\n".join(found) for name, found in self._texts.items()}

    def add(self, name: Name) -> None:
        """Add a name and all that it reaches."""
        if name in self._apart:
            self.others.add(name)
        if name in self._seen or name in self._apart or self._code.is_ignored(name):
            return
        self._seen.add(name)
        for statement in self._code.statements(name):
            if isinstance(statement, ast.ClassDef):
                self._add_class(name, statement)
            else:
                self._add_code(name, statement)
        for member in self._code.members(name):
            self.add(member)

    def _add_class(self, name: Name, statement: ast.ClassDef) -> None:
        is_whole = self._code.has_foreign_base(name)
        for part in _parts(statement):
            if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                self._add_code(name, part)
            elif part.name not in _NOT_THE_STAGES:
                full = Name(name.module, f"{name.name}.{part.name}")
                if is_whole or part.name.startswith("__") or part.name in self._mentioned:
                    self._add_code(full, part)
                else:
                    self._methods.setdefault(part.name, []).append((full, part))

    def _add_code(self, name: Name, statement: ast.stmt) -> None:
        facts = self._code.facts(name.module, statement)
        self._texts.setdefault(name, []).append(facts.text)
        for file in facts.files:
            self._texts[Name("", file.name)] = [hashlib.sha256(file.read_bytes()).hexdigest()]
        for attribute in facts.attributes:
            self._mentioned.add(attribute)
            for full, method in self._methods.pop(attribute, ()):
                self._add_code(full, method)
        for target in facts.names:
            self.add(target)


class _Stripped(ast.NodeTransformer):
    """Removes docstrings and annotations, and the words of errors and of what is logged: no number depends on them."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return _Wordless().visit(self.generic_visit(node))

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        call = node.value.func if isinstance(node.value, ast.Call) else None
        is_logged = isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id == "logger"
        return _Wordless().visit(node) if is_logged else node

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
        node.decorator_list = [each for each in node.decorator_list if _called(each) != "stage"]
        node.returns = None
        node.body = _without_docstring(node.body)
        return node


class _Wordless(ast.NodeTransformer):
    """Empties strings."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        node.values = [each for each in node.values if isinstance(each, ast.FormattedValue)]
        return node


def _dump(node: object) -> str:
    """Write a syntax tree down in the same way in every version of Python: without what is empty or where it is."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if name not in _NOT_CODE]
        inside = ",".join(f"{name}={_dump(value)}" for name, value in fields if value not in (None, []))
        return f"{type(node).__name__}({inside})"
    return f"[{','.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)


def _parts(statement: ast.ClassDef) -> Iterator[ast.stmt]:
    """Yield the statements of a class: its head, then its body without docstrings."""
    if not hasattr(statement, "head"):
        head = {key: getattr(statement, key) for key in statement._fields if key != "body"}
        # Kept, so that what is known of it is known of the same object.
        statement.head = ast.ClassDef(**head, body=[ast.Pass()])  # type: ignore[attr-defined]
    yield statement.head  # type: ignore[attr-defined]
    yield from (each for each in statement.body if not _is_docstring(each))


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    return [each for each in body if not _is_docstring(each)] or [ast.Pass()]


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


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


def _called(node: ast.AST) -> str:
    """Return the name of the function that an expression calls, or nothing."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _registered(modules: Iterable[Module]) -> dict[str, dict[str, Name]]:
    """Return the statements that register members, by registry and by the member's name."""
    found: dict[str, dict[str, Name]] = {}
    for module in modules:
        for number, call in enumerate(module.calls):
            registry = _registry_of(call)
            names = [each.value for each in ast.walk(call) if isinstance(each, ast.keyword) and each.arg == "name"]
            if registry and names:
                members = found.setdefault(registry, {})
                members[str(ast.literal_eval(names[0]))] = Name(module.name, f"<call {number}>")
    return found


def _registry_of(call: ast.Expr) -> str:
    """Return ``X`` of a statement ``X.register(...)``, or nothing."""
    function = call.value.func if isinstance(call.value, ast.Call) else None
    if isinstance(function, ast.Attribute) and function.attr == "register" and isinstance(function.value, ast.Name):
        return function.value.id
    return ""
