"""Runs what was uploaded, in a process of its own: `python -I -S -B worker.py`, started by services.workers.

Not a module of the server: it imports nothing of it. Frames go over stdin and stdout: four bytes of length, the most
significant first, then JSON. The first one says what to run:

    {"kind": "models" | "engine", "files": [{"name", "path"}, …], "libraries": [directory, …], "memory": bytes,
     "cpu_seconds": …}

The answer is {"sha256": [hex, …]}, or {"refused": why} when the files are no good, or {"broken": why} when this machine
cannot run them. From then on each frame is a question, and each answer {"answer": …} or {"failed": why}.

Before anything of an uploaded file is interpreted, `close_the_doors` leaves the process nothing but computing, memory
and the two pipes: it cannot open a file, start a process or a thread, use a socket, or signal anybody.
"""

import ctypes
import errno
import hashlib
import importlib
import io
import json
import os
import platform
import re
import resource
import struct
import sys

INTERRUPTION, PRICE = "interruption_probability_24h", "expected_price_24h"
ENGINE_CLASS = "DecisionEngine"

# What an engine may import; nothing can be opened afterwards. `_strptime` is what datetime imports when it parses.
ENGINE_MODULES = (
    "_strptime", "abc", "array", "bisect", "calendar", "collections", "collections.abc", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "heapq", "itertools", "json", "math", "numbers",
    "operator", "random", "re", "statistics", "string", "time", "types", "typing",
)  # fmt: skip
PICKLE_LIBRARIES = rb"(?:sklearn|numpy|scipy|joblib|xgboost|lightgbm)(?:\.[A-Za-z_][A-Za-z0-9_]*)*"

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, SIGKILL = 1, 38, 9
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
SECCOMP_KILL_PROCESS, SECCOMP_ERRNO, SECCOMP_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of classic BPF
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4  # in struct seccomp_data

# The calls that are left, per processor: {machine: (AUDIT_ARCH_…, number of seccomp(2), {call: number})}.
CALLS = {
    "x86_64": (0xC000003E, 317, {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "gettimeofday": 96,
        "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219,
        "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "getcpu": 309,
        "getrandom": 318, "membarrier": 324, "rseq": 334,
    }),
    "aarch64": (0xC00000B7, 277, {
        "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "ppoll": 73, "fstat": 80,
        "exit": 93, "exit_group": 94, "futex": 98, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114,
        "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128,
        "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "getcpu": 168,
        "gettimeofday": 169, "getpid": 172, "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222,
        "mprotect": 226, "madvise": 233, "getrandom": 278, "membarrier": 283, "rseq": 293,
    }),
}  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The uploaded files are to blame."""


class Nowhere(io.TextIOBase):
    """What is printed goes nowhere, and takes no memory."""

    def write(self, text):
        return len(text)


# --- Containment ---------------------------------------------------------------------------------------------------


def limit(memory, cpu_seconds):
    limits = {"CORE": 0, "FSIZE": 0, "AS": memory, "CPU": cpu_seconds}
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)  # never outlives the server
    # A wall behind the wall, where the kernel lets everybody build it: no network, and no power over anything outside.
    libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC)


def close_the_doors(*, runs_code):
    """Raises OSError where uploaded code cannot be contained; a model in ONNX, which is data, is run all the same."""
    for name in ("NOFILE", "NPROC"):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (0, 0))
    try:
        allow_only_computing()
    except OSError:
        if runs_code:
            raise


def allow_only_computing():
    if platform.machine() not in CALLS:
        raise OSError(errno.ENOSYS, f"no list of system calls for {platform.machine()}")
    architecture, seccomp, calls = CALLS[platform.machine()]
    program = [
        (LOAD_WORD, 0, 0, ARCHITECTURE_OFFSET),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, SECCOMP_KILL_PROCESS),
        (LOAD_WORD, 0, 0, NUMBER_OFFSET),
        *((JUMP_IF_EQUAL, len(calls) - place, 0, number) for place, number in enumerate(sorted(calls.values()))),
        (RETURN, 0, 0, SECCOMP_ERRNO | errno.EPERM),
        (RETURN, 0, 0, SECCOMP_ALLOW),
    ]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(filters)))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
    if libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, header) != 0:
        raise OSError(ctypes.get_errno(), "seccomp is refused")


# --- Models: docs/models.md has the features and the outputs --------------------------------------------------------


def loaded_models(names, contents):
    is_onnx = [name.lower().endswith(".onnx") for name in names]
    if any(is_onnx):
        import onnxruntime  # noqa: F401 (while it can be opened)
    for content, data in zip(contents, is_onnx, strict=True):
        for name in set(re.findall(PICKLE_LIBRARIES, content)) if not data else ():
            try:
                importlib.import_module(name.decode())
            except Exception:  # noqa: S112 (a class or a word that looks like a module; what is missed fails below)
                continue
    import numpy  # noqa: F401 (so does this)

    close_the_doors(runs_code=not all(is_onnx))
    models = [(OnnxModel if data else PickledModel)(content) for content, data in zip(contents, is_onnx, strict=True)]
    outputs = [name for model in models for name in model.outputs]
    if outputs.count(INTERRUPTION) != 1 or outputs.count(PRICE) > 1:
        raise Refused(f"of its files exactly one must have the output {INTERRUPTION}, and at most one {PRICE}")

    def answer(rows):
        return {name: values for model in models for name, values in model.predict(rows).items()}

    return answer


class OnnxModel:
    def __init__(self, content):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Refused("ONNX Runtime cannot load it") from error
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in ("tensor(float)", "tensor(double)"):
            raise Refused("it must have one input, a tensor of float or double")
        self.input, self.type = inputs[0].name, "float32" if inputs[0].type == "tensor(float)" else "float64"
        self.outputs = [one.name for one in self.session.get_outputs() if one.name in (INTERRUPTION, PRICE)]

    def predict(self, rows):
        import numpy

        found = self.session.run(self.outputs, {self.input: numpy.asarray(rows, dtype=self.type)})
        return {name: column(values, len(rows)) for name, values in zip(self.outputs, found, strict=True)}


class PickledModel:
    outputs = (INTERRUPTION,)

    def __init__(self, content):
        import pickle

        try:
            if b"joblib" in content:
                self.model = importlib.import_module("joblib").load(io.BytesIO(content))
            else:
                self.model = pickle.loads(content)  # noqa: S301 (what this process is for)
        except Exception as error:
            raise Refused(f"it cannot be unpickled: {described(error)}") from error

    def predict(self, rows):
        import numpy

        features = numpy.asarray(rows, dtype="float64")
        ask = getattr(self.model, "predict_proba", None) or self.model.predict
        return {INTERRUPTION: column(ask(features), len(rows))}


def column(values, count):
    """[n], [n, 1], or of a classifier's [n, 2] the second: the probability that it happens."""
    import numpy

    values = numpy.asarray(values, dtype="float64")
    if values.shape == (count, 2):
        values = values[:, 1]
    if values.size != count:
        raise ValueError(f"an output of shape {values.shape} for {count} rows")
    return values.reshape(count).tolist()


