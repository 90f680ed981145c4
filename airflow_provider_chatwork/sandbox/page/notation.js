// Chatwork's notation: text in, a tree out, and the tree as DOM nodes.
// Nothing of a message is ever parsed as HTML: text becomes text nodes, and only http(s) addresses become links.

import { clock, day, deadline, say, systemText } from "./texts.js";

const TAG = new RegExp(
  "\\[(?:" +
    "(?<close>/(?:info|title|code|qt|download|task|url))" +
    "|(?<block>info|title|code|qt|url|download:\\d+|task(?:\\s+[a-z]+=\\w+)+)" +
    "|(?<leaf>hr|toall|to:\\d+|rp aid=\\d+(?: to=\\d+-\\d+)?|qtmeta aid=\\d+(?: time=\\d+)?|picon:\\d+|piconname:\\d+" +
    "|pname:\\d+|preview id=\\d+(?: ht=\\d+)?|dtext:\\w+)" +
  ")\\]", "gi");
const WORD = /(https?:\/\/[^\s<>"'()（）「」、。]+)|(\((?:bow|y|\*|sweat|cracker|F|\^|roger|clap|ok)\)|:\)|:D|8-\))/g;
const EMOTICONS = {
  "(bow)": "🙇", "(y)": "👍", "(*)": "⭐", "(sweat)": "😅", "(cracker)": "🎉", "(F)": "🌸", "(^)": "🎂",
  "(roger)": "🫡", "(clap)": "👏", "(ok)": "🙆", ":)": "🙂", ":D": "😄", "8-)": "😎",
};
const BLOCKS = new Set(["info", "code", "qt", "task", "hr"]);

/** Returns the tree of a body: strings, and {name, attributes, children}. A tag that is not closed stays text. */
export function parse(body) {
  const stack = [{ name: "", opening: "", children: [] }];
  const put = (child) => stack.at(-1).children.push(child);
  const giveUp = () => {
    const open = stack.pop();
    stack.at(-1).children.push(open.opening, ...open.children);
  };
  let last = 0;
  for (const match of body.matchAll(TAG)) {
    const { close, block, leaf } = match.groups;
    const name = (close?.slice(1) ?? block ?? leaf).split(/[:\s]/)[0].toLowerCase();
    // Inside code only its own end counts.
    if (stack.some((open) => open.name === "code") && !(close && name === "code")) continue;
    if (close && !stack.some((open) => open.name === name)) continue;
    if (match.index > last) put(body.slice(last, match.index));
    last = match.index + match[0].length;
    if (leaf) {
      put({ name, attributes: attributes(leaf), children: [] });
    } else if (block) {
      stack.push({ name, opening: match[0], attributes: attributes(block), children: [] });
    } else {
      while (stack.at(-1).name !== name) giveUp();
      const { children, attributes: found } = stack.pop();
      put({ name, attributes: found, children });
    }
    if (BLOCKS.has(name) && (close || leaf) && body[last] === "\n") last += 1;
  }
  put(body.slice(last));
  while (stack.length > 1) giveUp();
  return stack[0].children;
}

function attributes(inside) {
  const found = Object.fromEntries([...inside.matchAll(/([a-z]+)=([\w-]+)/gi)].map((pair) => [pair[1].toLowerCase(), pair[2]]));
  const colon = /^[a-z]+:(\w+)$/i.exec(inside);
  return colon ? { ...found, value: colon[1] } : found;
}

/** Returns a body as text in one line, for the list of rooms. */
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
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, data ?? {});
  made.append(...children);
  return made;
}

/** Returns the nodes of a body. `people` knows names and avatars, `context` the files and tasks of the message. */
export function render(body, people, context) {
  const cards = [...(context.tasks ?? [])];
  const draw = (node) => {
    if (typeof node === "string") return words(node);
    const drawn = DRAW[node.name];
    return [drawn(node.attributes, node.children.flatMap(draw), { people, context, cards, raw: node.children })];
  };
  return parse(body).flatMap(draw);
}

function words(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(WORD)) {
    nodes.push(text.slice(last, match.index));
    last = match.index + match[0].length;
    const [found, address] = match;
    nodes.push(address
      ? element("a", { href: address, textContent: address, target: "_blank", rel: "noopener noreferrer" })
      : element("span", { className: "emoticon", title: found, textContent: EMOTICONS[found] ?? found }));
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
  toall: () => badge("to all", "TO ALL", say("everybody")),
  to: ({ value }, _, { people }) => element("span", { className: "mention" }, people.avatar(value, 18), badge("to", "TO", people.name(value))),
  rp({ aid, to }, _, { people }) {
    const shown = [people.avatar(aid, 18), badge("re", "RE", people.name(aid))];
    return to
      ? element("a", { className: "mention", href: `#!rid${to}`, title: say("replied") }, ...shown)
      : element("span", { className: "mention" }, ...shown);
  },
  qt: (_, children) => element("blockquote", {}, ...children),
  qtmeta({ aid, time }, _, { people }) {
    const when = time ? `${day(time)} ${clock(time)}` : "";
    return element("div", { className: "quote-head" }, people.avatar(aid, 18), people.name(aid), " ", element("time", { textContent: when }));
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
    const live = cards.shift();
    const task = live ?? { account_id: aid, status: st, limit_time: Number(lt), limit_type: ltype };
    const due = task.limit_time ? `${say("due")} ${deadline(task)}` : say("noDue");
    return element("div", { className: `card ${task.status === "done" ? "done" : ""}` },
      live ? context.checkbox(live, "card") : element("span", { className: "tick", textContent: task.status === "done" ? "☑" : "☐" }),
      people.avatar(task.account_id, 22),
      element("div", {}, element("div", {}, ...children), element("small", { textContent: `${people.name(task.account_id)} · ${due}` })));
  },
  dtext: ({ value }) => document.createTextNode(systemText(value)),
};
