"""Variables and blocks, which flows share by name."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from runs.models import NAME, Row

VARIABLE_NAME = RegexValidator(r"^[a-z0-9_]+$", "may hold lower-case letters, digits and underscores")
SLUG = RegexValidator(r"^[a-z0-9-]+$", "may hold lower-case letters, digits and dashes")


class Variable(Row):
    """A short text with a name, which flows read and users change."""

    name = models.CharField(max_length=255, unique=True, validators=[VARIABLE_NAME])
    value = models.TextField()
    tags = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class BlockType(Row):
    """A kind of configuration that a program defines: a storage, a credential, a message."""

    name = models.CharField(max_length=255, validators=[NAME])
    slug = models.CharField(max_length=255, unique=True, validators=[SLUG])
    logo_url = models.TextField(null=True, blank=True)
    documentation_url = models.TextField(null=True, blank=True)
    description = models.TextField(null=True, blank=True)
    code_example = models.TextField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class BlockSchema(Row):
    """The fields of a block type in one version of a program, identified by their checksum."""

    block_type = models.ForeignKey(BlockType, on_delete=models.CASCADE, related_name="schemas")
    checksum = models.CharField(max_length=255)
    fields = models.JSONField(default=dict)
    capabilities = models.JSONField(default=list)
    version = models.CharField(max_length=255, default="non-versioned")

    class Meta:
        ordering = ["-created"]
        constraints = [models.UniqueConstraint(fields=["checksum", "version"], name="one_schema_per_version")]

    def __str__(self) -> str:
        return f"{self.checksum} ({self.version})"


class BlockDocument(Row):
    """One filled-in block. `content` is what every user may see; the whole content with its secrets is sealed."""

    name = models.CharField(max_length=255, validators=[SLUG])
    block_type = models.ForeignKey(BlockType, on_delete=models.CASCADE, related_name="documents", db_index=False)
    block_schema = models.ForeignKey(BlockSchema, on_delete=models.CASCADE, related_name="documents")
    content = models.JSONField(default=dict)
    # Encrypted. Null if there are no secrets; then no key is needed to read the block.
    sealed = models.TextField(null=True, editable=False)
    is_anonymous = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["block_type", "name"], name="one_document_name_per_type")]

    def __str__(self) -> str:
        return self.name


class BlockReference(models.Model):
    """A field of one document that is filled with another document."""

    parent = models.ForeignKey(BlockDocument, on_delete=models.CASCADE, related_name="references", db_index=False)
    name = models.CharField(max_length=255)
    document = models.ForeignKey(BlockDocument, on_delete=models.CASCADE, related_name="referenced_by")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["parent", "name"], name="one_reference_per_field")]

    def __str__(self) -> str:
        return f"{self.parent_id}.{self.name}"
