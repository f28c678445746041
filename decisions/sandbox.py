"""Looks into an uploaded file in a process of its own: `python -I sandbox.py onnx|engine FILE`, run by services.checks.

Not a module of the server: it imports nothing of it. What a hostile file breaks is this process, which has no secrets
in its environment, and from the moment it looks at the content can neither open a file or socket nor start a process.
It prints one JSON object: what was found, or {"refused": why} or, when it cannot work at all, {"broken": why}.
"""

import ast
import hashlib
import json
import os
import resource
import sys

MEMORY, CPU_SECONDS = 1536 * 2**20, 20
MOST_TENSORS, MOST_CHARACTERS = 64, 200
ENGINE_CLASS, ENGINE_METHOD = "DecisionEngine", "decide"


def limit(**limits):
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def no_more_doors():
    limit(NOFILE=0, NPROC=0)


def onnx(content):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # since 1.29 it would call home
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    no_more_doors()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return {"refused": "ONNX Runtime cannot load it", "detail": str(error)[:500]}
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not outputs or len(inputs) + len(outputs) > MOST_TENSORS:
        return {"refused": f"it needs an output, and at most {MOST_TENSORS} inputs and outputs"}
    producer = session.get_modelmeta().producer_name[:MOST_CHARACTERS]
    return {"inputs": list(map(tensor, inputs)), "outputs": list(map(tensor, outputs)), "producer": producer}


def tensor(node):
    """Shape: a number, a name or None (any) for each dimension."""
    shape = [size[:MOST_CHARACTERS] if isinstance(size, str) else size for size in node.shape[:16]]
    return {"name": node.name[:MOST_CHARACTERS], "type": node.type[:MOST_CHARACTERS], "shape": shape}


def engine(content):
    """Only read, never run."""
    no_more_doors()
    try:
        tree = ast.parse(content)
    except SyntaxError as error:
        return {"refused": f"it is not Python: line {error.lineno or 1}"}
    except (ValueError, RecursionError, MemoryError):
        return {"refused": "it is not Python"}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == ENGINE_CLASS]
    methods = {node.name for found in classes for node in found.body if isinstance(node, ast.FunctionDef)}
    if ENGINE_METHOD not in methods:
        return {"refused": f"it declares no class {ENGINE_CLASS} with a method {ENGINE_METHOD}"}
    return {}


def main(kind, path):
    limit(CORE=0, CPU=CPU_SECONDS, FSIZE=0, AS=MEMORY)
    with open(path, "rb") as file:
        content = file.read()
    found = {"onnx": onnx, "engine": engine}[kind](content)
    return found | {"sha256": hashlib.sha256(content).hexdigest()}


if __name__ == "__main__":
    try:
        answer = main(*sys.argv[1:])
    except MemoryError:
        answer = {"refused": "it needs too much memory"}
    except Exception as error:
        answer = {"broken": f"{type(error).__name__}: {error}"[:500]}
    print(json.dumps(answer), flush=True)  # noqa: T201
    os._exit(0)  # libraries that tidy up after themselves may want to open something
