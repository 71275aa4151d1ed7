// The phone's screens, and its line to the simulator.

import { Media, microphone } from "./webrtc.js";
import { Tones } from "./tones.js";

const RECONNECT_MS = 2000;
const STATS_MS = 1000;
const DIGIT_MS = 120;
const DIGIT_GAP_MS = 80;

const $ = (id) => document.getElementById(id);
const tones = new Tones();

let socket = null;
let numbers = [];
let permissions = {};
let offers = 0;
// The call on the screen: {id, to, peer, media, state, since, timers, meters}; one at a time.
let call = null;

// The line

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/phone/line`);
  socket.addEventListener("message", (event) => hear(JSON.parse(event.data)));
  socket.addEventListener("close", () => {
    showLine(false, "offline");
    if (call && call.state !== "ended") ended("The line to the simulator is gone", null);
    if (socket) setTimeout(connect, RECONNECT_MS);
  });
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function switchOn() {
  if (!$("number").checkValidity() || !$("name").checkValidity()) {
    showLine(false, "who are you?");
    return;
  }
  localStorage.setItem("phone", JSON.stringify({ name: $("name").value, number: $("number").value }));
  say({ type: "on", number: $("number").value, name: $("name").value.trim() || "Nameless" });
  showLine(true, "online");
}

const HEARD = {
  ready(message) {
    numbers = message.numbers;
    showBusinesses();
    switchOn();
  },
  permissions(message) {
    permissions = message.numbers;
    showBusinesses();
    showRequests(message.requests);
  },
  taken() {
    showLine(false, "open in another window");
  },
  refused(message) {
    if (call && call.state === "calling" && !call.id) ended(message.reason, null);
    else notice(message.reason);
  },
  calling(message) {
    if (!call || call.id || call.state !== "calling") say({ type: "hangup", call: message.call });
    else call.id = message.call;
  },
  async sdp(message) {
    if (call.state !== "calling") return;
    await call.media.take(message.sdp);
    if (call.state !== "calling") return; // connected or ended meanwhile
    state("ringing", "Ringing …");
    tones.ringback();
  },
  async connected() {
    await talking();
  },
  ended(message) {
    ended(message.reason, message.seconds);
  },
  async offer(message) {
    await offered(message);
  },
  incoming() {
    if (call.state !== "offered") return;
    state("incoming", "WhatsApp voice call");
    show("talk");
    tones.ring();
    $("accept").focus();
  },
  press(message) {
    press(message.digits, message.duration_ms, message.gap_ms);
  },
};

function hear(message) {
  if (message.call && message.type !== "calling" && message.type !== "offer" && message.call !== call?.id) return;
  const answer = HEARD[message.type]?.(message);
  answer?.catch((error) => ended(`The browser could not: ${error.message}`, null, true));
}

// Calls

function begin(peer, number, to) {
  call?.media?.close();
  call = { id: null, to, peer, number, media: null, state: "new", since: null, timers: [], meters: [] };
  $("peer").textContent = peer || plus(number);
  $("peer-number").textContent = peer ? plus(number) : "";
  $("digits").textContent = "";
  showKeypad(false);
  setMuted(false);
  return call;
}

async function withMicrophone(current) {
  const stream = await microphone();
  if (current !== call) {
    for (const track of stream.getTracks()) track.stop();
    throw new DOMException("the call is over", "AbortError");
  }
  current.stream = stream;
  current.media = new Media(stream, { onTrack: (sound) => heard(current, sound), onFailure: () => lost(current) });
  return current.media;
}

async function place(to) {
  const { name, number } = numbers.find((each) => each.id === to);
  const current = begin(name, number, to);
  state("calling", "Calling …");
  show("talk");
  $("hangup").focus();
  try {
    const media = await withMicrophone(current);
    const sdp = await media.offer();
    if (current === call && current.state === "calling") say({ type: "call", to, sdp });
  } catch (error) {
    if (current === call) ended(why(error), null);
  }
}

async function offered(message) {
  const mine = ++offers;
  if (call && !["ended", "new"].includes(call.state)) return;
  const known = numbers.find((each) => each.number === message.from);
  const current = begin(message.name, message.from, known?.id);
  current.id = message.call;
  current.state = "offered";
  const media = await withMicrophone(current);
  const sdp = await media.answer(message.sdp);
  if (mine === offers) say({ type: "description", call: message.call, sdp });
}

function heard(current, sound) {
  if (current !== call) return;
  current.sound = sound;
  $("loudspeaker").srcObject = sound;
}

function lost(current) {
  if (current !== call || current.state === "ended") return;
  say({ type: "hangup", call: current.id });
  ended("The media connection with the PBX failed", null);
}

async function talking() {
  tones.quiet();
  call.since = Date.now();
  state("talking", "In call");
  await call.media.speak();
  const current = call;
  current.timers.push(setInterval(() => ($("clock").textContent = clock(Date.now() - current.since)), 250));
  current.timers.push(setInterval(() => report(current), STATS_MS));
  current.meters.push(tones.meter(current.stream, (level) => ($("level-out").value = level)));
  if (current.sound) current.meters.push(tones.meter(current.sound, (level) => ($("level-in").value = level)));
  await report(current);
}

async function report(current) {
  if (current.state !== "talking") return;
  const facts = await current.media.stats();
  if (current.state === "talking") say({ type: "stats", call: current.id, ...facts });
}

function hangUp() {
  if (!call || call.state === "ended") return;
  if (call.id) say({ type: "hangup", call: call.id }); // else it is said when the call's id comes
  ended("You hung up", call.since === null ? null : Math.round((Date.now() - call.since) / 1000));
}

function accept() {
  if (call?.state !== "incoming") return;
  tones.quiet();
  state("accepting", "Connecting …");
  say({ type: "accept", call: call.id });
}

function decline() {
  if (call?.state !== "incoming") return;
  say({ type: "decline", call: call.id });
  ended("You declined", null);
}

function press(digits, duration = DIGIT_MS, gap = DIGIT_GAP_MS) {
  if (call?.state !== "talking") return;
  if (!call.media.press(digits, duration, gap)) return;
  tones.digit(digits[0]);
  $("digits").textContent = ($("digits").textContent + digits).slice(-24);
}

function ended(reason, seconds, tell = false) {
  if (!call || call.state === "ended") {
    if (!call) notice(reason);
    return;
  }
  if (tell && call.id) say({ type: "hangup", call: call.id });
  tones.quiet();
  const unseen = call.state === "offered";
  for (const timer of call.timers) clearInterval(timer);
  for (const stop of call.meters) stop();
  call.media?.close();
  $("loudspeaker").srcObject = null;
  showKeypad(false);
  state("ended", "Call ended");
  if (unseen) return;
  $("state").textContent = `Call ended · ${reason}`;
  $("clock").textContent = clock((seconds ?? 0) * 1000);
  $("announcement").textContent = `Call ended. ${reason}.`;
  $("close").focus();
}

// The screens

function show(name) {
  $("screen-idle").hidden = name !== "idle";
  $("screen-talk").hidden = name !== "talk";
}

function state(now, words) {
  call.state = now;
  document.body.dataset.state = now;
  $("state").textContent = words;
  $("announcement").textContent = `${words} ${call.peer || plus(call.number)}`;
  $("clock").hidden = !["talking", "ended"].includes(now);
  $("levels").hidden = now !== "talking";
  $("buttons-incoming").hidden = now !== "incoming";
  $("buttons-call").hidden = !["calling", "ringing", "accepting", "talking"].includes(now);
  $("buttons-ended").hidden = now !== "ended";
  $("mute").disabled = $("show-keys").disabled = now !== "talking";
  $("again").disabled = !call.to;
  if (now === "talking") $("clock").textContent = "00:00:00";
}

function showLine(on, words) {
  $("line").dataset.on = on;
  $("line").textContent = words;
}

function showBusinesses() {
  const chosen = document.querySelector("input[name=to]:checked")?.value ?? numbers[0]?.id;
  $("businesses").replaceChildren(
    ...numbers.map(({ id, number, name }) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "to", value: id });
      input.checked = id === chosen;
      const words = document.createElement("span");
      const strong = document.createElement("strong");
      strong.textContent = name || plus(number);
      words.append(strong, document.createTextNode(name ? plus(number) : ""));
      label.append(input, words);
      const row = document.createElement("div");
      row.append(label, permission(id, name || plus(number)));
      return row;
    }),
  );
}

// The switch in a business's profile: may it call me?
function permission(id, name) {
  const button = document.createElement("button");
  const allowed = permissions[id] ?? true;
  Object.assign(button, { type: "button", className: "switch", role: "switch", ariaLabel: `${name} may call me` });
  button.setAttribute("aria-checked", String(allowed));
  button.append(document.createTextNode("may call me"));
  button.addEventListener("click", () => say({ type: "profile", number: id, grants: !allowed }));
  return button;
}

const ANSWERS = [
  ["accept", "For 7 days"],
  ["accept_permanent", "Always"],
  ["decline", "No"],
];

function showRequests(requests) {
  $("requests").replaceChildren(
    ...requests.map(({ id, number, name, text }) => {
      const card = document.createElement("section");
      const title = document.createElement("h2");
      title.textContent = `${name || plus(number)} would like to call you`;
      const words = document.createElement("p");
      words.textContent = text;
      const answers = document.createElement("div");
      for (const [answer, label] of ANSWERS) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label;
        button.addEventListener("click", () => say({ type: "permit", request: id, answer }));
        answers.append(button);
      }
      card.append(title, words, answers);
      return card;
    }),
  );
  if (requests.length) $("announcement").textContent = `${requests[0].name || plus(requests[0].number)} would like to call you`;
}

function showKeypad(on) {
  $("keypad").hidden = !on;
  $("show-keys").setAttribute("aria-expanded", String(on));
  document.body.dataset.keypad = on;
}

function setMuted(on) {
  if (call?.media) call.media.muted = on;
  $("mute").setAttribute("aria-pressed", String(on));
  $("mute").querySelector("use").setAttribute("href", on ? "#icon-muted" : "#icon-mic");
  $("mute").querySelector("span").textContent = on ? "Unmute" : "Mute";
}

function notice(words) {
  $("notice").textContent = words;
  $("notice").hidden = !words;
}

const plus = (number) => (number ? `+${number}` : "");

function clock(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

function why(error) {
  if (error.name === "NotAllowedError") return "The microphone is not allowed: allow it for this page";
  if (error.name === "NotFoundError") return "This computer has no microphone";
  return error.message;
}

// Buttons and keys

for (const key of "123456789*0#") {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.addEventListener("click", () => press(key));
  $("keys").append(button);
}

$("screen-idle").addEventListener("submit", (event) => {
  event.preventDefault();
  notice("");
  const to = document.querySelector("input[name=to]:checked")?.value;
  if (to) place(to);
});
$("name").addEventListener("change", switchOn);
$("number").addEventListener("change", switchOn);
$("hangup").addEventListener("click", hangUp);
$("accept").addEventListener("click", accept);
$("decline").addEventListener("click", decline);
$("mute").addEventListener("click", () => setMuted($("mute").getAttribute("aria-pressed") !== "true"));
$("show-keys").addEventListener("click", () => showKeypad($("keypad").hidden));
$("close").addEventListener("click", () => {
  show("idle");
  $("call").focus();
});
$("again").addEventListener("click", () => place(call.to));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || call?.state !== "talking") return;
  if (/^[0-9*#]$/.test(event.key)) {
    showKeypad(true);
    press(event.key);
  } else if (event.key === "m") {
    setMuted($("mute").getAttribute("aria-pressed") !== "true");
  }
});
addEventListener("pagehide", () => {
  const line = socket;
  socket = null;
  line?.close();
});

const stored = JSON.parse(localStorage.getItem("phone") ?? "null");
$("name").value = stored?.name ?? "Ada Example";
$("number").value = stored?.number ?? "16315553602";
connect();
