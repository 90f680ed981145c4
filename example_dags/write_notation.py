"""Write Chatwork's notation in templates: call people by name, frame a text, quote a log, draw a line.

``safe`` and ``code`` make text from elsewhere harmless: Chatwork has no escape, and a ``[toall]`` in it would act.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# The room and the people of the sandbox: put your own here, or into the form when you trigger the DAG.
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

with DAG("chatwork_write_notation", schedule=None, params=PARAMS, doc_md=__doc__, tags=["chatwork"]):
    ChatworkPostMessageOperator(task_id="tell", room_id="{{ params.room_id }}", body=BODY)
