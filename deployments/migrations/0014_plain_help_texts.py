from __future__ import annotations

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    """Say what columns hold in plainer words, and let forms leave JSON empty. The database knows of neither."""

    dependencies = [
        ("deployments", "0013_fair_shares_of_pools"),
    ]

    operations = [
        # Of the state alone, so that the models are not made anew for each column.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="workpool",
                    name="base_job_template",
                    field=models.JSONField(blank=True, default=dict),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="again",
                    field=models.BooleanField(
                        default=False, help_text="Also run the times that already have a completed run."
                    ),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="calendars",
                    field=models.JSONField(
                        default=list, help_text="The names of the calendars whose times were left out."
                    ),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="definition",
                    field=models.JSONField(help_text="The schedule that gives the times, in the format of the API."),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="problem",
                    field=models.TextField(
                        blank=True, default="", help_text="Why it was paused, unless a user paused it."
                    ),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="time_parameter",
                    field=models.CharField(
                        help_text="The parameter that receives the scheduled time.", max_length=255, null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="work_queue_name",
                    field=models.CharField(
                        help_text="Empty: the work queue of the deployment.", max_length=255, null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="backfilltime",
                    name="is_over",
                    field=models.BooleanField(default=False, help_text="The run has ended or was deleted."),
                ),
                migrations.AlterField(
                    model_name="backfilltime",
                    name="number",
                    field=models.PositiveIntegerField(help_text="The position in the order in which runs are created."),
                ),
                migrations.AlterField(
                    model_name="calendar",
                    name="ics",
                    field=models.TextField(help_text="An iCalendar document. Each event is a time to leave out."),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="concurrency_limit",
                    field=models.PositiveIntegerField(
                        help_text="How many of its runs may be pending or running at the same time.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="crash_retries",
                    field=models.PositiveIntegerField(
                        help_text="How often a run is retried after a crash. Empty: as its code says.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="must_finish_within",
                    field=models.DurationField(help_text="Counted from the scheduled time of the run.", null=True),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="must_start_within",
                    field=models.DurationField(help_text="Counted from the scheduled time of the run.", null=True),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="result_storage",
                    field=models.CharField(
                        help_text="The location of results, unless a flow or task names another one.",
                        max_length=100,
                        null=True,
                    ),
                ),
                migrations.AlterField(
                    model_name="schedule",
                    name="definition",
                    field=models.JSONField(
                        help_text="In the format of the API: the field of its kind, with its time zone."
                    ),
                ),
                migrations.AlterField(
                    model_name="schedule",
                    name="max_runs",
                    field=models.PositiveIntegerField(help_text="The schedule ends after this many runs.", null=True),
                ),
                migrations.AlterField(
                    model_name="schedule",
                    name="max_scheduled_runs",
                    field=models.PositiveIntegerField(help_text="The most runs to plan ahead.", null=True),
                ),
                migrations.AlterField(
                    model_name="schedule",
                    name="misfire",
                    field=models.CharField(
                        default="none", help_text="Which missed times to run: all, the latest, or none.", max_length=6
                    ),
                ),
                migrations.AlterField(
                    model_name="schedule",
                    name="plan_at",
                    field=models.DateTimeField(
                        help_text="When to plan again. Empty: nothing is left to plan.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="schedule",
                    name="planned_until",
                    field=models.DateTimeField(
                        help_text="All times up to this moment are planned or skipped.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="servicerecord",
                    name="ticker",
                    field=models.CharField(
                        default="", help_text="The host and process id of the process that ran it last.", max_length=255
                    ),
                ),
                migrations.AlterField(
                    model_name="worker",
                    name="account",
                    field=models.IntegerField(
                        help_text="The user whose key the agent registered with. 0: the owner of the server's machine.",
                        null=True,
                    ),
                ),
                migrations.AlterField(
                    model_name="worker",
                    name="offline_at",
                    field=models.DateTimeField(
                        help_text="Without another heartbeat, the agent counts as offline from then on.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="worker",
                    name="serves_pool",
                    field=models.BooleanField(
                        default=False, help_text="Whether it serves all queues of the pool, including later ones."
                    ),
                ),
                migrations.AlterField(
                    model_name="workpool",
                    name="fair_share",
                    field=models.CharField(
                        blank=True,
                        help_text="How runs of equal priority take turns: deployment, author or tag:… Empty: no turns.",
                        max_length=255,
                        null=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^(deployment|author|tag:[^\\s:]+)$",
                                "Write deployment, author, or tag:… such as tag:team.",
                            )
                        ],
                    ),
                ),
            ]
        )
    ]
