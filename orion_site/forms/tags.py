"""Template filters for forms."""

from __future__ import annotations

from django import forms, template
from django.forms.boundfield import BoundField

register = template.Library()


@register.filter
def wrong_fields(form: forms.Form) -> list[BoundField]:
    return [field for field in form.visible_fields() if field.errors]
