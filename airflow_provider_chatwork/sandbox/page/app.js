// The page: the list of rooms, one open room, its tasks and files. Each server-sent event reloads and redraws it.

import { element, plain, render } from "./notation.js";
import { clock, day, deadline, label, language, switchLanguage } from "./texts.js";

const $ = (id) => document.getElementById(id);
const state = { live: null, view: null, room: null, message: null, replyTo: null, drawnKeys: {}, senders: {} };

const people = {
  find: (id) => state.view.accounts.find((account) => account.account_id === Number(id)),
  name: (id) => people.find(id)?.name ?? `#${id}`,
  avatar(id, size) {
    const account = people.find(id);
    const name = people.name(id);
    return account
      ? element("img", { className: "avatar", src: `/sandbox/avatars/${id}.svg`, alt: name, title: name, width: size, height: size })
      : element("span", { className: "avatar unknown", textContent: "?", title: name });
  },
};

async function sendCommand(name, parameters) {
  const response = await fetch(`/sandbox/${name}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(parameters),
  });
  if (!response.ok) throw new Error((await response.json()).errors.join(" "));
  return response.json();
}

let currentLoad = null;
let reloadNeeded = false;

// Calls during a load lead to one more load at its end, so a burst of changes makes two requests, not fifty.
async function load() {
  if (currentLoad) {
    reloadNeeded = true;
    return currentLoad;
  }
  currentLoad = (async () => {
    do {
      reloadNeeded = false;
      const response = await fetch(`/sandbox/view?room_id=${state.room ?? ""}`);
      state.view = await response.json();
    } while (reloadNeeded);
  })();
  try {
    await currentLoad;
  } finally {
    currentLoad = null;
  }
  draw();
}

function readHash() {
  const match = /^#!rid(\d+)(?:-(\d+))?$/.exec(location.hash);
  const previousRoom = state.room;
  state.room = match ? Number(match[1]) : null;
  state.message = match?.[2] ?? null;
  if (state.room !== previousRoom) {
    setReply(null);
    state.drawnKeys = {};
  }
  document.body.dataset.view = state.room ? "room" : "list";
  document.body.classList.remove("side-open");
  $("show-side").ariaExpanded = "false";
}

// Redraws a part only if its data changed, and restores the keyboard focus.
function redraw(part, data, createNodes) {
  const key = JSON.stringify([language, data]);
  if (state.drawnKeys[part.id] === key) return false;
  state.drawnKeys[part.id] = key;
  const focused = part.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  part.replaceChildren(...createNodes());
  if (focused) part.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  return true;
}

function draw() {
  const { view } = state;
  document.documentElement.lang = language;
  for (const [id, key] of Object.entries({
    "language": "language", "send": "send", "cancel-reply": "cancel", "sender-label": "sender",
    "mention-label": "mention", "show-side": "side", "tasks-title": "tasks", "files-title": "files",
  })) $(id).textContent = label(key);
  drawStatus();
  $("body").placeholder = label("write");
  $("body").ariaLabel = label("write");
  $("rooms").ariaLabel = label("group");
  redraw($("rooms"), [view.rooms, state.room], drawRooms);
  const summary = view.rooms.find((room) => room.room_id === state.room);
  const room = summary && view.room?.room_id === state.room ? view.room : null;
  $("room-name").textContent = summary ? title(summary) : "Chatwork sandbox";
  $("room-description").textContent = summary ? summary.description : label(state.room ? "missing" : "choose");
  document.title = summary ? `${title(summary)} - Chatwork sandbox` : "Chatwork sandbox";
  redraw($("room-members"), summary?.roles, () => (summary ? Object.keys(summary.roles).map((id) => people.avatar(id, 28)) : []));
  drawComposer(summary);
  drawMessages(room);
  redraw($("tasks"), [room?.tasks, view.accounts], () => drawTasks(room));
  redraw($("files"), room?.files, () => drawFiles(room));
}

const title = (room) => (room.type === "my" ? `${label("my")} (${room.name})` : room.name);

function drawRooms() {
  const groups = [["group", []], ["direct", []], ["my", []]];
  for (const room of state.view.rooms) groups.find(([type]) => type === room.type)?.[1].push(room);
  return groups.filter(([, rooms]) => rooms.length).flatMap(([type, rooms]) => [
    element("h2", { textContent: label(type) }),
    element("ul", {}, ...rooms.sort((a, b) => b.last_update_time - a.last_update_time).map(drawRoomLink)),
  ]);
}

function drawRoomLink(room) {
  const other = Object.keys(room.roles).find((id) => Number(id) !== state.view.bot) ?? Object.keys(room.roles)[0];
  const icon = room.type === "group"
    ? element("img", { src: `/sandbox/icons/${encodeURIComponent(room.icon)}.svg`, alt: "", width: 36, height: 36 })
    : people.avatar(other, 36);
  const link = element("a", { href: `#!rid${room.room_id}`, data: { key: `room-${room.room_id}` } },
    icon,
    element("span", { className: "room-summary" },
      element("span", { className: "room-summary-name", textContent: room.type === "my" ? people.name(other) : room.name }),
      element("span", { className: "room-summary-last", textContent: plain(room.last_body, people) })));
  if (room.task_num) link.append(element("span", { className: "count", textContent: `✓ ${room.task_num}`, title: `${label("tasks")}: ${room.task_num}` }));
  if (room.room_id === state.room) link.ariaCurrent = "page";
  return element("li", {}, link);
}

