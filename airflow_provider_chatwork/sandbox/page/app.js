// The page: rooms, one open room, its tasks and files. It redraws what changed when the sandbox says so.

import { element, plain, render } from "./notation.js";
import { clock, day, deadline, language, say, switchLanguage } from "./texts.js";

const $ = (id) => document.getElementById(id);
const state = { view: null, room: null, message: null, reply: null, drawn: {}, speakers: {} };

const people = {
  find: (id) => state.view.accounts.find((account) => account.account_id === Number(id)),
  name: (id) => people.find(id)?.name ?? `#${id}`,
  avatar(id, size) {
    const known = people.find(id);
    const name = people.name(id);
    return known
      ? element("img", { className: "avatar", src: `/sandbox/avatars/${id}.svg`, alt: name, title: name, width: size, height: size })
      : element("span", { className: "avatar unknown", textContent: "?", title: name });
  },
};

async function order(name, given) {
  const answer = await fetch(`/sandbox/${name}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given),
  });
  if (!answer.ok) throw new Error((await answer.json()).errors.join(" "));
  return answer.json();
}

let loading = null;
let again = false;

// While one load is on its way further wishes are kept to one more: a burst of changes makes two loads, not fifty.
async function load() {
  if (loading) {
    again = true;
    return loading;
  }
  loading = (async () => {
    do {
      again = false;
      const answer = await fetch(`/sandbox/view?room_id=${state.room ?? ""}`);
      state.view = await answer.json();
    } while (again);
  })();
  try {
    await loading;
  } finally {
    loading = null;
  }
  draw();
}

function readHash() {
  const found = /^#!rid(\d+)(?:-(\d+))?$/.exec(location.hash);
  const before = state.room;
  state.room = found ? Number(found[1]) : null;
  state.message = found?.[2] ?? null;
  if (state.room !== before) {
    setReply(null);
    state.drawn = {};
  }
  document.body.dataset.view = state.room ? "room" : "list";
  document.body.classList.remove("side-open");
  $("show-side").ariaExpanded = "false";
}

// Redraws a part only if what it shows changed, and gives the focus back to what had it.
function redraw(part, shown, make) {
  const key = JSON.stringify([language, shown]);
  if (state.drawn[part.id] === key) return false;
  state.drawn[part.id] = key;
  const focused = part.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  part.replaceChildren(...make());
  if (focused) part.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  return true;
}

function draw() {
  const { view } = state;
  document.documentElement.lang = language;
  for (const [id, key] of Object.entries({
    "language": "language", "send": "send", "cancel-reply": "cancel", "speaker-label": "speaker",
    "mention-label": "mention", "show-side": "side", "tasks-title": "tasks", "files-title": "files",
  })) $(id).textContent = say(key);
  $("body").placeholder = say("write");
  $("body").ariaLabel = say("write");
  $("rooms").ariaLabel = say("group");
  redraw($("rooms"), [view.rooms, state.room], drawRooms);
  const listed = view.rooms.find((room) => room.room_id === state.room);
  const room = listed && view.room?.room_id === state.room ? view.room : null;
  $("room-name").textContent = listed ? title(listed) : "Chatwork sandbox";
  $("room-description").textContent = listed ? listed.description : say(state.room ? "missing" : "choose");
  document.title = listed ? `${title(listed)} - Chatwork sandbox` : "Chatwork sandbox";
  redraw($("room-members"), listed?.roles, () => (listed ? Object.keys(listed.roles).map((id) => people.avatar(id, 28)) : []));
  drawComposer(listed);
  drawMessages(room);
  redraw($("tasks"), [room?.tasks, view.accounts], () => drawTasks(room));
  redraw($("files"), room?.files, () => drawFiles(room));
}

const title = (room) => (room.type === "my" ? `${say("my")} (${room.name})` : room.name);

function drawRooms() {
  const groups = [["group", []], ["direct", []], ["my", []]];
  for (const room of state.view.rooms) groups.find(([type]) => type === room.type)?.[1].push(room);
  return groups.filter(([, rooms]) => rooms.length).flatMap(([type, rooms]) => [
    element("h2", { textContent: say(type) }),
    element("ul", {}, ...rooms.sort((one, other) => other.last_update_time - one.last_update_time).map(drawListed)),
  ]);
}

function drawListed(room) {
  const other = Object.keys(room.roles).find((id) => Number(id) !== state.view.bot) ?? Object.keys(room.roles)[0];
  const icon = room.type === "group"
    ? element("img", { src: `/sandbox/icons/${encodeURIComponent(room.icon)}.svg`, alt: "", width: 36, height: 36 })
    : people.avatar(other, 36);
  const link = element("a", { href: `#!rid${room.room_id}`, data: { key: `room-${room.room_id}` } },
    icon,
    element("span", { className: "listed" },
      element("span", { className: "listed-name", textContent: room.type === "my" ? people.name(other) : room.name }),
      element("span", { className: "listed-last", textContent: plain(room.last_body, people) })));
  if (room.task_num) link.append(element("span", { className: "count", textContent: `✓ ${room.task_num}`, title: `${say("tasks")}: ${room.task_num}` }));
  if (room.room_id === state.room) link.ariaCurrent = "page";
  return element("li", {}, link);
}

