"""Models and engines of operators (dashboard-api 3). Uploads stream to disk: the body is read in the view alone."""

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from clients.idempotency import begin
from clients.permissions import IsAdministrator, IsOperator
from clients.principals import ApiRequest
from decisions.errors import CodeUploadDisabled
from decisions.selectors.sessions import session_rows
from decisions.selectors.status import live_engine_status
from decisions.serializers.models import (
    ActivatedOut,
    ActivateIn,
    EngineUploadedOut,
    EngineUploadIn,
    ModelSessionOut,
    ModelsUploadedOut,
    ModelUploadIn,
    RolledBackOut,
)
from decisions.services import engines, model_files, sessions
from decisions.uploads import discard, received

_ERROR = {"$ref": "#/components/schemas/Error"}
REFUSED = OpenApiResponse(_ERROR, "A file cannot be used; nothing was changed.")
NO_ROOM = OpenApiResponse(_ERROR, "The server's disk is full.")


class ModelUploadViewSet(viewsets.ViewSet):
    permission_classes = [IsAdministrator]
    streams_body = True

    @extend_schema(
        summary="Upload models; they wait for their activation",
        request={"multipart/form-data": ModelUploadIn},
        responses={200: ModelsUploadedOut, 422: REFUSED, 507: NO_ROOM},
    )
    def create(self, request: ApiRequest) -> Response:
        """At most 20 files and 100 MiB together. The session that is live is not touched."""
        with received(request._request, model_files.ACCEPTED) as upload:
            begin(request, lambda: upload.fingerprint)
            session = sessions.upload_models(
                files=upload.files,
                name=upload.text("model_name", max_length=255),
                version=upload.text("model_version", max_length=64),
                model_type=upload.text("model_type", max_length=64),
                actor=request.user.name,
            )
        names, total = [file.name for file in upload.files], sum(file.size for file in upload.files)
        waiting = {"filesUploaded": len(names), "totalSize": total, "sessionType": "pending_activation"}
        session_id = session.public_id
        ids = {"sessionId": session_id, "session_id": session_id, "requiresRestart": True, "model_status": waiting}
        message = f"Models {session} were uploaded and wait for their activation"
        return Response({"success": True, "message": message, "files": names, "files_uploaded": len(names)} | ids)


class EngineUploadViewSet(viewsets.ViewSet):
    permission_classes = [IsAdministrator]
    streams_body = True

    @extend_schema(
        summary="Upload a decision engine and make it live",
        request={"multipart/form-data": EngineUploadIn},
        responses={200: EngineUploadedOut, 422: REFUSED, 507: NO_ROOM},
    )
    def create(self, request: ApiRequest) -> Response:
        """Refused with 403 CODE_UPLOAD_DISABLED unless the server allows it. 422: the live engine stays."""
        try:
            engines.refuse_unless_allowed()
        except CodeUploadDisabled:
            discard(request._request)
            raise
        with received(request._request, engines.ACCEPTED) as upload:
            begin(request, lambda: upload.fingerprint)
            engine = engines.upload_engine(files=upload.files, actor=request.user.name)
        status = live_engine_status()
        live = {key: status[key] for key in ("loaded", "type", "version")}
        answer = {"success": True, "message": f"Decision engine {engine} is live", "files": [engine.name]}
        return Response(answer | {"restarting": False, "engine_status": live})


class ModelSessionViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(
        summary="Uploaded model sessions, newest first",
        parameters=[OpenApiParameter("include_archived", bool, description="Default false.")],
        responses=ModelSessionOut(many=True),
    )
    def list(self, request: ApiRequest) -> Response:
        wanted = request.query_params.get("include_archived", "").lower()
        return Response(session_rows(include_archived=wanted in ("true", "1")))

    @extend_schema(summary="Make a model session live", request=ActivateIn, responses={200: ActivatedOut, 422: REFUSED})
    def activate(self, request: ApiRequest) -> Response:
        """The live one becomes the fallback. 409: it is live already.

        422: nothing was changed, because it does not load, or (MODELS_WORSE) because its backtest is worse than what is
        live; then it may be forced.
        """
        body = ActivateIn(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        session = sessions.activate(
            session_id=given["sessionId"],
            actor=request.user.name,
            forced_because=given["forceReason"],
        )
        status = {"loaded": True, "type": session.metadata.get("model_type", "onnx")}
        live = {"sessionId": session.public_id, "restarting": False, "model_status": status}
        message = f"Models {session} are live ({session.backtest['summary']})"
        return Response({"success": True, "message": message, "backtest": session.backtest} | live)

    @extend_schema(
        summary="Go back to the fallback session", request=None, responses={200: RolledBackOut, 422: REFUSED}
    )
    def fall_back(self, request: ApiRequest) -> Response:
        """The live one is archived. 404: there is no fallback; 422: it does not load, nothing was changed."""
        session = sessions.roll_back(actor=request.user.name)
        ids = dict.fromkeys(("sessionId", "fallbackSessionId", "fallback_session"), session.public_id)
        return Response({"success": True, "message": f"Models {session} are live again", "restarting": False} | ids)
