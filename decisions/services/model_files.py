"""Which files may be part of a model session (dashboard-api 3.2)."""

from pathlib import Path, PurePath

from django.conf import settings

from decisions import store
from decisions.errors import FileRefused
from decisions.uploads import Accepted

ONNX = ".onnx"
PICKLES = (".pkl", ".joblib")
OTHERS = (*PICKLES, ".h5", ".pb", ".pth", ".pt")  # most of them run code when they are loaded
HOW_TO_CONVERT = (
    "Convert the model to ONNX: skl2onnx for scikit-learn, onnxmltools for XGBoost and LightGBM, "
    "torch.onnx.export for PyTorch, tf2onnx for TensorFlow and Keras; see docs/models.md."
)


def is_onnx(name: str) -> bool:
    return _suffix(name) == ONNX


def is_runnable(name: str) -> bool:
    """Others are kept for their owner, and never live."""
    return is_onnx(name) or (_suffix(name) in PICKLES and settings.ALLOW_PICKLE_MODELS)


def refuse_type(name: str) -> None:
    """Raises FileRefused."""
    suffix = _suffix(name)
    if suffix == ONNX or (suffix in OTHERS and settings.ALLOW_PICKLE_MODELS):
        return
    if suffix in OTHERS:
        raise FileRefused(f"{name}: {suffix} files are refused because loading them can run code. {HOW_TO_CONVERT}")
    allowed = ", ".join((ONNX, *OTHERS) if settings.ALLOW_PICKLE_MODELS else (ONNX,))
    raise FileRefused(f"{name}: files of this type are not allowed. Allowed: {allowed}")


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _directory() -> Path:
    return store.models()


ACCEPTED = Accepted(
    fields=frozenset({"files", "files[]", "file", "model"}),
    most_files=20,
    directory=_directory,
    refuse_type=refuse_type,
)
