// What a page can do with script; all of it works without, but for what is live.
"use strict";

document.documentElement.classList.add("script");

const pad = (number) => String(number).padStart(2, "0");
const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  return `${pad(Math.floor(whole / 3600))}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
};

// Times of the server, in the reader's time zone: <time datetime data-local="time|day|both|short">; short is the time of
// today, and the day of any other.
const local = (root) => {
  for (const element of root.querySelectorAll("time[data-local]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
    const style = element.dataset.local;
    const short = at.toDateString() === new Date().toDateString() ? time.slice(0, 5) : day;
    element.textContent = { time, day, short }[style] ?? `${day} ${time}`;
    element.title = at.toString();
  }
};

// Running clocks: <span data-since="2026-11-24T15:00:00.000+00:00">; the server's clock counts, not the browser's.
let ahead = 0;
const servers = document.documentElement.dataset.now;
if (servers) ahead = Date.now() - new Date(servers).getTime() - performance.now();
const tick = () => {
  const now = Date.now() - ahead;
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = clock((now - new Date(element.dataset.since).getTime()) / 1000);
  }
};
setInterval(tick, 500);

// A live part whose pieces all have ids keeps those that have not changed, so that no press of a button in them is lost.
// A piece with data-same is empty: it stands for the one that is there.
const sources = new WeakMap();
const patch = (element, html) => {
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = [...template.content.children];
  if (!fresh.length || !fresh.every((piece) => piece.id)) {
    element.innerHTML = html;
    dress(element);
    return;
  }
  const wanted = new Map(fresh.map((piece) => [piece.id, piece.outerHTML]));
  const same = new Set(fresh.filter((piece) => "same" in piece.dataset).map((piece) => piece.id));
  const kept = new Map();
  for (const piece of [...element.children]) {
    if (same.has(piece.id) || (wanted.has(piece.id) && sources.get(piece) === wanted.get(piece.id))) kept.set(piece.id, piece);
    else piece.remove();
  }
  fresh.forEach((piece, index) => {
    const node = kept.get(piece.id) ?? piece;
    if (element.children[index] !== node) element.insertBefore(node, element.children[index] ?? null);
    if (node !== piece) return;
    sources.set(piece, wanted.get(piece.id));
    dress(piece);
  });
};

// Live parts: <body data-live="/live/events"> gets {target, html}; html was made, and escaped, by the server.
const listen = (address) => {
  const source = new EventSource(address);
  source.addEventListener("update", (event) => {
    const { target, html } = JSON.parse(event.data);
    const element = document.getElementById(target);
    if (!element || sources.get(element) === html) return;
    if (element.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
    sources.set(element, html);
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    patch(element, html);
    if (focused) document.getElementById(focused)?.focus();
  });
  source.addEventListener("error", () => document.documentElement.classList.add("stale"));
  source.addEventListener("open", () => document.documentElement.classList.remove("stale"));
};

// Fields that only matter for some choice: <div data-when="incoming=ivr,ai_agent">.
const free = (form) => {
  for (const field of form.querySelectorAll("[data-free]")) {
    field.querySelector("[data-free-text]").hidden = field.querySelector("select").value !== field.dataset.free;
  }
};
const dependent = (form) => {
  free(form);
  const value = (name) => {
    const data = new FormData(form).getAll(name);
    return data.length ? data : [""];
  };
  for (const element of form.querySelectorAll("[data-when]")) {
    const [name, wanted] = element.dataset.when.split("=");
    element.hidden = !wanted.split(",").some((one) => value(name).includes(one));
  }
};

// Repeated lines: <div class="rows" data-rows><div class="line">…</div><template>…</template></div>.
const addLine = (rows) => {
  const line = rows.querySelector("template").content.cloneNode(true);
  rows.querySelector("[data-add]").before(line);
  if (rows.closest("form")) free(rows.closest("form"));
  const lines = rows.querySelectorAll(".line");
  lines[lines.length - 1].querySelector("input, select")?.focus();
};

const dress = (root) => {
  local(root);
  tick();
  for (const form of root.querySelectorAll("form")) dependent(form);
};

document.addEventListener("change", (event) => {
  if (event.target.form) dependent(event.target.form);
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a, [data-theme-switch]");
  if (!button) {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
    return;
  }
  if (button.matches("[data-add]")) addLine(button.closest("[data-rows]"));
  if (button.matches("[data-drop]")) {
    const form = button.form;
    button.closest(".line").remove();
    form?.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if (button.matches("[data-open]")) {
    event.preventDefault();
    document.getElementById(button.dataset.open).showModal();
  }
  if (button.matches("[data-close]")) button.closest("dialog, .toast").matches("dialog") ? button.closest("dialog").close() : button.closest(".toast").remove();
  if (button.matches("[data-theme-switch]")) {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `aw_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
  }
});

// A question before something that cannot be undone: <form data-confirm="Remove the group Sales?">.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (!question || form.dataset.confirmed) {
    delete form.dataset.confirmed;
    return;
  }
  event.preventDefault();
  const dialog = document.getElementById("confirm");
  dialog.querySelector("[data-question]").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
  }, { once: true });
});

// The picture of a sound shows where it is, and takes it where it is pressed: <svg data-wave="id of the audio">.
for (const picture of document.querySelectorAll("[data-wave]")) {
  const audio = document.getElementById(picture.dataset.wave);
  const line = picture.querySelector(".here");
  const { width } = picture.viewBox.baseVal;
  const show = (part) => {
    line.setAttribute("transform", `translate(${part * width} 0)`);
    line.classList.add("shown");
  };
  audio.addEventListener("timeupdate", () => audio.duration && show(audio.currentTime / audio.duration));
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const go = () => { audio.currentTime = part * audio.duration; };
    show(part);
    if (audio.readyState) go();
    else {
      audio.addEventListener("loadedmetadata", go, { once: true });
      audio.preload = "metadata";
      audio.load();
    }
  });
}

// Reports are of days in the reader's time zone.
document.cookie = `aw_zone=${encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone)}; path=/; max-age=31536000; samesite=lax`;

dress(document);
document.querySelector('[aria-invalid="true"]')?.focus();
if (document.body.dataset.live) listen(document.body.dataset.live);
for (const toast of document.querySelectorAll(".toast")) setTimeout(() => toast.remove(), 8000);
