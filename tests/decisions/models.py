"""Small ONNX models, good and hostile, and sessions of them."""

import hashlib

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.datastructures import MultiValueDict
from onnx import TensorProto, helper

from decisions import store
from decisions.models import ModelFile, ModelSession

UPLOAD = "/api/admin/ml-models/upload"
ACTIVATE = "/api/admin/ml-models/activate"
FALLBACK = "/api/admin/ml-models/fallback"
SESSIONS = "/api/admin/ml-models/sessions"
ENGINE = "/api/admin/decision-engine/upload"

FEATURES = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["pools", 3])
RISK = helper.make_tensor_value_info("risk", TensorProto.FLOAT, ["pools", 3])


def serialized(nodes, *, inputs=(FEATURES,), outputs=(RISK,), weights=()):
    graph = helper.make_graph(nodes, "graph", list(inputs), list(outputs), list(weights))
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9, producer_name="tests")
    return model.SerializeToString()


def a_model(node="Sigmoid"):
    """Element by element; each node name makes another file."""
    return serialized([helper.make_node(node, ["features"], ["risk"])])


def a_model_that_claims_40_gigabytes():
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3], [0, 0, 0])
    weights.dims[:] = [10**10]
    return serialized([helper.make_node("Add", ["features", "weights"], ["risk"])], weights=[weights])


def a_model_that_reads(path):
    """Its weights would be read from another file of the server."""
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3], [0, 0, 0])
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", str(path)
    return serialized([helper.make_node("Add", ["features", "weights"], ["risk"])], weights=[weights])


def send(api, files, *, path=UPLOAD, field="files", headers=None, **fields):
    """`files`: {name: content} or [(name, content)]."""
    pairs = files.items() if isinstance(files, dict) else files
    parts = [named(name, content) for name, content in pairs]
    return api.post(path, MultiValueDict({field: parts}) | fields, format="multipart", headers=headers or {})


def named(name, content):
    file = SimpleUploadedFile("x", content)
    file._name = name  # the class would clean it, as an honest browser does
    return file


def a_session(status="uploaded", *, content=None, **fields):
    """With one file in MODEL_DIR."""
    content = a_model() if content is None else content
    session = ModelSession.objects.create(status=status, name="Risk", version="1", uploaded_by="operator", **fields)
    sha256 = hashlib.sha256(content).hexdigest()
    ModelFile.objects.create(session=session, name="risk.onnx", sha256=sha256, size=len(content))
    store.models().mkdir(parents=True, exist_ok=True)
    store.path_of(sha256).write_bytes(content)
    return session


def statuses():
    """Public id → status."""
    return dict(ModelSession.objects.values_list("public_id", "status"))
