from rest_framework import serializers


class TicketOut(serializers.Serializer):
    ticket = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")
    expires_at = serializers.DateTimeField()


class StreamStatsOut(serializers.Serializer):
    active_connections = serializers.IntegerField()
    client_ids = serializers.ListField(child=serializers.CharField(), help_text="Clients with a stream of their own.")
