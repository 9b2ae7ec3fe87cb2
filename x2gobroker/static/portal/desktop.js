// The desktop page: what the connection and the portal say becomes words and buttons.
import { Connection, RequestError, ask } from "./connection.js";
import { by, enable, knows, missing, offer, page, passing, said, setUpFullScreen, show, speak, text } from "./cover.js";
import { setUpAnnouncement } from "./announcement.js";
import { setUpClipboard } from "./clipboard.js";
import { setUpFiles } from "./files.js";
import { setUpFocus } from "./focus.js";
import { setUpKeys } from "./keys.js";
import { setUpLeaving } from "./leaving.js";
import { setUpScaling } from "./scaling.js";
import "./window.js";
import { setUpShare } from "./share.js";
import { setUpSound } from "./sound.js";
import { setUpTouchpad } from "./touchpad.js";

const STARTING_SECONDS = 0.7; // how often the portal is asked while the desktop starts,
const RUNNING_SECONDS = 15; // while it runs,
const ENDING_SECONDS = 5; // and when it will end soon
const WARN_SECONDS = 5 * 60;
const WARN_AGAIN = [300, 60]; // when those who hear the page are told, seconds before the end
const OVER = ["ended", "signed-out", "closed"];
const HAS = ["reserved", "starting", "running"]; // states of a desktop that one can come back to
const AGO = [[86400, 2, "day"], [3600, 2, "hour"], [60, 1, "minute"]]; // seconds, from how many of them on, and what they are
const name = page.dataset.name;

let latest = { state: "reserved" };
let endsAt = null; // by performance.now(), seconds
let endedAt = null; // by Date.now(), milliseconds: a device that sleeps does not stop that clock
let told = Infinity;
let asking = null;

// --- how the desktop is

async function lookNow() {
  latest = await ask(page.dataset.state);
  connection.running = latest.state === "running";
  share.tell(latest.shared || 0, latest.shared_to_work || 0);
  announce(latest.announcement || "");
  const limited = latest.left !== null && latest.left !== undefined && latest.ends_why !== "grace";
  endsAt = limited ? performance.now() / 1000 + latest.left : null;
  return latest;
}

async function keepLooking() {
  clearTimeout(asking);
  try {
    await lookNow();
    if (connection.phase === "connecting") tellProgress();
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (error.status === 401) connection.signOut();
    // everything else is asked again; the connection has its own ways
  }
  const left = endsAt === null ? Infinity : endsAt - performance.now() / 1000;
  const starting = connection.phase === "connecting";
  const seconds = starting ? STARTING_SECONDS : left < WARN_SECONDS * 1.5 ? ENDING_SECONDS : RUNNING_SECONDS;
  if (!OVER.includes(connection.phase)) asking = setTimeout(keepLooking, seconds * 1000);
}

function tellProgress() {
  const starting = latest.state === "starting";
  const words = text(starting ? "starting" : "connecting");
  show("connecting", words, { more: starting ? latest.progress : "", busy: true });
}

function failure(words) {
  return { text: "failed", more: `${words} ${text("number", { number: page.dataset.number })}`, restart: true };
}

// The connection has ended: is there something to come back to?
async function look({ reason, refused }) {
  const stopped = /^this desktop was stopped: (.*)$/.exec(reason);
  if (stopped) return { text: "ended", more: knows(`ended_${stopped[1]}`) ? text(`ended_${stopped[1]}`) : "", restart: true };
  const failed = /^this desktop could not be started: (.*)$/.exec(reason);
  if (failed) return failure(said(failed[1]));
  let found;
  try {
    found = await lookNow();
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return error.status === 401 ? { phase: "signed-out", text: "signed_out" } : null;
  }
  if (HAS.includes(found.state)) {
    if (!refused) return null;
    if (passing(reason) || found.state !== "running") return { wait: said(reason) };
    return { words: said(reason), more: text("number", { number: page.dataset.number }), again: true };
  }
  if (found.state === "failed") return failure(found.note || said(reason));
  if (refused && !["stopping", "ended"].includes(found.state)) return failure(said(reason));
  return { text: "ended", more: found.note || "", restart: true, ago: found.ago };
}

// --- the connection

const connection = new Connection(by("screen"), () => ask(page.dataset.token, "POST"), look);

