"""`orion secret rotate` and `reseal`: encrypt all secrets with one key, so that other keys can be removed."""

from __future__ import annotations

import json
import os

import click

from orion_site.bootstrap import SETTINGS
from orion_site.database.commands import django_ready
from orionflow.cli.errors import CommandFailed, ExitCode


@click.command(short_help="Encrypt all secrets with the first key, so that older keys can be removed.")
@click.option("--dry-run", is_flag=True, help="Count what each key decrypts, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the counts.")
def reseal(dry_run: bool, output: str) -> None:
    """Encrypt all secrets with the first of ORION_ENCRYPTION_KEYS; exit code 1 if no key decrypts one.

    Example: ORION_ENCRYPTION_KEYS=new,old orion secret reseal
    """
    with django_ready():
        from deployments.blocks.services.encryption import flaw_of_keys
        from deployments.blocks.services.sealing import look_at_seals
        from deployments.blocks.services.sealing import reseal as seal_again
        from orion_site.audit.entrances import record_command

        if flaw := flaw_of_keys():
            raise CommandFailed(ExitCode.USAGE, flaw)
        if not dry_run:
            record_command("blocks.change", "ResealSecrets")
        found = look_at_seals() if dry_run else seal_again()
    counts = {"first_key": found.current, "older_keys": len(found.older), "no_key": list(found.unopenable)}
    if output == "json":
        click.echo(json.dumps(counts))
    else:
        click.echo(f"{found.current:>8,} under the first key already")
        click.echo(f"{len(found.older):>8,} {'under an older key' if dry_run else 'sealed again with the first key'}")
        if found.unopenable:
            click.echo(f"{len(found.unopenable):>8,} that no key opens: {', '.join(found.unopenable[:10])}")
    if found.unopenable:
        raise click.exceptions.Exit(1)


@click.command(short_help="Encrypt all secrets with a new key, while servers run.")
@click.option("--retire", is_flag=True, help="Make no new key; remove older keys that nothing uses.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the outcome.")
def rotate(retire: bool, output: str) -> None:
    """Put a new key into the key file of ORION_HOME and encrypt every secret with it. If interrupted, run it again.

    Example: orion secret rotate
    """
    with django_ready():
        from deployments.blocks.services.encryption import KeysOfEnvironment, flaw_of_keys
        from deployments.blocks.services.sealing import StillInUse
        from deployments.blocks.services.sealing import retire as retire_keys
        from deployments.blocks.services.sealing import rotate as seal_all
        from orion_site.audit.entrances import record_command

        if flaw := flaw_of_keys():
            raise CommandFailed(ExitCode.USAGE, flaw)
        try:
            count = retire_keys() if retire else len(seal_all().older)
        except KeysOfEnvironment:
            raise CommandFailed(
                ExitCode.USAGE,
                "The keys are in ORION_ENCRYPTION_KEYS, which this command cannot change.",
                fix="put a new key in front on every server, restart them, and run `orion secret reseal`",
            ) from None
        except StillInUse as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from None
        outcome = {"retired_keys" if retire else "sealed": count}
        record_command("blocks.change", "RetireKeys" if retire else "RotateSecrets", outcome)
    if output == "json":
        click.echo(json.dumps(outcome))
    elif retire:
        click.echo(f"{count:>8,} older keys forgotten")
    else:
        click.echo(f"{count:>8,} sealed with the new key. Older keys still open backups; --retire forgets them.")


def problem_of_seals() -> tuple[str, str] | None:
    """Return a problem with keys and secrets and its fix for `orion doctor`; None if there is none."""
    # `orion doctor` then calls the API in this process, which has settings of its own.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    with django_ready():
        from deployments.blocks.services.encryption import flaw_of_keys
        from deployments.blocks.services.sealing import look_at_seals
        from orion_site.checks import check_placeholders, check_secret_key

        if flaw := flaw_of_keys():
            return flaw, "set ORION_ENCRYPTION_KEYS to keys of Fernet, by comma"
        for one in [*check_placeholders(None), *check_secret_key(None)]:
            return str(one.msg), str(one.hint)
        lost = look_at_seals().unopenable
    if not lost:
        return None
    names = ", ".join(lost[:5])
    return (
        f"{len(lost)} secrets that no key opens: {names}",
        "name the key that sealed them in ORION_ENCRYPTION_KEYS, or set them again",
    )
