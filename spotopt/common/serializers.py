from rest_framework import serializers


class SuccessOut(serializers.Serializer):
    success = serializers.BooleanField()
    message = serializers.CharField()
