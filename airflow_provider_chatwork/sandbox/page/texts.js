// The texts of the page in Japanese and English, and those of Chatwork's [dtext:...] tags.

const JA = {
  language: "English", live: "接続中", offline: "再接続しています…", my: "マイチャット", group: "グループチャット",
  direct: "ダイレクトチャット", choose: "左の一覧から部屋を選んでください。", missing: "この部屋はありません。",
  empty: "まだメッセージはありません。", tasks: "タスク", files: "ファイル", noTasks: "タスクはありません",
  noFiles: "ファイルはありません", done: "完了", due: "期限", noDue: "期限なし", overdue: "期限切れ",
  by: "依頼者", reply: "返信", replyingTo: "返信先", cancel: "やめる", sender: "発言者", mention: "宛先", nobody: "なし",
  everybody: "全員", write: "メッセージを入力（Ctrl+Enter で送信）", send: "送信", edited: "編集済み",
  deleted: "このメッセージは削除されました", side: "タスクとファイル", link: "このメッセージへのリンク",
  failed: "送信できませんでした", bot: "Bot", replied: "返信元",
};
const EN = {
  language: "日本語", live: "Live", offline: "Reconnecting…", my: "My chat", group: "Group chats",
  direct: "Direct chats", choose: "Choose a room from the list.", missing: "There is no such room.",
  empty: "No messages yet.", tasks: "Tasks", files: "Files", noTasks: "No tasks", noFiles: "No files",
  done: "Done", due: "Due", noDue: "No deadline", overdue: "Overdue", by: "by", reply: "Reply",
  replyingTo: "Replying to", cancel: "Cancel", sender: "Send as", mention: "To", nobody: "nobody",
  everybody: "everybody", write: "Write a message (Ctrl+Enter sends)", send: "Send", edited: "edited",
  deleted: "This message was deleted", side: "Tasks and files", link: "Link to this message",
  failed: "Not sent", bot: "Bot", replied: "Original message",
};
const SYSTEM_JA = {
  task_added: "タスクを追加しました。", task_edited: "タスクを変更しました。", task_done: "タスクを完了しました。",
  task_deleted: "タスクを削除しました。", file_uploaded: "ファイルをアップロードしました。",
  chatroom_member_is: "メンバー ", chatroom_added: " を追加しました。", chatroom_leaved: " が退席しました。",
  chatroom_deleted: " を削除しました。", chatroom_chat_joined: "チャットに参加しました。",
  chatroom_groupchat_created: "グループチャットを作成しました。", chatroom_description_is: "概要: ",
  chatroom_changed: "チャットの情報を変更しました。", chatroom_set: " に設定しました。",
};
const SYSTEM_EN = {
  task_added: "Task added", task_edited: "Task changed", task_done: "Task completed", task_deleted: "Task deleted",
  file_uploaded: "File uploaded", chatroom_member_is: "Member ", chatroom_added: " was added.",
  chatroom_leaved: " left.", chatroom_deleted: " was removed.", chatroom_chat_joined: "joined the chat.",
  chatroom_groupchat_created: "Group chat created", chatroom_description_is: "Description: ",
  chatroom_changed: "Chat information changed", chatroom_set: " was set.",
};

const KEY = "chatwork-sandbox-language";

export let language = localStorage.getItem(KEY) ?? (navigator.language.startsWith("ja") ? "ja" : "en");

export function switchLanguage() {
  language = language === "ja" ? "en" : "ja";
  localStorage.setItem(KEY, language);
}

export const label = (key) => (language === "ja" ? JA : EN)[key] ?? key;

export const systemText = (key) => (language === "ja" ? SYSTEM_JA : SYSTEM_EN)[key] ?? `[${key}]`;

export function day(seconds) {
  return new Date(seconds * 1000).toLocaleDateString(language, { year: "numeric", month: "long", day: "numeric", weekday: "short" });
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
}

export function deadline(task) {
  const date = new Date(task.limit_time * 1000);
  const format = { month: "numeric", day: "numeric", weekday: "short" };
  if (task.limit_type === "time") Object.assign(format, { hour: "2-digit", minute: "2-digit" });
  return date.toLocaleString(language, format);
}
