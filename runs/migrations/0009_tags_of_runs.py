from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

SQLITE = """
CREATE TRIGGER {runs}_tags_insert AFTER INSERT ON {runs} WHEN NEW.tags <> '[]' BEGIN
    INSERT INTO {tags} (tag, run_id, expected_start_time)
    SELECT DISTINCT value, NEW.id, NEW.expected_start_time FROM json_each(NEW.tags) WHERE type = 'text';
END;
CREATE TRIGGER {runs}_tags_update AFTER UPDATE OF tags ON {runs} WHEN NEW.tags <> OLD.tags BEGIN
    DELETE FROM {tags} WHERE run_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags));
    INSERT INTO {tags} (tag, run_id, expected_start_time)
    SELECT DISTINCT value, NEW.id, NEW.expected_start_time FROM json_each(NEW.tags) WHERE type = 'text';
END;
CREATE TRIGGER {runs}_tags_moved AFTER UPDATE OF expected_start_time ON {runs}
WHEN NEW.tags <> '[]' AND NEW.tags = OLD.tags AND NEW.expected_start_time IS NOT OLD.expected_start_time BEGIN
    UPDATE {tags} SET expected_start_time = NEW.expected_start_time
    WHERE run_id = NEW.id AND tag IN (SELECT value FROM json_each(NEW.tags));
END;
CREATE TRIGGER {runs}_tags_delete AFTER DELETE ON {runs} WHEN OLD.tags <> '[]' BEGIN
    DELETE FROM {tags} WHERE run_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags));
END;
INSERT INTO {tags} (tag, run_id, expected_start_time)
SELECT DISTINCT one.value, {runs}.id, {runs}.expected_start_time
FROM {runs}, json_each({runs}.tags) AS one WHERE {runs}.tags <> '[]' AND one.type = 'text'
ORDER BY 1, 2
"""

# The rows that are there already follow in the next migration, some at a time, while others write.
POSTGRESQL = """
CREATE OR REPLACE FUNCTION {runs}_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM {tags} WHERE run_id = OLD.id AND tag IN (SELECT jsonb_array_elements_text(OLD.tags));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {tags} (tag, run_id, expected_start_time)
        SELECT DISTINCT value, NEW.id, NEW.expected_start_time FROM jsonb_array_elements_text(NEW.tags)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER {runs}_tags_insert AFTER INSERT ON {runs} FOR EACH ROW WHEN (NEW.tags <> '[]')
EXECUTE FUNCTION {runs}_tags();
CREATE TRIGGER {runs}_tags_update AFTER UPDATE OF tags, expected_start_time ON {runs} FOR EACH ROW
WHEN ((NEW.tags <> '[]' OR OLD.tags <> '[]') AND (
    NEW.tags <> OLD.tags OR NEW.expected_start_time IS DISTINCT FROM OLD.expected_start_time
)) EXECUTE FUNCTION {runs}_tags();
CREATE TRIGGER {runs}_tags_delete AFTER DELETE ON {runs} FOR EACH ROW WHEN (OLD.tags <> '[]')
EXECUTE FUNCTION {runs}_tags();
"""


def keep_tags(apps, schema_editor):
    for kind in ("flowrun", "taskrun"):
        names = {"runs": f"runs_{kind}", "tags": f"runs_{kind}tag"}
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(POSTGRESQL.format(**names), None)
            continue
        # Its driver takes one statement at a time, and a trigger is one to its END.
        *triggers, fill = SQLITE.format(**names).split("END;")
        for trigger in triggers:
            schema_editor.execute(trigger + "END", None)
        schema_editor.execute(fill, None)


def let_go(apps, schema_editor):
    for kind in ("flowrun", "taskrun"):
        events = ("insert", "update", "delete", "moved")
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP FUNCTION runs_{kind}_tags CASCADE")
            continue
        for event in events:
            schema_editor.execute(f"DROP TRIGGER IF EXISTS runs_{kind}_tags_{event}")


def tags_of(model: str) -> list[tuple[str, models.Field]]:
    return [
        ("tag", models.TextField()),
        ("expected_start_time", models.DateTimeField(null=True)),
        (
            "pk",
            models.CompositePrimaryKey(
                "tag", "run_id", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
        (
            "run",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="tag_rows",
                to=model,
            ),
        ),
    ]


class Migration(migrations.Migration):
    """Triggers, so that the rows of tags are right whoever writes a run: the ORM, COPY, or a statement of its own."""

    dependencies = [("runs", "0008_roll_ups")]

    operations = [
        migrations.CreateModel(name="FlowRunTag", fields=tags_of("runs.flowrun")),
        migrations.CreateModel(name="TaskRunTag", fields=tags_of("runs.taskrun")),
        migrations.AddIndex(
            model_name="flowruntag",
            index=models.Index(fields=["tag", "expected_start_time", "run"], name="flow_run_tag_by_time"),
        ),
        migrations.AddIndex(
            model_name="taskruntag",
            index=models.Index(fields=["tag", "expected_start_time", "run"], name="task_run_tag_by_time"),
        ),
        migrations.RunPython(keep_tags, let_go, elidable=False),
    ]
