from django.urls.converters import StringConverter


class ClientIdConverter(StringConverter):
    """Any text but the words that are addresses of their own, whichever app's table comes first."""

    regex = r"(?!(?:create|growth|validate|pricing-history|agents|instances)(?:/|\Z))[^/]+"
