from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0004_instance_by_age"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="interruptionepisode",
            index=models.Index(fields=["detected_at"], name="episode_by_time"),
        ),
    ]
