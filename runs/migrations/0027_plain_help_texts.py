from __future__ import annotations

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """Say what columns hold in plainer words, and let forms leave JSON empty. The database knows of neither."""

    dependencies = [
        ("runs", "0026_runs_without_tags"),
    ]

    operations = [
        # Of the state alone, so that the models are not made anew for each column.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="savedsearch",
                    name="filters",
                    field=models.JSONField(blank=True, default=list),
                ),
                migrations.AlterField(
                    model_name="bulkaction",
                    name="entrance",
                    field=models.CharField(help_text="Where the command was given: page or api.", max_length=10),
                ),
                migrations.AlterField(
                    model_name="bulkaction",
                    name="filter",
                    field=models.JSONField(help_text="The filter of the API, or the query of the list of runs."),
                ),
                migrations.AlterField(
                    model_name="bulkaction",
                    name="from_tasks",
                    field=models.JSONField(
                        default=list, help_text="For a retry, the tasks to start from. Empty: the whole run."
                    ),
                ),
                migrations.AlterField(
                    model_name="bulkaction",
                    name="is_cut",
                    field=models.BooleanField(
                        default=False, help_text="The filter matched more runs than the action takes."
                    ),
                ),
                migrations.AlterField(
                    model_name="bulkaction",
                    name="problem",
                    field=models.TextField(
                        blank=True, default="", help_text="Why it stopped, unless a user stopped it."
                    ),
                ),
                migrations.AlterField(
                    model_name="bulkaction",
                    name="reasons",
                    field=models.JSONField(
                        default=dict, help_text="How many runs were refused or failed, for each reason."
                    ),
                ),
                migrations.AlterField(
                    model_name="bulkrun",
                    name="number",
                    field=models.PositiveIntegerField(help_text="The position in the order in which runs are tried."),
                ),
                migrations.AlterField(
                    model_name="environment",
                    name="commit",
                    field=models.CharField(
                        blank=True, help_text="The git commit. Empty if the code is not in a repository.", max_length=64
                    ),
                ),
                migrations.AlterField(
                    model_name="environment",
                    name="files",
                    field=models.CharField(blank=True, help_text="A digest of the files of the code.", max_length=64),
                ),
                migrations.AlterField(
                    model_name="environment",
                    name="packages",
                    field=models.JSONField(default=dict, help_text="The versions of packages, by name."),
                ),
                migrations.AlterField(
                    model_name="flowrun",
                    name="epoch",
                    field=models.PositiveIntegerField(
                        default=0, help_text="Fencing token: only the attempt with this number may write."
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrun",
                    name="seq",
                    field=models.PositiveIntegerField(
                        default=0, help_text="The number of states so far, and the number of the current state."
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrunstate",
                    name="author",
                    field=models.CharField(
                        help_text="Who set the state. Empty: the run's own client.", max_length=255, null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrunstate",
                    name="client_timestamp",
                    field=models.DateTimeField(
                        help_text="The time on the client's clock, if it differs from the server's.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrunstate",
                    name="details",
                    field=models.JSONField(
                        default=dict, help_text="The fields of state_details that differ from their defaults."
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrunstate",
                    name="trail",
                    field=models.JSONField(
                        default=list, help_text="What each rule said, in order: [[rule, verdict, reason], …]."
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="checked_at",
                    field=models.DateTimeField(
                        default=django.utils.timezone.now,
                        help_text="When it was last checked whether the problem is resolved.",
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="failures",
                    field=models.PositiveIntegerField(
                        default=0, help_text="The number of failures, including those of deleted runs."
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="message",
                    field=models.CharField(
                        blank=True, help_text="The message without the parts that differ between runs.", max_length=240
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="muted_in_version",
                    field=models.CharField(
                        help_text="Muted until a different version fails.", max_length=255, null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="noticed",
                    field=models.PositiveIntegerField(
                        default=0, help_text="The number of failures when an event last reported it."
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="resolution",
                    field=models.CharField(blank=True, help_text="What resolved it.", max_length=400),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="resolved_by",
                    field=models.CharField(
                        blank=True, help_text="Who resolved it. Empty if it was resolved automatically.", max_length=255
                    ),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="since",
                    field=models.DateTimeField(help_text="When the problem got this status."),
                ),
                migrations.AlterField(
                    model_name="problem",
                    name="version",
                    field=models.CharField(
                        blank=True, help_text="The version of the code that failed last, if known.", max_length=255
                    ),
                ),
                migrations.AlterField(
                    model_name="rollup",
                    name="bucket",
                    field=models.CharField(
                        help_text="The start of the period: 2026-01-05, 2026-01-05 12 or 2026-01-05 12:30.",
                        max_length=16,
                    ),
                ),
                migrations.AlterField(
                    model_name="rollup",
                    name="level",
                    field=models.PositiveSmallIntegerField(help_text="The length of the period, in minutes."),
                ),
                migrations.AlterField(
                    model_name="rollup",
                    name="subject",
                    field=models.CharField(
                        help_text="A kind of runs, or the id of a flow or deployment in hexadecimal.", max_length=32
                    ),
                ),
                migrations.AlterField(
                    model_name="rollupchange",
                    name="minute",
                    field=models.CharField(
                        help_text="The minute of the expected start, in UTC. Empty if there is none.", max_length=16
                    ),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="again",
                    field=models.JSONField(default=list, help_text="States whose results are not reused."),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="attempt",
                    field=models.PositiveIntegerField(help_text="The number of the attempt that this retry starts."),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="chosen",
                    field=models.JSONField(
                        default=list, help_text="What was requested: names of tasks, or names or ids of task runs."
                    ),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="entered",
                    field=models.JSONField(
                        default=list, help_text="States of nested runs of which only a part runs again."
                    ),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="outcome",
                    field=models.JSONField(
                        help_text="What the attempt reported: results reused, task runs executed.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="plan",
                    field=models.JSONField(default=dict, help_text="The numbers that the preview showed."),
                ),
                migrations.AlterField(
                    model_name="runretry",
                    name="source_id",
                    field=models.UUIDField(
                        db_index=True, help_text="The run whose results are reused: the same run, or another one."
                    ),
                ),
                migrations.AlterField(
                    model_name="taskrun",
                    name="seq",
                    field=models.PositiveIntegerField(
                        default=0, help_text="The number of states so far, and the number of the current state."
                    ),
                ),
                migrations.AlterField(
                    model_name="taskrunstate",
                    name="author",
                    field=models.CharField(
                        help_text="Who set the state. Empty: the run's own client.", max_length=255, null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="taskrunstate",
                    name="client_timestamp",
                    field=models.DateTimeField(
                        help_text="The time on the client's clock, if it differs from the server's.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="taskrunstate",
                    name="details",
                    field=models.JSONField(
                        default=dict, help_text="The fields of state_details that differ from their defaults."
                    ),
                ),
                migrations.AlterField(
                    model_name="taskrunstate",
                    name="trail",
                    field=models.JSONField(
                        default=list, help_text="What each rule said, in order: [[rule, verdict, reason], …]."
                    ),
                ),
            ]
        )
    ]
