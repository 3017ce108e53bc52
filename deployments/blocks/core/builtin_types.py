"""Built-in block types, by slug: their names and descriptions.

Their fields are in `builtin_schemas`; clients that have classes for them add schemas of their own.
"""

from __future__ import annotations

BUILTIN = {
    "azure": ("Azure", "Files in a container of Azure Blob Storage."),
    "custom-webhook": ("Custom Webhook", "Tells people by any HTTP request, of which every part can be said."),
    "date-time": ("Date Time", "A moment with its time zone."),
    "discord-webhook": ("Discord Webhook", "Tells people in a channel of Discord."),
    "docker-container": ("Docker Container", "Runs a flow in a container of its own."),
    "docker-registry": ("Docker Registry", "How to log in where images are kept."),
    "gcs": ("GCS", "Files in a bucket of Google Cloud Storage."),
    "github": ("GitHub", "The files of a repository on GitHub."),
    "json": ("JSON", "Any value that JSON can hold."),
    "kubernetes-cluster-config": ("Kubernetes Cluster Config", "How to reach a cluster of Kubernetes."),
    "kubernetes-job": ("Kubernetes Job", "Runs a flow as a job of Kubernetes."),
    "local-file-system": ("Local File System", "Files below a folder of the machine that runs the flow."),
    "mattermost-webhook": ("Mattermost Webhook", "Tells people in a channel of Mattermost."),
    "ms-teams-webhook": ("Microsoft Teams Webhook", "Tells people in a channel of Microsoft Teams."),
    "opsgenie-webhook": ("Opsgenie Webhook", "Raises an alert in Opsgenie."),
    "pager-duty-webhook": ("Pager Duty Webhook", "Raises an incident in PagerDuty."),
    "process": ("Process", "Runs a flow in a process of its own on the same machine."),
    "remote-file-system": ("Remote File System", "Files on anything that fsspec can reach by an address."),
    "result-location": ("Result Location", "Where flows and deployments store results by this name."),
    "s3": ("S3", "Files in a bucket of Amazon S3."),
    "secret": ("Secret", "A text that is stored sealed and shown masked."),
    "sendgrid-email": ("Sendgrid Email", "Tells people by e-mail through SendGrid."),
    "slack-webhook": ("Slack Webhook", "Tells people in a channel of Slack."),
    "smb": ("SMB", "Files on a share of a Windows network."),
    "string": ("String", "A text."),
    "twilio-sms": ("Twilio SMS", "Tells people by text messages through Twilio."),
    "webhook": ("Webhook", "An address that is called over HTTP."),
}

# Clients look these up while they run flows, and rely on them.
PROTECTED = frozenset({"date-time", "json", "local-file-system", "process", "secret", "webhook"})


def is_protected(slug: str) -> bool:
    """Whether the type and its schemas cannot be deleted."""
    return slug in PROTECTED
