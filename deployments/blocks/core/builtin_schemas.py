"""The fields of the block types that the server knows itself, so that users can create blocks without any program.

A client that has a class of its own for a type registers its schema as well, under its own checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERSION = "built-in"
Capabilities = tuple[str, ...]
NOTIFY: Capabilities = ("notify",)
FILES: Capabilities = ("get-directory", "put-directory", "read-path", "write-path")
RUNS: Capabilities = ("run-infrastructure",)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a block. A secret field is stored sealed and shown masked."""

    name: str
    text: str
    kind: str = "string"
    required: bool = False
    secret: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"title": self.name.replace("_", " ").capitalize(), "description": self.text}
        schema |= {} if self.kind == "any" else {"type": "array"} if self.kind == "texts" else {"type": self.kind}
        schema |= {"items": {"type": "string"}} if self.kind == "texts" else {}
        schema |= {"writeOnly": True, "format": "password"} if self.secret and self.kind == "string" else {}
        schema |= {"default": self.default} if self.default is not None else {}
        return schema | ({"enum": list(self.choices)} if self.choices else {})

    @property
    def secret_path(self) -> str:
        # The values of an object are hidden; its keys are shown.
        return f"{self.name}.*" if self.kind == "object" else self.name


def _needed(name: str, text: str, kind: str = "string", *, secret: bool = False) -> Field:
    return Field(name, text, kind, required=True, secret=secret)


def _secret(name: str, text: str, kind: str = "string") -> Field:
    return Field(name, text, kind, secret=True)


_METHOD = Field("method", "How it is called.", default="POST", choices=("GET", "POST", "PUT", "PATCH", "DELETE"))
_REGION = Field("region_name", "Where the account is.", default="us", choices=("us", "eu"))
_BASEPATH = _needed("basepath", "The folder below which everything is.")

