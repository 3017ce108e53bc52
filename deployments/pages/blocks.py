"""Blocks: lists by type, pages with masked secrets, and forms made from the fields of their schemas.

Secrets are only ever written: the form shows a mask, and a mask that is sent back leaves the secret unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from deployments.blocks.core.blocks import secret_paths
from deployments.blocks.services.blocks import (
    NewBlockDocument,
    create_block_document,
    delete_block_document,
    update_block_document,
)
from deployments.models import BlockSchema
from deployments.pages.selectors.blocks import (
    BlockPage,
    block_page,
    blocks_page,
    nested_choices,
    newest_schema,
    types_to_make,
)
from orchestration.database_clock import current_time
from orchestration.errors import DomainError
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import SHOWN, names_changed, written
from orion_site.forms.schema_fields import fields_of, properties_of, required_of
from orion_site.forms.schema_values import Field
from orion_site.forms.sent_fields import (
    has_other_fields,
    inputs_of,
    keep_typed,
    keep_unsent,
    marks_of,
    read_fields,
    shown_texts,
    take_lines,
)
from orion_site.forms.submitting import attempt
from orionflow.contract.names import quoted
from runs.pages.filtering import address_after, address_without
from runs.pages.saved_views import begins_with_default, views_above

NAME = re.compile(r"[a-z0-9-]{1,255}")


@dataclass(slots=True)
class Nested:
    """A field that is filled with another block."""

    name: str
    is_required: bool
    choices: Sequence[tuple[str, str]]
    chosen: str = ""


@dataclass(slots=True)
class BlockForm:
    """The fields of a block's own content, and those that other blocks fill."""

    fields: list[Field]
    nested: list[Nested]
    # A path covers everything below it.
    secret_paths: Sequence[tuple[str, ...]]
    # Of the fields, before anything is read.
    marks: str
    name: str = ""
    name_error: str = ""
    problems: list[str] = field(default_factory=list)
    # Digests of the values of an existing block that the form shows.
    shown: str = ""

    @property
    def secret(self) -> frozenset[str]:
        return frozenset(path[0] for path in self.secret_paths if path)

    @property
    def has_errors(self) -> bool:
        return bool(self.problems or self.name_error or any(one.every_error for one in self.fields))

    def read(self, posted: QueryDict) -> dict[str, Any]:
        """Return the submitted content. A missing or invalid value becomes an error of its field."""
        content: dict[str, Any] = {}
        sent = posted.copy()
        keep_unsent(sent, [*shown_texts(self.fields), *((f"block/{one.name}", one.chosen) for one in self.nested)])
        take_lines(self.fields, sent)
        if has_other_fields(self.marks, sent):
            self.problems.append("This form has other fields since it was opened: look at them again.")
            keep_typed(self.fields, sent)
        else:
            content = self._own(sent)
        for other in self.nested:
            other.chosen = sent.get(f"block/{other.name}", "")
            if other.chosen:
                content[other.name] = {"$ref": {"block_document_id": other.chosen}}
            elif other.is_required:
                self.problems.append(f"Choose a block for {other.name}.")
        return content

    def _own(self, sent: QueryDict) -> dict[str, Any]:
        content = read_fields(self.fields, sent)
        for one in self.fields:
            if one.is_required and one.label not in content and not one.every_error:
                one.errors.append("This field is required.")
        return content

    def hidden(self) -> BlockForm:
        """Return the form for a page, with secrets in inputs that show no text."""
        for one in inputs_of(self.fields):
            if one.kind == "text" and any(one.path[: len(path)] == path for path in self.secret_paths):
                one.kind = "secret"
        return self


