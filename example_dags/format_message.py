"""Format a message with Chatwork's notation in a template: mentions, an information box, a line and a code block.

Text from other systems can contain tags such as ``[toall]``, and Chatwork has no escape character. ``safe`` and
``code`` break these tags.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# A room and people of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {
    "room_id": 400000101,
    "on_duty": {"1001005": "高橋さん", "1001003": "佐藤さん"},
    "customer": "株式会社[toall]商事",
    "log": "WARN  3 rows skipped\n[info] is no notation here",
}

BODY = """\
{{ macros.chatwork.to(params.on_duty) }}
{% set text -%}
取り込み: {{ macros.chatwork.safe(params.customer) }}
{{ macros.chatwork.hr() -}}
{{ macros.chatwork.code(params.log) }}
{%- endset -%}
{{ macros.chatwork.info(text, title="警告 3 件") }}"""

with DAG("chatwork_format_message", schedule=None, params=PARAMS, doc_md=__doc__, tags=["chatwork"]):
    ChatworkPostMessageOperator(task_id="post_message", room_id="{{ params.room_id }}", body=BODY)