function drawMessages(room) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const first = state.drawnKeys.messages === undefined;
  const changed = redraw(list, [state.room, room?.messages, room?.tasks, room?.files, state.view.accounts], () => {
    if (!room) return [];
    if (!room.messages.length) return [element("li", { className: "empty", textContent: label("empty") })];
    let lastDay = null;
    return room.messages.flatMap((message) => {
      const item = drawMessage(room, message);
      const messageDay = day(message.send_time);
      if (messageDay === lastDay) return [item];
      lastDay = messageDay;
      return [element("li", { className: "day" }, element("span", { textContent: messageDay })), item];
    });
  });
  if (room && (first || state.message)) {
    const target = state.message && list.querySelector(`[data-message="${CSS.escape(state.message)}"]`);
    if (target) {
      list.querySelector(".target")?.classList.remove("target");
      target.classList.add("target");
      target.scrollIntoView({ block: "center" });
      state.message = null;
      return;
    }
  }
  if (changed && (first || atEnd)) list.scrollTop = list.scrollHeight;
}

function drawMessage(room, message) {
  const author = people.find(message.account_id);
  const url = `#!rid${room.room_id}-${message.message_id}`;
  const head = element("div", { className: "message-head" },
    element("span", { className: "author", textContent: people.name(message.account_id) }),
    element("span", { className: "department", textContent: author?.organization_name ?? "" }));
  if (message.account_id === state.view.bot) head.append(element("span", { className: "badge bot", textContent: label("bot") }));
  const timeLink = element("a", { className: "message-time", href: url, title: label("link"), data: { key: `time-${message.message_id}` } },
    element("time", { textContent: clock(message.send_time), title: day(message.send_time) }));
  head.append(timeLink);
  if (message.update_time && !message.deleted) {
    head.append(element("span", { className: "edited", textContent: label("edited"), title: `${day(message.update_time)} ${clock(message.update_time)}` }));
  }
  const body = element("div", { className: "body" });
  if (message.deleted) {
    body.append(element("em", { textContent: label("deleted") }));
  } else {
    body.append(...render(message.body, people, {
      file: (id) => room.files.find((file) => file.file_id === Number(id)),
      tasks: room.tasks.filter((task) => task.message_id === message.message_id),
      checkbox,
    }));
    head.append(element("button", {
      type: "button", className: "quiet reply", textContent: `↩ ${label("reply")}`, data: { key: `reply-${message.message_id}` },
      onclick: () => setReply(message),
    }));
  }
  return element("li", { className: "message", data: { message: message.message_id } },
    people.avatar(message.account_id, 40), element("div", { className: "message-content" }, head, body));
}

function checkbox(task, place) {
  const room = state.room;
  return element("input", {
    type: "checkbox", className: "checkbox", checked: task.status === "done", ariaLabel: `${label("done")}: ${task.body}`,
    data: { key: `${place}-${task.task_id}` },
    onchange: ({ target }) => sendCommand(target.checked ? "complete_task" : "reopen_task", { room_id: room, task_id: task.task_id }).catch(showError),
  });
}

function drawTasks(room) {
  if (!room?.tasks.length) return [element("li", { className: "empty", textContent: label("noTasks") })];
  const sorted = [...room.tasks].sort((a, b) => (a.status === "done") - (b.status === "done") || a.task_id - b.task_id);
  return sorted.map((task) => {
    const overdue = task.status === "open" && task.limit_time && task.limit_time < state.view.now;
    const due = task.limit_time ? `${label(overdue ? "overdue" : "due")} ${deadline(task)}` : label("noDue");
    return element("li", { className: task.status === "done" ? "task done" : "task" },
      checkbox(task, "task"), people.avatar(task.account_id, 28),
      element("div", {},
        element("a", { className: "task-body", href: `#!rid${room.room_id}-${task.message_id}`, data: { key: `goto-${task.task_id}` } },
          plain(task.body, people)),
        element("small", { textContent: people.name(task.account_id) }),
        element("small", { className: overdue ? "overdue" : "", textContent: due }),
        element("small", { textContent: `${label("by")} ${people.name(task.assigned_by_account_id)}` })));
  });
}

