"""The connection form of Airflow 2.11 to 3.1, built from the declaration in ``provider_info.py``."""

from __future__ import annotations

from typing import Any

from airflow_provider_chatwork.provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR


def connection_form_widgets() -> dict[str, Any]:
    """The fields of the extra, as WTForms fields."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import IntegerField, PasswordField, StringField
    from wtforms.validators import Optional

    widgets = {}
    for name, declared in CONNECTION_FIELDS.items():
        schema = declared["schema"]
        if schema.get("format") == "password":
            field, widget = PasswordField, BS3PasswordFieldWidget()
        else:
            field, widget = (IntegerField if "integer" in schema["type"] else StringField), BS3TextFieldWidget()
        widgets[name] = field(
            lazy_gettext(declared["label"]),
            widget=widget,
            validators=[Optional()],
            description=declared["description"],
        )
    return widgets


def ui_field_behaviour() -> dict[str, Any]:
    """The standard fields that the form hides, renames and fills with examples."""
    return {name.replace("-", "_"): value for name, value in FIELD_BEHAVIOUR.items()}
