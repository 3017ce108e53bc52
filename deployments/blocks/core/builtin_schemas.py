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


_METHOD = Field("method", "The HTTP method.", default="POST", choices=("GET", "POST", "PUT", "PATCH", "DELETE"))
_REGION = Field("region_name", "The region of the account.", default="us", choices=("us", "eu"))
_BASEPATH = _needed("basepath", "The root folder; paths are relative to it.")

SCHEMAS: dict[str, tuple[Capabilities, tuple[Field, ...]]] = {
    "azure": (FILES, (
        _needed("bucket_path", "The container, and the folder in it."),
        _secret("azure_storage_connection_string", "The connection string, unless account and key are set."),
        _secret("azure_storage_account_name", "The name of the storage account."),
        _secret("azure_storage_account_key", "The key of the storage account."),
    )),
    "custom-webhook": (NOTIFY, (
        _needed("name", "The name of the webhook, used for {{name}}."),
        _needed("url", "The address. Placeholders: {{subject}}, {{body}}, {{name}} and secrets.", secret=True),
        _METHOD,
        Field("params", "The query parameters of the address.", "object"),
        Field("json_data", "The body of the request as JSON.", "object"),
        Field("form_data", "The body of the request as form fields, instead of JSON.", "object"),
        Field("headers", "Headers of the request.", "object"),
        Field("cookies", "Cookies of the request.", "object"),
        _secret("secrets", "Secret values that replace placeholders of the same name.", "object"),
    )),
    "date-time": ((), (_needed("value", "A date and time, such as 2026-11-21T09:00:00+01:00."),)),
    "discord-webhook": (NOTIFY, (
        _needed("webhook_id", "The part of the webhook's address after /webhooks/, up to the next slash.", secret=True),
        _needed("webhook_token", "The last part of the webhook's address.", secret=True),
        Field("botname", "The name that is shown as the sender."),
    )),
    "docker-container": (RUNS, (
        Field("image", "The image of the container."),
        Field("command", "The command that the container runs.", "texts"),
        Field("env", "Environment variables.", "object"),
    )),
    "docker-registry": ((), (
        _needed("registry_url", "The address of the registry."),
        _needed("username", "The user name."),
        _needed("password", "The password.", secret=True),
    )),
    "gcs": (FILES, (
        _needed("bucket_path", "The bucket, and the folder in it."),
        _secret("service_account_info", "The key of the service account, as JSON."),
        Field("project", "The Google Cloud project."),
    )),
    "github": (("get-directory",), (
        _needed("repository", "The address of the repository."),
        Field("reference", "A branch or a tag."),
        _secret("access_token", "A token that may read the repository."),
    )),
    "json": ((), (_needed("value", "Any value.", "any"),)),
    "kubernetes-cluster-config": ((), (
        _needed("config", "The kubeconfig of the cluster.", "object", secret=True),
        _needed("context_name", "The context of the kubeconfig to use."),
    )),
    "kubernetes-job": (RUNS, (
        Field("image", "The image of the job."),
        Field("namespace", "The namespace of the job.", default="default"),
        Field("env", "Environment variables.", "object"),
    )),
    "local-file-system": (FILES, (Field("basepath", "The root folder; paths are relative to it."),)),
    "mattermost-webhook": (NOTIFY, (
        _needed("hostname", "The host name of the server, such as chat.example.org."),
        _needed("token", "The last part of the webhook's address.", secret=True),
        Field("botname", "The name that is shown as the sender."),
        Field("channels", "The channel to send to, instead of the webhook's own.", "texts"),
        Field("path", "The part of the path before /hooks in the webhook's address."),
        Field("port", "The port, if it is not 443.", "integer"),
    )),
    "ms-teams-webhook": (NOTIFY, (_needed("url", "The address of the workflow or webhook.", secret=True),)),
    "opsgenie-webhook": (NOTIFY, (
        _needed("apikey", "The key of the integration.", secret=True),
        _REGION,
        Field("target_user", "Users to alert.", "texts"),
        Field("target_team", "Teams to alert.", "texts"),
        Field("target_schedule", "Schedules to alert.", "texts"),
        Field("target_escalation", "Escalations to start.", "texts"),
        Field("priority", "The priority of the alert, from 1 (highest) to 5.", default="3"),
        Field("tags", "Tags of the alert.", "texts"),
        Field("alias", "Messages with the same alias are one alert. Without an alias, each message is a new alert."),
        Field("entity", "What the alert is about, such as a server or an application."),
        Field("details", "Further properties of the alert.", "object"),
    )),
    "pager-duty-webhook": (NOTIFY, (
        _needed("integration_key", "The key of the service's integration.", secret=True),
        _secret("api_key", "An API key of the account. Sending events does not need it."),
        Field("notify_type", "The severity.", default="info", choices=("info", "success", "warning", "failure")),
        _REGION,
        Field("source", "The source of the event.", default="Orion"),
        Field("component", "The component of the source that is affected."),
        Field("group", "The group of components that it belongs to."),
        Field("class_id", "The class of the event."),
        Field("clickable_url", "A link to show with the event."),
        Field("custom_details", "Further details of the event.", "object"),
    )),
    "process": (RUNS, (
        Field("command", "The command to run.", "texts"),
        Field("env", "Environment variables.", "object"),
        Field("working_dir", "The working directory."),
    )),
    "remote-file-system": (FILES, (
        _BASEPATH,
        _secret("settings", "Options for the fsspec file system, such as keys.", "object"),
    )),
    "result-location": ((), (
        _needed("url", "A folder that the machines of runs share, or an address such as s3://bucket/results."),
        _secret("options", "Options for the file system, such as endpoint_url, key and secret.", "object"),
    )),
    "s3": (FILES, (
        _needed("bucket_path", "The bucket, and the folder in it."),
        _secret("aws_access_key_id", "The access key ID."),
        _secret("aws_secret_access_key", "The secret access key."),
    )),
    "secret": ((), (Field("value", "", required=True, secret=True),)),
    "sendgrid-email": (NOTIFY, (
        _needed("api_key", "An API key that may send mail.", secret=True),
        _needed("sender_email", "The address of the sender."),
        _needed("to_emails", "The addresses of the recipients.", "texts"),
    )),
    "slack-webhook": (NOTIFY, (_needed("url", "The address of the incoming webhook.", secret=True),)),
    "smb": (FILES, (
        _needed("share_path", "The share, and the folder in it."),
        _needed("smb_host", "The host name of the server."),
        Field("smb_port", "The port of the server.", "integer"),
        _secret("smb_username", "The user name."),
        _secret("smb_password", "The password."),
    )),
    "string": ((), (_needed("value", "A text."),)),
    "twilio-sms": (NOTIFY, (
        _needed("account_sid", "The SID of the account."),
        _needed("auth_token", "The token of the account.", secret=True),
        _needed("from_phone_number", "The phone number of the sender."),
        _needed("to_phone_numbers", "The phone numbers of the recipients.", "texts"),
    )),
    "webhook": (NOTIFY, (
        _METHOD,
        _needed("url", "The address of the webhook.", secret=True),
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
