"""The form for all preferences of a browser."""

from __future__ import annotations

from typing import Any

from django import forms

from orion_site.preferences.reader import DENSITIES, THEMES, UTC, Preferences, zones


class PreferencesForm(forms.Form):
    """Choices for this browser only."""

    theme = forms.ChoiceField(choices=list(THEMES.items()), widget=forms.RadioSelect)
    density = forms.ChoiceField(
        choices=list(DENSITIES.items()),
        widget=forms.RadioSelect,
        help_text="Compact shows about a third more rows on a screen.",
    )
    zone = forms.ChoiceField(
        required=False,
        label="Time zone",
        help_text="The browser's own zone needs scripts; without them times are in UTC.",
    )
    keys = forms.BooleanField(required=False, label="Single keys do something, such as j, k and g r; ? lists them")
    reloads = forms.BooleanField(
        required=False, label="Without scripts, the page of a run that moves is loaded again every 15 s"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(one, one.replace("_", " ")) for one in zones()]
        self.fields["zone"].choices = [("", "As the browser"), (UTC, UTC), ("Zones by name", named)]  # type: ignore[attr-defined]

    @classmethod
    def showing(cls, preferences: Preferences) -> PreferencesForm:
        shown = {name: getattr(preferences, name) for name in cls.base_fields}
        return cls(initial=shown)

    def preferences(self, before: Preferences) -> Preferences:
        """Return the chosen preferences. With UTC, the other zone is kept for the switch in the header."""
        chosen: dict[str, Any] = dict(self.cleaned_data)
        zone = chosen.pop("zone")
        in_utc = zone == UTC
        home_zone = before.home_zone if in_utc else zone
        return Preferences(**chosen, in_utc=in_utc, home_zone=home_zone, default_views=before.default_views)