function drawMessages(room) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const first = state.drawn.messages === undefined;
  const changed = redraw(list, [state.room, room?.messages, room?.tasks, room?.files, state.view.accounts], () => {
    if (!room) return [];
    if (!room.messages.length) return [element("li", { className: "nothing", textContent: say("empty") })];
    let shownDay = null;
    return room.messages.flatMap((message) => {
      const item = drawMessage(room, message);
      const itsDay = day(message.send_time);
      if (itsDay === shownDay) return [item];
      shownDay = itsDay;
      return [element("li", { className: "day" }, element("span", { textContent: itsDay })), item];
    });
  });
  if (room && (first || state.message)) {
    const wanted = state.message && list.querySelector(`[data-message="${CSS.escape(state.message)}"]`);
    if (wanted) {
      list.querySelector(".wanted")?.classList.remove("wanted");
      wanted.classList.add("wanted");
      wanted.scrollIntoView({ block: "center" });
      state.message = null;
      return;
    }
  }
  if (changed && (first || atEnd)) list.scrollTop = list.scrollHeight;
}

function drawMessage(room, message) {
  const author = people.find(message.account_id);
  const address = `#!rid${room.room_id}-${message.message_id}`;
  const head = element("div", { className: "message-head" },
    element("span", { className: "author", textContent: people.name(message.account_id) }),
    element("span", { className: "department", textContent: author?.organization_name ?? "" }));
  if (message.account_id === state.view.bot) head.append(element("span", { className: "badge bot", textContent: say("bot") }));
  const when = element("a", { className: "when", href: address, title: say("link"), data: { key: `when-${message.message_id}` } },
    element("time", { textContent: clock(message.send_time), title: day(message.send_time) }));
  head.append(when);
  if (message.update_time && !message.deleted) {
    head.append(element("span", { className: "edited", textContent: say("edited"), title: `${day(message.update_time)} ${clock(message.update_time)}` }));
  }
  const body = element("div", { className: "body" });
  if (message.deleted) {
    body.append(element("em", { textContent: say("deleted") }));
  } else {
    body.append(...render(message.body, people, {
      file: (id) => room.files.find((file) => file.file_id === Number(id)),
      tasks: room.tasks.filter((task) => task.message_id === message.message_id),
      checkbox,
    }));
    head.append(element("button", {
      type: "button", className: "quiet reply", textContent: `↩ ${say("reply")}`, data: { key: `reply-${message.message_id}` },
      onclick: () => setReply(message),
    }));
  }
  return element("li", { className: "message", data: { message: message.message_id } },
    people.avatar(message.account_id, 40), element("div", { className: "said" }, head, body));
}

function checkbox(task, where) {
  const room = state.room;
  return element("input", {
    type: "checkbox", className: "tick", checked: task.status === "done", ariaLabel: `${say("done")}: ${task.body}`,
    data: { key: `${where}-${task.task_id}` },
    onchange: ({ target }) => order(target.checked ? "tick" : "untick", { room_id: room, task_id: task.task_id }).catch(complain),
  });
}

