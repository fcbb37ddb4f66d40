"""Find literal field codes of stored records in Python source.

Stored hashes use short codes as field names. Only `store/records.py` may contain
these codes; other modules translate full names with `code` and `codes`.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator

# Functions that build the keys of hashes with coded fields.
RECORD_KEYS = {f"keys.{name}" for name in ("event", "schedule", "gate", "queue")}
HASH_COMMANDS = {
    "hget",
    "hmget",
    "hset",
    "hsetnx",
    "hdel",
    "hexists",
    "hincrby",
    "hstrlen",
}
TRANSLATING = ("code", "codes")

Assigned = dict[str, list[ast.AST]]


def literals(source: str) -> list[str]:
    """The literals that a source passes to the store as fields of a record.

    A variable is resolved to every value assigned to it in its function or at module
    level. A function is resolved to every value it returns.
    """
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if _is_function(node)]
    shared = _assigned(_outside_functions(tree))
    for function in functions:
        returns = (node for node in ast.walk(function) if isinstance(node, ast.Return))
        shared[_name(function)] += returns
    scopes = [(_outside_functions(tree), shared)]
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


def _outside_functions(tree: ast.AST) -> list[ast.AST]:
    """All nodes at module or class level."""
    found: list[ast.AST] = []
    waiting = [tree]
    while waiting:
        found.append(waiting.pop())
        children = ast.iter_child_nodes(found[-1])
        waiting += (child for child in children if not _is_function(child))
    return found


def _assigned(nodes: list[ast.AST]) -> Assigned:
    """The values assigned to each name; a loop assigns its iterable to its variable."""
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
    """The name of a variable, attribute or function; empty for other nodes."""
    for part in ("id", "attr", "name"):
        if isinstance(name := getattr(node, part, None), str):
            return name
    return ""


def _commands(nodes: list[ast.AST]) -> Iterator[list[ast.AST]]:
    """The key and fields of each hash command.

    A command is a method call, such as `hget(key, field)`, or a sequence that starts
    with the command's name, such as `("HGET", key, field)`.
    """
    for node in nodes:
        arguments: list[ast.AST] = []
        if isinstance(node, ast.Call):
            arguments = [*node.args, *(option.value for option in node.keywords)]
            if _name(node.func) in HASH_COMMANDS:
                yield arguments
        elif isinstance(node, ast.Tuple | ast.List):
            arguments = [*node.elts]
        command = arguments[0] if arguments else None
        if (
            isinstance(command, ast.Constant)
            and str(command.value).lower() in HASH_COMMANDS
        ):
            yield arguments[1:]


def _parts(tree: ast.AST, assigned: Assigned) -> list[ast.AST]:
    """Return all nodes of an expression.

    For a variable, add the nodes of the value that was assigned to it. Leave out the
    arguments of `code` and `codes`, which are full names.
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
