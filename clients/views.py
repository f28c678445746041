from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from clients import services
from clients.authentication import ClientTokenAuthentication
from clients.permissions import IsAdministrator, IsClient
from clients.principals import ApiRequest
from clients.serializers import ClientCreatedOut, ClientIn, ClientOut, NewTokenOut, TokenOut, ValidOut
from spotopt.common.serializers import SuccessOut


class ClientAdminViewSet(viewsets.ViewSet):
    """Accounts and their tokens (dashboard-api 2.3)."""

    permission_classes = [IsAdministrator]

    @extend_schema(summary="Create a client", request=ClientIn, responses={200: ClientCreatedOut})
    def create(self, request: ApiRequest) -> Response:
        body = ClientIn(data=request.data)
        body.is_valid(raise_exception=True)
        client, token = services.create_client(**body.validated_data, actor=request.user.name)
        return Response({"success": True, "client": ClientOut(client).data | {"token": token}})

    @extend_schema(summary="Delete a client and all it owns", responses=SuccessOut)
    def destroy(self, request: ApiRequest, client_id: str) -> Response:
        client = services.get_client(public_id=client_id)
        services.delete_client(client=client, actor=request.user.name)
        message = f"Client {client.name} was deleted. Its EC2 instances were not terminated."
        return Response({"success": True, "message": message})

    @extend_schema(summary="Replace a client's token", request=None, responses=NewTokenOut)
    def regenerate_token(self, request: ApiRequest, client_id: str) -> Response:
        client = services.get_client(public_id=client_id)
        token = services.regenerate_token(client=client, actor=request.user.name)
        message = "The old token no longer works. Give the new one to every agent."
        return Response({"success": True, "token": token, "message": message})

    @extend_schema(summary="Show a client's token", responses=TokenOut)
    def token(self, request: ApiRequest, client_id: str) -> Response:
        client = services.get_client(public_id=client_id)
        token = services.reveal_token(client=client, actor=request.user.name)
        return Response({"token": token, "client_name": client.name}, headers={"Cache-Control": "no-store"})


class ValidateViewSet(viewsets.ViewSet):
    """Is this token good? Asked by the agents' installer, which reads `valid`, `name` and the status code."""

    authentication_classes = [ClientTokenAuthentication]
    permission_classes = [IsClient]
    throttle_classes: list[Any] = []

    @extend_schema(summary="Whose token is this?", responses=ValidOut)
    def retrieve(self, request: ApiRequest) -> Response:
        client = request.user.tenant
        known = {"client_id": client.public_id, "name": client.name, "client_name": client.name}
        return Response({"valid": True} | known | {"email": client.email, "status": client.status})

    def handle_exception(self, exc: Exception) -> Any:
        response = super().handle_exception(exc)
        if response.status_code in (401, 403):
            response.data["valid"] = False
        return response