@requires(Action.READ_BLOCKS)
@begins_with_default("blocks")
def blocks(request: HttpRequest) -> HttpResponse:
    values = {name: request.GET.get(name, "").strip() for name in ("q", "type")}
    found = blocks_page(name=values["q"], slug=values["type"], after=request.GET.get("after", ""))
    context = {
        "section": "blocks",
        "views": views_above(request, "blocks"),
        "found": found,
        "values": values,
        "is_filtered": any(values.values()),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return render(request, "deployments/blocks.html", context)


@requires(Action.READ_BLOCKS)
def block(request: HttpRequest, block_id: UUID) -> HttpResponse:
    return render(request, "deployments/block.html", {"section": "blocks", "found": _found(block_id)})


@requires(Action.CHANGE_BLOCKS)
def new_block(request: HttpRequest) -> HttpResponse:
    return render(request, "deployments/block_types.html", {"section": "blocks", "types": types_to_make()})


@requires(Action.CHANGE_BLOCKS)
def new_block_of_type(request: HttpRequest, slug: str) -> HttpResponse:
    schema = newest_schema(slug)
    if schema is None:
        raise Http404
    form = _form(schema, {}, {})
    if request.method == "POST":
        content = form.read(request.POST)
        form.name = request.POST.get("name", "").strip()
        if not NAME.fullmatch(form.name):
            form.name_error = "Small letters, digits and dashes; it cannot be empty."
        if not form.has_errors and (made := _created(form, schema, content)):
            return redirect("deployments:block", made)
    context = {"section": "blocks", "form": form.hidden(), "type": schema.block_type, "is_new": True}
    return render(request, "deployments/block_form.html", context, status=422 if form.has_errors else 200)


def _created(form: BlockForm, schema: BlockSchema, content: dict[str, Any]) -> UUID | None:
    new = NewBlockDocument(
        name=form.name, content=content, block_type_id=schema.block_type_id, block_schema_id=schema.pk
    )
    try:
        return create_block_document(new=new, now=current_time()).pk
    except DomainError as error:
        if "name" in error.place:
            form.name_error = str(error)
        else:
            form.problems.append(str(error))
        return None


@requires(Action.CHANGE_BLOCKS)
def edit_block(request: HttpRequest, block_id: UUID) -> HttpResponse:
    found = _found(block_id)
    document = found.document
    chosen = {one.name: str(one.document_id) for one in found.references}
    form = _form(document.block_schema, document.content, chosen)
    values = {**document.content, **chosen}
    stored = {
        name: values.get(name) for name in [*(one.label for one in form.fields), *(one.name for one in form.nested)]
    }
    # A secret is shown as the same stars whatever it is. All of them are sealed together, whenever the block is saved.
    shown = {name: [value, document.sealed] if name in form.secret else value for name, value in stored.items()}
    form.shown = written(shown)
    if request.method == "POST":
        content = form.read(request.POST)
        sent = {**content, **{one.name: one.chosen or None for one in form.nested}}
        changed = names_changed(request.POST.get(SHOWN, ""), shown)
        form.problems += _replacing([name for name in changed if sent.get(name) != stored[name]], form.secret)
        # Keep content that the schema does not name, because it has no field.
        kept = {name: value for name, value in document.content.items() if name not in stored}
        if not form.has_errors and _updated(form, block_id, {**kept, **content}):
            return redirect("deployments:block", block_id)
    context = {"section": "blocks", "form": form.hidden(), "type": document.block_type, "document": document}
    return render(request, "deployments/block_form.html", context, status=422 if form.has_errors else 200)


def _replacing(names: Sequence[str], secret: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with values that would replace those of somebody else."""
    if seen := [name for name in names if name not in secret]:
        yield f"Meanwhile somebody changed {', '.join(seen)}; save again to replace that."
    if unseen := [name for name in names if name in secret]:
        text = ", ".join(unseen)
        yield f"Meanwhile somebody saved this block, perhaps with another {text}; save again to replace it."


def _updated(form: BlockForm, block_id: UUID, content: dict[str, Any]) -> bool:
    try:
        update_block_document(
            document_id=block_id, content=content, merge=False, block_schema_id=None, now=current_time()
        )
    except DomainError as error:
        form.problems.append(str(error))
        return False
    return True


def _form(schema: BlockSchema, content: Mapping[str, Any], chosen: Mapping[str, str]) -> BlockForm:
    slugs = _nested_types(schema.fields)
    own = {name: one for name, one in properties_of(schema.fields).items() if name not in slugs}
    required = required_of(schema.fields)
    choices = nested_choices(slugs)
    nested = [Nested(name, name in required, choices[name], chosen.get(name, "")) for name in slugs]
    secret = [tuple(path[:-1] if path[-1] == "*" else path) for path in secret_paths(schema.fields)]
    fields = fields_of({**schema.fields, "properties": own}, content)
    return BlockForm(fields, nested, secret, marks_of(fields))


def _nested_types(fields: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return, by field, the slugs of the block types that it accepts."""
    references = fields.get("block_schema_references")
    found = references.items() if isinstance(references, Mapping) else ()
    return {
        name: [str(one["block_type_slug"]) for one in _each(schema)] for name, schema in found if any(_each(schema))
    }


def _each(schema: Any) -> list[Mapping[str, Any]]:
    """Return the references of a field as a list, without those that name no type."""
    several = schema if isinstance(schema, list) else [schema]
    return [one for one in several if isinstance(one, Mapping) and one.get("block_type_slug")]


@requires(Action.CHANGE_BLOCKS)
@require_POST
def delete_block(request: HttpRequest, block_id: UUID) -> HttpResponse:
    name = _found(block_id).document.name
    attempt(request, lambda: delete_block_document(document_id=block_id), done=f"Block {quoted(name)} was deleted.")
    return redirect("deployments:blocks")


def _found(block_id: UUID) -> BlockPage:
    found = block_page(block_id)
    if found is None:
        raise Http404
    return found