SCHEMAS: dict[str, tuple[Capabilities, tuple[Field, ...]]] = {
    "azure": (FILES, (
        _needed("bucket_path", "The container, and the folder in it."),
        _secret("azure_storage_connection_string", "How to connect; or the account and its key."),
        _secret("azure_storage_account_name", "The account."),
        _secret("azure_storage_account_key", "Its key."),
    )),
    "custom-webhook": (NOTIFY, (
        _needed("name", "What it is called in {{name}}."),
        _needed("url", "The address, with {{subject}}, {{body}} and secrets wherever they belong.", secret=True),
        _METHOD,
        Field("params", "What follows the question mark.", "object"),
        Field("json_data", "The content as JSON.", "object"),
        Field("form_data", "Or the content as a form.", "object"),
        Field("headers", "Headers of the request.", "object"),
        Field("cookies", "Cookies of the request.", "object"),
        _secret("secrets", "Values for places of the same name.", "object"),
    )),
    "date-time": ((), (_needed("value", "A moment: 2026-11-21T09:00:00+01:00."),)),
    "discord-webhook": (NOTIFY, (
        _needed("webhook_id", "The first part of the address after /webhooks/.", secret=True),
        _needed("webhook_token", "The second part.", secret=True),
        Field("botname", "Who seems to write."),
    )),
    "docker-container": (RUNS, (
        Field("image", "The image that the container is made of."),
        Field("command", "What is run in it.", "texts"),
        Field("env", "Variables of its environment.", "object"),
    )),
    "docker-registry": ((), (
        _needed("registry_url", "Where the images are."),
        _needed("username", "Who logs in."),
        _needed("password", "The password.", secret=True),
    )),
    "gcs": (FILES, (
        _needed("bucket_path", "The bucket, and the folder in it."),
        _secret("service_account_info", "The key of the service account, as JSON."),
        Field("project", "The project."),
    )),
    "github": (("get-directory",), (
        _needed("repository", "The address of the repository."),
        Field("reference", "A branch or a tag."),
        _secret("access_token", "A token that may read it."),
    )),
    "json": ((), (_needed("value", "Any value.", "any"),)),
    "kubernetes-cluster-config": ((), (
        _needed("config", "The cluster's configuration.", "object", secret=True),
        _needed("context_name", "The context of it."),
    )),
    "kubernetes-job": (RUNS, (
        Field("image", "The image of the job."),
        Field("namespace", "Where it runs.", default="default"),
        Field("env", "Variables of its environment.", "object"),
    )),
    "local-file-system": (FILES, (Field("basepath", "The folder below which everything is."),)),
    "mattermost-webhook": (NOTIFY, (
        _needed("hostname", "The server: chat.example.org."),
        _needed("token", "The last part of the webhook's address.", secret=True),
        Field("botname", "Who seems to write."),
        Field("channels", "One channel, if not the webhook's own.", "texts"),
        Field("path", "What stands before /hooks in the address."),
        Field("port", "The port, if not that of https.", "integer"),
    )),
    "ms-teams-webhook": (NOTIFY, (_needed("url", "The address of the workflow or webhook.", secret=True),)),
    "opsgenie-webhook": (NOTIFY, (
        _needed("apikey", "The key of the integration.", secret=True),
        _REGION,
        Field("target_user", "Users to alert.", "texts"),
        Field("target_team", "Teams to alert.", "texts"),
        Field("target_schedule", "Schedules to alert.", "texts"),
        Field("target_escalation", "Escalations to begin.", "texts"),
        Field("priority", "From 1 to 5.", default="3"),
        Field("tags", "Tags of the alert.", "texts"),
        Field("alias", "What makes alerts one; otherwise each message is its own."),
        Field("entity", "What it is about."),
        Field("details", "More about it.", "object"),
    )),
    "pager-duty-webhook": (NOTIFY, (
        _needed("integration_key", "The key of the service's integration.", secret=True),
        _secret("api_key", "A key of the account; not needed for events."),
        Field("notify_type", "How bad it is.", default="info", choices=("info", "success", "warning", "failure")),
        _REGION,
        Field("source", "Where it comes from.", default="Orion"),
        Field("component", "Which part."),
        Field("group", "Of which group."),
        Field("class_id", "Of which class."),
        Field("clickable_url", "A link to show."),
        Field("custom_details", "More about it.", "object"),
    )),
    "process": (RUNS, (
        Field("command", "What is run.", "texts"),
        Field("env", "Variables of its environment.", "object"),
        Field("working_dir", "Where it runs."),
    )),
    "remote-file-system": (FILES, (
        _BASEPATH,
        _secret("settings", "What fsspec is told about it, such as keys.", "object"),
    )),
    "result-location": ((), (
        _needed("url", "A folder that the machines of runs share, or an address such as s3://bucket/results."),
        _secret("options", "What its file system is told, such as endpoint_url, key and secret.", "object"),
    )),
    "s3": (FILES, (
        _needed("bucket_path", "The bucket, and the folder in it."),
        _secret("aws_access_key_id", "The key's id."),
        _secret("aws_secret_access_key", "The key."),
    )),
    "secret": ((), (Field("value", "", required=True, secret=True),)),
    "sendgrid-email": (NOTIFY, (
        _needed("api_key", "A key that may send.", secret=True),
        _needed("sender_email", "Who writes."),
        _needed("to_emails", "Who is written to.", "texts"),
    )),
    "slack-webhook": (NOTIFY, (_needed("url", "The address of the incoming webhook.", secret=True),)),
    "smb": (FILES, (
        _needed("share_path", "The share, and the folder in it."),
        _needed("smb_host", "The server."),
        Field("smb_port", "Its port.", "integer"),
        _secret("smb_username", "Who logs in."),
        _secret("smb_password", "The password."),
    )),
    "string": ((), (_needed("value", "A text."),)),
    "twilio-sms": (NOTIFY, (
        _needed("account_sid", "The account."),
        _needed("auth_token", "Its token.", secret=True),
        _needed("from_phone_number", "Who writes."),
        _needed("to_phone_numbers", "Who is written to.", "texts"),
    )),
    "webhook": (NOTIFY, (
        _METHOD,
        _needed("url", "The address.", secret=True),
        _secret("headers", "Headers of the request.", "object"),
    )),
}  # fmt: skip


def fields_of(slug: str, title: str) -> dict[str, Any]:
    """Return the schema of a built-in type, in the form in which clients register theirs."""
    _, fields = SCHEMAS[slug]
    if slug == "secret":
        # Exactly as the SDK registers it, so that both are the same schema.
        properties = {"value": {"title": "Value", "type": "string", "writeOnly": True, "format": "password"}}
    else:
        properties = {field.name: field.schema() for field in fields}
    required = [field.name for field in fields if field.required]
    return {
        "title": title.replace(" ", ""),
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "secret_fields": [field.secret_path for field in fields if field.secret],
        "block_type_slug": slug,
        "block_schema_references": {},
    }
