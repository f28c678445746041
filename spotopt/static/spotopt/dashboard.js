"use strict";
// The overview works without this file. With it, selects apply at once, events appear as they happen, and the rest is fresh
// to a minute.

const REFRESH_MS = 60_000;
const POLL_MS = 20_000;
const RECONNECT_MS = 30_000;
const SETTLED_MS = 500; // a page one only passes through takes none of the few places for streams
const AT_MOST_EVERY_MS = 2_000; // however many events arrive
const SHOWN = 20;
const NAMES = [
  "INSTANCE_LAUNCHING", "INSTANCE_RUNNING", "INSTANCE_TERMINATING", "INSTANCE_TERMINATED", "INSTANCE_STATE_CHANGED",
  "AGENT_STATUS_CHANGED", "EMERGENCY_EVENT", "COMMAND_EXECUTED", "NOTIFICATION",
];
const client = document.body.dataset.client;

document.documentElement.classList.add("scripted");
document.addEventListener("change", (event) => event.target.closest("[data-autosubmit]")?.submit());

// --- Figures: the page itself, fetched again -------------------------------------------------------------------------

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) return say("The server does not answer; trying again.");
  if (new URL(answer.url).pathname === document.body.dataset.login) return askForLogin();
  if (!answer.ok) return say("The server cannot answer just now; trying again.");
  say("");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("overview");
  const shown = document.getElementById("overview");
  if (!fresh || shown.contains(document.activeElement)) return; // never under somebody's hands
  const isOpen = shown.querySelector("details").open;
  fresh.querySelector("details").open = isOpen;
  shown.replaceWith(fresh);
}

function say(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.hidden = !text;
}

function askForLogin() {
  say("You are logged out. ");
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Log in";
  document.getElementById("notice").append(link);
}

// --- Events: the stream says that there is something new, the activity list says what ----------------------------------

let timer = null;
let readAt = 0;

function soon() {
  timer ??= setTimeout(readEvents, Math.max(0, readAt + AT_MOST_EVERY_MS - Date.now()));
}

async function readEvents() {
  timer = null;
  readAt = Date.now();
  const limit = client ? 200 : SHOWN; // the list knows no filter
  const answer = await fetch(`/api/admin/activity?limit=${limit}`).catch(() => null);
  if (!answer?.ok) return;
  const items = (await answer.json()).filter((item) => !client || item.clientId === client);
  if (client && !items.length) return; // older than those 200: the server's own list stays
  document.getElementById("events").replaceChildren(...items.slice(0, SHOWN).map(row));
  document.getElementById("no-events").hidden = items.length > 0;
}

function row(item) {
  const line = document.createElement("li");
  const time = Object.assign(document.createElement("time"), { dateTime: item.time, textContent: written(item.time) });
  line.append(span(`badge ${item.severity}`, item.severity), ` ${item.text} `, span("muted", time));
  return line;
}

function span(className, content) {
  const element = Object.assign(document.createElement("span"), { className });
  element.append(content);
  return element;
}

function written(time) {
  const at = new Date(time);
  const month = at.toLocaleString("en-US", { month: "short", timeZone: "UTC" });
  return `${month} ${at.getUTCDate()}, ${at.toISOString().slice(11, 19)}`;
}

function listen() {
  const stream = new EventSource("/api/events/stream" + (client ? `?client_id=${encodeURIComponent(client)}` : ""));
  stream.onopen = () => setLive(true);
  stream.onerror = () => {
    setLive(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RECONNECT_MS); // refused: polling goes on
  };
  for (const name of NAMES) stream.addEventListener(name, soon);
}

function setLive(isLive) {
  const mark = document.getElementById("live");
  mark.hidden = false;
  mark.classList.toggle("on", isLive);
  mark.textContent = isLive ? "live" : `every ${POLL_MS / 1000} s`;
}

setInterval(refresh, REFRESH_MS);
setInterval(() => document.hidden || soon(), POLL_MS);
setTimeout(listen, SETTLED_MS);
