"""What Airflow learns about this provider without importing it, and the one place that states the connection form.

Every Airflow process loads this module, so it imports next to nothing. Airflow 3.2 and later draw the connection form
from what is declared here; for older ones the hook derives its form from :data:`CONNECTION_FIELDS` and
:data:`FIELD_BEHAVIOUR`.

The fields declare no ``default`` on purpose: Airflow's form would write it into the connection as soon as somebody
edits any other field, and a default of a later release would never reach that connection. An empty field means the
default; it is stored as ``null`` or not at all. Every field can be ``null``, as the form would otherwise insist on a
value.
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

#: The fields of the form that are kept in the connection's extra, by their key there: ``label``, ``description`` and
#: the JSON ``schema`` of the value. ``type`` is always a pair of the real type and ``null``; ``format: password`` marks
#: a secret.
CONNECTION_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "default_room_id": {
        "label": "Default room",
        "description": (
            "Number of the room for everything that names no room of its own. It stands behind #!rid in the address of "
            "the opened room."
        ),
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "How long Chatwork may be silent before a call fails; at least 60 for an upload. Empty: 20.",
        "schema": {"type": ["number", "null"], "minimum": 0.1},
    },
    "max_wait": {
        "label": "Longest wait (seconds)",
        "description": (
            "How long one call may wait in all, between its tries, for a rate limit to end or for Chatwork to recover. "
            "Empty: 300, the whole window of the rate limit."
        ),
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "proxy": {
        "label": "Proxy URL",
        "description": (
            "Proxy for the calls to Chatwork, such as http://proxy.example.com:8080. Empty: what the environment says "
            "(HTTPS_PROXY, NO_PROXY)."
        ),
        "schema": {"type": ["string", "null"], "format": "url"},
    },
    "timezone": {
        "label": "Time zone",
        "description": (
            "Where days and hours are meant, as an IANA name: due dates, business days, quiet hours, since, and the "
            "times in alerts. Empty: Asia/Tokyo."
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
        "description": "Which alert goes to which room and calls whom, as JSON. Empty: what each notifier says.",
        "schema": {"type": ["string", "null"], "format": "multiline"},
    },
    "webhook_token": {
        "label": "Webhook token",
        "description": (
            "Token of a Chatwork webhook, from its edit page, to verify what it sends. It is not the API token, and "
            "only needed to receive webhooks."
        ),
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "web_url": {
        "label": "Web URL",
        "description": (
            "Where people open Chatwork in a browser, for the links from Airflow. Empty: https://www.chatwork.com. "
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
    """Describe the provider to Airflow: the object of the entry point ``apache_airflow_provider``.

    :return: a dict as ``airflow/provider_info.schema.json`` wants it. ``plugins`` is left out, as the entry point
        ``airflow.plugins`` always loads the plugin, and Airflow warns of one that is registered twice.
    """
    name = "Chatwork"
    package = "airflow_provider_chatwork"
    return {
        "package-name": "airflow-provider-chatwork",
        "name": name,
        "description": (
            "`Chatwork <https://go.chatwork.com/>`__: post messages, hand out tasks and files, raise alarms, and let a "
            "DAG wait for people."
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
                            "Whether notifiers send anything from this Airflow: on, off, or the number of a room that "
                            "gets all alerts, without calling anybody. For environments where people try things out."
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
                        "description": "The connection that these alerts go through.",
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
