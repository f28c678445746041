"""Small ONNX models, good and hostile, and sessions of them."""

import hashlib

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.datastructures import MultiValueDict
from onnx import TensorProto, helper

from decisions import store
from decisions.features import FEATURES
from decisions.models import ModelFile, ModelSession

UPLOAD = "/api/admin/ml-models/upload"
ACTIVATE = "/api/admin/ml-models/activate"
FALLBACK = "/api/admin/ml-models/fallback"
SESSIONS = "/api/admin/ml-models/sessions"
ENGINE = "/api/admin/decision-engine/upload"

COLUMNS = len(FEATURES)
INPUT = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["pools", COLUMNS])
RISK = helper.make_tensor_value_info("interruption_probability_24h", TensorProto.FLOAT, ["pools", 1])
PRICE = helper.make_tensor_value_info("expected_price_24h", TensorProto.FLOAT, ["pools", 1])


def serialized(nodes, *, inputs=(INPUT,), outputs=(RISK,), weights=()):
    graph = helper.make_graph(nodes, "graph", list(inputs), list(outputs), list(weights))
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9, producer_name="tests")
    return model.SerializeToString()


def weights(values, *, name="weights", shape=(COLUMNS, 1)):
    return helper.make_tensor(name, TensorProto.FLOAT, shape, values)


def a_model(node="Sigmoid", **column_weights):
    """The probability is sigmoid(weights · node(features)); each node name makes another file."""
    values = [column_weights.get(name, 0.001) for name in FEATURES]
    nodes = [
        helper.make_node(node, ["features"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "weights"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [RISK.name]),
    ]
    return serialized(nodes, weights=[weights(values)])


def a_model_that_says(probability, *, price=None):
    """The same of every pool, 0/0 for `nan`."""
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["zero"]),
        helper.make_node("Add", ["zero", "probability"], [RISK.name]),
    ]
    constants = [weights([0.0] * COLUMNS), weights([probability], name="probability", shape=(1,))]
    if price is None:
        return serialized(nodes, weights=constants)
    nodes.append(helper.make_node("Add", ["zero", "price"], [PRICE.name]))
    return serialized(nodes, outputs=(RISK, PRICE), weights=[*constants, weights([price], name="price", shape=(1,))])


def a_model_that_claims_40_gigabytes():
    huge = weights([0, 0, 0], shape=(3,))
    huge.dims[:] = [10**10]
    return serialized([helper.make_node("Add", ["features", "weights"], [RISK.name])], weights=[huge])


def a_model_that_reads(path):
    """Its weights would be read from another file of the server."""
    elsewhere = weights([0, 0, 0], shape=(3,))
    elsewhere.ClearField("float_data")
    elsewhere.data_location = TensorProto.EXTERNAL
    entry = elsewhere.external_data.add()
    entry.key, entry.value = "location", str(path)
    return serialized([helper.make_node("Add", ["features", "weights"], [RISK.name])], weights=[elsewhere])


def a_model_that_never_ends():
    """A loop without a condition: valid ONNX, loaded in no time."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["so_far"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so_far", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["zero"]),
        helper.make_node("Loop", ["", "always", "zero"], [RISK.name], body=body),
    ]
    always = helper.make_tensor("always", TensorProto.BOOL, [], [True])
    return serialized(nodes, weights=[weights([0.0] * COLUMNS), always])


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