function drawFiles(room) {
  if (!room?.files.length) return [element("li", { className: "empty", textContent: label("noFiles") })];
  return [...room.files].reverse().map((file) => element("li", {},
    element("a", { className: "download", href: `/sandbox/files/${file.file_id}`, download: file.filename, textContent: file.filename, data: { key: `file-${file.file_id}` } }),
    element("small", { textContent: `${people.name(file.account_id)} · ${day(file.upload_time)} · ${size(file.filesize)}` })));
}

const size = (bytes) => (bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1048576).toFixed(1)} MB`);

function drawComposer(room) {
  $("composer").hidden = !room;
  if (!room) return;
  const posters = Object.keys(room.roles).filter((id) => room.roles[id] !== "readonly");
  if (redraw($("sender"), [room.room_id, posters], () => posters.map((id) => new Option(people.name(id), id)))) {
    $("sender").value = state.senders[room.room_id] ?? posters.find((id) => Number(id) !== state.view.bot) ?? posters[0] ?? "";
  }
  redraw($("mention"), [room.room_id, Object.keys(room.roles)], () => [
    new Option(label("nobody"), ""), new Option(label("everybody"), "[toall]\n"),
    ...Object.keys(room.roles).map((id) => new Option(people.name(id), `[To:${id}] ${people.name(id)}さん\n`)),
  ]);
  $("send").disabled = !posters.length;
}

function setReply(message) {
  state.replyTo = message;
  $("replying").hidden = !message;
  if (!message) return;
  $("replying-to").textContent = `↩ ${label("replyingTo")}: ${people.name(message.account_id)} - ${plain(message.body, people).slice(0, 60)}`;
  $("body").focus();
}

function showError(error) {
  $("error").hidden = false;
  $("error").textContent = `${label("failed")}: ${error.message}`;
}

async function send(event) {
  event.preventDefault();
  const body = $("body").value;
  if (!body.trim()) return;
  const message = { room_id: state.room, account_id: Number($("sender").value), body };
  $("send").disabled = true;
  try {
    await (state.replyTo
      ? sendCommand("reply", { ...message, message_id: state.replyTo.message_id })
      : sendCommand("post_message", message));
    $("error").hidden = true;
    $("body").value = "";
    setReply(null);
    $("messages").scrollTop = $("messages").scrollHeight;
  } catch (error) {
    showError(error);
  } finally {
    $("send").disabled = false;
    $("body").focus();
  }
}

function drawStatus() {
  if (state.live === null) return;
  $("live").textContent = label(state.live ? "live" : "offline");
  $("live").classList.toggle("off", !state.live);
}

function watch() {
  const events = new EventSource("/sandbox/events");
  const showStatus = (live) => {
    state.live = live;
    drawStatus();
  };
  events.onopen = () => showStatus(true);
  events.onerror = () => showStatus(false);
  events.onmessage = () => load().catch(() => showStatus(false));
}

$("composer").addEventListener("submit", send);
$("body").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  if (event.key === "Escape") setReply(null);
});
$("cancel-reply").addEventListener("click", () => setReply(null));
$("sender").addEventListener("change", ({ target }) => { state.senders[state.room] = target.value; });
$("mention").addEventListener("change", ({ target }) => {
  const body = $("body");
  body.setRangeText(target.value, body.selectionStart, body.selectionEnd, "end");
  target.value = "";
  body.focus();
});
$("language").addEventListener("click", () => { switchLanguage(); draw(); });
$("show-side").addEventListener("click", () => {
  $("show-side").ariaExpanded = String(document.body.classList.toggle("side-open"));
});
window.addEventListener("hashchange", () => { readHash(); load(); });

readHash();
load().then(() => {
  // A wide window opened without a room shows the group chat with the most open tasks.
  const busiest = state.view.rooms.filter((room) => room.type === "group").sort((a, b) => b.task_num - a.task_num)[0];
  if (!state.room && busiest && matchMedia("(min-width: 700px)").matches) location.replace(`#!rid${busiest.room_id}`);
});
watch();