function tellPhase({ detail }) {
  enable(detail.phase === "connected");
  by("stop").disabled = OVER.includes(detail.phase);
  if (detail.phase !== "connected") closeTools();
  if (detail.phase === "connected") {
    offer();
    show("connected", text("connected"), { cover: false });
    nameScreen(connection.canvas);
    keepLooking();
  } else if (detail.phase === "connecting") {
    offer();
    tellProgress();
    keepLooking();
  } else if (detail.phase === "waiting") {
    offer("again", "leave");
    const quiet = by("state").dataset.phase === "waiting"; // once is enough to be heard
    show("waiting", text(detail.text), { more: `${detail.why || text(`${detail.text}_more`)} ${text("again", { seconds: detail.seconds })}`.trim(), busy: true, quiet });
  } else if (detail.phase === "lost") {
    offer();
    show("lost", text("lost"), { busy: true });
  } else if (detail.phase === "signed-out") {
    offer("sign-in", "leave");
    show("signed-out", text(detail.text));
  } else if (detail.phase === "ended") {
    endsAt = null;
    endedAt = detail.text === "ended" ? Date.now() - (detail.ago || 0) * 1000 : null;
    offer(...(detail.again ? ["again"] : []), ...(detail.restart ? ["restart"] : []), "leave");
    show("ended", endedAgo() || (detail.text ? text(detail.text) : detail.words || text("ended")), { more: detail.more || "" });
  }
  countDown();
}

function closeTools() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close("closed");
}

// Those who see nothing must know what this is, and how to get out: the desktop takes all keys, Tab, too.
function nameScreen(canvas) {
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", text("screen", { name }));
  if (document.activeElement === document.body || document.activeElement === by("main")) comeBack();
}

// --- the end of the desktop

// How long ago it ended, where that was not just now.
function endedAgo() {
  const seconds = endedAt === null ? 0 : (Date.now() - endedAt) / 1000;
  const [unit, , word] = AGO.find(([size, from]) => seconds >= size * from) || [];
  if (!unit) return "";
  const time = new Intl.RelativeTimeFormat(document.documentElement.lang).format(-Math.floor(seconds / unit), word);
  return text("ended_ago", { time });
}

function countDown() {
  if (connection.phase === "ended" && endedAgo()) by("cover-text").textContent = endedAgo();
  const left = endsAt === null ? Infinity : Math.max(0, endsAt - performance.now() / 1000);
  const warn = left <= WARN_SECONDS && connection.phase === "connected";
  by("ending").hidden = !warn;
  if (!warn) {
    told = Infinity;
    return;
  }
  const words = text(latest.ends_why === "idle" ? "ends_idle" : "ends_absolute");
  const time = `${Math.floor(left / 60)}:${String(Math.floor(left % 60)).padStart(2, "0")}`;
  by("ending-text").textContent = words;
  by("ending-time").textContent = text("ends_in", { time });
  const mark = WARN_AGAIN.findLast((seconds) => left <= seconds);
  if (mark < told) {
    told = mark;
    speak(`${words} ${text(`ends_soon_${Math.max(1, Math.round(left / 60))}`)}`);
  }
}

// --- dialogs

function setUpPassword() {
  const dialog = by("password-dialog");
  connection.addEventListener("password", ({ detail }) => {
    by("password").value = "";
    by("password-said").textContent = detail.wrong ? text("password_wrong") : "";
    dialog.returnValue = "";
    dialog.showModal();
    by("password").focus();
  });
  dialog.addEventListener("close", () => {
    const password = by("password").value;
    by("password").value = "";
    if (dialog.returnValue !== "closed" && connection.phase === "connecting") connection.sendPassword(dialog.returnValue === "send" ? password : null);
  });
}

function setUpStop() {
  by("stop").addEventListener("click", () => by("stop-dialog").showModal());
  by("stop-dialog").addEventListener("submit", (event) => {
    if (event.submitter !== by("stop-really")) return;
    clearTimeout(asking);
    setTimeout(() => connection.close()); // the page goes home; nothing is to be lost and found again meanwhile
  });
}

const share = setUpShare();
connection.addEventListener("phase", tellPhase);
by("again").addEventListener("click", () => connection.connect());
by("sign-in").href = page.dataset.signIn;
setUpFullScreen();
setUpScaling(connection, page.dataset.scaling);
const comeBack = setUpFocus(connection, setUpKeys(connection));
setUpTouchpad(connection, comeBack);
const announce = setUpAnnouncement(comeBack);
setUpClipboard(connection);
setUpFiles(connection);
setUpSound(connection);
setUpPassword();
setUpStop();
setUpLeaving();
setInterval(countDown, 1000);
if (missing()) {
  offer("leave");
  show("ended", text(missing()));
} else {
  connection.connect();
}
