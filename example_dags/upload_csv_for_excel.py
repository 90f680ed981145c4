"""Upload a CSV file in cp932 (Shift_JIS), the encoding that Japanese Excel expects."""

from __future__ import annotations

import csv
import io

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.operators.files import ChatworkUploadFileOperator

# A room of the sandbox. Replace it here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000102}

with DAG("chatwork_upload_csv_for_excel", schedule=None, params=PARAMS, doc_md=__doc__, tags=["chatwork"]):

    @task
    def report() -> str:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([("店舗", "担当", "売上"), ("札幌", "髙橋", 120_000), ("那覇", "山﨑", 98_000)])
        return text.getvalue()

    ChatworkUploadFileOperator(
        task_id="upload",
        room_id="{{ params.room_id }}",
        content=report(),
        encoding="cp932",
        # Airflow's dates are in UTC; Japan is nine hours ahead.
        filename="売上_{{ (dag_run.start_date + macros.timedelta(hours=9)) | ds_nodash }}.csv",
        message="今日の売上です。",
    )
