// Parses Chatwork's notation into a tree and draws the tree as DOM nodes.
// No part of a message is parsed as HTML. Text becomes text nodes; only http(s) URLs become links.

import { clock, day, deadline, label, systemText } from "./texts.js";

const TAG = new RegExp(
  "\\[(?:" +
    "(?<close>/(?:info|title|code|qt|download|task|url))" +
    "|(?<block>info|title|code|qt|url|download:\\d+|task(?:\\s+[a-z]+=\\w+)+)" +
    "|(?<leaf>hr|toall|to:\\d+|rp aid=\\d+(?: to=\\d+-\\d+)?|qtmeta aid=\\d+(?: time=\\d+)?|picon:\\d+|piconname:\\d+" +
    "|pname:\\d+|preview id=\\d+(?: ht=\\d+)?|dtext:\\w+)" +
  ")\\]", "gi");
const URL_OR_EMOTICON = /(https?:\/\/[^\s<>"'()（）「」、。]+)|(\((?:bow|y|\*|sweat|cracker|F|\^|roger|clap|ok)\)|:\)|:D|8-\))/g;
const EMOTICONS = {
  "(bow)": "🙇", "(y)": "👍", "(*)": "⭐", "(sweat)": "😅", "(cracker)": "🎉", "(F)": "🌸", "(^)": "🎂",
  "(roger)": "🫡", "(clap)": "👏", "(ok)": "🙆", ":)": "🙂", ":D": "😄", "8-)": "😎",
};
const BLOCKS = new Set(["info", "code", "qt", "task", "hr"]);

/** Returns the tree of a body: strings and {name, attributes, children}. A tag that is not closed stays text. */
export function parse(body) {
  const stack = [{ name: "", opening: "", children: [] }];
  const add = (child) => stack.at(-1).children.push(child);
  const closeAsText = () => {
    const open = stack.pop();
    stack.at(-1).children.push(open.opening, ...open.children);
  };
  let last = 0;
  for (const match of body.matchAll(TAG)) {
    const { close, block, leaf } = match.groups;
    const name = (close?.slice(1) ?? block ?? leaf).split(/[:\s]/)[0].toLowerCase();
    // Inside [code] only [/code] is a tag.
    if (stack.some((open) => open.name === "code") && !(close && name === "code")) continue;
    if (close && !stack.some((open) => open.name === name)) continue;
    if (match.index > last) add(body.slice(last, match.index));
    last = match.index + match[0].length;
    if (leaf) {
      add({ name, attributes: attributes(leaf), children: [] });
    } else if (block) {
      stack.push({ name, opening: match[0], attributes: attributes(block), children: [] });
    } else {
      while (stack.at(-1).name !== name) closeAsText();
      const { children, attributes: attrs } = stack.pop();
      add({ name, attributes: attrs, children });
    }
    if (BLOCKS.has(name) && (close || leaf) && body[last] === "\n") last += 1;
  }
  add(body.slice(last));
  while (stack.length > 1) closeAsText();
  return stack[0].children;
}

function attributes(inside) {
  const pairs = Object.fromEntries([...inside.matchAll(/([a-z]+)=([\w-]+)/gi)].map((pair) => [pair[1].toLowerCase(), pair[2]]));
  const colon = /^[a-z]+:(\w+)$/i.exec(inside);
  return colon ? { ...pairs, value: colon[1] } : pairs;
}

/** Returns a body as one line of plain text, for the list of rooms. */
export function plain(body, people) {
  const text = (nodes) => nodes.map((node) => {
    if (typeof node === "string") return node;
    if (node.name === "dtext") return systemText(node.attributes.value);
    if (node.name === "to" || node.name === "pname" || node.name === "piconname") return people.name(node.attributes.value);
    return text(node.children);
  }).join(" ");
  return text(parse(body)).replace(/\s+/g, " ").trim();
}

/** Returns an element; `properties` are set on it, `children` are nodes or text. */
export function element(tag, properties = {}, ...children) {
  const { data, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, data ?? {});
  node.append(...children);
  return node;
}

/** Returns the DOM nodes of a body. `people` has names and avatars, `context` the files and tasks of the message. */
export function render(body, people, context) {
  const cards = [...(context.tasks ?? [])];
  const draw = (node) => {
    if (typeof node === "string") return linkify(node);
    const drawTag = DRAW[node.name];
    return [drawTag(node.attributes, node.children.flatMap(draw), { people, context, cards, raw: node.children })];
  };
  return parse(body).flatMap(draw);
}

function linkify(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(URL_OR_EMOTICON)) {
    nodes.push(text.slice(last, match.index));
    last = match.index + match[0].length;
    const [matched, url] = match;
    nodes.push(url
      ? element("a", { href: url, textContent: url, target: "_blank", rel: "noopener noreferrer" })
      : element("span", { className: "emoticon", title: matched, textContent: EMOTICONS[matched] ?? matched }));
  }
  nodes.push(text.slice(last));
  return nodes.filter((node) => node !== "");
}

const badge = (className, text, title) => element("span", { className: `badge ${className}`, textContent: text, title });

const DRAW = {
  info: (_, children) => element("div", { className: "info" }, ...children),
  title: (_, children) => element("div", { className: "info-title" }, ...children),
  code: (_, __, { raw }) => element("pre", { className: "code" }, element("code", { textContent: raw.join("") })),
  hr: () => element("hr"),
  url: (_, children) => element("span", {}, ...children),
  toall: () => badge("to all", "TO ALL", label("everybody")),
  to: ({ value }, _, { people }) => element("span", { className: "mention" }, people.avatar(value, 18), badge("to", "TO", people.name(value))),
  rp({ aid, to }, _, { people }) {
    const badges = [people.avatar(aid, 18), badge("re", "RE", people.name(aid))];
    return to
      ? element("a", { className: "mention", href: `#!rid${to}`, title: label("replied") }, ...badges)
      : element("span", { className: "mention" }, ...badges);
  },
  qt: (_, children) => element("blockquote", {}, ...children),
  qtmeta({ aid, time }, _, { people }) {
    const sentAt = time ? `${day(time)} ${clock(time)}` : "";
    return element("div", { className: "quote-head" }, people.avatar(aid, 18), people.name(aid), " ", element("time", { textContent: sentAt }));
  },
  picon: ({ value }, _, { people }) => people.avatar(value, 22),
  pname: ({ value }, _, { people }) => element("span", { textContent: people.name(value) }),
  piconname: ({ value }, _, { people }) => element("span", { className: "mention" }, people.avatar(value, 22), people.name(value)),
  preview({ id }, _, { context }) {
    const file = context.file(id);
    return file?.image
      ? element("img", { className: "preview", src: `/sandbox/files/${id}`, alt: file.filename, loading: "lazy" })
      : document.createTextNode("");
  },
  download: ({ value }, children, { context }) => context.file(value)
    ? element("a", { className: "download", href: `/sandbox/files/${value}`, download: context.file(value).filename }, "📄 ", ...children)
    : element("span", { className: "download" }, "📄 ", ...children),
  task({ aid, st, lt, ltype }, children, { people, context, cards }) {
    const knownTask = cards.shift();
    const task = knownTask ?? { account_id: aid, status: st, limit_time: Number(lt), limit_type: ltype };
    const due = task.limit_time ? `${label("due")} ${deadline(task)}` : label("noDue");
    return element("div", { className: `card ${task.status === "done" ? "done" : ""}` },
      knownTask ? context.checkbox(knownTask, "card") : element("span", { className: "checkbox", textContent: task.status === "done" ? "☑" : "☐" }),
      people.avatar(task.account_id, 22),
      element("div", {}, element("div", {}, ...children), element("small", { textContent: `${people.name(task.account_id)} · ${due}` })));
  },
  dtext: ({ value }) => document.createTextNode(systemText(value)),
};
