"""What can be wrong with requests about what flows share by name: variables and blocks."""

from __future__ import annotations

from orchestration.errors.kinds import Conflict, DomainError, NotFound, Protected


class VariableNotFound(NotFound):
    code = "variable_not_found"
    message = "Variable not found."


class BlockTypeNotFound(NotFound):
    code = "block_type_not_found"
    message = "Block type {id} not found."


class BlockSchemaNotFound(NotFound):
    code = "block_schema_not_found"
    message = "Block schema {id} not found."


class BlockDocumentNotFound(NotFound):
    code = "block_document_not_found"
    message = "Block document {id} not found."


class VariableExists(Conflict):
    code = "variable_exists"
    message = "There already is a variable with the name {name!r}; change that one."


class BlockTypeExists(Conflict):
    code = "block_type_exists"
    message = "There already is a block type with the slug {slug!r}; change that one."


class BlockDocumentExists(Conflict):
    code = "block_document_exists"
    message = "There already is a block of this type with the name {name!r}; change that one."


class SchemaOfAnotherType(Conflict):
    code = "block_schema_of_another_type"
    message = "Block schema {id} belongs to another block type; name a schema of the document's own type."


class BlockHoldsItself(Conflict):
    code = "block_holds_itself"
    message = "Block document {id} would hold itself through its references; refer to another one."


class SecretsUnreadable(Conflict):
    """The key that sealed a block is not among those that this server has."""

    code = "block_secrets_unreadable"
    message = (
        "The secrets of block document {id} were sealed with a key that this server does not have; "
        "give it back in ORION_ENCRYPTION_KEYS or in the file {file}, or save the block anew."
    )


class BlockTypeProtected(Protected):
    code = "block_type_protected"
    # Clients know it by these very words.
    message = "protected block types cannot be deleted."


class BlockSchemaProtected(Protected):
    code = "block_schema_protected"
    message = "Programs count on the block type {slug!r}: it is protected, and its schemas cannot be deleted."


class BadBlockReference(DomainError):
    code = "bad_block_reference"
    message = "{reason}"
