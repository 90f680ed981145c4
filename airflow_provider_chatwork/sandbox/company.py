"""The accounts, rooms and messages that every new sandbox contains."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.store import Account, ContactRequest, Room, Store

ORGANIZATION_ID = 101
ORGANIZATION = "株式会社あおぞら商店"

#: The account of the sandbox's token, and its colleagues.
BOT = 1_001_001
YAMADA = 1_001_002
SATO = 1_001_003
SUZUKI = 1_001_004
TAKAHASHI = 1_001_005
#: Sent the bot a contact request, and is not a contact yet.
TANAKA = 1_002_001

#: Group chats in which the bot is an administrator, a member and a read-only member.
DATA_ROOM = 400_000_101
SALES_ROOM = 400_000_102
NOTICE_ROOM = 400_000_103
#: A group chat that the bot is not a member of.
PRIVATE_ROOM = 400_000_104

_ACCOUNTS = (
    (BOT, "データ連携ボット", "aozora-bot", "データ基盤チーム", "Bot"),
    (YAMADA, "山田 太郎", "aozora-yamada", "データ基盤チーム", "リーダー"),
    (SATO, "佐藤 花子", "aozora-sato", "営業部", "課長"),
    (SUZUKI, "鈴木 一郎", "aozora-suzuki", "経理部", "主任"),
    (TAKAHASHI, "高橋 美咲", "aozora-takahashi", "データ基盤チーム", "エンジニア"),
)
_JAPAN = timezone(timedelta(hours=9))
_HOUR = 3600
_DAY = 24 * _HOUR


def load_company(store: Store, now: float) -> None:
    """Fill an empty store with accounts, contacts, rooms and the messages of the last two days.

    :param now: Unix time in seconds.
    """
    for account_id, name, chatwork_id, department, title in _ACCOUNTS:
        mail = f"{chatwork_id}@example.com"
        store.accounts[account_id] = Account(
            account_id, name, chatwork_id, ORGANIZATION_ID, ORGANIZATION, department, title, mail=mail, login_mail=mail
        )
    store.accounts[TANAKA] = Account(
        TANAKA, "田中 健", "midori-tanaka", 102, "みどり物流株式会社", "配送センター", mail="tanaka@example.org"
    )
    _create_rooms(store, now)
    store.requests[300_000_101] = ContactRequest(
        300_000_101, TANAKA, BOT, "みどり物流の田中です。よろしくお願いします。"
    )
    _post_messages(store, now)


def _create_rooms(store: Store, now: float) -> None:
    changes = RoomChanges(store, now - 2 * _DAY)
    for offset, account_id in enumerate([*(account[0] for account in _ACCOUNTS), TANAKA]):
        room_id = 400_000_001 + offset
        store.rooms[room_id] = Room(room_id, "マイチャット", "my", {account_id: "admin"})
    groups = (
        (DATA_ROOM, "データ基盤", "project", "バッチの結果と障害のお知らせ", (BOT, YAMADA), (TAKAHASHI, SATO), ()),
        (SALES_ROOM, "営業レポート", "business", "毎朝 9 時に前日の売上", (SATO,), (BOT, YAMADA, SUZUKI), ()),
        (NOTICE_ROOM, "全社お知らせ", "event", "", (SUZUKI,), (YAMADA, SATO, TAKAHASHI), (BOT,)),
        (PRIVATE_ROOM, "経理だけの部屋", "security", "", (SUZUKI,), (SATO,), ()),
    )
    for room_id, name, icon, description, admins, members, readers in groups:
        roles = {**dict.fromkeys(admins, "admin"), **dict.fromkeys(members, "member")}
        roles.update(dict.fromkeys(readers, "readonly"))
        room = Room(room_id, name, "group", roles, description, icon)
        store.rooms[room_id] = room
        changes.add_message(
            room, admins[0], "[info][title][dtext:chatroom_groupchat_created][/title][/info]", system=True
        )
    for account_id in (YAMADA, SATO, SUZUKI, TAKAHASHI):
        changes.add_contact(BOT, account_id)
    store.rooms[DATA_ROOM].sticky.add(BOT)


def _post_messages(store: Store, now: float) -> None:
    data, sales, notice = (store.rooms[room_id] for room_id in (DATA_ROOM, SALES_ROOM, NOTICE_ROOM))
    yesterday = datetime.fromtimestamp(now - _DAY, _JAPAN).date().isoformat()

    def at(ago: float) -> RoomChanges:
        return RoomChanges(store, now - ago)

    at(26 * _HOUR).add_message(data, YAMADA, "[toall]\n今週から夜間バッチの結果はこの部屋に流れます。")
    failed = at(25 * _HOUR).add_message(
        data,
        BOT,
        f"[To:{TAKAHASHI}] 高橋 美咲さん\n[info][title]失敗: 売上集計 / load_orders[/title]"
        "ConnectionError: 接続がタイムアウトしました[hr]試行 2 / 3 回[/info]"
        f"[code]SELECT count(*) FROM orders WHERE day = '{yesterday}'[/code]",
    )
    at(24.5 * _HOUR).add_message(
        data,
        TAKAHASHI,
        f"[rp aid={BOT} to={DATA_ROOM}-{failed.message_id}]データ連携ボットさん\nDB の保守でした。再実行します (bow)",
    )
    deadline = int(now) + _DAY
    at(24 * _HOUR).add_tasks(data, BOT, [TAKAHASHI, YAMADA], "売上集計の再実行結果を確認する", deadline, "time")
    done = at(23 * _HOUR).add_tasks(data, YAMADA, [SATO], "見たい指標を一覧にする", 0, "none")
    at(20 * _HOUR).set_task_status(data, done[0], SATO, "done")
    report = Upload("売上_前日.csv", f"日付,店舗,売上\n{yesterday},札幌,120000\n{yesterday},那覇,98000\n".encode())
    at(3 * _HOUR).add_file(sales, BOT, report, "前日の売上です。")
    at(2 * _HOUR).add_message(
        sales,
        SATO,
        f"[qt][qtmeta aid={BOT} time={int(now) - 3 * _HOUR}]前日の売上です。[/qt]\nありがとうございます。"
        f"\n[To:{BOT}] 那覇の内訳もお願いします。 https://example.com/dashboard?shop=naha",
    )
    at(2 * _HOUR).add_tasks(sales, SATO, [BOT], "那覇の内訳を出す", deadline, "date")
    at(1 * _HOUR).add_message(
        notice, SUZUKI, "[toall]\n[info][title]経費精算[/title]締め切りは[hr]月末の 17 時です。[/info]"
    )
    at(0.5 * _HOUR).add_message(store.rooms[store.contacts[BOT][YAMADA]], YAMADA, "今日のバッチは順調ですか？")