# --- Engines: docs/models.md has the question and the answer --------------------------------------------------------


def loaded_engine(content):
    for name in ENGINE_MODULES:
        importlib.import_module(name)
    close_the_doors(runs_code=True)
    module = type(sys)("uploaded_engine")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(content, "engine.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what this process is for)
        engine = module.__dict__[ENGINE_CLASS]()
    except BaseException as error:
        raise Refused(f"it cannot be loaded: {described(error)}") from error
    return lambda situations: [engine.decide(situation) for situation in situations]


# --- Frames --------------------------------------------------------------------------------------------------------


def described(error):
    return f"{type(error).__name__}: {error}"[:300]


def receive():
    """None at the end."""
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        return None
    (size,) = struct.unpack(">I", header)
    return json.loads(sys.stdin.buffer.read(size))


def sender(descriptor):
    def send(message):
        body = json.dumps(message).encode()
        frame = memoryview(struct.pack(">I", len(body)) + body)
        while frame:
            frame = frame[os.write(descriptor, frame) :]

    return send


def load(order):
    contents = []
    for one in order["files"]:
        with open(one["path"], "rb") as file:
            contents.append(file.read())
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    sys.path.extend(order["libraries"])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ORT_DISABLE_TELEMETRY"):
        os.environ[name] = "1"  # one thread each; since 1.29 ONNX Runtime would call home
    names = [one["name"] for one in order["files"]]
    answer = loaded_engine(contents[0]) if order["kind"] == "engine" else loaded_models(names, contents)
    return answer, digests


def main():
    send = sender(1)
    order = receive()
    limit(order["memory"], order["cpu_seconds"])
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        setattr(sys, name, Nowhere())
    try:
        answer, digests = load(order)
    except Refused as refusal:
        send({"refused": str(refusal)})
        return
    except MemoryError:
        send({"refused": "it needs too much memory"})
        return
    except Exception as error:
        send({"broken": described(error)})
        return
    send({"sha256": digests})
    while (question := receive()) is not None:
        try:
            send({"answer": answer(question)})
        except BaseException as error:
            send({"failed": described(error)})


if __name__ == "__main__":
    main()
    os._exit(0)  # libraries that tidy up after themselves may want to open something
