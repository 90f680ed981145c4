"""The provider's metadata for Airflow, with the fields of the connection form.

Every Airflow process loads this module, so it imports little. Airflow 3.2 and later build the connection form from it.
For older versions the hook builds the form from :data:`CONNECTION_FIELDS` and :data:`FIELD_BEHAVIOUR`.

The fields declare no ``default``: Airflow's form would store it in the connection when somebody edits another field,
and a new default of a later release would not reach that connection. An empty field means the default; it is stored as
``null`` or not at all. Every field can be ``null``, because the form would otherwise require a value.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

CONNECTION_TYPE: Final = "chatwork"
HOOK_NAME: Final = "Chatwork"

#: The standard fields of the form, in the spelling of the provider info (``hidden-fields``, ``relabeling``,
#: ``placeholders``).
FIELD_BEHAVIOUR: Final[dict[str, Any]] = {
    "hidden-fields": ["schema", "login", "port"],
    "relabeling": {"password": "API token", "host": "API base URL"},
    "placeholders": {
        "password": "Chatwork: Service integration > API token",
        "host": "https://api.chatwork.com/v2",
    },
}

#: The fields of the form that are stored in the connection's extra, by their key: ``label``, ``description`` and the
#: JSON ``schema`` of the value. ``type`` is always the real type and ``null``; ``format: password`` marks a secret.
CONNECTION_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "default_room_id": {
        "label": "Default room",
        "description": (
            "Number of the room for everything without a room of its own. It is the number after #!rid in the URL of "
            "the room."
        ),
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "A call fails after so many seconds without an answer; an upload after at least 60. Empty: 20.",
        "schema": {"type": ["number", "null"], "minimum": 0.1},
    },
    "max_wait": {
        "label": "Longest wait (seconds)",
        "description": (
            "How long one call may wait in total between its tries, for a rate limit or for an outage of Chatwork. "
            "Empty: 300, the whole window of the rate limit."
        ),
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "proxy": {
        "label": "Proxy URL",
        "description": (
            "Proxy for the calls to Chatwork, such as http://proxy.example.com:8080. Empty: the one of the environment "
            "(HTTPS_PROXY, NO_PROXY)."
        ),
        "schema": {"type": ["string", "null"], "format": "url"},
    },
    "timezone": {
        "label": "Time zone",
        "description": (
            "Time zone, as an IANA name, of due dates, business days, quiet hours, since, and the times in alerts. "
            "Empty: Asia/Tokyo."
        ),
        "schema": {"type": ["string", "null"], "examples": ["Asia/Tokyo", "UTC"]},
    },
    "lang": {
        "label": "Language",
        "description": "Of alerts, reminders and questions: ja or en. Empty: ja.",
        "schema": {"type": ["string", "null"], "examples": ["ja", "en"]},
    },
    "routing": {
        "label": "Routing of alerts (JSON)",
        "description": "The room and the mentions of each alert, as JSON. Empty: the settings of each notifier.",
        "schema": {"type": ["string", "null"], "format": "multiline"},
    },
    "webhook_token": {
        "label": "Webhook token",
        "description": (
            "Token of a Chatwork webhook, from its edit page, to verify its events. It is not the API token, and only "
            "needed to receive webhooks."
        ),
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "web_url": {
        "label": "Web URL",
        "description": (
            "The URL of Chatwork in a browser, for the links in Airflow. Empty: https://www.chatwork.com. "
            "KDDI Chatwork: https://kcw.kddi.ne.jp."
        ),
        "schema": {
            "type": ["string", "null"],
            "format": "url",
            "examples": ["https://www.chatwork.com", "https://kcw.kddi.ne.jp"],
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the metadata: the entry point ``apache_airflow_provider`` names this function.

    :return: a dict that follows ``airflow/provider_info.schema.json``. It has no ``plugins``: the entry point
        ``airflow.plugins`` loads the plugin, and Airflow warns if a plugin is registered twice.
    """
    name = "Chatwork"
    package = "airflow_provider_chatwork"
    return {
        "package-name": "airflow-provider-chatwork",
        "name": name,
        "description": (
            "`Chatwork <https://go.chatwork.com/>`__: post messages, tasks and files, send alerts, and let a DAG wait "
            "for people."
        ),
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://developer.chatwork.com/docs",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{package}.hooks.chatwork.ChatworkHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": deepcopy(FIELD_BEHAVIOUR),
                "conn-fields": deepcopy(CONNECTION_FIELDS),
            }
        ],
        "operators": [
            {
                "integration-name": name,
                "python-modules": [
                    f"{package}.operators.approval",
                    f"{package}.operators.files",
                    f"{package}.operators.messages",
                    f"{package}.operators.tasks",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": name,
                "python-modules": [f"{package}.sensors.messages", f"{package}.sensors.tasks"],
            }
        ],
        "hooks": [{"integration-name": name, "python-modules": [f"{package}.hooks.chatwork"]}],
        "triggers": [
            {
                "integration-name": name,
                "python-modules": [
                    f"{package}.triggers.approval",
                    f"{package}.triggers.messages",
                    f"{package}.triggers.task_completion",
                    f"{package}.triggers.tasks",
                ],
            }
        ],
        "config": {
            "chatwork": {
                "description": "Alerts that are sent to Chatwork.",
                "options": {
                    "alerts": {
                        "description": (
                            "Whether notifiers send alerts from this Airflow: on, off, or the number of a room that "
                            "gets all alerts without mentions, for test environments."
                        ),
                        "version_added": "1.0.0",
                        "type": "string",
                        "example": "off",
                        "default": "on",
                    },
                    "alert_failed_runs": {
                        "description": "Send an alert for every DAG run that fails, whatever its DAG declares.",
                        "version_added": "1.0.0",
                        "type": "boolean",
                        "example": "True",
                        "default": "False",
                    },
                    "alert_conn_id": {
                        "description": "The connection for these alerts.",
                        "version_added": "1.0.0",
                        "type": "string",
                        "example": "chatwork_alerts",
                        "default": "chatwork_default",
                    },
                },
            }
        },
        "notifications": [f"{package}.notifications.chatwork.ChatworkNotifier"],
        "extra-links": [f"{package}.links.ChatworkRoomLink", f"{package}.links.ChatworkMessageLink"],
    }