function drawTasks(room) {
  if (!room?.tasks.length) return [element("li", { className: "nothing", textContent: say("noTasks") })];
  const order = [...room.tasks].sort((one, other) => (one.status === "done") - (other.status === "done") || one.task_id - other.task_id);
  return order.map((task) => {
    const late = task.status === "open" && task.limit_time && task.limit_time < state.view.now;
    const due = task.limit_time ? `${say(late ? "overdue" : "due")} ${deadline(task)}` : say("noDue");
    return element("li", { className: task.status === "done" ? "task done" : "task" },
      checkbox(task, "task"), people.avatar(task.account_id, 28),
      element("div", {},
        element("a", { className: "task-body", href: `#!rid${room.room_id}-${task.message_id}`, data: { key: `goto-${task.task_id}` } },
          plain(task.body, people)),
        element("small", { textContent: people.name(task.account_id) }),
        element("small", { className: late ? "late" : "", textContent: due }),
        element("small", { textContent: `${say("by")} ${people.name(task.assigned_by_account_id)}` })));
  });
}

function drawFiles(room) {
  if (!room?.files.length) return [element("li", { className: "nothing", textContent: say("noFiles") })];
  return [...room.files].reverse().map((file) => element("li", {},
    element("a", { className: "download", href: `/sandbox/files/${file.file_id}`, download: file.filename, textContent: file.filename, data: { key: `file-${file.file_id}` } }),
    element("small", { textContent: `${people.name(file.account_id)} · ${day(file.upload_time)} · ${size(file.filesize)}` })));
}

const size = (bytes) => (bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1048576).toFixed(1)} MB`);

function drawComposer(room) {
  $("composer").hidden = !room;
  if (!room) return;
  const may = Object.keys(room.roles).filter((id) => room.roles[id] !== "readonly");
  if (redraw($("speaker"), [room.room_id, may], () => may.map((id) => new Option(people.name(id), id)))) {
    $("speaker").value = state.speakers[room.room_id] ?? may.find((id) => Number(id) !== state.view.bot) ?? may[0] ?? "";
  }
  redraw($("mention"), [room.room_id, Object.keys(room.roles)], () => [
    new Option(say("nobody"), ""), new Option(say("everybody"), "[toall]\n"),
    ...Object.keys(room.roles).map((id) => new Option(people.name(id), `[To:${id}] ${people.name(id)}さん\n`)),
  ]);
  $("send").disabled = !may.length;
}

function setReply(message) {
  state.reply = message;
  $("replying").hidden = !message;
  if (!message) return;
  $("replying-to").textContent = `↩ ${say("replyingTo")}: ${people.name(message.account_id)} - ${plain(message.body, people).slice(0, 60)}`;
  $("body").focus();
}

function complain(error) {
  $("problem").hidden = false;
  $("problem").textContent = `${say("failed")}: ${error.message}`;
}

async function send(event) {
  event.preventDefault();
  const body = $("body").value;
  if (!body.trim()) return;
  const given = { room_id: state.room, account_id: Number($("speaker").value), body };
  $("send").disabled = true;
  try {
    await (state.reply ? order("reply", { ...given, message_id: state.reply.message_id }) : order("speak", given));
    $("problem").hidden = true;
    $("body").value = "";
    setReply(null);
    $("messages").scrollTop = $("messages").scrollHeight;
  } catch (error) {
    complain(error);
  } finally {
    $("send").disabled = false;
    $("body").focus();
  }
}

function watch() {
  const events = new EventSource("/sandbox/events");
  const show = (live) => {
    $("live").textContent = say(live ? "live" : "offline");
    $("live").classList.toggle("off", !live);
  };
  events.onopen = () => show(true);
  events.onerror = () => show(false);
  events.onmessage = () => load().catch(() => show(false));
}

$("composer").addEventListener("submit", send);
$("body").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  if (event.key === "Escape") setReply(null);
});
$("cancel-reply").addEventListener("click", () => setReply(null));
$("speaker").addEventListener("change", ({ target }) => { state.speakers[state.room] = target.value; });
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
  // Opened without a room on a wide window, the liveliest room is a better start than an empty pane.
  const liveliest = state.view.rooms.filter((room) => room.type === "group").sort((one, other) => other.task_num - one.task_num)[0];
  if (!state.room && liveliest && matchMedia("(min-width: 700px)").matches) location.replace(`#!rid${liveliest.room_id}`);
});
watch();
