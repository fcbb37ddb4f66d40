"""The stored codes of records' fields that a Python source spells out."""

import ast
from collections import defaultdict
from collections.abc import Iterator

# What names the keys of hashes whose fields have codes; what is done with a hash.
RECORD_KEYS = {f"keys.{name}" for name in ("event", "schedule", "gate", "queue")}
ON_HASHES = {"hget", "hmget", "hset", "hsetnx", "hdel", "hexists", "hincrby", "hstrlen"}
TRANSLATING = ("code", "codes")

Assigned = dict[str, list[ast.AST]]


def spelled(source: str) -> list[str]:
    """The literals that a source hands to the store as fields of a record.

    A name stands for all that is ever assigned to it, in its function or outside of
    all; that of a function for all that this returns.
    """
    tree = ast.parse(source)
    functions = [each for each in ast.walk(tree) if _is_function(each)]
    shared = _assigned(_outside(tree))
    for function in functions:
        returns = (each for each in ast.walk(function) if isinstance(each, ast.Return))
        shared[_name(function)] += returns
    scopes = [(_outside(tree), shared)]
    for function in functions:
        inside = [*ast.walk(function)]
        scopes.append((inside, shared | _assigned(inside)))
    return [
        ast.unparse(literal)
        for nodes, assigned in scopes
        for key, *fields in _commands(nodes)
        if any(ast.unparse(part) in RECORD_KEYS for part in _parts(key, assigned))
        for field in fields
        for literal in _parts(field, assigned)
        if isinstance(literal, ast.Constant) and isinstance(literal.value, str | bytes)
    ]


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _outside(tree: ast.AST) -> list[ast.AST]:
    """What stands in no function."""
    found: list[ast.AST] = []
    waiting = [tree]
    while waiting:
        found.append(waiting.pop())
        children = ast.iter_child_nodes(found[-1])
        waiting += (each for each in children if not _is_function(each))
    return found


def _assigned(nodes: list[ast.AST]) -> Assigned:
    """By names, all that is assigned to each, by loops as well."""
    found: Assigned = defaultdict(list)
    for node in nodes:
        targets: list[ast.AST] = []
        value: ast.AST | None = None
        if isinstance(node, ast.Assign):
            targets, value = [*node.targets], node.value
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            targets, value = [node.target], node.value
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            targets, value = [node.target], node.iter
        for target in targets:
            for name in ast.walk(target):
                found[_name(name)] += [value] if value else []
    return found


def _name(node: ast.AST) -> str:
    """What a node is called: a variable, an attribute, a function; else nothing."""
    for part in ("id", "attr", "name"):
        if isinstance(name := getattr(node, part, None), str):
            return name
    return ""


def _commands(nodes: list[ast.AST]) -> Iterator[list[ast.AST]]:
    """Key and fields of each command on a hash: a method's, or words of a command."""
    for node in nodes:
        words: list[ast.AST] = []
        if isinstance(node, ast.Call):
            words = [*node.args, *(each.value for each in node.keywords)]
            if _name(node.func) in ON_HASHES:
                yield words
        elif isinstance(node, ast.Tuple | ast.List):
            words = [*node.elts]
        command = words[0] if words else None
        if (
            isinstance(command, ast.Constant)
            and str(command.value).lower() in ON_HASHES
        ):
            yield words[1:]


def _parts(tree: ast.AST, assigned: Assigned) -> list[ast.AST]:
    """All parts of an expression, and of what its names stand for.

    What `code` and `codes` are asked for is not among them.
    """
    found: list[ast.AST] = []
    waiting, seen = [tree], {""}
    while waiting:
        node = waiting.pop()
        found.append(node)
        name = _name(node)
        if name not in seen:
            seen.add(name)
            waiting += assigned.get(name, [])
        if not (isinstance(node, ast.Call) and _name(node.func) in TRANSLATING):
            waiting += ast.iter_child_nodes(node)
    return found
